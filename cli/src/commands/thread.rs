//! `spl thread`: list, show, records; `watch` and `replay` have files of their own.

mod replay;
mod watch;

use clap::{Args, Subcommand};
use serde::Deserialize;

use crate::{
    clock,
    commands::Outcome,
    context::Context,
    lookup, offline,
    table::{Cell, Table, Tint},
    text,
    view::{self, Page, Record},
};

/// What to do with threads.
#[derive(Subcommand)]
pub(crate) enum ThreadCommand {
    /// List threads, in the order of their first record
    List(ListArgs),
    /// Show where a thread stands, and who takes part
    #[command(after_help = "\
Examples:
  spl thread show th_4be1c0ffee12     the first digits of an id are enough
  spl thread show music.library -o json")]
    Show {
        /// The thread
        thread: String,
    },
    /// List the records of a thread
    Records(RecordsArgs),
    /// Follow a thread: print each record as it is stored
    Watch(watch::WatchArgs),
    /// Show each record of a thread with the state after it
    #[command(after_help = "\
Examples:
  spl thread replay th_4be1c0ffee12

An arrow marks each record that changed the thread's status.")]
    Replay {
        /// The thread
        thread: String,
    },
}

/// Which page of a list.
#[derive(Args)]
#[command(after_help = "\
Examples:
  spl thread list
  spl thread list --limit 10 -o stream-json | jq -r .id")]
pub(crate) struct PageArgs {
    /// At most this many
    #[arg(long, value_name = "N", default_value_t = 50)]
    limit: u32,
    /// Go on where an earlier page ended
    #[arg(long)]
    cursor: Option<String>,
}

/// Which records of a thread.
#[derive(Args)]
#[command(after_help = "\
Examples:
  spl thread records debian.bookworm.python --limit 20
  spl thread records th_4be1c0ffee12 --since 5 -o json")]
pub(crate) struct RecordsArgs {
    /// The thread
    thread: String,
    /// Only clocks from this one on
    #[arg(long, value_name = "CLOCK")]
    since: Option<u64>,
    /// At most this many
    #[arg(long, value_name = "N", default_value_t = 50)]
    limit: u32,
    /// Go on where an earlier page ended
    #[arg(long)]
    cursor: Option<String>,
}

/// A thread in one line.
#[derive(Debug, Deserialize)]
struct ThreadRow {
    id: String,
    record_count: u64,
    first_clock: u64,
    last_clock: u64,
    last_activity: String,
    participants: u64,
    status: String,
}

/// One actor's part in a thread.
#[derive(Debug, Deserialize)]
struct Participant {
    actor: String,
    record_count: u64,
    first_clock: u64,
    last_clock: u64,
}

/// Runs one of them.
pub(crate) fn run(ctx: &Context, command: ThreadCommand) -> Outcome {
    match command {
        ThreadCommand::List(page) => list(ctx, &page),
        ThreadCommand::Show { thread } => show(ctx, &thread),
        ThreadCommand::Records(args) => records(ctx, &args),
        ThreadCommand::Watch(args) => watch::run(ctx, &args),
        ThreadCommand::Replay { thread } => replay::run(ctx, &thread),
    }
}

/// Which threads to list.
#[derive(Args)]
pub(crate) struct ListArgs {
    #[command(flatten)]
    page: PageArgs,
    /// Show the threads that the instance itself writes too, where the token may see them
    #[arg(long)]
    reserved: bool,
}

fn list(ctx: &Context, args: &ListArgs) -> Outcome {
    let ListArgs { page, reserved } = args;
    let client = ctx.client()?;
    let answer = client
        .get(&["v1", "threads"])
        .query("limit", Some(page.limit))
        .query("cursor", page.cursor.as_ref())
        .send()?;
    if !ctx.out.is_human() {
        ctx.out.answer(&answer.body)?;
        return Ok(0);
    }
    let mut threads: Page<ThreadRow> = answer.parse()?;
    threads.data.retain(|thread| *reserved || !offline::is_reserved_thread(&thread.id));
    if threads.data.is_empty() && threads.next_cursor.is_none() {
        ctx.out.line(ctx.out.palette().dim("no threads yet; open one with `spl intend \"…\"`"))?;
        return Ok(0);
    }
    let now = clock::now();
    let mut table = Table::new(&["STATUS", "RECORDS", "ACTORS", "LAST ACTIVITY", "THREAD"], &[1, 2]);
    for thread in &threads.data {
        table.row(vec![
            Cell::tinted(&thread.status, Tint::of_status(&thread.status)),
            Cell::plain(text::count(thread.record_count)),
            Cell::plain(text::count(thread.participants)),
            Cell::plain(text::ago(&thread.last_activity, now)),
            Cell::plain(ctx.out.id(&thread.id)),
        ]);
    }
    table.print(&ctx.out)?;
    threads.note_rest();
    Ok(0)
}

fn show(ctx: &Context, thread: &str) -> Outcome {
    let client = ctx.client()?;
    let id = lookup::thread(&client, thread)?;
    let answer = client.get(&["v1", "threads", &id]).send()?;
    if !ctx.out.is_human() {
        ctx.out.answer(&answer.body)?;
        return Ok(0);
    }
    let row: ThreadRow = answer.parse()?;
    let participants: Page<Participant> =
        client.get(&["v1", "threads", &id, "participants"]).send()?.parse()?;
    let opening = client.get(&["v1", "records"]).query("thread", Some(&id)).query("act", Some("INTEND"));
    let opening: Page<Record> = opening.query("limit", Some(1)).send()?.parse()?;

    let (out, palette) = (&ctx.out, ctx.out.palette());
    let goal = opening.data.first().map(|record| view::summary(&record.body)).unwrap_or_default();
    out.line(format_args!("{} {}", palette.status(&text::safe(&row.status)), palette.bold(goal)))?;
    out.field("thread", text::safe(&row.id))?;
    if let Some(opening) = opening.data.first() {
        out.field("opened by", text::safe(&opening.id))?;
    }
    out.field("records", text::count(row.record_count))?;
    out.field("clocks", format_args!("{} … {}", row.first_clock, row.last_clock))?;
    out.field("last activity", text::ago(&row.last_activity, clock::now()))?;
    out.line("")?;
    let mut table = Table::new(&["RECORDS", "CLOCKS", "PARTICIPANT"], &[0]);
    for participant in &participants.data {
        table.row(vec![
            Cell::plain(text::count(participant.record_count)),
            Cell::plain(format!("{} … {}", participant.first_clock, participant.last_clock)),
            Cell::plain(&participant.actor),
        ]);
    }
    table.print(out)?;
    Ok(0)
}

fn records(ctx: &Context, args: &RecordsArgs) -> Outcome {
    let client = ctx.client()?;
    let id = lookup::thread(&client, &args.thread)?;
    let answer = client
        .get(&["v1", "threads", &id, "records"])
        .query("since", args.since)
        .query("limit", Some(args.limit))
        .query("cursor", args.cursor.as_ref())
        .send()?;
    if !ctx.out.is_human() {
        ctx.out.answer(&answer.body)?;
        return Ok(0);
    }
    let page: Page<Record> = answer.parse()?;
    view::records(&ctx.out, &page.data, false)?;
    page.note_rest();
    Ok(0)
}
