//! Templates: shapes of invites that an operator keeps.

mod decide;
mod fold;
mod state;

pub use decide::{Remove, Save};
pub(crate) use decide::{own, remove, save};
pub use fold::{Put, Removed};
pub use state::{Template, Templates};

/// The thread of templates.
pub const THREAD: &str = "th_invite_templates";
/// A template.
pub const KIND: &str = "core.invite_template.v1";
/// The end of one.
pub const REMOVAL_KIND: &str = "core.invite_template.removal.v1";
