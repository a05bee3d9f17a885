//! Taking invites back.

use serde::Deserialize;
use serde_json::{Map, Value};

use super::{BulkArgs, RevokeArgs, name_of};
use crate::{commands::Outcome, context::Context, output, text};

/// What an instance says when invites are revoked.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Revoked {
    status: String,
    bearers_revoked: u64,
    accounts_revoked: u64,
    revoked_count: u64,
    remaining: u64,
}

/// Revokes one.
pub(super) fn revoke(ctx: &Context, args: &RevokeArgs) -> Outcome {
    let body = reason(args.reason.as_ref());
    let client = ctx.client()?;
    let answer = client.post(&["v1", "invites", &args.id, "revoke"]).json(&Value::Object(body)).send()?;
    if !ctx.out.is_human() {
        ctx.out.answer(&answer.body)?;
        return Ok(0);
    }
    let revoked: Revoked = answer.parse()?;
    let (id, status) = (text::safe(&args.id), revoked.status.replace('_', " "));
    let status = text::safe(&status);
    if revoked.accounts_revoked == 0 && revoked.bearers_revoked == 0 {
        ctx.out.line(format_args!("{id} {status}"))?;
        return Ok(0);
    }
    let accounts = text::counted(revoked.accounts_revoked, "account");
    let bearers = text::counted(revoked.bearers_revoked, "live token");
    ctx.out.line(format_args!("{id} {status}; {accounts} and {bearers} ended with it"))?;
    Ok(0)
}

/// Closes all in one state.
pub(super) fn bulk_revoke(ctx: &Context, args: &BulkArgs) -> Outcome {
    let which = name_of(args.which);
    let mut body = reason(args.reason.as_ref());
    body.insert("filter".to_owned(), which.clone().into());
    let client = ctx.client()?;
    let answer = client.post(&["v1", "invites", "bulk-revoke"]).json(&Value::Object(body)).send()?;
    if !ctx.out.is_human() {
        ctx.out.answer(&answer.body)?;
        return Ok(0);
    }
    let revoked: Revoked = answer.parse()?;
    ctx.out
        .line(format_args!("{} revoked", text::counted(revoked.revoked_count, &format!("{which} invite"))))?;
    if revoked.remaining > 0 {
        let rest = text::count(revoked.remaining);
        output::note(format_args!("{rest} more are left: run it again"));
    }
    Ok(0)
}

fn reason(reason: Option<&String>) -> Map<String, Value> {
    reason.map(|reason| ("reason".to_owned(), reason.clone().into())).into_iter().collect()
}
