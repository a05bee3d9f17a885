//! Files that are no sound log of this version: refused with a message, left as they were, and never the end of
//! the process.

use std::{
    path::{Path, PathBuf},
    sync::OnceLock,
};

use redb::{Database, ReadableTable as _, TableDefinition};
use spl_fixtures::{
    builders::{self, Sequencer, draft},
    data,
    random::Random,
};
use spl_kernel::{
    commit::Chain,
    log::{
        LogSource, ReadOnlyLog,
        error::{OpenError, StoreError},
        index_path, journal_path,
    },
    record::{Act, StoredRecord},
};
use tempfile::TempDir;

use crate::support::{Verify, read, sound, try_open, verified, words};

const META: TableDefinition<'_, &str, u64> = TableDefinition::new("spl.meta");
const ROWS: TableDefinition<'_, u64, &[u8]> = TableDefinition::new("spl.rows.1");

/// The bytes of a closed log of a few commits, one of them of many pieces.
fn sample() -> &'static [u8] {
    static BYTES: OnceLock<Vec<u8>> = OnceLock::new();
    BYTES.get_or_init(|| {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("log.redb");
        let log = builders::open(LogSource::File(path.clone()));
        let mut commits = builders::synthetic(120, 15);
        let mut sequencer = Sequencer::after(&spl_kernel::commit::Head {
            sequence: 120,
            chain: Chain::GENESIS,
            committed_at: commits[7].commit.committed_at,
        });
        let padding = "p".repeat(3000);
        commits.push(sequencer.commit(
            (0..30).map(|i| {
                draft("large", "did:a:b", Act::Put, &format!(r#"{{"i":{i},"padding":"{padding}"}}"#))
            }),
        ));
        builders::append(&log, &commits);
        drop(log);
        std::fs::read(path).unwrap()
    })
}

fn records() -> Vec<StoredRecord> {
    let (_directory, path) = file(sample());
    sound(&read(&path))
}

fn file(bytes: &[u8]) -> (TempDir, PathBuf) {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("log.redb");
    std::fs::write(&path, bytes).unwrap();
    (directory, path)
}

/// Opens the file for reading and for writing; both refuse, and the file is as it was.
fn refused(bytes: &[u8], what: &str) -> OpenError {
    let (_directory, path) = file(bytes);
    let read_only = ReadOnlyLog::open(&path).err();
    let error = read_only.unwrap_or_else(|| panic!("{what}: opened for reading"));
    assert_eq!(std::fs::read(&path).unwrap(), bytes, "{what}: changed by reading");
    let writing = try_open(LogSource::File(path.clone())).err();
    let writing = writing.unwrap_or_else(|| panic!("{what}: opened for writing"));
    assert_eq!(words(&writing), words(&error), "{what}");
    assert_eq!(std::fs::read(&path).unwrap(), bytes, "{what}: changed by a refusal");
    assert!(!index_path(&path).exists(), "{what}: an index was made for what is no log");
    error
}

/// A redb file that `fill` filled.
fn database(fill: impl FnOnce(&redb::WriteTransaction)) -> Vec<u8> {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("some.redb");
    let db = Database::create(&path).unwrap();
    let txn = db.begin_write().unwrap();
    fill(&txn);
    txn.commit().unwrap();
    drop(db);
    std::fs::read(path).unwrap()
}

fn changed(change: impl FnOnce(&redb::WriteTransaction)) -> Vec<u8> {
    let (_directory, path) = file(sample());
    let db = Database::open(&path).unwrap();
    let txn = db.begin_write().unwrap();
    change(&txn);
    txn.commit().unwrap();
    drop(db);
    std::fs::read(path).unwrap()
}

#[test]
fn what_is_no_database_is_foreign() {
    let mut random = Random::new(3);
    let noise: Vec<u8> = (0..300_000).map(|_| random.bits() as u8).collect();
    let cases: [(&str, &[u8]); 6] = [
        ("noise", &noise),
        ("text", b"Dear log,\n\nhow are you?\n"),
        ("one byte", b"r"),
        ("zeros", &[0; 1 << 20]),
        ("half of the magic", b"redb\x1a\x0a"),
        ("another database", b"SQLite format 3\0"),
    ];
    for (what, bytes) in cases {
        let error = refused(bytes, what);
        assert!(matches!(error, OpenError::Foreign), "{what}: {error:?}");
        assert_eq!(error.to_string(), "the file is not a log of spl");
    }
}

#[test]
fn a_header_and_nothing_else_is_refused() {
    for length in [9, 10, 64, 320, 4096, 8192] {
        let mut bytes = vec![0; length];
        bytes[..9].copy_from_slice(&sample()[..9]);
        let _ = refused(&bytes, &format!("magic and zeros, {length} bytes"));
        let _ = refused(&sample()[..length], &format!("the first {length} bytes"));
    }
}

#[test]
fn a_database_of_another_program_is_foreign() {
    const OTHER: TableDefinition<'_, &str, &str> = TableDefinition::new("users");
    let bytes = database(|txn| drop(txn.open_table(OTHER).unwrap().insert("a", "b").unwrap()));
    assert!(matches!(refused(&bytes, "other"), OpenError::Foreign));
    let bytes = database(|txn| drop(txn.open_table(META).unwrap()));
    assert!(matches!(refused(&bytes, "meta without a version"), OpenError::Foreign));
}

#[test]
fn a_newer_or_unknown_version_is_named() {
    for version in [0, 2, 3, 99, u64::MAX] {
        let bytes = changed(|txn| {
            txn.open_table(META).unwrap().insert("format_version", version).unwrap();
        });
        let error = refused(&bytes, "version");
        assert!(matches!(error, OpenError::Version { found, known: 1 } if found == version), "{error:?}");
        let text = error.to_string();
        assert!(text.contains(&format!("format version {version}")) && text.contains("newer"), "{text}");
    }
}

#[test]
fn a_log_without_its_rows_is_refused() {
    let bytes = changed(|txn| assert!(txn.delete_table(ROWS).unwrap()));
    let _ = refused(&bytes, "no rows");
    const WRONG: TableDefinition<'_, &str, u64> = TableDefinition::new("spl.rows.1");
    let bytes = changed(|txn| {
        assert!(txn.delete_table(ROWS).unwrap());
        drop(txn.open_table(WRONG).unwrap());
    });
    let _ = refused(&bytes, "rows of another type");
}

/// Rows that somebody wrote by hand: whatever they say, opening or verifying says no.
#[test]
fn hostile_rows_are_refused() {
    let key = |key: u64, bytes: &[u8]| {
        changed(|txn| drop(txn.open_table(ROWS).unwrap().insert(key, bytes).unwrap()))
    };
    let endless = [255, 255, 255, 255, 255, 255, 255, 255, 255, 1];
    // Row 151 that starts commit 151 at time 0, with a count of records as given, and holds none.
    let header = |count: &[u8]| [&[151, 1, 0, 1], count, &[0; 32], &[0]].concat();
    let cases = [
        ("an empty row at the end", key(151, b"")),
        ("garbage at the end", key(151, b"\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff")),
        ("the last possible position", key(u64::MAX, &[1, 0, 0, 2, 0, 0])),
        ("a row before the first", key(0, &[0, 0, 0, 0])),
        ("a piece of no commit", key(151, &[151, 1, 0, 0, 0])),
        ("a commit of no records", key(151, &header(&[0]))),
        ("a commit of endless records", key(151, &header(&endless))),
        ("endless records in a piece", key(151, &[&[151, 1, 0, 0][..], &endless].concat())),
    ];
    for (what, bytes) in cases {
        unsound(&bytes, what);
    }
    let missing = changed(|txn| drop(txn.open_table(ROWS).unwrap().remove(16).unwrap()));
    unsound(&missing, "a commit is missing");
    let first = changed(|txn| drop(txn.open_table(ROWS).unwrap().remove(1).unwrap()));
    unsound(&first, "the first commit is missing");
}

/// Opening refuses, or verification finds something; the file is as it was unless it was opened for writing.
fn unsound(bytes: &[u8], what: &str) {
    let (_directory, path) = file(bytes);
    match ReadOnlyLog::open(&path) {
        Ok(log) => {
            let report = log.run(None, &mut |_| {});
            assert!(
                report.is_err() || report.is_ok_and(|r| !r.problems.is_empty()),
                "{what} was not noticed"
            );
        }
        Err(error) => assert!(!words(&error).is_empty()),
    }
    assert_eq!(std::fs::read(&path).unwrap(), bytes, "{what}: changed by reading");
    if try_open(LogSource::File(path.clone())).is_err() {
        assert_eq!(std::fs::read(&path).unwrap(), bytes, "{what}: changed by a refusal");
    }
}

/// A record changed in place, with the chain of its commit as it was.
#[test]
fn a_forged_record_is_found() {
    let forged = changed(|txn| {
        let mut rows = txn.open_table(ROWS).unwrap();
        let mut row = rows.get(16).unwrap().unwrap().value().to_vec();
        let at = row.windows(9).position(|w| w == br#""ratio":1"#).unwrap();
        row[at + 8] = b'9';
        rows.insert(16, row.as_slice()).unwrap();
    });
    let (_directory, path) = file(&forged);
    let (report, _) = verified(&read(&path), None);
    assert!(report.problems.iter().any(|p| p.contains("chain does not hold at record 16")), "{report:?}");
    assert!(report.problems.iter().any(|p| p.contains("id is not that of the fields")), "{report:?}");
}

/// The end of the log is looked at whenever it is opened.
#[test]
fn a_forged_last_commit_is_refused() {
    let forged = changed(|txn| {
        let mut rows = txn.open_table(ROWS).unwrap();
        let (key, mut row) = {
            let (key, row) = rows.last().unwrap().unwrap();
            (key.value(), row.value().to_vec())
        };
        let at = row.iter().rposition(|b| *b == b'p').unwrap();
        row[at] = b'q';
        rows.insert(key, row.as_slice()).unwrap();
    });
    let error = refused(&forged, "last commit");
    assert!(words(&error).contains("the chain does not hold at the last commit"), "{}", words(&error));
}

#[test]
fn a_kept_head_is_looked_for() {
    let (_directory, path) = file(sample());
    let log = read(&path);
    let reader = log.reader().unwrap();
    for at in [15, 30, 120, 150] {
        let info = reader.commit_of(at).unwrap().unwrap();
        assert_eq!(verified(&log, Some((at, info.chain))).0.problems, Vec::<String>::new());
        let (report, _) = verified(&log, Some((at - 1, info.chain)));
        assert_eq!(report.problems.len(), 1, "{report:?}");
        assert!(report.problems[0].contains("does not contain the head that was kept"));
    }
    assert!(verified(&log, Some((0, Chain::GENESIS))).0.problems.is_empty());
    assert!(!verified(&log, Some((999, Chain::GENESIS))).0.problems.is_empty());
}

/// Opens a damaged file and sees to it that it is refused, reported, or as good as before.
fn survives(path: &Path, bytes: &[u8], writing: bool, good: &[StoredRecord], what: &str) -> &'static str {
    std::fs::write(path, bytes).unwrap();
    let _ = std::fs::remove_file(index_path(path));
    let opened = if writing {
        try_open(LogSource::File(path.to_owned())).map(|log| outcome(&log, good))
    } else {
        ReadOnlyLog::open(path).map(|log| outcome(&log, good))
    };
    if !writing || opened.is_err() {
        assert!(std::fs::read(path).unwrap() == bytes, "{what}: the file was changed");
    }
    match opened {
        Err(error) => {
            assert!(!words(&error).is_empty());
            "refused"
        }
        Ok(outcome) => outcome.unwrap_or_else(|| panic!("{what}: verified clean with other records")),
    }
}

fn outcome(log: &impl Verify, good: &[StoredRecord]) -> Option<&'static str> {
    let mut seen = Vec::new();
    match log.run(None, &mut |record| seen.push(record.clone())) {
        Err(_) => Some("reported"),
        Ok(report) if !report.problems.is_empty() => Some("reported"),
        Ok(_) => (seen == good).then_some("harmless"),
    }
}

#[test]
fn a_truncated_log_is_refused_or_reported() {
    let (good, bytes) = (records(), sample());
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("log.redb");
    let lengths = (1..bytes.len()).step_by(bytes.len() / 60).chain([bytes.len() - 1, bytes.len() - 4096]);
    let mut refused = 0;
    for (i, length) in lengths.enumerate() {
        let outcome = survives(&path, &bytes[..length], i % 2 == 0, &good, &format!("cut at {length}"));
        refused += usize::from(outcome == "refused");
    }
    assert!(refused > 50, "{refused} were refused");
}

/// Each used page is hit a few times, the header everywhere.
#[test]
fn a_flipped_byte_is_refused_reported_or_harmless() {
    let (good, bytes) = (records(), sample());
    let mut random = Random::new(5);
    let header = 0..320_usize;
    let used = (0..bytes.len()).step_by(512).filter(|at| bytes[*at..].iter().take(512).any(|b| *b != 0));
    let offsets: Vec<usize> =
        header.step_by(2).chain(used.map(|at| (at + random.index(512)).min(bytes.len() - 1))).collect();
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("log.redb");
    let mut tally = std::collections::BTreeMap::<&str, usize>::new();
    for (i, at) in offsets.iter().enumerate() {
        let mut damaged = bytes.to_vec();
        damaged[*at] ^= 1 << random.below(8);
        let writing = i % 5 == 0;
        *tally.entry(survives(&path, &damaged, writing, &good, &format!("flipped at {at}"))).or_default() +=
            1;
    }
    assert!(tally.len() == 3, "{tally:?}");
}

/// A whole page of zeros or noise, as a failing disk leaves it.
#[test]
fn a_lost_page_is_refused_reported_or_harmless() {
    let (good, bytes) = (records(), sample());
    let mut random = Random::new(6);
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("log.redb");
    for (i, page) in
        (0..bytes.len() / 4096).filter(|p| bytes[p * 4096..][..4096].iter().any(|b| *b != 0)).enumerate()
    {
        let mut damaged = bytes.to_vec();
        let noise = random.one_in(2);
        damaged[page * 4096..][..4096].fill_with(|| if noise { random.bits() as u8 } else { 0 });
        let _ = survives(&path, &damaged, i % 4 == 0, &good, &format!("page {page} lost"));
    }
}

/// A leaf begins with its type, then how many rows it has, then where the value of each ends: the engine believes that
/// when it is asked for a value, later than for the row.
#[test]
fn a_leaf_whose_values_end_outside_of_it_is_reported_by_every_read() {
    let bytes = sample();
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("log.redb");
    let leaves = (0..bytes.len()).step_by(4096).filter(|at| bytes[*at] == 1 && bytes[at + 2] > 0);
    let mut reported = [0; 3];
    for leaf in leaves {
        let mut damaged = bytes.to_vec();
        damaged[leaf + 4..leaf + 8].fill(0x7f);
        std::fs::write(&path, &damaged).unwrap();
        // Where the last row lies the log is refused.
        let Ok(log) = ReadOnlyLog::open(&path) else { continue };
        let reader = log.reader().unwrap();
        let reads: [Result<(), StoreError>; 3] = [
            reader.scan(0, &mut |_| true),
            (1..=log.head().sequence).try_for_each(|sequence| reader.record(sequence).map(|_| ())),
            (1..=log.head().sequence).try_for_each(|sequence| reader.commit_of(sequence).map(|_| ())),
        ];
        reported.iter_mut().zip(reads).for_each(|(reported, read)| *reported += usize::from(read.is_err()));
    }
    assert!(reported.iter().all(|reads| *reads > 3), "{reported:?}");
}

#[test]
fn an_empty_file_is_a_log_not_begun() {
    let (_directory, path) = file(b"");
    assert_eq!(builders::open(LogSource::File(path.clone())).head().sequence, 0);
    assert!(sound(&read(&path)).is_empty());
}

#[test]
fn a_missing_file_is_made_only_for_writing() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("log.redb");
    assert!(matches!(ReadOnlyLog::open(&path), Err(OpenError::Io(_))));
    assert!(!path.exists());
    drop(builders::open(LogSource::File(path.clone())));
    assert!(path.exists() && index_path(&path).exists());
    let nowhere = directory.path().join("missing/log.redb");
    assert!(matches!(try_open(LogSource::File(nowhere)), Err(OpenError::Io(_))));
}

/// Reading a log that was not closed neither repairs nor marks its files, and sees what only the journal has.
#[test]
fn reading_leaves_an_unclosed_log_alone() {
    let (directory, path) = file(sample());
    let log = builders::open(LogSource::File(path.clone()));
    let commit = Sequencer::after(&log.head()).commit([draft("more", "did:a:b", Act::Do, "{}")]);
    builders::append(&log, &[commit]);
    let copy = directory.path().join("copy.redb");
    std::fs::copy(&path, &copy).unwrap();
    std::fs::copy(journal_path(&path), journal_path(&copy)).unwrap();
    let bytes = |path: &Path| (std::fs::read(path).unwrap(), std::fs::read(journal_path(path)).unwrap());
    let before = bytes(&copy);
    let reading = read(&copy);
    assert_eq!((reading.head(), sound(&reading).len()), (log.head(), 151));
    drop(reading);
    assert!(bytes(&copy) == before, "a file was changed by reading");
    assert_eq!(sound(&builders::open(LogSource::File(copy.clone()))).len(), 151);
    std::fs::remove_file(journal_path(&copy)).unwrap();
    assert_eq!(sound(&read(&copy)).len(), 151, "complete by itself");
}

/// A log that version 1 wrote stays readable. The file was written when the format was made and is never
/// written anew: a change that cannot read it needs a migration, not a new file.
#[test]
fn a_log_of_format_version_1_opens() {
    let directory = tempfile::tempdir().unwrap();
    let path = data::released_log(1, directory.path());
    let log = builders::open(LogSource::File(path));
    let records = sound(&log);
    let head = log.head();
    assert_eq!((head.sequence, records.len()), (V1_RECORDS as u64, V1_RECORDS));
    assert_eq!(head.chain.to_string(), V1_CHAIN);
    let commit = Sequencer::after(&head).commit([draft("more", "did:a:b", Act::Do, "{}")]);
    builders::append(&log, &[commit]);
    assert_eq!(sound(&log).len(), V1_RECORDS + 1, "and can be written to");
}

const V1_RECORDS: usize = 20;
const V1_CHAIN: &str = "58f4c857b2d293031ef8f259865b98ea0bb6cee0ddae5292d07c645058d937eb";

/// Who comes second is told so, and takes nothing from who came first.
#[test]
fn an_open_log_is_not_opened_again() {
    let (_directory, path) = file(sample());
    let log = builders::open(LogSource::File(path.clone()));
    builders::flush_all(&log);
    let index = std::fs::read(index_path(&path)).unwrap();
    assert!(try_open(LogSource::File(path.clone())).is_err());
    assert!(std::fs::read(index_path(&path)).unwrap() == index, "the index of who came first is touched");
    assert_eq!(sound(&log).len(), 150);
    drop(log);
    assert_eq!(sound(&builders::open(LogSource::File(path))).len(), 150);
}
