//! `spl federation` and `spl identity`: what is shown is what is pinned, and nobody is sent a token.

use serde_json::{Value, json};
use spl_kernel::identity::{PrivateKey, PublicKey};
use zeroize::Zeroizing;

use crate::{
    invites_cli::sent,
    support::{Fake, Ran, Sandbox, error_answer, json_answer, status_answer},
    tokens::TOKEN,
};

const PAIR: &str = "pair_0123456789abcdef";

fn key(seed: u8) -> PublicKey {
    PrivateKey::from_seed(&Zeroizing::new([seed; 32])).public()
}

/// What an instance with this DID and key tells everybody.
fn open(request: &str, did: &str, key: &PublicKey) -> Option<Vec<u8>> {
    if request.starts_with("get /.well-known/syncropel ") {
        return Some(json_answer(&json!({
            "instance_did": did, "url": "https://bob.example.com", "capabilities_manifest": {},
            "federation_manifest": {
                "object": "federation_manifest", "daemon": { "did": did, "name": "spl", "version": "1" },
                "public_key": key.base64url(),
            },
        })));
    }
    request.starts_with("get /.well-known/did.json ").then(|| {
        let method = json!({ "id": format!("{did}#key-1"), "publicKeyMultibase": key.multibase() });
        json_answer(&json!({ "id": did, "verificationMethod": [method] }))
    })
}

/// The instance at the other end.
fn peer(did: String, key: PublicKey) -> Fake {
    Fake::local(move |request| open(request, &did, &key).unwrap_or_else(|| error_answer(404, "NOT_FOUND")))
}

fn pair(key: &PublicKey, state: &str) -> Value {
    json!({
        "object": "federation_pair", "pair_id": PAIR, "peer_did": key.did(), "peer_url": "http://peer",
        "peer_key": key.base64url(), "peer_key_fp": key.fingerprint(), "peer_version": "1",
        "state": state, "paired_at": "2030-01-01T00:00:00.000Z", "removed_at": null, "has_token": false,
        "accounts": 2, "bearers": 3,
    })
}

/// One's own instance, which pins this key, whatever it is told.
fn own(pins: u8) -> Fake {
    Fake::local(move |request| {
        let first = request.lines().next().unwrap_or_default();
        let pair = pair(&key(pins), "active");
        if first.starts_with("post /v1/federation/pairs ") {
            status_answer(201, &pair)
        } else if first.starts_with("get /v1/federation/pairs?") {
            json_answer(&json!({ "object": "list", "data": [pair], "next_cursor": null }))
        } else if first.starts_with("get /v1/federation/pairs/") {
            json_answer(&pair)
        } else if first.starts_with("delete /v1/federation/pairs/") {
            json_answer(&json!({
                "status": "removed", "pair_id": PAIR, "accounts_revoked": 2, "bearers_revoked": 3,
            }))
        } else {
            error_answer(404, "NOT_FOUND")
        }
    })
}

fn spl(own: &Fake, args: &[&str]) -> Ran {
    let url = own.url();
    Sandbox::new().spl(&[&["--server", &url, "--token", TOKEN], args].concat())
}

#[test]
fn what_was_shown_is_what_is_pinned() {
    let (own, peer) = (own(7), peer(key(7).did(), key(7)));
    let url = peer.url();
    let ran = spl(&own, &["federation", "pair", &url]).exits(1);
    assert!(ran.stderr.contains(&key(7).did()) && ran.stderr.contains(&key(7).fingerprint()), "{ran:?}");
    assert!(ran.stderr.contains("nothing was pinned") && own.heard().is_empty(), "{ran:?}");
    let ran = spl(&own, &["federation", "pair", &url, "--yes"]).ok();
    assert!(ran.stdout.starts_with(PAIR), "{ran:?}");
    assert_eq!(sent(&own), json!({ "peer_url": url, "expected_did": key(7).did() }));
    assert!(peer.heard().iter().all(|request| !request.contains("authorization")));
    let ran = spl(&own, &["federation", "pair", &url, "--yes", "-o", "json"]).ok();
    assert_eq!(ran.json()["pair_id"], PAIR);
}

#[test]
fn another_than_the_one_expected_is_not_pinned() {
    let instance = own(7);
    let honest = peer(key(7).did(), key(7));
    let args = ["federation", "pair", &honest.url(), "--yes", "--expected-did", &key(8).did()];
    assert!(spl(&instance, &args).exits(1).stderr.contains("not did:key:"));
    // A key that the DID does not name, and an instance that offers nothing.
    let liar = peer(key(8).did(), key(7));
    spl(&instance, &["federation", "pair", &liar.url(), "--yes"]).exits(1);
    let old = Fake::local(|_| json_answer(&json!({ "instance_did": "x", "capabilities_manifest": {} })));
    spl(&instance, &["federation", "pair", &old.url(), "--yes"]).exits(1);
    assert!(instance.heard().is_empty());
    // Whoever answered the instance was not who answered here.
    let ran = spl(&own(8), &["federation", "pair", &honest.url(), "--yes"]).exits(1);
    assert!(ran.stderr.contains("another key was pinned") && ran.stderr.contains("unpair"), "{ran:?}");
}

#[test]
fn a_token_for_a_peer_is_not_among_the_arguments() {
    let (own, peer) = (own(7), peer(key(7).did(), key(7)));
    let args = ["federation", "pair", &peer.url(), "--yes", "--peer-token"];
    spl(&own, &[&args[..], &[TOKEN]].concat()).exits(2);
    assert!(own.heard().is_empty() && peer.heard().is_empty());
    let sandbox = Sandbox::new();
    let url = own.url();
    let all = [&["--server", &url, "--token", TOKEN], &args[..], &["-"]].concat();
    sandbox.spl_with_input(&all, b"secret\n").ok();
    assert_eq!(sent(&own)["peer_token"], "secret");
}

#[test]
fn pairs_are_listed_shown_and_removed() {
    let own = own(7);
    let ran = spl(&own, &["federation", "list"]).ok();
    assert!(ran.stdout.contains(PAIR) && ran.stdout.contains(&key(7).fingerprint()), "{ran:?}");
    assert!(spl(&own, &["federation", "show", PAIR]).ok().stdout.contains(&key(7).did()));
    let ran = spl(&own, &["federation", "unpair", PAIR]).exits(1);
    assert!(ran.stderr.contains("2 accounts and 3 live tokens"), "{ran:?}");
    assert!(own.heard().iter().all(|request| !request.starts_with("delete ")));
    let ran = spl(&own, &["federation", "unpair", PAIR, "--yes", "--reason", "moved on"]).ok();
    assert_eq!(ran.stdout, format!("{PAIR} removed; 2 accounts and 3 live tokens ended with it\n"));
    assert!(own.heard().pop().expect("a request").contains("?reason=moved+on "));
}

#[test]
fn who_an_instance_is_can_be_seen_without_a_token() {
    let peer_of = |did: String| peer(did, key(7));
    let fake = peer_of(key(7).did());
    let url = fake.url();
    let ran = Sandbox::new().spl(&["--server", &url, "identity", "show"]).ok();
    let document = "https://bob.example.com/.well-known/did.json";
    for shown in [&key(7).did(), &key(7).fingerprint(), &key(7).base64url(), document] {
        assert!(ran.stdout.contains(shown), "{shown}: {ran:?}");
    }
    let shown = Sandbox::new().spl(&["--server", &url, "identity", "show", "-o", "json"]).ok().json();
    assert_eq!((&shown["did"], &shown["method"]), (&json!(key(7).did()), &json!("key")));
    assert!(fake.heard().iter().all(|request| request.starts_with("get /.well-known/")));
    // A token that is for another instance stays where it is.
    let sandbox = Sandbox::new();
    sandbox.home_file("token", &format!("{TOKEN}\norigin https://alice.example.com\n"), 0o600);
    let ran = sandbox.spl(&["--server", &url, "identity", "show"]).ok();
    assert!(ran.stderr.contains("shown without a token"), "{ran:?}");
    assert!(fake.heard().iter().all(|request| !request.contains("authorization")));
    // A document that names another key is not believed.
    let torn = Fake::local(|request| match request.contains("did.json") {
        true => open(request, &key(7).did(), &key(8)).expect("a document"),
        false => open(request, &key(7).did(), &key(7)).unwrap_or_else(|| error_answer(404, "NOT_FOUND")),
    });
    let ran = Sandbox::new().spl(&["--server", &torn.url(), "identity", "show"]).exits(1);
    assert!(ran.stderr.contains("do not agree"), "{ran:?}");
}

#[test]
fn a_caller_is_shown_what_the_instance_says() {
    let identity = json!({
        "object": "identity", "did": key(7).did(), "method": "key", "public_key": key(7).base64url(),
        "key_fingerprint": key(7).fingerprint(), "url": "https://a\u{202e}.example", "caller": {},
    });
    let answer = identity.clone();
    let fake = Fake::local(move |_| json_answer(&answer));
    let ran = spl(&fake, &["identity", "show"]).ok();
    assert!(ran.stdout.contains(&key(7).did()) && !ran.stdout.contains('\u{202e}'), "{ran:?}");
    assert_eq!(spl(&fake, &["identity", "show", "-o", "json"]).ok().json(), identity);
}
