//! What a redemption is refused with, and what is recorded of it.

use serde_json::{Value, json};

use super::{
    kit::{Asks as _, Desk, Link, as_guest, key},
    model::explains,
};
use crate::access::kit::refuses_with_hint;

/// The events of an invite, newest first, as operators are shown them.
fn events(desk: &Desk, link: &Link) -> Vec<Value> {
    let all = desk.admin.lists("/v1/invites/audit");
    all.into_iter().filter(|event| event["invite_id"] == link.id).collect()
}

fn refused(desk: &Desk, link: &Link) -> Vec<String> {
    let events = events(desk, link).into_iter().filter(|e| e["event_kind"] == "refused");
    events.map(|e| e["refusal_reason"].as_str().expect("a reason").to_owned()).collect()
}

#[test]
fn a_spent_invite_is_exhausted() {
    let desk = Desk::memory();
    for uses in [1, 2] {
        let link = desk.issue(&json!({ "max_uses": uses }));
        let tokens: Vec<_> = (0..uses).map(|_| desk.guest(&link)).collect();
        let anyone = desk.node.anyone();
        refuses_with_hint(link.redeem(&anyone, &key()), 410, "INVITE_EXHAUSTED");
        assert_eq!(refused(&desk, &link), ["exhausted"]);
        assert_eq!(desk.row(&link.id)["state"], if uses == 1 { "redeemed" } else { "exhausted" });
        let preview = anyone.reads(&link.preview()).is(200).json();
        assert_eq!((&preview["uses_remaining"], &preview["revoked"]), (&json!(0), &json!(false)));
        let newest = &events(&desk, &link)[0];
        assert_eq!((&newest["event_kind"], &newest["holder_type"]), (&json!("refused"), &json!("guest")));
        assert!(newest.get("by").is_none() && newest.get("holder_did").is_none(), "{newest}");
        assert!(tokens.iter().all(|token| desk.lives(token)));
    }
}

#[test]
fn a_revoked_invite_is_revoked_whatever_else_it_was() {
    let desk = Desk::memory();
    let (open, spent) = (desk.issue(&json!({})), desk.issue(&json!({})));
    let bearer = desk.guest(&spent);
    for (link, bearers) in [(&open, 0), (&spent, 1)] {
        let answer = desk.revoke(&link.id);
        assert_eq!((&answer["status"], &answer["bearers_revoked"]), (&json!("revoked"), &json!(bearers)));
        assert_eq!(answer["accounts_revoked"], bearers);
        assert!(answer["record_id"].is_string(), "{answer}");
        let head = desk.admin.head();
        let again = desk.revoke(&link.id);
        assert_eq!((&again["status"], &again["bearers_revoked"]), (&json!("already_revoked"), &json!(0)));
        assert_eq!(desk.admin.head(), head, "what is revoked is not revoked again");
        refuses_with_hint(link.redeem(&desk.node.anyone(), &key()), 410, "INVITE_REVOKED");
        assert_eq!(refused(&desk, link), ["revoked"]);
        let row = desk.row(&link.id);
        assert_eq!(row["state"], "revoked");
        assert!(row["revoked_at"].is_string() && row.get("redirect_url").is_none(), "{row}");
        let preview = desk.node.anyone().reads(&link.preview()).is(200).json();
        assert_eq!((&preview["state"], &preview["revoked"]), (&json!("revoked"), &json!(true)));
    }
    assert!(!desk.lives(&bearer));
    explains(&desk, &[bearer]);
}

#[test]
fn a_revocation_says_why() {
    let desk = Desk::memory();
    let link = desk.issue(&json!({ "device_label": "d", "notes": "n" }));
    let bearer = desk.guest(&link);
    let at = format!("/v1/invites/{}/revoke", link.id);
    let done = desk.admin.sends(&at, &json!({ "reason": "lost the phone" })).is(200).json();
    let log = desk.log();
    let event = log.iter().find(|r| r["id"] == done["record_id"]).expect("a record");
    let body = &event["body"];
    assert_eq!(body["revoker_reason"], "lost the phone");
    assert_eq!(body["revoker_actor"], super::kit::ADMIN);
    assert_eq!((&body["cause"], &body["bearers_revoked"]), (&json!("operator"), &json!(1)));
    assert_eq!(body["by"]["token_id"], desk.token.id);
    let commit: Vec<&Value> = log.iter().filter(|r| r["created_at"] == event["created_at"]).collect();
    let ended = commit.iter().find(|r| r["body"]["kind"] == "core.service_account.revocation.v1");
    let ended = &ended.expect("the account ends in the same commit")["body"];
    assert_eq!(ended["service_account_id"], bearer.account);
    assert_eq!((&ended["cause"], &ended["tokens_revoked"]), (&json!("invite_revoked"), &json!(1)));
    let fed = &events(&desk, &link)[0];
    assert_eq!((&fed["device_label"], &fed["notes"]), (&json!("d"), &json!("n")));
    assert_eq!(fed["source_record"], done["record_id"]);
}

#[test]
fn a_key_redeems_an_invite_once_and_a_second_try_leaves_no_trace() {
    let desk = Desk::memory();
    let (one, other) = (desk.issue(&json!({ "max_uses": 3 })), desk.issue(&json!({})));
    let (anyone, own) = (desk.node.anyone(), key());
    let first = one.redeem(&anyone, &own).is(200).json();
    let head = desk.admin.head();
    refuses_with_hint(one.redeem(&anyone, &own), 409, "HOLDER_EXISTS");
    assert_eq!(desk.admin.head(), head);
    // On another invite the same key is another guest.
    let second = other.redeem(&anyone, &own).is(200).json();
    assert_ne!(first["actor_did"], second["actor_did"]);
    // Its account is gone, and the key has been used all the same.
    let account = first["service_account_id"].as_str().expect("an id");
    desk.admin.delete(&format!("/v1/service-accounts/{account}")).is(200);
    one.redeem(&anyone, &own).refuses(409, "HOLDER_EXISTS");
    // What an invite is comes before who asks.
    desk.revoke(&one.id);
    one.redeem(&anyone, &own).refuses(410, "INVITE_REVOKED");
}

#[test]
fn an_invite_is_for_the_holders_that_it_names() {
    let desk = Desk::memory();
    for (accepted, sent) in
        [("guest", json!({ "holder_type": "federated" })), ("federated", as_guest(&key()))]
    {
        let link = desk.issue(&json!({ "accept_holder_types": [accepted] }));
        let reply = desk.node.anyone().sends(&link.redeem_at(), &sent);
        refuses_with_hint(reply, 403, "HOLDER_TYPE_MISMATCH");
        assert_eq!(refused(&desk, &link), ["holder_type_mismatch"]);
        assert_eq!(desk.row(&link.id)["uses_remaining"], 1);
    }
    let both = desk.issue(&json!({ "accept_holder_types": ["federated", "guest"], "max_uses": 2 }));
    desk.guest(&both);
    let reply = desk.node.anyone().sends(&both.redeem_at(), &json!({ "holder_type": "federated" }));
    refuses_with_hint(reply, 403, "BAD_PROOF");
}

#[test]
fn a_claim_is_recorded_as_made_and_cut() {
    let desk = Desk::memory();
    let link = desk.issue(&json!({ "accept_holder_types": ["guest"] }));
    let long = format!("did:sync:user:{}", "é".repeat(1000));
    let claim = json!({ "holder_type": "federated", "holder_did": long, "signer_instance_did": "<b>\u{0}" });
    desk.node.anyone().sends(&link.redeem_at(), &claim).refuses(403, "HOLDER_TYPE_MISMATCH");
    let event = &events(&desk, &link)[0];
    let kept = event["holder_did"].as_str().expect("a claim");
    assert!((254..=256).contains(&kept.len()) && long.starts_with(kept), "{event}");
    assert_eq!(event["signer_instance_did"], "<b>\u{0}");
    // Of what does not exist nothing is recorded.
    let head = desk.admin.head();
    let nowhere = "/v1/invites/inv_0000000000000000/redeem?sig=x";
    desk.node.anyone().sends(nowhere, &as_guest(&key())).refuses(404, "INVITE_NOT_FOUND");
    assert_eq!(desk.admin.head(), head);
}

#[test]
fn bulk_revocation_closes_what_is_spent_and_leaves_bearers_alone() {
    let desk = Desk::memory();
    let links: Vec<Link> = [1, 2, 2, 3].iter().map(|uses| desk.issue(&json!({ "max_uses": uses }))).collect();
    let bearers: Vec<_> = [0, 1, 1, 2, 2, 3].iter().map(|at: &usize| desk.guest(&links[*at])).collect();
    let head = desk.admin.head();
    let bulk = |filter: &str| {
        let body = json!({ "filter": filter, "reason": "tidy" });
        desk.admin.sends("/v1/invites/bulk-revoke", &body).is(200).json()
    };
    let none = bulk("expired");
    assert_eq!((&none["revoked_count"], &none["invite_ids"]), (&json!(0), &json!([])));
    assert_eq!(desk.admin.head(), head, "nothing to close writes nothing");
    let done = bulk("exhausted");
    // A one-shot that was redeemed is `redeemed`, and stays that.
    assert_eq!(done["invite_ids"], json!([links[1].id, links[2].id]));
    assert_eq!(
        (
            &done["status"],
            &done["revoked_count"],
            &done["filter"],
            &done["bearers_revoked"],
            &done["remaining"]
        ),
        (&json!("revoked"), &json!(2), &json!("exhausted"), &json!(0), &json!(0))
    );
    let log = desk.log();
    let closed: Vec<&Value> = log.iter().filter(|r| r["body"]["cause"] == "bulk_exhausted").collect();
    assert_eq!(closed.len(), 4, "two events and their mirrors");
    assert!(closed.iter().all(|r| r["created_at"] == closed[0]["created_at"]), "one commit");
    assert!(
        closed.iter().all(|r| r["body"]["revoker_reason"] == "tidy" && r["body"]["bearers_revoked"] == 0)
    );
    let states: Vec<Value> = links.iter().map(|link| desk.row(&link.id)["state"].clone()).collect();
    assert_eq!(states, ["redeemed", "revoked", "revoked", "active"]);
    assert!(bearers.iter().all(|bearer| desk.lives(bearer)));
    assert_eq!(bulk("exhausted")["revoked_count"], 0);
    // What was closed in bulk can be revoked, with all that it gave, as long as something of it lives.
    let answer = desk.revoke(&links[1].id);
    assert_eq!((&answer["status"], &answer["bearers_revoked"]), (&json!("revoked"), &json!(2)));
    assert_eq!(desk.revoke(&links[1].id)["status"], "already_revoked");
    let alive: Vec<bool> = bearers.iter().map(|bearer| desk.lives(bearer)).collect();
    assert_eq!(alive, [true, false, false, true, true, true]);
    explains(&desk, &bearers);
}
