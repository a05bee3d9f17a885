//! What an outside writer may write at all, whatever the state of clocks.

use spl_kernel::{
    draft::{Draft, namespace},
    refusal::{Code, Refusal},
};

use crate::reserved::{is_reserved_kind, is_reserved_thread};

/// The actors of instances themselves and their accounts.
const SYSTEM_ACTORS: &str = "did:sync:system:";

/// Checks one draft of an outside writer: namespace, thread, kind, actor.
///
/// # Errors
/// `NAMESPACE_REJECTED`, `RESERVED_THREAD`, `RESERVED_KIND` or `DID_CLAIM_DENIED`, in this order.
pub fn check(draft: &Draft, instance_did: &str) -> Result<(), Refusal> {
    namespace(&draft.facts)?;
    if is_reserved_thread(&draft.thread) {
        return Err(Refusal::new(
            Code::ReservedThread,
            format!("{} is written by the instance itself", draft.thread),
        )
        .hint("use the command that makes such records, or another thread"));
    }
    if let Some(kind) = draft.facts.kind.as_deref().filter(|k| is_reserved_kind(k)) {
        return Err(Refusal::new(
            Code::ReservedKind,
            format!("records of kind {kind} are written by the instance itself"),
        )
        .hint("use the command that makes such records, or a kind of your own"));
    }
    if draft.actor.starts_with(SYSTEM_ACTORS) || draft.actor == instance_did {
        return Err(Refusal::new(
            Code::DidClaimDenied,
            format!("{} speaks for the instance itself", draft.actor),
        )
        .hint("write as an actor of your own, such as did:sync:user:<name>"));
    }
    Ok(())
}
