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
/// Most bytes of bodies kept for streams.
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
        {
            let mut recent = self.recent.write().unwrap_or_else(PoisonError::into_inner);
            for stored in written.iter().flatten() {
                last = Some(stored.sequence);
                recent.bytes += stored.record.body.len();
                recent.frames.push_back(Arc::new(Frame::new(stored.clone())));
            }
            while recent.frames.len() > RECENT_RECORDS_MAX || recent.bytes > RECENT_BYTES_MAX {
                let Some(frame) = recent.frames.pop_front() else { break };
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
