//! Records, threads and streams as they go over the wire.

use std::fmt::Write as _;

use bytes::Bytes;
use serde::Serialize;
use serde_json::{Value, json};
use spl_kernel::{
    record::StoredRecord,
    thread::{Participant, Status, Summary},
};
use spl_projections::visibility::Viewer;

/// Appends a record as JSON, its body as stored.
pub(crate) fn write_record(out: &mut String, stored: &StoredRecord, shown: Shown) {
    let record = &stored.record;
    out.push('{');
    if shown.object {
        out.push_str("\"object\":\"record\",");
    }
    let _ = write!(out, "\"id\":\"{}\",\"parents\":[", record.id);
    for (i, parent) in record.parents.iter().enumerate() {
        let _ = write!(out, "{}\"{parent}\"", if i > 0 { "," } else { "" });
    }
    out.push_str("],\"thread\":");
    write_string(out, &record.thread);
    out.push_str(",\"actor\":");
    write_string(out, &record.actor);
    let _ = write!(
        out,
        ",\"act\":\"{}\",\"body\":{},\"clock\":{}",
        record.act.as_str(),
        record.body,
        record.clock
    );
    let _ = write!(out, ",\"data_type\":\"{}\",\"judged_by\":", record.data_type.as_str());
    match record.judged_by {
        Some(id) => {
            let _ = write!(out, "\"{id}\"");
        }
        None => out.push_str("null"),
    }
    let _ = write!(out, ",\"sequence\":{},\"created_at\":\"{}\"", stored.sequence, stored.committed_at);
    if shown.provenance {
        write_provenance(out, stored);
    }
    out.push('}');
}

/// Who wrote a record and how: for admins.
fn write_provenance(out: &mut String, stored: &StoredRecord) {
    let provenance = &stored.provenance;
    let _ = write!(out, ",\"origin\":\"{}\"", provenance.origin.as_str());
    if let Some(account) = &provenance.service_account_id {
        out.push_str(",\"service_account_id\":");
        write_string(out, account);
    }
    if let Some(token) = &provenance.token_id {
        let _ = write!(out, ",\"token_id\":\"{}\"", data_encoding::HEXLOWER.encode(token));
    }
}

/// What of a record is written beside its fields, position and time.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Shown {
    /// `object: "record"`
    pub(crate) object: bool,
    /// Origin, account and token.
    pub(crate) provenance: bool,
}

fn write_string(out: &mut String, text: &str) {
    if text.bytes().all(|b| b >= b' ' && b != b'"' && b != b'\\') {
        out.push('"');
        out.push_str(text);
        out.push('"');
        return;
    }
    // A string always serialises.
    out.push_str(&serde_json::to_string(text).unwrap_or_default());
}

/// A record as JSON text, as a viewer sees it.
pub(crate) fn record(stored: &StoredRecord, viewer: &Viewer) -> String {
    let mut out = String::with_capacity(stored.record.body.len() + 512);
    write_record(&mut out, stored, Shown { object: true, provenance: viewer.sees_provenance() });
    out
}

/// What a writer who may not read is told of its record.
pub(crate) fn receipt(stored: &StoredRecord) -> String {
    format!("{{\"object\":\"record\",\"id\":\"{}\",\"sequence\":{}}}", stored.record.id, stored.sequence)
}

/// A record as a stream frame.
pub(crate) fn frame(stored: &StoredRecord, provenance: bool) -> Bytes {
    let mut out = String::with_capacity(stored.record.body.len() + 768);
    write_frame(&mut out, stored, provenance);
    out.into()
}

/// Appends a record as a stream frame, on one line for every reader: some take U+0085, U+2028 and U+2029 for ends of
/// lines, so these are escaped.
pub(crate) fn write_frame(out: &mut String, stored: &StoredRecord, provenance: bool) {
    let sequence = stored.sequence;
    let _ = write!(out, "event: record.created\nid: {sequence}\ndata: ");
    let data = out.len();
    let _ = write!(out, "{{\"id\":\"{}\",\"record\":", stored.record.id);
    write_record(out, stored, Shown { object: true, provenance });
    let _ = write!(out, ",\"cursor\":\"{sequence}\"}}");
    // Most text is ASCII, which is seen much sooner than that it has none of the three.
    if !out.as_bytes().get(data..).unwrap_or_default().is_ascii() {
        let line = one_line(out.split_off(data));
        out.push_str(&line);
    }
    out.push_str("\n\n");
}

/// JSON text on one line for every reader.
pub(crate) fn one_line(data: String) -> String {
    if !data.contains(['\u{85}', '\u{2028}', '\u{2029}']) {
        return data;
    }
    data.replace('\u{85}', "\\u0085").replace('\u{2028}', "\\u2028").replace('\u{2029}', "\\u2029")
}

/// A stream frame. `data` is one line.
pub(crate) fn event(name: &str, id: Option<u64>, data: &str) -> Bytes {
    let mut out = format!("event: {name}\n");
    if let Some(id) = id {
        let _ = writeln!(out, "id: {id}");
    }
    let _ = write!(out, "data: {data}\n\n");
    out.into()
}

/// A thread's row.
#[derive(Debug, Serialize)]
pub(crate) struct ThreadRow<'a> {
    object: &'static str,
    id: &'a str,
    record_count: u64,
    first_clock: u64,
    last_clock: u64,
    last_sequence: u64,
    last_activity: String,
    participants: u64,
    status: &'static str,
}

impl<'a> From<&'a Summary> for ThreadRow<'a> {
    fn from(summary: &'a Summary) -> Self {
        Self {
            object: "thread",
            id: &summary.thread,
            record_count: summary.record_count,
            first_clock: summary.first_clock,
            last_clock: summary.last_clock,
            last_sequence: summary.last_sequence,
            last_activity: summary.last_activity.to_string(),
            participants: summary.participants,
            status: summary.status.as_str(),
        }
    }
}

/// A participant's row.
pub(crate) fn participant(part: &Participant) -> Value {
    json!({
        "object": "participant",
        "actor": part.actor,
        "record_count": part.record_count,
        "first_clock": part.first_clock,
        "last_clock": part.last_clock,
        "last_sequence": part.last_sequence,
    })
}

/// The status of a task: inbox, active, done or cancelled.
pub(crate) fn task_status(summary: &Summary) -> &'static str {
    match (summary.status, &summary.task) {
        (Status::Closed, _) => "done",
        (Status::Cancelled, _) => "cancelled",
        (_, Some(task)) if task.started => "active",
        _ => "inbox",
    }
}
