//! Server-sent events: each stream reads records after its own cursor; the channel that wakes it carries
//! only the head, so a slow reader lags and loses nothing.

use std::{
    convert::Infallible,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
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
    time::UnixMillis,
};
use spl_projections::{
    authority::{Presented, Ticket},
    visibility::{Extent, Viewer},
};
use tokio::sync::mpsc;
use tokio_stream::{StreamExt as _, wrappers::ReceiverStream};

use crate::{
    app::{App, Instance},
    budget::{Budget, Share},
    env,
    open_streams::Counted,
    problem::Problem,
    published::Frame,
    scan::{Scan, Source},
    wire,
};

/// Heartbeats of narrowed tokens stand at multiples of this.
const NARROWED_STEP: u64 = 64;
/// A heartbeat at least this often.
pub(crate) const HEARTBEAT: Duration = Duration::from_secs(15);
/// A client that takes nothing for this long is closed.
pub(crate) const STALLED_MAX: Duration = Duration::from_secs(30);
/// What clients are told to wait before they reconnect.
pub(crate) const RETRY_MS: u64 = 1000;
/// What clients are told to wait when the instance stops.
const RETRY_AFTER_SHUTDOWN_MS: u64 = 2000;
/// How long a reader whose queue is full is given to make room for the last event, when the instance stops.
const GOODBYE_MAX: Duration = Duration::from_secs(1);
/// Records looked at in one step.
const STEP_RECORDS: usize = 256;
/// A step ends once it has this many bytes for the client, or has read that many times sixteen.
const STEP_BYTES: usize = 64 * 1024;
/// Chunks that wait for a client, beside the one that waits for its turn: between steps a stream holds nothing
/// else.
pub(crate) const QUEUED_CHUNKS: usize = 1;
/// Chunks larger than this are counted against the memory of streams.
const CHARGED_BYTES: usize = 4 * 1024;

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
    fn passes(&self, stored: &StoredRecord, viewer: &Viewer) -> bool {
        let record = &stored.record;
        viewer.extent(&record.thread) != Extent::None
            && (self.threads.is_empty() || self.threads.contains(&record.thread))
            && self.actor.as_ref().is_none_or(|a| *a == record.actor)
            && self.act.as_ref().is_none_or(|a| a == record.act.as_str())
            && self.kind.as_ref().is_none_or(|k| kind_of(stored).as_deref() == Some(k))
            && viewer.sees(stored)
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

/// Opens a stream for whoever holds these credentials.
pub(crate) fn open(app: &App, ticket: Ticket, filter: Filter, start: Start) -> Result<Response, Problem> {
    let token = match ticket.bearer {
        Presented::Token(id) if app.published.world().tokens.get(&id).is_some() => Some(id),
        _ => None,
    };
    let counted = Counted::new(&app.streams, token)?;
    let (sender, receiver) = mpsc::channel(QUEUED_CHUNKS);
    let producer = Producer {
        app: app.clone(),
        ticket,
        filter: Arc::new(filter),
        floor: None,
        cursor: app.published.head(),
        sent: 0,
        next_heartbeat: env::monotonic(),
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

/// A body of what arrives in a channel that breaks off, rather than ends, unless `complete` was set: whoever
/// reads it must be able to tell the whole from a part.
pub(crate) fn whole_body(receiver: mpsc::Receiver<Bytes>, complete: Arc<AtomicBool>) -> Body {
    let broken = std::iter::from_fn(move || {
        let cut_short = !complete.swap(true, Ordering::AcqRel);
        cut_short.then(|| Err(std::io::Error::other("the answer could not be finished")))
    });
    Body::from_stream(ReceiverStream::new(receiver).map(Ok).chain(tokio_stream::iter(broken)))
}

/// A body made piece by piece on threads that may block; a piece is made when the client has taken the one
/// before. A piece may be empty: the walk goes on.
pub(crate) fn pump(
    app: &App,
    mut next: impl FnMut() -> Result<Option<Bytes>, StoreError> + Send + 'static,
) -> Body {
    let (sender, receiver) = mpsc::channel(1);
    let complete = Arc::new(AtomicBool::new(false));
    let (app, done) = (app.clone(), complete.clone());
    tokio::spawn(async move {
        // A client that is gone ends it, also where there is nothing to send.
        while !sender.is_closed() {
            // Like other walks over records: so many at a time, the others wait for their turn.
            let Ok(turn) = app.scanning.clone().acquire_owned().await else { return };
            let looked = tokio::task::spawn_blocking(move || {
                let _turn = turn;
                (next(), next)
            });
            let Ok((result, again)) = looked.await else { return };
            next = again;
            match result {
                Ok(Some(bytes)) if bytes.is_empty() => {}
                Ok(Some(bytes)) => {
                    if !deliver(&app.answer_budget, &sender, bytes).await {
                        return;
                    }
                }
                Ok(None) => {
                    done.store(true, Ordering::Release);
                    return;
                }
                Err(error) => {
                    tracing::error!(cause = %chain_of_causes(&error), "an answer could not be finished");
                    return;
                }
            }
        }
    });
    whole_body(receiver, complete)
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

/// Queues bytes for a client. False when it is gone, or has taken nothing for too long. The wait for memory is
/// not the client's doing and not counted: whoever holds it lets go in that time.
pub(crate) async fn deliver(budget: &Budget, sender: &mpsc::Sender<Bytes>, bytes: Bytes) -> bool {
    let bytes = if bytes.len() > CHARGED_BYTES {
        let share = tokio::select! {
            share = budget.take(bytes.len()) => share,
            () = sender.closed() => return false,
        };
        Bytes::from_owner(Charged { bytes, _share: share })
    } else {
        bytes
    };
    matches!(tokio::time::timeout(STALLED_MAX, sender.send(bytes)).await, Ok(Ok(())))
}

/// A position up to which records with a clock below a floor are left out.
#[derive(Debug, Clone, Copy)]
struct Floor {
    clock: u64,
    through: u64,
}

/// What one look at the records after a position gave.
struct Step {
    /// Frames of those that the stream carries.
    chunk: Bytes,
    /// Decided up to here.
    reached: u64,
    /// The last position in the chunk.
    last: u64,
}

/// One stream's side of the instance.
struct Producer {
    app: App,
    ticket: Ticket,
    filter: Arc<Filter>,
    floor: Option<Floor>,
    /// The last position decided for this stream.
    cursor: u64,
    /// The last position that was sent.
    sent: u64,
    next_heartbeat: Instant,
    sender: mpsc::Sender<Bytes>,
    _counted: Counted,
}

/// Waits until the instance stops.
pub(crate) async fn stopped(shutdown: &mut tokio::sync::watch::Receiver<bool>) {
    // The sender lives as long as the instance; without it there is nothing left to wait for.
    let _ = shutdown.wait_for(|stopping| *stopping).await;
}

/// Tells a client that what it came with is of no use any more.
pub(crate) async fn say_revoked(sender: &mpsc::Sender<Bytes>) {
    let data = "{\"code\":\"revoked\",\"message\":\"the token was revoked, has expired, or reaches nothing here any more\"}";
    let event = wire::event("error", None, data);
    let _ = tokio::time::timeout(GOODBYE_MAX, sender.send(event)).await;
}

/// Tells a client that the instance stops.
pub(crate) async fn say_goodbye(sender: &mpsc::Sender<Bytes>) {
    let data = format!(
        "{{\"code\":\"server_shutdown\",\"message\":\"the instance is shutting down\",\"retry_after_ms\":{RETRY_AFTER_SHUTDOWN_MS}}}"
    );
    let event = wire::event("server_shutdown", None, &data);
    // One that takes nothing is told by the end itself.
    let _ = tokio::time::timeout(GOODBYE_MAX, sender.send(event)).await;
}

/// Why a stream ends.
pub(crate) enum Ended {
    /// The client is gone, or the log failed: nobody is told.
    Silently,
    /// What the client came with is of no use any more.
    Revoked,
}

/// What a client sees now, and until when that holds by itself.
struct Now {
    viewer: Arc<Viewer>,
    expires_at: Option<UnixMillis>,
}

impl Producer {
    async fn run(mut self, start: Start) {
        let mut shutdown = self.app.shutdown.clone();
        tokio::select! {
            ended = self.serve(start) => match ended {
                Err(Ended::Revoked) => say_revoked(&self.sender).await,
                // There is nobody left to tell.
                Ok(()) | Err(Ended::Silently) => {}
            },
            () = stopped(&mut shutdown) => say_goodbye(&self.sender).await,
        }
    }

    async fn serve(&mut self, start: Start) -> Result<(), Ended> {
        let mut head = self.app.published.subscribe();
        match start {
            Start::Live => {}
            Start::After(sequence) => (self.cursor, self.sent) = (sequence, sequence),
            Start::SinceClock(clock) => {
                // Up to here the floor holds; what comes later is live.
                self.floor = Some(Floor { clock, through: self.cursor });
                self.cursor = self.before_first(clock, self.cursor).await?;
            }
        }
        self.send(format!("retry: {RETRY_MS}\n").into()).await?;
        loop {
            let end = *head.borrow_and_update();
            // State is never older than the head that was seen: what ends a token is known before anything
            // that was written after it is sent.
            let mut now = self.look()?;
            while self.cursor < end {
                self.beat_if_due(&now).await?;
                self.advance(&now, end).await?;
                now = self.look()?;
            }
            self.beat_if_due(&now).await?;
            let mut pause = self.next_heartbeat.saturating_duration_since(env::monotonic());
            if let Some(at) = now.expires_at {
                pause = pause.min(Duration::from_millis(at.0.saturating_sub(self.app.now().0)));
            }
            tokio::select! {
                changed = head.changed() => changed.map_err(|_| Ended::Silently)?,
                () = self.sender.closed() => return Err(Ended::Silently),
                () = env::sleep(pause) => {}
            }
        }
    }

    /// Decides again on the client's credentials and on what it sees.
    fn look(&self) -> Result<Now, Ended> {
        let (world, now) = (self.app.published.world(), self.app.now());
        let caller = world.admit(&self.ticket, now).map_err(|_| Ended::Revoked)?;
        let viewer = world.viewer(&caller, now);
        if viewer.sees_nothing() {
            return Err(Ended::Revoked);
        }
        // Where no layer runs a token's end changes nothing.
        let expires_at = caller.bearer.filter(|_| !caller.freed).and_then(|b| b.expires_at);
        Ok(Now { viewer: Arc::new(viewer), expires_at })
    }

    /// Sends a heartbeat every so often, however busy or quiet the instance is: it tells a client that the
    /// stream lives, and how far it is.
    async fn beat_if_due(&mut self, seen: &Now) -> Result<(), Ended> {
        let now = env::monotonic();
        if now < self.next_heartbeat {
            return Ok(());
        }
        self.next_heartbeat = now + HEARTBEAT;
        // Who sees a part learns from its heartbeats only roughly how much the rest is; never less than what it
        // was sent, or it would be sent that again.
        let cursor = if seen.viewer.is_narrowed() {
            (self.cursor - self.cursor % NARROWED_STEP).max(self.sent)
        } else {
            self.cursor
        };
        let data = format!("{{\"cursor\":\"{cursor}\"}}");
        self.send(wire::event("heartbeat", Some(cursor), &data)).await
    }

    async fn send(&self, bytes: Bytes) -> Result<(), Ended> {
        if deliver(&self.app.stream_budget, &self.sender, bytes).await {
            Ok(())
        } else {
            Err(Ended::Silently)
        }
    }

    /// Sends what comes next after the cursor, and moves it.
    async fn advance(&mut self, now: &Now, end: u64) -> Result<(), Ended> {
        if self.sender.is_closed() {
            return Err(Ended::Silently);
        }
        // Rules that are asked about each record do not run where other streams wait for their turn.
        let inline = !now.viewer.is_costly();
        let recent = self.app.published.recent_after(self.cursor, STEP_RECORDS).filter(|_| inline);
        let step = match recent {
            Some(frames) => self.step_through_recent(now, &frames, end),
            None => {
                let (app, passes, cursor) = (self.app.clone(), self.passes(now), self.cursor);
                blocking(move || step_through_log(&app, &passes, cursor, end)).await?
            }
        };
        if !step.chunk.is_empty() {
            self.send(step.chunk).await?;
            self.sent = step.last;
        }
        // Only what was handed over counts as decided.
        self.cursor = step.reached;
        Ok(())
    }

    fn passes(&self, now: &Now) -> Passes {
        Passes { filter: self.filter.clone(), floor: self.floor, viewer: now.viewer.clone() }
    }

    fn step_through_recent(&self, now: &Now, frames: &[Arc<Frame>], end: u64) -> Step {
        let passes = self.passes(now);
        let mut taken: Vec<Bytes> = Vec::new();
        let mut bytes = 0;
        let (mut reached, mut last) = (self.cursor, self.sent);
        for frame in frames.iter().take_while(|f| f.stored.sequence <= end) {
            if passes.carries(&frame.stored) {
                last = frame.stored.sequence;
                let frame = frame.bytes(passes.viewer.sees_provenance());
                bytes += frame.len();
                taken.push(frame);
            }
            reached = frame.stored.sequence;
            if bytes >= STEP_BYTES {
                break;
            }
        }
        let chunk = match taken.as_slice() {
            // Alone it is shared with every other stream that carries it.
            [one] => one.clone(),
            several => several.concat().into(),
        };
        Step { chunk, reached, last }
    }

    /// The position before the first stored record that a stream from `clock` carries, so that a client that
    /// drops before it resumes there; `head` when there is none.
    async fn before_first(&self, clock: u64, head: u64) -> Result<u64, Ended> {
        let source = match self.filter.threads.as_slice() {
            [thread] => Source::Thread(thread.clone()),
            _ => Source::All,
        };
        let mut scan = Scan::new(source, false, 1, head);
        while !self.sender.is_closed() {
            let app = self.app.clone();
            let (records, again) = blocking(move || Ok((scan.next(&app.log)?, scan))).await?;
            scan = again;
            if records.is_empty() {
                return Ok(head);
            }
            // What the client does not see must not show in where its stream begins.
            let passes = self.passes(&self.look()?);
            let found = blocking(move || {
                let first = records
                    .iter()
                    .find(|r| r.record.clock >= clock && passes.filter.passes(r, &passes.viewer));
                Ok(first.map(|r| r.sequence - 1))
            });
            if let Some(before) = found.await? {
                return Ok(before);
            }
        }
        Err(Ended::Silently)
    }
}

/// Which records a stream carries at one instant.
struct Passes {
    filter: Arc<Filter>,
    floor: Option<Floor>,
    viewer: Arc<Viewer>,
}

impl Passes {
    fn carries(&self, stored: &StoredRecord) -> bool {
        let below = self.floor.is_some_and(|f| stored.sequence <= f.through && stored.record.clock < f.clock);
        !below && self.filter.passes(stored, &self.viewer)
    }
}

/// Reads the log after the cursor: through the thread's index where the stream is of one thread. Holds one
/// record at a time.
fn step_through_log(app: &Instance, passes: &Passes, cursor: u64, end: u64) -> Result<Step, StoreError> {
    let reader = app.log.reader()?;
    let (mut chunk, mut looked_at, mut read_bytes, mut reached) = (Vec::new(), 0, 0, end);
    let mut last = cursor;
    let mut take = |stored: &StoredRecord| -> bool {
        looked_at += 1;
        read_bytes += stored.record.body.len();
        if passes.carries(stored) {
            last = stored.sequence;
            chunk.extend_from_slice(&wire::frame(stored, passes.viewer.sees_provenance()));
        }
        let more = looked_at < STEP_RECORDS && chunk.len() < STEP_BYTES && read_bytes < 16 * STEP_BYTES;
        if !more {
            reached = stored.sequence;
        }
        more
    };
    if let [thread] = passes.filter.threads.as_slice() {
        let range = Range { low: cursor + 1, high: end, limit: STEP_RECORDS, descending: false };
        for sequence in app.log.index().thread(thread, range)? {
            let missing = || StoreError::Damaged(format!("record {sequence} is missing"));
            if !take(&reader.record(sequence)?.ok_or_else(missing)?) {
                break;
            }
        }
    } else {
        reader.scan(cursor, &mut |stored| stored.sequence <= end && take(&stored))?;
    }
    Ok(Step { chunk: chunk.into(), reached, last })
}

async fn blocking<T: Send + 'static>(
    read: impl FnOnce() -> Result<T, StoreError> + Send + 'static,
) -> Result<T, Ended> {
    match tokio::task::spawn_blocking(read).await {
        Ok(Ok(value)) => Ok(value),
        Ok(Err(error)) => {
            tracing::error!(cause = %chain_of_causes(&error), "a stream could not read the log");
            Err(Ended::Silently)
        }
        Err(_) => Err(Ended::Silently),
    }
}
