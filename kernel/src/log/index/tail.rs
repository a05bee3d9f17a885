//! The recent part of the index, in memory.

use std::{
    collections::{BTreeMap, HashMap, VecDeque},
    sync::Arc,
};

use crate::{commit::Chain, id::RecordId, record::Act, thread::Effect, time::UnixMillis};

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

/// Entries after `base`, and ways into them.
#[derive(Debug)]
pub(super) struct Tail {
    /// Everything at or before this position is in the file.
    pub base: u64,
    entries: VecDeque<Arc<TailEntry>>,
    by_id: HashMap<RecordId, u64>,
    by_thread: HashMap<Arc<str>, Sequences>,
    by_actor: HashMap<Arc<str>, Sequences>,
    by_member: HashMap<(Arc<str>, Arc<str>), BTreeMap<u64, u64>>,
    /// Positions of INTENDs that may open a task.
    pub task_openers: VecDeque<u64>,
    /// What the entries hold in memory, roughly.
    bytes: usize,
}

/// Memory of an entry beside what its effect names: itself, its places in the maps, its names.
const ENTRY_BYTES: usize = 512;

impl TailEntry {
    fn weight(&self) -> usize {
        ENTRY_BYTES + self.effect.fulfills.len() * size_of::<RecordId>()
    }
}

impl Tail {
    pub(super) fn new(base: u64) -> Self {
        Self {
            base,
            entries: VecDeque::new(),
            by_id: HashMap::new(),
            by_thread: HashMap::new(),
            by_actor: HashMap::new(),
            by_member: HashMap::new(),
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

    pub(super) fn push(&mut self, mut entry: TailEntry) {
        // One allocation per name, however many entries carry it.
        if let Some((name, _)) = self.by_thread.get_key_value(&entry.thread) {
            entry.thread = name.clone();
        }
        if let Some((name, _)) = self.by_actor.get_key_value(&entry.actor) {
            entry.actor = name.clone();
        }
        self.by_id.insert(entry.id, entry.sequence);
        self.by_thread.entry(entry.thread.clone()).or_default().push_back(entry.sequence);
        self.by_actor.entry(entry.actor.clone()).or_default().push_back(entry.sequence);
        let member = (entry.thread.clone(), entry.actor.clone());
        self.by_member.entry(member).or_default().insert(entry.clock, entry.sequence);
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
            pop(&mut self.by_thread, &entry.thread);
            pop(&mut self.by_actor, &entry.actor);
            let member = (entry.thread.clone(), entry.actor.clone());
            if let Some(clocks) = self.by_member.get_mut(&member) {
                clocks.remove(&entry.clock);
                if clocks.is_empty() {
                    self.by_member.remove(&member);
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
        self.by_thread.get(thread)
    }

    pub(super) fn actor(&self, actor: &str) -> Option<&Sequences> {
        self.by_actor.get(actor)
    }

    /// Clocks of one actor on one thread, with the positions that hold them.
    pub(super) fn member(&self, thread: &str, actor: &str) -> Option<&BTreeMap<u64, u64>> {
        let (thread, _) = self.by_thread.get_key_value(thread)?;
        let (actor, _) = self.by_actor.get_key_value(actor)?;
        self.by_member.get(&(thread.clone(), actor.clone()))
    }

    /// Threads with records in the tail, each with its first position there, ascending, after `after`.
    pub(super) fn threads_after(&self, after: u64) -> Vec<(u64, Arc<str>)> {
        let mut threads: Vec<_> = self
            .by_thread
            .iter()
            .filter_map(|(name, sequences)| sequences.front().map(|first| (*first, name.clone())))
            .filter(|(first, _)| *first > after)
            .collect();
        threads.sort_unstable();
        threads
    }
}

fn pop(map: &mut HashMap<Arc<str>, Sequences>, name: &Arc<str>) {
    if let Some(sequences) = map.get_mut(name) {
        sequences.pop_front();
        if sequences.is_empty() {
            map.remove(name);
        }
    }
}
