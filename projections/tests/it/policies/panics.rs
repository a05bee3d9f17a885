//! Nothing panics, not even where it would be caught.

use std::{cell::Cell, sync::Once};

use proptest::prelude::*;
use spl_projections::policies::compile;

use super::asked;

thread_local! {
    static PANICS: Cell<u32> = const { Cell::new(0) };
}

/// Counts the panics of each thread, those that are caught too.
fn count_panics() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let before = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |info| {
            PANICS.with(|panics| panics.set(panics.get() + 1));
            before(info);
        }));
    });
}

fn leaves() -> impl Strategy<Value = String> {
    prop::sample::select(vec![
        "1",
        "0",
        "-1",
        "2u",
        "0.5",
        "1e308",
        "5e-324",
        "9223372036854775807",
        "-9223372036854775808",
        "18446744073709551615u",
        "true",
        "false",
        "null",
        "''",
        "'é'",
        "b'\\377'",
        "'UTC'",
        "'+14:00'",
        "'-23:59'",
        "'America/New_York'",
        "'9223372036s'",
        "'-2562047h'",
        "'1e300h'",
        "record",
        "resource",
        "actor",
        "namespace",
        "scopes",
        "record.body",
        "record.body.l",
        "record.body.m",
        "record.body.s",
        "record.body.n",
        "record.clock",
        "now()",
        "current_actor()",
        "timestamp('0001-01-01T00:00:00Z')",
        "timestamp('9999-12-31T23:59:59.999Z')",
        "timestamp('2016-12-31T23:59:60Z')",
        "timestamp(0)",
        "duration('9223372036s')",
        "duration('-9223372036s')",
        "duration('1ns')",
        "int",
        "[]",
        "{}",
        "x",
    ])
    .prop_map(str::to_owned)
}

/// Expressions that mostly parse, of values at the edges of their ranges.
fn expressions() -> impl Strategy<Value = String> {
    leaves().prop_recursive(4, 24, 3, |inner| {
        let binary = prop::sample::select(vec![
            "+", "-", "*", "/", "%", "==", "!=", "<", "<=", ">", ">=", " in ", "&&", "||",
        ]);
        let global = prop::sample::select(vec![
            "size",
            "type",
            "dyn",
            "int",
            "uint",
            "double",
            "string",
            "bytes",
            "bool",
            "duration",
            "timestamp",
        ]);
        let member = prop::sample::select(vec![
            "contains",
            "startsWith",
            "endsWith",
            "getFullYear",
            "getMonth",
            "getDayOfYear",
            "getDayOfMonth",
            "getDate",
            "getDayOfWeek",
            "getHours",
            "getMinutes",
            "getSeconds",
            "getMilliseconds",
        ]);
        let comprehension = prop::sample::select(vec!["all", "exists", "exists_one", "map", "filter"]);
        let (a, b, c) = (inner.clone(), inner.clone(), inner.clone());
        prop_oneof![
            4 => (a.clone(), binary, b.clone()).prop_map(|(a, op, b)| format!("({a}{op}{b})")),
            2 => (global, a.clone()).prop_map(|(f, a)| format!("{f}({a})")),
            2 => (a.clone(), member.clone(), b.clone()).prop_map(|(a, f, b)| format!("({a}).{f}({b})")),
            2 => (a.clone(), member).prop_map(|(a, f)| format!("({a}).{f}()")),
            1 => (a.clone(), b.clone()).prop_map(|(a, b)| format!("({a})[{b}]")),
            1 => (a.clone(), b.clone(), c).prop_map(|(a, b, c)| format!("({a}?{b}:{c})")),
            1 => prop::collection::vec(a.clone(), 0..3).prop_map(|all| format!("[{}]", all.join(","))),
            1 => (a.clone(), b.clone()).prop_map(|(a, b)| format!("{{{a}:{b}}}")),
            1 => a.clone().prop_map(|a| format!("has(({a}).k)")),
            1 => a.clone().prop_map(|a| format!("(-{a}=={a})")),
            1 => a.clone().prop_map(|a| format!("({a}).matches('^[a-é]*$')")),
            2 => (a, comprehension, b).prop_map(|(a, f, b)| format!("({a}).{f}(x,{b})")),
        ]
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn no_expression_makes_anything_panic(expression in expressions()) {
        count_panics();
        let body = r#"{"l":[1,"a",null,{"k":1}],"m":{"k":"v","1":2},"n":1e300,"s":"2024-02-29T23:59:59Z"}"#;
        if let Ok(compiled) = compile(&expression) {
            let again = [(); 2].map(|()| asked(body, |question| compiled.evaluate(question)));
            prop_assert_eq!(again[0], again[1], "{}", expression);
        }
        prop_assert_eq!(PANICS.with(Cell::get), 0, "{}", expression);
    }

    #[test]
    fn no_text_makes_the_parser_panic(text in "[-+a-c0-9.,:?!(){}\\[\\]'\"\\\\/`&|<>=x ré_]{0,120}") {
        count_panics();
        let _ = compile(&text);
        prop_assert_eq!(PANICS.with(Cell::get), 0, "{}", text);
    }
}
