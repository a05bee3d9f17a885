//! Single workloads against `spl` alone.

use std::{
    path::Path,
    sync::{Arc, atomic::Ordering::Relaxed},
    time::Duration,
};

use clap::{Args, ValueEnum};
use serde_json::{Value, json};
use spl_benches::{Steal, report};
use spl_kernel::identity::PrivateKey;
use zeroize::Zeroizing;

use crate::{
    Outcome, duration,
    engine::{Engine, Fanout, Slice},
    instance::{Instance, payloads},
    peers::Spoken,
    process::load_average,
    report::{line, slice, usage, usage_line, write},
    wire::{
        Requests,
        http::{Http, Statuses},
        lines::Marked,
    },
};

/// What starts each event of a stream.
pub(crate) const EVENT: &str = "event: record.created";
/// Records that are there before a workload begins.
const RECORDS: usize = 2000;
/// Tokens that requests use in turn.
const TOKENS: usize = 64;

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Workload {
    /// Who am I: the cheapest request that has its bearer checked
    TokenCheck,
    /// A record by its id, with a bearer
    Read,
    /// The same from an instance that asks for none
    OpenRead,
    /// One record a request, answered when it will last
    Write,
    /// Nine reads to one write
    Mixed,
    /// One record at a time to many streams
    Fanout,
    /// Many who redeem a few invites at once
    Redeem,
}

#[derive(Args)]
pub(crate) struct Arguments {
    /// What to do
    workload: Workload,
    /// Connections, or streams of a fan-out
    #[arg(short, long, default_value_t = 32, value_parser = clap::value_parser!(u32).range(1..=8000))]
    connections: u32,
    /// For how long, such as 500ms, 5s or 2m
    #[arg(short, long, default_value = "5s", value_parser = duration)]
    duration: Duration,
    /// Requests a second whatever the answers do, latency counted from when each was due [default: as fast as
    /// answers come]
    #[arg(short, long, value_name = "RATE", value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    rate: Option<u32>,
}

/// Connections over which these requests go round.
pub(crate) fn connections(instance: &Instance, count: usize, requests: &Requests) -> Outcome<Vec<Spoken>> {
    let one = |n| -> Outcome<Spoken> { Ok((instance.link()?, Box::new(Http::new(requests.part(n, count))))) };
    (0..count).map(one).collect()
}

/// The requests that read records by their ids, each with one of the tokens.
pub(crate) fn reads(instance: &Instance, ids: &[String], tokens: &[String]) -> Requests {
    let read = |(n, id): (usize, &String)| {
        let token = tokens.get(n % tokens.len().max(1)).map(String::as_str);
        instance.request(&format!("GET /v1/records/{id}"), token, "")
    };
    Requests::new(ids.iter().enumerate().map(read).collect())
}

/// The requests that ask who they are from, with each of the tokens.
pub(crate) fn checks(instance: &Instance, tokens: &[String]) -> Requests {
    Requests::new(tokens.iter().map(|t| instance.request("GET /v1/identity", Some(t), "")).collect())
}

/// Nine reads, then a write, and so on.
pub(crate) fn mixed(instance: &Instance, ids: &[String], payloads: &[String]) -> Outcome<Requests> {
    let token = instance.token(&["records:read", "records:write"])?;
    let mut list = Vec::new();
    for (nine, payload) in ids.chunks(9).zip(payloads) {
        for id in nine {
            list.push(instance.request(&format!("GET /v1/records/{id}"), Some(&token), ""));
        }
        list.push(instance.request("POST /v1/records", Some(&token), payload));
    }
    Ok(Requests::new(list))
}

/// A publisher of one record, and streams of all records.
pub(crate) fn fanout(instance: &Instance, streams: usize, payload: &str) -> Outcome<Fanout> {
    let subscribe = |request: Vec<u8>| -> Outcome<Spoken> {
        Ok((instance.link()?, Box::new(Marked::new(request, EVENT))))
    };
    let requests = instance.subscriptions(streams, "")?;
    let subscribers = requests.into_iter().map(subscribe).collect::<Outcome<Vec<_>>>()?;
    let writes = instance.writes(&[payload.to_owned()])?;
    Fanout::new(subscribers, (instance.link()?, Box::new(Http::new(writes))), true)
}

/// Many redeem a few invites, each of which has fewer uses than it gets attempts. Every use goes exactly once,
/// or it fails.
fn redeem(instance: &Instance, connections: usize) -> Outcome<(Slice, Value)> {
    const INVITES: usize = 20;
    const USES: u64 = 10;
    // The instance lets one client try 600 times a minute.
    const ATTEMPTS: usize = 500;
    let mut paths = Vec::new();
    for _ in 0..INVITES {
        let body = json!({"scopes": ["records:read"], "max_uses": USES});
        let invite = instance.admin_asks("POST /v1/invites", &body)?;
        let (id, link) = (invite["invite_id"].as_str().ok_or("no invite")?, &invite["redirect_url"]);
        let signature = link.as_str().and_then(|l| l.split_once("sig=")).ok_or("no link")?.1;
        paths.push(format!("POST /v1/invites/{id}/redeem?sig={signature}"));
    }
    let keys = (0..ATTEMPTS).map(|n| PrivateKey::from_seed(&seed(n)).public().base64url());
    let one = |(n, key): (usize, String)| {
        let body = json!({"holder_type": "guest", "holder_pubkey": key}).to_string();
        instance.request(&paths[n % INVITES], None, &body)
    };
    let requests: Vec<Vec<u8>> = keys.enumerate().map(one).collect();
    let statuses = Arc::new(Statuses::default());
    let own = |n: usize| requests.iter().skip(n).step_by(connections).cloned().collect();
    let spoken = |n| -> Outcome<Spoken> {
        let wire = Http::counting(Requests::new(own(n)), statuses.clone());
        Ok((instance.link()?, Box::new(wire)))
    };
    let mut engine = Engine::new((0..connections).map(spoken).collect::<Outcome<Vec<_>>>()?)?;
    let slice = engine.times(ATTEMPTS)?;
    let [done, lost, later] = [&statuses.done, &statuses.lost, &statuses.later].map(|s| s.load(Relaxed));
    report(&format!("  {done} redeemed, {lost} too late, {later} told to come later"));
    if done > USES * INVITES as u64 {
        return Err("more were let in than the invites allow".into());
    }
    Ok((slice, json!({"redeemed": done, "too_late": lost, "later": later})))
}

fn seed(n: usize) -> Zeroizing<[u8; 32]> {
    let mut seed = Zeroizing::new([7; 32]);
    seed[..8].copy_from_slice(&n.to_le_bytes());
    seed
}

fn measure(program: &Path, arguments: &Arguments, records: usize) -> Outcome<Value> {
    let steal = Steal::begin();
    let instance = Instance::start(program, arguments.workload == Workload::OpenRead)?;
    let count = arguments.connections as usize;
    let source = payloads(records)?;
    let mut extra = Value::Null;
    let requests = match arguments.workload {
        Workload::TokenCheck => {
            let account = instance.account("bench", &["records:read"])?;
            Some(checks(&instance, &instance.tokens(&account, TOKENS)?))
        }
        Workload::Read => {
            let account = instance.account("bench", &["records:read"])?;
            Some(reads(&instance, &instance.fill(&source)?, &instance.tokens(&account, TOKENS)?))
        }
        Workload::OpenRead => Some(reads(&instance, &instance.fill(&source)?, &[])),
        Workload::Write => Some(instance.writes(&source)?),
        Workload::Mixed => Some(mixed(&instance, &instance.fill(&source)?, &source)?),
        Workload::Fanout | Workload::Redeem => None,
    };
    let mut before = instance.usage();
    let result = match (requests, arguments.rate) {
        (Some(requests), rate) => {
            let mut engine = Engine::new(connections(&instance, count, &requests)?)?;
            before = instance.usage();
            match rate {
                Some(rate) => engine.open(f64::from(rate), arguments.duration)?,
                None => engine.closed(arguments.duration)?,
            }
        }
        (None, _) if arguments.workload == Workload::Fanout => {
            let mut fanout = fanout(&instance, count, &source[0])?;
            before = instance.usage();
            fanout.run(arguments.duration, 1)?
        }
        (None, _) => {
            let (result, counts) = redeem(&instance, count)?;
            extra = counts;
            result
        }
    };
    let after = instance.usage();
    let name = arguments.workload.to_possible_value().map(|v| v.get_name().to_owned()).unwrap_or_default();
    let name = format!("{name}, {count} connections");
    report(&line(&name, &result));
    report(&usage_line(before, after, &result));
    report(&format!("  {}, load {}", steal.share(), load_average()));
    Ok(json!({
        "workload": name, "rate": arguments.rate, "result": slice(&result), "server": usage(before, after),
        "machine": steal.share(), "load": load_average(), "more": extra,
    }))
}

/// Runs one workload.
pub(crate) fn run(program: &Path, arguments: &Arguments) -> Outcome<()> {
    write("load", &measure(program, arguments, RECORDS)?)
}

/// Every workload for a moment.
pub(crate) fn smoke(program: &Path) -> Outcome<()> {
    for workload in Workload::value_variants() {
        let duration = Duration::from_millis(100);
        let rates: &[Option<u32>] =
            if *workload == Workload::TokenCheck { &[None, Some(200)] } else { &[None] };
        for rate in rates {
            measure(program, &Arguments { workload: *workload, connections: 4, duration, rate: *rate }, 50)?;
        }
    }
    Ok(())
}
