//! Reading a log from its beginning: decode each record, recompute its id, fold it into state. Floor: a bare
//! walk over the rows of the same file.

#![expect(clippy::expect_used, reason = "a benchmark that cannot run has no result")]

use criterion::{Criterion, criterion_group, criterion_main};
use redb::{Database, ReadableDatabase as _, TableDefinition};
use spl_benches::{Size, disk_directory, ratio, timed};
use spl_fixtures::builders;
use spl_kernel::{
    id::RecordId,
    log::{Log, LogSource},
};
use spl_projections::World;

const ROWS: TableDefinition<'_, u64, &[u8]> = TableDefinition::new("spl.rows.1");

fn replay(c: &mut Criterion) {
    let size = Size::of_this_run();
    let directory = disk_directory().expect("a directory");
    let path = directory.path().join("log.redb");
    let log = Log::open(LogSource::File(path.clone()), &mut |_, _| {}).expect("a log");
    builders::append(&log, &builders::synthetic(size.records, 16));
    builders::flush_all(&log);
    let copy = directory.path().join("copy.redb");
    drop(log);
    std::fs::copy(&path, &copy).expect("copied");
    let log = Log::open(LogSource::File(path), &mut |_, _| {}).expect("a log");
    let bare = Database::open(copy).expect("a database");
    let floor = || {
        let table = bare.begin_read().expect("a snapshot").open_table(ROWS).expect("the rows");
        table.range(0..).expect("a range").map(|row| row.expect("a row").1.value().len()).sum::<usize>()
    };
    let ours = || {
        let mut world = World::default();
        let mut sound = 0;
        let reader = log.reader().expect("a snapshot");
        reader
            .scan(0, &mut |stored| {
                let text = stored.record.canonical().expect("within limits");
                sound += u64::from(RecordId::of(&text) == stored.record.id);
                world.fold(&stored).expect("known events");
                true
            })
            .expect("read");
        assert_eq!(sound, log.head().sequence);
        world.digest()
    };
    ratio("replay with ids and state over a bare scan", size.rounds, || timed(floor), || timed(ours));
    c.bench_function("replay", |b| b.iter(ours));
}

criterion_group!(benches, replay);
criterion_main!(benches);
