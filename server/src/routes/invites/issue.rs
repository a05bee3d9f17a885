use axum::{
    extract::{Request, State},
    http::StatusCode,
    response::Response,
};
use spl_projections::{
    Command,
    consent::{Access, Resource as Consented},
    decision::Outcome,
    invites::Issue,
    policies::Resource,
};

use super::{
    row::{Seen, row},
    shape,
};
use crate::{
    app::App,
    body::{BODY_BYTES_MAX, read_json_within},
    page::json as json_answer,
    problem::Problem,
    routes::{answer, fields::Fields},
    session::Session,
};

/// `POST /v1/invites`
pub(in crate::routes) async fn issue(State(app): State<App>, session: Session, request: Request) -> Response {
    answer(make(&app, &session, request).await)
}

async fn make(app: &App, session: &Session, request: Request) -> Result<Response, Problem> {
    session.consented(Consented::Invites, Access::Write)?;
    let received = read_json_within(app, request, BODY_BYTES_MAX).await?;
    let mut fields = Fields::parse_optional(&received.bytes)?;
    let shape = shape::take(&mut fields)?;
    let template_id = fields.text("template_id")?;
    fields.finish()?;
    let command = || {
        Command::IssueInvite(Issue {
            shape: shape.clone(),
            template_id: template_id.clone(),
            public_url: app.public_url(&app.published.world()).to_owned(),
        })
    };
    let committed = session.control(app, |s| s.check(Resource::Invite), command).await?;
    let Outcome::Invite { invite_id, warnings } = committed.outcome else {
        return Err(Problem::wrong_outcome());
    };
    let world = app.published.world();
    let invite = world.invites.get(&invite_id).ok_or_else(Problem::wrong_outcome)?;
    let mut body = row(app, &world, invite, Seen { now: app.now(), with_link: true });
    body["warnings"] = warnings.into();
    Ok(json_answer(StatusCode::CREATED, &body))
}
