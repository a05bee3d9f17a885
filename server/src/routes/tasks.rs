//! `GET /v1/tasks`: threads whose opening INTEND says `task: true`.

use axum::{extract::State, http::Uri, response::Response};
use serde_json::{Value, json};
use spl_kernel::{
    json::{Bounds, Json, Object},
    limits,
    log::Reader,
    record::StoredRecord,
    thread::Summary,
};
use spl_projections::visibility::{Extent, Viewer};

use super::{
    answer,
    records::{SCAN_ROWS_MAX, SCAN_SECONDS_MAX},
    scanning,
};
use crate::{
    app::{App, Instance},
    env,
    page::{Page, Params, QueryHash},
    problem::Problem,
    session::Session,
    view::{self, Patience},
    wire,
};

const STATUSES: [&str; 4] = ["inbox", "active", "done", "cancelled"];
/// Tasks looked at in one read of the index.
const CHUNK: usize = 256;

/// `GET /v1/tasks`
pub(super) async fn list(State(app): State<App>, session: Session, uri: Uri) -> Response {
    let scanned = app.clone();
    answer(scanning(&app, move || list_tasks(&scanned, &session.viewer(), &uri)).await)
}

fn list_tasks(app: &Instance, viewer: &Viewer, uri: &Uri) -> Result<Response, Problem> {
    let mut params = Params::new(uri);
    let status = params.one("status")?;
    let (limit, cursor) = (params.limit()?, params.one("cursor")?);
    params.finish()?;
    if let Some(status) = &status
        && !STATUSES.contains(&status.as_str())
    {
        return Err(Problem::invalid_query(format!("`status` is one of {}", STATUSES.join(", "))));
    }
    let hash = QueryHash::of(&["tasks", status.as_deref().unwrap_or("")]);
    let mut after = cursor.map(|c| hash.position(&c)).transpose()?.unwrap_or(0);
    let mut page = Page::new(&app.answer_budget, limit)?;
    let (started, mut looked) = (env::monotonic(), 0);
    let mut patience = Patience::new(SCAN_ROWS_MAX, SCAN_SECONDS_MAX);
    loop {
        let found = app.log.index().tasks(after, CHUNK)?;
        if found.is_empty() {
            return Ok(page.finish(None, ""));
        }
        // Opened after the index was read, so that it holds all that was found.
        let reader = app.log.reader()?;
        for summary in &found {
            let too_long = env::monotonic().duration_since(started).as_secs() >= SCAN_SECONDS_MAX;
            if looked >= SCAN_ROWS_MAX || too_long {
                return Ok(page.finish(Some(hash.cursor(after)), ""));
            }
            let seen = match viewer.extent(&summary.thread) {
                Extent::Whole => Some(summary.clone()),
                Extent::None => None,
                Extent::Some if patience.is_over() => {
                    return Ok(page.finish(Some(hash.cursor(after)), ""));
                }
                // For those who do not see its opening it is no task.
                Extent::Some => view::summary(&app.log, viewer, &summary.thread, &mut patience)?
                    .filter(|seen| seen.task.is_some()),
            };
            let seen = seen.filter(|s| status.as_ref().is_none_or(|w| w == wire::task_status(s)));
            if let Some(seen) = seen {
                if !page.has_room() {
                    return Ok(page.finish(Some(hash.cursor(after)), ""));
                }
                if let Some(row) = task(&reader, &seen)? {
                    page.push(&row.to_string())?;
                }
            }
            looked += 1;
            after = summary.opening.map_or(after, |(_, at)| at);
        }
    }
}

fn body(stored: &StoredRecord) -> Option<Object> {
    let bounds = Bounds { levels: limits::BODY_LEVELS_MAX, values: limits::BODY_VALUES_MAX };
    match Json::parse(stored.record.body.as_bytes(), bounds) {
        Ok(Json::Object(object)) => Some(object),
        _ => None,
    }
}

fn task(reader: &Reader, summary: &Summary) -> Result<Option<Value>, Problem> {
    let Some(opening) = summary.opening.map(|(_, at)| reader.record(at)).transpose()?.flatten() else {
        return Ok(None);
    };
    let Some(opened) = body(&opening) else { return Ok(None) };
    let completion = match summary.task.and_then(|t| t.completed_by) {
        Some(sequence) => reader.record(sequence)?.as_ref().and_then(body),
        None => None,
    };
    Ok(Some(json!({
        "object": "task",
        "thread": summary.thread,
        "alias": opened.str("alias"),
        "goal": opened.str("goal"),
        "priority": opened.str("priority"),
        "assigned_to": opened.str("assigned_to"),
        "status": wire::task_status(summary),
        "opened_by": opening.record.actor,
        "created_at": opening.committed_at.to_string(),
        "last_activity": summary.last_activity.to_string(),
        "summary": completion.as_ref().and_then(|c| c.str("summary")),
    })))
}
