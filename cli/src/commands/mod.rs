//! The subcommands: one file per family.

pub(crate) mod account;
pub(crate) mod audit;
pub(crate) mod backup;
pub(crate) mod completion;
pub(crate) mod config;
pub(crate) mod consent;
pub(crate) mod doctor;
pub(crate) mod emit;
pub(crate) mod export;
pub(crate) mod federation;
pub(crate) mod identity;
pub(crate) mod import;
pub(crate) mod invite;
pub(crate) mod pair;
pub(crate) mod record;
pub(crate) mod serve;
pub(crate) mod status;
pub(crate) mod task;
pub(crate) mod thread;
pub(crate) mod token;
pub(crate) mod up;
pub(crate) mod verify;
pub(crate) mod version;

use crate::{
    args::{Cli, Command},
    context::Context,
    error::Failure,
};

/// The exit code of a command that did what it was asked; not 0 where the answer itself is bad news.
pub(crate) type Outcome = Result<u8, Failure>;

/// Runs the chosen command.
pub(crate) fn run(cli: Cli) -> Outcome {
    let context = Context::new(cli.globals)?;
    let ctx = &context;
    match cli.command {
        Command::Up(args) => up::run(ctx, args),
        Command::Serve(args) => serve::run(ctx, args),
        Command::Status => status::run(ctx),
        Command::Doctor => doctor::run(ctx),
        Command::Intend(args) => emit::run(ctx, emit::INTEND, args),
        Command::Do(args) => emit::run(ctx, emit::DO, args),
        Command::Know(args) => emit::run(ctx, emit::KNOW, args),
        Command::Learn(args) => emit::run(ctx, emit::LEARN, args),
        Command::ServiceAccount(command) => account::run(ctx, command),
        Command::Token(command) => token::run(ctx, command),
        Command::Config(command) => config::run(ctx, command),
        Command::Pair(args) => pair::run(ctx, &args),
        Command::Invite(command) => invite::run(ctx, command),
        Command::Consent(command) => consent::run(ctx, command),
        Command::Federation(command) => federation::run(ctx, command),
        Command::Identity(command) => identity::run(ctx, command),
        Command::Audit(command) => audit::run(ctx, &command),
        Command::Record(command) => record::run(ctx, command),
        Command::Thread(command) => thread::run(ctx, command),
        Command::Task(command) => task::run(ctx, command),
        Command::Export(args) => export::run(ctx, &args),
        Command::Import(args) => import::run(ctx, &args),
        Command::Verify(args) => verify::run(ctx, &args),
        Command::Replay => verify::replay(ctx),
        Command::Backup(args) => backup::run(ctx, &args),
        Command::Restore(args) => backup::restore(ctx, &args),
        Command::Completion(args) => completion::run(ctx, &args),
        Command::Version => version::run(ctx),
    }
}
