//! What can be done with a stopped home: read, verify, back up and restore its log. Nothing here serves, and
//! reading changes nothing.

use std::{fs, io, path::Path};

use serde::Serialize;
use spl_kernel::{
    commit::Chain,
    entry::EntryRef,
    log::{
        Log, LogSource, ReadOnlyLog, Reader,
        backup::{self, BackupError},
        error::{OpenError, StoreError},
        index_path, journal_path,
        verify::{Verification, chain_of_causes},
    },
    record::StoredRecord,
};
use spl_projections::{World, event::may_be_event, visibility::Viewer};

pub use crate::unlock::permissions_unlock;
use crate::{
    boot::{BootError, forget_index},
    home::{Home, HomeError, HomeLock, KeptHead, read_private},
    wire::{self, Shown},
};

/// Hears (records done, records in all).
pub type Progress<'a> = &'a mut dyn FnMut(u64, u64);

/// Why an offline command failed.
#[derive(Debug, thiserror::Error)]
pub enum OfflineError {
    /// The home directory cannot be used.
    #[error(transparent)]
    Home(#[from] HomeError),
    /// There is no log.
    #[error("{0} has no log")]
    NoLog(String),
    /// The log cannot be opened.
    #[error("{path}: {}", chain_of_causes(source))]
    Open {
        /// The log.
        path: String,
        /// Why.
        source: OpenError,
    },
    /// The log cannot be read.
    #[error("the log cannot be read: {}", chain_of_causes(.0))]
    Store(#[from] StoreError),
    /// The backup cannot be written or read.
    #[error("{}", chain_of_causes(.0))]
    Backup(#[from] BackupError),
    /// A restored log does not belong to this home.
    #[error("{0}")]
    Mismatch(String),
    /// The operating system said no.
    #[error("{0}")]
    Io(#[from] io::Error),
}

impl From<BootError> for OfflineError {
    fn from(error: BootError) -> Self {
        match error {
            BootError::Home(error) => Self::Home(error),
            BootError::Open { path, source } => Self::Open { path, source },
            BootError::Store(error) => Self::Store(error),
            BootError::Io(error) => Self::Io(error),
            other => Self::Mismatch(chain_of_causes(&other)),
        }
    }
}

/// A stopped home, held by this process.
#[derive(Debug)]
pub struct Offline {
    home: Home,
    _lock: HomeLock,
    log: ReadOnlyLog,
}

/// What a verification found, as `GET /v1/verify` gives it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct VerifyReport {
    /// Whether nothing is wrong.
    pub ok: bool,
    /// Records checked.
    pub records: u64,
    /// Commits checked.
    pub commits: u64,
    /// Where the log ends.
    pub head: HeadReport,
    /// BLAKE3 over all state, replayed from nothing.
    pub digest: String,
    /// What is wrong, in words.
    pub problems: Vec<String>,
}

/// A head in words.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct HeadReport {
    /// Position of the last record.
    pub sequence: u64,
    /// The chain there.
    pub chain: String,
}

/// What a replay found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ReplayReport {
    /// Records replayed.
    pub records: u64,
    /// Position of the last one.
    pub sequence: u64,
    /// BLAKE3 over all state.
    pub digest: String,
}

/// What was restored.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct RestoreReport {
    /// Records restored.
    pub records: u64,
    /// Position of the last one.
    pub sequence: u64,
    /// Whose log it is.
    pub instance_did: String,
    /// Where the log that it replaces was put, if there was one.
    pub replaced: Option<String>,
}

/// Reads `<sequence>:<chain>`.
///
/// # Errors
/// When it is neither.
#[expect(clippy::result_unit_err, reason = "there is one way to be malformed")]
pub fn parse_head(text: &str) -> Result<(u64, Chain), ()> {
    let (sequence, chain) = text.trim().split_once(':').ok_or(())?;
    Ok((sequence.parse().map_err(|_| ())?, Chain::parse(chain).ok_or(())?))
}

/// Takes a stopped home and opens its log for reading.
///
/// # Errors
/// [`OfflineError`]; the home is as it was.
pub fn open(home: &Path) -> Result<Offline, OfflineError> {
    if !home.join("log.redb").exists() {
        return Err(OfflineError::NoLog(home.display().to_string()));
    }
    let home = Home::open(home)?;
    let lock = home.lock()?;
    let path = home.log();
    let log = ReadOnlyLog::open(&path)
        .map_err(|source| OfflineError::Open { path: path.display().to_string(), source })?;
    Ok(Offline { home, _lock: lock, log })
}

impl Offline {
    fn reader(&self) -> Result<Reader, OfflineError> {
        Ok(self.log.reader()?)
    }

    /// Writes each record after `since` as a line of JSON, reserved ones too if wanted.
    ///
    /// # Errors
    /// When the log cannot be read, or `line` says so.
    pub fn export(
        &self,
        since: u64,
        reserved: bool,
        line: &mut dyn FnMut(&str) -> io::Result<()>,
    ) -> Result<(), OfflineError> {
        let viewer = Viewer::home_owner();
        let viewer = if reserved { viewer } else { viewer.without_reserved() };
        let mut result = Ok(());
        self.reader()?.scan(since, &mut |stored| {
            if viewer.sees(&stored) {
                let mut text = String::new();
                wire::write_record(&mut text, &stored, Shown::default());
                result = line(&text);
            }
            result.is_ok()
        })?;
        Ok(result?)
    }

    /// Recomputes everything; also checks the head that the home kept.
    ///
    /// # Errors
    /// When the log cannot be read at all.
    pub fn verify(
        &self,
        progress: Progress<'_>,
        kept: Option<(u64, Chain)>,
    ) -> Result<VerifyReport, OfflineError> {
        let own = self.home.kept_head()?.map(|k| (k.sequence, k.chain));
        let mut report = verify_replaying(None, |visit| self.log.verify(kept.or(own), visit, progress))?;
        if let (Some(_), Some((sequence, chain))) = (kept, own)
            && sequence > 0
            && !self
                .reader()?
                .commit_of(sequence)?
                .is_some_and(|c| c.last_sequence == sequence && c.chain == chain)
        {
            report.ok = false;
            report.problems.push("the log does not contain the head in keys/head".into());
        }
        Ok(report)
    }

    /// Replays all state from nothing, and recomputes each id.
    ///
    /// # Errors
    /// When the log cannot be read, an id is not that of its record, or a newer build wrote it.
    pub fn replay(&self, progress: Progress<'_>) -> Result<ReplayReport, OfflineError> {
        let end = self.log.head().sequence;
        let world = replay(&self.reader()?, &mut |done| progress(done, end))?;
        progress(end, end);
        Ok(ReplayReport { records: end, sequence: end, digest: world.digest() })
    }

    /// Writes a backup.
    ///
    /// # Errors
    /// When the log cannot be read or `out` not be written.
    pub fn backup(&self, out: &mut dyn io::Write, progress: Progress<'_>) -> Result<(), OfflineError> {
        backup::write(&self.reader()?, out, progress)?;
        Ok(())
    }
}

/// All state, replayed from nothing. `progress` hears of positions reached.
///
/// # Errors
/// As [`Offline::replay`].
pub fn replay(reader: &Reader, progress: &mut dyn FnMut(u64)) -> Result<World, OfflineError> {
    let mut world = World::default();
    let mut failed = None;
    let wanted = |entry: &EntryRef<'_>| may_be_event(entry.origin(), entry.thread());
    let mut fold = |stored: StoredRecord| {
        failed = world.fold(&stored).err();
        failed.is_none()
    };
    reader.replay(&wanted, &mut fold, progress)?;
    match failed {
        Some(error) => Err(OfflineError::Mismatch(error.to_string())),
        None => Ok(world),
    }
}

/// Verifies the log of a running instance and replays all state; `live` is the state that must come out.
pub(crate) fn verify_log(
    log: &Log,
    live: Option<&World>,
    kept: Option<(u64, Chain)>,
    progress: &mut dyn FnMut(u64, u64),
) -> Result<VerifyReport, StoreError> {
    verify_replaying(live, |visit| log.verify(kept, visit, progress))
}

/// Replays all state with the records that a verification visits.
fn verify_replaying(
    live: Option<&World>,
    verify: impl FnOnce(&mut dyn FnMut(&StoredRecord)) -> Result<Verification, StoreError>,
) -> Result<VerifyReport, StoreError> {
    let mut world = World::default();
    let mut newer = None;
    let through = live.map_or(u64::MAX, |w| w.folded_through);
    let mut visit = |stored: &StoredRecord| {
        // What was written while this runs is not in the state it is compared with.
        if stored.sequence <= through
            && let Err(error) = world.fold(stored)
        {
            newer = Some(error);
        }
    };
    let found = verify(&mut visit)?;
    let mut problems = found.problems;
    problems.extend(newer.map(|e| e.to_string()));
    if live.is_some_and(|live| live.digest() != world.digest()) {
        problems.push("state replayed from nothing is not the live state".into());
    }
    Ok(VerifyReport {
        ok: problems.is_empty(),
        records: found.records,
        commits: found.commits,
        head: HeadReport { sequence: found.head.sequence, chain: found.head.chain.to_string() },
        digest: world.digest(),
        problems,
    })
}

/// Puts a backup in place of a home's log. The backup is read and checked in full before anything is
/// replaced; the log that was there is kept beside it.
///
/// # Errors
/// [`OfflineError`]; the home then has the log it had.
pub fn restore(
    home: &Path,
    input: &mut dyn io::Read,
    progress: &mut dyn FnMut(u64),
) -> Result<RestoreReport, OfflineError> {
    let home = Home::open(home)?;
    let _lock = home.lock()?;
    let fresh = home.dir().join("restore.redb");
    let discard = || {
        for path in [fresh.clone(), index_path(&fresh), journal_path(&fresh)] {
            let _ = fs::remove_file(path);
        }
    };
    discard();
    let restored = fill(&home, &fresh, input, progress);
    let (head, did) = match restored {
        Ok(restored) => restored,
        Err(error) => {
            discard();
            return Err(error);
        }
    };
    let replaced = replace_log(&home)?;
    forget_index(&home)?;
    // A backup must not revive what was revoked after it was made.
    home.note_restored()?;
    // The head is replaced before the log: after a crash in between the start says what is missing, and the
    // restored file still lies beside.
    home.keep_head(KeptHead { sequence: head.sequence, chain: head.chain })?;
    fs::rename(&fresh, home.log())?;
    discard();
    fs::File::open(home.dir())?.sync_all()?;
    Ok(RestoreReport { records: head.sequence, sequence: head.sequence, instance_did: did, replaced })
}

/// Puts the log that is there aside, and its journal with it: a part of what was acknowledged may be there only. The
/// journal is first found under both names, so that a crash parts it from no log.
fn replace_log(home: &Home) -> Result<Option<String>, OfflineError> {
    if !home.log().exists() {
        home.put_journal_aside()?;
        return Ok(None);
    }
    let aside = home.replaced_log();
    if home.journal().exists() {
        fs::hard_link(home.journal(), journal_path(&aside))?;
    }
    fs::rename(home.log(), &aside)?;
    if home.journal().exists() {
        fs::remove_file(home.journal())?;
    }
    Ok(Some(aside.display().to_string()))
}

/// Fills a new log from a backup and checks that it belongs to this home.
fn fill(
    home: &Home,
    fresh: &Path,
    input: &mut dyn io::Read,
    progress: &mut dyn FnMut(u64),
) -> Result<(spl_kernel::commit::Head, String), OfflineError> {
    let shown = fresh.display().to_string();
    let log = Log::open(LogSource::File(fresh.to_owned()), &mut |_, _| {})
        .map_err(|source| OfflineError::Open { path: shown, source })?;
    let head = backup::restore(&log, input, progress)?;
    log.close()?;
    let world = crate::boot::fold(&log)?;
    let did = world.identity.did.unwrap_or_default();
    if let Some(seed) = read_private(&home.primary_key(), 64)? {
        let seed = zeroize::Zeroizing::new(<[u8; 32]>::try_from(seed.as_slice()).unwrap_or_default());
        let own = spl_kernel::identity::PrivateKey::from_seed(&seed).public().did();
        if own != did {
            return Err(OfflineError::Mismatch(format!(
                "the backup is of {did}, this home's key is of {own}; restore it into the home that has its keys/primary"
            )));
        }
    } else {
        return Err(OfflineError::Mismatch(format!(
            "this home has no keys/primary; put the key of {did} there first: a backup never holds it"
        )));
    }
    Ok((head, did))
}
