//! `spl federation`: other instances that this one knows by their key.

use clap::{Args, Subcommand};
use serde::Deserialize;
use serde_json::{Map, Value};

use crate::{
    client::{Client, Credential},
    clock,
    commands::Outcome,
    context::{self, Context, read_text_argument},
    error::Failure,
    output, pages,
    peer::{self, Peer},
    prompt,
    table::{Cell, Table, Tint},
    text,
};

/// What to do with other instances.
#[derive(Subcommand)]
pub(crate) enum FederationCommand {
    /// Pin another instance's key: its people are known by it from then on
    Pair(PairArgs),
    /// List the instances that were paired with
    #[command(after_help = "\
Examples:
  spl federation list
  spl federation list -o json | jq -r '.data[] | select(.state == \"active\") | .peer_did'

ACCOUNTS and TOKENS are those of people who came in by that instance's word, as far as they live.")]
    List,
    /// Show one pair
    #[command(after_help = "\
Examples:
  spl federation show pair_0123456789abcdef
  spl federation show pair_0123456789abcdef -o json | jq .peer_key")]
    Show {
        /// The pair's id, as `spl federation list` shows it
        #[arg(value_name = "PAIR_ID")]
        id: String,
    },
    /// Remove a pair, and end every token that its people got
    Unpair(UnpairArgs),
}

/// Whom to pair with.
#[derive(Args)]
#[command(after_help = "\
Examples:
  spl federation pair https://bob.example.com
  spl federation pair http://100.64.0.7:9100 --expected-did did:key:z6Mk…
  spl federation pair https://bob.example.com --expected-did did:key:z6Mk… --yes
  spl federation pair https://bob.example.com --peer-token @token.txt

What answers there is asked who it is first, without any token: its DID and the fingerprint of its
key are shown, for you to compare with what its owner tells you (`spl identity show`, run there).
What was shown is what is pinned. Over plain http anybody on the way could answer instead:
--expected-did says whom you mean.

Pairing gives nobody access: invites do. It decides by which key people from there are known.
You need the federation:manage scope.")]
pub(crate) struct PairArgs {
    /// The other instance's address
    #[arg(value_name = "URL")]
    url: String,
    /// Pair with this DID only
    #[arg(long, value_name = "DID")]
    expected_did: Option<String>,
    /// A token for the other instance, kept in this one: - for the standard input, or @FILE
    #[arg(long, value_name = "-|@FILE")]
    peer_token: Option<String>,
    /// Pin without being asked
    #[arg(long)]
    yes: bool,
}

/// Which pair to remove.
#[derive(Args)]
#[command(after_help = "\
Examples:
  spl federation unpair pair_0123456789abcdef
  spl federation unpair pair_0123456789abcdef --reason \"moved on\" --yes

The accounts of everybody who came in by that instance's word are revoked with it, and every token
of theirs. Nobody gets in by that instance's word until it is paired again.")]
pub(crate) struct UnpairArgs {
    /// The pair's id, as `spl federation list` shows it
    #[arg(value_name = "PAIR_ID")]
    id: String,
    /// Why, for the trail
    #[arg(long, value_name = "TEXT")]
    reason: Option<String>,
    /// Remove it without being asked
    #[arg(long)]
    yes: bool,
}

/// A pair as an instance shows it.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Pair {
    pair_id: String,
    peer_did: String,
    peer_url: String,
    peer_key: String,
    peer_key_fp: String,
    peer_version: Option<String>,
    state: String,
    paired_at: String,
    removed_at: Option<String>,
    has_token: bool,
    accounts: u64,
    bearers: u64,
}

/// Runs one of them.
pub(crate) fn run(ctx: &Context, command: FederationCommand) -> Outcome {
    match command {
        FederationCommand::Pair(args) => pair(ctx, &args),
        FederationCommand::List => list(ctx),
        FederationCommand::Show { id } => show(ctx, &id),
        FederationCommand::Unpair(args) => unpair(ctx, &args),
    }
}

fn pair(ctx: &Context, args: &PairArgs) -> Outcome {
    let base = context::parse_url(&args.url)?;
    let token = args.peer_token.as_deref().map(peer_token).transpose()?;
    let client = ctx.client()?;
    // The other instance is somebody else: no token of this home is for it.
    let peer = peer::well_known(&Client::new(base.clone(), Credential::default())?)?.peer()?;
    check_expected(args, &peer)?;
    let url = base.origin().ascii_serialization();
    output::note(format_args!("At {url} answers:"));
    output::note(format_args!("  DID           {}", text::safe(&peer.did)));
    output::note(format_args!("  fingerprint   {}", peer.key.fingerprint()));
    if let Some(version) = &peer.version {
        output::note(format_args!("  version       {}", text::safe(version)));
    }
    if context::is_plain_http(&base) && args.expected_did.is_none() {
        output::warn("without encryption anybody on the way could have answered: compare with its owner");
        if args.yes {
            return Err(Failure::refused("over plain http it is not pinned without a DID to compare with")
                .hint("name it with --expected-did, as its owner tells you: spl identity show"));
        }
    }
    prompt::agree(&ctx.out, args.yes, "Is that who you mean? Pin its key?", "nothing was pinned")?;
    let mut body = Map::from_iter([
        ("peer_url".to_owned(), url.into()),
        ("expected_did".to_owned(), peer.did.clone().into()),
    ]);
    body.extend(token.map(|token| ("peer_token".to_owned(), token.into())));
    let answer = client.post(&["v1", "federation", "pairs"]).json(&Value::Object(body)).send()?;
    let pinned: Pair = answer.parse()?;
    if pinned.peer_key_fp != peer.key.fingerprint() {
        let id = pinned.pair_id;
        return Err(Failure::refused("another key was pinned than the one that was shown")
            .hint(format!("remove it, and look into it: spl federation unpair {id} --yes")));
    }
    if !ctx.out.is_human() {
        ctx.out.answer(&answer.body)?;
        return Ok(0);
    }
    let id = text::safe(&pinned.pair_id);
    ctx.out.line(format_args!("{id} paired with {}", text::safe(&pinned.peer_did)))?;
    output::note("invite somebody from there with `spl invite create --accept federated`");
    output::note(format_args!("take it back with `spl federation unpair {id}`"));
    Ok(0)
}

/// A token does not belong among arguments, where others on the machine can read it.
fn peer_token(given: &str) -> Result<String, Failure> {
    if given != "-" && !given.starts_with('@') {
        return Err(Failure::usage("a token is not given as an argument, where others could read it")
            .hint("give it with --peer-token - on the standard input, or in a file: --peer-token @FILE"));
    }
    let token = read_text_argument(given)?.trim().to_owned();
    if token.is_empty() { Err(Failure::usage("there is no token to keep")) } else { Ok(token) }
}

fn check_expected(args: &PairArgs, peer: &Peer) -> Result<(), Failure> {
    match &args.expected_did {
        Some(expected) if *expected != peer.did => {
            Err(Failure::refused(format!("what answers there is {}, not {expected}", peer.did))
                .hint("ask its owner what `spl identity show` says there"))
        }
        _ => Ok(()),
    }
}

fn list(ctx: &Context) -> Outcome {
    let whole = pages::whole(&ctx.client()?, &["v1", "federation", "pairs"], None)?;
    if !ctx.out.is_human() {
        whole.print(ctx)?;
        return Ok(0);
    }
    let pairs: Vec<Pair> = whole.parse()?;
    if pairs.is_empty() {
        ctx.out.line(ctx.out.palette().dim("no pairs; see `spl federation pair --help`"))?;
        return Ok(0);
    }
    let now = clock::now();
    let header = ["PAIR_ID", "STATE", "URL", "FINGERPRINT", "ACCOUNTS", "TOKENS", "PAIRED", "DID"];
    let mut table = Table::new(&header, &[4, 5]);
    for pair in &pairs {
        let tint = if pair.state == "active" { Tint::Good } else { Tint::Dim };
        table.row(vec![
            Cell::plain(&pair.pair_id),
            Cell::tinted(&pair.state, tint),
            Cell::plain(&pair.peer_url),
            Cell::plain(&pair.peer_key_fp),
            Cell::plain(text::count(pair.accounts)),
            Cell::plain(text::count(pair.bearers)),
            Cell::plain(text::ago(&pair.paired_at, now)),
            Cell::plain(&pair.peer_did),
        ]);
    }
    table.print(&ctx.out)?;
    Ok(0)
}

fn show(ctx: &Context, id: &str) -> Outcome {
    let answer = ctx.client()?.get(&["v1", "federation", "pairs", id]).send()?;
    if !ctx.out.is_human() {
        ctx.out.answer(&answer.body)?;
        return Ok(0);
    }
    let (pair, out, now): (Pair, _, _) = (answer.parse()?, &ctx.out, clock::now());
    let time = |at: &str| format!("{} ({})", text::safe(at), text::ago(at, now));
    out.line(out.palette().bold(text::safe(&pair.peer_url)))?;
    out.field("id", text::safe(&pair.pair_id))?;
    out.field("state", text::safe(&pair.state))?;
    out.field("did", text::safe(&pair.peer_did))?;
    out.field("fingerprint", text::safe(&pair.peer_key_fp))?;
    out.field("key", text::safe(&pair.peer_key))?;
    if let Some(version) = &pair.peer_version {
        out.field("version", text::safe(version))?;
    }
    out.field("paired", time(&pair.paired_at))?;
    if let Some(at) = &pair.removed_at {
        out.field("removed", time(at))?;
    }
    out.field("token for it", if pair.has_token { "kept" } else { "none" })?;
    out.field("accounts", text::count(pair.accounts))?;
    out.field("live tokens", text::count(pair.bearers))?;
    Ok(0)
}

/// What an instance says when a pair is removed.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Removed {
    status: String,
    accounts_revoked: u64,
    bearers_revoked: u64,
}

fn unpair(ctx: &Context, args: &UnpairArgs) -> Outcome {
    let client = ctx.client()?;
    let path = ["v1", "federation", "pairs", &args.id];
    let pair: Pair = client.get(&path).send()?.parse()?;
    if pair.state == "active" {
        let (accounts, bearers) = ended(pair.accounts, pair.bearers);
        output::note(format_args!("{} ({})", text::safe(&pair.peer_url), text::safe(&pair.peer_did)));
        output::note(format_args!("{accounts} and {bearers} of people from there end with it"));
        prompt::agree(&ctx.out, args.yes, "Remove the pair?", "nothing was removed")?;
    }
    let answer = client.delete(&path).query("reason", args.reason.as_ref()).send()?;
    if !ctx.out.is_human() {
        ctx.out.answer(&answer.body)?;
        return Ok(0);
    }
    let removed: Removed = answer.parse()?;
    let (accounts, bearers) = ended(removed.accounts_revoked, removed.bearers_revoked);
    let status = removed.status.replace('_', " ");
    ctx.out.line(format_args!(
        "{} {}; {accounts} and {bearers} ended with it",
        text::safe(&args.id),
        text::safe(&status)
    ))?;
    Ok(0)
}

fn ended(accounts: u64, bearers: u64) -> (String, String) {
    (text::counted(accounts, "account"), text::counted(bearers, "live token"))
}
