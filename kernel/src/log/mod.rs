//! The append-only log: commits in order in one redb file, and the indexes derived from it.
//!
//! The surface is small on purpose (append commits after an expected head, read after a sequence, the head,
//! point reads), so that something else can stand in front of or behind it. One thread writes; any number
//! read. [`Log::append`] returns once the commits are on disk.

pub mod backup;
pub mod error;
mod index;
mod open;
mod overlay;
mod read;
mod rows;
pub mod verify;

use std::{
    path::PathBuf,
    sync::{Arc, PoisonError, RwLock},
};

use redb::{Database, Durability, TableDefinition};

use self::{
    error::{AppendError, StoreError, guarded},
    rows::cut,
};
pub use self::{
    index::{FLUSH_RECORDS, Index, Range, TailEntry},
    open::{LogSource, index_path},
    read::{CommitInfo, Reader},
};
use crate::{
    commit::{Commit, FORMAT_VERSION, Head, encode_commit, encode_entry},
    draft::BodyFacts,
    limits,
    record::StoredRecord,
};

const META: TableDefinition<'_, &str, u64> = TableDefinition::new("spl.meta");
const FORMAT_KEY: &str = "format_version";
/// First sequence of a piece to the piece.
const ROWS: TableDefinition<'_, u64, &[u8]> = TableDefinition::new("spl.rows.1");

/// Memory that redb may use to cache the log, and the index, in bytes each.
const CACHE_BYTES: usize = 16 * 1024 * 1024;

/// An open log.
#[derive(Debug)]
pub struct Log {
    db: Database,
    index: Index,
    head: RwLock<Head>,
    path: Option<PathBuf>,
}

/// What an append has put on disk.
struct Written {
    head: Head,
    entries: Vec<TailEntry>,
    stored: Vec<Vec<Arc<StoredRecord>>>,
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
        *self.head.read().unwrap_or_else(PoisonError::into_inner)
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

    /// Appends commits, all or none, and returns when they are on disk. They follow each other without gaps
    /// from `expected`, and their times never go back; both are the caller's to build and checked here.
    ///
    /// # Errors
    /// [`AppendError`]; nothing was written then.
    pub fn append(
        &self,
        expected: Head,
        commits: &[NewCommit],
    ) -> Result<Vec<Vec<Arc<StoredRecord>>>, AppendError> {
        let actual = self.head();
        if actual != expected {
            return Err(AppendError::HeadMoved { expected: expected.sequence, actual: actual.sequence });
        }
        let Written { head, entries, stored } = guarded(|| self.write(expected, commits))?;
        self.index.push(entries);
        *self.head.write().unwrap_or_else(PoisonError::into_inner) = head;
        Ok(stored)
    }

    /// Writes the commits in one synced transaction.
    fn write(&self, expected: Head, commits: &[NewCommit]) -> Result<Written, AppendError> {
        let mut head = expected;
        let mut entries = Vec::new();
        let mut written = Vec::with_capacity(commits.len());
        let mut txn = self.db.begin_write().map_err(StoreError::from)?;
        txn.set_durability(Durability::Immediate).map_err(StoreError::from)?;
        // Reopening after a crash then costs milliseconds whatever the size.
        txn.set_quick_repair(true);
        {
            let mut rows = txn.open_table(ROWS).map_err(StoreError::from)?;
            for NewCommit { commit, facts } in commits {
                check_follows(&head, commit, facts)?;
                let records: Vec<Vec<u8>> =
                    commit.entries.iter().map(|e| encode_entry(&e.record, &e.provenance)).collect();
                let encoded = encode_commit(commit.first_sequence, commit.committed_at, &records);
                if encoded.len() > limits::COMMIT_BYTES_MAX {
                    let first = commit.first_sequence;
                    return Err(
                        StoreError::Damaged(format!("commit {first} is longer than it may be")).into()
                    );
                }
                let chain = head.chain.after(&encoded);
                for (first, bytes) in cut(commit.first_sequence, commit.committed_at, chain, &records) {
                    // An insert replaces silently: append-only is ours to enforce.
                    if rows.insert(first, bytes.as_slice()).map_err(StoreError::from)?.is_some() {
                        return Err(StoreError::Damaged(format!("record {first} is there already")).into());
                    }
                }
                let stored = stored_records(commit);
                entries.extend(stored.iter().zip(facts).map(|(s, f)| TailEntry::of(s, f, chain)));
                head = Head {
                    sequence: head.sequence + commit.entries.len() as u64,
                    chain,
                    committed_at: commit.committed_at,
                };
                written.push(stored);
            }
        }
        txn.commit().map_err(StoreError::from)?;
        Ok(Written { head, entries, stored: written })
    }
}

fn check_follows(head: &Head, commit: &Commit, facts: &[BodyFacts]) -> Result<(), AppendError> {
    let follows = commit.first_sequence == head.sequence + 1
        && commit.committed_at >= head.committed_at
        && !commit.entries.is_empty()
        && commit.entries.len() <= limits::COMMIT_RECORDS_MAX
        && commit.entries.len() == facts.len();
    if follows {
        Ok(())
    } else {
        Err(StoreError::Damaged(format!("commit {} does not follow the head", commit.first_sequence)).into())
    }
}

fn stored_records(commit: &Commit) -> Vec<Arc<StoredRecord>> {
    (commit.first_sequence..)
        .zip(&commit.entries)
        .map(|(sequence, entry)| {
            Arc::new(StoredRecord {
                sequence,
                committed_at: commit.committed_at,
                record: entry.record.clone(),
                provenance: entry.provenance.clone(),
            })
        })
        .collect()
}

/// The one format version that this build reads and writes.
const KNOWN_VERSION: u64 = FORMAT_VERSION as u64;
