//! Tokens: minting, listing, revoking, and the renewal that a token does by itself.

use axum::{
    extract::{Path, Request, State, rejection::PathRejection},
    http::{StatusCode, Uri},
    response::Response,
};
use serde_json::{Value, json};
use spl_kernel::{
    json::{Bounds, Json},
    limits,
    log::Range,
    record::StoredRecord,
    time::UnixMillis,
};
use spl_projections::{
    Command, World,
    decision::Outcome,
    policies::Resource,
    scope::Scopes,
    tokens::{self, EnvTag, Mint, Renew, Revoke, State as TokenState, TokenId},
};

use super::{
    accounts::{record_id, reveal},
    answer,
    fields::Fields,
    records::{SCAN_SECONDS_MAX, path_text},
    scanning,
};
use crate::{
    app::{App, Instance},
    body::{BODY_BYTES_MAX, read_json_within},
    env,
    page::{Page, Params, QueryHash, json as json_answer},
    problem::Problem,
    session::Session,
};

/// Records of tokens read at once.
const CHUNK: usize = 256;

fn not_found() -> Problem {
    Problem::new(StatusCode::NOT_FOUND, "TOKEN_NOT_FOUND", "there is no such token")
        .hint("`spl token list` shows all of them, with their accounts")
}

/// `GET /v1/tokens`
pub(super) async fn list(State(app): State<App>, session: Session, uri: Uri) -> Response {
    let scanned = app.clone();
    answer(scanning(&app, move || list_tokens(&scanned, &session, &uri)).await)
}

/// Walks the records that made tokens, in log order, and joins each with what became of its token.
fn list_tokens(app: &Instance, session: &Session, uri: &Uri) -> Result<Response, Problem> {
    let mut params = Params::new(uri);
    let of_account = params.one("service_account_id")?;
    let (limit, cursor) = (params.limit()?, params.one("cursor")?);
    params.finish()?;
    let hash = QueryHash::of(&["tokens", of_account.as_deref().unwrap_or("")]);
    let mut after = cursor.map(|c| hash.position(&c)).transpose()?.unwrap_or(0);
    let mut page = Page::new(&app.answer_budget, limit)?;
    let started = env::monotonic();
    loop {
        let found = app.log.index().thread(tokens::THREAD, Range::after(after, CHUNK))?;
        if found.is_empty() {
            return Ok(page.finish(None, ""));
        }
        let too_long = env::monotonic().duration_since(started).as_secs() >= SCAN_SECONDS_MAX;
        if too_long {
            return Ok(page.finish(Some(hash.cursor(after)), ""));
        }
        for stored in app.log.reader()?.records(&found)? {
            if let Some(row) = row(app, &session.world, &stored, session.now)
                && of_account.as_deref().is_none_or(|id| row["service_account_id"] == id)
            {
                if !page.has_room() {
                    return Ok(page.finish(Some(hash.cursor(after)), ""));
                }
                page.push(&row.to_string())?;
            }
            after = stored.sequence;
        }
    }
}

/// A token as lists show it; `None` for other records of the thread.
fn row(app: &Instance, world: &World, stored: &StoredRecord, now: UnixMillis) -> Option<Value> {
    let bounds = Bounds { levels: limits::BODY_LEVELS_MAX, values: limits::BODY_VALUES_MAX };
    let body = Json::parse(stored.record.body.as_bytes(), bounds).ok()?;
    let body = body.as_object().filter(|b| b.str("kind") == Some(tokens::KIND))?;
    let id = TokenId::parse(body.str("token_id")?)?;
    let entry = world.tokens.get(&id)?;
    let account = world.accounts.by_number(entry.account)?;
    let env_tag = body.str("env_tag")?;
    let status = if entry.state != TokenState::Live || !account.is_alive() {
        "revoked"
    } else if entry.is_live(now) {
        "active"
    } else {
        "expired"
    };
    let used = world.tokens.last_used(entry.number).max(app.activity.last_used(entry.number));
    Some(json!({
        "object": "token",
        "token_id": id.to_string(),
        "service_account_id": &*account.id,
        "masked": format!("spl_{env_tag}_{}_****", account.id),
        "scopes": entry.scopes().names(),
        "origin": body.str("origin"),
        "created_at": body.str("created_at"),
        "expires_at": body.str("expires_at"),
        "last_used_at": used.map(|at| at.to_string()),
        "status": status,
    }))
}

/// `POST /v1/tokens`
pub(super) async fn create(State(app): State<App>, session: Session, request: Request) -> Response {
    answer(mint(&app, &session, request).await)
}

async fn mint(app: &App, session: &Session, request: Request) -> Result<Response, Problem> {
    let received = read_json_within(app, request, BODY_BYTES_MAX).await?;
    let mut fields = Fields::parse(&received.bytes)?;
    let service_account_id = fields.required_text("service_account_id")?;
    let scopes = fields.texts("scopes")?;
    let scopes = scopes.map(|s| Scopes::parse(s.iter().map(String::as_str))).transpose()?;
    let env_tag = fields.text("env_tag")?.map(|t| EnvTag::parse(&t)).transpose()?;
    let expires_in_seconds = fields.number("expires_in_seconds")?;
    fields.finish()?;
    let command = move || {
        Command::MintToken(Mint {
            service_account_id: service_account_id.clone(),
            scopes: scopes.clone(),
            env_tag,
            expires_in_seconds,
        })
    };
    let committed = session.control(app, |s| s.check(Resource::Token), command).await?;
    let record = record_id(&committed, tokens::THREAD);
    let Outcome::Token { issued, .. } = committed.outcome else { return Err(Problem::wrong_outcome()) };
    let mut body = json!({
        "object": "token",
        "token_id": issued.token_id.to_string(),
        "service_account_id": issued.service_account_id,
        "scopes": issued.scopes.names(),
        "created_at": issued.created_at.to_string(),
        "expires_at": issued.expires_at.map(|at| at.to_string()),
        "record_id": record,
    });
    reveal(&mut body, "api_key", &issued);
    Ok(json_answer(StatusCode::CREATED, &body))
}

/// `DELETE /v1/tokens/{token_id}`
pub(super) async fn revoke(
    State(app): State<App>,
    session: Session,
    path: Result<Path<String>, PathRejection>,
    uri: Uri,
) -> Response {
    answer(end(&app, &session, path, &uri).await)
}

async fn end(
    app: &App,
    session: &Session,
    path: Result<Path<String>, PathRejection>,
    uri: &Uri,
) -> Result<Response, Problem> {
    let mut params = Params::new(uri);
    let (service_account_id, reason) = (params.one("service_account_id")?, params.reason()?);
    params.finish()?;
    let token_id = TokenId::parse(&path_text(path)?).ok_or_else(not_found)?;
    let command = move || {
        let (service_account_id, reason) = (service_account_id.clone(), reason.clone());
        Command::RevokeToken(Revoke { token_id, service_account_id, reason })
    };
    let committed = session.control(app, |s| s.check(Resource::Token), command).await?;
    let record = record_id(&committed, tokens::THREAD);
    let Outcome::TokensRevoked { already, revoked } = committed.outcome else {
        return Err(Problem::wrong_outcome());
    };
    let mut body = json!({
        "status": if already { "already_revoked" } else { "revoked" },
        "token_id": token_id.to_string(),
        "revoked": revoked.iter().map(ToString::to_string).collect::<Vec<_>>(),
    });
    if let Some(record) = record {
        body["record_id"] = record.into();
    }
    Ok(json_answer(StatusCode::OK, &body))
}

/// `POST /v1/tokens/{token_id}/rotate`
pub(super) async fn rotate(
    State(app): State<App>,
    session: Session,
    path: Result<Path<String>, PathRejection>,
    request: Request,
) -> Response {
    answer(renew(&app, &session, path, request).await)
}

async fn renew(
    app: &App,
    session: &Session,
    path: Result<Path<String>, PathRejection>,
    request: Request,
) -> Result<Response, Problem> {
    let not_self = || Problem::rotate_not_self();
    let token_id = TokenId::parse(&path_text(path)?).ok_or_else(not_self)?;
    let bearer = session.caller.bearer.as_ref().filter(|b| b.token_id == token_id).ok_or_else(not_self)?;
    app.renewals.take(bearer.account.number).map_err(|wait| {
        Problem::rate_limited("the tokens of this account renew themselves too often")
            .retry_after(wait)
            .hint("a token is renewed when it is about to expire, or was shown to somebody")
    })?;
    let received = read_json_within(app, request, BODY_BYTES_MAX).await?;
    let mut fields = Fields::parse_optional(&received.bytes)?;
    let parse = |text: String| {
        TokenId::parse(&text)
            .ok_or_else(|| Problem::invalid_body("`new_token_id` is 64 lowercase hex digits"))
    };
    let new_token_id = fields.text("new_token_id")?.map(parse).transpose()?;
    fields.finish()?;
    let actor = session.caller.own_actor().or(session.caller.actor()).map(str::to_owned);
    let command = move || Command::RenewToken(Renew { token_id, new_token_id });
    let committed = session.control(app, |s| s.check(Resource::Token), command).await?;
    let record = record_id(&committed, tokens::THREAD);
    let Outcome::Token { issued, .. } = committed.outcome else { return Err(Problem::wrong_outcome()) };
    let mut body = json!({
        "object": "token",
        "token_id": issued.token_id.to_string(),
        "expires_at": issued.expires_at.map(|at| at.to_string()),
        "scopes": issued.scopes.names(),
        "actor_did": actor,
        "record_id": record,
    });
    reveal(&mut body, "bearer", &issued);
    Ok(json_answer(StatusCode::OK, &body))
}
