//! PostgreSQL: a statement that was prepared at the start, bound and executed with each request.

use std::io::Write as _;

use super::{Requests, Taken, Wire, refused};
use crate::{Outcome, transport::Link};

/// Puts a message together: its letter, its length, its parts.
fn message(letter: u8, parts: &[&[u8]]) -> Vec<u8> {
    let length = 4 + parts.iter().map(|p| p.len()).sum::<usize>();
    let mut out = vec![letter];
    out.extend_from_slice(&u32::try_from(length).unwrap_or(u32::MAX).to_be_bytes());
    for part in parts {
        out.extend_from_slice(part);
    }
    out
}

/// The messages that execute the prepared statement with these parameters, which are in binary form.
pub(crate) fn execution(parameters: &[&[u8]]) -> Vec<u8> {
    let mut bind = Vec::new();
    // No name for the portal, `s` for the statement, all parameters binary.
    bind.extend_from_slice(b"\0s\0\0\x01\0\x01");
    bind.extend_from_slice(&u16::try_from(parameters.len()).unwrap_or(u16::MAX).to_be_bytes());
    for parameter in parameters {
        bind.extend_from_slice(&u32::try_from(parameter.len()).unwrap_or(u32::MAX).to_be_bytes());
        bind.extend_from_slice(parameter);
    }
    // All results binary.
    bind.extend_from_slice(b"\0\x01\0\x01");
    let mut out = message(b'B', &[&bind]);
    out.extend(message(b'E', &[b"\0", &0_u32.to_be_bytes()]));
    out.extend(message(b'S', &[]));
    out
}

/// A message's length with its letter, where its head is there.
fn length(input: &[u8]) -> Option<usize> {
    let bytes = input.get(1..5)?.try_into().ok()?;
    Some(1 + u32::from_be_bytes(bytes) as usize)
}

/// Whether the messages end with the server being ready; what it refuses is an error.
fn ready(input: &[u8]) -> Outcome<bool> {
    let mut at = 0;
    while let Some(length) = length(&input[at..]).filter(|l| input.len() >= at + l) {
        match input[at] {
            b'E' => return Err(refused("PostgreSQL", &input[at..at + length])),
            b'Z' => return Ok(true),
            _ => at += length,
        }
    }
    Ok(false)
}

/// Sends messages and waits until the server is ready again.
fn exchange(link: &mut Link, messages: &[u8]) -> Outcome<()> {
    link.write_all(messages)?;
    link.flush()?;
    let mut result = Ok(());
    link.read_until(|got| match ready(got) {
        Ok(done) => done,
        Err(e) => {
            result = Err(e);
            true
        }
    })?;
    result
}

/// A connection by a role that needs no password.
pub(crate) fn connect(port: u16, role: &str) -> Outcome<Link> {
    let mut link = Link::plain(port)?;
    let mut startup = 196_608_u32.to_be_bytes().to_vec();
    startup.extend_from_slice(format!("user\0{role}\0database\0postgres\0\0").as_bytes());
    let mut bytes = u32::try_from(startup.len() + 4)?.to_be_bytes().to_vec();
    bytes.extend(startup);
    exchange(&mut link, &bytes)?;
    Ok(link)
}

/// Runs statements.
pub(crate) fn run(link: &mut Link, sql: &str) -> Outcome<()> {
    exchange(link, &message(b'Q', &[sql.as_bytes(), b"\0"]))
}

/// Prepares the connection's statement.
pub(crate) fn prepare(link: &mut Link, sql: &str) -> Outcome<()> {
    let mut bytes = message(b'P', &[b"s\0", sql.as_bytes(), b"\0\0\0"]);
    bytes.extend(message(b'S', &[]));
    exchange(link, &bytes)
}

/// See the module.
pub(crate) struct Postgres {
    requests: Requests,
    /// Whether each answer must hold a row.
    row: bool,
    seen_row: bool,
}

impl Postgres {
    pub(crate) fn new(requests: Requests, row: bool) -> Self {
        Self { requests, row, seen_row: false }
    }
}

impl Wire for Postgres {
    fn request(&mut self, out: &mut Vec<u8>) {
        out.extend_from_slice(self.requests.next());
    }

    fn take(&mut self, input: &[u8], _: &mut Vec<u8>) -> Outcome<Taken> {
        let mut taken = Taken::default();
        loop {
            let rest = &input[taken.consumed..];
            let Some(length) = length(rest).filter(|l| rest.len() >= *l) else { return Ok(taken) };
            match rest[0] {
                b'E' => return Err(refused("PostgreSQL", &rest[..length])),
                b'D' => self.seen_row = true,
                b'Z' if self.row && !self.seen_row => return Err("PostgreSQL does not have it".into()),
                b'Z' => {
                    taken.answers += 1;
                    self.seen_row = false;
                }
                _ => {}
            }
            taken.consumed += length;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_ends_when_the_server_is_ready() {
        let mut answer = message(b'2', &[]);
        answer.extend(message(b'D', &[b"row"]));
        answer.extend(message(b'Z', &[b"I"]));
        let mut wire = Postgres::new(Requests::new(vec![]), true);
        let taken = wire.take(&answer, &mut Vec::new()).unwrap();
        assert_eq!(taken, Taken { consumed: answer.len(), answers: 1 });
        assert!(wire.take(&message(b'Z', &[b"I"]), &mut Vec::new()).is_err(), "no row");
        assert!(wire.take(&message(b'E', &[b"no"]), &mut Vec::new()).is_err());
    }
}
