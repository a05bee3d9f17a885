//! The threads that follow a writer, as the server has them: one settles, one writes the index, each when there is
//! enough to do.

#![expect(clippy::expect_used, reason = "a benchmark that cannot run has no result")]

use std::{
    sync::{Condvar, Mutex, PoisonError},
    thread::Scope,
};

use spl_kernel::log::{FLUSH_RECORDS, Log, SETTLE_DUE_BYTES};

#[derive(Debug, Default)]
struct State {
    appended: u64,
    stopping: bool,
}

/// Wakes them.
#[derive(Debug, Default)]
pub struct Behind {
    state: Mutex<State>,
    changed: Condvar,
}

impl Behind {
    /// Starts the threads.
    pub fn follow<'scope>(&'scope self, scope: &'scope Scope<'scope, '_>, log: &'scope Log) {
        scope.spawn(move || {
            self.each_time(&mut || {
                while log.unsettled_bytes() >= SETTLE_DUE_BYTES {
                    log.settle().expect("settled");
                }
            });
        });
        scope.spawn(move || {
            self.each_time(&mut || {
                while log.index().behind() >= FLUSH_RECORDS {
                    log.index().flush().expect("flushed");
                }
            });
        });
    }

    /// Something was appended.
    pub fn appended(&self, log: &Log) {
        if log.unsettled_bytes() < SETTLE_DUE_BYTES && log.index().behind() < FLUSH_RECORDS {
            return;
        }
        self.state.lock().unwrap_or_else(PoisonError::into_inner).appended += 1;
        self.changed.notify_all();
    }

    /// Ends the threads.
    pub fn stop(&self) {
        self.state.lock().unwrap_or_else(PoisonError::into_inner).stopping = true;
        self.changed.notify_all();
    }

    fn each_time(&self, work: &mut dyn FnMut()) {
        let mut seen = 0;
        loop {
            let state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
            let waits = |s: &mut State| s.appended == seen && !s.stopping;
            let state = self.changed.wait_while(state, waits).unwrap_or_else(PoisonError::into_inner);
            seen = state.appended;
            if state.stopping {
                return;
            }
            drop(state);
            work();
        }
    }
}
