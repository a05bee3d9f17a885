//! Handing the first account's token to the process that serves, without leaving it in any environment.

use std::{
    io::{self, PipeReader, Read as _, Write as _},
    os::unix::process::CommandExt as _,
    process::Command,
};

use zeroize::Zeroizing;

use crate::{args, error::Failure, token::Secret};

/// The flag of a process that is handed a token on its standard input.
pub(super) const FLAG: &str = "--bootstrap-token-stdin";
/// More than this is handed over of no token: it is too long already.
const BYTES_MAX: usize = 512;

/// The end of a pipe that a token can be read from.
pub(super) fn pipe(token: &Secret) -> io::Result<PipeReader> {
    let (reader, mut writer) = io::pipe()?;
    // What is cut off here was refused for its length anyway. It always fits into the pipe's buffer.
    let bytes = token.expose().as_bytes();
    writer.write_all(bytes.get(..BYTES_MAX).unwrap_or(bytes))?;
    Ok(reader)
}

/// Becomes the same command without the variable: what stands in an environment is open to every process of
/// its user. Returns only where that fails.
pub(super) fn without_variable(token: &Secret) -> Failure {
    let failed = |e: io::Error| Failure::refused(format!("cannot start the instance: {e}"));
    let prepared = std::env::current_exe().and_then(|binary| Ok((binary, pipe(token)?)));
    match prepared {
        Err(e) => failed(e),
        Ok((binary, reader)) => failed(
            Command::new(binary)
                .args(args::own_arguments())
                .arg(FLAG)
                .env_remove(args::BOOTSTRAP_TOKEN)
                .stdin(reader)
                .exec(),
        ),
    }
}

/// Takes what was handed over.
pub(super) fn receive() -> Result<Zeroizing<String>, Failure> {
    let mut bytes = Zeroizing::new(Vec::with_capacity(BYTES_MAX));
    let read = io::stdin().lock().take(BYTES_MAX as u64).read_to_end(&mut bytes);
    read.map_err(|e| Failure::refused(format!("cannot read the token that was handed over: {e}")))?;
    Ok(Zeroizing::new(String::from_utf8_lossy(&bytes).into_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_goes_in_comes_out_bounded() {
        let read = |token: &str| {
            let mut text = String::new();
            pipe(&Secret::new(token.to_owned())).unwrap().read_to_string(&mut text).unwrap();
            text
        };
        assert_eq!(read("abc"), "abc");
        assert_eq!(read(&"x".repeat(100_000)).len(), BYTES_MAX);
    }
}
