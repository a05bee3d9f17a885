//! Every operator, combinator and path of a query, by example.

use serde_json::{Value, json};

use super::server::{Server, record};

/// Bodies that differ in type, depth and size; the number in `i` names them.
fn bodies() -> Vec<Value> {
    vec![
        json!({ "i": 0, "x": 1, "s": "apple" }),
        json!({ "i": 1, "x": 2.5, "s": "Banana" }),
        json!({ "i": 2, "x": "1", "s": "100%" }),
        json!({ "i": 3, "x": null, "s": "a_b" }),
        json!({ "i": 4, "x": true, "s": "" }),
        json!({ "i": 5, "x": [1, "a"], "s": "ÉCOLE" }),
        json!({ "i": 6, "x": { "y": { "z": 7 }, "k": "v" }, "s": "a\\b" }),
        json!({ "i": 7, "s": 7, "namespace": "team/build" }),
        json!({ "i": 8, "x": i64::MAX, "s": "zzz" }),
        json!({ "i": 9, "x": u64::MAX, "s": "line\nbreak" }),
        json!({ "i": 10, "x": -3, "a-b": { "_c": 1 } }),
    ]
}

fn filled() -> Server {
    let server = Server::start();
    let records: Vec<Value> = bodies().into_iter().map(|body| record("ops", body)).collect();
    server.wrote_all(&records);
    server
}

#[track_caller]
fn check(server: &Server, filter: &Value, expected: &[u64]) {
    let answer = server.query(&json!({ "filter": filter, "select": ["body.i"] }));
    let rows = answer["data"].as_array().expect("rows");
    let found: Vec<u64> = rows.iter().map(|r| r["body.i"].as_u64().expect("a number")).collect();
    assert_eq!(found, expected, "{filter}");
}

#[test]
fn comparisons_are_by_type() {
    let server = filled();
    let all_but = |out: &[u64]| (0..=10).filter(|i| !out.contains(i)).collect::<Vec<u64>>();
    let cases = [
        (json!({ "body.x": 1 }), vec![0]),
        (json!({ "body.x": 1.0 }), vec![0]),
        (json!({ "body.x": "1" }), vec![2]),
        (json!({ "body.x": null }), vec![3]),
        (json!({ "body.x": true }), vec![4]),
        (json!({ "body.x": [1, "a"] }), vec![5]),
        (json!({ "body.x": [1.0, "a"] }), vec![5]),
        (json!({ "body.x": ["a", 1] }), vec![]),
        (json!({ "body.x": { "k": "v", "y": { "z": 7.0 } } }), vec![6]),
        (json!({ "body.x": { "k": "v" } }), vec![]),
        (json!({ "body.x": {} }), vec![]),
        (json!({ "body.x": { "$eq": 2.5 } }), vec![1]),
        (json!({ "body.x": { "$ne": 1 } }), all_but(&[0])),
        (json!({ "body.x": { "$gt": 1 } }), vec![1, 8, 9]),
        (json!({ "body.x": { "$gte": 1 } }), vec![0, 1, 8, 9]),
        (json!({ "body.x": { "$lt": 2.5 } }), vec![0, 10]),
        (json!({ "body.x": { "$lte": 2.5 } }), vec![0, 1, 10]),
        (json!({ "body.x": { "$gt": 1, "$lt": 100 } }), vec![1]),
        (json!({ "body.x": { "$gt": "0" } }), vec![2]),
        (json!({ "body.s": { "$gte": "a", "$lt": "b" } }), vec![0, 3, 6]),
        (json!({ "body.x": { "$in": [1, "1", null] } }), vec![0, 2, 3]),
        (json!({ "body.x": { "$in": [] } }), vec![]),
        (json!({ "body.x": { "$nin": [1, 2.5, true] } }), all_but(&[0, 1, 4])),
        (json!({ "body.x": { "$nin": [] } }), all_but(&[])),
        (json!({ "body.x": { "$exists": true } }), all_but(&[7])),
        (json!({ "body.x": { "$exists": false } }), vec![7]),
        (json!({ "body.x.y.z": 7 }), vec![6]),
        (json!({ "body.x.y": { "$exists": true } }), vec![6]),
        (json!({ "body.a-b._c": 1 }), vec![10]),
        (json!({ "body.x.0": { "$exists": true } }), vec![]),
    ];
    for (filter, expected) in cases {
        check(&server, &filter, &expected);
    }
}

#[test]
fn integers_are_exact_past_what_a_double_holds() {
    let server = filled();
    let number = |text: &str| serde_json::from_str::<Value>(text).expect("a number");
    let cases = [
        (json!({ "body.x": i64::MAX }), vec![8]),
        (json!({ "body.x": number("9223372036854775806") }), vec![]),
        (json!({ "body.x": number("9223372036854775808") }), vec![]),
        (json!({ "body.x": u64::MAX }), vec![9]),
        (json!({ "body.x": u64::MAX - 1 }), vec![]),
        (json!({ "body.x": { "$gt": i64::MAX } }), vec![9]),
        (json!({ "body.x": { "$lt": number("9223372036854775808"), "$gt": 3 } }), vec![8]),
        (json!({ "body.x": { "$lt": u64::MAX, "$gt": 3 } }), vec![8]),
        (json!({ "body.x": { "$gte": number("9223372036854775808") } }), vec![9]),
        (json!({ "body.x": { "$gt": 9.3e18 } }), vec![9]),
        (json!({ "body.x": { "$lt": -1e300 } }), vec![]),
    ];
    for (filter, expected) in cases {
        check(&server, &filter, &expected);
    }
}

#[test]
fn patterns_match_whole_strings() {
    let server = filled();
    let cases = [
        ("$like", "a%", vec![0, 3, 6]),
        ("$like", "%", vec![0, 1, 2, 3, 4, 5, 6, 8, 9]),
        ("$like", "", vec![4]),
        ("$like", "a_b", vec![3, 6]),
        ("$like", "a\\_b", vec![3]),
        ("$like", "a\\\\b", vec![6]),
        ("$like", "%\\%", vec![2]),
        ("$like", "banana", vec![]),
        ("$ilike", "banana", vec![1]),
        ("$ilike", "é%", vec![5]),
        ("$like", "_COLE", vec![5]),
        ("$like", "line_break", vec![9]),
        ("$like", "%%%%z%%%", vec![8]),
        ("$like", "appl", vec![]),
        ("$like", "\\a\\pple", vec![0]),
    ];
    for (operator, pattern, expected) in cases {
        check(&server, &json!({ "body.s": { (operator): pattern } }), &expected);
    }
}

#[test]
fn filters_combine() {
    let server = filled();
    let cases = [
        (json!({}), (0..=10).collect::<Vec<u64>>()),
        (json!({ "$and": [{ "body.i": { "$gte": 3 } }, { "body.i": { "$lt": 5 } }] }), vec![3, 4]),
        (json!({ "$or": [{ "body.i": 1 }, { "body.i": 9 }] }), vec![1, 9]),
        (json!({ "$not": { "body.i": { "$gt": 1 } } }), vec![0, 1]),
        (json!({ "$not": {} }), vec![]),
        (json!({ "$and": [{}] }), (0..=10).collect()),
        (json!({ "body.i": { "$gt": 2 }, "$or": [{ "body.i": { "$lt": 4 } }, { "body.i": 8 }] }), vec![3, 8]),
        (json!({ "$not": { "$or": [{ "body.x": { "$exists": true } }, { "body.i": 7 }] } }), vec![]),
        (
            json!({
                "$or": [
                    { "$and": [{ "body.i": 1 }, { "body.i": 2 }] },
                    { "$not": { "body.i": { "$ne": 5 } } },
                ],
            }),
            vec![5],
        ),
    ];
    for (filter, expected) in cases {
        check(&server, &filter, &expected);
    }
}

#[test]
fn paths_reach_every_field() {
    let server = filled();
    let stored = server.exported(false);
    let third = &stored[3];
    for field in ["id", "thread", "actor", "act", "clock", "data_type", "created_at", "sequence"] {
        let filter = json!({ (field): third[field], "body.i": 3 });
        check(&server, &filter, &[3]);
        let answer = server.query(&json!({ "filter": filter, "select": [field] }));
        assert_eq!(answer["data"][0], json!({ "object": "record", (field): third[field] }));
        check(&server, &json!({ (field): { "$exists": false } }), &[]);
    }
    check(&server, &json!({ "namespace": "team/build" }), &[7]);
    check(&server, &json!({ "namespace": "default", "body.i": { "$gt": 6 } }), &[8, 9, 10]);
    let sequence = third["sequence"].as_u64().expect("a sequence");
    check(&server, &json!({ "sequence": sequence }), &[3]);
    check(&server, &json!({ "sequence": { "$gt": sequence, "$lte": sequence + 2 } }), &[4, 5]);
    check(&server, &json!({ "sequence": { "$gte": sequence, "$lt": sequence + 1 } }), &[3]);
    check(&server, &json!({ "sequence": { "$lt": sequence } }), &[0, 1, 2]);
    for empty in [
        json!({ "$lt": 0 }),
        json!({ "$lt": -1 }),
        json!({ "$gt": u64::MAX }),
        json!({ "$gt": "1" }),
        json!({ "$lte": 0.5 }),
    ] {
        check(&server, &json!({ "sequence": empty }), &[]);
    }
    check(&server, &json!({ "sequence": { "$gt": -5, "$lt": 1e300 }, "body.i": 0 }), &[0]);
    check(&server, &json!({ "sequence": { "$gt": (sequence as f64) + 0.5 }, "body.i": { "$lt": 5 } }), &[4]);
    check(&server, &json!({ "sequence": { "$gte": (sequence as f64) + 0.5 }, "body.i": { "$lt": 5 } }), &[4]);
    check(&server, &json!({ "sequence": { "$lt": (sequence as f64) + 0.5 } }), &[0, 1, 2, 3]);
}
