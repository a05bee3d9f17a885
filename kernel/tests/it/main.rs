//! Tests of the record kernel, in one binary.
#![expect(
    clippy::expect_used,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test stops where it goes wrong"
)]

mod backup;
mod bounded;
mod canonical;
mod crash;
mod draft;
mod encoding;
mod files;
mod identity;
mod index;
mod journal;
mod memory;
mod model;
mod oracle;
mod replay;
mod support;
mod thread_status;
mod time;
mod vectors;
