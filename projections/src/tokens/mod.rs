//! Tokens: what they look like, which there are, and what ends them.

mod decide;
mod fold;
mod format;
mod index;
mod rotate;
mod state;

pub(crate) use decide::{
    Chosen, NewToken, check_lifetime, draft_token, end_all, living, mint, note_seen, revoke,
};
pub use decide::{Mint, Revoke, Seen as NoteSeen};
pub use fold::{Put, Revoked, Seen};
pub(crate) use format::{CROCKFORD, is_base32};
pub use format::{
    ENVIRONMENT_ACCOUNT, EnvTag, Parts, Plaintext, TOKEN_BYTES_MAX, crockford, is_account_id,
    is_environment_secret, parse,
};
pub use index::{Entry, Index, Key, Merge, Merged, State, TokenId, TokenIndex};
pub use rotate::Renew;
pub(crate) use rotate::{renew, rotate_key};
pub use state::{Row, TokenOrigin, Tokens};

/// The thread of tokens.
pub const THREAD: &str = "th_api_tokens";
/// A token.
pub const KIND: &str = "core.api_token.v1";
/// The end of a token.
pub const REVOCATION_KIND: &str = "core.api_token.revocation.v1";
/// When tokens were last used.
pub const ACTIVITY_KIND: &str = "core.api_token.activity.v1";
/// Longest lifetime of a token, in seconds: ten years.
pub const LIFETIME_SECONDS_MAX: u64 = 315_360_000;
/// Most tokens of one activity record.
pub const SEEN_MAX: usize = 1000;
