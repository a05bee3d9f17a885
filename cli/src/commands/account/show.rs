//! Accounts as people see them.

use super::Account;
use crate::{
    clock,
    commands::Outcome,
    context::Context,
    error::Failure,
    output, pages,
    table::{Cell, Table, Tint},
    text,
};

/// Prints every account.
pub(super) fn list(ctx: &Context) -> Outcome {
    let client = ctx.client()?;
    let whole = pages::whole(&client, &["v1", "service-accounts"], None)?;
    let accounts: Vec<Account> = whole.parse()?;
    if !ctx.out.is_human() {
        whole.print(ctx)?;
        return Ok(0);
    }
    if accounts.is_empty() {
        ctx.out.line(ctx.out.palette().dim("no accounts; make the first with `spl up`"))?;
        return Ok(0);
    }
    let now = clock::now();
    let mut table = Table::new(&["ID", "NAME", "STATUS", "TOKENS", "LAST USED", "SCOPES", "ACTORS"], &[3]);
    for account in &accounts {
        let (status, tint) = if account.active { ("active", Tint::Good) } else { ("revoked", Tint::Dim) };
        let used =
            account.last_used_at.as_deref().map_or_else(|| "never".to_owned(), |at| text::ago(at, now));
        table.row(vec![
            Cell::plain(&account.id),
            Cell::plain(&account.name),
            Cell::tinted(status, tint),
            Cell::plain(account.tokens.to_string()),
            Cell::plain(used),
            Cell::plain(account.scopes.join(",")),
            Cell::plain(actors(account)),
        ]);
    }
    table.print(&ctx.out)?;
    accounts.iter().for_each(warn_of_theft);
    Ok(0)
}

/// Prints one account.
pub(super) fn describe(ctx: &Context, id: &str) -> Outcome {
    let client = ctx.client()?;
    let answer = client.get(&["v1", "service-accounts", id]).send()?;
    let account: Account = answer.parse()?;
    if ctx.out.is_human() {
        panel(ctx, &account)?;
    } else {
        ctx.out.answer(&answer.body)?;
    }
    warn_of_theft(&account);
    Ok(0)
}

/// An account in full.
pub(super) fn panel(ctx: &Context, account: &Account) -> Result<(), Failure> {
    let (out, now) = (&ctx.out, clock::now());
    out.line(out.palette().bold(text::safe(&account.name)))?;
    out.field("id", text::safe(&account.id))?;
    if !account.did.is_empty() {
        out.field("did", text::safe(&account.did))?;
    }
    out.field("actors", text::safe(&actors(account)))?;
    out.field("scopes", text::safe(&account.scopes.join(",")))?;
    match &account.revoked_at {
        Some(at) => out.field("revoked", format_args!("{} ({})", text::safe(at), text::ago(at, now)))?,
        None => out.field("revoked", if account.active { "no" } else { "yes" })?,
    }
    out.field("tokens", account.tokens)?;
    if let Some(at) = &account.last_used_at {
        out.field("last used", text::ago(at, now))?;
    }
    out.field("origin", text::safe(&account.origin))?;
    out.field(
        "created",
        format_args!("{} ({})", text::safe(&account.created_at), text::ago(&account.created_at, now)),
    )
}

fn actors(account: &Account) -> String {
    if account.actors.is_empty() { "none".to_owned() } else { account.actors.join(",") }
}

/// Only a thief, or a forgotten copy, presents a token that a rotation has ended.
fn warn_of_theft(account: &Account) {
    let Some(at) = &account.rotated_token_presented_at else { return };
    let (id, now) = (text::safe(&account.id), clock::now());
    output::warn(format_args!(
        "a token of {id} that a rotation had ended was used {}: somebody has a copy of it",
        text::ago(at, now)
    ));
    output::note(format_args!("if that was not you, replace its tokens:  spl token rotate {id}"));
    output::note(format_args!("or end the account for good:              spl service-account revoke {id}"));
}
