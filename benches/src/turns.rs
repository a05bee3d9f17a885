//! Many alternatives over one floor: each takes turns with it, in random order, after a warm-up of its own,
//! timed by the thread's processor time, which does not count what the host takes away.

#![expect(clippy::expect_used, reason = "a benchmark that cannot run has no result")]

use std::{hint::black_box, ops::Range, time::Duration};

use nix::time::{ClockId, clock_gettime};
use spl_fixtures::random::Random;

use crate::{
    Size, Steal, quantile, report, spread,
    tokens::{Probe, Probes},
};

/// Rounds of an alternative and the floor before another has its turn. The first is not counted: it finds the
/// caches full of what was before it.
const ROUNDS: usize = 13;
/// Checks of a round before those that are timed, for each of those.
const WARM: usize = 4;

/// Processor time of this thread.
#[must_use]
pub fn processor_time() -> Duration {
    clock_gettime(ClockId::CLOCK_THREAD_CPUTIME_ID).expect("this thread's clock").into()
}

type Run<'a> = Box<dyn FnMut(&Probes, Range<usize>) + 'a>;

/// One way to do it.
pub struct Side<'a> {
    name: &'static str,
    run: Run<'a>,
}

impl std::fmt::Debug for Side<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name)
    }
}

/// `one` is what is done for each request.
pub fn side<'a>(name: &'static str, mut one: impl FnMut(Probe<'_>) + 'a) -> Side<'a> {
    let run = move |probes: &Probes, range: Range<usize>| {
        for probe in probes.range(range) {
            one(black_box(probe));
        }
    };
    Side { name, run: Box::new(run) }
}

/// Prints a line for each side: how fast it is relative to the floor, as [`crate::ratio()`] has it.
pub fn ratios(what: &str, size: Size, probes: &Probes, floor: &mut Side<'_>, sides: &mut [Side<'_>]) {
    let steal = Steal::begin();
    let mut random = Random::new(2);
    let mut results = vec![(Vec::new(), Vec::new(), Vec::new()); sides.len()];
    let mut order: Vec<usize> = (0..sides.len()).collect();
    let time = |side: &mut Side<'_>, start: usize| {
        let timed = start + size.checks * WARM;
        (side.run)(probes, start..timed);
        let start = processor_time();
        (side.run)(probes, timed..timed + size.checks);
        (processor_time() - start).as_secs_f64()
    };
    for _ in 0..size.rounds.div_ceil(2) {
        for at in (1..order.len()).rev() {
            order.swap(at, random.index(at + 1));
        }
        for at in &order {
            for round in 0..ROUNDS {
                let mut start = || random.index(probes.len() - size.checks * (WARM + 1));
                let (first, second) = (start(), start());
                let (floor, own) = if round % 2 == 0 {
                    let floor = time(floor, first);
                    (floor, time(&mut sides[*at], second))
                } else {
                    let own = time(&mut sides[*at], first);
                    (time(floor, second), own)
                };
                if round > 0 {
                    results[*at].0.push(floor / own);
                    results[*at].1.push(own);
                    results[*at].2.push(floor);
                }
            }
        }
    }
    #[expect(clippy::cast_precision_loss, reason = "figures to look at")]
    let nanoseconds = |list: &mut Vec<f64>| quantile(list, 0.5) * 1e9 / size.checks as f64;
    for (side, (ratios, mut own, mut floor)) in sides.iter().zip(results) {
        report(&format!(
            "{what}, {:<36} ratio {}   ours {:>5.0} ns   floor {:>5.0} ns   {}",
            side.name,
            spread(ratios),
            nanoseconds(&mut own),
            nanoseconds(&mut floor),
            steal.share()
        ));
    }
}
