//! Reading files that decide whom to trust: only where nobody else could have put them there.

use std::{
    fs::{self, File, Metadata, OpenOptions},
    io::{self, Read as _},
    os::unix::fs::{MetadataExt as _, OpenOptionsExt as _, PermissionsExt as _},
    path::Path,
};

use nix::{errno::Errno, fcntl::OFlag};

use crate::error::Failure;

/// The largest such file is a configuration.
const BYTES_MAX: u64 = 1024 * 1024;

/// What others may do with a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Others {
    /// Nothing: it is a secret.
    Nothing,
    /// Read it.
    Read,
}

impl Others {
    fn forbidden(self) -> u32 {
        match self {
            Self::Nothing => 0o077,
            Self::Read => 0o022,
        }
    }

    fn complaint(self) -> &'static str {
        match self {
            Self::Nothing => "can be read or written by others",
            Self::Read => "can be written by others",
        }
    }
}

/// The text of a plain file of the caller's own; `None` where there is none.
pub(crate) fn read(path: &Path, others: Others) -> Result<Option<String>, Failure> {
    let failed = |e: io::Error| Failure::file("read", path, &e);
    // What was looked at is what is read: the checks are made on the open file. A pipe is not waited for.
    let flags = OFlag::O_NOFOLLOW | OFlag::O_NONBLOCK;
    let file = match OpenOptions::new().read(true).custom_flags(flags.bits()).open(path) {
        Ok(file) => file,
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(e) if e.raw_os_error() == Some(Errno::ELOOP as i32) => return Err(no_file(path)),
        Err(e) => return Err(failed(e)),
    };
    let meta = file.metadata().map_err(failed)?;
    if !meta.is_file() {
        return Err(no_file(path));
    }
    check_owner(path, &meta)?;
    if meta.permissions().mode() & others.forbidden() != 0 {
        return Err(unsafe_path(path, others.complaint(), &format!("chmod 600 {}", quoted(path))));
    }
    read_bounded(file).map(Some).map_err(failed)
}

/// Whether a directory is there. One in which others could exchange files is refused.
pub(crate) fn check_directory(path: &Path) -> Result<bool, Failure> {
    let meta = match fs::symlink_metadata(path) {
        Ok(meta) => meta,
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(false),
        Err(e) => return Err(Failure::file("read", path, &e)),
    };
    if !meta.is_dir() {
        return Err(unsafe_path(path, "is no directory of its own", &aside(path)));
    }
    check_owner(path, &meta)?;
    if meta.permissions().mode() & Others::Read.forbidden() != 0 {
        let remedy = format!("chmod 700 {}", quoted(path));
        return Err(unsafe_path(path, Others::Read.complaint(), &remedy));
    }
    Ok(true)
}

fn read_bounded(file: File) -> io::Result<String> {
    let mut text = String::new();
    file.take(BYTES_MAX + 1).read_to_string(&mut text)?;
    if text.len() as u64 > BYTES_MAX {
        return Err(io::Error::new(io::ErrorKind::FileTooLarge, "larger than it could be"));
    }
    Ok(text)
}

fn check_owner(path: &Path, meta: &Metadata) -> Result<(), Failure> {
    if meta.uid() == nix::unistd::geteuid().as_raw() {
        return Ok(());
    }
    let remedy = format!("sudo chown $(id -u) {}", quoted(path));
    Err(unsafe_path(path, "belongs to somebody else", &remedy))
}

fn no_file(path: &Path) -> Failure {
    unsafe_path(path, "is no file of its own", &aside(path))
}

fn aside(path: &Path) -> String {
    let mut moved = path.as_os_str().to_owned();
    moved.push(".aside");
    format!("mv {} {}", quoted(path), quoted(Path::new(&moved)))
}

fn unsafe_path(path: &Path, what: &str, remedy: &str) -> Failure {
    Failure::refused(format!("{} {what}, and is not trusted", path.display())).hint(format!("run: {remedy}"))
}

/// A path as a shell takes it.
fn quoted(path: &Path) -> String {
    format!("'{}'", path.display().to_string().replace('\'', r"'\''"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_survives_the_shell() {
        assert_eq!(quoted(Path::new("/a b/it's")), r"'/a b/it'\''s'");
    }

    #[test]
    fn what_is_too_large_or_a_pipe_is_not_read() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("file");
        fs::write(&path, vec![b'x'; 1024 * 1024 + 1]).unwrap();
        assert!(read(&path, Others::Read).is_err());
        let pipe = dir.path().join("pipe");
        nix::unistd::mkfifo(&pipe, nix::sys::stat::Mode::S_IRUSR).unwrap();
        assert!(read(&pipe, Others::Nothing).is_err());
        assert!(read(&dir.path().join("none"), Others::Nothing).unwrap().is_none());
    }
}
