//! Invites: who may issue, redeem and take back, who may be a holder, and what each leaves behind.

mod attest;
mod ends;
mod federated;
mod guest;
mod history;
mod holders;
mod issue;
mod model;
mod random;
mod refusals;
mod renewal;
pub(crate) mod signatures;
mod strict;

use std::{collections::BTreeMap, sync::Arc};

use serde_json::Value;
use spl_kernel::{
    identity::{PrivateKey, PublicKey, encode},
    record::{Act, StoredRecord},
    refusal::{Code, Refusal},
};
use spl_projections::{
    Command,
    authority::Caller,
    config::Set,
    consent::{Access, Give, Resource},
    decision::{Issued, Outcome},
    invites::{ATTESTATION_DOMAIN, Attestation, Claim, Holder, Invite, Issue, Reason, Redeem, Revoke, Shape},
    pairs::{NewPair, Unpair},
    scope::{Scope, Scopes},
};

use crate::kit::{Kit, parse};

/// The address of the instance.
pub(crate) const URL: &str = "https://spl.example.com";
/// A holder that nobody here has heard of.
pub(crate) const CAROL: &str = "did:sync:user:carol";

/// An instance with an operator at work.
pub(crate) struct Desk {
    pub(crate) kit: Kit,
    pub(crate) admin: Issued,
    pub(crate) alice: Caller,
}

pub(crate) fn scopes(names: &[&str]) -> Scopes {
    Scopes::parse(names.iter().copied()).expect("scopes")
}

pub(crate) fn key(seed: u64) -> PrivateKey {
    let mut bytes = [0xa5; 32];
    bytes[..8].copy_from_slice(&seed.to_le_bytes());
    PrivateKey::from_seed(&bytes.into())
}

/// Members of a body, `kind` and those named left out.
pub(crate) fn fields(stored: &StoredRecord, without: &[&str]) -> BTreeMap<String, Value> {
    let all: BTreeMap<String, Value> = serde_json::from_str(&stored.record.body).expect("an object");
    all.into_iter().filter(|(key, _)| key != "kind" && !without.contains(&key.as_str())).collect()
}

/// A member of a body.
pub(crate) fn member(stored: &StoredRecord, key: &str) -> Option<String> {
    parse(&stored.record.body).str(key).map(str::to_owned)
}

/// Checks that an event is followed by its mirror, which says the same.
pub(crate) fn check_mirror(source: &StoredRecord, mirror: &StoredRecord) {
    assert_eq!((source.record.thread.as_str(), source.record.act), ("th_invites", Act::Do));
    assert_eq!((mirror.record.thread.as_str(), mirror.record.act), ("th_audit_invites", Act::Learn));
    assert_eq!(mirror.sequence, source.sequence + 1);
    assert_eq!(mirror.record.parents, [source.record.id]);
    assert_eq!(member(mirror, "source_record"), Some(source.record.id.to_string()));
    assert_eq!(fields(mirror, &["source_record"]), fields(source, &[]));
}

/// Any number of guests may redeem: what is `None` is as usual.
pub(crate) fn uses(max_uses: u64) -> Shape {
    Shape { max_uses: Some(max_uses), ..Shape::default() }
}

/// Federated holders may redeem, and guests.
pub(crate) fn open_to_all(max_uses: u64) -> Shape {
    Shape { accepts: spl_projections::invites::Accepts::parse(["*"]), ..uses(max_uses) }
}

impl Desk {
    pub(crate) fn new() -> Self {
        let (kit, admin) = Kit::bootstrapped();
        let alice = kit.admin(&admin);
        Self { kit, admin, alice }
    }

    pub(crate) fn own_did(&self) -> String {
        self.kit.world.identity.did.clone().expect("a name")
    }

    pub(crate) fn wait(&mut self, ms: u64) {
        self.kit.now.0 += ms;
    }

    pub(crate) fn try_issue(&mut self, issue: Issue) -> Result<(String, Vec<String>), Refusal> {
        let alice = self.alice.clone();
        match self.kit.run(Command::IssueInvite(issue), &alice)? {
            Outcome::Invite { invite_id, warnings } => Ok((invite_id, warnings)),
            other => panic!("{other:?}"),
        }
    }

    pub(crate) fn issue(&mut self, shape: Shape) -> String {
        let issue = Issue { shape, template_id: None, public_url: URL.to_owned() };
        self.try_issue(issue).expect("an invite").0
    }

    pub(crate) fn invite(&self, id: &str) -> &Arc<Invite> {
        self.kit.world.invites.get(id).expect("an invite")
    }

    /// A redemption as the routes make it.
    pub(crate) fn redemption(&self, invite_id: &str, holder: Holder) -> Redeem {
        Redeem {
            invite_id: invite_id.to_owned(),
            holder,
            public_url: URL.to_owned(),
            clock_is_behind: false,
            resolved: None,
        }
    }

    pub(crate) fn run_redeem(&mut self, redeem: Redeem) -> Result<(String, Issued), Code> {
        match self.kit.run(Command::RedeemInvite(Box::new(redeem)), &Caller::nobody()) {
            Ok(Outcome::Redeemed { actor_did, issued, .. }) => Ok((actor_did, issued)),
            Ok(Outcome::RedeemRefused { refusal, .. }) | Err(refusal) => Err(refusal.code),
            Ok(other) => panic!("{other:?}"),
        }
    }

    pub(crate) fn redeem(&mut self, invite_id: &str, holder: Holder) -> Result<(String, Issued), Code> {
        let redeem = self.redemption(invite_id, holder);
        self.run_redeem(redeem)
    }

    /// Checks that a redemption is refused, and that one event and its mirror are all that it leaves.
    pub(crate) fn refuses(&mut self, redeem: Redeem, code: Code, reason: Reason, shown: &str) {
        let state = |desk: &Self, id: &str| {
            let invite = desk.invite(id);
            let world = &desk.kit.world;
            (
                invite.redemptions.len(),
                invite.revoked_at,
                invite.changed,
                world.accounts.len(),
                world.tokens.len(),
            )
        };
        let id = redeem.invite_id.clone();
        let (before, records) = (state(self, &id), self.kit.records.len());
        let parent = self.invite(&id).record;
        assert_eq!(self.run_redeem(redeem).map(|(did, _)| did), Err(code), "{shown}");
        assert_eq!(state(self, &id), before, "{shown}");
        let [event, mirror] = &self.kit.records[records..] else {
            panic!("{shown}: {} records", self.kit.records.len() - records)
        };
        assert_eq!(member(event, "event_kind").as_deref(), Some("refused"), "{shown}");
        assert_eq!(member(event, "refusal_reason").as_deref(), Some(reason.as_str()), "{shown}");
        assert_eq!(member(event, "invite_id"), Some(id), "{shown}");
        assert_eq!(event.record.parents, [parent], "{shown}");
        check_mirror(event, mirror);
    }

    pub(crate) fn give(&mut self, grantee: &str, resource: Resource, access: Access) -> String {
        let give = Give { grantee: grantee.to_owned(), resource, access, purpose: None, expires_at: None };
        let alice = self.alice.clone();
        match self.kit.run(Command::GiveGrant(give), &alice).expect("a grant") {
            Outcome::Grant { grant_id } => grant_id,
            other => panic!("{other:?}"),
        }
    }

    pub(crate) fn set(&mut self, body: &str) {
        let alice = self.alice.clone();
        self.kit.run(Command::SetConfig(Set { body: parse(body) }), &alice).expect("a value");
    }

    /// `already`, accounts and bearers.
    pub(crate) fn revoke(&mut self, id: &str) -> (bool, usize, usize) {
        let revoke = Revoke { invite_id: id.to_owned(), reason: Some("lost".to_owned()) };
        let alice = self.alice.clone();
        match self.kit.run(Command::RevokeInvite(revoke), &alice).expect("a revocation") {
            Outcome::InviteRevoked { already, accounts, bearers } => (already, accounts, bearers),
            other => panic!("{other:?}"),
        }
    }

    /// Pairs with a peer.
    pub(crate) fn pair(&mut self, pair_id: &str, peer: &Peer) -> Result<(), Refusal> {
        let alice = self.alice.clone();
        self.kit.run(Command::Pair(Box::new(peer.ledger_entry(pair_id))), &alice).map(drop)
    }

    /// `already`, accounts and bearers.
    pub(crate) fn unpair(&mut self, pair_id: &str) -> (bool, usize, usize) {
        let unpair = Unpair { pair_id: pair_id.to_owned(), reason: None };
        let alice = self.alice.clone();
        match self.kit.run(Command::Unpair(unpair), &alice).expect("an end") {
            Outcome::Unpaired { already, accounts, bearers } => (already, accounts, bearers),
            other => panic!("{other:?}"),
        }
    }

    /// Whether a token opens anything.
    pub(crate) fn is_live(&self, token: &Issued) -> bool {
        self.kit.admit(token.token_id, Scope::RecordsRead, None).is_ok()
    }
}

/// An instance that vouches for its people.
pub(crate) struct Peer {
    pub(crate) key: PrivateKey,
    pub(crate) did: String,
}

impl Peer {
    /// One whose DID is its key.
    pub(crate) fn new(seed: u64) -> Self {
        let key = key(seed);
        Self { did: key.public().did(), key }
    }

    pub(crate) fn named(seed: u64, did: &str) -> Self {
        Self { key: key(seed), did: did.to_owned() }
    }

    pub(crate) fn ledger_entry(&self, pair_id: &str) -> NewPair {
        NewPair {
            pair_id: pair_id.to_owned(),
            peer_did: self.did.clone(),
            peer_url: "https://peer.example.net".to_owned(),
            peer_key: self.key.public(),
            peer_version: Some("0.1.0".to_owned()),
            manifest_sha256: "00".repeat(32),
            peer_token_id: None,
        }
    }

    /// What it would sign about a holder of its own, now.
    pub(crate) fn states(&self, desk: &Desk, invite_id: &str, holder_did: &str) -> Attestation {
        Attestation {
            audience: desk.own_did(),
            holder_did: holder_did.to_owned(),
            holder_pubkey: self.key.public().base64url(),
            invite_id: invite_id.to_owned(),
            issued_at_ms: desk.kit.now.0,
            issuer_url: URL.to_owned(),
            signer_instance_did: self.did.clone(),
        }
    }

    pub(crate) fn sign(&self, attestation: &Attestation) -> [u8; 64] {
        self.key.sign(ATTESTATION_DOMAIN, attestation.message().expect("a message").as_bytes())
    }

    /// What a holder of its own sends.
    pub(crate) fn vouches(&self, desk: &Desk, invite_id: &str, holder_did: &str) -> Holder {
        let attestation = self.states(desk, invite_id, holder_did);
        claim(&attestation, &encode(&self.sign(&attestation)))
    }
}

/// What a holder sends of an attestation, with a proof.
pub(crate) fn claim(attestation: &Attestation, proof: &str) -> Holder {
    let text = |text: &str| Some(text.to_owned());
    Holder::Federated(Box::new(Claim {
        holder_did: text(&attestation.holder_did),
        holder_pubkey: text(&attestation.holder_pubkey),
        holder_proof: text(proof),
        issued_at_ms: Some(i64::try_from(attestation.issued_at_ms).expect("a time")),
        signer_instance_did: text(&attestation.signer_instance_did),
        issuer_url: text(&attestation.issuer_url),
    }))
}

/// The key of a device; no peer has it.
pub(crate) fn device_key(seed: u64) -> PublicKey {
    key(seed + 1_000_000).public()
}

/// A device with a key of its own.
pub(crate) fn device(seed: u64) -> Holder {
    guest(device_key(seed), None)
}

pub(crate) fn guest(key: PublicKey, label: Option<&str>) -> Holder {
    Holder::Guest { key, label: label.map(str::to_owned) }
}
