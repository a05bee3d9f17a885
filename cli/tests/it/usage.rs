//! What goes wrong before an instance is reached, and how it is said.

use std::{fs, process::Stdio};

use crate::support::Sandbox;

#[test]
fn usage_errors_exit_2() {
    let sandbox = Sandbox::new();
    let wrong: [&[&str]; 12] = [
        &[],
        &["nonsense"],
        &["do", "something"],
        &["intend"],
        &["intend", "text", "--body", "{}"],
        &["record", "query"],
        &["record", "post", "--thread", "t"],
        &["record", "post", "--thread", "t", "--act", "SHOUT", "--body", "{}"],
        &["serve", "--stop", "--restart"],
        &["serve", "--follow"],
        &["verify", "--head", "7"],
        &["--server", "127.0.0.1:9100", "status"],
    ];
    for args in wrong {
        let ran = sandbox.spl(args).exits(2);
        assert!(ran.stdout.is_empty(), "{ran:?}");
        assert!(!ran.stderr.is_empty(), "{ran:?}");
    }
}

#[test]
fn usage_errors_say_what_to_do() {
    let sandbox = Sandbox::new();
    let ran = sandbox.spl(&["do", "something"]).exits(2);
    assert!(ran.stderr.starts_with("error: "), "{}", ran.stderr);
    assert!(ran.stderr.contains("hint: add --thread"), "{}", ran.stderr);
}

#[test]
fn an_instance_that_is_not_there_exits_3_with_a_hint() {
    let sandbox = Sandbox::new();
    let port = closed_port();
    let server = format!("http://127.0.0.1:{port}");
    let commands: [&[&str]; 9] = [
        &["status"],
        &["intend", "x"],
        &["record", "get", "x"],
        &["thread", "list"],
        &["thread", "watch", "x"],
        &["task", "list"],
        &["export"],
        &["verify"],
        &["replay"],
    ];
    for args in commands {
        let mut all = vec!["--server", server.as_str()];
        all.extend(args);
        let ran = sandbox.spl(&all).exits(3);
        assert!(ran.stderr.contains(&format!("cannot reach the instance at {server}")), "{ran:?}");
        assert!(ran.stderr.contains("hint: start one with `spl serve --daemon`"), "{ran:?}");
    }
}

#[test]
fn a_failure_is_one_json_object_where_json_is_asked_for() {
    let sandbox = Sandbox::new();
    let server = format!("http://127.0.0.1:{}", closed_port());
    let ran = sandbox.spl(&["--server", &server, "-o", "json", "status"]).exits(3);
    assert!(ran.stdout.is_empty(), "{ran:?}");
    let error: serde_json::Value = serde_json::from_str(&ran.stderr).expect("JSON");
    assert_eq!(error["object"], "error");
    assert_eq!(error["code"], "UNREACHABLE");
    assert!(error["hint"].is_string());
}

#[test]
fn a_broken_configuration_is_told_by_its_name() {
    let sandbox = Sandbox::new();
    sandbox.home_file("config.toml", "[server]\nprot = 1\n", 0o644);
    let ran = sandbox.spl(&["thread", "list"]).exits(1);
    assert!(ran.stderr.contains("config.toml is no valid configuration"), "{ran:?}");
    sandbox.spl(&["doctor"]).exits(2);
}

#[test]
fn the_configuration_names_the_instance() {
    let sandbox = Sandbox::new();
    let port = closed_port();
    sandbox.home_file("config.toml", &format!("[server]\nport = {port}\n"), 0o600);
    let ran = sandbox.spl(&["thread", "list"]).exits(3);
    assert!(ran.stderr.contains(&format!("http://127.0.0.1:{port}")), "{ran:?}");
}

#[test]
fn a_saved_token_goes_to_no_stranger() {
    let sandbox = Sandbox::new();
    sandbox.home_file("token", "spl_prod_secret\norigin http://192.0.2.1:9100\n", 0o600);
    // Something listens, but it is not the instance of this home.
    let stranger = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let server = format!("http://{}", stranger.local_addr().expect("an address"));
    let ran = sandbox.spl(&["--server", &server, "thread", "list"]).exits(3);
    assert!(ran.stderr.contains("something else answers"), "{ran:?}");
    let ran = sandbox.spl(&["--server", "http://192.0.2.1:9100", "-o", "json", "thread", "list"]).exits(1);
    assert!(ran.stderr.contains("plain http"), "{ran:?}");
}

#[test]
fn a_reader_that_leaves_is_no_failure() {
    let sandbox = Sandbox::new();
    let mut child = sandbox
        .command(&["completion", "bash"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("spl starts");
    drop(child.stdout.take());
    let output = child.wait_with_output().expect("spl ends");
    assert!(output.status.success() && output.stderr.is_empty(), "{output:?}");
}

#[test]
fn doctor_grades_an_empty_home() {
    let sandbox = Sandbox::new();
    let server = format!("http://127.0.0.1:{}", closed_port());
    let ran = sandbox.spl(&["--server", &server, "-o", "json", "doctor"]);
    let report = ran.json();
    assert_eq!(report["object"], "doctor_report");
    let names: Vec<_> =
        report["checks"].as_array().expect("a list").iter().map(|c| c["name"].clone()).collect();
    assert_eq!(
        names,
        ["permissions", "configuration", "process", "log head", "free space", "clock", "instance"]
    );
    assert!(ran.code == 1 || ran.code == 2, "{ran:?}");
}

#[test]
fn doctor_finds_a_home_that_is_open_to_others() {
    use std::os::unix::fs::PermissionsExt as _;
    let sandbox = Sandbox::new();
    fs::create_dir_all(sandbox.home()).expect("a directory");
    fs::set_permissions(sandbox.home(), fs::Permissions::from_mode(0o755)).expect("a mode");
    let ran = sandbox.spl(&["doctor"]).exits(2);
    assert!(ran.stdout.contains("is open to others") && ran.stdout.contains("chmod -R go-rwx"), "{ran:?}");
}

#[test]
fn stopping_what_does_not_run_is_a_success() {
    let sandbox = Sandbox::new();
    sandbox.spl(&["serve", "--stop"]).ok();
    let ran = sandbox.spl(&["serve", "--status"]).exits(3);
    assert!(ran.stdout.contains("Status: not running"), "{ran:?}");
    assert_eq!(sandbox.spl(&["serve", "--status", "--json"]).exits(3).json()["status"], "not_running");
}

/// A port that nothing listens on: it was free a moment ago.
fn closed_port() -> u16 {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    listener.local_addr().expect("an address").port()
}
