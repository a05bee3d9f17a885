use spl_kernel::refusal::{Code, Refusal};

use super::{
    State, TokenId, TokenOrigin, Tokens,
    decide::{Chosen, NewToken, draft_token, living, revocation},
    state::Row,
};
use crate::{
    World, consent,
    context::Context,
    decision::{Decision, Outcome, Parent},
};

/// Most tokens that one rotation replaces: their ids stand in one record.
const REPLACES_MAX: usize = 1000;

/// A token that renews itself.
#[derive(Debug, Clone)]
pub struct Renew {
    /// The token that the route names.
    pub token_id: TokenId,
    /// The token that the client made, by its id.
    pub new_token_id: Option<TokenId>,
}

fn newest(tokens: &Tokens, account: u32) -> Option<&Row> {
    tokens.of_account(account).next_back().map(|(row, _)| row)
}

/// Mints a token for an account, then revokes its others: one commit.
pub(crate) fn rotate_key(world: &World, id: &str, context: &Context<'_>) -> Result<Decision, Refusal> {
    let account = living(world, id)?;
    consent::may_hand_out(world, context, &account.actors)?;
    let live: Vec<&Row> =
        world.tokens.live_of_account(account.number, context.now).map(|(row, _)| row).collect();
    if live.len() > REPLACES_MAX {
        return Err(Refusal::new(
            Code::IngestFailed,
            format!("the account has more than {REPLACES_MAX} live tokens"),
        )
        .hint("revoke some of them first with `spl token revoke`, or revoke the account"));
    }
    let last = newest(&world.tokens, account.number);
    let revoked: Vec<TokenId> = live.iter().map(|row| row.id).collect();
    let (minted, issued) = draft_token(
        context,
        &NewToken {
            service_account_id: &account.id,
            env_tag: last.map_or(account.env_tag, |row| row.env_tag),
            scopes: &account.scopes,
            origin: TokenOrigin::Rotate,
            replaces: &revoked,
            lifetime_seconds: last.and_then(|row| row.lifetime_seconds),
            chosen: Chosen::Drawn,
            parent: Parent::Id(account.record),
        },
    );
    let ended = live.iter().map(|row| revocation(context, row, &account.id, "rotated", None));
    let changes = std::iter::once(minted).chain(ended).collect();
    Ok(Decision { changes, outcome: Outcome::Token { issued, revoked } })
}

/// A token puts another in its own place, with the same reach and lifetime.
pub(crate) fn renew(world: &World, renew: &Renew, context: &Context<'_>) -> Result<Decision, Refusal> {
    let not_self = || {
        Refusal::new(Code::RotateNotSelf, "a token renews only itself")
            .hint("send the request with the very token that it names; an admin rotates with `spl token rotate <sa_id>`")
    };
    let bearer = context.caller.bearer.as_ref().ok_or_else(not_self)?;
    if bearer.token_id != renew.token_id {
        return Err(not_self());
    }
    let entry = world.tokens.get(&bearer.token_id).filter(|e| e.state == State::Live).ok_or_else(not_self)?;
    let row = world.tokens.row(entry).ok_or_else(not_self)?;
    let chosen = match renew.new_token_id {
        None => Chosen::Drawn,
        Some(id) if world.tokens.get(&id).is_some() => {
            return Err(Refusal::new(Code::InvalidBody, "`new_token_id` is in use")
                .hint("make a new token and send its SHA-256"));
        }
        Some(id) => Chosen::Id(id),
    };
    let (minted, issued) = draft_token(
        context,
        &NewToken {
            service_account_id: &bearer.account.id,
            env_tag: row.env_tag,
            scopes: &bearer.scopes,
            origin: TokenOrigin::Renew,
            replaces: &[row.id],
            lifetime_seconds: row.lifetime_seconds,
            chosen,
            parent: Parent::At(row.sequence),
        },
    );
    let ended = revocation(context, row, &bearer.account.id, "renewed", None);
    Ok(Decision { changes: vec![minted, ended], outcome: Outcome::Token { issued, revoked: vec![row.id] } })
}
