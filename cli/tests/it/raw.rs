//! An instance under attack: its process and its memory from outside, and HTTP as bytes, for clients that are
//! slow, that stall, and that break off.

use std::{
    fs,
    io::{self, BufRead as _, BufReader, Read, Write as _},
    net::TcpStream,
    process::{Child, Stdio},
    time::{Duration, Instant},
};

use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use serde_json::{Value, json};

use crate::support::{LIMIT, Ran, Sandbox};

/// The clock of the tests.
#[expect(clippy::disallowed_methods, reason = "the one place where the tests measure time")]
pub(crate) fn now() -> Instant {
    Instant::now()
}

/// Asks again and again until there is an answer, for at most `limit`.
#[expect(clippy::disallowed_methods, reason = "the one wait of these tests; it ends at a deadline")]
pub(crate) fn wait_at_most<T>(limit: Duration, what: &str, mut condition: impl FnMut() -> Option<T>) -> T {
    let start = Instant::now();
    loop {
        if let Some(value) = condition() {
            return value;
        }
        assert!(start.elapsed() < limit, "waited longer than {limit:?} until {what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// A running instance, killed when dropped.
pub(crate) struct Server {
    pub(crate) sandbox: Sandbox,
    child: Option<Child>,
    port: u16,
}

impl Server {
    /// Starts one in a fresh home that keeps its log in memory.
    pub(crate) fn memory() -> Self {
        Self::on(Sandbox::new(), &["--memory"])
    }

    /// Starts one in a fresh home.
    pub(crate) fn disk() -> Self {
        Self::on(Sandbox::new(), &[])
    }

    /// Starts one in a sandbox.
    pub(crate) fn on(sandbox: Sandbox, more: &[&str]) -> Self {
        let mut server = Self { sandbox, child: None, port: 0 };
        server.run(more);
        server
    }

    /// Starts it in its home.
    #[track_caller]
    pub(crate) fn run(&mut self, more: &[&str]) {
        self.spawn(more);
        let pid = u64::from(self.pid().cast_unsigned());
        let child = self.child.as_mut().expect("a process");
        let port = wait_at_most(LIMIT, "the instance is ready", || {
            if let Some(status) = child.try_wait().expect("a child") {
                let said = fs::read_to_string(self.sandbox.dir().join("serve.out")).unwrap_or_default();
                panic!("the instance ended ({status}): {said}");
            }
            let text = fs::read_to_string(self.sandbox.home().join("run/instance.json")).ok()?;
            let recorded: Value = serde_json::from_str(&text).ok()?;
            (recorded["pid"].as_u64() == Some(pid)).then(|| recorded["port"].as_u64()).flatten()
        });
        self.port = u16::try_from(port).expect("a port");
    }

    /// Starts it without waiting for anything.
    pub(crate) fn spawn(&mut self, more: &[&str]) {
        let log = fs::File::create(self.sandbox.dir().join("serve.out")).expect("a file");
        let errors = log.try_clone().expect("a handle");
        let mut command = self.sandbox.command(&["serve", "--insecure-localhost", "--port", "0"]);
        self.child = Some(command.args(more).stdout(log).stderr(errors).spawn().expect("spl starts"));
    }

    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    pub(crate) fn pid(&self) -> i32 {
        self.child.as_ref().expect("a process").id().cast_signed()
    }

    pub(crate) fn signal(&self, signal: Signal) {
        kill(Pid::from_raw(self.pid()), signal).expect("a living process");
    }

    /// Waits for its end; gives the exit code.
    pub(crate) fn wait(&mut self) -> Option<i32> {
        let mut child = self.child.take().expect("a process");
        wait_at_most(LIMIT, "the process has ended", || child.try_wait().expect("a child")).code()
    }

    /// Ends it at once, as a power cut would.
    pub(crate) fn kill(&mut self) {
        self.signal(Signal::SIGKILL);
        self.wait();
    }

    /// Stops it in order.
    pub(crate) fn stop(&mut self) {
        self.signal(Signal::SIGTERM);
        assert_eq!(self.wait(), Some(0));
    }

    /// A number of `/proc/<pid>/status`, in KiB.
    pub(crate) fn status_kib(&self, name: &str) -> u64 {
        let text = fs::read_to_string(format!("/proc/{}/status", self.pid())).expect("a process");
        let line = text.lines().find_map(|l| l.strip_prefix(name)).expect("the number");
        line.trim_start_matches(':').trim().trim_end_matches(" kB").parse().expect("a number")
    }

    /// The most memory it ever had, in MiB.
    pub(crate) fn peak_mib(&self) -> u64 {
        self.status_kib("VmHWM") / 1024
    }

    /// A connection to it.
    pub(crate) fn client(&self) -> Client {
        Client::connect(self.port)
    }

    /// A value of `/metrics`.
    pub(crate) fn metric(&self, name: &str) -> u64 {
        let text = self.client().get("/metrics").text();
        let line = text.lines().find_map(|l| l.strip_prefix(name)?.strip_prefix(' ')).expect("the metric");
        line.parse().expect("a number")
    }

    /// Everything in the log, as exported.
    pub(crate) fn export(&self) -> Vec<Value> {
        let text = self.client().get("/v1/export").text();
        text.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect()
    }

    /// Opens an event stream.
    pub(crate) fn events(&self, path: &str, headers: &str) -> Events {
        Events::open(self.port, path, headers)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if let Some(mut child) = self.child.take() {
            // A test that fails must not leave a process behind; that it may have ended already is fine.
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

/// Runs `spl` where it must end by itself, and soon.
#[track_caller]
pub(crate) fn ends(sandbox: &Sandbox, args: &[&str]) -> Ran {
    let mut command = sandbox.command(args);
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("spl starts");
    let start = now();
    while child.try_wait().expect("a child").is_none() {
        if start.elapsed() > LIMIT {
            child.kill().expect("a process");
            panic!("spl {} did not end: {:?}", args.join(" "), child.wait_with_output());
        }
        std::thread::yield_now();
    }
    Ran::from(child.wait_with_output().expect("an output"), args)
}

/// A record as it is posted; the clock is assigned where `clock` is none.
pub(crate) fn envelope(thread: &str, actor: &str, clock: Option<u64>, body: &Value) -> Value {
    let mut record = json!({ "thread": thread, "actor": actor, "act": "PUT", "body": body });
    if let Some(clock) = clock {
        record["clock"] = clock.into();
    }
    record
}

/// An answer.
#[derive(Debug)]
pub(crate) struct Reply {
    pub(crate) status: u16,
    pub(crate) head: String,
    pub(crate) body: Vec<u8>,
}

impl Reply {
    pub(crate) fn text(&self) -> String {
        String::from_utf8(self.body.clone()).expect("UTF-8")
    }

    #[track_caller]
    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|e| panic!("{e}: {self:?}"))
    }

    /// Insists on a status.
    #[track_caller]
    pub(crate) fn is(self, status: u16) -> Self {
        assert_eq!(self.status, status, "{}\n{}", self.head, String::from_utf8_lossy(&self.body));
        self
    }

    /// Insists on a problem.
    #[track_caller]
    pub(crate) fn refuses(self, status: u16, code: &str) -> Self {
        let reply = self.is(status);
        assert_eq!(reply.json()["code"], code, "{}", reply.text());
        reply
    }

    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        header(&self.head, name)
    }
}

fn header<'a>(head: &'a str, name: &str) -> Option<&'a str> {
    head.lines().find_map(|line| {
        let (key, value) = line.split_once(':')?;
        key.eq_ignore_ascii_case(name).then_some(value.trim())
    })
}

/// A connection that is kept.
pub(crate) struct Client {
    stream: BufReader<TcpStream>,
}

impl Client {
    pub(crate) fn connect(port: u16) -> Self {
        Self::try_connect(port).expect("a connection")
    }

    pub(crate) fn try_connect(port: u16) -> io::Result<Self> {
        let stream = TcpStream::connect(("127.0.0.1", port))?;
        stream.set_read_timeout(Some(Duration::from_secs(60)))?;
        stream.set_write_timeout(Some(Duration::from_secs(60)))?;
        stream.set_nodelay(true)?;
        Ok(Self { stream: BufReader::new(stream) })
    }

    /// Writes bytes as they are.
    pub(crate) fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.stream.get_mut().write_all(bytes)
    }

    /// Reads an answer.
    pub(crate) fn reply(&mut self) -> io::Result<Reply> {
        let head = read_head(&mut self.stream)?;
        let status = head.split(' ').nth(1).and_then(|s| s.parse().ok()).unwrap_or_default();
        let mut body = Vec::new();
        if header(&head, "transfer-encoding").is_some() {
            Chunked { stream: &mut self.stream, left: 0, done: false }.read_to_end(&mut body)?;
        } else if let Some(length) = header(&head, "content-length") {
            body = vec![0; length.parse().unwrap_or_default()];
            self.stream.read_exact(&mut body)?;
        }
        Ok(Reply { status, head, body })
    }

    pub(crate) fn try_send(&mut self, method: &str, path: &str, body: &[u8]) -> io::Result<Reply> {
        let length = body.len();
        let mut bytes = format!(
            "{method} {path} HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\ncontent-length: {length}\r\n\r\n"
        )
        .into_bytes();
        bytes.extend_from_slice(body);
        self.write(&bytes)?;
        self.reply()
    }

    pub(crate) fn try_post(&mut self, body: &Value) -> io::Result<Reply> {
        self.try_send("POST", "/v1/records", body.to_string().as_bytes())
    }

    #[track_caller]
    pub(crate) fn get(&mut self, path: &str) -> Reply {
        self.try_send("GET", path, b"").unwrap_or_else(|e| panic!("GET {path}: {e}"))
    }

    /// Posts a record or a batch.
    #[track_caller]
    pub(crate) fn post(&mut self, body: &Value) -> Reply {
        self.try_post(body).unwrap_or_else(|e| panic!("POST /v1/records: {e}"))
    }

    /// Posts one record with an assigned clock; gives its sequence.
    #[track_caller]
    pub(crate) fn put(&mut self, thread: &str, body: &Value) -> u64 {
        let reply = self.post(&envelope(thread, "did:sync:user:test", None, body)).is(201);
        reply.json()["sequence"].as_u64().expect("a sequence")
    }
}

fn read_head(stream: &mut impl io::BufRead) -> io::Result<String> {
    let mut head = String::new();
    loop {
        let before = head.len();
        if stream.read_line(&mut head)? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        if head[before..].trim_end().is_empty() {
            return Ok(head);
        }
    }
}

/// A chunked body.
struct Chunked<'a, S> {
    stream: &'a mut S,
    left: usize,
    done: bool,
}

impl<S: io::BufRead> Read for Chunked<'_, S> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        if self.left == 0 && !self.done {
            self.left = next_chunk(self.stream)?;
            self.done = self.left == 0;
        }
        let wanted = self.left.min(out.len());
        let count = self.stream.read(&mut out[..wanted])?;
        if count == 0 && wanted > 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        self.left -= count;
        if self.left == 0 {
            self.stream.read_line(&mut String::new())?;
        }
        Ok(count)
    }
}

fn next_chunk(stream: &mut impl io::BufRead) -> io::Result<usize> {
    let mut line = String::new();
    if stream.read_line(&mut line)? == 0 {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    usize::from_str_radix(line.trim(), 16).map_err(io::Error::other)
}

/// An event of a stream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Event {
    pub(crate) name: String,
    pub(crate) id: Option<u64>,
    pub(crate) data: String,
    pub(crate) retry: Option<u64>,
}

impl Event {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.data).expect("JSON")
    }
}

/// An open event stream.
pub(crate) struct Events {
    stream: BufReader<TcpStream>,
    pub(crate) head: String,
    /// What was taken out of chunks and is no whole event yet.
    text: Vec<u8>,
}

impl Events {
    /// Opens a stream; `headers` are further lines, each with its end.
    #[track_caller]
    pub(crate) fn open(port: u16, path: &str, headers: &str) -> Self {
        let mut client = Client::connect(port);
        let request = format!("GET {path} HTTP/1.1\r\nhost: localhost\r\n{headers}\r\n");
        client.write(request.as_bytes()).expect("a request");
        let head = read_head(&mut client.stream).expect("a head");
        assert!(head.starts_with("HTTP/1.1 200"), "{head}");
        Self { stream: client.stream, head, text: Vec::new() }
    }

    /// The next event; none at the end.
    pub(crate) fn try_next(&mut self) -> io::Result<Option<Event>> {
        loop {
            if let Some(end) = self.text.windows(2).position(|w| w == b"\n\n") {
                let event: Vec<u8> = self.text.drain(..end + 2).collect();
                return Ok(Some(parse_event(std::str::from_utf8(&event).expect("UTF-8"))));
            }
            let length = match next_chunk(&mut self.stream) {
                Ok(0) => return Ok(None),
                Ok(length) => length,
                Err(e) if e.kind() == io::ErrorKind::UnexpectedEof => return Ok(None),
                Err(e) => return Err(e),
            };
            let at = self.text.len();
            self.text.resize(at + length, 0);
            self.stream.read_exact(&mut self.text[at..])?;
            self.stream.read_line(&mut String::new())?;
        }
    }

    #[track_caller]
    pub(crate) fn next(&mut self) -> Event {
        self.try_next().expect("an event").expect("an event, not the end")
    }

    /// The next record, over heartbeats.
    #[track_caller]
    pub(crate) fn record(&mut self) -> Event {
        loop {
            let event = self.next();
            if event.name != "heartbeat" {
                assert_eq!(event.name, "record.created", "{event:?}");
                return event;
            }
        }
    }

    /// The positions of the next records.
    #[track_caller]
    pub(crate) fn sequences(&mut self, count: usize) -> Vec<u64> {
        (0..count).map(|_| self.record().id.expect("an id")).collect()
    }
}

fn parse_event(text: &str) -> Event {
    let mut event = Event { name: String::new(), id: None, data: String::new(), retry: None };
    for line in text.trim_end().split('\n') {
        let (field, value) = line.split_once(": ").unwrap_or_else(|| panic!("no field: {line:?}"));
        match field {
            "event" => event.name = value.to_owned(),
            "id" => event.id = Some(value.parse().expect("a number")),
            "retry" => event.retry = Some(value.parse().expect("a number")),
            "data" => {
                assert!(event.data.is_empty(), "data on one line: {text:?}");
                event.data = value.to_owned();
            }
            _ => panic!("unknown field {field:?}"),
        }
    }
    event
}
