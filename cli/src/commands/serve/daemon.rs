//! Starting in the background, stopping, starting again.

use std::{
    fs::{self, File, OpenOptions},
    io::{Read as _, Seek as _, SeekFrom, Write as _},
    os::unix::fs::OpenOptionsExt as _,
    path::Path,
    process::{Child, Command, Stdio},
    time::Duration,
};

use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use serde_json::json;

use super::{OnceArgs, StartArgs, already_running, handover, health, is_ready, warn_of_host};
use crate::{
    args, clock,
    commands::Outcome,
    context::Context,
    error::Failure,
    home::{InstanceFile, Process},
    output,
    progress::Progress,
    text,
};

/// Longest wait for an instance to be ready.
const READY_LIMIT: Duration = Duration::from_secs(120);
/// How long a first signal is given, and then a second one.
const GRACE: Duration = Duration::from_secs(5);
/// How long the kernel may take to end a killed process.
const KILLED_LIMIT: Duration = Duration::from_secs(10);
/// How much of the end of an output file is shown when a start fails.
const TAIL_BYTES: u64 = 16 * 1024;
const TAIL_LINES: usize = 20;
/// What `--restart` starts with.
const ARGS_FILE: &str = "run/args.json";

/// Keeps the arguments for `--restart`.
pub(super) fn remember(ctx: &Context, start: &StartArgs) -> Result<(), Failure> {
    let path = ctx.home.make_dir("run")?.join("args.json");
    let text = serde_json::to_string(start)
        .map_err(|e| Failure::refused(format!("cannot keep the arguments: {e}")))?;
    let written = private(&path, false).and_then(|mut file| file.write_all(text.as_bytes()));
    written.map_err(|e| Failure::file("write", &path, &e))
}

/// Opens a file for its owner only, to append to it or to replace what is in it.
fn private(path: &Path, append: bool) -> std::io::Result<File> {
    OpenOptions::new()
        .create(true)
        .write(true)
        .append(append)
        .truncate(!append)
        .mode(0o600)
        .custom_flags(nix::fcntl::OFlag::O_NOFOLLOW.bits())
        .open(path)
}

/// Starts an instance in the background, waits until it is ready, and says so.
pub(super) fn start(ctx: &Context, start: &StartArgs, once: &OnceArgs) -> Outcome {
    let instance = launch(ctx, start, once)?;
    if !ctx.out.is_human() {
        ctx.out.json(&json!({
            "object": "instance_status",
            "status": "running",
            "pid": instance.pid,
            "url": instance.url,
            "version": instance.version,
            "instance_did": instance.instance_did,
            "started_at": instance.started_at,
        }))?;
        return Ok(0);
    }
    let palette = ctx.out.palette();
    ctx.out.line(format_args!("{} Status: running", palette.green("●")))?;
    ctx.out.field("address", palette.cyan(text::safe(&instance.url)))?;
    ctx.out.field("pid", instance.pid)?;
    ctx.out.field("home", ctx.home.root().display())?;
    let is_new = health(&instance.url).is_some_and(|(_, health)| health.auth.mode == "bootstrap");
    output::note(if is_new {
        "next: `spl up` makes the first account and saves its token; until then nothing is served"
    } else {
        "next: `spl status`, `spl serve --logs --follow`, `spl serve --stop`"
    });
    Ok(0)
}

/// Starts an instance in the background, and waits until it is ready.
pub(super) fn launch(ctx: &Context, start: &StartArgs, once: &OnceArgs) -> Result<InstanceFile, Failure> {
    if ctx.home.is_held() {
        return Err(already_running(ctx));
    }
    // A configuration that cannot be read is told here, not in the log of the child.
    let config = ctx.config()?.server;
    if let Some(host) = start.host.or(config.host).filter(|_| !start.insecure_localhost) {
        warn_of_host(host);
    }
    let out_path = ctx.home.make_dir("logs")?.join("spl.out");
    let out = private(&out_path, true).map_err(|e| Failure::file("open", &out_path, &e))?;
    let out_start = out.metadata().map_or(0, |m| m.len());
    let mut child = spawn(ctx, start, once, out)?;
    let instance = wait_until_ready(ctx, &mut child, &out_path, out_start)?;
    remember(ctx, start)?;
    Ok(instance)
}

/// The instance that runs in this home, once it is ready.
pub(super) fn wait_for_running(ctx: &Context) -> Result<InstanceFile, Failure> {
    let bar = Progress::spinner("waiting for the instance");
    let ready = clock::wait_until(READY_LIMIT, || {
        if ctx.home.running().is_none() {
            // Whoever holds the home is on its way up, or is no instance.
            return if ctx.home.is_held() { Ok(None) } else { Err(gone()) };
        }
        Ok(ctx.home.instance()?.filter(|instance| is_ready(&instance.url)))
    })?;
    bar.finish();
    ready.ok_or_else(|| {
        Failure::refused("the home is in use, but no instance in it is ready")
            .hint("see `spl serve --status` and `spl serve --logs`; `spl doctor` looks for the reason")
    })
}

fn gone() -> Failure {
    Failure::refused("the instance that was there has ended meanwhile").hint("run the command again")
}

fn spawn(ctx: &Context, start: &StartArgs, once: &OnceArgs, out: File) -> Result<Child, Failure> {
    let failed = |e: std::io::Error| Failure::refused(format!("cannot start the instance: {e}"));
    let token = args::bootstrap_token();
    let input = token.as_ref().map(handover::pipe).transpose().map_err(failed)?;
    let binary = std::env::current_exe().map_err(failed)?;
    let errors = out.try_clone().map_err(failed)?;
    Command::new(binary)
        .arg("--home")
        .arg(ctx.home.root())
        .args(["serve", "--daemonized"])
        .args(start.to_arguments())
        .args(once.to_arguments())
        .args(input.is_some().then_some(handover::FLAG))
        .env_remove(args::BOOTSTRAP_TOKEN)
        // Whoever starts an instance may hold a token; the instance has no use for it.
        .env_remove(args::TOKEN)
        // A background process keeps no directory busy.
        .current_dir("/")
        .stdin(input.map_or_else(Stdio::null, Stdio::from))
        .stdout(out)
        .stderr(errors)
        .spawn()
        .map_err(failed)
}

fn wait_until_ready(
    ctx: &Context,
    child: &mut Child,
    out_path: &Path,
    out_start: u64,
) -> Result<InstanceFile, Failure> {
    let bar = Progress::spinner("starting the instance");
    let pid = i32::try_from(child.id()).unwrap_or(i32::MAX);
    let ready = clock::wait_until(READY_LIMIT, || {
        let ended =
            child.try_wait().map_err(|e| Failure::refused(format!("cannot watch the instance: {e}")))?;
        if let Some(status) = ended {
            return Err(start_failed(&format!("the instance did not start ({status})"), out_path, out_start));
        }
        let instance = ctx.home.instance()?.filter(|instance| instance.pid == pid);
        Ok(instance.filter(|instance| is_ready(&instance.url)))
    })?;
    bar.finish();
    ready.ok_or_else(|| {
        let message = format!("the instance (pid {pid}) is not ready after {} s", READY_LIMIT.as_secs());
        start_failed(&message, out_path, out_start)
            .hint("it goes on starting: see `spl serve --status`, or end it with `spl serve --stop`")
    })
}

/// A failed start, with the end of what the instance had to say about it.
fn start_failed(message: &str, out_path: &Path, out_start: u64) -> Failure {
    let tail = tail(out_path, out_start).unwrap_or_default();
    if !tail.is_empty() {
        output::note(text::safe_lines(&tail));
    }
    Failure::refused(message).hint("`spl serve --logs` shows the log; `spl doctor` looks for the reason")
}

/// The last lines that were written to a file after `start`.
fn tail(path: &Path, start: u64) -> std::io::Result<String> {
    let mut file = File::open(path)?;
    let length = file.metadata()?.len();
    file.seek(SeekFrom::Start(start.max(length.saturating_sub(TAIL_BYTES))))?;
    let mut bytes = Vec::new();
    file.read_to_end(&mut bytes)?;
    let text = String::from_utf8_lossy(&bytes);
    let lines: Vec<&str> = text.lines().collect();
    Ok(lines.get(lines.len().saturating_sub(TAIL_LINES)..).unwrap_or_default().join("\n"))
}

/// Stops the instance of this home. That none runs is a success.
pub(super) fn stop(ctx: &Context) -> Outcome {
    let stopped = stop_running(ctx)?;
    let status = if stopped.is_some() { "stopped" } else { "not_running" };
    if !ctx.out.is_human() {
        ctx.out
            .json(&json!({ "object": "instance_status", "status": status, "pid": stopped.map(|p| p.pid) }))?;
    } else if let Some(process) = stopped {
        ctx.out.line(format_args!("{} stopped (pid {})", ctx.out.palette().dim("○"), process.pid))?;
    } else {
        ctx.out.line(format_args!("{} no instance was running", ctx.out.palette().dim("○")))?;
    }
    Ok(0)
}

/// Signals the process that holds this home's lock, and waits until it is gone and the lock is free.
fn stop_running(ctx: &Context) -> Result<Option<Process>, Failure> {
    let Some(process) = ctx.home.running() else {
        if ctx.home.is_held() {
            return Err(Failure::refused(
                "the home is in use, but not by the process in run/spl.pid: nothing was signalled",
            )
            .hint("another `spl` command may be reading the stopped home; try again when it has ended"));
        }
        return Ok(None);
    };
    let bar = Progress::spinner("stopping the instance");
    // The first signal lets requests end, the second does not, and the third asks nobody.
    let steps = [(Signal::SIGTERM, GRACE), (Signal::SIGTERM, GRACE), (Signal::SIGKILL, KILLED_LIMIT)];
    for (signal, limit) in steps {
        if let Err(e) = kill(Pid::from_raw(process.pid), signal)
            && e != nix::errno::Errno::ESRCH
        {
            return Err(Failure::refused(format!("cannot stop the process {}: {e}", process.pid)));
        }
        let gone = clock::wait_until(limit, || {
            let gone = !process.is_alive() && !ctx.home.is_held();
            Ok(gone.then_some(()))
        })?;
        if gone.is_some() {
            bar.finish();
            return Ok(Some(process));
        }
    }
    Err(Failure::refused(format!("the process {} does not end", process.pid)))
}

/// Stops the instance where one runs, and starts it with what it was started with before; what is given now
/// wins.
pub(super) fn restart(ctx: &Context, given: StartArgs, once: &OnceArgs) -> Outcome {
    let arguments = given.or(kept(ctx)?);
    // What cannot be bound is found out while there is still an instance.
    if let Some(host) = arguments.host
        && let Err(error) = std::net::TcpListener::bind((host, 0))
    {
        return Err(Failure::refused(format!("{host} is no address that can be listened on here: {error}"))
            .hint("`ip address` lists the addresses of this machine; the instance goes on as it is"));
    }
    stop_running(ctx)?;
    start(ctx, &arguments, once)
}

/// What the instance was started with before.
pub(super) fn kept(ctx: &Context) -> Result<StartArgs, Failure> {
    let path = ctx.home.path(ARGS_FILE);
    match fs::read_to_string(&path) {
        Ok(text) => serde_json::from_str(&text).map_err(|e| {
            Failure::refused(format!("{} cannot be read: {e}", path.display()))
                .hint("start with the arguments you want: `spl serve --stop`, then `spl serve --daemon …`")
        }),
        Err(_) => Ok(StartArgs::default()),
    }
}
