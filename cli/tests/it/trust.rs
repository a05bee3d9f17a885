//! Whom a credential is sent to, and which files are believed.

use std::{
    fs::{self, File},
    os::unix::fs::{PermissionsExt as _, symlink},
    path::Path,
};

use serde_json::json;

use crate::support::{Fake, Ran, Sandbox, chunked_answer, json_answer};

/// The instance that runs in a held home.
pub(crate) const DID: &str = "did:key:z6MkexampleA";
const PROOF: &str = "00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff";

/// An empty list, whatever is asked.
fn nothing(_: &str) -> Vec<u8> {
    json_answer(&json!({ "object": "list", "data": [], "next_cursor": null }))
}

/// A home whose lock is held, as by an instance, and what listens where that instance said.
pub(crate) struct Held {
    pub(crate) sandbox: Sandbox,
    pub(crate) own: Fake,
    _lock: File,
}

impl Held {
    fn new() -> Self {
        Self::with(nothing)
    }

    /// What listens answers so.
    pub(crate) fn with(answer: impl Fn(&str) -> Vec<u8> + Send + 'static) -> Self {
        let (sandbox, own) = (Sandbox::new(), Fake::local(answer));
        let lock = File::create(sandbox.home_file("run/lock", "", 0o600)).expect("a file");
        lock.lock().expect("a lock");
        let held = Self { sandbox, own, _lock: lock };
        let pid = std::process::id();
        held.record(&held.own.url(), held.own.port(), pid);
        held.process(pid, start_ticks(pid));
        held.sandbox.home_file("run/local", PROOF, 0o600);
        held
    }

    fn record(&self, url: &str, port: u16, pid: u32) {
        let recorded = json!({ "url": url, "port": port, "pid": pid, "instance_did": DID });
        self.sandbox.home_file("run/instance.json", &recorded.to_string(), 0o600);
    }

    /// Records the process that is to hold the lock.
    fn process(&self, pid: u32, start_ticks: u64) {
        self.sandbox.home_file("run/spl.pid", &format!("{pid} {start_ticks}\n"), 0o600);
    }

    /// Makes the holder look like an instance that runs: this very process. Nothing may stop it.
    pub(crate) fn pretend_to_run(&self) {
        let pid = std::process::id();
        let stat = fs::read_to_string(format!("/proc/{pid}/stat")).expect("a process");
        let (_, fields) = stat.rsplit_once(") ").expect("a name");
        let ticks = fields.split(' ').nth(19).expect("a start");
        self.sandbox.home_file("run/spl.pid", &format!("{pid} {ticks}\n"), 0o600);
    }

    fn save_token(&self, origin: Option<&str>) {
        let origin = origin.map(|origin| format!("origin {origin}\n")).unwrap_or_default();
        self.sandbox.home_file("token", &format!("spl_prod_secret\n{origin}"), 0o600);
    }

    /// Asks for something that needs no credential of its own.
    fn ask(&self, server: &str) -> Ran {
        self.sandbox.spl(&["--server", server, "thread", "list"])
    }

    /// What the home's own instance was sent last.
    fn last_heard(&self) -> String {
        self.own.heard().pop().expect("a request")
    }
}

/// When a process started, as the system has it.
fn start_ticks(pid: u32) -> u64 {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).expect("a process");
    let (_, after_name) = stat.rsplit_once(')').expect("a name");
    after_name.split_whitespace().nth(19).expect("the field").parse().expect("a number")
}

/// Other addresses of this machine, with something that listens there on the same port.
fn strangers(port: u16) -> Vec<(String, Fake)> {
    let mut hosts = vec!["127.0.0.2"];
    if std::net::TcpListener::bind("[::1]:0").is_ok() {
        hosts.push("[::1]");
    }
    let start = |host: &str| {
        let address = format!("{host}:{port}");
        (format!("http://{address}"), Fake::at(&address, nothing))
    };
    hosts.into_iter().map(start).collect()
}

#[test]
fn the_local_proof_goes_to_the_recorded_address_alone() {
    let held = Held::new();
    let strangers = strangers(held.own.port());
    for (url, stranger) in &strangers {
        held.ask(url).ok();
        let heard = stranger.heard().pop().expect("a request");
        assert!(!heard.contains("x-syncropel-local"), "{url} was sent the proof: {heard}");
    }
    for url in [held.own.url(), format!("http://localhost:{}", held.own.port())] {
        held.ask(&url).ok();
        assert!(held.last_heard().contains(&format!("x-syncropel-local: {PROOF}")), "{url}");
    }
    assert_eq!(held.own.heard().len(), 2, "`localhost` is 127.0.0.1");
}

#[test]
fn the_saved_token_goes_to_no_other_address_of_this_machine() {
    let held = Held::new();
    let strangers = strangers(held.own.port());
    for origin in [None, Some(held.own.url())] {
        held.save_token(origin.as_deref());
        for (url, stranger) in &strangers {
            let ran = held.ask(url).exits(3);
            assert!(ran.stderr.contains("something else answers"), "{ran:?}");
            assert!(stranger.heard().is_empty(), "{url}");
        }
        held.ask(&held.own.url()).ok();
        assert!(held.last_heard().contains("authorization: bearer spl_prod_secret"));
    }
}

#[test]
fn what_a_killed_instance_left_behind_is_nobodys_address() {
    let held = Held::new();
    held.save_token(None);
    let (pid, ticks) = (std::process::id(), start_ticks(std::process::id()));
    // The lock is held, by whomever: but not by the process that recorded the address, or that is no more.
    let left: [(u32, u32, u64); 4] =
        [(pid + 1, pid, ticks), (pid, pid, ticks + 1), (pid, 1, start_ticks(1)), (pid, pid + 1, ticks)];
    for (recorded, process, ticks) in left {
        held.record(&held.own.url(), held.own.port(), recorded);
        held.process(process, ticks);
        held.ask(&held.own.url()).exits(3);
        assert!(held.own.heard().is_empty(), "{recorded} {process} {ticks}");
    }
    fs::remove_file(held.sandbox.home().join("run/spl.pid")).expect("a file");
    held.ask(&held.own.url()).exits(3);
    held.process(pid, ticks);
    held.record(&held.own.url(), held.own.port(), pid);
    held.ask(&held.own.url()).ok();
    assert!(held.last_heard().contains("authorization: bearer spl_prod_secret"));
}

#[test]
fn a_token_of_no_origin_stays_at_home() {
    let held = Held::new();
    held.save_token(None);
    let ran = held.ask("https://192.0.2.1:9100").exits(4);
    assert!(ran.stderr.contains("the saved token belongs to the instance of this home"), "{ran:?}");
    held.ask(&held.own.url()).ok();
    held.ask(&format!("http://localhost:{}", held.own.port())).ok();
    assert!(held.last_heard().contains("authorization: bearer spl_prod_secret"));
}

#[test]
fn the_origin_of_a_saved_token_counts_on_this_machine_too() {
    let held = Held::new();
    held.save_token(Some("https://spl.example.org"));
    let ran = held.ask(&held.own.url()).exits(4);
    assert!(ran.stderr.contains("belongs to https://spl.example.org"), "{ran:?}");
    assert!(held.own.heard().is_empty());
    held.save_token(Some(&format!("http://localhost:{}", held.own.port())));
    held.ask(&held.own.url()).ok();
}

#[test]
fn a_credential_that_others_could_read_is_refused() {
    let held = Held::new();
    for name in ["token", "run/local"] {
        held.save_token(None);
        for mode in [0o640, 0o604, 0o620, 0o660] {
            let path = set_mode(&held, name, mode);
            let ran = held.ask(&held.own.url()).exits(1);
            assert!(
                ran.stderr.contains(&format!("hint: run: chmod 600 '{path}'")),
                "{name} {mode:o} {ran:?}"
            );
        }
        set_mode(&held, name, 0o400);
        held.ask(&held.own.url()).ok();
    }
    assert_eq!(held.own.heard().len(), 2);
}

#[test]
fn what_others_could_write_is_not_believed() {
    let held = Held::new();
    held.sandbox.home_file("config.toml", "[identity]\nactor = \"did:sync:user:a\"\n", 0o644);
    // What names an actor is read when something is written; what names the instance, when none is named.
    let args = ["learn", "x", "--thread", "t", "--json"];
    for name in ["config.toml", "run/instance.json"] {
        for mode in [0o664, 0o646] {
            let path = set_mode(&held, name, mode);
            let ran = held.sandbox.spl(&args).exits(1);
            assert!(ran.stderr.contains(&format!("chmod 600 '{path}'")), "{name} {mode:o} {ran:?}");
        }
        set_mode(&held, name, 0o644);
        held.sandbox.spl(&args).ok();
    }
    for name in ["", "run"] {
        set_mode(&held, name, 0o770);
        let ran = held.sandbox.spl(&args).exits(1);
        assert!(ran.stderr.contains("chmod 700"), "{name} {ran:?}");
        set_mode(&held, name, 0o700);
    }
    let ran = held.sandbox.spl(&["doctor", "--json"]);
    assert!(!ran.stdout.contains("is not trusted"), "{ran:?}");
}

#[test]
fn a_link_is_no_file_of_the_home() {
    let held = Held::new();
    held.sandbox.home_file("config.toml", "", 0o600);
    for name in ["token", "config.toml", "run/local", "run/instance.json"] {
        held.save_token(None);
        let path = held.sandbox.home().join(name);
        let elsewhere = held.sandbox.dir().join("elsewhere");
        fs::rename(&path, &elsewhere).expect("a file");
        symlink(&elsewhere, &path).expect("a link");
        let ran = held.sandbox.spl(&["learn", "x", "--thread", "t"]).exits(1);
        assert!(ran.stderr.contains("is no file of its own, and is not trusted"), "{name} {ran:?}");
        fs::rename(&elsewhere, &path).expect("a file");
    }
    assert!(held.own.heard().is_empty());
}

#[test]
fn what_belongs_to_somebody_else_is_refused() {
    let held = Held::new();
    held.sandbox.home_file("config.toml", "", 0o600);
    for name in ["token", "config.toml", "run/local", "run/instance.json"] {
        held.save_token(None);
        let path = held.sandbox.home().join(name);
        if std::os::unix::fs::chown(&path, Some(65_534), None).is_err() {
            // Only root can give a file away.
            return;
        }
        let ran = held.sandbox.spl(&["learn", "x", "--thread", "t"]).exits(1);
        assert!(ran.stderr.contains("belongs to somebody else"), "{name} {ran:?}");
        std::os::unix::fs::chown(&path, Some(nix::unistd::geteuid().as_raw()), None).expect("root");
    }
    assert!(held.own.heard().is_empty());
}

#[test]
fn a_planted_link_is_not_written_through() {
    let sandbox = Sandbox::new();
    let fake = Fake::local(|_| chunked_answer(b"{}\n", true));
    let victim = sandbox.file("victim", "precious");
    for name in ["all.ndjson", "all.ndjson.part"] {
        symlink(&victim, sandbox.dir().join(name)).expect("a link");
    }
    let out = sandbox.dir().join("all.ndjson").display().to_string();
    sandbox.spl(&["--server", &fake.url(), "export", "--out", &out]).ok();
    assert_eq!(fs::read_to_string(&victim).expect("the victim"), "precious");
    let written = fs::symlink_metadata(&out).expect("the export");
    assert!(written.is_file() && written.permissions().mode() & 0o777 == 0o600, "{written:?}");
}

#[test]
fn a_file_that_waits_under_the_name_is_not_taken_over() {
    let sandbox = Sandbox::new();
    let fake = Fake::local(|_| chunked_answer(b"{}\n", true));
    let planted = sandbox.file("all.ndjson.part", "planted");
    fs::set_permissions(&planted, fs::Permissions::from_mode(0o666)).expect("a mode");
    let out = sandbox.dir().join("all.ndjson").display().to_string();
    sandbox.spl(&["--server", &fake.url(), "export", "--out", &out]).ok();
    assert_eq!(fs::read_to_string(&planted).expect("a file"), "planted");
    assert_eq!(fs::metadata(&out).expect("the export").permissions().mode() & 0o777, 0o600);
}

/// Sets the mode of a path in the home; gives the path.
fn set_mode(held: &Held, name: &str, mode: u32) -> String {
    let path = match name {
        "" => held.sandbox.home(),
        below => held.sandbox.home().join(below),
    };
    fs::set_permissions(&path, fs::Permissions::from_mode(mode)).expect("a mode");
    Path::display(&path).to_string()
}
