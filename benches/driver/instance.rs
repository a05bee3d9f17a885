//! `spl` itself: built, started with a home on the disk, and spoken to.

use std::{
    io::Write as _,
    path::{Path, PathBuf},
    process::Command,
};

use nix::sys::signal::Signal;
use serde_json::{Value, json};
use spl_fixtures::data;
use tempfile::TempDir;

use crate::{
    Outcome,
    process::{Server, Usage, data_directory, free_port},
    transport::Link,
    wire::{
        Requests,
        http::{self, head},
        refused,
    },
};

/// The first account's secret. It is of no instance that lives.
const SECRET: &str = "0123456789abcdefghjkmnpqrstvwxyz";
/// Whose records the real data are.
const ACTOR: &str = "did:sync:svc:debian-archive";
/// Streams that one token may have open; the instance refuses a hundred and first.
const STREAMS_A_TOKEN: usize = 100;

/// The program: the one that is named, else built now from this workspace.
pub(crate) fn program(named: Option<&Path>, profile: &str) -> Outcome<PathBuf> {
    if let Some(path) = named {
        return Ok(path.canonicalize().map_err(|e| format!("{}: {e}", path.display()))?);
    }
    let root = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("..").canonicalize()?;
    let mut build = Command::new("cargo");
    build.current_dir(&root).args(["build", "--locked", "-p", "spl-cli", "--profile", profile]);
    if !build.status()?.success() {
        return Err("spl cannot be built".into());
    }
    let folder = if profile == "dev" { "debug" } else { profile };
    Ok(root.join("target").join(folder).join("spl"))
}

/// An instance that runs.
pub(crate) struct Instance {
    server: Server,
    home: Home,
    /// Where it listens.
    pub(crate) port: u16,
}

/// A home directory, kept over restarts.
#[derive(Debug)]
pub(crate) struct Home {
    program: PathBuf,
    directory: TempDir,
    insecure: bool,
}

impl Home {
    /// An empty one.
    pub(crate) fn new(program: &Path, insecure: bool) -> Outcome<Self> {
        Ok(Self { program: program.to_owned(), directory: data_directory()?, insecure })
    }

    /// The directory.
    pub(crate) fn path(&self) -> PathBuf {
        self.directory.path().join("home")
    }

    /// Starts an instance on it and waits until it is ready.
    pub(crate) fn serve(self) -> Outcome<Instance> {
        let port = free_port()?;
        let mut command = Command::new(&self.program);
        command.arg("--home").arg(self.path()).args(["serve", "--host", "127.0.0.1", "--port"]);
        command.arg(port.to_string()).env("SPL_BOOTSTRAP_TOKEN", SECRET);
        if self.insecure {
            command.arg("--insecure-localhost");
        }
        let mut server = Server::start(&mut command, self.directory.path().join("output"))?;
        let ready = http::request("GET /health/ready", port, None, "");
        server.wait(|| ask(&mut Link::plain(port)?, &ready).map(drop))?;
        Ok(Instance { server, home: self, port })
    }
}

/// Sends a request and gives the answer's bytes, and where among them its body starts.
pub(crate) fn exchange(link: &mut Link, request: &[u8]) -> Outcome<(Vec<u8>, usize)> {
    link.write_all(request)?;
    let mut start = 0;
    let answer = link.read_until(|got| match head(got) {
        Ok(None) => false,
        Ok(Some((_, body, Some(length)))) => {
            start = body;
            got.len() >= body + length
        }
        _ => true,
    })?;
    if !answer.starts_with(b"HTTP/1.1 2") {
        return Err(refused("HTTP", &answer));
    }
    Ok((answer, start))
}

/// Sends a request and gives the answer's body, which is JSON.
pub(crate) fn ask(link: &mut Link, request: &[u8]) -> Outcome<Value> {
    let (answer, start) = exchange(link, request)?;
    Ok(serde_json::from_slice(&answer[start..])?)
}

fn text(answer: &Value, member: &str) -> Outcome<String> {
    let found = answer[member].as_str().map(str::to_owned);
    found.ok_or_else(|| format!("no `{member}` in {answer}").into())
}

/// The real records as they are posted: without their clocks, so that they can be posted again and again.
pub(crate) fn payloads(count: usize) -> Outcome<Vec<String>> {
    let mut lines = data::debian_lines().take(count);
    lines.try_fold(Vec::with_capacity(count), |mut list, line| {
        let mut record: Value = serde_json::from_str(&line)?;
        if let Some(members) = record.as_object_mut() {
            members.remove("clock");
        }
        list.push(record.to_string());
        Ok(list)
    })
}

impl Instance {
    /// One with an empty home.
    pub(crate) fn start(program: &Path, insecure: bool) -> Outcome<Self> {
        Home::new(program, insecure)?.serve()
    }

    /// What it has used.
    pub(crate) fn usage(&self) -> Usage {
        self.server.usage()
    }

    /// Stops it; its home remains.
    pub(crate) fn stop(self) -> Outcome<Home> {
        self.server.stop(Signal::SIGTERM)?;
        Ok(self.home)
    }

    /// Kills it; its home remains as it is then.
    pub(crate) fn kill(self) -> Outcome<Home> {
        self.server.kill()?;
        Ok(self.home)
    }

    /// The first account's token.
    pub(crate) fn admin() -> String {
        format!("spl_prod_sa-bootstrap-env_{SECRET}")
    }

    /// A request's bytes.
    pub(crate) fn request(&self, line: &str, token: Option<&str>, body: &str) -> Vec<u8> {
        http::request(line, self.port, token, body)
    }

    /// A connection.
    pub(crate) fn link(&self) -> Outcome<Link> {
        Ok(Link::plain(self.port)?)
    }

    /// Sends the first account's request and gives what it is answered.
    pub(crate) fn admin_asks(&self, line: &str, body: &Value) -> Outcome<Value> {
        let body = if body.is_null() { String::new() } else { body.to_string() };
        ask(&mut self.link()?, &self.request(line, Some(&Self::admin()), &body))
    }

    /// The id of a new account whose records are the real data's.
    pub(crate) fn account(&self, name: &str, scopes: &[&str]) -> Outcome<String> {
        let body = json!({"name": name, "actors": [ACTOR], "scopes": scopes});
        text(&self.admin_asks("POST /v1/service-accounts", &body)?, "id")
    }

    /// Tokens of an account, minted over one connection.
    pub(crate) fn tokens(&self, account: &str, count: usize) -> Outcome<Vec<String>> {
        let mut link = self.link()?;
        let body = json!({"service_account_id": account}).to_string();
        let mint = self.request("POST /v1/tokens", Some(&Self::admin()), &body);
        (0..count).map(|_| text(&ask(&mut link, &mint)?, "api_key")).collect()
    }

    /// A token that may read and write records.
    pub(crate) fn token(&self, scopes: &[&str]) -> Outcome<String> {
        let account = self.account("bench", scopes)?;
        self.tokens(&account, 1)?.pop().ok_or_else(|| "no token".into())
    }

    /// Writes records in batches and gives their ids.
    pub(crate) fn fill(&self, payloads: &[String]) -> Outcome<Vec<String>> {
        let token = self.token(&["records:read", "records:write"])?;
        let mut link = self.link()?;
        let mut ids = Vec::with_capacity(payloads.len());
        for batch in payloads.chunks(500) {
            let body = format!("{{\"records\":[{}]}}", batch.join(","));
            let answer = ask(&mut link, &self.request("POST /v1/records", Some(&token), &body))?;
            let list = answer["data"].as_array().ok_or("no list of records")?;
            ids.extend(list.iter().filter_map(|r| r["id"].as_str().map(str::to_owned)));
        }
        if ids.len() == payloads.len() { Ok(ids) } else { Err("some records have no id".into()) }
    }

    /// The requests that write these records one by one, answered with no more than where they are.
    pub(crate) fn writes(&self, payloads: &[String]) -> Outcome<Requests> {
        let token = if self.home.insecure { None } else { Some(self.token(&["records:write"])?) };
        let write = |p: &String| self.request("POST /v1/records", token.as_deref(), p);
        Ok(Requests::new(payloads.iter().map(write).collect()))
    }

    /// Tokens for so many streams.
    pub(crate) fn stream_tokens(&self, streams: usize) -> Outcome<Vec<String>> {
        let account = self.account("streams", &["records:read"])?;
        self.tokens(&account, streams.div_ceil(STREAMS_A_TOKEN))
    }

    /// The requests that open so many streams of all records, from some header on.
    pub(crate) fn subscriptions(&self, streams: usize, query: &str) -> Outcome<Vec<Vec<u8>>> {
        let tokens = self.stream_tokens(streams)?;
        let line = format!("GET /v1/events/stream{query}");
        let request = |n: usize| self.request(&line, tokens.get(n / STREAMS_A_TOKEN).map(String::as_str), "");
        Ok((0..streams).map(request).collect())
    }
}
