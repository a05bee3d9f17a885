use std::sync::Arc;

use imbl::{OrdMap, OrdSet};
use serde::Serialize;
use spl_kernel::{id::RecordId, time::UnixMillis};

/// A paired instance.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Pair {
    /// Its id: `pair_` and 16 characters, never used again.
    pub id: Arc<str>,
    /// The peer's DID.
    pub peer_did: String,
    /// The peer's address, as it was when it was paired.
    pub peer_url: String,
    /// The peer's key, pinned; base64url.
    pub peer_key: String,
    /// That key's fingerprint.
    pub peer_key_fp: String,
    /// The version that the peer stated.
    pub peer_version: Option<String>,
    /// Which token of the peer's is kept for it, by its hash.
    pub peer_token_id: Option<String>,
    /// When it was paired.
    pub paired_at: UnixMillis,
    /// When it was removed.
    pub removed_at: Option<UnixMillis>,
    /// The record that made it.
    #[serde(skip)]
    pub record: RecordId,
}

impl Pair {
    /// Whether it was not removed.
    #[must_use]
    pub fn is_active(&self) -> bool {
        self.removed_at.is_none()
    }
}

/// All pairs that ever were.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Pairs {
    pub(super) by_id: OrdMap<Arc<str>, Arc<Pair>>,
    /// The latest pair of each peer.
    pub(super) by_peer: OrdMap<String, Arc<str>>,
    /// Every key that was ever pinned, base64url.
    pub(super) keys: OrdSet<String>,
    /// Ids in the order they were made.
    pub(super) in_order: imbl::Vector<Arc<str>>,
    /// Accounts that redemptions through a pair made.
    pub(super) accounts: OrdSet<(Arc<str>, Arc<str>)>,
    /// How many of them live, by pair.
    pub(super) living: OrdMap<Arc<str>, u32>,
}

impl Pairs {
    /// A pair by its id, a removed one too.
    #[must_use]
    pub fn get(&self, id: &str) -> Option<&Arc<Pair>> {
        self.by_id.get(id)
    }

    /// The latest pair with a peer, a removed one too.
    #[must_use]
    pub fn of_peer(&self, did: &str) -> Option<&Arc<Pair>> {
        self.by_id.get(self.by_peer.get(did)?)
    }

    /// Whether a key was ever pinned, for whatever DID.
    #[must_use]
    pub fn pinned(&self, key: &str) -> bool {
        self.keys.contains(key)
    }

    /// All of them, in the order they were made.
    pub fn iter(&self) -> impl DoubleEndedIterator<Item = &Arc<Pair>> {
        self.in_order.iter().filter_map(|id| self.by_id.get(id))
    }

    /// How many accounts that came through a pair live.
    #[must_use]
    pub fn living(&self, pair_id: &str) -> u32 {
        self.living.get(pair_id).copied().unwrap_or(0)
    }

    /// Ids of the accounts that redemptions through a pair made.
    pub fn accounts_of<'a>(&'a self, pair_id: &'a str) -> impl Iterator<Item = &'a str> {
        let start: (Arc<str>, Arc<str>) = (pair_id.into(), "".into());
        self.accounts.range(start..).take_while(move |(pair, _)| **pair == *pair_id).map(|(_, id)| &**id)
    }
}
