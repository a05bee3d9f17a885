//! The recent part of the index, in memory.

use std::{
    collections::{BTreeMap, VecDeque},
    hash::RandomState,
    sync::Arc,
};

use hashbrown::hash_map::EntryRef;

use super::Fresh;
use crate::{commit::Chain, id::RecordId, record::Act, thread::Effect, time::UnixMillis};

/// Its keys are of others' choice, so its hashes are not to be foreseen.
type Map<K, V> = hashbrown::HashMap<K, V, RandomState>;

/// What the index keeps of one record until it is in the file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TailEntry {
    /// Position.
    pub sequence: u64,
    /// The chain after the record's commit.
    pub chain: Chain,
    /// Id.
    pub id: RecordId,
    /// Thread.
    pub thread: Arc<str>,
    /// Actor.
    pub actor: Arc<str>,
    /// Act.
    pub act: Act,
    /// Clock.
    pub clock: u64,
    /// Time of its commit.
    pub committed_at: UnixMillis,
    /// What its body does to the thread.
    pub effect: Effect,
    /// Whether its writer could read the thread's opening.
    pub sees_opening: bool,
}

type Sequences = VecDeque<u64>;

/// Clocks, and the positions that hold them.
type Clocks = BTreeMap<u64, u64>;

/// What the tail has of one thread.
#[derive(Debug, Default)]
struct Thread {
    sequences: Sequences,
    /// By actor.
    members: Map<Arc<str>, Clocks>,
}

/// Entries after `base`, and ways into them.
#[derive(Debug)]
pub(super) struct Tail {
    /// Everything at or before this position is in the file.
    pub base: u64,
    entries: VecDeque<Arc<TailEntry>>,
    by_id: Map<RecordId, u64>,
    by_thread: Map<Arc<str>, Thread>,
    by_actor: Map<Arc<str>, Sequences>,
    /// Positions of INTENDs that may open a task.
    pub task_openers: VecDeque<u64>,
    /// What the entries hold in memory, roughly.
    bytes: usize,
}

/// The value under a name, made where there is none, and the name as it is kept: once, however many entries carry it.
fn named<'a, V: Default>(map: &'a mut Map<Arc<str>, V>, name: &str) -> (Arc<str>, &'a mut V) {
    let slot = match map.entry_ref(name) {
        EntryRef::Occupied(slot) => slot,
        EntryRef::Vacant(slot) => slot.insert_entry_with_key(name.into(), V::default()),
    };
    (slot.key().clone(), slot.into_mut())
}

/// Memory of an entry beside its names and what its effect names: itself, its places in the maps, and the maps of a
/// thread that has no other.
const ENTRY_BYTES: usize = 768;

impl TailEntry {
    fn weight(&self) -> usize {
        ENTRY_BYTES
            + self.thread.len()
            + self.actor.len()
            + self.effect.fulfills.len() * size_of::<RecordId>()
    }
}

impl Tail {
    pub(super) fn new(base: u64) -> Self {
        Self {
            base,
            entries: VecDeque::new(),
            by_id: Map::default(),
            by_thread: Map::default(),
            by_actor: Map::default(),
            task_openers: VecDeque::new(),
            bytes: 0,
        }
    }

    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    pub(super) fn len(&self) -> usize {
        self.entries.len()
    }

    pub(super) fn push(&mut self, fresh: Fresh) {
        let Fresh { stored, facts, chain } = fresh;
        let (sequence, record) = (stored.sequence, &stored.record);
        let (actor, of_actor) = named(&mut self.by_actor, &record.actor);
        let (thread, of_thread) = named(&mut self.by_thread, &record.thread);
        of_actor.push_back(sequence);
        of_thread.sequences.push_back(sequence);
        of_thread.members.entry(actor.clone()).or_default().insert(record.clock, sequence);
        self.by_id.insert(record.id, sequence);
        let entry = TailEntry {
            sequence,
            chain,
            id: record.id,
            thread,
            actor,
            act: record.act,
            clock: record.clock,
            committed_at: stored.committed_at,
            effect: facts.effect,
            sees_opening: stored.provenance.sees_opening,
        };
        if entry.effect.opens_task {
            self.task_openers.push_back(entry.sequence);
        }
        self.bytes += entry.weight();
        self.entries.push_back(Arc::new(entry));
    }

    /// Position of the last entry, or where the file ends.
    pub(super) fn last(&self) -> u64 {
        self.entries.back().map_or(self.base, |e| e.sequence)
    }

    pub(super) fn oldest(&self, count: usize) -> Vec<Arc<TailEntry>> {
        self.entries.iter().take(count).cloned().collect()
    }

    /// Forgets what is in the file up to `sequence`.
    pub(super) fn drop_through(&mut self, sequence: u64) {
        while self.entries.front().is_some_and(|e| e.sequence <= sequence) {
            let Some(entry) = self.entries.pop_front() else { break };
            self.base = entry.sequence;
            self.bytes = self.bytes.saturating_sub(entry.weight());
            self.by_id.remove(&entry.id);
            if let Some(sequences) = self.by_actor.get_mut(&entry.actor) {
                sequences.pop_front();
                if sequences.is_empty() {
                    self.by_actor.remove(&entry.actor);
                }
            }
            if let Some(thread) = self.by_thread.get_mut(&entry.thread) {
                thread.drop_first(&entry);
                if thread.sequences.is_empty() {
                    self.by_thread.remove(&entry.thread);
                }
            }
            if self.task_openers.front() == Some(&entry.sequence) {
                self.task_openers.pop_front();
            }
        }
    }

    pub(super) fn entry(&self, sequence: u64) -> Option<&Arc<TailEntry>> {
        let first = self.entries.front()?.sequence;
        self.entries.get(usize::try_from(sequence.checked_sub(first)?).ok()?)
    }

    pub(super) fn by_id(&self, id: &RecordId) -> Option<u64> {
        self.by_id.get(id).copied()
    }

    pub(super) fn thread(&self, thread: &str) -> Option<&Sequences> {
        self.by_thread.get(thread).map(|thread| &thread.sequences)
    }

    pub(super) fn actor(&self, actor: &str) -> Option<&Sequences> {
        self.by_actor.get(actor)
    }

    /// Clocks of one actor on one thread.
    pub(super) fn member(&self, thread: &str, actor: &str) -> Option<&Clocks> {
        self.by_thread.get(thread)?.members.get(actor)
    }

    /// Threads with records in the tail, each with its first position there, ascending, after `after`.
    pub(super) fn threads_after(&self, after: u64) -> Vec<(u64, Arc<str>)> {
        let mut threads: Vec<_> = self
            .by_thread
            .iter()
            .filter_map(|(name, thread)| thread.sequences.front().map(|first| (*first, name.clone())))
            .filter(|(first, _)| *first > after)
            .collect();
        threads.sort_unstable();
        threads
    }
}

impl Thread {
    /// Forgets the first entry.
    fn drop_first(&mut self, entry: &TailEntry) {
        self.sequences.pop_front();
        if let Some(clocks) = self.members.get_mut(&entry.actor) {
            clocks.remove(&entry.clock);
            if clocks.is_empty() {
                self.members.remove(&entry.actor);
            }
        }
    }
}
