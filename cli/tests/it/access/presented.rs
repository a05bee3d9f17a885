//! A token that comes back after a rotation ended it: the one sure sign of theft.

use serde_json::{Value, json};

use super::kit::{ALICE, Caller, Node, Token};
use crate::support::wait_until;

fn rotate(node: &Node, token: &Token) -> Token {
    let path = format!("/v1/tokens/{}/rotate", token.id);
    Token::of(&node.as_token(token).post(&path, &json!({})).is(200).json())
}

fn row(admin: &Caller, token: &Token) -> Value {
    admin.get(&format!("/v1/service-accounts/{}", token.account)).is(200).json()
}

fn told_of(admin: &Caller, token: &Token) -> Vec<Value> {
    let trail = admin.rows("/v1/records?thread=th_audit_tokens");
    let of_token = |r: &Value| {
        r["body"]["event_kind"] == "rotated_token_presented" && r["body"]["token_id"] == json!(token.id)
    };
    trail.into_iter().filter(of_token).collect()
}

/// Presents a dead token from many sides at once.
fn present(node: &Node, token: &Token) {
    std::thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| {
                for path in ["/v1/identity", "/v1/records?thread=x", "/v1/tokens"] {
                    node.as_token(token).get(path).refuses(401, "AUTH_INVALID");
                }
            });
        }
    });
}

#[test]
fn it_shows_on_the_account_and_once_in_the_trail() {
    let node = Node::disk();
    let admin = node.admin();
    let first = admin.contributor(ALICE);
    let second = rotate(&node, &first);
    assert!(row(&admin, &first).get("rotated_token_presented_at").is_none());
    present(&node, &first);
    let shown =
        wait_until("the account shows it", || row(&admin, &first).get("rotated_token_presented_at").cloned());
    present(&node, &first);
    // What comes after in the log says that nothing is on its way any more.
    admin.contributor("did:sync:user:bob");
    let told = told_of(&admin, &first);
    assert_eq!(told.len(), 1, "{told:?}");
    assert_eq!(told[0]["body"]["service_account_id"], json!(first.account));
    assert_eq!(told[0]["created_at"], shown);
    assert!(told[0]["body"].get("by").is_none(), "{told:?}");
    let listed = admin.rows("/v1/service-accounts");
    let listed = listed.iter().find(|r| r["id"] == json!(first.account)).expect("a row");
    assert_eq!(listed["rotated_token_presented_at"], shown);
    // The other way to end up with a dead token is no theft.
    admin.delete(&format!("/v1/tokens/{}", second.id)).is(200);
    present(&node, &second);
    admin.contributor("did:sync:user:carol");
    assert_eq!(told_of(&admin, &second), [] as [Value; 0]);
    // An admin's rotation is one too.
    let third = admin.contributor("did:sync:user:dora");
    admin.post(&format!("/v1/service-accounts/{}/rotate-key", third.account), &json!({})).is(200);
    present(&node, &third);
    wait_until("the account shows it", || row(&admin, &third).get("rotated_token_presented_at").cloned());
}

#[test]
fn it_is_told_once_an_hour_whatever_happens_to_the_process() {
    let mut node = Node::disk();
    let admin = node.bootstrap();
    let first = node.as_token(&admin).contributor(ALICE);
    rotate(&node, &first);
    present(&node, &first);
    let shown = |node: &Node| row(&node.as_token(&admin), &first).get("rotated_token_presented_at").cloned();
    let before = wait_until("the account shows it", || shown(&node));
    node.stop();
    node.run(&[]);
    assert_eq!(shown(&node), Some(before));
    present(&node, &first);
    // A command of control goes into the same queue, behind what was noted.
    node.stop();
    node.run(&[]);
    assert_eq!(told_of(&node.as_token(&admin), &first).len(), 1);
}

#[test]
fn revoking_a_rotated_token_ends_what_came_in_its_place() {
    let node = Node::memory();
    let admin = node.admin();
    let first = admin.contributor(ALICE);
    let second = rotate(&node, &first);
    let third = rotate(&node, &second);
    let body = json!({ "service_account_id": first.account });
    let aside = Token::of(&admin.post("/v1/tokens", &body).is(201).json());
    let path = format!("/v1/tokens/{}", first.id);
    admin.delete(&format!("{path}?service_account_id=sa_0000000000000000")).refuses(404, "TOKEN_NOT_FOUND");
    node.as_token(&third).get("/v1/identity").is(200);
    let answer = admin.delete(&path).is(200).json();
    assert_eq!((&answer["status"], &answer["revoked"]), (&json!("revoked"), &json!([third.id])), "{answer}");
    node.as_token(&third).get("/v1/identity").refuses(401, "AUTH_INVALID");
    node.as_token(&aside).get("/v1/identity").is(200);
    let again = admin.delete(&path).is(200).json();
    assert_eq!((&again["status"], &again["revoked"]), (&json!("already_revoked"), &json!([])), "{again}");
    // The same where a rotation of the whole account took its place.
    let key = admin.post(&format!("/v1/service-accounts/{}/rotate-key", first.account), &json!({}));
    let fourth = Token::of(&key.is(200).json());
    let answer = admin.delete(&format!("/v1/tokens/{}", aside.id)).is(200).json();
    assert_eq!(answer["revoked"], json!([fourth.id]), "{answer}");
    node.as_token(&fourth).get("/v1/identity").refuses(401, "AUTH_INVALID");
}
