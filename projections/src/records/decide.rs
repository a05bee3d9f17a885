//! Accepting drafts: clocks, repeats and conflicts.

use std::collections::{BTreeMap, HashMap, HashSet};

use spl_kernel::{
    draft::{BodyFacts, Draft},
    id::RecordId,
    limits,
    record::Record,
    refusal::{Code, Refusal},
};

/// What the log knows of clocks. The writer answers from its indexes.
pub trait Ledger {
    /// Why the log could not answer.
    type Error;

    /// The highest clock of an actor on a thread.
    ///
    /// # Errors
    /// When the log cannot be read.
    fn highest_clock(&self, thread: &str, actor: &str) -> Result<Option<u64>, Self::Error>;

    /// The record that holds a clock: its position and id.
    ///
    /// # Errors
    /// When the log cannot be read.
    fn clock_holder(
        &self,
        thread: &str,
        actor: &str,
        clock: u64,
    ) -> Result<Option<(u64, RecordId)>, Self::Error>;

    /// The id of the record at a position.
    ///
    /// # Errors
    /// When the log cannot be read.
    fn record_id(&self, sequence: u64) -> Result<Option<RecordId>, Self::Error>;
}

/// Clocks taken by commands that are decided but not yet in the log: the rest of the group.
#[derive(Debug, Default)]
pub struct Pending {
    threads: HashSet<String>,
    ids: HashMap<u64, RecordId>,
    taken: HashMap<(String, String), BTreeMap<u64, (u64, RecordId)>>,
}

impl Pending {
    /// Whether a command before this one in the group writes on the thread.
    #[must_use]
    pub fn touches(&self, thread: &str) -> bool {
        self.threads.contains(thread)
    }

    /// The id of the record that will be at a position.
    #[must_use]
    pub fn id_at(&self, sequence: u64) -> Option<RecordId> {
        self.ids.get(&sequence).copied()
    }

    fn merge(&mut self, other: Self) {
        for (key, clocks) in other.taken {
            self.ids.extend(clocks.values().copied());
            self.threads.insert(key.0.clone());
            self.taken.entry(key).or_default().extend(clocks);
        }
    }
}

/// What became of one draft.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Accepted {
    /// To be written, at the next position.
    New {
        /// The record.
        record: Box<Record>,
        /// What its body says.
        facts: BodyFacts,
    },
    /// Already in the log, or earlier in the group, at this position.
    Stored {
        /// Position.
        sequence: u64,
    },
}

/// Decides a command of one or more drafts, all or none. New records take positions from `next_sequence`.
/// On success `pending` has taken in their clocks.
///
/// # Errors
/// The outer error is the ledger's; the inner one is the refusal: `INGEST_FAILED` when a clock is taken by
/// another record, or none is left.
pub fn decide<L: Ledger>(
    drafts: Vec<Draft>,
    next_sequence: u64,
    ledger: &L,
    pending: &mut Pending,
) -> Result<Result<Vec<Accepted>, Refusal>, L::Error> {
    let mut own = Pending::default();
    let mut sequence = next_sequence;
    let mut accepted = Vec::with_capacity(drafts.len());
    for mut draft in drafts {
        let key = (draft.thread.clone(), draft.actor.clone());
        let in_group = |p: &Pending, clock: u64| p.taken.get(&key).and_then(|c| c.get(&clock).copied());
        let newest = |p: &Pending| p.taken.get(&key).and_then(|c| c.keys().next_back().copied());
        let highest = ledger.highest_clock(&key.0, &key.1)?.max(newest(pending)).max(newest(&own));
        let clock = match (draft.clock, highest) {
            (Some(clock), _) => clock,
            (None, None) => 0,
            (None, Some(highest)) if highest < limits::CLOCK_MAX => highest + 1,
            (None, Some(_)) => {
                return Ok(Err(Refusal::new(
                    Code::IngestFailed,
                    "the actor's clock on this thread is at its end",
                )));
            }
        };
        let id = match draft.id_at(clock) {
            Ok(id) => id,
            Err(refusal) => return Ok(Err(refusal)),
        };
        // Above the highest clock nothing can be taken; only below it the log has to be asked.
        let holder = match in_group(&own, clock).or_else(|| in_group(pending, clock)) {
            Some(holder) => Some(holder),
            None if highest.is_some_and(|h| clock <= h) => ledger.clock_holder(&key.0, &key.1, clock)?,
            None => None,
        };
        match holder {
            Some((at, held)) if held == id => accepted.push(Accepted::Stored { sequence: at }),
            Some(_) => return Ok(Err(duplicate_clock(&draft, clock, highest))),
            None => {
                own.taken.entry(key).or_default().insert(clock, (sequence, id));
                let facts = std::mem::take(&mut draft.facts);
                accepted.push(Accepted::New { record: Box::new(draft.into_record(id, clock)), facts });
                sequence += 1;
            }
        }
    }
    pending.merge(own);
    Ok(Ok(accepted))
}

fn duplicate_clock(draft: &Draft, clock: u64, highest: Option<u64>) -> Refusal {
    let refusal = Refusal::new(
        Code::IngestFailed,
        format!("DuplicateClock: thread={} actor={} clock={clock}", draft.thread, draft.actor),
    );
    match highest {
        Some(highest) => refusal.hint(format!(
            "the actor's highest clock here is {highest}; leave `clock` out to have one assigned"
        )),
        None => refusal,
    }
}
