//! The files of a home: their modes, and links in their place.

use std::{
    fs,
    os::unix::fs::{PermissionsExt as _, symlink},
    path::Path,
};

use serde_json::json;

use crate::{
    raw::{Server, ends},
    support::Sandbox,
};

pub(super) const SERVE: [&str; 4] = ["serve", "--insecure-localhost", "--port", "0"];

/// A stopped home with one record.
pub(super) fn stopped() -> Sandbox {
    let mut server = Server::disk();
    server.client().put("th.a", &json!({ "n": 1 }));
    server.stop();
    // Moved out of a fixture that has nothing left to end.
    std::mem::replace(&mut server.sandbox, Sandbox::new())
}

/// What is in a directory and below: path, mode, content or where it leads.
pub(super) fn tree(dir: &Path) -> Vec<(String, u32, Vec<u8>)> {
    let mut found = Vec::new();
    for entry in fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        let meta = fs::symlink_metadata(&path).unwrap();
        let name = path.display().to_string();
        let mode = meta.permissions().mode() & 0o7777;
        if meta.is_dir() {
            found.push((name, mode, Vec::new()));
            found.extend(tree(&path));
        } else if meta.is_symlink() {
            found.push((name, 0, fs::read_link(&path).unwrap().display().to_string().into_bytes()));
        } else {
            found.push((name, mode, fs::read(&path).unwrap()));
        }
    }
    found.sort();
    found
}

/// The log, the keys and the index: what a refused start must leave as it is.
pub(super) fn kept(sandbox: &Sandbox) -> Vec<(String, u32, Vec<u8>)> {
    let mut found = tree(&sandbox.home());
    found.retain(|(name, ..)| !name.contains("/logs/") && !name.contains("/run/"));
    found
}

/// A start that is refused, in one line, with these words; nothing is changed.
#[track_caller]
pub(super) fn refused(sandbox: &Sandbox, more: &[&str], words: &[&str]) -> String {
    let before = kept(sandbox);
    let said = refused_once_open(sandbox, more, words);
    let after = kept(sandbox);
    let changed: Vec<_> = after.iter().filter(|a| !before.contains(a)).map(|(name, ..)| name).collect();
    assert!(before == after, "changed: {changed:?}");
    said
}

/// As above, where the log is sound and was opened before it was refused: the engine has its own notes in the file.
/// The keys are as they were.
#[track_caller]
pub(super) fn refused_once_open(sandbox: &Sandbox, more: &[&str], words: &[&str]) -> String {
    let before = tree(&sandbox.home().join("keys"));
    let ran = ends(sandbox, &[&SERVE, more].concat()).exits(1);
    let errors: Vec<&str> = ran.stderr.lines().filter(|l| l.starts_with("error:")).collect();
    assert_eq!(errors.len(), 1, "{}", ran.stderr);
    for word in words {
        assert!(ran.stderr.contains(word), "{word:?} in {}", ran.stderr);
    }
    assert!(!ran.stderr.contains("panicked"), "{}", ran.stderr);
    assert!(before == tree(&sandbox.home().join("keys")), "the keys are as they were");
    ran.stderr
}

fn chmod(path: &Path, mode: u32) {
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
}

#[test]
fn a_fresh_home_is_its_owners_alone() {
    let mut server = Server::disk();
    server.client().put("th.a", &json!({}));
    let check = |server: &Server| {
        let home = server.sandbox.home();
        assert_eq!(fs::metadata(&home).unwrap().permissions().mode() & 0o7777, 0o700);
        for (name, mode, _) in tree(&home) {
            let expected = if Path::new(&name).is_dir() { 0o700 } else { 0o600 };
            assert_eq!(mode, expected, "{name} is {mode:o}");
        }
    };
    check(&server);
    assert_eq!(fs::read(server.sandbox.home().join("keys/primary")).unwrap().len(), 32);
    assert_eq!(fs::read(server.sandbox.home().join("run/local")).unwrap().len(), 64);
    server.stop();
    check(&server);
    for gone in ["local", "instance.json", "spl.pid"] {
        assert!(!server.sandbox.home().join("run").join(gone).exists(), "{gone} is gone with the instance");
    }
}

#[test]
fn what_others_can_read_is_refused_with_the_remedy() {
    let sandbox = stopped();
    let cases = [
        ("", 0o755, 0o700),
        ("keys", 0o750, 0o700),
        ("run", 0o701, 0o700),
        ("logs", 0o777, 0o700),
        ("keys/primary", 0o644, 0o600),
        ("keys/head", 0o640, 0o600),
        ("log.redb", 0o604, 0o600),
        ("log.journal", 0o606, 0o600),
        ("log.index.redb", 0o666, 0o600),
    ];
    for (name, bad, good) in cases {
        let path = if name.is_empty() { sandbox.home() } else { sandbox.home().join(name) };
        chmod(&path, bad);
        let remedy = format!("chmod {good:o} '{}'", path.display());
        refused(&sandbox, &[], &[&remedy]);
        chmod(&path, good);
    }
    let mut server = Server::on(sandbox, &[]);
    assert_eq!(server.export().len(), 1);
    server.stop();
}

#[test]
fn a_link_in_place_of_a_file_is_refused_or_replaced() {
    let sandbox = stopped();
    let elsewhere = sandbox.dir().join("elsewhere");
    let files = ["keys/primary", "keys/head", "log.redb", "log.journal", "log.index.redb", "run/lock"];
    for name in ["keys", "run", "logs"].into_iter().chain(files) {
        let path = sandbox.home().join(name);
        fs::rename(&path, &elsewhere).unwrap();
        symlink(&elsewhere, &path).unwrap();
        refused(&sandbox, &[], &[&path.display().to_string()]);
        fs::remove_file(&path).unwrap();
        fs::rename(&elsewhere, &path).unwrap();
    }
    // What is written anew at each start is written beside and moved over a link, never through it.
    let victim = sandbox.dir().join("victim");
    fs::write(&victim, "precious").unwrap();
    for name in ["local", ".local.new", "spl.pid", "instance.json", ".instance.json.new"] {
        symlink(&victim, sandbox.home().join("run").join(name)).unwrap();
    }
    symlink(&victim, sandbox.home().join("keys/.head.new")).unwrap();
    let mut server = Server::on(sandbox, &[]);
    assert_eq!(fs::read_to_string(&victim).unwrap(), "precious");
    for name in ["local", "spl.pid", "instance.json"] {
        let meta = fs::symlink_metadata(server.sandbox.home().join("run").join(name)).unwrap();
        assert!(meta.is_file(), "{name}");
    }
    server.stop();
    assert_eq!(fs::read_to_string(&victim).unwrap(), "precious");
}

#[test]
fn a_home_that_is_a_link_or_a_file_is_refused() {
    let sandbox = stopped();
    let real = sandbox.dir().join("real");
    fs::rename(sandbox.home(), &real).unwrap();
    symlink(&real, sandbox.home()).unwrap();
    let ran = ends(&sandbox, &SERVE).exits(1);
    assert!(ran.stderr.contains("no directory of its own"), "{}", ran.stderr);
    fs::remove_file(sandbox.home()).unwrap();
    fs::write(sandbox.home(), "").unwrap();
    ends(&sandbox, &SERVE).exits(1);
}

#[test]
fn one_process_a_home_and_a_port() {
    let server = Server::disk();
    let ran = ends(&server.sandbox, &SERVE).exits(1);
    assert!(ran.stderr.contains("--status") && ran.stderr.contains("--stop"), "{}", ran.stderr);
    let other = Sandbox::new();
    let port = server.port().to_string();
    let ran = ends(&other, &["serve", "--insecure-localhost", "--port", &port]).exits(1);
    assert!(
        ran.stderr.contains(&format!("127.0.0.1:{port}")) && ran.stderr.contains("--port"),
        "{}",
        ran.stderr
    );
    // The one that runs was not disturbed, and the one that did not start can.
    server.client().put("th.a", &json!({}));
    Server::on(other, &[]).client().put("th.a", &json!({}));
}
