//! Decisions as tables, and state as a fold.

#![expect(clippy::expect_used, reason = "a test that cannot set up its case has failed")]

mod admission;
mod records;
mod world;
