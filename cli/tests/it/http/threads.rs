//! Threads: their shapes, their status, opening and cancelling them.

use serde_json::{Value, json};

use super::{
    client::{Ask, encode},
    server::Server,
};

fn write(server: &Server, act: &str, body: Value) -> Value {
    let actor = if act == "DO" { "did:sync:user:bob" } else { "did:sync:user:alice" };
    server.wrote(&json!({ "thread": "t", "actor": actor, "act": act, "body": body }))
}

fn status(server: &Server) -> String {
    let row = server.get("/v1/threads/t").is(200).json();
    let state = server.get("/v1/threads/t/state").is(200).json();
    let list = server.get("/v1/threads").rows();
    assert_eq!(row["status"], state["status"]);
    assert_eq!(list, std::slice::from_ref(&row));
    row["status"].as_str().expect("a status").to_owned()
}

fn cancel(server: &Server, thread: &str) -> super::client::Answer {
    let ask = Ask::new("DELETE", &format!("/v1/threads/{}", encode(thread)));
    server.send(&ask.header("x-syncropel-actor", "did:sync:user:carol"))
}

#[test]
fn status_follows_the_acts() {
    let server = Server::start();
    let opening = write(&server, "INTEND", json!({ "goal": "g" }))["id"].clone();
    assert_eq!(status(&server), "open");
    for act in ["GET", "PUT", "LEARN", "MAP"] {
        write(&server, act, json!({ "fulfills": opening, "cancels": opening }));
        assert_eq!(status(&server), "open", "{act}");
    }
    write(&server, "DO", json!({}));
    assert_eq!(status(&server), "active");
    write(&server, "KNOW", json!({}));
    assert_eq!(status(&server), "observed");
    write(&server, "CALL", json!({ "cancels": opening }));
    assert_eq!(status(&server), "active");
    write(&server, "INTEND", json!({ "goal": "again" }));
    assert_eq!(status(&server), "open");
    write(&server, "KNOW", json!({ "fulfills": "0".repeat(64) }));
    assert_eq!(status(&server), "observed");
    write(&server, "DO", json!({ "cancels": [opening] }));
    assert_eq!(status(&server), "active");
    write(&server, "KNOW", json!({ "fulfills": opening }));
    assert_eq!(status(&server), "closed");
    for act in ["DO", "INTEND", "KNOW"] {
        write(&server, act, json!({ "cancels": opening, "verdict": "reject" }));
        assert_eq!(status(&server), "closed", "{act}");
    }
}

#[test]
fn cancelled_stays_cancelled() {
    for (act, with_id) in [("DO", true), ("KNOW", false)] {
        let server = Server::start();
        let opening = write(&server, "INTEND", json!({}))["id"].clone();
        let body = if with_id { json!({ "cancels": opening }) } else { json!({ "verdict": "reject" }) };
        write(&server, act, body);
        assert_eq!(status(&server), "cancelled");
        write(&server, "KNOW", json!({ "fulfills": opening }));
        write(&server, "INTEND", json!({}));
        assert_eq!(status(&server), "cancelled");
    }
}

#[test]
fn a_thread_nobody_opened_is_active() {
    let server = Server::start();
    write(&server, "KNOW", json!({}));
    assert_eq!(status(&server), "active");
    cancel(&server, "t").refuses(400, "INGEST_FAILED");
    assert_eq!(server.exported(false).len(), 1);
}

#[test]
fn shapes_of_a_thread() {
    let server = Server::start();
    let first = write(&server, "INTEND", json!({}));
    for _ in 0..3 {
        write(&server, "DO", json!({}));
    }
    let mut late =
        json!({ "thread": "t", "actor": "did:sync:user:bob", "act": "GET", "body": {}, "clock": 41 });
    let last = server.wrote(&late);
    late["actor"] = "did:sync:user:alice".into();
    late["clock"] = 7.into();
    let last_of_alice = server.wrote(&late);
    let sequence = |r: &Value| r["sequence"].clone();
    let row = server.get("/v1/threads/t").is(200).json();
    assert_eq!(
        row,
        json!({
            "object": "thread", "id": "t", "record_count": 6, "first_clock": 0, "last_clock": 41,
            "last_sequence": sequence(&last_of_alice), "last_activity": last_of_alice["created_at"],
            "participants": 2, "status": "active",
        })
    );
    let state = server.get("/v1/threads/t/state").is(200).json();
    let actors = ["did:sync:user:alice", "did:sync:user:bob"];
    assert_eq!(
        state,
        json!({
            "object": "thread_state", "thread": "t", "status": "active", "last_clock": 41,
            "actor_clocks": { (actors[0]): 7, (actors[1]): 41 }, "record_count": 6, "participants": actors,
            "participants_total": 2,
        })
    );
    let participants = server.get("/v1/threads/t/participants").is(200).rows();
    let participant = |actor, count, first, clock, last: &Value| {
        json!({
            "object": "participant", "actor": actor, "record_count": count, "first_clock": first,
            "last_clock": clock, "last_sequence": sequence(last),
        })
    };
    assert_eq!(
        participants,
        [participant(actors[0], 2, 0, 7, &last_of_alice), participant(actors[1], 4, 0, 41, &last)]
    );
    let page = server.get("/v1/threads/t/participants?limit=1").is(200).json();
    assert_eq!(page["data"], json!([participants[0]]));
    let cursor = page["next_cursor"].as_str().expect("there is more");
    let rest = server.get(&format!("/v1/threads/t/participants?limit=1&cursor={cursor}")).is(200).json();
    assert_eq!((&rest["data"], &rest["next_cursor"]), (&json!([participants[1]]), &Value::Null));
    let records = server.get("/v1/threads/t/records?since=7").is(200).rows();
    assert_eq!(records, [last, last_of_alice]);
    assert_eq!(server.get("/v1/threads/t/records?limit=1").rows(), [first]);
    for path in ["/v1/threads/none", "/v1/threads/none/state", "/v1/threads/none/participants"] {
        server.refuses(&Ask::get(path), 404, "NOT_FOUND");
    }
}

#[test]
fn names_come_through_the_path_as_they_are() {
    let server = Server::start();
    let names = [
        "music.library",
        "a/b",
        "a b",
        "a?b#c",
        "100%",
        "%2F",
        "é\u{1f3b5}",
        "..",
        ".",
        "+",
        "records",
        "a&b=c",
        "\u{200b}",
        "'\"<>",
        "state",
        "..%2f..",
    ];
    for name in names {
        let open = json!({ "goal": "g", "thread": name, "actor": "did:sync:user:a" });
        let opened = server.post("/v1/threads", &open).is(201).json();
        assert_eq!(opened["id"], name);
        let base = format!("/v1/threads/{}", encode(name));
        assert_eq!(server.get(&base).is(200).json()["id"], name);
        assert_eq!(server.get(&format!("{base}/records")).rows(), [opened["record"].clone()]);
        let listed = server.get(&format!("/v1/records?thread={}", encode(name))).rows();
        assert_eq!(listed, [opened["record"].clone()]);
        assert_eq!(cancel(&server, name).is(200).json()["status"], "cancelled");
    }
}

#[test]
fn opening_writes_an_intend() {
    let server = Server::start();
    let opened = server.send(
        &Ask::post(
            "/v1/threads",
            json!({ "goal": "g", "body": { "goal": "other", "alias": "x" } }).to_string(),
        )
        .header("x-syncropel-actor", "did:sync:user:carol"),
    );
    let opened = opened.is(201).json();
    let id = opened["id"].as_str().expect("an id");
    assert!(id.len() == 67 && id.starts_with("th_"), "{id}");
    let record = &opened["record"];
    assert_eq!(opened["object"], "thread");
    assert_eq!(opened["record_id"], record["id"]);
    assert_eq!(record["body"], json!({ "alias": "x", "goal": "g" }));
    assert_eq!((&record["act"], &record["actor"]), (&json!("INTEND"), &json!("did:sync:user:carol")));
    let named = json!({ "goal": "g", "actor": "did:sync:user:a" }).to_string();
    let both = Ask::post("/v1/threads", named).header("x-syncropel-actor", "did:sync:user:b");
    assert_eq!(server.send(&both).is(201).json()["record"]["actor"], "did:sync:user:a");
    let again = json!({ "goal": "h", "thread": id, "actor": "did:sync:user:carol" });
    assert_eq!(server.post("/v1/threads", &again).is(201).json()["record"]["clock"], 1);
}

#[test]
fn cancelling_appends_and_is_idempotent() {
    let server = Server::start();
    let opening = write(&server, "INTEND", json!({ "goal": "g" }));
    let delete = Ask::new("DELETE", "/v1/threads/t");
    server.refuses(&delete, 400, "INVALID_BODY");
    server.refuses(&delete.clone().header("x-syncropel-actor", "carol"), 400, "INVALID_BODY");
    let cancelled = cancel(&server, "t").is(200).json();
    assert_eq!(cancelled["status"], "cancelled");
    assert_eq!(cancelled["record"]["body"], json!({ "cancels": opening["id"] }));
    assert_eq!(cancelled["record_id"], cancelled["record"]["id"]);
    assert_eq!(cancelled["record"]["actor"], "did:sync:user:carol");
    assert_eq!(status(&server), "cancelled");
    let head = server.head();
    assert_eq!(cancel(&server, "t").is(200).json(), json!({ "status": "already_cancelled" }));
    assert_eq!(server.head(), head);
    let done =
        server.wrote(&json!({ "thread": "d", "actor": "did:sync:user:a", "act": "INTEND", "body": {} }));
    let body = json!({ "fulfills": done["id"] });
    server.wrote(&json!({ "thread": "d", "actor": "did:sync:user:a", "act": "KNOW", "body": body }));
    assert_eq!(cancel(&server, "d").is(200).json(), json!({ "status": "already_closed" }));
    for name in ["none", "\u{0}", &"x".repeat(300), "\u{2028}"] {
        cancel(&server, name).refuses(404, "NOT_FOUND");
    }
}

#[test]
fn one_of_many_cancels() {
    let server = Server::start();
    write(&server, "INTEND", json!({}));
    let statuses: Vec<Value> = std::thread::scope(|scope| {
        let cancelling: Vec<_> =
            (0..20).map(|_| scope.spawn(|| cancel(&server, "t").is(200).json()["status"].clone())).collect();
        cancelling.into_iter().map(|thread| thread.join().expect("no panic")).collect()
    });
    assert_eq!(statuses.iter().filter(|s| *s == "cancelled").count(), 1, "{statuses:?}");
    assert_eq!(statuses.iter().filter(|s| *s == "already_cancelled").count(), 19, "{statuses:?}");
    assert_eq!(server.exported(false).len(), 2);
}
