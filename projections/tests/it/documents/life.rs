//! Lives in which everything is written that an instance ever writes.

use std::convert::Infallible;

use spl_kernel::{id::RecordId, record::Record, time::UnixMillis};
use spl_projections::{
    Command, Context,
    accounts::Update,
    admission,
    authority::Caller,
    config::Set,
    consent::{Access, Give, Resource, TakeBack},
    decision::{Outcome, write},
    invites::{Attest, Claim, Holder, Reason, Shape, Target},
    pairs::{NewPair, Unpair},
    records::{Accepted, Ledger, Pending},
    scope::{Scope, Scopes},
    templates::{Remove, Save},
    tokens::{Mint, NoteSeen, Renew, Revoke},
};

use super::{with, words::VALUES};
use crate::{
    invites::{CAROL, Desk, Peer, URL, device_key, guest, open_to_all},
    kit::{BOB, Kit, parse},
};

/// A log that holds nothing.
struct Nothing;

impl Ledger for Nothing {
    type Error = Infallible;

    fn highest_clock(&self, _: &str, _: &str) -> Result<Option<u64>, Infallible> {
        Ok(None)
    }

    fn clock_holder(&self, _: &str, _: &str, _: u64) -> Result<Option<(u64, RecordId)>, Infallible> {
        Ok(None)
    }

    fn record_id(&self, _: u64) -> Result<Option<RecordId>, Infallible> {
        Ok(None)
    }
}

/// The records of some lives: everything that is ever written, at least once.
pub(super) fn records() -> Vec<Record> {
    accounts().into_iter().chain(invites()).collect()
}

fn accounts() -> Vec<Record> {
    let (mut kit, admin) = Kit::bootstrapped();
    let device = kit.account(&admin, "device", &["records:read", "records:write"], &[BOB]);
    let caller = kit.admin(&admin);
    let id = device.service_account_id.clone();
    let reason = || Some("lost".to_owned());
    let update = Update {
        service_account_id: id.clone(),
        scopes: Some(Scopes::of(&[Scope::RecordsRead])),
        ..Update::default()
    };
    let mint =
        Mint { service_account_id: id.clone(), scopes: None, env_tag: None, expires_in_seconds: Some(60) };
    kit.run(Command::UpdateAccount(update), &caller).expect("a change");
    let Ok(Outcome::Token { issued, .. }) = kit.run(Command::MintToken(mint), &caller) else {
        panic!("a token")
    };
    let own = kit.admit(issued.token_id, Scope::RecordsRead, None).expect("a caller");
    let renew = Renew { token_id: issued.token_id, new_token_id: None };
    let Ok(Outcome::Token { issued: renewed, .. }) = kit.run(Command::RenewToken(renew), &own) else {
        panic!("a renewal")
    };
    let seen = NoteSeen { seen: vec![(renewed.token_id, kit.now)] };
    kit.run(Command::NoteSeen(seen), &Caller::nobody()).expect("noted");
    let presented = Command::NoteRotatedPresented(issued.token_id);
    kit.run(presented, &Caller::nobody()).expect("noted");
    let counts = vec![("SCOPE_FORBIDDEN".to_owned(), 2)];
    let refusals = Command::NoteRefusals { token_id: renewed.token_id, counts };
    kit.run(refusals, &Caller::nobody()).expect("noted");
    let revoke = Revoke { token_id: renewed.token_id, service_account_id: None, reason: reason() };
    kit.run(Command::RevokeToken(revoke), &caller).expect("a revocation");
    kit.run(Command::RotateKey { service_account_id: id.clone() }, &caller).expect("a rotation");
    let end = Command::RevokeAccount { service_account_id: id, reason: reason() };
    kit.run(end, &caller).expect("an end");
    let give = Give {
        grantee: BOB.to_owned(),
        resource: Resource::Consent,
        access: Access::Write,
        purpose: Some("stand-in".to_owned()),
        expires_at: Some(UnixMillis(kit.now.0 + 1)),
    };
    let Ok(Outcome::Grant { grant_id }) = kit.run(Command::GiveGrant(give), &caller) else {
        panic!("a grant")
    };
    let take_back = TakeBack { grant_id, reason: reason() };
    kit.run(Command::TakeBackGrant(take_back), &caller).expect("taken back");
    for (topic, value) in VALUES.iter().copied() {
        let body = with(&parse(value), "topic", topic.into());
        kit.run(Command::SetConfig(Set { body }), &caller).expect("a value");
    }
    let entropy = kit.entropy();
    let context = Context { now: kit.now, entropy: &entropy, caller: &caller };
    let many: Vec<String> = (0..70).map(|n| format!("did:sync:user:u{n}")).collect();
    let as_many = admission::impersonation(&context, many.iter().map(String::as_str), 70, "00");
    let as_one = admission::impersonation(&context, [BOB], 1, "00");
    let changes = as_many.into_iter().chain(as_one).collect();
    let Ok(accepted) = write(changes, 1, &Nothing, &mut Pending::default());
    let told = accepted.expect("records").into_iter().map(|accepted| match accepted {
        Accepted::New { record, .. } => *record,
        Accepted::Stored { .. } => panic!("it is new"),
    });
    kit.records.into_iter().map(|s| s.record).chain(told).collect()
}

fn invites() -> Vec<Record> {
    let mut desk = Desk::new();
    let alice = desk.alice.clone();
    let shape = Shape {
        target: Some(Target::Thread("t".to_owned())),
        device_label: Some("phone".to_owned()),
        notes: Some("for the trip".to_owned()),
        bearer_ttl_seconds: Some(3600),
        ..open_to_all(2)
    };
    let save = Save { label: "usual".to_owned(), shape: shape.clone() };
    let Ok(Outcome::Template { template_id }) = desk.kit.run(Command::SaveTemplate(save), &alice) else {
        panic!("a template")
    };
    let remove = Remove { template_id };
    desk.kit.run(Command::RemoveTemplate(remove), &alice).expect("removed");
    let peer = Peer::new(1);
    let pair_id = "pair_0000000000000000";
    let entry = NewPair { peer_token_id: Some("00".repeat(32)), ..peer.ledger_entry(pair_id) };
    desk.kit.run(Command::Pair(Box::new(entry)), &alice).expect("a pair");
    let id = desk.issue(shape);
    let plain = desk.issue(open_to_all(1));
    desk.redeem(&id, guest(device_key(1), Some("phone"))).expect("a guest");
    let claim = Claim {
        holder_did: Some(CAROL.to_owned()),
        signer_instance_did: Some(peer.did.clone()),
        ..Claim::default()
    };
    desk.redeem(&id, Holder::Federated(Box::new(claim))).expect_err("nothing is signed");
    let vouched = peer.vouches(&desk, &id, CAROL);
    desk.redeem(&id, vouched).expect("the last use");
    let note = Command::NoteRefusedRedeems { invite_id: id.clone(), reason: Reason::BadProof, count: 3 };
    desk.kit.run(note, &Caller::nobody()).expect("noted");
    let attest =
        Attest { invite_id: id, audience: peer.did, issuer_url: URL.to_owned(), holder_pubkey: None };
    desk.kit.run(Command::Attest(attest), &alice).expect("an attestation");
    let unpair = Unpair { pair_id: pair_id.to_owned(), reason: Some("moved".to_owned()) };
    desk.kit.run(Command::Unpair(unpair), &alice).expect("an end");
    desk.revoke(&plain);
    desk.kit.records.into_iter().map(|s| s.record).collect()
}
