//! The home directory: where an instance keeps its log, keys and run files, and who may look at them.

use std::{
    fs::{self, File, OpenOptions, TryLockError},
    io::{self, Read as _, Write as _},
    os::unix::fs::{MetadataExt as _, OpenOptionsExt as _, PermissionsExt as _},
    path::{Path, PathBuf},
    time::Duration,
};

use spl_kernel::{commit::Chain, log::journal_path};

/// How often, and how far apart, the lock is tried for.
const LOCK_TRIES: usize = 10;
const LOCK_PAUSE: Duration = Duration::from_millis(20);

/// Why a home directory cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum HomeError {
    /// Somebody else could read or replace what is in it.
    #[error("{path} {what}; run: {remedy}")]
    Unsafe {
        /// What is unsafe.
        path: String,
        /// Why.
        what: &'static str,
        /// The command that mends it.
        remedy: String,
    },
    /// Another process holds it.
    #[error("another spl uses {0}; see it with `spl serve --status`, stop it with `spl serve --stop`")]
    Locked(String),
    /// The operating system said no.
    #[error("{path}")]
    Io {
        /// The file or directory.
        path: String,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// A file of ours does not hold what it should.
    #[error("{path} is malformed: {what}")]
    Malformed {
        /// The file.
        path: String,
        /// How.
        what: &'static str,
    },
}

fn io_error(path: &Path) -> impl FnOnce(io::Error) -> HomeError + '_ {
    move |source| HomeError::Io { path: path.display().to_string(), source }
}

/// A checked home directory.
#[derive(Debug, Clone)]
pub struct Home {
    dir: PathBuf,
}

/// Proof that no other process uses the home.
#[derive(Debug)]
pub struct HomeLock {
    _file: File,
}

/// A head that was acknowledged: `<home>/keys/head`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct KeptHead {
    /// Position of the last record; 0 before the first commit.
    pub sequence: u64,
    /// The chain there.
    pub chain: Chain,
}

impl Home {
    /// Opens a home, creating what is missing, and refuses one that others can read or write.
    ///
    /// # Errors
    /// [`HomeError`], with the command that mends it.
    pub fn open(dir: &Path) -> Result<Self, HomeError> {
        nix::sys::stat::umask(nix::sys::stat::Mode::from_bits_truncate(0o077));
        let home = Self { dir: dir.to_owned() };
        for dir in [home.dir.clone(), home.dir.join("keys"), home.dir.join("run"), home.dir.join("logs")] {
            fs::create_dir_all(&dir).map_err(io_error(&dir))?;
            check_private(&dir, true)?;
        }
        let index = spl_kernel::log::index_path(&home.log());
        for file in [home.log(), home.journal(), index, home.run("lock"), home.log_lines()] {
            if fs::symlink_metadata(&file).is_ok() {
                check_private(&file, false)?;
            }
        }
        Ok(home)
    }

    /// The directory.
    #[must_use]
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// The log.
    #[must_use]
    pub fn log(&self) -> PathBuf {
        self.dir.join("log.redb")
    }

    /// The log's journal: what the log itself does not have yet.
    #[must_use]
    pub(crate) fn journal(&self) -> PathBuf {
        journal_path(&self.log())
    }

    /// Where a log, and with it its journal, is put that another one replaces.
    pub(crate) fn replaced_log(&self) -> PathBuf {
        (1..=u32::MAX)
            .map(|n| self.dir.join(format!("log.replaced-{n}.redb")))
            .find(|log| !log.exists() && !journal_path(log).exists())
            .unwrap_or_else(|| self.dir.join("log.replaced.redb"))
    }

    /// Puts the journal aside, where there is one: what it holds is to be no part of the log.
    ///
    /// # Errors
    /// When it cannot be moved.
    pub(crate) fn put_journal_aside(&self) -> Result<(), HomeError> {
        let path = self.journal();
        if !path.exists() {
            return Ok(());
        }
        let aside = journal_path(&self.replaced_log());
        fs::rename(&path, &aside).map_err(io_error(&path))?;
        tracing::warn!(aside = %aside.display(), "the journal was put aside");
        File::open(&self.dir).and_then(|dir| dir.sync_all()).map_err(io_error(&self.dir))
    }

    /// The private key's seed.
    #[must_use]
    pub fn primary_key(&self) -> PathBuf {
        self.dir.join("keys/primary")
    }

    fn kept_head_path(&self) -> PathBuf {
        self.dir.join("keys/head")
    }

    /// Says that the log is older than it was, or was restored: the next start ends its tokens.
    fn restored_path(&self) -> PathBuf {
        self.dir.join("keys/restored")
    }

    /// Whether the next commit has to end all tokens.
    #[must_use]
    pub fn is_restored(&self) -> bool {
        self.restored_path().exists()
    }

    /// Notes that an older log comes back, before it does.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn note_restored(&self) -> Result<(), HomeError> {
        write_private(&self.restored_path(), b"tokens and open invites of this log end at the next start\n")
    }

    /// Forgets it: the tokens have ended.
    ///
    /// # Errors
    /// When the file cannot be removed.
    pub fn forget_restored(&self) -> Result<(), HomeError> {
        let path = self.restored_path();
        fs::remove_file(&path).map_err(io_error(&path))
    }

    /// A file in `run/`.
    #[must_use]
    pub fn run(&self, name: &str) -> PathBuf {
        self.dir.join("run").join(name)
    }

    /// The log of what happened, as JSON lines.
    #[must_use]
    pub fn log_lines(&self) -> PathBuf {
        self.dir.join("logs/spl.log")
    }

    /// Takes the home for this process.
    ///
    /// # Errors
    /// [`HomeError::Locked`] when another has it.
    pub fn lock(&self) -> Result<HomeLock, HomeError> {
        let path = self.run("lock");
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .custom_flags(nix::fcntl::OFlag::O_NOFOLLOW.bits())
            .open(&path)
            .map_err(io_error(&path))?;
        // A command that asks whether the home is in use holds the lock for an instant.
        for _ in 0..LOCK_TRIES {
            match file.try_lock() {
                Ok(()) => return Ok(HomeLock { _file: file }),
                Err(TryLockError::WouldBlock) => std::thread::park_timeout(LOCK_PAUSE),
                Err(TryLockError::Error(error)) => return Err(io_error(&path)(error)),
            }
        }
        Err(HomeError::Locked(self.dir.display().to_string()))
    }

    /// The last acknowledged head, if one was kept.
    ///
    /// # Errors
    /// When the file is there but cannot be read.
    pub fn kept_head(&self) -> Result<Option<KeptHead>, HomeError> {
        let path = self.kept_head_path();
        let Some(bytes) = read_private(&path, 256)? else { return Ok(None) };
        let text = String::from_utf8_lossy(&bytes);
        let parsed = text.trim_end().split_once(':').and_then(|(sequence, chain)| {
            Some(KeptHead { sequence: sequence.parse().ok()?, chain: Chain::parse(chain)? })
        });
        let malformed = || HomeError::Malformed {
            path: path.display().to_string(),
            what: "it should hold <sequence>:<chain>",
        };
        parsed.map(Some).ok_or_else(malformed)
    }

    /// Keeps a head that was acknowledged.
    ///
    /// # Errors
    /// When the file cannot be replaced.
    pub fn keep_head(&self, head: KeptHead) -> Result<(), HomeError> {
        write_private(&self.kept_head_path(), format!("{}:{}\n", head.sequence, head.chain).as_bytes())
    }
}

/// Makes a directory of ours, unless it is there, and refuses one that is not ours alone.
///
/// # Errors
/// When it cannot be made, or is not safely ours.
pub(crate) fn make_private_dir(path: &Path) -> Result<(), HomeError> {
    fs::create_dir_all(path).map_err(io_error(path))?;
    check_private(path, true)
}

/// Refuses what somebody else owns, could read or could have put there.
fn check_private(path: &Path, directory: bool) -> Result<(), HomeError> {
    let meta = fs::symlink_metadata(path).map_err(io_error(path))?;
    let shown = path.display().to_string();
    let kind = if directory { "is no directory of its own" } else { "is no file of its own" };
    if meta.is_symlink() || meta.is_dir() != directory {
        return Err(HomeError::Unsafe {
            what: kind,
            remedy: format!("mv '{shown}' '{shown}.aside'"),
            path: shown,
        });
    }
    if meta.uid() != nix::unistd::geteuid().as_raw() {
        let remedy = format!("sudo chown -R $(id -u) '{shown}'");
        return Err(HomeError::Unsafe { what: "belongs to somebody else", remedy, path: shown });
    }
    if meta.permissions().mode() & 0o077 != 0 {
        let mode = if directory { "700" } else { "600" };
        let remedy = format!("chmod {mode} '{shown}'");
        return Err(HomeError::Unsafe { what: "can be read or written by others", remedy, path: shown });
    }
    Ok(())
}

/// Reads a file of ours, at most `limit` bytes. `None` when there is none.
///
/// # Errors
/// When it is not safely ours, or cannot be read.
pub fn read_private(path: &Path, limit: u64) -> Result<Option<Vec<u8>>, HomeError> {
    match fs::symlink_metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(io_error(path)(error)),
        Ok(_) => check_private(path, false)?,
    }
    let mut bytes = Vec::new();
    let file = File::open(path).map_err(io_error(path))?;
    file.take(limit).read_to_end(&mut bytes).map_err(io_error(path))?;
    Ok(Some(bytes))
}

/// Writes a file of ours: new beside it, synced, renamed over it, the directory synced.
///
/// # Errors
/// When any of that fails; the old file is then as it was.
pub fn write_private(path: &Path, bytes: &[u8]) -> Result<(), HomeError> {
    let parent = path.parent().unwrap_or(Path::new("."));
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let fresh = parent.join(format!(".{name}.new"));
    match fs::remove_file(&fresh) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(io_error(&fresh)(error)),
        _ => {}
    }
    let mut file =
        OpenOptions::new().write(true).create_new(true).mode(0o600).open(&fresh).map_err(io_error(&fresh))?;
    file.write_all(bytes).and_then(|()| file.sync_all()).map_err(io_error(&fresh))?;
    fs::rename(&fresh, path).map_err(io_error(path))?;
    File::open(parent).and_then(|dir| dir.sync_all()).map_err(io_error(parent))
}
