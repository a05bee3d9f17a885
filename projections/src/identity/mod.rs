//! The instance's own identity.

mod decide;
mod fold;
mod state;

pub(crate) use decide::create;
pub use decide::{CREATED_KIND, THREAD};
pub use fold::Created;
pub(crate) use fold::decode;
pub use state::Identity;
