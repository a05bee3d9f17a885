//! Which names a request may call a local instance by, and through whom it may come.

use serde_json::json;

use super::{
    client::Ask,
    server::{Server, record},
};

/// The same request by another name.
fn naming(host: &str) -> [Ask; 2] {
    let body = record("hosts", json!({})).to_string();
    [Ask::get("/v1/threads").header("host", host), Ask::post("/v1/records", body).header("host", host)]
}

#[test]
fn loopback_names_are_served() {
    let server = Server::start();
    let port = server.port;
    let names = [
        "localhost".to_owned(),
        "127.0.0.1".to_owned(),
        "127.9.9.9".to_owned(),
        "[::1]".to_owned(),
        "LOCALHOST".to_owned(),
        "LocalHost:1".to_owned(),
        format!("localhost:{port}"),
        format!("127.0.0.1:{port}"),
        format!("[::1]:{port}"),
        "[0:0:0:0:0:0:0:1]".to_owned(),
    ];
    for name in names {
        for ask in naming(&name) {
            let status = server.send(&ask).status;
            assert!(status == 200 || status == 201, "{name}: {status}");
        }
    }
}

#[test]
fn other_names_are_refused() {
    let server = Server::start();
    let names = [
        "evil.example",
        "localhost.evil.example",
        "127.0.0.1.evil.example",
        "127.0.0.1.evil.example:80",
        "evil.localhost",
        "localhost.",
        "user@localhost",
        "localhost@evil.example",
        "localhost:80@evil.example",
        "[::1].evil.example",
        "[::1]evil",
        "[::1]:80:80",
        "[::1]:evil",
        "[127.0.0.1]",
        "[localhost]",
        "[::1",
        "::1]",
        "::1",
        "[]",
        "[",
        ":80",
        "",
        "0.0.0.0",
        "[::]",
        "10.0.0.1",
        "192.168.0.1",
        "[::ffff:10.0.0.1]",
        "[fe80::1]",
        "2130706433",
        "0x7f000001",
        "0177.0.0.1",
        "127.1",
        "localhost:80:90",
        "localhost:evil",
        "localhost:-1",
        "localhost:+80",
        "localhost:99999",
        "localhost evil.example",
        "localhost,evil.example",
        "localhost/evil",
        "localhost#",
        "localhost?",
        "%6cocalhost",
        "localhost\\evil",
        "lo\u{e9}calhost",
        "localhost\u{3002}example",
        "localhost:80 ",
        "127.0.0.1%00.evil.example",
    ];
    for name in names {
        for ask in naming(name) {
            // White space around a value is no part of it.
            if name.trim() == name {
                refused(&server, &ask, name);
            }
        }
    }
}

/// A name that is no host at all may be refused by the parser of requests, before any route.
#[track_caller]
fn refused(server: &Server, ask: &Ask, name: &str) {
    let before = server.head();
    let answer = super::client::exchange(server.port, ask).expect("an answer");
    assert_eq!(server.head(), before, "{name}");
    if answer.status != 400 {
        assert_eq!(answer.status, 403, "{name:?}: {}", answer.text());
        answer.refuses(403, "ORIGIN_FORBIDDEN");
    }
}

#[test]
fn a_request_names_exactly_one_host() {
    let server = Server::start();
    let ask = Ask::get("/v1/threads");
    for (first, second) in [
        ("localhost", "localhost"),
        ("localhost", "evil.example"),
        ("evil.example", "localhost"),
        ("localhost", ""),
    ] {
        refused(&server, &ask.clone().header("host", first).header("host", second), first);
    }
    refused(&server, &ask.without("host"), "none");
    let old = server.raw_answer(b"GET /v1/threads HTTP/1.0\r\n\r\n");
    assert!(String::from_utf8_lossy(&old).contains("ORIGIN_FORBIDDEN"), "{old:?}");
}

#[test]
fn an_absolute_target_agrees_with_the_host() {
    let server = Server::start();
    let local = format!("127.0.0.1:{}", server.port);
    let target = |authority: &str| Ask::get(&format!("http://{authority}/v1/threads"));
    let served = super::client::exchange(server.port, &target(&local)).expect("an answer");
    assert_eq!(served.status, 200, "{}", served.text());
    let cases = [
        (target("evil.example"), "127.0.0.1"),
        (target("127.0.0.1"), "evil.example"),
        (target("evil.example"), "evil.example"),
        (target("localhost"), "127.0.0.1"),
        (target("user@localhost"), "localhost"),
        (target("user:secret@127.0.0.1"), "127.0.0.1"),
        (target("[::1].evil.example"), "[::1].evil.example"),
    ];
    for (ask, host) in cases {
        refused(&server, &ask.header("host", host), host);
    }
}

#[test]
fn nobody_is_in_between() {
    let server = Server::start();
    let headers = [
        ("Forwarded", "for=127.0.0.1"),
        ("X-Forwarded-For", "127.0.0.1"),
        ("X-Forwarded-Host", "localhost"),
        ("X-Forwarded-Proto", "http"),
        ("x-forwarded-anything", ""),
        ("X-Real-IP", "127.0.0.1"),
        ("Via", "1.1 proxy"),
        ("CF-Connecting-IP", "127.0.0.1"),
        ("cf-ray", "1"),
        ("FORWARDED", ""),
    ];
    for (name, value) in headers {
        for ask in naming("localhost") {
            server.refuses(&ask.header(name, value), 403, "ORIGIN_FORBIDDEN");
        }
        server.refuses(&Ask::get("/health").header(name, value), 403, "ORIGIN_FORBIDDEN");
    }
}

#[test]
fn the_gate_comes_first() {
    let server = Server::start();
    let evil = |ask: Ask| ask.header("host", "evil.example");
    let asks = [
        evil(Ask::get("/nothing")),
        evil(Ask::new("PUT", "/v1/records")),
        evil(Ask::post("/v1/records", "{")),
        evil(Ask::get("/v1/records?limit=0")),
        evil(Ask::get("/v1/verify")),
        evil(Ask::post("/v1/records", "").header("content-length", "99999999")),
        evil(Ask::get("/openapi.json")),
        evil(Ask::new("OPTIONS", "*")),
    ];
    for ask in asks {
        server.refuses(&ask, 403, "ORIGIN_FORBIDDEN");
    }
}
