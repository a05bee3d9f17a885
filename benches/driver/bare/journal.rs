//! A file that lasts: allocated and written before, so that a sync has no more to write than what was put into it.

use std::{fs::File, io, os::unix::fs::FileExt as _, path::Path};

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

#[cfg(test)]
mod tests {
    use super::*;

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
