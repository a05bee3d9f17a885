//! The request of a query: what it refuses, sorts, selects and explains.

use serde_json::{Value, json};

use super::{
    client::Ask,
    server::{Server, record},
};

fn refused(server: &Server, query: &Value, code: &str) -> String {
    server.refuses(&Ask::post("/v1/records/query", query.to_string()), 400, code)
}

fn deep(combinator: &str, levels: usize) -> Value {
    (1..levels).fold(json!({}), |inner, _| match combinator {
        "$not" => json!({ "$not": inner }),
        _ => json!({ combinator: [inner] }),
    })
}

fn bad_filters() -> Vec<Value> {
    vec![
        json!([]),
        json!(1),
        json!("x"),
        json!(null),
        json!({ "bogus": 1 }),
        json!({ "": 1 }),
        json!({ "body": 1 }),
        json!({ "body.": 1 }),
        json!({ "body..a": 1 }),
        json!({ "body.a.": 1 }),
        json!({ "body.a b": 1 }),
        json!({ "body.é": 1 }),
        json!({ "body.$a": 1 }),
        json!({ "Thread": "t" }),
        json!({ "parents": [] }),
        json!({ "token": "x" }),
        json!({ "Token_id": "x" }),
        json!({ "origin.kind": "command" }),
        json!({ "signature": { "$exists": true } }),
        json!({ "$xor": [] }),
        json!({ "$and": {} }),
        json!({ "$and": [] }),
        json!({ "$or": [] }),
        json!({ "$or": [1] }),
        json!({ "$or": null }),
        json!({ "$not": [] }),
        json!({ "$not": 1 }),
        json!({ "$where": "1" }),
        json!({ "act": { "$regex": "x" } }),
        json!({ "act": { "$eq": 1, "x": 2 } }),
        json!({ "act": { "$in": "x" } }),
        json!({ "act": { "$in": {} } }),
        json!({ "act": { "$nin": null } }),
        json!({ "act": { "$like": 1 } }),
        json!({ "act": { "$like": "\\" } }),
        json!({ "act": { "$ilike": "a\\" } }),
        json!({ "act": { "$like": "x".repeat(1025) } }),
        json!({ "act": { "$exists": 1 } }),
        json!({ "act": { "$exists": null } }),
        json!({ "clock": { "$gt": null } }),
        json!({ "clock": { "$gte": [] } }),
        json!({ "clock": { "$lt": true } }),
        json!({ "clock": { "$lte": {} } }),
        json!({ "clock": { "$in": vec![0; 1000] } }),
        json!({ "$or": vec![json!({ "clock": 1 }); 1001] }),
        deep("$not", 17),
        deep("$and", 17),
        deep("$or", 17),
    ]
}

fn bad_queries() -> Vec<Value> {
    vec![
        json!({ "limit": 0 }),
        json!({ "limit": -1 }),
        json!({ "limit": "5" }),
        json!({ "limit": 1.5 }),
        json!({ "limit": null }),
        json!({ "offset": -1 }),
        json!({ "offset": "0" }),
        json!({ "offset": 10_001 }),
        json!({ "cursor": 1 }),
        json!({ "cursor": "" }),
        json!({ "cursor": "x" }),
        json!({ "cursor": "AAAAAAAAAAAAAAAAAAAAAA" }),
        json!({ "cursor": "AAAAAAAAAAAAAAAAAAAAAA", "offset": 1 }),
        json!({ "thread": 1 }),
        json!({ "sort": "clock" }),
        json!({ "sort": {} }),
        json!({ "sort": { "clock": 0 } }),
        json!({ "sort": { "clock": "asc" } }),
        json!({ "sort": { "clock": 1, "id": 1 } }),
        json!({ "sort": { "bogus": 1 } }),
        json!({ "sort": ["clock"] }),
        json!({ "sort": null }),
        json!({ "select": [] }),
        json!({ "select": "id" }),
        json!({ "select": ["bogus"] }),
        json!({ "select": ["id", "id"] }),
        json!({ "select": [1] }),
        json!({ "select": ["body.\"x\":1"] }),
        json!({ "select": (0..65).map(|i| format!("body.a{i}")).collect::<Vec<_>>() }),
        json!({ "select": null }),
        json!({ "explain": 1 }),
        json!({ "explain": "true" }),
        json!({ "explain": null }),
    ]
}

#[test]
fn malformed_queries_are_refused() {
    let server = Server::start();
    for filter in bad_filters() {
        refused(&server, &json!({ "filter": filter }), "INVALID_QUERY");
        let within = json!({ "filter": { "$or": [{ "act": "PUT" }, filter] } });
        refused(&server, &within, "INVALID_QUERY");
    }
    for query in bad_queries() {
        refused(&server, &query, "INVALID_QUERY");
    }
}

#[test]
fn what_is_no_query_is_refused() {
    let server = Server::start();
    let bodies = [
        "",
        "[]",
        "null",
        "{",
        "{}x",
        r#"{"bogus":1}"#,
        r#"{"limit":1,"limit":1}"#,
        r#"{"filter":{"act":1,"act":2}}"#,
        r#"{"limit":NaN}"#,
        r#"{"filter":{"body.a":1e400}}"#,
        r#"{"filter":{"body.a":"\ud800"}}"#,
    ];
    for body in bodies {
        server.refuses(&Ask::post("/v1/records/query", body), 400, "INVALID_BODY");
    }
    let values = json!({ "filter": { "body.a": vec![0; 20_000] } });
    refused(&server, &values, "INVALID_BODY");
    let levels = format!("{{\"filter\":{{\"body.a\":{}1{}}}}}", "[".repeat(39), "]".repeat(39));
    server.refuses(&Ask::post("/v1/records/query", levels), 400, "INVALID_BODY");
    for taken in [deep("$not", 16), json!({ "$or": vec![json!({ "clock": 1 }); 1000] })] {
        server.query(&json!({ "filter": taken }));
    }
    server.query(&json!({ "thread": null, "cursor": null, "offset": 10_000, "limit": 5000 }));
    let clamped = r#"{"limit":99999999999999999999999}"#;
    server.send(&Ask::post("/v1/records/query", clamped)).is(200);
}

#[test]
fn a_cursor_belongs_to_its_query() {
    let server = Server::start();
    server.wrote_all(&(0..20).map(|n| record(&format!("t{}", n % 2), json!({ "n": n }))).collect::<Vec<_>>());
    for base in
        [json!({ "filter": { "act": "PUT" }, "limit": 3 }), json!({ "sort": { "body.n": 1 }, "limit": 3 })]
    {
        let cursor = server.query(&base)["next_cursor"].clone();
        let with = |key: &str, value: Value| {
            let mut query = base.clone();
            query["cursor"] = cursor.clone();
            query[key] = value;
            query
        };
        server.query(&with("limit", json!(7)));
        server.query(&with("explain", json!(true)));
        let others = [
            ("filter", json!({ "act": "KNOW" })),
            ("thread", json!("t1")),
            ("sort", json!({ "clock": 1 })),
            ("sort", json!({ "body.n": -1 })),
            ("select", json!(["id"])),
            ("offset", json!(1)),
        ];
        for (key, value) in others {
            refused(&server, &with(key, value), "INVALID_QUERY");
        }
    }
}

#[test]
fn what_is_sorted_is_bounded_and_in_order() {
    let server = Server::start();
    let values = [
        json!(3),
        json!("b"),
        json!(null),
        json!(-1.5),
        json!("a"),
        json!(u64::MAX),
        json!(i64::MAX),
        json!([1]),
        json!(true),
        json!(2.25),
        json!("B"),
        json!(""),
        json!(i64::MAX - 1),
        json!(0),
    ];
    let records: Vec<Value> = values.iter().map(|v| record("s", json!({ "v": v }))).collect();
    server.wrote_all(&records);
    server.wrote(&record("s", json!({})));
    let sorted = |direction: i64| -> Vec<Value> {
        let query = json!({ "sort": { "body.v": direction }, "select": ["body.v"], "limit": 100 });
        let rows = server.query(&query)["data"].as_array().expect("rows").clone();
        rows.iter().map(|r| r["body.v"].clone()).collect()
    };
    let ascending = sorted(1);
    let expected = json!([-1.5, 0, 2.25, 3, i64::MAX - 1, i64::MAX, u64::MAX, "", "B", "a", "b"]);
    assert_eq!(json!(ascending[..11]), expected);
    assert_eq!(ascending.len(), 15);
    let descending = sorted(-1);
    let numbers: Vec<&Value> = descending.iter().filter(|v| v.is_number() || v.is_string()).collect();
    assert_eq!(
        json!(numbers),
        Value::from(expected.as_array().expect("an array").iter().rev().cloned().collect::<Vec<_>>())
    );
}

#[test]
fn integers_near_the_largest_sort_without_contradiction() {
    let server = Server::start();
    // Neighbours that one double stands for, in an order that shows whether a comparison contradicts itself.
    let number = |i: u64| (i64::MAX as u64 - 500) + i * 7 % 1000;
    let records: Vec<Value> = (0..1000).map(|i| record("near", json!({ "v": number(i) }))).collect();
    server.wrote_all(&records);
    let query = json!({ "sort": { "body.v": 1 }, "select": ["body.v"], "limit": 1000 });
    let rows = server.query(&query)["data"].as_array().expect("rows").clone();
    let found: Vec<u64> = rows.iter().map(|r| r["body.v"].as_u64().expect("a number")).collect();
    assert!(found.len() == 1000 && found.is_sorted_by(|a, b| a < b));
}

#[test]
fn ten_thousand_rows_are_sorted_and_no_more() {
    let server = Server::start();
    let batch: Vec<Value> = (0..1000).map(|n| record("many", json!({ "n": n }))).collect();
    for _ in 0..10 {
        server.wrote_all(&batch);
    }
    let query = json!({ "sort": { "clock": -1 }, "limit": 2, "select": ["clock"] });
    assert_eq!(server.query(&query)["data"][0]["clock"], 9999);
    let offset = json!({ "sort": { "clock": -1 }, "limit": 2, "offset": 9999, "select": ["clock"] });
    let last = server.query(&offset);
    assert_eq!((&last["data"][0]["clock"], &last["next_cursor"]), (&json!(0), &Value::Null));
    server.wrote(&record("many", json!({})));
    let message = refused(&server, &query, "INVALID_QUERY");
    assert!(message.contains("10000"), "{message}");
    server.query(&json!({ "sort": { "sequence": -1 }, "limit": 2 }));
    server.query(&json!({ "sort": { "clock": -1 }, "filter": { "clock": { "$lt": 50 } } }));
    let skipped = server.query(&json!({ "offset": 10_000, "select": ["clock"] }));
    assert_eq!(skipped["data"], json!([{ "object": "record", "clock": 10_000 }]));
}

#[test]
fn a_plan_tells_the_index_and_the_visible_rows() {
    let server = Server::start();
    let stored =
        server.wrote_all(&(0..30).map(|n| record(&format!("t{}", n % 3), json!({}))).collect::<Vec<_>>());
    let id = &stored[4]["id"];
    let cases = [
        (json!({ "filter": { "id": id } }), "id", 1),
        (json!({ "filter": { "id": id, "thread": "t1" } }), "id", 1),
        (json!({ "filter": { "thread": "t1" } }), "thread", 10),
        (json!({ "thread": "t1" }), "thread", 10),
        (json!({ "thread": "t1", "filter": { "actor": "did:sync:user:alice" } }), "thread", 10),
        (json!({ "filter": { "actor": "did:sync:user:alice" } }), "actor", 30),
        (json!({ "filter": { "$and": [{ "actor": "did:sync:user:alice" }] } }), "actor", 30),
        (json!({ "filter": { "$or": [{ "thread": "t1" }] } }), "sequence", 30),
        (json!({ "filter": { "$not": { "thread": "t1" } } }), "sequence", 30),
        (json!({}), "sequence", 30),
        (json!({ "filter": { "sequence": { "$gt": 21 } } }), "sequence", 10),
        (json!({ "filter": { "id": "x" } }), "sequence", 30),
    ];
    for (mut query, index, rows) in cases {
        query["explain"] = true.into();
        for sort in [json!({ "sequence": 1 }), json!({ "sequence": -1 }), json!({ "clock": 1 })] {
            query["sort"] = sort;
            assert_eq!(
                server.query(&query)["plan"],
                json!({ "index": index, "rows_scanned": rows }),
                "{query}"
            );
        }
        query["explain"] = false.into();
        assert!(server.query(&query).get("plan").is_none());
    }
}

#[test]
fn capped_means_a_bound_of_ours() {
    let server = Server::start();
    server.wrote_all(&(0..1000).map(|_| record("c", json!({}))).collect::<Vec<_>>());
    server.wrote(&record("c", json!({})));
    for (limit, capped, more) in
        [(10, false, true), (1000, false, true), (1001, true, true), (5000, true, true)]
    {
        let page = server.query(&json!({ "limit": limit, "select": ["id"] }));
        assert_eq!((page["capped"] == true, page["next_cursor"].is_string()), (capped, more), "{limit}");
    }
    let all = server.query(&json!({ "limit": 5000, "filter": { "clock": { "$lt": 5 } } }));
    assert_eq!((&all["capped"], &all["next_cursor"]), (&json!(false), &Value::Null));
}
