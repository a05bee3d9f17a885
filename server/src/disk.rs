//! Room on the file system.

use std::path::Path;

/// Data is refused while less than this is free, or than 2 % of the file system if that is more.
const FREE_BYTES_MIN: u64 = 256 * 1024 * 1024;

/// What is left for the instance itself: the writes that end tokens, and the index. The storage engine does not
/// outlive a write that fails for want of room, so none is begun below this.
const FREE_BYTES_LEAST: u64 = 32 * 1024 * 1024;

/// Free and required bytes where a file lies.
#[must_use]
pub fn free_and_required(path: &Path) -> Option<(u64, u64)> {
    let stat = nix::sys::statvfs::statvfs(path).ok()?;
    let unit = stat.fragment_size();
    let free = stat.blocks_available().saturating_mul(unit);
    let total = stat.blocks().saturating_mul(unit);
    Some((free, FREE_BYTES_MIN.max(total / 50)))
}

/// Whether anything may be written to the log or its index.
pub(crate) fn has_room_at_all(log: Option<&Path>) -> bool {
    log.and_then(free_and_required).is_none_or(|(free, _)| free >= FREE_BYTES_LEAST)
}

/// Whether data may be written. In memory, and where nothing can be learned, it may.
pub(crate) fn has_room_for_data(log: Option<&Path>) -> bool {
    log.and_then(free_and_required).is_none_or(|(free, required)| free >= required)
}
