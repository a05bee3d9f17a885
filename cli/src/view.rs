//! Records and lists as people see them.

use jiff::Timestamp;
use serde::Deserialize;
use serde_json::Value;

use crate::{
    clock,
    error::Failure,
    output::{self, Output},
    table::{Cell, Table, Tint},
    text,
};

/// A record, as far as the instance shows it.
#[derive(Debug, Clone, Deserialize)]
#[serde(default)]
#[derive(Default)]
pub(crate) struct Record {
    pub(crate) id: String,
    pub(crate) parents: Vec<String>,
    pub(crate) thread: String,
    pub(crate) actor: String,
    pub(crate) act: String,
    pub(crate) body: Value,
    pub(crate) clock: u64,
    pub(crate) data_type: String,
    pub(crate) judged_by: Option<String>,
    pub(crate) sequence: u64,
    pub(crate) created_at: String,
}

/// A page of a list.
#[derive(Debug, Deserialize)]
pub(crate) struct Page<T> {
    /// The elements.
    pub(crate) data: Vec<T>,
    /// Where the next page starts.
    #[serde(default)]
    pub(crate) next_cursor: Option<String>,
}

impl<T> Page<T> {
    /// Says where the list goes on, if it does.
    pub(crate) fn note_rest(&self) {
        if let Some(cursor) = &self.next_cursor {
            output::note(format_args!("there is more: repeat with --cursor {}", text::safe(cursor)));
        }
    }
}

/// The one line that says most about a body.
pub(crate) fn summary(body: &Value) -> String {
    const TELLING: [&str; 13] = [
        "goal",
        "summary",
        "observation",
        "insight",
        "action",
        "text",
        "message",
        "title",
        "description",
        "reason",
        "name",
        "topic",
        "status",
    ];
    let telling = TELLING.iter().find_map(|name| body.get(name).and_then(Value::as_str));
    let kind = body.get("kind").and_then(Value::as_str);
    let told = match (kind, telling) {
        (Some(kind), Some(telling)) => format!("[{kind}] {telling}"),
        (None, Some(telling)) => telling.to_owned(),
        (_, None) => body.to_string(),
    };
    text::safe(&told).into_owned()
}

/// Prints records as a table.
pub(crate) fn records(out: &Output, records: &[Record], with_thread: bool) -> Result<(), Failure> {
    if records.is_empty() {
        return out.line(out.palette().dim("no records"));
    }
    let now = clock::now();
    let mut table = if with_thread {
        Table::new(&["SEQ", "WHEN", "THREAD", "CLOCK", "ACT", "ACTOR", "ID", "BODY"], &[0, 3])
    } else {
        Table::new(&["SEQ", "WHEN", "CLOCK", "ACT", "ACTOR", "ID", "BODY"], &[0, 2])
    };
    for record in records {
        let mut row = vec![
            Cell::tinted(record.sequence.to_string(), Tint::Dim),
            Cell::plain(text::ago(&record.created_at, now)),
        ];
        if with_thread {
            row.push(Cell::plain(out.id(&record.thread)));
        }
        row.extend([
            Cell::plain(record.clock.to_string()),
            Cell::plain(&record.act),
            Cell::plain(text::short_actor(&record.actor)),
            Cell::tinted(out.id(&record.id), Tint::Dim),
            Cell::plain(summary(&record.body)),
        ]);
        table.row(row);
    }
    table.print(out)
}

/// Prints one record in full.
pub(crate) fn record(out: &Output, record: &Record) -> Result<(), Failure> {
    let palette = out.palette();
    let now = clock::now();
    out.line(format_args!(
        "{} {}",
        palette.act(&record.act, &text::safe(&record.act)),
        palette.bold(summary(&record.body))
    ))?;
    out.field("id", text::safe(&record.id))?;
    out.field("sequence", record.sequence)?;
    out.field("thread", text::safe(&record.thread))?;
    out.field("actor", text::safe(&record.actor))?;
    out.field("clock", record.clock)?;
    out.field("data type", text::safe(&record.data_type))?;
    let created = text::safe(&record.created_at);
    out.field("created", format_args!("{created} ({})", text::ago(&record.created_at, now)))?;
    for parent in &record.parents {
        out.field("parent", text::safe(parent))?;
    }
    if let Some(judge) = &record.judged_by {
        out.field("judged by", text::safe(judge))?;
    }
    let body = serde_json::to_string_pretty(&record.body)
        .map_err(|e| Failure::refused(format!("cannot show the body: {e}")))?;
    out.line("")?;
    out.line(text::safe_lines(&body))
}

/// One line for a record that has just come in.
pub(crate) fn live_line(out: &Output, record: &Record, now: Timestamp) -> String {
    let palette = out.palette();
    let time = text::clock_time(&record.created_at, now);
    let act = text::safe(&record.act);
    let head = format!(
        "{}  {:>5}  {}  {:<16}  ",
        palette.dim(&time),
        record.clock,
        palette.act(&record.act, &format!("{act:<6}")),
        text::short_actor(&record.actor),
    );
    let taken = time.chars().count() + 2 + 5 + 2 + 6 + 2 + 16 + 2;
    let room = out.width().map_or(120, |width| width.saturating_sub(taken).max(16));
    format!("{head}{}", text::cut(&summary(&record.body), room))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn the_most_telling_member_is_the_summary() {
        assert_eq!(summary(&json!({"kind": "a.b.c", "goal": "ship"})), "[a.b.c] ship");
        assert_eq!(summary(&json!({"observation": "green\u{1b}"})), "green\\u{1b}");
        assert_eq!(summary(&json!({"n": 1})), r#"{"n":1}"#);
    }

    #[test]
    fn an_answer_of_few_members_is_enough() {
        let record: Record =
            serde_json::from_value(json!({"object": "record", "id": "x", "sequence": 3})).unwrap();
        assert_eq!(record.sequence, 3);
    }
}
