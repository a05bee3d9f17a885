//! The check of a bearer token: what a request's credential is worth, in the few hundred nanoseconds that two
//! cache misses and a hash take.
//!
//! What it decides is decided here only: [`World::admit`] comes by the token's id, [`World::check`] by its text.

use std::sync::Arc;

use spl_kernel::{
    refusal::{Code, Refusal},
    time::UnixMillis,
};

use crate::{
    World,
    accounts::{Account, Row},
    authority::{Bearer, Gate},
    context::{ENGINE_ACTOR, SYSTEM_ACTORS},
    scope::{Scope, Scopes},
    tokens::{Entry, TOKEN_BYTES_MAX, TokenId},
};

/// A live token and its account, as they stand in state.
#[derive(Debug, Clone, Copy)]
pub struct LiveToken<'a> {
    id: TokenId,
    entry: &'a Entry,
    row: &'a Row,
}

/// An account's row, and whether it alone allows the claim.
#[derive(Clone, Copy)]
struct Standing<'a> {
    row: &'a Row,
    allows: bool,
}

impl<'a> Standing<'a> {
    #[inline]
    fn of(row: &'a Row, claimed: Option<&str>) -> Self {
        Self { row, allows: claimed.map_or_else(|| row.has_actors(), |actor| row.lists(actor)) }
    }
}

impl<'a> LiveToken<'a> {
    #[inline]
    fn of(id: TokenId, entry: &'a Entry, row: &'a Row, now: UnixMillis) -> Option<Self> {
        (entry.is_live(now) && row.is_alive()).then_some(Self { id, entry, row })
    }

    /// The token.
    #[must_use]
    pub fn id(&self) -> TokenId {
        self.id
    }

    /// Its number.
    #[must_use]
    pub fn number(&self) -> u32 {
        self.entry.number
    }

    /// Its account.
    #[must_use]
    pub fn account(&self) -> &Arc<Account> {
        self.row.account()
    }

    /// A copy that outlives the snapshot.
    #[must_use]
    pub fn bearer(&self) -> Bearer {
        Bearer {
            token_id: self.id,
            number: self.entry.number,
            account: self.row.account().clone(),
            scopes: self.entry.scopes(),
            expires_at: self.entry.expires_at(),
        }
    }

    /// Whether it covers a scope. Grains are of no account here.
    #[inline]
    fn covers(&self, scope: Scope) -> bool {
        Scopes::from_parts(self.entry.scopes, None).cover(scope)
    }
}

#[cold]
pub(crate) fn auth_invalid() -> Refusal {
    Refusal::new(Code::AuthInvalid, "the token is malformed, unknown, expired or revoked")
        .hint("`spl token info` tells what is wrong with it; an admin mints another with `spl token create --sa <sa_id>`")
}

pub(crate) fn denied(message: impl Into<String>) -> Refusal {
    Refusal::new(Code::DidClaimDenied, message)
}

impl World {
    /// Layers 1 and 2 for a token as it was sent, on a route that is free for nobody: exactly what
    /// [`World::admit`] decides on its id.
    ///
    /// # Errors
    /// `AUTH_INVALID`, `SCOPE_FORBIDDEN` or `DID_CLAIM_DENIED`, in this order.
    pub fn check(
        &self,
        token: &str,
        gate: &Gate,
        claimed: Option<&str>,
        now: UnixMillis,
    ) -> Result<LiveToken<'_>, Refusal> {
        if token.len() > TOKEN_BYTES_MAX {
            return Err(auth_invalid());
        }
        // Nothing of the text has to be looked at: a stored digest proves its form.
        let id = TokenId::of(token);
        // What the text names is believed only where the token that is found is this account's. But it can be
        // asked for without knowing the token: right beside it, so that memory is waited for once. Before the
        // hash, or only after the token, it was waited for twice.
        let named = self.accounts.named(token).map(|row| Standing::of(row, claimed));
        let Some((live, allows)) = self.found(id, named, claimed, now) else { return Err(auth_invalid()) };
        self.decide_on(&live, allows, gate, claimed)?;
        Ok(live)
    }

    /// The token, and whether its account alone allows the claim.
    #[inline]
    fn found<'a>(
        &'a self,
        id: TokenId,
        named: Option<Standing<'a>>,
        claimed: Option<&str>,
        now: UnixMillis,
    ) -> Option<(LiveToken<'a>, bool)> {
        let entry = self.tokens.get(&id)?;
        let Standing { row, allows } = match named {
            Some(named) if named.row.number() == entry.account => named,
            _ => Standing::of(self.accounts.row(entry.account)?, claimed),
        };
        Some((LiveToken::of(id, entry, row, now)?, allows))
    }

    /// A live token and its account: layer 1, first half.
    #[inline]
    #[must_use]
    pub fn live_token(&self, id: &TokenId, now: UnixMillis) -> Option<LiveToken<'_>> {
        let entry = self.tokens.get(id)?;
        LiveToken::of(*id, entry, self.accounts.row(entry.account)?, now)
    }

    /// What a live token may: layer 1, second half, and layer 2 for the actor in the header.
    pub(crate) fn may(
        &self,
        live: &LiveToken<'_>,
        gate: &Gate,
        claimed: Option<&str>,
    ) -> Result<(), Refusal> {
        self.decide_on(live, Standing::of(live.row, claimed).allows, gate, claimed)
    }

    #[inline]
    fn decide_on(
        &self,
        live: &LiveToken<'_>,
        allows: bool,
        gate: &Gate,
        claimed: Option<&str>,
    ) -> Result<(), Refusal> {
        match gate.scope {
            Some(scope) if !live.covers(scope) => Err(not_covered(scope, &live.account().id)),
            _ if allows => Ok(()),
            _ => self.claim_of_another(live, gate, claimed),
        }
    }

    #[cold]
    fn claim_of_another(
        &self,
        live: &LiveToken<'_>,
        gate: &Gate,
        claimed: Option<&str>,
    ) -> Result<(), Refusal> {
        let Some(actor) = claimed.filter(|_| live.row.has_actors()) else {
            return Err(no_actors(&live.account().id));
        };
        if self.config.strict_actor_header.value {
            return Err(denied(format!("{actor} is not in the allow-list of this token's account"))
                .hint("strict_actor_header is on: even an admin claims only actors of its own"));
        }
        let as_engine = actor == ENGINE_ACTOR && gate.takes_config;
        if as_engine && live.covers(Scope::ConfigWrite) {
            return Ok(());
        }
        // Not even an admin's name stands in the trail as the instance's, or as another account's.
        if actor.starts_with(SYSTEM_ACTORS) || self.identity.did.as_deref() == Some(actor) {
            return Err(denied(format!("{actor} speaks for the instance itself"))
                .hint("claim an actor of the account's own, such as did:sync:user:<name>"));
        }
        self.may_impersonate(live.account(), &live.entry.scopes(), actor)
    }

    /// Whether a bearer may act as somebody that its account does not list.
    pub(crate) fn may_impersonate(
        &self,
        account: &Account,
        scopes: &Scopes,
        actor: &str,
    ) -> Result<(), Refusal> {
        if !scopes.hold(Scope::Admin) {
            let listed = account.actors.iter().take(3).map(|a| &**a).collect::<Vec<_>>().join(", ");
            return Err(denied(format!("{actor} is not in the allow-list of this token's account"))
                .hint(format!("this token acts as {listed}; an admin may list more")));
        }
        if self.config.strict_impersonation_enforcement.value {
            return Err(denied(format!("{actor} is not in the allow-list of this token's account"))
                .hint("strict_impersonation_enforcement is on: an admin acts as its own actors only"));
        }
        Ok(())
    }
}

#[cold]
fn not_covered(scope: Scope, account: &str) -> Refusal {
    Refusal::scope(scope.as_str()).hint(format!(
        "`spl service-account describe {account}` shows what the account has; an admin mints a wider token"
    ))
}

#[cold]
fn no_actors(id: &str) -> Refusal {
    denied("the account of this token lists no actor, so that nothing can be done with it").hint(format!(
        "an admin adds one: spl service-account update {id} --actors did:sync:user:<name>; or revoke it (spl service-account revoke {id}) and make another with --actors"
    ))
}
