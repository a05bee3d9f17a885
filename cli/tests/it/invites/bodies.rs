//! What the routes take: sizes, media types, members, values.

use serde_json::{Value, json};

use super::kit::{Asks as _, Caller, Desk, Link, as_guest, described, key};
use crate::{
    access::kit::refuses_with_hint,
    raw::{Client, Reply},
};

/// Sends bytes under a media type.
fn typed(caller: &Caller, path: &str, media_type: &str, more: &str, body: &[u8]) -> Reply {
    let mut client = Client::connect(caller.port);
    let plain = String::from_utf8(caller.request("POST", path, None)).expect("a head");
    let head = plain.trim_end().to_owned();
    let head =
        format!("{head}\r\ncontent-type: {media_type}\r\n{more}content-length: {}\r\n\r\n", body.len());
    // What is refused by its size need not be taken.
    let _ = client.write(&[head.as_bytes(), body].concat());
    client.reply().expect("an answer")
}

fn redeemable() -> (Desk, Link) {
    let desk = Desk::memory();
    let link = desk.issue(&json!({ "max_uses": 1000, "accept_holder_types": ["*"] }));
    (desk, link)
}

#[test]
fn a_redemption_has_at_most_16_kib() {
    let (desk, link) = redeemable();
    let (anyone, at) = (desk.node.anyone(), link.redeem_at());
    let head = desk.admin.head();
    let padded = |length: usize| {
        let body = as_guest(&key()).to_string();
        format!("{body}{}", " ".repeat(length - body.len())).into_bytes()
    };
    let large = typed(&anyone, &at, "application/json", "", &padded(16 * 1024 + 1));
    described("POST", &at, large).refuses(413, "BODY_TOO_LARGE");
    // Also for those who could send more elsewhere, and before the media type is looked at.
    typed(&desk.admin, &at, "text/plain", "", &vec![b' '; 5 << 20]).refuses(413, "BODY_TOO_LARGE");
    let chunked = [format!("{:x}\r\n", 17 * 1024).as_bytes(), &padded(17 * 1024), b"\r\n0\r\n\r\n"].concat();
    let mut client = Client::connect(anyone.port);
    let request = format!(
        "POST {at} HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\ntransfer-encoding: chunked\r\n\r\n"
    );
    let _ = client.write(&[request.as_bytes(), &chunked].concat());
    client.reply().expect("an answer").refuses(413, "BODY_TOO_LARGE");
    assert_eq!(desk.admin.head(), head, "nothing was written");
    typed(&anyone, &at, "application/json", "", &padded(16 * 1024)).is(200);
}

#[test]
fn only_json_is_taken() {
    let (desk, link) = redeemable();
    let operator =
        ["/v1/invites", "/v1/invites/bulk-revoke", "/v1/invite-templates", "/v1/invites/sign-attestation"];
    for media_type in
        ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data", "application/jsonx"]
    {
        let reply = typed(
            &desk.node.anyone(),
            &link.redeem_at(),
            media_type,
            "",
            as_guest(&key()).to_string().as_bytes(),
        );
        described("POST", &link.redeem_at(), reply).refuses(415, "UNSUPPORTED_MEDIA_TYPE");
        for path in operator.iter().filter(|_| media_type != "application/x-www-form-urlencoded") {
            let reply = typed(&desk.admin, path, media_type, "", b"{}");
            described("POST", path, reply).refuses(415, "UNSUPPORTED_MEDIA_TYPE");
        }
    }
    let packed = typed(
        &desk.node.anyone(),
        &link.redeem_at(),
        "application/json",
        "content-encoding: gzip\r\n",
        b"{}",
    );
    packed.refuses(415, "UNSUPPORTED_MEDIA_TYPE");
    let foreign = desk.node.anyone().header("origin", "https://evil.example");
    foreign.post(&link.redeem_at(), &as_guest(&key())).refuses(403, "ORIGIN_FORBIDDEN");
}

#[test]
fn a_redemption_is_taken_by_the_letter() {
    let (desk, link) = redeemable();
    let (anyone, at) = (desk.node.anyone(), link.redeem_at());
    let head = desk.admin.head();
    let pubkey = key().public().base64url();
    let small_order = spl_kernel::identity::encode(&[0; 32]);
    let deep = format!("{}1{}", "[".repeat(50), "]".repeat(50));
    let raw: Vec<(String, &str)> = vec![
        (String::new(), "INVALID_BODY"),
        ("{".into(), "INVALID_BODY"),
        ("[]".into(), "INVALID_BODY"),
        ("null".into(), "INVALID_BODY"),
        ("{}".into(), "INVALID_BODY"),
        (format!("{{\"holder_type\":\"guest\",\"holder_pubkey\":{deep}}}"), "INVALID_BODY"),
        (format!("{}{}", "[".repeat(8000), "]".repeat(8000)), "INVALID_BODY"),
        (
            format!("{{\"holder_type\":\"guest\",\"holder_pubkey\":\"{pubkey}\",\"holder_type\":\"guest\"}}"),
            "INVALID_BODY",
        ),
        ("{\"holder_type\":\"guest\",\"holder_pubkey\":\"\\ud800\"}".into(), "INVALID_BODY"),
    ];
    let values = [
        (json!({ "holder_type": "guest" }), "INVALID_BODY"),
        (json!({ "holder_type": "GUEST", "holder_pubkey": pubkey }), "INVALID_BODY"),
        (json!({ "holder_type": "*", "holder_pubkey": pubkey }), "INVALID_BODY"),
        (json!({ "holder_type": 1, "holder_pubkey": pubkey }), "INVALID_BODY"),
        (json!({ "holder_type": "guest", "holder_pubkey": 1 }), "INVALID_BODY"),
        (json!({ "holder_type": "guest", "holder_pubkey": "" }), "INVALID_BODY"),
        (json!({ "holder_type": "guest", "holder_pubkey": format!("{pubkey}=") }), "INVALID_BODY"),
        (json!({ "holder_type": "guest", "holder_pubkey": &pubkey[1..] }), "INVALID_BODY"),
        (json!({ "holder_type": "guest", "holder_pubkey": small_order }), "INVALID_BODY"),
        (json!({ "holder_type": "guest", "holder_pubkey": pubkey, "scopes": ["admin"] }), "INVALID_BODY"),
        (
            json!({ "holder_type": "guest", "holder_pubkey": pubkey, "holder_did": "did:sync:user:a" }),
            "INVALID_BODY",
        ),
        (json!({ "holder_type": "guest", "holder_pubkey": pubkey, "holder_label": "" }), "INVALID_NAME"),
        (json!({ "holder_type": "guest", "holder_pubkey": pubkey, "holder_label": " a" }), "INVALID_NAME"),
        (
            json!({ "holder_type": "guest", "holder_pubkey": pubkey, "holder_label": "a\u{202e}b" }),
            "INVALID_NAME",
        ),
        (json!({ "holder_type": "guest", "holder_pubkey": pubkey, "holder_label": "a\nb" }), "INVALID_NAME"),
        (
            json!({ "holder_type": "guest", "holder_pubkey": pubkey, "holder_label": "x".repeat(129) }),
            "INVALID_NAME",
        ),
        (json!({ "holder_type": "federated", "holder_label": "x" }), "INVALID_BODY"),
        (json!({ "holder_type": "federated", "holder_proof_issued_at_ms": "1" }), "INVALID_BODY"),
        (json!({ "holder_type": "federated", "holder_proof_issued_at_ms": 1.5 }), "INVALID_BODY"),
    ];
    let values = values.into_iter().map(|(body, code)| (body.to_string(), code));
    for (body, code) in raw.into_iter().chain(values) {
        let reply = anyone.call("POST", &at, Some(body.as_bytes()));
        let shown = &body[..body.len().min(200)];
        assert_eq!((reply.status, &reply.json()["code"]), (400, &json!(code)), "{shown}");
        described("POST", &at, reply);
    }
    let unknown = anyone.sends(&at, &json!({ "holder_type": "guest", "holder_pubkey": pubkey, "more": 1 }));
    let told = refuses_with_hint(unknown, 400, "INVALID_BODY");
    assert!(told["message"].as_str().is_some_and(|m| m.contains("more")), "{told}");
    assert!(told["hint"].as_str().is_some_and(|h| h.contains("holder_label")), "{told}");
    anyone.sends(&format!("{at}&more=1"), &as_guest(&key())).refuses(400, "INVALID_QUERY");
    let mut differs = as_guest(&key());
    differs["sig"] = "x".into();
    anyone.sends(&at, &differs).refuses(400, "INVALID_QUERY");
    assert_eq!(desk.admin.head(), head, "nothing was written");
}

#[test]
fn an_invite_is_asked_for_by_the_letter() {
    let desk = Desk::memory();
    let head = desk.admin.head();
    let thread = |id: &str| json!({ "kind": "thread", "thread_id": id });
    let narrowed = |scopes: Value| json!({ "scopes": scopes, "scope_target": thread("a") });
    let bodies: Vec<Value> = vec![
        json!({ "more": 1 }),
        json!({ "scopes": ["records:read"], "preset": "reader" }),
        json!({ "preset": "owner" }),
        json!({ "scopes": [] }),
        json!({ "scopes": ["all"] }),
        json!({ "scopes": "admin" }),
        json!({ "scopes": ["admin", "thread:a:read"] }),
        json!({ "scopes": ["records:read", "thread:th_invites:read"] }),
        json!({ "ttl_seconds": 59 }),
        json!({ "ttl_seconds": 2_592_001 }),
        json!({ "ttl_seconds": -60 }),
        json!({ "ttl_seconds": 60.5 }),
        json!({ "ttl_seconds": "60" }),
        json!({ "max_uses": 0 }),
        json!({ "max_uses": 1001 }),
        json!({ "bearer_ttl_seconds": 59 }),
        json!({ "bearer_ttl_seconds": 31_536_001 }),
        json!({ "accept_holder_types": [] }),
        json!({ "accept_holder_types": ["anyone"] }),
        json!({ "accept_holder_types": "guest" }),
        json!({ "notes": "é".repeat(281) }),
        json!({ "scope_target": "instance" }),
        json!({ "scope_target": {} }),
        json!({ "scope_target": { "kind": "thread" } }),
        json!({ "scope_target": { "kind": "instance", "thread_id": "a" } }),
        json!({ "scope_target": { "kind": "thread", "thread_id": "a", "namespace": "b" } }),
        json!({ "scope_target": thread("th_api_tokens") }),
        json!({ "scope_target": thread("th_audit_anything") }),
        json!({ "scope_target": thread(" a") }),
        narrowed(json!(["admin"])),
        narrowed(json!(["records:read", "threads:write"])),
        narrowed(json!(["config:read"])),
    ];
    for body in &bodies {
        let reply = desk.admin.call("POST", "/v1/invites", Some(body.to_string().as_bytes()));
        assert_eq!((reply.status, &reply.json()["code"]), (400, &json!("INVALID_BODY")), "{body}");
        described("POST", "/v1/invites", reply);
        // A template is an invite that is not issued.
        let mut template = body.clone();
        template["label"] = "t".into();
        let reply = desk.admin.call("POST", "/v1/invite-templates", Some(template.to_string().as_bytes()));
        assert_eq!((reply.status, &reply.json()["code"]), (400, &json!("INVALID_BODY")), "{template}");
    }
    for label in ["", " a", "a\u{200b}", &"x".repeat(129)] {
        desk.admin.sends("/v1/invites", &json!({ "device_label": label })).refuses(400, "INVALID_NAME");
        desk.admin.sends("/v1/invite-templates", &json!({ "label": label })).refuses(400, "INVALID_NAME");
    }
    desk.admin
        .sends("/v1/invites", &json!({ "template_id": "tpl_0000000000000000" }))
        .refuses(404, "TEMPLATE_NOT_FOUND");
    for (target, body) in [
        ("/v1/invites/bulk-revoke", json!({})),
        ("/v1/invites/bulk-revoke", json!({ "filter": "active" })),
        ("/v1/invites/bulk-revoke", json!({ "filter": "expired", "more": 1 })),
        ("/v1/invites/inv_0000000000000000/revoke", json!({ "more": 1 })),
    ] {
        desk.admin.sends(target, &body).refuses(400, "INVALID_BODY");
    }
    desk.admin.sends("/v1/invites/inv_0000000000000000/revoke", &json!({})).refuses(404, "INVITE_NOT_FOUND");
    for target in
        ["/v1/invites?state=old", "/v1/invites?limit=0", "/v1/invites?cursor=x", "/v1/invites?more=1"]
    {
        desk.admin.reads(target).refuses(400, "INVALID_QUERY");
    }
    for target in
        ["/v1/invites/audit?state=active", "/v1/invite-templates?more=1", "/v1/invites/stream?more=1"]
    {
        desk.admin.reads(target).refuses(400, "INVALID_QUERY");
    }
    assert_eq!(desk.admin.head(), head, "nothing was written");
}
