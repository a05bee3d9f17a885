//! Random histories: after each command the instance and the model have come to the same.

use spl_kernel::identity::encode;
use spl_projections::{
    Command,
    accounts::Create,
    authority::Caller,
    decision::{Issued, Outcome},
    invites::{Accepts, BulkFilter, BulkRevoke, Claim, Holder, Revoke, Shape},
    pairs::Unpair,
    scope::Scope,
    tokens::{Mint, Renew, TokenId},
};

use super::{
    Desk, Peer, claim, device, history,
    model::{Invite, Message, Model, Name, Sent, Told},
};
use crate::kit::ALICE;

const HISTORIES: u64 = 50;
const COMMANDS: usize = 420;
/// And one that is long.
const LONG: usize = 4000;
const KEYS: u64 = 6;

/// `SplitMix64`.
struct Dice(u64);

impl Dice {
    fn below(&mut self, n: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let n64 = u64::try_from(n.max(1)).expect("small");
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        usize::try_from((z ^ (z >> 31)) % n64).expect("small")
    }

    fn one_in(&mut self, n: usize) -> bool {
        self.below(n) == 0
    }

    fn within(&mut self, from: u64, to: u64) -> u64 {
        from + u64::try_from(self.below(usize::try_from(to - from).expect("small"))).expect("small")
    }
}

/// The instance, the model, and what the one calls what the other counts.
struct Run {
    dice: Dice,
    desk: Desk,
    model: Model,
    peers: Vec<Peer>,
    names: Vec<String>,
    invites: Vec<String>,
    accounts: Vec<String>,
    tokens: Vec<TokenId>,
    pairs: Vec<String>,
    sent: Vec<(usize, Message)>,
    tally: std::collections::BTreeMap<&'static str, usize>,
}

impl Run {
    fn new(seed: u64) -> Self {
        let desk = Desk::new();
        let peers = vec![
            Peer::new(1),
            Peer::new(2),
            Peer::named(3, "did:sync:instance:far"),
            Peer::named(4, "did:web:peer.example.net"),
        ];
        let mut names: Vec<String> = (0..9).map(|n| format!("did:sync:user:h{n}")).collect();
        let mut kinds = vec![Name::Person; names.len()];
        for kept in
            [&desk.own_did(), "did:sync:system:x", "did:sync:instance:far", "did:sync:user:guest:x", "none"]
        {
            names.push(kept.to_owned());
            kinds.push(Name::Kept);
        }
        for peer in [0, 1, 3] {
            names.push(peers[peer].did.clone());
            kinds.push(Name::Peer(peer));
        }
        names.push(ALICE.to_owned());
        kinds.push(Name::Person);
        let mut model = Model {
            now: desk.kit.now.0,
            names: kinds,
            speaks_for_itself: vec![true, true, false, false],
            ..Model::default()
        };
        model.operators.insert(names.len() - 1);
        Self {
            dice: Dice(seed),
            desk,
            model,
            peers,
            names,
            invites: vec![],
            accounts: vec![],
            tokens: vec![],
            pairs: vec![],
            sent: vec![],
            tally: Default::default(),
        }
    }

    /// One of the latest: what is old is mostly over.
    fn pick(&mut self, n: usize) -> Option<usize> {
        let back = if self.dice.one_in(5) { n } else { n.min(6) };
        (n > 0).then(|| n - 1 - self.dice.below(back))
    }

    fn alice(&self) -> Caller {
        self.desk.alice.clone()
    }

    /// Runs what the model takes; how many records that leaves.
    fn run(&mut self, command: Command, records: usize) -> Outcome {
        let (before, alice, shown) = (self.desk.kit.records.len(), self.alice(), format!("{command:?}"));
        let outcome = self.desk.kit.run(command, &alice).unwrap_or_else(|r| panic!("{shown}: {r:?}"));
        assert_eq!(self.desk.kit.records.len() - before, records, "{shown}");
        outcome
    }

    fn took(&mut self, issued: &Issued) {
        if !self.accounts.contains(&issued.service_account_id) {
            self.accounts.push(issued.service_account_id.clone());
        }
        self.tokens.push(issued.token_id);
        let token = self.model.tokens.last().expect("the model has it too");
        assert_eq!(issued.expires_at.map(|at| at.0), Some(token.expires_at));
        assert_eq!(self.accounts[token.account], issued.service_account_id);
        assert_eq!(
            (self.tokens.len(), self.accounts.len()),
            (self.model.tokens.len(), self.model.accounts.len())
        );
    }

    fn issue(&mut self) {
        let (guests, federated) = [(true, false), (false, true), (true, true)][self.dice.below(3)];
        let max_uses = self.dice.within(1, 5);
        let (ttl, bearer) = (self.dice.within(60, 400), self.dice.within(60, 400));
        let names = [(guests, "guest"), (federated, "federated")].into_iter().filter(|(yes, _)| *yes);
        let before = self.desk.kit.records.len();
        let id = self.desk.issue(Shape {
            accepts: Accepts::parse(names.map(|(_, name)| name)),
            max_uses: Some(max_uses),
            ttl_seconds: Some(ttl),
            bearer_ttl_seconds: Some(bearer),
            ..Shape::default()
        });
        assert_eq!(self.desk.kit.records.len() - before, 2);
        self.invites.push(id);
        self.model.invites.push(Invite {
            guests,
            federated,
            max_uses,
            expires_at: self.model.now + ttl * 1000,
            bearer_ms: bearer * 1000,
            ..Invite::default()
        });
    }

    /// Redeems, and compares with what the model says of it.
    fn redeem(&mut self, invite: usize, holder: Holder, told: Told) {
        let before = self.desk.kit.records.len();
        let found = self.desk.redeem(&self.invites[invite].clone(), holder);
        let written = self.desk.kit.records.len() - before;
        *self.tally.entry(told.err().unwrap_or("redeemed")).or_default() += 1;
        match (found, told) {
            (Ok((_, issued)), Ok(())) => {
                let one = &self.model.invites[invite];
                assert_eq!(written, if one.used == one.max_uses { 8 } else { 6 });
                self.took(&issued);
            }
            (Err(code), Err(expected)) => {
                assert_eq!(code.as_str(), expected);
                assert_eq!(written, if expected == "HOLDER_EXISTS" { 0 } else { 2 });
            }
            (found, told) => panic!("{found:?}, not {told:?}"),
        }
    }

    fn redeem_guest(&mut self) {
        let Some(invite) = self.pick(self.invites.len()) else { return };
        let key = self.dice.within(0, KEYS);
        let told = self.model.guest(invite, key);
        self.redeem(invite, device(key), told);
    }

    fn redeem_federated(&mut self) {
        let Some(mut invite) = self.pick(self.invites.len()) else { return };
        let mut message = Message {
            peer: self.dice.below(self.peers.len()),
            holder: self.dice.below(self.names.len()),
            at: self.model.now,
            our_address: true,
        };
        let (mut whole, mut signed) = (true, true);
        match self.dice.below(24) {
            0 => whole = false,
            1 => signed = false,
            2 => message.our_address = false,
            3 => message.at -= self.dice.within(0, 120_000),
            4 => message.at += self.dice.within(0, 120_000),
            5..=7 => {
                if let Some(at) = self.pick(self.sent.len()) {
                    (invite, message) = self.sent[at].clone();
                }
            }
            _ => {}
        }
        let peer = &self.peers[message.peer];
        let id = self.invites[invite].clone();
        let mut attestation = peer.states(&self.desk, &id, &self.names[message.holder]);
        attestation.issued_at_ms = message.at;
        if !message.our_address {
            attestation.issuer_url = "https://elsewhere.example.com".to_owned();
        }
        let mut proof = peer.sign(&attestation);
        proof[40] ^= u8::from(!signed);
        let mut holder = claim(&attestation, &encode(&proof));
        if let Holder::Federated(claim) = &mut holder
            && !whole
        {
            **claim = Claim { signer_instance_did: None, ..Claim::clone(claim) };
        }
        let sent = Sent { message: message.clone(), whole, signed };
        let told = self.model.federated(invite, &sent);
        self.redeem(invite, holder, told);
        self.sent.push((invite, message));
    }

    fn revoke(&mut self) {
        let Some(invite) = self.pick(self.invites.len()) else { return };
        let expected = self.model.revoke(invite);
        let records = if expected.0 { 0 } else { 2 + 2 * expected.1 };
        let revoke = Revoke { invite_id: self.invites[invite].clone(), reason: None };
        let outcome = self.run(Command::RevokeInvite(revoke), records);
        let Outcome::InviteRevoked { already, accounts, bearers } = outcome else { panic!("{outcome:?}") };
        assert_eq!((already, accounts, bearers), expected);
    }

    fn close(&mut self) {
        let filter = [BulkFilter::Expired, BulkFilter::Exhausted][self.dice.below(2)];
        let expected = self.model.close(filter.as_str());
        let bulk = BulkRevoke { filter, reason: None };
        let outcome = self.run(Command::BulkRevoke(bulk), 2 * expected.len());
        let Outcome::InvitesClosed { invite_ids, remaining } = outcome else { panic!("{outcome:?}") };
        let expected: Vec<&String> = expected.iter().map(|at| &self.invites[*at]).collect();
        assert_eq!((invite_ids.iter().collect(), remaining), (expected, 0));
    }

    fn renew(&mut self) {
        let Some(token) = self.pick(self.tokens.len()) else { return };
        let id = self.tokens[token];
        let caller = self.desk.kit.admit(id, Scope::RecordsRead, None);
        assert_eq!(caller.is_ok(), self.model.is_live(token));
        let Ok(caller) = caller else { return };
        let renew = Renew { token_id: id, new_token_id: None };
        let outcome = self.desk.kit.run(Command::RenewToken(renew), &caller).expect("a renewal");
        let Outcome::Token { issued, revoked } = outcome else { panic!("{outcome:?}") };
        assert_eq!(revoked, [id]);
        let before = self.model.tokens[token].clone();
        self.model.replace(before.account, &[token], before.lifetime);
        self.took(&issued);
    }

    fn rotate(&mut self) {
        let Some(account) = self.pick(self.accounts.len()) else { return };
        if !self.model.accounts[account].alive {
            return;
        }
        let own = |at: &usize| self.model.tokens[*at].account == account;
        let last = (0..self.tokens.len()).rfind(own).expect("every account has one");
        let live: Vec<usize> =
            (0..self.tokens.len()).filter(own).filter(|at| self.model.is_live(*at)).collect();
        let lifetime = self.model.tokens[last].lifetime;
        self.model.replace(account, &live, lifetime);
        let command = Command::RotateKey { service_account_id: self.accounts[account].clone() };
        let outcome = self.run(command, 2 + 2 * live.len());
        let Outcome::Token { issued, revoked } = outcome else { panic!("{outcome:?}") };
        assert_eq!(revoked, live.iter().map(|at| self.tokens[*at]).collect::<Vec<_>>());
        self.took(&issued);
    }

    fn mint(&mut self) {
        let Some(account) = self.pick(self.accounts.len()) else { return };
        if !self.model.accounts[account].alive {
            return;
        }
        let seconds = self.dice.within(1, 300);
        self.model.replace(account, &[], seconds * 1000);
        let mint = Mint {
            service_account_id: self.accounts[account].clone(),
            scopes: None,
            env_tag: None,
            expires_in_seconds: Some(seconds),
        };
        let outcome = self.run(Command::MintToken(mint), 2);
        let Outcome::Token { issued, .. } = outcome else { panic!("{outcome:?}") };
        self.took(&issued);
    }

    fn end_account(&mut self) {
        let Some(account) = self.pick(self.accounts.len()) else { return };
        let expected = self.model.end_account(account);
        let service_account_id = self.accounts[account].clone();
        let command = Command::RevokeAccount { service_account_id, reason: None };
        let outcome = self.run(command, if expected.0 { 0 } else { 2 });
        let Outcome::AccountRevoked { already, tokens_revoked } = outcome else { panic!("{outcome:?}") };
        assert_eq!((already, tokens_revoked), (expected.0, expected.1 as u64));
    }

    /// An operator makes an account that lists a name.
    fn list(&mut self) {
        let name = self.dice.below(9);
        let create =
            Create { name: "by hand".into(), actors: vec![self.names[name].clone()], ..Create::default() };
        let alice = self.alice();
        let found = self.desk.kit.run(Command::CreateAccount(create), &alice);
        if self.model.vouched.contains_key(&name) {
            assert_eq!(found.map_err(|r| r.code.as_str()).err(), Some("DID_CLAIM_DENIED"));
        } else {
            assert!(found.is_ok(), "{found:?}");
            self.model.operators.insert(name);
        }
    }

    fn pair(&mut self) {
        let peer = self.dice.below(self.peers.len());
        let id = format!("pair_{:016}", self.pairs.len());
        let told = self.model.pair(peer);
        let before = self.desk.kit.records.len();
        let found = self.desk.pair(&id, &self.peers[peer]).map_err(|refusal| refusal.code.as_str());
        assert_eq!(found, told);
        assert_eq!(self.desk.kit.records.len() - before, if told.is_ok() { 2 } else { 0 });
        if told.is_ok() {
            self.pairs.push(id);
        }
    }

    fn unpair(&mut self) {
        let Some(pair) = self.pick(self.pairs.len()) else { return };
        let expected = self.model.unpair(pair);
        let records = if expected.0 { 0 } else { 2 + 2 * expected.1 };
        let unpair = Unpair { pair_id: self.pairs[pair].clone(), reason: None };
        let outcome = self.run(Command::Unpair(unpair), records);
        let Outcome::Unpaired { already, accounts, bearers } = outcome else { panic!("{outcome:?}") };
        assert_eq!((already, accounts, bearers), expected);
    }

    fn wait(&mut self) {
        let ms = if self.dice.one_in(4) { self.dice.within(0, 90_000) } else { self.dice.within(0, 2000) };
        self.desk.wait(ms);
        self.model.now += ms;
    }

    fn step(&mut self) {
        match self.dice.below(100) {
            0..=9 => self.issue(),
            10..=33 => self.redeem_guest(),
            34..=65 => self.redeem_federated(),
            66..=69 => self.revoke(),
            70..=71 => self.close(),
            72..=77 => self.renew(),
            78..=79 => self.rotate(),
            80..=81 => self.mint(),
            82..=84 => self.end_account(),
            85 if self.dice.one_in(4) => self.list(),
            85..=88 => self.pair(),
            89..=90 => self.unpair(),
            _ => self.wait(),
        }
    }

    /// Compares the latest invites and tokens, or all of them.
    fn compare(&self, all: bool) {
        let (now, from) = (self.desk.kit.now, |n: usize| if all { 0 } else { n.saturating_sub(8) });
        for at in from(self.invites.len())..self.invites.len() {
            let (invite, expected) = (self.desk.invite(&self.invites[at]), &self.model.invites[at]);
            assert_eq!(invite.state(now).as_str(), expected.state(now.0), "{}", invite.id);
            assert_eq!(u64::from(invite.uses_remaining()), expected.max_uses - expected.used);
        }
        for at in from(self.tokens.len())..self.tokens.len() {
            let live = self.desk.kit.world.live_token(&self.tokens[at], now).is_some();
            assert_eq!(live, self.model.is_live(at), "{:?}", self.tokens[at]);
        }
    }
}

#[test]
fn the_instance_and_a_plain_reading_of_the_rules_agree() {
    let mut tally = std::collections::BTreeMap::<&str, usize>::new();
    for seed in 0..HISTORIES {
        let mut run = Run::new(seed);
        for step in 0..if seed == 0 { LONG } else { COMMANDS } {
            run.step();
            run.compare(step % 20 == 0);
        }
        run.compare(true);
        for (account, expected) in run.accounts.iter().zip(&run.model.accounts) {
            let account = run.desk.kit.world.accounts.get(account).expect("an account");
            assert_eq!(account.is_alive(), expected.alive);
        }
        history::check(&run.desk.kit);
        run.tally.into_iter().for_each(|(told, n)| *tally.entry(told).or_default() += n);
    }
    // All that can become of a redemption did, often enough to mean something.
    let expected = [
        "redeemed",
        "HOLDER_EXISTS",
        "INVITE_REVOKED",
        "INVITE_EXHAUSTED",
        "INVITE_EXPIRED",
        "HOLDER_TYPE_MISMATCH",
        "BAD_PROOF",
        "FRESHNESS_VIOLATION",
        "KEY_UNKNOWN",
        "DID_CLAIM_DENIED",
    ];
    for told in expected {
        assert!(tally.get(told).is_some_and(|n| *n > 100), "{told}: {tally:?}");
    }
    assert_eq!(tally.len(), expected.len(), "{tally:?}");
}
