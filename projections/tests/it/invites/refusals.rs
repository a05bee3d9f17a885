//! What refusals leave: one event each, up to a bound in an hour.

use spl_kernel::refusal::Code;
use spl_projections::{
    Command,
    authority::Caller,
    decision::Outcome,
    invites::{Claim, Holder, Reason, Redeem},
};

use super::{CAROL, Desk, Peer, check_mirror, device, fields, open_to_all, uses};

/// Refuses once more; says whether that was recorded.
fn refuse(desk: &mut Desk, redeem: &Redeem) -> bool {
    let before = desk.kit.records.len();
    let outcome = desk.kit.run(Command::RedeemInvite(Box::new(redeem.clone())), &Caller::nobody());
    let Ok(Outcome::RedeemRefused { invite_id, uncounted, .. }) = outcome else { panic!("{outcome:?}") };
    assert_eq!(invite_id, redeem.invite_id);
    let written = desk.kit.records.len() - before;
    assert_eq!(written, if uncounted.is_none() { 2 } else { 0 });
    uncounted.is_none()
}

fn nothing() -> Holder {
    Holder::Federated(Box::new(Claim { holder_did: Some(CAROL.into()), ..Claim::default() }))
}

#[test]
fn the_thousand_and_first_in_an_hour_is_only_counted() {
    let mut desk = Desk::new();
    let id = desk.issue(open_to_all(9));
    let redeem = desk.redemption(&id, nothing());
    let hour = 3_600_000;
    for n in 0..1000 {
        assert!(refuse(&mut desk, &redeem), "{n}");
        desk.wait(1);
    }
    let digest = desk.kit.world.digest();
    for n in 0..5 {
        assert!(!refuse(&mut desk, &redeem), "{n}");
    }
    assert_eq!(desk.kit.world.digest(), digest, "nothing of them is state");
    // Other reasons and other invites have hours of their own.
    let peer = Peer::new(1);
    let stale = peer.vouches(&desk, &id, CAROL);
    let late = Redeem { clock_is_behind: true, ..desk.redemption(&id, stale) };
    assert!(refuse(&mut desk, &late));
    let other = desk.issue(open_to_all(9));
    let elsewhere = Redeem { invite_id: other, ..redeem.clone() };
    assert!(refuse(&mut desk, &elsewhere));
    // A good one is redeemed all the same.
    let good = peer.vouches(&desk, &id, CAROL);
    assert!(desk.redeem(&id, good).is_ok());
    // The bound is state, and comes back with it.
    desk.kit.world = desk.kit.replayed();
    assert!(!refuse(&mut desk, &redeem));
    // The hour began with the first of them: a thousand waits of a millisecond ago.
    desk.wait(hour - 1000 - 1);
    assert!(!refuse(&mut desk, &redeem), "the last millisecond of the hour");
    desk.wait(1);
    assert!(refuse(&mut desk, &redeem), "the hour is over");
    // And the next thousand again.
    for n in 1..1000 {
        assert!(refuse(&mut desk, &redeem), "{n}");
    }
    assert!(!refuse(&mut desk, &redeem));
    assert_eq!(desk.kit.replayed().digest(), desk.kit.world.digest());
}

#[test]
fn what_was_counted_is_one_event() {
    let mut desk = Desk::new();
    let id = desk.issue(uses(9));
    let before = desk.kit.records.len();
    for reason in Reason::ALL {
        let note = |invite_id: &str| Command::NoteRefusedRedeems {
            invite_id: invite_id.to_owned(),
            reason,
            count: 7,
        };
        desk.kit.run(note(&id), &Caller::nobody()).expect("noted");
        desk.kit.run(note("inv_0000000000000000"), &Caller::nobody()).expect("nothing to note");
        let [event, mirror] = &desk.kit.records[desk.kit.records.len() - 2..] else { panic!("two") };
        check_mirror(event, mirror);
        assert_eq!(
            serde_json::to_value(fields(event, &[])).expect("JSON"),
            serde_json::json!({
                "invite_id": id, "event_kind": "refused", "at": desk.kit.now.to_string(),
                "refusal_reason": reason.as_str(), "count": 7,
            })
        );
    }
    assert_eq!(desk.kit.records.len() - before, 2 * Reason::ALL.len());
    // It does not count as one of the thousand.
    let redeem = desk.redemption(&id, nothing());
    for n in 0..1000 {
        assert!(refuse(&mut desk, &redeem), "{n}");
        if n % 250 == 0 {
            let note = Command::NoteRefusedRedeems {
                invite_id: id.clone(),
                reason: Reason::HolderTypeMismatch,
                count: 1,
            };
            desk.kit.run(note, &Caller::nobody()).expect("noted");
        }
    }
    assert!(!refuse(&mut desk, &redeem));
}

#[test]
fn the_reasons_are_closed() {
    let names: Vec<&str> = Reason::ALL.iter().map(|reason| reason.as_str()).collect();
    let listed = "expired revoked exhausted holder_type_mismatch freshness_violation key_unknown bad_proof did_claim_denied";
    assert_eq!(names, listed.split(' ').collect::<Vec<_>>());
}

#[test]
fn a_guests_refusal_names_nobody() {
    let mut desk = Desk::new();
    let id = desk.issue(uses(1));
    desk.redeem(&id, device(1)).expect("the use");
    let redeem = desk.redemption(&id, super::guest(super::key(2).public(), Some("secret laptop")));
    desk.refuses(redeem, Code::InviteExhausted, Reason::Exhausted, "used up");
    let event = &desk.kit.records[desk.kit.records.len() - 2];
    assert_eq!(
        serde_json::to_value(fields(event, &[])).expect("JSON"),
        serde_json::json!({
            "invite_id": id, "event_kind": "refused", "at": desk.kit.now.to_string(),
            "refusal_reason": "exhausted", "holder_type": "guest",
        })
    );
}

#[test]
fn a_redeemer_with_a_token_is_named_as_the_one_who_did_it() {
    let mut desk = Desk::new();
    let id = desk.issue(uses(9));
    let alice = desk.alice.clone();
    for holder in [device(1), nothing()] {
        let redeem = desk.redemption(&id, holder);
        desk.kit.run(Command::RedeemInvite(Box::new(redeem)), &alice).expect("decided");
        let last = desk.kit.records.last().expect("a record");
        let by = fields(last, &[]).remove("by").expect("somebody");
        assert_eq!(by["token_id"], desk.admin.token_id.to_string());
    }
}
