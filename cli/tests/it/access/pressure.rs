//! A token can always be revoked: with the queue of data full, and with the disk full to the last byte.

use std::{
    fs,
    io::Write as _,
    path::{Path, PathBuf},
    process::Command,
    sync::atomic::{AtomicBool, Ordering},
};

use serde_json::{Value, json};

use super::kit::{ADMIN, ALICE, Caller, EndsWith, Node, Token, random, record};
use crate::support::{Sandbox, wait_until};

/// Everything that a control command is, on accounts of its own; each must be done.
fn all_commands(node: &Node, admin: &Caller) -> Vec<Token> {
    let first = admin.contributor(&format!("did:sync:user:c{:x}", random()));
    let account = format!("/v1/service-accounts/{}", first.account);
    let mint = json!({ "service_account_id": first.account });
    let minted = Token::of(&admin.post("/v1/tokens", &mint).is(201).json());
    admin.patch(&account, &json!({ "name": "other" })).is(200);
    admin.delete(&format!("/v1/tokens/{}", minted.id)).is(200);
    let rotated = Token::of(&admin.post(&format!("{account}/rotate-key"), &json!({})).is(200).json());
    let path = format!("/v1/tokens/{}/rotate", rotated.id);
    let renewed = Token::of(&node.as_token(&rotated).post(&path, &json!({})).is(200).json());
    admin.set("auth_required", &json!({ "enabled": true })).is(201);
    admin.delete(&account).is(200);
    vec![first, minted, rotated, renewed]
}

/// Bytes of data that wait for the writer.
fn waiting(admin: &Caller) -> u64 {
    let health = admin.get("/v1/health").is(200).json();
    health["writer"]["queued_bytes"].as_u64().unwrap_or_else(|| panic!("no queue: {health}"))
}

#[test]
fn a_flood_of_data_keeps_no_command_out() {
    const WRITERS: usize = 200;
    /// What the queue takes, but for one batch.
    const NEARLY_FULL: u64 = 62 * 1024 * 1024;
    let node = Node::disk();
    let admin = node.admin();
    let flooding = admin.contributor(ALICE);
    let over = AtomicBool::new(false);
    // Many small records weigh more in the queue than they cost on the way to it.
    let batches: Vec<_> = (0..4)
        .map(|n| {
            let one = |m: u64| record(&format!("flood.{n}"), ALICE, json!({ "m": m }));
            json!({ "records": (0..1000).map(one).collect::<Vec<_>>() }).to_string().into_bytes()
        })
        .collect();
    let full = || wait_until("the queue is full", || (waiting(&admin) > NEARLY_FULL).then_some(()));
    let (last, acknowledged) = std::thread::scope(|scope| {
        let writers: Vec<_> = (0..WRITERS)
            .map(|writer| {
                let (caller, batch, over) = (node.as_token(&flooding), &batches[writer % 4], &over);
                scope.spawn(move || {
                    let (mut written, mut busy) = (0, 0_u64);
                    while !over.load(Ordering::Acquire) {
                        let reply = caller.call("POST", "/v1/records", Some(batch));
                        match reply.status {
                            201 => written += 1000,
                            503 => {
                                reply.refuses(503, "BUSY");
                                busy += 1;
                            }
                            _ => {
                                reply.refuses(401, "AUTH_INVALID");
                                break;
                            }
                        }
                    }
                    (written, busy)
                })
            })
            .collect();
        let ends = EndsWith(&over);
        // Of more than a hundred batches that wait only those go first that are being written already.
        let comes_first = |command: &dyn Fn() -> Value| {
            full();
            let before = admin.head();
            let answer = command();
            let at = admin.sequence_of(&answer["record_id"]);
            assert!(at < before + 64_000, "{} records came first", at - before);
            (at, answer)
        };
        let made = json!({ "name": "x", "actors": ["did:sync:user:x"], "with_token": true });
        let (_, made) = comes_first(&|| admin.post("/v1/service-accounts", &made).is(201).json());
        let made = Token::of(&made);
        let rotate = format!("/v1/service-accounts/{}/rotate-key", made.account);
        comes_first(&|| admin.post(&rotate, &json!({})).is(200).json());
        node.as_token(&made).get("/v1/identity").refuses(401, "AUTH_INVALID");
        let (last, _) = comes_first(&|| admin.delete(&format!("/v1/tokens/{}", flooding.id)).is(200).json());
        // Everybody is turned away, also who waits already.
        let (mut acknowledged, mut busy) = (0, 0);
        for writer in writers {
            let (w, b) = writer.join().expect("a writer");
            (acknowledged, busy) = (acknowledged + w, busy + b);
        }
        assert!(busy > 0, "nobody was told to wait");
        drop(ends);
        (last, acknowledged)
    });
    let mut stored = 0;
    for n in 0..4 {
        let state = admin.get(&format!("/v1/threads/flood.{n}")).is(200).json();
        assert!(
            state["last_sequence"].as_u64() < Some(last),
            "written after its token's end at {last}: {state}"
        );
        stored += state["record_count"].as_u64().expect("a count");
    }
    assert_eq!(stored, acknowledged);
}

/// A home on a file system of its own, of so many MiB. Needs the right to mount.
struct SmallDisk(PathBuf);

impl SmallDisk {
    fn mount(sandbox: &Sandbox, mib: u64) -> Self {
        let at = sandbox.home();
        fs::create_dir(&at).expect("a directory");
        let options = format!("size={mib}m,mode=0700");
        let mut mount = Command::new("mount");
        let status =
            mount.args(["-t", "tmpfs", "-o", &options, "tmpfs"]).arg(&at).status().expect("mount runs");
        assert!(status.success(), "this test mounts a small tmpfs: run it as root, with CAP_SYS_ADMIN");
        Self(at)
    }

    /// Somebody else's file that takes what there is, to the last byte.
    fn fill(&self) -> PathBuf {
        let path = self.0.join("somebody.else");
        let mut file = fs::File::create(&path).expect("a file");
        for size in [1024 * 1024, 4096, 1] {
            while file.write_all(&vec![1; size]).is_ok() {}
        }
        path
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        // Lazily: a process that still runs must not keep it.
        let _ = Command::new("umount").arg("-l").arg(&self.0).status();
    }
}

fn free(at: &Path) -> u64 {
    let output = Command::new("stat").args(["-f", "-c", "%a"]).arg(at).output().expect("stat runs");
    String::from_utf8(output.stdout).expect("a number").trim().parse().expect("a number")
}

#[test]
fn a_full_disk_keeps_no_command_out() {
    let sandbox = Sandbox::new();
    let disk = SmallDisk::mount(&sandbox, 420);
    let mut node = Node::on(sandbox, &[]);
    let token = node.bootstrap();
    let admin = node.as_token(&token);
    let stolen = admin.contributor(ALICE);
    let data = |node: &Node, n: u64| {
        node.as_token(&token).post("/v1/records", &record("data", ADMIN, json!({ "n": n })))
    };
    data(&node, 1).is(201);
    let mut stream = node.as_token(&stolen).events("/v1/events/stream");
    assert_eq!(stream.next().name, "heartbeat");
    let file = disk.fill();
    assert_eq!(free(&disk.0), 0, "not one block is left");
    data(&node, 2).refuses(507, "STORE_FULL");
    let answer = admin.delete(&format!("/v1/tokens/{}", stolen.id)).is(200).json();
    assert_eq!(answer["status"], "revoked");
    node.as_token(&stolen).get("/v1/identity").refuses(401, "AUTH_INVALID");
    assert_eq!(stream.next().name, "error");
    // Not only once, and not only that. Whoever fills the disk takes again what became free.
    let mut dead = vec![stolen];
    for _ in 0..20 {
        dead.extend(all_commands(&node, &admin));
    }
    data(&node, 3).refuses(507, "STORE_FULL");
    assert_eq!(admin.get("/v1/records?thread=data").is(200).json()["data"].as_array().map(Vec::len), Some(1));
    let end = |node: &mut Node, kill: bool| if kill { node.kill() } else { node.stop() };
    for kill in [true, false, true] {
        end(&mut node, kill);
        node.run(&[]);
        for token in &dead {
            node.as_token(token).get("/v1/identity").refuses(401, "AUTH_INVALID");
        }
        data(&node, 4).refuses(507, "STORE_FULL");
        let more = node.as_token(&token).contributor(&format!("did:sync:user:{:x}", random()));
        node.as_token(&token).delete(&format!("/v1/tokens/{}", more.id)).is(200);
        dead.push(more);
    }
    fs::remove_file(file).expect("a file");
    data(&node, 5).is(201);
    let caller = node.as_token(&token);
    let verified = caller.get("/v1/verify").is(200).text();
    assert!(verified.contains("\"ok\":true"), "{verified}");
    let shown = caller.rows("/v1/tokens?limit=1000");
    for token in &dead {
        let row = shown.iter().find(|r: &&Value| r["token_id"] == json!(token.id)).expect("a row");
        assert_eq!(row["status"], "revoked");
    }
}

#[test]
fn an_instance_starts_on_a_full_disk_and_takes_access_away() {
    let sandbox = Sandbox::new();
    let disk = SmallDisk::mount(&sandbox, 420);
    let mut node = Node::on(sandbox, &[]);
    let token = node.bootstrap();
    let stolen = node.as_token(&token).contributor(ALICE);
    node.kill();
    assert!(disk.0.join("log.redb.reserve").exists(), "room was set aside");
    let file = disk.fill();
    assert_eq!(free(&disk.0), 0, "not one block is left");
    node.run(&[]);
    let admin = node.as_token(&token);
    admin.delete(&format!("/v1/tokens/{}", stolen.id)).is(200);
    node.as_token(&stolen).get("/v1/identity").refuses(401, "AUTH_INVALID");
    admin.post("/v1/records", &record("data", ADMIN, json!({}))).refuses(507, "STORE_FULL");
    fs::remove_file(file).expect("a file");
    admin.wrote(&record("data", ADMIN, json!({})));
    assert!(disk.0.join("log.redb.reserve").exists(), "and is again");
}
