//! A phone on the same network: plain http to an address that is not this machine's loopback, where browsers offer pages
//! no encryption of their own.

use serde_json::{Value, json};

use super::kit::{ADMIN, Browser, Home, Node, PHONE, browsers};
use crate::namespace::runs_inside;

/// An address of this machine on its network.
const HERE: &str = "192.168.1.1";

#[test]
fn a_phone_on_the_same_network_is_paired_over_plain_http() {
    runs_inside("studio::lan::inside", &[]);
}

/// What the page keeps of its profiles.
const KEPT: &str = "new Promise((resolve, reject) => {
     const request = indexedDB.open('spl-studio');
     request.onerror = () => reject(request.error);
     request.onsuccess = () => {
       const all = request.result.transaction('profiles').objectStore('profiles').getAll();
       all.onsuccess = () => { request.result.close(); resolve(all.result.map((p) => [p.device, Object.keys(p.sealed)])); };
     };
   })";

fn is_plain(browser: &Browser) {
    assert_eq!(browser.value("[isSecureContext, typeof crypto.subtle]"), json!([false, "undefined"]));
}

#[test]
#[ignore = "run by the test above, in a network of its own"]
fn inside() {
    let node = Node::with(&["--memory", "--host", HERE]);
    let url = format!("http://{HERE}:{}", node.port);
    let token = node.bootstrap();
    node.sandbox.spl(&["token", "save", &token.text]).ok();
    node.sandbox.spl(&["config", "set", "public_url", &url]).ok();
    let admin = node.as_token(&token);
    let [phone] = browsers();
    phone.looks_like(PHONE, false);

    // Nobody is signed in: a welcome, which looks for nothing on the phone itself.
    phone.goes(&format!("{url}/"));
    phone.stands("Pair required");
    is_plain(&phone);
    for text in ["Welcome", "Scan pairing QR", "Enter instance URL", "Browse public records"] {
        phone.reads(text);
    }

    // The link of an invite, as the camera opens it.
    let made = admin.post("/v1/invites", &json!({ "device_label": "My phone" })).is(201).json();
    let link = made["redirect_url"].as_str().expect("a link");
    assert!(link.starts_with(&url) && made["warnings"] == json!([]), "{made}");
    phone.goes(link);
    is_plain(&phone);
    phone.types("Name of this device", "iPhone 15");
    phone.clicks("Pair with this instance");
    phone.is_at("/pair/complete");
    phone.reads("Kept unencrypted");
    phone.reads("https");
    assert_eq!(phone.promised(KEPT, Vec::new()), json!([["iPhone 15", ["plain"]]]));
    phone.clicks("Go on");
    phone.is_at("/local/tasks");
    phone.stands("Connected, secure");
    phone.reloads();
    phone.stands("Connected, secure");
    leaves_no_trace(&phone);
    let rows = admin.rows("/v1/invites?limit=10");
    assert_eq!((&rows[0]["state"], &rows[0]["redemptions"][0]["live"]), (&json!("redeemed"), &json!(true)));

    // A token's id is its SHA-256, which the page makes by itself here.
    phone.goes(&format!("{url}/settings/devices"));
    phone.clicks("Renew device");
    let first = rows[0]["redemptions"][0]["token_id"].clone();
    crate::support::wait_until("there is another token", || {
        let rows = admin.rows("/v1/invites?limit=10");
        (rows[0]["redemptions"][0]["token_id"] != first).then_some(())
    });
    phone.stands("Connected, secure");

    // A stored profile is opened at once.
    phone.goes(&format!("{url}/local"));
    phone.is_at("/local/tasks");
    phone.goes(&format!("{url}/"));
    phone.reads("Kept unencrypted");
    phone.clicks("Forget");
    phone.stands("Pair required");

    // What `spl pair` makes for it.
    let other = admin.account(&[ADMIN], &["records:read"]);
    let payload = json!({ "url": url, "token": other.text, "device": "browser-mobile" });
    let payload = spl_kernel::identity::encode(payload.to_string().as_bytes());
    phone.goes(&format!("{url}/local/pair#{payload}"));
    phone.reads("Kept unencrypted");
    phone.clicks("Go on");
    phone.stands("Connected, secure");
    node.as_token(&other).get("/v1/identity").refuses(401, "AUTH_INVALID");
    leaves_no_trace(&phone);
    phone.was_quiet(&[&url], &["403"]);
}

/// No token is in an address, in the page, or in what the page has asked for.
#[track_caller]
fn leaves_no_trace(browser: &Browser) {
    let script = "return [location.href, document.documentElement.outerHTML, JSON.stringify(history.state),
        JSON.stringify({ ...localStorage }), ...performance.getEntries().map((e) => e.name)].join('\\n');";
    let text = browser.script(script, Vec::new());
    assert!(!text.as_str().expect("a text").contains("spl_prod_"), "{text}");
    let history = browser.cdp("Page.getNavigationHistory", json!({}));
    let urls: Vec<&Value> =
        history["entries"].as_array().expect("entries").iter().map(|e| &e["url"]).collect();
    assert!(urls.iter().all(|u| u.as_str().is_some_and(|u| !u.contains('#'))), "{urls:?}");
}

#[test]
fn the_bundled_keys_and_hashes_are_those_of_the_browser() {
    let home = Home::memory();
    let [browser] = browsers();
    browser.goes(&format!("{}/", home.url()));
    browser.stands("Pair required");
    let wrong = browser.promised(
        "(async () => {
           const [{ publicKey }, { sha256 }, { toHex }] = await Promise.all(['ed25519', 'hash', 'bytes'].map((m) => import(`/studio/${m}.js`)));
           const wrong = [];
           const prefix = [0x30, 0x2e, 2, 1, 0, 0x30, 5, 6, 3, 0x2b, 0x65, 0x70, 4, 0x22, 4, 0x20];
           for (let i = 0; i < 64; i += 1) {
             // The first are the seeds of all zeros and all ones; the others are drawn.
             const seed = i < 2 ? new Uint8Array(32).fill(i * 255) : crypto.getRandomValues(new Uint8Array(32));
             const key = await crypto.subtle.importKey('pkcs8', new Uint8Array([...prefix, ...seed]), 'Ed25519', true, ['sign']);
             const { x } = await crypto.subtle.exportKey('jwk', key);
             const own = btoa(String.fromCharCode(...publicKey(seed))).replaceAll('+', '-').replaceAll('/', '_').replaceAll('=', '');
             if (own !== x) wrong.push(['key', toHex(seed), own, x]);
             // Around the ends of blocks, and beyond.
             const bytes = crypto.getRandomValues(new Uint8Array(i < 20 ? 50 + i : i * 5));
             const hash = toHex(new Uint8Array(await crypto.subtle.digest('SHA-256', bytes)));
             if (toHex(sha256(bytes)) !== hash) wrong.push(['hash', toHex(bytes)]);
           }
           return wrong;
         })()",
        Vec::new(),
    );
    assert_eq!(wrong, json!([]));
}
