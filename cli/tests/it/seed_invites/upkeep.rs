//! Afterwards: taking back, tidying up, what is on the trail, renewing, and templates.

use std::time::Duration;

use serde_json::{Value, json};

use super::{created, device, key, listed, lives, opens};
use crate::{
    access::kit::{ADMIN, Token, sha256},
    federation::kit::{Home, now_ms, vouched},
};

const HOUR: Duration = Duration::from_secs(3600);

#[test]
fn one_is_taken_back_and_twice_is_once() {
    let home = Home::disk();
    let (_, link) = created(&home, &["--max-uses", "5", "--device-label", "lost phone"]);
    let tokens = [device(&home, &link), device(&home, &link)];
    let other = device(&home, &created(&home, &[]).1);
    let mut stream = home.node.as_token(&tokens[0]).events("/v1/events/stream");
    assert_eq!(stream.next().name, "heartbeat");
    let ran = home.spl(&["invite", "revoke", &link.id, "--reason", "phone lost"]).ok();
    assert!(ran.stdout.contains("2 "), "it says how many it ended: {ran:?}");
    assert!(tokens.iter().all(|token| !lives(&home, token)) && lives(&home, &other));
    crate::access::kit::until_end(&mut stream);
    opens(&home, &link).refuses(410, "INVITE_REVOKED");
    let before = home.admin.head();
    let again = home.spl(&["invite", "revoke", &link.id, "-o", "json"]).ok().json();
    assert_eq!((&again["status"], &again["bearers_revoked"]), (&json!("already_revoked"), &json!(0)));
    assert_eq!(home.admin.head(), before, "the second time writes nothing");
    let page = home.admin.get(&format!("/v1/invites/{}?sig={}", link.id, link.sig)).is(200).json();
    assert_eq!((&page["state"], &page["revoked"]), (&json!("revoked"), &json!(true)));
}

#[test]
fn the_expired_and_the_used_up_are_cleared_away() {
    let mut home = Home::disk();
    let (_, short) = created(&home, &["--ttl", "15m", "--max-uses", "5"]);
    let (_, hour) = created(&home, &["--ttl", "1h"]);
    let (_, long) = created(&home, &["--ttl", "7d"]);
    let (_, spent) = created(&home, &["--ttl", "7d", "--max-uses", "2"]);
    let (_, one_shot) = created(&home, &["--ttl", "15m"]);
    let bearers =
        [device(&home, &short), device(&home, &spent), device(&home, &spent), device(&home, &one_shot)];
    home.later(2 * HOUR);
    let ids = |rows: Vec<Value>| {
        let mut ids: Vec<String> =
            rows.iter().filter_map(|r| r["invite_id"].as_str().map(str::to_owned)).collect();
        ids.sort();
        ids
    };
    let sorted = |mut ids: Vec<String>| {
        ids.sort();
        ids
    };
    assert_eq!(ids(listed(&home, "expired")), sorted(vec![short.id.clone(), hour.id.clone()]));
    opens(&home, &short).refuses(410, "INVITE_EXPIRED");
    // A row without uses is not expired: it was used.
    assert_eq!(ids(listed(&home, "redeemed")), std::slice::from_ref(&one_shot.id));

    let before = home.admin.head();
    let cleared =
        home.spl(&["invite", "bulk-revoke", "expired", "--reason", "tidy", "-o", "json"]).ok().json();
    assert_eq!((&cleared["revoked_count"], &cleared["bearers_revoked"]), (&json!(2), &json!(0)), "{cleared}");
    let log = home.admin.exported(true);
    let written: Vec<&Value> = log.iter().filter(|r| r["sequence"].as_u64() > Some(before)).collect();
    assert_eq!(written.len(), 4, "two events and their mirrors");
    assert!(written.iter().all(|r| r["created_at"] == written[0]["created_at"]), "in one commit");
    let cleared = home.spl(&["invite", "bulk-revoke", "exhausted", "-o", "json"]).ok().json();
    assert_eq!(cleared["invite_ids"], json!([spent.id]), "{cleared}");
    assert_eq!(listed(&home, "revoked").len(), 3);
    assert_eq!(ids(listed(&home, "active")), std::slice::from_ref(&long.id), "what stands is left alone");
    for token in &bearers {
        assert!(lives(&home, token), "tidying up takes nothing from anybody");
    }
    let nothing = home.spl(&["invite", "bulk-revoke", "expired", "-o", "json"]).ok().json();
    assert_eq!(nothing["revoked_count"], 0);
    // Taking back still works on what was cleared away, as long as somebody lives who came by it.
    assert_eq!(home.spl(&["invite", "revoke", &short.id, "-o", "json"]).ok().json()["bearers_revoked"], 1);
    assert!(!lives(&home, &bearers[0]) && lives(&home, &bearers[1]));
}

/// Redeems as somebody of another instance, with a few members changed.
#[track_caller]
fn refused(
    home: &Home,
    link: &crate::federation::kit::Link,
    holder: &str,
    change: impl Fn(&mut Value),
    code: &str,
) {
    let signer = key();
    let did = signer.public().did();
    let mut body = vouched(home, link, (&did, &signer), holder);
    change(&mut body);
    home.node
        .anyone()
        .post(&link.redeem_at(), &body)
        .refuses(if code.starts_with("INVITE") { 410 } else { 403 }, code);
}

#[test]
fn the_trail_says_who_and_why() {
    let mut home = Home::disk();
    let dora = "did:sync:user:dora";
    let (_, open) = created(&home, &["--accept", "federated", "--device-label", "Bob", "--notes", "for Bob"]);
    let (_, guests) = created(&home, &["--accept", "guest"]);
    let (_, short) = created(&home, &["--ttl", "15m"]);
    let (_, gone) = created(&home, &[]);
    refused(&home, &guests, dora, |_| {}, "HOLDER_TYPE_MISMATCH");
    refused(&home, &open, dora, |b| b["holder_proof"] = Value::Null, "BAD_PROOF");
    refused(&home, &open, dora, |b| b["holder_did"] = json!("did:sync:user:eve"), "BAD_PROOF");
    refused(&home, &open, dora, |b| b["signer_instance_did"] = json!("did:sync:instance:x"), "KEY_UNKNOWN");
    refused(&home, &open, ADMIN, |_| {}, "DID_CLAIM_DENIED");
    let old = |b: &mut Value| b["holder_proof_issued_at_ms"] = json!(now_ms() - 61_000);
    refused(&home, &open, dora, old, "FRESHNESS_VIOLATION");
    refused(
        &home,
        &open,
        dora,
        |b| b["holder_proof_issued_at_ms"] = json!(now_ms() + 90_000),
        "FRESHNESS_VIOLATION",
    );
    let bob = "did:sync:user:bob";
    let signer = key();
    let signer_did = signer.public().did();
    home.node.anyone().post(&open.redeem_at(), &vouched(&home, &open, (&signer_did, &signer), bob)).is(200);
    refused(&home, &open, dora, |_| {}, "INVITE_EXHAUSTED");
    home.spl(&["invite", "revoke", &gone.id, "--reason", "wrong person"]).ok();
    opens(&home, &gone).refuses(410, "INVITE_REVOKED");
    home.later(HOUR);
    opens(&home, &short).refuses(410, "INVITE_EXPIRED");

    let trail = home.spl(&["invite", "audit", "-o", "json"]).ok().json();
    let all = trail["data"].as_array().expect("events");
    let of = |kind: &str| all.iter().filter(|e| e["event_kind"] == kind).collect::<Vec<&Value>>();
    let mut reasons: Vec<&str> = of("refused").iter().filter_map(|e| e["refusal_reason"].as_str()).collect();
    reasons.sort_unstable();
    let expected = [
        "bad_proof",
        "bad_proof",
        "did_claim_denied",
        "exhausted",
        "expired",
        "freshness_violation",
        "freshness_violation",
        "holder_type_mismatch",
        "key_unknown",
        "revoked",
    ];
    assert_eq!(reasons, expected);
    let [redeemed] = of("redeemed")[..] else { panic!("{all:?}") };
    assert_eq!((&redeemed["holder_did"], &redeemed["holder_type"]), (&json!(bob), &json!("federated")));
    assert_eq!((&redeemed["device_label"], &redeemed["notes"]), (&json!("Bob"), &json!("for Bob")));
    let [revoked] = of("revoked")[..] else { panic!("{all:?}") };
    assert_eq!(
        (&revoked["revoker_actor"], &revoked["revoker_reason"]),
        (&json!(ADMIN), &json!("wrong person"))
    );
    assert_eq!((of("issued").len(), of("exhausted").len()), (4, 1));
    assert_eq!(all[0]["refusal_reason"], "expired", "newest first");
    let table = home.spl(&["invite", "audit"]).ok().stdout;
    for shown in ["bob", "wrong person", "key_unknown", "redeemed", "refused"] {
        assert!(table.contains(shown), "{shown}: {table}");
    }
}

#[test]
fn a_device_renews_its_own_bearer_and_nobody_elses() {
    let home = Home::disk();
    let (_, link) = created(&home, &["--max-uses", "2", "--bearer-ttl", "1h"]);
    let (token, other) = (device(&home, &link), device(&home, &link));
    let caller = home.node.as_token(&token);
    // The id of a token is the hash of its text: a device needs nobody to tell it.
    let path = format!("/v1/tokens/{}/rotate", sha256(&token.text));
    home.node.as_token(&other).post(&path, &json!({})).refuses(403, "ROTATE_NOT_SELF");
    home.admin.post(&path, &json!({})).refuses(403, "ROTATE_NOT_SELF");
    home.node.anyone().post(&path, &json!({})).refuses(401, "AUTH_REQUIRED");
    assert!(lives(&home, &token));
    let before = home.row(&link.id)["redemptions"][0]["expires_at"].clone();
    let answer = caller.post(&path, &json!({})).is(200).json();
    let renewed = Token::of(&answer);
    assert!(answer["expires_at"].as_str() > before.as_str(), "the window slides on: {answer}");
    assert!(!lives(&home, &token) && lives(&home, &renewed) && lives(&home, &other));
    assert_eq!(renewed.account, token.account);
    caller.post(&path, &json!({})).refuses(401, "AUTH_INVALID");
    // The row shows today's token; the end of the invite is the end of that one too.
    let row = home.row(&link.id);
    assert_eq!(row["redemptions"][0]["token_id"], renewed.id.as_str(), "{row}");
    assert_eq!(home.spl(&["invite", "revoke", &link.id, "-o", "json"]).ok().json()["bearers_revoked"], 2);
    assert!(!lives(&home, &renewed));
}

#[test]
fn a_shape_that_is_used_again_is_a_template() {
    let mut home = Home::disk();
    let label = "dev team onboarding";
    let save = ["invite", "templates", "save", "--label", label, "--preset", "contributor"];
    home.spl(&[&save[..], &["--ttl", "7d", "--max-uses", "5"]].concat()).ok();
    let shown = |home: &Home| home.spl(&["invite", "templates", "-o", "json"]).ok().json()["data"].clone();
    let before = shown(&home);
    assert_eq!(before.as_array().map(Vec::len), Some(1), "{before}");
    assert_eq!((&before[0]["label"], &before[0]["owner"]), (&json!(label), &json!(ADMIN)));
    // They survive restarts.
    home.node.kill();
    home.node.run(&[]);
    home.admin = home.node.as_token(&home.token);
    assert_eq!(shown(&home), before);
    let (made, _) = created(&home, &["--template", label, "--device-label", "dev team 2030-03-02"]);
    assert_eq!((&made["ttl_seconds"], &made["max_uses"]), (&json!(604_800), &json!(5)));
    assert_eq!(
        (&made["device_label"], &made["template_id"]),
        (&json!("dev team 2030-03-02"), &before[0]["template_id"])
    );
    // What is named wins; the same label replaces; another operator has templates of their own.
    let (made, _) = created(&home, &["--template", label, "--max-uses", "1"]);
    assert_eq!((&made["ttl_seconds"], &made["max_uses"]), (&json!(604_800), &json!(1)));
    home.spl(&["invite", "templates", "save", "--label", label, "--preset", "admin", "--ttl", "1h"]).ok();
    let replaced = shown(&home);
    assert_eq!(replaced[0]["template_id"], before[0]["template_id"]);
    assert_eq!((replaced.as_array().map(Vec::len), &replaced[0]["max_uses"]), (Some(1), &json!(1)));
    // A template is no way to hand out more than was asked for.
    let (made, _) = created(&home, &["--template", label]);
    assert_ne!(made["scopes"], json!(["admin"]), "{made}");
    assert!(made["warnings"].to_string().contains("wider"), "{made}");
    let log = home.admin.exported(true);
    let kept: Vec<&Value> = log.iter().filter(|r| r["thread"] == "th_invite_templates").collect();
    assert_eq!(kept.len(), 2);
    assert!(kept.iter().all(|r| r["body"]["kind"] == "core.invite_template.v1"), "{kept:?}");
    let other = home.admin.account(&["did:sync:user:carol"], &["admin"]);
    let grant =
        json!({ "grantee": "did:sync:user:carol", "resource": "th_invite_templates", "access": "write" });
    home.admin.post("/v1/consent/grants", &grant).is(201);
    let other = home.node.as_token(&other);
    assert_eq!(other.rows("/v1/invite-templates"), Vec::<Value>::new());
    let path = format!("/v1/invite-templates/{}", before[0]["template_id"].as_str().expect("an id"));
    other.delete(&path).refuses(404, "TEMPLATE_NOT_FOUND");
    home.spl(&["invite", "templates", "remove", label]).ok();
    assert_eq!(shown(&home), json!([]));
}

#[test]
fn what_expired_meanwhile_is_told_before_what_changed_since() {
    let mut home = Home::disk();
    let (_, short) = created(&home, &["--ttl", "15m"]);
    let (_, long) = created(&home, &["--ttl", "7d"]);
    let seen = home.admin.head();
    home.later(2 * HOUR);
    home.spl(&["invite", "revoke", &long.id]).ok();
    let resuming = home.admin.header("last-event-id", &seen.to_string());
    let mut stream = resuming.events("/v1/invites/stream");
    let mut told = Vec::new();
    while told.len() < 2 {
        let frame = stream.next();
        if frame.name == "invite.updated" {
            let row = &frame.json()["invite"];
            told.push((row["invite_id"].clone(), row["state"].clone()));
        }
    }
    // The clock went past the end of the one before anybody revoked the other.
    assert_eq!(told, [(json!(short.id), json!("expired")), (json!(long.id), json!("revoked"))]);
}
