//! Invites: issuing, listing, following, previewing, redeeming and taking them back.

mod attest;
mod audit;
mod issue;
mod list;
mod redeem;
mod revoke;
pub(crate) mod row;
pub(super) mod shape;
mod stream;

pub(crate) use self::redeem::InviteRates;
pub(super) use self::{
    attest::sign,
    audit::feed,
    issue::issue,
    list::list,
    redeem::{preview, redeem},
    revoke::{bulk_revoke, revoke},
    stream::follow,
};
