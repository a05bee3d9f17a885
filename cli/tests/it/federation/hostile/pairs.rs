//! Peers that are reached by a name: pinned once, and not asked again.

use std::{
    net::TcpListener,
    sync::Arc,
    sync::atomic::{AtomicUsize, Ordering},
};

use serde_json::{Value, json};

use super::{
    GLOBAL, bearer, ground,
    web::{Certificate, Does, Web},
};
use crate::{
    federation::kit::{Home, answer, document, key, manifest, now_ms, signed},
    namespace::runs_inside,
    raw::Reply,
    support::Fake,
};

const WEB: &str = "web.example-test.org";
const DID: &str = "did:web:web.example-test.org";

#[track_caller]
fn ask(home: &Home, url: &str, expected: Option<&str>) -> Reply {
    let mut asked = json!({ "peer_url": url });
    if let Some(did) = expected {
        asked["expected_did"] = json!(did);
    }
    home.admin.post("/v1/federation/pairs", &asked)
}

/// What a peer answers to everything: a manifest and a document in one.
fn both(did: &str, by: u8, url: &str) -> Vec<u8> {
    let key = key(by);
    let mut all = document(did, &key.public());
    let stated = signed(manifest(did, &key.public(), url, now_ms()), &key);
    all["federation_manifest"] = stated["federation_manifest"].clone();
    answer(&all)
}

#[test]
fn a_host_that_is_pinned_is_not_asked_again() {
    runs_inside(
        "federation::hostile::pairs::inside_web",
        &[(WEB, &[GLOBAL]), ("two.example-test.org", &[GLOBAL])],
    );
}

#[test]
#[ignore = "run by the test above, in a network of its own"]
fn inside_web() {
    let (web, url) = (Web::at(GLOBAL), format!("https://{WEB}"));
    web.host(WEB, Certificate::Good, Does::Answers(both(DID, 7, &url)));
    // Under another name than the one that was asked.
    web.host("two.example-test.org", Certificate::Good, Does::Answers(both(DID, 7, &url)));
    let home = Home::trusting(&web.authorities());
    let link = home.open_invite();
    ask(&home, "https://two.example-test.org", None).refuses(502, "PEER_UNREACHABLE");
    ask(&home, &format!("{url}:8443"), None).refuses(502, "PEER_UNREACHABLE");
    let pair = ask(&home, &url, None).is(201).json();
    assert_eq!((&pair["peer_did"], &pair["peer_key"]), (&json!(DID), &json!(key(7).public().base64url())));

    // The pinned key counts, whatever the host says now, and whether hosts are asked or not.
    let reached = web.reached(WEB);
    bearer(home.vouched_by(&link, DID, "did:sync:user:bob"));
    assert_eq!(ground(&home, &link, "did:sync:user:bob"), (json!("paired"), pair["pair_id"].clone()));
    web.host(WEB, Certificate::Good, Does::Answers(both(DID, 8, &url)));
    home.asks_hosts(true);
    bearer(home.vouched_by(&link, DID, "did:sync:user:bea"));
    let theirs = crate::federation::kit::vouched(&home, &link, (DID, &key(8)), "did:sync:user:eve");
    home.node.anyone().post(&link.redeem_at(), &theirs).refuses(403, "BAD_PROOF");
    home.recorded(&link, "bad_proof", DID);
    assert_eq!(web.reached(WEB), reached, "the host was asked");
    // A DID that is known with another key is not pinned again, while the pair lives and after it.
    ask(&home, &url, None).refuses(409, "PAIR_EXISTS");
    let path = format!("/v1/federation/pairs/{}", pair["pair_id"].as_str().expect("an id"));
    assert_eq!(home.admin.delete(&path).is(200).json()["bearers_revoked"], 2);
    ask(&home, &url, None).refuses(409, "PAIR_EXISTS");
    // And its host is not asked instead.
    let reached = web.reached(WEB);
    home.refuses_signer(&link, DID, "KEY_UNKNOWN");
    assert_eq!(web.reached(WEB), reached);
    web.host(WEB, Certificate::Good, Does::Answers(both(DID, 7, &url)));
    let again = ask(&home, &url, None).is(201).json();
    bearer(home.vouched_by(&link, DID, "did:sync:user:bob"));
    assert_eq!(ground(&home, &link, "did:sync:user:bob"), (json!("paired"), again["pair_id"].clone()));
    // Certificates that do not hold are no way to pin either.
    for bad in [Certificate::Expired, Certificate::Foreign, Certificate::Misnamed] {
        web.host("two.example-test.org", bad, Does::Answers(both("did:web:two.example-test.org", 9, &url)));
        ask(&home, "https://two.example-test.org", None).refuses(502, "PEER_UNREACHABLE");
    }
    web.host(
        "two.example-test.org",
        Certificate::Good,
        Does::Answers(both("did:web:two.example-test.org", 9, &url)),
    );
    ask(&home, "https://two.example-test.org", None).is(201);
}

const METADATA: (&str, &[&str]) = ("metadata.example-test.org", &["169.254.169.254"]);

#[test]
fn peers_are_never_looked_for_on_the_link_alone() {
    runs_inside(
        "federation::hostile::pairs::inside_addresses",
        &[METADATA, ("mixed.example-test.org", &["169.254.169.254", "10.1.2.3"])],
    );
}

#[test]
#[ignore = "run by the test above, in a network of its own"]
fn inside_addresses() {
    let did = key(7).public().did();
    let came = Arc::new(AtomicUsize::new(0));
    for port in [80, 443] {
        let listener = TcpListener::bind(("169.254.169.254", port)).expect("a port of a network of its own");
        let came = Arc::clone(&came);
        // Ends with the process of the tests.
        std::thread::spawn(move || {
            for _one in listener.incoming().flatten() {
                came.fetch_add(1, Ordering::AcqRel);
            }
        });
    }
    let peer = both(&did, 7, "http://10.1.2.3");
    let _peer = Fake::at("10.1.2.3:80", move |_| peer.clone());
    let home = Home::memory();
    for url in [
        "http://169.254.169.254",
        "https://169.254.169.254",
        "http://[::ffff:169.254.169.254]",
        "http://0xa9fea9fe",
        "http://metadata.example-test.org",
        "https://metadata.example-test.org",
        "http://0.0.0.0",
        "http://224.0.0.1",
        "http://[fe80::1]",
        "http://[::]",
    ] {
        ask(&home, url, Some(&did)).refuses(502, "PEER_UNREACHABLE");
    }
    assert_eq!(came.load(Ordering::Acquire), 0, "somebody was connected to");
    assert_eq!(home.admin.rows("/v1/federation/pairs"), Vec::<Value>::new());
    // In own networks there are peers, whom somebody has to name where nothing but the address does.
    ask(&home, "http://10.1.2.3", None).refuses(400, "INVALID_BODY");
    ask(&home, "http://10.1.2.3", Some(&key(8).public().did())).refuses(502, "PEER_UNREACHABLE");
    // Of a name's addresses those that are refused are left out.
    let pair = ask(&home, "http://mixed.example-test.org", Some(&did)).is(201).json();
    assert_eq!((&pair["peer_did"], came.load(Ordering::Acquire)), (&json!(did), 0));
}
