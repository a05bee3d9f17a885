//! kill -9 during an import, a first start, a restore.

use std::{
    fs,
    process::{Command, Stdio},
    time::Duration,
};

use crate::{
    raw::{Server, now, wait_at_most},
    support::{Sandbox, record_lines},
};

fn pause(millis: u64) {
    let start = now();
    while start.elapsed() < Duration::from_millis(millis) {
        std::thread::yield_now();
    }
}

/// `spl` that nobody listens to.
fn quiet(sandbox: &Sandbox, args: &[&str]) -> Command {
    let mut command = sandbox.command(args);
    command.stdout(Stdio::null()).stderr(Stdio::null());
    command
}

#[test]
fn an_import_that_was_cut_off_is_finished_by_the_next() {
    const RECORDS: u64 = 6000;
    let mut server = Server::disk();
    let lines = record_lines("th.import", RECORDS);
    let file = server.sandbox.file("records.ndjson", &lines);
    for round in 0..4 {
        let mut import = quiet(&server.sandbox, &["import", &file]).spawn().expect("spl starts");
        let enough = 1 + round * 1000;
        // It may be faster than this: then the kill comes after its end.
        wait_at_most(Duration::from_secs(30), "some of it is imported", || {
            let ended = import.try_wait().expect("a child").is_some();
            (ended || server.metric("spl_log_records") > enough).then_some(())
        });
        server.kill();
        import.wait().expect("a child");
        server.run(&[]);
    }
    server.sandbox.spl(&["import", &file]).ok();
    let exported = server.export();
    assert_eq!(exported.len() as u64, RECORDS);
    for (clock, record) in exported.iter().enumerate() {
        assert_eq!(
            (record["clock"].as_u64(), record["body"]["n"].as_u64()),
            (Some(clock as u64), Some(clock as u64))
        );
    }
    server.sandbox.spl(&["import", &file]).ok();
    assert_eq!(server.export().len() as u64, RECORDS, "a second import changes nothing");
}

#[test]
fn a_first_start_may_be_cut_off_anywhere() {
    for moment in 0..14_u64 {
        let mut server = Server::memory();
        server.stop();
        let _ = fs::remove_dir_all(server.sandbox.home());
        server.spawn(&[]);
        pause(moment * 3);
        server.kill();
        server.run(&[]);
        server.client().put("th.a", &serde_json::json!({}));
        server.kill();
        server.run(&[]);
        assert_eq!(server.export().len(), 1, "after a start cut off after {} ms", moment * 3);
    }
}

#[test]
fn a_restore_may_be_cut_off_anywhere() {
    let mut server = Server::disk();
    let file = server.sandbox.file("records.ndjson", record_lines("th.a", 3000));
    server.sandbox.spl(&["import", &file]).ok();
    let backup = server.sandbox.dir().join("log.splbak").display().to_string();
    server.sandbox.spl_as_admin(&["backup", &backup]).ok();
    let wanted = server.export();
    server.client().put("th.b", &serde_json::json!({}));
    server.stop();
    for moment in 0..12_u64 {
        let mut restore = quiet(&server.sandbox, &["restore", &backup]).spawn().expect("spl starts");
        pause(moment * moment * 6);
        restore.kill().expect("a child");
        restore.wait().expect("a child");
        // Whatever it left behind, the next one is whole.
        if moment % 4 == 3 {
            server.sandbox.spl(&["restore", &backup]).ok();
            server.run(&[]);
            assert_eq!(server.export(), wanted);
            let report = server.sandbox.spl_as_admin(&["verify", "--json"]).ok().json();
            assert_eq!(report["ok"], true, "{report:#}");
            server.stop();
        }
    }
    let left: Vec<_> = fs::read_dir(server.sandbox.home())
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .filter(|name| name.starts_with("restore"))
        .collect();
    assert_eq!(left, [""; 0], "nothing half-done is left");
}

#[test]
fn what_a_first_start_left_behind_is_taken_up() {
    let keys = |sandbox: &Sandbox| {
        use std::os::unix::fs::DirBuilderExt as _;
        let dir = sandbox.home().join("keys");
        fs::DirBuilder::new().mode(0o700).recursive(true).create(&dir).unwrap();
        dir
    };
    let private = |path: &std::path::Path, content: &[u8]| {
        use std::os::unix::fs::PermissionsExt as _;
        fs::write(path, content).unwrap();
        fs::set_permissions(path, fs::Permissions::from_mode(0o600)).unwrap();
    };
    let genesis = format!("0:{}\n", "0".repeat(64));
    let mut file_without_magic = vec![0; 9];
    file_without_magic.extend([7; 4087]);
    let logs: [Option<&[u8]>; 5] =
        [None, Some(b""), Some(&[0; 5]), Some(&[0; 4096]), Some(&file_without_magic)];
    for with_key in [false, true] {
        for log in logs {
            if log.is_some_and(|l| !l.is_empty()) && !with_key {
                continue;
            }
            let sandbox = Sandbox::new();
            let dir = keys(&sandbox);
            private(&dir.join("head"), genesis.as_bytes());
            private(&dir.join(".head.new"), b"0:");
            if with_key {
                private(&dir.join("primary"), &[7; 32]);
            }
            if let Some(log) = log {
                private(&sandbox.home().join("log.redb"), log);
            }
            let mut server = Server::on(sandbox, &[]);
            server.client().put("th.a", &serde_json::json!({}));
            server.stop();
            server.run(&[]);
            assert_eq!(server.export().len(), 1);
        }
    }
}
