//! `spl pair`: what a device is given, in which forms, and how it is taken back.

use std::process::{Command, Stdio};

use data_encoding::BASE64URL_NOPAD;
use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};

use crate::{
    access::kit::{ADMIN, Caller, Token, sha256},
    federation::kit::Home,
    qr::of_terminal,
    raw::Reply,
    support::{Fake, Ran, Sandbox, error_answer, json_answer, status_answer},
    tokens::TOKEN,
};

const LAN: &str = "http://192.168.1.50:9100";

/// What a device was given.
struct Paired {
    ran: Ran,
    token: Token,
}

/// What a run that pairs gave; nothing of the token may be anywhere else than on stdout.
#[track_caller]
fn paired(ran: Ran) -> Paired {
    let ran = ran.ok();
    let text = ran.stdout.split_whitespace().map(|word| word.trim_matches(['"', ',']));
    let text = text.into_iter().find(|word| word.starts_with("spl_prod_")).expect("a token").to_owned();
    let (_, secret) = text.rsplit_once('_').expect("a secret");
    assert!(!ran.stderr.contains(secret), "{ran:?}");
    let account = text.split('_').skip(2).take(2).collect::<Vec<_>>().join("_");
    assert!(ran.stderr.contains("spl service-account list"), "{ran:?}");
    assert!(ran.stderr.contains(&format!("spl service-account revoke {account}")), "{ran:?}");
    Paired { token: Token { id: sha256(&text), text, account }, ran }
}

/// Pairs a device that can reach its instance.
#[track_caller]
fn pair(home: &Home, options: &[&str]) -> Paired {
    paired(home.spl(&[&["pair", "--url", LAN], options].concat()))
}

/// Who the instance says that a device is.
#[track_caller]
fn identity(home: &Home, device: &Paired) -> Value {
    home.node.as_token(&device.token).get("/v1/identity").is(200).json()["caller"].clone()
}

/// What the instance answers to a device.
fn asks(home: &Home, token: &Token) -> Reply {
    Caller::at(home.node.port, token).get("/v1/threads")
}

/// How long a device's token lives, from when it was made.
#[track_caller]
fn lifetime(home: &Home, device: &Paired) -> SignedDuration {
    let time = |value: &Value| -> Timestamp { value.as_str().expect("a time").parse().expect("a time") };
    let account = home.admin.get(&format!("/v1/service-accounts/{}", device.token.account)).is(200).json();
    time(&identity(home, device)["expires_at"]).duration_since(time(&account["created_at"]))
}

fn accounts(home: &Home) -> usize {
    home.admin.rows("/v1/service-accounts").len()
}

fn payload(url: &str, token: &str, device: &str) -> String {
    format!(r#"{{"url":"{url}","token":"{token}","device":"{device}"}}"#)
}

fn link(studio: &str, payload: &str) -> String {
    format!("{studio}/local/pair#{}", BASE64URL_NOPAD.encode(payload.as_bytes()))
}

#[test]
fn a_device_gets_a_link_its_code_and_what_they_hold() {
    let home = Home::memory();
    let device = pair(&home, &["--device", "browser-chrome", "--scopes", "admin"]);
    let (stdout, token) = (&device.ran.stdout, &device.token.text);
    let link = link(LAN, &payload(LAN, token, "browser-chrome"));
    let blocks = |line: &&str| line.chars().count() > 20 && line.chars().all(|c| " █▀▄".contains(c));
    let code: Vec<&str> = stdout.lines().filter(blocks).collect();
    let code_text = code.join("\n");
    assert_eq!(
        *stdout,
        format!(
            "{link}\n\n{code_text}\n\n  url            {LAN}\n  token          {token}\n  device         browser-chrome\n"
        )
    );
    assert!(code.iter().all(|line| line.chars().count() <= 80), "it fits into a usual terminal");
    assert_eq!(of_terminal(stdout), link);
    let caller = identity(&home, &device);
    assert_eq!(
        (&caller["actor"], &caller["scopes"], &caller["display_name"]),
        (&json!(ADMIN), &json!(["admin"]), &json!("browser-chrome"))
    );
    assert_eq!(caller["service_account_id"], device.token.account);
    assert_eq!(lifetime(&home, &device), SignedDuration::from_hours(90 * 24));
    let row = home.admin.get(&format!("/v1/service-accounts/{}", device.token.account)).is(200).json();
    assert_eq!((&row["name"], &row["actors"]), (&json!("browser-chrome"), &json!([ADMIN])));
    assert!(!device.ran.stderr.contains("was not given"), "{:?}", device.ran);
}

#[test]
fn what_cannot_scan_gets_json_alone() {
    let home = Home::memory();
    let device = pair(&home, &["--device", "ci-worker-1", "--scopes", "records:read", "--no-qr"]);
    assert_eq!(
        device.ran.stdout,
        format!(
            "{{\n  \"url\": \"{LAN}\",\n  \"token\": \"{}\",\n  \"device\": \"ci-worker-1\"\n}}\n",
            device.token.text
        )
    );
    // For programs the same object, on one line, with or without --no-qr.
    for more in [&["-o", "json"][..], &["--json", "--no-qr"], &["-o", "stream-json"]] {
        let ran = home.spl(&[&["pair", "--url", LAN, "--device", "d \"1\" ü"], more].concat()).ok();
        let token = ran.json()["token"].as_str().expect("a token").to_owned();
        assert_eq!(ran.stdout, format!("{}\n", payload(LAN, &token, r#"d \"1\" ü"#)), "{more:?}");
        assert!(!ran.stderr.contains(&token), "{ran:?}");
    }
}

#[test]
fn the_longest_label_still_fits_into_a_code() {
    let home = Home::memory();
    let label = "ü".repeat(128);
    let device = pair(&home, &["--device", &label, "--studio-url", "https://syncropel.com/"]);
    let link = link("https://syncropel.com", &payload(LAN, &device.token.text, &label));
    assert_eq!(device.ran.first_line(), link);
    assert_eq!(of_terminal(&device.ran.stdout), link);
    home.spl(&["pair", "--url", LAN, "--device", &"ü".repeat(129)]).exits(2);
}

#[test]
fn the_label_chooses_the_scopes_and_says_so() {
    let home = Home::memory();
    let both = json!(["records:read", "records:write"]);
    for (label, scopes, is_hinted) in [
        ("browser-chrome", json!(["admin"]), false),
        ("viewer-bigscreen", json!(["records:read"]), false),
        ("emitter-linear", both.clone(), false),
        ("laptop", both.clone(), true),
        ("browser", both.clone(), true),
        ("my-browser-x", both.clone(), true),
        ("Browser-x", both, true),
    ] {
        let device = pair(&home, &["--device", label, "--no-qr"]);
        assert_eq!(identity(&home, &device)["scopes"], scopes, "{label}");
        assert!(device.ran.stderr.contains("--scopes was not given"), "{:?}", device.ran);
        for prefix in ["browser-  ", "viewer-  ", "emitter-  "] {
            assert_eq!(device.ran.stderr.contains(prefix), is_hinted, "{prefix}: {:?}", device.ran);
        }
    }
    let device = pair(&home, &["--device", "browser-x", "--scopes", "records:read", "--no-qr"]);
    assert_eq!(identity(&home, &device)["scopes"], json!(["records:read"]));
    assert!(!device.ran.stderr.contains("was not given"), "{:?}", device.ran);
    let device = pair(&home, &["--device", "viewer-x", "--scopes", "thread:tea:read", "--no-qr"]);
    assert_eq!(identity(&home, &device)["scopes"], json!(["records:read", "thread:tea:read"]));
}

#[test]
fn a_device_acts_as_whoever_pairs_it_unless_it_is_told() {
    let home = Home::memory();
    let run = |variable: Option<&str>, options: &[&str]| {
        let args = [&["pair", "--device", "viewer-x", "--no-qr", "--url", LAN], options].concat();
        let mut command = home.node.sandbox.command(&args);
        command.envs(variable.map(|actor| ("SPL_ACTOR", actor)));
        paired(Ran::from(command.output().expect("spl runs"), &args))
    };
    let actor = |device: &Paired| identity(&home, device)["actor"].clone();
    assert_eq!(actor(&run(None, &[])), ADMIN);
    let both = run(None, &["--actors", "did:sync:svc:screen,did:sync:svc:other"]);
    assert_eq!(actor(&both), "did:sync:svc:screen");
    assert_eq!(actor(&run(Some("did:sync:user:eve"), &[])), "did:sync:user:eve");
    home.node.sandbox.home_file("config.toml", "[identity]\nactor = \"did:sync:user:carol\"\n", 0o600);
    assert_eq!(actor(&run(None, &[])), "did:sync:user:carol");
    assert_eq!(actor(&run(Some("did:sync:user:eve"), &[])), "did:sync:user:eve");
    let ran = home.spl(&["pair", "--device", "x", "--actors", ""]).exits(2);
    assert!(ran.stderr.contains("--actors"), "{ran:?}");
    let ran = home.spl(&["pair", "--device", "x", "--expires-in", "36h", "--no-qr"]);
    assert_eq!(lifetime(&home, &paired(ran)), SignedDuration::from_hours(36));
}

#[test]
fn the_address_is_the_public_one_then_the_bound_one() {
    let home = Home::memory();
    let (bound, public) = (home.url(), "https://spl.example.org");
    let address = |options: &[&str]| {
        let args = [&["pair", "--device", "browser-x"], options].concat();
        let device = paired(home.spl(&args));
        let (studio, encoded) = device.ran.stdout.split_once("/local/pair#").expect("a link");
        let encoded = encoded.lines().next().expect("a payload").as_bytes();
        let payload: Value =
            serde_json::from_slice(&BASE64URL_NOPAD.decode(encoded).expect("base64url")).expect("JSON");
        (studio.to_owned(), payload["url"].as_str().expect("an address").to_owned())
    };
    let same = |url: &str| (url.to_owned(), url.to_owned());
    assert_eq!(address(&[]), same(&bound));
    home.spl(&["config", "set", "public_url", public]).ok();
    assert_eq!(address(&[]), same(public));
    assert_eq!(address(&["--url", &format!("{LAN}/")]), same(LAN));
    assert_eq!(address(&["--studio-url", "https://syncropel.com"]).0, "https://syncropel.com");
    assert_eq!(address(&["--studio-url", "https://syncropel.com"]).1, public);
}

#[test]
fn what_is_no_origin_is_refused_before_anything_is_made() {
    let home = Home::memory();
    let before = accounts(&home);
    let pasted = link(LAN, "secret");
    for bad in [
        "",
        "192.168.1.50:9100",
        "ftp://x",
        "http://x/local",
        "http://x?q",
        "http://u:secret@x",
        "http://0.0.0.0:1",
    ]
    .into_iter()
    .chain([pasted.as_str()])
    {
        for option in ["--url", "--studio-url"] {
            let ran = home.spl(&["pair", "--device", "x", option, bad]).exits(2);
            assert!(ran.stderr.contains(option) && ran.stdout.is_empty(), "{ran:?}");
            // A link that was pasted here by mistake holds a token.
            assert!(!ran.stderr.contains("secret") && !ran.stderr.contains("c2VjcmV0"), "{ran:?}");
        }
    }
    for device in ["", " x", "a\nb", "a\u{202e}b"] {
        home.spl(&["pair", "--device", device]).exits(2);
    }
    home.spl(&["pair"]).exits(2);
    home.spl(&["pair", "--device", "x", "--scopes", "all"]).exits(2);
    assert_eq!(accounts(&home), before);
}

#[test]
fn an_address_that_leads_a_phone_to_itself_is_warned_of() {
    let home = Home::memory();
    let warned = |device: &str, url: &str| {
        let ran = paired(home.spl(&["pair", "--device", device, "--url", url, "--no-qr"])).ran;
        let is_warned = ran.stderr.contains("warning:");
        assert_eq!(is_warned, ran.stderr.contains("--url http://192.168.1.50:"), "the way is shown: {ran:?}");
        is_warned
    };
    let here = home.url();
    for label in ["browser-mobile", "viewer-iPad", "my PHONE", "tablet", "iphone-15", "emitter-android"] {
        assert!(warned(label, &here), "{label}");
        assert!(!warned(label, LAN), "{label}");
    }
    assert!(warned("phone", "http://localhost:9100") && warned("phone", "http://[::1]:9100"));
    assert!(!warned("browser-chrome", &here));
}

#[test]
fn a_device_is_paired_again_in_place_of_its_old_token() {
    let home = Home::memory();
    let first = pair(&home, &["--device", "viewer-tv", "--expires-in", "30d"]);
    let sa = first.token.account.clone();
    let before = accounts(&home);
    let again = pair(&home, &["--device", "viewer-tv", "--sa", &sa]);
    assert_eq!((accounts(&home), &again.token.account), (before, &sa));
    assert_ne!(again.token.text, first.token.text);
    asks(&home, &first.token).refuses(401, "AUTH_INVALID");
    asks(&home, &again.token).is(200);
    assert_eq!(of_terminal(&again.ran.stdout), link(LAN, &payload(LAN, &again.token.text, "viewer-tv")));
    assert!(again.ran.stderr.contains("1 older token"), "{:?}", again.ran);
    assert!(!again.ran.stderr.contains("was not given"), "{:?}", again.ran);
    let caller = identity(&home, &again);
    assert_eq!((&caller["scopes"], &caller["actor"]), (&json!(["records:read"]), &json!(ADMIN)));
    // What the account has stays as it is.
    for option in [["--scopes", "admin"], ["--actors", "did:sync:user:x"], ["--expires-in", "1d"]] {
        home.spl(&[&["pair", "--device", "x", "--sa", &sa], &option[..]].concat()).exits(2);
    }
    let ran = home.spl(&["pair", "--device", "x", "--sa", "sa_0000000000000000"]).exits(1);
    assert!(ran.stderr.contains("SERVICE_ACCOUNT_NOT_FOUND"), "{ran:?}");
    // The account of the command line itself: it goes on, and says what that means.
    let own = pair(&home, &["--device", "browser-x", "--sa", &home.token.account]);
    assert!(own.ran.stderr.contains("has ended with this"), "{:?}", own.ran);
    home.spl(&["thread", "list"]).exits(4);
    asks(&home, &own.token).is(200);
}

#[test]
fn a_lost_device_is_out_and_the_others_are_not() {
    let home = Home::memory();
    let (lost, other) = (pair(&home, &["--device", "phone"]), pair(&home, &["--device", "browser-x"]));
    asks(&home, &lost.token).is(200);
    let list = home.spl(&["service-account", "list"]).ok().stdout;
    assert!(list.contains("phone") && list.contains(&lost.token.account), "{list}");
    // The command as it was shown.
    let step = lost.ran.stderr.lines().find(|line| line.contains("revoke")).expect("a step");
    let words: Vec<&str> = step.split_whitespace().skip(1).take(3).collect();
    home.spl(&words).ok();
    asks(&home, &lost.token).refuses(401, "AUTH_INVALID");
    asks(&home, &other.token).is(200);
    home.spl(&["pair", "--device", "phone", "--url", LAN, "--sa", &lost.token.account]).exits(1);
}

#[test]
fn whoever_has_grants_is_not_lent_to_a_device_by_others() {
    let home = Home::memory();
    let other = home.admin.account(&["did:sync:user:other"], &["admin"]);
    // From a machine of their own: without the local proof that this home would add.
    let elsewhere = Sandbox::new();
    let (url, before) = (home.url(), accounts(&home));
    let run = |token: &Token, options: &[&str]| {
        let args = [&["--server", &url, "pair", "--device", "browser-x", "--url", LAN], options].concat();
        Ran::from(elsewhere.command(&args).env("SPL_TOKEN", &token.text).output().expect("spl runs"), &args)
    };
    let ran = run(&other, &["--actors", ADMIN]).exits(4);
    assert!(ran.stderr.contains("CONSENT_DENIED") && ran.stderr.contains("spl consent grant"), "{ran:?}");
    assert!(ran.stdout.is_empty());
    let ran = run(&other, &["--sa", &home.token.account]).exits(4);
    assert!(ran.stderr.contains("CONSENT_DENIED"), "{ran:?}");
    assert_eq!(accounts(&home), before);
    let theirs = paired(run(&other, &[]));
    assert_eq!(identity(&home, &theirs)["actor"], "did:sync:user:other");
    // The operator whom the instance was made for has that grant, from anywhere.
    assert_eq!(identity(&home, &paired(run(&home.token, &[])))["actor"], ADMIN);
    let reader = home.admin.contributor("did:sync:user:reader");
    let ran = run(&reader, &[]).exits(4);
    assert!(ran.stderr.contains("SCOPE_FORBIDDEN") && ran.stdout.is_empty(), "{ran:?}");
}

/// An instance that answers so to what makes an account or a token.
fn maker(made: impl Fn() -> Vec<u8> + Send + 'static) -> Fake {
    Fake::local(move |request| {
        if request.starts_with("post ") {
            made()
        } else if request.starts_with("get /v1/identity ") {
            json_answer(
                &json!({ "url": "https://spl.example.org", "caller": { "actor": "did:sync:user:a" } }),
            )
        } else {
            error_answer(404, "NOT_FOUND")
        }
    })
}

#[test]
fn one_request_makes_both_and_what_goes_wrong_is_told() {
    let row = json!({ "id": "sa_0123456789abcdef", "actors": ["did:sync:user:a"], "scopes": ["admin"] });
    let with_key = |key: &str| {
        let mut row = row.clone();
        row["api_key"] = key.into();
        row
    };
    let spl = |fake: &Fake, options: &[&str]| {
        let url = fake.url();
        let args = ["--server", &url, "--token", TOKEN, "pair", "--device", "browser-x"];
        Sandbox::new().spl(&[&args, options].concat())
    };
    let whole = with_key(TOKEN);
    let fake = maker(move || status_answer(201, &whole));
    let ran = spl(&fake, &["--no-qr"]).ok();
    assert_eq!(
        ran.json(),
        json!({ "url": "https://spl.example.org", "token": TOKEN, "device": "browser-x" })
    );
    let heard = fake.heard();
    let posts: Vec<&String> = heard.iter().filter(|request| request.starts_with("post ")).collect();
    assert_eq!(posts.len(), 1, "{heard:?}");
    let (head, body) = posts[0].split_once("\r\n\r\n").expect("a body");
    assert!(head.starts_with("post /v1/service-accounts "), "{head}");
    assert_eq!(
        serde_json::from_str::<Value>(body).expect("JSON"),
        json!({ "name": "browser-x", "actors": ["did:sync:user:a"], "scopes": ["admin"], "with_token": true,
            "expires_in_seconds": 7_776_000 })
    );
    // No token came: the next command makes one, and is shown.
    for answer in [row.clone(), with_key(""), with_key("spl\u{1b}[2J")] {
        let ran = spl(&maker(move || status_answer(201, &answer)), &[]).exits(1);
        let again = "spl pair --device browser-x --url https://spl.example.org --sa sa_0123456789abcdef";
        assert!(ran.stderr.contains(again) && ran.stdout.is_empty(), "{ran:?}");
    }
    // Nothing came.
    let ran = spl(&maker(Vec::new), &[]).exits(3);
    assert!(ran.stderr.contains("spl service-account list") && ran.stdout.is_empty(), "{ran:?}");
    // A rotation asks for nothing more than that.
    let rotated = json!({ "id": "sa_0123456789abcdef", "api_key": TOKEN, "revoked": ["00"] });
    let fake = maker(move || json_answer(&rotated));
    spl(&fake, &["--sa", "sa_0123456789abcdef"]).ok();
    let posts = fake.heard().into_iter().filter(|request| request.starts_with("post "));
    let posts: Vec<String> = posts.collect();
    assert!(
        posts.len() == 1 && posts[0].starts_with("post /v1/service-accounts/sa_0123456789abcdef/rotate-key "),
        "{posts:?}"
    );
}

/// Runs `spl` on a terminal with so many columns; gives what it shows, results and notes together.
fn on_terminal(home: &Home, columns: u16, args: &[&str]) -> String {
    const SCRIPT: &str = "\
import fcntl, os, pty, struct, sys, termios
pid, terminal = pty.fork()
if pid == 0:
    fcntl.ioctl(0, termios.TIOCSWINSZ, struct.pack('HHHH', 50, int(sys.argv[1]), 0, 0))
    os.execv(sys.argv[2], sys.argv[2:])
while True:
    try:
        data = os.read(terminal, 65536)
    except OSError:
        break
    if not data:
        break
    os.write(1, data)
sys.exit(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
";
    let spl = home.node.sandbox.command(args);
    let mut command = Command::new("python3");
    command.args(["-c", SCRIPT, &columns.to_string()]).arg(spl.get_program()).args(args).env_clear();
    command
        .env("PATH", "/usr/local/bin:/usr/bin:/bin")
        .stdin(Stdio::null())
        .current_dir(home.node.sandbox.dir());
    command.envs(spl.get_envs().filter_map(|(name, value)| Some((name, value?))));
    command.env("NO_COLOR", "1");
    Ran::from(command.output().expect("python3"), args).ok().stdout.replace('\r', "")
}

#[test]
fn a_terminal_that_is_too_narrow_is_told_how_wide_to_be() {
    let home = Home::memory();
    let args = ["pair", "--device", "browser-chrome", "--url", LAN];
    let shown = on_terminal(&home, 80, &args);
    let link = shown.lines().find(|line| line.contains("/local/pair#")).expect("a link");
    assert_eq!(of_terminal(&shown), link);
    let shown = on_terminal(&home, 40, &args);
    assert!(!shown.contains('█') && shown.contains("  token          spl_prod_"), "{shown}");
    let (_, rest) = shown.split_once("make it ").expect("advice");
    let columns: u16 = rest.split(' ').next().and_then(|n| n.parse().ok()).expect("a number");
    // The very command that is shown, in a terminal just so wide.
    let again = shown.lines().find(|line| line.starts_with("  spl pair ")).expect("a command");
    let words: Vec<&str> = again.split_whitespace().skip(1).collect();
    let before = accounts(&home);
    let shown = on_terminal(&home, columns, &words);
    assert!(of_terminal(&shown).starts_with(&format!("{LAN}/local/pair#")), "{shown}");
    assert_eq!(accounts(&home), before, "the same device");
}
