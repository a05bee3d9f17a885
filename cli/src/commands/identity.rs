//! `spl identity`: who the instance is to others.

use clap::Subcommand;
use serde::Deserialize;
use serde_json::{Value, json};

use crate::{
    client::{Client, Credential},
    commands::Outcome,
    context::Context,
    error::{Failure, Kind},
    output, peer, text,
};

/// What to know about the instance's identity.
#[derive(Subcommand)]
pub(crate) enum IdentityCommand {
    /// Show the instance's DID, its key, and where others find them
    #[command(after_help = "\
Examples:
  spl identity show
  spl identity show -o json | jq -r .did
  spl --server https://bob.example.com identity show     somebody else's, as it tells all

This is what others compare before they pair with the instance: tell them DID and fingerprint by
another way than the one they reach it by. Works without a token too.")]
    Show,
}

/// The members that are shown.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Identity {
    did: String,
    method: String,
    key_fingerprint: String,
    public_key: String,
    public_key_multibase: Option<String>,
    url: Option<String>,
    did_document_url: Option<String>,
}

/// Runs it.
pub(crate) fn run(ctx: &Context, command: IdentityCommand) -> Outcome {
    let IdentityCommand::Show = command;
    let body = match own(ctx)? {
        Some(body) => body,
        None => open(&ctx.open_client()?)?.to_string(),
    };
    if !ctx.out.is_human() {
        ctx.out.answer(&body)?;
        return Ok(0);
    }
    let identity: Identity = serde_json::from_str(&body)
        .map_err(|e| Failure::refused(format!("the instance's answer has an unexpected shape: {e}")))?;
    let out = &ctx.out;
    out.line(out.palette().bold(text::safe(&identity.did)))?;
    let fields = [
        ("method", Some(&identity.method)),
        ("fingerprint", Some(&identity.key_fingerprint)),
        ("public key", Some(&identity.public_key)),
        ("multibase", identity.public_key_multibase.as_ref()),
        ("url", identity.url.as_ref()),
        ("did document", identity.did_document_url.as_ref()),
    ];
    for (name, value) in fields {
        if let Some(value) = value {
            out.field(name, text::safe(value))?;
        }
    }
    Ok(0)
}

/// What the instance tells a caller; `None` where it has to be asked as everybody may.
fn own(ctx: &Context) -> Result<Option<String>, Failure> {
    let base = ctx.server_url()?;
    let open = |failure: &Failure| {
        output::note(format_args!("shown without a token: {}", text::safe(failure.message())));
        Ok(None)
    };
    // A token that is not for this instance, or of no use there, is no reason not to show what is open.
    let token = match ctx.token_for(&base) {
        Ok(Some(token)) => token,
        Ok(None) => return Ok(None),
        Err(failure) => return open(&failure),
    };
    let client = Client::new(base, Credential { token: Some(token), local_proof: None })?;
    match client.get(&["v1", "identity"]).send() {
        Ok(answer) => Ok(Some(answer.body)),
        Err(failure) if failure.kind() == Kind::NotAuthorised => open(&failure),
        Err(failure) if failure.code() == Some("BOOTSTRAP_REQUIRED") => open(&failure),
        Err(failure) => Err(failure),
    }
}

/// What the instance tells everybody: its manifest and its DID document, which must agree.
fn open(client: &Client) -> Result<Value, Failure> {
    let manifest = peer::well_known(client)?;
    let url = manifest.url.clone();
    let (stated, peer) = (manifest.instance_did.clone(), manifest.peer()?);
    let document = client.get(&[".well-known", "did.json"]).send()?.json()?;
    let multibase = peer.key.multibase();
    let methods = document.get("verificationMethod").and_then(Value::as_array);
    let has_key = methods.is_some_and(|methods| methods.iter().any(|m| m["publicKeyMultibase"] == multibase));
    if stated != peer.did || document["id"] != peer.did || !has_key {
        return Err(Failure::refused("the instance's manifest and its DID document do not agree"));
    }
    let at = url.clone().unwrap_or_else(|| client.base().origin().ascii_serialization());
    Ok(json!({
        "object": "identity",
        "did": peer.did,
        "method": peer.did.split(':').nth(1),
        "public_key": peer.key.base64url(),
        "public_key_multibase": multibase,
        "key_fingerprint": peer.key.fingerprint(),
        "url": url,
        "did_document_url": format!("{at}/.well-known/did.json"),
    }))
}
