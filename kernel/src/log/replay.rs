//! Replay: every record in order, each id recomputed, on two threads.
//!
//! One thread reads rows, decodes records where they lie and hands out those that are asked for. It also writes the text
//! that each id is the SHA-256 of, and gives these in batches to the other, which hashes: most of the work is there. When
//! that one has enough to do, the reader hashes a batch itself.

use std::{
    sync::{
        atomic::{AtomicU64, Ordering},
        mpsc::{self, Receiver, Sender, SyncSender, TrySendError},
    },
    thread,
};

use super::{
    error::StoreError,
    read::{Reader, damaged},
};
use crate::{commit::DecodeError, entry::EntryRef, id::RecordId, record::StoredRecord};

/// Text of one batch, in bytes: small enough to be in a core's cache still when it is hashed.
const BATCH_BYTES: usize = 64 * 1024;

/// Batches that wait for the second thread, at most.
const WAITING_BATCHES: usize = 4;

/// No record is at this position.
const NONE: u64 = u64::MAX;

/// Texts with the ids that they should have.
#[derive(Debug, Default)]
struct Batch {
    text: String,
    /// Position, id, and where the text ends; it begins where the one before ends.
    ids: Vec<(u64, RecordId, usize)>,
}

impl Batch {
    fn push(&mut self, sequence: u64, entry: &EntryRef<'_>) {
        // A text that is cut short has not the id that it should have, and is found.
        let _ = entry.write_canonical(&mut self.text);
        self.ids.push((sequence, entry.id(), self.text.len()));
    }

    fn is_full(&self) -> bool {
        self.text.len() >= BATCH_BYTES
    }

    /// The position of the first text that has another id, or [`NONE`]. The batch is empty afterwards.
    fn check(&mut self) -> u64 {
        let mut start = 0;
        let mut wrong = NONE;
        for (sequence, id, end) in self.ids.drain(..) {
            if self.text.get(start..end).is_none_or(|text| RecordId::of(text) != id) {
                wrong = wrong.min(sequence);
            }
            start = end;
        }
        self.text.clear();
        wrong
    }
}

/// The reader's end of the check.
struct Checker<'a> {
    batch: Batch,
    full: SyncSender<Batch>,
    emptied: Receiver<Batch>,
    /// The lowest position of a record whose id is wrong.
    wrong: &'a AtomicU64,
}

impl Checker<'_> {
    /// Has what was gathered checked; false where something was found wrong already.
    fn hand_over(&mut self) -> bool {
        let next = self.emptied.try_recv().unwrap_or_default();
        let batch = std::mem::replace(&mut self.batch, next);
        // Where the other has enough, or where there is none.
        if let Err(TrySendError::Full(batch) | TrySendError::Disconnected(batch)) = self.full.try_send(batch)
        {
            self.batch = batch;
            self.check_here();
        }
        self.wrong.load(Ordering::Relaxed) == NONE
    }

    fn check_here(&mut self) {
        self.wrong.fetch_min(self.batch.check(), Ordering::Relaxed);
    }
}

/// What the second thread does until there are no more batches.
fn check_all(full: &Receiver<Batch>, emptied: &Sender<Batch>, wrong: &AtomicU64) {
    for mut batch in full {
        wrong.fetch_min(batch.check(), Ordering::Relaxed);
        // The reader may be through.
        let _ = emptied.send(batch);
    }
}

impl Reader {
    /// Recomputes the id of every record, and calls `visit`, in order, with those that `wanted` asks for, until it says
    /// false. `visit` is called before the record's id is known to be right: what came of it counts only if this
    /// succeeds. `progress` hears of positions reached, now and then.
    ///
    /// # Errors
    /// When the file cannot be read, or is damaged at some record, or its id is not that of its fields: the first such
    /// record, of those up to where `visit` says false, is named.
    pub fn replay(
        &self,
        wanted: &dyn Fn(&EntryRef<'_>) -> bool,
        visit: &mut dyn FnMut(StoredRecord) -> bool,
        progress: &mut dyn FnMut(u64),
    ) -> Result<(), StoreError> {
        let wrong = AtomicU64::new(NONE);
        let (full, to_check) = mpsc::sync_channel(WAITING_BATCHES);
        // Bounded by how many batches there are: those that wait, and one for each thread.
        let (give_back, emptied) = mpsc::channel();
        let read = thread::scope(|scope| {
            let wrong = &wrong;
            let mut checker = Checker { batch: Batch::default(), full, emptied, wrong };
            // Without a second thread the reader does it all.
            let _ = thread::Builder::new()
                .name("spl-ids".into())
                .spawn_scoped(scope, move || check_all(&to_check, &give_back, wrong));
            let read = self.scan_entries(0, &mut |sequence, committed_at, entry| {
                checker.batch.push(sequence, entry);
                if checker.batch.is_full() {
                    progress(sequence);
                    if !checker.hand_over() {
                        return false;
                    }
                }
                !wanted(entry) || visit(entry.to_stored(sequence, committed_at))
            });
            checker.check_here();
            read
        });
        // All that was read before comes before what could not be read.
        match wrong.into_inner() {
            NONE => read,
            first => Err(damaged(first)(DecodeError::Malformed("the id is not that of the fields"))),
        }
    }
}
