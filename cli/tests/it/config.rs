//! `spl config`: settings here and in the instance.

use serde_json::{Value, json};

use crate::{
    support::{Fake, Sandbox, error_answer, json_answer, status_answer},
    tokens::TOKEN,
    trust::Held,
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
            "expression": "true", "enabled": true, "failures": 0 })
    };
    let rules = json!({ "object": "list", "data": [rule("late", 1), rule("early", 9)], "next_cursor": null });
    let fake = Fake::local(move |_| json_answer(&rules));
    let shown = sandbox.spl(&["--server", &fake.url(), "config", "list-permission-rules"]).ok().stdout;
    assert!(shown.find("early") < shown.find("late"), "{shown}");
}

#[test]
fn a_running_home_is_not_unlocked() {
    let held = Held::with(|_| settings());
    let ran = held.sandbox.spl(&["config", "permissions-unlock"]).exits(1);
    assert!(ran.stderr.contains("spl serve --stop"), "{ran:?}");
}
