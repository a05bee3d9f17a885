//! `spl audit export`: one trail of several threads, and no thread that is missing in silence.

use std::fs;

use serde_json::{Value, json};

use crate::{
    support::{Fake, Ran, Sandbox, error_answer, json_answer},
    tokens::TOKEN,
};

fn record(thread: &str, sequence: u64, body: &Value) -> Value {
    json!({
        "object": "record", "id": sequence.to_string(), "thread": thread, "sequence": sequence,
        "created_at": format!("2030-01-0{}T00:00:00.000Z", sequence.min(9)), "body": body,
    })
}

fn list(rows: &[Value], next: Option<&str>) -> Vec<u8> {
    json_answer(&json!({ "object": "list", "data": rows, "next_cursor": next }))
}

/// An instance with a trail on three threads, to a caller with this scope; `denied` sees no invites.
fn instance(scope: &'static str, denied: bool) -> Fake {
    instance_with(scope, denied, false)
}

/// The same; `rules` says that permission rules are on.
fn instance_with(scope: &'static str, denied: bool, rules: bool) -> Fake {
    Fake::local(move |request| {
        let path = request.split(' ').nth(1).unwrap_or_default();
        let thread = path.strip_prefix("/v1/threads/").and_then(|rest| rest.split('/').next());
        let (bob, eve) = ("did:sync:user:bob", "did:sync:user:eve");
        match thread {
            // In two pages, around what the others hold.
            Some(name @ "th_audit_invites") if path.contains("cursor=two") => {
                list(&[record(name, 8, &json!({ "holder_did": bob, "t": "a\u{202e}" }))], None)
            }
            Some(name @ "th_audit_invites") => {
                list(&[record(name, 2, &json!({ "by": { "actor": eve } }))], Some("two"))
            }
            Some(name @ "th_audit_tokens") => {
                let by = |actor: &str| json!({ "by": { "actor": actor } });
                list(&[record(name, 1, &by(bob)), record(name, 5, &by(eve))], None)
            }
            Some(name @ "th_audit_impersonation") => {
                list(&[record(name, 6, &json!({ "actor": eve, "acted_as": [bob] }))], None)
            }
            Some(_) => list(&[], None),
            None if path.starts_with("/v1/identity") => json_answer(&json!({
                "caller": { "is_authenticated": true, "scopes": [scope] },
            })),
            None if path.starts_with("/v1/health") => json_answer(&json!({ "authorization": { "deciders": [
                { "decider": "permission_rules", "state": if rules { "live" } else { "disabled" } },
            ] } })),
            None if path.starts_with("/v1/invites/audit") && denied => error_answer(403, "CONSENT_DENIED"),
            None if path.starts_with("/v1/invites/audit") => list(&[], None),
            None => error_answer(404, "NOT_FOUND"),
        }
    })
}

fn export(fake: &Fake, args: &str) -> Ran {
    let url = fake.url();
    let mut all = vec!["--server", &url, "--token", TOKEN, "audit", "export"];
    all.extend(args.split_whitespace());
    Sandbox::new().spl(&all)
}

fn sequences(ran: &Ran) -> Vec<u64> {
    ran.json_lines().iter().map(|record| record["sequence"].as_u64().expect("a number")).collect()
}

#[test]
fn the_trail_is_one_in_the_order_of_the_log() {
    let fake = instance("admin", false);
    let ran = export(&fake, "").ok();
    assert_eq!(sequences(&ran), [1, 2, 5, 6, 8]);
    assert_eq!(ran.stderr, "");
    assert_eq!(sequences(&export(&fake, "--thread invites --thread th_audit_consent").ok()), [2, 8]);
    assert_eq!(sequences(&export(&fake, "--actor did:sync:user:bob").ok()), [1, 6, 8]);
    assert_eq!(sequences(&export(&fake, "--since 2030-01-05T00:00:00Z").ok()), [5, 6, 8]);
    assert!(export(&fake, "--actor did:sync:user:nobody").ok().stdout.is_empty());
    for bad in ["--thread th_invites", "--since yesterday"] {
        export(&fake, bad).exits(2);
    }
}

#[test]
fn a_file_is_there_whole_and_for_its_owner() {
    let fake = instance("admin", false);
    let sandbox = Sandbox::new();
    let out = sandbox.dir().join("audit.ndjson").display().to_string();
    let url = fake.url();
    let args = ["--server", &url, "--token", TOKEN, "audit", "export", "--out", &out];
    let ran = sandbox.spl(&args).ok();
    assert!(ran.stdout.is_empty() && ran.stderr.contains("exported 5 records"), "{ran:?}");
    assert_eq!(fs::read_to_string(&out).expect("a file").lines().count(), 5);
    let ran = sandbox.spl(&[&args[..], &["-o", "json"]].concat()).ok();
    assert_eq!(ran.json()["records"], 5);
}

#[test]
fn rules_that_may_hide_records_are_told_of() {
    let fake = instance_with("admin", false, true);
    let ran = export(&fake, "").ok();
    assert_eq!(sequences(&ran), [1, 2, 5, 6, 8]);
    assert!(ran.stderr.contains("permission rules are on"), "{ran:?}");
}

#[test]
fn what_may_not_be_read_is_told() {
    let ran = export(&instance("admin", true), "").ok();
    assert_eq!(sequences(&ran), [1, 5, 6]);
    assert!(ran.stderr.contains("th_audit_invites is left out"), "{ran:?}");
    // Asked for by name, it is a failure.
    let ran = export(&instance("admin", true), "--thread invites --thread tokens").exits(4);
    assert!(ran.stdout.is_empty() && ran.stderr.contains("CONSENT_DENIED"), "{ran:?}");
    let ran = export(&instance("records:read", false), "").exits(4);
    assert!(ran.stdout.is_empty() && ran.stderr.contains("admin"), "{ran:?}");
}
