//! placeholder API for the command line
use std::{net::IpAddr, path::PathBuf};
/// How an instance is started.
#[derive(Debug, Clone)]
pub struct ServeOptions {
    /// The home directory.
    pub home: PathBuf,
    /// Address to bind besides 127.0.0.1.
    pub host: IpAddr,
    /// Port, 0 for any free one.
    pub port: u16,
    /// Keep the log in memory.
    pub memory: bool,
    /// Local requests act without a bearer.
    pub insecure_localhost: bool,
    /// The origin others reach this instance under.
    pub public_url: Option<String>,
    /// Start a new log under an existing key.
    pub new_log: bool,
    /// Accept a log older than `keys/head`.
    pub accept_older_log: bool,
    /// The one token that survives an older log.
    pub keep_token: Option<String>,
    /// Start though the wall clock is more than a day behind the log.
    pub accept_clock: bool,
    /// Log lines to the terminal too.
    pub foreground: bool,
}
/// Why serving ended.
#[derive(Debug)]
pub struct ServeError(pub String);
/// Serves until a signal.
pub fn run(_options: ServeOptions) -> Result<(), ServeError> { Ok(()) }
