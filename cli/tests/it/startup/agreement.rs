//! The key, the log and the head that was kept must agree.

use std::fs;

use serde_json::json;

use super::files::{refused, refused_once_open, stopped};
use crate::{raw::Server, support::Sandbox};

/// Moves a file of the home away, and back.
struct Away<'a>(&'a Sandbox, &'a str);

impl<'a> Away<'a> {
    fn new(sandbox: &'a Sandbox, name: &'a str) -> Self {
        fs::rename(sandbox.home().join(name), sandbox.dir().join("away")).unwrap();
        Self(sandbox, name)
    }
}

impl Drop for Away<'_> {
    fn drop(&mut self) {
        fs::rename(self.0.dir().join("away"), self.0.home().join(self.1)).unwrap();
    }
}

#[test]
fn a_log_without_its_key_is_refused() {
    let sandbox = stopped();
    {
        let _away = Away::new(&sandbox, "keys/primary");
        refused(&sandbox, &[], &["keys/primary", "put the key back"]);
        refused(&sandbox, &["--new-log"], &["keys/primary"]);
        assert!(!sandbox.home().join("keys/primary").exists(), "no new key is made");
    }
    assert_eq!(Server::on(sandbox, &[]).export().len(), 1);
}

#[test]
fn a_key_without_its_log_is_refused_until_a_new_log_is_asked_for() {
    let sandbox = stopped();
    fs::remove_file(sandbox.home().join("log.redb")).unwrap();
    refused(&sandbox, &[], &["--new-log", "restore"]);
    // An empty file is no log either.
    fs::write(sandbox.home().join("log.redb"), "").unwrap();
    set_private(&sandbox, "log.redb");
    refused(&sandbox, &[], &["--new-log"]);
    let key = fs::read(sandbox.home().join("keys/primary")).unwrap();
    let mut server = Server::on(sandbox, &["--new-log"]);
    assert_eq!(server.export().len(), 0);
    assert_eq!(fs::read(server.sandbox.home().join("keys/primary")).unwrap(), key);
    server.client().put("th.new", &json!({}));
    server.kill();
    server.run(&[]);
    assert_eq!(server.export().len(), 1);
    assert_eq!(server.sandbox.spl_as_admin(&["verify", "--json"]).ok().json()["ok"], true);
    // Where there is a log the flag has nothing to do.
    server.stop();
    server.run(&["--new-log"]);
    assert_eq!(server.export().len(), 1);
}

fn set_private(sandbox: &Sandbox, name: &str) {
    use std::os::unix::fs::PermissionsExt as _;
    fs::set_permissions(sandbox.home().join(name), fs::Permissions::from_mode(0o600)).unwrap();
}

#[test]
fn the_key_of_another_instance_is_refused() {
    let (sandbox, other) = (stopped(), stopped());
    let path = sandbox.home().join("keys/primary");
    let own = fs::read(&path).unwrap();
    fs::write(&path, fs::read(other.home().join("keys/primary")).unwrap()).unwrap();
    refused_once_open(&sandbox, &[], &["is not the key of this log", "did:key:"]);
    for malformed in [&own[..31], &[&own[..], &own[..]].concat(), b""] {
        fs::write(&path, malformed).unwrap();
        refused(&sandbox, &[], &["keys/primary", "32 bytes"]);
    }
    fs::write(&path, own).unwrap();
    assert_eq!(Server::on(sandbox, &[]).export().len(), 1);
}

#[test]
fn a_lost_head_is_refused_until_the_log_is_accepted() {
    let sandbox = stopped();
    let path = sandbox.home().join("keys/head");
    let head = fs::read_to_string(&path).unwrap();
    assert!(head.starts_with("2:"), "{head}");
    fs::remove_file(&path).unwrap();
    refused_once_open(&sandbox, &[], &["keys/head", "is missing", "--accept-older-log"]);
    for malformed in ["", "2", "2:abc", "x:y", "-1:00", &head[..40], "99999999999999999999:00"] {
        fs::write(&path, malformed).unwrap();
        set_private(&sandbox, "keys/head");
        refused(&sandbox, &[], &["keys/head", "malformed"]);
    }
    fs::remove_file(&path).unwrap();
    let mut server = Server::on(sandbox, &["--accept-older-log"]);
    assert_eq!(server.export().len(), 1);
    server.stop();
    assert_eq!(fs::read_to_string(&path).unwrap(), head);
    server.run(&[]);
}

#[test]
fn an_older_log_is_refused_until_it_is_accepted() {
    let sandbox = stopped();
    let older = fs::read(sandbox.home().join("log.redb")).unwrap();
    let mut server = Server::on(sandbox, &[]);
    for n in 0..3 {
        server.client().put("th.later", &json!({ "n": n }));
    }
    server.stop();
    // As from a copy of the file; the index is of the newer one.
    fs::write(server.sandbox.home().join("log.redb"), &older).unwrap();
    let said = refused(&server.sandbox, &[], &["log.journal", "older", "--accept-older-log"]);
    assert!(said.contains("record 2") && said.contains("record 5"), "{said}");
    refused(&server.sandbox, &["--new-log"], &["--accept-older-log"]);
    // Without the journal it is the head that was kept that tells.
    {
        let _away = Away::new(&server.sandbox, "log.journal");
        let said = refused_once_open(&server.sandbox, &[], &["older", "--accept-older-log"]);
        assert!(said.contains("record 2") && said.contains("record 5"), "{said}");
        fs::remove_file(server.sandbox.home().join("log.journal")).unwrap();
    }
    server.run(&["--accept-older-log"]);
    assert_eq!(server.export().len(), 1);
    assert!(server.sandbox.home().join("log.replaced-1.journal").exists(), "nothing is thrown away");
    let mut client = server.client();
    client.get("/v1/threads/th.later").refuses(404, "NOT_FOUND");
    assert_eq!(client.put("th.other", &json!({})), 3);
    server.stop();
    // It held for that start: the log goes on from here.
    server.run(&[]);
    assert_eq!(server.export().len(), 2);
    assert_eq!(server.sandbox.spl_as_admin(&["verify", "--json"]).ok().json()["ok"], true);
    // The longer history is now the foreign one, though it is longer.
    server.stop();
    let fork = fs::read(server.sandbox.home().join("log.redb")).unwrap();
    fs::write(server.sandbox.home().join("log.redb"), &older).unwrap();
    refused_once_open(&server.sandbox, &[], &["--accept-older-log"]);
    fs::write(server.sandbox.home().join("log.redb"), &fork).unwrap();
    server.run(&[]);
}

/// After a kill the journal has what the log's file may lack: the two belong together.
#[test]
fn the_journal_of_another_instance_is_refused() {
    let journal_of = |records: u64| {
        let mut server = Server::disk();
        for n in 0..records {
            server.client().put("th.a", &json!({ "n": n }));
        }
        server.kill();
        server
    };
    let (mut own, other) = (journal_of(5), journal_of(2));
    let path = own.sandbox.home().join("log.journal");
    let good = fs::read(&path).unwrap();
    fs::write(&path, fs::read(other.sandbox.home().join("log.journal")).unwrap()).unwrap();
    refused(&own.sandbox, &[], &["log.journal", "belong", "--accept-older-log"]);
    fs::write(&path, "not a journal\n".repeat(2000)).unwrap();
    refused(&own.sandbox, &[], &["log.journal", "damaged", "--accept-older-log"]);
    let offline = own.sandbox.spl(&["verify"]);
    assert!(offline.code == 1 && offline.stderr.contains("journal"), "{offline:?}");
    fs::write(&path, good).unwrap();
    own.run(&[]);
    assert_eq!(own.export().len(), 5);
}

#[test]
fn a_head_that_is_behind_is_no_reason_to_refuse() {
    let mut server = Server::disk();
    let path = server.sandbox.home().join("keys/head");
    let behind = fs::read(&path).unwrap();
    for n in 0..20 {
        server.client().put("th.a", &json!({ "n": n }));
    }
    server.kill();
    fs::write(&path, &behind).unwrap();
    server.run(&[]);
    assert_eq!(server.export().len(), 20);
    server.stop();
    assert!(fs::read_to_string(&path).unwrap().starts_with("21:"));
}
