//! Floors beside what is compared: bare servers that say to the same requests what `spl` says to them, byte for
//! byte, and what they reach.

use std::{io::Write as _, process::Command, time::Duration};

use memchr::memmem;
use tempfile::TempDir;

use crate::{
    Outcome,
    bare::{Arguments, Duty, Made, Script},
    engine::{Engine, Fanout, Slice},
    instance::{Instance, exchange},
    load::EVENT,
    peers::Spoken,
    process::{Server, Usage, data_directory, free_port},
    report::{Goal, Row},
    rounds::Rounds,
    transport::Link,
    wire::{Requests, http::Http, lines::Marked},
};

/// Answers from which the one of middle length is taken.
const SAMPLE: usize = 51;

/// What `spl` answers to such requests: the one of middle length of some.
pub(crate) fn usual_answer(spl: &Instance, requests: &Requests) -> Outcome<Script> {
    let mut link = spl.link()?;
    let mut answer = |n| Ok(exchange(&mut link, requests.part(n, SAMPLE).next())?.0);
    let mut answers = (0..SAMPLE).map(&mut answer).collect::<Outcome<Vec<_>>>()?;
    answers.sort_by_key(Vec::len);
    Ok(Script { answer: answers.swap_remove(SAMPLE / 2).into(), ..Script::default() })
}

/// What `spl` answers to a request, from the head to the last of so many lines or events that hold a marker.
pub(crate) fn long_answer(spl: &Instance, request: &[u8], marker: &str, count: usize) -> Outcome<Script> {
    let mut link = spl.link()?;
    link.write_all(request)?;
    let marker = memmem::Finder::new(marker);
    let (mut found, mut from) = (0, 0);
    let answer = link.read_until(|got| {
        while let Some(at) = marker.find(&got[from..]) {
            (found, from) = (found + 1, from + at + marker.needle().len());
        }
        from = from.max((got.len() + 1).saturating_sub(marker.needle().len()));
        // The end of a chunk, behind the end of a line.
        found >= count && got.ends_with(b"\n\r\n")
    })?;
    Ok(Script { answer: answer.into(), ..Script::default() })
}

/// What `spl` tells a subscriber first, and then of a record; and what it answers to whoever posts that.
pub(crate) fn announcement(spl: &Instance, subscription: &[u8], post: &[u8]) -> Outcome<Script> {
    let mut link = spl.link()?;
    link.write_all(subscription)?;
    let mut greeting = link.read_until(|got| memmem::find(got, b"\r\n\r\n").is_some())?;
    let (answer, _) = exchange(&mut spl.link()?, post)?;
    let mut event = link.read_until(|got| event_start(got).is_some() && got.ends_with(b"\n\n\r\n"))?;
    greeting.extend(event.drain(..event_start(&event).unwrap_or(0)));
    Ok(Script { answer: answer.into(), greeting: greeting.into(), event: event.into() })
}

/// Where among chunks the one starts that holds the first event.
fn event_start(chunks: &[u8]) -> Option<usize> {
    let size = chunks[..memmem::find(chunks, EVENT.as_bytes())?].strip_suffix(b"\r\n")?;
    Some(memmem::rfind(size, b"\r\n").map_or(0, |end| end + 2))
}

/// A server that is a floor.
struct Floor {
    made: Made,
    server: Server,
    port: u16,
    /// Goes after the server.
    _directory: TempDir,
}

impl Floor {
    fn start(duty: Duty, made: Made, script: &Script) -> Outcome<Self> {
        let (directory, port) = (data_directory()?, free_port()?);
        script.write(directory.path())?;
        let line = Arguments::line(duty, made, port).ok_or("it has no name")?;
        let mut command = Command::new(std::env::current_exe()?);
        command.arg("floor").args(line).arg(directory.path());
        let mut server = Server::start(&mut command, directory.path().join("output"))?;
        server.wait(|| Ok(Link::plain(port).map(drop)?))?;
        Ok(Self { made, server, port, _directory: directory })
    }

    fn usage(&self) -> Usage {
        self.server.usage()
    }
}

/// What floors are made of, the lowest first.
const MADE: [Made; 4] = [Made::Bare, Made::Hyper, Made::Records, Made::Log];

/// What a floor of something is called.
fn name(made: Made, what: &str) -> String {
    format!("{} {what}", made.name()).trim_end().to_owned()
}

/// A bare loop and the library, which do one thing; and the library with records and with the log, where these are appended.
pub(crate) struct Floors {
    /// What they do, where a group has floors of several things.
    what: &'static str,
    all: Vec<Floor>,
}

impl Floors {
    pub(crate) fn start(what: &'static str, duty: Duty, script: &Script) -> Outcome<Self> {
        let made = if duty == Duty::Append { MADE.as_slice() } else { &[Made::Bare, Made::Hyper] };
        let all = made.iter().map(|made| Floor::start(duty, *made, script)).collect::<Outcome<_>>()?;
        Ok(Self { what, all })
    }

    /// All take part: `turn` makes what each does in its turn, from its port.
    fn join<'a, T>(&'a self, rounds: &mut Rounds<'a>, turn: impl Fn(u16) -> Outcome<T>) -> Outcome<()>
    where
        T: FnMut() -> Outcome<Slice> + 'a,
    {
        for floor in &self.all {
            rounds.side(name(floor.made, self.what), || floor.usage(), turn(floor.port)?)?;
        }
        Ok(())
    }

    /// Connections over which requests go round.
    pub(crate) fn closed<'a>(
        &'a self,
        rounds: &mut Rounds<'a>,
        (connections, requests): (usize, &Requests),
        slice: Duration,
    ) -> Outcome<()> {
        self.join(rounds, |port| {
            let one = |n| -> Outcome<Spoken> {
                Ok((Link::plain(port)?, Box::new(Http::new(requests.part(n, connections)))))
            };
            let mut engine = Engine::new((0..connections).map(one).collect::<Outcome<Vec<_>>>()?)?;
            Ok(move || engine.closed(slice))
        })
    }

    /// Subscribers, and one who posts.
    pub(crate) fn fanout<'a>(
        &'a self,
        rounds: &mut Rounds<'a>,
        (subscriptions, posts): (&[Vec<u8>], &Requests),
        slice: Duration,
    ) -> Outcome<()> {
        self.join(rounds, |port| {
            let one = |request: &Vec<u8>| -> Outcome<Spoken> {
                Ok((Link::plain(port)?, Box::new(Marked::new(request.clone(), EVENT))))
            };
            let subscribers = subscriptions.iter().map(one).collect::<Outcome<Vec<_>>>()?;
            let publisher: Spoken = (Link::plain(port)?, Box::new(Http::new(posts.clone())));
            let mut fanout = Fanout::new(subscribers, publisher, true)?;
            Ok(move || fanout.run(slice, 1))
        })
    }

    /// A new connection for each turn, over which one request has a long answer.
    pub(crate) fn once<'a>(
        &'a self,
        rounds: &mut Rounds<'a>,
        (request, marker): (&'a [u8], &'static str),
        (count, timeout): (usize, Duration),
    ) -> Outcome<()> {
        self.join(rounds, |port| {
            Ok(move || {
                let wire: Spoken = (Link::plain(port)?, Box::new(Marked::new(request.to_vec(), marker)));
                Engine::new([wire])?.once(count, timeout)
            })
        })
    }
}

/// How two sides of a group are compared.
pub(crate) type Figure<'a> = fn(&Rounds<'a>, &str, &str, &str, Goal) -> Row;

/// What to judge by how `ours` compares with a peer: how the floors of `what` do that took part, and how `ours` does beside
/// them.
pub(crate) fn beside<'a>(
    rounds: &Rounds<'a>,
    figure: Figure<'a>,
    (label, what): (&str, &str),
    (ours, peer): (&str, &str),
) -> Vec<Row> {
    let floors: Vec<String> =
        MADE.iter().map(|made| name(*made, what)).filter(|name| rounds.has(name)).collect();
    let with_peer = floors.iter().map(|floor| (&**floor, peer));
    let with_ours = floors.iter().map(|floor| (ours, &**floor));
    with_peer
        .chain(with_ours)
        .map(|(a, b)| figure(rounds, &format!("{label}{a} / {b}"), a, b, Goal::None).beside())
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_starts_with_its_chunk() {
        let told = b"C\r\nretry: 1000\n\r\n1A\r\nevent: record.created\nid: 1\n\n\r\n";
        assert_eq!(event_start(told), Some(17));
        assert_eq!(event_start(&told[17..]), Some(0));
        assert_eq!(event_start(&told[..20]), None);
    }
}
