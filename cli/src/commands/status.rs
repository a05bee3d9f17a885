//! `spl status`.

use serde::Deserialize;

use crate::{client::Client, commands::Outcome, context::Context, error::Kind, text};

/// The answer of `GET /health`, as far as it is shown.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Health {
    pub(crate) status: String,
    pub(crate) version: String,
    pub(crate) store: String,
    /// None where the instance cannot count them.
    pub(crate) records: Option<u64>,
    pub(crate) instance_did: String,
    pub(crate) uptime_seconds: u64,
    pub(crate) auth: AuthHealth,
    pub(crate) warnings: Vec<String>,
}

impl Health {
    /// How many records there are, if that is known.
    pub(crate) fn records_in_words(&self) -> String {
        self.records.map_or_else(|| "not known".to_owned(), |count| text::count(count).to_string())
    }
}

/// How an instance admits requests.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct AuthHealth {
    pub(crate) mode: String,
}

impl AuthHealth {
    /// The mode in words.
    pub(crate) fn in_words(&self) -> &str {
        mode_in_words(&self.mode)
    }
}

/// A mode in words.
pub(crate) fn mode_in_words(mode: &str) -> &str {
    match mode {
        "bootstrap" => "bootstrap: no account yet, nothing is served",
        "secure" => "secure: every request needs a token",
        "open" => "open: reading and writing records needs no token",
        "insecure_localhost" => "insecure_localhost: local requests need no token",
        other => other,
    }
}

/// How the instance admits requests, where it says so.
pub(crate) fn mode_of(client: &Client) -> Option<String> {
    let health: Health = client.get(&["health"]).send().ok()?.parse().ok()?;
    Some(health.auth.mode)
}

/// Prints what the instance says of itself.
pub(crate) fn run(ctx: &Context) -> Outcome {
    let client = ctx.open_client()?;
    let answer = client.get(&["health"]).send().inspect_err(|failure| {
        if ctx.out.is_human() && failure.kind() == Kind::Unreachable {
            // The failure that follows says why; should stdout be gone, it still does.
            let _ = ctx.out.line("Status: not running");
        }
    })?;
    if !ctx.out.is_human() {
        ctx.out.answer(&answer.body)?;
        return Ok(0);
    }
    let health: Health = answer.parse()?;
    let (out, palette) = (&ctx.out, ctx.out.palette());
    let healthy = matches!(health.status.as_str(), "ok" | "healthy" | "pass");
    let mark = if healthy { palette.green("●") } else { palette.yellow("●") };
    let at = client.base().origin().ascii_serialization();
    out.line(format_args!("{mark} Status: {}", palette.bold(text::safe(&health.status))))?;
    out.field("address", palette.cyan(at))?;
    // The process is known only where the home's own instance answers.
    let own = ctx.home.instance()?.filter(|own| own.instance_did == health.instance_did);
    if let Some(process) = own.and_then(|_| ctx.home.running()) {
        out.field("pid", process.pid)?;
    }
    out.field("version", text::safe(&health.version))?;
    out.field("instance", text::safe(&health.instance_did))?;
    out.field("uptime", text::span(health.uptime_seconds))?;
    out.field("records", health.records_in_words())?;
    out.field("store", text::safe(&health.store))?;
    out.field("access", text::safe(health.auth.in_words()))?;
    // A saved token that cannot be used is no reason not to show the rest; `doctor` says what is wrong.
    if let Ok(active) = ctx.active_token() {
        let source = ctx.source_in_words(active.as_ref().map(|active| active.source));
        out.field("token", text::safe(&source))?;
    }
    for warning in &health.warnings {
        out.field("warning", palette.yellow(text::safe(warning)))?;
    }
    Ok(0)
}
