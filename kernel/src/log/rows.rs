//! How commits lie in the redb file.
//!
//! A commit is cut into *pieces* of whole records, each piece one row keyed by the sequence of its first
//! record. Pieces stay small, so that reading one record of a large batch costs a few kilobytes, and one
//! commit of one record costs one insert at the end of the tree.

use serde::{Deserialize, Serialize};

use crate::{
    commit::{Chain, DecodeError},
    entry::EntryRef,
    time::UnixMillis,
};

/// A piece takes records until it is this long, in bytes. Just under a power of two of pages, because redb
/// rounds the space of a value up to one.
pub(super) const PIECE_BYTES: usize = 12_000;

/// What only the first piece of a commit has.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub(super) struct CommitHeader {
    /// Records in the commit.
    pub count: u64,
    /// The chain after it.
    pub chain: Chain,
}

/// One row.
#[derive(Serialize, Deserialize)]
pub(super) struct Piece<'a> {
    /// Position of the commit's first record.
    pub commit_first: u64,
    /// The commit's time.
    pub committed_at_ms: u64,
    /// In the commit's first piece.
    pub header: Option<CommitHeader>,
    /// Encoded records.
    #[serde(borrow)]
    pub records: Vec<&'a serde_bytes::Bytes>,
}

impl<'a> Piece<'a> {
    pub(super) fn decode(bytes: &'a [u8]) -> Result<Self, DecodeError> {
        match postcard::take_from_bytes(bytes) {
            Ok((piece, [])) => Ok(piece),
            _ => Err(DecodeError::Malformed("row encoding")),
        }
    }

    pub(super) fn encode(&self) -> Vec<u8> {
        // Writing to a growing vector cannot fail.
        postcard::to_stdvec(self).unwrap_or_default()
    }

    pub(super) fn committed_at(&self) -> UnixMillis {
        UnixMillis(self.committed_at_ms)
    }

    /// The record at `sequence`, where the piece starts at `first`. `None` beyond its end.
    pub(super) fn entry(&self, first: u64, sequence: u64) -> Result<Option<EntryRef<'a>>, DecodeError> {
        let at = usize::try_from(sequence - first).ok();
        at.and_then(|i| self.records.get(i)).map(|bytes| EntryRef::decode(bytes)).transpose()
    }
}

/// Cuts a commit's encoded records into rows of (first sequence, bytes).
pub(super) fn cut(
    first_sequence: u64,
    committed_at: UnixMillis,
    chain: Chain,
    records: &[Vec<u8>],
) -> Vec<(u64, Vec<u8>)> {
    let mut rows = Vec::new();
    let mut rest = records;
    let mut at = first_sequence;
    while !rest.is_empty() {
        let mut bytes = 0;
        let count = rest
            .iter()
            .position(|r| {
                bytes += r.len();
                bytes > PIECE_BYTES
            })
            .unwrap_or(rest.len())
            .max(1);
        let (taken, left) = rest.split_at(count);
        let piece = Piece {
            commit_first: first_sequence,
            committed_at_ms: committed_at.0,
            header: (at == first_sequence).then_some(CommitHeader { count: records.len() as u64, chain }),
            records: taken.iter().map(|r| serde_bytes::Bytes::new(r)).collect(),
        };
        rows.push((at, piece.encode()));
        at += count as u64;
        rest = left;
    }
    rows
}
