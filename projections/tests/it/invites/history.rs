//! What must hold of every history: each event has one mirror right behind it, a redemption is written in one
//! order, and no secret stands anywhere.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;
use spl_kernel::record::StoredRecord;

use super::{Desk, Peer, check_mirror, device, fields, member, open_to_all};
use crate::kit::Kit;

const EVENTS: &str = "th_invites";
const MIRRORS: &str = "th_audit_invites";

/// Members that the mirror of an issuing repeats.
const ISSUED: [&str; 7] = ["invite_id", "scopes", "max_uses", "expires_at", "device_label", "notes", "by"];

/// What the mirror of a record on the thread of invites must say.
fn expected_mirror(source: &StoredRecord) -> BTreeMap<String, Value> {
    let mut said = fields(source, &[]);
    if member(source, "kind").as_deref() == Some("core.invite.v1") {
        let at = said["issued_at"].clone();
        said.retain(|key, _| ISSUED.contains(&key.as_str()));
        said.insert("event_kind".to_owned(), "issued".into());
        said.insert("at".to_owned(), at);
    }
    said.insert("source_record".to_owned(), source.record.id.to_string().into());
    said
}

fn text(said: &BTreeMap<String, Value>) -> String {
    serde_json::to_string(said).expect("JSON")
}

/// Both threads hold the same events; each mirror stands right behind its source.
pub(super) fn check_parity(records: &[StoredRecord]) {
    let on = |thread: &'static str| records.iter().filter(move |s| s.record.thread == thread);
    let expected: BTreeSet<String> = on(EVENTS).map(|s| text(&expected_mirror(s))).collect();
    let found: BTreeSet<String> = on(MIRRORS).map(|s| text(&fields(s, &[]))).collect();
    let lost: Vec<&String> = expected.symmetric_difference(&found).collect();
    assert!(lost.is_empty(), "not on both threads: {lost:?}");
    assert_eq!(on(EVENTS).count(), expected.len(), "no two events are the same");
    assert_eq!(on(MIRRORS).count(), found.len());
    let mut invites: BTreeMap<String, String> = BTreeMap::new();
    for (at, source) in records.iter().enumerate().filter(|(_, s)| s.record.thread == EVENTS) {
        let mirror = &records[at + 1];
        assert_eq!(mirror.record.thread, MIRRORS);
        assert_eq!(member(mirror, "source_record"), Some(source.record.id.to_string()));
        assert_eq!(mirror.record.parents, [source.record.id]);
        assert_eq!(mirror.committed_at, source.committed_at);
        let id = member(source, "invite_id").expect("an invite");
        let parents: Vec<String> = source.record.parents.iter().map(ToString::to_string).collect();
        if member(source, "kind").as_deref() == Some("core.invite.v1") {
            assert!(parents.is_empty(), "an invite acts on nothing");
            assert_eq!(invites.insert(id, source.record.id.to_string()), None);
        } else {
            check_mirror(source, mirror);
            assert_eq!(parents, [invites[&id].clone()], "an event acts on its invite");
        }
    }
}

/// `redeemed`, the account, the token, then `exhausted` with the last use; each with its mirror.
pub(super) fn check_order(records: &[StoredRecord]) {
    let kind = |s: &StoredRecord| member(s, "event_kind").or(member(s, "kind")).unwrap_or_default();
    let mut exhausted = 0;
    for (at, redeemed) in records.iter().enumerate() {
        if redeemed.record.thread != EVENTS || kind(redeemed) != "redeemed" {
            continue;
        }
        let commit = &records[at..(at + 8).min(records.len())];
        let kinds: Vec<String> = commit.iter().take(6).map(kind).collect();
        let expected = [
            "redeemed",
            "redeemed",
            "core.service_account.v1",
            "sa_created",
            "core.api_token.v1",
            "token_minted",
        ];
        assert_eq!(kinds, expected);
        let (account, token) = (member(redeemed, "bearer_sa_id"), member(redeemed, "bearer_token_id"));
        assert_eq!(
            (member(&commit[2], "service_account_id"), member(&commit[2], "invite_id")),
            (account.clone(), member(redeemed, "invite_id"))
        );
        assert_eq!(
            (member(&commit[4], "service_account_id"), member(&commit[4], "token_id")),
            (account, token)
        );
        assert_eq!(member(&commit[2], "pair_id"), member(redeemed, "pair_id"));
        assert_eq!(commit[2].record.parents, [redeemed.record.id]);
        assert_eq!(commit[4].record.parents, [commit[2].record.id]);
        assert!(commit.iter().take(6).all(|s| s.committed_at == redeemed.committed_at));
        let last = fields(redeemed, &[])["uses_remaining"] == 0;
        let follows = commit.get(6).is_some_and(|s| {
            kind(s) == "exhausted" && member(s, "invite_id") == member(redeemed, "invite_id")
        });
        assert_eq!(last, follows, "record {}", redeemed.sequence);
        exhausted += usize::from(last);
    }
    let all = records.iter().filter(|s| s.record.thread == EVENTS && kind(s) == "exhausted").count();
    assert_eq!(all, exhausted, "nothing else exhausts an invite");
}

/// No token's text, and nothing that could be a signature: of a link, or of a proof.
pub(super) fn check_secrets(records: &[StoredRecord]) {
    for stored in records {
        let body = &stored.record.body;
        assert!(!body.contains("spl_prod_"), "{body}");
        let part = |c: char| !(c.is_ascii_alphanumeric() || c == '-' || c == '_');
        let longest = body.split(part).map(str::len).max().unwrap_or_default();
        assert!(longest < 86, "{body}");
    }
}

pub(super) fn check(kit: &Kit) {
    check_parity(&kit.records);
    check_order(&kit.records);
    check_secrets(&kit.records);
    assert_eq!(kit.replayed().digest(), kit.world.digest());
}

/// Whether a check fails on these records.
fn fails(check: impl FnOnce() + std::panic::UnwindSafe) -> bool {
    std::panic::catch_unwind(check).is_err()
}

#[test]
fn the_checks_notice_what_is_wrong() {
    let mut desk = Desk::new();
    let id = desk.issue(open_to_all(2));
    let other = desk.issue(open_to_all(2));
    desk.redeem(&id, device(1)).expect("a use");
    let vouched = Peer::new(1).vouches(&desk, &id, super::CAROL);
    desk.redeem(&id, vouched).expect("a use");
    desk.redeem(&id, device(2)).expect_err("used up");
    desk.revoke(&other);
    check(&desk.kit);
    let good = desk.kit.records.clone();
    let without = |at: usize| {
        let mut records = good.clone();
        records.remove(at);
        records
    };
    let mut noticed = 0;
    for at in 0..good.len() {
        let thread = good[at].record.thread.as_str();
        if thread == EVENTS || thread == MIRRORS {
            assert!(fails(|| check_parity(&without(at))), "without record {at}");
            let mut twice = good.clone();
            twice.insert(at, good[at].clone());
            assert!(fails(|| check_parity(&twice)), "record {at} twice");
            let mut said = good.clone();
            said[at].record.body = said[at].record.body.replace("\"at\":\"20", "\"at\":\"19");
            if said[at].record.body != good[at].record.body {
                assert!(fails(|| check_parity(&said)), "record {at} at another time");
            }
            noticed += 1;
        }
    }
    assert_eq!(noticed, 2 * (2 + 2 + 1 + 1 + 1));
    let redeemed = |s: &&StoredRecord| member(s, "event_kind").as_deref() == Some("redeemed");
    let first = good.iter().find(redeemed).expect("one").sequence;
    let at = usize::try_from(first).expect("small") - 1;
    for more in 1..6 {
        assert!(fails(|| check_order(&without(at + more))), "without record {more} of a redemption");
    }
    let mut early = good.clone();
    early.swap(at + 2, at + 4);
    assert!(fails(|| check_order(&early)));
    for secret in ["spl_prod_sa_0123456789abcdef_x", &"A".repeat(86)] {
        let mut told = good.clone();
        told[3].record.body = format!("{{\"x\":\"{secret}\"}}");
        assert!(fails(|| check_secrets(&told)));
    }
}
