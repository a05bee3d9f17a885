//! The pair ledger: instances whose key is pinned here (protocol, section 8).

mod decide;
mod fold;
mod state;

pub use decide::{NewPair, Unpair};
pub(crate) use decide::{pair, unpair};
pub use fold::{Happened, Put};
pub use state::{Pair, Pairs};

/// The thread of pairs.
pub const THREAD: &str = "th_federation_pairs";
/// A pair.
pub const KIND: &str = "core.federation_pair.v1";
/// What happened to one.
pub const EVENT_KIND: &str = "core.federation_pair.event.v1";
/// Most living accounts that come through one pair: removing it ends them all in one commit.
pub const ACCOUNTS_MAX: u32 = 10_000;
/// What ids begin with.
pub const PREFIX: &str = "pair_";
