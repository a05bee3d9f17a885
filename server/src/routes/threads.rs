//! `/v1/threads`

use axum::{
    extract::{Path, Request, State, rejection::PathRejection},
    http::{StatusCode, Uri},
    response::Response,
};
use serde_json::json;
use spl_kernel::{
    draft::{Draft, check_thread},
    json::{Bounds, Json, Object},
    limits,
    record::{Act, StoredRecord},
    refusal::{Code, Refusal},
    thread::Summary,
};
use spl_projections::{
    policies::Resource,
    scope::Scope,
    visibility::{Extent, Viewer},
};

use super::{
    answer, blocking,
    records::{Paging, SCAN_ROWS_MAX, SCAN_SECONDS_MAX, Wanted, page_of, path_text},
    scanning,
};
use crate::{
    app::{App, Instance},
    body::read_json,
    env,
    page::{Page, Params, QueryHash, json as json_answer, json_text},
    problem::{Problem, excerpt},
    scan::Source,
    session::Session,
    view::{self, Patience},
    wire,
    writer::{Command, Committed, NotWritten, Written},
};

/// Participants that one state lists; `participants_total` tells when there are more.
const PARTICIPANTS_MAX: usize = 10_000;

type PathText = Result<Path<String>, PathRejection>;

fn not_found() -> Problem {
    Problem::not_found("there is no thread of this name").hint("spl thread list shows all threads")
}

fn patience() -> Patience {
    Patience::new(SCAN_ROWS_MAX, SCAN_SECONDS_MAX)
}

fn summary(app: &Instance, viewer: &Viewer, thread: &str) -> Result<Summary, Problem> {
    view::summary(&app.log, viewer, thread, &mut patience())?.ok_or_else(not_found)
}

/// `GET /v1/threads`
pub(super) async fn list(State(app): State<App>, session: Session, uri: Uri) -> Response {
    let scanned = app.clone();
    answer(scanning(&app, move || list_threads(&scanned, &session.viewer(), &uri)).await)
}

fn list_threads(app: &Instance, viewer: &Viewer, uri: &Uri) -> Result<Response, Problem> {
    let mut params = Params::new(uri);
    let (limit, cursor) = (params.limit()?, params.one("cursor")?);
    params.finish()?;
    let hash = QueryHash::of(&["threads"]);
    let mut after = cursor.map(|c| hash.position(&c)).transpose()?.unwrap_or(0);
    let mut page = Page::new(&app.answer_budget, limit)?;
    let mut patience = patience();
    loop {
        let found = app.log.index().threads(after, limit + 1)?;
        if found.is_empty() {
            return Ok(page.finish(None, ""));
        }
        for summary in &found {
            let seen = match viewer.extent(&summary.thread) {
                Extent::Whole => Some(summary.clone()),
                Extent::None => None,
                Extent::Some if patience.is_over() => {
                    return Ok(page.finish(Some(hash.cursor(after)), ""));
                }
                Extent::Some => view::summary(&app.log, viewer, &summary.thread, &mut patience)?,
            };
            if let Some(seen) = seen {
                if !page.has_room() {
                    return Ok(page.finish(Some(hash.cursor(after)), ""));
                }
                page.push(&serde_json::to_string(&wire::ThreadRow::from(&seen)).unwrap_or_default())?;
            }
            after = summary.first_sequence;
        }
    }
}

/// `GET /v1/threads/{id}`
pub(super) async fn get(State(app): State<App>, session: Session, path: PathText, uri: Uri) -> Response {
    let read = move || {
        Params::new(&uri).finish()?;
        let summary = summary(&app, &session.viewer(), &path_text(path)?)?;
        Ok(json_answer(StatusCode::OK, &wire::ThreadRow::from(&summary)))
    };
    answer(blocking(read).await)
}

/// `GET /v1/threads/{id}/state`
pub(super) async fn state(State(app): State<App>, session: Session, path: PathText, uri: Uri) -> Response {
    let scanned = app.clone();
    let read = move || {
        Params::new(&uri).finish()?;
        let thread = path_text(path)?;
        let viewer = session.viewer();
        let seen =
            view::with_participants(&scanned.log, &viewer, &thread, PARTICIPANTS_MAX, &mut patience())?;
        let view::Seen { summary, participants: parts } = seen.ok_or_else(not_found)?;
        let clocks: serde_json::Map<String, serde_json::Value> =
            parts.iter().map(|p| (p.actor.clone(), p.last_clock.into())).collect();
        Ok(json_answer(
            StatusCode::OK,
            &json!({
                "object": "thread_state",
                "thread": summary.thread,
                "status": summary.status.as_str(),
                "last_clock": summary.last_clock,
                "actor_clocks": clocks,
                "record_count": summary.record_count,
                "participants": parts.iter().map(|p| p.actor.as_str()).collect::<Vec<_>>(),
                "participants_total": summary.participants,
            }),
        ))
    };
    answer(scanning(&app, read).await)
}

/// `GET /v1/threads/{id}/participants`
pub(super) async fn participants(
    State(app): State<App>,
    session: Session,
    path: PathText,
    uri: Uri,
) -> Response {
    let scanned = app.clone();
    let read = move || {
        let mut params = Params::new(&uri);
        let (limit, cursor) = (params.limit()?, params.one("cursor")?);
        params.finish()?;
        let (thread, viewer) = (path_text(path)?, session.viewer());
        let seen = view::with_participants(&scanned.log, &viewer, &thread, usize::MAX, &mut patience())?;
        let parts = seen.ok_or_else(not_found)?.participants;
        let hash = QueryHash::of(&["participants", &thread]);
        let mut after = cursor.map(|c| hash.position(&c)).transpose()?.unwrap_or(0);
        let mut page = Page::new(&scanned.answer_budget, limit)?;
        // By first record, which is what a cursor names.
        let first = parts.partition_point(|p| p.first_sequence <= after);
        for part in &parts[first..] {
            if !page.has_room() {
                return Ok(page.finish(Some(hash.cursor(after)), ""));
            }
            page.push(&wire::participant(part).to_string())?;
            after = part.first_sequence;
        }
        Ok(page.finish(None, ""))
    };
    answer(scanning(&app, read).await)
}

/// `GET /v1/threads/{id}/records`
pub(super) async fn records(State(app): State<App>, session: Session, path: PathText, uri: Uri) -> Response {
    let scanned = app.clone();
    let read = move || {
        let mut params = Params::new(&uri);
        let wanted = Wanted { since: params.number("since")?, ..Wanted::default() };
        let (limit, cursor) = (params.limit()?, params.one("cursor")?);
        params.finish()?;
        let thread = path_text(path)?;
        let viewer = session.viewer();
        if viewer.extent(&thread) == Extent::None {
            return Ok(Page::new(&scanned.answer_budget, limit)?.finish(None, ""));
        }
        let identity = format!("thread {thread:?} {wanted:?}");
        let paging = Paging { limit, cursor, descending: false, identity };
        page_of(&scanned, &viewer, Source::Thread(thread), &wanted, &paging)
    };
    answer(scanning(&app, read).await)
}

/// `POST /v1/threads`
pub(super) async fn open(State(app): State<App>, session: Session, request: Request) -> Response {
    answer(open_thread(app, session, request).await)
}

const OPEN_FIELDS: [&str; 4] = ["goal", "thread", "actor", "body"];
/// The body is one level inside.
const OPEN_BOUNDS: Bounds = Bounds { levels: limits::BODY_LEVELS_MAX + 1, values: 140_000 };

async fn open_thread(app: App, session: Session, request: Request) -> Result<Response, Problem> {
    let received = read_json(&app, request).await?;
    let actor = session.caller.actor().map(str::to_owned);
    let decided = session.clone();
    let draft = blocking(move || {
        let json =
            Json::parse(&received.bytes, OPEN_BOUNDS).map_err(|e| Problem::invalid_body(e.to_string()))?;
        let object = json.as_object().ok_or_else(|| Problem::invalid_body("expected a JSON object"))?;
        let drafts = vec![opening(object, actor)?];
        decided.admit_drafts(&drafts, Some(Resource::ThreadWrite)).map_err(|misfit| misfit.refusal)?;
        Ok(drafts)
    })
    .await?;
    let thread = draft.first().map(|d| d.thread.clone()).unwrap_or_default();
    let Committed { written, .. } = session.append(&app, draft, Some(Resource::ThreadWrite)).await?;
    let Some(Written::New(stored)) = written.first() else {
        return Err(Problem::internal(&std::io::Error::other("a record without a clock was not new")));
    };
    app.metrics.records_written.inc();
    let id = serde_json::to_string(&thread).unwrap_or_default();
    let text = format!(
        "{{\"object\":\"thread\",\"id\":{id},\"record\":{},\"record_id\":\"{}\"}}",
        shown(&session, stored),
        stored.record.id
    );
    Ok(json_text(StatusCode::CREATED, text))
}

/// A record that the caller wrote, as far as it may read it.
fn shown(session: &Session, stored: &StoredRecord) -> String {
    let viewer = session.viewer();
    if viewer.sees(stored) { wire::record(stored, &viewer) } else { wire::receipt(stored) }
}

/// The INTEND that opens a thread.
fn opening(object: &Object, claimed: Option<String>) -> Result<Draft, Problem> {
    if let Some((key, _)) = object.iter().find(|(k, _)| !OPEN_FIELDS.contains(k)) {
        return Err(Problem::invalid_body(format!("unknown field {:?}", excerpt(key)))
            .hint(format!("opening a thread takes {}", OPEN_FIELDS.join(", "))));
    }
    let text = |key: &str| match object.get(key) {
        None | Some(Json::Null) => Ok(None),
        Some(value) => value
            .as_str()
            .map(|s| Some(s.to_owned()))
            .ok_or_else(|| Problem::invalid_body(format!("`{key}` must be a string"))),
    };
    let goal = text("goal")?.ok_or_else(|| Problem::invalid_body("`goal` is missing"))?;
    let thread = match text("thread")? {
        Some(thread) => check_thread(thread)?,
        None => random_thread()?,
    };
    let actor = text("actor")?.or(claimed).ok_or_else(|| {
        Problem::invalid_body("`actor` is missing").hint("send it, or name one in X-Syncropel-Actor")
    })?;
    let mut members = match object.get("body") {
        None => Vec::new(),
        Some(Json::Object(body)) => body.clone().into_members().filter(|(k, _)| k != "goal").collect(),
        Some(_) => return Err(Problem::invalid_body("`body` must be a JSON object")),
    };
    members.push(("goal".to_owned(), goal.into()));
    let body = Object::from_members(members)
        .map_err(|key| Problem::invalid_body(format!("duplicate key {:?}", excerpt(&key))))?;
    Ok(Draft::new(&thread, &actor, Act::Intend, Json::Object(body))?)
}

fn random_thread() -> Result<String, Problem> {
    let mut random = [0; 32];
    env::fill_random(&mut random).map_err(|e| Problem::internal(&e))?;
    Ok(format!("th_{}", data_encoding::HEXLOWER.encode(&random)))
}

/// `DELETE /v1/threads/{id}`
pub(super) async fn cancel(State(app): State<App>, session: Session, path: PathText, uri: Uri) -> Response {
    answer(cancel_thread(app, session, path, uri).await)
}

async fn cancel_thread(
    app: App,
    mut session: Session,
    path: PathText,
    uri: Uri,
) -> Result<Response, Problem> {
    Params::new(&uri).finish()?;
    let thread = path_text(path)?;
    let actor = session.caller.actor().map(str::to_owned).ok_or_else(|| {
        Problem::invalid_body("who cancels is not known").hint("name an actor in X-Syncropel-Actor")
    })?;
    // The same checks as for any record that this actor writes there, and before anything is told of the
    // thread. Whether it has an opening to cancel is the writer's to find.
    let body = Json::object([("cancels", thread.as_str().into())]);
    if check_thread(thread.clone()).is_err() {
        return Err(not_found());
    }
    let drafts = [Draft::new(&thread, &actor, Act::Do, body)?];
    session.admit_drafts(&drafts, Some(Resource::ThreadWrite)).map_err(|misfit| misfit.refusal)?;
    // Who may cancel but not read learns no more of a thread than that it is one.
    let viewer = if session.caller.covers(Scope::RecordsRead) || session.caller.bearer.is_none() {
        session.viewer()
    } else {
        Viewer::home_owner().without_reserved()
    };
    let read = {
        let (app, thread) = (app.clone(), thread.clone());
        blocking(move || summary(&app, &viewer, &thread))
    };
    if read.await?.opening.is_none() {
        // It has none, or none that exists for the caller: one cannot be told from the other.
        return Err(Refusal::new(
            Code::IngestFailed,
            format!("{} was never opened by an INTEND", excerpt(&thread)),
        )
        .hint("only an opened thread can be cancelled")
        .into());
    }
    let mut decided_again = false;
    let submitted = loop {
        let (thread, actor, admission) = (thread.clone(), actor.clone(), session.admission());
        match app.writer.submit(Command::CancelThread { thread, actor, admission }).await {
            Err(NotWritten::RulesChanged(_)) if !decided_again => {
                decided_again = true;
                session = session.again(&app)?;
                session.admit_drafts(&drafts, Some(Resource::ThreadWrite)).map_err(|m| m.refusal)?;
            }
            other => break other,
        }
    };
    match submitted {
        Ok(Committed { written, .. }) => {
            let Some(Written::New(stored)) = written.first() else {
                return Err(Problem::internal(&std::io::Error::other("a cancellation was not new")));
            };
            app.metrics.records_written.inc();
            let text = format!(
                "{{\"status\":\"cancelled\",\"record\":{},\"record_id\":\"{}\"}}",
                shown(&session, stored),
                stored.record.id
            );
            Ok(json_text(StatusCode::OK, text))
        }
        Err(NotWritten::AlreadyFinal(status)) => {
            Ok(json_answer(StatusCode::OK, &json!({ "status": format!("already_{status}") })))
        }
        Err(why) => Err(why.into()),
    }
}
