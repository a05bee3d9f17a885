//! Reading a log from its beginning: every record decoded, its id recomputed, what makes state folded into it, as `spl
//! replay` does it. Floor: a scan of a redb table that has the same encoded records, one a row, and takes in each byte of
//! them.
//!
//! Real records in commits of 16, and after about a hundred of them an account or a token, in a log that was appended to,
//! closed, and opened for reading. The floor has the same cache as the log, and at last one for all of it. What one thread does is timed by its processor
//! time; the replay itself, on two, by the clock, and so is its floor.

#![expect(clippy::expect_used, reason = "a benchmark that cannot run has no result")]

use std::{os::unix::fs::MetadataExt as _, path::Path, time::Duration};

use criterion::{Criterion, criterion_group, criterion_main};
use redb::{Builder, Database, ReadableDatabase as _, TableDefinition};
use spl_benches::{Size, disk_directory, ratio, report, timed, tokens::Book, turns::processor_time};
use spl_fixtures::{builders, builders::Sequencer, data};
use spl_kernel::{
    commit::encode_entry,
    draft::Draft,
    entry::EntryRef,
    id::RecordId,
    log::{FLUSH_RECORDS, Log, LogSource, NewCommit, ReadOnlyLog, Reader},
    record::StoredRecord,
};
use spl_projections::{World, event::may_be_event};
use spl_server::offline;

const PLAIN: TableDefinition<'_, u64, &[u8]> = TableDefinition::new("plain");

/// The log's own.
const CACHE_BYTES: usize = 16 * 1024 * 1024;
/// Enough for all of the floor.
const CACHE_BYTES_ALL: usize = 1024 * 1024 * 1024;
/// Records of a commit: a batch of 16 clients.
const COMMIT: usize = 16;
/// Commits of real records for one of the instance's own.
const OWN: usize = 6;
/// Commits that are appended at once.
const GROUP: usize = 64;
/// So many times the records of other benchmarks: the cache must not hold them.
const TIMES: usize = 10;

/// Real records round and round, each with a clock of its own, and accounts with their tokens in between.
fn commits(count: usize) -> impl Iterator<Item = NewCommit> {
    let drafts: Vec<Draft> = data::debian_drafts().map(|draft| Draft { clock: None, ..draft }).collect();
    let mut drafts = drafts.into_iter().cycle();
    let mut own: Vec<StoredRecord> = Vec::new();
    // One account to ten tokens.
    let tokens = count / COMMIT / OWN * 10 / 11;
    Book::write(u32::try_from(tokens).expect("a few"), &mut |stored| own.push(stored));
    let mut own = own.into_iter();
    let mut sequencer = Sequencer::default();
    let each = move |n: usize| {
        let posted = sequencer.commit(drafts.by_ref().take(COMMIT));
        let decided = n.is_multiple_of(OWN).then(|| own.next()).flatten().map(|stored| {
            let StoredRecord { record, provenance, .. } = stored;
            let draft = builders::draft(&record.thread, &record.actor, record.act, &record.body);
            sequencer.commit_of([(draft, provenance)])
        });
        [Some(posted), decided].into_iter().flatten()
    };
    (0..count.div_ceil(COMMIT)).flat_map(each)
}

/// Appends them to a log, which is then closed.
fn fill(path: &Path, count: usize) {
    let log = Log::open(LogSource::File(path.to_owned()), &mut |_, _| {}).expect("a log");
    let mut commits = commits(count).peekable();
    while commits.peek().is_some() {
        let group: Vec<NewCommit> = commits.by_ref().take(GROUP).collect();
        log.append(log.head(), group).expect("appended");
        while log.index().behind() >= FLUSH_RECORDS {
            log.index().flush().expect("flushed");
        }
    }
    log.close().expect("closed");
}

/// The floor's table with the log's records.
fn plain(path: &Path, log: &Reader, records: u64) -> Database {
    let db = Builder::new().set_cache_size(CACHE_BYTES).create(path).expect("a database");
    let group = (GROUP * COMMIT) as u64;
    for start in (0..records).step_by(GROUP * COMMIT) {
        let write = db.begin_write().expect("a transaction");
        {
            let mut table = write.open_table(PLAIN).expect("a table");
            let mut insert = |stored: StoredRecord| {
                let bytes = encode_entry(&stored.record, &stored.provenance);
                table.insert(stored.sequence, bytes.as_slice()).expect("inserted");
                stored.sequence < start + group
            };
            log.scan(start, &mut insert).expect("read");
        }
        write.commit().expect("committed");
    }
    db
}

fn scan(db: &Database) -> u64 {
    let table = db.begin_read().expect("a snapshot").open_table(PLAIN).expect("a table");
    let mut records = 0;
    let mut bytes = 0;
    for row in table.range(0..).expect("a range") {
        bytes = row.expect("a row").1.value().iter().fold(bytes, |all, byte| all ^ byte);
        records += 1;
    }
    assert!(bytes > 0 || records > 0);
    records
}

/// What one thread does with the records, step by step.
struct Steps {
    text: bool,
    id: bool,
    state: bool,
}

fn walk(reader: &Reader, steps: &Steps) -> u64 {
    let mut world = World::default();
    let mut text = String::new();
    let mut sound = 0;
    let mut take = |sequence: u64, at, entry: &EntryRef<'_>| {
        text.clear();
        if steps.text {
            entry.write_canonical(&mut text).expect("within limits");
        }
        sound += u64::from(!steps.id || RecordId::of(&text) == entry.id());
        if steps.state && may_be_event(entry.origin(), entry.thread()) {
            world.fold(&entry.to_stored(sequence, at)).expect("a known event");
        }
        true
    };
    reader.scan_entries(0, &mut take).expect("read");
    sound
}

fn of_thread<T>(work: impl FnOnce() -> T) -> Duration {
    let start = processor_time();
    std::hint::black_box(work());
    processor_time() - start
}

fn bytes_each(path: &Path, records: u64) -> u64 {
    path.metadata().expect("a file").blocks() * 512 / records
}

fn replay(c: &mut Criterion) {
    let size = Size::of_this_run();
    let directory = disk_directory().expect("a directory");
    let (path, bare) = (directory.path().join("log.redb"), directory.path().join("plain.redb"));
    fill(&path, size.records * if size.records < 1000 { 1 } else { TIMES });
    let log = ReadOnlyLog::open(&path).expect("a log");
    let reader = log.reader().expect("a snapshot");
    let records = log.head().sequence;
    let db = plain(&bare, &reader, records);
    assert_eq!(scan(&db), records);
    report(&format!(
        "{records} records; bytes of disk each: log {}, floor {}",
        bytes_each(&path, records),
        bytes_each(&bare, records),
    ));
    let ours = || offline::replay(&reader, &mut |_| {}).expect("a sound log");
    let world = ours();
    assert!(!world.tokens.is_empty() && !world.accounts.is_empty());
    let floor = || of_thread(|| scan(&db));
    let steps = |text, id, state| Steps { text, id, state };
    let parts = [
        ("decoded where they lie", steps(false, false, false)),
        ("+ canonical form", steps(true, false, false)),
        ("+ SHA-256 and comparison", steps(true, true, false)),
        ("+ state, all of it on one thread", steps(true, true, true)),
    ];
    for (name, steps) in parts {
        let one = || of_thread(|| assert_eq!(walk(&reader, &steps), records));
        ratio(name, size.rounds, floor, one);
    }
    let owned = || of_thread(|| reader.scan(0, &mut |stored| stored.sequence > 0).expect("read"));
    ratio("decoded into strings, for comparison", size.rounds, floor, owned);
    ratio("replay with ids and state, two threads", size.rounds, || timed(|| scan(&db)), || timed(ours));
    drop(db);
    let db = Builder::new().set_cache_size(CACHE_BYTES_ALL).open(&bare).expect("a database");
    let name = "the same, all of the floor in its cache";
    ratio(name, size.rounds, || timed(|| scan(&db)), || timed(ours));
    c.bench_function("replay", |b| b.iter(ours));
}

criterion_group!(benches, replay);
criterion_main!(benches);
