//! Indexes over the log: id, thread, actor and clock to sequence, and a summary per thread.
//!
//! All of it is derived. The recent part, the *tail*, is in memory and takes every commit at once; a thread
//! of the caller's writes it behind the writer into a redb file of its own ([`Index::flush`]), with the
//! sequence reached in the same transaction. Readers see both as one: they look at the tail first, and take
//! from the file only what lies at or before the tail's start, so nothing is missed or seen twice while a
//! part moves from one to the other.

mod blocks;
mod highest;
mod read;
mod store;
mod tail;

use std::sync::{
    Arc, Mutex, MutexGuard, PoisonError, RwLock,
    atomic::{AtomicBool, AtomicUsize, Ordering},
};

pub(super) use self::store::{Reached, Store};
use self::{highest::Highest, tail::Tail};
pub use self::{read::Range, tail::TailEntry};
use super::error::{StoreError, guarded};
use crate::{
    commit::Chain,
    draft::BodyFacts,
    json::{Bounds, Json},
    limits,
    record::StoredRecord,
};

/// Records per transaction of a flush.
pub const FLUSH_RECORDS: usize = 16_384;

/// A record that has come into the log, and what the index keeps of it beside what it says itself.
#[derive(Debug)]
pub(super) struct Fresh {
    pub stored: Arc<StoredRecord>,
    pub facts: BodyFacts,
    /// The chain after its commit.
    pub chain: Chain,
}

/// The index of one log.
#[derive(Debug)]
pub struct Index {
    store: Store,
    tail: RwLock<Tail>,
    /// Taken before `tail` where both are.
    highest: Mutex<Highest>,
    /// Records of the tail, and what they hold, as of the last change: each write asks, beside whoever changes it.
    behind: AtomicUsize,
    behind_bytes: AtomicUsize,
    /// A read has failed.
    unreadable: AtomicBool,
}

impl Index {
    pub(super) fn new(store: Store, reached: u64) -> Self {
        Self {
            store,
            tail: RwLock::new(Tail::new(reached)),
            highest: Mutex::default(),
            behind: AtomicUsize::new(0),
            behind_bytes: AtomicUsize::new(0),
            unreadable: AtomicBool::new(false),
        }
    }

    fn changed(&self, tail: &Tail) {
        self.behind.store(tail.len(), Ordering::Release);
        self.behind_bytes.store(tail.bytes(), Ordering::Release);
    }

    fn tail(&self) -> std::sync::RwLockReadGuard<'_, Tail> {
        self.tail.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes in the records of committed commits, in order.
    pub(super) fn push(&self, records: impl IntoIterator<Item = Fresh>) {
        let mut highest = self.highest();
        let mut tail = self.tail.write().unwrap_or_else(PoisonError::into_inner);
        for fresh in records {
            let record = &fresh.stored.record;
            highest.wrote(&record.thread, &record.actor, record.clock);
            tail.push(fresh);
        }
        self.changed(&tail);
    }

    fn highest(&self) -> MutexGuard<'_, Highest> {
        self.highest.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How many records are not yet in the index file.
    #[must_use]
    pub fn behind(&self) -> usize {
        self.behind.load(Ordering::Acquire)
    }

    /// What the records that are not yet in the index file hold in memory, roughly, in bytes.
    #[must_use]
    pub fn behind_bytes(&self) -> usize {
        self.behind_bytes.load(Ordering::Acquire)
    }

    /// Writes up to [`FLUSH_RECORDS`] records of the tail into the index file and drops them from memory.
    /// Returns how many. One caller at a time; the writer and readers go on meanwhile.
    ///
    /// # Errors
    /// When the index file cannot be written. The tail keeps what was not.
    pub fn flush(&self) -> Result<usize, StoreError> {
        let batch: Vec<Arc<TailEntry>> = self.tail().oldest(FLUSH_RECORDS);
        let Some(last) = batch.last() else { return Ok(0) };
        let reached = Reached { sequence: last.sequence, chain: last.chain };
        guarded(|| self.store.write(&batch, reached))?;
        let mut tail = self.tail.write().unwrap_or_else(PoisonError::into_inner);
        tail.drop_through(last.sequence);
        self.changed(&tail);
        Ok(batch.len())
    }
}

impl Fresh {
    /// With the facts read from the stored body.
    ///
    /// # Errors
    /// When the stored body is not JSON.
    pub(super) fn read(stored: StoredRecord, chain: Chain) -> Result<Self, StoreError> {
        let bounds = Bounds { levels: limits::BODY_LEVELS_MAX, values: limits::BODY_VALUES_MAX };
        let body = Json::parse(stored.record.body.as_bytes(), bounds)
            .map_err(|e| StoreError::Damaged(format!("the body of record {}: {e}", stored.sequence)))?;
        let facts = BodyFacts::of(stored.record.act, &body);
        Ok(Self { stored: Arc::new(stored), facts, chain })
    }
}
