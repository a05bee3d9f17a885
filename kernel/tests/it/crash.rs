//! A power cut at every sync: what was acknowledged is there, what is there was submitted, and all agrees.

use spl_fixtures::{
    builders::{self, Sequencer, draft},
    crash::{CrashDisk, Unsynced},
};
use spl_kernel::{
    commit::Head,
    log::{Log, LogSource, NewCommit},
    record::{Act, StoredRecord},
};

use crate::support::{sound, try_open, words};

const VARIANTS: [Unsynced; 6] = [
    Unsynced::Lost,
    Unsynced::Kept,
    Unsynced::Torn(1),
    Unsynced::Torn(2),
    Unsynced::Torn(3),
    Unsynced::Torn(4),
];

/// Groups of commits as a writer hands them over: single records, several commits at once, a commit of many
/// pieces, a body as large as it may be, and small ones after them.
fn workload() -> Vec<Vec<NewCommit>> {
    let mut sequencer = Sequencer::default();
    let mut next = 0;
    let mut commit = |records: usize, bytes: usize| {
        sequencer.commit((0..records).map(|_| {
            next += 1;
            let body = format!(r#"{{"n":{next},"padding":"{}"}}"#, "p".repeat(bytes));
            draft(&format!("t{}", next % 3), &format!("did:a:{}", next % 2), Act::Do, &body)
        }))
    };
    vec![
        vec![commit(1, 10)],
        vec![commit(1, 100), commit(5, 10), commit(2, 3000)],
        vec![commit(40, 2000)],
        vec![commit(1, 250_000)],
        vec![commit(1, 10)],
        vec![commit(3, 10), commit(100, 100)],
        vec![commit(1, 5000)],
        vec![commit(1, 10)],
    ]
}

struct Run {
    opened: bool,
    acknowledged: usize,
}

fn run(disk: &CrashDisk, groups: &[Vec<NewCommit>]) -> Run {
    let Ok(log) = try_open(LogSource::Backend(Box::new(disk.clone()))) else {
        return Run { opened: false, acknowledged: 0 };
    };
    let mut acknowledged = 0;
    for group in groups {
        match log.append(log.head(), group) {
            Ok(_) => acknowledged += 1,
            Err(_) => break,
        }
    }
    Run { opened: true, acknowledged }
}

/// Records of the first `groups` groups.
fn prefix(log_of_all: &[StoredRecord], groups: &[Vec<NewCommit>]) -> Vec<StoredRecord> {
    let count: usize = groups.iter().flatten().map(|c| c.commit.entries.len()).sum();
    log_of_all[..count].to_vec()
}

fn submitted(groups: &[Vec<NewCommit>]) -> Vec<StoredRecord> {
    let log = builders::memory_log();
    for group in groups {
        builders::append(&log, group);
    }
    sound(&log)
}

fn reopen(image: Vec<u8>) -> (CrashDisk, Result<Log, String>) {
    let disk = CrashDisk::with_image(image);
    let log = try_open(LogSource::Backend(Box::new(disk.clone()))).map_err(|e| words(&e));
    (disk, log)
}

/// The log is sound, holds whole groups only, and all that were acknowledged.
fn check(log: &Log, done: &Run, groups: &[Vec<NewCommit>], all: &[StoredRecord], what: &str) -> usize {
    let records = sound(log);
    let survived = (0..=groups.len())
        .find(|n| prefix(all, &groups[..*n]) == records)
        .unwrap_or_else(|| panic!("{what}: {} records are no prefix of whole groups", records.len()));
    assert!(survived >= done.acknowledged, "{what}: {survived} groups, {} acknowledged", done.acknowledged);
    assert!(
        survived <= done.acknowledged + 1,
        "{what}: {survived} groups, {} acknowledged",
        done.acknowledged
    );
    survived
}

#[test]
fn power_cut_at_every_sync() {
    let groups = workload();
    let all = submitted(&groups);
    let whole = CrashDisk::default();
    let done = run(&whole, &groups);
    assert_eq!(done.acknowledged, groups.len());
    let syncs = whole.syncs();
    assert!(syncs as usize > 2 * groups.len(), "{syncs} syncs: each group takes at least one");
    let mut lost_one = 0;
    for sync in 1..=syncs {
        let disk = CrashDisk::crashing_at(sync);
        let done = run(&disk, &groups);
        assert!(disk.crashed());
        for variant in VARIANTS {
            let what = format!("sync {sync} of {syncs}, {variant:?}");
            match reopen(disk.surviving_image(variant)).1 {
                Ok(log) => {
                    let survived = check(&log, &done, &groups, &all, &what);
                    lost_one += usize::from(survived < groups.len());
                    for group in &groups[survived..] {
                        builders::append(&log, group);
                    }
                    assert_eq!(sound(&log), all, "{what}: goes on");
                }
                // Before the log was ever open there is nothing to lose.
                Err(error) => assert!(!done.opened, "{what}: {error}"),
            }
        }
    }
    assert!(lost_one > 0, "no crash ever cost anything: the disk does not crash");
}

/// A second power cut while the log is opened after the first.
#[test]
fn power_cut_while_reopening() {
    let groups = workload();
    let all = submitted(&groups);
    for sync in [9, 14, 19, 24] {
        let disk = CrashDisk::crashing_at(sync);
        let done = run(&disk, &groups);
        let image = disk.surviving_image(Unsynced::Torn(sync));
        for second in 1..20 {
            let disk = CrashDisk::with_image_crashing_at(image.clone(), second);
            let opened = try_open(LogSource::Backend(Box::new(disk.clone())));
            drop(opened);
            if !disk.crashed() {
                break;
            }
            for variant in VARIANTS {
                let what = format!("sync {sync}, then {second}, {variant:?}");
                let log = reopen(disk.surviving_image(variant)).1.unwrap_or_else(|e| panic!("{what}: {e}"));
                let _ = check(&log, &done, &groups, &all, &what);
            }
        }
    }
}

/// After an error the handle takes nothing more, and says so.
#[test]
fn a_failed_disk_acknowledges_nothing() {
    let groups = workload();
    let disk = CrashDisk::crashing_at(12);
    let log = try_open(LogSource::Backend(Box::new(disk.clone()))).unwrap();
    let mut failed = 0;
    let mut head = Head::EMPTY;
    for group in &groups {
        match log.append(head, group) {
            Ok(_) if failed == 0 => head = log.head(),
            Ok(_) => panic!("an append after a failure was acknowledged"),
            Err(_) => {
                failed += 1;
                assert_eq!(log.head(), head, "the head stays where it was");
            }
        }
    }
    assert!(disk.crashed() && failed > 0);
}
