//! What may not happen on a page: text that turns into markup, a policy that is broken, a word to anybody else.

use serde_json::json;

use super::kit::{ADMIN, Browser, Home, LAPTOP, PHONE, browsers};

/// What somebody writes who means no good. Each would set `window.hit`.
const HOSTILE: [&str; 4] = [
    "<img src=x onerror=window.hit=1>",
    "<script>window.hit=1</script><svg onload=window.hit=1>",
    "\"'><iframe srcdoc='<script>parent.hit=1</script>'></iframe>",
    "javascript:window.hit=1//{{constructor.constructor('window.hit=1')()}}",
];

#[track_caller]
fn is_harmless(browser: &Browser, texts: &[&str]) {
    for text in texts {
        browser.until(&format!("document.body.textContent.includes({0}) || [...document.querySelectorAll('input, textarea')].some((e) => e.value.includes({0}))", json!(text)));
    }
    let made = browser.value(
        "[window.hit ?? null, document.querySelectorAll('main img:not(.qr), main iframe, main script, main svg:not(.icon)').length,
          [...document.querySelectorAll('a[href]')].filter((a) => !['http:', 'https:'].includes(a.protocol)).length]",
    );
    assert_eq!(made, json!([null, 0, 0]), "{}", browser.path());
}

#[test]
fn texts_of_records_are_texts() {
    let home = Home::memory();
    let [browser] = browsers();
    browser.is_operator(&home);
    let [first, second, third, fourth] = HOSTILE;
    for (n, text) in HOSTILE.iter().enumerate() {
        let opened =
            crate::access::kit::record(&format!("hostile {n} {text}"), ADMIN, json!({ "goal": text }));
        // Whatever an instance takes as a name is to be shown.
        let _ = home.admin.post("/v1/records", &opened);
        let thread = format!("th_hostile_{n}");
        home.admin.wrote(&crate::access::kit::record(&thread, ADMIN, json!({ "goal": text })));
        home.admin.wrote(&crate::access::kit::record(&thread, ADMIN, json!({ "text": text })));
        home.admin.wrote(&crate::access::kit::record(&thread, ADMIN, json!({ "odd": text, "deep": [text] })));
    }
    let link = home.issue(&json!({ "device_label": first, "notes": second, "max_uses": 2 }));
    let key = crate::federation::kit::key(31).public().base64url();
    let body = json!({ "holder_type": "guest", "holder_pubkey": key, "holder_label": third });
    home.node.anyone().post(&link.redeem_at(), &body).is(200);
    let template = json!({ "label": fourth, "preset": "reader", "device_label": first, "notes": third });
    home.admin.post("/v1/invite-templates", &template).is(201);
    let other = home.issue(&json!({ "device_label": fourth }));
    home.admin.post(&format!("/v1/invites/{}/revoke", other.id), &json!({ "reason": second })).is(200);

    browser.goes(&format!("{}/settings/devices", home.url()));
    is_harmless(&browser, &HOSTILE);
    browser.until("document.querySelector('#template')");
    browser.chooses("Templates", fourth);
    is_harmless(&browser, &[first, third]);
    browser.clicks("Generate pair link");
    browser.until("document.querySelector('img.qr')");
    is_harmless(&browser, &HOSTILE);
    for n in 0..HOSTILE.len() {
        browser.goes(&format!("{}/local/threads/th_hostile_{n}", home.url()));
        is_harmless(&browser, &HOSTILE[n..=n]);
        // What comes while somebody looks takes another way onto the page.
        let text = format!("late {}", HOSTILE[n]);
        home.admin.wrote(&crate::access::kit::record(
            &format!("th_hostile_{n}"),
            ADMIN,
            json!({ "text": text }),
        ));
        is_harmless(&browser, &[&text]);
    }
    browser.goes(&format!("{}/local/threads", home.url()));
    is_harmless(&browser, &["th_hostile_0"]);
    browser.goes(&link.url);
    is_harmless(&browser, &[first]);
    browser.was_quiet(&[&home.url()], &[]);
}

#[test]
fn a_policy_that_is_broken_would_be_seen() {
    // That the other tests find nothing says something only if there would be something to find.
    let home = Home::memory();
    let [browser] = browsers();
    browser.goes(&format!("{}/", home.url()));
    browser.stands("Pair required");
    browser.was_quiet(&[&home.url()], &[]);
    let attempts = "const image = new Image(); image.src = 'http://127.0.0.1:1/x.png'; document.body.append(image);
        const inline = document.createElement('style'); inline.textContent = 'p { color: red }'; document.head.append(inline);
        fetch('http://127.0.0.1:1/').catch(() => {});
        let markup = 'set'; try { document.body.insertAdjacentHTML('beforeend', '<i>x</i>'); } catch { markup = 'refused'; }
        return markup;";
    assert_eq!(browser.script(attempts, Vec::new()), "refused");
    for directive in ["img-src", "style-src-elem", "connect-src", "require-trusted-types-for"] {
        crate::support::wait_until(directive, || {
            let said = browser.console();
            said.iter().any(|(_, m)| m.contains("VIOLATION") && m.contains(directive)).then_some(())
        });
    }
}

#[test]
fn every_page_keeps_to_the_policy_and_to_its_own_host() {
    let home = Home::memory();
    home.admin.wrote(&crate::access::kit::record("kitchen", ADMIN, json!({ "goal": "tea" })));
    let link = home.issue(&json!({ "accept_holder_types": ["*"] }));
    let [browser] = browsers();
    let paths = |link: &str| {
        [
            "/",
            "/local",
            "/local/dashboard",
            "/local/tasks",
            "/local/threads",
            "/local/threads/kitchen",
            "/settings/devices",
            "/local/pair",
            "/pair",
            "/pair/federated",
            "/pair/complete",
            "/settings/devices#activity",
        ]
        .map(|path| format!("{}{path}", home.url()))
        .into_iter()
        .chain([link.to_owned()])
        .collect::<Vec<_>>()
    };
    for signed_in in [false, true] {
        if signed_in {
            browser.is_operator(&home);
        }
        for size in [LAPTOP, PHONE] {
            browser.looks_like(size, false);
            for url in paths(&link.url) {
                browser.goes(&url);
                browser.stands(if signed_in { "Connected, secure" } else { "Pair required" });
                browser.until("!document.querySelector('[aria-busy]') && document.querySelector('main h1')");
            }
        }
    }
    browser.was_quiet(&[&home.url()], &["401", "403"]);
}
