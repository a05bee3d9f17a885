//! What a single sender can make an instance spend.

use std::thread;

use serde_json::{Value, json};

use super::{
    bodies::body_of,
    client::{Ask, Connection, exchange},
    server::{Server, record},
};

/// One record with a long text, and more of them.
fn with_texts(count: usize) -> Server {
    let server = Server::start();
    let text = "a".repeat(200_000);
    for _ in 0..count {
        server.wrote(&record("long", json!({ "s": text })));
    }
    server
}

#[test]
fn a_query_ends_in_time_whatever_its_patterns_are() {
    let server = with_texts(3);
    let pattern = format!("%{}b", "a".repeat(900));
    let conditions: Vec<Value> = (0..500).map(|_| json!({ "body.s": { "$like": pattern } })).collect();
    for sort in [json!({ "sequence": 1 }), json!({ "clock": 1 })] {
        let query = json!({ "filter": { "$or": conditions }, "sort": sort });
        let message =
            server.refuses(&Ask::post("/v1/records/query", query.to_string()), 400, "INVALID_QUERY");
        assert!(message.contains("2 s"), "{message}");
    }
    server.is_well();
}

#[test]
fn a_query_ends_in_time_whatever_it_compares() {
    let server = Server::start();
    let wide: serde_json::Map<String, Value> = (0..15_000).map(|i| (format!("k{i}"), json!(i))).collect();
    let batch: Vec<Value> = (0..20).map(|_| record("wide", json!({ "o": wide }))).collect();
    server.wrote_all(&batch);
    let conditions: Vec<Value> = (0..900).map(|_| json!({ "body.o": { "$eq": 1 } })).collect();
    let query = json!({ "filter": { "$or": conditions } }).to_string();
    // Either all is looked at within the bound, or the bound is named; the client's own limit is what fails.
    let answer = server.send(&Ask::post("/v1/records/query", query));
    assert!(matches!(answer.status, 200 | 400), "{}", answer.status);
    server.is_well();
}

#[test]
fn slow_readers_cost_the_others_no_record() {
    let server = Server::start();
    let body = body_of(250 * 1024);
    let one = format!(r#"{{"thread":"big","actor":"did:sync:user:a","act":"PUT","body":{body}}}"#);
    let batch = format!("{{\"records\":[{}]}}", vec![one.as_str(); 32].join(","));
    server.write(&batch).is(201);
    // Each of these holds a page of 8 MiB that nobody takes.
    let ask = Ask::get("/v1/records?thread=big&limit=1000");
    let slow: Vec<Connection> = (0..24)
        .map(|_| {
            let mut connection = Connection::open(server.port).expect("a connection");
            connection.send(&ask.bytes(server.port)).expect("sent");
            connection.head().expect("the beginning of an answer");
            connection
        })
        .collect();
    let before = server.head();
    let answer = exchange(server.port, &Ask::post("/v1/records", batch)).expect("an answer");
    match answer.status {
        201 => assert_eq!(server.head(), before + 32),
        _ => {
            answer.refuses(503, "BUSY");
            assert_eq!(answer.header("retry-after"), Some("1"));
            assert_eq!(server.head(), before, "what was refused is written");
        }
    }
    // Health and small writes go on meanwhile, or are refused in truth.
    server.get("/health").is(200);
    let before = server.head();
    let small = exchange(server.port, &Ask::post("/v1/records", record("s", json!({})).to_string()))
        .expect("an answer");
    assert_eq!(server.head(), before + u64::from(small.status == 201), "{}", small.status);
    drop(slow);
    crate::support::wait_until("memory is free again", || {
        let answer = exchange(server.port, &ask).ok()?;
        (answer.status == 200).then_some(())
    });
}

#[test]
fn many_connections_that_say_nothing_keep_nobody_out() {
    let server = Server::start();
    let silent: Vec<Connection> =
        (0..200).map(|_| Connection::open(server.port).expect("a connection")).collect();
    let half: Vec<Connection> = (0..200)
        .map(|_| {
            let mut connection = Connection::open(server.port).expect("a connection");
            connection
                .send(b"POST /v1/records HTTP/1.1\r\nhost: localhost\r\ncontent-length: 50\r\n\r\n{")
                .expect("sent");
            connection
        })
        .collect();
    server.wrote(&record("t", json!({})));
    server.is_well();
    drop((silent, half));
    let streams: Vec<Connection> = (0..100)
        .map(|_| {
            let mut connection = Connection::open(server.port).expect("a connection");
            connection.send(&Ask::get("/v1/events/stream").bytes(server.port)).expect("sent");
            assert_eq!(connection.head().expect("an answer").status, 200);
            connection
        })
        .collect();
    server.wrote(&record("t", json!({})));
    drop(streams);
    server.is_well();
}

#[test]
fn queries_at_the_same_time_all_end() {
    let server = with_texts(2);
    let pattern = format!("%{}b", "a".repeat(500));
    let query = json!({ "filter": { "$not": { "body.s": { "$like": pattern } } } }).to_string();
    thread::scope(|scope| {
        let running: Vec<_> = (0..8)
            .map(|_| scope.spawn(|| server.send(&Ask::post("/v1/records/query", query.as_str())).status))
            .collect();
        server.wrote(&record("meanwhile", json!({})));
        for query in running {
            assert!(matches!(query.join().expect("no panic"), 200 | 400));
        }
    });
}

#[test]
fn refusals_do_not_repeat_what_is_long() {
    let server = Server::start();
    let long = "\u{1f3b5}".repeat(500_000);
    let base = json!({ "goal": "g", "actor": "did:sync:user:a" });
    let with = |key: &str, value: Value| {
        let mut object = base.clone();
        object[key] = value;
        object.to_string()
    };
    let key = |prefix: &str| format!("{prefix}{long}");
    let asks = [
        ("/v1/records", json!({ (key("")): 1 })),
        ("/v1/records", json!({ "records": [{ (key("")): 1 }] })),
        ("/v1/records", json!({ "records": [record("t", json!({}))], (key("")): 1 })),
        ("/v1/records", json!({ "thread": long })),
        ("/v1/records", json!({ "actor": long })),
        ("/v1/records", json!({ "act": long })),
        ("/v1/records", json!({ "data_type": long })),
        ("/v1/records", json!({ "parents": [long] })),
        ("/v1/records/query", json!({ (key("")): 1 })),
        ("/v1/records/query", json!({ "filter": { (key("")): 1 } })),
        ("/v1/records/query", json!({ "filter": { (key("$")): 1 } })),
        ("/v1/records/query", json!({ "filter": { "act": { (key("$")): 1 } } })),
        ("/v1/records/query", json!({ "sort": { (key("")): 1 } })),
        ("/v1/records/query", json!({ "select": [long] })),
        ("/v1/records/query", json!({ "cursor": long })),
    ];
    // The length of a failure is checked of every one.
    for (path, body) in asks {
        assert_eq!(server.post(path, &body).status, 400);
    }
    for body in [with(&long, json!(1)), with("thread", json!(long)), with("actor", json!(long))] {
        assert_eq!(server.send(&Ask::post("/v1/threads", body)).status, 400);
    }
    for body in [
        format!("{{\"{long}\":1,\"{long}\":1}}"),
        format!("{{\"filter\":{{\"a\":{{\"{long}\":1,\"{long}\":1}}}}}}"),
    ] {
        for path in ["/v1/records", "/v1/records/query", "/v1/threads"] {
            assert_eq!(server.send(&Ask::post(path, body.clone())).status, 400);
        }
    }
    let parameter = format!("/v1/threads?{}=1", "x".repeat(10_000));
    assert_eq!(server.get(&parameter).status, 400);
}

#[test]
fn a_path_is_no_longer_than_any_body_is_deep() {
    let server = Server::start();
    let deep = |levels: usize| format!("body{}", ".a".repeat(levels));
    let filter = |path: String| json!({ "filter": { (path): { "$exists": true } } });
    server.query(&filter(deep(64)));
    for path in [
        deep(65),
        deep(2_000_000),
        format!("body.{}", "a".repeat(1020)),
        format!("body.{}", "a".repeat(4_000_000)),
    ] {
        let ask = |query: Value| Ask::post("/v1/records/query", query.to_string());
        server.refuses(&ask(filter(path.clone())), 400, "INVALID_QUERY");
        server.refuses(&ask(json!({ "select": [path] })), 400, "INVALID_QUERY");
        server.refuses(&ask(json!({ "sort": { (path): 1 } })), 400, "INVALID_QUERY");
    }
}
