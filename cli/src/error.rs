//! How a command fails: what is said, what to do about it, and the exit code.

use std::{
    io::{self, Write as _},
    path::Path,
};

use serde_json::{Value, json};

use crate::{args::Format, output::Palette, text};

/// What went wrong, which decides the exit code.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// The instance, or the command itself, refused or failed.
    Refused,
    /// The arguments make no sense.
    Usage,
    /// Nothing answers at the instance's address.
    Unreachable,
    /// The credential does not allow it.
    NotAuthorised,
    /// Whoever read our output has had enough: a success.
    BrokenPipe,
}

impl Kind {
    /// The exit code.
    pub(crate) fn exit_code(self) -> u8 {
        match self {
            Self::BrokenPipe => 0,
            Self::Refused => 1,
            Self::Usage => 2,
            Self::Unreachable => 3,
            Self::NotAuthorised => 4,
        }
    }

    fn code(self) -> &'static str {
        match self {
            Self::BrokenPipe => "BROKEN_PIPE",
            Self::Refused => "FAILED",
            Self::Usage => "USAGE",
            Self::Unreachable => "UNREACHABLE",
            Self::NotAuthorised => "NOT_AUTHORISED",
        }
    }
}

/// The end of a command that did not do what it was asked.
#[derive(Debug)]
pub(crate) struct Failure {
    kind: Kind,
    message: String,
    hints: Vec<String>,
    /// Commands that mend it, in order.
    steps: Vec<String>,
    code: Option<Box<str>>,
    /// The instance's own error answer, passed on untouched with `-o json`.
    body: Option<Box<str>>,
}

impl Failure {
    fn new(kind: Kind, message: impl Into<String>) -> Self {
        Self { kind, message: message.into(), hints: Vec::new(), steps: Vec::new(), code: None, body: None }
    }

    /// Refused or failed: exit code 1.
    pub(crate) fn refused(message: impl Into<String>) -> Self {
        Self::new(Kind::Refused, message)
    }

    /// Arguments that make no sense: exit code 2.
    pub(crate) fn usage(message: impl Into<String>) -> Self {
        Self::new(Kind::Usage, message)
    }

    /// Nothing answers: exit code 3.
    pub(crate) fn unreachable(message: impl Into<String>) -> Self {
        Self::new(Kind::Unreachable, message)
    }

    /// Not authorised: exit code 4.
    pub(crate) fn not_authorised(message: impl Into<String>) -> Self {
        Self::new(Kind::NotAuthorised, message)
    }

    /// A file operation that failed.
    pub(crate) fn file(doing: &str, path: &Path, error: &io::Error) -> Self {
        Self::refused(format!("cannot {doing} {}: {error}", path.display()))
    }

    /// An error answer of the instance.
    pub(crate) fn from_answer(status: u16, body: &str) -> Self {
        let parsed: Option<Value> = serde_json::from_str(body).ok();
        let member = |name: &str| parsed.as_ref().and_then(|v| v.get(name)).and_then(Value::as_str);
        let code = member("code");
        let message = member("message")
            .map_or_else(|| format!("the instance answered with HTTP status {status}"), str::to_owned);
        let mut failure = Self::new(kind_of_answer(status, code), message);
        failure.code = code.map(Box::from);
        failure.hints.extend(member("hint").map(str::to_owned));
        failure.hints.extend(member("required_scope").map(|s| format!("this needs the scope {s}")));
        if let Some(Value::Array(steps)) = parsed.as_ref().and_then(|v| v.get("instructions")) {
            failure.hints.extend(steps.iter().filter_map(Value::as_str).map(str::to_owned));
        }
        failure.body = parsed.is_some().then(|| body.trim_end().into());
        failure
    }

    /// Adds what to do next.
    pub(crate) fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hints.push(hint.into());
        self
    }

    /// Adds the commands that mend it, in order.
    pub(crate) fn steps<'a>(mut self, steps: impl IntoIterator<Item = &'a str>) -> Self {
        self.steps.extend(steps.into_iter().map(str::to_owned));
        self
    }

    /// The same where an answer that had begun was not finished: the instance was reached, but did not do it.
    pub(crate) fn while_copying(mut self) -> Self {
        self.kind = Kind::Refused;
        self
    }

    /// What to do first, where that is known.
    pub(crate) fn first_hint(&self) -> Option<&str> {
        self.hints.first().map(String::as_str)
    }

    /// The instance's code, where it gave one.
    pub(crate) fn code(&self) -> Option<&str> {
        self.code.as_deref()
    }

    /// The kind.
    pub(crate) fn kind(&self) -> Kind {
        self.kind
    }

    /// Whether the instance is overloaded or on its way down: worth another try.
    pub(crate) fn is_busy(&self) -> bool {
        matches!(self.code.as_deref(), Some("BUSY" | "SHUTTING_DOWN" | "RATE_LIMITED"))
    }

    /// What went wrong, in words.
    pub(crate) fn message(&self) -> &str {
        &self.message
    }

    /// Says it on stderr: for people, or as one JSON object where the output is JSON.
    pub(crate) fn report(&self, format: Format, palette: Palette) {
        if self.kind == Kind::BrokenPipe {
            return;
        }
        let text = if format == Format::Human { self.for_people(palette) } else { self.as_json() };
        // Where stderr is gone too there is nobody left to tell; the exit code still says it.
        let _ = writeln!(io::stderr().lock(), "{text}");
    }

    fn for_people(&self, palette: Palette) -> String {
        let code = self.code.as_deref().map(|c| format!(" ({})", text::safe(c))).unwrap_or_default();
        let mut lines = vec![format!("{} {}{code}", palette.red("error:"), text::safe(&self.message))];
        lines.extend(self.hints.iter().map(|hint| format!("{} {}", palette.cyan("hint:"), text::safe(hint))));
        lines.extend(self.steps.iter().map(|step| format!("  {}", text::safe(step))));
        lines.join("\n")
    }

    fn as_json(&self) -> String {
        if let Some(body) = &self.body {
            return body.to_string();
        }
        let mut object = json!({
            "object": "error",
            "type": "client_error",
            "code": self.kind.code(),
            "message": self.message,
        });
        if let (Value::Object(members), false) = (&mut object, self.hints.is_empty()) {
            members.insert("hint".to_owned(), Value::String(self.hints.join("; ")));
            if !self.steps.is_empty() {
                members.insert("instructions".to_owned(), self.steps.clone().into());
            }
        }
        object.to_string()
    }
}

/// A 403 about what was sent is a refusal; one about who sent it is a matter of authorisation.
fn kind_of_answer(status: u16, code: Option<&str>) -> Kind {
    const ABOUT_CONTENT: [&str; 7] = [
        "RESERVED_THREAD",
        "RESERVED_KIND",
        "NAMESPACE_REJECTED",
        "HOLDER_TYPE_MISMATCH",
        "BAD_PROOF",
        "KEY_UNKNOWN",
        "FRESHNESS_VIOLATION",
    ];
    match status {
        401 => Kind::NotAuthorised,
        403 if !code.is_some_and(|c| ABOUT_CONTENT.contains(&c)) => Kind::NotAuthorised,
        _ => Kind::Refused,
    }
}

/// Output that cannot be written: a reader that left is a success, all else a failure.
impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        if error.kind() == io::ErrorKind::BrokenPipe {
            Self::new(Kind::BrokenPipe, "the reader of the output has left")
        } else {
            Self::refused(format!("cannot write the output: {error}"))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_map_to_exit_codes() {
        let exit = |status, code: &str| {
            Failure::from_answer(status, &format!(r#"{{"code":"{code}","message":"m"}}"#)).kind().exit_code()
        };
        assert_eq!(exit(401, "AUTH_INVALID"), 4);
        assert_eq!(exit(403, "SCOPE_FORBIDDEN"), 4);
        assert_eq!(exit(403, "RESERVED_THREAD"), 1);
        assert_eq!(exit(404, "NOT_FOUND"), 1);
        assert_eq!(exit(503, "BUSY"), 1);
    }

    #[test]
    fn an_answer_that_is_no_json_still_says_something() {
        let failure = Failure::from_answer(502, "<html>");
        assert!(failure.message().contains("502"));
    }

    #[test]
    fn what_a_server_says_cannot_steer_the_terminal() {
        let failure = Failure::from_answer(400, r#"{"code":"X","message":"a\u001b[2Jb","hint":"\u202e"}"#);
        let said = failure.for_people(Palette::plain());
        assert!(!said.contains('\u{1b}') && !said.contains('\u{202e}'), "{said}");
    }
}
