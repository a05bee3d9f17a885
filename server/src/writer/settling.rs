//! What follows the writer closely: moving what was appended from the journal into the log's own file.

use spl_kernel::log::{Log, error::StoreError, verify::chain_of_causes};

use super::{
    Condition,
    maintenance::{Seen, Signal, Woken, is_settling_due},
};
use crate::disk;

/// Settles whenever there is enough, or nothing else to do; and when stopping closes the log.
pub(super) fn run(log: &Log, signal: &Signal, condition: &Condition) {
    let mut seen = Seen::default();
    loop {
        let Woken { stopping, idle } = signal.wait(&mut seen);
        // Without room it stays in the journal, where it is as safe.
        while (idle || is_settling_due(log)) && disk::has_room_at_all(log.path()) {
            match log.settle() {
                Ok(0) => break,
                Ok(_) => {}
                Err(error) => return failed(&error, condition),
            }
        }
        if stopping {
            if disk::has_room_at_all(log.path())
                && let Err(error) = log.close()
            {
                failed(&error, condition);
            }
            return;
        }
    }
}

fn failed(error: &StoreError, condition: &Condition) {
    if !condition.log_failed() {
        tracing::error!(cause = %chain_of_causes(error), "the log could not be written");
    }
    let full = if error.is_full() { Condition::DISK_WAS_FULL } else { 0 };
    condition.set(Condition::LOG_FAILED | full);
}
