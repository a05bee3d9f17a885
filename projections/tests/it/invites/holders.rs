//! Who may be a federated holder: for each line of the rule, the impersonation that it stops.

use spl_kernel::{identity::encode, refusal::Code};
use spl_projections::{
    Command,
    accounts::{Create, Update},
    authority::Caller,
    consent::{Access, Resource, TakeBack},
    invites::{Reason, Redeem, Resolved, Trust},
};

use super::{CAROL, Desk, Peer, claim, device, key, open_to_all};
use crate::kit::{ALICE, BOB, code};

const ANY: &str = "did:sync:user:anybody";

/// A desk with an invite that many may redeem.
fn desk() -> (Desk, String) {
    let mut desk = Desk::new();
    let id = desk.issue(open_to_all(100));
    (desk, id)
}

fn denied(desk: &mut Desk, id: &str, peer: &Peer, holder: &str) {
    let claimed = peer.vouches(desk, id, holder);
    let redeem = desk.redemption(id, claimed);
    desk.refuses(redeem, Code::DidClaimDenied, Reason::DidClaimDenied, holder);
}

fn allowed(desk: &mut Desk, id: &str, peer: &Peer, holder: &str) -> spl_projections::decision::Issued {
    let claimed = peer.vouches(desk, id, holder);
    let (did, token) = desk.redeem(id, claimed).unwrap_or_else(|code| panic!("{holder}: {code:?}"));
    assert_eq!(did, holder);
    desk.wait(1);
    token
}

fn list(desk: &mut Desk, service_account_id: &str, actors: &[&str]) -> Option<Code> {
    let update = Update {
        service_account_id: service_account_id.to_owned(),
        actors: Some(actors.iter().map(|a| (*a).to_owned()).collect()),
        ..Update::default()
    };
    let alice = desk.alice.clone();
    code(desk.kit.run(Command::UpdateAccount(update), &alice))
}

fn create(actors: &[&str]) -> Command {
    let actors = actors.iter().map(|a| (*a).to_owned()).collect();
    Command::CreateAccount(Create { name: "taken over".to_owned(), actors, ..Create::default() })
}

#[test]
fn nobody_speaks_as_this_instance() {
    let (mut desk, id) = desk();
    let own = desk.own_did();
    denied(&mut desk, &id, &Peer::new(1), &own);
    // A ledger that somehow pins this instance's own name does not change that.
    let own = Peer { key: crate::kit::own_key(), did: own };
    denied(&mut desk, &id, &own, &own.did.clone());
}

#[test]
fn nobody_speaks_as_a_part_of_an_instance() {
    let (mut desk, id) = desk();
    let account = desk.admin.service_account_id.clone();
    let own = format!("did:sync:system:{account}");
    for name in ["did:sync:system:engine", "did:sync:system:local", "did:sync:system:x", &own] {
        denied(&mut desk, &id, &Peer::new(1), name);
    }
}

#[test]
fn nobody_speaks_as_an_instance() {
    let (mut desk, id) = desk();
    denied(&mut desk, &id, &Peer::new(1), "did:sync:instance:other");
    // Not even the one that signs.
    let peer = Peer::named(2, "did:sync:instance:far");
    desk.pair("pair_0000000000000000", &peer).expect("a pair");
    denied(&mut desk, &id, &peer, "did:sync:instance:far");
    allowed(&mut desk, &id, &peer, CAROL);
}

#[test]
fn nobody_speaks_as_a_guest() {
    let (mut desk, id) = desk();
    let (guest, _) = desk.redeem(&id, device(1)).expect("a guest");
    denied(&mut desk, &id, &Peer::new(1), &guest);
    denied(&mut desk, &id, &Peer::new(1), &format!("did:sync:user:guest:{}", "0".repeat(32)));
    denied(&mut desk, &id, &Peer::new(1), "did:sync:user:guest:me");
}

#[test]
fn a_did_key_speaks_for_itself_alone() {
    let (mut desk, id) = desk();
    let (one, other) = (Peer::new(1), Peer::new(2));
    denied(&mut desk, &id, &one, &other.did);
    denied(&mut desk, &id, &one, &format!("{}:more", one.did));
    allowed(&mut desk, &id, &one, &one.did.clone());
    // Not for a peer either.
    desk.pair("pair_0000000000000000", &one).expect("a pair");
    denied(&mut desk, &id, &one, &other.did);
}

#[test]
fn a_did_web_speaks_for_itself_alone() {
    let (mut desk, id) = desk();
    desk.set(r#"{"topic":"federation_did_web","enabled":true}"#);
    let peer = Peer::named(1, "did:web:a.example.net");
    let resolved = Resolved { did: peer.did.clone(), keys: vec![peer.key.public()] };
    let redeem = |desk: &Desk, holder: &str| Redeem {
        resolved: Some(resolved.clone()),
        ..desk.redemption(&id, peer.vouches(desk, &id, holder))
    };
    for other in ["did:web:b.example.net", "did:web:a.example.net:users:x", "did:web:a.example.net%3A1"] {
        let redeem = redeem(&desk, other);
        desk.refuses(redeem, Code::DidClaimDenied, Reason::DidClaimDenied, other);
    }
    let own = redeem(&desk, "did:web:a.example.net");
    assert!(desk.run_redeem(own).is_ok());
    assert_eq!(desk.invite(&id).redemptions[0].trust, Some(Trust::DidWeb));
    // A signer that is a key cannot name a host.
    denied(&mut desk, &id, &Peer::new(2), "did:web:c.example.net");
}

#[test]
fn what_is_no_did_is_nobody() {
    let (mut desk, id) = desk();
    let long = format!("did:sync:user:{}", "x".repeat(300));
    for name in ["", "bob", "did:", "did:sync:", "DID:sync:user:x", "did:sync:user:é", "did:a:b c", &long] {
        denied(&mut desk, &id, &Peer::new(1), name);
    }
}

#[test]
fn whoever_an_account_lists_is_somebody_of_this_instance() {
    let (mut desk, id) = desk();
    desk.kit.account(&desk.admin, "bob's", &["records:read"], &[ANY, BOB]);
    denied(&mut desk, &id, &Peer::new(1), BOB);
    denied(&mut desk, &id, &Peer::new(1), ANY);
    // Not for a peer either.
    let peer = Peer::new(2);
    desk.pair("pair_0000000000000000", &peer).expect("a pair");
    denied(&mut desk, &id, &peer, BOB);
}

#[test]
fn whoever_was_ever_listed_stays_somebody_of_this_instance() {
    let (mut desk, id) = desk();
    let account = desk.kit.account(&desk.admin, "bob's", &["records:read"], &[BOB]);
    assert_eq!(list(&mut desk, &account.service_account_id, &[ANY]), None);
    denied(&mut desk, &id, &Peer::new(1), BOB);
    let end = Command::RevokeAccount { service_account_id: account.service_account_id, reason: None };
    let alice = desk.alice.clone();
    desk.kit.run(end, &alice).expect("an end");
    denied(&mut desk, &id, &Peer::new(1), BOB);
    denied(&mut desk, &id, &Peer::new(1), ANY);
}

#[test]
fn whoever_holds_a_grant_or_ever_did_is_an_operator() {
    let (mut desk, id) = desk();
    let grant_id = desk.give(ANY, Resource::InviteTemplates, Access::Read);
    denied(&mut desk, &id, &Peer::new(1), ANY);
    let alice = desk.alice.clone();
    let take = TakeBack { grant_id, reason: None };
    desk.kit.run(Command::TakeBackGrant(take), &alice).expect("taken back");
    denied(&mut desk, &id, &Peer::new(1), ANY);
    let until = spl_kernel::time::UnixMillis(desk.kit.now.0 + 1);
    let give = spl_projections::consent::Give {
        grantee: CAROL.into(),
        resource: Resource::Invites,
        access: Access::Read,
        purpose: None,
        expires_at: Some(until),
    };
    desk.kit.run(Command::GiveGrant(give), &alice).expect("a grant");
    desk.kit.now = until;
    denied(&mut desk, &id, &Peer::new(1), CAROL);
    denied(&mut desk, &id, &Peer::new(1), ALICE);
}

#[test]
fn a_name_stays_with_the_signer_that_vouched_for_it_first() {
    let (mut desk, id) = desk();
    let other = desk.issue(open_to_all(9));
    let (first, second) = (Peer::new(1), Peer::new(2));
    let token = allowed(&mut desk, &id, &first, CAROL);
    denied(&mut desk, &id, &second, CAROL);
    denied(&mut desk, &other, &second, CAROL);
    desk.pair("pair_0000000000000000", &second).expect("a pair");
    denied(&mut desk, &id, &second, CAROL);
    // Nor once its account, or its invite, is gone.
    let end = Command::RevokeAccount { service_account_id: token.service_account_id, reason: None };
    let alice = desk.alice.clone();
    desk.kit.run(end, &alice).expect("an end");
    denied(&mut desk, &id, &second, CAROL);
    desk.revoke(&id);
    denied(&mut desk, &other, &second, CAROL);
    // The first may go on.
    allowed(&mut desk, &other, &first, CAROL);
    allowed(&mut desk, &other, &first, ANY);
}

#[test]
fn a_name_stays_with_the_key_that_vouched_for_it_first() {
    let (mut desk, id) = desk();
    desk.set(r#"{"topic":"federation_did_web","enabled":true}"#);
    let did = "did:web:a.example.net";
    let (before, after) = (Peer::named(1, did), Peer::named(2, did));
    let redeem = |desk: &Desk, peer: &Peer, holder: &str| Redeem {
        resolved: Some(Resolved { did: did.into(), keys: vec![key(1).public(), key(2).public()] }),
        ..desk.redemption(&id, peer.vouches(desk, &id, holder))
    };
    let first = redeem(&desk, &before, CAROL);
    desk.run_redeem(first).expect("the first");
    for holder in [CAROL, did] {
        if holder == did {
            let own = redeem(&desk, &before, did);
            desk.run_redeem(own).expect("itself");
        }
        let redeem = redeem(&desk, &after, holder);
        desk.refuses(redeem, Code::DidClaimDenied, Reason::DidClaimDenied, holder);
    }
    let fresh = redeem(&desk, &after, ANY);
    assert!(desk.run_redeem(fresh).is_ok(), "the key itself is good");
}

#[test]
fn a_name_that_an_operator_adds_to_a_redemptions_account_is_listed_like_any() {
    // An operator adds somebody else's name to a redemption's account: that is no redemption of that name.
    let (mut desk, id) = desk();
    let peer = Peer::new(1);
    let token = allowed(&mut desk, &id, &peer, CAROL);
    assert_eq!(list(&mut desk, &token.service_account_id, &[CAROL, ANY]), None);
    denied(&mut desk, &id, &peer, ANY);
    allowed(&mut desk, &id, &peer, CAROL);
}

#[test]
fn account_routes_do_not_list_who_redeemed() {
    let (mut desk, id) = desk();
    let token = allowed(&mut desk, &id, &Peer::new(1), CAROL);
    let (guest, guests) = desk.redeem(&id, device(1)).expect("a guest");
    let unseen = "did:sync:user:guest:00000000000000000000000000000000";
    let plain = desk.kit.account(&desk.admin, "plain", &["records:read"], &[ANY]).service_account_id;
    let taken = Some(Code::DidClaimDenied);
    let alice = desk.alice.clone();
    for name in [CAROL, guest.as_str(), unseen, "did:sync:user:guest:x"] {
        for caller in [&alice, &Caller::local()] {
            assert_eq!(code(desk.kit.run(create(&[name]), caller)), taken, "{name}");
            assert_eq!(code(desk.kit.run(create(&[ANY, name]), caller)), taken, "{name}");
        }
        assert_eq!(list(&mut desk, &plain, &[ANY, name]), taken, "{name}");
    }
    assert_eq!(list(&mut desk, &guests.service_account_id, &[&guest, CAROL]), taken, "another holder's");
    assert_eq!(list(&mut desk, &token.service_account_id, &[CAROL, &guest]), taken, "another holder's");
    // Its own stays, and may stand beside others.
    assert_eq!(list(&mut desk, &token.service_account_id, &[CAROL, ANY]), None);
    assert_eq!(list(&mut desk, &guests.service_account_id, &[&guest, ANY]), None);
    // Nor once the account is gone.
    desk.revoke(&id);
    for name in [CAROL, guest.as_str()] {
        assert_eq!(code(desk.kit.run(create(&[name]), &alice)), taken, "{name}");
    }
}

#[test]
fn a_first_account_does_not_list_who_redeemed() {
    let (mut desk, id) = desk();
    allowed(&mut desk, &id, &Peer::new(1), CAROL);
    let all: Vec<String> = desk.kit.world.accounts.iter().map(|a| a.id.to_string()).collect();
    for service_account_id in all {
        let end = Command::RevokeAccount { service_account_id, reason: None };
        desk.kit.run(end, &Caller::local()).expect("an end");
    }
    let again = |actors: &[&str]| {
        let first = crate::kit::first(actors);
        Command::Bootstrap(spl_projections::accounts::Bootstrap { insecure: true, ..first })
    };
    assert_eq!(code(desk.kit.run(again(&[CAROL]), &Caller::local())), Some(Code::DidClaimDenied));
    assert_eq!(code(desk.kit.run(again(&[ALICE]), &Caller::local())), None);
}

#[test]
fn a_signer_whose_pair_was_removed_is_unknown_until_it_is_paired_again() {
    let names = ["did:sync:instance:far", "did:web:a.example.net"].map(str::to_owned);
    for did in names.into_iter().chain([key(1).public().did()]) {
        let (mut desk, id) = desk();
        desk.set(r#"{"topic":"federation_did_web","enabled":true}"#);
        let peer = Peer::named(1, &did);
        let resolved = Some(Resolved { did: did.clone(), keys: vec![key(1).public()] });
        desk.pair("pair_0000000000000000", &peer).expect("a pair");
        let token = allowed(&mut desk, &id, &peer, CAROL);
        assert_eq!(desk.unpair("pair_0000000000000000"), (false, 1, 1));
        assert!(!desk.is_live(&token));
        for holder in [CAROL, ANY] {
            let redeem = desk.redemption(&id, peer.vouches(&desk, &id, holder));
            let redeem = Redeem { resolved: resolved.clone(), ..redeem };
            desk.refuses(redeem, Code::KeyUnknown, Reason::KeyUnknown, &did);
        }
        desk.pair("pair_0000000000000001", &peer).expect("paired again");
        desk.wait(1);
        let token = allowed(&mut desk, &id, &peer, CAROL);
        assert!(desk.is_live(&token));
        let one = desk.invite(&id).redemptions.back().expect("one").clone();
        assert_eq!(one.pair_id.as_deref(), Some("pair_0000000000000001"));
        assert_eq!(one.trust, Some(Trust::Paired));
        denied(&mut desk, &id, &Peer::new(2), CAROL);
    }
}

#[test]
fn what_is_claimed_is_recorded_as_far_as_a_record_keeps() {
    let (mut desk, id) = desk();
    let peer = Peer::new(1);
    let cases = [
        ("x".repeat(300), "x".repeat(256)),
        ("é".repeat(128), "é".repeat(128)),
        ("é".repeat(129), "é".repeat(128)),
        (format!("x{}", "é".repeat(128)), format!("x{}", "é".repeat(127))),
        (String::new(), String::new()),
    ];
    for (sent, kept) in cases {
        let mut attestation = peer.states(&desk, &id, &sent);
        attestation.signer_instance_did = sent.clone();
        let redeem = desk.redemption(&id, claim(&attestation, &encode(&[0; 64])));
        desk.refuses(redeem, Code::KeyUnknown, Reason::KeyUnknown, &sent);
        let event = &desk.kit.records[desk.kit.records.len() - 2];
        for member in ["holder_did", "signer_instance_did"] {
            assert_eq!(super::member(event, member).as_deref(), Some(kept.as_str()));
        }
    }
}
