//! The pipeline of every request: its bearer and scope, its claim, the permission rules, over one snapshot of
//! state (protocol, section 7). A route gets its caller from here, and nowhere else.

use std::sync::Arc;

use axum::{
    extract::{FromRequestParts, Request},
    http::{StatusCode, request::Parts},
    middleware::Next,
    response::{IntoResponse as _, Response},
};
use spl_kernel::{draft::Draft, record::Act, refusal::Refusal, time::UnixMillis};
use spl_projections::{
    Command as Control, Entropy, World,
    admission::Misfit,
    authority::{Caller, Gate, Presented, Ticket},
    config::check_lockout,
    consent::{Access, Resource as Consented},
    policies::Resource,
    scope::Scope,
    visibility::{Extent, Policy, Viewer},
};
use zeroize::Zeroizing;

use crate::{
    access::{claimed_actor, has_local_proof, peer_of, presented},
    activity,
    app::{App, Instance},
    env,
    problem::{Code, Problem},
    routes::{Route, blocking},
    writer::{Admission, Append, Command, Committed, NotWritten, Openings},
};

/// A request that layers 1 and 2 have let through, and the snapshot that it is decided against.
#[derive(Debug, Clone)]
pub(crate) struct Session {
    pub(crate) world: Arc<World>,
    pub(crate) caller: Caller,
    pub(crate) ticket: Ticket,
    pub(crate) now: UnixMillis,
}

impl FromRequestParts<App> for Session {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &App) -> Result<Self, Problem> {
        // A route without an entry in the table of routes has no caller.
        let missing = || Problem::internal(&std::io::Error::other("the route asks for no caller"));
        parts.extensions.remove::<Self>().ok_or_else(missing)
    }
}

impl Session {
    /// What exists for the caller.
    pub(crate) fn viewer(&self) -> Viewer {
        self.world.viewer(&self.caller, self.now)
    }

    /// The rules that decide for the caller, where there are any.
    pub(crate) fn policy(&self) -> Option<Arc<Policy>> {
        self.world.policy(&self.caller, self.now)
    }

    /// Layer 3 for a route.
    pub(crate) fn check(&self, resource: Resource) -> Result<(), Refusal> {
        self.policy().map_or(Ok(()), |policy| policy.check(resource))
    }

    /// Refuses whoever's own actor lacks the grant for a resource, before anything else is looked at; the writer asks
    /// again.
    pub(crate) fn consented(&self, resource: Consented, access: Access) -> Result<(), Problem> {
        if self.world.consents(&self.caller, resource, access, self.now) {
            return Ok(());
        }
        Err(Problem::consent_denied(self.caller.actor(), resource, access))
    }

    /// Decides on the credentials again, as another route would ask.
    pub(crate) fn pass(&self, gate: Gate) -> Result<Caller, Refusal> {
        self.world.admit(&Ticket { gate, ..self.ticket.clone() }, self.now)
    }

    /// Refuses narrowed tokens where there is nothing of their reach.
    pub(crate) fn whole(&self, scope: Scope) -> Result<(), Refusal> {
        let narrowed = self.caller.bearer.as_ref().is_some_and(|b| b.scopes.is_narrowed());
        if narrowed && !self.caller.freed {
            return Err(Refusal::scope(scope.as_str())
                .hint("this is about the whole instance, and the token is narrowed by grains"));
        }
        Ok(())
    }

    /// The grounds on which the caller's command goes to the writer.
    pub(crate) fn admission(&self) -> Admission {
        Admission { ticket: self.ticket.clone(), policy_version: self.world.config.policy_version }
    }

    /// The same request against the state of now.
    pub(crate) fn again(&self, app: &Instance) -> Result<Self, Problem> {
        let (world, now) = (app.published.world_arc(), app.now());
        let caller = world.admit(&self.ticket, now)?;
        Ok(Self { world, caller, ticket: self.ticket.clone(), now })
    }

    /// Decides on drafts: claims, grains, what the instance keeps for itself, the rules, the lock-out guard.
    pub(crate) fn admit_drafts(&self, drafts: &[Draft], also: Option<Resource>) -> Result<(), Misfit> {
        let admitted = self.world.admit_drafts(&self.caller, drafts)?;
        let whole = |refusal| Misfit { at: 0, refusal };
        if !admitted.config.is_empty() {
            self.check(Resource::ConfigWrite).map_err(whole)?;
            check_lockout(&self.world, &admitted.config, &self.caller, self.now).map_err(whole)?;
        }
        let Some(policy) = self.policy() else { return Ok(()) };
        for (at, draft) in drafts.iter().enumerate() {
            for resource in also.into_iter().chain([Resource::RecordWrite]) {
                policy.check_draft(resource, draft).map_err(|refusal| Misfit { at, refusal })?;
            }
        }
        Ok(())
    }

    /// Whether [`Self::openings`] has to read: not where all of each thread exists for the caller, or nothing.
    fn reads_openings(&self, drafts: &[Draft]) -> bool {
        let viewer = self.viewer();
        viewer.is_narrowed()
            && drafts.iter().any(|draft| matches!(viewer.extent(&draft.thread), Extent::Some))
    }

    /// Threads of drafts whose opening record does not exist for the caller: what it writes there changes no
    /// status. Looks only where the caller does not see all of a thread.
    pub(crate) fn openings(&self, app: &Instance, drafts: &[Draft]) -> Result<Openings, Problem> {
        let viewer = self.viewer();
        let mut openings = Openings::default();
        for thread in drafts.iter().map(|d| &d.thread) {
            if openings.unseen.contains(thread) || openings.made_here.contains(thread) {
                continue;
            }
            let seen = match viewer.extent(thread) {
                Extent::Whole => true,
                Extent::None => false,
                Extent::Some => match app.log.index().summary(thread)?.and_then(|s| s.opening) {
                    Some((_, at)) => app.log.reader()?.record(at)?.is_some_and(|r| viewer.sees(&r)),
                    None if drafts.iter().any(|d| d.thread == *thread && d.act == Act::Intend) => {
                        openings.made_here.insert(thread.clone());
                        continue;
                    }
                    // Somebody else opens it meanwhile, if it is opened.
                    None => false,
                },
            };
            if !seen {
                openings.unseen.insert(thread.clone());
            }
        }
        Ok(openings)
    }

    /// Has drafts written that [`Self::admit_drafts`] let through. Where the rules change meanwhile they are
    /// decided on again.
    pub(crate) async fn append(
        &self,
        app: &App,
        mut drafts: Vec<Draft>,
        also: Option<Resource>,
    ) -> Result<Committed, Problem> {
        let mut session = self.clone();
        let mut decided_again = false;
        loop {
            let (openings, back) = if session.reads_openings(&drafts) {
                let (app, session) = (app.clone(), session.clone());
                blocking(move || Ok((session.openings(&app, &drafts)?, drafts))).await?
            } else {
                (session.openings(app, &drafts)?, drafts)
            };
            let append = Append { drafts: back, admission: session.admission(), openings };
            match app.writer.submit(Command::Append(append)).await {
                Err(NotWritten::RulesChanged(returned)) if !decided_again => {
                    decided_again = true;
                    session = session.again(app)?;
                    session.admit_drafts(&returned, also).map_err(|misfit| misfit.refusal)?;
                    drafts = returned;
                }
                other => return Ok(other?),
            }
        }
    }

    /// Has a control command decided and written; `check` is layer 3, decided again where the rules change
    /// meanwhile.
    pub(crate) async fn control(
        &self,
        app: &Instance,
        check: impl Fn(&Self) -> Result<(), Refusal>,
        command: impl Fn() -> Control,
    ) -> Result<Committed, Problem> {
        let mut session = self.clone();
        let mut decided_again = false;
        loop {
            check(&session)?;
            let submitted = submit_control(app, command(), session.admission()).await;
            match submitted {
                Err(NotWritten::RulesChanged(_)) if !decided_again => {
                    session = session.again(app)?;
                    decided_again = true;
                }
                other => return Ok(other?),
            }
        }
    }
}

async fn submit_control(
    app: &Instance,
    command: Control,
    admission: Admission,
) -> Result<Committed, NotWritten> {
    let mut seed = Zeroizing::new([0; 32]);
    if let Err(error) = env::fill_random(&mut *seed) {
        tracing::error!(%error, "the system has no randomness to give");
        return Err(NotWritten::Failed);
    }
    let (command, entropy) = (Box::new(command), Entropy::new(seed));
    app.writer.submit(Command::Control { command, admission, entropy }).await
}

/// Has a command of the instance's own decided and written.
pub(crate) async fn command_of_instance(app: &Instance, command: Control) -> Result<Committed, NotWritten> {
    let admission = Admission::instance(&app.published.world());
    submit_control(app, command, admission).await
}

/// Layers 1 and 2 of every route, as the table of routes has it.
pub(crate) async fn authenticate(app: &App, route: &Route, mut request: Request, next: Next) -> Response {
    let session = match begin(app, route, &request) {
        Ok(session) => session,
        Err(problem) => return problem.into_response(),
    };
    let token = session.caller.bearer.as_ref().map(|b| b.token_id);
    request.extensions_mut().insert(session);
    let response = next.run(request).await;
    if response.status() == StatusCode::FORBIDDEN
        && let (Some(token), Some(Code(code))) = (token, response.extensions().get::<Code>())
    {
        app.activity.refused(token, code);
    }
    response
}

fn begin(app: &App, route: &Route, request: &Request) -> Result<Session, Problem> {
    let headers = request.headers();
    let bearer = presented(headers)?;
    let peer = peer_of(request.extensions());
    let local_proof = peer.is_some_and(|p| has_local_proof(app, &p, headers, request.uri()));
    let claimed = claimed_actor(headers);
    let ticket = Ticket {
        bearer,
        local_proof,
        insecure: app.insecure,
        claimed: claimed.as_ref().ok().cloned().flatten(),
        gate: route.gate,
    };
    let (world, now) = (app.published.world_arc(), app.now());
    let caller =
        world.admit(&ticket, now).inspect_err(|refusal| note_refusal(app, &world, bearer, refusal, now))?;
    // Whose credential it is comes before whether its headers are well-formed.
    claimed?;
    if let Some(bearer) = &caller.bearer {
        app.activity.used(bearer.number, now);
    }
    let session = Session { world, caller, ticket, now };
    if let Some(resource) = route.resource {
        session.check(resource).inspect_err(|refusal| {
            if let Some(bearer) = &session.caller.bearer {
                app.activity.refused(bearer.token_id, refusal.code.as_str());
            }
        })?;
    }
    Ok(session)
}

fn note_refusal(app: &App, world: &World, bearer: Presented, refusal: &Refusal, now: UnixMillis) {
    let Presented::Token(id) = bearer else { return };
    if world.live_token(&id, now).is_some() {
        app.activity.refused(id, refusal.code.as_str());
    } else if world.was_rotated(&id) {
        activity::rotated_presented(app, id);
    }
}
