//! `did:web`: anybody with a link names a host, and this instance asks it. What it asks, what it never does, and
//! what becomes of hosts that mean no good.
//!
//! The hosts are this machine: each test runs once more by itself, in a network and with a `/etc/hosts` of its own,
//! where there are the addresses of the world.

mod asked;
mod pairs;
mod unasked;
mod web;

use std::time::Duration;

use serde_json::{Value, json};

use super::kit::{Home, Link, key, vouched};
use crate::raw::{Reply, now};

/// The longest that a redemption takes, with room for a busy machine.
const SOON: Duration = Duration::from_secs(4);
/// Where honest hosts are.
const GLOBAL: &str = "93.184.216.34";

impl Home {
    /// Whether hosts that strangers name are asked.
    #[track_caller]
    fn asks_hosts(&self, enabled: bool) {
        self.admin.set("federation_did_web", &json!({ "enabled": enabled })).is(201);
    }

    /// An invite that is redeemed often.
    #[track_caller]
    fn open_invite(&self) -> Link {
        self.issue(&json!({ "accept_holder_types": ["federated"], "preset": "reader", "max_uses": 1000 }))
    }

    /// Redeems as somebody whom this DID vouches for, with the tests' key.
    #[track_caller]
    fn vouched_by(&self, link: &Link, did: &str, holder: &str) -> Reply {
        let body = vouched(self, link, (did, &key(7)), holder);
        let start = now();
        let reply = self.node.anyone().post(&link.redeem_at(), &body);
        assert!(start.elapsed() < SOON, "{did}: {:?}", start.elapsed());
        reply
    }

    /// Insists on a refusal that says the same for all reasons, and is on record.
    #[track_caller]
    fn refuses_signer(&self, link: &Link, did: &str, code: &str) {
        let reply = self.vouched_by(link, did, "did:sync:user:mallory").refuses(403, code);
        let reason = code.to_lowercase();
        self.recorded(link, &reason, did);
        let said = reply.json();
        let member = |name: &str| said[name].as_str().unwrap_or_default().to_owned();
        assert!(!member("message").contains("did:web") && !member("hint").is_empty(), "{said}");
        let names: Vec<&str> = said.as_object().expect("members").keys().map(String::as_str).collect();
        assert_eq!(names, ["object", "type", "code", "message", "hint"], "{said}");
    }
}

/// Bearers of these redemptions.
#[track_caller]
fn bearer(reply: Reply) -> String {
    reply.is(200).json()["bearer"].as_str().expect("a bearer").to_owned()
}

/// How somebody's key was found, and through which pair.
#[track_caller]
fn ground(home: &Home, link: &Link, holder: &str) -> (Value, Value) {
    let row = home.row(&link.id);
    let all = row["redemptions"].as_array().expect("redemptions");
    let one =
        all.iter().rfind(|one| one["holder_did"] == holder).unwrap_or_else(|| panic!("no {holder}: {row}"));
    (one["signer_trust"].clone(), one["pair_id"].clone())
}
