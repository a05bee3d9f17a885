//! Which records a stream carries, and looking for them in the log, a step at a time.

use std::sync::Arc;

use bytes::Bytes;
use spl_kernel::{
    entry::EntryRef,
    json::{Bounds, Json},
    limits,
    log::{Range, error::StoreError},
    record::StoredRecord,
    time::UnixMillis,
};
use spl_projections::visibility::{Extent, Viewer};

use crate::{
    app::Instance,
    wire::{self, Fields},
};

/// Records looked at in one step; where rules are asked about each, so many fewer.
pub(crate) const STEP_RECORDS: usize = 1024;
const COSTLY_STEP_RECORDS: usize = 256;
/// A step ends once it has this many bytes for the client.
pub(crate) const STEP_BYTES: usize = 128 * 1024;
/// Or has looked at bodies of this many, for it or not.
pub(crate) const STEP_READ_BYTES: usize = 16 * STEP_BYTES;

/// Which records a stream carries.
#[derive(Debug, Clone, Default)]
pub(crate) struct Filter {
    /// Any of these; empty for all.
    pub(crate) threads: Vec<String>,
    pub(crate) kind: Option<String>,
    pub(crate) actor: Option<String>,
    pub(crate) act: Option<String>,
}

impl Filter {
    /// Whether it asks no more of a record than who wrote it, and which act it is.
    pub(crate) fn is_plain(&self) -> bool {
        self.threads.is_empty() && self.kind.is_none()
    }

    pub(crate) fn passes(&self, stored: &StoredRecord, viewer: &Viewer) -> bool {
        let record = &stored.record;
        viewer.extent(&record.thread) != Extent::None
            && (self.threads.is_empty() || self.threads.contains(&record.thread))
            && self.actor.as_ref().is_none_or(|a| *a == record.actor)
            && self.act.as_ref().is_none_or(|a| a == record.act.as_str())
            && self.kind.as_ref().is_none_or(|k| kind_of(stored).as_deref() == Some(k))
            && viewer.sees(stored)
    }
}

/// `body.kind` of a stored record.
pub(crate) fn kind_of(stored: &StoredRecord) -> Option<String> {
    // Most bodies that are asked for a kind are passed over: do not parse those that cannot have one.
    if !stored.record.body.contains("\"kind\":\"") {
        return None;
    }
    let bounds = Bounds { levels: limits::BODY_LEVELS_MAX, values: limits::BODY_VALUES_MAX };
    let body = Json::parse(stored.record.body.as_bytes(), bounds).ok()?;
    body.as_object()?.str("kind").map(str::to_owned)
}

/// A position up to which records with a clock below a floor are left out.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Floor {
    pub(crate) clock: u64,
    pub(crate) through: u64,
}

/// What one look at the records after a position gave.
pub(crate) struct Step {
    /// Frames of those that the stream carries.
    pub(crate) chunk: Bytes,
    /// Decided up to here.
    pub(crate) reached: u64,
    /// The last position in the chunk.
    pub(crate) last: u64,
}

/// Which records a stream carries at one instant.
pub(crate) struct Passes {
    pub(crate) filter: Arc<Filter>,
    pub(crate) floor: Option<Floor>,
    pub(crate) viewer: Arc<Viewer>,
}

impl Passes {
    pub(crate) fn carries(&self, stored: &StoredRecord) -> bool {
        !self.is_below(stored.sequence, stored.record.clock) && self.filter.passes(stored, &self.viewer)
    }

    /// The same for a record where it lies in the log.
    fn carries_entry(&self, sequence: u64, committed_at: UnixMillis, entry: &EntryRef<'_>) -> bool {
        let Filter { threads, kind, actor, act } = &*self.filter;
        let may_pass = !self.is_below(sequence, entry.clock())
            && (threads.is_empty() || threads.iter().any(|t| t == entry.thread()))
            && actor.as_ref().is_none_or(|a| a == entry.actor())
            && act.as_ref().is_none_or(|a| a == entry.act().as_str());
        may_pass
            && match self.viewer.extent(entry.thread()) {
                Extent::None => false,
                Extent::Whole if kind.is_none() => true,
                Extent::Whole | Extent::Some => self.carries(&entry.to_stored(sequence, committed_at)),
            }
    }

    fn is_below(&self, sequence: u64, clock: u64) -> bool {
        self.floor.is_some_and(|f| sequence <= f.through && clock < f.clock)
    }
}

/// Reads the log after the cursor: through the thread's index where the stream is of one thread. Holds one
/// record at a time, or none.
pub(crate) fn step_through_log(
    app: &Instance,
    passes: &Passes,
    cursor: u64,
    end: u64,
) -> Result<Step, StoreError> {
    let reader = app.log.reader()?;
    let (mut chunk, mut looked_at, mut read_bytes, mut reached) = (String::new(), 0, 0, end);
    let mut last = cursor;
    let costly = passes.viewer.is_costly();
    let most = if costly { COSTLY_STEP_RECORDS } else { STEP_RECORDS };
    let mut take = |record: Fields<'_>, body_bytes: usize, carried: bool| -> bool {
        let sequence = record.sequence();
        looked_at += 1;
        read_bytes += body_bytes;
        if carried {
            last = sequence;
            if chunk.is_empty() {
                chunk.reserve(STEP_BYTES + STEP_BYTES / 8);
            }
            wire::write_frame(&mut chunk, record, passes.viewer.sees_provenance());
        }
        let more = looked_at < most && chunk.len() < STEP_BYTES && read_bytes < STEP_READ_BYTES;
        if !more {
            reached = sequence;
        }
        more
    };
    if let [thread] = passes.filter.threads.as_slice() {
        let range = Range { low: cursor + 1, high: end, limit: most, descending: false };
        for sequence in app.log.index().thread(thread, range)? {
            let missing = || StoreError::Damaged(format!("record {sequence} is missing"));
            let stored = reader.record(sequence)?.ok_or_else(missing)?;
            if !take(Fields::from(&stored), stored.record.body.len(), passes.carries(&stored)) {
                break;
            }
        }
    } else {
        reader.scan_entries(cursor, &mut |sequence, committed_at, entry| {
            let carried = || passes.carries_entry(sequence, committed_at, entry);
            let record = || Fields::of_entry(sequence, committed_at, entry);
            sequence <= end && take(record(), entry.body().len(), carried())
        })?;
    }
    if chunk.len() < chunk.capacity() / 2 {
        chunk.shrink_to_fit();
    }
    Ok(Step { chunk: chunk.into(), reached, last })
}
