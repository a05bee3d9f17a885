//! Making tokens: another one, or a new one in place of all others.

use serde::Deserialize;
use serde_json::{Value, json};

use super::{CreateArgs, Minted, RotateArgs, keep, note_own_end};
use crate::{clock, commands::Outcome, context::Context, output, scopes, text, token::Secret};

/// Makes a token.
pub(super) fn create(ctx: &Context, args: &CreateArgs) -> Outcome {
    let given = args.scopes.as_ref().map(|list| list.0.as_slice());
    let scopes = if args.grain.is_empty() {
        given.map(<[String]>::to_vec)
    } else {
        Some(scopes::narrowed(given, &args.grain)?)
    };
    let mut body = json!({ "service_account_id": args.sa });
    if let Value::Object(members) = &mut body {
        members.extend(scopes.map(|scopes| ("scopes".to_owned(), scopes.into())));
        members.extend(args.env_tag.clone().map(|tag| ("env_tag".to_owned(), tag.into())));
        members.extend(args.expires_in.map(|seconds| ("expires_in_seconds".to_owned(), seconds.into())));
    }
    let client = ctx.client()?;
    let answer = client.post(&["v1", "tokens"]).json(&body).send()?;
    if !ctx.out.is_human() {
        ctx.out.answer(&answer.body)?;
        return Ok(0);
    }
    let token: Minted = answer.parse()?;
    let out = &ctx.out;
    out.line(format_args!("{} token created", out.palette().green("●")))?;
    out.field("account", text::safe(&token.service_account_id))?;
    out.field("token id", text::safe(&token.token_id))?;
    out.field("scopes", text::safe(&token.scopes.join(",")))?;
    let expires = token.expires_at.as_deref();
    out.field("expires", expires.map_or_else(|| "never".to_owned(), |at| text::ago(at, clock::now())))?;
    out.field("api_key", text::safe(token.api_key.expose()))?;
    output::note("The api_key is the token. It is shown this once: keep it now. Next:");
    output::note("  spl token save <api_key>        where it is used, or put it into SPL_TOKEN there");
    Ok(0)
}

/// What an instance answers to a rotation.
#[derive(Debug, Deserialize)]
struct Rotated {
    id: String,
    api_key: Secret,
    token_id: String,
    #[serde(default)]
    revoked: Vec<Value>,
}

/// Makes a token, and revokes the account's others.
pub(super) fn rotate(ctx: &Context, args: &RotateArgs) -> Outcome {
    let client = ctx.client()?;
    // What is in the home must be replaceable before the old token ends.
    let before = ctx.active_token()?;
    let saved = ctx.home.saved_token()?;
    let answer = client.post(&["v1", "service-accounts", &args.id, "rotate-key"]).send()?;
    let rotated: Rotated = answer.parse()?;
    if ctx.out.is_human() {
        let out = &ctx.out;
        out.line(format_args!("{} token rotated", out.palette().green("●")))?;
        out.field("account", text::safe(&rotated.id))?;
        out.field("token id", text::safe(&rotated.token_id))?;
        out.field("ended", text::counted(rotated.revoked.len() as u64, "token"))?;
        out.field("api_key", text::safe(rotated.api_key.expose()))?;
    } else {
        ctx.out.answer(&answer.body)?;
    }
    if args.save {
        let path = keep::keep(ctx, client.base(), rotated.api_key.clone())?;
        output::note(format_args!("saved to {}", path.display()));
    } else {
        output::note("The api_key is the new token. It is shown this once: keep it now. Next:");
        output::note("  spl token save <api_key>        where the account is used");
    }
    note_own_end(ctx, before, saved, &rotated.revoked, args.save);
    Ok(0)
}
