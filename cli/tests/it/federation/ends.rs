//! The end of a pair is the end of what came through it, in one commit.

use serde_json::{Value, json};

use super::kit::{BOB, Home, Token, on_thread};
use crate::{access::kit::until_end, raw::now, support::LIMIT};

/// Redeems an invite as Bob, whom his instance vouches for.
#[track_caller]
fn redeemed(alice: &Home, bob: &Home, person: &Token) -> Token {
    let link = alice.federated(1);
    Token::of(&bob.person_redeems(person, alice, &link).is(200).json())
}

#[track_caller]
fn renewed(alice: &Home, token: &Token) -> Token {
    let path = format!("/v1/tokens/{}/rotate", token.id);
    Token::of(&alice.node.as_token(token).post(&path, &json!({})).is(200).json())
}

#[track_caller]
fn lives(alice: &Home, token: &Token) -> bool {
    let reply = alice.node.as_token(token).get("/v1/threads");
    if reply.status == 401 {
        reply.refuses(401, "AUTH_INVALID");
        return false;
    }
    reply.is(200);
    true
}

#[track_caller]
fn unpair(alice: &Home, pair: &Value) -> Value {
    let path =
        format!("/v1/federation/pairs/{}?reason=project%20ended", pair["pair_id"].as_str().expect("an id"));
    alice.admin.delete(&path).is(200).json()
}

#[test]
fn bearers_die_with_their_pair() {
    let (mut alice, bob) = (Home::disk(), Home::memory());
    let person = bob.is_of(BOB);
    let other = bob.admin.account(&["did:sync:user:bea"], &["records:read", "records:write"]);
    let before = redeemed(&alice, &bob, &person);
    let guest_link = alice.issue(&json!({}));
    let guest = json!({ "holder_type": "guest", "holder_pubkey": super::kit::key(9).public().base64url() });
    let guest = Token::of(&alice.node.anyone().post(&guest_link.redeem_at(), &guest).is(200).json());
    let carol = Home::memory();
    let carols = carol.is_of("did:sync:user:carol");
    let (pair, kept) = (alice.pairs_with(&bob), alice.pairs_with(&carol));
    let through_carol = redeemed(&alice, &carol, &carols);

    let one = redeemed(&alice, &bob, &person);
    let two = redeemed(&alice, &bob, &other);
    let newer = renewed(&alice, &two);
    let newest = renewed(&alice, &newer);
    assert!(!lives(&alice, &two) && !lives(&alice, &newer) && lives(&alice, &newest));
    // A bearer that the operator minted for such an account is one of its bearers too.
    let minted = json!({ "service_account_id": one.account });
    let minted = Token::of(&alice.admin.post("/v1/tokens", &minted).is(201).json());
    let path = format!("/v1/federation/pairs/{}", pair["pair_id"].as_str().expect("an id"));
    let row = alice.admin.get(&path).is(200).json();
    assert_eq!((&row["accounts"], &row["bearers"]), (&json!(2), &json!(3)), "{row}");

    let mut stream = alice.node.as_token(&newest).events("/v1/events/stream");
    assert_eq!(stream.next().name, "heartbeat");
    let answer = unpair(&alice, &pair);
    for token in [&one, &minted, &two, &newer, &newest] {
        assert!(!lives(&alice, token), "{} lives on", token.id);
    }
    let counted = json!({ "accounts": answer["accounts_revoked"], "bearers": answer["bearers_revoked"] });
    assert_eq!((&answer["status"], counted), (&json!("removed"), json!({ "accounts": 2, "bearers": 3 })));
    let start = now();
    let last = until_end(&mut stream);
    assert!(start.elapsed() < LIMIT / 15, "an open stream ends within a second or two");
    assert_eq!(
        last.last().map(|e| (e.name.as_str(), e.json()["code"].clone())),
        Some(("error", json!("revoked")))
    );
    for token in [&before, &guest, &through_carol, &alice.token] {
        assert!(lives(&alice, token), "{} did not come through the pair", token.id);
    }

    check_log(&alice, &pair, 3);
    let head = alice.admin.head();
    let again = unpair(&alice, &pair);
    assert_eq!(
        (&again["status"], &again["bearers_revoked"]),
        (&json!("already_removed"), &json!(0)),
        "{again}"
    );
    assert_eq!(alice.admin.head(), head, "the second time writes nothing");
    let of_pair = |alice: &Home, pair: &Value| {
        let path = format!("/v1/federation/pairs/{}", pair["pair_id"].as_str().expect("an id"));
        alice.admin.get(&path).is(200).json()
    };
    assert_eq!(of_pair(&alice, &pair)["state"], "removed");
    assert_eq!(of_pair(&alice, &kept)["bearers"], 1);

    // What ended stays ended over a power cut.
    alice.node.kill();
    alice.node.run(&[]);
    alice.admin = alice.node.as_token(&alice.token);
    for token in [&one, &minted, &newest] {
        assert!(!lives(&alice, token), "{} is back", token.id);
    }
    assert!(lives(&alice, &before) && lives(&alice, &through_carol));
    assert_eq!(
        (&of_pair(&alice, &pair)["state"], &of_pair(&alice, &pair)["bearers"]),
        (&json!("removed"), &json!(0))
    );
}

/// One commit: the pair's event, its mirror with the count, and the end of each account with its mirror.
#[track_caller]
fn check_log(alice: &Home, pair: &Value, bearers: u64) {
    let log = alice.admin.exported(true);
    let mirror = on_thread(&log, "th_audit_federation_pairs").pop().expect("a mirror").clone();
    let body = &mirror["body"];
    assert_eq!(
        (&body["transition"], &body["bearers_revoked"]),
        (&json!("active->removed"), &json!(bearers)),
        "{mirror}"
    );
    assert_eq!((&body["pair_id"], &body["peer_did"]), (&pair["pair_id"], &pair["peer_did"]), "{mirror}");
    let at = log.iter().position(|r| r["id"] == mirror["id"]).expect("its place");
    let threads: Vec<&str> = log[at - 1..].iter().take(6).filter_map(|r| r["thread"].as_str()).collect();
    let ended = ["th_service_accounts", "th_audit_tokens"];
    assert_eq!(threads, [&["th_federation_pairs", "th_audit_federation_pairs"][..], &ended, &ended].concat());
    for one in &log[at - 1..at + 5] {
        assert_eq!(one["created_at"], mirror["created_at"], "in one commit: {one}");
    }
    let event = &log[at - 1];
    assert_eq!((&event["body"]["reason"], &body["source_record"]), (&json!("project ended"), &event["id"]));
    for revocation in [&log[at + 1], &log[at + 3]] {
        assert_eq!(revocation["body"]["cause"], "pair_removed", "{revocation}");
    }
}

#[test]
fn a_removed_signer_is_unknown_until_it_is_paired_again() {
    let (alice, bob) = (Home::memory(), Home::memory());
    let person = bob.is_of(BOB);
    let first = alice.pairs_with(&bob);
    let old = redeemed(&alice, &bob, &person);
    unpair(&alice, &first);
    let link = alice.federated(2);
    // As the did:key that it is, it could be known by itself; that was taken back.
    bob.person_redeems(&person, &alice, &link).refuses(403, "KEY_UNKNOWN");
    alice.recorded(&link, "key_unknown", &bob.did);
    assert_eq!(alice.row(&link.id)["uses_remaining"], 2, "a refusal costs no use");

    let second = alice.pairs_with(&bob);
    assert_ne!(second["pair_id"], first["pair_id"]);
    let new = Token::of(&bob.person_redeems(&person, &alice, &link).is(200).json());
    assert!(lives(&alice, &new) && !lives(&alice, &old), "a new pair brings nothing back");
    let one = alice.row(&link.id)["redemptions"][0].clone();
    assert_eq!((&one["signer_trust"], &one["pair_id"]), (&json!("paired"), &second["pair_id"]));
    let rows = alice.admin.rows("/v1/federation/pairs");
    let states: Vec<&Value> = rows.iter().map(|row| &row["state"]).collect();
    assert_eq!(states, ["removed", "active"], "{rows:?}");
    // The old pair's end is not this one's.
    assert_eq!(unpair(&alice, &first)["status"], "already_removed");
    assert!(lives(&alice, &new));
    assert_eq!(unpair(&alice, &second)["bearers_revoked"], 1);
    assert!(!lives(&alice, &new));
}

#[test]
fn the_command_line_says_what_ends() {
    let (alice, bob) = (Home::memory(), Home::memory());
    let person = bob.is_of(BOB);
    let pair = alice.pairs_with(&bob);
    let token = redeemed(&alice, &bob, &person);
    let id = pair["pair_id"].as_str().expect("an id");
    let ran = alice.spl(&["federation", "unpair", id]).exits(1);
    assert!(ran.stderr.contains("1 account and 1 live token") && lives(&alice, &token), "{ran:?}");
    let ran = alice.spl(&["federation", "unpair", id, "--yes", "--reason", "project ended"]).ok();
    assert!(ran.stdout.contains("1 account and 1 live token"), "{ran:?}");
    assert!(!lives(&alice, &token));
    let again = alice.spl(&["federation", "unpair", id, "--yes", "-o", "json"]).ok().json();
    assert_eq!(again["status"], "already_removed");
}
