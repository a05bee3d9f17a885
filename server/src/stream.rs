//! Server-sent events: each stream reads records after its own cursor; the channel that wakes it carries
//! only the head, so a slow reader lags and loses nothing.

use std::{
    convert::Infallible,
    pin::{Pin, pin},
    sync::Arc,
    time::{Duration, Instant},
};

use axum::{
    body::Body,
    http::{Version, header},
    response::{IntoResponse as _, Response},
};
use bytes::Bytes;
use futures_util::{Stream, StreamExt as _};
use spl_kernel::{
    log::{error::StoreError, verify::chain_of_causes},
    time::UnixMillis,
};
use spl_projections::{
    authority::{Presented, Ticket},
    consent::{Access, Resource},
    visibility::Viewer,
};
use tokio::{
    sync::{mpsc, watch},
    time::Sleep,
};

use crate::{
    app::App,
    env,
    filter::{Filter, Floor, Passes, STEP_BYTES, STEP_READ_BYTES, STEP_RECORDS, Step, step_through_log},
    open_streams::Counted,
    problem::Problem,
    published::Frame,
    scan::{Scan, Source},
    sending::{QUEUED_CHUNKS, channel_body, charged, hand_over},
    wire,
};

/// Heartbeats of narrowed tokens stand at multiples of this.
const NARROWED_STEP: u64 = 64;
/// A heartbeat at least this often.
pub(crate) const HEARTBEAT: Duration = Duration::from_secs(15);
/// What clients are told to wait before they reconnect.
pub(crate) const RETRY_MS: u64 = 1000;
/// What clients are told to wait when the instance stops.
const RETRY_AFTER_SHUTDOWN_MS: u64 = 2000;
/// How long a reader whose queue is full is given to make room for the last event, when the instance stops.
const GOODBYE_MAX: Duration = Duration::from_secs(1);
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
pub(crate) fn open(
    app: &App,
    ticket: Ticket,
    filter: Filter,
    start: Start,
    version: Version,
) -> Result<Response, Problem> {
    let token = match ticket.bearer {
        Presented::Token(id) if app.published.world().tokens.get(&id).is_some() => Some(id),
        _ => None,
    };
    let counted = Counted::new(&app.streams, token)?;
    // Before the cursor: no record comes between the two unnoticed.
    let head = app.published.subscribe();
    let live = Live {
        head,
        shutdown: app.shutdown.clone(),
        alarm: Box::pin(env::timer(env::monotonic())),
        start: Some(start),
        follower: Follower {
            ticket,
            filter: Arc::new(filter),
            floor: None,
            cursor: app.published.head(),
            sent: 0,
            finds_much: false,
            next_heartbeat: env::monotonic(),
            seen: None,
            app: app.clone(),
            _counted: counted,
        },
    };
    let chunks = live.chunks();
    // Over HTTP/1 the connection asks for the next chunk when it has sent the one before, and is closed when its
    // client takes nothing. One of HTTP/2 is of many streams: it asks for as long as the client makes it.
    let body = if version == Version::HTTP_2 {
        channel_body(queued(app, chunks))
    } else {
        Body::from_stream(chunks.map(Ok::<_, Infallible>))
    };
    Ok(sse_response(body))
}

/// Takes the chunks of a stream and queues them for a client, until that takes nothing for too long.
fn queued(app: &App, chunks: impl Stream<Item = Bytes> + Send + 'static) -> mpsc::Receiver<Bytes> {
    let (sender, receiver) = mpsc::channel(QUEUED_CHUNKS);
    let mut shutdown = app.shutdown.clone();
    tokio::spawn(async move {
        let mut chunks = pin!(chunks);
        loop {
            let chunk = tokio::select! {
                chunk = chunks.next() => chunk,
                () = sender.closed() => return,
            };
            let Some(chunk) = chunk else { return };
            let delivered = tokio::select! {
                delivered = hand_over(&sender, chunk) => delivered,
                () = goodbye_is_over(&mut shutdown) => return,
            };
            if !delivered {
                return;
            }
        }
    });
    receiver
}

async fn goodbye_is_over(shutdown: &mut watch::Receiver<bool>) {
    stopped(shutdown).await;
    env::sleep(GOODBYE_MAX).await;
}

/// The answer that carries a stream.
pub(crate) fn sse_response(body: Body) -> Response {
    let headers =
        [(header::CONTENT_TYPE, "text/event-stream; charset=utf-8"), (header::CACHE_CONTROL, "no-store")];
    (headers, [("x-accel-buffering", "no")], body).into_response()
}

/// Waits until the instance stops.
pub(crate) async fn stopped(shutdown: &mut watch::Receiver<bool>) {
    // The sender lives as long as the instance; without it there is nothing left to wait for.
    let _ = shutdown.wait_for(|stopping| *stopping).await;
}

/// What a client is told when what it came with is of no use any more.
fn revoked_event() -> Bytes {
    let data = "{\"code\":\"revoked\",\"message\":\"the token was revoked, has expired, or reaches nothing here any more\"}";
    wire::event("error", None, data)
}

/// What a client is told when the instance stops.
fn goodbye_event() -> Bytes {
    let data = format!(
        "{{\"code\":\"server_shutdown\",\"message\":\"the instance is shutting down\",\"retry_after_ms\":{RETRY_AFTER_SHUTDOWN_MS}}}"
    );
    wire::event("server_shutdown", None, &data)
}

/// Tells a client that what it came with is of no use any more.
pub(crate) async fn say_revoked(sender: &mpsc::Sender<Bytes>) {
    let _ = tokio::time::timeout(GOODBYE_MAX, sender.send(revoked_event())).await;
}

/// Tells a client that the instance stops.
pub(crate) async fn say_goodbye(sender: &mpsc::Sender<Bytes>) {
    // One that takes nothing is told by the end itself.
    let _ = tokio::time::timeout(GOODBYE_MAX, sender.send(goodbye_event())).await;
}

/// Why a stream ends.
pub(crate) enum Ended {
    /// The client is gone, or the log failed: nobody is told.
    Silently,
    /// What the client came with is of no use any more.
    Revoked,
}

/// What a client sees, as decided on one snapshot of state.
struct Seen {
    /// Of the snapshot, or of one before it.
    generation: u64,
    viewer: Arc<Viewer>,
    /// Until when this holds by itself.
    until: Option<UnixMillis>,
}

/// One stream's side of the instance: the chunks that it consists of, each made when it is asked for.
struct Live {
    head: watch::Receiver<u64>,
    shutdown: watch::Receiver<bool>,
    /// Rings when something is due that no record tells of.
    alarm: Pin<Box<Sleep>>,
    /// Where to start, until that is known.
    start: Option<Start>,
    follower: Follower,
}

impl Live {
    fn chunks(self) -> impl Stream<Item = Bytes> + Send + 'static {
        futures_util::stream::unfold(Some(self), |live| async move {
            let mut live = live?;
            match live.next().await {
                Ok(chunk) => Some((chunk, Some(live))),
                Err(last) => Some((last?, None)),
            }
        })
    }

    /// The next chunk, or the last one, if there is anybody left to tell.
    async fn next(&mut self) -> Result<Bytes, Option<Bytes>> {
        let Self { head, shutdown, alarm, start, follower } = self;
        let ended = tokio::select! {
            chunk = follower.next(start, head, alarm) => match chunk {
                Ok(chunk) => return Ok(chunk),
                Err(ended) => ended,
            },
            () = stopped(shutdown) => return Err(Some(goodbye_event())),
        };
        Err(match ended {
            Ended::Revoked => Some(revoked_event()),
            Ended::Silently => None,
        })
    }
}

/// What a stream knows of its client, and how far it is.
struct Follower {
    app: App,
    ticket: Ticket,
    filter: Arc<Filter>,
    floor: Option<Floor>,
    /// The last position decided for this stream.
    cursor: u64,
    /// The last position that was sent.
    sent: u64,
    /// Whether the last look at the log ended because it had found enough.
    finds_much: bool,
    next_heartbeat: Instant,
    seen: Option<Arc<Seen>>,
    _counted: Counted,
}

impl Follower {
    /// The next chunk, when there is one.
    async fn next(
        &mut self,
        start: &mut Option<Start>,
        head: &mut watch::Receiver<u64>,
        alarm: &mut Pin<Box<Sleep>>,
    ) -> Result<Bytes, Ended> {
        if let Some(from) = *start {
            self.begin(from).await?;
            *start = None;
            return Ok(format!("retry: {RETRY_MS}\n").into());
        }
        loop {
            let end = *head.borrow_and_update();
            // State is never older than the head that was seen: what ends a token is known before anything
            // that was written after it is sent.
            let seen = self.look()?;
            if let Some(heartbeat) = self.beat_if_due(&seen) {
                return Ok(heartbeat);
            }
            if self.cursor < end {
                let chunk = self.advance(&seen, end).await?;
                if !chunk.is_empty() {
                    return Ok(chunk);
                }
                if self.cursor < end {
                    // Much of which nothing is for this client: others have the thread before it looks on.
                    tokio::task::yield_now().await;
                }
                continue;
            }
            let mut due = self.next_heartbeat;
            if let Some(at) = seen.until {
                let left = Duration::from_millis(at.0.saturating_sub(self.app.now().0));
                due = due.min(env::monotonic() + left);
            }
            // Set anew only where it would ring too late, or has rung: most wait for a record and not for it.
            if alarm.is_elapsed() || alarm.deadline().into_std() > due {
                alarm.as_mut().reset(due.into());
            }
            tokio::select! {
                changed = head.changed() => changed.map_err(|_| Ended::Silently)?,
                () = alarm.as_mut() => {}
            }
        }
    }

    async fn begin(&mut self, start: Start) -> Result<(), Ended> {
        match start {
            Start::Live => {}
            Start::After(sequence) => (self.cursor, self.sent) = (sequence, sequence),
            Start::SinceClock(clock) => {
                // Up to here the floor holds; what comes later is live.
                self.floor = Some(Floor { clock, through: self.cursor });
                self.cursor = self.before_first(clock, self.cursor).await?;
            }
        }
        Ok(())
    }

    /// Decides on the client's credentials and on what it sees: again whenever state has changed, or when what
    /// was decided holds no longer by itself.
    fn look(&mut self) -> Result<Arc<Seen>, Ended> {
        let (generation, now) = (self.app.published.generation(), self.app.now());
        if let Some(seen) = &self.seen {
            let same = seen.generation == generation && seen.until.is_none_or(|until| now < until);
            // Rules may ask what time it is.
            if same && !seen.viewer.is_costly() {
                return Ok(seen.clone());
            }
        }
        let world = self.app.published.world();
        let caller = world.admit(&self.ticket, now).map_err(|_| Ended::Revoked)?;
        let viewer = world.viewer(&caller, now);
        if viewer.sees_nothing() {
            return Err(Ended::Revoked);
        }
        // Only admins are asked for grants.
        let actor = caller.own_actor().filter(|_| viewer.sees_provenance());
        let grant =
            |resource| actor.and_then(|actor| world.consent.until(actor, resource, Access::Read, now));
        let bearer = caller.bearer.as_ref().and_then(|b| b.expires_at);
        let until = bearer.into_iter().chain(Resource::ALL.into_iter().filter_map(grant)).min();
        let seen = Arc::new(Seen { generation, viewer: Arc::new(viewer), until });
        self.seen = Some(seen.clone());
        Ok(seen)
    }

    /// A heartbeat every so often, however busy or quiet the instance is: it tells a client that the stream
    /// lives, and how far it is.
    fn beat_if_due(&mut self, seen: &Seen) -> Option<Bytes> {
        let now = env::monotonic();
        if now < self.next_heartbeat {
            return None;
        }
        self.next_heartbeat = now + HEARTBEAT;
        // Who sees a part learns from its heartbeats only roughly how much the rest is; never less than what it
        // was sent, or it would be sent that again.
        let cursor = if seen.viewer.is_narrowed() {
            (self.cursor - self.cursor % NARROWED_STEP).max(self.sent)
        } else {
            self.cursor
        };
        Some(wire::event("heartbeat", Some(cursor), &format!("{{\"cursor\":\"{cursor}\"}}")))
    }

    /// What comes next after the cursor, which it moves: an empty chunk where nothing of it is for this client.
    async fn advance(&mut self, seen: &Arc<Seen>, end: u64) -> Result<Bytes, Ended> {
        // Rules that are asked about each record do not run where other streams wait for their turn.
        let inline = !seen.viewer.is_costly();
        let recent = self.app.published.recent_after(self.cursor, STEP_RECORDS).filter(|_| inline);
        let step = match recent {
            Some(frames) => self.step_through_recent(seen, &frames, end),
            None => self.step_through_log(seen.clone(), end).await?,
        };
        let chunk = charged(&self.app.stream_budget, step.chunk).await;
        if !chunk.is_empty() {
            self.sent = step.last;
        }
        self.cursor = step.reached;
        Ok(chunk)
    }

    async fn step_through_log(&mut self, mut seen: Arc<Seen>, end: u64) -> Result<Step, Ended> {
        let app = self.app.clone();
        // To hand it to another thread costs as much as a fifth of such a step, where what comes next is for this
        // client and nothing of it is parsed; and where many do, they take the processors from those that serve. Should
        // it have to wait for the disk, it says so itself (`crate::disk::wait`).
        let quick = self.finds_much && self.filter.is_plain() && !seen.viewer.is_narrowed();
        let turn = if quick {
            // A client that takes all there is would keep the thread for milliseconds.
            tokio::task::yield_now().await;
            let turn = app.catching_up.acquire().await.ok();
            // Where many wait, a token may have ended meanwhile.
            seen = self.look()?;
            turn
        } else {
            None
        };
        let (of, passes, cursor) = (app.clone(), self.passes(&seen), self.cursor);
        let read = move || step_through_log(&of, &passes, cursor, end);
        let step = match turn {
            Some(_turn) => read().map_err(unreadable)?,
            None => blocking(read).await?,
        };
        self.finds_much = step.chunk.len() >= STEP_BYTES;
        Ok(step)
    }

    fn passes(&self, seen: &Seen) -> Passes {
        Passes { filter: self.filter.clone(), floor: self.floor, viewer: seen.viewer.clone() }
    }

    fn step_through_recent(&self, seen: &Seen, frames: &[Arc<Frame>], end: u64) -> Step {
        let passes = self.passes(seen);
        let mut taken: Vec<Bytes> = Vec::new();
        let (mut bytes, mut read_bytes) = (0, 0);
        let (mut reached, mut last) = (self.cursor, self.sent);
        for frame in frames.iter().take_while(|f| f.stored.sequence <= end) {
            if passes.carries(&frame.stored) {
                last = frame.stored.sequence;
                let frame = frame.bytes(passes.viewer.sees_provenance());
                bytes += frame.len();
                taken.push(frame);
            }
            reached = frame.stored.sequence;
            read_bytes += frame.stored.record.body.len();
            if bytes >= STEP_BYTES || read_bytes >= STEP_READ_BYTES {
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
    async fn before_first(&mut self, clock: u64, head: u64) -> Result<u64, Ended> {
        let source = match self.filter.threads.as_slice() {
            [thread] => Source::Thread(thread.clone()),
            _ => Source::All,
        };
        let mut scan = Scan::new(source, false, 1, head);
        loop {
            let app = self.app.clone();
            let (records, again) = blocking(move || Ok((scan.next(&app.log)?, scan))).await?;
            scan = again;
            if records.is_empty() {
                return Ok(head);
            }
            // What the client does not see must not show in where its stream begins.
            let seen = self.look()?;
            let passes = self.passes(&seen);
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
    }
}

async fn blocking<T: Send + 'static>(
    read: impl FnOnce() -> Result<T, StoreError> + Send + 'static,
) -> Result<T, Ended> {
    match tokio::task::spawn_blocking(read).await {
        Ok(Ok(value)) => Ok(value),
        Ok(Err(error)) => Err(unreadable(error)),
        Err(_) => Err(Ended::Silently),
    }
}

#[expect(clippy::needless_pass_by_value, reason = "maps an error")]
fn unreadable(error: StoreError) -> Ended {
    tracing::error!(cause = %chain_of_causes(&error), "a stream could not read the log");
    Ended::Silently
}
