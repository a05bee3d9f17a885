//! Tasks: threads whose opening says so.

use serde_json::{Value, json};

use super::server::Server;

fn write(server: &Server, thread: &str, act: &str, body: Value) -> Value {
    server.wrote(&json!({ "thread": thread, "actor": "did:sync:user:alice", "act": act, "body": body }))
}

fn statuses(server: &Server, query: &str) -> Vec<(String, String)> {
    let text = |v: &Value| v.as_str().expect("text").to_owned();
    let rows = server.pages(&format!("/v1/tasks{query}")).0;
    rows.iter().map(|row| (text(&row["thread"]), text(&row["status"]))).collect()
}

#[test]
fn a_task_goes_from_inbox_to_done() {
    let server = Server::start();
    let body = json!({
        "task": true, "alias": "T-1", "goal": "ship", "priority": "P1", "assigned_to": "did:sync:user:bob",
    });
    let opening = write(&server, "t", "INTEND", body);
    let task = || server.get("/v1/tasks").rows();
    let mut expected = json!({
        "object": "task", "thread": "t", "alias": "T-1", "goal": "ship", "priority": "P1",
        "assigned_to": "did:sync:user:bob", "status": "inbox", "opened_by": "did:sync:user:alice",
        "created_at": opening["created_at"], "last_activity": opening["created_at"], "summary": null,
    });
    assert_eq!(task(), [expected.clone()]);
    let mut moved = |record: &Value, status: &str| {
        expected["last_activity"] = record["created_at"].clone();
        expected["status"] = status.into();
        if record["body"]["topic"] == "task_completion" {
            expected["summary"] = record["body"]["summary"].clone();
        }
        assert_eq!(task(), [expected.clone()]);
    };
    moved(&write(&server, "t", "DO", json!({ "topic": "other" })), "inbox");
    moved(&write(&server, "t", "DO", json!({ "topic": "task_started" })), "active");
    let done = json!({ "topic": "task_completion", "summary": "shipped", "fulfills": opening["id"] });
    moved(&write(&server, "t", "KNOW", done), "done");
}

#[test]
fn only_openings_that_say_true_are_tasks() {
    let server = Server::start();
    for (i, task) in [json!(true), json!(false), json!("true"), json!(1), json!(null)].iter().enumerate() {
        write(&server, &format!("t{i}"), "INTEND", json!({ "task": task, "goal": "g" }));
    }
    write(&server, "put", "PUT", json!({ "task": true }));
    write(&server, "later", "INTEND", json!({ "goal": "g" }));
    write(&server, "later", "INTEND", json!({ "task": true }));
    assert_eq!(statuses(&server, ""), [("t0".to_owned(), "inbox".to_owned())]);
    // What is not text is left out, not an error.
    write(&server, "odd", "INTEND", json!({ "task": true, "alias": 7, "goal": {}, "priority": [] }));
    assert_eq!(server.get("/v1/tasks").rows()[1]["alias"], Value::Null);
}

#[test]
fn tasks_are_filtered_and_paged() {
    let server = Server::start();
    for i in 0..40 {
        let thread = format!("t{i}");
        let opening = write(&server, &thread, "INTEND", json!({ "task": true, "goal": "g" }))["id"].clone();
        match i % 4 {
            1 => drop(write(&server, &thread, "DO", json!({ "topic": "task_started" }))),
            2 => drop(write(
                &server,
                &thread,
                "KNOW",
                json!({ "topic": "task_completion", "fulfills": opening }),
            )),
            3 => drop(write(&server, &thread, "DO", json!({ "cancels": opening }))),
            _ => {}
        }
    }
    assert_eq!(statuses(&server, "?limit=7").len(), 40);
    for (i, status) in ["inbox", "active", "done", "cancelled"].iter().enumerate() {
        let expected: Vec<(String, String)> =
            (0..10).map(|n| (format!("t{}", n * 4 + i), (*status).to_owned())).collect();
        for limit in [1, 3, 10, 1000] {
            assert_eq!(statuses(&server, &format!("?status={status}&limit={limit}")), expected);
        }
    }
}
