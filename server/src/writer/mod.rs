//! The writer: one thread that decides commands in order, appends each group's commits at once, and answers once they
//! are on disk. Two more follow it: one moves what was appended from the journal into the log's own file, one writes the
//! index and `keys/head`.

mod group;
mod maintenance;
mod merging;
mod queue;
mod scratch;
mod settling;

use std::{
    collections::HashSet,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{
        Arc,
        atomic::{AtomicU8, Ordering},
    },
};

use spl_kernel::{draft::Draft, id::RecordId, log::Log, record::StoredRecord, refusal::Refusal};
use spl_projections::{self as projections, Entropy, World, authority::Ticket, config, decision::Outcome};
use tokio::sync::oneshot;

pub(crate) use self::queue::QueueDepth;
use self::queue::{Queue, Rejected};
use crate::{home::Home, problem::Problem, published::Published};

/// While the index is this many records behind, data waits: the part of the index in memory stays bounded.
const INDEX_BEHIND_MAX: usize = 8 * spl_kernel::log::FLUSH_RECORDS;

/// While the index has this much in memory, data waits too.
const INDEX_BEHIND_BYTES_MAX: usize = 128 * 1024 * 1024;

/// Something to decide and write.
#[derive(Debug)]
pub(crate) enum Command {
    /// Write records, all or none.
    Append(Append),
    /// Cancel a thread that is neither closed nor cancelled.
    CancelThread {
        /// The thread.
        thread: String,
        /// Who cancels it.
        actor: String,
        /// Who asks.
        admission: Admission,
    },
    /// Change what the instance itself keeps: control.
    Control {
        /// What to change.
        command: Box<projections::Command>,
        /// Who asks.
        admission: Admission,
        /// Where ids and secrets come from.
        entropy: Entropy,
    },
}

/// Records to write.
#[derive(Debug)]
pub(crate) struct Append {
    /// What to write.
    pub(crate) drafts: Vec<Draft>,
    /// Who asks.
    pub(crate) admission: Admission,
    /// What of its threads the writer does not see.
    pub(crate) openings: Openings,
}

/// Threads whose opening record somebody who writes on them may not read: what it writes there changes no status.
#[derive(Debug, Default)]
pub(crate) struct Openings {
    /// These.
    pub(crate) unseen: HashSet<String>,
    /// And these, should somebody else have opened them first: their opening is among what is to be written.
    pub(crate) made_here: HashSet<String>,
}

/// On what grounds a command was let through: decided again before it is written.
#[derive(Debug)]
pub(crate) struct Admission {
    /// The credentials, and what the route asks.
    pub(crate) ticket: Ticket,
    /// Position of the rule set that the request was decided under.
    pub(crate) policy_version: u64,
}

impl Admission {
    /// The instance's own.
    pub(crate) fn instance(world: &World) -> Self {
        Self { ticket: Ticket::instance(), policy_version: world.config.policy_version }
    }
}

impl Command {
    /// Commands on the instance's own threads have a queue of their own.
    fn is_control(&self) -> bool {
        match self {
            Self::Control { .. } => true,
            Self::Append(Append { drafts, .. }) => {
                !drafts.is_empty() && drafts.iter().all(|d| d.thread == config::THREAD)
            }
            Self::CancelThread { .. } => false,
        }
    }

    /// The room that it may be written into.
    fn room(&self) -> RoomFor {
        match self {
            Self::Control { command, .. } if command.takes_away() => RoomFor::TakingAway,
            Self::Control { command, .. } if !command.can_wait() => RoomFor::Control,
            Self::Control { .. } | Self::Append(_) | Self::CancelThread { .. } => RoomFor::Data,
        }
    }
}

/// What room a command may be written into.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum RoomFor {
    /// What is above the bound for data.
    Data,
    /// What data leaves.
    Control,
    /// What was set aside, too.
    TakingAway,
}

/// What a command wrote and what to tell of it.
#[derive(Debug)]
pub(crate) struct Committed {
    /// What became of each draft; of a control command every record of its commit.
    pub(crate) written: Vec<Written>,
    /// What else its caller is told.
    pub(crate) outcome: Outcome,
}

impl Committed {
    /// The new record on a thread, if the command wrote one there: the first.
    pub(crate) fn on(&self, thread: &str) -> Option<&Arc<StoredRecord>> {
        self.written.iter().find_map(|w| match w {
            Written::New(stored) if stored.record.thread == thread => Some(stored),
            _ => None,
        })
    }
}

/// What a command wrote, one for each of its drafts.
#[derive(Debug, Clone)]
pub(crate) enum Written {
    /// A new record.
    New(Arc<StoredRecord>),
    /// It was there already, at this position.
    Stored(u64),
}

/// Why a command wrote nothing.
#[derive(Debug)]
pub(crate) enum NotWritten {
    /// Decided against.
    Refused(Refusal),
    /// Too much waits.
    Busy,
    /// No room on the file system.
    Full,
    /// The instance is stopping, or its log has failed.
    Closed,
    /// The log could not be read or written.
    Failed,
    /// The thread is closed or cancelled already; which, and nothing was written.
    AlreadyFinal(&'static str),
    /// The permission rules have changed since the request was decided: it is to be decided again. What was to
    /// be written comes back.
    RulesChanged(Vec<Draft>),
}

impl From<NotWritten> for Problem {
    fn from(why: NotWritten) -> Self {
        match why {
            NotWritten::Refused(refusal) => refusal.into(),
            NotWritten::Busy | NotWritten::RulesChanged(_) => Self::busy(),
            NotWritten::Full => Self::store_full(),
            NotWritten::Closed => Self::shutting_down(),
            NotWritten::Failed => Self::log_failed(),
            NotWritten::AlreadyFinal(status) => Self::invalid_query(format!("the thread is {status}")),
        }
    }
}

/// Whether the log and its index take writes. What has failed stays failed until a restart: the storage
/// engine's handle is not to be trusted after an error.
#[derive(Debug, Default)]
pub(crate) struct Condition {
    bits: AtomicU8,
}

impl Condition {
    const LOG_FAILED: u8 = 1;
    const DISK_WAS_FULL: u8 = 2;
    const INDEX_FAILED: u8 = 4;

    fn set(&self, bits: u8) {
        self.bits.fetch_or(bits, Ordering::AcqRel);
    }

    fn has(&self, bits: u8) -> bool {
        self.bits.load(Ordering::Acquire) & bits != 0
    }

    /// Nothing is written any more.
    pub(crate) fn log_failed(&self) -> bool {
        self.has(Self::LOG_FAILED)
    }

    /// The index file takes nothing any more; it is built up again at the next start.
    pub(crate) fn index_failed(&self) -> bool {
        self.has(Self::INDEX_FAILED)
    }

    /// Why a command is not written, where the log has failed.
    fn refusal(&self) -> NotWritten {
        if self.has(Self::DISK_WAS_FULL) { NotWritten::Full } else { NotWritten::Failed }
    }
}

type Answer = Result<Committed, NotWritten>;

/// A queued command.
#[derive(Debug)]
pub(crate) struct Job {
    command: Command,
    /// What it holds in memory, roughly.
    bytes: usize,
    answer: oneshot::Sender<Answer>,
}

/// The handle to the writer. Dropping it does not stop the writer; [`Writer::stop`] does.
#[derive(Debug)]
pub(crate) struct Writer {
    queue: Arc<Queue>,
    log: Arc<Log>,
    condition: Arc<Condition>,
    threads: std::sync::Mutex<Vec<std::thread::JoinHandle<()>>>,
    maintenance: Arc<maintenance::Signal>,
}

impl Writer {
    /// Starts the writer's thread, and those that follow it.
    pub(crate) fn start(
        log: Arc<Log>,
        world: World,
        published: Arc<Published>,
        home: Option<Home>,
    ) -> std::io::Result<Self> {
        let queue = Arc::new(Queue::default());
        let condition = Arc::new(Condition::default());
        let maintenance = Arc::new(maintenance::Signal::default());
        let behind = std::thread::Builder::new().name("spl-index".into()).spawn({
            let (log, signal, condition) = (log.clone(), maintenance.clone(), condition.clone());
            move || maintenance::run(&log, home.as_ref(), &signal, &condition)
        })?;
        let settling = std::thread::Builder::new().name("spl-settle".into()).spawn({
            let (log, signal, condition) = (log.clone(), maintenance.clone(), condition.clone());
            move || settling::run(&log, &signal, &condition)
        })?;
        let group = group::Groups {
            log: log.clone(),
            world,
            published,
            condition: condition.clone(),
            behind: maintenance.clone(),
            merging: merging::Merging::default(),
            room: crate::disk::Room::beside(log.path()),
        };
        let writer = std::thread::Builder::new().name("spl-writer".into()).spawn({
            let (queue, condition) = (queue.clone(), condition.clone());
            move || {
                // A panic here is a bug. What it must not do is leave callers waiting for a thread that is gone.
                if catch_unwind(AssertUnwindSafe(|| group.run(&queue))).is_err() {
                    tracing::error!("the writer panicked");
                    condition.set(Condition::LOG_FAILED);
                    queue.abandon();
                }
            }
        })?;
        let threads = std::sync::Mutex::new(vec![writer, settling, behind]);
        Ok(Self { queue, log, condition, threads, maintenance })
    }

    /// Queues a command and waits for its answer, never for a place in the queue.
    pub(crate) async fn submit(&self, command: Command) -> Answer {
        if self.condition.log_failed() {
            return Err(self.condition.refusal());
        }
        let index = self.log.index();
        let behind = index.behind() > INDEX_BEHIND_MAX || index.behind_bytes() > INDEX_BEHIND_BYTES_MAX;
        if !command.is_control() && behind {
            return Err(NotWritten::Busy);
        }
        let bytes = match &command {
            Command::Append(append) => append.drafts.iter().map(weight).sum(),
            Command::CancelThread { .. } | Command::Control { .. } => 1024,
        };
        let (answer, answered) = oneshot::channel();
        match self.queue.push(Job { command, bytes, answer }) {
            // A sender that is dropped is a writer that is gone.
            Ok(()) => answered.await.unwrap_or(Err(NotWritten::Failed)),
            Err(Rejected::Full) => Err(NotWritten::Busy),
            Err(Rejected::Closed) if self.condition.log_failed() => Err(self.condition.refusal()),
            Err(Rejected::Closed) => Err(NotWritten::Closed),
        }
    }

    /// Whether the log and its index take writes.
    pub(crate) fn condition(&self) -> &Condition {
        &self.condition
    }

    pub(crate) fn depth(&self) -> QueueDepth {
        self.queue.depth()
    }

    /// Does what waits, brings the log's file, the index and `keys/head` up, and returns when all threads are gone. Blocks.
    pub(crate) fn stop(&self) {
        self.queue.close();
        let threads =
            std::mem::take(&mut *self.threads.lock().unwrap_or_else(std::sync::PoisonError::into_inner));
        for (i, thread) in threads.into_iter().enumerate() {
            if i == 1 {
                // Only after the writer's thread has ended is there nothing more to bring up.
                self.maintenance.stop();
            }
            if thread.join().is_err() {
                tracing::error!("a thread of the writer panicked");
            }
        }
    }
}

/// What a draft holds in memory, roughly, in bytes.
fn weight(draft: &Draft) -> usize {
    let ids = draft.parents.len() + draft.facts.effect.fulfills.len();
    512 + draft.body.len() + draft.thread.len() + draft.actor.len() + ids * size_of::<RecordId>()
}
