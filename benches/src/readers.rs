//! Readers that check tokens as fast as they can, beside a writer that mints them at a pace.

#![expect(clippy::expect_used, reason = "a benchmark that cannot run has no result")]
#![expect(clippy::cast_precision_loss, reason = "figures to look at")]

use std::{
    hint::black_box,
    sync::{
        Arc, Barrier, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use arc_swap::ArcSwap;
use spl_kernel::record::StoredRecord;
use spl_projections::{World, merge::Merged};

use crate::{
    now,
    tokens::{Probe, Probes},
    turns::processor_time,
};

/// What the writer does with state: clone, fold, publish, and merge behind, as the server's does.
#[derive(Debug)]
pub struct Minter {
    published: Arc<ArcSwap<World>>,
    done: Arc<Mutex<Vec<Merged>>>,
    replaced: Option<World>,
    /// Merges that were put in place.
    pub merges: usize,
}

impl Minter {
    /// Over what readers see.
    #[must_use]
    pub fn new(published: Arc<ArcSwap<World>>) -> Self {
        Self { published, done: Arc::default(), replaced: None, merges: 0 }
    }

    /// Takes in one record.
    pub fn write(&mut self, stored: &StoredRecord) {
        let mut world = World::clone(&self.published.load());
        world.fold(stored).expect("a known record");
        let replaced = self.replaced.take();
        let finished = std::mem::take(&mut *self.done.lock().expect("no panic"));
        for merged in finished {
            self.replaced = Some(world.clone());
            self.merges += usize::from(world.finish_merge(merged));
        }
        let begun = world.begin_merge();
        if replaced.is_some() || begun.is_some() {
            let done = self.done.clone();
            std::thread::spawn(move || {
                drop(replaced);
                done.lock().expect("no panic").extend(begun.map(spl_projections::merge::Merge::run));
            });
        }
        self.published.store(Arc::new(world));
    }
}

/// What readers did in one window.
#[derive(Debug, Clone, Copy)]
pub struct Window {
    /// Checks a second of wall clock, of all readers.
    pub rate: f64,
    /// Seconds of processor time a check.
    pub cost: f64,
}

fn pause(time: Duration) {
    #[expect(clippy::disallowed_methods, reason = "windows and the writer's pace are made of time")]
    std::thread::sleep(time);
}

/// Lets one reader for each list of probes run `check` for some time, and `beside` beside them; that one is
/// to end when its argument says so.
pub fn window(
    lists: &[Probes],
    time: Duration,
    check: impl Fn(Probe<'_>) + Sync,
    beside: impl FnOnce(&AtomicBool) + Send,
) -> Window {
    let stop = AtomicBool::new(false);
    let barrier = Barrier::new(lists.len() + 2);
    let (stop, barrier, check) = (&stop, &barrier, &check);
    let reader = |probes: &Probes| {
        barrier.wait();
        let (started, start) = (now(), processor_time());
        let (mut at, mut count) = (0, 0_u32);
        while !stop.load(Ordering::Relaxed) {
            for probe in probes.range(at..at + 50) {
                check(black_box(probe));
            }
            at = (at + 50) % (probes.len() - 50);
            count += 50;
        }
        let cost = (processor_time() - start).as_secs_f64() / f64::from(count);
        (f64::from(count) / (now() - started).as_secs_f64(), cost)
    };
    std::thread::scope(|scope| {
        let readers: Vec<_> = lists.iter().map(|probes| scope.spawn(move || reader(probes))).collect();
        let writer = scope.spawn(move || {
            barrier.wait();
            beside(stop);
        });
        barrier.wait();
        pause(time);
        stop.store(true, Ordering::Relaxed);
        let done: Vec<(f64, f64)> = readers.into_iter().map(|r| r.join().expect("no panic")).collect();
        writer.join().expect("no panic");
        Window {
            rate: done.iter().map(|(rate, _)| rate).sum(),
            cost: done.iter().map(|(_, cost)| cost).sum::<f64>() / done.len() as f64,
        }
    })
}

/// Writes records one a millisecond until told to stop. Pushes the seconds that each took.
pub fn mint(minter: &mut Minter, records: &[StoredRecord], took: &mut Vec<f64>, stop: &AtomicBool) {
    let (start, mut due) = (now(), Duration::ZERO);
    for stored in records {
        if stop.load(Ordering::Relaxed) {
            return;
        }
        let begun = now();
        minter.write(stored);
        took.push((now() - begun).as_secs_f64());
        due += Duration::from_millis(1);
        pause(due.saturating_sub(now() - start));
    }
}
