//! What every command needs: the home, the settings, the instance to talk to, and who writes.

use std::{fs, io, net::IpAddr, time::Duration};

use reqwest::Url;
use serde::Deserialize;
use serde_json::Value;

use crate::{
    args::{self, ActorArg, Globals},
    client::{Client, Credential},
    error::Failure,
    home::Home,
    output::{self, Output},
};

/// Where an instance listens unless told otherwise.
pub(crate) const DEFAULT_PORT: u16 = 9100;

/// `config.toml` in the home.
#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Config {
    /// Who writes.
    pub(crate) identity: IdentityConfig,
    /// Where the instance is.
    pub(crate) server: ServerConfig,
}

/// `[identity]`.
#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct IdentityConfig {
    /// The actor of records written from here.
    pub(crate) actor: Option<String>,
}

/// `[server]`.
#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct ServerConfig {
    /// The instance to talk to.
    pub(crate) url: Option<String>,
    /// The address `serve` binds.
    pub(crate) host: Option<IpAddr>,
    /// The port `serve` binds.
    pub(crate) port: Option<u16>,
}

/// What a command works with.
pub(crate) struct Context {
    /// The global options.
    pub(crate) globals: Globals,
    /// The home directory.
    pub(crate) home: Home,
    /// Where results go.
    pub(crate) out: Output,
}

/// Where the log of a command such as `export` is.
pub(crate) enum Source {
    /// Behind an instance.
    Instance,
    /// In this home, which nobody runs.
    StoppedHome,
}

impl Context {
    /// From the global options.
    pub(crate) fn new(globals: Globals) -> Result<Self, Failure> {
        let root = globals.home_dir().ok_or_else(|| {
            Failure::usage("cannot tell where the home directory is").hint("name it with --home DIR")
        })?;
        let out = Output::new(&globals);
        Ok(Self { globals, home: Home::new(root), out })
    }

    /// The home's `config.toml`; empty where there is none.
    pub(crate) fn config(&self) -> Result<Config, Failure> {
        let Some(text) = self.home.config()? else { return Ok(Config::default()) };
        toml::from_str(&text).map_err(|e| {
            let path = self.home.path("config.toml");
            Failure::refused(format!("{} is no valid configuration: {}", path.display(), e.message()))
                .hint("correct it: it may hold `actor` under [identity], and `url`, `host` and `port` under [server]")
        })
    }

    /// The address of the instance, in the documented order of precedence.
    pub(crate) fn server_url(&self) -> Result<Url, Failure> {
        if let Some(given) = self.named_server() {
            return parse_url(given);
        }
        if let Some(instance) = self.home.instance()? {
            return parse_url(&instance.url);
        }
        let server = self.config()?.server;
        if let Some(url) = server.url {
            return parse_url(&url);
        }
        let host = server.host.filter(|host| !host.is_unspecified()).unwrap_or(IpAddr::from([127, 0, 0, 1]));
        let socket = std::net::SocketAddr::new(host, server.port.unwrap_or(DEFAULT_PORT));
        parse_url(&format!("http://{socket}"))
    }

    fn named_server(&self) -> Option<&str> {
        self.globals.server.as_deref().filter(|s| !s.is_empty())
    }

    /// A client for the instance, with the credential that may be sent to it.
    pub(crate) fn client(&self) -> Result<Client, Failure> {
        let base = self.server_url()?;
        let credential = Credential { token: self.token_for(&base)?, local_proof: self.local_proof(&base)? };
        Client::new(base, credential)
    }

    /// A client that sends the local proof alone: for what only the home's owner may do.
    pub(crate) fn proof_client(&self) -> Result<Client, Failure> {
        let base = self.server_url()?;
        let local_proof = self.local_proof(&base)?;
        Client::new(base, Credential { token: None, local_proof })
    }

    /// A client that sends no token: for routes that are open to all.
    pub(crate) fn open_client(&self) -> Result<Client, Failure> {
        Client::new(self.server_url()?, Credential::default())
    }

    /// Whether an address is exactly the one at which the holder of this home's lock listens. Another loopback
    /// address with the same port may be anybody's.
    pub(crate) fn is_own(&self, base: &Url) -> Result<bool, Failure> {
        if base.scheme() != "http" || !is_loopback(base) {
            return Ok(false);
        }
        let held = self.home.held_url()?.and_then(|url| parse_url(&url).ok());
        Ok(held.is_some_and(|held| held.origin() == base.origin()))
    }

    /// The local proof: only for the address that the holder of this home's lock recorded.
    pub(crate) fn local_proof(&self, base: &Url) -> Result<Option<String>, Failure> {
        if self.is_own(base)? { self.home.local_proof() } else { Ok(None) }
    }

    /// Who writes: as named, as configured, as the token says, or the login name.
    pub(crate) fn actor(&self, given: &ActorArg, client: &Client) -> Result<String, Failure> {
        if let Some(actor) = given.named() {
            return Ok(actor.to_owned());
        }
        if let Some(actor) = self.config()?.identity.actor {
            return Ok(actor);
        }
        let from_token = if client.has_token() { actor_of_token(client) } else { None };
        Ok(from_token.unwrap_or_else(login_actor))
    }

    /// Whoever uses this command line, found out without asking an instance.
    pub(crate) fn own_actor(&self) -> Result<String, Failure> {
        match args::own_actor() {
            Some(actor) => Ok(actor),
            None => Ok(self.config()?.identity.actor.unwrap_or_else(login_actor)),
        }
    }

    /// Whether a command reads from an instance or from the stopped home.
    pub(crate) fn source(&self) -> Result<Source, Failure> {
        let stopped = self.named_server().is_none()
            && !self.home.is_held()
            && self.home.has_log()
            && self.config()?.server.url.is_none();
        Ok(if stopped { Source::StoppedHome } else { Source::Instance })
    }
}

/// The failure of not reaching an instance.
pub(crate) fn unreachable_at(base: &Url, why: &str) -> Failure {
    let origin = base.origin().ascii_serialization();
    let failure = Failure::unreachable(format!("cannot reach the instance at {origin}: {why}"));
    if is_loopback(base) {
        failure.hint("start one with `spl serve --daemon`, or name another with --server URL")
    } else {
        failure.hint("check the address, and that the instance runs there")
    }
}

/// The address of an instance.
pub(crate) fn parse_url(text: &str) -> Result<Url, Failure> {
    let bad = |why: &str| {
        Failure::usage(format!("`{text}` is no address of an instance: {why}"))
            .hint("an address looks like http://127.0.0.1:9100")
    };
    let mut url = Url::parse(text).map_err(|e| bad(&e.to_string()))?;
    if !matches!(url.scheme(), "http" | "https") || !url.has_host() {
        return Err(bad("it must start with http:// or https://"));
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err(bad("a credential belongs into --token"));
    }
    if url.query().is_some() || url.fragment().is_some() || url.path() != "/" {
        return Err(bad("it must have no path"));
    }
    // An instance is always at 127.0.0.1; what else the name may stand for, ::1 say, may be anybody's.
    if url.scheme() == "http" && url.host_str() == Some("localhost") {
        url.set_host(Some("127.0.0.1")).map_err(|e| bad(&e.to_string()))?;
    }
    Ok(url)
}

/// Whether an address names this machine.
pub(crate) fn is_loopback(url: &Url) -> bool {
    let Some(host) = url.host_str() else { return false };
    let host = host.trim_start_matches('[').trim_end_matches(']');
    host == "localhost" || host.parse::<IpAddr>().is_ok_and(|ip| ip.to_canonical().is_loopback())
}

/// Whether what goes there can be read on its way.
pub(crate) fn is_plain_http(url: &Url) -> bool {
    url.scheme() == "http" && !is_loopback(url)
}

/// Whether anything takes connections there.
pub(crate) fn listens(url: &Url) -> bool {
    let Ok(addresses) = url.socket_addrs(|| None) else { return false };
    addresses.iter().any(|a| std::net::TcpStream::connect_timeout(a, Duration::from_secs(2)).is_ok())
}

fn actor_of_token(client: &Client) -> Option<String> {
    let answer = client.get(&["v1", "identity"]).send().ok()?;
    let identity: Value = serde_json::from_str(&answer.body).ok()?;
    identity.pointer("/caller/actor").and_then(Value::as_str).filter(|a| !a.is_empty()).map(str::to_owned)
}

/// `did:sync:user:<login name>`; other characters than a DID may have percent-encoded.
pub(crate) fn login_actor() -> String {
    let uid = nix::unistd::geteuid();
    let name = nix::unistd::User::from_uid(uid)
        .ok()
        .flatten()
        .map_or_else(|| format!("uid-{uid}"), |user| user.name);
    format!("did:sync:user:{}", did_segment(&name))
}

fn did_segment(name: &str) -> String {
    let encoded: String = name
        .bytes()
        .map(|b| match b {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'.' | b'_' | b'-' => char::from(b).to_string(),
            _ => format!("%{b:02X}"),
        })
        .collect();
    if encoded.is_empty() { "unknown".to_owned() } else { encoded }
}

/// Reads text given as `-` (stdin), `@file`, or itself.
pub(crate) fn read_text_argument(given: &str) -> Result<String, Failure> {
    if given == "-" {
        if io::IsTerminal::is_terminal(&io::stdin()) {
            output::note("reading from the terminal; end with Ctrl-D");
        }
        return io::read_to_string(io::stdin())
            .map_err(|e| Failure::refused(format!("cannot read the standard input: {e}")));
    }
    match given.strip_prefix('@') {
        Some(path) => fs::read_to_string(path).map_err(|e| Failure::file("read", path.as_ref(), &e)),
        None => Ok(given.to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn login_names_fit_into_a_did() {
        assert_eq!(did_segment("alice"), "alice");
        assert_eq!(did_segment("jo é"), "jo%20%C3%A9");
        assert_eq!(did_segment(""), "unknown");
    }

    #[test]
    fn addresses_are_parsed_strictly() {
        assert!(parse_url("http://127.0.0.1:9100").is_ok());
        for bad in ["127.0.0.1:9100", "ftp://x", "http://u:p@x", "http://x/path", "http://x?q=1"] {
            assert!(parse_url(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn the_name_of_this_machine_stands_for_one_address() {
        assert_eq!(parse_url("http://LOCALHOST:9100").unwrap().as_str(), "http://127.0.0.1:9100/");
        assert_eq!(parse_url("https://localhost:9100").unwrap().host_str(), Some("localhost"));
    }

    #[test]
    fn loopback_is_recognised() {
        for (url, expected) in [
            ("http://127.0.0.1:1", true),
            ("http://127.8.9.1:1", true),
            ("http://[::1]:1", true),
            ("http://[::ffff:127.0.0.1]:1", true),
            ("http://localhost:1", true),
            ("http://localhost.example:1", false),
            ("http://10.0.0.1:1", false),
        ] {
            assert_eq!(is_loopback(&Url::parse(url).unwrap()), expected, "{url}");
        }
    }
}
