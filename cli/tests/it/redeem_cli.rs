//! `spl invite redeem`: whom it believes, what it sends to whom, and what it hands out.

use data_encoding::BASE64URL_NOPAD;
use serde_json::{Value, json};
use spl_kernel::identity::{PrivateKey, PublicKey};
use zeroize::Zeroizing;

use crate::{
    invites_cli::{ID, sent},
    support::{Fake, Ran, Sandbox, error_answer, json_answer},
    tokens::TOKEN,
};

/// The token that an issuer gives.
const GIVEN: &str = "spl_prod_sa_fedcba9876543210_0123456789abcdefghjkmnpqrstvwxyz";
const ENDS: &str = "2030-01-01T00:00:00.123Z";
const ENDS_MS: u64 = 1_893_456_000_123;

fn key(seed: u8) -> PrivateKey {
    PrivateKey::from_seed(&Zeroizing::new([seed; 32]))
}

/// What the issuer tells of the invite.
fn preview(state: &str, accepts: &[&str]) -> Value {
    let key = key(7).public();
    json!({
        "object": "invite_preview", "invite_id": ID, "state": state, "revoked": false, "expired": false,
        "expires_at": ENDS, "uses_remaining": 1, "accept_holder_types": accepts,
        "scopes": ["records:read"], "scope_target": { "kind": "instance" }, "device_label": "phone",
        "issuer_did": key.did(), "issuer_key": key.base64url(), "issuer_url": "x",
        "bearer_ttl_seconds": 60,
    })
}

/// An issuer of an invite that accepts these.
fn issuer(state: &'static str, accepts: &'static [&'static str]) -> Fake {
    Fake::local(move |request| {
        if request.starts_with("get /v1/invites/") {
            json_answer(&preview(state, accepts))
        } else if request.starts_with(&format!("post /v1/invites/{ID}/redeem ")) {
            json_answer(&json!({
                "object": "redemption", "invite_id": ID, "bearer": GIVEN, "token_id": "ab",
                "actor_did": "did:sync:user:guest:00", "service_account_id": "sa_fedcba9876543210",
                "scopes": ["records:read"], "expires_at": ENDS, "instance_did": key(7).public().did(),
                "url": "http://elsewhere.example", "record_id": "cd",
            }))
        } else {
            error_answer(404, "NOT_FOUND")
        }
    })
}

/// One's own instance: signs whatever it is asked to.
fn home() -> Fake {
    Fake::local(|request| {
        if !request.starts_with("post /v1/invites/sign-attestation ") {
            return error_answer(404, "NOT_FOUND");
        }
        json_answer(&json!({
            "object": "attestation", "holder_type": "federated", "holder_did": "did:sync:user:bob",
            "holder_pubkey": "pub", "holder_proof": "proof", "holder_proof_issued_at_ms": 1,
            "signer_instance_did": "did:key:z6MkHome", "signer_key": "sk", "issuer_url": "x",
            "invite_id": ID,
        }))
    })
}

/// The link of an instance at this address, made with this key.
fn link(origin: &str, signer: u8) -> String {
    let message = format!("{origin}\n{ID}\n{ENDS_MS}");
    let sig = key(signer).sign("spl-invite-link-v1", message.as_bytes());
    format!("{origin}/i/{ID}?sig={}", BASE64URL_NOPAD.encode(&sig))
}

/// Runs it with a token that is for somebody else.
fn redeem(args: &[&str]) -> Ran {
    let sandbox = Sandbox::new();
    let mut command = sandbox.command(&[&["invite", "redeem"], args].concat());
    Ran::from(command.env("SPL_TOKEN", TOKEN).output().expect("spl runs"), args)
}

#[test]
fn a_guest_gets_a_token_and_shows_none() {
    let issuer = issuer("active", &["guest", "federated"]);
    let link = link(&issuer.url(), 7);
    let ran = redeem(&[&link, "--label", "build server"]).ok();
    let shown = format!(
        "{{\n  \"url\": \"{}\",\n  \"token\": \"{GIVEN}\",\n  \"device\": \"build server\"\n}}\n",
        issuer.url()
    );
    assert_eq!(ran.stdout, shown);
    assert!(!ran.stderr.contains(GIVEN) && !ran.stderr.contains("sig="), "{ran:?}");
    for told in ["did:sync:user:guest:00", "records:read", "SPL_TOKEN"] {
        assert!(ran.stderr.contains(told), "{told}: {ran:?}");
    }
    let heard = issuer.heard();
    assert_eq!(heard.len(), 2);
    for request in &heard {
        assert!(!request.contains("authorization") && !request.contains("spl_prod"), "{request}");
    }
    assert!(!heard[1].lines().next().expect("a line").contains("sig="), "no address holds it");
    let body = sent(&issuer);
    assert!(link.ends_with(body["sig"].as_str().expect("the signature")));
    assert_eq!((&body["holder_type"], &body["holder_label"]), (&json!("guest"), &json!("build server")));
    let holder = BASE64URL_NOPAD.decode(body["holder_pubkey"].as_str().expect("a key").as_bytes());
    let holder: [u8; 32] = holder.expect("base64url").try_into().expect("32 bytes");
    assert!(PublicKey::from_bytes(holder).is_some());
    redeem(&[&link]).ok();
    assert_ne!(sent(&issuer)["holder_pubkey"], body["holder_pubkey"], "each has a key of its own");
    // Without a label the device is called as the instance calls it.
    assert!(redeem(&[&link]).ok().stdout.contains("\"device\": \"did:sync:user:guest:00\""));
    assert_eq!(redeem(&[&link, "-o", "json"]).ok().json()["record_id"], "cd");
}

#[test]
fn a_saved_token_is_not_sent_to_an_issuer_either() {
    let issuer = issuer("active", &["guest"]);
    let sandbox = Sandbox::new();
    sandbox.home_file("token", &format!("{TOKEN}\norigin {}\n", issuer.url()), 0o600);
    let link = link(&issuer.url(), 7);
    let ran = sandbox.spl_with_input(&["invite", "redeem", "-"], format!("{link}\n").as_bytes()).ok();
    assert!(issuer.heard().iter().all(|request| !request.contains("authorization")));
    assert!(ran.stderr.contains("--home ~/.syncro-127.0.0.1"), "the home's own token is kept: {ran:?}");
}

#[test]
fn only_whoever_made_the_link_is_told_anything() {
    let issuer = issuer("active", &["guest", "federated"]);
    let home = home();
    for args in [&[][..], &["--home-url", &home.url(), "--yes"]] {
        let ran = redeem(&[&[link(&issuer.url(), 8).as_str()], args].concat()).exits(1);
        assert!(ran.stderr.contains("was not made by the instance"), "{ran:?}");
    }
    assert!(issuer.heard().iter().all(|request| request.starts_with("get ")) && home.heard().is_empty());
}

#[test]
fn ones_own_instance_vouches_only_when_told_to() {
    let (issuer, home) = (issuer("active", &["federated"]), home());
    let link = link(&issuer.url(), 7);
    let url = home.url();
    for output in ["human", "json"] {
        let ran = redeem(&[&link, "--home-url", &url, "-o", output]).exits(1);
        assert!(ran.stderr.contains(&issuer.url()) && ran.stderr.contains("--yes"), "{ran:?}");
    }
    assert!(home.heard().is_empty() && issuer.heard().len() == 2);
    let ran = redeem(&[&link, "--home-url", &url, "--yes", "--label", "laptop"]).ok();
    assert!(ran.stdout.contains("\"device\": \"laptop\""), "{ran:?}");
    // It is taken from the link and the issuer whom it is told.
    let did = key(7).public().did();
    assert_eq!(sent(&home), json!({ "invite_id": ID, "audience": did, "issuer_url": issuer.url() }));
    assert!(home.heard()[0].contains(&format!("authorization: bearer {TOKEN}")));
    let body = sent(&issuer);
    let expected = json!({
        "holder_type": "federated", "issuer_url": issuer.url(), "holder_did": "did:sync:user:bob",
        "holder_pubkey": "pub", "holder_proof": "proof", "holder_proof_issued_at_ms": 1,
        "signer_instance_did": "did:key:z6MkHome", "sig": body["sig"],
    });
    assert_eq!(body, expected, "whoever has a name of their own takes no label");
    assert!(issuer.heard().iter().all(|request| !request.contains("authorization")));
    // The instance that other commands talk to is one's own.
    let ran = redeem(&["--server", &url, &link, "--yes"]).ok();
    assert!(ran.stderr.contains(&did), "{ran:?}");
    assert_eq!(home.heard().len(), 2);
}

#[test]
fn what_cannot_work_is_told_before_anything_is_signed() {
    let (guests, home) = (issuer("active", &["guest"]), home());
    let ended = issuer("revoked", &["federated"]);
    let url = home.url();
    let ran = redeem(&[&link(&guests.url(), 7), "--as", "federated", "--home-url", &url, "--yes"]).exits(1);
    assert!(ran.stderr.contains("only for: guest"), "{ran:?}");
    let ran = redeem(&[&link(&ended.url(), 7), "--home-url", &url, "--yes"]).exits(1);
    assert!(ran.stderr.contains("revoked"), "{ran:?}");
    let open = issuer("active", &["federated"]);
    let own = open.url();
    redeem(&[&link(&own, 7), "--home-url", &own, "--yes"]).exits(2);
    redeem(&[&link(&guests.url(), 7), "--as", "guest", "--home-url", &url]).exits(2);
    assert!(home.heard().is_empty());
    let without = Sandbox::new().spl(&["invite", "redeem", &link(&own, 7), "--home-url", &url, "--yes"]);
    assert!(without.exits(4).stderr.contains("no token for your own instance"));
}

#[test]
fn a_refusal_says_what_to_do() {
    let refused = Fake::local(|request| match request.starts_with("get ") {
        true => json_answer(&preview("redeemed", &["guest"])),
        false => error_answer(410, "INVITE_EXHAUSTED"),
    });
    let ran = redeem(&[&link(&refused.url(), 7)]).exits(1);
    assert!(ran.stderr.contains("INVITE_EXHAUSTED") && ran.stderr.contains("for a new one"), "{ran:?}");
    for bad in ["", "https://alice.example.com", &format!("https://alice.example.com/i/{ID}")] {
        redeem(&[bad]).exits(2);
    }
    // What comes back could be read on its way: nobody is asked here, and nothing is sent.
    let ran = redeem(&[&link("http://192.0.2.1:9100", 7), "--yes"]).exits(1);
    assert!(ran.stderr.contains("plain http"), "{ran:?}");
}
