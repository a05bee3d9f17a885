//! What hostile input may cost. Memory is a matter of the whole process, so each case runs in one of its own.

use spl_fixtures::builders;
use spl_kernel::{
    commit::{decode_commit, decode_entry},
    draft::Draft,
    json::Json,
    log::{Log, LogSource, backup},
};

use crate::support::{BODY, child, process};

const MIB: u64 = 1 << 20;

/// Runs `work` and checks that the process grew by no more than `limit` bytes while it ran.
fn within(limit: u64, what: &str, work: impl FnOnce()) {
    process::reset_peak();
    let before = process::resident_bytes();
    work();
    let grown = process::peak_bytes().saturating_sub(before);
    assert!(grown <= limit, "{what}: {} KiB more", grown / 1024);
}

#[test]
fn hostile_json_takes_little_memory() {
    child("bounded::child_json", &[]);
}

#[test]
#[ignore = "run in a process of its own by `hostile_json_takes_little_memory`"]
fn child_json() {
    let size = 8 * MIB as usize;
    let texts = [
        ("[", "[".repeat(size)),
        ("objects", "{\"a\":".repeat(size / 5)),
        ("1,", format!("[{}", "1,".repeat(size / 2))),
        ("empty arrays", format!("[{}", "[],".repeat(size / 3))),
        ("members", format!("{{{}", "\"\":1,".repeat(size / 6))),
        ("digits", "1".repeat(size)),
        ("expanding", format!("[{}1]", "1e308,".repeat(100_000))),
    ];
    for (what, text) in &texts {
        within(24 * MIB, what, || drop(Json::parse(text.as_bytes(), BODY)));
        let body = format!(r#"{{"thread":"t","actor":"did:a:b","act":"DO","body":{{"a":{text}}}}}"#);
        within(24 * MIB, what, || assert!(Draft::from_json(body.as_bytes()).is_err()));
    }
}

#[test]
fn hostile_commits_take_little_memory() {
    child("bounded::child_commits", &[]);
}

#[test]
#[ignore = "run in a process of its own by `hostile_commits_take_little_memory`"]
fn child_commits() {
    let huge = [0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f];
    let mut many_empty = vec![1, 1, 0, 0x80, 0x80, 0x80, 0x20];
    many_empty.resize(64 * MIB as usize, 0);
    within(4 * MIB, "64 Mi empty records", || assert!(decode_commit(&many_empty).is_err()));
    for count in [&huge[..], &[0xff, 0xff, 0xff, 0xff, 0x0f]] {
        let bytes = [&[1, 1, 0], count, &[1, 2, 3]].concat();
        within(4 * MIB, "a stated number of records", || assert!(decode_commit(&bytes).is_err()));
        let parents = [&[0; 32], count, &[0; 64][..]].concat();
        within(4 * MIB, "a stated number of parents", || assert!(decode_entry(&parents).is_err()));
        let thread = [&[0; 33][..], count, &[0; 64][..]].concat();
        within(4 * MIB, "a stated length of a name", || assert!(decode_entry(&thread).is_err()));
    }
    let stated = [&b"spl-backup-v1\n"[..], &(60_u32 << 20).to_le_bytes(), b"abc"].concat();
    let log = builders::memory_log();
    within(4 * MIB, "a stated length of a commit", || {
        assert!(backup::restore(&log, &mut &stated[..], &mut |_| {}).is_err());
    });
}

/// Reading a backup of any length holds no more than a group of it.
#[test]
fn a_log_is_walked_in_bounded_memory() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("log.redb");
    let log = builders::open(LogSource::File(path.clone()));
    for commits in builders::synthetic(20_000, 500).chunks(8) {
        builders::append(&log, commits);
    }
    builders::flush_all(&log);
    drop(log);
    child("bounded::child_walk", &[("SPL_CHILD_LOG", path.to_str().unwrap())]);
}

#[test]
#[ignore = "run in a process of its own by `a_log_is_walked_in_bounded_memory`"]
fn child_walk() {
    let log = Log::open(LogSource::File(process::variable("SPL_CHILD_LOG").into()), &mut |_, _| {}).unwrap();
    // The engine keeps two caches, of log and index, of at most 16 MiB each.
    within(40 * MIB, "verify and backup", || {
        let report = log.verify(None, &mut |_| {}, &mut |_, _| {}).unwrap();
        assert_eq!((report.records, report.problems.len()), (20_000, 0));
        backup::write(&log.reader().unwrap(), &mut std::io::sink(), &mut |_, _| {}).unwrap();
    });
}
