//! Reads over tail and file as one.

use std::{
    collections::{BTreeMap, HashSet},
    sync::atomic::Ordering,
};

use super::{
    Index,
    blocks::Span,
    store::{View, step},
};
use crate::{
    id::RecordId,
    log::error::{StoreError, guarded},
    thread::{Participant, Summary},
};

/// Which of one name's records are wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Range {
    /// Lowest position, inclusive.
    pub low: u64,
    /// Highest position, inclusive.
    pub high: u64,
    /// Most positions to return.
    pub limit: usize,
    /// Highest first.
    pub descending: bool,
}

impl Range {
    /// The first `limit` after `after`, ascending.
    #[must_use]
    pub fn after(after: u64, limit: usize) -> Self {
        Self { low: after.saturating_add(1), high: u64::MAX, limit, descending: false }
    }
}

enum Name<'a> {
    Thread(&'a str),
    Actor(&'a str),
}

impl Index {
    /// One read of the file, whose failure is remembered.
    fn reading<T>(&self, read: impl FnOnce() -> Result<T, StoreError>) -> Result<T, StoreError> {
        guarded(read).inspect_err(|_| self.unreadable.store(true, Ordering::Release))
    }

    /// Whether a read of the index has failed since it was opened. What it says of the rest of the log is then
    /// not to be relied on, whatever its memory still holds.
    #[must_use]
    pub fn is_unreadable(&self) -> bool {
        self.unreadable.load(Ordering::Acquire)
    }

    /// The position of a record.
    ///
    /// # Errors
    /// When the index file cannot be read.
    pub fn sequence_of(&self, id: &RecordId) -> Result<Option<u64>, StoreError> {
        self.reading(|| {
            let base = {
                let tail = self.tail();
                if let Some(sequence) = tail.by_id(id) {
                    return Ok(Some(sequence));
                }
                tail.base
            };
            // One generation more, for what moved into the file meanwhile.
            self.store.view().id(id.as_bytes(), base + (1 << 18))
        })
    }

    /// Positions of a thread's records.
    ///
    /// # Errors
    /// As above.
    pub fn thread(&self, thread: &str, range: Range) -> Result<Vec<u64>, StoreError> {
        self.named(&Name::Thread(thread), range)
    }

    /// Positions of an actor's records.
    ///
    /// # Errors
    /// As above.
    pub fn actor(&self, actor: &str, range: Range) -> Result<Vec<u64>, StoreError> {
        self.named(&Name::Actor(actor), range)
    }

    fn named(&self, name: &Name<'_>, range: Range) -> Result<Vec<u64>, StoreError> {
        self.reading(|| {
            let (base, recent) = {
                let tail = self.tail();
                let sequences = match name {
                    Name::Thread(thread) => tail.thread(thread),
                    Name::Actor(actor) => tail.actor(actor),
                };
                let recent: Vec<u64> = match sequences {
                    None => Vec::new(),
                    Some(all) => {
                        let start = all.partition_point(|s| *s < range.low);
                        let end = all.partition_point(|s| *s <= range.high).max(start);
                        let within = all.range(start..end).copied();
                        if range.descending {
                            within.rev().take(range.limit).collect()
                        } else {
                            within.take(range.limit).collect()
                        }
                    }
                };
                (tail.base, recent)
            };
            let older = |limit| -> Result<Vec<u64>, StoreError> {
                let view = self.store.view();
                let number = match name {
                    Name::Thread(thread) => view.thread_number(thread)?,
                    Name::Actor(actor) => view.actor_number(actor)?,
                };
                let Some(number) = number else { return Ok(Vec::new()) };
                let span = Span {
                    number,
                    low: range.low,
                    high: range.high.min(base),
                    limit,
                    descending: range.descending,
                };
                match name {
                    Name::Thread(_) => view.by_thread(span),
                    Name::Actor(_) => view.by_actor(span),
                }
            };
            if range.descending {
                let mut found = recent;
                if found.len() < range.limit {
                    found.extend(older(range.limit - found.len())?);
                }
                Ok(found)
            } else {
                let mut found = older(range.limit)?;
                found.extend(recent.into_iter().take(range.limit - found.len()));
                Ok(found)
            }
        })
    }

    /// The position that holds a clock, if any.
    ///
    /// # Errors
    /// As above.
    pub fn clock_holder(&self, thread: &str, actor: &str, clock: u64) -> Result<Option<u64>, StoreError> {
        self.reading(|| {
            if let Some(sequence) = self.tail().member(thread, actor).and_then(|clocks| clocks.get(&clock)) {
                return Ok(Some(*sequence));
            }
            let view = self.store.view();
            match (view.thread_number(thread)?, view.actor_number(actor)?) {
                (Some(thread), Some(actor)) => view.clock(thread, actor, clock),
                _ => Ok(None),
            }
        })
    }

    /// The highest clock of an actor on a thread, if it wrote there.
    ///
    /// # Errors
    /// As above.
    pub fn highest_clock(&self, thread: &str, actor: &str) -> Result<Option<u64>, StoreError> {
        self.reading(|| {
            // Held until it is kept: no record comes in between that it would miss.
            let mut highest = self.highest();
            if let Some(known) = highest.get(thread, actor) {
                return Ok(Some(known));
            }
            let recent =
                self.tail().member(thread, actor).and_then(|clocks| clocks.keys().next_back().copied());
            let view = self.store.view();
            let older = match (view.thread_number(thread)?, view.actor_number(actor)?) {
                (Some(thread), Some(actor)) => view.member(thread, actor)?.map(|part| part.last_clock),
                _ => None,
            };
            let found = recent.max(older);
            if let Some(clock) = found {
                highest.keep(thread, actor, clock);
            }
            Ok(found)
        })
    }

    /// A thread's summary, if it has records.
    ///
    /// Lists of summaries ask here for each: the tail must be read before the file, or what moves between them
    /// in the meantime would be in neither.
    ///
    /// # Errors
    /// As above.
    pub fn summary(&self, thread: &str) -> Result<Option<Summary>, StoreError> {
        self.reading(|| {
            let recent = self.recent(thread);
            let view = self.store.view();
            let number = view.thread_number(thread)?;
            fold_recent(&view, thread, number, &recent)
        })
    }

    fn recent(&self, thread: &str) -> Vec<std::sync::Arc<super::TailEntry>> {
        let tail = self.tail();
        tail.thread(thread)
            .map(|sequences| sequences.iter().filter_map(|s| tail.entry(*s).cloned()).collect())
            .unwrap_or_default()
    }

    /// The parts of up to `limit` actors in a thread, by first record.
    ///
    /// # Errors
    /// As above.
    pub fn participants(&self, thread: &str, limit: usize) -> Result<Vec<Participant>, StoreError> {
        self.reading(|| {
            let recent = self.recent(thread);
            let view = self.store.view();
            let number = view.thread_number(thread)?;
            let stored = match number {
                Some(number) => view.members(number, limit)?,
                None => Vec::new(),
            };
            let mut parts: BTreeMap<String, Participant> =
                stored.into_iter().map(|p| (p.actor.clone(), p)).collect();
            for entry in &recent {
                if !parts.contains_key(&*entry.actor) {
                    // In the file, and yet not among the first: so it is not among them now.
                    if is_member(&view, number, &entry.actor)? {
                        continue;
                    }
                    parts.insert(entry.actor.to_string(), Participant::new(&entry.actor));
                }
                if let Some(part) = parts.get_mut(&*entry.actor) {
                    part.fold(entry.sequence, entry.clock);
                }
            }
            let mut parts: Vec<_> = parts.into_values().collect();
            parts.sort_by_key(|p| p.first_sequence);
            parts.truncate(limit);
            Ok(parts)
        })
    }

    /// Summaries of up to `limit` threads whose first record comes after `after`, by first record.
    ///
    /// # Errors
    /// As above.
    pub fn threads(&self, after: u64, limit: usize) -> Result<Vec<Summary>, StoreError> {
        self.reading(|| {
            let (base, recent) = {
                let tail = self.tail();
                (tail.base, tail.threads_after(after))
            };
            let view = self.store.view();
            let mut found = Vec::new();
            for stored in view.summaries(after, limit)? {
                // Beyond the tail's start the tail speaks, and speaks of them below.
                if stored.first_sequence <= base {
                    found.extend(self.summary(&stored.thread)?);
                }
            }
            for (_, thread) in recent {
                if found.len() >= limit {
                    break;
                }
                if view.thread_number(&thread)?.is_none_or(|number| number > base) {
                    found.extend(self.summary(&thread)?);
                }
            }
            found.truncate(limit);
            Ok(found)
        })
    }

    /// Summaries of up to `limit` threads that are tasks, whose opening record comes after `after`, by
    /// opening record.
    ///
    /// # Errors
    /// As above.
    pub fn tasks(&self, after: u64, limit: usize) -> Result<Vec<Summary>, StoreError> {
        self.reading(|| {
            let (base, openers): (u64, Vec<(u64, std::sync::Arc<str>)>) = {
                let tail = self.tail();
                let openers = tail.task_openers.iter().filter(|s| **s > after);
                (tail.base, openers.filter_map(|s| tail.entry(*s).map(|e| (*s, e.thread.clone()))).collect())
            };
            let view = self.store.view();
            let mut found = Vec::new();
            for (_, number) in view.tasks(after.saturating_add(1), base, limit)? {
                if let Some(stored) = view.summary(number)? {
                    found.extend(self.summary(&stored.thread)?);
                }
            }
            for (opening, thread) in openers {
                if found.len() >= limit {
                    break;
                }
                let summary = self.summary(&thread)?;
                // Only a thread's first INTEND makes it a task.
                found.extend(
                    summary.filter(|s| s.task.is_some() && s.opening.map(|(_, at)| at) == Some(opening)),
                );
            }
            Ok(found)
        })
    }

    /// Records that the index knows, in each of its per-record tables; all equal when it is sound.
    ///
    /// # Errors
    /// As above.
    pub fn record_counts(&self) -> Result<[u64; 4], StoreError> {
        self.reading(|| {
            let tail = self.tail();
            let view = self.store.view();
            // A batch may be in the file and not yet dropped from the tail.
            let behind = tail.last().saturating_sub(view.reached()?);
            Ok(view.row_counts()?.map(|rows| rows + behind))
        })
    }
}

/// The stored summary with the tail's entries folded in; those already in it change nothing.
fn fold_recent(
    view: &View,
    thread: &str,
    number: Option<u64>,
    recent: &[std::sync::Arc<super::TailEntry>],
) -> Result<Option<Summary>, StoreError> {
    let stored = match number {
        Some(number) => view.summary(number)?,
        None => None,
    };
    let mut summary = stored.unwrap_or_else(|| Summary::new(thread));
    let mut seen: HashSet<&str> = HashSet::new();
    for entry in recent {
        let new_participant = seen.insert(&entry.actor) && !is_member(view, number, &entry.actor)?;
        summary.fold(&step(entry, new_participant));
    }
    Ok((summary.record_count > 0).then_some(summary))
}

/// Whether the file knows a part of this actor in the thread.
fn is_member(view: &View, thread_number: Option<u64>, actor: &str) -> Result<bool, StoreError> {
    match (thread_number, view.actor_number(actor)?) {
        (Some(thread), Some(actor)) => Ok(view.member(thread, actor)?.is_some()),
        _ => Ok(false),
    }
}
