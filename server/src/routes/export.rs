//! `GET /v1/export`: visible records as NDJSON, in sequence order.

use axum::{
    extract::State,
    http::{StatusCode, Uri, header},
    response::{IntoResponse as _, Response},
};
use bytes::Bytes;

use spl_kernel::log::error::StoreError;
use spl_projections::{
    consent::{Access, Resource},
    visibility::Extent,
};

use super::{answer, table::RESERVED_EXPORT};
use crate::{
    app::App,
    page::Params,
    problem::Problem,
    sending::pump,
    session::Session,
    wire,
    wire::{Fields, Shown},
};

/// Most records of a chunk.
const CHUNK: usize = 1024;
/// And where each is asked about.
const COSTLY_CHUNK: usize = 32;
/// A chunk of the answer has about this many bytes: each goes from thread to thread, which takes as long as some dozens of
/// records.
const CHUNK_BYTES: usize = 256 * 1024;

/// `GET /v1/export`
pub(super) async fn run(State(app): State<App>, session: Session, uri: Uri) -> Response {
    answer(export(app, &session, &uri))
}

/// Whether a caller may have everything: an admin who may read what concerns other people too.
pub(super) fn may_have_all(session: &Session) -> Result<(), Problem> {
    let caller = session.pass(RESERVED_EXPORT)?;
    let may = |resource| session.world.consents(&caller, resource, Access::Read, session.now);
    match Resource::ALL.into_iter().find(|resource| !may(*resource)) {
        None => Ok(()),
        Some(resource) => Err(Problem::consent_denied(caller.actor(), resource, Access::Read)),
    }
}

fn export(app: App, session: &Session, uri: &Uri) -> Result<Response, Problem> {
    let mut params = Params::new(uri);
    let reserved = match params.one("reserved")?.as_deref() {
        None | Some("false") => false,
        Some("true") => true,
        Some(_) => return Err(Problem::invalid_query("`reserved` is true or false")),
    };
    // Who may ask comes before what else is asked.
    if reserved {
        may_have_all(session)?;
    }
    let since = params.number("since_sequence")?.unwrap_or(0);
    params.finish()?;
    let end = app.log.head().sequence;
    let viewer = if reserved { session.viewer() } else { session.viewer().without_reserved() };
    let shown = Shown { object: false, provenance: viewer.sees_provenance() };
    let log = app.log.clone();
    let mut at = since;
    let (decided, again) = (session.clone(), app.clone());
    let most = if viewer.is_costly() { COSTLY_CHUNK } else { CHUNK };
    let body = pump(&app, move || {
        if at >= end {
            return Ok(None);
        }
        // Whoever lost its access on the way gets no more of it: the answer breaks off.
        if decided.again(&again).is_err() {
            return Err(StoreError::Damaged("the caller's access ended during an export".into()));
        }
        // A record is written from where it lies; a chunk ends within its bound, and a look without a find too.
        let (mut text, from, mut looked_at) = (String::with_capacity(CHUNK_BYTES + CHUNK_BYTES / 8), at, 0);
        log.reader()?.scan_entries(from, &mut |sequence, committed_at, entry| {
            if sequence > end {
                return false;
            }
            at = sequence;
            looked_at += 1;
            let seen = match viewer.extent(entry.thread()) {
                Extent::Whole => true,
                Extent::None => false,
                Extent::Some => viewer.sees(&entry.to_stored(sequence, committed_at)),
            };
            if seen {
                wire::write_record(&mut text, Fields::of_entry(sequence, committed_at, entry), shown);
                text.push('\n');
            }
            text.len() < CHUNK_BYTES && looked_at < most
        })?;
        if looked_at == 0 {
            at = end;
        }
        Ok(Some(Bytes::from(text)))
    });
    Ok((StatusCode::OK, [(header::CONTENT_TYPE, "application/x-ndjson")], body).into_response())
}
