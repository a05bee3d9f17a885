//! A token that a peer gave is kept for its owner, and leaves the home in nothing.

use std::{fs, os::unix::fs::PermissionsExt as _, path::Path};

use serde_json::{Value, json};

use super::kit::{Home, key};

/// What is looked for.
const GIVEN: &str = "spl_prod_sa_fedcba9876543210_0123456789abcdefghjkmnpqrstvwxyz";

/// All files below a directory.
fn files(at: &Path) -> Vec<std::path::PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(at).into_iter().flatten().flatten() {
        let path = entry.path();
        if path.is_dir() { found.extend(files(&path)) } else { found.push(path) }
    }
    found
}

/// The files below a directory that hold the token.
fn holding(at: &Path) -> Vec<std::path::PathBuf> {
    let holds = |path: &std::path::PathBuf| {
        let bytes = fs::read(path).unwrap_or_default();
        bytes.windows(GIVEN.len()).any(|window| window == GIVEN.as_bytes())
    };
    files(at).into_iter().filter(holds).collect()
}

fn mode(path: &Path) -> u32 {
    fs::metadata(path).expect("a file").permissions().mode() & 0o777
}

#[test]
fn a_peers_token_stays_in_its_file() {
    let (mut alice, bob) = (Home::disk(), Home::memory());
    let asked = json!({ "peer_url": bob.url(), "peer_token": GIVEN });
    let pair = alice.admin.post("/v1/federation/pairs", &asked).is(201);
    assert!(!pair.text().contains(GIVEN) && !pair.text().contains("spl_prod"), "{}", pair.text());
    let pair = pair.json();
    assert_eq!(pair["has_token"], true);
    let id = pair["pair_id"].as_str().expect("an id");
    let kept = alice.node.sandbox.home().join("secrets/pairs").join(id);
    let is_kept = |kept: &Path| {
        assert_eq!(fs::read_to_string(kept).expect("the token"), GIVEN);
        assert_eq!(mode(kept), 0o600);
        for directory in kept.ancestors().skip(1).take(3) {
            assert_eq!(mode(directory), 0o700, "{}", directory.display());
        }
    };
    is_kept(&kept);
    let found = holding(alice.node.sandbox.dir());
    assert_eq!(found, std::slice::from_ref(&kept), "in the log, the index, or what is logged");

    for path in ["/v1/federation/pairs", &format!("/v1/federation/pairs/{id}"), "/v1/export?reserved=true"] {
        let text = alice.admin.get(path).is(200).text();
        assert!(text.contains(id) && !text.contains(GIVEN), "{path}: {text}");
    }
    // It is on record which token it is, by its hash.
    let log = alice.admin.exported(true);
    let record = log.iter().find(|r| r["thread"] == "th_federation_pairs").expect("the pair's record");
    assert_eq!(record["body"]["peer_token_id"], crate::access::kit::sha256(GIVEN));

    let backup = alice.node.sandbox.dir().join("copy.splbak");
    alice.spl(&["backup", &backup.display().to_string()]).ok();
    let elsewhere = tempfile::tempdir().expect("a directory");
    let home = elsewhere.path().join("home");
    // What a backup does not hold either is carried over by hand.
    let keys = home.join("keys");
    fs::create_dir_all(&keys).expect("a directory");
    for private in [&home, &keys] {
        fs::set_permissions(private, fs::Permissions::from_mode(0o700)).expect("a mode");
    }
    fs::copy(alice.node.sandbox.home().join("keys/primary"), keys.join("primary")).expect("the key");
    let home = home.display().to_string();
    alice.spl(&["--home", &home, "restore", &backup.display().to_string()]).ok();
    assert_eq!(holding(elsewhere.path()), Vec::<std::path::PathBuf>::new(), "in the backup");
    assert!(!files(elsewhere.path()).iter().any(|file| file.starts_with(format!("{home}/secrets/pairs"))));

    // A start keeps it, and a second pair that is refused leaves nothing behind.
    alice.node.kill();
    alice.node.run(&[]);
    alice.admin = alice.node.as_token(&alice.token);
    is_kept(&kept);
    alice.admin.post("/v1/federation/pairs", &asked).refuses(409, "PAIR_EXISTS");
    let unreachable = json!({ "peer_url": "http://127.0.0.1:1", "peer_token": GIVEN });
    alice.admin.post("/v1/federation/pairs", &unreachable).refuses(502, "PEER_UNREACHABLE");
    assert_eq!(holding(alice.node.sandbox.dir()), std::slice::from_ref(&kept));

    alice.admin.delete(&format!("/v1/federation/pairs/{id}")).is(200);
    assert!(!kept.exists());
    assert_eq!(holding(alice.node.sandbox.dir()), Vec::<std::path::PathBuf>::new());
    let row = alice.admin.get(&format!("/v1/federation/pairs/{id}")).is(200).json();
    assert_eq!((&row["state"], &row["has_token"]), (&json!("removed"), &json!(false)));
}

#[test]
fn tokens_of_no_pair_are_gone_after_a_start() {
    let (mut alice, bob) = (Home::disk(), Home::memory());
    let asked = json!({ "peer_url": bob.url(), "peer_token": GIVEN });
    let pair = alice.admin.post("/v1/federation/pairs", &asked).is(201).json();
    let directory = alice.node.sandbox.home().join("secrets/pairs");
    // As a power cut between the file and the record would leave it.
    alice.node.sandbox.home_file("secrets/pairs/pair_0123456789abcdef", GIVEN, 0o600);
    alice.node.kill();
    alice.node.run(&[]);
    assert_eq!(holding(&directory), [directory.join(pair["pair_id"].as_str().expect("an id"))]);
}

#[test]
fn an_instance_in_memory_leaves_the_homes_tokens_alone() {
    let (mut alice, bob) = (Home::disk(), Home::memory());
    let asked = json!({ "peer_url": bob.url(), "peer_token": GIVEN });
    alice.admin.post("/v1/federation/pairs", &asked).is(201);
    let directory = alice.node.sandbox.home().join("secrets/pairs");
    let kept = holding(&directory);
    assert_eq!(kept.len(), 1);
    alice.node.stop();
    // It has no pairs at all, in its memory.
    alice.node.run(&["--memory"]);
    alice.node.stop();
    assert_eq!(holding(&directory), kept);
}

#[test]
fn what_is_no_token_is_not_kept() {
    let alice = Home::disk();
    let bob = Home::memory();
    let long = "x".repeat(513);
    for token in [json!(""), json!("a b"), json!("a\nb"), json!("é"), json!(long), json!(7)] {
        let asked = json!({ "peer_url": bob.url(), "peer_token": token });
        alice.admin.post("/v1/federation/pairs", &asked).refuses(400, "INVALID_BODY");
    }
    assert_eq!(files(&alice.node.sandbox.home().join("secrets/pairs")).len(), 0);
    // Where it is refused by what answers, it is not sent there either.
    let fake = crate::support::Fake::local(|_| super::kit::answer(&Value::Null));
    let asked = json!({ "peer_url": fake.url(), "peer_token": GIVEN, "expected_did": key(1).public().did() });
    alice.admin.post("/v1/federation/pairs", &asked).refuses(502, "PEER_UNREACHABLE");
    assert!(fake.heard().iter().all(|request| !request.contains(GIVEN)));
}
