//! Secrets are shown once, to whoever asked for them, and kept nowhere but where they belong.

use std::{
    fs,
    path::{Path, PathBuf},
};

use serde_json::{Value, json};

use super::kit::{ADMIN, ALICE, Node, Token, record};
use crate::{
    raw::Reply,
    support::{Ran, Sandbox},
};

const ENVIRONMENT: &str = "environment-0123456789-secret-VALUE";

/// What was answered and what must not be in it.
struct Lively {
    node: Node,
    secrets: Vec<String>,
    /// Answers and outputs that reveal nothing.
    said: Vec<(String, String)>,
}

impl Lively {
    fn said(&mut self, what: &str, reply: &Reply) {
        self.said.push((what.to_owned(), format!("{}{}", reply.head, reply.text())));
    }

    /// Keeps a token's text, its secret part, and what it is in the encodings of files.
    fn secret(&mut self, token: &Token) {
        self.secrets.push(token.text.clone());
        self.secrets.push(token.text.rsplit('_').next().expect("a secret").to_owned());
    }

    fn ran(&mut self, ran: &Ran) {
        self.said
            .push((format!("{ran:?}").chars().take(100).collect(), format!("{}{}", ran.stdout, ran.stderr)));
    }
}

fn files(dir: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(dir).expect("a directory") {
        let path = entry.expect("an entry").path();
        if path.is_dir() { files(&path, found) } else { found.push(path) }
    }
}

fn holds(bytes: &[u8], text: &str) -> bool {
    // The search of the standard library is quick; secrets are ASCII, so that none is lost in between.
    String::from_utf8_lossy(bytes).contains(text)
}

impl Lively {
    /// Insists that no file holds a secret but those that are meant to.
    fn nothing_in_files(&self) {
        let mut found = Vec::new();
        files(self.node.sandbox.dir(), &mut found);
        assert!(
            found.iter().any(|f| f.ends_with("log.redb")) && found.iter().any(|f| f.ends_with("spl.log"))
        );
        for file in found {
            let meant = file.ends_with("home/token") || file.ends_with("home/run/local");
            // A file may go while it is looked for.
            let Ok(bytes) = fs::read(&file) else { continue };
            let text = String::from_utf8_lossy(&bytes);
            for secret in self.secrets.iter().filter(|_| !meant) {
                assert!(!text.contains(secret.as_str()), "{} holds {secret}", file.display());
            }
        }
    }
}

#[test]
fn a_lively_run_leaves_none_behind() {
    let mut node = Node::stopped(Sandbox::new());
    node.run_in(&["--log-filter", "trace"], &[("SPL_BOOTSTRAP_TOKEN", ENVIRONMENT)]);
    let text = format!("spl_prod_sa-bootstrap-env_{ENVIRONMENT}");
    let first = Token { id: super::kit::sha256(&text), text, account: "sa-bootstrap-env".to_owned() };
    let mut run =
        Lively { secrets: vec![ENVIRONMENT.to_owned(), node.proof.clone()], said: Vec::new(), node };
    let admin = run.node.as_token(&first);
    // Accounts and tokens of every making.
    let one = admin.contributor(ALICE);
    let minted =
        Token::of(&admin.post("/v1/tokens", &json!({ "service_account_id": one.account })).is(201).json());
    let key =
        admin.post(&format!("/v1/service-accounts/{}/rotate-key", one.account), &json!({})).is(200).json();
    let rotated = Token::of(&key);
    let path = format!("/v1/tokens/{}/rotate", rotated.id);
    let renewed = Token::of(&run.node.as_token(&rotated).post(&path, &json!({})).is(200).json());
    let made = Token::made(&renewed.account);
    let path = format!("/v1/tokens/{}/rotate", renewed.id);
    let by_client = run.node.as_token(&renewed).post(&path, &json!({ "new_token_id": made.id })).is(200);
    run.said("a token that the client made", &by_client);
    for token in [&one, &minted, &rotated, &renewed, &made] {
        run.secret(token);
    }
    let unknown = Token::made(&one.account);
    run.secret(&unknown);
    shows_everything(&mut run, &first);
    fails_in_every_way(&mut run, &first, [&one, &made, &unknown]);
    admin.wrote(&record("data", ADMIN, json!({ "n": 1 })));
    runs_commands(&mut run, &first, &made, &unknown);
    run.nothing_in_files();
    for file in ["environ", "cmdline"] {
        let bytes = fs::read(format!("/proc/{}/{file}", run.node.pid())).expect("a process");
        assert!(run.secrets.iter().all(|secret| !holds(&bytes, secret)), "{file}");
    }
    // What was found above would be found: the file that is meant to hold one.
    let local = fs::read(run.node.sandbox.home().join("run/local")).expect("run/local");
    assert!(holds(&local, &run.node.proof));
    run.node.stop();
    assert!(!run.node.sandbox.home().join("run/local").exists(), "gone with the instance");
    run.nothing_in_files();
    for (what, said) in &run.said {
        for secret in &run.secrets {
            assert!(!said.contains(secret.as_str()), "{what} tells {secret}: {said}");
        }
    }
    assert!(run.node.logged().contains("answered"), "it logged all there is");
}

/// Asks for everything that shows accounts, tokens, configuration, and what is told of them.
fn shows_everything(run: &mut Lively, first: &Token) {
    let admin = run.node.as_token(first);
    for path in [
        "/v1/service-accounts",
        "/v1/tokens",
        "/v1/config",
        "/v1/identity",
        "/v1/health",
        "/v1/log/head",
        "/v1/export?reserved=true",
        "/v1/records?thread=th_api_tokens",
        "/v1/records?thread=th_audit_tokens",
        "/v1/verify",
        "/metrics",
        "/health",
        "/openapi.json",
        "/.well-known/syncropel",
    ] {
        let reply = admin.get(path).is(200);
        run.said(path, &reply);
    }
}

/// Sends tokens where they do not belong, and requests that fail in every way.
fn fails_in_every_way(run: &mut Lively, first: &Token, [one, made, unknown]: [&Token; 3]) {
    let admin = run.node.as_token(first);
    let anyone = run.node.anyone();
    let text = made.text.as_str();
    let proof = run.node.proof.clone();
    let failing = vec![
        ("an unknown token", run.node.as_token(unknown).get("/v1/tokens")),
        ("a dead token", run.node.as_token(one).get("/v1/tokens")),
        ("two tokens", run.node.as_token(made).header("x-api-key", &one.text).get("/v1/tokens")),
        ("a token in the address", anyone.get(&format!("/v1/tokens?token={text}"))),
        ("a token as parameter", admin.get(&format!("/v1/threads?{text}=1"))),
        ("a token as path", anyone.get(&format!("/{text}"))),
        ("a token as id", admin.delete(&format!("/v1/tokens/{text}"))),
        ("a token as account", admin.get(&format!("/v1/service-accounts/{text}"))),
        ("a token as account to mint for", admin.post("/v1/tokens", &json!({ "service_account_id": text }))),
        ("a token as cursor", admin.get(&format!("/v1/tokens?cursor={text}"))),
        ("a token as topic", admin.set(text, &json!({}))),
        ("a token as actor", run.node.as_token(made).claiming(text).get("/v1/threads")),
        (
            "a token as new token",
            run.node
                .as_token(made)
                .post(&format!("/v1/tokens/{}/rotate", made.id), &json!({ "new_token_id": text })),
        ),
        ("a token as host", anyone.header("host", text).get("/v1/threads")),
        ("a token as origin", run.node.as_token(made).header("origin", text).post("/v1/threads", &json!({}))),
        ("a token as request id", anyone.header("x-request-id", text).get("/health")),
        ("a token as method", anyone.call(&text.to_uppercase().replace('_', "-"), "/v1/threads", None)),
        ("the proof as a bearer", anyone.bearer(&proof).get("/v1/tokens")),
        (
            "the proof with a name",
            anyone
                .header("x-syncropel-local", &proof)
                .header("host", "evil.example")
                .post("/v1/bootstrap/service-account", &json!({})),
        ),
        (
            "a closed door",
            run.node
                .owner()
                .post("/v1/bootstrap/service-account", &json!({ "display_name": "x", "with_token": true })),
        ),
        ("no scope", run.node.as_token(made).get("/v1/tokens")),
    ];
    for (what, reply) in &failing {
        // An answer may repeat what its own request said where it is not the credential; these do not.
        run.said(what, reply);
    }
}

/// The command line, which shows what it was told.
fn runs_commands(run: &mut Lively, first: &Token, made: &Token, unknown: &Token) {
    let tokens: [(&str, &[&str]); 9] = [
        (&first.text, &["-o", "json", "service-account", "list"]),
        (&first.text, &["-o", "json", "token", "list"]),
        (&first.text, &["token", "list"]),
        (&first.text, &["-o", "json", "config", "show"]),
        (&first.text, &["-o", "json", "export", "--reserved"]),
        (&made.text, &["-o", "json", "token", "show-source"]),
        (&made.text, &["-o", "json", "token", "info"]),
        (&unknown.text, &["-o", "json", "token", "list"]),
        (&made.text, &["doctor"]),
    ];
    for (token, args) in tokens {
        let output = run.node.sandbox.command(args).env("SPL_TOKEN", token).output().expect("spl runs");
        run.ran(&Ran::from(output, args));
    }
    let saved = run.node.sandbox.spl_with_input(&["token", "save", "-"], made.text.as_bytes()).ok();
    run.ran(&saved);
    assert!(fs::read_to_string(run.node.sandbox.home().join("token")).expect("a token").contains(&made.text));
    let shown = run.node.sandbox.spl(&["-o", "json", "token", "show-source"]);
    run.ran(&shown);
    let backup = run.node.sandbox.dir().join("a.splbak").display().to_string();
    let output = run.node.command_as(first, &["backup", &backup]).output().expect("spl runs");
    run.ran(&Ran::from(output, &["backup"]).ok());
}

#[test]
fn only_what_mints_reveals_and_only_once() {
    let node = Node::memory();
    let admin = node.admin();
    let reveals = |answer: &Value| answer.to_string().matches("spl_prod_sa_").count();
    let body = json!({ "name": "x", "actors": [ALICE], "with_token": true });
    let made = admin.post("/v1/service-accounts", &body).is(201);
    assert_eq!(made.header("content-encoding"), None);
    assert_eq!(made.header("cache-control"), Some("no-store"));
    assert_eq!(reveals(&made.json()), 1);
    let token = Token::of(&made.json());
    let without =
        admin.post("/v1/service-accounts", &json!({ "name": "x", "actors": [ALICE] })).is(201).json();
    assert!(without.get("api_key").is_none() && reveals(&without) == 0, "{without}");
    let account = format!("/v1/service-accounts/{}", token.account);
    for (what, answer) in [
        ("the account", admin.get(&account).is(200).json()),
        ("a change", admin.patch(&account, &json!({ "name": "y" })).is(200).json()),
        ("a revocation", admin.delete(&format!("/v1/tokens/{}", token.id)).is(200).json()),
        ("the account's end", admin.delete(&account).is(200).json()),
    ] {
        assert_eq!(reveals(&answer), 0, "{what}: {answer}");
    }
    let rows = admin.rows("/v1/tokens");
    assert!(rows.iter().all(|r| r["masked"].as_str().is_some_and(|m| m.ends_with("_****"))), "{rows:?}");
    let compressed = admin
        .header("accept-encoding", "gzip, br, deflate, zstd")
        .post("/v1/service-accounts", &body)
        .is(201);
    assert_eq!(compressed.header("content-encoding"), None);
}
