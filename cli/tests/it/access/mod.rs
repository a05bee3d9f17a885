//! Who may do what, from outside: accounts, tokens, the three-layer check, and what stays of it in the log.

mod acting;
mod bootstrap;
mod config;
mod cors;
mod environment;
mod expiry;
pub(crate) mod grains;
mod hidden;
pub(crate) mod kit;
mod older;
mod order;
mod presented;
mod pressure;
mod refusals;
mod rotation;
mod rules;
mod secrets;
mod streams;
mod torn;
