//! `spl export`.

use std::{
    fs::File,
    io::{self, BufWriter, Write},
    path::{Path, PathBuf},
    time::Duration,
};

use clap::Args;
use flate2::{Compression, write::GzEncoder};
use serde_json::Value;

use crate::{
    commands::Outcome,
    context::{Context, Source},
    error::Failure,
    offline, output,
    partial::{self, PartialFile},
    progress::Progress,
};

/// How long an export may stay silent.
const SILENCE_LIMIT: Duration = Duration::from_secs(60);

/// What to export, and where to.
#[derive(Args)]
#[command(after_help = "\
Examples:
  spl export > all.ndjson
  spl export --out all.ndjson.zst           compressed, as the name says (.gz and .zst)
  spl export --since-sequence 20000 | jq -r .thread

One record a line, in the order of the log. Works on a stopped home too; `spl import` reads it.")]
pub(crate) struct ExportArgs {
    /// Write to this file instead of the standard output
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
    /// Include the records that only the instance itself writes (needs admin)
    #[arg(long)]
    reserved: bool,
    /// Only records after this position in the log
    #[arg(long, value_name = "N", default_value_t = 0)]
    since_sequence: u64,
}

/// Writes the records.
pub(crate) fn run(ctx: &Context, args: &ExportArgs) -> Outcome {
    let Some(path) = args.out.as_deref().filter(|path| *path != Path::new("-")) else {
        let mut stdout = Counted::new(Box::new(output::Stdout), false);
        write_records(ctx, args, &mut stdout)?;
        return Ok(0);
    };
    let part = PartialFile::create(path)?;
    let mut to = Counted::new(encoder(path, part.handle()?)?, true);
    write_records(ctx, args, &mut to)?;
    let (records, finished) = (to.records, to.finish());
    finished.map_err(|e| Failure::file("write", path, &e))?;
    let bytes = part.publish()?;
    partial::tell_exported(ctx, "export", records, bytes, path)?;
    Ok(0)
}

fn write_records(ctx: &Context, args: &ExportArgs, to: &mut Counted) -> Result<(), Failure> {
    let failed = |e: io::Error| Failure::from(e);
    match ctx.source()? {
        Source::StoppedHome => {
            let log = offline::Log::open(ctx.home.root())?;
            let mut broken = None;
            let exported = log.export(args.since_sequence, args.reserved, &mut |line| {
                let written =
                    to.write_all(line.trim_end_matches('\n').as_bytes()).and_then(|()| to.write_all(b"\n"));
                // The cause would be lost on its way through the log.
                if let Err(e) = &written {
                    broken = Some(io::Error::from(e.kind()));
                }
                written
            });
            match broken {
                Some(e) => return Err(failed(e)),
                None => exported?,
            }
        }
        Source::Instance => copy_records(ctx, args, to)?,
    }
    to.flush().map_err(failed)
}

/// Copies what an instance exports, and sees to it that nothing is missing at the end.
fn copy_records(ctx: &Context, args: &ExportArgs, to: &mut Counted) -> Result<(), Failure> {
    let client = ctx.client()?;
    // With reserved records there is one for each position in the log.
    let expected = match args.reserved {
        true => client.get(&["v1", "log", "head"]).send()?.json()?.get("sequence").and_then(Value::as_u64),
        false => None,
    };
    let mut stream = client
        .get(&["v1", "export"])
        .query("since_sequence", (args.since_sequence > 0).then_some(args.since_sequence))
        .query("reserved", args.reserved.then_some(true))
        .stream()?;
    let mut last = b'\n';
    while let Some(bytes) = stream.next(SILENCE_LIMIT).map_err(Failure::while_copying)? {
        last = bytes.last().copied().unwrap_or(last);
        to.write_all(&bytes)?;
    }
    let expected = expected.unwrap_or(0).saturating_sub(args.since_sequence);
    if last != b'\n' || to.records < expected {
        return Err(Failure::refused("the export ends too early: records are missing").hint("try again"));
    }
    Ok(())
}

/// A destination that can be completed.
trait Destination: Write {
    /// Writes what is still held back.
    fn complete(self: Box<Self>) -> io::Result<()>;
}

impl Destination for output::Stdout {
    fn complete(mut self: Box<Self>) -> io::Result<()> {
        self.flush()
    }
}

impl Destination for File {
    fn complete(self: Box<Self>) -> io::Result<()> {
        self.sync_all()
    }
}

impl Destination for GzEncoder<File> {
    fn complete(self: Box<Self>) -> io::Result<()> {
        self.finish()?.sync_all()
    }
}

impl Destination for zstd::Encoder<'static, File> {
    fn complete(self: Box<Self>) -> io::Result<()> {
        self.finish()?.sync_all()
    }
}

fn encoder(path: &Path, file: File) -> Result<Box<dyn Destination>, Failure> {
    match path.extension().and_then(|e| e.to_str()) {
        Some("gz") => Ok(Box::new(GzEncoder::new(file, Compression::default()))),
        Some("zst") => {
            let encoder = zstd::Encoder::new(file, 0).map_err(|e| Failure::file("compress", path, &e))?;
            Ok(Box::new(encoder))
        }
        _ => Ok(Box::new(file)),
    }
}

/// Counts the lines that pass, and says how far it is.
struct Counted {
    inner: BufWriter<Box<dyn Destination>>,
    records: u64,
    progress: Option<Progress>,
}

impl Counted {
    fn new(inner: Box<dyn Destination>, show: bool) -> Self {
        let progress = show.then(|| Progress::spinner("exporting"));
        Self { inner: BufWriter::with_capacity(256 * 1024, inner), records: 0, progress }
    }

    fn finish(self) -> io::Result<()> {
        let inner = self.inner.into_inner().map_err(io::IntoInnerError::into_error)?;
        inner.complete()
    }
}

impl Write for Counted {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.inner.write(bytes)?;
        let lines = bytes.get(..written).unwrap_or_default().iter().filter(|b| **b == b'\n').count();
        self.records += lines as u64;
        if let Some(progress) = &mut self.progress {
            progress.at(self.records, 0);
        }
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.inner.flush()
    }
}
