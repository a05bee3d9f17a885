//! Hostile bodies: large, deep, growing, many at a time.

use std::time::Duration;

use serde_json::json;

use crate::raw::{Client, Server, now};

/// Memory that an unoptimised build may take under any of this, in MiB.
const PEAK_MIB: u64 = 400;
/// The largest body that is taken.
const BODY_BYTES: usize = 8 * 1024 * 1024;

fn head(length: usize) -> Vec<u8> {
    format!("POST /v1/records HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\ncontent-length: {length}\r\n\r\n").into_bytes()
}

/// A record whose body has a member `x` of this text.
fn record(x: &str) -> Vec<u8> {
    format!("{{\"thread\":\"th.a\",\"actor\":\"did:sync:user:a\",\"act\":\"PUT\",\"body\":{{\"x\":{x}}}}}")
        .into_bytes()
}

fn is_healthy(server: &Server) {
    let start = now();
    server.client().get("/health/ready").is(200);
    server.client().put("th.after", &json!({}));
    assert!(start.elapsed() < Duration::from_secs(5), "it took {:?}", start.elapsed());
}

#[test]
fn sixty_four_large_bodies_at_once_are_bounded() {
    let server = Server::disk();
    let body = record(&format!("\"{}\"", "x".repeat(BODY_BYTES - 200)));
    // All but the last byte, so that all are held at once.
    let mut clients: Vec<Client> = Vec::new();
    for _ in 0..64 {
        let mut client = server.client();
        client.write(&head(body.len())).unwrap();
        clients.push(client);
    }
    let answers: Vec<_> = std::thread::scope(|scope| {
        let handles: Vec<_> = clients
            .into_iter()
            .map(|mut client| {
                let body = &body;
                scope.spawn(move || {
                    for piece in body[..body.len() - 1].chunks(64 * 1024) {
                        // One that was answered early has been closed.
                        if client.write(piece).is_err() {
                            break;
                        }
                        std::thread::yield_now();
                    }
                    let _ = client.write(&body[body.len() - 1..]);
                    client.reply().ok()
                })
            })
            .collect();
        handles.into_iter().map(|h| h.join().unwrap()).collect()
    });
    let mut taken = 0;
    for answer in answers.into_iter().flatten() {
        match answer.status {
            400 | 413 => taken += 1,
            _ => {
                let answer = answer.refuses(503, "BUSY");
                assert_eq!(answer.header("retry-after"), Some("1"));
            }
        }
    }
    assert!(taken > 0, "some were taken, and refused for their body");
    let peak = server.peak_mib();
    assert!(peak < PEAK_MIB, "the instance took {peak} MiB");
    is_healthy(&server);
}

#[test]
fn a_hostile_body_is_refused_quickly() {
    let server = Server::disk();
    let fill = |unit: &str| unit.repeat((BODY_BYTES - 300) / unit.len());
    let cases = [
        ("brackets", fill("[").into_bytes()),
        ("brackets in a record", record(&fill("["))),
        ("objects", record(&fill("{\"a\":"))),
        ("batch of brackets", format!("{{\"records\":{}", fill("[")).into_bytes()),
        ("batch of objects", format!("{{\"records\":[{}", fill("{\"body\":")).into_bytes()),
        ("growing numbers", record(&format!("[{}1]", fill("1e308,")))),
        ("one huge number", record(&fill("9"))),
        ("one huge exponent", record(&format!("1e{}", fill("9")))),
        ("a long wrong number", record(&format!("0.{}x", fill("1")))),
        ("empty arrays", record(&format!("[{}[]]", fill("[],")))),
        ("same keys", record(&format!("{{{}\"a\":1}}", fill("\"a\":1,")))),
        ("escapes", record(&format!("\"{}\"", fill("\\u0001")))),
        ("white space", [fill(" ").as_bytes(), b"x"].concat()),
        ("quotes", record(&format!("\"{}", fill("\\\"")))),
        ("keys at the top", format!("{{{}\"a\":1}}", fill("\"a\":1,")).into_bytes()),
        ("parents", format!("{{\"thread\":\"a\",\"actor\":\"did:a:a\",\"act\":\"PUT\",\"body\":{{}},\"parents\":[{}\"\"]}}", fill("\"\",")).into_bytes()),
    ];
    for (name, body) in cases {
        let start = now();
        let reply = server.client().try_send("POST", "/v1/records", &body).expect(name);
        assert!(matches!(reply.status, 400 | 413), "{name}: {reply:?}");
        assert!(start.elapsed() < Duration::from_secs(5), "{name} took {:?}", start.elapsed());
        assert!(reply.body.len() < 2000, "{name}: a refusal does not repeat what was sent");
        let reply = server.client().try_send("POST", "/v1/records/query", &body).expect(name);
        assert!(matches!(reply.status, 400 | 413), "{name}: {reply:?}");
    }
    let peak = server.peak_mib();
    assert!(peak < 200, "the instance took {peak} MiB");
    is_healthy(&server);
}

#[test]
fn growing_batches_at_once_are_bounded() {
    let server = Server::disk();
    // A thousand bodies of sixteen thousand bytes each: as much as a batch may come to, from 5 % of it.
    let numbers = vec!["1e308"; 51].join(",");
    let records: Vec<String> = (0..1000)
        .map(|n| {
            format!("{{\"thread\":\"th.a\",\"actor\":\"did:sync:user:a\",\"act\":\"PUT\",\"body\":{{\"n\":{n},\"x\":[{numbers}]}}}}")
        })
        .collect();
    let batch = format!("{{\"records\":[{}]}}", records.join(","));
    let statuses: Vec<u16> = std::thread::scope(|scope| {
        let send = || server.client().try_send("POST", "/v1/records", batch.as_bytes()).expect("an answer");
        let handles: Vec<_> = (0..24).map(|_| scope.spawn(move || send().status)).collect();
        handles.into_iter().map(|h| h.join().unwrap()).collect()
    });
    assert!(statuses.iter().all(|s| matches!(s, 201 | 503)), "{statuses:?}");
    assert!(statuses.contains(&201), "{statuses:?}");
    let written = statuses.iter().filter(|s| **s == 201).count() as u64;
    assert_eq!(
        server.metric("spl_log_records"),
        1 + 1000 * written,
        "what was refused as busy was not written"
    );
    let peak = server.peak_mib();
    assert!(peak < PEAK_MIB, "the instance took {peak} MiB");
    is_healthy(&server);
}
