//! A wall clock behind the log.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde_json::json;
use spl_kernel::{
    commit::{Commit, Entry},
    draft::Draft,
    json::Json,
    log::{Log, LogSource, NewCommit},
    record::{Act, Origin, Provenance},
    time::UnixMillis,
};

use super::files::{refused_once_open, stopped};
use crate::{raw::Server, support::Sandbox};

fn ahead_of_now(by: Duration) -> UnixMillis {
    #[expect(clippy::disallowed_methods, reason = "the test writes into the future of the wall clock")]
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    UnixMillis(u64::try_from((now + by).as_millis()).unwrap())
}

/// Appends a record that was committed in the future.
fn commit_ahead(sandbox: &Sandbox, by: Duration) {
    let log = Log::open(LogSource::File(sandbox.home().join("log.redb")), &mut |_, _| {}).unwrap();
    let draft =
        Draft::new("th.future", "did:sync:user:a", Act::Put, Json::object([("n", 1_i64.into())])).unwrap();
    let facts = draft.facts.clone();
    let id = draft.id_at(0).unwrap();
    let record = draft.into_record(id, 0);
    let entry = Entry { record, provenance: Provenance::without_credential(Origin::Posted) };
    let commit = Commit {
        first_sequence: log.head().sequence + 1,
        committed_at: ahead_of_now(by),
        entries: vec![entry],
    };
    log.append(log.head(), vec![NewCommit { commit, facts: vec![facts] }]).unwrap();
}

#[test]
fn a_clock_a_day_behind_is_refused_until_it_is_accepted() {
    let sandbox = stopped();
    commit_ahead(&sandbox, Duration::from_secs(25 * 60 * 60));
    refused_once_open(&sandbox, &[], &["clock", "--accept-clock"]);
    let mut server = Server::on(sandbox, &["--accept-clock"]);
    let health = server.client().get("/health").is(200).json();
    assert!(health["warnings"].to_string().contains("clock is behind"), "{health}");
    // Time in the log does not go back.
    server.client().put("th.a", &json!({}));
    let exported = server.export();
    let times: Vec<&str> = exported.iter().map(|r| r["created_at"].as_str().unwrap()).collect();
    assert!(times.is_sorted(), "{times:?}");
    server.stop();
    refused_once_open(&server.sandbox, &[], &["--accept-clock"]);
}

#[test]
fn a_clock_a_little_behind_is_warned_about() {
    for (seconds, warns) in [(30, false), (90, true), (23 * 60 * 60, true)] {
        let sandbox = stopped();
        commit_ahead(&sandbox, Duration::from_secs(seconds));
        let server = Server::on(sandbox, &[]);
        let health = server.client().get("/health").is(200).json();
        assert_eq!(
            health["warnings"].to_string().contains("clock is behind"),
            warns,
            "{seconds} s: {health}"
        );
        assert_eq!(server.sandbox.spl_as_admin(&["verify", "--json"]).ok().json()["ok"], true);
    }
}
