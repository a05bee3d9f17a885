//! `spl thread watch`.

use clap::Args;
use serde_json::Value;

use crate::{
    clock,
    commands::Outcome,
    context::Context,
    error::Failure,
    lookup,
    sse::{self, Event, Watch},
    text,
    view::{self, Record},
};

/// What to follow, and for how long.
#[derive(Args)]
#[command(after_help = "\
Examples:
  spl thread watch th_4be1c0ffee12                  from now on, until Ctrl-C
  spl thread watch music.library --since-clock 0    what is stored first, then what comes
  spl thread watch music.library --for 1 -o json    wait for the next record

A stream that breaks off is resumed where it was: nothing is lost and nothing comes twice.
Times are UTC.")]
pub(crate) struct WatchArgs {
    /// The thread
    thread: String,
    /// First print the stored records from this clock on
    #[arg(long, value_name = "CLOCK")]
    since_clock: Option<u64>,
    /// End after this many records
    #[arg(long = "for", value_name = "COUNT", value_parser = clap::value_parser!(u64).range(1..))]
    count: Option<u64>,
}

/// Prints records as they come.
pub(crate) fn run(ctx: &Context, args: &WatchArgs) -> Outcome {
    let client = ctx.client()?;
    let thread = lookup::thread(&client, &args.thread)?;
    let request = || client.get(&["v1", "threads", &thread, "watch"]).query("since_clock", args.since_clock);
    let greeting = || format!("watching {} (Ctrl-C ends)", text::short_id(&thread));
    let greeting = ctx.out.is_human().then(greeting);
    let watch = Watch { greeting, name: "record.created", count: args.count };
    sse::watch(&request, watch, &|event| print(ctx, event))?;
    Ok(0)
}

fn print(ctx: &Context, event: &Event) -> Result<(), Failure> {
    if !ctx.out.is_human() {
        return ctx.out.line(&event.data);
    }
    let unexpected = |e: serde_json::Error| {
        Failure::refused(format!("an event of the stream has an unexpected shape: {e}"))
    };
    let data: Value = serde_json::from_str(&event.data).map_err(unexpected)?;
    let record: Record =
        serde_json::from_value(data.get("record").cloned().unwrap_or_default()).map_err(unexpected)?;
    ctx.out.line(view::live_line(&ctx.out, &record, clock::now()))
}
