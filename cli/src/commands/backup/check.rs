//! Whether a backup that was just written is whole: an instance that breaks off leaves one without an end.
//!
//! The layout is that of `spl_kernel::log::backup`. Here its structure and its chain are followed to the end;
//! what is in its commits is checked by a restore.

use std::{
    fs::File,
    io::{self, BufReader, Read, Seek as _, SeekFrom},
};

use spl_kernel::{
    commit::{Chain, decode_commit},
    limits,
};

const MAGIC: &[u8] = b"spl-backup-v1\n";

/// Follows a backup to its end.
pub(super) fn whole(mut file: File) -> Result<(), String> {
    file.seek(SeekFrom::Start(0)).map_err(|e| said(&e))?;
    follow(&mut BufReader::with_capacity(256 * 1024, file))
}

fn follow(backup: &mut impl Read) -> Result<(), String> {
    let mut magic = [0; MAGIC.len()];
    backup.read_exact(&mut magic).map_err(|e| said(&e))?;
    if magic != MAGIC {
        return Err("it does not begin as a backup does".to_owned());
    }
    let (mut chain, mut last) = (Chain::GENESIS, Vec::new());
    while let Some(length) = commit_length(backup)? {
        last.clear();
        backup.take(length).read_to_end(&mut last).map_err(|e| said(&e))?;
        if last.len() as u64 != length {
            return Err(said(&io::ErrorKind::UnexpectedEof.into()));
        }
        chain = chain.after(&last);
    }
    let end = match last.as_slice() {
        [] => 0,
        commit => {
            let (_, records) = decode_commit(commit).map_err(|e| e.to_string())?;
            records.last().map_or(0, |record| record.sequence)
        }
    };
    if number(backup)? != end || Chain::from_bytes(bytes(backup)?) != chain {
        return Err("its end does not match its content".to_owned());
    }
    if backup.read(&mut [0]).map_err(|e| said(&e))? != 0 {
        return Err("there is more after its end".to_owned());
    }
    Ok(())
}

/// The length of the next commit; `None` after the last.
fn commit_length(backup: &mut impl Read) -> Result<Option<u64>, String> {
    match u64::from(u32::from_le_bytes(bytes(backup)?)) {
        0 => Ok(None),
        length if length > limits::COMMIT_BYTES_MAX as u64 => {
            Err("a commit is longer than it may be".to_owned())
        }
        length => Ok(Some(length)),
    }
}

fn number(backup: &mut impl Read) -> Result<u64, String> {
    bytes(backup).map(u64::from_le_bytes)
}

fn bytes<const N: usize>(backup: &mut impl Read) -> Result<[u8; N], String> {
    let mut bytes = [0; N];
    backup.read_exact(&mut bytes).map_err(|e| said(&e))?;
    Ok(bytes)
}

fn said(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::UnexpectedEof => "it ends too early".to_owned(),
        _ => format!("it cannot be read again: {error}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn empty() -> Vec<u8> {
        [MAGIC, &[0; 4], &[0; 8], &[0; 32]].concat()
    }

    #[test]
    fn a_backup_ends_with_its_trailer_and_nothing_else() {
        let whole = empty();
        assert_eq!(follow(&mut whole.as_slice()), Ok(()));
        for end in 0..whole.len() {
            assert!(follow(&mut &whole[..end]).is_err(), "cut at {end}");
        }
        assert!(follow(&mut [&whole[..], b"x"].concat().as_slice()).is_err());
    }

    #[test]
    fn what_is_stated_must_be_there() {
        let at = MAGIC.len();
        let mut long = empty();
        long[at..at + 4].copy_from_slice(&u32::MAX.to_le_bytes());
        assert!(follow(&mut long.as_slice()).is_err());
        let mut other = empty();
        other[at + 4] = 1;
        assert!(follow(&mut other.as_slice()).is_err());
    }
}
