//! gRPC over HTTP/2: as much of it as prepared calls need. Header blocks are written as literals and never read;
//! a call has succeeded when a message came before its end.
//!
//! The server's windows are not tracked: requests are small, and a server opens its window again long before so
//! few bytes in flight could fill it.

use super::{Requests, Taken, Wire, refused};
use crate::Outcome;

const DATA: u8 = 0;
const HEADERS: u8 = 1;
const RST_STREAM: u8 = 3;
const SETTINGS: u8 = 4;
const PING: u8 = 6;
const GOAWAY: u8 = 7;
const WINDOW_UPDATE: u8 = 8;
/// Flag of `DATA` and `HEADERS`: the stream ends. Of `SETTINGS` and `PING`: this is the answer.
const END: u8 = 1;
const END_HEADERS: u8 = 4;
const FRAME_HEAD: usize = 9;
/// The largest window there is.
const WINDOW: u32 = 0x7fff_ffff;
/// The connection's window is opened again by so much, each time that as much has come.
const WINDOW_STEP: u32 = 1 << 24;
/// The longest message of a stream that is put together, in bytes.
const MESSAGE_MAX: usize = 64 << 20;

/// One member of a protobuf message that is bytes, text or a message.
pub(crate) fn field(number: u32, value: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(value.len() + 8);
    varint(u64::from(number << 3 | 2), &mut out);
    varint(value.len() as u64, &mut out);
    out.extend_from_slice(value);
    out
}

/// One member of a protobuf message that is a number.
pub(crate) fn number(number: u32, value: u64) -> Vec<u8> {
    let mut out = Vec::new();
    varint(u64::from(number << 3), &mut out);
    varint(value, &mut out);
    out
}

fn varint(mut value: u64, out: &mut Vec<u8>) {
    while value >= 0x80 {
        out.push(value.to_le_bytes()[0] | 0x80);
        value >>= 7;
    }
    out.push(value.to_le_bytes()[0]);
}

fn read_varint(input: &mut &[u8]) -> Option<u64> {
    let mut value = 0;
    for shift in (0..64).step_by(7) {
        let (byte, rest) = input.split_first()?;
        *input = rest;
        value |= u64::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return Some(value);
        }
    }
    None
}

/// How often a member that is no number occurs in a message.
fn occurrences(mut message: &[u8], member: u32) -> Option<usize> {
    let mut count = 0;
    while !message.is_empty() {
        let key = read_varint(&mut message)?;
        let skip = match key & 7 {
            0 => {
                read_varint(&mut message)?;
                0
            }
            1 => 8,
            2 => {
                count += usize::from(key >> 3 == u64::from(member));
                usize::try_from(read_varint(&mut message)?).ok()?
            }
            5 => 4,
            _ => return None,
        };
        message = message.get(skip..)?;
    }
    Some(count)
}

fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap_or(u32::MAX).to_be_bytes();
    let mut out = vec![length[1], length[2], length[3], kind, flags];
    out.extend_from_slice(&stream.to_be_bytes());
    out.extend_from_slice(payload);
    out
}

/// Where calls go, and as whom.
#[derive(Debug, Clone)]
pub(crate) struct Target {
    /// `http` or `https`.
    pub(crate) scheme: &'static str,
    /// Host and port.
    pub(crate) authority: String,
    /// The method, as a path.
    pub(crate) path: &'static str,
    /// The metadata that authenticates.
    pub(crate) credential: (&'static str, String),
}

impl Target {
    fn headers(&self) -> Vec<u8> {
        // `:method: POST` is the third entry of the static table.
        let mut out = vec![0x83];
        let mut literal = |name: &str, value: &str| {
            out.push(0);
            for text in [name, value] {
                // A length is a number with a prefix of seven bits.
                match text.len() {
                    short @ ..0x7f => varint(short as u64, &mut out),
                    long => {
                        out.push(0x7f);
                        varint((long - 0x7f) as u64, &mut out);
                    }
                }
                out.extend_from_slice(text.as_bytes());
            }
        };
        literal(":scheme", self.scheme);
        literal(":path", self.path);
        literal(":authority", &self.authority);
        literal("content-type", "application/grpc");
        literal("te", "trailers");
        literal(self.credential.0, &self.credential.1);
        out
    }

    /// The frames of a call with this message. One that is `open` may be followed by more.
    pub(crate) fn call(&self, message: &[u8], open: bool) -> Vec<u8> {
        let mut out = frame(HEADERS, END_HEADERS, 0, &self.headers());
        let mut prefixed = vec![0];
        prefixed.extend_from_slice(&u32::try_from(message.len()).unwrap_or(u32::MAX).to_be_bytes());
        prefixed.extend_from_slice(message);
        out.extend(frame(DATA, if open { 0 } else { END }, 0, &prefixed));
        out
    }
}

/// What the client says first: large windows, so that it never has to be waited for.
fn preface() -> Vec<u8> {
    let mut out = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec();
    // No push, the largest window for streams, frames of up to a mebibyte.
    let mut settings = Vec::new();
    for (id, value) in [(2_u16, 0), (4, WINDOW), (5, 1 << 20)] {
        settings.extend_from_slice(&id.to_be_bytes());
        settings.extend_from_slice(&value.to_be_bytes());
    }
    out.extend(frame(SETTINGS, 0, 0, &settings));
    out.extend(frame(WINDOW_UPDATE, 0, 0, &(WINDOW - 65_535).to_be_bytes()));
    out
}

/// What is counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Counted {
    /// Calls that have ended.
    Calls,
    /// Occurrences of a member in the messages of a stream.
    Members(u32),
}

/// See the module.
pub(crate) struct Grpc {
    calls: Requests,
    counted: Counted,
    next_stream: u32,
    /// Bytes of the connection's window that were used since it was opened last.
    used: u32,
    /// What has come of the message that is not complete.
    message: Vec<u8>,
    /// Whether the call has had a message.
    answered: bool,
}

impl Grpc {
    fn new(calls: Requests, counted: Counted) -> Self {
        Self { calls, counted, next_stream: 1, used: 0, message: Vec::new(), answered: false }
    }

    /// One call after the other.
    pub(crate) fn calls(calls: Requests) -> Self {
        Self::new(calls, Counted::Calls)
    }

    /// One call whose answer is a stream; counts a member of its messages.
    pub(crate) fn stream(call: Vec<u8>, member: u32) -> Self {
        Self::new(Requests::new(vec![call]), Counted::Members(member))
    }

    /// Counts in the messages that are complete with these bytes.
    fn messages(&mut self, bytes: &[u8], member: u32) -> Outcome<usize> {
        self.message.extend_from_slice(bytes);
        let (mut at, mut count) = (0, 0);
        while let Some(length) = self.message.get(at + 1..at + 5) {
            let length = u32::from_be_bytes(length.try_into()?) as usize;
            if length > MESSAGE_MAX {
                return Err("a message is too long".into());
            }
            let Some(message) = self.message.get(at + 5..at + 5 + length) else { break };
            count += occurrences(message, member).ok_or("a message that is no protobuf")?;
            at += 5 + length;
        }
        self.message.drain(..at);
        Ok(count)
    }

    /// Looks at one frame and says how many answers it completes.
    fn frame(&mut self, kind: u8, flags: u8, payload: &[u8], out: &mut Vec<u8>) -> Outcome<usize> {
        let mut answers = 0;
        match kind {
            DATA => {
                self.answered |= !payload.is_empty();
                self.used += u32::try_from(payload.len())?;
                if self.used >= WINDOW_STEP {
                    out.extend(frame(WINDOW_UPDATE, 0, 0, &self.used.to_be_bytes()));
                    self.used = 0;
                }
                if let Counted::Members(member) = self.counted {
                    answers += self.messages(payload, member)?;
                }
            }
            RST_STREAM | GOAWAY => return Err(refused("the stream was reset", payload)),
            SETTINGS if flags & END == 0 => out.extend(frame(SETTINGS, END, 0, &[])),
            PING if flags & END == 0 => out.extend(frame(PING, END, 0, payload)),
            _ => {}
        }
        if matches!(kind, DATA | HEADERS) && flags & END != 0 {
            if !self.answered {
                return Err(refused("a call failed", payload));
            }
            answers += usize::from(self.counted == Counted::Calls);
        }
        Ok(answers)
    }
}

impl Wire for Grpc {
    fn request(&mut self, out: &mut Vec<u8>) {
        if self.next_stream == 1 {
            out.extend(preface());
        }
        self.answered = false;
        let start = out.len();
        out.extend_from_slice(self.calls.next());
        // Each frame of the call gets this call's stream.
        let mut at = start;
        while let Some(head) = out.get_mut(at..at + FRAME_HEAD) {
            head[5..9].copy_from_slice(&self.next_stream.to_be_bytes());
            at += FRAME_HEAD + u32::from_be_bytes([0, head[0], head[1], head[2]]) as usize;
        }
        self.next_stream += 2;
    }

    fn take(&mut self, input: &[u8], out: &mut Vec<u8>) -> Outcome<Taken> {
        let mut taken = Taken::default();
        while let Some(head) = input.get(taken.consumed..taken.consumed + FRAME_HEAD) {
            let length = u32::from_be_bytes([0, head[0], head[1], head[2]]) as usize;
            let start = taken.consumed + FRAME_HEAD;
            let Some(payload) = input.get(start..start + length) else { break };
            taken.answers += self.frame(head[3], head[4], payload, out)?;
            taken.consumed = start + length;
        }
        Ok(taken)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(stream: u32, message: &[u8]) -> Vec<u8> {
        let mut prefixed = vec![0, 0, 0, 0, u8::try_from(message.len()).unwrap()];
        prefixed.extend_from_slice(message);
        let mut out = frame(DATA, 0, stream, &prefixed);
        out.extend(frame(HEADERS, END | END_HEADERS, stream, &[0x88]));
        out
    }

    #[test]
    fn a_call_ends_with_its_stream_and_must_have_an_answer() {
        let mut wire = Grpc::calls(Requests::new(vec![frame(HEADERS, 4, 0, b"h")]));
        let mut out = Vec::new();
        wire.request(&mut out);
        assert!(out.ends_with(&frame(HEADERS, 4, 1, b"h")));
        let bytes = answer(1, b"");
        assert_eq!(wire.take(&bytes, &mut out).unwrap(), Taken { consumed: bytes.len(), answers: 1 });
        wire.request(&mut out);
        assert!(wire.take(&frame(HEADERS, END | END_HEADERS, 3, b"no"), &mut out).is_err());
    }

    #[test]
    fn members_are_counted_across_frames() {
        let mut wire = Grpc::stream(Vec::new(), 1);
        let mut message = field(1, b"first");
        message.extend(number(2, 300));
        message.extend(field(1, b"second"));
        let bytes = answer(1, &message);
        let (mut answers, mut shown) = (0, Vec::new());
        for byte in bytes {
            shown.push(byte);
            let taken = wire.take(&shown, &mut Vec::new()).unwrap();
            shown.drain(..taken.consumed);
            answers += taken.answers;
        }
        assert_eq!(answers, 2);
    }

    #[test]
    fn settings_and_pings_are_answered() {
        let (mut wire, mut out) = (Grpc::stream(Vec::new(), 1), Vec::new());
        wire.take(&frame(SETTINGS, 0, 0, &[]), &mut out).unwrap();
        wire.take(&frame(PING, 0, 0, b"12345678"), &mut out).unwrap();
        assert_eq!(out, [frame(SETTINGS, END, 0, &[]), frame(PING, END, 0, b"12345678")].concat());
    }
}
