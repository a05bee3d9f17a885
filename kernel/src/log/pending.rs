//! Rows that are durable in the journal and not yet in redb.

use std::sync::Arc;

use imbl::OrdMap;

use super::journal::frame::encoded_len;
use crate::commit::{Chain, Head};

/// The rows of one group of commits: what is written, and moved, all or none.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Rows {
    /// Position of the first record.
    pub(super) first: u64,
    /// The chain before it.
    pub(super) before: Chain,
    /// The head after it.
    pub(super) after: Head,
    /// First sequence of a piece and the piece, in order; at least one.
    pub(super) rows: Vec<(u64, Vec<u8>)>,
    /// What the pieces hold, in bytes.
    pub(super) bytes: usize,
}

impl Rows {
    pub(super) fn new(first: u64, before: Chain, after: Head, rows: Vec<(u64, Vec<u8>)>) -> Self {
        let bytes = rows.iter().map(|(_, bytes)| bytes.len()).sum();
        Self { first, before, after, rows, bytes }
    }
}

/// Groups in order, without gaps. A clone is a snapshot and costs nothing.
#[derive(Clone, Default)]
pub(super) struct Pending {
    groups: OrdMap<u64, Arc<Rows>>,
    /// What their frames take of the journal.
    frame_bytes: usize,
}

impl std::fmt::Debug for Pending {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Pending").field("groups", &self.groups.len()).finish()
    }
}

impl Pending {
    pub(super) fn push(&mut self, rows: Rows) {
        self.frame_bytes += encoded_len(&rows);
        self.groups.insert(rows.first, Arc::new(rows));
    }

    /// Removes a group that redb has.
    pub(super) fn remove(&mut self, first: u64) {
        if let Some(rows) = self.groups.remove(&first) {
            self.frame_bytes = self.frame_bytes.saturating_sub(encoded_len(&rows));
        }
    }

    /// What their frames take of the journal, in bytes.
    pub(super) fn frame_bytes(&self) -> usize {
        self.frame_bytes
    }

    /// The groups, oldest first.
    pub(super) fn groups(&self) -> impl Iterator<Item = &Arc<Rows>> {
        self.groups.values()
    }

    /// Position of the first record; everything before it is in redb.
    pub(super) fn first(&self) -> Option<u64> {
        self.groups.get_min().map(|(first, _)| *first)
    }

    /// The row that holds a position, or the last before it. `None` only for positions before all of these.
    pub(super) fn row_at(&self, sequence: u64) -> Option<(u64, &[u8])> {
        let (_, group) = self.groups.get_prev(&sequence)?;
        let after = group.rows.partition_point(|(key, _)| *key <= sequence);
        let (key, bytes) = group.rows.get(after.checked_sub(1)?)?;
        Some((*key, bytes))
    }

    /// Rows with keys from `start` to `end`, in order.
    pub(super) fn range(&self, start: u64, end: u64) -> impl Iterator<Item = (u64, &[u8])> {
        let from = self.groups.get_prev(&start).map_or(start, |(first, _)| *first);
        self.groups
            .range(from..)
            .flat_map(|(_, group)| group.rows.iter())
            .map(|(key, bytes)| (*key, bytes.as_slice()))
            .skip_while(move |(key, _)| *key < start)
            .take_while(move |(key, _)| *key <= end)
    }
}
