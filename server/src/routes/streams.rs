//! Live streams: one thread, or all visible records.

use axum::{
    extract::{Path, State, rejection::PathRejection},
    http::{HeaderMap, Uri, Version},
    response::Response,
};

use super::{answer, records::path_text};
use crate::{
    app::App,
    filter::Filter,
    page::Params,
    problem::Problem,
    session::Session,
    stream::{Start, open},
};

/// The position after which a client resumes, from `Last-Event-ID`.
pub(super) fn last_event_id(headers: &HeaderMap, head: u64) -> Result<Option<u64>, Problem> {
    let Some(last) = headers.get("last-event-id") else { return Ok(None) };
    let refused = || {
        Problem::invalid_query("Last-Event-ID is no position of this log")
            .hint("send the id of the last event that was received, or leave it out to start live")
    };
    let text = last.to_str().unwrap_or_default();
    let digits = !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    let sequence: u64 = if digits { text.parse().map_err(|_| refused())? } else { return Err(refused()) };
    if sequence > head { Err(refused()) } else { Ok(Some(sequence)) }
}

/// Where a stream starts: after `Last-Event-ID`, else from a clock, else live.
fn start(headers: &HeaderMap, params: &mut Params, head: u64) -> Result<Start, Problem> {
    let since_clock = params.number("since_clock")?;
    Ok(match last_event_id(headers, head)? {
        Some(sequence) => Start::After(sequence),
        None => since_clock.map_or(Start::Live, Start::SinceClock),
    })
}

/// `GET /v1/threads/{id}/watch`
pub(super) async fn watch(
    State(app): State<App>,
    session: Session,
    path: Result<Path<String>, PathRejection>,
    headers: HeaderMap,
    version: Version,
    uri: Uri,
) -> Response {
    let result = path_text(path).and_then(|thread| {
        let mut params = Params::new(&uri);
        let start = start(&headers, &mut params, app.published.head())?;
        params.finish()?;
        open(&app, session.ticket, Filter { threads: vec![thread], ..Filter::default() }, start, version)
    });
    answer(result)
}

/// `GET /v1/events/stream`
pub(super) async fn events(
    State(app): State<App>,
    session: Session,
    headers: HeaderMap,
    version: Version,
    uri: Uri,
) -> Response {
    let build = || {
        let mut params = Params::new(&uri);
        let filter = Filter {
            threads: params.all("thread"),
            kind: params.one("kind")?,
            actor: params.one("actor")?,
            act: params.one("act")?,
        };
        let start = start(&headers, &mut params, app.published.head())?;
        params.finish()?;
        open(&app, session.ticket, filter, start, version)
    };
    answer(build())
}
