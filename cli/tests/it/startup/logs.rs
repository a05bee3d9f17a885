//! Log files that are none, or no longer.

use std::fs;

use serde_json::json;

use super::files::{refused, stopped};
use crate::raw::Server;

#[test]
fn a_file_that_is_no_log_is_refused_and_left_alone() {
    let sandbox = stopped();
    let path = sandbox.home().join("log.redb");
    let index = sandbox.home().join("log.index.redb");
    let good = fs::read(&path).unwrap();
    let foreign = fs::read(&index).unwrap();
    let half = &good[..good.len() / 2];
    let cases: [(&str, &[u8]); 8] = [
        ("text", b"this is not a log\n"),
        ("a byte", b"x"),
        ("zeros", &[0; 8192]),
        ("another database", &foreign),
        ("its first bytes", &good[..9]),
        ("its first page", &good[..4096]),
        ("half of it", half),
        ("all but the end", &good[..good.len() - 4096]),
    ];
    for (name, content) in cases {
        fs::write(&path, content).unwrap();
        let said = refused(&sandbox, &[], &["log.redb"]);
        assert!(said.len() < 600 && !said.contains("panicked"), "{name}: {said}");
    }
    fs::write(&path, &good).unwrap();
    assert_eq!(Server::on(sandbox, &[]).export().len(), 1);
}

#[test]
fn a_log_of_a_newer_format_is_refused_and_left_alone() {
    let sandbox = stopped();
    let path = sandbox.home().join("log.redb");
    let db = redb::Database::open(&path).unwrap();
    let txn = db.begin_write().unwrap();
    let meta = redb::TableDefinition::<&str, u64>::new("spl.meta");
    txn.open_table(meta).unwrap().insert("format_version", 99).unwrap();
    txn.commit().unwrap();
    drop(db);
    let said = refused(&sandbox, &[], &["format version 99", "version 1", "newer"]);
    assert!(said.contains("log.redb"), "{said}");
}

#[test]
fn a_damaged_log_is_told_of_in_words() {
    let mut server = Server::disk();
    let mut client = server.client();
    for n in 0..200 {
        client.put("th.a", &json!({ "n": n, "t": "x".repeat(300) }));
    }
    server.stop();
    let path = server.sandbox.home().join("log.redb");
    let good = fs::read(&path).unwrap();
    let mut state = 11_u64;
    for _ in 0..25 {
        let mut bad = good.clone();
        for _ in 0..40 {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            let at = usize::try_from(state >> 20).unwrap() % bad.len();
            bad[at] ^= (state >> 8) as u8 | 1;
        }
        fs::write(&path, &bad).unwrap();
        // It may not notice at once: damage to old records is for `verify`. But it says, and does not fall over.
        let ran = server.sandbox.spl(&["verify", "--json"]);
        let told = ran.stderr.contains("damaged") || ran.stderr.contains("cannot be");
        assert!(ran.code == 0 || !ran.stdout.is_empty() || told, "{ran:?}");
        assert!(ran.code <= 1 && !ran.stderr.contains("panicked"), "{ran:?}");
    }
}
