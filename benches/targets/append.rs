//! Durable appends by 1, 16, 64 and 256 concurrent writers under one committer. Floor: the same committer
//! with a plain file and fdatasync, for the same bytes.

#![expect(clippy::expect_used, reason = "a benchmark that cannot run has no result")]

use std::{
    fs::File,
    io::Write as _,
    sync::mpsc::{Sender, channel},
    time::Duration,
};

use criterion::{Criterion, criterion_group, criterion_main};
use spl_benches::{Size, disk_directory, ratio, timed};
use spl_fixtures::{builders::Sequencer, data};
use spl_kernel::{
    commit::encode_entry,
    draft::Draft,
    log::{Log, LogSource},
};

/// Writers that each send a record, wait until it is durable, and send the next; one committer that writes
/// all that waits as one group.
fn group_commit(writers: usize, drafts: &[Draft], mut commit: impl FnMut(&[Draft]) + Send) -> Duration {
    let per_writer = drafts.len().div_ceil(writers);
    timed(|| {
        std::thread::scope(|scope| {
            let (queue, waiting) = channel::<(Draft, Sender<()>)>();
            for part in drafts.chunks(per_writer) {
                let queue = queue.clone();
                scope.spawn(move || {
                    for draft in part {
                        let (done, acknowledged) = channel();
                        queue.send((draft.clone(), done)).expect("the committer runs");
                        acknowledged.recv().expect("the committer answers");
                    }
                });
            }
            drop(queue);
            while let Ok(first) = waiting.recv() {
                let group: Vec<_> = std::iter::once(first).chain(waiting.try_iter()).collect();
                let (drafts, answers): (Vec<_>, Vec<_>) = group.into_iter().unzip();
                commit(&drafts);
                for answer in answers {
                    answer.send(()).expect("the writer waits");
                }
            }
        });
    })
}

fn append(c: &mut Criterion) {
    let size = Size::of_this_run();
    let directory = disk_directory().expect("a directory");
    let source: Vec<Draft> = data::debian_drafts().take(2048).collect();
    let log = Log::open(LogSource::File(directory.path().join("log.redb")), &mut |_, _| {}).expect("a log");
    let mut file = File::create(directory.path().join("raw")).expect("a file");
    let mut clock = 0;
    for writers in [1, 16, 64, 256] {
        let count = (writers * 8).clamp(64, if size.records < 1000 { 256 } else { 2048 });
        let drafts = &source[..count];
        let encoded: Vec<Vec<u8>> = Sequencer::after(&spl_kernel::commit::Head::EMPTY)
            .commit(drafts.to_vec())
            .commit
            .entries
            .iter()
            .map(|e| encode_entry(&e.record, &e.provenance))
            .collect();
        let floor = || {
            let mut next = encoded.iter();
            group_commit(writers, drafts, |group| {
                for bytes in next.by_ref().take(group.len()) {
                    file.write_all(bytes).expect("written");
                }
                file.sync_data().expect("synced");
            })
        };
        let ours = || {
            let elapsed = group_commit(writers, drafts, |group| {
                let head = log.head();
                let mut sequencer = Sequencer::after(&head);
                let commits: Vec<_> = group
                    .iter()
                    .map(|draft| {
                        clock += 1;
                        sequencer.commit([Draft { clock: Some(clock), ..draft.clone() }])
                    })
                    .collect();
                log.append(head, &commits).expect("appended");
            });
            while log.index().behind() >= spl_kernel::log::FLUSH_RECORDS {
                log.index().flush().expect("flushed");
            }
            elapsed
        };
        ratio(&format!("append, {writers} writers, over raw fdatasync"), size.rounds, floor, ours);
    }
    c.bench_function("append/one durable commit", |b| {
        b.iter(|| {
            clock += 1;
            let head = log.head();
            let draft = Draft { clock: Some(clock), ..source[0].clone() };
            log.append(head, &[Sequencer::after(&head).commit([draft])]).expect("appended")
        });
    });
}

criterion_group!(benches, append);
criterion_main!(benches);
