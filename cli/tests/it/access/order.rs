//! The log is the order: nothing written with a token stands in the log after the token's end.

use std::{
    io,
    sync::{
        Mutex,
        atomic::{AtomicU64, Ordering},
    },
};

use serde_json::{Value, json};

use super::kit::{ALICE, Caller, Node, Token, random, record};
use crate::{
    raw::{Client, Reply, now},
    support::{LIMIT, wait_until},
};

const WRITERS: usize = 6;
const SLOW: usize = 3;
const ROUNDS: usize = 6;

/// How a token ends.
#[derive(Debug, Clone, Copy, PartialEq)]
enum End {
    Token,
    Account,
    RotateKey,
    Renewal,
    ActorsEmptied,
    ActorsChanged,
    Expiry,
}

const ENDS: [End; 7] = [
    End::Token,
    End::Account,
    End::RotateKey,
    End::Renewal,
    End::ActorsEmptied,
    End::ActorsChanged,
    End::Expiry,
];

impl End {
    /// What is answered to whoever writes afterwards.
    fn refusal(self) -> (u16, &'static str) {
        match self {
            Self::ActorsEmptied | Self::ActorsChanged => (403, "DID_CLAIM_DENIED"),
            _ => (401, "AUTH_INVALID"),
        }
    }

    /// Ends a token; the id of the record that says so, where one does.
    fn come(self, node: &Node, admin: &Caller, token: &Token) -> Option<Value> {
        let account = format!("/v1/service-accounts/{}", token.account);
        let revocation = |id: &str| {
            let records = admin.rows("/v1/records?thread=th_api_tokens&act=DO");
            let mut found = records.into_iter().filter(|r| r["body"]["token_id"] == id);
            found.next_back().expect("a revocation")["id"].clone()
        };
        match self {
            Self::Token => {
                let answer = admin.delete(&format!("/v1/tokens/{}", token.id)).is(200).json();
                assert_eq!(answer["record_id"], revocation(&token.id));
                Some(answer["record_id"].clone())
            }
            Self::Account => Some(admin.delete(&account).is(200).json()["record_id"].clone()),
            Self::RotateKey => {
                admin.post(&format!("{account}/rotate-key"), &json!({})).is(200);
                Some(revocation(&token.id))
            }
            Self::Renewal => {
                let path = format!("/v1/tokens/{}/rotate", token.id);
                node.as_token(token).post(&path, &json!({})).is(200);
                Some(revocation(&token.id))
            }
            Self::ActorsEmptied => {
                Some(admin.patch(&account, &json!({ "actors": [] })).is(200).json()["record_id"].clone())
            }
            Self::ActorsChanged => {
                let body = json!({ "actors": ["did:sync:user:somebody"] });
                Some(admin.patch(&account, &body).is(200).json()["record_id"].clone())
            }
            Self::Expiry => {
                wait_until("it expires", || {
                    (node.as_token(token).get("/v1/identity").status == 401).then_some(())
                });
                None
            }
        }
    }
}

/// Positions in the answer to a write.
fn sequences(reply: &Reply) -> Vec<u64> {
    let json = reply.json();
    let of = |record: &Value| record["sequence"].as_u64().expect("a sequence");
    json["data"].as_array().map_or_else(|| vec![of(&json)], |rows| rows.iter().map(of).collect())
}

fn body_of(thread: &str) -> Value {
    if random().is_multiple_of(2) {
        return record(thread, ALICE, json!({ "n": random() }));
    }
    let count = 1 + random() % 20;
    let one = |n| record(&format!("{thread}.{}", n % 3), ALICE, json!({ "n": random() }));
    json!({ "records": (0..count).map(one).collect::<Vec<_>>() })
}

/// Writes until it is refused; gives what was acknowledged.
fn write_on(caller: &Caller, thread: &str, end: End, written: &AtomicU64) -> io::Result<Vec<u64>> {
    let mut connection = Client::try_connect(caller.port)?;
    let (mut acknowledged, start) = (Vec::new(), now());
    loop {
        assert!(start.elapsed() < LIMIT, "it never ended");
        let reply = caller.over(&mut connection, "POST", "/v1/records", Some(&body_of(thread)))?;
        match reply.status {
            201 => {
                acknowledged.extend(sequences(&reply));
                written.fetch_add(1, Ordering::AcqRel);
            }
            503 => {}
            _ => {
                let (status, code) = end.refusal();
                reply.refuses(status, code);
                return Ok(acknowledged);
            }
        }
    }
}

/// A write whose head and half of whose body are sent.
fn begin(caller: &Caller, thread: &str) -> (Client, Vec<u8>) {
    let body = body_of(thread).to_string();
    let request = caller.request("POST", "/v1/records", Some(body.as_bytes()));
    let (sent, rest) = request.split_at(request.len() - body.len() / 2);
    let mut client = Client::connect(caller.port);
    client.write(sent).expect("a request");
    (client, rest.to_vec())
}

fn round(node: &Node, admin: &Caller, end: End) {
    let mut body = json!({ "name": "one", "actors": [ALICE], "scopes": ["records:read", "records:write"],
        "with_token": true });
    if end == End::Expiry {
        body["expires_in_seconds"] = 1.into();
    }
    let made = admin.post("/v1/service-accounts", &body).is(201).json();
    let token = Token::of(&made);
    let (caller, thread) = (node.as_token(&token), format!("order.{}", &token.id[..12]));
    let slow: Vec<_> = (0..SLOW).map(|_| begin(&caller, &thread)).collect();
    let (written, acknowledged) = (AtomicU64::new(0), Mutex::new(Vec::new()));
    let record_id = std::thread::scope(|scope| {
        for _ in 0..WRITERS {
            scope.spawn(|| {
                let more = write_on(&caller, &thread, end, &written).expect("an answer");
                acknowledged.lock().expect("no panic").extend(more);
            });
        }
        let moment = random() % 30;
        wait_until("some is written", || (written.load(Ordering::Acquire) >= moment).then_some(()));
        end.come(node, admin, &token)
    });
    // Begun before, ended after.
    for (mut client, rest) in slow {
        client.write(&rest).expect("a request");
        let (status, code) = end.refusal();
        client.reply().expect("an answer").refuses(status, code);
    }
    let records = admin.rows(&format!("/v1/records?token_id={}&limit=1000", token.id));
    let data: Vec<&Value> = records.iter().filter(|r| r["origin"] == "posted").collect();
    let stored: Vec<u64> = data.iter().map(|r| r["sequence"].as_u64().expect("a sequence")).collect();
    if let Some(id) = record_id {
        let last = admin.sequence_of(&id);
        let late: Vec<_> = stored.iter().filter(|s| **s > last).collect();
        assert!(late.is_empty(), "{end:?} at {last}, and records of the token after it: {late:?}");
    } else {
        let expires_at = made["expires_at"].as_str().expect("a time");
        let late: Vec<_> = data.iter().filter(|r| r["created_at"].as_str() >= Some(expires_at)).collect();
        assert!(late.is_empty(), "expired at {expires_at}: {late:?}");
    }
    let mut acknowledged = acknowledged.into_inner().expect("no panic");
    acknowledged.sort_unstable();
    assert_eq!(acknowledged, stored, "{end:?}: what was acknowledged is what is there");
}

fn rounds(end: End) {
    let node = Node::disk();
    let admin = node.admin();
    (0..ROUNDS).for_each(|_| round(&node, &admin, end));
}

#[test]
fn nothing_is_written_after_a_revocation() {
    rounds(End::Token);
}

#[test]
fn nothing_is_written_after_the_end_of_an_account() {
    rounds(End::Account);
}

#[test]
fn nothing_is_written_after_a_rotation() {
    rounds(End::RotateKey);
}

#[test]
fn nothing_is_written_after_a_renewal() {
    rounds(End::Renewal);
}

#[test]
fn nothing_is_written_after_the_actors_were_taken_away() {
    rounds(End::ActorsEmptied);
    rounds(End::ActorsChanged);
}

#[test]
fn nothing_is_written_after_expiry() {
    let node = Node::disk();
    let admin = node.admin();
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| round(&node, &admin, End::Expiry));
        }
    });
}

#[test]
fn nothing_is_written_after_any_end_while_others_write_on() {
    let node = Node::disk();
    let admin = node.admin();
    std::thread::scope(|scope| {
        for end in ENDS {
            let (node, admin) = (&node, &admin);
            scope.spawn(move || round(node, admin, end));
        }
    });
    assert!(admin.get("/v1/verify").is(200).text().contains("\"ok\":true"));
}
