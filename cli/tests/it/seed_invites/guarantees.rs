//! What is promised of invites, one promise after the other. That the end of a pair is the end of what came
//! through it is promised too: see the tests of federation.

use serde_json::{Value, json};

use super::{created, device, key, opens};
use crate::{
    access::kit::{ADMIN, Caller, Token, record},
    federation::kit::{Home, Link, now_ms, vouched},
};

/// Routes of operators: what they want beside `admin`.
fn operator_routes(
    link: &Link,
    template: &str,
) -> Vec<(&'static str, String, Value, &'static str, &'static str)> {
    let (invites, templates) = ("th_invites", "th_invite_templates");
    vec![
        ("GET", "/v1/invites".into(), Value::Null, invites, "read"),
        ("GET", "/v1/invites/stream".into(), Value::Null, invites, "read"),
        ("GET", "/v1/invites/audit".into(), Value::Null, invites, "read"),
        ("POST", "/v1/invites".into(), json!({}), invites, "write"),
        ("POST", "/v1/invites/bulk-revoke".into(), json!({ "filter": "expired" }), invites, "write"),
        ("POST", format!("/v1/invites/{}/revoke", link.id), json!({}), invites, "write"),
        ("GET", "/v1/invite-templates".into(), Value::Null, templates, "read"),
        ("POST", "/v1/invite-templates".into(), json!({ "label": "x" }), templates, "write"),
        ("DELETE", format!("/v1/invite-templates/{template}"), Value::Null, templates, "write"),
    ]
}

#[track_caller]
fn call(caller: &Caller, method: &str, path: &str, body: &Value) -> crate::raw::Reply {
    let body = (!body.is_null()).then(|| body.to_string().into_bytes());
    caller.call(method, path, body.as_deref())
}

fn template(home: &Home) -> String {
    let made = home.admin.post("/v1/invite-templates", &json!({ "label": "kept" })).is(201).json();
    made["template_id"].as_str().expect("an id").to_owned()
}

#[test]
fn operators_need_the_scope_and_the_grant() {
    let home = Home::memory();
    let (_, link) = created(&home, &[]);
    let template = template(&home);
    let granted = |actor: &str, scopes: &[&str], grants: &[(&str, &str)]| {
        let token = home.admin.account(&[actor], scopes);
        for (resource, access) in grants {
            let grant = json!({ "grantee": actor, "resource": resource, "access": access });
            home.admin.post("/v1/consent/grants", &grant).is(201);
        }
        home.node.as_token(&token)
    };
    let everything = [("th_invites", "write"), ("th_invite_templates", "write")];
    let no_grant = granted("did:sync:user:nobody", &["admin"], &[]);
    let other_grant = granted("did:sync:user:other", &["admin"], &[("th_consent", "write")]);
    let reads = granted(
        "did:sync:user:reader",
        &["admin"],
        &[("th_invites", "read"), ("th_invite_templates", "read")],
    );
    let all_but_admin =
        ["records:read", "records:write", "threads:write", "config:write", "federation:manage"];
    let no_scope = granted("did:sync:user:granted", &all_but_admin, &everything);
    let head = home.admin.head();
    for (method, path, body, _, access) in operator_routes(&link, &template) {
        for caller in [&no_grant, &other_grant] {
            call(caller, method, &path, &body).refuses(403, "CONSENT_DENIED");
        }
        call(&no_scope, method, &path, &body).refuses(403, "SCOPE_FORBIDDEN");
        // An admin who acts as somebody with the grant has it not.
        call(&no_grant.claiming(ADMIN), method, &path, &body).refuses(403, "CONSENT_DENIED");
        if access == "write" {
            call(&reads, method, &path, &body).refuses(403, "CONSENT_DENIED");
        } else if !path.ends_with("stream") {
            call(&reads, method, &path, &body).is(200);
        }
    }
    assert_eq!(home.admin.head(), head, "nothing was written");
    // Links are for those who could issue them.
    let rows = reads.rows("/v1/invites");
    assert!(rows[0].get("redirect_url").is_none() && !rows[0].to_string().contains(&link.sig), "{rows:?}");
    assert_eq!(home.row(&link.id)["redirect_url"], link.url.as_str());
    // With both it works, and no longer when the grant is taken back.
    let operator = granted("did:sync:user:carol", &["admin"], &everything);
    operator.post("/v1/invites", &json!({})).is(201);
    let grants = home.admin.rows("/v1/consent/grants");
    let own = grants.iter().find(|g| g["grantee"] == "did:sync:user:carol" && g["resource"] == "th_invites");
    let id = own.expect("the grant")["grant_id"].as_str().expect("an id").to_owned();
    home.admin.delete(&format!("/v1/consent/grants/{id}")).is(200);
    operator.post("/v1/invites", &json!({})).refuses(403, "CONSENT_DENIED");
    // No redemption brings a grant along, not with `admin` either.
    let admin = device(&home, &created(&home, &["--preset", "admin"]).1);
    home.node.as_token(&admin).get("/v1/invites").refuses(403, "CONSENT_DENIED");
}

#[test]
fn a_federated_holder_without_a_proof_is_nobody() {
    let home = Home::memory();
    let link = home.federated(5);
    let signer = key();
    let did = signer.public().did();
    let body = || vouched(&home, &link, (&did, &signer), "did:sync:user:bob");
    let send = |body: &Value| home.node.anyone().post(&link.redeem_at(), body);
    let refusals = |reason: &str| {
        let all = home.admin.rows("/v1/invites/audit?limit=1000");
        all.iter().filter(|e| e["event_kind"] == "refused" && e["refusal_reason"] == reason).count()
    };
    let fields = [
        "holder_did",
        "holder_pubkey",
        "holder_proof",
        "holder_proof_issued_at_ms",
        "signer_instance_did",
        "issuer_url",
    ];
    for field in fields {
        let mut without = body();
        without.as_object_mut().expect("members").remove(field).expect("a member");
        send(&without).refuses(403, "BAD_PROOF");
    }
    assert_eq!(refusals("bad_proof"), fields.len(), "each is audited");
    // Every member is signed: none can be exchanged for another.
    let other = key();
    for (field, value) in [
        ("holder_did", json!("did:sync:user:eve")),
        ("holder_pubkey", json!(other.public().base64url())),
        ("signer_instance_did", json!(other.public().did())),
        ("issuer_url", json!("https://elsewhere.example.com")),
        ("holder_proof", json!("A".repeat(86))),
        ("holder_proof_issued_at_ms", json!(now_ms() - 1)),
    ] {
        let mut changed = body();
        changed[field] = value;
        send(&changed).refuses(403, "BAD_PROOF");
    }
    // It is for this invite, and for this instance.
    let second = home.federated(1);
    home.node.anyone().post(&second.redeem_at(), &body()).refuses(403, "BAD_PROOF");
    let elsewhere = Home::memory();
    let there = elsewhere.federated(1);
    elsewhere.node.anyone().post(&there.redeem_at(), &body()).refuses(403, "BAD_PROOF");
    for off in [-120_000_i64, -61_000, 75_000] {
        let mut stale = body();
        let at = now_ms().checked_add_signed(off).expect("a time");
        stale["holder_proof_issued_at_ms"] = json!(at);
        send(&stale).refuses(403, "FRESHNESS_VIOLATION");
    }
    assert_eq!(refusals("freshness_violation"), 3);
    for unknown in ["did:sync:instance:bob", "did:web:bob.example.com", "did:key:z6Mk", "did:sync:user:bob"] {
        let unknown = vouched(&home, &link, (unknown, &signer), "did:sync:user:bob");
        send(&unknown).refuses(403, "KEY_UNKNOWN");
    }
    assert_eq!(refusals("key_unknown"), 4);
    assert_eq!(home.row(&link.id)["redemptions"], json!([]));
    // Once, with all of it, it is taken; and never again.
    let whole = body();
    send(&whole).is(200);
    send(&whole).refuses(403, "BAD_PROOF");
}

/// Each event has one mirror, right behind it and in the same commit, which says the same; and there is no mirror
/// without an event.
#[track_caller]
pub(crate) fn mirrors_pair_up(log: &[Value]) -> usize {
    let (mut events, mut mirrors) = (0, 0);
    for (at, one) in log.iter().enumerate() {
        mirrors += usize::from(one["thread"] == "th_audit_invites");
        if one["thread"] != "th_invites" {
            continue;
        }
        events += 1;
        let mirror = log.get(at + 1).unwrap_or_else(|| panic!("no mirror of {one}"));
        assert_eq!(mirror["thread"], "th_audit_invites", "{one} {mirror}");
        assert_eq!(mirror["body"]["source_record"], one["id"], "{one} {mirror}");
        assert_eq!((&mirror["parents"], &mirror["created_at"]), (&json!([one["id"]]), &one["created_at"]));
        assert_eq!(mirror["body"]["invite_id"], one["body"]["invite_id"], "{one} {mirror}");
        let kind = one["body"].get("event_kind").cloned().unwrap_or_else(|| json!("issued"));
        assert_eq!(mirror["body"]["event_kind"], kind, "{one} {mirror}");
        if one["body"].get("event_kind").is_some() {
            let mut said = mirror["body"].clone();
            said.as_object_mut().expect("members").remove("source_record");
            assert_eq!(said, one["body"], "{one} {mirror}");
        }
    }
    assert_eq!(events, mirrors, "a mirror without an event");
    events
}

#[test]
fn what_happens_to_an_invite_is_on_the_trail_in_the_same_commit() {
    let home = Home::disk();
    let link = home.issue(&json!({ "accept_holder_types": ["*"], "max_uses": 3 }));
    let signer = key();
    let did = signer.public().did();
    let body = vouched(&home, &link, (&did, &signer), "did:sync:user:bob");
    home.node.anyone().post(&link.redeem_at(), &body).is(200);
    home.node.anyone().post(&link.redeem_at(), &body).refuses(403, "BAD_PROOF");
    device(&home, &link);
    device(&home, &link);
    opens(&home, &link).refuses(410, "INVITE_EXHAUSTED");
    home.admin.post("/v1/invites/bulk-revoke", &json!({ "filter": "exhausted" })).is(200);
    home.admin.post(&format!("/v1/invites/{}/revoke", link.id), &json!({ "reason": "over" })).is(200);
    opens(&home, &link).refuses(410, "INVITE_REVOKED");
    let log = home.admin.exported(true);
    // Issued, three redemptions, three refusals, exhausted, closed, revoked.
    assert_eq!(mirrors_pair_up(&log), 10);
    // What cannot be read by others is not to be written by others either.
    for thread in ["th_invites", "th_audit_invites", "th_invite_templates", "th_federation_pairs"] {
        let forged = record(thread, ADMIN, json!({ "kind": "core.invite.v1" }));
        home.admin.post("/v1/records", &forged).is(403);
    }
}

#[test]
fn an_open_instance_keeps_its_operator_routes_shut() {
    let home = Home::memory();
    let (_, link) = created(&home, &[]);
    let template = template(&home);
    home.spl(&["config", "set", "auth_required", "false"]).ok();
    let anyone = home.node.anyone();
    // The data plane is free.
    anyone.post("/v1/records", &record("open", "did:sync:user:anyone", json!({ "n": 1 }))).is(201);
    anyone.get("/v1/records?thread=open").is(200);
    let head = home.admin.head();
    let mut routes = operator_routes(&link, &template);
    routes.push(("POST", format!("/v1/tokens/{}/rotate", home.token.id), json!({}), "", ""));
    let attestation = json!({ "invite_id": link.id, "audience": home.did, "issuer_url": home.url() });
    routes.push(("POST", "/v1/invites/sign-attestation".into(), attestation, "", ""));
    routes.push(("GET", "/v1/federation/pairs".into(), Value::Null, "", ""));
    routes.push(("GET", "/v1/consent/grants".into(), Value::Null, "", ""));
    for (method, path, body, ..) in &routes {
        for caller in
            [&anyone, &home.node.owner(), &anyone.claiming(ADMIN), &anyone.bearer("spl_prod_no_token")]
        {
            let reply = call(caller, method, path, body);
            assert_eq!(reply.status, 401, "{method} {path}: {}", reply.text());
        }
        // Whoever may write records here anyway is no operator for that.
        let contributor = Token::of(&opens(&home, &created(&home, &[]).1).is(200).json());
        let reply = call(&home.node.as_token(&contributor), method, path, body);
        assert_eq!(reply.status, 403, "{method} {path}: {}", reply.text());
    }
    // What only looked like a change was none.
    let log = home.admin.exported(true);
    let later = log.iter().filter(|r| r["sequence"].as_u64() > Some(head));
    let kinds: Vec<&str> = later.filter_map(|r| r["body"]["kind"].as_str()).collect();
    assert!(!kinds.iter().any(|kind| kind.contains("template") || kind.contains("pair")), "{kinds:?}");
    // The links are as open as ever.
    opens(&home, &link).is(200);
}
