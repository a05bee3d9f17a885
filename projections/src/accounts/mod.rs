//! Service accounts: who may hold tokens, with what reach.

mod create;
mod decide;
mod fold;
mod hot;
mod state;

pub use create::{Bootstrap, ChosenToken, Create};
pub(crate) use create::{NewAccount, bootstrap, create, created, new_id};
pub use decide::Update;
pub(crate) use decide::{end_all, not_found, revoke, update};
pub use fold::{Put, Revoked};
pub(crate) use hot::{Row, Symbols};
pub use state::{Account, AccountOrigin, Accounts};

/// The thread of accounts.
pub const THREAD: &str = "th_service_accounts";
/// An account's whole state.
pub const KIND: &str = "core.service_account.v1";
/// The end of an account.
pub const REVOCATION_KIND: &str = "core.service_account.revocation.v1";
/// The one namespace that accounts live in, for now.
pub const NAMESPACE: &str = "default";
/// Most actors of one account.
pub const ACTORS_MAX: usize = 100;
