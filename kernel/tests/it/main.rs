//! Tests of the record kernel, in one binary.

mod backup;
mod bounded;
mod canonical;
mod crash;
mod draft;
mod encoding;
mod files;
mod identity;
mod index;
mod memory;
mod model;
mod oracle;
mod support;
mod thread_status;
mod time;
mod vectors;
