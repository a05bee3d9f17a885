//! What is open to everybody who has a link: looking at an invite, and redeeming it.

use std::{sync::Arc, time::Duration};

use axum::{
    extract::{Path, Request, State, rejection::PathRejection},
    http::{Extensions, HeaderMap, StatusCode, Uri},
    response::Response,
};
use serde_json::{Value, json};
use spl_kernel::{
    identity::decode_exactly,
    refusal::{Code, Refusal},
};
use spl_projections::{
    Command,
    consent::{Access, Resource as Consented},
    decision::Outcome,
    did::Document,
    invites::{Body, Invite, Redeem, Resolved, State as InviteState, host_to_ask, opens},
    policies::Resource,
};

use super::shape;
use crate::{
    access::peer_of,
    app::{App, Instance},
    body::{OPEN_BODY_BYTES_MAX, read_json_with_params},
    client::client_of,
    env,
    page::{Params, json as json_answer},
    problem::Problem,
    rate::Rate,
    routes::{
        accounts::{record_id, reveal},
        answer,
        records::path_text,
        table::INVITES,
    },
    session::Session,
};

/// A wall clock that is further behind the last commit than this says nothing of when something was signed, in
/// milliseconds.
const CLOCK_BEHIND_MAX_MS: u64 = 60_000;

/// How often an open route may be called, by invite and by client.
#[derive(Debug)]
pub(crate) struct InviteRates {
    of_invite: Rate<Arc<str>>,
    of_client: Rate<crate::client::Client>,
}

impl Default for InviteRates {
    fn default() -> Self {
        Self { of_invite: Rate::a_minute(300), of_client: Rate::a_minute(600) }
    }
}

fn not_found() -> Problem {
    Refusal::new(Code::InviteNotFound, "there is no such invite")
        .hint("open the whole link, with everything after the question mark")
        .into()
}

fn limited(wait: Duration) -> Problem {
    Problem::rate_limited("too many requests for this invite, or from here").retry_after(wait)
}

/// Counts a request against its client.
fn count_client(
    session: &Session,
    headers: &HeaderMap,
    extensions: &Extensions,
    rates: &InviteRates,
) -> Result<(), Problem> {
    let Some(peer) = peer_of(extensions) else { return Ok(()) };
    let trusted = &session.world.config.trusted_proxies.value;
    rates.of_client.take(client_of(peer.0.ip(), headers, trusted)).map_err(limited)
}

/// The invite that a request is about, counted against its rate. What does not exist has none: nobody fills the
/// memory of rates with names of nothing. Nor is counted who sends nothing that could be the link's signature: who
/// knows but the name of an invite does not keep others from it for free.
fn counted<'a>(
    session: &'a Session,
    rates: &InviteRates,
    path: Result<Path<String>, PathRejection>,
    sig: Option<&str>,
) -> Result<&'a Arc<Invite>, Problem> {
    let invite = path_text(path).ok().and_then(|id| session.world.invites.get(&id)).ok_or_else(not_found)?;
    if sig.is_some_and(|sig| decode_exactly::<64>(sig).is_some()) {
        rates.of_invite.take(invite.id.clone()).map_err(limited)?;
    }
    Ok(invite)
}

/// The link's signature: without it there is no such invite.
fn check_link(app: &Instance, invite: &Invite, sig: Option<&str>) -> Result<(), Problem> {
    if opens(&app.key.public(), invite, sig.ok_or_else(not_found)?) {
        return Ok(());
    }
    Err(Problem::invalid_query("`sig` is not the signature of this invite's link")
        .hint("open the link as it was sent; nothing in it may be changed"))
}

/// `GET /v1/invites/{id}`
pub(in crate::routes) async fn preview(
    State(app): State<App>,
    session: Session,
    path: Result<Path<String>, PathRejection>,
    request: Request,
) -> Response {
    answer(show(&app, &session, path, &request))
}

fn show(
    app: &Instance,
    session: &Session,
    path: Result<Path<String>, PathRejection>,
    request: &Request,
) -> Result<Response, Problem> {
    count_client(session, request.headers(), request.extensions(), &app.preview_rates)?;
    let sig = sig_of(request.uri())?;
    let invite = counted(session, &app.preview_rates, path, sig.as_deref())?;
    if sig.is_some() || !may_look_without(session) {
        check_link(app, invite, sig.as_deref())?;
    }
    let state = invite.state(session.now);
    let body = json!({
        "object": "invite_preview",
        "invite_id": &*invite.id,
        "state": state.as_str(),
        "revoked": state == InviteState::Revoked,
        "expired": session.now >= invite.expires_at,
        "expires_at": invite.expires_at.to_string(),
        "uses_remaining": invite.uses_remaining(),
        "accept_holder_types": invite.accepts.names(),
        "scopes": invite.scopes.names(),
        "scope_target": shape::shown(&invite.target),
        "device_label": invite.device_label,
        "bearer_ttl_seconds": invite.bearer_ttl_seconds,
        "issuer_did": invite.issuer_did,
        "issuer_key": app.key.public().base64url(),
        "issuer_url": invite.public_url,
    });
    Ok(json_answer(StatusCode::OK, &body))
}

fn sig_of(uri: &Uri) -> Result<Option<String>, Problem> {
    let mut params = Params::new(uri);
    let sig = params.one("sig")?;
    params.finish()?;
    Ok(sig)
}

/// An operator sees all of it in the list anyway.
fn may_look_without(session: &Session) -> bool {
    let Ok(caller) = session.pass(INVITES) else { return false };
    let ruled = session.world.policy(&caller, session.now);
    session.world.consents(&caller, Consented::Invites, Access::Read, session.now)
        && ruled.is_none_or(|policy| policy.check(Resource::Invite).is_ok())
}

/// `POST /v1/invites/{id}/redeem`
pub(in crate::routes) async fn redeem(
    State(app): State<App>,
    session: Session,
    path: Result<Path<String>, PathRejection>,
    request: Request,
) -> Response {
    answer(accept(&app, &session, path, request).await)
}

async fn accept(
    app: &App,
    session: &Session,
    path: Result<Path<String>, PathRejection>,
    request: Request,
) -> Result<Response, Problem> {
    count_client(session, request.headers(), request.extensions(), &app.redeem_rates)?;
    let in_query = sig_of(request.uri())?;
    let received = read_json_with_params(app, request, OPEN_BODY_BYTES_MAX).await?;
    let body = Body::parse(&received.bytes)?;
    let sig = match (in_query, body.sig) {
        (Some(query), Some(body)) if query != body => {
            return Err(Problem::invalid_query("`sig` is in the query and in the body, and they differ"));
        }
        (query, body) => query.or(body),
    };
    let invite = counted(session, &app.redeem_rates, path, sig.as_deref())?;
    check_link(app, invite, sig.as_deref())?;
    let mut redeem = Redeem {
        invite_id: invite.id.to_string(),
        holder: body.holder,
        public_url: app.public_url(&session.world).to_owned(),
        clock_is_behind: app.log.head().committed_at.0.saturating_sub(env::now().0) > CLOCK_BEHIND_MAX_MS,
        resolved: None,
    };
    redeem.resolved = resolve(app, session, &redeem).await;
    let command = || Command::RedeemInvite(Box::new(redeem.clone()));
    let committed = session.control(app, |_| Ok(()), command).await?;
    let record = record_id(&committed, spl_projections::invites::THREAD);
    match committed.outcome {
        Outcome::Redeemed { invite_id, actor_did, issued } => {
            let mut body = json!({
                "object": "redemption",
                "invite_id": invite_id,
                "token_id": issued.token_id.to_string(),
                "actor_did": actor_did,
                "service_account_id": issued.service_account_id,
                "scopes": issued.scopes.names(),
                "expires_at": issued.expires_at.map(|at| at.to_string()),
                "instance_did": app.did,
                "url": redeem.public_url,
                "record_id": record.map_or(Value::Null, Value::from),
            });
            reveal(&mut body, "bearer", &issued);
            Ok(json_answer(StatusCode::OK, &body))
        }
        Outcome::RedeemRefused { invite_id, refusal, uncounted } => {
            if let Some(reason) = uncounted {
                app.activity.refused_redeem(invite_id, reason);
            }
            Err(refusal.into())
        }
        _ => Err(Problem::wrong_outcome()),
    }
}

/// The keys of a `did:web` signer, where its host is to be asked and answers.
async fn resolve(app: &App, session: &Session, redeem: &Redeem) -> Option<Resolved> {
    let host = host_to_ask(&session.world, redeem, app.now())?;
    let bytes = match app.outgoing.fetch_did_document(host).await {
        Ok(bytes) => bytes,
        Err(why) => {
            tracing::info!(%why, "a did:web document could not be had");
            return None;
        }
    };
    let document = Document::parse(&bytes).filter(|document| document.id == format!("did:web:{host}"));
    if document.is_none() {
        tracing::info!(host, "what the host of a did:web serves is no document of that DID");
    }
    document.map(|document| Resolved { did: document.id, keys: document.assertion_keys })
}
