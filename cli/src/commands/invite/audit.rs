//! `spl invite audit`.

use serde::Deserialize;

use super::AuditArgs;
use crate::{
    clock,
    commands::Outcome,
    context::Context,
    table::{Cell, Table, Tint},
    text,
    view::Page,
};

/// What happened to an invite.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Event {
    invite_id: String,
    event_kind: String,
    at: String,
    by: Option<By>,
    holder_did: Option<String>,
    holder_label: Option<String>,
    revoker_reason: Option<String>,
    refusal_reason: Option<String>,
    cause: Option<String>,
    count: Option<u64>,
    device_label: Option<String>,
}

/// Who did it.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct By {
    actor: String,
}

impl Event {
    fn who(&self) -> String {
        let holder = self.holder_label.clone().or_else(|| self.holder_did.as_deref().map(text::short_actor));
        let by = self.by.as_ref().map(|by| text::short_actor(&by.actor));
        holder.or(by).unwrap_or_default()
    }

    fn why(&self) -> String {
        let cause = self.cause.as_deref().filter(|cause| *cause != "operator");
        let reasons = [self.refusal_reason.as_deref(), self.revoker_reason.as_deref(), cause];
        let reason = reasons.into_iter().flatten().collect::<Vec<_>>().join(": ");
        match self.count {
            Some(count) if count > 1 => format!("{reason} ({} times)", text::count(count)),
            _ => reason,
        }
    }
}

/// Prints the trail, newest first.
pub(super) fn run(ctx: &Context, args: &AuditArgs) -> Outcome {
    let client = ctx.client()?;
    let request = client.get(&["v1", "invites", "audit"]).query("limit", Some(args.limit));
    let answer = request.query("cursor", args.cursor.as_ref()).send()?;
    if !ctx.out.is_human() {
        ctx.out.answer(&answer.body)?;
        return Ok(0);
    }
    let page: Page<Event> = answer.parse()?;
    if page.data.is_empty() {
        ctx.out.line(ctx.out.palette().dim("nothing has happened to any invite"))?;
        return Ok(0);
    }
    let now = clock::now();
    let mut table = Table::new(&["WHEN", "EVENT", "INVITE_ID", "LABEL", "HOLDER/BY", "REASON"], &[]);
    for event in &page.data {
        let tint = match event.event_kind.as_str() {
            "redeemed" => Some(Tint::Good),
            "issued" => Some(Tint::Busy),
            "refused" | "revoked" => Some(Tint::Bad),
            _ => Some(Tint::Dim),
        };
        table.row(vec![
            Cell::plain(text::ago(&event.at, now)),
            Cell::tinted(&event.event_kind, tint),
            Cell::plain(&event.invite_id),
            Cell::plain(event.device_label.as_deref().unwrap_or_default()),
            Cell::plain(event.who()),
            Cell::plain(event.why()),
        ]);
    }
    table.print(&ctx.out)?;
    page.note_rest();
    Ok(0)
}
