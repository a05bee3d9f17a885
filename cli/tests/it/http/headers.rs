//! What every answer carries. The rest of it is checked of every answer in all of these tests.

use super::{
    client::Ask,
    documented::{is_readable_anywhere, operations},
    server::Server,
};

#[test]
fn a_request_id_is_kept_only_where_it_can_carry_nothing_else() {
    let server = Server::start();
    let long = "a".repeat(64);
    let kept = ["abcdefgh", "A-1-b-2-C", "--------", &long];
    let replaced = [
        "",
        "abcdefg",
        &format!("{long}a"),
        "abc def gh",
        "abcdefgh!",
        "abcdefgh_",
        "abcdefgh;x=1",
        "<script>alert",
        "abcdéfghi",
        "../../../x",
    ];
    for target in ["/health", "/v1/threads", "/nothing", "/v1/records?limit=0"] {
        for id in kept {
            let answer = server.send(&Ask::get(target).header("x-request-id", id));
            assert_eq!(answer.header("x-request-id"), Some(id));
        }
        for id in replaced {
            let answer = server.send(&Ask::get(target).header("x-request-id", id));
            assert_ne!(answer.header("x-request-id"), Some(id));
        }
    }
    let ids: std::collections::BTreeSet<String> =
        (0..100).map(|_| server.get("/health").header("x-request-id").expect("an id").to_owned()).collect();
    assert_eq!(ids.len(), 100);
}

#[test]
fn headers_are_bounded_all_together() {
    let server = Server::start();
    let refused = [
        Ask::get("/v1/threads").header("x-long", &"a".repeat(17 * 1024)),
        Ask::get("/health").header("x-long", &"a".repeat(40 * 1024)),
        Ask::get("/nothing").header("x-long", &"a".repeat(17 * 1024)).header("host", "evil.example"),
        (0..60).fold(Ask::get("/v1/threads"), |ask, n| ask.header(&format!("x-{n}"), &"a".repeat(300))),
        Ask::post("/v1/records", "{}").header("x-long", &"a".repeat(17 * 1024)),
    ];
    for ask in refused {
        server.refuses(&ask, 431, "HEADERS_TOO_LARGE");
    }
    server.send(&Ask::get("/v1/threads").header("x-long", &"a".repeat(15 * 1024))).is(200);
    // What is longer still is refused while it is read.
    let endless = Ask::get("/v1/threads").header("x-long", &"a".repeat(200 * 1024));
    let answer = super::client::exchange(server.port, &endless);
    assert!(answer.as_ref().map_or(true, |a| a.status == 431), "{answer:?}");
    let headers =
        |count| (0..count).fold(Ask::get("/v1/threads"), |ask, n| ask.header(&format!("x-{n}"), "a"));
    server.send(&headers(90)).is(200);
    let answer = super::client::exchange(server.port, &headers(101));
    assert!(answer.as_ref().map_or(true, |a| a.status == 431), "{answer:?}");
    server.is_well();
}

#[test]
fn only_discovery_is_for_every_origin() {
    let server = Server::start();
    for operation in operations() {
        let target = operation.path_with("x");
        let stream = target.ends_with("/watch") || target.ends_with("/stream");
        let target = if stream { format!("{target}?bogus=1") } else { target };
        let foreign = Ask::new(&operation.method, &target).header("origin", "https://evil.example");
        let answer = server.send(&foreign);
        let anyone = answer.all("access-control-allow-origin") == ["*"];
        assert_eq!(anyone, is_readable_anywhere(&operation.path), "{target}");
        for name in
            ["access-control-allow-methods", "access-control-allow-headers", "access-control-expose-headers"]
        {
            assert_eq!(answer.header(name), None, "{target}");
        }
    }
}

#[test]
fn secrets_are_in_no_answer() {
    let server = Server::start();
    let home = server.instance.sandbox.home().display().to_string();
    for operation in operations().into_iter().filter(|o| o.method == "GET") {
        if operation.path.ends_with("/watch") || operation.path.ends_with("/stream") {
            continue;
        }
        let target = operation.path_with("x");
        let text = server.send(&Ask::get(&target).header("x-syncropel-local", &server.proof)).text();
        assert!(!text.contains(&server.proof) && !text.contains(&home), "{target}");
    }
}

#[test]
fn metrics_name_routes_and_nothing_that_was_sent() {
    let server = Server::start();
    for target in [
        "/v1/threads/secret-name",
        "/v1/records?thread=secret-name",
        "/secret-name",
        "/v1/records/secret-name",
    ] {
        server.get(target);
    }
    server.send(&Ask::new("SECRETMETHOD", "/v1/records"));
    let text = server.get("/metrics").is(200).text();
    assert!(!text.to_lowercase().contains("secret"), "{text}");
    for expected in ["/v1/threads/{id}", "unmatched", "other"] {
        assert!(text.contains(expected), "{expected}");
    }
}
