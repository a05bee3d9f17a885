use std::sync::Arc;

use spl_kernel::{
    record::Act,
    refusal::{Code, Refusal},
};

use super::{Access, KIND, Resource, THREAD};
use crate::{
    World,
    audit::{CONSENT_KIND, CONSENT_THREAD},
    context::Context,
    decision::Change,
};

/// Whether the caller may give somebody a credential or a say over these actors, or take it away: where one of
/// them holds a grant, that is for those who may hand out grants, and for the home's owner.
///
/// # Errors
/// `CONSENT_DENIED`.
pub(crate) fn may_hand_out(world: &World, context: &Context<'_>, actors: &[Arc<str>]) -> Result<(), Refusal> {
    let concerned = actors.iter().find(|actor| world.consent.concerns(actor, context.now));
    let Some(concerned) = concerned else { return Ok(()) };
    let may = |actor| world.consent.allows(actor, Resource::Consent, Access::Write, context.now);
    if context.caller.local_proof || context.caller.own_actor().is_some_and(may) {
        return Ok(());
    }
    let caller = context.caller.actor().unwrap_or("<your DID>");
    Err(Refusal::new(
        Code::ConsentDenied,
        format!(
            "{concerned} holds consent grants: who speaks for it is for holders of the th_consent write grant"
        ),
    )
    .hint(format!(
        "such a holder runs: spl consent grant --grantee {caller} --resource th_consent --access write"
    )))
}

/// The grants of a first operator: writing on all resources, for each actor that lacks one.
pub(crate) fn operator_grants(world: &World, context: &Context<'_>, actors: &[Arc<str>]) -> Vec<Change> {
    let mut grants = Vec::new();
    for (number, actor) in actors.iter().enumerate() {
        for resource in Resource::ALL {
            if world.consent.allows(actor, resource, Access::Write, context.now) {
                continue;
            }
            let label = format!("grant {number} {}", resource.as_str());
            let grant_id = format!("cg_{}", *context.entropy.base32::<10>(&label));
            grants.push(granted(context, &grant_id, actor, resource, Access::Write));
        }
    }
    grants
}

fn granted(
    context: &Context<'_>,
    grant_id: &str,
    grantee: &str,
    resource: Resource,
    access: Access,
) -> Change {
    let common = || {
        [
            ("grant_id", Some(grant_id.into())),
            ("grantee", Some(grantee.into())),
            ("resource", Some(resource.as_str().into())),
            ("access", Some(access.as_str().into())),
        ]
    };
    let own = [("grant_type", Some("operator".into())), ("granted_at", Some(context.now.to_string().into()))];
    Change::new(THREAD, KIND, Act::Learn, context, common().into_iter().chain(own)).mirrored(
        CONSENT_THREAD,
        CONSENT_KIND,
        context,
        common().into_iter().chain([("transition", Some("granted".into()))]),
    )
}
