//! Walking records in sequence order, through the index that fits, as one viewer sees them.

use spl_kernel::{
    log::{Log, Range, error::StoreError},
    record::StoredRecord,
};

/// Records read at a time.
const CHUNK: usize = 128;

/// Where candidates come from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Source {
    /// One thread's records.
    Thread(String),
    /// One actor's records.
    Actor(String),
    /// One record.
    Id(spl_kernel::id::RecordId),
    /// The whole log.
    All,
}

impl Source {
    /// The index's name in a plan.
    pub(crate) fn as_str(&self) -> &'static str {
        match self {
            Self::Thread(_) => "thread",
            Self::Actor(_) => "actor",
            Self::Id(_) => "id",
            Self::All => "sequence",
        }
    }
}

/// A walk. Each chunk is a short read of its own, so that nothing is held while the caller works.
#[derive(Debug)]
pub(crate) struct Scan {
    source: Source,
    descending: bool,
    /// Positions still to visit, inclusive.
    low: u64,
    high: u64,
    done: bool,
}

impl Scan {
    /// Walks `low..=high`.
    pub(crate) fn new(source: Source, descending: bool, low: u64, high: u64) -> Self {
        Self { source, descending, low: low.max(1), high, done: low > high }
    }

    /// The next records, or none at the end.
    pub(crate) fn next(&mut self, log: &Log) -> Result<Vec<StoredRecord>, StoreError> {
        if self.done || self.low > self.high {
            return Ok(Vec::new());
        }
        let range = Range { low: self.low, high: self.high, limit: CHUNK, descending: self.descending };
        let reader = log.reader()?;
        let records = match &self.source {
            Source::Thread(thread) => reader.records(&log.index().thread(thread, range)?)?,
            Source::Actor(actor) => reader.records(&log.index().actor(actor, range)?)?,
            Source::Id(id) => {
                self.done = true;
                let within = |s: &u64| (self.low..=self.high).contains(s);
                let found: Vec<u64> = log.index().sequence_of(id)?.into_iter().filter(within).collect();
                reader.records(&found)?
            }
            Source::All if self.descending => {
                let low = self.high.saturating_sub(CHUNK as u64).max(self.low - 1);
                let count = usize::try_from(self.high - low).unwrap_or(CHUNK);
                let mut records = reader.after(low, count)?;
                records.reverse();
                records
            }
            Source::All => {
                let mut records = reader.after(self.low - 1, CHUNK)?;
                records.retain(|r| r.sequence <= self.high);
                records
            }
        };
        match records.last().map(|r| r.sequence) {
            None => self.done = true,
            Some(last) if self.descending => {
                self.high = last - 1;
                self.done |= last <= self.low;
            }
            Some(last) => {
                self.low = last + 1;
                self.done |= last >= self.high;
            }
        }
        Ok(records)
    }
}
