//! The append-only log: commits in order in one redb file, a journal in front of it, and the indexes derived from it.
//!
//! The surface is small on purpose (append commits after an expected head, read after a sequence, the head,
//! point reads), so that something else can stand behind it. One thread writes; any number read. [`Log::append`]
//! returns once the commits are on disk: in the journal, from which [`Log::settle`], called by a thread of the
//! caller's, moves them into redb. Readers see no difference.

pub mod backup;
pub mod error;
mod group;
mod index;
mod journal;
mod open;
mod overlay;
mod pending;
mod read;
mod read_only;
mod replay;
mod rows;
mod settle;
pub mod verify;
mod waiting;

use std::{
    path::PathBuf,
    sync::{
        Arc, Mutex, PoisonError, RwLock,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
};

use redb::{Database, ReadOnlyTable, ReadableDatabase as _, TableDefinition};

use self::{
    error::{AppendError, StoreError},
    group::Group,
    journal::{Journal, frame},
    pending::{Pending, Rows},
    waiting::Waits,
};
pub use self::{
    index::{FLUSH_RECORDS, Index, Range, TailEntry},
    journal::{Segments, journal_path},
    open::{Backends, LogSource, index_path},
    read::{CommitInfo, Reader},
    read_only::ReadOnlyLog,
    settle::SETTLE_DUE_BYTES,
    waiting::Wait,
};
use crate::{
    commit::{Commit, FORMAT_VERSION, Head},
    draft::BodyFacts,
    record::StoredRecord,
};

const META: TableDefinition<'_, &str, u64> = TableDefinition::new("spl.meta");
const FORMAT_KEY: &str = "format_version";
/// First sequence of a piece to the piece.
const ROWS: TableDefinition<'_, u64, &[u8]> = TableDefinition::new("spl.rows.1");

/// Memory that redb may use to cache the log, and the index, in bytes each.
const CACHE_BYTES: usize = 6 * 1024 * 1024;

/// An open log.
#[derive(Debug)]
pub struct Log {
    /// The rows that redb has, as of its last transaction. Before `db`, which closes its file once nobody reads from it.
    settled_rows: RwLock<Arc<SettledRows>>,
    db: Database,
    index: Index,
    waits: Waits,
    visible: RwLock<Visible>,
    /// Held by whoever writes, from the check of the head on. None where redb alone is written.
    journal: Mutex<Option<Journal>>,
    /// Held by whoever writes into redb. Taken after `journal` where both are.
    settling: Mutex<()>,
    /// The last sequence that redb has durably.
    settled: AtomicU64,
    /// Whether writing failed once: then it is over.
    failed: AtomicBool,
    path: Option<PathBuf>,
}

/// The rows in a snapshot of redb. To begin one and open its table costs more than to find a row: so each is for all
/// readers until the next.
struct SettledRows(ReadOnlyTable<u64, &'static [u8]>);

impl SettledRows {
    fn of(db: &Database) -> Result<Arc<Self>, StoreError> {
        Ok(Arc::new(Self(db.begin_read()?.open_table(ROWS)?)))
    }
}

impl std::fmt::Debug for SettledRows {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("SettledRows")
    }
}

/// What readers begin with.
#[derive(Debug)]
struct Visible {
    head: Head,
    pending: Pending,
}

/// A commit with what the index needs of each record's body.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewCommit {
    /// The commit.
    pub commit: Commit,
    /// The facts of each entry's body, in order.
    pub facts: Vec<BodyFacts>,
}

impl Log {
    /// Where the log ends.
    #[must_use]
    pub fn head(&self) -> Head {
        self.visible.read().unwrap_or_else(PoisonError::into_inner).head
    }

    /// The rows that only the journal has, as of now.
    fn pending(&self) -> Pending {
        self.visible.read().unwrap_or_else(PoisonError::into_inner).pending.clone()
    }

    /// The indexes.
    #[must_use]
    pub fn index(&self) -> &Index {
        &self.index
    }

    /// The log's file; `None` in memory.
    #[must_use]
    pub fn path(&self) -> Option<&std::path::Path> {
        self.path.as_deref()
    }

    /// Says how a read waits for the disk from now on, so that threads that have more to do than this one read can be
    /// spared it. The first that is said holds. A log in memory never waits.
    pub fn wait_with(&self, wait: Wait) {
        let _ = self.waits.set(wait);
    }

    /// Appends commits, all or none, and returns when they are on disk. They follow each other without gaps
    /// from `expected`, and their times never go back; both are the caller's to build and checked here.
    ///
    /// # Errors
    /// [`AppendError`]; nothing was written then.
    pub fn append(
        &self,
        expected: Head,
        commits: Vec<NewCommit>,
    ) -> Result<Vec<Vec<Arc<StoredRecord>>>, AppendError> {
        let mut journal = self.journal.lock().unwrap_or_else(PoisonError::into_inner);
        self.check_not_failed()?;
        let actual = self.head();
        if actual != expected {
            return Err(AppendError::HeadMoved { expected: expected.sequence, actual: actual.sequence });
        }
        if commits.is_empty() {
            return Ok(Vec::new());
        }
        let Group { rows, fresh, stored } = Group::encode(&expected, commits)?;
        let head = rows.after;
        match &mut *journal {
            // The first group is not for the journal: from then on chains differ, and a journal is of one log only.
            Some(journal)
                if expected.sequence > 0 && frame::encoded_len(&rows) <= journal.frame_bytes_max() =>
            {
                self.write_frame(journal, &rows)?;
                self.visible.write().unwrap_or_else(PoisonError::into_inner).pending.push(rows);
            }
            _ => self.insert_directly(rows)?,
        }
        self.index.push(fresh);
        self.visible.write().unwrap_or_else(PoisonError::into_inner).head = head;
        Ok(stored)
    }

    /// Writes a group into the journal, where there is room for it or room can be made.
    fn write_frame(&self, journal: &mut Journal, rows: &Rows) -> Result<(), StoreError> {
        let bytes = frame::encoded_len(rows);
        let place = loop {
            if let Some(place) = journal.place(bytes, self.settled.load(Ordering::Acquire)) {
                break place;
            }
            if !journal.may_grow() {
                self.settle()?;
                continue;
            }
            match journal.grow().map_err(StoreError::Journal) {
                Ok(()) => {}
                // Without room on the disk it is as long as it can be.
                Err(error) if error.is_full() => journal.stop_growing(),
                Err(error) => return Err(self.fail(error)),
            }
        };
        journal.write(place, rows).map_err(|error| self.fail(StoreError::Journal(error)))
    }
}

/// The one format version that this build reads and writes.
const KNOWN_VERSION: u64 = FORMAT_VERSION as u64;
