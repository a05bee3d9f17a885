//! The writer's two bounded queues: control commands are taken first, data commands wait behind bounds.

use std::{
    collections::VecDeque,
    sync::{Condvar, Mutex, MutexGuard, PoisonError},
};

use super::Job;

/// Most data commands that wait.
const DATA_COMMANDS_MAX: usize = 4096;
/// Most bytes of data commands that wait.
const DATA_BYTES_MAX: usize = 64 * 1024 * 1024;
/// Most control commands that wait. They are small; this bounds memory, not use.
const CONTROL_COMMANDS_MAX: usize = 4096;
/// Most commands of one group.
const GROUP_COMMANDS_MAX: usize = 1024;
/// A group takes data commands until they have this many bytes.
const GROUP_BYTES_MAX: usize = 8 * 1024 * 1024;

#[derive(Debug, Default)]
struct State {
    control: VecDeque<Job>,
    data: VecDeque<Job>,
    data_bytes: usize,
    closed: bool,
    /// Whether the writer sleeps until something arrives: to wake it when it does not is a system call for nothing.
    sleeps: bool,
}

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Queue {
    state: Mutex<State>,
    arrived: Condvar,
}

/// Why a command was not queued.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Rejected {
    /// The queue holds as much as it may.
    Full,
    /// The writer has stopped or is stopping.
    Closed,
}

/// How much waits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct QueueDepth {
    /// Control commands.
    pub(crate) control: usize,
    /// Data commands.
    pub(crate) data: usize,
    /// Bytes of data commands.
    pub(crate) data_bytes: usize,
}

impl Queue {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Queues a command without waiting.
    pub(super) fn push(&self, job: Job) -> Result<(), Rejected> {
        let mut state = self.state();
        if state.closed {
            return Err(Rejected::Closed);
        }
        if job.command.is_control() {
            if state.control.len() >= CONTROL_COMMANDS_MAX {
                return Err(Rejected::Full);
            }
            state.control.push_back(job);
        } else {
            let bytes = state.data_bytes.saturating_add(job.bytes);
            if state.data.len() >= DATA_COMMANDS_MAX || (bytes > DATA_BYTES_MAX && !state.data.is_empty()) {
                return Err(Rejected::Full);
            }
            state.data_bytes = bytes;
            state.data.push_back(job);
        }
        let sleeps = std::mem::take(&mut state.sleeps);
        drop(state);
        if sleeps {
            self.arrived.notify_one();
        }
        Ok(())
    }

    /// Waits for commands and takes a group of them. `None` once closed and empty.
    pub(super) fn take_group(&self) -> Option<VecDeque<Job>> {
        let mut state = self.state();
        while state.control.is_empty() && state.data.is_empty() {
            if state.closed {
                return None;
            }
            state.sleeps = true;
            state = self.arrived.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        let mut group = VecDeque::new();
        while group.len() < GROUP_COMMANDS_MAX
            && let Some(job) = state.control.pop_front()
        {
            group.push_back(job);
        }
        let mut bytes = 0;
        while group.len() < GROUP_COMMANDS_MAX
            && bytes < GROUP_BYTES_MAX
            && let Some(job) = state.data.pop_front()
        {
            bytes += job.bytes;
            state.data_bytes = state.data_bytes.saturating_sub(job.bytes);
            group.push_back(job);
        }
        Some(group)
    }

    /// Takes no more; what waits is still done.
    pub(super) fn close(&self) {
        self.state().closed = true;
        self.arrived.notify_all();
    }

    /// Takes no more and drops what waits: there is nobody left to do it.
    pub(super) fn abandon(&self) {
        let mut state = self.state();
        state.closed = true;
        state.control.clear();
        state.data.clear();
        state.data_bytes = 0;
    }

    pub(super) fn depth(&self) -> QueueDepth {
        let state = self.state();
        QueueDepth { control: state.control.len(), data: state.data.len(), data_bytes: state.data_bytes }
    }
}

#[cfg(test)]
mod tests {
    use spl_projections::{Command as Control, Entropy, World, tokens::NoteSeen};
    use tokio::sync::oneshot;

    use super::*;
    use crate::writer::{Admission, Append, Command, Openings};

    fn job(command: Command, bytes: usize) -> Job {
        Job { command, bytes, answer: oneshot::channel().0 }
    }

    fn admission() -> Admission {
        Admission::instance(&World::default())
    }

    fn data(bytes: usize) -> Job {
        let append = Append { drafts: Vec::new(), admission: admission(), openings: Openings::default() };
        job(Command::Append(append), bytes)
    }

    fn control() -> Job {
        let command = Box::new(Control::NoteSeen(NoteSeen::default()));
        job(Command::Control { command, admission: admission(), entropy: Entropy::unused() }, 0)
    }

    #[test]
    fn control_commands_are_taken_first_in_every_group() {
        let queue = Queue::default();
        for _ in 0..3 {
            queue.push(data(1)).expect("room");
        }
        queue.push(control()).expect("room");
        let group = queue.take_group().expect("a group");
        let order: Vec<bool> = group.iter().map(|job| job.command.is_control()).collect();
        assert_eq!(order, [true, false, false, false]);
    }

    #[test]
    fn data_is_refused_when_its_queue_is_full_and_control_is_not() {
        let queue = Queue::default();
        for _ in 0..DATA_COMMANDS_MAX {
            queue.push(data(1)).expect("room");
        }
        assert_eq!(queue.push(data(1)), Err(Rejected::Full));
        queue.push(control()).expect("control commands have room of their own");
    }

    #[test]
    fn data_is_refused_beyond_its_bytes_but_one_command_always_fits() {
        let queue = Queue::default();
        queue.push(data(DATA_BYTES_MAX + 1)).expect("the first command fits whatever its size");
        assert_eq!(queue.push(data(1)), Err(Rejected::Full));
        assert_eq!(queue.take_group().expect("a group").len(), 1);
        queue.push(data(1)).expect("what was taken makes room");
    }

    #[test]
    fn a_group_is_bounded_in_bytes_and_the_rest_waits() {
        let queue = Queue::default();
        for _ in 0..4 {
            queue.push(data(GROUP_BYTES_MAX / 2)).expect("room");
        }
        assert_eq!(queue.take_group().expect("a group").len(), 2);
        assert_eq!(queue.depth().data, 2);
    }

    #[test]
    fn a_closed_queue_is_emptied_and_takes_nothing() {
        let queue = Queue::default();
        queue.push(data(1)).expect("room");
        queue.close();
        assert_eq!(queue.push(control()), Err(Rejected::Closed));
        assert!(queue.take_group().is_some());
        assert!(queue.take_group().is_none());
    }
}
