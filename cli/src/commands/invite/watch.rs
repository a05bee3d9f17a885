//! `spl invite watch`.

use serde::Deserialize;

use super::{
    WatchArgs,
    row::{self, Invite},
};
use crate::{
    clock,
    commands::Outcome,
    context::Context,
    error::Failure,
    output::Output,
    sse::{self, Event, Watch},
    table::Tint,
    text,
};

/// The data of an event.
#[derive(Deserialize)]
struct Update {
    invite: Invite,
}

/// Prints invites as they change.
pub(super) fn run(ctx: &Context, args: &WatchArgs) -> Outcome {
    let client = ctx.client()?;
    let request = || client.get(&["v1", "invites", "stream"]);
    let greeting = ctx.out.is_human().then(|| "watching invites (Ctrl-C ends)".to_owned());
    let watch = Watch { greeting, name: "invite.updated", count: args.count };
    sse::watch(&request, watch, &|event| print(ctx, event))?;
    Ok(0)
}

fn print(ctx: &Context, event: &Event) -> Result<(), Failure> {
    if !ctx.out.is_human() {
        return ctx.out.line(&event.data);
    }
    let update: Update = serde_json::from_str(&event.data)
        .map_err(|e| Failure::refused(format!("an event of the stream has an unexpected shape: {e}")))?;
    ctx.out.line(live_line(&ctx.out, &update.invite))
}

/// One line for an invite that has just changed: time, state, uses, label, holders.
fn live_line(out: &Output, invite: &Invite) -> String {
    let palette = out.palette();
    let state = format!("{:<9}", text::safe(&invite.state));
    let state = match row::tint(&invite.state) {
        Some(Tint::Good) => palette.green(state),
        Some(Tint::Busy) => palette.yellow(state),
        Some(Tint::Bad) => palette.red(state),
        _ => palette.dim(state),
    };
    let time = palette.dim(text::clock_time(invite.changed_at(), clock::now()));
    let label = invite.device_label.as_deref().map(|label| format!("  {}", text::safe(label)));
    let holders = invite.holders();
    let holders = if holders.is_empty() { String::new() } else { format!("  by {}", text::safe(&holders)) };
    let over = !invite.redemptions.is_empty() && invite.redemptions.iter().all(|one| !one.live);
    let over = if over { palette.dim("  (no token left)") } else { String::new() };
    format!(
        "{time}  {state}  {}  {:>5}{}{holders}{over}",
        text::safe(&invite.invite_id),
        invite.uses(),
        label.unwrap_or_default(),
    )
}
