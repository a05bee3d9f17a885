//! One group of commits, as it lies in the journal.
//!
//! In whole blocks of 4096 bytes, each with a tag of 8 bytes at its beginning: `spl-frm1` where a frame begins,
//! `spl-more` where it goes on. After the first tag: BLAKE3 of everything behind the checksum itself up to the end of
//! the last block (32 bytes); the length of the rows (u64); first and last sequence (u64 each); the chain before (32); the
//! chain after (32); the last commit's time (u64, Unix milliseconds); then the rows, each its key (u64), its length
//! (u32) and its bytes; then zeros to the end of the block. Tags stand in between and are not counted in lengths.

use super::{BLOCK_BYTES, header::take};
use crate::{
    commit::{Chain, Head},
    log::pending::Rows,
    time::UnixMillis,
};

const BEGINS: &[u8; TAG_BYTES] = b"spl-frm1";
const GOES_ON: &[u8; TAG_BYTES] = b"spl-more";
const TAG_BYTES: usize = 8;
/// Where the rows begin, after the tag, the checksum and the fields.
const ROWS_START: usize = 136;
const CHECKSUM: std::ops::Range<usize> = TAG_BYTES..TAG_BYTES + 32;
/// Beside a row's bytes: its key and its length.
const ROW_BYTES: usize = 12;

/// The bytes of rows without tags.
fn rows_len(rows: &Rows) -> usize {
    rows.rows.iter().map(|(_, bytes)| ROW_BYTES + bytes.len()).sum()
}

/// The length on disk of a frame whose rows have `len` bytes; `None` beyond what can be counted.
fn disk_len(len: usize) -> Option<usize> {
    let beyond_first = len.saturating_sub(BLOCK_BYTES - ROWS_START);
    beyond_first.div_ceil(BLOCK_BYTES - TAG_BYTES).checked_add(1)?.checked_mul(BLOCK_BYTES)
}

/// How long the frame of a group is, in bytes.
pub(in crate::log) fn encoded_len(rows: &Rows) -> usize {
    disk_len(rows_len(rows)).unwrap_or(usize::MAX)
}

/// Makes the frame of a group, in place of what `out` held.
pub(super) fn encode(rows: &Rows, out: &mut Vec<u8>) {
    out.clear();
    out.reserve(encoded_len(rows));
    out.extend(BEGINS);
    out.extend([0; 32]);
    out.extend((rows_len(rows) as u64).to_le_bytes());
    out.extend(rows.first.to_le_bytes());
    out.extend(rows.after.sequence.to_le_bytes());
    out.extend(rows.before.as_bytes());
    out.extend(rows.after.chain.as_bytes());
    out.extend(rows.after.committed_at.0.to_le_bytes());
    for (key, bytes) in &rows.rows {
        put(out, &key.to_le_bytes());
        // A row is a piece of a commit, which is far below 4 GiB; one that were not could not be read back.
        put(out, &u32::try_from(bytes.len()).unwrap_or(u32::MAX).to_le_bytes());
        put(out, bytes);
    }
    out.resize(out.len().next_multiple_of(BLOCK_BYTES), 0);
    let checksum = *blake3::hash(&out[CHECKSUM.end..]).as_bytes();
    out[CHECKSUM].copy_from_slice(&checksum);
}

/// Adds bytes, with a tag wherever a block begins.
fn put(out: &mut Vec<u8>, mut bytes: &[u8]) {
    while !bytes.is_empty() {
        if out.len().is_multiple_of(BLOCK_BYTES) {
            out.extend(GOES_ON);
        }
        let room = BLOCK_BYTES - out.len() % BLOCK_BYTES;
        let (now, later) = bytes.split_at(room.min(bytes.len()));
        out.extend_from_slice(now);
        bytes = later;
    }
}

/// What a frame states, believed only where it is whole.
#[derive(Debug, Clone, Copy)]
pub(super) struct Stated {
    checksum: [u8; 32],
    len: usize,
    first: u64,
    before: Chain,
    pub(super) after: Head,
}

impl Stated {
    /// What the frame states that begins where `blocks` does; `None` where none begins.
    pub(super) fn read(blocks: &[u8]) -> Option<Self> {
        let mut fields = blocks.get(..ROWS_START)?;
        if take::<TAG_BYTES>(&mut fields)? != *BEGINS {
            return None;
        }
        let checksum = take(&mut fields)?;
        let len = usize::try_from(u64::from_le_bytes(take(&mut fields)?)).ok()?;
        let first = u64::from_le_bytes(take(&mut fields)?);
        let sequence = u64::from_le_bytes(take(&mut fields)?);
        let before = Chain::from_bytes(take(&mut fields)?);
        let chain = Chain::from_bytes(take(&mut fields)?);
        let committed_at = UnixMillis(u64::from_le_bytes(take(&mut fields)?));
        Some(Self { checksum, len, first, before, after: Head { sequence, chain, committed_at } })
    }

    /// The bytes of the frame, where it is whole.
    pub(super) fn whole<'a>(&self, blocks: &'a [u8]) -> Option<&'a [u8]> {
        let frame = blocks.get(..disk_len(self.len)?)?;
        (*blake3::hash(frame.get(CHECKSUM.end..)?).as_bytes() == self.checksum).then_some(frame)
    }

    /// The group in the frame, where it is whole. Takes no more memory than the blocks have.
    pub(super) fn decode(&self, blocks: &[u8]) -> Option<Rows> {
        let rows = decode_rows(self.whole(blocks)?, self.len, self.first, self.after.sequence)?;
        Some(Rows::new(self.first, self.before, self.after, rows))
    }
}

/// The rows of a frame whose checksum is good; `None` where they are not in order, which this code never writes.
fn decode_rows(frame: &[u8], len: usize, first: u64, last: u64) -> Option<Vec<(u64, Vec<u8>)>> {
    let mut bytes = Vec::with_capacity(len);
    bytes.extend_from_slice(frame.get(ROWS_START..BLOCK_BYTES)?);
    for block in frame.chunks_exact(BLOCK_BYTES).skip(1) {
        bytes.extend_from_slice(block.get(TAG_BYTES..)?);
    }
    let mut rest = bytes.get(..len)?;
    let mut rows: Vec<(u64, Vec<u8>)> = Vec::new();
    while !rest.is_empty() {
        let key = u64::from_le_bytes(take(&mut rest)?);
        let row_len = usize::try_from(u32::from_le_bytes(take(&mut rest)?)).ok()?;
        let (row, left) = rest.split_at_checked(row_len)?;
        let in_order = rows.last().map_or(key == first, |(before, _)| *before < key) && key <= last;
        if !in_order {
            return None;
        }
        rows.push((key, row.to_vec()));
        rest = left;
    }
    (!rows.is_empty()).then_some(rows)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn decode(blocks: &[u8]) -> Option<Rows> {
        Stated::read(blocks)?.decode(blocks)
    }

    fn group(sizes: &[usize]) -> Rows {
        let rows: Vec<_> = (5..).zip(sizes).map(|(key, size)| (key, vec![key as u8; *size])).collect();
        let last = 4 + sizes.len() as u64;
        let after = Head { sequence: last, chain: Chain::from_bytes([2; 32]), committed_at: UnixMillis(9) };
        Rows::new(5, Chain::from_bytes([1; 32]), after, rows)
    }

    #[test]
    fn a_frame_is_read_as_it_was_written_at_every_length() {
        let edges = (3900..4200).chain(7900..8200).map(|size| vec![size]);
        let many = [vec![1], vec![0], vec![600; 64], vec![12_000; 20], vec![1, 4096, 0, 4088, 3]];
        let mut buffer = Vec::new();
        for sizes in edges.chain(many) {
            let rows = group(&sizes);
            encode(&rows, &mut buffer);
            assert_eq!(buffer.len(), encoded_len(&rows), "{sizes:?}");
            let mut segment = buffer.clone();
            segment.extend([7; BLOCK_BYTES]);
            assert_eq!(decode(&segment), Some(rows), "{sizes:?}");
            let tags = buffer.chunks(BLOCK_BYTES).filter(|block| block.starts_with(BEGINS)).count();
            assert_eq!(tags, 1);
        }
    }

    #[test]
    fn no_changed_byte_and_no_missing_one_goes_unnoticed() {
        let mut buffer = Vec::new();
        encode(&group(&[600; 20]), &mut buffer);
        for at in 0..buffer.len() {
            let mut changed = buffer.clone();
            changed[at] ^= 0x40;
            assert_eq!(decode(&changed), None, "byte {at}");
        }
        for len in 0..buffer.len() {
            assert_eq!(decode(&buffer[..len]), None, "cut at {len}");
        }
    }

    /// Frames that somebody made, with a good checksum: what they state takes no memory and no row out of place.
    #[test]
    fn what_a_hostile_frame_states_is_not_believed() {
        let seal = |mut frame: Vec<u8>| {
            let checksum = *blake3::hash(&frame[CHECKSUM.end..]).as_bytes();
            frame[CHECKSUM].copy_from_slice(&checksum);
            frame
        };
        let mut good = Vec::new();
        encode(&group(&[100, 100]), &mut good);
        assert!(decode(&seal(good.clone())).is_some());
        for len in [0, 1, 5000, u64::from(u32::MAX), u64::MAX, u64::MAX - 4096] {
            let mut frame = good.clone();
            frame[40..48].copy_from_slice(&len.to_le_bytes());
            assert_eq!(decode(&seal(frame)), None, "{len} bytes of rows");
        }
        for len in [101, 5000, u32::MAX] {
            let mut frame = good.clone();
            frame[ROWS_START + 8..ROWS_START + 12].copy_from_slice(&len.to_le_bytes());
            assert_eq!(decode(&seal(frame)), None, "a row of {len} bytes");
        }
        for key in [0, 4, 6, 7, u64::MAX] {
            let mut frame = good.clone();
            frame[ROWS_START..ROWS_START + 8].copy_from_slice(&key.to_le_bytes());
            assert_eq!(decode(&seal(frame)), None, "a first row at {key}");
        }
    }
}
