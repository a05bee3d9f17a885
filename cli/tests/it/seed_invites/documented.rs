//! docs/invites.md and docs/federation.md: what stands there for a shell, typed in as it stands, in its order, by whom it is for.

use std::{
    fs,
    io::{BufRead as _, BufReader, Write as _},
    os::unix::fs::symlink,
    path::Path,
    process::{Child, ChildStdin, ChildStdout, Command, Stdio},
};

use serde_json::Value;

use crate::federation::kit::{BOB, Home};

/// The blocks for a shell, each with the section that it is in.
fn blocks(page: &str) -> Vec<(String, String)> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs").join(page);
    let text = fs::read_to_string(path).expect("the page");
    let (mut found, mut section, mut open) = (Vec::new(), String::new(), None::<String>);
    for line in text.lines() {
        // A block of a list is indented as the list is.
        match (line.trim_start(), &mut open) {
            ("```sh", None) => open = Some(String::new()),
            ("```", Some(block)) => {
                found.push((section.clone(), std::mem::take(block)));
                open = None;
            }
            (_, Some(block)) => *block += &format!("{}\n", line.strip_prefix("   ").unwrap_or(line)),
            (heading, None) if heading.starts_with('#') => {
                section = heading.trim_matches(['#', ' ']).to_owned()
            }
            _ => {}
        }
    }
    found
}

/// Somebody's shell, which stays open; it ends with the first command that fails.
struct Shell {
    child: Child,
    input: ChildStdin,
    output: BufReader<ChildStdout>,
    dir: std::path::PathBuf,
    typed: usize,
}

impl Shell {
    /// One in a directory, with a home that may have an instance.
    fn open(dir: &Path, home: Option<&Home>) -> Self {
        let spl = Path::new(env!("CARGO_BIN_EXE_spl")).parent().expect("a directory");
        fs::create_dir_all(dir).expect("a directory");
        if let Some(home) = home {
            symlink(home.node.sandbox.home(), dir.join(".syncro")).expect("a link");
        }
        let mut command = Command::new("sh");
        command
            .args(["-eu"])
            .env_clear()
            .env("HOME", dir)
            .env("PATH", format!("{}:/usr/local/bin:/usr/bin:/bin", spl.display()))
            .current_dir(dir)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(fs::File::create(dir.join("errors")).expect("a file"));
        if let Some(home) = home {
            command.env("SYNCROPEL_HOME", home.node.sandbox.home());
        }
        let mut child = command.spawn().expect("sh runs");
        let (input, output) = (child.stdin.take().expect("a pipe"), child.stdout.take().expect("a pipe"));
        Self { child, input, output: BufReader::new(output), dir: dir.to_owned(), typed: 0 }
    }

    /// Types a block, with something to paste where it reads a line; gives what it printed.
    #[track_caller]
    fn types(&mut self, block: &str, paste: &str) -> String {
        const END: &str = "--- end of a block ---";
        self.typed += 1;
        let (script, pasted) = (format!("block-{}", self.typed), format!("paste-{}", self.typed));
        fs::write(self.dir.join(&script), block).expect("a file");
        fs::write(self.dir.join(&pasted), format!("{paste}\n")).expect("a file");
        let line = format!(". ./{script} < ./{pasted}\necho; echo '{END}'\n");
        self.input.write_all(line.as_bytes()).expect("a shell that is open");
        let mut printed = String::new();
        loop {
            let mut line = String::new();
            let said = || fs::read_to_string(self.dir.join("errors")).unwrap_or_default();
            assert_ne!(self.output.read_line(&mut line).expect("UTF-8"), 0, "{block}\n{printed}\n{}", said());
            if line.trim_end() == END {
                return printed;
            }
            printed += &line;
        }
    }
}

impl Drop for Shell {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// What cannot stand as it is: it asks on a terminal, or goes on until somebody ends it. Each has to be there.
const CHANGED: [(&str, &str); 5] = [
    ("spl federation pair https://bob.example.net", "spl federation pair https://bob.example.net --yes"),
    ("--home-url https://bob.example.net", "--home-url https://bob.example.net --yes"),
    ("spl invite watch", "spl invite watch --for 2"),
    ("\"$ISSUER/v1/invites/stream\"", "\"$ISSUER/v1/invites/stream\" --max-time 0.5 || [ $? -eq 28 ]"),
    ("'Last-Event-ID: 141'", "'Last-Event-ID: 1'"),
];

/// What comes of a block, by something that stands in it. Each is to be found, once at least.
const SHOWN: [(&str, &str); 24] = [
    ("spl consent grant", "did:sync:user:carol"),
    ("--device-label 'My phone' --ttl 15m", "/i/inv_"),
    ("--label 'My laptop'", "\"device\": \"My laptop\""),
    ("echo \"$LINK\"", "/i/inv_"),
    ("openssl genpkey", "did:sync:user:guest:"),
    ("spl federation pair", "did:key:"),
    ("--home-url", "\"token\": \"spl_"),
    ("spl invite show", "paired"),
    ("python3 -m json.tool preview.json", "\"federated\""),
    ("holder_proof_issued_at_ms", BOB),
    ("--thread music.library", "/i/inv_"),
    ("\"thread_id\":\"music.library\"", "thread:music.library:read"),
    ("spl invite list --state active", "active"),
    ("spl invite watch", "redeemed"),
    ("/v1/invites/stream", "event: invite.updated"),
    ("spl invite revoke", "revoked"),
    ("/revoke\" -d", "already_revoked"),
    ("spl service-account revoke", "revoked"),
    ("{\"filter\":\"expired\"}", "\"revoked_count\":0"),
    ("spl invite templates save", "/i/inv_"),
    ("member template_id", "\"status\":\"removed\""),
    ("spl invite audit", "redeemed"),
    ("spl audit export", "core.invite.event.v1"),
    ("/rotate", "Z"),
];

/// The three who read the page.
struct Readers {
    alice: Home,
    bob: Home,
    shells: [Shell; 3],
    /// The last link that anybody was shown.
    link: String,
}

const ALICE_READS: usize = 0;
const BOB_READS: usize = 1;
const DEVICE_READS: usize = 2;

impl Readers {
    fn new() -> Self {
        let (alice, bob) = (Home::disk(), Home::disk());
        bob.is_of(BOB);
        let device = alice.node.sandbox.dir().join("device");
        let shells = [
            Shell::open(&alice.node.sandbox.dir().join("alice"), Some(&alice)),
            Shell::open(&bob.node.sandbox.dir().join("bob"), Some(&bob)),
            Shell::open(&device, None),
        ];
        Self { alice, bob, shells, link: String::new() }
    }

    /// Whom a block is for.
    fn reader_of(section: &str, block: &str) -> usize {
        let bobs = ["--home-url", "MINE=", "$MINE", "redeem.json"];
        let devices = ["--label 'My laptop'", "openssl genpkey", "device.header"];
        if bobs.iter().any(|part| block.contains(part)) {
            BOB_READS
        } else if devices.iter().any(|part| block.contains(part)) {
            DEVICE_READS
        } else {
            assert!(section != "Renew", "the device renews: {block}");
            ALICE_READS
        }
    }

    /// What is pasted where a block reads a line.
    #[track_caller]
    fn pasted(&self, block: &str) -> String {
        let rows = self.alice.admin.rows("/v1/invites?limit=1000");
        let redeemed_by = |label: &str| {
            let all = rows.iter().flat_map(|row| row["redemptions"].as_array().into_iter().flatten());
            all.into_iter().find(|one| one["holder_label"] == label || one["holder_did"] == label).cloned()
        };
        let of_row =
            |state: &str| rows.iter().find(|row| row["state"] == state).map(|row| row["invite_id"].clone());
        let pasted = if block.contains("read -r LINK") {
            Some(Value::from(self.link.as_str()))
        } else if block.contains("read -r ACCOUNT") {
            redeemed_by("My laptop").map(|one| one["service_account_id"].clone())
        } else if block.contains("invite show") {
            of_row("redeemed")
        } else if block.contains("read -r ID") {
            of_row("active")
        } else {
            assert!(!block.contains("read -r"), "what is read there? {block}");
            return String::new();
        };
        pasted
            .and_then(|value| value.as_str().map(str::to_owned))
            .unwrap_or_else(|| panic!("nothing for {block}"))
    }

    /// Types a block; gives what it printed.
    #[track_caller]
    fn types(&mut self, section: &str, block: &str) -> String {
        let mut typed = block.to_owned();
        for (there, instead) in CHANGED {
            typed = typed.replace(there, instead);
        }
        let typed = typed
            .replace("https://spl.example.org", &self.alice.url())
            .replace("https://bob.example.net", &self.bob.url());
        let pasted = self.pasted(block);
        let printed = self.shells[Self::reader_of(section, block)].types(&typed, &pasted);
        if let Some(at) = printed.rfind(&format!("{}/i/inv_", self.alice.url())) {
            self.link = printed[at..].split_whitespace().next().expect("a link").to_owned();
        }
        printed
    }
}

#[test]
fn the_page_is_typed_in_from_top_to_bottom() {
    let all = blocks("invites.md");
    let text: String = all.iter().map(|(_, block)| block.as_str()).collect();
    for (there, _) in CHANGED.iter().chain(&SHOWN) {
        assert!(text.contains(there), "no block has {there:?} any more");
    }
    assert!(!text.contains("example.com"), "an address that leads to nobody here");
    let mut readers = Readers::new();
    let (_, first) = &all[0];
    assert!(first.contains("ISSUER=") && first.contains("member()"), "{first}");
    // Bob has a token of his own in a file of that name; a device has no more than one function.
    readers.shells[BOB_READS].types(&first.replace("https://spl.example.org", &readers.bob.url()), "");
    let member = first.lines().find(|line| line.starts_with("member()")).expect("a function");
    readers.shells[DEVICE_READS].types(member, "");
    for (section, block) in &all {
        let printed = readers.types(section, block);
        for (part, shown) in SHOWN {
            assert!(!block.contains(part) || printed.contains(shown), "{section}: {block}\n{printed}");
        }
    }
    // The device has renewed its token, and it is in still; the laptop is out.
    let renewed =
        fs::read_to_string(readers.shells[DEVICE_READS].dir.join("redemption.json")).expect("a file");
    let renewed: Value = serde_json::from_str(&renewed).expect("JSON");
    let bearer = renewed["bearer"].as_str().or(renewed["api_key"].as_str()).expect("a bearer");
    readers.alice.node.anyone().bearer(bearer).get("/v1/threads").is(200);
    // Bob came in twice, both times as himself, once by `spl` and once by curl.
    let rows = readers.alice.admin.rows("/v1/invites?limit=1000");
    let all = rows.iter().flat_map(|row| row["redemptions"].as_array().into_iter().flatten());
    let bobs: Vec<&Value> = all.filter(|one| one["holder_did"] == BOB).collect();
    assert_eq!(bobs.len(), 2);
    assert!(bobs.iter().all(|one| one["signer_trust"] == "paired"), "{bobs:?}");
    super::guarantees::mirrors_pair_up(&readers.alice.admin.exported(true));
}

/// What comes of a block of docs/federation.md, by something that stands in it.
const OF_FEDERATION: [(&str, &str); 10] = [
    ("spl identity show", "did:key:"),
    ("/.well-known/did.json", "#key-1"),
    ("openssl pkeyutl", "Signature Verified Successfully"),
    ("spl federation pair", "did:key:"),
    ("> pair.json", "PAIR_EXISTS"),
    ("spl federation list", "127.0.0.1"),
    ("/v1/federation/pairs/$PAIR\" |", "\"federation_pair\""),
    ("spl federation unpair", "removed"),
    ("-X DELETE", "already_removed"),
    ("federation_did_web false", "federation_did_web"),
];

#[test]
fn the_page_on_other_instances_is_typed_in_from_top_to_bottom() {
    let (alice, bob) = (Home::disk(), Home::memory());
    let mut shell = Shell::open(&alice.node.sandbox.dir().join("alice"), Some(&alice));
    let all = blocks("federation.md");
    let text: String = all.iter().map(|(_, block)| block.as_str()).collect();
    // Both ask on a terminal.
    let changed = [
        ("spl federation pair https://bob.example.net", "spl federation pair https://bob.example.net --yes"),
        ("spl federation unpair \"$PAIR\"", "spl federation unpair \"$PAIR\" --yes"),
    ];
    for (there, _) in changed.iter().chain(&OF_FEDERATION) {
        assert!(text.contains(there), "no block has {there:?} any more");
    }
    for (section, block) in &all {
        let mut typed = block.clone();
        for (there, instead) in changed {
            typed = typed.replace(there, instead);
        }
        let typed = typed
            .replace("https://spl.example.org", &alice.url())
            .replace("https://bob.example.net", &bob.url());
        let printed = shell.types(&typed, "");
        for (part, shown) in OF_FEDERATION {
            assert!(!block.contains(part) || printed.contains(shown), "{section}: {block}\n{printed}");
        }
    }
}
