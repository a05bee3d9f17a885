//! How many streams are open: of the instance, and of each token.

use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
};

use spl_projections::tokens::TokenId;

use crate::problem::Problem;

/// Most streams of an instance.
const STREAMS_MAX: usize = 10_000;
/// Most streams of one token.
const STREAMS_OF_TOKEN_MAX: usize = 100;

/// Open streams: all of them, and those of each token.
#[derive(Debug, Default)]
pub(crate) struct OpenStreams {
    all: AtomicUsize,
    of_token: Mutex<HashMap<TokenId, usize>>,
}

impl OpenStreams {
    /// How many there are.
    pub(crate) fn count(&self) -> usize {
        self.all.load(Ordering::Acquire)
    }

    fn of_token(&self) -> MutexGuard<'_, HashMap<TokenId, usize>> {
        self.of_token.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Counts a stream while it is open.
#[derive(Debug)]
pub(crate) struct Counted {
    streams: Arc<OpenStreams>,
    token: Option<TokenId>,
}

impl Counted {
    pub(crate) fn new(streams: &Arc<OpenStreams>, token: Option<TokenId>) -> Result<Self, Problem> {
        streams.all.fetch_add(1, Ordering::AcqRel);
        if let Some(token) = token {
            *streams.of_token().entry(token).or_default() += 1;
        }
        let counted = Self { streams: streams.clone(), token };
        if streams.count() > STREAMS_MAX {
            return Err(Problem::rate_limited("the instance has as many open streams as it takes"));
        }
        let of_token = token.and_then(|t| streams.of_token().get(&t).copied()).unwrap_or(0);
        if of_token > STREAMS_OF_TOKEN_MAX {
            return Err(Problem::rate_limited(format!(
                "the token has {STREAMS_OF_TOKEN_MAX} open streams already"
            ))
            .hint("close some of them, or follow everything with GET /v1/events/stream"));
        }
        Ok(counted)
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.streams.all.fetch_sub(1, Ordering::AcqRel);
        let Some(token) = self.token else { return };
        let mut of_token = self.streams.of_token();
        if let Some(count) = of_token.get_mut(&token) {
            *count -= 1;
            if *count == 0 {
                of_token.remove(&token);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn streams_are_counted_and_one_too_many_is_refused() {
        let streams = Arc::new(OpenStreams::default());
        let open: Vec<_> = (0..STREAMS_MAX).map(|_| Counted::new(&streams, None).unwrap()).collect();
        assert!(Counted::new(&streams, None).is_err());
        assert_eq!(streams.count(), STREAMS_MAX);
        drop(open);
        assert_eq!(streams.count(), 0);
    }

    #[test]
    fn a_token_has_streams_of_its_own() {
        let streams = Arc::new(OpenStreams::default());
        let (one, other) = (TokenId([1; 32]), TokenId([2; 32]));
        let open: Vec<_> =
            (0..STREAMS_OF_TOKEN_MAX).map(|_| Counted::new(&streams, Some(one)).unwrap()).collect();
        assert!(Counted::new(&streams, Some(one)).is_err());
        assert!(Counted::new(&streams, Some(other)).is_ok());
        drop(open);
        assert!(Counted::new(&streams, Some(one)).is_ok());
        assert_eq!(streams.count(), 0);
        assert!(streams.of_token().is_empty());
    }
}
