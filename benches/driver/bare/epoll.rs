//! One thread that waits for sockets, reads requests from those that are ready and writes answers to them.

use std::{
    collections::VecDeque,
    io::{self, Read as _, Write as _},
    mem,
    net::TcpListener,
};

use hyper::body::{Buf as _, Bytes};
use mio::{Events, Interest, Poll, Registry, Token, Waker};

use super::http::{self, Request};
use crate::Outcome;

/// What one read takes at most.
const CHUNK: usize = 64 << 10;
/// The listener's place among the connections.
const LISTENER: Token = Token(usize::MAX - 1);
/// That of whoever wakes the loop.
const WAKER: Token = Token(usize::MAX - 2);

/// What is done with requests.
pub(super) trait Service {
    /// A request has come from a connection.
    fn request(&mut self, from: usize, request: &Request<'_>, connections: &mut Connections);

    /// All requests that were there have come, or it was woken.
    fn turn(&mut self, _connections: &mut Connections) -> Outcome<()> {
        Ok(())
    }
}

struct Connection {
    socket: mio::net::TcpStream,
    /// The beginning of a request.
    input: Vec<u8>,
    /// What the socket did not take yet.
    output: VecDeque<Bytes>,
}

impl Connection {
    /// Writes as much of some bytes as the socket takes.
    fn write(&mut self, bytes: &mut Bytes) -> io::Result<()> {
        while !bytes.is_empty() {
            match self.socket.write(bytes) {
                Ok(n) => bytes.advance(n),
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => break,
                Err(e) => return Err(e),
            }
        }
        Ok(())
    }

    fn send(&mut self, mut bytes: Bytes) -> io::Result<()> {
        if self.output.is_empty() {
            self.write(&mut bytes)?;
        }
        if !bytes.is_empty() {
            self.output.push_back(bytes);
        }
        Ok(())
    }

    fn flush(&mut self) -> io::Result<()> {
        while let Some(mut first) = self.output.pop_front() {
            self.write(&mut first)?;
            if !first.is_empty() {
                self.output.push_front(first);
                break;
            }
        }
        Ok(())
    }
}

/// All connections. The place of one that is gone stays empty: there are few.
#[derive(Default)]
pub(super) struct Connections(Vec<Option<Connection>>);

impl Connections {
    fn accept(&mut self, listener: &mio::net::TcpListener, registry: &Registry) -> Outcome<()> {
        loop {
            let mut socket = match listener.accept() {
                Ok((socket, _)) => socket,
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => return Ok(()),
                Err(e) => return Err(e.into()),
            };
            socket.set_nodelay(true)?;
            let token = Token(self.0.len());
            registry.register(&mut socket, token, Interest::READABLE | Interest::WRITABLE)?;
            self.0.push(Some(Connection { socket, input: Vec::new(), output: VecDeque::new() }));
        }
    }

    /// Does something with a connection that is there, and drops it when that fails.
    fn with(&mut self, at: usize, act: impl FnOnce(&mut Connection) -> io::Result<()>) {
        if let Some(place) = self.0.get_mut(at)
            && let Some(connection) = place
            && act(connection).is_err()
        {
            *place = None;
        }
    }

    /// Sends something over a connection, if it is still there.
    pub(super) fn send(&mut self, at: usize, bytes: &Bytes) {
        self.with(at, |connection| connection.send(bytes.clone()));
    }

    /// Takes in what has come over a connection, until there is no more. Whoever speaks no HTTP is dropped.
    fn receive(&mut self, at: usize, chunk: &mut [u8], service: &mut impl Service) {
        while let Some(connection) = self.0.get_mut(at).and_then(Option::as_mut) {
            let n = match connection.socket.read(chunk) {
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => return,
                Err(e) if e.kind() == io::ErrorKind::Interrupted => continue,
                Ok(0) | Err(_) => return self.0[at] = None,
                Ok(n) => n,
            };
            let mut begun = mem::take(&mut connection.input);
            let taken = if begun.is_empty() {
                self.requests(at, &chunk[..n], service).map(|taken| begun.extend_from_slice(&chunk[taken..n]))
            } else {
                begun.extend_from_slice(&chunk[..n]);
                self.requests(at, &begun, service).map(|taken| drop(begun.drain(..taken)))
            };
            self.with(at, |connection| {
                connection.input = begun;
                taken.map_err(|e| io::Error::other(e.to_string()))
            });
            if n < chunk.len() {
                return;
            }
        }
    }

    /// Has all requests that are whole served, and says how many bytes they took.
    fn requests(&mut self, at: usize, input: &[u8], service: &mut impl Service) -> Outcome<usize> {
        let mut taken = 0;
        while taken < input.len() {
            let Some((request, length)) = http::request(&input[taken..])? else { break };
            service.request(at, &request, self);
            taken += length;
        }
        Ok(taken)
    }
}

/// Serves until it fails. The service may have itself woken when there is something for it beside requests.
pub(super) fn serve<S: Service>(
    listener: TcpListener,
    service: impl FnOnce(Waker) -> io::Result<S>,
) -> Outcome<()> {
    listener.set_nonblocking(true)?;
    let mut listener = mio::net::TcpListener::from_std(listener);
    let (mut poll, mut events) = (Poll::new()?, Events::with_capacity(1024));
    poll.registry().register(&mut listener, LISTENER, Interest::READABLE)?;
    let mut service = service(Waker::new(poll.registry(), WAKER)?)?;
    let (mut connections, mut chunk) = (Connections::default(), vec![0; CHUNK]);
    loop {
        match poll.poll(&mut events, None) {
            Err(e) if e.kind() == io::ErrorKind::Interrupted => continue,
            other => other?,
        }
        for event in &events {
            if event.token() == LISTENER {
                connections.accept(&listener, poll.registry())?;
                continue;
            }
            let at = event.token().0;
            if event.is_writable() {
                connections.with(at, Connection::flush);
            }
            if event.is_readable() || event.is_read_closed() {
                connections.receive(at, &mut chunk, &mut service);
            }
        }
        service.turn(&mut connections)?;
    }
}
