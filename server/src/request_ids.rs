//! Ids of requests: for finding an answer's line in the log, not secret, and not telling how many there were.

use std::{
    hash::{BuildHasher as _, RandomState},
    sync::atomic::{AtomicU64, Ordering},
};

use data_encoding::HEXLOWER;

/// Ids that differ, of this process and from those of others: a count, under a random key.
#[derive(Debug, Default)]
pub(crate) struct RequestIds {
    key: RandomState,
    given: AtomicU64,
}

impl RequestIds {
    /// 24 hexadecimal digits.
    pub(crate) fn next(&self) -> String {
        let count = self.given.fetch_add(1, Ordering::Relaxed);
        let (first, [a, b, c, d, ..]) =
            (self.key.hash_one(count).to_be_bytes(), self.key.hash_one(!count).to_be_bytes());
        HEXLOWER.encode(&[&first[..], &[a, b, c, d]].concat())
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn they_differ_and_have_one_shape() {
        let (one, other) = (RequestIds::default(), RequestIds::default());
        let ids: HashSet<String> = (0..1000).flat_map(|_| [one.next(), other.next()]).collect();
        assert_eq!(ids.len(), 2000);
        assert!(ids.iter().all(|id| id.len() == 24 && id.bytes().all(|b| b.is_ascii_hexdigit())));
    }
}
