//! When each token was last used, to the second, noted by every check without a lock.
//!
//! Chunks that double in size and never move: whoever holds a shared reference may note and read while
//! others do, and while it grows. At most 8 bytes a token.

use std::sync::{
    OnceLock,
    atomic::{AtomicU32, Ordering},
};

/// Numbers in the first chunk, as a power of two; each further chunk doubles all there is.
const FIRST_BITS: u32 = 10;
/// Enough for every `u32`.
const CHUNKS: usize = (u32::BITS - FIRST_BITS + 1) as usize;

/// Unix seconds by token number; 0 is never.
#[derive(Debug, Default)]
pub(crate) struct LastUsed {
    chunks: [OnceLock<Box<[AtomicU32]>>; CHUNKS],
}

/// The chunk of a number, and its place in it. Chunk 0 holds the numbers below 2^10, chunk 1 those below 2^11,
/// and so on.
fn place(number: u32) -> (usize, usize) {
    let chunk = (u32::BITS - (number >> FIRST_BITS).leading_zeros()) as usize;
    (chunk, (number - start_of(chunk)) as usize)
}

fn start_of(chunk: usize) -> u32 {
    if chunk == 0 { 0 } else { 1 << (FIRST_BITS as usize + chunk - 1) }
}

fn size_of(chunk: usize) -> usize {
    1 << (FIRST_BITS as usize + chunk.saturating_sub(1))
}

impl LastUsed {
    /// Notes a use. Lock-free where there is room; a use noted by another thread at once may win. Within one
    /// second only the first takes the cache line from other threads.
    #[inline]
    pub(crate) fn note(&self, number: u32, seconds: u32) {
        let (chunk, at) = place(number);
        let chunk = match self.chunks[chunk].get() {
            Some(chunk) => chunk,
            None => self.chunk(chunk),
        };
        if let Some(noted) = chunk.get(at)
            && noted.load(Ordering::Relaxed) != seconds
        {
            noted.store(seconds, Ordering::Relaxed);
        }
    }

    /// When a token was last used, if ever.
    pub(crate) fn get(&self, number: u32) -> Option<u32> {
        let (chunk, at) = place(number);
        let seconds = self.chunks[chunk].get()?.get(at)?.load(Ordering::Relaxed);
        (seconds != 0).then_some(seconds)
    }

    #[cold]
    fn chunk(&self, chunk: usize) -> &[AtomicU32] {
        self.chunks[chunk].get_or_init(|| (0..size_of(chunk)).map(|_| AtomicU32::new(0)).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_number_has_one_place() {
        assert_eq!(place(u32::MAX).0, CHUNKS - 1);
        assert_eq!(place(u32::MAX).1, size_of(CHUNKS - 1) - 1);
        let mut expected = 0;
        for chunk in 0..6 {
            for at in 0..size_of(chunk) {
                assert_eq!(place(expected), (chunk, at));
                expected += 1;
            }
        }
    }

    #[test]
    fn what_is_noted_is_read() {
        let last_used = LastUsed::default();
        assert_eq!(last_used.get(7), None);
        for (number, seconds) in [(5000, 3), (7, 1), (1023, 9), (1024, 2), (7, 4)] {
            last_used.note(number, seconds);
        }
        assert_eq!(last_used.get(7), Some(4));
        assert_eq!(last_used.get(8), None);
        assert_eq!(last_used.get(u32::MAX), None);
        assert_eq!((last_used.get(1023), last_used.get(5000)), (Some(9), Some(3)));
    }

    #[test]
    fn threads_note_while_it_grows() {
        let last_used = LastUsed::default();
        std::thread::scope(|scope| {
            for thread in 0..4 {
                let last_used = &last_used;
                scope.spawn(move || {
                    (0..20_000).filter(|n| n % 4 == thread).for_each(|n| last_used.note(n, n + 1));
                });
            }
        });
        assert!((0..20_000).all(|n| last_used.get(n) == Some(n + 1)));
    }
}
