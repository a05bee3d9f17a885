use spl_kernel::{id::RecordId, time::UnixMillis};

use super::{Access, Consent, Grant, Resource};
use crate::event::{FormatError, Members};

/// `core.consent.v1`, decoded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Granted {
    grant_id: String,
    grantee: String,
    resource: Resource,
    access: Access,
    purpose: Option<String>,
    expires_at: Option<UnixMillis>,
    granted_at: UnixMillis,
}

impl Granted {
    /// Members of the record, beside `kind` and `by`.
    pub const MEMBERS: [&'static str; 8] =
        ["grant_id", "grant_type", "grantee", "resource", "access", "purpose", "expires_at", "granted_at"];

    pub(crate) fn decode(members: &Members<'_>) -> Result<Self, FormatError> {
        members.only(&Self::MEMBERS)?;
        let unknown = |what: &str| FormatError(format!("member {what:?}"));
        if members.str("grant_type")? != "operator" {
            return Err(unknown("grant_type"));
        }
        Ok(Self {
            grant_id: members.text("grant_id")?,
            grantee: members.text("grantee")?,
            resource: Resource::parse(members.str("resource")?).ok_or_else(|| unknown("resource"))?,
            access: Access::parse(members.str("access")?).ok_or_else(|| unknown("access"))?,
            purpose: members.optional_str("purpose")?.map(str::to_owned),
            expires_at: members.optional_time("expires_at")?,
            granted_at: members.time("granted_at")?,
        })
    }
}

/// `core.consent_revoked.v1`, decoded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Revoked {
    grant_id: String,
    revoked_at: UnixMillis,
}

impl Revoked {
    /// Members of the record, beside `kind` and `by`.
    pub const MEMBERS: [&'static str; 3] = ["grant_id", "reason", "revoked_at"];

    pub(crate) fn decode(members: &Members<'_>) -> Result<Self, FormatError> {
        members.only(&Self::MEMBERS)?;
        members.optional_str("reason")?;
        Ok(Self { grant_id: members.text("grant_id")?, revoked_at: members.time("revoked_at")? })
    }
}

impl Consent {
    /// Takes in a grant.
    pub(crate) fn grant(&mut self, granted: Granted, record: RecordId) {
        let grant = Grant {
            grantee: granted.grantee,
            resource: granted.resource,
            access: granted.access,
            purpose: granted.purpose,
            expires_at: granted.expires_at,
            granted_at: granted.granted_at,
            revoked_at: None,
            record,
        };
        self.grants.entry(granted.grant_id).or_insert(grant);
    }

    /// Takes in a grant's end.
    pub(crate) fn revoke(&mut self, revoked: &Revoked) {
        if let Some(grant) = self.grants.get_mut(&revoked.grant_id) {
            grant.revoked_at.get_or_insert(revoked.revoked_at);
        }
    }
}
