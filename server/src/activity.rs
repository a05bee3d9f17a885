//! What is noted of bearers beside what they do: when they were last used, what they were refused, and whether
//! one that a rotation had ended came back. Kept in memory, and written at intervals: a record for each use
//! would make the log of a busy instance one of its own traffic.

use std::{
    collections::{BTreeMap, HashMap},
    sync::{Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use spl_kernel::{
    json::{Bounds, Json},
    limits,
    log::{Range, error::StoreError},
    record::StoredRecord,
    time::UnixMillis,
};
use spl_projections::{
    Command, World, audit,
    invites::Reason,
    tokens::{NoteSeen, TokenId},
};

use crate::{
    app::{App, Instance},
    env,
    last_used::LastUsed,
    session,
};

/// Uses are written this often.
const FLUSH_EVERY: Duration = Duration::from_secs(5 * 60);
/// Refusals of one token, and presentations of an ended one, are written at most this often.
const HOUR: Duration = Duration::from_secs(60 * 60);
/// Most tokens whose refusals are counted between two flushes.
const REFUSED_TOKENS_MAX: usize = 10_000;
/// Most ended tokens that are remembered as told of.
const PRESENTED_MAX: usize = 10_000;

/// See the module.
#[derive(Debug, Default)]
pub(crate) struct Activity {
    used: LastUsed,
    refused: Mutex<HashMap<TokenId, Refused>>,
    presented: Mutex<HashMap<TokenId, Instant>>,
    /// Refused redemptions that were too many to be recorded one by one.
    redeems: Mutex<BTreeMap<(String, Reason), u64>>,
}

#[derive(Debug, Default)]
struct Refused {
    counts: BTreeMap<&'static str, u64>,
    written: Option<Instant>,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Activity {
    /// Notes that a token was used.
    pub(crate) fn used(&self, number: u32, now: UnixMillis) {
        self.used.note(number, u32::try_from(now.0 / 1000).unwrap_or(u32::MAX));
    }

    /// When a token was last used, as far as it is known here.
    pub(crate) fn last_used(&self, number: u32) -> Option<UnixMillis> {
        self.used.get(number).map(|seconds| UnixMillis(u64::from(seconds) * 1000))
    }

    /// Counts a refusal of a live bearer.
    pub(crate) fn refused(&self, token: TokenId, code: &'static str) {
        let mut refused = lock(&self.refused);
        if refused.len() < REFUSED_TOKENS_MAX || refused.contains_key(&token) {
            *refused.entry(token).or_default().counts.entry(code).or_default() += 1;
        }
    }

    /// Counts a refused redemption that was not recorded by itself.
    pub(crate) fn refused_redeem(&self, invite_id: String, reason: Reason) {
        *lock(&self.redeems).entry((invite_id, reason)).or_default() += 1;
    }

    /// Whether it is to be written that an ended token was presented: not if it was within the hour.
    fn is_news(&self, token: TokenId) -> bool {
        let now = env::monotonic();
        let mut presented = lock(&self.presented);
        if presented.len() >= PRESENTED_MAX {
            presented.retain(|_, at| now.duration_since(*at) < HOUR);
        }
        let known = presented.get(&token).is_some_and(|at| now.duration_since(*at) < HOUR);
        if known || presented.len() >= PRESENTED_MAX {
            return false;
        }
        presented.insert(token, now);
        true
    }

    /// Uses that state does not have yet.
    fn unwritten_uses(&self, world: &World) -> NoteSeen {
        let seen = world.tokens.rows().filter_map(|row| {
            let number = world.tokens.get(&row.id)?.number;
            let used = self.last_used(number)?;
            world.tokens.last_used(number).is_none_or(|written| written < used).then_some((row.id, used))
        });
        NoteSeen { seen: seen.collect() }
    }

    /// Refusals whose hour has come.
    fn due_refusals(&self, all: bool) -> Vec<(TokenId, Vec<(String, u64)>)> {
        let now = env::monotonic();
        let mut refused = lock(&self.refused);
        let due = |r: &Refused| all || r.written.is_none_or(|at| now.duration_since(at) >= HOUR);
        let mut found = Vec::new();
        for (token, one) in refused.iter_mut().filter(|(_, r)| !r.counts.is_empty() && due(r)) {
            let counts = std::mem::take(&mut one.counts);
            found.push((*token, counts.into_iter().map(|(code, n)| (code.to_owned(), n)).collect()));
            one.written = Some(now);
        }
        refused
            .retain(|_, r| !r.counts.is_empty() || r.written.is_some_and(|at| now.duration_since(at) < HOUR));
        found
    }
}

/// Writes what was noted, every so often, until the instance stops, and then once more.
pub(crate) async fn keep_noted(app: App) {
    let mut shutdown = app.shutdown.clone();
    loop {
        let stopping = tokio::select! {
            () = env::sleep(FLUSH_EVERY) => false,
            _ = shutdown.wait_for(|stopping| *stopping) => true,
        };
        flush(&app, stopping).await;
        if stopping {
            return;
        }
    }
}

async fn flush(app: &App, stopping: bool) {
    let noted = {
        let app = app.clone();
        tokio::task::spawn_blocking(move || app.activity.unwritten_uses(&app.published.world())).await
    };
    if let Ok(noted) = noted
        && !noted.seen.is_empty()
    {
        note(app, Command::NoteSeen(noted)).await;
    }
    for (token_id, counts) in app.activity.due_refusals(stopping) {
        note(app, Command::NoteRefusals { token_id, counts }).await;
    }
    // Few: only invites that exist are counted, each within its rate.
    let redeems = std::mem::take(&mut *lock(&app.activity.redeems));
    for ((invite_id, reason), count) in redeems {
        let command = Command::NoteRefusedRedeems { invite_id: invite_id.clone(), reason, count };
        if !note(app, command).await {
            *lock(&app.activity.redeems).entry((invite_id, reason)).or_default() += count;
        }
    }
}

/// Whether it was written.
async fn note(app: &Instance, command: Command) -> bool {
    let written = session::command_of_instance(app, command).await;
    if let Err(why) = &written {
        // It is about the past, and nobody waits for it: the next flush brings what is newer.
        tracing::warn!(?why, "activity was not written");
    }
    written.is_ok()
}

/// Tells the trail that a token came back which a rotation had ended.
pub(crate) fn rotated_presented(app: &App, token: TokenId) {
    if !app.activity.is_news(token) {
        return;
    }
    let app = app.clone();
    tokio::spawn(async move {
        // A process before this one may have told it.
        let told = {
            let app = app.clone();
            tokio::task::spawn_blocking(move || app.thefts.last_of_token(&app, token)).await
        };
        let since = UnixMillis(app.now().0.saturating_sub(HOUR.as_secs() * 1000));
        if matches!(told, Ok(Ok(Some(at))) if at > since) {
            return;
        }
        tracing::warn!("a token was presented that a rotation had ended: a copy of it is in other hands");
        note(&app, Command::NoteRotatedPresented(token)).await;
    });
}

/// When ended tokens were presented, by account: gathered from the trail as far as it goes, when somebody asks.
#[derive(Debug, Default)]
pub(crate) struct Thefts(Mutex<Found>);

#[derive(Debug, Default)]
struct Found {
    through: u64,
    of_account: HashMap<String, UnixMillis>,
    of_token: HashMap<TokenId, UnixMillis>,
}

/// Records of the trail read at once.
const BATCH: usize = 1024;

impl Thefts {
    /// When an ended token of each account was last presented.
    pub(crate) fn by_account(&self, app: &Instance) -> Result<HashMap<String, UnixMillis>, StoreError> {
        let mut found = lock(&self.0);
        found.catch_up(app)?;
        Ok(found.of_account.clone())
    }

    /// When an ended token was last presented, as the trail tells it.
    fn last_of_token(&self, app: &Instance, token: TokenId) -> Result<Option<UnixMillis>, StoreError> {
        let mut found = lock(&self.0);
        found.catch_up(app)?;
        Ok(found.of_token.get(&token).copied())
    }
}

impl Found {
    /// Reads what the trail has got since the last time.
    fn catch_up(&mut self, app: &Instance) -> Result<(), StoreError> {
        loop {
            let range = Range::after(self.through, BATCH);
            let sequences = app.log.index().thread(audit::TOKENS_THREAD, range)?;
            let Some(last) = sequences.last() else { return Ok(()) };
            for stored in app.log.reader()?.records(&sequences)? {
                if let Some((account, token)) = presented(&stored) {
                    self.of_account.insert(account, stored.committed_at);
                    self.of_token.insert(token, stored.committed_at);
                }
            }
            self.through = *last;
        }
    }
}

/// The account and token of a record that tells of one presented after its end.
fn presented(stored: &StoredRecord) -> Option<(String, TokenId)> {
    if !stored.record.body.contains("\"rotated_token_presented\"") {
        return None;
    }
    let bounds = Bounds { levels: limits::BODY_LEVELS_MAX, values: limits::BODY_VALUES_MAX };
    let body = Json::parse(stored.record.body.as_bytes(), bounds).ok()?;
    let body = body.as_object()?;
    if body.str("event_kind") != Some("rotated_token_presented") {
        return None;
    }
    Some((body.str("service_account_id")?.to_owned(), TokenId::parse(body.str("token_id")?)?))
}
