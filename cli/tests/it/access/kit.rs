//! An instance that asks for tokens, and callers of it.

use std::{
    fs, io,
    process::{Child, Command, Stdio},
    sync::atomic::{AtomicBool, AtomicU64, Ordering},
};

use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use crate::{
    raw::{Client, Event, Events, Reply, now, wait_at_most},
    support::{LIMIT, Sandbox, wait_until},
};

/// The actor of the first admin.
pub(crate) const ADMIN: &str = "did:sync:user:admin";
/// The actor of whoever is no admin.
pub(crate) const ALICE: &str = "did:sync:user:alice";
/// The instance's own name.
pub(crate) const ENGINE: &str = "did:sync:system:engine";

/// A running instance that asks for tokens; killed when dropped.
pub(crate) struct Node {
    pub(crate) sandbox: Sandbox,
    pub(crate) port: u16,
    /// Local proof.
    pub(crate) proof: String,
    child: Option<Child>,
}

impl Node {
    /// One in memory.
    pub(crate) fn memory() -> Self {
        Self::with(&["--memory"])
    }

    /// One in a fresh home.
    pub(crate) fn disk() -> Self {
        Self::with(&[])
    }

    /// One in a fresh home, with options.
    pub(crate) fn with(options: &[&str]) -> Self {
        Self::on(Sandbox::new(), options)
    }

    /// One in a sandbox.
    pub(crate) fn on(sandbox: Sandbox, options: &[&str]) -> Self {
        let mut node = Self::stopped(sandbox);
        node.run(options);
        node
    }

    /// One that does not run yet.
    pub(crate) fn stopped(sandbox: Sandbox) -> Self {
        Self { sandbox, port: 0, proof: String::new(), child: None }
    }

    /// Starts it in its home.
    #[track_caller]
    pub(crate) fn run(&mut self, options: &[&str]) {
        self.run_in(options, &[]);
    }

    /// Starts it with variables in its environment.
    #[track_caller]
    pub(crate) fn run_in(&mut self, options: &[&str], environment: &[(&str, &str)]) {
        self.spawn(options, environment);
        self.ready();
    }

    /// Starts it, and waits for nothing.
    pub(crate) fn spawn(&mut self, options: &[&str], environment: &[(&str, &str)]) {
        let said = fs::File::create(self.sandbox.dir().join("serve.out")).expect("a file");
        let any: &[&str] = if options.contains(&"--port") { &[] } else { &["--port", "0"] };
        let mut command = self.sandbox.command(&["serve"]);
        command.args(any).args(options).envs(environment.iter().copied());
        command.stdout(said.try_clone().expect("a handle")).stderr(said);
        self.child = Some(command.spawn().expect("spl starts"));
    }

    /// Waits until it serves.
    #[track_caller]
    pub(crate) fn ready(&mut self) {
        let pid = u64::from(self.child.as_ref().expect("a process").id());
        let run = self.sandbox.home().join("run");
        let port = wait_at_most(LIMIT, "the instance is ready", || {
            let ended = self.child.as_mut().and_then(|child| child.try_wait().expect("a child"));
            assert!(ended.is_none(), "the instance ended ({ended:?}): {}", self.said());
            let text = fs::read_to_string(run.join("instance.json")).ok()?;
            let recorded: Value = serde_json::from_str(&text).ok()?;
            (recorded["pid"].as_u64() == Some(pid)).then(|| recorded["port"].as_u64()).flatten()
        });
        self.port = u16::try_from(port).expect("a port");
        self.proof = fs::read_to_string(run.join("local")).expect("run/local");
    }

    /// What it said so far.
    pub(crate) fn said(&self) -> String {
        fs::read_to_string(self.sandbox.dir().join("serve.out")).unwrap_or_default()
    }

    /// What it logged so far.
    pub(crate) fn logged(&self) -> String {
        fs::read_to_string(self.sandbox.home().join("logs/spl.log")).unwrap_or_default()
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.as_ref().expect("a process").id()
    }

    /// Ends it at once, as a power cut would.
    pub(crate) fn kill(&mut self) {
        let mut child = self.child.take().expect("a process");
        child.kill().expect("a process");
        child.wait().expect("an ended process");
    }

    /// Stops it in order.
    pub(crate) fn stop(&mut self) {
        let mut child = self.child.take().expect("a process");
        kill(Pid::from_raw(child.id().cast_signed()), Signal::SIGTERM).expect("a process");
        let status = wait_until("the instance has ended", || child.try_wait().expect("a child"));
        assert!(status.success(), "{status}: {}", self.said());
    }

    /// Whoever has no token.
    pub(crate) fn anyone(&self) -> Caller {
        Caller { port: self.port, headers: String::new() }
    }

    /// Whoever can read the home directory.
    pub(crate) fn owner(&self) -> Caller {
        self.anyone().header("x-syncropel-local", &self.proof)
    }

    /// Whoever has this token.
    pub(crate) fn as_token(&self, token: &Token) -> Caller {
        self.anyone().bearer(&token.text)
    }

    /// Makes the first account: an admin with every grant.
    #[track_caller]
    pub(crate) fn bootstrap(&self) -> Token {
        let body = json!({ "display_name": "admin", "actors": [ADMIN], "with_token": true });
        Token::of(&self.owner().post("/v1/bootstrap/service-account", &body).is(201).json())
    }

    /// The first account, as a caller.
    #[track_caller]
    pub(crate) fn admin(&self) -> Caller {
        let token = self.bootstrap();
        self.as_token(&token)
    }

    /// `spl` against it, with a token.
    pub(crate) fn command_as(&self, token: &Token, args: &[&str]) -> Command {
        let mut command = self.sandbox.command(args);
        command.env("SPL_TOKEN", &token.text).stdout(Stdio::piped()).stderr(Stdio::piped());
        command
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        if let Some(mut child) = self.child.take() {
            // A test that fails must not leave a process behind; that it may have ended already is fine.
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

/// A token and whose it is.
#[derive(Debug, Clone)]
pub(crate) struct Token {
    pub(crate) text: String,
    pub(crate) id: String,
    pub(crate) account: String,
}

impl Token {
    /// The token that an answer reveals.
    #[track_caller]
    pub(crate) fn of(answer: &Value) -> Self {
        let text = answer["api_key"].as_str().or(answer["bearer"].as_str());
        let text = text.unwrap_or_else(|| panic!("no token: {answer}")).to_owned();
        let account = text.split('_').skip(2).take(2).collect::<Vec<_>>().join("_");
        let id = sha256(&text);
        assert_eq!(answer["token_id"], id, "{answer}");
        Self { text, id, account }
    }

    /// A token that a client makes by itself.
    pub(crate) fn made(account: &str) -> Self {
        const SYMBOLS: &[u8; 32] = b"0123456789abcdefghjkmnpqrstvwxyz";
        let secret: String =
            (0..32).map(|_| char::from(SYMBOLS[usize::try_from(random() % 32).expect("small")])).collect();
        let text = format!("spl_prod_{account}_{secret}");
        Self { id: sha256(&text), text, account: account.to_owned() }
    }
}

pub(crate) fn sha256(text: &str) -> String {
    data_encoding::HEXLOWER.encode(&Sha256::digest(text.as_bytes()))
}

/// A number that is never the same twice in one run of the tests.
pub(crate) fn random() -> u64 {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    let seed = format!("{} {}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
    u64::from_str_radix(&sha256(&seed)[..15], 16).expect("a number")
}

/// Somebody who calls: each time on a connection of its own.
#[derive(Debug, Clone)]
pub(crate) struct Caller {
    pub(crate) port: u16,
    headers: String,
}

impl Caller {
    /// Whoever has this token, at a port.
    pub(crate) fn at(port: u16, token: &Token) -> Self {
        Self { port, headers: String::new() }.bearer(&token.text)
    }

    /// The same caller, who sends one more header.
    pub(crate) fn header(&self, name: &str, value: &str) -> Self {
        Self { port: self.port, headers: format!("{}{name}: {value}\r\n", self.headers) }
    }

    pub(crate) fn bearer(&self, token: &str) -> Self {
        self.header("authorization", &format!("Bearer {token}"))
    }

    /// The same caller, who claims an actor.
    pub(crate) fn claiming(&self, actor: &str) -> Self {
        self.header("x-syncropel-actor", actor)
    }

    /// The bytes of a request.
    pub(crate) fn request(&self, method: &str, path: &str, body: Option<&[u8]>) -> Vec<u8> {
        let mut head = format!("{method} {path} HTTP/1.1\r\n");
        if !self.headers.lines().any(|line| line.starts_with("host:")) {
            head.push_str(&format!("host: 127.0.0.1:{}\r\n", self.port));
        }
        head.push_str(&self.headers);
        if let Some(body) = body {
            head.push_str(&format!("content-type: application/json\r\ncontent-length: {}\r\n", body.len()));
        }
        head.push_str("\r\n");
        [head.as_bytes(), body.unwrap_or_default()].concat()
    }

    /// Asks over a connection that is kept.
    pub(crate) fn over(
        &self,
        connection: &mut Client,
        method: &str,
        path: &str,
        body: Option<&Value>,
    ) -> io::Result<Reply> {
        let body = body.map(|b| b.to_string().into_bytes());
        connection.write(&self.request(method, path, body.as_deref()))?;
        connection.reply()
    }

    pub(crate) fn try_call(&self, method: &str, path: &str, body: Option<&[u8]>) -> io::Result<Reply> {
        let mut client = Client::try_connect(self.port)?;
        // A refused upload may be answered, and closed, before all of it is sent.
        let sent = client.write(&self.request(method, path, body));
        client.reply().map_err(|error| sent.err().unwrap_or(error))
    }

    #[track_caller]
    pub(crate) fn call(&self, method: &str, path: &str, body: Option<&[u8]>) -> Reply {
        self.try_call(method, path, body).unwrap_or_else(|e| panic!("{method} {path}: {e}"))
    }

    #[track_caller]
    pub(crate) fn get(&self, path: &str) -> Reply {
        self.call("GET", path, None)
    }

    #[track_caller]
    pub(crate) fn delete(&self, path: &str) -> Reply {
        self.call("DELETE", path, None)
    }

    #[track_caller]
    pub(crate) fn post(&self, path: &str, body: &Value) -> Reply {
        self.call("POST", path, Some(body.to_string().as_bytes()))
    }

    #[track_caller]
    pub(crate) fn patch(&self, path: &str, body: &Value) -> Reply {
        self.call("PATCH", path, Some(body.to_string().as_bytes()))
    }

    /// Writes a new record; gives it as it is answered.
    #[track_caller]
    pub(crate) fn wrote(&self, record: &Value) -> Value {
        self.post("/v1/records", record).is(201).json()
    }

    /// All rows of a list.
    #[track_caller]
    pub(crate) fn rows(&self, path: &str) -> Vec<Value> {
        let (mut rows, mut cursor) = (Vec::new(), None::<String>);
        loop {
            let separator = if path.contains('?') { '&' } else { '?' };
            let page = match &cursor {
                Some(cursor) => self.get(&format!("{path}{separator}cursor={cursor}")),
                None => self.get(path),
            };
            let page = page.is(200).json();
            rows.extend(page["data"].as_array().unwrap_or_else(|| panic!("no list: {page}")).clone());
            match page["next_cursor"].as_str() {
                Some(next) => cursor = Some(next.to_owned()),
                None => return rows,
            }
        }
    }

    /// The exported records.
    #[track_caller]
    pub(crate) fn exported(&self, reserved: bool) -> Vec<Value> {
        let text = self.get(if reserved { "/v1/export?reserved=true" } else { "/v1/export" }).is(200).text();
        text.lines().map(|line| serde_json::from_str(line).expect("a record")).collect()
    }

    /// Position of the last record.
    #[track_caller]
    pub(crate) fn head(&self) -> u64 {
        self.get("/v1/log/head").is(200).json()["sequence"].as_u64().expect("a sequence")
    }

    /// Position of a record.
    #[track_caller]
    pub(crate) fn sequence_of(&self, id: &Value) -> u64 {
        let id = id.as_str().unwrap_or_else(|| panic!("no record id: {id}"));
        self.get(&format!("/v1/records/{id}")).is(200).json()["sequence"].as_u64().expect("a sequence")
    }

    /// Makes an account for an actor, with a token; as an admin.
    #[track_caller]
    pub(crate) fn account(&self, actors: &[&str], scopes: &[&str]) -> Token {
        let body = json!({ "name": "one", "actors": actors, "scopes": scopes, "with_token": true });
        Token::of(&self.post("/v1/service-accounts", &body).is(201).json())
    }

    /// An account that reads and writes records.
    #[track_caller]
    pub(crate) fn contributor(&self, actor: &str) -> Token {
        self.account(&[actor], &["records:read", "records:write", "threads:write"])
    }

    /// Mints a narrowed token for an account of its own, as an admin.
    #[track_caller]
    pub(crate) fn narrowed(&self, actor: &str, grains: &[&str]) -> Token {
        let scopes = [&["records:read", "records:write"], grains].concat();
        self.account(&[actor], &scopes)
    }

    /// Sets a configuration value.
    #[track_caller]
    pub(crate) fn set(&self, topic: &str, members: &Value) -> Reply {
        self.post(&format!("/v1/config/{topic}"), members)
    }

    /// Opens an event stream.
    #[track_caller]
    pub(crate) fn events(&self, path: &str) -> Events {
        Events::open(self.port, path, &self.headers)
    }

    /// Opens an event stream that goes on after a position.
    #[track_caller]
    pub(crate) fn events_after(&self, path: &str, sequence: u64) -> Events {
        Events::open(self.port, path, &format!("{}last-event-id: {sequence}\r\n", self.headers))
    }
}

/// A record that nothing is wrong with.
pub(crate) fn record(thread: &str, actor: &str, body: Value) -> Value {
    json!({ "thread": thread, "actor": actor, "act": "PUT", "body": body })
}

/// Everything until a stream ends, which it has to.
#[track_caller]
pub(crate) fn until_end(stream: &mut Events) -> Vec<Event> {
    let (mut events, start) = (Vec::new(), now());
    while let Some(event) = stream.try_next().expect("an event or the end") {
        assert!(start.elapsed() < LIMIT / 3, "the stream goes on: {event:?}");
        events.push(event);
    }
    events
}

/// Insists on a refusal that tells what to do.
#[track_caller]
pub(crate) fn refuses_with_hint(reply: Reply, status: u16, code: &str) -> Value {
    let json = reply.refuses(status, code).json();
    let kind = match status {
        401 => "authentication_error",
        403 => "permission_error",
        409 | 410 => "conflict_error",
        429 => "rate_limit_error",
        500.. => "api_error",
        _ => "invalid_request_error",
    };
    assert_eq!((&json["object"], &json["type"]), (&json!("error"), &json!(kind)), "{json}");
    assert!(json["message"].as_str().is_some_and(|m| !m.is_empty()), "{json}");
    assert!(json["hint"].as_str().is_some_and(|h| !h.is_empty()), "no hint: {json}");
    json
}

/// Says that it is over, however a test ends: those who go on until then must not go on for ever.
pub(crate) struct EndsWith<'a>(pub(crate) &'a AtomicBool);

impl Drop for EndsWith<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Release);
    }
}
