//! What readers see of the writer: one snapshot of state, the head, and the most recent records.

use std::{
    collections::VecDeque,
    sync::{
        Arc, OnceLock, PoisonError, RwLock,
        atomic::{AtomicU64, Ordering},
    },
};

use arc_swap::ArcSwap;
use bytes::Bytes;
use spl_kernel::{commit::Head, record::StoredRecord};
use spl_projections::World;
use tokio::sync::watch;

use crate::wire;

/// Most records kept for streams.
const RECENT_RECORDS_MAX: usize = 2048;
/// Most bytes of bodies kept for streams. Beyond both, one group is kept whole until the next: streams that wait for it
/// take it from here, and not each for itself from the log.
const RECENT_BYTES_MAX: usize = 4 * 1024 * 1024;

/// A record with its stream frames, each serialised once for all subscribers, when the first one asks.
#[derive(Debug)]
pub(crate) struct Frame {
    /// The record.
    pub(crate) stored: Arc<StoredRecord>,
    bytes: OnceLock<Bytes>,
    with_provenance: OnceLock<Bytes>,
}

impl Frame {
    pub(crate) fn new(stored: Arc<StoredRecord>) -> Self {
        Self { stored, bytes: OnceLock::new(), with_provenance: OnceLock::new() }
    }

    /// The frame; admins get one of their own, with origin and token.
    pub(crate) fn bytes(&self, provenance: bool) -> Bytes {
        let frame = if provenance { &self.with_provenance } else { &self.bytes };
        frame.get_or_init(|| wire::frame(&self.stored, provenance)).clone()
    }
}

#[derive(Debug, Default)]
struct Recent {
    frames: VecDeque<Arc<Frame>>,
    bytes: usize,
}

/// See the module.
#[derive(Debug)]
pub(crate) struct Published {
    world: ArcSwap<World>,
    /// Counts the snapshots of state.
    generation: AtomicU64,
    head: watch::Sender<u64>,
    /// Position of the last record that state was folded from.
    state: watch::Sender<u64>,
    recent: RwLock<Recent>,
}

impl Published {
    pub(crate) fn new(world: World, head: Head) -> Self {
        Self {
            world: ArcSwap::from_pointee(world),
            generation: AtomicU64::new(0),
            head: watch::Sender::new(head.sequence),
            state: watch::Sender::new(0),
            recent: RwLock::default(),
        }
    }

    /// Makes a written group visible: its records first, then state, then the head that wakes streams.
    /// `reformed` says that state is the same but in another form.
    pub(crate) fn publish(&self, world: &World, reformed: bool, written: &[Vec<Arc<StoredRecord>>]) {
        let mut last = None;
        let first = written.iter().flatten().next().map(|stored| stored.sequence);
        {
            let mut recent = self.recent.write().unwrap_or_else(PoisonError::into_inner);
            for stored in written.iter().flatten() {
                last = Some(stored.sequence);
                recent.bytes += stored.record.body.len();
                recent.frames.push_back(Arc::new(Frame::new(stored.clone())));
            }
            while recent.frames.len() > RECENT_RECORDS_MAX || recent.bytes > RECENT_BYTES_MAX {
                let is_older = |frame: &mut Arc<Frame>| first.is_none_or(|at| frame.stored.sequence < at);
                let Some(frame) = recent.frames.pop_front_if(is_older) else { break };
                recent.bytes = recent.bytes.saturating_sub(frame.stored.record.body.len());
            }
        }
        if reformed || world.folded_through != self.world.load().folded_through {
            self.world.store(Arc::new(world.clone()));
            // After it: who reads this and then the snapshot has one that is no older.
            self.generation.fetch_add(1, Ordering::Release);
            self.state.send_replace(world.folded_through);
        }
        if let Some(last) = last {
            self.head.send_replace(last);
        }
    }

    /// Which snapshot of state is the newest. What was decided on a snapshot that was taken after this was read
    /// holds, but for time, as long as this stays the same.
    pub(crate) fn generation(&self) -> u64 {
        self.generation.load(Ordering::Acquire)
    }

    /// State at one instant.
    pub(crate) fn world(&self) -> arc_swap::Guard<Arc<World>> {
        self.world.load()
    }

    /// State at one instant, for longer than a moment.
    pub(crate) fn world_arc(&self) -> Arc<World> {
        self.world.load_full()
    }

    /// Position of the last record.
    pub(crate) fn head(&self) -> u64 {
        *self.head.borrow()
    }

    /// Wakes when the head moves.
    pub(crate) fn subscribe(&self) -> watch::Receiver<u64> {
        self.head.subscribe()
    }

    /// Wakes when state changes.
    pub(crate) fn subscribe_state(&self) -> watch::Receiver<u64> {
        self.state.subscribe()
    }

    /// Up to `limit` of the most recent records after `sequence`; `None` when they are not all here and the
    /// log has to be read.
    pub(crate) fn recent_after(&self, sequence: u64, limit: usize) -> Option<Vec<Arc<Frame>>> {
        let recent = self.recent.read().unwrap_or_else(PoisonError::into_inner);
        let first = recent.frames.front()?.stored.sequence;
        let skip = usize::try_from((sequence + 1).checked_sub(first)?).ok()?;
        Some(recent.frames.iter().skip(skip).take(limit).cloned().collect())
    }
}

#[cfg(test)]
mod tests {
    use spl_kernel::{
        draft::Draft,
        json::Json,
        record::{Act, Origin, Provenance},
        time::UnixMillis,
    };

    use super::*;

    /// Records with bodies of `size` bytes, one after the other from `first`.
    fn group(first: u64, count: usize, size: usize) -> Vec<Vec<Arc<StoredRecord>>> {
        let body = Json::object([("text", "x".repeat(size).as_str().into())]);
        let draft = Draft::new("th.a", "did:sync:user:a", Act::Put, body).unwrap();
        let stored = |sequence| {
            let id = draft.id_at(sequence).unwrap();
            Arc::new(StoredRecord {
                sequence,
                committed_at: UnixMillis(0),
                record: draft.clone().into_record(id, sequence),
                provenance: Provenance::without_credential(Origin::Posted),
            })
        };
        vec![(first..).take(count).map(stored).collect()]
    }

    #[test]
    fn a_group_is_kept_until_the_next_however_large_it_is() {
        let (world, published) = (World::default(), Published::new(World::default(), Head::EMPTY));
        let has = |after| published.recent_after(after, usize::MAX).map(|frames| frames.len());
        published.publish(&world, false, &group(1, 10, 10));
        assert_eq!((has(0), has(4), has(10)), (Some(10), Some(6), Some(0)));
        let many = RECENT_RECORDS_MAX + 500;
        published.publish(&world, false, &group(11, many, 10));
        assert_eq!((has(9), has(10)), (None, Some(many)), "those before it went, none of its own");
        published.publish(&world, false, &group(11 + many as u64, 30, RECENT_BYTES_MAX / 20));
        assert_eq!((has(9 + many as u64), has(10 + many as u64)), (None, Some(30)));
        published.publish(&world, false, &group(41 + many as u64, 1, 10));
        assert_eq!((has(20 + many as u64), has(21 + many as u64)), (None, Some(20)), "as many as may be");
    }
}
