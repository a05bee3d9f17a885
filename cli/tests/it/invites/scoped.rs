//! Invites for a thread or a namespace: whoever redeems one reaches that, on every surface, and nothing else.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use super::kit::{Asks as _, Caller, Desk, Token, key};
use crate::{
    access::{
        grains::{fill, sees_exactly},
        kit::{record, refuses_with_hint},
    },
    http::{client::encode, documented::operations},
};

/// A guest of a scoped invite, and who it is.
fn guest(desk: &Desk, target: &Value) -> (Caller, String, Token) {
    let link = desk.issue(&json!({ "scope_target": target }));
    let answer = link.redeem(&desk.node.anyone(), &key()).is(200).json();
    let token = Token::of(&answer);
    (desk.node.as_token(&token), answer["actor_did"].as_str().expect("a DID").to_owned(), token)
}

fn thread(id: &str) -> Value {
    json!({ "kind": "thread", "thread_id": id })
}

fn namespace(name: &str) -> Value {
    json!({ "kind": "namespace", "namespace": name })
}

fn is_in_team(record: &Value) -> bool {
    matches!(record["body"]["namespace"].as_str(), Some("team" | "team/inner"))
}

#[test]
fn a_guest_of_a_thread_sees_it_and_nothing_else() {
    let desk = Desk::memory();
    let all = fill(&desk.admin);
    let (caller, ..) = guest(&desk, &thread("own"));
    sees_exactly(&desk.admin, &caller, &all, |r| r["thread"] == "own");
}

#[test]
fn a_guest_of_a_namespace_sees_what_is_in_and_below_it() {
    let desk = Desk::memory();
    let all = fill(&desk.admin);
    let (caller, ..) = guest(&desk, &namespace("team"));
    sees_exactly(&desk.admin, &caller, &all, is_in_team);
    // It stays so for the token that follows.
    let (caller, _, token) = guest(&desk, &namespace("team/inner"));
    let at = format!("/v1/tokens/{}/rotate", token.id);
    let renewed = Token::of(&caller.sends(&at, &json!({})).is(200).json());
    let copied: Vec<Value> = all.clone();
    let caller = desk.node.as_token(&renewed);
    let shown: Vec<Value> = caller.exported(false).iter().map(|r| r["id"].clone()).collect();
    let inner = |r: &&Value| r["body"]["namespace"] == "team/inner";
    assert_eq!(shown, copied.iter().filter(inner).map(|r| r["id"].clone()).collect::<Vec<_>>());
}

#[test]
fn guests_write_where_they_were_invited_to() {
    let desk = Desk::memory();
    fill(&desk.admin);
    let head = |_: ()| desk.admin.head();
    let (caller, me, _) = guest(&desk, &thread("own"));
    let before = head(());
    for (name, body) in [
        ("foreign", json!({})),
        ("new", json!({})),
        ("owner", json!({})),
        ("team.task", json!({ "namespace": "team" })),
    ] {
        let refused = refuses_with_hint(
            caller.post("/v1/records", &record(name, &me, body.clone())),
            403,
            "SCOPE_FORBIDDEN",
        );
        assert_eq!(refused["required_scope"], format!("thread:{name}:write"));
        let both = json!({ "records": [record("own", &me, json!({})), record(name, &me, body)] });
        caller.post("/v1/records", &both).refuses(403, "SCOPE_FORBIDDEN");
    }
    assert_eq!(head(()), before, "a refusal writes nothing");
    caller.wrote(&record("own", &me, json!({ "n": 1 })));
    let (caller, me, _) = guest(&desk, &namespace("team"));
    let before = head(());
    for (name, body) in [
        ("own", json!({})),
        ("new", json!({})),
        ("new", json!({ "namespace": "teams" })),
        ("foreign", json!({ "namespace": "team" })),
        ("mixed", json!({ "namespace": "team" })),
    ] {
        refuses_with_hint(caller.post("/v1/records", &record(name, &me, body)), 403, "SCOPE_FORBIDDEN");
    }
    assert_eq!(head(()), before, "a refusal writes nothing");
    caller.wrote(&record("team.task", &me, json!({ "namespace": "team" })));
    caller.wrote(&record("team.new", &me, json!({ "namespace": "team/deep" })));
    let read_only = desk.issue(&json!({ "scopes": ["records:read"], "scope_target": thread("own") }));
    let answer = read_only.redeem(&desk.node.anyone(), &key()).is(200).json();
    let (reader, me) =
        (desk.node.as_token(&Token::of(&answer)), answer["actor_did"].as_str().expect("a DID"));
    reader.get("/v1/threads/own").is(200);
    refuses_with_hint(reader.post("/v1/records", &record("own", me, json!({}))), 403, "SCOPE_FORBIDDEN");
}

/// What would give hidden records away: their ids, and the names of threads of which nothing is visible.
fn words(hidden: &[&Value], hides_thread: impl Fn(&str) -> bool) -> BTreeSet<String> {
    let text = |value: &Value| value.as_str().expect("a text").to_owned();
    let ids = hidden.iter().map(|record| text(&record["id"]));
    let threads = hidden.iter().map(|record| text(&record["thread"])).filter(|name| hides_thread(name));
    ids.chain(threads.map(|name| format!("\"{name}\""))).collect()
}

/// Asks every documented route with every value that could lead to what is hidden.
fn no_route_shows(desk: &Desk, caller: &Caller, own: &Token, all: &[Value], sees: impl Fn(&Value) -> bool) {
    let hidden: Vec<&Value> = all.iter().filter(|r| !sees(r)).collect();
    let hides_thread = |name: &str| !all.iter().any(|r| r["thread"] == name && sees(r));
    let secrets = words(&hidden, hides_thread);
    let mut values: BTreeSet<String> =
        ["foreign", "own", "mixed", "team.task", "default", "did:sync:user:bob", "INTEND", "0", "1"]
            .map(str::to_owned)
            .into();
    values.extend(hidden.iter().map(|r| r["id"].as_str().expect("an id").to_owned()));
    let head = desk.admin.head();
    let mut reached = 0;
    for operation in operations() {
        let streams = operation.path.ends_with("/watch") || operation.path.ends_with("/stream");
        let described = operation.path.starts_with("/docs") || operation.path == "/openapi.json";
        if streams || described {
            continue;
        }
        let parameters = operation.parameters();
        let queries: Vec<&str> = parameters
            .iter()
            .filter(|(n, at)| at == "query" && n != "cursor")
            .map(|(n, _)| n.as_str())
            .collect();
        for value in &values {
            let path = operation.path_with(&encode(value));
            let targets = queries.iter().map(|name| format!("{path}?{name}={}", encode(value)));
            for target in std::iter::once(path.clone()).chain(targets) {
                for body in bodies(&operation.method, value) {
                    let reply = caller.call(
                        &operation.method,
                        &target,
                        body.as_ref().map(|b| b.to_string().into_bytes()).as_deref(),
                    );
                    let text = reply.text();
                    let asked = format!("{target} {body:?}");
                    for secret in &secrets {
                        let plain = secret.trim_matches('"');
                        let named = asked.contains(plain) || asked.contains(&encode(plain));
                        assert!(
                            named || !text.contains(secret.as_str()),
                            "{} {asked} shows {secret}: {text}",
                            operation.method
                        );
                    }
                    if reply.status == 200 && operation.path.contains("/threads/{id}") && hides_thread(value)
                    {
                        assert_eq!(reply.json()["data"], json!([]), "{target}: {text}");
                    }
                    reached += usize::from(reply.status < 400);
                    // No operator's route is for it; what it may read is read-only.
                    let reads = operation.method == "GET" || operation.path == "/v1/records/query";
                    assert!(reads || reply.status >= 400, "{} {asked}: {text}", operation.method);
                    let scope = operation.value["x-scope"].as_str().unwrap_or_default().to_owned();
                    if !matches!(scope.as_str(), "open" | "any bearer" | "records:read" | "records:write") {
                        assert_eq!(reply.status, 403, "{} {asked}: {text}", operation.method);
                        assert_eq!(reply.json()["code"], "SCOPE_FORBIDDEN", "{asked}");
                    }
                }
            }
        }
    }
    assert!(reached > 100, "nothing was asked");
    assert_eq!(desk.admin.head(), head, "nothing was written");
    assert!(desk.lives(own));
}

/// Bodies that ask for a value in every way there is.
fn bodies(method: &str, value: &str) -> Vec<Option<Value>> {
    if method == "GET" || method == "DELETE" {
        return vec![None];
    }
    vec![
        Some(json!({})),
        Some(json!({ "filter": { "thread": value }, "explain": true })),
        Some(json!({ "filter": { "id": value }, "thread": value })),
        Some(
            json!({ "filter": { "$or": [{ "actor": value }, { "body.namespace": value }] }, "sort": { "clock": -1 } }),
        ),
        Some(json!({ "filter": { "$not": { "thread": value } }, "select": ["id", "body.alias"] })),
        Some(json!({ "goal": "x", "thread": value })),
        Some(record(value, "did:sync:user:bob", json!({}))),
    ]
}

#[test]
fn no_documented_route_shows_a_guest_of_a_thread_more() {
    let desk = Desk::memory();
    let all = fill(&desk.admin);
    let (caller, _, token) = guest(&desk, &thread("own"));
    no_route_shows(&desk, &caller, &token, &all, |r| r["thread"] == "own");
}

#[test]
fn no_documented_route_shows_a_guest_of_a_namespace_more() {
    let desk = Desk::memory();
    let all = fill(&desk.admin);
    let (caller, _, token) = guest(&desk, &namespace("team"));
    no_route_shows(&desk, &caller, &token, &all, is_in_team);
}
