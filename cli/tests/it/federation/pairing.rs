//! Who is pinned, and who is not: one answer for all that may be wrong with a peer.

use std::{io::Read as _, io::Write as _, net::TcpListener, time::Duration};

use serde_json::{Value, json};

use super::kit::{Home, answer, document, key, manifest, now_ms, signed, typed_answer};
use crate::{
    raw::{Reply, now},
    support::Fake,
};

const HOUR_MS: u64 = 3_600_000;
/// The longest that a peer is waited for, with room for a busy machine.
const SOON: Duration = Duration::from_secs(4);

#[track_caller]
fn ask(alice: &Home, url: &str, expected: Option<&str>) -> Reply {
    let mut asked = json!({ "peer_url": url });
    if let Some(did) = expected {
        asked["expected_did"] = json!(did);
    }
    alice.admin.post("/v1/federation/pairs", &asked)
}

/// Something that serves these two answers, and nothing else.
fn serves(manifest: Vec<u8>, document: Vec<u8>) -> Fake {
    Fake::local(move |request| {
        if request.starts_with("get /.well-known/syncropel ") {
            manifest.clone()
        } else if request.starts_with("get /.well-known/did.json ") {
            document.clone()
        } else {
            b"HTTP/1.1 404 X\r\ncontent-length: 0\r\nconnection: close\r\n\r\n".to_vec()
        }
    })
}

/// A peer with a key of the tests, whose manifest and document somebody may have changed.
fn altered(change: impl Fn(&mut Value, &mut Value)) -> Fake {
    let key = key(7);
    let did = key.public().did();
    let mut honest = signed(manifest(&did, &key.public(), "https://bob.example.com", now_ms()), &key);
    let mut document = document(&did, &key.public());
    change(&mut honest, &mut document);
    serves(answer(&honest), answer(&document))
}

/// A manifest that was changed before it was signed.
fn stated(by: u8, change: impl Fn(&mut Value)) -> Value {
    let key = key(by);
    let mut manifest = manifest(&key.public().did(), &key.public(), "https://bob.example.com", now_ms());
    change(&mut manifest);
    signed(manifest, &key)
}

/// Peers that are none, and what is wrong with each.
fn impostors() -> Vec<(&'static str, Fake)> {
    let own = || answer(&document(&key(7).public().did(), &key(7).public()));
    let with_manifest = |manifest: &Value| serves(answer(manifest), own());
    let honest = stated(7, |_| {}).to_string();
    let redirect = "HTTP/1.1 302 X\r\nlocation: /elsewhere\r\ncontent-length: 0\r\nconnection: close\r\n\r\n";
    let padded = format!("{}{}", " ".repeat(64 * 1024), honest);
    vec![
        ("another address", altered(|m, _| m["federation_manifest"]["url"] = json!("https://evil.example"))),
        (
            "another key",
            altered(|m, _| m["federation_manifest"]["public_key"] = json!(key(8).public().base64url())),
        ),
        (
            "another DID",
            altered(|m, _| m["federation_manifest"]["daemon"]["did"] = json!(key(8).public().did())),
        ),
        ("one more member", altered(|m, _| m["federation_manifest"]["more"] = json!(true))),
        (
            "a later end",
            altered(|m, _| m["federation_manifest"]["expires_at"] = json!("2999-01-01T00:00:00.000Z")),
        ),
        (
            "no signature",
            altered(|m, _| {
                let members = m["federation_manifest"].as_object_mut().expect("members");
                members.remove("signature").expect("a signature");
            }),
        ),
        (
            "somebody else's signature",
            altered(|m, _| {
                let other = stated(8, |_| {});
                m["federation_manifest"]["signature"] = other["federation_manifest"]["signature"].clone();
            }),
        ),
        ("no manifest", altered(|m, _| m["federation_manifest"] = Value::Null)),
        ("a document of another", altered(|_, d| *d = document(&key(8).public().did(), &key(8).public()))),
        (
            "a document with another key",
            altered(|_, d| {
                d["verificationMethod"][0]["publicKeyMultibase"] = json!(key(8).public().multibase());
            }),
        ),
        ("a key that only signs in", altered(|_, d| d["assertionMethod"] = json!([]))),
        ("a document of nobody", altered(|_, d| d["id"] = Value::Null)),
        (
            "its time is over",
            with_manifest(&stated(7, |m| {
                let over = manifest("x", &key(7).public(), "x", now_ms() - 2 * HOUR_MS);
                m["signed_at"] = over["signed_at"].clone();
                m["expires_at"] = over["expires_at"].clone();
            })),
        ),
        (
            "its time has not come",
            with_manifest(&stated(7, |m| {
                m["signed_at"] =
                    manifest("x", &key(7).public(), "x", now_ms() + HOUR_MS)["signed_at"].clone();
            })),
        ),
        (
            "a DID that is another key",
            with_manifest(&stated(7, |m| m["daemon"]["did"] = json!(key(8).public().did()))),
        ),
        (
            "a DID that nobody can check",
            altered(|m, d| {
                *m = stated(7, |m| m["daemon"]["did"] = json!("did:sync:instance:bob"));
                *d = document("did:sync:instance:bob", &key(7).public());
            }),
        ),
        (
            "a did:web that was not asked",
            altered(|m, d| {
                *m = stated(7, |m| m["daemon"]["did"] = json!("did:web:bob.example.com"));
                *d = document("did:web:bob.example.com", &key(7).public());
            }),
        ),
        ("no JSON by its type", serves(typed_answer("text/html", &honest), own())),
        ("no JSON", serves(typed_answer("application/json", "<html>"), own())),
        ("nothing of it", serves(Vec::new(), own())),
        ("another way", serves(redirect.as_bytes().to_vec(), own())),
        ("too much of it", serves(typed_answer("application/json", &padded), own())),
        ("no document", serves(answer(&stated(7, |_| {})), redirect.as_bytes().to_vec())),
    ]
}

/// Insists that nothing is pinned, and that the answer says no more than it always does.
#[track_caller]
fn not_pinned(alice: &Home, what: &str, reply: Reply) {
    const SAID: &str =
        "nothing answers at that address as an instance does, or not as the one that was expected";
    let reply = reply.refuses(502, "PEER_UNREACHABLE");
    let hint = "is `<peer_url>/.well-known/syncropel` what its operator sees, with the DID that `spl identity show` prints there?";
    let always = json!({
        "object": "error", "type": "api_error", "code": "PEER_UNREACHABLE", "message": SAID, "hint": hint,
    });
    assert_eq!(reply.json(), always, "{what}");
    assert_eq!(alice.admin.rows("/v1/federation/pairs"), Vec::<Value>::new(), "{what}");
}

#[test]
fn whoever_is_not_what_it_must_be_is_not_pinned() {
    let alice = Home::memory();
    let head = alice.admin.head();
    for (what, fake) in impostors() {
        not_pinned(&alice, what, ask(&alice, &fake.url(), None));
        let heard = fake.heard();
        assert!(
            heard.iter().all(|request| !request.contains("authorization") && !request.contains("cookie")),
            "{what}"
        );
        assert!(heard.len() <= 2 && !heard.is_empty(), "{what}: {heard:?}");
    }
    // Nobody there at all: the port is somebody's who does not listen any more.
    let closed = TcpListener::bind("127.0.0.1:0").expect("a port").local_addr().expect("an address");
    not_pinned(&alice, "nobody", ask(&alice, &format!("http://{closed}"), None));
    not_pinned(&alice, "no such name", ask(&alice, "https://nobody.invalid", None));
    assert_eq!(alice.admin.head(), head, "nothing is written");
    // The same but for nothing wrong with it is pinned: it is not the fakes themselves that are refused.
    let honest = altered(|_, _| {});
    let pair = ask(&alice, &honest.url(), None).is(201).json();
    assert_eq!((&pair["peer_did"], &pair["peer_version"]), (&json!(key(7).public().did()), &json!("9.9.9")));
    assert_eq!(pair["peer_key_fp"], key(7).public().fingerprint());
}

/// Says that it accepts, and gives a byte whenever nothing has come for a moment.
fn drips() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("an address");
    // Ends with the process of the tests.
    std::thread::spawn(move || {
        for mut one in listener.incoming().flatten() {
            std::thread::spawn(move || {
                let pace = one.set_read_timeout(Some(Duration::from_millis(50)));
                let head = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\n\r\n";
                let mut open = pace.is_ok() && one.write_all(head).is_ok();
                while open {
                    let ended = matches!(one.read(&mut [0; 1024]), Ok(0));
                    open = !ended && one.write_all(b" ").is_ok();
                }
            });
        }
    });
    format!("http://{address}")
}

#[test]
fn whoever_takes_too_long_is_not_waited_for() {
    let (alice, bob) = (Home::memory(), Home::memory());
    // Accepted by the system, and by nobody else.
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let silent = format!("http://{}", listener.local_addr().expect("an address"));
    std::thread::scope(|scope| {
        let asked = [("a byte now and then", drips()), ("no answer", silent)].map(|(what, url)| {
            let alice = &alice;
            scope.spawn(move || {
                let start = now();
                not_pinned(alice, what, ask(alice, &url, None));
                assert!(start.elapsed() < SOON, "{what}: {:?}", start.elapsed());
            })
        });
        // Nobody else has to wait for that.
        let start = now();
        ask(&alice, &bob.url(), Some(&alice.did)).refuses(502, "PEER_UNREACHABLE");
        assert!(start.elapsed() < SOON / 4, "{:?}", start.elapsed());
        asked.into_iter().for_each(|one| one.join().expect("no panic"));
    });
}

#[test]
fn an_instance_is_pinned_once_and_never_by_itself() {
    let (alice, bob) = (Home::memory(), Home::memory());
    ask(&alice, &alice.url(), None).refuses(409, "PAIR_EXISTS");
    not_pinned(&alice, "another than expected", ask(&alice, &bob.url(), Some(&alice.did)));
    let pair = alice.pairs_with(&bob);
    let head = alice.admin.head();
    let text = ask(&alice, &bob.url(), None).refuses(409, "PAIR_EXISTS").text();
    assert!(text.contains(pair["pair_id"].as_str().expect("an id")), "it says as which: {text}");
    ask(&alice, &bob.url().replace("127.0.0.1", "localhost"), None).refuses(409, "PAIR_EXISTS");
    assert_eq!(alice.admin.head(), head);
    // The other way round is Bob's own matter.
    bob.pairs_with(&alice);
    // What is no origin is told apart: that the asker knows anyway.
    let far = "http://bob.example.com";
    for url in
        ["", "bob", "ftp://bob.example.com", "https://bob.example.com/x", "https://u@bob.example.com", far]
    {
        ask(&alice, url, None).refuses(400, "INVALID_BODY");
    }
    ask(&alice, far, Some("did:web:bob.example.com")).refuses(400, "INVALID_BODY");
}

#[test]
fn nobody_else_may_look_or_pin() {
    let (alice, bob) = (Home::memory(), Home::memory());
    let reader = alice.admin.contributor("did:sync:user:carol");
    let manager = alice.admin.account(&["did:sync:user:dora"], &["federation:manage"]);
    let asked = json!({ "peer_url": bob.url() });
    alice.node.as_token(&reader).post("/v1/federation/pairs", &asked).refuses(403, "SCOPE_FORBIDDEN");
    alice.node.as_token(&reader).get("/v1/federation/pairs").refuses(403, "SCOPE_FORBIDDEN");
    alice.admin.set("auth_required", &json!({ "enabled": false })).is(201);
    for caller in [alice.node.anyone(), alice.node.owner()] {
        caller.post("/v1/federation/pairs", &asked).is(401);
        caller.get("/v1/federation/pairs").is(401);
    }
    let pair = alice.node.as_token(&manager).post("/v1/federation/pairs", &asked).is(201).json();
    let path = format!("/v1/federation/pairs/{}", pair["pair_id"].as_str().expect("an id"));
    alice.node.anyone().delete(&path).is(401);
    alice.node.as_token(&reader).delete(&path).refuses(403, "SCOPE_FORBIDDEN");
    alice.node.as_token(&manager).get(&path).is(200);
    let answer = alice.node.as_token(&manager).delete(&path).is(200).json();
    assert_eq!(answer["status"], "removed");
    alice.admin.delete("/v1/federation/pairs/pair_0123456789abcdef").refuses(404, "PAIR_NOT_FOUND");
}
