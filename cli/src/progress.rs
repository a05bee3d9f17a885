//! Progress on stderr: a bar on a terminal, now and then a line elsewhere.

use std::{
    io::{self, IsTerminal as _},
    time::{Duration, Instant},
};

use indicatif::{ProgressBar, ProgressStyle};

use crate::{clock, output, text};

/// How often a line is printed where there is no terminal.
const LINE_EVERY: Duration = Duration::from_secs(1);

/// Progress of one piece of work.
pub(crate) struct Progress {
    bar: Option<ProgressBar>,
    what: &'static str,
    last_line: Instant,
}

impl Progress {
    /// Progress through a known amount; `unit` follows the numbers.
    pub(crate) fn counted(what: &'static str, total: u64, unit: &str) -> Self {
        let template =
            format!("{{prefix}} {{bar:32.cyan/dim}} {{human_pos}}/{{human_len}} {unit} {{per_sec}} {{eta}}");
        Self::with(what, &template, Some(total))
    }

    /// Something that takes a while, nobody knows how long.
    pub(crate) fn spinner(what: &'static str) -> Self {
        Self::with(what, "{spinner:.cyan} {prefix} {msg}", None)
    }

    fn with(what: &'static str, template: &str, total: Option<u64>) -> Self {
        let bar = io::stderr().is_terminal().then(|| {
            let bar = total.map_or_else(ProgressBar::new_spinner, ProgressBar::new);
            // The template is a constant of this file; were it wrong, the default would do.
            bar.set_style(
                ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar()),
            );
            bar.set_prefix(what);
            bar.enable_steady_tick(Duration::from_millis(100));
            bar
        });
        Self { bar, what, last_line: clock::monotonic() }
    }

    /// Says how far it is.
    pub(crate) fn at(&mut self, done: u64, total: u64) {
        if let Some(bar) = &self.bar {
            bar.set_length(total);
            bar.set_position(done);
        } else if self.last_line.elapsed() >= LINE_EVERY {
            self.last_line = clock::monotonic();
            if total > 0 {
                output::note(format_args!("{}: {} of {}", self.what, text::count(done), text::count(total)));
            } else {
                output::note(format_args!("{}: {}", self.what, text::count(done)));
            }
        }
    }

    /// Takes the bar away.
    pub(crate) fn finish(&self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.finish();
    }
}
