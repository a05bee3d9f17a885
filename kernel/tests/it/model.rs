//! The log and its indexes against the naive model, under random histories.

use std::sync::atomic::{AtomicBool, Ordering};

use proptest::prelude::*;
use spl_fixtures::{
    builders::{self, Sequencer, draft},
    model::{Admission, Model},
    random::Random,
    strategies::{self, Operation, Proposal, Says},
};
use spl_kernel::{
    commit::Head,
    draft::Draft,
    id::RecordId,
    log::{Index, Log, LogSource, NewCommit, Range, index_path},
    record::{Act, Origin, Provenance},
};
use tempfile::TempDir;

use crate::support::{cases, read, sound, try_open};

/// A log on disk and what it should hold.
struct World {
    directory: TempDir,
    log: Option<Log>,
    model: Model,
    sequencer: Sequencer,
    commits: Vec<(u64, u64)>,
}

fn thread(n: u8) -> String {
    format!("t{n}")
}

fn actor(n: u8) -> String {
    format!("did:sync:user:a{n}")
}

impl World {
    fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let mut world = Self {
            directory,
            log: None,
            model: Model::default(),
            sequencer: Sequencer::default(),
            commits: Vec::new(),
        };
        world.reopen();
        world
    }

    fn reopen(&mut self) {
        self.log = None;
        let path = self.directory.path().join("log.redb");
        self.log = Some(builders::open(LogSource::File(path)));
    }

    fn log(&self) -> &Log {
        self.log.as_ref().unwrap()
    }

    fn apply(&mut self, operation: &Operation) {
        match operation {
            Operation::Append(group) => self.append(group),
            Operation::Flush => {
                let behind = self.log().index().behind();
                assert_eq!(self.log().index().flush().unwrap(), behind);
                assert_eq!(self.log().index().behind(), 0);
            }
            Operation::Reopen => self.reopen(),
        }
    }

    fn append(&mut self, group: &[Vec<Proposal>]) {
        let mut commits = Vec::new();
        for proposals in group {
            let drafts = self.admitted(proposals);
            if drafts.is_empty() {
                continue;
            }
            let commit = self.sequencer.commit_of(drafts);
            let first = commit.commit.first_sequence;
            self.commits.push((first, first + commit.commit.entries.len() as u64 - 1));
            self.model.push(&commit);
            commits.push(commit);
        }
        let written = self.log().append(self.log().head(), commits).unwrap();
        let written: Vec<_> = written.into_iter().flatten().map(|r| (*r).clone()).collect();
        let all = self.model.records();
        assert_eq!(written, all[all.len() - written.len()..]);
    }

    /// What a writer would let through of one command's proposals.
    fn admitted(&self, proposals: &[Proposal]) -> Vec<(Draft, Provenance)> {
        let mut admitted: Vec<(Draft, Provenance)> = Vec::new();
        let mut ids: Vec<RecordId> = Vec::new();
        for proposal in proposals {
            let mut draft = self.draft(proposal);
            let same = |d: &Draft| d.thread == draft.thread && d.actor == draft.actor;
            let pending = admitted.iter().filter(|(d, _)| same(d)).filter_map(|(d, _)| d.clock).max();
            let highest = self.model.highest_clock(&draft.thread, &draft.actor).max(pending);
            let clock = draft.clock.unwrap_or_else(|| highest.map_or(0, |c| c + 1));
            let id = draft.id_at(clock).unwrap();
            let taken = admitted.iter().any(|(d, _)| same(d) && d.clock == Some(clock));
            let admission = self.model.admits(&id, &draft.thread, &draft.actor, clock);
            self.same_admission(admission, &draft, &id, clock);
            if admission == Admission::New && !taken && !ids.contains(&id) {
                draft.clock = Some(clock);
                ids.push(id);
                let by = Provenance::without_credential(Origin::Posted);
                admitted.push((draft, Provenance { sees_opening: proposal.sees_opening, ..by }));
            }
        }
        admitted
    }

    /// The index answers as the model before anything of the group is in either. Only then: a group is
    /// admitted as a whole before it is written.
    fn same_admission(&self, admission: Admission, draft: &Draft, id: &RecordId, clock: u64) {
        if self.log().head().sequence != self.model.len() {
            return;
        }
        let index = self.log().index();
        let stored = index.sequence_of(id).unwrap();
        let holder = index.clock_holder(&draft.thread, &draft.actor, clock).unwrap();
        let answer = match (stored, holder) {
            (Some(at), _) => Admission::Stored(at),
            (None, Some(at)) => Admission::ClockTaken(at),
            (None, None) => Admission::New,
        };
        assert_eq!(answer, admission);
    }

    fn draft(&self, proposal: &Proposal) -> Draft {
        let name = thread(proposal.thread);
        let other = "f".repeat(64);
        let opening = self.model.summary(&name).and_then(|s| s.opening);
        let opening = opening.map_or(other.clone(), |(id, _)| id.to_string());
        let body = match proposal.says {
            Says::Nothing => "{}".to_owned(),
            Says::Task => r#"{"task":true}"#.to_owned(),
            Says::Started => r#"{"topic":"task_started"}"#.to_owned(),
            Says::Fulfills => format!(r#"{{"fulfills":"{opening}"}}"#),
            Says::FulfillsInList => format!(r#"{{"fulfills":["{other}","{opening}"]}}"#),
            Says::FulfillsOther => format!(r#"{{"fulfills":"{other}"}}"#),
            Says::Cancels => format!(r#"{{"cancels":"{opening}"}}"#),
            Says::CancelsOther => format!(r#"{{"cancels":"{other}"}}"#),
            Says::Rejects => r#"{"verdict":"reject"}"#.to_owned(),
        };
        Draft { clock: proposal.clock, ..draft(&name, &actor(proposal.actor), proposal.act, &body) }
    }
}

fn random_range(random: &mut Random, len: u64) -> Range {
    let mut bound = || match random.below(6) {
        0 => 0,
        1 => u64::MAX,
        _ => random.below(len + 3),
    };
    let (low, high) = (bound(), bound());
    let limit = if random.one_in(4) { usize::MAX } else { random.index(7) };
    Range { low, high, limit, descending: random.one_in(2) }
}

/// Every question the index answers, asked of both.
fn agree(index: &Index, model: &Model, seed: u64) {
    let mut random = Random::new(seed);
    let len = model.len();
    let threads: Vec<String> = (0..7).map(thread).collect();
    let actors: Vec<String> = (0..6).map(actor).collect();
    for name in &threads {
        assert_eq!(index.summary(name).unwrap(), model.summary(name), "summary of {name}");
        for limit in [1, 2, 3, usize::MAX] {
            let parts = index.participants(name, limit).unwrap();
            assert_eq!(parts, model.participants(name, limit), "{limit} participants of {name}");
        }
        for _ in 0..4 {
            let range = random_range(&mut random, len);
            assert_eq!(index.thread(name, range).unwrap(), model.thread(name, range), "{name} {range:?}");
        }
        for actor in &actors {
            let highest = model.highest_clock(name, actor);
            assert_eq!(index.highest_clock(name, actor).unwrap(), highest, "{name} {actor}");
            for clock in (0..14).chain(highest) {
                let holder = model.clock_holder(name, actor, clock);
                assert_eq!(index.clock_holder(name, actor, clock).unwrap(), holder, "{name} {actor} {clock}");
            }
        }
    }
    for actor in &actors {
        for _ in 0..4 {
            let range = random_range(&mut random, len);
            assert_eq!(index.actor(actor, range).unwrap(), model.actor(actor, range), "{actor} {range:?}");
        }
    }
    for record in model.records() {
        assert_eq!(index.sequence_of(&record.record.id).unwrap(), Some(record.sequence));
    }
    assert_eq!(index.sequence_of(&RecordId::from_bytes([0xee; 32])).unwrap(), None);
    for _ in 0..6 {
        let after = random.below(len + 2);
        let limit = if random.one_in(3) { usize::MAX } else { random.index(5) };
        assert_eq!(
            index.threads(after, limit).unwrap(),
            model.threads(after, limit),
            "threads {after} {limit}"
        );
        assert_eq!(index.tasks(after, limit).unwrap(), model.tasks(after, limit), "tasks {after} {limit}");
    }
    assert_eq!(index.record_counts().unwrap(), [len; 4]);
}

/// Every way to read the log, against the list.
fn reads_agree(log: &Log, model: &Model, commits: &[(u64, u64)], seed: u64) {
    let mut random = Random::new(seed);
    let reader = log.reader().unwrap();
    let all = model.records();
    assert_eq!(reader.after(0, usize::MAX).unwrap(), all);
    for record in &all {
        assert_eq!(reader.record(record.sequence).unwrap().as_ref(), Some(record));
    }
    assert_eq!((reader.record(0).unwrap(), reader.record(model.len() + 1).unwrap()), (None, None));
    for _ in 0..8 {
        let (after, limit) = (random.below(model.len() + 3), random.index(9) + 1);
        let expected: Vec<_> = all.iter().filter(|r| r.sequence > after).take(limit).cloned().collect();
        assert_eq!(reader.after(after, limit).unwrap(), expected, "after {after}, {limit}");
    }
    for &(first, last) in commits {
        for at in [first, last] {
            let info = reader.commit_of(at).unwrap().unwrap();
            assert_eq!((info.first_sequence, info.last_sequence), (first, last));
        }
    }
    assert_eq!(reader.commit_of(model.len() + 1).unwrap(), None);
    assert!(reader.records(&[model.len() + 1]).is_err());
    assert_eq!(reader.head().unwrap(), log.head());
}

proptest! {
    #![proptest_config(cases(32))]

    #[test]
    fn a_log_answers_as_the_model_does(history in strategies::operations(14), seed in any::<u64>()) {
        let mut world = World::new();
        for (i, operation) in history.iter().enumerate() {
            world.apply(operation);
            agree(world.log().index(), &world.model, seed.wrapping_add(i as u64));
        }
        reads_agree(world.log(), &world.model, &world.commits, seed);
        assert_eq!(sound(world.log()), world.model.records());
        // The fold of the whole is the fold of its parts: this index is built in one go.
        let head = world.log().head();
        let path = world.log().path().unwrap().to_owned();
        world.log = None;
        let read = read(&path);
        assert_eq!((read.head(), sound(&read)), (head, world.model.records()));
        std::fs::remove_file(index_path(&path)).unwrap();
        let whole = builders::open(LogSource::File(path));
        assert_eq!(whole.head(), head);
        agree(whole.index(), &world.model, seed);
    }
}

/// Many actors, known to the index file in another order than they came to the thread.
#[test]
fn participants_come_by_their_first_record() {
    let mut world = World::new();
    let propose = |thread, actor| Proposal {
        thread,
        actor,
        act: Act::Do,
        clock: None,
        says: Says::Nothing,
        sees_opening: true,
    };
    world.append(&[(0..5).map(|a| propose(0, a)).collect()]);
    world.append(&[(0..5).rev().map(|a| propose(1, a)).collect()]);
    world.apply(&Operation::Flush);
    agree(world.log().index(), &world.model, 1);
    world.append(&[vec![propose(1, 0), propose(1, 3)]]);
    agree(world.log().index(), &world.model, 2);
}

/// Readers see the same while records move from memory to the file under them.
#[test]
fn a_flush_changes_no_answer() {
    let directory = tempfile::tempdir().unwrap();
    let log = builders::open(LogSource::File(directory.path().join("log.redb")));
    let commits = builders::synthetic(6000, 500);
    let mut model = Model::default();
    for commit in &commits {
        model.push(commit);
    }
    builders::append(&log, &commits);
    let (threads, tasks) = (model.threads(0, 100), model.tasks(0, 100));
    let name = threads[0].thread.clone();
    let (positions, parts) =
        (model.thread(&name, Range::after(0, usize::MAX)), model.participants(&name, 100));
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        for reader in 0..2 {
            let (done, log) = (&done, &log);
            let (threads, tasks, positions, parts, name) = (&threads, &tasks, &positions, &parts, &name);
            scope.spawn(move || {
                let index = log.index();
                let mut last_round = false;
                while !last_round {
                    last_round = done.load(Ordering::Acquire);
                    if reader == 0 {
                        assert_eq!(&index.threads(0, 100).unwrap(), threads);
                    } else {
                        assert_eq!(&index.tasks(0, 100).unwrap(), tasks);
                        assert_eq!(&index.thread(name, Range::after(0, usize::MAX)).unwrap(), positions);
                        assert_eq!(&index.participants(name, 100).unwrap(), parts);
                    }
                }
            });
        }
        builders::flush_all(&log);
        done.store(true, Ordering::Release);
    });
}

/// Positions 1, 2, 3 and so on, at least as many as were seen before.
fn positions_in_order(index: &Index, descending: bool, seen: &mut usize) {
    let range = Range { low: 0, high: u64::MAX, limit: usize::MAX, descending };
    let mut positions = index.thread("t", range).unwrap();
    if descending {
        positions.reverse();
    }
    assert!((1..).zip(&positions).all(|(expected, at)| expected == *at), "{positions:?}");
    assert!(positions.len() >= *seen, "what was seen is seen again");
    *seen = positions.len();
}

/// The one thread, which holds every record, is counted whole in each list.
fn summaries_are_whole(index: &Index) {
    let lists = [index.threads(0, 9).unwrap(), index.tasks(0, 9).unwrap()];
    for summary in index.summary("t").unwrap().iter().chain(lists.iter().flatten()) {
        assert_eq!(summary.record_count, summary.last_sequence);
    }
}

/// While the log grows and is flushed, a reader sees a beginning of it: no gap, and nothing twice.
#[test]
fn a_growing_log_is_seen_in_order() {
    let log = builders::memory_log();
    let done = AtomicBool::new(false);
    let until_done = |read: &mut dyn FnMut(&Index)| {
        while !done.load(Ordering::Acquire) {
            read(log.index());
        }
    };
    std::thread::scope(|scope| {
        for descending in [false, true] {
            let until_done = &until_done;
            scope.spawn(move || {
                let mut seen = 0;
                until_done(&mut |index| positions_in_order(index, descending, &mut seen));
            });
        }
        scope.spawn(|| until_done(&mut summaries_are_whole));
        let mut sequencer = Sequencer::default();
        for round in 0..400 {
            let body = |i: u32| format!("{{\"task\":true,\"n\":[{round},{i}]}}");
            let drafts = (0..2).map(|i| draft("t", "did:a:b", Act::Intend, &body(i)));
            builders::append(&log, &[sequencer.commit(drafts)]);
            builders::flush_all(&log);
        }
        done.store(true, Ordering::Release);
    });
    assert_eq!(sound(&log).len(), 800);
}

#[test]
fn a_moved_head_is_refused() {
    let log = builders::memory_log();
    let first = Sequencer::default().commit([draft("t", "did:a:b", Act::Do, "{}")]);
    builders::append(&log, std::slice::from_ref(&first));
    let error = log.append(Head::EMPTY, vec![first]).unwrap_err();
    assert_eq!(error.to_string(), "the log's head is 1, not 0");
    assert_eq!(sound(&log).len(), 1);
}

#[test]
fn commits_that_do_not_follow_are_refused_whole() {
    let log = builders::memory_log();
    let mut sequencer = Sequencer::default();
    let mut next = || sequencer.commit([draft("t", "did:a:b", Act::Do, "{}")]);
    builders::append(&log, &[next()]);
    let head = log.head();
    let (good, after) = (next(), next());
    let wrong: [&dyn Fn(&mut NewCommit); 5] = [
        &|c| c.commit.first_sequence += 1,
        &|c| c.commit.first_sequence -= 1,
        &|c| c.commit.committed_at.0 = head.committed_at.0 - 1,
        &|c| c.commit.entries.clear(),
        &|c| c.facts.clear(),
    ];
    for (i, change) in wrong.iter().enumerate() {
        let mut bad = after.clone();
        change(&mut bad);
        assert!(log.append(head, vec![good.clone(), bad]).is_err(), "change {i}");
        assert_eq!((log.head(), sound(&log).len()), (head, 1));
    }
    builders::append(&log, &[good, after]);
    assert_eq!(sound(&log).len(), 3);
    assert!(try_open(LogSource::Memory).is_ok_and(|log| log.head() == Head::EMPTY && log.path().is_none()));
}
