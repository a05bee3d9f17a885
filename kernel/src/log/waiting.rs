//! A file whose reads say so before they wait for the disk.
//!
//! Most of what is read lies in the system's cache and is there within a microsecond, on the very thread that serves a
//! request. What does not takes up to a thousand times that, and nobody knows which it is before it is asked for: so the
//! system is asked for what it has at hand, and only the rest is read in the caller's way of waiting.

use std::{
    fs::File,
    io,
    ops::Bound,
    sync::{Arc, OnceLock},
};

use redb::{BackendError, StorageBackend, backends::FileBackend};

/// Runs what waits for the disk, once and before it returns, such that nobody waits who need not.
pub type Wait = fn(&mut dyn FnMut());

/// How the files of one log wait. Until it is set they do so on the spot.
pub(super) type Waits = Arc<OnceLock<Wait>>;

/// See the module.
#[derive(Debug)]
pub(super) struct WaitingFile {
    inner: FileBackend,
    file: File,
    waits: Waits,
}

impl WaitingFile {
    pub(super) fn new(file: File, waits: &Waits) -> io::Result<Self> {
        let again = file.try_clone()?;
        let inner = FileBackend::new(file).map_err(io::Error::other)?;
        Ok(Self { inner, file: again, waits: waits.clone() })
    }
}

/// Reads what the system has in memory, from the first byte on, and says how many bytes that were: 0 also where the
/// file system cannot tell.
#[cfg(target_os = "linux")]
fn read_at_hand(file: &File, offset: u64, out: &mut [u8]) -> usize {
    use rustix::io::{ReadWriteFlags, preadv2};
    preadv2(file, &mut [io::IoSliceMut::new(out)], offset, ReadWriteFlags::NOWAIT).unwrap_or_default()
}

#[cfg(not(target_os = "linux"))]
fn read_at_hand(_: &File, _: u64, _: &mut [u8]) -> usize {
    0
}

impl StorageBackend for WaitingFile {
    fn len(&self) -> io::Result<u64> {
        self.inner.len()
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        let Some(wait) = self.waits.get() else { return self.inner.read(offset, out) };
        let at_hand = read_at_hand(&self.file, offset, out);
        let Some(rest) = out.get_mut(at_hand..).filter(|rest| !rest.is_empty()) else { return Ok(()) };
        let mut read = Ok(());
        wait(&mut || read = self.inner.read(offset + at_hand as u64, rest));
        read
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.inner.set_len(len)
    }

    fn sync_data(&self) -> io::Result<()> {
        self.inner.sync_data()
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        self.inner.write(offset, data)
    }

    fn close(&self) -> io::Result<()> {
        self.inner.close()
    }

    fn try_lock_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<bool, BackendError> {
        self.inner.try_lock_range(start, end)
    }

    fn try_lock_shared_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<bool, BackendError> {
        self.inner.try_lock_shared_range(start, end)
    }

    fn lock_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<(), BackendError> {
        self.inner.lock_range(start, end)
    }

    fn lock_shared_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<(), BackendError> {
        self.inner.lock_shared_range(start, end)
    }

    fn unlock_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<(), BackendError> {
        self.inner.unlock_range(start, end)
    }

    fn query_lock_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<bool, BackendError> {
        self.inner.query_lock_range(start, end)
    }
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use std::{
        io::{Seek as _, SeekFrom, Write as _},
        sync::atomic::{AtomicUsize, Ordering},
    };

    use rustix::fs::{Advice, fadvise};

    use super::*;

    static WAITED: AtomicUsize = AtomicUsize::new(0);

    fn counted(read: &mut dyn FnMut()) {
        WAITED.fetch_add(1, Ordering::SeqCst);
        read();
    }

    /// Whether the system lets go of a file's bytes, and says so.
    fn evicted(file: &File) -> bool {
        let mut byte = [0];
        (0..100).any(|_| {
            let _ = fadvise(file, 0, None, Advice::DontNeed);
            read_at_hand(file, 0, &mut byte) == 0
        })
    }

    #[test]
    fn only_what_is_not_at_hand_is_waited_for() {
        let bytes: Vec<u8> = (0..4 * 4096_u32).map(|n| (n % 251) as u8).collect();
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(&bytes).unwrap();
        file.sync_all().unwrap();
        let waits = Waits::default();
        let waiting = WaitingFile::new(file.try_clone().unwrap(), &waits).unwrap();
        let read = |offset: usize, length: usize| {
            let mut out = vec![0; length];
            waiting.read(offset as u64, &mut out).map(|()| assert_eq!(out, bytes[offset..offset + length]))
        };
        read(5, 9000).unwrap();
        waits.set(counted).unwrap();
        assert!(read(16_000, 1000).is_err(), "beyond the end");
        let before = WAITED.load(Ordering::SeqCst);
        if evicted(&file) {
            read(5000, 9000).unwrap();
            assert_eq!(WAITED.load(Ordering::SeqCst), before + 1, "it was not at hand");
        }
        // Now it is, where the file system can tell at all.
        file.seek(SeekFrom::Start(0)).unwrap();
        std::io::copy(&mut file, &mut std::io::sink()).unwrap();
        let before = WAITED.load(Ordering::SeqCst);
        read(5000, 9000).unwrap();
        let waited = WAITED.load(Ordering::SeqCst) - before;
        let mut byte = [0];
        assert_eq!(waited, usize::from(read_at_hand(&file, 0, &mut byte) == 0));
    }
}
