//! What the event loop does with requests.

use std::{io, mem, sync::mpsc};

use hyper::body::Bytes;
use mio::Waker;

use super::{
    Script,
    epoll::{Connections, Service},
    http::Request,
    journal::{Journal, as_sent, committer},
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

/// Has all bodies that were ready at once put into a file, and answers them when they are.
pub(super) struct Append {
    answer: Bytes,
    /// What came in this turn, and from where.
    group: (Vec<u8>, Vec<usize>),
    queue: mpsc::Sender<(Vec<u8>, Vec<usize>)>,
    written: mpsc::Receiver<Vec<Vec<usize>>>,
}

impl Append {
    pub(super) fn new(script: Script, journal: Journal, waker: Waker) -> io::Result<Self> {
        let (tell, written) = mpsc::channel();
        let queue = committer(journal.writer(as_sent), move |list| {
            // Without anybody who listens there is nobody to wake either.
            let _ = tell.send(list).is_ok() && waker.wake().is_ok();
        })?;
        Ok(Self { answer: script.answer, group: Default::default(), queue, written })
    }
}

impl Service for Append {
    fn request(&mut self, from: usize, request: &Request<'_>, _: &mut Connections) {
        self.group.0.extend_from_slice(request.body);
        self.group.1.push(from);
    }

    fn turn(&mut self, connections: &mut Connections) -> Outcome<()> {
        if !self.group.1.is_empty() {
            self.queue.send(mem::take(&mut self.group)).map_err(|_| "nothing can be written")?;
        }
        for at in self.written.try_iter().flatten().flatten() {
            connections.send(at, &self.answer);
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
