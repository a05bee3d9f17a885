//! Pairing a phone, and what the form offers.

use std::{
    io::{BufRead as _, BufReader},
    process::{Command, Stdio},
    time::Duration,
};

use serde_json::{Value, json};

use super::{created, device, listed, opens};
use crate::{federation::kit::Home, raw::now, support::Ran};

const READER: &[&str] = &["records:read"];

fn millis(text: &Value) -> i64 {
    let text = text.as_str().unwrap_or_else(|| panic!("no time: {text}"));
    text.parse::<jiff::Timestamp>().expect("a time").as_millisecond()
}

#[test]
fn the_form_offers_access_levels() {
    let home = Home::memory();
    let scopes = |options: &[&str]| created(&home, options).0["scopes"].clone();
    let contributor = scopes(&["--preset", "contributor"]);
    assert_eq!(scopes(&["--preset", "reader"]), json!(READER));
    assert_eq!(scopes(&["--preset", "admin"]), json!(["admin"]));
    // Admin keys are handed out where somebody asked for it, and only there.
    assert_eq!(scopes(&[]), contributor);
    let names: Vec<&str> = contributor.as_array().expect("scopes").iter().filter_map(Value::as_str).collect();
    assert!(names.contains(&"records:read") && names.contains(&"records:write"), "{names:?}");
    assert!(!names.contains(&"admin"), "{names:?}");
    home.spl(&["invite", "create", "--preset", "owner"]).exits(2);
    home.spl(&["invite", "create", "--preset", "reader", "--scopes", "records:read"]).exits(2);
    // What a level gives is what its bearer can do.
    for (level, reads, writes, administers) in
        [("reader", 200, 403, 403), ("contributor", 200, 201, 403), ("admin", 200, 201, 200)]
    {
        let token = device(&home, &created(&home, &["--preset", level]).1);
        let caller = home.node.as_token(&token);
        let own = caller.get("/v1/identity").is(200).json()["caller"]["actor"].clone();
        let record = json!({ "thread": "t", "actor": own, "act": "PUT", "body": { "level": level } });
        assert_eq!(caller.get("/v1/records?thread=t").status, reads, "{level}");
        assert_eq!(caller.post("/v1/records", &record).status, writes, "{level}");
        assert_eq!(caller.get("/v1/service-accounts").status, administers, "{level}");
    }
}

#[test]
fn the_form_offers_expiries_uses_labels_and_notes() {
    let home = Home::memory();
    for (text, seconds) in [("15m", 900), ("1h", 3600), ("24h", 86_400), ("7d", 604_800)] {
        let (made, _) = created(&home, &["--ttl", text]);
        assert_eq!((millis(&made["expires_at"]) - millis(&made["issued_at"])) / 1000, seconds, "{made}");
        assert_eq!(made["ttl_seconds"], seconds);
    }
    for uses in ["1", "5", "10"] {
        let (made, link) = created(&home, &["--max-uses", uses, "--preset", "reader"]);
        assert_eq!(made["max_uses"].to_string(), uses);
        let count: usize = uses.parse().expect("a number");
        for used in 0..count {
            assert_eq!(home.row(&link.id)["uses_remaining"], count - used);
            device(&home, &link);
        }
        opens(&home, &link).refuses(410, "INVITE_EXHAUSTED");
    }
    assert_eq!(created(&home, &[]).0["max_uses"], 1, "one use is the norm");
    for label in ["iPhone 15", "Alice's laptop", "dev-team-onboard"] {
        assert_eq!(created(&home, &["--device-label", label]).0["device_label"], label);
    }
    // 280 characters, not bytes: for the list and the trail, and for nobody with the link.
    let notes = "é".repeat(280);
    let (made, link) = created(&home, &["--notes", &notes]);
    assert_eq!(made["notes"], notes.as_str());
    let (of_row, trail) = (home.row(&link.id), home.admin.rows("/v1/invites/audit?limit=1000"));
    assert_eq!(of_row["notes"], notes.as_str());
    let of_invite = trail.iter().find(|event| event["invite_id"] == link.id.as_str());
    assert_eq!(of_invite.expect("an event")["notes"], notes.as_str());
    let preview = home.node.anyone().get(&format!("/v1/invites/{}?sig={}", link.id, link.sig)).is(200).text();
    assert!(!preview.contains('é') && !preview.contains("notes"), "{preview}");
    home.spl(&["invite", "create", "--notes", &format!("{notes}x")]).exits(1);
}

#[test]
fn a_generated_link_is_a_code_too() {
    let home = Home::memory();
    let (made, link) = created(&home, &["--device-label", "My phone", "--ttl", "15m"]);
    assert_eq!((&made["qr_payload"], &made["state"]), (&made["redirect_url"], &json!("active")));
    assert!(made["qr_svg"].as_str().is_some_and(|svg| svg.starts_with("<svg")), "{made}");
    assert!(link.url.starts_with(&format!("{}/i/inv_", home.url())), "{}", link.url);
    // One record on the thread of invites, of the kind that is promised.
    let log = home.admin.exported(true);
    let found: Vec<&Value> = log.iter().filter(|r| r["thread"] == "th_invites").collect();
    assert_eq!(found.len(), 1);
    assert_eq!(found[0]["body"]["kind"], "core.invite.v1");
    assert_eq!(found[0]["id"], made["record_id"]);
    assert!(!found[0].to_string().contains(&link.sig), "the signature is in no record");
    // With the link in a file on a terminal's other side there is nothing but the link.
    let ran = home.spl(&["invite", "create"]).ok();
    assert_eq!(ran.stdout.lines().count(), 1, "{ran:?}");
    assert!(home.spl(&["invite", "create", "--qr"]).ok().stdout.lines().count() > 10);
}

/// The phone's side, with what a phone has: the link.
const PHONE: &str = r#"
ORIGIN=${LINK%%/i/*}
REST=${LINK#*/i/}
ID=${REST%%\?*}
SIG=${REST#*sig=}
KEY=$(openssl genpkey -algorithm ed25519 -outform DER | openssl pkey -inform DER -pubout -outform DER |
  tail -c 32 | openssl base64 -A | tr '+/' '-_' | tr -d '=')
curl -sS --fail-with-body -H 'Content-Type: application/json' "$ORIGIN/v1/invites/$ID/redeem?sig=$SIG" \
  -d "{\"holder_type\":\"guest\",\"holder_pubkey\":\"$KEY\",\"holder_label\":\"iPhone 15\"}"
"#;

#[test]
fn a_phone_is_paired_and_its_row_flips_by_itself() {
    let home = Home::disk();
    let (_, link) = created(&home, &["--device-label", "My phone", "--ttl", "15m"]);
    // An operator looks at the list, which is alive: in a shell, and in a page.
    let mut watch = home.node.sandbox.command(&["invite", "watch", "-o", "stream-json", "--for", "2"]);
    let mut watch = watch.stdout(Stdio::piped()).spawn().expect("spl runs");
    let mut lines = BufReader::new(watch.stdout.take().expect("a pipe")).lines();
    let mut next = || {
        let line = lines.next().expect("a line").expect("UTF-8");
        serde_json::from_str::<Value>(&line).unwrap_or_else(|e| panic!("{e}: {line}"))["invite"].clone()
    };
    let shown = next();
    assert_eq!((&shown["invite_id"], &shown["state"]), (&json!(link.id), &json!("active")));
    let mut stream = home.admin.events("/v1/invites/stream");
    let mut row = || loop {
        let event = stream.next();
        if event.name == "invite.updated" {
            return event.json()["invite"].clone();
        }
    };
    assert_eq!(row()["state"], "active");

    let mut phone = Command::new("sh");
    phone
        .args(["-euc", PHONE])
        .env_clear()
        .env("PATH", "/usr/local/bin:/usr/bin:/bin")
        .env("LINK", &link.url);
    let ran = Ran::from(phone.stdin(Stdio::null()).output().expect("sh runs"), &["(the phone)"]).ok();
    let committed = now();
    let given = ran.json();
    for (told, flipped) in [("the page", row()), ("the shell", next())] {
        assert_eq!(flipped["state"], "redeemed", "{told}: {flipped}");
        assert_eq!(flipped["redemptions"][0]["holder_label"], "iPhone 15", "{told}: {flipped}");
        assert_eq!(flipped["redemptions"][0]["live"], true, "{told}: {flipped}");
        let late = committed.elapsed();
        assert!(late < Duration::from_secs(1), "{told} was told {late:?} after the commit");
    }
    assert!(watch.wait().expect("a child").success(), "two lines were asked for");
    // The phone is in, as itself, with what the level gives.
    let phone = home.node.anyone().bearer(given["bearer"].as_str().expect("a bearer"));
    let me = phone.get("/v1/identity").is(200).json();
    assert_eq!(me["caller"]["actor"], given["actor_did"]);
    assert!(
        given["actor_did"].as_str().is_some_and(|did| did.starts_with("did:sync:user:guest:")),
        "{given}"
    );
    let record = json!({ "thread": "notes", "actor": given["actor_did"], "act": "PUT", "body": { "n": 1 } });
    phone.post("/v1/records", &record).is(201);
    phone.get("/v1/invites").refuses(403, "SCOPE_FORBIDDEN");
    let account = given["service_account_id"].as_str().expect("an id");
    let shown = home.spl(&["service-account", "describe", account]).ok().stdout;
    assert!(shown.contains("iPhone 15") || shown.contains("My phone"), "{shown}");
}

#[test]
fn the_table_shows_each_state() {
    let home = Home::memory();
    let (_, active) = created(&home, &[]);
    let (_, redeemed) = created(&home, &[]);
    let (_, exhausted) = created(&home, &["--max-uses", "2"]);
    let (_, revoked) = created(&home, &[]);
    device(&home, &redeemed);
    device(&home, &exhausted);
    device(&home, &exhausted);
    home.spl(&["invite", "revoke", &revoked.id]).ok();
    let states =
        [("active", &active), ("redeemed", &redeemed), ("exhausted", &exhausted), ("revoked", &revoked)];
    let table = home.spl(&["invite", "list"]).ok().stdout;
    for (state, link) in states {
        let rows = listed(&home, state);
        assert_eq!(rows.len(), 1, "{state}: {rows:?}");
        assert_eq!(rows[0]["invite_id"], link.id.as_str(), "{state}");
        let line = table.lines().find(|line| line.contains(&link.id)).unwrap_or_else(|| panic!("{table}"));
        assert!(line.contains(state), "{line}");
        // Links stand beside what can be redeemed, and nowhere else.
        assert_eq!(rows[0].get("redirect_url").is_some(), state == "active", "{state}");
    }
    assert_eq!(listed(&home, "expired"), Vec::<Value>::new());
}
