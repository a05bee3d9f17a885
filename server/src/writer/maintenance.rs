//! What follows the writer: the index file and `keys/head`, on a thread of their own.

use std::{
    sync::{Condvar, Mutex, PoisonError},
    time::Duration,
};

use spl_kernel::log::{FLUSH_RECORDS, Log, SETTLE_DUE_BYTES, verify::chain_of_causes};

use super::Condition;
use crate::{
    disk, env,
    home::{Home, KeptHead},
};

/// With nothing new for this long, what is left goes to the index file, and from the journal into the log's.
const IDLE: Duration = Duration::from_millis(500);
/// With this much of the index in memory it is written, however few records that are.
const FLUSH_BYTES: usize = 16 * 1024 * 1024;
/// Batches of the index that are written while stopping.
const STOPPING_FLUSHES_MAX: usize = 2;
/// `keys/head` is never older than this.
const HEAD_AGE_MAX: Duration = Duration::from_secs(5);

#[derive(Debug, Default)]
struct State {
    commits: u64,
    /// How often somebody was to be woken.
    calls: u64,
    stopping: bool,
}

/// Wakes the threads that follow the writer.
#[derive(Debug, Default)]
pub(super) struct Signal {
    state: Mutex<State>,
    changed: Condvar,
}

/// What a thread has seen of it.
#[derive(Debug, Default)]
pub(super) struct Seen {
    commits: u64,
    calls: u64,
}

/// Why a thread was woken.
pub(super) struct Woken {
    /// To do what is left and end.
    pub(super) stopping: bool,
    /// Nothing was committed since it last woke.
    pub(super) idle: bool,
}

impl Signal {
    /// A group was committed. Threads are woken only where there is enough for one of them to do: they would take the
    /// processor from the writer.
    pub(super) fn committed(&self, log: &Log) {
        let due = is_settling_due(log) || is_flush_due(log);
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.commits += 1;
        if due {
            state.calls += 1;
            drop(state);
            self.changed.notify_all();
        }
    }

    pub(super) fn stop(&self) {
        self.state.lock().unwrap_or_else(PoisonError::into_inner).stopping = true;
        self.changed.notify_all();
    }

    /// Waits until there is enough to do, or for a while.
    pub(super) fn wait(&self, seen: &mut Seen) -> Woken {
        let state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let (state, _) = self
            .changed
            .wait_timeout_while(state, IDLE, |s| s.calls == seen.calls && !s.stopping)
            .unwrap_or_else(PoisonError::into_inner);
        let idle = state.commits == seen.commits;
        *seen = Seen { commits: state.commits, calls: state.calls };
        Woken { stopping: state.stopping, idle }
    }
}

/// Whether enough is in the journal to be moved.
pub(super) fn is_settling_due(log: &Log) -> bool {
    log.unsettled_bytes() >= SETTLE_DUE_BYTES
}

/// Whether enough of the index is in memory to be written.
fn is_flush_due(log: &Log) -> bool {
    let behind = log.index().behind();
    behind >= FLUSH_RECORDS || (behind > 0 && log.index().behind_bytes() >= FLUSH_BYTES)
}

pub(super) fn run(log: &Log, home: Option<&Home>, signal: &Signal, condition: &Condition) {
    let mut seen = Seen::default();
    let mut kept = home.and_then(|h| h.kept_head().ok().flatten());
    let mut kept_at = env::monotonic();
    loop {
        let Woken { stopping, idle } = signal.wait(&mut seen);
        let due = is_flush_due(log) || ((idle || stopping) && log.index().behind() > 0);
        // Without room the index stays in memory, where it is as good; data waits meanwhile.
        if due && disk::has_room_at_all(log.path()) {
            flush(log, stopping, condition);
        }
        if let Some(home) = home
            && (stopping || env::monotonic().duration_since(kept_at) >= HEAD_AGE_MAX)
        {
            keep_head(log, home, &mut kept);
            kept_at = env::monotonic();
        }
        if stopping {
            return;
        }
    }
}

/// Writes the index; when stopping, all of it within a bound, so that stopping does not take long: what is left
/// is caught up at the next start.
fn flush(log: &Log, stopping: bool, condition: &Condition) {
    for _ in 0..STOPPING_FLUSHES_MAX {
        if condition.index_failed() {
            return;
        }
        match log.index().flush() {
            Ok(0) => return,
            Ok(_) if stopping => {}
            Ok(_) => return,
            Err(error) => {
                // The index is derived: what is not written now is caught up at the next start. Until then it
                // grows in memory, to its bound.
                condition.set(Condition::INDEX_FAILED);
                tracing::error!(cause = %chain_of_causes(&error), "the index could not be written");
                return;
            }
        }
    }
}

fn keep_head(log: &Log, home: &Home, kept: &mut Option<KeptHead>) {
    let head = log.head();
    let now = KeptHead { sequence: head.sequence, chain: head.chain };
    if *kept == Some(now) {
        return;
    }
    match home.keep_head(now) {
        Ok(()) => *kept = Some(now),
        Err(error) => tracing::error!(cause = %chain_of_causes(&error), "keys/head could not be written"),
    }
}
