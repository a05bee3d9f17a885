//! Links that lead nowhere any more: each says what happened, and whom to ask for what.

use std::time::Duration;

use serde_json::json;

use super::kit::{Browser, Clocked, Home, PHONE, browsers, pair_link};

/// The page that a link ends at, and that there is nothing on it to click by mistake.
#[track_caller]
fn ends(browser: &Browser, url: &str, title: &str) {
    browser.goes(url);
    browser.until(&format!("document.querySelector('main h1')?.innerText === {}", json!(title)));
    assert!(!browser.offers("Pair with this instance"), "{}", browser.text());
    let text = browser.text();
    let says_what_to_do = ["Ask", "ask", "Open the", "Make another"].iter().any(|w| text.contains(w));
    assert!(says_what_to_do, "{text}");
}

#[test]
fn dead_links_of_invites_say_so() {
    let mut home = Clocked::new();
    let [phone] = browsers();
    phone.looks_like(PHONE, false);
    let expired = home.issue(&json!({ "ttl_seconds": 60 }));
    let long = json!({ "ttl_seconds": 604_800 });
    let revoked = home.issue(&long);
    home.admin.post(&format!("/v1/invites/{}/revoke", revoked.id), &json!({})).is(200);
    let used = home.issue(&long);
    phone.pairs(&used, "first");
    let exhausted = home.issue(&json!({ "ttl_seconds": 604_800, "max_uses": 2 }));
    for n in [11, 12] {
        let key = crate::federation::kit::key(n).public().base64url();
        let body = json!({ "holder_type": "guest", "holder_pubkey": key });
        home.node.anyone().post(&exhausted.redeem_at(), &body).is(200);
    }
    let alive = home.issue(&long);
    home.later(Duration::from_secs(3600));
    ends(&phone, &expired.url, "The invite has expired");
    ends(&phone, &revoked.url, "The invite was revoked");
    ends(&phone, &used.url, "The invite was used");
    ends(&phone, &exhausted.url, "The invite is used up");
    let tampered = alive.url.replace(&alive.sig, &used.sig);
    ends(&phone, &tampered, "The link was changed");
    let (incomplete, _) = alive.url.split_once('?').expect("a query");
    ends(&phone, incomplete, "There is no such invite");
    ends(&phone, &alive.url.replace(&alive.id, "inv_0000000000000000"), "There is no such invite");
    ends(&phone, &alive.url.replace(&alive.id, "nothing"), "There is no such invite");
    // It was looked for while it was stopped.
    phone.was_quiet(&[&home.url()], &["400", "404", "ERR_CONNECTION_REFUSED"]);
    phone.goes(&alive.url);
    phone.reads("Pair with this instance");
}

#[test]
fn an_invite_that_ends_while_it_is_looked_at_says_so() {
    let home = Home::memory();
    let [phone] = browsers();
    phone.looks_like(PHONE, false);
    let link = home.issue(&json!({}));
    phone.goes(&link.url);
    phone.types("Name of this device", "late");
    home.admin.post(&format!("/v1/invites/{}/revoke", link.id), &json!({})).is(200);
    phone.clicks("Pair with this instance");
    phone.until("/revoked/.test(document.querySelector('main').innerText)");
    phone.was_quiet(&[&home.url()], &["410"]);
}

#[test]
fn pairing_links_that_open_nothing_say_so() {
    let home = Home::memory();
    let [browser] = browsers();
    let token = home.admin.account(&[super::kit::ADMIN], &["admin"]);
    let link = pair_link(&home, &token);
    let (_, payload) = link.split_once('#').expect("a fragment");
    let at = |fragment: &str| format!("{}/local/pair#{fragment}", home.url());
    // A page of its own each time: where only the fragment differs nothing is loaded.
    let ends = |browser: &Browser, fragment: &str, title: &str| {
        browser.goes("about:blank");
        ends(browser, &at(fragment), title);
        assert_eq!(browser.value("location.hash"), "", "it is taken out of the address first");
    };
    ends(&browser, "", "The link is incomplete");
    ends(&browser, &payload[..payload.len() - 7], "The link is incomplete");
    ends(&browser, &format!("{payload}="), "The link is incomplete");
    ends(&browser, &format!("{payload}!"), "The link is incomplete");
    let with = |value: serde_json::Value| spl_kernel::identity::encode(value.to_string().as_bytes());
    for bad in [
        json!({ "url": home.url(), "device": "x" }),
        json!({ "url": home.url(), "token": "spl_prod_sa_x_y", "device": "x" }),
        json!({ "url": home.url(), "token": 5, "device": "x" }),
        json!({ "url": "javascript:alert(1)", "token": token.text, "device": "x" }),
        json!({ "url": "", "token": token.text, "device": "x" }),
    ] {
        ends(&browser, &with(bad), "The link is malformed");
    }
    home.admin.delete(&format!("/v1/tokens/{}", token.id)).is(200);
    ends(&browser, payload, "The link is of no use any more");
    // The instance of another address is opened after a click, with all that the link carries.
    let elsewhere = with(json!({ "url": "http://127.0.0.2:1", "token": token.text, "device": "x" }));
    browser.goes("about:blank");
    browser.goes(&at(&elsewhere));
    browser.reads("http://127.0.0.2:1");
    assert!(browser.offers("Open http://127.0.0.2:1"));
    browser.goes(&format!("{}/", home.url()));
    browser.stands("Pair required");
    browser.was_quiet(&[&home.url()], &["401"]);
}
