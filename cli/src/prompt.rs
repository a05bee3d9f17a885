//! Questions to whoever sits at the terminal.

use std::io::{self, IsTerminal as _, Write as _};

use crate::{error::Failure, output::Output};

/// Whether somebody is there to answer.
pub(crate) fn is_possible() -> bool {
    io::stdin().is_terminal() && io::stderr().is_terminal()
}

/// Asks a yes-or-no question on the terminal. Without a terminal the answer is no.
pub(crate) fn confirm(question: &str) -> Result<bool, Failure> {
    if !is_possible() {
        return Ok(false);
    }
    write!(io::stderr().lock(), "{question} [y/N] ")?;
    let mut answer = String::new();
    io::stdin()
        .read_line(&mut answer)
        .map_err(|e| Failure::refused(format!("cannot read the answer: {e}")))?;
    Ok(matches!(answer.trim(), "y" | "Y" | "yes"))
}

/// Goes on where whoever sits at the terminal agrees, or has agreed with `--yes`; else `refused` says what was not
/// done.
pub(crate) fn agree(out: &Output, yes: bool, question: &str, refused: &str) -> Result<(), Failure> {
    if yes || (out.is_human() && confirm(question)?) {
        return Ok(());
    }
    let failure = Failure::refused(refused);
    if out.is_human() && is_possible() {
        return Err(failure);
    }
    Err(failure.hint("nobody can be asked here: look at what was shown, then add --yes"))
}
