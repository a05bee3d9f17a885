//! `spl invite redeem`: a token at another instance, as a guest or as oneself.

use jiff::Timestamp;
use reqwest::Url;
use serde::Deserialize;
use serde_json::{Map, Value, json};
use spl_kernel::identity::PrivateKey;

use super::{
    Holder, RedeemArgs,
    row::{Target, access},
};
use crate::{
    client::{Answer, Client, Credential},
    clock,
    commands::Outcome,
    context::{self, Context},
    entropy,
    error::Failure,
    link::InviteLink,
    output, peer, prompt, text,
    token::Secret,
};

/// What the issuer says of an invite before it is redeemed.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Preview {
    state: String,
    expires_at: String,
    accept_holder_types: Vec<String>,
    scopes: Vec<String>,
    scope_target: Option<Target>,
    issuer_did: String,
    issuer_key: String,
}

/// What the issuer gives.
#[derive(Debug, Deserialize)]
struct Redeemed {
    bearer: Secret,
    actor_did: String,
    #[serde(default)]
    scopes: Vec<String>,
    #[serde(default)]
    expires_at: Option<String>,
}

/// Redeems an invite.
pub(super) fn run(ctx: &Context, args: &RedeemArgs) -> Outcome {
    let given = if args.link == "-" { context::read_text_argument("-")? } else { args.link.clone() };
    let link = InviteLink::parse(&given)?;
    check_transport(ctx, &link.base)?;
    // The issuer is somebody else: no token of this home is for it.
    let issuer = Client::new(link.base.clone(), Credential::default())?;
    let preview = preview(&issuer, &link)?;
    let mut body = match holder(args, &preview)? {
        Holder::Guest => guest(args.label.as_ref())?,
        Holder::Federated => federated(ctx, args, &link, &preview)?,
    };
    body.insert("sig".to_owned(), link.sig.clone().into());
    let path = ["v1", "invites", &link.invite_id, "redeem"];
    let answer = issuer.post(&path).json(&Value::Object(body)).send().map_err(explain)?;
    print(ctx, args, &link, &preview, &answer)?;
    Ok(0)
}

/// What comes back is a token: where no encryption protects it, whoever sits at the terminal decides.
fn check_transport(ctx: &Context, base: &Url) -> Result<(), Failure> {
    if !context::is_plain_http(base) {
        return Ok(());
    }
    let origin = base.origin().ascii_serialization();
    let question =
        format!("Redeem the invite at {origin} without encryption? Whoever listens gets what you get.");
    if ctx.out.is_human() && prompt::confirm(&question)? {
        return Ok(());
    }
    Err(Failure::refused("an invite of another machine is not redeemed over plain http")
        .hint("ask for a link with an https address, or use a tunnel to a loopback port")
        .hint("in a private network: run it on a terminal, and agree when it asks"))
}

/// What the issuer says of the invite. It must be whoever signed the link: nobody else is told anything.
fn preview(issuer: &Client, link: &InviteLink) -> Result<Preview, Failure> {
    let request = issuer.get(&["v1", "invites", &link.invite_id]).query("sig", Some(&link.sig));
    let preview: Preview = request.send().map_err(explain)?.parse()?;
    let key = peer::key_of(&preview.issuer_did, &preview.issuer_key)?;
    let is_by = preview.expires_at.parse::<Timestamp>().is_ok_and(|ends| link.is_by(&key, ends));
    if is_by {
        return Ok(preview);
    }
    let origin = &link.origin;
    Err(Failure::refused(format!("the link was not made by the instance that answers at {origin}"))
        .hint("copy all of the link again; if it stays so, ask whoever sent it for a new one"))
}

/// As whom.
fn holder(args: &RedeemArgs, preview: &Preview) -> Result<Holder, Failure> {
    let accepts = |holder: Holder| preview.accept_holder_types.iter().any(|kind| kind == holder.as_str());
    let usual =
        if args.home_url.is_some() || !accepts(Holder::Guest) { Holder::Federated } else { Holder::Guest };
    let holder = args.holder.unwrap_or(usual);
    if holder == Holder::Guest && args.home_url.is_some() {
        return Err(Failure::usage(
            "a guest needs no instance of its own: leave out --home-url, or --as guest",
        ));
    }
    if accepts(holder) {
        return Ok(holder);
    }
    let kinds = preview.accept_holder_types.join(", ");
    Err(Failure::refused(format!("this invite is not for a {} holder, only for: {kinds}", holder.as_str()))
        .hint("leave out --as and --home-url, or ask for an invite that accepts it"))
}

/// A guest is known by a fresh key, and may have a name. Nothing is ever signed with the key: its private half is
/// dropped here.
fn guest(label: Option<&String>) -> Result<Map<String, Value>, Failure> {
    let key = PrivateKey::from_seed(&entropy::seed()?).public();
    let mut body = Map::from_iter([
        ("holder_type".to_owned(), Holder::Guest.as_str().into()),
        ("holder_pubkey".to_owned(), key.base64url().into()),
    ]);
    body.extend(label.map(|label| ("holder_label".to_owned(), label.clone().into())));
    Ok(body)
}

/// One's own instance says who one is; what it says is for this issuer and this invite only.
fn federated(
    ctx: &Context,
    args: &RedeemArgs,
    link: &InviteLink,
    preview: &Preview,
) -> Result<Map<String, Value>, Failure> {
    const SIGNED: [&str; 5] =
        ["holder_did", "holder_pubkey", "holder_proof", "holder_proof_issued_at_ms", "signer_instance_did"];
    if preview.state != "active" {
        let state = &preview.state;
        return Err(Failure::refused(format!("the invite can no longer be redeemed: it is {state}"))
            .hint("ask whoever sent it for a new one"));
    }
    let base = match &args.home_url {
        Some(url) => context::parse_url(url)?,
        None => ctx.server_url()?,
    };
    if base.origin() == link.base.origin() {
        return Err(Failure::usage("this instance made the invite: it cannot vouch for you to itself")
            .hint("name your own with --home-url, or come as a guest with --as guest"));
    }
    let home = home_client(ctx, base)?;
    let at = home.base().origin().ascii_serialization();
    output::note(format_args!("Your instance at {at} would tell who you are, and sign it, to:"));
    output::note(format_args!("  address   {}", text::safe(&link.origin)));
    output::note(format_args!("  DID       {}", text::safe(&preview.issuer_did)));
    let access = access(&preview.scopes, preview.scope_target.as_ref());
    output::note(format_args!("  you get   {}", text::safe(&access)));
    prompt::agree(&ctx.out, args.yes, "Sign it?", "nothing was signed, and the invite not redeemed")?;
    let ask = json!({
        "invite_id": link.invite_id,
        "audience": preview.issuer_did,
        "issuer_url": link.origin,
    });
    let signed = home.post(&["v1", "invites", "sign-attestation"]).json(&ask).send()?.json()?;
    let mut body = Map::from_iter([
        ("holder_type".to_owned(), Holder::Federated.as_str().into()),
        ("issuer_url".to_owned(), link.origin.clone().into()),
    ]);
    for name in SIGNED {
        let value = signed.get(name).ok_or_else(|| {
            Failure::refused(format!("your instance's answer has no {name}: is it new enough?"))
        })?;
        body.insert(name.to_owned(), value.clone());
    }
    Ok(body)
}

/// A client for one's own instance, with the token that may be sent to it.
fn home_client(ctx: &Context, base: Url) -> Result<Client, Failure> {
    let token = ctx.token_for(&base)?;
    if token.is_none() {
        let origin = base.origin().ascii_serialization();
        return Err(Failure::not_authorised(format!("there is no token for your own instance at {origin}"))
            .hint("save one with `spl token save`, or name your instance with --home-url"));
    }
    Client::new(base, Credential { token, local_proof: None })
}

/// What a refusal of an issuer means to whoever holds the link.
fn explain(failure: Failure) -> Failure {
    let advice = match failure.code() {
        Some("INVITE_EXPIRED" | "INVITE_REVOKED" | "INVITE_EXHAUSTED") => "ask whoever sent it for a new one",
        Some("INVITE_NOT_FOUND" | "INVALID_QUERY") => "copy all of the link again, in quotes",
        Some("KEY_UNKNOWN") => {
            "the issuer must pair with your instance first: spl federation pair <url of your instance>"
        }
        Some("FRESHNESS_VIOLATION") => "set the clocks of both machines right, then try again",
        _ => return failure,
    };
    if failure.first_hint().is_some() { failure } else { failure.hint(advice) }
}

fn print(
    ctx: &Context,
    args: &RedeemArgs,
    link: &InviteLink,
    preview: &Preview,
    answer: &Answer,
) -> Result<(), Failure> {
    if !ctx.out.is_human() {
        return ctx.out.answer(&answer.body);
    }
    let redeemed: Redeemed = answer.parse()?;
    let token = redeemed.bearer.expose();
    if token.is_empty() || !token.bytes().all(|b| b.is_ascii_graphic()) {
        return Err(Failure::refused("the invite was redeemed, but what came back is no token"));
    }
    let actor = text::safe(&redeemed.actor_did);
    let device = args.label.as_deref().unwrap_or(&actor);
    let device = json!({ "url": link.origin, "token": token, "device": device });
    let shown = serde_json::to_string_pretty(&device)
        .map_err(|e| Failure::refused(format!("cannot show the token: {e}")))?;
    ctx.out.line(shown)?;
    output::note(format_args!("You are in at {}", text::safe(&link.origin)));
    output::note(format_args!("  as        {actor}"));
    let access = access(&redeemed.scopes, preview.scope_target.as_ref());
    output::note(format_args!("  access    {}", text::safe(&access)));
    let until = redeemed.expires_at.as_deref();
    let until = until.map_or_else(|| "for good".to_owned(), |at| text::ago(at, clock::now()));
    output::note(format_args!("  ends      {until}"));
    how_to_use(ctx, link);
    Ok(())
}

/// A home keeps one token: where this one has its own already, the new one is kept elsewhere.
fn how_to_use(ctx: &Context, link: &InviteLink) {
    let origin = text::safe(&link.origin);
    let is_taken = ctx.home.path("token").exists() || ctx.home.path("keys/primary").exists();
    let host = link.base.host_str().unwrap_or("other").replace(['[', ']', ':'], "-");
    let home = if is_taken { format!(" --home ~/.syncro-{host}") } else { String::new() };
    output::note("The token is shown this once: keep it now. It was made for you alone. Next:");
    if context::is_loopback(&link.base) {
        // A saved token goes to no loopback port but that of its own home's instance: anybody may listen there.
        output::note("  read -rs TOKEN                               paste the token");
        output::note(format_args!(
            "  SPL_TOKEN=$TOKEN spl --home ~/.syncro-{host} --server {origin} thread list"
        ));
        return;
    }
    output::note(format_args!("  spl{home} --server {origin} token save -     paste the token, then Ctrl-D"));
    output::note(format_args!("  spl{home} --server {origin} thread list"));
}
