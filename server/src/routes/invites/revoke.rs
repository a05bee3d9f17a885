use axum::{
    extract::{Path, Request, State, rejection::PathRejection},
    http::StatusCode,
    response::Response,
};
use serde_json::json;
use spl_projections::{
    Command,
    consent::{Access, Resource as Consented},
    decision::Outcome,
    invites::{self, BulkFilter, BulkRevoke, Revoke},
    policies::Resource,
};

use crate::{
    app::App,
    body::{BODY_BYTES_MAX, read_json_within},
    page::json as json_answer,
    problem::Problem,
    routes::{accounts::record_id, answer, fields::Fields, records::path_text},
    session::Session,
};

/// `POST /v1/invites/{id}/revoke`
pub(in crate::routes) async fn revoke(
    State(app): State<App>,
    session: Session,
    path: Result<Path<String>, PathRejection>,
    request: Request,
) -> Response {
    answer(end(&app, &session, path, request).await)
}

async fn end(
    app: &App,
    session: &Session,
    path: Result<Path<String>, PathRejection>,
    request: Request,
) -> Result<Response, Problem> {
    session.consented(Consented::Invites, Access::Write)?;
    let received = read_json_within(app, request, BODY_BYTES_MAX).await?;
    let mut fields = Fields::parse_optional(&received.bytes)?;
    let reason = fields.reason()?;
    fields.finish()?;
    let invite_id = path_text(path)?;
    let command = || Command::RevokeInvite(Revoke { invite_id: invite_id.clone(), reason: reason.clone() });
    let committed = session.control(app, |s| s.check(Resource::Invite), command).await?;
    let record = record_id(&committed, invites::THREAD);
    let Outcome::InviteRevoked { already, accounts, bearers } = committed.outcome else {
        return Err(Problem::wrong_outcome());
    };
    let mut body = json!({
        "status": if already { "already_revoked" } else { "revoked" },
        "invite_id": invite_id,
        "bearers_revoked": bearers,
        "accounts_revoked": accounts,
    });
    if let Some(record) = record {
        body["record_id"] = record.into();
    }
    Ok(json_answer(StatusCode::OK, &body))
}

/// `POST /v1/invites/bulk-revoke`
pub(in crate::routes) async fn bulk_revoke(
    State(app): State<App>,
    session: Session,
    request: Request,
) -> Response {
    answer(close(&app, &session, request).await)
}

async fn close(app: &App, session: &Session, request: Request) -> Result<Response, Problem> {
    session.consented(Consented::Invites, Access::Write)?;
    let received = read_json_within(app, request, BODY_BYTES_MAX).await?;
    let mut fields = Fields::parse(&received.bytes)?;
    let filter = BulkFilter::parse(&fields.required_text("filter")?)
        .ok_or_else(|| Problem::invalid_body("`filter` is expired or exhausted"))?;
    let reason = fields.reason()?;
    fields.finish()?;
    let command = || Command::BulkRevoke(BulkRevoke { filter, reason: reason.clone() });
    let committed = session.control(app, |s| s.check(Resource::Invite), command).await?;
    let Outcome::InvitesClosed { invite_ids, remaining } = committed.outcome else {
        return Err(Problem::wrong_outcome());
    };
    Ok(json_answer(
        StatusCode::OK,
        &json!({
            "status": "revoked",
            "revoked_count": invite_ids.len(),
            "invite_ids": invite_ids,
            "filter": filter.as_str(),
            "bearers_revoked": 0,
            "remaining": remaining,
        }),
    ))
}
