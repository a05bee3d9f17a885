//! The record kernel: records and their canonical bytes, ids and limits; commits and their chain; the
//! append-only log.
//!
//! This crate is deterministic: it reads no clock, makes no randomness, knows no network and no environment.
//! Time and entropy come in as values. Without the default feature `store` it does no I/O at all.
//!
//! It knows nothing of tokens, invites or HTTP: what records *mean* is the next crate's duty.

pub mod canonical;
pub mod commit;
pub mod draft;
mod encoded;
pub mod entry;
pub mod id;
pub mod identity;
pub mod json;
pub mod kind;
pub mod limits;
#[cfg(feature = "store")]
pub mod log;
pub mod record;
pub mod refusal;
pub mod thread;
pub mod time;
