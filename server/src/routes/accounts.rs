//! Service accounts: the first one, and all others.

use std::collections::HashMap;

use axum::{
    extract::{Path, Request, State, rejection::PathRejection},
    http::{StatusCode, Uri},
    response::Response,
};
use serde_json::{Value, json};
use spl_kernel::time::UnixMillis;
use spl_projections::{
    Command, World,
    accounts::{self, Account, Bootstrap, ChosenToken, Create, Update},
    decision::{Issued, Outcome},
    policies::Resource,
    scope::{Scope, Scopes},
    tokens::{EnvTag, TokenId},
};

use super::{answer, blocking, fields::Fields, records::path_text};
use crate::{
    app::{App, Instance},
    body::{BODY_BYTES_MAX, OPEN_BODY_BYTES_MAX, read_json_within},
    page::{Page, Params, QueryHash, json as json_answer},
    problem::Problem,
    session::Session,
    writer::Committed,
};

type PathText = Result<Path<String>, PathRejection>;

/// The record of a commit on a thread, by id.
pub(super) fn record_id(committed: &Committed, thread: &str) -> Option<String> {
    committed.on(thread).map(|stored| stored.record.id.to_string())
}

/// An account as answers show it; never a token.
fn row(
    app: &Instance,
    world: &World,
    account: &Account,
    now: UnixMillis,
    thefts: &HashMap<String, UnixMillis>,
) -> Value {
    let tokens = &world.tokens;
    let used = tokens
        .of_account(account.number)
        .filter_map(|(_, entry)| tokens.last_used(entry.number).max(app.activity.last_used(entry.number)))
        .max();
    let live = if account.is_alive() { tokens.live_of_account(account.number, now).count() } else { 0 };
    let mut row = json!({
        "object": "service_account",
        "id": &*account.id,
        "name": account.display_name,
        "did": account.did(),
        "actors": account.actors.iter().map(|a| &**a).collect::<Vec<_>>(),
        "scopes": account.scopes.names(),
        "namespace": account.namespace,
        "env_tag": account.env_tag.as_str(),
        "active": account.is_alive(),
        "revoked": !account.is_alive(),
        "origin": account.origin.as_str(),
        "created_at": account.created_at.to_string(),
        "revoked_at": account.revoked_at.map(|at| at.to_string()),
        "tokens": live,
        "last_used_at": used.map(|at| at.to_string()),
    });
    if let Some(at) = thefts.get(&*account.id) {
        row["rotated_token_presented_at"] = at.to_string().into();
    }
    row
}

/// `GET /v1/service-accounts`
pub(super) async fn list(State(app): State<App>, session: Session, uri: Uri) -> Response {
    let read = move || {
        let mut params = Params::new(&uri);
        let (limit, cursor) = (params.limit()?, params.one("cursor")?);
        params.finish()?;
        let hash = QueryHash::of(&["service-accounts"]);
        let from = cursor.map(|c| hash.position(&c)).transpose()?.unwrap_or(0);
        let thefts = app.thefts.by_account(&app)?;
        let mut page = Page::new(&app.answer_budget, limit)?;
        let skip = usize::try_from(from).unwrap_or(usize::MAX);
        for account in session.world.accounts.iter().skip(skip) {
            if !page.has_room() {
                return Ok(page.finish(Some(hash.cursor(account.number.into())), ""));
            }
            page.push(&row(&app, &session.world, account, session.now, &thefts).to_string())?;
        }
        Ok(page.finish(None, ""))
    };
    answer(blocking(read).await)
}

/// `GET /v1/service-accounts/{id}`
pub(super) async fn get(State(app): State<App>, session: Session, path: PathText, uri: Uri) -> Response {
    let read = move || {
        Params::new(&uri).finish()?;
        let account = session.world.accounts.get(&path_text(path)?).ok_or_else(not_found)?;
        let thefts = app.thefts.by_account(&app)?;
        Ok(json_answer(StatusCode::OK, &row(&app, &session.world, account, session.now, &thefts)))
    };
    answer(blocking(read).await)
}

fn not_found() -> Problem {
    Problem::new(StatusCode::NOT_FOUND, "SERVICE_ACCOUNT_NOT_FOUND", "there is no such service account")
        .hint("`spl service-account list` shows all of them")
}

/// `POST /v1/bootstrap/service-account`
pub(super) async fn bootstrap(State(app): State<App>, session: Session, request: Request) -> Response {
    answer(make_first(&app, &session, request).await)
}

async fn make_first(app: &App, session: &Session, request: Request) -> Result<Response, Problem> {
    // Who may is asked before what: a stranger learns nothing of what would have been taken.
    if !session.caller.local_proof {
        return Err(Problem::bootstrap_local_only());
    }
    let received = read_json_within(app, request, OPEN_BODY_BYTES_MAX).await?;
    let mut fields = Fields::parse(&received.bytes)?;
    let display_name = fields.required_text("display_name")?;
    let actors = fields.texts("actors")?.unwrap_or_default();
    let scopes = fields.texts("scopes")?;
    let scopes = scopes.map(|s| Scopes::parse(s.iter().map(String::as_str))).transpose()?;
    let namespace = fields.text("namespace")?;
    let env_tag = fields.text("env_tag")?.map(|t| EnvTag::parse(&t)).transpose()?;
    let service_account_id = fields.text("service_account_id")?;
    let token = with_token(&mut fields)?;
    fields.finish()?;
    let command = move || {
        Command::Bootstrap(Bootstrap {
            display_name: display_name.clone(),
            actors: actors.clone(),
            scopes: scopes.clone().unwrap_or_else(|| Scopes::of(&[Scope::Admin])),
            namespace: namespace.clone().unwrap_or_else(|| accounts::NAMESPACE.to_owned()),
            env_tag: env_tag.unwrap_or_default(),
            service_account_id: service_account_id.clone(),
            token: match token {
                None => ChosenToken::None,
                Some(None) => ChosenToken::Drawn,
                Some(Some(id)) => ChosenToken::Id(id),
            },
            insecure: app.insecure,
        })
    };
    let committed = session.control(app, |s| s.check(Resource::ServiceAccount), command).await?;
    let (account, token) = (record_id(&committed, accounts::THREAD), token_record(&committed));
    let Outcome::Account { service_account_id, token: Some(issued) } = committed.outcome else {
        return Err(Problem::wrong_outcome());
    };
    let mut body = json!({
        "object": "bootstrap_result",
        "service_account_id": service_account_id,
        "sa_record_id": account,
        "namespace": accounts::NAMESPACE,
        "token_id": issued.token_id.to_string(),
        "token_record_id": token,
    });
    reveal(&mut body, "api_key", &issued);
    Ok(json_answer(StatusCode::CREATED, &body))
}

fn token_record(committed: &Committed) -> Option<String> {
    record_id(committed, spl_projections::tokens::THREAD)
}

/// Puts a token's text into the one answer that shows it.
pub(super) fn reveal(body: &mut Value, key: &str, issued: &Issued) {
    if let Some(text) = &issued.text {
        body[key] = text.reveal().into();
    }
}

/// `with_token`: a boolean, or an object, perhaps with the id of a token that the client made.
#[expect(clippy::option_option, reason = "no token, one that is drawn, one that the client made")]
fn with_token(fields: &mut Fields) -> Result<Option<Option<TokenId>>, Problem> {
    match fields.take("with_token") {
        None | Some(Value::Bool(false)) => Ok(None),
        Some(Value::Bool(true)) => Ok(Some(None)),
        Some(Value::Object(members)) => {
            let mut inner = Fields::within("with_token", members);
            let id = inner.text("token_id")?;
            inner.finish()?;
            let parse = |text: String| {
                TokenId::parse(&text)
                    .ok_or_else(|| Problem::invalid_body("`with_token.token_id` is 64 lowercase hex digits"))
            };
            Ok(Some(id.map(parse).transpose()?))
        }
        Some(_) => Err(Problem::invalid_body("`with_token` is true, false or an object")),
    }
}

/// `POST /v1/service-accounts`
pub(super) async fn create(State(app): State<App>, session: Session, request: Request) -> Response {
    answer(make(&app, &session, request).await)
}

async fn make(app: &App, session: &Session, request: Request) -> Result<Response, Problem> {
    let received = read_json_within(app, request, BODY_BYTES_MAX).await?;
    let mut fields = Fields::parse(&received.bytes)?;
    let name = fields.required_text("name")?;
    let scopes = fields.texts("scopes")?;
    let scopes = scopes.map(|s| Scopes::parse(s.iter().map(String::as_str))).transpose()?;
    let actors = fields.texts("actors")?.unwrap_or_default();
    let namespace = fields.text("namespace")?;
    let env_tag = fields.text("env_tag")?.map(|t| EnvTag::parse(&t)).transpose()?;
    let with_token = fields.boolean("with_token")?.unwrap_or(false);
    let expires_in_seconds = fields.number("expires_in_seconds")?;
    fields.finish()?;
    let command = move || {
        let default = Create::default();
        Command::CreateAccount(Create {
            name: name.clone(),
            scopes: scopes.clone().unwrap_or(default.scopes),
            actors: actors.clone(),
            namespace: namespace.clone().unwrap_or(default.namespace),
            env_tag: env_tag.unwrap_or_default(),
            with_token,
            expires_in_seconds,
        })
    };
    let committed = session.control(app, |s| s.check(Resource::ServiceAccount), command).await?;
    let record = record_id(&committed, accounts::THREAD);
    let token_record = token_record(&committed);
    let Outcome::Account { service_account_id, token } = committed.outcome else {
        return Err(Problem::wrong_outcome());
    };
    let mut body = fresh_row(app, &service_account_id).await?;
    body["record_id"] = record.into();
    if let Some(issued) = &token {
        body["token_id"] = issued.token_id.to_string().into();
        body["token_record_id"] = token_record.into();
        body["expires_at"] = issued.expires_at.map(|at| at.to_string()).into();
        reveal(&mut body, "api_key", issued);
    }
    Ok(json_answer(StatusCode::CREATED, &body))
}

/// The row of an account as it is after a command.
async fn fresh_row(app: &App, id: &str) -> Result<Value, Problem> {
    let (app, id) = (app.clone(), id.to_owned());
    blocking(move || {
        let world = app.published.world_arc();
        let account = world.accounts.get(&id).ok_or_else(Problem::wrong_outcome)?;
        let thefts = app.thefts.by_account(&app)?;
        Ok(row(&app, &world, account, app.now(), &thefts))
    })
    .await
}

/// `PATCH /v1/service-accounts/{id}`
pub(super) async fn update(
    State(app): State<App>,
    session: Session,
    path: PathText,
    request: Request,
) -> Response {
    answer(change(&app, &session, path, request).await)
}

async fn change(app: &App, session: &Session, path: PathText, request: Request) -> Result<Response, Problem> {
    let received = read_json_within(app, request, BODY_BYTES_MAX).await?;
    let id = path_text(path)?;
    let mut fields = Fields::parse(&received.bytes)?;
    let name = fields.text("name")?;
    let scopes = fields.texts("scopes")?;
    let scopes = scopes.map(|s| Scopes::parse(s.iter().map(String::as_str))).transpose()?;
    let actors = fields.texts("actors")?;
    fields.finish()?;
    if name.is_none() && scopes.is_none() && actors.is_none() {
        return Err(Problem::invalid_body("nothing to change").hint("send name, scopes or actors"));
    }
    let service_account_id = id.clone();
    let command = move || {
        Command::UpdateAccount(Update {
            service_account_id: service_account_id.clone(),
            name: name.clone(),
            scopes: scopes.clone(),
            actors: actors.clone(),
        })
    };
    let committed = session.control(app, |s| s.check(Resource::ServiceAccount), command).await?;
    let record = record_id(&committed, accounts::THREAD);
    let Outcome::Updated { tokens_still_wider } = committed.outcome else {
        return Err(Problem::wrong_outcome());
    };
    let mut body = fresh_row(app, &id).await?;
    let wider: Vec<String> = tokens_still_wider.iter().map(ToString::to_string).collect();
    if !wider.is_empty() {
        body["hint"] = format!(
            "tokens minted earlier keep the scopes they had; spl token rotate {id} ends them and mints one that fits"
        )
        .into();
    }
    body["tokens_still_wider"] = wider.into();
    body["record_id"] = record.into();
    Ok(json_answer(StatusCode::OK, &body))
}

/// `DELETE /v1/service-accounts/{id}`
pub(super) async fn revoke(State(app): State<App>, session: Session, path: PathText, uri: Uri) -> Response {
    answer(end(&app, &session, path, &uri).await)
}

async fn end(app: &App, session: &Session, path: PathText, uri: &Uri) -> Result<Response, Problem> {
    let mut params = Params::new(uri);
    let reason = params.reason()?;
    params.finish()?;
    let id = path_text(path)?;
    let command = || Command::RevokeAccount { service_account_id: id.clone(), reason: reason.clone() };
    let committed = session.control(app, |s| s.check(Resource::ServiceAccount), command).await?;
    let record = record_id(&committed, accounts::THREAD);
    let Outcome::AccountRevoked { already, tokens_revoked } = committed.outcome else {
        return Err(Problem::wrong_outcome());
    };
    let mut body = json!({
        "status": if already { "already_revoked" } else { "revoked" },
        "id": id,
        "tokens_revoked": tokens_revoked,
    });
    if let Some(record) = record {
        body["record_id"] = record.into();
    }
    Ok(json_answer(StatusCode::OK, &body))
}

/// `POST /v1/service-accounts/{id}/rotate-key`
pub(super) async fn rotate_key(
    State(app): State<App>,
    session: Session,
    path: PathText,
    request: Request,
) -> Response {
    answer(rotate(&app, &session, path, request).await)
}

async fn rotate(app: &App, session: &Session, path: PathText, request: Request) -> Result<Response, Problem> {
    let received = read_json_within(app, request, BODY_BYTES_MAX).await?;
    Fields::parse_optional(&received.bytes)?.finish()?;
    let id = path_text(path)?;
    let command = || Command::RotateKey { service_account_id: id.clone() };
    let committed = session.control(app, |s| s.check(Resource::Token), command).await?;
    let record = token_record(&committed);
    let Outcome::Token { issued, revoked } = committed.outcome else { return Err(Problem::wrong_outcome()) };
    let mut body = json!({
        "id": id,
        "token_id": issued.token_id.to_string(),
        "scopes": issued.scopes.names(),
        "expires_at": issued.expires_at.map(|at| at.to_string()),
        "revoked": revoked.iter().map(ToString::to_string).collect::<Vec<_>>(),
        "record_id": record,
    });
    reveal(&mut body, "api_key", &issued);
    Ok(json_answer(StatusCode::OK, &body))
}
