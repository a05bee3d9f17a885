//! The meaning of records: one module per thing, each with `state`, `fold` and `decide`; [`World`] holds
//! them all.
//!
//! Pure: no I/O, no clock, no randomness. `decide` takes values and returns what should be written; `fold`
//! takes what was written and cannot fail. The same log gives the same [`World::digest`] on every machine.

pub mod admission;
pub mod context;
pub mod event;
pub mod identity;
pub mod records;
pub mod reserved;
mod world;

pub use context::Context;
pub use world::World;
