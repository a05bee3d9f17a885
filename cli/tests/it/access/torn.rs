//! Power cuts under a load of commands: what was acknowledged is there, and nothing exists in part.

use std::{
    collections::BTreeMap,
    sync::{
        Mutex,
        atomic::{AtomicU64, Ordering},
    },
};

use serde_json::{Value, json};

use super::kit::{Caller, Node, Token, random, record};
use crate::{raw::Client, support::wait_until};

const ROUNDS: usize = 10;

/// What is known of a token.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Known {
    Live,
    /// Its end was asked for, and not acknowledged.
    Unsure,
    Dead,
}

/// What was acknowledged in one home.
#[derive(Default)]
struct Acknowledged {
    tokens: BTreeMap<String, (Token, Known)>,
    actors: BTreeMap<String, Vec<String>>,
    records: Vec<(String, u64)>,
    /// Records of grants.
    grants: Vec<Value>,
}

type Shared<'a> = &'a Mutex<Acknowledged>;

impl Acknowledged {
    fn knows(shared: Shared<'_>, token: &Token, known: Known) {
        let mut all = shared.lock().expect("no panic");
        all.tokens.insert(token.id.clone(), (token.clone(), known));
    }
}

/// Commands on accounts of its own until the instance is gone.
fn command(admin: &Caller, number: usize, all: Shared<'_>, done: &AtomicU64) -> Option<()> {
    let mut connection = Client::try_connect(admin.port).ok()?;
    let mut ask = |method: &str, path: &str, body: Value| -> Option<Value> {
        let reply = admin.over(&mut connection, method, path, Some(&body)).ok()?;
        assert!(matches!(reply.status, 200 | 201), "{method} {path}: {}", reply.text());
        done.fetch_add(1, Ordering::AcqRel);
        Some(reply.json())
    };
    loop {
        let actor = format!("did:sync:user:{number}.{:x}", random());
        let made = ask(
            "POST",
            "/v1/service-accounts",
            json!({ "name": "x", "actors": [actor], "with_token": true }),
        )?;
        let first = Token::of(&made);
        Acknowledged::knows(all, &first, Known::Live);
        all.lock().expect("no panic").actors.insert(first.account.clone(), vec![actor.clone()]);
        let account = format!("/v1/service-accounts/{}", first.account);
        let second = Token::of(&ask("POST", "/v1/tokens", json!({ "service_account_id": first.account }))?);
        Acknowledged::knows(all, &second, Known::Live);
        let more = vec![actor.clone(), format!("{actor}.more")];
        // Either list may be there until it is acknowledged.
        all.lock().expect("no panic").actors.remove(&first.account);
        ask("PATCH", &account, json!({ "actors": more }))?;
        all.lock().expect("no panic").actors.insert(first.account.clone(), more);
        let grant = json!({ "grantee": actor, "resource": "th_invites", "access": "read" });
        let given = ask("POST", "/v1/consent/grants", grant)?;
        if random().is_multiple_of(2) {
            let path = format!("/v1/consent/grants/{}", given["grant_id"].as_str().expect("an id"));
            ask("DELETE", &path, json!({}))?;
        } else {
            all.lock().expect("no panic").grants.push(given["record_id"].clone());
        }
        let mut current = second.clone();
        match random() % 4 {
            0 => {
                Acknowledged::knows(all, &first, Known::Unsure);
                ask("DELETE", &format!("/v1/tokens/{}", first.id), json!({}))?;
                Acknowledged::knows(all, &first, Known::Dead);
            }
            1 => {
                for token in [&first, &second] {
                    Acknowledged::knows(all, token, Known::Unsure);
                }
                let answer = ask("POST", &format!("{account}/rotate-key"), json!({}))?;
                for token in [&first, &second] {
                    Acknowledged::knows(all, token, Known::Dead);
                }
                current = Token::of(&answer);
                Acknowledged::knows(all, &current, Known::Live);
            }
            2 => {
                for token in [&first, &second] {
                    Acknowledged::knows(all, token, Known::Unsure);
                }
                ask("DELETE", &account, json!({}))?;
                for token in [&first, &second] {
                    Acknowledged::knows(all, token, Known::Dead);
                }
                continue;
            }
            _ => {}
        }
        // Renewing, over a connection of its own.
        Acknowledged::knows(all, &current, Known::Unsure);
        let made = Token::made(&current.account);
        Acknowledged::knows(all, &made, Known::Unsure);
        let own = Caller::at(admin.port, &current);
        let path = format!("/v1/tokens/{}/rotate", current.id);
        let body = json!({ "new_token_id": made.id }).to_string();
        let reply = own.try_call("POST", &path, Some(body.as_bytes())).ok()?;
        reply.is(200);
        done.fetch_add(1, Ordering::AcqRel);
        Acknowledged::knows(all, &current, Known::Dead);
        Acknowledged::knows(all, &made, Known::Live);
    }
}

/// Writes until the instance is gone.
fn write(admin: &Caller, number: usize, all: Shared<'_>) -> Option<()> {
    let mut connection = Client::try_connect(admin.port).ok()?;
    loop {
        // As somebody else: these commits carry a trail too.
        let actor = format!("did:sync:user:writer{number}");
        let body = record("data", &actor, json!({ "n": random(), "text": "x".repeat(2000) }));
        let reply = admin.over(&mut connection, "POST", "/v1/records", Some(&body)).ok()?;
        let stored = reply.is(201).json();
        let id = stored["id"].as_str().expect("an id").to_owned();
        let sequence = stored["sequence"].as_u64().expect("a sequence");
        all.lock().expect("no panic").records.push((id, sequence));
    }
}

/// Each source has one mirror, right behind it and in the same commit; and there is no mirror without a source.
fn mirrors_pair_up(records: &[Value]) {
    let mirror_of = |record: &Value| match record["thread"].as_str().expect("a thread") {
        "th_service_accounts" => Some("th_audit_tokens"),
        "th_api_tokens" if record["body"]["kind"] != "core.api_token.activity.v1" => Some("th_audit_tokens"),
        "th_consent" => Some("th_audit_consent"),
        _ => None,
    };
    let mut mirrors = 0;
    for (at, one) in records.iter().enumerate() {
        if let Some(thread) = mirror_of(one) {
            let mirror = records.get(at + 1).unwrap_or_else(|| panic!("no mirror of {one}"));
            assert_eq!(mirror["thread"], thread, "{one} {mirror}");
            assert_eq!(mirror["body"]["source_record"], one["id"], "{one} {mirror}");
            assert_eq!(mirror["parents"], json!([one["id"]]), "{one} {mirror}");
            assert_eq!(mirror["created_at"], one["created_at"], "{one} {mirror}");
            assert_eq!(mirror["sequence"].as_u64(), one["sequence"].as_u64().map(|s| s + 1));
            mirrors += 1;
        }
        if one["thread"] == "data" && one["actor"] != "did:sync:system:engine" {
            let trail = records.get(at + 1).unwrap_or_else(|| panic!("no trail of {one}"));
            assert_eq!(trail["thread"], "th_audit_impersonation", "{one} {trail}");
            assert_eq!(trail["body"]["first_record"], one["id"]);
        }
    }
    let told = records.iter().filter(|r| r["body"].get("source_record").is_some()).count();
    assert_eq!(told, mirrors, "a mirror without a source");
    let sequences: Vec<_> = records.iter().map(|r| r["sequence"].as_u64().expect("a sequence")).collect();
    assert_eq!(sequences, (1..=records.len() as u64).collect::<Vec<_>>(), "no gap");
}

fn check(node: &Node, admin: &Caller, all: &mut Acknowledged) {
    for (token, known) in all.tokens.values_mut() {
        let reply = node.as_token(token).get("/v1/identity");
        let live = reply.status == 200;
        match known {
            Known::Live => assert!(live, "an acknowledged token is gone: {}", reply.text()),
            Known::Dead => assert!(!live, "an acknowledged end is undone: {}", token.id),
            Known::Unsure => *known = if live { Known::Live } else { Known::Dead },
        }
    }
    let rows = admin.rows("/v1/service-accounts?limit=1000");
    for (account, actors) in &all.actors {
        let row = rows.iter().find(|r| r["id"] == json!(account)).expect("an acknowledged account");
        assert_eq!(row["actors"], json!(actors), "{row}");
    }
    let records = admin.exported(true);
    let at = |sequence: u64| records.get(usize::try_from(sequence - 1).expect("small"));
    for (id, sequence) in &all.records {
        assert_eq!(at(*sequence).map(|r| &r["id"]), Some(&json!(id)), "an acknowledged record is gone");
    }
    for grant in &all.grants {
        assert!(records.iter().any(|r| r["id"] == *grant), "an acknowledged grant is gone");
    }
    mirrors_pair_up(&records);
    let verified = admin.get("/v1/verify").is(200).text();
    assert!(verified.contains("\"ok\":true"), "{verified}");
    // Each round has its own: what was checked once is checked by verify from then on.
    *all = Acknowledged::default();
}

fn rounds() {
    let mut node = Node::disk();
    let token = node.bootstrap();
    let mut before = Vec::new();
    for _ in 0..ROUNDS {
        let admin = node.as_token(&token);
        let (all, done) = (Mutex::new(Acknowledged::default()), AtomicU64::new(0));
        std::thread::scope(|scope| {
            let (admin, all, done) = (&admin, &all, &done);
            for number in 0..4 {
                scope.spawn(move || command(admin, number, all, done));
            }
            for number in 0..2 {
                scope.spawn(move || write(admin, number, all));
            }
            let moment = 1 + random() % 60;
            wait_until("some is done", || (done.load(Ordering::Acquire) >= moment).then_some(()));
            node.kill();
        });
        node.run(&[]);
        let mut all = all.into_inner().expect("no panic");
        let admin = node.as_token(&token);
        before.extend(all.tokens.values().filter(|(_, known)| *known == Known::Dead).map(|(t, _)| t.clone()));
        check(&node, &admin, &mut all);
    }
    // What died rounds ago is dead.
    for token in before {
        assert_eq!(node.as_token(&token).get("/v1/identity").status, 401, "{}", token.id);
    }
    node.stop();
    assert_eq!(node.sandbox.spl(&["verify", "--json"]).ok().json()["ok"], true);
}

#[test]
fn commands_survive_power_cuts() {
    rounds();
}

#[test]
fn commands_survive_power_cuts_again() {
    rounds();
}
