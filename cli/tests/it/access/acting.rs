//! Admins who act as somebody else: once a commit it is told of.

use serde_json::{Value, json};

use super::kit::{ADMIN, ALICE, Caller, Node, record};

const TRAIL: &str = "/v1/records?thread=th_audit_impersonation";

/// What is told since so many were.
fn told(admin: &Caller, before: usize) -> Vec<Value> {
    admin.rows(TRAIL).split_off(before)
}

#[test]
fn each_commit_carries_one_record_of_it() {
    let node = Node::memory();
    let token = node.bootstrap();
    let admin = node.as_token(&token);
    let mut count = 0;
    let mut next = |expect: Value, first: &Value, sequence: u64| {
        let all = told(&admin, count);
        assert_eq!(all.len(), 1, "{all:?}");
        count += 1;
        let (one, mut body) = (&all[0], all[0]["body"].clone());
        assert!(body["at"].is_string(), "{body}");
        body.as_object_mut().expect("an object").remove("at");
        let mut expected = json!({ "kind": "core.impersonation.event.v1", "service_account_id": token.account,
            "token_id": token.id, "actor": ADMIN, "first_record": first });
        expected.as_object_mut().expect("an object").extend(expect.as_object().expect("an object").clone());
        assert_eq!(body, expected);
        // In the same commit: the record right after, at the same time.
        assert_eq!(one["sequence"], sequence + 1);
        assert_eq!(
            (&one["origin"], &one["act"], &one["actor"]),
            (&json!("command"), &json!("LEARN"), &json!("did:sync:system:engine"))
        );
        assert_eq!(one["token_id"], token.id);
    };
    let sequence = |record: &Value| record["sequence"].as_u64().expect("a sequence");
    // One record.
    let one = admin.wrote(&record("a", ALICE, json!({ "n": 1 })));
    next(json!({ "acted_as": [ALICE], "record_count": 1 }), &one["id"], sequence(&one));
    // Named in the header too: the actor told of is the caller's own.
    let one = admin.claiming(ALICE).wrote(&record("a", ALICE, json!({ "n": 2 })));
    next(json!({ "acted_as": [ALICE], "record_count": 1 }), &one["id"], sequence(&one));
    // Several actors, own records among them: sorted, distinct, and counted without the own.
    let actors = ["did:sync:user:z", ADMIN, ALICE, "did:sync:user:z", "did:sync:user:b", ADMIN];
    let records: Vec<_> = actors.iter().enumerate().map(|(n, a)| record("b", a, json!({ "n": n }))).collect();
    let batch = json!({ "records": records });
    let answer = admin.post("/v1/records", &batch).is(201).json();
    let rows = answer["data"].as_array().expect("rows");
    next(
        json!({ "acted_as": [ALICE, "did:sync:user:b", "did:sync:user:z"], "record_count": 4 }),
        &rows[0]["id"],
        sequence(rows.last().expect("a row")),
    );
    // More actors than are named.
    let many: Vec<_> = (0..70).map(|n| record("c", &format!("did:sync:user:m{n:02}"), json!({}))).collect();
    let answer = admin.post("/v1/records", &json!({ "records": many })).is(201).json();
    let rows = answer["data"].as_array().expect("rows");
    let named: Vec<_> = (0..64).map(|n| format!("did:sync:user:m{n:02}")).collect();
    next(
        json!({ "acted_as": named, "more": 6, "record_count": 70 }),
        &rows[0]["id"],
        sequence(rows.last().expect("a row")),
    );
    // Opening and cancelling a thread.
    let opened =
        admin.post("/v1/threads", &json!({ "goal": "x", "actor": ALICE, "thread": "d" })).is(201).json();
    next(
        json!({ "acted_as": [ALICE], "record_count": 1 }),
        &opened["record_id"],
        sequence(&opened["record"]),
    );
    let ended = admin.claiming(ALICE).delete("/v1/threads/d").is(200).json();
    next(json!({ "acted_as": [ALICE], "record_count": 1 }), &ended["record_id"], sequence(&ended["record"]));
}

#[test]
fn what_is_there_already_is_told_of_only_once() {
    let node = Node::memory();
    let admin = node.admin();
    let mut one = record("a", ALICE, json!({ "n": 1 }));
    one["clock"] = 1.into();
    let mut other = record("a", "did:sync:user:bob", json!({ "n": 2 }));
    other["clock"] = 1.into();
    admin.wrote(&one);
    let head = admin.head();
    admin.post("/v1/records", &one).is(200);
    admin.post("/v1/records", &json!({ "records": [one, one] })).is(200);
    assert_eq!(admin.head(), head);
    // Of a batch only what is new.
    let answer = admin.post("/v1/records", &json!({ "records": [one, other] })).is(201).json();
    let told = told(&admin, 1);
    assert_eq!(told.len(), 1, "{told:?}");
    assert_eq!(
        (&told[0]["body"]["acted_as"], &told[0]["body"]["record_count"], &told[0]["body"]["first_record"]),
        (&json!(["did:sync:user:bob"]), &json!(1), &answer["data"][1]["id"])
    );
}

#[test]
fn nobody_else_is_told_of() {
    let node = Node::memory();
    let admin = node.admin();
    let alice =
        node.as_token(&admin.account(&[ALICE, "did:sync:user:also"], &["records:read", "records:write"]));
    // Their own names, whichever.
    alice.wrote(&record("a", "did:sync:user:also", json!({})));
    alice.claiming("did:sync:user:also").wrote(&record("a", ALICE, json!({})));
    admin.wrote(&record("a", ADMIN, json!({})));
    // A name that was claimed and not used: nothing was written as it.
    admin.claiming(ALICE).wrote(&record("a", ADMIN, json!({ "n": 1 })));
    assert_eq!(told(&admin, 0), [] as [Value; 0]);
    // A refusal tells nothing.
    admin.set("strict_impersonation_enforcement", &json!({ "enabled": true })).is(201);
    let head = admin.head();
    admin.post("/v1/records", &record("a", ALICE, json!({}))).refuses(403, "DID_CLAIM_DENIED");
    let batch = json!({ "records": [record("a", ADMIN, json!({})), record("a", ALICE, json!({}))] });
    admin.post("/v1/records", &batch).refuses(403, "DID_CLAIM_DENIED");
    assert_eq!(admin.head(), head);
    // It shows on no other surface than an admin's.
    for path in [TRAIL, "/v1/threads/th_audit_impersonation/records"] {
        assert_eq!(alice.rows(path), [] as [Value; 0]);
    }
    // Where no layer runs nobody acts as anybody.
    let free = Node::with(&["--memory", "--insecure-localhost"]);
    let first = free.admin();
    first.wrote(&record("a", ALICE, json!({})));
    assert_eq!(told(&first, 0), [] as [Value; 0]);
}

#[test]
fn a_command_under_a_foreign_name_is_told_of_too() {
    let node = Node::memory();
    let token = node.bootstrap();
    let other = node.as_token(&token).claiming(ALICE);
    let made = other
        .post("/v1/service-accounts", &json!({ "name": "x", "actors": ["did:sync:user:x"] }))
        .is(201)
        .json();
    let admin = node.as_token(&token);
    let id = made["record_id"].as_str().expect("an id");
    let by = admin.get(&format!("/v1/records/{id}")).is(200).json()["body"]["by"].clone();
    assert_eq!(by, json!({ "actor": ALICE, "service_account_id": token.account, "token_id": token.id }));
    let told = told(&admin, 0);
    assert_eq!(
        told.len(),
        1,
        "the commit says that {ALICE} did it, and nothing that an admin acted as {ALICE}"
    );
    assert_eq!(
        (&told[0]["body"]["acted_as"], &told[0]["body"]["first_record"]),
        (&json!([ALICE]), &json!(id))
    );
}
