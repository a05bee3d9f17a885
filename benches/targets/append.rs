//! Durable appends by 1, 16, 64 and 256 concurrent writers under one committer, and by one that waits for each. As in
//! the server a thread beside it moves what was appended from the journal into the log's file, and another writes the
//! index. Floor: the same committer with a plain file, one write and one fdatasync a group, for the same records.

#![expect(clippy::expect_used, reason = "a benchmark that cannot run has no result")]

use std::{
    fs::File,
    io::Write as _,
    sync::mpsc::{Sender, channel},
    time::Duration,
};

use criterion::{Criterion, criterion_group, criterion_main};
use spl_benches::{Size, behind::Behind, disk_directory, quantile, ratio, timed};
use spl_fixtures::{builders::Sequencer, data};
use spl_kernel::{
    commit::{Head, encode_entry},
    draft::Draft,
    log::{Log, LogSource, NewCommit},
};

/// Writers that each send an item, wait until it is durable, and send the next; one committer that writes
/// all that waits as one group.
fn group_commit<T: Send>(writers: usize, items: Vec<T>, mut commit: impl FnMut(Vec<T>)) -> Duration {
    let per_writer = items.len().div_ceil(writers);
    let mut items = items.into_iter();
    let parts: Vec<Vec<T>> = (0..writers).map(|_| items.by_ref().take(per_writer).collect()).collect();
    timed(|| {
        std::thread::scope(|scope| {
            let (queue, waiting) = channel::<(T, Sender<()>)>();
            for part in parts {
                let queue = queue.clone();
                scope.spawn(move || {
                    for item in part {
                        let (done, acknowledged) = channel();
                        queue.send((item, done)).expect("the committer runs");
                        acknowledged.recv().expect("the committer answers");
                    }
                });
            }
            drop(queue);
            while let Ok(first) = waiting.recv() {
                let group: Vec<_> = std::iter::once(first).chain(waiting.try_iter()).collect();
                let (items, answers): (Vec<_>, Vec<_>) = group.into_iter().unzip();
                commit(items);
                for answer in answers {
                    answer.send(()).expect("the writer waits");
                }
            }
        });
    })
}

/// A plain file: what is written to it, and synced, at once.
struct Raw {
    file: File,
    buffer: Vec<u8>,
}

impl Raw {
    fn append(&mut self, records: &[Vec<u8>]) {
        self.buffer.clear();
        records.iter().for_each(|record| self.buffer.extend_from_slice(record));
        self.file.write_all(&self.buffer).expect("written");
        self.file.sync_data().expect("synced");
    }
}

/// The log and where it stands: positions and times are given to commits as they arrive.
struct Ours<'a> {
    log: &'a Log,
    behind: &'a Behind,
}

impl Ours<'_> {
    fn append(&self, mut commits: Vec<NewCommit>) {
        let head = self.log.head();
        let mut next = head.sequence + 1;
        for NewCommit { commit, .. } in &mut commits {
            commit.first_sequence = next;
            commit.committed_at = commit.committed_at.max(head.committed_at);
            next += commit.entries.len() as u64;
        }
        self.log.append(head, commits).expect("appended");
        self.behind.appended(self.log);
    }
}

/// Commits of one record each that differ from all before.
fn fresh(drafts: &[Draft], clock: &mut u64) -> Vec<NewCommit> {
    let mut sequencer = Sequencer::after(&Head::EMPTY);
    let one = |draft: &Draft| {
        *clock += 1;
        let mut commit = sequencer.commit([Draft { clock: Some(*clock), ..draft.clone() }]);
        commit.commit.committed_at = spl_kernel::time::UnixMillis(0);
        commit
    };
    drafts.iter().map(one).collect()
}

fn encoded(drafts: &[Draft]) -> Vec<Vec<u8>> {
    let entry =
        |c: &NewCommit| c.commit.entries.iter().map(|e| encode_entry(&e.record, &e.provenance)).collect();
    fresh(drafts, &mut 0).iter().flat_map(|c| -> Vec<Vec<u8>> { entry(c) }).collect()
}

/// The median time of one append after the other.
fn median_of<T>(items: Vec<T>, mut append: impl FnMut(T)) -> Duration {
    let mut each: Vec<f64> = items.into_iter().map(|item| timed(|| append(item)).as_secs_f64()).collect();
    Duration::from_secs_f64(quantile(&mut each, 0.5))
}

fn append(c: &mut Criterion) {
    let size = Size::of_this_run();
    let directory = disk_directory().expect("a directory");
    let source: Vec<Draft> = data::debian_drafts().take(2048).collect();
    let log = Log::open(LogSource::File(directory.path().join("log.redb")), &mut |_, _| {}).expect("a log");
    let mut raw =
        Raw { file: File::create(directory.path().join("raw")).expect("a file"), buffer: Vec::new() };
    let mut clock = 0;
    let behind = Behind::default();
    std::thread::scope(|scope| {
        behind.follow(scope, &log);
        let ours = Ours { log: &log, behind: &behind };
        for writers in [1, 16, 64, 256] {
            let count = (writers * 8).clamp(64, if size.records < 1000 { 256 } else { 2048 });
            let drafts = &source[..count];
            let records = encoded(drafts);
            let floor = || group_commit(writers, records.clone(), |group| raw.append(&group));
            let own = || {
                let commits = fresh(drafts, &mut clock);
                group_commit(writers, commits, |group| ours.append(group))
            };
            // A round is short and its ratio far from the next one's.
            ratio(&format!("append, {writers} writers, over raw fdatasync"), size.rounds * 8, floor, own);
        }
        let drafts = &source[..100];
        let records = encoded(drafts);
        let floor = || median_of(records.clone(), |record| raw.append(&[record]));
        let own = || median_of(fresh(drafts, &mut clock), |commit| ours.append(vec![commit]));
        ratio("append, median latency of one", size.rounds, floor, own);
        c.bench_function("append/one durable commit", |b| {
            b.iter_batched(
                || fresh(&source[..1], &mut clock),
                |commits| ours.append(commits),
                criterion::BatchSize::SmallInput,
            );
        });
        behind.stop();
    });
}

criterion_group!(benches, append);
criterion_main!(benches);
