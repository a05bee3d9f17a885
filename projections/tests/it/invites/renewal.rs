//! What a redemption handed out renews itself, and ends with its invite or its pair.

use spl_kernel::time::UnixMillis;
use spl_projections::{
    Command,
    decision::{Issued, Outcome},
    invites::Shape,
    scope::Scope,
    tokens::Renew,
};

use super::{CAROL, Desk, Peer, device, open_to_all, uses};

pub(crate) fn renew(desk: &mut Desk, token: &Issued) -> Issued {
    let caller = desk.kit.admit(token.token_id, Scope::RecordsRead, None).expect("a live token");
    let renew = Renew { token_id: token.token_id, new_token_id: None };
    match desk.kit.run(Command::RenewToken(renew), &caller).expect("a renewal") {
        Outcome::Token { issued, .. } => issued,
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_bearer_has_its_lifetime_again_with_each_renewal() {
    let mut desk = Desk::new();
    let id = desk.issue(Shape { bearer_ttl_seconds: Some(60), ttl_seconds: Some(60), ..uses(2) });
    let (_, mut token) = desk.redeem(&id, device(1)).expect("a use");
    let first = token.token_id;
    for _ in 0..10 {
        assert_eq!(token.expires_at, Some(UnixMillis(desk.kit.now.0 + 60_000)));
        desk.wait(59_999);
        let next = renew(&mut desk, &token);
        assert!(!desk.is_live(&token) && desk.is_live(&next));
        assert_eq!(
            (next.scopes.clone(), &next.service_account_id),
            (token.scopes.clone(), &token.service_account_id)
        );
        token = next;
    }
    desk.wait(60_000);
    assert!(!desk.is_live(&token), "until nobody renews it");
    let one = &desk.invite(&id).redemptions[0];
    assert_eq!(one.token_id, first, "the redemption keeps its first");
    assert_eq!(desk.kit.replayed().digest(), desk.kit.world.digest());
}

#[test]
fn a_renewed_bearer_ends_with_its_invite() {
    let mut desk = Desk::new();
    let id = desk.issue(uses(2));
    let (_, token) = desk.redeem(&id, device(1)).expect("a use");
    let changed = desk.invite(&id).changed;
    let token = renew(&mut desk, &token);
    assert!(desk.invite(&id).changed > changed, "its row shows another token now");
    let token = renew(&mut desk, &token);
    assert_eq!(desk.revoke(&id), (false, 1, 1));
    assert!(!desk.is_live(&token));
}

#[test]
fn a_renewed_bearer_ends_with_its_pair() {
    let mut desk = Desk::new();
    let peer = Peer::new(1);
    desk.pair("pair_0000000000000000", &peer).expect("a pair");
    let id = desk.issue(open_to_all(9));
    let vouched = peer.vouches(&desk, &id, CAROL);
    let (_, token) = desk.redeem(&id, vouched).expect("a use");
    let token = renew(&mut desk, &token);
    desk.wait(1);
    let vouched = peer.vouches(&desk, &id, CAROL);
    let (_, second) = desk.redeem(&id, vouched).expect("another use");
    let (_, guest) = desk.redeem(&id, device(1)).expect("a guest");
    let second = renew(&mut desk, &second);
    assert_eq!(desk.unpair("pair_0000000000000000"), (false, 2, 2));
    assert!(!desk.is_live(&token) && !desk.is_live(&second));
    assert!(desk.is_live(&guest), "a guest came through no pair");
}

#[test]
fn what_a_row_shows_is_kept_in_the_order_of_its_changes() {
    let mut desk = Desk::new();
    let (one, two) = (desk.issue(uses(9)), desk.issue(uses(9)));
    let order = |desk: &Desk, after: u64| -> Vec<String> {
        desk.kit.world.invites.changed_after(after).map(|i| i.id.to_string()).collect()
    };
    assert_eq!(order(&desk, 0), [one.clone(), two.clone()]);
    let (_, token) = desk.redeem(&one, device(1)).expect("a use");
    assert_eq!(order(&desk, 0), [two.clone(), one.clone()]);
    desk.redeem(&two, device(1)).expect("a use");
    let before = desk.kit.world.folded_through;
    assert_eq!(order(&desk, before), Vec::<String>::new());
    renew(&mut desk, &token);
    assert_eq!(order(&desk, before), [one.as_str()]);
    let mint = spl_projections::tokens::Mint {
        service_account_id: token.service_account_id.clone(),
        scopes: None,
        env_tag: None,
        expires_in_seconds: None,
    };
    let (before, alice) = (desk.kit.world.folded_through, desk.alice.clone());
    desk.kit.run(Command::MintToken(mint), &alice).expect("a token");
    assert_eq!(order(&desk, before), [one.as_str()]);
    let end = Command::RevokeAccount { service_account_id: token.service_account_id, reason: None };
    let (before, alice) = (desk.kit.world.folded_through, desk.alice.clone());
    desk.kit.run(end, &alice).expect("an end");
    assert_eq!(order(&desk, before), [one.as_str()]);
    let newest: Vec<String> =
        desk.kit.world.invites.newest_before(u64::MAX).map(|i| i.id.to_string()).collect();
    assert_eq!(newest, [two.clone(), one.clone()]);
    let second = desk.invite(&two).sequence;
    let older: Vec<String> = desk.kit.world.invites.newest_before(second).map(|i| i.id.to_string()).collect();
    assert_eq!(older, [one.as_str()]);
    // What only time ends, in that order.
    let expiring = |desk: &Desk| -> Vec<String> {
        desk.kit.world.invites.expiring_from(desk.kit.now).map(|i| i.id.to_string()).collect()
    };
    let soon = desk.issue(Shape { ttl_seconds: Some(60), ..uses(1) });
    assert_eq!(expiring(&desk).first(), Some(&soon));
    assert_eq!(expiring(&desk).len(), 3);
    desk.redeem(&soon, device(1)).expect("the use");
    desk.revoke(&one);
    assert_eq!(expiring(&desk), [two]);
    assert_eq!(desk.kit.world.invites.len(), 3);
}
