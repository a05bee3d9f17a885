//! Exactly sequence order, with no gap and no repeat, however slow and however often cut off a reader is.

use std::{
    sync::atomic::{AtomicBool, AtomicU64, Ordering},
    time::Duration,
};

use serde_json::{Value, json};

use crate::raw::{Server, envelope, wait_at_most};

/// Numbers that only look random.
fn scramble(seed: u64) -> impl FnMut(u64) -> u64 {
    let mut state = seed;
    move |bound| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) % bound
    }
}

#[test]
fn no_gap_and_no_repeat_across_reconnects_while_eight_write() {
    const WRITERS: u64 = 8;
    const RECONNECTS: u64 = 20;
    let server = Server::disk();
    let done = AtomicBool::new(false);
    let written = AtomicU64::new(1);
    let mut seen = Vec::new();
    std::thread::scope(|scope| {
        for writer in 0..WRITERS {
            let (server, done, written) = (&server, &done, &written);
            scope.spawn(move || {
                let mut client = server.client();
                let actor = format!("did:sync:user:{writer}");
                for n in 0_u64.. {
                    if done.load(Ordering::Relaxed) {
                        return;
                    }
                    let one = |n: u64| envelope("th.order", &actor, None, &json!({ "n": n }));
                    let body = if n % 5 == 0 { json!({ "records": [one(n), one(n)] }) } else { one(n) };
                    let reply = client.post(&body).is(201).json();
                    let last = reply["data"][1]["sequence"].as_u64().or(reply["sequence"].as_u64());
                    written.fetch_max(last.expect("a sequence"), Ordering::Relaxed);
                }
            });
        }
        let mut random = scramble(7);
        let mut cursor = 1;
        for reconnect in 0..RECONNECTS {
            let paths = [
                "/v1/events/stream",
                "/v1/threads/th.order/watch",
                "/v1/events/stream?thread=th.order&thread=x",
            ];
            let path = paths[(reconnect % 3) as usize];
            let mut events = server.events(path, &format!("last-event-id: {cursor}\r\n"));
            for _ in 0..random(60) {
                let event = events.next();
                cursor = event.id.expect("an id");
                if event.name == "record.created" {
                    seen.push(cursor);
                }
            }
        }
        done.store(true, Ordering::Relaxed);
    });
    let last = seen.last().copied().unwrap_or(1);
    let end = written.load(Ordering::Relaxed);
    let mut rest = server.events("/v1/events/stream", &format!("last-event-id: {last}\r\n"));
    seen.extend(rest.sequences(usize::try_from(end - last).unwrap()));
    assert_eq!(seen, (2..=end).collect::<Vec<_>>());
    let exported: Vec<u64> = server.export().iter().map(|r| r["sequence"].as_u64().unwrap()).collect();
    assert_eq!(seen, exported);
}

/// Batches of `size` records with bodies of 1 to 10 KiB.
fn write_large(server: &Server, batches: u64, size: u64) {
    let mut client = server.client();
    let text = "x".repeat(10 * 1024);
    for batch in 0..batches {
        let records: Vec<Value> = (0..size)
            .map(|n| {
                let clock = batch * size + n;
                let length = 1024 + (clock * 7919 % (9 * 1024)) as usize;
                envelope("th.large", "did:sync:user:large", Some(clock), &json!({ "text": &text[..length] }))
            })
            .collect();
        client.post(&json!({ "records": records })).is(201);
    }
}

#[test]
fn a_reader_that_slept_through_twenty_thousand_records_gets_them_all() {
    const RECORDS: u64 = 20_000;
    let server = Server::disk();
    let mut sleeper = server.events("/v1/events/stream", "");
    assert_eq!(sleeper.next().id, Some(1));
    write_large(&server, RECORDS / 1000, 1000);
    let mut seen = 1;
    while seen < RECORDS + 1 {
        match sleeper.try_next() {
            Ok(Some(event)) if event.name == "record.created" => {
                assert_eq!(event.id, Some(seen + 1));
                seen += 1;
            }
            Ok(Some(_)) => {}
            // Who takes nothing for thirty seconds is closed, and comes back.
            Ok(None) | Err(_) => {
                sleeper = server.events("/v1/events/stream", &format!("last-event-id: {seen}\r\n"));
            }
        }
    }
    let peak = server.peak_mib();
    assert!(peak < 300, "the instance took {peak} MiB");
}

/// A stream looks at so much at a time, and goes on where it stopped.
#[test]
fn what_is_for_a_stream_is_found_behind_much_that_is_not() {
    let server = Server::disk();
    let mut client = server.client();
    let queries = ["kind=wanted.v1", "act=KNOW", "thread=th.wanted"];
    let mut live = queries.map(|query| server.events(&format!("/v1/events/stream?{query}"), ""));
    let mut sent = Vec::new();
    let mut wanted = envelope("th.wanted", "did:sync:user:a", None, &json!({ "kind": "wanted.v1" }));
    wanted["act"] = "KNOW".into();
    // More bytes than one look takes, then many records: of the log more than one look takes. Last some that end a
    // test which would wait for what it does not get.
    for (count, size) in [(40, 150 * 1024), (999, 10), (999, 10), (0, 0), (0, 0), (0, 0)] {
        let other = json!({ "kind": "other.v1", "text": "x".repeat(size) });
        let mut records = vec![envelope("th.much", "did:sync:user:a", None, &other); count];
        records.push(wanted.clone());
        client.post(&json!({ "records": records })).is(201);
        sent.push(server.metric("spl_log_records"));
    }
    let some = &sent[..3];
    live.iter_mut().for_each(|stream| assert_eq!(stream.sequences(some.len()), some));
    // And from the log.
    for query in queries {
        let mut late = server.events(&format!("/v1/events/stream?{query}"), "last-event-id: 0\r\n");
        assert_eq!(late.sequences(some.len()), some, "{query}");
    }
}

#[test]
fn two_hundred_subscribers_all_get_everything() {
    const RECORDS: u64 = 50;
    let server = Server::memory();
    std::thread::scope(|scope| {
        for subscriber in 0..200 {
            let mut events = server.events("/v1/events/stream", "");
            assert_eq!(events.next().name, "heartbeat");
            scope.spawn(move || {
                let seen = events.sequences(RECORDS as usize);
                assert_eq!(seen, (2..2 + RECORDS).collect::<Vec<_>>(), "subscriber {subscriber}");
            });
        }
        assert_eq!(server.metric("spl_streams"), 200);
        let mut client = server.client();
        for n in 0..RECORDS {
            client.put("th.a", &json!({ "n": n }));
        }
    });
    wait_at_most(Duration::from_secs(10), "all streams have ended", || {
        (server.metric("spl_streams") == 0).then_some(())
    });
}

#[test]
fn stalled_streams_of_large_records_take_bounded_memory() {
    const STREAMS: usize = 60;
    let server = Server::disk();
    let mut client = server.client();
    let text = "x".repeat(250 * 1024);
    for batch in 0..8 {
        let records: Vec<Value> = (0..25)
            .map(|n| envelope("th.huge", "did:sync:user:a", Some(batch * 25 + n), &json!({ "t": text })))
            .collect();
        client.post(&json!({ "records": records })).is(201);
    }
    let paths = ["/v1/events/stream", "/v1/threads/th.huge/watch"];
    let stalled: Vec<_> = (0..STREAMS).map(|n| server.events(paths[n % 2], "last-event-id: 0\r\n")).collect();
    // While they hold what they may, another reader still gets all.
    let mut reader = server.events("/v1/events/stream", "last-event-id: 0\r\n");
    let mut seen = 1;
    while seen < 201 {
        match reader.try_next() {
            Ok(Some(event)) if event.name == "record.created" => {
                assert_eq!(event.id, Some(seen + 1));
                seen += 1;
            }
            Ok(Some(_)) => {}
            Ok(None) | Err(_) => {
                reader = server.events("/v1/events/stream", &format!("last-event-id: {seen}\r\n"));
            }
        }
    }
    let peak = server.peak_mib();
    assert!(peak < 400, "{} stalled streams took {peak} MiB", stalled.len());
}
