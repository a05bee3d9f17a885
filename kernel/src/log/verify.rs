//! Verification: everything that can be recomputed is recomputed.

use super::{Log, Reader, error::StoreError};
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
        let reader = self.reader()?;
        let mut findings = Findings { listed: Vec::new(), more: 0 };
        let end = reader.head()?;
        if reader.first_row()?.is_some_and(|first| first != 1) {
            findings.add("there are rows before the first record".into());
        }
        let mut head = Head::EMPTY;
        let mut commits = 0;
        let mut kept_found = kept.is_none_or(|(sequence, chain)| sequence == 0 && chain == Chain::GENESIS);
        while head.sequence < end.sequence {
            match self.verify_commit(&reader, head, &mut findings, visit) {
                Ok(next) => head = next,
                Err(error) => {
                    // Nothing after a broken commit can be placed.
                    findings.add(chain_of_causes(&error));
                    break;
                }
            }
            kept_found |= kept == Some((head.sequence, head.chain));
            commits += 1;
            progress(head.sequence, end.sequence);
        }
        if !kept_found {
            findings.add("the log does not contain the head that was kept: its history was changed".into());
        }
        if findings.listed.is_empty()
            && let Some(problem) = self.count_index(end.sequence)
        {
            findings.add(problem);
        }
        let mut problems = findings.listed;
        if findings.more > 0 {
            problems.push(format!("and {} more", findings.more));
        }
        Ok(Verification { records: head.sequence, commits, head, problems })
    }

    /// What is wrong with how many entries the index has, if anything.
    fn count_index(&self, records: u64) -> Option<String> {
        match self.index().record_counts() {
            // Meanwhile the index may have grown beyond the snapshot.
            Ok(counts) if counts.iter().all(|count| *count >= records && *count == counts[0]) => None,
            Ok(counts) => Some(format!("the index has {counts:?} entries for {records} records")),
            Err(error) => Some(format!("the index cannot be counted: {}", chain_of_causes(&error))),
        }
    }

    fn verify_commit(
        &self,
        reader: &Reader,
        head: Head,
        findings: &mut Findings,
        visit: &mut dyn FnMut(&StoredRecord),
    ) -> Result<Head, StoreError> {
        let first = head.sequence + 1;
        let Some(encoded) = reader.encoded_commit(first)? else {
            return Err(StoreError::Damaged(format!("no commit starts at record {first}")));
        };
        let chain = head.chain.after(&encoded.bytes);
        if chain != encoded.info.chain {
            findings.add(format!("the chain does not hold at record {first}"));
        }
        let (committed_at, records) =
            decode_commit(&encoded.bytes).map_err(|source| StoreError::Row { sequence: first, source })?;
        if committed_at < head.committed_at {
            findings.add(format!("time goes back at record {first}"));
        }
        for stored in &records {
            self.verify_record(stored, findings)?;
            visit(stored);
        }
        Ok(Head { sequence: encoded.info.last_sequence, chain: encoded.info.chain, committed_at })
    }

    fn verify_record(&self, stored: &StoredRecord, findings: &mut Findings) -> Result<(), StoreError> {
        let (at, record) = (stored.sequence, &stored.record);
        if let Err(refusal) = recheck(record) {
            findings.add(format!("record {at}: {}", refusal.message));
        }
        if self.index().sequence_of(&record.id)? != Some(at) {
            findings.add(format!("the index does not find record {at} by its id"));
        }
        let holder = self.index().clock_holder(&record.thread, &record.actor, record.clock)?;
        if holder != Some(at) {
            findings.add(format!("the index does not find record {at} by its clock"));
        }
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
