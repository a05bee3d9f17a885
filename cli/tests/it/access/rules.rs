//! Permission rules over HTTP: the third layer, which can only refuse.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use serde_json::{Value, json};

use super::{
    grains::{fill, sees_exactly},
    kit::{ADMIN, ALICE, Caller, ENGINE, EndsWith, Node, Token, record, refuses_with_hint},
};
use crate::{raw::Client, support::wait_until};

const BOB: &str = "did:sync:user:bob";

fn rule(name: &str, action: &str, priority: i64, expression: &str) -> Value {
    json!({ "name": name, "action": action, "priority": priority, "expression": expression, "enabled": true })
}

#[track_caller]
fn set(admin: &Caller, rule: &Value) -> Value {
    admin.set("permission_rule", rule).is(201).json()
}

/// Rules in force that let everybody do everything; more are asked before them.
#[track_caller]
fn open(admin: &Caller) {
    set(admin, &rule("everybody", "allow", 0, "true"));
    admin.set("permissions_enabled", &json!({ "enabled": true })).is(201);
}

/// What asks for each resource.
fn probes(caller: &Caller, seen: &str) -> Vec<(&'static str, u16, bool)> {
    let denied = |reply: crate::raw::Reply| {
        let denied = reply.status == 403;
        if denied {
            refuses_with_hint(reply, 403, "PERMISSION_DENIED");
            return (403, true);
        }
        (reply.status, false)
    };
    let put = record("a", BOB, json!({ "n": 1 }));
    let account = json!({ "name": "x", "actors": [] });
    let on = json!({ "enabled": true });
    let learn = json!({ "thread": "th_engine_config", "actor": BOB, "act": "LEARN",
        "body": { "topic": "auth_required", "enabled": true } });
    let asked = [
        ("record_write", caller.post("/v1/records", &put)),
        ("record_write", caller.post("/v1/records", &json!({ "records": [put, put] }))),
        ("thread_read", caller.get("/v1/threads/a")),
        ("thread_read", caller.get("/v1/threads/a/state")),
        ("thread_read", caller.get("/v1/threads/a/records")),
        ("thread_read", caller.get("/v1/threads/a/participants")),
        ("thread_write", caller.post("/v1/threads", &json!({ "goal": "x", "actor": BOB, "thread": "b" }))),
        ("thread_write", caller.delete("/v1/threads/b")),
        ("config_read", caller.get("/v1/config")),
        ("config_read", caller.get("/v1/config/permission-rules")),
        ("config_write", caller.set("auth_required", &on)),
        ("config_write", caller.post("/v1/records", &learn)),
        ("service_account", caller.get("/v1/service-accounts")),
        ("service_account", caller.post("/v1/service-accounts", &account)),
        ("token", caller.get("/v1/tokens")),
        ("federation", caller.get("/v1/sync/x")),
    ];
    let mut all: Vec<_> = asked
        .into_iter()
        .map(|(resource, reply)| {
            let (status, denied) = denied(reply);
            (resource, status, denied)
        })
        .collect();
    let read = caller.get(&format!("/v1/records/{seen}")).status;
    all.push(("record_read", read, read == 404));
    all
}

#[test]
fn each_resource_can_be_denied_by_itself() {
    let node = Node::memory();
    let admin = node.admin();
    let bob = node.as_token(&admin.account(&[BOB], &["admin"]));
    let seen = admin.wrote(&record("a", ADMIN, json!({})))["id"].as_str().expect("an id").to_owned();
    open(&admin);
    assert!(probes(&bob, &seen).iter().all(|(_, _, denied)| !denied), "{:?}", probes(&bob, &seen));
    for resource in [
        "record_write",
        "record_read",
        "thread_read",
        "thread_write",
        "config_read",
        "config_write",
        "service_account",
        "token",
        "federation",
        "invite",
    ] {
        let expression = format!("actor == '{BOB}' && resource == '{resource}'");
        set(&admin, &rule("one", "deny", 10, &expression));
        for (asked, status, denied) in probes(&bob, &seen) {
            // A record that is configuration is both, and what is opened or cancelled is a record too. A thread
            // none of whose records exists does not exist.
            let also = match resource {
                "record_write" => asked == "thread_write" || asked == "config_write",
                "record_read" => status == 404,
                _ => false,
            };
            if asked == resource {
                assert!(
                    denied || also || (resource, status) == ("record_write", 403),
                    "{resource}: {asked} {status}"
                );
            } else {
                assert!(!denied || also, "{resource} denied: {asked} {status}");
            }
        }
        // Everybody else goes on.
        admin.get("/v1/tokens").is(200);
        admin.wrote(&record("a", ADMIN, json!({ "at": resource })));
    }
}

#[test]
fn the_first_true_rule_decides_and_none_is_a_refusal() {
    let node = Node::memory();
    let admin = node.admin();
    let alice = node.as_token(&admin.contributor(ALICE));
    let write = |n: u64| alice.post("/v1/records", &record("a", ALICE, json!({ "n": n }))).status;
    set(&admin, &rule("admins", "allow", 100, "'admin' in scopes"));
    assert_eq!(write(0), 201, "not in force yet");
    admin.set("permissions_enabled", &json!({ "enabled": true })).is(201);
    assert_eq!(write(1), 403);
    let only = "current_actor() == record.actor && namespace == 'default' && record.act == 'PUT'";
    set(&admin, &rule("own", "allow", 1, &format!("resource == 'record_write' && {only}")));
    assert_eq!(write(2), 201);
    alice
        .post("/v1/records", &record("a", ALICE, json!({ "namespace": "x" })))
        .refuses(403, "PERMISSION_DENIED");
    // Higher first; ties by name.
    set(&admin, &rule("b deny", "deny", 5, "resource == 'record_write' && !('admin' in scopes)"));
    assert_eq!(write(3), 403);
    set(&admin, &rule("a allow", "allow", 5, "resource == 'record_write'"));
    assert_eq!(write(4), 201);
    set(&admin, &rule("a allow", "allow", 4, "resource == 'record_write'"));
    assert_eq!(write(5), 403);
    // A rule of the same name replaces; a disabled one is none.
    let mut off = rule("b deny", "deny", 5, "true");
    off["enabled"] = false.into();
    set(&admin, &off);
    assert_eq!(write(6), 201);
    let rows = admin.rows("/v1/config/permission-rules");
    let order: Vec<_> =
        rows.iter().map(|r| (r["name"].as_str().expect("a name"), r["enabled"] == true)).collect();
    assert_eq!(order, [("admins", true), ("b deny", false), ("a allow", true), ("own", true)]);
    assert!(rows.iter().all(|r| r["record_id"].is_string()), "{rows:?}");
    // All of a batch, or nothing of it.
    set(&admin, &rule("no secrets", "deny", 50, "resource == 'record_write' && has(record.body.secret)"));
    let head = admin.head();
    let batch = json!({ "records": [record("a", ALICE, json!({ "x": 1 })), record("a", ALICE, json!({ "secret": 1 }))] });
    let refused = alice.post("/v1/records", &batch).refuses(403, "PERMISSION_DENIED").json();
    assert!(refused["message"].as_str().expect("a message").starts_with("records[1]: "), "{refused}");
    assert_eq!(admin.head(), head);
    admin.set("permissions_enabled", &json!({ "enabled": false })).is(201);
    alice.wrote(&record("a", ALICE, json!({ "secret": 1 })));
    // Health is exempt.
    set(&admin, &rule("nobody else", "deny", 99, "true"));
    admin.set("permissions_enabled", &json!({ "enabled": true })).is(201);
    for path in ["/health", "/health/ready", "/v1/health"] {
        alice.get(path).is(200);
    }
}

#[test]
fn what_may_not_be_read_is_absent_everywhere() {
    let node = Node::memory();
    let admin = node.admin();
    open(&admin);
    let all = fill(&admin);
    let hidden = format!(
        "resource == 'record_read' && !('admin' in scopes) && (record.thread == 'foreign' || record.actor == '{BOB}')"
    );
    set(&admin, &rule("hidden", "deny", 10, &hidden));
    let caller = node.as_token(&admin.contributor(ALICE));
    let sees = |r: &Value| r["thread"] != "foreign" && r["actor"] != BOB;
    // A live stream, opened before.
    let mut live = caller.events("/v1/events/stream");
    let mut watch = caller.events("/v1/threads/own/watch");
    sees_exactly(&admin, &caller, &all, sees);
    admin
        .post(
            "/v1/records",
            &json!({ "records": [record("own", BOB, json!({})), record("foreign", ADMIN, json!({})),
        record("own", ADMIN, json!({ "last": true }))] }),
        )
        .is(201);
    loop {
        let event = live.record().json()["record"].clone();
        assert!(sees(&event), "{event}");
        if event["body"]["last"] == true {
            break;
        }
    }
    assert_eq!(watch.record().json()["record"]["body"]["last"], true);
    // It is decided again for each record: a rule that comes later ends what was seen until then.
    set(&admin, &rule("nothing", "deny", 20, "resource == 'record_read' && !('admin' in scopes)"));
    assert_eq!(caller.exported(false), [] as [Value; 0]);
    admin.wrote(&record("own", ADMIN, json!({ "after": true })));
    set(
        &admin,
        &rule(
            "nothing",
            "deny",
            20,
            "resource == 'record_read' && !('admin' in scopes) && has(record.body.after)",
        ),
    );
    admin.wrote(&record("own", ADMIN, json!({ "again": true })));
    assert_eq!(watch.record().json()["record"]["body"]["again"], true);
}

#[test]
fn a_prohibition_that_cannot_be_read_prohibits() {
    let node = Node::memory();
    let admin = node.admin();
    open(&admin);
    let alice = node.as_token(&admin.contributor(ALICE));
    let write = |body: Value| alice.post("/v1/records", &record("a", ALICE, body)).status;
    let ours = format!("resource == 'record_write' && actor == '{ALICE}'");
    set(&admin, &rule("level", "deny", 10, &format!("{ours} && record.body.level > 3")));
    assert_eq!((write(json!({ "level": 1 })), write(json!({ "level": 4 }))), (201, 403));
    // Neither a text nor nothing is a level.
    assert_eq!((write(json!({})), write(json!({ "level": "1" }))), (403, 403));
    set(&admin, &rule("not a boolean", "deny", 11, &format!("{ours} ? record.body.level : false")));
    assert_eq!(write(json!({ "level": 1 })), 403);
    set(&admin, &rule("not a boolean", "allow", 11, &format!("{ours} ? record.body.level : false")));
    assert_eq!(write(json!({ "level": 2 })), 201, "a permission that cannot be read is none");
    set(&admin, &rule("level", "allow", 10, &format!("{ours} && record.body.level > 3")));
    set(&admin, &rule("rest", "deny", 9, &ours));
    assert_eq!(
        (write(json!({ "level": 4 })), write(json!({ "level": 3 })), write(json!({}))),
        (201, 403, 403)
    );
    // Too much to go through.
    let many = format!("{ours} && has(record.body.list) && record.body.list.all(x, x == 0)");
    set(&admin, &rule("many", "deny", 20, &many));
    let list = |count: usize| json!({ "list": vec![0; count], "level": 4 });
    assert_eq!(write(json!({ "list": [1], "level": 4 })), 201);
    assert_eq!(write(list(10_001)), 403);
    let failures = |name: &str| {
        let rows = admin.rows("/v1/config/permission-rules");
        rows.iter().find(|r| r["name"] == name).expect("the rule")["failures"].clone()
    };
    assert!(failures("many")["over_bound"].as_u64() >= Some(1), "{}", failures("many"));
    assert!(failures("level")["failed"].as_u64() >= Some(1), "{}", failures("level"));
}

#[test]
fn rules_that_could_take_for_ever_are_not_written() {
    let node = Node::memory();
    let admin = node.admin();
    let head = admin.head();
    let shapes = [
        String::new(),
        "(".to_owned(),
        format!("{}true{}", "(".repeat(40), ")".repeat(40)),
        format!("{}true{}", "(".repeat(2000), ")".repeat(2000)),
        format!("{}true", "!".repeat(4000)),
        format!("{}1", "-".repeat(4000)),
        format!("{}1{}", "[".repeat(1500), "]".repeat(1500)),
        format!("{}1{}", "{1:".repeat(1000), "}".repeat(1000)),
        format!("true{}", " && true".repeat(508)),
        format!("[{}] == []", vec!["1"; 1001].join(",")),
        format!("true{}", "?true:true".repeat(300)),
        format!("record{}", ".x".repeat(2000)),
        format!("true || '{}' == ''", "x".repeat(4096)),
        "[1].all(x, [1].all(y, x == y))".to_owned(),
        "[1].map(x, [1].map(y, [1].map(z, z)))".to_owned(),
        "[[1]].exists(x, x.exists(y, y == 1))".to_owned(),
        "record.thread.matches(record.actor)".to_owned(),
        "record.thread.matches('a' + 'b')".to_owned(),
        "record.thread.matches('(a{1000}){1000}')".to_owned(),
        "record.thread.matches('(')".to_owned(),
        "nonsense == 1".to_owned(),
        "nonsense(1)".to_owned(),
        "record.nonsense == 1".to_owned(),
        "true; false".to_owned(),
        "\u{0}".to_owned(),
    ];
    for shape in shapes {
        let short: String = shape.chars().take(60).collect();
        // Not even where it would not be asked.
        for enabled in [true, false] {
            let mut bad = rule("bad", "allow", 1, &shape);
            bad["enabled"] = enabled.into();
            let reply = admin.set("permission_rule", &bad);
            assert_eq!(reply.status, 400, "{short}: {}", reply.text());
            reply.refuses(400, "INVALID_BODY");
        }
        let mut body = rule("bad", "allow", 1, &shape);
        body["topic"] = "permission_rule".into();
        let learn = json!({ "thread": "th_engine_config", "actor": ENGINE, "act": "LEARN", "body": body });
        admin.claiming(ENGINE).post("/v1/records", &learn).refuses(400, "INVALID_BODY");
    }
    assert_eq!(admin.head(), head, "a refusal writes nothing");
    for n in 0..100 {
        set(&admin, &rule(&format!("rule {n}"), "allow", 1, "true"));
    }
    admin.set("permission_rule", &rule("one more", "allow", 1, "true")).refuses(400, "INVALID_BODY");
    let mut off = rule("one more", "allow", 1, "true");
    off["enabled"] = false.into();
    set(&admin, &off);
    set(&admin, &rule("rule 7", "deny", 1, "false"));
}

#[test]
fn nobody_locks_the_door_from_outside() {
    let node = Node::memory();
    let admin = node.admin();
    let second = node.as_token(&admin.account(&["did:sync:user:second"], &["admin"]));
    let enable = json!({ "enabled": true });
    let head = admin.head();
    // No rule at all would lock everybody out.
    for caller in [&admin, &second] {
        refuses_with_hint(caller.set("permissions_enabled", &enable), 409, "PERMISSION_LOCKOUT");
    }
    let learn =
        |body: Value| json!({ "thread": "th_engine_config", "actor": ENGINE, "act": "LEARN", "body": body });
    let engine = admin.claiming(ENGINE);
    let enabling = learn(json!({ "topic": "permissions_enabled", "enabled": true }));
    refuses_with_hint(engine.post("/v1/records", &enabling), 409, "PERMISSION_LOCKOUT");
    assert_eq!(admin.head(), head, "a refusal writes nothing");
    // While none is in force any may be written.
    set(&second, &rule("mine", "allow", 1, "actor == 'did:sync:user:second'"));
    // The guardian would lose it, though the caller would not.
    let refused = refuses_with_hint(second.set("permissions_enabled", &enable), 409, "PERMISSION_LOCKOUT");
    assert!(refused["message"].as_str().expect("a message").contains(ADMIN), "{refused}");
    refuses_with_hint(admin.set("permissions_enabled", &enable), 409, "PERMISSION_LOCKOUT");
    set(&admin, &rule("guardian", "allow", 1, &format!("actor == '{ADMIN}'")));
    second.set("permissions_enabled", &enable).is(201);
    let head = admin.head();
    for bad in [
        rule("guardian", "allow", 1, "false"),
        rule("guardian", "deny", 1, "true"),
        rule("new", "deny", 9, "resource == 'config_write'"),
        rule("new", "deny", 9, &format!("actor == '{ADMIN}'")),
        rule("new", "deny", 9, "record.body.x == 1"),
    ] {
        for caller in [&admin, &second] {
            refuses_with_hint(caller.set("permission_rule", &bad), 409, "PERMISSION_LOCKOUT");
        }
    }
    let mut disabled = rule("guardian", "allow", 1, &format!("actor == '{ADMIN}'"));
    disabled["enabled"] = false.into();
    refuses_with_hint(second.set("permission_rule", &disabled), 409, "PERMISSION_LOCKOUT");
    // The caller itself.
    refuses_with_hint(
        second.set("permission_rule", &rule("mine", "deny", 1, "actor == 'did:sync:user:second'")),
        409,
        "PERMISSION_LOCKOUT",
    );
    assert_eq!(admin.head(), head, "a refusal writes nothing");
    // Whoever is neither may be locked out.
    set(&admin, &rule("mine", "deny", 1, "actor == 'did:sync:user:second'"));
    second.set("auth_required", &enable).refuses(403, "PERMISSION_DENIED");
    // A batch is taken as a whole: what it ends at counts.
    admin.set("permissions_enabled", &json!({ "enabled": false })).is(201);
    set(&admin, &rule("guardian", "allow", 1, "false"));
    let mut good = rule("guardian", "allow", 1, "resource == 'config_write'");
    good["topic"] = "permission_rule".into();
    let on = json!({ "topic": "permissions_enabled", "enabled": true });
    let batch = |records: [Value; 2]| json!({ "records": records.map(learn) });
    engine.post("/v1/records", &batch([on.clone(), good.clone()])).is(201);
    good["expression"] = "false".into();
    engine.post("/v1/records", &batch([good, on])).refuses(409, "PERMISSION_LOCKOUT");
}

#[test]
fn a_locked_home_is_unlocked_while_it_is_stopped() {
    let mut node = Node::disk();
    let token = node.bootstrap();
    let admin = node.as_token(&token);
    // A rule that holds when it is written, and not for long: no guard can look into the future.
    let soon = admin.set("auth_required", &json!({ "enabled": true })).is(201).json();
    let at = admin.get(&format!("/v1/records/{}", soon["record_id"].as_str().expect("an id"))).json();
    let at: jiff::Timestamp = at["created_at"].as_str().expect("a time").parse().expect("a time");
    let until = at + jiff::SignedDuration::from_millis(1500);
    set(&admin, &rule("for now", "allow", 1, &format!("now() < timestamp('{until}')")));
    admin.set("permissions_enabled", &json!({ "enabled": true })).is(201);
    let off = json!({ "enabled": false });
    wait_until("everybody is locked out", || {
        let reply = admin.set("strict_actor_header", &off);
        (reply.status == 403).then(|| reply.refuses(403, "PERMISSION_DENIED"))
    });
    admin.set("permissions_enabled", &off).refuses(403, "PERMISSION_DENIED");
    node.owner().set("permissions_enabled", &off).refuses(401, "AUTH_REQUIRED");
    let running = node.sandbox.spl(&["config", "permissions-unlock"]).exits(1);
    assert!(running.stderr.contains("serve --stop"), "{running:?}");
    node.stop();
    let unlocked = node.sandbox.spl(&["-o", "json", "config", "permissions-unlock"]).ok().json();
    assert_eq!(unlocked["status"], "unlocked", "{unlocked}");
    let again = node.sandbox.spl(&["-o", "json", "config", "permissions-unlock"]).ok().json();
    assert_eq!(again["status"], "already_unlocked", "{again}");
    assert_eq!(node.sandbox.spl(&["verify", "--json"]).ok().json()["ok"], true);
    node.run(&[]);
    let admin = node.as_token(&token);
    admin.set("strict_actor_header", &off).is(201);
    let config = admin.rows("/v1/records?thread=th_engine_config");
    let written =
        config.iter().rev().find(|r| r["body"]["topic"] == "permissions_enabled").expect("a record");
    assert_eq!(
        (&written["body"]["enabled"], &written["origin"]),
        (&json!(false), &json!("command")),
        "{written}"
    );
    assert!(written.get("token_id").is_none(), "{written}");
    assert_eq!(admin.rows("/v1/config/permission-rules").len(), 1, "the rules are still there to be mended");
}

/// A write whose head and half of whose body are sent.
fn begin(caller: &Caller, body: &Value) -> (Client, Vec<u8>) {
    let request = caller.request("POST", "/v1/records", Some(body.to_string().as_bytes()));
    let (sent, rest) = request.split_at(request.len() - 10);
    let mut client = Client::connect(caller.port);
    client.write(sent).expect("a request");
    (client, rest.to_vec())
}

#[test]
fn writes_on_their_way_are_decided_under_the_rules_of_the_log() {
    const TURNS: usize = 12;
    let node = Node::disk();
    let admin = node.admin();
    open(&admin);
    let tokens: Vec<Token> = (0..4).map(|n| admin.contributor(&format!("did:sync:user:w{n}"))).collect();
    let expression = "resource == 'record_write' && record.thread == 'gate' && !('admin' in scopes)";
    let (done, written) = (AtomicBool::new(false), AtomicU64::new(0));
    let mut closed: Vec<(u64, u64)> = Vec::new();
    std::thread::scope(|scope| {
        for (n, token) in tokens.iter().enumerate() {
            let (caller, done, written) = (node.as_token(token), &done, &written);
            scope.spawn(move || {
                let mut connection = Client::connect(caller.port);
                let actor = format!("did:sync:user:w{n}");
                for round in 0_u64.. {
                    if done.load(Ordering::Acquire) {
                        return;
                    }
                    let one = |m: u64| record("gate", &actor, json!({ "n": round, "m": m }));
                    let body =
                        if n % 2 == 0 { one(0) } else { json!({ "records": [one(0), one(1), one(2)] }) };
                    let reply =
                        caller.over(&mut connection, "POST", "/v1/records", Some(&body)).expect("an answer");
                    match reply.status {
                        201 => drop(written.fetch_add(1, Ordering::AcqRel)),
                        // Decided again once: where the rules change twice meanwhile it is the client's turn.
                        503 => drop(reply.refuses(503, "BUSY")),
                        _ => drop(reply.refuses(403, "PERMISSION_DENIED")),
                    }
                }
            });
        }
        let _ends = EndsWith(&done);
        let writer = node.as_token(&tokens[0]);
        for turn in 0..TURNS {
            let before = written.load(Ordering::Acquire);
            wait_until("some is written", || (written.load(Ordering::Acquire) > before + 5).then_some(()));
            let slow = begin(&writer, &record("gate", "did:sync:user:w0", json!({ "slow": turn })));
            let shut = set(&admin, &rule("gate", "deny", 10, expression));
            let (mut client, rest) = slow;
            client.write(&rest).expect("a request");
            client.reply().expect("an answer").refuses(403, "PERMISSION_DENIED");
            // Other rules may change meanwhile: it stays shut.
            set(&admin, &rule("other", "deny", 5, "false"));
            let open = set(&admin, &rule("gate", "deny", 10, "false"));
            closed.push((admin.sequence_of(&shut["record_id"]), admin.sequence_of(&open["record_id"])));
        }
    });
    let stored: Vec<u64> = admin
        .rows("/v1/records?thread=gate&limit=1000")
        .iter()
        .map(|r| r["sequence"].as_u64().expect("a sequence"))
        .collect();
    assert!(stored.len() > TURNS);
    for (shut, open) in closed {
        let through: Vec<_> = stored.iter().filter(|s| (shut..open).contains(s)).collect();
        assert!(through.is_empty(), "shut at {shut}, opened at {open}, and written in between: {through:?}");
    }
}

#[test]
fn where_no_layer_runs_no_rule_does() {
    let mut node = Node::disk();
    let admin = node.admin();
    open(&admin);
    set(&admin, &rule("nobody", "deny", 5, "resource == 'record_write' || resource == 'record_read'"));
    admin.post("/v1/records", &record("a", ADMIN, json!({}))).refuses(403, "PERMISSION_DENIED");
    node.stop();
    node.run(&["--insecure-localhost"]);
    node.anyone().wrote(&record("a", ALICE, json!({})));
    assert_eq!(node.anyone().exported(false).len(), 1);
}
