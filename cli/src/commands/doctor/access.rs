//! Who gets in, and how: the checks that need an instance.

use std::net::IpAddr;

use jiff::Timestamp;
use serde::Deserialize;
use serde_json::{Value, json};

use super::{Check, fix};
use crate::{
    client::Client,
    clock,
    commands::{
        serve,
        status::Health,
        token::info::{self, Caller},
    },
    context::Context,
    error::Failure,
    pages, text,
    view::Page,
};

/// A token that ends within a week should be replaced.
const EXPIRES_SOON_SECONDS: i64 = 7 * 86_400;
/// Changes by local proof that are listed.
const LOCAL_SHOWN: usize = 20;

/// How the instance admits requests.
pub(super) fn mode(health: &Health) -> Check {
    const NAME: &str = "access";
    let words = health.auth.in_words();
    match health.auth.mode.as_str() {
        "secure" => Check::pass(NAME, words),
        "bootstrap" => Check::warn(NAME, words, "make the first account: spl up"),
        "insecure_localhost" => Check::warn(
            NAME,
            words,
            "fine for trying things out; ask for tokens again: spl serve --stop && spl serve --daemon",
        ),
        "open" => Check::warn(NAME, words, "ask for tokens again: spl config set auth_required true"),
        other => Check::warn(NAME, format!("unknown: {other}"), "is `spl` older than the instance?"),
    }
}

/// The token in use, who it makes its user, and what was written without any.
pub(super) fn token(ctx: &Context, health: &Health) -> Vec<Check> {
    const NAME: &str = "token";
    let source = match ctx.active_token() {
        Ok(Some(active)) => ctx.source_in_words(Some(active.source)),
        Ok(None) if health.auth.mode == "secure" => {
            let advice = "spl token save <token>; `spl up` tells what to do if you have none";
            return vec![Check::warn(NAME, "none is saved here", advice)];
        }
        Ok(None) => return vec![Check::pass(NAME, "none, and none is asked for")],
        Err(failure) => {
            return vec![Check::fail(NAME, failure.message(), fix(&failure, "look at the file"))];
        }
    };
    let asked = ctx.client().and_then(|client| Ok((info::caller(&client)?, client)));
    match asked {
        Err(_) if health.auth.mode == "bootstrap" => vec![Check::warn(
            NAME,
            format!("{source}: of no use, as there is no account yet"),
            "spl up makes an account and saves its token",
        )],
        Ok((Some(caller), client)) => {
            let mut checks = vec![lifetime(&source, &caller)];
            if caller.scopes.iter().any(|scope| scope == "admin") {
                checks.push(local_proof(&client));
                checks.extend(admin_invites(&client));
            }
            checks
        }
        Ok((None, _)) => vec![rejected(&source)],
        Err(failure) => vec![match failure.code() {
            Some("AUTH_INVALID" | "AUTH_REQUIRED") => rejected(&source),
            _ => Check::fail(NAME, failure.message(), fix(&failure, "look closer: spl token info")),
        }],
    }
}

fn rejected(source: &str) -> Check {
    Check::fail(
        "token",
        format!("{source}: the instance does not know it"),
        "it was revoked, has expired, or is of another instance: spl token info tells what to do",
    )
}

fn lifetime(source: &str, caller: &Caller) -> Check {
    const NAME: &str = "token";
    let actor = caller.actor.as_deref().map(text::short_actor).unwrap_or_default();
    let works = format!("{source}: works, as {actor}, with {}", caller.scopes.join(","));
    let Some(expires_at) = &caller.expires_at else { return Check::pass(NAME, works) };
    let now = clock::now();
    let left = expires_at.parse::<Timestamp>().map_or(0, |end| end.as_second() - now.as_second());
    if left > EXPIRES_SOON_SECONDS {
        return Check::pass(NAME, format!("{works}; ends {}", text::ago(expires_at, now)));
    }
    let account = caller.service_account_id.as_deref().unwrap_or("<sa_id>");
    Check::warn(
        NAME,
        format!("{source}: works, but ends {}", text::ago(expires_at, now)),
        format!("an admin replaces it: spl token rotate {account} --save"),
    )
}

/// What an instance records of a change to accounts and tokens.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Change {
    event_kind: String,
    service_account_id: String,
    token_id: Option<String>,
    at: String,
}

/// What was changed without a token, by whoever could read the home: its owner should recognise all of it.
fn local_proof(client: &Client) -> Check {
    const NAME: &str = "local proof";
    let query = json!({
        "thread": "th_audit_tokens",
        "filter": { "body.by.actor": { "$eq": "did:sync:system:local" } },
        "sort": { "sequence": -1 },
        "limit": LOCAL_SHOWN,
    });
    let changes = match changes(client, &query) {
        Ok(changes) => changes,
        Err(failure) => {
            return Check::warn(NAME, failure.message(), fix(&failure, "see spl serve --logs"));
        }
    };
    let now = clock::now();
    let rows: Vec<String> = changes
        .iter()
        .map(|change| {
            let token = change.token_id.as_deref().and_then(|id| id.get(..12)).unwrap_or_default();
            let when = text::ago(&change.at, now);
            format!("{when}: {} {} {token}", change.event_kind, change.service_account_id)
        })
        .collect();
    let detail = match rows.len() {
        0 => "nothing was written with it".to_owned(),
        LOCAL_SHOWN => format!("the last {LOCAL_SHOWN} changes written with it are listed below"),
        n => format!("{} written with it, listed below", text::counted(n as u64, "change")),
    };
    Check { rows, ..Check::pass(NAME, detail) }
}

fn changes(client: &Client, query: &Value) -> Result<Vec<Change>, Failure> {
    #[derive(Deserialize)]
    struct Row {
        body: Change,
    }
    let answer = client.post(&["v1", "records", "query"]).json(query).send()?;
    let page: Page<Row> = answer.parse()?;
    Ok(page.data.into_iter().map(|row| row.body).collect())
}

/// Links that make whoever has them an admin. Nothing is said where invites may not be seen.
fn admin_invites(client: &Client) -> Option<Check> {
    #[derive(Deserialize)]
    struct Row {
        invite_id: String,
        scopes: Vec<String>,
        expires_at: String,
        device_label: Option<String>,
    }
    const NAME: &str = "admin invites";
    let whole = pages::whole(client, &["v1", "invites"], Some(("state", "active"))).ok()?;
    let mut invites: Vec<Row> = whole.parse().ok()?;
    invites.retain(|invite| invite.scopes.iter().any(|scope| scope == "admin"));
    if invites.is_empty() {
        return Some(Check::pass(NAME, "no open invite gives the admin scope"));
    }
    let now = clock::now();
    let rows = invites.iter().map(|invite| {
        let label = invite.device_label.as_deref().unwrap_or("no label");
        format!("{} ({label}): ends {}", invite.invite_id, text::ago(&invite.expires_at, now))
    });
    let count = text::counted(invites.len() as u64, "open invite");
    let check = Check::warn(
        NAME,
        format!("{count} with the admin scope, listed below: whoever has such a link becomes an admin"),
        "take back what you do not wait for: spl invite revoke <invite_id>",
    );
    Some(Check { rows: rows.collect(), ..check })
}

/// What others can reach is reached encrypted. Only this home's own instance can be looked at.
pub(super) fn exposure(ctx: &Context) -> Option<Check> {
    const NAME: &str = "exposure";
    let (host, public_url) = serve::exposure(ctx).ok()?;
    let host = host.filter(|host| !host.to_canonical().is_loopback())?;
    let public_url = public_url_record(ctx).or(public_url);
    if public_url.as_deref().is_some_and(|url| url.starts_with("https://")) {
        return Some(Check::pass(NAME, format!("listens on {host}; others come by {}", public_url?)));
    }
    if is_shared_range(host) {
        return Some(Check::pass(NAME, format!("listens on {host}: an address of a private network")));
    }
    Some(Check::warn(
        NAME,
        format!("listens on {host}, without encryption"),
        "use a private network, or a proxy with TLS and `spl config set public_url https://…`; see docs/exposing.md",
    ))
}

/// `100.64.0.0/10`, which tailnets use: what goes there is encrypted on its way.
fn is_shared_range(host: IpAddr) -> bool {
    match host.to_canonical() {
        IpAddr::V4(address) => {
            let [a, b, ..] = address.octets();
            a == 100 && b & 0b1100_0000 == 64
        }
        IpAddr::V6(_) => false,
    }
}

fn public_url_record(ctx: &Context) -> Option<String> {
    let config = ctx.client().ok()?.get(&["v1", "config"]).send().ok()?.json().ok()?;
    let settings = config.get("settings")?.as_array()?.clone();
    let setting = settings.iter().find(|setting| setting["topic"] == "public_url")?;
    setting.pointer("/value/url").and_then(Value::as_str).map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tailnet_is_told_from_the_open_world() {
        for (host, expected) in [
            ("100.64.0.1", true),
            ("100.127.9.9", true),
            ("100.128.0.1", false),
            ("0.0.0.0", false),
            ("::", false),
        ] {
            assert_eq!(is_shared_range(host.parse().unwrap()), expected, "{host}");
        }
    }
}
