//! Reading a log from its beginning with each id recomputed, and logs that are opened for reading only.

use std::path::{Path, PathBuf};

use redb::{Database, ReadableTable as _, TableDefinition};
use spl_fixtures::builders::{self, Sequencer, draft_at};
use spl_kernel::{
    log::{LogSource, NewCommit, ReadOnlyLog, error::StoreError, journal_path},
    record::{Act, StoredRecord},
};
use tempfile::TempDir;

use crate::support::{child, process, read, sound, verified, words};

const ROWS: TableDefinition<'_, u64, &[u8]> = TableDefinition::new("spl.rows.1");

/// Records of the log: enough for many batches.
const RECORDS: usize = 3000;

fn log_of(commits: &[NewCommit]) -> (TempDir, PathBuf) {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("log.redb");
    let log = builders::open(LogSource::File(path.clone()));
    commits.chunks(100).for_each(|group| builders::append(&log, group));
    drop(log);
    (directory, path)
}

/// Changes the row that holds a record.
fn change(path: &Path, sequence: u64, change: impl FnOnce(&mut Vec<u8>)) {
    let db = Database::open(path).unwrap();
    let txn = db.begin_write().unwrap();
    {
        let mut rows = txn.open_table(ROWS).unwrap();
        let (key, mut row) = {
            let (key, row) = rows.range(..=sequence).unwrap().next_back().unwrap().unwrap();
            (key.value(), row.value().to_vec())
        };
        change(&mut row);
        rows.insert(key, row.as_slice()).unwrap();
    }
    txn.commit().unwrap();
}

/// Changes a record's body, so that its id is not that of its fields any more.
fn forge(path: &Path, sequence: u64) {
    change(path, sequence, |row| {
        let body = format!(r#""n":{},"padding":"x"#, sequence - 1);
        let at = row.windows(body.len()).position(|w| w == body.as_bytes()).unwrap();
        row[at + body.len() - 1] = b'y';
    });
}

/// Replays and gives the records of one thread, up to `last`.
fn replayed(path: &Path, last: u64) -> Result<Vec<StoredRecord>, StoreError> {
    let mut seen = Vec::new();
    let mut reached = 0;
    read(path).reader()?.replay(
        &|entry| entry.thread() == "fixture.synthetic.3",
        &mut |stored| {
            assert_eq!(stored.record.thread, "fixture.synthetic.3");
            let go_on = stored.sequence < last;
            seen.push(stored);
            go_on
        },
        &mut |at| {
            assert!(at > reached);
            reached = at;
        },
    )?;
    assert!(last < u64::MAX || reached > 2500, "progress is told of");
    Ok(seen)
}

#[track_caller]
fn names(result: Result<Vec<StoredRecord>, StoreError>, sequence: u64) {
    match result {
        Err(StoreError::Row { sequence: found, .. }) => assert_eq!(found, sequence),
        Err(other) => panic!("{other:?}"),
        Ok(seen) => panic!("{} records were given", seen.len()),
    }
}

#[test]
fn a_replay_gives_what_is_asked_for_in_order() {
    let (_directory, path) = log_of(&builders::synthetic(RECORDS, 16));
    let all = sound(&read(&path));
    let of_thread = |last| -> Vec<StoredRecord> {
        let through = all.iter().filter(|s| s.sequence <= last);
        through.filter(|s| s.record.thread == "fixture.synthetic.3").cloned().collect()
    };
    assert!(replayed(&path, u64::MAX).unwrap() == of_thread(u64::MAX));
    assert!(replayed(&path, 1005).unwrap() == of_thread(1005));
}

/// Which of two threads finds what first is chance; what is said is not.
#[test]
fn a_replay_names_the_first_damaged_record() {
    let (_directory, path) = log_of(&builders::synthetic(RECORDS, 16));
    forge(&path, 2990);
    names(replayed(&path, u64::MAX), 2990);
    forge(&path, 700);
    forge(&path, 1500);
    let error = replayed(&path, u64::MAX).unwrap_err();
    assert_eq!(
        words(&error),
        "the log is damaged at record 700: malformed: the id is not that of the fields"
    );
    for _ in 0..20 {
        names(replayed(&path, u64::MAX), 700);
    }
    // What is read no more is not looked at; what was read before is.
    assert!(replayed(&path, 600).is_ok());
    names(replayed(&path, 705), 700);
    change(&path, 810, |row| row.truncate(row.len() - 1));
    for _ in 0..20 {
        names(replayed(&path, u64::MAX), 700);
    }
    change(&path, 650, |row| row.truncate(row.len() - 1));
    // Of a row that ends too early only the last record is damaged.
    names(replayed(&path, u64::MAX), 655);
}

/// A record whose clock, or all of it, is there before: an index would find one of the two only.
#[test]
fn verifying_without_an_index_finds_what_is_there_twice() {
    let at = |thread, actor, clock, body| draft_at(thread, actor, Act::Do, clock, body);
    let good = || {
        vec![
            at("t", "did:a:b", 5, "{}"),
            at("t", "did:a:b", 3, "{}"),
            at("t", "did:a:c", 5, "{}"),
            at("u", "did:a:b", 5, "{}"),
            at("t", "did:a:b", 4, "{}"),
        ]
    };
    let report = |more| {
        let mut sequencer = Sequencer::default();
        let commits = [sequencer.commit(good()), sequencer.commit([more])];
        let (_directory, path) = log_of(&commits);
        verified(&read(&path), None).0.problems
    };
    assert_eq!(report(at("t", "did:a:b", 6, "{}")), Vec::<String>::new());
    for (clock, body) in [(5, "{}"), (3, r#"{"other":1}"#), (4, "{}")] {
        let problems = report(at("t", "did:a:b", clock, body));
        assert_eq!(problems, ["record 6 has a clock that its actor has on its thread already"], "{clock}");
    }
}

/// However long the log is: there is no index to build, only a journal to read. (Without optimisation the engine itself walks all pages.)
#[test]
fn opening_for_reading_reads_little() {
    let (_directory, path) = log_of(&builders::synthetic(20_000, 100));
    child("replay::child_open", &[("SPL_CHILD_LOG", path.to_str().unwrap())]);
}

#[test]
#[ignore = "run in a process of its own by `opening_for_reading_reads_little`"]
fn child_open() {
    let path = PathBuf::from(process::variable("SPL_CHILD_LOG"));
    let before = process::bytes_read();
    // With the cache that a log has.
    drop(Database::builder().set_cache_size(16 << 20).open(&path).unwrap());
    let engine = process::bytes_read() - before;
    let before = process::bytes_read();
    let log = ReadOnlyLog::open(&path).unwrap();
    let ours = process::bytes_read() - before;
    assert_eq!(log.head().sequence, 20_000);
    let journal = journal_path(&path).metadata().unwrap().len();
    assert!(ours < engine + journal + (1 << 20), "{ours} bytes were read, by the engine alone {engine}");
}
