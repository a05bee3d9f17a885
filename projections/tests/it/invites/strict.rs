//! What is closer to the letter than it looks.

use spl_kernel::{
    identity::encode,
    refusal::Code::{BadProof, DidClaimDenied},
};
use spl_projections::{
    Command,
    accounts::Update,
    invites::{Issue, Reason, Redeem},
};

use super::{CAROL, Desk, Peer, URL, claim, open_to_all};
use crate::kit::code;

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
