//! etcd: one member, authentication on, its own gRPC.

use std::process::Command;

use serde_json::{Value, json};

use super::{KeptToken, Peer, Place, Running, SECRET, Spoken};
use crate::{
    Outcome,
    engine::{Engine, Fanout},
    instance::ask,
    process::{Server, Usage, free_port},
    transport::Link,
    wire::{
        Requests,
        grpc::{Grpc, Target, field},
        http,
    },
};

const RANGE: &str = "/etcdserverpb.KV/Range";
const PUT: &str = "/etcdserverpb.KV/Put";
const WATCH: &str = "/etcdserverpb.Watch/Watch";
/// `events` of a `WatchResponse`.
const EVENTS: u32 = 11;

struct Etcd {
    running: Running,
    token: String,
}

pub(super) fn start(place: Place) -> Outcome<Box<dyn Peer>> {
    let (client, peer) =
        (format!("http://127.0.0.1:{}", place.port), format!("http://127.0.0.1:{}", free_port()?));
    let mut command = Command::new(&place.program);
    command.arg("--data-dir").arg(place.directory.path().join("data"));
    command.args(["--listen-client-urls", &client, "--advertise-client-urls", &client]);
    command.args(["--listen-peer-urls", &peer, "--initial-advertise-peer-urls", &peer]);
    command.args(["--initial-cluster", &format!("default={peer}"), "--log-level", "error"]);
    let mut server = Server::start(&mut command, place.directory.path().join("output"))?;
    let port = place.port;
    server.wait(|| asked(port, "/v3/maintenance/status", &json!({})).map(drop))?;
    asked(port, "/v3/auth/user/add", &json!({"name": "root", "password": SECRET}))?;
    asked(port, "/v3/auth/role/add", &json!({"name": "root"}))?;
    asked(port, "/v3/auth/user/grant", &json!({"user": "root", "role": "root"}))?;
    asked(port, "/v3/auth/enable", &json!({}))?;
    let answer = asked(port, "/v3/auth/authenticate", &json!({"name": "root", "password": SECRET}))?;
    let token = answer["token"].as_str().ok_or("no token")?.to_owned();
    Ok(Box::new(Etcd { running: Running { server, place }, token }))
}

/// Asks over the JSON gateway, which is for setting up only.
fn asked(port: u16, path: &str, body: &Value) -> Outcome<Value> {
    ask(&mut Link::plain(port)?, &http::request(&format!("POST {path}"), port, None, &body.to_string()))
}

impl Etcd {
    fn target(&self, path: &'static str) -> Target {
        Target {
            scheme: "http",
            authority: format!("127.0.0.1:{}", self.running.place.port),
            path,
            credential: ("token", self.token.clone()),
        }
    }

    fn connections(&self, count: usize, calls: &Requests) -> Outcome<Vec<Spoken>> {
        let one = |n| -> Outcome<Spoken> {
            Ok((Link::plain(self.running.place.port)?, Box::new(Grpc::calls(calls.part(n, count)))))
        };
        (0..count).map(one).collect()
    }

    fn put(&self, key: &[u8], value: &[u8]) -> Vec<u8> {
        self.target(PUT).call(&[field(1, key), field(2, value)].concat(), false)
    }
}

impl Peer for Etcd {
    fn usage(&self) -> Usage {
        self.running.server.usage()
    }

    fn lookups(&self, connections: usize, tokens: &[KeptToken]) -> Outcome<Option<Vec<Spoken>>> {
        let puts = tokens.iter().map(|t| self.put(&t.digest, t.entry.as_bytes())).collect();
        Engine::new(self.connections(1, &Requests::new(puts))?)?.times(tokens.len())?;
        let ranges = tokens.iter().map(|t| self.target(RANGE).call(&field(1, &t.digest), false)).collect();
        self.connections(connections, &Requests::new(ranges)).map(Some)
    }

    fn appends(&self, connections: usize, payloads: &[String]) -> Outcome<Option<Vec<Spoken>>> {
        let put = |(n, p): (usize, &String)| self.put(format!("log/{n:08}").as_bytes(), p.as_bytes());
        let calls = Requests::new(payloads.iter().enumerate().map(put).collect());
        self.connections(connections, &calls).map(Some)
    }

    fn fanout(&self, subscribers: usize, payload: &str) -> Outcome<Option<Fanout>> {
        let create = field(1, &field(1, b"fanout"));
        let watch = self.target(WATCH).call(&create, true);
        let one = |_| -> Outcome<Spoken> {
            let wire = Grpc::stream(watch.clone(), EVENTS);
            Ok((Link::plain(self.running.place.port)?, Box::new(wire)))
        };
        let subscribers = (0..subscribers).map(one).collect::<Outcome<Vec<_>>>()?;
        let publisher = Grpc::calls(Requests::new(vec![self.put(b"fanout", payload.as_bytes())]));
        let link = Link::plain(self.running.place.port)?;
        Fanout::new(subscribers, (link, Box::new(publisher)), true).map(Some)
    }
}
