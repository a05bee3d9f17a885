//! What a journal holds that redb does not: read at open, changing nothing.

use redb::{Database, StorageBackend};

use super::{
    BLOCK_BYTES, frame,
    header::{Header, ReadError, SEGMENTS_START},
};
use crate::{
    commit::Head,
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
    let mut groups = whole_groups(file, &header, head.sequence)?;
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
    let is_there = header.marked == 0
        || reader
            .commit_of(header.marked)?
            .is_some_and(|c| (c.last_sequence, c.chain) == (header.marked, header.marked_chain));
    if is_there { Ok(()) } else { Err(JournalError::Another.into()) }
}

/// All groups, in whatever order, that are whole and end after `settled`.
fn whole_groups(file: &dyn StorageBackend, header: &Header, settled: u64) -> Result<Vec<Rows>, OpenError> {
    let mut groups = Vec::new();
    let mut segment = vec![0; header.segment_bytes];
    let len = file.len()?;
    let mut start = SEGMENTS_START;
    while start < len {
        // One that was being made when the power went is not there in full.
        let there = usize::try_from(len - start).unwrap_or(usize::MAX).min(segment.len());
        let blocks = &mut segment[..there];
        file.read(start, blocks)?;
        for at in (0..there).step_by(BLOCK_BYTES) {
            groups.extend(blocks.get(at..).and_then(|blocks| frame::decode(blocks, settled)));
        }
        start += header.segment_bytes as u64;
    }
    Ok(groups)
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
