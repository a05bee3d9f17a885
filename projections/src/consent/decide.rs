use std::sync::Arc;

use spl_kernel::{
    draft::check_actor,
    json::Json,
    record::Act,
    refusal::{Code, Refusal},
    time::UnixMillis,
};

use super::{Access, KIND, PURPOSE_CHARS_MAX, REVOCATION_KIND, Resource, THREAD};
use crate::{
    World,
    audit::{CONSENT_KIND, CONSENT_THREAD},
    authority::Caller,
    context::Context,
    decision::{Change, Decision, Member, Outcome, Parent},
};

/// The refusal for an admin whose actor lacks the grant for a resource.
#[must_use]
pub fn denied(actor: Option<&str>, resource: Resource, access: Access) -> Refusal {
    let (actor, resource) = (actor.unwrap_or("<your DID>"), resource.as_str());
    let access = access.as_str();
    Refusal::new(Code::ConsentDenied, format!("this needs the consent grant to {access} {resource}"))
        .hint(format!("a holder of the th_consent write grant runs: spl consent grant --grantee {actor} --resource {resource} --access {access}"))
}

impl World {
    /// Whether a caller's own actor holds the grant for a resource. Who acts as somebody else borrows none.
    #[must_use]
    pub fn consents(&self, caller: &Caller, resource: Resource, access: Access, now: UnixMillis) -> bool {
        caller.own_actor().is_some_and(|actor| self.consent.allows(actor, resource, access, now))
    }
}

/// Insists that the caller's own actor holds the grant for a resource.
///
/// # Errors
/// `CONSENT_DENIED`.
pub(crate) fn may(
    world: &World,
    context: &Context<'_>,
    resource: Resource,
    access: Access,
) -> Result<(), Refusal> {
    if world.consents(context.caller, resource, access, context.now) {
        return Ok(());
    }
    Err(denied(context.caller.actor(), resource, access))
}

/// Whether the caller is one of those who hand out grants, or the home's owner.
fn hands_out(world: &World, context: &Context<'_>) -> bool {
    let held = || world.consents(context.caller, Resource::Consent, Access::Write, context.now);
    context.caller.local_proof || held()
}

/// Whether the caller may give somebody a credential or a say over these actors, or take it away: where one of
/// them holds a grant, that is for those who may hand out grants, and for the home's owner.
///
/// # Errors
/// `CONSENT_DENIED`.
pub(crate) fn may_hand_out(world: &World, context: &Context<'_>, actors: &[Arc<str>]) -> Result<(), Refusal> {
    let concerned = actors.iter().find(|actor| world.consent.concerns(actor, context.now));
    let Some(concerned) = concerned else { return Ok(()) };
    if hands_out(world, context) {
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
            grants.push(granted(context, &grant_id, actor, resource, Access::Write, []));
        }
    }
    grants
}

/// A grant to give.
#[derive(Debug, Clone)]
pub struct Give {
    /// To whom.
    pub grantee: String,
    /// About what.
    pub resource: Resource,
    /// What.
    pub access: Access,
    /// What for.
    pub purpose: Option<String>,
    /// Until when.
    pub expires_at: Option<UnixMillis>,
}

/// A grant to take back.
#[derive(Debug, Clone)]
pub struct TakeBack {
    /// Which.
    pub grant_id: String,
    /// Why.
    pub reason: Option<String>,
}

/// Whether the caller may change grants: as a holder of the write grant on them, or as the home's owner.
fn may_change(world: &World, context: &Context<'_>) -> Result<(), Refusal> {
    if hands_out(world, context) {
        return Ok(());
    }
    let caller = context.caller.actor().unwrap_or("<your DID>");
    Err(Refusal::new(Code::ConsentDenied, "changing grants needs the th_consent write grant").hint(format!(
        "such a holder runs: spl consent grant --grantee {caller} --resource th_consent --access write"
    )))
}

/// Gives a grant.
pub(crate) fn give(world: &World, give: &Give, context: &Context<'_>) -> Result<Decision, Refusal> {
    may_change(world, context)?;
    let refused = |message: String| Err(Refusal::new(Code::InvalidBody, message));
    let grantee = check_actor(give.grantee.clone()).map_err(|_| {
        Refusal::new(Code::InvalidBody, "`grantee` must be a DID such as did:sync:user:alice")
    })?;
    if give.expires_at.is_some_and(|at| at <= context.now) {
        return refused("`expires_at` is past".into());
    }
    let fits =
        |p: &String| (1..=PURPOSE_CHARS_MAX).contains(&p.chars().count()) && !p.chars().any(char::is_control);
    if give.purpose.as_ref().is_some_and(|p| !fits(p)) {
        return refused(format!(
            "`purpose` is 1 to {PURPOSE_CHARS_MAX} characters, none of them control characters"
        ));
    }
    let grant_id = format!("cg_{}", *context.entropy.base32::<10>("grant"));
    let Give { resource, access, .. } = *give;
    let more = [
        ("purpose", give.purpose.as_deref().map(Json::from)),
        ("expires_at", give.expires_at.map(|at| at.to_string().into())),
    ];
    let change = granted(context, &grant_id, &grantee, resource, access, more);
    Ok(Decision { changes: vec![change], outcome: Outcome::Grant { grant_id } })
}

/// Takes a grant back. The last one that lets somebody hand out grants stays.
pub(crate) fn take_back(world: &World, take: &TakeBack, context: &Context<'_>) -> Result<Decision, Refusal> {
    may_change(world, context)?;
    let grant = world.consent.get(&take.grant_id).ok_or_else(|| {
        Refusal::new(Code::GrantNotFound, "there is no such grant")
            .hint("`spl consent list` shows all of them")
    })?;
    if grant.revoked_at.is_some() {
        return Ok(Decision { changes: Vec::new(), outcome: Outcome::GrantRevoked { already: true } });
    }
    let guards =
        grant.resource == Resource::Consent && grant.access == Access::Write && grant.is_live(context.now);
    let others = world.consent.iter().any(|(id, other)| {
        id != take.grant_id
            && other.is_live(context.now)
            && (other.resource, other.access) == (Resource::Consent, Access::Write)
    });
    if guards && !others {
        return Err(Refusal::new(Code::LastGrant, "nobody would be left who may hand out grants")
            .hint("first give somebody else the th_consent write grant"));
    }
    let change = Change::new(
        THREAD,
        REVOCATION_KIND,
        Act::Do,
        context,
        [
            ("grant_id", Some(take.grant_id.as_str().into())),
            ("reason", take.reason.as_deref().map(Json::from)),
            ("revoked_at", Some(context.now.to_string().into())),
        ],
    )
    .parent(Parent::Id(grant.record))
    .mirrored(
        CONSENT_THREAD,
        CONSENT_KIND,
        context,
        [
            ("transition", Some("revoked".into())),
            ("grant_id", Some(take.grant_id.as_str().into())),
            ("grantee", Some(grant.grantee.as_str().into())),
            ("resource", Some(grant.resource.as_str().into())),
            ("access", Some(grant.access.as_str().into())),
        ],
    );
    Ok(Decision { changes: vec![change], outcome: Outcome::GrantRevoked { already: false } })
}

fn granted(
    context: &Context<'_>,
    grant_id: &str,
    grantee: &str,
    resource: Resource,
    access: Access,
    more: impl IntoIterator<Item = Member>,
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
    Change::new(THREAD, KIND, Act::Learn, context, common().into_iter().chain(own).chain(more)).mirrored(
        CONSENT_THREAD,
        CONSENT_KIND,
        context,
        common().into_iter().chain([("transition", Some("granted".into()))]),
    )
}
