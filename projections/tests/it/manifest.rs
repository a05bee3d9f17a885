//! Manifests: what an instance states of itself, and what of another's statement is believed.

use serde_json::{Value, json};
use spl_kernel::{
    canonical::canonical,
    identity::{PublicKey, encode},
    json::{Bounds, Json},
    time::UnixMillis,
};
use spl_projections::manifest::{DOMAIN, Manifest, signed};

use crate::invites::{
    key,
    signatures::{SMALL_ORDER, bad_keys, bad_signatures, point},
};

const WEB: &str = "did:web:peer.example.net";
const NOW: UnixMillis = UnixMillis(1_700_000_000_000);
const WEEK: u64 = 7 * 24 * 3600 * 1000;

/// What a peer answers, signed with key 1.
fn answer(did: &str) -> Value {
    let manifest = signed(&key(1), did, "https://peer.example.net", "0.1.0", NOW);
    let text = canonical(&manifest, 64 * 1024).expect("a text");
    let manifest: Value = serde_json::from_str(&text).expect("JSON");
    json!({ "object": "discovery", "federation_manifest": manifest })
}

fn parse(answer: &Value, now: UnixMillis) -> Option<Manifest> {
    Manifest::parse(answer.to_string().as_bytes(), now)
}

/// The text that is signed.
fn text(answer: &Value) -> String {
    let mut manifest = answer["federation_manifest"].clone();
    manifest.as_object_mut().expect("an object").remove("signature");
    let json = Json::parse(manifest.to_string().as_bytes(), Bounds { levels: 64, values: 100_000 });
    canonical(&json.expect("JSON"), 64 * 1024).expect("a text")
}

/// The same with a signature that fits it, by a key.
fn signed_again(mut answer: Value, seed: u64) -> Value {
    let signature = encode(&key(seed).sign(DOMAIN, text(&answer).as_bytes()));
    answer["federation_manifest"]["signature"]["signature"] = json!(signature);
    answer
}

fn changed(pointer: &str, value: Value) -> Value {
    let mut answer = answer(WEB);
    *answer["federation_manifest"].pointer_mut(pointer).expect("a member") = value;
    answer
}

#[test]
fn a_manifest_says_what_the_instance_is() {
    let public = key(1).public();
    for did in [WEB, &public.did()] {
        let answer = answer(did);
        assert_eq!(
            parse(&answer, NOW),
            Some(Manifest { did: did.to_owned(), key: public, version: Some("0.1.0".into()) })
        );
        let signature = encode(&key(1).sign("spl-manifest-v1", text(&answer).as_bytes()));
        assert_eq!(
            answer["federation_manifest"],
            json!({
                "object": "federation_manifest", "manifest_version": "1",
                "daemon": { "did": did, "name": "spl", "version": "0.1.0" },
                "url": "https://peer.example.net", "public_key": public.base64url(),
                "public_key_multibase": public.multibase(),
                "federation": { "enabled": true, "pairs": true, "sync": false },
                "invites": { "guest": true, "federated": true },
                "signed_at": NOW.to_string(), "expires_at": UnixMillis(NOW.0 + WEEK).to_string(),
                "signature": { "alg": "Ed25519", "key_id": format!("{did}#key-1"), "signature": signature },
            })
        );
    }
}

#[test]
fn it_holds_from_its_signing_to_its_end() {
    let answer = answer(WEB);
    let cases = [
        (NOW.0 - 300_001, false),
        (NOW.0 - 300_000, true),
        (NOW.0, true),
        (NOW.0 + WEEK - 1, true),
        (NOW.0 + WEEK, false),
        (NOW.0 + 10 * WEEK, false),
        (0, false),
    ];
    for (now, holds) in cases {
        assert_eq!(parse(&answer, UnixMillis(now)).is_some(), holds, "{now}");
    }
}

#[test]
fn every_member_is_signed() {
    let whole = answer(WEB);
    let manifest = whole["federation_manifest"].as_object().expect("an object");
    for member in manifest.keys().filter(|member| *member != "signature") {
        for value in [json!("x"), json!(null), json!(true), json!({})] {
            assert_eq!(parse(&changed(&format!("/{member}"), value), NOW), None, "{member}");
        }
        let mut without = whole.clone();
        without["federation_manifest"].as_object_mut().expect("an object").remove(member);
        assert_eq!(parse(&without, NOW), None, "without {member}");
    }
    for (pointer, value) in [
        ("/daemon/did", json!("did:web:evil.example.net")),
        ("/daemon/version", json!("0.1.1")),
        ("/daemon/name", json!("Spl")),
        ("/url", json!("https://evil.example.net")),
        ("/public_key", json!(key(2).public().base64url())),
        ("/federation/sync", json!(true)),
        ("/invites/guest", json!(false)),
        ("/signed_at", json!(UnixMillis(NOW.0 + 1).to_string())),
        ("/expires_at", json!(UnixMillis(NOW.0 + WEEK + 1).to_string())),
    ] {
        assert_eq!(parse(&changed(pointer, value), NOW), None, "{pointer}");
    }
    let mut more = whole.clone();
    more["federation_manifest"]["surprise"] = json!(1);
    assert_eq!(parse(&more, NOW), None, "a member more");
    let later = signed_again(more, 1);
    assert!(parse(&later, NOW).is_some(), "a newer peer may say more, and signs it");
    let mut beside = whole;
    beside["surprise"] = json!(1);
    assert!(parse(&beside, NOW).is_some(), "what stands beside the manifest is not its matter");
}

#[test]
fn what_is_signed_must_make_sense() {
    let weak = PublicKey::from_bytes(point(SMALL_ORDER[0])).expect("a point");
    let cases = [
        ("unchanged", "/url", json!("https://peer.example.net"), true),
        ("no DID", "/daemon/did", json!("peer"), false),
        ("a DID with a space", "/daemon/did", json!("did:web:a b"), false),
        ("no text for a DID", "/daemon/did", json!(5), false),
        ("another's did:key", "/daemon/did", json!(key(2).public().did()), false),
        ("a did:key in another spelling", "/daemon/did", json!(format!("{}1", key(1).public().did())), false),
        ("its own did:key", "/daemon/did", json!(key(1).public().did()), true),
        ("a key of small order", "/public_key", json!(weak.base64url()), false),
        ("another's key", "/public_key", json!(key(2).public().base64url()), false),
        ("a time that is none", "/signed_at", json!("yesterday"), false),
        ("a number for a time", "/expires_at", json!(NOW.0 + WEEK), false),
        ("an end before its beginning", "/expires_at", json!(UnixMillis(NOW.0 - 1).to_string()), false),
        ("an end right now", "/expires_at", json!(NOW.to_string()), false),
        ("from the future", "/signed_at", json!(UnixMillis(NOW.0 + 300_001).to_string()), false),
    ];
    for (name, pointer, value, expected) in cases {
        let answer = signed_again(changed(pointer, value), 1);
        assert_eq!(parse(&answer, NOW).is_some(), expected, "{name}");
    }
    for bad in bad_keys() {
        let answer = signed_again(changed("/public_key", json!(bad)), 1);
        assert_eq!(parse(&answer, NOW), None, "{bad:?}");
    }
}

#[test]
fn a_version_is_shown_only_where_it_can_be() {
    let long = "x".repeat(65);
    let cases: [(Value, Option<&str>); 6] = [
        (json!("0.1.0"), Some("0.1.0")),
        (json!("x".repeat(64)), Some(&long[..64])),
        (json!(long), None),
        (json!("1\n2"), None),
        (json!("\u{1b}[31m"), None),
        (json!(1), None),
    ];
    for (version, expected) in cases {
        let answer = signed_again(changed("/daemon/version", version.clone()), 1);
        let manifest = parse(&answer, NOW).expect("a manifest");
        assert_eq!(manifest.version.as_deref(), expected, "{version}");
    }
}

#[test]
fn no_altered_signature_holds() {
    let whole = answer(WEB);
    let at = "/signature/signature";
    let text = text(&whole);
    let good = key(1).sign(DOMAIN, text.as_bytes());
    let mut seed = [0xa5; 32];
    seed[..8].copy_from_slice(&1_u64.to_le_bytes());
    let framed = format!("{DOMAIN}\n{text}");
    for (name, signature) in bad_signatures(seed, framed.as_bytes(), &good) {
        assert_eq!(parse(&changed(at, json!(signature)), NOW), None, "{name}");
    }
    for domain in ["spl-invite-link-v1", "spl-holder-attestation-v1", "spl-log-head-v1", ""] {
        let signature = encode(&key(1).sign(domain, text.as_bytes()));
        assert_eq!(parse(&changed(at, json!(signature)), NOW), None, "{domain}");
    }
    assert_eq!(parse(&signed_again(answer(WEB), 2), NOW), None, "another key");
    assert_eq!(parse(&changed(at, json!(null)), NOW), None);
    assert_eq!(parse(&changed("/signature", json!("x")), NOW), None);
    assert_eq!(parse(&changed("/signature", json!([])), NOW), None);
    for hex in SMALL_ORDER {
        let weak = PublicKey::from_bytes(point(hex)).expect("a point");
        let mut answer = changed("/public_key", json!(weak.base64url()));
        let neutral = encode(&[point(SMALL_ORDER[0]), [0; 32]].concat());
        answer["federation_manifest"]["signature"]["signature"] = json!(neutral);
        assert_eq!(parse(&answer, NOW), None, "{hex}");
    }
}

#[test]
fn what_is_no_answer_is_no_manifest() {
    let whole = answer(WEB).to_string();
    let twice = whole.replacen(r#""url":"#, r#""url":"https://evil.example.net","url":"#, 1);
    assert_ne!(twice, whole);
    let deep = format!(r#"{{"x":{}{}}}"#, "[".repeat(40), "]".repeat(40));
    for bad in ["", "[]", "{}", r#"{"federation_manifest":null}"#, "<html>", &whole[1..], &twice, &deep] {
        assert_eq!(Manifest::parse(bad.as_bytes(), NOW), None, "{}", &bad[..bad.len().min(40)]);
    }
    let bare = answer(WEB)["federation_manifest"].to_string();
    assert_eq!(Manifest::parse(bare.as_bytes(), NOW), None, "it stands in the answer, not alone");
}
