//! A file that lasts: allocated and written before, so that a sync has no more to write than what was put into it.
//! A thread of its own puts there what waits, as one group: whoever serves requests takes in more meanwhile.
//!
//! Syncing on the thread that serves is as fast at 64 connections and a little faster at 16 while nothing else runs.
//! Beside anything else it is a half to a quarter of this: that thread then waits for its turn after each sync, and
//! with it all that is to be read and answered.

use std::{fs::File, io, os::unix::fs::FileExt as _, path::Path, sync::mpsc};

/// How long the file is; then it is written from its beginning again.
const LENGTH: usize = 32 << 20;

/// See the module.
#[derive(Debug)]
pub(super) struct Journal {
    file: File,
    at: usize,
}

impl Journal {
    /// A file of zeros.
    pub(super) fn create(path: &Path) -> io::Result<Self> {
        let file = File::create(path)?;
        file.write_all_at(&vec![0; LENGTH], 0)?;
        file.sync_all()?;
        Ok(Self { file, at: 0 })
    }

    /// Puts a group behind what is there: one write and one sync, whatever it holds.
    pub(super) fn append(&mut self, group: &[u8]) -> io::Result<()> {
        if self.at + group.len() > LENGTH {
            self.at = 0;
        }
        self.file.write_all_at(group, self.at as u64)?;
        self.at += group.len();
        self.file.sync_data()
    }
}

/// Has a thread write what is sent to it, a group at a time, until nobody can send any more or it fails; nobody is told of
/// anything from then on. `write` makes a group last, `tell` gets whoever waits for what was written together.
pub(super) fn committer<B, W>(
    mut write: impl FnMut(Vec<B>) -> io::Result<()> + Send + 'static,
    mut tell: impl FnMut(Vec<W>) + Send + 'static,
) -> io::Result<mpsc::Sender<(B, W)>>
where
    B: Send + 'static,
    W: Send + 'static,
{
    let (queue, waiting) = mpsc::channel::<(B, W)>();
    std::thread::Builder::new().spawn(move || {
        while let Ok(first) = waiting.recv() {
            let (group, told) = std::iter::once(first).chain(waiting.try_iter()).unzip();
            if write(group).is_err() {
                return;
            }
            tell(told);
        }
    })?;
    Ok(queue)
}

impl Journal {
    /// Writes groups whose parts `put` appends to a group's bytes.
    pub(super) fn writer<B>(
        mut self,
        mut put: impl FnMut(&mut Vec<u8>, B) -> io::Result<()>,
    ) -> impl FnMut(Vec<B>) -> io::Result<()> {
        let mut bytes = Vec::new();
        move |group| {
            bytes.clear();
            group.into_iter().try_for_each(|one| put(&mut bytes, one))?;
            self.append(&bytes)
        }
    }
}

/// Puts bytes as they are.
pub(super) fn as_sent<B: AsRef<[u8]>>(group: &mut Vec<u8>, bytes: B) -> io::Result<()> {
    group.extend_from_slice(bytes.as_ref());
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_waits_is_told_when_it_is_written() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("journal");
        let (tell, told) = mpsc::channel();
        let journal = Journal::create(&path).unwrap();
        let queue = committer(journal.writer(as_sent), move |list| tell.send(list).unwrap()).unwrap();
        for who in 0..3 {
            queue.send((b"ab", who)).unwrap();
        }
        drop(queue);
        assert_eq!(told.iter().flatten().collect::<Vec<_>>(), [0, 1, 2]);
        assert!(std::fs::read(path).unwrap().starts_with(b"ababab\0"));
    }

    #[test]
    fn it_begins_again_where_it_ends() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("journal");
        let mut journal = Journal::create(&path).unwrap();
        journal.append(&vec![1; LENGTH - 1]).unwrap();
        journal.append(&[2, 2]).unwrap();
        let written = std::fs::read(path).unwrap();
        assert_eq!((written.len(), &written[..3], journal.at), (LENGTH, [2, 2, 1].as_slice(), 2));
    }
}
