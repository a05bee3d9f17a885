//! `intend`, `do`, `know`, `learn`, `record`.

use serde_json::{Value, json};

use crate::support::{Fake, Instance, Sandbox, Store, json_answer};

#[test]
fn an_intent_opens_a_thread_and_prints_its_id_alone() {
    let instance = Instance::start(Store::Memory);
    let ran = instance.spl(&["intend", "ship the release"]).ok();
    let thread = ran.stdout.trim_end();
    assert_eq!(thread.len(), 67, "{ran:?}");
    assert!(thread.starts_with("th_"));
    assert!(ran.stderr.contains("spl thread watch"), "{ran:?}");
}

#[test]
fn a_text_becomes_the_member_of_its_act() {
    let instance = Instance::start(Store::Memory);
    for (command, act, member) in [
        ("intend", "INTEND", "goal"),
        ("do", "DO", "action"),
        ("know", "KNOW", "observation"),
        ("learn", "LEARN", "insight"),
    ] {
        let record = instance.spl(&[command, "text", "--thread", "team.notes", "-o", "json"]).ok().json();
        assert_eq!(record["object"], "record");
        assert_eq!(record["act"], act);
        assert_eq!(record["body"][member], "text");
        assert_eq!(record["thread"], "team.notes");
    }
}

#[test]
fn clocks_are_assigned_one_after_the_other() {
    let instance = Instance::start(Store::Memory);
    let clock = || instance.spl(&["know", "x", "--thread", "t", "--json"]).ok().json()["clock"].clone();
    assert_eq!((clock(), clock(), clock()), (0.into(), 1.into(), 2.into()));
}

#[test]
fn a_body_comes_from_the_command_line_a_file_or_the_input() {
    let instance = Instance::start(Store::Memory);
    let file = format!("@{}", instance.sandbox.file("body.json", r#"{"from":"file"}"#));
    let post = |args: &[&str], input: &[u8]| {
        let mut all = vec!["know", "--thread", "t", "-o", "json"];
        all.extend(args);
        instance.sandbox.spl_with_input(&all, input).ok().json()["body"]["from"].clone()
    };
    assert_eq!(post(&["--body", r#"{"from":"line"}"#], b""), "line");
    assert_eq!(post(&["--body", &file], b""), "file");
    assert_eq!(post(&["--body", "-"], br#"{"from":"input"}"#), "input");
    instance.spl(&["know", "--thread", "t", "--body", "[1]"]).exits(2);
    instance.spl(&["know", "--thread", "t", "--body", "{"]).exits(2);
}

#[test]
fn the_actor_is_the_named_one() {
    let instance = Instance::start(Store::Memory);
    let args = ["know", "x", "--thread", "t", "--json"];
    let named = instance.spl(&[&args[..], &["--actor", "did:sync:user:zoe"]].concat()).ok().json();
    assert_eq!(named["actor"], "did:sync:user:zoe");
    let mut command = instance.sandbox.command(&args);
    let output = command.env("SPL_ACTOR", "did:sync:user:env").output().expect("spl runs");
    let from_environment: serde_json::Value = serde_json::from_slice(&output.stdout).expect("JSON");
    assert_eq!(from_environment["actor"], "did:sync:user:env");
    let default = instance.spl(&args).ok().json();
    assert!(default["actor"].as_str().expect("a DID").starts_with("did:sync:user:"));
    instance.spl(&[&args[..], &["--actor", "not a did"]].concat()).exits(1);
}

#[test]
fn a_record_is_got_by_its_id_or_the_start_of_it() {
    let instance = Instance::start(Store::Memory);
    let stored = instance.spl(&["know", "found", "--thread", "t", "--json"]).ok().json();
    let id = stored["id"].as_str().expect("an id");
    assert_eq!(instance.spl(&["record", "get", id, "--json"]).ok().json(), stored);
    assert_eq!(instance.spl(&["record", "get", &id[..12], "--json"]).ok().json(), stored);
    let shown = instance.spl(&["record", "get", id]).ok().stdout;
    assert!(shown.contains("KNOW found") && shown.contains(id), "{shown}");
    instance.spl(&["record", "get", &"0".repeat(64)]).exits(1);
    instance.spl(&["record", "get", "0000000"]).exits(1);
}

#[test]
fn a_record_is_posted_from_options_or_a_file() {
    let instance = Instance::start(Store::Memory);
    let id = instance
        .spl(&["record", "post", "--thread", "music", "--act", "put", "--body", r#"{"title":"So What"}"#])
        .ok()
        .first_line();
    assert_eq!(id.len(), 64);
    let batch = instance.sandbox.file("batch.json", format!("{{\"records\":[{}]}}", lines("batch", 3)));
    let first = instance.spl(&["record", "post", "--file", &batch, "--json"]).ok().json();
    assert_eq!(first["data"].as_array().expect("a list").len(), 3);
    let again = instance.spl(&["record", "post", "--file", &batch]).ok();
    assert!(again.stderr.contains("stored already"), "{again:?}");
}

#[test]
fn what_is_refused_says_why_and_exits_1() {
    let instance = Instance::start(Store::Memory);
    let ran = instance.spl(&["learn", "--body", "{}", "--thread", "th_api_tokens"]).exits(1);
    assert!(ran.stderr.contains("RESERVED_THREAD"), "{ran:?}");
    let clock = ["record", "post", "--thread", "t", "--act", "DO", "--clock", "5", "--body"];
    instance.spl(&[&clock[..], &[r#"{"n":1}"#]].concat()).ok();
    let ran = instance.spl(&[&clock[..], &[r#"{"n":2}"#]].concat()).exits(1);
    assert!(ran.stderr.contains("DuplicateClock"), "{ran:?}");
    let ran = instance.spl(&[&clock[..], &[r#"{"n":2}"#, "-o", "json"]].concat()).exits(1);
    let error: serde_json::Value = serde_json::from_str(&ran.stderr).expect("the instance's answer");
    assert_eq!(error["code"], "INGEST_FAILED");
}

#[test]
fn queries_filter_sort_and_explain() {
    let instance = Instance::start(Store::Memory);
    let batch = instance.sandbox.file("batch.json", format!("{{\"records\":[{}]}}", lines("q", 5)));
    instance.spl(&["record", "post", "--file", &batch]).ok();
    let plain = instance.spl(&["record", "query", "--thread", "q", "--since", "3", "--json"]).ok().json();
    assert_eq!(plain["data"].as_array().expect("a list").len(), 2);
    let rich = instance
        .spl(&[
            "record",
            "query",
            "--filter",
            r#"{"body.n":{"$gte":2}}"#,
            "--sort",
            "body.n=desc",
            "-o",
            "stream-json",
        ])
        .ok()
        .json_lines();
    let numbers: Vec<_> = rich.iter().map(|record| record["body"]["n"].clone()).collect();
    assert_eq!(numbers, [4, 3, 2]);
    let explained = instance.spl(&["record", "query", "--filter", r#"{"thread":"q"}"#, "--explain"]).ok();
    assert!(explained.stderr.contains("plan:"), "{explained:?}");
    let page = instance.spl(&["record", "query", "--thread", "q", "--limit", "2"]).ok();
    assert!(page.stderr.contains("--cursor"), "{page:?}");
}

#[test]
fn what_could_deceive_the_terminal_is_escaped() {
    let instance = Instance::start(Store::Memory);
    let body = r#"{"observation":"safe\u001b[2J\u202e\u200bend"}"#;
    let stored = instance.spl(&["know", "--thread", "t", "--body", body, "--json"]).ok().json();
    let id = stored["id"].as_str().expect("an id");
    for args in
        [&["record", "get", id][..], &["record", "query", "--thread", "t"], &["thread", "records", "t"]]
    {
        let shown = instance.spl(args).ok().stdout;
        assert!(!shown.contains(['\u{1b}', '\u{202e}', '\u{200b}']), "{shown:?}");
        assert!(shown.contains("safe\\u{1b}[2J") || shown.contains("safe\\u001b[2J"), "{shown}");
    }
}

#[test]
fn the_actor_is_the_first_that_the_token_may_write_as() {
    let fake = Fake::local(|request| {
        json_answer(&match request.starts_with("get /v1/identity") {
            true => json!({ "did": "did:sync:node:x", "caller": { "actor": "did:sync:svc:worker" } }),
            false => json!({ "object": "record", "id": "x" }),
        })
    });
    let sandbox = Sandbox::new();
    let args = ["--server", &fake.url(), "--token", "spl_prod_secret", "know", "x", "--thread", "t"];
    sandbox.spl(&[&args[..], &["--json"]].concat()).ok();
    let sent = fake.heard().pop().expect("a request");
    let envelope: Value = serde_json::from_str(sent.lines().last().expect("a body")).expect("JSON");
    assert_eq!(envelope["actor"], "did:sync:svc:worker");
}

#[test]
fn a_kind_that_no_rule_allows_is_stored_with_a_warning() {
    let instance = Instance::start(Store::Memory);
    for act in ["intend", "do", "know", "learn"] {
        let body = |kind: &str| format!("{{\"kind\":\"{kind}\"}}");
        let ran = instance.spl(&[act, "--thread", "t", "--body", &body("Bad Kind"), "--json"]).ok();
        assert_eq!(ran.json()["body"]["kind"], "Bad Kind");
        assert!(
            ran.stderr.starts_with("warning: kind `Bad Kind`: a kind has two to four segments"),
            "{ran:?}"
        );
        let ran =
            instance.spl(&[act, "--thread", "t", "--body", &body("music.catalog.track"), "--json"]).ok();
        assert_eq!(ran.stderr, "");
    }
    let ran = instance
        .spl(&["record", "post", "--thread", "t", "--act", "PUT", "--body", r#"{"kind":"a.b"}"#])
        .ok();
    assert!(ran.stderr.contains("warning: kind `a.b`: two segments are for"), "{ran:?}");
    let batch = lines("u", 4).replacen("test.sample.item", "One", 2).replacen("test.sample.item", "Two", 1);
    let batch = instance.sandbox.file("batch.json", format!("{{\"records\":[{batch}]}}"));
    let ran = instance.spl(&["record", "post", "--file", &batch]).ok();
    assert_eq!(ran.stderr.matches("warning: ").count(), 2, "{ran:?}");
    let ran = instance.spl(&["learn", "--thread", "t", "--body", r#"{"kind":7}"#]).ok();
    assert!(ran.stderr.contains("warning: kind `7`: it is no string"), "{ran:?}");
}

fn lines(thread: &str, count: u64) -> String {
    crate::support::record_lines(thread, count).trim_end().replace('\n', ",")
}
