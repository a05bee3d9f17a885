//! `spl doctor`.

mod access;

use std::{
    fs,
    os::unix::fs::{MetadataExt as _, PermissionsExt as _},
    path::Path,
};

use nix::sys::statvfs::statvfs;
use serde_json::{Map, Value, json};

use crate::{
    client::{Client, Credential},
    clock,
    commands::{Outcome, serve, status::Health},
    context::{Context, DEFAULT_PORT},
    error::Failure,
    table::{Cell, Table, Tint},
    text,
};

/// Below this an instance takes no more data.
const FREE_BYTES_MIN: u64 = 256 * 1024 * 1024;
/// A clock before this is wrong: 2025-01-01.
const CLOCK_SECONDS_MIN: i64 = 1_735_689_600;

/// How a check went.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Grade {
    Pass,
    Warn,
    Fail,
}

impl Grade {
    fn as_str(self) -> &'static str {
        match self {
            Self::Pass => "pass",
            Self::Warn => "warn",
            Self::Fail => "fail",
        }
    }
}

/// One check and what it found.
struct Check {
    name: &'static str,
    grade: Grade,
    detail: String,
    fix: Option<String>,
    /// What was found, one by one.
    rows: Vec<String>,
}

impl Check {
    fn pass(name: &'static str, detail: impl Into<String>) -> Self {
        Self { name, grade: Grade::Pass, detail: detail.into(), fix: None, rows: Vec::new() }
    }

    fn warn(name: &'static str, detail: impl Into<String>, fix: impl Into<String>) -> Self {
        Self { name, grade: Grade::Warn, detail: detail.into(), fix: Some(fix.into()), rows: Vec::new() }
    }

    fn fail(name: &'static str, detail: impl Into<String>, fix: impl Into<String>) -> Self {
        Self { name, grade: Grade::Fail, detail: detail.into(), fix: Some(fix.into()), rows: Vec::new() }
    }
}

/// Checks everything: exit code 0 where all is well, 1 where something is worth a look, 2 where something is
/// broken.
pub(crate) fn run(ctx: &Context) -> Outcome {
    let mut checks = vec![permissions(ctx), config(ctx), process(ctx), head(ctx), space(ctx), wall_clock()];
    checks.extend(instance(ctx));
    if ctx.out.is_human() {
        print(ctx, &checks)?;
    } else {
        ctx.out.json(&as_json(&checks))?;
    }
    let worst = checks.iter().map(|check| check.grade).max().unwrap_or(Grade::Pass);
    Ok(worst as u8)
}

fn as_json(checks: &[Check]) -> Value {
    let checks = checks.iter().map(|check| {
        let mut row = Map::from_iter([
            ("name".to_owned(), check.name.into()),
            ("status".to_owned(), check.grade.as_str().into()),
            ("detail".to_owned(), check.detail.clone().into()),
        ]);
        row.extend(check.fix.clone().map(|fix| ("fix".to_owned(), fix.into())));
        if !check.rows.is_empty() {
            row.insert("found".to_owned(), check.rows.clone().into());
        }
        Value::Object(row)
    });
    json!({ "object": "doctor_report", "checks": checks.collect::<Vec<_>>() })
}

fn print(ctx: &Context, checks: &[Check]) -> Result<(), Failure> {
    let mut table = Table::new(&["", "CHECK", "FOUND"], &[]);
    for check in checks {
        let (mark, tint) = match check.grade {
            Grade::Pass => ("✓", Tint::Good),
            Grade::Warn => ("!", Tint::Busy),
            Grade::Fail => ("✗", Tint::Bad),
        };
        table.row(vec![Cell::tinted(mark, tint), Cell::plain(check.name), Cell::plain(&check.detail)]);
    }
    table.print(&ctx.out)?;
    let palette = ctx.out.palette();
    for check in checks.iter().filter(|check| !check.rows.is_empty()) {
        ctx.out.line(format_args!("\n{}", palette.bold(format_args!("Found by `{}`", check.name))))?;
        for row in &check.rows {
            ctx.out.line(format_args!("  {}", text::safe(row)))?;
        }
    }
    let to_mend = checks.iter().filter_map(|check| check.fix.as_ref().map(|fix| (check.name, fix)));
    for (position, (name, fix)) in to_mend.enumerate() {
        if position == 0 {
            ctx.out.line(format_args!("\n{}", palette.bold("What to do")))?;
        }
        ctx.out.field(name, text::safe(fix))?;
    }
    Ok(())
}

/// The home and what is in it belong to their owner alone.
fn permissions(ctx: &Context) -> Check {
    const NAME: &str = "permissions";
    let root = ctx.home.root();
    let Ok(meta) = fs::metadata(root) else {
        return Check::warn(
            NAME,
            format!("{} does not exist yet", root.display()),
            "spl serve --daemon makes it",
        );
    };
    let mut open = Vec::new();
    if meta.uid() != nix::unistd::geteuid().as_raw() {
        return Check::fail(
            NAME,
            format!("{} belongs to somebody else", root.display()),
            "name your own with --home",
        );
    }
    collect_open(root, 2, &mut open);
    match open.split_first() {
        None => Check::pass(NAME, format!("{} is for its owner only", root.display())),
        Some((first, rest)) => {
            let others = if rest.is_empty() { String::new() } else { format!(" and {} more", rest.len()) };
            Check::fail(
                NAME,
                format!("{first} is open to others{others}"),
                format!("chmod -R go-rwx {}", root.display()),
            )
        }
    }
}

/// Paths, down to some depth, that others than the owner can do anything with.
fn collect_open(path: &Path, depth: usize, open: &mut Vec<String>) {
    let Ok(meta) = fs::symlink_metadata(path) else { return };
    if !meta.is_symlink() && meta.permissions().mode() & 0o077 != 0 {
        open.push(path.display().to_string());
    }
    if depth > 0 && meta.is_dir() {
        for entry in fs::read_dir(path).into_iter().flatten().flatten() {
            collect_open(&entry.path(), depth - 1, open);
        }
    }
}

fn config(ctx: &Context) -> Check {
    const NAME: &str = "configuration";
    let path = ctx.home.path("config.toml");
    match ctx.config() {
        Err(failure) => Check::fail(NAME, failure.message(), fix(&failure, "look at the file")),
        Ok(_) if path.exists() => Check::pass(NAME, format!("{} is valid", path.display())),
        Ok(_) => Check::pass(NAME, "no config.toml: defaults are used"),
    }
}

/// What a failure says to do, or else this.
fn fix(failure: &Failure, otherwise: &str) -> String {
    failure.first_hint().unwrap_or(otherwise).to_owned()
}

/// The lock, the recorded process and the recorded address agree.
fn process(ctx: &Context) -> Check {
    const NAME: &str = "process";
    let (held, recorded) = (ctx.home.is_held(), ctx.home.process());
    match (held, recorded) {
        (true, Some(process)) if process.is_alive() => {
            Check::pass(NAME, format!("process {} holds the home", process.pid))
        }
        (true, _) => Check::warn(
            NAME,
            "the home is in use, but not by the process in run/spl.pid",
            "wait for the other `spl` command, or find it with `fuser` on run/lock",
        ),
        (false, Some(process)) if process.is_alive() => Check::fail(
            NAME,
            format!("process {} runs, but does not hold the home", process.pid),
            "stop it, then: spl serve --daemon",
        ),
        (false, Some(_)) => Check::warn(
            NAME,
            "the last instance did not end in order: run/spl.pid is left over",
            "nothing is lost; start it again: spl serve --daemon",
        ),
        (false, None) => Check::pass(NAME, "no instance runs in this home"),
    }
}

/// The log has the file that keeps it from being exchanged for an older one.
fn head(ctx: &Context) -> Check {
    const NAME: &str = "log head";
    let (log, head) = (ctx.home.has_log(), ctx.home.path("keys/head").exists());
    let key = ctx.home.path("keys/primary").exists();
    // An instance that was never used keeps the head before its first commit.
    let unused = fs::read_to_string(ctx.home.path("keys/head")).is_ok_and(|head| head.starts_with("0:"));
    match (log, head, key) {
        (true, true, true) => Check::pass(NAME, "log, key and last acknowledged head are there"),
        (true, false, _) => Check::fail(
            NAME,
            "keys/head is missing beside a log",
            "restore it, or: spl serve --accept-older-log",
        ),
        (true, true, false) => {
            Check::fail(NAME, "keys/primary is missing", "restore it from a copy of the home")
        }
        (false, _, true) if unused => Check::pass(NAME, "the identity is there, and no log yet"),
        (false, _, true) => Check::fail(
            NAME,
            "there is a key, but no log",
            "restore the log, or begin anew: spl serve --new-log",
        ),
        (false, _, false) => Check::pass(NAME, "no log yet"),
    }
}

fn space(ctx: &Context) -> Check {
    const NAME: &str = "free space";
    let root = ctx.home.root();
    let existing = root.ancestors().find(|path| path.exists()).unwrap_or(root);
    match statvfs(existing) {
        Err(e) => Check::warn(NAME, format!("cannot be told: {e}"), format!("df -h {}", existing.display())),
        Ok(stat) => {
            let free = stat.blocks_available().saturating_mul(stat.fragment_size());
            let total = stat.blocks().saturating_mul(stat.fragment_size());
            let detail = format!("{} free", text::bytes(free));
            if free < FREE_BYTES_MIN.max(total / 50) {
                Check::fail(NAME, detail, "make room: below this the instance takes no more records")
            } else if free < 4 * FREE_BYTES_MIN {
                Check::warn(NAME, detail, "make room soon")
            } else {
                Check::pass(NAME, detail)
            }
        }
    }
}

fn wall_clock() -> Check {
    const NAME: &str = "clock";
    let now = clock::now();
    if now.as_second() < CLOCK_SECONDS_MIN {
        return Check::fail(
            NAME,
            format!("it says {now}"),
            "set the clock, for instance with: timedatectl set-ntp true",
        );
    }
    Check::pass(NAME, format!("{} UTC", text::clock_time(&now.to_string(), now)))
}

/// The instance that commands would talk to.
fn instance(ctx: &Context) -> Vec<Check> {
    const NAME: &str = "instance";
    let base = match ctx.server_url() {
        Ok(base) => base,
        Err(failure) => {
            return vec![Check::fail(NAME, failure.message(), fix(&failure, "correct the address"))];
        }
    };
    let at = base.origin().ascii_serialization();
    let health = Client::new(base, Credential::default())
        .and_then(|client| client.get(&["health"]).send()?.parse::<Health>().map(|health| (client, health)));
    let (client, health) = match health {
        Ok(found) => found,
        Err(failure) => return vec![not_reached(ctx, &at, &failure)],
    };
    let mut checks = vec![Check::pass(NAME, format!("{at} answers, version {}", health.version))];
    let ready = client.get(&["health", "ready"]).send_any().is_ok_and(|answer| answer.status.is_success());
    checks.push(match (ready, health.records) {
        (true, Some(records)) => Check::pass("ready", format!("serves {}", text::counted(records, "record"))),
        (true, None) => Check::fail(
            "ready",
            "its index cannot be read",
            "stop it, delete log.index.redb in the home, and start it again: it is built anew",
        ),
        (false, _) => Check::fail("ready", "the instance is not ready", "see what it does: spl serve --logs"),
    });
    checks.push(access::mode(&health));
    checks.extend(access::token(ctx, &health));
    checks.extend(access::exposure(ctx));
    checks.push(match ctx.home.instance().ok().flatten() {
        Some(own) if own.instance_did != health.instance_did && ctx.home.is_held() => Check::fail(
            "identity",
            format!("{at} is another instance than the one of this home"),
            "name the one you mean with --server or --home",
        ),
        _ => Check::pass("identity", health.instance_did),
    });
    checks
}

/// Why nothing answers: none runs, or something else has its port.
fn not_reached(ctx: &Context, at: &str, failure: &Failure) -> Check {
    const NAME: &str = "instance";
    let port = ctx.config().ok().and_then(|config| config.server.port).unwrap_or(DEFAULT_PORT);
    if !ctx.home.is_held() && serve::listens_here(port) {
        return Check::fail(
            NAME,
            format!("port {port} is taken by something else"),
            "choose another: spl serve --daemon --port 9101",
        );
    }
    if ctx.home.is_held() {
        return Check::fail(NAME, failure.message(), "see what it does: spl serve --logs");
    }
    Check::warn(NAME, format!("nothing answers at {at}"), "start one: spl serve --daemon")
}
