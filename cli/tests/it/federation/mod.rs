//! Two instances: people of the one at the other, what pairing changes, and hosts that mean no good.

mod ends;
mod hostile;
pub(crate) mod kit;
mod pairing;
mod secrets;
mod torn;
mod walk;
