//! `export`, `import`, `verify`, `replay`, `backup`, `restore`.

use std::{fs, io::Write as _};

use serde_json::{Value, json};

use crate::support::{Fake, Instance, Sandbox, Store, chunked_answer, json_answer, record_lines};

#[test]
fn an_import_is_stored_once() {
    let instance = Instance::start(Store::Memory);
    let file = instance.sandbox.file("in.ndjson", record_lines("t", 1200));
    let first = instance.spl(&["import", &file]).ok();
    assert!(first.stdout.starts_with("imported 1,200 new, 0 already stored, 0 skipped"), "{first:?}");
    let again = instance.spl(&["import", &file, "--json"]).ok().json();
    assert_eq!((again["imported"].as_u64(), again["already_stored"].as_u64()), (Some(0), Some(1200)));
}

#[test]
fn an_import_that_was_cut_short_goes_on() {
    let instance = Instance::start(Store::Memory);
    let start = instance.sandbox.file("start.ndjson", record_lines("t", 700));
    let whole = instance.sandbox.file("whole.ndjson", record_lines("t", 1200));
    instance.spl(&["import", &start]).ok();
    let rest = instance.spl(&["import", &whole, "--json"]).ok().json();
    assert_eq!((rest["imported"].as_u64(), rest["already_stored"].as_u64()), (Some(500), Some(700)));
}

#[test]
fn compressed_files_and_the_standard_input_are_read() {
    let instance = Instance::start(Store::Memory);
    let plain = record_lines("t", 20);
    let mut gz = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    gz.write_all(plain.as_bytes()).expect("memory");
    let gz = instance.sandbox.file("in.gz", gz.finish().expect("memory"));
    let zst = zstd::encode_all(plain.as_bytes(), 0).expect("memory");
    let zst = instance.sandbox.file("in.zst", zst);
    assert_eq!(instance.spl(&["import", &gz, "--json"]).ok().json()["imported"], 20);
    assert_eq!(instance.spl(&["import", &zst, "--json"]).ok().json()["already_stored"], 20);
    let piped = instance.sandbox.spl_with_input(&["import", "-", "--json"], plain.as_bytes()).ok();
    assert_eq!(piped.json()["already_stored"], 20);
}

#[test]
fn one_bad_line_and_nothing_is_imported() {
    let instance = Instance::start(Store::Memory);
    let lines =
        format!("{}not json\n{}{{\"act\":\"PUT\"}}\n", record_lines("a", 600), record_lines("b", 600));
    let file = instance.sandbox.file("in.ndjson", lines);
    let ran = instance.spl(&["import", &file]).exits(1);
    assert!(ran.stderr.contains("line 601:") && ran.stderr.contains("line 1202:"), "{ran:?}");
    assert!(ran.stderr.contains("nothing was imported"), "{ran:?}");
    assert_eq!(instance.spl(&["status", "--json"]).ok().json()["records"], 0);

    let summary = instance.spl(&["import", &file, "--skip-invalid", "--json"]).ok().json();
    assert_eq!((summary["imported"].as_u64(), summary["skipped_invalid"].as_u64()), (Some(1200), Some(2)));
}

#[test]
fn many_bad_lines_are_counted() {
    let instance = Instance::start(Store::Memory);
    let file = instance.sandbox.file("in.ndjson", "nonsense\n".repeat(25));
    let ran = instance.spl(&["import", &file]).exits(1);
    assert!(ran.stderr.contains("line 10:") && !ran.stderr.contains("line 11:"), "{ran:?}");
    assert!(ran.stderr.contains("and 15 bad lines more"), "{ran:?}");
}

#[test]
fn what_only_the_instance_writes_is_skipped() {
    let instance = Instance::start(Store::Memory);
    let reserved = record_lines("th_api_tokens", 3);
    let kind = record_lines("t", 1).replace("test.sample.item", "core.api_token.v1");
    let file = instance.sandbox.file("in.ndjson", format!("{reserved}{kind}{}", record_lines("u", 2)));
    let summary = instance.spl(&["import", &file, "--json"]).ok().json();
    assert_eq!((summary["imported"].as_u64(), summary["skipped_reserved"].as_u64()), (Some(2), Some(4)));
}

#[test]
fn an_export_comes_back_with_the_same_ids_in_the_same_order() {
    let instance = Instance::start(Store::Memory);
    let other = Instance::start(Store::Memory);
    instance.sample_thread();
    let file = instance.sandbox.file("in.ndjson", record_lines("t", 700));
    instance.spl(&["import", &file]).ok();
    let first = instance.spl(&["export"]).ok();
    assert_eq!(first.json_lines().len(), 703);
    let copy = other.sandbox.file("copy.ndjson", &first.stdout);
    other.spl(&["import", &copy]).ok();
    let ids =
        |ran: &crate::support::Ran| -> Vec<_> { ran.json_lines().iter().map(|r| r["id"].clone()).collect() };
    assert_eq!(ids(&first), ids(&other.spl(&["export"]).ok()));
}

#[test]
fn an_exported_line_with_a_foreign_id_is_refused() {
    let instance = Instance::start(Store::Memory);
    instance.spl(&["know", "x", "--thread", "t"]).ok();
    let line = instance.spl(&["export"]).ok().stdout.replace("\"x\"", "\"y\"");
    let file = instance.sandbox.file("in.ndjson", line);
    let ran = instance.spl(&["import", &file]).exits(1);
    assert!(ran.stderr.contains("line 1: its `id` is"), "{ran:?}");
}

#[test]
fn an_export_is_compressed_as_its_name_says() {
    let instance = Instance::start(Store::Memory);
    let file = instance.sandbox.file("in.ndjson", record_lines("t", 50));
    instance.spl(&["import", &file]).ok();
    for name in ["all.ndjson", "all.ndjson.gz", "all.ndjson.zst"] {
        let path = instance.sandbox.dir().join(name);
        let shown = path.display().to_string();
        let summary = instance.spl(&["export", "--out", &shown, "--json"]).ok().json();
        assert_eq!(summary["records"], 50, "{name}");
        let again = instance.spl(&["import", &shown, "--json"]).ok().json();
        assert_eq!(again["already_stored"], 50, "{name}");
    }
    let since = instance.spl(&["export", "--since-sequence", "0"]).ok().json_lines();
    let last = since.last().expect("records")["sequence"].to_string();
    assert!(instance.spl(&["export", "--since-sequence", &last]).ok().stdout.is_empty());
}

#[test]
fn a_running_and_a_stopped_home_give_the_same() {
    let mut instance = Instance::start(Store::Disk);
    instance.sample_thread();
    instance.sandbox.admin();
    // When its token was last used is written at the end, and is state.
    instance.stop();
    let stopped = [
        instance.spl(&["export"]).ok().stdout,
        instance.spl(&["verify", "--json"]).ok().json()["digest"].to_string(),
        instance.spl(&["replay", "--json"]).ok().json()["digest"].to_string(),
    ];
    instance.run(Store::Disk);
    let running = [
        instance.spl(&["export"]).ok().stdout,
        instance.spl_as_admin(&["verify", "--json"]).ok().json()["digest"].to_string(),
        instance.spl_as_admin(&["replay", "--json"]).ok().json()["digest"].to_string(),
    ];
    assert_eq!(running, stopped);
}

/// Somebody changes a word in the file of a stopped home.
#[test]
fn a_replay_of_a_stopped_home_names_a_forged_record() {
    let mut instance = Instance::start(Store::Disk);
    instance.spl(&["learn", "it is unmistakably so", "--thread", "t"]).ok();
    instance.spl(&["learn", "and goes on", "--thread", "t"]).ok();
    instance.stop();
    let path = instance.sandbox.home().join("log.redb");
    let mut bytes = fs::read(&path).expect("a log");
    let word = b"unmistakably";
    let places: Vec<usize> =
        (0..bytes.len() - word.len()).filter(|at| bytes[*at..].starts_with(word)).collect();
    places.iter().for_each(|at| bytes[*at] = b'U');
    fs::write(&path, bytes).expect("written");
    let ran = instance.spl(&["replay"]).exits(1);
    let record = instance.spl(&["export"]).ok().json_lines()[0]["sequence"].to_string();
    let what = format!("damaged at record {record}: malformed: the id is not that of the fields");
    assert!(ran.stderr.contains(&what), "{ran:?}");
}

#[test]
fn a_kept_head_is_recognised_and_a_wrong_one_is_not() {
    let mut instance = Instance::start(Store::Disk);
    instance.sample_thread();
    let head = instance.spl_as_admin(&["verify", "--json"]).ok().json()["head"].clone();
    let kept = format!("{}:{}", head["sequence"], head["chain"].as_str().expect("a chain"));
    let wrong = format!("{}:{}", head["sequence"], "0".repeat(64));
    instance.stop();
    instance.spl(&["verify", "--head", &kept]).ok();
    let ran = instance.spl(&["verify", "--head", &wrong]).exits(1);
    assert!(ran.stdout.contains("not whole"), "{ran:?}");
}

#[test]
fn a_backup_brings_back_what_was_there() {
    let mut instance = Instance::start(Store::Disk);
    instance.sample_thread();
    let backup = instance.sandbox.dir().join("copy.splbak").display().to_string();
    instance.spl(&["backup", &backup]).exits(4);
    instance.spl_as_admin(&["backup", &backup]).ok();
    instance.spl_as_admin(&["backup", &backup]).exits(1);
    instance.spl_as_admin(&["backup", &backup, "--force"]).ok();
    let then = instance.spl(&["export"]).ok().stdout;

    instance.spl(&["learn", "written after the backup", "--thread", "t"]).ok();
    let ran = instance.spl(&["restore", &backup]).exits(1);
    assert!(ran.stderr.contains("spl serve --stop"), "{ran:?}");
    instance.stop();
    let offline = instance.sandbox.dir().join("offline.splbak").display().to_string();
    instance.spl(&["backup", &offline]).ok();

    let restored = instance.spl(&["restore", &backup, "--json"]).ok().json();
    assert_eq!(restored["object"], "restore");
    assert!(
        fs::exists(restored["replaced"].as_str().expect("a path")).expect("a directory"),
        "the old log is kept"
    );
    assert_eq!(instance.spl(&["export"]).ok().stdout, then);
    instance.spl(&["verify"]).ok();
    instance.run(Store::Disk);
    assert_eq!(instance.spl(&["export"]).ok().stdout, then);
}

#[test]
fn what_is_no_backup_is_refused_and_changes_nothing() {
    let mut instance = Instance::start(Store::Disk);
    instance.sample_thread();
    let then = instance.spl(&["export"]).ok().stdout;
    instance.stop();
    let file = instance.sandbox.file("no.splbak", "this is no backup");
    instance.spl(&["restore", &file]).exits(1);
    assert_eq!(instance.spl(&["export"]).ok().stdout, then);
}

/// Runs a command that writes a file, against something that answers so; nothing of the file may be left.
fn breaks_off(command: &[&str], answer: impl Fn(&str) -> Vec<u8> + Send + 'static) -> String {
    let (sandbox, fake) = (Sandbox::new(), Fake::local(answer));
    let url = fake.url();
    let ran = sandbox.spl(&[&["--server", &url][..], command].concat()).exits(1);
    let left: Vec<_> = fs::read_dir(sandbox.dir()).expect("a directory").flatten().collect();
    assert!(left.is_empty(), "{left:?}");
    ran.stderr
}

/// A backup of an empty log.
fn empty_backup() -> Vec<u8> {
    [&b"spl-backup-v1\n"[..], &[0; 4 + 8 + 32]].concat()
}

#[test]
fn a_backup_without_its_end_is_a_failure() {
    for length in [0, 10, 18, empty_backup().len() - 1] {
        let cut = empty_backup()[..length].to_vec();
        let said = breaks_off(&["backup", "copy"], move |_| chunked_answer(&cut, true));
        assert!(said.contains("the backup is not whole: it ends too early"), "{length}: {said}");
    }
    let said = breaks_off(&["backup", "copy"], |_| chunked_answer(&empty_backup(), false));
    assert!(said.contains("the stream broke off"), "{said}");
    let (sandbox, fake) = (Sandbox::new(), Fake::local(|_| chunked_answer(&empty_backup(), true)));
    sandbox.spl(&["--server", &fake.url(), "backup", "copy"]).ok();
    assert_eq!(fs::read(sandbox.dir().join("copy")).expect("the backup"), empty_backup());
}

#[test]
fn a_backup_that_was_damaged_on_its_way_is_a_failure() {
    let mut instance = Instance::start(Store::Disk);
    instance.sample_thread();
    let path = instance.sandbox.dir().join("copy");
    instance.spl_as_admin(&["backup", "copy"]).ok();
    instance.stop();
    let whole = fs::read(&path).expect("the backup");
    for at in [0, 40, whole.len() - 33, whole.len() - 1] {
        let mut damaged = whole.clone();
        damaged[at] ^= 1;
        let said = breaks_off(&["backup", "copy"], move |_| chunked_answer(&damaged, true));
        assert!(said.contains("the backup is not whole"), "{at}: {said}");
    }
}

#[test]
fn a_failed_backup_leaves_the_old_one_alone() {
    let (sandbox, fake) = (Sandbox::new(), Fake::local(|_| chunked_answer(b"spl-backup-v1\n", true)));
    let old = sandbox.file("copy", "the old one");
    sandbox.spl(&["--server", &fake.url(), "backup", "copy", "--force"]).exits(1);
    assert_eq!(fs::read_to_string(old).expect("the old one"), "the old one");
}

#[test]
fn an_export_that_breaks_off_is_a_failure() {
    for command in [&["export", "--out", "all.ndjson"][..], &["export", "--out", "all.zst"], &["export"]] {
        let said = breaks_off(command, |_| chunked_answer(b"{\"n\":1}\n", false));
        assert!(said.contains("the stream broke off"), "{said}");
        let said = breaks_off(command, |_| chunked_answer(b"{\"n\":1}\n{\"n\"", true));
        assert!(said.contains("ends too early"), "{said}");
    }
}

#[test]
fn an_export_of_everything_reaches_the_head() {
    let answer = |request: &str| match request.starts_with("get /v1/log/head") {
        true => json_answer(&json!({ "object": "log_head", "sequence": 3 })),
        false => chunked_answer(b"{\"n\":1}\n{\"n\":2}\n", true),
    };
    let said = breaks_off(&["export", "--reserved", "--out", "all"], answer);
    assert!(said.contains("ends too early"), "{said}");
    let (sandbox, fake) = (Sandbox::new(), Fake::local(answer));
    sandbox.spl(&["--server", &fake.url(), "export", "--reserved", "--since-sequence", "1"]).ok();
    let instance = Instance::start(Store::Memory);
    let thread = instance.sample_thread();
    instance.spl(&["export", "--reserved"]).exits(4);
    let whole = instance.spl_as_admin(&["export", "--reserved"]).ok().json_lines();
    let of_the_thread = whole.iter().filter(|r| r["thread"] == thread).count();
    let last = whole.last().expect("records")["sequence"].as_u64();
    assert_eq!(whole[0]["body"]["kind"], "core.identity.created.v1");
    assert!(whole.iter().any(|r| r["body"]["kind"] == "core.api_token.v1"), "{whole:?}");
    assert_eq!((Some(whole.len() as u64), of_the_thread), (last, 3), "nothing is left out");
}

#[test]
fn an_import_warns_of_kinds_that_no_rule_allows() {
    let instance = Instance::start(Store::Memory);
    let lines: String = (0..8)
        .map(|n| record_lines(&format!("t{n}"), 1).replace("test.sample.item", &format!("Odd{n}")))
        .collect();
    let file = instance.sandbox.file("in.ndjson", lines + record_lines("t", 2).as_str());
    let ran = instance.spl(&["import", &file, "--json"]).ok();
    let imported: Value = ran.json()["imported"].clone();
    assert_eq!(imported, 10, "they are stored all the same");
    assert!(ran.stderr.contains("warning: 8 records of kinds that do not follow"), "{ran:?}");
    assert_eq!(ran.stderr.matches("warning: kind `Odd").count(), 5, "{ran:?}");
    let good = instance.sandbox.file("good.ndjson", record_lines("u", 2));
    assert!(!instance.spl(&["import", &good]).ok().stderr.contains("warning"));
}
