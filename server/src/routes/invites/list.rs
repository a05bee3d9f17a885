use axum::{extract::State, http::Uri, response::Response};
use spl_projections::{
    consent::{Access, Resource as Consented},
    invites::State as InviteState,
};

use super::row::{Seen, row};
use crate::{
    app::{App, Instance},
    page::{Page, Params, QueryHash},
    problem::Problem,
    routes::{answer, blocking},
    session::Session,
};

/// `GET /v1/invites`
pub(in crate::routes) async fn list(State(app): State<App>, session: Session, uri: Uri) -> Response {
    // Codes are made on the way: not where other requests wait for their turn.
    answer(blocking(move || read(&app, &session, &uri)).await)
}

fn read(app: &Instance, session: &Session, uri: &Uri) -> Result<Response, Problem> {
    session.consented(Consented::Invites, Access::Read)?;
    let mut params = Params::new(uri);
    let state = params.one("state")?;
    let (limit, cursor) = (params.limit()?, params.one("cursor")?);
    params.finish()?;
    let wanted = state.as_deref().map(|name| {
        InviteState::parse(name).ok_or_else(|| {
            Problem::invalid_query("`state` is active, redeemed, exhausted, expired or revoked")
        })
    });
    let wanted = wanted.transpose()?;
    let hash = QueryHash::of(&["invites", state.as_deref().unwrap_or("")]);
    let before = cursor.map(|c| hash.position(&c)).transpose()?.unwrap_or(u64::MAX);
    let with_link = session.world.consents(&session.caller, Consented::Invites, Access::Write, session.now);
    let seen = Seen { now: session.now, with_link };
    let mut page = Page::new(&app.answer_budget, limit)?;
    let all = session.world.invites.newest_before(before);
    let mut last = before;
    for invite in all.filter(|invite| wanted.is_none_or(|state| invite.state(session.now) == state)) {
        if !page.has_room() {
            return Ok(page.finish(Some(hash.cursor(last)), ""));
        }
        page.push(&row(app, &session.world, invite, seen).to_string())?;
        last = invite.sequence;
    }
    Ok(page.finish(None, ""))
}
