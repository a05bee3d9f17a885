//! The meaning of records: one module per thing, each with `state`, `fold` and `decide`; [`World`] holds
//! them all.
//!
//! Pure: no I/O, no clock, no randomness. `decide` takes values and returns what should be written; `fold`
//! takes what was written and cannot fail. The same log gives the same [`World::digest`] on every machine.

pub mod accounts;
pub mod admission;
pub mod audit;
pub mod authority;
mod check;
pub mod config;
pub mod consent;
pub mod context;
pub mod decision;
pub mod did;
mod digest;
pub mod event;
pub mod identity;
pub mod invites;
pub mod manifest;
pub mod merge;
pub mod names;
pub mod pairs;
pub mod policies;
pub mod records;
pub mod reserved;
pub mod scope;
pub mod templates;
pub mod tokens;
pub mod visibility;
mod world;

pub use context::{Context, Entropy, Secret};
pub use world::{Command, Guarded, World};
