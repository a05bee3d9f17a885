//! Commits: the records that one accepted command writes, together or not at all, and the chain over them.
//!
//! A commit's encoded bytes are postcard: format version, first sequence, time, then each record as a byte
//! string of its own. `chain` = BLAKE3(previous chain ‖ encoded bytes); the chain before the first commit is
//! 32 zero bytes. `docs/log-format.md` has the layout field by field.

use std::fmt;

use data_encoding::HEXLOWER;
use serde::{Deserialize, Serialize};

use crate::{
    entry::EntryRef,
    id::RecordId,
    limits,
    record::{Act, DataType, Origin, Provenance, Record, StoredRecord},
    time::UnixMillis,
};

/// The version of the encoding that this code writes and reads.
pub const FORMAT_VERSION: u8 = 1;

/// The hash chain's value after a commit.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Chain([u8; 32]);

impl Chain {
    /// The value before the first commit.
    pub const GENESIS: Self = Self([0; 32]);

    /// The value after one more commit.
    #[must_use]
    pub fn after(&self, encoded_commit: &[u8]) -> Self {
        Self(*blake3::Hasher::new().update(&self.0).update(encoded_commit).finalize().as_bytes())
    }

    /// The value after a commit of these encoded records, and how long [`encode_commit`] makes it: without making it.
    #[must_use]
    pub fn after_records<B: AsRef<[u8]>>(
        &self,
        first_sequence: u64,
        committed_at: UnixMillis,
        records: &[B],
    ) -> (Self, usize) {
        let mut hasher = blake3::Hasher::new();
        hasher.update(&self.0);
        let mut length = 0;
        let mut take = |bytes: &[u8]| {
            hasher.update(bytes);
            length += bytes.len();
        };
        let start = (FORMAT_VERSION, first_sequence, committed_at.0, records.len());
        let mut room = [0; START_BYTES_MAX];
        // Neither can be longer than that.
        take(postcard::to_slice(&start, &mut room).unwrap_or_default());
        for record in records {
            take(postcard::to_slice(&record.as_ref().len(), &mut room).unwrap_or_default());
            take(record.as_ref());
        }
        (Self(*hasher.finalize().as_bytes()), length)
    }

    /// From raw bytes.
    #[must_use]
    pub fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// The raw bytes.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// Parses 64 lowercase hex digits.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        RecordId::parse(text).map(|id| Self(*id.as_bytes()))
    }
}

impl fmt::Display for Chain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&HEXLOWER.encode(&self.0))
    }
}

impl fmt::Debug for Chain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Where the log ends: the last record's position, the chain there, and the last commit's time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Head {
    /// Position of the last record; 0 for an empty log.
    pub sequence: u64,
    /// The chain after the last commit.
    pub chain: Chain,
    /// The last commit's time.
    pub committed_at: UnixMillis,
}

impl Head {
    /// The head of an empty log.
    pub const EMPTY: Self = Self { sequence: 0, chain: Chain::GENESIS, committed_at: UnixMillis(0) };
}

/// A commit about to be written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Commit {
    /// Position of its first record.
    pub first_sequence: u64,
    /// When it was decided: the later of the wall clock and the previous commit's time.
    pub committed_at: UnixMillis,
    /// Its records, at least one.
    pub entries: Vec<Entry>,
}

/// A record of a commit, with who wrote it and how.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// The record.
    pub record: Record,
    /// Who wrote it and how.
    pub provenance: Provenance,
}

/// Bytes that are no record or commit of this format.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DecodeError {
    /// Written by another version.
    #[error("format version {0} is unknown; this build reads version {FORMAT_VERSION}")]
    Version(u8),
    /// Not decodable, or not within the limits of a record.
    #[error("malformed: {0}")]
    Malformed(&'static str),
}

#[derive(Serialize)]
struct SignatureWire<'a> {
    #[serde(with = "serde_bytes")]
    bytes: &'a [u8],
    key_id: &'a str,
}

/// What [`EntryRef::decode`] reads.
#[derive(Serialize)]
struct RecordWire<'a> {
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
    signature: Option<SignatureWire<'a>>,
}

/// Encodes one record of a commit.
#[must_use]
pub fn encode_entry(record: &Record, provenance: &Provenance) -> Vec<u8> {
    let wire = RecordWire {
        id: *record.id.as_bytes(),
        parents: record.parents.iter().map(|p| *p.as_bytes()).collect(),
        thread: &record.thread,
        actor: &record.actor,
        act: record.act,
        body: &record.body,
        clock: record.clock,
        data_type: record.data_type,
        judged_by: record.judged_by.map(|j| *j.as_bytes()),
        origin: provenance.origin,
        service_account_id: provenance.service_account_id.as_deref(),
        token_id: provenance.token_id,
        sees_opening: provenance.sees_opening,
        signature: provenance
            .signature
            .as_ref()
            .map(|s| SignatureWire { bytes: &s.bytes, key_id: &s.key_id }),
    };
    let texts = record.body.len() + record.thread.len() + record.actor.len();
    let room = Vec::with_capacity(texts + 33 * record.parents.len() + ENTRY_BYTES);
    // Writing to a growing vector cannot fail, and the type has no map without a length.
    postcard::to_extend(&wire, room).unwrap_or_default()
}

/// What an entry usually has beside its texts and its parents, at most.
const ENTRY_BYTES: usize = 192;

/// Decodes one record as [`EntryRef::decode`] does, into a copy of its own.
///
/// # Errors
/// [`DecodeError::Malformed`].
pub fn decode_entry(bytes: &[u8]) -> Result<(Record, Provenance), DecodeError> {
    Ok(EntryRef::decode(bytes)?.to_owned())
}

/// What stands before the records of a commit, at most: a byte and three numbers of up to ten.
const START_BYTES_MAX: usize = 31;

#[derive(Serialize)]
struct CommitWire<'a> {
    version: u8,
    first_sequence: u64,
    committed_at_ms: u64,
    records: Vec<&'a serde_bytes::Bytes>,
}

/// What stands before the records, with their number.
#[derive(Deserialize)]
struct CommitStart {
    _version: u8,
    first_sequence: u64,
    committed_at_ms: u64,
    records: u64,
}

/// Encodes a commit from its encoded records: the bytes that the chain covers.
#[must_use]
pub fn encode_commit<B: AsRef<[u8]>>(
    first_sequence: u64,
    committed_at: UnixMillis,
    records: &[B],
) -> Vec<u8> {
    let wire = CommitWire {
        version: FORMAT_VERSION,
        first_sequence,
        committed_at_ms: committed_at.0,
        records: records.iter().map(|r| serde_bytes::Bytes::new(r.as_ref())).collect(),
    };
    let room = records.iter().map(|r| r.as_ref().len() + 4).sum::<usize>() + 32;
    // As above: cannot fail.
    postcard::to_extend(&wire, Vec::with_capacity(room)).unwrap_or_default()
}

/// Decodes a commit that someone sent, strictly: record by record, so that a stated number alone takes no
/// memory.
///
/// # Errors
/// [`DecodeError`].
pub fn decode_commit(bytes: &[u8]) -> Result<(UnixMillis, Vec<StoredRecord>), DecodeError> {
    match bytes.first() {
        Some(&FORMAT_VERSION) => {}
        Some(&version) => return Err(DecodeError::Version(version)),
        None => return Err(DecodeError::Malformed("empty commit")),
    }
    let malformed = |_| DecodeError::Malformed("commit encoding");
    let (start, mut rest) = postcard::take_from_bytes::<CommitStart>(bytes).map_err(malformed)?;
    if start.records == 0 {
        return Err(DecodeError::Malformed("a commit without records"));
    }
    if start.records > limits::COMMIT_RECORDS_MAX as u64 {
        return Err(DecodeError::Malformed("a commit with more records than it may have"));
    }
    let Some(end) = start.first_sequence.checked_add(start.records) else {
        return Err(DecodeError::Malformed("positions beyond the last possible"));
    };
    let committed_at = UnixMillis(start.committed_at_ms);
    let mut records = Vec::new();
    for sequence in start.first_sequence..end {
        let (entry, after) = postcard::take_from_bytes::<&serde_bytes::Bytes>(rest).map_err(malformed)?;
        records.push(EntryRef::decode(entry)?.to_stored(sequence, committed_at));
        rest = after;
    }
    if rest.is_empty() {
        Ok((committed_at, records))
    } else {
        Err(DecodeError::Malformed("bytes after a commit"))
    }
}
