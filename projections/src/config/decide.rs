use spl_kernel::{
    draft::Draft,
    json::{Bounds, Json, Object},
    limits,
    record::Act,
    refusal::{Code, Refusal},
    time::UnixMillis,
};

use super::{Change, Config, KIND, THREAD};
use crate::{
    World,
    authority::Caller,
    context::Context,
    decision::{self, Decision, Outcome},
    policies::{Question, Resource},
    scope::Scope,
};

/// A value to set, as the body of its record without `kind`.
#[derive(Debug, Clone)]
pub struct Set {
    /// `topic` and its members.
    pub body: Object,
}

/// Whether the caller may write this value: `config:write`, and `admin` for what opens, redirects or locks.
///
/// # Errors
/// `SCOPE_FORBIDDEN` with the scope that is missing.
pub fn entitled(caller: &Caller, change: &Change) -> Result<(), Refusal> {
    let needed = if change.needs_admin() { Scope::Admin } else { Scope::ConfigWrite };
    if caller.covers(needed) {
        return Ok(());
    }
    Err(Refusal::scope(needed.as_str())
        .hint("values that open, redirect or lock the instance are for admins"))
}

/// Sets a value.
pub(crate) fn set(world: &World, set: &Set, context: &Context<'_>) -> Result<Decision, Refusal> {
    let change = Change::decode(&set.body)?;
    if !context.caller.freed {
        entitled(context.caller, &change)?;
    }
    fits(&world.config, &change)?;
    let members = set.body.clone().into_members().filter(|(key, _)| key != "kind");
    let members = members.chain([("kind".to_owned(), KIND.into())]).collect();
    let body = Object::from_members(members)
        .map_err(|key| Refusal::new(Code::InvalidBody, format!("duplicate key {key:?}")))?;
    let change = decision::Change::with_body(THREAD, Act::Learn, body);
    Ok(Decision { changes: vec![change], outcome: Outcome::Done })
}

/// Whether a change can be taken in: rules are bounded in number.
fn fits(config: &Config, change: &Change) -> Result<(), Refusal> {
    match change {
        Change::PermissionRule(rule) => config.rules.with(rule.clone()).map(drop),
        _ => Ok(()),
    }
}

/// The change that a record posted on the configuration's thread is.
///
/// # Errors
/// `RESERVED_THREAD` unless it is a LEARN; otherwise as [`Change::decode`], and when it does not fit.
pub(crate) fn posted(config: &Config, draft: &Draft) -> Result<Change, Refusal> {
    if draft.act != Act::Learn {
        return Err(Refusal::new(Code::ReservedThread, "th_engine_config takes LEARN records only")
            .hint("see `spl config set`, or `spl learn --thread th_engine_config --body ...`"));
    }
    let bounds = Bounds { levels: limits::BODY_LEVELS_MAX, values: limits::BODY_VALUES_MAX };
    let body = match Json::parse(draft.body.as_bytes(), bounds) {
        Ok(Json::Object(body)) => body,
        _ => return Err(Refusal::new(Code::InvalidBody, "`body` must be a JSON object")),
    };
    let change = Change::decode(&body)?;
    fits(config, &change)?;
    Ok(change)
}

/// Refuses changes after which rules are in force that would leave the caller, or whoever may hand out grants,
/// unable to change the configuration back.
///
/// # Errors
/// `PERMISSION_LOCKOUT`.
pub fn check_lockout(
    world: &World,
    changes: &[Change],
    caller: &Caller,
    now: UnixMillis,
) -> Result<(), Refusal> {
    let concerns_rules = |c: &Change| matches!(c, Change::PermissionRule(_) | Change::PermissionsEnabled(_));
    if !changes.iter().any(concerns_rules) {
        return Ok(());
    }
    let mut rules = world.config.rules.clone();
    let mut enabled = world.config.permissions_enabled.value;
    for change in changes {
        match change {
            Change::PermissionRule(rule) => rules = rules.with(rule.clone())?,
            Change::PermissionsEnabled(value) => enabled = *value,
            _ => {}
        }
    }
    if !enabled {
        return Ok(());
    }
    let keeps = |actor: Option<&str>, scopes: &[String]| {
        let question = Question {
            resource: Resource::ConfigWrite,
            actor,
            namespace: "default",
            scopes,
            record: None,
            now,
        };
        rules.decide(&question).is_allowed()
    };
    let locked_out = |who: &str| {
        Refusal::new(Code::PermissionLockout, format!("with these rules {who} could not change the configuration any more"))
            .hint("first add a rule of high priority that allows resource == \"config_write\" for whoever administers")
    };
    if let Some(bearer) = &caller.bearer {
        // As whoever it is that the caller claims to be, and as itself.
        let own = bearer.account.actors.first().map(|a| &**a);
        let scopes = caller.scope_names();
        if !keeps(caller.actor(), &scopes) || !keeps(own, &scopes) {
            return Err(locked_out("you"));
        }
    }
    let admin = [Scope::Admin.as_str().to_owned()];
    match world.consent.guardians(now).find(|actor| !keeps(Some(actor), &admin)) {
        Some(actor) => Err(locked_out(actor)),
        None => Ok(()),
    }
}
