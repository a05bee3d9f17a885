//! The index is derived: without it, or with rubbish in its place, the answers are the same. And with it a start
//! takes no longer for a longer log.

use std::{fs, os::unix::fs::FileExt as _, time::Duration};

use serde_json::{Value, json};

use crate::raw::{Server, envelope, now, wait_at_most};

fn answers(server: &Server) -> Vec<Value> {
    let mut client = server.client();
    let export = server.export();
    let mut answers = vec![json!(export)];
    for path in [
        "/v1/threads",
        "/v1/threads/th.0/state",
        "/v1/threads/th.1/participants",
        "/v1/records?actor=did:sync:user:1&limit=1000",
        "/v1/tasks",
    ] {
        answers.push(client.get(path).is(200).json());
    }
    for record in export.iter().step_by(37) {
        answers.push(client.get(&format!("/v1/records/{}", record["id"].as_str().unwrap())).is(200).json());
    }
    answers
}

#[test]
fn without_its_index_an_instance_answers_the_same() {
    let mut server = Server::disk();
    let mut client = server.client();
    for n in 0..300_u64 {
        let body = json!({ "n": n, "task": true, "alias": "a", "goal": "g" });
        let mut record =
            envelope(&format!("th.{}", n % 7), &format!("did:sync:user:{}", n % 3), Some(n), &body);
        record["act"] = if n % 50 < 7 { "INTEND".into() } else { "DO".into() };
        client.post(&record).is(201);
    }
    let expected = answers(&server);
    server.stop();
    let index = server.sandbox.home().join("log.index.redb");
    let good = fs::read(&index).unwrap();
    let mut holes = good.clone();
    for block in holes.chunks_mut(4096).skip(1).step_by(2) {
        block.fill(0xa5);
    }
    let mut older = Server::disk();
    older.stop();
    let foreign = fs::read(older.sandbox.home().join("log.index.redb")).unwrap();
    let log = fs::read(server.sandbox.home().join("log.redb")).unwrap();
    let cases: [(&str, Option<&[u8]>); 9] = [
        ("gone", None),
        ("empty", Some(b"")),
        ("text", Some(b"rubbish")),
        ("zeros", Some(&[0; 65536])),
        ("half", Some(&good[..good.len() / 2])),
        ("its first page", Some(&good[..4096])),
        ("holes", Some(&holes)),
        ("of another instance", Some(&foreign)),
        ("a log", Some(&log)),
    ];
    for (name, content) in cases {
        match content {
            None => fs::remove_file(&index).unwrap(),
            Some(content) => fs::write(&index, content).unwrap(),
        }
        server.run(&[]);
        assert_eq!(answers(&server), expected, "{name}");
        let report = server.sandbox.spl_as_admin(&["verify", "--json"]).ok().json();
        assert_eq!(report["ok"], true, "{name}: {report:#}");
        server.stop();
    }
}

/// Far less than the log of 60,000 records.
const LITTLE: u64 = 2 * 1024 * 1024;

/// Waits until the index file has caught up.
fn is_indexed(server: &Server) {
    wait_at_most(Duration::from_secs(20), "the index is written", || {
        (server.metric("spl_index_behind_records") == 0).then_some(())
    });
}

/// Bytes that a process has read so far.
fn bytes_read(pid: i32) -> u64 {
    let text = fs::read_to_string(format!("/proc/{pid}/io")).expect("a process");
    text.lines().find_map(|l| l.strip_prefix("rchar: ")).expect("the number").parse().expect("a number")
}

#[test]
fn a_start_takes_no_longer_for_a_longer_log() {
    let mut server = Server::disk();
    server.client().put("th.a", &json!({}));
    server.stop();
    server.run(&[]);
    let small = bytes_read(server.pid());
    let mut client = server.client();
    for batch in 0..60_u64 {
        let records: Vec<Value> = (0..1000)
            .map(|n| {
                envelope(
                    &format!("th.{}", n % 50),
                    "did:sync:user:a",
                    None,
                    &json!({ "n": batch * 1000 + n, "t": "x".repeat(200) }),
                )
            })
            .collect();
        client.post(&json!({ "records": records })).is(201);
    }
    is_indexed(&server);
    server.stop();
    let start = now();
    server.run(&[]);
    let took = start.elapsed();
    let large = bytes_read(server.pid());
    assert!(took.as_secs() < 2, "it took {took:?} after a stop");
    // With debug assertions the engine walks through the whole file at each start.
    let walks = cfg!(debug_assertions);
    assert!(walks || large < small + LITTLE, "{small} bytes were read for one record, {large} for 60,000");
    // Long enough after the last write the index is in its file, and a kill finds it there.
    server.client().put("th.a", &json!({}));
    is_indexed(&server);
    server.kill();
    let start = now();
    server.run(&[]);
    let took = start.elapsed();
    let killed = bytes_read(server.pid());
    assert!(took.as_secs() < 2, "it took {took:?} after a kill");
    assert!(
        walks || killed < small + LITTLE,
        "{small} bytes were read for one record, {killed} after a kill"
    );
    assert_eq!(server.metric("spl_log_records"), 60_003);
}

/// Damage under a running instance costs answers, never a caller that waits for a writer that is gone.
#[test]
fn an_index_damaged_while_in_use_leaves_nobody_waiting() {
    const RECORDS: u64 = 100_000;
    const THREADS: u64 = 30_000;
    let mut server = Server::disk();
    let mut client = server.client();
    // More than the storage engine keeps in memory of it.
    for batch in 0..RECORDS / 1000 {
        let one =
            |n: u64| envelope(&format!("th.{}", n % THREADS), "did:sync:user:a", Some(n), &json!({ "n": n }));
        let records: Vec<Value> = (batch * 1000..(batch + 1) * 1000).map(one).collect();
        client.post(&json!({ "records": records })).is(201);
    }
    server.stop();
    server.run(&[]);
    let index = server.sandbox.home().join("log.index.redb");
    let length = fs::metadata(&index).unwrap().len();
    let file = fs::OpenOptions::new().write(true).open(&index).unwrap();
    for at in (4096..length).step_by(4096) {
        file.write_all_at(&[0xa5; 4096], at).unwrap();
    }
    let mut statuses = Vec::new();
    let mut client = server.client();
    for n in (0..RECORDS).step_by(197) {
        // A clock that is taken: the writer has to ask the index who holds it, all over the file.
        let thread = format!("th.{}", n % THREADS);
        let taken = envelope(&thread, "did:sync:user:a", Some(n), &json!({ "other": n }));
        statuses.push(client.try_post(&taken).expect("an answer").status);
        let read = client.try_send("GET", &format!("/v1/threads/{thread}/records?limit=5"), b"");
        statuses.push(read.expect("an answer").status);
    }
    let new = envelope("th.new", "did:sync:user:b", None, &json!({}));
    statuses.push(client.try_post(&new).expect("an answer").status);
    assert!(statuses.iter().all(|s| [200, 201, 400, 500].contains(s)), "{statuses:?}");
    assert!(statuses.contains(&500), "the damage was not met");
    // From then on whoever asks how the instance is hears of it and what to do, whatever memory still holds.
    let health = client.get("/health").is(200).json();
    assert_eq!(health["records"], Value::Null);
    assert_eq!(health["status"], "degraded");
    assert!(health["warnings"].to_string().contains("delete log.index.redb"), "{health}");
    let status = server.sandbox.spl(&["status"]).ok().stdout;
    assert!(status.contains("not known") && status.contains("log.index.redb"), "{status}");
    let doctor = server.sandbox.spl(&["doctor"]).stdout;
    assert!(doctor.contains("its index cannot be read"), "{doctor}");
    // What was answered with 201 is in the log, and a restart with a new index finds it.
    let written = statuses.iter().filter(|s| **s == 201).count() as u64;
    server.kill();
    fs::remove_file(&index).unwrap();
    server.run(&[]);
    assert_eq!(server.metric("spl_log_records"), 1 + RECORDS + written);
    assert_eq!(server.sandbox.spl_as_admin(&["verify", "--json"]).ok().json()["ok"], true);
}
