//! Redeeming as a federated holder: each check, and that the first that fails is the one that is told.

use spl_kernel::{
    identity::encode,
    refusal::Code::{self, BadProof, DidClaimDenied, FreshnessViolation, KeyUnknown},
};
use spl_projections::{
    consent::{Access, Resource},
    invites::{Accepts, Claim, Holder, HolderType, Reason, Redeem, Resolved, Shape, Trust, host_to_ask},
};

use super::{CAROL, Desk, Peer, URL, claim, fields, key, open_to_all};
const WEB: &str = "did:web:bob.example.net";

fn changed(holder: &Holder, change: impl FnOnce(&mut Claim)) -> Holder {
    let Holder::Federated(claim) = holder else { panic!("{holder:?}") };
    let mut claim = claim.clone();
    change(&mut claim);
    Holder::Federated(claim)
}

#[test]
fn whom_another_instance_vouches_for_keeps_its_name() {
    let mut desk = Desk::new();
    let peer = Peer::new(1);
    desk.pair("pair_0000000000000000", &peer).expect("a pair");
    let id = desk.issue(open_to_all(5));
    let (before, now) = (desk.kit.records.len(), desk.kit.now);
    let attestation = peer.states(&desk, &id, CAROL);
    let (did, token) = desk.redeem(&id, peer.vouches(&desk, &id, CAROL)).expect("a redemption");
    assert_eq!((did.as_str(), desk.kit.records.len() - before), (CAROL, 6));
    let signed = format!("spl-holder-attestation-v1\n{}", attestation.message().expect("a message"));
    let expected = format!(
        r#"{{"audience":"{}","holder_did":"{CAROL}","holder_pubkey":"{}","invite_id":"{id}","issued_at_ms":{},"issuer_url":"{URL}","signer_instance_did":"{}"}}"#,
        desk.own_did(),
        peer.key.public().base64url(),
        now.0,
        peer.did
    );
    assert_eq!(attestation.message(), Some(expected));
    let hash = data_encoding::HEXLOWER.encode(&<sha2::Sha256 as sha2::Digest>::digest(signed.as_bytes()));
    let pubkey = peer.key.public().base64url();
    assert_eq!(
        serde_json::to_value(fields(&desk.kit.records[before], &["at", "expires_at"])).expect("JSON"),
        serde_json::json!({
            "invite_id": id, "event_kind": "redeemed", "holder_type": "federated", "holder_did": CAROL,
            "holder_pubkey": pubkey, "bearer_token_id": token.token_id.to_string(),
            "bearer_sa_id": token.service_account_id, "scopes": ["records:read", "records:write"],
            "uses_remaining": 4, "signer_instance_did": peer.did, "signer_key": pubkey,
            "signer_trust": "paired", "pair_id": "pair_0000000000000000", "proof_sha256": hash,
        })
    );
    let account = desk.kit.world.accounts.get(&token.service_account_id).expect("an account");
    assert_eq!(account.pair_id.as_deref(), Some("pair_0000000000000000"));
    assert_eq!(account.display_name, CAROL);
    assert_eq!(account.actors.iter().map(|a| &**a).collect::<Vec<_>>(), [CAROL]);
    let one = &desk.invite(&id).redemptions[0];
    assert_eq!((one.holder_type, one.trust), (HolderType::Federated, Some(Trust::Paired)));
    assert_eq!(desk.kit.replayed().digest(), desk.kit.world.digest());
}

#[test]
fn each_member_must_be_there_and_decode() {
    let mut desk = Desk::new();
    let peer = Peer::new(1);
    let id = desk.issue(open_to_all(5));
    let good = peer.vouches(&desk, &id, CAROL);
    type Change = fn(&mut Claim);
    let cases: [(&str, Change); 13] = [
        ("no holder_did", |c| c.holder_did = None),
        ("no holder_pubkey", |c| c.holder_pubkey = None),
        ("no holder_proof", |c| c.holder_proof = None),
        ("no time", |c| c.issued_at_ms = None),
        ("no signer", |c| c.signer_instance_did = None),
        ("no issuer_url", |c| c.issuer_url = None),
        ("nothing", |c| *c = Claim::default()),
        ("before 1970", |c| c.issued_at_ms = Some(-1)),
        ("the least time", |c| c.issued_at_ms = Some(i64::MIN)),
        ("an empty key", |c| c.holder_pubkey = Some(String::new())),
        ("a key of small order", |c| c.holder_pubkey = Some(encode(&[0; 32]))),
        ("an empty proof", |c| c.holder_proof = Some(String::new())),
        ("a proof with padding", |c| c.holder_proof.as_mut().expect("a proof").push_str("==")),
    ];
    for (name, change) in cases {
        let redeem = desk.redemption(&id, changed(&good, change));
        desk.refuses(redeem, BadProof, Reason::BadProof, name);
    }
    assert!(desk.redeem(&id, good).is_ok(), "no refusal spoils it");
}

/// What can be wrong with a redemption, in the order of the checks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd)]
enum Fault {
    Revoked,
    Exhausted,
    Expired,
    HolderType,
    Fields,
    Freshness,
    SignerKey,
    Signature,
    IssuerUrl,
    Replay,
    Holder,
}

const FAULTS: [Fault; 11] = [
    Fault::Revoked,
    Fault::Exhausted,
    Fault::Expired,
    Fault::HolderType,
    Fault::Fields,
    Fault::Freshness,
    Fault::SignerKey,
    Fault::Signature,
    Fault::IssuerUrl,
    Fault::Replay,
    Fault::Holder,
];

fn told(fault: Fault) -> (Code, Reason) {
    match fault {
        Fault::Revoked => (Code::InviteRevoked, Reason::Revoked),
        Fault::Exhausted => (Code::InviteExhausted, Reason::Exhausted),
        Fault::Expired => (Code::InviteExpired, Reason::Expired),
        Fault::HolderType => (Code::HolderTypeMismatch, Reason::HolderTypeMismatch),
        Fault::Freshness => (FreshnessViolation, Reason::FreshnessViolation),
        Fault::SignerKey => (KeyUnknown, Reason::KeyUnknown),
        Fault::Fields | Fault::Signature | Fault::IssuerUrl | Fault::Replay => (BadProof, Reason::BadProof),
        Fault::Holder => (DidClaimDenied, Reason::DidClaimDenied),
    }
}

/// A redemption with these faults, on an instance of its own.
fn faulty(faults: &[Fault]) -> (Desk, Redeem) {
    let has = |fault| faults.contains(&fault);
    let mut desk = Desk::new();
    let peer = if has(Fault::SignerKey) { Peer::named(1, "did:sync:instance:far") } else { Peer::new(1) };
    let names: &[&str] = if has(Fault::HolderType) { &["guest"] } else { &["*"] };
    let id = desk.issue(Shape {
        accepts: Accepts::parse(names.iter().copied()),
        max_uses: Some(if has(Fault::Exhausted) { 1 } else { 9 }),
        ttl_seconds: has(Fault::Expired).then_some(60),
        ..Shape::default()
    });
    let mut attestation = peer.states(&desk, &id, CAROL);
    if has(Fault::IssuerUrl) {
        attestation.issuer_url = "https://elsewhere.example.com".to_owned();
    }
    let mut proof = peer.sign(&attestation);
    // Only an invite for such holders can have been used by one.
    if has(Fault::Replay) && !has(Fault::HolderType) {
        desk.pair("pair_0000000000000000", &peer).expect("a pair");
        let first = desk.redemption(&id, claim(&attestation, &encode(&proof)));
        let address = attestation.issuer_url.clone();
        desk.run_redeem(Redeem { public_url: address, ..first }).expect("the first use");
        if has(Fault::SignerKey) {
            desk.unpair("pair_0000000000000000");
        }
    }
    if desk.invite(&id).uses_remaining() > 0 && has(Fault::Exhausted) {
        desk.redeem(&id, super::device(9)).expect("the last use");
    }
    if has(Fault::Holder) {
        desk.give(CAROL, Resource::Invites, Access::Read);
    }
    if has(Fault::Revoked) {
        desk.revoke(&id);
    }
    if has(Fault::Expired) {
        desk.wait(60_000);
    }
    if has(Fault::Freshness) {
        desk.wait(60_001);
    }
    if has(Fault::Signature) {
        proof[0] ^= 1;
    }
    let mut sent = claim(&attestation, &encode(&proof));
    if has(Fault::Fields) {
        sent = changed(&sent, |c| c.issuer_url = None);
    }
    let redeem = desk.redemption(&id, sent);
    (desk, redeem)
}

#[test]
fn the_first_check_that_fails_is_told() {
    for first in FAULTS {
        let (mut desk, redeem) = faulty(&[first]);
        let (code, reason) = told(first);
        desk.refuses(redeem, code, reason, &format!("{first:?}"));
        for second in FAULTS.into_iter().filter(|second| *second > first) {
            let (mut desk, redeem) = faulty(&[first, second]);
            desk.refuses(redeem, code, reason, &format!("{first:?} and {second:?}"));
        }
        // And with all that come after it.
        let later: Vec<Fault> = FAULTS.into_iter().filter(|f| *f >= first).collect();
        let (mut desk, redeem) = faulty(&later);
        desk.refuses(redeem, code, reason, &format!("{later:?}"));
    }
    let (mut desk, redeem) = faulty(&[]);
    assert!(desk.run_redeem(redeem).is_ok(), "nothing is wrong with it otherwise");
}

#[test]
fn clocks_may_differ_by_a_minute_either_way() {
    for (ms, fresh) in [(0, true), (59_900, true), (60_000, true), (60_001, false), (60_100, false)] {
        for ahead in [false, true] {
            let mut desk = Desk::new();
            let peer = Peer::new(1);
            let id = desk.issue(open_to_all(5));
            let mut attestation = peer.states(&desk, &id, CAROL);
            let now = desk.kit.now.0;
            attestation.issued_at_ms = if ahead { now + ms } else { now - ms };
            let redeem = desk.redemption(&id, claim(&attestation, &encode(&peer.sign(&attestation))));
            let shown = format!("{ms} ms, ahead: {ahead}");
            let late = Redeem { clock_is_behind: true, ..redeem.clone() };
            desk.refuses(late, FreshnessViolation, Reason::FreshnessViolation, "a clock behind its own log");
            if fresh {
                assert!(desk.run_redeem(redeem).is_ok(), "{shown}");
            } else {
                desk.refuses(redeem, FreshnessViolation, Reason::FreshnessViolation, &shown);
            }
        }
    }
    let mut desk = Desk::new();
    let (peer, id) = (Peer::new(1), desk.issue(open_to_all(5)));
    for ms in [0, u64::try_from(i64::MAX).expect("positive")] {
        let mut attestation = peer.states(&desk, &id, CAROL);
        attestation.issued_at_ms = ms;
        let redeem = desk.redemption(&id, claim(&attestation, &encode(&peer.sign(&attestation))));
        desk.refuses(redeem, FreshnessViolation, Reason::FreshnessViolation, "far away");
    }
    // Guests sign nothing.
    let guest = Redeem { clock_is_behind: true, ..desk.redemption(&id, super::device(1)) };
    assert!(desk.run_redeem(guest).is_ok());
}

#[test]
fn a_key_comes_from_the_ledger_the_did_or_its_host() {
    let found = |did: &str, keys: &[u64]| {
        let keys = keys.iter().map(|seed| key(*seed).public()).collect();
        Some(Resolved { did: did.to_owned(), keys })
    };
    let other_key = key(2).public().did();
    type Case<'a> = (&'a str, String, bool, bool, Option<Resolved>, Result<Trust, Code>);
    // The signer's DID, paired, `did:web` allowed, what its host says; signed with key 1.
    let own = key(1).public().did();
    let far = || "did:sync:instance:far".to_owned();
    let web = || WEB.to_owned();
    let cases: [Case<'_>; 18] = [
        ("did:key", own.clone(), false, false, None, Ok(Trust::SelfAsserted)),
        ("did:key, paired", own.clone(), true, false, None, Ok(Trust::Paired)),
        ("another did:key", other_key, false, false, None, Err(BadProof)),
        (
            "a did:key of small order",
            "did:key:z6MkeTG3bFFSLYVU7VqhgZxqr6YzpaGrQtFMh1uvqGy1vDnP".into(),
            false,
            false,
            None,
            Err(KeyUnknown),
        ),
        (
            "another spelling",
            format!("{own}#{}", &own["did:key:".len()..]),
            false,
            false,
            None,
            Err(KeyUnknown),
        ),
        ("unknown", far(), false, true, found(&far(), &[1]), Err(KeyUnknown)),
        ("in the ledger", far(), true, false, None, Ok(Trust::Paired)),
        ("no DID", "bob".into(), false, true, None, Err(KeyUnknown)),
        ("empty", String::new(), false, true, None, Err(KeyUnknown)),
        ("did:web, not enabled", web(), false, false, found(WEB, &[1]), Err(KeyUnknown)),
        ("did:web", web(), false, true, found(WEB, &[1]), Ok(Trust::DidWeb)),
        ("did:web, several keys", web(), false, true, found(WEB, &[3, 1, 2]), Ok(Trust::DidWeb)),
        ("did:web, not asked", web(), false, true, None, Err(KeyUnknown)),
        ("did:web without keys", web(), false, true, found(WEB, &[]), Err(KeyUnknown)),
        ("did:web with another key", web(), false, true, found(WEB, &[2]), Err(BadProof)),
        ("another's document", web(), false, true, found("did:web:b.example.net", &[1]), Err(KeyUnknown)),
        ("did:web, paired", web(), true, true, found(WEB, &[2]), Ok(Trust::Paired)),
        (
            "did:web with a port",
            "did:web:b.example.net%3A8443".into(),
            false,
            true,
            found("did:web:b.example.net%3A8443", &[1]),
            Err(KeyUnknown),
        ),
    ];
    for (name, did, paired, enabled, resolved, expected) in cases {
        let mut desk = Desk::new();
        if enabled {
            desk.set(r#"{"topic":"federation_did_web","enabled":true}"#);
        }
        let peer = Peer::named(1, &did);
        if paired {
            desk.pair("pair_0000000000000000", &peer).expect("a pair");
        }
        let id = desk.issue(open_to_all(5));
        let holder = peer.vouches(&desk, &id, CAROL);
        let redeem = Redeem { resolved, ..desk.redemption(&id, holder) };
        match expected {
            Ok(trust) => {
                desk.run_redeem(redeem).unwrap_or_else(|code| panic!("{name}: {code:?}"));
                let one = &desk.invite(&id).redemptions[0];
                assert_eq!(one.trust, Some(trust), "{name}");
                assert_eq!(one.pair_id.is_some(), trust == Trust::Paired, "{name}");
                let signer = one.signer.as_ref().expect("a signer");
                assert_eq!((&signer.did, &signer.key), (&did, &key(1).public().base64url()), "{name}");
            }
            Err(code) => {
                let reason = if code == BadProof { Reason::BadProof } else { Reason::KeyUnknown };
                desk.refuses(redeem, code, reason, name);
            }
        }
    }
}

#[test]
fn a_host_is_asked_only_where_its_answer_decides() {
    let mut desk = Desk::new();
    let peer = Peer::named(1, WEB);
    let id = desk.issue(open_to_all(1));
    let ask = |desk: &Desk, redeem: &Redeem| -> Option<String> {
        host_to_ask(&desk.kit.world, redeem, desk.kit.now).map(str::to_owned)
    };
    let redeem = desk.redemption(&id, peer.vouches(&desk, &id, CAROL));
    assert_eq!(ask(&desk, &redeem), None, "not enabled");
    desk.set(r#"{"topic":"federation_did_web","enabled":true}"#);
    assert_eq!(ask(&desk, &redeem).as_deref(), Some("bob.example.net"));
    let with = |change: fn(&mut Claim)| Redeem { holder: changed(&redeem.holder, change), ..redeem.clone() };
    assert_eq!(ask(&desk, &with(|c| c.holder_proof = None)), None, "no proof");
    assert_eq!(ask(&desk, &with(|c| c.issued_at_ms = Some(0))), None, "stale");
    assert_eq!(ask(&desk, &with(|c| c.signer_instance_did = Some("did:web:localhost".into()))), None);
    assert_eq!(ask(&desk, &with(|c| c.signer_instance_did = Some("did:web:10.0.0.1".into()))), None);
    assert_eq!(ask(&desk, &Redeem { clock_is_behind: true, ..redeem.clone() }), None);
    assert_eq!(ask(&desk, &Redeem { invite_id: "inv_0000000000000000".into(), ..redeem.clone() }), None);
    assert_eq!(ask(&desk, &desk.redemption(&id, super::device(1))), None, "a guest");
    let own = Peer::new(1).vouches(&desk, &id, CAROL);
    assert_eq!(ask(&desk, &desk.redemption(&id, own)), None, "a did:key");
    let guests = desk.issue(super::uses(1));
    assert_eq!(ask(&desk, &Redeem { invite_id: guests, ..redeem.clone() }), None, "not for such holders");
    desk.pair("pair_0000000000000000", &peer).expect("a pair");
    assert_eq!(ask(&desk, &redeem), None, "the ledger knows");
    desk.unpair("pair_0000000000000000");
    assert_eq!(ask(&desk, &redeem), None, "nor of one that was unpaired");
    let mut desk = Desk::new();
    desk.set(r#"{"topic":"federation_did_web","enabled":true}"#);
    let id = desk.issue(open_to_all(1));
    let redeem = desk.redemption(&id, peer.vouches(&desk, &id, CAROL));
    desk.redeem(&id, super::device(1)).expect("the last use");
    assert_eq!(ask(&desk, &redeem), None, "used up");
}
