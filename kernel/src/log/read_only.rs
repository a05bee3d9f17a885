//! A log that is read and never written: that of a stopped home.

use std::path::Path;

use redb::Database;

use super::{
    error::{OpenError, StoreError, guarded},
    journal::recovery::Recovered,
    open::{inspect, read_journal},
    pending::Pending,
    read::Reader,
};
use crate::commit::Head;

/// A log whose files stay as they are. It has no index: that is derived, and to derive it takes longer than most of what
/// is done with such a log.
#[derive(Debug)]
pub struct ReadOnlyLog {
    db: Database,
    head: Head,
    /// What only the journal has.
    pending: Pending,
}

impl ReadOnlyLog {
    /// Opens a file. What the engine would write stays in memory.
    ///
    /// # Errors
    /// [`OpenError`], as [`Log::open`](super::Log::open) gives it; but for an index file, which is not looked at.
    pub fn open(path: &Path) -> Result<Self, OpenError> {
        let db = inspect(path)?;
        let Recovered { pending, .. } = read_journal(&db, path)?;
        let head = guarded::<_, StoreError>(|| Reader::new(&db, pending.clone())?.head())?;
        Ok(Self { db, head, pending })
    }

    /// Where the log ends.
    #[must_use]
    pub fn head(&self) -> Head {
        self.head
    }

    /// A snapshot of the log.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub fn reader(&self) -> Result<Reader, StoreError> {
        Reader::new(&self.db, self.pending.clone())
    }
}
