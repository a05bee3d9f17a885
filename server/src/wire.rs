//! Records, threads and streams as they go over the wire.

use std::fmt::Write as _;

use bytes::Bytes;
use data_encoding::HEXLOWER;
use serde::Serialize;
use serde_json::{Value, json};
use spl_kernel::{
    entry::EntryRef,
    id::RecordId,
    record::{Act, DataType, Origin, StoredRecord},
    thread::{Participant, Status, Summary},
    time::UnixMillis,
};
use spl_projections::visibility::Viewer;

/// The ids of a record's parents, wherever they are.
enum Parents<'a> {
    Stored(&'a [RecordId]),
    Encoded(&'a [[u8; 32]]),
}

/// What is shown of a record, borrowed from wherever it is.
pub(crate) struct Fields<'a> {
    id: RecordId,
    parents: Parents<'a>,
    thread: &'a str,
    actor: &'a str,
    act: Act,
    body: &'a str,
    clock: u64,
    data_type: DataType,
    judged_by: Option<RecordId>,
    sequence: u64,
    committed_at: UnixMillis,
    origin: Origin,
    service_account_id: Option<&'a str>,
    token_id: Option<[u8; 32]>,
}

impl<'a> From<&'a StoredRecord> for Fields<'a> {
    fn from(stored: &'a StoredRecord) -> Self {
        let (record, provenance) = (&stored.record, &stored.provenance);
        Self {
            id: record.id,
            parents: Parents::Stored(&record.parents),
            thread: &record.thread,
            actor: &record.actor,
            act: record.act,
            body: &record.body,
            clock: record.clock,
            data_type: record.data_type,
            judged_by: record.judged_by,
            sequence: stored.sequence,
            committed_at: stored.committed_at,
            origin: provenance.origin,
            service_account_id: provenance.service_account_id.as_deref(),
            token_id: provenance.token_id,
        }
    }
}

impl<'a> Fields<'a> {
    /// Position.
    pub(crate) fn sequence(&self) -> u64 {
        self.sequence
    }

    /// Of a record where it lies in the log.
    pub(crate) fn of_entry(sequence: u64, committed_at: UnixMillis, entry: &EntryRef<'a>) -> Self {
        Self {
            id: entry.id(),
            parents: Parents::Encoded(entry.parents()),
            thread: entry.thread(),
            actor: entry.actor(),
            act: entry.act(),
            body: entry.body(),
            clock: entry.clock(),
            data_type: entry.data_type(),
            judged_by: entry.judged_by(),
            sequence,
            committed_at,
            origin: entry.origin(),
            service_account_id: entry.service_account_id(),
            token_id: entry.token_id(),
        }
    }
}

/// Appends a record as JSON, its body as stored.
pub(crate) fn write_record<'a>(out: &mut String, record: impl Into<Fields<'a>>, shown: Shown) {
    let record = &record.into();
    out.push('{');
    if shown.object {
        out.push_str("\"object\":\"record\",");
    }
    out.push_str("\"id\":");
    write_id(out, record.id.as_bytes());
    out.push_str(",\"parents\":[");
    match record.parents {
        Parents::Stored(ids) => write_ids(out, ids.iter().map(RecordId::as_bytes)),
        Parents::Encoded(ids) => write_ids(out, ids.iter()),
    }
    out.push_str("],\"thread\":");
    write_string(out, record.thread);
    out.push_str(",\"actor\":");
    write_string(out, record.actor);
    for part in [",\"act\":\"", record.act.as_str(), "\",\"body\":", record.body, ",\"clock\":"] {
        out.push_str(part);
    }
    write_number(out, record.clock);
    for part in [",\"data_type\":\"", record.data_type.as_str(), "\",\"judged_by\":"] {
        out.push_str(part);
    }
    match &record.judged_by {
        Some(id) => write_id(out, id.as_bytes()),
        None => out.push_str("null"),
    }
    out.push_str(",\"sequence\":");
    write_number(out, record.sequence);
    let _ = write!(out, ",\"created_at\":\"{}\"", record.committed_at);
    if shown.provenance {
        write_provenance(out, record);
    }
    out.push('}');
}

/// Who wrote a record and how: for admins.
fn write_provenance(out: &mut String, record: &Fields<'_>) {
    let _ = write!(out, ",\"origin\":\"{}\"", record.origin.as_str());
    if let Some(account) = record.service_account_id {
        out.push_str(",\"service_account_id\":");
        write_string(out, account);
    }
    if let Some(token) = &record.token_id {
        out.push_str(",\"token_id\":");
        write_id(out, token);
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

fn write_id(out: &mut String, id: &[u8; 32]) {
    out.push('"');
    HEXLOWER.encode_append(id, out);
    out.push('"');
}

fn write_ids<'a>(out: &mut String, ids: impl Iterator<Item = &'a [u8; 32]>) {
    for (i, id) in ids.enumerate() {
        if i > 0 {
            out.push(',');
        }
        write_id(out, id);
    }
}

fn write_number(out: &mut String, number: u64) {
    out.push_str(itoa::Buffer::new().format(number));
}

fn write_string(out: &mut String, text: &str) {
    // Through all of it, rather than to the first: that is several bytes at a time.
    let special = |b: u8| b < b' ' || b == b'"' || b == b'\\';
    if !text.bytes().fold(false, |found, b| found | special(b)) {
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

/// A receipt, at most: 64 digits of an id, up to 20 of a position, and what is around them.
const RECEIPT_BYTES: usize = 128;

/// What a writer who may not read is told of its record.
pub(crate) fn receipt(stored: &StoredRecord) -> String {
    let mut out = String::with_capacity(RECEIPT_BYTES);
    out.push_str("{\"object\":\"record\",\"id\":");
    write_id(&mut out, stored.record.id.as_bytes());
    out.push_str(",\"sequence\":");
    write_number(&mut out, stored.sequence);
    out.push('}');
    out
}

/// A record as a stream frame.
pub(crate) fn frame(stored: &StoredRecord, provenance: bool) -> Bytes {
    let mut out = String::with_capacity(stored.record.body.len() + 768);
    write_frame(&mut out, stored, provenance);
    out.into()
}

/// Appends a record as a stream frame, on one line for every reader: some take U+0085, U+2028 and U+2029 for ends of
/// lines, so these are escaped.
pub(crate) fn write_frame<'a>(out: &mut String, record: impl Into<Fields<'a>>, provenance: bool) {
    let record = record.into();
    let sequence = record.sequence;
    out.push_str("event: record.created\nid: ");
    write_number(out, sequence);
    out.push_str("\ndata: ");
    let data = out.len();
    out.push_str("{\"id\":");
    write_id(out, record.id.as_bytes());
    out.push_str(",\"record\":");
    write_record(out, record, Shown { object: true, provenance });
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
