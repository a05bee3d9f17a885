//! What the benchmarks share: named sizes, and ratios against a floor measured in the same run.
//!
//! Machines are noisy, and absolute figures lie: only two things measured in turn, many times, say something
//! about each other. [`ratio`] does that and prints the median and its spread, with the share of time that
//! the host took away meanwhile.

pub mod behind;
pub mod readers;
pub mod server;
pub mod tokens;
pub mod turns;

use std::{
    hint::black_box,
    io::Write as _,
    path::PathBuf,
    time::{Duration, Instant},
};

use tikv_jemallocator::Jemalloc;

/// The one that `spl` has: what is measured in this process is measured as it runs there, and floors have no worse one.
#[global_allocator]
static ALLOCATOR: Jemalloc = Jemalloc;

/// How much a benchmark does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Size {
    /// Rounds of each side.
    pub rounds: usize,
    /// Records in a workload.
    pub records: usize,
    /// Subscribers of a stream.
    pub subscribers: usize,
    /// Tokens of a world, one world each.
    pub tokens: &'static [u32],
    /// Checks that are timed at once.
    pub checks: usize,
}

impl Size {
    /// Small with `--test`, as the test command runs it so that it cannot rot; large otherwise.
    #[must_use]
    pub fn of_this_run() -> Self {
        if std::env::args().any(|a| a == "--test") {
            Self { rounds: 3, records: 400, subscribers: 20, tokens: &[1_000], checks: 100 }
        } else {
            Self {
                rounds: 21,
                records: 20_000,
                subscribers: 1000,
                tokens: &[1_000, 100_000, 1_000_000],
                checks: 1500,
            }
        }
    }
}

/// Reads the clock: the one place where benchmarks do.
#[must_use]
pub fn now() -> Instant {
    #[expect(clippy::disallowed_methods, reason = "measuring time is what a benchmark is for")]
    Instant::now()
}

/// How long `f` takes. Its result is kept from being optimised away.
pub fn timed<T>(f: impl FnOnce() -> T) -> Duration {
    let start = now();
    black_box(f());
    now().duration_since(start)
}

/// A directory on the disk that the build is on: not a file system in memory.
///
/// # Errors
/// When it cannot be made.
pub fn disk_directory() -> std::io::Result<tempfile::TempDir> {
    let target = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../target");
    std::fs::create_dir_all(&target)?;
    tempfile::Builder::new().prefix("bench-").tempdir_in(target)
}

/// The ticks of processor time that the host took from this machine since some instant.
#[derive(Debug, Clone, Copy)]
pub struct Steal(Option<(u64, u64)>);

impl Steal {
    /// From now on.
    #[must_use]
    pub fn begin() -> Self {
        Self(Self::ticks())
    }

    fn ticks() -> Option<(u64, u64)> {
        let stat = std::fs::read_to_string("/proc/stat").ok()?;
        let ticks: Vec<u64> =
            stat.lines().next()?.split_whitespace().skip(1).filter_map(|t| t.parse().ok()).collect();
        Some((*ticks.get(7)?, ticks.iter().take(8).sum()))
    }

    /// Their share, for a line of results.
    #[must_use]
    pub fn share(&self) -> String {
        let stolen = match (self.0, Self::ticks()) {
            #[expect(clippy::cast_precision_loss, reason = "a percentage")]
            (Some((s0, t0)), Some((s1, t1))) if t1 > t0 => 100.0 * (s1 - s0) as f64 / (t1 - t0) as f64,
            _ => 0.0,
        };
        format!("steal {stolen:.1} %{}", if stolen > 5.0 { "  NOISY" } else { "" })
    }
}

/// A quantile of a list, which is put in order.
pub fn quantile(list: &mut [f64], q: f64) -> f64 {
    list.sort_by(f64::total_cmp);
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        clippy::cast_precision_loss,
        reason = "an index"
    )]
    let at = ((list.len().saturating_sub(1)) as f64 * q).round() as usize;
    list.get(at).copied().unwrap_or(f64::NAN)
}

/// The median of ratios, and the quartiles.
#[must_use]
pub fn spread(mut ratios: Vec<f64>) -> String {
    let [low, median, high] = [0.25, 0.5, 0.75].map(|q| quantile(&mut ratios, q));
    format!("{median:.2} ({low:.2}-{high:.2})")
}

/// Measures `floor` and `ours` in turn, `rounds` times, and prints how fast ours is relative to the floor:
/// the median of floor time over our time per round, with the quartiles. 1.00 is the floor itself; 0.50 takes
/// twice as long. Each closure returns the time of its own round.
pub fn ratio(
    name: &str,
    rounds: usize,
    mut floor: impl FnMut() -> Duration,
    mut ours: impl FnMut() -> Duration,
) {
    let steal = Steal::begin();
    // The first of each warms caches and files.
    black_box((floor(), ours()));
    let mut ratios = Vec::with_capacity(rounds);
    let (mut floors, mut owns) = (Vec::new(), Vec::new());
    for _ in 0..rounds {
        let (f, o) = (floor().as_secs_f64(), ours().as_secs_f64());
        ratios.push(f / o);
        floors.push(f);
        owns.push(o);
    }
    report(&format!(
        "{name:<44} ratio {}   ours {:>9.1} us   floor {:>9.1} us   {}",
        spread(ratios),
        quantile(&mut owns, 0.5) * 1e6,
        quantile(&mut floors, 0.5) * 1e6,
        steal.share(),
    ));
}

/// Prints a line of results. Whoever reads them may have seen enough.
pub fn report(line: &str) {
    let _ = writeln!(std::io::stdout(), "{line}");
}
