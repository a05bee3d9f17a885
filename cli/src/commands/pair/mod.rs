//! `spl pair`: an account and a token for one device, in forms that it can take up.

mod payload;
mod show;

use clap::Args;
use serde::Deserialize;
use serde_json::{Value, json};

use crate::{
    args,
    bearer::ActiveToken,
    client::{Answer, Client},
    commands::{Outcome, account, token},
    context::Context,
    duration,
    error::{Failure, Kind},
    output, prompt,
    saved::SavedToken,
    scopes::{self, ActorList, ScopeList},
    text,
    token::Secret,
};
use payload::Places;

/// How long a device's token lives where nothing else is said: 90 days.
const LIFETIME_SECONDS: u64 = 90 * 86_400;

/// What a device gets where nothing else is said, by the start of its label.
const BY_PREFIX: [(&str, &[&str]); 3] = [
    ("browser-", &["admin"]),
    ("viewer-", &["records:read"]),
    ("emitter-", &["records:read", "records:write"]),
];

/// What any other device gets.
const OF_OTHERS: &[&str] = &["records:read", "records:write"];

/// Which device, and how it is let in.
#[derive(Args)]
#[command(after_help = "\
Examples:
  spl pair --device browser-chrome                      on this machine: open the first line
  spl pair --device viewer-phone --url http://192.168.1.50:9100
  spl pair --device ci-worker-1 --scopes records:read --no-qr > pairing.json
  spl pair --device browser-chrome --sa sa_0123456789abcdef     the same device again

Scopes, where --scopes is not given, by the start of the label:
  browser-*   admin                          viewer-*         records:read
  emitter-*   records:read,records:write     anything else    records:read,records:write

Prints the link <studio>/local/pair#<payload>, its QR code, and url, token and device. The payload
is the base64url of the JSON that --no-qr prints: {\"url\",\"token\",\"device\"}; -o json prints it on
one line. What follows the # is sent to no server, but whoever has the link gets in.

Lost the device? spl service-account list, then spl service-account revoke ID.
An invite needs no token on this screen, and can be narrowed to a thread: spl invite create --help")]
pub(crate) struct PairArgs {
    /// What the device is called; its account is named so
    #[arg(long, value_name = "LABEL", value_parser = payload::parse_label)]
    device: String,
    /// The address that the device will call [default: the instance's public_url, else where it listens]
    #[arg(long, value_name = "URL")]
    url: Option<String>,
    /// What it may do, separated by commas [default: by the label, see below]
    #[arg(long, value_name = "SCOPES", value_parser = scopes::parse_mixed)]
    scopes: Option<ScopeList>,
    /// Whom it may act as: DIDs, separated by commas [default: you]
    #[arg(long, value_name = "DIDS", value_parser = scopes::parse_actors)]
    actors: Option<ActorList>,
    /// Give this account a new token instead, with its own scopes, actors and lifetime; its old tokens end
    #[arg(long, value_name = "SA_ID", conflicts_with_all = ["scopes", "actors", "expires_in"])]
    sa: Option<String>,
    /// End the token after this long, such as 12h or 30d [default: 90d]
    #[arg(long, value_name = "DURATION", value_parser = duration::parse_seconds)]
    expires_in: Option<u64>,
    /// Print the payload alone, as JSON: for what cannot scan or click
    #[arg(long)]
    no_qr: bool,
    /// The page that takes it up, where another address serves it [default: the address of --url]
    #[arg(long, value_name = "URL")]
    studio_url: Option<String>,
}

/// Who asks, and where the instance says that it is.
#[derive(Debug, Deserialize)]
struct Identity {
    url: String,
    caller: Caller,
}

/// The part about whoever asks.
#[derive(Debug, Deserialize)]
struct Caller {
    actor: Option<String>,
}

/// A token that was just made, and its account.
#[derive(Debug, Deserialize)]
struct Made {
    id: String,
    api_key: Option<Secret>,
    expires_at: Option<String>,
    #[serde(default)]
    actors: Vec<String>,
    #[serde(default)]
    scopes: Vec<String>,
    /// After a rotation the tokens that ended with it; the row of a new account has no such list.
    #[serde(default)]
    revoked: Value,
}

impl Made {
    /// The token's text, which is printed as it is.
    fn key(&self) -> Option<&str> {
        let key = self.api_key.as_ref().map(Secret::expose);
        key.filter(|key| !key.is_empty() && key.bytes().all(|b| b.is_ascii_graphic()))
    }

    fn ended(&self) -> &[Value] {
        self.revoked.as_array().map_or(&[], Vec::as_slice)
    }
}

/// What the command line itself used before.
struct Before {
    active: Option<ActiveToken>,
    saved: Option<SavedToken>,
}

/// Pairs a device.
pub(crate) fn run(ctx: &Context, args: &PairArgs) -> Outcome {
    // Whatever is wrong is told before anything is made.
    let given = payload::origin("--url", args.url.as_deref())?;
    let studio = payload::origin("--studio-url", args.studio_url.as_deref())?;
    if args.actors.as_ref().is_some_and(|list| list.0.is_empty()) {
        return Err(Failure::usage("--actors is empty: a device that acts as nobody is refused everywhere")
            .hint("leave it out, and the device acts as you"));
    }
    let client = ctx.client()?;
    let identity: Identity = client.get(&["v1", "identity"]).send()?.parse()?;
    let url = match given {
        Some(url) => url,
        None => payload::origin("public_url", Some(&identity.url))?
            .ok_or_else(|| Failure::refused("the instance does not say where it is").hint("give --url"))?,
    };
    let places = Places { studio: studio.unwrap_or_else(|| url.clone()), url };
    places.warn_if_out_of_reach(&args.device, client.base());
    let before = Before { active: ctx.active_token()?, saved: ctx.home.saved_token()? };
    let (made, was_rotated) = match &args.sa {
        Some(id) => (rotate(ctx, &client, id)?, true),
        None => (create(ctx, &client, args, identity.caller)?, false),
    };
    let Some(key) = made.key() else {
        let id = text::safe(&made.id);
        return Err(Failure::refused(format!(
            "the account {id} is there, but no token came with the answer"
        ))
        .hint(format!("make it a new one: {}", places.again(&args.device, &made.id))));
    };
    show::print(ctx, args, &places, &made, key)?;
    show::summary(&made, was_rotated);
    token::note_own_end(ctx, before.active, before.saved, made.ended(), false);
    Ok(0)
}

/// Gives a browser an account of its own, with which its owner does everything: the link that signs it in.
pub(crate) fn browser(client: &Client, device: &str, actor: &str) -> Result<String, Failure> {
    let identity: Identity = client.get(&["v1", "identity"]).send()?.parse()?;
    let url = payload::origin("public_url", Some(&identity.url))?
        .ok_or_else(|| Failure::refused("the instance does not say where it is"))?;
    let places = Places { studio: url.clone(), url };
    let made = make(client, device, &[actor.to_owned()], &["admin".to_owned()], None)?;
    let token = made.key().ok_or_else(|| Failure::refused("no token came with the answer"))?;
    places.link(&payload::Payload { url: &places.url(), token, device })
}

/// Makes an account and its token, in one request: neither is ever there without the other.
fn create(ctx: &Context, client: &Client, args: &PairArgs, caller: Caller) -> Result<Made, Failure> {
    let actors = match &args.actors {
        Some(list) => list.0.clone(),
        None => vec![own_actor(ctx, client, caller)?],
    };
    let scopes = match &args.scopes {
        Some(list) => list.0.clone(),
        None => default_scopes(&args.device),
    };
    make(client, &args.device, &actors, &scopes, args.expires_in)
}

/// Makes an account and its token, with what it is called, whom it may act as, and what it may do.
fn make(
    client: &Client,
    device: &str,
    actors: &[String],
    scopes: &[String],
    expires_in: Option<u64>,
) -> Result<Made, Failure> {
    let body = json!({
        "name": device,
        "actors": actors,
        "scopes": scopes,
        "with_token": true,
        "expires_in_seconds": expires_in.unwrap_or(LIFETIME_SECONDS),
    });
    let answer = client.post(&["v1", "service-accounts"]).json(&body).send().map_err(|failure| {
        if failure.kind() != Kind::Unreachable {
            return failure;
        }
        failure
            .hint("an account may have been made all the same: spl service-account list")
            .hint("if it is there, revoke it: spl service-account revoke <id>, and pair again")
    })?;
    parse(&answer)
}

/// Gives an account a new token; its others end in the same step.
fn rotate(ctx: &Context, client: &Client, id: &str) -> Result<Made, Failure> {
    let question =
        "This is the account of the token you use: it ends, and the device gets the new one. Go on?";
    let asks = ctx.out.is_human() && prompt::is_possible();
    if asks && account::is_own(ctx, id)? && !prompt::confirm(question)? {
        return Err(Failure::refused("nothing was rotated, and nobody paired"));
    }
    let request = client.post(&["v1", "service-accounts", id, "rotate-key"]);
    let answer = request.send().map_err(|failure| match failure.kind() {
        Kind::Unreachable => failure.hint("its old token may have ended all the same: run this again"),
        _ => failure,
    })?;
    parse(&answer)
}

/// What was made: an answer that cannot be read does not undo it.
fn parse(answer: &Answer) -> Result<Made, Failure> {
    answer.parse().map_err(|failure| {
        failure.hint("the instance has done it all the same: see spl service-account list")
    })
}

/// Whoever uses this command line: as named, as configured, as the token says, or the login name.
fn own_actor(ctx: &Context, client: &Client, caller: Caller) -> Result<String, Failure> {
    let is_named = args::own_actor().is_some() || ctx.config()?.identity.actor.is_some();
    let of_token = caller.actor.filter(|actor| client.has_token() && !actor.is_empty());
    match of_token {
        Some(actor) if !is_named => Ok(actor),
        _ => ctx.own_actor(),
    }
}

/// The scopes that a label stands for; what they are is told, as they were not asked for.
fn default_scopes(device: &str) -> Vec<String> {
    let found = BY_PREFIX.iter().find(|(prefix, _)| device.starts_with(prefix));
    let scopes = found.map_or(OF_OTHERS, |(_, scopes)| scopes);
    let listed = scopes.join(",");
    match found {
        Some((prefix, _)) => {
            output::note(format_args!("--scopes was not given: {prefix}* gets {listed}"));
        }
        None => {
            output::note(format_args!("--scopes was not given: the device gets {listed}"));
            output::note("hint: begin its label with what it is, or give --scopes:");
            for (prefix, scopes) in BY_PREFIX {
                output::note(format_args!("  {prefix:<10}{}", scopes.join(",")));
            }
        }
    }
    scopes.iter().map(ToString::to_string).collect()
}
