//! UmaDB: an API key, and so TLS; synced before it acknowledges, as it always is.

use std::{
    path::Path,
    process::{Command, Stdio},
    sync::Arc,
};

use rustls::ClientConfig;

use super::{Peer, Place, Running, SECRET, Spoken};
use crate::{
    Outcome,
    engine::{Engine, Fanout},
    process::{Server, Usage},
    transport::{Link, tls_config},
    wire::{
        Requests,
        grpc::{Grpc, Target, field, number},
    },
};

const APPEND: &str = "/umadb.v1.DCB/Append";
const READ: &str = "/umadb.v1.DCB/Read";
const SUBSCRIBE: &str = "/umadb.v1.DCB/Subscribe";
/// `events` of what reading and subscribing are answered with.
const EVENTS: u32 = 1;
/// Bytes of events in one call when there are many to write: a frame holds no more.
const BATCH_BYTES: usize = 6 << 10;

struct Uma {
    running: Running,
    tls: Arc<ClientConfig>,
}

/// Makes a certificate for this machine, and its key.
fn certificate(certificate: &Path, key: &Path) -> Outcome<()> {
    let mut command = Command::new("openssl");
    command.args(["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]);
    command.args(["-days", "2", "-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost"]);
    command.args(["-addext", "basicConstraints=critical,CA:FALSE", "-keyout"]).arg(key).arg("-out");
    let made = command.arg(certificate).stdin(Stdio::null()).output()?;
    if made.status.success() { Ok(()) } else { Err(String::from_utf8_lossy(&made.stderr).into()) }
}

pub(super) fn start(place: Place) -> Outcome<Box<dyn Peer>> {
    let directory = place.directory.path();
    let (cert, key) = (directory.join("cert.pem"), directory.join("key.pem"));
    certificate(&cert, &key)?;
    let tls = tls_config(&cert)?;
    let mut command = Command::new(&place.program);
    command.args(["--listen", &format!("127.0.0.1:{}", place.port), "--api-key", SECRET]);
    command.arg("--db-path").arg(directory.join("uma.db"));
    command.arg("--tls-cert").arg(&cert).arg("--tls-key").arg(&key);
    let mut server = Server::start(&mut command, directory.join("output"))?;
    let port = place.port;
    server.wait(|| Link::tls(port, &tls).map(drop))?;
    Ok(Box::new(Uma { running: Running { server, place }, tls }))
}

/// An event as `events` of an append.
fn event(payload: &str) -> Vec<u8> {
    let parts =
        [field(1, b"debian.archive.package"), field(2, b"thread:debian"), field(3, payload.as_bytes())];
    field(1, &parts.concat())
}

impl Uma {
    fn target(&self, path: &'static str) -> Target {
        Target {
            scheme: "https",
            authority: format!("localhost:{}", self.running.place.port),
            path,
            credential: ("authorization", format!("Bearer {SECRET}")),
        }
    }

    fn link(&self) -> Outcome<Link> {
        Link::tls(self.running.place.port, &self.tls)
    }
}

impl Peer for Uma {
    fn usage(&self) -> Usage {
        self.running.server.usage()
    }

    fn appends(&self, connections: usize, payloads: &[String]) -> Outcome<Option<Vec<Spoken>>> {
        let target = self.target(APPEND);
        let calls = Requests::new(payloads.iter().map(|p| target.call(&event(p), false)).collect());
        let one =
            |n| -> Outcome<Spoken> { Ok((self.link()?, Box::new(Grpc::calls(calls.part(n, connections))))) };
        (0..connections).map(one).collect::<Outcome<_>>().map(Some)
    }

    fn fanout(&self, subscribers: usize, payload: &str) -> Outcome<Option<Fanout>> {
        let subscribe = self.target(SUBSCRIBE).call(&[], false);
        let one =
            |_| -> Outcome<Spoken> { Ok((self.link()?, Box::new(Grpc::stream(subscribe.clone(), EVENTS)))) };
        let subscribers = (0..subscribers).map(one).collect::<Outcome<Vec<_>>>()?;
        let publisher = Grpc::calls(Requests::new(vec![self.target(APPEND).call(&event(payload), false)]));
        Fanout::new(subscribers, (self.link()?, Box::new(publisher)), true).map(Some)
    }

    fn fill(&self, payloads: &[String]) -> Outcome<()> {
        let target = self.target(APPEND);
        let (mut calls, mut batch) = (Vec::new(), Vec::new());
        for (n, payload) in payloads.iter().enumerate() {
            batch.extend(event(payload));
            if batch.len() >= BATCH_BYTES || n + 1 == payloads.len() {
                calls.push(target.call(&batch, false));
                batch.clear();
            }
        }
        let count = calls.len();
        let wire = Grpc::calls(Requests::new(calls));
        Engine::new([(self.link()?, Box::new(wire) as _)])?.times(count).map(drop)
    }

    fn catch_up(&self, following: bool) -> Outcome<Option<Spoken>> {
        let (path, message) = if following { (SUBSCRIBE, Vec::new()) } else { (READ, number(2, 1)) };
        let call = self.target(path).call(&message, false);
        Ok(Some((self.link()?, Box::new(Grpc::stream(call, EVENTS)))))
    }
}
