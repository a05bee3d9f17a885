//! `spl invite templates`: shapes of invites that are used again and again.

use serde::Deserialize;
use serde_json::Value;

use super::{
    SaveArgs, TemplateCommand, TemplatesArgs,
    row::{Target, access},
};
use crate::{
    client::Client,
    commands::Outcome,
    context::Context,
    error::Failure,
    output, pages,
    table::{Cell, Table},
    text,
};

/// Where templates are.
const PATH: [&str; 2] = ["v1", "invite-templates"];

/// A template as an instance shows it.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Template {
    template_id: String,
    label: String,
    ttl_seconds: Option<u64>,
    max_uses: Option<u64>,
    scopes: Vec<String>,
    scope_target: Option<Target>,
    accept_holder_types: Vec<String>,
    device_label: Option<String>,
}

/// Runs one of them.
pub(super) fn run(ctx: &Context, args: TemplatesArgs) -> Outcome {
    match args.command {
        None | Some(TemplateCommand::List) => list(ctx),
        Some(TemplateCommand::Save(args)) => save(ctx, &args),
        Some(TemplateCommand::Remove { template }) => remove(ctx, &template),
    }
}

/// The id of the template with this id or label.
pub(super) fn id_of(client: &Client, given: &str) -> Result<String, Failure> {
    let is_it = |row: &Value| row["template_id"] == given || row["label"] == given;
    let found = pages::find(client, &PATH, is_it)?;
    let id = found.as_ref().and_then(|row| row["template_id"].as_str());
    id.map(str::to_owned).ok_or_else(|| {
        Failure::refused(format!("you have no template `{given}`"))
            .hint("see which you have with `spl invite templates`")
    })
}

fn list(ctx: &Context) -> Outcome {
    let whole = pages::whole(&ctx.client()?, &PATH, None)?;
    if !ctx.out.is_human() {
        whole.print(ctx)?;
        return Ok(0);
    }
    let templates: Vec<Template> = whole.parse()?;
    if templates.is_empty() {
        let none = "no templates; see `spl invite templates save --help`";
        ctx.out.line(ctx.out.palette().dim(none))?;
        return Ok(0);
    }
    let header = ["TEMPLATE_ID", "LABEL", "TTL", "USES", "ACCEPTS", "DEVICE", "ACCESS"];
    let mut table = Table::new(&header, &[3]);
    for template in &templates {
        table.row(vec![
            Cell::plain(&template.template_id),
            Cell::plain(&template.label),
            Cell::plain(template.ttl_seconds.map(text::span).unwrap_or_default()),
            Cell::plain(template.max_uses.map(text::count).unwrap_or_default()),
            Cell::plain(template.accept_holder_types.join(",")),
            Cell::plain(template.device_label.as_deref().unwrap_or_default()),
            Cell::plain(access(&template.scopes, template.scope_target.as_ref())),
        ]);
    }
    table.print(&ctx.out)?;
    Ok(0)
}

fn save(ctx: &Context, args: &SaveArgs) -> Outcome {
    let client = ctx.client()?;
    let mut body = args.shape.body(&client)?;
    body.insert("label".to_owned(), args.label.clone().into());
    let answer = client.post(&PATH).json(&Value::Object(body)).send()?;
    if !ctx.out.is_human() {
        ctx.out.answer(&answer.body)?;
        return Ok(0);
    }
    let template: Template = answer.parse()?;
    let (id, label) = (text::safe(&template.template_id), text::safe(&template.label));
    ctx.out.line(format_args!("{id} saved: {label}"))?;
    output::note("use it with `spl invite create --template`, and its id or its label");
    Ok(0)
}

fn remove(ctx: &Context, given: &str) -> Outcome {
    let client = ctx.client()?;
    // An id goes as it is: what is removed already is in no list, and removing it again is no mistake.
    let id = if given.starts_with("tpl_") { given.to_owned() } else { id_of(&client, given)? };
    let answer = client.delete(&[&PATH[..], &[&id]].concat()).send()?;
    if !ctx.out.is_human() {
        ctx.out.answer(&answer.body)?;
        return Ok(0);
    }
    let status = answer.json()?;
    let status = status.get("status").and_then(Value::as_str).unwrap_or("removed").replace('_', " ");
    ctx.out.line(format_args!("{} {}", text::safe(&id), text::safe(&status)))?;
    Ok(0)
}
