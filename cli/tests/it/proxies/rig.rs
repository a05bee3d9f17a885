//! A real proxy with the configuration of docs/exposing.md, in a directory and on ports of its own.

use std::{
    fs,
    io::{BufRead as _, BufReader},
    net::TcpListener,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    process::{Child, ChildStdout, Command, Stdio},
};

use serde_json::{Value, json};

use crate::support::{Instance, Ran, wait_until};

/// The name that docs/exposing.md gives the instance.
pub(super) const SITE: &str = "https://spl.example.org";

/// Where Debian puts programs, also those that only root is expected to run.
const PROGRAM_DIRECTORIES: [&str; 5] = ["/usr/local/bin", "/usr/local/sbin", "/usr/bin", "/usr/sbin", "/bin"];

/// A program with a cleared environment.
#[track_caller]
fn program(name: &str) -> Command {
    let found = PROGRAM_DIRECTORIES.iter().map(|d| Path::new(d).join(name)).find(|path| path.is_file());
    let path = found.unwrap_or_else(|| {
        panic!(
            "`{name}` is not installed: run `.ci/test`, or: apt-get install -y nginx-light caddy curl openssl"
        )
    });
    let mut command = Command::new(path);
    command.env_clear().env("PATH", PROGRAM_DIRECTORIES.join(":")).stdin(Stdio::null());
    command
}

/// The fenced blocks of docs/exposing.md with this info string.
#[track_caller]
pub(super) fn documented(info: &str) -> Vec<String> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/exposing.md");
    let text = fs::read_to_string(path).expect("docs/exposing.md");
    let (mut blocks, mut open): (Vec<String>, Option<(bool, String)>) = (Vec::new(), None);
    for line in text.lines() {
        match (line.strip_prefix("```"), &mut open) {
            (Some(found), None) => open = Some((found == info, String::new())),
            (Some(_), Some((wanted, block))) => {
                blocks.extend(wanted.then(|| std::mem::take(block)));
                open = None;
            }
            (None, Some((_, block))) => *block += &format!("{line}\n"),
            (None, None) => {}
        }
    }
    assert!(!blocks.is_empty(), "docs/exposing.md has no block ```{info}");
    blocks
}

/// The one block with this info string, with these texts in it replaced: each has to be there.
#[track_caller]
fn documented_with(info: &str, replacements: &[(&str, String)]) -> String {
    let [block] = <[String; 1]>::try_from(documented(info)).expect("one block");
    replacements.iter().fold(block, |block, (from, to)| {
        assert!(block.contains(from), "{from:?} is not in the block ```{info} of docs/exposing.md");
        block.replace(from, to)
    })
}

/// Which proxy, and how it is set up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// As docs/exposing.md has it.
    Nginx,
    /// As docs/exposing.md has it.
    Caddy,
    /// nginx with a `proxy_pass` and nothing else: it says of nobody that they came through it.
    Bare,
}

pub(super) const DOCUMENTED: [Kind; 2] = [Kind::Nginx, Kind::Caddy];

/// A running proxy in front of an instance, with a certificate of its own; killed when dropped.
pub(super) struct Proxy {
    pub(super) dir: tempfile::TempDir,
    child: Child,
}

impl Proxy {
    #[track_caller]
    pub(super) fn start(kind: Kind, instance: &Instance) -> Self {
        // Between finding a free port and binding it somebody else may take it.
        (0..5).find_map(|_| Self::try_start(kind, instance)).expect("a port stays free")
    }

    #[track_caller]
    fn try_start(kind: Kind, instance: &Instance) -> Option<Self> {
        let dir = tempfile::tempdir().expect("a directory");
        let at = dir.path();
        make_certificate(at);
        let [secure, plain] = free_ports();
        let curlrc = format!(
            "cacert = \"{}\"\nmax-time = 30\nshow-error\n\
             connect-to = \"spl.example.org:443:127.0.0.1:{secure}\"\n\
             connect-to = \"spl.example.org:80:127.0.0.1:{plain}\"\n",
            at.join("cert.pem").display()
        );
        fs::write(at.join(".curlrc"), curlrc).expect("a file");
        let upstream = format!("127.0.0.1:{}", port_of(instance));
        let mut command = match kind {
            Kind::Nginx => nginx(at, &nginx_site(at, &upstream, secure, plain)),
            Kind::Bare => nginx(at, &bare_site(at, &upstream, secure)),
            Kind::Caddy => caddy(at, &upstream, secure),
        };
        let errors = fs::File::create(at.join("errors")).expect("a file");
        let child = command.stdout(Stdio::null()).stderr(errors).spawn().expect("the proxy starts");
        let mut proxy = Self { dir, child };
        // Only what has this proxy's certificate can answer.
        let ready = wait_until("the proxy answers", || {
            if proxy.child.try_wait().expect("a child").is_some() {
                return Some(false);
            }
            let asked =
                proxy.curl_command(&["-s", SITE]).stdout(Stdio::null()).stderr(Stdio::null()).status();
            asked.expect("curl runs").success().then_some(true)
        });
        let said = fs::read_to_string(proxy.dir.path().join("errors")).unwrap_or_default();
        assert!(ready || said.to_lowercase().contains("address already in use"), "{kind:?} ended: {said}");
        ready.then_some(proxy)
    }

    fn curl_command(&self, args: &[&str]) -> Command {
        let mut command = program("curl");
        command.env("CURL_HOME", self.dir.path()).args(args);
        command
    }

    /// Asks for a path with these further arguments.
    #[track_caller]
    pub(super) fn ask(&self, path: &str, args: &[&str]) -> Reply {
        let url = if path.starts_with("http") { path.to_owned() } else { format!("{SITE}{path}") };
        let output =
            self.curl_command(&["-si", "-H", "Expect:", &url]).args(args).output().expect("curl runs");
        assert!(output.status.success(), "curl {url} {args:?}: {output:?}");
        Reply::of(&String::from_utf8(output.stdout).expect("UTF-8"))
    }

    /// Posts JSON, with these further arguments.
    #[track_caller]
    pub(super) fn post(&self, path: &str, body: &Value, args: &[&str]) -> Reply {
        let body = body.to_string();
        self.ask(path, &[&["-H", "content-type: application/json", "-d", &body], args].concat())
    }

    /// Follows a stream.
    pub(super) fn follow(&self, path: &str, args: &[&str]) -> Stream {
        let url = format!("{SITE}{path}");
        let mut command = self.curl_command(&["-sN", &url]);
        let mut child = command.args(args).stdout(Stdio::piped()).spawn().expect("curl runs");
        let lines = BufReader::new(child.stdout.take().expect("a pipe"));
        Stream { child, lines }
    }

    /// Runs commands of the documentation in one shell, and compares what each prints. The order of lines is
    /// left to the proxy.
    #[track_caller]
    pub(super) fn run_documented(&self, instance: &Instance, block: &str, token: Option<&str>) {
        let mut steps: Vec<(&str, Vec<&str>)> = Vec::new();
        for line in block.lines() {
            match (line.strip_prefix("$ "), steps.last_mut()) {
                (Some(command), _) => steps.push((command, Vec::new())),
                (None, Some((_, expected))) => expected.push(line),
                (None, None) => panic!("a block begins with a command: {line}"),
            }
        }
        const END: &str = "--- end of a command ---";
        let script: String = steps.iter().map(|(command, _)| format!("{command}\necho '{END}'\n")).collect();
        let spl = Path::new(env!("CARGO_BIN_EXE_spl")).parent().expect("a directory").display().to_string();
        let mut shell = program("sh");
        shell
            .env("PATH", format!("{spl}:{}", PROGRAM_DIRECTORIES.join(":")))
            .env("CURL_HOME", self.dir.path())
            .env("HOME", instance.sandbox.dir())
            .env("SYNCROPEL_HOME", instance.sandbox.home())
            .envs(token.map(|token| ("SPL_TOKEN", token)))
            .args(["-c", &script]);
        let ran = Ran::from(shell.output().expect("sh runs"), &["(a block of docs/exposing.md)"]).ok();
        let printed: Vec<&str> = ran.stdout.split_terminator(&format!("{END}\n")).collect();
        assert_eq!(printed.len(), steps.len(), "{ran:?}");
        for ((command, expected), printed) in steps.iter().zip(printed) {
            let printed: Vec<&str> = printed.lines().map(|line| line.trim_end_matches('\r')).collect();
            // A command whose output is not shown has nothing to say that matters, unless it is a question.
            assert!(
                printed == *expected || (expected.is_empty() && command.starts_with("spl ")),
                "$ {command}\nshown: {expected:#?}\nprinted: {printed:#?}\n{}",
                ran.stderr
            );
        }
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        // A proxy of one process: with it all of it is gone.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn make_certificate(at: &Path) {
    let made = program("openssl")
        .args(["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"])
        .args(["-days", "2", "-subj", "/CN=spl.example.org", "-addext", "subjectAltName=DNS:spl.example.org"])
        .arg("-keyout")
        .arg(at.join("key.pem"))
        .arg("-out")
        .arg(at.join("cert.pem"))
        .output()
        .expect("openssl runs");
    assert!(made.status.success(), "{made:?}");
    fs::set_permissions(at.join("key.pem"), fs::Permissions::from_mode(0o600)).expect("a mode");
}

fn free_ports() -> [u16; 2] {
    // Both are held until both are known, or they could be the same.
    let held = [(); 2].map(|()| TcpListener::bind("127.0.0.1:0").expect("a free port"));
    held.each_ref().map(|listener| listener.local_addr().expect("an address").port())
}

/// nginx in one process, with nothing outside this directory.
fn nginx(at: &Path, site: &str) -> Command {
    let temporary = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
        .map(|name| format!("    {name}_temp_path {};\n", at.join(name).display()))
        .concat();
    let at_text = at.display();
    let config = format!(
        "daemon off;\nmaster_process off;\npid {at_text}/pid;\nerror_log stderr;\n\
         events {{ worker_connections 256; }}\nhttp {{\n{temporary}    access_log {at_text}/access.log;\n{site}}}\n"
    );
    fs::write(at.join("nginx.conf"), config).expect("a file");
    let mut command = program("nginx");
    command.arg("-p").arg(at).args(["-e", "stderr", "-c"]).arg(at.join("nginx.conf"));
    command
}

fn nginx_site(at: &Path, upstream: &str, secure: u16, plain: u16) -> String {
    let file = |name: &str| at.join(name).display().to_string();
    let certificates = "/etc/letsencrypt/live/spl.example.org";
    documented_with(
        "nginx",
        &[
            ("    listen [::]:80;\n", String::new()),
            ("    listen [::]:443 ssl http2;\n", String::new()),
            ("listen 80;", format!("listen 127.0.0.1:{plain};")),
            ("listen 443 ssl http2;", format!("listen 127.0.0.1:{secure} ssl http2;")),
            (&format!("{certificates}/fullchain.pem"), file("cert.pem")),
            (&format!("{certificates}/privkey.pem"), file("key.pem")),
            ("/var/log/nginx/spl.log", file("spl.log")),
            ("127.0.0.1:9100", upstream.to_owned()),
        ],
    )
}

fn bare_site(at: &Path, upstream: &str, secure: u16) -> String {
    let at = at.display();
    format!(
        "server {{\n    listen 127.0.0.1:{secure} ssl;\n    ssl_certificate {at}/cert.pem;\n    \
         ssl_certificate_key {at}/key.pem;\n    location / {{ proxy_pass http://{upstream}; }}\n}}\n"
    )
}

/// Caddy with nothing outside this directory.
fn caddy(at: &Path, upstream: &str, secure: u16) -> Command {
    let (certificate, key) = (at.join("cert.pem"), at.join("key.pem"));
    let site = format!(
        "spl.example.org:{secure} {{\n\tbind 127.0.0.1\n\ttls {} {}\n",
        certificate.display(),
        key.display()
    );
    let site = documented_with(
        "caddyfile",
        &[("spl.example.org {\n", site), ("127.0.0.1:9100", upstream.to_owned())],
    );
    let options = "{\n\tadmin off\n\tauto_https disable_redirects\n\tskip_install_trust\n}\n";
    fs::write(at.join("Caddyfile"), format!("{options}{site}")).expect("a file");
    let mut command = program("caddy");
    command.envs(["HOME", "XDG_DATA_HOME", "XDG_CONFIG_HOME"].map(|name| (name, at)));
    command.args(["run", "--adapter", "caddyfile", "--config"]).arg(at.join("Caddyfile"));
    command
}

/// What came back through a proxy.
#[derive(Debug)]
pub(super) struct Reply {
    pub(super) status: u16,
    pub(super) head: String,
    pub(super) body: String,
}

impl Reply {
    fn of(text: &str) -> Self {
        let (head, body) = text.split_once("\r\n\r\n").expect("a head");
        let status = head.split(' ').nth(1).and_then(|status| status.parse().ok()).expect("a status");
        Self { status, head: head.to_ascii_lowercase(), body: body.to_owned() }
    }

    #[track_caller]
    pub(super) fn is(self, status: u16) -> Self {
        assert_eq!(self.status, status, "{self:#?}");
        self
    }

    #[track_caller]
    pub(super) fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|e| panic!("{e}: {self:#?}"))
    }

    /// Insists on a refusal by the instance itself.
    #[track_caller]
    pub(super) fn refuses(&self, status: u16, code: &str) {
        assert_eq!((self.status, &self.json()["code"]), (status, &json!(code)), "{self:#?}");
    }

    /// The values of a header.
    pub(super) fn all(&self, name: &str) -> Vec<&str> {
        self.head.lines().filter_map(|line| line.strip_prefix(name)?.strip_prefix(": ")).collect()
    }
}

/// A followed stream; left when dropped.
pub(super) struct Stream {
    child: Child,
    lines: BufReader<ChildStdout>,
}

impl Stream {
    /// The next frame: its event and its data.
    #[track_caller]
    pub(super) fn next(&mut self) -> (String, Value) {
        let (mut event, mut data) = (String::new(), Value::Null);
        loop {
            let mut line = String::new();
            // curl gives up after its `max-time`: what is kept back ends here.
            assert_ne!(
                self.lines.read_line(&mut line).expect("UTF-8"),
                0,
                "the stream ended, or stood still"
            );
            match line.trim_end().split_once(": ") {
                Some(("event", name)) => event = name.to_owned(),
                Some(("data", text)) => data = serde_json::from_str(text).expect("JSON"),
                None if !event.is_empty() => return (event, data),
                _ => {}
            }
        }
    }
}

impl Drop for Stream {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

pub(super) fn port_of(instance: &Instance) -> u16 {
    let text = fs::read_to_string(instance.sandbox.home().join("run/instance.json")).expect("a file");
    let recorded: Value = serde_json::from_str(&text).expect("JSON");
    recorded["port"].as_u64().and_then(|port| u16::try_from(port).ok()).expect("a port")
}

/// The header of the local proof, with the right digits.
pub(super) fn proof_of(instance: &Instance) -> String {
    let path: PathBuf = instance.sandbox.home().join("run/local");
    format!("x-syncropel-local: {}", fs::read_to_string(path).expect("run/local"))
}

/// Makes the first account on the machine itself, saves its token, and gives the header that carries it.
pub(super) fn make_first_account(instance: &Instance) -> String {
    let create = ["service-account", "create", "--bootstrap", "--name", "admin", "-o", "json"];
    let made = instance.spl(&create).ok().json();
    let token = made["api_key"].as_str().expect("a token");
    instance.spl(&["token", "save", token]).ok();
    format!("authorization: Bearer {token}")
}
