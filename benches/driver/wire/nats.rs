//! NATS: publishing to a stream with an acknowledgement for each message, or plain subscribing.

use std::io::Write as _;

use memchr::memmem;

use super::{Requests, Taken, Wire, refused};
use crate::{Outcome, transport::Link};

/// A message's bytes, with where its acknowledgement goes, if it is to have one.
pub(crate) fn publication(subject: &str, inbox: &str, payload: &[u8]) -> Vec<u8> {
    let mut out = format!("PUB {subject} {inbox} {}\r\n", payload.len()).into_bytes();
    out.extend_from_slice(payload);
    out.extend_from_slice(b"\r\n");
    out
}

/// A connection that is authenticated by a token.
pub(crate) fn connect(port: u16, token: &str) -> Outcome<Link> {
    let mut link = Link::plain(port)?;
    let connect = format!(
        "CONNECT {{\"verbose\":false,\"pedantic\":false,\"auth_token\":\"{token}\",\"lang\":\"rust\",\"version\":\"1\",\"protocol\":1}}\r\nPING\r\n"
    );
    link.write_all(connect.as_bytes())?;
    let said =
        link.read_until(|got| memmem::find(got, b"PONG\r\n").or(memmem::find(got, b"-ERR")).is_some())?;
    if memmem::find(&said, b"-ERR").is_some() {
        return Err(refused("NATS", &said));
    }
    Ok(link)
}

/// Asks the server for something over its own protocol and gives what it answers.
pub(crate) fn ask(link: &mut Link, subject: &str, payload: &str) -> Outcome<String> {
    link.write_all(b"SUB _INBOX.ask 1\r\n")?;
    link.write_all(&publication(subject, "_INBOX.ask", payload.as_bytes()))?;
    let answer = link.read_until(|got| {
        memmem::find(got, b"MSG ").is_some_and(|at| matches!(message(&got[at..]), Ok(Some(_))))
    })?;
    Ok(String::from_utf8_lossy(&answer).into_owned())
}

/// How long the message at the start is, and where its payload starts, once it is complete.
fn message(input: &[u8]) -> Outcome<Option<(usize, usize)>> {
    let Some(end) = memmem::find(input, b"\r\n") else { return Ok(None) };
    let size = input[..end].rsplit(|b| *b == b' ').next().unwrap_or_default();
    let size: usize = std::str::from_utf8(size)?.parse()?;
    let whole = end + 2 + size + 2;
    Ok((input.len() >= whole).then_some((whole, end + 2)))
}

/// See the module.
pub(crate) struct Nats {
    requests: Requests,
    /// What is said once, before the first request.
    first: Vec<u8>,
    /// Whether messages are acknowledgements, which may hold an error.
    acknowledged: bool,
}

impl Nats {
    /// One that publishes and counts the acknowledgements in its inbox.
    pub(crate) fn publisher(requests: Requests, inbox: &str) -> Self {
        Self { requests, first: format!("SUB {inbox} 1\r\n").into_bytes(), acknowledged: true }
    }

    /// One that publishes, and hears nothing.
    pub(crate) fn plain_publisher(requests: Requests) -> Self {
        Self { requests, first: Vec::new(), acknowledged: false }
    }

    /// One that counts messages.
    pub(crate) fn subscriber(subject: &str) -> Self {
        let first = format!("SUB {subject} 1\r\n").into_bytes();
        Self { requests: Requests::new(vec![Vec::new()]), first, acknowledged: false }
    }
}

impl Wire for Nats {
    fn request(&mut self, out: &mut Vec<u8>) {
        out.append(&mut self.first);
        out.extend_from_slice(self.requests.next());
    }

    fn take(&mut self, input: &[u8], out: &mut Vec<u8>) -> Outcome<Taken> {
        let mut taken = Taken::default();
        loop {
            let rest = &input[taken.consumed..];
            let Some(end) = memmem::find(rest, b"\r\n") else { return Ok(taken) };
            taken.consumed += if rest.starts_with(b"MSG ") {
                let Some((whole, payload)) = message(rest)? else { return Ok(taken) };
                if self.acknowledged && memmem::find(&rest[payload..whole], b"\"error\"").is_some() {
                    return Err(refused("NATS", &rest[..whole]));
                }
                taken.answers += 1;
                whole
            } else if rest.starts_with(b"-ERR") {
                return Err(refused("NATS", rest));
            } else {
                if rest.starts_with(b"PING") {
                    out.extend_from_slice(b"PONG\r\n");
                }
                end + 2
            };
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_are_counted_and_pings_answered() {
        let mut wire = Nats::subscriber("s");
        let mut out = Vec::new();
        let taken = wire.take(b"PING\r\nMSG s 1 3\r\nabc\r\nMSG s 1 9\r\nab", &mut out).unwrap();
        assert_eq!((taken, out), (Taken { consumed: 22, answers: 1 }, b"PONG\r\n".to_vec()));
        assert!(wire.take(b"-ERR 'no'\r\n", &mut Vec::new()).is_err());
    }
}
