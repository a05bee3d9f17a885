//! `spl invite`, as an operator uses it: what is sent, what is printed where, and what never is.

use serde_json::{Value, json};

use crate::{
    support::{Fake, Ran, Sandbox, chunked_answer, error_answer, json_answer, status_answer},
    tokens::TOKEN,
};

pub(crate) const ID: &str = "inv_0123456789abcdef";
const TEMPLATE: &str = "tpl_0123456789abcdef";

/// The link that the fakes give.
fn link() -> String {
    format!("https://alice.example.com/i/{ID}?sig={}", "A".repeat(86))
}

/// A row of the list.
fn row(id: &str) -> Value {
    json!({
        "object": "invite", "invite_id": id, "record_id": "ab", "issuer_did": "did:key:z6MkA",
        "issuer_key_fp": "00112233", "issued_at": "2030-01-01T00:00:00.000Z",
        "expires_at": "2030-01-02T00:00:00.000Z", "max_uses": 5, "uses_remaining": 3,
        "scopes": ["records:read", "thread:music.library:read"],
        "scope_target": { "kind": "thread", "thread_id": "music.library" }, "state": "active",
        "accept_holder_types": ["guest", "federated"], "device_label": "phone\u{1b}[2J", "notes": null,
        "template_id": null, "bearer_ttl_seconds": 7_776_000, "ttl_seconds": 86_400, "revoked_at": null,
        "redirect_url": link(), "qr_payload": link(), "qr_svg": "<svg/>",
        "redemptions": [
            { "holder_type": "federated", "holder_did": "did:sync:user:bob", "holder_pubkey": "k",
              "holder_label": null, "signer_instance_did": "did:key:z6MkB", "signer_trust": "paired",
              "at": "2030-01-01T10:00:00.000Z", "service_account_id": "sa_0123456789abcdef",
              "token_id": "ab", "last_seen": null, "live": true },
            { "holder_type": "guest", "holder_did": "did:sync:user:guest:00", "holder_pubkey": "k",
              "holder_label": "Dana's laptop", "signer_instance_did": null, "signer_trust": null,
              "at": "2030-01-01T11:00:00.000Z", "service_account_id": "sa_0123456789abcdeg",
              "token_id": "cd", "last_seen": "2030-01-01T12:00:00.000Z", "live": false },
        ],
    })
}

fn list(rows: &[Value], next: Option<&str>) -> Vec<u8> {
    json_answer(&json!({ "object": "list", "data": rows, "next_cursor": next }))
}

/// An instance that answers as the contract says.
fn answer(request: &str) -> Vec<u8> {
    let first = request.lines().next().unwrap_or_default();
    let (method, path) = first.split_once(' ').unwrap_or_default();
    let path = path.split(' ').next().unwrap_or_default();
    let mut made = row(ID);
    made["warnings"] = json!(["the public_url is loopback: no phone can reach it\u{202e}"]);
    match (method, path.split('?').next().unwrap_or_default()) {
        ("post", "/v1/invites") => status_answer(201, &made),
        ("get", "/v1/invites") if path.contains("cursor=more") => list(&[row(ID)], None),
        ("get", "/v1/invites") => list(&[row("inv_00000000000000aa")], Some("more")),
        ("post", "/v1/invites/bulk-revoke") => json_answer(&json!({
            "status": "revoked", "revoked_count": 2, "invite_ids": [], "filter": "expired",
            "bearers_revoked": 0, "remaining": 7,
        })),
        ("post", path) if path.ends_with("/revoke") => json_answer(&json!({
            "status": "revoked", "invite_id": ID, "bearers_revoked": 3, "accounts_revoked": 2,
        })),
        ("get", "/v1/invites/audit") => list(
            &[
                json!({ "object": "invite_event", "record_id": "a", "sequence": 9, "invite_id": ID,
                    "event_kind": "refused", "at": "2030-01-01T00:00:00.000Z",
                    "refusal_reason": "bad_proof", "count": 12, "holder_did": "did:sync:user:mallory",
                    "source_record": "b", "device_label": "phone", "notes": null }),
                json!({ "object": "invite_event", "record_id": "c", "sequence": 8, "invite_id": ID,
                    "event_kind": "revoked", "at": "2030-01-01T00:00:00.000Z", "cause": "operator",
                    "by": { "actor": "did:sync:user:alice" }, "revoker_reason": "phone lost",
                    "source_record": "d", "device_label": "phone", "notes": null }),
            ],
            Some("older"),
        ),
        ("get", "/v1/scope_presets") => {
            list(&[json!({ "name": "reader", "scopes": ["records:read"], "default": false })], None)
        }
        ("get", "/v1/invite-templates") => list(&[template()], None),
        ("post", "/v1/invite-templates") => status_answer(201, &template()),
        ("delete", path) if path.ends_with(TEMPLATE) => {
            json_answer(&json!({ "status": "already_removed", "template_id": TEMPLATE }))
        }
        _ => error_answer(404, "NOT_FOUND"),
    }
}

fn template() -> Value {
    json!({
        "object": "invite_template", "template_id": TEMPLATE, "owner": "did:sync:user:alice",
        "label": "onboarding", "ttl_seconds": 604_800, "max_uses": 5, "scopes": ["records:read"],
        "scope_target": { "kind": "instance" }, "accept_holder_types": ["guest"], "device_label": null,
        "notes": null, "bearer_ttl_seconds": null, "created_at": "2030-01-01T00:00:00.000Z",
    })
}

fn spl(fake: &Fake, args: &[&str]) -> Ran {
    let url = fake.url();
    Sandbox::new().spl(&[&["--server", &url, "--token", TOKEN], args].concat())
}

/// The body of the last request.
pub(crate) fn sent(fake: &Fake) -> Value {
    let request = fake.heard().pop().expect("a request");
    let (_, body) = request.split_once("\r\n\r\n").expect("a body");
    serde_json::from_str(body).expect("JSON")
}

#[test]
fn where_it_is_piped_the_link_stands_alone() {
    let fake = Fake::local(answer);
    let ran = spl(&fake, &["invite", "create"]).ok();
    assert_eq!(ran.stdout, format!("{}\n", link()));
    for told in [ID, "records:read on thread music.library", "spl invite watch", "spl invite revoke inv_"] {
        assert!(ran.stderr.contains(told), "{told}: {ran:?}");
    }
    assert!(ran.stderr.contains("warning: the public_url is loopback"), "{ran:?}");
    assert!(!ran.stderr.contains(['\u{1b}', '\u{202e}']) && !ran.stderr.contains("sig="), "{ran:?}");
    assert_eq!(sent(&fake), json!({}), "what is not given is left to the instance");
    // The code too, where it is asked for.
    let ran = spl(&fake, &["invite", "create", "--qr"]).ok();
    assert_eq!(ran.first_line(), link());
    assert!(ran.stdout.contains('█') && ran.stdout.lines().count() > 20, "{ran:?}");
    let ran = spl(&fake, &["invite", "create", "-o", "json"]).ok();
    assert_eq!((ran.json()["qr_svg"].clone(), ran.stderr.as_str()), (json!("<svg/>"), ""));
}

#[test]
fn what_is_given_is_sent() {
    let fake = Fake::local(answer);
    let create = |args: &str| {
        let args: Vec<&str> = ["invite", "create"].into_iter().chain(args.split_whitespace()).collect();
        spl(&fake, &args).ok();
        sent(&fake)
    };
    let body = create(
        "--preset admin --ttl 15m --max-uses 5 --accept guest,federated,guest --device-label P --notes N \
         --bearer-ttl 30d",
    );
    let expected = json!({
        "preset": "admin", "ttl_seconds": 900, "max_uses": 5, "device_label": "P", "notes": "N",
        "accept_holder_types": ["guest", "federated"], "bearer_ttl_seconds": 2_592_000,
    });
    assert_eq!(body, expected);
    let body = create("--scopes records:read --thread music.library");
    let thread = json!({ "kind": "thread", "thread_id": "music.library" });
    assert_eq!(body, json!({ "scopes": ["records:read"], "scope_target": thread }));
    let body = create("--scopes thread:a:write --ttl 3600");
    assert_eq!(body, json!({ "scopes": ["records:write", "thread:a:write"], "ttl_seconds": 3600 }));
    let namespace = json!({ "kind": "namespace", "namespace": "team/a" });
    assert_eq!(create("--namespace team/a"), json!({ "scope_target": namespace }));
    // A template is named by its label or its id.
    for name in ["onboarding", TEMPLATE] {
        assert_eq!(create(&format!("--template {name}")), json!({ "template_id": TEMPLATE }));
    }
    let ran = spl(&fake, &["invite", "create", "--template", "none"]).exits(1);
    assert!(ran.stderr.contains("spl invite templates"), "{ran:?}");
    for bad in [
        "--preset reader --scopes records:read",
        "--thread a --namespace b",
        "--accept anybody",
        "--ttl soon",
        "--max-uses 0",
        "--scopes all",
        "--qr --no-qr",
    ] {
        let args: Vec<&str> = ["invite", "create"].into_iter().chain(bad.split_whitespace()).collect();
        spl(&fake, &args).exits(2);
    }
}

#[test]
fn rows_are_read_to_the_end_and_hold_nothing_that_deceives() {
    let fake = Fake::local(answer);
    let ran = spl(&fake, &["invite", "list", "--state", "active"]).ok();
    for shown in [ID, "inv_00000000000000aa", "2/5", "phone\\u{1b}[2J", "bob, Dana's laptop"] {
        assert!(ran.stdout.contains(shown), "{shown}: {ran:?}");
    }
    assert!(!ran.stdout.contains('\u{1b}') && !ran.stdout.contains("sig="), "{ran:?}");
    assert!(fake.heard().iter().all(|request| request.contains("state=active")));
    let ran = spl(&fake, &["invite", "list", "-o", "stream-json"]).ok();
    assert_eq!(ran.json_lines().len(), 2);
}

#[test]
fn an_invite_is_shown_with_its_holders_and_without_its_link() {
    let fake = Fake::local(answer);
    let ran = spl(&fake, &["invite", "show", ID]).ok();
    for shown in ["did:sync:user:bob by did:key:z6MkB", "paired", "Dana's laptop", "sa_0123456789abcdeg"] {
        assert!(ran.stdout.contains(shown), "{shown}: {ran:?}");
    }
    assert!(!ran.stdout.contains("sig=") && !ran.stderr.contains("sig="), "{ran:?}");
    assert_eq!(spl(&fake, &["invite", "show", ID, "--link"]).ok().stdout, format!("{}\n", link()));
    assert_eq!(spl(&fake, &["invite", "show", ID, "-o", "json"]).ok().json(), row(ID));
    let ran = spl(&fake, &["invite", "show", "inv_zzzzzzzzzzzzzzzz"]).exits(1);
    assert!(ran.stderr.contains("spl invite list"), "{ran:?}");
}

#[test]
fn taking_back_says_how_many_it_ended() {
    let fake = Fake::local(answer);
    let ran = spl(&fake, &["invite", "revoke", ID, "--reason", "phone lost"]).ok();
    assert_eq!(ran.stdout, format!("{ID} revoked; 2 accounts and 3 live tokens ended with it\n"));
    assert_eq!(sent(&fake), json!({ "reason": "phone lost" }));
    let ran = spl(&fake, &["invite", "bulk-revoke", "expired"]).ok();
    assert_eq!(ran.stdout, "2 expired invites revoked\n");
    assert!(ran.stderr.contains("7 more are left"), "{ran:?}");
    assert_eq!(sent(&fake), json!({ "filter": "expired" }));
    spl(&fake, &["invite", "bulk-revoke", "active"]).exits(2);
}

#[test]
fn the_trail_says_who_and_why() {
    let fake = Fake::local(answer);
    let ran = spl(&fake, &["invite", "audit", "--limit", "2"]).ok();
    for shown in ["mallory", "bad_proof (12 times)", "alice", "phone lost"] {
        assert!(ran.stdout.contains(shown), "{shown}: {ran:?}");
    }
    assert!(ran.stderr.contains("--cursor older"), "{ran:?}");
    assert_eq!(spl(&fake, &["invite", "audit", "-o", "stream-json"]).ok().json_lines().len(), 2);
}

#[test]
fn presets_and_templates() {
    let fake = Fake::local(answer);
    assert!(spl(&fake, &["invite", "presets"]).ok().stdout.contains("reader"));
    for args in [&["invite", "templates"][..], &["invite", "templates", "list"]] {
        assert!(spl(&fake, args).ok().stdout.contains("onboarding"));
    }
    let save = ["invite", "templates", "save", "--label", "onboarding", "--ttl", "7d", "--max-uses", "5"];
    assert!(spl(&fake, &save).ok().stdout.starts_with(TEMPLATE));
    assert_eq!(sent(&fake), json!({ "ttl_seconds": 604_800, "max_uses": 5, "label": "onboarding" }));
    for name in ["onboarding", TEMPLATE] {
        let ran = spl(&fake, &["invite", "templates", "remove", name]).ok();
        assert_eq!(ran.stdout, format!("{TEMPLATE} already removed\n"));
    }
}

/// An event of the stream.
fn event(sequence: u64, state: &str) -> String {
    let mut invite = row(ID);
    invite["state"] = state.into();
    let data = json!({ "invite": invite, "cursor": sequence.to_string() });
    format!("event: invite.updated\nid: {sequence}\ndata: {data}\n\n")
}

#[test]
fn a_watch_that_breaks_off_goes_on_where_it_was() {
    let stream = |request: &str| {
        if request.contains("last-event-id: 7") {
            chunked_answer(event(9, "revoked").as_bytes(), true)
        } else {
            let heartbeat = "event: heartbeat\nid: 5\ndata: {\"cursor\":\"5\"}\n\n";
            chunked_answer(format!("{heartbeat}{}", event(7, "active")).as_bytes(), false)
        }
    };
    let fake = Fake::local(stream);
    let ran = spl(&fake, &["invite", "watch", "--for", "2"]).ok();
    let lines: Vec<&str> = ran.stdout.lines().collect();
    assert_eq!(lines.len(), 2, "{ran:?}");
    assert!(lines[0].contains("active") && lines[1].contains("revoked"), "{ran:?}");
    assert!(lines[1].contains("2/5") && lines[1].contains("by bob, Dana's laptop"), "{ran:?}");
    assert!(!ran.stdout.contains('\u{1b}') && !ran.stdout.contains("sig="), "{ran:?}");
    assert!(fake.heard()[0].starts_with("get /v1/invites/stream "));
    let ran = spl(&Fake::local(stream), &["invite", "watch", "--for", "2", "-o", "stream-json"]).ok();
    let cursors: Vec<Value> = ran.json_lines().iter().map(|line| line["cursor"].clone()).collect();
    assert_eq!(cursors, [json!("7"), json!("9")]);
}

#[test]
fn a_watch_ends_when_its_token_does() {
    let revoked = b"event: heartbeat\nid: 5\ndata: {}\n\nevent: error\ndata: {\"code\":\"revoked\"}\n\n";
    let fake = Fake::local(|_| chunked_answer(revoked, true));
    spl(&fake, &["invite", "watch"]).exits(4);
}
