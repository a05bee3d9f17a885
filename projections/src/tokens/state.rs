use imbl::{OrdMap, OrdSet, Vector};
use serde::Serialize;
use spl_kernel::time::UnixMillis;

use super::{Entry, EnvTag, Merge, Merged, Put, Revoked, Seen, State, TokenId, TokenIndex};
use crate::{
    digest::Part,
    scope::{Scope, Scopes},
};

/// How a token came to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub enum TokenOrigin {
    /// With the first account.
    Bootstrap,
    /// From `SPL_BOOTSTRAP_TOKEN`.
    Environment,
    /// Minted by an operator.
    Mint,
    /// In place of others of its account.
    Rotate,
    /// By the token before it.
    Renew,
    /// By a redemption.
    Invite,
}

impl TokenOrigin {
    /// The name in records and answers.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Bootstrap => "bootstrap",
            Self::Environment => "environment",
            Self::Mint => "mint",
            Self::Rotate => "rotate",
            Self::Renew => "renew",
            Self::Invite => "invite",
        }
    }

    /// The origin of a name.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        [Self::Bootstrap, Self::Environment, Self::Mint, Self::Rotate, Self::Renew, Self::Invite]
            .into_iter()
            .find(|o| o.as_str() == text)
    }
}

/// What decisions need of a token beside its [`Entry`]; what else it has is read from its record.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Row {
    /// Its id.
    pub id: TokenId,
    /// Position of the record that made it.
    pub sequence: u64,
    /// How long it lives from its making; `None` for ever.
    pub lifetime_seconds: Option<u32>,
    /// Its tag.
    pub env_tag: EnvTag,
}

/// All tokens that ever were.
#[derive(Debug, Clone, Default)]
pub struct Tokens {
    index: TokenIndex,
    /// By number: what never changes, without the gaps that a tree has.
    rows: Vector<Row>,
    /// Accounts and the numbers of their tokens, which are in the order they were made.
    of_accounts: OrdSet<(u32, u32)>,
    /// What took the place of a token that a rotation ended, by its number.
    successors: OrdMap<u32, TokenId>,
    /// When a token was last used, by its number, as of the last record of activity.
    last_used: OrdMap<u32, UnixMillis>,
    /// Tokens that hold `admin` and are not revoked, by number.
    admins: OrdMap<u32, TokenId>,
}

impl Tokens {
    /// What the check needs of a token.
    #[inline]
    #[must_use]
    pub fn get(&self, id: &TokenId) -> Option<&Entry> {
        self.index.get(id)
    }

    /// How many there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.index.len()
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.index.is_empty()
    }

    /// The rest of a token.
    #[must_use]
    pub fn row(&self, entry: &Entry) -> Option<&Row> {
        self.numbered(entry.number)
    }

    fn numbered(&self, number: u32) -> Option<&Row> {
        self.rows.get(usize::try_from(number).ok()?)
    }

    /// An account's tokens, in the order they were made.
    pub fn of_account(&self, account: u32) -> impl DoubleEndedIterator<Item = (&Row, &Entry)> {
        self.of_accounts.range((account, 0)..=(account, u32::MAX)).filter_map(|(_, number)| {
            let row = self.numbered(*number)?;
            Some((row, self.index.get(&row.id)?))
        })
    }

    /// An account's tokens that are neither revoked nor expired. Whether the account lives is not looked at.
    pub fn live_of_account(&self, account: u32, now: UnixMillis) -> impl Iterator<Item = (&Row, &Entry)> {
        self.of_account(account).filter(move |(_, entry)| entry.is_live(now))
    }

    /// All rows, in the order they were made.
    pub fn rows(&self) -> impl Iterator<Item = &Row> {
        self.rows.iter()
    }

    /// When a token was last used, as of the last record of activity.
    #[must_use]
    pub fn last_used(&self, number: u32) -> Option<UnixMillis> {
        self.last_used.get(&number).copied()
    }

    /// Tokens that hold `admin` and were not revoked.
    pub fn admins(&self) -> impl Iterator<Item = (&TokenId, &Entry)> {
        self.admins.values().filter_map(|id| Some((id, self.index.get(id)?)))
    }

    /// The token that took the place of one that a rotation ended.
    #[must_use]
    pub fn successor(&self, number: u32) -> Option<&TokenId> {
        self.successors.get(&number)
    }

    /// Takes in a new token.
    pub(crate) fn put(&mut self, put: Put, account: u32, sequence: u64) {
        if self.index.get(&put.token_id).is_some() {
            return;
        }
        let number = u32::try_from(self.rows.len()).unwrap_or(u32::MAX);
        for replaced in &put.replaces {
            if let Some(number) = self.index.get(replaced).map(|e| e.number) {
                self.successors.insert(number, put.token_id);
            }
        }
        if put.scopes.hold(Scope::Admin) {
            self.admins.insert(number, put.token_id);
        }
        let row =
            Row { id: put.token_id, sequence, lifetime_seconds: put.lifetime_seconds, env_tag: put.env_tag };
        self.rows.push_back(row);
        self.of_accounts.insert((account, number));
        let entry = Entry {
            account,
            number,
            expires_at: put.expires_at.map_or(u64::MAX, |at| at.0),
            scopes: put.scopes.bits(),
            state: State::Live,
            grains: put.scopes.grains().cloned(),
        };
        self.index.insert(put.token_id, entry);
    }

    /// Takes in a token's end. A revocation is stronger than a rotation; nothing revives.
    pub(crate) fn revoke(&mut self, revoked: &Revoked) {
        let Some(entry) = self.index.get(&revoked.token_id) else { return };
        if entry.state == State::Live {
            let ended = Entry { state: revoked.state, ..entry.clone() };
            self.admins.remove(&ended.number);
            self.index.insert(revoked.token_id, ended);
        }
    }

    /// Takes in when tokens were used.
    pub(crate) fn seen(&mut self, seen: &Seen) {
        for (id, at) in &seen.seen {
            if let Some(number) = self.index.get(id).map(|e| e.number)
                && self.last_used.get(&number).is_none_or(|before| before < at)
            {
                self.last_used.insert(number, *at);
            }
        }
    }

    /// Whether the part of the index that changes has grown so that it should be merged into the rest.
    #[must_use]
    pub fn wants_merge(&self) -> bool {
        self.index.wants_merge()
    }

    /// See [`TokenIndex::begin_merge`].
    pub fn begin_merge(&mut self) -> Merge {
        self.index.begin_merge()
    }

    /// See [`TokenIndex::finish_merge`].
    pub fn finish_merge(&mut self, merged: Merged) -> bool {
        self.index.finish_merge(merged)
    }

    /// Feeds all of it to `take`, in an order that is the same for equal logs.
    pub(crate) fn digest(&self, take: &mut dyn FnMut(&dyn Part)) {
        for row in &self.rows {
            take(row);
            if let Some(entry) = self.index.get(&row.id) {
                take(entry);
            }
        }
        take(&self.successors);
        take(&self.last_used);
        take(&self.admins);
    }
}

impl Entry {
    /// Whether it is neither revoked nor expired. Whether its account lives is not looked at.
    #[inline]
    #[must_use]
    pub fn is_live(&self, now: UnixMillis) -> bool {
        self.state == State::Live && now.0 < self.expires_at
    }

    /// Its scopes.
    #[must_use]
    pub fn scopes(&self) -> Scopes {
        Scopes::from_parts(self.scopes, self.grains.clone())
    }

    /// When it expires.
    #[must_use]
    pub fn expires_at(&self) -> Option<UnixMillis> {
        (self.expires_at != u64::MAX).then_some(UnixMillis(self.expires_at))
    }
}
