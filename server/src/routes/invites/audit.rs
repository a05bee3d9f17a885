//! The feed of what happened to invites, from the trail.

use axum::{extract::State, http::Uri, response::Response};
use serde_json::{Map, Value};
use spl_kernel::{log::Range, record::StoredRecord};
use spl_projections::{
    World,
    audit::INVITES_THREAD,
    consent::{Access, Resource as Consented},
};

use crate::{
    app::{App, Instance},
    page::{Page, Params, QueryHash},
    problem::Problem,
    routes::{answer, scanning},
    session::Session,
};

/// Records read at once.
const CHUNK: usize = 128;

/// `GET /v1/invites/audit`
pub(in crate::routes) async fn feed(State(app): State<App>, session: Session, uri: Uri) -> Response {
    if let Err(problem) = session.consented(Consented::Invites, Access::Read) {
        return answer(Err(problem));
    }
    let read = app.clone();
    answer(scanning(&app, move || walk(&read, &session, &uri)).await)
}

fn walk(app: &Instance, session: &Session, uri: &Uri) -> Result<Response, Problem> {
    let mut params = Params::new(uri);
    let (limit, cursor) = (params.limit()?, params.one("cursor")?);
    params.finish()?;
    let hash = QueryHash::of(&["invites-audit"]);
    let mut before = cursor.map(|c| hash.position(&c)).transpose()?.unwrap_or(u64::MAX);
    let viewer = session.viewer();
    let mut page = Page::new(&app.answer_budget, limit)?;
    loop {
        let range = Range { low: 0, high: before.saturating_sub(1), limit: CHUNK, descending: true };
        let found = app.log.index().thread(INVITES_THREAD, range)?;
        if found.is_empty() || before == 0 {
            return Ok(page.finish(None, ""));
        }
        for stored in app.log.reader()?.records(&found)? {
            if !page.has_room() {
                return Ok(page.finish(Some(hash.cursor(before)), ""));
            }
            before = stored.sequence;
            if viewer.sees(&stored)
                && let Some(row) = row(&session.world, &stored)
            {
                page.push(&row.to_string())?;
            }
        }
    }
}

/// An event: what its record says, and what people call the invite.
fn row(world: &World, stored: &StoredRecord) -> Option<Value> {
    let Ok(Value::Object(mut body)) = serde_json::from_str(&stored.record.body) else { return None };
    body.remove("kind");
    let invite = body.get("invite_id").and_then(Value::as_str).and_then(|id| world.invites.get(id));
    let label = invite.and_then(|i| i.device_label.clone());
    let notes = invite.and_then(|i| i.notes.clone());
    let mut row = Map::new();
    row.insert("object".into(), "invite_event".into());
    row.insert("record_id".into(), stored.record.id.to_string().into());
    row.insert("sequence".into(), stored.sequence.into());
    row.extend(body);
    row.insert("device_label".into(), label.into());
    row.insert("notes".into(), notes.into());
    Some(Value::Object(row))
}
