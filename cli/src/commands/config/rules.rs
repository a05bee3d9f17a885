//! Permission rules.

use clap::{Args, ValueEnum};
use serde::Deserialize;
use serde_json::json;

use crate::{
    commands::Outcome,
    context::Context,
    output, pages,
    table::{Cell, Table, Tint},
    text,
};

/// A permission rule.
#[derive(Args)]
#[command(
    override_usage = "spl config add-permission-rule --name <NAME> --action <ACTION> --priority <N> \
--expression <CEL>",
    after_help = "\
Examples:
  spl config add-permission-rule --name operators --action allow --priority 100 \\
      --expression '\"admin\" in scopes'
  spl config add-permission-rule --name no-secrets --action deny --priority 200 \\
      --expression 'resource == \"record_read\" && record.thread.startsWith(\"secret.\")'

The rule with the highest priority whose expression (CEL) is true decides; where none is true, the
answer is no. Variables: record, resource, actor, namespace, scopes. Functions: current_actor(), now().
Rules decide once they are in force: spl config permissions-enable"
)]
pub(crate) struct AddArgs {
    /// What to call it; a rule of the same name is replaced
    #[arg(long)]
    name: String,
    /// What it decides
    #[arg(long, value_enum)]
    action: Action,
    /// Rules with a higher number are asked first
    #[arg(long, value_name = "N", allow_negative_numbers = true)]
    priority: i64,
    /// When it decides: a CEL expression
    #[arg(long, value_name = "CEL")]
    expression: String,
    /// Keep it without asking it
    #[arg(long)]
    disabled: bool,
}

/// What a rule decides.
#[derive(Debug, Clone, Copy, ValueEnum)]
enum Action {
    Allow,
    Deny,
}

/// Writes a rule.
pub(super) fn add(ctx: &Context, args: &AddArgs) -> Outcome {
    let action = match args.action {
        Action::Allow => "allow",
        Action::Deny => "deny",
    };
    let rule = json!({
        "name": args.name,
        "action": action,
        "priority": args.priority,
        "expression": args.expression,
        "enabled": !args.disabled,
    });
    let client = ctx.client()?;
    let answer = client.post(&["v1", "config", "permission_rule"]).json(&rule).send()?;
    if ctx.out.is_human() {
        ctx.out.line(format_args!("permission_rule {}", text::safe(&args.name)))?;
        output::note("it decides while rules are in force: spl config permissions-enable");
    } else {
        ctx.out.answer(&answer.body)?;
    }
    Ok(0)
}

/// A rule as the instance shows it.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Rule {
    name: String,
    action: String,
    priority: i64,
    expression: String,
    enabled: bool,
    failures: Failures,
}

/// How often a rule could not be evaluated: a deny rule denies then, an allow rule says nothing.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Failures {
    failed: u64,
    over_bound: u64,
}

/// Prints all rules, in the order in which they are asked.
pub(super) fn list(ctx: &Context) -> Outcome {
    let client = ctx.client()?;
    let whole = pages::whole(&client, &["v1", "config", "permission-rules"], None)?;
    if !ctx.out.is_human() {
        whole.print(ctx)?;
        return Ok(0);
    }
    let mut rules: Vec<Rule> = whole.parse()?;
    if rules.is_empty() {
        ctx.out.line(
            ctx.out.palette().dim("no permission rules; see `spl config add-permission-rule --help`"),
        )?;
        return Ok(0);
    }
    rules.sort_by(|a, b| b.priority.cmp(&a.priority).then_with(|| a.name.cmp(&b.name)));
    let mut table = Table::new(&["PRIORITY", "NAME", "ACTION", "STATUS", "FAILURES", "EXPRESSION"], &[0, 4]);
    for rule in &rules {
        let (status, tint) = if rule.enabled { ("enabled", Tint::Good) } else { ("disabled", Tint::Dim) };
        let failures = rule.failures.failed + rule.failures.over_bound;
        let failed = if failures > 0 { Some(Tint::Bad) } else { None };
        table.row(vec![
            Cell::plain(rule.priority.to_string()),
            Cell::plain(&rule.name),
            Cell::plain(&rule.action),
            Cell::tinted(status, tint),
            Cell::tinted(text::count(failures), failed),
            Cell::plain(&rule.expression),
        ]);
    }
    table.print(&ctx.out)?;
    Ok(0)
}
