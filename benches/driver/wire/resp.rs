//! Redis: one command, one reply; a subscriber's replies are the messages.

use memchr::memmem;

use super::{Requests, Taken, Wire, refused};
use crate::Outcome;

/// A command's bytes.
pub(crate) fn command(parts: &[&[u8]]) -> Vec<u8> {
    let mut out = format!("*{}\r\n", parts.len()).into_bytes();
    for part in parts {
        out.extend_from_slice(format!("${}\r\n", part.len()).as_bytes());
        out.extend_from_slice(part);
        out.extend_from_slice(b"\r\n");
    }
    out
}

/// See the module.
pub(crate) struct Resp {
    requests: Requests,
    /// Where set, only replies that start so are counted.
    counted: &'static [u8],
}

impl Resp {
    pub(crate) fn new(requests: Requests) -> Self {
        Self { requests, counted: b"" }
    }

    /// One that subscribes and counts messages.
    pub(crate) fn subscriber(channel: &str) -> Self {
        let subscribe = command(&[b"SUBSCRIBE", channel.as_bytes()]);
        Self { requests: Requests::new(vec![subscribe]), counted: b"*3\r\n$7\r\nmessage\r\n" }
    }
}

fn number(line: &[u8]) -> Outcome<i64> {
    Ok(std::str::from_utf8(line)?.parse()?)
}

/// How long the reply at the start is, once it is complete.
fn reply(input: &[u8]) -> Outcome<Option<usize>> {
    let Some(end) = memmem::find(input, b"\r\n") else { return Ok(None) };
    let after = end + 2;
    match input[0] {
        b'+' | b':' => Ok(Some(after)),
        b'$' => match number(&input[1..end])? {
            ..0 => Err("Redis does not have it".into()),
            length => {
                let whole = after + usize::try_from(length)? + 2;
                Ok((input.len() >= whole).then_some(whole))
            }
        },
        b'*' => {
            let mut at = after;
            for _ in 0..number(&input[1..end])? {
                if at >= input.len() {
                    return Ok(None);
                }
                let Some(length) = reply(&input[at..])? else { return Ok(None) };
                at += length;
            }
            Ok(Some(at))
        }
        _ => Err(refused("Redis", input)),
    }
}

impl Wire for Resp {
    fn request(&mut self, out: &mut Vec<u8>) {
        out.extend_from_slice(self.requests.next());
    }

    fn take(&mut self, input: &[u8], _: &mut Vec<u8>) -> Outcome<Taken> {
        let mut taken = Taken::default();
        while taken.consumed < input.len() {
            let rest = &input[taken.consumed..];
            let Some(length) = reply(rest)? else { break };
            taken.consumed += length;
            taken.answers += usize::from(rest.starts_with(self.counted));
        }
        Ok(taken)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn replies_are_taken_whole() {
        let mut wire = Resp::new(Requests::new(vec![]));
        let taken =
            wire.take(b"+OK\r\n$3\r\nabc\r\n*2\r\n:1\r\n$1\r\na\r\n$5\r\nab", &mut Vec::new()).unwrap();
        assert_eq!(taken, Taken { consumed: 29, answers: 3 });
        assert!(wire.take(b"-ERR no\r\n", &mut Vec::new()).is_err());
        assert!(wire.take(b"$-1\r\n", &mut Vec::new()).is_err());
        let mut subscriber = Resp::subscriber("c");
        let pushed =
            b"*3\r\n$9\r\nsubscribe\r\n$1\r\nc\r\n:1\r\n*3\r\n$7\r\nmessage\r\n$1\r\nc\r\n$1\r\nx\r\n";
        assert_eq!(subscriber.take(pushed, &mut Vec::new()).unwrap().answers, 1);
    }
}
