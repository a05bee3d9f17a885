//! What goes wrong on the way: lost answers, full disks, hostile bodies, odd addresses, more rows than fit, another tab.

use serde_json::{Value, json};

use super::kit::{ADMIN, Browser, Clocked, Home, browsers, pair_link};
use crate::access::kit::record;

/// Nothing can be kept any more.
const FULL: &str =
    "IDBObjectStore.prototype.put = () => { throw new DOMException('no room', 'QuotaExceededError'); };";
/// What the page sends by this path arrives, and its answer does not.
const LOSES_ANSWERS: &str = "const real = fetch; let lost = 0;
    window.fetch = async (path, options) => { const answer = await real(path, options);
      if (path.includes(arguments[0]) && !lost++) throw new TypeError('lost'); return answer; };";

#[track_caller]
fn opens(browser: &Browser, home: &Home, path: &str) {
    browser.goes(&format!("{}{path}", home.url()));
    browser.stands("Connected, secure");
    browser.until("!document.querySelector('[aria-busy]')");
}

#[test]
fn a_lost_answer_of_a_renewal_loses_nothing() {
    let home = Home::memory();
    let [browser] = browsers();
    browser.is_operator(&home);
    opens(&browser, &home, "/settings/devices");
    browser.script(LOSES_ANSWERS, vec![json!("/rotate")]);
    browser.clicks("Renew device");
    browser.reads("Renewed.");
    browser.stands("Connected, secure");
    browser.reloads();
    browser.stands("Connected, secure");
}

#[test]
fn where_nothing_can_be_kept_nothing_is_used_up() {
    let home = Home::memory();
    let [browser] = browsers();
    let link = home.issue(&json!({ "device_label": "phone", "max_uses": 5 }));
    browser.goes(&link.url);
    browser.reads("Pair with this instance");
    browser.script(FULL, Vec::new());
    browser.clicks("Pair with this instance");
    browser.reads("keeps nothing here");
    assert_eq!(home.row(&link.id)["redemptions"], json!([]), "no use of the invite is lost");

    browser.is_operator(&home);
    opens(&browser, &home, "/settings/devices");
    browser.script(FULL, Vec::new());
    browser.clicks("Renew device");
    browser.reads("keeps nothing here");
    browser.reloads();
    browser.stands("Connected, secure");

    // A browser that refuses all of it.
    let script =
        json!({ "source": "indexedDB.open = () => { throw new DOMException('no', 'SecurityError'); };" });
    browser.cdp("Page.addScriptToEvaluateOnNewDocument", script);
    for path in ["/", "/settings/devices", "/local/tasks"] {
        browser.goes(&format!("{}{path}", home.url()));
        browser.stands("This browser keeps nothing");
        browser.until("document.querySelector('main').innerText.trim().length > 10");
    }
    let token = home.admin.account(&[ADMIN], &["admin"]);
    browser.goes(&pair_link(&home, &token));
    browser.reads("keeps nothing here");
    home.node.as_token(&token).get("/v1/identity").is(200);
}

#[test]
fn a_renewal_in_another_tab_disturbs_nobody() {
    let home = Home::memory();
    let [browser] = browsers();
    browser.is_operator(&home);
    opens(&browser, &home, "/settings/devices");
    browser.types("Label", "half typed");
    browser.opens_tab();
    let link = home.issue(&json!({ "device_label": "from another tab" }));
    opens(&browser, &home, "/settings/devices");
    browser.clicks("Renew device");
    browser.reads("Renewed.");
    browser.stands("Connected, secure");
    browser.looks_at_tab(0);
    browser.stands("Connected, secure");
    assert_eq!(browser.field("Label"), "half typed", "what is being typed stays");
    // It is live still, with the token that the other one has made.
    home.admin.post(&format!("/v1/invites/{}/revoke", link.id), &json!({})).is(200);
    browser.until(&format!(
        "document.querySelector('[data-invite=\"{}\"]')?.dataset.state === 'revoked'",
        link.id
    ));
}

#[test]
fn no_record_breaks_a_page() {
    let home = Home::memory();
    let [browser] = browsers();
    home.admin.wrote(&record("odd", ADMIN, json!({ "goal": { "toString": 1 } })));
    browser.is_operator(&home);
    opens(&browser, &home, "/local/threads/odd");
    browser.reads("toString");
    for text in [json!({ "a": 1 }), json!([]), json!(null), json!(7), json!({ "valueOf": "x" })] {
        home.admin.wrote(&record("odd", ADMIN, json!({ "text": text })));
    }
    home.admin.wrote(&record("odd", ADMIN, json!({ "text": "an ordinary one" })));
    browser.reads("an ordinary one");
    browser.reads("7 records");
    assert!(!browser.text().contains("[object"), "{}", browser.text());
    browser.stands("Connected, secure");
    browser.was_quiet(&[&home.url()], &[]);
}

#[test]
fn odd_addresses_lead_to_a_page() {
    let home = Home::memory();
    let [browser] = browsers();
    browser.is_operator(&home);
    for path in ["/local/threads/%E0%A4%A", "/local/threads/%FF", "/i/%E0%A4%A"] {
        browser.goes(&format!("{}{path}", home.url()));
        browser.reads("Nothing is here");
    }
    for path in ["/local/threads/%2e%2e%2f..", "/local/threads/a%2Fb"] {
        browser.goes(&format!("{}{path}", home.url()));
        browser.reads("Nothing here is visible");
    }
    // The link over the page's frame leads into the page, and throws nothing away.
    let link = home.issue(&json!({ "device_label": "phone" }));
    browser.goes(&link.url);
    browser.reads("Pair with this instance");
    browser.script("document.querySelector('.skip').click();", Vec::new());
    browser.until("location.hash === '#main'");
    browser.reads("Pair with this instance");
    assert_eq!(browser.value("document.activeElement.id"), "main");
    opens(&browser, &home, "/settings/devices");
    browser.types("Label", "typed");
    browser.script("document.querySelector('.skip').click();", Vec::new());
    browser.until("location.hash === '#main'");
    assert_eq!(browser.field("Label"), "typed");
    browser.clicks("Audit");
    browser.until("document.activeElement.id === 'activity'");
    browser.clicks("Threads");
    browser.until("document.activeElement.id === 'main'");
}

#[test]
fn a_page_that_could_not_be_read_is_read_when_the_instance_is_back() {
    let mut home = Clocked::new();
    let [browser] = browsers();
    home.admin.wrote(&record("kitchen", ADMIN, json!({ "goal": "tea" })));
    browser.is_operator(&home);
    browser.clicks("Home");
    home.stops();
    browser.clicks("Threads");
    browser.reads("cannot be shown now");
    home.starts();
    browser.reads("kitchen");
    browser.stands("Connected, secure");
}

#[test]
fn what_is_written_while_a_page_is_loaded_is_on_it() {
    let home = Home::memory();
    let [browser] = browsers();
    home.admin.wrote(&record("kitchen", ADMIN, json!({ "goal": "the first" })));
    browser.is_operator(&home);
    // Tabs of a browser without a window never say that they are hidden: the page is told so.
    let hidden = json!({ "source": "Object.defineProperty(document, 'hidden', { get: () => window.away !== false });" });
    browser.cdp("Page.addScriptToEvaluateOnNewDocument", hidden);
    for (path, shown) in
        [("/local/threads/kitchen", "while it was hidden"), ("/local/threads", "another thread")]
    {
        browser.goes(&format!("{}{path}", home.url()));
        browser.stands("Connected, secure");
        home.admin.wrote(&record("kitchen", ADMIN, json!({ "text": "while it was hidden" })));
        home.admin.wrote(&record("another thread", ADMIN, json!({ "text": path })));
        browser.script(
            "window.away = false; document.dispatchEvent(new Event('visibilitychange'));",
            Vec::new(),
        );
        browser.reads(shown);
    }
}

#[test]
fn the_newest_of_many_are_shown_and_it_says_so() {
    let home = Home::memory();
    let [browser] = browsers();
    for n in 0..230 {
        home.admin.wrote(&record("long", ADMIN, json!({ "text": format!("number {n}.") })));
        home.admin.wrote(&record(&format!("thread-{n}"), ADMIN, json!({ "text": "x" })));
    }
    browser.is_operator(&home);
    opens(&browser, &home, "/local/threads/long");
    browser.reads("number 229.");
    browser.reads("the last 200 are here");
    assert!(!browser.text().contains("number 7."));
    home.admin.wrote(&record("long", ADMIN, json!({ "text": "one more" })));
    browser.reads("one more");
    browser.reads("231 records");
    opens(&browser, &home, "/local/threads");
    browser.reads("thread-229");
    browser.reads("The last 200 of");
}

#[test]
fn a_template_keeps_what_the_form_does_not_show() {
    let home = Home::memory();
    let [browser] = browsers();
    let template = json!({ "label": "one thread", "preset": "reader", "scope_target": { "kind": "thread", "thread_id": "music" },
        "ttl_seconds": 172_800, "max_uses": 3, "bearer_ttl_seconds": 3600 });
    let template = home.admin.post("/v1/invite-templates", &template).is(201).json();
    browser.is_operator(&home);
    opens(&browser, &home, "/settings/devices");
    browser.until("document.querySelector('#template')?.options.length === 2");
    browser.chooses("Templates", "one thread");
    browser.reads("Read the thread music only");
    browser.clicks("Generate pair link");
    browser.until("document.querySelector('input[aria-label=\"Pair link\"]')");
    let rows = home.admin.rows("/v1/invites");
    let expected = json!({ "scope_target": { "kind": "thread", "thread_id": "music" }, "max_uses": 3, "ttl_seconds": 172_800,
        "bearer_ttl_seconds": 3600, "template_id": template["template_id"] });
    for (name, value) in expected.as_object().expect("members") {
        assert_eq!(&rows[0][name], value, "{name}");
    }
    assert!(
        rows[0]["scopes"].to_string().contains("read") && !rows[0]["scopes"].to_string().contains("write")
    );
}

#[test]
fn a_refusal_shows_by_itself() {
    let home = Home::memory();
    let [browser] = browsers();
    let link = home.issue(&json!({ "device_label": "for colleagues", "accept_holder_types": ["federated"] }));
    browser.is_operator(&home);
    opens(&browser, &home, "/settings/devices");
    let key = crate::federation::kit::key(71).public().base64url();
    let body = json!({ "holder_type": "guest", "holder_pubkey": key });
    home.node.anyone().post(&link.redeem_at(), &body).refuses(403, "HOLDER_TYPE_MISMATCH");
    browser.reads("Somebody was refused “for colleagues”: holder type mismatch.");
}

#[test]
fn a_scanned_code_is_followed_and_the_camera_let_go() {
    let [home, other] = [Home::memory(), Home::memory()];
    let [phone] = browsers();
    phone.looks_like(super::kit::PHONE, false);
    // There is no camera here, and no reader of codes: both are stood in for, as the browser has them.
    let link = other.issue(&json!({ "device_label": "there" }));
    phone.goes(&format!("{}/", home.url()));
    phone.has("Scan pairing QR");
    phone.script(
        "window.stopped = 0; window.BarcodeDetector = class { async detect() { return window.code ? [{ rawValue: window.code }] : []; } };
         const canvas = document.createElement('canvas'); let frames = 0; setInterval(() => canvas.getContext('2d').fillRect(frames++ % 9, 0, 1, 9), 50);
         Object.defineProperty(navigator, 'mediaDevices', { value: { getUserMedia: async () => {
           const stream = canvas.captureStream(5); const track = stream.getTracks()[0]; const stop = track.stop.bind(track);
           track.stop = () => { window.stopped += 1; stop(); }; return stream; } } });",
        Vec::new(),
    );
    phone.clicks("Scan pairing QR");
    phone.clicks("Stop");
    phone.until("window.stopped >= 1 && !document.querySelector('video')");
    phone.script("window.stopped = 0;", Vec::new());
    phone.clicks("Scan pairing QR");
    phone.script("window.code = arguments[0];", vec![Value::from(link.url.as_str())]);
    phone.reads("This is for another instance");
    phone.until("window.stopped >= 1");
    phone.clicks(&format!("Open {}", other.url()));
    phone.reads("Pair with this instance");
}
