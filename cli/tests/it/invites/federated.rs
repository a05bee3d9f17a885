//! Somebody of another instance: vouched for there, taken in here, or refused.

use serde_json::{Value, json};
use spl_kernel::identity::PrivateKey;

use super::{
    kit::{ADMIN, ALICE, Asks as _, Caller, Claim, Desk, Link, Token, key, now_ms},
    model::explains,
};
use crate::access::kit::refuses_with_hint;

const CAROL: &str = "did:sync:user:carol";

/// An instance that takes others' people in, by its name and address.
struct Issuer {
    desk: Desk,
    did: String,
    url: String,
}

impl Issuer {
    fn new() -> Self {
        Self::of(Desk::disk())
    }

    fn of(desk: Desk) -> Self {
        let identity = desk.admin.reads("/v1/identity").is(200).json();
        let text = |name: &str| identity[name].as_str().expect("a text").to_owned();
        Self { did: text("did"), url: text("url"), desk }
    }

    fn link(&self) -> Link {
        self.desk.issue(&json!({ "accept_holder_types": ["federated"], "max_uses": 1000 }))
    }

    /// A claim that nothing is wrong with.
    fn claim<'a>(&'a self, link: &'a Link, signer: &'a PrivateKey, holder: &'a str) -> Claim<'a> {
        let at_ms = now_ms();
        Claim { link, audience: &self.did, issuer_url: &self.url, signer, holder, at_ms }
    }

    #[track_caller]
    fn redeem(&self, link: &Link, body: &Value) -> crate::raw::Reply {
        self.desk.node.anyone().sends(&link.redeem_at(), body)
    }

    #[track_caller]
    fn refuses(&self, link: &Link, body: &Value, code: &str) {
        let left = self.desk.row(&link.id)["uses_remaining"].clone();
        refuses_with_hint(self.redeem(link, body), 403, code);
        let newest = self.desk.admin.reads("/v1/invites/audit?limit=1").is(200).json()["data"][0].clone();
        let reason = code.to_lowercase();
        assert_eq!(
            (&newest["event_kind"], &newest["refusal_reason"]),
            (&json!("refused"), &json!(reason)),
            "{newest}"
        );
        assert_eq!(newest["invite_id"], link.id);
        assert_eq!(self.desk.row(&link.id)["uses_remaining"], left, "a refusal takes no use");
    }
}

/// What is sent on of an attestation.
fn redemption(attestation: &Value) -> Value {
    let mut body = attestation.clone();
    for name in ["object", "invite_id", "signer_key"] {
        body.as_object_mut().expect("members").remove(name);
    }
    body
}

fn request(issuer: &Issuer, link: &Link) -> Value {
    json!({ "invite_id": link.id, "audience": issuer.did, "issuer_url": issuer.url })
}

#[test]
fn somebody_of_another_instance_comes_in_under_its_own_name() {
    let (issuer, home) = (Issuer::new(), Desk::disk());
    let link = issuer.link();
    let carol = home.node.as_token(&home.admin.contributor(CAROL));
    let attested = carol.sends("/v1/invites/sign-attestation", &request(&issuer, &link)).is(200).json();
    let identity = home.admin.reads("/v1/identity").json();
    assert_eq!(
        (&attested["holder_did"], &attested["signer_instance_did"]),
        (&json!(CAROL), &identity["did"])
    );
    assert_eq!(
        (&attested["signer_key"], &attested["holder_pubkey"]),
        (&identity["public_key"], &identity["public_key"])
    );
    let answer = issuer.redeem(&link, &redemption(&attested)).is(200).json();
    assert_eq!((&answer["actor_did"], &answer["url"]), (&json!(CAROL), &json!(issuer.url)));
    let bearer = Token::of(&answer);
    let caller = issuer.desk.node.as_token(&bearer);
    assert_eq!(caller.reads("/v1/identity").json()["caller"]["actor"], CAROL);
    caller.wrote(&crate::access::kit::record("shared", CAROL, json!({ "text": "hello" })));
    let used = issuer.desk.row(&link.id)["redemptions"][0].clone();
    let expected = json!({
        "holder_type": "federated", "holder_did": CAROL, "signer_instance_did": identity["did"],
        "signer_trust": "self_asserted", "pair_id": null, "holder_label": null, "live": true,
    });
    for (name, value) in expected.as_object().expect("members") {
        assert_eq!(&used[name], value, "{name}");
    }
    // It is on record at home that this was signed, for whom and where.
    let signed = home.log().into_iter().find(|r| r["body"]["event_kind"] == "attestation_signed");
    let body = signed.expect("a record")["body"].clone();
    for part in [&link.id, &issuer.did, &issuer.url] {
        assert!(body["reason"].as_str().is_some_and(|reason| reason.contains(part.as_str())), "{body}");
    }
    assert_eq!(body["by"]["actor"], CAROL);
    // A proof is good once, also after a start.
    issuer.refuses(&link, &redemption(&attested), "BAD_PROOF");
    let mut issuer = issuer;
    issuer.desk.node.kill();
    issuer.desk.node.run(&[]);
    issuer.desk.found_again();
    issuer.refuses(&link, &redemption(&attested), "BAD_PROOF");
    explains(&issuer.desk, &[bearer]);
}

#[test]
fn a_proof_is_over_every_field_and_of_the_last_minute() {
    let issuer = Issuer::new();
    let (link, other) = (issuer.link(), issuer.link());
    let (signer, stranger) = (key(), key());
    let good = || issuer.claim(&link, &signer, CAROL).body();
    for name in [
        "holder_did",
        "holder_pubkey",
        "holder_proof",
        "holder_proof_issued_at_ms",
        "signer_instance_did",
        "issuer_url",
    ] {
        let mut without = good();
        without.as_object_mut().expect("members").remove(name);
        issuer.refuses(&link, &without, "BAD_PROOF");
        without[name] = Value::Null;
        issuer.refuses(&link, &without, "BAD_PROOF");
    }
    let stranger_did = stranger.public().did();
    let changes = [
        ("holder_did", json!("did:sync:user:dora")),
        ("holder_pubkey", json!(stranger.public().base64url())),
        ("holder_pubkey", json!(spl_kernel::identity::encode(&[0; 32]))),
        ("holder_pubkey", json!("x")),
        ("holder_proof", json!("x")),
        ("holder_proof", json!("A".repeat(86))),
        ("holder_proof", issuer.claim(&other, &signer, CAROL).body()["holder_proof"].clone()),
        ("holder_proof_issued_at_ms", json!(now_ms() - 1)),
        ("signer_instance_did", json!(stranger_did)),
        ("issuer_url", json!("https://evil.example")),
    ];
    for (name, value) in changes {
        let mut changed = good();
        changed[name] = value;
        issuer.refuses(&link, &changed, "BAD_PROOF");
    }
    // Signed, but for somebody or somewhere else.
    let elsewhere = Claim { issuer_url: "https://evil.example", ..issuer.claim(&link, &signer, CAROL) };
    issuer.refuses(&link, &elsewhere.body(), "BAD_PROOF");
    let audience = Claim { audience: &stranger_did, ..issuer.claim(&link, &signer, CAROL) };
    issuer.refuses(&link, &audience.body(), "BAD_PROOF");
    for at_ms in [now_ms() - 62_000, now_ms() + 65_000, 0, u64::try_from(i64::MAX).expect("positive")] {
        let stale = Claim { at_ms, ..issuer.claim(&link, &signer, CAROL) };
        issuer.refuses(&link, &stale.body(), "FRESHNESS_VIOLATION");
    }
    let mut before = good();
    before["holder_proof_issued_at_ms"] = json!(-1);
    issuer.refuses(&link, &before, "BAD_PROOF");
    for at_ms in [now_ms() - 50_000, now_ms() + 50_000] {
        issuer.redeem(&link, &Claim { at_ms, ..issuer.claim(&link, &signer, CAROL) }.body()).is(200);
    }
}

#[test]
fn only_keys_that_are_known_speak() {
    let issuer = Issuer::new();
    let (link, signer) = (issuer.link(), key());
    let mut body = issuer.claim(&link, &signer, CAROL).body();
    // did:web is off unless somebody turns it on.
    for did in
        ["did:web:home.example.com", "did:sync:instance:home", "did:example:x", "did:key:z6Mk", "nonsense"]
    {
        body["signer_instance_did"] = did.into();
        issuer.refuses(&link, &body, "KEY_UNKNOWN");
    }
    // With it on, names that could lead inwards are not even looked up.
    issuer.desk.admin.set("federation_did_web", &json!({ "enabled": true })).is(201);
    for did in [
        "did:web:localhost",
        "did:web:127.0.0.1",
        "did:web:home.example.com:path",
        "did:web:home.example.com%3A8443",
        "did:web:HOME.example.com",
        "did:web:169.254.169.254",
    ] {
        body["signer_instance_did"] = did.into();
        issuer.refuses(&link, &body, "KEY_UNKNOWN");
    }
    issuer.redeem(&link, &issuer.claim(&link, &signer, CAROL).body()).is(200);
}

#[test]
fn nobody_comes_in_as_somebody_else() {
    let issuer = Issuer::new();
    let link = issuer.link();
    let (signer, stranger) = (key(), key());
    let admin = &issuer.desk.admin;
    admin.contributor(ALICE);
    let gone = admin.contributor("did:sync:user:gone");
    admin.delete(&format!("/v1/service-accounts/{}", gone.account)).is(200);
    let renamed = admin.contributor("did:sync:user:before");
    let account = format!("/v1/service-accounts/{}", renamed.account);
    admin.patch(&account, &json!({ "actors": ["did:sync:user:after"] })).is(200);
    let grant = issuer.desk.grant("did:sync:user:operator", "th_invites", "read");
    admin.removes(&format!("/v1/consent/grants/{grant}")).is(200);
    let first =
        issuer.redeem(&link, &issuer.claim(&link, &stranger, "did:sync:user:taken").body()).is(200).json();
    let guests = issuer.desk.issue(&json!({}));
    let guest = guests.redeem(&issuer.desk.node.anyone(), &key()).is(200).json();
    let (own, key_of_another) = (issuer.did.clone(), stranger.public().did());
    for holder in [
        own.as_str(),
        &key_of_another,
        "did:web:somebody.example.com",
        "did:sync:system:engine",
        "did:sync:system:local",
        "did:sync:instance:x",
        "did:sync:user:guest:00000000000000000000000000000000",
        guest["actor_did"].as_str().expect("a DID"),
        ADMIN,
        ALICE,
        "did:sync:user:gone",
        "did:sync:user:before",
        "did:sync:user:after",
        "did:sync:user:operator",
        "did:sync:user:taken",
        "no DID",
        "did:sync:user:a b",
    ] {
        issuer.refuses(&link, &issuer.claim(&link, &signer, holder).body(), "DID_CLAIM_DENIED");
    }
    // Whoever vouched for a name first goes on to, with the same key, for accounts that are gone, too.
    let again =
        issuer.redeem(&link, &issuer.claim(&link, &stranger, "did:sync:user:taken").body()).is(200).json();
    assert_ne!(first["service_account_id"], again["service_account_id"]);
    issuer.desk.revoke(&link.id);
    let next = issuer.link();
    issuer.refuses(&next, &issuer.claim(&next, &signer, "did:sync:user:taken").body(), "DID_CLAIM_DENIED");
    issuer.redeem(&next, &issuer.claim(&next, &stranger, "did:sync:user:taken").body()).is(200);
    // A key may speak for itself.
    let itself = signer.public().did();
    issuer.redeem(&next, &issuer.claim(&next, &signer, &itself).body()).is(200);
}

#[test]
fn refusals_come_in_their_order() {
    let issuer = Issuer::new();
    let (link, guests, signer) = (issuer.link(), issuer.desk.issue(&json!({})), key());
    let mut all_wrong = Claim { at_ms: 0, ..issuer.claim(&guests, &signer, ADMIN) }.body();
    all_wrong["signer_instance_did"] = "did:web:home.example.com".into();
    all_wrong["holder_proof"] = "x".into();
    issuer.refuses(&guests, &all_wrong, "HOLDER_TYPE_MISMATCH");
    issuer.refuses(&link, &all_wrong, "BAD_PROOF");
    all_wrong["holder_proof"] = json!("A".repeat(86));
    issuer.refuses(&link, &all_wrong, "FRESHNESS_VIOLATION");
    all_wrong["holder_proof_issued_at_ms"] = now_ms().into();
    issuer.refuses(&link, &all_wrong, "KEY_UNKNOWN");
    all_wrong["signer_instance_did"] = signer.public().did().into();
    issuer.refuses(&link, &all_wrong, "BAD_PROOF");
    issuer.refuses(&link, &issuer.claim(&link, &signer, ADMIN).body(), "DID_CLAIM_DENIED");
    issuer.desk.revoke(&guests.id);
    issuer.redeem(&guests, &all_wrong).refuses(410, "INVITE_REVOKED");
}

#[test]
fn an_instance_vouches_for_its_own_people_only_and_not_too_often() {
    let (issuer, home) = (Issuer::of(Desk::memory()), Desk::memory());
    let (link, at) = (issuer.link(), "/v1/invites/sign-attestation");
    let asked = request(&issuer, &link);
    let as_holder = |token: &Token| home.node.as_token(token);
    let guest = home.guest(&home.issue(&json!({})));
    refuses_with_hint(as_holder(&guest).sends(at, &asked), 403, "DID_CLAIM_DENIED");
    let narrowed = home.admin.narrowed("did:sync:user:n", &["thread:x:write"]);
    let told = refuses_with_hint(as_holder(&narrowed).sends(at, &asked), 403, "SCOPE_FORBIDDEN");
    assert_eq!(told["required_scope"], "records:write");
    let reader = home.admin.account(&["did:sync:user:r"], &["records:read", "threads:write"]);
    as_holder(&reader).sends(at, &asked).refuses(403, "SCOPE_FORBIDDEN");
    // An admin vouches for nobody but itself, either.
    refuses_with_hint(home.admin.claiming(CAROL).sends(at, &asked), 403, "DID_CLAIM_DENIED");
    home.node.anyone().sends(at, &asked).refuses(401, "AUTH_REQUIRED");
    let carol = as_holder(&home.admin.contributor(CAROL));
    for (name, value) in [
        ("invite_id", json!("inv_x")),
        ("audience", json!("nobody")),
        ("issuer_url", json!("https://spl.example.com/path")),
        ("issuer_url", json!("javascript:alert(1)")),
        ("holder_pubkey", json!("x")),
        ("more", json!(1)),
    ] {
        let mut bad = asked.clone();
        bad[name] = value;
        carol.sends(at, &bad).refuses(400, "INVALID_BODY");
    }
    let head = home.admin.head();
    let dave = as_holder(&home.admin.contributor("did:sync:user:dave"));
    let before = home.admin.head();
    assert!(before > head);
    let replies: Vec<_> = (0..12).map(|_| dave.sends(at, &asked)).collect();
    let through = replies.iter().filter(|reply| reply.status == 200).count();
    assert!((10..=11).contains(&through), "{through}");
    let limited = replies.into_iter().next_back().expect("an answer").refuses(429, "RATE_LIMITED");
    assert!(limited.header("retry-after").is_some_and(|s| s.parse::<u64>().is_ok_and(|s| s >= 1)));
    assert_eq!(home.admin.head(), before + u64::try_from(through).expect("few"), "one record each");
    // Others are others.
    let other: Caller = as_holder(&home.admin.contributor("did:sync:user:eve"));
    other.sends(at, &asked).is(200);
}
