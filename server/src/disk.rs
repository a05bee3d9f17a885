//! The disk: room on the file system, the room that is kept for taking access away, and waiting.

use std::{
    fs::{self, OpenOptions},
    io,
    os::unix::fs::OpenOptionsExt as _,
    path::{Path, PathBuf},
};

use nix::fcntl::posix_fallocate;

/// Data is refused while less than this is free, or than 2 % of the file system if that is more.
const FREE_BYTES_MIN: u64 = 256 * 1024 * 1024;

/// What is left for the instance itself: the writes that end tokens, and the index. The storage engine does not
/// outlive a write that fails for want of room, so none is begun below this.
const FREE_BYTES_LEAST: u64 = 32 * 1024 * 1024;

/// What the reserve holds: freed when somebody else has filled the file system, it is room for thousands of
/// control commands.
const RESERVE_BYTES: i64 = 2 * 32 * 1024 * 1024;

/// Waits for the disk on the thread that serves requests, without the others that it serves: another takes them over.
pub(crate) fn wait(read: &mut dyn FnMut()) {
    tokio::task::block_in_place(read);
}

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

/// Where room is set aside for a log.
fn reserve_of(log: &Path) -> PathBuf {
    log.with_extension("redb.reserve")
}

/// Gives up what an earlier process set aside where a start would find no room at all: an instance has to run
/// for access to be taken back.
pub(crate) fn make_room_to_start(log: &Path) {
    if !has_room_at_all(Some(log.parent().unwrap_or(log))) {
        // Where there is none, the start finds out by itself.
        let _ = fs::remove_file(reserve_of(log));
    }
}

/// Room that is set aside while there is some, in a file beside the log, so that a token can be revoked when
/// the file system is full to the last byte.
#[derive(Debug, Default)]
pub(crate) struct Room {
    reserve: Option<PathBuf>,
    held: bool,
    /// The file system does not take it: not tried again.
    impossible: bool,
}

impl Room {
    /// Sets room aside for a log; nothing in memory.
    pub(crate) fn beside(log: Option<&Path>) -> Self {
        let mut room = Self { reserve: log.map(reserve_of), held: false, impossible: false };
        room.set_aside(log);
        room
    }

    /// Whether data may be written; room that was given up is set aside again once there is enough.
    pub(crate) fn for_data(&mut self, log: Option<&Path>) -> bool {
        let room = has_room_for_data(log);
        if room && !self.held && !self.impossible {
            self.set_aside(log);
        }
        room
    }

    /// Whether a command that takes access away may be written: gives up what was set aside if need be.
    pub(crate) fn for_taking_away(&mut self, log: Option<&Path>) -> bool {
        if has_room_at_all(log) {
            return true;
        }
        if self.held
            && let Some(reserve) = &self.reserve
        {
            tracing::warn!(
                "the file system is full: using the room that was set aside for taking access away"
            );
            if let Err(error) = fs::remove_file(reserve) {
                tracing::error!(%error, "the reserve could not be freed");
            }
            self.held = false;
        }
        has_room_at_all(log)
    }

    fn set_aside(&mut self, log: Option<&Path>) {
        let Some(reserve) = &self.reserve else { return };
        if !has_room_for_data(log) {
            // What an earlier process set aside is still there to be given up.
            self.held = reserve.exists();
            return;
        }
        match allocate(reserve) {
            Ok(()) => self.held = true,
            Err(error) => {
                tracing::warn!(%error, "no room could be set aside for control commands");
                // A part of it would be of no use.
                let _ = fs::remove_file(reserve);
                self.impossible = true;
            }
        }
    }
}

fn allocate(reserve: &Path) -> io::Result<()> {
    let file = OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o600)
        .custom_flags(nix::fcntl::OFlag::O_NOFOLLOW.bits())
        .open(reserve)?;
    posix_fallocate(&file, 0, RESERVE_BYTES)?;
    Ok(())
}
