//! The `spl` command: serve an instance; write, read and watch records.

mod args;
mod bearer;
mod client;
mod clock;
mod commands;
mod context;
mod duration;
mod entropy;
mod error;
mod home;
mod kinds;
mod link;
mod lookup;
mod offline;
mod output;
mod pages;
mod partial;
mod peer;
mod private;
mod progress;
mod prompt;
mod qr;
mod saved;
mod scopes;
mod sse;
mod table;
mod text;
mod token;
mod view;

use std::process::ExitCode;

use clap::Parser as _;
use nix::sys::stat::{Mode, umask};
use tikv_jemallocator::Jemalloc;

use crate::{args::Cli, output::Palette};

/// What one thread allocates here another frees, record by record: under many writers a seventh of all time goes into the
/// system's allocator and its locks. This one gives back what is free, too; others that are as fast do not.
#[global_allocator]
static ALLOCATOR: Jemalloc = Jemalloc;

fn main() -> ExitCode {
    // What is written here is for its owner: nobody else may read it, not even for a moment.
    umask(Mode::from_bits_truncate(0o077));
    let cli = Cli::parse();
    let (format, palette) = (cli.globals.format(), Palette::stderr(&cli.globals));
    match commands::run(cli) {
        Ok(code) => ExitCode::from(code),
        Err(failure) => {
            failure.report(format, palette);
            ExitCode::from(failure.kind().exit_code())
        }
    }
}
