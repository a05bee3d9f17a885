//! Commits that are appended together, checked and encoded.

use std::sync::Arc;

use super::{
    NewCommit,
    error::{AppendError, StoreError},
    index::Fresh,
    pending::Rows,
    rows::cut,
};
use crate::{
    commit::{Commit, Head, encode_entry},
    draft::BodyFacts,
    limits,
    record::StoredRecord,
};

/// What an append writes, and what is to be told of it.
#[derive(Debug)]
pub(super) struct Group {
    pub(super) rows: Rows,
    pub(super) fresh: Vec<Fresh>,
    pub(super) stored: Vec<Vec<Arc<StoredRecord>>>,
}

impl Group {
    /// Encodes commits that must follow `head` and each other.
    pub(super) fn encode(head: &Head, commits: Vec<NewCommit>) -> Result<Self, AppendError> {
        let mut after = *head;
        let mut rows = Vec::with_capacity(commits.len());
        let mut fresh = Vec::with_capacity(commits.len());
        let mut written = Vec::with_capacity(commits.len());
        for NewCommit { commit, facts } in commits {
            check_follows(&after, &commit, &facts)?;
            let records: Vec<Vec<u8>> =
                commit.entries.iter().map(|e| encode_entry(&e.record, &e.provenance)).collect();
            let (chain, length) =
                after.chain.after_records(commit.first_sequence, commit.committed_at, &records);
            if length > limits::COMMIT_BYTES_MAX {
                let first = commit.first_sequence;
                return Err(StoreError::Damaged(format!("commit {first} is longer than it may be")).into());
            }
            rows.extend(cut(commit.first_sequence, commit.committed_at, chain, &records));
            after = Head {
                sequence: after.sequence + commit.entries.len() as u64,
                chain,
                committed_at: commit.committed_at,
            };
            let stored = stored_records(commit);
            fresh.extend(stored.iter().zip(facts).map(|(s, facts)| Fresh {
                stored: s.clone(),
                facts,
                chain,
            }));
            written.push(stored);
        }
        let rows = Rows::new(head.sequence + 1, head.chain, after, rows);
        Ok(Self { rows, fresh, stored: written })
    }
}

fn check_follows(head: &Head, commit: &Commit, facts: &[BodyFacts]) -> Result<(), AppendError> {
    let follows = commit.first_sequence == head.sequence + 1
        && commit.committed_at >= head.committed_at
        && !commit.entries.is_empty()
        && commit.entries.len() <= limits::COMMIT_RECORDS_MAX
        && commit.entries.len() == facts.len();
    if follows {
        Ok(())
    } else {
        Err(StoreError::Damaged(format!("commit {} does not follow the head", commit.first_sequence)).into())
    }
}

fn stored_records(commit: Commit) -> Vec<Arc<StoredRecord>> {
    (commit.first_sequence..)
        .zip(commit.entries)
        .map(|(sequence, entry)| {
            Arc::new(StoredRecord {
                sequence,
                committed_at: commit.committed_at,
                record: entry.record,
                provenance: entry.provenance,
            })
        })
        .collect()
}
