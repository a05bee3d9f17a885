//! The index file is derived: lost, damaged, foreign or late, the answers are the same.

use std::path::{Path, PathBuf};

use redb::{Database, TableDefinition};
use spl_fixtures::{
    builders::{self, Sequencer, draft},
    random::Random,
};
use spl_kernel::{
    log::{FLUSH_RECORDS, Log, LogSource, Range, index_path, journal_path},
    record::Act,
    thread::{Participant, Summary},
};
use tempfile::TempDir;

use crate::support::{sound, words};

const RECORDS: usize = 400;

/// A closed log of [`RECORDS`] records with its index file complete.
fn closed() -> (TempDir, PathBuf) {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("log.redb");
    let log = builders::open(LogSource::File(path.clone()));
    builders::append(&log, &builders::synthetic(RECORDS, 50));
    builders::flush_all(&log);
    (directory, path)
}

#[derive(Debug, PartialEq)]
struct Answers {
    threads: Vec<Summary>,
    tasks: Vec<Summary>,
    participants: Vec<Vec<Participant>>,
    positions: Vec<Vec<u64>>,
    counts: [u64; 4],
}

fn answers(log: &Log) -> Answers {
    let index = log.index();
    let threads = index.threads(0, usize::MAX).unwrap();
    let names: Vec<String> = threads.iter().map(|s| s.thread.clone()).collect();
    Answers {
        tasks: index.tasks(0, usize::MAX).unwrap(),
        participants: names.iter().map(|n| index.participants(n, usize::MAX).unwrap()).collect(),
        positions: names.iter().map(|n| index.thread(n, Range::after(0, usize::MAX)).unwrap()).collect(),
        counts: index.record_counts().unwrap(),
        threads,
    }
}

/// Opens a log and counts the records that its index had to catch up with.
fn reopened(path: &Path) -> (Log, u64) {
    let mut caught_up = 0;
    let log = Log::open(LogSource::File(path.to_owned()), &mut |done, _| caught_up = done)
        .unwrap_or_else(|e| panic!("{}", words(&e)));
    (log, caught_up)
}

fn rebuilt_after(change: impl FnOnce(&Path)) {
    let (_directory, path) = closed();
    let (log, caught_up) = reopened(&path);
    assert_eq!(caught_up, 0, "a complete index has nothing to catch up with");
    let before = answers(&log);
    assert_eq!(before.counts, [RECORDS as u64; 4]);
    drop(log);
    change(&index_path(&path));
    let (log, caught_up) = reopened(&path);
    assert_eq!(caught_up, RECORDS as u64);
    assert_eq!(answers(&log), before);
    builders::flush_all(&log);
    assert_eq!(answers(&log), before);
    assert_eq!(sound(&log).len(), RECORDS);
    drop(log);
    assert_eq!(reopened(&path).1, 0, "the new index stays");
}

#[test]
fn a_lost_index_is_built_again() {
    rebuilt_after(|index| std::fs::remove_file(index).unwrap());
}

#[test]
fn an_index_that_is_no_database_is_built_again() {
    rebuilt_after(|index| std::fs::write(index, "not a database").unwrap());
    rebuilt_after(|index| std::fs::write(index, "").unwrap());
    rebuilt_after(|index| std::fs::write(index, vec![0; 1 << 20]).unwrap());
}

#[test]
fn a_cut_index_is_built_again() {
    for length in [100, 4096, 70_000] {
        rebuilt_after(|index| {
            std::fs::OpenOptions::new().write(true).open(index).unwrap().set_len(length).unwrap()
        });
    }
}

#[test]
fn an_index_with_a_torn_header_is_built_again() {
    rebuilt_after(|index| {
        let mut bytes = std::fs::read(index).unwrap();
        bytes[9..400].fill(0xa5);
        std::fs::write(index, bytes).unwrap();
    });
}

#[test]
fn an_index_of_another_log_is_built_again() {
    rebuilt_after(|index| {
        let other = tempfile::tempdir().unwrap();
        let path = other.path().join("log.redb");
        let log = builders::open(LogSource::File(path.clone()));
        let mut sequencer = Sequencer::default();
        for i in 0..20 {
            let body = format!("{{\"i\":{i}}}");
            builders::append(&log, &[sequencer.commit([draft("other", "did:a:b", Act::Do, &body)])]);
        }
        builders::flush_all(&log);
        drop(log);
        std::fs::copy(index_path(&path), index).unwrap();
    });
}

/// An index that is ahead: the log was put back from an older copy, without its journal.
#[test]
fn an_index_ahead_of_its_log_is_built_again() {
    let (_directory, path) = closed();
    let older = std::fs::read(&path).unwrap();
    let (log, _) = reopened(&path);
    let before = answers(&log);
    builders::append(&log, &[Sequencer::after(&log.head()).commit([draft("new", "did:a:b", Act::Do, "{}")])]);
    builders::flush_all(&log);
    drop(log);
    std::fs::write(&path, older).unwrap();
    std::fs::remove_file(journal_path(&path)).unwrap();
    let (log, caught_up) = reopened(&path);
    assert_eq!((caught_up, answers(&log)), (RECORDS as u64, before));
}

#[test]
fn an_index_of_another_version_is_built_again() {
    const META: TableDefinition<'_, &str, &[u8]> = TableDefinition::new("meta.1");
    for meta in [&[1_u8, 0][..], &[3, 0], &[0, 0], &[], &[0xff; 40]] {
        rebuilt_after(|index| {
            let db = Database::open(index).unwrap();
            let txn = db.begin_write().unwrap();
            txn.open_table(META).unwrap().insert("meta", meta).unwrap();
            txn.commit().unwrap();
        });
    }
}

#[test]
fn an_index_with_other_tables_is_built_again() {
    const IDS: TableDefinition<'_, u64, u64> = TableDefinition::new("ids.1");
    rebuilt_after(|index| {
        std::fs::remove_file(index).unwrap();
        let txn_of = Database::create(index).unwrap();
        let txn = txn_of.begin_write().unwrap();
        txn.open_table(IDS).unwrap().insert(1, 1).unwrap();
        txn.commit().unwrap();
    });
}

/// What was in memory only when the process ended is read from the log again, and nothing else.
#[test]
fn a_late_index_catches_up() {
    let (_directory, path) = closed();
    let (log, _) = reopened(&path);
    let mut sequencer = Sequencer::after(&log.head());
    for i in 0..30 {
        let drafts = (0..3).map(|j| draft("late", &format!("did:a:{j}"), Act::Do, &format!("{{\"i\":{i}}}")));
        builders::append(&log, &[sequencer.commit(drafts)]);
    }
    let before = answers(&log);
    assert_eq!(log.index().behind(), 90);
    drop(log);
    let (log, caught_up) = reopened(&path);
    assert_eq!((caught_up, log.index().behind()), (90, 90));
    assert_eq!(answers(&log), before);
}

/// A flush may end in the middle of a commit; the index knows where it stands all the same.
#[test]
fn a_flush_may_cut_a_commit() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("log.redb");
    let log = builders::open(LogSource::File(path.clone()));
    let commits = builders::synthetic(FLUSH_RECORDS + 500, 1000);
    builders::append(&log, &commits);
    assert_eq!(log.index().flush().unwrap(), FLUSH_RECORDS);
    assert_eq!(log.index().behind(), 500);
    let before = answers(&log);
    drop(log);
    let (log, caught_up) = reopened(&path);
    assert_eq!((caught_up, answers(&log)), (500, before));
}

/// Damage inside the index is either harmless or reported; it never ends the process, and never touches the log.
#[test]
fn a_damaged_index_is_noticed_or_harmless() {
    let (directory, path) = closed();
    let log_bytes = std::fs::read(&path).unwrap();
    let index_bytes = std::fs::read(index_path(&path)).unwrap();
    let (log, _) = reopened(&path);
    let before = answers(&log);
    drop(log);
    let mut random = Random::new(7);
    let used: Vec<usize> = (0..index_bytes.len()).filter(|at| index_bytes[*at] != 0).collect();
    for round in 0..60 {
        let copy = directory.path().join(format!("copy-{round}.redb"));
        std::fs::write(&copy, &log_bytes).unwrap();
        let mut bytes = index_bytes.clone();
        bytes[used[random.index(used.len())]] ^= 1 << random.below(8);
        std::fs::write(index_path(&copy), bytes).unwrap();
        let log = builders::open(LogSource::File(copy.clone()));
        let report = log.verify(None, &mut |_| {}, &mut |_, _| {}).unwrap();
        if report.problems.is_empty() {
            let reached = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| answers(&log)));
            drop(reached);
        }
        drop(log);
        std::fs::remove_file(index_path(&copy)).unwrap();
        let (log, _) = reopened(&copy);
        assert_eq!(answers(&log), before, "round {round}: the log is whole");
        drop(log);
        std::fs::remove_file(&copy).unwrap();
        std::fs::remove_file(index_path(&copy)).unwrap();
    }
}
