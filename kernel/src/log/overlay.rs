//! A file that is read and never written: what redb would write goes to memory.
//!
//! Opening a database marks it as open and may repair it. Before a log is trusted, and for every offline
//! command, that must not touch the file: a refused log stays as it was.

use std::{
    collections::BTreeMap,
    fs::File,
    io,
    os::unix::fs::FileExt as _,
    sync::{Mutex, PoisonError},
};

const BLOCK_BYTES: usize = 4096;

#[derive(Debug)]
struct Written {
    len: u64,
    /// How much of the file still shows through.
    file_len: u64,
    blocks: BTreeMap<u64, Box<[u8; BLOCK_BYTES]>>,
}

/// The backend.
#[derive(Debug)]
pub(super) struct Overlay {
    file: File,
    written: Mutex<Written>,
}

impl Overlay {
    pub(super) fn new(file: File) -> io::Result<Self> {
        let file_len = file.metadata()?.len();
        let written = Written { len: file_len, file_len, blocks: BTreeMap::new() };
        Ok(Self { file, written: Mutex::new(written) })
    }

    fn read_block(&self, written: &Written, block: u64) -> io::Result<Box<[u8; BLOCK_BYTES]>> {
        if let Some(bytes) = written.blocks.get(&block) {
            return Ok(bytes.clone());
        }
        let mut bytes = Box::new([0; BLOCK_BYTES]);
        let start = block * BLOCK_BYTES as u64;
        let available =
            usize::try_from(written.file_len.saturating_sub(start)).unwrap_or(usize::MAX).min(BLOCK_BYTES);
        self.file.read_exact_at(&mut bytes[..available], start)?;
        Ok(bytes)
    }
}

/// Calls `f` with each block that `offset..offset + len` touches, the range inside the block, and the range
/// inside the buffer.
fn blocks(
    offset: u64,
    len: usize,
    mut f: impl FnMut(u64, std::ops::Range<usize>, std::ops::Range<usize>) -> io::Result<()>,
) -> io::Result<()> {
    let mut done = 0;
    while done < len {
        let at = offset + done as u64;
        let inside = usize::try_from(at % BLOCK_BYTES as u64).unwrap_or_default();
        let count = (BLOCK_BYTES - inside).min(len - done);
        f(at / BLOCK_BYTES as u64, inside..inside + count, done..done + count)?;
        done += count;
    }
    Ok(())
}

impl redb::StorageBackend for Overlay {
    fn len(&self) -> io::Result<u64> {
        Ok(self.written.lock().unwrap_or_else(PoisonError::into_inner).len)
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        let written = self.written.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(end) = offset.checked_add(out.len() as u64).filter(|end| *end <= written.len) else {
            return Err(io::ErrorKind::UnexpectedEof.into());
        };
        // Nearly everything is as it is in the file, and a whole page of it is read at once.
        let available = usize::try_from(written.file_len.saturating_sub(offset)).unwrap_or(usize::MAX);
        let (shown, beyond) = out.split_at_mut(available.min(out.len()));
        self.file.read_exact_at(shown, offset)?;
        beyond.fill(0);
        let touched = offset / BLOCK_BYTES as u64..end.div_ceil(BLOCK_BYTES as u64);
        if written.blocks.range(touched).next().is_none() {
            return Ok(());
        }
        blocks(offset, out.len(), |block, inside, outside| {
            if let Some(bytes) = written.blocks.get(&block) {
                out[outside].copy_from_slice(&bytes[inside]);
            }
            Ok(())
        })
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        let mut written = self.written.lock().unwrap_or_else(PoisonError::into_inner);
        written.len = len;
        written.file_len = written.file_len.min(len);
        // What is cut off must read as zeros if the file grows again.
        drop(written.blocks.split_off(&len.div_ceil(BLOCK_BYTES as u64)));
        let inside = usize::try_from(len % BLOCK_BYTES as u64).unwrap_or_default();
        if let Some(block) = written.blocks.get_mut(&(len / BLOCK_BYTES as u64)) {
            block[inside..].fill(0);
        }
        Ok(())
    }

    fn sync_data(&self) -> io::Result<()> {
        Ok(())
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        let mut written = self.written.lock().unwrap_or_else(PoisonError::into_inner);
        blocks(offset, data.len(), |block, inside, outside| {
            let mut bytes = self.read_block(&written, block)?;
            bytes[inside].copy_from_slice(&data[outside]);
            written.blocks.insert(block, bytes);
            Ok(())
        })
    }
}
