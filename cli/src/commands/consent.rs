//! `spl consent`: which operators may see and change what concerns other people.

use clap::{Args, Subcommand, ValueEnum};
use serde::Deserialize;
use serde_json::{Map, Value};

use crate::{
    clock,
    commands::Outcome,
    context::Context,
    error::Failure,
    output, pages,
    table::{Cell, Table, Tint},
    text,
};

/// What to do with grants.
#[derive(Subcommand)]
pub(crate) enum ConsentCommand {
    /// Give an operator a grant
    #[command(after_help = "\
Examples:
  spl consent grant --grantee did:sync:user:bob --resource th_invites --access read
  spl consent grant --grantee did:sync:user:bob --resource th_consent --access write --purpose \"on call\"

Operators need the admin scope and a grant for the actor they act as. The first operator has all of them. Whoever
holds the th_consent write grant gives them to others, and decides who may speak for those who hold one.")]
    Grant(GrantArgs),
    /// List all grants
    List,
    /// Take a grant back
    Revoke {
        /// The grant's id, as `spl consent list` shows it
        #[arg(value_name = "GRANT_ID")]
        id: String,
        /// Why, for the trail
        #[arg(long, value_name = "TEXT")]
        reason: Option<String>,
    },
}

/// A new grant.
#[derive(Args)]
pub(crate) struct GrantArgs {
    /// Whom to give it
    #[arg(long, value_name = "DID")]
    grantee: String,
    /// What it is about: th_invites, th_invite_templates or th_consent
    #[arg(long, value_name = "RESOURCE")]
    resource: String,
    /// What it allows; write includes read
    #[arg(long, value_name = "ACCESS", value_enum)]
    access: Access,
    /// What for, for the trail
    #[arg(long, value_name = "TEXT")]
    purpose: Option<String>,
    /// Until when, such as 2030-01-31T12:00:00.000Z [default: for good]
    #[arg(long, value_name = "TIME")]
    expires_at: Option<String>,
}

/// What a grant allows.
#[derive(Debug, Clone, Copy, ValueEnum)]
enum Access {
    /// See it
    Read,
    /// See and change it
    Write,
}

/// A grant as an instance shows it.
#[derive(Debug, Deserialize)]
struct Grant {
    grant_id: String,
    grantee: String,
    resource: String,
    access: String,
    state: String,
    granted_at: String,
    expires_at: Option<String>,
}

/// Runs it.
pub(crate) fn run(ctx: &Context, command: ConsentCommand) -> Outcome {
    match command {
        ConsentCommand::Grant(args) => grant(ctx, args),
        ConsentCommand::List => list(ctx),
        ConsentCommand::Revoke { id, reason } => revoke(ctx, &id, reason.as_ref()),
    }
}

fn grant(ctx: &Context, args: GrantArgs) -> Outcome {
    let access = match args.access {
        Access::Read => "read",
        Access::Write => "write",
    };
    let given = [
        ("grantee", Some(args.grantee)),
        ("resource", Some(args.resource)),
        ("access", Some(access.to_owned())),
        ("purpose", args.purpose),
        ("expires_at", args.expires_at),
    ];
    let body: Map<String, Value> =
        given.into_iter().filter_map(|(key, value)| Some((key.to_owned(), value?.into()))).collect();
    let answer = ctx.client()?.post(&["v1", "consent", "grants"]).json(&Value::Object(body)).send()?;
    if !ctx.out.is_human() {
        ctx.out.answer(&answer.body)?;
        return Ok(0);
    }
    let grant: Grant = answer.parse()?;
    ctx.out.line(format_args!(
        "{} granted: {} may {} {}",
        text::safe(&grant.grant_id),
        text::safe(&grant.grantee),
        text::safe(&grant.access),
        text::safe(&grant.resource)
    ))?;
    output::note(format_args!("take it back with `spl consent revoke {}`", text::safe(&grant.grant_id)));
    Ok(0)
}

fn list(ctx: &Context) -> Outcome {
    let whole = pages::whole(&ctx.client()?, &["v1", "consent", "grants"], None)?;
    if !ctx.out.is_human() {
        whole.print(ctx)?;
        return Ok(0);
    }
    let grants: Vec<Grant> = whole.parse()?;
    if grants.is_empty() {
        ctx.out.line(ctx.out.palette().dim("no grants; see `spl consent grant --help`"))?;
        return Ok(0);
    }
    let now = clock::now();
    let header = ["GRANT_ID", "STATUS", "RESOURCE", "ACCESS", "GIVEN", "EXPIRES", "GRANTEE"];
    let mut table = Table::new(&header, &[]);
    for grant in &grants {
        let tint = if grant.state == "active" { Tint::Good } else { Tint::Dim };
        let expires = grant.expires_at.as_ref().map_or_else(|| "never".to_owned(), |at| text::ago(at, now));
        table.row(vec![
            Cell::plain(&grant.grant_id),
            Cell::tinted(&grant.state, tint),
            Cell::plain(&grant.resource),
            Cell::plain(&grant.access),
            Cell::plain(text::ago(&grant.granted_at, now)),
            Cell::plain(expires),
            Cell::plain(&grant.grantee),
        ]);
    }
    table.print(&ctx.out)?;
    Ok(0)
}

fn revoke(ctx: &Context, id: &str, reason: Option<&String>) -> Outcome {
    let client = ctx.client()?;
    let answer = client.delete(&["v1", "consent", "grants", id]).query("reason", reason).send()?;
    if !ctx.out.is_human() {
        ctx.out.answer(&answer.body)?;
        return Ok(0);
    }
    let status = answer.json()?;
    let status = status.get("status").and_then(Value::as_str).unwrap_or("revoked").replace('_', " ");
    ctx.out.line(format_args!("{id} {}", text::safe(&status)))?;
    Ok::<_, Failure>(0)
}
