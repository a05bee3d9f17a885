//! `spl up`: from nothing to a running, secured instance, as often as one likes.

use std::{
    fs,
    process::{Command, Stdio},
};

use serde_json::json;

use crate::{
    support::{Ran, Sandbox, error_answer, json_answer, status_answer},
    tokens::TOKEN,
    trust::{DID, Held},
};

const ACCOUNT: &str = "sa_0123456789abcdef";

/// An instance in some mode, which lets one token in, and knows whether its door is still open.
fn instance(mode: &'static str, is_open: bool) -> Held {
    let held = Held::with(move |request| {
        let line = request.lines().next().unwrap_or_default();
        if line.starts_with("get /health") {
            return json_answer(&json!({ "status": "ok", "instance_did": DID, "auth": { "mode": mode } }));
        }
        if line.starts_with("post /v1/bootstrap/service-account ") && is_open {
            return status_answer(
                201,
                &json!({
                    "object": "bootstrap_result", "service_account_id": ACCOUNT, "api_key": TOKEN,
                }),
            );
        }
        if line.starts_with("post /v1/bootstrap/service-account ") {
            return error_answer(409, "BOOTSTRAP_CLOSED");
        }
        if request.contains(&format!("authorization: bearer {TOKEN}")) {
            return json_answer(&json!({ "did": DID, "caller": {
                "actor": "did:sync:user:alice", "scopes": ["admin"], "service_account_id": ACCOUNT,
                "is_authenticated": true,
            }}));
        }
        error_answer(401, "AUTH_INVALID")
    });
    held.pretend_to_run();
    held
}

#[test]
fn the_first_account_is_made_with_the_local_proof_and_its_token_saved() {
    for mode in ["bootstrap", "insecure_localhost"] {
        let held = instance(mode, true);
        let told = held.sandbox.spl(&["up", "-o", "json"]).ok();
        assert!(!told.stdout.contains(TOKEN) && !told.stderr.contains(TOKEN), "{told:?}");
        assert_eq!(
            told.json(),
            json!({
                "object": "up", "url": held.own.url(), "instance_did": DID, "service_account_id": ACCOUNT,
                "token_id": told.json()["token_id"], "token_saved": true, "mode": mode,
            })
        );
        let saved = fs::read_to_string(held.sandbox.home().join("token")).expect("a token");
        assert_eq!(saved, format!("{TOKEN}\norigin {}\ninstance {DID}\n", held.own.url()));
        let heard = held.own.heard();
        let made = heard.iter().find(|request| request.starts_with("post ")).expect("a request");
        assert!(made.contains("x-syncropel-local: ") && !made.contains("authorization"), "{made}");
    }
}

#[test]
fn a_token_that_works_is_enough() {
    let held = instance("secure", true);
    let text = format!("{TOKEN}\norigin http://127.0.0.1:1\ninstance {DID}\n");
    held.sandbox.home_file("token", &text, 0o600);
    let told = held.sandbox.spl(&["up", "-o", "json"]).ok().json();
    assert_eq!((&told["mode"], &told["service_account_id"]), (&json!("secure"), &json!(ACCOUNT)));
    assert!(!held.own.heard().iter().any(|request| request.starts_with("post ")), "nothing is made");
    let saved = fs::read_to_string(held.sandbox.home().join("token")).expect("a token");
    assert!(saved.contains(&held.own.url()), "the token follows its instance: {saved}");
}

#[test]
fn where_no_token_works_the_way_back_is_told() {
    for (mode, first_step) in
        [("secure", "spl serve --stop"), ("insecure_localhost", "spl service-account list")]
    {
        let held = instance(mode, false);
        for token in [None, Some("spl_prod_sa_0123456789abcdef_zzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzz\n")] {
            token.map(|token| held.sandbox.home_file("token", token, 0o600));
            let ran = held.sandbox.spl(&["up"]).exits(4);
            let step = ran.stderr.lines().find(|line| line.starts_with("  ")).expect("a step");
            assert!(step.trim().starts_with(first_step), "{ran:?}");
            assert!(ran.stderr.contains("spl token rotate <sa_id> --save"), "{ran:?}");
        }
    }
}

#[test]
fn a_token_file_that_is_not_private_is_told_before_anything_is_made() {
    let held = instance("bootstrap", true);
    held.sandbox.home_file("token", "old\n", 0o644);
    let ran = held.sandbox.spl(&["up"]).exits(1);
    assert!(ran.stderr.contains("chmod 600"), "{ran:?}");
    assert!(held.own.heard().is_empty());
}

/// A home whose instance is stopped when the test ends, however it ends.
pub(crate) struct Upped(pub(crate) Sandbox);

impl Upped {
    /// With a running, secured instance, and its token saved.
    pub(crate) fn new() -> Self {
        let upped = Self(Sandbox::new());
        upped.0.spl(&["up", "--port", "0"]).ok();
        upped
    }

    fn saved(&self) -> String {
        fs::read_to_string(self.0.home().join("token")).expect("a saved token")
    }

    fn token(&self) -> String {
        self.saved().lines().next().expect("a line").to_owned()
    }
}

impl Drop for Upped {
    fn drop(&mut self) {
        self.0.spl(&["serve", "--stop"]);
    }
}

#[test]
fn one_command_is_enough() {
    let upped = Upped(Sandbox::new());
    let ran = upped.0.spl(&["up", "--port", "0"]).ok();
    let token = upped.token();
    assert!(!ran.stdout.contains(&token) && !ran.stderr.contains(&token), "{ran:?}");
    for part in ["running", "secure", "sa_", "did:sync:user:", "saved"] {
        assert!(ran.stdout.contains(part), "{part}: {ran:?}");
    }
    assert!(ran.stderr.contains("next:"), "{ran:?}");
    let thread = upped.0.spl(&["intend", "ship it"]).ok().first_line();
    upped.0.spl(&["thread", "show", &thread]).ok();
    upped.0.spl(&["service-account", "list"]).ok();
    upped.0.spl(&["doctor"]).ok();
    let login = nix::unistd::User::from_uid(nix::unistd::geteuid()).expect("users").expect("a user").name;
    let identity = upped.0.spl(&["token", "info", "-o", "json"]).ok().json();
    assert_eq!(identity["actor"], format!("did:sync:user:{login}"));
}

#[test]
fn it_may_be_repeated_and_mends_what_is_missing() {
    let upped = Upped::new();
    let saved = upped.saved();
    let told = upped.0.spl(&["up", "-o", "json"]).ok().json();
    assert_eq!(
        (&told["object"], &told["mode"], &told["token_saved"]),
        (&json!("up"), &json!("secure"), &json!(true))
    );
    for name in ["url", "instance_did", "service_account_id", "token_id"] {
        assert!(told[name].is_string(), "{name}: {told}");
    }
    assert!(!told.to_string().contains(&upped.token()));
    assert_eq!(upped.saved(), saved, "nothing is changed that works");
    // It restarts at another port: the saved token still belongs to it.
    upped.0.spl(&["serve", "--restart"]).ok();
    upped.0.spl(&["task", "list"]).ok();
    // The daemon is down, and comes back at another port: the token follows.
    upped.0.spl(&["serve", "--stop"]).ok();
    let again = upped.0.spl(&["up", "-o", "json"]).ok().json();
    assert_eq!(again["service_account_id"], told["service_account_id"]);
    assert_eq!(again["instance_did"], told["instance_did"]);
    assert!(upped.saved().contains(again["url"].as_str().expect("an address").trim_end_matches('/')));
    upped.0.spl(&["task", "list"]).ok();
}

#[test]
fn it_secures_what_was_started_without_tokens() {
    let upped = Upped(Sandbox::new());
    upped.0.spl(&["serve", "--daemon", "--insecure-localhost", "--port", "0"]).ok();
    let ran = upped.0.spl(&["up"]).ok();
    assert!(ran.stderr.contains("spl serve --stop && spl serve --daemon"), "{ran:?}");
    upped.0.spl(&["serve", "--stop"]).ok();
    // What it was started with holds, but for what made it insecure.
    let told = upped.0.spl(&["up", "-o", "json"]).ok().json();
    assert_eq!(told["mode"], "secure");
}

#[test]
fn a_lost_token_is_told_with_the_way_back() {
    let upped = Upped::new();
    upped.0.spl(&["token", "unset"]).ok();
    let ran = upped.0.spl(&["up"]).exits(4);
    for step in ["spl serve --daemon --insecure-localhost", "spl token rotate <sa_id> --save"] {
        assert!(ran.stderr.contains(step), "{step}: {ran:?}");
    }
    // A token that is rejected is as good as lost, and told by its source.
    let output = upped.0.command(&["up"]).env("SPL_TOKEN", TOKEN).output();
    let ran = Ran::from(output.expect("spl runs"), &["up"]).exits(4);
    assert!(ran.stderr.contains("SPL_TOKEN env"), "{ran:?}");
    upped.0.spl(&["serve", "--stop"]).ok();
    upped.0.spl(&["serve", "--daemon", "--insecure-localhost", "--port", "0"]).ok();
    let accounts = upped.0.spl(&["service-account", "list", "-o", "json"]).ok().json();
    let id = accounts["data"][0]["id"].as_str().expect("an id").to_owned();
    upped.0.spl(&["token", "rotate", &id, "--save"]).ok();
    upped.0.spl(&["serve", "--stop"]).ok();
    upped.0.spl(&["up"]).ok();
    upped.0.spl(&["task", "list"]).ok();
}

#[test]
fn a_token_of_another_instance_is_not_written_over() {
    let upped = Upped(Sandbox::new());
    let text = format!("{TOKEN}\norigin https://spl.example.org\n");
    upped.0.home_file("token", &text, 0o600);
    let ran = upped.0.spl(&["up", "--port", "0"]).exits(1);
    assert!(
        ran.stderr.contains("https://spl.example.org") && ran.stderr.contains("spl token unset"),
        "{ran:?}"
    );
    assert_eq!(upped.saved(), text);
    upped.0.spl(&["token", "unset"]).ok();
    upped.0.spl(&["up"]).ok();
}

#[test]
fn a_token_of_the_environment_makes_the_first_account_and_leaves_the_environment() {
    let value = "Ab3-xY9_qZ".repeat(4);
    let upped = Upped(Sandbox::new());
    let mut command = upped.0.command(&["serve", "--daemon", "--port", "0"]);
    let output = command.env("SPL_BOOTSTRAP_TOKEN", &value).env("SPL_TOKEN", TOKEN).output();
    Ran::from(output.expect("spl runs"), &["serve"]).ok();
    let pid = upped.0.spl(&["serve", "--status", "--json"]).ok().json()["pid"].as_u64().expect("a pid");
    for file in ["environ", "cmdline"] {
        let bytes = fs::read(format!("/proc/{pid}/{file}")).expect("a process");
        let text = String::from_utf8_lossy(&bytes);
        assert!(!text.contains(&value) && !text.contains("SPL_BOOTSTRAP_TOKEN"), "{file}: {text}");
        assert!(!text.contains(TOKEN), "{file}: {text}");
    }
    let bearer = format!("spl_prod_sa-bootstrap-env_{value}");
    let info = upped.0.spl(&["token", "info", &bearer, "-o", "json"]).ok().json();
    assert_eq!(
        (&info["status"], &info["service_account_id"]),
        (&json!("active"), &json!("sa-bootstrap-env"))
    );
    let log = fs::read_to_string(upped.0.home().join("logs/spl.log")).expect("a log");
    assert!(!log.contains(&value));
}

#[test]
fn a_foreground_process_drops_the_variable_too() {
    let value = "Ab3-xY9_qZ".repeat(4);
    let upped = Upped(Sandbox::new());
    let mut command: Command = upped.0.command(&["serve", "--port", "0"]);
    command.stdout(Stdio::null()).stderr(Stdio::null()).env("SPL_BOOTSTRAP_TOKEN", &value);
    let mut child = command.spawn().expect("spl starts");
    let pid = child.id();
    crate::support::wait_until("the instance is ready", || {
        (upped.0.spl(&["status"]).code == 0).then_some(())
    });
    let environment = fs::read(format!("/proc/{pid}/environ")).expect("a process");
    assert!(!String::from_utf8_lossy(&environment).contains(&value));
    let bearer = format!("spl_prod_sa-bootstrap-env_{value}");
    upped.0.spl(&["--token", &bearer, "service-account", "list"]).ok();
    let waiter = std::thread::spawn(move || child.wait());
    upped.0.spl(&["serve", "--stop"]).ok();
    waiter.join().expect("no panic").expect("an ended process");
}

#[test]
fn a_restore_ends_every_token_but_the_one_that_is_kept() {
    let upped = Upped::new();
    let other = upped.0.spl(&["service-account", "list", "-o", "json"]).ok().json();
    let id = other["data"][0]["id"].as_str().expect("an id").to_owned();
    let other = upped.0.spl(&["token", "create", "--sa", &id, "-o", "json"]).ok().json();
    let other = other["api_key"].as_str().expect("a token").to_owned();
    let backup = upped.0.dir().join("copy.splbak").display().to_string();
    upped.0.spl(&["backup", &backup]).ok();
    upped.0.spl(&["serve", "--stop"]).ok();
    let ran = upped.0.spl(&["restore", &backup]).ok();
    let command = ran.stderr.lines().find(|line| line.contains("--keep-token")).expect("a command");
    let words: Vec<&str> = command.split_whitespace().skip(1).chain(["--port", "0"]).collect();
    upped.0.spl(&words).ok();
    upped.0.spl(&["task", "list"]).ok();
    upped.0.spl(&["--token", &other, "task", "list"]).exits(4);
}

#[test]
fn the_token_of_the_environment_is_saved() {
    let value = "Ab3-xY9_qZ".repeat(4);
    let upped = Upped(Sandbox::new());
    let mut command = upped.0.command(&["up", "--port", "0", "-o", "json"]);
    let told =
        Ran::from(command.env("SPL_BOOTSTRAP_TOKEN", &value).output().expect("spl runs"), &["up"]).ok();
    assert_eq!(told.json()["service_account_id"], "sa-bootstrap-env");
    assert_eq!(upped.token(), format!("spl_prod_sa-bootstrap-env_{value}"));
    upped.0.spl(&["task", "list"]).ok();
    // One that is too weak makes no account, and is no obstacle to the usual one.
    let upped = Upped(Sandbox::new());
    let mut command = upped.0.command(&["up", "--port", "0", "-o", "json"]);
    let told =
        Ran::from(command.env("SPL_BOOTSTRAP_TOKEN", "weak").output().expect("spl runs"), &["up"]).ok();
    assert!(told.json()["service_account_id"].as_str().is_some_and(|id| id.starts_with("sa_")), "{told:?}");
}
