//! How long a connection may keep the instance waiting: for the head of a request, for the next request, and for
//! taking what is sent to it.
//!
//! hyper has one time for both the head and the wait before it, and makes a timer of it for each request. Here the
//! wait before a head is longer than the head itself may take, and a connection has one timer, which is set anew only
//! when it rings too early or would ring too late.

use std::{
    io,
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Context, Poll},
    time::{Duration, Instant},
};

use axum::body::Body;
use bytes::Bytes;
use http_body::{Body as HttpBody, Frame, SizeHint};
use hyper::Version;
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::TcpStream,
    time::Sleep,
};
use tokio_io_timeout::TimeoutStream;

use crate::env;

/// A head arrives within this time, from its first byte on; the first of a connection from its start on.
pub(crate) const HEAD_MAX: Duration = Duration::from_secs(10);
/// A connection without a request is kept for this long: longer than clients keep theirs in pools.
const IDLE_MAX: Duration = Duration::from_secs(75);
/// A client that takes no byte for this long is closed.
pub(crate) const STALLED_MAX: Duration = Duration::from_secs(30);

/// What a connection is at.
#[derive(Debug, Clone, Copy)]
enum At {
    /// Between two requests, since then.
    Idle(Instant),
    /// In a head that began then.
    Head(Instant),
    /// Between a request's head and the end of its answer.
    Request,
    /// HTTP/2: hyper sees to it, by pings.
    Http2,
}

/// What a connection is at, as its requests and its bytes say it.
#[derive(Debug)]
pub(crate) struct Turns(Mutex<At>);

impl Turns {
    fn at(&self) -> MutexGuard<'_, At> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A head is complete. What is returned goes with the answer, and ends with it.
    pub(crate) fn begin(self: &Arc<Self>, version: Version) -> Turn {
        *self.at() = if version == Version::HTTP_2 { At::Http2 } else { At::Request };
        Turn(self.clone())
    }

    fn bytes_came(&self) {
        let mut at = self.at();
        if matches!(*at, At::Idle(_)) {
            *at = At::Head(env::monotonic());
        }
    }

    /// Until when the client is waited for; `None` where it is the client who waits.
    fn until(&self) -> Option<Instant> {
        match *self.at() {
            At::Idle(since) => Some(since + IDLE_MAX),
            At::Head(since) => Some(since + HEAD_MAX),
            At::Request | At::Http2 => None,
        }
    }
}

/// One request, until its answer was handed over.
#[derive(Debug)]
pub(crate) struct Turn(Arc<Turns>);

impl Drop for Turn {
    fn drop(&mut self) {
        let mut at = self.0.at();
        if matches!(*at, At::Request) {
            *at = At::Idle(env::monotonic());
        }
    }
}

/// The body of an answer, with the turn that it ends.
#[derive(Debug)]
pub(crate) struct Answering {
    pub(crate) body: Body,
    /// Ends when the body has been handed over.
    pub(crate) _turn: Turn,
}

impl HttpBody for Answering {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        Pin::new(&mut self.get_mut().body).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// A connection that is closed when it keeps the instance waiting.
pub(crate) struct Patient {
    stream: Pin<Box<TimeoutStream<TcpStream>>>,
    turns: Arc<Turns>,
    alarm: Pin<Box<Sleep>>,
}

impl Patient {
    /// The connection, and what its requests tell it.
    pub(crate) fn new(stream: TcpStream) -> (Self, Arc<Turns>) {
        let mut stream = TimeoutStream::new(stream);
        stream.set_write_timeout(Some(STALLED_MAX));
        let now = env::monotonic();
        let turns = Arc::new(Turns(Mutex::new(At::Head(now))));
        let alarm = Box::pin(env::timer(now + HEAD_MAX));
        (Self { stream: Box::pin(stream), turns: turns.clone(), alarm }, turns)
    }

    /// Whether the client was waited for in vain; sees to it that this is asked again in time.
    fn check(&mut self, cx: &mut Context<'_>) -> io::Result<()> {
        let until = self.turns.until();
        if let Some(until) = until
            && self.alarm.deadline().into_std() > until
        {
            self.alarm.as_mut().reset(until.into());
        }
        while self.alarm.as_mut().poll(cx).is_ready() {
            let now = env::monotonic();
            if until.is_some_and(|until| now >= until) {
                return Err(io::ErrorKind::TimedOut.into());
            }
            // While a request is answered nobody else would ask again once it has been.
            self.alarm.as_mut().reset(until.unwrap_or(now + IDLE_MAX).into());
        }
        Ok(())
    }
}

impl AsyncRead for Patient {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let before = buf.filled().len();
        let read = this.stream.as_mut().poll_read(cx, buf);
        if read.is_pending() {
            this.check(cx)?;
        } else if buf.filled().len() > before {
            this.turns.bytes_came();
        }
        read
    }
}

impl AsyncWrite for Patient {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        self.get_mut().stream.as_mut().poll_write(cx, buf)
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.get_mut().stream.as_mut().poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.get_mut().stream.as_mut().poll_shutdown(cx)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.get_mut().stream.as_mut().poll_write_vectored(cx, bufs)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }
}
