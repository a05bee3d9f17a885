//! Redeeming as a guest: the body, the commit, and the ends of an invite.

use data_encoding::HEXLOWER;
use sha2::{Digest as _, Sha256};
use spl_kernel::{
    identity::PublicKey,
    refusal::Code::{self, InvalidBody, InvalidName},
};
use spl_projections::{
    accounts::AccountOrigin,
    invites::{Accepts, Body, Holder, HolderType, Reason, Shape, State, Target},
    tokens::TokenId,
};

use super::{Desk, check_mirror, claim, device, device_key, fields, guest, key, member, scopes, uses};
use crate::kit::code;

#[test]
fn a_body_is_parsed_strictly() {
    let good = key(1).public().base64url();
    let body = |members: &str| format!(r#"{{"holder_type":"guest","holder_pubkey":"{good}"{members}}}"#);
    let federated = |members: &str| format!(r#"{{"holder_type":"federated"{members}}}"#);
    let bad = Some(InvalidBody);
    let cases = [
        (body(""), None),
        (body(r#","holder_label":"My phone","sig":"x""#), None),
        (body(r#","holder_label":null,"sig":null"#), None),
        (body(r#","holder_label":"""#), Some(InvalidName)),
        (body(r#","holder_label":" x""#), Some(InvalidName)),
        (body(r#","holder_label":"a\u202eb""#), Some(InvalidName)),
        (body(r#","holder_label":5"#), bad),
        (body(r#","sig":5"#), bad),
        (body(r#","holder_did":"did:sync:user:x""#), bad),
        (body(r#","surprise":1"#), bad),
        (body(r#","holder_type":"guest""#), bad),
        ("[]".to_owned(), bad),
        ("{}".to_owned(), bad),
        ("".to_owned(), bad),
        (r#"{"holder_type":"*"}"#.to_owned(), bad),
        (r#"{"holder_type":"admin"}"#.to_owned(), bad),
        (r#"{"holder_type":null}"#.to_owned(), bad),
        (r#"{"holder_type":"guest"}"#.to_owned(), bad),
        (r#"{"holder_type":"guest","holder_pubkey":null}"#.to_owned(), bad),
        (r#"{"holder_type":"guest","holder_pubkey":["x"]}"#.to_owned(), bad),
        (federated(""), None),
        (federated(r#","holder_did":"x","holder_pubkey":"x","holder_proof":"x""#), None),
        (federated(r#","holder_proof_issued_at_ms":-1"#), None),
        (federated(r#","holder_proof_issued_at_ms":null,"issuer_url":null"#), None),
        (federated(r#","holder_proof_issued_at_ms":1.5"#), bad),
        (federated(r#","holder_proof_issued_at_ms":"1""#), bad),
        (federated(r#","holder_proof_issued_at_ms":9223372036854775808"#), bad),
        (federated(r#","holder_label":"x""#), bad),
        (federated(r#","holder_did":{}"#), bad),
        (federated(r#","audience":"did:key:z""#), bad),
        (federated(r#","signer_key":"x""#), bad),
    ];
    for (text, expected) in cases {
        assert_eq!(code(Body::parse(text.as_bytes())), expected, "{text}");
    }
    let body = Body::parse(body(r#","sig":"abc","holder_label":"phone""#).as_bytes()).expect("a body");
    assert_eq!(body, Body { sig: Some("abc".into()), holder: guest(key(1).public(), Some("phone")) });
}

#[test]
fn a_redemption_is_one_commit_in_order() {
    let mut desk = Desk::new();
    let target = Some(Target::Thread("t".to_owned()));
    let id = desk.issue(Shape { target, bearer_ttl_seconds: Some(60), ..uses(1) });
    let (before, now) = (desk.kit.records.len(), desk.kit.now);
    let holder = key(1).public();
    let (did, token) = desk.redeem(&id, guest(holder, Some("My phone"))).expect("a redemption");
    let hash = Sha256::new().chain_update(id.as_bytes()).chain_update(holder.as_bytes()).finalize();
    assert_eq!(did, format!("did:sync:user:guest:{}", &HEXLOWER.encode(&hash)[..32]));
    let records = &desk.kit.records[before..];
    let shown: Vec<(&str, String)> = records
        .iter()
        .map(|s| {
            let kind = member(s, "event_kind").or(member(s, "kind")).expect("a kind");
            (s.record.thread.as_str(), kind)
        })
        .collect();
    let expected = [
        ("th_invites", "redeemed"),
        ("th_audit_invites", "redeemed"),
        ("th_service_accounts", "core.service_account.v1"),
        ("th_audit_tokens", "sa_created"),
        ("th_api_tokens", "core.api_token.v1"),
        ("th_audit_tokens", "token_minted"),
        ("th_invites", "exhausted"),
        ("th_audit_invites", "exhausted"),
    ];
    assert_eq!(shown, expected.map(|(thread, kind)| (thread, kind.to_owned())));
    let invite = desk.invite(&id);
    let ids: Vec<_> = records.iter().map(|s| s.record.id).collect();
    let parents: Vec<_> = records.iter().map(|s| s.record.parents.clone()).collect();
    let of = |n: usize| vec![ids[n]];
    let issued = vec![invite.record];
    let expected = [issued.clone(), of(0), of(0), of(2), of(2), of(4), issued, of(6)];
    assert_eq!(parents, expected);
    check_mirror(&records[0], &records[1]);
    check_mirror(&records[6], &records[7]);
    let until = spl_kernel::time::UnixMillis(now.0 + 60_000);
    assert_eq!(
        serde_json::to_value(fields(&records[0], &[])).expect("JSON"),
        serde_json::json!({
            "invite_id": id, "event_kind": "redeemed", "at": now.to_string(), "holder_type": "guest",
            "holder_did": did, "holder_pubkey": holder.base64url(), "holder_label": "My phone",
            "bearer_token_id": token.token_id.to_string(), "bearer_sa_id": token.service_account_id,
            "scopes": ["records:read", "records:write", "thread:t:read", "thread:t:write"],
            "expires_at": until.to_string(), "uses_remaining": 0,
        })
    );
    let account = desk.kit.world.accounts.get(&token.service_account_id).expect("an account");
    assert_eq!((account.origin, account.display_name.as_str()), (AccountOrigin::Invite, "My phone"));
    assert_eq!((account.invite_id.as_deref(), account.pair_id.as_deref()), (Some(id.as_str()), None));
    assert_eq!(account.actors.iter().map(|a| &**a).collect::<Vec<_>>(), [did.as_str()]);
    assert_eq!(
        (account.scopes.clone(), token.scopes.clone()),
        (invite.scopes.clone(), invite.scopes.clone())
    );
    assert_eq!(token.expires_at, Some(until));
    let text = token.text.as_ref().expect("a text").reveal().to_owned();
    assert_eq!(TokenId::of(&text), token.token_id);
    assert!(desk.kit.records.iter().all(|s| !s.record.body.contains(&text)), "the log keeps no token");
    assert!(desk.is_live(&token));
    let one = &invite.redemptions[0];
    assert_eq!((one.holder_type, one.signer.clone(), one.trust), (HolderType::Guest, None, None));
    assert_eq!(desk.kit.replayed().digest(), desk.kit.world.digest());
}

#[test]
fn an_account_is_named_after_its_device() {
    let labelled = |label: Option<&str>| Shape { device_label: label.map(str::to_owned), ..uses(9) };
    let cases = [
        (None, None, "Guest device"),
        (Some("tablet"), None, "tablet"),
        (Some("tablet"), Some("phone"), "phone"),
        (None, Some("phone"), "phone"),
    ];
    let mut desk = Desk::new();
    for (device_label, label, expected) in cases {
        let id = desk.issue(labelled(device_label));
        let (_, token) = desk.redeem(&id, guest(key(1).public(), label)).expect("a redemption");
        let account = desk.kit.world.accounts.get(&token.service_account_id).expect("an account");
        assert_eq!(account.display_name, expected);
    }
}

#[test]
fn a_key_redeems_an_invite_once_and_a_refusal_leaves_nothing() {
    let mut desk = Desk::new();
    let (one, other) = (desk.issue(uses(3)), desk.issue(uses(3)));
    let (first, token) = desk.redeem(&one, device(1)).expect("the first");
    let before = (desk.kit.records.len(), desk.kit.world.digest());
    assert_eq!(desk.redeem(&one, device(1)).err(), Some(Code::HolderExists));
    assert_eq!(desk.redeem(&one, guest(device_key(1), Some("other"))).err(), Some(Code::HolderExists));
    assert_eq!((desk.kit.records.len(), desk.kit.world.digest()), before, "no use is lost");
    // Not even where its account is gone.
    let end = spl_projections::Command::RevokeAccount {
        service_account_id: token.service_account_id.clone(),
        reason: None,
    };
    let alice = desk.alice.clone();
    desk.kit.run(end, &alice).expect("an end");
    assert_eq!(desk.redeem(&one, device(1)).err(), Some(Code::HolderExists));
    let (second, _) = desk.redeem(&other, device(1)).expect("another invite");
    assert_ne!(first, second, "one key on two invites is two holders");
    assert!(desk.redeem(&one, device(2)).is_ok());
}

#[test]
fn an_invite_ends_by_use_time_and_revocation_in_this_order() {
    type Case = (&'static str, u64, u64, bool, u64, Code, Reason, State);
    // Uses, redeemed so often, revoked, waited; what then happens.
    let past = 86_400_000;
    let cases: [Case; 9] = [
        ("one use", 1, 1, false, 0, Code::InviteExhausted, Reason::Exhausted, State::Redeemed),
        ("two uses", 2, 2, false, 0, Code::InviteExhausted, Reason::Exhausted, State::Exhausted),
        ("expired", 1, 0, false, past, Code::InviteExpired, Reason::Expired, State::Expired),
        ("one left", 2, 1, false, past, Code::InviteExpired, Reason::Expired, State::Expired),
        ("used, expired", 1, 1, false, past, Code::InviteExhausted, Reason::Exhausted, State::Redeemed),
        ("used up, expired", 2, 2, false, past, Code::InviteExhausted, Reason::Exhausted, State::Exhausted),
        ("revoked", 1, 0, true, 0, Code::InviteRevoked, Reason::Revoked, State::Revoked),
        ("used, revoked", 1, 1, true, 0, Code::InviteRevoked, Reason::Revoked, State::Revoked),
        ("revoked, expired", 2, 1, true, past, Code::InviteRevoked, Reason::Revoked, State::Revoked),
    ];
    for (name, max_uses, redeemed, revoked, waited, code, reason, state) in cases {
        let mut desk = Desk::new();
        let id = desk.issue(uses(max_uses));
        for n in 0..redeemed {
            desk.redeem(&id, device(n)).expect("a use");
        }
        if revoked {
            desk.revoke(&id);
        }
        desk.wait(waited);
        assert_eq!(desk.invite(&id).state(desk.kit.now), state, "{name}");
        let redeem = desk.redemption(&id, device(100));
        desk.refuses(redeem, code, reason, name);
        // The same for whom it is not even meant.
        let redeem = desk.redemption(&id, Holder::Federated(Box::default()));
        desk.refuses(redeem, code, reason, name);
    }
    let mut desk = Desk::new();
    let id = desk.issue(uses(1));
    desk.wait(past - 1);
    assert!(desk.redeem(&id, device(1)).is_ok(), "the last millisecond");
}

#[test]
fn holders_of_a_type_that_is_not_accepted_are_refused() {
    let mut desk = Desk::new();
    let accepting = |names: &[&str]| Shape { accepts: Accepts::parse(names.iter().copied()), ..uses(9) };
    let mismatch = (Code::HolderTypeMismatch, Reason::HolderTypeMismatch);
    let guests = desk.issue(accepting(&["guest"]));
    let federated = desk.issue(accepting(&["federated"]));
    let redeem = desk.redemption(&federated, device(1));
    desk.refuses(redeem, mismatch.0, mismatch.1, "a guest");
    // Whatever else is wrong with it.
    let redeem = desk.redemption(&guests, Holder::Federated(Box::default()));
    desk.refuses(redeem, mismatch.0, mismatch.1, "federated");
    let peer = super::Peer::new(5);
    let whole = peer.vouches(&desk, &guests, super::CAROL);
    let redeem = desk.redemption(&guests, whole);
    desk.refuses(redeem, mismatch.0, mismatch.1, "federated, with a good proof");
    for names in [&["*"][..], &["guest", "federated"], &["federated", "guest", "guest"], &["guest", "*"]] {
        assert_eq!(Accepts::parse(names.iter().copied()).expect("both").names(), ["guest", "federated"]);
    }
    for names in [&[][..], &["guests"], &["guest", ""], &["Guest"], &["**"]] {
        assert_eq!(Accepts::parse(names.iter().copied()), None, "{names:?}");
    }
}

#[test]
fn what_does_not_exist_is_not_found_and_not_recorded() {
    let mut desk = Desk::new();
    let before = desk.kit.records.len();
    let unknown = "inv_0000000000000000";
    assert_eq!(desk.redeem(unknown, device(1)).err(), Some(Code::InviteNotFound));
    let peer = super::Peer::new(5);
    let statement = peer.states(&desk, unknown, super::CAROL);
    assert_eq!(desk.redeem(unknown, claim(&statement, "")).err(), Some(Code::InviteNotFound));
    assert_eq!(desk.kit.records.len(), before);
}

#[test]
fn a_guests_key_must_be_one() {
    let text = |pubkey: &str| format!(r#"{{"holder_type":"guest","holder_pubkey":"{pubkey}"}}"#);
    for bad in super::signatures::bad_keys() {
        assert_eq!(code(Body::parse(text(&bad).as_bytes())), Some(InvalidBody), "{bad:?}");
    }
    let good = key(3).public();
    assert_eq!(PublicKey::from_base64url(&good.base64url()), Some(good));
    assert!(Body::parse(text(&good.base64url()).as_bytes()).is_ok());
}

#[test]
fn redeemers_get_what_the_invite_says_and_no_more() {
    let mut desk = Desk::new();
    for list in [&["admin"][..], &["records:read"], &["records:read", "namespace:team:read"]] {
        let id = desk.issue(Shape { scopes: Some(scopes(list)), ..uses(1) });
        let (did, token) = desk.redeem(&id, device(1)).expect("a redemption");
        assert_eq!(token.scopes, scopes(list));
        let grants = desk.kit.world.consent.iter().filter(|(_, grant)| grant.grantee == did);
        assert_eq!(grants.count(), 0, "no grant comes with it");
    }
}
