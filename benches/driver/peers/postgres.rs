//! PostgreSQL, with `fsync` and `synchronous_commit` on. It refuses to run as the superuser. Its role needs no
//! password: that would be asked for once a connection, which is not what is measured.

use std::process::{Command, Stdio};

use super::{KeptToken, Peer, Place, Running, Spoken};
use crate::{
    Outcome,
    process::{Server, Usage, drop_privileges},
    wire::{
        Requests,
        postgres::{Postgres as Wire, connect, execution, prepare, run},
    },
};

const ROLE: &str = "bench";
const TABLES: &str = "CREATE TABLE IF NOT EXISTS tokens (id bytea PRIMARY KEY, entry text NOT NULL);
    CREATE TABLE IF NOT EXISTS log (sequence bigserial PRIMARY KEY, record text NOT NULL)";

struct Postgres(Running);

pub(super) fn start(place: Place) -> Outcome<Box<dyn Peer>> {
    let data = place.directory.path().join("data");
    std::fs::create_dir(&data)?;
    let programs = place.program.canonicalize().unwrap_or_else(|_| place.program.clone());
    let mut init = Command::new(programs.with_file_name("initdb"));
    init.arg("--no-sync").args(["-A", "trust", "-U", ROLE, "-E", "UTF8", "--locale=C", "-D"]).arg(&data);
    drop_privileges(&mut init, place.directory.path())?;
    drop_privileges(&mut init, &data)?;
    let made = init.stdin(Stdio::null()).output()?;
    if !made.status.success() {
        return Err(format!("initdb: {}", String::from_utf8_lossy(&made.stderr)).into());
    }
    let mut command = Command::new(&programs);
    command.arg("-D").arg(&data).args(["-h", "127.0.0.1", "-p", &place.port.to_string(), "-k", ""]);
    command.args(["-c", "fsync=on", "-c", "synchronous_commit=on", "-c", "max_connections=1100"]);
    drop_privileges(&mut command, &data)?;
    let mut server = Server::start(&mut command, place.directory.path().join("output"))?;
    let port = place.port;
    server.wait(|| run(&mut connect(port, ROLE)?, TABLES))?;
    Ok(Box::new(Postgres(Running { server, place })))
}

impl Postgres {
    fn connections(&self, count: usize, sql: &str, row: bool, requests: &Requests) -> Outcome<Vec<Spoken>> {
        let one = |n| -> Outcome<Spoken> {
            let mut link = connect(self.0.place.port, ROLE)?;
            prepare(&mut link, sql)?;
            Ok((link, Box::new(Wire::new(requests.part(n, count), row))))
        };
        (0..count).map(one).collect()
    }
}

impl Peer for Postgres {
    fn usage(&self) -> Usage {
        self.0.server.usage()
    }

    fn lookups(&self, connections: usize, tokens: &[KeptToken]) -> Outcome<Option<Vec<Spoken>>> {
        let mut link = connect(self.0.place.port, ROLE)?;
        let row = |t: &KeptToken| {
            let digits: String = t.digest.iter().map(|b| format!("{b:02x}")).collect();
            format!("('\\x{digits}','{}')", t.entry.replace('\'', "''"))
        };
        let rows: Vec<String> = tokens.iter().map(row).collect();
        run(&mut link, &format!("INSERT INTO tokens VALUES {} ON CONFLICT DO NOTHING", rows.join(",")))?;
        run(&mut link, "VACUUM ANALYZE tokens")?;
        let selects = tokens.iter().map(|t| execution(&[&t.digest])).collect();
        let sql = "SELECT entry FROM tokens WHERE id = $1";
        self.connections(connections, sql, true, &Requests::new(selects)).map(Some)
    }

    fn appends(&self, connections: usize, payloads: &[String]) -> Outcome<Option<Vec<Spoken>>> {
        let inserts = payloads.iter().map(|p| execution(&[p.as_bytes()])).collect();
        let sql = "INSERT INTO log (record) VALUES ($1)";
        self.connections(connections, sql, false, &Requests::new(inserts)).map(Some)
    }
}
