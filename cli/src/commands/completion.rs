//! `spl completion`.

use clap::{Args, CommandFactory as _};
use clap_complete::Shell;

use crate::{args::Cli, commands::Outcome, context::Context};

/// For which shell.
#[derive(Args)]
#[command(after_help = "\
Examples:
  spl completion bash > ~/.local/share/bash-completion/completions/spl
  spl completion zsh > ~/.zfunc/_spl
  spl completion fish > ~/.config/fish/completions/spl.fish")]
pub(crate) struct CompletionArgs {
    /// The shell to complete for
    #[arg(value_enum)]
    shell: Shell,
}

/// Prints the script.
pub(crate) fn run(ctx: &Context, args: &CompletionArgs) -> Outcome {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut Cli::command(), "spl", &mut script);
    ctx.out.raw(&script)?;
    Ok(0)
}
