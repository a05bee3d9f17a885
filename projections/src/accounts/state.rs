use std::sync::Arc;

use imbl::{OrdMap, OrdSet, Vector};
use serde::Serialize;
use spl_kernel::{id::RecordId, time::UnixMillis};

use super::hot::{self, Row, Rows};
use crate::{scope::Scopes, tokens::EnvTag};

/// How an account came to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub enum AccountOrigin {
    /// As the first one.
    Bootstrap,
    /// From `SPL_BOOTSTRAP_TOKEN`.
    Environment,
    /// By an operator.
    Operator,
    /// By a redemption.
    Invite,
}

impl AccountOrigin {
    /// The name in records and answers.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Bootstrap => "bootstrap",
            Self::Environment => "environment",
            Self::Operator => "operator",
            Self::Invite => "invite",
        }
    }

    /// The origin of a name.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        [Self::Bootstrap, Self::Environment, Self::Operator, Self::Invite]
            .into_iter()
            .find(|o| o.as_str() == text)
    }
}

/// A service account.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Account {
    /// Its place among all accounts, from 0, in the order they were made.
    pub number: u32,
    /// When it was revoked, for good.
    pub revoked_at: Option<UnixMillis>,
    /// The DIDs that its tokens may act as; the first is the one they act as unless told otherwise.
    pub actors: Vec<Arc<str>>,
    /// Its id: `sa_` and 16 characters.
    pub id: Arc<str>,
    /// What people call it. Need not be unique.
    pub display_name: String,
    /// What its tokens get when they are minted.
    pub scopes: Scopes,
    /// Its namespace.
    pub namespace: String,
    /// The tag that its tokens carry unless told otherwise.
    pub env_tag: EnvTag,
    /// How it came to be.
    pub origin: AccountOrigin,
    /// The invite that made it, with [`AccountOrigin::Invite`].
    pub invite_id: Option<String>,
    /// The pair that it came through.
    pub pair_id: Option<String>,
    /// When it was made.
    pub created_at: UnixMillis,
    /// The record of its latest state, or of its end.
    #[serde(skip)]
    pub record: RecordId,
}

impl Account {
    /// The DID of the account itself.
    #[must_use]
    pub fn did(&self) -> String {
        format!("did:sync:system:{}", self.id)
    }

    /// Whether it was not revoked.
    #[must_use]
    pub fn is_alive(&self) -> bool {
        self.revoked_at.is_none()
    }

    /// Whether a DID is in its allow-list.
    #[must_use]
    pub fn lists(&self, actor: &str) -> bool {
        self.actors.iter().any(|a| **a == *actor)
    }
}

/// All accounts that ever were.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Accounts {
    by_number: Vector<Row>,
    #[serde(skip)]
    by_id: OrdMap<Arc<str>, u32>,
    /// The same rows, by what a token's text says.
    #[serde(skip)]
    pub(crate) rows: Rows,
    /// How many are not revoked.
    pub(super) alive: usize,
    /// Every DID that an account lists or ever listed, but for those of redemptions on the accounts that these made;
    /// by what they look like ([`likeness`](crate::names::likeness)).
    pub(super) named_here: OrdSet<Arc<str>>,
}

impl Accounts {
    /// The account of an id.
    #[must_use]
    pub fn get(&self, id: &str) -> Option<&Arc<Account>> {
        self.by_number(*self.by_id.get(id)?)
    }

    /// The account at a place.
    #[must_use]
    pub fn by_number(&self, number: u32) -> Option<&Arc<Account>> {
        self.row(number).map(Row::account)
    }

    /// What decides of the account at a place.
    #[inline]
    pub(crate) fn row(&self, number: u32) -> Option<&Row> {
        self.by_number.get(usize::try_from(number).ok()?)
    }

    /// What decides of the account that a token's text names, which need not be the token's.
    #[inline]
    pub(crate) fn named(&self, token: &str) -> Option<&Row> {
        hot::named(&self.rows, token)
    }

    /// Puts an account at its place: in that of what was there, or at the end.
    pub(super) fn set(&mut self, account: Account) {
        let row = Row::new(account);
        hot::put(&mut self.rows, &row);
        let at = usize::try_from(row.number()).ok();
        match at.and_then(|at| self.by_number.get_mut(at)) {
            Some(slot) => *slot = row,
            None => {
                self.by_id.insert(row.account().id.clone(), row.number());
                self.by_number.push_back(row);
            }
        }
    }

    /// Whether an account lists a DID that looks like this, or ever did: not one that a redemption under that
    /// name made.
    #[must_use]
    pub fn is_named_here(&self, alike: &str) -> bool {
        self.named_here.contains(alike)
    }

    /// All of them, in the order they were made.
    pub fn iter(&self) -> impl DoubleEndedIterator<Item = &Arc<Account>> {
        self.by_number.iter().map(Row::account)
    }

    /// Whether none was ever made.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.by_number.is_empty()
    }

    /// How many were ever made.
    #[must_use]
    pub fn len(&self) -> usize {
        self.by_number.len()
    }

    /// Whether one is not revoked.
    #[must_use]
    pub fn any_alive(&self) -> bool {
        self.alive > 0
    }
}
