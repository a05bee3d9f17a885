//! One record by id over HTTP, with a bearer. Floor: the same from an instance that asks local callers for
//! none. Connections stay open.

#![expect(clippy::expect_used, reason = "a benchmark that cannot run has no result")]

use std::{
    io::{Read as _, Write as _},
    net::{Ipv4Addr, TcpListener, TcpStream},
    path::Path,
    thread::JoinHandle,
    time::Duration,
};

use criterion::{Criterion, criterion_group, criterion_main};
use spl_benches::{Size, disk_directory, ratio, timed};
use spl_projections::tokens::{ENVIRONMENT_ACCOUNT, EnvTag, Plaintext};
use spl_server::{ServeError, ServeOptions, serve_until};
use tokio::sync::oneshot;
use zeroize::Zeroizing;

const ACTOR: &str = "did:sync:user:bench";
const SECRET: &str = "0123456789abcdefghjkmnpqrstvwxyz";

/// An instance in this process, and how it is spoken to.
struct Server {
    port: u16,
    credential: String,
    stop: oneshot::Sender<()>,
    thread: JoinHandle<Result<(), ServeError>>,
}

fn free_port() -> u16 {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port");
    listener.local_addr().expect("an address").port()
}

fn connect(port: u16) -> TcpStream {
    let socket = loop {
        match TcpStream::connect((Ipv4Addr::LOCALHOST, port)) {
            Ok(socket) => break socket,
            Err(_) => std::thread::yield_now(),
        }
    };
    socket.set_nodelay(true).expect("set");
    socket.set_read_timeout(Some(Duration::from_secs(30))).expect("set");
    socket
}

impl Server {
    fn start(home: &Path, insecure: bool) -> Self {
        let port = free_port();
        let options = ServeOptions {
            home: home.to_owned(),
            host: Ipv4Addr::LOCALHOST.into(),
            port,
            memory: true,
            insecure_localhost: insecure,
            public_url: None,
            new_log: false,
            accept_older_log: false,
            keep_token: None,
            accept_clock: false,
            foreground: false,
            log_filter: None,
            bootstrap_token: (!insecure).then(|| spl_server::Secret::new(Zeroizing::new(SECRET.to_owned()))),
            bootstrap_actor: ACTOR.to_owned(),
        };
        let (stop, stopped) = oneshot::channel::<()>();
        let thread = std::thread::spawn(move || {
            serve_until(options, async {
                // Dropping the other end stops it too.
                let _ = stopped.await;
            })
        });
        let token = Plaintext::new(EnvTag::default(), ENVIRONMENT_ACCOUNT, SECRET);
        let bearer = format!("Authorization: Bearer {}\r\nX-Syncropel-Actor: {ACTOR}\r\n", token.reveal());
        Self { port, credential: if insecure { String::new() } else { bearer }, stop, thread }
    }

    fn request(&self, line: &str, body: &str) -> Vec<u8> {
        format!(
            "{line} HTTP/1.1\r\nHost: 127.0.0.1:{}\r\n{}Content-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
            self.port,
            self.credential,
            body.len()
        )
        .into_bytes()
    }

    /// Writes a record and gives the request that reads it.
    fn reading(&self) -> Vec<u8> {
        let mut socket = connect(self.port);
        let body = format!(r#"{{"thread":"bench","actor":"{ACTOR}","act":"KNOW","body":{{"n":1}}}}"#);
        socket.write_all(&self.request("POST /v1/records", &body)).expect("sent");
        let answer = answer(&mut socket, &mut Vec::new());
        let body: serde_json::Value = serde_json::from_slice(&answer).expect("JSON");
        let id = body["id"].as_str().unwrap_or_else(|| body["data"][0]["id"].as_str().expect("an id"));
        self.request(&format!("GET /v1/records/{id}"), "")
    }

    fn stop(self) {
        drop(self.stop);
        self.thread.join().expect("no panic").expect("stopped well");
    }
}

/// The body of one answer, which must be a success.
fn answer(socket: &mut TcpStream, buffer: &mut Vec<u8>) -> Vec<u8> {
    buffer.clear();
    let mut chunk = [0; 4096];
    loop {
        let n = socket.read(&mut chunk).expect("an answer");
        assert!(n > 0, "the connection stays open");
        buffer.extend_from_slice(&chunk[..n]);
        let Some(end) = buffer.windows(4).position(|w| w == b"\r\n\r\n") else { continue };
        let head = std::str::from_utf8(&buffer[..end]).expect("a head");
        assert!(head.starts_with("HTTP/1.1 2"), "{}", String::from_utf8_lossy(buffer));
        let length =
            head.lines().find_map(|l| l.to_ascii_lowercase().strip_prefix("content-length: ")?.parse().ok());
        let length: usize = length.expect("a length");
        if buffer.len() == end + 4 + length {
            return buffer.split_off(end + 4);
        }
    }
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
    let (without, with) = (open.reading(), secure.reading());
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
