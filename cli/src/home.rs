//! The home directory: where its files are, and who holds it.

use std::{
    fs::{self, File, TryLockError},
    path::{Path, PathBuf},
};

use serde::{Deserialize, Serialize};

use crate::{
    error::Failure,
    private::{self, Others},
    saved::SavedToken,
};

/// A home directory, there or not.
#[derive(Debug, Clone)]
pub(crate) struct Home {
    root: PathBuf,
}

/// What a running instance says of itself in `run/instance.json`.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct InstanceFile {
    /// Where it listens.
    pub(crate) url: String,
    /// The bound port.
    pub(crate) port: u16,
    /// Its process.
    pub(crate) pid: i32,
    /// Its DID.
    #[serde(default)]
    pub(crate) instance_did: String,
    /// Its version.
    #[serde(default)]
    pub(crate) version: String,
    /// When it was ready.
    #[serde(default)]
    pub(crate) started_at: String,
}

/// A process, told apart from a later one with the same id by its start time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Process {
    /// The process id.
    pub(crate) pid: i32,
    /// Clock ticks between boot and its start.
    pub(crate) start_ticks: u64,
}

impl Process {
    /// Whether it lives.
    pub(crate) fn is_alive(self) -> bool {
        start_ticks(self.pid) == Some(self.start_ticks)
    }
}

impl Home {
    /// The home at `root`.
    pub(crate) fn new(root: PathBuf) -> Self {
        Self { root }
    }

    /// The directory itself.
    pub(crate) fn root(&self) -> &Path {
        &self.root
    }

    /// A path below it.
    pub(crate) fn path(&self, below: &str) -> PathBuf {
        self.root.join(below)
    }

    /// Whether it holds a log.
    pub(crate) fn has_log(&self) -> bool {
        self.path("log.redb").exists()
    }

    /// Makes a directory below the home, and the home, for their owner only.
    pub(crate) fn make_dir(&self, below: &str) -> Result<PathBuf, Failure> {
        use std::os::unix::fs::DirBuilderExt as _;
        let path = self.path(below);
        fs::DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(&path)
            .map_err(|e| Failure::file("create the directory", &path, &e))?;
        Ok(path)
    }

    /// Whether a process holds the home's lock. Where the lock could be had, it is let go at once.
    pub(crate) fn is_held(&self) -> bool {
        let Ok(file) = File::open(self.path("run/lock")) else { return false };
        // A shared lock is refused by the holder's exclusive one, and does not get in the way of other askers.
        matches!(file.try_lock_shared(), Err(TryLockError::WouldBlock))
    }

    /// The process that `run/spl.pid` names.
    pub(crate) fn process(&self) -> Option<Process> {
        let text = fs::read_to_string(self.path("run/spl.pid")).ok()?;
        let mut words = text.split_ascii_whitespace();
        let pid = words.next()?.parse().ok().filter(|pid| *pid > 1)?;
        Some(Process { pid, start_ticks: words.next()?.parse().ok()? })
    }

    /// The live process that runs this home: it is the one recorded, and the lock is held.
    pub(crate) fn running(&self) -> Option<Process> {
        self.process().filter(|process| process.is_alive() && self.is_held())
    }

    /// What the instance recorded about itself.
    pub(crate) fn instance(&self) -> Result<Option<InstanceFile>, Failure> {
        let text = self.read("run/instance.json", Others::Read)?;
        Ok(text.and_then(|text| serde_json::from_str(&text).ok()))
    }

    /// The address of the instance that holds the lock now: recorded by the very process that lives and holds it.
    /// What a killed one left behind may be anybody's address by now, whoever holds the lock meanwhile.
    pub(crate) fn held_url(&self) -> Result<Option<String>, Failure> {
        let Some(process) = self.running() else { return Ok(None) };
        Ok(self.instance()?.filter(|instance| instance.pid == process.pid).map(|instance| instance.url))
    }

    /// The local proof that the running instance wrote: 64 hex digits.
    pub(crate) fn local_proof(&self) -> Result<Option<String>, Failure> {
        let text = self.read("run/local", Others::Nothing)?;
        let proof = text.as_deref().map(str::trim).unwrap_or_default();
        let whole = proof.len() == 64 && proof.bytes().all(|b| b.is_ascii_hexdigit());
        Ok(whole.then(|| proof.to_owned()))
    }

    /// The saved token, where there is one.
    pub(crate) fn saved_token(&self) -> Result<Option<SavedToken>, Failure> {
        Ok(self.read("token", Others::Nothing)?.and_then(|text| SavedToken::parse(&text)))
    }

    /// The text of `config.toml`, where there is one.
    pub(crate) fn config(&self) -> Result<Option<String>, Failure> {
        self.read("config.toml", Others::Read)
    }

    /// Reads a file that decides whom to trust; neither it nor a directory on the way may be somebody else's.
    fn read(&self, below: &str, others: Others) -> Result<Option<String>, Failure> {
        let path = self.path(below);
        let directories = path.ancestors().skip(1).take_while(|directory| directory.starts_with(&self.root));
        for directory in directories {
            if !private::check_directory(directory)? {
                return Ok(None);
            }
        }
        private::read(&path, others)
    }
}

/// When a process started, in clock ticks since boot: the 22nd field of `/proc/<pid>/stat`.
fn start_ticks(pid: i32) -> Option<u64> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The second field is the command's name in parentheses, which may hold spaces and parentheses itself.
    let (_, after_name) = stat.rsplit_once(')')?;
    let mut fields = after_name.split_ascii_whitespace();
    // A zombie has ended; only its exit code waits to be read.
    if fields.next()? == "Z" {
        return None;
    }
    fields.nth(18)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_process_is_alive_and_a_namesake_is_not() {
        let pid = i32::try_from(std::process::id()).unwrap();
        let ticks = start_ticks(pid).unwrap();
        assert!(Process { pid, start_ticks: ticks }.is_alive());
        assert!(!Process { pid, start_ticks: ticks + 1 }.is_alive());
    }
}
