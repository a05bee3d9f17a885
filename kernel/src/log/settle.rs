//! Moving what the journal holds into redb.

use std::sync::{Arc, PoisonError, atomic::Ordering};

use redb::Durability;

use super::{
    Log, ROWS, SettledRows,
    error::{StoreError, guarded},
    pending::{Pending, Rows},
};

/// Rows are taken into one transaction until they have this many bytes.
const SETTLE_BYTES: usize = 4 * 1024 * 1024;

/// With this much of the journal in use it is worth a transaction, in bytes: [`Log::settle`] is best called then, or
/// when nothing has been appended for a while. Each transaction costs two syncs, which the appends feel.
/// It is the length of a segment: where moving one takes longer than filling the next, the journal grows.
pub const SETTLE_DUE_BYTES: usize = 2 * 1024 * 1024;

/// Groups that are dropped from memory under one lock, which readers and the writer wait for.
const DROPPED_AT_ONCE: usize = 64;

impl Log {
    /// Moves the oldest part of what only the journal holds into redb, up to about 4 MiB in one synced transaction, and
    /// drops it from memory. Returns how many records that were; 0 when redb has everything. One caller at a time, others
    /// wait for it; the writer and readers go on meanwhile.
    ///
    /// # Errors
    /// When redb cannot be written, now or earlier. What was acknowledged is still in the journal; the log takes no
    /// more writes then.
    pub fn settle(&self) -> Result<u64, StoreError> {
        let _settling = self.settling.lock().unwrap_or_else(PoisonError::into_inner);
        self.check_not_failed()?;
        let groups = oldest(&self.pending());
        let (Some(first), Some(last)) = (groups.first(), groups.last()) else { return Ok(0) };
        self.insert(&groups)?;
        self.settled.store(last.after.sequence, Ordering::Release);
        for part in groups.chunks(DROPPED_AT_ONCE) {
            let mut visible = self.visible.write().unwrap_or_else(PoisonError::into_inner);
            part.iter().for_each(|group| visible.pending.remove(group.first));
        }
        Ok(last.after.sequence - first.first + 1)
    }

    /// How much of the journal is in use: what it holds and redb does not, in bytes.
    #[must_use]
    pub fn unsettled_bytes(&self) -> usize {
        self.visible.read().unwrap_or_else(PoisonError::into_inner).pending.frame_bytes()
    }

    /// Moves everything into redb.
    pub(super) fn settle_all(&self) -> Result<(), StoreError> {
        while self.settle()? > 0 {}
        Ok(())
    }

    /// Settles, and notes in the journal how far redb is: afterwards the log's file is complete by itself, until the next
    /// append. Dropping a log does this too, but tells nobody of errors.
    ///
    /// # Errors
    /// As [`Self::settle`], or when the journal cannot be written.
    pub fn close(&self) -> Result<(), StoreError> {
        let mut journal = self.journal.lock().unwrap_or_else(PoisonError::into_inner);
        self.settle_all()?;
        let Some(journal) = &mut *journal else { return Ok(()) };
        journal.rest(&self.head()).map_err(|error| self.fail(StoreError::Journal(error)))
    }

    /// Writes a group that is in no frame, after everything before it.
    pub(super) fn insert_directly(&self, rows: Rows) -> Result<(), StoreError> {
        self.settle_all()?;
        let _settling = self.settling.lock().unwrap_or_else(PoisonError::into_inner);
        let last = rows.after.sequence;
        self.insert(&[Arc::new(rows)])?;
        self.settled.store(last, Ordering::Release);
        Ok(())
    }

    /// Inserts groups in one synced transaction. A failure is the end of writing: the engine's handle is not to be
    /// trusted after it.
    fn insert(&self, groups: &[Arc<Rows>]) -> Result<(), StoreError> {
        guarded(|| {
            let mut txn = self.db.begin_write()?;
            txn.set_durability(Durability::Immediate)?;
            // Reopening after a crash then costs milliseconds whatever the size.
            txn.set_quick_repair(true);
            {
                let mut table = txn.open_table(ROWS)?;
                for (first, bytes) in groups.iter().flat_map(|group| &group.rows) {
                    // An insert replaces silently: append-only is ours to enforce.
                    if table.insert(first, bytes.as_slice())?.is_some() {
                        return Err(StoreError::Damaged(format!("record {first} is there already")));
                    }
                }
            }
            txn.commit()?;
            *self.settled_rows.write().unwrap_or_else(PoisonError::into_inner) = SettledRows::of(&self.db)?;
            Ok(())
        })
        .map_err(|error| self.fail(error))
    }

    /// Notes that nothing more may be written.
    pub(super) fn fail(&self, error: StoreError) -> StoreError {
        self.failed.store(true, Ordering::Release);
        error
    }

    pub(super) fn check_not_failed(&self) -> Result<(), StoreError> {
        if self.failed.load(Ordering::Acquire) { Err(StoreError::Failed) } else { Ok(()) }
    }
}

/// The oldest groups, up to [`SETTLE_BYTES`] and at least one.
fn oldest(pending: &Pending) -> Vec<Arc<Rows>> {
    let mut bytes = 0;
    pending
        .groups()
        .take_while(|group| {
            let taken = bytes == 0 || bytes + group.bytes <= SETTLE_BYTES;
            bytes += group.bytes;
            taken
        })
        .cloned()
        .collect()
}

impl Drop for Log {
    fn drop(&mut self) {
        // Whatever goes wrong here, the journal has what was acknowledged.
        let _ = self.close();
    }
}
