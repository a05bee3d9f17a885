//! Who a request says it comes from: one credential, one actor, and operators by proof before anything else.

use serde_json::json;

use super::{
    client::Ask,
    server::{Server, record},
};

const BEARER: &str = "authorization";
const KEY: &str = "x-api-key";
const ACTOR: &str = "x-syncropel-actor";

fn with(headers: &[(&str, &str)]) -> Ask {
    headers.iter().fold(Ask::get("/v1/threads"), |ask, (name, value)| ask.header(name, value))
}

#[test]
fn a_request_carries_one_credential() {
    let server = Server::start();
    let refused: [&[(&str, &str)]; 4] = [
        &[(BEARER, "Bearer a"), (KEY, "b")],
        &[(BEARER, "Bearer a"), (BEARER, "Bearer a")],
        &[(KEY, "a"), (KEY, "a")],
        &[(BEARER, "Basic a"), (KEY, "a")],
    ];
    for headers in refused {
        server.refuses(&with(headers), 401, "AUTH_INVALID");
    }
    let taken: [&[(&str, &str)]; 4] =
        [&[], &[(BEARER, "Bearer a")], &[(KEY, "a")], &[(BEARER, "bearer a"), (KEY, "a")]];
    for headers in taken {
        server.send(&with(headers)).is(200);
    }
}

#[test]
fn a_request_carries_one_actor_on_every_route() {
    let server = Server::start();
    for path in ["/v1/threads", "/v1/records?thread=t", "/v1/tasks", "/v1/identity", "/v1/export"] {
        let two = Ask::get(path).header(ACTOR, "did:sync:user:a").header(ACTOR, "did:sync:user:b");
        server.refuses(&two, 400, "INVALID_BODY");
        server.refuses(&Ask::get(path).header(ACTOR, "alice"), 400, "INVALID_BODY");
        server.send(&Ask::get(path).header(ACTOR, "did:sync:user:a")).is(200);
    }
}

#[test]
fn operators_are_asked_for_proof_before_their_parameters_count() {
    let server = Server::start();
    server.refuses(&Ask::get("/v1/export?reserved=true&nonsense=1"), 401, "AUTH_REQUIRED");
    server.refuses(&Ask::get("/v1/verify?nonsense=1"), 401, "AUTH_REQUIRED");
}

#[test]
fn metrics_are_open_only_while_nobody_else_is_meant_to_come() {
    Server::start().get("/metrics").is(200);
    let public = Server::start_with(&["--insecure-localhost", "--public-url", "https://spl.example.org"]);
    public.refuses(&Ask::get("/metrics"), 401, "AUTH_REQUIRED");
    let local = Server::start_with(&["--insecure-localhost", "--public-url", "http://localhost:8080"]);
    local.get("/metrics").is(200);
}

#[test]
fn records_without_the_sorted_value_come_last_in_either_direction() {
    let server = Server::start();
    server.wrote_all(&[
        record("s", json!({})),
        record("s", json!({ "x": 1 })),
        record("s", json!({ "x": 2 })),
        record("s", json!({ "x": "b" })),
    ]);
    let sorted = |direction: i64| {
        let query = json!({ "thread": "s", "sort": { "body.x": direction }, "select": ["body.x"] });
        let rows = server.query(&query)["data"].as_array().expect("rows").clone();
        rows.iter().map(|r| r.get("body.x").cloned().unwrap_or_default()).collect::<Vec<_>>()
    };
    assert_eq!(sorted(1), [json!(1), json!(2), json!("b"), json!(null)]);
    assert_eq!(sorted(-1), [json!("b"), json!(2), json!(1), json!(null)]);
}
