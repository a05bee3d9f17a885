//! What the event loop does with requests.

use hyper::body::Bytes;

use super::{
    Script,
    epoll::{Connections, Service},
    http::Request,
    journal::Journal,
};
use crate::Outcome;

/// Gives every request the same answer.
pub(super) struct Constant(Bytes);

impl Constant {
    pub(super) fn new(script: Script) -> Self {
        Self(script.answer)
    }
}

impl Service for Constant {
    fn request(&mut self, from: usize, _: &Request<'_>, connections: &mut Connections) {
        connections.send(from, &self.0);
    }
}

/// Puts all bodies that were ready at once into a file with one write and one sync, and then answers them.
pub(super) struct Append {
    answer: Bytes,
    journal: Journal,
    group: Vec<u8>,
    waiting: Vec<usize>,
}

impl Append {
    pub(super) fn new(script: Script, journal: Journal) -> Self {
        Self { answer: script.answer, journal, group: Vec::new(), waiting: Vec::new() }
    }
}

impl Service for Append {
    fn request(&mut self, from: usize, request: &Request<'_>, _: &mut Connections) {
        self.group.extend_from_slice(request.body);
        self.waiting.push(from);
    }

    fn turn(&mut self, connections: &mut Connections) -> Outcome<()> {
        if !self.waiting.is_empty() {
            self.journal.append(&self.group)?;
            self.group.clear();
            self.waiting.drain(..).for_each(|at| connections.send(at, &self.answer));
        }
        Ok(())
    }
}

/// Sends every subscriber the same event for each request that is posted; whoever posts nothing is one.
pub(super) struct Fanout {
    script: Script,
    subscribers: Vec<usize>,
}

impl Fanout {
    pub(super) fn new(script: Script) -> Self {
        Self { script, subscribers: Vec::new() }
    }
}

impl Service for Fanout {
    fn request(&mut self, from: usize, request: &Request<'_>, connections: &mut Connections) {
        if request.posted {
            connections.send(from, &self.script.answer);
            self.subscribers.iter().for_each(|at| connections.send(*at, &self.script.event));
        } else {
            connections.send(from, &self.script.greeting);
            self.subscribers.push(from);
        }
    }
}
