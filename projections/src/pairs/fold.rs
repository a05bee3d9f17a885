use std::sync::Arc;

use spl_kernel::{id::RecordId, time::UnixMillis};

use super::{Pair, Pairs};
use crate::event::{FormatError, Members};

fn unknown(what: &str) -> FormatError {
    FormatError(format!("member {what:?}"))
}

/// `core.federation_pair.v1`, decoded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Put {
    pair_id: Arc<str>,
    peer_did: String,
    peer_url: String,
    peer_key: String,
    peer_key_fp: String,
    peer_version: Option<String>,
    peer_token_id: Option<String>,
    paired_at: UnixMillis,
}

impl Put {
    /// Members of the record, beside `kind` and `by`.
    pub const MEMBERS: [&'static str; 10] = [
        "pair_id",
        "peer_did",
        "peer_url",
        "peer_key",
        "peer_key_fp",
        "peer_version",
        "manifest_sha256",
        "peer_token_id",
        "state",
        "paired_at",
    ];

    pub(crate) fn decode(members: &Members<'_>) -> Result<Self, FormatError> {
        members.only(&Self::MEMBERS)?;
        if members.str("state")? != "active" {
            return Err(unknown("state"));
        }
        members.str("manifest_sha256")?;
        Ok(Self {
            pair_id: members.str("pair_id")?.into(),
            peer_did: members.text("peer_did")?,
            peer_url: members.text("peer_url")?,
            peer_key: members.text("peer_key")?,
            peer_key_fp: members.text("peer_key_fp")?,
            peer_version: members.optional_str("peer_version")?.map(str::to_owned),
            peer_token_id: members.optional_str("peer_token_id")?.map(str::to_owned),
            paired_at: members.time("paired_at")?,
        })
    }
}

/// `core.federation_pair.event.v1`, decoded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Happened {
    pair_id: String,
    at: UnixMillis,
    removed: bool,
}

impl Happened {
    /// Members of the record, beside `kind` and `by`.
    pub const MEMBERS: [&'static str; 7] =
        ["pair_id", "peer_did", "event_kind", "reason", "accounts_revoked", "bearers_revoked", "at"];

    pub(crate) fn decode(members: &Members<'_>) -> Result<Self, FormatError> {
        members.only(&Self::MEMBERS)?;
        members.str("peer_did")?;
        members.optional_str("reason")?;
        members.optional_number("accounts_revoked")?;
        members.optional_number("bearers_revoked")?;
        let removed = match members.str("event_kind")? {
            "removed" => true,
            "token_set" => false,
            _ => return Err(unknown("event_kind")),
        };
        Ok(Self { pair_id: members.text("pair_id")?, at: members.time("at")?, removed })
    }
}

impl Pairs {
    /// Takes in a pair. Its id is never used again.
    pub(crate) fn put(&mut self, put: Put, record: RecordId) {
        if self.by_id.contains_key(&put.pair_id) {
            return;
        }
        self.by_peer.insert(put.peer_did.clone(), put.pair_id.clone());
        self.in_order.push_back(put.pair_id.clone());
        self.keys.insert(put.peer_key.clone());
        let pair = Pair {
            id: put.pair_id.clone(),
            peer_did: put.peer_did,
            peer_url: put.peer_url,
            peer_key: put.peer_key,
            peer_key_fp: put.peer_key_fp,
            peer_version: put.peer_version,
            peer_token_id: put.peer_token_id,
            paired_at: put.paired_at,
            removed_at: None,
            record,
        };
        self.by_id.insert(put.pair_id, Arc::new(pair));
    }

    /// Takes in what happened to a pair.
    pub(crate) fn happened(&mut self, happened: &Happened) {
        if let Some(pair) = self.by_id.get_mut(&*happened.pair_id).filter(|_| happened.removed) {
            Arc::make_mut(pair).removed_at.get_or_insert(happened.at);
        }
    }

    /// Takes in that a redemption came through a pair.
    pub(crate) fn attribute(&mut self, pair_id: &str, service_account_id: &str) {
        if let Some(pair) = self.by_id.get(pair_id) {
            *self.living.entry(pair.id.clone()).or_default() += 1;
            self.accounts.insert((pair.id.clone(), service_account_id.into()));
        }
    }

    /// Takes in that an account which came through a pair has ended.
    pub(crate) fn account_ended(&mut self, pair_id: &str) {
        if let Some(living) = self.living.get_mut(pair_id) {
            *living = living.saturating_sub(1);
        }
    }
}
