//! HTTP/2 with prior knowledge, spoken by hand: one request on one stream.

use super::{client::Connection, server::Server};

/// A frame: its type, flags, stream and payload.
fn frame(kind: u8, flags: u8, stream: u8, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).expect("a short frame").to_be_bytes();
    [&length[1..], &[kind, flags, 0, 0, 0, stream], payload].concat()
}

/// A header field, neither indexed nor compressed.
fn field(name: &str, value: &str) -> Vec<u8> {
    let text = |t: &str| [&[u8::try_from(t.len()).expect("a short text")][..], t.as_bytes()].concat();
    [vec![0], text(name), text(value)].concat()
}

const HEADERS: u8 = 1;
const SETTINGS: u8 = 4;
const GO_AWAY: u8 = 7;
const END_STREAM: u8 = 1;
const END_HEADERS: u8 = 4;

/// What came back: the first byte of the answer's header block, which is its status, and its data.
struct Answered {
    status: u8,
    data: Vec<u8>,
}

fn ask(server: &Server, fields: &[(&str, &str)]) -> Option<Answered> {
    let mut connection = Connection::open(server.port).expect("a connection");
    let block: Vec<u8> = fields.iter().flat_map(|(name, value)| field(name, value)).collect();
    let request = [
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec(),
        frame(SETTINGS, 0, 0, &[]),
        frame(HEADERS, END_STREAM | END_HEADERS, 1, &block),
    ];
    connection.send(&request.concat()).expect("sent");
    let mut answered = Answered { status: 0, data: Vec::new() };
    loop {
        let head = connection.take(9).ok()?;
        let length = usize::from(head[0]) << 16 | usize::from(head[1]) << 8 | usize::from(head[2]);
        let payload = connection.take(length).ok()?;
        match head[3] {
            HEADERS => answered.status = payload[0],
            0 => answered.data.extend(payload),
            GO_AWAY | 3 => return None,
            _ => continue,
        }
        if head[3] <= 1 && head[4] & END_STREAM != 0 {
            return Some(answered);
        }
    }
}

/// Indexed fields of the static table.
const OK: u8 = 0x88;
const NOT_FOUND: u8 = 0x8d;

fn request<'a>(authority: &'a str, path: &'a str) -> Vec<(&'static str, &'a str)> {
    vec![(":method", "GET"), (":scheme", "http"), (":authority", authority), (":path", path)]
}

#[test]
fn requests_over_http2_are_answered() {
    let server = Server::start();
    let authority = format!("localhost:{}", server.port);
    let health = ask(&server, &request(&authority, "/health")).expect("an answer");
    assert_eq!(health.status, OK);
    let json: serde_json::Value = serde_json::from_slice(&health.data).expect("JSON");
    assert_eq!(json["status"], "ok");
    assert_eq!(ask(&server, &request(&authority, "/nothing")).expect("an answer").status, NOT_FOUND);
}

#[test]
fn the_same_names_count_over_http2() {
    let server = Server::start();
    let refused = |fields: &[(&str, &str)]| {
        let answer = ask(&server, fields);
        // No request of such a form, or one that the gate turns away.
        if let Some(answer) = answer {
            let text = String::from_utf8_lossy(&answer.data).into_owned();
            assert!(text.is_empty() || text.contains("ORIGIN_FORBIDDEN"), "{fields:?}: {text}");
            assert_ne!(answer.status, OK, "{fields:?}");
        }
    };
    for authority in ["evil.example", "localhost.evil.example", "user@localhost", "[::1].evil.example", ""] {
        refused(&request(authority, "/v1/threads"));
    }
    for host in ["evil.example", "127.0.0.1"] {
        let mut fields = request("localhost", "/v1/threads");
        fields.push(("host", host));
        refused(&fields);
    }
    refused(&[(":method", "GET"), (":scheme", "http"), (":path", "/v1/threads")]);
    let mut twice = vec![(":method", "GET"), (":scheme", "http"), (":path", "/v1/threads")];
    twice.extend([("host", "localhost"), ("host", "localhost")]);
    refused(&twice);
    for name in ["via", "x-forwarded-for", "cf-ray"] {
        let mut fields = request("localhost", "/v1/threads");
        fields.push((name, "1"));
        refused(&fields);
    }
    server.is_well();
}
