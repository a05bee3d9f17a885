//! Sides that take turns: a short slice of each, in random order, many rounds. What is compared is what the
//! sides did in the same round.

use hdrhistogram::Histogram;
use serde_json::{Value, json};
use spl_benches::{Steal, report};
use spl_fixtures::random::Random;

use crate::{
    Outcome,
    engine::{Slice, histogram},
    process::{Usage, load_average},
    report::{self, Goal, Row, Spread},
};

/// What a side does in its turn.
type Turn<'a> = Box<dyn FnMut() -> Outcome<Slice> + 'a>;

/// One side, and what came of its turns.
pub(crate) struct Side<'a> {
    name: String,
    turn: Turn<'a>,
    usage: Box<dyn Fn() -> Usage + 'a>,
    rates: Vec<f64>,
    p99: Vec<f64>,
    latency: Histogram<u64>,
    /// Seconds of the server's processor time in this side's own turns, and its memory after the last.
    cpu: f64,
    memory: Usage,
    answers: u64,
    /// Why it is out.
    failed: Option<String>,
}

/// Takes turns.
pub(crate) struct Rounds<'a> {
    what: String,
    sides: Vec<Side<'a>>,
    missing: Vec<(String, String)>,
}

impl<'a> Rounds<'a> {
    pub(crate) fn new(what: impl Into<String>) -> Self {
        Self { what: what.into(), sides: Vec::new(), missing: Vec::new() }
    }

    /// One more side.
    pub(crate) fn side(
        &mut self,
        name: impl Into<String>,
        usage: impl Fn() -> Usage + 'a,
        turn: impl FnMut() -> Outcome<Slice> + 'a,
    ) -> Outcome<()> {
        self.sides.push(Side {
            name: name.into(),
            turn: Box::new(turn),
            usage: Box::new(usage),
            rates: Vec::new(),
            p99: Vec::new(),
            latency: histogram()?,
            cpu: 0.0,
            answers: 0,
            memory: Usage::default(),
            failed: None,
        });
        Ok(())
    }

    /// Whether a side of this name takes part.
    pub(crate) fn has(&self, name: &str) -> bool {
        self.sides.iter().any(|side| side.name == name)
    }

    /// A side that cannot take part, and why.
    pub(crate) fn missing(&mut self, name: impl Into<String>, why: impl Into<String>) {
        self.missing.push((name.into(), why.into()));
    }

    /// Has all sides take turns. The first round warms and is not counted. A side that fails is out.
    pub(crate) fn run(&mut self, rounds: usize) -> Value {
        let (steal, load) = (Steal::begin(), load_average());
        let mut random = Random::new(u64::try_from(rounds).unwrap_or(1));
        let mut order: Vec<usize> = (0..self.sides.len()).collect();
        for round in 0..=rounds {
            for at in (1..order.len()).rev() {
                order.swap(at, random.index(at + 1));
            }
            for at in &order {
                self.sides[*at].take_turn(round > 0);
            }
        }
        report(&format!(
            "{}: {rounds} rounds, {}, load {load} before and {} after",
            self.what,
            steal.share(),
            load_average()
        ));
        for side in &self.sides {
            report(&format!("  {}", side.line()));
        }
        for (name, why) in &self.missing {
            report(&format!("  {name:<34} {why}"));
        }
        json!({
            "what": self.what, "rounds": rounds, "machine": steal.share(), "load": load,
            "sides": self.sides.iter().map(Side::json).collect::<Vec<_>>(),
            "missing": self.missing.iter().map(|(n, why)| json!({"name": n, "why": why})).collect::<Vec<_>>(),
        })
    }

    fn find(&self, name: &str) -> Result<&Side<'a>, String> {
        if let Some(side) = self.sides.iter().find(|s| s.name == name) {
            return match &side.failed {
                Some(why) => Err(format!("{name}: {why}")),
                None => Ok(side),
            };
        }
        let missing = self.missing.iter().find(|(n, _)| n == name);
        Err(missing.map_or_else(|| format!("{name}: no such side"), |(_, why)| why.clone()))
    }

    fn per_round(
        &self,
        a: &str,
        b: &str,
        of: impl for<'s> Fn(&'s Side<'a>) -> &'s [f64],
    ) -> Result<Spread, String> {
        let (a, b) = (self.find(a)?, self.find(b)?);
        Ok(Spread::of(of(a).iter().zip(of(b)).map(|(a, b)| a / b).collect()))
    }

    /// How many times as much `a` did as `b`.
    pub(crate) fn ratio(&self, what: &str, a: &str, b: &str, goal: Goal) -> Row {
        let row = Row::new(what, goal, self.per_round(a, b, |s| s.rates.as_slice()));
        let rate = |name| self.find(name).map_or(f64::NAN, |s| Spread::of(s.rates.clone()).median);
        row.noted(format!("{:.0}/s over {:.0}/s", rate(a), rate(b)))
    }

    /// How many times as long the slowest hundredth of `a`'s requests took as that of `b`'s.
    pub(crate) fn p99_ratio(&self, what: &str, a: &str, b: &str, goal: Goal) -> Row {
        let row = Row::new(what, goal, self.per_round(a, b, |s| s.p99.as_slice()));
        let p99 = |name| self.find(name).map_or(f64::NAN, |s| Spread::of(s.p99.clone()).median / 1e6);
        row.noted(format!("{:.3} ms over {:.3} ms", p99(a), p99(b)))
    }
}

impl Side<'_> {
    fn take_turn(&mut self, counted: bool) {
        if self.failed.is_some() {
            return;
        }
        let before = (self.usage)();
        match (self.turn)() {
            Err(e) => self.failed = Some(e.to_string()),
            Ok(_) if !counted => {}
            Ok(slice) => {
                self.memory = (self.usage)();
                self.cpu += self.memory.cpu - before.cpu;
                self.answers += slice.count;
                self.rates.push(slice.rate());
                self.p99.push(slice.latency.value_at_quantile(0.99) as f64);
                if let Err(e) = self.latency.add(&slice.latency) {
                    self.failed = Some(e.to_string());
                }
            }
        }
    }

    fn quantile(&self, q: f64) -> f64 {
        self.latency.value_at_quantile(q) as f64 / 1e6
    }

    fn line(&self) -> String {
        if let Some(why) = &self.failed {
            return format!("{:<34} FAILED: {why}", self.name);
        }
        let rate = Spread::of(self.rates.clone());
        format!(
            "{:<34} {:>9.0}/s ({:.0}-{:.0})  p50 {:.3}  p99 {:.3}  p99.9 {:.3}  max {:.1} ms  {:.1} us of processor each  {:.0} MiB",
            self.name,
            rate.median,
            rate.low,
            rate.high,
            self.quantile(0.5),
            self.quantile(0.99),
            self.quantile(0.999),
            self.quantile(1.0),
            self.cpu * 1e6 / (self.answers as f64).max(1.0),
            report::mebibytes(self.memory.resident),
        )
    }

    fn json(&self) -> Value {
        let rate = Spread::of(self.rates.clone());
        json!({
            "name": self.name, "failed": self.failed,
            "rate": {"median": rate.median, "low": rate.low, "high": rate.high},
            "latency_ms": {
                "p50": self.quantile(0.5), "p90": self.quantile(0.9), "p99": self.quantile(0.99),
                "p99.9": self.quantile(0.999), "max": self.quantile(1.0),
            },
            "answers": self.answers,
            "server": {
                "cpu_seconds": self.cpu,
                "resident_bytes": self.memory.resident,
                "peak_bytes": self.memory.peak,
            },
        })
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn slice(count: u64) -> Slice {
        let mut latency = histogram().unwrap();
        latency.record(1_000_000 / count).unwrap();
        Slice { count, took: Duration::from_secs(1), latency, unanswered: 0 }
    }

    #[test]
    fn rounds_are_compared_and_a_side_that_fails_is_out() {
        let mut rounds = Rounds::new("a test");
        rounds.side("a", Usage::default, || Ok(slice(20))).unwrap();
        rounds.side("b", Usage::default, || Ok(slice(10))).unwrap();
        rounds.side("c", Usage::default, || Err("no".into())).unwrap();
        rounds.missing("d", "not installed");
        let result = rounds.run(3);
        assert_eq!(rounds.per_round("a", "b", |s| s.rates.as_slice()).unwrap().median, 2.0);
        assert_eq!(rounds.find("c").err(), Some("c: no".to_owned()));
        assert_eq!(rounds.find("d").err(), Some("not installed".to_owned()));
        assert_eq!(result["sides"][0]["answers"], 60);
    }
}
