//! `spl thread replay`: every record of a thread with the state after it.

use serde_json::json;
use spl_kernel::{
    id::RecordId,
    json::{Bounds, Json},
    limits,
    record::Act,
    thread::{Effect, Step, Summary},
    time::UnixMillis,
};

use crate::{
    client::Client,
    commands::Outcome,
    context::Context,
    error::Failure,
    lookup,
    table::{Cell, Table, Tint},
    text,
    view::{self, Page, Record},
};

/// A record with the status it left the thread in.
struct Replayed {
    record: Record,
    status: &'static str,
    changed: bool,
}

/// Reads the thread, and folds it again, record by record.
pub(crate) fn run(ctx: &Context, thread: &str) -> Outcome {
    let client = ctx.client()?;
    let id = lookup::thread(&client, thread)?;
    let steps = replay(&id, read_all(&client, &id)?);
    let Some(last) = steps.last() else {
        return Err(Failure::refused(format!("the thread {id} has no records"))
            .hint("`spl thread list` shows the threads there are"));
    };
    if ctx.out.is_human() {
        print(ctx, &steps)?;
        let palette = ctx.out.palette();
        let total = text::counted(steps.len() as u64, "record");
        ctx.out.line(format_args!("\n{} after {total}", palette.status(last.status)))?;
    } else {
        for step in &steps {
            let Replayed { record, status, changed } = step;
            ctx.out.json(&json!({
                "object": "thread_step",
                "sequence": record.sequence,
                "id": record.id,
                "clock": record.clock,
                "act": record.act,
                "actor": record.actor,
                "status": status,
                "changed": changed,
                "body": record.body,
            }))?;
        }
    }
    Ok(0)
}

fn read_all(client: &Client, thread: &str) -> Result<Vec<Record>, Failure> {
    let mut records = Vec::new();
    let mut cursor: Option<String> = None;
    loop {
        let request = client.get(&["v1", "threads", thread, "records"]).query("limit", Some(1000));
        let page: Page<Record> = request.query("cursor", cursor.as_ref()).send()?.parse()?;
        records.extend(page.data);
        cursor = page.next_cursor;
        if cursor.is_none() {
            return Ok(records);
        }
    }
}

/// Folds with the kernel's own fold, so that what is shown is what the instance does.
fn replay(thread: &str, records: Vec<Record>) -> Vec<Replayed> {
    let mut summary = Summary::new(thread);
    let mut before = None;
    let mut steps = Vec::with_capacity(records.len());
    for record in records {
        if let (Some(act), Some(id)) = (Act::parse(&record.act), RecordId::parse(&record.id)) {
            summary.fold(&Step {
                sequence: record.sequence,
                id,
                act,
                clock: record.clock,
                committed_at: UnixMillis::default(),
                effect: &effect(act, &record),
                sees_opening: true,
                new_participant: false,
            });
        }
        let status = summary.status.as_str();
        steps.push(Replayed { record, status, changed: before != Some(status) });
        before = Some(status);
    }
    steps
}

fn effect(act: Act, record: &Record) -> Effect {
    let bounds = Bounds { levels: limits::BODY_LEVELS_MAX, values: limits::BODY_VALUES_MAX };
    let body = Json::parse(record.body.to_string().as_bytes(), bounds).ok();
    body.as_ref().and_then(Json::as_object).map(|body| Effect::of(act, body)).unwrap_or_default()
}

fn print(ctx: &Context, steps: &[Replayed]) -> Result<(), Failure> {
    let mut table = Table::new(&["CLOCK", "ACT", "ACTOR", "STATUS", "BODY"], &[0]);
    for step in steps {
        let mark = if step.changed { "→ " } else { "  " };
        let tint = if step.changed { Tint::of_status(step.status) } else { Some(Tint::Dim) };
        table.row(vec![
            Cell::plain(step.record.clock.to_string()),
            Cell::plain(&step.record.act),
            Cell::plain(text::short_actor(&step.record.actor)),
            Cell::tinted(format!("{mark}{}", step.status), tint),
            Cell::plain(view::summary(&step.record.body)),
        ]);
    }
    table.print(&ctx.out)
}
