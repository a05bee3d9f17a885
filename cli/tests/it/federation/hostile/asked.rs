//! Hosts that are asked: an honest one, and all the others.

use std::net::TcpListener;

use serde_json::{Value, json};

use super::{
    GLOBAL, bearer, ground,
    web::{Certificate, Does, Web},
};
use crate::{
    federation::kit::{Home, answer, document, key, typed_answer},
    namespace::runs_inside,
    support::status_answer,
};

const WEB: &str = "web.example-test.org";
/// Where nobody takes a connection from the system.
const SILENT: &str = "93.184.216.35";
/// Where there is nothing but plain HTTP.
const PLAIN: &str = "93.184.216.36";

fn did(host: &str) -> String {
    format!("did:web:{host}")
}

/// The document of an honest host.
fn honest(host: &str) -> Value {
    document(&did(host), &key(7).public())
}

/// A document with something changed.
fn changed(host: &str, change: impl Fn(&mut Value)) -> Does {
    let mut document = honest(host);
    change(&mut document);
    Does::Answers(answer(&document))
}

fn head(lines: &str) -> Vec<u8> {
    format!("HTTP/1.1 200 OK\r\ncontent-type: application/json\r\n{lines}\r\n").into_bytes()
}

/// What somebody is told, and what this instance's own log says of it where no document came.
struct Case {
    host: &'static str,
    certificate: Certificate,
    does: Does,
    code: &'static str,
    logged: Option<&'static str>,
}

fn case(host: &'static str, does: Does, logged: Option<&'static str>) -> Case {
    Case { host, certificate: Certificate::Good, does, code: "KEY_UNKNOWN", logged }
}

fn refused_at_once() -> Vec<Case> {
    let to_good = format!(
        "HTTP/1.1 302 Found\r\nlocation: https://{WEB}/.well-known/did.json\r\ncontent-length: 0\r\n\r\n"
    );
    let honest_text = |host: &str| honest(host).to_string();
    let padded = |host: &str| format!("{}{}", " ".repeat(64 * 1024), honest_text(host));
    let chunk = |text: &str| format!("{:x}\r\n{text}\r\n0\r\n\r\n", text.len());
    let chunked =
        [head("transfer-encoding: chunked\r\n"), chunk(&padded("chunked.example-test.org")).into_bytes()];
    let zipped = head("content-encoding: gzip\r\ncontent-length: 4\r\n");
    let shown = |certificate, host: &'static str| Case {
        certificate,
        ..case(host, Does::Answers(answer(&honest(host))), Some("certificate"))
    };
    let other = key(8).public();
    let misfit =
        |host, change: fn(&mut Value)| Case { code: "BAD_PROOF", ..case(host, changed(host, change), None) };
    vec![
        case("redirect.example-test.org", Does::Answers(to_good.into_bytes()), Some("302")),
        case("missing.example-test.org", Does::Answers(status_answer(404, &json!({}))), Some("404")),
        case(
            "huge.example-test.org",
            Does::Floods(head("content-length: 1073741824\r\n")),
            Some("too large"),
        ),
        case("endless.example-test.org", Does::Floods(head("connection: close\r\n")), Some("too large")),
        case("chunked.example-test.org", Does::Answers(chunked.concat()), Some("too large")),
        case(
            "gzip.example-test.org",
            Does::Answers([zipped, b"\x1f\x8b\x08\x00".to_vec()].concat()),
            Some("encoded"),
        ),
        case(
            "html.example-test.org",
            Does::Answers(typed_answer("text/html", &honest_text("html.example-test.org"))),
            Some("content type"),
        ),
        case("nonsense.example-test.org", Does::Answers(typed_answer("application/json", "{")), None),
        case("nothing.example-test.org", Does::Answers(Vec::new()), Some("")),
        case("wrong-id.example-test.org", Does::Answers(answer(&honest(WEB))), None),
        case(
            "no-assertion.example-test.org",
            changed("no-assertion.example-test.org", |d| {
                d["assertionMethod"] = json!([]);
            }),
            None,
        ),
        case(
            "controlled.example-test.org",
            changed("controlled.example-test.org", |d| {
                d["verificationMethod"][0]["controller"] = json!("did:web:evil.example-test.org");
            }),
            None,
        ),
        Case {
            code: "BAD_PROOF",
            ..case(
                "other-key.example-test.org",
                Does::Answers(answer(&document(&did("other-key.example-test.org"), &other))),
                None,
            )
        },
        // The key is there, to sign in with; another one asserts.
        misfit("signs-in.example-test.org", |d| {
            let mut second = d["verificationMethod"][0].clone();
            let id = format!("{}#key-2", d["id"].as_str().expect("a DID"));
            second["id"] = json!(id);
            second["publicKeyMultibase"] = json!(key(8).public().multibase());
            d["verificationMethod"].as_array_mut().expect("methods").push(second);
            d["assertionMethod"] = json!([id]);
        }),
        shown(Certificate::Expired, "expired.example-test.org"),
        shown(Certificate::Foreign, "foreign.example-test.org"),
        shown(Certificate::Misnamed, "misnamed.example-test.org"),
    ]
}

const SLOW: [&str; 3] = ["drips.example-test.org", "waits.example-test.org", "silent.example-test.org"];
const CROWD: [&str; 6] = [
    "crowd-1.example-test.org",
    "crowd-2.example-test.org",
    "crowd-3.example-test.org",
    "crowd-4.example-test.org",
    "crowd-5.example-test.org",
    "crowd-6.example-test.org",
];

/// Runs a test where all these hosts are.
#[track_caller]
fn among_hosts(test: &str) {
    let cases = refused_at_once();
    let all = cases.iter().map(|case| case.host).chain(SLOW).chain(CROWD).chain([WEB]);
    let mut hosts: Vec<(&str, &[&str])> = all
        .map(|name| {
            let at: &[&str] = if name == "silent.example-test.org" { &[SILENT] } else { &[GLOBAL] };
            (name, at)
        })
        .collect();
    hosts.push(("plain.example-test.org", &[PLAIN]));
    runs_inside(test, &hosts);
}

#[test]
fn an_honest_host_vouches() {
    among_hosts("federation::hostile::asked::inside_honest");
}

#[test]
#[ignore = "run by the test above, in a network of its own"]
fn inside_honest() {
    let web = Web::at(GLOBAL);
    web.host(WEB, Certificate::Good, Does::Answers(answer(&honest(WEB))));
    let home = Home::trusting(&web.authorities());
    let link = home.open_invite();
    // Off unless somebody switches it on: nobody is asked.
    home.refuses_signer(&link, &did(WEB), "KEY_UNKNOWN");
    assert_eq!(web.reached_at_all(), 0);
    home.spl(&["config", "set", "federation_did_web", "true"]).ok();
    let bob = bearer(home.vouched_by(&link, &did(WEB), "did:sync:user:bob"));
    assert_eq!(ground(&home, &link, "did:sync:user:bob"), (json!("did_web"), Value::Null));
    let as_bob = home.node.anyone().bearer(&bob);
    assert_eq!(as_bob.get("/v1/identity").is(200).json()["caller"]["actor"], "did:sync:user:bob");
    // What was asked, and what was not told.
    let [request] = <[String; 1]>::try_from(web.requests()).expect("one request");
    assert!(request.starts_with("get /.well-known/did.json http/1.1\r\n"), "{request}");
    assert!(request.contains(&format!("\r\nhost: {WEB}\r\n")), "{request}");
    for header in ["authorization", "cookie", "referer", "x-syncropel", "forwarded", "accept-encoding: gzip"]
    {
        assert!(!request.contains(header), "{header}: {request}");
    }
    // It speaks for itself under its own name, and for nobody else's; it is not asked again for minutes.
    bearer(home.vouched_by(&link, &did(WEB), &did(WEB)));
    home.refuses_signer_of(&link, &did(WEB), &did("other.example-test.org"));
    assert_eq!(web.reached(WEB), 1);
    // Switched off again nobody more is let in, and whoever is in stays.
    home.spl(&["config", "set", "federation_did_web", "false"]).ok();
    home.refuses_signer(&link, &did(WEB), "KEY_UNKNOWN");
    as_bob.get("/v1/threads").is(200);
    assert_eq!(web.reached(WEB), 1);
}

impl Home {
    /// Insists that this signer cannot bring this name.
    #[track_caller]
    fn refuses_signer_of(&self, link: &crate::federation::kit::Link, signer: &str, holder: &str) {
        self.vouched_by(link, signer, holder).refuses(403, "DID_CLAIM_DENIED");
        self.recorded(link, "did_claim_denied", signer);
    }
}

#[test]
fn hosts_that_mean_no_good_vouch_for_nobody() {
    among_hosts("federation::hostile::asked::inside_hostile");
}

#[test]
#[ignore = "run by the test above, in a network of its own"]
fn inside_hostile() {
    let web = Web::at(GLOBAL);
    web.host(WEB, Certificate::Good, Does::Answers(answer(&honest(WEB))));
    let plain = TcpListener::bind((PLAIN, 80)).expect("port 80 of a network of its own");
    plain.set_nonblocking(true).expect("a listener");
    let home = Home::trusting(&web.authorities());
    home.asks_hosts(true);
    let link = home.open_invite();
    for Case { host, certificate, does, code, logged } in refused_at_once() {
        web.host(host, certificate, does);
        home.refuses_signer(&link, &did(host), code);
        let reasons = home.logged_of(host);
        if let Some(part) = logged {
            assert!(reasons.len() == 1 && reasons[0].contains(part), "{host}: {reasons:?}");
        }
        // Neither documents nor failures are fetched again at once: nobody has it hammer a host.
        home.refuses_signer(&link, &did(host), code);
        assert_eq!(web.reached(host), 1, "{host}");
    }
    home.refuses_signer(&link, &did("plain.example-test.org"), "KEY_UNKNOWN");
    assert!(plain.accept().is_err(), "plain HTTP was tried");
    assert_eq!(web.reached(WEB), 0, "a redirection was followed");
    // After all that an honest host is believed.
    bearer(home.vouched_by(&link, &did(WEB), "did:sync:user:bob"));
    let row = home.row(&link.id);
    assert_eq!(row["redemptions"].as_array().map(Vec::len), Some(1), "{row}");
    assert_eq!(row["uses_remaining"], 999, "refusals cost no use");
}

#[test]
fn hosts_that_take_too_long_are_not_waited_for() {
    among_hosts("federation::hostile::asked::inside_slow");
}

#[test]
#[ignore = "run by the test above, in a network of its own"]
fn inside_slow() {
    let web = Web::at(GLOBAL);
    let _silent = TcpListener::bind((SILENT, 443)).expect("port 443 of a network of its own");
    web.host(SLOW[0], Certificate::Good, Does::Drips(head("connection: close\r\n")));
    for name in [SLOW[1]].into_iter().chain(CROWD) {
        web.host(name, Certificate::Good, Does::Waits);
    }
    let home = Home::trusting(&web.authorities());
    home.asks_hosts(true);
    let link = home.open_invite();
    std::thread::scope(|scope| {
        for name in SLOW {
            let (home, link) = (&home, &link);
            scope.spawn(move || home.refuses_signer(link, &did(name), "KEY_UNKNOWN"));
        }
    });
    for name in SLOW {
        assert_eq!(home.logged_of(name), ["no answer in time"], "{name}");
    }
    web.has_open(0);

    // A crowd of them keeps no more than four connections, and nobody waits longer for it.
    std::thread::scope(|scope| {
        for name in CROWD {
            let (home, link) = (&home, &link);
            scope.spawn(move || home.refuses_signer(link, &did(name), "KEY_UNKNOWN"));
        }
        web.has_open(4);
        // Those who name no host are let in all the while.
        let signer = key(9).public().did();
        let body = crate::federation::kit::vouched(&home, &link, (&signer, &key(9)), "did:sync:user:carol");
        let start = crate::raw::now();
        home.node.anyone().post(&link.redeem_at(), &body).is(200);
        assert!(start.elapsed() < super::SOON / 4, "{:?}", start.elapsed());
    });
    web.has_open(0);
    assert_eq!(web.most_open(), 4);
}
