//! What several of these modules need.

use std::path::Path;

use proptest::test_runner::Config;
use spl_fixtures::builders::BODY_BOUNDS;
use spl_kernel::{
    commit::{Chain, Head},
    json::{Bounds, Json},
    log::{
        Log, LogSource, ReadOnlyLog,
        error::{OpenError, StoreError},
        verify::Verification,
    },
    record::StoredRecord,
};

/// Bounds of a body.
pub(crate) const BODY: Bounds = BODY_BOUNDS;

/// A value from valid JSON text.
pub(crate) fn parse(text: &str) -> Json {
    Json::parse(text.as_bytes(), BODY).unwrap_or_else(|e| panic!("{text}: {e}"))
}

/// A property's configuration. Failures are printed with their input, not kept in files.
pub(crate) fn cases(cases: u32) -> Config {
    Config { cases, failure_persistence: None, ..Config::default() }
}

/// Opens a log without listening to its progress.
pub(crate) fn try_open(source: LogSource) -> Result<Log, OpenError> {
    Log::open(source, &mut |_, _| {})
}

/// Opens a log that is expected to open, for reading.
pub(crate) fn read(path: &Path) -> ReadOnlyLog {
    ReadOnlyLog::open(path).expect("the log opens")
}

/// A log that is open for writing, or for reading only.
pub(crate) trait Verify {
    fn end(&self) -> Head;
    fn run(
        &self,
        kept: Option<(u64, Chain)>,
        visit: &mut dyn FnMut(&StoredRecord),
    ) -> Result<Verification, StoreError>;
}

impl Verify for Log {
    fn end(&self) -> Head {
        self.head()
    }

    fn run(
        &self,
        kept: Option<(u64, Chain)>,
        visit: &mut dyn FnMut(&StoredRecord),
    ) -> Result<Verification, StoreError> {
        self.verify(kept, visit, &mut |_, _| {})
    }
}

impl Verify for ReadOnlyLog {
    fn end(&self) -> Head {
        self.head()
    }

    fn run(
        &self,
        kept: Option<(u64, Chain)>,
        visit: &mut dyn FnMut(&StoredRecord),
    ) -> Result<Verification, StoreError> {
        self.verify(kept, visit, &mut |_, _| {})
    }
}

/// Verifies a log and gives the records that the verification saw.
pub(crate) fn verified(log: &impl Verify, kept: Option<(u64, Chain)>) -> (Verification, Vec<StoredRecord>) {
    let mut seen = Vec::new();
    let report = log.run(kept, &mut |record| seen.push(record.clone())).unwrap();
    (report, seen)
}

/// The records of a log that is expected to be sound.
pub(crate) fn sound(log: &impl Verify) -> Vec<StoredRecord> {
    let (report, seen) = verified(log, None);
    assert_eq!(report.problems, Vec::<String>::new());
    assert_eq!(report.head, log.end());
    assert_eq!(report.records, seen.len() as u64);
    seen
}

/// An error with its causes, as a person sees it.
pub(crate) fn words(error: &dyn std::error::Error) -> String {
    spl_kernel::log::verify::chain_of_causes(error)
}

/// Runs one ignored test of this binary in a process of its own and gives what it printed.
pub(crate) fn child(test: &str, environment: &[(&str, &str)]) -> String {
    let output = std::process::Command::new(std::env::current_exe().unwrap())
        .args(["--exact", test, "--ignored", "--nocapture", "--test-threads=1"])
        .envs(environment.iter().copied())
        .output()
        .unwrap();
    let out = String::from_utf8_lossy(&output.stdout).into_owned();
    let err = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && out.contains("1 passed"), "{test}:\n{out}\n{err}");
    out
}

/// What the kernel of the operating system knows of this process.
pub(crate) mod process {
    /// A variable that the parent has set.
    #[expect(clippy::disallowed_methods, reason = "a parent test hands its values over in the environment")]
    pub(crate) fn variable(name: &str) -> String {
        std::env::var(name).unwrap_or_else(|_| panic!("{name} is set by the test that runs this one"))
    }

    fn number(file: &str, field: &str) -> u64 {
        let text = std::fs::read_to_string(file).unwrap();
        let value = text.lines().find_map(|line| line.strip_prefix(field)).unwrap();
        value.trim().trim_end_matches(" kB").parse().unwrap()
    }

    /// Memory in use.
    pub(crate) fn resident_bytes() -> u64 {
        number("/proc/self/status", "VmRSS:") * 1024
    }

    /// The most memory that was in use since [`reset_peak`].
    pub(crate) fn peak_bytes() -> u64 {
        number("/proc/self/status", "VmHWM:") * 1024
    }

    /// Begins a new measurement of the peak.
    pub(crate) fn reset_peak() {
        std::fs::write("/proc/self/clear_refs", "5").unwrap();
    }

    /// Bytes read from files so far.
    pub(crate) fn bytes_read() -> u64 {
        number("/proc/self/io", "rchar:")
    }
}
