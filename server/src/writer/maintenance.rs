//! What follows the writer: the index file and `keys/head`, on a thread of their own.

use std::{
    sync::{Condvar, Mutex, PoisonError},
    time::Duration,
};

use spl_kernel::log::{FLUSH_RECORDS, Log, verify::chain_of_causes};

use super::Condition;
use crate::{
    disk, env,
    home::{Home, KeptHead},
};

/// With nothing new for this long, what is left goes to the index file.
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
    stopping: bool,
}

/// Wakes the threads that follow the writer.
#[derive(Debug, Default)]
pub(super) struct Signal {
    state: Mutex<State>,
    changed: Condvar,
}

impl Signal {
    /// A group was committed.
    pub(super) fn committed(&self) {
        self.state.lock().unwrap_or_else(PoisonError::into_inner).commits += 1;
        self.changed.notify_all();
    }

    pub(super) fn stop(&self) {
        self.state.lock().unwrap_or_else(PoisonError::into_inner).stopping = true;
        self.changed.notify_all();
    }

    /// Waits for a change. Whether to stop.
    pub(super) fn wait_for_change(&self, seen: &mut u64) -> bool {
        let state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let state = self
            .changed
            .wait_while(state, |s| s.commits == *seen && !s.stopping)
            .unwrap_or_else(PoisonError::into_inner);
        *seen = state.commits;
        state.stopping
    }

    /// Waits for a change, or for the log to have been idle. Whether to stop, and whether it was idle.
    fn wait(&self, seen: &mut u64) -> (bool, bool) {
        let state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let (state, timeout) = self
            .changed
            .wait_timeout_while(state, IDLE, |s| s.commits == *seen && !s.stopping)
            .unwrap_or_else(PoisonError::into_inner);
        *seen = state.commits;
        (state.stopping, timeout.timed_out())
    }
}

pub(super) fn run(log: &Log, home: Option<&Home>, signal: &Signal, condition: &Condition) {
    let mut seen = 0;
    let mut kept = home.and_then(|h| h.kept_head().ok().flatten());
    let mut kept_at = env::monotonic();
    loop {
        let (stopping, idle) = signal.wait(&mut seen);
        // Without room the index stays in memory, where it is as good; data waits meanwhile.
        let behind = if disk::has_room_at_all(log.path()) { log.index().behind() } else { 0 };
        if behind >= FLUSH_RECORDS
            || (behind > 0 && log.index().behind_bytes() >= FLUSH_BYTES)
            || ((idle || stopping) && behind > 0)
        {
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
