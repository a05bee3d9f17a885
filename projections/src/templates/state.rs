use std::sync::Arc;

use imbl::OrdMap;
use serde::Serialize;
use spl_kernel::{id::RecordId, time::UnixMillis};

use crate::{
    invites::{Accepts, Target},
    scope::Scopes,
};

/// What a template fills in.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Kept {
    /// What is granted, not yet narrowed.
    pub scopes: Scopes,
    /// In seconds.
    pub ttl_seconds: u32,
    /// How often.
    pub max_uses: u32,
    /// What it reaches.
    pub target: Target,
    /// Who may redeem.
    pub accepts: Accepts,
    /// What people call the invite.
    pub device_label: Option<String>,
    /// What they note on it.
    pub notes: Option<String>,
    /// In seconds, where it was said.
    pub bearer_ttl_seconds: Option<u32>,
}

/// A template.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Template {
    /// Its id: `tpl_` and 16 characters.
    pub id: Arc<str>,
    /// The actor that saved it, whose alone it is.
    pub owner: String,
    /// What that actor calls it.
    pub label: String,
    /// What it fills in.
    pub shape: Kept,
    /// When it was saved first.
    pub created_at: UnixMillis,
    /// Whether it is gone.
    pub removed: bool,
    /// The record of its latest state.
    #[serde(skip)]
    pub record: RecordId,
}

/// All templates that ever were.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Templates {
    pub(super) by_id: OrdMap<Arc<str>, Arc<Template>>,
}

impl Templates {
    /// A template by its id, a removed one too.
    #[must_use]
    pub fn get(&self, id: &str) -> Option<&Arc<Template>> {
        self.by_id.get(id)
    }

    /// An actor's templates, in the order of their ids.
    pub fn of_owner<'a>(&'a self, owner: &'a str) -> impl Iterator<Item = &'a Arc<Template>> {
        self.by_id.values().filter(move |t| t.owner == owner && !t.removed)
    }
}
