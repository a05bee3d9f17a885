//! Servers as processes: started in a directory of their own, watched through /proc, and stopped for sure.

use std::{
    fs::File,
    io,
    net::{Ipv4Addr, TcpListener},
    os::unix::{fs::chown, process::CommandExt as _},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::Duration,
};

use nix::{
    sys::{
        resource::{Resource, getrlimit, setrlimit},
        signal::{Signal, kill},
    },
    unistd::{Pid, SysconfVar, User, geteuid, sysconf},
};
use spl_benches::now;
use tempfile::TempDir;

use crate::Outcome;

/// How long a server may take to start, or to stop.
const START_TIMEOUT: Duration = Duration::from_secs(120);
const STOP_TIMEOUT: Duration = Duration::from_secs(30);

/// Waits a little before something is looked at again.
pub(crate) fn pause(time: Duration) {
    #[expect(
        clippy::disallowed_methods,
        reason = "other processes say by nothing but their state that they are ready"
    )]
    std::thread::sleep(time);
}

/// Where results, data of servers and peers' programs go: the disk that the build is on.
pub(crate) fn bench_directory() -> io::Result<PathBuf> {
    let directory = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../target/bench");
    std::fs::create_dir_all(&directory)?;
    directory.canonicalize()
}

/// A directory for one server's data.
pub(crate) fn data_directory() -> io::Result<TempDir> {
    tempfile::Builder::new().prefix("data-").tempdir_in(bench_directory()?)
}

/// A port that nobody listens on.
pub(crate) fn free_port() -> io::Result<u16> {
    Ok(TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?.port())
}

/// Allows this process and those that it starts as many open files as there may be, and says how many.
pub(crate) fn raise_open_files() -> Outcome<u64> {
    let (_, most) = getrlimit(Resource::RLIMIT_NOFILE)?;
    setrlimit(Resource::RLIMIT_NOFILE, most, most)?;
    Ok(most)
}

/// The first of some programs that answers when it is asked for its version, and what it says.
pub(crate) fn find(candidates: &[PathBuf]) -> Option<(PathBuf, String)> {
    candidates.iter().find_map(|program| {
        let output = Command::new(program).arg("--version").stdin(Stdio::null()).output().ok()?;
        let text = String::from_utf8_lossy(&output.stdout).lines().next().unwrap_or_default().to_owned();
        output.status.success().then(|| (program.clone(), text))
    })
}

/// The user that servers run as which refuse the superuser: nobody else's files are theirs.
fn unprivileged() -> Outcome<Option<User>> {
    if !geteuid().is_root() {
        return Ok(None);
    }
    let user = match User::from_name("postgres")? {
        Some(user) => Some(user),
        None => User::from_name("nobody")?,
    };
    user.map(Some).ok_or_else(|| "there is no user without privileges to run as".into())
}

/// Has a command run without privileges, and gives it the directory.
pub(crate) fn drop_privileges(command: &mut Command, directory: &Path) -> Outcome<()> {
    if let Some(user) = unprivileged()? {
        chown(directory, Some(user.uid.as_raw()), Some(user.gid.as_raw()))?;
        command.uid(user.uid.as_raw()).gid(user.gid.as_raw());
    }
    command.current_dir(directory);
    Ok(())
}

/// What a server and the processes that it started have used.
#[derive(Debug, Default, Clone, Copy, PartialEq)]
pub(crate) struct Usage {
    /// Seconds of processor time, of those that live.
    pub(crate) cpu: f64,
    /// Bytes of memory that are resident. What processes share is counted for each.
    pub(crate) resident: u64,
    /// The most that it ever was, in bytes.
    pub(crate) peak: u64,
}

/// A server's process, its output in a file beside its data.
#[derive(Debug)]
pub(crate) struct Server {
    child: Child,
    /// What it has said, for when it fails.
    output: PathBuf,
}

impl Server {
    /// Starts it.
    pub(crate) fn start(command: &mut Command, output: PathBuf) -> Outcome<Self> {
        let file = File::options().create(true).append(true).open(&output)?;
        command.stdin(Stdio::null()).stdout(file.try_clone()?).stderr(file);
        let child = command.spawn().map_err(|e| format!("{command:?} does not start: {e}"))?;
        Ok(Self { child, output })
    }

    /// Tries something until it succeeds.
    pub(crate) fn wait<T>(&mut self, mut attempt: impl FnMut() -> Outcome<T>) -> Outcome<T> {
        let start = now();
        loop {
            let error = match attempt() {
                Ok(value) => return Ok(value),
                Err(e) => e,
            };
            let ended = self.child.try_wait()?;
            if ended.is_some() || now() > start + START_TIMEOUT {
                let said = std::fs::read_to_string(&self.output).unwrap_or_default();
                let tail: Vec<&str> = said.lines().rev().take(5).collect();
                return Err(format!("it does not get ready ({ended:?}): {error}; it said: {tail:?}").into());
            }
            pause(Duration::from_millis(1));
        }
    }

    fn pid(&self) -> Pid {
        Pid::from_raw(i32::try_from(self.child.id()).unwrap_or(i32::MAX))
    }

    /// Kills it, as a power cut would, short of what the kernel has not written yet.
    pub(crate) fn kill(mut self) -> io::Result<()> {
        self.child.kill()?;
        self.child.wait().map(drop)
    }

    /// Asks it to end, and waits for that.
    pub(crate) fn stop(mut self, signal: Signal) -> Outcome<()> {
        kill(self.pid(), signal)?;
        let start = now();
        while self.child.try_wait()?.is_none() {
            if now() > start + STOP_TIMEOUT {
                return Err("it does not stop".into());
            }
            pause(Duration::from_millis(2));
        }
        Ok(())
    }

    /// What it and its children have used.
    pub(crate) fn usage(&self) -> Usage {
        let mut usage = Usage::default();
        let mut family = vec![self.child.id()];
        let parents = parents();
        let mut at = 0;
        while let Some(pid) = family.get(at).copied() {
            family.extend(parents.iter().filter(|(_, parent)| *parent == pid).map(|(child, _)| *child));
            usage.cpu += cpu_of(pid).unwrap_or(0.0);
            usage.resident += memory_of(pid, "VmRSS:").unwrap_or(0);
            usage.peak += memory_of(pid, "VmHWM:").unwrap_or(0);
            at += 1;
        }
        usage
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // SIGQUIT, not SIGKILL, first: a server of many processes takes its own down with it.
        let _ = kill(self.pid(), Signal::SIGQUIT);
        for _ in 0..100 {
            if !matches!(self.child.try_wait(), Ok(None)) {
                return;
            }
            pause(Duration::from_millis(10));
        }
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The fields of /proc/PID/stat that come after the name, which may hold anything.
fn stat_of(pid: u32) -> Option<Vec<String>> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    Some(stat.rsplit_once(')')?.1.split_whitespace().map(str::to_owned).collect())
}

fn parents() -> Vec<(u32, u32)> {
    let Ok(list) = std::fs::read_dir("/proc") else { return Vec::new() };
    let pids = list.filter_map(|e| e.ok()?.file_name().to_str()?.parse().ok());
    pids.filter_map(|pid| Some((pid, stat_of(pid)?.get(1)?.parse().ok()?))).collect()
}

fn cpu_of(pid: u32) -> Option<f64> {
    let stat = stat_of(pid)?;
    let ticks = stat.get(11)?.parse::<f64>().ok()? + stat.get(12)?.parse::<f64>().ok()?;
    Some(ticks / sysconf(SysconfVar::CLK_TCK).ok()?? as f64)
}

fn memory_of(pid: u32, what: &str) -> Option<u64> {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let line = status.lines().find_map(|l| l.strip_prefix(what))?;
    line.trim().strip_suffix(" kB")?.parse::<u64>().ok().map(|k| k * 1024)
}

/// The machine's load averages. More than the driver and a server can make means that somebody else was there.
pub(crate) fn load_average() -> String {
    let text = std::fs::read_to_string("/proc/loadavg").unwrap_or_default();
    let loads: Vec<&str> = text.split_whitespace().take(3).collect();
    let cores = std::thread::available_parallelism().map_or(1.0, |n| n.get() as f64);
    let latest = loads.first().and_then(|l| l.parse::<f64>().ok()).unwrap_or(0.0);
    let busy = if latest > 2.0 * cores { " BUSY" } else { "" };
    loads.join(" ") + busy
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_is_watched_and_ends() {
        let directory = tempfile::tempdir().unwrap();
        let mut command = Command::new("sleep");
        command.arg("100");
        let server = Server::start(&mut command, directory.path().join("output")).unwrap();
        assert!(server.usage().resident > 0);
        server.stop(Signal::SIGTERM).unwrap();
    }

    #[test]
    fn a_program_that_is_not_there_is_not_found() {
        assert_eq!(find(&[PathBuf::from("/nowhere/program")]), None);
    }
}
