//! When an instance starts, when it refuses to, and that a refusal changes nothing.

mod agreement;
mod clock;
mod files;
mod index;
mod logs;
