//! How commits lie in the redb file.
//!
//! A commit is cut into *pieces* of whole records, each piece one row keyed by the sequence of its first
//! record. Pieces stay small, so that reading one record of a large batch costs a few kilobytes, and one
//! commit of one record costs one insert at the end of the tree.
//!
//! The engine gives a row that is alone in its page a power of two of pages, so pieces are cut to fill these. Where they
//! are cut is no part of the format: a reader takes pieces as they are.

use serde::Serialize;

use crate::{
    commit::{Chain, DecodeError},
    encoded::Input,
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
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub(super) struct CommitHeader {
    /// Records in the commit.
    pub count: u64,
    /// The chain after it.
    pub chain: Chain,
}

/// One row.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Piece<'a> {
    /// What stands before its records.
    pub start: PieceStart,
    /// Encoded records.
    pub records: Vec<&'a [u8]>,
}

/// What stands before the records of a row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct PieceStart {
    /// Position of the commit's first record.
    pub commit_first: u64,
    /// The commit's time.
    pub committed_at: UnixMillis,
    /// In the commit's first piece.
    pub header: Option<CommitHeader>,
}

/// What [`Piece::decode`] reads.
#[derive(Serialize)]
struct PieceWire<'a> {
    commit_first: u64,
    committed_at_ms: u64,
    header: Option<CommitHeader>,
    records: &'a [&'a serde_bytes::Bytes],
}

/// The encoded records of a row, in order, each read when it is asked for: a walk then goes through memory once, from
/// its beginning to its end. An error where the row is not what it should be, and nothing after it.
pub(super) struct Records<'a> {
    input: Input<'a>,
    left: u64,
}

impl<'a> Iterator for Records<'a> {
    type Item = Result<&'a [u8], DecodeError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.left == 0 {
            let rest = std::mem::take(&mut self.input);
            return (!rest.is_empty()).then_some(Err(MALFORMED));
        }
        let record = self.input.bytes();
        self.left = if record.is_some() { self.left - 1 } else { 0 };
        if record.is_none() {
            self.input = Input::default();
        }
        Some(record.ok_or(MALFORMED))
    }
}

const MALFORMED: DecodeError = DecodeError::Malformed("row encoding");

/// Of a row's records, so many are made room for before they are seen.
const RECORDS_AT_FIRST: usize = 32;

impl<'a> Piece<'a> {
    pub(super) fn decode(bytes: &'a [u8]) -> Result<Self, DecodeError> {
        let (start, all) = Self::walk(bytes)?;
        let mut records = Vec::with_capacity(RECORDS_AT_FIRST);
        for record in all {
            records.push(record?);
        }
        Ok(Self { start, records })
    }

    /// The same with its records one after the other.
    pub(super) fn walk(bytes: &'a [u8]) -> Result<(PieceStart, Records<'a>), DecodeError> {
        let mut input = Input::new(bytes);
        let (start, left) = Self::read(&mut input).ok_or(MALFORMED)?;
        Ok((start, Records { input, left }))
    }

    fn read(input: &mut Input<'a>) -> Option<(PieceStart, u64)> {
        let start = PieceStart {
            commit_first: input.number()?,
            committed_at: UnixMillis(input.number()?),
            header: input.optional(|i| {
                Some(CommitHeader { count: i.number()?, chain: Chain::from_bytes(*i.array()?) })
            })?,
        };
        Some((start, input.number()?))
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
        let bytes = taken.iter().map(|r| space(r)).sum::<usize>();
        let header = (at == first_sequence).then_some(CommitHeader { count: records.len() as u64, chain });
        let wire = PieceWire {
            commit_first: first_sequence,
            committed_at_ms: committed_at.0,
            header,
            records: &taken.iter().map(|r| serde_bytes::Bytes::new(r)).collect::<Vec<_>>(),
        };
        // Writing to a growing vector cannot fail.
        let row = postcard::to_extend(&wire, Vec::with_capacity(bytes + SHELL_BYTES)).unwrap_or_default();
        rows.push((at, row));
        at += count as u64;
        unwritten -= bytes;
        rest = left;
    }
    rows
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde::Deserialize;

    use super::*;

    /// The layout of a row, for a decoder that knows nothing of it.
    #[derive(Deserialize)]
    struct Layout<'a> {
        commit_first: u64,
        committed_at_ms: u64,
        header: Option<(u64, Chain)>,
        #[serde(borrow)]
        records: Vec<&'a serde_bytes::Bytes>,
    }

    fn by_postcard(bytes: &[u8]) -> Option<Piece<'_>> {
        let (row, rest) = postcard::take_from_bytes::<Layout<'_>>(bytes).ok()?;
        let start = PieceStart {
            commit_first: row.commit_first,
            committed_at: UnixMillis(row.committed_at_ms),
            header: row.header.map(|(count, chain)| CommitHeader { count, chain }),
        };
        rest.is_empty().then(|| Piece { start, records: row.records.iter().map(|r| &***r).collect() })
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        /// What is read by hand is what a decoder of postcard reads, whatever became of the bytes.
        #[test]
        fn a_row_is_read_as_postcard_reads_it(
            records in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..200), 1..6),
            (first, at) in (1..u64::MAX / 2, any::<u64>()),
            changes in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>(), 0..5), 100),
        ) {
            for (_, row) in cut(first, UnixMillis(at), Chain::GENESIS, &records) {
                prop_assert_eq!(Piece::decode(&row).ok(), by_postcard(&row));
                prop_assert!(Piece::decode(&row).is_ok());
                for (place, byte, how) in &changes {
                    let mut changed = row.clone();
                    let at = place.index(row.len());
                    match how {
                        0 => changed[at] = *byte,
                        1 => changed.truncate(at),
                        2 => changed.insert(at, *byte),
                        // A number in more bytes than it needs.
                        3 => {
                            changed[at] |= 0x80;
                            changed.splice(at + 1..at + 1, vec![0x80; usize::from(byte % 10)].into_iter().chain([byte % 3]));
                        }
                        _ => changed.push(*byte),
                    }
                    prop_assert_eq!(Piece::decode(&changed).ok(), by_postcard(&changed));
                }
            }
        }
    }

    /// How many records of one length each piece has, and how many bytes.
    fn pieces(count: usize, bytes: usize) -> Vec<(usize, usize)> {
        // Positions and times as long as they can be.
        let (first, at) = (u64::MAX - count as u64, UnixMillis(u64::MAX));
        let mut next = first;
        cut(first, at, Chain::GENESIS, &vec![vec![7; bytes]; count])
            .iter()
            .map(|(sequence, row)| {
                let piece = Piece::decode(row).unwrap();
                assert_eq!(
                    (*sequence, piece.start.commit_first, piece.start.committed_at),
                    (next, first, at)
                );
                assert_eq!(piece.start.header.map(|h| h.count), (next == first).then_some(count as u64));
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
