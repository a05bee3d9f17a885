//! `spl record`: get, post, query.

use clap::{Args, Subcommand, ValueEnum};
use serde_json::{Map, Value, json};

use crate::{
    args::ActorArg,
    client::{Answer, Client},
    commands::{Outcome, emit},
    context::{self, Context},
    error::Failure,
    kinds::Departures,
    lookup, output, text,
    view::{self, Page, Record},
};

/// What to do with records.
#[derive(Subcommand)]
pub(crate) enum RecordCommand {
    /// Show one record
    #[command(after_help = "\
Examples:
  spl record get 3f9c2a41d0be        the first digits of an id are enough
  spl record get <id> -o json | jq .body")]
    Get {
        /// The record's id, or its first digits
        id: String,
    },
    /// Store a record, or a file of them
    Post(PostArgs),
    /// Find records
    Query(QueryArgs),
}

/// What to store.
#[derive(Args)]
#[command(after_help = "\
Examples:
  spl record post --thread music.library --act PUT --body '{\"title\":\"So What\"}'
  spl record post --file record.json      an envelope, or {\"records\":[…]}: all of them or none
  jq -c . record.json | spl record post --file -")]
pub(crate) struct PostArgs {
    /// Store what this file holds: an envelope, or {"records":[…]}; - is the standard input
    #[arg(long, value_name = "FILE", conflicts_with_all = ["thread", "act", "body", "clock", "data_type", "parent"])]
    file: Option<String>,
    /// Write to this thread
    #[arg(long, required_unless_present = "file")]
    thread: Option<String>,
    /// What the record does
    #[arg(long, value_enum, ignore_case = true, required_unless_present = "file")]
    act: Option<ActName>,
    /// The body: a JSON object, @FILE, or - for the standard input
    #[arg(long, value_name = "JSON", required_unless_present = "file")]
    body: Option<String>,
    /// Give the clock instead of letting the instance assign the next one
    #[arg(long, value_name = "N")]
    clock: Option<u64>,
    /// The shape of the value
    #[arg(long, value_name = "TYPE")]
    data_type: Option<String>,
    /// Name a record that this one follows; may be repeated
    #[arg(long, value_name = "RECORD")]
    parent: Vec<String>,
    #[command(flatten)]
    actor: ActorArg,
}

/// The acts.
#[derive(Debug, Clone, Copy, ValueEnum)]
#[value(rename_all = "UPPER")]
pub(crate) enum ActName {
    Intend,
    Do,
    Know,
    Learn,
    Get,
    Put,
    Call,
    Map,
}

impl ActName {
    fn as_str(self) -> &'static str {
        match self {
            Self::Intend => "INTEND",
            Self::Do => "DO",
            Self::Know => "KNOW",
            Self::Learn => "LEARN",
            Self::Get => "GET",
            Self::Put => "PUT",
            Self::Call => "CALL",
            Self::Map => "MAP",
        }
    }
}

/// What to look for.
#[derive(Args)]
#[command(after_help = "\
Examples:
  spl record query --thread debian.bookworm.python --limit 5
  spl record query --actor did:sync:user:alice --act KNOW --order desc
  spl record query --filter '{\"body.section\":\"python\",\"body.installed_size_kib\":{\"$gt\":5000}}' \\
      --sort body.installed_size_kib=desc --limit 10
  spl record query --filter '{\"body.title\":{\"$ilike\":\"%what%\"}}' --explain

Operators: $eq $ne $gt $gte $lt $lte $in $nin $like $ilike $exists, and $and $or $not.
Paths: id thread actor act clock data_type namespace created_at sequence body.<path>.")]
pub(crate) struct QueryArgs {
    /// Only this thread
    #[arg(long)]
    thread: Option<String>,
    /// Only this actor
    #[arg(long, value_name = "DID")]
    actor: Option<String>,
    /// Only this act
    #[arg(long, value_enum, ignore_case = true)]
    act: Option<ActName>,
    /// Only this kind of body
    #[arg(long)]
    kind: Option<String>,
    /// Only clocks from this one on
    #[arg(long, value_name = "CLOCK")]
    since: Option<u64>,
    /// Only clocks up to this one
    #[arg(long, value_name = "CLOCK")]
    until: Option<u64>,
    /// Order by position in the log
    #[arg(long, value_enum, conflicts_with = "filter")]
    order: Option<Order>,
    /// Match bodies and all other fields with this JSON filter
    #[arg(long, value_name = "JSON")]
    filter: Option<String>,
    /// Sort by one path, such as body.priority=desc
    #[arg(long, value_name = "PATH[=asc|desc]", requires = "filter")]
    sort: Option<String>,
    /// Show only these paths, separated by commas
    #[arg(long, value_name = "PATHS", requires = "filter", value_delimiter = ',')]
    select: Vec<String>,
    /// Pass over this many records first
    #[arg(long, value_name = "N", requires = "filter")]
    offset: Option<u64>,
    /// Say how the query was answered
    #[arg(long, requires = "filter")]
    explain: bool,
    /// At most this many records
    #[arg(long, value_name = "N", default_value_t = 50)]
    limit: u32,
    /// Go on where an earlier page ended
    #[arg(long)]
    cursor: Option<String>,
}

/// An order.
#[derive(Debug, Clone, Copy, ValueEnum)]
enum Order {
    Asc,
    Desc,
}

/// Runs one of them.
pub(crate) fn run(ctx: &Context, command: RecordCommand) -> Outcome {
    match command {
        RecordCommand::Get { id } => get(ctx, &id),
        RecordCommand::Post(args) => post(ctx, args),
        RecordCommand::Query(args) => query(ctx, args),
    }
}

fn get(ctx: &Context, id: &str) -> Outcome {
    let client = ctx.client()?;
    let id = lookup::record(&client, id)?;
    let answer = client.get(&["v1", "records", &id]).send()?;
    if ctx.out.is_human() {
        view::record(&ctx.out, &answer.parse()?)?;
    } else {
        ctx.out.answer(&answer.body)?;
    }
    Ok(0)
}

fn post(ctx: &Context, args: PostArgs) -> Outcome {
    let client = ctx.client()?;
    let body = match &args.file {
        Some(file) if file == "-" => context::read_text_argument("-")?,
        Some(file) => context::read_text_argument(&format!("@{file}"))?,
        None => envelope(ctx, &client, &args)?.to_string(),
    };
    let request = client.post(&["v1", "records"]).header("x-syncropel-actor", args.actor.named());
    // The instance reads it as text; what is no JSON here is none there.
    let sent: Value = serde_json::from_str(&body).unwrap_or_default();
    let answer = request.json_text(body).send()?;
    Departures::warn_of(&sent);
    if !ctx.out.is_human() {
        ctx.out.answer(&answer.body)?;
        return Ok(0);
    }
    let stored = stored_records(&answer)?;
    let is_new = answer.status == reqwest::StatusCode::CREATED;
    if let [record] = stored.as_slice() {
        ctx.out.line(text::safe(&record.id))?;
        let how = if is_new { "stored" } else { "was stored already" };
        output::note(format_args!("{how}: clock {}, sequence {}", record.clock, record.sequence));
    } else {
        view::records(&ctx.out, &stored, true)?;
        if !is_new {
            output::note("all of them were stored already");
        }
    }
    Ok(0)
}

/// The records of an answer to a write: one, or a list of them.
pub(crate) fn stored_records(answer: &Answer) -> Result<Vec<Record>, Failure> {
    if answer.json()?.get("data").is_some() {
        return Ok(answer.parse::<Page<Record>>()?.data);
    }
    Ok(vec![answer.parse()?])
}

fn envelope(ctx: &Context, client: &Client, args: &PostArgs) -> Result<Value, Failure> {
    let body = emit::object(&context::read_text_argument(args.body.as_deref().unwrap_or_default())?)?;
    let mut envelope = Map::new();
    let mut set = |name: &str, value: Value| envelope.insert(name.to_owned(), value);
    set("act", args.act.map_or(Value::Null, |act| act.as_str().into()));
    set("actor", ctx.actor(&args.actor, client)?.into());
    set("body", body.into());
    set("thread", args.thread.clone().into());
    if let Some(clock) = args.clock {
        set("clock", clock.into());
    }
    if let Some(data_type) = &args.data_type {
        set("data_type", data_type.to_uppercase().into());
    }
    if !args.parent.is_empty() {
        let parents = args.parent.iter().map(|parent| lookup::record(client, parent));
        set("parents", parents.collect::<Result<Vec<_>, _>>()?.into());
    }
    Ok(Value::Object(envelope))
}

fn query(ctx: &Context, args: QueryArgs) -> Outcome {
    let client = ctx.client()?;
    let with_thread = args.thread.is_none();
    let thread = args.thread.as_deref().map(|thread| lookup::thread(&client, thread)).transpose()?;
    let answer = match &args.filter {
        Some(filter) => {
            client.post(&["v1", "records", "query"]).json(&rich_query(filter, thread, &args)?).send()?
        }
        None => plain_query(&client, thread, &args)?,
    };
    if !ctx.out.is_human() {
        ctx.out.answer(&answer.body)?;
        return Ok(0);
    }
    let raw = answer.json()?;
    if args.select.is_empty() {
        let page: Page<Record> = answer.parse()?;
        view::records(&ctx.out, &page.data, with_thread)?;
        page.note_rest();
    } else {
        // Selected members have no fixed shape: one object a line.
        let page: Page<Value> = answer.parse()?;
        page.data.iter().try_for_each(|row| ctx.out.line(text::safe(&row.to_string())))?;
        page.note_rest();
    }
    if raw.get("capped") == Some(&Value::Bool(true)) {
        output::note("the search stopped at its bound: there may be more matches");
    }
    if let Some(plan) = raw.get("plan") {
        output::note(format_args!("plan: {}", text::safe(&plan.to_string())));
    }
    Ok(0)
}

fn plain_query(client: &Client, thread: Option<String>, args: &QueryArgs) -> Result<Answer, Failure> {
    if thread.is_none() && args.actor.is_none() && args.act.is_none() && args.kind.is_none() {
        return Err(Failure::usage("say what to look for")
            .hint("give --thread, --actor, --act, --kind or --filter; `spl export` writes everything"));
    }
    let order = args.order.map(|order| match order {
        Order::Asc => "asc",
        Order::Desc => "desc",
    });
    client
        .get(&["v1", "records"])
        .query("thread", thread)
        .query("actor", args.actor.as_ref())
        .query("act", args.act.map(ActName::as_str))
        .query("kind", args.kind.as_ref())
        .query("since", args.since)
        .query("until", args.until)
        .query("order", order)
        .query("limit", Some(args.limit))
        .query("cursor", args.cursor.as_ref())
        .send()
}

fn rich_query(filter: &str, thread: Option<String>, args: &QueryArgs) -> Result<Value, Failure> {
    let mut parts = vec![Value::Object(emit::object(&context::read_text_argument(filter)?)?)];
    parts.extend(args.actor.as_ref().map(|actor| json!({ "actor": actor })));
    parts.extend(args.act.map(|act| json!({ "act": act.as_str() })));
    parts.extend(args.kind.as_ref().map(|kind| json!({ "body.kind": kind })));
    parts.extend(args.since.map(|clock| json!({ "clock": { "$gte": clock } })));
    parts.extend(args.until.map(|clock| json!({ "clock": { "$lte": clock } })));
    let filter = match parts.len() {
        1 => parts.swap_remove(0),
        _ => json!({ "$and": parts }),
    };
    let mut query = Map::from_iter([("filter".to_owned(), filter), ("limit".to_owned(), args.limit.into())]);
    let mut set = |name: &str, value: Option<Value>| query.extend(value.map(|v| (name.to_owned(), v)));
    set("thread", thread.map(Value::from));
    set("sort", args.sort.as_deref().map(sort_key).transpose()?);
    set("select", (!args.select.is_empty()).then(|| args.select.clone().into()));
    set("offset", args.offset.map(Value::from));
    set("cursor", args.cursor.clone().map(Value::from));
    set("explain", args.explain.then_some(Value::Bool(true)));
    Ok(Value::Object(query))
}

/// `path`, `path=asc` or `path=desc`.
fn sort_key(given: &str) -> Result<Value, Failure> {
    let (path, direction) = given.rsplit_once('=').unwrap_or((given, "asc"));
    let direction = match direction {
        "asc" => 1,
        "desc" => -1,
        other => {
            return Err(
                Failure::usage(format!("`{other}` is no direction to sort in")).hint("write =asc or =desc")
            );
        }
    };
    Ok(json!({ path: direction }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sort_keys_have_a_direction() {
        assert_eq!(sort_key("clock").unwrap(), json!({"clock": 1}));
        assert_eq!(sort_key("body.priority=desc").unwrap(), json!({"body.priority": -1}));
        assert!(sort_key("clock=up").is_err());
    }
}
