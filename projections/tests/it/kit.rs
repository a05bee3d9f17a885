//! An instance without I/O: commands are decided, written into memory, and folded.

use std::{collections::BTreeMap, convert::Infallible};

use spl_kernel::{
    id::RecordId,
    identity::PrivateKey,
    json::{Bounds, Json, Object},
    record::{Origin, Provenance, StoredRecord},
    refusal::{Code, Refusal},
    time::UnixMillis,
};
use spl_projections::{
    Command, Context, Entropy, World,
    accounts::{Bootstrap, ChosenToken, Create, NAMESPACE},
    authority::{Caller, Freed, Gate, Presented, Ticket},
    decision::{Issued, Outcome, write},
    records::{Accepted, Ledger, Pending},
    scope::{Scope, Scopes},
    tokens::{EnvTag, TokenId},
};
use zeroize::Zeroizing;

/// The actor that the first account acts as.
pub(crate) const ALICE: &str = "did:sync:user:alice";
/// Somebody else.
pub(crate) const BOB: &str = "did:sync:user:bob";

/// All that was ever written, and its fold.
pub(crate) struct Kit {
    pub(crate) world: World,
    pub(crate) records: Vec<StoredRecord>,
    pub(crate) now: UnixMillis,
    drawn: u64,
    log: Log,
}

/// What the log would say: the clocks of what is written.
#[derive(Default)]
struct Log {
    /// By thread and actor, then by clock.
    clocks: BTreeMap<(String, String), BTreeMap<u64, (u64, RecordId)>>,
    ids: BTreeMap<u64, RecordId>,
}

impl Log {
    fn note(&mut self, stored: &StoredRecord) {
        let record = &stored.record;
        let own = self.clocks.entry((record.thread.clone(), record.actor.clone())).or_default();
        own.insert(record.clock, (stored.sequence, record.id));
        self.ids.insert(stored.sequence, record.id);
    }

    fn of(&self, thread: &str, actor: &str) -> Option<&BTreeMap<u64, (u64, RecordId)>> {
        self.clocks.get(&(thread.to_owned(), actor.to_owned()))
    }
}

impl Ledger for Log {
    type Error = Infallible;

    fn highest_clock(&self, thread: &str, actor: &str) -> Result<Option<u64>, Infallible> {
        Ok(self.of(thread, actor).and_then(|own| own.keys().next_back().copied()))
    }

    fn clock_holder(
        &self,
        thread: &str,
        actor: &str,
        clock: u64,
    ) -> Result<Option<(u64, RecordId)>, Infallible> {
        Ok(self.of(thread, actor).and_then(|own| own.get(&clock).copied()))
    }

    fn record_id(&self, sequence: u64) -> Result<Option<RecordId>, Infallible> {
        Ok(self.ids.get(&sequence).copied())
    }
}

/// A route that asks for a scope and is never free.
pub(crate) fn asks(scope: Scope) -> Gate {
    Gate { scope: Some(scope), freed: Freed::Never, takes_config: false }
}

impl Kit {
    /// A named instance without accounts.
    pub(crate) fn new() -> Self {
        Self::named(&own_key())
    }

    /// The same, named after another key.
    pub(crate) fn named(key: &PrivateKey) -> Self {
        let mut kit = Self {
            world: World::default(),
            records: Vec::new(),
            now: UnixMillis(1_700_000_000_000),
            drawn: 0,
            log: Log::default(),
        };
        kit.run(Command::NameInstance(key.public()), &Caller::nobody()).expect("a name");
        kit
    }

    /// An instance with a first account, bound to [`ALICE`], and its token.
    pub(crate) fn bootstrapped() -> (Self, Issued) {
        let mut kit = Self::new();
        let issued = kit.bootstrap(&[ALICE]).expect("a first account");
        (kit, issued)
    }

    pub(crate) fn bootstrap(&mut self, actors: &[&str]) -> Result<Issued, Refusal> {
        let command = Command::Bootstrap(first(actors));
        match self.run(command, &Caller::local())? {
            Outcome::Account { token: Some(issued), .. } => Ok(issued),
            other => panic!("{other:?}"),
        }
    }

    /// Randomness that is never the same twice.
    pub(crate) fn entropy(&mut self) -> Entropy {
        self.drawn += 1;
        let mut seed = Zeroizing::new([0; 32]);
        seed[..8].copy_from_slice(&self.drawn.to_le_bytes());
        Entropy::new(seed)
    }

    /// Who holds a token, for a route that asks for a scope.
    pub(crate) fn admit(
        &self,
        token: TokenId,
        scope: Scope,
        claimed: Option<&str>,
    ) -> Result<Caller, Refusal> {
        self.world.admit(&ticket(token, asks(scope), claimed), self.now)
    }

    pub(crate) fn admin(&self, issued: &Issued) -> Caller {
        self.admit(issued.token_id, Scope::Admin, None).expect("an admin")
    }

    /// Decides, writes and folds one command.
    pub(crate) fn run(&mut self, command: Command, caller: &Caller) -> Result<Outcome, Refusal> {
        let entropy = self.entropy();
        let context = Context { now: self.now, entropy: &entropy, caller };
        let mut guarded = self.world.decide(&command, &context)?;
        let changes = std::mem::take(&mut guarded.decision.changes);
        let next = self.records.len() as u64 + 1;
        let Ok(accepted) = write(changes, next, &self.log, &mut Pending::default());
        let mut after = self.world.clone();
        let mut written = Vec::new();
        for (sequence, accepted) in (next..).zip(accepted?) {
            let Accepted::New { record, .. } = accepted else { panic!("the instance repeats itself") };
            let stored = StoredRecord {
                sequence,
                committed_at: self.now,
                record: *record,
                provenance: Provenance::without_credential(Origin::Command),
            };
            after.fold(&stored).expect("what is written is understood");
            written.push(stored);
        }
        guarded.check(&self.world, &after, self.now)?;
        self.world = after;
        written.iter().for_each(|stored| self.log.note(stored));
        self.records.extend(written);
        Ok(guarded.decision.outcome)
    }

    /// An account with a token.
    pub(crate) fn account(&mut self, admin: &Issued, name: &str, scopes: &[&str], actors: &[&str]) -> Issued {
        let command = Command::CreateAccount(Create {
            name: name.to_owned(),
            scopes: Scopes::parse(scopes.iter().copied()).expect("scopes"),
            actors: actors.iter().map(|a| (*a).to_owned()).collect(),
            with_token: true,
            ..Create::default()
        });
        let caller = self.admin(admin);
        match self.run(command, &caller).expect("an account") {
            Outcome::Account { token: Some(issued), .. } => issued,
            other => panic!("{other:?}"),
        }
    }

    /// State from nothing but the records.
    pub(crate) fn replayed(&self) -> World {
        let mut world = World::default();
        self.records.iter().for_each(|stored| world.fold(stored).expect("known records"));
        world
    }
}

/// The key of the instance.
pub(crate) fn own_key() -> PrivateKey {
    PrivateKey::from_seed(&Zeroizing::new([7; 32]))
}

pub(crate) fn parse(body: &str) -> Object {
    match Json::parse(body.as_bytes(), Bounds { levels: 64, values: 100_000 }) {
        Ok(Json::Object(object)) => object,
        other => panic!("{other:?}"),
    }
}

pub(crate) fn ticket(token: TokenId, gate: Gate, claimed: Option<&str>) -> Ticket {
    Ticket {
        bearer: Presented::Token(token),
        local_proof: false,
        insecure: false,
        claimed: claimed.map(str::to_owned),
        gate,
    }
}

/// The command for a first account.
pub(crate) fn first(actors: &[&str]) -> Bootstrap {
    Bootstrap {
        display_name: "admin".to_owned(),
        actors: actors.iter().map(|a| (*a).to_owned()).collect(),
        scopes: Scopes::of(&[Scope::Admin]),
        namespace: NAMESPACE.to_owned(),
        env_tag: EnvTag::default(),
        service_account_id: None,
        token: ChosenToken::Drawn,
        insecure: false,
    }
}

/// The code of a refusal, or that there is none.
pub(crate) fn code<T>(result: Result<T, Refusal>) -> Option<Code> {
    result.err().map(|refusal| refusal.code)
}
