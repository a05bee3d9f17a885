//! A token lives from its making until it expires, and not a moment longer.

use serde_json::json;

use super::kit::{ALICE, Node, Token, record};
use crate::support::wait_until;

/// The wall clock, in milliseconds.
#[expect(clippy::disallowed_methods, reason = "what the instance's own clock is compared with")]
fn wall() -> i64 {
    jiff::Timestamp::now().as_millisecond()
}

#[test]
fn it_ends_at_its_moment() {
    let node = Node::memory();
    let admin = node.admin();
    let body = json!({ "name": "short", "actors": [ALICE], "with_token": true, "expires_in_seconds": 1 });
    let made = admin.post("/v1/service-accounts", &body).is(201).json();
    let (token, moment) = (Token::of(&made), made["expires_at"].as_str().expect("a time").to_owned());
    let millis = moment.parse::<jiff::Timestamp>().expect("a time").as_millisecond();
    let caller = node.as_token(&token);
    let (mut lived, mut written) = (0, 0);
    wait_until("it expires", || {
        let before = wall();
        let reply = caller.post("/v1/records", &record("short", ALICE, json!({ "n": written })));
        let after = wall();
        if reply.status == 201 {
            lived += 1;
            written += 1;
            assert!(before < millis, "taken {} ms after its end", before - millis);
            assert!(reply.json()["created_at"].as_str() < Some(&moment), "{}", reply.text());
            return None;
        }
        reply.refuses(401, "AUTH_INVALID");
        assert!(after >= millis, "refused {} ms before its end", millis - after);
        Some(())
    });
    assert!(lived > 0, "it never lived");
    let row = &admin.rows(&format!("/v1/tokens?service_account_id={}", token.account))[0];
    assert_eq!((&row["status"], &row["expires_at"]), (&json!("expired"), &json!(moment)));
    // It cannot come back by itself, and nobody is told of a theft.
    caller.post(&format!("/v1/tokens/{}/rotate", token.id), &json!({})).refuses(401, "AUTH_INVALID");
    // Revoking it changes what it is called.
    admin.delete(&format!("/v1/tokens/{}", token.id)).is(200);
    let row = &admin.rows(&format!("/v1/tokens?service_account_id={}", token.account))[0];
    assert_eq!(row["status"], "revoked");
}

#[test]
fn lifetimes_have_bounds() {
    let node = Node::memory();
    let admin = node.admin();
    let account = admin.contributor(ALICE).account;
    let mint = |seconds: serde_json::Value| {
        admin.post("/v1/tokens", &json!({ "service_account_id": account, "expires_in_seconds": seconds }))
    };
    for bad in [json!(0), json!(-1), json!(1.5), json!("60"), json!(u64::MAX), json!(1e300)] {
        let reply = mint(bad.clone());
        assert_eq!(reply.status, 400, "{bad}: {}", reply.text());
        reply.refuses(400, "INVALID_BODY");
    }
    let one = mint(json!(1)).is(201).json();
    assert!(one["expires_at"].is_string(), "{one}");
    assert_eq!(mint(json!(null)).status, 201, "none stays none");
}

#[test]
fn the_last_admin_may_not_be_one_that_has_expired() {
    let node = Node::memory();
    let admin = node.admin();
    // Another admin whose token expires does not make the first one dispensable afterwards.
    let body = json!({ "name": "short", "actors": ["did:sync:user:bob"], "scopes": ["admin"],
        "with_token": true, "expires_in_seconds": 1 });
    let short = Token::of(&admin.post("/v1/service-accounts", &body).is(201).json());
    let caller = node.as_token(&short);
    wait_until("it expires", || (caller.get("/v1/tokens").status == 401).then_some(()));
    let first = admin.rows("/v1/service-accounts")[0]["id"].as_str().expect("an id").to_owned();
    admin.delete(&format!("/v1/service-accounts/{first}")).refuses(409, "LAST_ADMIN");
}
