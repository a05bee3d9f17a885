//! Consent: which operators may see and change what concerns other people (protocol, section 8).

mod decide;
mod fold;
mod state;

pub(crate) use decide::{may_hand_out, operator_grants};
pub use fold::{Granted, Revoked};
pub use state::{Access, Consent, Grant, Resource};

/// The thread of grants.
pub const THREAD: &str = "th_consent";
/// A grant.
pub const KIND: &str = "core.consent.v1";
/// The end of a grant.
pub const REVOCATION_KIND: &str = "core.consent_revoked.v1";
