//! `spl config`: settings here and in the instance.

use serde_json::{Value, json};

use crate::{
    support::{Fake, Sandbox, error_answer, json_answer, status_answer},
    tokens::TOKEN,
    trust::Held,
    up::Upped,
};

fn settings() -> Vec<u8> {
    json_answer(&json!({ "object": "config", "settings": [
        { "topic": "auth_required", "value": { "enabled": true }, "source": "default" },
        { "topic": "auth_cors_origins", "value": { "origins": ["https://a.example", "https://b.example"] },
          "source": "record", "record_id": "00" },
    ]}))
}

/// The value of a line `key value`.
fn value<'a>(shown: &'a str, key: &str) -> Option<&'a str> {
    shown.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix(' '))
}

#[test]
fn settings_here_are_shown_though_no_instance_runs() {
    let sandbox = Sandbox::new();
    let config = "[identity]\nactor = \"did:sync:user:alice\"\n[server]\nport = 1\n";
    sandbox.home_file("config.toml", config, 0o600);
    sandbox.home_file("token", &format!("{TOKEN}\n"), 0o600);
    let ran = sandbox.spl(&["config", "show"]).ok();
    assert_eq!(value(&ran.stdout, "default_user_actor"), Some("alice"));
    assert_eq!(value(&ran.stdout, "server"), Some("http://127.0.0.1:1"));
    assert_eq!(value(&ran.stdout, "config.server.port"), Some("1"));
    assert_eq!(value(&ran.stdout, "token"), Some("spl_prod_sa_0123456789abcdef_****"));
    assert!(!ran.stdout.contains(TOKEN));
    assert_eq!(ran.stdout.matches("default_user_actor").count(), 1, "one line is found by that name");
    assert!(ran.stderr.contains("not shown"), "{ran:?}");
    let shown = sandbox.spl(&["config", "show", "-o", "json"]).ok().json();
    assert_eq!((&shown["local"]["default_user_actor"], &shown["settings"]), (&json!("alice"), &Value::Null));
}

#[test]
fn the_default_actor_is_the_login_name_or_the_environments() {
    let sandbox = Sandbox::new();
    let login = nix::unistd::User::from_uid(nix::unistd::geteuid()).expect("users").expect("a user").name;
    let shown = sandbox.spl(&["config", "show"]).ok().stdout;
    assert_eq!(value(&shown, "default_user_actor"), Some(login.as_str()));
    let output = sandbox.command(&["config", "show"]).env("SPL_ACTOR", "did:sync:user:carol").output();
    let shown = String::from_utf8(output.expect("spl runs").stdout).expect("UTF-8");
    assert_eq!(value(&shown, "default_user_actor"), Some("carol"));
}

#[test]
fn settings_of_the_instance_follow() {
    let (sandbox, fake) = (Sandbox::new(), Fake::local(|_| settings()));
    let shown = sandbox.spl(&["--server", &fake.url(), "config", "show"]).ok().stdout;
    assert_eq!(value(&shown, "auth_required"), Some("true"));
    assert_eq!(value(&shown, "auth_cors_origins"), Some("https://a.example,https://b.example"));
    let refused = Fake::local(|_| error_answer(403, "SCOPE_FORBIDDEN"));
    sandbox.spl(&["--server", &refused.url(), "config", "show"]).ok();
}

#[test]
fn a_setting_is_written_to_its_topic() {
    let sandbox = Sandbox::new();
    let fake = Fake::local(|_| status_answer(201, &json!({ "object": "config_value" })));
    let server = fake.url();
    let sent = |args: &[&str]| {
        sandbox.spl(&[&["--server", server.as_str(), "config"], args].concat()).ok();
        let heard = fake.heard().pop().expect("a request");
        let (head, body) = heard.split_once("\r\n\r\n").expect("a body");
        let path = head.split(' ').nth(1).expect("a path").to_owned();
        (path, serde_json::from_str::<Value>(body).expect("JSON"))
    };
    let topic = |topic: &str, body: Value| (format!("/v1/config/{topic}"), body);
    let on = json!({ "enabled": true });
    for key in
        ["auth_required", "strict_actor_header", "strict_impersonation_enforcement", "federation_did_web"]
    {
        assert_eq!(sent(&["set", key, "true"]), topic(key, on.clone()));
    }
    assert_eq!(
        sent(&["set", "public_url", "https://spl.example"]),
        topic("public_url", json!({ "url": "https://spl.example" }))
    );
    assert_eq!(
        sent(&["auth-set-cors-origins", "https://a.example,https://b.example"]),
        topic("auth_cors_origins", json!({ "origins": ["https://a.example", "https://b.example"] }))
    );
    assert_eq!(sent(&["auth-set-cors-origins", ""]), topic("auth_cors_origins", json!({ "origins": [] })));
    assert_eq!(sent(&["permissions-enable"]), topic("permissions_enabled", on));
    assert_eq!(sent(&["permissions-disable"]), topic("permissions_enabled", json!({ "enabled": false })));
    let rule = [
        "add-permission-rule",
        "--name",
        "r",
        "--action",
        "deny",
        "--priority",
        "-5",
        "--expression",
        "true",
        "--disabled",
    ];
    assert_eq!(
        sent(&rule),
        topic(
            "permission_rule",
            json!({
                "name": "r", "action": "deny", "priority": -5, "expression": "true", "enabled": false,
            })
        )
    );
    for bad in [&["set", "auth_required", "maybe"][..], &["set", "colour", "true"], &["set", "auth_required"]]
    {
        sandbox.spl(&[&["config"], bad].concat()).exits(2);
    }
}

#[test]
fn rules_are_listed_in_the_order_in_which_they_are_asked() {
    let sandbox = Sandbox::new();
    let rule = |name: &str, priority: i64| {
        json!({ "object": "permission_rule", "name": name, "action": "allow", "priority": priority,
            "expression": "true", "enabled": true, "failures": { "failed": 2, "over_bound": 1 } })
    };
    let rules = json!({ "object": "list", "data": [rule("late", 1), rule("early", 9)], "next_cursor": null });
    let fake = Fake::local(move |_| json_answer(&rules));
    let shown = sandbox.spl(&["--server", &fake.url(), "config", "list-permission-rules"]).ok().stdout;
    assert!(shown.find("early") < shown.find("late"), "{shown}");
    assert!(shown.contains("  3  "), "failures of both kinds: {shown}");
}

#[test]
fn a_running_home_is_not_unlocked() {
    let held = Held::with(|_| settings());
    let ran = held.sandbox.spl(&["config", "permissions-unlock"]).exits(1);
    assert!(ran.stderr.contains("spl serve --stop"), "{ran:?}");
}

#[test]
fn a_stopped_home_without_rules_has_nothing_to_unlock() {
    let upped = Upped::new();
    let add = ["config", "add-permission-rule", "--name", "all", "--action", "allow", "--priority", "1"];
    upped.0.spl(&[&add[..], &["--expression", "true"]].concat()).ok();
    let listed = upped.0.spl(&["config", "list-permission-rules"]).ok().stdout;
    assert!(listed.contains("all") && listed.contains("allow"), "{listed}");
    upped.0.spl(&["serve", "--stop"]).ok();
    let ran = upped.0.spl(&["config", "permissions-unlock"]).ok();
    assert!(ran.stdout.contains("were out of force already"), "{ran:?}");
    Sandbox::new().spl(&["config", "permissions-unlock"]).exits(1);
}

#[test]
fn rules_come_into_force_and_are_taken_out_of_a_stopped_home() {
    let upped = Upped::new();
    let spl = |args: &[&str]| upped.0.spl(&[&["config"], args].concat());
    spl(&["list-permission-rules"]).ok();
    let rule = |name: &str, action: &str, priority: &str, expression: &str| {
        let args = ["add-permission-rule", "--name", name, "--action", action, "--priority", priority];
        spl(&[&args[..], &["--expression", expression]].concat())
    };
    rule("all", "allow", "1", "true").ok();
    rule("quiet", "deny", "9", "resource == 'record_write' && record.thread == 'quiet'").ok();
    rule("broken", "deny", "1", "this is (not CEL").exits(1);
    let listed = spl(&["list-permission-rules"]).ok().stdout;
    assert!(listed.find("quiet") < listed.find("all") && listed.contains("record_write"), "{listed}");
    upped.0.spl(&["learn", "x", "--thread", "quiet"]).ok();
    spl(&["permissions-enable"]).ok();
    let ran = upped.0.spl(&["learn", "x", "--thread", "quiet"]).exits(4);
    assert!(ran.stderr.contains("PERMISSION_DENIED"), "{ran:?}");
    let ran = spl(&["permissions-unlock"]).exits(1);
    assert!(ran.stderr.contains("spl serve --stop"), "{ran:?}");
    upped.0.spl(&["serve", "--stop"]).ok();
    assert!(spl(&["permissions-unlock"]).ok().stdout.contains("are out of force now"));
    assert!(spl(&["permissions-unlock"]).ok().stdout.contains("were out of force already"));
    upped.0.spl(&["serve", "--daemon", "--port", "0"]).ok();
    upped.0.spl(&["learn", "x", "--thread", "quiet"]).ok();
    spl(&["permissions-enable"]).ok();
    spl(&["permissions-disable"]).ok();
    upped.0.spl(&["learn", "x", "--thread", "quiet"]).ok();
}

#[test]
fn settings_are_kept_by_the_instance() {
    let upped = Upped::new();
    let show = || upped.0.spl(&["config", "show"]).ok().stdout;
    assert_eq!(value(&show(), "strict_actor_header"), Some("false"));
    for (key, given) in [("strict_actor_header", "true"), ("public_url", "https://spl.example")] {
        upped.0.spl(&["config", "set", key, given]).ok();
        assert_eq!(value(&show(), key), Some(given));
    }
    upped.0.spl(&["config", "set", "public_url", "http://spl.example"]).exits(1);
    upped.0.spl(&["config", "auth-set-cors-origins", "*"]).exits(1);
    upped.0.spl(&["serve", "--restart"]).ok();
    assert_eq!(value(&show(), "strict_actor_header"), Some("true"));
    let answer = upped.0.spl(&["config", "set", "strict_actor_header", "false", "-o", "json"]).ok().json();
    assert_eq!(
        (&answer["object"], &answer["topic"]),
        (&json!("config_value"), &json!("strict_actor_header"))
    );
}
