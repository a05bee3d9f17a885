//! Opening a log, after a stop and after a kill: with a million records over none. Each opening is a process of its own,
//! which then appends some and is gone, with or without closing the log.

#![expect(clippy::expect_used, reason = "a benchmark that cannot run has no result")]

use std::{path::Path, process::Command, time::Duration};

use spl_benches::{Size, disk_directory, ratio, report, timed};
use spl_fixtures::builders;
use spl_kernel::log::{Log, LogSource, NewCommit};

/// What a child is called with, before the path and how it ends.
const CHILD: &str = "--child";
/// Appends of a child, of one commit each, that nothing is settled of.
const APPENDS: usize = 200;

fn open(path: &Path) -> Log {
    Log::open(LogSource::File(path.to_owned()), &mut |_, _| {}).expect("the log opens")
}

/// Opens the log and says how long that took.
fn child(path: &Path, end: &str) {
    let mut log = None;
    let took = timed(|| log = Some(open(path)));
    report(&took.as_nanos().to_string());
    let log = log.expect("it is open");
    for commit in builders::synthetic(APPENDS, 1) {
        append(&log, vec![commit]);
    }
    if end == "kill" {
        // Nothing is settled, written to the index or closed.
        std::process::abort();
    }
    builders::flush_all(&log);
}

/// Appends commits at the log's end, with clocks that nothing else has.
fn append(log: &Log, mut commits: Vec<NewCommit>) {
    let head = log.head();
    let mut next = head.sequence + 1;
    for NewCommit { commit, .. } in &mut commits {
        commit.first_sequence = next;
        commit.committed_at = commit.committed_at.max(head.committed_at);
        for entry in &mut commit.entries {
            // The index holds ids and clocks for unique, as a writer would have seen to.
            entry.record.clock = next;
            let mut id = [0; 32];
            id[..8].copy_from_slice(&next.wrapping_mul(0x9e37_79b9_7f4a_7c15).to_le_bytes());
            entry.record.id = spl_kernel::id::RecordId::from_bytes(id);
            next += 1;
        }
    }
    builders::append(log, &commits);
}

/// Opens a log in a process of its own, which ends as `end` says.
fn opened(path: &Path, end: &str) -> Duration {
    let own = std::env::current_exe().expect("this program");
    let output =
        Command::new(own).args([CHILD.as_ref(), path.as_os_str(), end.as_ref()]).output().expect("it runs");
    let said = String::from_utf8_lossy(&output.stdout);
    Duration::from_nanos(said.trim().parse().expect("a number"))
}

fn filled(path: &Path, records: usize) {
    let log = open(path);
    for commits in builders::synthetic(records, 100).chunks(50) {
        append(&log, commits.to_vec());
        while log.settle().expect("settled") > 0 {}
        builders::flush_all(&log);
    }
}

fn main() {
    let args: Vec<String> = std::env::args().collect();
    if let [_, flag, path, end] = args.as_slice()
        && flag == CHILD
    {
        return child(path.as_ref(), end);
    }
    let size = Size::of_this_run();
    let records = if size.records < 1000 { 2000 } else { 1_000_000 };
    let directory = disk_directory().expect("a directory");
    let (none, many) = (directory.path().join("none.redb"), directory.path().join("many.redb"));
    filled(&none, 0);
    filled(&many, records);
    for end in ["stop", "kill"] {
        let name = format!("open after a {end}, {records} records over none");
        ratio(&name, size.rounds, || opened(&none, end), || opened(&many, end));
    }
}
