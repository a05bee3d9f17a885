//! Consent grants: giving them, listing them, taking them back.

use axum::{
    extract::{Path, Request, State, rejection::PathRejection},
    http::{StatusCode, Uri},
    response::Response,
};
use serde_json::{Value, json};
use spl_kernel::time::UnixMillis;
use spl_projections::{
    Command,
    consent::{self, Access, Give, Grant, Resource as Consented, TakeBack},
    decision::Outcome,
    policies::Resource,
};

use super::{accounts::record_id, answer, fields::Fields, records::path_text};
use crate::{
    app::App,
    body::{BODY_BYTES_MAX, read_json_within},
    page::{Page, Params, QueryHash, json as json_answer},
    problem::Problem,
    session::Session,
};

fn row(id: &str, grant: &Grant, now: UnixMillis) -> Value {
    let state = if grant.revoked_at.is_some() {
        "revoked"
    } else if grant.is_live(now) {
        "active"
    } else {
        "expired"
    };
    json!({
        "object": "consent_grant",
        "grant_id": id,
        "grant_type": "operator",
        "grantee": grant.grantee,
        "resource": grant.resource.as_str(),
        "access": grant.access.as_str(),
        "purpose": grant.purpose,
        "state": state,
        "granted_at": grant.granted_at.to_string(),
        "expires_at": grant.expires_at.map(|at| at.to_string()),
        "revoked_at": grant.revoked_at.map(|at| at.to_string()),
    })
}

/// Whether the caller may look: as a holder of the read grant, or where recovery frees the route.
fn may_look(session: &Session) -> Result<(), Problem> {
    if session.caller.local_proof {
        return Ok(());
    }
    session.consented(Consented::Consent, Access::Read)
}

/// `GET /v1/consent/grants`
pub(super) async fn list(State(app): State<App>, session: Session, uri: Uri) -> Response {
    let list = || {
        may_look(&session)?;
        let mut params = Params::new(&uri);
        let (limit, cursor) = (params.limit()?, params.one("cursor")?);
        params.finish()?;
        // Oldest first: in that order later ones only ever come after.
        let mut grants: Vec<(&str, &Grant)> = session.world.consent.iter().collect();
        grants.sort_by_key(|(id, grant)| (grant.granted_at, *id));
        let hash = QueryHash::of(&["consent-grants"]);
        let from = cursor.map(|c| hash.position(&c)).transpose()?.unwrap_or(0);
        let skip = usize::try_from(from).unwrap_or(usize::MAX);
        let mut page = Page::new(&app.answer_budget, limit)?;
        for (at, (id, grant)) in (0..).zip(grants).skip(skip) {
            if !page.has_room() {
                return Ok(page.finish(Some(hash.cursor(at)), ""));
            }
            page.push(&row(id, grant, session.now).to_string())?;
        }
        Ok(page.finish(None, ""))
    };
    answer(list())
}

/// `POST /v1/consent/grants`
pub(super) async fn grant(State(app): State<App>, session: Session, request: Request) -> Response {
    answer(give(&app, &session, request).await)
}

async fn give(app: &App, session: &Session, request: Request) -> Result<Response, Problem> {
    // Who may is asked before what; the writer asks again.
    if !session.caller.local_proof {
        session.consented(Consented::Consent, Access::Write)?;
    }
    let received = read_json_within(app, request, BODY_BYTES_MAX).await?;
    let mut fields = Fields::parse(&received.bytes)?;
    let grantee = fields.required_text("grantee")?;
    let resource = Consented::parse(&fields.required_text("resource")?).ok_or_else(|| {
        Problem::invalid_body("`resource` is th_invites, th_invite_templates or th_consent")
    })?;
    let access = Access::parse(&fields.required_text("access")?)
        .ok_or_else(|| Problem::invalid_body("`access` is read or write"))?;
    let purpose = fields.text("purpose")?;
    let time = |text: String| {
        UnixMillis::parse(&text)
            .ok_or_else(|| Problem::invalid_body("`expires_at` is a time such as 2030-01-31T12:00:00.000Z"))
    };
    let expires_at = fields.text("expires_at")?.map(time).transpose()?;
    fields.finish()?;
    let command = move || {
        Command::GiveGrant(Give {
            grantee: grantee.clone(),
            resource,
            access,
            purpose: purpose.clone(),
            expires_at,
        })
    };
    let committed = session.control(app, |s| s.check(Resource::Invite), command).await?;
    let record = record_id(&committed, consent::THREAD);
    let Outcome::Grant { grant_id } = committed.outcome else { return Err(Problem::wrong_outcome()) };
    let world = app.published.world();
    let mut body =
        row(&grant_id, world.consent.get(&grant_id).ok_or_else(Problem::wrong_outcome)?, app.now());
    body["record_id"] = record.into();
    Ok(json_answer(StatusCode::CREATED, &body))
}

/// `DELETE /v1/consent/grants/{id}`
pub(super) async fn revoke(
    State(app): State<App>,
    session: Session,
    path: Result<Path<String>, PathRejection>,
    uri: Uri,
) -> Response {
    answer(take_back(&app, &session, path, &uri).await)
}

async fn take_back(
    app: &App,
    session: &Session,
    path: Result<Path<String>, PathRejection>,
    uri: &Uri,
) -> Result<Response, Problem> {
    let mut params = Params::new(uri);
    let reason = params.reason()?;
    params.finish()?;
    let grant_id = path_text(path)?;
    let command = || Command::TakeBackGrant(TakeBack { grant_id: grant_id.clone(), reason: reason.clone() });
    let committed = session.control(app, |s| s.check(Resource::Invite), command).await?;
    let record = record_id(&committed, consent::THREAD);
    let Outcome::GrantRevoked { already } = committed.outcome else { return Err(Problem::wrong_outcome()) };
    let mut body =
        json!({ "status": if already { "already_revoked" } else { "revoked" }, "grant_id": grant_id });
    if let Some(record) = record {
        body["record_id"] = record.into();
    }
    Ok(json_answer(StatusCode::OK, &body))
}
