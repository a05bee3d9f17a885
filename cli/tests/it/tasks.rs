//! `task`: from the inbox to done.

use crate::support::{Instance, Store};

#[test]
fn a_task_goes_from_the_inbox_to_done() {
    let instance = Instance::start(Store::Memory);
    let thread = instance.spl(&["task", "add", "Fix the build!", "--priority", "high"]).ok().first_line();
    assert!(thread.starts_with("th_"));
    let status = || instance.spl(&["task", "show", "fix-the-build", "--json"]).ok().json()["status"].clone();
    assert_eq!(status(), "inbox");
    instance.spl(&["task", "start", "fix-the-build"]).ok();
    assert_eq!(status(), "active");
    instance.spl(&["task", "done", &thread, "--summary", "pinned the toolchain"]).ok();
    assert_eq!(status(), "done");
    let shown = instance.spl(&["task", "show", "fix-the-build"]).ok().stdout;
    assert!(shown.contains("pinned the toolchain") && shown.contains("high"), "{shown}");
}

#[test]
fn tasks_are_listed_by_status() {
    let instance = Instance::start(Store::Memory);
    instance.spl(&["task", "add", "first", "--assign", "did:sync:user:zoe"]).ok();
    instance.spl(&["task", "add", "second"]).ok();
    instance.spl(&["task", "start", "second"]).ok();
    let of = |status: &str| {
        let listed =
            instance.spl(&["task", "list", "--status", status, "-o", "stream-json"]).ok().json_lines();
        listed.iter().map(|task| task["alias"].clone()).collect::<Vec<_>>()
    };
    assert_eq!(of("inbox"), ["first"]);
    assert_eq!(of("active"), ["second"]);
    assert!(of("done").is_empty());
    let list = instance.spl(&["task", "list"]).ok().stdout;
    assert!(list.contains("zoe"), "{list}");
}

#[test]
fn a_task_that_is_not_there_is_told() {
    let instance = Instance::start(Store::Memory);
    let ran = instance.spl(&["task", "start", "nothing"]).exits(1);
    assert!(ran.stderr.contains("there is no task nothing"), "{ran:?}");
}
