//! Checking one line of an import completely, without an instance.

use std::collections::{BTreeMap, btree_map::Entry};

use spl_kernel::{
    draft::{Draft, ENVELOPE_BOUNDS, namespace},
    id::RecordId,
    json::{Bounds, Json, Parser},
    limits,
    refusal::Refusal,
};

use crate::offline::{is_reserved_kind, is_reserved_thread};

/// What an exported record carries beside its own fields: the instance assigned it.
const ASSIGNED: [&str; 4] = ["id", "sequence", "created_at", "object"];

/// What a line is.
pub(super) enum Verdict {
    /// A record to store.
    Good(Checked),
    /// A record that only the instance itself may write.
    Reserved,
    /// Nothing.
    Blank,
    /// No record, and why.
    Bad(String),
}

/// A record that can be stored.
pub(super) struct Checked {
    /// The envelope as it is sent.
    pub(super) envelope: String,
    /// The id it has.
    pub(super) id: RecordId,
    /// The kind of its body.
    pub(super) kind: Option<String>,
}

/// Checks lines; remembers the clocks that were taken, so that two lines of a file cannot claim the same one.
#[derive(Default)]
pub(super) struct Checker {
    taken: BTreeMap<RecordId, RecordId>,
}

impl Checker {
    /// Checks one line.
    pub(super) fn check(&mut self, line: &[u8]) -> Verdict {
        if line.iter().all(u8::is_ascii_whitespace) {
            return Verdict::Blank;
        }
        self.checked(line).unwrap_or_else(|refusal| Verdict::Bad(refusal.message))
    }

    fn checked(&mut self, line: &[u8]) -> Result<Verdict, Refusal> {
        let mut parser = Parser::new(line, ENVELOPE_BOUNDS)?;
        let draft = Draft::read(&mut parser, &ASSIGNED)?;
        parser.end()?;
        if is_reserved_thread(&draft.thread) || draft.facts.kind.as_deref().is_some_and(is_reserved_kind) {
            return Ok(Verdict::Reserved);
        }
        namespace(&draft.facts)?;
        let Some(clock) = draft.clock else {
            return Ok(Verdict::Bad(
                "`clock` is missing: without it a second import would store it again".to_owned(),
            ));
        };
        let id = draft.id_at(clock)?;
        if let Some(claimed) = claimed_id(line)
            && claimed != id.to_string()
        {
            return Ok(Verdict::Bad(format!("its `id` is {claimed}, but its content has the id {id}")));
        }
        let place = RecordId::of(&format!("{}\n{}\n{clock}", draft.thread, draft.actor));
        match self.taken.entry(place) {
            Entry::Vacant(free) => {
                free.insert(id);
            }
            Entry::Occupied(held) if *held.get() != id => {
                return Ok(Verdict::Bad(format!(
                    "another line has clock {clock} of {} on thread {}",
                    draft.actor, draft.thread
                )));
            }
            Entry::Occupied(_) => {}
        }
        let envelope = envelope(&draft, clock);
        Ok(Verdict::Good(Checked { envelope, id, kind: draft.facts.kind }))
    }
}

/// The id that a line says it has.
fn claimed_id(line: &[u8]) -> Option<String> {
    let bounds = Bounds { levels: limits::BODY_LEVELS_MAX + 4, values: limits::BODY_VALUES_MAX + 4096 };
    let json = Json::parse(line, bounds).ok()?;
    json.as_object()?.get("id").map(|id| id.as_str().unwrap_or("not a string").to_owned())
}

/// The envelope of a draft. Its body is canonical already, and so stays what it was.
fn envelope(draft: &Draft, clock: u64) -> String {
    let text = |text: &str| serde_json::Value::from(text).to_string();
    let parents: Vec<String> = draft.parents.iter().map(|id| format!("\"{id}\"")).collect();
    let judged_by = draft.judged_by.map(|id| format!(",\"judged_by\":\"{id}\"")).unwrap_or_default();
    format!(
        "{{\"act\":\"{}\",\"actor\":{},\"body\":{},\"clock\":{clock},\"data_type\":\"{}\"{judged_by},\"parents\":[{}],\"thread\":{}}}",
        draft.act.as_str(),
        text(&draft.actor),
        draft.body,
        draft.data_type.as_str(),
        parents.join(","),
        text(&draft.thread),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    const LINE: &str =
        r#"{"act":"PUT","actor":"did:sync:user:a","body":{"n":1.0},"clock":0,"parents":[],"thread":"t"}"#;

    fn bad(line: &str) -> String {
        match Checker::default().check(line.as_bytes()) {
            Verdict::Bad(why) => why,
            _ => panic!("accepted: {line}"),
        }
    }

    fn good(line: &str) -> Checked {
        match Checker::default().check(line.as_bytes()) {
            Verdict::Good(checked) => checked,
            Verdict::Bad(why) => panic!("refused: {why}"),
            _ => panic!("skipped"),
        }
    }

    #[test]
    fn what_is_sent_is_the_record_itself() {
        let checked = good(LINE);
        assert_eq!(good(&checked.envelope).id, checked.id);
        assert!(checked.envelope.contains(r#""body":{"n":1}"#), "{}", checked.envelope);
    }

    #[test]
    fn an_exported_line_is_held_to_its_id() {
        let id = good(LINE).id;
        let with =
            |id: &str| LINE.replacen('{', &format!(r#"{{"id":"{id}","sequence":9,"created_at":"x","#), 1);
        assert_eq!(good(&with(&id.to_string())).id, id);
        assert!(bad(&with(&"0".repeat(64))).contains("its content has the id"));
    }

    #[test]
    fn two_lines_cannot_have_one_clock() {
        let mut checker = Checker::default();
        assert!(matches!(checker.check(LINE.as_bytes()), Verdict::Good(_)));
        assert!(
            matches!(checker.check(LINE.as_bytes()), Verdict::Good(_)),
            "the same record again is no conflict"
        );
        let other = LINE.replace("1.0", "2");
        assert!(matches!(checker.check(other.as_bytes()), Verdict::Bad(_)));
    }

    #[test]
    fn bad_lines_say_why() {
        assert!(bad("{").len() > 3);
        assert!(bad(&LINE.replace(r#""clock":0,"#, "")).contains("clock"));
        assert!(bad(&LINE.replace("did:sync:user:a", "alice")).contains("actor"));
        assert!(bad(&LINE.replace(r#""n":1.0"#, r#""namespace":"Not/OK""#)).contains("namespace"));
        assert!(matches!(Checker::default().check(b"  "), Verdict::Blank));
    }
}
