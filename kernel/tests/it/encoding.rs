//! Commits as bytes.

use data_encoding::HEXLOWER;
use proptest::prelude::*;
use serde::Deserialize;
use spl_fixtures::{
    builders::{EPOCH_MS, Sequencer, draft_at, memory_log},
    random::Random,
    strategies,
};
use spl_kernel::{
    commit::{
        Chain, Commit, DecodeError, FORMAT_VERSION, decode_commit, decode_entry, encode_commit, encode_entry,
    },
    draft::BodyFacts,
    entry::EntryRef,
    id::RecordId,
    limits,
    log::NewCommit,
    record::{Act, DataType, Origin, Provenance, Record, Signature},
    time::UnixMillis,
};

use crate::support::cases;

/// The commit whose bytes are pinned: one record with everything absent, one with everything present.
fn golden() -> NewCommit {
    let mut full = draft_at("th_a", "did:sync:user:alice", Act::Know, 300, r#"{"verdict":"accept","é":1.5}"#);
    full.parents = vec![RecordId::from_bytes([0x11; 32]), RecordId::from_bytes([0x22; 32])];
    full.judged_by = Some(RecordId::from_bytes([0x33; 32]));
    full.data_type = DataType::Void;
    let by = Provenance {
        origin: Origin::Peer,
        service_account_id: Some("sa_0123456789abcdef".into()),
        token_id: Some([0x44; 32]),
        sees_opening: false,
        signature: Some(Signature { bytes: [0x55; 64], key_id: "did:key:z6Mk#1".into() }),
    };
    let plain = draft_at("t", "did:a:b", Act::Intend, 0, "{}");
    Sequencer::default().commit_of([(plain, Provenance::without_credential(Origin::Command)), (full, by)])
}

fn encode(new: &NewCommit) -> Vec<u8> {
    let records: Vec<Vec<u8>> =
        new.commit.entries.iter().map(|e| encode_entry(&e.record, &e.provenance)).collect();
    encode_commit(new.commit.first_sequence, new.commit.committed_at, &records)
}

const GOLDEN_BYTES: &str = "0101e8d7eab6b73302372805b6db74b6d3528ffbe5f20cf5f0b341cfe50b0b7edace59af170af9ba37b4000174076469643a613a6200027b7d0000000000000100c602a0758686d5fcd69513bfdf6d6e09c08685e56d50f62057d882a11d2284ddb56502111111111111111111111111111111111111111111111111111111111111111122222222222222222222222222222222222222222222222222222222222222220474685f61136469643a73796e633a757365723a616c696365021d7b2276657264696374223a22616363657074222c22c3a9223a312e357dac020501333333333333333333333333333333333333333333333333333333333333333303011373615f30313233343536373839616263646566014444444444444444444444444444444444444444444444444444444444444444000140555555555555555555555555555555555555555555555555555555555555555555555555555555555555555555555555555555555555555555555555555555550e6469643a6b65793a7a364d6b2331";
const GOLDEN_CHAIN: &str = "7800772cfa2b063d65be598b68079b904f3b82e220fa5c9f89866d14a38d2f65";

/// The bytes were written down by an encoder of its own, from `docs/log-format.md`. **A change here breaks
/// every existing log**: a new layout needs a new format version that reads this one too.
#[test]
fn the_encoding_is_pinned() {
    let bytes = encode(&golden());
    assert_eq!(HEXLOWER.encode(&bytes), GOLDEN_BYTES);
    assert_eq!(Chain::GENESIS.after(&bytes).to_string(), GOLDEN_CHAIN);
    assert_eq!(FORMAT_VERSION, 1);
}

#[test]
fn the_pinned_bytes_decode() {
    let bytes = HEXLOWER.decode(GOLDEN_BYTES.as_bytes()).unwrap();
    let (committed_at, records) = decode_commit(&bytes).unwrap();
    let expected = golden();
    assert_eq!(committed_at, UnixMillis(EPOCH_MS + 1000));
    assert_eq!(records.iter().map(|r| r.sequence).collect::<Vec<_>>(), [1, 2]);
    for (stored, entry) in records.iter().zip(&expected.commit.entries) {
        assert_eq!((&stored.record, &stored.provenance), (&entry.record, &entry.provenance));
        assert_eq!(stored.committed_at, committed_at);
    }
}

#[test]
fn the_chain_depends_on_all_that_came_before() {
    let (a, b) = (Chain::GENESIS.after(b"a"), Chain::GENESIS.after(b"b"));
    assert_ne!(a, b);
    assert_ne!(a.after(b"b"), b.after(b"a"));
    assert_eq!(Chain::parse(&a.to_string()), Some(a));
    assert_eq!((Chain::parse("x"), Chain::parse(&a.to_string().to_uppercase())), (None, None));
}

#[test]
fn what_is_not_a_commit_is_refused() {
    let good = encode(&golden());
    let malformed = |bytes: &[u8]| match decode_commit(bytes) {
        Err(DecodeError::Malformed(what)) => what,
        other => panic!("{other:?}"),
    };
    assert_eq!(malformed(b""), "empty commit");
    for version in [0, 2, 3, 255] {
        let mut other = good.clone();
        other[0] = version;
        assert_eq!(decode_commit(&other), Err(DecodeError::Version(version)));
    }
    assert_eq!(malformed(&[&good[..], b"\0"].concat()), "bytes after a commit");
    assert_eq!(malformed(&encode_commit::<&[u8]>(1, UnixMillis(0), &[])), "a commit without records");
    for at in 1..good.len() {
        let _ = malformed(&good[..at]);
    }
    let entry = encode_entry(&golden().commit.entries[1].record, &golden().commit.entries[1].provenance);
    assert!(decode_entry(&[&entry[..], b"\0"].concat()).is_err(), "bytes after a record");
    assert!(decode_entry(&entry[..entry.len() - 1]).is_err());
    let last = encode_commit(u64::MAX, UnixMillis(0), &[&entry, &entry]);
    let _ = malformed(&last);
}

#[test]
fn fields_over_their_limit_are_refused() {
    let golden = golden();
    let (record, provenance) = (&golden.commit.entries[1].record, &golden.commit.entries[1].provenance);
    let over = |change: &dyn Fn(&mut spl_kernel::record::Record, &mut Provenance)| {
        let (mut record, mut provenance) = (record.clone(), provenance.clone());
        change(&mut record, &mut provenance);
        decode_entry(&encode_entry(&record, &provenance)).is_err()
    };
    assert!(!over(&|_, _| {}));
    assert!(over(&|r, _| r.thread = "x".repeat(257)));
    assert!(over(&|r, _| r.actor = "x".repeat(257)));
    assert!(over(&|r, _| r.body = "x".repeat(256 * 1024 + 1)));
    assert!(over(&|r, _| r.clock = 1 << 63));
    assert!(over(&|r, _| r.parents = vec![RecordId::from_bytes([0; 32]); 65]));
    assert!(over(&|_, p| p.service_account_id = Some("x".repeat(65))));
}

/// More records than any commit has are refused by number, before they are held; and never written.
#[test]
fn a_commit_has_a_bounded_number_of_records() {
    let entry = golden().commit.entries.swap_remove(0);
    let bytes = encode_entry(&entry.record, &entry.provenance);
    let of = |count: usize| encode_commit(1, UnixMillis(1), &vec![&bytes; count]);
    assert_eq!(decode_commit(&of(limits::COMMIT_RECORDS_MAX)).unwrap().1.len(), limits::COMMIT_RECORDS_MAX);
    let more = limits::COMMIT_RECORDS_MAX + 1;
    let refused = decode_commit(&of(more));
    assert_eq!(refused, Err(DecodeError::Malformed("a commit with more records than it may have")));
    let commit = Commit { first_sequence: 1, committed_at: UnixMillis(1), entries: vec![entry; more] };
    let new = NewCommit { commit, facts: vec![BodyFacts::default(); more] };
    let log = memory_log();
    assert!(log.append(log.head(), vec![new]).is_err());
    assert_eq!(log.head().sequence, 0);
}

/// The layout of a record, for a decoder that knows nothing of it.
#[derive(Deserialize)]
struct Wire<'a> {
    id: [u8; 32],
    parents: Vec<[u8; 32]>,
    thread: &'a str,
    actor: &'a str,
    act: Act,
    body: &'a str,
    clock: u64,
    data_type: DataType,
    judged_by: Option<[u8; 32]>,
    origin: Origin,
    service_account_id: Option<&'a str>,
    token_id: Option<[u8; 32]>,
    sees_opening: bool,
    #[serde(borrow)]
    signature: Option<(&'a serde_bytes::Bytes, &'a str)>,
}

/// A record within its limits, all of the bytes.
fn by_postcard(bytes: &[u8]) -> Option<(Record, Provenance)> {
    let (wire, rest) = postcard::take_from_bytes::<Wire<'_>>(bytes).ok()?;
    let within = rest.is_empty()
        && wire.parents.len() <= limits::PARENTS_MAX
        && [wire.thread.len(), wire.actor.len()].iter().all(|len| *len <= 256)
        && wire.body.len() <= limits::BODY_BYTES_MAX
        && wire.clock <= limits::CLOCK_MAX
        && wire.service_account_id.is_none_or(|id| id.len() <= limits::SERVICE_ACCOUNT_ID_BYTES_MAX);
    let signature = match wire.signature {
        Some((bytes, key_id)) => {
            Some(Signature { bytes: bytes.as_ref().try_into().ok()?, key_id: key_id.to_owned() })
        }
        None => None,
    };
    let record = Record {
        id: RecordId::from_bytes(wire.id),
        parents: wire.parents.into_iter().map(RecordId::from_bytes).collect(),
        thread: wire.thread.to_owned(),
        actor: wire.actor.to_owned(),
        act: wire.act,
        body: wire.body.to_owned(),
        clock: wire.clock,
        data_type: wire.data_type,
        judged_by: wire.judged_by.map(RecordId::from_bytes),
    };
    let provenance = Provenance {
        origin: wire.origin,
        service_account_id: wire.service_account_id.map(str::to_owned),
        token_id: wire.token_id,
        sees_opening: wire.sees_opening,
        signature,
    };
    within.then_some((record, provenance))
}

fn same_as_postcard(bytes: &[u8]) -> Result<(), TestCaseError> {
    let read = decode_entry(bytes).ok();
    prop_assert_eq!(&read, &by_postcard(bytes));
    if let (Some((record, by)), Ok(entry)) = (read, EntryRef::decode(bytes)) {
        let mut text = String::from("before ");
        entry.write_canonical(&mut text).unwrap();
        prop_assert_eq!(text, format!("before {}", record.canonical().unwrap()));
        prop_assert_eq!(
            (entry.id(), entry.thread(), entry.origin()),
            (record.id, &*record.thread, by.origin)
        );
    }
    Ok(())
}

proptest! {
    #![proptest_config(cases(150))]

    #[test]
    fn a_commit_decodes_to_itself(
        entries in proptest::collection::vec(strategies::entry(), 1..5), first in 1..u64::MAX / 2, at in any::<u64>(),
    ) {
        let records: Vec<Vec<u8>> = entries.iter().map(|(record, by)| encode_entry(record, by)).collect();
        for (bytes, (record, by)) in records.iter().zip(&entries) {
            prop_assert_eq!(decode_entry(bytes).unwrap(), (record.clone(), by.clone()));
        }
        let bytes = encode_commit(first, UnixMillis(at), &records);
        let before = Chain::from_bytes([at as u8; 32]);
        prop_assert_eq!(before.after_records(first, UnixMillis(at), &records), (before.after(&bytes), bytes.len()));
        let (committed_at, decoded) = decode_commit(&bytes).unwrap();
        prop_assert_eq!((committed_at, decoded.len()), (UnixMillis(at), entries.len()));
        for (i, (stored, (record, by))) in decoded.iter().zip(&entries).enumerate() {
            prop_assert_eq!(stored.sequence, first + i as u64);
            prop_assert_eq!((&stored.record, &stored.provenance), (record, by));
        }
    }

    /// What is read by hand is what a decoder of postcard reads.
    #[test]
    fn a_record_is_read_as_postcard_reads_it(
        (record, by) in strategies::entry(), noise in proptest::collection::vec(any::<u8>(), 0..300), seed in any::<u64>(),
    ) {
        let good = encode_entry(&record, &by);
        prop_assert!(by_postcard(&good).is_some());
        same_as_postcard(&noise)?;
        let mut random = Random::new(seed);
        for _ in 0..100 {
            let mut bytes = good.clone();
            for _ in 0..=random.below(2) {
                let at = random.index(bytes.len());
                match random.below(6) {
                    0 => bytes[at] ^= 1 << random.below(8),
                    1 => bytes[at] = random.bits() as u8,
                    2 => bytes.truncate(at.max(1)),
                    3 => bytes.insert(at, 0x80),
                    // A number in more bytes than it needs, up to more than any may have.
                    4 => {
                        bytes[at] |= 0x80;
                        let more = random.index(10);
                        bytes.splice(at + 1..at + 1, [&vec![0x80; more][..], &[random.below(3) as u8]].concat());
                    }
                    _ => bytes.push(0),
                }
            }
            same_as_postcard(&bytes)?;
        }
    }

    #[test]
    fn random_bytes_never_panic(mut bytes in proptest::collection::vec(any::<u8>(), 0..400)) {
        let _ = decode_entry(&bytes);
        bytes.insert(0, FORMAT_VERSION);
        let _ = decode_commit(&bytes);
    }

    #[test]
    fn mutated_commits_never_panic(entries in proptest::collection::vec(strategies::entry(), 1..4), seed in any::<u64>()) {
        let records: Vec<Vec<u8>> = entries.iter().map(|(record, by)| encode_entry(record, by)).collect();
        let good = encode_commit(1, UnixMillis(EPOCH_MS), &records);
        let mut random = Random::new(seed);
        for _ in 0..50 {
            let mut bytes = good.clone();
            for _ in 0..=random.below(3) {
                let at = random.index(bytes.len());
                match random.below(4) {
                    0 => bytes[at] ^= 1 << random.below(8),
                    1 => bytes[at] = 0xff,
                    2 => bytes.truncate(at.max(1)),
                    _ => bytes.insert(at, 0x80),
                }
            }
            if let Ok((_, decoded)) = decode_commit(&bytes) {
                // What decodes is bounded by what was sent.
                let held: usize = decoded.iter().map(|s| s.record.body.len() + s.record.thread.len()).sum();
                prop_assert!(held <= bytes.len());
            }
        }
    }
}
