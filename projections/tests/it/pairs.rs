//! The pair ledger: what may be pinned, and what ends with it.

use spl_kernel::refusal::Code;
use spl_projections::{
    Command,
    authority::Caller,
    decision::Outcome,
    invites::Shape,
    pairs::{NewPair, Unpair},
    tokens::Mint,
};

use crate::{
    invites::{CAROL, Desk, Peer, fields, member, open_to_all, scopes},
    kit::{ALICE, code, own_key},
};

const FIRST: &str = "pair_0000000000000000";
const SECOND: &str = "pair_0000000000000001";

#[test]
fn a_key_is_pinned() {
    let mut desk = Desk::new();
    let peer = Peer::named(1, "did:web:peer.example.net");
    let before = desk.kit.records.len();
    let alice = desk.alice.clone();
    let entry = NewPair { peer_token_id: Some("ab".repeat(32)), ..peer.ledger_entry(FIRST) };
    let outcome = desk.kit.run(Command::Pair(Box::new(entry)), &alice).expect("a pair");
    assert!(matches!(outcome, Outcome::Paired { pair_id } if pair_id == FIRST));
    let [record, mirror] = &desk.kit.records[before..] else { panic!("a record and its mirror") };
    let public = peer.key.public();
    assert_eq!(
        serde_json::to_value(fields(record, &["by"])).expect("JSON"),
        serde_json::json!({
            "pair_id": FIRST, "peer_did": "did:web:peer.example.net",
            "peer_url": "https://peer.example.net", "peer_key": public.base64url(),
            "peer_key_fp": public.fingerprint(), "peer_version": "0.1.0",
            "manifest_sha256": "00".repeat(32), "peer_token_id": "ab".repeat(32), "state": "active",
            "paired_at": desk.kit.now.to_string(),
        })
    );
    assert_eq!((record.record.thread.as_str(), record.record.act.as_str()), ("th_federation_pairs", "PUT"));
    let mirrored = fields(mirror, &["by"]);
    assert_eq!(
        serde_json::to_value(mirrored).expect("JSON"),
        serde_json::json!({
            "pair_id": FIRST, "peer_did": "did:web:peer.example.net", "transition": "none->active",
            "timestamp": desk.kit.now.to_string(), "source_record": record.record.id.to_string(),
        })
    );
    assert_eq!(mirror.record.thread, "th_audit_federation_pairs");
    assert_eq!(mirror.record.parents, [record.record.id]);
    assert_eq!(fields(mirror, &[]).remove("by"), fields(record, &[]).remove("by"));
    assert_eq!(fields(record, &[])["by"]["actor"], ALICE);
    assert_eq!(desk.kit.replayed().digest(), desk.kit.world.digest());
}

#[test]
fn pairing_is_refused_for_what_is_known_otherwise() {
    let mut desk = Desk::new();
    let peer = Peer::named(1, "did:sync:instance:far");
    let own = Peer { key: own_key(), did: desk.own_did() };
    let exists = Some(Code::PairExists);
    assert_eq!(code(desk.pair(FIRST, &own)), exists, "our own DID");
    let own_name = Peer::named(2, &desk.own_did());
    assert_eq!(code(desk.pair(FIRST, &own_name)), exists, "our own DID with another key");
    assert_eq!(code(desk.pair(FIRST, &peer)), None);
    assert_eq!(code(desk.pair(SECOND, &peer)), exists, "it is live");
    let other_key = Peer::named(2, &peer.did);
    assert_eq!(code(desk.pair(SECOND, &other_key)), exists, "another key");
    assert_eq!(desk.unpair(FIRST), (false, 0, 0));
    assert_eq!(code(desk.pair(SECOND, &other_key)), exists, "another key than it once had");
    assert_eq!(code(desk.pair(FIRST, &peer)), Some(Code::IngestFailed), "an id is never used again");
    assert_eq!(code(desk.pair(SECOND, &peer)), None, "again, with its key");
    assert_eq!(code(desk.pair("pair_0000000000000002", &peer)), exists, "live again");
    assert_eq!(code(desk.pair("pair_0000000000000002", &other_key)), exists);
    // One key under two names is two peers.
    let same_key = Peer::named(1, "did:web:peer.example.net");
    assert_eq!(code(desk.pair("pair_0000000000000002", &same_key)), None);
    let ledger: Vec<(String, bool)> =
        desk.kit.world.pairs.iter().map(|p| (p.id.to_string(), p.is_active())).collect();
    let expected = [(FIRST, false), (SECOND, true), ("pair_0000000000000002", true)];
    assert_eq!(ledger, expected.map(|(id, active)| (id.to_owned(), active)));
    assert_eq!(desk.kit.world.pairs.of_peer(&peer.did).map(|p| p.id.to_string()).as_deref(), Some(SECOND));
    for id in ["", "pair_", "pair_000000000000000", "pair_000000000000000u", "pair_00000000000000000", "0"] {
        assert_eq!(code(desk.pair(id, &Peer::new(9))), Some(Code::IngestFailed), "{id}");
    }
}

#[test]
fn unpairing_ends_what_came_through_the_pair() {
    let mut desk = Desk::new();
    let (one, other) = (Peer::new(1), Peer::new(2));
    // Before it was paired: attributed to nobody.
    let id = desk.issue(open_to_all(99));
    let early = one.vouches(&desk, &id, "did:sync:user:early");
    let (_, early) = desk.redeem(&id, early).expect("self-asserted");
    desk.pair(FIRST, &one).expect("a pair");
    desk.pair(SECOND, &other).expect("a pair");
    let second_invite = desk.issue(Shape { bearer_ttl_seconds: Some(60), ..open_to_all(9) });
    let mut through = |peer: &Peer, id: &str, holder: &str| {
        let vouched = peer.vouches(&desk, id, holder);
        desk.redeem(id, vouched).expect("a redemption").1
    };
    let carol = through(&one, &id, CAROL);
    let dora = through(&one, &second_invite, "did:sync:user:dora");
    let gone = through(&one, &id, "did:sync:user:gone");
    let elsewhere = through(&other, &id, "did:sync:user:else");
    let alice = desk.alice.clone();
    let mint = Mint {
        service_account_id: carol.service_account_id.clone(),
        scopes: Some(scopes(&["records:read"])),
        env_tag: None,
        expires_in_seconds: None,
    };
    let Ok(Outcome::Token { issued: extra, .. }) = desk.kit.run(Command::MintToken(mint), &alice) else {
        panic!("a token")
    };
    let end = Command::RevokeAccount { service_account_id: gone.service_account_id.clone(), reason: None };
    desk.kit.run(end, &alice).expect("an end");
    desk.wait(60_000);
    let attributed: Vec<&str> = desk.kit.world.pairs.accounts_of(FIRST).collect();
    let mut expected = [&carol, &dora, &gone].map(|t| t.service_account_id.as_str());
    expected.sort_unstable();
    assert_eq!(attributed, expected);
    let before = desk.kit.records.len();
    // Dora's token has expired: her account ends, and no live token with it.
    assert_eq!(desk.unpair(FIRST), (false, 2, 2));
    let records = &desk.kit.records[before..];
    assert_eq!(records.len(), 2 + 2 * 2);
    assert_eq!(
        serde_json::to_value(fields(&records[0], &["by"])).expect("JSON"),
        serde_json::json!({
            "pair_id": FIRST, "peer_did": one.did, "event_kind": "removed", "accounts_revoked": 2,
            "bearers_revoked": 2, "at": desk.kit.now.to_string(),
        })
    );
    assert_eq!(
        serde_json::to_value(fields(&records[1], &["by"])).expect("JSON"),
        serde_json::json!({
            "pair_id": FIRST, "peer_did": one.did, "transition": "active->removed", "bearers_revoked": 2,
            "timestamp": desk.kit.now.to_string(), "source_record": records[0].record.id.to_string(),
        })
    );
    assert_eq!(records[1].record.parents, [records[0].record.id]);
    assert!(records[2..].iter().all(|s| member(s, "cause").as_deref() == Some("pair_removed")));
    for token in [&carol, &extra, &dora, &gone] {
        assert!(!desk.is_live(token));
        assert!(desk.kit.world.accounts.get(&token.service_account_id).is_some_and(|a| !a.is_alive()));
    }
    assert!(desk.is_live(&early) && desk.is_live(&elsewhere));
    assert_eq!(desk.unpair(FIRST), (true, 0, 0));
    assert_eq!(desk.unpair(SECOND), (false, 1, 1));
    assert!(desk.is_live(&early));
    let unknown = Unpair { pair_id: "pair_0000000000000009".into(), reason: None };
    assert_eq!(code(desk.kit.run(Command::Unpair(unknown), &Caller::local())), Some(Code::PairNotFound));
    assert_eq!(desk.kit.replayed().digest(), desk.kit.world.digest());
}

#[test]
fn a_pair_that_was_made_again_ends_only_its_own() {
    let mut desk = Desk::new();
    let peer = Peer::new(1);
    let id = desk.issue(open_to_all(99));
    desk.pair(FIRST, &peer).expect("a pair");
    let vouched = peer.vouches(&desk, &id, CAROL);
    desk.redeem(&id, vouched).expect("a redemption");
    assert_eq!(desk.unpair(FIRST), (false, 1, 1));
    desk.pair(SECOND, &peer).expect("a pair");
    desk.wait(1);
    let vouched = peer.vouches(&desk, &id, CAROL);
    let (_, token) = desk.redeem(&id, vouched).expect("a redemption");
    assert_eq!(desk.unpair(FIRST), (true, 0, 0));
    assert!(desk.is_live(&token));
    assert_eq!(desk.unpair(SECOND), (false, 1, 1));
    assert!(!desk.is_live(&token));
}

#[test]
fn an_invite_and_a_pair_end_the_same_account_once() {
    let mut desk = Desk::new();
    let peer = Peer::new(1);
    let id = desk.issue(open_to_all(9));
    desk.pair(FIRST, &peer).expect("a pair");
    let vouched = peer.vouches(&desk, &id, CAROL);
    desk.redeem(&id, vouched).expect("a redemption");
    assert_eq!(desk.revoke(&id), (false, 1, 1));
    assert_eq!(desk.unpair(FIRST), (false, 0, 0));
    assert!(desk.kit.world.pairs.get(FIRST).is_some_and(|p| !p.is_active()));
}
