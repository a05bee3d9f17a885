//! Deciding a group against scratch state, writing it, publishing it.

use std::{
    collections::{HashSet, VecDeque},
    sync::Arc,
};

use spl_kernel::{
    draft::Draft,
    json::Json,
    log::{
        Log,
        error::{AppendError, StoreError},
        verify::chain_of_causes,
    },
    record::{Act, Origin},
    refusal::{Code, Refusal},
    time::UnixMillis,
};
use spl_projections::{
    self as projections, Context, Entropy, World, admission,
    authority::Caller,
    decision::{self, Outcome},
    records::{Accepted, decide},
    visibility::namespace_of,
};

use super::{
    Admission, Append, Command, Condition, Job, NotWritten, Openings, Queue, RoomFor,
    maintenance::Signal,
    merging::Merging,
    scratch::{By, LogLedger, Prepared, Scratch, Unfit},
};
use crate::{
    disk::{self, Room},
    env,
    published::Published,
};

/// The writer's own side.
pub(super) struct Groups {
    pub(super) log: Arc<Log>,
    pub(super) world: World,
    pub(super) published: Arc<Published>,
    pub(super) condition: Arc<Condition>,
    pub(super) behind: Arc<Signal>,
    pub(super) merging: Merging,
    pub(super) room: Room,
}

/// A command that needs the ones before it in the log first.
struct Defer(Box<Job>);

/// What decides a command: the result, or why it is not written.
type Decided = Result<(Prepared, Outcome), NotWritten>;

fn log_unreadable(error: &StoreError) -> NotWritten {
    tracing::error!(cause = %chain_of_causes(error), "the log could not be read");
    NotWritten::Failed
}

fn unfit(why: Unfit) -> NotWritten {
    match why {
        Unfit::TooLarge(refusal) => NotWritten::Refused(refusal),
        Unfit::NotUnderstood(error) => {
            // Only a bug can write what this very build does not understand.
            tracing::error!(%error, "a decided record could not be folded");
            NotWritten::Failed
        }
    }
}

impl Groups {
    pub(super) fn run(mut self, queue: &Queue) {
        while let Some(mut jobs) = queue.take_group() {
            while !jobs.is_empty() {
                let room = self.room.for_data(self.log.path());
                let mut scratch = Scratch::new(self.log.head(), &self.world);
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

    /// Decides one command. A refusal is answered at once; it writes nothing.
    fn decide(&mut self, job: Job, room: bool, scratch: &mut Scratch) -> Result<(), Defer> {
        if let Err(why) = self.may_write(&job.command, room) {
            let _ = job.answer.send(Err(why));
            return Ok(());
        }
        if needs_log(&job.command, scratch) {
            return Err(Defer(Box::new(job)));
        }
        let now = env::now().max(scratch.head.committed_at);
        let decided = match job.command {
            Command::Append(append) => self.append(append, now, scratch),
            Command::CancelThread { thread, actor, admission } => {
                self.cancel(&thread, &actor, admission, now, scratch)
            }
            Command::Control { command, admission, entropy } => {
                self.control(&command, &admission, &entropy, now, scratch)
            }
        };
        match decided {
            Ok((prepared, outcome)) => scratch.take(prepared, job.answer, outcome),
            Err(why) => {
                let _ = job.answer.send(Err(why));
            }
        }
        Ok(())
    }

    fn may_write(&mut self, command: &Command, room: bool) -> Result<(), NotWritten> {
        if self.condition.log_failed() {
            return Err(self.condition.refusal());
        }
        let fits = match command.room() {
            RoomFor::Data => room,
            RoomFor::Control => disk::has_room_at_all(self.log.path()),
            RoomFor::TakingAway => self.room.for_taking_away(self.log.path()),
        };
        if fits {
            return Ok(());
        }
        if command.is_control() {
            tracing::error!("the file system is full: a control command was refused");
        }
        Err(NotWritten::Full)
    }

    /// Layers 1 and 2 again, against the state that the command is decided on: the log is the order.
    fn admit(admission: &Admission, now: UnixMillis, scratch: &Scratch) -> Result<Caller, NotWritten> {
        let caller = scratch.world.admit(&admission.ticket, now).map_err(NotWritten::Refused)?;
        // Rules are not run here; it only has to be the same rules that the request was decided under.
        if !caller.freed && scratch.world.config.policy_version != admission.policy_version {
            return Err(NotWritten::RulesChanged(Vec::new()));
        }
        Ok(caller)
    }

    fn append(&self, append: Append, now: UnixMillis, scratch: &mut Scratch) -> Decided {
        let caller = match Self::admit(&append.admission, now, scratch) {
            Err(NotWritten::RulesChanged(_)) => return Err(NotWritten::RulesChanged(append.drafts)),
            decided => decided?,
        };
        let Append { drafts, openings, .. } = append;
        let unseen_openings = self.unseen(openings, scratch)?;
        let admitted = scratch
            .world
            .admit_drafts(&caller, &drafts)
            .map_err(|misfit| NotWritten::Refused(misfit.refusal))?;
        for draft in admitted.by_namespace.iter().filter_map(|at| drafts.get(*at)) {
            self.check_opening(&caller, draft)?;
        }
        let as_another: Vec<(usize, String)> =
            admitted.as_another.iter().filter_map(|at| Some((*at, drafts.get(*at)?.actor.clone()))).collect();
        let by = By { caller: &caller, unseen_openings: &unseen_openings };
        self.records(drafts, &as_another, by, now, scratch)
    }

    /// Records of a caller, and what is told of those that an admin wrote as somebody else.
    fn records(
        &self,
        drafts: Vec<Draft>,
        as_another: &[(usize, String)],
        by: By<'_>,
        now: UnixMillis,
        scratch: &mut Scratch,
    ) -> Decided {
        let ledger = LogLedger(&self.log);
        let next = scratch.next_sequence();
        let accepted = decide(drafts, next, &ledger, &mut scratch.pending)
            .map_err(|e| log_unreadable(&e))?
            .map_err(NotWritten::Refused)?;
        // What was there already was told of when it was written.
        let new: Vec<(&str, String)> = as_another
            .iter()
            .filter_map(|(at, actor)| match accepted.get(*at) {
                Some(Accepted::New { record, .. }) => Some((actor.as_str(), record.id.to_string())),
                _ => None,
            })
            .collect();
        let mut trail = Vec::new();
        if let Some((_, first)) = new.first() {
            let entropy = Entropy::unused();
            let context = Context { now, entropy: &entropy, caller: by.caller };
            let change = admission::impersonation(&context, new.iter().map(|(a, _)| *a), new.len(), first);
            let written = accepted.iter().filter(|a| matches!(a, Accepted::New { .. })).count();
            let after = next + written as u64;
            trail = decision::write(change.into_iter().collect(), after, &ledger, &mut scratch.pending)
                .map_err(|e| log_unreadable(&e))?
                .map_err(NotWritten::Refused)?;
        }
        let parts = vec![(accepted, Origin::Posted), (trail, Origin::Command)];
        let prepared = scratch.prepare(parts, by, now).map_err(unfit)?;
        Ok((prepared, Outcome::Done))
    }

    /// Threads of which the writer does not see the opening, now that it is known who opened them.
    fn unseen(&self, openings: Openings, scratch: &Scratch) -> Result<HashSet<String>, NotWritten> {
        let Openings { mut unseen, made_here } = openings;
        for thread in made_here {
            let summary = self.log.index().summary(&thread).map_err(|e| log_unreadable(&e))?;
            if scratch.pending.touches(&thread) || summary.is_some_and(|s| s.opening.is_some()) {
                unseen.insert(thread);
            }
        }
        Ok(unseen)
    }

    /// What only a namespace grain allows goes to a new thread, or to one opened in that namespace.
    fn check_opening(&self, caller: &Caller, draft: &Draft) -> Result<(), NotWritten> {
        let Some(opening) = self.opening(&draft.thread).map_err(|e| log_unreadable(&e))? else {
            return Ok(());
        };
        if admission::covers_opening(caller, draft, &opening) {
            return Ok(());
        }
        Err(NotWritten::Refused(admission::outside_grains(&draft.thread)))
    }

    /// The namespace in which a thread was opened: that of its first INTEND, else of its first record.
    fn opening(&self, thread: &str) -> Result<Option<String>, StoreError> {
        let Some(summary) = self.log.index().summary(thread)? else { return Ok(None) };
        let sequence = summary.opening.map_or(summary.first_sequence, |(_, at)| at);
        let stored = self.log.reader()?.record(sequence)?;
        Ok(stored.map(|stored| namespace_of(&stored).into_owned()))
    }

    fn cancel(
        &self,
        thread: &str,
        actor: &str,
        admission: Admission,
        now: UnixMillis,
        scratch: &mut Scratch,
    ) -> Decided {
        let draft = self.cancellation(thread, actor)?;
        self.append(Append { drafts: vec![draft], admission, openings: Openings::default() }, now, scratch)
    }

    fn cancellation(&self, thread: &str, actor: &str) -> Result<Draft, NotWritten> {
        let summary = self.log.index().summary(thread).map_err(|e| log_unreadable(&e))?;
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

    fn control(
        &self,
        command: &projections::Command,
        admission: &Admission,
        entropy: &Entropy,
        now: UnixMillis,
        scratch: &mut Scratch,
    ) -> Decided {
        let caller = Self::admit(admission, now, scratch)?;
        let context = Context { now, entropy, caller: &caller };
        let mut guarded = scratch.world.decide(command, &context).map_err(NotWritten::Refused)?;
        let changes = std::mem::take(&mut guarded.decision.changes);
        let next = scratch.next_sequence();
        let ledger = LogLedger(&self.log);
        let mut accepted = decision::write(changes, next, &ledger, &mut scratch.pending)
            .map_err(|e| log_unreadable(&e))?
            .map_err(NotWritten::Refused)?;
        let first = accepted.iter().find_map(|a| match a {
            Accepted::New { record, .. } => Some(record.id.to_string()),
            Accepted::Stored { .. } => None,
        });
        if let (Some(other), Some(first)) = (caller.impersonated(), first) {
            let change = admission::impersonation(&context, [other], accepted.len(), &first);
            let after = next + accepted.len() as u64;
            let trail = decision::write(change.into_iter().collect(), after, &ledger, &mut scratch.pending)
                .map_err(|e| log_unreadable(&e))?
                .map_err(NotWritten::Refused)?;
            accepted.extend(trail);
        }
        let by = By { caller: &caller, unseen_openings: &HashSet::new() };
        let prepared = scratch.prepare(vec![(accepted, Origin::Command)], by, now).map_err(unfit)?;
        if let Some(after) = &prepared.world {
            guarded.check(&scratch.world, after, now).map_err(NotWritten::Refused)?;
        }
        Ok((prepared, guarded.decision.outcome))
    }

    /// Writes the group, publishes it, and answers. On failure nobody is told yes.
    fn write(&mut self, scratch: Scratch, rest: &mut VecDeque<Job>) {
        let Scratch { world, commits, answers, .. } = scratch;
        if commits.is_empty() {
            answers.into_iter().for_each(|waiting| waiting.answer(&[]));
            return;
        }
        match self.log.append(self.log.head(), commits) {
            Ok(written) => {
                self.world = world;
                let reformed = self.merging.step(&mut self.world);
                self.published.publish(&self.world, reformed, &written);
                self.behind.committed(&self.log);
                answers.into_iter().for_each(|waiting| waiting.answer(&written));
            }
            Err(error) => {
                tracing::error!(cause = %chain_of_causes(&error), "the log could not be written");
                let full = if matches!(error, AppendError::Full(_)) { Condition::DISK_WAS_FULL } else { 0 };
                self.condition.set(Condition::LOG_FAILED | full);
                let why = || self.condition.refusal();
                for waiting in answers {
                    let _ = waiting.answer.send(Err(why()));
                }
                for job in rest.drain(..) {
                    let _ = job.answer.send(Err(why()));
                }
            }
        }
    }
}

/// Whether a command is decided on what the log holds of a thread that is written earlier in its group.
fn needs_log(command: &Command, scratch: &Scratch) -> bool {
    match command {
        Command::CancelThread { thread, .. } => scratch.pending.touches(thread),
        // Only a narrowed token's write looks at how a thread was opened.
        Command::Append(append) => {
            let narrowed = match append.admission.ticket.bearer {
                projections::authority::Presented::Token(id) => {
                    scratch.world.tokens.get(&id).is_some_and(|entry| entry.grains.is_some())
                }
                _ => false,
            };
            narrowed && append.drafts.iter().any(|d| scratch.pending.touches(&d.thread))
        }
        Command::Control { .. } => false,
    }
}
