//! Records, threads and streams as they go over the wire.

use std::fmt::Write as _;

use bytes::Bytes;
use data_encoding::HEXLOWER;
use serde::Serialize;
use serde_json::{Value, json};
use spl_kernel::{
    id::RecordId,
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
    out.push_str("\"id\":");
    write_id(out, &record.id);
    out.push_str(",\"parents\":[");
    for (i, parent) in record.parents.iter().enumerate() {
        if i > 0 {
            out.push(',');
        }
        write_id(out, parent);
    }
    out.push_str("],\"thread\":");
    write_string(out, &record.thread);
    out.push_str(",\"actor\":");
    write_string(out, &record.actor);
    for part in [",\"act\":\"", record.act.as_str(), "\",\"body\":", &record.body, ",\"clock\":"] {
        out.push_str(part);
    }
    write_number(out, record.clock);
    for part in [",\"data_type\":\"", record.data_type.as_str(), "\",\"judged_by\":"] {
        out.push_str(part);
    }
    match &record.judged_by {
        Some(id) => write_id(out, id),
        None => out.push_str("null"),
    }
    out.push_str(",\"sequence\":");
    write_number(out, stored.sequence);
    let _ = write!(out, ",\"created_at\":\"{}\"", stored.committed_at);
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
        let _ = write!(out, ",\"token_id\":\"{}\"", HEXLOWER.encode(token));
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

fn write_id(out: &mut String, id: &RecordId) {
    out.push('"');
    HEXLOWER.encode_append(id.as_bytes(), out);
    out.push('"');
}

fn write_number(out: &mut String, number: u64) {
    out.push_str(itoa::Buffer::new().format(number));
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
    out.push_str("event: record.created\nid: ");
    write_number(out, sequence);
    out.push_str("\ndata: ");
    let data = out.len();
    out.push_str("{\"id\":");
    write_id(out, &stored.record.id);
    out.push_str(",\"record\":");
    write_record(out, stored, Shown { object: true, provenance });
    out.push_str(",\"cursor\":\"");
    write_number(out, sequence);
    out.push_str("\"}");
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
