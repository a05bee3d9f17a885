//! `spl task`: threads that somebody is to bring to an end.

use clap::{Args, Subcommand, ValueEnum};
use serde::Deserialize;
use serde_json::{Map, Value, json};

use crate::{
    args::ActorArg,
    client::Client,
    clock,
    commands::Outcome,
    context::Context,
    error::Failure,
    lookup, output,
    table::{Cell, Table, Tint},
    text,
    view::{self, Page, Record},
};

/// Longest alias made of a goal.
const ALIAS_MAX: usize = 40;

/// What to do with tasks.
#[derive(Subcommand)]
pub(crate) enum TaskCommand {
    /// Add a task: opens a thread
    Add(AddArgs),
    /// List tasks
    List(ListArgs),
    /// Show a task and what happened on its thread
    Show {
        /// The task's alias or thread
        task: String,
    },
    /// Say that work on a task has begun
    Start {
        /// The task's alias or thread
        task: String,
        #[command(flatten)]
        actor: ActorArg,
    },
    /// Say that a task is done
    #[command(after_help = "\
Examples:
  spl task done fix-the-build --summary \"pinned the toolchain\"")]
    Done {
        /// The task's alias or thread
        task: String,
        /// What came of it
        #[arg(long)]
        summary: String,
        #[command(flatten)]
        actor: ActorArg,
    },
}

/// A new task.
#[derive(Args)]
#[command(after_help = "\
Examples:
  spl task add \"fix the build\"                          its alias is fix-the-build
  spl task add \"fix the build\" --alias ci --priority high --assign did:sync:user:alice")]
pub(crate) struct AddArgs {
    /// What is to be reached
    goal: String,
    /// A short name to call it by [default: made of the goal]
    #[arg(long)]
    alias: Option<String>,
    /// How urgent it is, in your own words
    #[arg(long)]
    priority: Option<String>,
    /// Who is to do it
    #[arg(long, value_name = "DID")]
    assign: Option<String>,
    /// Open it on this thread [default: a new one]
    #[arg(long)]
    thread: Option<String>,
    #[command(flatten)]
    actor: ActorArg,
}

/// Which tasks.
#[derive(Args)]
#[command(after_help = "\
Examples:
  spl task list
  spl task list --status inbox -o json")]
pub(crate) struct ListArgs {
    /// Only tasks that stand here
    #[arg(long, value_enum)]
    status: Option<TaskStatus>,
    /// At most this many
    #[arg(long, value_name = "N", default_value_t = 50)]
    limit: u32,
    /// Go on where an earlier page ended
    #[arg(long)]
    cursor: Option<String>,
}

/// Where a task stands.
#[derive(Debug, Clone, Copy, ValueEnum)]
enum TaskStatus {
    Inbox,
    Active,
    Done,
    Cancelled,
}

impl TaskStatus {
    fn as_str(self) -> &'static str {
        match self {
            Self::Inbox => "inbox",
            Self::Active => "active",
            Self::Done => "done",
            Self::Cancelled => "cancelled",
        }
    }
}

/// A task in one line.
#[derive(Debug, Deserialize)]
struct Task {
    thread: String,
    alias: Option<String>,
    goal: Option<String>,
    #[serde(default)]
    priority: Value,
    assigned_to: Option<String>,
    status: String,
    opened_by: Option<String>,
    created_at: String,
    last_activity: String,
    summary: Option<String>,
}

/// Runs one of them.
pub(crate) fn run(ctx: &Context, command: TaskCommand) -> Outcome {
    match command {
        TaskCommand::Add(args) => add(ctx, args),
        TaskCommand::List(args) => list(ctx, &args),
        TaskCommand::Show { task } => show(ctx, &task),
        TaskCommand::Start { task, actor } => {
            progress(ctx, &task, &actor, "DO", |_| json!({ "topic": "task_started" }))
        }
        TaskCommand::Done { task, summary, actor } => progress(
            ctx,
            &task,
            &actor,
            "KNOW",
            |opening| json!({ "topic": "task_completion", "summary": summary, "fulfills": opening }),
        ),
    }
}

fn add(ctx: &Context, args: AddArgs) -> Outcome {
    let client = ctx.client()?;
    let alias = args.alias.unwrap_or_else(|| alias_of(&args.goal));
    let mut body =
        Map::from_iter([("task".to_owned(), Value::Bool(true)), ("alias".to_owned(), alias.clone().into())]);
    body.extend(args.priority.map(|priority| ("priority".to_owned(), priority.into())));
    body.extend(args.assign.map(|did| ("assigned_to".to_owned(), did.into())));
    let mut opening = json!({ "goal": args.goal, "actor": ctx.actor(&args.actor, &client)?, "body": body });
    if let (Some(thread), Value::Object(members)) = (args.thread, &mut opening) {
        members.insert("thread".to_owned(), thread.into());
    }
    let request = client.post(&["v1", "threads"]).header("x-syncropel-actor", args.actor.named());
    let answer = request.json(&opening).send()?;
    if !ctx.out.is_human() {
        ctx.out.answer(&answer.body)?;
        return Ok(0);
    }
    let answer = answer.json()?;
    ctx.out.line(text::safe(answer.get("id").and_then(Value::as_str).unwrap_or_default()))?;
    output::note(format_args!("task {alias} added; next: spl task start {alias}"));
    Ok(0)
}

/// A short name made of a goal: lowercase letters and digits, joined by `-`.
fn alias_of(goal: &str) -> String {
    let mut alias = String::new();
    for word in goal.split(|c: char| !c.is_alphanumeric()).filter(|word| !word.is_empty()) {
        let word = word.to_lowercase();
        if !alias.is_empty() && alias.len() + 1 + word.len() > ALIAS_MAX {
            break;
        }
        if !alias.is_empty() {
            alias.push('-');
        }
        alias.push_str(&word);
    }
    if alias.is_empty() { "task".to_owned() } else { alias }
}

fn list(ctx: &Context, args: &ListArgs) -> Outcome {
    let client = ctx.client()?;
    let answer = client
        .get(&["v1", "tasks"])
        .query("status", args.status.map(TaskStatus::as_str))
        .query("limit", Some(args.limit))
        .query("cursor", args.cursor.as_ref())
        .send()?;
    if !ctx.out.is_human() {
        ctx.out.answer(&answer.body)?;
        return Ok(0);
    }
    let tasks: Page<Task> = answer.parse()?;
    if tasks.data.is_empty() {
        ctx.out.line(ctx.out.palette().dim("no tasks; add one with `spl task add \"…\"`"))?;
        return Ok(0);
    }
    let now = clock::now();
    let mut table = Table::new(&["STATUS", "TASK", "PRIORITY", "ASSIGNED TO", "LAST ACTIVITY", "GOAL"], &[]);
    for task in &tasks.data {
        table.row(vec![
            Cell::tinted(&task.status, Tint::of_status(&task.status)),
            Cell::plain(task.alias.clone().unwrap_or_else(|| ctx.out.id(&task.thread))),
            Cell::plain(plain(&task.priority)),
            Cell::plain(task.assigned_to.as_deref().map(text::short_actor).unwrap_or_default()),
            Cell::plain(text::ago(&task.last_activity, now)),
            Cell::plain(task.goal.as_deref().unwrap_or_default()),
        ]);
    }
    table.print(&ctx.out)?;
    tasks.note_rest();
    Ok(0)
}

/// A scalar without quotes; nothing for null.
fn plain(value: &Value) -> String {
    match value {
        Value::Null => String::new(),
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

fn show(ctx: &Context, given: &str) -> Outcome {
    let client = ctx.client()?;
    let (raw, task) = find(&client, given)?;
    if !ctx.out.is_human() {
        ctx.out.json(&raw)?;
        return Ok(0);
    }
    let (out, palette, now) = (&ctx.out, ctx.out.palette(), clock::now());
    let goal = text::safe(task.goal.as_deref().unwrap_or_default()).into_owned();
    out.line(format_args!("{} {}", palette.status(&text::safe(&task.status)), palette.bold(goal)))?;
    let told = [
        ("alias", task.alias.unwrap_or_default()),
        ("thread", task.thread.clone()),
        ("priority", plain(&task.priority)),
        ("assigned to", task.assigned_to.unwrap_or_default()),
        ("opened by", task.opened_by.unwrap_or_default()),
        ("created", text::ago(&task.created_at, now)),
        ("last activity", text::ago(&task.last_activity, now)),
        ("summary", task.summary.unwrap_or_default()),
    ];
    for (name, value) in told.iter().filter(|(_, value)| !value.is_empty()) {
        out.field(name, text::safe(value))?;
    }
    out.line("")?;
    let records = client.get(&["v1", "threads", &task.thread, "records"]).query("limit", Some(100));
    let page: Page<Record> = records.send()?.parse()?;
    view::records(out, &page.data, false)?;
    Ok(0)
}

/// Writes a record that moves a task on. `body` is given the id of the opening record.
fn progress(
    ctx: &Context,
    given: &str,
    actor: &ActorArg,
    act: &str,
    body: impl FnOnce(&str) -> Value,
) -> Outcome {
    let client = ctx.client()?;
    let (_, task) = find(&client, given)?;
    let opening =
        client.get(&["v1", "records"]).query("thread", Some(&task.thread)).query("act", Some("INTEND"));
    let opening: Page<Record> = opening.query("limit", Some(1)).send()?.parse()?;
    let opening =
        opening.data.first().ok_or_else(|| Failure::refused("the task's opening record cannot be read"))?;
    let envelope = json!({
        "act": act,
        "actor": ctx.actor(actor, &client)?,
        "body": body(&opening.id),
        "parents": [opening.id],
        "thread": task.thread,
    });
    let request = client.post(&["v1", "records"]).header("x-syncropel-actor", actor.named());
    let answer = request.json(&envelope).send()?;
    if !ctx.out.is_human() {
        ctx.out.answer(&answer.body)?;
        return Ok(0);
    }
    let record: Record = answer.parse()?;
    ctx.out.line(text::safe(&record.id))?;
    let name = task.alias.unwrap_or(task.thread);
    let what = if act == "DO" { "started" } else { "done" };
    output::note(format_args!("task {} is {what}", text::safe(&name)));
    Ok(0)
}

/// The task with this alias or thread. Where an alias was used again, the newest one that is not over.
fn find(client: &Client, given: &str) -> Result<(Value, Task), Failure> {
    let mut found: Option<(Value, Task)> = None;
    let thread = lookup::thread(client, given)?;
    let mut cursor: Option<String> = None;
    loop {
        let request =
            client.get(&["v1", "tasks"]).query("limit", Some(1000)).query("cursor", cursor.as_ref());
        let page: Page<Value> = request.send()?.parse()?;
        for raw in page.data {
            let task: Task = serde_json::from_value(raw.clone())
                .map_err(|e| Failure::refused(format!("a task of the list has an unexpected shape: {e}")))?;
            if task.thread == thread {
                return Ok((raw, task));
            }
            let better =
                found.as_ref().is_none_or(|(_, held)| is_over(&held.status) || !is_over(&task.status));
            if task.alias.as_deref() == Some(given) && better {
                found = Some((raw, task));
            }
        }
        cursor = page.next_cursor;
        if cursor.is_none() {
            break;
        }
    }
    found.ok_or_else(|| {
        Failure::refused(format!("there is no task {given}")).hint("`spl task list` shows them")
    })
}

fn is_over(status: &str) -> bool {
    matches!(status, "done" | "cancelled")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_alias_is_made_of_the_goal() {
        assert_eq!(alias_of("Fix the build!"), "fix-the-build");
        assert_eq!(alias_of("!!"), "task");
        assert!(alias_of(&"word ".repeat(40)).len() <= ALIAS_MAX);
    }
}
