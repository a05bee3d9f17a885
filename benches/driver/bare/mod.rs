//! Servers that do the least that a server can and still speak the same protocol: what they reach is the floor of
//! everything that is spoken to this way on this machine. Each runs as a process of its own, which the driver starts
//! from its own program.
//!
//! One kind is an event loop on one thread (and one that syncs, where something is to last) without any library but a parser of heads; the other is the library that
//! `spl` is built on. Neither knows who asks, what is asked, or what it says: it says what `spl` said before. A third does
//! for a record what no server of this protocol can leave out, and a fourth keeps it as `spl` does.

mod epoll;
mod http;
mod journal;
mod library;
mod services;

use std::{
    net::{Ipv4Addr, TcpListener},
    path::{Path, PathBuf},
};

use clap::{Args, ValueEnum};
use hyper::body::Bytes;
use nix::sys::{
    prctl,
    resource::{Resource, setrlimit},
    signal::Signal,
};

use crate::Outcome;

/// What a server does with what it is sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Duty {
    /// Gives every request the same answer
    Answer,
    /// Gives it when the request's body is in a file and synced
    Append,
    /// Sends every subscriber the same event for each POST
    Fanout,
}

/// What a server is made of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Made {
    /// One thread with an event loop
    Bare,
    /// hyper, with a thread for each core
    Hyper,
    /// The same, and what is appended is made a record first
    Records,
    /// The same, and it can be found: the log of `spl`, with its indexes
    Log,
}

impl Made {
    /// As it is called in results.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Bare => "bare",
            Self::Hyper => "hyper",
            Self::Records => "hyper, records",
            Self::Log => "hyper, log",
        }
    }
}

#[derive(Args)]
pub(crate) struct Arguments {
    duty: Duty,
    made: Made,
    /// Where it listens
    port: u16,
    /// Where what it is to say lies, and where it writes
    directory: PathBuf,
}

impl Arguments {
    /// As a command line.
    pub(crate) fn line(duty: Duty, made: Made, port: u16) -> Option<[String; 3]> {
        let name = |value: Option<clap::builder::PossibleValue>| Some(value?.get_name().to_owned());
        Some([name(duty.to_possible_value())?, name(made.to_possible_value())?, port.to_string()])
    }
}

/// What a server says: bytes that `spl` has said, framing and all.
#[derive(Debug, Default, Clone)]
pub(crate) struct Script {
    /// The answer to every request, or to each that is posted where there are subscribers.
    pub(crate) answer: Bytes,
    /// What a subscriber is told first.
    pub(crate) greeting: Bytes,
    /// What a subscriber is told of each request that is posted.
    pub(crate) event: Bytes,
}

impl Script {
    const FILES: [&str; 3] = ["answer", "greeting", "event"];

    /// Puts it where a server looks for it.
    pub(crate) fn write(&self, directory: &Path) -> std::io::Result<()> {
        let parts = [&self.answer, &self.greeting, &self.event];
        Self::FILES.iter().zip(parts).try_for_each(|(file, part)| std::fs::write(directory.join(file), part))
    }

    fn read(directory: &Path) -> std::io::Result<Self> {
        let part = |file: &str| std::fs::read(directory.join(file)).map(Bytes::from);
        let [answer, greeting, event] = Self::FILES.map(part);
        Ok(Self { answer: answer?, greeting: greeting?, event: event? })
    }
}

/// Serves until the process is ended.
pub(crate) fn run(arguments: &Arguments) -> Outcome<()> {
    // It goes with the driver, and leaves nothing behind when it is told to quit.
    prctl::set_pdeathsig(Signal::SIGKILL)?;
    setrlimit(Resource::RLIMIT_CORE, 0, 0)?;
    let script = Script::read(&arguments.directory)?;
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, arguments.port))?;
    serve(arguments.duty, arguments.made, listener, script, &arguments.directory)
}

fn serve(duty: Duty, made: Made, listener: TcpListener, script: Script, directory: &Path) -> Outcome<()> {
    let journal = || journal::Journal::create(&directory.join("journal"));
    match (made, duty) {
        (Made::Bare, Duty::Answer) => epoll::serve(listener, |_| Ok(services::Constant::new(script))),
        (Made::Bare, Duty::Append) => {
            epoll::serve(listener, |waker| services::Append::new(script, journal()?, waker))
        }
        (Made::Bare, Duty::Fanout) => epoll::serve(listener, |_| Ok(services::Fanout::new(script))),
        (Made::Hyper, Duty::Answer) => library::serve(listener, library::Constant::new(&script)?),
        (Made::Hyper, Duty::Append) => library::serve(listener, library::Append::new(&script, journal()?)?),
        (Made::Hyper, Duty::Fanout) => library::serve(listener, library::Fanout::new(&script)?),
        (Made::Records, Duty::Append) => {
            library::serve(listener, library::Records::new(&script, journal()?)?)
        }
        (Made::Log, Duty::Append) => library::serve(listener, library::Records::found(&script, directory)?),
        (Made::Records | Made::Log, Duty::Answer | Duty::Fanout) => Err("records are only appended".into()),
    }
}

#[cfg(test)]
mod tests {
    use std::{
        io::{Read as _, Write as _},
        net::TcpStream,
        time::Duration,
    };

    use super::*;

    const POST: &[u8] = b"POST /v1/records HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\n\r\nhello";
    const GET: &[u8] = b"GET /v1/events/stream HTTP/1.1\r\nHost: h\r\n\r\n";

    fn script() -> Script {
        let answer = b"HTTP/1.1 201 Created\r\ncontent-length: 2\r\n\r\nok".as_slice().into();
        let head = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n3\r\nhi\n\r\n".as_slice().into();
        Script { answer, greeting: head, event: b"6\r\nevent\n\r\n".as_slice().into() }
    }

    /// A server on a thread that lasts as long as the tests do.
    fn start(duty: Duty, made: Made) -> (u16, tempfile::TempDir) {
        let directory = tempfile::tempdir().unwrap();
        script().write(directory.path()).unwrap();
        let script = Script::read(directory.path()).unwrap();
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let (port, path) = (listener.local_addr().unwrap().port(), directory.path().to_owned());
        std::thread::spawn(move || serve(duty, made, listener, script, &path).unwrap());
        (port, directory)
    }

    fn connect(port: u16) -> TcpStream {
        let socket = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).unwrap();
        socket.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
        socket
    }

    fn read_until(socket: &mut TcpStream, end: &str) -> String {
        let (mut got, mut chunk) = (String::new(), [0; 1000]);
        while !got.ends_with(end) {
            let n = socket.read(&mut chunk).unwrap();
            assert!(n > 0, "closed after {got:?}");
            got += std::str::from_utf8(&chunk[..n]).unwrap();
        }
        got
    }

    #[test]
    fn every_request_is_answered_wherever_it_is_cut() {
        for made in [Made::Bare, Made::Hyper] {
            let (port, _directory) = start(Duty::Answer, made);
            let mut socket = connect(port);
            for cut in [0, 10, POST.len() - 2] {
                socket.write_all(&POST[..cut]).unwrap();
                socket.write_all(&POST[cut..]).unwrap();
                let answer = read_until(&mut socket, "\r\n\r\nok");
                assert!(answer.starts_with("HTTP/1.1 201 Created\r\n"), "{made:?}: {answer}");
                assert_eq!(answer.matches("content-length: 2\r\n").count(), 1, "{made:?}: {answer}");
            }
        }
    }

    #[test]
    fn what_is_answered_is_in_the_file() {
        for made in [Made::Bare, Made::Hyper] {
            let (port, directory) = start(Duty::Append, made);
            let mut sockets = [connect(port), connect(port)];
            for socket in &mut sockets {
                socket.write_all(POST).unwrap();
            }
            for socket in &mut sockets {
                read_until(socket, "\r\n\r\nok");
            }
            let written = std::fs::read(directory.path().join("journal")).unwrap();
            assert!(written.starts_with(b"hellohello\0"), "{made:?}");
        }
    }

    #[test]
    fn what_is_answered_is_a_record_in_the_file() {
        for (made, file) in [(Made::Records, "journal"), (Made::Log, "log.journal")] {
            let (port, directory) = start(Duty::Append, made);
            let record = r#"{"thread":"t","actor":"did:a:b","act":"KNOW","body":{"a": 1}}"#;
            let length = record.len();
            for _ in 0..3 {
                let mut socket = connect(port);
                write!(socket, "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: {length}\r\n\r\n{record}")
                    .unwrap();
                read_until(&mut socket, "\r\n\r\nok");
            }
            let written = std::fs::read(directory.path().join(file)).unwrap();
            // The first group of a log is not for its journal.
            let there = if made == Made::Log { 2 } else { 3 };
            assert_eq!(memchr::memmem::find_iter(&written, r#"{"a":1}"#).count(), there, "{made:?}");
            // What is no record is not answered.
            let mut socket = connect(port);
            socket.write_all(POST).unwrap();
            assert_eq!(socket.read(&mut [0; 10]).unwrap_or(0), 0, "{made:?}");
        }
    }

    #[test]
    fn every_subscriber_is_told() {
        for made in [Made::Bare, Made::Hyper] {
            let (port, _directory) = start(Duty::Fanout, made);
            let mut subscribers = [connect(port), connect(port)];
            for subscriber in &mut subscribers {
                subscriber.write_all(GET).unwrap();
                let head = read_until(subscriber, "3\r\nhi\n\r\n");
                assert!(head.starts_with("HTTP/1.1 200 OK\r\n"), "{made:?}: {head}");
            }
            let mut publisher = connect(port);
            for _ in 0..2 {
                publisher.write_all(POST).unwrap();
                read_until(&mut publisher, "\r\n\r\nok");
            }
            for subscriber in &mut subscribers {
                let mut told = String::new();
                while told.len() < 22 {
                    told += &read_until(subscriber, "event\n\r\n");
                }
                assert_eq!(told, "6\r\nevent\n\r\n".repeat(2), "{made:?}");
            }
        }
    }
}
