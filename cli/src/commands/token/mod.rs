//! `spl token`: what proves who asks.

pub(crate) mod info;
pub(crate) mod keep;
mod list;
mod mint;

use clap::{Args, Subcommand};
use serde::Deserialize;
use serde_json::Value;

use crate::{
    args::TokenSource,
    bearer::ActiveToken,
    commands::Outcome,
    context::Context,
    duration, output,
    saved::SavedToken,
    scopes::{self, ScopeList},
    text,
    token::{Secret, parse_env_tag},
};

/// The way back in for the owner of an instance who has lost its tokens.
pub(crate) const LOST_TOKEN: [&str; 6] = [
    "spl serve --stop",
    "spl serve --daemon --insecure-localhost",
    "spl service-account list                  confirm that the account exists",
    "spl token rotate <sa_id> --save           make a new token for it, and save it",
    "spl serve --stop",
    "spl serve --daemon",
];

/// What to do with tokens.
#[derive(Subcommand)]
pub(crate) enum TokenCommand {
    /// Make another token for an account, and print it once
    #[command(visible_alias = "mint")]
    Create(CreateArgs),
    /// List every token, whose it is, and whether it lives
    List(ListArgs),
    /// Look into a token, and ask the instance whether it lives
    Info(InfoArgs),
    /// Make a new token for an account, then revoke its others
    Rotate(RotateArgs),
    /// Revoke one token; its account and its other tokens live on
    Revoke(RevokeArgs),
    /// Keep a token in the home: every command sends it from then on
    Save(SaveArgs),
    /// Forget the saved token
    Unset,
    /// Show where the token in use comes from
    #[command(after_help = "\
The first of these that has a token is used:
  --token flag             one command
  SPL_TOKEN env            scripts and CI
  ~/.syncro/token file     what `spl token save` keeps")]
    ShowSource,
}

/// A new token.
#[derive(Args)]
#[command(after_help = "\
Examples:
  spl token create --sa sa_0123456789abcdef
  spl token create --sa sa_0123456789abcdef --scopes records:read --expires-in 30d
  spl token create --sa sa_0123456789abcdef --grain thread:music.library:read
  spl token create --sa sa_0123456789abcdef -o json | jq -r .api_key")]
pub(crate) struct CreateArgs {
    /// The account it is for
    #[arg(long, value_name = "ID")]
    sa: String,
    /// What it may do, at most what its account may [default: all that its account may]
    #[arg(long, value_name = "SCOPES", value_parser = scopes::parse_list)]
    scopes: Option<ScopeList>,
    /// Narrow it to thread:ID:read|write or namespace:NS:read|write; may be repeated
    #[arg(long, value_name = "GRAIN", value_parser = scopes::parse_grain)]
    grain: Vec<String>,
    /// The tag of the environment in it [default: its account's]
    #[arg(long, value_name = "TAG", value_parser = parse_env_tag)]
    env_tag: Option<String>,
    /// End it after this long, such as 90d or 12h [default: never]
    #[arg(long, value_name = "DURATION", value_parser = duration::parse_seconds)]
    expires_in: Option<u64>,
}

/// Which tokens.
#[derive(Args)]
#[command(after_help = "\
Examples:
  spl token list
  spl token list --sa sa_0123456789abcdef
  spl token list -o json | jq -r '.data[] | select(.status == \"active\") | .token_id'")]
pub(crate) struct ListArgs {
    /// Only tokens of this account
    #[arg(long, value_name = "ID")]
    sa: Option<String>,
}

/// Which token.
#[derive(Args)]
#[command(after_help = "\
Examples:
  spl token info                                  the one in use
  spl token info spl_prod_sa_...
  echo $SPL_TOKEN | spl token info /dev/stdin
  spl token info -                                paste it

It says `invalid format` where it is no token, and `token_id not found` where the instance does not
know it: revoked, expired, or of another instance.")]
pub(crate) struct InfoArgs {
    /// A token, a file that holds one, or - for the standard input [default: the one in use]
    #[arg(value_name = "TOKEN|FILE|-")]
    given: Option<String>,
}

/// Whose tokens.
#[derive(Args)]
#[command(after_help = "\
Examples:
  spl token rotate sa_0123456789abcdef            prints the new token once
  spl token rotate sa_0123456789abcdef --save     also keeps it as this home's token

The new token is made and the others end in one step: nobody is ever without one, or with two.")]
pub(crate) struct RotateArgs {
    /// The account's id, as `spl service-account list` shows it
    #[arg(value_name = "SA_ID")]
    id: String,
    /// Save the new token at once, as `spl token save` does
    #[arg(long)]
    save: bool,
}

/// Which token to revoke.
#[derive(Args)]
#[command(after_help = "\
Examples:
  spl token revoke --sa sa_0123456789abcdef --token-id 7a2936eccf01

`spl token list` shows the first 12 digits of each; 8 are enough where they are those of one token only.")]
pub(crate) struct RevokeArgs {
    /// The account it is of
    #[arg(long, value_name = "ID")]
    sa: String,
    /// Its id, or at least 8 of its first digits
    #[arg(long, value_name = "TOKEN_ID")]
    token_id: String,
}

/// What to save.
#[derive(Args)]
#[command(after_help = "\
Examples:
  spl token save spl_prod_sa_...
  spl token save -                                read it from the standard input, or paste it

It is kept in the home's file `token`, for its owner only, and sent to no other instance than the
one that is used now.")]
pub(crate) struct SaveArgs {
    /// The token, or - for the standard input
    #[arg(value_name = "TOKEN")]
    given: String,
}

/// A token that was just made.
#[derive(Debug, Deserialize)]
struct Minted {
    api_key: Secret,
    token_id: String,
    #[serde(default)]
    service_account_id: String,
    #[serde(default)]
    scopes: Vec<String>,
    expires_at: Option<String>,
}

/// Runs one of them.
pub(crate) fn run(ctx: &Context, command: TokenCommand) -> Outcome {
    match command {
        TokenCommand::Create(args) => mint::create(ctx, &args),
        TokenCommand::List(args) => list::list(ctx, &args),
        TokenCommand::Info(args) => info::run(ctx, &args),
        TokenCommand::Rotate(args) => mint::rotate(ctx, &args),
        TokenCommand::Revoke(args) => list::revoke(ctx, &args),
        TokenCommand::Save(args) => keep::save(ctx, &args),
        TokenCommand::Unset => keep::unset(ctx),
        TokenCommand::ShowSource => keep::show_source(ctx),
    }
}

/// Says that the token in use has ended.
fn warn_of_own_end(ctx: &Context, active: &ActiveToken) {
    let source = ctx.source_in_words(Some(active.source));
    output::warn(format_args!("the token you use ({}) has ended with this", text::safe(&source)));
}

/// Says whether the token that was in use, or the one that was saved, is among those that a rotation revoked.
pub(crate) fn note_own_end(
    ctx: &Context,
    before: Option<ActiveToken>,
    saved: Option<SavedToken>,
    revoked: &[Value],
    is_kept: bool,
) {
    let has_ended = |token: &Secret| {
        let id = token.id();
        revoked.iter().any(|revoked| {
            let revoked = revoked.as_str().or_else(|| revoked.get("token_id").and_then(Value::as_str));
            revoked == Some(&*id)
        })
    };
    let ended = before.filter(|active| has_ended(&active.token));
    let was_saved = saved.is_some_and(|saved| has_ended(&saved.token));
    match ended {
        Some(active) if !(is_kept && active.source == TokenSource::File) => {
            warn_of_own_end(ctx, &active);
            output::note(replace_hint(active.source));
        }
        None if was_saved && !is_kept => {
            output::warn("the token saved in this home has ended with this");
            output::note(replace_hint(TokenSource::File));
        }
        _ => {}
    }
}

/// What to do so that the next command uses another token.
fn replace_hint(source: TokenSource) -> &'static str {
    match source {
        TokenSource::Flag => "pass the new one with --token",
        TokenSource::Environment => {
            "put the new one into SPL_TOKEN, or unset it: it goes before the saved one"
        }
        TokenSource::File => "save the new one: spl token save <api_key>",
    }
}
