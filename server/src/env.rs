//! The only reader of the clock and of system randomness.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use spl_kernel::time::UnixMillis;

/// The wall clock.
#[must_use]
pub fn now() -> UnixMillis {
    #[expect(clippy::disallowed_methods, reason = "this is where the wall clock is read")]
    let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    UnixMillis(u64::try_from(since_epoch.as_millis()).unwrap_or(u64::MAX))
}

/// A clock that never goes back, for measuring durations.
#[must_use]
pub fn monotonic() -> Instant {
    #[expect(clippy::disallowed_methods, reason = "this is where the monotonic clock is read")]
    Instant::now()
}

/// Fills `bytes` from the system's generator.
///
/// # Errors
/// When the system has none to give.
pub fn fill_random(bytes: &mut [u8]) -> std::io::Result<()> {
    #[expect(clippy::disallowed_methods, reason = "this is where randomness is read")]
    getrandom::fill(bytes).map_err(std::io::Error::other)
}

/// Waits on a timer of the runtime.
pub async fn sleep(duration: Duration) {
    #[expect(clippy::disallowed_methods, reason = "this is where timers are made")]
    tokio::time::sleep(duration).await;
}

/// A timer of the runtime that can be set again.
pub(crate) fn timer(at: Instant) -> tokio::time::Sleep {
    tokio::time::sleep_until(at.into())
}
