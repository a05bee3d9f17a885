//! Hostile queries.

use std::time::Duration;

use serde_json::{Value, json};

use crate::raw::{Server, envelope, now};

/// A query ends within its two seconds; more is what a busy machine adds.
const QUERY_MAX: Duration = Duration::from_secs(8);

fn nested(levels: usize, leaf: &Value) -> Value {
    (0..levels).fold(leaf.clone(), |inner, _| json!({ "$or": [inner, { "$not": { "act": "PUT" } }] }))
}

/// Twenty thousand records with small bodies, and twelve with bodies as large and as bushy as they may be.
fn filled() -> Server {
    let server = Server::disk();
    let mut client = server.client();
    for batch in 0..20 {
        let records: Vec<Value> = (0..1000)
            .map(|n| {
                let body =
                    json!({ "kind": "test.row.v1", "a": { "b": { "c": n } }, "text": "the quick brown fox" });
                envelope("th.rows", "did:sync:user:a", Some(batch * 1000 + n), &body)
            })
            .collect();
        client.post(&json!({ "records": records })).is(201);
    }
    let long = "a".repeat(260_000);
    for _ in 0..6 {
        client.put("th.long", &json!({ "text": long }));
        client.put("th.bushy", &json!({ "x": vec![Value::Array(Vec::new()); 85_000] }));
    }
    server
}

fn ends_in_time(server: &Server, name: &str, filter: &Value, thread: Option<&str>) {
    let mut query = json!({ "filter": filter, "explain": true });
    if let Some(thread) = thread {
        query["thread"] = thread.into();
    }
    let start = now();
    let reply = server.client().try_send("POST", "/v1/records/query", query.to_string().as_bytes()).unwrap();
    let took = start.elapsed();
    assert!(took < QUERY_MAX, "{name} on {thread:?} took {took:?}");
    assert!(matches!(reply.status, 200 | 400), "{name}: {reply:?}");
    if reply.status == 400 {
        let code = reply.json()["code"].as_str().map(str::to_owned);
        assert!(matches!(code.as_deref(), Some("INVALID_QUERY" | "INVALID_BODY")), "{reply:?}");
    }
}

#[test]
fn a_hostile_query_ends_within_its_bounds() {
    let server = filled();
    let like = |pattern: &str| json!({ "body.text": { "$like": pattern } });
    let thousand =
        |condition: &dyn Fn(usize) -> Value| json!({ "$or": (0..999).map(condition).collect::<Vec<_>>() });
    let worst = format!("%{}b", "a".repeat(1000));
    let cases = [
        ("deep $or", nested(10, &json!({ "body.a.b.c": -1 }))),
        ("deeper $or", nested(500, &json!({ "act": "PUT" }))),
        ("a thousand conditions", thousand(&|n| json!({ "body.a.b.c": -1 - i64::try_from(n).unwrap() }))),
        ("too many conditions", json!({ "$or": vec![json!({ "act": "DO" }); 5000] })),
        ("a long pattern", like(&worst)),
        (
            "a thousand long patterns",
            thousand(&|n| json!({ "body.text": { "$like": format!("%{}{n}", "a".repeat(1000)) } })),
        ),
        ("runs", like(&"%a".repeat(500))),
        ("ilike", json!({ "body.text": { "$ilike": worst } })),
        ("too long a pattern", like(&"a".repeat(5000))),
        ("a thousand looks at a bushy body", thousand(&|_| json!({ "body.x": { "$eq": ["no"] } }))),
        ("a body path on every record", json!({ "body.a.b.c": { "$gt": 1e9 } })),
        ("a path of many segments", json!({ format!("body{}", ".a".repeat(5000)): 1 })),
    ];
    for (name, filter) in &cases {
        std::thread::scope(|scope| {
            for thread in [None, Some("th.long"), Some("th.bushy")] {
                let server = &server;
                scope.spawn(move || ends_in_time(server, name, filter, thread));
            }
        });
    }
    server.client().get("/health/ready").is(200);
}

#[test]
fn three_hundred_queries_at_once_are_bounded() {
    let server = filled();
    let queries = [
        json!({ "filter": { "body.x": { "$exists": false } }, "limit": 1 }),
        json!({ "filter": { "body.x": ["no"] }, "thread": "th.bushy" }),
        json!({ "filter": { "body.text": { "$like": "%no" } }, "thread": "th.long", "sort": "-body.text" }),
    ];
    let start = now();
    std::thread::scope(|scope| {
        for n in 0..300 {
            let (server, query) = (&server, queries[n % 3].to_string());
            scope.spawn(move || {
                let reply = server.client().try_send("POST", "/v1/records/query", query.as_bytes()).unwrap();
                assert!(matches!(reply.status, 200 | 400 | 503), "{reply:?}");
            });
        }
    });
    assert!(start.elapsed() < Duration::from_secs(60), "{:?}", start.elapsed());
    let peak = server.peak_mib();
    assert!(peak < 400, "the instance took {peak} MiB");
    server.client().get("/health/ready").is(200);
}
