//! Bearers renew themselves, and end with what gave them.

use serde_json::json;

use super::{
    kit::{Asks as _, Desk, Link, Token, sha256},
    model::explains,
};
use crate::support::wait_until;

/// Renews by the hash of a token that the client made, as devices do.
fn renewed(desk: &Desk, token: &Token) -> Token {
    let next = Token::made(&token.account);
    let at = format!("/v1/tokens/{}/rotate", sha256(&token.text));
    let answer = desk.node.as_token(token).sends(&at, &json!({ "new_token_id": next.id })).is(200).json();
    assert!(answer.get("bearer").is_none(), "the client has it, and only the client: {answer}");
    assert_eq!(answer["token_id"], next.id);
    next
}

fn ms(time: &serde_json::Value) -> i64 {
    time.as_str().expect("a time").parse::<jiff::Timestamp>().expect("a time").as_millisecond()
}

#[test]
fn a_renewal_slides_the_window_and_keeps_the_rest() {
    let desk = Desk::disk();
    let target = json!({ "kind": "thread", "thread_id": "music" });
    let link = desk.issue(&json!({ "bearer_ttl_seconds": 120, "scope_target": target }));
    let answer = link.redeem(&desk.node.anyone(), &super::kit::key()).is(200).json();
    let first = Token::of(&answer);
    // A moment later: the window must have moved.
    wait_until("the clock has moved", || {
        (super::kit::now_ms().cast_signed() > ms(&answer["expires_at"]) - 120_000 + 20).then_some(())
    });
    let at = format!("/v1/tokens/{}/rotate", sha256(&first.text));
    let renewed = desk.node.as_token(&first).sends(&at, &json!({})).is(200).json();
    assert!(ms(&renewed["expires_at"]) > ms(&answer["expires_at"]), "{renewed}");
    assert_eq!((&renewed["scopes"], &renewed["actor_did"]), (&answer["scopes"], &answer["actor_did"]));
    let second = Token::of(&renewed);
    assert!(!desk.lives(&first) && desk.lives(&second));
    let row = desk.row(&link.id)["redemptions"][0].clone();
    assert_eq!((&row["token_id"], &row["live"]), (&json!(second.id), &json!(true)), "today's token: {row}");
    assert_eq!(row["expires_at"], renewed["expires_at"]);
    let log = desk.log();
    let minted = log.iter().find(|r| r["body"]["token_id"] == second.id).expect("a record");
    let body = &minted["body"];
    assert_eq!((&body["origin"], &body["replaces"]), (&json!("renew"), &json!([first.id])));
    let by =
        json!({ "actor": answer["actor_did"], "service_account_id": first.account, "token_id": first.id });
    assert_eq!((&body["by"], ms(&body["expires_at"]) - ms(&body["created_at"])), (&by, 120_000));
    // Nobody renews with what has ended, nor for somebody else.
    desk.node.as_token(&first).sends(&at, &json!({})).refuses(401, "AUTH_INVALID");
    explains(&desk, &[first, second]);
}

#[test]
fn a_token_renews_itself_and_nobody_else() {
    let desk = Desk::memory();
    let link = desk.issue(&json!({ "max_uses": 2 }));
    let (one, other) = (desk.guest(&link), desk.guest(&link));
    let head = desk.admin.head();
    let own = format!("/v1/tokens/{}/rotate", one.id);
    for caller in [desk.node.as_token(&other), desk.admin.clone()] {
        caller.sends(&own, &json!({})).refuses(403, "ROTATE_NOT_SELF");
    }
    desk.node.as_token(&one).sends("/v1/tokens/x/rotate", &json!({})).refuses(403, "ROTATE_NOT_SELF");
    for taken in [&one.id, &other.id, &desk.token.id] {
        let reply = desk.node.as_token(&one).sends(&own, &json!({ "new_token_id": taken }));
        assert!(matches!(reply.status, 400), "{}", reply.text());
    }
    for bad in [json!({ "new_token_id": "x" }), json!({ "new_token_id": 1 }), json!({ "scopes": ["admin"] })]
    {
        desk.node.as_token(&one).sends(&own, &bad).refuses(400, "INVALID_BODY");
    }
    assert_eq!(desk.admin.head(), head, "nothing was written");
    assert!(desk.lives(&one) && desk.lives(&other));
}

/// An invite, what it gave, and what became of that by renewals.
fn chain(desk: &Desk, lengths: &[usize]) -> (Link, Vec<Token>, Vec<Token>) {
    let link = desk.issue(&json!({ "max_uses": lengths.len() }));
    let (mut ended, mut living) = (Vec::new(), Vec::new());
    for length in lengths {
        let mut token = desk.guest(&link);
        for _ in 0..*length {
            let next = renewed(desk, &token);
            ended.push(std::mem::replace(&mut token, next));
        }
        living.push(token);
    }
    (link, ended, living)
}

#[test]
fn renewed_bearers_end_with_their_invite() {
    let mut desk = Desk::disk();
    let (link, ended, living) = chain(&desk, &[0, 1, 3]);
    assert!(living.iter().all(|t| desk.lives(t)) && !ended.iter().any(|t| desk.lives(t)));
    let answer = desk.revoke(&link.id);
    assert_eq!((&answer["bearers_revoked"], &answer["accounts_revoked"]), (&json!(3), &json!(3)));
    let all = [ended, living].concat();
    assert!(!all.iter().any(|t| desk.lives(t)));
    explains(&desk, &all);
    // Nor does a start bring them back.
    desk.node.kill();
    desk.node.run(&[]);
    desk.found_again();
    explains(&desk, &all);
}

#[test]
fn renewed_bearers_end_with_their_account() {
    let desk = Desk::memory();
    let (link, ended, living) = chain(&desk, &[2, 1]);
    let gone = desk.admin.removes(&format!("/v1/service-accounts/{}", living[0].account)).is(200).json();
    assert_eq!(gone["tokens_revoked"], 1);
    assert!(!desk.lives(&living[0]) && desk.lives(&living[1]));
    let row = desk.row(&link.id);
    assert_eq!([&row["redemptions"][0]["live"], &row["redemptions"][1]["live"]], [false, true]);
    // What is gone is not counted again.
    let answer = desk.revoke(&link.id);
    assert_eq!((&answer["bearers_revoked"], &answer["accounts_revoked"]), (&json!(1), &json!(1)));
    explains(&desk, &[ended, living].concat());
}

#[test]
fn a_token_that_ended_by_renewal_and_comes_back_takes_its_successors_along() {
    let desk = Desk::memory();
    let (_, ended, living) = chain(&desk, &[2]);
    let done = desk.admin.removes(&format!("/v1/tokens/{}", ended[0].id)).is(200).json();
    assert_eq!(done["revoked"], json!([living[0].id]));
    assert!(!desk.lives(&living[0]));
}

#[test]
fn admins_mint_no_second_life_for_an_ended_guest() {
    let desk = Desk::memory();
    let link = desk.issue(&json!({}));
    let bearer = desk.guest(&link);
    desk.revoke(&link.id);
    let more = json!({ "service_account_id": bearer.account });
    desk.admin.sends("/v1/tokens", &more).refuses(409, "SERVICE_ACCOUNT_REVOKED");
    let key = format!("/v1/service-accounts/{}/rotate-key", bearer.account);
    desk.admin.sends(&key, &json!({})).refuses(409, "SERVICE_ACCOUNT_REVOKED");
    let grow = json!({ "scopes": ["admin"] });
    let account = format!("/v1/service-accounts/{}", bearer.account);
    desk.admin.asks("PATCH", &account, Some(&grow)).refuses(409, "SERVICE_ACCOUNT_REVOKED");
    explains(&desk, &[bearer]);
}
