//! What the instance keeps to itself is absent on every route, to everyone who may not see it: answers are those
//! about a thread that does not exist.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use super::{
    client::{Answer, Ask, Connection, encode},
    documented::operations,
    reserved_writes::THREADS,
    scene::{CONFIG, ENGINE, Looker, Scene},
    server::record,
};

/// Insists that nothing hidden is in there. What was asked for may be named in a refusal.
#[track_caller]
fn absent(looker: &Looker, secrets: &BTreeSet<String>, text: &str, asked: &str) {
    for secret in secrets {
        let shown = text.contains(secret.as_str()) && !asked.contains(&encode(secret));
        assert!(!shown, "{} asked {asked} and was shown {secret}: {text}", looker.name);
    }
}

/// Insists that all lookers on a scene see, of every documented GET, nothing that is hidden from them.
fn no_documented_route_shows(scene: &Scene) {
    for looker in &scene.lookers {
        let secrets = looker.secrets(scene);
        let hidden = looker.hidden(scene);
        let first = |kind: &str| {
            let found = hidden.iter().find(|r| r["body"]["kind"] == kind);
            found.map(|r| r["id"].as_str().expect("an id").to_owned())
        };
        let ids = ["core.identity.created.v1", "core.api_token.v1"].into_iter().filter_map(first);
        let names = [
            "th_api_tokens",
            "th_audit_tokens",
            "th_invites",
            CONFIG,
            ENGINE,
            "core.service_account.v1",
            "LEARN",
            "0",
            "1",
        ];
        let values: Vec<String> = names.map(str::to_owned).into_iter().chain(ids).collect();
        for operation in operations().into_iter().filter(|o| o.method == "GET") {
            let streams = ["/watch", "/stream"].iter().any(|end| operation.path.ends_with(end));
            let described = operation.path.starts_with("/docs") || operation.path == "/openapi.json";
            // What recovery shows of accounts and grants is not what is stored of them.
            let recovery = ["/v1/service-accounts", "/v1/tokens", "/v1/consent/grants"];
            let recovers =
                looker.name == "local proof" && recovery.iter().any(|r| operation.path.starts_with(r));
            if streams || described || recovers {
                continue;
            }
            let parameters = operation.parameters();
            let queries: Vec<&str> = parameters
                .iter()
                .filter(|(_, place)| place == "query")
                .map(|(name, _)| name.as_str())
                .collect();
            for value in &values {
                let path = operation.path_with(&encode(value));
                let all = queries
                    .iter()
                    .filter(|n| **n != "cursor")
                    .map(|n| format!("{path}?{n}={}", encode(value)));
                for target in std::iter::once(path.clone()).chain(all) {
                    let answer = scene.get(looker, &target);
                    absent(looker, &secrets, &answer.text(), &target);
                    let thread = operation.path.contains("/threads/{id}") && !(looker.sees)(value);
                    if answer.status == 200 && thread {
                        // The only lists that exist for any name are empty.
                        assert_eq!(answer.rows().len(), 0, "{} {target}", looker.name);
                    }
                }
            }
        }
    }
}

#[test]
fn no_documented_route_shows_a_reserved_record() {
    no_documented_route_shows(&Scene::open());
}

#[test]
fn no_documented_route_shows_one_where_no_layer_runs() {
    no_documented_route_shows(&Scene::insecure());
}

/// All that can be asked about a thread by its name.
fn about(scene: &Scene, looker: &Looker, thread: &str) -> Vec<(String, u16, String)> {
    let mut answers = Vec::new();
    let mut keep = |asked: String, answer: &Answer| {
        // Only a refusal may say what it was asked for.
        let text = answer.text();
        let text = if answer.status < 400 { text } else { text.replace(thread, "NAME") };
        answers.push((asked, answer.status, text));
    };
    let name = encode(thread);
    for suffix in ["", "/state", "/participants", "/records", "/records?since=0&limit=1"] {
        keep(suffix.to_owned(), &scene.get(looker, &format!("/v1/threads/{name}{suffix}")));
    }
    for more in ["", "&order=desc", "&since=0&until=9&limit=1", "&act=LEARN", "&kind=core.api_token.v1"] {
        keep(format!("list{more}"), &scene.get(looker, &format!("/v1/records?thread={name}{more}")));
    }
    let bodies = [
        json!({ "thread": thread, "explain": true }),
        json!({ "thread": thread, "explain": true, "sort": { "clock": 1 } }),
        json!({ "thread": thread, "explain": true, "sort": { "body.kind": -1 }, "select": ["id"] }),
        json!({ "filter": { "thread": thread }, "explain": true, "sort": { "sequence": -1 } }),
        json!({ "filter": { "thread": thread, "act": { "$ne": "GET" } }, "explain": true, "offset": 1 }),
        json!({ "filter": { "thread": { "$in": [thread] } }, "explain": true }),
        json!({ "filter": { "$or": [{ "thread": thread }, { "thread": "mark.none" }] }, "explain": true }),
        json!({ "filter": { "$and": [{ "thread": thread }, { "sequence": { "$gt": 0 } }] }, "explain": true }),
        json!({ "filter": { "thread": { "$ne": thread } }, "explain": true }),
        json!({ "filter": { "$not": { "thread": thread } }, "explain": true, "limit": 2 }),
        json!({ "filter": { "$not": { "$not": { "thread": thread } } }, "explain": true }),
        json!({ "filter": { "thread": { "$like": thread.replace('_', "\\_") } }, "explain": true }),
        json!({ "filter": { "thread": { "$gte": thread, "$lte": thread } }, "explain": true }),
    ];
    for body in bodies {
        let mut answer =
            scene.server.send(&looker.sends(Ask::post("/v1/records/query", body.to_string()))).is(200);
        // A cursor is bound to its query, which has the name in it.
        let mut value = answer.json();
        if !value["next_cursor"].is_null() {
            value["next_cursor"] = "some".into();
        }
        answer.body = value.to_string().into_bytes();
        let asked = body.to_string().replace(&thread.replace('_', "\\\\_"), "NAME");
        keep(asked.replace(thread, "NAME"), &answer);
    }
    for target in [format!("/v1/threads/{name}/watch"), format!("/v1/events/stream?thread={name}")] {
        for last in ["", "0"] {
            let mut ask = looker.sends(Ask::get(&target));
            if !last.is_empty() {
                ask = ask.header("last-event-id", last);
            }
            let beginning = beginning(scene, &ask);
            answers.push((target.replace(&name, "NAME"), 200, beginning));
        }
    }
    answers
}

/// The first event of a stream: of one about a thread with nothing on it, all that there is.
fn beginning(scene: &Scene, ask: &Ask) -> String {
    let mut connection = Connection::open(scene.server.port).expect("a connection");
    connection.send(&ask.bytes(scene.server.port)).expect("sent");
    let head = connection.head().expect("a head");
    assert_eq!(head.status, 200, "{}", ask.target);
    let mut text = String::new();
    while !text.contains("\n\n") {
        text.push_str(&String::from_utf8_lossy(&connection.take(1).expect("more of the stream")));
    }
    text
}

fn answer_as_if_they_were_not(scene: &Scene) {
    for looker in &scene.lookers {
        let none = about(scene, looker, "th_nothing");
        for thread in THREADS.into_iter().filter(|thread| !(looker.sees)(thread)) {
            for (hidden, absent) in about(scene, looker, thread).iter().zip(&none) {
                assert_eq!(hidden, absent, "{} {thread}", looker.name);
            }
        }
        let both = |hidden: &str, none: &str| {
            let list = |value: &str| scene.get(looker, value).is(200).json();
            assert_eq!(list(hidden), list(none), "{} {hidden}", looker.name);
        };
        if !(looker.sees)(CONFIG) {
            both(&format!("/v1/records?actor={ENGINE}"), "/v1/records?actor=did:sync:system:nobody");
            both("/v1/records?kind=core.engine_config", "/v1/records?kind=core.engine_none");
        }
        if !(looker.sees)("th_api_tokens") {
            both("/v1/records?kind=core.api_token.v1", "/v1/records?kind=core.api_none.v1");
            both("/v1/records?act=LEARN&kind=core.consent.v1", "/v1/records?act=LEARN&kind=core.none.v1");
        }
        let zeros = "0".repeat(64);
        for record in looker.hidden(scene) {
            let id = record["id"].as_str().expect("an id");
            let (hidden, none) =
                (scene.get(looker, &format!("/v1/records/{id}")), format!("/v1/records/{zeros}"));
            let none = scene.get(looker, &none);
            hidden.refuses(404, "RECORD_NOT_FOUND");
            assert_eq!(hidden.text().replace(id, "ID"), none.text().replace(&zeros, "ID"), "{}", looker.name);
        }
    }
}

#[test]
fn reserved_threads_answer_as_if_they_were_not() {
    answer_as_if_they_were_not(&Scene::open());
}

#[test]
fn reserved_threads_answer_as_if_they_were_not_where_no_layer_runs() {
    answer_as_if_they_were_not(&Scene::insecure());
}

#[test]
fn no_query_shows_or_counts_a_reserved_record() {
    let scene = Scene::open();
    let id = |kind: &str| {
        let found = scene.reserved.iter().find(|r| r["body"]["kind"] == kind);
        found.map(|r| r["id"].clone()).expect("such a record")
    };
    let (identity, token) = (id("core.identity.created.v1"), id("core.api_token.v1"));
    let filters = [
        json!({}),
        json!({ "id": identity }),
        json!({ "id": { "$in": [identity, token] } }),
        json!({ "thread": "th_identity" }),
        json!({ "actor": ENGINE }),
        json!({ "act": "PUT" }),
        json!({ "sequence": 1 }),
        json!({ "sequence": { "$lte": 9 } }),
        json!({ "body.kind": "core.identity.created.v1" }),
        json!({ "body.kind": { "$like": "core.%" } }),
        json!({ "$or": [{ "thread": "th_api_tokens" }, { "id": identity }, { "sequence": 1 }] }),
        json!({ "$not": { "thread": "x" } }),
        json!({ "$not": { "$not": { "id": token } } }),
        json!({ "$not": { "$or": [{ "thread": { "$like": "mark%" } }] } }),
        json!({ "thread": { "$like": "th\\_a%" } }),
        json!({ "thread": { "$ilike": "TH_IDENT%" } }),
        json!({ "thread": { "$in": ["th_identity", "th_consent"] } }),
        json!({ "thread": { "$nin": ["mark.narrow", "mark.other"] } }),
        json!({ "body.did": { "$exists": true } }),
        json!({ "body.did": scene.server.did }),
        json!({ "body.token_id": { "$exists": true } }),
        json!({ "body.grantee": crate::support::ADMIN }),
        json!({ "thread": { "$gte": "th_a", "$lt": "th_t" } }),
    ];
    let sorts = [
        json!({ "sequence": 1 }),
        json!({ "sequence": -1 }),
        json!({ "body.kind": 1 }),
        json!({ "thread": -1 }),
    ];
    for looker in &scene.lookers {
        let (secrets, visible) = (looker.secrets(&scene), scene.visible(looker));
        for filter in &filters {
            for sort in &sorts {
                let mut query = json!({ "filter": filter, "sort": sort, "explain": true });
                let whole = scene.query(looker, &query);
                query["select"] = json!(["id", "thread", "body.kind", "body.did"]);
                let selected = scene.query(looker, &query);
                let rows = |answer: &Value| answer["data"].as_array().expect("rows").len();
                assert_eq!(rows(&whole), rows(&selected));
                for answer in [&whole, &selected] {
                    absent(looker, &secrets, &answer.to_string(), "");
                    assert!(answer["plan"]["rows_scanned"].as_u64() <= Some(visible), "{answer}");
                }
            }
        }
        let counted = |filter: Value| {
            let answer = scene.query(looker, &json!({ "filter": filter, "explain": true }));
            answer["plan"]["rows_scanned"].as_u64().expect("a number")
        };
        assert_eq!(counted(json!({})), visible, "{}", looker.name);
        if !(looker.sees)("th_identity") {
            let below = json!({ "sequence": { "$lt": 2 } });
            for hidden in [json!({ "id": identity }), json!({ "thread": "th_identity" }), below] {
                assert_eq!(counted(hidden.clone()), 0, "{} {hidden}", looker.name);
            }
            let one = |sequence: u64| counted(json!({ "sequence": sequence }));
            assert_eq!(one(1), one(1 << 40), "{}", looker.name);
        }
    }
}

#[test]
fn where_a_record_came_from_is_for_admins() {
    let scene = Scene::open();
    let mut tokens = scene.reserved.iter().filter(|r| r["body"]["kind"] == "core.api_token.v1");
    let token = tokens.next_back().expect("a token")["body"]["token_id"].clone();
    for looker in &scene.lookers {
        let count = |filter: Value| {
            let answer = scene.query(looker, &json!({ "filter": filter, "explain": true, "limit": 1000 }));
            (answer["data"].as_array().expect("rows").len(), answer["plan"].clone())
        };
        let admin = (looker.sees)("th_identity");
        let (all, _) = count(json!({}));
        for path in ["origin", "token_id", "service_account_id"] {
            let (there, _) = count(json!({ (path): { "$exists": true } }));
            assert_eq!(there > 0, admin, "{} {path}", looker.name);
            let (not_there, _) = count(json!({ (path): { "$exists": false } }));
            assert_eq!(there + not_there, all, "{} {path}", looker.name);
            for sort in [1, -1] {
                let select = json!(["id", path]);
                let sorted = scene
                    .query(looker, &json!({ "sort": { (path): sort }, "select": select, "limit": 1000 }));
                let rows = sorted["data"].as_array().expect("rows");
                assert_eq!(rows.iter().any(|r| !r[path].is_null()), admin, "{} {path}", looker.name);
                if !admin {
                    let plain = scene.query(
                        looker,
                        &json!({ "sort": { "body.none": sort }, "select": select, "limit": 1000 }),
                    );
                    assert_eq!(rows, plain["data"].as_array().expect("rows"), "{} {path}", looker.name);
                }
            }
        }
        let (hidden, none) = (json!({ "token_id": token }), json!({ "token_id": "0".repeat(64) }));
        if !admin {
            assert_eq!(count(hidden), count(none), "{}", looker.name);
            let by_origin = |origin: &str| count(json!({ "$not": { "origin": origin } }));
            assert_eq!(by_origin("command"), by_origin("none"), "{}", looker.name);
        }
    }
}

#[test]
fn no_list_export_or_offset_has_a_gap_where_a_reserved_record_is() {
    let scene = Scene::open();
    for looker in &scene.lookers {
        let export = |query: &str| {
            let text = scene.get(looker, &format!("/v1/export{query}")).is(200).text();
            text.lines().map(|l| serde_json::from_str(l).expect("a record")).collect::<Vec<Value>>()
        };
        let ordinary = export("");
        assert_eq!(ordinary.len(), if looker.narrowed { 3 } else { 7 }, "{}", looker.name);
        assert!(ordinary.iter().all(|r| r["thread"].as_str().unwrap_or_default().starts_with("mark.")));
        let refused = scene.get(looker, "/v1/export?reserved=true");
        let code = match (looker.name, &looker.token) {
            (_, None) => (401, "AUTH_REQUIRED"),
            ("an admin without grants", _) => (403, "CONSENT_DENIED"),
            _ => (403, "SCOPE_FORBIDDEN"),
        };
        refused.refuses(code.0, code.1);
        // Queries go over everything that the looker sees, reserved or not, in one unbroken row.
        let visible = scene.visible(looker);
        let first = scene.query(looker, &json!({ "limit": 1000 }));
        let all = first["data"].as_array().expect("rows");
        assert_eq!(all.len() as u64, visible, "{}", looker.name);
        for (offset, record) in all.iter().enumerate() {
            let page = scene.query(looker, &json!({ "offset": offset, "limit": 1 }));
            assert_eq!(page["data"][0]["id"], record["id"], "{}", looker.name);
        }
        let threads = scene.get(looker, "/v1/threads").rows();
        let named = |list: &[Value], key: &str| {
            list.iter().map(|r| r[key].as_str().unwrap_or_default().to_owned()).collect::<BTreeSet<_>>()
        };
        assert_eq!(named(&threads, "id"), named(all, "thread"), "{}", looker.name);
        let counted: u64 = threads.iter().map(|t| t["record_count"].as_u64().unwrap_or_default()).sum();
        assert_eq!(counted, visible, "{}", looker.name);
        let tasks = scene.get(looker, "/v1/tasks").rows();
        assert_eq!(tasks.len(), 1, "{}: {tasks:?}", looker.name);
        assert!(tasks[0].to_string().contains(&scene.thread), "{tasks:?}");
    }
    assert_eq!(scene.server.get("/health").json()["records"], 7);
}

/// The beginning of a stream: all that is stored, and the mark behind it.
fn stream(scene: &Scene, looker: &Looker, target: &str, last: Option<&str>) -> String {
    let mut ask = looker.sends(Ask::get(target));
    if let Some(last) = last {
        ask = ask.header("last-event-id", last);
    }
    let mut connection = Connection::open(scene.server.port).expect("a connection");
    connection.send(&ask.bytes(scene.server.port)).expect("sent");
    let mut text = String::new();
    while !text.contains("mark-1") {
        let bytes = connection.take(1).expect("more of the stream");
        text.push_str(&String::from_utf8_lossy(&bytes));
    }
    text
}

#[test]
fn no_stream_carries_a_reserved_record() {
    let scene = Scene::open();
    let hidden: String = THREADS.iter().map(|t| format!("&thread={}", encode(t))).collect();
    let every = format!("/v1/events/stream?thread=mark.narrow{hidden}");
    let targets = [
        ("/v1/events/stream", Some("0")),
        ("/v1/events/stream?since_clock=0", None),
        (&every, Some("0")),
        ("/v1/events/stream?act=PUT", Some("0")),
        ("/v1/threads/mark.narrow/watch", Some("0")),
    ];
    let mut mark = record("mark.narrow", json!({ "text": "mark-1" }));
    mark["actor"] = crate::support::ADMIN.into();
    scene.server.send(&scene.server.as_admin(Ask::post("/v1/records", mark.to_string()))).is(201);
    for looker in &scene.lookers {
        let secrets = looker.secrets(&scene);
        for (target, last) in targets {
            let text = stream(&scene, looker, target, last);
            absent(looker, &secrets, &text, "");
        }
        // Who sees one gets it.
        if (looker.sees)(CONFIG) {
            assert!(stream(&scene, looker, targets[0].0, Some("0")).contains(CONFIG), "{}", looker.name);
        }
    }
}

#[test]
fn an_admin_sees_them_on_every_surface() {
    let scene = Scene::open();
    let admin = scene.lookers.last().expect("an admin");
    for record in &scene.reserved {
        let (id, thread) =
            (record["id"].as_str().expect("an id"), record["thread"].as_str().expect("a thread"));
        let shown = scene.get(admin, &format!("/v1/records/{id}")).is(200).json();
        assert_eq!((&shown["thread"], &shown["body"]), (&record["thread"], &record["body"]));
        assert!(shown["origin"].is_string(), "{shown}");
        let rows = scene.get(admin, &format!("/v1/threads/{}/records", encode(thread))).rows();
        assert!(rows.iter().any(|r| r["id"] == id), "{thread}");
        let found = scene.query(admin, &json!({ "filter": { "id": id }, "explain": true }));
        assert_eq!(
            (found["data"].as_array().map(Vec::len), &found["plan"]["rows_scanned"]),
            (Some(1), &json!(1))
        );
    }
    let reader = scene.lookers.iter().find(|l| l.name == "a reader of settings").expect("a reader");
    let rows = scene.get(reader, &format!("/v1/threads/{CONFIG}/records")).rows();
    assert_eq!(rows.len(), 3, "{rows:?}");
    // Where a record came from is for admins.
    assert!(rows.iter().all(|r| r.get("origin").is_none() && r.get("token_id").is_none()), "{rows:?}");
}
