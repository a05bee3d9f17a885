//! The members of a small request body, each taken by name and type; what is left over is refused.

use serde_json::{Map, Value};
use spl_kernel::json::{Bounds, Json};

use crate::{
    page::{REASON_RULE, is_reason},
    problem::{Problem, excerpt},
};

/// Bounds of a body that is no record.
const BOUNDS: Bounds = Bounds { levels: 8, values: 20_000 };

/// See the module.
#[derive(Debug)]
pub(super) struct Fields {
    /// What the members are of, for messages.
    within: &'static str,
    members: Map<String, Value>,
    known: Vec<&'static str>,
}

impl Fields {
    /// Parses a JSON object, as strictly as records are: no duplicate keys, bounded nesting.
    pub(super) fn parse(bytes: &[u8]) -> Result<Self, Problem> {
        Json::parse(bytes, BOUNDS).map_err(|e| Problem::invalid_body(e.to_string()))?;
        match serde_json::from_slice(bytes) {
            Ok(Value::Object(members)) => Ok(Self::within("", members)),
            _ => Err(Problem::invalid_body("expected a JSON object")),
        }
    }

    /// As above; an empty body is an empty object.
    pub(super) fn parse_optional(bytes: &[u8]) -> Result<Self, Problem> {
        if bytes.is_empty() { Ok(Self::within("", Map::new())) } else { Self::parse(bytes) }
    }

    /// The members of an object inside the body.
    pub(super) fn within(within: &'static str, members: Map<String, Value>) -> Self {
        Self { within, members, known: Vec::new() }
    }

    fn name(&self, key: &str) -> String {
        if self.within.is_empty() { format!("`{key}`") } else { format!("`{}.{key}`", self.within) }
    }

    fn wrong(&self, key: &str, what: &str) -> Problem {
        Problem::invalid_body(format!("{} must be {what}", self.name(key)))
    }

    /// A member, whatever it is; `null` counts as absent.
    pub(super) fn take(&mut self, key: &'static str) -> Option<Value> {
        self.known.push(key);
        self.members.remove(key).filter(|v| !v.is_null())
    }

    /// A string.
    pub(super) fn text(&mut self, key: &'static str) -> Result<Option<String>, Problem> {
        match self.take(key) {
            None => Ok(None),
            Some(Value::String(text)) => Ok(Some(text)),
            Some(_) => Err(self.wrong(key, "a string")),
        }
    }

    /// A string that has to be there.
    pub(super) fn required_text(&mut self, key: &'static str) -> Result<String, Problem> {
        self.text(key)?.ok_or_else(|| Problem::invalid_body(format!("{} is missing", self.name(key))))
    }

    /// A boolean.
    pub(super) fn boolean(&mut self, key: &'static str) -> Result<Option<bool>, Problem> {
        match self.take(key) {
            None => Ok(None),
            Some(Value::Bool(value)) => Ok(Some(value)),
            Some(_) => Err(self.wrong(key, "true or false")),
        }
    }

    /// A number from 0 on.
    pub(super) fn number(&mut self, key: &'static str) -> Result<Option<u64>, Problem> {
        match self.take(key) {
            None => Ok(None),
            Some(value) => {
                value.as_u64().map(Some).ok_or_else(|| self.wrong(key, "a whole number from 0 on"))
            }
        }
    }

    /// A list of strings.
    pub(super) fn texts(&mut self, key: &'static str) -> Result<Option<Vec<String>>, Problem> {
        let Some(value) = self.take(key) else { return Ok(None) };
        let texts = value.as_array().and_then(|elements| {
            elements.iter().map(|e| e.as_str().map(str::to_owned)).collect::<Option<Vec<_>>>()
        });
        texts.map(Some).ok_or_else(|| self.wrong(key, "a list of strings"))
    }

    /// `reason`: why something is taken back, for the trail.
    pub(super) fn reason(&mut self) -> Result<Option<String>, Problem> {
        let reason = self.text("reason")?;
        if reason.as_deref().is_none_or(is_reason) {
            return Ok(reason);
        }
        Err(Problem::invalid_body(REASON_RULE))
    }

    /// Refuses what was not asked for.
    pub(super) fn finish(self) -> Result<(), Problem> {
        match self.members.keys().next() {
            None => Ok(()),
            Some(key) => {
                let problem = Problem::invalid_body(format!("unknown field {:?}", excerpt(key)));
                Err(if self.known.is_empty() {
                    problem.hint("this route takes no fields")
                } else {
                    problem.hint(format!("this route takes {}", self.known.join(", ")))
                })
            }
        }
    }
}
