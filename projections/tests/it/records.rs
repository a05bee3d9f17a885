//! Which drafts become records, and at which clock.

use std::{collections::BTreeMap, convert::Infallible};

use spl_kernel::{
    draft::Draft,
    id::RecordId,
    limits::CLOCK_MAX,
    record::Act,
    refusal::{Code, Refusal},
};
use spl_projections::records::{Accepted, Ledger, Pending, decide};

/// Clocks of one actor on one thread.
#[derive(Default)]
struct Clocks(BTreeMap<u64, (u64, RecordId)>);

impl Ledger for Clocks {
    type Error = Infallible;

    fn highest_clock(&self, _: &str, _: &str) -> Result<Option<u64>, Infallible> {
        Ok(self.0.keys().next_back().copied())
    }

    fn clock_holder(&self, _: &str, _: &str, clock: u64) -> Result<Option<(u64, RecordId)>, Infallible> {
        Ok(self.0.get(&clock).copied())
    }

    fn record_id(&self, sequence: u64) -> Result<Option<RecordId>, Infallible> {
        Ok(self.0.values().find(|(at, _)| *at == sequence).map(|(_, id)| *id))
    }
}

fn draft(n: u32, clock: Option<u64>) -> Draft {
    let body = spl_kernel::json::Json::object([("n", i64::from(n).into())]);
    let draft = Draft::new("t", "did:sync:user:a", Act::Know, body).expect("a valid draft");
    Draft { clock, ..draft }
}

/// What became of each draft: `+clock` for a new record, `=position` for one that is there.
fn outcome(ledger: &Clocks, pending: &mut Pending, drafts: Vec<Draft>) -> Result<Vec<String>, Refusal> {
    let Ok(decided) = decide(drafts, 100, ledger, pending);
    let shown = |accepted: Accepted| match accepted {
        Accepted::New { record, .. } => format!("+{}", record.clock),
        Accepted::Stored { sequence } => format!("={sequence}"),
    };
    decided.map(|all| all.into_iter().map(shown).collect())
}

fn holding(clocks: &[(u64, u32)]) -> Clocks {
    let id = |clock, n| draft(n, None).id_at(clock).expect("an id");
    Clocks(clocks.iter().map(|(clock, n)| (*clock, (10 + clock, id(*clock, *n)))).collect())
}

#[test]
fn clocks_repeats_and_conflicts() {
    // Stored (clock, body); drafts (body, clock); what becomes of them, or the refused clock.
    type Case<'a> = (&'a [(u64, u32)], &'a [(u32, Option<u64>)], Result<&'a [&'a str], u64>);
    let cases: [Case<'_>; 13] = [
        (&[], &[(1, None)], Ok(&["+0"])),
        (&[], &[(1, None), (2, None)], Ok(&["+0", "+1"])),
        (&[(4, 9)], &[(1, None)], Ok(&["+5"])),
        (&[(4, 9)], &[(1, Some(2))], Ok(&["+2"])),
        (&[(4, 9)], &[(1, Some(9)), (2, None)], Ok(&["+9", "+10"])),
        (&[(4, 9)], &[(9, Some(4))], Ok(&["=14"])),
        (&[(4, 9)], &[(8, Some(4))], Err(4)),
        (&[], &[(1, Some(3)), (1, Some(3))], Ok(&["+3", "=100"])),
        (&[], &[(1, Some(3)), (2, Some(3))], Err(3)),
        (&[(4, 9)], &[(1, Some(7)), (8, Some(4))], Err(4)),
        (&[(4, 9)], &[(9, Some(4)), (1, None)], Ok(&["=14", "+5"])),
        (&[], &[(1, Some(CLOCK_MAX))], Ok(&["+9223372036854775807"])),
        (&[], &[(1, Some(5)), (2, None), (3, Some(6))], Err(6)),
    ];
    for (stored, drafts, expected) in cases {
        let drafts: Vec<Draft> = drafts.iter().map(|(n, clock)| draft(*n, *clock)).collect();
        let shown = format!("{stored:?} {drafts:?}");
        match (outcome(&holding(stored), &mut Pending::default(), drafts), expected) {
            (Ok(found), Ok(expected)) => assert_eq!(found, expected, "{shown}"),
            (Err(refusal), Err(clock)) => {
                assert_eq!(refusal.code, Code::IngestFailed, "{shown}");
                let start = format!("DuplicateClock: thread=t actor=did:sync:user:a clock={clock}");
                assert!(refusal.message.starts_with(&start), "{shown}: {}", refusal.message);
            }
            (found, expected) => panic!("{shown}: {found:?}, not {expected:?}"),
        }
    }
}

#[test]
fn a_clock_at_its_end_assigns_no_more() {
    let refusal = outcome(&holding(&[(CLOCK_MAX, 1)]), &mut Pending::default(), vec![draft(2, None)])
        .expect_err("there is no clock left");
    assert_eq!(refusal.code, Code::IngestFailed);
}

#[test]
fn commands_of_a_group_see_each_other_and_refused_ones_leave_nothing() {
    let (ledger, mut pending) = (Clocks::default(), Pending::default());
    assert_eq!(outcome(&ledger, &mut pending, vec![draft(1, Some(3))]), Ok(vec!["+3".into()]));
    assert!(pending.touches("t") && !pending.touches("u"));
    // All or nothing: clock 7 is free again after this.
    assert!(outcome(&ledger, &mut pending, vec![draft(2, Some(7)), draft(2, Some(3))]).is_err());
    assert_eq!(outcome(&ledger, &mut pending, vec![draft(3, Some(7))]), Ok(vec!["+7".into()]));
    assert_eq!(outcome(&ledger, &mut pending, vec![draft(1, Some(3))]), Ok(vec!["=100".into()]));
    assert_eq!(outcome(&ledger, &mut pending, vec![draft(4, None)]), Ok(vec!["+8".into()]));
}
