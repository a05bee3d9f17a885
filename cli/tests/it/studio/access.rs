//! What a browser keeps, where it shows, and how it is given up.

use serde_json::{Value, json};

use super::kit::{ADMIN, Browser, Home, browsers, pair_link};

/// All that the page keeps, as it is kept.
const KEPT: &str = "new Promise((resolve, reject) => {
     const request = indexedDB.open('spl-studio');
     request.onerror = () => reject(request.error);
     request.onsuccess = () => {
       const transaction = request.result.transaction(['profiles', 'kept']);
       const [profiles, key] = [transaction.objectStore('profiles').getAll(), transaction.objectStore('kept').get('key')];
       transaction.oncomplete = () => {
         request.result.close();
         resolve({ profiles: profiles.result.map((p) => JSON.stringify(p) + Object.keys(p.sealed)), extractable: key.result?.extractable ?? null });
       };
     };
   })";

/// Every place where a page could leave a text behind that somebody reads later.
fn traces(browser: &Browser) -> String {
    let script = "return [location.href, document.referrer, document.title, document.documentElement.outerHTML,
        ...[...document.querySelectorAll('input, textarea')].map((e) => e.value), JSON.stringify(history.state), document.cookie,
        JSON.stringify({ ...localStorage }), JSON.stringify({ ...sessionStorage }), window.name,
        ...performance.getEntries().map((e) => e.name)].join('\\n');";
    browser.script(script, Vec::new()).as_str().expect("a text").to_owned()
}

#[test]
fn a_payload_is_dead_once_used_and_leaves_no_trace() {
    let home = Home::memory();
    let [browser] = browsers();
    let token = home.admin.account(&[ADMIN], &["admin"]);
    let link = pair_link(&home, &token);
    let (_, payload) = link.split_once('#').expect("a fragment");
    browser.signs_in(&home, &token);
    home.node.as_token(&token).get("/v1/identity").refuses(401, "AUTH_INVALID");
    let secret = token.text.rsplit('_').next().expect("a secret");
    for path in ["/local/tasks", "/", "/settings/devices", "/local/threads"] {
        browser.goes(&format!("{}{path}", home.url()));
        browser.stands("Connected, secure");
        let traces = traces(&browser);
        for bad in ["spl_prod_", secret, payload] {
            assert!(!traces.contains(bad), "{path}: {bad} is in {traces}");
        }
    }
    let entries = browser.cdp("Page.getNavigationHistory", json!({}));
    let urls: Vec<&Value> =
        entries["entries"].as_array().expect("entries").iter().map(|e| &e["url"]).collect();
    assert!(urls.iter().all(|u| u.as_str().is_some_and(|u| !u.contains('#'))), "{urls:?}");
    let kept = browser.promised(KEPT, Vec::new());
    assert_eq!(kept["profiles"].as_array().map(Vec::len), Some(1), "{kept}");
    assert!(!kept.to_string().contains("spl_prod_") && !kept.to_string().contains("plain"), "{kept}");
    assert_eq!(kept["extractable"], false, "{kept}");
    browser.was_quiet(&[&home.url()], &[]);
}

#[test]
fn a_reload_keeps_the_session_and_another_tab_sees_it_end() {
    let home = Home::memory();
    let [browser] = browsers();
    browser.is_operator(&home);
    browser.reloads();
    browser.stands("Connected, secure");
    browser.opens_tab();
    browser.goes(&format!("{}/settings/devices", home.url()));
    browser.stands("Connected, secure");
    browser.reads("Pair a device");
    browser.script("window.marker = 'here';", Vec::new());
    browser.looks_at_tab(0);
    browser.clicks("Home");
    browser.clicks("Forget");
    browser.stands("Pair required");
    browser.looks_at_tab(1);
    browser.stands("Pair required");
    assert_eq!(browser.value("window.marker"), "here", "without a reload");
    browser.until("!document.body.innerText.includes('Generate pair link')");
    let kept = browser.promised(KEPT, Vec::new());
    assert_eq!(kept["profiles"], json!([]), "{kept}");
    browser.was_quiet(&[&home.url()], &[]);
}

#[test]
fn another_account_is_added_after_a_question_only() {
    let home = Home::memory();
    let [browser] = browsers();
    browser.is_operator(&home);
    let other = home.admin.account(&["did:sync:user:carol"], &["records:read"]);
    browser.goes(&pair_link(&home, &other));
    browser.reads("Another profile is here");
    browser.reads(ADMIN);
    browser.reads("did:sync:user:carol");
    browser.clicks("Keep things as they are");
    browser.is_at("/");
    browser.stands("Connected, secure");
    assert!(!browser.text().contains("carol"), "{}", browser.text());
    home.node.as_token(&other).get("/v1/identity").is(200);
    browser.goes(&pair_link(&home, &other));
    browser.clicks("Add this profile");
    browser.is_at("/local/tasks");
    browser.clicks("Home");
    browser.reads("carol");
    browser.clicks("Switch to it");
    browser.until("[...document.querySelectorAll('li.card')].some((c) => c.innerText.includes('admin ·') && c.innerText.includes('in use'))");
    browser.was_quiet(&[&home.url()], &[]);
}

/// What is kept of the keys that accounts were made for.
const HOLDER_KEYS: &str = "new Promise((resolve, reject) => {
     const request = indexedDB.open('spl-studio');
     request.onerror = () => reject(request.error);
     request.onsuccess = () => {
       const store = request.result.transaction('kept').objectStore('kept');
       const [names, values] = [store.getAllKeys(), store.getAll()];
       store.transaction.oncomplete = () => {
         request.result.close();
         resolve(names.result.flatMap((name, i) => name.startsWith('holder:')
           ? [[name.slice(7), values.result[i].type, values.result[i].algorithm?.name, values.result[i].extractable]] : []));
       };
     };
   })";

#[test]
fn the_key_of_a_guest_cannot_be_taken_out() {
    let home = Home::memory();
    let [phone] = browsers();
    let link = home.issue(&json!({ "device_label": "phone" }));
    phone.pairs(&link, "phone");
    let account = home.row(&link.id)["redemptions"][0]["service_account_id"].clone();
    let kept = phone.promised(HOLDER_KEYS, Vec::new());
    assert_eq!(kept, json!([[account, "private", "Ed25519", false]]), "{kept}");
    phone.goes(&format!("{}/", home.url()));
    phone.clicks("Forget");
    phone.stands("Pair required");
    assert_eq!(phone.promised(HOLDER_KEYS, Vec::new()), json!([]), "it goes with its profile");
}
