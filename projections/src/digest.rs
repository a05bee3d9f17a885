//! What state is hashed from, for the comparison with a replay.

use serde::Serialize;

/// A part of state that has one encoding for one content.
pub(crate) trait Part {
    /// Its encoding. Writing to memory cannot fail for state, which has no map without a length.
    fn encoded(&self) -> Vec<u8>;
}

impl<T: Serialize> Part for T {
    fn encoded(&self) -> Vec<u8> {
        postcard::to_stdvec(self).unwrap_or_default()
    }
}
