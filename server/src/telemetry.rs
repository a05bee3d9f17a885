//! Logs: JSON lines in the home directory, and lines for people on a terminal.

use std::{io, path::Path, sync::Mutex};

use file_rotate::{ContentLimit, FileRotate, compression::Compression, suffix::AppendCount};
use tracing_subscriber::{
    EnvFilter, Layer as _, Registry, fmt, layer::SubscriberExt as _, util::SubscriberInitExt as _,
};

/// A log file is rotated at this size.
const FILE_BYTES_MAX: usize = 10 * 1024 * 1024;
/// Rotated files that are kept.
const FILES_KEPT: usize = 7;

/// Starts logging to `file`, and to standard error where `terminal` says so. Only the first call of a process
/// has an effect.
pub(crate) fn start(file: &Path, filter: Option<&str>, terminal: bool) {
    let writer = FileRotate::new(
        file,
        AppendCount::new(FILES_KEPT),
        ContentLimit::BytesSurpassed(FILE_BYTES_MAX),
        Compression::None,
        // The umask of a home keeps it private.
        None,
    );
    let level = || EnvFilter::try_new(filter.unwrap_or("info")).unwrap_or_else(|_| EnvFilter::new("info"));
    let to_file = fmt::layer().json().with_writer(Mutex::new(writer)).with_filter(level());
    let to_terminal = terminal.then(|| {
        let colour = std::io::IsTerminal::is_terminal(&io::stderr());
        fmt::layer().with_target(false).with_ansi(colour).with_writer(io::stderr).with_filter(level())
    });
    // Fails where a test started logging before: that is as good.
    let _ = Registry::default().with(to_file).with(to_terminal).try_init();
}
