//! What a journal holds that redb does not: read at open, changing nothing.

use redb::{Database, StorageBackend};

use super::{
    BLOCK_BYTES,
    frame::Stated,
    header::{Header, ReadError, SEGMENTS_START},
};
use crate::{
    commit::{Chain, Head},
    log::{
        error::{JournalError, OpenError, StoreError},
        pending::{Pending, Rows},
        read::Reader,
    },
};

impl From<ReadError> for OpenError {
    fn from(error: ReadError) -> Self {
        match error {
            ReadError::Io(error) => Self::Io(error),
            ReadError::Journal(error) => Self::Journal(error),
        }
    }
}

/// What was found.
#[derive(Debug, Default)]
pub(in crate::log) struct Recovered {
    /// The file's header; `None` where there is no journal yet.
    pub(in crate::log) header: Option<Header>,
    /// The groups that redb does not have, in order.
    pub(in crate::log) pending: Pending,
}

/// Reads what a journal holds beyond the end of a log.
///
/// # Errors
/// [`OpenError::Journal`] where the two do not belong together.
pub(in crate::log) fn recover(db: &Database, file: &dyn StorageBackend) -> Result<Recovered, OpenError> {
    let Some(header) = Header::read(file)? else { return Ok(Recovered::default()) };
    let reader = Reader::new(db, Pending::default())?;
    let head = reader.head()?;
    check_mark(&header, &reader, &head)?;
    let Found { mut groups, stale } = scan(file, &header, head.sequence)?;
    check_stale(file, &header, &reader, stale)?;
    groups.sort_by_key(|rows| rows.first);
    let mut pending = Pending::default();
    let mut end = head;
    for rows in groups {
        check_follows(&end, &rows, &head)?;
        end = rows.after;
        pending.push(rows);
    }
    check_chain(db, &pending, head, &end)?;
    Ok(Recovered { header: Some(header), pending })
}

/// The log must have what it had when the mark was made.
fn check_mark(header: &Header, reader: &Reader, head: &Head) -> Result<(), OpenError> {
    if header.marked > head.sequence {
        return Err(JournalError::Older { log: head.sequence, journal: header.marked }.into());
    }
    check_has(reader, header.marked, header.marked_chain)
}

/// The log must have a commit that ends at `sequence` with this chain.
fn check_has(reader: &Reader, sequence: u64, chain: Chain) -> Result<(), OpenError> {
    let has = (sequence, chain) == (0, Chain::GENESIS)
        || reader.commit_of(sequence)?.is_some_and(|c| (c.last_sequence, c.chain) == (sequence, chain));
    if has { Ok(()) } else { Err(JournalError::Another.into()) }
}

/// What is in the segments.
#[derive(Default)]
struct Found {
    /// All groups, in whatever order, that are whole and that the log does not have.
    groups: Vec<Rows>,
    /// The latest frame that it should have: where it begins, and what it states.
    stale: Option<(u64, Stated)>,
}

fn scan(file: &dyn StorageBackend, header: &Header, settled: u64) -> Result<Found, OpenError> {
    let mut found = Found::default();
    let mut segment = vec![0; header.segment_bytes];
    let len = file.len()?;
    let mut start = SEGMENTS_START;
    while start < len {
        let blocks = read_segment(file, start, len, &mut segment)?;
        for at in (0..blocks.len()).step_by(BLOCK_BYTES) {
            let Some(blocks) = blocks.get(at..) else { break };
            let Some(stated) = Stated::read(blocks) else { continue };
            if stated.after.sequence > settled {
                found.groups.extend(stated.decode(blocks));
            } else if found.stale.is_none_or(|(_, other)| other.after.sequence < stated.after.sequence) {
                found.stale = Some((start + at as u64, stated));
            }
        }
        start += header.segment_bytes as u64;
    }
    Ok(found)
}

/// Reads from `start` as much as there is, up to a segment: one that was being made when the power went is not there in
/// full.
fn read_segment<'a>(
    file: &dyn StorageBackend,
    start: u64,
    len: u64,
    segment: &'a mut [u8],
) -> Result<&'a [u8], OpenError> {
    let there = usize::try_from(len.saturating_sub(start)).unwrap_or(usize::MAX).min(segment.len());
    let blocks = &mut segment[..there];
    file.read(start, blocks)?;
    Ok(blocks)
}

/// A frame that the log should have must be in its history.
fn check_stale(
    file: &dyn StorageBackend,
    header: &Header,
    reader: &Reader,
    stale: Option<(u64, Stated)>,
) -> Result<(), OpenError> {
    // What is not beyond the mark, the mark has vouched for.
    let Some((start, stated)) = stale.filter(|(_, stated)| stated.after.sequence > header.marked) else {
        return Ok(());
    };
    let mut segment = vec![0; header.segment_bytes];
    let blocks = read_segment(file, start, file.len()?, &mut segment)?;
    // What is left of one that was partly overwritten says nothing.
    if stated.whole(blocks).is_none() {
        return Ok(());
    }
    check_has(reader, stated.after.sequence, stated.after.chain)
}

fn check_follows(end: &Head, rows: &Rows, head: &Head) -> Result<(), JournalError> {
    if rows.first > end.sequence.saturating_add(1) {
        return Err(JournalError::Older { log: head.sequence, journal: rows.first - 1 });
    }
    let follows = rows.first == end.sequence.saturating_add(1)
        && rows.before == end.chain
        && rows.after.committed_at >= end.committed_at;
    if follows { Ok(()) } else { Err(JournalError::Another) }
}

/// Recomputes the chain over what is to be taken.
fn check_chain(db: &Database, pending: &Pending, head: Head, end: &Head) -> Result<(), OpenError> {
    let reader = Reader::new(db, pending.clone())?;
    let mut at = head;
    while at.sequence < end.sequence {
        let first = at.sequence + 1;
        let commit = reader
            .encoded_commit(first)?
            .ok_or_else(|| StoreError::Damaged(format!("no commit starts at record {first}")))?;
        if at.chain.after(&commit.bytes) != commit.info.chain {
            return Err(JournalError::Another.into());
        }
        at = Head {
            sequence: commit.info.last_sequence,
            chain: commit.info.chain,
            committed_at: commit.info.committed_at,
        };
    }
    if at == *end { Ok(()) } else { Err(JournalError::Damaged("a frame does not end where it says").into()) }
}
