//! The shapes of `-o json`: what scripts rely on. Ids, times and other changing values are replaced by their
//! types.

use serde_json::{Value, json};

use crate::support::{Instance, Ran, Store, assert_golden};

/// Members whose values differ from run to run.
const CHANGING: [&str; 21] = [
    "id",
    "thread",
    "parents",
    "actor",
    "opened_by",
    "created_at",
    "last_activity",
    "started_at",
    "sequence",
    "last_sequence",
    "instance_did",
    "uptime_seconds",
    "url",
    "pid",
    "version",
    "digest",
    "chain",
    "commits",
    "file",
    "bytes",
    "next_cursor",
];

#[test]
fn answers_have_stable_shapes() {
    let instance = Instance::start(Store::Disk);
    let thread = instance.sample_thread();
    instance.spl(&["task", "add", "fix the build"]).ok();
    let records = instance.spl(&["thread", "records", &thread, "--json"]).ok();
    let id = records.json()["data"][0]["id"].as_str().expect("an id").to_owned();
    let file = instance.sandbox.file("in.ndjson", crate::support::record_lines("import", 2));
    let out = instance.sandbox.dir().join("out.ndjson").display().to_string();
    let backup = instance.sandbox.dir().join("out.splbak").display().to_string();

    let commands: [&[&str]; 17] = [
        &["version"],
        &["status"],
        &["serve", "--status"],
        &["learn", "x", "--thread", "notes"],
        &["record", "get", &id],
        &["record", "query", "--thread", "notes"],
        &["record", "query", "--filter", r#"{"thread":"notes"}"#, "--select", "act,body.insight"],
        &["thread", "list", "--limit", "1"],
        &["thread", "show", &thread],
        &["thread", "records", &thread, "--limit", "1"],
        &["thread", "replay", "notes"],
        &["thread", "watch", "notes", "--since-clock", "0", "--for", "1"],
        &["task", "list"],
        &["import", &file],
        &["export", "--out", &out],
        &["verify"],
        &["backup", &backup],
    ];
    let mut all = String::new();
    for args in commands {
        let mut args = args.to_vec();
        let title = shown(&args, &thread, &id);
        args.extend(["-o", "json"]);
        // Operators need a bearer; all others are nobody.
        let operators = ["verify", "backup"].contains(&args[0]);
        let ran: Ran = if operators { instance.spl_as_admin(&args) } else { instance.spl(&args) }.ok();
        all.push_str(&format!("$ spl {title}\n"));
        for mut value in ran.json_lines() {
            normalise(&mut value);
            all.push_str(&format!("{}\n", serde_json::to_string_pretty(&value).expect("JSON")));
        }
        all.push('\n');
    }
    assert_golden("json.txt", &all);
}

#[test]
fn errors_are_the_instances_own() {
    let instance = Instance::start(Store::Memory);
    let ran = instance.spl(&["record", "get", &"0".repeat(64), "-o", "json"]).exits(1);
    let error: Value = serde_json::from_str(&ran.stderr).expect("JSON");
    assert_eq!((&error["object"], &error["code"]), (&json!("error"), &json!("RECORD_NOT_FOUND")));
    assert!(ran.stdout.is_empty());
}

fn shown(args: &[&str], thread: &str, id: &str) -> String {
    let name = |arg: &str| match arg {
        arg if arg == thread => "<thread>".to_owned(),
        arg if arg == id => "<id>".to_owned(),
        arg if arg.starts_with('/') => "<file>".to_owned(),
        arg => arg.to_owned(),
    };
    args.iter().map(|arg| name(arg)).collect::<Vec<_>>().join(" ")
}

/// Replaces values that differ from run to run by the name of their type.
fn normalise(value: &mut Value) {
    match value {
        Value::Object(members) => {
            for (name, value) in members {
                if CHANGING.contains(&name.as_str()) && !value.is_object() {
                    *value = type_name(value).into();
                } else {
                    normalise(value);
                }
            }
        }
        Value::Array(elements) => elements.iter_mut().for_each(normalise),
        _ => {}
    }
}

fn type_name(value: &Value) -> &'static str {
    match value {
        Value::Null => "<null>",
        Value::Bool(_) => "<bool>",
        Value::Number(_) => "<number>",
        Value::String(_) => "<string>",
        Value::Array(_) => "<array>",
        Value::Object(_) => "<object>",
    }
}
