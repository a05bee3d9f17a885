//! What the instance keeps to itself is absent on every route, to whoever asks without a credential.

use serde_json::{Value, json};

use super::{
    client::{Ask, Connection, encode},
    documented::operations,
    reserved_writes::THREADS,
    server::{Server, record},
};

/// The identity's record, and an instance with a few others.
fn filled() -> (Server, Value) {
    let server = Server::start();
    server.instance.sample_thread();
    let identity = server.exported(true)[0].clone();
    assert_eq!(identity["body"]["kind"], "core.identity.created.v1");
    (server, identity)
}

/// Insists that nothing of the record is in there.
#[track_caller]
fn absent(identity: &Value, text: &str, asked: &str) {
    let id = identity["id"].as_str().expect("an id");
    for secret in
        [id, "core.identity.created", "th_identity", "did:sync:system:engine", "public_key_multibase"]
    {
        // What was asked for may be named in a refusal.
        assert!(asked.contains(secret) || !text.contains(secret), "{asked} shows {secret}: {text}");
    }
    assert!(!text.contains("public_key_multibase") && !text.contains("\"core.identity"), "{asked}: {text}");
}

/// The beginning of a stream: all that is stored, and the heartbeat behind it.
fn stream(server: &Server, target: &str, last: Option<&str>) -> String {
    let mut ask = Ask::get(target);
    if let Some(last) = last {
        ask = ask.header("last-event-id", last);
    }
    let mut connection = Connection::open(server.port).expect("a connection");
    connection.send(&ask.bytes(server.port)).expect("sent");
    let mut text = String::new();
    while !text.contains("mark-1") {
        let bytes = connection.take(1).expect("more of the stream");
        text.push_str(&String::from_utf8_lossy(&bytes));
    }
    text
}

#[test]
fn no_documented_route_shows_a_reserved_record() {
    let (server, identity) = filled();
    let id = identity["id"].as_str().expect("an id").to_owned();
    let values = ["th_identity", &id, "core.identity.created.v1", "did:sync:system:engine", "PUT", "0", "1"];
    for operation in operations().into_iter().filter(|o| o.method == "GET") {
        if operation.path.ends_with("/watch") || operation.path.ends_with("/stream") {
            continue;
        }
        let described = operation.path.starts_with("/docs") || operation.path == "/openapi.json";
        for value in values {
            let path = operation.path_with(value);
            let parameters = operation.parameters();
            let names = parameters.iter().filter(|(name, place)| place == "query" && name != "cursor");
            let queries: Vec<String> = names.map(|(name, _)| format!("{name}={}", encode(value))).collect();
            let targets = std::iter::once(path.clone()).chain(queries.iter().map(|q| format!("{path}?{q}")));
            for target in targets {
                let answer = server.get(&target);
                if !described && answer.status == 200 {
                    absent(&identity, &answer.text(), &target);
                }
                if answer.status == 200 && operation.path.contains("{id}") {
                    // The only lists that exist for any name are empty.
                    assert_eq!(answer.rows().len(), 0, "{target}");
                }
            }
        }
    }
}

#[test]
fn reserved_threads_answer_as_if_they_were_not() {
    let (server, _) = filled();
    let without_name = |text: String, name: &str| text.replace(name, "NAME");
    for suffix in ["", "/state", "/participants", "/records"] {
        let none = server.get(&format!("/v1/threads/none{suffix}"));
        for thread in THREADS {
            let hidden = server.get(&format!("/v1/threads/{}{suffix}", encode(thread)));
            assert_eq!(hidden.status, none.status, "{thread}{suffix}");
            assert_eq!(without_name(hidden.text(), thread), without_name(none.text(), "none"));
        }
    }
    for thread in THREADS {
        let listed = server.get(&format!("/v1/records?thread={}", encode(thread))).is(200).json();
        assert_eq!(listed, server.get("/v1/records?thread=none").json());
        let plan = |thread: &str| {
            server.query(&json!({ "thread": thread, "explain": true, "sort": { "clock": 1 } }))
        };
        assert_eq!(plan(thread), plan("none"));
    }
    let ask = |actor: &str| server.get(&format!("/v1/records?actor={actor}")).is(200).json();
    assert_eq!(ask("did:sync:system:engine"), ask("did:sync:system:nobody"));
}

#[test]
fn no_query_shows_or_counts_a_reserved_record() {
    let (server, identity) = filled();
    let id = &identity["id"];
    let filters = [
        json!({}),
        json!({ "id": id }),
        json!({ "thread": "th_identity" }),
        json!({ "actor": "did:sync:system:engine" }),
        json!({ "sequence": 1 }),
        json!({ "sequence": { "$lte": 1 } }),
        json!({ "body.kind": "core.identity.created.v1" }),
        json!({ "$or": [{ "thread": "th_identity" }, { "id": id }, { "sequence": 1 }] }),
        json!({ "$not": { "thread": "x" } }),
        json!({ "$not": { "$not": { "id": id } } }),
        json!({ "thread": { "$like": "th\\_i%" } }),
        json!({ "thread": { "$ilike": "TH_IDENT%" } }),
        json!({ "thread": { "$in": ["th_identity"] } }),
        json!({ "body.did": { "$exists": true } }),
        json!({ "body.did": server.did }),
        json!({ "thread": { "$gte": "th_i", "$lt": "th_j" } }),
    ];
    let sorts = [
        json!({ "sequence": 1 }),
        json!({ "sequence": -1 }),
        json!({ "body.kind": 1 }),
        json!({ "thread": -1 }),
    ];
    let visible = server.exported(false).len() as u64;
    for filter in filters {
        for sort in &sorts {
            let select = json!(["id", "thread", "body.kind", "body.did"]);
            let mut query = json!({ "filter": filter, "sort": sort, "explain": true });
            let whole = server.query(&query);
            query["select"] = select;
            let selected = server.query(&query);
            let rows = |answer: &Value| answer["data"].as_array().expect("rows").len();
            assert_eq!(rows(&whole), rows(&selected));
            for answer in [&whole, &selected] {
                absent(&identity, &answer.to_string(), "");
                assert!(answer["plan"]["rows_scanned"].as_u64() <= Some(visible), "{answer}");
            }
        }
    }
    let counted = |filter: Value| {
        server.query(&json!({ "filter": filter, "explain": true }))["plan"]["rows_scanned"].clone()
    };
    assert_eq!(counted(json!({})), visible);
    for hidden in
        [json!({ "id": id }), json!({ "thread": "th_identity" }), json!({ "sequence": { "$lt": 2 } })]
    {
        assert_eq!(counted(hidden), 0);
    }
}

#[test]
fn no_offset_skips_a_reserved_record() {
    let (server, _) = filled();
    let all = server.exported(false);
    for (offset, record) in all.iter().enumerate() {
        let page = server.query(&json!({ "offset": offset, "limit": 1 }));
        assert_eq!(page["data"][0]["id"], record["id"]);
    }
    assert_eq!(server.get("/health").json()["records"], all.len());
    let ids: Vec<Value> = server.get("/v1/threads").rows().iter().map(|r| r["id"].clone()).collect();
    assert_eq!(ids, [all[0]["thread"].clone()]);
}

#[test]
fn no_stream_carries_a_reserved_record() {
    let (server, identity) = filled();
    let targets = [
        ("/v1/events/stream", Some("0")),
        ("/v1/events/stream?since_clock=0", None),
        ("/v1/events/stream?thread=th_identity&thread=mark", Some("0")),
        ("/v1/events/stream?act=PUT", Some("0")),
    ];
    server.wrote(&record("mark", json!({ "text": "mark-1" })));
    for (target, last) in targets {
        let text = stream(&server, target, last);
        assert!(text.contains("mark-1"));
        for secret in
            [identity["id"].as_str().expect("an id"), "core.identity", "th_identity", "system:engine"]
        {
            assert!(!text.contains(secret), "{target}: {text}");
        }
    }
}
