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
use spl_kernel::refusal::Refusal;
use spl_projections::{
    authority::Caller,
    consent::{Access, Resource},
};

use crate::{problem::Problem, session::Session};

/// Whether a caller's own actor holds the grant for a resource. The gate has asked for `admin`.
pub(super) fn holds(session: &Session, caller: &Caller, resource: Resource, access: Access) -> bool {
    let allowed = |actor| session.world.consent.allows(actor, resource, access, session.now);
    caller.own_actor().is_some_and(allowed)
}

/// Refuses whoever lacks the grant, before anything else is looked at; the writer asks again.
pub(super) fn consented(session: &Session, resource: Resource, access: Access) -> Result<(), Problem> {
    if holds(session, &session.caller, resource, access) {
        return Ok(());
    }
    let refusal: Refusal = spl_projections::consent::denied(session.caller.actor(), resource, access);
    Err(refusal.into())
}
