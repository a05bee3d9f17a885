//! What a thread's records make it: status, clocks, participants (protocol, section 1, "Thread status").

use serde::{Deserialize, Serialize};

use crate::{
    id::RecordId,
    json::{Json, Object},
    record::Act,
    time::UnixMillis,
};

/// Where a thread stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Status {
    /// Opened by an INTEND; nothing has been done yet.
    Open,
    /// Something is being done, or nobody ever stated an intent.
    Active,
    /// Something was observed.
    Observed,
    /// A KNOW fulfilled the opening INTEND. Final.
    Closed,
    /// A DO cancelled it, or a KNOW rejected it. Final.
    Cancelled,
}

impl Status {
    /// The name on the wire.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Open => "open",
            Self::Active => "active",
            Self::Observed => "observed",
            Self::Closed => "closed",
            Self::Cancelled => "cancelled",
        }
    }

    /// Whether no later record can change it.
    #[must_use]
    pub fn is_final(self) -> bool {
        matches!(self, Self::Closed | Self::Cancelled)
    }
}

/// What one record may do to its thread, read from its body once.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Effect {
    /// Ids in `fulfills` of a KNOW (a string or an array of strings).
    pub fulfills: Vec<RecordId>,
    /// The id in `cancels` of a DO.
    pub cancels: Option<RecordId>,
    /// A KNOW with `verdict: "reject"`.
    pub rejects: bool,
    /// An INTEND with `task: true`.
    pub opens_task: bool,
    /// A DO with `topic: "task_started"`.
    pub starts_task: bool,
}

impl Effect {
    /// Reads the effect of a body.
    #[must_use]
    pub fn of(act: Act, body: &Object) -> Self {
        let id = |value: &Json| value.as_str().and_then(RecordId::parse);
        match act {
            Act::Know => Self {
                fulfills: match body.get("fulfills") {
                    Some(Json::Array(ids)) => ids.iter().filter_map(id).collect(),
                    Some(value) => id(value).into_iter().collect(),
                    None => Vec::new(),
                },
                rejects: body.str("verdict") == Some("reject"),
                ..Self::default()
            },
            Act::Do => Self {
                cancels: body.get("cancels").and_then(id),
                starts_task: body.str("topic") == Some("task_started"),
                ..Self::default()
            },
            Act::Intend => {
                Self { opens_task: body.get("task") == Some(&Json::Bool(true)), ..Self::default() }
            }
            _ => Self::default(),
        }
    }
}

/// What a thread's summary takes in of one record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Step<'a> {
    /// The record's position.
    pub sequence: u64,
    /// Its id.
    pub id: RecordId,
    /// Its act.
    pub act: Act,
    /// Its clock.
    pub clock: u64,
    /// Its commit's time.
    pub committed_at: UnixMillis,
    /// What its body does.
    pub effect: &'a Effect,
    /// Whether its writer could read the opening record.
    pub sees_opening: bool,
    /// Whether its actor is new on the thread.
    pub new_participant: bool,
}

/// A thread in one line: a fold over its records in sequence order.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Summary {
    /// The thread's name.
    pub thread: String,
    /// Position of its first record.
    pub first_sequence: u64,
    /// Position of its last record.
    pub last_sequence: u64,
    /// How many records it has.
    pub record_count: u64,
    /// Lowest clock on it.
    pub first_clock: u64,
    /// Highest clock on it.
    pub last_clock: u64,
    /// Time of its last commit.
    pub last_activity: UnixMillis,
    /// How many actors wrote on it.
    pub participants: u64,
    /// Where it stands.
    pub status: Status,
    /// Its first INTEND: id and position.
    pub opening: Option<(RecordId, u64)>,
    /// Whether the opening INTEND makes it a task, and whether that was started.
    pub task: Option<TaskProgress>,
}

/// How far a task is, beside the status of its thread.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct TaskProgress {
    /// A DO said `task_started`.
    pub started: bool,
    /// Position of the KNOW that completed it.
    pub completed_by: Option<u64>,
}

impl Summary {
    /// The summary of a thread before its first record.
    #[must_use]
    pub fn new(thread: &str) -> Self {
        Self {
            thread: thread.to_owned(),
            first_sequence: 0,
            last_sequence: 0,
            record_count: 0,
            first_clock: 0,
            last_clock: 0,
            last_activity: UnixMillis(0),
            participants: 0,
            status: Status::Active,
            opening: None,
            task: None,
        }
    }

    /// Takes in the next record. A record that is already in (its position is not above
    /// [`Self::last_sequence`]) changes nothing, so that a repeated catch-up is harmless.
    pub fn fold(&mut self, step: &Step<'_>) {
        if step.sequence <= self.last_sequence {
            return;
        }
        if self.record_count == 0 {
            self.first_sequence = step.sequence;
            self.first_clock = step.clock;
            self.last_clock = step.clock;
        }
        self.last_sequence = step.sequence;
        self.record_count += 1;
        self.first_clock = self.first_clock.min(step.clock);
        self.last_clock = self.last_clock.max(step.clock);
        self.last_activity = step.committed_at;
        self.participants += u64::from(step.new_participant);
        if self.opening.is_none() && step.act == Act::Intend {
            self.opening = Some((step.id, step.sequence));
            self.task = step.effect.opens_task.then_some(TaskProgress { started: false, completed_by: None });
            self.status = Status::Open;
            return;
        }
        if step.sees_opening && !self.status.is_final() {
            self.progress(step);
        }
    }

    fn progress(&mut self, step: &Step<'_>) {
        // A thread that nobody opened stays active until somebody does: there is no opening to read, to fulfil
        // or to cancel.
        let Some((opening, _)) = self.opening else { return };
        let names_opening = |id: &RecordId| *id == opening;
        self.status = match step.act {
            Act::Intend => Status::Open,
            Act::Do if step.effect.cancels.as_ref().is_some_and(names_opening) => Status::Cancelled,
            Act::Do | Act::Call => Status::Active,
            Act::Know if step.effect.fulfills.iter().any(names_opening) => Status::Closed,
            Act::Know if step.effect.rejects => Status::Cancelled,
            Act::Know => Status::Observed,
            Act::Learn | Act::Get | Act::Put | Act::Map => self.status,
        };
        if let Some(task) = &mut self.task {
            task.started |= step.effect.starts_task;
            if self.status == Status::Closed {
                task.completed_by = Some(step.sequence);
            }
        }
    }
}

/// One actor's part in a thread.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Participant {
    /// The actor's DID.
    pub actor: String,
    /// Position of its first record on the thread.
    pub first_sequence: u64,
    /// Position of its last record on the thread.
    pub last_sequence: u64,
    /// How many records it wrote there.
    pub record_count: u64,
    /// Its lowest clock there.
    pub first_clock: u64,
    /// Its highest clock there.
    pub last_clock: u64,
}

impl Participant {
    /// An actor before its first record on a thread.
    #[must_use]
    pub fn new(actor: &str) -> Self {
        Self {
            actor: actor.to_owned(),
            first_sequence: 0,
            last_sequence: 0,
            record_count: 0,
            first_clock: 0,
            last_clock: 0,
        }
    }

    /// Takes in the next record of this actor; one that is already in changes nothing.
    pub fn fold(&mut self, sequence: u64, clock: u64) {
        if sequence <= self.last_sequence {
            return;
        }
        if self.record_count == 0 {
            self.first_sequence = sequence;
            self.first_clock = clock;
            self.last_clock = clock;
        }
        self.last_sequence = sequence;
        self.record_count += 1;
        self.first_clock = self.first_clock.min(clock);
        self.last_clock = self.last_clock.max(clock);
    }
}
