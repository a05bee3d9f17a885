//! Walking records in sequence order, through the index that fits, as one viewer sees them.

use std::collections::VecDeque;

use spl_kernel::{
    log::{Log, Range, Reader, error::StoreError},
    record::StoredRecord,
};

/// Most records read at a time.
const CHUNK: usize = 128;
/// Most bytes of bodies read at a time, but for one record: many walks go on at once.
const CHUNK_BYTES: usize = 1024 * 1024;

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
    /// Most records of the next chunk.
    chunk: usize,
    done: bool,
}

impl Scan {
    /// Walks `low..=high`.
    pub(crate) fn new(source: Source, descending: bool, low: u64, high: u64) -> Self {
        Self { source, descending, low: low.max(1), high, chunk: CHUNK, done: low > high }
    }

    /// Begins with this many records at a time, and twice as many each time: for those who may have enough soon.
    pub(crate) fn beginning_with(self, records: usize) -> Self {
        Self { chunk: records.clamp(1, CHUNK), ..self }
    }

    /// The next records, or none at the end.
    pub(crate) fn next(&mut self, log: &Log) -> Result<Vec<StoredRecord>, StoreError> {
        if self.done || self.low > self.high {
            return Ok(Vec::new());
        }
        let chunk = self.chunk;
        self.chunk = CHUNK.min(2 * chunk);
        let range = Range { low: self.low, high: self.high, limit: chunk, descending: self.descending };
        let reader = log.reader()?;
        let records = match &self.source {
            Source::Thread(thread) => at_positions(&reader, &log.index().thread(thread, range)?)?,
            Source::Actor(actor) => at_positions(&reader, &log.index().actor(actor, range)?)?,
            Source::Id(id) => {
                self.done = true;
                let within = |s: &u64| (self.low..=self.high).contains(s);
                let found: Vec<u64> = log.index().sequence_of(id)?.into_iter().filter(within).collect();
                at_positions(&reader, &found)?
            }
            Source::All if self.descending => {
                let low = self.high.saturating_sub(chunk as u64).max(self.low - 1);
                last_of(&reader, low, self.high)?
            }
            Source::All => first_of(&reader, self.low - 1, self.high, chunk)?,
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

/// The first records at these positions.
fn at_positions(reader: &Reader, positions: &[u64]) -> Result<Vec<StoredRecord>, StoreError> {
    let (mut records, mut bytes) = (Vec::new(), 0);
    for position in positions {
        if bytes >= CHUNK_BYTES {
            break;
        }
        let found = reader.records(std::slice::from_ref(position))?;
        bytes += found.iter().map(|r| r.record.body.len()).sum::<usize>();
        records.extend(found);
    }
    Ok(records)
}

/// The first records after `low` up to `high`, ascending, `most` of them.
fn first_of(reader: &Reader, low: u64, high: u64, most: usize) -> Result<Vec<StoredRecord>, StoreError> {
    let (mut records, mut bytes) = (Vec::new(), 0);
    reader.scan(low, &mut |stored| {
        if stored.sequence > high {
            return false;
        }
        bytes += stored.record.body.len();
        records.push(stored);
        records.len() < most && bytes < CHUNK_BYTES
    })?;
    Ok(records)
}

/// The last records after `low` up to `high`, descending.
fn last_of(reader: &Reader, low: u64, high: u64) -> Result<Vec<StoredRecord>, StoreError> {
    let (mut records, mut bytes) = (VecDeque::new(), 0);
    reader.scan(low, &mut |stored: StoredRecord| {
        if stored.sequence > high {
            return false;
        }
        bytes += stored.record.body.len();
        records.push_back(stored);
        while bytes > CHUNK_BYTES && records.len() > 1 {
            let dropped = records.pop_front();
            bytes -= dropped.map_or(0, |r| r.record.body.len());
        }
        true
    })?;
    Ok(records.into_iter().rev().collect())
}
