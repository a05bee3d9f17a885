//! Templates of invites: keeping, listing and removing those of the caller's actor.

use axum::{
    extract::{Path, Request, State, rejection::PathRejection},
    http::{StatusCode, Uri},
    response::Response,
};
use serde_json::{Value, json};
use spl_projections::{
    Command,
    consent::{Access, Resource as Consented},
    decision::Outcome,
    policies::Resource,
    templates::{self, Remove, Save, Template},
};

use super::{accounts::record_id, answer, fields::Fields, invites::shape, records::path_text};
use crate::{
    app::App,
    body::{BODY_BYTES_MAX, read_json_within},
    page::{Page, Params, QueryHash, json as json_answer},
    problem::Problem,
    session::Session,
};

fn row(template: &Template) -> Value {
    let kept = &template.shape;
    json!({
        "object": "invite_template",
        "template_id": &*template.id,
        "owner": template.owner,
        "label": template.label,
        "ttl_seconds": kept.ttl_seconds,
        "max_uses": kept.max_uses,
        "scopes": kept.scopes.names(),
        "scope_target": shape::shown(&kept.target),
        "accept_holder_types": kept.accepts.names(),
        "device_label": kept.device_label,
        "notes": kept.notes,
        "bearer_ttl_seconds": kept.bearer_ttl_seconds,
        "created_at": template.created_at.to_string(),
    })
}

/// `GET /v1/invite-templates`
pub(super) async fn list(State(app): State<App>, session: Session, uri: Uri) -> Response {
    let list = || {
        session.consented(Consented::InviteTemplates, Access::Read)?;
        let mut params = Params::new(&uri);
        let (limit, cursor) = (params.limit()?, params.one("cursor")?);
        params.finish()?;
        let owner = session.caller.own_actor().unwrap_or_default();
        let mut own: Vec<_> = session.world.templates.of_owner(owner).collect();
        own.sort_by_key(|t| (t.created_at, t.id.clone()));
        let hash = QueryHash::of(&["invite-templates", owner]);
        let from = cursor.map(|c| hash.position(&c)).transpose()?.unwrap_or(0);
        let skip = usize::try_from(from).unwrap_or(usize::MAX);
        let mut page = Page::new(&app.answer_budget, limit)?;
        for (at, template) in (0..).zip(own).skip(skip) {
            if !page.has_room() {
                return Ok(page.finish(Some(hash.cursor(at)), ""));
            }
            page.push(&row(template).to_string())?;
        }
        Ok(page.finish(None, ""))
    };
    answer(list())
}

/// `POST /v1/invite-templates`
pub(super) async fn save(State(app): State<App>, session: Session, request: Request) -> Response {
    answer(keep(&app, &session, request).await)
}

async fn keep(app: &App, session: &Session, request: Request) -> Result<Response, Problem> {
    session.consented(Consented::InviteTemplates, Access::Write)?;
    let received = read_json_within(app, request, BODY_BYTES_MAX).await?;
    let mut fields = Fields::parse(&received.bytes)?;
    let label = fields.required_text("label")?;
    let shape = shape::take(&mut fields)?;
    fields.finish()?;
    let command = || Command::SaveTemplate(Save { label: label.clone(), shape: shape.clone() });
    let committed = session.control(app, |s| s.check(Resource::Invite), command).await?;
    let record = record_id(&committed, templates::THREAD);
    let Outcome::Template { template_id } = committed.outcome else { return Err(Problem::wrong_outcome()) };
    let world = app.published.world();
    let mut body = row(world.templates.get(&template_id).ok_or_else(Problem::wrong_outcome)?);
    body["record_id"] = record.into();
    Ok(json_answer(StatusCode::CREATED, &body))
}

/// `DELETE /v1/invite-templates/{id}`
pub(super) async fn remove(
    State(app): State<App>,
    session: Session,
    path: Result<Path<String>, PathRejection>,
    uri: Uri,
) -> Response {
    answer(take_away(&app, &session, path, &uri).await)
}

async fn take_away(
    app: &App,
    session: &Session,
    path: Result<Path<String>, PathRejection>,
    uri: &Uri,
) -> Result<Response, Problem> {
    session.consented(Consented::InviteTemplates, Access::Write)?;
    Params::new(uri).finish()?;
    let template_id = path_text(path)?;
    let command = || Command::RemoveTemplate(Remove { template_id: template_id.clone() });
    let committed = session.control(app, |s| s.check(Resource::Invite), command).await?;
    let record = record_id(&committed, templates::THREAD);
    let Outcome::TemplateRemoved { already } = committed.outcome else {
        return Err(Problem::wrong_outcome());
    };
    let status = if already { "already_removed" } else { "removed" };
    let mut body = json!({ "status": status, "template_id": template_id });
    if let Some(record) = record {
        body["record_id"] = record.into();
    }
    Ok(json_answer(StatusCode::OK, &body))
}
