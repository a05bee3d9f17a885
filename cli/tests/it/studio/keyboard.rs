//! Without a mouse: everything is reached by Tab and done by Enter.

use serde_json::json;
use thirtyfour::Key;

use super::kit::{Browser, Home, PHONE, browsers};

/// Goes on by Tab until what has the focus is called so. It has to be seen there.
#[track_caller]
fn tabs_to(browser: &Browser, name: &str) {
    let focused = "(() => { const e = document.activeElement;
        return [e.labels?.[0]?.textContent, e.getAttribute('aria-label'), ['INPUT', 'SELECT', 'TEXTAREA'].includes(e.tagName) ? null : e.textContent]
          .filter(Boolean).map((t) => t.trim()); })()";
    let mut passed = Vec::new();
    for _ in 0..80 {
        browser.presses(Key::Tab);
        let names = browser.value(focused);
        if names.as_array().is_some_and(|names| names.contains(&json!(name))) {
            let ring = browser.value(
                "(() => { const s = getComputedStyle(document.activeElement); return s.outlineStyle !== 'none' && parseFloat(s.outlineWidth) >= 2; })()",
            );
            assert_eq!(ring, true, "the focus is to be seen on {name}");
            return;
        }
        passed.push(names);
    }
    panic!("Tab never gets to {name}: {passed:?}");
}

#[test]
fn an_invite_is_issued_taken_and_revoked_by_keys_alone() {
    let home = Home::memory();
    let [operator, phone] = browsers();
    operator.is_operator(&home);
    tabs_to(&operator, "Skip to content");
    tabs_to(&operator, "Devices");
    operator.presses(Key::Enter);
    operator.is_at("/settings/devices");
    operator.reads("Generate pair link");
    tabs_to(&operator, "Label");
    operator.enters("Kitchen tablet");
    tabs_to(&operator, "Access level");
    operator.enters("reader");
    tabs_to(&operator, "Expires in");
    operator.enters("24");
    tabs_to(&operator, "Max uses");
    operator.enters("5");
    tabs_to(&operator, "Advanced");
    operator.presses(Key::Enter);
    tabs_to(&operator, "Notes");
    operator.enters("beside the kettle");
    tabs_to(&operator, "Generate pair link");
    operator.presses(Key::Enter);
    operator.until("document.querySelector('input[aria-label=\"Pair link\"]')");
    let rows = home.admin.rows("/v1/invites");
    let row = &rows[0];
    assert_eq!((&row["device_label"], &row["max_uses"]), (&json!("Kitchen tablet"), &json!(5)), "{row}");
    assert_eq!(
        (&row["scopes"], &row["notes"]),
        (&json!(["records:read"]), &json!("beside the kettle")),
        "{row}"
    );
    tabs_to(&operator, "Pair link");
    tabs_to(&operator, "Copy link");

    phone.looks_like(PHONE, false);
    let link = row["redirect_url"].as_str().expect("a link");
    phone.goes(link);
    phone.reads("Pair with this instance");
    tabs_to(&phone, "Name of this device");
    phone.enters("tablet");
    tabs_to(&phone, "Pair with this instance");
    phone.presses(Key::Enter);
    phone.is_at("/local/tasks");

    operator.reads("joined");
    tabs_to(&operator, "Revoke Kitchen tablet");
    operator.presses(Key::Enter);
    operator.until("document.activeElement.textContent === 'Revoke'");
    operator.presses(Key::Escape);
    operator.until("document.activeElement.getAttribute('aria-label') === 'Revoke Kitchen tablet'");
    operator.presses(Key::Enter);
    operator.until("document.activeElement.textContent === 'Revoke'");
    operator.presses(Key::Enter);
    operator.until("document.querySelector('[data-state=revoked]')");
    phone.stands("Token expired or revoked");
}

#[test]
fn enter_submits_what_is_typed_and_errors_take_the_focus() {
    let home = Home::memory();
    let [browser] = browsers();
    browser.is_operator(&home);
    browser.clicks("Devices");
    browser.reads("Generate pair link");
    browser.types("Label", "first");
    browser.presses(Key::Enter);
    browser.until("document.querySelector('input[aria-label=\"Pair link\"]')");
    assert_eq!(home.admin.rows("/v1/invites").len(), 1);
    browser.clicks("Pair another");
    browser.types("Label", "");
    browser.clicks("Save as template");
    browser.until("document.activeElement.id === 'label'");
}
