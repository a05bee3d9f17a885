//! `spl backup` and `spl restore`.

mod check;

use std::{
    fs::File,
    io::{BufReader, BufWriter, Write as _},
    path::{Path, PathBuf},
    time::Duration,
};

use clap::Args;
use serde_json::json;

use crate::{
    commands::Outcome,
    context::{Context, Source},
    error::Failure,
    offline, output,
    partial::PartialFile,
    progress::Progress,
    text,
};

/// How long a backup may stay silent.
const SILENCE_LIMIT: Duration = Duration::from_secs(120);

/// Where to.
#[derive(Args)]
#[command(after_help = "\
Examples:
  spl backup before-upgrade.splbak       while the instance runs, or of a stopped home

The copy is consistent: it holds the log as it was at one moment. It holds no keys, tokens or secrets.")]
pub(crate) struct BackupArgs {
    /// The file to write
    file: PathBuf,
    /// Replace the file where there is one already
    #[arg(long)]
    force: bool,
}

/// Where from.
#[derive(Args)]
#[command(after_help = "\
Examples:
  spl serve --stop
  spl restore before-upgrade.splbak
  spl serve --daemon

The home must be stopped, and be the one that the backup was made of, or at least have its keys.
The log that it had is kept beside the restored one.")]
pub(crate) struct RestoreArgs {
    /// The backup
    file: PathBuf,
}

/// Writes a backup.
pub(crate) fn run(ctx: &Context, args: &BackupArgs) -> Outcome {
    if args.file.exists() && !args.force {
        return Err(Failure::refused(format!("{} exists already", args.file.display()))
            .hint("choose another name, or replace it with --force"));
    }
    let source = ctx.source()?;
    let part = PartialFile::create(&args.file)?;
    let failed = |e: std::io::Error| Failure::file("write", &args.file, &e);
    let mut to = BufWriter::new(part.handle()?);
    let mut progress = Progress::spinner("backing up");
    match source {
        Source::StoppedHome => {
            let log = offline::Log::open(ctx.home.root())?;
            log.backup(&mut to, &mut |done, total| progress.at(done, total))?;
        }
        Source::Instance => {
            let client = ctx.client()?;
            let mut stream = client.post(&["v1", "backup"]).stream()?;
            let mut written = 0;
            while let Some(bytes) = stream.next(SILENCE_LIMIT).map_err(Failure::while_copying)? {
                to.write_all(&bytes).map_err(failed)?;
                written += bytes.len() as u64;
                progress.at(written, 0);
            }
        }
    }
    to.flush().map_err(failed)?;
    drop(to);
    check::whole(part.handle()?).map_err(|why| {
        Failure::refused(format!("the backup is not whole: {why}")).hint("nothing was kept; try again")
    })?;
    progress.finish();
    let bytes = part.publish()?;
    if ctx.out.is_human() {
        ctx.out.line(format_args!("backup written to {} ({})", args.file.display(), text::bytes(bytes)))?;
    } else {
        ctx.out
            .json(&json!({ "object": "backup", "file": args.file.display().to_string(), "bytes": bytes }))?;
    }
    Ok(0)
}

/// Puts a backup into the stopped home.
pub(crate) fn restore(ctx: &Context, args: &RestoreArgs) -> Outcome {
    if ctx.home.is_held() {
        return Err(
            Failure::refused("the instance of this home is running").hint("stop it first: spl serve --stop")
        );
    }
    let mut backup = BufReader::new(open(&args.file)?);
    let mut progress = Progress::spinner("restoring");
    let restored = offline::restore(ctx.home.root(), &mut backup, &mut |done| progress.at(done, 0))?;
    progress.finish();
    if !ctx.out.is_human() {
        ctx.out.json(&json!({
            "object": "restore",
            "records": restored.records,
            "sequence": restored.sequence,
            "instance_did": restored.instance_did,
            "replaced": restored.replaced,
        }))?;
        return Ok(0);
    }
    let total = text::counted(restored.records, "record");
    ctx.out.line(format_args!("restored {total}, up to sequence {}", restored.sequence))?;
    ctx.out.field("instance", text::safe(&restored.instance_did))?;
    if let Some(replaced) = &restored.replaced {
        ctx.out.field("old log", replaced)?;
    }
    next_steps(ctx)?;
    Ok(0)
}

/// What was revoked since the backup must not come back: the next start ends every token but one.
fn next_steps(ctx: &Context) -> Result<(), Failure> {
    output::note("the next start revokes every token of the restored log: it may bring revoked ones back");
    match ctx.home.saved_token()? {
        Some(saved) => {
            output::note("next, to spare the token saved here (if nobody else can have it):");
            output::note(format_args!("  spl serve --daemon --keep-token {}", saved.token.id()));
            output::note("or, to spare none:");
            output::note("  spl serve --daemon");
        }
        None => output::note("next: spl serve --daemon"),
    }
    Ok(())
}

fn open(path: &Path) -> Result<File, Failure> {
    File::open(path).map_err(|e| Failure::file("read", path, &e))
}
