//! Backups: whole again after a round trip, and refused for any damage.

use spl_fixtures::{
    builders::{self, Sequencer, draft},
    random::Random,
};
use spl_kernel::{
    commit::{Chain, encode_commit, encode_entry},
    id::RecordId,
    log::{
        Log, LogSource,
        backup::{self, BackupError},
    },
    record::{Act, Origin, Provenance, Record},
    time::UnixMillis,
};

use crate::support::{sound, words};

type Change<'a> = &'a dyn Fn(&mut Record);

const MAGIC: &[u8] = b"spl-backup-v1\n";

fn source() -> Log {
    let log = builders::memory_log();
    builders::append(&log, &builders::synthetic(60, 7));
    log
}

fn written(log: &Log) -> Vec<u8> {
    let mut bytes = Vec::new();
    let head = backup::write(&log.reader().unwrap(), &mut bytes, &mut |_, _| {}).unwrap();
    assert_eq!(head, log.head());
    bytes
}

fn restored(bytes: &[u8]) -> Result<Log, BackupError> {
    let log = builders::memory_log();
    let head = backup::restore(&log, &mut &bytes[..], &mut |_| {})?;
    assert_eq!(head, log.head());
    Ok(log)
}

fn refused(bytes: &[u8], what: &str) -> String {
    match restored(bytes) {
        Ok(log) => panic!("{what}: restored {} records", log.head().sequence),
        Err(BackupError::Damaged { .. } | BackupError::Foreign) => {}
        Err(error) => panic!("{what}: {}", words(&error)),
    }
    words(&restored(bytes).unwrap_err())
}

/// A backup of commits given as encoded bytes, with a trailer that fits.
fn backup_of(commits: &[Vec<u8>], last: u64) -> Vec<u8> {
    let mut bytes = MAGIC.to_vec();
    let mut chain = Chain::GENESIS;
    for commit in commits {
        bytes.extend(u32::try_from(commit.len()).unwrap().to_le_bytes());
        bytes.extend(commit);
        chain = chain.after(commit);
    }
    bytes.extend(0_u32.to_le_bytes());
    bytes.extend(last.to_le_bytes());
    bytes.extend(chain.as_bytes());
    bytes
}

fn record(n: u64) -> Record {
    let draft = draft("t", "did:a:b", Act::Do, &format!("{{\"n\":{n}}}"));
    let id = draft.id_at(n).unwrap();
    draft.into_record(id, n)
}

fn commit(first: u64, at: u64, records: &[Record]) -> Vec<u8> {
    let by = Provenance::without_credential(Origin::Posted);
    let records: Vec<Vec<u8>> = records.iter().map(|record| encode_entry(record, &by)).collect();
    encode_commit(first, UnixMillis(at), &records)
}

#[test]
fn a_round_trip_gives_the_same_log() {
    let log = source();
    let copy = restored(&written(&log)).unwrap();
    assert_eq!(copy.head(), log.head());
    assert_eq!(sound(&copy), sound(&log));
    assert_eq!(written(&copy), written(&log), "and the same backup again");
}

#[test]
fn a_round_trip_of_more_than_one_group_on_disk() {
    let directory = tempfile::tempdir().unwrap();
    let log = builders::memory_log();
    builders::append(&log, &builders::synthetic(9000, 1000));
    let bytes = written(&log);
    let copy = builders::open(LogSource::File(directory.path().join("log.redb")));
    let mut heard = Vec::new();
    let head = backup::restore(&copy, &mut &bytes[..], &mut |done| heard.push(done)).unwrap();
    assert_eq!((head, heard.last()), (log.head(), Some(&9000)));
    assert!(heard.len() > 1, "progress is heard on the way");
    assert_eq!(sound(&copy).len(), 9000);
}

#[test]
fn an_empty_log_has_a_backup() {
    let bytes = written(&builders::memory_log());
    assert_eq!(bytes.len(), 14 + 4 + 8 + 32);
    assert_eq!(restored(&bytes).unwrap().head(), spl_kernel::commit::Head::EMPTY);
}

#[test]
fn a_truncated_backup_is_refused() {
    let bytes = written(&source());
    let ends = (1..64).map(|n| bytes.len() - n);
    for length in (0..bytes.len()).step_by(97).chain(ends) {
        let message = refused(&bytes[..length], &format!("cut at {length}"));
        assert!(
            message.contains(if length < 14 { "not a backup" } else { "too early" }),
            "{length}: {message}"
        );
    }
}

#[test]
fn a_flipped_byte_is_refused() {
    let bytes = written(&source());
    let mut random = Random::new(11);
    for at in (0..20).chain((20..bytes.len()).step_by(61)).chain(bytes.len() - 44..bytes.len()) {
        let mut damaged = bytes.clone();
        damaged[at] ^= 1 << random.below(8);
        let _ = refused(&damaged, &format!("flipped at {at}"));
    }
}

#[test]
fn what_is_no_backup_is_refused() {
    let bytes = written(&source());
    for foreign in [&b""[..], b"PK\x03\x04", b"spl-backup-v2\n", b"redb\x1a\x0a\xa9\x0d\x0a", &[0; 5000]] {
        assert!(refused(foreign, "foreign").contains("not a backup"));
    }
    assert!(refused(&[&bytes[..], b"x"].concat(), "more").contains("more after its end"));
    assert!(refused(&[&bytes[..], &bytes[..]].concat(), "twice").contains("more after its end"));
    let huge = [MAGIC, &u32::MAX.to_le_bytes(), b"abc"].concat();
    assert!(refused(&huge, "huge").contains("longer than it may be"));
    let long = [MAGIC, &(64_u32 << 20).to_le_bytes(), b"abc"].concat();
    assert!(refused(&long, "long").contains("too early"));
}

#[test]
fn a_wrong_trailer_is_refused() {
    let commits = [commit(1, 1000, &[record(1), record(2)])];
    assert_eq!(restored(&backup_of(&commits, 2)).unwrap().head().sequence, 2);
    for last in [0, 1, 3, u64::MAX] {
        assert!(refused(&backup_of(&commits, last), "last").contains("does not match"));
    }
    let mut other_chain = backup_of(&commits, 2);
    *other_chain.last_mut().unwrap() ^= 1;
    assert!(refused(&other_chain, "chain").contains("does not match"));
}

#[test]
fn commits_out_of_place_are_refused() {
    let (one, two) = (commit(1, 1000, &[record(1)]), commit(2, 2000, &[record(2)]));
    assert!(restored(&backup_of(&[one.clone(), two.clone()], 2)).is_ok());
    let cases = [
        ("swapped", backup_of(&[two.clone(), one.clone()], 2)),
        ("a gap", backup_of(&[one.clone(), commit(3, 2000, &[record(2)])], 3)),
        ("repeated", backup_of(&[one.clone(), one.clone()], 2)),
        ("from zero", backup_of(&[commit(0, 1000, &[record(1), record(2)])], 1)),
        ("at the end of numbers", backup_of(&[commit(u64::MAX, 1000, &[record(1), record(2)])], 1)),
        ("back in time", backup_of(&[one.clone(), commit(2, 999, &[record(2)])], 2)),
        ("no records", backup_of(&[one.clone(), commit(2, 2000, &[])], 1)),
        ("another version", backup_of(&[[&[2][..], &one[1..]].concat()], 1)),
    ];
    for (what, bytes) in cases {
        let _ = refused(&bytes, what);
    }
}

/// Chain and ids fit, and still: records that the log would never have taken.
#[test]
fn records_that_break_a_rule_are_refused() {
    let rehashed = |change: &dyn Fn(&mut Record)| {
        let mut record = record(1);
        change(&mut record);
        record.id = RecordId::of(&record.canonical().unwrap());
        backup_of(&[commit(1, 1000, &[record])], 1)
    };
    assert!(restored(&rehashed(&|_| {})).is_ok());
    let changes: [(&str, Change<'_>); 6] = [
        ("space in the body", &|r| r.body = r#"{ "n":1}"#.into()),
        ("keys out of order", &|r| r.body = r#"{"b":1,"a":1}"#.into()),
        ("no object", &|r| r.body = "1".into()),
        ("no thread", &|r| r.thread.clear()),
        ("no DID", &|r| r.actor = "alice".into()),
        ("parents twice", &|r| r.parents = vec![RecordId::from_bytes([1; 32]); 2]),
    ];
    for (what, change) in changes {
        let _ = refused(&rehashed(change), what);
    }
    let wrong_id = Record { id: RecordId::from_bytes([7; 32]), ..record(1) };
    assert!(refused(&backup_of(&[commit(1, 1000, &[wrong_id])], 1), "id").contains("id is not that"));
}

/// Other bytes of the same meaning would have another chain than the log that is made of them.
#[test]
fn another_encoding_of_a_commit_is_refused() {
    let good = commit(1, 1000, &[record(1)]);
    assert_eq!(good[..2], [1, 1], "version and first sequence");
    let long_one = [&[1, 0x81, 0x00][..], &good[2..]].concat();
    assert!(refused(&backup_of(&[long_one], 1), "varint").contains("not encoded as it should be"));
}

/// The same record, or the same clock, twice: the indexes could hold only one of them.
#[test]
fn a_record_or_clock_twice_is_refused() {
    let twice = backup_of(&[commit(1, 1000, &[record(1)]), commit(2, 2000, &[record(1)])], 2);
    assert!(refused(&twice, "record").contains("twice"));
    let other = draft("t", "did:a:b", Act::Do, "{\"other\":1}");
    let other = other.clone().into_record(other.id_at(1).unwrap(), 1);
    let same_clock = backup_of(&[commit(1, 1000, &[record(1), other])], 2);
    assert!(refused(&same_clock, "clock").contains("twice"));
}

#[test]
fn only_an_empty_log_is_restored_into() {
    let log = source();
    let bytes = written(&log);
    let error = backup::restore(&log, &mut &bytes[..], &mut |_| {}).unwrap_err();
    assert!(matches!(error, BackupError::Append(_) | BackupError::Damaged { .. }), "{}", words(&error));
    assert_eq!(sound(&log).len(), 60, "it is as it was");
}

/// A backup is one snapshot, whatever is written meanwhile.
#[test]
fn a_backup_is_a_snapshot() {
    let log = source();
    let reader = log.reader().unwrap();
    let before = log.head();
    builders::append(&log, &[Sequencer::after(&before).commit([draft("new", "did:a:b", Act::Do, "{}")])]);
    let mut bytes = Vec::new();
    assert_eq!(backup::write(&reader, &mut bytes, &mut |_, _| {}).unwrap(), before);
    assert_eq!(restored(&bytes).unwrap().head(), before);
}
