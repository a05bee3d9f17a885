//! The index file: redb tables written in batches behind the log.

use std::{
    collections::{BTreeMap, HashMap, btree_map::Entry as Slot},
    sync::{Arc, PoisonError, RwLock},
};

use redb::{
    Database, Durability, ReadOnlyTable, ReadTransaction, ReadableDatabase as _, ReadableTable as _,
    TableDefinition, WriteTransaction,
};
use serde::{Deserialize, Serialize};

use super::{
    blocks::{
        ClockKey, PositionKey, Span, add_clocks, add_positions, count_clocks, count_positions, find_clock,
    },
    tail::TailEntry,
};
use crate::{
    commit::Chain,
    log::error::StoreError,
    thread::{Participant, Step, Summary},
};

/// Bump when a table changes: an index of another version is thrown away and built again.
const INDEX_VERSION: u64 = 2;

const META: TableDefinition<'_, &str, &[u8]> = TableDefinition::new("meta.1");
/// (generation, id) to sequence. Ids are random; keeping each generation's together keeps the part of the
/// tree that a batch touches small, however long the log is.
const IDS: TableDefinition<'_, (u64, [u8; 32]), u64> = TableDefinition::new("ids.1");
/// Thread name to the position of its first record, which is the thread's number everywhere below.
const THREADS: TableDefinition<'_, &str, u64> = TableDefinition::new("threads.1");
/// Actor to the position of its first record, its number.
const ACTORS: TableDefinition<'_, &str, u64> = TableDefinition::new("actors.1");
/// Thread number to its summary.
const SUMMARIES: TableDefinition<'_, u64, &[u8]> = TableDefinition::new("summaries.1");
/// (thread, actor) numbers to the actor's part in the thread.
const MEMBERS: TableDefinition<'_, (u64, u64), &[u8]> = TableDefinition::new("members.1");
/// Thread number and first sequence to a block of sequences.
const BY_THREAD: TableDefinition<'_, PositionKey, &[u8]> = TableDefinition::new("by_thread.2");
/// Actor number and first sequence to a block of sequences.
const BY_ACTOR: TableDefinition<'_, PositionKey, &[u8]> = TableDefinition::new("by_actor.2");
/// (thread, actor) numbers and first clock to a block of clocks and sequences.
const CLOCKS: TableDefinition<'_, ClockKey, &[u8]> = TableDefinition::new("clocks.2");
/// Position of an INTEND that opened a task, to the thread's number.
const TASKS: TableDefinition<'_, u64, u64> = TableDefinition::new("tasks.1");

/// Records per generation of ids, as a power of two.
const GENERATION_BITS: u32 = 18;

fn generation(sequence: u64) -> u64 {
    sequence >> GENERATION_BITS
}

/// How far the index file goes, and in which history.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(in crate::log) struct Reached {
    pub sequence: u64,
    /// The chain after the commit that holds that record.
    pub chain: Chain,
}

#[derive(Serialize, Deserialize)]
struct Meta {
    version: u64,
    reached: Option<Reached>,
}

/// The file.
#[derive(Debug)]
pub(in crate::log) struct Store {
    /// The file as of the last transaction. Before `db`, which closes it once nobody reads from it.
    latest: RwLock<Arc<View>>,
    db: Database,
}

/// A value of this module's own types, encoded. Writing to a growing vector cannot fail.
pub(super) fn encode<T: Serialize>(value: &T) -> Vec<u8> {
    postcard::to_stdvec(value).unwrap_or_default()
}

pub(super) fn decode<'a, T: Deserialize<'a>>(bytes: &'a [u8]) -> Result<T, StoreError> {
    postcard::from_bytes(bytes).map_err(|_| StoreError::Damaged("a row of the index".into()))
}

impl Store {
    /// Opens or creates the index in `db`. `None` when it is of another version and must be built again.
    pub(in crate::log) fn open(db: Database) -> Result<Option<(Self, Option<Reached>)>, StoreError> {
        let txn = db.begin_write()?;
        let meta = {
            let mut table = txn.open_table(META)?;
            let found = table.get("meta")?.map(|bytes| decode::<Meta>(bytes.value())).transpose();
            let meta = match found {
                Ok(Some(meta)) => meta,
                Ok(None) => {
                    let meta = Meta { version: INDEX_VERSION, reached: None };
                    table.insert("meta", encode(&meta).as_slice())?;
                    meta
                }
                Err(_) => return Ok(None),
            };
            txn.open_table(IDS)?;
            txn.open_table(THREADS)?;
            txn.open_table(ACTORS)?;
            txn.open_table(SUMMARIES)?;
            txn.open_table(MEMBERS)?;
            txn.open_table(BY_THREAD)?;
            txn.open_table(BY_ACTOR)?;
            txn.open_table(CLOCKS)?;
            txn.open_table(TASKS)?;
            meta
        };
        if meta.version != INDEX_VERSION {
            return Ok(None);
        }
        commit(txn)?;
        let latest = RwLock::new(Arc::new(View::of(&db)?));
        Ok(Some((Self { latest, db }, meta.reached)))
    }

    /// Writes a batch, in order, and how far it goes, in one transaction.
    pub(super) fn write(&self, batch: &[Arc<TailEntry>], reached: Reached) -> Result<(), StoreError> {
        let txn = self.db.begin_write()?;
        {
            let mut batch_writer = BatchWriter::new(&txn)?;
            for entry in batch {
                batch_writer.take(entry)?;
            }
            batch_writer.finish()?;
            let meta = Meta { version: INDEX_VERSION, reached: Some(reached) };
            txn.open_table(META)?.insert("meta", encode(&meta).as_slice())?;
        }
        commit(txn)?;
        *self.latest.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(View::of(&self.db)?);
        Ok(())
    }

    pub(super) fn view(&self) -> Arc<View> {
        self.latest.read().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

fn commit(mut txn: WriteTransaction) -> Result<(), StoreError> {
    txn.set_durability(Durability::Immediate)?;
    // Reopening after a crash then costs milliseconds instead of a walk over the file.
    txn.set_quick_repair(true);
    txn.commit()?;
    Ok(())
}

type Table<'t, K, V> = redb::Table<'t, K, V>;

/// Applies entries, holding the summaries and parts that the batch changes until the end.
struct BatchWriter<'t> {
    ids: Table<'t, (u64, [u8; 32]), u64>,
    threads: Table<'t, &'static str, u64>,
    actors: Table<'t, &'static str, u64>,
    summaries: Table<'t, u64, &'static [u8]>,
    members: Table<'t, (u64, u64), &'static [u8]>,
    by_thread: Table<'t, PositionKey, &'static [u8]>,
    by_actor: Table<'t, PositionKey, &'static [u8]>,
    clocks: Table<'t, ClockKey, &'static [u8]>,
    tasks: Table<'t, u64, u64>,
    thread_numbers: HashMap<Arc<str>, u64>,
    actor_numbers: HashMap<Arc<str>, u64>,
    new_ids: Vec<((u64, [u8; 32]), u64)>,
    changed_threads: BTreeMap<u64, ChangedThread>,
    changed_members: BTreeMap<(u64, u64), ChangedMember>,
    new_of_actors: BTreeMap<u64, Vec<u64>>,
}

/// What a batch changes of a thread.
struct ChangedThread {
    summary: Summary,
    new: Vec<u64>,
}

/// What a batch changes of an actor's part in a thread.
struct ChangedMember {
    part: Participant,
    /// Its highest clock before.
    highest: Option<u64>,
    /// New clocks and their positions.
    clocks: Vec<(u64, u64)>,
}

impl<'t> BatchWriter<'t> {
    fn new(txn: &'t WriteTransaction) -> Result<Self, StoreError> {
        Ok(Self {
            ids: txn.open_table(IDS)?,
            threads: txn.open_table(THREADS)?,
            actors: txn.open_table(ACTORS)?,
            summaries: txn.open_table(SUMMARIES)?,
            members: txn.open_table(MEMBERS)?,
            by_thread: txn.open_table(BY_THREAD)?,
            by_actor: txn.open_table(BY_ACTOR)?,
            clocks: txn.open_table(CLOCKS)?,
            tasks: txn.open_table(TASKS)?,
            thread_numbers: HashMap::new(),
            actor_numbers: HashMap::new(),
            new_ids: Vec::new(),
            changed_threads: BTreeMap::new(),
            changed_members: BTreeMap::new(),
            new_of_actors: BTreeMap::new(),
        })
    }

    fn take(&mut self, entry: &TailEntry) -> Result<(), StoreError> {
        let thread = number(&mut self.threads, &mut self.thread_numbers, &entry.thread, entry.sequence)?;
        let actor = number(&mut self.actors, &mut self.actor_numbers, &entry.actor, entry.sequence)?;
        self.new_ids.push(((generation(entry.sequence), *entry.id.as_bytes()), entry.sequence));
        self.new_of_actors.entry(actor).or_default().push(entry.sequence);

        let member = match self.changed_members.entry((thread, actor)) {
            Slot::Occupied(slot) => slot.into_mut(),
            Slot::Vacant(slot) => {
                let stored = self.members.get((thread, actor))?.map(|b| decode(b.value())).transpose()?;
                let highest = stored.as_ref().map(|part: &Participant| part.last_clock);
                let part = stored.unwrap_or_else(|| Participant::new(&entry.actor));
                slot.insert(ChangedMember { part, highest, clocks: Vec::new() })
            }
        };
        member.clocks.push((entry.clock, entry.sequence));
        let new_participant = member.part.record_count == 0;
        member.part.fold(entry.sequence, entry.clock);

        let ChangedThread { summary, new } = match self.changed_threads.entry(thread) {
            Slot::Occupied(slot) => slot.into_mut(),
            Slot::Vacant(slot) => {
                let stored = self.summaries.get(thread)?.map(|b| decode(b.value())).transpose()?;
                let summary = stored.unwrap_or_else(|| Summary::new(&entry.thread));
                slot.insert(ChangedThread { summary, new: Vec::new() })
            }
        };
        new.push(entry.sequence);
        summary.fold(&step(entry, new_participant));
        if summary.task.is_some() && summary.opening.map(|(_, at)| at) == Some(entry.sequence) {
            self.tasks.insert(entry.sequence, thread)?;
        }
        Ok(())
    }

    /// Writes what was taken, each table in the order of its keys: neighbours lie in the same pages.
    fn finish(mut self) -> Result<(), StoreError> {
        self.new_ids.sort_unstable();
        for (id, sequence) in &self.new_ids {
            self.ids.insert(id, sequence)?;
        }
        for (number, changed) in self.changed_threads {
            self.summaries.insert(number, encode(&changed.summary).as_slice())?;
            add_positions(&mut self.by_thread, number, &changed.new)?;
        }
        for (number, new) in self.new_of_actors {
            add_positions(&mut self.by_actor, number, &new)?;
        }
        for (member, ChangedMember { part, highest, clocks }) in self.changed_members {
            self.members.insert(member, encode(&part).as_slice())?;
            add_clocks(&mut self.clocks, member, highest, clocks)?;
        }
        Ok(())
    }
}

/// What a summary takes in of an entry.
pub(super) fn step(entry: &TailEntry, new_participant: bool) -> Step<'_> {
    Step {
        sequence: entry.sequence,
        id: entry.id,
        act: entry.act,
        clock: entry.clock,
        committed_at: entry.committed_at,
        effect: &entry.effect,
        sees_opening: entry.sees_opening,
        new_participant,
    }
}

fn number(
    table: &mut Table<'_, &'static str, u64>,
    known: &mut HashMap<Arc<str>, u64>,
    name: &Arc<str>,
    sequence: u64,
) -> Result<u64, StoreError> {
    if let Some(number) = known.get(name) {
        return Ok(*number);
    }
    let stored = table.get(&**name)?.map(|n| n.value());
    let number = match stored {
        Some(number) => number,
        None => {
            table.insert(&**name, sequence)?;
            sequence
        }
    };
    known.insert(name.clone(), number);
    Ok(number)
}

/// One snapshot of the file.
pub(super) struct View {
    txn: ReadTransaction,
    /// Open: to open a table costs more than to find an id in it.
    ids: ReadOnlyTable<(u64, [u8; 32]), u64>,
}

impl std::fmt::Debug for View {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("View")
    }
}

impl View {
    fn of(db: &Database) -> Result<Self, StoreError> {
        let txn = db.begin_read()?;
        let ids = txn.open_table(IDS)?;
        Ok(Self { txn, ids })
    }

    pub(super) fn id(&self, id: &[u8; 32], head: u64) -> Result<Option<u64>, StoreError> {
        for generation in (0..=generation(head)).rev() {
            if let Some(sequence) = self.ids.get((generation, *id))? {
                return Ok(Some(sequence.value()));
            }
        }
        Ok(None)
    }

    pub(super) fn thread_number(&self, thread: &str) -> Result<Option<u64>, StoreError> {
        Ok(self.txn.open_table(THREADS)?.get(thread)?.map(|n| n.value()))
    }

    pub(super) fn actor_number(&self, actor: &str) -> Result<Option<u64>, StoreError> {
        Ok(self.txn.open_table(ACTORS)?.get(actor)?.map(|n| n.value()))
    }

    pub(super) fn summary(&self, thread_number: u64) -> Result<Option<Summary>, StoreError> {
        self.txn.open_table(SUMMARIES)?.get(thread_number)?.map(|b| decode(b.value())).transpose()
    }

    /// Summaries of threads with a number above `after`, ascending.
    pub(super) fn summaries(&self, after: u64, limit: usize) -> Result<Vec<Summary>, StoreError> {
        let table = self.txn.open_table(SUMMARIES)?;
        table.range(after.saturating_add(1)..)?.take(limit).map(|row| decode(row?.1.value())).collect()
    }

    pub(super) fn member(&self, thread: u64, actor: u64) -> Result<Option<Participant>, StoreError> {
        self.txn.open_table(MEMBERS)?.get((thread, actor))?.map(|b| decode(b.value())).transpose()
    }

    /// The parts of the first `limit` actors of a thread, by first record. Looks at all, and holds no more
    /// than it gives.
    pub(super) fn members(&self, thread: u64, limit: usize) -> Result<Vec<Participant>, StoreError> {
        let table = self.txn.open_table(MEMBERS)?;
        let mut first: BTreeMap<u64, Participant> = BTreeMap::new();
        for row in table.range((thread, 0)..=(thread, u64::MAX))? {
            let part: Participant = decode(row?.1.value())?;
            first.insert(part.first_sequence, part);
            if first.len() > limit {
                first.pop_last();
            }
        }
        Ok(first.into_values().collect())
    }

    pub(super) fn clock(&self, thread: u64, actor: u64, clock: u64) -> Result<Option<u64>, StoreError> {
        find_clock(&self.txn.open_table(CLOCKS)?, (thread, actor), clock)
    }

    /// Positions of a thread's records within `low..=high`.
    pub(super) fn by_thread(&self, span: Span) -> Result<Vec<u64>, StoreError> {
        span.collect(&self.txn.open_table(BY_THREAD)?)
    }

    /// Positions of an actor's records within `low..=high`.
    pub(super) fn by_actor(&self, span: Span) -> Result<Vec<u64>, StoreError> {
        span.collect(&self.txn.open_table(BY_ACTOR)?)
    }

    /// (opening position, thread number) of tasks within `low..=high`, ascending.
    pub(super) fn tasks(&self, low: u64, high: u64, limit: usize) -> Result<Vec<(u64, u64)>, StoreError> {
        if low > high {
            return Ok(Vec::new());
        }
        let table = self.txn.open_table(TASKS)?;
        table
            .range(low..=high)?
            .take(limit)
            .map(|row| {
                let (opening, thread) = row?;
                Ok((opening.value(), thread.value()))
            })
            .collect()
    }

    /// The last record that the file knows; 0 for none.
    pub(super) fn reached(&self) -> Result<u64, StoreError> {
        let bytes = self.txn.open_table(META)?.get("meta")?;
        let meta = bytes.map(|b| decode::<Meta>(b.value())).transpose()?;
        Ok(meta.and_then(|m| m.reached).map_or(0, |r| r.sequence))
    }

    /// Entries of the tables that have one per record: ids, threads, actors, clocks.
    pub(super) fn row_counts(&self) -> Result<[u64; 4], StoreError> {
        use redb::ReadableTableMetadata as _;
        Ok([
            self.ids.len()?,
            count_positions(&self.txn.open_table(BY_THREAD)?)?,
            count_positions(&self.txn.open_table(BY_ACTOR)?)?,
            count_clocks(&self.txn.open_table(CLOCKS)?)?,
        ])
    }
}
