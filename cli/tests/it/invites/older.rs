//! A log that comes back closes its invites: what was revoked since must not be redeemed again.

use serde_json::{Value, json};

use super::{
    kit::{Asks as _, Desk, Link, Token, key},
    model::parity,
};

/// An instance with invites of every state, and its backup.
struct Old {
    desk: Desk,
    open: Vec<Link>,
    spent: Link,
    closed: Link,
    bearers: Vec<Token>,
    head: u64,
    backup: String,
}

impl Old {
    fn new() -> Self {
        let desk = Desk::disk();
        let open: Vec<Link> = (0..3).map(|_| desk.issue(&json!({ "max_uses": 3 }))).collect();
        let (spent, closed) = (desk.issue(&json!({})), desk.issue(&json!({ "max_uses": 2 })));
        let mut bearers = vec![desk.guest(&open[0]), desk.guest(&spent), desk.guest(&closed)];
        desk.revoke(&closed.id);
        bearers.rotate_right(1);
        let backup = desk.node.sandbox.dir().join("old.splbak").display().to_string();
        let made = desk.node.command_as(&desk.token, &["backup", &backup]).output().expect("spl runs");
        assert!(made.status.success(), "{made:?}");
        let head = desk.admin.head();
        Self { desk, open, spent, closed, bearers, head, backup }
    }

    /// Insists that nothing can be redeemed any more, and that the log says why.
    #[track_caller]
    fn is_closed(&self) {
        let anyone = self.desk.node.anyone();
        for link in self.open.iter().chain([&self.closed]) {
            link.redeem(&anyone, &key()).refuses(410, "INVITE_REVOKED");
            let preview = anyone.reads(&link.preview()).is(200).json();
            assert_eq!((&preview["state"], &preview["revoked"]), (&json!("revoked"), &json!(true)));
        }
        self.spent.redeem(&anyone, &key()).refuses(410, "INVITE_EXHAUSTED");
        assert!(!self.bearers.iter().any(|bearer| self.desk.lives(bearer)));
        let log = self.desk.log();
        parity(&log);
        let after: Vec<&Value> = log
            .iter()
            .filter(|r| r["sequence"].as_u64() > Some(self.head) && r["thread"] == "th_invites")
            .filter(|r| r["body"]["event_kind"] == "revoked")
            .collect();
        let mut ended: Vec<&str> =
            after.iter().map(|r| r["body"]["invite_id"].as_str().expect("an id")).collect();
        ended.sort_unstable();
        let mut expected: Vec<&str> = self.open.iter().map(|link| link.id.as_str()).collect();
        expected.sort_unstable();
        assert_eq!(ended, expected, "the open ones, each once");
        // By the instance: nobody's name is on it.
        assert!(after.iter().all(|r| r["body"].get("by").is_none()), "{after:?}");
        // With the tokens, in the very next commit.
        let first = log.iter().find(|r| r["sequence"].as_u64() == Some(self.head + 1)).expect("a commit");
        assert!(after.iter().all(|r| r["created_at"] == first["created_at"]), "{first} {after:?}");
        // New ones work.
        let fresh = self.desk.issue(&json!({}));
        self.desk.guest(&fresh);
    }
}

#[test]
fn restoring_closes_every_open_invite() {
    let mut old = Old::new();
    // Meanwhile one is revoked, and another redeemed: both are forgotten.
    old.desk.revoke(&old.open[0].id);
    let later = old.desk.guest(&old.open[1]);
    old.desk.node.stop();
    old.desk.node.sandbox.spl(&["restore", &old.backup]).ok();
    let id = old.desk.token.id.clone();
    old.desk.node.run(&["--accept-older-log", "--keep-token", &id]);
    old.desk.found_again();
    assert!(!old.desk.lives(&later));
    old.is_closed();
}

#[test]
fn an_older_log_that_is_accepted_closes_every_open_invite() {
    let mut old = Old::new();
    old.desk.node.stop();
    let log = old.desk.node.sandbox.home().join("log.redb");
    let aside = old.desk.node.sandbox.dir().join("aside.redb");
    std::fs::copy(&log, &aside).expect("a copy");
    old.desk.node.run(&[]);
    old.desk.found_again();
    // Uses were written at the stop, after what was backed up.
    old.head = old.desk.admin.head();
    old.desk.revoke(&old.open[0].id);
    old.desk.node.stop();
    std::fs::copy(&aside, &log).expect("a copy");
    let ran = old.desk.node.sandbox.spl(&["serve", "--port", "0"]);
    assert!(ran.code != 0 && ran.stderr.contains("--accept-older-log"), "{ran:?}");
    let id = old.desk.token.id.clone();
    old.desk.node.run(&["--accept-older-log", "--keep-token", &id]);
    old.desk.found_again();
    old.is_closed();
    // Later starts close nothing.
    let fresh = old.desk.issue(&json!({ "max_uses": 2 }));
    old.desk.node.stop();
    old.desk.node.run(&[]);
    old.desk.found_again();
    assert_eq!(old.desk.row(&fresh.id)["state"], "active");
    old.desk.guest(&fresh);
}
