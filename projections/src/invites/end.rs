use spl_kernel::{
    json::Json,
    refusal::{Code, Refusal},
};

use super::{Invite, State, redeem::event};
use crate::{
    World,
    accounts::{self, Account},
    consent::{self, Access, Resource},
    context::{Context, ENGINE_ACTOR},
    decision::{Change, Decision, Outcome},
};

/// Most invites that one bulk revocation closes.
const BULK_MAX: usize = 10_000;

/// An invite to revoke.
#[derive(Debug, Clone)]
pub struct Revoke {
    /// Which.
    pub invite_id: String,
    /// Why.
    pub reason: Option<String>,
}

/// Invites to close, by what they are.
#[derive(Debug, Clone)]
pub struct BulkRevoke {
    /// Which.
    pub filter: BulkFilter,
    /// Why.
    pub reason: Option<String>,
}

/// Which invites are closed at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BulkFilter {
    /// Those whose time is over.
    Expired,
    /// Those whose several uses are gone.
    Exhausted,
}

impl BulkFilter {
    /// The name in requests.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Expired => "expired",
            Self::Exhausted => "exhausted",
        }
    }

    /// The filter of a name.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        [Self::Expired, Self::Exhausted].into_iter().find(|f| f.as_str() == text)
    }

    fn cause(self) -> &'static str {
        match self {
            Self::Expired => "bulk_expired",
            Self::Exhausted => "bulk_exhausted",
        }
    }

    fn state(self) -> State {
        match self {
            Self::Expired => State::Expired,
            Self::Exhausted => State::Exhausted,
        }
    }
}

fn revoked(
    invite: &Invite,
    cause: &str,
    reason: Option<&str>,
    bearers: usize,
    context: &Context<'_>,
) -> Change {
    let revoker = context.caller.actor().unwrap_or(ENGINE_ACTOR);
    event(
        invite,
        "revoked",
        [
            ("revoker_actor", Some(revoker.into())),
            ("revoker_reason", reason.map(Json::from)),
            ("cause", Some(cause.into())),
            ("bearers_revoked", Some(i64::try_from(bearers).unwrap_or(i64::MAX).into())),
        ],
        context,
    )
}

/// The accounts that an invite made and that live.
fn living<'a>(world: &'a World, invite: &'a Invite) -> impl Iterator<Item = &'a Account> {
    let account = |id: &str| world.accounts.get(id).filter(|a| a.is_alive());
    invite.redemptions.iter().filter_map(move |one| account(&one.service_account_id)).map(|a| &**a)
}

/// Revokes an invite, and the accounts that it made with all that they hold. One that was closed in bulk can
/// still be revoked like this, as long as one of its accounts lives.
pub(crate) fn revoke(world: &World, revoke: &Revoke, context: &Context<'_>) -> Result<Decision, Refusal> {
    consent::may(world, context, Resource::Invites, Access::Write)?;
    let invite = world.invites.get(&revoke.invite_id).ok_or_else(|| {
        Refusal::new(Code::InviteNotFound, "there is no such invite")
            .hint("`spl invite list` shows all of them")
    })?;
    let accounts: Vec<&Account> = living(world, invite).collect();
    if invite.revoked_at.is_some() && accounts.is_empty() {
        let outcome = Outcome::InviteRevoked { already: true, accounts: 0, bearers: 0 };
        return Ok(Decision { changes: Vec::new(), outcome });
    }
    let (ended, bearers) =
        accounts::end_all(world, &accounts, "invite_revoked", revoke.reason.as_deref(), context)?;
    let event = revoked(invite, "operator", revoke.reason.as_deref(), bearers, context);
    let changes = std::iter::once(event).chain(ended).collect();
    let outcome = Outcome::InviteRevoked { already: false, accounts: accounts.len(), bearers };
    Ok(Decision { changes, outcome })
}

/// Closes invites in a state; what was handed out lives on.
pub(crate) fn bulk_revoke(
    world: &World,
    bulk: &BulkRevoke,
    context: &Context<'_>,
) -> Result<Decision, Refusal> {
    consent::may(world, context, Resource::Invites, Access::Write)?;
    let all = world.invites.newest_before(u64::MAX);
    let mut found: Vec<&Invite> = all
        .map(|invite| &**invite)
        .filter(|invite| invite.state(context.now) == bulk.filter.state())
        .collect();
    let remaining = found.len().saturating_sub(BULK_MAX);
    // The oldest go first.
    found.reverse();
    found.truncate(BULK_MAX);
    let changes = found
        .iter()
        .map(|invite| revoked(invite, bulk.filter.cause(), bulk.reason.as_deref(), 0, context))
        .collect();
    let invite_ids = found.iter().map(|invite| invite.id.to_string()).collect();
    Ok(Decision { changes, outcome: Outcome::InvitesClosed { invite_ids, remaining } })
}

/// Closes invites that can still be redeemed, a bounded number at a time: what follows the return of an older
/// log.
pub(crate) fn end_open(world: &World, most: usize, reason: &str, context: &Context<'_>) -> Vec<Change> {
    let open = world.invites.expiring_from(context.now).filter(|i| i.state(context.now) == State::Active);
    open.take(most).map(|invite| revoked(invite, "operator", Some(reason), 0, context)).collect()
}
