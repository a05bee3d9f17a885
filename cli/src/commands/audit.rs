//! `spl audit`: the instance's own trail, for files that are kept elsewhere.

use std::{
    io::{BufWriter, Write},
    path::{Path, PathBuf},
};

use clap::{Args, Subcommand};
use jiff::Timestamp;
use serde_json::Value;

use crate::{
    client::Client,
    clock,
    commands::{Outcome, token::info},
    context::Context,
    duration,
    error::Failure,
    output,
    pages::Pages,
    partial::{self, PartialFile},
    progress::Progress,
    text,
};

/// What starts the name of every audit thread.
const PREFIX: &str = "th_audit_";
/// The thread that needs a consent grant beside the admin scope.
const INVITES: &str = "th_audit_invites";
/// Every audit thread.
const THREADS: [&str; 5] =
    [INVITES, "th_audit_tokens", "th_audit_consent", "th_audit_federation_pairs", "th_audit_impersonation"];

/// What to do with the trail.
#[derive(Subcommand)]
pub(crate) enum AuditCommand {
    /// Write the trail as lines of JSON, oldest first
    Export(ExportArgs),
}

/// Which part of the trail.
#[derive(Args)]
#[command(after_help = "\
Examples:
  spl audit export > audit.ndjson
  spl audit export --since 24h --thread invites --thread tokens
  spl audit export --since 2030-01-31T00:00:00Z --out audit.ndjson
  spl audit export --actor did:sync:user:bob | jq -c '[.created_at, .body.event_kind]'

Threads:
  invites            issued, redeemed, revoked, refused
  tokens             accounts and tokens made, changed and revoked
  consent            grants given and taken back
  federation_pairs   instances paired and removed
  impersonation      who wrote as somebody else

One record a line, in the order of the log. You need the admin scope, and for `invites` the
th_invites read grant too; a thread that may not be read is told on stderr.")]
pub(crate) struct ExportArgs {
    /// Only records from then on: a time, or how long ago, such as 24h or 7d
    #[arg(long, value_name = "TIME", value_parser = parse_since)]
    since: Option<Since>,
    /// Only this thread, with or without `th_audit_`; may be repeated
    #[arg(long, value_name = "NAME", value_parser = parse_thread)]
    thread: Vec<&'static str>,
    /// Only what this actor did, or what concerns them
    #[arg(long, value_name = "DID")]
    actor: Option<String>,
    /// Write to this file instead of the standard output
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
}

/// A start of a range of time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Since {
    At(Timestamp),
    SecondsAgo(u64),
}

fn parse_since(text: &str) -> Result<Since, String> {
    if let Ok(at) = text.parse::<Timestamp>() {
        return Ok(Since::At(at));
    }
    let help = |_| "write it as 2030-01-31T12:00:00Z, or as how long ago, such as 24h".to_owned();
    duration::parse_seconds(text).map(Since::SecondsAgo).map_err(help)
}

fn parse_thread(text: &str) -> Result<&'static str, String> {
    let name = text.strip_prefix(PREFIX).unwrap_or(text);
    let known = THREADS.into_iter().find(|thread| thread.strip_prefix(PREFIX) == Some(name));
    known.ok_or_else(|| {
        let names: Vec<&str> = THREADS.iter().filter_map(|thread| thread.strip_prefix(PREFIX)).collect();
        format!("there are {}", names.join(", "))
    })
}

/// Runs it.
pub(crate) fn run(ctx: &Context, command: &AuditCommand) -> Outcome {
    let AuditCommand::Export(args) = command;
    let client = ctx.client()?;
    let threads = readable(&client, args)?;
    let filter = Filter::of(args);
    let Some(path) = args.out.as_deref().filter(|path| *path != Path::new("-")) else {
        // A bar would stand between the lines where both are seen.
        let progress = (!ctx.out.is_terminal()).then(|| Progress::spinner("reading"));
        let mut to = BufWriter::new(output::Stdout);
        write_records(&client, &threads, &filter, progress, &mut to)?;
        still_readable(&client, &threads)?;
        return Ok(0);
    };
    let part = PartialFile::create(path)?;
    let mut to = BufWriter::new(part.handle()?);
    let records = write_records(&client, &threads, &filter, Some(Progress::spinner("reading")), &mut to)?;
    still_readable(&client, &threads)?;
    let bytes = part.publish()?;
    partial::tell_exported(ctx, "audit_export", records, bytes, path)?;
    Ok(0)
}

/// The threads to read. To whoever may not read one it looks empty: that is told, and not left to be guessed.
fn readable(client: &Client, args: &ExportArgs) -> Result<Vec<&'static str>, Failure> {
    let mut threads = THREADS.to_vec();
    threads.retain(|thread| args.thread.is_empty() || args.thread.contains(thread));
    let caller = info::caller(client)?.unwrap_or_default();
    if !caller.scopes.iter().any(|scope| scope == "admin") {
        return Err(Failure::not_authorised("the audit threads are shown to admins only")
            .hint("use a token with the admin scope: spl token show-source"));
    }
    if asks_rules(client)? {
        output::warn("permission rules are on: records that they hide from this token are not in the export");
    }
    if !threads.contains(&INVITES) {
        return Ok(threads);
    }
    match client.get(&["v1", "invites", "audit"]).query("limit", Some(1)).send() {
        Ok(_) => Ok(threads),
        // Whoever asked for it by name is not given a file without it.
        Err(failure) if !args.thread.is_empty() => Err(failure),
        Err(failure) => {
            output::warn(format_args!("{INVITES} is left out: {}", text::safe(failure.message())));
            if let Some(hint) = failure.first_hint() {
                output::note(format_args!("hint: {}", text::safe(hint)));
            }
            threads.retain(|thread| *thread != INVITES);
            Ok(threads)
        }
    }
}

/// Whether the instance asks permission rules about each record: what these hide is silently absent.
fn asks_rules(client: &Client) -> Result<bool, Failure> {
    let health = client.get(&["v1", "health"]).send()?.json()?;
    let deciders = health["authorization"]["deciders"].as_array().cloned().unwrap_or_default();
    Ok(deciders.iter().any(|d| d["decider"] == "permission_rules" && d["state"] == "live"))
}

/// The trail of invites may have been closed to the caller meanwhile: then what was read of it is a part.
fn still_readable(client: &Client, threads: &[&str]) -> Result<(), Failure> {
    if threads.contains(&INVITES) {
        client.get(&["v1", "invites", "audit"]).query("limit", Some(1)).send()?;
    }
    Ok(())
}

/// Which records are written.
struct Filter {
    since: Option<Timestamp>,
    actor: Option<String>,
}

impl Filter {
    fn of(args: &ExportArgs) -> Self {
        let since = args.since.map(|since| match since {
            Since::At(at) => at,
            Since::SecondsAgo(seconds) => {
                let start = i64::try_from(seconds).ok().and_then(|s| clock::now().as_second().checked_sub(s));
                start.and_then(|s| Timestamp::from_second(s).ok()).unwrap_or(Timestamp::MIN)
            }
        });
        Self { since, actor: args.actor.clone() }
    }

    fn takes(&self, record: &Value) -> bool {
        let is_since = self.since.is_none_or(|since| {
            let at = record["created_at"].as_str().and_then(|at| at.parse::<Timestamp>().ok());
            // What says no time is no reason to leave it out of a trail.
            at.is_none_or(|at| at >= since)
        });
        is_since && self.actor.as_ref().is_none_or(|actor| concerns(&record["body"], actor))
    }
}

/// Whether somebody did it, or it was done to them or in their name.
fn concerns(body: &Value, actor: &str) -> bool {
    body["by"]["actor"] == actor
        || ["holder_did", "grantee", "actor"].iter().any(|name| body[*name] == actor)
        || body["acted_as"].as_array().is_some_and(|names| names.iter().any(|name| name == actor))
}

/// One thread, read page by page: the record that comes next, and where to get more.
struct Source<'a> {
    pages: Pages<'a>,
    rows: std::vec::IntoIter<Value>,
    next: Option<Value>,
}

impl<'a> Source<'a> {
    fn open(client: &'a Client, thread: &str) -> Result<Self, Failure> {
        let pages = Pages::new(client, &["v1", "threads", thread, "records"], None);
        let mut source = Self { pages, rows: Vec::new().into_iter(), next: None };
        source.advance()?;
        Ok(source)
    }

    /// Takes the next record out.
    fn advance(&mut self) -> Result<Option<Value>, Failure> {
        let mut next = self.rows.next();
        while next.is_none() {
            let Some(page) = self.pages.next()? else { break };
            self.rows = page.rows.into_iter();
            next = self.rows.next();
        }
        Ok(std::mem::replace(&mut self.next, next))
    }

    fn sequence(&self) -> Option<u64> {
        self.next.as_ref().map(|record| record["sequence"].as_u64().unwrap_or(0))
    }
}

/// Writes what the filter takes of all threads, in the order of the log; says how many records that were.
fn write_records(
    client: &Client,
    threads: &[&str],
    filter: &Filter,
    mut progress: Option<Progress>,
    to: &mut dyn Write,
) -> Result<u64, Failure> {
    let mut sources =
        threads.iter().map(|thread| Source::open(client, thread)).collect::<Result<Vec<_>, _>>()?;
    let (mut read, mut written) = (0, 0);
    loop {
        let first = sources.iter_mut().filter(|source| source.next.is_some()).min_by_key(|s| s.sequence());
        let Some(record) = first.map(Source::advance).transpose()?.flatten() else { break };
        read += 1;
        if filter.takes(&record) {
            writeln!(to, "{record}")?;
            written += 1;
        }
        if let Some(progress) = &mut progress {
            progress.at(read, 0);
        }
    }
    to.flush()?;
    Ok(written)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn threads_have_short_names() {
        assert_eq!(parse_thread("invites"), Ok(INVITES));
        assert_eq!(parse_thread("th_audit_federation_pairs"), Ok("th_audit_federation_pairs"));
        for bad in ["", "th_audit_", "th_invites", "all"] {
            assert!(parse_thread(bad).unwrap_err().contains("impersonation"), "{bad}");
        }
    }

    #[test]
    fn a_start_is_a_time_or_a_duration() {
        assert_eq!(parse_since("24h"), Ok(Since::SecondsAgo(86_400)));
        assert!(matches!(parse_since("2030-01-31T00:00:00Z"), Ok(Since::At(_))));
        assert!(parse_since("yesterday").is_err());
    }

    #[test]
    fn an_actor_is_found_wherever_they_stand() {
        let bob = "did:sync:user:bob";
        for body in [
            json!({ "by": { "actor": bob } }),
            json!({ "holder_did": bob }),
            json!({ "grantee": bob }),
            json!({ "actor": bob }),
            json!({ "acted_as": ["did:sync:user:a", bob] }),
        ] {
            assert!(concerns(&body, bob), "{body}");
        }
        for body in [json!({}), json!({ "by": bob }), json!({ "notes": bob }), json!({ "acted_as": bob })] {
            assert!(!concerns(&body, bob), "{body}");
        }
    }
}
