//! An instance without I/O that the targets put their input to: with an open invite, and with a stranger's home
//! instance that vouches for somebody.

use std::convert::Infallible;

use spl_kernel::{
    id::RecordId,
    identity::{PrivateKey, encode},
    record::{Origin, Provenance, StoredRecord},
    refusal::Refusal,
    time::UnixMillis,
};
use spl_projections::{
    Command, Context, Entropy, World,
    accounts::{Bootstrap, ChosenToken, NAMESPACE},
    authority::{Caller, Freed, Gate, Presented, Ticket},
    decision::{Outcome, write},
    invites::{ATTESTATION_DOMAIN, Accepts, Attestation, Body, Invite, Issue, Redeem, Shape},
    records::{Accepted, Ledger, Pending},
    scope::{Scope, Scopes},
    tokens::EnvTag,
};
use zeroize::Zeroizing;

/// The address of the instance.
pub const URL: &str = "https://alice.example.com";
/// When everything happens.
pub const NOW: UnixMillis = UnixMillis(1_700_000_000_000);

/// An instance with one invite that both kinds of holders may redeem, many times.
pub struct Stage {
    /// Its state.
    pub world: World,
    /// Its key.
    pub key: PrivateKey,
    /// The id of the invite.
    pub invite_id: String,
    /// The key of another instance.
    pub home: PrivateKey,
}

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

/// Decides, writes and folds one command.
pub fn run(world: &mut World, command: &Command, caller: &Caller, draw: u8) -> Result<Outcome, Refusal> {
    let entropy = Entropy::new(Zeroizing::new([draw; 32]));
    let context = Context { now: NOW, entropy: &entropy, caller };
    let guarded = world.decide(command, &context)?;
    let next = world.folded_through + 1;
    let Ok(accepted) = write(guarded.decision.changes, next, &Nothing, &mut Pending::default());
    for (sequence, accepted) in (next..).zip(accepted?) {
        let Accepted::New { record, .. } = accepted else { continue };
        let provenance = Provenance::without_credential(Origin::Command);
        let stored = StoredRecord { sequence, committed_at: NOW, record: *record, provenance };
        world.fold(&stored).expect("what is written is understood");
    }
    Ok(guarded.decision.outcome)
}

impl Stage {
    /// Sets it up.
    #[must_use]
    pub fn new() -> Self {
        let key = PrivateKey::from_seed(&Zeroizing::new([7; 32]));
        let mut world = World::default();
        run(&mut world, &Command::NameInstance(key.public()), &Caller::nobody(), 1).expect("a name");
        let first = Command::Bootstrap(Bootstrap {
            display_name: "admin".into(),
            actors: vec!["did:sync:user:alice".into()],
            scopes: Scopes::of(&[Scope::Admin]),
            namespace: NAMESPACE.into(),
            env_tag: EnvTag::default(),
            service_account_id: None,
            token: ChosenToken::Drawn,
            insecure: false,
        });
        let Ok(Outcome::Account { token: Some(token), .. }) = run(&mut world, &first, &Caller::local(), 2)
        else {
            panic!("no first account")
        };
        let ticket = Ticket {
            bearer: Presented::Token(token.token_id),
            local_proof: false,
            insecure: false,
            claimed: None,
            gate: Gate { scope: Some(Scope::Admin), freed: Freed::Never, takes_config: false },
        };
        let admin = world.admit(&ticket, NOW).expect("an admin");
        let issue = Command::IssueInvite(Issue {
            shape: Shape { max_uses: Some(1000), accepts: Accepts::parse(["*"]), ..Shape::default() },
            template_id: None,
            public_url: URL.into(),
        });
        let Ok(Outcome::Invite { invite_id, .. }) = run(&mut world, &issue, &admin, 3) else {
            panic!("no invite")
        };
        Self { world, key, invite_id, home: PrivateKey::from_seed(&Zeroizing::new([9; 32])) }
    }

    /// The invite.
    #[must_use]
    pub fn invite(&self) -> &Invite {
        self.world.invites.get(&self.invite_id).expect("the invite")
    }

    /// What the home instance signs for somebody of its own.
    #[must_use]
    pub fn attestation(&self) -> Attestation {
        Attestation {
            audience: self.key.public().did(),
            holder_did: "did:sync:user:bob".into(),
            holder_pubkey: self.home.public().base64url(),
            invite_id: self.invite_id.clone(),
            issued_at_ms: NOW.0,
            issuer_url: URL.into(),
            signer_instance_did: self.home.public().did(),
        }
    }

    /// A body that is accepted.
    #[must_use]
    pub fn genuine(&self) -> String {
        let a = self.attestation();
        let message = a.message().expect("short");
        let proof = encode(&self.home.sign(ATTESTATION_DOMAIN, message.as_bytes()));
        format!(
            r#"{{"holder_type":"federated","holder_did":"{}","holder_pubkey":"{}","holder_proof":"{proof}","holder_proof_issued_at_ms":{},"signer_instance_did":"{}","issuer_url":"{}"}}"#,
            a.holder_did, a.holder_pubkey, a.issued_at_ms, a.signer_instance_did, a.issuer_url,
        )
    }

    /// Redeems by a body; what it leads to, and the state after it.
    pub fn redeem(&self, body: Body) -> (Result<Outcome, Refusal>, World) {
        let mut world = self.world.clone();
        let redeem = Redeem {
            invite_id: self.invite_id.clone(),
            holder: body.holder,
            public_url: URL.into(),
            clock_is_behind: false,
            resolved: None,
        };
        let command = Command::RedeemInvite(Box::new(redeem));
        let outcome = run(&mut world, &command, &Caller::nobody(), 4);
        (outcome, world)
    }
}

impl Default for Stage {
    fn default() -> Self {
        Self::new()
    }
}
