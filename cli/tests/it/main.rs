//! Tests of the `spl` binary, from outside: arguments in, output and exit codes out.
#![expect(
    clippy::expect_used,
    clippy::panic,
    reason = "a helper of a test fails by panicking, as the test does"
)]

mod help;
mod http;
mod import_export;
mod json;
mod lifecycle;
mod raw;
mod records;
mod streams;
mod support;
mod tasks;
mod threads;
mod trust;
mod usage;
