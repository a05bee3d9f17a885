//! Live streams, from outside: where they start, what they carry, in which order, and how they end.

pub(crate) mod ending;
mod order;
mod start;
