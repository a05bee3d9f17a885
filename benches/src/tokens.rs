//! A world of many tokens, folded from the records that would make it, and requests to check against it.
//!
//! One account to ten tokens; a fifth of the accounts list three actors, the others one.

#![expect(clippy::expect_used, reason = "a benchmark that cannot run has no result")]

use std::{fmt::Write as _, ops::Range};

use hashbrown::HashTable;
use spl_fixtures::{builders, random::Random};
use spl_kernel::{
    record::{Act, Origin, Provenance, StoredRecord},
    time::UnixMillis,
};
use spl_projections::{
    World, accounts,
    authority::{Freed, Gate},
    context::ENGINE_ACTOR,
    scope::Scope,
    tokens::{self, Entry, TokenId},
};

/// When all of it happens.
pub const NOW: UnixMillis = UnixMillis(builders::EPOCH_MS);
/// What the checks ask for.
pub const GATE: Gate = Gate { scope: Some(Scope::RecordsRead), freed: Freed::Never, takes_config: false };

const SYMBOLS: &[u8] = b"0123456789abcdefghjkmnpqrstvwxyz";

fn symbols(seed: u64, count: usize) -> String {
    let mut random = Random::new(seed);
    (0..count).map(|_| char::from(SYMBOLS[random.index(SYMBOLS.len())])).collect()
}

fn account_id(account: u32) -> String {
    format!("sa_{}", symbols(u64::from(account) << 32, 16))
}

fn actors(account: u32) -> Vec<String> {
    let count = if Random::new(u64::from(account)).one_in(5) { 3 } else { 1 };
    (0..count).map(|n| format!("did:sync:user:account-{account}-{n}")).collect()
}

fn account_of(token: u32, accounts: u32) -> u32 {
    let account = Random::new(u64::from(token)).below(u64::from(accounts));
    u32::try_from(account).expect("below a u32")
}

fn text_of(token: u32, accounts: u32) -> String {
    let account = account_id(account_of(token, accounts));
    format!("spl_prod_{account}_{}", symbols(u64::from(token) << 20 | 1, 32))
}

fn stored(sequence: u64, thread: &str, body: &str) -> StoredRecord {
    let draft = builders::draft(thread, ENGINE_ACTOR, Act::Put, body);
    let id = draft.id_at(sequence).expect("a draft within its limits has an id");
    StoredRecord {
        sequence,
        committed_at: NOW,
        record: draft.into_record(id, sequence),
        provenance: Provenance::without_credential(Origin::Command),
    }
}

/// Writes the records of a world of so many tokens, in the order of the log.
#[derive(Debug)]
pub struct Book {
    accounts: u32,
    tokens: u32,
    sequence: u64,
}

impl Book {
    /// A world of so many tokens, and the book that goes on with it.
    #[must_use]
    pub fn world(tokens: u32) -> (World, Self) {
        let mut world = World::default();
        let book = Self::write(tokens, &mut |stored| world.fold(&stored).expect("a known record"));
        assert_eq!((world.accounts.len(), world.tokens.len()), (book.accounts as usize, tokens as usize));
        (world, book)
    }

    /// Gives the records that make such a world, and the book that goes on with it.
    pub fn write(tokens: u32, take: &mut dyn FnMut(StoredRecord)) -> Self {
        let mut book = Self { accounts: tokens.div_ceil(10), tokens: 0, sequence: 0 };
        for account in 0..book.accounts {
            take(book.account(account));
        }
        for _ in 0..tokens {
            take(book.mint());
        }
        book
    }

    fn account(&mut self, account: u32) -> StoredRecord {
        self.sequence += 1;
        let body = format!(
            r#"{{"kind":"{}","service_account_id":"{}","display_name":"account {account}","allowed_actors":{:?},"scopes":["records:read","records:write"],"namespace":"default","env_tag":"prod","origin":"operator","created_at":"{NOW}"}}"#,
            accounts::KIND,
            account_id(account),
            actors(account),
        );
        stored(self.sequence, accounts::THREAD, &body)
    }

    /// The record of one more token. Every other one expires, in an hour.
    pub fn mint(&mut self) -> StoredRecord {
        self.sequence += 1;
        let token = self.tokens;
        self.tokens += 1;
        let mut expires = String::new();
        if token.is_multiple_of(2) {
            let at = UnixMillis(NOW.0 + 3_600_000);
            let _ = write!(expires, r#""lifetime_seconds":3600,"expires_at":"{at}","#);
        }
        let body = format!(
            r#"{{"kind":"{}","token_id":"{}","service_account_id":"{}","env_tag":"prod",{expires}"scopes":["records:read","records:write"],"origin":"mint","created_at":"{NOW}"}}"#,
            tokens::KIND,
            TokenId::of(&text_of(token, self.accounts)),
            account_id(account_of(token, self.accounts)),
        );
        stored(self.sequence, tokens::THREAD, &body)
    }

    /// Requests with tokens at random, each with the first of its account's actors, and any of them, to claim.
    #[must_use]
    pub fn probes(&self, count: usize, seed: u64) -> Probes {
        let mut random = Random::new(seed);
        let mut probes = Probes { text: String::new(), ends: vec![[0; 3]] };
        for _ in 0..count {
            let token = u32::try_from(random.below(u64::from(self.tokens))).expect("a token");
            let listed = actors(account_of(token, self.accounts));
            let ends = [&text_of(token, self.accounts), &listed[0], &listed[random.index(listed.len())]].map(
                |part| {
                    probes.text += part;
                    probes.text.len()
                },
            );
            probes.ends.push(ends);
        }
        probes
    }
}

/// A request.
#[derive(Debug, Clone, Copy)]
pub struct Probe<'a> {
    /// Its token.
    pub token: &'a str,
    /// The first actor of the token's account.
    pub first: &'a str,
    /// Any actor of the token's account.
    pub any: &'a str,
}

/// Requests one after the other, so that only what a check looks up is far away.
#[derive(Debug)]
pub struct Probes {
    text: String,
    ends: Vec<[usize; 3]>,
}

impl Probes {
    /// How many there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.ends.len() - 1
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Some of them.
    pub fn range(&self, range: Range<usize>) -> impl Iterator<Item = Probe<'_>> {
        self.ends[range.start..=range.end].array_windows().map(|[[.., start], [token, first, any]]| Probe {
            token: &self.text[*start..*token],
            first: &self.text[*token..*first],
            any: &self.text[*first..*any],
        })
    }
}

/// The floor's table: the same entries, by the same ids, with the digest's bytes as hash.
#[derive(Debug, Clone)]
pub struct Plain(HashTable<(TokenId, Entry)>);

fn prefix(id: &TokenId) -> u64 {
    let [a, b, c, d, e, f, g, h, ..] = id.0;
    u64::from_le_bytes([a, b, c, d, e, f, g, h])
}

impl Plain {
    /// All tokens of a world.
    #[must_use]
    pub fn of(world: &World) -> Self {
        let mut table = HashTable::new();
        for row in world.tokens.rows() {
            let entry = world.tokens.get(&row.id).expect("a row's token").clone();
            table.insert_unique(prefix(&row.id), (row.id, entry), |(id, _)| prefix(id));
        }
        Self(table)
    }

    /// A token.
    #[inline]
    #[must_use]
    pub fn get(&self, id: &TokenId) -> Option<&Entry> {
        self.0.find(prefix(id), |(key, _)| key == id).map(|(_, entry)| entry)
    }
}

/// Beside the floor's table: the actors that each account lists, one text an account, found by the account's number.
#[derive(Debug, Clone)]
pub struct Listed(Vec<Box<str>>);

impl Listed {
    /// Those of all accounts that have tokens.
    #[must_use]
    pub fn of(world: &World) -> Self {
        let mut all: Vec<Box<str>> = Vec::new();
        for row in world.tokens.rows() {
            let token = world.live_token(&row.id, NOW).expect("a live one");
            let number = token.account().number as usize;
            if all.len() <= number {
                all.resize(number + 1, Box::default());
            }
            if all[number].is_empty() {
                all[number] = token.account().actors.join("\n").into();
            }
        }
        Self(all)
    }

    /// Whether a token's account lists an actor.
    #[inline]
    #[must_use]
    pub fn has(&self, entry: &Entry, actor: &str) -> bool {
        self.0[entry.account as usize].split('\n').any(|listed| listed == actor)
    }
}
