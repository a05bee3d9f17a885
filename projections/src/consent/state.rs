use imbl::OrdMap;
use serde::Serialize;
use spl_kernel::{id::RecordId, time::UnixMillis};

use crate::names::likeness;

/// What a grant is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub enum Resource {
    /// Invites.
    Invites,
    /// Templates of invites.
    InviteTemplates,
    /// Grants themselves.
    Consent,
}

impl Resource {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Invites, Self::InviteTemplates, Self::Consent];

    /// The thread that it is named after.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Invites => "th_invites",
            Self::InviteTemplates => "th_invite_templates",
            Self::Consent => "th_consent",
        }
    }

    /// The resource of a name.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|r| r.as_str() == text)
    }
}

/// What a grant allows; writing includes reading.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub enum Access {
    /// Reading.
    Read,
    /// Reading and changing.
    Write,
}

impl Access {
    /// The name in records and answers.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Read => "read",
            Self::Write => "write",
        }
    }

    /// The access of a name.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        [Self::Read, Self::Write].into_iter().find(|a| a.as_str() == text)
    }
}

/// A grant.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Grant {
    /// Who may.
    pub grantee: String,
    /// About what.
    pub resource: Resource,
    /// What.
    pub access: Access,
    /// What for.
    pub purpose: Option<String>,
    /// Until when.
    pub expires_at: Option<UnixMillis>,
    /// When it was given.
    pub granted_at: UnixMillis,
    /// When it was taken back.
    pub revoked_at: Option<UnixMillis>,
    /// The record that gave it.
    #[serde(skip)]
    pub record: RecordId,
}

impl Grant {
    /// Whether it counts.
    #[must_use]
    pub fn is_live(&self, now: UnixMillis) -> bool {
        self.revoked_at.is_none() && self.expires_at.is_none_or(|at| now < at)
    }
}

/// All grants that ever were, by id.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
pub struct Consent {
    pub(super) grants: OrdMap<String, Grant>,
}

impl Consent {
    /// A grant by its id.
    #[must_use]
    pub fn get(&self, id: &str) -> Option<&Grant> {
        self.grants.get(id)
    }

    /// All grants with their ids, in the order of these.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &Grant)> {
        self.grants.iter().map(|(id, grant)| (id.as_str(), grant))
    }

    /// Live grants of an actor.
    fn live_of<'a>(&'a self, actor: &'a str, now: UnixMillis) -> impl Iterator<Item = &'a Grant> {
        self.grants.values().filter(move |g| g.grantee == actor && g.is_live(now))
    }

    /// Whether an actor holds a grant.
    #[must_use]
    pub fn allows(&self, actor: &str, resource: Resource, access: Access, now: UnixMillis) -> bool {
        self.live_of(actor, now).any(|g| g.resource == resource && g.access >= access)
    }

    /// Until when an actor holds a grant by time alone; `None` where no time ends it.
    #[must_use]
    pub fn until(
        &self,
        actor: &str,
        resource: Resource,
        access: Access,
        now: UnixMillis,
    ) -> Option<UnixMillis> {
        let held = self.live_of(actor, now).filter(|g| g.resource == resource && g.access >= access);
        // One without an end outlasts all others.
        held.map(|g| g.expires_at.unwrap_or(UnixMillis(u64::MAX))).max().filter(|at| at.0 != u64::MAX)
    }

    /// Whether an actor holds any grant.
    #[must_use]
    pub fn concerns(&self, actor: &str, now: UnixMillis) -> bool {
        self.live_of(actor, now).next().is_some()
    }

    /// Whether an actor that looks like this ([`likeness`]) holds a grant, or ever did.
    #[must_use]
    pub fn ever_concerned(&self, alike: &str) -> bool {
        self.grants.values().any(|g| likeness(&g.grantee) == alike)
    }

    /// Those who may hand out grants.
    pub fn guardians(&self, now: UnixMillis) -> impl Iterator<Item = &str> {
        self.grants
            .values()
            .filter(move |g| g.is_live(now) && g.resource == Resource::Consent && g.access == Access::Write)
            .map(|g| g.grantee.as_str())
    }
}
