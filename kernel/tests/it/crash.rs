//! A power cut at every sync of the log and of its journal: what was acknowledged is there, what is there was submitted,
//! and all agrees.

use spl_fixtures::{
    builders::{self, Sequencer, draft},
    crash::{Disks, Images, Unsynced},
};
use spl_kernel::{
    commit::Head,
    log::{Log, NewCommit, Segments},
    record::{Act, StoredRecord},
};

use crate::support::{sound, try_open, words};

const VARIANTS: [(Unsynced, Unsynced); 8] = [
    (Unsynced::Lost, Unsynced::Lost),
    (Unsynced::Kept, Unsynced::Kept),
    (Unsynced::Lost, Unsynced::Kept),
    (Unsynced::Kept, Unsynced::Lost),
    (Unsynced::Torn(1), Unsynced::Torn(11)),
    (Unsynced::Torn(2), Unsynced::Torn(12)),
    (Unsynced::Torn(3), Unsynced::Torn(13)),
    (Unsynced::Torn(4), Unsynced::Torn(14)),
];

/// Small, so that a few commits fill one, they are used again, grow, and do not suffice.
const SEGMENTS: Segments = Segments { bytes: 16 * 1024, most: 3 };

enum Step {
    Append(Vec<NewCommit>),
    Settle,
}

/// What a writer and the thread behind it do: single records, several commits at once, a commit of many
/// pieces and a body as large as it may be, both too long for a segment; enough of the small ones to fill the journal, so
/// that it grows, is waited for, and is written from the beginning again; settling in between.
fn workload() -> Vec<Step> {
    let mut sequencer = Sequencer::default();
    let mut next = 0;
    let mut commit = |records: usize, bytes: usize| {
        sequencer.commit((0..records).map(|_| {
            next += 1;
            let body = format!(r#"{{"n":{next},"padding":"{}"}}"#, "p".repeat(bytes));
            draft(&format!("t{}", next % 3), &format!("did:a:{}", next % 2), Act::Do, &body)
        }))
    };
    let mut steps = vec![
        Step::Append(vec![commit(1, 10)]),
        Step::Append(vec![commit(1, 100), commit(5, 10), commit(2, 3000)]),
        Step::Append(vec![commit(40, 2000)]),
        Step::Append(vec![commit(1, 10)]),
        Step::Settle,
        Step::Append(vec![commit(1, 250_000)]),
        Step::Append(vec![commit(1, 10)]),
    ];
    // Three segments of four blocks: these fill them, and the next have to wait.
    steps.extend((0..14).map(|_| Step::Append(vec![commit(1, 10)])));
    steps.extend([Step::Settle, Step::Append(vec![commit(1, 9000)]), Step::Settle]);
    steps.extend((0..5).map(|_| Step::Append(vec![commit(2, 1200)])));
    steps.push(Step::Append(vec![commit(3, 10), commit(30, 100)]));
    steps.push(Step::Append(vec![commit(1, 5000)]));
    steps
}

fn groups(steps: &[Step]) -> Vec<&[NewCommit]> {
    let mut groups = Vec::new();
    for step in steps {
        if let Step::Append(group) = step {
            groups.push(group.as_slice());
        }
    }
    groups
}

struct Run {
    opened: bool,
    acknowledged: usize,
}

/// Does all of it, until the power goes, and closes the log.
fn run(disks: &Disks, steps: &[Step]) -> Run {
    let Ok(log) = try_open(disks.source(SEGMENTS)) else {
        return Run { opened: false, acknowledged: 0 };
    };
    let mut acknowledged = 0;
    for step in steps {
        let done = match step {
            Step::Append(group) => log.append(log.head(), group.clone()).map(|_| acknowledged += 1).is_ok(),
            Step::Settle => log.settle().is_ok(),
        };
        if !done {
            break;
        }
    }
    Run { opened: true, acknowledged }
}

/// Records of the first `groups` groups.
fn prefix<'a>(log_of_all: &'a [StoredRecord], groups: &[&[NewCommit]]) -> &'a [StoredRecord] {
    let count: usize = groups.iter().flat_map(|g| g.iter()).map(|c| c.commit.entries.len()).sum();
    &log_of_all[..count]
}

fn submitted(groups: &[&[NewCommit]]) -> Vec<StoredRecord> {
    let log = builders::memory_log();
    for group in groups {
        builders::append(&log, group);
    }
    sound(&log)
}

fn reopen(images: Images) -> Result<Log, String> {
    try_open(Disks::with(images).source(SEGMENTS)).map_err(|e| words(&e))
}

/// The log is sound, holds whole groups only, and all that were acknowledged.
fn check(log: &Log, done: &Run, groups: &[&[NewCommit]], all: &[StoredRecord], what: &str) -> usize {
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

/// First and last sequence that the blocks of a journal state where a frame begins, torn ones too.
fn frames(journal: &[u8]) -> Vec<(u64, u64)> {
    let number = |block: &[u8], at: usize| u64::from_le_bytes(block[at..at + 8].try_into().unwrap());
    let begins = |block: &&[u8]| block.starts_with(b"spl-frm1");
    journal.chunks_exact(4096).filter(begins).map(|b| (number(b, 48), number(b, 56))).collect()
}

/// Where the log's file ends by itself.
fn settled(images: &Images) -> u64 {
    let alone = Images { journal: Vec::new(), ..images.clone() };
    reopen(alone).map_or(0, |log| log.head().sequence)
}

/// What the cuts met, so that a suite that tests nothing is noticed.
#[derive(Debug, Default)]
struct Met {
    lost_last: usize,
    kept_last: usize,
    from_journal: usize,
    stale_frames: usize,
    torn_frames: usize,
    grown: usize,
}

impl Met {
    fn note(&mut self, images: &Images, head: u64, survived: usize, done: &Run) {
        let settled = settled(images);
        self.lost_last += usize::from(survived == done.acknowledged);
        self.kept_last += usize::from(survived > done.acknowledged);
        self.from_journal += usize::from(settled < head);
        let frames = frames(&images.journal);
        self.stale_frames += usize::from(frames.iter().any(|(_, last)| *last <= settled));
        self.grown += usize::from(images.journal.len() == 8192 + SEGMENTS.most * SEGMENTS.bytes);
        self.torn_frames += usize::from(frames.iter().any(|(first, _)| *first > head));
    }
}

#[test]
fn power_cut_at_every_sync() {
    let steps = workload();
    let groups = groups(&steps);
    let all = submitted(&groups);
    let whole = Disks::default();
    assert_eq!(run(&whole, &steps).acknowledged, groups.len());
    let end = whole.images();
    assert_eq!(settled(&end), all.len() as u64, "after a close the log's file is complete by itself");
    assert_eq!(end.journal.len(), 8192 + 2 * SEGMENTS.bytes, "the journal is as long as at first");
    let syncs = whole.syncs();
    assert!(syncs as usize > groups.len() + 20, "{syncs} syncs: each group takes at least one");
    let mut met = Met::default();
    for sync in 1..=syncs {
        let disks = Disks::crashing_at(sync);
        let done = run(&disks, &steps);
        assert!(disks.crashed());
        for (log, journal) in VARIANTS {
            let what = format!("sync {sync} of {syncs}, log {log:?}, journal {journal:?}");
            let images = disks.surviving_each(log, journal);
            match reopen(images.clone()) {
                Ok(log) => {
                    let survived = check(&log, &done, &groups, &all, &what);
                    met.note(&images, log.head().sequence, survived, &done);
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
    assert!(
        met.lost_last > 50 && met.kept_last > 50 && met.from_journal > 100 && met.stale_frames > 100,
        "{met:?}"
    );
    assert!(met.torn_frames > 10 && met.grown > 50, "{met:?}");
}

/// A second power cut, at every sync of opening after the first.
#[test]
fn power_cut_while_reopening() {
    let steps = workload();
    let groups = groups(&steps);
    let all = submitted(&groups);
    let whole = Disks::default();
    let _ = run(&whole, &steps);
    let (mut cuts, mut from_journal) = (0, 0);
    for sync in (7..whole.syncs()).step_by(3) {
        let disks = Disks::crashing_at(sync);
        let done = run(&disks, &steps);
        let images = disks.surviving(Unsynced::Torn(sync));
        let behind = settled(&images);
        for second in 1..40 {
            let disks = Disks::with_crashing_at(images.clone(), second);
            let log = try_open(disks.source(SEGMENTS));
            if !disks.crashed() {
                break;
            }
            drop(log);
            cuts += 1;
            for (log, journal) in VARIANTS {
                let what = format!("sync {sync}, then {second}, log {log:?}, journal {journal:?}");
                let images = disks.surviving_each(log, journal);
                let log = reopen(images).unwrap_or_else(|e| panic!("{what}: {e}"));
                let _ = check(&log, &done, &groups, &all, &what);
                from_journal += usize::from(log.head().sequence > behind);
            }
        }
    }
    assert!(cuts > 50 && from_journal > 100, "{cuts} cuts, {from_journal} with something to recover");
}

/// After an error the handle takes nothing more, and says so.
#[test]
fn a_failed_disk_acknowledges_nothing() {
    let steps = workload();
    let mut failed_at_settling = 0;
    for sync in 12..40 {
        let disks = Disks::crashing_at(sync);
        let log = try_open(disks.source(SEGMENTS)).unwrap();
        let mut failed = 0;
        let mut head = Head::EMPTY;
        for step in &steps {
            match step {
                Step::Settle => {
                    let settles = log.settle().is_ok();
                    assert!(failed == 0 || !settles, "settled after a failure");
                    failed_at_settling += usize::from(failed == 0 && !settles);
                    failed += usize::from(!settles);
                }
                Step::Append(group) => match log.append(head, group.clone()) {
                    Ok(_) if failed == 0 => head = log.head(),
                    Ok(_) => panic!("an append after a failure was acknowledged"),
                    Err(_) => {
                        failed += 1;
                        assert_eq!(log.head(), head, "the head stays where it was");
                    }
                },
            }
        }
        assert!(disks.crashed() && failed > 0);
        assert!(log.close().is_err());
    }
    assert!(failed_at_settling > 0);
}
