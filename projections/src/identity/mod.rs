//! The instance's own identity.

mod decide;
mod fold;
mod state;

pub use decide::{CREATED_KIND, THREAD, create};
pub use fold::Created;
pub(crate) use fold::decode;
pub use state::Identity;
