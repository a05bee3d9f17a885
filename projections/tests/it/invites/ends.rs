//! Taking back: one invite, many at once, and all that an older log brought back.

use spl_kernel::refusal::Code;
use spl_projections::{
    Command,
    authority::Caller,
    consent::{Access, Resource},
    decision::Outcome,
    invites::{BulkFilter, BulkRevoke, Revoke, Shape, State},
    tokens::Mint,
};

use super::{CAROL, Desk, Peer, check_mirror, device, fields, member, open_to_all, scopes, uses};
use crate::kit::{BOB, code};

fn bulk(desk: &mut Desk, filter: BulkFilter) -> (Vec<String>, usize) {
    let alice = desk.alice.clone();
    let bulk = BulkRevoke { filter, reason: Some("tidy".into()) };
    match desk.kit.run(Command::BulkRevoke(bulk), &alice).expect("closed") {
        Outcome::InvitesClosed { invite_ids, remaining } => (invite_ids, remaining),
        other => panic!("{other:?}"),
    }
}

#[test]
fn revoking_an_invite_ends_all_that_came_of_it() {
    let mut desk = Desk::new();
    let (id, other) = (desk.issue(open_to_all(9)), desk.issue(uses(9)));
    let (_, one) = desk.redeem(&id, device(1)).expect("one");
    let (_, two) = desk.redeem(&id, device(2)).expect("two");
    let vouched = Peer::new(1).vouches(&desk, &id, CAROL);
    let (_, three) = desk.redeem(&id, vouched).expect("three");
    let (_, elsewhere) = desk.redeem(&other, device(1)).expect("elsewhere");
    let alice = desk.alice.clone();
    // One account has a second token, another is gone already.
    let mint = Mint {
        service_account_id: one.service_account_id.clone(),
        scopes: None,
        env_tag: None,
        expires_in_seconds: None,
    };
    let Ok(Outcome::Token { issued: second, .. }) = desk.kit.run(Command::MintToken(mint), &alice) else {
        panic!("a token")
    };
    let gone = Command::RevokeAccount { service_account_id: two.service_account_id.clone(), reason: None };
    desk.kit.run(gone, &alice).expect("an end");
    let before = desk.kit.records.len();
    assert_eq!(desk.revoke(&id), (false, 2, 3));
    let records = &desk.kit.records[before..];
    assert_eq!(records.len(), 2 + 2 * 2);
    check_mirror(&records[0], &records[1]);
    assert_eq!(records[0].record.parents, [desk.invite(&id).record]);
    assert_eq!(
        serde_json::to_value(fields(&records[0], &["by"])).expect("JSON"),
        serde_json::json!({
            "invite_id": id, "event_kind": "revoked", "at": desk.kit.now.to_string(),
            "revoker_actor": crate::kit::ALICE, "revoker_reason": "lost", "cause": "operator",
            "bearers_revoked": 3,
        })
    );
    let ended: Vec<String> =
        records[2..].iter().step_by(2).filter_map(|s| member(s, "service_account_id")).collect();
    assert_eq!(ended, [one.service_account_id.clone(), three.service_account_id.clone()]);
    assert!(records[2..].iter().all(|s| member(s, "cause").as_deref() == Some("invite_revoked")));
    for token in [&one, &second, &two, &three] {
        assert!(!desk.is_live(token));
    }
    assert!(desk.is_live(&elsewhere));
    // Once more: nothing.
    let before = desk.kit.records.len();
    assert_eq!(desk.revoke(&id), (true, 0, 0));
    assert_eq!(desk.kit.records.len(), before);
    let unknown = Revoke { invite_id: "inv_0000000000000000".into(), reason: None };
    assert_eq!(code(desk.kit.run(Command::RevokeInvite(unknown), &alice)), Some(Code::InviteNotFound));
    assert_eq!(desk.kit.replayed().digest(), desk.kit.world.digest());
}

#[test]
fn live_tokens_are_counted_not_dead_ones() {
    let mut desk = Desk::new();
    let id = desk.issue(Shape { bearer_ttl_seconds: Some(60), ..uses(9) });
    let (_, early) = desk.redeem(&id, device(1)).expect("one");
    desk.wait(60_000);
    let (_, late) = desk.redeem(&id, device(2)).expect("two");
    assert!(!desk.is_live(&early) && desk.is_live(&late));
    assert_eq!(desk.revoke(&id), (false, 2, 1));
    assert!(desk.kit.world.accounts.get(&early.service_account_id).is_some_and(|a| !a.is_alive()));
}

#[test]
fn what_is_closed_in_bulk_lives_on_until_it_is_revoked() {
    let mut desk = Desk::new();
    let id = desk.issue(uses(2));
    let (_, one) = desk.redeem(&id, device(1)).expect("one");
    let (_, two) = desk.redeem(&id, device(2)).expect("two");
    let before = desk.kit.records.len();
    assert_eq!(bulk(&mut desk, BulkFilter::Exhausted), (vec![id.clone()], 0));
    let [event, mirror] = &desk.kit.records[before..] else { panic!("an event and its mirror") };
    check_mirror(event, mirror);
    let closed = fields(event, &["by", "at"]);
    assert_eq!(
        serde_json::to_value(closed).expect("JSON"),
        serde_json::json!({
            "invite_id": id, "event_kind": "revoked", "revoker_actor": crate::kit::ALICE,
            "revoker_reason": "tidy", "cause": "bulk_exhausted", "bearers_revoked": 0,
        })
    );
    let at = desk.kit.now;
    assert_eq!(desk.invite(&id).revoked_at, Some(at));
    assert!(desk.is_live(&one) && desk.is_live(&two), "bearers live on");
    assert_eq!(bulk(&mut desk, BulkFilter::Exhausted), (vec![], 0));
    desk.wait(5);
    assert_eq!(desk.revoke(&id), (false, 2, 2), "they can still be ended");
    assert_eq!(desk.invite(&id).revoked_at, Some(at), "it was closed then");
    assert!(!desk.is_live(&one) && !desk.is_live(&two));
    assert_eq!(desk.revoke(&id), (true, 0, 0));
    // One whose accounts are all gone has nothing left to end.
    let id = desk.issue(uses(2));
    for n in 0..2 {
        let (_, token) = desk.redeem(&id, device(n)).expect("a use");
        let end = Command::RevokeAccount { service_account_id: token.service_account_id, reason: None };
        let alice = desk.alice.clone();
        desk.kit.run(end, &alice).expect("an end");
    }
    bulk(&mut desk, BulkFilter::Exhausted);
    assert_eq!(desk.revoke(&id), (true, 0, 0));
}

#[test]
fn bulk_closes_what_is_in_that_state_the_oldest_first() {
    let mut desk = Desk::new();
    let short = |max_uses| Shape { ttl_seconds: Some(60), ..uses(max_uses) };
    let untouched = desk.issue(short(1));
    let half = desk.issue(short(2));
    let redeemed = desk.issue(short(1));
    let spent = desk.issue(short(2));
    let revoked = desk.issue(short(3));
    let active = desk.issue(uses(1));
    desk.redeem(&half, device(1)).expect("a use");
    desk.redeem(&redeemed, device(1)).expect("a use");
    desk.redeem(&spent, device(1)).expect("a use");
    desk.redeem(&spent, device(2)).expect("a use");
    desk.revoke(&revoked);
    assert_eq!(bulk(&mut desk, BulkFilter::Expired), (vec![], 0), "not yet");
    desk.wait(59_999);
    assert_eq!(bulk(&mut desk, BulkFilter::Expired), (vec![], 0), "the last millisecond");
    desk.wait(1);
    assert_eq!(bulk(&mut desk, BulkFilter::Expired), (vec![untouched.clone(), half.clone()], 0));
    assert_eq!(bulk(&mut desk, BulkFilter::Expired), (vec![], 0));
    assert_eq!(bulk(&mut desk, BulkFilter::Exhausted), (vec![spent.clone()], 0));
    let states = [
        (&untouched, State::Revoked),
        (&half, State::Revoked),
        (&redeemed, State::Redeemed),
        (&spent, State::Revoked),
        (&revoked, State::Revoked),
        (&active, State::Active),
    ];
    for (id, state) in states {
        assert_eq!(desk.invite(id).state(desk.kit.now), state);
    }
    for filter in [BulkFilter::Expired, BulkFilter::Exhausted] {
        assert_eq!(BulkFilter::parse(filter.as_str()), Some(filter));
    }
    for name in ["", "active", "redeemed", "revoked", "Expired"] {
        assert_eq!(BulkFilter::parse(name), None, "{name}");
    }
}

#[test]
fn an_operators_account_that_an_invite_made_is_for_guardians_to_end() {
    let mut desk = Desk::new();
    let id = desk.issue(Shape { scopes: Some(scopes(&["admin"])), ..uses(2) });
    let (did, token) = desk.redeem(&id, device(1)).expect("a use");
    desk.give(&did, Resource::Invites, Access::Write);
    let other = desk.kit.account(&desk.admin, "bob's", &["admin"], &[BOB]);
    desk.give(BOB, Resource::Invites, Access::Write);
    let bob = desk.kit.admin(&other);
    let revoke = || Command::RevokeInvite(Revoke { invite_id: id.clone(), reason: None });
    assert_eq!(code(desk.kit.run(revoke(), &bob)), Some(Code::ConsentDenied));
    assert!(desk.is_live(&token));
    assert_eq!(desk.revoke(&id), (false, 1, 1));
}

#[test]
fn the_last_admin_is_not_ended_with_its_invite() {
    let mut desk = Desk::new();
    let id = desk.issue(Shape { scopes: Some(scopes(&["admin"])), ..uses(2) });
    let (did, token) = desk.redeem(&id, device(1)).expect("a use");
    for resource in Resource::ALL {
        desk.give(&did, resource, Access::Write);
    }
    let guest = desk.kit.admin(&token);
    let first =
        Command::RevokeAccount { service_account_id: desk.admin.service_account_id.clone(), reason: None };
    desk.kit.run(first, &guest).expect("one is left");
    let revoke = || Command::RevokeInvite(Revoke { invite_id: id.clone(), reason: None });
    assert_eq!(code(desk.kit.run(revoke(), &guest)), Some(Code::LastAdmin));
    assert!(desk.is_live(&token) && desk.invite(&id).revoked_at.is_none(), "nothing changed");
}

fn end_tokens(desk: &mut Desk, most: usize) -> Vec<String> {
    let before = desk.kit.records.len();
    let command = Command::EndTokens { keep: Some(desk.admin.token_id), most };
    desk.kit.run(command, &Caller::nobody()).expect("ended");
    desk.kit.records[before..].iter().step_by(2).filter_map(|s| member(s, "kind")).collect()
}

#[test]
fn after_an_older_log_came_back_no_open_invite_is_left() {
    let mut desk = Desk::new();
    let short = desk.issue(Shape { ttl_seconds: Some(60), ..uses(1) });
    let used = desk.issue(uses(1));
    let (_, token) = desk.redeem(&used, device(1)).expect("a use");
    let (_, kept) = (desk.admin.token_id, desk.admin.service_account_id.clone());
    let revoked = desk.issue(uses(1));
    desk.revoke(&revoked);
    desk.wait(60_000);
    let open: Vec<String> = (0..3).map(|_| desk.issue(uses(2))).collect();
    let (_, second) = desk.redeem(&open[0], device(1)).expect("a use");
    let invite = "core.invite.event.v1";
    let token_ended = "core.api_token.revocation.v1";
    // Bounded, the invites first.
    assert_eq!(end_tokens(&mut desk, 2), [invite, invite]);
    assert_eq!(end_tokens(&mut desk, 2), [invite, token_ended]);
    assert_eq!(end_tokens(&mut desk, 2), [token_ended]);
    assert_eq!(end_tokens(&mut desk, 2), Vec::<String>::new());
    for id in &open {
        assert_eq!(desk.invite(id).state(desk.kit.now), State::Revoked);
        assert_eq!(desk.redeem(id, device(7)).err(), Some(Code::InviteRevoked));
    }
    assert_eq!(desk.invite(&short).state(desk.kit.now), State::Expired);
    assert_eq!(desk.invite(&used).state(desk.kit.now), State::Redeemed);
    assert!(!desk.is_live(&token) && !desk.is_live(&second));
    assert!(desk.kit.world.accounts.get(&kept).is_some_and(|a| a.is_alive()));
    assert!(desk.is_live(&desk.admin));
    let ends: Vec<_> = desk.kit.records.iter().filter(|s| member(s, "cause").is_some()).collect();
    let last = ends.iter().rfind(|s| s.record.thread == "th_invites").expect("an end");
    assert_eq!(member(last, "revoker_actor").as_deref(), Some("did:sync:system:engine"));
    assert_eq!(member(last, "cause").as_deref(), Some("operator"));
    assert!(member(last, "revoker_reason").is_some_and(|reason| reason.contains("older")));
    assert_eq!(desk.kit.replayed().digest(), desk.kit.world.digest());
}

#[test]
fn what_takes_access_away_is_never_put_off() {
    let revoke = Command::RevokeInvite(Revoke { invite_id: String::new(), reason: None });
    let bulk = Command::BulkRevoke(BulkRevoke { filter: BulkFilter::Expired, reason: None });
    let unpair = spl_projections::pairs::Unpair { pair_id: String::new(), reason: None };
    for command in [revoke, bulk, Command::Unpair(unpair), Command::EndTokens { keep: None, most: 1 }] {
        assert!(command.takes_away() && !command.can_wait(), "{command:?}");
    }
    let note = Command::NoteRefusedRedeems {
        invite_id: String::new(),
        reason: spl_projections::invites::Reason::BadProof,
        count: 1,
    };
    assert!(note.can_wait() && !note.takes_away());
    let desk = Desk::new();
    let redeem = Command::RedeemInvite(Box::new(desk.redemption("", device(1))));
    assert!(!redeem.can_wait() && !redeem.takes_away());
}
