//! Rows that hold many entries each: a row for every record in every table costs more than all else that the index does.
//!
//! The blocks of one name do not overlap and stand in order. An entry is in the last block that begins at or before it.

use redb::{ReadableTable, Table};
use serde::{Deserialize, Serialize};

use super::store::{decode, encode};
use crate::log::error::StoreError;

/// Most entries of a block, all of which are read for one of them: less than a microsecond, and few hundred bytes.
const BLOCK_MAX: usize = 128;

/// (number, first position) to the gaps from each position to the next.
pub(super) type PositionKey = (u64, u64);
/// (thread, actor, first clock) to the clocks, each with its position.
pub(super) type ClockKey = (u64, u64, u64);

/// Adds positions, ascending and after all of that number.
pub(super) fn add_positions(
    table: &mut Table<'_, PositionKey, &'static [u8]>,
    number: u64,
    positions: &[u64],
) -> Result<(), StoreError> {
    for block in positions.chunks(BLOCK_MAX) {
        let Some(first) = block.first() else { continue };
        let gaps: Vec<u64> = block.windows(2).map(|pair| pair[1] - pair[0]).collect();
        table.insert((number, *first), encode(&gaps).as_slice())?;
    }
    Ok(())
}

fn positions(first: u64, bytes: &[u8]) -> Result<Vec<u64>, StoreError> {
    let gaps: Vec<u64> = decode(bytes)?;
    let mut at = first;
    let rest = gaps.into_iter().map(|gap| {
        at = at.saturating_add(gap);
        at
    });
    Ok(std::iter::once(first).chain(rest).collect())
}

/// A range of one name's positions.
#[derive(Debug, Clone, Copy)]
pub(super) struct Span {
    pub number: u64,
    pub low: u64,
    pub high: u64,
    pub limit: usize,
    pub descending: bool,
}

impl Span {
    pub(super) fn collect(
        self,
        table: &impl ReadableTable<PositionKey, &'static [u8]>,
    ) -> Result<Vec<u64>, StoreError> {
        let mut found = Vec::new();
        if self.low > self.high {
            return Ok(found);
        }
        // The block that begins before the span may reach into it.
        let before = table.range((self.number, 0)..=(self.number, self.low))?.next_back().transpose()?;
        let start = before.map_or(self.low, |(key, _)| key.value().1);
        let mut blocks = table.range((self.number, start)..=(self.number, self.high))?;
        let mut next = || if self.descending { blocks.next_back() } else { blocks.next() };
        while found.len() < self.limit
            && let Some(row) = next()
        {
            let (key, bytes) = row?;
            let mut block = positions(key.value().1, bytes.value())?;
            block.retain(|at| (self.low..=self.high).contains(at));
            if self.descending {
                block.reverse();
            }
            block.truncate(self.limit - found.len());
            found.append(&mut block);
        }
        Ok(found)
    }
}

/// How many positions a table holds.
pub(super) fn count_positions(
    table: &impl ReadableTable<PositionKey, &'static [u8]>,
) -> Result<u64, StoreError> {
    let mut count = 0;
    for row in table.iter()? {
        count += 1 + decode::<Vec<u64>>(row?.1.value())?.len() as u64;
    }
    Ok(count)
}

/// A clock after the one before it, and the position that has it.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
struct Entry {
    gap: u64,
    position: u64,
}

/// Clocks and positions, ascending.
type Clocks = Vec<(u64, u64)>;

fn clocks(first: u64, bytes: &[u8]) -> Result<Clocks, StoreError> {
    let entries: Vec<Entry> = decode(bytes)?;
    let mut clock = first;
    let absolute = entries.into_iter().map(|entry| {
        clock = clock.saturating_add(entry.gap);
        (clock, entry.position)
    });
    Ok(absolute.collect())
}

type ClockTable<'t> = Table<'t, ClockKey, &'static [u8]>;

fn put_clocks(
    table: &mut ClockTable<'_>,
    member: (u64, u64),
    clocks: &[(u64, u64)],
) -> Result<(), StoreError> {
    for block in clocks.chunks(BLOCK_MAX) {
        let Some((first, _)) = block.first() else { continue };
        let mut before = *first;
        let entry = |(clock, position): &(u64, u64)| {
            let gap = clock - std::mem::replace(&mut before, *clock);
            Entry { gap, position: *position }
        };
        let entries: Vec<Entry> = block.iter().map(entry).collect();
        table.insert((member.0, member.1, *first), encode(&entries).as_slice())?;
    }
    Ok(())
}

/// Adds clocks of one member with their positions. `highest` is the highest that it has.
pub(super) fn add_clocks(
    table: &mut ClockTable<'_>,
    member: (u64, u64),
    highest: Option<u64>,
    mut clocks: Clocks,
) -> Result<(), StoreError> {
    clocks.sort_unstable();
    // Of a clock that is there twice one counts: that some are missing then shows.
    clocks.dedup_by_key(|(clock, _)| *clock);
    let all_after = match (clocks.first(), highest) {
        (Some((lowest, _)), Some(highest)) => *lowest > highest,
        _ => true,
    };
    if all_after {
        return put_clocks(table, member, &clocks);
    }
    clocks.into_iter().try_for_each(|(clock, position)| add_clock(table, member, clock, position))
}

/// Adds a clock that may lie between others.
fn add_clock(
    table: &mut ClockTable<'_>,
    member: (u64, u64),
    clock: u64,
    position: u64,
) -> Result<(), StoreError> {
    let around = block_of(table, member, clock)?.filter(|block| block.last().is_some_and(|l| l.0 >= clock));
    let Some(mut block) = around else { return put_clocks(table, member, &[(clock, position)]) };
    match block.binary_search_by_key(&clock, |(clock, _)| *clock) {
        Ok(at) => block[at].1 = position,
        Err(at) => block.insert(at, (clock, position)),
    }
    // Halves rather than a full block and one of a single entry, which the next would overflow again.
    let (low, high) =
        if block.len() > BLOCK_MAX { block.split_at(BLOCK_MAX / 2) } else { (&*block, &[][..]) };
    put_clocks(table, member, low)?;
    put_clocks(table, member, high)
}

/// The block in which a clock is, if it is anywhere.
fn block_of(
    table: &impl ReadableTable<ClockKey, &'static [u8]>,
    (thread, actor): (u64, u64),
    clock: u64,
) -> Result<Option<Clocks>, StoreError> {
    let row = table.range((thread, actor, 0)..=(thread, actor, clock))?.next_back().transpose()?;
    row.map(|(key, bytes)| clocks(key.value().2, bytes.value())).transpose()
}

/// The position that has a clock.
pub(super) fn find_clock(
    table: &impl ReadableTable<ClockKey, &'static [u8]>,
    member: (u64, u64),
    clock: u64,
) -> Result<Option<u64>, StoreError> {
    let Some(block) = block_of(table, member, clock)? else { return Ok(None) };
    Ok(block.binary_search_by_key(&clock, |(clock, _)| *clock).ok().map(|at| block[at].1))
}

/// How many clocks a table holds.
pub(super) fn count_clocks(table: &impl ReadableTable<ClockKey, &'static [u8]>) -> Result<u64, StoreError> {
    let mut count = 0;
    for row in table.iter()? {
        count += decode::<Vec<Entry>>(row?.1.value())?.len() as u64;
    }
    Ok(count)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;
    use redb::{Database, TableDefinition, backends::InMemoryBackend};

    use super::*;

    const CLOCKS: TableDefinition<'_, ClockKey, &[u8]> = TableDefinition::new("clocks");
    const POSITIONS: TableDefinition<'_, PositionKey, &[u8]> = TableDefinition::new("positions");

    fn database() -> Database {
        Database::builder().create_with_backend(InMemoryBackend::new()).unwrap()
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(32))]

        /// Whatever order clocks come in, in whatever batches, each is found at its position, and none beside it.
        #[test]
        fn clocks_are_found_whatever_order_they_come_in(
            batches in prop::collection::vec((prop::bool::ANY, prop::collection::vec(0..900u64, 1..300)), 1..8),
        ) {
            let db = database();
            let txn = db.begin_write().unwrap();
            {
                let mut table = txn.open_table(CLOCKS).unwrap();
                let mut model: BTreeMap<u64, u64> = BTreeMap::new();
                let mut position = 0;
                for (after, batch) in batches {
                    let highest = model.keys().next_back().copied();
                    let from = if after { highest.map_or(0, |h| h + 1) } else { 0 };
                    let mut new: Clocks = Vec::new();
                    for clock in batch {
                        if new.iter().all(|(known, _)| *known != from + clock) {
                            position += 1;
                            new.push((from + clock, position));
                        }
                    }
                    model.extend(new.iter().copied());
                    add_clocks(&mut table, (7, 8), highest, new).unwrap();
                }
                // Neighbours that must not be seen.
                add_clocks(&mut table, (7, 9), None, vec![(5, 1)]).unwrap();
                add_clocks(&mut table, (6, 8), None, vec![(5, 1)]).unwrap();
                for clock in 0..=model.keys().next_back().unwrap() + 2 {
                    prop_assert_eq!(find_clock(&table, (7, 8), clock).unwrap(), model.get(&clock).copied());
                }
                prop_assert_eq!(count_clocks(&table).unwrap(), model.len() as u64 + 2);
                for row in table.iter().unwrap() {
                    prop_assert!(decode::<Vec<Entry>>(row.unwrap().1.value()).unwrap().len() <= BLOCK_MAX);
                }
            }
        }

        /// Every range of positions is what a list of them gives, whatever blocks they lie in.
        #[test]
        fn ranges_of_positions_are_those_of_a_list(
            batches in prop::collection::vec(prop::collection::vec(1..5u64, 1..600), 1..5),
            ranges in prop::collection::vec((0..4000u64, 0..4000u64, 0..900usize, prop::bool::ANY), 1..40),
        ) {
            let db = database();
            let txn = db.begin_write().unwrap();
            {
                let mut table = txn.open_table(POSITIONS).unwrap();
                let (mut list, mut at) = (Vec::new(), 0);
                for gaps in batches {
                    let batch: Vec<u64> = gaps.into_iter().map(|gap| { at += gap; at }).collect();
                    add_positions(&mut table, 3, &batch).unwrap();
                    list.extend(batch);
                }
                add_positions(&mut table, 2, &[1, 2, 9000]).unwrap();
                add_positions(&mut table, 4, &[1, 2, 9000]).unwrap();
                prop_assert_eq!(count_positions(&table).unwrap(), list.len() as u64 + 6);
                for (low, high, limit, descending) in ranges {
                    let mut wanted: Vec<u64> = list.iter().copied().filter(|p| (low..=high).contains(p)).collect();
                    if descending {
                        wanted.reverse();
                    }
                    wanted.truncate(limit);
                    let span = Span { number: 3, low, high, limit, descending };
                    prop_assert_eq!(span.collect(&table).unwrap(), wanted);
                }
            }
        }
    }
}
