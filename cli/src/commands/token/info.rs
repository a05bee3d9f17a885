//! `spl token info`: what a token is, by itself and to the instance.

use std::{fs::File, io::Read as _, path::Path};

use serde::Deserialize;
use serde_json::{Value, json};

use super::InfoArgs;
use crate::{
    client::{Client, Credential},
    clock,
    commands::Outcome,
    context::{self, Context},
    error::{Failure, Kind},
    output, text,
    token::{Secret, Shape},
};

/// More than this no file with a token holds.
const FILE_BYTES_MAX: u64 = 64 * 1024;

/// What the instance says of a token.
enum Standing {
    /// It lives.
    Active(Caller),
    /// The instance does not know it, or no more.
    NotFound,
    /// No token can live: the instance has no account yet.
    NoAccounts,
    /// It lives, but its account may act as nobody.
    NoActor,
    /// Nothing answers.
    Unreachable(String),
}

/// The caller, as `GET /v1/identity` tells it.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Caller {
    pub(crate) actor: Option<String>,
    pub(crate) display_name: Option<String>,
    pub(crate) scopes: Vec<String>,
    pub(crate) service_account_id: Option<String>,
    pub(crate) expires_at: Option<String>,
    pub(crate) is_authenticated: bool,
}

/// Who a client's token makes it: none where the instance admits it without looking at the token.
pub(crate) fn caller(client: &Client) -> Result<Option<Caller>, Failure> {
    let identity = client.get(&["v1", "identity"]).send()?.json()?;
    let caller: Option<Caller> = identity.get("caller").and_then(|caller| Caller::deserialize(caller).ok());
    Ok(caller.filter(|caller| caller.is_authenticated))
}

/// Looks into a token, then asks the instance.
pub(super) fn run(ctx: &Context, args: &InfoArgs) -> Outcome {
    let (token, is_active) = match args.given.as_deref() {
        Some(given) => (read(given)?, false),
        None => match ctx.active_token()? {
            Some(active) => (active.token, true),
            None => {
                return Err(Failure::refused("no token is in use")
                    .hint("save one with `spl token save <token>`, or run `spl up` to get one"));
            }
        },
    };
    let shape = token.shape().ok_or_else(|| {
        Failure::refused("invalid format: this is no token").hint(
            "a token looks like spl_<env>_<sa_id>_<secret>, in one piece; copy it again or export SPL_TOKEN anew",
        )
    })?;
    if ctx.out.is_human() {
        ctx.out.field("env", &shape.env)?;
        ctx.out.field("sa_id", &shape.service_account_id)?;
        ctx.out.field("token_id", token.id())?;
    }
    let standing = ask(ctx, &token, is_active)?;
    if ctx.out.is_human() {
        print(ctx, &standing)?;
    } else {
        ctx.out.json(&as_json(&token, &shape, &standing))?;
    }
    Ok(match standing {
        Standing::Active(_) | Standing::Unreachable(_) => 0,
        Standing::NotFound | Standing::NoAccounts | Standing::NoActor => Kind::NotAuthorised.exit_code(),
    })
}

/// A token given as itself, in a file, or on the standard input: its first line that says anything.
fn read(given: &str) -> Result<Secret, Failure> {
    let path = Path::new(given);
    let text = if matches!(given, "-" | "/dev/stdin") {
        context::read_text_argument("-")?
    } else if !given.starts_with("spl_") && path.exists() {
        let failed = |e: std::io::Error| Failure::file("read", path, &e);
        let mut text = String::new();
        let file = File::open(path).map_err(failed)?;
        file.take(FILE_BYTES_MAX).read_to_string(&mut text).map_err(failed)?;
        text
    } else {
        given.to_owned()
    };
    let first = text.lines().map(str::trim).find(|line| !line.is_empty()).unwrap_or_default();
    Ok(Secret::new(first.to_owned()))
}

/// Asks the instance with that token.
fn ask(ctx: &Context, token: &Secret, is_active: bool) -> Result<Standing, Failure> {
    let client = if is_active { ctx.client() } else { client_with(ctx, token) };
    match client.and_then(|client| caller(&client)) {
        Ok(Some(caller)) => Ok(Standing::Active(caller)),
        Ok(None) => Ok(Standing::NotFound),
        Err(failure) => match (failure.kind(), failure.code()) {
            (Kind::Unreachable, _) => Ok(Standing::Unreachable(failure.message().to_owned())),
            (_, Some("AUTH_INVALID" | "AUTH_REQUIRED")) => Ok(Standing::NotFound),
            (_, Some("BOOTSTRAP_REQUIRED")) => Ok(Standing::NoAccounts),
            (_, Some("DID_CLAIM_DENIED")) => Ok(Standing::NoActor),
            _ => Err(failure),
        },
    }
}

fn client_with(ctx: &Context, token: &Secret) -> Result<Client, Failure> {
    let base = ctx.server_url()?;
    ctx.check_given_token_target(&base)?;
    ctx.check_transport(&base)?;
    Client::new(base, Credential { token: Some(token.clone()), local_proof: None })
}

fn print(ctx: &Context, standing: &Standing) -> Result<(), Failure> {
    let out = &ctx.out;
    let palette = out.palette();
    match standing {
        Standing::Active(caller) => {
            out.field("status", palette.green("active"))?;
            if let Some(name) = &caller.display_name {
                out.field("account", text::safe(name))?;
            }
            if let Some(actor) = &caller.actor {
                out.field("actor", text::safe(actor))?;
            }
            out.field("scopes", text::safe(&caller.scopes.join(",")))?;
            out.field(
                "expires",
                match &caller.expires_at {
                    Some(at) => format!("{} ({})", text::safe(at), text::ago(at, clock::now())),
                    None => "never".to_owned(),
                },
            )
        }
        Standing::NotFound => {
            out.field("status", palette.red("token_id not found"))?;
            output::note("it was revoked, has expired, or is of another instance. With another token:");
            output::note("  spl token create --sa <sa_id>");
            output::note("Where there is none left:");
            super::LOST_TOKEN.iter().for_each(|step| output::note(format_args!("  {step}")));
            Ok(())
        }
        Standing::NoAccounts => {
            out.field("status", palette.red("token_id not found"))?;
            output::note("the instance has no account yet; make the first: spl up");
            Ok(())
        }
        Standing::NoActor => {
            out.field("status", palette.yellow("active, but its account lists no actor"))?;
            output::note(
                "an admin mends it: spl service-account update <sa_id> --actors did:sync:user:<name>",
            );
            Ok(())
        }
        Standing::Unreachable(why) => {
            out.field("status", palette.yellow("instance not reachable"))?;
            output::note(text::safe(why));
            Ok(())
        }
    }
}

fn as_json(token: &Secret, shape: &Shape, standing: &Standing) -> Value {
    let mut info = json!({
        "object": "token_info",
        "env": shape.env,
        "service_account_id": shape.service_account_id,
        "token_id": token.id(),
        "status": match standing {
            Standing::Active(_) => "active",
            Standing::NotFound | Standing::NoAccounts => "not_found",
            Standing::NoActor => "no_actor",
            Standing::Unreachable(_) => "unreachable",
        },
    });
    if let Standing::Active(caller) = standing {
        info["actor"] = caller.actor.clone().into();
        info["display_name"] = caller.display_name.clone().into();
        info["scopes"] = caller.scopes.clone().into();
        info["expires_at"] = caller.expires_at.clone().into();
    }
    info
}
