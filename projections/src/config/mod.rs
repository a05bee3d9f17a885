//! Configuration by records: each topic's latest valid record wins (protocol, section 9).

mod decide;
mod fold;
mod origin;
mod state;

pub use decide::Set;
pub(crate) use decide::posted;
pub(crate) use decide::set;
pub use decide::{check_lockout, entitled};
pub use fold::{Change, TOPICS, Topic};
pub use origin::{Cidr, check_public_url, is_loopback_origin, normal_origin};
pub use state::{Config, SetBy, Setting};

/// The thread of the configuration.
pub const THREAD: &str = "th_engine_config";
/// The kind of what the instance writes there; what callers post may leave it out.
pub const KIND: &str = "core.engine_config";
