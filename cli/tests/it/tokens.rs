//! `spl token`: what is shown of a token, where it is kept, and what is asked of the instance.

use std::{fs, os::unix::fs::PermissionsExt as _};

use serde_json::{Value, json};

use crate::{
    support::{Fake, Ran, Sandbox, error_answer, json_answer, status_answer},
    trust::{DID, Held},
};

const ACCOUNT: &str = "sa_0123456789abcdef";
pub(crate) const TOKEN: &str = "spl_prod_sa_0123456789abcdef_0123456789abcdefghjkmnpqrstvwxyz";
const MASKED: &str = "spl_prod_sa_0123456789abcdef_****";
const TOKEN_ID: &str = "e1a8eabeb514cdddd83c96cac857f604e4beb802bf8cd5d344646e1ff3287fef";

/// The identity of a caller whose token lives.
fn identity(_: &str) -> Vec<u8> {
    json_answer(&json!({ "object": "identity", "did": DID, "caller": {
        "actor": "did:sync:user:alice", "display_name": "laptop", "scopes": ["admin"],
        "service_account_id": ACCOUNT, "expires_at": null, "is_authenticated": true,
    }}))
}

#[test]
fn the_first_source_that_has_a_token_is_used() {
    let sandbox = Sandbox::new();
    let show = |args: &[&str], variable: Option<&str>| {
        let mut command = sandbox.command(&[&["token", "show-source"], args].concat());
        command.envs(variable.map(|value| ("SPL_TOKEN", value)));
        Ran::from(command.output().expect("spl runs"), args).ok()
    };
    assert_eq!(show(&[], None).stdout, "none\n");
    assert_eq!(show(&[], Some("")).stdout, "none\n", "an empty variable is none");
    sandbox.home_file("token", &format!("{TOKEN}\n"), 0o600);
    let saved = show(&[], Some("")).stdout;
    assert!(
        saved.starts_with("~/.syncro/token file") && saved.ends_with(&format!("\n{MASKED}\n")),
        "{saved}"
    );
    assert_eq!(show(&[], Some("x")).stdout, "SPL_TOKEN env\n****\n");
    assert_eq!(show(&["--token", TOKEN], Some("x")).stdout, format!("--token flag\n{MASKED}\n"));
    assert!(show(&["--token", ""], Some("x")).stdout.starts_with("SPL_TOKEN env"));
    let shown = show(&["-o", "json"], None).json();
    assert_eq!((&shown["object"], &shown["token"]), (&json!("token_source"), &json!(MASKED)));
}

#[test]
fn the_usual_home_is_told_by_its_usual_name() {
    let sandbox = Sandbox::new();
    let home = sandbox.dir().join(".syncro").display().to_string();
    sandbox.spl(&["--home", &home, "token", "save", TOKEN]).ok();
    let shown = sandbox.spl(&["--home", &home, "token", "show-source"]).ok().stdout;
    assert_eq!(shown, format!("~/.syncro/token file\n{MASKED}\n"));
}

#[test]
fn a_saved_token_is_for_its_owner_and_its_instance_only() {
    let held = Held::with(identity);
    let ran = held.sandbox.spl(&["token", "save", TOKEN]).ok();
    assert!(!ran.stdout.contains(TOKEN) && !ran.stderr.contains(TOKEN), "{ran:?}");
    let path = held.sandbox.home().join("token");
    assert_eq!(fs::metadata(&path).expect("a file").permissions().mode() & 0o777, 0o600);
    let text = fs::read_to_string(&path).expect("a file");
    assert_eq!(text, format!("{TOKEN}\norigin {}\ninstance {DID}\n", held.own.url()));
    let left = fs::read_dir(held.sandbox.home()).expect("a home").count();
    assert_eq!(left, 2, "nothing but `run` and `token` is there");
    held.sandbox.spl(&["token", "unset"]).ok();
    assert!(!path.exists());
    held.sandbox.spl(&["token", "unset"]).ok();
}

#[test]
fn a_token_file_that_others_can_read_is_not_written_to() {
    let sandbox = Sandbox::new();
    for mode in [0o644, 0o640, 0o660] {
        let path = sandbox.home_file("token", "old\n", mode);
        let ran = sandbox.spl(&["token", "save", TOKEN]).exits(1);
        assert!(ran.stderr.contains(&format!("chmod 600 '{}'", path.display())), "{mode:o} {ran:?}");
        assert_eq!(fs::read_to_string(&path).expect("a file"), "old\n");
    }
}

#[test]
fn what_is_saved_is_one_word() {
    let sandbox = Sandbox::new();
    for bad in ["", " ", "two words", "two\nlines", "a\u{1b}b"] {
        sandbox.spl(&["token", "save", bad]).exits(2);
    }
    let ran = sandbox.spl(&["token", "save", "hunter2"]).ok();
    assert!(ran.stderr.contains("does not look like a token"), "{ran:?}");
    sandbox.spl_with_input(&["token", "save", "-"], format!("  {TOKEN}\n").as_bytes()).ok();
    let text = fs::read_to_string(sandbox.home().join("token")).expect("a file");
    assert_eq!(text.lines().next(), Some(TOKEN), "the first line is the bare token");
}

#[test]
fn a_token_the_instance_does_not_know_is_told_when_saved() {
    let held = Held::with(|_| error_answer(401, "AUTH_INVALID"));
    let ran = held.sandbox.spl(&["token", "save", TOKEN]).ok();
    assert!(ran.stderr.contains("does not know this token"), "{ran:?}");
}

#[test]
fn a_saved_token_is_not_sent_to_another_instance() {
    let held = Held::with(identity);
    let (own, home) = (held.own.url(), &held.sandbox);
    home.home_file("token", &format!("{TOKEN}\norigin {own}\ninstance did:key:z6MkexampleB\n"), 0o600);
    let ran = home.spl(&["thread", "list"]).exits(4);
    assert!(ran.stderr.contains("did:key:z6MkexampleB") && ran.stderr.contains("spl token unset"), "{ran:?}");
    assert!(held.own.heard().is_empty());
    home.home_file("token", &format!("{TOKEN}\norigin {own}\ninstance {DID}\n"), 0o600);
    home.spl(&["token", "info"]).ok();
    // Another port of this machine is no other instance; another machine is.
    home.home_file("token", &format!("{TOKEN}\norigin http://127.0.0.1:1\ninstance {DID}\n"), 0o600);
    home.spl(&["token", "info"]).ok();
    home.home_file("token", &format!("{TOKEN}\norigin http://192.0.2.1:1\ninstance {DID}\n"), 0o600);
    let ran = home.spl(&["thread", "list"]).exits(4);
    assert!(ran.stderr.contains("belongs to http://192.0.2.1:1"), "{ran:?}");
    assert!(held.own.heard().pop().expect("a request").contains("authorization: bearer spl_prod"));
}

#[test]
fn a_token_for_this_machine_goes_to_the_homes_own_instance_alone() {
    // The home has an instance, but it is down, and somebody else listens in its place.
    let sandbox = Sandbox::new();
    sandbox.home_file("keys/primary", "x", 0o600);
    let stranger = Fake::local(identity);
    let args = ["--server", &stranger.url(), "--token", TOKEN, "thread", "list"];
    let ran = sandbox.spl(&args).exits(3);
    assert!(ran.stderr.contains("something else answers"), "{ran:?}");
    assert!(stranger.heard().is_empty());
    // A home without an instance of its own may reach others through a tunnel.
    fs::remove_file(sandbox.home().join("keys/primary")).expect("a file");
    sandbox.spl(&["--server", &stranger.url(), "token", "info", TOKEN]).ok();
    assert_eq!(stranger.heard().len(), 1);
}

#[test]
fn info_refuses_what_is_no_token() {
    let sandbox = Sandbox::new();
    let file = sandbox.file("notes.txt", "hello\n");
    for bad in ["", "hunter2", "spl_prod_sa_XXXXXXXX_YYYY", &file, "spl_PROD_sa_0123456789abcdef_0"] {
        let ran = sandbox.spl(&["token", "info", bad]).exits(1);
        assert!(ran.stderr.contains("invalid format") && ran.stdout.is_empty(), "{ran:?}");
    }
    for input in ["\n", "nonsense\n"] {
        let ran = sandbox.spl_with_input(&["token", "info", "/dev/stdin"], input.as_bytes()).exits(1);
        assert!(ran.stderr.contains("invalid format"), "{ran:?}");
    }
    let ran = sandbox.spl(&["token", "info"]).exits(1);
    assert!(ran.stderr.contains("spl up"), "{ran:?}");
}

#[test]
fn info_tells_what_is_in_a_token_and_asks_the_instance() {
    let sandbox = Sandbox::new();
    let fake = Fake::local(identity);
    let file = sandbox.file("token.txt", format!("{TOKEN}\norigin http://127.0.0.1:1\n"));
    let server = fake.url();
    for given in [TOKEN, &file, "-", "/dev/stdin"] {
        let args = ["--server", &server, "token", "info", given];
        let ran = sandbox.spl_with_input(&args, format!("{TOKEN}\n").as_bytes()).ok();
        for part in ["prod", ACCOUNT, TOKEN_ID, "active", "admin", "never"] {
            assert!(ran.stdout.contains(part), "{part}: {ran:?}");
        }
        assert!(!ran.stdout.contains(TOKEN), "{ran:?}");
        let heard = fake.heard().pop().expect("a request");
        assert!(heard.starts_with("get /v1/identity "), "{heard}");
        assert!(heard.contains(&format!("authorization: bearer {TOKEN}")), "{heard}");
    }
    let info = sandbox.spl(&["--server", &server, "token", "info", TOKEN, "-o", "json"]).ok().json();
    assert_eq!((&info["status"], &info["scopes"]), (&json!("active"), &json!(["admin"])));
    assert_eq!(info["token_id"], TOKEN_ID);
}

#[test]
fn info_tells_why_a_token_does_not_work() {
    let sandbox = Sandbox::new();
    let anonymous = json!({ "object": "identity", "caller": { "is_authenticated": false } });
    let cases = [
        (error_answer(401, "AUTH_INVALID"), "token_id not found"),
        (error_answer(403, "DID_CLAIM_DENIED"), "lists no actor"),
        (error_answer(503, "BOOTSTRAP_REQUIRED"), "token_id not found"),
        // Where no token is asked for, one that is not known is passed over.
        (json_answer(&anonymous), "token_id not found"),
    ];
    for (answer, told) in cases {
        let fake = Fake::local(move |_| answer.clone());
        let ran = sandbox.spl(&["--server", &fake.url(), "token", "info", TOKEN]).exits(4);
        assert!(ran.stdout.contains(told) && ran.stdout.contains(TOKEN_ID), "{ran:?}");
    }
    let ran = sandbox.spl(&["--server", "http://127.0.0.1:1", "token", "info", TOKEN]).ok();
    assert!(ran.stdout.contains("instance not reachable") && ran.stdout.contains(TOKEN_ID), "{ran:?}");
}

/// Tokens of one account, by their ids.
fn token_rows(ids: &[&str]) -> Value {
    let row = |id: &&str| {
        json!({ "object": "token", "token_id": id, "service_account_id": ACCOUNT, "masked": MASKED,
            "scopes": ["admin"], "origin": "mint", "created_at": "2026-01-01T00:00:00.000Z", "status": "active" })
    };
    json!({ "object": "list", "data": ids.iter().map(row).collect::<Vec<_>>(), "next_cursor": null })
}

#[test]
fn a_token_is_revoked_by_the_start_of_its_id() {
    let sandbox = Sandbox::new();
    let (one, other) = (format!("abcdef012345{}", "0".repeat(52)), format!("abcdef0199{}", "0".repeat(54)));
    let rows = token_rows(&[&one, &other]);
    let fake = Fake::local(move |request| {
        if request.starts_with("get ") {
            return json_answer(&rows);
        }
        let id = request.split(['/', '?']).nth(3).unwrap_or_default();
        json_answer(&json!({ "status": "revoked", "token_id": id }))
    });
    let revoke = |id: &str| {
        sandbox.spl(&["--server", &fake.url(), "token", "revoke", "--sa", ACCOUNT, "--token-id", id])
    };
    let asked = |id: &str| format!("delete /v1/tokens/{id}?service_account_id={ACCOUNT} ");
    revoke("abcdef0123").ok();
    assert!(fake.heard().pop().expect("a request").starts_with(&asked(&one)));
    revoke(&other).ok();
    assert!(fake.heard().pop().expect("a request").starts_with(&asked(&other)));
    let ran = revoke("abcdef01").exits(1);
    assert!(ran.stderr.contains("more than one") && ran.stderr.contains(&other), "{ran:?}");
    let ran = revoke("99999999").exits(1);
    assert!(ran.stderr.contains("spl token list --sa"), "{ran:?}");
    for bad in ["abcdef0", "notahexid", TOKEN] {
        revoke(bad).exits(2);
    }
}

#[test]
fn the_list_is_read_to_its_end() {
    let sandbox = Sandbox::new();
    let ids: Vec<String> = ["a", "b", "c"].iter().map(|digit| digit.repeat(64)).collect();
    let pages = ids.clone();
    let fake = Fake::local(move |request| {
        let at = usize::from(request.contains("cursor=1")) + 2 * usize::from(request.contains("cursor=2"));
        let mut page = token_rows(&[&pages[at]]);
        page["next_cursor"] = if at < 2 { (at + 1).to_string().into() } else { Value::Null };
        json_answer(&page)
    });
    let list =
        |options: &[&str]| sandbox.spl(&[&["--server", &fake.url(), "token", "list"], options].concat());
    let shown = list(&[]).ok().stdout;
    let header = shown.lines().next().expect("a header");
    let columns: Vec<_> = header.split("  ").map(str::trim).filter(|column| !column.is_empty()).collect();
    assert_eq!(columns, ["TOKEN_ID", "ACCOUNT", "TOKEN", "CREATED", "EXPIRES", "LAST USED", "STATUS"]);
    for id in &ids {
        assert!(shown.contains(&id[..12]) && !shown.contains(&id[..13]), "{shown}");
    }
    let whole = list(&["-o", "json"]).ok().json();
    assert_eq!((whole["data"].as_array().map(Vec::len), &whole["next_cursor"]), (Some(3), &Value::Null));
    assert_eq!(list(&["-o", "stream-json"]).ok().json_lines().len(), 3);
    // One that never ends is not followed forever.
    let endless = Fake::local(|_| json_answer(&json!({ "data": [], "next_cursor": "again" })));
    sandbox.spl(&["--server", &endless.url(), "token", "list"]).exits(1);
}

#[test]
fn a_rotation_that_ends_the_saved_token_says_so() {
    let new = TOKEN.replace("0123456789abcdefghj", "zzzzzzzzzzzzzzzzzzz");
    let key = new.clone();
    let held = Held::with(move |request| {
        if request.starts_with("post ") {
            return json_answer(&json!({
                "id": ACCOUNT, "api_key": key, "token_id": "ab".repeat(32), "revoked": [TOKEN_ID],
            }));
        }
        identity(request)
    });
    held.sandbox.spl(&["token", "save", TOKEN]).ok();
    let ran = held.sandbox.spl(&["token", "rotate", ACCOUNT]).ok();
    assert!(ran.stdout.contains(&new) && ran.stderr.contains("has ended"), "{ran:?}");
    assert!(ran.stderr.contains("spl token save") && !ran.stderr.contains(&new), "{ran:?}");
    let saved = || fs::read_to_string(held.sandbox.home().join("token")).expect("a file");
    assert!(saved().starts_with(TOKEN), "nothing is saved that was not asked for");
    let ran = held.sandbox.spl(&["token", "rotate", ACCOUNT, "--save"]).ok();
    assert!(saved().starts_with(&new) && !ran.stderr.contains("has ended"), "{ran:?}");
}

#[test]
fn a_new_token_is_printed_once_on_stdout() {
    let sandbox = Sandbox::new();
    let fake = Fake::local(|_| {
        status_answer(
            201,
            &json!({ "object": "token", "api_key": TOKEN, "token_id": TOKEN_ID,
            "service_account_id": ACCOUNT, "scopes": ["records:read", "thread:x:read"], "expires_at": null }),
        )
    });
    let server = fake.url();
    let create = |word: &str, options: &[&str]| {
        sandbox.spl(&[&["--server", &server, "token", word, "--sa", ACCOUNT], options].concat())
    };
    for word in ["create", "mint"] {
        let ran = create(word, &[]).ok();
        assert_eq!(ran.stdout.matches(TOKEN).count(), 1, "{ran:?}");
        assert!(!ran.stderr.contains(TOKEN), "{ran:?}");
    }
    let sent = |options: &[&str]| {
        create("create", options).ok();
        let heard = fake.heard().pop().expect("a request");
        let (_, body) = heard.split_once("\r\n\r\n").expect("a body");
        serde_json::from_str::<Value>(body).expect("JSON")
    };
    assert_eq!(sent(&[]), json!({ "service_account_id": ACCOUNT }));
    assert_eq!(
        sent(&["--scopes", "records:read", "--env-tag", "ci", "--expires-in", "2h"]),
        json!({ "service_account_id": ACCOUNT, "scopes": ["records:read"], "env_tag": "ci",
            "expires_in_seconds": 7200 })
    );
    assert_eq!(sent(&["--grain", "thread:x:read"])["scopes"], json!(["records:read", "thread:x:read"]));
    create("create", &["--scopes", "admin", "--grain", "thread:x:read"]).exits(2);
    create("create", &["--scopes", "everything"]).exits(2);
    assert_eq!(create("create", &["-o", "json"]).ok().json()["api_key"], TOKEN);
}

#[test]
fn whoever_has_no_token_is_told_how_to_get_one() {
    let sandbox = Sandbox::new();
    let bare = Fake::local(|_| error_answer(401, "AUTH_REQUIRED"));
    let ran = sandbox.spl(&["--server", &bare.url(), "task", "list"]).exits(4);
    assert!(ran.stderr.contains("hint: run `spl up`") && ran.stderr.contains("spl token save"), "{ran:?}");
    // What the instance advises is better.
    let told = Fake::local(|_| {
        status_answer(
            401,
            &json!({ "object": "error", "code": "AUTH_REQUIRED", "message": "no", "hint": "ask Bob" }),
        )
    });
    let ran = sandbox.spl(&["--server", &told.url(), "task", "list"]).exits(4);
    assert!(ran.stderr.contains("ask Bob") && !ran.stderr.contains("spl up"), "{ran:?}");
}
