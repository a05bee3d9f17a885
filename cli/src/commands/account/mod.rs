//! `spl service-account`: who may act, as whom, and how far.

pub(crate) mod create;
mod show;

use clap::{Args, Subcommand};
use serde::Deserialize;
use serde_json::{Map, Value};

use crate::{
    commands::Outcome,
    context::Context,
    duration,
    error::Failure,
    output, prompt,
    scopes::{self, ActorList, ScopeList},
    text,
    token::{Secret, parse_env_tag},
};

/// What to do with service accounts.
#[derive(Subcommand)]
pub(crate) enum AccountCommand {
    /// Make an account, and a token for it if asked
    Create(CreateArgs),
    /// Change an account's name, actors or scopes
    Update(UpdateArgs),
    /// List every account and its scopes
    List,
    /// Show one account
    #[command(after_help = "\
Examples:
  spl service-account describe sa_0123456789abcdef
  spl service-account describe sa_0123456789abcdef -o json | jq .scopes")]
    Describe {
        /// The account's id, as `spl service-account list` shows it
        #[arg(value_name = "ID")]
        id: String,
    },
    /// Revoke an account and every token it ever had, for good
    #[command(after_help = "\
This cannot be undone. To end one token only: spl token revoke --sa ID --token-id TOKEN_ID
To replace the tokens of an account that goes on: spl token rotate ID")]
    Revoke {
        /// The account's id, as `spl service-account list` shows it
        #[arg(value_name = "ID")]
        id: String,
    },
}

/// A new account.
#[derive(Args)]
#[command(after_help = "\
Examples:
  spl service-account create --bootstrap --name admin --actors did:sync:user:$(whoami) \\
      --scopes admin --with-token                       the first account; `spl up` does it all
  spl service-account create --name grafana --actors did:sync:svc:grafana \\
      --scopes records:read --with-token
  spl service-account create --name \"ci\" --actors did:sync:svc:ci --with-token --expires-in 90d
  spl service-account create --name reader --actors did:sync:svc:reader \\
      --grain thread:music.library:read                 an account and a token for one thread only

Scopes:
  records:read        read records and threads       records:write   write records
  threads:write       open and cancel threads        config:read     read settings
  federation:manage   pair with other instances      config:write    change settings
  admin               everything, accounts and tokens included

A token keeps the scopes its account had when it was made; actors hold for every token at once.")]
pub(crate) struct CreateArgs {
    /// Make the first account of an instance that has none; implies --with-token
    #[arg(long, conflicts_with_all = ["grain", "expires_in"])]
    bootstrap: bool,
    /// What to call it; shown in lists
    #[arg(long)]
    name: String,
    /// Whom its tokens may act as: DIDs, separated by commas [default with --bootstrap: you]
    #[arg(long, value_name = "DIDS", value_parser = scopes::parse_actors)]
    actors: Option<ActorList>,
    /// What it may do, separated by commas [default: records:read,records:write; with --bootstrap: admin]
    #[arg(long, value_name = "SCOPES", value_parser = scopes::parse_list)]
    scopes: Option<ScopeList>,
    /// Narrow the token to thread:ID:read|write or namespace:NS:read|write; may be repeated
    #[arg(long, value_name = "GRAIN", value_parser = scopes::parse_grain)]
    grain: Vec<String>,
    /// Also make a token, and print it once
    #[arg(long)]
    with_token: bool,
    /// The tag of the environment in its tokens [default: prod]
    #[arg(long, value_name = "TAG", value_parser = parse_env_tag)]
    env_tag: Option<String>,
    /// End the token after this long, such as 90d or 12h [default: never]
    #[arg(long, value_name = "DURATION", value_parser = duration::parse_seconds)]
    expires_in: Option<u64>,
}

/// What to change about an account.
#[derive(Args)]
#[command(after_help = "\
Examples:
  spl service-account update sa_0123456789abcdef --name \"grafana (office)\"
  spl service-account update sa_0123456789abcdef --actors did:sync:svc:grafana,did:sync:svc:alerts
  spl service-account update sa_0123456789abcdef --scopes records:read

New actors hold for every token at once. New scopes hold for tokens made from now on: where older
tokens may still do more, the command that ends them is shown.")]
pub(crate) struct UpdateArgs {
    /// The account's id, as `spl service-account list` shows it
    #[arg(value_name = "ID")]
    id: String,
    /// What to call it
    #[arg(long, required_unless_present_any = ["actors", "scopes"])]
    name: Option<String>,
    /// Whom its tokens may act as: DIDs, separated by commas; replaces the list
    #[arg(long, value_name = "DIDS", value_parser = scopes::parse_actors)]
    actors: Option<ActorList>,
    /// What its next tokens may do, separated by commas; replaces the list
    #[arg(long, value_name = "SCOPES", value_parser = scopes::parse_list)]
    scopes: Option<ScopeList>,
}

/// An account as the instance shows it; with its token where one was just made.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Account {
    #[serde(alias = "service_account_id")]
    id: String,
    name: String,
    did: String,
    actors: Vec<String>,
    scopes: Vec<String>,
    active: bool,
    origin: String,
    created_at: String,
    revoked_at: Option<String>,
    tokens: u64,
    last_used_at: Option<String>,
    rotated_token_presented_at: Option<String>,
    api_key: Option<Secret>,
    token_id: Option<String>,
    expires_at: Option<String>,
    tokens_still_wider: Vec<String>,
    hint: Option<String>,
}

/// Runs one of them.
pub(crate) fn run(ctx: &Context, command: AccountCommand) -> Outcome {
    match command {
        AccountCommand::Create(args) => create::run(ctx, &args),
        AccountCommand::Update(args) => update(ctx, &args),
        AccountCommand::List => show::list(ctx),
        AccountCommand::Describe { id } => show::describe(ctx, &id),
        AccountCommand::Revoke { id } => revoke(ctx, &id),
    }
}

fn update(ctx: &Context, args: &UpdateArgs) -> Outcome {
    let mut body = Map::new();
    let mut set = |name: &str, value: Option<Value>| {
        body.extend(value.map(|value| (name.to_owned(), value)));
    };
    set("name", args.name.clone().map(Value::from));
    set("scopes", args.scopes.as_ref().map(|list| Value::from(list.0.clone())));
    set("actors", args.actors.as_ref().map(|list| Value::from(list.0.clone())));
    let client = ctx.client()?;
    let answer = client.patch(&["v1", "service-accounts", &args.id]).json(&Value::Object(body)).send()?;
    let account: Account = answer.parse()?;
    if args.actors.as_ref().is_some_and(|list| list.0.is_empty()) {
        warn_of_no_actors(&args.id, true);
    }
    if !account.tokens_still_wider.is_empty() {
        let count = text::counted(account.tokens_still_wider.len() as u64, "older token");
        output::warn(format_args!("{count} may still do more than the account:"));
        for token_id in &account.tokens_still_wider {
            output::note(format_args!("  {}", text::safe(token_id)));
        }
        match &account.hint {
            Some(hint) => output::note(text::safe(hint)),
            None => output::note(format_args!("end them with: spl token rotate {}", text::safe(&args.id))),
        }
    }
    if ctx.out.is_human() {
        show::panel(ctx, &account)?;
    } else {
        ctx.out.answer(&answer.body)?;
    }
    Ok(0)
}

/// What an instance says when an account is revoked.
#[derive(Debug, Deserialize)]
struct Revoked {
    status: String,
    #[serde(default)]
    tokens_revoked: u64,
}

fn revoke(ctx: &Context, id: &str) -> Outcome {
    let client = ctx.client()?;
    let is_own = is_own(ctx, id)?;
    let question = "This is the account of the token you use: you will be locked out. Revoke it for good?";
    if is_own && ctx.out.is_human() && prompt::is_possible() && !prompt::confirm(question)? {
        return Err(Failure::refused("nothing was revoked"));
    }
    let answer = client.delete(&["v1", "service-accounts", id]).send()?;
    if ctx.out.is_human() {
        let revoked: Revoked = answer.parse()?;
        let status = revoked.status.replace('_', " ");
        let ended = text::counted(revoked.tokens_revoked, "token");
        ctx.out.line(format_args!("{} {}; {ended} ended", text::safe(id), text::safe(&status)))?;
    } else {
        ctx.out.answer(&answer.body)?;
    }
    if is_own {
        note_own_account_gone(ctx)?;
    }
    Ok(0)
}

/// Whether the token in use is one of the account's.
pub(crate) fn is_own(ctx: &Context, id: &str) -> Result<bool, Failure> {
    let shape = ctx.active_token()?.and_then(|active| active.token.shape());
    Ok(shape.is_some_and(|shape| shape.service_account_id == id))
}

/// Says that the token in use has ended with its account.
fn note_own_account_gone(ctx: &Context) -> Result<(), Failure> {
    let source = ctx.source_in_words(ctx.active_token()?.map(|active| active.source));
    output::warn(format_args!("the token you use ({source}) was one of them, and has ended"));
    output::note("to get back in without one: spl serve --stop && spl serve --daemon --insecure-localhost,");
    output::note(
        "  then: spl service-account list, and spl token rotate <sa_id> --save of one that is left,",
    );
    let actor = ctx.own_actor()?;
    output::note(format_args!(
        "  or: spl service-account create --name admin --scopes admin --actors {} --with-token",
        text::safe(&actor)
    ));
    Ok(())
}

/// No token of an account without actors can do anything.
fn warn_of_no_actors(id: &str, was_given: bool) {
    let why = if was_given { "" } else { " (--actors was not given)" };
    output::warn(format_args!(
        "the account lists no actor{why}: every request with a token of it is refused"
    ));
    let id = text::safe(id);
    output::note(format_args!("mend it: spl service-account update {id} --actors did:sync:user:<name>"));
    output::note(format_args!("or drop it: spl service-account revoke {id}"));
}
