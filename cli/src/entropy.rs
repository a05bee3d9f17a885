//! The only place here that takes randomness.

use std::time::Duration;

use data_encoding::HEXLOWER;
use zeroize::Zeroizing;

use crate::error::Failure;

/// A new thread id: `th_` and 64 random hex digits.
pub(crate) fn thread_id() -> Result<String, Failure> {
    let mut bytes = [0; 32];
    fill(&mut bytes)?;
    Ok(format!("th_{}", HEXLOWER.encode(&bytes)))
}

/// 16 random hex digits: a name that nobody can have taken before.
pub(crate) fn suffix() -> Result<String, Failure> {
    let mut bytes = [0; 8];
    fill(&mut bytes)?;
    Ok(HEXLOWER.encode(&bytes))
}

/// The seed of a new private key.
pub(crate) fn seed() -> Result<Zeroizing<[u8; 32]>, Failure> {
    let mut bytes = Zeroizing::new([0; 32]);
    fill(bytes.as_mut())?;
    Ok(bytes)
}

/// A random duration up to `most`: full jitter, so that clients cut off together do not return together.
pub(crate) fn jitter(most: Duration) -> Result<Duration, Failure> {
    let mut bytes = [0; 4];
    fill(&mut bytes)?;
    let share = f64::from(u32::from_be_bytes(bytes)) / f64::from(u32::MAX);
    Ok(most.mul_f64(share))
}

#[expect(clippy::disallowed_methods, reason = "the one place of the command line that takes randomness")]
fn fill(bytes: &mut [u8]) -> Result<(), Failure> {
    getrandom::fill(bytes).map_err(|e| Failure::refused(format!("the system gave no random bytes: {e}")))
}
