//! What an instance says of itself.

use axum::{
    extract::State,
    http::{HeaderMap, StatusCode, Uri},
    response::Response,
};
use serde_json::{Value, json};

use super::answer;
use crate::{
    access::claimed_actor,
    app::{App, Instance, Mode},
    page::{Params, json as json_answer},
};

fn capabilities_of(app: &Instance) -> Value {
    json!({
        "object": "capabilities_manifest",
        "manifest_version": "1",
        "daemon": { "name": "spl", "version": env!("CARGO_PKG_VERSION"), "api_version": "v1" },
        "auth": { "required": app.mode == Mode::Bootstrap },
        "did_methods": ["did:sync", "did:key"],
        "record": {
            "algebra_version": "v1",
            "hashed_fields": ["parents", "thread", "actor", "act", "body", "clock", "data_type"],
        },
        "store_backends": ["redb", "memory"],
        "transports": ["http/1.1", "h2c", "sse"],
        "capabilities": {
            "records": true, "threads": true, "tasks": true, "streams": true, "query": true, "export": true,
            "sync": false, "relay": false, "discovery": false,
        },
    })
}

/// `GET /v1/capabilities`
pub(super) async fn capabilities(State(app): State<App>, uri: Uri) -> Response {
    answer(Params::new(&uri).finish().map(|()| json_answer(StatusCode::OK, &capabilities_of(&app))))
}

/// `GET /.well-known/syncropel`
pub(super) async fn manifest(State(app): State<App>, uri: Uri) -> Response {
    answer(Params::new(&uri).finish().map(|()| {
        json_answer(
            StatusCode::OK,
            &json!({ "instance_did": app.did, "url": app.public_url, "capabilities_manifest": capabilities_of(&app) }),
        )
    }))
}

/// `GET /v1/identity`
pub(super) async fn identity(State(app): State<App>, uri: Uri, headers: HeaderMap) -> Response {
    let result = Params::new(&uri).finish().and_then(|()| {
        let actor = claimed_actor(&headers)?;
        let key = app.key.public();
        Ok(json_answer(
            StatusCode::OK,
            &json!({
                "object": "identity",
                "did": app.did,
                "method": "key",
                "public_key": key.base64url(),
                "key_fingerprint": key.fingerprint(),
                "caller": {
                    "actor": actor, "display_name": null, "scopes": [], "service_account_id": null,
                    "expires_at": null, "is_authenticated": false,
                },
            }),
        ))
    });
    answer(result)
}
