//! Pages: everything exactly once, also while writes go on, and never more than 8 MiB.

use std::sync::atomic::{AtomicBool, Ordering};

use serde_json::{Value, json};

use super::{
    bodies::body_of,
    client::Ask,
    server::{Server, record},
};

/// The largest page, in bytes.
const PAGE_BYTES: usize = 8 * 1024 * 1024;

fn sequences(rows: &[Value]) -> Vec<u64> {
    rows.iter().map(|row| row["sequence"].as_u64().expect("a sequence")).collect()
}

#[test]
fn pages_hold_each_record_once_while_writes_go_on() {
    let server = Server::start();
    let batch: Vec<Value> = (0..300).map(|n| record(&format!("t{}", n % 3), json!({ "n": n }))).collect();
    let first = sequences(&server.wrote_all(&batch));
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let writing = scope.spawn(|| {
            while !done.load(Ordering::Relaxed) {
                server.wrote(&record("t1", json!({ "later": true })));
            }
        });
        // Without an end of its own, a list in ascending order ends at whatever was written last.
        for target in ["/v1/records?act=PUT&limit=17", "/v1/records?thread=t1&limit=3"] {
            let rows = sequences(&server.pages(target).0);
            assert!(rows.is_sorted_by(|a, b| a < b), "{target}");
            let old = rows.iter().filter(|s| first.contains(s)).count();
            assert_eq!(old, if target.contains("thread") { 100 } else { 300 }, "{target}");
        }
        for target in ["/v1/records?act=PUT&order=desc&limit=17", "/v1/records?thread=t2&order=desc&limit=3"]
        {
            let rows = sequences(&server.pages(target).0);
            assert!(rows.is_sorted_by(|a, b| a > b), "{target}");
            let old = rows.iter().filter(|s| first.contains(s)).count();
            assert_eq!(old, if target.contains("thread") { 100 } else { 300 }, "{target}");
            assert!(rows.first() >= first.last() || target.contains("thread"));
        }
        done.store(true, Ordering::Relaxed);
        writing.join().expect("no panic");
    });
}

#[test]
fn sorted_queries_page_over_what_was_there_at_first() {
    let server = Server::start();
    let batch: Vec<Value> = (0..200).map(|n| record("t", json!({ "n": n * 7 % 200 }))).collect();
    server.wrote_all(&batch);
    let mut query = json!({ "sort": { "body.n": -1 }, "limit": 30, "filter": { "act": "PUT" } });
    let mut seen = Vec::new();
    loop {
        let page = server.query(&query);
        let rows = page["data"].as_array().expect("rows");
        seen.extend(rows.iter().map(|r| r["body"]["n"].as_u64().expect("a number")));
        // What is written meanwhile belongs to no later page.
        server.wrote(&record("t", json!({ "n": 1000 })));
        match page["next_cursor"].as_str() {
            Some(next) => query["cursor"] = next.into(),
            None => break,
        }
    }
    assert_eq!(seen, (0..200).rev().collect::<Vec<u64>>());
}

#[test]
fn a_page_ends_at_8_mib() {
    let server = Server::start();
    let body = body_of(256 * 1024);
    let one = format!(r#"{{"thread":"big","actor":"did:sync:user:a","act":"PUT","body":{body}}}"#);
    let batch = format!("{{\"records\":[{}]}}", vec![one.as_str(); 20].join(","));
    for _ in 0..3 {
        assert_eq!(server.write(&batch).is(201).rows().len(), 20);
    }
    for (target, order) in [("/v1/records?thread=big", "asc"), ("/v1/records?act=PUT", "desc")] {
        let target = format!("{target}&order={order}&limit=1000");
        let page = server.get(&target);
        assert!(page.body.len() < PAGE_BYTES + 300 * 1024, "{} bytes", page.body.len());
        assert!((25..40).contains(&page.rows().len()) && page.json()["next_cursor"].is_string());
        let (rows, pages) = server.pages(&target);
        assert_eq!((rows.len(), pages), (60, 2));
    }
    for sort in [json!({ "sequence": -1 }), json!({ "clock": 1 })] {
        let query = json!({ "filter": {}, "sort": sort, "limit": 1000 });
        let page = server.query(&query);
        assert_eq!(page["capped"], true);
        let mut next = query;
        next["cursor"] = page["next_cursor"].clone();
        let rest = server.query(&next);
        let count = |page: &Value| page["data"].as_array().expect("rows").len();
        assert_eq!(count(&page) + count(&rest), 60);
        assert_eq!((&rest["next_cursor"], &rest["capped"]), (&Value::Null, &json!(false)));
    }
    let exported = server.get("/v1/export").is(200).body;
    assert_eq!(exported.iter().filter(|b| **b == b'\n').count(), 60);
}

#[test]
fn thread_lists_page_too() {
    let server = Server::start();
    let batch: Vec<Value> = (0..250).map(|n| record(&format!("t{n}"), json!({ "goal": "g" }))).collect();
    server.wrote_all(&batch);
    for limit in [1, 100, 249, 250, 251, 1000] {
        let (rows, _) = server.pages(&format!("/v1/threads?limit={limit}"));
        let ids: Vec<&str> = rows.iter().filter_map(|r| r["id"].as_str()).collect();
        assert_eq!(ids, (0..250).map(|n| format!("t{n}")).collect::<Vec<_>>(), "{limit}");
    }
    let all = server.pages("/v1/threads/t7/records?limit=1").0;
    assert_eq!(all.len(), 1);
    let hidden = server.get("/v1/threads/th_identity/records").is(200).json();
    assert_eq!(hidden, json!({ "object": "list", "data": [], "next_cursor": null }));
    assert_eq!(server.send(&Ask::get("/v1/threads/none/records")).is(200).json(), hidden);
}
