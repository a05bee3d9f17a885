//! `spl import`: every line is checked before the first is written.

mod check;
mod post;
mod source;

use std::path::PathBuf;

use clap::Args;
use serde_json::json;

use self::{
    check::{Checker, Verdict},
    post::Poster,
    source::{Line, Source},
};
use crate::{
    commands::Outcome, context::Context, error::Failure, kinds::Departures, output, progress::Progress, text,
};

/// How many bad lines are shown; the rest are counted.
const SHOWN_MAX: usize = 10;

/// What to import.
#[derive(Args)]
#[command(after_help = "\
Examples:
  spl import debian-packages.ndjson.gz       plain, gzip and zstd alike
  curl -s https://example.org/all.ndjson | spl import -
  spl import mixed.ndjson --skip-invalid

One record a line, as `spl export` writes them. Every line is checked before anything is stored; a bad one is
reported by its number, and nothing is imported. Records that are stored already change nothing, so an import
that was cut short is finished by running it again. Lines that only the instance itself may write are skipped.")]
pub(crate) struct ImportArgs {
    /// The file; - is the standard input
    file: PathBuf,
    /// Leave out bad lines instead of importing nothing
    #[arg(long)]
    skip_invalid: bool,
}

/// What became of the lines.
#[derive(Debug, Default)]
struct Summary {
    imported: u64,
    already_stored: u64,
    /// Lines that only the instance itself may write.
    reserved: u64,
    /// Bad lines.
    invalid: u64,
}

/// Checks all lines, then stores them.
pub(crate) fn run(ctx: &Context, args: &ImportArgs) -> Outcome {
    // Whether there is anything to import to is asked first: checking a large file takes a while.
    let client = ctx.client()?;
    client.get(&["health"]).send()?;
    let source = Source::open(&args.file)?;
    let checked = check_all(&source, args.skip_invalid)?;
    let mut summary = Summary { invalid: checked.invalid, reserved: checked.reserved, ..Summary::default() };
    let mut poster = Poster::new(&client, args.skip_invalid, checked.good);
    let mut checker = Checker::default();
    for line in source.lines()? {
        let Line { number, text } = line?;
        if let Ok(text) = text
            && let Verdict::Good(record) = checker.check(&text)
        {
            poster.take(number, record)?;
        }
    }
    let posted = poster.finish()?;
    summary.imported = posted.imported;
    summary.already_stored = posted.already_stored;
    summary.invalid += posted.refused;
    checked.departures.warn_with_count();
    report(ctx, &summary)?;
    Ok(0)
}

/// What the first pass found.
#[derive(Default)]
struct Checked {
    good: u64,
    reserved: u64,
    invalid: u64,
    departures: Departures,
}

fn check_all(source: &Source, skip_invalid: bool) -> Result<Checked, Failure> {
    let mut progress = Progress::counted("checking", source.size(), "bytes");
    let mut checker = Checker::default();
    let mut checked = Checked::default();
    for line in source.lines()? {
        let Line { number, text } = line?;
        let verdict = text.map_or_else(Verdict::Bad, |text| checker.check(&text));
        match verdict {
            Verdict::Good(record) => {
                checked.good += 1;
                record.kind.iter().for_each(|kind| checked.departures.count(kind));
            }
            Verdict::Reserved => checked.reserved += 1,
            Verdict::Blank => {}
            Verdict::Bad(why) => {
                checked.invalid += 1;
                if checked.invalid as usize <= SHOWN_MAX {
                    output::note(format_args!("line {number}: {}", text::safe(&why)));
                }
            }
        }
        progress.at(source.position(), source.size());
    }
    progress.finish();
    if checked.invalid as usize > SHOWN_MAX {
        let rest = checked.invalid - SHOWN_MAX as u64;
        output::note(format_args!("and {} more", text::counted(rest, "bad line")));
    }
    if checked.invalid > 0 && !skip_invalid {
        let bad = text::counted(checked.invalid, "bad line");
        return Err(Failure::refused(format!("{bad}: nothing was imported"))
            .hint("mend the file, or leave the bad lines out with --skip-invalid"));
    }
    Ok(checked)
}

fn report(ctx: &Context, summary: &Summary) -> Result<(), Failure> {
    let Summary { imported, already_stored, reserved, invalid } = summary;
    if !ctx.out.is_human() {
        return ctx.out.json(&json!({
            "object": "import",
            "imported": imported,
            "already_stored": already_stored,
            "skipped": reserved + invalid,
            "skipped_reserved": reserved,
            "skipped_invalid": invalid,
        }));
    }
    let number = |n: u64| ctx.out.palette().bold(text::count(n));
    ctx.out.line(format_args!(
        "imported {} new, {} already stored, {} skipped",
        number(*imported),
        number(*already_stored),
        number(reserved + invalid),
    ))?;
    if *reserved > 0 {
        output::note(format_args!(
            "{} only the instance itself may write: skipped",
            text::counted(*reserved, "record")
        ));
    }
    if *invalid > 0 {
        output::note(format_args!("{} left out", text::counted(*invalid, "bad line")));
    }
    Ok(())
}
