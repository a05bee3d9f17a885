//! The only place here that looks at a clock or waits.

use std::time::{Duration, Instant};

use jiff::Timestamp;

use crate::error::Failure;

/// The wall clock now.
#[expect(clippy::disallowed_methods, reason = "the one place of the command line that reads the wall clock")]
pub(crate) fn now() -> Timestamp {
    Timestamp::now()
}

/// A monotonic instant, to measure durations with.
#[expect(
    clippy::disallowed_methods,
    reason = "the one place of the command line that reads the monotonic clock"
)]
pub(crate) fn monotonic() -> Instant {
    Instant::now()
}

/// Asks `condition` again and again until it yields a value, or `limit` has passed (`None`).
///
/// The pause between questions grows from 5 to 100 milliseconds, so that quick things stay quick.
pub(crate) fn wait_until<T>(
    limit: Duration,
    mut condition: impl FnMut() -> Result<Option<T>, Failure>,
) -> Result<Option<T>, Failure> {
    let start = monotonic();
    let mut pause = Duration::from_millis(5);
    loop {
        if let Some(value) = condition()? {
            return Ok(Some(value));
        }
        let left = limit.saturating_sub(start.elapsed());
        if left.is_zero() {
            return Ok(None);
        }
        sleep(pause.min(left));
        pause = (pause * 2).min(Duration::from_millis(100));
    }
}

/// Waits for a back-off to pass.
pub(crate) fn back_off(delay: Duration) {
    sleep(delay);
}

#[expect(clippy::disallowed_methods, reason = "the one pause that polling and back-off are built on")]
fn sleep(duration: Duration) {
    std::thread::sleep(duration);
}
