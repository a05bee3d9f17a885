//! A group while it is decided: nothing of it is visible to anyone yet.

use std::{collections::HashSet, sync::Arc};

use spl_kernel::{
    commit::{Commit, Entry, Head},
    draft::BodyFacts,
    id::RecordId,
    limits,
    log::{Log, NewCommit, error::StoreError},
    record::{Origin, Provenance, Record, StoredRecord},
    refusal::{Code, Refusal},
    time::UnixMillis,
};
use spl_projections::{
    World,
    authority::Caller,
    decision::Outcome,
    event::FormatError,
    records::{Accepted, Ledger, Pending},
};
use tokio::sync::oneshot;

use super::{Answer, Committed, NotWritten, Written};

/// What the log knows of clocks, read through its indexes.
pub(super) struct LogLedger<'a>(pub(super) &'a Log);

impl Ledger for LogLedger<'_> {
    type Error = StoreError;

    fn highest_clock(&self, thread: &str, actor: &str) -> Result<Option<u64>, StoreError> {
        self.0.index().highest_clock(thread, actor)
    }

    fn clock_holder(
        &self,
        thread: &str,
        actor: &str,
        clock: u64,
    ) -> Result<Option<(u64, RecordId)>, StoreError> {
        let Some(sequence) = self.0.index().clock_holder(thread, actor, clock)? else { return Ok(None) };
        match self.record_id(sequence)? {
            Some(id) => Ok(Some((sequence, id))),
            None => Err(StoreError::Damaged(format!("record {sequence} is missing"))),
        }
    }

    fn record_id(&self, sequence: u64) -> Result<Option<RecordId>, StoreError> {
        Ok(self.0.reader()?.record(sequence)?.map(|stored| stored.record.id))
    }
}

/// See the module.
pub(super) struct Scratch {
    pub(super) head: Head,
    /// State with the commands before this one in the group.
    pub(super) world: World,
    pub(super) pending: Pending,
    pub(super) commits: Vec<NewCommit>,
    pub(super) answers: Vec<Waiting>,
}

/// A caller that is answered once the group is on disk.
pub(super) struct Waiting {
    pub(super) answer: oneshot::Sender<Answer>,
    results: Vec<Place>,
    outcome: Outcome,
}

/// Where what a caller is told of will be.
enum Place {
    /// The entry of a commit of this group.
    New { commit: usize, entry: usize },
    /// A position that is there, or in this group.
    Stored(u64),
}

/// How records of a commit came about.
#[derive(Clone, Copy)]
pub(super) struct By<'a> {
    pub(super) caller: &'a Caller,
    /// Threads whose opening the writer may not read.
    pub(super) unseen_openings: &'a HashSet<String>,
}

impl By<'_> {
    fn provenance(&self, origin: Origin, record: &Record) -> Provenance {
        let bearer = self.caller.bearer.as_ref();
        Provenance {
            origin,
            service_account_id: bearer.map(|b| b.account.id.to_string()),
            token_id: bearer.map(|b| b.token_id.0),
            sees_opening: !self.unseen_openings.contains(&record.thread),
            signature: None,
        }
    }
}

/// Why a decided commit is none.
pub(super) enum Unfit {
    /// It would be larger than commits are.
    TooLarge(Refusal),
    /// It could not be folded.
    NotUnderstood(FormatError),
}

impl From<FormatError> for Unfit {
    fn from(error: FormatError) -> Self {
        Self::NotUnderstood(error)
    }
}

/// Whether records fit into one commit. One that is too large is its own command's fault, and not the log's.
fn fits(parts: &[(Vec<Accepted>, Origin)]) -> Result<(), Unfit> {
    let new = || {
        parts.iter().flat_map(|(accepted, _)| accepted).filter_map(|one| match one {
            Accepted::New { record, .. } => Some(record),
            Accepted::Stored { .. } => None,
        })
    };
    let bytes: usize = new().map(|r| r.body.len() + r.thread.len() + r.actor.len() + ENTRY_BYTES).sum();
    if new().count() <= limits::COMMIT_RECORDS_MAX && bytes <= limits::COMMIT_BYTES_MAX {
        return Ok(());
    }
    let refusal = Refusal::new(Code::BodyTooLarge, "the command would write more than one commit holds")
        .hint("do a part of it first: fewer accounts, tokens or records at a time");
    Err(Unfit::TooLarge(refusal))
}

/// What an entry has beside its texts in a commit's bytes, at most, but for its parents: few and in the texts'
/// measure.
const ENTRY_BYTES: usize = 512;

/// A commit that is decided, and what state is with it.
pub(super) struct Prepared {
    commit: Commit,
    facts: Vec<BodyFacts>,
    results: Vec<Place>,
    /// State with it, where it changes state.
    pub(super) world: Option<World>,
}

impl Scratch {
    pub(super) fn new(head: Head, world: &World) -> Self {
        Self {
            head,
            world: world.clone(),
            pending: Pending::default(),
            commits: Vec::new(),
            answers: Vec::new(),
        }
    }

    /// The next position.
    pub(super) fn next_sequence(&self) -> u64 {
        self.head.sequence + 1
    }

    /// Makes a commit of what is new among `parts`, each with its origin; the first part is what the caller is
    /// told of. State is folded on a copy.
    pub(super) fn prepare(
        &self,
        parts: Vec<(Vec<Accepted>, Origin)>,
        by: By<'_>,
        now: UnixMillis,
    ) -> Result<Prepared, Unfit> {
        fits(&parts)?;
        let mut commit =
            Commit { first_sequence: self.next_sequence(), committed_at: now, entries: Vec::new() };
        let (mut facts, mut results, mut world) = (Vec::new(), Vec::new(), None);
        for (part, (accepted, origin)) in parts.into_iter().enumerate() {
            for one in accepted {
                let place = match one {
                    Accepted::Stored { sequence } => Place::Stored(sequence),
                    Accepted::New { record, facts: own } => {
                        let place = Place::New { commit: self.commits.len(), entry: commit.entries.len() };
                        let provenance = by.provenance(origin, &record);
                        if spl_projections::reserved::is_reserved_thread(&record.thread) {
                            let stored = StoredRecord {
                                sequence: commit.first_sequence + commit.entries.len() as u64,
                                committed_at: now,
                                record: (*record).clone(),
                                provenance: provenance.clone(),
                            };
                            world.get_or_insert_with(|| self.world.clone()).fold(&stored)?;
                        }
                        commit.entries.push(Entry { record: *record, provenance });
                        facts.push(own);
                        place
                    }
                };
                if part == 0 {
                    results.push(place);
                }
            }
        }
        Ok(Prepared { commit, facts, results, world })
    }

    /// Takes a prepared commit into the group.
    pub(super) fn take(&mut self, prepared: Prepared, answer: oneshot::Sender<Answer>, outcome: Outcome) {
        let Prepared { commit, facts, results, world } = prepared;
        if !commit.entries.is_empty() {
            self.head.sequence += commit.entries.len() as u64;
            self.head.committed_at = commit.committed_at;
            self.commits.push(NewCommit { commit, facts });
        }
        if let Some(world) = world {
            self.world = world;
        }
        self.answers.push(Waiting { answer, results, outcome });
    }
}

impl Waiting {
    /// Answers from what was written.
    pub(super) fn answer(self, written: &[Vec<Arc<StoredRecord>>]) {
        let find = |place| match place {
            Place::Stored(sequence) => Ok(Written::Stored(sequence)),
            Place::New { commit, entry } => written
                .get(commit)
                .and_then(|c| c.get(entry))
                .map(|s| Written::New(s.clone()))
                .ok_or(NotWritten::Failed),
        };
        let written: Result<Vec<_>, _> = self.results.into_iter().map(find).collect();
        // A caller that went away does not undo what is written.
        let _ = self.answer.send(written.map(|written| Committed { written, outcome: self.outcome }));
    }
}

#[cfg(test)]
mod tests {
    use spl_kernel::{draft::Draft, json::Json, record::Act};

    use super::*;

    fn new(padding: usize) -> Accepted {
        let body = Json::object([("n", "x".repeat(padding).into())]);
        let draft = Draft::new("t", "did:sync:user:a", Act::Know, body).unwrap();
        let id = draft.id_at(0).unwrap();
        let facts = draft.facts.clone();
        Accepted::New { record: Box::new(draft.into_record(id, 0)), facts }
    }

    fn commit_of(count: usize, padding: usize) -> Result<(), Unfit> {
        fits(&[((0..count).map(|_| new(padding)).collect(), Origin::Command)])
    }

    #[test]
    fn what_is_too_large_for_a_commit_is_refused_before_the_log_sees_it() {
        assert!(commit_of(20_000, 100).is_ok());
        assert!(matches!(commit_of(limits::COMMIT_RECORDS_MAX + 1, 0), Err(Unfit::TooLarge(_))));
        let large = limits::COMMIT_BYTES_MAX / 200_000;
        assert!(commit_of(large / 2, 200_000).is_ok());
        assert!(matches!(commit_of(large + 1, 200_000), Err(Unfit::TooLarge(_))));
        assert!(fits(&[(vec![Accepted::Stored { sequence: 1 }], Origin::Posted)]).is_ok());
    }
}
