//! A disk that is full.

use std::{
    fs,
    io::Write as _,
    path::{Path, PathBuf},
    process::Command,
};

use serde_json::{Value, json};

use crate::{
    http::client::{Ask, exchange},
    raw::{Server, envelope},
    support::Sandbox,
};

/// What an instance sets aside beside its log while there is room.
const RESERVE_MIB: u64 = 64;

/// A home on a file system of its own, of so many MiB. Needs the right to mount.
struct SmallDisk {
    at: PathBuf,
}

impl SmallDisk {
    fn mount(sandbox: &Sandbox, mib: u64) -> Self {
        let at = sandbox.home();
        fs::create_dir(&at).expect("a directory");
        let options = format!("size={mib}m,mode=0700");
        let status = Command::new("mount")
            .args(["-t", "tmpfs", "-o", &options, "tmpfs"])
            .arg(&at)
            .status()
            .expect("mount runs");
        assert!(status.success(), "this test mounts a small tmpfs: run it as root, with CAP_SYS_ADMIN");
        Self { at }
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        // Lazily: a process that still runs must not keep it.
        let _ = Command::new("umount").arg("-l").arg(&self.at).status();
    }
}

/// Takes room: all of it where there is not as much.
fn ballast(home: &Path, mib: usize) -> PathBuf {
    let path = home.join("ballast");
    let mut file = fs::File::create(&path).expect("a file");
    let block = vec![1; 1024 * 1024];
    for _ in 0..mib {
        if file.write_all(&block).is_err() {
            break;
        }
    }
    path
}

#[test]
fn data_waits_while_the_disk_is_nearly_full() {
    let sandbox = Sandbox::new();
    let disk = SmallDisk::mount(&sandbox, 300 + RESERVE_MIB);
    let mut server = Server::on(sandbox, &[]);
    let mut client = server.client();
    assert_eq!(client.put("th.a", &json!({ "n": 1 })), 2);
    let taken = ballast(&disk.at, 60);
    let record = envelope("th.a", "did:sync:user:test", None, &json!({ "n": 2 }));
    let refused = client.post(&record).refuses(507, "STORE_FULL").json();
    assert!(refused["hint"].as_str().unwrap().contains("free space"), "{refused}");
    client.post(&json!({ "records": [record, record] })).refuses(507, "STORE_FULL");
    // What is there is read as ever, and a repetition is no new data, but decided by the writer too.
    assert_eq!(client.get("/v1/threads/th.a").is(200).json()["record_count"], 1);
    assert_eq!(server.export().len(), 1);
    let health = client.get("/health").is(200).json();
    assert!(health["warnings"].to_string().contains("nearly full"), "{health}");
    client.get("/health/ready").is(200);
    let doctor = server.sandbox.spl(&["doctor"]).stdout;
    assert!(doctor.contains("free"), "{doctor}");
    fs::remove_file(&taken).unwrap();
    assert_eq!(client.put("th.a", &json!({ "n": 3 })), 3);
    server.stop();
    assert_eq!(server.sandbox.spl(&["verify", "--json"]).ok().json()["ok"], true);
}

#[test]
fn a_disk_that_fills_up_under_load_loses_nothing() {
    let sandbox = Sandbox::new();
    let disk = SmallDisk::mount(&sandbox, 400 + RESERVE_MIB);
    let mut server = Server::on(sandbox, &[]);
    let text = "x".repeat(100_000);
    let port = server.port();
    let writers: Vec<_> = (0..8)
        .map(|writer| {
            let text = text.clone();
            std::thread::spawn(move || {
                let mut client = crate::raw::Client::connect(port);
                let actor = format!("did:sync:user:{writer}");
                let mut acknowledged: Vec<(String, u64)> = Vec::new();
                let mut full = 0;
                while full < 20 {
                    let body =
                        envelope("th.full", &actor, None, &json!({ "t": text, "n": acknowledged.len() }));
                    let reply = client.post(&body);
                    match reply.status {
                        201 => {
                            let record = reply.json();
                            acknowledged.push((
                                record["id"].as_str().unwrap().to_owned(),
                                record["sequence"].as_u64().unwrap(),
                            ));
                        }
                        503 => {}
                        _ => {
                            reply.refuses(507, "STORE_FULL");
                            full += 1;
                        }
                    }
                }
                acknowledged
            })
        })
        .collect();
    let taken = std::thread::scope(|scope| scope.spawn(|| ballast(&disk.at, 600)).join().unwrap());
    let mut all: Vec<(String, u64)> = Vec::new();
    for writer in writers {
        all.extend(writer.join().expect("a writer"));
    }
    // Not one byte is left: reading goes on.
    let mut client = server.client();
    let check = |server: &Server, all: &[(String, u64)]| {
        let exported: Vec<(String, u64)> = server
            .export()
            .iter()
            .map(|r: &Value| (r["id"].as_str().unwrap().to_owned(), r["sequence"].as_u64().unwrap()))
            .collect();
        for one in all {
            assert!(exported.contains(one), "{one:?} was acknowledged");
        }
    };
    check(&server, &all);
    client.get("/health").is(200);
    client.get("/v1/threads/th.full").is(200);
    fs::remove_file(&taken).unwrap();
    let after = client.put("th.after", &json!({}));
    assert!(all.iter().all(|(_, sequence)| *sequence < after));
    server.kill();
    assert_eq!(server.sandbox.spl(&["verify", "--json"]).ok().json()["ok"], true);
    server.run(&[]);
    check(&server, &all);
}

#[test]
fn a_token_is_revoked_on_a_disk_that_is_full_to_the_last_byte() {
    let sandbox = Sandbox::new();
    let disk = SmallDisk::mount(&sandbox, 300 + RESERVE_MIB);
    let mut server = Server::on(sandbox, &[]);
    server.client().put("th.a", &json!({}));
    let admin = server.sandbox.admin();
    let send = |server: &Server, ask: Ask| exchange(server.port(), &ask.bearer(&admin)).expect("an answer");
    let account = send(&server, Ask::get("/v1/service-accounts")).rows()[0]["id"].clone();
    let mint = json!({ "service_account_id": account }).to_string();
    let lost = send(&server, Ask::post("/v1/tokens", mint.clone())).is(201).json();
    let lost = (lost["token_id"].as_str().unwrap(), lost["api_key"].as_str().unwrap());
    let accounts = |token: &str| {
        exchange(server.port(), &Ask::get("/v1/service-accounts").bearer(token)).expect("an answer").status
    };
    assert_eq!(accounts(lost.1), 200);
    let taken = ballast(&disk.at, 600);
    let record = envelope("th.a", "did:sync:user:test", None, &json!({}));
    server.client().post(&record).refuses(507, "STORE_FULL");
    send(&server, Ask::new("DELETE", &format!("/v1/tokens/{}", lost.0))).is(200);
    assert_eq!(accounts(lost.1), 401);
    // The room that was given up is for taking away, not for data.
    server.client().post(&record).refuses(507, "STORE_FULL");
    fs::remove_file(&taken).unwrap();
    server.client().put("th.a", &json!({}));
    server.kill();
    assert_eq!(server.sandbox.spl(&["verify", "--json"]).ok().json()["ok"], true);
    server.run(&[]);
    let invalid =
        exchange(server.port(), &Ask::get("/v1/service-accounts").bearer(lost.1)).expect("an answer");
    invalid.refuses(401, "AUTH_INVALID");
    send(&server, Ask::get("/v1/service-accounts")).is(200);
}

#[test]
fn an_instance_on_a_full_disk_starts_for_reading() {
    let sandbox = Sandbox::new();
    let disk = SmallDisk::mount(&sandbox, 300 + RESERVE_MIB);
    let mut server = Server::on(sandbox, &[]);
    server.client().put("th.a", &json!({}));
    server.kill();
    let taken = ballast(&disk.at, 298);
    server.run(&[]);
    let mut client = server.client();
    assert_eq!(client.get("/v1/threads/th.a").is(200).json()["record_count"], 1);
    let record = envelope("th.a", "did:sync:user:test", None, &json!({}));
    client.post(&record).refuses(507, "STORE_FULL");
    fs::remove_file(&taken).unwrap();
    client.put("th.a", &json!({}));
    server.stop();
    server.run(&[]);
    assert_eq!(server.export().len(), 2);
}
