//! Consent: which operators may see and change what concerns other people (protocol, section 8).

mod decide;
mod fold;
mod state;

pub use decide::{Give, TakeBack, denied};
pub(crate) use decide::{give, may, may_hand_out, operator_grants, take_back};
pub use fold::{Granted, Revoked};
pub use state::{Access, Consent, Grant, Resource};

/// Longest purpose of a grant, in characters.
pub const PURPOSE_CHARS_MAX: usize = 280;
/// The thread of grants.
pub const THREAD: &str = "th_consent";
/// A grant.
pub const KIND: &str = "core.consent.v1";
/// The end of a grant.
pub const REVOCATION_KIND: &str = "core.consent_revoked.v1";
