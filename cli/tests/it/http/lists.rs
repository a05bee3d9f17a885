//! `GET /v1/records` and `/v1/records/{id}`: parameters, filters and order.

use serde_json::{Value, json};

use super::{client::Ask, server::Server};

/// Thirty records on three threads by two actors, of two acts and two kinds.
fn filled() -> (Server, Vec<Value>) {
    let server = Server::start();
    let records: Vec<Value> = (0..30)
        .map(|n| {
            json!({
                "thread": format!("t{}", n % 3),
                "actor": format!("did:sync:user:u{}", n % 2),
                "act": if n % 5 == 0 { "KNOW" } else { "PUT" },
                "body": { "kind": format!("test.kind.k{}", n % 4), "n": n },
            })
        })
        .collect();
    let stored = server.wrote_all(&records);
    (server, stored)
}

fn numbers(rows: &[Value]) -> Vec<u64> {
    rows.iter().map(|row| row["body"]["n"].as_u64().expect("a number")).collect()
}

#[test]
fn filters_narrow_together() {
    let (server, stored) = filled();
    type Filter = fn(&Value) -> bool;
    let cases: [(&str, Filter); 12] = [
        ("thread=t1", |r| r["thread"] == "t1"),
        ("actor=did:sync:user:u1", |r| r["actor"] == "did:sync:user:u1"),
        ("act=KNOW", |r| r["act"] == "KNOW"),
        ("kind=test.kind.k2", |r| r["body"]["kind"] == "test.kind.k2"),
        ("act=KNOW&kind=test.kind.k0", |r| r["act"] == "KNOW" && r["body"]["kind"] == "test.kind.k0"),
        ("thread=t0&actor=did:sync:user:u0&act=PUT", |r| {
            r["thread"] == "t0" && r["actor"] == "did:sync:user:u0" && r["act"] == "PUT"
        }),
        ("thread=t2&since=2", |r| r["thread"] == "t2" && r["clock"].as_u64() >= Some(2)),
        ("thread=t2&until=2", |r| r["thread"] == "t2" && r["clock"].as_u64() <= Some(2)),
        ("actor=did:sync:user:u0&since=1&until=3", |r| {
            r["actor"] == "did:sync:user:u0" && (1..=3).contains(&r["clock"].as_u64().unwrap_or(9))
        }),
        ("thread=t0&since=3&until=2", |_| false),
        ("thread=nothing", |_| false),
        ("kind=test.kind", |_| false),
    ];
    for (query, wanted) in cases {
        let mut expected: Vec<Value> = stored.iter().filter(|r| wanted(r)).cloned().collect();
        let target = format!("/v1/records?{query}");
        assert_eq!(server.get(&target).is(200).rows(), expected, "{query}");
        assert_eq!(server.get(&format!("{target}&order=asc")).rows(), expected, "{query}");
        for limit in [1, 3, 7] {
            assert_eq!(server.pages(&format!("{target}&limit={limit}")).0, expected, "{query} by {limit}");
        }
        expected.reverse();
        assert_eq!(server.get(&format!("{target}&order=desc")).rows(), expected, "{query}");
        assert_eq!(server.pages(&format!("{target}&order=desc&limit=2")).0, expected, "{query}");
    }
}

#[test]
fn limits_are_counted_and_clamped() {
    let (server, _) = filled();
    let page = server.get("/v1/records?act=PUT&limit=4");
    assert_eq!(numbers(&page.rows()), [1, 2, 3, 4]);
    assert!(page.json()["next_cursor"].is_string());
    for limit in ["24", "25", "1000", "1001", "18446744073709551616", "007000"] {
        let page = server.get(&format!("/v1/records?act=PUT&limit={limit}"));
        assert_eq!(page.rows().len(), 24, "{limit}");
    }
    // A page that holds all there is may still name a cursor; the one after it is empty then.
    let (rows, pages) = server.pages("/v1/records?act=PUT&limit=24");
    assert!(rows.len() == 24 && pages <= 2);
}

/// Parameters that no list of records takes.
const BAD: [&str; 36] = [
    "limit=0",
    "limit=-1",
    "limit=abc",
    "limit=",
    "limit=1.5",
    "limit=%2B5",
    "limit=1e3",
    "limit=0x10",
    "limit=1&limit=2",
    "limit=%20",
    "limit=\u{0661}",
    "since=-1",
    "since=x",
    "since=",
    "since=1.0",
    "since=%2B1",
    "since=9223372036854775808",
    "since=1&since=1",
    "until=-1",
    "until=abc",
    "until=%2B1",
    "until=9223372036854775808",
    "order=up",
    "order=",
    "order=ASC",
    "order=asc&order=asc",
    "cursor=",
    "cursor=x",
    "cursor=%00",
    "cursor=!!!!",
    "act=KNOW&act=PUT",
    "bogus=1",
    "Thread=t",
    "thread[]=x",
    "%74hread2=x",
    "offset=1",
];

#[test]
fn malformed_parameters_are_refused() {
    let (server, _) = filled();
    let cursor = server.get("/v1/records?act=PUT&limit=2").json()["next_cursor"].clone();
    let cursor = cursor.as_str().expect("a cursor");
    let mut flipped = cursor.to_owned().into_bytes();
    flipped[0] = if flipped[0] == b'A' { b'B' } else { b'A' };
    let flipped = String::from_utf8(flipped).expect("text");
    let queries = [
        "".to_owned(),
        "limit=3".to_owned(),
        "since=1".to_owned(),
        "order=asc".to_owned(),
        format!("act=KNOW&cursor={cursor}"),
        format!("act=PUT&order=desc&cursor={cursor}"),
        format!("act=PUT&since=0&cursor={cursor}"),
        format!("thread=t1&act=PUT&cursor={cursor}"),
        format!("act=PUT&cursor={flipped}"),
        format!("act=PUT&cursor={cursor}A"),
        format!("act=PUT&cursor={cursor}="),
        format!("act=PUT&cursor={}", &cursor[1..]),
        format!("act=PUT&cursor={cursor}&cursor={cursor}"),
    ];
    for query in queries.into_iter().chain(BAD.iter().map(|q| format!("act=PUT&{q}"))) {
        let query: String =
            query.chars().map(|c| if c.is_ascii() { c.to_string() } else { "%D9%A1".into() }).collect();
        server.refuses(&Ask::get(&format!("/v1/records?{query}")), 400, "INVALID_QUERY");
    }
}

#[test]
fn the_other_lists_and_streams_are_as_strict() {
    let (server, _) = filled();
    let cursor = server.get("/v1/records?act=PUT&limit=2").json()["next_cursor"].clone();
    let cursor = cursor.as_str().expect("a cursor");
    for path in ["/v1/threads", "/v1/tasks", "/v1/threads/t1/records"] {
        for query in ["limit=0", "limit=x", "cursor=x", "cursor=", "bogus=1", "limit=1&limit=1"] {
            server.refuses(&Ask::get(&format!("{path}?{query}")), 400, "INVALID_QUERY");
        }
        server.refuses(&Ask::get(&format!("{path}?cursor={cursor}")), 400, "INVALID_QUERY");
    }
    for query in ["since_clock=-1", "since_clock=x", "bogus=1", "since_clock=1&since_clock=1"] {
        server.refuses(&Ask::get(&format!("/v1/threads/t1/watch?{query}")), 400, "INVALID_QUERY");
        server.refuses(&Ask::get(&format!("/v1/events/stream?{query}")), 400, "INVALID_QUERY");
    }
    for last in ["", "x", "-1", "+1", "1.0", "999999", "18446744073709551616"] {
        let ask = Ask::get("/v1/events/stream").header("last-event-id", last);
        server.refuses(&ask, 400, "INVALID_QUERY");
    }
    server.refuses(&Ask::get("/v1/tasks?status=open"), 400, "INVALID_QUERY");
}

#[test]
fn a_cursor_with_any_position_is_harmless() {
    let (server, stored) = filled();
    let cursor = server.get("/v1/records?act=PUT&limit=2").json()["next_cursor"].clone();
    let decode = |text: &str| data_encoding::BASE64URL_NOPAD.decode(text.as_bytes()).expect("base64url");
    let mut bytes = decode(cursor.as_str().expect("a cursor"));
    for position in [0, 1, 5, 31, 32, 1 << 40, u64::MAX - 1, u64::MAX] {
        let at = bytes.len() - 8;
        bytes[at..].copy_from_slice(&position.to_be_bytes());
        let forged = data_encoding::BASE64URL_NOPAD.encode(&bytes);
        let rows = server.get(&format!("/v1/records?act=PUT&cursor={forged}")).is(200).rows();
        let after = |r: &&Value| r["act"] == "PUT" && r["sequence"].as_u64() > Some(position);
        assert_eq!(rows, stored.iter().filter(after).cloned().collect::<Vec<_>>(), "{position}");
    }
}

#[test]
fn a_record_is_found_by_its_exact_id() {
    let (server, stored) = filled();
    let id = stored[7]["id"].as_str().expect("an id");
    assert_eq!(server.get(&format!("/v1/records/{id}")).is(200).json(), stored[7]);
    let others = [
        id.to_uppercase(),
        id[1..].to_owned(),
        format!("{id}0"),
        format!("{id}%20"),
        "0".repeat(64),
        "x".to_owned(),
        "%00".to_owned(),
        "%FF".to_owned(),
        "..%2f..".to_owned(),
        "t1".to_owned(),
        format!("%{:02x}{}", id.as_bytes()[0] ^ 1, &id[1..]),
    ];
    for other in others {
        server.refuses(&Ask::get(&format!("/v1/records/{other}")), 404, "RECORD_NOT_FOUND");
    }
    server.refuses(&Ask::get(&format!("/v1/records/{id}/")), 404, "NOT_FOUND");
    server.refuses(&Ask::get(&format!("/v1/records/{id}?x=1")), 400, "INVALID_QUERY");
    server.get(&format!("/v1/records/%{:02x}{}", id.as_bytes()[0], &id[1..])).is(200);
}
