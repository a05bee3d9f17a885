use std::sync::Arc;

use spl_kernel::{
    json::Json,
    record::Act,
    refusal::{Code, Refusal},
    time::UnixMillis,
};

use super::{
    ACTIVITY_KIND, Entry, EnvTag, KIND, LIFETIME_SECONDS_MAX, Plaintext, REVOCATION_KIND, SEEN_MAX, State,
    THREAD, TokenId, TokenOrigin, state::Row,
};
use crate::{
    World,
    accounts::Account,
    audit::{list, mirror_token, scope_list},
    consent,
    context::Context,
    decision::{Change, Decision, Issued, Outcome, Parent},
    invites,
    scope::Scopes,
};

/// A token to mint.
#[derive(Debug, Clone)]
pub struct Mint {
    /// For which account.
    pub service_account_id: String,
    /// With which scopes; the account's unless said.
    pub scopes: Option<Scopes>,
    /// With which tag; the account's unless said.
    pub env_tag: Option<EnvTag>,
    /// How long it lives; for ever unless said.
    pub expires_in_seconds: Option<u64>,
}

/// A token to revoke.
#[derive(Debug, Clone)]
pub struct Revoke {
    /// Which.
    pub token_id: TokenId,
    /// Whose it must be, where that is said.
    pub service_account_id: Option<String>,
    /// Why.
    pub reason: Option<String>,
}

/// Checks a lifetime.
pub(crate) fn check_lifetime(seconds: Option<u64>) -> Result<Option<u32>, Refusal> {
    let refused =
        || Refusal::new(Code::InvalidBody, format!("`expires_in_seconds` is 1 to {LIFETIME_SECONDS_MAX}"));
    seconds
        .map(|s| {
            (1..=LIFETIME_SECONDS_MAX)
                .contains(&s)
                .then_some(s)
                .and_then(|s| u32::try_from(s).ok())
                .ok_or_else(refused)
        })
        .transpose()
}

/// What a new token is made of.
pub(crate) struct NewToken<'a> {
    pub(crate) service_account_id: &'a str,
    pub(crate) env_tag: EnvTag,
    pub(crate) scopes: &'a Scopes,
    pub(crate) origin: TokenOrigin,
    pub(crate) replaces: &'a [TokenId],
    pub(crate) lifetime_seconds: Option<u32>,
    /// A token that the client made, by its id, or a secret that is given: then none is drawn.
    pub(crate) chosen: Chosen<'a>,
    pub(crate) parent: Parent,
}

/// Where a token's text comes from.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Chosen<'a> {
    /// From entropy.
    Drawn,
    /// From the client, who says only its id.
    Id(TokenId),
    /// From the environment.
    Secret(&'a str),
}

/// The record of a new token, and what its owner is told.
pub(crate) fn draft_token(context: &Context<'_>, new: &NewToken<'_>) -> (Change, Issued) {
    let text = match new.chosen {
        Chosen::Id(_) => None,
        Chosen::Secret(secret) => Some(Plaintext::new(new.env_tag, new.service_account_id, secret)),
        Chosen::Drawn => {
            let secret = context.entropy.base32::<20>("token");
            Some(Plaintext::new(new.env_tag, new.service_account_id, &secret))
        }
    };
    let token_id = match (&text, new.chosen) {
        (Some(text), _) => text.id(),
        (None, Chosen::Id(id)) => id,
        (None, _) => TokenId([0; 32]),
    };
    let expires_at =
        new.lifetime_seconds.map(|s| UnixMillis(context.now.0.saturating_add(u64::from(s) * 1000)));
    let replaces: Vec<String> = new.replaces.iter().map(ToString::to_string).collect();
    let change = Change::new(
        THREAD,
        KIND,
        Act::Put,
        context,
        [
            ("token_id", Some(token_id.to_string().into())),
            ("service_account_id", Some(new.service_account_id.into())),
            ("env_tag", Some(new.env_tag.as_str().into())),
            ("scopes", Some(scope_list(new.scopes))),
            ("origin", Some(new.origin.as_str().into())),
            ("replaces", (!replaces.is_empty()).then(|| list(replaces.iter().map(String::as_str)))),
            ("lifetime_seconds", new.lifetime_seconds.map(|s| i64::from(s).into())),
            ("created_at", Some(context.now.to_string().into())),
            ("expires_at", expires_at.map(|at| at.to_string().into())),
        ],
    )
    .parent(new.parent);
    let change = mirror_token(
        change,
        context,
        "token_minted",
        [
            ("service_account_id", Some(new.service_account_id.into())),
            ("token_id", Some(token_id.to_string().into())),
            ("origin", Some(new.origin.as_str().into())),
            ("scopes", Some(scope_list(new.scopes))),
        ],
    );
    let issued = Issued {
        token_id,
        service_account_id: new.service_account_id.to_owned(),
        text,
        scopes: new.scopes.clone(),
        created_at: context.now,
        expires_at,
    };
    (change, issued)
}

/// The record of a token's end.
pub(crate) fn revocation(
    context: &Context<'_>,
    row: &Row,
    service_account_id: &str,
    cause: &str,
    reason: Option<&str>,
) -> Change {
    let change = Change::new(
        THREAD,
        REVOCATION_KIND,
        Act::Do,
        context,
        [
            ("token_id", Some(row.id.to_string().into())),
            ("service_account_id", Some(service_account_id.into())),
            ("cause", Some(cause.into())),
            ("reason", reason.map(Json::from)),
            ("revoked_at", Some(context.now.to_string().into())),
        ],
    )
    .parent(Parent::At(row.sequence));
    mirror_token(
        change,
        context,
        "token_revoked",
        [
            ("service_account_id", Some(service_account_id.into())),
            ("token_id", Some(row.id.to_string().into())),
            ("cause", Some(cause.into())),
            ("reason", reason.map(Json::from)),
        ],
    )
}

/// The account that a token may be minted for.
pub(crate) fn living<'a>(world: &'a World, id: &str) -> Result<&'a Arc<Account>, Refusal> {
    let account = world.accounts.get(id).ok_or_else(crate::accounts::not_found)?;
    if account.is_alive() {
        return Ok(account);
    }
    Err(Refusal::new(Code::ServiceAccountRevoked, "the service account is revoked, for good")
        .hint("make a new one with `spl service-account create`; it may have the same name"))
}

/// Mints a token.
pub(crate) fn mint(world: &World, mint: &Mint, context: &Context<'_>) -> Result<Decision, Refusal> {
    let account = living(world, &mint.service_account_id)?;
    consent::may_hand_out(world, context, &account.actors)?;
    let scopes = mint.scopes.as_ref().unwrap_or(&account.scopes);
    if !scopes.within(&account.scopes) {
        let has = account.scopes.names().join(", ");
        return Err(Refusal::new(Code::InvalidBody, "`scopes` goes beyond what the account has").hint(
            format!(
                "the account has {has}; widen it with `spl service-account update {} --scopes ...`",
                account.id
            ),
        ));
    }
    let (change, issued) = draft_token(
        context,
        &NewToken {
            service_account_id: &account.id,
            env_tag: mint.env_tag.unwrap_or(account.env_tag),
            scopes,
            origin: TokenOrigin::Mint,
            replaces: &[],
            lifetime_seconds: check_lifetime(mint.expires_in_seconds)?,
            chosen: Chosen::Drawn,
            parent: Parent::Id(account.record),
        },
    );
    Ok(Decision { changes: vec![change], outcome: Outcome::Token { issued, revoked: Vec::new() } })
}

/// Revokes a token; of one that a rotation ended, what came in its place.
pub(crate) fn revoke(world: &World, revoke: &Revoke, context: &Context<'_>) -> Result<Decision, Refusal> {
    let not_found = || {
        Refusal::new(Code::TokenNotFound, "there is no such token")
            .hint("`spl token list` shows all of them, with their accounts")
    };
    let first = world.tokens.get(&revoke.token_id).ok_or_else(not_found)?;
    let account = world.accounts.by_number(first.account).ok_or_else(not_found)?;
    if revoke.service_account_id.as_deref().is_some_and(|id| *id != *account.id) {
        return Err(not_found());
    }
    let mut dying: Vec<(&Row, &Entry)> = Vec::new();
    let mut next = Some(first);
    while let Some(entry) = next {
        if entry.state == State::Live {
            dying.extend(world.tokens.row(entry).map(|row| (row, entry)));
            break;
        }
        let follow = entry.state == State::Rotated;
        next = world.tokens.successor(entry.number).filter(|_| follow).and_then(|id| world.tokens.get(id));
    }
    if account.is_alive() && !dying.is_empty() {
        let left = world
            .tokens
            .live_of_account(account.number, context.now)
            .any(|(row, _)| dying.iter().all(|(dies, _)| dies.id != row.id));
        if !left {
            consent::may_hand_out(world, context, &account.actors)?;
        }
    }
    let revoked: Vec<TokenId> = dying.iter().map(|(row, _)| row.id).collect();
    let changes = dying
        .iter()
        .map(|(row, _)| revocation(context, row, &account.id, "operator", revoke.reason.as_deref()))
        .collect();
    Ok(Decision { changes, outcome: Outcome::TokensRevoked { already: revoked.is_empty(), revoked } })
}

/// When tokens were last used: at most [`SEEN_MAX`] a record, in the order of their ids.
#[derive(Debug, Clone, Default)]
pub struct Seen {
    /// Tokens and times.
    pub seen: Vec<(TokenId, UnixMillis)>,
}

/// Records when tokens were used, where that is news.
pub(crate) fn note_seen(world: &World, seen: &Seen, context: &Context<'_>) -> Decision {
    let news = seen.seen.iter().filter(|(id, at)| {
        let number = world.tokens.get(id).map(|e| e.number);
        number.is_some_and(|n| world.tokens.last_used(n).is_none_or(|before| before < *at))
    });
    let mut news: Vec<_> = news.collect();
    news.sort_unstable();
    news.dedup_by_key(|(id, _)| *id);
    let one = |(id, at): &&(TokenId, UnixMillis)| {
        Json::object([("token_id", id.to_string().into()), ("last_used_at", at.to_string().into())])
    };
    let changes = news
        .chunks(SEEN_MAX)
        .map(|chunk| {
            let seen = Json::Array(chunk.iter().map(one).collect());
            Change::new(THREAD, ACTIVITY_KIND, Act::Know, context, [("seen", Some(seen))])
        })
        .collect();
    Decision { changes, outcome: Outcome::Done }
}

/// Revokes every open invite and every token but one, a bounded number at a time: what follows the return of an older log.
pub(crate) fn end_all(world: &World, keep: Option<&TokenId>, most: usize, context: &Context<'_>) -> Decision {
    let live = world.tokens.rows().filter_map(|row| {
        let entry = world.tokens.get(&row.id)?;
        let account = world.accounts.by_number(entry.account)?;
        (entry.state == State::Live && account.is_alive() && keep != Some(&row.id)).then_some((row, account))
    });
    let reason = "the log was restored, or an older one accepted";
    let mut changes = invites::end_open(world, most, reason, context);
    let left = most.saturating_sub(changes.len());
    changes.extend(
        live.take(left).map(|(row, account)| revocation(context, row, &account.id, "operator", Some(reason))),
    );
    Decision { changes, outcome: Outcome::Done }
}
