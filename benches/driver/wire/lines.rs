//! A stream of text in which each event holds a marker: SSE, and lines of JSON. Chunk boundaries of HTTP may lie
//! anywhere but within the marker, which a server writes at once.

use memchr::memmem;

use super::{Taken, Wire, refused};
use crate::Outcome;

/// See the module.
pub(crate) struct Marked {
    request: Vec<u8>,
    marker: memmem::Finder<'static>,
    /// Whether the head of the answer has gone by.
    started: bool,
}

impl Marked {
    /// Sends one request, and counts markers in what comes.
    pub(crate) fn new(request: Vec<u8>, marker: &'static str) -> Self {
        Self { request, marker: memmem::Finder::new(marker), started: false }
    }
}

impl Wire for Marked {
    fn request(&mut self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.request);
    }

    fn take(&mut self, input: &[u8], _: &mut Vec<u8>) -> Outcome<Taken> {
        let mut at = 0;
        if !self.started {
            let Some(end) = memmem::find(input, b"\r\n\r\n") else { return Ok(Taken::default()) };
            if !input.starts_with(b"HTTP/1.1 200") {
                return Err(refused("a stream", input));
            }
            self.started = true;
            at = end + 4;
        }
        let mut answers = 0;
        while let Some(found) = self.marker.find(&input[at..]) {
            answers += 1;
            at += found + self.marker.needle().len();
        }
        // A marker may have begun in what is left.
        let keep = (self.marker.needle().len() - 1).min(input.len() - at);
        Ok(Taken { consumed: input.len() - keep, answers })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn markers_are_counted_once_wherever_the_bytes_are_cut() {
        let stream = b"HTTP/1.1 200 OK\r\n\r\nevent: a\n\nevent: b\n\nevent: a\n\n";
        for cut in 0..stream.len() {
            let mut wire = Marked::new(Vec::new(), "event: a");
            let first = wire.take(&stream[..cut], &mut Vec::new()).unwrap();
            let second = wire.take(&stream[first.consumed..], &mut Vec::new()).unwrap();
            assert_eq!(first.answers + second.answers, 2, "cut at {cut}");
        }
    }
}
