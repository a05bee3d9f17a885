//! Two instances: somebody of the one is let in at the other, by clicks.

use serde_json::json;

use super::kit::{BOB, Home, browsers, pair_link};

#[test]
fn a_colleague_signs_in_with_an_instance_of_their_own() {
    let [alice, bob] = [Home::memory(), Home::memory()];
    let [operator, colleague] = browsers();
    operator.is_operator(&alice);
    operator.clicks("Devices");
    operator.types("Label", "Bob (federated)");
    operator.chooses("Access level", "reader");
    operator.clicks("Advanced");
    assert_eq!(operator.chosen("Accept holder types"), "guest, federated", "it starts at both");
    operator.chooses("Accept holder types", "federated");
    operator.clicks("Generate pair link");
    operator.until("document.querySelector('input[aria-label=\"Pair link\"]')");
    let link = operator.value("document.querySelector('input[aria-label=\"Pair link\"]').value");
    let link = link.as_str().expect("a link").to_owned();

    // Nobody is signed in at home yet: it says so, and nothing is lost.
    colleague.goes(&link);
    colleague.reads("Bob (federated)");
    assert!(!colleague.offers("Pair with this instance"), "guests are not meant");
    colleague.types("Address of your own instance", "::::");
    colleague.clicks("Sign in using which identity?");
    colleague.reads("That is no address");
    colleague.types("Address of your own instance", &bob.url());
    colleague.clicks("Sign in using which identity?");
    colleague.reads("Sign in here first");
    let person = bob.admin.account(&[BOB], &["records:read", "records:write"]);
    colleague.signs_in(&bob, &person);

    colleague.goes(&link);
    colleague.types("Address of your own instance", &bob.url());
    colleague.clicks("Sign in using which identity?");
    colleague.is_at("/pair/federated");
    assert_eq!(colleague.value("location.origin"), bob.url());
    assert_eq!(colleague.value("location.hash"), "", "what it carried is out of the address");
    colleague.until("document.querySelector('h1.origin')");
    assert_eq!(
        colleague.value("document.querySelector('h1').innerText"),
        alice.url(),
        "whom, first and largest"
    );
    colleague.reads(BOB);
    colleague.reads("Read everything there");
    colleague.clicks(&format!("Tell {} who I am", alice.url().trim_start_matches("http://")));
    colleague.until(&format!("location.origin === {}", json!(alice.url())));
    colleague.is_at("/pair/complete");
    assert_eq!(colleague.value("location.search + location.hash"), "");
    colleague.reads(BOB);
    colleague.clicks("Pair with this instance");
    colleague.is_at("/local/tasks");
    colleague.stands("Connected, secure");

    let rows = alice.admin.rows("/v1/invites");
    let redeemed = &rows[0]["redemptions"][0];
    assert_eq!((&redeemed["holder_did"], &redeemed["holder_type"]), (&json!(BOB), &json!("federated")));
    assert_eq!(redeemed["signer_instance_did"], bob.did);
    operator.until("document.querySelector('[data-state=redeemed]')");
    operator.reads("joined");
    operator.until("document.getElementById('activity-list').innerText.includes('vouched for by')");
    operator.was_quiet(&[&alice.url()], &[]);
    colleague.was_quiet(&[&alice.url(), &bob.url()], &[]);
    // At home nothing has changed.
    colleague.goes(&format!("{}/", bob.url()));
    colleague.stands("Connected, secure");
}

#[test]
fn what_a_link_claims_is_not_believed() {
    let home = Home::memory();
    let [browser] = browsers();
    browser.signs_in(&home, &home.admin.account(&[BOB], &["records:read", "records:write"]));
    let with = |value: serde_json::Value| {
        let payload = spl_kernel::identity::encode(value.to_string().as_bytes());
        format!("{}/pair/federated#{payload}", home.url())
    };
    let asked = |issuer: &str, invite: &str| {
        json!({ "invite_id": "inv_0000000000000000", "invite_url": invite, "audience": "did:key:z6Mk", "issuer_url": issuer,
            "scopes": ["records:read"], "expires_at": "2099-01-01T00:00:00Z" })
    };
    for (issuer, invite) in [
        ("http://127.0.0.1:1", "http://127.0.0.2:1/i/inv_0000000000000000?sig=x"),
        ("javascript:alert(1)", "javascript:alert(1)"),
        ("x", "x"),
    ] {
        browser.goes("about:blank");
        browser.goes(&with(asked(issuer, invite)));
        browser.reads("The link is malformed");
    }
    for bad in [json!({}), json!([]), json!({ "invite_id": 5 })] {
        browser.goes("about:blank");
        browser.goes(&with(bad));
        browser.reads("The link is incomplete");
    }
    // Nothing is signed before a click.
    browser.goes("about:blank");
    browser
        .goes(&with(asked("http://127.0.0.1:1/path?x", "http://127.0.0.1:1/i/inv_0000000000000000?sig=x")));
    browser.until("document.querySelector('h1')?.innerText === 'http://127.0.0.1:1'");
    browser.reads("claim");
    let signed = |home: &Home| {
        home.admin.get("/v1/invites/audit?limit=100").is(200).text().contains("attestation_signed")
    };
    assert!(!signed(&home));
    browser.clicks("Cancel");
    browser.is_at("/");
    assert!(!signed(&home));
    browser.was_quiet(&[&home.url(), "about:blank"], &[]);
}

#[test]
fn whoever_has_several_identities_picks_one() {
    let [alice, bob] = [Home::memory(), Home::memory()];
    let [browser] = browsers();
    let invite =
        alice.issue(&json!({ "device_label": "for a colleague", "accept_holder_types": ["federated"] }));
    let scopes = ["records:read", "records:write"];
    browser.signs_in(&bob, &bob.admin.account(&[BOB], &scopes));
    browser.goes(&pair_link(&bob, &bob.admin.account(&["did:sync:user:carol"], &scopes)));
    browser.clicks("Add this profile");
    browser.is_at("/local/tasks");
    // From home: the invite's link is pasted there, and its page knows where to come back to.
    browser.goes(&format!("{}/pair", bob.url()));
    browser.types("Invite link", "nonsense");
    browser.clicks("Go on");
    browser.reads("That is no invite link");
    browser.goes(&format!(
        "{}/pair?invite={}",
        bob.url(),
        invite.url.replace('?', "%3F").replace('=', "%3D")
    ));
    browser.clicks("Go on");
    browser.clicks(&format!("Open {}", alice.url()));
    browser.reads("for a colleague");
    assert_eq!(browser.field("Address of your own instance"), bob.url());
    assert_eq!(browser.value("location.hash"), "");
    browser.clicks("Sign in using which identity?");
    browser.is_at("/pair/federated");
    browser.reads("Sign in using which identity?");
    let checked = "document.querySelector('input[name=profile]:checked').parentElement.innerText";
    browser.until(&format!("{checked}.includes('carol')"));
    browser.script(
        "[...document.querySelectorAll('input[name=profile]')].find((e) => !e.checked).click();",
        Vec::new(),
    );
    browser.until(&format!("{checked}.includes('{BOB}')"));
    browser.clicks(&format!("Tell {} who I am", host_of(&alice.url())));
    browser.is_at("/pair/complete");
    browser.clicks("Pair with this instance");
    browser.is_at("/local/tasks");
    browser.stands("Connected, secure");
    assert_eq!(alice.row(&invite.id)["redemptions"][0]["holder_did"], BOB);
    browser.was_quiet(&[&alice.url(), &bob.url()], &[]);
}

fn host_of(url: &str) -> &str {
    url.trim_start_matches("http://")
}
