//! `spl invite create`, and the body that it shares with templates.

use serde_json::{Map, Value, json};

use super::{CreateArgs, ShapeArgs, name_of, row::Invite, templates};
use crate::{
    client::Client, clock, commands::Outcome, context::Context, error::Failure, lookup, output, qr, text,
};

/// Makes an invite.
pub(super) fn run(ctx: &Context, args: &CreateArgs) -> Outcome {
    let client = ctx.client()?;
    let mut body = args.shape.body(&client)?;
    if let Some(template) = &args.template {
        let id = templates::id_of(&client, template)?;
        body.insert("template_id".to_owned(), id.into());
    }
    let answer = client.post(&["v1", "invites"]).json(&Value::Object(body)).send()?;
    if !ctx.out.is_human() {
        ctx.out.answer(&answer.body)?;
        return Ok(0);
    }
    let invite: Invite = answer.parse()?;
    print_link(ctx, &invite, args.qr || (ctx.out.is_terminal() && !args.no_qr))?;
    summary(&invite);
    Ok(0)
}

/// The link alone on the first line, then its code.
pub(super) fn print_link(ctx: &Context, invite: &Invite, with_qr: bool) -> Result<(), Failure> {
    let link = invite.redirect_url.as_deref().ok_or_else(|| {
        Failure::refused("the instance shows no link of this invite")
            .hint("only an active invite has one, for whoever holds the th_invites write grant")
    })?;
    ctx.out.line(text::safe(link))?;
    if with_qr && let Some(columns) = qr::print(&ctx.out, link)? {
        output::note(format_args!(
            "the terminal is too narrow for the QR code: make it {columns} columns wide, then run"
        ));
        output::note(format_args!("  spl invite show {} --link", text::safe(&invite.invite_id)));
    }
    Ok(())
}

/// What was made, and what to do next: not part of the result.
fn summary(invite: &Invite) {
    let now = clock::now();
    let id = text::safe(&invite.invite_id);
    let field = |name: &str, value: &str| output::note(format_args!("  {name:<8} {}", text::safe(value)));
    field("invite", &invite.invite_id);
    if let Some(label) = &invite.device_label {
        field("for", label);
    }
    field("access", &invite.access());
    field("accepts", &invite.accept_holder_types.join(", "));
    field("uses", &invite.max_uses.to_string());
    field("expires", &format!("{} ({})", text::ago(&invite.expires_at, now), invite.expires_at));
    if let Some(seconds) = invite.bearer_ttl_seconds {
        field("token", &format!("lives {} once it is handed out", text::span(seconds)));
    }
    for warning in &invite.warnings {
        output::warn(text::safe(warning));
    }
    output::note("Whoever has the link gets in. Next:");
    output::note("  spl invite watch                              see it being used");
    output::note(format_args!("  spl invite revoke {id:<28}take it back"));
}

impl ShapeArgs {
    /// What was given, as members of a request.
    pub(super) fn body(&self, client: &Client) -> Result<Map<String, Value>, Failure> {
        let target = match (&self.thread, &self.namespace) {
            (Some(thread), _) => Some(json!({
                "kind": "thread",
                "thread_id": lookup::thread(client, thread)?,
            })),
            (None, Some(namespace)) => Some(json!({ "kind": "namespace", "namespace": namespace })),
            (None, None) => None,
        };
        let mut accept: Vec<&str> = Vec::new();
        for holder in &self.accept {
            if !accept.contains(&holder.as_str()) {
                accept.push(holder.as_str());
            }
        }
        let given = [
            ("preset", self.preset.map(|preset| name_of(preset).into())),
            ("scopes", self.scopes.as_ref().map(|list| list.0.clone().into())),
            ("ttl_seconds", self.ttl.map(Value::from)),
            ("max_uses", self.max_uses.map(Value::from)),
            ("scope_target", target),
            ("accept_holder_types", (!accept.is_empty()).then(|| accept.into())),
            ("device_label", self.device_label.clone().map(Value::from)),
            ("notes", self.notes.clone().map(Value::from)),
            ("bearer_ttl_seconds", self.bearer_ttl.map(Value::from)),
        ];
        Ok(given.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?))).collect())
    }
}
