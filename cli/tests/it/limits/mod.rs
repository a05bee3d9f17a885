//! Bounds that hold whatever a client sends, or does not send, or does not take.

mod bodies;
mod patience;
mod queries;
mod slow;
mod writers;
