//! What hosts said lately, and one fetch at a time for each.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use bytes::Bytes;
use tokio::sync::watch;

use super::Unreachable;
use crate::env;

/// Most hosts that are remembered or being asked.
const HOSTS_MAX: usize = 1000;
/// Most bytes that are remembered: whoever fills the cache with large documents gets fewer of them.
const BYTES_MAX: usize = 8 * 1024 * 1024;
/// For how long a document is used.
const DOCUMENT_FOR: Duration = Duration::from_secs(5 * 60);
/// For how long a host is not asked again that gave none.
const FAILURE_FOR: Duration = Duration::from_secs(60);

/// What comes of a fetch.
pub(super) type Outcome = Result<Bytes, Unreachable>;

#[derive(Debug)]
enum Slot {
    /// Being fetched. The sender is gone without an outcome only if its task was.
    Flying(watch::Receiver<Option<Outcome>>),
    /// Fetched, and when.
    Landed(Outcome, Instant),
}

/// What is to be done for one who asks.
#[derive(Debug)]
enum Asked {
    Known(Outcome),
    Flying(watch::Receiver<Option<Outcome>>),
    Fetch(watch::Sender<Option<Outcome>>, watch::Receiver<Option<Outcome>>),
    Full,
}

/// See the module. Clones share what they hold.
#[derive(Debug, Clone, Default)]
pub(super) struct Cache {
    slots: Arc<Mutex<HashMap<String, Slot>>>,
}

impl Slot {
    fn is_of_use(&self, now: Instant) -> bool {
        match self {
            Self::Flying(flight) => flight.has_changed().is_ok(),
            Self::Landed(outcome, at) => {
                now.saturating_duration_since(*at) < if outcome.is_ok() { DOCUMENT_FOR } else { FAILURE_FOR }
            }
        }
    }

    fn bytes(&self) -> usize {
        match self {
            Self::Landed(Ok(document), _) => document.len(),
            Self::Landed(Err(_), _) | Self::Flying(_) => 0,
        }
    }
}

/// Forgets the host whose answer is oldest, if there is one.
fn forget_oldest(slots: &mut HashMap<String, Slot>) -> bool {
    let landed = slots.iter().filter_map(|(host, slot)| match slot {
        Slot::Landed(_, at) => Some((*at, host)),
        Slot::Flying(_) => None,
    });
    let oldest = landed.min().map(|(_, host)| host.clone());
    oldest.is_some_and(|host| slots.remove(&host).is_some())
}

impl Cache {
    /// What is known of `host`, or what `fetch` gets. It runs to its end even if nobody waits for it any more:
    /// otherwise hanging up would be a way to have a host asked again and again.
    pub(super) async fn get<F>(&self, host: &str, fetch: impl FnOnce() -> F) -> Outcome
    where
        F: Future<Output = Outcome> + Send + 'static,
    {
        let mut flight = match self.ask(host, env::monotonic()) {
            Asked::Known(outcome) => return outcome,
            Asked::Full => return Err(Unreachable::Busy),
            Asked::Flying(flight) => flight,
            Asked::Fetch(landing, flight) => {
                let (cache, host, fetching) = (self.clone(), host.to_owned(), fetch());
                tokio::spawn(async move {
                    let outcome = fetching.await;
                    cache.land(host, &outcome, env::monotonic());
                    landing.send_replace(Some(outcome));
                });
                flight
            }
        };
        let landed = flight.wait_for(Option::is_some).await.ok().and_then(|outcome| outcome.clone());
        landed.unwrap_or(Err(Unreachable::Busy))
    }

    fn slots(&self) -> MutexGuard<'_, HashMap<String, Slot>> {
        self.slots.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn ask(&self, host: &str, now: Instant) -> Asked {
        let mut slots = self.slots();
        match slots.get(host).filter(|slot| slot.is_of_use(now)) {
            Some(Slot::Landed(outcome, _)) => return Asked::Known(outcome.clone()),
            Some(Slot::Flying(flight)) => return Asked::Flying(flight.clone()),
            None => {}
        }
        slots.remove(host);
        if slots.len() >= HOSTS_MAX {
            slots.retain(|_, slot| slot.is_of_use(now));
        }
        if slots.len() >= HOSTS_MAX && !forget_oldest(&mut slots) {
            return Asked::Full;
        }
        let (landing, flight) = watch::channel(None);
        slots.insert(host.to_owned(), Slot::Flying(flight.clone()));
        Asked::Fetch(landing, flight)
    }

    fn land(&self, host: String, outcome: &Outcome, now: Instant) {
        let mut slots = self.slots();
        if outcome == &Err(Unreachable::Busy) {
            // That says nothing of the host.
            slots.remove(&host);
            return;
        }
        slots.insert(host, Slot::Landed(outcome.clone(), now));
        while slots.values().map(Slot::bytes).sum::<usize>() > BYTES_MAX && forget_oldest(&mut slots) {}
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use tokio::sync::Notify;

    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn document() -> Outcome {
        Ok(Bytes::from_static(b"{}"))
    }

    /// Fetches `host` at `now`.
    fn fetched(cache: &Cache, host: &str, outcome: &Outcome, now: Instant) {
        assert!(matches!(cache.ask(host, now), Asked::Fetch(..)), "{host}");
        cache.land(host.to_owned(), outcome, now);
    }

    fn is_known(cache: &Cache, host: &str, now: Instant) -> bool {
        cache.slots().get(host).is_some_and(|slot| slot.is_of_use(now))
    }

    #[test]
    fn documents_for_five_minutes_failures_for_one() {
        let (cache, now) = (Cache::default(), env::monotonic());
        fetched(&cache, "a.b", &document(), now);
        fetched(&cache, "c.d", &Err(Unreachable::Status(404)), now);
        assert!(matches!(cache.ask("a.b", now + 299 * SECOND), Asked::Known(Ok(_))));
        assert!(matches!(cache.ask("c.d", now + 59 * SECOND), Asked::Known(Err(Unreachable::Status(404)))));
        assert!(matches!(cache.ask("a.b", now + 300 * SECOND), Asked::Fetch(..)));
        assert!(matches!(cache.ask("c.d", now + 60 * SECOND), Asked::Fetch(..)));
    }

    #[test]
    fn being_busy_is_not_remembered_nor_is_a_fetch_that_was_lost() {
        let (cache, now) = (Cache::default(), env::monotonic());
        fetched(&cache, "a.b", &Err(Unreachable::Busy), now);
        let fetching = cache.ask("a.b", now);
        assert!(matches!(fetching, Asked::Fetch(..)));
        assert!(matches!(cache.ask("a.b", now), Asked::Flying(_)));
        drop(fetching);
        assert!(matches!(cache.ask("a.b", now), Asked::Fetch(..)));
    }

    #[test]
    fn the_oldest_go_when_there_are_too_many_and_fetches_stay() {
        let (cache, now) = (Cache::default(), env::monotonic());
        let _fetching = cache.ask("fetching.x", now);
        for n in 1..HOSTS_MAX {
            let at = now + Duration::from_millis(n as u64);
            fetched(&cache, &format!("h{n}.x"), &document(), at);
        }
        let now = now + SECOND;
        fetched(&cache, "one.more", &document(), now);
        assert_eq!(cache.slots().len(), HOSTS_MAX);
        assert!(!is_known(&cache, "h1.x", now) && is_known(&cache, "h2.x", now));
        assert!(is_known(&cache, "fetching.x", now) && is_known(&cache, "one.more", now));
    }

    #[test]
    fn where_all_are_being_fetched_nobody_new_is() {
        let (cache, now) = (Cache::default(), env::monotonic());
        let flying: Vec<_> = (0..HOSTS_MAX).map(|n| cache.ask(&format!("h{n}.x"), now)).collect();
        assert!(matches!(cache.ask("one.more", now), Asked::Full));
        assert!(matches!(cache.ask("h0.x", now), Asked::Flying(_)));
        drop(flying);
        assert!(matches!(cache.ask("one.more", now), Asked::Fetch(..)));
    }

    #[test]
    fn the_oldest_go_when_they_are_too_large() {
        let (cache, now) = (Cache::default(), env::monotonic());
        let large = Ok(Bytes::from(vec![b' '; 64 * 1024]));
        for n in 0..=128 {
            fetched(&cache, &format!("h{n}.x"), &large, now + Duration::from_millis(n));
        }
        assert_eq!(cache.slots().len(), 128);
        assert!(!is_known(&cache, "h0.x", now) && is_known(&cache, "h1.x", now));
    }

    #[tokio::test]
    async fn many_who_ask_share_one_fetch_which_outlives_them() {
        let (cache, fetches, go) = (Cache::default(), Arc::new(AtomicUsize::new(0)), Arc::new(Notify::new()));
        let ask = || {
            let (cache, fetches, go) = (cache.clone(), fetches.clone(), go.clone());
            async move {
                let fetch = || async move {
                    fetches.fetch_add(1, Ordering::SeqCst);
                    go.notified().await;
                    document()
                };
                cache.get("a.b", fetch).await
            }
        };
        let impatient = tokio::time::timeout(Duration::from_millis(20), ask()).await;
        assert!(impatient.is_err());
        let many: Vec<_> = (0..50).map(|_| tokio::spawn(ask())).collect();
        tokio::task::yield_now().await;
        go.notify_one();
        for one in many {
            assert_eq!(one.await.unwrap(), document());
        }
        assert_eq!(ask().await, document());
        assert_eq!(fetches.load(Ordering::SeqCst), 1);
    }
}
