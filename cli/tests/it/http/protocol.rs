//! HTTP/1.1 itself: methods, pipelining, odd paths, and requests that are none.

use serde_json::json;

use super::{
    client::{Ask, Connection, exchange},
    server::{Server, record},
};

#[test]
fn head_is_get_without_a_body() {
    let server = Server::start();
    server.instance.sample_thread();
    for target in ["/health", "/v1/threads", "/v1/records?act=DO", "/v1/export", "/openapi.json", "/metrics"]
    {
        let (get, head) = (server.get(target), server.send(&Ask::new("HEAD", target)));
        assert_eq!((head.status, head.body.len()), (get.status, 0), "{target}");
        assert_eq!(head.header("content-type"), get.header("content-type"), "{target}");
    }
    assert_eq!(server.send(&Ask::new("HEAD", "/nothing")).status, 404);
    assert_eq!(server.send(&Ask::new("HEAD", "/v1/records?limit=0")).status, 400);
    assert_eq!(server.send(&Ask::new("HEAD", "/v1/records/query")).status, 405);
    for target in ["/v1/events/stream", "/v1/threads/x/watch"] {
        assert_eq!(server.send(&Ask::new("HEAD", target)).status, 200);
    }
}

#[test]
fn unknown_paths_and_methods_are_told_apart() {
    let server = Server::start();
    let before = server.head();
    for path in [
        "/nothing",
        "/v1",
        "/v1/",
        "/v2/records",
        "/v1/records/x/y",
        "/v1/threads/x/none",
        "/favicon.ico",
        "/i/x/y",
    ] {
        server.get(path).refuses(404, "NOT_FOUND");
        server.send(&Ask::new("POST", path)).refuses(404, "NOT_FOUND");
    }
    for method in ["PUT", "PATCH", "TRACE", "PROPFIND", "get", "GETT"] {
        for path in ["/v1/records", "/v1/threads/x", "/health", "/docs/api"] {
            let answer = server.send(&Ask::new(method, path));
            answer.refuses(405, "METHOD_NOT_ALLOWED");
            assert!(answer.header("allow").is_some(), "{method} {path}");
        }
    }
    assert_eq!(server.head(), before);
}

#[test]
fn odd_paths_are_answered() {
    let server = Server::start();
    let paths = [
        "/v1/threads/%00",
        "/v1/threads/%2F",
        "/v1/threads/%",
        "/v1/threads/%zz",
        "/v1/threads/%FF",
        "/v1/threads/%C3%28",
        "/v1/threads/..",
        "/v1/threads/../records",
        "/v1/threads/.",
        "//v1/threads",
        "/v1//threads",
        "/v1/threads//state",
        "/v1/threads/%ED%A0%80/state",
        "/v1/threads/a%0d%0ax:%20y/records",
        "/v1/records/%FF",
        "/v1/threads/%2e%2e%2f",
        "/v1/threads/x/",
        "/V1/threads",
        "/v1/threads;x=1",
        "/v1/threads%3Flimit=0",
        "/%76%31/threads",
        "/v1/threads?%",
        "/v1/threads?%FF=1",
        "/v1/threads?=&&=",
        "/v1/threads?limit",
        "/v1/threads??limit=1",
        "/v1/threads?limit=1;x=2",
        "/v1/records?thread=%FF",
        "/v1/records?thread=%00",
        "/v1/records?thread=",
        "/v1/records?act=%F0%9F",
        "/*",
        "/{id}",
        "/v1/threads/{id}",
        "/v1/threads/*",
        "/health?",
        "/health?&",
        "/health#x",
    ];
    for path in paths {
        for method in ["GET", "HEAD", "DELETE", "POST"] {
            let answer = exchange(server.port, &Ask::new(method, path)).expect("an answer");
            assert!(answer.status < 500, "{method} {path}: {}", answer.status);
        }
    }
    let long = format!("/v1/threads/{}", "a".repeat(20_000));
    let answer = exchange(server.port, &Ask::get(&long)).expect("an answer");
    assert!(matches!(answer.status, 404 | 414), "{}", answer.status);
    let name = format!("/v1/threads/{}", "%C3%A9".repeat(5000));
    assert!(exchange(server.port, &Ask::get(&name)).expect("an answer").status < 500);
    server.is_well();
}

#[test]
fn a_client_that_waits_is_told_to_go_on() {
    let server = Server::start();
    let body = record("waiting", json!({})).to_string();
    let ask = Ask::post("/v1/records", body.clone()).header("expect", "100-continue");
    let bytes = ask.bytes(server.port);
    let (head, rest) = bytes.split_at(bytes.len() - body.len());
    let mut connection = Connection::open(server.port).expect("a connection");
    connection.send(head).expect("sent");
    assert_eq!(connection.answer("POST").expect("an answer").status, 100);
    connection.send(rest).expect("sent");
    assert_eq!(connection.answer("POST").expect("an answer").status, 201);
    // Whoever is refused is not told to send.
    let large =
        Ask::post("/v1/records", "").header("content-length", "9000000").header("expect", "100-continue");
    assert_eq!(exchange(server.port, &large).expect("an answer").status, 413);
    let foreign = ask.header("origin", "null");
    assert_eq!(exchange(server.port, &foreign).expect("an answer").status, 403);
}

#[test]
fn requests_in_a_row_are_answered_in_order() {
    let server = Server::start();
    let mut connection = Connection::open(server.port).expect("a connection");
    let write = |n: u64| Ask::post("/v1/records", record("row", json!({ "n": n })).to_string());
    let asks: Vec<Ask> = (0..20)
        .map(|n| match n % 4 {
            0 => write(n),
            1 => Ask::get("/v1/records?thread=row"),
            2 => Ask::get("/nothing"),
            _ => Ask::post("/v1/records", "{"),
        })
        .collect();
    let bytes: Vec<u8> = asks.iter().flat_map(|ask| ask.bytes(server.port)).collect();
    connection.send(&bytes).expect("sent");
    for (n, ask) in asks.iter().enumerate() {
        let answer = connection.answer(&ask.method).expect("an answer");
        assert_eq!(answer.status, [201, 200, 404, 400][n % 4], "{n}");
        if n % 4 == 1 {
            assert_eq!(answer.rows().len(), n / 4 + 1);
        }
    }
}

#[test]
fn what_is_no_request_harms_nobody() {
    let server = Server::start();
    let before = server.head();
    let body = record("smuggled", json!({})).to_string();
    let smuggled = format!(
        "POST /v1/records HTTP/1.1\r\nhost: localhost\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    );
    let cases = [
        "\r\n\r\n".to_owned(),
        "GET\r\n\r\n".to_owned(),
        "GET /health\r\n\r\n".to_owned(),
        "GET /health HTTP/9.9\r\nhost: localhost\r\n\r\n".to_owned(),
        "GET  /health HTTP/1.1\r\nhost: localhost\r\n\r\n".to_owned(),
        "GET /health HTTP/1.1\r\nhost : localhost\r\n\r\n".to_owned(),
        "GET /health HTTP/1.1\r\n host: localhost\r\n\r\n".to_owned(),
        "GET /health HTTP/1.1\r\nhost: localhost\r\nbad header\r\n\r\n".to_owned(),
        "GET /health HTTP/1.1\r\nhost: localhost\r\nx: a\u{0}b\r\n\r\n".to_owned(),
        "CONNECT localhost:80 HTTP/1.1\r\nhost: localhost:80\r\n\r\n".to_owned(),
        "GET * HTTP/1.1\r\nhost: localhost\r\n\r\n".to_owned(),
        "\u{16}\u{3}\u{1}\u{2}\u{0}\u{1}\u{0}".to_owned(),
    ];
    // A second request inside of what must not be read as a body of the first.
    let framings = [
        ("/nothing", "content-length: 0\r\ncontent-length: 5", ""),
        ("/nothing", "content-length: 9\r\ntransfer-encoding: xchunked", ""),
        ("/nothing", "content-length: +0", ""),
        ("/nothing", "content-length: -1", ""),
        ("/v1/records", "content-length: 99999999999999999999", ""),
        ("/v1/records", "transfer-encoding: chunked", "zz\r\n"),
        ("/v1/records", "transfer-encoding: chunked", "ffffffffffffffffff\r\n"),
        ("/v1/records", "transfer-encoding: chunked", "-1\r\n"),
    ];
    let framed = framings.map(|(path, framing, first)| {
        format!("POST {path} HTTP/1.1\r\nhost: localhost\r\n{framing}\r\n\r\n{first}{smuggled}")
    });
    for case in cases.into_iter().chain(framed) {
        let answer = server.raw(case.as_bytes());
        let text = String::from_utf8_lossy(&answer);
        assert!(!text.contains("HTTP/1.1 5") && !text.contains("HTTP/1.0 5"), "{case:?}: {text}");
        assert_eq!(server.head(), before, "{case:?}: {text}");
    }
    server.is_well();
}
