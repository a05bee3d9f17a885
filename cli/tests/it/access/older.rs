//! A log that comes back: what was revoked since it was made must not live again.

use std::{
    fs,
    sync::atomic::{AtomicBool, AtomicU64, Ordering},
};

use serde_json::{Value, json};

use super::kit::{ALICE, Caller, EndsWith, Node, Token, random};
use crate::{raw::now, support::wait_until};

/// A home with tokens that live, were revoked and were rotated, and its log as of then.
struct Old {
    node: Node,
    admin: Token,
    live: Vec<Token>,
    dead: Vec<Token>,
    /// The last position of the old log.
    head: u64,
    backup: String,
}

fn alive(node: &Node, token: &Token) -> bool {
    let reply = node.as_token(token).get("/v1/identity");
    if reply.status == 401 {
        reply.refuses(401, "AUTH_INVALID");
        return false;
    }
    reply.is(200);
    true
}

impl Old {
    fn with(accounts: usize) -> Self {
        let node = Node::disk();
        let admin = node.bootstrap();
        let caller = node.as_token(&admin);
        let mut live: Vec<_> =
            (0..accounts).map(|n| caller.contributor(&format!("did:sync:user:{n}"))).collect();
        let gone = caller.contributor(ALICE);
        caller.delete(&format!("/v1/service-accounts/{}", gone.account)).is(200);
        let ended = caller.contributor(ALICE);
        caller.delete(&format!("/v1/tokens/{}", ended.id)).is(200);
        let rotated = caller.contributor(ALICE);
        let path = format!("/v1/tokens/{}/rotate", rotated.id);
        live.push(Token::of(&node.as_token(&rotated).post(&path, &json!({})).is(200).json()));
        let dead = vec![gone, ended, rotated];
        let head = caller.head();
        let backup = node.sandbox.dir().join("old.splbak").display().to_string();
        let made = node.command_as(&admin, &["backup", &backup]).output().expect("spl runs");
        assert!(made.status.success(), "{made:?}");
        Self { node, admin, live, dead, head, backup }
    }

    /// Things go on, and are to be forgotten: a token of the backup is revoked, others are made.
    fn go_on(&mut self) -> Token {
        let caller = self.node.as_token(&self.admin);
        let revoked = self.live.remove(0);
        caller.delete(&format!("/v1/tokens/{}", revoked.id)).is(200);
        self.dead.push(revoked);
        caller.contributor("did:sync:user:later")
    }

    fn restore(&mut self) {
        self.node.sandbox.spl(&["restore", &self.backup]).ok();
    }

    /// Insists that only one token lives, if any, and that the first commit after the old log ended the others.
    #[track_caller]
    fn all_ended_but(&self, kept: Option<&Token>) {
        for token in self.live.iter().chain(&self.dead).chain([&self.admin]) {
            let keeps = kept.is_some_and(|kept| kept.id == token.id);
            assert_eq!(alive(&self.node, token), keeps, "{}", token.id);
        }
        let records = offline_or(&self.node, kept);
        let after: Vec<&Value> =
            records.iter().filter(|r| r["sequence"].as_u64() > Some(self.head)).collect();
        let first = *after.first().expect("a commit");
        let commit: Vec<_> = after.iter().take_while(|r| r["created_at"] == first["created_at"]).collect();
        let mut ended: Vec<&str> = commit
            .iter()
            .filter(|r| r["body"]["kind"] == "core.api_token.revocation.v1")
            .map(|r| r["body"]["token_id"].as_str().expect("an id"))
            .collect();
        ended.sort_unstable();
        let mut expected: Vec<&str> = self.live.iter().chain([&self.admin]).map(|t| t.id.as_str()).collect();
        // What was revoked after the backup lives in it.
        expected.extend(self.dead.iter().skip(3).map(|t| t.id.as_str()));
        expected.retain(|id| kept.is_none_or(|kept| kept.id != *id));
        expected.sort_unstable();
        assert_eq!(ended, expected);
        assert_eq!(commit.len(), 2 * expected.len(), "each with its mirror, and nothing else: {commit:?}");
        // By the instance: nobody's name is on it.
        assert!(commit.iter().all(|r| r["body"].get("by").is_none()), "{commit:?}");
    }
}

/// All records: asked of the instance where somebody may, else of a copy of its log.
fn offline_or(node: &Node, kept: Option<&Token>) -> Vec<Value> {
    if let Some(kept) = kept {
        return node.as_token(kept).exported(true);
    }
    // The home may be in use: its log is read where it lies beside.
    let copy = node.sandbox.dir().join(format!("copy{:x}", random()));
    let home = node.sandbox.home();
    for part in ["keys", "run", "logs"] {
        fs::create_dir_all(copy.join(part)).expect("a directory");
    }
    let private = |path: &std::path::Path, mode| {
        fs::set_permissions(path, std::os::unix::fs::PermissionsExt::from_mode(mode)).expect("a mode");
    };
    for part in ["", "keys", "run", "logs"] {
        private(&copy.join(part), 0o700);
    }
    for file in ["keys/primary", "keys/head", "log.redb", "log.journal"] {
        fs::copy(home.join(file), copy.join(file)).expect("a copy");
        private(&copy.join(file), 0o600);
    }
    let shown = copy.display().to_string();
    let text = node.sandbox.spl(&["--home", &shown, "export", "--reserved"]).ok();
    text.json_lines()
}

#[test]
fn restoring_ends_every_token() {
    let mut old = Old::with(3);
    let later = old.go_on();
    old.node.stop();
    old.restore();
    old.node.run(&[]);
    assert!(!alive(&old.node, &later));
    old.node.stop();
    old.node.run(&[]);
    old.all_ended_but(None);
    // The way on is the machine itself, once.
    old.node.stop();
    old.node.run(&["--insecure-localhost"]);
    let key = format!("/v1/service-accounts/{}/rotate-key", old.admin.account);
    let again = Token::of(&old.node.owner().post(&key, &json!({})).is(200).json());
    for _ in 0..2 {
        old.node.stop();
        old.node.run(&[]);
        assert!(alive(&old.node, &again), "later starts end nothing");
    }
}

#[test]
fn restoring_keeps_the_one_token_that_is_named() {
    let mut old = Old::with(3);
    let later = old.go_on();
    old.node.stop();
    old.restore();
    for (bad, said) in [("ab", "--keep-token"), ("", "--keep-token")] {
        let ran = old.node.sandbox.spl(&["serve", "--port", "0", "--accept-older-log", "--keep-token", bad]);
        assert_ne!(ran.code, 0, "{ran:?}");
        assert!(ran.stderr.contains(said), "{ran:?}");
    }
    let id = old.admin.id.clone();
    old.node.run(&["--accept-older-log", "--keep-token", &id]);
    let admin = old.admin.clone();
    old.all_ended_but(Some(&admin));
    assert!(!alive(&old.node, &later));
    let caller = old.node.as_token(&admin);
    let fresh = caller.contributor("did:sync:user:fresh");
    old.node.stop();
    old.node.run(&[]);
    assert!(alive(&old.node, &fresh) && alive(&old.node, &admin), "later starts end nothing");
    old.all_ended_but(Some(&admin));
}

#[test]
fn what_was_dead_stays_dead_whoever_is_named() {
    let mut old = Old::with(1);
    old.go_on();
    for named in 0..3 {
        old.node.stop();
        old.restore();
        let id = old.dead[named].id.clone();
        old.node.run(&["--accept-older-log", "--keep-token", &id]);
        old.all_ended_but(None);
    }
    // And a token that is of no log.
    old.node.stop();
    old.restore();
    old.node.run(&["--accept-older-log", "--keep-token", &"0".repeat(64)]);
    old.all_ended_but(None);
}

#[test]
fn an_older_log_is_taken_only_when_told_and_ends_every_token() {
    let mut old = Old::with(3);
    old.node.stop();
    let (log, aside) = (old.node.sandbox.home().join("log.redb"), old.node.sandbox.dir().join("aside.redb"));
    fs::copy(&log, &aside).expect("a copy");
    old.node.run(&[]);
    let later = old.go_on();
    old.node.stop();
    fs::copy(&aside, &log).expect("a copy");
    let ran = old.node.sandbox.spl(&["serve", "--port", "0"]);
    assert!(ran.code != 0 && ran.stderr.contains("--accept-older-log"), "{ran:?}");
    let id = old.admin.id.clone();
    old.node.run(&["--accept-older-log", "--keep-token", &id]);
    let admin = old.admin.clone();
    // Uses were written at the stop, after what was backed up.
    let caller = old.node.as_token(&admin);
    for token in old.live.iter().chain(&old.dead).chain([&later]) {
        assert!(!alive(&old.node, token), "{}", token.id);
    }
    let fresh = caller.contributor("did:sync:user:fresh");
    for _ in 0..2 {
        old.node.stop();
        old.node.run(&[]);
        assert!(alive(&old.node, &fresh) && alive(&old.node, &admin), "later starts end nothing");
    }
    let verified = old.node.as_token(&admin).get("/v1/verify").is(200).text();
    assert!(verified.contains("\"ok\":true"), "{verified}");
}

#[test]
fn a_start_that_is_cut_short_ends_them_the_next_time() {
    let mut old = Old::with(40);
    old.go_on();
    old.node.stop();
    for round in 0..6 {
        old.restore();
        // Killed at any moment of a start: before anything, in the middle, after it is ready.
        for _ in 0..2 {
            old.node.spawn(&[], &[]);
            let (start, wait) = (now(), std::time::Duration::from_micros(random() % 120_000));
            while start.elapsed() < wait {
                std::hint::spin_loop();
            }
            old.node.kill();
        }
        old.node.run(&[]);
        for token in old.live.iter().chain(&old.dead).chain([&old.admin]) {
            assert!(!alive(&old.node, token), "round {round}: {}", token.id);
        }
        old.node.stop();
    }
    old.node.run(&[]);
    old.all_ended_but(None);
}

#[test]
fn nobody_is_served_before_they_have_ended() {
    let mut old = Old::with(10);
    old.go_on();
    old.node.stop();
    // A port that is known before the start, so that somebody can wait for it.
    let free = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = free.local_addr().expect("an address").port();
    drop(free);
    old.restore();
    let (done, refused) = (AtomicBool::new(false), AtomicU64::new(0));
    let (admin, live) = (old.admin.clone(), old.live.clone());
    std::thread::scope(|scope| {
        for token in live.iter().chain([&admin]).take(4) {
            let (done, refused) = (&done, &refused);
            scope.spawn(move || {
                let caller = Caller::at(port, token);
                while !done.load(Ordering::Acquire) {
                    if let Ok(reply) = caller.try_call("GET", "/v1/identity", None) {
                        assert_eq!(reply.status, 401, "a token of the old log was served: {}", reply.text());
                        refused.fetch_add(1, Ordering::AcqRel);
                    }
                }
            });
        }
        let port = port.to_string();
        let _ends = EndsWith(&done);
        old.node.spawn(&["--port", &port], &[]);
        old.node.ready();
        wait_until("somebody was turned away", || (refused.load(Ordering::Acquire) > 0).then_some(()));
    });
    drop(old);
}
