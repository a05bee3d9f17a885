//! Minutes of load at a steady rate, and whether memory stays flat meanwhile.

use std::{path::Path, time::Duration};

use clap::Args;
use serde_json::{Value, json};
use spl_benches::{Steal, now, report};

use crate::{
    Outcome,
    engine::{Engine, Fanout},
    instance::{Instance, payloads},
    load::{connections, fanout, mixed},
    report::{line, mebibytes, write},
    wire::Requests,
};

#[derive(Args)]
pub(crate) struct Arguments {
    /// For how long
    #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u32).range(1..=1440))]
    minutes: u32,
    /// Requests a second, a tenth of them writes
    #[arg(long, default_value_t = 2000, value_parser = clap::value_parser!(u32).range(10..=100_000))]
    rate: u32,
}

const CONNECTIONS: usize = 64;
const STREAMS: usize = 100;
/// Records that are there before.
const RECORDS: usize = 20_000;
/// How long one look at memory is after the other.
const STEP: Duration = Duration::from_secs(5);
/// What the last quarter may have over the second, as a factor.
const FLAT: f64 = 1.05;

/// One step: mostly requests at their rate, then streams, then new and revoked tokens.
fn step(
    instance: &Instance,
    engine: &mut Engine,
    streams: &mut Fanout,
    rate: f64,
) -> Outcome<crate::engine::Slice> {
    let slice = engine.open(rate, STEP.mul_f64(0.8))?;
    streams.run(STEP.mul_f64(0.15), 1)?;
    // An account that comes and goes takes its token with it.
    let account = instance.account("soak", &["records:read"])?;
    instance.tokens(&account, 1)?;
    instance.admin_asks(&format!("DELETE /v1/service-accounts/{account}"), &Value::Null)?;
    // A connection that comes and goes.
    let once = Requests::new(vec![instance.request("GET /health", None, "")]);
    Engine::new(connections(instance, 16, &once)?)?.times(16)?;
    Ok(slice)
}

fn median(list: &[f64]) -> f64 {
    spl_benches::quantile(&mut list.to_vec(), 0.5)
}

/// Whether memory is flat: the last quarter of the samples over the second.
fn growth(samples: &[f64]) -> f64 {
    let quarter = samples.len() / 4;
    median(&samples[samples.len() - quarter.max(1)..])
        / median(&samples[quarter..(2 * quarter).max(quarter + 1)])
}

/// Runs it, prints memory as it goes, and says whether it stayed flat.
pub(crate) fn run(program: &Path, arguments: &Arguments) -> Outcome<bool> {
    let steal = Steal::begin();
    let instance = Instance::start(program, false)?;
    let source = payloads(RECORDS)?;
    let requests = mixed(&instance, &instance.fill(&source)?, &source)?;
    let mut engine = Engine::new(connections(&instance, CONNECTIONS, &requests)?)?;
    let mut streams = fanout(&instance, STREAMS, &source[0])?;
    let (start, mut samples) = (now(), Vec::new());
    let end = start + Duration::from_secs(60 * u64::from(arguments.minutes));
    while now() < end {
        let slice = step(&instance, &mut engine, &mut streams, f64::from(arguments.rate))?;
        let usage = instance.usage();
        samples.push(usage.resident as f64);
        let (minutes, memory) = (now().duration_since(start).as_secs_f64() / 60.0, mebibytes(usage.resident));
        report(&line(&format!("{minutes:>6.1} min {memory:>8.1} MiB"), &slice));
    }
    let growth = growth(&samples);
    let verdict = if growth <= FLAT { "flat" } else { "NOT FLAT" };
    report(&format!("memory of the last quarter over the second: {growth:.3}, {verdict}, {}", steal.share()));
    write(
        "soak",
        &json!({"samples_bytes": samples, "step_seconds": STEP.as_secs(), "growth": growth, "verdict": verdict}),
    )?;
    Ok(growth <= FLAT)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn growth_leaves_the_first_quarter_out() {
        let mut samples = vec![1.0; 10];
        samples.extend([10.0; 30]);
        assert_eq!(growth(&samples), 1.0);
        let rising: Vec<f64> = (1..=40).map(f64::from).collect();
        assert!(growth(&rising) > 2.0);
        assert_eq!(growth(&[5.0]), 1.0);
    }
}
