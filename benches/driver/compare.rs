//! Everything side by side, and the goals checked.

use std::{path::Path, time::Duration};

use clap::Args;
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use spl_benches::{Steal, now, report};

use crate::{
    Outcome,
    bare::Duty,
    engine::Engine,
    floors::{Figure, Floors, announcement, beside, long_answer, usual_answer},
    instance::{Instance, payloads},
    load::{EVENT, checks, connections, fanout, reads},
    peers::{KeptToken, Kind, Peer, Spoken},
    process::load_average,
    report::{Goal, Row, rows, table, write},
    rounds::Rounds,
    starts, tokens,
    wire::lines::Marked,
};

/// What a group of comparisons is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Group {
    Reads,
    Appends,
    Fanout,
    CatchUp,
    Starts,
    Memory,
}

#[derive(Args)]
pub(crate) struct Arguments {
    /// A smoke run of about a minute: its figures say little
    #[arg(long)]
    quick: bool,
    /// Only these groups
    #[arg(long, value_enum, value_delimiter = ',', value_name = "GROUP")]
    only: Vec<Group>,
    /// Rounds of each group
    #[arg(long, value_parser = clap::value_parser!(u16).range(1..=200))]
    rounds: Option<u16>,
    /// Without peers
    #[arg(long)]
    alone: bool,
}

/// How much is done.
#[derive(Debug, Clone, Copy)]
struct Size {
    rounds: usize,
    slice: Duration,
    tokens: usize,
    records: usize,
    writers: &'static [usize],
    subscribers: usize,
    /// Records of a home that is started with data.
    full: usize,
    /// Tokens whose memory is measured.
    minted: usize,
}

const LARGE: Size = Size {
    rounds: 15,
    slice: Duration::from_millis(400),
    tokens: 2000,
    records: 20_000,
    writers: &[1, 16, 64],
    subscribers: 1000,
    full: 1_000_000,
    minted: 100_000,
};
const QUICK: Size = Size {
    rounds: 5,
    slice: Duration::from_millis(150),
    tokens: 500,
    records: 4000,
    writers: &[1, 16, 64],
    subscribers: 200,
    full: 50_000,
    minted: 3000,
};
const SMOKE: Size = Size {
    rounds: 1,
    slice: Duration::from_millis(50),
    tokens: 20,
    records: 100,
    writers: &[2],
    subscribers: 20,
    full: 1000,
    minted: 40,
};

/// What all groups have in common.
struct Comparison<'a> {
    program: &'a Path,
    size: Size,
    alone: bool,
    payloads: Vec<String>,
    rows: Vec<Row>,
    groups: Vec<Value>,
}

/// The peers of a group that run, and why the others do not.
struct Peers {
    running: Vec<(Kind, Box<dyn Peer>)>,
    missing: Vec<(Kind, String)>,
}

impl Comparison<'_> {
    fn peers(&self, kinds: &[Kind]) -> Peers {
        let mut peers = Peers { running: Vec::new(), missing: Vec::new() };
        for kind in kinds {
            let started = if self.alone { Err("left out".into()) } else { kind.start() };
            match started {
                Ok(Some(peer)) => peers.running.push((*kind, peer)),
                Ok(None) => peers.missing.push((*kind, "not installed".into())),
                Err(e) => peers.missing.push((*kind, e.to_string())),
            }
        }
        peers
    }

    /// Has the peers that run take part with the connections that `of` gives.
    fn join<'b>(
        &self,
        rounds: &mut Rounds<'b>,
        peers: &'b Peers,
        of: impl Fn(&dyn Peer) -> Outcome<Option<Vec<Spoken>>>,
    ) -> Outcome<()> {
        let slice = self.size.slice;
        for (kind, peer) in &peers.running {
            match of(peer.as_ref()).and_then(|s| s.map(Engine::new).transpose()) {
                Ok(Some(mut engine)) => {
                    rounds.side(kind.name(), || peer.usage(), move || engine.closed(slice))?;
                }
                Ok(None) => {}
                Err(e) => rounds.missing(kind.name(), e.to_string()),
            }
        }
        for (kind, why) in &peers.missing {
            rounds.missing(kind.name(), why.clone());
        }
        Ok(())
    }

    fn reads(&mut self) -> Outcome<()> {
        const CONNECTIONS: usize = 32;
        let slice = self.size.slice;
        let secure = Instance::start(self.program, false)?;
        let open = Instance::start(self.program, true)?;
        let account = secure.account("bench", &["records:read"])?;
        let bearers = secure.tokens(&account, self.size.tokens)?;
        let sample = &self.payloads[..self.size.tokens.min(self.payloads.len())];
        let kept: Vec<KeptToken> = bearers
            .iter()
            .map(|t| KeptToken { digest: Sha256::digest(t).into(), entry: entry(&account) })
            .collect();
        // Peers first: filling them takes time, and an instance closes connections over which nothing comes.
        let peers = self.peers(&[Kind::Redis, Kind::Postgres, Kind::Etcd]);
        let ours = [
            (CHECK, &secure, checks(&secure, &bearers)),
            (READ, &secure, reads(&secure, &secure.fill(sample)?, &bearers)),
            (OPEN_READ, &open, reads(&open, &open.fill(sample)?, &[])),
        ];
        let floor = |what, at: usize| -> Outcome<Floors> {
            Floors::start(what, Duty::Answer, &usual_answer(&secure, &ours[at].2)?)
        };
        let floors = [floor(FLOOR_CHECK, 0)?, floor(FLOOR_READ, 1)?];
        let mut rounds = Rounds::new(format!("reads, {CONNECTIONS} connections"));
        self.join(&mut rounds, &peers, |p| p.lookups(CONNECTIONS, &kept))?;
        for (floors, (_, _, requests)) in floors.iter().zip(&ours) {
            floors.closed(&mut rounds, (CONNECTIONS, requests), slice)?;
        }
        for (name, instance, requests) in ours {
            let mut engine = Engine::new(connections(instance, CONNECTIONS, &requests)?)?;
            rounds.side(name, || instance.usage(), move || engine.closed(slice))?;
        }
        self.groups.push(rounds.run(self.size.rounds));
        let open = "authenticated read / the same without auth";
        self.rows.push(rounds.ratio(open, READ, OPEN_READ, Goal::AtLeast(0.97)));
        let (rate, p99): (Figure, Figure) = (Rounds::ratio, Rounds::p99_ratio);
        let goals = [
            (rate, "authenticated read / Redis GET of a token", READ, FLOOR_READ, Goal::AtLeast(1.1)),
            (p99, "p99 of an authenticated read / Redis's", READ, FLOOR_READ, Goal::AtMost(2.0)),
            (rate, "token check / Redis GET of a token", CHECK, FLOOR_CHECK, Goal::AtLeast(1.1)),
            (p99, "p99 of a token check / Redis's", CHECK, FLOOR_CHECK, Goal::AtMost(2.0)),
        ];
        for (figure, what, ours, floor, goal) in goals {
            let label = if matches!(goal, Goal::AtMost(_)) { "p99 of " } else { "" };
            self.rows.push(figure(&rounds, what, ours, "Redis", goal));
            self.rows.extend(beside(&rounds, figure, (label, floor), (ours, "Redis")));
        }
        self.rows.extend([
            rounds.ratio("token check / PostgreSQL select by hash", CHECK, "PostgreSQL", Goal::None),
            rounds.ratio("token check / etcd range", CHECK, "etcd", Goal::None),
        ]);
        Ok(())
    }

    fn appends(&mut self) -> Outcome<()> {
        let spl = Instance::start(self.program, false)?;
        let peers = self.peers(&Kind::ALL);
        let writes = spl.writes(&self.payloads)?;
        let floors = Floors::start("", Duty::Append, &usual_answer(&spl, &writes)?)?;
        for writers in self.size.writers.iter().copied() {
            let slice = self.size.slice;
            let mut rounds = Rounds::new(format!("durable appends, {writers} at a time"));
            let mut engine = Engine::new(connections(&spl, writers, &writes)?)?;
            rounds.side("spl", || spl.usage(), move || engine.closed(slice))?;
            floors.closed(&mut rounds, (writers, &writes), slice)?;
            self.join(&mut rounds, &peers, |p| p.appends(writers, &self.payloads))?;
            let result = rounds.run(self.size.rounds);
            for kind in Kind::ALL {
                let goal = match (kind, writers) {
                    (Kind::Postgres, 16) => Goal::AtLeast(2.0),
                    (Kind::Redis, 64) => Goal::AtLeast(1.0),
                    (Kind::Uma, 16 | 64) => Goal::AtLeast(1.5),
                    _ => Goal::None,
                };
                let what = format!("durable append at {writers} / {} {}", kind.name(), append_name(kind));
                self.judged(&rounds, &what, (&format!("append at {writers}: "), "spl", kind.name()), goal);
            }
            self.groups.push(result);
        }
        Ok(())
    }

    fn fanout(&mut self) -> Outcome<()> {
        let (subscribers, slice) = (self.size.subscribers, self.size.slice);
        let spl = Instance::start(self.program, false)?;
        let kinds = [Kind::Redis, Kind::Nats, Kind::Etcd, Kind::Uma];
        let peers = self.peers(&kinds);
        let payload = &self.payloads[0];
        let (streams, posts) = (spl.subscriptions(subscribers, "")?, spl.writes(&self.payloads[..1])?);
        let script = announcement(&spl, &streams[0], posts.clone().next())?;
        let floors = Floors::start("", Duty::Fanout, &script)?;
        let mut rounds = Rounds::new(format!("one event at a time to {subscribers} subscribers"));
        floors.fanout(&mut rounds, (&streams, &posts), slice)?;
        let mut ours = fanout(&spl, subscribers, payload)?;
        rounds.side("spl", || spl.usage(), move || ours.run(slice, 1))?;
        for (kind, peer) in &peers.running {
            match peer.fanout(subscribers, payload) {
                Ok(Some(mut fanout)) => {
                    rounds.side(kind.name(), || peer.usage(), move || fanout.run(slice, 1))?;
                }
                Ok(None) => {}
                Err(e) => rounds.missing(kind.name(), e.to_string()),
            }
        }
        for (kind, why) in &peers.missing {
            rounds.missing(kind.name(), why.clone());
        }
        let result = rounds.run(self.size.rounds);
        let goals = [Goal::AtLeast(1.1), Goal::AtLeast(2.0), Goal::None, Goal::AtLeast(1.5)];
        for (kind, goal) in kinds.into_iter().zip(goals) {
            let what = format!("fan-out to {subscribers} / {} {}", kind.name(), fanout_name(kind));
            self.judged(&rounds, &what, ("fan-out: ", "spl", kind.name()), goal);
        }
        self.groups.push(result);
        Ok(())
    }

    fn catch_up(&mut self) -> Outcome<()> {
        const TIMEOUT: Duration = Duration::from_secs(60);
        let spl = Instance::start(self.program, false)?;
        spl.fill(&self.payloads)?;
        let count = self.payloads.len();
        let mut peers = self.peers(&[Kind::Uma]);
        if let Some((kind, peer)) = peers.running.first()
            && let Err(e) = peer.fill(&self.payloads)
        {
            peers = Peers { running: Vec::new(), missing: vec![(*kind, e.to_string())] };
        }
        let token = spl.token(&["records:read"])?;
        let ask = |line| spl.request(line, Some(&token), "");
        let requests = [
            (EXPORT, FLOOR_EXPORT, ask("GET /v1/export"), LINE),
            (STREAM, FLOOR_STREAM, ask("GET /v1/events/stream?since_clock=0"), EVENT),
        ];
        let mut floors = Vec::new();
        for (_, floor, request, marker) in &requests {
            let script = long_answer(&spl, request, marker, count)?;
            floors.push(Floors::start(floor, Duty::Answer, &script)?);
        }
        let mut rounds = Rounds::new(format!("catching up with {count} records, over a new connection"));
        for (floors, (name, _, request, marker)) in floors.iter().zip(&requests) {
            floors.once(&mut rounds, (request, marker), (count, TIMEOUT))?;
            let port = &spl;
            rounds.side(
                *name,
                || spl.usage(),
                move || {
                    let wire = Box::new(Marked::new(request.clone(), marker));
                    Engine::new([(port.link()?, wire as _)])?.once(count, TIMEOUT)
                },
            )?;
        }
        for (name, following) in [(UMA_READ, false), (UMA_SUBSCRIBE, true)] {
            for (_, peer) in &peers.running {
                rounds.side(
                    name,
                    || peer.usage(),
                    move || {
                        let spoken = peer.catch_up(following)?.ok_or("it cannot")?;
                        Engine::new([spoken])?.once(count, TIMEOUT)
                    },
                )?;
            }
            for (_, why) in &peers.missing {
                rounds.missing(name, why.clone());
            }
        }
        let result = rounds.run(self.size.rounds);
        for (what, ours, floor, peer) in [
            ("catch-up by export / UmaDB read", EXPORT, FLOOR_EXPORT, UMA_READ),
            ("catch-up by stream / UmaDB subscribe", STREAM, FLOOR_STREAM, UMA_SUBSCRIBE),
        ] {
            self.rows.push(rounds.ratio(what, ours, peer, Goal::AtLeast(1.5)));
            self.rows.extend(beside(&rounds, Rounds::ratio, ("catch-up, ", floor), (ours, peer)));
        }
        self.groups.push(result);
        Ok(())
    }

    /// How `ours` compares with a peer, with what to judge it by where it has a goal.
    fn judged(
        &mut self,
        rounds: &Rounds<'_>,
        what: &str,
        (label, ours, peer): (&str, &str, &str),
        goal: Goal,
    ) {
        self.rows.push(rounds.ratio(what, ours, peer, goal));
        if !matches!(goal, Goal::None) {
            self.rows.extend(beside(rounds, Rounds::ratio, (label, ""), (ours, peer)));
        }
    }

    fn group(&mut self, group: Group) -> Outcome<()> {
        report("");
        match group {
            Group::Reads => self.reads(),
            Group::Appends => self.appends(),
            Group::Fanout => self.fanout(),
            Group::CatchUp => self.catch_up(),
            Group::Starts => {
                let (rows, result) = starts::measure(self.program, self.size.full, self.size.rounds)?;
                self.rows.extend(rows);
                self.groups.push(result);
                Ok(())
            }
            Group::Memory => {
                let (rows, result) = tokens::measure(self.program, self.size.minted)?;
                self.rows.extend(rows);
                self.groups.push(result);
                Ok(())
            }
        }
    }
}

const CHECK: &str = "spl token check";
const READ: &str = "spl read";
const OPEN_READ: &str = "spl read without auth";
/// What floors do that stand beside these.
const FLOOR_CHECK: &str = "token check";
const FLOOR_READ: &str = "read";
const FLOOR_EXPORT: &str = "export";
const FLOOR_STREAM: &str = "stream";
const EXPORT: &str = "spl export";
const STREAM: &str = "spl stream";
const UMA_READ: &str = "UmaDB read";
const UMA_SUBSCRIBE: &str = "UmaDB subscribe";
/// What each line of an export has once.
const LINE: &str = ",\"judged_by\":";

fn append_name(kind: Kind) -> &'static str {
    match kind {
        Kind::Redis => "XADD, always",
        Kind::Postgres => "INSERT",
        Kind::Etcd => "put",
        Kind::Nats => "JetStream, always",
        Kind::Uma => "append",
    }
}

fn fanout_name(kind: Kind) -> &'static str {
    match kind {
        Kind::Redis | Kind::Nats => "pub/sub, which keeps nothing",
        Kind::Postgres => "",
        Kind::Etcd => "watch",
        Kind::Uma => "subscribe",
    }
}

/// What a peer keeps of a token.
fn entry(account: &str) -> String {
    json!({"account": account, "scopes": ["records:read"], "actors": ["did:sync:svc:debian-archive"]})
        .to_string()
}

fn all(program: &Path, size: Size, arguments: &Arguments) -> Outcome<(Vec<Row>, Vec<Value>)> {
    let groups = if arguments.only.is_empty() {
        vec![Group::Reads, Group::Appends, Group::Fanout, Group::CatchUp, Group::Starts, Group::Memory]
    } else {
        arguments.only.clone()
    };
    let size = Size { rounds: arguments.rounds.map_or(size.rounds, usize::from), ..size };
    let payloads = payloads(size.records)?;
    let alone = arguments.alone;
    let mut comparison = Comparison { program, size, alone, payloads, rows: Vec::new(), groups: Vec::new() };
    for group in groups {
        let start = now();
        if let Err(e) = comparison.group(group) {
            comparison.rows.push(Row::new(format!("{group:?}"), Goal::None, Err(e.to_string())));
        }
        report(&format!("  ({:.0} s)", now().duration_since(start).as_secs_f64()));
    }
    Ok((comparison.rows, comparison.groups))
}

/// Compares, prints the table, writes it, and says whether all goals that were measured are met.
pub(crate) fn run(program: &Path, arguments: &Arguments) -> Outcome<bool> {
    let steal = Steal::begin();
    let size = if arguments.quick { QUICK } else { LARGE };
    let (list, groups) = all(program, size, arguments)?;
    table(&list);
    report(&format!("{}, load {}", steal.share(), load_average()));
    let peers: Vec<Value> = Kind::ALL
        .iter()
        .map(|k| json!({"name": k.name(), "version": k.installed().ok().flatten().map(|(_, version)| version)}))
        .collect();
    let value = json!({
        "goals": rows(&list), "groups": groups, "peers": peers, "machine": steal.share(),
        "load": load_average(), "quick": arguments.quick, "program": program.display().to_string(),
    });
    write("compare", &value)?;
    Ok(list.iter().all(|row| row.verdict() != "NOT MET"))
}

/// Everything for a moment, without peers.
pub(crate) fn smoke(program: &Path) -> Outcome<()> {
    let arguments = Arguments { quick: true, only: Vec::new(), rounds: None, alone: true };
    let (rows, groups) = all(program, SMOKE, &arguments)?;
    table(&rows);
    let failed = groups.iter().flat_map(|g| g["sides"].as_array().into_iter().flatten());
    match failed.clone().find(|s| s["failed"].is_string()) {
        Some(side) => Err(format!("a side failed: {side}").into()),
        None if groups.len() < 6 => Err("a group failed".into()),
        None => Ok(()),
    }
}
