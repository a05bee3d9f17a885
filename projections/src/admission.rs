//! What a caller may write at all, whatever the state of clocks: its claim on each record's actor, its grains,
//! and what the instance keeps for itself.

use std::collections::BTreeSet;

use spl_kernel::{
    draft::{Draft, namespace},
    json::Json,
    record::Act,
    refusal::{Code, Refusal},
};

use crate::{
    World,
    audit::{IMPERSONATION_KIND, IMPERSONATION_THREAD, list},
    authority::{Acting, Caller},
    config,
    context::{Context, ENGINE_ACTOR, SYSTEM_ACTORS},
    decision::Change,
    reserved::{is_reserved_kind, is_reserved_thread},
    scope::{Grain, Target, Verb},
};

/// Highest clock that a caller may choose under the engine's name.
const ENGINE_CLOCK_MAX: u64 = 1 << 53;
/// Longest body of a posted configuration record, in bytes of canonical text: twice what the longest value needs.
const CONFIG_BODY_BYTES_MAX: usize = 64 * 1024;
/// Most actors that one impersonation record names.
const ACTED_AS_MAX: usize = 64;

/// What was found out about drafts that may be written.
#[derive(Debug, Default)]
pub struct Admitted {
    /// Places of the drafts that an admin writes as somebody else.
    pub as_another: Vec<usize>,
    /// Places of the drafts that only a namespace grain allows: their thread must be new, or opened in that
    /// namespace.
    pub by_namespace: Vec<usize>,
    /// The configuration that they change.
    pub config: Vec<config::Change>,
}

/// Why drafts may not be written: the first one's refusal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Misfit {
    /// Its place.
    pub at: usize,
    /// Why.
    pub refusal: Refusal,
}

impl World {
    /// Checks drafts of an outside writer.
    ///
    /// # Errors
    /// `DID_CLAIM_DENIED`, `SCOPE_FORBIDDEN`, `NAMESPACE_REJECTED`, `RESERVED_THREAD`, `RESERVED_KIND`, or what
    /// is wrong with a configuration record.
    pub fn admit_drafts(&self, caller: &Caller, drafts: &[Draft]) -> Result<Admitted, Misfit> {
        let mut admitted = Admitted::default();
        for (at, draft) in drafts.iter().enumerate() {
            self.admit_draft(caller, at, draft, &mut admitted).map_err(|refusal| Misfit { at, refusal })?;
        }
        Ok(admitted)
    }

    fn admit_draft(
        &self,
        caller: &Caller,
        at: usize,
        draft: &Draft,
        admitted: &mut Admitted,
    ) -> Result<(), Refusal> {
        let configures = draft.thread == config::THREAD;
        let as_engine = configures && draft.actor == ENGINE_ACTOR;
        if !as_engine && self.acting_as(caller, &draft.actor)? == Acting::AsAnother {
            admitted.as_another.push(at);
        }
        check_claimed_engine(caller, configures)?;
        let namespace = namespace(&draft.facts)?;
        if !configures && check_grains(caller, draft, namespace)? {
            admitted.by_namespace.push(at);
        }
        if as_engine && draft.clock.is_some_and(|clock| clock > ENGINE_CLOCK_MAX) {
            // The instance's own records take the clocks after it: there must always be some.
            return Err(Refusal::new(Code::InvalidBody, "`clock` is too high for the engine's name")
                .hint("leave it out: the instance assigns one"));
        }
        if configures {
            admitted.config.push(self.admit_config(caller, draft)?);
        }
        self.check_reserved(caller, draft, configures)
    }

    fn admit_config(&self, caller: &Caller, draft: &Draft) -> Result<config::Change, Refusal> {
        // Who may not even read the configuration's thread learns nothing of its topics.
        if !caller.covers(crate::scope::Scope::ConfigWrite) {
            return Err(reserved_thread(&draft.thread));
        }
        if draft.body.len() > CONFIG_BODY_BYTES_MAX {
            let message = format!("a configuration record is at most {CONFIG_BODY_BYTES_MAX} bytes long");
            return Err(Refusal::new(Code::InvalidBody, message).hint("no value needs as much"));
        }
        let change = config::posted(&self.config, draft)?;
        config::entitled(caller, &change)?;
        Ok(change)
    }

    fn check_reserved(&self, caller: &Caller, draft: &Draft, configures: bool) -> Result<(), Refusal> {
        if is_reserved_thread(&draft.thread) && !configures {
            return Err(reserved_thread(&draft.thread));
        }
        if let Some(kind) = draft.facts.kind.as_deref().filter(|k| is_reserved_kind(k)) {
            return Err(Refusal::new(
                Code::ReservedKind,
                format!("records of kind {kind} are written by the instance itself"),
            )
            .hint("use the command that makes such records, or a kind of your own"));
        }
        let own = || caller.bearer.as_ref().is_some_and(|b| b.account.did() == draft.actor);
        let engine = configures && draft.actor == ENGINE_ACTOR;
        let system = draft.actor.starts_with(SYSTEM_ACTORS) && !engine && !own();
        if system || self.identity.did.as_deref() == Some(draft.actor.as_str()) {
            return Err(Refusal::new(
                Code::DidClaimDenied,
                format!("{} speaks for the instance itself", draft.actor),
            )
            .hint("write as an actor of your own, such as did:sync:user:<name>"));
        }
        Ok(())
    }
}

fn reserved_thread(thread: &str) -> Refusal {
    let refusal = Refusal::new(Code::ReservedThread, format!("{thread} is written by the instance itself"));
    if thread == config::THREAD {
        refusal.hint(
            "configuration takes a token with records:write and config:write, or admin: see `spl config set`",
        )
    } else {
        refusal.hint("use the command that makes such records, or another thread")
    }
}

/// The engine's name in the header is for configuration alone.
fn check_claimed_engine(caller: &Caller, configures: bool) -> Result<(), Refusal> {
    let claims = caller.claimed.as_deref() == Some(ENGINE_ACTOR)
        && caller.bearer.as_ref().is_some_and(|b| !b.account.lists(ENGINE_ACTOR));
    if !claims || configures || caller.freed {
        return Ok(());
    }
    Err(Refusal::new(Code::DidClaimDenied, format!("{ENGINE_ACTOR} speaks for the instance itself"))
        .hint("only configuration is written under that name"))
}

/// Whether a narrowed token may write a draft, and whether only a namespace grain says so.
fn check_grains(caller: &Caller, draft: &Draft, namespace: &str) -> Result<bool, Refusal> {
    if caller.freed {
        return Ok(false);
    }
    let Some(grains) = caller.bearer.as_ref().and_then(|b| b.scopes.grains()) else { return Ok(false) };
    let covering: Vec<&Grain> =
        grains.iter().filter(|g| g.covers(Verb::Write, &draft.thread, namespace)).collect();
    if covering.iter().any(|g| matches!(g.target, Target::Thread(_))) {
        return Ok(false);
    }
    if covering.is_empty() {
        return Err(outside_grains(&draft.thread));
    }
    Ok(true)
}

/// The refusal for a write outside a token's grains.
#[must_use]
pub fn outside_grains(thread: &str) -> Refusal {
    Refusal::scope(format!("thread:{thread}:write"))
        .hint("this token is narrowed to other threads or namespaces; an admin mints one for this one")
}

/// Whether a namespace grain that allows a draft also covers the namespace in which its thread was opened.
#[must_use]
pub fn covers_opening(caller: &Caller, draft: &Draft, opened_in: &str) -> bool {
    let Ok(namespace) = namespace(&draft.facts) else { return false };
    let grains = caller.bearer.as_ref().and_then(|b| b.scopes.grains());
    grains.is_some_and(|grains| {
        grains.iter().any(|g| {
            g.covers(Verb::Write, &draft.thread, namespace) && g.covers(Verb::Write, &draft.thread, opened_in)
        })
    })
}

/// The record that tells of an admin who wrote as somebody else.
#[must_use]
pub fn impersonation<'a>(
    context: &Context<'_>,
    acted_as: impl IntoIterator<Item = &'a str>,
    records: usize,
    first: &str,
) -> Option<Change> {
    let bearer = context.caller.bearer.as_ref()?;
    let distinct: BTreeSet<&str> = acted_as.into_iter().collect();
    let named = distinct.iter().copied().take(ACTED_AS_MAX);
    let more = distinct.len().saturating_sub(ACTED_AS_MAX);
    let own = bearer.account.actors.first().map(|a| &**a).unwrap_or_default();
    let number = |n: usize| Json::from(i64::try_from(n).unwrap_or(i64::MAX));
    Some(Change::new(
        IMPERSONATION_THREAD,
        IMPERSONATION_KIND,
        Act::Learn,
        &Context { caller: &Caller::nobody(), ..*context },
        [
            ("service_account_id", Some((*bearer.account.id).into())),
            ("token_id", Some(bearer.token_id.to_string().into())),
            ("actor", Some(own.into())),
            ("acted_as", Some(list(named))),
            ("more", (more > 0).then(|| number(more))),
            ("record_count", Some(number(records))),
            ("first_record", Some(first.into())),
            ("at", Some(context.now.to_string().into())),
        ],
    ))
}
