//! Reading a stopped home's log without an instance: the one place that calls into the server's library.

use std::{io, path::Path};

use spl_kernel::commit::Chain;
use spl_server::offline;
pub(crate) use spl_server::offline::{ReplayReport, RestoreReport};

use crate::error::Failure;

/// Takes `(done, total)`.
pub(crate) type Progress<'a> = &'a mut dyn FnMut(u64, u64);

/// The log of a stopped home, locked while this lives.
pub(crate) struct Log(offline::Offline);

/// What a verification found.
#[derive(Debug, serde::Serialize, serde::Deserialize)]
pub(crate) struct Verified {
    pub(crate) ok: bool,
    pub(crate) records: u64,
    pub(crate) commits: u64,
    pub(crate) head: Head,
    pub(crate) digest: String,
    pub(crate) problems: Vec<String>,
}

/// The end of a log.
#[derive(Debug, serde::Serialize, serde::Deserialize)]
pub(crate) struct Head {
    pub(crate) sequence: u64,
    pub(crate) chain: String,
}

fn failed(error: impl std::fmt::Display) -> Failure {
    Failure::refused(error.to_string())
}

impl Log {
    /// Opens the log of a home, read-only, and takes the home's lock.
    pub(crate) fn open(home: &Path) -> Result<Self, Failure> {
        offline::open(home).map(Self).map_err(failed)
    }

    /// Gives every record above `since` as a line of JSON.
    pub(crate) fn export(
        &self,
        since: u64,
        reserved: bool,
        line: &mut dyn FnMut(&str) -> io::Result<()>,
    ) -> Result<(), Failure> {
        self.0.export(since, reserved, line).map_err(failed)
    }

    /// Recomputes everything, and compares with the kept head where one is given.
    pub(crate) fn verify(
        &self,
        progress: Progress<'_>,
        head: Option<(u64, Chain)>,
    ) -> Result<Verified, Failure> {
        let report = self.0.verify(progress, head).map_err(failed)?;
        Ok(Verified {
            ok: report.ok,
            records: report.records,
            commits: report.commits,
            head: Head { sequence: report.head.sequence, chain: report.head.chain },
            digest: report.digest,
            problems: report.problems,
        })
    }

    /// Folds all records from nothing.
    pub(crate) fn replay(&self, progress: Progress<'_>) -> Result<ReplayReport, Failure> {
        self.0.replay(progress).map_err(failed)
    }

    /// Writes a backup.
    pub(crate) fn backup(&self, to: &mut dyn io::Write, progress: Progress<'_>) -> Result<(), Failure> {
        self.0.backup(to, progress).map_err(failed)
    }
}

/// Puts a backup into a stopped home; `progress` takes how many records are in.
pub(crate) fn restore(
    home: &Path,
    backup: &mut dyn io::Read,
    progress: &mut dyn FnMut(u64),
) -> Result<RestoreReport, Failure> {
    offline::restore(home, backup, progress).map_err(failed)
}

/// Takes the permission rules of a stopped home out of force; false where they were already.
pub(crate) fn permissions_unlock(home: &Path) -> Result<bool, Failure> {
    offline::permissions_unlock(home).map_err(failed)
}

/// A head that somebody kept, written as `<sequence>:<chain>`.
pub(crate) fn parse_head(text: &str) -> Result<(u64, Chain), String> {
    offline::parse_head(text)
        .map_err(|()| "write it as SEQUENCE:CHAIN, the chain in 64 hex digits".to_owned())
}

/// Whether only an instance itself writes on a thread of this name.
pub(crate) fn is_reserved_thread(thread: &str) -> bool {
    spl_server::is_reserved_thread(thread)
}

/// Whether only an instance itself writes records of this kind.
pub(crate) fn is_reserved_kind(kind: &str) -> bool {
    spl_server::is_reserved_kind(kind)
}
