//! The first account: one, made by whoever can read the home directory.

use std::sync::Barrier;

use serde_json::{Value, json};

use super::kit::{ADMIN, Node, Token, refuses_with_hint};

const PATH: &str = "/v1/bootstrap/service-account";

fn first(name: &str) -> Value {
    json!({ "display_name": name, "actors": [ADMIN], "with_token": true })
}

#[test]
fn of_fifty_at_once_one_is_first() {
    let node = Node::disk();
    let barrier = Barrier::new(50);
    let answers: Vec<_> = std::thread::scope(|scope| {
        let one = |number: usize| {
            let (owner, barrier) = (node.owner(), &barrier);
            scope.spawn(move || {
                barrier.wait();
                owner.post(PATH, &first(&format!("number {number}")))
            })
        };
        let all: Vec<_> = (0..50).map(one).collect();
        all.into_iter().map(|thread| thread.join().expect("an answer")).collect()
    });
    let (made, late): (Vec<_>, Vec<_>) = answers.into_iter().partition(|a| a.status == 201);
    assert_eq!((made.len(), late.len()), (1, 49));
    for reply in late {
        refuses_with_hint(reply, 409, "BOOTSTRAP_CLOSED");
    }
    let token = Token::of(&made[0].json());
    let admin = node.as_token(&token);
    let accounts = admin.rows("/v1/service-accounts");
    assert_eq!(accounts.len(), 1, "{accounts:?}");
    assert_eq!((&accounts[0]["id"], &accounts[0]["origin"]), (&json!(token.account), &json!("bootstrap")));
    // One commit after the instance's name: account, token, a grant for each resource, each with its mirror.
    let threads: Vec<String> =
        admin.exported(true).iter().map(|r| r["thread"].as_str().expect("a thread").to_owned()).collect();
    let pair = |source: &str, mirror: &str| [source.to_owned(), mirror.to_owned()];
    let mut expected = vec!["th_identity".to_owned()];
    expected.extend(pair("th_service_accounts", "th_audit_tokens"));
    expected.extend(pair("th_api_tokens", "th_audit_tokens"));
    (0..3).for_each(|_| expected.extend(pair("th_consent", "th_audit_consent")));
    assert_eq!(threads, expected);
}

#[test]
fn it_is_for_whoever_reads_the_home_directory_and_comes_directly() {
    let node = Node::memory();
    let (owner, anyone) = (node.owner(), node.anyone());
    let own_origin = format!("http://127.0.0.1:{}", node.port);
    let proof = node.proof.as_str();
    let strangers = [
        ("no proof", anyone.clone()),
        ("a wrong proof", anyone.header("x-syncropel-local", &"0".repeat(64))),
        ("an empty proof", anyone.header("x-syncropel-local", "")),
        ("a proof in capitals", anyone.header("x-syncropel-local", &proof.to_uppercase())),
        ("half a proof", anyone.header("x-syncropel-local", &proof[..32])),
        ("a proof and more", anyone.header("x-syncropel-local", &format!("{proof}0"))),
        ("two proofs", owner.header("x-syncropel-local", proof)),
        ("a wrong proof after the right one", owner.header("x-syncropel-local", "x")),
        ("a proof as bearer", anyone.bearer(proof)),
        ("x-forwarded-for", owner.header("x-forwarded-for", "127.0.0.1")),
        ("an empty x-forwarded-for", owner.header("x-forwarded-for", "")),
        ("x-forwarded-host", owner.header("x-forwarded-host", "localhost")),
        ("forwarded", owner.header("forwarded", "for=127.0.0.1")),
        ("x-real-ip", owner.header("x-real-ip", "127.0.0.1")),
        ("via", owner.header("via", "1.1 proxy")),
        ("cf-connecting-ip", owner.header("cf-connecting-ip", "127.0.0.1")),
        ("its own origin", owner.header("origin", &own_origin)),
        ("another address", owner.header("host", "192.0.2.1")),
        ("a name", owner.header("host", "evil.example")),
        ("a name that begins well", owner.header("host", "localhost.evil.example")),
        ("two hosts", owner.header("host", "localhost").header("host", "localhost")),
    ];
    for (what, stranger) in &strangers {
        // Rather less is said of the body than of who sends it.
        for body in [first("x"), json!({ "nonsense": 1 })] {
            let reply = stranger.post(PATH, &body);
            assert_eq!(reply.status, 403, "{what}: {}", reply.text());
            let json = refuses_with_hint(reply, 403, "BOOTSTRAP_LOCAL_ONLY");
            assert!(!json.to_string().contains(proof), "{json}");
        }
    }
    for foreign in ["null", "https://evil.example"] {
        owner.header("origin", foreign).post(PATH, &first("x")).refuses(403, "ORIGIN_FORBIDDEN");
    }
    // None of it wrote anything, and the door is still open.
    for host in ["localhost", "LOCALHOST:80", "127.9.9.9", "[::1]:1"] {
        let reply = owner.header("host", host).post(PATH, &json!({ "display_name": "", "with_token": true }));
        assert_eq!(reply.status, 400, "{host}: {}", reply.text());
    }
    let admin = node.admin();
    assert_eq!(admin.head(), 11, "the name of the instance and one commit");
    let closed = owner.post(PATH, &first("again"));
    refuses_with_hint(closed, 409, "BOOTSTRAP_CLOSED");
    // Who is asked first, also once it is closed.
    refuses_with_hint(anyone.post(PATH, &first("again")), 403, "BOOTSTRAP_LOCAL_ONLY");
    admin.post(PATH, &first("again")).refuses(403, "BOOTSTRAP_LOCAL_ONLY");
}

#[test]
fn what_makes_no_credential_or_is_malformed_writes_nothing() {
    let node = Node::memory();
    let owner = node.owner();
    let with = |member: &str, value: Value| {
        let mut body = first("x");
        body[member] = value;
        body
    };
    let without = |member: &str| {
        let mut body = first("x");
        body.as_object_mut().expect("an object").remove(member);
        body
    };
    let refused = [
        (without("with_token"), "INVALID_BODY"),
        (with("with_token", json!(false)), "INVALID_BODY"),
        (with("with_token", json!("true")), "INVALID_BODY"),
        (with("with_token", json!({ "token_id": "ab" })), "INVALID_BODY"),
        (with("with_token", json!({ "token_id": "AB".repeat(32) })), "INVALID_BODY"),
        (with("with_token", json!({ "secret": "x" })), "INVALID_BODY"),
        (with("service_account_id", json!("sa_short")), "INVALID_BODY"),
        (with("service_account_id", json!("sa_iiiiiiiiiiiiiiii")), "INVALID_BODY"),
        (with("service_account_id", json!("SA_0123456789abcdef")), "INVALID_BODY"),
        (with("service_account_id", json!("sa-bootstrap-env")), "INVALID_BODY"),
        (with("display_name", json!("")), "INVALID_NAME"),
        (with("display_name", json!(" x")), "INVALID_NAME"),
        (with("display_name", json!("a\u{202e}b")), "INVALID_NAME"),
        (with("display_name", json!("x".repeat(129))), "INVALID_NAME"),
        (with("scopes", json!(["everything"])), "INVALID_BODY"),
        (with("scopes", json!(["admin", "thread:x:read"])), "INVALID_BODY"),
        (with("actors", json!(["alice"])), "INVALID_BODY"),
        (with("env_tag", json!("Prod")), "INVALID_BODY"),
        (with("nonsense", json!(1)), "INVALID_BODY"),
        (without("display_name"), "INVALID_BODY"),
    ];
    for (body, code) in refused {
        let reply = owner.post(PATH, &body);
        assert_eq!(reply.status, 400, "{body}: {}", reply.text());
        assert_eq!(reply.json()["code"], code, "{body}: {}", reply.text());
    }
    for actor in ["did:sync:system:engine", "did:sync:system:sa_0123456789abcdef"] {
        owner.post(PATH, &with("actors", json!([actor]))).refuses(403, "DID_CLAIM_DENIED");
    }
    owner.post(PATH, &with("namespace", json!("team"))).refuses(403, "NAMESPACE_REJECTED");
    let large = with("display_name", json!("x".repeat(16 * 1024)));
    owner.post(PATH, &large).refuses(413, "BODY_TOO_LARGE");
    assert_eq!(node.admin().head(), 11, "the name of the instance and one commit");
}

#[test]
fn a_client_may_make_the_token_itself() {
    let node = Node::memory();
    let account = "sa_0123456789abcdef";
    let made = Token::made(account);
    let mut body = first("by myself");
    body["service_account_id"] = account.into();
    body["with_token"] = json!({ "token_id": made.id });
    let answer = node.owner().post(PATH, &body).is(201).json();
    assert_eq!(
        (&answer["object"], &answer["service_account_id"], &answer["token_id"]),
        (&json!("bootstrap_result"), &json!(account), &json!(made.id))
    );
    assert!(answer.get("api_key").is_none(), "{answer}");
    let admin = node.as_token(&made);
    assert_eq!(admin.rows("/v1/tokens")[0]["status"], "active");
    for id in ["sa_record_id", "token_record_id"] {
        admin.sequence_of(&answer[id]);
    }
    // An id alone opens nothing, nor does another secret.
    node.anyone().bearer(&made.id).get("/v1/tokens").refuses(401, "AUTH_INVALID");
    node.as_token(&Token::made(account)).get("/v1/tokens").refuses(401, "AUTH_INVALID");
}

#[test]
fn a_normal_instance_begins_only_once_and_an_insecure_one_when_nobody_is_left() {
    let mut node = Node::disk();
    let token = node.bootstrap();
    node.stop();
    node.run(&["--insecure-localhost"]);
    let owner = node.owner();
    owner.post(PATH, &first("x")).refuses(409, "BOOTSTRAP_CLOSED");
    // Only with the proof, even here.
    node.anyone().delete(&format!("/v1/service-accounts/{}", token.account)).refuses(401, "AUTH_REQUIRED");
    owner.delete(&format!("/v1/service-accounts/{}", token.account)).is(200);
    node.stop();
    node.run(&[]);
    node.owner().post(PATH, &first("x")).refuses(409, "BOOTSTRAP_CLOSED");
    node.as_token(&token).get("/v1/tokens").refuses(401, "AUTH_INVALID");
    node.stop();
    node.run(&["--insecure-localhost"]);
    node.anyone().post(PATH, &first("x")).refuses(403, "BOOTSTRAP_LOCAL_ONLY");
    let again = Token::of(&node.owner().post(PATH, &first("again")).is(201).json());
    node.owner().post(PATH, &first("x")).refuses(409, "BOOTSTRAP_CLOSED");
    node.stop();
    node.run(&[]);
    assert_eq!(node.as_token(&again).rows("/v1/service-accounts").len(), 2);
}
