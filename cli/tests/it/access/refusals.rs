//! Each refusal once, with what to do about it.

use serde_json::{Value, json};

use super::kit::{ADMIN, ALICE, ENGINE, Node, Token, record, refuses_with_hint};

#[test]
fn bearers() {
    let node = Node::memory();
    let admin = node.admin();
    let token = admin.contributor(ALICE);
    let path = "/v1/records?thread=a";
    refuses_with_hint(node.anyone().get(path), 401, "AUTH_REQUIRED");
    let mut wrong: Vec<String> = vec![
        "x".to_owned(),
        String::new(),
        token.id.clone(),
        token.text.to_uppercase(),
        format!("{}0", token.text),
        token.text[..token.text.len() - 1].to_owned(),
        token.text.replace("spl_prod_", "spl_dev_"),
        Token::made(&token.account).text,
        "spl_prod_sa-bootstrap-env_0123456789abcdefghijklmnopqrstuvwxyz".to_owned(),
        "x".repeat(10_000),
    ];
    wrong.push(format!("{} {}", token.text, token.text));
    for text in wrong {
        let reply = node.anyone().bearer(&text).get(path);
        assert_eq!(reply.status, 401, "{text:?}: {}", reply.text());
        assert_eq!(reply.header("www-authenticate"), Some("Bearer"));
        refuses_with_hint(reply, 401, "AUTH_INVALID");
        node.anyone().header("x-api-key", &text).get(path).refuses(401, "AUTH_INVALID");
    }
    // However it is sent, it is one.
    node.anyone().header("x-api-key", &token.text).get(path).is(200);
    node.as_token(&token).header("x-api-key", &token.text).get(path).is(200);
    node.anyone().header("authorization", &format!("bearer   {}", token.text)).get(path).is(200);
    node.as_token(&token).header("x-api-key", "other").get(path).refuses(401, "AUTH_INVALID");
    node.as_token(&token).bearer(&token.text).get(path).refuses(401, "AUTH_INVALID");
    // Never out of an address, a cookie, or another scheme.
    node.anyone().get(&format!("{path}&token={}", token.text)).refuses(401, "AUTH_REQUIRED");
    node.anyone().header("cookie", &format!("token={}", token.text)).get(path).refuses(401, "AUTH_REQUIRED");
    node.anyone().header("authorization", &token.text).get(path).refuses(401, "AUTH_INVALID");
    node.anyone()
        .header("authorization", &format!("Basic {}", token.text))
        .get(path)
        .refuses(401, "AUTH_INVALID");
}

#[test]
fn scopes() {
    let node = Node::memory();
    let admin = node.admin();
    admin.wrote(&record("a", ADMIN, json!({})));
    let only = |scope: &str| node.as_token(&admin.account(&[ALICE], &[scope]));
    let scope = |reply, name: &str| {
        assert_eq!(refuses_with_hint(reply, 403, "SCOPE_FORBIDDEN")["required_scope"], name);
    };
    let reader = only("records:read");
    scope(reader.post("/v1/records", &record("a", ALICE, json!({}))), "records:write");
    scope(reader.post("/v1/threads", &json!({ "goal": "x" })), "threads:write");
    scope(reader.delete("/v1/threads/a"), "threads:write");
    scope(reader.get("/v1/config"), "config:read");
    scope(reader.set("auth_required", &json!({ "enabled": true })), "config:write");
    scope(reader.get("/v1/sync/x"), "federation:manage");
    for (method, path) in [
        ("GET", "/v1/service-accounts"),
        ("POST", "/v1/service-accounts"),
        ("GET", "/v1/service-accounts/x"),
        ("PATCH", "/v1/service-accounts/x"),
        ("DELETE", "/v1/service-accounts/x"),
        ("POST", "/v1/service-accounts/x/rotate-key"),
        ("GET", "/v1/tokens"),
        ("POST", "/v1/tokens"),
        ("DELETE", "/v1/tokens/x"),
        ("GET", "/v1/verify"),
        ("POST", "/v1/backup"),
        ("GET", "/v1/export?reserved=true"),
    ] {
        scope(reader.call(method, path, None), "admin");
    }
    let writer = only("records:write");
    for path in [
        "/v1/records?thread=a",
        "/v1/records/x",
        "/v1/export",
        "/v1/threads",
        "/v1/threads/a",
        "/v1/threads/a/state",
        "/v1/threads/a/records",
        "/v1/threads/a/participants",
        "/v1/threads/a/watch",
        "/v1/events/stream",
        "/v1/tasks",
    ] {
        scope(writer.get(path), "records:read");
    }
    scope(writer.post("/v1/records/query", &json!({})), "records:read");
    // What it writes is told by name only.
    let receipt = writer.wrote(&record("a", ALICE, json!({ "secret": 1 })));
    let mut keys: Vec<_> = receipt.as_object().expect("an object").keys().cloned().collect();
    keys.sort_unstable();
    assert_eq!(keys, ["id", "object", "sequence"]);
    // Any live bearer.
    for caller in [&reader, &writer, &only("config:read")] {
        for path in ["/v1/identity", "/v1/log/head", "/v1/health"] {
            caller.get(path).is(200);
        }
    }
    // Opening, redirecting and locking take an admin; the rest a scope of its own.
    let config = only("config:write");
    for (topic, members) in [
        ("auth_required", json!({ "enabled": false })),
        ("strict_actor_header", json!({ "enabled": false })),
        ("strict_impersonation_enforcement", json!({ "enabled": false })),
        ("federation_did_web", json!({ "enabled": true })),
        ("permissions_enabled", json!({ "enabled": true })),
        ("permissions_enabled", json!({ "enabled": false })),
        ("auth_cors_origins", json!({ "origins": [] })),
        ("trusted_proxies", json!({ "cidrs": [] })),
        ("public_url", json!({ "url": "https://spl.example.com" })),
        (
            "permission_rule",
            json!({ "name": "x", "action": "allow", "priority": 1, "expression": "true",
            "enabled": false }),
        ),
    ] {
        scope(config.set(topic, &members), "admin");
    }
    config.set("auth_required", &json!({ "enabled": true })).is(201);
    config.set("federation_did_web", &json!({ "enabled": false })).is(201);
}

#[test]
fn claims() {
    let node = Node::memory();
    let admin = node.admin();
    let alice = node.as_token(&admin.contributor(ALICE));
    let bob = "did:sync:user:bob";
    refuses_with_hint(alice.claiming(bob).get("/v1/identity"), 403, "DID_CLAIM_DENIED");
    refuses_with_hint(alice.post("/v1/records", &record("a", bob, json!({}))), 403, "DID_CLAIM_DENIED");
    let batch = json!({ "records": [record("a", ALICE, json!({})), record("a", bob, json!({}))] });
    let json = refuses_with_hint(alice.post("/v1/records", &batch), 403, "DID_CLAIM_DENIED");
    assert!(json["message"].as_str().expect("a message").starts_with("records[1]: "), "{json}");
    let opening = json!({ "goal": "x", "actor": bob });
    refuses_with_hint(alice.post("/v1/threads", &opening), 403, "DID_CLAIM_DENIED");
    refuses_with_hint(alice.post("/v1/records", &record("a", ENGINE, json!({}))), 403, "DID_CLAIM_DENIED");
    // The instance's own names are for nobody, admins too.
    let did = node.anyone().get("/health").is(200).json()["instance_did"].as_str().expect("a DID").to_owned();
    for name in [ENGINE, "did:sync:system:local", "did:sync:system:sa_0123456789abcdef", &did] {
        let reply = admin.post("/v1/records", &record("a", name, json!({})));
        assert_eq!(reply.status, 403, "{name}: {}", reply.text());
        refuses_with_hint(reply, 403, "DID_CLAIM_DENIED");
        let body = json!({ "name": "x", "actors": [name] });
        refuses_with_hint(admin.post("/v1/service-accounts", &body), 403, "DID_CLAIM_DENIED");
    }
    // Its own account's name is its own, once it lists it.
    let token = admin.contributor("did:sync:user:carol");
    let own = format!("did:sync:system:{}", token.account);
    let path = format!("/v1/service-accounts/{}", token.account);
    admin.patch(&path, &json!({ "actors": [own] })).is(200);
    node.as_token(&token).wrote(&record("a", &own, json!({})));
    // Without an actor nothing at all, for an admin too, and the way out is told.
    for scopes in [["records:read"], ["admin"]] {
        let empty = node.as_token(&admin.account(&[], &scopes));
        for path in ["/v1/identity", "/v1/log/head"] {
            let json = refuses_with_hint(empty.get(path), 403, "DID_CLAIM_DENIED");
            assert!(json["hint"].as_str().expect("a hint").contains("service-account update"), "{json}");
        }
    }
    node.as_token(&admin.account(&[], &["admin"])).get("/v1/tokens").refuses(403, "DID_CLAIM_DENIED");
}

#[test]
fn reserved_names_and_kinds() {
    let node = Node::memory();
    let admin = node.admin();
    let alice = node.as_token(&admin.contributor(ALICE));
    for thread in [
        "th_api_tokens",
        "th_service_accounts",
        "th_consent",
        "th_identity",
        "th_audit_tokens",
        "th_audit_anything",
        "th_invites",
        "th_sync_control",
    ] {
        for (caller, actor) in [(&admin, ADMIN), (&alice, ALICE)] {
            refuses_with_hint(
                caller.post("/v1/records", &record(thread, actor, json!({}))),
                403,
                "RESERVED_THREAD",
            );
        }
        alice.get(&format!("/v1/threads/{thread}")).refuses(404, "NOT_FOUND");
    }
    for caller in [&admin, &alice] {
        let mut put = record(
            "th_engine_config",
            if std::ptr::eq(caller, &admin) { ADMIN } else { ALICE },
            json!({ "topic": "auth_required", "enabled": true }),
        );
        refuses_with_hint(caller.post("/v1/records", &put), 403, "RESERVED_THREAD");
        put["act"] = "LEARN".into();
        let reply = caller.post("/v1/records", &put);
        assert_eq!(reply.status, if std::ptr::eq(caller, &admin) { 201 } else { 403 }, "{}", reply.text());
    }
    for kind in [
        "core.api_token.v1",
        "core.service_account.v1",
        "core.token_lifecycle_event.v1",
        "core.impersonation.event.v1",
        "core.consent.v1",
    ] {
        let reply = admin.post("/v1/records", &record("a", ADMIN, json!({ "kind": kind })));
        refuses_with_hint(reply, 403, "RESERVED_KIND");
    }
    for namespace in ["Team", "a//b", "a/b/c/d/e", "", "/a"] {
        admin
            .post("/v1/records", &record("a", ADMIN, json!({ "namespace": namespace })))
            .refuses(403, "NAMESPACE_REJECTED");
    }
}

#[test]
fn accounts_and_tokens() {
    let node = Node::memory();
    let first = node.bootstrap();
    let admin = node.as_token(&first);
    let account = |id: &str| format!("/v1/service-accounts/{id}");
    let nobody = "sa_0000000000000000";
    for reply in [
        admin.get(&account(nobody)),
        admin.patch(&account(nobody), &json!({ "name": "x" })),
        admin.delete(&account(nobody)),
        admin.post(&format!("{}/rotate-key", account(nobody)), &json!({})),
        admin.post("/v1/tokens", &json!({ "service_account_id": nobody })),
    ] {
        refuses_with_hint(reply, 404, "SERVICE_ACCOUNT_NOT_FOUND");
    }
    refuses_with_hint(admin.delete(&format!("/v1/tokens/{}", "0".repeat(64))), 404, "TOKEN_NOT_FOUND");
    refuses_with_hint(admin.delete("/v1/tokens/x"), 404, "TOKEN_NOT_FOUND");
    let token = admin.contributor(ALICE);
    admin.delete(&account(&token.account)).is(200);
    for reply in [
        admin.patch(&account(&token.account), &json!({ "name": "x" })),
        admin.post(&format!("{}/rotate-key", account(&token.account)), &json!({})),
        admin.post("/v1/tokens", &json!({ "service_account_id": token.account })),
    ] {
        refuses_with_hint(reply, 409, "SERVICE_ACCOUNT_REVOKED");
    }
    let again = admin.delete(&account(&token.account)).is(200).json();
    assert_eq!((&again["status"], &again["tokens_revoked"]), (&json!("already_revoked"), &json!(0)));
    // A token reaches no further than its account.
    let reader = admin.account(&[ALICE], &["records:read"]);
    let wider = json!({ "service_account_id": reader.account, "scopes": ["admin"] });
    refuses_with_hint(admin.post("/v1/tokens", &wider), 400, "INVALID_BODY");
    for (scopes, actors) in [(json!(["admin", "thread:x:read"]), json!([])), (json!(["nothing"]), json!([]))]
    {
        admin
            .post("/v1/service-accounts", &json!({ "name": "x", "scopes": scopes, "actors": actors }))
            .refuses(400, "INVALID_BODY");
    }
    for name in ["", " x", "a\nb", "\u{e000}"] {
        admin.post("/v1/service-accounts", &json!({ "name": name })).refuses(400, "INVALID_NAME");
    }
    admin
        .post("/v1/service-accounts", &json!({ "name": "x", "namespace": "team" }))
        .refuses(403, "NAMESPACE_REJECTED");
}

#[test]
fn somebody_must_be_left_who_administers() {
    let node = Node::memory();
    let first = node.bootstrap();
    let admin = node.as_token(&first);
    let account = format!("/v1/service-accounts/{}", first.account);
    let head = admin.head();
    for reply in [
        admin.delete(&account),
        admin.delete(&format!("/v1/tokens/{}", first.id)),
        admin.patch(&account, &json!({ "actors": [] })),
        admin.patch(&account, &json!({ "scopes": ["records:read"] })),
    ] {
        refuses_with_hint(reply, 409, "LAST_ADMIN");
    }
    assert_eq!(admin.head(), head, "a refusal writes nothing");
    // Also where each of two would take the other's place.
    let second = admin.account(&["did:sync:user:second"], &["admin"]);
    let other = node.as_token(&second);
    let replies: Vec<_> = std::thread::scope(|scope| {
        let one = scope.spawn(|| admin.delete(&format!("/v1/service-accounts/{}", second.account)));
        let two = scope.spawn(|| {
            other.patch(&format!("/v1/service-accounts/{}", second.account), &json!({ "actors": [] }))
        });
        [one, two].into_iter().map(|t| t.join().expect("an answer").status).collect()
    });
    admin.get("/v1/tokens").is(200);
    assert_eq!(replies[0], 200, "{replies:?}");
    // Local proof may leave nobody: it can always begin again.
    assert_eq!(node.owner().delete(&account).status, 401, "the proof alone frees nothing here");
    admin.header("x-syncropel-local", &node.proof).delete(&account).is(200);
    admin.get("/v1/tokens").refuses(401, "AUTH_INVALID");
}

#[test]
fn of_two_admins_that_end_each_other_one_stays() {
    let node = Node::disk();
    for _ in 0..6 {
        let one = if node.anyone().get("/health").json()["auth"]["mode"] == "bootstrap" {
            node.bootstrap()
        } else {
            break;
        };
        let admin = node.as_token(&one);
        let mut pair = [one, admin.account(&["did:sync:user:b"], &["admin"])];
        for round in 0..8 {
            let [left, right] = &pair;
            let end = |by: &Token, of: &Token| {
                let (caller, path) = (node.as_token(by), format!("/v1/tokens/{}", of.id));
                move || caller.delete(&path).status
            };
            let (a, b) = (end(left, right), end(right, left));
            let statuses = std::thread::scope(|scope| {
                let (a, b) = (scope.spawn(a), scope.spawn(b));
                (a.join().expect("an answer"), b.join().expect("an answer"))
            });
            // The account with grants is ended only by whoever may hand out grants: only the first can win there.
            let alive: Vec<&Token> =
                pair.iter().filter(|t| node.as_token(t).get("/v1/tokens").status == 200).collect();
            assert!(!alive.is_empty(), "round {round}: {statuses:?}");
            let survivor = alive[0].clone();
            let caller = node.as_token(&survivor);
            let next = caller.account(&[&format!("did:sync:user:r{round}")], &["admin"]);
            pair = [survivor, next];
        }
    }
}

#[test]
fn consent() {
    let node = Node::memory();
    let first = node.bootstrap();
    let admin = node.as_token(&first);
    // An admin, but nobody who may hand out grants.
    let other_token = admin.account(&["did:sync:user:other"], &["admin"]);
    let other = node.as_token(&other_token);
    let of_first = format!("/v1/service-accounts/{}", first.account);
    let body = |actors: Value| json!({ "name": "x", "actors": actors, "with_token": true });
    let head = admin.head();
    let other_account = format!("/v1/service-accounts/{}", other_token.account);
    let attempts = |caller: &super::kit::Caller| {
        vec![
            caller.post("/v1/service-accounts", &body(json!([ADMIN]))),
            caller.post("/v1/service-accounts", &body(json!(["did:sync:user:x", ADMIN]))),
            caller.patch(&other_account, &json!({ "actors": ["did:sync:user:other", ADMIN] })),
            caller.patch(&of_first, &json!({ "actors": ["did:sync:user:x"] })),
            caller.post("/v1/tokens", &json!({ "service_account_id": first.account })),
            caller.post(&format!("{of_first}/rotate-key"), &json!({})),
            caller.delete(&of_first),
            caller.delete(&format!("/v1/tokens/{}", first.id)),
        ]
    };
    for reply in attempts(&other) {
        let json = refuses_with_hint(reply, 403, "CONSENT_DENIED");
        assert!(json["hint"].as_str().expect("a hint").contains("consent grant"), "{json}");
    }
    // Acting as somebody lends none of its grants.
    for reply in attempts(&other.claiming(ADMIN)) {
        refuses_with_hint(reply, 403, "CONSENT_DENIED");
    }
    refuses_with_hint(other.get("/v1/export?reserved=true"), 403, "CONSENT_DENIED");
    other.claiming(ADMIN).get("/v1/export?reserved=true").refuses(403, "CONSENT_DENIED");
    refuses_with_hint(other.post("/v1/backup", &json!({})), 403, "CONSENT_DENIED");
    assert_eq!(admin.head(), head, "a refusal writes nothing");
    // A holder of the grant may, and a token of a holder's account that has another live one may be ended.
    let minted =
        Token::of(&admin.post("/v1/tokens", &json!({ "service_account_id": first.account })).is(201).json());
    other.delete(&format!("/v1/tokens/{}", minted.id)).is(200);
    // Renewing oneself hands nothing to anybody.
    let renewed = admin.post(&format!("/v1/tokens/{}/rotate", first.id), &json!({})).is(200).json();
    node.as_token(&Token::of(&renewed)).post("/v1/service-accounts", &body(json!([ADMIN]))).is(201);
}

#[test]
fn grants() {
    let node = Node::memory();
    let admin = node.admin();
    let grants = "/v1/consent/grants";
    let other = node.as_token(&admin.account(&["did:sync:user:other"], &["admin"]));
    let give = |grantee: &str, resource: &str, access: &str| json!({ "grantee": grantee, "resource": resource, "access": access });
    for reply in [
        other.get(grants),
        other.post(grants, &give("did:sync:user:other", "th_consent", "write")),
        other.claiming(ADMIN).post(grants, &give("did:sync:user:other", "th_consent", "write")),
    ] {
        refuses_with_hint(reply, 403, "CONSENT_DENIED");
    }
    let alice = node.as_token(&admin.contributor(ALICE));
    alice.get(grants).refuses(403, "SCOPE_FORBIDDEN");
    node.anyone().get(grants).refuses(401, "AUTH_REQUIRED");
    node.owner().get(grants).refuses(401, "AUTH_REQUIRED");
    for bad in [
        give("alice", "th_consent", "write"),
        give(ALICE, "th_api_tokens", "read"),
        give(ALICE, "th_consent", "admin"),
        json!({ "grantee": ALICE }),
    ] {
        let reply = admin.post(grants, &bad);
        assert_eq!(reply.status, 400, "{bad}: {}", reply.text());
    }
    let rows = admin.rows(grants);
    let id = |row: &Value| row["grant_id"].as_str().expect("an id").to_owned();
    let own = rows.iter().find(|r| r["resource"] == "th_consent").expect("a grant");
    refuses_with_hint(admin.delete(&format!("{grants}/{}", id(own))), 409, "LAST_GRANT");
    refuses_with_hint(admin.delete(&format!("{grants}/cg_0000000000000000")), 404, "GRANT_NOT_FOUND");
    // With a grant of its own the other may, and then it is no longer the last.
    let given = admin.post(grants, &give("did:sync:user:other", "th_consent", "write")).is(201).json();
    assert!(given["record_id"].is_string() && given["object"].is_string(), "{given}");
    other.get(grants).is(200);
    let taken = other.delete(&format!("{grants}/{}", id(own))).is(200).json();
    assert_eq!(taken["status"], "revoked", "{taken}");
    let again = other.delete(&format!("{grants}/{}", id(own))).is(200).json();
    assert_eq!(again["status"], "already_revoked", "{again}");
    admin.get(grants).refuses(403, "CONSENT_DENIED");
    admin.get("/v1/export?reserved=true").refuses(403, "CONSENT_DENIED");
}
