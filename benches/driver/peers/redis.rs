//! Redis, with every write in its append-only file synced before it is answered.

use std::{fmt::Write as _, io::Write as _, process::Command};

use super::{KeptToken, Peer, Place, Running, SECRET, Spoken};
use crate::{
    Outcome,
    engine::Fanout,
    process::{Server, Usage},
    transport::Link,
    wire::{
        Requests,
        resp::{Resp, command},
    },
};

const CHANNEL: &str = "records";

struct Redis(Running);

pub(super) fn start(place: Place) -> Outcome<Box<dyn Peer>> {
    let mut command = Command::new(&place.program);
    command.args(["--bind", "127.0.0.1", "--port", &place.port.to_string(), "--dir"]);
    command.arg(place.directory.path()).args(["--appendonly", "yes", "--appendfsync", "always"]);
    // No snapshots and no rewriting of the file beside what is measured.
    command.args(["--save", "", "--auto-aof-rewrite-percentage", "0", "--requirepass", SECRET]);
    let mut server = Server::start(&mut command, place.directory.path().join("output"))?;
    let port = place.port;
    server.wait(|| connect(port).map(drop))?;
    Ok(Box::new(Redis(Running { server, place })))
}

fn connect(port: u16) -> Outcome<Link> {
    let mut link = Link::plain(port)?;
    link.write_all(&command(&[b"AUTH", SECRET.as_bytes()]))?;
    let said = link.read_until(|got| got.ends_with(b"\r\n"))?;
    if said == b"+OK\r\n" { Ok(link) } else { Err(String::from_utf8_lossy(&said).into()) }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

impl Redis {
    fn connections(&self, count: usize, requests: &Requests) -> Outcome<Vec<Spoken>> {
        let one = |n| -> Outcome<Spoken> {
            Ok((connect(self.0.place.port)?, Box::new(Resp::new(requests.part(n, count)))))
        };
        (0..count).map(one).collect()
    }
}

impl Peer for Redis {
    fn usage(&self) -> Usage {
        self.0.server.usage()
    }

    fn lookups(&self, connections: usize, tokens: &[KeptToken]) -> Outcome<Option<Vec<Spoken>>> {
        let mut link = connect(self.0.place.port)?;
        for token in tokens {
            let key = hex(&token.digest);
            link.write_all(&command(&[b"SET", key.as_bytes(), token.entry.as_bytes()]))?;
            link.read_until(|got| got.ends_with(b"\r\n"))?;
        }
        let gets = tokens.iter().map(|t| command(&[b"GET", hex(&t.digest).as_bytes()])).collect();
        self.connections(connections, &Requests::new(gets)).map(Some)
    }

    fn appends(&self, connections: usize, payloads: &[String]) -> Outcome<Option<Vec<Spoken>>> {
        let add = |p: &String| command(&[b"XADD", b"log", b"*", b"record", p.as_bytes()]);
        self.connections(connections, &Requests::new(payloads.iter().map(add).collect())).map(Some)
    }

    fn fanout(&self, subscribers: usize, payload: &str) -> Outcome<Option<Fanout>> {
        let one =
            |_| -> Outcome<Spoken> { Ok((connect(self.0.place.port)?, Box::new(Resp::subscriber(CHANNEL)))) };
        let subscribers = (0..subscribers).map(one).collect::<Outcome<Vec<_>>>()?;
        let publish = command(&[b"PUBLISH", CHANNEL.as_bytes(), payload.as_bytes()]);
        let publisher = Box::new(Resp::new(Requests::new(vec![publish])));
        Fanout::new(subscribers, (connect(self.0.place.port)?, publisher), true).map(Some)
    }
}
