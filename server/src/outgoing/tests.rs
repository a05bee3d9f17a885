//! Against listeners on this machine, and against names whose addresses the tests decide.

// Scratch only: needs openssl, `unshare` and tokio-rustls.

use std::{
    io::ErrorKind,
    net::IpAddr,
    process::Command,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
};

use super::{
    Outgoing, PeerUrl, Unreachable,
    fetch::{BODY_BYTES_MAX, Found, Lookup},
};
use crate::env;

const OK: &str = "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n";
const SOON: Duration = Duration::from_secs(1);
const LATE: Duration = Duration::from_millis(3900);

/// Knows the addresses that a test gave it, or is asked for ever; counts.
struct Known {
    addresses: Mutex<Option<Vec<IpAddr>>>,
    asked: AtomicUsize,
}

impl Known {
    fn new(addresses: &[&str]) -> Arc<Self> {
        let addresses = addresses.iter().map(|a| a.parse().unwrap()).collect();
        Arc::new(Self { addresses: Mutex::new(Some(addresses)), asked: AtomicUsize::new(0) })
    }

    fn silent() -> Arc<Self> {
        Arc::new(Self { addresses: Mutex::new(None), asked: AtomicUsize::new(0) })
    }

    fn asked(&self) -> usize {
        self.asked.load(Ordering::SeqCst)
    }
}

impl Lookup for Known {
    fn lookup(&self, _: &str) -> Found {
        self.asked.fetch_add(1, Ordering::SeqCst);
        match self.addresses.lock().unwrap().clone() {
            Some(addresses) => Box::pin(async { Ok(addresses) }),
            None => Box::pin(std::future::pending()),
        }
    }
}

/// A listener of this machine, and how many connections it had.
struct Server {
    port: u16,
    connections: Arc<AtomicUsize>,
}

impl Server {
    /// Reads the head of a request on each connection, and leaves the rest to `answer`.
    async fn new<F: Future<Output = ()> + Send + 'static>(answer: fn(TcpStream, String) -> F) -> Self {
        Self::saying(String::new(), answer).await
    }

    async fn saying<F>(said: String, answer: fn(TcpStream, String) -> F) -> Self
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let listener = TcpListener::bind("0.0.0.0:0").await.unwrap();
        let (port, connections) = (listener.local_addr().unwrap().port(), Arc::new(AtomicUsize::new(0)));
        let count = connections.clone();
        tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                count.fetch_add(1, Ordering::SeqCst);
                let said = said.clone();
                tokio::spawn(async move {
                    let mut head = Vec::new();
                    while !head.ends_with(b"\r\n\r\n") {
                        head.push(stream.read_u8().await.unwrap_or(b'\n'));
                        assert!(head.len() < 4096);
                    }
                    answer(stream, said).await;
                });
            }
        });
        Self { port, connections }
    }

    fn url(&self) -> PeerUrl {
        PeerUrl::parse(&format!("http://127.0.0.1:{}", self.port)).unwrap()
    }

    fn connections(&self) -> usize {
        self.connections.load(Ordering::SeqCst)
    }
}

/// Sends what is to be said and closes.
async fn say(mut stream: TcpStream, said: String) {
    let _ = stream.write_all(said.as_bytes()).await;
}

/// Sends it, and again for each further request on the connection.
async fn say_again(mut stream: TcpStream, said: String) {
    let mut request = [0; 4096];
    while stream.write_all(said.as_bytes()).await.is_ok() {
        if !stream.read(&mut request).await.is_ok_and(|n| n > 0) {
            return;
        }
    }
}

/// Sends it, and then a byte of nothing every tenth of a second.
async fn drip(mut stream: TcpStream, said: String) {
    let _ = stream.write_all(said.as_bytes()).await;
    let mut clock = tokio::time::interval(Duration::from_millis(100));
    while stream.write_all(b" ").await.is_ok() {
        clock.tick().await;
    }
}

/// Sends it over and over.
async fn flood(mut stream: TcpStream, said: String) {
    let (first, again) = said.split_once('|').unwrap();
    let _ = stream.write_all(first.as_bytes()).await;
    while stream.write_all(again.as_bytes()).await.is_ok() {}
}

/// What comes of an answer, and how long it took.
async fn answered(said: String) -> (Result<usize, Unreachable>, Duration) {
    let server = Server::saying(said, say).await;
    fetched(&server.url()).await
}

async fn fetched(url: &PeerUrl) -> (Result<usize, Unreachable>, Duration) {
    let (outgoing, start) = (Outgoing::new(), env::monotonic());
    let fetched = outgoing.fetch_peer(url, "/.well-known/syncropel").await;
    (fetched.map(|body| body.len()), start.elapsed())
}

#[tokio::test]
async fn an_answer_is_the_body_of_a_200_in_json() {
    let said = format!("{OK}Content-Length: 2\r\n\r\n{{}}");
    assert_eq!(answered(said.clone()).await.0, Ok(2));
    let outgoing = Outgoing::new();
    let server = Server::saying(said, say_again).await;
    for _ in 0..3 {
        assert_eq!(outgoing.fetch_peer(&server.url(), "/did.json").await.as_deref(), Ok(&b"{}"[..]));
    }
    assert_eq!(server.connections(), 3, "no connection is kept");
    for encoding in ["identity", "Identity"] {
        let said = format!("{OK}Content-Encoding: {encoding}\r\nContent-Length: 2\r\n\r\n{{}}");
        assert_eq!(answered(said).await.0, Ok(2));
    }
}

#[tokio::test]
async fn any_other_status_is_none() {
    let elsewhere = Server::saying(format!("{OK}Content-Length: 2\r\n\r\n{{}}"), say).await;
    for status in [201, 204, 206, 300, 301, 302, 303, 304, 307, 308, 400, 404, 500, 502] {
        let port = elsewhere.port;
        let head = format!("HTTP/1.1 {status} X\r\nLocation: http://127.0.0.1:{port}/\r\n");
        let said = format!("{head}Content-Type: application/json\r\nContent-Length: 2\r\n\r\n{{}}");
        assert_eq!(answered(said).await.0, Err(Unreachable::Status(status)));
    }
    assert_eq!(elsewhere.connections(), 0);
}

#[tokio::test]
async fn what_is_not_json_or_is_encoded_is_none() {
    for head in ["", "Content-Type: text/html\r\n", "Content-Type: application/octet-stream\r\n"] {
        let said = format!("HTTP/1.1 200 OK\r\n{head}Content-Length: 2\r\n\r\n{{}}");
        assert_eq!(answered(said).await.0, Err(Unreachable::ContentType));
    }
    for encoding in ["gzip", "br", "zstd", "deflate", "identity, gzip", "\u{fc}"] {
        let said = format!("{OK}Content-Encoding: {encoding}\r\nContent-Length: 2\r\n\r\n{{}}");
        assert_eq!(answered(said).await.0, Err(Unreachable::Encoded));
    }
}

#[tokio::test]
async fn a_body_of_the_largest_size_and_one_byte_more() {
    for (size, expected) in
        [(BODY_BYTES_MAX, Ok(BODY_BYTES_MAX)), (BODY_BYTES_MAX + 1, Err(Unreachable::TooLarge))]
    {
        let body = " ".repeat(size);
        for framing in [
            format!("{OK}Content-Length: {size}\r\n\r\n{body}"),
            format!("{OK}Transfer-Encoding: chunked\r\n\r\n{size:x}\r\n{body}\r\n0\r\n\r\n"),
            format!("{OK}Connection: close\r\n\r\n{body}"),
        ] {
            assert_eq!(answered(framing).await.0, expected);
        }
    }
    let cut_short = format!("{OK}Content-Length: 3\r\n\r\n{{}}");
    assert!(matches!(answered(cut_short).await.0, Err(Unreachable::Failed(_))));
}

#[tokio::test]
async fn what_never_ends_ends_at_the_limit() {
    let declared = Server::saying(format!("{OK}Content-Length: 65537\r\n\r\n"), drip).await;
    let (outcome, took) = fetched(&declared.url()).await;
    assert!(outcome == Err(Unreachable::TooLarge) && took < SOON, "{outcome:?} {took:?}");
    let endless = format!("{OK}Connection: close\r\n\r\n|{}", " ".repeat(1000));
    let (outcome, took) = fetched(&Server::saying(endless, flood).await.url()).await;
    assert!(outcome == Err(Unreachable::TooLarge) && took < SOON, "{outcome:?} {took:?}");
    for head in [format!("{OK}|X: {}\r\n", "y".repeat(1000)), format!("{OK}X: |y")] {
        let (outcome, took) = fetched(&Server::saying(head, flood).await.url()).await;
        assert!(matches!(outcome, Err(Unreachable::Failed(_) | Unreachable::TimedOut)), "{outcome:?}");
        assert!(took < LATE, "{took:?}");
    }
    let interim = format!("|{}", "HTTP/1.1 103 Early\r\n\r\n");
    let (outcome, took) = fetched(&Server::saying(interim, flood).await.url()).await;
    assert!(outcome.is_err() && took < LATE, "{outcome:?} {took:?}");
}

#[tokio::test]
async fn three_seconds_are_for_all_of_it() {
    let silent = Server::new(|stream, _| async move {
        let _stream = stream;
        std::future::pending().await
    })
    .await;
    let heads = Server::saying("HTTP/1.1 200 OK\r\nX:".to_owned(), drip).await;
    let body = Server::saying(format!("{OK}Content-Length: 1000\r\n\r\n"), drip).await;
    let unaccepted = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let unaccepted =
        PeerUrl::parse(&format!("http://{}", unaccepted.local_addr().unwrap())).map(|url| (url, unaccepted));
    let (unaccepted, _listener) = unaccepted.unwrap();
    let no_tls = PeerUrl::parse(&format!("https://127.0.0.1:{}", silent.port)).unwrap();
    let urls = [silent.url(), heads.url(), body.url(), unaccepted, no_tls];
    let all = urls.map(|url| tokio::spawn(async move { fetched(&url).await }));
    for one in all {
        let (outcome, took) = one.await.unwrap();
        assert_eq!(outcome, Err(Unreachable::TimedOut));
        assert!((Duration::from_millis(2900)..LATE).contains(&took), "{took:?}");
    }
}

#[tokio::test]
async fn literal_addresses_are_judged_too() {
    let server = Server::saying(format!("{OK}Content-Length: 2\r\n\r\n{{}}"), say).await;
    for (host, expected) in [
        ("0.0.0.0", "0.0.0.0"),
        ("0", "0.0.0.0"),
        ("0x0.0", "0.0.0.0"),
        ("[::]", "::"),
        ("[::ffff:0.0.0.0]", "::ffff:0.0.0.0"),
        ("169.254.169.254", "169.254.169.254"),
        ("0xa9fea9fe", "169.254.169.254"),
        ("2852039166", "169.254.169.254"),
        ("[::ffff:169.254.169.254]", "::ffff:169.254.169.254"),
        ("[64:ff9b::169.254.169.254]", "64:ff9b::169.254.169.254"),
        ("[2002:a9fe:a9fe::1]", "2002:a9fe:a9fe::1"),
        ("[fe80::1]", "fe80::1"),
        ("224.0.0.1", "224.0.0.1"),
        ("[ff02::1]", "ff02::1"),
        ("255.255.255.255", "255.255.255.255"),
    ] {
        let url = PeerUrl::parse(&format!("http://{host}:{}", server.port)).unwrap();
        let (outcome, took) = fetched(&url).await;
        assert_eq!(outcome, Err(Unreachable::Address(expected.parse().unwrap())), "{host}");
        assert!(took < SOON, "{host} {took:?}");
    }
    assert_eq!(server.connections(), 0);
    let mapped = PeerUrl::parse(&format!("http://[::ffff:127.0.0.1]:{}", server.port)).unwrap();
    assert_eq!(fetched(&mapped).await.0, Ok(2));
}

#[tokio::test]
async fn a_peers_name_is_looked_up_once_and_its_refused_addresses_are_left_out() {
    let server = Server::saying(format!("{OK}Content-Length: 2\r\n\r\n{{}}"), say).await;
    let names = Known::new(&["169.254.1.1", "fe80::1", "127.0.0.1"]);
    let outgoing = Outgoing::with_lookups(Known::silent(), names.clone());
    let peer = PeerUrl::parse(&format!("http://peer.example:{}", server.port)).unwrap();
    assert!(outgoing.fetch_peer(&peer, "/did.json").await.is_ok());
    assert_eq!((names.asked(), server.connections()), (1, 1));
    // The name's next answer is another one: looked at anew.
    *names.addresses.lock().unwrap() = Some(vec!["169.254.169.254".parse().unwrap()]);
    let refused = outgoing.fetch_peer(&peer, "/did.json").await;
    assert_eq!(refused, Err(Unreachable::Address("169.254.169.254".parse().unwrap())));
    *names.addresses.lock().unwrap() = Some(Vec::new());
    assert_eq!(outgoing.fetch_peer(&peer, "/did.json").await, Err(Unreachable::NoAddress));
    let here = PeerUrl::parse(&format!("http://localhost:{}", server.port)).unwrap();
    assert!(outgoing.fetch_peer(&here, "/did.json").await.is_ok());
    assert_eq!((names.asked(), server.connections()), (3, 2), "localhost is nobody's to say");
}

#[tokio::test]
async fn a_strangers_name_has_nothing_but_global_addresses() {
    // Port 443 may be somebody else's, or not ours to take; the outcome tells as well.
    let listener = std::net::TcpListener::bind("[::]:443").ok();
    for addresses in [
        &["127.0.0.1"][..],
        &["10.1.2.3"],
        &["169.254.169.254"],
        &["::1"],
        &["fe80::1"],
        &["::ffff:127.0.0.1"],
        &["64:ff9b::7f00:1"],
        &["0.0.0.0"],
        &["2002:7f00:1::"],
        &["8.8.8.8", "127.0.0.1"],
        &["127.0.0.1", "2606:4700::1111", "8.8.8.8"],
    ] {
        let (names, start) = (Known::new(addresses), env::monotonic());
        let outgoing = Outgoing::with_lookups(names.clone(), Known::silent());
        for _ in 0..2 {
            let outcome = outgoing.fetch_did_document("a.example").await;
            assert!(matches!(outcome, Err(Unreachable::Address(_))), "{addresses:?} {outcome:?}");
        }
        assert_eq!(names.asked(), 1, "the failure is remembered");
        assert!(start.elapsed() < SOON, "{addresses:?} {:?}", start.elapsed());
    }
    if let Some(listener) = listener {
        listener.set_nonblocking(true).unwrap();
        assert_eq!(listener.accept().unwrap_err().kind(), ErrorKind::WouldBlock, "nobody connected");
    }
    let names = Known::silent();
    let outgoing = Outgoing::with_lookups(names.clone(), Known::silent());
    for host in ["localhost", "127.0.0.1", "a.example:8443", "a.example/b", "A.example", "xn--a.example"] {
        assert_eq!(outgoing.fetch_did_document(host).await, Err(Unreachable::Host), "{host}");
    }
    assert_eq!(names.asked(), 0);
}

#[tokio::test]
async fn four_strangers_at_a_time_and_the_others_wait_no_longer() {
    let names = Known::silent();
    let (outgoing, start) =
        (Arc::new(Outgoing::with_lookups(names.clone(), Known::silent())), env::monotonic());
    let ask = |n: usize| {
        let outgoing = outgoing.clone();
        tokio::spawn(async move { outgoing.fetch_did_document(&format!("h{n}.example")).await })
    };
    // Three callers each: they share the fetch.
    let all: Vec<_> = (0..18).map(|n| ask(n % 6)).collect();
    let mut outcomes = Vec::new();
    for one in all {
        outcomes.push(one.await.unwrap());
    }
    let of = |reason: &Unreachable| outcomes.iter().filter(|o| o.as_ref() == Err(reason)).count();
    assert_eq!((of(&Unreachable::TimedOut), of(&Unreachable::Busy)), (12, 6));
    assert!(start.elapsed() < LATE, "{:?}", start.elapsed());
    // Those that had no turn in time may not have begun; that four had one is what counts.
    assert!((4..=6).contains(&names.asked()), "{}", names.asked());
    let known = names.asked();
    *names.addresses.lock().unwrap() = Some(vec!["127.0.0.1".parse().unwrap()]);
    let mut again = Vec::new();
    for n in 0..6 {
        again.push(ask(n).await.unwrap());
    }
    let timed_out = again.iter().filter(|o| **o == Err(Unreachable::TimedOut)).count();
    assert_eq!((timed_out, names.asked()), (4, known + 2), "only what a host failed at is remembered");
}

/// Runs the ignored test of that name in a process of its own.
fn in_a_process(test: &str, variables: &[(&str, &str)]) -> bool {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["--exact", "--ignored", test]).envs(variables.iter().copied());
    let output = command.output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    println!("{said}\n{}", String::from_utf8_lossy(&output.stderr));
    output.status.success() && said.contains("1 passed")
}

#[test]
fn the_environments_proxy_is_not_asked() {
    let proxy = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", proxy.local_addr().unwrap());
    let names = ["HTTP_PROXY", "http_proxy", "HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy"]
        .map(|n| (n, &*url));
    let test = concat!(module_path!(), "::with_a_proxy_in_the_environment");
    assert!(in_a_process(test.split_once("::").unwrap().1, &names));
    proxy.set_nonblocking(true).unwrap();
    assert!(proxy.accept().is_ok(), "the control asked it");
    assert_eq!(proxy.accept().unwrap_err().kind(), ErrorKind::WouldBlock, "and nobody else");
}

#[tokio::test]
#[ignore = "run by the_environments_proxy_is_not_asked"]
async fn with_a_proxy_in_the_environment() {
    let server = Server::saying(format!("{OK}Content-Length: 2\r\n\r\n{{}}"), say).await;
    for host in ["127.0.0.1", "localhost"] {
        let url = PeerUrl::parse(&format!("http://{host}:{}", server.port)).unwrap();
        assert_eq!(fetched(&url).await.0, Ok(2));
    }
    let tls = PeerUrl::parse(&format!("https://localhost:{}", server.port)).unwrap();
    assert!(matches!(fetched(&tls).await.0, Err(Unreachable::Failed(_) | Unreachable::TimedOut)));
    assert_eq!(server.connections(), 3);
    let outgoing = Outgoing::with_lookups(Known::new(&["127.0.0.1"]), Known::silent());
    assert!(matches!(outgoing.fetch_did_document("a.example").await, Err(Unreachable::Address(_))));
    // The control: a client that was told nothing.
    let control = reqwest::Client::builder().tls_certs_only([]).timeout(SOON).build().unwrap();
    assert!(control.get(server.url().as_str()).send().await.is_err());
    assert_eq!(server.connections(), 3);
}
