//! Files that are there whole or not at all.

use std::{
    fs::{self, File, OpenOptions},
    os::unix::fs::OpenOptionsExt as _,
    path::{Path, PathBuf},
};

use serde_json::json;

use crate::{context::Context, entropy, error::Failure, output, text};

/// A file that appears under its name only when it is complete, and is gone where it never is.
pub(crate) struct PartialFile {
    file: File,
    part: PathBuf,
    path: PathBuf,
    published: bool,
}

impl PartialFile {
    /// Creates `<path>.<random>.part`, for its owner only. Its name cannot be known before, and what has it
    /// already, a link too, is never opened.
    pub(crate) fn create(path: &Path) -> Result<Self, Failure> {
        let mut name = path.as_os_str().to_owned();
        name.push(format!(".{}.part", entropy::suffix()?));
        let part = PathBuf::from(name);
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(&part)
            .map_err(|e| Failure::file("create", &part, &e))?;
        Ok(Self { file, part, path: path.to_owned(), published: false })
    }

    /// A handle to write with, and to read again what was written; all handles have one position.
    pub(crate) fn handle(&self) -> Result<File, Failure> {
        self.file.try_clone().map_err(|e| Failure::file("write", &self.part, &e))
    }

    /// Gives the file its name; says how large it is.
    pub(crate) fn publish(mut self) -> Result<u64, Failure> {
        let failed = |e: std::io::Error| Failure::file("write", &self.path, &e);
        self.file.sync_all().map_err(failed)?;
        let size = self.file.metadata().map_err(failed)?.len();
        fs::rename(&self.part, &self.path).map_err(failed)?;
        self.published = true;
        Ok(size)
    }
}

/// Tells that records were written to a file; `object` names it to programs.
pub(crate) fn tell_exported(
    ctx: &Context,
    object: &str,
    records: u64,
    bytes: u64,
    path: &Path,
) -> Result<(), Failure> {
    if ctx.out.is_human() {
        let total = text::counted(records, "record");
        output::note(format_args!("exported {total} to {} ({})", path.display(), text::bytes(bytes)));
        return Ok(());
    }
    let file = path.display().to_string();
    ctx.out.json(&json!({ "object": object, "records": records, "bytes": bytes, "file": file }))
}

impl Drop for PartialFile {
    fn drop(&mut self) {
        if !self.published {
            // Where even this fails, the name still says that the file is not complete.
            let _ = fs::remove_file(&self.part);
        }
    }
}
