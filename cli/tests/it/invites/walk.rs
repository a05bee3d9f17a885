//! From the link to the bearer, and what the log holds of it.

use serde_json::{Value, json};
use spl_kernel::identity::{PublicKey, decode_exactly};

use super::{
    kit::{ADMIN, ALICE, Asks as _, Desk, Token, as_guest, key, sha256},
    model::explains,
};
use crate::access::kit::record;

#[test]
fn an_invite_is_issued_as_asked() {
    let desk = Desk::memory();
    let plain = desk.issue(&json!({}));
    let (row, did) = (&plain.answer, desk.node.anyone().get("/health").json()["instance_did"].clone());
    assert!(plain.id.strip_prefix("inv_").is_some_and(|id| id.len() == 16), "{row}");
    let identity = desk.admin.reads("/v1/identity").is(200).json();
    let expected = json!({
        "object": "invite", "state": "active", "issuer_did": did, "issuer_key_fp": identity["key_fingerprint"],
        "max_uses": 1, "uses_remaining": 1, "ttl_seconds": 86400, "bearer_ttl_seconds": 7_776_000,
        "scopes": ["records:read", "records:write"], "scope_target": { "kind": "instance" },
        "accept_holder_types": ["guest"], "device_label": null, "notes": null, "template_id": null,
        "revoked_at": null, "redemptions": [],
    });
    for (name, value) in expected.as_object().expect("members") {
        assert_eq!(&row[name], value, "{name}");
    }
    assert_eq!(row["qr_payload"], row["redirect_url"]);
    assert!(
        row["qr_svg"].as_str().is_some_and(|svg| svg.starts_with("<svg") || svg.starts_with("<?xml")),
        "{row}"
    );
    // The address of a test is this machine's own: nobody else can open it.
    assert!(row["warnings"][0].as_str().is_some_and(|w| w.contains("127.0.0.1")), "{row}");
    let full = json!({
        "scopes": ["records:read", "admin"], "ttl_seconds": 60, "max_uses": 1000, "accept_holder_types": ["*"],
        "device_label": "Ana's phone", "notes": "é".repeat(280), "bearer_ttl_seconds": 31_536_000,
        "scope_target": { "kind": "instance" },
    });
    let full = desk.issue(&full).answer;
    assert_eq!(full["accept_holder_types"], json!(["guest", "federated"]));
    assert!(full["warnings"].as_array().is_some_and(|w| w.len() == 2), "admin, a thousand times: {full}");
    for (preset, scopes) in [
        ("reader", json!(["records:read"])),
        ("contributor", json!(["records:read", "records:write"])),
        ("admin", json!(["admin"])),
    ] {
        assert_eq!(desk.issue(&json!({ "preset": preset })).answer["scopes"], scopes);
    }
    let target = json!({ "kind": "thread", "thread_id": "music.library" });
    let narrow = desk.issue(&json!({ "scopes": ["records:read"], "scope_target": target })).answer;
    assert_eq!(narrow["scopes"], json!(["records:read", "thread:music.library:read"]));
    assert_eq!(narrow["scope_target"], target);
    let target = json!({ "kind": "namespace", "namespace": "team/inner" });
    let narrow = desk.issue(&json!({ "scope_target": target })).answer;
    let held = ["records:read", "records:write", "namespace:team/inner:read", "namespace:team/inner:write"];
    for scope in held {
        assert!(narrow["scopes"].as_array().is_some_and(|s| s.contains(&json!(scope))), "{narrow}");
    }
}

#[test]
fn the_link_is_signed_by_the_instance_over_its_address_and_end() {
    let desk = Desk::with(&["--memory", "--public-url", "https://spl.example.com"]);
    let link = desk.issue(&json!({ "ttl_seconds": 60 }));
    assert_eq!(link.url, format!("https://spl.example.com/i/{}?sig={}", link.id, link.sig));
    assert_eq!(link.answer["warnings"], json!([]));
    let key = desk.admin.reads("/v1/identity").json()["public_key"].as_str().expect("a key").to_owned();
    let key = PublicKey::from_base64url(&key).expect("a key");
    let ms = |name: &str| {
        let text = link.answer[name].as_str().expect("a time").to_owned();
        text.parse::<jiff::Timestamp>().expect("a time").as_millisecond()
    };
    assert_eq!(ms("expires_at") - ms("issued_at"), 60_000);
    let message = format!("https://spl.example.com\n{}\n{}", link.id, ms("expires_at"));
    let sig: [u8; 64] = decode_exactly(&link.sig).expect("a signature");
    assert!(key.verifies("spl-invite-link-v1", message.as_bytes(), &sig), "{message}");
    let other = format!("https://spl.example.com\n{}\n{}", link.id, ms("expires_at") + 1);
    assert!(!key.verifies("spl-invite-link-v1", other.as_bytes(), &sig));
}

#[test]
fn whoever_has_the_link_sees_what_it_is_for_and_nothing_of_holders() {
    let desk = Desk::memory();
    let link = desk.issue(&json!({ "max_uses": 2, "device_label": "tablet", "notes": "for the kitchen" }));
    let anyone = desk.node.anyone();
    desk.guest(&link);
    let shown = anyone.reads(&link.preview()).is(200).json();
    let identity = desk.admin.reads("/v1/identity").json();
    let expected = json!({
        "object": "invite_preview", "invite_id": link.id, "state": "active", "revoked": false, "expired": false,
        "expires_at": link.answer["expires_at"], "uses_remaining": 1, "accept_holder_types": ["guest"],
        "scopes": ["records:read", "records:write"], "scope_target": { "kind": "instance" },
        "device_label": "tablet", "bearer_ttl_seconds": 7_776_000, "issuer_did": identity["did"],
        "issuer_key": identity["public_key"], "issuer_url": identity["url"],
    });
    assert_eq!(shown, expected);
    let unsigned = format!("/v1/invites/{}", link.id);
    anyone.reads(&unsigned).refuses(404, "INVITE_NOT_FOUND");
    desk.admin.reads(&unsigned).is(200);
    // Whoever may not see the rows is as good as nobody; a signature that is sent is checked of everybody.
    for (actor, grants) in
        [("did:sync:user:a", &[][..]), ("did:sync:user:b", &[("th_invite_templates", "read")])]
    {
        desk.admin_with(actor, grants).0.reads(&unsigned).refuses(404, "INVITE_NOT_FOUND");
    }
    desk.admin_with("did:sync:user:c", &[("th_invites", "read")]).0.reads(&unsigned).is(200);
    let reader = desk.node.as_token(&desk.admin.account(&["did:sync:user:d"], &["records:read"]));
    reader.reads(&unsigned).refuses(404, "INVITE_NOT_FOUND");
    let other = desk.issue(&json!({}));
    let flipped: String = link.sig.chars().rev().collect();
    let padded = format!("{}=", link.sig);
    for wrong in ["", "x", &other.sig, &link.sig[1..], &flipped, &padded, &"A".repeat(86)] {
        for caller in [&anyone, &desk.admin] {
            caller.reads(&format!("{unsigned}?sig={wrong}")).refuses(400, "INVALID_QUERY");
        }
        let at = format!("{unsigned}/redeem?sig={wrong}");
        anyone.sends(&at, &as_guest(&key())).refuses(400, "INVALID_QUERY");
    }
    anyone.reads(&format!("{}&sig={}", link.preview(), link.sig)).refuses(400, "INVALID_QUERY");
    anyone.reads("/v1/invites/inv_0000000000000000?sig=x").refuses(404, "INVITE_NOT_FOUND");
    for nobody in [&anyone, &desk.admin] {
        nobody.sends(&format!("{unsigned}/redeem"), &as_guest(&key())).refuses(404, "INVITE_NOT_FOUND");
    }
    assert_eq!(desk.row(&link.id)["uses_remaining"], 1);
}

/// The records of the commit that a record stands in.
fn commit<'a>(log: &'a [Value], id: &Value) -> Vec<&'a Value> {
    let one = log.iter().find(|r| r["id"] == *id).unwrap_or_else(|| panic!("no {id}"));
    let from = one["sequence"].as_u64();
    log.iter().filter(|r| r["created_at"] == one["created_at"] && r["sequence"].as_u64() >= from).collect()
}

#[test]
fn a_redemption_is_one_commit_in_its_order() {
    let desk = Desk::disk();
    let link = desk.issue(&json!({ "max_uses": 2, "bearer_ttl_seconds": 60, "device_label": "spare" }));
    let (first, second) = (key(), key());
    let mut labelled = as_guest(&first);
    labelled["holder_label"] = "Ana's phone".into();
    let one = desk.node.anyone().sends(&link.redeem_at(), &labelled).is(200).json();
    // The signature may come in the body, too, and in both places if it is the same.
    let mut signed = as_guest(&second);
    signed["sig"] = link.sig.clone().into();
    let two = desk.node.anyone().sends(&format!("/v1/invites/{}/redeem", link.id), &signed).is(200).json();
    let tokens = [Token::of(&one), Token::of(&two)];
    let log = desk.log();
    let kinds = |id: &Value| -> Vec<String> {
        let shown = |r: &&Value| {
            let what = r["body"]["event_kind"].as_str().or(r["body"]["kind"].as_str()).expect("a kind");
            format!(
                "{} {} {what}",
                r["thread"].as_str().expect("a thread"),
                r["act"].as_str().expect("an act")
            )
        };
        commit(&log, id).iter().map(shown).collect()
    };
    let mut expected = vec![
        "th_invites DO redeemed",
        "th_audit_invites LEARN redeemed",
        "th_service_accounts PUT core.service_account.v1",
        "th_audit_tokens LEARN sa_created",
        "th_api_tokens PUT core.api_token.v1",
        "th_audit_tokens LEARN token_minted",
    ];
    assert_eq!(kinds(&one["record_id"]), expected);
    expected.extend(["th_invites DO exhausted", "th_audit_invites LEARN exhausted"]);
    assert_eq!(kinds(&two["record_id"]), expected);
    let did = format!("did:sync:user:guest:{}", guest_hash(&link.id, &first));
    for (answer, token, label, left) in
        [(&one, &tokens[0], Some("Ana's phone"), 1), (&two, &tokens[1], None, 0)]
    {
        let records = commit(&log, &answer["record_id"]);
        assert!(records.iter().all(|r| r["actor"] == "did:sync:system:engine" && r["origin"] == "command"));
        let [event, _, account, _, minted, _] = records[..6] else { panic!("{records:?}") };
        let body = &event["body"];
        assert_eq!(
            (&body["bearer_token_id"], &body["bearer_sa_id"]),
            (&json!(token.id), &json!(token.account))
        );
        assert_eq!((&body["holder_label"], &body["uses_remaining"]), (&json!(label), &json!(left)));
        assert_eq!(body["expires_at"], answer["expires_at"]);
        // Nobody called: nobody's name is on it.
        assert!(records.iter().all(|r| r["body"].get("by").is_none()), "{records:?}");
        let body = &account["body"];
        assert_eq!(body["display_name"], label.unwrap_or("spare"), "{body}");
        assert_eq!(body["allowed_actors"], json!([answer["actor_did"]]));
        assert_eq!((&body["origin"], &body["invite_id"]), (&json!("invite"), &json!(link.id)));
        let body = &minted["body"];
        assert_eq!((&body["origin"], &body["lifetime_seconds"]), (&json!("invite"), &json!(60)));
        assert_eq!((&body["token_id"], &body["expires_at"]), (&json!(token.id), &answer["expires_at"]));
    }
    assert_eq!(one["actor_did"], did);
    let manifest = desk.node.anyone().reads("/.well-known/syncropel").json();
    assert_eq!((&one["instance_did"], &one["url"]), (&manifest["instance_did"], &manifest["url"]));
    let issued = log.iter().find(|r| r["body"]["kind"] == "core.invite.v1").expect("a record");
    let by = json!({ "actor": ADMIN, "service_account_id": desk.token.account, "token_id": desk.token.id });
    assert_eq!(issued["body"]["by"], by);
    // The bearer does what it is for, as nobody but itself.
    let caller = desk.node.as_token(&tokens[0]);
    caller.wrote(&record("guests", &did, json!({ "text": "hello" })));
    caller.post("/v1/records", &record("guests", ALICE, json!({}))).refuses(403, "DID_CLAIM_DENIED");
    caller.claiming(ADMIN).get("/v1/threads").refuses(403, "DID_CLAIM_DENIED");
    caller.get("/v1/invites").refuses(403, "SCOPE_FORBIDDEN");
    explains(&desk, &tokens);
}

/// What a guest's name ends with.
fn guest_hash(invite: &str, key: &spl_kernel::identity::PrivateKey) -> String {
    use sha2::{Digest as _, Sha256};
    let digest = Sha256::new().chain_update(invite).chain_update(key.public().as_bytes()).finalize();
    data_encoding::HEXLOWER.encode(&digest[..16])
}

#[test]
fn no_signature_and_no_bearer_is_in_any_record_log_or_list() {
    let mut desk = Desk::disk();
    let anyone = desk.node.anyone();
    let link = desk.issue(&json!({ "max_uses": 3, "accept_holder_types": ["*"], "device_label": "d" }));
    let (reader, _) = desk.admin_with("did:sync:user:reader", &[("th_invites", "read")]);
    let mut stream = reader.events("/v1/invites/stream");
    let bearers: Vec<Token> = (0..3).map(|_| desk.guest(&link)).collect();
    let mut answers = String::new();
    let mut keep =
        |reply: crate::raw::Reply| answers.push_str(&format!("{}\n{}\n", reply.head, reply.text()));
    keep(anyone.reads(&link.preview()));
    keep(link.redeem(&anyone, &key()));
    keep(anyone.sends(&link.redeem_at(), &json!({ "holder_type": "nobody", "sig": link.sig })));
    keep(anyone.sends(&link.redeem_at(), &json!({ "holder_type": "federated", "sig": link.sig })));
    keep(anyone.reads(&format!("{}x", link.preview())));
    keep(anyone.call("PUT", &link.preview(), None));
    let failing = format!("/v1/invites/{}/redeem?sig={}&sig={}", link.id, link.sig, link.sig);
    keep(anyone.sends(&failing, &as_guest(&key())));
    for target in ["/v1/invites", "/v1/invites/audit", "/v1/service-accounts", "/v1/tokens", "/v1/health"] {
        keep(reader.get(target));
    }
    // Not active any more: no link for anybody.
    keep(desk.admin.reads("/v1/invites"));
    keep(desk.admin.get("/metrics"));
    keep(desk.admin.get("/v1/export?reserved=true"));
    for row in 0..4 {
        let event = stream.next();
        answers.push_str(&format!("{row} {}\n", event.data));
    }
    desk.node.stop();
    let files = format!("{answers}\n{}\n{}", desk.node.logged(), desk.node.said());
    for bearer in &bearers {
        let secret = bearer.text.rsplit('_').next().expect("a secret");
        assert!(!files.contains(secret), "a bearer is in there");
    }
    assert!(!files.contains(&link.sig) && !files.contains("redirect_url"), "a signature is in there");
    // The id of an invite is no secret, but no log line has it either.
    assert!(!desk.node.logged().contains(&link.id), "{}", desk.node.logged());
    // In the store itself, too.
    let store = std::fs::read(desk.node.sandbox.home().join("log.redb")).expect("the log");
    let has = |text: &str| store.windows(text.len()).any(|w| w == text.as_bytes());
    assert!(has(&link.id), "the log has what it has");
    let secret = bearers[0].text.rsplit('_').next().expect("a secret");
    assert!(!has(&link.sig) && !has(secret) && has(&sha256(&bearers[0].text)));
}
