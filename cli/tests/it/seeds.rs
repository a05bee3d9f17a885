//! The commands of the user's guides, as they stand there: typed into a shell, one after the other.

use std::{
    fs,
    net::TcpListener,
    os::unix::fs::PermissionsExt as _,
    path::Path,
    process::{Command, Stdio},
    sync::atomic::{AtomicU16, Ordering},
};

use serde_json::Value;

use crate::support::Ran;

/// A user with nothing but `spl` and a shell.
struct User {
    dir: tempfile::TempDir,
    port: u16,
    /// What was exported into the shell.
    token: Option<String>,
}

impl User {
    /// Their instance takes a port of its own, as 9100 may be taken here; all else is as in the guides.
    fn new() -> Self {
        let user = Self { dir: tempfile::tempdir().expect("a directory"), port: free_port(), token: None };
        let home = user.dir.path().join(".syncro");
        fs::create_dir(&home).expect("a home");
        fs::set_permissions(&home, fs::Permissions::from_mode(0o700)).expect("a mode");
        let config = home.join("config.toml");
        fs::write(&config, format!("[server]\nport = {}\n", user.port)).expect("a file");
        fs::set_permissions(&config, fs::Permissions::from_mode(0o600)).expect("a mode");
        user
    }

    /// Types a script into the shell; it ends at the first command that fails.
    fn types(&self, script: &str) -> Ran {
        let binaries = Path::new(env!("CARGO_BIN_EXE_spl")).parent().expect("a directory");
        let script = script.replace("localhost:9100", &format!("localhost:{}", self.port));
        let script = script.replace("127.0.0.1:9100", &format!("127.0.0.1:{}", self.port));
        let output = Command::new("bash")
            .args(["-euo", "pipefail", "-c", &script])
            .env_clear()
            .env("HOME", self.dir.path())
            .env("PATH", format!("{}:/usr/local/bin:/usr/bin:/bin", binaries.display()))
            .envs(self.token.as_ref().map(|token| ("SPL_TOKEN", token)))
            .current_dir(self.dir.path())
            .stdin(Stdio::null())
            .output()
            .expect("a shell");
        Ran::from(output, &[&script])
    }

    /// The first account and its token saved, as the first guide does it.
    fn with_account() -> (Self, Made) {
        let user = Self::new();
        user.types("spl serve --daemon --insecure-localhost").ok();
        let made = made(&user.types(
            "spl service-account create --bootstrap \\
--name admin \\
--actors did:sync:user:$(whoami) \\
--scopes admin \\
--with-token",
        ));
        user.types(&format!("spl token save {}", made.token)).ok();
        user.types("spl serve --stop\nspl serve --daemon").ok();
        (user, made)
    }
}

impl Drop for User {
    fn drop(&mut self) {
        self.types("spl serve --stop");
    }
}

/// A port that nobody was given by the system: those begin higher up.
fn free_port() -> u16 {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    let start = 12_000 + u16::try_from(std::process::id() % 1_000).expect("small") * 16;
    (0..1_000)
        .map(|_| start + NEXT.fetch_add(1, Ordering::Relaxed))
        .find(|port| TcpListener::bind(("127.0.0.1", *port)).is_ok())
        .expect("a free port")
}

/// What a command made, as its output shows it.
#[derive(Debug)]
struct Made {
    account: String,
    token: String,
}

#[track_caller]
fn made(ran: &Ran) -> Made {
    assert_eq!(ran.code, 0, "{ran:#?}");
    let word = |start: &str| {
        let words = ran.stdout.split_whitespace();
        words.into_iter().find(|word| word.starts_with(start)).unwrap_or_else(|| panic!("{start}: {ran:#?}"))
    };
    Made { account: word("sa_").to_owned(), token: word("spl_").to_owned() }
}

/// The status and body of `curl -i`, or of `curl -v`, which has the head on stderr.
fn answered(ran: &Ran, status: u16) -> Value {
    let head = format!("{}{}", ran.stdout, ran.stderr);
    assert!(head.contains(&format!("HTTP/1.1 {status}")), "{ran:#?}");
    let body = ran.stdout.lines().last().unwrap_or_default();
    serde_json::from_str(body).unwrap_or_else(|e| panic!("{e}: {ran:#?}"))
}

#[test]
fn an_install_is_secured_in_four_commands() {
    let (user, made) = User::with_account();
    let mode = fs::metadata(user.dir.path().join(".syncro/token")).expect("a token").permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    assert_eq!(user.types("head -1 ~/.syncro/token").ok().stdout.trim(), made.token);
    let health = user.types("curl -s http://localhost:9100/health").ok();
    assert!(health.stdout.contains("\"mode\":\"secure\""), "{health:?}");
    answered(&user.types("curl -v http://localhost:9100/v1/records?thread=x"), 401);
    user.types("spl task list && spl intend 'ship it' && spl thread list && spl status").ok();
    let source = user.types("spl token show-source").ok().stdout;
    assert!(source.starts_with("~/.syncro/token file\n") && !source.contains(&made.token), "{source}");
    user.types("spl doctor").ok();
}

#[test]
fn accounts_are_made_listed_rotated_and_revoked() {
    let (user, admin) = User::with_account();
    let grafana = made(&user.types(
        "spl service-account create \\
--name \"grafana\" \\
--actors did:sync:svc:grafana \\
--scopes records:read \\
--with-token",
    ));
    let list = user.types("spl service-account list").ok().stdout;
    for part in ["grafana", "records:read", "admin", &grafana.account, &admin.account] {
        assert!(list.contains(part), "{part}: {list}");
    }
    let rotated = made(&user.types(&format!("spl token rotate {}", grafana.account)));
    assert_eq!(rotated.account, grafana.account);
    assert_ne!(rotated.token, grafana.token);
    let bearer = |token: &str| {
        user.types(&format!("curl -si http://localhost:9100/v1/threads -H 'Authorization: Bearer {token}'"))
    };
    answered(&bearer(&grafana.token), 401);
    assert!(bearer(&rotated.token).stdout.contains("200 OK"));
    let token_id =
        user.types(&format!("spl token info {} | grep token_id | awk '{{print $2}}'", rotated.token));
    let tokens = user.types("spl token list").ok().stdout;
    let token_id = token_id.ok().stdout.trim().to_owned();
    assert!(tokens.contains(&token_id[..12]) && tokens.contains("_****"), "{tokens}");
    assert!(!tokens.contains(&rotated.token) && !tokens.contains(&admin.token), "{tokens}");
    let sa = &grafana.account;
    user.types(&format!("spl token revoke --sa {sa} --token-id {token_id}")).ok();
    answered(&bearer(&rotated.token), 401);
    let again = made(&user.types(&format!("spl token mint --sa {sa}")));
    assert!(bearer(&again.token).stdout.contains("200 OK"));
    user.types(&format!("spl service-account revoke {sa}")).ok();
    answered(&bearer(&again.token), 401);
    user.types(&format!("spl token mint --sa {sa}")).exits(1);
    let described = user.types(&format!("spl service-account describe {sa}")).ok().stdout;
    assert!(described.contains("revoked") && described.contains("just now"), "{described}");
}

#[test]
fn an_account_without_actors_is_warned_of_and_mended() {
    let (user, _) = User::with_account();
    let ran = user.types("spl service-account create --name broken --scopes records:read --with-token").ok();
    assert!(ran.stderr.contains("lists no actor"), "{ran:?}");
    let broken = made(&ran);
    let ran = user.types(&format!("spl --token {} thread list", broken.token)).exits(4);
    assert!(ran.stderr.contains("DID_CLAIM_DENIED"), "{ran:?}");
    let ran = user.types(&format!("spl token info {}", broken.token)).exits(4);
    assert!(ran.stdout.contains("lists no actor"), "{ran:?}");
    let id = &broken.account;
    user.types(&format!("spl service-account update {id} --actors did:sync:svc:mended")).ok();
    user.types(&format!("spl --token {} thread list", broken.token)).ok();
    user.types(&format!("spl service-account revoke {id}")).ok();
}

#[test]
fn a_lost_token_is_replaced() {
    let (user, lost) = User::with_account();
    user.types("rm ~/.syncro/token").ok();
    let ran = user.types("spl task list").exits(4);
    assert!(ran.stderr.contains("hint:"), "{ran:?}");
    user.types("spl serve --stop\nspl serve --daemon --insecure-localhost").ok();
    let list = user.types("spl service-account list").ok();
    assert!(list.stdout.contains(&lost.account), "{list:?}");
    let found = made(&user.types(&format!("spl token rotate {}", lost.account)));
    user.types(&format!("spl token save {}\nspl serve --stop\nspl serve --daemon", found.token)).ok();
    user.types("spl task list").ok();
    user.types(&format!("spl --token {} task list", lost.token)).exits(4);
    let report = user.types("spl doctor").ok().stdout;
    assert!(report.contains("local proof") && report.contains(&lost.account), "{report}");
}

#[test]
fn a_remote_host_is_bootstrapped_without_dev_mode() {
    let mut user = User::new();
    user.types("spl serve --daemon").ok();
    let ran = user.types(
        "spl service-account create --bootstrap \\
  --name \"local\" \\
  --scopes admin \\
  --actors did:sync:user:$(spl config show | grep default_user_actor | awk '{print $2}')",
    );
    let local = made(&ran);
    assert!(!ran.stderr.contains("spl serve --stop"), "it is secure already: {ran:?}");
    user.types(&format!(
        "mkdir -p ~/.config/fish
echo 'export SPL_TOKEN=\"{}\"' >> ~/.config/fish/config.fish
. ~/.config/fish/config.fish
spl token show-source | grep 'SPL_TOKEN env'",
        local.token
    ))
    .ok();
    user.token = Some(local.token.clone());
    user.types(
        "spl learn \\
  --thread th_engine_config \\
  --body '{\"topic\":\"auth_required\",\"enabled\":true}' \\
  --actor did:sync:system:engine",
    )
    .ok();
    user.types("spl serve --stop\nspl serve --daemon").ok();
    let refused = answered(&user.types("curl -v http://localhost:9100/v1/records -XPOST -d '{}'"), 401);
    assert_eq!(refused["code"], "AUTH_REQUIRED");
    let created = answered(
        &user.types(
            "curl -v http://localhost:9100/v1/records \\
  -XPOST \\
  -H \"Authorization: Bearer $SPL_TOKEN\" \\
  -d '{\"thread\":\"th_test\",\"actor\":\"did:sync:user:'$(whoami)'\",\"act\":\"INTEND\",\"body\":{},\"clock\":0,\"data_type\":\"SCALAR\"}'",
        ),
        201,
    );
    assert_eq!(created["object"], "record");
    user.types(&format!("spl token save {}", local.token)).ok();
    user.token = None;
    user.types("spl task list\nspl intend 'x'\nspl thread records th_test").ok();
}

#[test]
fn the_escape_hatch_lets_its_owner_back_in() {
    let (user, made_first) = User::with_account();
    user.types("spl token unset\nspl serve --stop\nspl serve --daemon --insecure-localhost").ok();
    user.types("spl service-account list").ok();
    let ran = user.types(&format!("spl token rotate {}", made_first.account));
    let rotated = made(&ran);
    user.types("spl serve --stop && spl serve --daemon").ok();
    user.types(&format!("spl --token {} service-account list", rotated.token)).ok();
}

#[test]
fn troubleshooting_says_what_is_wrong() {
    let (mut user, admin) = User::with_account();
    let ran = user.types("SPL_TOKEN=\necho $SPL_TOKEN | spl token info /dev/stdin").exits(1);
    assert!(ran.stderr.contains("invalid format"), "{ran:?}");
    user.token = Some(admin.token.clone());
    let ran = user.types("echo $SPL_TOKEN | spl token info /dev/stdin").ok();
    assert!(ran.stdout.contains("active") && ran.stdout.contains("admin"), "{ran:?}");
    let other = made(&user.types(&format!("spl token create --sa {}", admin.account)));
    let ids = user.types(&format!("spl token info {} | grep token_id | awk '{{print $2}}'", other.token));
    let id = ids.ok().stdout.trim().to_owned();
    user.types(&format!("spl token revoke --sa {} --token-id {}", admin.account, &id[..8])).ok();
    let ran = user.types(&format!("echo {} | spl token info /dev/stdin", other.token)).exits(4);
    assert!(ran.stdout.contains("token_id not found"), "{ran:?}");
    let described = user.types(&format!("spl service-account describe {}", admin.account)).ok();
    assert!(described.stdout.contains("scopes"), "{described:?}");
    let ran = user.types("spl service-account create --bootstrap --name local --with-token").exits(1);
    assert!(ran.stderr.contains("BOOTSTRAP_CLOSED"), "{ran:?}");
    user.types("unset SPL_TOKEN\nspl token show-source | grep '^~/.syncro/token file$'").ok();
}

#[test]
fn each_side_of_a_federation_gets_an_account() {
    let (user, _) = User::with_account();
    user.types(
        "spl service-account create \\
  --name \"Federation — peer did:sync:user:bob\" \\
  --scopes federation:manage \\
  --actors did:sync:user:alice",
    )
    .ok();
    let list = user.types("spl service-account list").ok().stdout;
    assert!(list.contains("Federation — peer did:sync:user:bob"), "{list}");
}

#[test]
fn a_proxy_is_hardened_against() {
    let (user, _) = User::with_account();
    user.types(
        "spl config set strict_actor_header true\nspl config set strict_impersonation_enforcement true",
    )
    .ok();
    let shown = user.types("spl config show").ok().stdout;
    assert!(shown.contains("strict_actor_header true"), "{shown}");
    assert!(shown.contains("strict_impersonation_enforcement true"), "{shown}");
    // Effective on the next request, without a restart.
    let ran = user.types("spl learn x --thread notes --actor did:sync:user:somebody-else").exits(4);
    assert!(ran.stderr.contains("DID_CLAIM_DENIED"), "{ran:?}");
}

#[test]
fn a_page_of_a_listed_origin_may_call() {
    let (user, _) = User::with_account();
    let allowed = |origin: &str| {
        let ran = user.types(&format!(
            "curl -si http://localhost:9100/v1/threads -H 'Origin: {origin}' \
             -H \"Authorization: Bearer $(head -1 ~/.syncro/token)\""
        ));
        let line = format!("access-control-allow-origin: {origin}");
        ran.stdout.to_ascii_lowercase().contains(&line)
    };
    assert!(!allowed("https://syncropel.com"));
    user.types("spl config auth-set-cors-origins https://syncropel.com").ok();
    assert!(allowed("https://syncropel.com") && !allowed("https://app.example.com"));
    user.types("spl config auth-set-cors-origins https://syncropel.com,https://app.example.com").ok();
    assert!(allowed("https://syncropel.com") && allowed("https://app.example.com"));
    let shown = user.types("spl config show").ok().stdout;
    assert!(shown.contains("auth_cors_origins https://syncropel.com,https://app.example.com"), "{shown}");
    user.types("spl serve --stop\nspl serve --daemon").ok();
    assert!(allowed("https://app.example.com"), "it survives a restart");
}

#[test]
fn what_should_never_be_done_is_warned_of() {
    let user = User::new();
    let ran = user.types("spl serve --daemon --host 0.0.0.0").ok();
    assert!(ran.stderr.contains("warning:") && ran.stderr.contains("docs/exposing.md"), "{ran:?}");
    let ran = user.types("spl doctor").exits(1);
    assert!(ran.stdout.contains("exposure"), "{ran:?}");
    user.types("spl serve --stop").ok();
    let ran = user.types("spl serve --daemon").ok();
    assert!(!ran.stderr.contains("warning:"), "{ran:?}");
}

/// The token that a pairing shows, and its account.
#[track_caller]
fn paired(ran: &Ran) -> Made {
    assert_eq!(ran.code, 0, "{ran:#?}");
    let words = ran.stdout.split_whitespace().map(|word| word.trim_matches(['"', ',']));
    let token = words.into_iter().find(|word| word.starts_with("spl_")).expect("a token").to_owned();
    let account = token.split('_').skip(2).take(2).collect::<Vec<_>>().join("_");
    Made { account, token }
}

#[test]
fn a_browser_and_a_worker_are_paired_listed_renewed_and_revoked() {
    let (user, _) = User::with_account();
    let ran = user.types(
        "spl pair \\
  --device \"browser-chrome\" \\
  --url \"http://127.0.0.1:9100\" \\
  --scopes admin",
    );
    let browser = paired(&ran);
    let origin = format!("http://127.0.0.1:{}", user.port);
    assert!(ran.first_line().starts_with(&format!("{origin}/local/pair#")), "{ran:?}");
    let ran = user.types(
        "spl pair \\
  --device \"ci-worker-1\" \\
  --url \"http://127.0.0.1:9100\" \\
  --scopes records:read \\
  --no-qr",
    );
    let worker = paired(&ran);
    let expected = format!(
        "{{\n  \"url\": \"{origin}\",\n  \"token\": \"{}\",\n  \"device\": \"ci-worker-1\"\n}}\n",
        worker.token
    );
    assert_eq!(ran.stdout, expected);
    let list = user.types("spl service-account list").ok().stdout;
    for part in ["browser-chrome", "ci-worker-1", &browser.account, &worker.account] {
        assert!(list.contains(part), "{part}: {list}");
    }
    let bearer = |token: &str| {
        user.types(&format!("curl -si http://localhost:9100/v1/threads -H 'Authorization: Bearer {token}'"))
    };
    assert!(bearer(&browser.token).stdout.contains("200 OK"));
    let rotated = made(&user.types(&format!("spl token rotate {}", worker.account)));
    answered(&bearer(&worker.token), 401);
    assert!(bearer(&rotated.token).stdout.contains("200 OK"));
    user.types(&format!("spl service-account revoke {}", browser.account)).ok();
    assert_eq!(answered(&bearer(&browser.token), 401)["code"], "AUTH_INVALID");
    assert!(bearer(&rotated.token).stdout.contains("200 OK"), "the other device is unaffected");
    let ran = user.types("spl pair --device browser-mobile");
    paired(&ran);
    assert!(ran.stderr.contains("warning:") && ran.stderr.contains("--url http://"), "{ran:?}");
}
