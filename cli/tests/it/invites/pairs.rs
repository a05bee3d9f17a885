//! Pairs: a key that is pinned, whoever comes in through it, and the end of both.

use std::os::unix::fs::PermissionsExt as _;

use serde_json::{Value, json};
use spl_kernel::identity::PrivateKey;
use zeroize::Zeroizing;

use super::{
    kit::{Asks as _, Claim, Desk, Link, Token, at_once, now_ms},
    model::explains,
};
use crate::{access::kit::refuses_with_hint, support::Fake};

/// Two instances: one that takes people in, and the home of others.
struct Two {
    desk: Desk,
    did: String,
    url: String,
    home: Desk,
    home_did: String,
    home_url: String,
    home_key: PrivateKey,
}

impl Two {
    fn new() -> Self {
        let (desk, home) = (Desk::disk(), Desk::disk());
        let says = |desk: &Desk, name: &str| {
            desk.admin.reads("/v1/identity").is(200).json()[name].as_str().expect("a text").to_owned()
        };
        let seed = std::fs::read(home.node.sandbox.home().join("keys/primary")).expect("the key");
        let home_key = PrivateKey::from_seed(&Zeroizing::new(seed.try_into().expect("32 bytes")));
        let (did, url) = (says(&desk, "did"), says(&desk, "url"));
        let (home_did, home_url) = (says(&home, "did"), says(&home, "url"));
        assert_eq!(home_key.public().did(), home_did);
        Self { desk, did, url, home, home_did, home_url, home_key }
    }

    #[track_caller]
    fn pair(&self) -> String {
        let pair = self.desk.admin.sends("/v1/federation/pairs", &json!({ "peer_url": self.home_url }));
        pair.is(201).json()["pair_id"].as_str().expect("an id").to_owned()
    }

    fn body(&self, link: &Link, holder: &str) -> Value {
        let (audience, issuer_url) = (&self.did, &self.url);
        Claim { link, audience, issuer_url, signer: &self.home_key, holder, at_ms: now_ms() }.body()
    }

    #[track_caller]
    fn redeemed(&self, link: &Link, holder: &str) -> Token {
        let reply = self.desk.node.anyone().sends(&link.redeem_at(), &self.body(link, holder));
        Token::of(&reply.is(200).json())
    }

    fn link(&self) -> Link {
        self.desk.issue(&json!({ "accept_holder_types": ["*"], "max_uses": 1000 }))
    }
}

#[test]
fn a_pair_pins_a_key_and_everybody_who_came_through_it_goes_with_it() {
    let two = Two::new();
    let (admin, link) = (&two.desk.admin, two.link());
    // Before there is a pair a key speaks for itself.
    let before = two.redeemed(&link, "did:sync:user:before");
    let secret = "spl_prod_sa_0123456789abcdef_0123456789abcdefghjkmnpqrstvwxyz";
    let asked = json!({ "peer_url": two.home_url, "peer_token": secret, "expected_did": two.home_did });
    let pair = admin.sends("/v1/federation/pairs", &asked).is(201).json();
    let id = pair["pair_id"].as_str().expect("an id").to_owned();
    let expected = json!({
        "object": "federation_pair", "peer_did": two.home_did, "peer_url": two.home_url, "state": "active",
        "peer_key": two.home_key.public().base64url(), "peer_key_fp": two.home_key.public().fingerprint(),
        "has_token": true, "accounts": 0, "bearers": 0, "removed_at": null,
    });
    for (name, value) in expected.as_object().expect("members") {
        assert_eq!(&pair[name], value, "{name}");
    }
    let kept = two.desk.node.sandbox.home().join("secrets/pairs").join(&id);
    assert_eq!(std::fs::read_to_string(&kept).expect("the token"), secret);
    assert_eq!(std::fs::metadata(&kept).expect("a file").permissions().mode() & 0o777, 0o600);
    assert!(!admin.get("/v1/export?reserved=true").text().contains(secret));
    assert!(!two.desk.node.logged().contains(secret));
    refuses_with_hint(admin.sends("/v1/federation/pairs", &asked), 409, "PAIR_EXISTS");
    let through = [two.redeemed(&link, "did:sync:user:a"), two.redeemed(&link, "did:sync:user:b")];
    let stranger = two.desk.guest(&link);
    let used = two.desk.row(&link.id)["redemptions"].clone();
    let told = |n: usize| (used[n]["signer_trust"].clone(), used[n]["pair_id"].clone());
    assert_eq!(told(0), (json!("self_asserted"), Value::Null));
    assert_eq!(told(1), (json!("paired"), json!(id)));
    // One of them renews, one ends by itself.
    let rotate = format!("/v1/tokens/{}/rotate", through[0].id);
    let renewed = Token::of(&two.desk.node.as_token(&through[0]).sends(&rotate, &json!({})).is(200).json());
    let at = format!("/v1/federation/pairs/{id}");
    let shown = admin.reads(&at).is(200).json();
    assert_eq!((&shown["accounts"], &shown["bearers"]), (&json!(2), &json!(2)));
    assert_eq!(admin.lists("/v1/federation/pairs"), [shown]);
    let gone = admin.removes(&format!("{at}?reason=moved")).is(200).json();
    assert_eq!(
        (&gone["status"], &gone["accounts_revoked"], &gone["bearers_revoked"]),
        (&json!("removed"), &json!(2), &json!(2))
    );
    let head = admin.head();
    assert_eq!(admin.removes(&at).is(200).json()["status"], "already_removed");
    assert_eq!(admin.head(), head);
    let alive = [&before, &through[0], &through[1], &renewed, &stranger].map(|token| two.desk.lives(token));
    assert_eq!(alive, [true, false, false, false, true]);
    assert!(!kept.exists(), "its token goes, too");
    let mirror = two.desk.log().into_iter().rfind(|r| r["thread"] == "th_audit_federation_pairs");
    let body = mirror.expect("a mirror")["body"].clone();
    assert_eq!((&body["transition"], &body["bearers_revoked"]), (&json!("active->removed"), &json!(2)));
    // Whoever was unpaired is nobody, though its DID is a key.
    let refused = two.desk.node.anyone().sends(&link.redeem_at(), &two.body(&link, "did:sync:user:c"));
    refuses_with_hint(refused, 403, "KEY_UNKNOWN");
    let again = two.pair();
    assert_ne!(again, id);
    let back = two.redeemed(&link, "did:sync:user:a");
    let states: Vec<Value> = admin.lists("/v1/federation/pairs").iter().map(|p| p["state"].clone()).collect();
    assert!(states.contains(&json!("removed")) && states.contains(&json!("active")), "{states:?}");
    admin.removes("/v1/federation/pairs/pair_0000000000000000").refuses(404, "PAIR_NOT_FOUND");
    explains(&two.desk, &[before, through[0].clone(), through[1].clone(), renewed, stranger, back]);
}

#[test]
fn whoever_is_not_what_it_must_be_is_unreachable_and_nothing_is_written() {
    let two = Two::new();
    let admin = &two.desk.admin;
    let head = admin.head();
    let closed =
        std::net::TcpListener::bind("127.0.0.1:0").expect("a port").local_addr().expect("an address");
    let manifest = two.home.node.anyone().get("/.well-known/syncropel").text();
    let document = two.home.node.anyone().get("/.well-known/did.json").text();
    let says = |manifest: String, document: String| {
        Fake::local(move |request| {
            let body = if request.contains("did.json") { &document } else { &manifest };
            crate::support::json_answer(&serde_json::from_str(body).unwrap_or(Value::Null))
        })
    };
    let own = two.desk.node.anyone();
    let fakes = [
        says("{}".into(), "{}".into()),
        says(manifest.replace("federation_manifest", "other_manifest"), document.clone()),
        says(manifest.replace("\"sync\":false", "\"sync\":true"), document.clone()),
        says(manifest.clone(), own.get("/.well-known/did.json").text()),
        Fake::local(|_| {
            b"HTTP/1.1 302 Found\r\nlocation: http://127.0.0.1:1/\r\ncontent-length: 0\r\n\r\n".to_vec()
        }),
        Fake::local(|_| vec![b'x'; 100_000]),
    ];
    let mut urls: Vec<String> = fakes.iter().map(Fake::url).collect();
    urls.push(format!("http://{closed}"));
    let mut answers = Vec::new();
    for url in urls {
        let reply = admin.sends("/v1/federation/pairs", &json!({ "peer_url": url }));
        answers.push(refuses_with_hint(reply, 502, "PEER_UNREACHABLE"));
    }
    let unexpected = json!({ "peer_url": two.home_url, "expected_did": two.did });
    answers.push(refuses_with_hint(
        admin.sends("/v1/federation/pairs", &unexpected),
        502,
        "PEER_UNREACHABLE",
    ));
    for (host, did) in
        [("169.254.169.254", &two.home_did), ("0.0.0.0", &two.home_did), ("224.0.0.1", &two.home_did)]
    {
        let asked = json!({ "peer_url": format!("http://{host}"), "expected_did": did });
        let reply = admin.sends("/v1/federation/pairs", &asked);
        assert!(matches!(reply.status, 400 | 502), "{host}: {}", reply.text());
    }
    assert!(answers.iter().all(|answer| *answer == answers[0]), "one answer for all: {answers:?}");
    // What says the same through another mouth is that instance.
    refuses_with_hint(
        admin.sends("/v1/federation/pairs", &json!({ "peer_url": two.url })),
        409,
        "PAIR_EXISTS",
    );
    for bad in [
        json!({}),
        json!({ "peer_url": "x" }),
        json!({ "peer_url": "http://127.0.0.1/path" }),
        json!({ "peer_url": "http://192.168.0.7:9100" }),
        json!({ "peer_url": two.home_url, "peer_token": "with space" }),
        json!({ "peer_url": two.home_url, "more": 1 }),
    ] {
        admin.sends("/v1/federation/pairs", &bad).refuses(400, "INVALID_BODY");
    }
    assert_eq!(admin.head(), head, "nothing was written");
}

#[test]
fn nobody_who_comes_through_a_pair_outlives_it() {
    let two = Two::new();
    let mut all = Vec::new();
    let mut before = 0;
    two.desk.admin.set("trusted_proxies", &json!({ "cidrs": ["127.0.0.0/8"] })).is(201);
    for round in 0..10 {
        let (link, pair) = (two.link(), two.pair());
        let replies = at_once(two.desk.node.port, 30, |n, client| {
            if n == round * 3 {
                let at = format!("/v1/federation/pairs/{pair}");
                let gone =
                    two.desk.admin.over(client, "DELETE", &at, None).expect("an answer").is(200).json();
                assert_eq!(gone["status"], "removed");
                return Err(gone["bearers_revoked"].as_u64().expect("a number"));
            }
            let body = two.body(&link, &format!("did:sync:user:{round}.{n}"));
            let caller = super::kit::from(&two.desk.node.anyone(), n);
            let reply = caller.over(client, "POST", &link.redeem_at(), Some(&body)).expect("an answer");
            Ok(if reply.status == 200 {
                Some(Token::of(&reply.json()))
            } else {
                reply.refuses(403, "KEY_UNKNOWN");
                None
            })
        });
        let ended = replies.iter().find_map(|reply| reply.as_ref().err().copied()).expect("the end");
        let given: Vec<Token> = replies.into_iter().flatten().flatten().collect();
        assert_eq!(u64::try_from(given.len()), Ok(ended), "all that were given were ended");
        assert!(!given.iter().any(|bearer| two.desk.lives(bearer)));
        before += given.len();
        all.extend(given);
    }
    assert!(before > 0, "nobody ever came in time");
    explains(&two.desk, &all);
}

#[test]
fn one_of_many_who_pair_at_once_does() {
    let two = Two::new();
    for _ in 0..4 {
        let replies = at_once(two.desk.node.port, 8, |_, client| {
            let asked = json!({ "peer_url": two.home_url });
            let reply = two.desk.admin.over(client, "POST", "/v1/federation/pairs", Some(&asked));
            let reply = reply.expect("an answer");
            (reply.status, reply.json()["pair_id"].as_str().map(str::to_owned))
        });
        let made: Vec<&String> = replies.iter().filter_map(|(_, id)| id.as_ref()).collect();
        assert_eq!(made.len(), 1, "{replies:?}");
        assert!(replies.iter().all(|(status, _)| matches!(status, 201 | 409 | 503)), "{replies:?}");
        two.desk.admin.removes(&format!("/v1/federation/pairs/{}", made[0])).is(200);
    }
    assert_eq!(two.home.admin.lists("/v1/federation/pairs"), [] as [Value; 0]);
}
