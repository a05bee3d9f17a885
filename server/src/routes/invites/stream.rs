//! Rows of invites as they change: the current ones first, then each change as it is committed, and each expiry
//! when its time comes.

use std::{
    collections::VecDeque,
    sync::Arc,
    time::{Duration, Instant},
};

use axum::{
    extract::State,
    http::{HeaderMap, Uri},
    response::Response,
};
use bytes::{Bytes, BytesMut};
use spl_kernel::time::UnixMillis;
use spl_projections::{
    World,
    authority::{Presented, Ticket},
    consent::{Access, Resource as Consented},
    policies::Resource,
};
use tokio::sync::mpsc;

use super::row::{Seen, fresh};
use crate::{
    app::{App, Instance},
    env,
    open_streams::Counted,
    page::Params,
    problem::Problem,
    routes::{answer, blocking, streams::last_event_id},
    sending::{QUEUED_CHUNKS, channel_body, deliver},
    session::Session,
    stream::{Ended, HEARTBEAT, RETRY_MS, say_goodbye, say_revoked, sse_response, stopped},
    wire,
};

/// A step ends once it has this many bytes for the follower.
const STEP_BYTES: usize = 64 * 1024;

/// The least that is waited for an instant to come.
const WAIT_MIN: Duration = Duration::from_millis(20);

/// `GET /v1/invites/stream`
pub(in crate::routes) async fn follow(
    State(app): State<App>,
    session: Session,
    headers: HeaderMap,
    uri: Uri,
) -> Response {
    answer(open(&app, session, &headers, &uri).await)
}

async fn open(app: &App, session: Session, headers: &HeaderMap, uri: &Uri) -> Result<Response, Problem> {
    session.consented(Consented::Invites, Access::Read)?;
    Params::new(uri).finish()?;
    let resumed = last_event_id(headers, app.published.head())?;
    let told_until = match resumed {
        None => session.now,
        // What expired meanwhile is told again from then on: it stands in no record.
        Some(after) => time_of(app, after).await?,
    };
    let token = match session.ticket.bearer {
        Presented::Token(id) => Some(id),
        Presented::Nothing | Presented::Malformed => None,
    };
    let counted = Counted::new(&app.streams, token)?;
    let (sender, receiver) = mpsc::channel(QUEUED_CHUNKS);
    let follower = Follower {
        app: app.clone(),
        ticket: session.ticket,
        cursor: resumed.unwrap_or(0),
        told_until,
        live: false,
        next_heartbeat: env::monotonic(),
        sender,
        _counted: counted,
    };
    tokio::spawn(follower.run());
    Ok(sse_response(channel_body(receiver)))
}

/// When a record was committed; the beginning of time where there is none.
async fn time_of(app: &App, sequence: u64) -> Result<UnixMillis, Problem> {
    let log = app.log.clone();
    let read =
        move || Ok(log.reader()?.record(sequence)?.map_or(UnixMillis(0), |stored| stored.committed_at));
    blocking(read).await
}

/// One follower's side of the instance.
struct Follower {
    app: App,
    ticket: Ticket,
    /// The last position whose changes were sent.
    cursor: u64,
    /// Expiries up to here were told.
    told_until: UnixMillis,
    /// Whether the rows that were there at the start have been sent.
    live: bool,
    next_heartbeat: Instant,
    sender: mpsc::Sender<Bytes>,
    _counted: Counted,
}

/// What one look at state gave.
struct Step {
    frames: Bytes,
    /// Where the follower is after them.
    cursor: u64,
    /// Whether there is more.
    more: bool,
}

impl Follower {
    async fn run(mut self) {
        let mut shutdown = self.app.shutdown.clone();
        let sender = self.sender.clone();
        tokio::select! {
            ended = self.serve() => match ended {
                Err(Ended::Revoked) => say_revoked(&sender).await,
                // There is nobody left to tell.
                Ok(()) | Err(Ended::Silently) => {}
            },
            () = stopped(&mut shutdown) => say_goodbye(&sender).await,
        }
    }

    async fn serve(&mut self) -> Result<(), Ended> {
        let mut state = self.app.published.subscribe_state();
        self.send(format!("retry: {RETRY_MS}\n").into()).await?;
        loop {
            state.borrow_and_update();
            let head = self.app.published.head();
            let world = self.app.published.world_arc();
            let (seen, ends_at) = self.look(&world)?;
            self.beat_if_due().await?;
            // Before changes move the position that the follower comes back with: expiries stand in no record.
            self.tell_expired(&world, seen).await?;
            let step = self.step(&world, seen, head).await?;
            if !step.frames.is_empty() {
                self.send(step.frames).await?;
            }
            self.cursor = self.cursor.max(step.cursor);
            if step.more {
                continue;
            }
            self.live = true;
            let mut pause = self.next_heartbeat.saturating_duration_since(env::monotonic());
            let next = world.invites.expiring_from(UnixMillis(seen.now.0 + 1)).next().map(|i| i.expires_at);
            for at in next.into_iter().chain(ends_at) {
                // With a clock that is behind the log the instant does not come nearer.
                let wait = Duration::from_millis(at.0.saturating_sub(seen.now.0)).max(WAIT_MIN);
                pause = pause.min(wait);
            }
            tokio::select! {
                changed = state.changed() => changed.map_err(|_| Ended::Silently)?,
                () = self.sender.closed() => return Err(Ended::Silently),
                () = env::sleep(pause) => {}
            }
        }
    }

    /// Decides again on the follower's credentials, grant and rules; and until when that holds by itself.
    fn look(&self, world: &World) -> Result<(Seen, Option<UnixMillis>), Ended> {
        let now = self.app.now();
        let caller = world.admit(&self.ticket, now).map_err(|_| Ended::Revoked)?;
        let holds = |access| world.consents(&caller, Consented::Invites, access, now);
        let ruled = world.policy(&caller, now).map_or(Ok(()), |policy| policy.check(Resource::Invite));
        if !holds(Access::Read) || ruled.is_err() {
            return Err(Ended::Revoked);
        }
        let grant =
            caller.own_actor().and_then(|a| world.consent.until(a, Consented::Invites, Access::Read, now));
        let token = caller.bearer.as_ref().and_then(|b| b.expires_at);
        let ends_at = token.into_iter().chain(grant).min();
        Ok((Seen { now, with_link: holds(Access::Write) }, ends_at))
    }

    async fn beat_if_due(&mut self) -> Result<(), Ended> {
        let now = env::monotonic();
        if now < self.next_heartbeat {
            return Ok(());
        }
        self.next_heartbeat = now + HEARTBEAT;
        let cursor = self.cursor;
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

    /// Tells of what expired since that was told last, a bounded part at a time.
    async fn tell_expired(&mut self, world: &Arc<World>, seen: Seen) -> Result<(), Ended> {
        let since = UnixMillis(self.told_until.0.saturating_add(1));
        let mut due = VecDeque::new();
        for invite in world.invites.expiring_from(since) {
            if invite.expires_at > seen.now {
                break;
            }
            due.push_back(invite.clone());
        }
        while !due.is_empty() {
            let (app, world, cursor) = (self.app.clone(), world.clone(), self.cursor);
            let part = blocking(move || {
                let mut frames = BytesMut::new();
                while frames.len() < STEP_BYTES
                    && let Some(invite) = due.pop_front()
                {
                    frames.extend_from_slice(&app.invite_rows.frame(&app, &world, &invite, seen, cursor));
                }
                Ok((frames.freeze(), due))
            });
            let (frames, left) = part.await.map_err(|_| Ended::Silently)?;
            due = left;
            self.send(frames).await?;
            self.look(&self.app.published.world())?;
        }
        self.told_until = self.told_until.max(seen.now);
        Ok(())
    }

    /// Frames of what changed after the cursor. Rows at the start take time to make, each for one follower;
    /// changes are made once for all.
    async fn step(&self, world: &Arc<World>, seen: Seen, head: u64) -> Result<Step, Ended> {
        if self.live {
            return Ok(changes(&self.app, world, (seen, true), self.cursor, head));
        }
        let (app, world, cursor) = (self.app.clone(), world.clone(), self.cursor);
        let step = blocking(move || Ok(changes(&app, &world, (seen, false), cursor, head))).await;
        step.map_err(|_| Ended::Silently)
    }
}

fn changes(app: &Instance, world: &World, (seen, shared): (Seen, bool), cursor: u64, head: u64) -> Step {
    let (mut frames, mut at, mut more) = (BytesMut::new(), cursor, false);
    for invite in world.invites.changed_after(cursor) {
        if frames.len() >= STEP_BYTES {
            more = true;
            break;
        }
        at = invite.changed;
        let rows = &app.invite_rows;
        let frame = if shared {
            rows.frame(app, world, invite, seen, at)
        } else {
            fresh(app, world, invite, seen, at)
        };
        frames.extend_from_slice(&frame);
    }
    // State holds all up to the head that was seen before it: there is nothing else up to there.
    Step { frames: frames.into(), cursor: if more { at } else { at.max(head) }, more }
}
