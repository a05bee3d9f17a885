//! Ordinary records: which of the proposed ones are new, and at which clock.

mod decide;

pub use decide::{Accepted, Ledger, Pending, decide};
