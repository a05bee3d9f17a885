//! What a log costs does not depend on how long it is: not memory once the index is written, and not the time
//! to open it.

use std::path::Path;

use spl_fixtures::{builders, crash::Disks};
use spl_kernel::log::{Log, LogSource, Segments, index_path};

use crate::support::{child, process, try_open};

fn closed_log(path: &Path, records: usize) {
    let log = builders::open(LogSource::File(path.to_owned()));
    for commits in builders::synthetic(records, 500).chunks(8) {
        builders::append(&log, commits);
        builders::flush_all(&log);
    }
    assert_eq!(log.index().behind(), 0);
}

/// Counts what a process reads from its files to open a log and answer from it: the same for a thousand records
/// and for thirty thousand. With debug assertions the engine walks through a file whenever it opens one, so
/// its own part is measured and taken off.
#[test]
fn opening_reads_the_same_however_long_the_log_is() {
    let directory = tempfile::tempdir().unwrap();
    let read = |records: usize| {
        let path = directory.path().join(format!("{records}.redb"));
        closed_log(&path, records);
        let out = child(
            "memory::child_open",
            &[("SPL_CHILD_LOG", path.to_str().unwrap()), ("SPL_CHILD_RECORDS", &records.to_string())],
        );
        let figure = |name: &str| -> u64 {
            let text = out.lines().find_map(|line| line.split_once(name)).expect("the child says").1;
            text.trim().parse().unwrap()
        };
        (figure("engine alone: "), figure("in all: "))
    };
    let ((small_engine, small), (large_engine, large)) = (read(1000), read(30_000));
    let (small, large) = (small - small_engine, large.saturating_sub(large_engine));
    assert!(large < small + (256 << 10), "{small} bytes for a short log, {large} for a long one");
    if !cfg!(debug_assertions) {
        assert!(large_engine < small_engine + (256 << 10), "{small_engine} {large_engine}");
    }
}

#[test]
#[ignore = "run in a process of its own by `opening_reads_the_same_however_long_the_log_is`"]
fn child_open() {
    let records: u64 = process::variable("SPL_CHILD_RECORDS").parse().unwrap();
    let path = std::path::PathBuf::from(process::variable("SPL_CHILD_LOG"));
    let before = process::bytes_read();
    // A log is opened twice: over memory to look at it, then for writing.
    for file in [&path, &path, &index_path(&path)] {
        drop(redb::Database::open(file).unwrap());
    }
    println!("engine alone: {}", process::bytes_read() - before);
    let before = process::bytes_read();
    let mut caught_up = 0;
    let log = Log::open(LogSource::File(path), &mut |done, _| caught_up = done).unwrap();
    assert_eq!((log.head().sequence, log.index().behind(), caught_up), (records, 0, 0));
    let summary = log.index().summary("fixture.synthetic.3").unwrap().unwrap();
    assert!(log.reader().unwrap().record(summary.last_sequence).unwrap().is_some());
    println!("in all: {}", process::bytes_read() - before);
}

/// The same below the engine, without an index file: what is read beside the records themselves is constant.
#[test]
fn a_head_is_found_without_a_walk() {
    let read = |records: usize| {
        let disks = Disks::default();
        let log = try_open(disks.source(Segments::default())).unwrap();
        for commits in builders::synthetic(records, 500).chunks(8) {
            builders::append(&log, commits);
        }
        drop(log);
        let again = Disks::with(disks.images());
        let log = try_open(again.source(Segments::default())).unwrap();
        let before = again.log.bytes_read();
        let head = log.reader().unwrap().head().unwrap();
        assert_eq!((head, head.sequence), (log.head(), records as u64));
        again.log.bytes_read() - before
    };
    assert!(read(8000) <= read(1000) + (64 << 10));
}
