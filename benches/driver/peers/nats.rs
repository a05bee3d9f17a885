//! NATS: `JetStream` with every write synced before it is acknowledged, and plain subjects.

use std::process::Command;

use super::{Peer, Place, Running, SECRET, Spoken};
use crate::{
    Outcome,
    engine::Fanout,
    process::{Server, Usage},
    wire::{
        Requests,
        nats::{Nats as Wire, ask, connect, publication},
    },
};

const STREAM: &str = r#"{"name":"log","subjects":["log"],"storage":"file","num_replicas":1}"#;

struct Nats(Running);

pub(super) fn start(place: Place) -> Outcome<Box<dyn Peer>> {
    let directory = place.directory.path();
    let config = format!(
        "host: 127.0.0.1\nport: {}\nauthorization {{ token: \"{SECRET}\" }}\njetstream {{ store_dir: {:?}, sync_interval: always }}\n",
        place.port,
        directory.join("store"),
    );
    std::fs::write(directory.join("nats.conf"), config)?;
    let mut command = Command::new(&place.program);
    command.arg("--config").arg(directory.join("nats.conf"));
    let mut server = Server::start(&mut command, directory.join("output"))?;
    let port = place.port;
    let answer = server.wait(|| ask(&mut connect(port, SECRET)?, "$JS.API.STREAM.CREATE.log", STREAM))?;
    if answer.contains("\"error\"") {
        return Err(answer.into());
    }
    Ok(Box::new(Nats(Running { server, place })))
}

impl Peer for Nats {
    fn usage(&self) -> Usage {
        self.0.server.usage()
    }

    fn appends(&self, connections: usize, payloads: &[String]) -> Outcome<Option<Vec<Spoken>>> {
        let one = |n: usize| -> Outcome<Spoken> {
            // Each connection has an inbox of its own, and so messages of its own.
            let inbox = format!("_INBOX.{n}");
            let own = payloads.iter().skip(n).step_by(connections);
            let messages = own.map(|p| publication("log", &inbox, p.as_bytes())).collect();
            let wire = Wire::publisher(Requests::new(messages), &inbox);
            Ok((connect(self.0.place.port, SECRET)?, Box::new(wire)))
        };
        (0..connections).map(one).collect::<Outcome<_>>().map(Some)
    }

    fn fanout(&self, subscribers: usize, payload: &str) -> Outcome<Option<Fanout>> {
        let one = |_| -> Outcome<Spoken> {
            Ok((connect(self.0.place.port, SECRET)?, Box::new(Wire::subscriber("fanout"))))
        };
        let subscribers = (0..subscribers).map(one).collect::<Outcome<Vec<_>>>()?;
        let message = publication("fanout", "", payload.as_bytes());
        let publisher = Wire::plain_publisher(Requests::new(vec![message]));
        Fanout::new(subscribers, (connect(self.0.place.port, SECRET)?, Box::new(publisher)), false).map(Some)
    }
}
