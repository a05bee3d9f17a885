//! What many tokens cost in memory, one account to ten of them.

use std::path::Path;

use serde_json::{Value, json};
use spl_benches::report;

use crate::{
    Outcome,
    engine::Engine,
    instance::Instance,
    load::connections,
    process::Usage,
    report::{Goal, Row, Spread, mebibytes},
    wire::Requests,
};

const CONNECTIONS: usize = 64;
const TOKENS_AN_ACCOUNT: usize = 10;
/// What an instance may take before its first token, and then for each, in bytes.
const BASE_MAX: f64 = 67_108_864.0;
const TOKEN_MAX: f64 = 200.0;

fn post(instance: &Instance, path: &str, bodies: &[Value], times: usize) -> Outcome<()> {
    let admin = Instance::admin();
    let request = |b: &Value| instance.request(&format!("POST {path}"), Some(&admin), &b.to_string());
    let requests = Requests::new(bodies.iter().map(request).collect());
    let mut engine = Engine::new(connections(instance, CONNECTIONS.min(times.max(1)), &requests)?)?;
    engine.times(times).map(drop)
}

/// The ids of all accounts.
fn accounts(instance: &Instance) -> Outcome<Vec<String>> {
    let (mut ids, mut query) = (Vec::new(), String::new());
    loop {
        let line = format!("GET /v1/service-accounts?limit=1000{query}");
        let page = instance.admin_asks(&line, &Value::Null)?;
        let rows = page["data"].as_array().ok_or("no list of accounts")?;
        ids.extend(rows.iter().filter_map(|r| r["id"].as_str().map(str::to_owned)));
        match page["next_cursor"].as_str() {
            Some(cursor) => query = format!("&cursor={cursor}"),
            None => return Ok(ids),
        }
    }
}

fn mint(instance: &Instance, tokens: usize) -> Outcome<()> {
    let actors = ["did:sync:user:somebody"];
    let account = json!({"name": "bench", "actors": actors, "scopes": ["records:read"], "with_token": true});
    let first = tokens.div_ceil(TOKENS_AN_ACCOUNT);
    post(instance, "/v1/service-accounts", &[account], first)?;
    let ids = accounts(instance)?;
    let bodies: Vec<Value> = ids.iter().map(|id| json!({"service_account_id": id})).collect();
    post(instance, "/v1/tokens", &bodies, tokens - first)
}

fn row(what: &str, tokens: usize, usage: Usage, empty: Usage) -> Row {
    let allowed = BASE_MAX + TOKEN_MAX * tokens as f64;
    let share = usage.resident as f64 / allowed;
    let each = usage.resident.saturating_sub(empty.resident) as f64 / tokens as f64;
    let measured = Spread { low: share, median: share, high: share };
    let note = format!(
        "{:.1} MiB of {:.1}, {each:.0} bytes a token over {:.1} MiB without",
        mebibytes(usage.resident),
        allowed / f64::from(1 << 20),
        mebibytes(empty.resident),
    );
    report(&format!("  {what}: {note}"));
    Row::new(
        format!("resident with {tokens} tokens / 64 MiB + 200 B each, {what}"),
        Goal::AtMost(1.0),
        Ok(measured),
    )
    .noted(note)
}

/// Mints them over HTTP, looks, starts anew, and looks again.
pub(crate) fn measure(program: &Path, tokens: usize) -> Outcome<(Vec<Row>, Value)> {
    report(&format!("memory of {tokens} tokens"));
    let instance = Instance::start(program, false)?;
    let empty = instance.usage();
    mint(&instance, tokens)?;
    let minted = instance.usage();
    let instance = instance.stop()?.serve()?;
    let restarted = instance.usage();
    let rows = vec![
        row("after a start", tokens, restarted, empty),
        row("right after minting them", tokens, minted, empty),
    ];
    let value = json!({
        "what": "memory of tokens", "tokens": tokens, "empty_bytes": empty.resident,
        "minted_bytes": minted.resident, "minted_peak_bytes": minted.peak,
        "restarted_bytes": restarted.resident, "restarted_peak_bytes": restarted.peak,
    });
    Ok((rows, value))
}
