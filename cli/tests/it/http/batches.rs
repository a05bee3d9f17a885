//! Batches: one commit or nothing.

use serde_json::{Value, json};

use super::{
    client::Ask,
    server::{Server, record},
};

fn at(clock: u64, n: u64) -> Value {
    let mut record = record("batch", json!({ "n": n }));
    record["clock"] = clock.into();
    record
}

fn refused(server: &Server, records: &[Value], status: u16, code: &str) -> String {
    server.refuses(&Ask::post("/v1/records", json!({ "records": records }).to_string()), status, code)
}

#[test]
fn one_bad_record_writes_none() {
    let server = Server::start();
    server.wrote(&at(0, 0));
    let conflict = refused(&server, &[at(1, 1), at(0, 7), at(2, 2)], 400, "INGEST_FAILED");
    assert_eq!(conflict, "DuplicateClock: thread=batch actor=did:sync:user:alice clock=0");
    let inside = refused(&server, &[at(1, 1), at(5, 1), at(5, 2)], 400, "INGEST_FAILED");
    assert!(inside.starts_with("DuplicateClock: thread=batch actor=did:sync:user:alice clock=5"), "{inside}");
    let others = [
        (record("th_identity", json!({})), 403, "RESERVED_THREAD"),
        (record("batch", json!({ "kind": "core.api_token.v1" })), 403, "RESERVED_KIND"),
        (record("batch", json!({ "namespace": "NO" })), 403, "NAMESPACE_REJECTED"),
        (record("batch", json!(7)), 400, "INVALID_BODY"),
    ];
    for (bad, status, code) in others {
        for place in 0..3 {
            let mut records = vec![at(1, 1), at(2, 2)];
            records.insert(place, bad.clone());
            let message = refused(&server, &records, status, code);
            assert!(message.starts_with(&format!("records[{place}]")), "{message}");
        }
    }
    assert_eq!(server.exported(false).len(), 1);
}

#[test]
fn repeats_are_stored_once() {
    let server = Server::start();
    let twice = server.post("/v1/records", &json!({ "records": [at(0, 0), at(0, 0), at(1, 1)] })).is(201);
    let rows = twice.rows();
    assert_eq!(rows[0], rows[1]);
    assert_eq!(server.exported(false).len(), 2);
    let again = server.post("/v1/records", &json!({ "records": [at(1, 1), at(0, 0)] })).is(200).rows();
    assert_eq!(again, [rows[2].clone(), rows[0].clone()]);
    let mixed = server.post("/v1/records", &json!({ "records": [at(1, 1), at(2, 2)] })).is(201).rows();
    assert_eq!(mixed[0], rows[2]);
    assert_eq!(server.exported(false).len(), 3);
    let single = server.post("/v1/records", &at(1, 1)).is(200).json();
    assert_eq!(single, rows[2]);
}

#[test]
fn a_batch_is_one_commit_in_its_order() {
    let server = Server::start();
    let records: Vec<Value> = (0..1000).map(|n| record(&format!("t{}", n % 7), json!({ "n": n }))).collect();
    let rows = server.wrote_all(&records);
    let first = rows[0]["sequence"].as_u64().expect("a sequence");
    for (i, row) in rows.iter().enumerate() {
        assert_eq!(row["sequence"], first + i as u64);
        assert_eq!(row["body"]["n"], i);
        assert_eq!(row["clock"], i / 7);
        assert_eq!(row["created_at"], rows[0]["created_at"]);
        assert_eq!(row["object"], "record");
    }
    assert_eq!(server.head(), first + 999);
}

#[test]
fn what_a_batch_grows_to_is_bounded() {
    let server = Server::start();
    // Each number takes five bytes here and 309 where it is stored.
    let body = format!("{{\"a\":[{}]}}", vec!["1e308"; 800].join(","));
    let one = format!(r#"{{"thread":"t","actor":"did:sync:user:a","act":"PUT","body":{body}}}"#);
    let batch = |count| format!("{{\"records\":[{}]}}", vec![one.as_str(); count].join(","));
    server.refuses(&Ask::post("/v1/records", batch(100)), 413, "BODY_TOO_LARGE");
    assert_eq!(server.write(&batch(60)).is(201).rows().len(), 60);
}
