//! What is closer to the letter than it looks.

use spl_kernel::{
    identity::encode,
    refusal::Code::{BadProof, DidClaimDenied, InvalidBody, KeyUnknown},
};
use spl_projections::{
    Command,
    accounts::Update,
    authority::{Freed, Gate, Presented, Ticket},
    consent::{Access, Resource},
    invites::{Issue, Reason, Redeem, Shape, Target},
};

use super::{CAROL, Desk, Peer, URL, claim, device, fields, open_to_all, scopes};
use crate::kit::{ALICE, code};

/// Section 8: "`issuer_url` is our `public_url` (`BAD_PROOF`)". An address that the instance has given up may be
/// somebody else's by now, who is sent what was signed for it.
#[test]
fn an_address_that_was_given_up_is_not_ours() {
    let mut desk = Desk::new();
    let old = "https://old.example.com";
    let issue = Issue { shape: open_to_all(9), template_id: None, public_url: old.to_owned() };
    let id = desk.try_issue(issue).expect("an invite").0;
    let peer = Peer::new(1);
    let mut attestation = peer.states(&desk, &id, CAROL);
    attestation.issuer_url = old.to_owned();
    let holder = claim(&attestation, &encode(&peer.sign(&attestation)));
    let redeem = Redeem { public_url: URL.to_owned(), ..desk.redemption(&id, holder) };
    desk.refuses(redeem, BadProof, Reason::BadProof, "the address is URL by now");
}

/// Section 8: account routes refuse to list a redeemed DID *elsewhere*. Its own account may have it back.
#[test]
fn a_name_that_was_taken_off_its_own_account_can_be_put_back() {
    let mut desk = Desk::new();
    let id = desk.issue(open_to_all(9));
    let vouched = Peer::new(1).vouches(&desk, &id, CAROL);
    let (_, token) = desk.redeem(&id, vouched).expect("a redemption");
    let alice = desk.alice.clone();
    let mut list = |actors: &[&str]| {
        let update = Update {
            service_account_id: token.service_account_id.clone(),
            actors: Some(actors.iter().map(|a| (*a).to_owned()).collect()),
            ..Update::default()
        };
        code(desk.kit.run(Command::UpdateAccount(update), &alice))
    };
    assert_eq!(list(&["did:sync:user:other"]), None);
    assert_ne!(list(&[CAROL]), Some(DidClaimDenied));
}

/// Whoever looks at a name, or compares it carelessly, must not take it for another's.
#[test]
fn names_that_look_like_others_are_refused() {
    let mut desk = Desk::new();
    let id = desk.issue(open_to_all(100));
    desk.give("did:sync:user:Operator", Resource::Invites, Access::Read);
    let (peer, other) = (Peer::new(1), Peer::new(2));
    let vouched = peer.vouches(&desk, &id, CAROL);
    desk.redeem(&id, vouched).expect("a redemption");
    for alike in [
        "did:sync:user:Alice",
        "did:sync:user:%61lice",
        "did:sync:user:alice:",
        "did:sync:USER:alice",
        "did:sync:SYSTEM:engine",
        "did:sync:%73ystem:engine",
        "did:sync:user:Guest:00",
        "did:sync:instance",
        "did:sync:user:operator",
    ] {
        desk.wait(1);
        let vouched = peer.vouches(&desk, &id, alike);
        let redeem = desk.redemption(&id, vouched);
        desk.refuses(redeem, DidClaimDenied, Reason::DidClaimDenied, alike);
    }
    let upper = CAROL.replace("carol", "Carol");
    for signer in [&peer, &other] {
        desk.wait(1);
        let vouched = signer.vouches(&desk, &id, &upper);
        let redeem = desk.redemption(&id, vouched);
        desk.refuses(redeem, DidClaimDenied, Reason::DidClaimDenied, "the same name in another spelling");
    }
    assert!(desk.kit.world.accounts.is_named_here(ALICE));
}

/// On an open route nobody checks a claim: it says nothing of who did it.
#[test]
fn the_trail_names_nobody_who_was_only_claimed() {
    let mut desk = Desk::new();
    let id = desk.issue(open_to_all(9));
    let (holder, token) = desk.redeem(&id, device(1)).expect("a redemption");
    let ticket = |claimed: &str| Ticket {
        bearer: Presented::Token(token.token_id),
        local_proof: false,
        insecure: false,
        claimed: Some(claimed.to_owned()),
        gate: Gate { scope: None, freed: Freed::Always, takes_config: false },
    };
    for (claimed, by) in [(ALICE, holder.as_str()), (holder.as_str(), holder.as_str())] {
        let caller = desk.kit.world.admit(&ticket(claimed), desk.kit.now).expect("an open route");
        desk.wait(1);
        let redeem = desk.redemption(&id, device(desk.kit.now.0));
        desk.kit.run(Command::RedeemInvite(Box::new(redeem)), &caller).expect("redeemed");
        let told =
            desk.kit.records.iter().rev().find(|r| r.record.thread == "th_audit_invites").expect("a mirror");
        let told = fields(told, &[])["by"].to_string();
        assert!(told.contains(by) && (by == claimed || !told.contains(claimed)), "{told}");
    }
}

#[test]
fn what_nobody_could_use_is_not_granted() {
    let mut desk = Desk::new();
    let alice = desk.alice.clone();
    let mut issue = |shape: Shape| {
        let issue = Issue { shape, template_id: None, public_url: URL.to_owned() };
        code(desk.kit.run(Command::IssueInvite(issue), &alice))
    };
    for namespace in ["x/", "/x", "X", "a//b", "a/b/c/d/e", ""] {
        let target = Some(Target::Namespace(namespace.to_owned()));
        assert_eq!(issue(Shape { target, ..Shape::default() }), Some(InvalidBody), "{namespace}");
    }
    let grains = |names: &[&str]| Shape { scopes: Some(scopes(names)), ..Shape::default() };
    assert_eq!(issue(grains(&["thread:x:write"])), Some(InvalidBody));
    assert_eq!(issue(grains(&["records:write", "thread:x:write"])), None);
}

/// The ledger pins a key for one name: it does not speak past the ledger under another.
#[test]
fn a_pinned_key_speaks_under_its_own_name_only() {
    let mut desk = Desk::new();
    let id = desk.issue(open_to_all(9));
    let paired = Peer::named(1, "did:web:home.example.com");
    let bare = Peer::new(1);
    assert_eq!(bare.key.public(), paired.key.public());
    desk.pair("pair_0000000000000001", &paired).expect("a pair");
    for _ in 0..2 {
        let vouched = bare.vouches(&desk, &id, CAROL);
        let redeem = desk.redemption(&id, vouched);
        desk.refuses(redeem, KeyUnknown, Reason::KeyUnknown, "the key is pinned for another name");
        if desk.kit.world.pairs.get("pair_0000000000000001").expect("the pair").is_active() {
            desk.unpair("pair_0000000000000001");
        }
        desk.wait(1);
    }
}
