//! `GET /v1/export`: visible records as NDJSON, in sequence order.

use axum::{
    body::Body,
    extract::State,
    http::{Request, StatusCode, header},
    response::{IntoResponse as _, Response},
};
use bytes::Bytes;

use super::{answer, records::visible};
use crate::{access::require_operator, app::App, page::Params, problem::Problem, stream::pump, wire};

/// Most records of a chunk.
const CHUNK: usize = 1024;
/// A chunk of the answer has about this many bytes.
const CHUNK_BYTES: usize = 64 * 1024;

/// `GET /v1/export`
pub(super) async fn run(State(app): State<App>, request: Request<Body>) -> Response {
    answer(export(app, request))
}

fn export(app: App, request: Request<Body>) -> Result<Response, Problem> {
    let (parts, _) = request.into_parts();
    let mut params = Params::new(&parts.uri);
    let reserved = match params.one("reserved")?.as_deref() {
        None | Some("false") => false,
        Some("true") => true,
        Some(_) => return Err(Problem::invalid_query("`reserved` is true or false")),
    };
    // Who may ask comes before what else is asked.
    if reserved {
        require_operator(&app, &parts)?;
    }
    let since = params.number("since_sequence")?.unwrap_or(0);
    params.finish()?;
    let end = app.log.head().sequence;
    let log = app.log.clone();
    let mut at = since;
    let body = pump(&app, move || {
        let mut text = String::new();
        while at < end && text.is_empty() {
            // Holds one record at a time; a chunk ends within its bound, and a look without a find too.
            let (from, mut looked_at) = (at, 0);
            log.reader()?.scan(from, &mut |stored| {
                if stored.sequence > end {
                    return false;
                }
                at = stored.sequence;
                looked_at += 1;
                if reserved || visible(&stored) {
                    wire::write_record(&mut text, &stored, false);
                    text.push('\n');
                }
                text.len() < CHUNK_BYTES && looked_at < CHUNK
            })?;
            if looked_at == 0 {
                at = end;
            }
        }
        Ok((!text.is_empty()).then(|| Bytes::from(text)))
    });
    Ok((StatusCode::OK, [(header::CONTENT_TYPE, "application/x-ndjson")], body).into_response())
}
