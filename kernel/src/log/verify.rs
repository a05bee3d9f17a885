//! Verification: everything that can be recomputed is recomputed.

use std::collections::{BTreeMap, HashMap};

use super::{Index, Log, ReadOnlyLog, Reader, error::StoreError};
use crate::{
    commit::{Chain, Head, decode_commit},
    draft::recheck,
    record::StoredRecord,
    time::UnixMillis,
};

/// Problems that are listed one by one; more are counted.
const PROBLEMS_LISTED: usize = 20;

/// What a verification found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verification {
    /// Records checked.
    pub records: u64,
    /// Commits checked.
    pub commits: u64,
    /// Where the log ended.
    pub head: Head,
    /// What is wrong, in words; empty when the log is sound.
    pub problems: Vec<String>,
}

#[derive(Default)]
struct Findings {
    listed: Vec<String>,
    more: usize,
}

impl Findings {
    fn add(&mut self, problem: String) {
        if self.listed.len() < PROBLEMS_LISTED {
            self.listed.push(problem);
        } else {
            self.more += 1;
        }
    }
}

impl Log {
    /// Recomputes every id and the chain, checks times, positions and that the indexes agree with the log.
    /// `kept` is a head that somebody kept earlier: the log must contain it. `visit` sees every record in
    /// order; `progress` hears (records done, records in all).
    ///
    /// # Errors
    /// When the file cannot be read at all; damage is a problem in the report.
    pub fn verify(
        &self,
        kept: Option<(u64, Chain)>,
        visit: &mut dyn FnMut(&StoredRecord),
        progress: &mut dyn FnMut(u64, u64),
    ) -> Result<Verification, StoreError> {
        let mut index = InIndex(self.index());
        Verifier { reader: self.reader()?, once: &mut index, visit, findings: Findings::default() }
            .run(kept, progress)
    }
}

impl ReadOnlyLog {
    /// As [`Log::verify`]. There is no index that could disagree with the log, but one could be built: each id and each
    /// clock is there once.
    ///
    /// # Errors
    /// As there.
    pub fn verify(
        &self,
        kept: Option<(u64, Chain)>,
        visit: &mut dyn FnMut(&StoredRecord),
        progress: &mut dyn FnMut(u64, u64),
    ) -> Result<Verification, StoreError> {
        let mut clocks = Clocks::default();
        Verifier { reader: self.reader()?, once: &mut clocks, visit, findings: Findings::default() }
            .run(kept, progress)
    }
}

/// What shows that each id and each clock is there once.
trait Once {
    /// Takes in the next record.
    fn take(&mut self, stored: &StoredRecord, findings: &mut Findings) -> Result<(), StoreError>;

    /// All records up to `sequence` were taken in, and nothing is wrong so far.
    fn end(&mut self, sequence: u64, findings: &mut Findings);
}

/// An index, whose answers are compared with the log.
struct InIndex<'a>(&'a Index);

impl Once for InIndex<'_> {
    fn take(&mut self, stored: &StoredRecord, findings: &mut Findings) -> Result<(), StoreError> {
        let (at, record) = (stored.sequence, &stored.record);
        if self.0.sequence_of(&record.id)? != Some(at) {
            findings.add(format!("the index does not find record {at} by its id"));
        }
        if self.0.clock_holder(&record.thread, &record.actor, record.clock)? != Some(at) {
            findings.add(format!("the index does not find record {at} by its clock"));
        }
        Ok(())
    }

    fn end(&mut self, sequence: u64, findings: &mut Findings) {
        match self.0.record_counts() {
            // Meanwhile the index may have grown beyond the snapshot.
            Ok(counts) if counts.iter().all(|count| *count >= sequence && *count == counts[0]) => {}
            Ok(counts) => findings.add(format!("the index has {counts:?} entries for {sequence} records")),
            Err(error) => findings.add(format!("the index cannot be counted: {}", chain_of_causes(&error))),
        }
    }
}

/// The clocks of each actor on each thread. Of ids nothing is kept: records that have the ids of their fields, which is
/// checked, have one id only if they have one thread, actor and clock.
#[derive(Default)]
struct Clocks(HashMap<String, HashMap<String, Spans>>);

impl Once for Clocks {
    fn take(&mut self, stored: &StoredRecord, findings: &mut Findings) -> Result<(), StoreError> {
        let (at, record) = (stored.sequence, &stored.record);
        let known = self.0.get_mut(&record.thread).and_then(|of| of.get_mut(&record.actor));
        let spans = match known {
            Some(spans) => spans,
            None => self.0.entry(record.thread.clone()).or_default().entry(record.actor.clone()).or_default(),
        };
        if !spans.insert(record.clock) {
            findings.add(format!("record {at} has a clock that its actor has on its thread already"));
        }
        Ok(())
    }

    fn end(&mut self, _: u64, _: &mut Findings) {}
}

/// Numbers, as spans of (first, last) that do not touch: clocks mostly follow each other, and are few of them.
#[derive(Default)]
struct Spans(BTreeMap<u64, u64>);

impl Spans {
    /// Takes a number in; false when it was there.
    fn insert(&mut self, number: u64) -> bool {
        let mut first = number;
        if let Some((from, to)) = self.0.range(..=number).next_back() {
            if number <= *to {
                return false;
            }
            if number - 1 == *to {
                first = *from;
            }
        }
        let last = number.checked_add(1).and_then(|next| self.0.remove(&next)).unwrap_or(number);
        self.0.insert(first, last);
        true
    }
}

struct Verifier<'a> {
    reader: Reader,
    once: &'a mut dyn Once,
    visit: &'a mut dyn FnMut(&StoredRecord),
    findings: Findings,
}

impl Verifier<'_> {
    fn run(
        mut self,
        kept: Option<(u64, Chain)>,
        progress: &mut dyn FnMut(u64, u64),
    ) -> Result<Verification, StoreError> {
        let end = self.reader.head()?;
        if self.reader.first_row()?.is_some_and(|first| first != 1) {
            self.findings.add("there are rows before the first record".into());
        }
        let mut head = Head::EMPTY;
        let mut commits = 0;
        let mut kept_found = kept.is_none_or(|(sequence, chain)| sequence == 0 && chain == Chain::GENESIS);
        while head.sequence < end.sequence {
            match self.commit(head) {
                Ok(next) => head = next,
                Err(error) => {
                    // Nothing after a broken commit can be placed.
                    self.findings.add(chain_of_causes(&error));
                    break;
                }
            }
            kept_found |= kept == Some((head.sequence, head.chain));
            commits += 1;
            progress(head.sequence, end.sequence);
        }
        if !kept_found {
            self.findings
                .add("the log does not contain the head that was kept: its history was changed".into());
        }
        if self.findings.listed.is_empty() {
            self.once.end(end.sequence, &mut self.findings);
        }
        let mut problems = self.findings.listed;
        if self.findings.more > 0 {
            problems.push(format!("and {} more", self.findings.more));
        }
        Ok(Verification { records: head.sequence, commits, head, problems })
    }

    fn commit(&mut self, head: Head) -> Result<Head, StoreError> {
        let first = head.sequence + 1;
        let Some(encoded) = self.reader.encoded_commit(first)? else {
            return Err(StoreError::Damaged(format!("no commit starts at record {first}")));
        };
        let chain = head.chain.after(&encoded.bytes);
        if chain != encoded.info.chain {
            self.findings.add(format!("the chain does not hold at record {first}"));
        }
        let (committed_at, records) =
            decode_commit(&encoded.bytes).map_err(|source| StoreError::Row { sequence: first, source })?;
        if committed_at < head.committed_at {
            self.findings.add(format!("time goes back at record {first}"));
        }
        for stored in &records {
            self.record(stored)?;
            (self.visit)(stored);
        }
        Ok(Head { sequence: encoded.info.last_sequence, chain: encoded.info.chain, committed_at })
    }

    fn record(&mut self, stored: &StoredRecord) -> Result<(), StoreError> {
        let (at, findings) = (stored.sequence, &mut self.findings);
        if let Err(refusal) = recheck(&stored.record) {
            findings.add(format!("record {at}: {}", refusal.message));
        }
        self.once.take(stored, findings)?;
        if stored.committed_at == UnixMillis(0) {
            findings.add(format!("record {at} has no time"));
        }
        Ok(())
    }
}

/// An error and its causes in one line.
#[must_use]
pub fn chain_of_causes(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text.push_str(": ");
        text.push_str(&error.to_string());
        cause = error.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::Spans;

    /// In any order, with the ends of what a number can be.
    #[test]
    fn spans_hold_each_number_once() {
        let mut state = 7_u64;
        let mut next = move |below: u64| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (state >> 33) % below
        };
        for _ in 0..200 {
            let (mut spans, mut plain) = (Spans::default(), BTreeSet::new());
            for _ in 0..100 {
                let number = if next(2) == 0 { next(60) } else { u64::MAX - next(20) };
                assert_eq!(spans.insert(number), plain.insert(number), "{number} into {plain:?}");
            }
            let starts =
                plain.iter().filter(|n| n.checked_sub(1).is_none_or(|before| !plain.contains(&before)));
            assert_eq!(spans.0.keys().collect::<Vec<_>>(), starts.collect::<Vec<_>>());
        }
    }
}
