//! What can go wrong with the log, by operation.

use std::{
    cell::Cell,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::Once,
};

use crate::commit::DecodeError;

/// The store failed below the log: an I/O error, or bytes that are not what was written.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The storage engine failed.
    #[error("the storage engine failed")]
    Engine(#[source] Box<redb::Error>),
    /// A row is not decodable.
    #[error("the log is damaged at record {sequence}")]
    Row {
        /// Where.
        sequence: u64,
        /// How.
        #[source]
        source: DecodeError,
    },
    /// Rows do not fit together.
    #[error("the log is damaged: {0}")]
    Damaged(String),
    /// The storage engine met a state that it holds impossible.
    #[error("the file is damaged: {0}")]
    Panicked(String),
    /// The journal cannot be written.
    #[error("the journal could not be written")]
    Journal(#[source] std::io::Error),
    /// Writing failed before; the handle takes nothing more.
    #[error("the log failed earlier and takes no more writes")]
    Failed,
}

impl StoreError {
    /// Whether the disk was full.
    #[must_use]
    pub fn is_full(&self) -> bool {
        let io = match self {
            Self::Journal(io) => io,
            Self::Engine(error) => match &**error {
                redb::Error::Io(io) => io,
                _ => return false,
            },
            _ => return false,
        };
        matches!(io.kind(), std::io::ErrorKind::StorageFull | std::io::ErrorKind::QuotaExceeded)
    }
}

macro_rules! from_engine {
    ($($error:ty),+) => { $(
        impl From<$error> for StoreError {
            fn from(error: $error) -> Self {
                Self::Engine(Box::new(error.into()))
            }
        }
    )+ };
}
from_engine!(
    redb::DatabaseError,
    redb::TransactionError,
    redb::TableError,
    redb::StorageError,
    redb::CommitError,
    redb::SetDurabilityError
);

/// Why a log cannot be opened. The file is as it was.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// A newer (or unknown) format.
    #[error(
        "the log has format version {found}, this spl reads version {known}; use the spl that wrote it, or a newer one"
    )]
    Version {
        /// In the file.
        found: u64,
        /// Here.
        known: u64,
    },
    /// Not a log of spl at all.
    #[error("the file is not a log of spl")]
    Foreign,
    /// The journal holds what the log does not, and the two do not fit together: commits that were acknowledged
    /// would be lost.
    #[error("the journal beside the log does not fit it")]
    Journal(#[from] JournalError),
    /// Damaged, truncated, or unreadable.
    #[error("the log cannot be opened")]
    Store(#[from] StoreError),
    /// The operating system said no.
    #[error("the log file cannot be opened")]
    Io(#[from] std::io::Error),
}

/// Why a journal and a log do not belong together.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum JournalError {
    /// The log is older than its journal.
    #[error(
        "the log ends at record {log}, but its journal goes up to record {journal}: the log is older than it was, or a part of the journal is damaged"
    )]
    Older {
        /// Where the log ends.
        log: u64,
        /// How far it was, at least.
        journal: u64,
    },
    /// The journal continues another history.
    #[error("the journal belongs to another log, or to another history of this one")]
    Another,
    /// A newer (or unknown) format.
    #[error(
        "the journal has format version {found}, this spl reads version {known}; use the spl that wrote it, or a newer one"
    )]
    Version {
        /// In the file.
        found: u32,
        /// Here.
        known: u32,
    },
    /// Not readable, and there is something in it.
    #[error("the journal is damaged, or is no journal of spl: {0}")]
    Damaged(&'static str),
}

/// Why commits were not written. Nothing of them is in the log.
#[derive(Debug, thiserror::Error)]
pub enum AppendError {
    /// Somebody else wrote since the caller looked.
    #[error("the log's head is {actual}, not {expected}")]
    HeadMoved {
        /// What the caller built on.
        expected: u64,
        /// What is.
        actual: u64,
    },
    /// The disk is full.
    #[error("the disk is full")]
    Full(#[source] StoreError),
    /// The store failed; the handle must not be used for writing again.
    #[error("the log could not be written")]
    Store(#[source] StoreError),
}

impl From<StoreError> for AppendError {
    fn from(error: StoreError) -> Self {
        if error.is_full() { Self::Full(error) } else { Self::Store(error) }
    }
}

thread_local! {
    /// Whether this thread is inside [`guarded`].
    static GUARDED: Cell<bool> = const { Cell::new(false) };
}

/// Keeps the runtime's own words on a panic from being printed where [`guarded`] turns it into an error: they
/// name lines of the engine, which help nobody whose file is damaged. All other panics print as before.
fn quiet_guarded_panics() {
    static INSTALLED: Once = Once::new();
    // The hook must not be touched by a thread that panics; what it prints then is one line too many.
    if std::thread::panicking() {
        return;
    }
    INSTALLED.call_once(|| {
        let print = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |panic| {
            if !GUARDED.get() {
                print(panic);
            }
        }));
    });
}

/// Runs `f`; a panic of the engine over damaged pages becomes an error. The engine does not check a page before
/// it follows it. What `f` was at is given up with it, so nothing half-done is seen again.
pub(super) fn guarded<T, E: From<StoreError>>(f: impl FnOnce() -> Result<T, E>) -> Result<T, E> {
    quiet_guarded_panics();
    let outer = GUARDED.replace(true);
    let result = catch_unwind(AssertUnwindSafe(f));
    GUARDED.set(outer);
    match result {
        Ok(result) => result,
        Err(panic) => {
            let text = panic
                .downcast_ref::<String>()
                .cloned()
                .or_else(|| panic.downcast_ref::<&str>().map(|s| (*s).to_owned()))
                .unwrap_or_default();
            Err(StoreError::Panicked(text).into())
        }
    }
}
