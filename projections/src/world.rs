use serde::Serialize;
use spl_kernel::record::StoredRecord;

use crate::{
    event::{Event, FormatError},
    identity::Identity,
};

/// All state: a fold of the reserved threads.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
pub struct World {
    /// Who this instance is.
    pub identity: Identity,
    /// Position of the last record that was folded.
    pub folded_through: u64,
}

impl World {
    /// Takes in a record. Ordinary records change nothing.
    ///
    /// # Errors
    /// Only while reading a log that a newer build wrote; see [`Event::decode`].
    pub fn fold(&mut self, stored: &StoredRecord) -> Result<(), FormatError> {
        if let Some(event) = Event::decode(stored)? {
            match event {
                Event::IdentityCreated(created) => self.identity.fold(created),
            }
            self.folded_through = stored.sequence;
        }
        Ok(())
    }

    /// BLAKE3 over all state, equal for equal logs: what a replay from nothing is compared with.
    #[must_use]
    pub fn digest(&self) -> String {
        // State has no map without an order and no float, so its encoding is one; writing cannot fail.
        let bytes = postcard::to_stdvec(self).unwrap_or_default();
        blake3::hash(&bytes).to_hex().to_string()
    }
}
