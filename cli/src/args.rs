//! Arguments and the environment: the only place that reads either.

use std::{ffi::OsString, path::PathBuf};

use clap::{Args, Parser, Subcommand, ValueEnum};
use serde::{Deserialize, Serialize};

use crate::{
    commands::{
        account, audit, backup, completion, config, consent, emit, export, federation, identity, import,
        invite, pair, record, serve, task, thread, token, up, verify,
    },
    token::Secret,
};

/// Everything `spl` was told.
#[derive(Parser)]
#[command(
    name = "spl",
    version,
    about = "Serve an append-only log of records; write, read and watch it",
    max_term_width = 100,
    after_help = "\
Start here:
  spl up                                     get an instance running, and a way in
  spl intend \"ship the release\"              open a thread
  spl thread list                            see what is going on
  spl doctor                                 find out what is wrong, and how to mend it

Exit codes:
  0 done   1 refused or failed   2 usage   3 cannot reach the instance   4 not authorised"
)]
pub(crate) struct Cli {
    #[command(flatten)]
    pub(crate) globals: Globals,
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// Options that every command takes.
#[derive(Args)]
#[command(next_help_heading = "Global options")]
pub(crate) struct Globals {
    /// Talk to the instance at this address [default: the one this home runs, else http://127.0.0.1:9100]
    #[arg(long, global = true, value_name = "URL", env = "SPL_SERVE_URL", hide_env_values = true)]
    pub(crate) server: Option<String>,
    /// Authenticate with this token [default: $SPL_TOKEN, else the one saved in the home]
    #[arg(long, global = true, value_name = "TOKEN")]
    token: Option<String>,
    /// Print results for people (human), as they came (json), or one object a line (stream-json)
    #[arg(
        short = 'o',
        long,
        global = true,
        value_name = "FORMAT",
        value_enum,
        default_value = "human",
        hide_possible_values = true
    )]
    pub(crate) output: Format,
    /// Print JSON: the same as -o json
    #[arg(long, global = true, conflicts_with = "output")]
    pub(crate) json: bool,
    /// Use this home directory [default: ~/.syncro]
    #[arg(long, global = true, value_name = "DIR", env = "SYNCROPEL_HOME", hide_env_values = true)]
    pub(crate) home: Option<PathBuf>,
    /// Any text here turns colour off, as <https://no-color.org> asks.
    #[arg(long, global = true, hide = true, env = "NO_COLOR", hide_env_values = true)]
    no_color: Option<String>,
}

/// How results are printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    /// Tables and sentences for people
    Human,
    /// The instance's answer, as it came
    Json,
    /// One JSON object on each line, for lists and streams
    StreamJson,
}

impl Globals {
    /// The chosen format.
    pub(crate) fn format(&self) -> Format {
        if self.json { Format::Json } else { self.output }
    }

    /// The token that was given, and whether with the command or by the environment.
    pub(crate) fn given_token(&self) -> Option<(Secret, TokenSource)> {
        let flag = self.token.clone().map(|token| (token, TokenSource::Flag));
        let environment = || variable(TOKEN).map(|token| (token, TokenSource::Environment));
        let given = flag.filter(|(token, _)| !token.trim().is_empty()).or_else(environment);
        given.map(|(token, source)| (Secret::new(token.trim().to_owned()), source))
    }

    /// Whether the environment asks for no colour.
    pub(crate) fn no_color(&self) -> bool {
        self.no_color.as_deref().is_some_and(|v| !v.is_empty())
    }

    /// The home directory, absolute where that can be found out.
    pub(crate) fn home_dir(&self) -> Option<PathBuf> {
        let given = self.home.clone().filter(|h| !h.as_os_str().is_empty());
        let home = given.or_else(usual_home)?;
        Some(std::path::absolute(&home).unwrap_or(home))
    }
}

/// `~/.syncro`: the home directory where none is named.
pub(crate) fn usual_home() -> Option<PathBuf> {
    std::env::home_dir().map(|user| user.join(".syncro"))
}

/// Where a token comes from: the first of these that has one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum TokenSource {
    /// `--token`.
    Flag,
    /// `SPL_TOKEN`.
    Environment,
    /// `<home>/token`.
    File,
}

/// Who writes.
#[derive(Args)]
pub(crate) struct ActorArg {
    /// Write as this actor [default: `[identity] actor` in config.toml, else the token's first actor, else
    /// did:sync:user: and the login name]
    #[arg(long, value_name = "DID", env = "SPL_ACTOR", hide_env_values = true)]
    pub(crate) actor: Option<String>,
}

impl ActorArg {
    /// The actor, where one was named.
    pub(crate) fn named(&self) -> Option<&str> {
        self.actor.as_deref().filter(|a| !a.is_empty())
    }
}

/// The variable that holds a token.
pub(crate) const TOKEN: &str = "SPL_TOKEN";

/// The actor that the environment names, for commands that take no `--actor`.
pub(crate) fn own_actor() -> Option<String> {
    variable("SPL_ACTOR")
}

/// The variable that gives the secret of the first account's token.
pub(crate) const BOOTSTRAP_TOKEN: &str = "SPL_BOOTSTRAP_TOKEN";

/// What [`BOOTSTRAP_TOKEN`] holds, where it holds anything.
pub(crate) fn bootstrap_token() -> Option<Secret> {
    variable(BOOTSTRAP_TOKEN).map(Secret::new)
}

/// A variable that says anything.
#[expect(
    clippy::disallowed_methods,
    reason = "what clap need not know: it would offer a flag for it, and keep secrets"
)]
fn variable(name: &str) -> Option<String> {
    let value = std::env::var_os(name)?.to_string_lossy().into_owned();
    Some(value).filter(|value| !value.trim().is_empty())
}

/// The arguments of this process, as it was given them.
pub(crate) fn own_arguments() -> impl Iterator<Item = OsString> {
    std::env::args_os().skip(1)
}

/// What an instance says in its log.
#[derive(Debug, Default, Clone, Args, Serialize, Deserialize)]
pub(crate) struct LogArg {
    /// Log what this filter lets through, such as `debug` or `spl_server=trace` [default: info]
    #[arg(long, value_name = "FILTER", env = "RUST_LOG", hide_env_values = true)]
    pub(crate) log_filter: Option<String>,
}

/// What to do.
#[derive(Subcommand)]
pub(crate) enum Command {
    /// Get from nothing to a running, secured instance; mend what is missing
    Up(up::UpArgs),
    /// Run an instance, or look after the one that runs
    Serve(serve::ServeArgs),
    /// Show whether the instance answers, and what it is
    Status,
    /// Check the home and the instance, and say how to mend what is wrong
    Doctor,
    /// State a goal: opens a thread
    Intend(emit::EmitArgs),
    /// Report an action
    Do(emit::EmitArgs),
    /// Report an observation, a judgement or an outcome
    Know(emit::EmitArgs),
    /// Report an insight or a decision
    Learn(emit::EmitArgs),
    /// Make, change and revoke accounts for people, devices and programs
    #[command(subcommand)]
    ServiceAccount(account::AccountCommand),
    /// Make, inspect, save and revoke tokens
    #[command(subcommand)]
    Token(token::TokenCommand),
    /// Show and change settings
    #[command(subcommand)]
    Config(config::ConfigCommand),
    /// Let a browser, a phone or a program in: an account, a token, a link and a QR code
    Pair(pair::PairArgs),
    /// Let a device or a colleague in by a link, and take it back
    #[command(subcommand)]
    Invite(invite::InviteCommand),
    /// Give and take back what operators may see and change of other people's
    #[command(subcommand)]
    Consent(consent::ConsentCommand),
    /// Pair with other instances: pin the keys by which their people are known
    #[command(subcommand)]
    Federation(federation::FederationCommand),
    /// Show who the instance is to others
    #[command(subcommand)]
    Identity(identity::IdentityCommand),
    /// Write the instance's own trail: invites, tokens, consent, pairs, impersonation
    #[command(subcommand)]
    Audit(audit::AuditCommand),
    /// Get, post or query records
    #[command(subcommand)]
    Record(record::RecordCommand),
    /// List, show, watch or replay threads
    #[command(subcommand)]
    Thread(thread::ThreadCommand),
    /// Add tasks, and bring them to their end
    #[command(subcommand)]
    Task(task::TaskCommand),
    /// Write all records as lines of JSON
    Export(export::ExportArgs),
    /// Store the records of an export
    Import(import::ImportArgs),
    /// Recompute every id, the chain and all state, and compare
    Verify(verify::VerifyArgs),
    /// Recompute every id, rebuild all state from the log, and print its digest
    Replay,
    /// Copy the log, while it is in use
    Backup(backup::BackupArgs),
    /// Put a backup into a stopped home
    Restore(backup::RestoreArgs),
    /// Print the completion script of a shell
    Completion(completion::CompletionArgs),
    /// Print the version
    Version,
}
