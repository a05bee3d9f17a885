//! The highest clock of members, as far as somebody asked: the writer asks for each record, and mostly for the same few.

use std::{collections::HashMap, sync::Arc};

/// Members that are kept, each a few hundred bytes. Beyond that all are forgotten, and looked up anew.
const MEMBERS_MAX: usize = 16_384;

/// By thread and actor. None is known that has no record.
#[derive(Debug, Default)]
pub(super) struct Highest {
    threads: HashMap<Arc<str>, HashMap<Arc<str>, u64>>,
    members: usize,
}

impl Highest {
    pub(super) fn get(&self, thread: &str, actor: &str) -> Option<u64> {
        self.threads.get(thread)?.get(actor).copied()
    }

    /// Keeps what was looked up.
    pub(super) fn keep(&mut self, thread: &str, actor: &str, clock: u64) {
        if self.members >= MEMBERS_MAX {
            *self = Self::default();
        }
        let of_thread = self.threads.entry(thread.into()).or_default();
        self.members += usize::from(of_thread.insert(actor.into(), clock).is_none());
    }

    /// Takes in a record that was written. Who is not kept is looked up when somebody asks.
    pub(super) fn wrote(&mut self, thread: &str, actor: &str, clock: u64) {
        if let Some(known) = self.threads.get_mut(thread).and_then(|of| of.get_mut(actor)) {
            *known = clock.max(*known);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_goes_up_only_and_is_bounded() {
        let mut highest = Highest::default();
        highest.wrote("t", "a", 9);
        assert_eq!(highest.get("t", "a"), None);
        highest.keep("t", "a", 3);
        highest.wrote("t", "a", 5);
        highest.wrote("t", "a", 4);
        highest.wrote("t", "b", 8);
        assert_eq!((highest.get("t", "a"), highest.get("t", "b")), (Some(5), None));
        for n in 0..MEMBERS_MAX as u64 {
            highest.keep(&format!("t{}", n % 7), &n.to_string(), n);
        }
        assert!(highest.members <= MEMBERS_MAX);
        assert_eq!(highest.get("t", "a"), None);
    }
}
