//! `spl verify` and `spl replay`.

use clap::Args;
use serde_json::{Value, json};
use spl_kernel::commit::Chain;

use crate::{
    commands::Outcome,
    context::{Context, Source},
    error::Failure,
    offline::{self, ReplayReport, Verified},
    progress::Progress,
    sse::{self, Next},
    text,
};

/// What to compare with.
#[derive(Args)]
#[command(after_help = "\
Examples:
  spl verify
  spl verify --head 20000:6f1d…      also that the log still holds what it held then

Recomputes every id and the chain of commits, rebuilds all state from nothing and compares it with the live
one. Works on a stopped home too. Exit code 1 where anything differs.")]
pub(crate) struct VerifyArgs {
    /// A head that you kept: its sequence and chain
    #[arg(long, value_name = "SEQUENCE:CHAIN", value_parser = offline::parse_head)]
    head: Option<(u64, Chain)>,
}

/// Verifies the log.
pub(crate) fn run(ctx: &Context, args: &VerifyArgs) -> Outcome {
    let report = verify(ctx, args.head)?;
    if ctx.out.is_human() {
        print(ctx, &report)?;
    } else {
        let value = serde_json::to_value(&report)
            .map_err(|e| Failure::refused(format!("cannot show the result: {e}")))?;
        ctx.out.json(&value)?;
    }
    Ok(u8::from(!report.ok))
}

fn print(ctx: &Context, report: &Verified) -> Result<(), Failure> {
    let (out, palette) = (&ctx.out, ctx.out.palette());
    let verdict = if report.ok {
        palette.green("✓ the log is whole")
    } else {
        palette.red("✗ the log is not whole")
    };
    out.line(verdict)?;
    out.field("records", text::count(report.records))?;
    out.field("commits", text::count(report.commits))?;
    out.field("head", format_args!("{}:{}", report.head.sequence, text::safe(&report.head.chain)))?;
    out.field("state digest", text::safe(&report.digest))?;
    report.problems.iter().try_for_each(|problem| out.field("problem", palette.red(text::safe(problem))))
}

fn verify(ctx: &Context, head: Option<(u64, Chain)>) -> Result<Verified, Failure> {
    let mut progress = Progress::counted("verifying", 0, "records");
    match ctx.source()? {
        Source::StoppedHome => {
            let log = offline::Log::open(ctx.home.root())?;
            log.verify(&mut |done, total| progress.at(done, total), head)
        }
        Source::Instance => verify_running(ctx, head, &mut progress),
    }
}

fn verify_running(
    ctx: &Context,
    head: Option<(u64, Chain)>,
    progress: &mut Progress,
) -> Result<Verified, Failure> {
    let client = ctx.client()?;
    let kept = head.map(|(sequence, chain)| format!("{sequence}:{chain}"));
    let stream = client.get(&["v1", "verify"]).query("head", kept).stream()?;
    let mut result: Option<Verified> = None;
    sse::read(stream, &mut |event| {
        let unexpected =
            |e| Failure::refused(format!("an event of the verification has an unexpected shape: {e}"));
        match event.name.as_str() {
            "progress" => {
                let data: Value = serde_json::from_str(&event.data).map_err(unexpected)?;
                let number = |name: &str| data.get(name).and_then(Value::as_u64).unwrap_or(0);
                progress.at(number("records_checked"), number("records_total"));
            }
            "result" => {
                result = Some(serde_json::from_str(&event.data).map_err(unexpected)?);
                return Ok(Next::Stop);
            }
            "error" => return Err(Failure::from_answer(500, &event.data)),
            _ => {}
        }
        Ok(Next::Continue)
    })?;
    result.ok_or_else(|| Failure::unreachable("the instance ended the verification before it had a result"))
}

/// Recomputes every id, rebuilds all state from the log, and prints its digest. A running instance does so as part of its
/// verification.
pub(crate) fn replay(ctx: &Context) -> Outcome {
    let replayed = match ctx.source()? {
        Source::StoppedHome => {
            let log = offline::Log::open(ctx.home.root())?;
            let mut progress = Progress::counted("replaying", 0, "records");
            log.replay(&mut |done, total| progress.at(done, total))?
        }
        Source::Instance => {
            let report = verify(ctx, None)?;
            if !report.ok {
                return Err(Failure::refused("the log is not whole").hint("`spl verify` says what is wrong"));
            }
            ReplayReport { records: report.records, sequence: report.head.sequence, digest: report.digest }
        }
    };
    if ctx.out.is_human() {
        let total = text::counted(replayed.records, "record");
        ctx.out.line(format_args!("replayed {total}, up to sequence {}", replayed.sequence))?;
        ctx.out.field("state digest", text::safe(&replayed.digest))?;
    } else {
        ctx.out.json(&json!({
            "object": "replay",
            "records": replayed.records,
            "sequence": replayed.sequence,
            "digest": replayed.digest,
        }))?;
    }
    Ok(0)
}
