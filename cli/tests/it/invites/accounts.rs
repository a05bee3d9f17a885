//! Names that redemptions gave, and names with grants: no account route hands them on.

use serde_json::{Value, json};

use super::kit::{ADMIN, Asks as _, Caller, Claim, Desk, Token, key, now_ms};
use crate::access::kit::refuses_with_hint;

const BOB: &str = "did:sync:user:bob";
const GUEST: &str = "did:sync:user:guest:0123456789abcdef0123456789abcdef";

#[test]
fn a_redeemed_name_is_listed_nowhere_else() {
    let desk = Desk::memory();
    let identity = desk.admin.reads("/v1/identity").json();
    let text = |name: &str| identity[name].as_str().expect("a text").to_owned();
    let (audience, issuer_url) = (text("did"), text("url"));
    let link = desk.issue(&json!({ "accept_holder_types": ["*"], "max_uses": 4 }));
    let signer = key();
    let (audience, issuer_url) = (&audience, &issuer_url);
    let claim = Claim {
        link: &link,
        audience,
        issuer_url,
        signer: &signer,
        holder: "did:sync:user:carol",
        at_ms: now_ms(),
    };
    let redeemed = desk.node.anyone().sends(&link.redeem_at(), &claim.body()).is(200).json();
    let guest = link.redeem(&desk.node.anyone(), &key()).is(200).json();
    let plain = desk.admin.contributor("did:sync:user:plain");
    let account = format!("/v1/service-accounts/{}", plain.account);
    let refused = |name: &str| {
        let head = desk.admin.head();
        for actors in [json!([name]), json!(["did:sync:user:x", name])] {
            let body = json!({ "name": "x", "actors": actors });
            refuses_with_hint(desk.admin.sends("/v1/service-accounts", &body), 403, "DID_CLAIM_DENIED");
            let change = desk.admin.asks("PATCH", &account, Some(&json!({ "actors": actors })));
            refuses_with_hint(change, 403, "DID_CLAIM_DENIED");
        }
        assert_eq!(desk.admin.head(), head, "nothing was written");
    };
    // Those of guests, whether there is such a guest, and those that somebody vouched for, dead ones too.
    for name in [GUEST, guest["actor_did"].as_str().expect("a DID"), "did:sync:user:carol"] {
        refused(name);
    }
    desk.revoke(&link.id);
    for name in [guest["actor_did"].as_str().expect("a DID"), "did:sync:user:carol"] {
        refused(name);
    }
    // Its own account keeps it.
    let again = desk.issue(&json!({}));
    let answer = again.redeem(&desk.node.anyone(), &key()).is(200).json();
    let own = format!("/v1/service-accounts/{}", answer["service_account_id"].as_str().expect("an id"));
    let keep = json!({ "name": "Ana's phone", "actors": [answer["actor_did"]] });
    desk.admin.asks("PATCH", &own, Some(&keep)).is(200);
    assert!(desk.lives(&Token::of(&answer)));
    assert_eq!(redeemed["actor_did"], "did:sync:user:carol");
}

#[test]
fn grains_of_a_redeemed_account_are_not_removed_by_any_route() {
    let desk = Desk::memory();
    let target = json!({ "kind": "thread", "thread_id": "own" });
    let link = desk.issue(&json!({ "scope_target": target }));
    let answer = link.redeem(&desk.node.anyone(), &key()).is(200).json();
    let id = answer["service_account_id"].as_str().expect("an id");
    let account = format!("/v1/service-accounts/{id}");
    for scopes in [json!(["records:read", "records:write"]), json!(["admin"]), json!(["records:read"])] {
        let reply = desk.admin.asks("PATCH", &account, Some(&json!({ "scopes": scopes })));
        assert!(matches!(reply.status, 400 | 403), "{scopes}: {}", reply.text());
        let minted = json!({ "service_account_id": id, "scopes": scopes });
        desk.admin.sends("/v1/tokens", &minted).refuses(400, "INVALID_BODY");
    }
    assert_eq!(desk.admin.reads(&account).is(200).json()["scopes"], answer["scopes"]);
    let rotated = desk.admin.sends(&format!("{account}/rotate-key"), &json!({})).is(200).json();
    assert_eq!(rotated["scopes"], answer["scopes"]);
}

/// All that gives somebody a credential or a say over a name, or takes it away: what is asked, of an account.
fn says(account: &Token) -> Vec<(&'static str, String, Option<Value>)> {
    let of = format!("/v1/service-accounts/{}", account.account);
    vec![
        ("POST", "/v1/service-accounts".into(), Some(json!({ "name": "x", "actors": [BOB] }))),
        ("PATCH", of.clone(), Some(json!({ "actors": [BOB, "did:sync:user:more"] }))),
        ("POST", "/v1/tokens".into(), Some(json!({ "service_account_id": account.account }))),
        ("POST", format!("{of}/rotate-key"), Some(json!({}))),
        ("DELETE", format!("/v1/tokens/{}", account.id), None),
        ("DELETE", of, None),
    ]
}

#[test]
fn a_say_over_a_name_with_grants_needs_the_grant_for_grants() {
    let desk = Desk::memory();
    let ask = |caller: &Caller, (method, path, body): &(&'static str, String, Option<Value>)| {
        caller.asks(method, path, body.as_ref())
    };
    for (resource, access) in
        [("th_invites", "read"), ("th_consent", "read"), ("th_invite_templates", "write")]
    {
        let bob = desk.admin.account(&[BOB], &["admin"]);
        // An admin like any other, and one with grants, but not for grants.
        let (plain, _) = desk.admin_with("did:sync:user:p", &[]);
        let (other, _) =
            desk.admin_with("did:sync:user:o", &[("th_invites", "write"), ("th_consent", "read")]);
        let id = desk.grant(BOB, resource, access);
        let head = desk.admin.head();
        for one in says(&bob) {
            for caller in [&plain, &other] {
                refuses_with_hint(ask(caller, &one), 403, "CONSENT_DENIED");
                refuses_with_hint(ask(&caller.claiming(ADMIN), &one), 403, "CONSENT_DENIED");
            }
        }
        assert_eq!(desk.admin.head(), head, "nothing was written");
        // Renewing oneself is nobody else's say.
        let at = format!("/v1/tokens/{}/rotate", bob.id);
        let renewed = Token::of(&desk.node.as_token(&bob).sends(&at, &json!({})).is(200).json());
        for one in says(&renewed) {
            let reply = ask(&desk.admin, &one);
            assert!(matches!(reply.status, 200 | 201), "{one:?}: {}", reply.text());
        }
        desk.admin.removes(&format!("/v1/consent/grants/{id}")).is(200);
    }
    // Without any live grant the name is one like others.
    let bob = desk.admin.account(&[BOB], &["admin"]);
    let (plain, _) = desk.admin_with("did:sync:user:q", &[]);
    for one in says(&bob) {
        let reply = ask(&plain, &one);
        assert!(matches!(reply.status, 200 | 201), "{one:?}: {}", reply.text());
    }
}

#[test]
fn a_redemption_gives_no_grant() {
    let desk = Desk::memory();
    let link = desk.issue(&json!({ "preset": "admin" }));
    let answer = link.redeem(&desk.node.anyone(), &key()).is(200).json();
    let guest = desk.node.as_token(&Token::of(&answer));
    guest.get("/v1/tokens").is(200);
    for path in ["/v1/invites", "/v1/invite-templates", "/v1/consent/grants", "/v1/invites/audit"] {
        let told = refuses_with_hint(guest.reads(path), 403, "CONSENT_DENIED");
        assert!(told["hint"].as_str().is_some_and(|hint| hint.contains("spl consent grant")), "{told}");
    }
    let grab = json!({ "grantee": answer["actor_did"], "resource": "th_invites", "access": "write" });
    refuses_with_hint(guest.sends("/v1/consent/grants", &grab), 403, "CONSENT_DENIED");
    let mint = json!({ "service_account_id": desk.token.account });
    refuses_with_hint(guest.sends("/v1/tokens", &mint), 403, "CONSENT_DENIED");
    refuses_with_hint(guest.claiming(ADMIN).reads("/v1/invites"), 403, "CONSENT_DENIED");
    desk.guest(&desk.issue(&json!({})));
    assert!(desk.lives(&desk.token));
}
