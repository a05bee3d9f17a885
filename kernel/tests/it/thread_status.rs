//! The fold of a thread's status, case by case.

use spl_fixtures::builders::{Sequencer, append, draft, memory_log};
use spl_kernel::{
    draft::BodyFacts,
    id::RecordId,
    record::{Act, Origin, Provenance},
    thread::{Effect, Participant, Status, Step, Summary},
    time::UnixMillis,
};

use crate::support::parse;

const OPENING: &str = "aa11aa11aa11aa11aa11aa11aa11aa11aa11aa11aa11aa11aa11aa11aa11aa11";
const OTHER: &str = "bb22bb22bb22bb22bb22bb22bb22bb22bb22bb22bb22bb22bb22bb22bb22bb22";

/// Folds records written as `ACT body`, where `$O` is the opening INTEND's id and `$X` another one. A leading
/// `~` marks a writer who cannot read the opening.
fn fold(records: &[&str]) -> Summary {
    let mut summary = Summary::new("t");
    let mut opened = false;
    for (i, text) in records.iter().enumerate() {
        let (blind, text) = text.strip_prefix('~').map_or((false, *text), |rest| (true, rest));
        let (act, body) = text.split_once(' ').unwrap_or((text, "{}"));
        let act = Act::parse(act).unwrap();
        let body = body.replace("$O", OPENING).replace("$X", OTHER);
        let effect = BodyFacts::of(act, &parse(&body)).effect;
        let first_intend = act == Act::Intend && !opened;
        opened |= first_intend;
        let id = if first_intend {
            RecordId::parse(OPENING).unwrap()
        } else {
            RecordId::from_bytes([i as u8; 32])
        };
        let step = Step {
            sequence: 10 + i as u64,
            id,
            act,
            clock: 5 + i as u64,
            committed_at: UnixMillis(1000 + i as u64),
            effect: &effect,
            sees_opening: !blind,
            new_participant: i == 0,
        };
        summary.fold(&step);
        let once = summary.clone();
        summary.fold(&step);
        assert_eq!(summary, once, "a repeated record changes nothing");
    }
    summary
}

#[test]
fn status_follows_the_records() {
    use Status::{Active, Cancelled, Closed, Observed, Open};
    let table: &[(Status, &[&str])] = &[
        (Open, &["INTEND"]),
        (Active, &["INTEND", "DO"]),
        (Active, &["INTEND", "CALL"]),
        (Observed, &["INTEND", "KNOW"]),
        (Observed, &["INTEND", "DO", "KNOW"]),
        (Active, &["INTEND", "KNOW", "DO"]),
        (Open, &["INTEND", "DO", "INTEND"]),
        // Other acts change nothing.
        (Open, &["INTEND", "LEARN", "GET", "PUT", "MAP"]),
        (Observed, &["INTEND", "KNOW", "LEARN"]),
        // Closing.
        (Closed, &["INTEND", r#"KNOW {"fulfills":"$O"}"#]),
        (Closed, &["INTEND", r#"KNOW {"fulfills":["$X","$O"]}"#]),
        (Observed, &["INTEND", r#"KNOW {"fulfills":"$X"}"#]),
        (Observed, &["INTEND", r#"KNOW {"fulfills":true}"#]),
        (Observed, &["INTEND", r#"KNOW {"fulfills":"the goal"}"#]),
        (Observed, &["INTEND", r#"KNOW {"fulfills":{"id":"$O"}}"#]),
        (Active, &["INTEND", r#"DO {"fulfills":"$O"}"#]),
        (Open, &["INTEND", r#"LEARN {"fulfills":"$O"}"#]),
        // Cancelling.
        (Cancelled, &["INTEND", r#"DO {"cancels":"$O"}"#]),
        (Active, &["INTEND", r#"DO {"cancels":"$X"}"#]),
        (Active, &["INTEND", r#"DO {"cancels":["$O"]}"#]),
        (Observed, &["INTEND", r#"KNOW {"cancels":"$O"}"#]),
        (Active, &["INTEND", r#"CALL {"cancels":"$O"}"#]),
        (Cancelled, &["INTEND", r#"KNOW {"verdict":"reject"}"#]),
        (Observed, &["INTEND", r#"KNOW {"verdict":"accept"}"#]),
        (Observed, &["INTEND", r#"KNOW {"verdict":"Reject"}"#]),
        (Active, &["INTEND", r#"DO {"verdict":"reject"}"#]),
        // Both: it fulfils what it names.
        (Closed, &["INTEND", r#"KNOW {"fulfills":"$O","verdict":"reject"}"#]),
        // Closed and cancelled stay.
        (Closed, &["INTEND", r#"KNOW {"fulfills":"$O"}"#, r#"DO {"cancels":"$O"}"#, "INTEND", "KNOW"]),
        (Cancelled, &["INTEND", r#"DO {"cancels":"$O"}"#, r#"KNOW {"fulfills":"$O"}"#, "INTEND"]),
        (Cancelled, &["INTEND", r#"KNOW {"verdict":"reject"}"#, "DO"]),
        // A second INTEND opens nothing: only the first can be fulfilled.
        (Closed, &["INTEND", "INTEND", r#"KNOW {"fulfills":"$O"}"#]),
        // Without INTEND a thread is active, whatever is on it.
        (Active, &["DO"]),
        (Active, &["KNOW"]),
        (Active, &["PUT"]),
        (Active, &[r#"KNOW {"verdict":"reject"}"#]),
        (Active, &[r#"KNOW {"fulfills":"$O"}"#, r#"DO {"cancels":"$O"}"#]),
        // What came before the opening does not count.
        (Open, &["KNOW", "INTEND"]),
        (Open, &[r#"KNOW {"verdict":"reject"}"#, "INTEND"]),
        (Open, &[r#"DO {"cancels":"$O"}"#, "INTEND"]),
        // Who cannot read the opening changes nothing.
        (Open, &["INTEND", "~DO", "~KNOW", r#"~KNOW {"fulfills":"$O"}"#, r#"~DO {"cancels":"$O"}"#]),
        (Active, &["INTEND", "DO", r#"~KNOW {"verdict":"reject"}"#]),
        (Active, &["INTEND", "~KNOW", "DO"]),
    ];
    for (expected, records) in table {
        assert_eq!(fold(records).status, *expected, "{records:?}");
    }
}

#[test]
fn a_summary_counts_what_it_saw() {
    let summary = fold(&["DO", "INTEND", "~KNOW", "DO"]);
    assert_eq!((summary.first_sequence, summary.last_sequence, summary.record_count), (10, 13, 4));
    assert_eq!((summary.first_clock, summary.last_clock), (5, 8));
    assert_eq!(summary.last_activity, UnixMillis(1003));
    assert_eq!(summary.opening, Some((RecordId::parse(OPENING).unwrap(), 11)));
    assert_eq!((summary.participants, summary.task), (1, None));
}

#[test]
fn a_task_is_started_and_completed() {
    let task = |records: &[&str]| fold(records).task.map(|t| (t.started, t.completed_by));
    let opens = r#"INTEND {"task":true}"#;
    let starts = r#"DO {"topic":"task_started"}"#;
    let done = r#"KNOW {"fulfills":"$O"}"#;
    assert_eq!(task(&[opens]), Some((false, None)));
    assert_eq!(task(&[opens, starts]), Some((true, None)));
    assert_eq!(task(&[opens, "~DO {\"topic\":\"task_started\"}"]), Some((false, None)));
    assert_eq!(task(&[opens, r#"KNOW {"topic":"task_started"}"#]), Some((false, None)));
    assert_eq!(task(&[opens, done]), Some((false, Some(11))));
    assert_eq!(task(&[opens, starts, done, done]), Some((true, Some(12))));
    assert_eq!(task(&[opens, r#"DO {"cancels":"$O"}"#]), Some((false, None)));
    assert_eq!(task(&["INTEND", opens]), None, "only the opening makes a task");
    assert_eq!(task(&[r#"INTEND {"task":"true"}"#]), None);
    assert_eq!(task(&[r#"DO {"task":true}"#]), None);
}

#[test]
fn clocks_may_come_in_any_order() {
    let mut part = Participant::new("did:a:b");
    for (sequence, clock) in [(3, 9), (5, 2), (5, 77), (4, 77), (8, 5)] {
        part.fold(sequence, clock);
    }
    assert_eq!((part.first_sequence, part.last_sequence, part.record_count), (3, 8, 3));
    assert_eq!((part.first_clock, part.last_clock), (2, 9));
}

#[test]
fn an_effect_is_read_from_the_right_act_only() {
    let body = format!(
        r#"{{"fulfills":"{OPENING}","cancels":"{OPENING}","verdict":"reject","task":true,"topic":"task_started"}}"#
    );
    for act in [Act::Learn, Act::Get, Act::Put, Act::Call, Act::Map] {
        assert_eq!(BodyFacts::of(act, &parse(&body)).effect, Effect::default(), "{act:?}");
    }
}

/// The same through a log: the flag of who sees the opening is kept with the record.
#[test]
fn a_log_keeps_who_sees_the_opening() {
    let log = memory_log();
    let mut sequencer = Sequencer::default();
    let blind = Provenance { sees_opening: false, ..Provenance::without_credential(Origin::Posted) };
    append(&log, &[sequencer.commit([draft("t", "did:a:b", Act::Intend, "{}")])]);
    append(&log, &[sequencer.commit_of([(draft("t", "did:a:c", Act::Do, "{}"), blind)])]);
    assert_eq!(log.index().summary("t").unwrap().unwrap().status, Status::Open);
    append(&log, &[sequencer.commit([draft("t", "did:a:c", Act::Do, "{}")])]);
    assert_eq!(log.index().summary("t").unwrap().unwrap().status, Status::Active);
}
