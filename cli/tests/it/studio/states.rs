//! Where a browser stands: each state by its name, its colour and what to do next.

use std::time::Duration;

use super::kit::{ADMIN, Browser, Clocked, Home, Node, PHONE, browsers, pair_link};

/// Insists on a state, the colour of its dot, and what is to be read beside it.
#[track_caller]
fn shows(browser: &Browser, label: &str, dot: &str, texts: &[&str]) {
    browser.stands_within(Duration::from_secs(6), label);
    browser.until(&format!("document.querySelector('.status .badge').classList.contains('badge-{dot}')"));
    for text in texts {
        browser.reads(text);
    }
}

#[test]
fn without_tokens_it_says_so() {
    let node = Node::with(&["--memory", "--insecure-localhost"]);
    let [browser] = browsers();
    browser.goes(&format!("http://127.0.0.1:{}/", node.port));
    shows(&browser, "Connected, insecure mode", "warn", &["DEV MODE", "spl serve"]);
    browser.was_quiet(&[&format!("http://127.0.0.1:{}", node.port)], &[]);
}

#[test]
fn before_the_first_account_it_says_what_to_run() {
    let node = Node::memory();
    let [browser] = browsers();
    browser.goes(&format!("http://127.0.0.1:{}/", node.port));
    shows(&browser, "Pair required", "warn", &["spl up"]);
    browser.has("Paste a pairing link");
}

#[test]
fn a_browser_that_comes_and_an_instance_that_goes() {
    let mut home = Clocked::new();
    let url = home.url();
    let [browser] = browsers();
    browser.goes(&format!("{url}/"));
    shows(&browser, "Pair required", "warn", &["spl pair"]);
    browser.clicks("Paste a pairing link");
    let token = home.admin.account(&[ADMIN], &["admin"]);
    browser.types("Pairing link, payload or token", "nonsense");
    browser.clicks("Use it");
    browser.reads("That is no pairing link");
    browser.types("Pairing link, payload or token", &pair_link(&home, &token));
    browser.clicks("Use it");
    browser.is_at("/local/tasks");
    shows(&browser, "Connected, secure", "ok", &[]);

    for path in ["/local/tasks", "/", "/settings/devices"] {
        browser.goes(&format!("{url}{path}"));
        shows(&browser, "Connected, secure", "ok", &[]);
        browser.script("window.marker = 'here';", Vec::new());
        home.stops();
        // It may say that it is trying again before it says that nothing is there.
        shows(&browser, "No instance reachable", "off", &[]);
        home.starts();
        browser.stands("Connected, secure");
        assert_eq!(browser.value("window.marker"), "here", "{path}: without a reload");
    }
    browser.goes(&format!("{url}/"));
    shows(&browser, "Connected, secure", "ok", &[]);
    home.stops();
    shows(&browser, "No instance reachable", "off", &["spl serve --daemon"]);
    browser.has("Paste a pairing link");
    home.starts();
    browser.stands("Connected, secure");

    let accounts = home.admin.rows("/v1/service-accounts?limit=100");
    let account = &accounts.iter().find(|a| a["id"] == token.account.as_str()).expect("an account")["id"];
    let account = account.as_str().expect("an id");
    home.admin.delete(&format!("/v1/service-accounts/{account}")).is(200);
    shows(&browser, "Token expired or revoked", "bad", &["spl pair"]);
    browser.clicks("Re-pair");
    let other = home.admin.account(&[ADMIN], &["admin"]);
    browser.types("Pairing link, payload or token", &other.text);
    browser.clicks("Use it");
    browser.clicks("Add this profile");
    browser.is_at("/local/tasks");
    shows(&browser, "Connected, secure", "ok", &[]);
}

#[test]
fn a_phone_is_welcomed() {
    let home = Home::memory();
    let [phone] = browsers();
    phone.looks_like(PHONE, false);
    phone.goes(&format!("{}/", home.url()));
    shows(
        &phone,
        "Pair required",
        "warn",
        &["Scan pairing QR", "Enter instance URL", "Browse public records"],
    );
    phone.has("Scan pairing QR");
    assert!(!phone.offers("Browse public records"), "in a later release");
    phone.clicks("Scan pairing QR");
    phone.until("/camera/.test(document.querySelector('main').innerText)");
    phone.types("Enter instance URL", "::::");
    phone.clicks("Go there");
    phone.reads("That is no address");
    let other = Home::memory();
    phone.types("Enter instance URL", other.url().trim_start_matches("http://"));
    phone.clicks("Go there");
    phone.until(&format!("location.href === '{}/local'", other.url()));
    phone.was_quiet(&[&home.url(), &other.url()], &[]);
    phone.pairs(&home.issue(&serde_json::json!({})), "My phone");
    phone.goes(&format!("{}/", home.url()));
    phone.stands("Connected, secure");
    assert!(!phone.offers("Scan pairing QR"), "it is paired already");
}

#[test]
fn pages_that_were_left_take_nothing_from_the_next() {
    let home = Home::memory();
    let [browser] = browsers();
    browser.is_operator(&home);
    // A browser opens six connections to a host and no more; a stream takes one for as long as it lives.
    for path in
        ["/settings/devices", "/local/tasks", "/local/threads", "/", "/settings/devices", "/local/tasks"]
    {
        browser.goes(&format!("{}{path}", home.url()));
        shows(&browser, "Connected, secure", "ok", &[]);
        browser.until("!document.querySelector('[aria-busy]')");
    }
}

#[test]
fn many_tabs_are_served_at_once() {
    let home = Home::memory();
    let [browser] = browsers();
    browser.is_operator(&home);
    for _ in 0..7 {
        browser.opens_tab();
        browser.goes(&format!("{}/settings/devices", home.url()));
        shows(&browser, "Connected, secure", "ok", &["Generate pair link"]);
    }
}

#[test]
fn a_token_that_reads_nothing_is_too_narrow() {
    let home = Home::memory();
    let [browser] = browsers();
    let token = home.admin.account(&[ADMIN], &["records:write"]);
    browser.goes(&pair_link(&home, &token));
    browser.is_at("/local/tasks");
    shows(&browser, "Token too narrow", "warn", &["records:read"]);
    browser.clicks("Home");
    shows(&browser, "Token too narrow", "warn", &["spl pair --device browser-chrome --scopes"]);
    browser.has("Re-pair");
    browser.was_quiet(&[&home.url()], &["403"]);
}

#[test]
fn a_program_that_was_replaced_is_told_of() {
    let home = Home::memory();
    let [browser] = browsers();
    browser.is_operator(&home);
    assert!(!browser.text().contains("Another version"));
    // Two versions of the program are not at hand: the answer of the one is changed on its way.
    browser.script(
        "const real = fetch; window.fetch = async (path, options) => path !== '/health' ? real(path, options)
           : new Response(JSON.stringify({ ...await (await real(path, options)).json(), version: '99.0.0' }));",
        Vec::new(),
    );
    browser.clicks("Threads");
    browser.reads("Another version runs now: reload");
    browser.clicks("Another version runs now: reload");
    browser
        .until("document.querySelector('.status') && !document.body.innerText.includes('Another version')");
}

#[test]
fn a_browser_that_refuses_the_connection_is_told_how_to_allow_it() {
    let mut home = Clocked::new();
    let [browser] = browsers();
    browser.goes(&format!("{}/", home.url()));
    shows(&browser, "Pair required", "warn", &[]);
    // What Chrome says where its protection of local networks is on and the person has said no.
    browser.script("navigator.permissions.query = async () => ({ state: 'denied' });", Vec::new());
    home.stops();
    browser.clicks("Threads");
    shows(&browser, "Browser blocked the connection", "off", &[]);
    browser.clicks("Home");
    shows(&browser, "Browser blocked the connection", "off", &["Local network access"]);
    home.starts();
    browser.stands("Pair required");
}

#[test]
fn what_is_pasted_opens_another_instance_after_a_click_only() {
    let [home, other] = [Home::memory(), Home::memory()];
    let [browser] = browsers();
    let link = other.issue(&serde_json::json!({ "device_label": "there" }));
    browser.goes(&format!("{}/", home.url()));
    browser.clicks("Paste a pairing link");
    browser.types("Pairing link, payload or token", &link.url);
    browser.clicks("Use it");
    browser.reads("This is for another instance");
    browser.reads(&other.url());
    browser.was_quiet(&[&home.url()], &[]);
    browser.clicks(&format!("Open {}", other.url()));
    browser.reads("Pair with this instance");
    browser.was_quiet(&[&home.url(), &other.url()], &[]);
}

#[test]
fn a_phone_can_install_it() {
    let home = Home::memory();
    let [phone] = browsers();
    phone.looks_like(PHONE, false);
    phone.goes(&format!("{}/local", home.url()));
    phone.reads("Scan pairing QR");
    let manifest = phone.cdp("Page.getAppManifest", serde_json::json!({}));
    assert_eq!(manifest["errors"], serde_json::json!([]), "{manifest}");
    assert!(
        manifest["url"].as_str().is_some_and(|url| url.ends_with("/studio/manifest.webmanifest")),
        "{manifest}"
    );
    let errors = phone.cdp("Page.getInstallabilityErrors", serde_json::json!({}));
    // A fresh profile without a trace is as private as a window of that kind, to which nothing is installed.
    let errors: Vec<_> = errors["installabilityErrors"]
        .as_array()
        .expect("a list")
        .iter()
        .map(|e| e["errorId"].clone())
        .collect();
    assert!(errors.iter().all(|id| id == "in-incognito"), "{errors:?}");
}
