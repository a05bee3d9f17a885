//! What is said over a connection: prepared requests out, the ends of answers found in what comes back. As
//! little as is possible is understood of an answer, because the client shares its cores with the server.

pub(crate) mod grpc;
pub(crate) mod http;
pub(crate) mod lines;
pub(crate) mod nats;
pub(crate) mod postgres;
pub(crate) mod resp;

use std::sync::Arc;

use crate::Outcome;

/// What was found in some bytes.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Taken {
    /// Bytes that are done with; the rest is shown again, with more behind it.
    pub(crate) consumed: usize,
    /// Answers, or events of a stream, that are complete.
    pub(crate) answers: usize,
}

/// One protocol's side of one connection.
pub(crate) trait Wire {
    /// Puts the next request behind what is in `out`.
    fn request(&mut self, out: &mut Vec<u8>);

    /// Takes all complete answers from `input`. What the protocol has to say by itself goes into `out`.
    ///
    /// # Errors
    /// When the server refuses, or says what was not expected: what is measured would not be the workload.
    fn take(&mut self, input: &[u8], out: &mut Vec<u8>) -> Outcome<Taken>;
}

/// Prepared requests, sent round and round. Many connections share them, each from a place of its own.
#[derive(Debug, Clone)]
pub(crate) struct Requests {
    list: Arc<[Vec<u8>]>,
    next: usize,
}

impl Requests {
    pub(crate) fn new(list: Vec<Vec<u8>>) -> Self {
        Self { list: list.into(), next: 0 }
    }

    /// The same, from the part of the list that is connection `n`'s of `of`.
    pub(crate) fn part(&self, n: usize, of: usize) -> Self {
        Self { list: self.list.clone(), next: self.list.len() * n / of.max(1) }
    }

    pub(crate) fn next(&mut self) -> &[u8] {
        let at = self.next % self.list.len().max(1);
        self.next = at + 1;
        self.list.get(at).map_or(&[], Vec::as_slice)
    }
}

/// A refusal, cut to what fits a line.
pub(crate) fn refused(what: &str, answer: &[u8]) -> Box<dyn std::error::Error> {
    let shown = &answer[..answer.len().min(400)];
    format!("{what}: {}", String::from_utf8_lossy(shown).escape_debug()).into()
}
