//! `spl service-account`: what is sent, what is shown, and what is said besides.

use serde_json::{Value, json};

use crate::{
    support::{Fake, Sandbox, error_answer, json_answer, status_answer},
    tokens::TOKEN,
    up::Upped,
};

const ACCOUNT: &str = "sa_0123456789abcdef";

fn account() -> Value {
    json!({
        "object": "service_account", "id": ACCOUNT, "name": "grafana", "did": format!("did:sync:system:{ACCOUNT}"),
        "actors": ["did:sync:svc:grafana"], "scopes": ["records:read"], "active": true, "origin": "operator",
        "created_at": "2026-01-01T00:00:00.000Z", "tokens": 1, "record_id": "00",
    })
}

/// Answers to all that makes an account or a token.
fn maker(request: &str) -> Vec<u8> {
    let line = request.lines().next().unwrap_or_default();
    if line.starts_with("post /v1/bootstrap/service-account ") {
        return status_answer(
            201,
            &json!({
                "object": "bootstrap_result", "service_account_id": ACCOUNT, "sa_record_id": "00",
                "namespace": "default", "api_key": TOKEN, "token_id": "ab".repeat(32), "token_record_id": "01",
            }),
        );
    }
    if line.starts_with("post /v1/tokens ") {
        return status_answer(
            201,
            &json!({
                "object": "token", "api_key": TOKEN, "token_id": "ab".repeat(32), "service_account_id": ACCOUNT,
                "scopes": ["records:read", "thread:x:read"], "expires_at": null,
            }),
        );
    }
    if line.starts_with("post /v1/service-accounts ") {
        let mut made = account();
        if request.contains("\"with_token\":true") {
            made["api_key"] = TOKEN.into();
            made["token_id"] = "ab".repeat(32).into();
        }
        return status_answer(201, &made);
    }
    json_answer(&json!({ "status": "ok", "auth": { "mode": "insecure_localhost" } }))
}

/// The bodies that were posted to a path.
fn posted(fake: &Fake, path: &str) -> Vec<Value> {
    let heard = fake.heard();
    let posts = heard.iter().filter(|request| request.starts_with(&format!("post {path} ")));
    posts.filter_map(|request| serde_json::from_str(request.split_once("\r\n\r\n")?.1).ok()).collect()
}

#[test]
fn the_first_account_is_made_of_what_is_left_out_too() {
    let (sandbox, fake) = (Sandbox::new(), Fake::local(maker));
    sandbox.home_file("config.toml", "[identity]\nactor = \"did:sync:user:alice\"\n", 0o600);
    let server = fake.url();
    let create = |options: &[&str]| {
        let args = ["--server", &server, "service-account", "create", "--bootstrap", "--name", "admin"];
        sandbox.spl(&[&args, options].concat())
    };
    let ran = create(&[]).ok();
    assert!(ran.stderr.contains("did:sync:user:alice") && ran.stderr.contains("admin"), "{ran:?}");
    assert_eq!(ran.stdout.matches(TOKEN).count(), 1, "{ran:?}");
    assert!(!ran.stderr.contains(TOKEN), "{ran:?}");
    assert!(ran.stderr.contains("spl serve --stop && spl serve --daemon"), "it runs insecure: {ran:?}");
    create(&["--actors", "did:sync:user:bob", "--scopes", "admin", "--with-token", "--env-tag", "dev"]).ok();
    create(&["--actors", ""]).ok();
    let default = json!({ "display_name": "admin", "actors": ["did:sync:user:alice"], "scopes": ["admin"],
        "with_token": true });
    let named = json!({ "display_name": "admin", "actors": ["did:sync:user:bob"], "scopes": ["admin"],
        "with_token": true, "env_tag": "dev" });
    let mut empty = default.clone();
    empty["actors"] = json!([]);
    assert_eq!(posted(&fake, "/v1/bootstrap/service-account"), [default, named, empty]);
    create(&["--grain", "thread:x:read"]).exits(2);
    let answer = create(&["-o", "json"]).ok();
    assert_eq!(
        (&answer.json()["object"], &answer.json()["api_key"]),
        (&json!("bootstrap_result"), &json!(TOKEN))
    );
}

#[test]
fn a_closed_door_names_the_other_way() {
    let sandbox = Sandbox::new();
    let fake = Fake::local(|_| error_answer(409, "BOOTSTRAP_CLOSED"));
    let args = ["--server", &fake.url(), "service-account", "create", "--bootstrap", "--name", "x"];
    let ran = sandbox.spl(&args).exits(1);
    assert!(ran.stderr.contains("--insecure-localhost") && ran.stderr.contains("token rotate"), "{ran:?}");
}

#[test]
fn an_account_is_made_as_it_was_asked_for() {
    let (sandbox, fake) = (Sandbox::new(), Fake::local(maker));
    let server = fake.url();
    let create = |options: &[&str]| {
        sandbox.spl(
            &[&["--server", &server, "service-account", "create", "--name", "grafana"], options].concat(),
        )
    };
    let ran = create(&["--actors", "did:sync:svc:grafana", "--scopes", "records:read", "--with-token"]).ok();
    assert_eq!(ran.stdout.matches(TOKEN).count(), 1, "{ran:?}");
    let ran = create(&[]).ok();
    assert!(
        ran.stderr.contains("lists no actor") && ran.stderr.contains("service-account update"),
        "{ran:?}"
    );
    assert!(ran.stderr.contains("spl token create --sa"), "{ran:?}");
    create(&["--actors", "did:sync:svc:g", "--with-token", "--expires-in", "1d"]).ok();
    assert_eq!(
        posted(&fake, "/v1/service-accounts"),
        [
            json!({ "name": "grafana", "actors": ["did:sync:svc:grafana"], "scopes": ["records:read"],
            "with_token": true }),
            json!({ "name": "grafana", "actors": [] }),
            json!({ "name": "grafana", "actors": ["did:sync:svc:g"], "with_token": true,
            "expires_in_seconds": 86_400 }),
        ]
    );
    create(&["--expires-in", "1d"]).exits(2);
    create(&["--actors", "grafana"]).exits(2);
    create(&["--scopes", "records:all"]).exits(2);
}

#[test]
fn a_grain_narrows_the_account_and_its_token() {
    let (sandbox, fake) = (Sandbox::new(), Fake::local(maker));
    let server = fake.url();
    let args = [
        "--server",
        &server,
        "service-account",
        "create",
        "--name",
        "reader",
        "--actors",
        "did:sync:svc:reader",
        "--grain",
        "thread:x:read",
    ];
    let ran = sandbox.spl(&args).ok();
    assert_eq!(ran.stdout.matches(TOKEN).count(), 1, "{ran:?}");
    assert_eq!(
        posted(&fake, "/v1/service-accounts"),
        [json!({ "name": "reader", "actors": ["did:sync:svc:reader"],
            "scopes": ["records:read", "thread:x:read"], "with_token": true })]
    );
    assert_eq!(posted(&fake, "/v1/tokens"), [] as [Value; 0]);
}

#[test]
fn tokens_that_may_still_do_more_are_named() {
    let sandbox = Sandbox::new();
    let wider = "cd".repeat(32);
    let mut row = account();
    row["tokens_still_wider"] = json!([wider]);
    row["hint"] = json!("spl token rotate it");
    let fake = Fake::local(move |_| json_answer(&row));
    let update = |options: &[&str]| {
        sandbox.spl(&[&["--server", &fake.url(), "service-account", "update", ACCOUNT], options].concat())
    };
    let ran = update(&["--scopes", "records:read", "--actors", "did:sync:svc:a,did:sync:svc:b"]).ok();
    assert!(ran.stderr.contains(&wider) && ran.stderr.contains("spl token rotate it"), "{ran:?}");
    let heard = fake.heard().pop().expect("a request");
    assert!(heard.starts_with(&format!("patch /v1/service-accounts/{ACCOUNT} ")), "{heard}");
    let (_, body) = heard.split_once("\r\n\r\n").expect("a body");
    let body: Value = serde_json::from_str(body).expect("JSON");
    assert_eq!(body, json!({ "scopes": ["records:read"], "actors": ["did:sync:svc:a", "did:sync:svc:b"] }));
    update(&[]).exits(2);
}

#[test]
fn a_sign_of_theft_is_not_overlooked() {
    let sandbox = Sandbox::new();
    let mut row = account();
    row["rotated_token_presented_at"] = json!("2026-01-02T00:00:00.000Z");
    let list = json!({ "object": "list", "data": [row.clone()], "next_cursor": null });
    let fake = Fake::local(move |request| {
        json_answer(if request.starts_with("get /v1/service-accounts?") { &list } else { &row })
    });
    for command in [&["service-account", "list"][..], &["service-account", "describe", ACCOUNT]] {
        let ran = sandbox.spl(&[&["--server", &fake.url()], command].concat()).ok();
        assert!(ran.stderr.contains("warning:") && ran.stderr.contains("spl token rotate"), "{ran:?}");
    }
}

#[test]
fn an_account_is_described_and_revoked() {
    let sandbox = Sandbox::new();
    let fake = Fake::local(|request| {
        if request.starts_with("delete ") {
            return json_answer(&json!({ "status": "revoked", "tokens_revoked": 2 }));
        }
        let mut row = account();
        row["name"] = "a\u{1b}[2Jb\u{202e}".into();
        json_answer(&row)
    });
    let server = fake.url();
    let shown = sandbox.spl(&["--server", &server, "service-account", "describe", ACCOUNT]).ok().stdout;
    for part in ["scopes", "records:read", "revoked", "no", "did:sync:svc:grafana"] {
        assert!(shown.contains(part), "{part}: {shown}");
    }
    assert!(!shown.contains('\u{1b}') && !shown.contains('\u{202e}'), "{shown:?}");
    let ran = sandbox.spl(&["--server", &server, "service-account", "revoke", ACCOUNT]).ok();
    assert_eq!(ran.stdout, format!("{ACCOUNT} revoked; 2 tokens ended\n"));
    let args = ["--server", &server, "--token", TOKEN, "service-account", "revoke", ACCOUNT];
    let ran = sandbox.spl(&args).ok();
    assert!(ran.stderr.contains("was one of them"), "{ran:?}");
}

/// What was just made: account and token.
fn made(upped: &Upped, options: &[&str]) -> (String, String) {
    let args = [&["service-account", "create", "-o", "json"], options].concat();
    let made = upped.0.spl(&args).ok().json();
    let member = |name: &str| made[name].as_str().unwrap_or_else(|| panic!("{name}: {made}")).to_owned();
    (member("id"), member("api_key"))
}

#[test]
fn a_grain_opens_one_thread_only() {
    let upped = Upped::new();
    for thread in ["open.one", "shut.two"] {
        upped.0.spl(&["learn", "x", "--thread", thread]).ok();
    }
    let actor = "did:sync:svc:reader";
    let grain = "thread:open.one:read";
    let (_, token) = made(&upped, &["--name", "reader", "--actors", actor, "--grain", grain]);
    let reader = |args: &[&str]| upped.0.spl(&[&["--token", token.as_str()], args].concat());
    let seen = |thread: &str| {
        let records = reader(&["thread", "records", thread, "-o", "json"]).ok().json();
        records["data"].as_array().expect("a list").len()
    };
    assert_eq!((seen("open.one"), seen("shut.two")), (1, 0));
    let ran = reader(&["learn", "y", "--thread", "open.one"]).exits(4);
    assert!(ran.stderr.contains("SCOPE_FORBIDDEN"), "{ran:?}");
    let info = reader(&["token", "info", "-o", "json"]).ok().json();
    assert_eq!(info["scopes"], json!(["records:read", "thread:open.one:read"]));
}

#[test]
fn a_change_of_scopes_names_the_tokens_it_does_not_reach() {
    let upped = Upped::new();
    let (id, token) = made(&upped, &["--name", "x", "--actors", "did:sync:svc:x", "--with-token"]);
    let ran = upped.0.spl(&["service-account", "update", &id, "--scopes", "records:read"]).ok();
    assert!(ran.stderr.contains("may still do more"), "{ran:?}");
    let command =
        ran.stderr.lines().find_map(|line| line.split("spl ").nth(1)).expect("a command").to_owned();
    let words: Vec<&str> = command.split_whitespace().take(3).collect();
    upped.0.spl(&["--token", &token, "learn", "y", "--thread", "t"]).ok();
    upped.0.spl(&words).ok();
    upped.0.spl(&["--token", &token, "thread", "list"]).exits(4);
}

#[test]
fn a_token_that_a_rotation_ended_is_a_sign_when_used() {
    let upped = Upped::new();
    let (id, old) = made(&upped, &["--name", "x", "--actors", "did:sync:svc:x", "--with-token"]);
    upped.0.spl(&["token", "rotate", &id]).ok();
    upped.0.spl(&["--token", &old, "thread", "list"]).exits(4);
    crate::support::wait_until("the account shows it", || {
        let ran = upped.0.spl(&["service-account", "describe", &id]).ok();
        ran.stderr.contains("somebody has a copy").then_some(())
    });
}

#[test]
fn a_token_that_ends_soon_is_told_by_doctor() {
    let upped = Upped::new();
    let account = upped.0.spl(&["service-account", "list", "-o", "json"]).ok().json();
    let id = account["data"][0]["id"].as_str().expect("an id").to_owned();
    let mint = |lifetime: &str| {
        let args = ["token", "create", "--sa", &id, "--expires-in", lifetime, "-o", "json"];
        upped.0.spl(&args).ok().json()["api_key"].as_str().expect("a token").to_owned()
    };
    let check = |token: &str, code: i32| {
        let report = upped.0.spl(&["--token", token, "doctor", "-o", "json"]).exits(code).json();
        let checks = report["checks"].as_array().expect("checks").clone();
        checks.into_iter().find(|check| check["name"] == "token").expect("a check")
    };
    assert_eq!(check(&mint("90d"), 0)["status"], "pass");
    let soon = check(&mint("2d"), 1);
    assert!(soon["fix"].as_str().is_some_and(|fix| fix.contains("spl token rotate")), "{soon}");
    assert_eq!(check(TOKEN, 2)["status"], "fail");
}

#[test]
fn the_last_admin_may_leave_and_come_back() {
    let upped = Upped::new();
    let id = upped.0.spl(&["token", "info", "-o", "json"]).ok().json()["service_account_id"].clone();
    let ran = upped.0.spl(&["service-account", "revoke", id.as_str().expect("an id")]).ok();
    let command = ran.stderr.lines().find_map(|line| line.split("or: spl ").nth(1)).expect("a command");
    upped.0.spl(&["task", "list"]).exits(4);
    upped.0.spl(&["serve", "--stop"]).ok();
    upped.0.spl(&["serve", "--daemon", "--insecure-localhost", "--port", "0"]).ok();
    let words: Vec<&str> = command.split_whitespace().chain(["-o", "json"]).collect();
    let made = upped.0.spl(&words).ok().json();
    upped.0.spl(&["token", "save", made["api_key"].as_str().expect("a token")]).ok();
    upped.0.spl(&["serve", "--stop"]).ok();
    upped.0.spl(&["up"]).ok();
    upped.0.spl(&["task", "list"]).ok();
}
