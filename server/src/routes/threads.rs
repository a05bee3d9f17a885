//! `/v1/threads`

use axum::{
    extract::{Path, Request, State, rejection::PathRejection},
    http::{HeaderMap, StatusCode, Uri},
    response::Response,
};
use serde_json::json;
use spl_kernel::{
    draft::{Draft, check_thread},
    json::{Bounds, Json, Object},
    limits,
    record::{Act, Origin, Provenance},
    thread::Summary,
};
use spl_projections::{admission, reserved::Viewer};

use super::{
    answer, blocking,
    records::{Paging, Wanted, page_of, path_text},
    scanning,
};
use crate::{
    access::claimed_actor,
    app::{App, Instance},
    body::read_json,
    env,
    page::{Page, Params, QueryHash, json as json_answer, json_text},
    problem::{Problem, excerpt},
    scan::Source,
    wire,
    writer::{Command, NotWritten, Written},
};

/// Participants that one state lists; `participants_total` tells when there are more.
const PARTICIPANTS_MAX: usize = 10_000;

type PathText = Result<Path<String>, PathRejection>;

fn not_found() -> Problem {
    Problem::not_found("there is no thread of this name").hint("spl thread list shows all threads")
}

fn summary(app: &Instance, thread: &str) -> Result<Summary, Problem> {
    if !Viewer::Anonymous.sees(thread) {
        return Err(not_found());
    }
    app.log.index().summary(thread)?.ok_or_else(not_found)
}

/// `GET /v1/threads`
pub(super) async fn list(State(app): State<App>, uri: Uri) -> Response {
    let scanned = app.clone();
    answer(scanning(&app, move || list_threads(&scanned, &uri)).await)
}

fn list_threads(app: &Instance, uri: &Uri) -> Result<Response, Problem> {
    let mut params = Params::new(uri);
    let (limit, cursor) = (params.limit()?, params.one("cursor")?);
    params.finish()?;
    let hash = QueryHash::of(&["threads"]);
    let mut after = cursor.map(|c| hash.position(&c)).transpose()?.unwrap_or(0);
    let mut page = Page::new(&app.answer_budget, limit)?;
    loop {
        let found = app.log.index().threads(after, limit + 1)?;
        if found.is_empty() {
            return Ok(page.finish(None, ""));
        }
        for summary in &found {
            if Viewer::Anonymous.sees(&summary.thread) {
                if !page.has_room() {
                    return Ok(page.finish(Some(hash.cursor(after)), ""));
                }
                page.push(&serde_json::to_string(&wire::ThreadRow::from(summary)).unwrap_or_default())?;
            }
            after = summary.first_sequence;
        }
    }
}

/// `GET /v1/threads/{id}`
pub(super) async fn get(State(app): State<App>, path: PathText, uri: Uri) -> Response {
    let read = move || {
        Params::new(&uri).finish()?;
        let summary = summary(&app, &path_text(path)?)?;
        Ok(json_answer(StatusCode::OK, &wire::ThreadRow::from(&summary)))
    };
    answer(blocking(read).await)
}

/// `GET /v1/threads/{id}/state`
pub(super) async fn state(State(app): State<App>, path: PathText, uri: Uri) -> Response {
    let scanned = app.clone();
    let read = move || {
        Params::new(&uri).finish()?;
        let summary = summary(&scanned, &path_text(path)?)?;
        let parts = scanned.log.index().participants(&summary.thread, PARTICIPANTS_MAX)?;
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
pub(super) async fn participants(State(app): State<App>, path: PathText, uri: Uri) -> Response {
    let scanned = app.clone();
    let read = move || {
        let mut params = Params::new(&uri);
        let (limit, cursor) = (params.limit()?, params.one("cursor")?);
        params.finish()?;
        let summary = summary(&scanned, &path_text(path)?)?;
        let hash = QueryHash::of(&["participants", &summary.thread]);
        let mut after = cursor.map(|c| hash.position(&c)).transpose()?.unwrap_or(0);
        let mut page = Page::new(&scanned.answer_budget, limit)?;
        let parts = scanned.log.index().participants(&summary.thread, usize::MAX)?;
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
pub(super) async fn records(State(app): State<App>, path: PathText, uri: Uri) -> Response {
    let scanned = app.clone();
    let read = move || {
        let mut params = Params::new(&uri);
        let wanted = Wanted { since: params.number("since")?, ..Wanted::default() };
        let (limit, cursor) = (params.limit()?, params.one("cursor")?);
        params.finish()?;
        let thread = path_text(path)?;
        if !Viewer::Anonymous.sees(&thread) {
            return Ok(Page::new(&scanned.answer_budget, limit)?.finish(None, ""));
        }
        let identity = format!("thread {thread:?} {wanted:?}");
        let paging = Paging { limit, cursor, descending: false, identity };
        page_of(&scanned, Source::Thread(thread), &wanted, &paging)
    };
    answer(scanning(&app, read).await)
}

/// `POST /v1/threads`
pub(super) async fn open(State(app): State<App>, request: Request) -> Response {
    answer(open_thread(app, request).await)
}

const OPEN_FIELDS: [&str; 4] = ["goal", "thread", "actor", "body"];
/// The body is one level inside.
const OPEN_BOUNDS: Bounds = Bounds { levels: limits::BODY_LEVELS_MAX + 1, values: 140_000 };

async fn open_thread(app: App, request: Request) -> Result<Response, Problem> {
    let received = read_json(&app, request).await?;
    let claimed = claimed_actor(&received.parts.headers)?;
    let did = app.did.clone();
    let draft = blocking(move || {
        let json =
            Json::parse(&received.bytes, OPEN_BOUNDS).map_err(|e| Problem::invalid_body(e.to_string()))?;
        let object = json.as_object().ok_or_else(|| Problem::invalid_body("expected a JSON object"))?;
        let draft = opening(object, claimed)?;
        admission::check(&draft, &did)?;
        Ok(draft)
    })
    .await?;
    let thread = draft.thread.clone();
    let provenance = Provenance::without_credential(Origin::Posted);
    let written = app.writer.submit(Command::Append { drafts: vec![draft], provenance }).await?;
    let Some(Written::New(stored)) = written.first() else {
        return Err(Problem::internal(&std::io::Error::other("a record without a clock was not new")));
    };
    app.metrics.records_written.inc();
    let id = serde_json::to_string(&thread).unwrap_or_default();
    let text = format!(
        "{{\"object\":\"thread\",\"id\":{id},\"record\":{},\"record_id\":\"{}\"}}",
        wire::record(stored),
        stored.record.id
    );
    Ok(json_text(StatusCode::CREATED, text))
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
pub(super) async fn cancel(State(app): State<App>, path: PathText, headers: HeaderMap, uri: Uri) -> Response {
    answer(cancel_thread(app, path, headers, uri).await)
}

async fn cancel_thread(app: App, path: PathText, headers: HeaderMap, uri: Uri) -> Result<Response, Problem> {
    Params::new(&uri).finish()?;
    let thread = path_text(path)?;
    let actor = claimed_actor(&headers)?.ok_or_else(|| {
        Problem::invalid_body("who cancels is not known").hint("name an actor in X-Syncropel-Actor")
    })?;
    // The same checks as for any record that this actor writes there, and before anything is told of the
    // thread. Whether it has an opening to cancel is the writer's to find.
    let body = Json::object([("cancels", thread.as_str().into())]);
    if check_thread(thread.clone()).is_err() {
        return Err(not_found());
    }
    admission::check(&Draft::new(&thread, &actor, Act::Do, body)?, &app.did)?;
    let read = {
        let (app, thread) = (app.clone(), thread.clone());
        blocking(move || summary(&app, &thread))
    };
    read.await?;
    let provenance = Provenance::without_credential(Origin::Posted);
    match app.writer.submit(Command::CancelThread { thread, actor, provenance }).await {
        Ok(written) => {
            let Some(Written::New(stored)) = written.first() else {
                return Err(Problem::internal(&std::io::Error::other("a cancellation was not new")));
            };
            app.metrics.records_written.inc();
            let text = format!(
                "{{\"status\":\"cancelled\",\"record\":{},\"record_id\":\"{}\"}}",
                wire::record(stored),
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
