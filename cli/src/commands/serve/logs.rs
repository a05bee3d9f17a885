//! `spl serve --logs`.

use std::{
    fs::File,
    io::{BufRead as _, BufReader, Read as _, Seek as _, SeekFrom},
    os::unix::fs::MetadataExt as _,
    path::Path,
    time::Duration,
};

use serde_json::Value;

use crate::{clock, commands::Outcome, context::Context, error::Failure, output::Output, text};

/// How much of the end of the log is looked at.
const TAIL_BYTES_MAX: u64 = 8 * 1024 * 1024;
/// How long one wait for new lines is; it is repeated for as long as anybody follows.
const FOLLOW_LIMIT: Duration = Duration::from_secs(3600);

/// Prints the last lines of the log, and with `follow` those that come.
pub(super) fn run(ctx: &Context, lines: usize, follow: bool) -> Outcome {
    let path = ctx.home.path("logs/spl.log");
    let mut log = Log::open(&path).map_err(|e| {
        Failure::file("read", &path, &e).hint("an instance writes it when it starts: `spl serve --daemon`")
    })?;
    for line in log.tail(lines).map_err(|e| Failure::file("read", &path, &e))? {
        print(&ctx.out, &line)?;
    }
    if !follow {
        return Ok(0);
    }
    loop {
        let fresh = clock::wait_until(FOLLOW_LIMIT, || {
            let fresh = log.fresh(&path).map_err(|e| Failure::file("read", &path, &e))?;
            Ok((!fresh.is_empty()).then_some(fresh))
        })?;
        for line in fresh.unwrap_or_default() {
            print(&ctx.out, &line)?;
        }
    }
}

/// A log being read; it may be rotated meanwhile.
struct Log {
    reader: BufReader<File>,
    inode: u64,
    /// The start of a line whose end is not written yet.
    partial: Vec<u8>,
}

impl Log {
    fn open(path: &Path) -> std::io::Result<Self> {
        let file = File::open(path)?;
        let inode = file.metadata()?.ino();
        Ok(Self { reader: BufReader::new(file), inode, partial: Vec::new() })
    }

    /// The last lines.
    fn tail(&mut self, count: usize) -> std::io::Result<Vec<String>> {
        let length = self.reader.get_ref().metadata()?.len();
        let start = length.saturating_sub(TAIL_BYTES_MAX);
        self.reader.seek(SeekFrom::Start(start))?;
        let mut lines = self.lines()?;
        // Where the reading began in the middle of the file, the first line is only the end of one.
        let cut = usize::from(start > 0);
        Ok(lines.split_off(lines.len().saturating_sub(count).max(cut.min(lines.len()))))
    }

    /// The lines that have come since.
    fn fresh(&mut self, path: &Path) -> std::io::Result<Vec<String>> {
        // Asked first: once it is rotated, nothing more is written to the old file.
        let rotated = std::fs::metadata(path).is_ok_and(|m| m.ino() != self.inode);
        let mut lines = self.lines()?;
        if rotated {
            *self = Self::open(path)?;
            lines.extend(self.lines()?);
        }
        Ok(lines)
    }

    fn lines(&mut self) -> std::io::Result<Vec<String>> {
        let mut lines = Vec::new();
        loop {
            let read = self.reader.by_ref().take(TAIL_BYTES_MAX).read_until(b'\n', &mut self.partial)?;
            if read == 0 {
                return Ok(lines);
            }
            if self.partial.ends_with(b"\n") {
                let line = std::mem::take(&mut self.partial);
                lines.push(String::from_utf8_lossy(&line).trim_end().to_owned());
            }
        }
    }
}

fn print(out: &Output, line: &str) -> Result<(), Failure> {
    match serde_json::from_str::<Value>(line) {
        Ok(entry) if out.is_human() => out.line(for_people(out, &entry)),
        _ if out.is_human() => out.line(text::safe(line)),
        _ => out.line(line),
    }
}

/// `time LEVEL target: message name=value …`
fn for_people(out: &Output, entry: &Value) -> String {
    let palette = out.palette();
    let member = |name: &str| entry.get(name).and_then(Value::as_str).unwrap_or_default();
    let level = format!("{:<5}", text::safe(member("level")));
    let level = match member("level") {
        "ERROR" => palette.red(level),
        "WARN" => palette.yellow(level),
        "INFO" => palette.green(level),
        _ => palette.dim(level),
    };
    let mut line = format!(
        "{} {level} {} ",
        palette.dim(text::clock_time(member("timestamp"), clock::now())),
        palette.dim(format_args!("{}:", text::safe(member("target")))),
    );
    if let Some(Value::Object(fields)) = entry.get("fields") {
        if let Some(message) = fields.get("message").and_then(Value::as_str) {
            line.push_str(&text::safe(message));
        }
        for (name, value) in fields.iter().filter(|(name, _)| *name != "message") {
            let value = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
            line.push_str(&format!(" {}={}", palette.dim(text::safe(name)), text::safe(&value)));
        }
    }
    line
}
