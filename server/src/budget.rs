//! Memory that many requests share: each takes what it holds and gives it back when it is done.

use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Bytes per permit of the semaphore.
const UNIT_BYTES: usize = 1024;

/// See the module.
#[derive(Debug, Clone)]
pub(crate) struct Budget {
    units: Arc<Semaphore>,
}

/// Bytes taken from a budget, given back when dropped.
#[derive(Debug)]
pub(crate) struct Share {
    permit: Option<OwnedSemaphorePermit>,
}

fn units(bytes: usize) -> u32 {
    u32::try_from(bytes.div_ceil(UNIT_BYTES)).unwrap_or(u32::MAX)
}

impl Budget {
    pub(crate) fn new(bytes: usize) -> Self {
        Self { units: Arc::new(Semaphore::new(bytes / UNIT_BYTES)) }
    }

    /// Takes `bytes` if they are to be had now.
    pub(crate) fn try_take(&self, bytes: usize) -> Option<Share> {
        let permit = self.units.clone().try_acquire_many_owned(units(bytes)).ok()?;
        Some(Share { permit: Some(permit) })
    }

    /// Takes `bytes`, waiting for them.
    pub(crate) async fn take(&self, bytes: usize) -> Share {
        // The semaphore is never closed.
        Share { permit: self.units.clone().acquire_many_owned(units(bytes)).await.ok() }
    }
}

impl Share {
    /// Takes over what another share holds.
    pub(crate) fn merge(&mut self, other: Self) {
        match (&mut self.permit, other.permit) {
            (Some(mine), Some(other)) => mine.merge(other),
            (None, other) => self.permit = other,
            (Some(_), None) => {}
        }
    }
}
