//! The client: one thread, one event loop, many connections. The same for every server that is measured.

use std::{
    collections::VecDeque,
    io,
    os::fd::{AsFd as _, AsRawFd as _},
    time::{Duration, Instant},
};

use hdrhistogram::Histogram;
use mio::{Events, Poll, Token, unix::SourceFd};
use nix::sys::{
    time::TimeSpec,
    timerfd::{ClockId, Expiration, TimerFd, TimerFlags, TimerSetTimeFlags},
};
use spl_benches::now;

use crate::{
    Outcome,
    transport::{Link, Transport},
    wire::Wire,
};

/// How long answers that are under way at the end of a slice are waited for.
const GRACE: Duration = Duration::from_secs(20);
/// What one read takes at most.
const CHUNK: usize = 64 << 10;
/// What may wait on one connection until its answer is complete.
const INPUT_MAX: usize = 64 << 20;
/// The timer's place among the connections.
const TIMER: Token = Token(usize::MAX - 1);

struct Connection {
    transport: Transport,
    wire: Box<dyn Wire>,
    input: Vec<u8>,
    output: Vec<u8>,
    /// When the request that is under way was sent, or was meant to be.
    since: Instant,
    waiting: bool,
}

impl Connection {
    fn flush(&mut self) -> io::Result<()> {
        if self.output.is_empty() { Ok(()) } else { self.transport.send(&mut self.output) }
    }

    fn send(&mut self, since: Instant) -> io::Result<()> {
        self.wire.request(&mut self.output);
        (self.since, self.waiting) = (since, true);
        self.flush()
    }

    /// Takes in what has come, and says how many answers that completed.
    fn receive(&mut self, chunk: &mut [u8]) -> Outcome<usize> {
        let mut answers = 0;
        loop {
            let n = match self.transport.read(chunk) {
                Ok(0) => return Err("the server closed a connection".into()),
                Ok(n) => n,
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => break,
                Err(e) if e.kind() == io::ErrorKind::Interrupted => continue,
                Err(e) => return Err(e.into()),
            };
            if self.input.is_empty() {
                let taken = self.wire.take(&chunk[..n], &mut self.output)?;
                answers += taken.answers;
                self.input.extend_from_slice(&chunk[taken.consumed..n]);
            } else {
                self.input.extend_from_slice(&chunk[..n]);
                let taken = self.wire.take(&self.input, &mut self.output)?;
                answers += taken.answers;
                self.input.drain(..taken.consumed);
            }
            if self.input.len() > INPUT_MAX {
                return Err("an answer is too long".into());
            }
            if n < chunk.len() && self.transport.short_read_is_last() {
                break;
            }
        }
        self.flush()?;
        Ok(answers)
    }
}

/// What was measured in some time.
#[derive(Debug, Clone)]
pub(crate) struct Slice {
    /// Answers, or events that reached a subscriber.
    pub(crate) count: u64,
    /// From the first request to the last answer.
    pub(crate) took: Duration,
    /// From a request to its answer, in nanoseconds.
    pub(crate) latency: Histogram<u64>,
    /// Requests of an open loop that were not answered in time.
    pub(crate) unanswered: u64,
}

/// Latencies from a nanosecond to an hour, each known to a thousandth.
pub(crate) fn histogram() -> Outcome<Histogram<u64>> {
    Ok(Histogram::new_with_bounds(1, 3_600_000_000_000, 3)?)
}

impl Slice {
    fn new() -> Outcome<Self> {
        Ok(Self { count: 0, took: Duration::ZERO, latency: histogram()?, unanswered: 0 })
    }

    fn add(&mut self, since: Instant, at: Instant) {
        self.latency.saturating_record(u64::try_from((at - since).as_nanos()).unwrap_or(u64::MAX));
        self.count += 1;
    }

    /// Answers a second.
    pub(crate) fn rate(&self) -> f64 {
        self.count as f64 / self.took.as_secs_f64().max(f64::EPSILON)
    }
}

/// Connections, and the loop that waits for them.
pub(crate) struct Engine {
    poll: Poll,
    events: Events,
    connections: Vec<Connection>,
    chunk: Vec<u8>,
}

impl Engine {
    pub(crate) fn new(connections: impl IntoIterator<Item = (Link, Box<dyn Wire>)>) -> Outcome<Self> {
        let poll = Poll::new()?;
        let mut list = Vec::new();
        for (link, wire) in connections {
            let mut transport = link.into_transport()?;
            transport.register(poll.registry(), Token(list.len()))?;
            let (input, output) = (Vec::new(), Vec::new());
            list.push(Connection { transport, wire, input, output, since: now(), waiting: false });
        }
        Ok(Self { poll, events: Events::with_capacity(1024), connections: list, chunk: vec![0; CHUNK] })
    }

    /// Waits for something to come, and calls `each` for each connection with how many answers came over it.
    fn turn(
        &mut self,
        timeout: Duration,
        mut each: impl FnMut(usize, &mut Connection, usize) -> Outcome<()>,
    ) -> Outcome<()> {
        match self.poll.poll(&mut self.events, Some(timeout)) {
            Err(e) if e.kind() == io::ErrorKind::Interrupted => return Ok(()),
            other => other?,
        }
        for event in &self.events {
            let Some(connection) = self.connections.get_mut(event.token().0) else { continue };
            if event.is_writable() {
                connection.flush()?;
            }
            if event.is_readable() || event.is_read_closed() {
                let answers = connection.receive(&mut self.chunk)?;
                each(event.token().0, connection, answers)?;
            }
        }
        Ok(())
    }

    /// Closed loop: each connection sends its next request when it has the answer to the last.
    pub(crate) fn closed(&mut self, duration: Duration) -> Outcome<Slice> {
        let end = now() + duration;
        self.while_allowed(|at| at < end)
    }

    /// Closed loop, until so many requests have been sent in all.
    pub(crate) fn times(&mut self, count: usize) -> Outcome<Slice> {
        let mut left = count.saturating_sub(self.connections.len());
        self.while_allowed(|_| {
            let more = left > 0;
            left = left.saturating_sub(1);
            more
        })
    }

    /// Closed loop: the first request of each connection, and then as long as another may be sent.
    fn while_allowed(&mut self, mut allowed: impl FnMut(Instant) -> bool) -> Outcome<Slice> {
        let mut slice = Slice::new()?;
        let start = now();
        for connection in &mut self.connections {
            connection.send(now())?;
        }
        let mut waiting = self.connections.len();
        let mut last = start;
        while waiting > 0 {
            self.turn(Duration::from_millis(100), |_, connection, answers| {
                if answers == 0 || !connection.waiting {
                    return Ok(());
                }
                last = now();
                slice.add(connection.since, last);
                if allowed(last) {
                    connection.send(last)?;
                } else {
                    connection.waiting = false;
                    waiting -= 1;
                }
                Ok(())
            })?;
            if now() > last + GRACE {
                return Err(format!("{waiting} answers do not come").into());
            }
        }
        slice.took = last - start;
        Ok(slice)
    }

    /// Open loop: requests are due at a fixed rate, whatever the server does; a request waits for a free
    /// connection. Latency counts from when a request was due.
    pub(crate) fn open(&mut self, rate: f64, duration: Duration) -> Outcome<Slice> {
        let mut slice = Slice::new()?;
        let timer = TimerFd::new(ClockId::CLOCK_MONOTONIC, TimerFlags::TFD_NONBLOCK)?;
        let fd = timer.as_fd().as_raw_fd();
        self.poll.registry().register(&mut SourceFd(&fd), TIMER, mio::Interest::READABLE)?;
        let start = now();
        let mut last = start;
        let total = (rate * duration.as_secs_f64()) as u64;
        let due_at = |k: u64| start + Duration::from_secs_f64(k as f64 / rate);
        let (mut due, mut sent) = (0, 0);
        // In turn, so that none stays unused for so long that the server closes it.
        let mut free: VecDeque<usize> = (0..self.connections.len()).collect();
        let mut late = VecDeque::new();
        while slice.count < total && now() < start + duration + GRACE {
            while due < total && due_at(due) <= now() {
                late.push_back(due_at(due));
                due += 1;
            }
            while let (Some(since), Some(at)) = (late.front().copied(), free.front().copied()) {
                self.connections[at].send(since)?;
                late.pop_front();
                free.pop_front();
                sent += 1;
            }
            if due < total {
                let wait = due_at(due).saturating_duration_since(now()).max(Duration::from_nanos(1));
                timer.set(Expiration::OneShot(TimeSpec::from(wait)), TimerSetTimeFlags::empty())?;
            }
            self.turn(Duration::from_millis(100), |at, connection, answers| {
                if answers > 0 && connection.waiting {
                    connection.waiting = false;
                    last = now();
                    slice.add(connection.since, last);
                    free.push_back(at);
                }
                Ok(())
            })?;
        }
        self.poll.registry().deregister(&mut SourceFd(&fd))?;
        // What never came has waited at least until now.
        for connection in self.connections.iter().filter(|c| c.waiting) {
            slice.latency.saturating_record(u64::try_from((now() - connection.since).as_nanos())?);
        }
        for since in late {
            slice.latency.saturating_record(u64::try_from((now() - since).as_nanos())?);
        }
        slice.unanswered = total - slice.count;
        debug_assert!(sent <= total, "no request is sent twice");
        slice.took = last - start;
        Ok(slice)
    }

    /// Sends on every connection once, and waits for `each` answers on each.
    pub(crate) fn once(&mut self, each: usize, timeout: Duration) -> Outcome<Slice> {
        let mut slice = Slice::new()?;
        let start = now();
        for connection in &mut self.connections {
            connection.send(start)?;
        }
        let mut counts = vec![0; self.connections.len()];
        let mut open = counts.len();
        let mut last = start;
        while open > 0 {
            self.turn(Duration::from_millis(100), |at, _, answers| {
                last = now();
                let before = counts[at];
                counts[at] += answers;
                slice.count += answers as u64;
                if before < each && counts[at] >= each {
                    slice.latency.saturating_record(u64::try_from((last - start).as_nanos())?);
                    open -= 1;
                }
                Ok(())
            })?;
            if now() > start + timeout {
                return Err(format!("{} of {} answers came", slice.count, each * counts.len()).into());
            }
        }
        slice.took = last - start;
        Ok(slice)
    }
}

/// A publisher, and those who are to hear what it says.
pub(crate) struct Fanout {
    engine: Engine,
    subscribers: usize,
    /// Whether the publisher hears that it was heard.
    acknowledged: bool,
}

impl Fanout {
    /// Subscribes all, and publishes until an event has reached each.
    pub(crate) fn new(
        subscribers: Vec<(Link, Box<dyn Wire>)>,
        publisher: (Link, Box<dyn Wire>),
        acknowledged: bool,
    ) -> Outcome<Self> {
        let count = subscribers.len();
        let mut engine = Engine::new(subscribers.into_iter().chain([publisher]))?;
        for connection in &mut engine.connections[..count] {
            connection.send(now())?;
        }
        let mut fanout = Self { engine, subscribers: count, acknowledged };
        let start = now();
        let mut heard = vec![false; count];
        while heard.contains(&false) {
            if now() > start + GRACE {
                let deaf = heard.iter().filter(|h| !**h).count();
                return Err(format!("{deaf} of {count} subscribers hear nothing").into());
            }
            fanout.publish()?;
            let deadline = now() + Duration::from_millis(500);
            while now() < deadline && heard.contains(&false) {
                fanout.engine.turn(Duration::from_millis(50), |at, connection, answers| {
                    connection.waiting &= answers == 0;
                    if let Some(heard) = heard.get_mut(at) {
                        *heard |= answers > 0;
                    }
                    Ok(())
                })?;
            }
        }
        fanout.settle()?;
        Ok(fanout)
    }

    fn publish(&mut self) -> io::Result<()> {
        self.engine.connections[self.subscribers].send(now())
    }

    /// Takes in what is still under way.
    fn settle(&mut self) -> Outcome<()> {
        let mut quiet = now();
        while now() < quiet + Duration::from_millis(200) {
            self.engine.turn(Duration::from_millis(50), |_, connection, answers| {
                connection.waiting &= answers == 0;
                if answers > 0 {
                    quiet = now();
                }
                Ok(())
            })?;
        }
        Ok(())
    }

    /// Publishes `burst` events, waits until all subscribers have all of them, and again.
    pub(crate) fn run(&mut self, duration: Duration, burst: usize) -> Outcome<Slice> {
        let mut slice = Slice::new()?;
        let start = now();
        let mut last = start;
        while last < start + duration {
            let since = now();
            for _ in 0..burst {
                self.publish()?;
            }
            let wanted = slice.count + (self.subscribers * burst) as u64;
            let (publisher, acknowledged) = (self.subscribers, self.acknowledged);
            let mut unacknowledged = if acknowledged { burst } else { 0 };
            while slice.count < wanted || unacknowledged > 0 {
                self.engine.turn(Duration::from_millis(100), |at, _, answers| {
                    last = now();
                    if at == publisher {
                        unacknowledged = unacknowledged.saturating_sub(answers);
                    } else {
                        for _ in 0..answers {
                            slice.add(since, last);
                        }
                    }
                    Ok(())
                })?;
                if now() > since + GRACE {
                    return Err(format!("{} events did not arrive", wanted - slice.count).into());
                }
            }
        }
        slice.took = last - start;
        Ok(slice)
    }
}
