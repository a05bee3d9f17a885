//! How commits lie in the redb file.
//!
//! A commit is cut into *pieces* of whole records, each piece one row keyed by the sequence of its first
//! record. Pieces stay small, so that reading one record of a large batch costs a few kilobytes, and one
//! commit of one record costs one insert at the end of the tree.
//!
//! The engine gives a row that is alone in its page a power of two of pages, so pieces are cut to fill these. Where they
//! are cut is no part of the format: a reader takes pieces as they are.

use serde::{Deserialize, Serialize};

use crate::{
    commit::{Chain, DecodeError},
    entry::EntryRef,
    time::UnixMillis,
};

/// A page of the engine, in bytes.
const PAGE_BYTES: usize = 4096;

/// How many pages a piece may fill, the most first. Longer pieces take little less room, and a record in them more time
/// to read.
const PIECE_PAGES: [usize; 3] = [4, 2, 1];

/// What is in the pages of a piece beside its records, in bytes, at most: the page's head and the key (16), and what
/// stands before the records (59).
const SHELL_BYTES: usize = 80;

/// What stands before each record, in bytes, at most: its length.
const LENGTH_BYTES: usize = 3;

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

/// What a record takes of a piece.
fn space(record: &[u8]) -> usize {
    record.len() + LENGTH_BYTES
}

/// How much the next piece may hold where so much is left: as many pages as that fills.
fn room(left: usize) -> usize {
    let mut rooms = PIECE_PAGES.iter().map(|pages| pages * PAGE_BYTES - SHELL_BYTES);
    rooms.find(|room| left >= *room).unwrap_or(left)
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
    let mut unwritten: usize = records.iter().map(|r| space(r)).sum();
    while !rest.is_empty() {
        let room = room(unwritten);
        let mut bytes = 0;
        let count = rest
            .iter()
            .position(|r| {
                bytes += space(r);
                bytes > room
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
        unwritten -= taken.iter().map(|r| space(r)).sum::<usize>();
        rest = left;
    }
    rows
}

#[cfg(test)]
mod tests {
    use super::*;

    /// How many records of one length each piece has, and how many bytes.
    fn pieces(count: usize, bytes: usize) -> Vec<(usize, usize)> {
        // Positions and times as long as they can be.
        let (first, at) = (u64::MAX - count as u64, UnixMillis(u64::MAX));
        let mut next = first;
        cut(first, at, Chain::GENESIS, &vec![vec![7; bytes]; count])
            .iter()
            .map(|(sequence, row)| {
                let piece = Piece::decode(row).unwrap();
                assert_eq!((*sequence, piece.commit_first, piece.committed_at()), (next, first, at));
                assert_eq!(piece.header.map(|h| h.count), (next == first).then_some(count as u64));
                next += piece.records.len() as u64;
                (piece.records.len(), row.len())
            })
            .collect()
    }

    #[test]
    fn pieces_fill_pages() {
        let counts = |count, bytes| pieces(count, bytes).iter().map(|(count, _)| *count).collect::<Vec<_>>();
        assert_eq!(counts(1, 650), [1]);
        assert_eq!(counts(6, 650), [6]);
        assert_eq!(counts(7, 650), [6, 1]);
        assert_eq!(counts(16, 650), [12, 4]);
        assert_eq!(counts(100, 650), [24, 24, 24, 24, 4]);
        assert_eq!(counts(7, 3000), [5, 1, 1]);
        assert_eq!(counts(3, 20_000), [1, 1, 1]);
        assert_eq!(counts(2, 0), [2]);
    }

    /// One byte too many would cost as much room again.
    #[test]
    fn no_piece_is_just_longer_than_its_pages() {
        for bytes in (1..4200).step_by(13) {
            for count in [1, 2, 5, 16, 40, 400] {
                for (records, len) in pieces(count, bytes) {
                    let pages = (len + 16).div_ceil(PAGE_BYTES);
                    assert!(records == 1 || [1, 2, 4].contains(&pages), "{count} of {bytes}: {len}");
                }
            }
        }
    }
}
