//! kill -9 under concurrent load.

use std::{
    collections::{BTreeMap, HashMap},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use nix::sys::signal::Signal;
use serde_json::{Value, json};

use crate::{
    raw::{Client, Server, envelope, now, wait_at_most},
    support::LIMIT,
};

const ROUNDS: u64 = 20;
const WRITERS: u64 = 16;
const BATCH: u64 = 5;

/// An acknowledged record: id and position.
type Acknowledged = (String, u64);

fn acknowledged(record: &Value) -> Acknowledged {
    (record["id"].as_str().unwrap().to_owned(), record["sequence"].as_u64().unwrap())
}

/// Writes until the instance is gone: single records and batches, with assigned clocks and with its own.
fn write_until_killed(port: u16, round: u64, writer: u64, count: &AtomicU64) -> Vec<Acknowledged> {
    let mut acknowledgements = Vec::new();
    let Ok(mut client) = Client::try_connect(port) else { return acknowledgements };
    let actor = format!("did:sync:user:{writer}");
    let thread = format!("th.kill.{}", writer % 4);
    for n in 0.. {
        let explicit = writer.is_multiple_of(2);
        let clock = |m: u64| explicit.then_some((round << 32) + n * BATCH + m);
        // What belongs together says so.
        let batch = format!("{round}.{writer}.{n}");
        let one = |m: u64, size: u64| {
            envelope(&thread, &actor, clock(m), &json!({ "batch": batch, "size": size, "m": m }))
        };
        let body = if n % 3 == 0 {
            json!({ "records": (0..BATCH).map(|m| one(m, BATCH)).collect::<Vec<_>>() })
        } else {
            one(0, 1)
        };
        // An answer counts once all of it has arrived.
        let Ok(reply) = client.try_post(&body) else { return acknowledgements };
        let reply = reply.is(201).json();
        count.fetch_add(1, Ordering::Relaxed);
        match reply["data"].as_array() {
            Some(records) => acknowledgements.extend(records.iter().map(acknowledged)),
            None => acknowledgements.push(acknowledged(&reply)),
        }
    }
    acknowledgements
}

/// Every position once, every acknowledged record where it was, every batch whole.
fn check(server: &Server, all: &[Acknowledged]) {
    let exported = server.export();
    let by_id: HashMap<&str, u64> =
        exported.iter().map(|r| (r["id"].as_str().unwrap(), r["sequence"].as_u64().unwrap())).collect();
    assert_eq!(by_id.len(), exported.len(), "no id twice");
    for (at, record) in exported.iter().enumerate() {
        assert_eq!(record["sequence"].as_u64().unwrap(), at as u64 + 2, "no gap after the identity");
    }
    for (id, sequence) in all {
        assert_eq!(by_id.get(id.as_str()), Some(sequence), "{id} was acknowledged at {sequence}");
    }
    let mut batches: BTreeMap<&str, (u64, u64)> = BTreeMap::new();
    for record in &exported {
        let body = &record["body"];
        batches.entry(body["batch"].as_str().unwrap()).or_insert((body["size"].as_u64().unwrap(), 0)).1 += 1;
    }
    for (batch, (size, found)) in batches {
        assert_eq!(size, found, "batch {batch} is there in part");
    }
}

#[test]
fn twenty_kills_under_load_lose_nothing() {
    let mut server = Server::disk();
    let mut all: Vec<Acknowledged> = Vec::new();
    for round in 0..ROUNDS {
        let port = server.port();
        let count = Arc::new(AtomicU64::new(0));
        let writers: Vec<_> = (0..WRITERS)
            .map(|writer| {
                let count = count.clone();
                std::thread::spawn(move || write_until_killed(port, round, writer, &count))
            })
            .collect();
        // Between a moment and long enough for the index and the head to be written behind.
        let (start, moment) = (now(), Duration::from_millis(round * 61 % 700));
        wait_at_most(LIMIT, "enough is written", || {
            let enough = count.load(Ordering::Relaxed) > 50 && start.elapsed() >= moment;
            enough.then_some(())
        });
        server.signal(Signal::SIGKILL);
        for writer in writers {
            all.extend(writer.join().expect("a writer"));
        }
        server.wait();
        if round % 5 == 4 {
            let report = server.sandbox.spl(&["verify", "--json"]).ok().json();
            assert_eq!(report["ok"], true, "{report:#}");
        }
        let start = now();
        server.run(&[]);
        assert!(start.elapsed() < Duration::from_secs(5), "it started after {:?}", start.elapsed());
        check(&server, &all);
    }
    // The index file, as the instance itself has it.
    let report = server.sandbox.spl_as_admin(&["verify", "--json"]).ok().json();
    assert_eq!(report["ok"], true, "{report:#}");
    let mut client = server.client();
    for (id, sequence) in all.iter().step_by(97) {
        assert_eq!(client.get(&format!("/v1/records/{id}")).is(200).json()["sequence"], *sequence);
    }
    for thread in 0..4 {
        let of_thread = server.export().iter().filter(|r| r["thread"] == format!("th.kill.{thread}")).count();
        let counted = client.get(&format!("/v1/threads/th.kill.{thread}")).is(200).json();
        assert_eq!(counted["record_count"], of_thread);
    }
    server.stop();
    let report = server.sandbox.spl(&["verify", "--json"]).ok().json();
    assert_eq!(report["ok"], true, "{report:#}");
}
