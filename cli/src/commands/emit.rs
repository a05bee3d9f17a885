//! `spl intend`, `do`, `know`, `learn`: one record each.

use clap::Args;
use serde_json::{Map, Value, json};

use crate::{
    args::ActorArg,
    commands::Outcome,
    context::{self, Context},
    entropy,
    error::Failure,
    kinds::Departures,
    lookup, output, text,
    view::Record,
};

/// An act that has a command of its own.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Act {
    name: &'static str,
    /// The member of the body that takes the text.
    member: &'static str,
}

/// `spl intend`.
pub(crate) const INTEND: Act = Act { name: "INTEND", member: "goal" };
/// `spl do`.
pub(crate) const DO: Act = Act { name: "DO", member: "action" };
/// `spl know`.
pub(crate) const KNOW: Act = Act { name: "KNOW", member: "observation" };
/// `spl learn`.
pub(crate) const LEARN: Act = Act { name: "LEARN", member: "insight" };

/// What to write.
#[derive(Args)]
#[command(after_help = "\
Examples:
  spl intend \"ship the release\"                      prints the new thread's id
  spl do \"tagged v1.2\" --thread th_4be1…
  spl know \"all tests pass\" --thread th_4be1… --fulfills <id of the intent>
  spl learn --body '{\"topic\":\"naming\",\"insight\":\"short nouns\"}' --thread team.notes
  spl know --body @result.json --thread th_4be1…     the body from a file; - is the standard input")]
pub(crate) struct EmitArgs {
    /// What to say: becomes `goal`, `action`, `observation` or `insight` of the body
    #[arg(required_unless_present = "body")]
    text: Option<String>,
    /// Give the whole body: a JSON object, @FILE, or - for the standard input
    #[arg(long, value_name = "JSON", conflicts_with = "text")]
    body: Option<String>,
    /// Write to this thread [default for `intend`: a new one]
    #[arg(long, value_name = "THREAD")]
    thread: Option<String>,
    /// Name the record that this fulfils
    #[arg(long, value_name = "RECORD")]
    fulfills: Option<String>,
    #[command(flatten)]
    actor: ActorArg,
}

/// Writes the record.
pub(crate) fn run(ctx: &Context, act: Act, args: EmitArgs) -> Outcome {
    if args.thread.is_none() && act.name != INTEND.name {
        return Err(Failure::usage(format!("`{}` needs a thread", act.name.to_lowercase()))
            .hint("add --thread THREAD; `spl thread list` shows them, `spl intend` opens one"));
    }
    let mut body = match args.body {
        Some(given) => object(&context::read_text_argument(&given)?)?,
        None => Map::from_iter([(act.member.to_owned(), Value::from(args.text.unwrap_or_default()))]),
    };
    let client = ctx.client()?;
    if let Some(fulfilled) = args.fulfills {
        body.insert("fulfills".to_owned(), Value::from(lookup::record(&client, &fulfilled)?));
    }
    let (thread, is_new) = match args.thread {
        Some(thread) => (lookup::thread(&client, &thread)?, false),
        None => (entropy::thread_id()?, true),
    };
    let envelope = json!({
        "act": act.name,
        "actor": ctx.actor(&args.actor, &client)?,
        "body": body,
        "thread": thread,
    });
    let request = client.post(&["v1", "records"]).header("x-syncropel-actor", args.actor.named());
    let answer = request.json(&envelope).send()?;
    Departures::warn_of(&envelope);
    if !ctx.out.is_human() {
        ctx.out.answer(&answer.body)?;
        return Ok(0);
    }
    confirm(ctx, &answer.parse()?, &thread, is_new)?;
    Ok(0)
}

/// What stands on stdout is what the next command needs: the new thread's id, or the record's.
fn confirm(ctx: &Context, record: &Record, thread: &str, is_new: bool) -> Result<(), Failure> {
    if is_new {
        ctx.out.line(thread)?;
        output::note(format_args!("opened with record {}; next:", text::short_id(&record.id)));
        output::note(format_args!("  spl do \"…\" --thread {}", text::short_id(thread)));
        output::note(format_args!("  spl thread watch {}", text::short_id(thread)));
        return Ok(());
    }
    ctx.out.line(text::safe(&record.id))?;
    output::note(format_args!("stored as clock {}, sequence {}", record.clock, record.sequence));
    Ok(())
}

/// A JSON object, as a body has to be.
pub(crate) fn object(text: &str) -> Result<Map<String, Value>, Failure> {
    match serde_json::from_str(text) {
        Ok(Value::Object(members)) => Ok(members),
        Ok(_) => {
            Err(Failure::usage("the body must be a JSON object").hint("such as '{\"topic\":\"naming\"}'"))
        }
        Err(e) => {
            Err(Failure::usage(format!("the body is no JSON: {e}"))
                .hint("quote it for the shell: --body '{…}'"))
        }
    }
}
