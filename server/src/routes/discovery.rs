//! What an instance says of itself.

use axum::{
    extract::State,
    http::{StatusCode, Uri},
    response::Response,
};
use serde::Serialize;
use serde_json::{Value, json};

use spl_kernel::{canonical::canonical, json::Json};
use spl_projections::{
    did, manifest,
    scope::{PRESET_DEFAULT, PRESETS},
};

use super::answer;
use crate::{
    app::{App, Instance, Mode},
    page::{Params, json as json_answer},
    session::Session,
};

/// Longest document of the instance's own, in bytes.
const ANSWER_BYTES_MAX: usize = 64 * 1024;

fn capabilities_of(app: &Instance) -> Value {
    json!({
        "object": "capabilities_manifest",
        "manifest_version": "1",
        "daemon": { "name": "spl", "version": env!("CARGO_PKG_VERSION"), "api_version": "v1" },
        "auth": { "required": matches!(app.mode(&app.published.world()), Mode::Bootstrap | Mode::Secure) },
        "did_methods": ["did:sync", "did:key", "did:web"],
        "record": {
            "algebra_version": "v1",
            "hashed_fields": ["parents", "thread", "actor", "act", "body", "clock", "data_type"],
        },
        "store_backends": ["redb", "memory"],
        "transports": ["http/1.1", "h2c", "sse"],
        "capabilities": {
            "records": true, "threads": true, "tasks": true, "streams": true, "query": true, "export": true,
            "invites": true, "federation_pairs": true, "consent": true, "audit": true,
            "sync": false, "relay": false, "discovery": false,
        },
    })
}

/// `GET /v1/capabilities`
pub(super) async fn capabilities(State(app): State<App>, uri: Uri) -> Response {
    answer(Params::new(&uri).finish().map(|()| json_answer(StatusCode::OK, &capabilities_of(&app))))
}

/// `GET /.well-known/syncropel`
pub(super) async fn well_known(State(app): State<App>, uri: Uri) -> Response {
    answer(Params::new(&uri).finish().map(|()| {
        let world = app.published.world();
        let url = app.public_url(&world);
        let signed = manifest::signed(&app.key, &app.did, url, env!("CARGO_PKG_VERSION"), app.now());
        json_answer(
            StatusCode::OK,
            &json!({
                "instance_did": app.did,
                "url": url,
                "capabilities_manifest": capabilities_of(&app),
                "federation_manifest": shown(&signed),
            }),
        )
    }))
}

/// `GET /.well-known/did.json`
pub(super) async fn did_document(State(app): State<App>, uri: Uri) -> Response {
    answer(Params::new(&uri).finish().map(|()| {
        let world = app.published.world();
        let url = app.public_url(&world);
        json_answer(StatusCode::OK, &shown(&did::document(&app.did, &app.key.public(), url)))
    }))
}

/// JSON of the pure crates as an answer holds it.
fn shown(json: &Json) -> Value {
    let text = canonical(json, ANSWER_BYTES_MAX).unwrap_or_default();
    serde_json::from_str(&text).unwrap_or(Value::Null)
}

/// `GET /v1/scope_presets`: the scope lists that invites and pages offer by name.
pub(super) async fn scope_presets(uri: Uri) -> Response {
    answer(Params::new(&uri).finish().map(|()| {
        let presets = PRESETS.map(|(name, scopes)| {
            let scopes: Vec<&str> = scopes.iter().map(|s| s.as_str()).collect();
            let default = name == PRESET_DEFAULT;
            json!({ "object": "scope_preset", "name": name, "scopes": scopes, "default": default })
        });
        json_answer(StatusCode::OK, &json!({ "object": "list", "data": presets, "next_cursor": null }))
    }))
}

/// Whom a request comes from, as it is shown to it.
#[derive(Clone, Copy, Serialize)]
struct CallerShown<'a> {
    actor: Option<&'a str>,
    display_name: Option<&'a str>,
    scopes: &'a [String],
    service_account_id: Option<&'a str>,
    expires_at: Option<&'a str>,
    is_authenticated: bool,
}

/// The instance and who asks it: the members of the caller twice, beside each other and by themselves.
#[derive(Serialize)]
struct IdentityShown<'a> {
    object: &'static str,
    did: &'a str,
    method: &'static str,
    public_key: &'a str,
    public_key_multibase: &'a str,
    key_fingerprint: &'a str,
    url: &'a str,
    did_document_url: String,
    #[serde(flatten)]
    own: CallerShown<'a>,
    caller: CallerShown<'a>,
}

/// `GET /v1/identity`
pub(super) async fn identity(State(app): State<App>, session: Session, uri: Uri) -> Response {
    let result = Params::new(&uri).finish().map(|()| {
        let (key, url) = (&app.key_shown, app.public_url(&session.world));
        let bearer = session.caller.bearer.as_ref();
        let scopes = session.caller.scope_names();
        let expires_at = bearer.and_then(|b| b.expires_at).map(|at| at.to_string());
        let caller = CallerShown {
            actor: session.caller.actor(),
            display_name: bearer.map(|b| b.account.display_name.as_str()),
            scopes: &scopes,
            service_account_id: bearer.map(|b| &*b.account.id),
            expires_at: expires_at.as_deref(),
            is_authenticated: bearer.is_some(),
        };
        json_answer(
            StatusCode::OK,
            &IdentityShown {
                object: "identity",
                did: &app.did,
                method: "key",
                public_key: &key.base64url,
                public_key_multibase: &key.multibase,
                key_fingerprint: &key.fingerprint,
                url,
                did_document_url: format!("{url}/.well-known/did.json"),
                own: caller,
                caller,
            },
        )
    });
    answer(result)
}
