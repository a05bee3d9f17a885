//! An instance that nobody has an account on yet: only its open routes answer.

use super::{
    client::{Ask, exchange},
    documented::{NO_INVITE, is_open, operations},
    server::Server,
};

fn bootstrap() -> Server {
    Server::start_with(&["--memory", "--public-url", "https://spl.example.com"])
}

#[test]
fn everything_but_the_open_routes_waits_for_an_account() {
    let server = bootstrap();
    for operation in operations() {
        let link = operation.path == "/v1/invites/{id}" || operation.path == "/v1/invites/{id}/redeem";
        let filled = operation.path.replace("/v1/invites/{id}", NO_INVITE);
        let target = if link { filled } else { operation.path_with("api.js") };
        let ask = Ask::new(&operation.method, &target)
            .header("x-syncropel-local", &server.proof)
            .header("x-syncropel-actor", "did:sync:user:a");
        let answer = server.send(&ask);
        if operation.path == "/v1/bootstrap/service-account" {
            // The way out: it was reached, and found no body.
            answer.refuses(400, "INVALID_BODY");
        } else if operation.path == "/v1/invites/{id}" {
            answer.refuses(404, "INVITE_NOT_FOUND");
        } else if link {
            answer.refuses(400, "INVALID_BODY");
        } else if is_open(&operation.path) {
            assert_eq!(answer.status, 200, "{} {}", operation.method, operation.path);
        } else {
            answer.refuses(503, "BOOTSTRAP_REQUIRED");
            let json = answer.json();
            assert!(json["instructions"].as_array().is_some_and(|i| !i.is_empty()), "{json}");
            assert!(json["hint"].is_string(), "{json}");
        }
    }
    // Whether a path exists is nobody's business yet.
    for ask in [Ask::get("/nothing"), Ask::new("PUT", "/v1/records"), Ask::post("/v1/records", "{")] {
        server.send(&ask).refuses(503, "BOOTSTRAP_REQUIRED");
    }
    let health = server.get("/health").json();
    assert_eq!((&health["auth"]["required"], &health["auth"]["mode"]), (&true.into(), &"bootstrap".into()));
    assert_eq!(health["records"], 0);
}

#[test]
fn a_name_must_be_an_address_or_the_public_one() {
    let server = bootstrap();
    let ask = |host: &str| Ask::get("/v1/threads").header("host", host);
    let known = [
        "localhost",
        "LOCALHOST:1",
        "127.0.0.1",
        "10.0.0.1",
        "192.0.2.7:9100",
        "[::1]:80",
        "[2001:db8::1]",
        "spl.example.com",
        "SPL.example.com:443",
    ];
    for host in known {
        server.send(&ask(host)).refuses(503, "BOOTSTRAP_REQUIRED");
    }
    let unknown = [
        "evil.example",
        "spl.example.com.evil.example",
        "x.spl.example.com",
        "spl.example.com.",
        "127.0.0.1.x",
        "[2001:db8::1].evil.example",
        "user@spl.example.com",
    ];
    for host in unknown {
        server.send(&ask(host)).refuses(403, "ORIGIN_FORBIDDEN");
        // Open routes tell the same to everyone.
        assert_eq!(
            exchange(server.port, &Ask::get("/health").header("host", host)).expect("answered").status,
            200
        );
    }
    server.send(&ask("localhost").header("host", "localhost")).refuses(403, "ORIGIN_FORBIDDEN");
    server.send(&ask("localhost").header("x-forwarded-for", "1")).refuses(503, "BOOTSTRAP_REQUIRED");
    let foreign = Ask::post("/v1/records", "{}").header("origin", "http://evil.example");
    server.send(&foreign).refuses(403, "ORIGIN_FORBIDDEN");
}

#[test]
fn open_routes_are_open_by_their_exact_path() {
    let server = bootstrap();
    let paths = [
        "/health/",
        "//health",
        "/health/x",
        "/HEALTH",
        "/health%2Fready",
        "/docs/apix",
        "/docs",
        "/openapi.json/",
        "/./health",
        "/v1/../health",
        "/%68ealth",
        "/v1/capabilities/",
        "/v1/capabilities/../threads",
        "/.well-known/did.json/",
        "/.well-known/did.JSON",
        "/v1/invites",
        "/v1/invites/",
        "/v1/invites/stream",
        "/v1/invites/audit",
        "/v1/invites/inv_",
        "/v1/invites/inv_000000000000000",
        "/v1/invites/inv_00000000000000000",
        "/v1/invites/inv_000000000000000l",
        "/v1/invites/INV_0000000000000000",
        "/v1/invites/inv_0000000000000000/",
        "/v1/invites/inv_0000000000000000/revoke",
        "/v1/invites/inv_0000000000000000/redeem/redeem",
        "/v1/invites/inv_0000000000000000%2fredeem",
        "/local/",
        "/local/threads/",
        "/local/threads/x/y",
        "/LOCAL",
        "/settings",
        "/settings/devices/",
        "/i/",
        "/i/x/y",
        "/pair/x",
        "/studio/",
    ];
    for path in paths {
        let status = server.get(path).status;
        assert!(matches!(status, 503), "{path}: {status}");
    }
    for path in ["/docs/api/", "/docs/api/../../v1/threads", "/docs/api/x", "/docs/api/%2e%2e", "/docs/api//"]
    {
        server.get(path).refuses(404, "NOT_FOUND");
    }
    for path in ["/", "/local/pair", "/settings/devices", "/i/x", "/studio/main.js"] {
        server.get(path).is(200);
    }
}
