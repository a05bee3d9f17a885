//! Reading: point reads, ranges and whole commits, over one snapshot of the file.

use redb::{AccessGuard, Database, ReadOnlyTable, ReadableDatabase as _, ReadableTable as _};

use super::{
    Log, ROWS,
    error::{StoreError, guarded},
    rows::Piece,
};
use crate::{
    commit::{Chain, DecodeError, Head, encode_commit},
    record::StoredRecord,
    time::UnixMillis,
};

/// One snapshot of the log. Holds a storage transaction: keep it no longer than one read takes.
pub struct Reader {
    rows: ReadOnlyTable<u64, &'static [u8]>,
}

impl std::fmt::Debug for Reader {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Reader")
    }
}

/// What is known of a commit without its records.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CommitInfo {
    /// Position of its first record.
    pub first_sequence: u64,
    /// Position of its last record.
    pub last_sequence: u64,
    /// Its time.
    pub committed_at: UnixMillis,
    /// The chain after it.
    pub chain: Chain,
}

/// A commit as it was encoded when it was chained.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EncodedCommit {
    /// What is known of it.
    pub info: CommitInfo,
    /// The bytes that the chain covers.
    pub bytes: Vec<u8>,
}

type Row<'a> = (AccessGuard<'a, u64>, AccessGuard<'a, &'static [u8]>);

fn damaged(sequence: u64) -> impl Fn(DecodeError) -> StoreError {
    move |source| StoreError::Row { sequence, source }
}

impl Log {
    /// A snapshot of everything committed so far.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub fn reader(&self) -> Result<Reader, StoreError> {
        Reader::new(&self.db)
    }
}

impl Reader {
    pub(super) fn new(db: &Database) -> Result<Self, StoreError> {
        guarded(|| Ok(Self { rows: db.begin_read()?.open_table(ROWS)? }))
    }

    /// The row that holds a position, or the last before it.
    fn row_at(&self, sequence: u64) -> Result<Option<Row<'_>>, StoreError> {
        guarded(|| Ok(self.rows.range(..=sequence)?.next_back().transpose()?))
    }

    /// The record at a position.
    ///
    /// # Errors
    /// When the file cannot be read or is damaged there.
    pub fn record(&self, sequence: u64) -> Result<Option<StoredRecord>, StoreError> {
        let Some((first, bytes)) = self.row_at(sequence)? else { return Ok(None) };
        let piece = Piece::decode(bytes.value()).map_err(damaged(sequence))?;
        piece.record(first.value(), sequence).map_err(damaged(sequence))
    }

    /// The records at positions that are known to exist.
    ///
    /// # Errors
    /// As above, and when one is missing.
    pub fn records(&self, sequences: &[u64]) -> Result<Vec<StoredRecord>, StoreError> {
        sequences
            .iter()
            .map(|s| self.record(*s)?.ok_or_else(|| StoreError::Damaged(format!("record {s} is missing"))))
            .collect()
    }

    /// Up to `limit` records after `sequence`, in order.
    ///
    /// # Errors
    /// As above.
    pub fn after(&self, sequence: u64, limit: usize) -> Result<Vec<StoredRecord>, StoreError> {
        let mut found = Vec::new();
        self.scan(sequence, &mut |record| {
            found.push(record);
            found.len() < limit
        })?;
        Ok(found)
    }

    /// Calls `visit` with each record after `sequence`, in order, until it says false.
    ///
    /// # Errors
    /// As above.
    pub fn scan(&self, sequence: u64, visit: &mut dyn FnMut(StoredRecord) -> bool) -> Result<(), StoreError> {
        let wanted = sequence.saturating_add(1);
        let Some((start, _)) = self.row_at(wanted)? else { return Ok(()) };
        let mut rows = guarded::<_, StoreError>(|| Ok(self.rows.range(start.value()..)?))?;
        while let Some((first, bytes)) = guarded::<_, StoreError>(|| Ok(rows.next().transpose()?))? {
            let first = first.value();
            let piece = Piece::decode(bytes.value()).map_err(damaged(first))?;
            for at in first.max(wanted)..first.saturating_add(piece.records.len() as u64) {
                let Some(record) = piece.record(first, at).map_err(damaged(at))? else { break };
                if !visit(record) {
                    return Ok(());
                }
            }
        }
        Ok(())
    }

    /// The commit that holds a position.
    ///
    /// # Errors
    /// As above.
    pub fn commit_of(&self, sequence: u64) -> Result<Option<CommitInfo>, StoreError> {
        let Some((_, bytes)) = self.row_at(sequence)? else { return Ok(None) };
        let first = Piece::decode(bytes.value()).map_err(damaged(sequence))?.commit_first;
        let info = self.commit_at(first)?;
        Ok(Some(info).filter(|c| sequence <= c.last_sequence))
    }

    fn commit_at(&self, first: u64) -> Result<CommitInfo, StoreError> {
        let missing = || StoreError::Damaged(format!("the commit at record {first} has no start"));
        let bytes = guarded::<_, StoreError>(|| Ok(self.rows.get(first)?))?.ok_or_else(missing)?;
        let piece = Piece::decode(bytes.value()).map_err(damaged(first))?;
        let header = piece.header.filter(|h| h.count > 0).ok_or_else(missing)?;
        Ok(CommitInfo {
            first_sequence: first,
            last_sequence: first.saturating_add(header.count - 1),
            committed_at: piece.committed_at(),
            chain: header.chain,
        })
    }

    /// Where the log ends.
    ///
    /// # Errors
    /// As above.
    pub fn head(&self) -> Result<Head, StoreError> {
        let Some((last, bytes)) = self.row_at(u64::MAX)? else { return Ok(Head::EMPTY) };
        let piece = Piece::decode(bytes.value()).map_err(damaged(last.value()))?;
        let end = last.value().saturating_add((piece.records.len() as u64).saturating_sub(1));
        let info = self.commit_at(piece.commit_first)?;
        if info.last_sequence != end {
            return Err(StoreError::Damaged(format!(
                "the last commit ends at {end}, not at {}",
                info.last_sequence
            )));
        }
        Ok(Head { sequence: end, chain: info.chain, committed_at: info.committed_at })
    }

    /// The lowest position that a row has; `None` for an empty log.
    ///
    /// # Errors
    /// As above.
    pub(super) fn first_row(&self) -> Result<Option<u64>, StoreError> {
        guarded(|| Ok(self.rows.first()?.map(|(first, _)| first.value())))
    }

    /// The commit that starts at `first`, as it was encoded.
    ///
    /// # Errors
    /// As above, and when its pieces do not fit together.
    pub fn encoded_commit(&self, first: u64) -> Result<Option<EncodedCommit>, StoreError> {
        if guarded::<_, StoreError>(|| Ok(self.rows.get(first)?.is_none()))? {
            return Ok(None);
        }
        let info = self.commit_at(first)?;
        let mut records: Vec<Vec<u8>> = Vec::new();
        let mut rows = guarded::<_, StoreError>(|| Ok(self.rows.range(first..=info.last_sequence)?))?;
        while let Some((at, bytes)) = guarded::<_, StoreError>(|| Ok(rows.next().transpose()?))? {
            let piece = Piece::decode(bytes.value()).map_err(damaged(at.value()))?;
            let in_place = piece.commit_first == first
                && at.value() == first + records.len() as u64
                && piece.committed_at() == info.committed_at
                && (piece.header.is_some() == (at.value() == first));
            if !in_place {
                return Err(StoreError::Damaged(format!("a piece at record {} is out of place", at.value())));
            }
            records.extend(piece.records.iter().map(|r| r.to_vec()));
        }
        if records.len() as u64 != info.last_sequence - first + 1 {
            return Err(StoreError::Damaged(format!("the commit at record {first} is not whole")));
        }
        Ok(Some(EncodedCommit { info, bytes: encode_commit(first, info.committed_at, &records) }))
    }

    /// Checks that the last commit is whole and chained to the one before: a cheap test of an unknown file.
    pub(super) fn check_end(&self) -> Result<(), StoreError> {
        let head = self.head()?;
        if head.sequence == 0 {
            return Ok(());
        }
        let Some(last) = self.commit_of(head.sequence)? else {
            return Err(StoreError::Damaged("the last commit is missing".into()));
        };
        let previous = match last.first_sequence.saturating_sub(1) {
            0 => Chain::GENESIS,
            before => match self.commit_of(before)? {
                Some(info) => info.chain,
                None => return Err(StoreError::Damaged(format!("record {before} is missing"))),
            },
        };
        let encoded = self.encoded_commit(last.first_sequence)?;
        if encoded.is_some_and(|e| previous.after(&e.bytes) == last.chain) {
            Ok(())
        } else {
            Err(StoreError::Damaged("the chain does not hold at the last commit".into()))
        }
    }
}
