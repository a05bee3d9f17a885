//! The server of an instance: the writer, HTTP routes and streams. The only place with a clock and entropy
//! ([`mod@env`]).
//!
//! [`run()`] serves until a signal; [`offline`] does what can be done with a stopped home.

mod access;
mod activity;
mod app;
mod body;
mod boot;
mod budget;
mod client;
mod connection;
pub mod disk;
pub mod env;
mod filter;
mod first;
pub mod home;
mod last_used;
mod listen;
mod metrics;
pub mod offline;
mod open_streams;
mod outgoing;
mod page;
mod problem;
mod published;
mod qr;
mod query;
mod rate;
mod request_ids;
pub mod routes;
mod run;
mod scan;
mod secrets;
mod sending;
mod session;
mod stream;
mod telemetry;
mod unlock;
mod view;
mod wire;
mod writer;

pub use run::{ServeError, ServeOptions, run, serve_until};
pub use spl_projections::Secret;
pub use spl_projections::reserved::{is_reserved_kind, is_reserved_thread};
