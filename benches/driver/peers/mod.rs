//! Servers that do a part of the same job, run as they are to be run where what they acknowledge must last and
//! who asks must say who they are. Each is found if it is installed, started with an empty directory on a free
//! port, and spoken to in its own protocol by the same client.

mod etcd;
mod nats;
mod postgres;
mod redis;
mod uma;

use std::path::PathBuf;

use spl_benches::report;
use tempfile::TempDir;

use crate::{
    Outcome,
    engine::Fanout,
    process::{Server, Usage, bench_directory, data_directory, find, free_port},
    transport::Link,
    wire::Wire,
};

/// What peers that ask for a secret are given.
const SECRET: &str = "driver0123456789abcdef";

/// A connection with what is said over it.
pub(crate) type Spoken = (Link, Box<dyn Wire>);

/// A peer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Redis,
    Postgres,
    Etcd,
    Nats,
    Uma,
}

impl Kind {
    pub(crate) const ALL: [Self; 5] = [Self::Redis, Self::Postgres, Self::Etcd, Self::Nats, Self::Uma];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Redis => "Redis",
            Self::Postgres => "PostgreSQL",
            Self::Etcd => "etcd",
            Self::Nats => "NATS",
            Self::Uma => "UmaDB",
        }
    }

    /// What its program is called.
    fn program(self) -> &'static str {
        match self {
            Self::Redis => "redis-server",
            Self::Postgres => "postgres",
            Self::Etcd => "etcd",
            Self::Nats => "nats-server",
            Self::Uma => "umadb",
        }
    }

    /// Its program and version, where it is installed.
    pub(crate) fn installed(self) -> Outcome<Option<(PathBuf, String)>> {
        let mut candidates = vec![
            bench_directory()?.join("venv/bin").join(self.program()),
            PathBuf::from(self.program()),
            PathBuf::from("/usr/sbin").join(self.program()),
        ];
        if self == Self::Postgres {
            let versions = std::fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten();
            candidates.extend(versions.map(|v| v.path().join("bin/postgres")));
        }
        Ok(find(&candidates))
    }

    /// Starts it, where it is installed.
    pub(crate) fn start(self) -> Outcome<Option<Box<dyn Peer>>> {
        let Some((program, _)) = self.installed()? else { return Ok(None) };
        let place = Place { program, directory: data_directory()?, port: free_port()? };
        let peer = match self {
            Self::Redis => redis::start(place),
            Self::Postgres => postgres::start(place),
            Self::Etcd => etcd::start(place),
            Self::Nats => nats::start(place),
            Self::Uma => uma::start(place),
        };
        peer.map(Some).map_err(|e| format!("{}: {e}", self.name()).into())
    }
}

/// Says which peers are installed.
pub(crate) fn list() -> Outcome<()> {
    for kind in Kind::ALL {
        let found = match kind.installed()? {
            Some((program, version)) => format!("{version}  {}", program.display()),
            None => "not installed: benches/peers-install".to_owned(),
        };
        report(&format!("{:<12} {found}", kind.name()));
    }
    Ok(())
}

/// Where a peer runs.
struct Place {
    program: PathBuf,
    directory: TempDir,
    port: u16,
}

/// A peer's process with its directory, in the order in which they go.
struct Running {
    server: Server,
    place: Place,
}

/// A token as it is kept: the digest that it is found by, and what is known of it.
pub(crate) struct KeptToken {
    pub(crate) digest: [u8; 32],
    pub(crate) entry: String,
}

/// What a peer can be asked to do. What it cannot is `None`.
pub(crate) trait Peer {
    /// What it has used.
    fn usage(&self) -> Usage;

    /// Keeps the tokens, and gives connections that look them up one by one.
    fn lookups(&self, _connections: usize, _tokens: &[KeptToken]) -> Outcome<Option<Vec<Spoken>>> {
        Ok(None)
    }

    /// Connections that append records one by one, each answered when it will last.
    fn appends(&self, _connections: usize, _payloads: &[String]) -> Outcome<Option<Vec<Spoken>>> {
        Ok(None)
    }

    /// A publisher and those who hear it.
    fn fanout(&self, _subscribers: usize, _payload: &str) -> Outcome<Option<Fanout>> {
        Ok(None)
    }

    /// Writes records, to be read again from the beginning.
    fn fill(&self, _payloads: &[String]) -> Outcome<()> {
        Ok(())
    }

    /// A connection that reads so many records from the beginning: once, and as a follower would.
    fn catch_up(&self, _following: bool) -> Outcome<Option<Spoken>> {
        Ok(None)
    }
}
