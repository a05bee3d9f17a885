//! What evaluation may cost.

use spl_projections::policies::{COMPREHENSION_ITEMS_MAX, Outcome};

use super::{bounded, evaluate, joined, list_of};

/// Expressions that would take minutes, or gigabytes, if only steps were counted.
#[test]
fn work_is_bounded_by_what_data_weighs() {
    use Outcome::{Failed, False, OverBound};
    let ints = list_of(COMPREHENSION_ITEMS_MAX);
    // A copy of it takes milliseconds.
    let pairs: Vec<_> = (0..9000).map(|n| format!(r#""k{n:05}":[{n}]"#)).collect();
    let heavy = format!(r#"{{"l":[{}],"w":[{{{}}}]}}"#, joined("0", ",", 9000), pairs.join(","));
    let hours = format!(r#"{{"s":"{}"}}"#, "1h".repeat(120_000));
    let text = format!(r#"{{"l":[{}],"s":"{}"}}"#, joined("0", ",", 9000), "ab".repeat(120_000));
    let sum = |times| (0..times).fold("record.body.s".to_owned(), |sum, _| format!("({sum}+{sum})"));
    let cases = [
        // Each element against the whole body.
        ("record.body.l.all(x, record.body == record.body)".to_owned(), &ints, OverBound),
        ("record.body.l.all(x, x in record.body.l)".to_owned(), &ints, OverBound),
        ("record.body.l.exists(x, [record.body] == [x])".to_owned(), &ints, OverBound),
        // Of each of these the interpreter makes an error with a copy of the whole body, and puts it off to
        // the end of the loop or drops it at once.
        ("record.body.l.exists(x, record.body + 1 == 1)".to_owned(), &heavy, Failed),
        ("record.body.l.exists(x, record.body < 1)".to_owned(), &heavy, Failed),
        ("record.body.l.exists(x, now() + record.body == 1)".to_owned(), &heavy, Failed),
        ("record.body.l.exists(x, now() - record.body == 1)".to_owned(), &heavy, Failed),
        ("record.body.l.exists(x, record.body.l[x == 0 ? 0.5 : 1.5])".to_owned(), &heavy, Failed),
        ("record.body.l.exists(x, {true: 1}[record.body.l])".to_owned(), &heavy, Failed),
        ("record.body.l.exists(x, {record.body: 1} == {})".to_owned(), &heavy, Failed),
        ("record.body.l.exists(x, record.body in {})".to_owned(), &heavy, Failed),
        ("record.body.l.exists(x, x == record.body)".to_owned(), &heavy, False),
        ("record.body in record.body.l".to_owned(), &heavy, False),
        ("record.body.s in record.body.l".to_owned(), &text, False),
        // Long texts, copied, searched and measured.
        ("record.body.l.map(x, record.body.s + record.body.s).size() == 1".to_owned(), &text, OverBound),
        ("record.body.l.map(x, record.body.s).size() == 1".to_owned(), &text, OverBound),
        ("record.body.l.all(x, size(record.body.s) > 5)".to_owned(), &text, OverBound),
        ("record.body.l.all(x, !record.body.s.contains('bbb'))".to_owned(), &text, OverBound),
        ("record.body.l.all(x, record.body.s < record.body.s || true)".to_owned(), &text, OverBound),
        ("record.body.l.all(x, int(record.body.s) == 1 || true)".to_owned(), &text, OverBound),
        ("[1, 2, 3, 4, 5].all(n, duration(record.body.s) == now() || true)".to_owned(), &hours, OverBound),
        (format!("size({}) > 1", sum(7)), &text, OverBound),
        // Patterns without a literal to search for first.
        ("record.body.s.matches('[ab]*a[ab]{60}c')".to_owned(), &text, OverBound),
        (
            "record.body.l.exists(x, record.thread.matches('[a-z_]*k[a-z_]{200}c'))".to_owned(),
            &ints,
            OverBound,
        ),
        // Many nodes for each of many items.
        (format!("record.body.l.all(x, {})", joined("x == x", " && ", 240)), &ints, OverBound),
        (format!("record.body.l.exists(x, {})", joined("record.body.z == 1", " || ", 150)), &ints, OverBound),
        (format!("record.body.l.map(x, [{}]).size() == 1", joined("x", ",", 900)), &ints, OverBound),
        (
            format!("record.body.l.filter(x, x in [{}]).size() == 1", joined("'a'", ",", 900)),
            &ints,
            OverBound,
        ),
        (format!("record.body.l.exists_one(x, {})", joined("x == -1", " || ", 240)), &ints, OverBound),
        // A name that hides a small variable, and items that are large.
        (
            format!("[record.body.s].exists(actor, {})", joined("actor.contains('zz')", " || ", 150)),
            &text,
            OverBound,
        ),
        (joined("record.body.w.all(x, true)", " && ", 50), &heavy, OverBound),
        // Having run out is not hidden by what absorbs errors.
        ("record.body.l.all(x, record.body == record.body) || true".to_owned(), &ints, OverBound),
        ("!(record.body.l.all(x, record.body == record.body) && false)".to_owned(), &ints, OverBound),
    ];
    for (expression, body, expected) in cases {
        let (what, run, body) = (expression.clone(), expression.clone(), body.clone());
        let outcome = bounded(2048, what, move || evaluate(&run, &body));
        assert_eq!(outcome, expected, "{expression}");
    }
}

/// What a rule of ordinary size does with the largest data stays within its bound.
#[test]
fn ordinary_rules_have_room() {
    let ints = list_of(COMPREHENSION_ITEMS_MAX);
    let items: Vec<_> = (0..COMPREHENSION_ITEMS_MAX).map(|n| format!(r#""item {n:05}""#)).collect();
    let texts = format!(r#"{{"t":[{}]}}"#, items.join(","));
    let text = format!(r#"{{"s":"{}"}}"#, "ab".repeat(130_000));
    for (expression, body) in [
        ("record.body == record.body && [record.body] != []", &ints),
        ("record.body.l.all(x, type(x) == int && x >= 0 && x < 10000 && x != -5)", &ints),
        ("record.body.l.filter(x, x % 2 == 0).size() == 5000", &ints),
        (
            "record.body.s.matches('^[ab]+$') && !record.body.s.contains('c') && size(record.body.s) == 260000",
            &text,
        ),
        ("[1, 2, 3, 4, 5, 6, 7, 8].all(n, !record.body.s.endsWith('aa'))", &text),
        (r"record.thread.matches(r'^\w+$') && record.actor.matches(r'^did:sync:user:[a-z]+$')", &ints),
        // In time that grows with the items and not with their square.
        (
            "record.body.t.map(x, x).size() + record.body.t.filter(x, true).size() + record.body.t.map(x, x).size() \
             == 30000",
            &texts,
        ),
    ] {
        let (run, body) = (expression.to_owned(), body.clone());
        let outcome = bounded(2048, expression.to_owned(), move || evaluate(&run, &body));
        assert_eq!(outcome, Outcome::True, "{expression}");
    }
}
