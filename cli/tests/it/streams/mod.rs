//! Live streams, from outside: where they start, what they carry, in which order, and how they end.

mod ending;
mod order;
mod start;
