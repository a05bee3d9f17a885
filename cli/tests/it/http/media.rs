//! Sizes, media types, and what a route takes besides its body.

use serde_json::json;

use super::{
    client::{Ask, Connection},
    server::{Server, record},
};

const WRITING: [&str; 3] = ["/v1/records", "/v1/records/query", "/v1/threads"];
const FORM: &str = "application/x-www-form-urlencoded";

fn typed(media_type: &str) -> Ask {
    let body = record("media", json!({})).to_string();
    Ask::post("/v1/records", body).without("content-type").header("content-type", media_type)
}

#[test]
fn json_comes_under_its_own_names_only() {
    let server = Server::start();
    let taken = [
        "application/json",
        "APPLICATION/JSON",
        "application/json; charset=utf-8",
        "application/ld+json",
        "application/vnd.api+json;v=1",
        " application/json ",
    ];
    for media_type in taken {
        server.send(&typed(media_type)).is(201);
    }
    server.send(&typed("x").without("content-type")).is(201);
    let refused = [
        "text/plain",
        "text/json",
        "application/xml",
        "multipart/form-data; boundary=x",
        FORM,
        "",
        "json",
        "text/plain, application/json",
        "application/jsonx",
        "text/plain;application/json",
        "image/svg+json",
    ];
    for media_type in refused {
        server.refuses(&typed(media_type), 415, "UNSUPPORTED_MEDIA_TYPE");
    }
    for path in WRITING {
        for encoding in ["gzip", "identity", "br"] {
            let ask = Ask::post(path, "{}").header("content-encoding", encoding);
            server.refuses(&ask, 415, "UNSUPPORTED_MEDIA_TYPE");
        }
    }
}

#[test]
fn a_form_is_taken_from_whoever_shows_a_credential() {
    let server = Server::start();
    let origin = format!("http://127.0.0.1:{}", server.port);
    let form = || typed(FORM);
    server.send(&form().header("x-syncropel-local", &server.proof)).is(201);
    server.send(&form().header("x-api-key", "sk")).is(201);
    server.send(&form().header("authorization", "Bearer sk")).is(201);
    let refused = [
        form(),
        form().header("x-syncropel-local", "0"),
        form().header("x-syncropel-local", &server.proof).header("origin", &origin),
        form().header("x-api-key", "sk").header("origin", &origin),
    ];
    for ask in refused {
        server.refuses(&ask, 415, "UNSUPPORTED_MEDIA_TYPE");
    }
}

#[test]
fn more_than_8_mib_is_refused() {
    let server = Server::start();
    const MAX: usize = 8 * 1024 * 1024;
    for path in WRITING {
        let large = Ask::post(path, vec![b' '; MAX + 1]);
        server.refuses(&large, 413, "BODY_TOO_LARGE");
        // Size comes before the media type.
        let plain = large.without("content-type").header("content-type", "text/plain");
        server.refuses(&plain, 413, "BODY_TOO_LARGE");
        let chunk =
            [format!("{MAX:x}\r\n").as_bytes(), &vec![b' '; MAX], b"\r\n1\r\n \r\n0\r\n\r\n"].concat();
        let chunked = Ask::post(path, chunk).header("transfer-encoding", "chunked");
        server.refuses(&chunked, 413, "BODY_TOO_LARGE");
        // One byte less is read, and found to be no JSON.
        server.refuses(&Ask::post(path, vec![b' '; MAX]), 400, "INVALID_BODY");
    }
    // The answer does not wait for a body that does not come.
    let stated =
        Ask { body: None, ..Ask::post(WRITING[0], "") }.header("content-length", &(MAX + 1).to_string());
    server.refuses(&stated, 413, "BODY_TOO_LARGE");
    let padded = format!("{}{}", " ".repeat(4 << 20), record("t", json!({})));
    server.write(&padded).is(201);
}

#[test]
fn chunks_make_a_body() {
    let server = Server::start();
    let text = record("chunks", json!({ "a": "b" })).to_string();
    let chunks: String = text.as_bytes().chunks(7).fold(String::new(), |all, chunk| {
        format!("{all}{:x}\r\n{}\r\n", chunk.len(), String::from_utf8_lossy(chunk))
    });
    let ask = Ask::post("/v1/records", format!("{chunks}0\r\n\r\n")).header("transfer-encoding", "chunked");
    server.send(&ask).is(201);
}

#[test]
fn a_body_that_breaks_off_writes_nothing() {
    let server = Server::start();
    let before = server.head();
    let text = record("broken", json!({})).to_string();
    let ask = Ask::post("/v1/records", text.clone()).header("content-length", &(text.len() + 1).to_string());
    server.raw(&ask.bytes(server.port));
    let mut connection = Connection::open(server.port).expect("a connection");
    connection.send(&ask.bytes(server.port)).expect("sent");
    drop(connection);
    server.is_well();
    assert_eq!(server.head(), before);
}

#[test]
fn the_actor_header_comes_once_and_is_a_did() {
    let server = Server::start();
    let record = record("actors", json!({})).to_string();
    let asks = [Ask::post("/v1/records", record), Ask::post("/v1/threads", "{\"goal\":\"g\"}")];
    for ask in asks {
        for actor in ["alice", "", "did:sync:a b", "did:sync:é"] {
            server.refuses(&ask.clone().header("x-syncropel-actor", actor), 400, "INVALID_BODY");
        }
        let twice = ask
            .clone()
            .header("x-syncropel-actor", "did:sync:user:a")
            .header("x-syncropel-actor", "did:sync:user:a");
        server.refuses(&twice, 400, "INVALID_BODY");
        server.send(&ask.header("x-syncropel-actor", "did:sync:user:a")).is(201);
    }
}

#[test]
fn records_of_other_instances_must_be_signed() {
    let server = Server::start();
    let body = record("peer", json!({})).to_string();
    let ask = Ask::post("/v1/records", body).header("x-syncropel-federation", "1");
    server.refuses(&ask, 422, "SIGNATURE_REQUIRED");
}

#[test]
fn unknown_parameters_are_refused_on_every_route() {
    let server = Server::start();
    for operation in super::documented::operations() {
        let documents = operation.path.starts_with("/docs") || operation.path == "/openapi.json";
        if documents || operation.value["requestBody"].is_object() {
            continue;
        }
        let target = format!("{}?bogus=1", operation.path_with("nothing"));
        let ask = server.as_admin(Ask::new(&operation.method, &target));
        let message = server.refuses(&ask, 400, "INVALID_QUERY");
        assert!(message.contains("bogus"), "{message}");
    }
    for path in WRITING {
        let body = record("t", json!({})).to_string();
        let message = server.refuses(&Ask::post(&format!("{path}?bogus=1"), body), 400, "INVALID_QUERY");
        assert!(message.contains("bogus"), "{message}");
    }
}
