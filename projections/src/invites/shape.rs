//! What an invite looks like, whether it is issued or kept as a template.

use spl_kernel::refusal::{Code, Refusal};

use super::{Accepts, NOTES_CHARS_MAX, Target};
use crate::{
    names::check_name,
    scope::{PRESET_DEFAULT, Scope, Scopes},
    templates::Template,
};

/// How long an invite can be redeemed unless said, in seconds: a day.
const TTL_DEFAULT: u64 = 86_400;
/// Shortest and longest such time: a minute, thirty days.
const TTL: std::ops::RangeInclusive<u64> = 60..=2_592_000;
/// How often an invite can be used.
const USES: std::ops::RangeInclusive<u64> = 1..=1000;
/// How long a bearer lives unless said, in seconds: ninety days.
const BEARER_TTL_DEFAULT: u64 = 7_776_000;
/// Shortest and longest such time: a minute, a year.
const BEARER_TTL: std::ops::RangeInclusive<u64> = 60..=31_536_000;

/// What a request says; what is `None` is left to a template, then to the default.
#[derive(Debug, Clone, Default)]
pub struct Shape {
    /// What bearers may do.
    pub scopes: Option<Scopes>,
    /// How long the invite can be redeemed, in seconds.
    pub ttl_seconds: Option<u64>,
    /// How often.
    pub max_uses: Option<u64>,
    /// What it reaches.
    pub target: Option<Target>,
    /// Who may redeem it.
    pub accepts: Option<Accepts>,
    /// What people call it.
    pub device_label: Option<String>,
    /// What they note on it.
    pub notes: Option<String>,
    /// How long bearers live, in seconds.
    pub bearer_ttl_seconds: Option<u64>,
}

/// The same with everything settled, and within its bounds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settled {
    /// What is granted, not yet narrowed.
    pub scopes: Scopes,
    /// What bearers hold: narrowed to the target.
    pub held: Scopes,
    /// In seconds.
    pub ttl_seconds: u32,
    /// How often.
    pub max_uses: u32,
    /// What it reaches.
    pub target: Target,
    /// Who may redeem it.
    pub accepts: Accepts,
    /// What people call it.
    pub device_label: Option<String>,
    /// What they note on it.
    pub notes: Option<String>,
    /// In seconds, where it was said.
    pub bearer_ttl_seconds: Option<u32>,
    /// Whether the template's scopes were not taken, because they are wider than the default.
    pub scopes_left_out: bool,
}

fn invalid(message: String) -> Refusal {
    Refusal::new(Code::InvalidBody, message)
}

fn within(name: &str, value: u64, range: &std::ops::RangeInclusive<u64>, what: &str) -> Result<u32, Refusal> {
    let fits = range.contains(&value).then(|| u32::try_from(value).ok()).flatten();
    fits.ok_or_else(|| invalid(format!("`{name}` is {} to {}{what}", range.start(), range.end())))
}

fn check_notes(notes: Option<&str>) -> Result<(), Refusal> {
    let plain = |c: char| !c.is_control() || matches!(c, '\n' | '\t');
    if notes.is_none_or(|n| n.chars().count() <= NOTES_CHARS_MAX && n.chars().all(plain)) {
        return Ok(());
    }
    Err(invalid(format!("`notes` is at most {NOTES_CHARS_MAX} characters, without control characters")))
}

impl Shape {
    /// Fills in what is left out, and checks all of it.
    ///
    /// # Errors
    /// `INVALID_BODY` or `INVALID_NAME`.
    pub fn settle(&self, template: Option<&Template>) -> Result<Settled, Refusal> {
        let of = template.map(|t| &t.shape);
        let usual = Scopes::preset(PRESET_DEFAULT).unwrap_or_default();
        // What is wider than the default is handed out only where somebody says so now.
        let wide = of.is_some_and(|t| !t.scopes.within(&usual));
        let from_template = of.map(|t| t.scopes.clone()).filter(|_| !wide);
        let scopes_left_out = wide && self.scopes.is_none();
        let scopes = self.scopes.clone().or(from_template).unwrap_or(usual);
        if scopes.is_empty() {
            return Err(invalid("`scopes` is empty: nobody could do anything with it".into()));
        }
        let target = self.target.clone().or_else(|| of.map(|t| t.target.clone())).unwrap_or(Target::Instance);
        let held = target.narrow(&scopes).ok_or_else(|| {
            invalid("with a `scope_target` only records:read and records:write are granted, there alone".into())
                .hint("the target is a thread that is not reserved, or a namespace: letters, digits and . _ : / @ -")
        })?;
        if held.is_narrowed() && !held.hold(Scope::RecordsRead) && !held.hold(Scope::RecordsWrite) {
            return Err(invalid(
                "`scopes` holds grains only: they narrow records:read and records:write".into(),
            )
            .hint("name records:read, records:write or both beside them"));
        }
        let ttl = self.ttl_seconds.or(of.map(|t| t.ttl_seconds.into())).unwrap_or(TTL_DEFAULT);
        let uses = self.max_uses.or(of.map(|t| t.max_uses.into())).unwrap_or(1);
        let bearer_ttl = self.bearer_ttl_seconds.or(of.and_then(|t| t.bearer_ttl_seconds).map(u64::from));
        let device_label = self.device_label.clone().or_else(|| of.and_then(|t| t.device_label.clone()));
        let notes = self.notes.clone().or_else(|| of.and_then(|t| t.notes.clone()));
        device_label.as_deref().map(check_name).transpose()?;
        check_notes(notes.as_deref())?;
        Ok(Settled {
            scopes,
            held,
            ttl_seconds: within("ttl_seconds", ttl, &TTL, " seconds")?,
            max_uses: within("max_uses", uses, &USES, "")?,
            target,
            accepts: self.accepts.or(of.map(|t| t.accepts)).unwrap_or(Accepts::GUEST),
            device_label,
            notes,
            bearer_ttl_seconds: bearer_ttl
                .map(|seconds| within("bearer_ttl_seconds", seconds, &BEARER_TTL, " seconds"))
                .transpose()?,
            scopes_left_out,
        })
    }
}

impl Settled {
    /// How long bearers live, in seconds.
    #[must_use]
    pub fn bearer_ttl(&self) -> u32 {
        // The default is far below 2^32.
        self.bearer_ttl_seconds.unwrap_or(u32::try_from(BEARER_TTL_DEFAULT).unwrap_or(u32::MAX))
    }
}
