//! Who a federated holder may be here. Every line stops somebody from being taken for somebody else.

use spl_kernel::{
    draft::check_actor,
    refusal::{Code, Refusal},
};

use super::Signer;
use crate::{World, context::SYSTEM_ACTORS, names::likeness};

/// What the names of instances begin with.
const INSTANCES: &str = "did:sync:instance:";
/// What the names of guests begin with, which are made here.
pub(super) const GUESTS: &str = "did:sync:user:guest:";

fn denied(message: impl Into<String>) -> Refusal {
    Refusal::new(Code::DidClaimDenied, message)
        .hint("ask the issuer for an invite that accepts guests, or sign in under a name that is yours alone")
}

/// Whether somebody whom `signer` vouches for may be called this here.
pub(super) fn may_be_called(world: &World, holder: &str, signer: &Signer) -> Result<(), Refusal> {
    if check_actor(holder.to_owned()).is_err() {
        return Err(denied("`holder_did` is no DID"));
    }
    let alike = likeness(holder);
    let kept = [SYSTEM_ACTORS, INSTANCES, GUESTS].iter().any(|prefix| {
        // The prefix alone, without what follows it, too.
        alike.starts_with(prefix) || prefix.strip_suffix(':') == Some(alike.as_str())
    });
    if kept || world.identity.did.as_deref() == Some(holder) {
        return Err(denied(format!("{holder} is a name that instances give themselves")));
    }
    // Such a name is a key of its own: nobody else can speak for it.
    let names_a_key = alike.starts_with("did:key:") || alike.starts_with("did:web:");
    if names_a_key && holder != signer.did {
        return Err(denied(format!("only {holder} itself can vouch for that name")));
    }
    if world.invites.vouched(&alike).is_some_and(|first| *first.did != *holder || first.signer != *signer) {
        return Err(denied(format!(
            "{holder} has been vouched for before, by another instance or in another spelling"
        )));
    }
    // What only redemptions listed is theirs, whom the same signer has vouched for: see above.
    if world.accounts.is_named_here(&alike) {
        return Err(denied(format!("{holder} is somebody of this instance")));
    }
    if world.consent.ever_concerned(&alike) {
        return Err(denied(format!("{holder} is an operator of this instance")));
    }
    Ok(())
}

/// Whether a DID stays with whoever redeemed an invite under it: another account must not list it.
pub(crate) fn is_spoken_for(world: &World, actor: &str) -> bool {
    let alike = likeness(actor);
    alike.starts_with(GUESTS) || world.invites.vouched(&alike).is_some()
}
