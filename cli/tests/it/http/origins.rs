//! What pages in a browser may do, by their origin.

use serde_json::json;

use super::{
    client::Ask,
    server::{Server, record},
};

fn own(server: &Server) -> [String; 3] {
    let port = server.port;
    [format!("http://127.0.0.1:{port}"), format!("http://localhost:{port}"), format!("http://[::1]:{port}")]
}

fn foreign(server: &Server) -> Vec<String> {
    let port = server.port;
    let mut origins = vec![
        format!("https://127.0.0.1:{port}"),
        format!("http://127.0.0.1:{port}/"),
        format!("http://127.0.0.1:{port}.evil.example"),
        format!("http://localhost:{}", port.wrapping_add(1)),
        format!("http://127.0.0.1:{port}, http://evil.example"),
        format!("http://127.0.0.1:{port} http://evil.example"),
        format!("HTTP://LOCALHOST:{port}"),
        format!("http://[::1]:{port}x"),
    ];
    let names = ["null", "", "http://evil.example", "http://localhost", "http://127.0.0.1", "file://", "*"];
    origins.extend(names.map(str::to_owned));
    origins.push("\u{e9}".to_owned());
    origins
}

/// One request of each method that changes something.
fn changing() -> Vec<Ask> {
    vec![
        Ask::post("/v1/records", record("o", json!({})).to_string()),
        Ask::post("/v1/threads", json!({ "goal": "g", "actor": "did:sync:user:a" }).to_string()),
        Ask::post("/v1/records/query", "{}"),
        Ask::new("DELETE", "/v1/threads/o").header("x-syncropel-actor", "did:sync:user:a"),
        Ask::new("POST", "/v1/backup"),
        Ask::new("PATCH", "/v1/records"),
        Ask::new("PUT", "/nothing"),
        Ask::new("PROPFIND", "/v1/records"),
    ]
}

fn preflight(target: &str, origin: &str) -> Ask {
    Ask::new("OPTIONS", target).header("origin", origin).header("access-control-request-method", "POST")
}

#[test]
fn pages_of_other_origins_change_nothing() {
    let server = Server::start();
    for origin in foreign(&server) {
        for ask in changing() {
            server.refuses(&ask.header("origin", &origin), 403, "ORIGIN_FORBIDDEN");
        }
        for target in ["/v1/records", "/v1/threads/o", "/health", "/nothing"] {
            server.refuses(&preflight(target, &origin), 403, "ORIGIN_FORBIDDEN");
        }
    }
}

#[test]
fn pages_of_other_origins_cannot_read_either() {
    let server = Server::start();
    // That no answer allows another origin to read it is checked of every answer.
    for origin in foreign(&server) {
        server.send(&Ask::get("/v1/threads").header("origin", &origin)).is(200);
        server.send(&Ask::get("/health").header("origin", &origin)).is(200);
    }
    let metrics = Ask::get("/metrics").header("origin", "null");
    server.refuses(&metrics, 401, "AUTH_REQUIRED");
}

#[test]
fn own_pages_may() {
    let server = Server::start();
    for origin in own(&server) {
        let statuses: Vec<u16> =
            changing().into_iter().map(|ask| server.send(&ask.header("origin", &origin)).status).collect();
        assert_eq!(statuses, [201, 201, 200, 400, 401, 405, 404, 405], "{origin}");
        let allowed = server.send(&preflight("/v1/records", &origin)).is(204);
        let methods = allowed.header("access-control-allow-methods").expect("methods");
        assert!(["GET", "POST", "DELETE"].iter().all(|m| methods.contains(m)), "{methods}");
        let headers = allowed.header("access-control-allow-headers").expect("headers").to_lowercase();
        for header in ["authorization", "x-api-key", "content-type", "x-syncropel-actor", "last-event-id"] {
            assert!(headers.contains(header), "{headers}");
        }
        assert!(!headers.contains("x-syncropel-local") && !headers.contains('*'), "{headers}");
    }
}

#[test]
fn two_origins_are_not_an_own_one() {
    let server = Server::start();
    let own = &own(&server)[0];
    for (first, second) in
        [(own.as_str(), "http://evil.example"), ("http://evil.example", own), (own, "null")]
    {
        for ask in changing() {
            let ask = ask.header("origin", first).header("origin", second);
            server.refuses(&ask, 403, "ORIGIN_FORBIDDEN");
        }
        let preflight = preflight("/v1/records", first).header("origin", second);
        server.refuses(&preflight, 403, "ORIGIN_FORBIDDEN");
    }
}

#[test]
fn a_public_url_is_an_own_origin() {
    let options = ["--insecure-localhost", "--memory", "--public-url", "https://SPL.example.com"];
    let server = Server::start_with(&options);
    let write = Ask::post("/v1/records", record("o", json!({})).to_string());
    server.send(&write.clone().header("origin", "https://spl.example.com")).is(201);
    for origin in ["http://spl.example.com", "https://spl.example.com:8443", "https://x.spl.example.com"] {
        server.refuses(&write.clone().header("origin", origin), 403, "ORIGIN_FORBIDDEN");
    }
    // Its host is not a name for local requests.
    server.refuses(&write.header("host", "spl.example.com"), 403, "ORIGIN_FORBIDDEN");
}

#[test]
fn options_without_an_origin_is_just_a_method() {
    let server = Server::start();
    for target in ["/v1/records", "/health"] {
        let answer = server.send(&Ask::new("OPTIONS", target));
        answer.refuses(405, "METHOD_NOT_ALLOWED");
        assert!(answer.header("allow").is_some_and(|allow| allow.contains("GET")), "{:?}", answer.headers);
    }
    server.send(&Ask::new("OPTIONS", "/nothing")).refuses(404, "NOT_FOUND");
}
