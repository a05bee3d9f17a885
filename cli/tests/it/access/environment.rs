//! The first account from `SPL_BOOTSTRAP_TOKEN`.

use std::fs;

use serde_json::json;

use super::kit::{Node, Token, sha256};
use crate::support::Sandbox;

const VARIABLE: &str = "SPL_BOOTSTRAP_TOKEN";
const SECRET: &str = "0123456789-abcdefghij_KLMNOPQRST~";

fn token() -> Token {
    let text = format!("spl_prod_sa-bootstrap-env_{SECRET}");
    Token { id: sha256(&text), text, account: "sa-bootstrap-env".to_owned() }
}

fn start(secret: &str) -> Node {
    let mut node = Node::stopped(Sandbox::new());
    node.run_in(&["--memory"], &[(VARIABLE, secret)]);
    node
}

fn mode(node: &Node) -> String {
    node.anyone().get("/health").is(200).json()["auth"]["mode"].as_str().expect("a mode").to_owned()
}

#[test]
fn weak_values_are_told_of_and_do_nothing() {
    let long = "0123456789abcdef".repeat(16);
    let weak = [
        "0123456789abcdefghijklmnopqrstu".to_owned(),
        format!("{long}x"),
        "0123456789abcdef 0123456789abcdef".to_owned(),
        "012345678".repeat(4),
        "0123456789abcdefghijklmnopqrstuvwé".to_owned(),
        "0123456789abcdef\t0123456789abcdef".to_owned(),
    ];
    std::thread::scope(|scope| {
        for secret in &weak {
            scope.spawn(move || {
                let node = start(secret);
                assert_eq!(mode(&node), "bootstrap", "{secret:?}");
                let logged = node.logged();
                let told = logged.lines().any(|l| l.contains("WARN") && l.contains(VARIABLE));
                assert!(told, "{secret:?}: {logged}");
                let said = format!("{logged}{}", node.said());
                assert!(!said.contains(secret.as_str()), "{said}");
                // The other way is still open.
                assert_eq!(node.admin().head(), 11);
            });
        }
    });
    for secret in ["0123456789".repeat(4)[..32].to_owned(), long] {
        assert_eq!(mode(&start(&secret)), "secure", "{secret:?}");
    }
}

#[test]
fn it_makes_the_first_account_and_none_after_it() {
    let mut node = Node::stopped(Sandbox::new());
    node.run_in(&[], &[(VARIABLE, SECRET)]);
    let admin = node.as_token(&token());
    let accounts = admin.rows("/v1/service-accounts");
    assert_eq!(accounts.len(), 1);
    assert_eq!(
        (&accounts[0]["id"], &accounts[0]["origin"], &accounts[0]["scopes"]),
        (&json!("sa-bootstrap-env"), &json!("environment"), &json!(["admin"]))
    );
    let row = &admin.rows("/v1/tokens")[0];
    assert_eq!(
        (&row["masked"], &row["origin"], &row["token_id"]),
        (&json!("spl_prod_sa-bootstrap-env_****"), &json!("environment"), &json!(token().id))
    );
    let actor = accounts[0]["actors"][0].as_str().expect("an actor").to_owned();
    assert!(actor.starts_with("did:sync:user:"), "{actor}");
    // It acts as any first admin does.
    let other = admin.contributor("did:sync:user:bob");
    admin.exported(true);
    for file in ["environ", "cmdline"] {
        let bytes = fs::read(format!("/proc/{}/{file}", node.pid())).expect("a process");
        let text = String::from_utf8_lossy(&bytes);
        assert!(!text.contains(VARIABLE) && !text.contains(SECRET), "{file}: {text}");
    }
    node.stop();
    // Another value at the next start is of no account, and the first stays.
    let changed = "zyxwvutsrqponmlkjihgfedcba9876543210";
    node.run_in(&[], &[(VARIABLE, changed)]);
    node.as_token(&token()).get("/v1/tokens").is(200);
    let with_changed = format!("spl_prod_sa-bootstrap-env_{changed}");
    node.anyone().bearer(&with_changed).get("/v1/tokens").refuses(401, "AUTH_INVALID");
    // Not even where every account is revoked.
    node.stop();
    node.run(&["--insecure-localhost"]);
    for account in ["sa-bootstrap-env", &other.account] {
        node.owner().delete(&format!("/v1/service-accounts/{account}")).is(200);
    }
    node.stop();
    node.run_in(&[], &[(VARIABLE, changed)]);
    node.anyone().bearer(&with_changed).get("/v1/tokens").refuses(401, "AUTH_INVALID");
    node.as_token(&token()).get("/v1/tokens").refuses(401, "AUTH_INVALID");
}

#[test]
fn it_does_nothing_where_an_account_was_made_by_hand() {
    let mut node = Node::disk();
    let first = node.bootstrap();
    node.stop();
    node.run_in(&[], &[(VARIABLE, SECRET)]);
    node.as_token(&token()).get("/v1/tokens").refuses(401, "AUTH_INVALID");
    assert_eq!(node.as_token(&first).rows("/v1/service-accounts").len(), 1);
}
