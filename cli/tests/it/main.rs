//! Tests of the `spl` binary, from outside: arguments in, output and exit codes out.
#![expect(
    clippy::expect_used,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a helper of a test fails by panicking, as the test does"
)]

mod access;
mod accounts;
mod audit_cli;
mod config;
mod consent;
mod durability;
mod federation;
mod help;
mod http;
mod import_export;
mod invites;
mod invites_cli;
mod json;
mod lifecycle;
mod limits;
mod matrix;
mod namespace;
mod pair;
mod pairs_cli;
mod proxies;
mod qr;
mod raw;
mod records;
mod redeem_cli;
mod seed_invites;
mod seeds;
mod startup;
mod streams;
mod studio;
mod support;
mod tasks;
mod threads;
mod tokens;
mod trust;
mod up;
mod usage;
