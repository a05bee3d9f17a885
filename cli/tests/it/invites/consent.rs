//! Who may operate invites: an admin with the grant, under its own name, in every mode.

use serde_json::{Value, json};

use super::kit::{ADMIN, ALICE, Asks as _, Caller, Desk};
use crate::{access::kit::refuses_with_hint, raw::Reply};

const BOB: &str = "did:sync:user:bob";

/// What operators do: the request, and the grant that it asks for.
fn routes() -> Vec<(&'static str, &'static str, Option<Value>, &'static str, &'static str)> {
    let none = "/v1/invites/inv_0000000000000000/revoke";
    vec![
        ("GET", "/v1/invites", None, "th_invites", "read"),
        ("GET", "/v1/invites/audit", None, "th_invites", "read"),
        // Refused for its query by whoever may: what is let through here has no end.
        ("GET", "/v1/invites/stream?more=1", None, "th_invites", "read"),
        ("POST", "/v1/invites", Some(json!({})), "th_invites", "write"),
        ("POST", none, Some(json!({})), "th_invites", "write"),
        ("POST", "/v1/invites/bulk-revoke", Some(json!({ "filter": "expired" })), "th_invites", "write"),
        ("GET", "/v1/invite-templates", None, "th_invite_templates", "read"),
        ("POST", "/v1/invite-templates", Some(json!({ "label": "t" })), "th_invite_templates", "write"),
        ("DELETE", "/v1/invite-templates/tpl_0000000000000000", None, "th_invite_templates", "write"),
    ]
}

fn is_through(reply: &Reply) -> bool {
    let text = reply.text();
    let denied = reply.status == 403;
    assert!(denied || matches!(reply.status, 200 | 201 | 404 | 400), "{text}");
    if denied {
        assert_eq!(reply.json()["code"], "CONSENT_DENIED", "{text}");
        let hint = reply.json()["hint"].as_str().expect("a hint").to_owned();
        assert!(hint.contains("spl consent grant"), "{hint}");
    }
    !denied
}

#[test]
fn an_admin_without_the_grant_is_refused_and_with_it_let_through() {
    let desk = Desk::memory();
    let resources = ["th_invites", "th_invite_templates", "th_consent"];
    for (n, resource) in resources.iter().enumerate() {
        for access in ["none", "read", "write"] {
            let grants: &[(&str, &str)] = if access == "none" { &[] } else { &[(resource, access)] };
            let (caller, _) = desk.admin_with(&format!("did:sync:user:{n}.{access}"), grants);
            for (method, path, body, needed, asked) in routes() {
                let head = desk.admin.head();
                let through = is_through(&caller.asks(method, path, body.as_ref()));
                // Writing includes reading.
                let expected = needed == *resource && (access == "write" || access == asked);
                assert_eq!(through, expected, "{method} {path} with {access} on {resource}");
                assert!(through || desk.admin.head() == head, "a refusal writes nothing");
            }
        }
    }
}

#[test]
fn grants_hold_from_the_next_request_on() {
    let desk = Desk::memory();
    let (caller, _) = desk.admin_with(BOB, &[]);
    for (resource, path) in [("th_invites", "/v1/invites"), ("th_invite_templates", "/v1/invite-templates")] {
        let body = json!({ "label": "t" });
        let body = if resource == "th_invites" { json!({}) } else { body };
        for _ in 0..3 {
            refuses_with_hint(caller.reads(path), 403, "CONSENT_DENIED");
            let id = desk.grant(BOB, resource, "read");
            caller.reads(path).is(200);
            refuses_with_hint(caller.sends(path, &body), 403, "CONSENT_DENIED");
            let more = desk.grant(BOB, resource, "write");
            caller.sends(path, &body).is(201);
            desk.admin.removes(&format!("/v1/consent/grants/{more}")).is(200);
            refuses_with_hint(caller.sends(path, &body), 403, "CONSENT_DENIED");
            caller.reads(path).is(200);
            desk.admin.removes(&format!("/v1/consent/grants/{id}")).is(200);
        }
    }
}

#[test]
fn a_grant_is_for_the_callers_own_name_only() {
    let desk = Desk::memory();
    let (caller, _) = desk.admin_with(BOB, &[]);
    for (method, path, body, ..) in routes() {
        // Acting as somebody who has the grant lends none, nor does having it help who acts as another.
        for who in [caller.claiming(ADMIN), desk.admin.claiming(ALICE)] {
            let reply = who.asks(method, path, body.as_ref());
            assert!(!is_through(&reply), "{method} {path}: {}", reply.text());
        }
    }
    // The scope is asked first, and a grant is none.
    let plain = desk.admin.account(&["did:sync:user:p"], &["records:read", "records:write", "config:read"]);
    desk.grant("did:sync:user:p", "th_invites", "write");
    desk.grant("did:sync:user:p", "th_invite_templates", "write");
    let plain = desk.node.as_token(&plain);
    for (method, path, body, ..) in routes() {
        let refused = refuses_with_hint(plain.asks(method, path, body.as_ref()), 403, "SCOPE_FORBIDDEN");
        assert_eq!(refused["required_scope"], "admin", "{method} {path}");
    }
}

/// Every operator route of the family, and self-renewal: with what needs a bearer refuses nobody's.
fn refuses_nobody(caller: &Caller, token_id: &str) {
    let pairs = [
        ("GET", "/v1/federation/pairs", None),
        ("POST", "/v1/federation/pairs", Some(json!({ "peer_url": "http://127.0.0.1:1" }))),
        ("GET", "/v1/federation/pairs/pair_0000000000000000", None),
        ("DELETE", "/v1/federation/pairs/pair_0000000000000000", None),
        ("POST", "/v1/invites/sign-attestation", Some(json!({}))),
    ];
    let family = routes().into_iter().map(|(method, path, body, ..)| (method, path, body));
    for (method, path, body) in family.chain(pairs) {
        caller.asks(method, path, body.as_ref()).refuses(401, "AUTH_REQUIRED");
        caller.claiming(ADMIN).asks(method, path, body.as_ref()).refuses(401, "AUTH_REQUIRED");
    }
    caller.sends(&format!("/v1/tokens/{token_id}/rotate"), &json!({})).refuses(401, "AUTH_REQUIRED");
}

#[test]
fn no_mode_frees_the_routes_of_operators() {
    let desk = Desk::memory();
    let link = desk.issue(&json!({ "max_uses": 2 }));
    let bearer = desk.guest(&link);
    desk.admin.set("auth_required", &json!({ "enabled": false })).is(201);
    let head = desk.admin.head();
    desk.node.anyone().get("/v1/threads").is(200);
    for caller in [desk.node.anyone(), desk.node.owner()] {
        refuses_nobody(&caller, &bearer.id);
        caller.reads(&format!("/v1/invites/{}", link.id)).refuses(404, "INVITE_NOT_FOUND");
    }
    assert_eq!(desk.admin.head(), head, "nothing was written");
    desk.guest(&link);
}

#[test]
fn nor_does_insecure_localhost_with_local_proof_or_without() {
    let desk = Desk::with(&["--insecure-localhost", "--memory"]);
    let link = desk.issue(&json!({ "max_uses": 2 }));
    let bearer = desk.guest(&link);
    let head = desk.admin.head();
    // It frees what is for recovery.
    desk.node.owner().get("/v1/tokens").is(200);
    for caller in [desk.node.anyone(), desk.node.owner()] {
        refuses_nobody(&caller, &bearer.id);
        caller.reads(&format!("/v1/invites/{}", link.id)).refuses(404, "INVITE_NOT_FOUND");
    }
    assert_eq!(desk.admin.head(), head, "nothing was written");
    desk.guest(&link);
}

#[test]
fn a_permission_rule_for_invites_comes_after_the_grant() {
    let desk = Desk::memory();
    let rule = |name: &str, action: &str, priority: u64, expression: &str| {
        let rule = json!({ "name": name, "action": action, "priority": priority, "expression": expression, "enabled": true });
        desk.admin.set("permission_rule", &rule).is(201);
    };
    rule("others", "allow", 1, "true");
    rule("no invites", "deny", 9, "resource == \"invite\"");
    let link = desk.issue(&json!({ "max_uses": 2 }));
    desk.admin.set("permissions_enabled", &json!({ "enabled": true })).is(201);
    let head = desk.admin.head();
    for (method, path, body, ..) in routes() {
        // A query that nobody may send is told only to those who may.
        let path = path.trim_end_matches("?more=1");
        desk.admin.asks(method, path, body.as_ref()).refuses(403, "PERMISSION_DENIED");
    }
    assert_eq!(desk.admin.head(), head, "nothing was written");
    // What is open is ruled by the link alone.
    desk.guest(&link);
    desk.admin.set("permissions_enabled", &json!({ "enabled": false })).is(201);
    desk.admin.reads("/v1/invites").is(200);
}
