//! Clocks, ids and the stored form of a record.

use std::collections::BTreeSet;

use serde_json::{Value, json};
use spl_kernel::draft::Draft;

use super::{
    client::Ask,
    server::{Server, record},
};

fn with_clock(thread: &str, clock: impl Into<Value>) -> Value {
    let mut record = record(thread, json!({}));
    record["clock"] = clock.into();
    record
}

#[test]
fn clocks_are_assigned_one_above_the_highest() {
    let server = Server::start();
    let clock = |thread: &str| server.wrote(&record(thread, json!({})))["clock"].clone();
    assert_eq!([clock("a"), clock("a"), clock("b")], [0, 1, 0]);
    server.wrote(&with_clock("a", 10));
    assert_eq!(clock("a"), 11);
    server.wrote(&with_clock("a", 5));
    assert_eq!(clock("a"), 12);
    let mut other = record("a", json!({}));
    other["actor"] = "did:sync:user:bob".into();
    assert_eq!(server.wrote(&other)["clock"], 0);
    server.wrote(&with_clock("a", i64::MAX));
    let full = Ask::post("/v1/records", record("a", json!({})).to_string());
    server.refuses(&full, 400, "INGEST_FAILED");
    server.wrote(&with_clock("a", 6));
    let batch = json!({ "records": [record("a", json!({})), record("c", json!({}))] });
    server.refuses(&Ask::post("/v1/records", batch.to_string()), 400, "INGEST_FAILED");
}

#[test]
fn a_taken_clock_is_refused_by_name() {
    let server = Server::start();
    server.wrote(&with_clock("music.library", 4));
    let mut other = with_clock("music.library", 4);
    other["body"]["x"] = 1.into();
    let message = server.refuses(&Ask::post("/v1/records", other.to_string()), 400, "INGEST_FAILED");
    assert_eq!(message, "DuplicateClock: thread=music.library actor=did:sync:user:alice clock=4");
}

#[test]
fn assigned_clocks_are_dense_under_concurrency() {
    let server = Server::start();
    let text = record("busy", json!({ "same": true })).to_string();
    let clocks: BTreeSet<u64> = std::thread::scope(|scope| {
        let posting: Vec<_> = (0..50)
            .map(|_| scope.spawn(|| server.write(&text).is(201).json()["clock"].as_u64().expect("a clock")))
            .collect();
        posting.into_iter().map(|thread| thread.join().expect("no panic")).collect()
    });
    assert_eq!(clocks, (0..50).collect());
}

#[test]
fn one_writer_wins_a_clock() {
    let server = Server::start();
    let statuses: Vec<u16> = std::thread::scope(|scope| {
        let server = &server;
        let posting: Vec<_> = (0..20)
            .map(|n| {
                scope.spawn(move || {
                    let mut record = with_clock("race", 7);
                    record["body"]["n"] = (n % 10).into();
                    server.post("/v1/records", &record).status
                })
            })
            .collect();
        posting.into_iter().map(|thread| thread.join().expect("no panic")).collect()
    });
    let count = |wanted: u16| statuses.iter().filter(|s| **s == wanted).count();
    // Ten different records, each twice: one is new, its twin is stored already, the rest conflict.
    assert_eq!((count(201), count(200), count(400)), (1, 1, 18), "{statuses:?}");
    assert_eq!(server.exported(false).len(), 1);
}

#[test]
fn the_answer_is_canonical_and_its_id_is_its_own() {
    let server = Server::start();
    let bodies = [
        r#"{"b":1.0,"a":-0.0,"c":1e16,"d":1e-5,"e":0.1,"f":1e22}"#,
        r#"{"z":{"y":[3,2,1],"x":"é\u0001\"\\/"},"":null,"n":123456789012345678901234567890}"#,
        r#"{"kind":"a.b.c","t":true,"nested":{"b":{},"a":[]}}"#,
    ];
    let (high, low) = ("f".repeat(64), "0".repeat(64));
    for (i, body) in bodies.iter().enumerate() {
        let text = format!(
            r#"{{"data_type":"FORMULA","parents":["{high}","{low}"],"judged_by":"{high}","body":{body},
                "act":"KNOW","actor":"did:sync:user:a","thread":"ids"}}"#
        );
        let answer = server.write(&text).is(201);
        let stored = answer.json();
        assert_eq!(stored["parents"], json!([low, high]));
        assert_eq!((&stored["judged_by"], &stored["data_type"]), (&json!(high), &json!("FORMULA")));
        let draft = Draft::from_json(text.as_bytes()).expect("a draft");
        assert!(answer.text().contains(&format!("\"body\":{}", draft.body)), "{}", answer.text());
        let id = draft.id_at(i as u64).expect("an id").to_string();
        assert_eq!(stored["id"], id);
        assert_eq!(server.get(&format!("/v1/records/{id}")).is(200).body, answer.body);
        let members: Vec<&String> = stored.as_object().expect("an object").keys().collect();
        let expected = [
            "object",
            "id",
            "parents",
            "thread",
            "actor",
            "act",
            "body",
            "clock",
            "data_type",
            "judged_by",
            "sequence",
            "created_at",
        ];
        assert_eq!(members, expected);
    }
}

#[test]
fn a_verdict_on_a_stored_record_changes_nothing() {
    let server = Server::start();
    let stored = server.wrote(&with_clock("j", 0));
    let mut judged = with_clock("j", 0);
    judged["judged_by"] = "f".repeat(64).into();
    assert_eq!(server.post("/v1/records", &judged).is(200).json(), stored);
    assert_eq!(stored["judged_by"], Value::Null);
}
