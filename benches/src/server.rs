//! An instance in the process of a benchmark, and plain connections to it.

#![expect(clippy::expect_used, reason = "a benchmark that cannot run has no result")]

use std::{
    io::Read as _,
    net::{Ipv4Addr, TcpListener, TcpStream},
    path::Path,
    thread::JoinHandle,
    time::Duration,
};

use spl_projections::tokens::{ENVIRONMENT_ACCOUNT, EnvTag, Plaintext};
use spl_server::{ServeError, ServeOptions, serve_until};
use tokio::sync::oneshot;
use zeroize::Zeroizing;

/// Who the instance's first account acts as.
pub const ACTOR: &str = "did:sync:user:bench";
const SECRET: &str = "0123456789abcdefghjkmnpqrstvwxyz";

/// An instance in this process, and how it is spoken to.
#[derive(Debug)]
pub struct Server {
    /// Where it listens.
    pub port: u16,
    credential: String,
    stop: oneshot::Sender<()>,
    thread: JoinHandle<Result<(), ServeError>>,
}

/// A port that nobody listens on.
#[must_use]
pub fn free_port() -> u16 {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port");
    listener.local_addr().expect("an address").port()
}

/// A connection, once somebody listens.
#[must_use]
pub fn connect(port: u16) -> TcpStream {
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
    /// Starts it in memory; without `insecure` it asks for the bearer that [`Self::request`] sends.
    #[must_use]
    pub fn start(home: &Path, insecure: bool) -> Self {
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

    /// A request with the first account's bearer.
    #[must_use]
    pub fn request(&self, line: &str, body: &str) -> Vec<u8> {
        format!(
            "{line} HTTP/1.1\r\nHost: 127.0.0.1:{}\r\n{}Content-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
            self.port,
            self.credential,
            body.len()
        )
        .into_bytes()
    }

    /// Stops it.
    pub fn stop(self) {
        drop(self.stop);
        self.thread.join().expect("no panic").expect("stopped well");
    }
}

/// The body of one answer, which must be a success.
pub fn answer(socket: &mut TcpStream, buffer: &mut Vec<u8>) -> Vec<u8> {
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
