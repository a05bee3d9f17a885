//! Server-sent events: each stream reads records after its own cursor; the channel that wakes it carries
//! only the head, so a slow reader lags and loses nothing.

use std::{
    convert::Infallible,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use axum::{
    body::Body,
    http::header,
    response::{IntoResponse as _, Response},
};
use bytes::Bytes;
use spl_kernel::{
    json::{Bounds, Json},
    limits,
    log::{Range, error::StoreError, verify::chain_of_causes},
    record::StoredRecord,
};
use spl_projections::reserved::Viewer;
use tokio::sync::mpsc;
use tokio_stream::{StreamExt as _, wrappers::ReceiverStream};

use crate::{
    app::{App, Instance},
    budget::Share,
    problem::Problem,
    published::Frame,
    wire,
};

/// Most streams of an instance.
const STREAMS_MAX: usize = 10_000;
/// A heartbeat at least this often.
const HEARTBEAT: Duration = Duration::from_secs(15);
/// A client that takes nothing for this long is closed.
const STALLED_MAX: Duration = Duration::from_secs(30);
/// What clients are told to wait before they reconnect.
const RETRY_MS: u64 = 1000;
/// What clients are told to wait when the instance stops.
const RETRY_AFTER_SHUTDOWN_MS: u64 = 2000;
/// Records taken at a time.
const BATCH: usize = 256;
/// Frames that wait for a client.
const QUEUED_FRAMES: usize = 16;
/// Frames larger than this are counted against the memory for answers.
const CHARGED_BYTES: usize = 16 * 1024;

/// Which records a stream carries.
#[derive(Debug, Clone, Default)]
pub(crate) struct Filter {
    /// Any of these; empty for all.
    pub(crate) threads: Vec<String>,
    pub(crate) kind: Option<String>,
    pub(crate) actor: Option<String>,
    pub(crate) act: Option<String>,
}

impl Filter {
    fn passes(&self, frame: &Frame) -> bool {
        let record = &frame.stored.record;
        Viewer::Anonymous.sees(&record.thread)
            && (self.threads.is_empty() || self.threads.contains(&record.thread))
            && self.actor.as_ref().is_none_or(|a| *a == record.actor)
            && self.act.as_ref().is_none_or(|a| a == record.act.as_str())
            && self.kind.as_ref().is_none_or(|k| kind_of(&frame.stored).as_deref() == Some(k))
    }
}

/// `body.kind` of a stored record.
pub(crate) fn kind_of(stored: &StoredRecord) -> Option<String> {
    // Most bodies that are asked for a kind are passed over: do not parse those that cannot have one.
    if !stored.record.body.contains("\"kind\":\"") {
        return None;
    }
    let bounds = Bounds { levels: limits::BODY_LEVELS_MAX, values: limits::BODY_VALUES_MAX };
    let body = Json::parse(stored.record.body.as_bytes(), bounds).ok()?;
    body.as_object()?.str("kind").map(str::to_owned)
}

/// Where a stream starts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Start {
    /// With the next record.
    Live,
    /// Strictly after a position.
    After(u64),
    /// With stored records whose clock is at least this, then live.
    SinceClock(u64),
}

/// Counts a stream while it is open.
struct Counted(Arc<AtomicUsize>);

impl Counted {
    fn new(streams: &Arc<AtomicUsize>) -> Result<Self, Problem> {
        let counted = Self(streams.clone());
        if streams.fetch_add(1, Ordering::AcqRel) >= STREAMS_MAX {
            return Err(Problem::rate_limited("the instance has as many open streams as it takes"));
        }
        Ok(counted)
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::AcqRel);
    }
}

/// Opens a stream.
pub(crate) fn open(app: &App, filter: Filter, start: Start) -> Result<Response, Problem> {
    let counted = Counted::new(&app.streams)?;
    let (sender, receiver) = mpsc::channel(QUEUED_FRAMES);
    let producer = Producer {
        app: app.clone(),
        filter: Arc::new(filter),
        cursor: app.published.head(),
        sender,
        _counted: counted,
    };
    tokio::spawn(producer.run(start));
    Ok(sse_response(channel_body(receiver)))
}

/// The answer that carries a stream.
pub(crate) fn sse_response(body: Body) -> Response {
    let headers =
        [(header::CONTENT_TYPE, "text/event-stream; charset=utf-8"), (header::CACHE_CONTROL, "no-store")];
    (headers, [("x-accel-buffering", "no")], body).into_response()
}

/// A body of what arrives in a channel.
pub(crate) fn channel_body(receiver: mpsc::Receiver<Bytes>) -> Body {
    Body::from_stream(ReceiverStream::new(receiver).map(Ok::<_, Infallible>))
}

/// A body made piece by piece on threads that may block; a piece is made when the client has taken the one
/// before.
pub(crate) fn pump(
    app: &App,
    mut next: impl FnMut() -> Result<Option<Bytes>, StoreError> + Send + 'static,
) -> Body {
    let (sender, receiver) = mpsc::channel(1);
    let app = app.clone();
    tokio::spawn(async move {
        loop {
            let Ok((result, again)) = tokio::task::spawn_blocking(move || (next(), next)).await else {
                return;
            };
            next = again;
            match result {
                Ok(Some(bytes)) => {
                    if !deliver(&app, &sender, bytes).await {
                        return;
                    }
                }
                Ok(None) => return,
                Err(error) => {
                    tracing::error!(cause = %chain_of_causes(&error), "an answer could not be finished");
                    return;
                }
            }
        }
    });
    channel_body(receiver)
}

/// Bytes that hold their share of the memory for answers until they are sent.
struct Charged {
    bytes: Bytes,
    _share: Share,
}

impl AsRef<[u8]> for Charged {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

/// Queues bytes for a client. False when it is gone, or has taken nothing for too long.
async fn deliver(app: &Instance, sender: &mpsc::Sender<Bytes>, bytes: Bytes) -> bool {
    let send = async {
        let bytes = if bytes.len() > CHARGED_BYTES {
            let share = app.answer_budget.take(bytes.len()).await;
            Bytes::from_owner(Charged { bytes, _share: share })
        } else {
            bytes
        };
        sender.send(bytes).await
    };
    matches!(tokio::time::timeout(STALLED_MAX, send).await, Ok(Ok(())))
}

/// One stream's side of the instance.
struct Producer {
    app: App,
    filter: Arc<Filter>,
    /// The last position decided for this stream.
    cursor: u64,
    sender: mpsc::Sender<Bytes>,
    _counted: Counted,
}

/// Waits until the instance stops.
async fn stopped(shutdown: &mut tokio::sync::watch::Receiver<bool>) {
    // The sender lives as long as the instance; without it there is nothing left to wait for.
    let _ = shutdown.wait_for(|stopping| *stopping).await;
}

/// Why a stream ends.
struct Ended;

impl Producer {
    async fn run(mut self, start: Start) {
        // Whether it ended because of the client or the instance, there is nothing left to tell here.
        let _ = self.serve(start).await;
    }

    async fn serve(&mut self, start: Start) -> Result<(), Ended> {
        let mut head = self.app.published.subscribe();
        let mut shutdown = self.app.shutdown.clone();
        let mut clock_floor = None;
        match start {
            Start::Live => {}
            Start::After(sequence) => self.cursor = sequence,
            Start::SinceClock(clock) => {
                // Up to here the floor holds; what comes later is live.
                clock_floor = Some((clock, self.cursor));
                self.cursor = self.before_first(clock, self.cursor).await?;
            }
        }
        let first = format!("retry: {RETRY_MS}\n");
        let heartbeat = [first.as_bytes(), &self.heartbeat()].concat();
        self.send(heartbeat.into()).await?;
        loop {
            let end = *head.borrow_and_update();
            while self.cursor < end {
                if *shutdown.borrow() {
                    return self.say_goodbye().await;
                }
                self.advance(end, clock_floor).await?;
            }
            tokio::select! {
                changed = head.changed() => changed.map_err(|_| Ended)?,
                () = stopped(&mut shutdown) => return self.say_goodbye().await,
                () = self.sender.closed() => return Err(Ended),
                () = crate::env::sleep(HEARTBEAT) => self.send(self.heartbeat()).await?,
            }
        }
    }

    fn heartbeat(&self) -> Bytes {
        wire::event("heartbeat", Some(self.cursor), &format!("{{\"cursor\":\"{}\"}}", self.cursor))
    }

    async fn send(&self, bytes: Bytes) -> Result<(), Ended> {
        if deliver(&self.app, &self.sender, bytes).await { Ok(()) } else { Err(Ended) }
    }

    async fn say_goodbye(&self) -> Result<(), Ended> {
        let data = format!(
            "{{\"code\":\"server_shutdown\",\"message\":\"the instance is shutting down\",\"retry_after_ms\":{RETRY_AFTER_SHUTDOWN_MS}}}"
        );
        // Shutdown never waits for a client: one that has no room for this is told by the end itself.
        self.sender.try_send(wire::event("server_shutdown", None, &data)).map_err(|_| Ended)
    }

    /// Sends what comes next after the cursor, and moves it.
    async fn advance(&mut self, end: u64, clock_floor: Option<(u64, u64)>) -> Result<(), Ended> {
        let (frames, reached) = match self.app.published.recent_after(self.cursor, BATCH) {
            Some(frames) => {
                let reached = frames.last().map_or(end, |f| f.stored.sequence);
                (frames, reached)
            }
            None => self.read(end).await?,
        };
        for frame in frames {
            let below = clock_floor.is_some_and(|(clock, through)| {
                frame.stored.sequence <= through && frame.stored.record.clock < clock
            });
            if self.filter.passes(&frame) && !below {
                self.send(frame.bytes()).await?;
                // Only what was handed over counts as decided, should the client drop here.
                self.cursor = frame.stored.sequence;
            }
        }
        self.cursor = self.cursor.max(reached);
        Ok(())
    }

    /// Reads the log after the cursor: through the thread's index where the stream is of one thread.
    async fn read(&self, end: u64) -> Result<(Vec<Arc<Frame>>, u64), Ended> {
        let (app, cursor, filter) = (self.app.clone(), self.cursor, self.filter.clone());
        self.blocking(move || {
            let reader = app.log.reader()?;
            let records = match filter.threads.as_slice() {
                [thread] => {
                    let range = Range { low: cursor + 1, high: end, limit: BATCH, descending: false };
                    reader.records(&app.log.index().thread(thread, range)?)?
                }
                _ => reader.after(cursor, BATCH)?,
            };
            let full = records.len() == BATCH;
            let reached = records.last().filter(|_| full).map_or(end, |r| r.sequence);
            Ok((records.into_iter().map(|r| Arc::new(Frame::new(Arc::new(r)))).collect(), reached))
        })
        .await
    }

    /// The position before the first stored record that a stream from `clock` carries, so that a client that
    /// drops before it resumes there; `head` when there is none.
    async fn before_first(&self, clock: u64, head: u64) -> Result<u64, Ended> {
        let (app, filter) = (self.app.clone(), self.filter.clone());
        self.blocking(move || {
            let source = match filter.threads.as_slice() {
                [thread] => crate::scan::Source::Thread(thread.clone()),
                _ => crate::scan::Source::All,
            };
            let mut scan = crate::scan::Scan::new(source, false, 1, head);
            loop {
                let records = scan.next(&app.log)?;
                if records.is_empty() {
                    return Ok(head);
                }
                if let Some(first) = records.iter().find(|r| r.record.clock >= clock) {
                    return Ok(first.sequence - 1);
                }
            }
        })
        .await
    }

    async fn blocking<T: Send + 'static>(
        &self,
        read: impl FnOnce() -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, Ended> {
        match tokio::task::spawn_blocking(read).await {
            Ok(Ok(value)) => Ok(value),
            Ok(Err(error)) => {
                tracing::error!(cause = %chain_of_causes(&error), "a stream could not read the log");
                Err(Ended)
            }
            Err(_) => Err(Ended),
        }
    }
}
