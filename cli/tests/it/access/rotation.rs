//! Rotation under load: whoever goes over to the new token as soon as it has it is never turned away.

use std::sync::{
    RwLock,
    atomic::{AtomicBool, AtomicU64, Ordering},
};

use serde_json::json;

use super::kit::{ALICE, Caller, EndsWith, Node, Token, random, refuses_with_hint};
use crate::{
    raw::{Client, now},
    support::LIMIT,
};

const READERS: usize = 4;
const ROTATIONS: u64 = 24;
/// An account's tokens renew themselves only so often a minute.
const RENEWALS: u64 = 6;

/// The token in use, and how many rotations were begun before it was there.
struct Current {
    token: Token,
    number: u64,
}

/// Has `READERS` clients read without a pause while `rotate` is called again and again.
fn under_load(node: &Node, first: Token, rotations: u64, mut rotate: impl FnMut(&Token) -> Token) {
    let current = RwLock::new(Current { token: first, number: 0 });
    let (begun, done, reads) = (AtomicU64::new(0), AtomicBool::new(false), AtomicU64::new(0));
    std::thread::scope(|scope| {
        let reader = || {
            let mut connection = Client::connect(node.port);
            while !done.load(Ordering::Acquire) {
                let (caller, number) = {
                    let current = current.read().expect("no panic");
                    (node.as_token(&current.token), current.number)
                };
                let reply = caller.over(&mut connection, "GET", "/v1/identity", None).expect("an answer");
                if reply.status == 401 {
                    // Only a token may be dead whose rotation was asked for meanwhile.
                    reply.refuses(401, "AUTH_INVALID");
                    assert!(begun.load(Ordering::Acquire) > number, "a current token was turned away");
                } else {
                    assert_eq!(reply.is(200).json()["caller"]["is_authenticated"], true);
                    reads.fetch_add(1, Ordering::AcqRel);
                }
            }
        };
        let readers: Vec<_> = (0..READERS).map(|_| scope.spawn(reader)).collect();
        // Also where a test fails here its readers end.
        let ends = EndsWith(&done);
        let start = now();
        for number in 1..=rotations {
            assert!(start.elapsed() < LIMIT, "{number} rotations took {:?}", start.elapsed());
            let old = current.read().expect("no panic").token.clone();
            begun.store(number, Ordering::Release);
            let new = rotate(&old);
            *current.write().expect("no panic") = Current { token: new.clone(), number };
            node.as_token(&new).get("/v1/identity").is(200);
            refuses_with_hint(node.as_token(&old).get("/v1/identity"), 401, "AUTH_INVALID");
        }
        drop(ends);
        readers.into_iter().for_each(|r| r.join().expect("a reader"));
    });
    assert!(reads.load(Ordering::Acquire) > rotations, "there was no load");
}

#[test]
fn nobody_is_turned_away_while_an_admin_rotates() {
    let node = Node::disk();
    let admin = node.admin();
    let first = admin.contributor(ALICE);
    let path = format!("/v1/service-accounts/{}/rotate-key", first.account);
    under_load(&node, first, ROTATIONS, |old| {
        let answer = admin.post(&path, &json!({})).is(200).json();
        assert_eq!(answer["revoked"], json!([old.id]), "{answer}");
        Token::of(&answer)
    });
}

#[test]
fn nobody_is_turned_away_while_a_token_renews_itself() {
    let node = Node::disk();
    let admin = node.admin();
    for _ in 0..4 {
        renew_under_load(&node, admin.contributor(ALICE));
    }
}

fn renew_under_load(node: &Node, first: Token) {
    under_load(node, first, RENEWALS, |old| {
        let path = format!("/v1/tokens/{}/rotate", old.id);
        if random().is_multiple_of(2) {
            return Token::of(&node.as_token(old).post(&path, &json!({})).is(200).json());
        }
        let made = Token::made(&old.account);
        let answer = node.as_token(old).post(&path, &json!({ "new_token_id": made.id })).is(200).json();
        assert!(answer.get("bearer").is_none(), "{answer}");
        assert_eq!((&answer["token_id"], &answer["actor_did"]), (&json!(made.id), &json!(ALICE)));
        made
    });
}

#[test]
fn of_many_renewals_of_one_token_one_wins() {
    let node = Node::disk();
    let admin = node.admin();
    for _ in 0..8 {
        let token = admin.contributor(ALICE);
        let caller = node.as_token(&token);
        let path = format!("/v1/tokens/{}/rotate", token.id);
        let answers: Vec<_> = std::thread::scope(|scope| {
            let all: Vec<_> = (0..8).map(|_| scope.spawn(|| caller.post(&path, &json!({})))).collect();
            all.into_iter().map(|thread| thread.join().expect("an answer")).collect()
        });
        let (won, lost): (Vec<_>, Vec<_>) = answers.into_iter().partition(|a| a.status == 200);
        assert_eq!(won.len(), 1);
        lost.into_iter().for_each(|reply| drop(reply.refuses(401, "AUTH_INVALID")));
        node.as_token(&Token::of(&won[0].json())).get("/v1/identity").is(200);
        let live = admin.rows(&format!("/v1/tokens?service_account_id={}", token.account));
        assert_eq!(live.iter().filter(|row| row["status"] == "active").count(), 1, "{live:?}");
    }
}

#[test]
fn a_renewal_is_the_tokens_own_and_keeps_its_reach() {
    let node = Node::memory();
    let admin = node.admin();
    let [one, other] = [admin.contributor(ALICE), admin.contributor("did:sync:user:bob")];
    let rotate = |caller: &Caller, id: &str| caller.post(&format!("/v1/tokens/{id}/rotate"), &json!({}));
    let caller = node.as_token(&one);
    for id in [other.id.as_str(), "ab", &"0".repeat(64)] {
        refuses_with_hint(rotate(&caller, id), 403, "ROTATE_NOT_SELF");
    }
    rotate(&admin, &one.id).refuses(403, "ROTATE_NOT_SELF");
    for caller in [node.anyone(), node.owner()] {
        rotate(&caller, &one.id).refuses(401, "AUTH_REQUIRED");
    }
    let path = format!("/v1/tokens/{}/rotate", one.id);
    for taken in [&one.id, &other.id] {
        caller.post(&path, &json!({ "new_token_id": taken })).refuses(400, "INVALID_BODY");
    }
    // The account's scopes of now are for tokens minted later; a renewal is no widening, and no narrowing.
    let account = format!("/v1/service-accounts/{}", one.account);
    let wider = admin.patch(&account, &json!({ "scopes": ["records:read"] })).is(200).json();
    assert_eq!(wider["tokens_still_wider"], json!([one.id]), "{wider}");
    let renewed = rotate(&caller, &one.id).is(200).json();
    assert_eq!(renewed["scopes"], json!(["records:read", "records:write", "threads:write"]), "{renewed}");
    let rotated = admin.post(&format!("{account}/rotate-key"), &json!({})).is(200).json();
    assert_eq!(rotated["scopes"], json!(["records:read"]), "{rotated}");
    // A lifetime begins again; none stays none.
    assert_eq!((&renewed["expires_at"], &rotated["expires_at"]), (&json!(null), &json!(null)));
    let body = json!({ "service_account_id": other.account, "expires_in_seconds": 1000 });
    let minted = admin.post("/v1/tokens", &body).is(201).json();
    let short = Token::of(&minted);
    let again = rotate(&node.as_token(&short), &short.id).is(200).json();
    assert!(again["expires_at"].as_str() > minted["expires_at"].as_str(), "{again} {minted}");
    let row = admin.rows(&format!("/v1/tokens?service_account_id={}", other.account));
    let row = row.iter().find(|r| r["token_id"] == again["token_id"]).expect("a row").clone();
    let seconds = |text: &serde_json::Value| {
        text.as_str().expect("a time").parse::<jiff::Timestamp>().expect("a time").as_millisecond()
    };
    assert_eq!(seconds(&row["expires_at"]) - seconds(&row["created_at"]), 1_000_000, "{row}");
}
