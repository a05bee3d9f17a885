//! The pages, in a real browser: what somebody sees, clicks and types, against the real binary.

mod access;
mod devices;
mod federated;
mod guide;
mod keyboard;
mod kit;
mod lan;
mod links;
mod looks;
mod pairing;
mod served;
mod states;
mod strict;
