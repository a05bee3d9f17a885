//! Memory that many requests share: each takes what it holds and gives it back when it is done.

use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Bytes per permit of the semaphore.
const UNIT_BYTES: usize = 1024;

/// See the module.
#[derive(Debug, Clone)]
pub(crate) struct Budget {
    units: Arc<Semaphore>,
    /// How many there are in all.
    all: u32,
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
        let all = bytes / UNIT_BYTES;
        Self { units: Arc::new(Semaphore::new(all)), all: u32::try_from(all).unwrap_or(u32::MAX) }
    }

    /// Takes `bytes` if they are to be had now.
    pub(crate) fn try_take(&self, bytes: usize) -> Option<Share> {
        let permit = self.units.clone().try_acquire_many_owned(units(bytes)).ok()?;
        Some(Share { permit: Some(permit) })
    }

    /// Takes `bytes`, waiting for them; of more than there are in all, what there is: to wait for the rest would be
    /// to wait for ever, and everybody else behind it.
    pub(crate) async fn take(&self, bytes: usize) -> Share {
        let wanted = units(bytes).min(self.all);
        // The semaphore is never closed.
        Share { permit: self.units.clone().acquire_many_owned(wanted).await.ok() }
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

#[cfg(test)]
mod tests {
    use std::{
        future::Future as _,
        pin::pin,
        task::{Context, Poll, Waker},
    };

    use super::*;

    #[test]
    fn more_than_there_is_waits_for_all_of_it_and_not_for_ever() {
        let budget = Budget::new(4 * UNIT_BYTES);
        let mut context = Context::from_waker(Waker::noop());
        let held = budget.try_take(UNIT_BYTES).expect("there is some");
        let mut large = pin!(budget.take(1 << 30));
        assert!(large.as_mut().poll(&mut context).is_pending(), "somebody holds a part of it");
        drop(held);
        let Poll::Ready(all) = large.as_mut().poll(&mut context) else { panic!("it waits for ever") };
        assert!(budget.try_take(1).is_none());
        drop(all);
        assert!(budget.try_take(4 * UNIT_BYTES).is_some());
    }
}
