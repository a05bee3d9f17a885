//! The token index against a plain ordered map, with clones, merges and lost scratch states in between.

use std::{collections::BTreeMap, sync::Arc};

use proptest::{collection::vec, prelude::*};
use spl_projections::{
    scope::{Grain, Target, Verb},
    tokens::{Entry, Merge, Merged, State, TokenId, TokenIndex},
};

type Model = BTreeMap<TokenId, Entry>;

#[derive(Debug, Clone)]
enum Step {
    /// Inserts or replaces, in a group of that many on a scratch state, which then replaces the index or is lost.
    Group { inserts: Vec<(TokenId, Entry)>, lost: bool },
    /// Keeps a clone to the end.
    Keep,
    /// Forgets all clones, so that bases are unshared again.
    Forget,
    /// Begins a merge, on a scratch state that may be lost.
    Begin { lost: bool },
    /// Runs one of the merges begun.
    Run(prop::sample::Index),
    /// Finishes one of the merges run, on a scratch state that may be lost.
    Finish { which: prop::sample::Index, lost: bool },
    /// Drops one of the merges begun, and one of those run.
    Abandon(prop::sample::Index),
}

/// Few enough to meet again; sharing hashes, filter bits and shards; or anything.
fn id() -> impl Strategy<Value = TokenId> {
    prop_oneof![
        6 => (0..4u8, 0..4u8, 0..20u8).prop_map(|(hash, shard, tail)| {
            let mut bytes = [0; 32];
            (bytes[0], bytes[4], bytes[31]) = (hash, shard, tail);
            TokenId(bytes)
        }),
        1 => any::<[u8; 32]>().prop_map(TokenId),
    ]
}

fn entry() -> impl Strategy<Value = Entry> {
    let state = prop_oneof![Just(State::Live), Just(State::Revoked), Just(State::Rotated)];
    (any::<u32>(), any::<u32>(), any::<u64>(), any::<u8>(), state, any::<bool>()).prop_map(
        |(account, number, expires_at, scopes, state, narrowed)| Entry {
            account,
            number,
            expires_at,
            scopes,
            state,
            grains: narrowed.then(|| {
                Arc::new(vec![Grain { target: Target::Thread(number.to_string()), verb: Verb::Read }])
            }),
        },
    )
}

fn step() -> impl Strategy<Value = Step> {
    let chance = || proptest::bool::weighted(0.2);
    prop_oneof![
        8 => (vec((id(), entry()), 0..40), chance()).prop_map(|(inserts, lost)| Step::Group { inserts, lost }),
        2 => Just(Step::Keep),
        1 => Just(Step::Forget),
        4 => chance().prop_map(|lost| Step::Begin { lost }),
        4 => any::<prop::sample::Index>().prop_map(Step::Run),
        4 => (any::<prop::sample::Index>(), chance()).prop_map(|(which, lost)| Step::Finish { which, lost }),
        1 => any::<prop::sample::Index>().prop_map(Step::Abandon),
    ]
}

/// All that can be asked gives what the model gives.
fn agrees(index: &TokenIndex, model: &Model, absent: &[TokenId]) -> Result<(), TestCaseError> {
    prop_assert_eq!(index.len(), model.len());
    prop_assert_eq!(index.is_empty(), model.is_empty());
    for (id, entry) in model {
        prop_assert_eq!(index.get(id), Some(entry));
    }
    for id in absent {
        prop_assert_eq!(index.get(id), model.get(id));
    }
    let mut seen = Model::new();
    let mut twice = false;
    index.for_each(|id, entry| twice |= seen.insert(*id, entry.clone()).is_some());
    prop_assert!(!twice);
    prop_assert_eq!(&seen, model);
    Ok(())
}

fn take<T>(list: &mut Vec<T>, which: prop::sample::Index) -> Option<T> {
    (!list.is_empty()).then(|| list.swap_remove(which.index(list.len())))
}

#[derive(Default)]
struct Run {
    index: TokenIndex,
    model: Model,
    kept: Vec<(TokenIndex, Model)>,
    begun: Vec<Merge>,
    run: Vec<Merged>,
}

impl Run {
    fn take_step(&mut self, step: Step) {
        match step {
            Step::Group { inserts, lost } => {
                // Alone, the index is written to in place, as at start.
                let mut scratch = (lost || !self.kept.is_empty()).then(|| self.index.clone());
                let mut model = self.model.clone();
                for (id, entry) in inserts {
                    scratch.as_mut().unwrap_or(&mut self.index).insert(id, entry.clone());
                    model.insert(id, entry);
                }
                if !lost {
                    self.index = scratch.unwrap_or_else(|| std::mem::take(&mut self.index));
                    self.model = model;
                }
            }
            Step::Keep => self.kept.push((self.index.clone(), self.model.clone())),
            Step::Forget => self.kept.clear(),
            Step::Begin { lost } => {
                let mut scratch = self.index.clone();
                self.begun.push(scratch.begin_merge());
                if !lost {
                    self.index = scratch;
                }
            }
            Step::Run(which) => self.run.extend(take(&mut self.begun, which).map(Merge::run)),
            Step::Finish { which, lost } => {
                if let Some(merged) = take(&mut self.run, which) {
                    let mut scratch = self.index.clone();
                    scratch.finish_merge(merged);
                    if !lost {
                        self.index = scratch;
                    }
                }
            }
            Step::Abandon(which) => {
                take(&mut self.begun, which);
                take(&mut self.run, which);
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn answers_as_a_plain_map_does(steps in vec(step(), 1..80), absent in vec(id(), 20)) {
        let mut run = Run::default();
        for step in steps {
            run.take_step(step);
            agrees(&run.index, &run.model, &absent)?;
        }
        for (index, model) in &run.kept {
            agrees(index, model, &absent)?;
        }
    }
}

fn numbered(number: u32) -> (TokenId, Entry) {
    // An odd multiplier: every number another id, spread over shards and filter bits.
    let hash = u64::from(number).wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    let mut bytes = [0; 32];
    bytes[..8].copy_from_slice(&hash.to_le_bytes());
    bytes[8..16].copy_from_slice(&hash.rotate_left(32).wrapping_mul(0xd6e8_feb8_6659_fd93).to_le_bytes());
    let entry = Entry {
        account: number / 10,
        number,
        expires_at: u64::MAX,
        scopes: 1,
        state: State::Live,
        grains: None,
    };
    (TokenId(bytes), entry)
}

#[test]
fn merging_until_nothing_wants_it_keeps_every_token_and_every_snapshot() {
    let mut index = TokenIndex::new();
    (0..20_000).map(numbered).for_each(|(id, entry)| index.insert(id, entry));
    assert!(!index.wants_merge(), "folded alone, all is in the base");
    let mut snapshots = Vec::new();
    let mut merges = 0;
    for number in 20_000..60_000 {
        if number % 5_000 == 0 {
            snapshots.push((number, index.clone()));
        }
        let published = index.clone();
        let (id, entry) = numbered(number);
        index.insert(id, entry);
        drop(published);
        if number % 300 == 0 && index.wants_merge() {
            let merge = index.begin_merge();
            assert!(!index.wants_merge(), "one at a time");
            let (id, mut entry) = numbered(number / 2);
            entry.state = State::Revoked;
            index.insert(id, entry);
            assert!(index.finish_merge(merge.run()));
            assert_eq!(index.get(&numbered(number / 2).0).expect("kept").state, State::Revoked);
            merges += 1;
        }
    }
    assert!(merges > 20, "{merges}");
    while index.wants_merge() {
        let merge = index.begin_merge();
        assert!(index.finish_merge(merge.run()));
        merges += 1;
        assert!(merges < 1000, "a merge empties its delta");
    }
    assert_eq!(index.len(), 60_000);
    for number in 0..60_000 {
        let (id, _) = numbered(number);
        assert_eq!(index.get(&id).expect("there").number, number);
        for (until, snapshot) in &snapshots {
            assert_eq!(snapshot.get(&id).is_some(), number < *until);
        }
    }
}

#[test]
fn a_merge_of_another_line_is_refused() {
    let mut index = TokenIndex::new();
    let (first, entry) = numbered(1);
    index.insert(first, entry);

    // Begun on a scratch state that is lost, with a token that was never committed.
    let mut scratch = index.clone();
    let (lost, entry) = numbered(2);
    scratch.insert(lost, entry);
    let stray = scratch.begin_merge();
    drop(scratch);
    let merge = index.begin_merge();
    assert!(!index.finish_merge(stray.run()));
    assert_eq!(index.get(&lost), None);

    // Taken over by a later one.
    let later = index.begin_merge();
    assert!(!index.finish_merge(merge.run()));
    assert!(index.finish_merge(later.run()));
    assert_eq!(index.len(), 1);
}

#[test]
fn an_abandoned_merge_stands_in_nobodys_way() {
    let mut index = TokenIndex::new();
    let _published = index.clone();
    (0..2_000).map(numbered).for_each(|(id, entry)| index.insert(id, entry));
    assert!(index.wants_merge());
    let merge = index.begin_merge();
    assert!(!index.wants_merge());
    drop(merge);
    assert!(index.wants_merge());
}

/// The base is unshared again while a merge of it waits to be finished: what comes then must not be lost.
#[test]
fn an_insert_between_run_and_finish_survives() {
    let mut index = TokenIndex::new();
    let merged = index.begin_merge().run();
    (0..100).map(numbered).for_each(|(id, entry)| index.insert(id, entry));
    assert!(index.finish_merge(merged));
    assert_eq!(index.len(), 100);
    assert!((0..100).all(|number| index.get(&numbered(number).0).is_some()));
}

#[test]
fn an_id_shows_twelve_hex_digits() {
    assert_eq!(format!("{:?}", TokenId([0xab; 32])), "abababababab");
}
