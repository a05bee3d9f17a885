//! Threads as one viewer sees them: from the index where all of a thread exists for the viewer, else folded
//! anew over the records that do.

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use spl_kernel::{
    draft::BodyFacts,
    json::{Bounds, Json},
    limits,
    log::{Log, error::StoreError},
    record::StoredRecord,
    thread::{Participant, Step, Summary},
};
use spl_projections::visibility::{Extent, Viewer};

use crate::{
    env,
    problem::Problem,
    scan::{Scan, Source},
};

/// How much one request may look at to fold threads anew.
#[derive(Debug)]
pub(crate) struct Patience {
    until: Instant,
    rows: u64,
}

impl Patience {
    pub(crate) fn new(rows: u64, seconds: u64) -> Self {
        Self { until: env::monotonic() + Duration::from_secs(seconds), rows }
    }

    /// Whether it is used up.
    pub(crate) fn is_over(&self) -> bool {
        self.rows == 0 || env::monotonic() >= self.until
    }

    fn spend(&mut self, rows: usize) {
        self.rows = self.rows.saturating_sub(rows as u64);
    }
}

/// A thread folded over what a viewer sees of it.
#[derive(Debug)]
pub(crate) struct Seen {
    pub(crate) summary: Summary,
    pub(crate) participants: Vec<Participant>,
}

fn too_much() -> Problem {
    Problem::invalid_query("the thread has more records than can be looked at for this token")
        .hint("a token that is not narrowed sees the thread at once; GET /v1/threads/{id}/records is paged")
}

/// The summary of a thread, if any of it exists for the viewer.
pub(crate) fn summary(
    log: &Log,
    viewer: &Viewer,
    thread: &str,
    patience: &mut Patience,
) -> Result<Option<Summary>, Problem> {
    match viewer.extent(thread) {
        Extent::None => Ok(None),
        Extent::Whole => Ok(log.index().summary(thread)?),
        Extent::Some => Ok(fold(log, viewer, thread, patience)?.map(|seen| seen.summary)),
    }
}

/// A thread with its participants, by their first record, if any of it exists for the viewer.
pub(crate) fn with_participants(
    log: &Log,
    viewer: &Viewer,
    thread: &str,
    most: usize,
    patience: &mut Patience,
) -> Result<Option<Seen>, Problem> {
    match viewer.extent(thread) {
        Extent::None => Ok(None),
        Extent::Whole => {
            let Some(summary) = log.index().summary(thread)? else { return Ok(None) };
            let participants = log.index().participants(thread, most)?;
            Ok(Some(Seen { summary, participants }))
        }
        Extent::Some => {
            let seen = fold(log, viewer, thread, patience)?;
            Ok(seen.map(|mut seen| {
                seen.participants.truncate(most);
                seen
            }))
        }
    }
}

/// Folds what a viewer sees of a thread; `None` when that is nothing.
fn fold(log: &Log, viewer: &Viewer, thread: &str, patience: &mut Patience) -> Result<Option<Seen>, Problem> {
    let mut summary = Summary::new(thread);
    let mut participants: BTreeMap<String, Participant> = BTreeMap::new();
    let mut scan = Scan::new(Source::Thread(thread.to_owned()), false, 1, log.head().sequence);
    loop {
        if patience.is_over() {
            return Err(too_much());
        }
        let records = scan.next(log)?;
        if records.is_empty() {
            break;
        }
        patience.spend(records.len());
        for stored in records.iter().filter(|r| viewer.sees(r)) {
            take(&mut summary, &mut participants, stored)?;
        }
    }
    if summary.record_count == 0 {
        return Ok(None);
    }
    let mut participants: Vec<Participant> = participants.into_values().collect();
    participants.sort_unstable_by_key(|p| p.first_sequence);
    Ok(Some(Seen { summary, participants }))
}

fn take(
    summary: &mut Summary,
    participants: &mut BTreeMap<String, Participant>,
    stored: &StoredRecord,
) -> Result<(), StoreError> {
    let record = &stored.record;
    let bounds = Bounds { levels: limits::BODY_LEVELS_MAX, values: limits::BODY_VALUES_MAX };
    let body = Json::parse(record.body.as_bytes(), bounds)
        .map_err(|e| StoreError::Damaged(format!("the body of record {}: {e}", stored.sequence)))?;
    let facts = BodyFacts::of(record.act, &body);
    let known = participants.contains_key(&record.actor);
    summary.fold(&Step {
        sequence: stored.sequence,
        id: record.id,
        act: record.act,
        clock: record.clock,
        committed_at: stored.committed_at,
        effect: &facts.effect,
        sees_opening: stored.provenance.sees_opening,
        new_participant: !known,
    });
    participants
        .entry(record.actor.clone())
        .or_insert_with(|| Participant::new(&record.actor))
        .fold(stored.sequence, record.clock);
    Ok(())
}
