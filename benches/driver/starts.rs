//! How long an instance takes until it is ready, with many records and with none, after a stop and after it was
//! killed.

use std::{path::Path, time::Duration};

use serde_json::{Value, json};
use spl_benches::{Steal, now, report};

use crate::{
    Outcome,
    engine::Engine,
    instance::{Home, Instance, payloads},
    load::connections,
    process::load_average,
    report::{Goal, Row, Spread},
    scale::{Records, fill},
};

/// Writes to an instance before it is killed, so that there is something unfinished.
const WRITES: usize = 64;

fn start(home: Home) -> Outcome<(Instance, Duration)> {
    let begun = now();
    let instance = home.serve()?;
    Ok((instance, now().duration_since(begun)))
}

/// One start after a stop, and one after writes and a kill.
fn both(home: Home, payloads: &[String], times: &mut [Vec<f64>; 2]) -> Outcome<Home> {
    let (instance, stopped) = start(home)?;
    let writes = instance.writes(payloads)?;
    Engine::new(connections(&instance, 8, &writes)?)?.times(WRITES)?;
    let (instance, killed) = start(instance.kill()?)?;
    for (list, time) in times.iter_mut().zip([stopped, killed]) {
        list.push(time.as_secs_f64() * 1e3);
    }
    instance.stop()
}

/// Measures both, in turn.
pub(crate) fn measure(program: &Path, records: usize, rounds: usize) -> Outcome<(Vec<Row>, Value)> {
    let (steal, load) = (Steal::begin(), load_average());
    let payloads = payloads(WRITES)?;
    // Both homes have had their first start, which makes keys.
    let mut empty = Home::new(program, false)?.serve()?.stop()?;
    let mut full = Home::new(program, false)?.serve()?.stop()?;
    fill(&full.path(), &mut Records::real()?, records)?;
    full = full.serve()?.stop()?;
    let mut times = [[Vec::new(), Vec::new()], [Vec::new(), Vec::new()]];
    for round in 0..rounds {
        if round % 2 == 0 {
            empty = both(empty, &payloads, &mut times[0])?;
            full = both(full, &payloads, &mut times[1])?;
        } else {
            full = both(full, &payloads, &mut times[1])?;
            empty = both(empty, &payloads, &mut times[0])?;
        }
    }
    report(&format!(
        "time to ready, {records} records: {rounds} rounds, {}, load {load} before",
        steal.share()
    ));
    let mut rows = Vec::new();
    let mut sides = Vec::new();
    for (at, after) in ["after a stop", "after kill -9"].into_iter().enumerate() {
        let [without, with] = [&times[0][at], &times[1][at]];
        let ratios = with.iter().zip(without).map(|(w, n)| w / n).collect();
        let [without, with] = [without, with].map(|list| Spread::of(list.clone()).median);
        let what = format!("time to ready with {records} records / with none, {after}");
        let note = format!("{with:.0} ms over {without:.0} ms");
        report(&format!("  {after:<16} {note}"));
        rows.push(Row::new(what, Goal::AtMost(1.2), Ok(Spread::of(ratios))).noted(note));
        sides.push(json!({"after": after, "with_ms": with, "without_ms": without}));
    }
    Ok((rows, json!({"what": "time to ready", "records": records, "sides": sides, "machine": steal.share()})))
}
