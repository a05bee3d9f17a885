//! One record by id over HTTP, with a bearer. Floor: the same from an instance that asks local callers for
//! none. Connections stay open.

#![expect(clippy::expect_used, reason = "a benchmark that cannot run has no result")]

use std::{io::Write as _, net::TcpStream, time::Duration};

use criterion::{Criterion, criterion_group, criterion_main};
use spl_benches::{
    Size, disk_directory, ratio,
    server::{ACTOR, Server, answer, connect},
    timed,
};

/// Writes a record and gives the request that reads it.
fn reading(server: &Server) -> Vec<u8> {
    let mut socket = connect(server.port);
    let body = format!(r#"{{"thread":"bench","actor":"{ACTOR}","act":"KNOW","body":{{"n":1}}}}"#);
    socket.write_all(&server.request("POST /v1/records", &body)).expect("sent");
    let answer = answer(&mut socket, &mut Vec::new());
    let body: serde_json::Value = serde_json::from_slice(&answer).expect("JSON");
    let id = body["id"].as_str().unwrap_or_else(|| body["data"][0]["id"].as_str().expect("an id"));
    server.request(&format!("GET /v1/records/{id}"), "")
}

/// Each connection has one request under way at a time.
fn read(sockets: &mut [TcpStream], request: &[u8], times: usize) -> Duration {
    let mut buffer = Vec::new();
    timed(|| {
        for _ in 0..times {
            for socket in &mut *sockets {
                socket.write_all(request).expect("sent");
            }
            for socket in &mut *sockets {
                answer(socket, &mut buffer);
            }
        }
    })
}

fn authenticated_read(c: &mut Criterion) {
    let size = Size::of_this_run();
    let directory = disk_directory().expect("a directory");
    let open = Server::start(&directory.path().join("open"), true);
    let secure = Server::start(&directory.path().join("secure"), false);
    let (without, with) = (reading(&open), reading(&secure));
    for connections in [1, 16] {
        let sockets = |port| (0..connections).map(|_| connect(port)).collect::<Vec<_>>();
        let (mut floor, mut ours) = (sockets(open.port), sockets(secure.port));
        let times = size.checks / (5 * connections);
        ratio(
            &format!("authenticated read, {connections} connections, over none"),
            size.rounds * 10,
            || read(&mut floor, &without, times),
            || read(&mut ours, &with, times),
        );
    }
    let mut one = [connect(secure.port)];
    c.bench_function("authenticated read", |b| b.iter(|| read(&mut one, &with, 1)));
    drop(one);
    open.stop();
    secure.stop();
}

criterion_group!(benches, authenticated_read);
criterion_main!(benches);
