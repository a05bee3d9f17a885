//! `serve` in the background, `status`, `doctor`.

use std::{
    fs,
    io::{BufRead as _, BufReader},
    os::unix::process::ExitStatusExt as _,
    process::{Child, Command, Stdio},
};

use crate::support::{Instance, Sandbox, Store, wait_until};

/// A child that is killed when the test ends, however it ends.
struct Killed(Child);

impl Drop for Killed {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Starts in the background; the guard stops it whatever becomes of the test.
struct Daemon(Sandbox);

impl Daemon {
    fn start() -> Self {
        let daemon = Self(Sandbox::new());
        daemon.0.spl(&["serve", "--daemon", "--insecure-localhost", "--port", "0"]).ok();
        daemon
    }

    fn pid(&self) -> u64 {
        self.0.spl(&["serve", "--status", "--json"]).ok().json()["pid"].as_u64().expect("a pid")
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        self.0.spl(&["serve", "--stop"]);
    }
}

#[test]
fn a_daemon_starts_says_where_it_is_and_stops() {
    let daemon = Daemon::start();
    let status = daemon.0.spl(&["serve", "--status"]).ok().stdout;
    assert!(status.contains("Status: running") && status.contains("http://127.0.0.1:"), "{status}");
    daemon.0.spl(&["intend", "x"]).ok();
    daemon.0.spl(&["serve", "--stop"]).ok();
    daemon.0.spl(&["serve", "--status"]).exits(3);
    daemon.0.spl(&["serve", "--stop"]).ok();
    assert!(!daemon.0.home().join("run/local").exists(), "the local proof is gone with the instance");
}

#[test]
fn a_second_daemon_is_refused() {
    let daemon = Daemon::start();
    let ran = daemon.0.spl(&["serve", "--daemon", "--insecure-localhost", "--port", "0"]).exits(1);
    assert!(ran.stderr.contains("runs already"), "{ran:?}");
    daemon.0.spl(&["serve", "--insecure-localhost", "--port", "0"]).exits(1);
}

#[test]
fn a_restart_keeps_the_arguments_and_the_records() {
    let daemon = Daemon::start();
    let thread = daemon.0.spl(&["intend", "survive"]).ok().first_line();
    let before = daemon.pid();
    daemon.0.spl(&["serve", "--restart"]).ok();
    assert_ne!(before, daemon.pid());
    let health = daemon.0.spl(&["status", "--json"]).ok().json();
    assert_eq!(health["auth"]["mode"], "insecure_localhost");
    daemon.0.spl(&["thread", "show", &thread]).ok();
}

#[test]
fn a_daemon_that_cannot_start_says_why() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = taken.local_addr().expect("an address").port().to_string();
    let sandbox = Sandbox::new();
    let ran = sandbox.spl(&["serve", "--daemon", "--insecure-localhost", "--port", &port]).exits(1);
    assert!(ran.stderr.contains("did not start") && ran.stderr.contains("hint:"), "{ran:?}");
}

#[test]
fn the_log_is_shown_to_people_and_as_it_is() {
    let daemon = Daemon::start();
    let raw = daemon.0.spl(&["serve", "--logs", "-n", "3", "-o", "json"]).ok();
    assert!(!raw.json_lines().is_empty() && raw.json_lines().len() <= 3);
    let shown = daemon.0.spl(&["serve", "--logs"]).ok().stdout;
    assert!(shown.contains("WARN"), "an instance without tokens warns: {shown}");
    assert!(!shown.contains('{'), "{shown}");
}

#[test]
fn status_shows_what_health_says() {
    let instance = Instance::start(Store::Memory);
    let health = instance.spl(&["status", "--json"]).ok().json();
    assert_eq!(health["auth"]["mode"], "insecure_localhost");
    let shown = instance.spl(&["status"]).ok().stdout;
    assert!(shown.contains("Status:") && shown.contains("insecure_localhost"), "{shown}");
    assert!(shown.contains(health["instance_did"].as_str().expect("a DID")), "{shown}");
}

#[test]
fn doctor_warns_of_an_instance_without_tokens_and_of_nothing_else() {
    let instance = Instance::start(Store::Disk);
    let report = instance.spl(&["doctor", "--json"]).exits(1).json();
    let bad: Vec<_> = report["checks"]
        .as_array()
        .expect("a list")
        .iter()
        .filter(|check| check["status"] != "pass")
        .map(|check| check["name"].clone())
        .collect();
    assert_eq!(bad, ["access"], "{report:#}");
}

#[test]
fn what_a_killed_instance_leaves_behind_is_understood() {
    let mut instance = Instance::start(Store::Disk);
    instance.kill();
    instance.spl(&["serve", "--status"]).exits(3);
    instance.spl(&["serve", "--stop"]).ok();
    let ran = instance.spl(&["doctor"]);
    assert!(ran.stdout.contains("did not end in order"), "{ran:?}");
    instance.run(Store::Disk);
    instance.spl(&["status"]).ok();
}

#[test]
fn a_process_that_only_has_the_same_number_is_left_alone() {
    let sandbox = Sandbox::new();
    let run = sandbox.home().join("run");
    fs::create_dir_all(&run).expect("a directory");
    // This very process, but with another start time.
    fs::write(run.join("spl.pid"), format!("{} 1\n", std::process::id())).expect("a file");
    sandbox.spl(&["serve", "--stop"]).ok();
}

#[test]
fn a_process_that_does_not_listen_is_killed_in_the_end() {
    let sandbox = Sandbox::new();
    let lock = fs::File::create(sandbox.home_file("run/lock", "", 0o600)).expect("a file");
    lock.lock().expect("a lock");
    // The lock is that of the open file, and so is held for as long as the child has it.
    let deaf = Command::new("sh").args(["-c", "trap '' TERM; exec sleep 300"]).stdin(lock).spawn();
    let mut deaf = Killed(deaf.expect("a shell"));
    let pid = deaf.0.id();
    let ticks = wait_until("the child ignores the signal", || {
        let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
        let (_, fields) = stat.split_once("(sleep) ")?;
        fields.split(' ').nth(19).map(str::to_owned)
    });
    sandbox.home_file("run/spl.pid", &format!("{pid} {ticks}\n"), 0o600);
    let ran = sandbox.spl(&["serve", "--stop"]).ok();
    assert!(ran.stdout.contains(&format!("stopped (pid {pid})")), "{ran:?}");
    assert_eq!(deaf.0.wait().expect("a child").signal(), Some(9));
}

#[test]
fn the_log_is_followed_over_its_rotation() {
    let sandbox = Sandbox::new();
    let path = sandbox.home_file("logs/spl.log", "first\n", 0o600);
    let mut follower = sandbox.command(&["serve", "--logs", "--follow", "-o", "json"]);
    let mut follower = Killed(follower.stdout(Stdio::piped()).spawn().expect("spl starts"));
    let mut lines = BufReader::new(follower.0.stdout.take().expect("a pipe")).lines();
    let mut next = || lines.next().expect("a line").expect("UTF-8");
    assert_eq!(next(), "first");
    let rotated = path.with_extension("log.1");
    for round in 0..3 {
        fs::OpenOptions::new()
            .append(true)
            .open(&path)
            .and_then(|mut log| std::io::Write::write_all(&mut log, format!("old {round}\n").as_bytes()))
            .expect("the log");
        fs::rename(&path, &rotated).expect("a file");
        fs::write(&path, format!("new {round}\n")).expect("a file");
        assert_eq!(next(), format!("old {round}"));
        assert_eq!(next(), format!("new {round}"));
    }
}
