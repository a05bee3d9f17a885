//! `spl consent`: who may speak for those whom others consented to.

use crate::up::Upped;

/// Another admin, who holds no grant: account and token.
fn other_admin(upped: &Upped) -> (String, String) {
    let args = ["service-account", "create", "--name", "other", "--actors", "did:sync:user:other"];
    let args = [&args[..], &["--scopes", "admin", "--with-token", "-o", "json"]].concat();
    let made = upped.0.spl(&args).ok().json();
    let member = |name: &str| made[name].as_str().expect("a text").to_owned();
    (member("id"), member("api_key"))
}

#[test]
fn an_operator_is_told_the_command_that_lets_it_go_on() {
    let upped = Upped::new();
    let (_, token) = other_admin(&upped);
    // From a machine of its own: without the local proof that this home would add.
    let elsewhere = crate::support::Sandbox::new();
    let recorded =
        std::fs::read_to_string(upped.0.home().join("run/instance.json")).expect("run/instance.json");
    let recorded: serde_json::Value = serde_json::from_str(&recorded).expect("JSON");
    let port = recorded["port"].as_u64().expect("a port");
    let spl = |args: &[&str]| {
        let given = ["-s", "-H", &format!("Authorization: Bearer {token}")].map(str::to_owned);
        let url = format!("http://127.0.0.1:{port}{}", args[0]);
        let out = std::process::Command::new("curl")
            .args(given)
            .args(&args[1..])
            .arg(url)
            .current_dir(elsewhere.dir())
            .output()
            .expect("curl");
        serde_json::from_slice::<serde_json::Value>(&out.stdout).expect("JSON")
    };
    let refused = spl(&["/v1/consent/grants"]);
    assert_eq!(refused["code"], "CONSENT_DENIED");
    let hint = refused["hint"].as_str().expect("a hint");
    let (_, command) = hint.split_once("runs: spl ").expect("a command");
    upped.0.spl(&command.split_whitespace().collect::<Vec<_>>()).ok();
    let list = spl(&["/v1/consent/grants"]);
    let grants = list["data"].as_array().expect("a list");
    assert_eq!(grants.len(), 4, "three of the first operator's, and this one");
}

#[test]
fn grants_are_given_listed_and_taken_back() {
    let upped = Upped::new();
    let grant = ["consent", "grant", "--grantee", "did:sync:user:bob", "--resource", "th_invites"];
    let ran = upped.0.spl(&[&grant[..], &["--access", "read", "--purpose", "on call"]].concat()).ok();
    let id = ran.stdout.split_whitespace().find(|w| w.starts_with("cg_")).expect("an id");
    let id = id.trim_end_matches(':');
    let listed = upped.0.spl(&["consent", "list"]).ok();
    assert!(listed.stdout.contains(id) && listed.stdout.contains("did:sync:user:bob"), "{listed:?}");
    for expected in ["revoked", "already revoked"] {
        let ran = upped.0.spl(&["consent", "revoke", id]).ok();
        assert!(ran.stdout.contains(expected), "{ran:?}");
    }
    let ran = upped.0.spl(&["consent", "revoke", "cg_0000000000000000"]).exits(1);
    assert!(ran.stderr.contains("GRANT_NOT_FOUND") && ran.stderr.contains("spl consent list"), "{ran:?}");
    upped.0.spl(&[&grant[..], &["--access", "all"]].concat()).exits(2);
}
