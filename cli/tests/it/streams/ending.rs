//! How streams end: with their client, with the instance, and when nobody takes what they send.

use std::{
    sync::atomic::{AtomicBool, Ordering},
    time::Duration,
};

use nix::sys::signal::Signal;
use serde_json::{Value, json};

use crate::raw::{Events, Server, envelope, now, wait_at_most};

/// Enough that it does not fit into the buffers of a connection.
fn write_much(server: &Server) {
    let text = "x".repeat(200 * 1024);
    let mut client = server.client();
    for batch in 0..4 {
        let records: Vec<Value> = (0..20)
            .map(|n| envelope("th.much", "did:sync:user:a", Some(batch * 20 + n), &json!({ "t": text })))
            .collect();
        client.post(&json!({ "records": records })).is(201);
    }
}

fn names(mut events: Events) -> Vec<String> {
    let mut names = Vec::new();
    while let Ok(Some(event)) = events.try_next() {
        names.push(event.name);
    }
    names
}

#[test]
fn a_shutdown_tells_who_reads_and_waits_for_nobody() {
    let mut server = Server::disk();
    write_much(&server);
    let stalled: Vec<Events> =
        (0..25).map(|_| server.events("/v1/events/stream", "last-event-id: 0\r\n")).collect();
    let readers: Vec<_> = (0..25)
        .map(|_| {
            let mut events = server.events("/v1/events/stream", "");
            assert_eq!(events.next().name, "heartbeat");
            std::thread::spawn(move || {
                let last = events.next();
                assert_eq!(last.name, "server_shutdown");
                assert!(events.try_next().unwrap().is_none(), "nothing comes after it");
                last.json()
            })
        })
        .collect();
    let start = now();
    server.signal(Signal::SIGTERM);
    assert_eq!(server.wait(), Some(0));
    let took = start.elapsed();
    assert!(took < Duration::from_secs(2), "the shutdown took {took:?}");
    for reader in readers {
        let told = reader.join().expect("a reader that was told");
        assert_eq!((&told["code"], &told["retry_after_ms"]), (&json!("server_shutdown"), &json!(2000)));
    }
    drop(stalled);
    assert!(!server.sandbox.home().join("run/instance.json").exists());
}

#[test]
fn a_reader_that_lags_but_reads_is_told_of_the_shutdown() {
    let mut server = Server::disk();
    write_much(&server);
    let mut events = server.events("/v1/events/stream", "last-event-id: 0\r\n");
    events.record();
    server.signal(Signal::SIGTERM);
    let names = names(events);
    assert_eq!(names.last().map(String::as_str), Some("server_shutdown"), "{names:?}");
    assert_eq!(server.wait(), Some(0));
}

#[test]
fn a_second_signal_ends_at_once() {
    let mut server = Server::disk();
    write_much(&server);
    let stalled: Vec<Events> =
        (0..10).map(|_| server.events("/v1/events/stream", "last-event-id: 0\r\n")).collect();
    let start = now();
    server.signal(Signal::SIGINT);
    let log = server.sandbox.home().join("logs/spl.log");
    wait_at_most(Duration::from_secs(5), "the first signal has arrived", || {
        std::fs::read_to_string(&log).ok()?.contains("a second signal ends at once").then_some(())
    });
    server.signal(Signal::SIGTERM);
    assert_eq!(server.wait(), Some(1));
    assert!(start.elapsed() < Duration::from_millis(1200), "it took {:?}", start.elapsed());
    drop(stalled);
    server.run(&[]);
    assert_eq!(server.export().len(), 80);
}

#[test]
fn a_client_that_goes_takes_its_stream_with_it() {
    let server = Server::disk();
    write_much(&server);
    let kinds = ["", "last-event-id: 0\r\n"];
    let streams: Vec<_> = (0..40).map(|n| server.events("/v1/events/stream", kinds[n % 2])).collect();
    assert_eq!(server.metric("spl_streams"), 40);
    drop(streams);
    wait_at_most(Duration::from_secs(10), "all streams have ended", || {
        (server.metric("spl_streams") == 0).then_some(())
    });
}

pub(crate) fn a_quiet_stream_of_a_busy_instance_has_its_heartbeats() {
    let server = Server::memory();
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let mut quiet = server.events("/v1/threads/th.quiet/watch", "");
        let first = quiet.next().id.unwrap();
        let start = now();
        let (server, done) = (&server, &done);
        scope.spawn(move || {
            let mut client = server.client();
            while !done.load(Ordering::Relaxed) && start.elapsed() < Duration::from_secs(25) {
                client.put("th.busy", &json!({}));
            }
        });
        let second = quiet.next();
        done.store(true, Ordering::Relaxed);
        assert_eq!(second.name, "heartbeat");
        assert!(second.id.unwrap() > first, "it says how far the stream is");
        let waited = start.elapsed();
        assert!(waited < Duration::from_secs(20), "the heartbeat came after {waited:?}");
    });
}

pub(crate) fn a_client_that_takes_nothing_is_closed() {
    let server = Server::disk();
    write_much(&server);
    let mut stalled: Vec<_> =
        (0..5).map(|_| server.events("/v1/events/stream", "last-event-id: 0\r\n")).collect();
    let start = now();
    wait_at_most(Duration::from_secs(50), "the stalled streams are closed", || {
        (server.metric("spl_streams") == 0).then_some(())
    });
    let waited = start.elapsed();
    assert!(waited > Duration::from_secs(20), "closed after {waited:?} already");
    // What was on its way arrives, and then the end.
    for events in stalled.drain(..) {
        let names = names(events);
        assert!(names.len() < 80, "{} events", names.len());
    }
}
