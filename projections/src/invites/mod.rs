//! Invites: links by which devices and people with an instance of their own get an account here (protocol,
//! section 8).

mod body;
mod end;
mod fold;
mod holder;
mod issue;
mod link;
mod proof;
mod redeem;
mod shape;
mod state;

pub use body::{Body, Claim, Holder};
pub use end::{BulkFilter, BulkRevoke, Revoke};
pub(crate) use end::{bulk_revoke, end_open, revoke};
pub use fold::{Happened, Issued};
pub(crate) use holder::is_spoken_for;
pub use issue::Issue;
pub(crate) use issue::issue;
pub use link::{is_invite_id, link, opens};
pub(crate) use proof::attest;
pub use proof::{ATTESTATION_DOMAIN, Attest, Attestation};
pub use redeem::{Redeem, Resolved, host_to_ask};
pub(crate) use redeem::{note_refused, redeem};
pub use shape::{Settled, Shape};
pub use state::{
    Accepts, HolderType, Invite, Invites, Reason, Redemption, Signer, State, Target, Trust, Vouched,
};

/// The thread of invites.
pub const THREAD: &str = "th_invites";
/// An invite.
pub const KIND: &str = "core.invite.v1";
/// What happened to one.
pub const EVENT_KIND: &str = "core.invite.event.v1";
/// Longest notes, in characters.
pub const NOTES_CHARS_MAX: usize = 280;
