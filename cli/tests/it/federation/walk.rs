//! A colleague with an instance of their own is let in: by `spl` on both sides, and by curl alone.

use std::process::{Command, Stdio};

use serde_json::{Value, json};

use super::kit::{ADMIN, BOB, Home, Link, Token, on_thread, sent_of};
use crate::{access::kit::record, support::Ran};

/// What Alice's side has on record of Bob's redemption.
#[track_caller]
fn check_trail(alice: &Home, bob: &Home, link: &Link, trust: &str, pair: &Value) {
    let key = bob.admin.get("/v1/identity").is(200).json()["public_key"].clone();
    let row = alice.row(&link.id);
    assert_eq!((&row["state"], &row["uses_remaining"]), (&json!("redeemed"), &json!(0)), "{row}");
    let one = &row["redemptions"][0];
    let expected = json!({
        "holder_type": "federated", "holder_did": BOB, "holder_pubkey": key, "signer_instance_did": bob.did,
        "signer_trust": trust, "pair_id": pair, "live": true,
    });
    for (member, value) in expected.as_object().expect("members") {
        assert_eq!(one[member], *value, "{member}: {row}");
    }
    let log = alice.admin.exported(true);
    let trail = on_thread(&log, "th_audit_invites");
    let of_invite = |kind: &str| {
        let mut found = trail
            .iter()
            .filter(|r| r["body"]["invite_id"] == link.id.as_str() && r["body"]["event_kind"] == kind);
        let one = found.next().unwrap_or_else(|| panic!("no {kind} of {}", link.id));
        assert!(found.next().is_none(), "{kind} twice");
        (*one).clone()
    };
    let event = of_invite("redeemed");
    let body = &event["body"];
    assert_eq!((&body["holder_did"], &body["holder_pubkey"]), (&json!(BOB), &key), "{event}");
    assert_eq!((&body["scopes"], &body["signer_trust"]), (&row["scopes"], &json!(trust)), "{event}");
    assert_eq!(body["pair_id"], *pair, "{event}");
    assert_eq!(body["signer_key"], key, "{event}");
    of_invite("issued");
    of_invite("exhausted");
    let account = &one["service_account_id"];
    let made = log
        .iter()
        .find(|r| r["thread"] == "th_service_accounts" && r["body"]["service_account_id"] == *account);
    let made = &made.expect("the account's record")["body"];
    assert_eq!((&made["pair_id"], &made["origin"]), (pair, &json!("invite")), "{made}");
    assert_eq!((&made["allowed_actors"], &made["invite_id"]), (&json!([BOB]), &json!(link.id)), "{made}");
}

/// What Bob may see at Alice's: one thread, and nothing else.
#[track_caller]
fn sees_one_thread(alice: &Home, token: &str) {
    let bob = alice.node.anyone().bearer(token);
    assert_eq!(bob.rows("/v1/records?thread=music.library").len(), 1);
    assert_eq!(bob.rows("/v1/threads").len(), 1);
    // What is outside does not exist for him.
    assert_eq!(bob.rows("/v1/records?thread=diary"), Vec::<Value>::new());
    bob.get("/v1/threads/diary").is(404);
    bob.post("/v1/records", &record("music.library", BOB, json!({ "n": 2 }))).refuses(403, "SCOPE_FORBIDDEN");
}

#[track_caller]
fn with_two_threads() -> Home {
    let alice = Home::disk();
    for thread in ["music.library", "diary"] {
        alice.admin.wrote(&record(thread, ADMIN, json!({ "n": 1 })));
    }
    alice
}

/// Bob redeems a link at home; gives what was printed.
#[track_caller]
fn bob_redeems(alice: &Home, bob: &Home, link: &str) -> Value {
    let heads = || (alice.admin.head(), bob.admin.head());
    let before = heads();
    let ran = bob.spl(&["invite", "redeem", link, "--as", "federated"]).exits(1);
    // Whom his instance would tell, before it does.
    assert!(ran.stderr.contains(&alice.url()) && ran.stderr.contains(&alice.did), "{ran:?}");
    assert_eq!(heads(), before, "nothing is signed or redeemed before Bob says yes");
    let ran = bob.spl(&["invite", "redeem", link, "--as", "federated", "--label", "laptop", "--yes"]).ok();
    let given = ran.json();
    assert_eq!((&given["url"], &given["device"]), (&json!(alice.url()), &json!("laptop")), "{ran:?}");
    given
}

#[test]
fn with_spl_on_both_sides() {
    let (alice, bob) = (with_two_threads(), Home::disk());
    bob.is_of(BOB);
    let create = |alice: &Home| {
        let args = ["invite", "create", "--device-label", "Bob (federated)", "--accept", "federated"];
        let ran =
            alice.spl(&[&args[..], &["--scopes", "records:read", "--thread", "music.library"]].concat());
        Link::of(&ran.ok().first_line())
    };
    // Nobody is paired: whose instance it is, it says itself.
    let link = create(&alice);
    let given = bob_redeems(&alice, &bob, &link.url);
    let token = given["token"].as_str().expect("a token").to_owned();
    sees_one_thread(&alice, &token);
    check_trail(&alice, &bob, &link, "self_asserted", &Value::Null);

    let ran = alice.spl(&["federation", "pair", &bob.url()]).exits(1);
    assert!(ran.stderr.contains(&bob.did), "{ran:?}");
    assert_eq!(alice.spl(&["federation", "list", "-o", "json"]).ok().json()["data"], json!([]), "not pinned");
    let pair = alice.spl(&["federation", "pair", &bob.url(), "--yes", "-o", "json"]).ok().json();
    assert_eq!((&pair["peer_did"], &pair["state"]), (&json!(bob.did), &json!("active")));
    let id = pair["pair_id"].as_str().expect("an id").to_owned();
    let shown = |alice: &Home| alice.spl(&["federation", "show", &id, "-o", "json"]).ok().json();
    let counts = |pair: &Value| (pair["accounts"].as_u64(), pair["bearers"].as_u64());
    assert_eq!(counts(&shown(&alice)), (Some(0), Some(0)), "who came before is not attributed to the pair");

    let link = create(&alice);
    let given = bob_redeems(&alice, &bob, &link.url);
    check_trail(&alice, &bob, &link, "paired", &pair["pair_id"]);
    assert_eq!(counts(&shown(&alice)), (Some(1), Some(1)));
    // Bob uses what he got, from a home that has no instance.
    let token = given["token"].as_str().expect("a token");
    let apart = bob.node.sandbox.dir().join("alice").display().to_string();
    let list = ["--home", &apart, "--server", &alice.url(), "thread", "list", "-o", "json"];
    let ran = bob.node.sandbox.command(&list).env("SPL_TOKEN", token).output().expect("spl runs");
    let threads = Ran::from(ran, &list).ok().json();
    assert_eq!(threads["data"].as_array().map(Vec::len), Some(1), "{threads}");
    assert_eq!(threads["data"][0]["id"], "music.library", "{threads}");
    let home = bob.node.as_token(&bob.token).get("/v1/identity").is(200).json();
    assert_eq!(home["did"], bob.did, "at home all is as it was");

    // What Bob's instance signed is on its own trail, with whom it was for.
    let log = bob.admin.exported(true);
    let of_kind = |r: &&&Value| r["body"]["event_kind"] == "attestation_signed";
    let trail = on_thread(&log, "th_audit_tokens");
    let signed: Vec<&str> =
        trail.iter().filter(of_kind).filter_map(|r| r["body"]["reason"].as_str()).collect();
    assert_eq!(signed.len(), 2);
    for part in [&link.id, &alice.did, &alice.url()] {
        assert!(signed[1].contains(part.as_str()), "{part}: {signed:?}");
    }
    // And Bob cannot bring his own name to Alice through anybody else.
    let mallory = Home::memory();
    let as_bob = mallory.is_of(BOB);
    let link = alice.federated(1);
    mallory.person_redeems(&as_bob, &alice, &link).refuses(403, "DID_CLAIM_DENIED");
    alice.recorded(&link, "did_claim_denied", &mallory.did);
}

/// curl and nothing else: the status, and the body as JSON.
#[track_caller]
fn curl(token: Option<&Token>, url: &str, body: Option<&Value>) -> (u16, Value) {
    let mut command = Command::new("curl");
    command.env_clear().args(["-sS", "--max-time", "20", "-w", "\n%{http_code}", url]).stdin(Stdio::null());
    if let Some(token) = token {
        command.args(["-H", &format!("Authorization: Bearer {}", token.text)]);
    }
    if let Some(body) = body {
        command.args(["-H", "Content-Type: application/json", "-d", &body.to_string()]);
    }
    let ran = Ran::from(command.output().expect("curl runs"), &["(curl)", url]).ok();
    let (body, status) = ran.stdout.rsplit_once('\n').expect("a status");
    (status.parse().expect("a status"), serde_json::from_str(body).unwrap_or(Value::Null))
}

/// Bob's walk with what he has: the link, and a token of his own instance.
#[track_caller]
fn bob_curls(bob: &Home, person: &Token, link: &str) -> (u16, Value) {
    let (origin, _) = link.split_once("/i/").expect("a link");
    let Link { id, sig, .. } = Link::of(link);
    let (status, preview) = curl(None, &format!("{origin}/v1/invites/{id}?sig={sig}"), None);
    assert_eq!((status, &preview["accept_holder_types"]), (200, &json!(["federated"])), "{preview}");
    assert!(preview.get("redemptions").is_none() && preview.get("notes").is_none(), "{preview}");
    let asked = json!({ "invite_id": id, "audience": preview["issuer_did"], "issuer_url": origin });
    let (status, signed) =
        curl(Some(person), &format!("{}/v1/invites/sign-attestation", bob.url()), Some(&asked));
    assert_eq!((status, &signed["signer_instance_did"]), (200, &json!(bob.did)), "{signed}");
    let redeem = format!("{origin}/v1/invites/{id}/redeem?sig={sig}");
    let answered = curl(None, &redeem, Some(&sent_of(&signed)));
    // What was used once is of no use any more, while the invite still has uses.
    let (status, again) = curl(None, &redeem, Some(&sent_of(&signed)));
    assert_eq!((status, &again["code"]), (403, &json!("BAD_PROOF")), "{again}");
    answered
}

#[test]
fn with_curl_alone() {
    let (alice, bob) = (with_two_threads(), Home::memory());
    let person = bob.is_of(BOB);
    let invite = json!({
        "device_label": "Bob (federated)", "accept_holder_types": ["federated"], "scopes": ["records:read"],
        "scope_target": { "kind": "thread", "thread_id": "music.library" }, "max_uses": 2,
    });
    let issue = || {
        let (status, made) = curl(Some(&alice.token), &format!("{}/v1/invites", alice.url()), Some(&invite));
        assert_eq!(status, 201, "{made}");
        made["redirect_url"].as_str().expect("a link").to_owned()
    };
    let redeemed = |link: &str| {
        let (status, answer) = bob_curls(&bob, &person, link);
        assert_eq!((status, &answer["actor_did"]), (200, &json!(BOB)), "{answer}");
        assert_eq!(answer["scopes"], json!(["records:read", "thread:music.library:read"]));
        assert_eq!((&answer["instance_did"], &answer["url"]), (&json!(alice.did), &json!(alice.url())));
        sees_one_thread(&alice, answer["bearer"].as_str().expect("a bearer"));
        alice.row(&Link::of(link).id)["redemptions"][0].clone()
    };
    let one = redeemed(&issue());
    assert_eq!((&one["signer_trust"], &one["pair_id"]), (&json!("self_asserted"), &Value::Null));
    let asked = json!({ "peer_url": bob.url(), "expected_did": bob.did });
    let (status, pair) =
        curl(Some(&alice.token), &format!("{}/v1/federation/pairs", alice.url()), Some(&asked));
    assert_eq!((status, &pair["peer_did"]), (201, &json!(bob.did)), "{pair}");
    let one = redeemed(&issue());
    assert_eq!((&one["signer_trust"], &one["pair_id"]), (&json!("paired"), &pair["pair_id"]));
    // The pair is Alice's alone: Bob's instance was told nothing.
    let (status, theirs) = curl(Some(&bob.token), &format!("{}/v1/federation/pairs", bob.url()), None);
    assert_eq!((status, &theirs["data"]), (200, &json!([])), "{theirs}");
}

#[test]
fn where_a_guest_is_wanted_nobody_is_vouched_for() {
    let (alice, bob) = (Home::memory(), Home::memory());
    let person = bob.is_of(BOB);
    let link = alice.issue(&json!({ "preset": "reader" }));
    bob.person_redeems(&person, &alice, &link).refuses(403, "HOLDER_TYPE_MISMATCH");
    alice.recorded(&link, "holder_type_mismatch", &bob.did);
    // The other way round: a guest at an invite for federated holders.
    let link = alice.federated(1);
    bob.spl(&["invite", "redeem", &link.url, "--as", "guest"]).exits(1);
    let guest = json!({ "holder_type": "guest", "holder_pubkey": super::kit::key(3).public().base64url() });
    alice.node.anyone().post(&link.redeem_at(), &guest).refuses(403, "HOLDER_TYPE_MISMATCH");
    // Whoever came in by an invite is vouched for by nobody here, and neither is a narrowed token.
    let link = alice.issue(&json!({ "preset": "contributor" }));
    let given = bob.spl(&["invite", "redeem", &link.url, "--as", "guest"]).ok().json();
    let asked = json!({ "invite_id": link.id, "audience": bob.did, "issuer_url": bob.url() });
    let guest = alice.node.anyone().bearer(given["token"].as_str().expect("a token"));
    guest.post("/v1/invites/sign-attestation", &asked).refuses(403, "DID_CLAIM_DENIED");
    let narrowed = alice.admin.narrowed("did:sync:user:dora", &["thread:music.library:write"]);
    let narrowed = alice.node.as_token(&narrowed).post("/v1/invites/sign-attestation", &asked);
    narrowed.refuses(403, "SCOPE_FORBIDDEN");
}
