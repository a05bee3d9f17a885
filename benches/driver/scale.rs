//! Homes of growing size: what they take on disk and in memory, and how long it takes to start, verify, back up
//! and replay them; and lines through what was measured.

use std::{
    os::unix::fs::MetadataExt as _,
    path::Path,
    process::{Command, Stdio},
    time::Duration,
};

use clap::Args;
use serde_json::{Value, json};
use spl_benches::{Steal, now, report};
use spl_fixtures::{builders, builders::Sequencer, data};
use spl_kernel::{
    draft::Draft,
    log::{Log, LogSource, NewCommit},
    record::Act,
};

use crate::{
    Outcome,
    instance::Home,
    process::load_average,
    report::{mebibytes, write},
};

#[derive(Args)]
pub(crate) struct Arguments {
    /// The largest home, in records; smaller ones are each a tenth of the next
    #[arg(long, default_value_t = 1_000_000, value_parser = clap::value_parser!(u32).range(100..=50_000_000))]
    records: u32,
    /// Records of each home in which records have one size
    #[arg(long, default_value_t = 50_000, value_parser = clap::value_parser!(u32).range(100..=5_000_000))]
    sized: u32,
}

/// Records of a commit, and commits that are written at once: 16 clients' worth, many times.
const COMMIT: usize = 16;
const GROUP: usize = 64;
/// The smallest home.
const SMALLEST: usize = 10_000;
/// Bytes of padding in a body of the homes in which records have one size.
const PADDINGS: [usize; 4] = [0, 300, 1000, 3000];

/// Records to fill a log with, round and round. Clocks go on, so none is the same.
pub(crate) struct Records {
    drafts: Vec<Draft>,
    next: usize,
}

impl Records {
    /// The real data.
    pub(crate) fn real() -> Outcome<Self> {
        let drafts: Vec<Draft> = data::debian_drafts().map(|draft| Draft { clock: None, ..draft }).collect();
        Ok(Self { drafts, next: 0 })
    }

    /// Records with so much padding.
    fn padded(bytes: usize) -> Self {
        let draft = |n: usize| {
            let body = format!(r#"{{"kind":"bench.scale.row","n":{n},"padding":"{}"}}"#, "x".repeat(bytes));
            builders::draft(&format!("bench.{}", n % 50), "did:sync:user:bench", Act::Know, &body)
        };
        Self { drafts: (0..1000).map(draft).collect(), next: 0 }
    }

    fn take(&mut self) -> Draft {
        let draft = self.drafts[self.next % self.drafts.len()].clone();
        self.next += 1;
        draft
    }

    /// The bytes of a record's canonical form, on average.
    fn size(&self) -> Outcome<f64> {
        let mut bytes = 0;
        for draft in &self.drafts {
            let draft = draft.clone();
            let id = draft.id_at(0)?;
            bytes += draft.into_record(id, 0).canonical()?.len();
        }
        Ok(bytes as f64 / self.drafts.len() as f64)
    }
}

/// Appends records to the log of a home that nobody serves, with its index, and says how long that took.
pub(crate) fn fill(home: &Path, records: &mut Records, count: usize) -> Outcome<Duration> {
    let log = Log::open(LogSource::File(home.join("log.redb")), &mut |_, _| {})?;
    let head = log.head();
    let mut sequencer = Sequencer::after(&head);
    let begun = now();
    let mut left = count;
    while left > 0 {
        let mut commits: Vec<NewCommit> = Vec::with_capacity(GROUP);
        while left > 0 && commits.len() < GROUP {
            let size = left.min(COMMIT);
            let mut commit = sequencer.commit((0..size).map(|_| records.take()));
            // All at the time of the commit before: an instance refuses a log that is far ahead of the clock.
            commit.commit.committed_at = head.committed_at;
            commits.push(commit);
            left -= size;
        }
        log.append(log.head(), commits)?;
        while log.index().behind() > 100_000 {
            log.index().flush()?;
        }
    }
    while log.index().behind() > 0 {
        log.index().flush()?;
    }
    Ok(now().duration_since(begun))
}

/// Runs an offline command on a home.
fn offline(program: &Path, home: &Path, arguments: &[&str]) -> Outcome<f64> {
    let begun = now();
    let mut command = Command::new(program);
    command.arg("--home").arg(home).args(arguments).stdin(Stdio::null());
    let output = command.output()?;
    if !output.status.success() {
        return Err(format!("{arguments:?}: {}", String::from_utf8_lossy(&output.stderr)).into());
    }
    Ok(now().duration_since(begun).as_secs_f64())
}

/// What a file takes on the disk. It may be longer than that: redb lets files grow ahead.
fn bytes_of(path: &Path) -> f64 {
    std::fs::metadata(path).map_or(0, |m| m.blocks() * 512) as f64
}

/// A home of so many records, measured.
fn measure(program: &Path, records: &mut Records, count: usize) -> Outcome<Value> {
    let home = Home::new(program, false)?.serve()?.stop()?;
    let path = home.path();
    let empty = [bytes_of(&path.join("log.redb")), bytes_of(&path.join("log.index.redb"))];
    let filled = fill(&path, records, count)?;
    // The first start may have to tidy up; the second is measured.
    let home = home.serve()?.stop()?;
    let begun = now();
    let instance = home.serve()?;
    let ready = now().duration_since(begun).as_secs_f64();
    let started = instance.usage();
    let home = instance.stop()?;
    let backup = path.with_file_name("backup");
    let backup_text = backup.display().to_string();
    let backed_up = offline(program, &path, &["backup", &backup_text])?;
    let value = json!({
        "records": count,
        "record_bytes": records.size()?,
        "log_bytes": bytes_of(&path.join("log.redb")) - empty[0],
        "index_bytes": bytes_of(&path.join("log.index.redb")) - empty[1],
        "backup_bytes": bytes_of(&backup),
        "resident_bytes": started.resident,
        "append_seconds": filled.as_secs_f64(),
        "ready_ms": ready * 1e3,
        "backup_seconds": backed_up,
        "verify_seconds": offline(program, &path, &["verify"])?,
        "replay_seconds": offline(program, &path, &["replay"])?,
    });
    drop(home);
    report(&row(&value));
    Ok(value)
}

fn row(value: &Value) -> String {
    let number = |member: &str| value[member].as_f64().unwrap_or(f64::NAN);
    let each = |member: &str| number(member) / number("records");
    format!(
        "{:>10} x {:>5.0} B  log {:>6.0} B each  index {:>5.0} B each  backup {:>5.0} B each  memory {:>7.1} MiB  append {:>7.0}/s  ready {:>6.0} ms  backup {:>6.1} s  verify {:>6.1} s  replay {:>6.1} s",
        number("records"),
        number("record_bytes"),
        each("log_bytes"),
        each("index_bytes"),
        each("backup_bytes"),
        mebibytes(value["resident_bytes"].as_u64().unwrap_or(0)),
        number("records") / number("append_seconds"),
        number("ready_ms"),
        number("backup_seconds"),
        number("verify_seconds"),
        number("replay_seconds"),
    )
}

/// The line `a + b × x` that is nearest to some points, and what share of their scatter it explains.
fn fit(points: &[(f64, f64)]) -> (f64, f64, f64) {
    let n = points.len() as f64;
    let (mx, my) = (points.iter().map(|p| p.0).sum::<f64>() / n, points.iter().map(|p| p.1).sum::<f64>() / n);
    let sxx: f64 = points.iter().map(|p| (p.0 - mx).powi(2)).sum();
    let sxy: f64 = points.iter().map(|p| (p.0 - mx) * (p.1 - my)).sum();
    let syy: f64 = points.iter().map(|p| (p.1 - my).powi(2)).sum();
    let slope = if sxx > 0.0 { sxy / sxx } else { 0.0 };
    let explained = if sxx > 0.0 && syy > 0.0 { sxy * sxy / (sxx * syy) } else { 1.0 };
    (my - slope * mx, slope, explained)
}

/// One line of the model over some homes.
fn model(what: &str, homes: &[Value], x: impl Fn(&Value) -> f64, y: impl Fn(&Value) -> f64) -> Value {
    let points: Vec<(f64, f64)> = homes.iter().map(|h| (x(h), y(h))).collect();
    let (constant, slope, explained) = fit(&points);
    report(&format!("{what:<58} {constant:>14.3} + {slope:>12.6} x   (r² {explained:.3})"));
    json!({"what": what, "constant": constant, "slope": slope, "r2": explained})
}

fn of(member: &str) -> impl Fn(&Value) -> f64 {
    let member = member.to_owned();
    move |value| value[member.as_str()].as_f64().unwrap_or(f64::NAN)
}

fn models(homes: &[Value], sized: &[Value]) -> Vec<Value> {
    let each = |member: &'static str| move |v: &Value| of(member)(v) / of("records")(v);
    report("");
    report("lines through these points, by number of records or by bytes of a record");
    vec![
        model("log, bytes a record, by bytes of a record", sized, of("record_bytes"), each("log_bytes")),
        model("index, bytes a record, by bytes of a record", sized, of("record_bytes"), each("index_bytes")),
        model(
            "backup, bytes a record, by bytes of a record",
            sized,
            of("record_bytes"),
            each("backup_bytes"),
        ),
        model("memory after a start, bytes, by records", homes, of("records"), of("resident_bytes")),
        model("time to ready, ms, by records", homes, of("records"), of("ready_ms")),
        model("verify, seconds, by records", homes, of("records"), of("verify_seconds")),
        model("backup, seconds, by records", homes, of("records"), of("backup_seconds")),
        model("replay, seconds, by records", homes, of("records"), of("replay_seconds")),
    ]
}

fn all(program: &Path, counts: &[usize], sized: usize) -> Outcome<Value> {
    let (steal, load) = (Steal::begin(), load_average());
    let (mut homes, mut by_size) = (Vec::new(), Vec::new());
    for count in counts {
        homes.push(measure(program, &mut Records::real()?, *count)?);
    }
    for padding in PADDINGS {
        by_size.push(measure(program, &mut Records::padded(padding), sized)?);
    }
    let models = models(&homes, &by_size);
    report(&format!("{}, load {load} before and {} after", steal.share(), load_average()));
    Ok(json!({"homes": homes, "by_size": by_size, "models": models, "machine": steal.share(), "load": load}))
}

/// Measures homes up to a size.
pub(crate) fn run(program: &Path, arguments: &Arguments) -> Outcome<()> {
    let mut counts = vec![arguments.records as usize];
    while let Some(next) = counts.last().map(|c| c / 10).filter(|c| *c >= SMALLEST) {
        counts.push(next);
    }
    counts.reverse();
    write("scale", &all(program, &counts, arguments.sized as usize)?)
}

/// Very small homes.
pub(crate) fn smoke(program: &Path) -> Outcome<()> {
    all(program, &[200, 400], 100).map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_found() {
        let (constant, slope, explained) = fit(&[(1.0, 5.0), (2.0, 7.0), (3.0, 9.0)]);
        assert!(
            (constant - 3.0).abs() < 1e-9 && (slope - 2.0).abs() < 1e-9 && (explained - 1.0).abs() < 1e-9
        );
    }
}
