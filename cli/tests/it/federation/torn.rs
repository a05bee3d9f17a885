//! Power cuts while people redeem, renew and are thrown out: what was acknowledged is there, and no redemption is
//! there in part.

use std::{
    collections::BTreeMap,
    sync::{
        Mutex,
        atomic::{AtomicU64, Ordering},
    },
};

use serde_json::{Value, json};

use super::kit::{
    Caller, Home, Link, Token, answer, document, key, manifest, now_ms, on_thread, signed, vouched,
};
use crate::{
    access::kit::{random, sha256},
    raw::Client,
    seed_invites::mirrors_pair_up,
    support::{Fake, wait_until},
};

const ROUNDS: usize = 6;

/// What is known of a bearer.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Known {
    Live,
    /// Its end was asked for, and not acknowledged.
    Unsure,
    Dead,
}

/// What was acknowledged in one round.
#[derive(Default)]
struct Acknowledged {
    bearers: BTreeMap<String, (Token, Known)>,
    records: Vec<Value>,
}

/// Somebody at work until the instance is gone.
struct Worker<'a> {
    home: &'a Home,
    connection: Client,
    all: &'a Mutex<Acknowledged>,
    done: &'a AtomicU64,
}

impl<'a> Worker<'a> {
    fn start(home: &'a Home, all: &'a Mutex<Acknowledged>, done: &'a AtomicU64) -> Option<Self> {
        Some(Self { home, connection: Client::try_connect(home.node.port).ok()?, all, done })
    }

    /// Asks; `None` once nobody is there any more.
    fn asks(&mut self, caller: &Caller, method: &str, path: &str, body: &Value) -> Option<Value> {
        let reply = caller.over(&mut self.connection, method, path, Some(body)).ok()?;
        assert!(matches!(reply.status, 200 | 201), "{method} {path}: {}", reply.text());
        self.done.fetch_add(1, Ordering::AcqRel);
        let answer = reply.json();
        let mut all = self.all.lock().expect("no panic");
        all.records.extend(answer.get("record_id").filter(|id| id.is_string()).cloned());
        Some(answer)
    }

    fn knows(&self, tokens: &[Token], known: Known) {
        let mut all = self.all.lock().expect("no panic");
        all.bearers.extend(tokens.iter().map(|token| (token.id.clone(), (token.clone(), known))));
    }

    fn issues(&mut self, accepts: &str) -> Option<Link> {
        let admin = self.home.admin.clone();
        let shape = json!({ "max_uses": 2, "accept_holder_types": [accepts] });
        let made = self.asks(&admin, "POST", "/v1/invites", &shape)?;
        Some(Link::of(made["redirect_url"].as_str().expect("a link")))
    }

    fn redeems(&mut self, link: &Link, body: &Value) -> Option<Token> {
        let anyone = self.home.node.anyone();
        let given = Token::of(&self.asks(&anyone, "POST", &link.redeem_at(), body)?);
        self.knows(std::slice::from_ref(&given), Known::Live);
        Some(given)
    }

    fn renews(&mut self, token: &Token) -> Option<Token> {
        let made = Token::made(&token.account);
        self.knows(&[token.clone(), made.clone()], Known::Unsure);
        let own = Caller::at(self.home.node.port, token);
        let path = format!("/v1/tokens/{}/rotate", token.id);
        self.asks(&own, "POST", &path, &json!({ "new_token_id": made.id }))?;
        self.knows(std::slice::from_ref(token), Known::Dead);
        self.knows(std::slice::from_ref(&made), Known::Live);
        Some(made)
    }

    /// Guests come in, and some are thrown out.
    fn guests(&mut self) -> Option<()> {
        loop {
            let link = self.issues("guest")?;
            let mut bearers = Vec::new();
            for _ in 0..2 {
                let key = key_of(random());
                let body = json!({ "holder_type": "guest", "holder_pubkey": key.public().base64url() });
                bearers.push(self.redeems(&link, &body)?);
            }
            bearers[0] = self.renews(&bearers[0].clone())?;
            if random().is_multiple_of(2) {
                self.knows(&bearers, Known::Unsure);
                let admin = self.home.admin.clone();
                self.asks(&admin, "POST", &format!("/v1/invites/{}/revoke", link.id), &json!({}))?;
                self.knows(&bearers, Known::Dead);
            }
        }
    }

    /// People of a paired instance come in, and all go with the pair.
    fn federated(&mut self, peer: &str, seed: u8) -> Option<()> {
        let (admin, signer) = (self.home.admin.clone(), key(seed));
        let did = signer.public().did();
        // The pair may be there since before the last cut.
        let rows =
            admin.over(&mut self.connection, "GET", "/v1/federation/pairs?limit=1000", None).ok()?.json();
        let mut pair = rows["data"].as_array()?.iter().find(|row| row["state"] == "active").cloned();
        loop {
            let asked = json!({ "peer_url": peer });
            let active = match pair.take() {
                Some(active) => active,
                None => self.asks(&admin, "POST", "/v1/federation/pairs", &asked)?,
            };
            let mut bearers = Vec::new();
            for _ in 0..2 {
                let link = self.issues("federated")?;
                for _ in 0..2 {
                    let holder = format!("did:sync:user:{:x}", random());
                    let body = vouched(self.home, &link, (&did, &signer), &holder);
                    bearers.push(self.redeems(&link, &body)?);
                }
            }
            bearers[1] = self.renews(&bearers[1].clone())?;
            self.knows(&bearers, Known::Unsure);
            let path = format!("/v1/federation/pairs/{}", active["pair_id"].as_str()?);
            self.asks(&admin, "DELETE", &path, &json!({}))?;
            self.knows(&bearers, Known::Dead);
        }
    }
}

fn key_of(seed: u64) -> spl_kernel::identity::PrivateKey {
    let mut bytes = zeroize::Zeroizing::new([0; 32]);
    bytes[..8].copy_from_slice(&seed.to_le_bytes());
    spl_kernel::identity::PrivateKey::from_seed(&bytes)
}

/// An account and a token of a redemption are there with its event, in its commit, and nowhere else.
#[track_caller]
fn redemptions_are_whole(log: &[Value]) {
    let of_kind = |thread: &str, member: &str, value: &str| {
        on_thread(log, thread).into_iter().filter(|r| r["body"][member] == value).cloned().collect::<Vec<_>>()
    };
    let events = of_kind("th_invites", "event_kind", "redeemed");
    for (thread, own, of_event) in [
        ("th_service_accounts", "service_account_id", "bearer_sa_id"),
        ("th_api_tokens", "token_id", "bearer_token_id"),
    ] {
        let made = of_kind(thread, "origin", "invite");
        assert_eq!(made.len(), events.len(), "{thread}: redemptions and what came of them");
        for (event, made) in events.iter().zip(&made) {
            assert_eq!(made["body"][own], event["body"][of_event], "{event} {made}");
            assert_eq!(made["created_at"], event["created_at"], "{event} {made}");
            let apart =
                made["sequence"].as_u64().zip(event["sequence"].as_u64()).map(|(made, event)| made - event);
            assert!(apart.is_some_and(|apart| apart <= 4), "in one commit: {event} {made}");
        }
    }
    let spent = events.iter().filter(|event| event["body"]["uses_remaining"] == 0).count();
    assert_eq!(of_kind("th_invites", "event_kind", "exhausted").len(), spent, "the last uses");
    let sequences: Vec<_> = log.iter().filter_map(|r| r["sequence"].as_u64()).collect();
    assert_eq!(sequences, (1..=log.len() as u64).collect::<Vec<_>>(), "no gap");
}

/// What the log of a home that nobody serves says.
#[track_caller]
fn offline(home: &Home) -> Vec<Value> {
    let text = home.spl(&["export", "--reserved"]).ok().stdout;
    text.lines().map(|line| serde_json::from_str(line).expect("a record")).collect()
}

#[test]
fn redemptions_survive_power_cuts_whole() {
    let signer = key(7);
    let did = signer.public().did();
    let peer = Fake::local(move |_| {
        // What a manifest and a document are asked for is in one.
        let mut all = document(&did, &signer.public());
        let stated = signed(manifest(&did, &signer.public(), "https://bob.example.com", now_ms()), &signer);
        all["federation_manifest"] = stated["federation_manifest"].clone();
        answer(&all)
    });
    let mut home = Home::disk();
    // What was issued under one address is redeemed under it.
    home.spl(&["config", "set", "public_url", &home.url()]).ok();
    let url = home.url();
    let port = home.node.port.to_string();
    let mut dead = Vec::new();
    for round in 0..ROUNDS {
        let (all, done) = (Mutex::new(Acknowledged::default()), AtomicU64::new(0));
        std::thread::scope(|scope| {
            let (of, all, done, peer) = (&home, &all, &done, peer.url());
            for _ in 0..3 {
                scope.spawn(move || Worker::start(of, all, done)?.guests());
            }
            scope.spawn(move || Worker::start(of, all, done)?.federated(&peer, 7));
            let moment = 5 + random() % 80;
            wait_until("some is done", || (done.load(Ordering::Acquire) >= moment).then_some(()));
            // The workers see it go.
            let pid = nix::unistd::Pid::from_raw(of.node.pid().cast_signed());
            nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGKILL).expect("a process");
        });
        home.node.kill();
        let all = all.into_inner().expect("no panic");
        let log = offline(&home);
        assert!(mirrors_pair_up(&log) > 5 * round);
        redemptions_are_whole(&log);
        let ids: std::collections::BTreeSet<&str> = log.iter().filter_map(|r| r["id"].as_str()).collect();
        for id in &all.records {
            assert!(ids.contains(id.as_str().expect("an id")), "an acknowledged record is gone: {id}");
        }
        home.node.run(&["--port", &port]);
        assert_eq!(home.url(), url);
        for (token, known) in all.bearers.values() {
            let live = home.node.as_token(token).get("/v1/identity").status == 200;
            match known {
                Known::Live => assert!(live, "an acknowledged bearer is gone: {}", token.id),
                Known::Dead => assert!(!live, "an acknowledged end is undone: {}", token.id),
                Known::Unsure => {}
            }
        }
        let ended = all.bearers.values().filter(|(_, known)| *known == Known::Dead);
        dead.extend(ended.map(|(token, _)| token.clone()));
    }
    // What died rounds ago is dead.
    assert!(!dead.is_empty(), "nothing ever ended");
    for token in &dead {
        assert_eq!(home.node.as_token(token).get("/v1/identity").status, 401, "{}", sha256(&token.text));
    }
    home.node.stop();
    assert_eq!(home.spl(&["verify", "--json"]).ok().json()["ok"], true);
}
