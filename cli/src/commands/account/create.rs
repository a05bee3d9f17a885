//! Making accounts: the first one, and all others.

use serde_json::{Map, Value, json};

use super::{Account, CreateArgs, warn_of_no_actors};
use crate::{
    client::{Answer, Client},
    clock,
    commands::{Outcome, status},
    context::Context,
    error::Failure,
    output, scopes, text,
};

/// Makes an account.
pub(super) fn run(ctx: &Context, args: &CreateArgs) -> Outcome {
    if args.bootstrap { bootstrap(ctx, args) } else { create(ctx, args) }
}

/// Makes the first account, by the local proof.
fn bootstrap(ctx: &Context, args: &CreateArgs) -> Outcome {
    let scopes = args.scopes.as_ref().map_or_else(
        || {
            output::note("--scopes was not given: the account gets admin");
            vec!["admin".to_owned()]
        },
        |list| list.0.clone(),
    );
    let actors = match &args.actors {
        Some(list) => list.0.clone(),
        None => {
            let actor = ctx.own_actor()?;
            output::note(format_args!("--actors was not given: the account acts as {}", text::safe(&actor)));
            vec![actor]
        }
    };
    let first =
        First { name: &args.name, actors: &actors, scopes: &scopes, env_tag: args.env_tag.as_deref() };
    let client = ctx.proof_client()?;
    let answer = first.post(&client)?;
    let mut account: Account = answer.parse()?;
    if !ctx.out.is_human() {
        ctx.out.answer(&answer.body)?;
    }
    // The answer names what was made, not what it was made of.
    (account.name, account.actors, account.scopes) = (args.name.clone(), actors, scopes);
    finish(ctx, &client, &account, true)
}

/// The first account of an instance.
pub(crate) struct First<'a> {
    /// What to call it.
    pub(crate) name: &'a str,
    /// Whom it may act as.
    pub(crate) actors: &'a [String],
    /// What it may do.
    pub(crate) scopes: &'a [String],
    /// The tag of the environment in its token.
    pub(crate) env_tag: Option<&'a str>,
}

impl First<'_> {
    /// Has the instance make it, and its token.
    pub(crate) fn post(&self, client: &Client) -> Result<Answer, Failure> {
        let mut body = json!({
            "display_name": self.name,
            "actors": self.actors,
            "scopes": self.scopes,
            "with_token": true,
        });
        if let (Value::Object(members), Some(tag)) = (&mut body, self.env_tag) {
            members.insert("env_tag".to_owned(), tag.into());
        }
        let sent = client.post(&["v1", "bootstrap", "service-account"]).json(&body).send();
        sent.map_err(|failure| match failure.code() {
            Some("BOOTSTRAP_CLOSED") if failure.first_hint().is_none() => failure
                .hint("an account exists: make others with `spl service-account create` without --bootstrap")
                .hint("if its token is lost: spl serve --stop && spl serve --daemon --insecure-localhost, then spl service-account list and spl token rotate <sa_id>"),
            Some("BOOTSTRAP_LOCAL_ONLY") if failure.first_hint().is_none() => failure
                .hint("run this on the machine of the instance, as its owner, with the same --home"),
            _ => failure,
        })
    }
}

/// Makes an account as one that may already.
fn create(ctx: &Context, args: &CreateArgs) -> Outcome {
    let narrowed = !args.grain.is_empty();
    if args.expires_in.is_some() && !args.with_token && !narrowed {
        return Err(
            Failure::usage("--expires-in is about a token, and none is made").hint("add --with-token")
        );
    }
    // The account is narrowed as its token is: whatever is minted or rotated for it later stays within the grains.
    let given = args.scopes.as_ref().map(|list| list.0.as_slice());
    let scopes =
        if narrowed { Some(scopes::narrowed(given, &args.grain)?) } else { given.map(<[String]>::to_vec) };
    let actors = args.actors.as_ref().map(|list| list.0.clone()).unwrap_or_default();
    let mut body = Map::from_iter([
        ("name".to_owned(), Value::from(args.name.clone())),
        ("actors".to_owned(), Value::from(actors.clone())),
    ]);
    body.extend(scopes.map(|scopes| ("scopes".to_owned(), scopes.into())));
    body.extend(args.env_tag.clone().map(|tag| ("env_tag".to_owned(), tag.into())));
    if args.with_token || narrowed {
        body.insert("with_token".to_owned(), true.into());
        body.extend(args.expires_in.map(|seconds| ("expires_in_seconds".to_owned(), seconds.into())));
    }
    let client = ctx.client()?;
    let answer = client.post(&["v1", "service-accounts"]).json(&Value::Object(body)).send()?;
    let account: Account = answer.parse()?;
    if !ctx.out.is_human() {
        ctx.out.answer(&answer.body)?;
    }
    if actors.is_empty() {
        warn_of_no_actors(&account.id, args.actors.is_some());
    }
    finish(ctx, &client, &account, false)
}

/// Says what was made, its token once, and what comes next.
fn finish(ctx: &Context, client: &Client, account: &Account, is_first: bool) -> Outcome {
    let out = &ctx.out;
    if out.is_human() {
        out.line(format_args!("{} service account created", out.palette().green("●")))?;
        out.field("id", text::safe(&account.id))?;
        out.field("name", text::safe(&account.name))?;
        let actors = account.actors.join(",");
        out.field("actors", if actors.is_empty() { "none".into() } else { text::safe(&actors) })?;
        out.field("scopes", text::safe(&account.scopes.join(",")))?;
        if let Some(token_id) = &account.token_id {
            out.field("token id", text::safe(token_id))?;
        }
        if let Some(at) = &account.expires_at {
            out.field("expires", format_args!("{} ({})", text::safe(at), text::ago(at, clock::now())))?;
        }
        if let Some(token) = &account.api_key {
            out.field("api_key", text::safe(token.expose()))?;
        }
        next_steps(client, account, is_first);
    }
    Ok(0)
}

fn next_steps(client: &Client, account: &Account, is_first: bool) {
    if account.api_key.is_none() {
        output::note(format_args!("next: spl token create --sa {}", text::safe(&account.id)));
        return;
    }
    output::note("The api_key is the token. It is shown this once: keep it now. Next:");
    if !is_first {
        output::note("  hand it to whoever it is for, who runs `spl token save <api_key>` or sets SPL_TOKEN");
        return;
    }
    output::note("  spl token save <api_key>        or `spl token save -`, and paste it");
    if status::mode_of(client).as_deref() == Some("insecure_localhost") {
        output::note(
            "  spl serve --stop && spl serve --daemon        from then on every request needs a token",
        );
    }
}
