//! Decisions as tables, and state as a fold.

#![expect(clippy::expect_used, clippy::panic, reason = "a test that cannot set up its case has failed")]

mod accounts;
mod admission;
mod check;
mod config;
mod consent;
mod did;
mod documents;
mod invites;
mod kit;
mod manifest;
mod pairs;
mod policies;
mod records;
mod templates;
mod token_index;
mod world;
