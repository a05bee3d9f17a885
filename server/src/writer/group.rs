//! Deciding a group against scratch state, writing it, publishing it.

use std::{collections::VecDeque, sync::Arc};

use spl_kernel::{
    commit::{Commit, Entry, Head},
    draft::Draft,
    id::RecordId,
    json::Json,
    log::{
        Log, NewCommit,
        error::{AppendError, StoreError},
        verify::chain_of_causes,
    },
    record::{Act, Origin, Provenance, StoredRecord},
    refusal::{Code, Refusal},
};
use spl_projections::{
    Context, World, identity,
    records::{Accepted, Ledger, Pending, decide},
};

use super::{Answer, Command, Condition, Job, NotWritten, Queue, Written, maintenance::Signal};
use crate::{disk, env, published::Published};

/// The writer's own side.
pub(super) struct Groups {
    pub(super) log: Arc<Log>,
    pub(super) world: World,
    pub(super) published: Arc<Published>,
    pub(super) condition: Arc<Condition>,
    pub(super) behind: Arc<Signal>,
}

/// What the log knows of clocks, read through its indexes.
struct LogLedger<'a>(&'a Log);

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
        match self.0.reader()?.record(sequence)? {
            Some(stored) => Ok(Some((sequence, stored.record.id))),
            None => Err(StoreError::Damaged(format!("record {sequence} is missing"))),
        }
    }
}

/// A group while it is decided: nothing of it is visible to anyone yet.
struct Scratch {
    head: Head,
    pending: Pending,
    commits: Vec<NewCommit>,
    answers: Vec<(tokio::sync::oneshot::Sender<Answer>, Vec<Outcome>)>,
}

/// What a decided draft will be answered with.
enum Outcome {
    /// The entry of a commit of this group.
    New { commit: usize, entry: usize },
    /// A position that is there, or in this group.
    Stored(u64),
}

/// A command that needs the ones before it in the log first.
struct Defer(Box<Job>);

impl Groups {
    pub(super) fn run(mut self, queue: &Queue) {
        while let Some(mut jobs) = queue.take_group() {
            while !jobs.is_empty() {
                let room = disk::has_room_for_data(self.log.path());
                let mut scratch = self.scratch();
                while let Some(job) = jobs.pop_front() {
                    if let Err(Defer(job)) = self.decide(job, room, &mut scratch) {
                        jobs.push_front(*job);
                        break;
                    }
                }
                self.write(scratch, &mut jobs);
            }
        }
    }

    fn scratch(&self) -> Scratch {
        let head = self.log.head();
        Scratch { head, pending: Pending::default(), commits: Vec::new(), answers: Vec::new() }
    }

    /// Decides one command. A refusal is answered at once; it writes nothing.
    fn decide(&self, job: Job, room: bool, scratch: &mut Scratch) -> Result<(), Defer> {
        if self.condition.log_failed() {
            let _ = job.answer.send(Err(self.condition.refusal()));
            return Ok(());
        }
        if job.command.is_control() && !disk::has_room_at_all(self.log.path()) {
            tracing::error!("the file system is full: a control command was refused");
            let _ = job.answer.send(Err(NotWritten::Full));
            return Ok(());
        }
        if !room && !job.command.is_control() {
            let _ = job.answer.send(Err(NotWritten::Full));
            return Ok(());
        }
        if let Command::CancelThread { thread, .. } = &job.command
            && scratch.pending.touches(thread)
        {
            return Err(Defer(Box::new(job)));
        }
        let (drafts, provenance) = match self.drafts(job.command) {
            Ok(drafts) => drafts,
            Err(why) => {
                let _ = job.answer.send(Err(why));
                return Ok(());
            }
        };
        let next = scratch.head.sequence + 1;
        match decide(drafts, next, &LogLedger(&self.log), &mut scratch.pending) {
            Ok(Ok(accepted)) => {
                let outcomes = scratch.commit(accepted, &provenance);
                scratch.answers.push((job.answer, outcomes));
            }
            Ok(Err(refusal)) => {
                let _ = job.answer.send(Err(NotWritten::Refused(refusal)));
            }
            Err(error) => {
                tracing::error!(cause = %chain_of_causes(&error), "the log could not be read");
                let _ = job.answer.send(Err(NotWritten::Failed));
            }
        }
        Ok(())
    }

    fn drafts(&self, command: Command) -> Result<(Vec<Draft>, Provenance), NotWritten> {
        match command {
            Command::Append { drafts, provenance } => Ok((drafts, provenance)),
            Command::NameInstance(key) => {
                let context = Context { now: env::now().max(self.log.head().committed_at) };
                let draft =
                    identity::create(&self.world.identity, &key, &context).map_err(NotWritten::Refused)?;
                Ok((vec![draft], Provenance::without_credential(Origin::Command)))
            }
            Command::CancelThread { thread, actor, provenance } => {
                Ok((vec![self.cancellation(&thread, &actor)?], provenance))
            }
        }
    }

    fn cancellation(&self, thread: &str, actor: &str) -> Result<Draft, NotWritten> {
        let summary = self.log.index().summary(thread).map_err(|error| {
            tracing::error!(cause = %chain_of_causes(&error), "the log could not be read");
            NotWritten::Failed
        })?;
        let not_found =
            || NotWritten::Refused(Refusal::new(Code::NotFound, format!("there is no thread {thread}")));
        let summary = summary.ok_or_else(not_found)?;
        if summary.status.is_final() {
            return Err(NotWritten::AlreadyFinal(summary.status.as_str()));
        }
        let Some((opening, _)) = summary.opening else {
            let refusal = Refusal::new(Code::IngestFailed, format!("{thread} was never opened by an INTEND"))
                .hint("only an opened thread can be cancelled");
            return Err(NotWritten::Refused(refusal));
        };
        let body = Json::object([("cancels", opening.to_string().into())]);
        Draft::new(thread, actor, Act::Do, body).map_err(NotWritten::Refused)
    }

    /// Writes the group, folds and publishes it, and answers. On failure nobody is told yes.
    fn write(&mut self, scratch: Scratch, rest: &mut VecDeque<Job>) {
        if scratch.commits.is_empty() {
            answer_all(scratch.answers, &[]);
            return;
        }
        match self.log.append(self.log.head(), &scratch.commits) {
            Ok(written) => {
                for stored in written.iter().flatten() {
                    if let Err(error) = self.world.fold(stored) {
                        // Only a bug can write what this very build does not understand.
                        tracing::error!(%error, "a written record could not be folded");
                        self.condition.set(Condition::LOG_FAILED);
                    }
                }
                self.published.publish(&self.world, &written);
                self.behind.committed();
                answer_all(scratch.answers, &written);
            }
            Err(error) => {
                tracing::error!(cause = %chain_of_causes(&error), "the log could not be written");
                let full = if matches!(error, AppendError::Full(_)) { Condition::DISK_WAS_FULL } else { 0 };
                self.condition.set(Condition::LOG_FAILED | full);
                let why = || self.condition.refusal();
                for (answer, _) in scratch.answers {
                    let _ = answer.send(Err(why()));
                }
                for job in rest.drain(..) {
                    let _ = job.answer.send(Err(why()));
                }
            }
        }
    }
}

impl Scratch {
    /// Makes a commit of what is new among `accepted`, and says where each will be.
    fn commit(&mut self, accepted: Vec<Accepted>, provenance: &Provenance) -> Vec<Outcome> {
        let committed_at = env::now().max(self.head.committed_at);
        let mut commit = Commit { first_sequence: self.head.sequence + 1, committed_at, entries: Vec::new() };
        let mut all_facts = Vec::new();
        let mut outcomes = Vec::with_capacity(accepted.len());
        for one in accepted {
            match one {
                Accepted::Stored { sequence } => outcomes.push(Outcome::Stored(sequence)),
                Accepted::New { record, facts } => {
                    outcomes.push(Outcome::New { commit: self.commits.len(), entry: commit.entries.len() });
                    commit.entries.push(Entry { record: *record, provenance: provenance.clone() });
                    all_facts.push(facts);
                }
            }
        }
        if !commit.entries.is_empty() {
            self.head.sequence += commit.entries.len() as u64;
            self.head.committed_at = committed_at;
            self.commits.push(NewCommit { commit, facts: all_facts });
        }
        outcomes
    }
}

fn answer_all(
    answers: Vec<(tokio::sync::oneshot::Sender<Answer>, Vec<Outcome>)>,
    written: &[Vec<Arc<StoredRecord>>],
) {
    for (answer, outcomes) in answers {
        let outcomes = outcomes
            .into_iter()
            .map(|outcome| match outcome {
                Outcome::Stored(sequence) => Ok(Written::Stored(sequence)),
                Outcome::New { commit, entry } => written
                    .get(commit)
                    .and_then(|c| c.get(entry))
                    .map(|s| Written::New(s.clone()))
                    .ok_or(NotWritten::Failed),
            })
            .collect();
        // A caller that went away does not undo what is written.
        let _ = answer.send(outcomes);
    }
}
