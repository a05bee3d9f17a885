//! The journal's first two blocks: what the file is, and how far redb was.

use std::io;

use redb::StorageBackend;

use super::BLOCK_BYTES;
use crate::{
    commit::{Chain, Head},
    log::error::JournalError,
};

/// The version of the file that this code writes and reads.
const VERSION: u32 = 1;
const MAGIC: &[u8; 12] = b"spl-journal\n";
/// Where the first segment begins: after two blocks that are written in turn.
pub(super) const SEGMENTS_START: u64 = 2 * BLOCK_BYTES as u64;
/// A segment that says it is longer than this is none.
const SEGMENT_BYTES_MAX: usize = 64 * 1024 * 1024;
/// Bytes of a header that its checksum covers.
const COVERED: usize = 72;

/// See the module.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::log) struct Header {
    pub(super) segment_bytes: usize,
    /// How often it was written: says which of the two blocks is the newer.
    turn: u64,
    pub(super) marked: u64,
    pub(super) marked_chain: Chain,
}

impl Header {
    pub(super) fn new(segment_bytes: usize) -> Self {
        Self { segment_bytes, turn: 0, marked: 0, marked_chain: Chain::GENESIS }
    }

    pub(super) fn is_marked(&self, head: &Head) -> bool {
        (self.marked, self.marked_chain) == (head.sequence, head.chain)
    }

    /// Moves the mark, over the older of the two blocks, and syncs.
    pub(super) fn mark(&mut self, file: &dyn StorageBackend, head: &Head) -> io::Result<()> {
        let next = Self {
            turn: self.turn.saturating_add(1),
            marked: head.sequence,
            marked_chain: head.chain,
            ..*self
        };
        file.write((next.turn % 2) * BLOCK_BYTES as u64, &next.encode())?;
        file.sync_data()?;
        *self = next;
        Ok(())
    }

    fn encode(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(BLOCK_BYTES);
        bytes.extend(MAGIC);
        bytes.extend(VERSION.to_le_bytes());
        bytes.extend((self.segment_bytes as u64).to_le_bytes());
        bytes.extend(self.turn.to_le_bytes());
        bytes.extend(self.marked.to_le_bytes());
        bytes.extend(self.marked_chain.as_bytes());
        let checksum = *blake3::hash(&bytes).as_bytes();
        bytes.extend(checksum);
        bytes.resize(BLOCK_BYTES, 0);
        bytes
    }

    /// What a block says; `None` where it is no whole header.
    fn decode(block: &[u8]) -> Result<Option<Self>, JournalError> {
        let mut rest = block;
        if take::<12>(&mut rest).as_ref() != Some(MAGIC) {
            return Ok(None);
        }
        let Some(version) = take(&mut rest).map(u32::from_le_bytes) else { return Ok(None) };
        let covered = block.get(..COVERED).map(blake3::hash);
        let stated = block.get(COVERED..COVERED + 32);
        if version != VERSION {
            // Of another version nothing more is known; zeros are a header that was cut short.
            let cut_short = version == 0 || rest.iter().all(|b| *b == 0);
            let other = JournalError::Version { found: version, known: VERSION };
            return if cut_short { Ok(None) } else { Err(other) };
        }
        if covered.map(|hash| stated == Some(hash.as_bytes().as_slice())) != Some(true) {
            return Ok(None);
        }
        let mut number = || take(&mut rest).map(u64::from_le_bytes);
        let (Some(segment_bytes), Some(turn), Some(marked)) = (number(), number(), number()) else {
            return Ok(None);
        };
        let Some(marked_chain) = take(&mut rest).map(Chain::from_bytes) else { return Ok(None) };
        let segment_bytes = usize::try_from(segment_bytes).unwrap_or(usize::MAX);
        if segment_bytes == 0
            || segment_bytes > SEGMENT_BYTES_MAX
            || !segment_bytes.is_multiple_of(BLOCK_BYTES)
        {
            return Err(JournalError::Damaged("its segments have no possible length"));
        }
        Ok(Some(Self { segment_bytes, turn, marked, marked_chain }))
    }

    /// Reads the newer of the two. `None` for a file that was never begun.
    pub(super) fn read(file: &dyn StorageBackend) -> Result<Option<Self>, ReadError> {
        let len = file.len()?;
        let mut newest: Option<Self> = None;
        for turn in 0..2 {
            let mut block = vec![0; BLOCK_BYTES];
            let start = turn * BLOCK_BYTES as u64;
            let there = usize::try_from(len.saturating_sub(start)).unwrap_or(usize::MAX).min(BLOCK_BYTES);
            if there > 0 {
                file.read(start, &mut block[..there])?;
            }
            if let Some(header) = Self::decode(&block)? {
                newest = newest.filter(|n| n.turn > header.turn).or(Some(header));
            }
        }
        if newest.is_none() && !is_zero_from(file, SEGMENTS_START, len)? {
            return Err(JournalError::Damaged("it does not begin as a journal does").into());
        }
        Ok(newest)
    }
}

/// Why a header, or a frame, cannot be read.
#[derive(Debug)]
pub(in crate::log) enum ReadError {
    Io(io::Error),
    Journal(JournalError),
}

impl From<io::Error> for ReadError {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

impl From<JournalError> for ReadError {
    fn from(error: JournalError) -> Self {
        Self::Journal(error)
    }
}

fn is_zero_from(file: &dyn StorageBackend, start: u64, len: u64) -> io::Result<bool> {
    let mut block = vec![0; 64 * 1024];
    let mut at = start;
    while at < len {
        let count = usize::try_from(len - at).unwrap_or(usize::MAX).min(block.len());
        file.read(at, &mut block[..count])?;
        if block[..count].iter().any(|b| *b != 0) {
            return Ok(false);
        }
        at += count as u64;
    }
    Ok(true)
}

/// The next `N` bytes.
pub(super) fn take<const N: usize>(rest: &mut &[u8]) -> Option<[u8; N]> {
    let (taken, left) = rest.split_first_chunk::<N>()?;
    *rest = left;
    Some(*taken)
}
