//! Who is asking and whether they may: the bearer, the route's scope, the claimed actor (protocol, section 7).
//!
//! One function decides it for a request, against the snapshot that the request is served from, and again in
//! the writer, against the state that the command is decided on: the log is the order.

use std::sync::Arc;

use spl_kernel::{
    json::Json,
    refusal::{Code, Refusal},
    time::UnixMillis,
};

use crate::{
    World,
    accounts::Account,
    check::{auth_invalid, denied},
    context::ENGINE_ACTOR,
    scope::{Scope, Scopes},
    tokens::{State, TokenId},
};

pub use crate::check::LiveToken;

/// The actor in `by` of what was done with local proof, or offline.
pub const LOCAL_ACTOR: &str = "did:sync:system:local";

/// The bearer that came with a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Presented {
    /// None.
    Nothing,
    /// Something that cannot be a token.
    Malformed,
    /// A token, by the hash of what was sent.
    Token(TokenId),
}

/// When a route asks for nobody's credential.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Freed {
    /// Always: open routes.
    Always,
    /// With `--insecure-localhost`, or where `auth_required` is off: the data plane.
    DataPlane,
    /// With `--insecure-localhost` only.
    Insecure,
    /// With `--insecure-localhost` and local proof: recovery.
    Recovery,
    /// Never.
    Never,
}

/// What a route asks of its caller.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Gate {
    /// The scope that the bearer must cover; any bearer will do without one.
    pub scope: Option<Scope>,
    /// When none of it is asked.
    pub freed: Freed,
    /// Whether the engine's name may be claimed by those who may change the configuration.
    pub takes_config: bool,
}

/// A request's credentials and what its route asks: all that is needed to decide on it again.
#[derive(Debug, Clone)]
pub struct Ticket {
    /// The bearer.
    pub bearer: Presented,
    /// Whether it carried local proof.
    pub local_proof: bool,
    /// Whether the instance serves local requests without a bearer.
    pub insecure: bool,
    /// The DID in `X-Syncropel-Actor`.
    pub claimed: Option<String>,
    /// What its route asks.
    pub gate: Gate,
}

impl Ticket {
    /// The instance's own, at start-up or in its own time.
    #[must_use]
    pub fn instance() -> Self {
        Self {
            bearer: Presented::Nothing,
            local_proof: false,
            insecure: false,
            claimed: None,
            gate: Gate { scope: None, freed: Freed::Always, takes_config: false },
        }
    }
}

/// A caller's live token.
#[derive(Debug, Clone)]
pub struct Bearer {
    /// The token.
    pub token_id: TokenId,
    /// Its number.
    pub number: u32,
    /// Its account.
    pub account: Arc<Account>,
    /// Its scopes, as of its minting.
    pub scopes: Scopes,
    /// When it expires.
    pub expires_at: Option<UnixMillis>,
}

/// Who a request is from, once that is decided.
#[derive(Debug, Clone)]
pub struct Caller {
    /// Its token, if it has one.
    pub bearer: Option<Bearer>,
    /// Whether it proved to be able to read the home directory.
    pub local_proof: bool,
    /// The DID it claims.
    pub claimed: Option<String>,
    /// Whether the route was free, so that no layer decides on it.
    pub freed: bool,
}

/// As whom a caller acts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Acting {
    /// As an actor of its own, or without a credential.
    AsItself,
    /// An admin as somebody else: recorded.
    AsAnother,
}

fn auth_required() -> Refusal {
    Refusal::new(Code::AuthRequired, "this route needs a bearer token, and none was sent").hint(
        "send it as Authorization: Bearer <token>; `spl up` makes the first one, `spl token save` keeps one for the command line",
    )
}

impl World {
    /// Whether a token was ended by a rotation: presenting it is the one sure sign of theft.
    #[must_use]
    pub fn was_rotated(&self, id: &TokenId) -> bool {
        self.tokens.get(id).is_some_and(|entry| entry.state == State::Rotated)
    }

    /// Decides on layers 1 and 2 of a request: bearer, route scope, claimed actor.
    ///
    /// # Errors
    /// `AUTH_REQUIRED`, `AUTH_INVALID`, `SCOPE_FORBIDDEN` or `DID_CLAIM_DENIED`, in this order.
    pub fn admit(&self, ticket: &Ticket, now: UnixMillis) -> Result<Caller, Refusal> {
        let presented = match ticket.bearer {
            Presented::Token(id) => self.live_token(&id, now),
            Presented::Nothing | Presented::Malformed => None,
        };
        let caller = |live: Option<LiveToken<'_>>, freed| Caller {
            bearer: live.map(|live| live.bearer()),
            local_proof: ticket.local_proof,
            claimed: ticket.claimed.clone(),
            freed,
        };
        let free = match ticket.gate.freed {
            Freed::Always => true,
            Freed::DataPlane | Freed::Insecure => ticket.insecure,
            Freed::Recovery => ticket.insecure && ticket.local_proof,
            Freed::Never => false,
        };
        if free {
            // No layer runs: a valid bearer names the caller, any other is ignored.
            let mut caller = caller(presented, true);
            if ticket.gate.freed == Freed::Always {
                caller.forget_claim();
            }
            return Ok(caller);
        }
        let open = ticket.gate.freed == Freed::DataPlane && !self.config.auth_required.value;
        match (ticket.bearer, presented) {
            (Presented::Nothing, _) if open => {
                if self.config.strict_actor_header.value && ticket.claimed.is_some() {
                    return Err(denied("an actor is claimed without a token that may act as it"));
                }
                Ok(caller(None, false))
            }
            (Presented::Nothing, _) => Err(auth_required()),
            (_, None) => Err(auth_invalid()),
            (_, Some(live)) => {
                self.may(&live, &ticket.gate, ticket.claimed.as_deref())?;
                Ok(caller(Some(live), false))
            }
        }
    }

    /// Layer 2 for the actor of a record: whether the caller may write as it, and whether that is recorded.
    ///
    /// # Errors
    /// `DID_CLAIM_DENIED`.
    pub fn acting_as(&self, caller: &Caller, actor: &str) -> Result<Acting, Refusal> {
        let Some(bearer) = &caller.bearer else { return Ok(Acting::AsItself) };
        if bearer.account.lists(actor) {
            return Ok(Acting::AsItself);
        }
        if caller.freed {
            // Where no layer runs anybody writes as anybody; the token is recorded with the record.
            return Ok(Acting::AsItself);
        }
        self.may_impersonate(&bearer.account, &bearer.scopes, actor).map(|()| Acting::AsAnother)
    }
}

impl Caller {
    /// Somebody without a credential, or the instance itself.
    #[must_use]
    pub fn nobody() -> Self {
        Self { bearer: None, local_proof: false, claimed: None, freed: true }
    }

    /// The home's owner, at the machine.
    #[must_use]
    pub fn local() -> Self {
        Self { local_proof: true, ..Self::nobody() }
    }

    /// Forgets a claim that nobody has checked, unless it is the account's own: an open route takes anybody's, and
    /// the trail says `by` whom.
    fn forget_claim(&mut self) {
        let own = |claimed: &str| self.bearer.as_ref().is_some_and(|b| b.account.lists(claimed));
        if !self.claimed.as_deref().is_some_and(own) {
            self.claimed = None;
        }
    }

    /// The caller's actor: the one claimed, else the first of its account.
    #[must_use]
    pub fn actor(&self) -> Option<&str> {
        let own = || self.bearer.as_ref().and_then(|b| b.account.actors.first()).map(|a| &**a);
        self.claimed.as_deref().or_else(own)
    }

    /// The caller's actor where it is one of its account's own: only then do that actor's grants count.
    #[must_use]
    pub fn own_actor(&self) -> Option<&str> {
        let account = &self.bearer.as_ref()?.account;
        self.actor().filter(|actor| account.lists(actor))
    }

    /// Who the caller acts as, where that is none of its account's actors: recorded with what it does. The
    /// engine's name, under which configuration is written, is nobody's.
    #[must_use]
    pub fn impersonated(&self) -> Option<&str> {
        let account = &self.bearer.as_ref()?.account;
        let claimed = self.claimed.as_deref()?;
        (!self.freed && claimed != ENGINE_ACTOR && !account.lists(claimed)).then_some(claimed)
    }

    /// Whether the caller's token covers a scope.
    #[must_use]
    pub fn covers(&self, scope: Scope) -> bool {
        self.bearer.as_ref().is_some_and(|b| b.scopes.cover(scope))
    }

    /// The names of the token's scopes.
    #[must_use]
    pub fn scope_names(&self) -> Vec<String> {
        self.bearer.as_ref().map(|b| b.scopes.names()).unwrap_or_default()
    }

    /// Who did it, for a record's `by`. Absent for callers without a credential and for the instance.
    #[must_use]
    pub fn by(&self) -> Option<Json> {
        match &self.bearer {
            Some(bearer) => Some(Json::object([
                ("actor", self.actor().unwrap_or_default().into()),
                ("service_account_id", (*bearer.account.id).into()),
                ("token_id", bearer.token_id.to_string().into()),
            ])),
            None if self.local_proof => Some(Json::object([("actor", LOCAL_ACTOR.into())])),
            None => None,
        }
    }
}
