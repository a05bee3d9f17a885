//! An instance under test, and what holds for every answer of it.

use std::fs;

use serde_json::{Value, json};

use super::{
    client::{Answer, Ask, Connection, exchange},
    documented::{is_link, is_open, is_page, is_readable_anywhere, operation_of},
};
use crate::support::{Instance, Store, wait_until};

/// A running instance and where it listens.
pub(crate) struct Server {
    pub(crate) instance: Instance,
    pub(crate) port: u16,
    pub(crate) did: String,
    /// Local proof, as the command line reads it.
    pub(crate) proof: String,
}

impl Server {
    /// One in memory that needs no tokens.
    pub(crate) fn start() -> Self {
        Self::of(Instance::start(Store::Memory))
    }

    /// One with options of its own.
    pub(crate) fn start_with(options: &[&str]) -> Self {
        Self::of(Instance::start_with(options))
    }

    /// One that was started elsewhere.
    pub(crate) fn of(instance: Instance) -> Self {
        let run = instance.sandbox.home().join("run");
        let recorded = fs::read_to_string(run.join("instance.json")).expect("run/instance.json");
        let recorded: Value = serde_json::from_str(&recorded).expect("JSON");
        let port = recorded["port"].as_u64().and_then(|p| u16::try_from(p).ok()).expect("a port");
        let did = recorded["instance_did"].as_str().expect("a DID").to_owned();
        let proof = fs::read_to_string(run.join("local")).expect("run/local");
        Self { instance, port, did, proof }
    }

    /// Sends a request, and checks of the answer what holds for all.
    #[track_caller]
    pub(crate) fn send(&self, ask: &Ask) -> Answer {
        match exchange(self.port, ask) {
            Ok(answer) => {
                check_every_answer(ask, &answer);
                answer
            }
            Err(error) => panic!("{} {}: {error}", ask.method, ask.target),
        }
    }

    #[track_caller]
    pub(crate) fn get(&self, target: &str) -> Answer {
        self.send(&Ask::get(target))
    }

    #[track_caller]
    pub(crate) fn post(&self, target: &str, body: &Value) -> Answer {
        self.send(&Ask::post(target, body.to_string()))
    }

    /// Posts a record, or a batch, as text.
    #[track_caller]
    pub(crate) fn write(&self, text: &str) -> Answer {
        self.send(&Ask::post("/v1/records", text))
    }

    /// Writes a record that is new, and gives it as it is stored.
    #[track_caller]
    pub(crate) fn wrote(&self, record: &Value) -> Value {
        self.post("/v1/records", record).is(201).json()
    }

    /// Writes a batch of new records.
    #[track_caller]
    pub(crate) fn wrote_all(&self, records: &[Value]) -> Vec<Value> {
        self.post("/v1/records", &json!({ "records": records })).is(201).rows()
    }

    /// Runs a query that is answered.
    #[track_caller]
    pub(crate) fn query(&self, query: &Value) -> Value {
        self.post("/v1/records/query", query).is(200).json()
    }

    /// The position of the last record, reserved ones included.
    #[track_caller]
    pub(crate) fn head(&self) -> u64 {
        self.get("/v1/log/head").is(200).json()["sequence"].as_u64().expect("a sequence")
    }

    /// Insists that a request is refused, and writes nothing. Gives the message.
    #[track_caller]
    pub(crate) fn refuses(&self, ask: &Ask, status: u16, code: &str) -> String {
        let before = self.head();
        let message = self.send(ask).refuses(status, code);
        assert_eq!(self.head(), before, "{} {} was refused and wrote", ask.method, ask.target);
        message
    }

    /// All rows of a list, page after page, and how many pages there were.
    #[track_caller]
    pub(crate) fn pages(&self, target: &str) -> (Vec<Value>, usize) {
        let (mut rows, mut count, mut cursor) = (Vec::new(), 0, None::<String>);
        loop {
            let separator = if target.contains('?') { '&' } else { '?' };
            let page = match &cursor {
                Some(cursor) => self.get(&format!("{target}{separator}cursor={cursor}")),
                None => self.get(target),
            };
            rows.extend(page.rows());
            count += 1;
            assert!(count < 10_000, "{target} has no end");
            match page.json()["next_cursor"].as_str() {
                Some(next) => cursor = Some(next.to_owned()),
                None => return (rows, count),
            }
        }
    }

    /// The exported records, reserved ones too where asked for.
    pub(crate) fn exported(&self, reserved: bool) -> Vec<Value> {
        let ask = if reserved {
            self.as_admin(Ask::get("/v1/export?reserved=true"))
        } else {
            Ask::get("/v1/export")
        };
        let text = self.send(&ask).is(200).text();
        text.lines().map(|line| serde_json::from_str(line).expect("a record")).collect()
    }

    /// A request with the bearer of an admin who has every grant. Making it writes records, once.
    #[track_caller]
    pub(crate) fn as_admin(&self, ask: Ask) -> Ask {
        ask.bearer(&self.instance.sandbox.admin())
    }

    /// What the sender of raw bytes, who then says that no more comes, gets back until the connection ends. An answer
    /// that is not ready by then is not sent any more.
    #[track_caller]
    pub(crate) fn raw(&self, bytes: &[u8]) -> Vec<u8> {
        self.exchanged(bytes, true)
    }

    /// What the sender of raw bytes gets back until the instance ends the connection.
    #[track_caller]
    pub(crate) fn raw_answer(&self, bytes: &[u8]) -> Vec<u8> {
        self.exchanged(bytes, false)
    }

    #[track_caller]
    fn exchanged(&self, bytes: &[u8], ends: bool) -> Vec<u8> {
        let mut connection = Connection::open(self.port).expect("a connection");
        // The other side may close before it has taken everything, which resets the connection.
        let _ = connection.send(bytes);
        if ends {
            let _ = connection.end();
        }
        let mut received = Vec::new();
        loop {
            match connection.take(1) {
                Ok(byte) => received.extend(byte),
                Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => {
                    panic!("no end after {:?}", String::from_utf8_lossy(bytes))
                }
                Err(_) => return received,
            }
        }
    }

    /// Insists that the instance is well.
    #[track_caller]
    pub(crate) fn is_well(&self) {
        let health = wait_until("the instance answers", || exchange(self.port, &Ask::get("/health")).ok());
        assert_eq!(health.is(200).json()["status"], "ok");
    }
}

/// A record that nothing is wrong with.
pub(crate) fn record(thread: &str, body: Value) -> Value {
    json!({ "thread": thread, "actor": "did:sync:user:alice", "act": "PUT", "body": body })
}

/// What holds for every answer, whatever was asked.
#[track_caller]
fn check_every_answer(ask: &Ask, answer: &Answer) {
    let shown = format!("{} {}: {} {:?}", ask.method, ask.target, answer.status, answer.headers);
    let path = ask.target.split('?').next().unwrap_or_default();
    assert_ne!(answer.status, 500, "{shown} {}", answer.text());
    assert_eq!(answer.header("x-content-type-options"), Some("nosniff"), "{shown}");
    assert!(answer.all("vary").iter().any(|v| v.eq_ignore_ascii_case("origin")), "{shown}");
    let for_itself = is_link(path) || is_page(path);
    let policy = if is_open(path) && !for_itself { "cross-origin" } else { "same-origin" };
    assert_eq!(answer.header("cross-origin-resource-policy"), Some(policy), "{shown}");
    let id = answer.header("x-request-id").unwrap_or_default();
    let kept =
        |id: &str| (8..=64).contains(&id.len()) && id.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-');
    assert!(kept(id), "{shown}");
    if path.starts_with("/v1") {
        assert_eq!(answer.header("cache-control"), Some("no-store"), "{shown}");
    }
    let anyone = is_readable_anywhere(path).then_some("*");
    assert_eq!(answer.header("access-control-allow-origin"), anyone, "{shown}");
    assert_eq!(answer.header("access-control-allow-credentials"), None, "{shown}");
    assert_eq!(answer.header("server"), None, "{shown}");
    if answer.status >= 400 && ask.method != "HEAD" {
        answer.refuses(answer.status, answer.json()["code"].as_str().unwrap_or_default());
    }
    // What the gate answers, whatever the path, is documented once and not for every operation.
    let anywhere = [204, 403, 405, 431].contains(&answer.status);
    if let Some(operation) = operation_of(&ask.method, &ask.target) {
        assert!(operation.documents(answer.status) || anywhere, "not documented: {shown} {}", answer.text());
    }
}
