//! Valid requests with something changed at random: never a fault, never a hang.

use std::sync::atomic::{AtomicUsize, Ordering};

use serde_json::json;
use spl_fixtures::random::Random;

use super::{
    client::{Ask, exchange},
    server::{Server, record},
};

const ROUNDS: u64 = 12_000;
const WORKERS: u64 = 4;

fn seeds() -> Vec<Ask> {
    let two = [record("a", json!({ "n": 1.5, "kind": "a.b.c" })), record("b", json!({ "x": [1, {}] }))];
    let records = json!({ "records": two });
    let query = json!({
        "filter": {
            "$or": [{ "body.n": { "$gte": 1 } }, { "thread": { "$like": "a%" } }],
            "$not": { "clock": { "$in": [1, 2] } },
        },
        "sort": { "body.n": -1 }, "limit": 5, "offset": 1, "select": ["id", "body.n"], "explain": true,
    });
    let open = json!({ "goal": "g", "thread": "c", "actor": "did:sync:user:a", "body": { "task": true } });
    vec![
        Ask::post(
            "/v1/records",
            record("a", json!({ "text": "h\u{e9}llo \u{1f3b5}", "n": 12e3 })).to_string(),
        ),
        Ask::post("/v1/records", records.to_string()),
        Ask::post("/v1/records/query", query.to_string()),
        Ask::post("/v1/threads", open.to_string()),
        Ask::get("/v1/records?thread=a&actor=did:sync:user:alice&since=0&until=9&limit=3&order=desc"),
        Ask::get("/v1/records?act=PUT&kind=a.b.c&limit=2&cursor=AAAAAAAAAAAAAAAAAAAAAA"),
        Ask::get("/v1/threads/a/records?since=1&limit=2"),
        Ask::get("/v1/threads/a/state"),
        Ask::get("/v1/tasks?status=inbox&limit=1"),
        Ask::get("/v1/export?since_sequence=2&reserved=false"),
        Ask::get("/v1/verify?head=1:00"),
        Ask::new("DELETE", "/v1/threads/c").header("x-syncropel-actor", "did:sync:user:a"),
        Ask::new("OPTIONS", "/v1/records")
            .header("origin", "http://localhost")
            .header("access-control-request-method", "POST"),
    ]
}

const PIECES: [&[u8]; 24] = [
    b"\"",
    b"{",
    b"}",
    b"[",
    b"]",
    b"\\",
    b"\\u0000",
    b"\\ud800",
    b"null",
    b"1e400",
    b"-0",
    b"99999999999999999999",
    b"\0",
    b"\xff",
    b"\xc3",
    b"%",
    b"%00",
    b"%ff",
    b"&limit=0",
    b"$not",
    b"\r\n",
    b" ",
    b"th_identity",
    b"\"a\":1,\"a\":1",
];

fn mutate(random: &mut Random, bytes: &mut Vec<u8>) {
    let at = random.index(bytes.len() + 1);
    match random.below(6) {
        0 if at < bytes.len() => bytes[at] ^= 1 << random.below(8),
        1 if at < bytes.len() => drop(bytes.remove(at)),
        2 => bytes.truncate(at),
        3 => {
            let piece = PIECES[random.index(PIECES.len())];
            drop(bytes.splice(at..at, piece.iter().copied()));
        }
        4 => {
            let from = random.index(bytes.len() + 1);
            let copied = bytes[from.min(at)..from.max(at)].to_vec();
            drop(bytes.splice(at..at, copied));
        }
        _ => {
            let end = (at + random.index(8)).min(bytes.len());
            drop(bytes.drain(at..end));
        }
    }
}

/// A seed with its body or its target changed, or the whole of its bytes.
fn send_one(server: &Server, random: &mut Random, seeds: &[Ask]) -> String {
    let mut ask = seeds[random.index(seeds.len())].clone();
    let times = 1 + random.below(4);
    match (random.below(3), ask.body.as_mut()) {
        (0 | 1, Some(body)) => (0..times).for_each(|_| mutate(random, body)),
        (0, None) => {
            let mut target = std::mem::take(&mut ask.target).into_bytes();
            (0..times).for_each(|_| mutate(random, &mut target));
            // What would end the request line is another test's.
            target.retain(|b| b.is_ascii_graphic());
            ask.target = format!("/{}", String::from_utf8_lossy(&target).trim_start_matches('/'));
        }
        _ => {
            let mut bytes = ask.bytes(server.port);
            (0..times).for_each(|_| mutate(random, &mut bytes));
            return raw(server, &bytes);
        }
    }
    match exchange(server.port, &ask) {
        Ok(answer) => {
            assert_ne!(answer.status, 500, "{ask:?}: {}", answer.text());
            answer.status.to_string()
        }
        Err(error) => panic!("{ask:?}: {error}"),
    }
}

fn raw(server: &Server, bytes: &[u8]) -> String {
    let answer = server.raw(bytes);
    let line: Vec<u8> = answer.iter().copied().take_while(|b| *b != b'\r').collect();
    let line = String::from_utf8_lossy(&line).into_owned();
    assert!(!line.contains(" 500"), "{:?}: {line}", String::from_utf8_lossy(bytes));
    line
}

#[test]
fn nothing_random_is_a_fault() {
    let server = Server::start();
    let seeds = seeds();
    for seed in &seeds[..4] {
        server.send(seed).is(if seed.target.ends_with("query") { 200 } else { 201 });
    }
    let refused = AtomicUsize::new(0);
    std::thread::scope(|scope| {
        for worker in 0..WORKERS {
            let (server, seeds, refused) = (&server, &seeds, &refused);
            scope.spawn(move || {
                let mut random = Random::new(0x5eed + worker);
                for _ in 0..ROUNDS / WORKERS {
                    let answer = send_one(server, &mut random, seeds);
                    refused.fetch_add(usize::from(answer.contains('4')), Ordering::Relaxed);
                }
            });
        }
    });
    assert!(refused.into_inner() > 1000, "hardly anything was malformed");
    server.is_well();
    server.instance.spl_as_admin(&["verify"]).ok();
}
