//! What stands on the page of devices: templates, tidying up, renewing, and what it shows to whom.

use std::time::Duration;

use serde_json::{Value, json};

use super::kit::{BOB, Browser, Clocked, Home, browsers};

#[track_caller]
fn opens(browser: &Browser, home: &Home) {
    browser.goes(&format!("{}/settings/devices", home.url()));
    browser.stands("Connected, secure");
}

#[test]
fn a_template_fills_the_form() {
    let home = Home::memory();
    let [browser] = browsers();
    browser.is_operator(&home);
    opens(&browser, &home);
    browser.reads("Pair a device");
    assert_eq!(browser.value("document.querySelector('#template').disabled"), true, "there are none");
    browser.clicks("Save as template");
    browser.reads("A template is kept under its label");
    browser.types("Label", "dev team");
    browser.chooses("Access level", "reader");
    browser.chooses("Expires in", "7 days");
    browser.chooses("Max uses", "5");
    browser.clicks("Advanced");
    browser.chooses("Accept holder types", "guest");
    browser.types("Notes", "for the new ones");
    browser.clicks("Save as template");
    browser.until("document.querySelector('#template')?.options.length === 2");
    browser.reloads();
    browser.until("document.querySelector('#template')?.options.length === 2");
    assert_ne!(browser.field("Label"), "dev team");
    browser.chooses("Templates", "dev team");
    browser.until("document.querySelector('#label').value === 'dev team'");
    assert_eq!(browser.chosen("Access level"), "reader");
    assert_eq!(browser.chosen("Expires in"), "7 days");
    assert_eq!(browser.chosen("Max uses"), "5");
    assert_eq!(browser.chosen("Accept holder types"), "guest");
    assert_eq!(browser.field("Notes"), "for the new ones");
    browser.types("Label", "dev team, May");
    browser.clicks("Generate pair link");
    browser.until("document.querySelector('input[aria-label=\"Pair link\"]')");
    let rows = home.admin.rows("/v1/invites");
    assert_eq!(rows.len(), 1);
    assert_eq!(rows[0]["scopes"], json!(["records:read"]));
    assert_eq!((&rows[0]["max_uses"], &rows[0]["device_label"]), (&json!(5), &json!("dev team, May")));
    assert_eq!(rows[0]["accept_holder_types"], json!(["guest"]));
    browser.was_quiet(&[&home.url()], &[]);
}

#[test]
fn what_is_over_is_cleared_away() {
    let mut home = Clocked::new();
    let long = 604_800;
    let short = home.issue(&json!({ "device_label": "short", "ttl_seconds": 900 }));
    let spent = home.issue(&json!({ "device_label": "spent", "ttl_seconds": long, "max_uses": 2 }));
    let alive = home.issue(&json!({ "device_label": "alive", "ttl_seconds": long }));
    for n in [21, 22] {
        let key = crate::federation::kit::key(n).public().base64url();
        home.node
            .anyone()
            .post(&spent.redeem_at(), &json!({ "holder_type": "guest", "holder_pubkey": key }))
            .is(200);
    }
    home.later(Duration::from_secs(3600));
    let [browser] = browsers();
    browser.is_operator(&home);
    opens(&browser, &home);
    let state = |id: &str| format!("document.querySelector('[data-invite=\"{id}\"]')?.dataset.state");
    browser.until(&format!("{} === 'expired'", state(&short.id)));
    browser.until(&format!("{} === 'exhausted'", state(&spent.id)));
    browser.clicks("Clean up expired");
    browser.until(&format!("{} === 'revoked'", state(&short.id)));
    assert_eq!(home.row(&spent.id)["state"], "exhausted");
    browser.until("!document.body.innerText.includes('Clean up expired')");
    browser.clicks("Clean up used-up");
    browser.until(&format!("{} === 'revoked'", state(&spent.id)));
    browser.until("!document.body.innerText.includes('Clean up')");
    browser.until(&format!("{} === 'active'", state(&alive.id)));
    let live = home.row(&spent.id);
    let live = live["redemptions"].as_array().expect("redemptions");
    assert!(live.iter().all(|one| one["live"] == true), "tidying up takes nothing from anybody");
    browser.was_quiet(&[&home.url()], &[]);
}

/// The tokens of an account, as an admin sees them.
fn tokens(home: &Home, account: &str) -> Vec<Value> {
    let all = home.admin.rows("/v1/tokens?limit=1000");
    all.into_iter().filter(|t| t["service_account_id"] == account).collect()
}

fn live(tokens: &[Value]) -> Vec<String> {
    let live = tokens.iter().filter(|t| t["status"] == "active");
    live.map(|t| t["token_id"].as_str().expect("an id").to_owned()).collect()
}

#[test]
fn a_device_renews_itself() {
    let home = Home::memory();
    let [browser] = browsers();
    let link = home.issue(&json!({ "device_label": "tablet", "bearer_ttl_seconds": 3600 }));
    browser.pairs(&link, "tablet");
    opens(&browser, &home);
    let account = home.row(&link.id)["redemptions"][0]["service_account_id"].clone();
    let account = account.as_str().expect("an account");
    let before = live(&tokens(&home, account));
    assert_eq!(before.len(), 1);
    browser.clicks("Renew device");
    let after = crate::support::wait_until("there is another token", || {
        Some(live(&tokens(&home, account))).filter(|now| *now != before && !now.is_empty())
    });
    assert_eq!(after.len(), 1, "the one before is dead");
    browser.stands("Connected, secure");
    browser.reloads();
    browser.stands("Connected, secure");
    browser.until("document.body.innerText.includes('Renew device')");
    assert_eq!(home.row(&link.id)["redemptions"][0]["live"], true);
    browser.was_quiet(&[&home.url()], &["403"]);
}

#[test]
fn whoever_is_no_operator_sees_its_own_device_and_what_is_missing() {
    let home = Home::memory();
    let [browser] = browsers();
    let link = home.issue(&json!({ "device_label": "tablet" }));
    browser.pairs(&link, "Kitchen tablet");
    opens(&browser, &home);
    for text in
        ["This device", "Kitchen tablet", "Read and write everything here", "The scope admin is missing"]
    {
        browser.reads(text);
    }
    browser.has("Renew device");
    assert!(!browser.offers("Generate pair link") && !browser.text().contains("Issued invites"));
    browser.reads("--scopes admin");
    browser.was_quiet(&[&home.url()], &["403"]);
}

#[test]
fn an_admin_without_the_grant_is_told_which() {
    let home = Home::memory();
    let [browser] = browsers();
    browser.signs_in(&home, &home.admin.account(&[BOB], &["admin"]));
    opens(&browser, &home);
    browser.reads("The consent grant is missing");
    browser.reads("spl consent grant");
    browser.has("Renew device");
    home.admin
        .post("/v1/consent/grants", &json!({ "grantee": BOB, "resource": "th_invites", "access": "write" }))
        .is(201);
    browser.reloads();
    browser.reads("Generate pair link");
    browser.was_quiet(&[&home.url()], &["403"]);
}

#[test]
fn what_somebody_else_issues_shows_by_itself() {
    let home = Home::memory();
    let [browser] = browsers();
    browser.is_operator(&home);
    opens(&browser, &home);
    browser.reads("None yet");
    browser.script("window.marker = 'here';", Vec::new());
    let link = home.issue(&json!({ "device_label": "from the command line" }));
    browser.within(Duration::from_secs(1), "document.body.innerText.includes('from the command line')");
    browser.reads("issued “from the command line”");
    browser.reads("admin issued");
    home.admin.post(&format!("/v1/invites/{}/revoke", link.id), &json!({ "reason": "not needed" })).is(200);
    browser.reads("revoked “from the command line”: not needed");
    assert_eq!(browser.value("window.marker"), "here");
    browser.was_quiet(&[&home.url()], &[]);
}

#[test]
fn a_paired_device_is_seen_and_taken_back() {
    let home = Home::memory();
    let [browser, other] = browsers();
    browser.is_operator(&home);
    opens(&browser, &home);
    browser.reads("this browser");
    // As `spl pair` makes it: an account like any other.
    let token = home.admin.account(&[BOB], &["records:read"]);
    let row = format!("[data-account=\"{}\"]", token.account);
    browser.within(Duration::from_secs(2), &format!("document.querySelector('{row}')"));
    browser.until(&format!("/bob/.test(document.querySelector('{row}').innerText)"));
    other.signs_in(&home, &token);
    browser.clicks_in(&row, &format!("Revoke {}", name_of(&home, &token.account)));
    browser.reads("1 session ends now.");
    browser.clicks_in(&row, "Keep");
    assert_eq!(account(&home, &token.account)["active"], true);
    browser.clicks_in(&row, &format!("Revoke {}", name_of(&home, &token.account)));
    browser.clicks_in(&row, "Revoke");
    other.stands_within(Duration::from_secs(4), "Token expired or revoked");
    browser.until(&format!("!document.querySelector('{row}')"));
    assert_eq!(account(&home, &token.account)["active"], false);
    browser.was_quiet(&[&home.url()], &[]);
}

fn account(home: &Home, id: &str) -> Value {
    home.admin.get(&format!("/v1/service-accounts/{id}")).is(200).json()
}

fn name_of(home: &Home, id: &str) -> String {
    account(home, id)["name"].as_str().expect("a name").to_owned()
}

#[test]
fn what_changes_elsewhere_leaves_an_open_question_alone() {
    let home = Home::memory();
    let [browser] = browsers();
    let link = home.issue(&json!({ "device_label": "asked about" }));
    browser.is_operator(&home);
    opens(&browser, &home);
    let row = format!("[data-invite=\"{}\"]", link.id);
    browser.clicks_in(&row, "Revoke asked about");
    browser.until("document.activeElement.textContent === 'Revoke'");
    home.issue(&json!({ "device_label": "another" }));
    browser.until("[...document.querySelectorAll('#invites .row')].length === 2");
    assert_eq!(browser.value("document.activeElement.textContent"), "Revoke", "it is still being asked");
    browser.clicks_in(&row, "Revoke");
    browser.until(&format!("document.querySelector('{row}').dataset.state === 'revoked'"));
}
