//! Start-up: the home, the key, the log and the head that was kept must agree before anything is served.

use std::{io::Read as _, sync::Arc};

use spl_kernel::{
    commit::{Chain, Head},
    identity::PrivateKey,
    log::{
        Log, LogSource, Range,
        error::{OpenError, StoreError},
        index_path,
    },
};
use spl_projections::{World, event::FormatError, reserved::folded_threads};
use zeroize::Zeroizing;

use crate::{
    ServeOptions, disk, env,
    home::{Home, HomeError, HomeLock, KeptHead, read_private, write_private},
};

/// A wall clock this far behind the log is not a clock to write under.
const CLOCK_BEHIND_MAX_MS: u64 = 24 * 60 * 60 * 1000;
/// A wall clock this far behind the log is warned about.
pub(crate) const CLOCK_BEHIND_WARN_MS: u64 = 60 * 1000;
/// The engine writes these first bytes of a new file last: one where they are zero was never begun.
const UNBEGUN_BYTES: u64 = 9;
/// Records of a reserved thread read at once.
const FOLD_BATCH: usize = 1024;

/// Why an instance does not start. No record, key or kept head was changed.
#[derive(Debug, thiserror::Error)]
pub enum BootError {
    /// The home directory cannot be used.
    #[error(transparent)]
    Home(#[from] HomeError),
    /// The log cannot be opened.
    #[error("{path}: {source}")]
    Open {
        /// The log.
        path: String,
        /// Why.
        source: OpenError,
    },
    /// The log cannot be read or written.
    #[error("the log failed while starting")]
    Store(#[from] StoreError),
    /// The log was written by a newer build.
    #[error(transparent)]
    Format(#[from] FormatError),
    /// The key, the log and the kept head do not belong together.
    #[error("{0}")]
    Mismatch(String),
    /// The operating system said no.
    #[error("{0}")]
    Io(#[from] std::io::Error),
}

/// A started instance, not yet serving.
#[derive(Debug)]
pub(crate) struct Booted {
    pub(crate) home: Home,
    pub(crate) lock: HomeLock,
    pub(crate) log: Arc<Log>,
    pub(crate) world: World,
    pub(crate) key: PrivateKey,
    pub(crate) did: String,
}

/// Starts up to the point where requests can be answered.
pub(crate) fn boot(options: &ServeOptions) -> Result<Booted, BootError> {
    let home = Home::open(&options.home)?;
    let lock = home.lock()?;
    let (log, key) = if options.memory {
        (open_log(LogSource::Memory, "memory")?, new_key()?.0)
    } else {
        disk::make_room_to_start(&home.log());
        clear_unbegun(&home)?;
        let key = prepare_key(&home, options)?;
        (open_file(&home, options)?, key)
    };
    if !options.memory {
        check_kept_head(&home, &log, options)?;
    }
    check_clock(&log, options)?;
    let world = fold(&log)?;
    let did = key.public().did();
    // A new log is named by its first commit, which the writer makes before anything is served.
    let new = log.head() == Head::EMPTY;
    if !new && world.identity.did.as_deref() != Some(did.as_str()) {
        return Err(BootError::Mismatch(format!(
            "{} is not the key of this log: the log belongs to {}, the key is {did}; put the right key back, or move the log away",
            home.primary_key().display(),
            world.identity.did.as_deref().unwrap_or("nobody"),
        )));
    }
    Ok(Booted { home, lock, log: Arc::new(log), world, key, did })
}

/// Opens the home's log. Where its journal says that it was another, or went further, that has to be accepted: the
/// journal is then put aside.
fn open_file(home: &Home, options: &ServeOptions) -> Result<Log, BootError> {
    let shown = home.log().display().to_string();
    let open = || open_log(LogSource::File(home.log()), &shown);
    match open() {
        Err(BootError::Open { source: OpenError::Journal(why), .. }) if options.accept_older_log => {
            tracing::warn!(cause = %why, "the log is taken without its journal");
            // Before it comes back, as with any older log.
            home.note_restored()?;
            home.put_journal_aside()?;
            open()
        }
        Err(BootError::Open { source: OpenError::Journal(why), .. }) => Err(BootError::Mismatch(format!(
            "{}: {why}; put the files back that belong together, or, if the log is meant to be taken as it is, start once with `spl serve --accept-older-log`",
            home.journal().display(),
        ))),
        opened => opened,
    }
}

fn open_log(source: LogSource, shown: &str) -> Result<Log, BootError> {
    let mut told = env::monotonic();
    let log = Log::open(source, &mut |done, all| {
        // The tail is caught up in a moment; only a rebuild of the index takes long enough to be told.
        if env::monotonic().duration_since(told).as_secs() >= 1 {
            told = env::monotonic();
            tracing::info!(done, all, "reading the log into its index");
        }
    })
    .map_err(|source| BootError::Open { path: shown.to_owned(), source })?;
    log.wait_with(disk::wait);
    Ok(log)
}

fn new_key() -> Result<(PrivateKey, Zeroizing<[u8; 32]>), BootError> {
    let mut seed = Zeroizing::new([0; 32]);
    env::fill_random(&mut *seed)?;
    Ok((PrivateKey::from_seed(&seed), seed))
}

/// Empties a log whose making was cut short: nothing was ever acknowledged, and the file does not yet say what
/// it is. The engine would take it for somebody else's.
fn clear_unbegun(home: &Home) -> Result<(), BootError> {
    if home.kept_head()?.is_none_or(|kept| kept.sequence != 0) {
        return Ok(());
    }
    let file = match std::fs::OpenOptions::new().read(true).write(true).open(home.log()) {
        Ok(file) => file,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(error.into()),
    };
    let mut start = Vec::new();
    std::io::Read::take(&file, UNBEGUN_BYTES).read_to_end(&mut start)?;
    if start.iter().all(|byte| *byte == 0) {
        file.set_len(0)?;
        file.sync_all()?;
    }
    Ok(())
}

/// Reads the key, or makes it where nothing was ever written. The kept head is written before the key, and
/// both before the log: whatever a crash leaves behind, the next start can tell a new home from a lost log.
fn prepare_key(home: &Home, options: &ServeOptions) -> Result<PrivateKey, BootError> {
    let log_exists = home.log().metadata().is_ok_and(|m| m.len() > 0);
    let kept = home.kept_head()?;
    let never_written = kept.is_some_and(|k| k.sequence == 0);
    match read_private(&home.primary_key(), 64)? {
        Some(bytes) => {
            let seed: [u8; 32] = bytes.as_slice().try_into().map_err(|_| HomeError::Malformed {
                path: home.primary_key().display().to_string(),
                what: "it should hold the 32 bytes of a seed",
            })?;
            let seed = Zeroizing::new(seed);
            if !log_exists && !never_written {
                if !options.new_log {
                    return Err(BootError::Mismatch(format!(
                        "{} exists but its log {} does not; restore the log with `spl restore`, or start an empty one under the same key with `spl serve --new-log`",
                        home.primary_key().display(),
                        home.log().display(),
                    )));
                }
                home.put_journal_aside()?;
                home.keep_head(KeptHead { sequence: 0, chain: Chain::GENESIS })?;
            }
            Ok(PrivateKey::from_seed(&seed))
        }
        None if log_exists => Err(BootError::Mismatch(format!(
            "the log {} exists but its key {} does not; put the key back, or move the log away to start anew",
            home.log().display(),
            home.primary_key().display(),
        ))),
        None => {
            home.keep_head(KeptHead { sequence: 0, chain: Chain::GENESIS })?;
            let (key, seed) = new_key()?;
            write_private(&home.primary_key(), &*seed)?;
            Ok(key)
        }
    }
}

/// The log must contain what was acknowledged last.
fn check_kept_head(home: &Home, log: &Log, options: &ServeOptions) -> Result<(), BootError> {
    let head = log.head();
    let Some(kept) = home.kept_head()? else {
        if head.sequence == 0 {
            return Ok(());
        }
        if options.accept_older_log {
            return Ok(home.note_restored()?);
        }
        return Err(BootError::Mismatch(format!(
            "{} is missing, so nothing says how far this log went; if you trust it, start once with `spl serve --accept-older-log`",
            home.dir().join("keys/head").display(),
        )));
    };
    let contained = kept.sequence == 0
        || log
            .reader()?
            .commit_of(kept.sequence)?
            .is_some_and(|c| c.last_sequence == kept.sequence && c.chain == kept.chain);
    if options.accept_older_log && head.sequence > 0 {
        return Ok(home.note_restored()?);
    }
    if contained {
        return Ok(());
    }
    Err(BootError::Mismatch(format!(
        "the log ends at record {} and does not contain the head acknowledged last, record {}: it is older than it was, or another; if that is meant, start once with `spl serve --accept-older-log`",
        head.sequence, kept.sequence,
    )))
}

fn check_clock(log: &Log, options: &ServeOptions) -> Result<(), BootError> {
    let last = log.head().committed_at;
    let behind = last.0.saturating_sub(env::now().0);
    if behind <= CLOCK_BEHIND_MAX_MS || options.accept_clock {
        return Ok(());
    }
    Err(BootError::Mismatch(format!(
        "the clock says {}, more than a day before the last commit at {last}; set the clock, or start with `spl serve --accept-clock`",
        env::now(),
    )))
}

/// Folds the reserved threads, found through the index: what this costs does not depend on how many data
/// records there are.
pub(crate) fn fold(log: &Log) -> Result<World, BootError> {
    let mut sequences = Vec::new();
    for thread in folded_threads() {
        let mut after = 0;
        loop {
            let found = log.index().thread(thread, Range::after(after, FOLD_BATCH))?;
            let Some(last) = found.last() else { break };
            after = *last;
            sequences.extend(found);
        }
    }
    sequences.sort_unstable();
    let mut world = World::default();
    let reader = log.reader()?;
    for sequence in sequences {
        if let Some(stored) = reader.record(sequence)? {
            world.fold(&stored)?;
        }
    }
    Ok(world)
}

/// Removes the index of a log that is about to be replaced.
pub(crate) fn forget_index(home: &Home) -> Result<(), BootError> {
    match std::fs::remove_file(index_path(&home.log())) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(error.into()),
        _ => Ok(()),
    }
}
