//! Every token by its digest: a lookup costs what a plain hash map costs, a clone costs next to nothing, and
//! stays as it was.
//!
//! A *shard* holds a sixteenth of them: a large immutable *base*, a hash table that all clones share,
//! and a small persistent *delta* of what came or changed since. Beside each base stands a bit filter of what
//! may be in a delta over it, so that nearly every lookup goes to the base alone. Bits are only ever added,
//! before what they announce can be seen: an older clone meets at worst a bit that says nothing to it, and
//! then probes its delta in vain.
//!
//! A delta that has grown is merged into a new base: [`TokenIndex::begin_merge`] takes what there is of one
//! shard, [`Merge::run`] copies it on another thread, [`TokenIndex::finish_merge`] puts the copy in place and
//! keeps in the delta what came meanwhile. One shard at a time: a merge holds a sixteenth of the memory twice.

use std::{
    fmt,
    hash::{BuildHasherDefault, Hash, Hasher},
    mem,
    sync::{
        Arc, Weak,
        atomic::{AtomicU64, Ordering},
    },
};

use hashbrown::{HashTable, hash_table};
use imbl::{GenericHashMap, shared_ptr::DefaultSharedPtr};
use serde::Serialize;

use crate::scope::Grain;

const SHARDS: usize = 16;
/// Words of a shard's filter: 2 KiB, so that the filters of all shards fit a first-level cache.
const FILTER_WORDS: usize = 256;
/// A delta is merged when it has this many entries, over a small base sooner: at most one in sixteen lookups
/// of the base then meets a bit by chance.
const LARGEST_DELTA: usize = 1024;
const SMALLEST_DELTA: usize = 32;

/// What an [`Index`] finds things by.
pub trait Key: Copy + Eq + Hash {
    /// A hash, uniform in all its bits; [`Hash`] writes this number and nothing else.
    fn spread(&self) -> u64;
}

/// The shard of a hash, and its place in that shard's filter: a word, and a bit of that. From bits that hash
/// tables make no use of, so that hashes stay uniform within a shard.
fn place(hash: u64) -> (usize, usize, u64) {
    let [.., shard, word, bit, _] = hash.to_le_bytes();
    (usize::from(shard) % SHARDS, usize::from(word) % FILTER_WORDS, 1 << (bit % 64))
}

/// The name of a token: the SHA-256 of its text, of which nothing else is kept.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct TokenId(pub [u8; 32]);

impl Key for TokenId {
    /// Bytes of a digest are uniform.
    #[inline]
    fn spread(&self) -> u64 {
        let [a, b, c, d, e, f, g, h, ..] = self.0;
        u64::from_le_bytes([a, b, c, d, e, f, g, h])
    }
}

impl Hash for TokenId {
    fn hash<H: Hasher>(&self, state: &mut H) {
        state.write_u64(self.spread());
    }
}

impl fmt::Debug for TokenId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().take(6).try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

/// Takes the hash that a [`Key`] gives as it is.
#[derive(Clone, Copy, Default)]
struct Taken(u64);

impl Hasher for Taken {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        // Never called: a key writes one number.
        for byte in bytes {
            self.0 = self.0.rotate_left(8) ^ u64::from(*byte);
        }
    }

    fn write_u64(&mut self, hash: u64) {
        self.0 = hash;
    }
}

/// Whether a token still opens anything.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[repr(u8)]
pub enum State {
    /// It does, until it expires.
    Live,
    /// Ended by a revocation.
    Revoked,
    /// Ended by a rotation, which put another in its place.
    Rotated,
}

/// What the check needs to know of a token.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Entry {
    /// The account it belongs to, by number.
    pub account: u32,
    /// Its own number, in the order of minting.
    pub number: u32,
    /// From when on it is refused, in milliseconds; `u64::MAX` is never.
    pub expires_at: u64,
    /// A bit for each coarse scope.
    pub scopes: u8,
    /// Whether it was ended.
    pub state: State,
    /// What it is narrowed to; a token without grains reaches all that its scopes say.
    pub grains: Option<Arc<Vec<Grain>>>,
}

/// One thing in a base. A token is one cache line: a check waits for one, and memory is promised by the token.
#[derive(Clone)]
#[repr(align(64))]
struct Slot<K, V> {
    id: K,
    entry: V,
}

const _: () = assert!(mem::size_of::<Slot<TokenId, Entry>>() == 64);

/// What is in a delta, and how many merges were begun before it came.
#[derive(Clone)]
struct Recent<V> {
    epoch: u64,
    entry: V,
}

type Delta<K, V> = GenericHashMap<K, Recent<V>, BuildHasherDefault<Taken>, DefaultSharedPtr>;

/// The large part of a shard. Aligned, so that counting its owners does not take the line away from readers.
#[repr(align(64))]
struct Base<K, V> {
    table: HashTable<Slot<K, V>>,
    /// What a delta over this base may hold. Relaxed is enough: whoever is handed a delta was handed it by
    /// something that orders memory.
    filter: [AtomicU64; FILTER_WORDS],
}

impl<K: Key, V> Base<K, V> {
    fn new(table: HashTable<Slot<K, V>>) -> Self {
        Self { table, filter: [const { AtomicU64::new(0) }; FILTER_WORDS] }
    }

    #[inline]
    fn get(&self, id: &K) -> Option<&V> {
        self.table.find(id.spread(), |slot| slot.id == *id).map(|slot| &slot.entry)
    }

    fn announce(&self, id: &K) {
        let (_, word, bit) = place(id.spread());
        self.filter[word].fetch_or(bit, Ordering::Relaxed);
    }

    #[inline]
    fn may_be_recent(&self, id: &K) -> bool {
        let (_, word, bit) = place(id.spread());
        self.filter[word].load(Ordering::Relaxed) & bit != 0
    }
}

/// Inserts or replaces. Whether it is new.
fn put<K: Key, V>(table: &mut HashTable<Slot<K, V>>, id: K, entry: V) -> bool {
    match table.entry(id.spread(), |slot| slot.id == id, |slot| slot.id.spread()) {
        hash_table::Entry::Occupied(mut there) => {
            there.get_mut().entry = entry;
            false
        }
        hash_table::Entry::Vacant(free) => {
            free.insert(Slot { id, entry });
            true
        }
    }
}

#[derive(Clone)]
struct Shard<K, V> {
    base: Arc<Base<K, V>>,
    delta: Delta<K, V>,
}

impl<K: Key, V: Clone> Shard<K, V> {
    fn new() -> Self {
        Self { base: Arc::new(Base::new(HashTable::new())), delta: Delta::default() }
    }

    fn wants_merge(&self) -> bool {
        self.delta.len() >= (self.base.table.len() / 8).clamp(SMALLEST_DELTA, LARGEST_DELTA)
    }
}

/// Things that are looked up far more often than they change. A clone is a snapshot.
#[derive(Clone)]
pub struct Index<K = TokenId, V = Entry> {
    shards: Arc<[Shard<K, V>; SHARDS]>,
    len: usize,
    /// Merges begun: what a delta takes in after the last of them carries this number.
    epoch: u64,
    /// The merge under way, if any; gone when it was abandoned.
    merging: Weak<Ticket>,
}

/// All tokens there ever were, by id.
pub type TokenIndex = Index<TokenId, Entry>;

/// Says which merge one is: two are the same if they share it.
struct Ticket;

impl<K: Key, V: Clone> Index<K, V> {
    /// An index of nothing.
    #[must_use]
    pub fn new() -> Self {
        let shards = Arc::new(std::array::from_fn(|_| Shard::new()));
        Self { shards, len: 0, epoch: 0, merging: Weak::new() }
    }

    /// Finds what has this id.
    #[inline]
    #[must_use]
    pub fn get(&self, id: &K) -> Option<&V> {
        let shard = &self.shards[place(id.spread()).0];
        if shard.base.may_be_recent(id)
            && let Some(recent) = shard.delta.get(id)
        {
            return Some(&recent.entry);
        }
        shard.base.get(id)
    }

    /// Inserts or replaces. While nobody else has a clone, as when the log is folded at start, this is as
    /// quick as in a plain hash map.
    pub fn insert(&mut self, id: K, entry: V) {
        let shard = &mut Arc::make_mut(&mut self.shards)[place(id.spread()).0];
        if shard.delta.is_empty()
            && let Some(base) = Arc::get_mut(&mut shard.base)
        {
            self.len += usize::from(put(&mut base.table, id, entry));
            return;
        }
        // Before the delta has it, so that no clone has it without its bit.
        shard.base.announce(&id);
        let replaced = shard.delta.insert(id, Recent { epoch: self.epoch, entry });
        if replaced.is_none() && shard.base.get(&id).is_none() {
            self.len += 1;
        }
    }

    /// How many there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Visits each once, in no order that means anything.
    pub fn for_each(&self, mut f: impl FnMut(&K, &V)) {
        for shard in self.shards.iter() {
            for (id, recent) in &shard.delta {
                f(id, &recent.entry);
            }
            for Slot { id, entry } in &shard.base.table {
                if !(shard.base.may_be_recent(id) && shard.delta.contains_key(id)) {
                    f(id, entry);
                }
            }
        }
    }

    /// Whether a merge should begin: a delta is large, and no merge is under way.
    #[must_use]
    pub fn wants_merge(&self) -> bool {
        self.merging.strong_count() == 0 && self.shards.iter().any(Shard::wants_merge)
    }

    /// Takes what there is of the shard with the largest delta, in O(1). A merge begun before is abandoned by
    /// it: finishing that one will do nothing.
    pub fn begin_merge(&mut self) -> Merge<K, V> {
        let at = (0..SHARDS).max_by_key(|at| self.shards[*at].delta.len()).unwrap_or(0);
        let ticket = Arc::new(Ticket);
        self.merging = Arc::downgrade(&ticket);
        self.epoch += 1;
        Merge { ticket, epoch: self.epoch, at, shard: self.shards[at].clone() }
    }

    /// Puts a merged base in place, and keeps in the delta what came since the merge began. `false`, and
    /// nothing done, unless this index, or one that it is a clone of, began this merge last: what was begun on
    /// a scratch state that came to nothing is nothing.
    ///
    /// The old base is freed with the last snapshot that has it: megabytes, which are not for a thread that
    /// anybody waits for.
    pub fn finish_merge(&mut self, merged: Merged<K, V>) -> bool {
        let Merged { ticket, epoch, at, base, before: _before } = merged;
        if !self.merging.ptr_eq(&Arc::downgrade(&ticket)) {
            return false;
        }
        let shard = &mut Arc::make_mut(&mut self.shards)[at];
        let newer = shard.delta.iter().filter(|(_, recent)| recent.epoch >= epoch);
        let delta: Delta<K, V> = newer.map(|(id, recent)| (*id, recent.clone())).collect();
        delta.keys().for_each(|id| base.announce(id));
        *shard = Shard { base, delta };
        true
    }
}

impl<K: Key, V: Clone> Default for Index<K, V> {
    fn default() -> Self {
        Self::new()
    }
}

impl<K, V> fmt::Debug for Index<K, V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Index").field("len", &self.len).finish_non_exhaustive()
    }
}

/// A merge to be run: what one shard held when it was begun.
pub struct Merge<K = TokenId, V = Entry> {
    ticket: Arc<Ticket>,
    epoch: u64,
    at: usize,
    shard: Shard<K, V>,
}

impl<K: Key, V: Clone> Merge<K, V> {
    /// Copies the base and puts the delta into the copy. Takes milliseconds where there are millions of
    /// tokens: not for a thread that anybody waits for.
    #[must_use]
    pub fn run(self) -> Merged<K, V> {
        let Self { ticket, epoch, at, shard: Shard { base: before, delta } } = self;
        let mut table = before.table.clone();
        for (id, recent) in &delta {
            put(&mut table, *id, recent.entry.clone());
        }
        Merged { ticket, epoch, at, base: Arc::new(Base::new(table)), before }
    }
}

impl<K, V> fmt::Debug for Merge<K, V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Merge").field("epoch", &self.epoch).field("shard", &self.at).finish_non_exhaustive()
    }
}

/// A merge that was run: the new base of one shard.
pub struct Merged<K = TokenId, V = Entry> {
    ticket: Arc<Ticket>,
    epoch: u64,
    at: usize,
    base: Arc<Base<K, V>>,
    /// What was merged. Held so that it stays shared: nothing is inserted into it any more.
    before: Arc<Base<K, V>>,
}

impl<K, V> fmt::Debug for Merged<K, V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Merged").field("epoch", &self.epoch).field("shard", &self.at).finish_non_exhaustive()
    }
}
