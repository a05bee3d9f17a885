//! The operator's guide, "pair your phone", on two browsers; and taking it back.

use std::time::Duration;

use serde_json::{Value, json};
use thirtyfour::Key;

use super::kit::{Browser, Home, Link, PHONE, browsers};
use crate::{qr, support::Sandbox, up::Upped};

/// Notes the moment at which an expression becomes true, in the page and by its clock.
fn notes_when(browser: &Browser, expression: &str) {
    let script = format!(
        "window.marker = 'not reloaded'; window.moment = null;
         const look = () => {{ if (!window.moment && ({expression})) window.moment = Date.now(); }};
         new MutationObserver(look).observe(document.body, {{ subtree: true, childList: true, attributes: true, characterData: true }});
         look();"
    );
    browser.script(&script, Vec::new());
}

/// How long after a moment of the instance's that was, in milliseconds.
#[track_caller]
fn noted_after(browser: &Browser, moment: &Value) -> i64 {
    browser.until("window.moment");
    assert_eq!(browser.value("window.marker"), "not reloaded");
    let after = browser.script("return window.moment - Date.parse(arguments[0]);", vec![moment.clone()]);
    after.as_i64().unwrap_or_else(|| panic!("{moment}"))
}

fn row(id: &str) -> String {
    format!("[data-invite=\"{id}\"]")
}

/// The link on the card of what was made.
#[track_caller]
fn made(browser: &Browser) -> Link {
    browser.until("document.querySelector('input[aria-label=\"Pair link\"]')");
    let link = browser.value("document.querySelector('input[aria-label=\"Pair link\"]').value");
    Link::of(link.as_str().expect("a link"))
}

#[test]
fn a_phone_is_paired_and_the_row_flips_within_a_second() {
    let home = Home::memory();
    let [laptop, phone] = browsers();
    laptop.is_operator(&home);
    laptop.clicks("Devices");
    laptop.is_at("/settings/devices");
    laptop.reads("Pair a device");
    for (label, choices) in [
        ("Access level", vec!["reader", "contributor", "admin"]),
        ("Expires in", vec!["15 minutes", "1 hour", "24 hours", "7 days"]),
        ("Max uses", vec!["1", "5", "10"]),
    ] {
        for choice in choices {
            laptop.chooses(label, choice);
            assert_eq!(laptop.chosen(label), choice);
        }
    }
    laptop.reloads();
    laptop.reads("Pair a device");
    assert_eq!(laptop.chosen("Access level"), "contributor", "it takes a decision to hand out more");
    assert_eq!(laptop.chosen("Max uses"), "1");
    laptop.types("Label", "My phone");
    laptop.chooses("Expires in", "15 minutes");
    laptop.clicks("Generate pair link");
    let link = made(&laptop);
    laptop.until("document.querySelector('img.qr').naturalWidth > 0");
    laptop.until("document.querySelector('img.qr').getBoundingClientRect().width >= 240");
    laptop.reads("Waiting for the device");
    assert_eq!(laptop.reads_code("img.qr"), link.url, "the code is the link");
    laptop.looks_like((1280, 900), true);
    assert_eq!(laptop.reads_code("img.qr"), link.url, "in the dark too");
    let beside = "(() => { const [qr, link] = ['img.qr', 'input[aria-label=\"Pair link\"]'].map((s) => document.querySelector(s).getBoundingClientRect());
        return link.left >= qr.right && link.top >= qr.top && link.bottom <= qr.bottom; })()";
    assert_eq!(laptop.value(beside), true, "the code and the link are side by side");
    let issued = home.row(&link.id);
    assert_eq!(issued["scopes"], json!(["records:read", "records:write"]), "{issued}");
    assert_eq!((&issued["max_uses"], &issued["device_label"]), (&json!(1), &json!("My phone")));
    let row = row(&link.id);
    laptop.until(&format!("document.querySelector('{row}')?.dataset.state === 'active'"));
    notes_when(&laptop, &format!("document.querySelector('{row}')?.dataset.state === 'redeemed'"));

    phone.looks_like(PHONE, false);
    phone.goes(&link.url);
    phone.reads("My phone");
    phone.types("Name of this device", "iPhone 15");
    phone.clicks("Pair with this instance");

    let redeemed = wait_for(&home, &link.id, |row| row["redemptions"][0]["at"].is_string());
    let after = noted_after(&laptop, &redeemed["redemptions"][0]["at"]);
    assert!((-5..1000).contains(&after), "the row flipped {after} ms later");
    laptop.reads("iPhone 15 joined just now");
    laptop.until(&format!("document.querySelector('{row}').innerText.includes('Redeemed')"));
    laptop.until("document.getElementById('activity-list').innerText.includes('iPhone 15')");
    laptop.until(
        "document.querySelector('#paired [data-account]')?.parentElement.innerText.includes('iPhone 15')",
    );
    phone.is_at("/local/tasks");
    phone.stands("Connected, secure");
    laptop.was_quiet(&[&home.url()], &[]);
    phone.was_quiet(&[&home.url()], &[]);
}

/// The row of an invite, once it is so.
#[track_caller]
fn wait_for(home: &Home, id: &str, condition: impl Fn(&Value) -> bool) -> Value {
    crate::support::wait_until("the row has changed", || Some(home.row(id)).filter(&condition))
}

#[test]
fn a_phone_that_is_revoked_says_so_within_two_seconds() {
    let home = Home::memory();
    let [laptop, phone] = browsers();
    let link = home.issue(&json!({ "device_label": "My phone" }));
    phone.looks_like(PHONE, false);
    phone.pairs(&link, "iPhone 15");
    laptop.is_operator(&home);
    laptop.clicks("Devices");
    let row = row(&link.id);
    // Where the phone happens to be: each time another page.
    laptop.clicks_in(&row, "Revoke My phone");
    laptop.reads("Revoke access? 1 session ends now.");
    laptop.presses(Key::Escape);
    laptop.until("!document.body.innerText.includes('Revoke access?')");
    assert_eq!(home.row(&link.id)["state"], "redeemed", "Escape keeps it");
    laptop.clicks_in(&row, "Revoke My phone");
    laptop.clicks_in(&row, "Keep");
    laptop.until("!document.body.innerText.includes('Revoke access?')");
    assert_eq!(home.row(&link.id)["state"], "redeemed");
    notes_when(&phone, "document.querySelector('.status').innerText.includes('Token expired or revoked')");
    laptop.clicks_in(&row, "Revoke My phone");
    laptop.clicks_in(&row, "Revoke");
    let revoked = wait_for(&home, &link.id, |row| row["state"] == "revoked");
    let after = noted_after(&phone, &revoked["revoked_at"]);
    assert!((-5..2000).contains(&after), "the phone turned {after} ms later");
    laptop.until(&format!("document.querySelector('{row}')?.dataset.state === 'revoked'"));
    laptop.reads("revoked “My phone”");
    laptop.was_quiet(&[&home.url()], &[]);
    phone.was_quiet(&[&home.url()], &["401"]);
    phone.clicks("Home");
    phone.stands("Token expired or revoked");
    phone.has("Re-pair");
    assert!(phone.value("document.title").as_str().is_some_and(|t| t.contains("Token expired or revoked")));
}

#[test]
fn a_phone_is_turned_away_wherever_it_is() {
    let home = Home::memory();
    let thread =
        home.admin.wrote(&crate::access::kit::record("kitchen", super::kit::ADMIN, json!({ "goal": "tea" })));
    let thread = thread["thread"].as_str().expect("a thread");
    let [phone] = browsers();
    phone.looks_like(PHONE, false);
    for path in
        ["/", "/local/tasks", "/local/threads", "/settings/devices", &format!("/local/threads/{thread}")]
    {
        let link = home.issue(&json!({ "device_label": "My phone" }));
        phone.goes(&link.url);
        phone.types("Name of this device", "iPhone 15");
        phone.clicks("Pair with this instance");
        // The token of before is dead, and there is another account: it is asked.
        phone.until(
            "location.pathname === '/local/tasks' || document.body.innerText.includes('Add this profile')",
        );
        if phone.offers("Add this profile") {
            phone.clicks("Add this profile");
            phone.is_at("/local/tasks");
        }
        phone.stands("Connected, secure");
        phone.goes(&format!("{}{path}", home.url()));
        phone.stands("Connected, secure");
        notes_when(
            &phone,
            "document.querySelector('.status').innerText.includes('Token expired or revoked')",
        );
        home.admin.post(&format!("/v1/invites/{}/revoke", link.id), &json!({})).is(200);
        phone.within(Duration::from_secs(5), "window.moment");
        let after = noted_after(&phone, &home.row(&link.id)["revoked_at"]);
        assert!((-5..2000).contains(&after), "{path}: {after} ms later");
    }
}

#[test]
fn from_nothing_to_a_paired_phone() {
    let upped = Upped(Sandbox::new());
    let [phone] = browsers();
    phone.looks_like(PHONE, false);
    let ran = upped.0.spl(&["up", "--port", "0"]).ok();
    let link_in = |text: &str| {
        let line = text.lines().find_map(|line| line.trim().strip_prefix("studio"));
        line.expect("the way to the pages").trim().to_owned()
    };
    let link = link_in(&ran.stdout);
    assert_eq!(qr::of_terminal(&ran.stdout), link, "the code is the link");
    let start = crate::raw::now();
    phone.goes(&link);
    phone.is_at("/local/tasks");
    phone.stands("Connected, secure");
    phone.clicks("Devices");
    // Whoever made the instance hands out access from here on: every grant is there.
    phone.types("Label", "My phone");
    phone.clicks("Generate pair link");
    let invite = made(&phone);
    assert!(start.elapsed() < Duration::from_secs(60));
    let base = link.split_once("/local/pair#").expect("a link").0;
    assert!(invite.url.starts_with(base));
    phone.was_quiet(&[base], &[]);

    // The link was good for once, and is not made again.
    let [other] = browsers();
    other.goes(&link);
    other.reads("The link is of no use any more");
    let again = upped.0.spl(&["up"]).ok();
    assert_eq!(link_in(&again.stdout), base);
    assert_eq!(qr::of_terminal(&again.stdout), base);
    let accounts = upped.0.spl(&["service-account", "list", "-o", "json"]).ok().json();
    assert_eq!(accounts["data"].as_array().map(Vec::len), Some(2), "{accounts}");
    // What programs read holds no secret.
    let told = upped.0.spl(&["up", "-o", "json"]).ok();
    assert!(!told.stdout.contains("spl_prod_") && !told.stdout.contains("/local/pair"), "{told:?}");
}
