//! Reading: point reads, ranges and whole commits, over one snapshot of the redb file and of the rows that are
//! in the journal only.
//!
//! The rows of the journal are taken first. A row leaves them only after redb has it and the snapshot of redb that readers
//! take has it, so whatever is before the first of them is in the snapshot that is taken afterwards; of what redb has beyond
//! that nothing is asked.

use std::sync::{Arc, PoisonError};

use redb::{AccessGuard, Database, ReadableTable as _};

use super::{
    Log, SettledRows,
    error::{StoreError, guarded},
    pending::Pending,
    rows::Piece,
};
use crate::{
    commit::{Chain, DecodeError, Head, encode_commit},
    entry::EntryRef,
    record::StoredRecord,
    time::UnixMillis,
};

/// One snapshot of the log. Holds a storage transaction: keep it no longer than one read takes.
pub struct Reader {
    pending: Pending,
    rows: Arc<SettledRows>,
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

/// A row's bytes, wherever they are.
enum Bytes<'a> {
    File(AccessGuard<'a, &'static [u8]>),
    Memory(&'a [u8]),
}

impl Bytes<'_> {
    fn value(&self) -> &[u8] {
        match self {
            Self::File(guard) => guard.value(),
            Self::Memory(bytes) => bytes,
        }
    }
}

type Row<'a> = (u64, Bytes<'a>);

/// A row as the engine found it: to be called where its panics are caught, for it follows what a damaged page says of
/// where a row lies only when it is asked for the row's bytes.
fn found<'a>((first, bytes): (AccessGuard<'_, u64>, AccessGuard<'a, &'static [u8]>)) -> Row<'a> {
    (first.value(), sound(bytes))
}

/// The same of a row's bytes.
fn sound<'a>(bytes: AccessGuard<'a, &'static [u8]>) -> Bytes<'a> {
    // Where this does not panic it does not later on.
    std::hint::black_box(bytes.value());
    Bytes::File(bytes)
}

/// Hears of a row's key and bytes, and says whether to go on.
type Visit<'a> = dyn FnMut(u64, &[u8]) -> Result<bool, StoreError> + 'a;

pub(super) fn damaged(sequence: u64) -> impl Fn(DecodeError) -> StoreError {
    move |source| StoreError::Row { sequence, source }
}

impl Log {
    /// A snapshot of everything committed so far.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub fn reader(&self) -> Result<Reader, StoreError> {
        let pending = self.pending();
        let rows = self.settled_rows.read().unwrap_or_else(PoisonError::into_inner).clone();
        Ok(Reader { pending, rows })
    }
}

impl Reader {
    /// `pending` was taken before this is called.
    pub(super) fn new(db: &Database, pending: Pending) -> Result<Self, StoreError> {
        guarded(|| Ok(Self { pending, rows: SettledRows::of(db)? }))
    }

    /// The row that holds a position, or the last before it.
    fn row_at(&self, sequence: u64) -> Result<Option<Row<'_>>, StoreError> {
        if let Some((first, bytes)) = self.pending.row_at(sequence) {
            return Ok(Some((first, Bytes::Memory(bytes))));
        }
        guarded(|| Ok(self.rows.0.range(..=sequence)?.next_back().transpose()?.map(found)))
    }

    /// The row that begins at a position.
    fn row_from(&self, first: u64) -> Result<Option<Bytes<'_>>, StoreError> {
        if let Some((at, bytes)) = self.pending.row_at(first) {
            return Ok((at == first).then_some(Bytes::Memory(bytes)));
        }
        guarded(|| Ok(self.rows.0.get(first)?.map(sound)))
    }

    /// Calls `visit` with each row that begins from `start` to `end`, in order, until it says false.
    fn walk(&self, start: u64, end: u64, visit: &mut Visit<'_>) -> Result<(), StoreError> {
        let in_file = self.pending.first().map_or(end, |first| end.min(first.saturating_sub(1)));
        if start <= in_file {
            let mut rows = guarded::<_, StoreError>(|| Ok(self.rows.0.range(start..=in_file)?))?;
            while let Some((first, bytes)) =
                guarded::<_, StoreError>(|| Ok(rows.next().transpose()?.map(found)))?
            {
                if !visit(first, bytes.value())? {
                    return Ok(());
                }
            }
        }
        for (first, bytes) in self.pending.range(start, end) {
            if !visit(first, bytes)? {
                break;
            }
        }
        Ok(())
    }

    /// The record at a position.
    ///
    /// # Errors
    /// When the file cannot be read or is damaged there.
    pub fn record(&self, sequence: u64) -> Result<Option<StoredRecord>, StoreError> {
        let Some((first, bytes)) = self.row_at(sequence)? else { return Ok(None) };
        let piece = Piece::decode(bytes.value()).map_err(damaged(sequence))?;
        let entry = piece.entry(first, sequence).map_err(damaged(sequence))?;
        Ok(entry.map(|entry| entry.to_stored(sequence, piece.start.committed_at)))
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
        self.scan_entries(sequence, &mut |at, committed_at, entry| visit(entry.to_stored(at, committed_at)))
    }

    /// Calls `visit` with each record after `sequence`, where it lies, with its position and its commit's time, in
    /// order, until it says false.
    ///
    /// # Errors
    /// As above.
    pub fn scan_entries(
        &self,
        sequence: u64,
        visit: &mut dyn FnMut(u64, UnixMillis, &EntryRef<'_>) -> bool,
    ) -> Result<(), StoreError> {
        let wanted = sequence.saturating_add(1);
        let Some((start, _)) = self.row_at(wanted)? else { return Ok(()) };
        self.walk(start, u64::MAX, &mut |first, bytes| {
            let (start, records) = Piece::walk(bytes).map_err(damaged(first))?;
            for (i, record) in records.enumerate() {
                let at = first.saturating_add(i as u64);
                let record = record.map_err(damaged(at))?;
                if at < wanted {
                    continue;
                }
                let entry = EntryRef::decode(record).map_err(damaged(at))?;
                if !visit(at, start.committed_at, &entry) {
                    return Ok(false);
                }
            }
            Ok(true)
        })
    }

    /// The commit that holds a position.
    ///
    /// # Errors
    /// As above.
    pub fn commit_of(&self, sequence: u64) -> Result<Option<CommitInfo>, StoreError> {
        let Some((_, bytes)) = self.row_at(sequence)? else { return Ok(None) };
        let first = Piece::decode(bytes.value()).map_err(damaged(sequence))?.start.commit_first;
        let info = self.commit_at(first)?;
        Ok(Some(info).filter(|c| sequence <= c.last_sequence))
    }

    fn commit_at(&self, first: u64) -> Result<CommitInfo, StoreError> {
        let missing = || StoreError::Damaged(format!("the commit at record {first} has no start"));
        let bytes = self.row_from(first)?.ok_or_else(missing)?;
        let piece = Piece::decode(bytes.value()).map_err(damaged(first))?;
        let header = piece.start.header.filter(|h| h.count > 0).ok_or_else(missing)?;
        Ok(CommitInfo {
            first_sequence: first,
            last_sequence: first.saturating_add(header.count - 1),
            committed_at: piece.start.committed_at,
            chain: header.chain,
        })
    }

    /// Where the log ends.
    ///
    /// # Errors
    /// As above.
    pub fn head(&self) -> Result<Head, StoreError> {
        let Some((last, bytes)) = self.row_at(u64::MAX)? else { return Ok(Head::EMPTY) };
        let piece = Piece::decode(bytes.value()).map_err(damaged(last))?;
        let end = last.saturating_add((piece.records.len() as u64).saturating_sub(1));
        let info = self.commit_at(piece.start.commit_first)?;
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
        let in_file = guarded::<_, StoreError>(|| Ok(self.rows.0.first()?.map(|(first, _)| first.value())))?;
        Ok(in_file.or(self.pending.first()))
    }

    /// The commit that starts at `first`, as it was encoded.
    ///
    /// # Errors
    /// As above, and when its pieces do not fit together.
    pub fn encoded_commit(&self, first: u64) -> Result<Option<EncodedCommit>, StoreError> {
        if self.row_from(first)?.is_none() {
            return Ok(None);
        }
        let info = self.commit_at(first)?;
        let mut records: Vec<Vec<u8>> = Vec::new();
        self.walk(first, info.last_sequence, &mut |at, bytes| {
            let piece = Piece::decode(bytes).map_err(damaged(at))?;
            let in_place = piece.start.commit_first == first
                && at == first + records.len() as u64
                && piece.start.committed_at == info.committed_at
                && (piece.start.header.is_some() == (at == first));
            if !in_place {
                return Err(StoreError::Damaged(format!("a piece at record {at} is out of place")));
            }
            records.extend(piece.records.iter().map(|r| r.to_vec()));
            Ok(true)
        })?;
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
