//! Permission rules: CEL expressions that may refuse what bearer, scope and claim have let through.
//!
//! A rule is compiled once ([`compile()`]) and evaluated many times, by whoever answers a request and never by
//! the writer. Expressions come from administrators, but what they run over comes from anybody who may write
//! a record, so both halves are bounded:
//!
//! - *At write*: length, nesting, nodes, one level of comprehension, literal patterns, known names. The text
//!   is scanned before the parser sees it, so that no text can exhaust the parser's stack.
//! - *At evaluation*: the parsed tree is rewritten so that every operation whose cost depends on data is
//!   metered, by what the data weighs and not by the clock: the same question has the same answer on every
//!   machine. What passes its bound fails, and a `deny` rule that fails denies.

mod check;
mod compile;
mod environment;
mod evaluate;
mod functions;
mod meter;
mod operators;
mod pattern;
mod rewrite;
mod rule;
mod scan;
mod value;

use serde::Serialize;

pub use compile::{Compiled, compile};
pub use evaluate::{Outcome, Question, RecordView};
pub use rule::{Failures, Rule, RuleSet, RuleSource, Verdict};

/// Longest expression, in bytes.
pub const EXPRESSION_BYTES_MAX: usize = 4096;
/// Deepest nesting of an expression: of its brackets and conditionals, and of the tree they make once macros
/// are expanded.
pub const NESTING_MAX: usize = 32;
/// Most nodes of that tree.
pub const NODES_MAX: usize = 1000;
/// Most enabled rules.
pub const ENABLED_RULES_MAX: usize = 100;
/// Most items that a comprehension goes through.
pub const COMPREHENSION_ITEMS_MAX: usize = 10_000;
/// Most units of work of one evaluation of one rule. A unit is about a node evaluated, a list element
/// compared or 32 bytes of text read; a comprehension over the most items may spend a hundred on each.
pub const WORK_UNITS_MAX: u64 = 1_000_000;

/// What a question is about. A rule reads it as the variable `resource`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Resource {
    /// One record is written.
    RecordWrite,
    /// One record is shown.
    RecordRead,
    /// A thread is read, once per request.
    ThreadRead,
    /// A thread is written.
    ThreadWrite,
    /// Configuration is shown.
    ConfigRead,
    /// Configuration is written.
    ConfigWrite,
    /// Service accounts.
    ServiceAccount,
    /// Tokens.
    Token,
    /// Invites, their templates and consent.
    Invite,
    /// Pairs of instances.
    Federation,
}

impl Resource {
    /// All resources.
    pub const ALL: [Self; 10] = [
        Self::RecordWrite,
        Self::RecordRead,
        Self::ThreadRead,
        Self::ThreadWrite,
        Self::ConfigRead,
        Self::ConfigWrite,
        Self::ServiceAccount,
        Self::Token,
        Self::Invite,
        Self::Federation,
    ];

    /// The name that rules compare with.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::RecordWrite => "record_write",
            Self::RecordRead => "record_read",
            Self::ThreadRead => "thread_read",
            Self::ThreadWrite => "thread_write",
            Self::ConfigRead => "config_read",
            Self::ConfigWrite => "config_write",
            Self::ServiceAccount => "service_account",
            Self::Token => "token",
            Self::Invite => "invite",
            Self::Federation => "federation",
        }
    }
}

/// What a rule does where it is true.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Action {
    /// Lets the request through.
    Allow,
    /// Refuses it.
    Deny,
}

impl Action {
    /// The name on the wire.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Allow => "allow",
            Self::Deny => "deny",
        }
    }

    /// The action of a name, exactly as written.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        match text {
            "allow" => Some(Self::Allow),
            "deny" => Some(Self::Deny),
            _ => None,
        }
    }
}
