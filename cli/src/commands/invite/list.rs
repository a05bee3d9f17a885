//! Invites as people see them.

use serde::Deserialize;

use super::{
    ListArgs, ShowArgs, create, name_of,
    row::{self, Invite, Redemption},
};
use crate::{
    clock,
    commands::Outcome,
    context::Context,
    error::Failure,
    output, pages,
    table::{Cell, Table, Tint},
    text,
    view::Page,
};

/// Prints every invite.
pub(super) fn list(ctx: &Context, args: &ListArgs) -> Outcome {
    let client = ctx.client()?;
    let state = args.state.map(name_of);
    let filter = state.as_deref().map(|state| ("state", state));
    let whole = pages::whole(&client, &["v1", "invites"], filter)?;
    if !ctx.out.is_human() {
        whole.print(ctx)?;
        return Ok(0);
    }
    let invites: Vec<Invite> = whole.parse()?;
    if invites.is_empty() {
        let none = state.map_or_else(String::new, |state| format!(" that are {state}"));
        ctx.out
            .line(ctx.out.palette().dim(format_args!("no invites{none}; see `spl invite create --help`")))?;
        return Ok(0);
    }
    let now = clock::now();
    let header = ["INVITE_ID", "STATE", "LABEL", "ACCESS", "USES", "EXPIRES", "HOLDERS"];
    let mut table = Table::new(&header, &[4]);
    for invite in &invites {
        table.row(vec![
            Cell::plain(&invite.invite_id),
            Cell::tinted(&invite.state, row::tint(&invite.state)),
            Cell::plain(invite.device_label.as_deref().unwrap_or_default()),
            Cell::plain(invite.access()),
            Cell::plain(invite.uses()),
            Cell::plain(text::ago(&invite.expires_at, now)),
            Cell::plain(invite.holders()),
        ]);
    }
    table.print(&ctx.out)?;
    Ok(0)
}

/// Prints one invite, and whoever came in by it.
pub(super) fn show(ctx: &Context, args: &ShowArgs) -> Outcome {
    let client = ctx.client()?;
    let is_it = |row: &serde_json::Value| row["invite_id"] == args.id.as_str();
    let found = pages::find(&client, &["v1", "invites"], is_it)?;
    let found = found.ok_or_else(|| {
        Failure::refused(format!("there is no invite {}", args.id))
            .hint("see which there are with `spl invite list`")
    })?;
    let invite: Invite = pages::parse_row(&found)?;
    if args.link && ctx.out.is_human() {
        create::print_link(ctx, &invite, ctx.out.is_terminal())?;
    } else if ctx.out.is_human() {
        panel(ctx, &invite)?;
        redemptions(ctx, &invite.redemptions)?;
        if invite.redirect_url.is_some() {
            output::note(format_args!("its link: spl invite show {} --link", text::safe(&invite.invite_id)));
        }
    } else {
        ctx.out.json(&found)?;
    }
    Ok(0)
}

fn panel(ctx: &Context, invite: &Invite) -> Result<(), Failure> {
    let (out, now) = (&ctx.out, clock::now());
    let palette = out.palette();
    let time = |at: &str| format!("{} ({})", text::safe(at), text::ago(at, now));
    out.line(palette.bold(text::safe(invite.device_label.as_deref().unwrap_or(&invite.invite_id))))?;
    out.field("id", text::safe(&invite.invite_id))?;
    let state = text::safe(&invite.state);
    out.field(
        "state",
        match row::tint(&invite.state) {
            Some(Tint::Good) => palette.green(state),
            Some(Tint::Busy) => palette.yellow(state),
            Some(Tint::Bad) => palette.red(state),
            _ => state.into_owned(),
        },
    )?;
    out.field("access", text::safe(&invite.access()))?;
    out.field("scopes", text::safe(&invite.scopes.join(",")))?;
    out.field("accepts", text::safe(&invite.accept_holder_types.join(", ")))?;
    out.field("uses", format_args!("{} ({} left)", invite.uses(), invite.uses_remaining))?;
    out.field("issued", time(&invite.issued_at))?;
    out.field("expires", time(&invite.expires_at))?;
    if let Some(at) = &invite.revoked_at {
        out.field("revoked", time(at))?;
    }
    if let Some(seconds) = invite.bearer_ttl_seconds {
        out.field("tokens live", text::span(seconds))?;
    }
    if let Some(template) = &invite.template_id {
        out.field("template", text::safe(template))?;
    }
    if let Some(notes) = &invite.notes {
        out.field("notes", text::safe(notes))?;
    }
    out.field("issuer", text::safe(&invite.issuer_did))
}

fn redemptions(ctx: &Context, redemptions: &[Redemption]) -> Result<(), Failure> {
    ctx.out.line("")?;
    if redemptions.is_empty() {
        return ctx.out.line(ctx.out.palette().dim("nobody has redeemed it"));
    }
    let now = clock::now();
    let header = ["HOLDER", "TYPE", "TRUST", "WHEN", "LAST SEEN", "LIVE", "ACCOUNT", "DID"];
    let mut table = Table::new(&header, &[]);
    for redemption in redemptions {
        let (live, tint) = if redemption.live { ("yes", Tint::Good) } else { ("no", Tint::Dim) };
        let seen =
            redemption.last_seen.as_deref().map_or_else(|| "never".to_owned(), |at| text::ago(at, now));
        // Whose word it is matters as much as how it was known.
        let signer = redemption.signer_instance_did.as_deref().filter(|did| *did != redemption.holder_did);
        let did = match signer {
            Some(signer) => format!("{} by {signer}", redemption.holder_did),
            None => redemption.holder_did.clone(),
        };
        table.row(vec![
            Cell::plain(redemption.name()),
            Cell::plain(&redemption.holder_type),
            Cell::plain(redemption.signer_trust.as_deref().unwrap_or("-")),
            Cell::plain(text::ago(&redemption.at, now)),
            Cell::plain(seen),
            Cell::tinted(live, tint),
            Cell::plain(&redemption.service_account_id),
            Cell::plain(did),
        ]);
    }
    table.print(&ctx.out)
}

/// A named scope list, as an instance knows it.
#[derive(Debug, Deserialize)]
struct Preset {
    name: String,
    scopes: Vec<String>,
    #[serde(default)]
    default: bool,
}

/// Prints the named scope lists.
pub(super) fn presets(ctx: &Context) -> Outcome {
    let answer = ctx.open_client()?.get(&["v1", "scope_presets"]).send()?;
    if !ctx.out.is_human() {
        ctx.out.answer(&answer.body)?;
        return Ok(0);
    }
    let page: Page<Preset> = answer.parse()?;
    let mut table = Table::new(&["PRESET", "DEFAULT", "SCOPES"], &[]);
    for preset in &page.data {
        table.row(vec![
            Cell::plain(&preset.name),
            Cell::plain(if preset.default { "yes" } else { "" }),
            Cell::plain(preset.scopes.join(",")),
        ]);
    }
    table.print(&ctx.out)?;
    Ok(0)
}
