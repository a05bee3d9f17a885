//! All that goes to stdout, and how it looks.

use std::{
    fmt::Display,
    io::{self, IsTerminal as _, Write as _},
};

use owo_colors::{OwoColorize as _, XtermColors};
use serde_json::Value;

use crate::{
    args::{Format, Globals},
    error::Failure,
};

/// Colours, or none.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Palette {
    on: bool,
}

macro_rules! colours {
    ($($(#[$meta:meta])* $name:ident => $style:ident),+ $(,)?) => {
        $($(#[$meta])*
        pub(crate) fn $name(self, text: impl Display) -> String {
            if self.on { text.$style().to_string() } else { text.to_string() }
        })+
    };
}

impl Palette {
    /// No colours.
    #[cfg(test)]
    pub(crate) fn plain() -> Self {
        Self { on: false }
    }

    /// Colours for stderr, where that is a terminal.
    pub(crate) fn stderr(globals: &Globals) -> Self {
        Self { on: io::stderr().is_terminal() && !globals.no_color() }
    }

    colours! {
        /// Failures.
        red => red,
        /// Successes.
        green => green,
        /// Warnings, and what is under way.
        yellow => yellow,
        /// Things to type or to follow.
        cyan => cyan,
        /// Insights.
        magenta => magenta,
        /// Goals.
        blue => blue,
        /// Names of things.
        bold => bold,
        /// What matters less.
        dim => dimmed,
    }

    /// Black on white, as on paper, whatever the terminal's colours are; `None` where there are none.
    pub(crate) fn paper(self, text: impl Display) -> Option<String> {
        // Of the 256 colours these two are the same everywhere; more colours not every terminal knows.
        let (ink, paper) = (XtermColors::from(16), XtermColors::from(231));
        self.on.then(|| text.color(ink).on_color(paper).to_string())
    }

    /// An act in its colour.
    pub(crate) fn act(self, act: &str, shown: &str) -> String {
        match act {
            "INTEND" => self.blue(shown),
            "DO" | "CALL" => self.yellow(shown),
            "KNOW" => self.green(shown),
            "LEARN" => self.magenta(shown),
            _ => self.cyan(shown),
        }
    }

    /// A status of a thread or task in its colour.
    pub(crate) fn status(self, status: &str) -> String {
        match status {
            "open" | "inbox" => self.blue(status),
            "active" => self.yellow(status),
            "observed" => self.cyan(status),
            "closed" | "done" => self.green(status),
            "cancelled" => self.red(status),
            _ => self.dim(status),
        }
    }
}

/// Where results go.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Output {
    format: Format,
    palette: Palette,
    /// Only on a terminal are ids shortened and lines cut.
    terminal: bool,
}

impl Output {
    /// Stdout, as the options want it.
    pub(crate) fn new(globals: &Globals) -> Self {
        let terminal = io::stdout().is_terminal();
        Self { format: globals.format(), palette: Palette { on: terminal && !globals.no_color() }, terminal }
    }

    /// Whether people read this.
    pub(crate) fn is_human(&self) -> bool {
        self.format == Format::Human
    }

    /// Whether stdout is a terminal.
    pub(crate) fn is_terminal(&self) -> bool {
        self.terminal
    }

    /// The colours to use.
    pub(crate) fn palette(&self) -> Palette {
        self.palette
    }

    /// Columns to cut to, at least some; `None` where nothing needs to be cut.
    pub(crate) fn width(&self) -> Option<usize> {
        self.columns().map(|columns| columns.max(60))
    }

    /// Columns of the terminal; `None` where there is none.
    pub(crate) fn columns(&self) -> Option<usize> {
        let size = if self.terminal { terminal_size::terminal_size() } else { None };
        size.map(|(width, _)| usize::from(width.0))
    }

    /// An id as people want it: short on a terminal, whole where it may be processed further.
    pub(crate) fn id(&self, id: &str) -> String {
        if self.terminal { crate::text::short_id(id) } else { crate::text::safe(id).into_owned() }
    }

    /// Prints one line.
    pub(crate) fn line(&self, text: impl Display) -> Result<(), Failure> {
        let mut stdout = io::stdout().lock();
        writeln!(stdout, "{text}")?;
        Ok(stdout.flush()?)
    }

    /// Prints bytes as they are.
    pub(crate) fn raw(&self, bytes: &[u8]) -> Result<(), Failure> {
        let mut stdout = io::stdout().lock();
        stdout.write_all(bytes)?;
        Ok(stdout.flush()?)
    }

    /// Prints an answer of the instance: as it came, or, line by line, the elements of its list.
    pub(crate) fn answer(&self, body: &str) -> Result<(), Failure> {
        if self.format == Format::StreamJson {
            let value: Value = serde_json::from_str(body)
                .map_err(|e| Failure::refused(format!("the instance's answer is no JSON: {e}")))?;
            return match value.get("data") {
                Some(Value::Array(elements)) => elements.iter().try_for_each(|e| self.line(e)),
                _ => self.line(value),
            };
        }
        self.line(body.trim_end_matches('\n'))
    }

    /// Prints a JSON value of our own making.
    pub(crate) fn json(&self, value: &Value) -> Result<(), Failure> {
        self.line(value)
    }

    /// A `name  value` line of a panel.
    pub(crate) fn field(&self, name: &str, value: impl Display) -> Result<(), Failure> {
        self.line(format_args!("  {} {value}", self.palette.dim(format_args!("{name:<14}"))))
    }
}

/// Stdout as something to write to, for what is too large to be printed at once.
pub(crate) struct Stdout;

impl io::Write for Stdout {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        io::stdout().lock().write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        io::stdout().lock().flush()
    }
}

/// Says something on stderr that is no result: progress, confirmations, advice.
pub(crate) fn note(text: impl Display) {
    // A note that nobody can read is no reason to fail.
    let _ = writeln!(io::stderr().lock(), "{text}");
}

/// Says on stderr what should not be missed, though the command goes on.
pub(crate) fn warn(text: impl Display) {
    note(format_args!("warning: {text}"));
}
