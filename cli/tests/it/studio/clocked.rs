//! An instance whose time goes by.

use std::{ops::Deref, time::Duration};

use spl_fixtures::builders;
use spl_kernel::{
    commit::{Commit, Entry},
    log::{Log, LogSource, NewCommit},
    record::{Act, Origin, Provenance},
    time::UnixMillis,
};

use super::kit::Home;
use crate::federation::kit::now_ms;

/// An instance on disk at one port, whose time may go by.
pub(super) struct Clocked(Home);

impl Deref for Clocked {
    type Target = Home;

    fn deref(&self) -> &Home {
        &self.0
    }
}

impl Clocked {
    pub(super) fn new() -> Self {
        Self(Home::disk())
    }

    pub(super) fn stops(&mut self) {
        self.0.node.stop();
    }

    /// Starts it where it was, so that its address stays.
    pub(super) fn starts(&mut self) {
        let port = self.0.node.port.to_string();
        self.0.node.run(&["--port", &port]);
    }

    /// Stops, finds a record in the log that was committed so much later, and starts again.
    pub(super) fn later(&mut self, by: Duration) {
        self.stops();
        let log = Log::open(LogSource::File(self.node.sandbox.home().join("log.redb")), &mut |_, _| {});
        let log = log.expect("the log opens");
        let draft = builders::draft("time", "did:sync:user:time", Act::Put, "{}");
        let (facts, id) = (draft.facts.clone(), draft.id_at(0).expect("an id"));
        let entry = Entry {
            record: draft.into_record(id, 0),
            provenance: Provenance::without_credential(Origin::Posted),
        };
        let committed_at = UnixMillis(now_ms() + u64::try_from(by.as_millis()).expect("a time"));
        let commit = Commit { first_sequence: log.head().sequence + 1, committed_at, entries: vec![entry] };
        builders::append(&log, &[NewCommit { commit, facts: vec![facts] }]);
        drop(log);
        self.starts();
    }
}
