//! Drives the built `spl` over loopback, alone or beside other servers, and says what came of it.

mod bare;
mod compare;
mod engine;
mod floors;
mod instance;
mod load;
mod peers;
mod process;
mod report;
mod rounds;
mod scale;
mod soak;
mod starts;
mod tokens;
mod transport;
mod wire;

use std::{path::PathBuf, process::ExitCode, time::Duration};

use clap::{Parser, Subcommand};

/// What can fail here fails with a sentence for whoever runs it.
pub(crate) type Outcome<T> = Result<T, Box<dyn std::error::Error>>;

/// Everything the driver was told.
#[derive(Parser)]
#[command(
    name = "spl-benches",
    about = "Load `spl` over loopback, alone or side by side with other servers",
    max_term_width = 100,
    after_help = "\
Start here:
  spl-benches -- compare --quick             everything side by side, in about a minute
  spl-benches -- compare                     the same for figures that can be kept, in about ten
  spl-benches -- load token-check -c 32      one workload against spl alone
  spl-benches -- peers                       which of the other servers are installed

Only ratios of what took turns in one run say anything: machines are shared. Whatever is
started listens on loopback only, keeps its data under target/bench, and is stopped and
deleted at the end."
)]
struct Cli {
    /// Measure this program instead of building one
    #[arg(long, global = true, value_name = "FILE")]
    spl: Option<PathBuf>,
    /// Build the program with this profile; `dist` is what is shipped
    #[arg(long, global = true, default_value = "release")]
    profile: String,
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Measure spl and its peers side by side and check the goals
    Compare(compare::Arguments),
    /// Run one workload against spl alone
    Load(load::Arguments),
    /// Load spl for minutes and see whether its memory stays flat
    Soak(soak::Arguments),
    /// Fill homes of growing size and measure disk, memory and time
    Scale(scale::Arguments),
    /// Say which peers are installed; `benches/peers-install` installs them
    Peers,
    /// Run every workload for a moment, without peers, so that the driver cannot rot
    Smoke,
    /// Be one of the servers that do the least that one can: for the driver itself
    #[command(hide = true)]
    Floor(bare::Arguments),
}

/// Reads `10`, `10s`, `500ms` or `2m`.
fn duration(text: &str) -> Result<Duration, String> {
    let (digits, unit) = text.split_at(text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len()));
    let number: u64 = digits.parse().map_err(|_| format!("`{text}` is no time: say 500ms, 10s or 2m"))?;
    let time = match unit {
        "ms" => Duration::from_millis(number),
        "" | "s" => Duration::from_secs(number),
        "m" => Duration::from_secs(number.saturating_mul(60)),
        _ => return Err(format!("`{unit}` is no unit: say ms, s or m")),
    };
    let bounds = Duration::from_millis(10)..=Duration::from_secs(24 * 3600);
    if bounds.contains(&time) { Ok(time) } else { Err("say something from 10ms to 24 hours".into()) }
}

fn run(cli: Cli) -> Outcome<bool> {
    let build = || instance::program(cli.spl.as_deref(), &cli.profile);
    process::raise_open_files()?;
    match cli.command {
        Command::Compare(arguments) => compare::run(&build()?, &arguments),
        Command::Load(arguments) => load::run(&build()?, &arguments).map(|()| true),
        Command::Soak(arguments) => soak::run(&build()?, &arguments),
        Command::Scale(arguments) => scale::run(&build()?, &arguments).map(|()| true),
        Command::Peers => peers::list().map(|()| true),
        Command::Smoke => smoke(&build()?).map(|()| true),
        Command::Floor(arguments) => bare::run(&arguments).map(|()| true),
    }
}

fn smoke(program: &std::path::Path) -> Outcome<()> {
    load::smoke(program)?;
    compare::smoke(program)?;
    scale::smoke(program)
}

fn main() -> ExitCode {
    match run(Cli::parse()) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::from(1),
        Err(e) => {
            spl_benches::report(&format!("failed: {e}"));
            ExitCode::from(2)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_read() {
        assert_eq!(duration("250ms"), Ok(Duration::from_millis(250)));
        assert_eq!(duration("3"), Ok(Duration::from_secs(3)));
        assert_eq!(duration("2m"), Ok(Duration::from_secs(120)));
        assert!(duration("1h").is_err() && duration("s").is_err() && duration("1ms").is_err());
    }
}
