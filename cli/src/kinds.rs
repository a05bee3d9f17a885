//! Kinds that do not follow the grammar: records that have them are written, and their sender is told.

use std::collections::BTreeMap;

use serde_json::Value;
use spl_kernel::kind;

use crate::{output, text};

/// How many kinds of an import are told.
const TOLD_MAX: usize = 5;
/// How much of a kind is shown.
const SHOWN_CHARS: usize = 100;

/// Kinds that depart from the grammar.
#[derive(Debug, Default)]
pub(crate) struct Departures {
    /// The first of them, and why.
    told: BTreeMap<String, String>,
    records: u64,
}

impl Departures {
    /// Warns once of each kind in an envelope, or in all of `{"records":[…]}`.
    pub(crate) fn warn_of(sent: &Value) {
        let mut departures = Self::default();
        let one = std::slice::from_ref(sent);
        for envelope in sent.get("records").and_then(Value::as_array).map_or(one, Vec::as_slice) {
            match envelope.pointer("/body/kind") {
                None => {}
                Some(Value::String(kind)) => departures.look_at(kind, usize::MAX),
                Some(other) => departures.add(&other.to_string(), "it is no string", usize::MAX),
            }
        }
        departures.warn();
    }

    /// Looks at the kind of one record of an import.
    pub(crate) fn count(&mut self, kind: &str) {
        self.look_at(kind, TOLD_MAX);
    }

    /// Warns of how many records there are, and of the first kinds.
    pub(crate) fn warn_with_count(&self) {
        if self.records > 0 {
            let records = text::counted(self.records, "record");
            output::note(format_args!(
                "warning: {records} of kinds that do not follow the grammar; the first of them:"
            ));
            self.warn();
        }
    }

    fn look_at(&mut self, kind: &str, most: usize) {
        if let Err(why) = kind::check(kind) {
            self.add(kind, &why.to_string(), most);
        }
    }

    fn add(&mut self, kind: &str, why: &str, most: usize) {
        self.records += 1;
        let shown: String = kind.chars().take(SHOWN_CHARS).collect();
        if self.told.len() < most {
            self.told.entry(shown).or_insert_with(|| why.chars().take(2 * SHOWN_CHARS).collect());
        }
    }

    fn warn(&self) {
        for (kind, why) in &self.told {
            output::note(format_args!("warning: kind `{}`: {}", text::safe(kind), text::safe(why)));
        }
    }
}
