//! stub
use serde::Serialize;
use spl_kernel::{refusal::Refusal, time::UnixMillis};
/// a
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub enum Action {
    /// a
    Allow,
    /// d
    Deny,
}
/// s
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct RuleSource {
    /// n
    pub name: String,
    /// a
    pub action: Action,
    /// p
    pub priority: i64,
    /// e
    pub expression: String,
    /// e
    pub enabled: bool,
}
/// R
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(missing_docs)]
pub enum Resource {
    RecordWrite,
    RecordRead,
    ThreadRead,
    ThreadWrite,
    ConfigRead,
    ConfigWrite,
    ServiceAccount,
    Token,
    Invite,
    Federation,
}
/// RS
#[derive(Debug, Clone, Default)]
pub struct RuleSet(Vec<Rule>);
/// R
#[derive(Debug, Clone)]
pub struct Rule(RuleSource);
impl Rule {
    /// s
    #[must_use]
    pub fn source(&self) -> &RuleSource {
        &self.0
    }
    /// f
    #[must_use]
    pub fn failures(&self) -> u64 {
        0
    }
}
impl RuleSet {
    /// w
    /// # Errors
    /// e
    pub fn with(&self, rule: RuleSource) -> Result<Self, Refusal> {
        let mut s = self.clone();
        s.0.retain(|r| r.0.name != rule.name);
        s.0.push(Rule(rule));
        Ok(s)
    }
    /// i
    pub fn iter(&self) -> impl Iterator<Item = &Rule> {
        self.0.iter()
    }
    /// d
    #[must_use]
    pub fn decide(&self, _q: &Question<'_>) -> Verdict {
        Verdict::Denied { rule: None }
    }
}
/// c
/// # Errors
/// e
pub fn compile(_e: &str) -> Result<(), Refusal> {
    Ok(())
}
/// q
#[derive(Debug)]
#[expect(missing_docs)]
pub struct Question<'a> {
    pub resource: Resource,
    pub actor: Option<&'a str>,
    pub namespace: &'a str,
    pub scopes: &'a [String],
    pub record: Option<RecordView<'a>>,
    pub now: UnixMillis,
}
/// v
#[derive(Debug, Clone, Copy)]
#[expect(missing_docs)]
pub struct RecordView<'a> {
    pub parents: &'a [spl_kernel::id::RecordId],
    pub thread: &'a str,
    pub actor: &'a str,
    pub act: spl_kernel::record::Act,
    pub body: &'a str,
    pub clock: Option<u64>,
    pub data_type: spl_kernel::record::DataType,
    pub judged_by: Option<spl_kernel::id::RecordId>,
}
/// v
#[derive(Debug)]
#[expect(missing_docs)]
pub enum Verdict {
    Allowed { rule: String },
    Denied { rule: Option<String> },
}
impl Verdict {
    /// a
    #[must_use]
    pub fn is_allowed(&self) -> bool {
        matches!(self, Self::Allowed { .. })
    }
}
impl Resource {
    /// s
    #[must_use]
    pub fn as_str(self) -> &'static str {
        "x"
    }
}
