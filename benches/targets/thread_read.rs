//! Reading one page of a thread through the index. Floor: point reads of the same records from a plain redb
//! table.

#![expect(clippy::expect_used, reason = "a benchmark that cannot run has no result")]

use criterion::{Criterion, criterion_group, criterion_main};
use redb::{Database, ReadableDatabase as _, TableDefinition};
use spl_benches::{Size, disk_directory, ratio, timed};
use spl_fixtures::builders;
use spl_kernel::{
    commit::encode_entry,
    log::{Log, LogSource, Range},
};

const PLAIN: TableDefinition<'_, u64, &[u8]> = TableDefinition::new("plain");
const PAGE: usize = 100;

fn thread_read(c: &mut Criterion) {
    let size = Size::of_this_run();
    let directory = disk_directory().expect("a directory");
    let log = Log::open(LogSource::File(directory.path().join("log.redb")), &mut |_, _| {}).expect("a log");
    builders::append(&log, &builders::synthetic(size.records, 16));
    builders::flush_all(&log);
    let plain = Database::create(directory.path().join("plain.redb")).expect("a database");
    let write = plain.begin_write().expect("a transaction");
    let reader = log.reader().expect("a snapshot");
    let mut thread = String::new();
    {
        let mut table = write.open_table(PLAIN).expect("a table");
        reader
            .scan(0, &mut |stored| {
                thread.clone_from(&stored.record.thread);
                let bytes = encode_entry(&stored.record, &stored.provenance);
                table.insert(stored.sequence, bytes.as_slice()).expect("inserted");
                true
            })
            .expect("read");
    }
    write.commit().expect("committed");
    let sequences = log.index().thread(&thread, Range::after(0, PAGE)).expect("an index");
    let floor = || {
        let table = plain.begin_read().expect("a snapshot").open_table(PLAIN).expect("a table");
        sequences.iter().filter_map(|s| table.get(s).expect("read")).map(|b| b.value().len()).sum::<usize>()
    };
    let ours = || {
        let sequences = log.index().thread(&thread, Range::after(0, PAGE)).expect("an index");
        log.reader().expect("a snapshot").records(&sequences).expect("read").len()
    };
    ratio("a page of a thread over plain point reads", size.rounds * 20, || timed(floor), || timed(ours));
    c.bench_function("thread page", |b| b.iter(ours));
}

criterion_group!(benches, thread_read);
criterion_main!(benches);
