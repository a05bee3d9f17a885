//! What the tests stand on: a hermetic `spl`, a home of its own, and a running instance.

use std::{
    fs,
    io::{BufRead as _, BufReader, Read as _, Write as _},
    net::{SocketAddr, TcpListener, TcpStream},
    os::unix::fs::{DirBuilderExt as _, PermissionsExt as _},
    path::{Path, PathBuf},
    process::{Child, Command, Output, Stdio},
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use serde_json::{Value, json};

use crate::http::client::{Ask, exchange};

/// Longest wait for anything.
pub(crate) const LIMIT: Duration = Duration::from_secs(30);

/// Asks again and again until there is an answer.
#[expect(clippy::disallowed_methods, reason = "the one wait of the tests; it ends at a deadline")]
pub(crate) fn wait_until<T>(what: &str, mut condition: impl FnMut() -> Option<T>) -> T {
    let start = Instant::now();
    loop {
        if let Some(value) = condition() {
            return value;
        }
        assert!(start.elapsed() < LIMIT, "waited too long until {what}");
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// A home directory that is gone afterwards, and `spl` to run on it.
pub(crate) struct Sandbox {
    dir: tempfile::TempDir,
    admin: Mutex<Option<Admin>>,
}

/// The actor of [`Sandbox::admin`].
pub(crate) const ADMIN: &str = "did:sync:user:admin";

/// An account that the tests made, and a token of it.
struct Admin {
    account: String,
    token: String,
}

impl Sandbox {
    pub(crate) fn new() -> Self {
        let dir = tempfile::tempdir().expect("a temporary directory");
        Self { dir, admin: Mutex::new(None) }
    }

    /// The bearer of an admin with every consent grant, on the instance that runs in this home: its first
    /// account, made when it is asked for, which writes records. Where a restart ended its token there is another.
    #[track_caller]
    pub(crate) fn admin(&self) -> String {
        let mut admin = self.admin.lock().expect("no panic");
        let run = self.home().join("run");
        let recorded = fs::read_to_string(run.join("instance.json")).expect("run/instance.json");
        let recorded: Value = serde_json::from_str(&recorded).expect("JSON");
        let port = recorded["port"].as_u64().and_then(|p| u16::try_from(p).ok()).expect("a port");
        let proof = fs::read_to_string(run.join("local")).expect("run/local");
        let send = |ask: &Ask| exchange(port, ask).expect("an answer");
        if let Some(Admin { token, .. }) = &*admin {
            let ask = Ask::get("/v1/identity").header("authorization", &format!("Bearer {token}"));
            let answer = send(&ask);
            if answer.status == 200 && answer.json()["caller"]["is_authenticated"] == true {
                return token.clone();
            }
        }
        let first = json!({ "display_name": "the tests", "actors": [ADMIN], "with_token": true });
        let first = Ask::post("/v1/bootstrap/service-account", first.to_string());
        let mut answer = send(&first.header("x-syncropel-local", &proof));
        if answer.status == 409
            && let Some(Admin { account, .. }) = &*admin
        {
            let more = Ask::post("/v1/tokens", json!({ "service_account_id": account }).to_string());
            answer = send(&more.header("x-syncropel-local", &proof));
        }
        let answer = answer.is(201).json();
        let text = |name: &str| answer[name].as_str().expect("a text").to_owned();
        let (account, token) = (text("service_account_id"), text("api_key"));
        *admin = Some(Admin { account, token: token.clone() });
        token
    }

    /// Runs `spl` with the bearer of [`Sandbox::admin`].
    #[track_caller]
    pub(crate) fn spl_as_admin(&self, args: &[&str]) -> Ran {
        let mut command = self.command(args);
        Ran::from(command.env("SPL_TOKEN", self.admin()).output().expect("spl runs"), args)
    }

    /// The directory around the home: a place for files.
    pub(crate) fn dir(&self) -> &Path {
        self.dir.path()
    }

    pub(crate) fn home(&self) -> PathBuf {
        self.dir.path().join("home")
    }

    /// Writes a file beside the home.
    pub(crate) fn file(&self, name: &str, content: impl AsRef<[u8]>) -> String {
        let path = self.dir().join(name);
        fs::write(&path, content).expect("a file");
        path.display().to_string()
    }

    /// Writes a file into the home, with this mode whatever the umask.
    pub(crate) fn home_file(&self, name: &str, content: &str, mode: u32) -> PathBuf {
        let path = self.home().join(name);
        let directory = path.parent().expect("a home");
        fs::DirBuilder::new().recursive(true).mode(0o700).create(directory).expect("a directory");
        fs::write(&path, content).expect("a file");
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).expect("a mode");
        path
    }

    /// `spl` with a cleared environment.
    pub(crate) fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_spl"));
        command
            .args(args)
            .env_clear()
            .env("HOME", self.dir())
            .env("SYNCROPEL_HOME", self.home())
            .env("TZ", "UTC")
            .env("COLUMNS", "100")
            .current_dir(self.dir())
            .stdin(Stdio::null());
        command
    }

    /// Runs `spl` to its end.
    pub(crate) fn spl(&self, args: &[&str]) -> Ran {
        Ran::from(self.command(args).output().expect("spl runs"), args)
    }

    /// Runs `spl` with something on its standard input.
    pub(crate) fn spl_with_input(&self, args: &[&str], input: &[u8]) -> Ran {
        let mut child = self
            .command(args)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("spl starts");
        let mut stdin = child.stdin.take().expect("a pipe");
        stdin.write_all(input).expect("spl reads its input");
        drop(stdin);
        Ran::from(child.wait_with_output().expect("spl ends"), args)
    }
}

/// What a run left behind.
#[derive(Debug)]
pub(crate) struct Ran {
    args: Vec<String>,
    pub(crate) code: i32,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Ran {
    pub(crate) fn from(output: Output, args: &[&str]) -> Self {
        Self {
            args: args.iter().map(ToString::to_string).collect(),
            code: output.status.code().expect("spl ends by itself"),
            stdout: String::from_utf8(output.stdout).expect("UTF-8"),
            stderr: String::from_utf8(output.stderr).expect("UTF-8"),
        }
    }

    /// Insists on an exit code.
    #[track_caller]
    pub(crate) fn exits(self, code: i32) -> Self {
        assert_eq!(self.code, code, "spl {}: {self:#?}", self.args.join(" "));
        self
    }

    /// Insists on success.
    #[track_caller]
    pub(crate) fn ok(self) -> Self {
        self.exits(0)
    }

    /// The output as one JSON value.
    #[track_caller]
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.stdout).unwrap_or_else(|e| panic!("{e}: {self:#?}"))
    }

    /// The output as one JSON value a line.
    #[track_caller]
    pub(crate) fn json_lines(&self) -> Vec<Value> {
        self.stdout
            .lines()
            .map(|line| serde_json::from_str(line).unwrap_or_else(|e| panic!("{e}: {line}")))
            .collect()
    }

    /// The first line of the output.
    #[track_caller]
    pub(crate) fn first_line(&self) -> String {
        self.stdout.lines().next().unwrap_or_else(|| panic!("no output: {self:#?}")).to_owned()
    }
}

/// Where an instance of the tests keeps its log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Store {
    Memory,
    Disk,
}

/// A running instance in a fresh home; killed when dropped.
pub(crate) struct Instance {
    pub(crate) sandbox: Sandbox,
    process: Option<Child>,
}

impl Instance {
    /// Starts one that needs no tokens.
    pub(crate) fn start(store: Store) -> Self {
        let mut instance = Self { sandbox: Sandbox::new(), process: None };
        instance.run(store);
        instance
    }

    /// Starts it in its home.
    pub(crate) fn run(&mut self, store: Store) {
        match store {
            Store::Memory => self.run_with(&["--insecure-localhost", "--memory"]),
            Store::Disk => self.run_with(&["--insecure-localhost"]),
        }
    }

    /// Starts one with options of its own.
    pub(crate) fn start_with(options: &[&str]) -> Self {
        let mut instance = Self { sandbox: Sandbox::new(), process: None };
        instance.run_with(options);
        instance
    }

    /// Starts it in its home, with options of its own.
    pub(crate) fn run_with(&mut self, options: &[&str]) {
        let args = [&["serve", "--port", "0"], options].concat();
        let log = fs::File::create(self.sandbox.dir().join("serve.out")).expect("a file");
        let errors = log.try_clone().expect("a handle");
        let mut child = self.sandbox.command(&args).stdout(log).stderr(errors).spawn().expect("spl starts");
        let pid = child.id();
        wait_until("the instance is ready", || {
            if let Some(status) = child.try_wait().expect("a child") {
                panic!("the instance ended ({status}): {}", self.said());
            }
            let text = fs::read_to_string(self.sandbox.home().join("run/instance.json")).ok()?;
            let recorded: Value = serde_json::from_str(&text).ok()?;
            (recorded["pid"].as_u64() == Some(u64::from(pid)) && self.spl(&["status"]).code == 0)
                .then_some(())
        });
        self.process = Some(child);
    }

    /// Ends it at once, as a power cut would.
    pub(crate) fn kill(&mut self) {
        if let Some(mut child) = self.process.take() {
            child.kill().expect("a living process");
            child.wait().expect("an ended process");
        }
    }

    /// Stops it in order.
    pub(crate) fn stop(&mut self) {
        // `--stop` waits until the process is gone, and a child that nobody waits for is never quite gone.
        let mut child = self.process.take().expect("a running instance");
        let waiter = std::thread::spawn(move || child.wait());
        self.spl(&["serve", "--stop"]).ok();
        waiter.join().expect("no panic").expect("an ended process");
    }

    /// Runs `spl` against it.
    pub(crate) fn spl(&self, args: &[&str]) -> Ran {
        self.sandbox.spl(args)
    }

    /// Runs `spl` against it with an admin's bearer.
    #[track_caller]
    pub(crate) fn spl_as_admin(&self, args: &[&str]) -> Ran {
        self.sandbox.spl_as_admin(args)
    }

    /// Opens a thread with two more records on it; gives its id.
    pub(crate) fn sample_thread(&self) -> String {
        let thread = self.spl(&["intend", "ship the release"]).ok().first_line();
        self.spl(&["do", "tagged v1.2", "--thread", &thread]).ok();
        self.spl(&["know", "all tests pass", "--thread", &thread]).ok();
        thread
    }

    fn said(&self) -> String {
        fs::read_to_string(self.sandbox.dir().join("serve.out")).unwrap_or_default()
    }
}

impl Drop for Instance {
    fn drop(&mut self) {
        if let Some(mut child) = self.process.take() {
            // A test that fails must not leave a process behind; that it may have ended already is fine.
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

/// Lines of records for an import: `count` of them on one thread.
pub(crate) fn record_lines(thread: &str, count: u64) -> String {
    (0..count)
        .map(|clock| {
            format!(
                "{{\"act\":\"PUT\",\"actor\":\"did:sync:svc:test\",\"body\":{{\"kind\":\"test.sample.item\",\"n\":{clock}}},\"clock\":{clock},\"data_type\":\"SCALAR\",\"parents\":[],\"thread\":\"{thread}\"}}\n"
            )
        })
        .collect()
}

/// Compares with a golden file, or writes it where `UPDATE_GOLDEN=1` is in the environment.
#[track_caller]
pub(crate) fn assert_golden(name: &str, actual: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/golden").join(name);
    #[expect(
        clippy::disallowed_methods,
        reason = "the one switch of the tests: whether to write golden files"
    )]
    let update = std::env::var_os("UPDATE_GOLDEN").is_some();
    if update {
        fs::write(&path, actual).expect("a golden file");
        return;
    }
    let expected = fs::read_to_string(&path).unwrap_or_default();
    assert!(
        expected == actual,
        "{} is out of date; look at the change, then run: UPDATE_GOLDEN=1 cargo test -p spl-cli --test it\n{}",
        path.display(),
        first_difference(&expected, actual),
    );
}

fn first_difference(expected: &str, actual: &str) -> String {
    let mut lines = expected.lines().zip(actual.lines()).enumerate();
    match lines.find(|(_, (expected, actual))| expected != actual) {
        Some((number, (expected, actual))) => {
            format!("line {}:\n  expected {expected:?}\n  actual   {actual:?}", number + 1)
        }
        None => format!("{} lines were expected, {} came", expected.lines().count(), actual.lines().count()),
    }
}

/// Something that answers HTTP and is no instance; it remembers what it was sent.
pub(crate) struct Fake {
    address: SocketAddr,
    heard: Arc<Mutex<Vec<String>>>,
}

impl Fake {
    /// Listens there. Each request, head and body as one text, is answered with the bytes that `answer` gives
    /// for it, and the connection closed.
    pub(crate) fn at(address: &str, answer: impl Fn(&str) -> Vec<u8> + Send + 'static) -> Self {
        let listener = TcpListener::bind(address).expect("a free address");
        let address = listener.local_addr().expect("an address");
        let heard = Arc::new(Mutex::new(Vec::new()));
        let keep = Arc::clone(&heard);
        // Ends with the process of the tests.
        std::thread::spawn(move || {
            for mut connection in listener.incoming().flatten() {
                let Some(request) = read_request(&mut connection) else { continue };
                let answer = answer(&request);
                keep.lock().expect("no panic").push(request);
                // The client may have left already.
                let _ = connection.write_all(&answer);
            }
        });
        Self { address, heard }
    }

    /// Listens on any port of 127.0.0.1.
    pub(crate) fn local(answer: impl Fn(&str) -> Vec<u8> + Send + 'static) -> Self {
        Self::at("127.0.0.1:0", answer)
    }

    pub(crate) fn port(&self) -> u16 {
        self.address.port()
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// What it was sent so far.
    pub(crate) fn heard(&self) -> Vec<String> {
        self.heard.lock().expect("no panic").clone()
    }
}

/// A request as text: its head in lower case, and its body. `None` where none came.
fn read_request(connection: &mut TcpStream) -> Option<String> {
    connection.set_read_timeout(Some(LIMIT)).ok()?;
    let mut reader = BufReader::new(connection);
    let mut head = String::new();
    while !head.ends_with("\r\n\r\n") {
        if reader.read_line(&mut head).ok()? == 0 {
            return None;
        }
    }
    let head = head.to_lowercase();
    let length = head.lines().find_map(|line| line.strip_prefix("content-length: ")?.parse().ok());
    let mut body = vec![0; length.unwrap_or(0)];
    reader.read_exact(&mut body).ok()?;
    Some(head + String::from_utf8(body).ok()?.as_str())
}

/// A whole answer with a JSON body.
pub(crate) fn json_answer(body: &Value) -> Vec<u8> {
    status_answer(200, body)
}

/// A whole answer with this status and a JSON body.
pub(crate) fn status_answer(status: u16, body: &Value) -> Vec<u8> {
    let body = body.to_string();
    format!("HTTP/1.1 {status} X\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{body}", body.len())
        .into_bytes()
}

/// A refusal.
pub(crate) fn error_answer(status: u16, code: &str) -> Vec<u8> {
    status_answer(status, &serde_json::json!({ "object": "error", "code": code, "message": "no" }))
}

/// A chunked answer with this body, ended in order or broken off.
pub(crate) fn chunked_answer(body: &[u8], whole: bool) -> Vec<u8> {
    let mut answer = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\nconnection: close\r\n\r\n".to_vec();
    answer.extend(format!("{:x}\r\n", body.len()).bytes());
    answer.extend(body);
    answer.extend(if whole { &b"\r\n0\r\n\r\n"[..] } else { b"\r\n" });
    answer
}
