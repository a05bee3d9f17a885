//! What expressions see, and what rules decide.

use spl_kernel::refusal::Code;
use spl_kernel::time::UnixMillis;
use spl_projections::policies::{
    Action, COMPREHENSION_ITEMS_MAX, ENABLED_RULES_MAX, Failures, Outcome, Question, RecordView, Resource,
    RuleSet, RuleSource, Verdict,
};

use super::{NOW, asked, compiled, evaluate, list_of, rule};

fn rules(sources: &[(&str, Action, i64, &str)]) -> RuleSet {
    sources.iter().fold(RuleSet::default(), |set, (name, action, priority, expression)| {
        set.with(rule(name, *action, *priority, expression)).expect("a valid rule")
    })
}

fn shown(verdict: Verdict) -> String {
    match verdict {
        Verdict::Allowed { rule } => format!("+{rule}"),
        Verdict::Denied { rule } => format!("-{}", rule.unwrap_or_default()),
    }
}

#[test]
fn what_expressions_see() {
    let body = r#"{"big":123456789012345678901234567890,"f":1.5,"i":7,"l":[1,"a",null,true],"max":9223372036854775807,"min":-9223372036854775808,"o":{"k":"v"},"over":9223372036854775808,"s":"héllo"}"#;
    for expression in [
        "resource == 'record_write' && namespace == 'team/build' && actor == 'did:sync:user:a'",
        "current_actor() == actor && current_actor() != record.actor",
        "'records:write' in scopes && scopes.exists(s, s.startsWith('thread:th_a:'))",
        "now() == timestamp('2025-06-15T15:06:40.123Z') && now().getFullYear() == 2025",
        "now() - timestamp('2025-06-15T15:06:39.123Z') == duration('1s')",
        "now().getHours('Europe/Berlin') == 17 && now().getDayOfWeek() == 0",
        "record.thread == 'th_work' && record.act == 'KNOW' && record.data_type == 'SCALAR'",
        "record.clock == 3 && type(record.clock) == int && record.judged_by == null",
        "record.parents == ['0707070707070707070707070707070707070707070707070707070707070707']",
        "type(record.body.i) == int && record.body.i == 7 && record.body.i == 7.0",
        "type(record.body.max) == int && record.body.max == 9223372036854775807",
        "type(record.body.min) == int && record.body.min < -9223372036854775807",
        "type(record.body.over) == double && record.body.over == 9223372036854775808.0",
        "type(record.body.big) == double && record.body.big > 1.2e29",
        "type(record.body.f) == double && record.body.f == 1.5",
        "record.body.l == [1, 'a', null, true] && record.body.l[1] == 'a' && size(record.body.l) == 4",
        "record.body.o == {'k': 'v'} && record.body.o.k == 'v' && record.body['o']['k'] == 'v'",
        "record.body.s.size() == 5 && record.body.s.matches('^h.llo$') && matches(record.body.s, r'l{2}')",
        "has(record.body.o) && !has(record.body.x) && has(record.body.o.k) && !('x' in record.body)",
        "record.body.x == 1 || true",
        "!(record.body.x == 1 && false)",
        "[3, 1].map(x, x * 2) == [6, 2] && [1, 2, 3].filter(x, x > 1) == [2, 3]",
        "[1, 2].all(x, x > 0) && [1, 2].exists_one(x, x == 2) && !['a'].exists(x, x == 'b')",
        "['a'].exists(namespace, namespace == 'a') && ['a'].exists(record, record == 'a')",
        "['a'].exists(actor, actor == 'a' && current_actor() == 'did:sync:user:a')",
        "record.body.s + '!' == 'héllo!' && [1] + [2] == [1, 2] && string(record.body.i) == '7'",
        r"'\x41\u0042\U00000043\104\n' == 'ABCD\n' && r'\d' == '\\d' && b'\xff' == b'\377' && br'\x' == b'\\x'",
        r#"1e3 == 1000.0 && .5 == 0.5 && 0x1Fu == 31u && 1.5E-1 == 0.15 && '''it's "so"''' == 'it\'s "so"'"#,
        "1 == 1.0 && 1u == 1 && [1, 2u] == [1.0, 2] && {1: 'a'} == {1u: 'a'} && {'a': [1]} == {'a': [1.0]}",
        "1 != '1' && [1] != [[1]] && {'a': 1} != {'b': 1} && {'a': 1} != {'a': 2} && [1, 2] != [1]",
        "null != 0 && '1' != b'1' && [] != {} && timestamp(0) != duration('0') && int != string && int == int",
        "1.0 in [1] && [1] in [[1.0]] && 1u in {1: 2} && !('1' in [1]) && b'a' + b'b' == b'ab'",
        "record.body.l.map(x, type(x)) == [int, string, null_type, bool] // a remark ((((",
    ] {
        assert_eq!(evaluate(expression, body), Outcome::True, "{expression}");
    }
}

#[test]
fn without_a_record_or_an_actor_there_is_null() {
    let question = Question {
        resource: Resource::ConfigWrite,
        actor: None,
        namespace: "default",
        scopes: &[],
        record: None,
        now: NOW,
    };
    for (expression, expected) in [
        ("record == null && actor == null && current_actor() == null && scopes == []", Outcome::True),
        ("resource == 'record_write' && record.thread == 'x'", Outcome::False),
        ("record.thread == 'x'", Outcome::Failed),
        ("record.body.x == 1", Outcome::Failed),
        ("has(record.body)", Outcome::Failed),
    ] {
        assert_eq!(compiled(expression).evaluate(&question), expected, "{expression}");
    }
    let unassigned = asked("{}", |question| {
        let record = question.record.map(|record| RecordView { clock: None, ..record });
        compiled("record.clock == null").evaluate(&Question { record, ..*question })
    });
    assert_eq!(unassigned, Outcome::True);
}

#[test]
fn a_body_that_is_none_fails_only_what_reads_it() {
    let set = rules(&[
        ("thread", Action::Deny, 3, "record.thread == 'other'"),
        ("body", Action::Allow, 2, "record.body == null"),
        ("rest", Action::Allow, 1, "true"),
    ]);
    asked("{", |question| assert_eq!(shown(set.decide(question)), "+rest"));
    let failures: Vec<_> = set.iter().map(|rule| rule.failures().failed).collect();
    assert_eq!(failures, [0, 1, 0]);
}

#[test]
fn every_resource_is_named() {
    let names: Vec<_> = Resource::ALL.iter().map(|resource| resource.as_str()).collect();
    let expected = "record_write record_read thread_read thread_write config_read config_write \
                    service_account token invite federation";
    assert_eq!(names.join(" "), expected);
    for resource in Resource::ALL {
        let expression = format!("resource == '{}'", resource.as_str());
        asked("{}", |question| {
            let question = Question { resource, ..*question };
            assert_eq!(compiled(&expression).evaluate(&question), Outcome::True);
        });
    }
}

#[test]
fn the_first_rule_that_is_true_decides() {
    use Action::{Allow, Deny};
    type Case<'a> = (&'a [(&'a str, Action, i64, &'a str)], &'a str);
    let cases: [Case<'_>; 15] = [
        (&[], "-"),
        (&[("a", Allow, 0, "true")], "+a"),
        (&[("a", Deny, 0, "true")], "-a"),
        (&[("a", Allow, 0, "false")], "-"),
        // Higher first, whatever came first.
        (&[("a", Allow, 1, "true"), ("b", Deny, 2, "true")], "-b"),
        (&[("b", Deny, -2, "true"), ("a", Allow, -1, "true")], "+a"),
        (&[("a", Allow, i64::MAX, "true"), ("b", Deny, i64::MIN, "true")], "+a"),
        // Ties by name.
        (&[("b", Deny, 1, "true"), ("a", Allow, 1, "true")], "+a"),
        (&[("a", Deny, 1, "true"), ("B", Allow, 1, "true")], "+B"),
        // A rule that fails, has no boolean or passes its bound.
        (&[("a", Deny, 2, "record.body.x == 1"), ("b", Allow, 1, "true")], "-a"),
        (&[("a", Allow, 2, "record.body.x == 1"), ("b", Deny, 1, "true")], "-b"),
        (&[("a", Deny, 2, "1 + 1"), ("b", Allow, 1, "true")], "-a"),
        (&[("a", Allow, 2, "'true'"), ("b", Allow, 1, "true")], "+b"),
        (&[("a", Deny, 2, "record.body.l.exists(x, false)"), ("b", Allow, 1, "true")], "-a"),
        (&[("a", Allow, 2, "record.body.l.exists(x, true)"), ("b", Allow, 1, "true")], "+b"),
    ];
    let body = list_of(COMPREHENSION_ITEMS_MAX + 1);
    for (sources, expected) in cases {
        asked(&body, |question| {
            assert_eq!(shown(rules(sources).decide(question)), expected, "{sources:?}");
            let turned: Vec<_> = sources.iter().rev().copied().collect();
            assert_eq!(shown(rules(&turned).decide(question)), expected, "{turned:?}");
        });
    }
}

#[test]
fn rules_are_replaced_by_name_and_disabled() {
    let set = rules(&[("a", Action::Deny, 5, "true"), ("b", Action::Allow, 1, "true")]);
    let decided = |set: &RuleSet| asked("{}", |question| shown(set.decide(question)));
    assert_eq!(decided(&set), "-a");
    let disabled = set.with(RuleSource { enabled: false, ..rule("a", Action::Deny, 5, "true") });
    let disabled = disabled.expect("a valid rule");
    assert_eq!((decided(&disabled), disabled.iter().len()), ("+b".to_owned(), 2));
    assert_eq!(decided(&set), "-a", "a set does not change");
    let lowered = set.with(rule("a", Action::Deny, 0, "true")).expect("a valid rule");
    assert_eq!((decided(&lowered), lowered.iter().len()), ("+b".to_owned(), 2));
    let names: Vec<_> = lowered.iter().map(|rule| rule.source().name.as_str()).collect();
    assert_eq!(names, ["b", "a"]);
    assert!(disabled.with(RuleSource { enabled: false, ..rule("c", Action::Deny, 5, "no") }).is_err());
    assert_ne!(set, lowered);
    assert_eq!(set, rules(&[("b", Action::Allow, 1, "true"), ("a", Action::Deny, 5, "true")]));
    assert_eq!(
        serde_json::to_string(&set).expect("plain data"),
        r#"[{"name":"a","action":"deny","priority":5,"expression":"true","enabled":true},{"name":"b","action":"allow","priority":1,"expression":"true","enabled":true}]"#
    );
}

#[test]
fn at_most_a_hundred_rules_are_enabled() {
    let mut set = RuleSet::default();
    for n in 0..ENABLED_RULES_MAX {
        set = set.with(rule(&format!("r{n}"), Action::Allow, 0, "true")).expect("within the limit");
    }
    let one_more = rule("more", Action::Allow, 0, "true");
    let refusal = set.with(one_more.clone()).expect_err("over the limit");
    assert_eq!(refusal.code, Code::InvalidBody);
    assert!(set.with(rule("r5", Action::Deny, 0, "true")).is_ok(), "a replacement adds none");
    let set = set.with(RuleSource { enabled: false, ..one_more.clone() }).expect("a disabled rule");
    assert!(set.with(one_more).is_err(), "enabling it adds one");
}

#[test]
fn failures_are_counted_across_clones() {
    let set = rules(&[
        ("missing", Action::Allow, 3, "record.body.x == 1"),
        ("many", Action::Allow, 2, "record.body.l.exists(x, false)"),
        ("fine", Action::Allow, 1, "true"),
    ]);
    let clone = set.clone();
    let body = list_of(COMPREHENSION_ITEMS_MAX + 1);
    std::thread::scope(|scope| {
        for set in [&set, &clone] {
            scope.spawn(|| {
                asked(&body, |question| {
                    for _ in 0..5 {
                        assert!(set.decide(question).is_allowed());
                    }
                });
            });
        }
    });
    let counted: Vec<_> = set.iter().map(|rule| rule.failures()).collect();
    let failures = |failed, over_bound| Failures { failed, over_bound };
    assert_eq!(counted, [failures(10, 0), failures(0, 10), failures(0, 0)]);
    assert_eq!(
        set,
        rules(&[
            ("missing", Action::Allow, 3, "record.body.x == 1"),
            ("many", Action::Allow, 2, "record.body.l.exists(x, false)"),
            ("fine", Action::Allow, 1, "true"),
        ]),
        "counts are no part of it"
    );
}

/// The rules of `docs/permission-rules.md`.
#[test]
fn documented_rules_do_what_is_said() {
    let page = include_str!("../../../../docs/permission-rules.md");
    let mut set = RuleSet::default();
    for command in page.split("spl config add-permission-rule ").skip(1) {
        let field = |flag: &str| {
            let (_, rest) = command.split_once(&format!("--{flag} ")).expect("a flag");
            let quoted = rest.strip_prefix('"').map(|rest| rest.split_once('"').expect("a quote").0);
            quoted.unwrap_or_else(|| rest.split_whitespace().next().expect("a value")).to_owned()
        };
        let action = Action::parse(&field("action")).expect("an action");
        let source = rule(&field("name"), action, 0, &field("expression"));
        let source = RuleSource { priority: field("priority").parse().expect("a number"), ..source };
        set = set.with(source).expect("a valid rule");
    }
    let names: Vec<_> = set.iter().map(|rule| rule.source().name.as_str()).collect();
    assert_eq!(names, ["operators", "no-secrets", "team-threads", "weekdays", "readers", "approvals"]);
    let operator = Some("did:sync:user:operator");
    asked(r#"{"kind":"note","api_key":"x"}"#, |q| {
        assert_eq!(shown(set.decide(q)), "-no-secrets");
        assert_eq!(shown(set.decide(&Question { actor: operator, ..*q })), "+operators");
        assert_eq!(shown(set.decide(&Question { resource: Resource::RecordRead, ..*q })), "+readers");
        let config = Question { resource: Resource::ConfigWrite, record: None, ..*q };
        assert_eq!(shown(set.decide(&config)), "-");
        assert_eq!(shown(set.decide(&Question { actor: operator, ..config })), "+operators");
    });
    let on = |thread: &'static str, body: &str, now: &str| {
        asked(body, |q| {
            let record = q.record.map(|record| RecordView { thread, ..record });
            let now = if now == "sunday" { NOW } else { UnixMillis(NOW.0 + 86_400_000) };
            shown(set.decide(&Question { record, now, ..*q }))
        })
    };
    assert_eq!(on("th_team_build", "{}", "sunday"), "+team-threads");
    assert_eq!(on("th_team_B", "{}", "sunday"), "-");
    assert_eq!(on("th_work", "{}", "monday"), "+weekdays");
    assert_eq!(
        on("th_work", r#"{"approved_by":["did:sync:user:a","did:sync:user:b"]}"#, "sunday"),
        "+approvals"
    );
    assert_eq!(on("th_work", r#"{"approved_by":["did:sync:user:b"]}"#, "sunday"), "-");
    assert!(set.iter().all(|rule| rule.failures() == Failures::default()), "guarded rules do not fail");
}
