//! `spl up`: from nothing to a running, secured instance.

use clap::Args;
use reqwest::Url;
use serde::Deserialize;
use serde_json::json;

use crate::{
    args::{self, TokenSource},
    client::{Client, Credential},
    commands::{
        Outcome,
        account::create::First,
        pair,
        serve::{self, PlaceArgs},
        status::Health,
        token::{
            self,
            info::{self, Caller},
            keep,
        },
    },
    context::{self, Context},
    error::Failure,
    home::InstanceFile,
    output, qr,
    saved::SavedToken,
    text,
    token::Secret,
};

/// Where the instance is to be.
#[derive(Args)]
#[command(after_help = "\
Examples:
  spl up                        make an identity, start the instance, make the first account for
                                you, save its token, and print a link that signs your browser in
  spl up --port 9101
  spl up --public-url https://spl.example.com       others come by it, through a proxy with TLS

Run it again whenever you like: it says what is there, and mends what is missing.")]
pub(crate) struct UpArgs {
    #[command(flatten)]
    place: PlaceArgs,
}

/// How whoever runs this gets in.
#[derive(Debug, Default)]
struct Access {
    service_account_id: Option<String>,
    token_id: Option<String>,
    actor: Option<String>,
    /// Whether the token in use is the saved one.
    is_saved: bool,
    is_new: bool,
}

impl Access {
    fn of(caller: Caller, token: &Secret, is_saved: bool) -> Self {
        Self {
            service_account_id: caller.service_account_id,
            token_id: Some(token.id()),
            actor: caller.actor,
            is_saved,
            is_new: false,
        }
    }
}

/// Does what is missing, and says what is there.
pub(crate) fn run(ctx: &Context, given: UpArgs) -> Outcome {
    // A saved token that cannot be replaced is told before anything is made.
    ctx.home.saved_token()?;
    let asked_for_place = given.place.is_given();
    let (instance, started) = serve::ensure_running(ctx, given.place)?;
    if asked_for_place && !started {
        output::note("the instance runs already, where it is; to move it: spl serve --restart --port N");
    }
    let base = context::parse_url(&instance.url)?;
    if ctx.server_url()?.origin() != base.origin() {
        output::warn(
            "other commands talk to another instance: --server, SPL_SERVE_URL or config.toml names it",
        );
    }
    let mode = mode(&base)?;
    let access = access(ctx, &base, &instance, &mode)?;
    let mode = if access.is_new { self::mode(&base)? } else { mode };
    tell(ctx, &instance, started, &mode, &access)?;
    if ctx.out.is_human() {
        studio(ctx, &base, &access)?;
        next_steps(&mode, access.is_new);
        if access.is_new {
            keep::note_if_hidden(ctx);
        }
    }
    Ok(0)
}

/// The way to the pages. Whoever was just let in is signed in there by the link, once; later it is the address alone.
fn studio(ctx: &Context, base: &Url, access: &Access) -> Result<(), Failure> {
    let address = base.origin().ascii_serialization();
    let paired = match &access.actor {
        Some(actor) if access.is_new => match browser(ctx, base, actor) {
            Ok(link) => Some(link),
            Err(failure) => {
                output::warn(format_args!("no browser was paired: {}", text::safe(failure.message())));
                None
            }
        },
        _ => None,
    };
    let link = paired.as_deref().unwrap_or(&address);
    ctx.out.field("studio", ctx.out.palette().cyan(link))?;
    if let Some(columns) = qr::print(&ctx.out, link)? {
        output::note(format_args!("the link's QR code takes {columns} columns"));
    }
    if paired.is_some() {
        output::note(
            "Open the link in your browser: it is signed in there as you. It works once; until then, whoever has it is you.",
        );
    }
    Ok(())
}

fn browser(ctx: &Context, base: &Url, actor: &str) -> Result<String, Failure> {
    let client = Client::new(base.clone(), Credential { token: ctx.token_for(base)?, local_proof: None })?;
    let name = actor.rsplit(':').next().filter(|name| !name.is_empty()).unwrap_or("first");
    pair::browser(&client, &format!("browser-{name}"), actor)
}

fn mode(base: &Url) -> Result<String, Failure> {
    let client = Client::new(base.clone(), Credential::default())?;
    Ok(client.get(&["health"]).send()?.parse::<Health>()?.auth.mode)
}

/// The way in: the token that is there, or else the first account.
fn access(ctx: &Context, base: &Url, instance: &InstanceFile, mode: &str) -> Result<Access, Failure> {
    follow_to_new_address(ctx, base, instance)?;
    let problem = if mode == "bootstrap" {
        "no account can have a token yet".to_owned()
    } else {
        match existing(ctx, base)? {
            Ok(access) => return Ok(access),
            Err(problem) => problem,
        }
    };
    if let Some(access) = of_environment(ctx, base)? {
        return Ok(access);
    }
    if matches!(mode, "bootstrap" | "insecure_localhost") {
        match first_account(ctx, base) {
            Err(failure) if failure.code() == Some("BOOTSTRAP_CLOSED") => {}
            other => return other,
        }
    }
    // An instance without tokens is already where the first two steps lead.
    let steps = if mode == "insecure_localhost" { &token::LOST_TOKEN[2..] } else { &token::LOST_TOKEN[..] };
    Err(Failure::not_authorised(format!("the instance runs and has accounts, but {problem}"))
        .hint(
            "if you have a token: `spl token save <token>`; if all are lost, these commands get you back in:",
        )
        .steps(steps.iter().copied()))
}

/// A token saved for this very instance follows it to another port.
fn follow_to_new_address(ctx: &Context, base: &Url, instance: &InstanceFile) -> Result<(), Failure> {
    let Some(saved) = ctx.home.saved_token()? else { return Ok(()) };
    let origin = base.origin().ascii_serialization();
    let same = saved.instance_did.as_deref() == Some(instance.instance_did.as_str());
    let is_here = |saved: &str| context::parse_url(saved).is_ok_and(|url| context::is_loopback(&url));
    if same && saved.origin.as_deref().is_some_and(|saved| saved != origin && is_here(saved)) {
        SavedToken { origin: Some(origin.clone()), ..saved }.write(&ctx.home)?;
        output::note(format_args!("the saved token is for {} now", text::safe(&origin)));
    }
    Ok(())
}

/// Whether the token in use gets in; else why not.
fn existing(ctx: &Context, base: &Url) -> Result<Result<Access, String>, Failure> {
    let Some(active) = ctx.active_token()? else { return Ok(Err("no token is saved here".to_owned())) };
    let source = ctx.source_in_words(Some(active.source));
    let allowed = match ctx.token_for(base) {
        Ok(token) => token,
        Err(failure) => return Ok(Err(failure.message().to_owned())),
    };
    let client = Client::new(base.clone(), Credential { token: allowed, local_proof: None })?;
    let caller = match info::caller(&client) {
        Err(failure) if failure.code() == Some("DID_CLAIM_DENIED") => {
            return Ok(Err(format!("the account of the token ({source}) lists no actor")));
        }
        other => known(other)?,
    };
    let rejected = || format!("it does not know the token in use ({source})");
    let is_saved = active.source == TokenSource::File;
    Ok(caller.ok_or_else(rejected).map(|caller| Access::of(caller, &active.token, is_saved)))
}

/// The caller, where the instance knows the token.
fn known(asked: Result<Option<Caller>, Failure>) -> Result<Option<Caller>, Failure> {
    const UNKNOWN: [&str; 3] = ["AUTH_INVALID", "AUTH_REQUIRED", "BOOTSTRAP_REQUIRED"];
    match asked {
        Err(failure) if failure.code().is_some_and(|code| UNKNOWN.contains(&code)) => Ok(None),
        other => other,
    }
}

/// The way in with the token that `SPL_BOOTSTRAP_TOKEN` made, which is saved then.
fn of_environment(ctx: &Context, base: &Url) -> Result<Option<Access>, Failure> {
    let Some(token) = args::bootstrap_token().map(|secret| Secret::of_bootstrap(&secret)) else {
        return Ok(None);
    };
    if token.shape().is_none() {
        return Ok(None);
    }
    let credential = Credential { token: Some(token.clone()), local_proof: None };
    let client = Client::new(base.clone(), credential)?;
    let Some(caller) = known(info::caller(&client))? else { return Ok(None) };
    keep_others_token(ctx, base)?;
    keep::keep(ctx, base, token.clone())?;
    Ok(Some(Access::of(caller, &token, true)))
}

/// The answer to a bootstrap, as far as it is used here.
#[derive(Deserialize)]
struct Made {
    service_account_id: String,
    api_key: Secret,
}

/// Makes the first account, for whoever runs this, and saves its token.
fn first_account(ctx: &Context, base: &Url) -> Result<Access, Failure> {
    keep_others_token(ctx, base)?;
    let actor = ctx.own_actor()?;
    let name = actor.rsplit(':').next().filter(|name| !name.is_empty()).unwrap_or("local");
    let client = Client::new(base.clone(), Credential { token: None, local_proof: ctx.local_proof(base)? })?;
    let (actors, scopes) = ([actor.clone()], ["admin".to_owned()]);
    let first = First { name, actors: &actors, scopes: &scopes, env_tag: None };
    let made: Made = first.post(&client)?.parse()?;
    let token_id = made.api_key.id();
    keep::keep(ctx, base, made.api_key).map_err(|failure| {
        failure
            .hint(format!(
                "the account {} was made; once that is mended, make it a new token:",
                made.service_account_id
            ))
            .steps(token::LOST_TOKEN)
    })?;
    Ok(Access {
        service_account_id: Some(made.service_account_id),
        token_id: Some(token_id),
        actor: Some(actor),
        is_saved: true,
        is_new: true,
    })
}

/// A token of another instance is not written over.
fn keep_others_token(ctx: &Context, base: &Url) -> Result<(), Failure> {
    let Some(saved) = ctx.home.saved_token()? else { return Ok(()) };
    let Some(origin) = &saved.origin else { return Ok(()) };
    if context::parse_url(origin).is_ok_and(|origin| origin.origin() == base.origin()) {
        return Ok(());
    }
    Err(Failure::refused(format!("the token saved here is of another instance, {origin}"))
        .hint("drop it with `spl token unset` and run `spl up` again, or use another home with --home"))
}

fn tell(
    ctx: &Context,
    instance: &InstanceFile,
    started: bool,
    mode: &str,
    access: &Access,
) -> Result<(), Failure> {
    let out = &ctx.out;
    if !out.is_human() {
        let mut told = json!({
            "object": "up",
            "url": instance.url,
            "instance_did": instance.instance_did,
        });
        for (name, value) in
            [("service_account_id", &access.service_account_id), ("token_id", &access.token_id)]
        {
            if let Some(value) = value {
                told[name] = value.clone().into();
            }
        }
        told["token_saved"] = access.is_saved.into();
        told["mode"] = mode.into();
        return out.json(&told);
    }
    let palette = out.palette();
    let running = if started { "running: started just now" } else { "running" };
    out.line(format_args!("{} {running}", palette.green("●")))?;
    out.field("address", palette.cyan(text::safe(&instance.url)))?;
    out.field("instance", text::safe(&instance.instance_did))?;
    out.field("access", text::safe(crate::commands::status::mode_in_words(mode)))?;
    if let Some(id) = &access.service_account_id {
        let made = if access.is_new { " (made just now)" } else { "" };
        out.field("account", format_args!("{}{made}", text::safe(id)))?;
    }
    if let Some(actor) = &access.actor {
        out.field("you are", text::safe(actor))?;
    }
    if access.is_saved {
        out.field("token", format_args!("saved in {}", ctx.home.path("token").display()))?;
    } else if let Some(active) = ctx.active_token()? {
        out.field("token", ctx.source_in_words(Some(active.source)))?;
    }
    Ok(())
}

fn next_steps(mode: &str, is_new: bool) {
    if mode == "insecure_localhost" {
        output::warn("it runs with --insecure-localhost: any process here gets in. To ask for tokens:");
        output::note("  spl serve --stop && spl serve --daemon");
    }
    output::note("next:");
    if is_new {
        output::note("  spl pair --device my-phone       let another device of yours in");
    } else {
        output::note("  spl pair --device browser-chrome sign a browser in");
    }
    output::note("  spl task add \"…\"                 note what is to be done");
    output::note("  spl intend \"…\"                   open a thread, and watch it: spl thread watch <id>");
    output::note("  spl invite create                let a phone or a colleague in, by a link");
    output::note("  spl service-account create -h    let a program in");
    output::note("  spl doctor                       find out what is wrong, if anything is");
}
