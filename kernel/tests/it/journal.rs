//! The journal's file: what is read from it after a crash, and what is refused because something acknowledged would be
//! lost.

use std::{
    path::{Path, PathBuf},
    sync::atomic::{AtomicBool, Ordering},
};

use spl_fixtures::{
    builders::{self, Sequencer, draft},
    crash::{Disks, Images},
};
use spl_kernel::{
    log::{
        Log, LogSource, NewCommit, ReadOnlyLog, Segments,
        error::{JournalError, OpenError},
        index_path, journal_path,
    },
    record::{Act, StoredRecord},
};
use tempfile::TempDir;

use crate::support::{read, sound, try_open};

/// A block of the journal's file, and where the first segment begins.
const BLOCK: usize = 4096;
const SEGMENTS_START: usize = 2 * BLOCK;

/// A log of so many commits of a record, one frame each, settled through `settled` of them.
struct Live {
    directory: TempDir,
    log: Log,
    sequencer: Sequencer,
}

impl Live {
    fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let log = builders::open(LogSource::File(directory.path().join("log.redb")));
        Self { directory, log, sequencer: Sequencer::default() }
    }

    fn of(appended: usize) -> Self {
        let mut live = Self::new();
        live.append(appended);
        live
    }

    fn append(&mut self, commits: usize) {
        for _ in 0..commits {
            let commit = one(&mut self.sequencer, "t");
            builders::append(&self.log, &[commit]);
        }
    }

    fn settle(&self) {
        while self.log.settle().unwrap() > 0 {}
    }

    fn path(&self) -> PathBuf {
        self.directory.path().join("log.redb")
    }

    /// What a kill leaves behind, now: the files as they are.
    fn killed(&self) -> Home {
        Home::with(&std::fs::read(self.path()).unwrap(), &std::fs::read(journal_path(&self.path())).unwrap())
    }

    fn records(&self) -> Vec<StoredRecord> {
        sound(&self.log)
    }
}

fn one(sequencer: &mut Sequencer, thread: &str) -> NewCommit {
    sequencer.commit([draft(thread, "did:a:b", Act::Do, r#"{"some":"thing"}"#)])
}

/// A log file and a journal that nobody has open.
struct Home {
    _directory: TempDir,
    log: PathBuf,
}

impl Home {
    fn with(log: &[u8], journal: &[u8]) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("log.redb");
        std::fs::write(&path, log).unwrap();
        std::fs::write(journal_path(&path), journal).unwrap();
        Self { _directory: directory, log: path }
    }

    fn log_bytes(&self) -> Vec<u8> {
        std::fs::read(&self.log).unwrap()
    }

    fn journal_bytes(&self) -> Vec<u8> {
        std::fs::read(journal_path(&self.log)).unwrap()
    }

    /// Refused for reading and for writing, with both files as they were and no index made.
    #[track_caller]
    fn refused(&self) -> JournalError {
        let before = (self.log_bytes(), self.journal_bytes());
        let reading = ReadOnlyLog::open(&self.log).map(|log| log.head());
        let writing = try_open(LogSource::File(self.log.clone())).map(|log| log.head());
        let mut why = [reading, writing].map(|opened| match opened {
            Err(OpenError::Journal(why)) => why,
            Err(other) => panic!("{other:?}"),
            Ok(head) => panic!("opened, with {} records", head.sequence),
        });
        assert_eq!(why[0], why[1]);
        assert!(before == (self.log_bytes(), self.journal_bytes()), "a file was changed by a refusal");
        assert!(!index_path(&self.log).exists(), "an index was made for what was refused");
        std::mem::replace(&mut why[0], JournalError::Another)
    }

    /// Opens for reading, which changes no file, and for writing; both see the same, and it goes on.
    #[track_caller]
    fn opened(&self) -> Vec<StoredRecord> {
        let before = (self.log_bytes(), self.journal_bytes());
        let read = sound(&read(&self.log));
        assert!(before == (self.log_bytes(), self.journal_bytes()), "a file was changed by reading");
        let log = builders::open(LogSource::File(self.log.clone()));
        assert_eq!(sound(&log), read);
        builders::append(&log, &[one(&mut Sequencer::after(&log.head()), "more")]);
        drop(log);
        let log = builders::open(LogSource::File(self.log.clone()));
        assert_eq!(sound(&log).len(), read.len() + 1, "and it goes on");
        read
    }
}

/// Where frames begin, in order of their first sequence.
fn frames(journal: &[u8]) -> Vec<(u64, usize)> {
    let starts = (0..journal.len()).step_by(BLOCK).filter(|at| journal[*at..].starts_with(b"spl-frm1"));
    let first = |at: usize| u64::from_le_bytes(journal[at + 48..at + 56].try_into().unwrap());
    let mut frames: Vec<(u64, usize)> = starts.map(|at| (first(at), at)).collect();
    frames.sort_unstable();
    frames
}

#[test]
fn a_log_that_is_behind_by_many_frames_is_brought_up() {
    let live = Live::of(1500);
    assert!(live.log.unsettled_bytes() > 100_000);
    let home = live.killed();
    assert_eq!(frames(&home.journal_bytes()).len(), 1499, "all but the first");
    assert_eq!(home.opened(), live.records());
}

#[test]
fn frames_that_the_log_has_are_stale() {
    let mut live = Live::of(20);
    live.settle();
    assert_eq!(live.log.unsettled_bytes(), 0);
    let complete = live.killed();
    live.append(7);
    let home = live.killed();
    assert_eq!(frames(&home.journal_bytes()).len(), 26);
    assert_eq!(home.opened(), live.records());
    assert_eq!(complete.opened().len(), 20);
}

#[test]
fn only_the_last_frame_may_be_torn() {
    let live = Live::of(9);
    let all = live.records();
    let home = live.killed();
    let journal = home.journal_bytes();
    let frames = frames(&journal);
    for (at, keeps) in frames.iter().map(|(_, at)| *at).zip(1..) {
        for within in [0, 20, 60, 140, 200] {
            let mut torn = journal.clone();
            torn[at + within] ^= 1;
            let home = Home::with(&home.log_bytes(), &torn);
            if keeps == 8 {
                assert_eq!(home.opened(), all[..8]);
            } else {
                let why = home.refused();
                assert_eq!(why, JournalError::Older { log: 1, journal: keeps + 1 });
                assert!(why.to_string().contains("damaged"), "{why}");
            }
        }
    }
}

#[test]
fn an_older_log_is_refused() {
    let mut live = Live::of(5);
    live.settle();
    let older = std::fs::read(live.path()).unwrap();
    // Enough to write the journal from its beginning again.
    let segment_frames = Segments::default().bytes / BLOCK;
    for _ in 0..3 {
        live.append(segment_frames);
        live.settle();
    }
    let home = live.killed();
    let why = Home::with(&older, &home.journal_bytes()).refused();
    assert!(matches!(why, JournalError::Older { log: 5, journal } if journal > 5), "{why:?}");
    assert!(why.to_string().contains("older than it was"), "{why}");
    // After a close too, though then nothing of its frames is of use.
    let (path, journal) = (live.path(), journal_path(&live.path()));
    let end = live.log.head().sequence;
    drop(live.log);
    let why = Home::with(&older, &std::fs::read(&journal).unwrap()).refused();
    assert_eq!(why, JournalError::Older { log: 5, journal: end });
    let log = std::fs::read(&path).unwrap();
    assert_eq!(Home::with(&log, &std::fs::read(&journal).unwrap()).opened().len() as u64, end);
}

/// Where the journal still has all that an older log lacks, nothing is lost by taking it.
#[test]
fn an_older_log_whose_frames_are_all_there_is_brought_up() {
    let mut live = Live::of(5);
    live.settle();
    let older = std::fs::read(live.path()).unwrap();
    live.append(5);
    live.settle();
    live.append(5);
    assert_eq!(Home::with(&older, &live.killed().journal_bytes()).opened(), live.records());
}

#[test]
fn a_log_that_is_gone_is_refused() {
    let live = Live::of(3);
    live.log.close().unwrap();
    let home = Home::with(b"", &live.killed().journal_bytes());
    assert_eq!(home.refused(), JournalError::Older { log: 0, journal: 3 });
}

/// A log whose file has nothing but its first commit takes no frames of another that began in another way.
#[test]
fn a_young_log_takes_no_frames_of_another() {
    let young = |thread: &str| {
        let mut live = Live::new();
        for _ in 0..4 {
            let commit = one(&mut live.sequencer, thread);
            builders::append(&live.log, &[commit]);
        }
        live.killed()
    };
    let (a, b) = (young("a"), young("b"));
    assert_eq!(Home::with(&a.log_bytes(), &b.journal_bytes()).refused(), JournalError::Another);
    let unwritten = Live::new().killed();
    let why = Home::with(&unwritten.log_bytes(), &b.journal_bytes()).refused();
    assert_eq!(why, JournalError::Older { log: 0, journal: 1 });
}

#[test]
fn the_journal_of_another_log_is_refused() {
    let log_of = |thread: &str, closed: bool| {
        let mut live = Live::new();
        live.append(3);
        for _ in 0..4 {
            let commit = one(&mut live.sequencer, thread);
            builders::append(&live.log, &[commit]);
        }
        if closed {
            live.log.close().unwrap();
        } else {
            live.settle();
        }
        live.append(2);
        live
    };
    for closed in [false, true] {
        let (a, b) = (log_of("a", closed), log_of("b", closed));
        let (of_a, of_b) = (a.killed(), b.killed());
        // One that has nothing beyond this log's end: what it does have was never here.
        let mut shorter = Live::of(2);
        let commit = one(&mut shorter.sequencer, "b");
        builders::append(&shorter.log, &[commit]);
        let of_shorter = shorter.killed();
        assert_eq!(
            Home::with(&of_a.log_bytes(), &of_shorter.journal_bytes()).refused(),
            JournalError::Another
        );
        assert_eq!(Home::with(&of_a.log_bytes(), &of_b.journal_bytes()).refused(), JournalError::Another);
        assert_eq!(of_a.opened(), a.records());
    }
}

/// The log was complete, so nothing is missing; where it was not, that is for whoever keeps the head elsewhere.
#[test]
fn a_lost_journal_is_made_anew() {
    let mut live = Live::of(4);
    live.settle();
    live.append(2);
    let home = live.killed();
    std::fs::remove_file(journal_path(&home.log)).unwrap();
    let log = builders::open(LogSource::File(home.log.clone()));
    assert_eq!(sound(&log).len(), 4);
    assert!(journal_path(&home.log).exists());
}

#[test]
fn a_file_that_is_no_journal_is_refused() {
    let live = Live::of(3);
    live.settle();
    let home = live.killed();
    let journal = home.journal_bytes();
    let damaged = |change: &dyn Fn(&mut Vec<u8>)| {
        let mut bytes = journal.clone();
        change(&mut bytes);
        Home::with(&home.log_bytes(), &bytes)
    };
    let of_text = damaged(&|bytes| *bytes = b"this is no journal\n".repeat(1000));
    assert!(matches!(of_text.refused(), JournalError::Damaged(_)));
    let headless = damaged(&|bytes| bytes[..SEGMENTS_START].fill(0));
    assert!(matches!(headless.refused(), JournalError::Damaged(_)));
    for found in [2_u32, 99, u32::MAX] {
        let newer = damaged(&|bytes| {
            for start in [0, BLOCK] {
                bytes[start + 12..start + 16].copy_from_slice(&found.to_le_bytes());
            }
        });
        let why = newer.refused();
        assert_eq!(why, JournalError::Version { found, known: 1 });
        assert!(why.to_string().contains("newer"), "{why}");
    }
    for segment_bytes in [0, 1, 4095, 5000, 1 << 40, u64::MAX] {
        let hostile = damaged(&|bytes| {
            for start in [0, BLOCK] {
                bytes[start + 16..start + 24].copy_from_slice(&segment_bytes.to_le_bytes());
                let checksum = *blake3::hash(&bytes[start..start + 72]).as_bytes();
                bytes[start + 72..start + 104].copy_from_slice(&checksum);
            }
        });
        assert!(matches!(hostile.refused(), JournalError::Damaged(_)), "{segment_bytes}");
    }
}

/// The header is written in turn, so one of the two blocks may be anything.
#[test]
fn one_header_is_enough() {
    let live = Live::of(3);
    live.log.close().unwrap();
    let home = live.killed();
    for block in 0..2 {
        let mut journal = home.journal_bytes();
        journal[block * BLOCK..][..200].fill(0x5a);
        assert_eq!(Home::with(&home.log_bytes(), &journal).opened().len(), 3);
    }
}

#[test]
fn a_journal_that_was_never_begun_is_begun() {
    let live = Live::of(3);
    live.settle();
    let log = live.killed().log_bytes();
    for journal in [vec![], vec![0; 100], vec![0; BLOCK + 3], vec![0; 1 << 20]] {
        assert_eq!(Home::with(&log, &journal).opened().len(), 3);
    }
    let mut half_a_header = vec![0; 1 << 20];
    half_a_header[..40].copy_from_slice(&live.killed().journal_bytes()[BLOCK..][..40]);
    assert_eq!(Home::with(&log, &half_a_header).opened().len(), 3);
}

/// What does not fit into a segment comes after everything that is in the journal.
#[test]
fn a_group_too_long_for_a_segment_goes_beside_the_journal() {
    let segments = Segments { bytes: 4 * BLOCK, most: 2 };
    let disks = Disks::default();
    let log = try_open(disks.source(segments)).unwrap();
    let mut sequencer = Sequencer::default();
    builders::append(&log, &[one(&mut sequencer, "t")]);
    assert_eq!(log.unsettled_bytes(), 0, "nor does the first of a log");
    builders::append(&log, &[one(&mut sequencer, "t")]);
    assert!(log.unsettled_bytes() > 0);
    let long = format!(r#"{{"padding":"{}"}}"#, "p".repeat(20_000));
    builders::append(&log, &[sequencer.commit([draft("t", "did:a:b", Act::Do, &long)])]);
    assert_eq!(log.unsettled_bytes(), 0);
    builders::append(&log, &[one(&mut sequencer, "t")]);
    assert!(log.unsettled_bytes() > 0);
    assert_eq!(sound(&log).len(), 4);
    let images = disks.images();
    assert_eq!(sound(&try_open(Disks::with(images.clone()).source(segments)).unwrap()).len(), 4);
    let alone = Images { journal: Vec::new(), ..images };
    assert_eq!(sound(&try_open(Disks::with(alone).source(segments)).unwrap()).len(), 3);
}

/// The file never grows beyond its bound, however much is appended with nobody to settle.
#[test]
fn an_append_settles_where_nobody_else_does() {
    let segments = Segments { bytes: 4 * BLOCK, most: 3 };
    let disks = Disks::default();
    let log = try_open(disks.source(segments)).unwrap();
    let mut sequencer = Sequencer::default();
    for _ in 0..100 {
        builders::append(&log, &[one(&mut sequencer, "t")]);
        assert!(disks.journal.image().len() <= SEGMENTS_START + 3 * segments.bytes);
    }
    assert_eq!(disks.journal.image().len(), SEGMENTS_START + 3 * segments.bytes);
    assert_eq!(sound(&log).len(), 100);
    log.close().unwrap();
    assert_eq!(disks.journal.image().len(), SEGMENTS_START + 2 * segments.bytes, "given back");
    for _ in 0..30 {
        builders::append(&log, &[one(&mut sequencer, "t")]);
    }
    assert_eq!(sound(&log).len(), 130, "a closed log takes more");
}

/// What was acknowledged is there for every reader, while it is in the journal, while it moves, and afterwards.
#[test]
fn readers_see_everything_while_it_moves() {
    const COMMITS: usize = 3000;
    let mut sequencer = Sequencer::default();
    let body = |i: usize| format!(r#"{{"i":{i},"padding":"{}"}}"#, "p".repeat(i % 7 * 3000));
    let log = Live::new();
    let done = AtomicBool::new(false);
    let moved = std::thread::scope(|scope| {
        let readers = [(); 2].map(|()| scope.spawn(|| read_until(&log.log, &done)));
        let settler = scope.spawn(|| {
            let mut moved = 0;
            while !done.load(Ordering::Relaxed) {
                moved += usize::from(log.log.settle().unwrap() > 0);
            }
            moved
        });
        for i in 0..COMMITS {
            let drafts = (0..1 + i % 3).map(|j| draft(&format!("t{j}"), "did:a:b", Act::Do, &body(i)));
            builders::append(&log.log, &[sequencer.commit(drafts)]);
        }
        done.store(true, Ordering::Relaxed);
        let read: usize = readers.into_iter().map(|r| r.join().unwrap()).sum();
        assert!(read > 100, "{read} rounds of reading");
        settler.join().unwrap()
    });
    assert!(moved > 20, "{moved} parts were moved");
    assert_eq!(log.records().len(), 2 * COMMITS);
}

/// Reads around the end until told to stop: nothing that was acknowledged is missing, in any way of reading.
fn read_until(log: &Log, done: &AtomicBool) -> usize {
    let mut rounds = 0;
    let mut seen = 0;
    while !done.load(Ordering::Relaxed) {
        let acknowledged = log.head();
        let reader = log.reader().unwrap();
        let head = reader.head().unwrap();
        assert!(head.sequence >= acknowledged.sequence && head.sequence >= seen);
        if head.sequence == 0 {
            continue;
        }
        let from = head.sequence.saturating_sub(40);
        let after: Vec<u64> = reader.after(from, 1000).unwrap().iter().map(|r| r.sequence).collect();
        assert_eq!(after, (from + 1..=head.sequence).collect::<Vec<_>>(), "no gap, nothing twice");
        let records = reader.records(&after).unwrap();
        assert!(records.iter().map(|r| r.sequence).eq(after.iter().copied()));
        let commit = reader.commit_of(head.sequence).unwrap().unwrap();
        assert_eq!((commit.last_sequence, commit.chain), (head.sequence, head.chain));
        let encoded = reader.encoded_commit(commit.first_sequence).unwrap().unwrap();
        assert_eq!(encoded.info, commit);
        assert!(reader.record(head.sequence + 1).unwrap().is_none());
        seen = head.sequence;
        rounds += 1;
    }
    rounds
}

/// For whoever copies a home by hand.
#[test]
fn the_journal_lies_beside_its_log() {
    assert_eq!(journal_path(Path::new("/home/a/log.redb")), Path::new("/home/a/log.journal"));
}
