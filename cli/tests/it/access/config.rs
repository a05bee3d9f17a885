//! Configuration by records, as it takes effect.

use serde_json::{Value, json};

use super::kit::{ADMIN, ALICE, Caller, ENGINE, Node, record, refuses_with_hint};

/// A configuration record as the documents write it.
fn learn(actor: &str, body: Value) -> Value {
    json!({ "thread": "th_engine_config", "actor": actor, "act": "LEARN", "body": body })
}

/// The row of a topic.
#[track_caller]
fn shown(admin: &Caller, topic: &str) -> Value {
    let config = admin.get("/v1/config").is(200).json();
    let settings = config["settings"].as_array().expect("settings").clone();
    settings.into_iter().find(|row| row["topic"] == topic).expect("the topic")
}

fn mode(node: &Node) -> Value {
    node.anyone().get("/health").is(200).json()["auth"].clone()
}

#[test]
fn the_engines_record_decides_from_the_next_request_on_and_survives() {
    let mut node = Node::disk();
    let token = node.bootstrap();
    let admin = node.as_token(&token);
    assert_eq!(
        shown(&admin, "auth_required"),
        json!({ "topic": "auth_required", "source": "default",
        "value": { "enabled": true } })
    );
    let engine = admin.claiming(ENGINE);
    for round in 0..10 {
        let off =
            json!({ "topic": "auth_required", "enabled": false, "kind": "core.engine_config", "_v": 1 });
        let set = engine.wrote(&learn(ENGINE, off));
        node.anyone().get("/v1/threads").is(200);
        assert_eq!(mode(&node), json!({ "required": false, "mode": "open" }));
        let row = shown(&admin, "auth_required");
        assert_eq!(row["record_id"], set["id"], "round {round}");
        assert_eq!(
            (&row["source"], &row["actor"], &row["service_account_id"], &row["updated_at"]),
            (&json!("record"), &json!(ENGINE), &json!(token.account), &set["created_at"])
        );
        engine.wrote(&learn(ENGINE, json!({ "topic": "auth_required", "enabled": true })));
        node.anyone().get("/v1/threads").refuses(401, "AUTH_REQUIRED");
        assert_eq!(mode(&node), json!({ "required": true, "mode": "secure" }));
    }
    // Nothing of it is anybody's impersonation.
    let trail = admin.get("/v1/threads/th_audit_impersonation/records").is(200).json();
    assert_eq!(trail["data"], json!([]));
    engine.wrote(&learn(ENGINE, json!({ "topic": "auth_required", "enabled": false })));
    for _ in 0..2 {
        let before = shown(&node.as_token(&token), "auth_required");
        node.kill();
        node.run(&[]);
        assert_eq!(shown(&node.as_token(&token), "auth_required"), before);
        node.anyone().get("/v1/threads").is(200);
    }
}

#[test]
fn only_the_data_plane_is_freed_and_a_bearer_is_looked_at_all_the_same() {
    let node = Node::memory();
    let (admin, anyone) = (node.admin(), node.anyone());
    admin.set("auth_required", &json!({ "enabled": false })).is(201);
    let written = anyone.wrote(&record("a", ALICE, json!({})));
    assert!(written.get("token_id").is_none() && written.get("origin").is_none(), "{written}");
    for path in ["/v1/records?thread=a", "/v1/threads", "/v1/tasks", "/v1/export", "/v1/identity"] {
        anyone.get(path).is(200);
        anyone.bearer("spl_prod_x").get(path).refuses(401, "AUTH_INVALID");
    }
    let reader = node.as_token(&admin.account(&[ALICE], &["records:read"]));
    reader.post("/v1/records", &record("a", ALICE, json!({}))).refuses(403, "SCOPE_FORBIDDEN");
    reader.claiming("did:sync:user:bob").get("/v1/threads").refuses(403, "DID_CLAIM_DENIED");
    let operators = [
        ("GET", "/v1/service-accounts"),
        ("POST", "/v1/service-accounts"),
        ("GET", "/v1/tokens"),
        ("POST", "/v1/tokens"),
        ("GET", "/v1/config"),
        ("POST", "/v1/config/auth_required"),
        ("GET", "/v1/config/permission-rules"),
        ("POST", "/v1/backup"),
        ("GET", "/v1/verify"),
        ("GET", "/v1/export?reserved=true"),
        ("GET", "/v1/health"),
        ("GET", "/v1/log/head"),
    ];
    for caller in [&anyone, &node.owner()] {
        for (method, path) in operators {
            let reply = caller.call(method, path, None);
            assert_eq!(reply.status, 401, "{method} {path}: {}", reply.text());
            reply.refuses(401, "AUTH_REQUIRED");
        }
    }
    // Nobody without a credential reads or writes what the instance keeps, in no mode.
    anyone
        .post("/v1/records", &learn(ENGINE, json!({ "topic": "auth_required", "enabled": true })))
        .refuses(403, "RESERVED_THREAD");
    for thread in ["th_engine_config", "th_api_tokens", "th_audit_tokens"] {
        anyone.get(&format!("/v1/threads/{thread}")).refuses(404, "NOT_FOUND");
        assert_eq!(anyone.rows(&format!("/v1/records?thread={thread}")), [] as [Value; 0]);
    }
    assert!(anyone.exported(false).iter().all(|r| r["thread"] == "a"));
    // Rebinding needs a name.
    anyone.header("host", "evil.example").get("/v1/threads").refuses(403, "ORIGIN_FORBIDDEN");
}

#[test]
fn what_is_not_understood_is_not_written() {
    let node = Node::memory();
    let admin = node.admin();
    let head = admin.head();
    let bad = [
        json!({}),
        json!({ "topic": 1 }),
        json!({ "topic": "nonsense", "enabled": true }),
        json!({ "topic": "auth_required" }),
        json!({ "topic": "auth_required", "enabled": "true" }),
        json!({ "topic": "auth_required", "enabled": 1 }),
        json!({ "topic": "auth_required", "enabled": true, "more": 1 }),
        json!({ "topic": "strict_actor_header", "enabled": null }),
        json!({ "topic": "auth_cors_origins", "origins": "https://a.example" }),
        json!({ "topic": "auth_cors_origins", "origins": ["*"] }),
        json!({ "topic": "auth_cors_origins", "origins": ["null"] }),
        json!({ "topic": "auth_cors_origins", "origins": ["https://a.example/path"] }),
        json!({ "topic": "auth_cors_origins", "origins": ["https://*.example"] }),
        json!({ "topic": "auth_cors_origins", "origins": [1] }),
        json!({ "topic": "auth_cors_origins", "origins": vec!["https://a.example"; 101] }),
        json!({ "topic": "trusted_proxies", "cidrs": ["10.0.0.0/33"] }),
        json!({ "topic": "trusted_proxies", "cidrs": ["localhost"] }),
        json!({ "topic": "public_url", "url": "http://spl.example.com" }),
        json!({ "topic": "public_url", "url": "https://spl.example.com/path" }),
        json!({ "topic": "public_url", "url": "https://user@spl.example.com" }),
        json!({ "topic": "public_url", "url": null }),
        json!({ "topic": "permission_rule", "name": "x", "action": "maybe", "priority": 1, "expression": "true",
            "enabled": true }),
        json!({ "topic": "permission_rule", "name": "x", "action": "deny", "priority": 1.5, "expression": "true",
            "enabled": true }),
        json!({ "topic": "permission_rule", "name": "x", "action": "deny", "priority": 1, "expression": "true" }),
        json!({ "topic": "permission_rule", "name": "x", "action": "deny", "priority": 1, "enabled": false,
            "expression": "not cel at all" }),
    ];
    for body in &bad {
        let reply = admin.claiming(ENGINE).post("/v1/records", &learn(ENGINE, body.clone()));
        assert_eq!(reply.status, 400, "{body}: {}", reply.text());
        reply.refuses(400, "INVALID_BODY");
        if let Some(topic) = body["topic"].as_str() {
            let reply = admin.set(topic, body);
            assert_eq!(reply.status, if topic == "nonsense" { 404 } else { 400 }, "{body}: {}", reply.text());
        }
    }
    let named =
        json!({ "name": " x", "action": "deny", "priority": 1, "expression": "true", "enabled": false });
    admin.set("permission_rule", &named).refuses(400, "INVALID_NAME");
    admin
        .set("auth_required", &json!({ "topic": "public_url", "enabled": true }))
        .refuses(400, "INVALID_BODY");
    // Not with something good beside it either: all or nothing.
    let good = learn(ENGINE, json!({ "topic": "auth_required", "enabled": false }));
    let batch = json!({ "records": [good, learn(ENGINE, json!({ "topic": "nonsense" }))] });
    admin.claiming(ENGINE).post("/v1/records", &batch).refuses(400, "INVALID_BODY");
    assert_eq!(admin.head(), head, "a refusal writes nothing");
    assert_eq!(mode(&node)["required"], true);
}

#[test]
fn a_topic_can_be_written_in_a_batch_and_the_last_one_counts() {
    let node = Node::memory();
    let admin = node.admin();
    let set = |enabled: bool, n: u64| {
        let mut one = learn(ADMIN, json!({ "topic": "auth_required", "enabled": enabled }));
        one["clock"] = n.into();
        one
    };
    let mut data = record("a", ADMIN, json!({}));
    data["clock"] = 1.into();
    let batch = json!({ "records": [set(false, 1), data, set(true, 2), set(false, 3)] });
    let answer = admin.post("/v1/records", &batch).is(201).json();
    assert_eq!(shown(&admin, "auth_required")["record_id"], answer["data"][3]["id"]);
    node.anyone().get("/v1/threads").is(200);
    // Sent again it writes nothing, and what came after it stays.
    admin.set("auth_required", &json!({ "enabled": true })).is(201);
    admin.post("/v1/records", &batch).is(200);
    node.anyone().get("/v1/threads").refuses(401, "AUTH_REQUIRED");
}

#[test]
fn who_may_read_and_write_it() {
    let node = Node::memory();
    let admin = node.admin();
    admin.set("auth_required", &json!({ "enabled": true })).is(201);
    let only = |scopes: &[&str]| node.as_token(&admin.account(&[ALICE], scopes));
    let thread = "/v1/records?thread=th_engine_config";
    let reader = only(&["records:read", "config:read"]);
    assert_eq!(reader.rows(thread).len(), 1);
    reader.get("/v1/config").is(200);
    reader.get("/v1/threads/th_engine_config").is(200);
    let outsider = only(&["records:read", "records:write"]);
    assert_eq!(outsider.rows(thread), [] as [Value; 0]);
    let on = |actor: &str| learn(actor, json!({ "topic": "auth_required", "enabled": true }));
    outsider.post("/v1/records", &on(ALICE)).refuses(403, "RESERVED_THREAD");
    outsider.claiming(ENGINE).post("/v1/records", &on(ENGINE)).refuses(403, "DID_CLAIM_DENIED");
    let writer = only(&["records:write", "config:write"]);
    writer.wrote(&on(ALICE));
    writer.claiming(ENGINE).wrote(&on(ENGINE));
    writer.wrote(&on(ENGINE));
    let off = learn(ENGINE, json!({ "topic": "auth_required", "enabled": false }));
    let refused =
        refuses_with_hint(writer.claiming(ENGINE).post("/v1/records", &off), 403, "SCOPE_FORBIDDEN");
    assert_eq!(refused["required_scope"], "admin");
    // The engine's name is for configuration alone, whoever claims it.
    for caller in [&writer, &admin] {
        caller
            .claiming(ENGINE)
            .post("/v1/records", &record("a", ENGINE, json!({})))
            .refuses(403, "DID_CLAIM_DENIED");
    }
    writer
        .claiming(ENGINE)
        .post("/v1/records", &record("a", ALICE, json!({})))
        .refuses(403, "DID_CLAIM_DENIED");
    writer.claiming(ENGINE).get("/v1/identity").refuses(403, "DID_CLAIM_DENIED");
}

#[test]
fn strict_flags_hold_admins_to_their_own_names() {
    let node = Node::memory();
    let admin = node.admin();
    let other = admin.claiming(ALICE);
    other.get("/v1/threads").is(200);
    other.wrote(&record("a", ALICE, json!({})));
    admin.set("strict_impersonation_enforcement", &json!({ "enabled": true })).is(201);
    for reply in [
        other.get("/v1/threads"),
        other.post("/v1/records", &record("a", ADMIN, json!({}))),
        admin.post("/v1/records", &record("a", ALICE, json!({}))),
        admin.post("/v1/threads", &json!({ "goal": "x", "actor": ALICE })),
    ] {
        refuses_with_hint(reply, 403, "DID_CLAIM_DENIED");
    }
    // Configuration is still written under the engine's name by whoever may.
    let engine = admin.claiming(ENGINE);
    let off = json!({ "topic": "strict_impersonation_enforcement", "enabled": false });
    engine.wrote(&learn(ENGINE, off));
    other.get("/v1/threads").is(200);
    admin.set("strict_actor_header", &json!({ "enabled": true })).is(201);
    refuses_with_hint(other.get("/v1/threads"), 403, "DID_CLAIM_DENIED");
    admin.claiming(ADMIN).get("/v1/threads").is(200);
    // It is about the header: a record may name another.
    admin.wrote(&record("a", ALICE, json!({ "n": 1 })));
    admin.set("auth_required", &json!({ "enabled": false })).is(201);
    node.anyone().claiming(ALICE).get("/v1/threads").refuses(403, "DID_CLAIM_DENIED");
    node.anyone().get("/v1/threads").is(200);
}

#[test]
fn the_public_address_is_given_or_configured_or_bound() {
    let mut node = Node::disk();
    let token = node.bootstrap();
    let bound = format!("http://127.0.0.1:{}", node.port);
    let url = |node: &Node| shown(&node.as_token(&token), "public_url");
    assert_eq!((&url(&node)["value"]["url"], &url(&node)["source"]), (&json!(bound), &json!("default")));
    let may = |node: &Node, origin: &str| {
        let admin = node.as_token(&token).header("origin", origin);
        admin.set("auth_required", &json!({ "enabled": true })).status == 201
    };
    let (one, other) = ("https://spl.example.com", "https://other.example.com:8443");
    assert!(!may(&node, one));
    let set = node.as_token(&token).set("public_url", &json!({ "url": "HTTPS://Spl.Example.com:443" }));
    let set = set.is(201).json();
    let row = url(&node);
    assert_eq!((&row["value"]["url"], &row["record_id"]), (&json!(one), &set["record_id"]));
    assert!(may(&node, one) && may(&node, &bound) && !may(&node, other));
    assert!(!may(&node, "http://spl.example.com") && !may(&node, "https://spl.example.com:444"));
    assert!(node.anyone().get("/.well-known/syncropel").is(200).text().contains(one));
    node.stop();
    node.run(&["--public-url", other]);
    let row = url(&node);
    assert_eq!((&row["value"]["url"], &row["source"]), (&json!(other), &json!("flag")));
    assert!(may(&node, other) && !may(&node, one));
    node.stop();
    node.run(&[]);
    assert_eq!(url(&node)["value"]["url"], one);
    assert!(may(&node, one) && !may(&node, other));
    // Where anybody may act, a name must be the instance's own.
    node.as_token(&token).set("auth_required", &json!({ "enabled": false })).is(201);
    let named = |host: &str| node.anyone().header("host", host).get("/v1/threads");
    named("spl.example.com").is(200);
    named("other.example.com").refuses(403, "ORIGIN_FORBIDDEN");
}
