//! `spl serve`: run an instance, or look after the one that runs.

mod daemon;
mod handover;
mod logs;

use std::{ffi::OsString, net::IpAddr};

use clap::Args;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use spl_server::ServeOptions;

use crate::{
    args::{self, LogArg},
    client::Client,
    clock,
    commands::{Outcome, status::Health},
    context::{Context, DEFAULT_PORT},
    error::Failure,
    home::InstanceFile,
    output, text,
};

/// How to serve, or what to do with the instance that runs.
#[derive(Args)]
#[command(after_help = "\
Examples:
  spl serve --daemon                           in the background; `spl up` also makes an account
  spl serve --daemon --host 100.101.102.103    others reach it there: see docs/exposing.md
  spl serve --insecure-localhost               in the foreground, for this machine, without tokens
  spl serve --status                           is it running, and where
  spl serve --logs -n 100 --follow             what it says
  spl serve --restart                          with the arguments it was started with
  spl serve --stop
  spl serve --memory --port 0 --insecure-localhost     nothing is kept, any free port

Environment:
  SPL_BOOTSTRAP_TOKEN   where no account was ever made: makes one with the token
                        spl_prod_sa-bootstrap-env_<value>; 32 to 256 characters

Files (in the home, ~/.syncro unless --home says otherwise):
  log.redb   the log        log.journal    its latest commits: the two belong together
  keys/      its identity   logs/spl.log   what the instance says
  run/       what a running instance leaves for others to find")]
pub(crate) struct ServeArgs {
    #[command(flatten)]
    lifecycle: Lifecycle,
    #[command(flatten)]
    start: StartArgs,
    #[command(flatten)]
    once: OnceArgs,
    /// Show this many lines of the log
    #[arg(short = 'n', value_name = "N", requires = "logs", default_value_t = 50)]
    lines: usize,
    /// Go on showing lines as they come
    #[arg(long, requires = "logs")]
    follow: bool,
    /// The process that `--daemon` starts: leaves the terminal's session.
    #[arg(long, hide = true)]
    daemonized: bool,
    /// The first account's token comes on the standard input.
    #[arg(long, hide = true)]
    bootstrap_token_stdin: bool,
}

/// What to do, other than to serve in the foreground.
#[derive(Args)]
#[group(multiple = false)]
struct Lifecycle {
    /// Run in the background; return when the instance is ready
    #[arg(long)]
    daemon: bool,
    /// Stop the instance of this home; return when it is gone
    #[arg(long)]
    stop: bool,
    /// Stop it and start it again in the background, with the same arguments
    #[arg(long)]
    restart: bool,
    /// Show whether an instance runs
    #[arg(long)]
    status: bool,
    /// Show the instance's log
    #[arg(long)]
    logs: bool,
}

/// How an instance runs: what `--restart` keeps.
#[derive(Debug, Default, Clone, Args, Serialize, Deserialize)]
#[serde(default)]
struct StartArgs {
    /// Also listen on this address [default: `host` in config.toml, else 127.0.0.1]
    #[arg(long, value_name = "ADDRESS")]
    host: Option<IpAddr>,
    /// Listen on this port; 0 takes any free one [default: `port` in config.toml, else 9100]
    #[arg(long, value_name = "PORT")]
    port: Option<u16>,
    /// Keep the log in memory: it is gone when the instance stops
    #[arg(long)]
    memory: bool,
    /// Serve this machine only, without tokens
    #[arg(long)]
    insecure_localhost: bool,
    /// The address under which others reach this instance, such as `https://spl.example.org`
    #[arg(long, value_name = "URL")]
    public_url: Option<String>,
    /// Accepted for compatibility, without effect
    #[arg(long)]
    echo: bool,
    #[command(flatten)]
    #[serde(flatten)]
    log: LogArg,
}

/// Confirmations that hold for one start, and so are never repeated by `--restart`.
#[derive(Debug, Default, Clone, Args)]
struct OnceArgs {
    /// Start a new, empty log under the existing identity
    #[arg(long)]
    new_log: bool,
    /// Accept a log that is older than the last one acknowledged; revokes every token and open invite in it
    #[arg(long)]
    accept_older_log: bool,
    /// After a restore, or with --accept-older-log: spare this token, named by the id in `spl token info`
    #[arg(long, value_name = "TOKEN_ID", value_parser = parse_token_id)]
    keep_token: Option<String>,
    /// Start though the clock is more than a day behind the log
    #[arg(long)]
    accept_clock: bool,
}

/// Does what the arguments say.
pub(crate) fn run(ctx: &Context, args: ServeArgs) -> Outcome {
    let lifecycle = &args.lifecycle;
    if lifecycle.logs {
        logs::run(ctx, args.lines, args.follow)
    } else if lifecycle.status {
        show_status(ctx)
    } else if lifecycle.stop {
        daemon::stop(ctx)
    } else if lifecycle.restart {
        daemon::restart(ctx, args.start, &args.once)
    } else if lifecycle.daemon {
        daemon::start(ctx, &args.start, &args.once)
    } else {
        foreground(ctx, args)
    }
}

/// Serves until a signal.
fn foreground(ctx: &Context, args: ServeArgs) -> Outcome {
    let bootstrap_token = match args::bootstrap_token() {
        Some(token) => return Err(handover::without_variable(&token)),
        None if args.bootstrap_token_stdin => Some(handover::receive()?),
        None => None,
    };
    let bootstrap_actor = ctx.own_actor()?;
    if args.daemonized {
        // Without a session of its own it would end with the terminal. It fails only for a group leader,
        // which has no terminal to lose that it was not given on purpose.
        let _ = nix::unistd::setsid();
    } else if !ctx.home.is_held() {
        daemon::remember(ctx, &args.start)?;
    }
    let config = ctx.config()?.server;
    let (start, once) = (args.start, args.once);
    spl_server::run(ServeOptions {
        home: ctx.home.root().to_owned(),
        host: start.host.or(config.host).unwrap_or(IpAddr::from([127, 0, 0, 1])),
        port: start.port.or(config.port).unwrap_or(DEFAULT_PORT),
        memory: start.memory,
        insecure_localhost: start.insecure_localhost,
        public_url: start.public_url,
        new_log: once.new_log,
        accept_older_log: once.accept_older_log,
        keep_token: once.keep_token,
        accept_clock: once.accept_clock,
        foreground: !args.daemonized,
        log_filter: start.log.log_filter.filter(|filter| !filter.is_empty()),
        bootstrap_token: bootstrap_token.map(spl_server::Secret::new),
        bootstrap_actor,
    })
    .map_err(|e| Failure::refused(e.to_string()))?;
    Ok(0)
}

impl StartArgs {
    /// The arguments as they are typed.
    fn to_arguments(&self) -> Vec<OsString> {
        let mut arguments: Vec<OsString> = Vec::new();
        let mut value = |name: &str, value: Option<String>| {
            arguments.extend(value.into_iter().flat_map(|v| [name.into(), v.into()]));
        };
        value("--host", self.host.map(|host| host.to_string()));
        value("--port", self.port.map(|port| port.to_string()));
        value("--public-url", self.public_url.clone());
        value("--log-filter", self.log.log_filter.clone());
        let flags = [("--memory", self.memory), ("--insecure-localhost", self.insecure_localhost)];
        arguments.extend(flags.iter().filter(|(_, on)| *on).map(|(name, _)| name.into()));
        arguments
    }

    /// These, and the others where these say nothing.
    fn or(self, others: Self) -> Self {
        Self {
            host: self.host.or(others.host),
            port: self.port.or(others.port),
            memory: self.memory || others.memory,
            insecure_localhost: self.insecure_localhost || others.insecure_localhost,
            public_url: self.public_url.or(others.public_url),
            echo: self.echo || others.echo,
            log: LogArg { log_filter: self.log.log_filter.or(others.log.log_filter) },
        }
    }
}

impl OnceArgs {
    fn to_arguments(&self) -> Vec<OsString> {
        let flags = [
            ("--new-log", self.new_log),
            ("--accept-older-log", self.accept_older_log),
            ("--accept-clock", self.accept_clock),
        ];
        let mut arguments: Vec<OsString> =
            flags.iter().filter(|(_, on)| *on).map(|(name, _)| name.into()).collect();
        arguments.extend(self.keep_token.iter().flat_map(|id| ["--keep-token".into(), id.into()]));
        arguments
    }
}

/// The id of a token, in full.
fn parse_token_id(text: &str) -> Result<String, String> {
    let id = text.to_ascii_lowercase();
    let whole = id.len() == 64 && id.bytes().all(|b| b.is_ascii_hexdigit());
    whole.then_some(id).ok_or_else(|| "a token's id is 64 hex digits, and not the token itself".to_owned())
}

/// Where an instance is to be.
#[derive(Debug, Default, Clone, Args)]
pub(crate) struct PlaceArgs {
    /// Also listen on this address [default: `host` in config.toml, else 127.0.0.1]
    #[arg(long, value_name = "ADDRESS")]
    host: Option<IpAddr>,
    /// Listen on this port; 0 takes any free one [default: `port` in config.toml, else 9100]
    #[arg(long, value_name = "PORT")]
    port: Option<u16>,
    /// The address under which others reach this instance, such as `https://spl.example.org`
    #[arg(long, value_name = "URL")]
    public_url: Option<String>,
}

impl PlaceArgs {
    /// Whether anything was asked for.
    pub(crate) fn is_given(&self) -> bool {
        self.host.is_some() || self.port.is_some() || self.public_url.is_some()
    }
}

/// The instance of this home; it is started, secured and in the background, where none runs. Also says whether
/// it was.
pub(crate) fn ensure_running(ctx: &Context, place: PlaceArgs) -> Result<(InstanceFile, bool), Failure> {
    if ctx.home.is_held() {
        return Ok((daemon::wait_for_running(ctx)?, false));
    }
    let PlaceArgs { host, port, public_url } = place;
    let given = StartArgs { host, port, public_url, ..StartArgs::default() };
    // What it was started with before holds, but for what made it less than this.
    let kept = StartArgs { insecure_localhost: false, memory: false, ..daemon::kept(ctx)? };
    let instance = daemon::launch(ctx, &given.or(kept), &OnceArgs::default())?;
    Ok((instance, true))
}

/// The address besides 127.0.0.1 at which the instance of this home listens, and its `--public-url`.
pub(crate) fn exposure(ctx: &Context) -> Result<(Option<IpAddr>, Option<String>), Failure> {
    if ctx.home.running().is_none() {
        return Ok((None, None));
    }
    let kept = daemon::kept(ctx)?;
    let host = kept.host.or(ctx.config()?.server.host).filter(|_| !kept.insecure_localhost);
    Ok((host, kept.public_url))
}

/// Says what it means to be reachable by others.
fn warn_of_host(host: IpAddr) {
    if host.is_unspecified() {
        output::warn("it listens on every address of this machine, without encryption; see docs/exposing.md");
    } else if !host.to_canonical().is_loopback() {
        output::warn(format_args!(
            "it listens on {host} too, without encryption: use a private network; see docs/exposing.md"
        ));
    }
}

/// Says whether an instance runs in this home: exit code 3 where none does.
fn show_status(ctx: &Context) -> Outcome {
    let running = ctx.home.running().zip(ctx.home.instance()?);
    let Some((process, instance)) = running else {
        if ctx.out.is_human() {
            ctx.out.line(format_args!("{} Status: not running", ctx.out.palette().dim("○")))?;
            ctx.out.field("home", ctx.home.root().display())?;
            output::note("start it with `spl serve --daemon`");
        } else {
            ctx.out.json(&json!({ "object": "instance_status", "status": "not_running" }))?;
        }
        return Ok(crate::error::Kind::Unreachable.exit_code());
    };
    let health = health(&instance.url);
    if !ctx.out.is_human() {
        let health: Value = health.map_or(Value::Null, |(raw, _)| raw);
        ctx.out.json(&json!({
            "object": "instance_status",
            "status": "running",
            "pid": process.pid,
            "url": instance.url,
            "version": instance.version,
            "instance_did": instance.instance_did,
            "started_at": instance.started_at,
            "health": health,
        }))?;
        return Ok(0);
    }
    let (out, palette) = (&ctx.out, ctx.out.palette());
    out.line(format_args!("{} Status: running", palette.green("●")))?;
    out.field("address", palette.cyan(text::safe(&instance.url)))?;
    out.field("pid", process.pid)?;
    out.field("version", text::safe(&instance.version))?;
    out.field("started", text::ago(&instance.started_at, clock::now()))?;
    match health {
        Some((_, health)) => {
            out.field("records", health.records_in_words())?;
            out.field("access", text::safe(health.auth.in_words()))?;
        }
        None => out.field("health", palette.red("does not answer"))?,
    }
    out.field("home", ctx.home.root().display())?;
    Ok(0)
}

/// What an instance says of itself, raw and parsed, where it answers.
fn health(url: &str) -> Option<(Value, Health)> {
    let client = own_client(url).ok()?;
    let raw = client.get(&["health"]).send_any().ok()?.json().ok()?;
    let parsed = serde_json::from_value(raw.clone()).ok()?;
    Some((raw, parsed))
}

/// A client for the home's own instance, without a credential.
fn own_client(url: &str) -> Result<Client, Failure> {
    let base = reqwest::Url::parse(url)
        .map_err(|e| Failure::refused(format!("run/instance.json names no address: {e}")))?;
    Client::new(base, Default::default())
}

/// The failure to start where something runs already.
fn already_running(ctx: &Context) -> Failure {
    let recorded = ctx.home.instance().ok().flatten();
    let at = recorded.map(|instance| format!(" at {}", instance.url)).unwrap_or_default();
    Failure::refused(format!("an instance of this home runs already{at}"))
        .hint("see `spl serve --status`; `spl serve --restart` starts it anew")
}

/// Whether an instance is ready.
fn is_ready(url: &str) -> bool {
    let Ok(client) = own_client(url) else { return false };
    client.get(&["health", "ready"]).send_any().is_ok_and(|answer| answer.status.is_success())
}

/// Whether something listens on a port of this machine.
pub(crate) fn listens_here(port: u16) -> bool {
    let local = std::net::SocketAddr::from(([127, 0, 0, 1], port));
    std::net::TcpStream::connect_timeout(&local, std::time::Duration::from_secs(1)).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arguments_survive_a_restart() {
        let start = StartArgs { port: Some(7), memory: true, ..StartArgs::default() };
        assert_eq!(start.to_arguments(), ["--port", "7", "--memory"]);
        let stored: StartArgs = serde_json::from_str(&serde_json::to_string(&start).unwrap()).unwrap();
        let merged = StartArgs { port: Some(8), ..StartArgs::default() }.or(stored);
        assert_eq!((merged.port, merged.memory), (Some(8), true));
    }

    #[test]
    fn confirmations_hold_for_one_start() {
        let once =
            OnceArgs { accept_older_log: true, keep_token: Some("ab".to_owned()), ..OnceArgs::default() };
        assert_eq!(once.to_arguments(), ["--accept-older-log", "--keep-token", "ab"]);
        assert!(parse_token_id("ab").is_err() && parse_token_id(&"Ab".repeat(32)).is_ok());
    }
}
