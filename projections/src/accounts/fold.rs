use std::sync::Arc;

use spl_kernel::{id::RecordId, time::UnixMillis};

use super::{Account, AccountOrigin, Accounts};
use crate::{
    event::{FormatError, Members},
    names::likeness,
    scope::Scopes,
    tokens::EnvTag,
};

/// `core.service_account.v1`, decoded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Put {
    pub(super) service_account_id: String,
    pub(super) display_name: String,
    pub(super) allowed_actors: Vec<Arc<str>>,
    pub(super) scopes: Scopes,
    pub(super) namespace: String,
    pub(super) env_tag: EnvTag,
    pub(super) origin: AccountOrigin,
    pub(super) invite_id: Option<String>,
    pub(super) pair_id: Option<String>,
    pub(super) created_at: UnixMillis,
}

impl Put {
    /// The invite and the account, where a redemption made it.
    pub(crate) fn redeemed(&self) -> Option<(&str, &str)> {
        Some((self.invite_id.as_deref()?, &self.service_account_id))
    }

    /// Members of the record, beside `kind` and `by`.
    pub const MEMBERS: [&'static str; 10] = [
        "service_account_id",
        "display_name",
        "allowed_actors",
        "scopes",
        "namespace",
        "env_tag",
        "origin",
        "invite_id",
        "pair_id",
        "created_at",
    ];

    pub(crate) fn decode(members: &Members<'_>) -> Result<Self, FormatError> {
        members.only(&Self::MEMBERS)?;
        let unknown = |what: &str| FormatError(format!("member {what:?}"));
        Ok(Self {
            service_account_id: members.text("service_account_id")?,
            display_name: members.text("display_name")?,
            allowed_actors: members.strings("allowed_actors")?.into_iter().map(Arc::from).collect(),
            scopes: Scopes::parse(members.strings("scopes")?).map_err(|_| unknown("scopes"))?,
            namespace: members.text("namespace")?,
            env_tag: EnvTag::parse(members.str("env_tag")?).map_err(|_| unknown("env_tag"))?,
            origin: AccountOrigin::parse(members.str("origin")?).ok_or_else(|| unknown("origin"))?,
            invite_id: members.optional_str("invite_id")?.map(str::to_owned),
            pair_id: members.optional_str("pair_id")?.map(str::to_owned),
            created_at: members.time("created_at")?,
        })
    }
}

/// `core.service_account.revocation.v1`, decoded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Revoked {
    service_account_id: String,
    revoked_at: UnixMillis,
}

impl Revoked {
    /// Which account it is about.
    pub(crate) fn service_account_id(&self) -> &str {
        &self.service_account_id
    }

    /// Members of the record, beside `kind` and `by`.
    pub const MEMBERS: [&'static str; 5] =
        ["service_account_id", "cause", "reason", "tokens_revoked", "revoked_at"];

    pub(crate) fn decode(members: &Members<'_>) -> Result<Self, FormatError> {
        members.only(&Self::MEMBERS)?;
        if !matches!(members.str("cause")?, "operator" | "invite_revoked" | "pair_removed") {
            return Err(FormatError("member \"cause\"".into()));
        }
        members.optional_str("reason")?;
        members.number("tokens_revoked")?;
        Ok(Self {
            service_account_id: members.text("service_account_id")?,
            revoked_at: members.time("revoked_at")?,
        })
    }
}

impl Accounts {
    /// Takes in an account's state: a new one, or the whole of one that is known. `holder` is who a redemption made
    /// it for.
    pub(crate) fn put(&mut self, put: Put, record: RecordId, holder: Option<&Arc<str>>) {
        let known = self.get(&put.service_account_id);
        // 2^32 accounts would need half a terabyte before the count could not hold them.
        let number = known.map_or(u32::try_from(self.len()).unwrap_or(u32::MAX), |a| a.number);
        let revoked_at = known.and_then(|a| a.revoked_at);
        self.alive += usize::from(known.is_none());
        for actor in put.allowed_actors.iter().filter(|actor| holder != Some(*actor)) {
            // Nearly all look like what they are, and share their text.
            let alike = likeness(actor);
            self.named_here.insert(if alike == **actor { actor.clone() } else { alike.into() });
        }
        self.set(Account {
            number,
            revoked_at,
            actors: put.allowed_actors,
            id: put.service_account_id.into(),
            display_name: put.display_name,
            scopes: put.scopes,
            namespace: put.namespace,
            env_tag: put.env_tag,
            origin: put.origin,
            invite_id: put.invite_id,
            pair_id: put.pair_id,
            created_at: put.created_at,
            record,
        });
    }

    /// Takes in an account's end. It stays ended.
    pub(crate) fn revoke(&mut self, revoked: &Revoked, record: RecordId) {
        let living = self.get(&revoked.service_account_id).filter(|a| a.is_alive());
        if let Some(account) = living.map(|a| Account::clone(a)) {
            self.set(Account { revoked_at: Some(revoked.revoked_at), record, ..account });
            self.alive -= 1;
        }
    }
}
