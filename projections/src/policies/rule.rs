//! Rules in their order.

use std::{
    fmt,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use serde::{Serialize, Serializer};
use spl_kernel::refusal::{Code, Refusal};

use super::{
    Action, ENABLED_RULES_MAX,
    compile::{Compiled, compile},
    evaluate::{Asked, Outcome, Question},
};

/// A rule as it was written.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct RuleSource {
    /// Its name: a later rule of the same name replaces it.
    pub name: String,
    /// What it does where it is true.
    pub action: Action,
    /// Higher is asked first.
    pub priority: i64,
    /// The condition, in CEL.
    pub expression: String,
    /// Whether it is asked at all.
    pub enabled: bool,
}

/// How often a rule did not come to an answer since it was compiled. Process-wide, and no part of state.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
pub struct Failures {
    /// It had an error or was no boolean.
    pub failed: u64,
    /// It passed its bound.
    pub over_bound: u64,
}

/// A rule of a [`RuleSet`].
#[derive(Debug)]
pub struct Rule {
    source: RuleSource,
    /// Absent while the rule is disabled: it was compiled to be checked and costs nothing.
    compiled: Option<Compiled>,
    failed: AtomicU64,
    over_bound: AtomicU64,
}

impl Rule {
    fn new(source: RuleSource) -> Result<Self, Refusal> {
        let compiled = compile(&source.expression)?;
        let compiled = source.enabled.then_some(compiled);
        Ok(Self { source, compiled, failed: AtomicU64::new(0), over_bound: AtomicU64::new(0) })
    }

    /// The rule as it was written.
    #[must_use]
    pub fn source(&self) -> &RuleSource {
        &self.source
    }

    /// How often it did not come to an answer.
    #[must_use]
    pub fn failures(&self) -> Failures {
        Failures {
            failed: self.failed.load(Ordering::Relaxed),
            over_bound: self.over_bound.load(Ordering::Relaxed),
        }
    }

    /// Whether it decides.
    fn decides(&self, asked: &mut Asked<'_, '_>) -> bool {
        let Some(compiled) = &self.compiled else { return false };
        match asked.evaluate(compiled) {
            Outcome::True => return true,
            Outcome::False => return false,
            Outcome::Failed => self.failed.fetch_add(1, Ordering::Relaxed),
            Outcome::OverBound => self.over_bound.fetch_add(1, Ordering::Relaxed),
        };
        // Nobody may get past a prohibition, or in by a permission, because it could not be read.
        self.source.action == Action::Deny
    }
}

/// What rules decide.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// A rule allows it.
    Allowed {
        /// Its name.
        rule: String,
    },
    /// A rule denies it, or none allows it.
    Denied {
        /// The name of the rule that does.
        rule: Option<String>,
    },
}

impl Verdict {
    /// Whether it is allowed.
    #[must_use]
    pub fn is_allowed(&self) -> bool {
        matches!(self, Self::Allowed { .. })
    }
}

/// Rules in the order in which they are asked. Immutable and cheap to clone; clones count failures together.
#[derive(Clone, Default)]
pub struct RuleSet(Arc<[Arc<Rule>]>);

impl RuleSet {
    /// The set with one rule added, or replaced by name. A replaced rule counts its failures from zero.
    ///
    /// # Errors
    /// `INVALID_BODY` when the expression is refused by [`compile`], or when more than
    /// [`ENABLED_RULES_MAX`] rules would be enabled.
    pub fn with(&self, source: RuleSource) -> Result<Self, Refusal> {
        let rule = Rule::new(source)?;
        let kept = self.0.iter().filter(|other| other.source.name != rule.source.name);
        let mut rules: Vec<_> = kept.cloned().collect();
        let enabled = rules.iter().filter(|other| other.source.enabled).count();
        if rule.source.enabled && enabled >= ENABLED_RULES_MAX {
            return Err(Refusal::new(
                Code::InvalidBody,
                format!("{ENABLED_RULES_MAX} rules are enabled already"),
            )
            .hint("disable one, or join rules of the same action by ||"));
        }
        let order = |rule: &Rule| (std::cmp::Reverse(rule.source.priority), rule.source.name.clone());
        let at = rules.partition_point(|other| order(other) < order(&rule));
        rules.insert(at, Arc::new(rule));
        Ok(Self(rules.into()))
    }

    /// All rules, disabled ones too, in the order in which they are asked: descending priority, then name.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = &Rule> {
        self.0.iter().map(AsRef::as_ref)
    }

    /// Whether there is no rule at all.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Decides a question: the first rule that is true does. A `deny` rule that fails or passes its bound
    /// denies; an `allow` rule that does is no match. Where no rule decides, it is denied.
    #[must_use]
    pub fn decide(&self, question: &Question<'_>) -> Verdict {
        let mut asked = Asked::new(question);
        match self.0.iter().find(|rule| rule.decides(&mut asked)) {
            Some(rule) => {
                let name = rule.source.name.clone();
                match rule.source.action {
                    Action::Allow => Verdict::Allowed { rule: name },
                    Action::Deny => Verdict::Denied { rule: Some(name) },
                }
            }
            None => Verdict::Denied { rule: None },
        }
    }
}

/// Sets are equal when their rules are written the same.
impl PartialEq for RuleSet {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0) || self.iter().map(Rule::source).eq(other.iter().map(Rule::source))
    }
}

impl Eq for RuleSet {}

impl Serialize for RuleSet {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(self.iter().map(Rule::source))
    }
}

impl fmt::Debug for RuleSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.iter().map(Rule::source)).finish()
    }
}
