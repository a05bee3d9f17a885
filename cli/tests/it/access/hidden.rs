//! What the position of something hidden could show in: cursors, the start of a stream, an opening; and what a
//! token could do without end.

use serde_json::{Value, json};

use super::kit::{ADMIN, ALICE, Node, record, refuses_with_hint};

#[test]
fn a_cursor_does_not_tell_of_rows_behind_it() {
    let node = Node::memory();
    let admin = node.admin();
    let reader = node.as_token(&admin.narrowed(ALICE, &["namespace:seen:read"]));
    admin.wrote(&record("t", ADMIN, json!({ "namespace": "seen" })));
    for n in 0..3 {
        admin.wrote(&record("t", ADMIN, json!({ "namespace": "hidden", "n": n })));
    }
    for path in [
        "/v1/records?thread=t",
        "/v1/threads/t/records?",
        "/v1/records?act=KNOW",
        "/v1/records?thread=t&order=desc",
    ] {
        let page = reader.get(&format!("{path}&limit=1")).is(200).json();
        let rows = page["data"].as_array().expect("rows").len();
        assert!(rows <= 1 && page["next_cursor"].is_null(), "{path}: {page}");
    }
    // Where more is visible the cursor says so, and stands at what was shown.
    admin.wrote(&record("t", ADMIN, json!({ "namespace": "seen" })));
    let page = reader.get("/v1/records?thread=t&limit=1").is(200).json();
    let cursor = page["next_cursor"].as_str().expect("a cursor");
    let next = reader.get(&format!("/v1/records?thread=t&limit=1&cursor={cursor}")).is(200).json();
    assert_eq!(next["data"].as_array().map(Vec::len), Some(1));
    assert!(next["next_cursor"].is_null());
}

#[test]
fn a_stream_does_not_begin_where_something_hidden_stands() {
    let node = Node::memory();
    let admin = node.admin();
    let reader = node.as_token(&admin.account(&[ALICE], &["records:read"]));
    admin.wrote(&record("t", ADMIN, json!({})));
    let first = |path: &str| {
        let event = reader.events(path).try_next().expect("a stream").expect("an event");
        assert_eq!(event.name, "heartbeat");
        event.id.expect("a position")
    };
    let absent = first("/v1/threads/nothing/watch?since_clock=0");
    for thread in ["th_service_accounts", "th_api_tokens", "th_audit_tokens", "th_engine_config"] {
        for clock in [0, 1, 3] {
            assert_eq!(
                first(&format!("/v1/threads/{thread}/watch?since_clock={clock}")),
                absent,
                "{thread} {clock}"
            );
        }
    }
}

#[test]
fn an_opening_that_is_hidden_cannot_be_cancelled() {
    let node = Node::memory();
    let admin = node.admin();
    let caller = node.as_token(&admin.account(&[ALICE], &["records:read", "threads:write"]));
    let open = |body: Value| {
        admin.post("/v1/threads", &body).is(201);
    };
    open(json!({ "goal": "x", "thread": "t" }));
    open(json!({ "goal": "x", "thread": "u" }));
    admin.wrote(&record("t", ADMIN, json!({})));
    for (name, action, priority, expression) in [
        ("all", "allow", 0, "true"),
        (
            "no openings",
            "deny",
            10,
            "resource == 'record_read' && record.act == 'INTEND' && record.thread == 't' && !('admin' in scopes)",
        ),
    ] {
        let rule = json!({ "name": name, "action": action, "priority": priority, "expression": expression, "enabled": true });
        admin.set("permission_rule", &rule).is(201);
    }
    admin.set("permissions_enabled", &json!({ "enabled": true })).is(201);
    let head = admin.head();
    let refused = refuses_with_hint(caller.delete("/v1/threads/t"), 400, "INGEST_FAILED");
    assert!(!refused.to_string().contains("cancels"), "{refused}");
    assert_eq!(admin.head(), head);
    assert_eq!(caller.delete("/v1/threads/u").is(200).json()["status"], "cancelled");
}

#[test]
fn an_accounts_tokens_renew_themselves_so_often_and_no_more() {
    let node = Node::memory();
    let admin = node.admin();
    let first = admin.contributor(ALICE);
    let (mut token, mut renewed) = (
        super::kit::Token { id: first.id.clone(), text: first.text.clone(), account: first.account.clone() },
        0,
    );
    let refused = loop {
        let reply = node.as_token(&token).post(&format!("/v1/tokens/{}/rotate", token.id), &json!({}));
        if reply.status == 429 {
            break reply;
        }
        token = super::kit::Token::of(&reply.is(200).json());
        renewed += 1;
        assert!(renewed < 100, "without end");
    };
    assert!(renewed >= 30, "{renewed}");
    assert!(refused.header("retry-after").is_some());
    refuses_with_hint(refused, 429, "RATE_LIMITED");
    // It is of use as ever, and others are not held up.
    node.as_token(&token).get("/v1/records?thread=t").is(200);
    let other = admin.contributor("did:sync:user:other");
    node.as_token(&other).post(&format!("/v1/tokens/{}/rotate", other.id), &json!({})).is(200);
}
