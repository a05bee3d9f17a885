//! All tokens, and the end of one.

use serde::Deserialize;

use super::{ListArgs, RevokeArgs, replace_hint, warn_of_own_end};
use crate::{
    client::Client,
    clock,
    commands::Outcome,
    context::Context,
    error::Failure,
    pages,
    table::{Cell, Table, Tint},
    text,
};

/// Digits of a token's id that are shown.
const SHOWN_DIGITS: usize = 12;
/// Fewest digits that may stand for a token's id.
const PREFIX_MIN: usize = 8;
/// Digits of a token's id.
const DIGITS: usize = 64;

/// A token as the instance shows it.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Row {
    token_id: String,
    service_account_id: String,
    masked: String,
    created_at: String,
    expires_at: Option<String>,
    last_used_at: Option<String>,
    status: String,
}

/// Prints every token.
pub(super) fn list(ctx: &Context, args: &ListArgs) -> Outcome {
    let client = ctx.client()?;
    let filter = args.sa.as_deref().map(|id| ("service_account_id", id));
    let whole = pages::whole(&client, &["v1", "tokens"], filter)?;
    let rows: Vec<Row> = whole.parse()?;
    if !ctx.out.is_human() {
        whole.print(ctx)?;
        return Ok(0);
    }
    if rows.is_empty() {
        ctx.out.line(ctx.out.palette().dim("no tokens; make one with `spl token create --sa <sa_id>`"))?;
        return Ok(0);
    }
    let now = clock::now();
    let header = ["TOKEN_ID", "ACCOUNT", "TOKEN", "CREATED", "EXPIRES", "LAST USED", "STATUS"];
    let mut table = Table::new(&header, &[]);
    for row in &rows {
        let when =
            |at: &Option<String>| at.as_deref().map_or_else(|| "never".to_owned(), |at| text::ago(at, now));
        let tint = match row.status.as_str() {
            "active" => Tint::Good,
            "expired" => Tint::Busy,
            _ => Tint::Dim,
        };
        table.row(vec![
            Cell::plain(shown(&row.token_id)),
            Cell::plain(&row.service_account_id),
            Cell::plain(&row.masked),
            Cell::plain(text::ago(&row.created_at, now)),
            Cell::plain(when(&row.expires_at)),
            Cell::plain(when(&row.last_used_at)),
            Cell::tinted(&row.status, tint),
        ]);
    }
    table.print(&ctx.out)?;
    Ok(0)
}

fn shown(token_id: &str) -> &str {
    token_id.get(..SHOWN_DIGITS).unwrap_or(token_id)
}

/// What an instance says when a token is revoked.
#[derive(Debug, Deserialize)]
struct Revoked {
    status: String,
    token_id: String,
}

/// Revokes one token.
pub(super) fn revoke(ctx: &Context, args: &RevokeArgs) -> Outcome {
    let given = args.token_id.to_ascii_lowercase();
    if given.len() < PREFIX_MIN || given.len() > DIGITS || !given.bytes().all(|b| b.is_ascii_hexdigit()) {
        return Err(Failure::usage(format!(
            "a token's id is {DIGITS} hex digits; its first ones, at least {PREFIX_MIN}, are enough"
        ))
        .hint(format!("`spl token list --sa {}` shows them", args.sa)));
    }
    let client = ctx.client()?;
    let token_id = if given.len() == DIGITS { given } else { resolve(&client, &args.sa, &given)? };
    let active = ctx.active_token()?;
    let request = client.delete(&["v1", "tokens", &token_id]);
    let answer = request.query("service_account_id", Some(&args.sa)).send()?;
    if ctx.out.is_human() {
        let revoked: Revoked = answer.parse()?;
        let status = revoked.status.replace('_', " ");
        ctx.out.line(format_args!("{} {}", text::safe(&revoked.token_id), text::safe(&status)))?;
    } else {
        ctx.out.answer(&answer.body)?;
    }
    if let Some(active) = active.filter(|active| active.token.id() == token_id) {
        warn_of_own_end(ctx, &active);
        crate::output::note(replace_hint(active.source));
    }
    Ok(0)
}

/// The one token of an account whose id starts so.
fn resolve(client: &Client, account: &str, prefix: &str) -> Result<String, Failure> {
    let whole = pages::whole(client, &["v1", "tokens"], Some(("service_account_id", account)))?;
    let rows: Vec<Row> = whole.parse()?;
    let mut found = rows.iter().filter(|row| row.token_id.starts_with(prefix));
    let Some(first) = found.next() else {
        return Err(Failure::refused(format!("no token of {account} has an id that starts with {prefix}"))
            .hint(format!("`spl token list --sa {account}` shows them; `spl token list` those of all")));
    };
    if let Some(other) = found.next() {
        return Err(Failure::refused(format!("more than one token of {account} starts with {prefix}"))
            .hint(format!("give more digits: they are {} and {}", first.token_id, other.token_id)));
    }
    Ok(first.token_id.clone())
}
