//! Backups: the log's commits in order, in a file of their own.
//!
//! Layout: the magic `spl-backup-v1\n`; then for each commit its length (u32, little-endian) and its encoded
//! bytes; then length 0, the last sequence (u64, little-endian) and the chain (32 bytes). A backup is read as
//! hostile: lengths are checked before memory is taken, the chain is recomputed, and records are decoded
//! strictly and their ids recomputed.

use std::io::{self, Read, Write};

use super::{Log, NewCommit, Reader, error::StoreError};
use crate::{
    commit::{Chain, Commit, DecodeError, Entry, Head, decode_commit},
    draft::recheck,
    limits,
};

const MAGIC: &[u8; 14] = b"spl-backup-v1\n";

/// Commits written in one transaction while restoring.
const RESTORE_GROUP_RECORDS: usize = 8192;

/// Why a backup was not written or not restored.
#[derive(Debug, thiserror::Error)]
pub enum BackupError {
    /// The log failed.
    #[error("the log failed")]
    Store(#[from] StoreError),
    /// Appending failed while restoring.
    #[error("the restored log could not be written")]
    Append(#[from] super::error::AppendError),
    /// Reading or writing the backup failed.
    #[error("the backup could not be read or written")]
    Io(#[from] io::Error),
    /// Not a backup.
    #[error("the file is not a backup of spl")]
    Foreign,
    /// Not what was backed up.
    #[error("the backup is damaged after record {after}: {what}")]
    Damaged {
        /// The last good record.
        after: u64,
        /// How.
        what: String,
    },
}

/// Writes everything up to the snapshot's head. `progress` hears (records done, records in all).
///
/// # Errors
/// [`BackupError`].
pub fn write(
    reader: &Reader,
    out: &mut dyn Write,
    progress: &mut dyn FnMut(u64, u64),
) -> Result<Head, BackupError> {
    let head = reader.head()?;
    out.write_all(MAGIC)?;
    let mut at = 0;
    while at < head.sequence {
        let commit = reader
            .encoded_commit(at + 1)?
            .ok_or_else(|| StoreError::Damaged(format!("no commit starts at record {}", at + 1)))?;
        let length = u32::try_from(commit.bytes.len())
            .map_err(|_| StoreError::Damaged(format!("the commit at record {} is too long", at + 1)))?;
        out.write_all(&length.to_le_bytes())?;
        out.write_all(&commit.bytes)?;
        at = commit.info.last_sequence;
        progress(at, head.sequence);
    }
    out.write_all(&0_u32.to_le_bytes())?;
    out.write_all(&head.sequence.to_le_bytes())?;
    out.write_all(head.chain.as_bytes())?;
    out.flush()?;
    Ok(head)
}

/// Fills an empty log from a backup. `progress` hears the records done.
///
/// # Errors
/// [`BackupError`]; the log then holds a part of the backup and must be thrown away.
pub fn restore(log: &Log, input: &mut dyn Read, progress: &mut dyn FnMut(u64)) -> Result<Head, BackupError> {
    let mut magic = [0; MAGIC.len()];
    if input.read_exact(&mut magic).is_err() || &magic != MAGIC {
        return Err(BackupError::Foreign);
    }
    let mut chain = Chain::GENESIS;
    let mut group: Vec<NewCommit> = Vec::new();
    let mut last = (0, crate::time::UnixMillis(0));
    let mut grouped = 0;
    while let Some(bytes) = read_commit(input, last.0)? {
        let commit = decode(&bytes, last)?;
        last = (last.0 + commit.commit.entries.len() as u64, commit.commit.committed_at);
        chain = chain.after(&bytes);
        grouped += commit.commit.entries.len();
        group.push(commit);
        if grouped >= RESTORE_GROUP_RECORDS {
            flush(log, &mut group)?;
            grouped = 0;
            progress(last.0);
        }
    }
    flush(log, &mut group)?;
    progress(last.0);
    read_trailer(input, last.0, chain)?;
    check_restored(log, last.0, chain)?;
    Ok(log.head())
}

/// Whether the log is the one that was backed up: encoded alike, and each id and each clock once, which the
/// indexes show.
fn check_restored(log: &Log, last: u64, chain: Chain) -> Result<(), BackupError> {
    let damaged = |what: &str| BackupError::Damaged { after: last, what: what.to_owned() };
    if log.head().chain != chain {
        return Err(damaged("a commit is not encoded as it should be"));
    }
    while log.index().behind() > 0 {
        log.index().flush()?;
    }
    if log.index().record_counts()?.iter().any(|count| *count != last) {
        return Err(damaged("a record or a clock is there twice"));
    }
    Ok(())
}

fn flush(log: &Log, group: &mut Vec<NewCommit>) -> Result<(), BackupError> {
    if !group.is_empty() {
        log.append(log.head(), std::mem::take(group))?;
        while log.index().behind() >= super::FLUSH_RECORDS {
            log.index().flush()?;
        }
    }
    Ok(())
}

fn read_commit(input: &mut dyn Read, after: u64) -> Result<Option<Vec<u8>>, BackupError> {
    let damaged = |what: &str| BackupError::Damaged { after, what: what.to_owned() };
    let mut length = [0; 4];
    input.read_exact(&mut length).map_err(|_| damaged("it ends too early"))?;
    let length = usize::try_from(u32::from_le_bytes(length)).unwrap_or(usize::MAX);
    if length == 0 {
        return Ok(None);
    }
    if length > limits::COMMIT_BYTES_MAX {
        return Err(damaged("a commit is longer than it may be"));
    }
    // Grows as bytes arrive: a stated length alone takes no memory.
    let mut bytes = Vec::new();
    input.take(length as u64).read_to_end(&mut bytes)?;
    if bytes.len() == length { Ok(Some(bytes)) } else { Err(damaged("it ends too early")) }
}

fn decode(bytes: &[u8], last: (u64, crate::time::UnixMillis)) -> Result<NewCommit, BackupError> {
    let damaged = |what: String| BackupError::Damaged { after: last.0, what };
    let (committed_at, records) = decode_commit(bytes).map_err(|e: DecodeError| damaged(e.to_string()))?;
    let first = records.first().map_or(0, |r| r.sequence);
    if first != last.0 + 1 || committed_at < last.1 {
        return Err(damaged("a commit does not follow the one before".into()));
    }
    let mut facts = Vec::with_capacity(records.len());
    let mut entries = Vec::with_capacity(records.len());
    for stored in records {
        let checked = recheck(&stored.record)
            .map_err(|e| damaged(format!("record {}: {}", stored.sequence, e.message)))?;
        facts.push(checked);
        entries.push(Entry { record: stored.record, provenance: stored.provenance });
    }
    Ok(NewCommit { commit: Commit { first_sequence: first, committed_at, entries }, facts })
}

fn read_trailer(input: &mut dyn Read, last: u64, chain: Chain) -> Result<(), BackupError> {
    let damaged = |what: &str| BackupError::Damaged { after: last, what: what.to_owned() };
    let mut sequence = [0; 8];
    let mut stated = [0; 32];
    input.read_exact(&mut sequence).map_err(|_| damaged("it ends too early"))?;
    input.read_exact(&mut stated).map_err(|_| damaged("it ends too early"))?;
    if u64::from_le_bytes(sequence) != last || Chain::from_bytes(stated) != chain {
        return Err(damaged("its end does not match its content"));
    }
    let mut rest = [0; 1];
    if input.read(&mut rest)? != 0 {
        return Err(damaged("there is more after its end"));
    }
    Ok(())
}
