use spl_kernel::{
    json::Json,
    record::Act,
    refusal::{Code, Refusal},
};

use super::{
    Account, AccountOrigin, REVOCATION_KIND, THREAD,
    create::{NewAccount, check_actors, draft_account},
};
use crate::{
    World,
    audit::{list, mirror_token, scope_list},
    consent,
    context::Context,
    decision::{Change, Decision, Outcome, Parent},
    names::check_name,
    scope::Scopes,
    tokens::{TokenId, living},
};

/// Changes to an account; what is `None` stays.
#[derive(Debug, Default)]
pub struct Update {
    /// Which.
    pub service_account_id: String,
    /// Its new name.
    pub name: Option<String>,
    /// What tokens minted later get.
    pub scopes: Option<Scopes>,
    /// Whom all its tokens may act as, at once.
    pub actors: Option<Vec<String>>,
}

/// The refusal for an id that names no account.
pub(crate) fn not_found() -> Refusal {
    Refusal::new(Code::ServiceAccountNotFound, "there is no such service account")
        .hint("`spl service-account list` shows all of them")
}

/// Changes an account.
pub(crate) fn update(world: &World, update: &Update, context: &Context<'_>) -> Result<Decision, Refusal> {
    let account = living(world, &update.service_account_id)?;
    let name = update.name.as_ref().unwrap_or(&account.display_name);
    check_name(name)?;
    let scopes = update.scopes.as_ref().unwrap_or(&account.scopes);
    if account.origin == AccountOrigin::Invite && scopes.grains() != account.scopes.grains() {
        return Err(Refusal::new(Code::InvalidBody, "the grains of an account that a redemption made stay")
            .hint("list them with the new scopes, or revoke the account and issue another invite"));
    }
    let actors = match &update.actors {
        Some(actors) => check_actors(world, &account.id, actors)?,
        None => account.actors.clone(),
    };
    let mut changed = Vec::new();
    if *name != account.display_name {
        changed.push("display_name");
    }
    if *scopes != account.scopes {
        changed.push("scopes");
        consent::may_hand_out(world, context, &account.actors)?;
    }
    if actors != account.actors {
        changed.push("allowed_actors");
        // Who is taken off the list loses something too.
        consent::may_hand_out(world, context, &actors)?;
        consent::may_hand_out(world, context, &account.actors)?;
    }
    let wider: Vec<TokenId> = world
        .tokens
        .live_of_account(account.number, context.now)
        .filter(|(_, entry)| !entry.scopes().within(scopes))
        .map(|(row, _)| row.id)
        .collect();
    let outcome = Outcome::Updated { tokens_still_wider: wider };
    if changed.is_empty() {
        return Ok(Decision { changes: Vec::new(), outcome });
    }
    let created_at = account.created_at.to_string();
    let new = NewAccount {
        id: &account.id,
        display_name: name,
        actors: &actors,
        scopes,
        env_tag: account.env_tag,
        origin: account.origin,
        created_at: &created_at,
        invite_id: account.invite_id.as_deref(),
        pair_id: account.pair_id.as_deref(),
    };
    let change = draft_account(context, &new).parent(Parent::Id(account.record));
    let change = mirror_token(
        change,
        context,
        "sa_updated",
        [
            ("service_account_id", Some((*account.id).into())),
            ("scopes", Some(scope_list(scopes))),
            ("changed", Some(list(changed))),
        ],
    );
    Ok(Decision { changes: vec![change], outcome })
}

/// Revokes an account, for good, and with it every token it ever had.
pub(crate) fn revoke(
    world: &World,
    id: &str,
    reason: Option<&str>,
    context: &Context<'_>,
) -> Result<Decision, Refusal> {
    let account = world.accounts.get(id).ok_or_else(not_found)?;
    if !account.is_alive() {
        let outcome = Outcome::AccountRevoked { already: true, tokens_revoked: 0 };
        return Ok(Decision { changes: Vec::new(), outcome });
    }
    let (changes, live) = end_all(world, &[account], "operator", reason, context)?;
    let outcome = Outcome::AccountRevoked { already: false, tokens_revoked: live as u64 };
    Ok(Decision { changes, outcome })
}

/// Revokes accounts for one cause; says how many live tokens they had.
pub(crate) fn end_all(
    world: &World,
    accounts: &[&Account],
    cause: &str,
    reason: Option<&str>,
    context: &Context<'_>,
) -> Result<(Vec<Change>, usize), Refusal> {
    let (mut changes, mut bearers) = (Vec::with_capacity(accounts.len()), 0);
    for account in accounts {
        consent::may_hand_out(world, context, &account.actors)?;
        let live = world.tokens.live_of_account(account.number, context.now).count();
        changes.push(revocation(account, cause, reason, live, context));
        bearers += live;
    }
    Ok((changes, bearers))
}

/// The record of an account's end, and its mirror.
fn revocation(
    account: &Account,
    cause: &str,
    reason: Option<&str>,
    live: usize,
    context: &Context<'_>,
) -> Change {
    let change = Change::new(
        THREAD,
        REVOCATION_KIND,
        Act::Do,
        context,
        [
            ("service_account_id", Some((*account.id).into())),
            ("cause", Some(cause.into())),
            ("reason", reason.map(Json::from)),
            ("tokens_revoked", Some(i64::try_from(live).unwrap_or(i64::MAX).into())),
            ("revoked_at", Some(context.now.to_string().into())),
        ],
    )
    .parent(Parent::Id(account.record));
    mirror_token(
        change,
        context,
        "sa_revoked",
        [
            ("service_account_id", Some((*account.id).into())),
            ("cause", Some(cause.into())),
            ("reason", reason.map(Json::from)),
        ],
    )
}
