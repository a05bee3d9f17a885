//! Where a stream starts and what it carries.

use serde_json::json;

use crate::raw::{Server, envelope};

const EVENTS: &str = "/v1/events/stream";

fn resume(server: &Server, path: &str, last: u64, count: usize) -> Vec<u64> {
    server.events(path, &format!("last-event-id: {last}\r\n")).sequences(count)
}

#[test]
fn a_stream_begins_with_a_heartbeat_and_carries_what_is_written() {
    let server = Server::memory();
    let mut events = server.events(EVENTS, "");
    let head = events.head.to_ascii_lowercase();
    for line in [
        "content-type: text/event-stream",
        "cache-control: no-store",
        "x-accel-buffering: no",
        "x-request-id: ",
    ] {
        assert!(head.contains(line), "{line} in {head}");
    }
    let heartbeat = events.next();
    assert_eq!((heartbeat.name.as_str(), heartbeat.id, heartbeat.retry), ("heartbeat", Some(1), Some(1000)));
    assert_eq!(heartbeat.json(), json!({ "cursor": "1" }));

    let stored = server.client().post(&envelope("th.a", "did:sync:user:a", None, &json!({"n": 1}))).is(201);
    let event = events.next();
    assert_eq!((event.name.as_str(), event.id), ("record.created", Some(2)));
    let data = event.json();
    assert_eq!(data["record"], stored.json());
    assert_eq!(data["id"], stored.json()["id"]);
    assert_eq!(data["cursor"], "2");
}

#[test]
fn a_stream_resumes_strictly_after_the_last_event() {
    let server = Server::memory();
    let mut client = server.client();
    let all: Vec<u64> = (0..10).map(|n| client.put("th.a", &json!({ "n": n }))).collect();
    assert_eq!(all, (2..=11).collect::<Vec<_>>());
    for path in [EVENTS, "/v1/threads/th.a/watch"] {
        assert_eq!(resume(&server, path, 0, 10), all);
        assert_eq!(resume(&server, path, 6, 5), all[5..]);
        for malformed in ["12", "-1", "+1", "x", "", "1 2", "1.0", "99999999999999999999999"] {
            let request =
                format!("GET {path} HTTP/1.1\r\nhost: localhost\r\nlast-event-id: {malformed}\r\n\r\n");
            let mut client = server.client();
            client.write(request.as_bytes()).unwrap();
            client.reply().unwrap().refuses(400, "INVALID_QUERY");
        }
    }
    let mut at_head = server.events(EVENTS, "last-event-id: 11\r\n");
    assert_eq!(at_head.next().id, Some(11), "nothing but a heartbeat");
    let next = client.put("th.a", &json!({}));
    assert_eq!(at_head.next().id, Some(next));
}

#[test]
fn since_clock_sends_what_is_stored_and_goes_on_live() {
    let server = Server::memory();
    let mut client = server.client();
    for clock in [5, 1, 9, 7] {
        client.post(&envelope("th.a", "did:sync:user:a", Some(clock), &json!({}))).is(201);
    }
    let mut events = server.events("/v1/threads/th.a/watch?since_clock=6", "");
    assert_eq!(events.next().id, Some(3), "the position before the first record that it carries");
    assert_eq!(events.sequences(2), [4, 5]);
    client.post(&envelope("th.a", "did:sync:user:a", Some(2), &json!({}))).is(201);
    assert_eq!(events.sequences(1), [6], "live records have any clock");

    let mut none = server.events("/v1/events/stream?since_clock=100", "");
    assert_eq!(none.next().id, Some(6), "nothing stored: the head");
    // Last-Event-ID wins: a browser that reconnects sends both.
    let mut both = server.events("/v1/events/stream?since_clock=100", "last-event-id: 4\r\n");
    assert_eq!(both.sequences(2), [5, 6]);
    for malformed in ["-1", "x", "", "9223372036854775808"] {
        client.get(&format!("{EVENTS}?since_clock={malformed}")).refuses(400, "INVALID_QUERY");
    }
}

#[test]
fn a_client_that_drops_before_its_first_record_resumes_right() {
    let server = Server::memory();
    let mut client = server.client();
    for clock in 0..6 {
        client.post(&envelope("th.a", "did:sync:user:a", Some(clock), &json!({}))).is(201);
    }
    let mut events = server.events("/v1/threads/th.a/watch?since_clock=3", "");
    let first = events.next().id.unwrap();
    drop(events);
    assert_eq!(resume(&server, "/v1/threads/th.a/watch", first, 3), [5, 6, 7]);

    let mut live = server.events(EVENTS, "");
    let first = live.next().id.unwrap();
    drop(live);
    let missed = client.put("th.a", &json!({}));
    assert_eq!(resume(&server, EVENTS, first, 1), [missed]);
}

#[test]
fn filters_narrow_a_stream() {
    let mut server = Server::disk();
    let mut client = server.client();
    let mut clocks = [30, 20, 10, 40].into_iter();
    let mut post = |thread: &str, actor: &str, act: &str, kind: &str| {
        let clock = clocks.next().unwrap();
        let record =
            json!({ "thread": thread, "actor": actor, "act": act, "clock": clock, "body": { "kind": kind } });
        client.post(&record).is(201).json()["sequence"].as_u64().unwrap()
    };
    let a = post("th.a", "did:sync:user:a", "PUT", "test.kind.one");
    let b = post("th.b", "did:sync:user:b", "KNOW", "test.kind.two");
    let c = post("th.c c", "did:sync:user:a", "DO", "test.kind.two");
    let end = post("th.a", "did:sync:user:b", "KNOW", "test.kind.one");
    let cases: [(&str, &[u64]); 9] = [
        ("thread=th.a", &[a, end]),
        ("thread=th.a&thread=th.b", &[a, b, end]),
        ("thread=th.c+c", &[c]),
        ("thread=th.c%20c&thread=nobody", &[c]),
        ("kind=test.kind.two", &[b, c]),
        ("actor=did:sync:user:a", &[a, c]),
        ("act=KNOW", &[b, end]),
        ("act=KNOW&kind=test.kind.one&actor=did:sync:user:b&thread=th.a", &[end]),
        ("", &[a, b, c, end]),
    ];
    // From what is kept in memory, then from the log alone.
    for from in ["memory", "the log"] {
        for (query, expected) in cases {
            let mut events = server.events(&format!("{EVENTS}?{query}"), "last-event-id: 0\r\n");
            assert_eq!(events.sequences(expected.len()), expected, "{query} from {from}");
        }
        let mut late = server.events(&format!("{EVENTS}?since_clock=25"), "");
        assert_eq!(late.sequences(2), [a, end], "since a clock, from {from}");
        if from == "memory" {
            server.stop();
            server.run(&[]);
        }
    }
    let mut client = server.client();
    let refused = client.get(&format!("{EVENTS}?threads=th.a")).refuses(400, "INVALID_QUERY").text();
    assert!(refused.contains("thread, kind, actor, act"), "{refused}");
    client.get(&format!("{EVENTS}?kind=a&kind=b")).refuses(400, "INVALID_QUERY");
}

#[test]
fn what_a_caller_may_not_see_is_silence() {
    let mut server = Server::memory();
    let mut streams: Vec<_> = ["th_identity", "th_audit_tokens", "th_nobody", "nobody%0Ahere"]
        .iter()
        .map(|thread| server.events(&format!("/v1/threads/{thread}/watch"), "last-event-id: 0\r\n"))
        .collect();
    streams.push(server.events("/v1/events/stream?thread=th_identity", "last-event-id: 0\r\n"));
    streams.push(server.events("/v1/events/stream?kind=core.identity.created.v1", "last-event-id: 0\r\n"));
    server.client().put("th.a", &json!({}));
    server.stop();
    for mut events in streams {
        let mut names = Vec::new();
        while let Some(event) = events.try_next().unwrap() {
            names.push(event.name);
        }
        assert_eq!(names, ["heartbeat", "server_shutdown"]);
    }
}

#[test]
fn a_record_is_one_line_for_every_reader() {
    let server = Server::memory();
    let mut events = server.events(EVENTS, "");
    events.next();
    let text = "a\rb\nc\r\nd\u{85}e\u{2028}f\u{2029}g\u{0}h\u{b}i\u{c}j\u{1c}k\u{feff}l: \u{10ffff}";
    let body = json!({ "text": text, "k\u{2028}\u{85}\r\ney": [text], "data: x\n\nevent: y": 1 });
    server.client().put("th\u{feff}ö.a", &body);
    let event = events.next();
    let ends = ['\r', '\n', '\u{85}', '\u{2028}', '\u{2029}', '\u{b}', '\u{c}', '\u{1c}'];
    assert!(!event.data.contains(ends), "{:?}", event.data);
    assert_eq!(event.json()["record"]["body"], body);
    assert_eq!(event.json()["record"]["thread"], "th\u{feff}ö.a");
}
