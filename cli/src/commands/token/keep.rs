//! The saved token.

use std::path::PathBuf;

use reqwest::Url;
use serde_json::json;

use super::SaveArgs;
use crate::{
    args::TokenSource,
    client::{Client, Credential},
    commands::Outcome,
    context::{self, Context},
    error::Failure,
    output,
    saved::SavedToken,
    text,
    token::Secret,
};

/// Keeps a token in the home, for the instance at this address.
pub(crate) fn keep(ctx: &Context, base: &Url, token: Secret) -> Result<PathBuf, Failure> {
    // Who is there is kept where that can be found out; else the origin alone has to do.
    let did = ctx.instance_did_at(base).ok().filter(|did| !did.is_empty());
    let origin = Some(base.origin().ascii_serialization());
    SavedToken { token, origin, instance_did: did, plain_http: false }.write(&ctx.home)
}

/// `spl token save`.
pub(super) fn save(ctx: &Context, args: &SaveArgs) -> Outcome {
    let given = if args.given == "-" { context::read_text_argument("-")? } else { args.given.clone() };
    let token = Secret::new(given.trim().to_owned());
    if token.expose().is_empty() {
        return Err(Failure::usage("there is no token to save").hint("run: spl token save spl_prod_sa_…"));
    }
    if token.expose().chars().any(|c| c.is_whitespace() || c.is_control()) {
        return Err(Failure::usage("a token is one word, without spaces and line breaks")
            .hint("copy it again, from `spl_` to its end"));
    }
    if token.shape().is_none() {
        output::warn(
            "this does not look like a token (spl_<env>_<sa_id>_<secret>); it is saved all the same",
        );
    }
    let path = keep(ctx, &ctx.server_url()?, token)?;
    let saved = ctx.home.saved_token()?.ok_or_else(|| Failure::refused("the saved token is gone again"))?;
    if ctx.out.is_human() {
        ctx.out.line(format_args!("saved to {}", path.display()))?;
        ctx.out.field("token", text::safe(&saved.token.masked()))?;
        ctx.out.field("for", text::safe(saved.origin.as_deref().unwrap_or_default()))?;
        if let Some(did) = &saved.instance_did {
            ctx.out.field("instance", text::safe(did))?;
        }
    } else {
        ctx.out.json(&json!({
            "object": "saved_token",
            "path": path,
            "token": saved.token.masked(),
            "token_id": saved.token.id(),
            "origin": saved.origin,
            "instance_did": saved.instance_did,
        }))?;
    }
    if saved.instance_did.is_none() {
        output::note("no instance answers there now: it goes to the one that does, at this address only");
    } else {
        note_if_refused(ctx, &saved);
    }
    note_if_hidden(ctx);
    Ok(0)
}

/// A slip of the hand is told at once.
fn note_if_refused(ctx: &Context, saved: &SavedToken) {
    let Ok(base) = ctx.server_url() else { return };
    // A question about sending it unencrypted belongs to the first command that has a use for it.
    if base.scheme() == "http" && !context::is_loopback(&base) {
        return;
    }
    let credential = Credential { token: Some(saved.token.clone()), local_proof: None };
    let asked = Client::new(base, credential).and_then(|client| client.get(&["v1", "identity"]).send());
    if asked.is_err_and(|failure| failure.code() == Some("AUTH_INVALID")) {
        output::warn("the instance does not know this token; look at it with `spl token info`");
    }
}

/// What goes before the saved token is told where it would be overlooked.
pub(crate) fn note_if_hidden(ctx: &Context) {
    if let Some((_, TokenSource::Environment)) = ctx.globals.given_token() {
        output::note("SPL_TOKEN is set, and goes before the saved token: unset it to use this one");
    }
}

/// `spl token unset`.
pub(super) fn unset(ctx: &Context) -> Outcome {
    let removed = SavedToken::remove(&ctx.home)?;
    if ctx.out.is_human() {
        let path = ctx.home.path("token");
        let what = if removed { "removed" } else { "there was none:" };
        ctx.out.line(format_args!("{what} {}", path.display()))?;
    } else {
        let status = if removed { "removed" } else { "already_removed" };
        ctx.out.json(&json!({ "object": "saved_token", "status": status }))?;
    }
    if let Some((_, TokenSource::Environment)) = ctx.globals.given_token() {
        output::note("SPL_TOKEN is still set: commands go on using that");
    }
    Ok(0)
}

/// `spl token show-source`.
pub(super) fn show_source(ctx: &Context) -> Outcome {
    let active = ctx.active_token()?;
    let source = ctx.source_in_words(active.as_ref().map(|active| active.source));
    if !ctx.out.is_human() {
        ctx.out.json(&json!({
            "object": "token_source",
            "source": source,
            "token": active.as_ref().map(|active| active.token.masked()),
        }))?;
        return Ok(0);
    }
    ctx.out.line(&source)?;
    match active {
        Some(active) => ctx.out.line(text::safe(&active.token.masked()))?,
        None => output::note("save one with `spl token save <token>`, or run `spl up` to get one"),
    }
    Ok(0)
}
