//! How often something may be done: so many times at once, and so many a minute.

use std::{
    collections::HashMap,
    hash::Hash,
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

use crate::env;

/// Most keys that are remembered. Beyond that those that have their full burst again are forgotten; where there
/// are none, nobody new is let through.
const KEYS_MAX: usize = 100_000;
const MINUTE: Duration = Duration::from_secs(60);

/// A limit by key: a burst, refilled evenly over a minute.
#[derive(Debug)]
pub(crate) struct Rate<K> {
    burst: u32,
    /// By key: when the burst would be full again.
    full_at: Mutex<HashMap<K, Instant>>,
}

impl<K: Eq + Hash> Rate<K> {
    /// `burst` times at once, and as many a minute.
    pub(crate) fn a_minute(burst: u32) -> Self {
        Self { burst, full_at: Mutex::default() }
    }

    /// Takes one, or says after how long there is one again.
    pub(crate) fn take(&self, key: K) -> Result<(), Duration> {
        self.take_at(key, env::monotonic())
    }

    fn take_at(&self, key: K, now: Instant) -> Result<(), Duration> {
        let each = MINUTE / self.burst;
        let mut full_at = self.full_at.lock().unwrap_or_else(PoisonError::into_inner);
        if full_at.len() >= KEYS_MAX && !full_at.contains_key(&key) {
            full_at.retain(|_, at| *at > now);
            if full_at.len() >= KEYS_MAX {
                return Err(each);
            }
        }
        let at = full_at.entry(key).or_insert(now);
        let next = (*at).max(now) + each;
        if next > now + MINUTE {
            return Err(next.duration_since(now + MINUTE));
        }
        *at = next;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_burst_then_one_at_a_time() {
        let (rate, start) = (Rate::a_minute(10), env::monotonic());
        for _ in 0..10 {
            assert_eq!(rate.take_at("a", start), Ok(()));
        }
        assert_eq!(rate.take_at("a", start), Err(Duration::from_secs(6)));
        assert_eq!(rate.take_at("b", start), Ok(()), "each key by itself");
        assert_eq!(rate.take_at("a", start + Duration::from_secs(5)), Err(Duration::from_secs(1)));
        assert_eq!(rate.take_at("a", start + Duration::from_secs(6)), Ok(()));
        assert!(rate.take_at("a", start + Duration::from_secs(6)).is_err());
    }
}
