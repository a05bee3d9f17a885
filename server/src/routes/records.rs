//! `/v1/records`: write, get, list.

use axum::{
    extract::{Path, Request, State, rejection::PathRejection},
    http::{StatusCode, Uri},
    response::Response,
};
use spl_kernel::{
    draft::{Draft, ENVELOPE_BOUNDS},
    id::RecordId,
    json::{Bounds, JsonError, Parser},
    limits,
    record::StoredRecord,
    refusal::{Code, Refusal},
};
use spl_projections::{tokens::TokenId, visibility::Viewer};

use super::{answer, blocking, point_read, scanning};
use crate::{
    app::{App, Instance},
    body::read_json,
    env,
    page::{Page, Params, QueryHash, json_text},
    problem::{Problem, excerpt},
    scan::{Scan, Source},
    session::Session,
    wire,
    writer::{Committed, Written},
};

/// Rows that one list may look at.
pub(super) const SCAN_ROWS_MAX: u64 = 1_000_000;
/// How long one list may look.
pub(super) const SCAN_SECONDS_MAX: u64 = 2;
/// A request of this size is parsed on a thread that may be busy.
const INLINE_BYTES_MAX: usize = 64 * 1024;

const FEDERATION: &str = "x-syncropel-federation";

/// `POST /v1/records`
pub(super) async fn create(State(app): State<App>, session: Session, request: Request) -> Response {
    answer(write(app, session, request).await)
}

/// What a request asks to write.
struct Proposal {
    drafts: Vec<Draft>,
    batch: bool,
}

async fn write(app: App, session: Session, request: Request) -> Result<Response, Problem> {
    if request.headers().get(FEDERATION).is_some_and(|v| v == "1") {
        return Err(Problem::new(
            StatusCode::UNPROCESSABLE_ENTITY,
            "SIGNATURE_REQUIRED",
            "records from other instances must be signed, and signatures are not taken yet",
        ));
    }
    let received = read_json(&app, request).await?;
    let small = received.bytes.len() <= INLINE_BYTES_MAX;
    let check = move || parse(&received.bytes);
    let proposal = if small {
        check()?
    } else {
        // The semaphore is never closed. Those who wait hold their part of the memory for bodies.
        let turn = app.parsing.clone().acquire_owned().await;
        let proposal = blocking(check).await;
        drop(turn);
        proposal?
    };
    let decided = session.clone();
    let admit = move || -> Result<Proposal, Problem> {
        let admitted = decided.admit_drafts(&proposal.drafts, None);
        admitted.map_err(|misfit| at_index(misfit.refusal, misfit.at, proposal.batch))?;
        Ok(proposal)
    };
    // Rules that are asked about each record do not run where other requests wait for their turn.
    let admitted = if session.policy().is_some() { scanning(&app, admit).await } else { admit() };
    let Proposal { drafts, batch } = admitted?;
    if drafts.is_empty() {
        return Err(Problem::invalid_body("`records` holds no record"));
    }
    // The answer's memory is taken before anything is written: what is written is never answered with BUSY.
    let mut page = None;
    if batch {
        let page = page.insert(Page::new(&app.answer_budget, usize::MAX)?);
        page.reserve(drafts.iter().map(answer_bytes).sum())?;
    }
    let Committed { written, .. } = session.append(&app, drafts, None).await?;
    let new = written.iter().filter(|w| matches!(w, Written::New(_))).count();
    let status = if new > 0 { StatusCode::CREATED } else { StatusCode::OK };
    app.metrics.records_written.inc_by(new as u64);
    answer_written(&app, &session, written, page, status).await
}

/// At least what a draft takes in an answer once it is a record.
fn answer_bytes(draft: &Draft) -> usize {
    // Quotes and backslashes are escaped; all else is of fixed length.
    draft.body.len() + 2 * draft.thread.len() + 2 * draft.actor.len() + 67 * draft.parents.len() + 512
}

/// One record, or a page of them.
async fn answer_written(
    app: &App,
    session: &Session,
    written: Vec<Written>,
    page: Option<Page>,
    status: StatusCode,
) -> Result<Response, Problem> {
    let viewer = session.viewer();
    let mut bytes = 0;
    let in_memory = written.iter().all(|one| match one {
        Written::New(stored) => {
            bytes += stored.record.body.len();
            true
        }
        Written::Stored(_) => false,
    });
    // What was just written is at hand. What was stored before is read, and rules are asked about each record.
    if in_memory && bytes <= INLINE_BYTES_MAX && !viewer.is_costly() {
        return show_written(app, &viewer, &written, page, status);
    }
    let app = app.clone();
    blocking(move || show_written(&app, &viewer, &written, page, status)).await
}

fn show_written(
    app: &Instance,
    viewer: &Viewer,
    written: &[Written],
    mut page: Option<Page>,
    status: StatusCode,
) -> Result<Response, Problem> {
    // Who may not read is told what it needs to go on, and nothing of what is stored.
    let show = |stored: &StoredRecord| {
        if viewer.sees(stored) { wire::record(stored, viewer) } else { wire::receipt(stored) }
    };
    let mut reader = None;
    for one in written {
        let text = match one {
            Written::New(stored) => show(stored),
            Written::Stored(sequence) => {
                let reader = match &mut reader {
                    Some(reader) => reader,
                    none => none.insert(app.log.reader()?),
                };
                let stored = reader.record(*sequence)?;
                show(&stored.ok_or_else(|| Problem::internal(&missing(*sequence)))?)
            }
        };
        match &mut page {
            Some(page) => page.push(&text)?,
            None => return Ok(json_text(status, text)),
        }
    }
    let empty = || Problem::internal(&std::io::Error::other("a write answered nothing"));
    let mut response = page.ok_or_else(empty)?.finish(None, "");
    *response.status_mut() = status;
    Ok(response)
}

fn missing(sequence: u64) -> std::io::Error {
    std::io::Error::other(format!("record {sequence} is missing"))
}

fn at_index(refusal: Refusal, index: usize, batch: bool) -> Refusal {
    if !batch {
        return refusal;
    }
    Refusal { message: format!("records[{index}]: {}", refusal.message), ..refusal }
}

/// Parses one envelope, or `{"records":[…]}`, record by record: the tree of a batch never exists as a whole.
fn parse(bytes: &[u8]) -> Result<Proposal, Problem> {
    let mut parser = Parser::new(bytes, ENVELOPE_BOUNDS).map_err(Refusal::from)?;
    if !is_batch(&parser) {
        let draft = Draft::read(&mut parser, &[])?;
        parser.end().map_err(Refusal::from)?;
        return Ok(Proposal { drafts: vec![draft], batch: false });
    }
    let mut drafts: Vec<Draft> = Vec::new();
    let mut canonical_bytes = 0;
    let mut seen = false;
    parser.members(|parser, key| -> Result<(), Refusal> {
        if key != "records" || std::mem::replace(&mut seen, true) {
            return Err(Refusal::new(
                Code::InvalidBody,
                format!("unknown or repeated field {:?}", excerpt(&key)),
            )
            .hint("a batch has the one field records"));
        }
        parser.elements(|parser| {
            if drafts.len() == limits::BATCH_RECORDS_MAX {
                let message = format!("a batch holds at most {} records", limits::BATCH_RECORDS_MAX);
                return Err(Refusal::new(Code::InvalidBody, message));
            }
            let mut part = parser.part(ENVELOPE_BOUNDS);
            let draft = Draft::read(&mut part, &[]).map_err(|r| at_index(r, drafts.len(), true))?;
            parser.resume(&part);
            canonical_bytes += draft.body.len();
            if canonical_bytes > limits::BATCH_CANONICAL_BYTES_MAX {
                let message = format!("the batch is larger than {} bytes", limits::BATCH_CANONICAL_BYTES_MAX);
                return Err(Refusal::new(Code::BodyTooLarge, message).hint("send fewer records at a time"));
            }
            drafts.push(draft);
            Ok(())
        })
    })?;
    parser.end().map_err(Refusal::from)?;
    Ok(Proposal { drafts, batch: true })
}

/// Whether the first member is `records`: no record has a field of that name.
fn is_batch(parser: &Parser<'_>) -> bool {
    /// Ends the walk after the first key.
    struct Found(Option<bool>);
    impl From<JsonError> for Found {
        fn from(_: JsonError) -> Self {
            Self(None)
        }
    }
    let found = parser
        .part(Bounds { levels: 1, values: 1 })
        .members(|_, key| Err::<(), Found>(Found(Some(key == "records"))));
    match found {
        Err(Found(Some(batch))) => batch,
        // Malformed or empty: the full parser says what is wrong.
        Err(Found(None)) | Ok(()) => false,
    }
}

/// `GET /v1/records/{id}`
pub(super) async fn get(
    State(app): State<App>,
    session: Session,
    id: Result<Path<String>, PathRejection>,
    uri: Uri,
) -> Response {
    let reader = session.clone();
    let read = move || {
        Params::new(&uri).finish()?;
        let not_found =
            || Problem::new(StatusCode::NOT_FOUND, "RECORD_NOT_FOUND", "there is no record with this id");
        let id = id.ok().and_then(|Path(text)| RecordId::parse(&text)).ok_or_else(not_found)?;
        let sequence = app.log.index().sequence_of(&id)?.ok_or_else(not_found)?;
        let viewer = reader.viewer();
        let stored = app.log.reader()?.record(sequence)?;
        let stored = stored.filter(|r| viewer.sees(r)).ok_or_else(not_found)?;
        Ok(json_text(StatusCode::OK, wire::record(&stored, &viewer)))
    };
    answer(point_read(&session, read).await)
}

/// `GET /v1/records`
pub(super) async fn list(State(app): State<App>, session: Session, uri: Uri) -> Response {
    let scanned = app.clone();
    answer(scanning(&app, move || list_records(&scanned, &session, &uri)).await)
}

/// What a list shows of its candidates.
#[derive(Debug, Default)]
pub(super) struct Wanted {
    pub(super) actor: Option<String>,
    pub(super) act: Option<String>,
    pub(super) kind: Option<String>,
    pub(super) since: Option<u64>,
    pub(super) until: Option<u64>,
    /// For admins: only records written with this token.
    pub(super) token: Option<TokenId>,
}

impl Wanted {
    fn matches(&self, stored: &StoredRecord) -> bool {
        let record = &stored.record;
        self.actor.as_ref().is_none_or(|a| *a == record.actor)
            && self.act.as_ref().is_none_or(|a| a == record.act.as_str())
            && self.since.is_none_or(|c| record.clock >= c)
            && self.until.is_none_or(|c| record.clock <= c)
            && self.token.is_none_or(|t| stored.provenance.token_id == Some(t.0))
            && self.kind.as_ref().is_none_or(|k| crate::filter::kind_of(stored).as_deref() == Some(k))
    }
}

fn list_records(app: &Instance, session: &Session, uri: &Uri) -> Result<Response, Problem> {
    let viewer = session.viewer();
    let mut params = Params::new(uri);
    let thread = params.one("thread")?;
    let wanted = Wanted {
        actor: params.one("actor")?,
        act: params.one("act")?,
        kind: params.one("kind")?,
        since: params.number("since")?,
        until: params.number("until")?,
        token: if viewer.sees_provenance() { token_filter(&mut params)? } else { None },
    };
    let limit = params.limit()?;
    let cursor = params.one("cursor")?;
    let descending = match params.one("order")?.as_deref() {
        None | Some("asc") => false,
        Some("desc") => true,
        Some(_) => return Err(Problem::invalid_query("`order` is asc or desc")),
    };
    params.finish()?;
    let source = match (&thread, &wanted.actor) {
        (Some(thread), _) => Source::Thread(thread.clone()),
        (None, Some(actor)) => Source::Actor(actor.clone()),
        (None, None) if wanted.act.is_some() || wanted.kind.is_some() || wanted.token.is_some() => {
            Source::All
        }
        (None, None) => {
            return Err(Problem::invalid_query("at least one of thread, actor, act and kind is needed")
                .hint("GET /v1/export gives everything; POST /v1/records/query takes any filter"));
        }
    };
    let identity = format!("{source:?} {wanted:?} {descending}");
    page_of(app, &viewer, source, &wanted, &Paging { limit, cursor, descending, identity })
}

fn token_filter(params: &mut Params) -> Result<Option<TokenId>, Problem> {
    let parse = |text: String| {
        TokenId::parse(&text).ok_or_else(|| Problem::invalid_query("`token_id` is 64 lowercase hex digits"))
    };
    params.one("token_id")?.map(parse).transpose()
}

/// How a list is paged.
#[derive(Debug)]
pub(super) struct Paging {
    pub(super) limit: usize,
    pub(super) cursor: Option<String>,
    pub(super) descending: bool,
    /// What a cursor is bound to.
    pub(super) identity: String,
}

/// One page of records. A page that passes the bounds on rows or time ends early, with a cursor.
pub(super) fn page_of(
    app: &Instance,
    viewer: &Viewer,
    source: Source,
    wanted: &Wanted,
    paging: &Paging,
) -> Result<Response, Problem> {
    let hash = QueryHash::of(&["records", &paging.identity]);
    let (mut low, mut high) = (1, app.log.head().sequence);
    if let Some(cursor) = &paging.cursor {
        let at = hash.position(cursor)?;
        if paging.descending { high = high.min(at.saturating_sub(1)) } else { low = at.saturating_add(1) }
    }
    // One more than fits tells whether there is another page.
    let mut scan =
        Scan::new(source, paging.descending, low, high).beginning_with(paging.limit.saturating_add(1));
    let mut page = Page::new(&app.answer_budget, paging.limit)?;
    let (started, mut scanned, mut last) = (env::monotonic(), 0, 0);
    loop {
        let records = scan.next(&app.log)?;
        if records.is_empty() {
            return Ok(page.finish(None, ""));
        }
        for stored in &records {
            let exhausted = scanned >= SCAN_ROWS_MAX
                || env::monotonic().duration_since(started).as_secs() >= SCAN_SECONDS_MAX;
            if exhausted {
                // The row before was the last: it is where the next page goes on.
                let next = if paging.descending { stored.sequence + 1 } else { stored.sequence - 1 };
                return Ok(page.finish(Some(hash.cursor(next)), ""));
            }
            scanned += 1;
            if viewer.sees(stored) && wanted.matches(stored) {
                // Only another row that is wanted says that there is more, and only what was shown says where:
                // neither tells of rows that the caller does not see.
                if !page.has_room() {
                    return Ok(page.finish(Some(hash.cursor(last)), ""));
                }
                last = stored.sequence;
                page.push(&wire::record(stored, viewer))?;
            }
        }
    }
}

/// A redirect of rejections to the documented 404: a name that is no text names nothing.
pub(super) fn path_text(path: Result<Path<String>, PathRejection>) -> Result<String, Problem> {
    path.map(|Path(text)| text).map_err(|_| Problem::not_found("the path is not valid UTF-8"))
}
