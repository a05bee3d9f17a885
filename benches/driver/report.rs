//! What was measured, as lines for people and as JSON.

use std::path::PathBuf;

use serde_json::{Value, json};
use spl_benches::{quantile, report};

use crate::{
    Outcome,
    engine::Slice,
    process::{Usage, bench_directory},
};

/// The latencies that are shown.
const QUANTILES: [(&str, f64); 4] = [("p50", 0.5), ("p90", 0.9), ("p99", 0.99), ("p99.9", 0.999)];

fn milliseconds(nanoseconds: u64) -> f64 {
    nanoseconds as f64 / 1e6
}

/// A line about one workload.
pub(crate) fn line(name: &str, slice: &Slice) -> String {
    let mut text = format!("{name:<44} {:>10.0}/s ", slice.rate());
    for (label, q) in QUANTILES {
        text += &format!("  {label} {:.3}", milliseconds(slice.latency.value_at_quantile(q)));
    }
    text += &format!("  max {:.3} ms", milliseconds(slice.latency.max()));
    if slice.unanswered > 0 {
        text += &format!("  {} UNANSWERED", slice.unanswered);
    }
    text
}

/// The same as JSON. Times are milliseconds.
pub(crate) fn slice(slice: &Slice) -> Value {
    let mut value = json!({
        "count": slice.count,
        "seconds": slice.took.as_secs_f64(),
        "rate": slice.rate(),
        "max_ms": milliseconds(slice.latency.max()),
        "unanswered": slice.unanswered,
    });
    for (label, q) in QUANTILES {
        value[format!("{label}_ms")] = milliseconds(slice.latency.value_at_quantile(q)).into();
    }
    value
}

/// What a server used between two instants.
pub(crate) fn usage(before: Usage, after: Usage) -> Value {
    json!({ "cpu_seconds": after.cpu - before.cpu, "resident_bytes": after.resident, "peak_bytes": after.peak })
}

/// The same as a line.
pub(crate) fn usage_line(before: Usage, after: Usage, slice: &Slice) -> String {
    let cpu = after.cpu - before.cpu;
    format!(
        "  server: {cpu:.2} s of processor time ({:.1} us each), {:.1} MiB resident, {:.1} MiB at its peak",
        cpu * 1e6 / (slice.count as f64).max(1.0),
        mebibytes(after.resident),
        mebibytes(after.peak),
    )
}

/// Bytes as mebibytes.
pub(crate) fn mebibytes(bytes: u64) -> f64 {
    bytes as f64 / f64::from(1 << 20)
}

/// A median with its quartiles.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Spread {
    pub(crate) low: f64,
    pub(crate) median: f64,
    pub(crate) high: f64,
}

impl Spread {
    pub(crate) fn of(mut list: Vec<f64>) -> Self {
        let [low, median, high] = [0.25, 0.5, 0.75].map(|q| quantile(&mut list, q));
        Self { low, median, high }
    }
}

/// What a figure is to be.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Goal {
    AtLeast(f64),
    AtMost(f64),
    /// No goal is set: it is shown for orientation.
    None,
}

/// A line of the table of goals.
#[derive(Debug)]
pub(crate) struct Row {
    what: String,
    goal: Goal,
    /// What was measured, or why it was not.
    measured: Result<Spread, String>,
    note: String,
    /// Whether it is there to judge the line above by.
    beside: bool,
}

impl Row {
    pub(crate) fn new(what: impl Into<String>, goal: Goal, measured: Result<Spread, String>) -> Self {
        Self { what: what.into(), goal, measured, note: String::new(), beside: false }
    }

    /// With figures behind it, for orientation.
    pub(crate) fn noted(mut self, note: impl Into<String>) -> Self {
        self.note = note.into();
        self
    }

    /// As one that the line above it is judged by.
    pub(crate) fn beside(mut self) -> Self {
        self.beside = true;
        self
    }

    pub(crate) fn verdict(&self) -> &'static str {
        match (&self.measured, self.goal) {
            (Err(_), _) => "NOT MEASURED",
            (_, Goal::None) => "",
            (Ok(s), Goal::AtLeast(goal)) if s.median >= goal => "met",
            (Ok(s), Goal::AtMost(goal)) if s.median <= goal => "met",
            _ => "NOT MET",
        }
    }

    fn goal_text(&self) -> String {
        match self.goal {
            Goal::AtLeast(goal) => format!(">= {goal}"),
            Goal::AtMost(goal) => format!("<= {goal}"),
            Goal::None => String::new(),
        }
    }

    fn print(&self) {
        let measured = match &self.measured {
            Ok(s) => format!("{:.2} ({:.2}-{:.2})", s.median, s.low, s.high),
            Err(why) => why.clone(),
        };
        let (indent, goal) = (if self.beside { "    " } else { "" }, self.goal_text());
        let what = format!("{indent}{}", self.what);
        report(&format!("{what:<62} {goal:>8}  {measured:<20} {:<12} {}", self.verdict(), self.note));
    }

    fn json(&self) -> Value {
        let goal = match self.goal {
            Goal::AtLeast(goal) => json!({"at_least": goal}),
            Goal::AtMost(goal) => json!({"at_most": goal}),
            Goal::None => Value::Null,
        };
        let measured = match &self.measured {
            Ok(s) => json!({"median": s.median, "low": s.low, "high": s.high}),
            Err(why) => json!({"missing": why}),
        };
        json!({"what": self.what, "goal": goal, "measured": measured, "verdict": self.verdict(), "note": self.note})
    }
}

/// Prints the table.
pub(crate) fn table(rows: &[Row]) {
    report("");
    report(&format!(
        "{:<62} {:>8}  {:<20}",
        "what (ratios: median of rounds, quartiles)", "goal", "measured"
    ));
    for row in rows {
        row.print();
    }
}

/// The table as JSON.
pub(crate) fn rows(rows: &[Row]) -> Value {
    rows.iter().map(Row::json).collect()
}

/// Writes results beside the build, and says where.
pub(crate) fn write(name: &str, value: &Value) -> Outcome<()> {
    let path: PathBuf = bench_directory()?.join(format!("{name}.json"));
    std::fs::write(&path, serde_json::to_string_pretty(value)? + "\n")?;
    report(&format!("written to {}", path.display()));
    Ok(())
}
