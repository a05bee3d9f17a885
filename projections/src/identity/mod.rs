//! The instance's own identity.

mod decide;
mod fold;
mod state;

pub use decide::{CREATED_KIND, THREAD, create};
pub(crate) use fold::decode;
pub use fold::Created;
pub use state::Identity;
