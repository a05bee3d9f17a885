//! Bounds that hold whatever a client sends, or does not send, or does not take.

mod bodies;
mod queries;
mod slow;
mod writers;
