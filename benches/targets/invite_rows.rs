//! A redemption to many followers of the invites of a real instance: from the request to each one's row. Floor:
//! the same bytes written to as many plain sockets by one thread.

#![expect(clippy::expect_used, reason = "a benchmark that cannot run has no result")]

use std::{
    io::{BufRead as _, BufReader, Write as _},
    net::{Ipv4Addr, TcpListener, TcpStream},
    sync::mpsc,
    time::{Duration, Instant},
};

use criterion::{Criterion, criterion_group, criterion_main};
use spl_benches::{
    Size, disk_directory, now, quantile, ratio, report,
    server::{Server, answer, connect},
};
use spl_kernel::identity::PrivateKey;
use zeroize::Zeroizing;

/// Most streams of one token.
const STREAMS_OF_TOKEN: usize = 100;

/// A follower that tells when rows in a state arrive.
fn follow(socket: TcpStream, mark: &'static str, arrived: mpsc::Sender<Instant>) {
    std::thread::Builder::new()
        .stack_size(128 * 1024)
        .spawn(move || {
            for line in BufReader::new(socket).lines() {
                // The connection ends with the run.
                let Ok(line) = line else { return };
                if line.starts_with("data: {\"invite\"")
                    && line.contains(mark)
                    && arrived.send(now()).is_err()
                {
                    return;
                }
            }
        })
        .expect("a thread");
}

fn member(body: &[u8], name: &str) -> String {
    let body: serde_json::Value = serde_json::from_slice(body).expect("JSON");
    body[name].as_str().expect("a member").to_owned()
}

/// Who follows, and how redemptions are asked for.
struct Stage {
    server: Server,
    socket: TcpStream,
    buffer: Vec<u8>,
    redeemed: mpsc::Receiver<Instant>,
    issued: mpsc::Receiver<Instant>,
    followers: usize,
    drawn: u8,
}

impl Stage {
    fn ask(&mut self, line: &str, body: &str) -> Vec<u8> {
        self.socket.write_all(&self.server.request(line, body)).expect("sent");
        answer(&mut self.socket, &mut self.buffer)
    }

    fn start(followers: usize, home: &std::path::Path) -> Self {
        let server = Server::start(home, false);
        let socket = connect(server.port);
        let (told_redeemed, redeemed) = mpsc::channel();
        let (told_issued, issued) = mpsc::channel();
        let mut stage = Self { server, socket, buffer: Vec::new(), redeemed, issued, followers, drawn: 0 };
        let mut token = String::new();
        for n in 0..followers {
            if n % STREAMS_OF_TOKEN == 0 {
                let body = "{\"service_account_id\":\"sa-bootstrap-env\"}";
                token = member(&stage.ask("POST /v1/tokens", body), "api_key");
            }
            let port = stage.server.port;
            let mut socket = connect(port);
            socket.set_read_timeout(None).expect("set");
            let request = format!(
                "GET /v1/invites/stream HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nAuthorization: Bearer {token}\r\n\r\n"
            );
            socket.write_all(request.as_bytes()).expect("sent");
            follow(socket, "\"state\":\"redeemed\"", told_redeemed.clone());
        }
        let mut socket = connect(stage.server.port);
        socket.set_read_timeout(None).expect("set");
        socket.write_all(&stage.server.request("GET /v1/invites/stream", "")).expect("sent");
        follow(socket, "\"state\":\"active\"", told_issued);
        stage
    }

    /// Issues an invite, redeems it, and gives how long each follower waited for the row since the request.
    fn redeem(&mut self) -> Vec<Duration> {
        let link = member(&self.ask("POST /v1/invites", "{}"), "redirect_url");
        self.issued.recv().expect("followed");
        self.drawn += 1;
        let key = PrivateKey::from_seed(&Zeroizing::new([self.drawn; 32])).public().base64url();
        let (_, rest) = link.split_once("/i/").expect("a link");
        let (id, sig) = rest.split_once("?sig=").expect("a link");
        let body = format!("{{\"holder_type\":\"guest\",\"holder_pubkey\":\"{key}\"}}");
        let start = now();
        self.ask(&format!("POST /v1/invites/{id}/redeem?sig={sig}"), &body);
        (0..self.followers)
            .map(|_| {
                let arrived = self.redeemed.recv_timeout(Duration::from_secs(30)).expect("a row");
                arrived.saturating_duration_since(start)
            })
            .collect()
    }
}

/// Sockets that one thread writes the same bytes to, and when their readers have them.
fn plain(count: usize) -> (Vec<TcpStream>, mpsc::Receiver<Instant>) {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port");
    let address = listener.local_addr().expect("an address");
    let (told, arrived) = mpsc::channel();
    let writers = (0..count).map(|_| {
        let reader = TcpStream::connect(address).expect("connected");
        follow(reader, "\"state\":\"redeemed\"", told.clone());
        listener.accept().expect("accepted").0
    });
    (writers.collect(), arrived)
}

fn invite_rows(c: &mut Criterion) {
    let size = Size::of_this_run();
    let home = disk_directory().expect("a directory");
    let mut stage = Stage::start(size.subscribers, &home.path().join("home"));
    let (mut writers, arrived) = plain(size.subscribers);
    let row = format!(
        "event: invite.updated\nid: 1234\ndata: {{\"invite\":{{\"state\":\"redeemed\",\"row\":\"{}\"}},\"cursor\":\"1234\"}}\n\n",
        "x".repeat(1200)
    );
    let mut waits = Vec::new();
    ratio(
        &format!("a redemption to {} followers over plain sockets", size.subscribers),
        size.rounds,
        || {
            let start = now();
            for writer in &mut writers {
                writer.write_all(row.as_bytes()).expect("sent");
            }
            (0..size.subscribers).map(|_| arrived.recv().expect("arrived") - start).max().unwrap_or_default()
        },
        || {
            let each = stage.redeem();
            waits.extend(each.iter().map(Duration::as_secs_f64));
            each.into_iter().max().unwrap_or_default()
        },
    );
    let [median, most] = [0.5, 0.99].map(|q| quantile(&mut waits, q) * 1e3);
    report(&format!(
        "request to row, {} followers{:22} median {median:.1} ms (goal 20)   p99 {most:.1} ms (goal 100)",
        size.subscribers, ""
    ));
    c.bench_function("a redemption to its followers", |b| {
        b.iter(|| if stage.drawn < 200 { stage.redeem().len() } else { 0 });
    });
    let Stage { server, socket, .. } = stage;
    drop(socket);
    server.stop();
}

criterion_group!(benches, invite_rows);
criterion_main!(benches);
