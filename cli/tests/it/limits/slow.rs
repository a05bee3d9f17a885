//! Clients that send slowly, or not at all, or take nothing.

use std::time::Duration;

use serde_json::{Value, json};

use crate::raw::{Client, Server, envelope, now, wait_at_most};

/// Waits for the end of a connection; gives the time it took.
fn closed_after(mut client: Client) -> Duration {
    let start = now();
    // Whether an answer comes first or not: then it ends.
    while client.reply().is_ok() {}
    start.elapsed()
}

pub(super) fn headers_that_do_not_arrive_are_not_waited_for() {
    let server = Server::memory();
    let starts: [&[u8]; 5] = [
        b"",
        b"G",
        b"PRI * HTTP/2.0\r\n\r\nSM",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        b"GET /health HTTP/1.1\r\nhost: localhost\r\nx-slow: ",
    ];
    std::thread::scope(|scope| {
        for start in starts {
            let mut client = server.client();
            client.write(start).unwrap();
            scope.spawn(move || {
                let took = closed_after(client);
                assert!(took < Duration::from_secs(15), "{:?}: {took:?}", String::from_utf8_lossy(start));
                assert!(took > Duration::from_secs(8), "{:?}: {took:?}", String::from_utf8_lossy(start));
            });
        }
    });
}

pub(super) fn a_connection_may_rest_between_requests_but_not_within_one() {
    let server = Server::memory();
    let mut resting = server.client();
    let mut within = server.client();
    let start = now();
    resting.get("/health").is(200);
    resting.put("th.rest", &json!({}));
    within.get("/health").is(200);
    within.write(b"GET /health HTTP/1.1\r\nhost: localhost\r\nx-slow: ").unwrap();
    let took = closed_after(within);
    assert!(took > Duration::from_secs(8) && took < Duration::from_secs(15), "{took:?}");
    wait_at_most(Duration::from_secs(20), "longer than a head may take", || {
        (start.elapsed() > Duration::from_secs(13)).then_some(())
    });
    resting.get("/health").is(200);
    resting.put("th.rest", &json!({}));
}

pub(super) fn a_body_that_does_not_arrive_is_a_408() {
    let server = Server::memory();
    let mut client = server.client();
    client.write(b"POST /v1/records HTTP/1.1\r\nhost: localhost\r\ncontent-length: 100\r\n\r\n{").unwrap();
    let start = now();
    client.reply().unwrap().refuses(408, "REQUEST_TIMEOUT");
    let took = start.elapsed();
    assert!(took > Duration::from_secs(25) && took < Duration::from_secs(40), "{took:?}");
}

#[test]
fn bodies_of_a_byte_do_not_use_up_the_memory_for_bodies() {
    let server = Server::memory();
    let slow: Vec<Client> = (0..3000)
        .map_while(|_| {
            let mut client = Client::try_connect(server.port()).ok()?;
            let request = b"POST /v1/records HTTP/1.1\r\nhost: localhost\r\ncontent-length: 1000\r\n\r\n{";
            client.write(request).ok().map(|()| client)
        })
        .collect();
    assert!(slow.len() > 2500, "{} connections", slow.len());
    server.client().put("th.a", &json!({}));
}

/// Two thousand records that fill a page of eight MiB.
fn fill(server: &Server) {
    let text = "x".repeat(20_000);
    let mut client = server.client();
    for batch in 0..4 {
        let records: Vec<Value> = (0..250)
            .map(|n| envelope("th.fill", "did:sync:user:a", Some(batch * 250 + n), &json!({ "t": text })))
            .collect();
        client.post(&json!({ "records": records })).is(201);
    }
}

#[test]
fn three_hundred_unread_pages_are_bounded() {
    let server = Server::disk();
    fill(&server);
    // Ever smaller ones, so that together they take all there is.
    let limits = [1000, 300, 100, 40, 20, 10];
    let unread: Vec<Client> = (0..300)
        .map(|n| {
            let mut client = server.client();
            let limit = limits[n / 50];
            let request =
                format!("GET /v1/records?thread=th.fill&limit={limit} HTTP/1.1\r\nhost: localhost\r\n\r\n");
            client.write(request.as_bytes()).unwrap();
            client
        })
        .collect();
    // What one page more is answered with depends on the memory left; a write never does.
    let mut client = server.client();
    let mut written = 0;
    for n in 0..200 {
        let start = now();
        client.put("th.one", &json!({ "n": n }));
        let one = |m| envelope("th.batch", "did:sync:user:a", None, &json!({ "n": n, "m": m }));
        let reply = client.post(&json!({ "records": [one(1), one(2)] }));
        match reply.status {
            201 => written += 2,
            _ => {
                reply.refuses(503, "BUSY");
            }
        }
        assert!(start.elapsed() < Duration::from_secs(10), "{:?}", start.elapsed());
    }
    let batched = server.client().get("/v1/threads/th.one").is(200).json()["record_count"].as_u64();
    assert_eq!(batched, Some(200));
    let state = server.client().get("/v1/threads/th.batch").json();
    assert_eq!(state["record_count"].as_u64().unwrap_or(0), written, "BUSY means that nothing was written");
    let peak = server.peak_mib();
    assert!(peak < 400, "the instance took {peak} MiB");
    drop(unread);
    wait_at_most(Duration::from_secs(20), "pages are read again", || {
        (server.client().get("/v1/records?thread=th.fill&limit=1000").status == 200).then_some(())
    });
}

/// A frame of HTTP/2.
fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
    let mut frame = length[1..].to_vec();
    frame.extend([kind, flags]);
    frame.extend(stream.to_be_bytes());
    frame.extend(payload);
    frame
}

/// A GET as HTTP/2 headers, none of them compressed.
fn get_frame(stream: u32, path: &str) -> Vec<u8> {
    let mut block = Vec::new();
    for (name, value) in
        [(":method", "GET"), (":scheme", "http"), (":authority", "localhost"), (":path", path)]
    {
        block.push(0);
        block.push(u8::try_from(name.len()).unwrap());
        block.extend(name.as_bytes());
        block.push(u8::try_from(value.len()).unwrap());
        block.extend(value.as_bytes());
    }
    frame(1, 5, stream, &block)
}

pub(super) fn what_a_client_of_http2_never_takes_is_let_go() {
    let server = Server::disk();
    fill(&server);
    let mut client = server.client();
    let mut bytes = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec();
    // A window of nothing: no byte of any answer may be sent.
    bytes.extend(frame(4, 0, 0, &[0, 4, 0, 0, 0, 0]));
    for n in 0..30 {
        bytes.extend(get_frame(4 * n + 1, "/v1/records?thread=th.fill&limit=1000"));
        bytes.extend(get_frame(4 * n + 3, "/v1/events/stream"));
    }
    client.write(&bytes).unwrap();
    let mut other = server.client();
    let start = now();
    wait_at_most(Duration::from_secs(20), "all requests have their answers", || {
        let metrics = other.get("/metrics").text();
        let answered = metrics.lines().filter(|l| {
            l.starts_with("spl_http_requests_total") && l.contains("method=\"GET\",route=\"/v1/records\"")
        });
        let answered: u64 = answered.filter_map(|l| l.rsplit(' ').next()?.parse::<u64>().ok()).sum();
        (answered == 30).then_some(())
    });
    // Two that were made at once may both have been refused for want of the last page's room: it is taken too then.
    let mut more = (30..60).map(|n| get_frame(4 * n + 1, "/v1/records?thread=th.fill&limit=1000"));
    wait_at_most(Duration::from_secs(10), "no page has room", || {
        let answer = other.get("/v1/records?thread=th.fill&limit=1000");
        if answer.status == 503 {
            answer.refuses(503, "BUSY");
            return Some(());
        }
        client.write(&more.next()?).unwrap();
        None
    });
    // The connection lives: a client that means ill answers pings. Here it need not, within their interval.
    wait_at_most(Duration::from_secs(50), "pages are read again", || {
        client.write(&frame(6, 0, 0, &[0; 8])).ok();
        (other.get("/v1/records?thread=th.fill&limit=1000").status == 200).then_some(())
    });
    assert!(start.elapsed() > Duration::from_secs(15), "they were held for a while: {:?}", start.elapsed());
    let peak = server.peak_mib();
    assert!(peak < 400, "the instance took {peak} MiB");
}
