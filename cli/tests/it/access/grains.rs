//! Narrowed tokens: what lies outside their grains is absent, on every surface.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use super::kit::{ADMIN, ALICE, Caller, Node, record, refuses_with_hint};
use crate::support::wait_until;

/// Records of several namespaces on threads that are theirs, mixed and foreign; by name.
pub(crate) fn fill(admin: &Caller) -> Vec<Value> {
    let mut records = Vec::new();
    let mut put = |thread: &str, actor: &str, act: &str, body: Value| {
        let mut one = record(thread, actor, body);
        one["act"] = act.into();
        records.push(one);
    };
    let bob = "did:sync:user:bob";
    put("own", ADMIN, "INTEND", json!({ "goal": "own", "task": true, "alias": "own" }));
    put("own", bob, "DO", json!({ "kind": "test.step.one", "n": 1 }));
    put("mixed", ADMIN, "INTEND", json!({ "goal": "mixed", "task": true, "alias": "mixed" }));
    put("mixed", bob, "DO", json!({ "namespace": "team", "n": 2 }));
    put("mixed", ADMIN, "KNOW", json!({ "namespace": "team/inner", "n": 3 }));
    put("mixed", "did:sync:user:carol", "KNOW", json!({ "namespace": "teams", "n": 4 }));
    put(
        "team.task",
        bob,
        "INTEND",
        json!({ "namespace": "team", "goal": "t", "task": true, "alias": "team" }),
    );
    put("team.task", ADMIN, "DO", json!({ "namespace": "other", "topic": "task_started" }));
    put("foreign", ADMIN, "INTEND", json!({ "goal": "foreign", "task": true, "alias": "foreign" }));
    put("foreign", bob, "PUT", json!({ "kind": "test.step.one" }));
    put("foreign", bob, "PUT", json!({ "namespace": "other" }));
    let answer = admin.post("/v1/records", &json!({ "records": records })).is(201).json();
    answer["data"].as_array().expect("rows").clone()
}

/// The namespace of a record.
fn namespace(record: &Value) -> &str {
    record["body"]["namespace"].as_str().unwrap_or("default")
}

fn ids<'a>(records: impl IntoIterator<Item = &'a Value>) -> Vec<&'a str> {
    records.into_iter().map(|r| r["id"].as_str().expect("an id")).collect()
}

/// Insists that a caller sees exactly these records, whatever it asks.
#[track_caller]
pub(crate) fn sees_exactly(admin: &Caller, caller: &Caller, all: &[Value], sees: impl Fn(&Value) -> bool) {
    let visible: Vec<&Value> = all.iter().filter(|r| sees(r)).collect();
    let expected = ids(visible.iter().copied());
    // By id.
    for one in all {
        let reply = caller.get(&format!("/v1/records/{}", one["id"].as_str().expect("an id")));
        if sees(one) {
            let shown = reply.is(200).json();
            assert_eq!(shown["sequence"], one["sequence"]);
            assert!(shown.get("token_id").is_none() && shown.get("origin").is_none(), "{shown}");
        } else {
            reply.refuses(404, "RECORD_NOT_FOUND");
        }
    }
    // Export, lists by actor, act and kind, queries with their counts.
    assert_eq!(ids(&caller.exported(false)), expected);
    for filter in
        ["actor=did:sync:user:bob", "actor=did:sync:user:carol", "act=INTEND", "act=DO", "kind=test.step.one"]
    {
        let (key, value) = filter.split_once('=').expect("a filter");
        let wanted = |r: &&&Value| {
            if key == "kind" { r["body"]["kind"] == value } else { r[key] == value }
        };
        let expected = ids(visible.iter().filter(wanted).copied());
        assert_eq!(ids(&caller.rows(&format!("/v1/records?{filter}"))), expected, "{filter}");
        let descending: Vec<_> = expected.iter().rev().copied().collect();
        assert_eq!(
            ids(&caller.rows(&format!("/v1/records?{filter}&order=desc&limit=1"))),
            descending,
            "{filter}"
        );
    }
    let query = |body: Value| caller.post("/v1/records/query", &body).is(200).json();
    let answer = query(json!({ "filter": { "sequence": { "$gt": 0 } }, "explain": true }));
    assert_eq!(ids(answer["data"].as_array().expect("rows")), expected);
    assert_eq!(answer["plan"]["rows_scanned"], expected.len(), "{}", answer["plan"]);
    let answer =
        query(json!({ "filter": { "sequence": { "$gt": 0 } }, "sort": { "clock": -1 }, "explain": true }));
    let sorted: BTreeSet<_> =
        ids(answer["data"].as_array().expect("rows")).into_iter().map(str::to_owned).collect();
    assert_eq!(sorted, expected.iter().map(ToString::to_string).collect());
    assert_eq!(answer["plan"]["rows_scanned"], expected.len(), "{}", answer["plan"]);
    let answer = query(json!({ "filter": {}, "offset": 1, "limit": 2 }));
    assert_eq!(
        ids(answer["data"].as_array().expect("rows")),
        expected.iter().skip(1).take(2).copied().collect::<Vec<_>>()
    );
    sees_threads(admin, caller, all, &visible);
    sees_tasks_and_streams(caller, &visible);
}

/// The threads that a caller sees, each as what it sees of it.
#[track_caller]
fn sees_threads(admin: &Caller, caller: &Caller, all: &[Value], visible: &[&Value]) {
    let query = |body: Value| caller.post("/v1/records/query", &body).is(200).json();
    let threads: BTreeSet<&str> = all.iter().map(|r| r["thread"].as_str().expect("a thread")).collect();
    let rows = caller.rows("/v1/threads");
    let listed: BTreeSet<&str> = rows.iter().map(|t| t["id"].as_str().expect("an id")).collect();
    assert_eq!(listed, visible.iter().map(|r| r["thread"].as_str().expect("a thread")).collect());
    for thread in threads {
        let of = |records: &[&Value]| -> Vec<Value> {
            records.iter().filter(|r| r["thread"] == thread).map(|r| (*r).clone()).collect()
        };
        let mine = of(visible);
        let path = format!("/v1/threads/{thread}");
        assert_eq!(ids(&caller.rows(&format!("{path}/records"))), ids(&mine), "{thread}");
        assert_eq!(ids(&caller.rows(&format!("/v1/records?thread={thread}"))), ids(&mine), "{thread}");
        let narrow = query(json!({ "filter": {}, "thread": thread, "explain": true }));
        assert_eq!(
            (ids(narrow["data"].as_array().expect("rows")), &narrow["plan"]["rows_scanned"]),
            (ids(&mine), &json!(mine.len()))
        );
        if mine.is_empty() {
            for more in ["", "/state", "/participants"] {
                caller.get(&format!("{path}{more}")).refuses(404, "NOT_FOUND");
            }
            continue;
        }
        is_what_is_seen_of_it(admin, caller, &path, &mine);
    }
}

/// State, row and participants of a thread are those of these records.
#[track_caller]
fn is_what_is_seen_of_it(admin: &Caller, caller: &Caller, path: &str, mine: &[Value]) {
    let actors: BTreeSet<&str> = mine.iter().map(|r| r["actor"].as_str().expect("an actor")).collect();
    let last_clock = mine.iter().map(|r| r["clock"].as_u64().expect("a clock")).max();
    let state = caller.get(&format!("{path}/state")).is(200).json();
    assert_eq!(
        (&state["record_count"], &state["participants_total"]),
        (&json!(mine.len()), &json!(actors.len())),
        "{state}"
    );
    assert_eq!(state["last_clock"].as_u64(), last_clock, "{state}");
    let clocks = state["actor_clocks"].as_object().expect("clocks");
    assert_eq!(clocks.keys().map(String::as_str).collect::<BTreeSet<_>>(), actors);
    // The status is of what is visible: exactly that of a thread with these records only.
    assert_eq!(state["status"], status_of(admin, mine), "{path}: {mine:?}");
    let row = caller.get(path).is(200).json();
    assert_eq!(
        (&row["record_count"], &row["participants"], &row["status"]),
        (&json!(mine.len()), &json!(actors.len()), &state["status"])
    );
    assert_eq!(row["last_sequence"], mine.last().expect("a record")["sequence"]);
    assert_eq!(row["last_activity"], mine.last().expect("a record")["created_at"]);
    let parts = caller.rows(&format!("{path}/participants"));
    let counted: usize = parts
        .iter()
        .map(|p| usize::try_from(p["record_count"].as_u64().expect("a count")).expect("small"))
        .sum();
    assert_eq!((parts.len(), counted), (actors.len(), mine.len()), "{parts:?}");
}

/// Tasks, and streams from the log.
#[track_caller]
fn sees_tasks_and_streams(caller: &Caller, visible: &[&Value]) {
    // Tasks: those whose opening is visible.
    let rows = caller.rows("/v1/tasks");
    let own = rows.iter().filter(|t| !t["thread"].as_str().is_some_and(|name| name.starts_with("like.")));
    let tasks: Vec<_> = own.map(|t| t["alias"].clone()).collect();
    let opened: Vec<_> =
        visible.iter().filter(|r| r["body"]["task"] == true).map(|r| r["body"]["alias"].clone()).collect();
    assert_eq!(tasks, opened);
    // Streams: from the log, by thread and by filter.
    let replayed = |path: &str, count: usize| -> Vec<u64> {
        if count == 0 {
            return Vec::new();
        }
        caller.events_after(path, 0).sequences(count)
    };
    let sequences =
        |records: &[&Value]| records.iter().filter_map(|r| r["sequence"].as_u64()).collect::<Vec<_>>();
    assert_eq!(replayed("/v1/events/stream", visible.len()), sequences(visible));
    let mixed: Vec<&Value> = visible.iter().filter(|r| r["thread"] == "mixed").copied().collect();
    assert_eq!(replayed("/v1/threads/mixed/watch", mixed.len()), sequences(&mixed));
    assert_eq!(replayed("/v1/events/stream?thread=mixed&thread=nothing", mixed.len()), sequences(&mixed));
    let mut since = caller.events("/v1/events/stream?since_clock=0");
    assert_eq!(since.sequences(visible.len()), sequences(visible));
}

/// The status of a thread that has exactly these records, asked of an admin on a thread of its own.
fn status_of(admin: &Caller, records: &[Value]) -> Value {
    let thread = format!("like.{:x}", super::kit::random());
    let copies: Vec<_> = records
        .iter()
        .map(|r| {
            // In no namespace that the caller under test could see.
            let mut body = r["body"].clone();
            body.as_object_mut().expect("an object").remove("namespace");
            json!({ "thread": thread, "actor": r["actor"], "act": r["act"], "body": body, "clock": r["clock"] })
        })
        .collect();
    admin.post("/v1/records", &json!({ "records": copies })).is(201);
    admin.get(&format!("/v1/threads/{thread}/state")).is(200).json()["status"].clone()
}

#[test]
fn a_reader_of_threads_sees_them_whole_and_nothing_else() {
    let node = Node::memory();
    let admin = node.admin();
    let caller = node.as_token(&admin.narrowed(ALICE, &["thread:own:read", "thread:mixed:read"]));
    let all = fill(&admin);
    sees_exactly(&admin, &caller, &all, |r| r["thread"] == "own" || r["thread"] == "mixed");
}

#[test]
fn a_reader_of_a_namespace_sees_what_is_in_and_below_it() {
    let node = Node::memory();
    let admin = node.admin();
    let all = fill(&admin);
    let caller = node.as_token(&admin.narrowed(ALICE, &["namespace:team:read"]));
    sees_exactly(&admin, &caller, &all, |r| matches!(namespace(r), "team" | "team/inner"));
    let caller = node
        .as_token(&admin.narrowed("did:sync:user:d", &["namespace:team/inner:read", "thread:foreign:read"]));
    sees_exactly(&admin, &caller, &all, |r| namespace(r) == "team/inner" || r["thread"] == "foreign");
}

#[test]
fn a_grain_for_writing_reads_nothing_and_one_for_reading_writes_nothing() {
    let node = Node::memory();
    let admin = node.admin();
    let all = fill(&admin);
    let writer = node.as_token(&admin.narrowed(ALICE, &["thread:own:write", "namespace:team:write"]));
    sees_exactly(&admin, &writer, &all, |_| false);
    let receipt = writer.wrote(&record("own", ALICE, json!({ "n": 1 })));
    assert_eq!(receipt.as_object().expect("an object").len(), 3, "{receipt}");
    let reader =
        node.as_token(&admin.narrowed("did:sync:user:r", &["thread:own:read", "namespace:team:read"]));
    let json = refuses_with_hint(
        reader.post("/v1/records", &record("own", "did:sync:user:r", json!({}))),
        403,
        "SCOPE_FORBIDDEN",
    );
    assert_eq!(json["required_scope"], "thread:own:write");
    // Both are needed: the coarse scope, and the grain.
    let bare = admin.account(&["did:sync:user:b"], &["records:read", "thread:own:write"]);
    let reply = node.as_token(&bare).post("/v1/records", &record("own", "did:sync:user:b", json!({})));
    assert_eq!(refuses_with_hint(reply, 403, "SCOPE_FORBIDDEN")["required_scope"], "records:write");
}

#[test]
fn writes_stay_inside() {
    let node = Node::memory();
    let admin = node.admin();
    fill(&admin);
    let caller = node.as_token(&admin.narrowed(
        ALICE,
        &["thread:own:read", "thread:own:write", "namespace:team:read", "namespace:team:write"],
    ));
    let head = admin.head();
    let outside = |thread: &str, body: Value, grain: &str| {
        for reply in [
            caller.post("/v1/records", &record(thread, ALICE, body.clone())),
            caller.post(
                "/v1/records",
                &json!({ "records": [record("own", ALICE, json!({})), record(thread, ALICE, body)] }),
            ),
        ] {
            let json = refuses_with_hint(reply, 403, "SCOPE_FORBIDDEN");
            assert_eq!(json["required_scope"], grain, "{json}");
        }
    };
    outside("foreign", json!({}), "thread:foreign:write");
    outside("new", json!({}), "thread:new:write");
    outside("new", json!({ "namespace": "teams" }), "thread:new:write");
    outside("new", json!({ "namespace": "other/team" }), "thread:new:write");
    outside("owner", json!({}), "thread:owner:write");
    // Its namespace, but a thread that was opened in another.
    outside("foreign", json!({ "namespace": "team" }), "thread:foreign:write");
    outside("mixed", json!({ "namespace": "team" }), "thread:mixed:write");
    assert_eq!(admin.head(), head, "a refusal writes nothing");
    caller.wrote(&record("own", ALICE, json!({ "namespace": "anything" })));
    caller.wrote(&record("team.task", ALICE, json!({ "namespace": "team" })));
    caller.wrote(&record("team.task", ALICE, json!({ "namespace": "team/deep/er" })));
    caller.wrote(&record("team.new", ALICE, json!({ "namespace": "team" })));
    // A thread of its own making in a namespace of its own is one opened there.
    caller.wrote(&record("team.new", ALICE, json!({ "namespace": "team/x" })));
    // Routes about the whole instance, and other scopes, are not for it.
    for (method, path) in [("POST", "/v1/threads"), ("DELETE", "/v1/threads/own")] {
        caller.call(method, path, Some(b"{\"goal\":\"x\"}")).refuses(403, "SCOPE_FORBIDDEN");
    }
    for path in ["/v1/tokens", "/v1/config", "/v1/verify", "/v1/export?reserved=true"] {
        caller.get(path).refuses(403, "SCOPE_FORBIDDEN");
    }
    let health = caller.get("/v1/health").is(200).json();
    assert!(!health.to_string().contains("queue"), "{health}");
    // From elsewhere metrics take a bearer, and a narrowed one is none for them.
    let metrics = caller.header("x-forwarded-for", "192.0.2.1").get("/metrics");
    assert_eq!(metrics.status, 403, "{}", metrics.text());
}

#[test]
fn scope_lists_that_mix_too_much_are_refused() {
    let node = Node::memory();
    let admin = node.admin();
    let make = |scopes: Value| {
        admin.post("/v1/service-accounts", &json!({ "name": "x", "actors": [ALICE], "scopes": scopes }))
    };
    for scopes in [
        json!(["admin", "thread:x:read"]),
        json!(["config:read", "thread:x:read"]),
        json!(["threads:write", "records:read", "thread:x:read"]),
        json!(["federation:manage", "namespace:x:read"]),
        json!(["records:read", "thread::read"]),
        json!(["records:read", "thread:x:execute"]),
        json!(["records:read", "thread:x"]),
        json!(["records:read", "thread:th_api_tokens:read"]),
        json!(["records:read", "thread:th_engine_config:read"]),
        json!(["records:read", "thread:th_audit_x:read"]),
        json!(["records:read", "namespace::read"]),
        json!(["records:read", "thread: x:read"]),
        json!(["records:read", format!("thread:{}:read", "x".repeat(257))]),
    ] {
        let reply = make(scopes.clone());
        assert_eq!(reply.status, 400, "{scopes}: {}", reply.text());
    }
    // Split at the first and the last colon.
    let row = make(json!(["records:read", "thread:a:b:read:read"])).is(201).json();
    assert!(row["scopes"].to_string().contains("thread:a:b:read:read"), "{row}");
    // A wide account mints narrow tokens; a narrow one no wide ones, and no others.
    let wide = admin.contributor("did:sync:user:w");
    let mint = |account: &str, scopes: Value| {
        admin.post("/v1/tokens", &json!({ "service_account_id": account, "scopes": scopes }))
    };
    mint(&wide.account, json!(["records:read", "thread:x:read"])).is(201);
    let narrow = admin.narrowed("did:sync:user:n", &["thread:x:read"]);
    for scopes in [
        json!(["records:read"]),
        json!(["records:read", "thread:y:read"]),
        json!(["records:read", "thread:x:write"]),
    ] {
        mint(&narrow.account, scopes).refuses(400, "INVALID_BODY");
    }
    mint(&narrow.account, json!(["records:read", "thread:x:read"])).is(201);
}

#[test]
fn of_two_who_open_one_thread_at_once_only_one_namespace_wins() {
    let node = Node::disk();
    let admin = node.admin();
    let callers: Vec<_> = ["red", "blue"]
        .iter()
        .map(|ns| {
            let actor = format!("did:sync:user:{ns}");
            let token =
                admin.narrowed(&actor, &[&format!("namespace:{ns}:write"), &format!("namespace:{ns}:read")]);
            (node.as_token(&token), actor, *ns)
        })
        .collect();
    for round in 0..30 {
        let thread = format!("race.{round}");
        let barrier = std::sync::Barrier::new(6);
        let replies: Vec<(usize, u16)> = std::thread::scope(|scope| {
            let all: Vec<_> = (0..6)
                .map(|n| {
                    let (caller, actor, ns) = &callers[n % 2];
                    let mut one = record(&thread, actor, json!({ "namespace": ns, "n": n }));
                    one["act"] = if n < 2 { "INTEND" } else { "PUT" }.into();
                    let barrier = &barrier;
                    scope.spawn(move || {
                        barrier.wait();
                        (n % 2, caller.post("/v1/records", &one).status)
                    })
                })
                .collect();
            all.into_iter().map(|t| t.join().expect("an answer")).collect()
        });
        assert!(replies.iter().all(|(_, status)| matches!(status, 201 | 403)), "{replies:?}");
        let stored = admin.rows(&format!("/v1/records?thread={thread}"));
        let namespaces: BTreeSet<&str> = stored.iter().map(namespace).collect();
        assert_eq!(
            namespaces.len(),
            1,
            "two who may write in their own namespace only wrote on one thread: {stored:?}"
        );
        let won = usize::from(namespaces.contains("blue"));
        assert!(replies.iter().all(|(who, status)| (*who == won) == (*status == 201)), "{replies:?}");
    }
}

#[test]
fn whoever_cannot_read_an_opening_changes_no_status() {
    let node = Node::memory();
    let admin = node.admin();
    let status =
        |thread: &str| admin.get(&format!("/v1/threads/{thread}/state")).is(200).json()["status"].clone();
    let open = |thread: &str, ns: &str| {
        let mut one = record(thread, ADMIN, json!({ "namespace": ns, "goal": "x" }));
        one["act"] = "INTEND".into();
        admin.wrote(&one)["id"].clone()
    };
    let attempts = |opening: &Value, ns: &str| {
        [
            ("DO", json!({ "namespace": ns, "n": 1 })),
            ("KNOW", json!({ "namespace": ns, "n": 2 })),
            ("KNOW", json!({ "namespace": ns, "fulfills": opening })),
            ("KNOW", json!({ "namespace": ns, "verdict": "reject" })),
            ("DO", json!({ "namespace": ns, "cancels": opening })),
        ]
    };
    let write = |caller: &Caller, thread: &str, (act, body): (&str, Value)| {
        let mut one = record(thread, ALICE, body);
        one["act"] = act.into();
        caller.wrote(&one);
    };
    // By thread, without reading it.
    let blind = node.as_token(&admin.narrowed(ALICE, &["thread:t1:write"]));
    let opening = open("t1", "default");
    for attempt in attempts(&opening, "default") {
        write(&blind, "t1", attempt);
        assert_eq!(status("t1"), "open");
    }
    // Reading another part of the thread is not reading its opening.
    let beside = node.as_token(&admin.narrowed(ALICE, &["thread:t2:write", "namespace:side:read"]));
    let opening = open("t2", "main");
    for attempt in attempts(&opening, "side") {
        write(&beside, "t2", attempt);
        assert_eq!(status("t2"), "open");
    }
    // Without records:read at all.
    let mute = node.as_token(&admin.account(&[ALICE], &["records:write"]));
    let opening = open("t3", "default");
    for attempt in attempts(&opening, "default") {
        write(&mute, "t3", attempt);
        assert_eq!(status("t3"), "open");
    }
    // Who reads it does.
    let seeing = node.as_token(&admin.narrowed(ALICE, &["thread:t4:read", "thread:t4:write"]));
    let opening = open("t4", "default");
    let [act, observe, fulfil, ..] = attempts(&opening, "default");
    write(&seeing, "t4", act);
    assert_eq!(status("t4"), "active");
    write(&seeing, "t4", observe);
    assert_eq!(status("t4"), "observed");
    write(&seeing, "t4", fulfil);
    assert_eq!(status("t4"), "closed");
    let inside = node.as_token(&admin.narrowed(ALICE, &["namespace:ns:read", "namespace:ns:write"]));
    let opening = open("t5", "ns");
    let [.., cancel] = attempts(&opening, "ns");
    write(&inside, "t5", cancel);
    assert_eq!(status("t5"), "cancelled");
}

#[test]
fn whoever_writes_into_a_thread_it_opens_is_counted_for_its_status() {
    let node = Node::memory();
    let admin = node.admin();
    let status =
        |thread: &str| admin.get(&format!("/v1/threads/{thread}/state")).is(200).json()["status"].clone();
    let caller = node.as_token(&admin.narrowed(ALICE, &["namespace:ns:read", "namespace:ns:write"]));
    let make = |thread: &str, act: &str| {
        let mut one = record(thread, ALICE, json!({ "namespace": "ns" }));
        one["act"] = act.into();
        one
    };
    caller.wrote(&make("n1", "INTEND"));
    assert_eq!(status("n1"), "open");
    caller.wrote(&make("n1", "DO"));
    assert_eq!(status("n1"), "active");
    caller.post("/v1/records", &json!({ "records": [make("n2", "INTEND"), make("n2", "DO")] })).is(201);
    assert_eq!(status("n2"), "active");
    // Read by others of the same reach, and by nobody else.
    wait_until("it is listed", || (caller.rows("/v1/threads").len() == 2).then_some(()));
    let other = node.as_token(&admin.narrowed("did:sync:user:o", &["namespace:else:read"]));
    assert_eq!(other.rows("/v1/threads"), [] as [Value; 0]);
}

#[test]
fn a_thread_that_somebody_else_opens_meanwhile_keeps_the_status_of_its_opening() {
    let node = Node::disk();
    let admin = node.admin();
    let grains = ["namespace:side:read"];
    for round in 0..60 {
        let thread = format!("meanwhile.{round}");
        let write = format!("thread:{thread}:write");
        let blind = node.as_token(&admin.narrowed(ALICE, &[grains[0], &write]));
        let make = |actor: &str, act: &str, ns: &str| json!({ "thread": thread, "actor": actor, "act": act, "body": { "namespace": ns } });
        // Large, so that it takes its time on the way to the writer.
        let mut records = vec![make(ALICE, "INTEND", "side"), make(ALICE, "DO", "side")];
        records[1]["body"]["text"] = "x".repeat(50_000).into();
        let barrier = std::sync::Barrier::new(3);
        std::thread::scope(|scope| {
            scope.spawn(|| {
                barrier.wait();
                blind.post("/v1/records", &json!({ "records": records })).is(201);
            });
            scope.spawn(|| {
                barrier.wait();
                admin.wrote(&make(ADMIN, "INTEND", "main"));
            });
            // Something before both in the same group.
            scope.spawn(|| {
                barrier.wait();
                admin.wrote(&record("before", ADMIN, json!({ "round": round })));
            });
        });
        let stored = admin.rows(&format!("/v1/records?thread={thread}"));
        let opening = stored.iter().find(|r| r["act"] == "INTEND").expect("an opening");
        let status = admin.get(&format!("/v1/threads/{thread}/state")).is(200).json()["status"].clone();
        // Where the other opened it, what the blind one did counts for nothing; where the blind one did, the
        // other stated its intent after that.
        assert_eq!(status, "open", "opened in {}, round {round}", namespace(opening));
    }
}
