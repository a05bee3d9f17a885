//! The patterns of `matches`, compiled with their rule.

use std::{any::Any, sync::Arc};

use cel::common::{
    types::Type,
    value::{StaticVal, Val},
};
use regex::{Regex, RegexBuilder};
use spl_kernel::refusal::{Code, Refusal};

/// Largest compiled pattern, in KiB. Room for a few Unicode classes such as `\w`.
const PATTERN_KIB_MAX: u64 = 128;
/// Largest sum of a rule's compiled patterns, in KiB.
const PATTERNS_KIB_MAX: u64 = 512;
/// What a pattern's search may remember between bytes.
const CACHE_BYTES_MAX: usize = 128 * 1024;
/// Deepest nesting of a pattern.
const PATTERN_NESTING_MAX: u32 = 32;

static TYPE: Type = Type::new_unspecified_type("@pattern");

/// A compiled pattern.
#[derive(Debug, Clone)]
pub(super) struct Pattern(Arc<Compiled>);

#[derive(Debug)]
struct Compiled {
    regex: Regex,
    units_per_byte: u64,
}

impl Pattern {
    /// Compiles a pattern under the lowest bound that holds it.
    ///
    /// A search takes at most time proportional to the text's length times the pattern's compiled size: 70 ns or
    /// so for each byte and KiB, which is a unit of work and a half. The size cannot be asked for, but it can be
    /// bounded: the bound that it fits under is its price.
    fn compile(text: &str) -> Result<(Self, u64), Refusal> {
        let mut kib = 1;
        loop {
            let bytes = usize::try_from(kib * 1024).unwrap_or(usize::MAX);
            let built = RegexBuilder::new(text)
                .size_limit(bytes)
                .dfa_size_limit(CACHE_BYTES_MAX)
                .nest_limit(PATTERN_NESTING_MAX)
                .build();
            match built {
                Ok(regex) => {
                    return Ok((Self(Arc::new(Compiled { regex, units_per_byte: kib + kib / 2 + 1 })), kib));
                }
                Err(regex::Error::CompiledTooBig(_)) if kib < PATTERN_KIB_MAX => kib *= 2,
                Err(regex::Error::CompiledTooBig(_)) => return Err(too_large()),
                Err(error) => {
                    // The last line says what is wrong; those above draw where.
                    let message = error.to_string();
                    let reason = message.lines().last().unwrap_or_default().trim_start_matches("error: ");
                    return Err(Refusal::new(
                        Code::InvalidBody,
                        format!("a pattern of matches does not parse: {reason}"),
                    ));
                }
            }
        }
    }

    /// The units of work that a search in so many bytes may take.
    pub(super) fn units(&self, bytes: usize) -> u64 {
        2 + (bytes as u64).saturating_mul(self.0.units_per_byte)
    }

    pub(super) fn is_match(&self, text: &str) -> bool {
        self.0.regex.is_match(text)
    }
}

fn too_large() -> Refusal {
    Refusal::new(
        Code::InvalidBody,
        format!(
            "the patterns of matches are too large: each may take {PATTERN_KIB_MAX} KiB when compiled, all of \
             a rule {PATTERNS_KIB_MAX}"
        ),
    )
    .hint("repeat less, and write [a-z0-9] for \\w where ASCII will do")
}

/// The patterns of one rule, each once.
#[derive(Debug, Default)]
pub(super) struct Patterns {
    entries: Vec<Entry>,
    kib: u64,
}

#[derive(Debug)]
struct Entry {
    text: String,
    variable: String,
    pattern: Pattern,
}

impl Patterns {
    /// The name of the variable that holds a pattern. Names that start with `@` cannot be written in CEL.
    pub(super) fn variable(&mut self, text: &str) -> Result<String, Refusal> {
        if let Some(known) = self.entries.iter().find(|entry| entry.text == text) {
            return Ok(known.variable.clone());
        }
        let (pattern, kib) = Pattern::compile(text)?;
        self.kib += kib;
        if self.kib > PATTERNS_KIB_MAX {
            return Err(too_large());
        }
        let variable = format!("@pattern{}", self.entries.len());
        self.entries.push(Entry { text: text.to_owned(), variable: variable.clone(), pattern });
        Ok(variable)
    }

    /// Each pattern with its variable.
    pub(super) fn variables(&self) -> impl Iterator<Item = (&str, &Pattern)> {
        self.entries.iter().map(|entry| (entry.variable.as_str(), &entry.pattern))
    }
}

impl Val for Pattern {
    fn get_type(&self) -> &Type {
        &TYPE
    }

    fn cel_type() -> &'static Type {
        &TYPE
    }

    fn clone_as_boxed<'v>(&self) -> Box<dyn Val + 'v> {
        Box::new(self.clone())
    }

    fn as_any(&self) -> Option<&dyn Any> {
        Some(self)
    }
}

impl StaticVal for Pattern {}
