//! The HTTP interface of a running instance, from outside, byte by byte.

pub(crate) mod client;
pub(crate) mod documented;
pub(crate) mod server;

mod batches;
mod bodies;
mod bootstrap;
mod bounds;
mod callers;
mod clocks;
mod discovery;
mod fuzz;
mod headers;
mod hosts;
mod http2;
mod lists;
mod media;
pub(crate) mod openapi;
mod operators;
mod origins;
mod paging;
mod proof;
mod protocol;
mod query;
mod query_model;
mod reserved;
pub(crate) mod reserved_writes;
mod scene;
mod tasks;
mod threads;
