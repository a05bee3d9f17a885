//! The check by a token's text decides as the one by its id does, and as a plain reading of the rules does, in
//! any state that commands lead to.

use proptest::{collection::vec, prelude::*, sample::Index};
use spl_kernel::{
    refusal::{Code, Refusal},
    time::UnixMillis,
};
use spl_projections::{
    Command, World,
    accounts::{Create, Update},
    authority::{Caller, Freed, Gate, LiveToken, Presented, Ticket},
    config::Set,
    context::ENGINE_ACTOR,
    decision::{Issued, Outcome},
    merge::Merged,
    scope::{Scope, Scopes},
    tokens::{Mint, Renew, Revoke, State, TOKEN_BYTES_MAX, TokenId},
};

use crate::kit::{ALICE, BOB, Kit, parse};

/// Longer than an account's row has room for.
const LONG: &str = "did:sync:user:somebody-whose-name-is-longer-than-most";
const ACTORS: [&[&str]; 7] =
    [&[], &[ALICE], &[BOB], &[LONG], &[ALICE, BOB, LONG], &[LONG, ALICE], &[BOB, ALICE]];
const CLAIMS: [Option<&str>; 6] =
    [None, Some(ALICE), Some(BOB), Some(LONG), Some(ENGINE_ACTOR), Some("did:sync:user:x")];
const SCOPES: [&[&str]; 4] =
    [&["admin"], &["records:read", "config:write"], &["records:read"], &["records:read", "thread:t:read"]];

#[derive(Debug, Clone)]
enum Step {
    Create {
        actors: Index,
        scopes: Index,
        expires: Option<u64>,
    },
    Mint {
        account: Index,
        expires: Option<u64>,
    },
    RevokeToken(Index),
    Rotate(Index),
    /// Puts a token that the client made in the place of another; its text names any account, or none.
    Renew {
        token: Index,
        names: Option<Index>,
    },
    RevokeAccount(Index),
    UpdateActors {
        account: Index,
        actors: Index,
    },
    Strict {
        header: bool,
        enabled: bool,
    },
    Wait(u64),
    /// Keeps a snapshot, so that what follows goes beside the large part of the indexes.
    Publish,
    /// Begins and runs merges; they are put in place at the next such step.
    Merge,
}

fn step() -> impl Strategy<Value = Step> {
    let index = || any::<Index>();
    let expires = || proptest::option::of(1..100_u64);
    prop_oneof![
        4 => (index(), index(), expires())
            .prop_map(|(actors, scopes, expires)| Step::Create { actors, scopes, expires }),
        3 => (index(), expires()).prop_map(|(account, expires)| Step::Mint { account, expires }),
        2 => index().prop_map(Step::RevokeToken),
        1 => index().prop_map(Step::Rotate),
        3 => (index(), proptest::option::of(index())).prop_map(|(token, names)| Step::Renew { token, names }),
        1 => index().prop_map(Step::RevokeAccount),
        2 => (index(), index()).prop_map(|(account, actors)| Step::UpdateActors { account, actors }),
        1 => (any::<bool>(), any::<bool>()).prop_map(|(header, enabled)| Step::Strict { header, enabled }),
        1 => (0..60_000_u64).prop_map(Step::Wait),
        1 => Just(Step::Publish),
        1 => Just(Step::Merge),
    ]
}

struct Run {
    kit: Kit,
    /// Of every token there ever was.
    texts: Vec<String>,
    accounts: Vec<String>,
    published: Vec<World>,
    merged: Vec<Merged>,
}

impl Run {
    fn new() -> Self {
        let (kit, first) = Kit::bootstrapped();
        let mut run = Self { kit, texts: vec![], accounts: vec![], published: vec![], merged: vec![] };
        run.take(first);
        run
    }

    fn take(&mut self, issued: Issued) {
        self.texts.extend(issued.text.map(|text| text.reveal().to_owned()));
        if !self.accounts.contains(&issued.service_account_id) {
            self.accounts.push(issued.service_account_id);
        }
    }

    fn run(&mut self, command: Command, caller: &Caller) -> bool {
        // Refused is as good: nothing changes then.
        match self.kit.run(command, caller) {
            Ok(Outcome::Account { token: Some(issued), .. } | Outcome::Token { issued, .. }) => {
                self.take(issued);
                true
            }
            other => other.is_ok(),
        }
    }

    fn token(&self, index: Index) -> TokenId {
        TokenId::of(&self.texts[index.index(self.texts.len())])
    }

    fn account(&self, index: Index) -> String {
        index.get(&self.accounts).clone()
    }

    fn take_step(&mut self, step: Step) {
        let command = match step {
            Step::Create { actors, scopes, expires } => Command::CreateAccount(Create {
                name: "any".to_owned(),
                scopes: Scopes::parse(index_of(&SCOPES, scopes).iter().copied()).expect("scopes"),
                actors: index_of(&ACTORS, actors).iter().map(|a| (*a).to_owned()).collect(),
                with_token: true,
                expires_in_seconds: expires,
                ..Create::default()
            }),
            Step::Mint { account, expires } => Command::MintToken(Mint {
                service_account_id: self.account(account),
                scopes: None,
                env_tag: None,
                expires_in_seconds: expires,
            }),
            Step::RevokeToken(token) => Command::RevokeToken(Revoke {
                token_id: self.token(token),
                service_account_id: None,
                reason: None,
            }),
            Step::Rotate(account) => Command::RotateKey { service_account_id: self.account(account) },
            Step::Renew { token, names } => return self.renew(token, names),
            Step::RevokeAccount(account) => {
                Command::RevokeAccount { service_account_id: self.account(account), reason: None }
            }
            Step::UpdateActors { account, actors } => Command::UpdateAccount(Update {
                service_account_id: self.account(account),
                actors: Some(index_of(&ACTORS, actors).iter().map(|a| (*a).to_owned()).collect()),
                ..Update::default()
            }),
            Step::Strict { header, enabled } => {
                let topic = if header { "strict_actor_header" } else { "strict_impersonation_enforcement" };
                Command::SetConfig(Set {
                    body: parse(&format!(r#"{{"topic":"{topic}","enabled":{enabled}}}"#)),
                })
            }
            Step::Wait(ms) => return self.kit.now = UnixMillis(self.kit.now.0 + ms),
            Step::Publish => return self.published.push(self.kit.world.clone()),
            Step::Merge => {
                for merged in self.merged.drain(..) {
                    self.kit.world.finish_merge(merged);
                }
                self.merged.extend(self.kit.world.begin_merge().map(spl_projections::merge::Merge::run));
                return;
            }
        };
        self.run(command, &Caller { freed: true, ..Caller::local() });
    }

    fn renew(&mut self, token: Index, names: Option<Index>) {
        let id = self.token(token);
        let Some(bearer) = self.kit.world.live_token(&id, self.kit.now).map(|live| live.bearer()) else {
            return;
        };
        let n = self.texts.len();
        let text = match names {
            Some(account) => format!("spl_prod_{}_made-by-its-client-{n}", self.account(account)),
            // Every other one longer than a token may be.
            None => format!("made-by-its-client-{n}{}", "-".repeat(n % 2 * TOKEN_BYTES_MAX)),
        };
        let renew = Renew { token_id: id, new_token_id: Some(TokenId::of(&text)) };
        let caller = Caller { bearer: Some(bearer), ..Caller::nobody() };
        if self.run(Command::RenewToken(renew), &caller) {
            self.texts.push(text);
        }
    }
}

fn index_of<T: Copy>(list: &[T], index: Index) -> T {
    list[index.index(list.len())]
}

/// The rules, read one by one, from accounts and not from rows.
fn plainly(world: &World, text: &str, gate: &Gate, claimed: Option<&str>, now: UnixMillis) -> Option<Code> {
    let found = world.tokens.get(&TokenId::of(text)).filter(|_| text.len() <= TOKEN_BYTES_MAX);
    let Some(entry) = found else { return Some(Code::AuthInvalid) };
    let account = world.accounts.by_number(entry.account).expect("a token's account");
    if entry.state != State::Live || now.0 >= entry.expires_at || account.revoked_at.is_some() {
        return Some(Code::AuthInvalid);
    }
    let scopes = entry.scopes();
    if gate.scope.is_some_and(|scope| !scopes.cover(scope)) {
        return Some(Code::ScopeForbidden);
    }
    let config = &world.config;
    let may_claim = |actor: &str| {
        let own = account.actors.iter().any(|own| **own == *actor);
        let engine = actor == ENGINE_ACTOR && gate.takes_config && scopes.cover(Scope::ConfigWrite);
        let instance = actor.starts_with("did:sync:system:") || world.identity.did.as_deref() == Some(actor);
        let admin = scopes.hold(Scope::Admin) && !config.strict_impersonation_enforcement.value && !instance;
        own || (!config.strict_actor_header.value && (engine || admin))
    };
    let denied = account.actors.is_empty() || claimed.is_some_and(|actor| !may_claim(actor));
    denied.then_some(Code::DidClaimDenied)
}

fn by_id(
    world: &World,
    text: &str,
    gate: Gate,
    claimed: Option<&str>,
    now: UnixMillis,
) -> Result<Caller, Refusal> {
    let bearer =
        if text.len() > TOKEN_BYTES_MAX { Presented::Malformed } else { Presented::Token(TokenId::of(text)) };
    let claimed = claimed.map(str::to_owned);
    world.admit(&Ticket { bearer, local_proof: false, insecure: false, claimed, gate }, now)
}

fn all_agree(world: &World, text: &str, now: UnixMillis) -> Result<(), TestCaseError> {
    for scope in [None, Some(Scope::RecordsRead), Some(Scope::Admin)] {
        for takes_config in [false, true] {
            let gate = Gate { scope, freed: Freed::Never, takes_config };
            for claimed in CLAIMS {
                let checked = world.check(text, &gate, claimed, now);
                let expected = plainly(world, text, &gate, claimed, now);
                prop_assert_eq!(checked.as_ref().err().map(|refusal| refusal.code), expected);
                let admitted = by_id(world, text, gate, claimed, now);
                let facts = |b: &spl_projections::authority::Bearer| {
                    (b.token_id, b.number, b.account.clone(), b.scopes.clone(), b.expires_at)
                };
                let checked = checked.map(|live: LiveToken<'_>| facts(&live.bearer()));
                let admitted = admitted.map(|caller| facts(&caller.bearer.expect("a bearer")));
                prop_assert_eq!(checked, admitted);
            }
        }
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn the_text_and_the_id_are_decided_on_alike(steps in vec(step(), 1..60)) {
        let mut run = Run::new();
        for step in steps {
            run.take_step(step);
        }
        let unknown = format!("spl_prod_{}_00000000000000000000000000000000", run.accounts[0]);
        run.texts.extend(["", "spl_", "spl_prod_sa_", &unknown, &"x".repeat(TOKEN_BYTES_MAX + 1)].map(str::to_owned));
        let replayed = run.kit.replayed();
        for text in &run.texts {
            for world in run.published.iter().chain([&run.kit.world, &replayed]) {
                all_agree(world, text, run.kit.now)?;
            }
        }
    }
}

/// More than the property test makes, so that accounts' rows are merged too.
#[test]
fn rows_are_found_before_and_after_their_merge() {
    let (mut kit, admin) = Kit::bootstrapped();
    let mut tokens = vec![admin.text.expect("a text").reveal().to_owned()];
    let (mut published, mut merges) = (kit.world.clone(), 0);
    let scopes = || Scopes::parse(["records:read"]).expect("scopes");
    for number in 0..700 {
        let actors = vec![format!("did:sync:user:u{number}")];
        let create =
            Create { name: "any".into(), scopes: scopes(), actors, with_token: true, ..Create::default() };
        match kit.run(Command::CreateAccount(create), &Caller::local()).expect("an account") {
            Outcome::Account { token: Some(issued), .. } => {
                tokens.push(issued.text.expect("a text").reveal().to_owned())
            }
            other => panic!("{other:?}"),
        }
        if let Some(merge) = kit.world.begin_merge() {
            assert!(kit.world.finish_merge(merge.run()));
            merges += 1;
        }
        published = kit.world.clone();
    }
    assert!(merges > 2, "{merges}");
    let gate = Gate { scope: Some(Scope::RecordsRead), freed: Freed::Never, takes_config: false };
    for (number, token) in tokens.iter().enumerate() {
        let claim = format!("did:sync:user:u{}", number.wrapping_sub(1));
        let claim = if number == 0 { ALICE } else { &claim };
        let live = published.check(token, &gate, Some(claim), kit.now).expect("live");
        assert_eq!(live.number() as usize, number);
        assert!(published.check(token, &gate, Some("did:sync:user:none"), kit.now).is_err() || number == 0);
    }
}
