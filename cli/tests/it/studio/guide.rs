//! The pictures of docs/studio.md: an instance as a person has it, without the extremes that other tests look for.

use serde_json::{Value, json};

use super::kit::{ADMIN, Home, LAPTOP, Link, PHONE, browsers};
use crate::access::kit::record;

/// An instance that somebody has used for a while.
fn furnished() -> (Home, Link) {
    let home = Home::memory();
    home.spl(&["config", "set", "public_url", "https://spl.example.org"]).ok();
    for (act, body) in [
        ("INTEND", json!({ "goal": "Have the kitchen ready by Friday" })),
        ("DO", json!({ "summary": "Ordered the worktop" })),
        ("KNOW", json!({ "text": "Delivery is on Thursday morning" })),
        ("LEARN", json!({ "text": "The left cupboard has to go first" })),
    ] {
        let mut one = record("kitchen", ADMIN, body);
        one["act"] = json!(act);
        home.admin.wrote(&one);
    }
    for goal in ["Call the electrician", "Choose the tiles"] {
        home.spl(&["task", "add", goal]).ok();
    }
    let issue = |body: Value| home.issue(&body);
    let redeems = |link: &Link, n: u8, label: &str| {
        let key = crate::federation::kit::key(n).public().base64url();
        let body = json!({ "holder_type": "guest", "holder_pubkey": key, "holder_label": label });
        home.node.anyone().post(&link.redeem_at(), &body).is(200);
    };
    let lost = issue(json!({ "device_label": "Old phone" }));
    redeems(&lost, 61, "Pixel 6");
    let revoke = format!("/v1/invites/{}/revoke", lost.id);
    home.admin.post(&revoke, &json!({ "reason": "lost on the train" })).is(200);
    let team = issue(
        json!({ "device_label": "dev team", "preset": "reader", "ttl_seconds": 604_800, "max_uses": 5, "notes": "for the new ones" }),
    );
    redeems(&team, 62, "Carol’s laptop");
    redeems(&team, 63, "Dan’s tablet");
    let phone = issue(json!({ "device_label": "My phone", "ttl_seconds": 900 }));
    redeems(&phone, 64, "iPhone 15");
    let open = issue(
        json!({ "device_label": "Kitchen tablet", "ttl_seconds": 86_400, "accept_holder_types": ["*"] }),
    );
    (home, open)
}

#[test]
fn pictures_for_the_guide() {
    let (home, open) = furnished();
    let [laptop, phone] = browsers();
    laptop.is_operator(&home);
    for (size, name) in [(LAPTOP, "desktop"), (PHONE, "phone")] {
        for dark in [false, true] {
            let scheme = if dark { "dark" } else { "light" };
            laptop.looks_like(size, dark);
            for (page, path, ready) in [
                ("home", "/", "Signed in on this browser"),
                ("threads", "/local/threads/kitchen", "Delivery is on Thursday"),
                ("tasks", "/local/tasks", "Call the electrician"),
                ("devices", "/settings/devices", "iPhone 15 joined"),
            ] {
                laptop.goes(&format!("{}{path}", home.url()));
                laptop.reads(ready);
                laptop.until("!document.querySelector('[aria-busy]')");
                laptop.is_photographed(&format!("guide-{page}-{name}-{scheme}"));
            }
        }
    }
    laptop.looks_like(LAPTOP, false);
    laptop.goes(&format!("{}/settings/devices", home.url()));
    laptop.types("Label", "Alice’s laptop");
    laptop.clicks("Generate pair link");
    laptop.until("document.querySelector('img.qr')?.naturalWidth > 0");
    laptop.until("document.getAnimations().every((a) => a.playState !== 'running')");
    laptop.is_photographed("guide-card-desktop-light");
    phone.looks_like(PHONE, false);
    phone.goes(&open.url.replace("https://spl.example.org", &home.url()));
    phone.reads("Pair with this instance");
    phone.is_photographed("guide-invite-phone-light");
    phone.looks_like(PHONE, true);
    phone.goes(&format!("{}/", home.url()));
    phone.reads("Scan pairing QR");
    phone.is_photographed("guide-welcome-phone-dark");
}
