//! Who a federated holder may be here. Every line stops somebody from being taken for somebody else.

use spl_kernel::{
    draft::check_actor,
    refusal::{Code, Refusal},
};

use super::{HolderType, Redemption, Signer};
use crate::{World, accounts::Account, context::SYSTEM_ACTORS};

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
    let kept = [SYSTEM_ACTORS, INSTANCES, GUESTS].iter().any(|prefix| holder.starts_with(prefix));
    if kept || world.identity.did.as_deref() == Some(holder) {
        return Err(denied(format!("{holder} is a name that instances give themselves")));
    }
    // Such a name is a key of its own: nobody else can speak for it.
    let names_a_key = holder.starts_with("did:key:") || holder.starts_with("did:web:");
    if names_a_key && holder != signer.did {
        return Err(denied(format!("only {holder} itself can vouch for that name")));
    }
    if world.invites.vouched(holder).is_some_and(|first| first != signer) {
        return Err(denied(format!("another instance has vouched for {holder} before")));
    }
    let theirs = |account: &Account| made_by(world, account, holder, signer);
    if !world.accounts.ever_listing(holder).all(|account| theirs(account)) {
        return Err(denied(format!("{holder} is somebody of this instance")));
    }
    if world.consent.ever_concerned(holder) {
        return Err(denied(format!("{holder} is an operator of this instance")));
    }
    Ok(())
}

/// Whether a redemption of this very holder, vouched for by this signer, made an account.
fn made_by(world: &World, account: &Account, holder: &str, signer: &Signer) -> bool {
    let made = |one: &Redemption| {
        one.service_account_id == *account.id
            && *one.holder_did == *holder
            && one.holder_type == HolderType::Federated
            && one.signer.as_ref() == Some(signer)
    };
    let invite = account.invite_id.as_deref().and_then(|id| world.invites.get(id));
    invite.is_some_and(|invite| invite.redemptions.iter().any(|one| made(one)))
}

/// Whether a DID stays with whoever redeemed an invite under it: another account must not list it.
pub(crate) fn is_spoken_for(world: &World, actor: &str) -> bool {
    actor.starts_with(GUESTS) || world.invites.vouched(actor).is_some()
}
