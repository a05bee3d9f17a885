//! Storing checked records, in batches.

use std::{collections::BTreeSet, time::Duration};

use super::check::Checked;
use crate::{
    client::{Answer, Client},
    clock,
    commands::record::stored_records,
    entropy,
    error::{Failure, Kind},
    output,
    progress::Progress,
    text,
    view::Record,
};

/// Most records of one batch.
const BATCH_RECORDS_MAX: usize = 500;
/// Most bytes of one batch; an instance takes 8 MiB.
const BATCH_BYTES_MAX: usize = 4 * 1024 * 1024;
/// How often a batch is sent again to an instance that is busy.
const BUSY_TRIES_MAX: u32 = 30;
/// Longest wait between two tries.
const BUSY_WAIT_MAX: Duration = Duration::from_secs(10);

/// What became of the records that were sent.
#[derive(Debug, Default)]
pub(super) struct Posted {
    /// Records stored now.
    pub(super) imported: u64,
    /// Records that were stored before.
    pub(super) already_stored: u64,
    /// Records that the instance refused; only where bad lines are left out.
    pub(super) refused: u64,
}

/// Sends records in batches.
pub(super) struct Poster<'a> {
    client: &'a Client,
    skip_invalid: bool,
    batch: Vec<(u64, Checked)>,
    bytes: usize,
    posted: Posted,
    /// The highest sequence seen: what is above it is new.
    head: u64,
    total: u64,
    progress: Progress,
}

impl<'a> Poster<'a> {
    /// A poster for `total` records.
    pub(super) fn new(client: &'a Client, skip_invalid: bool, total: u64) -> Self {
        Self {
            client,
            skip_invalid,
            batch: Vec::new(),
            bytes: 0,
            posted: Posted::default(),
            head: 0,
            total,
            progress: Progress::counted("importing", total, "records"),
        }
    }

    /// Takes the record of a line.
    pub(super) fn take(&mut self, line: u64, record: Checked) -> Result<(), Failure> {
        let size = record.envelope.len() + 1;
        if self.batch.len() >= BATCH_RECORDS_MAX || self.bytes + size > BATCH_BYTES_MAX {
            self.flush()?;
        }
        self.bytes += size;
        self.batch.push((line, record));
        Ok(())
    }

    /// Sends what is left.
    pub(super) fn finish(mut self) -> Result<Posted, Failure> {
        self.flush()?;
        self.progress.finish();
        Ok(self.posted)
    }

    fn flush(&mut self) -> Result<(), Failure> {
        let batch = std::mem::take(&mut self.batch);
        self.bytes = 0;
        if batch.is_empty() {
            return Ok(());
        }
        match self.send(&batch) {
            Err(failure) if self.skip_invalid && failure.kind() == Kind::Refused && !failure.is_busy() => {
                self.send_one_by_one(batch)?;
            }
            sent => sent.map_err(|failure| self.explain(failure))?,
        }
        let done = self.posted.imported + self.posted.already_stored + self.posted.refused;
        self.progress.at(done, self.total);
        Ok(())
    }

    /// A batch is refused as a whole; its good records are stored on their own.
    fn send_one_by_one(&mut self, batch: Vec<(u64, Checked)>) -> Result<(), Failure> {
        for (line, record) in batch {
            match self.send(&[(line, record)]) {
                Err(failure) if failure.kind() == Kind::Refused && !failure.is_busy() => {
                    self.posted.refused += 1;
                    output::note(format_args!("line {line}: {}", text::safe(failure.message())));
                }
                sent => sent.map_err(|failure| self.explain(failure))?,
            }
        }
        Ok(())
    }

    fn explain(&self, failure: Failure) -> Failure {
        let done = self.posted.imported + self.posted.already_stored;
        if done == 0 {
            return failure;
        }
        let stored = text::counted(done, "record");
        failure.hint(format!("{stored} are stored; running the import again goes on from there"))
    }

    fn send(&mut self, batch: &[(u64, Checked)]) -> Result<(), Failure> {
        let envelopes: Vec<&str> = batch.iter().map(|(_, record)| record.envelope.as_str()).collect();
        let body = format!("{{\"records\":[{}]}}", envelopes.join(","));
        let answer = self.post_patiently(&body)?;
        let stored = stored_records(&answer)?;
        check_ids(batch, &stored)?;
        let new =
            if answer.status == reqwest::StatusCode::CREATED { count_new(&stored, self.head) } else { 0 };
        self.head = stored.iter().map(|record| record.sequence).fold(self.head, u64::max);
        self.posted.imported += new;
        self.posted.already_stored += (batch.len() as u64).saturating_sub(new);
        Ok(())
    }

    /// Sends a batch, and sends it again where the instance is busy.
    fn post_patiently(&self, body: &str) -> Result<Answer, Failure> {
        let mut tries = 0;
        loop {
            let answer = self.client.post(&["v1", "records"]).json_text(body.to_owned()).send_any()?;
            if answer.status.is_success() {
                return Ok(answer);
            }
            let failure = Failure::from_answer(answer.status.as_u16(), &answer.body);
            tries += 1;
            if !failure.is_busy() || tries >= BUSY_TRIES_MAX {
                return Err(failure);
            }
            let asked = answer.retry_after.unwrap_or_default().min(BUSY_WAIT_MAX);
            clock::back_off(asked + entropy::jitter(Duration::from_millis(500))?);
        }
    }
}

/// The instance must have stored what was checked.
fn check_ids(batch: &[(u64, Checked)], stored: &[Record]) -> Result<(), Failure> {
    if batch.len() != stored.len() {
        return Err(Failure::refused(format!(
            "{} records were sent, and the instance answered with {}",
            batch.len(),
            stored.len()
        )));
    }
    for ((line, sent), stored) in batch.iter().zip(stored) {
        if sent.id.to_string() != stored.id {
            return Err(Failure::refused(format!(
                "line {line}: the instance stored it as {}, but its content has the id {}",
                stored.id, sent.id
            )));
        }
    }
    Ok(())
}

/// How many records of an answer are new. An answer does not say so; but one batch is one commit, at the end of
/// the log: its new records are those above the head known before, without a gap up to the highest, and of one
/// time.
fn count_new(stored: &[Record], head: u64) -> u64 {
    let Some(last) = stored.iter().max_by_key(|record| record.sequence) else { return 0 };
    let fresh: BTreeSet<u64> = stored
        .iter()
        .filter(|record| record.sequence > head && record.created_at == last.created_at)
        .map(|record| record.sequence)
        .collect();
    fresh.iter().rev().zip((0..=last.sequence).rev()).take_while(|(have, want)| **have == *want).count()
        as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stored(sequences: &[u64]) -> Vec<Record> {
        let record = |&sequence| Record { sequence, ..Record::default() };
        sequences.iter().map(record).collect()
    }

    #[test]
    fn new_records_are_the_unbroken_end() {
        assert_eq!(count_new(&stored(&[1, 2, 3]), 0), 3);
        assert_eq!(count_new(&stored(&[2, 7, 8, 9]), 0), 3);
        assert_eq!(count_new(&stored(&[6, 7, 8]), 6), 2);
        assert_eq!(count_new(&stored(&[8, 8, 9]), 7), 2);
        assert_eq!(count_new(&[], 0), 0);
    }
}
