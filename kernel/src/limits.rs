//! Every maximum of a record and of the log, with its unit in its name (protocol, sections 1 and 4).

/// Most parents of one record.
pub const PARENTS_MAX: usize = 64;
/// Longest thread name, in bytes of UTF-8.
pub const THREAD_BYTES_MAX: usize = 256;
/// Longest actor DID, in bytes.
pub const ACTOR_BYTES_MAX: usize = 256;
/// Longest canonical body, in bytes.
pub const BODY_BYTES_MAX: usize = 256 * 1024;
/// Deepest nesting of a body; the body object itself is level 1.
pub const BODY_LEVELS_MAX: usize = 64;
/// Largest logical clock, 2^63 - 1.
pub const CLOCK_MAX: u64 = i64::MAX as u64;
/// Longest namespace, in bytes.
pub const NAMESPACE_BYTES_MAX: usize = 256;
/// Most segments of a namespace.
pub const NAMESPACE_SEGMENTS_MAX: usize = 4;
/// Most records that one command may write.
pub const BATCH_RECORDS_MAX: usize = 1000;
/// Most canonical body bytes that one command may write: a number such as `1e308` grows fifty-fold when it
/// is written in full, so that the size of a request does not bound this by itself.
pub const BATCH_CANONICAL_BYTES_MAX: usize = 16 * 1024 * 1024;
/// Longest encoded commit that a reader accepts, in bytes.
pub const COMMIT_BYTES_MAX: usize = 64 * 1024 * 1024;
/// Most records of one commit. Far above what a command writes; it bounds what decoding a commit takes beside
/// its bytes.
pub const COMMIT_RECORDS_MAX: usize = 65_536;
/// Most values (members, elements, scalars) in one body: each takes at least two bytes of canonical text, so
/// this refuses nothing that the size limit would let pass, but it does so before memory is spent.
pub const BODY_VALUES_MAX: usize = BODY_BYTES_MAX / 2 + 2;
/// Longest service account id in a stored record, in bytes.
pub const SERVICE_ACCOUNT_ID_BYTES_MAX: usize = 64;

const _: () = assert!(BODY_BYTES_MAX < BATCH_CANONICAL_BYTES_MAX);
const _: () = assert!(BATCH_CANONICAL_BYTES_MAX < COMMIT_BYTES_MAX);
const _: () = assert!(BATCH_RECORDS_MAX < COMMIT_RECORDS_MAX);
