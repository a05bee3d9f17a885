//! Permission rules: what is refused at write, what is decided, and that neither can be made to cost much.

mod bounds;
mod decisions;
mod hostile;
mod panics;
mod work;

use std::time::Duration;

use spl_kernel::{
    id::RecordId,
    record::{Act, DataType},
    refusal::Code,
    time::UnixMillis,
};
use spl_projections::policies::{
    Action, Compiled, Outcome, Question, RecordView, Resource, RuleSource, compile,
};

const NOW: UnixMillis = UnixMillis(1_750_000_000_123);

/// A question about a record with this body, asked by `did:sync:user:a` with `records:write`.
fn asked<T>(body: &str, ask: impl FnOnce(&Question<'_>) -> T) -> T {
    let parents = [RecordId::from_bytes([7; 32])];
    let scopes = ["records:write".to_owned(), "thread:th_a:read".to_owned()];
    let record = RecordView {
        parents: &parents,
        thread: "th_work",
        actor: "did:sync:user:b",
        act: Act::Know,
        body,
        clock: Some(3),
        data_type: DataType::Scalar,
        judged_by: None,
    };
    ask(&Question {
        resource: Resource::RecordWrite,
        actor: Some("did:sync:user:a"),
        namespace: "team/build",
        scopes: &scopes,
        record: Some(record),
        now: NOW,
    })
}

fn evaluate(expression: &str, body: &str) -> Outcome {
    asked(body, |question| compiled(expression).evaluate(question))
}

fn compiled(expression: &str) -> Compiled {
    match compile(expression) {
        Ok(compiled) => compiled,
        Err(refusal) => unreachable!("{expression}: {refusal}"),
    }
}

/// The message of the refusal, which must be one of `INVALID_BODY`.
fn refused(expression: &str) -> String {
    match compile(expression) {
        Ok(_) => unreachable!("not refused: {expression}"),
        Err(refusal) => {
            assert_eq!(refusal.code, Code::InvalidBody, "{expression}");
            refusal.message
        }
    }
}

fn joined(part: &str, by: &str, times: usize) -> String {
    vec![part; times].join(by)
}

/// A body whose member `l` is a list of so many small integers.
fn list_of(items: usize) -> String {
    format!(r#"{{"l":[{}]}}"#, (0..items).map(|n| n.to_string()).collect::<Vec<_>>().join(","))
}

/// A body whose member `m` is a map of so many keys.
fn map_of(items: usize) -> String {
    let members: Vec<_> = (0..items).map(|n| format!(r#""k{n:05}":{n}"#)).collect();
    format!(r#"{{"m":{{{}}}}}"#, members.join(","))
}

fn rule(name: &str, action: Action, priority: i64, expression: &str) -> RuleSource {
    RuleSource { name: name.to_owned(), action, priority, expression: expression.to_owned(), enabled: true }
}

/// Runs on a thread with little stack, and gives up after a time that no machine needs.
fn bounded<T: Send + 'static>(kib: usize, what: String, run: impl FnOnce() -> T + Send + 'static) -> T {
    let (send, receive) = std::sync::mpsc::channel();
    let thread = std::thread::Builder::new().stack_size(kib * 1024);
    let thread = thread.spawn(move || send.send(run())).expect("a thread");
    let result = receive.recv_timeout(Duration::from_secs(5));
    let result = result.unwrap_or_else(|error| unreachable!("{what}: {error}"));
    assert!(thread.join().is_ok());
    result
}
