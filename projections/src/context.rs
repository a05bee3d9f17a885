//! What a decision may know besides state.

use spl_kernel::time::UnixMillis;

/// Read once per command, before it is decided.
#[derive(Debug, Clone, Copy)]
pub struct Context {
    /// The later of the wall clock and the last commit's time.
    pub now: UnixMillis,
}

/// The actor of everything that the instance itself writes.
pub const ENGINE_ACTOR: &str = "did:sync:system:engine";
