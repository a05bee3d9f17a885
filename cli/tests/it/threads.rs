//! `thread`: list, show, records, watch, replay.

use std::{
    io::{BufRead as _, BufReader},
    process::Stdio,
};

use crate::support::{Instance, Store};

#[test]
fn threads_are_listed_with_their_status() {
    let instance = Instance::start(Store::Memory);
    let thread = instance.sample_thread();
    let list = instance.spl(&["thread", "list"]).ok().stdout;
    assert!(list.starts_with("STATUS"), "{list}");
    let row = list.lines().find(|line| line.contains(&thread)).expect("the thread");
    assert!(row.contains("observed") && row.contains("just now"), "{row}");
    assert!(!list.contains('\u{1b}'), "no colour where there is no terminal");
}

#[test]
fn a_thread_is_shown_by_the_start_of_its_id() {
    let instance = Instance::start(Store::Memory);
    let thread = instance.sample_thread();
    let shown = instance.spl(&["thread", "show", &thread[..15]]).ok().stdout;
    assert!(shown.starts_with("observed ship the release"), "{shown}");
    assert!(shown.contains(&thread) && shown.contains("PARTICIPANT"), "{shown}");
    instance.spl(&["thread", "show", "no.such.thread"]).exits(1);
    instance.spl(&["thread", "show", "th_00000000"]).exits(1);
}

#[test]
fn records_of_a_thread_come_in_order() {
    let instance = Instance::start(Store::Memory);
    let thread = instance.sample_thread();
    let records = instance.spl(&["thread", "records", &thread, "-o", "stream-json"]).ok().json_lines();
    let acts: Vec<_> = records.iter().map(|record| record["act"].clone()).collect();
    assert_eq!(acts, ["INTEND", "DO", "KNOW"]);
    let later = instance.spl(&["thread", "records", &thread, "--since", "2", "--json"]).ok().json();
    assert_eq!(later["data"].as_array().expect("a list").len(), 1);
}

#[test]
fn a_replay_shows_the_status_after_each_record() {
    let instance = Instance::start(Store::Memory);
    let thread = instance.sample_thread();
    let opening =
        instance.spl(&["thread", "records", &thread, "-o", "stream-json"]).ok().json_lines()[0].clone();
    let opening = opening["id"].as_str().expect("an id");
    instance.spl(&["know", "shipped", "--thread", &thread, "--fulfills", opening]).ok();
    instance.spl(&["do", "too late", "--thread", &thread]).ok();

    let shown = instance.spl(&["thread", "replay", &thread]).ok().stdout;
    assert_eq!(shown.matches('→').count(), 4, "{shown}");
    assert!(shown.trim_end().ends_with("closed after 5 records"), "{shown}");

    let steps = instance.spl(&["thread", "replay", &thread, "-o", "stream-json"]).ok().json_lines();
    let statuses: Vec<_> = steps.iter().map(|step| step["status"].clone()).collect();
    assert_eq!(statuses, ["open", "active", "observed", "closed", "closed"]);
    let state = instance.spl(&["thread", "show", &thread, "--json"]).ok().json();
    assert_eq!(state["status"], "closed", "the instance folds as the replay does");
}

#[test]
fn a_watch_prints_what_is_stored_first() {
    let instance = Instance::start(Store::Memory);
    let thread = instance.sample_thread();
    let ran = instance.spl(&["thread", "watch", &thread, "--since-clock", "1", "--for", "2"]).ok();
    let lines: Vec<&str> = ran.stdout.lines().collect();
    assert_eq!(lines.len(), 2, "{ran:?}");
    assert!(lines[0].contains("DO") && lines[0].contains("tagged v1.2"), "{ran:?}");
    assert!(lines[1].contains("KNOW") && lines[1].contains("all tests pass"), "{ran:?}");
}

#[test]
fn a_watch_prints_what_comes() {
    let instance = Instance::start(Store::Memory);
    let thread = instance.sample_thread();
    let mut child = instance
        .sandbox
        .command(&["thread", "watch", &thread, "--for", "1"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("spl starts");
    // What it says on stderr tells when the stream stands.
    let mut said = String::new();
    BufReader::new(child.stderr.take().expect("a pipe")).read_line(&mut said).expect("a line");
    assert!(said.contains("watching"), "{said}");
    instance.spl(&["learn", "live", "--thread", &thread]).ok();
    let output = child.wait_with_output().expect("spl ends");
    let line = String::from_utf8(output.stdout).expect("UTF-8");
    assert!(output.status.success() && line.contains("LEARN") && line.contains("live"), "{line}");
}

#[test]
fn a_watch_resumes_where_it_was_after_a_restart() {
    let mut instance = Instance::start(Store::Disk);
    let thread = instance.sample_thread();
    let port =
        instance.spl(&["serve", "--status", "--json"]).ok().json()["url"].as_str().expect("a URL").to_owned();
    let port = port.rsplit(':').next().expect("a port").to_owned();
    let mut child = instance
        .sandbox
        .command(&["thread", "watch", &thread, "--since-clock", "0", "--for", "4", "--json"])
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .expect("spl starts");
    let mut lines = BufReader::new(child.stdout.take().expect("a pipe")).lines();
    let mut next = || -> serde_json::Value {
        let line = lines.next().expect("a line").expect("UTF-8");
        serde_json::from_str(&line).expect("JSON")
    };
    let first: Vec<_> = (0..3).map(|_| next()["record"]["clock"].clone()).collect();
    assert_eq!(first, [0, 1, 2]);
    instance.stop();
    instance.spl(&["serve", "--daemon", "--insecure-localhost", "--port", &port]).ok();
    instance.spl(&["learn", "after the restart", "--thread", &thread]).ok();
    assert_eq!(next()["record"]["clock"], 3);
    assert!(child.wait().expect("spl ends").success());
    instance.spl(&["serve", "--stop"]).ok();
}
