//! Streams follow what becomes of their token.

use std::time::Duration;

use serde_json::{Value, json};

use super::kit::{ADMIN, ALICE, Caller, EndsWith, Node, Token, record, until_end};
use crate::{
    raw::{Client, Event, Events, now},
    support::wait_until,
};

/// A stream ends this soon.
const SOON: Duration = Duration::from_secs(1);

fn ids(events: &[Event]) -> Vec<u64> {
    events.iter().filter(|e| e.name == "record.created").filter_map(|e| e.id).collect()
}

/// Insists that a stream is told why it ends, and ends. Gives what it carried.
#[track_caller]
fn ends_revoked(stream: &mut Events) -> Vec<Event> {
    let events = until_end(stream);
    let last = events.last().expect("an event");
    assert_eq!((last.name.as_str(), &last.json()["code"]), ("error", &json!("revoked")), "{last:?}");
    assert_eq!(last.id, None, "nobody resumes after an end");
    assert_eq!(events.iter().filter(|e| e.name == "error").count(), 1);
    events
}

/// Streams of a token end when `come` ends it; its record's position, where there is one.
fn streams_end(node: &Node, admin: &Caller, token: &Token, come: impl FnOnce() -> Option<Value>) {
    let caller = node.as_token(token);
    let thread = format!("s.{}", &token.id[..8]);
    let mut streams = [
        caller.events("/v1/events/stream"),
        caller.events(&format!("/v1/threads/{thread}/watch")),
        caller.events(&format!("/v1/events/stream?thread={thread}&thread=other")),
        caller.events_after("/v1/events/stream", 0),
    ];
    // Each has begun: it carries what is written now.
    let first = admin.wrote(&record(&thread, ADMIN, json!({ "n": 0 })))["sequence"].as_u64();
    streams[..3].iter_mut().for_each(|s| assert_eq!(s.record().id, first));
    let done = std::sync::atomic::AtomicBool::new(false);
    let (ended, last, carried) = std::thread::scope(|scope| {
        // Others write on without a pause.
        let writer = scope.spawn(|| {
            let mut connection = Client::connect(node.port);
            while !done.load(std::sync::atomic::Ordering::Acquire) {
                let more = record(&thread, ADMIN, json!({ "n": 1 }));
                admin.over(&mut connection, "POST", "/v1/records", Some(&more)).expect("an answer").is(201);
            }
        });
        let ends = EndsWith(&done);
        let last = come().map(|id| admin.sequence_of(&id));
        let at = now();
        let carried: Vec<Vec<u64>> = streams.iter_mut().map(|s| ids(&ends_revoked(s))).collect();
        let ended = at.elapsed();
        drop(ends);
        writer.join().expect("a writer");
        (ended, last, carried)
    });
    assert!(ended < SOON, "they ended after {ended:?}");
    for carried in carried {
        assert!(carried.is_sorted_by(|a, b| a < b), "{carried:?}");
        if let (Some(last), Some(carried)) = (last, carried.last()) {
            assert!(*carried < last, "record {carried} was sent, and the token ended at {last}");
        }
    }
    // And none begins.
    let reply = caller.get(&format!("/v1/threads/{thread}/watch"));
    assert!(matches!(reply.status, 401 | 403), "{}", reply.text());
}

#[test]
fn they_end_with_their_token() {
    let node = Node::memory();
    let admin = node.admin();
    let token = admin.contributor(ALICE);
    streams_end(&node, &admin, &token, || {
        Some(admin.delete(&format!("/v1/tokens/{}", token.id)).is(200).json()["record_id"].clone())
    });
}

#[test]
fn they_end_with_their_account() {
    let node = Node::memory();
    let admin = node.admin();
    let token = admin.contributor(ALICE);
    streams_end(&node, &admin, &token, || {
        let path = format!("/v1/service-accounts/{}", token.account);
        Some(admin.delete(&path).is(200).json()["record_id"].clone())
    });
}

#[test]
fn they_end_with_a_rotation() {
    let node = Node::memory();
    let admin = node.admin();
    let token = admin.contributor(ALICE);
    streams_end(&node, &admin, &token, || {
        let path = format!("/v1/service-accounts/{}/rotate-key", token.account);
        // The record of the new token: the old one's end follows it at once.
        Some(admin.post(&path, &json!({})).is(200).json()["record_id"].clone())
    });
    let token = admin.contributor(ALICE);
    streams_end(&node, &admin, &token, || {
        let path = format!("/v1/tokens/{}/rotate", token.id);
        Some(node.as_token(&token).post(&path, &json!({})).is(200).json()["record_id"].clone())
    });
}

#[test]
fn they_end_where_no_actor_is_left() {
    let node = Node::memory();
    let admin = node.admin();
    let token = admin.contributor(ALICE);
    streams_end(&node, &admin, &token, || {
        let path = format!("/v1/service-accounts/{}", token.account);
        Some(admin.patch(&path, &json!({ "actors": [] })).is(200).json()["record_id"].clone())
    });
}

#[test]
fn they_end_when_their_token_expires() {
    let node = Node::memory();
    let admin = node.admin();
    // Two seconds: streams are opened in the first.
    let body = json!({ "name": "short", "actors": [ALICE], "scopes": ["records:read"], "with_token": true,
        "expires_in_seconds": 2 });
    let token = Token::of(&admin.post("/v1/service-accounts", &body).is(201).json());
    let caller = node.as_token(&token);
    // Nothing else happens on the instance: nobody wakes this one.
    let mut quiet = caller.events("/v1/events/stream");
    streams_end(&node, &admin, &token, || {
        wait_until("it expires", || (node.as_token(&token).get("/v1/identity").status == 401).then_some(()));
        None
    });
    let carried = ends_revoked(&mut quiet);
    let expires_at = admin.rows(&format!("/v1/tokens?service_account_id={}", token.account))[0]["expires_at"]
        .as_str()
        .expect("a time")
        .to_owned();
    for event in carried.iter().filter(|e| e.name == "record.created") {
        let at = event.json()["record"]["created_at"].as_str().expect("a time").to_owned();
        assert!(at < expires_at, "{event:?}");
    }
}

/// However much of the log a stream still has to carry, it is decided anew before each part of it.
#[test]
fn a_stream_that_catches_up_ends_with_its_token() {
    const RECORDS: u64 = 3000;
    let node = Node::disk();
    let admin = node.admin();
    let token = admin.contributor(ALICE);
    // More than the connection's buffers hold, and than is kept for streams.
    let text = "x".repeat(10 * 1024);
    for _ in 0..RECORDS / 500 {
        let records: Vec<Value> =
            (0..500).map(|n| record("much", ADMIN, json!({ "n": n, "text": text }))).collect();
        admin.post("/v1/records", &json!({ "records": records })).is(201);
    }
    let last = admin.head();
    let mut stream = node.as_token(&token).events_after("/v1/events/stream", 0);
    let carried: Vec<u64> = (0..200).map(|_| stream.record().id.expect("an id")).collect();
    admin.delete(&format!("/v1/tokens/{}", token.id)).is(200);
    let rest = ids(&ends_revoked(&mut stream));
    assert!(carried.iter().chain(&rest).is_sorted_by(|a, b| a < b));
    assert!(rest.last().is_some_and(|end| *end < last), "all {RECORDS} were sent after the token's end");
}

#[test]
fn a_quiet_stream_ends_at_the_moment_of_expiry_by_itself() {
    let node = Node::memory();
    let admin = node.admin();
    let body = json!({ "name": "short", "actors": [ALICE], "scopes": ["records:read"], "with_token": true,
        "expires_in_seconds": 1 });
    let token = Token::of(&admin.post("/v1/service-accounts", &body).is(201).json());
    let mut quiet = node.as_token(&token).events("/v1/events/stream");
    let start = now();
    ends_revoked(&mut quiet);
    assert!(start.elapsed() < 2 * SOON, "it ended after {:?}", start.elapsed());
}

#[test]
fn anonymous_ones_end_when_a_token_is_asked_for_again() {
    let node = Node::memory();
    let (admin, anyone) = (node.admin(), node.anyone());
    anyone.get("/v1/events/stream").refuses(401, "AUTH_REQUIRED");
    admin.set("auth_required", &json!({ "enabled": false })).is(201);
    let token = admin.contributor(ALICE);
    let mut streams = [anyone.events("/v1/events/stream"), anyone.events("/v1/threads/a/watch")];
    let mut known = node.as_token(&token).events("/v1/threads/a/watch");
    let first = admin.wrote(&record("a", ADMIN, json!({})))["sequence"].as_u64();
    streams.iter_mut().for_each(|s| assert_eq!(s.record().id, first));
    let set = admin.set("auth_required", &json!({ "enabled": true })).is(201).json();
    let at = now();
    let flipped = admin.sequence_of(&set["record_id"]);
    let after = admin.wrote(&record("a", ADMIN, json!({})))["sequence"].as_u64();
    for stream in &mut streams {
        assert!(ids(&ends_revoked(stream)).iter().all(|id| *id < flipped));
    }
    assert!(at.elapsed() < SOON, "they ended after {:?}", at.elapsed());
    // Whoever has a token stays.
    assert_eq!((known.record().id, known.record().id), (first, after));
}

#[test]
fn a_dead_bearer_opens_none_though_nobody_needs_one() {
    let node = Node::memory();
    let admin = node.admin();
    admin.set("auth_required", &json!({ "enabled": false })).is(201);
    let token = admin.contributor(ALICE);
    let mut open = node.as_token(&token).events("/v1/events/stream");
    admin.delete(&format!("/v1/tokens/{}", token.id)).is(200);
    ends_revoked(&mut open);
    node.as_token(&token).get("/v1/events/stream").refuses(401, "AUTH_INVALID");
}

/// Whether a stream opens now.
fn opens(caller: &Caller, path: &str) -> bool {
    let mut stream = std::net::TcpStream::connect(("127.0.0.1", caller.port)).expect("a connection");
    std::io::Write::write_all(&mut stream, &caller.request("GET", path, None)).expect("a request");
    let mut status = [0; 12];
    std::io::Read::read_exact(&mut stream, &mut status).expect("a status");
    &status == b"HTTP/1.1 200"
}

#[test]
fn a_token_has_a_hundred() {
    let node = Node::memory();
    let admin = node.admin();
    let (one, other) = (admin.contributor(ALICE), admin.contributor("did:sync:user:bob"));
    let caller = node.as_token(&one);
    let mut open: Vec<_> = (0..100)
        .map(|n| caller.events(if n % 2 == 0 { "/v1/events/stream" } else { "/v1/threads/a/watch" }))
        .collect();
    for path in ["/v1/events/stream", "/v1/threads/a/watch"] {
        caller.get(path).refuses(429, "RATE_LIMITED");
    }
    // Those that are open are not disturbed, nor is anybody else.
    let mut others = node.as_token(&other).events("/v1/events/stream");
    let sequence = admin.wrote(&record("a", ADMIN, json!({})))["sequence"].as_u64();
    open.iter_mut().chain([&mut others]).for_each(|s| assert_eq!(s.record().id, sequence));
    open.pop();
    wait_until("there is room again", || {
        // The client that leaves is noticed when something is written for it, or by its end.
        opens(&caller, "/v1/events/stream").then_some(())
    });
}

/// Writes records of which a narrowed token sees every third; gives the positions of those.
fn mixed(admin: &Caller, count: u64) -> Vec<u64> {
    let one = |n: u64| {
        let thread = if n.is_multiple_of(3) { "seen" } else { "hidden" };
        record(thread, ADMIN, json!({ "n": n }))
    };
    let mut seen = Vec::new();
    for start in (0..count).step_by(50) {
        let records: Vec<_> = (start..count.min(start + 50)).map(one).collect();
        let answer = admin.post("/v1/records", &json!({ "records": records })).is(201).json();
        let rows = answer["data"].as_array().expect("rows").clone();
        seen.extend(rows.iter().filter(|r| r["thread"] == "seen").filter_map(|r| r["sequence"].as_u64()));
    }
    seen
}

/// Reads a stream as browsers do, over and over again: whatever has an id moves on what is sent to resume.
/// Breaks off after so many events. Gives the records.
fn read_with_breaks(caller: &Caller, path: &str, count: usize, breaks: impl Fn(usize) -> usize) -> Vec<u64> {
    let (mut last, mut carried, mut connections) = (0, Vec::new(), 0);
    while carried.len() < count {
        let mut stream = caller.events_after(path, last);
        connections += 1;
        assert!(connections < 10 * count, "it comes to no end: {carried:?}");
        for _ in 0..breaks(connections) {
            let event = stream.next();
            if event.name == "record.created" {
                carried.extend(event.id);
            }
            last = event.id.expect("an id");
            if carried.len() == count {
                break;
            }
        }
    }
    carried
}

#[test]
fn a_narrowed_reader_that_breaks_off_gets_each_record_once() {
    let node = Node::memory();
    let admin = node.admin();
    let seen = mixed(&admin, 300);
    let grains = [["thread:seen:read"], ["namespace:default:read"]];
    let all: Vec<u64> = admin
        .rows("/v1/records?actor=did:sync:user:admin&limit=1000")
        .iter()
        .filter_map(|r| r["sequence"].as_u64())
        .collect();
    for (grain, expected) in grains.iter().zip([&seen, &all]) {
        let token = admin.narrowed(ALICE, grain);
        let caller = node.as_token(&token);
        // A connection that ends right after its heartbeat moves nothing back either: `1` at every second one.
        let breaks = |n: usize| if n.is_multiple_of(2) { 1 } else { 8 };
        let carried = read_with_breaks(&caller, "/v1/events/stream", expected.len(), breaks);
        assert_eq!(&carried, expected, "{grain:?}");
    }
    let token = admin.narrowed(ALICE, &["thread:seen:read"]);
    let carried =
        read_with_breaks(&node.as_token(&token), "/v1/threads/seen/watch", seen.len(), |n| 1 + n % 7);
    assert_eq!(carried, seen);
}

#[test]
fn heartbeats_tell_a_narrowed_reader_only_roughly_how_much_there_is() {
    let node = Node::memory();
    let admin = node.admin();
    let caller = node.as_token(&admin.narrowed(ALICE, &["thread:seen:read"]));
    mixed(&admin, 200);
    let tell = |event: &Event, last: u64| {
        let id = event.id.expect("an id");
        assert_eq!(event.json()["cursor"], id.to_string());
        assert!(
            id.is_multiple_of(64) || id == last,
            "a heartbeat at {id}, and {last} was the last record sent"
        );
    };
    // Some live, some that catch up: both have sent a record and looked at others after it.
    let mut live = caller.events("/v1/events/stream");
    let mut behind = caller.events_after("/v1/events/stream", 0);
    let mut of_thread = caller.events_after("/v1/threads/seen/watch", 0);
    let first = [&mut live, &mut behind, &mut of_thread].map(Events::next);
    first.iter().for_each(|event| tell(event, 0));
    let batch: Vec<_> = ["seen", "seen", "hidden", "hidden", "hidden"]
        .iter()
        .enumerate()
        .map(|(n, thread)| record(thread, ADMIN, json!({ "last": n })))
        .collect();
    admin.post("/v1/records", &json!({ "records": batch })).is(201);
    std::thread::scope(|scope| {
        for stream in [&mut live, &mut behind, &mut of_thread] {
            scope.spawn(|| {
                let mut last = 0;
                // The second heartbeat of a stream comes after fifteen seconds.
                loop {
                    let event = stream.next();
                    if event.name == "heartbeat" {
                        return tell(&event, last);
                    }
                    last = event.id.expect("an id");
                }
            });
        }
    });
}
