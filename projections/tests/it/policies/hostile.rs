//! Texts that bring down parsers, and trees that bring down interpreters.

use std::fmt::Write as _;

use spl_kernel::refusal::Code;
use spl_projections::policies::{EXPRESSION_BYTES_MAX, NESTING_MAX, Outcome, compile};

use super::{bounded, evaluate, joined};

/// Texts of up to the longest length that have brought down parsers of such languages.
fn hostile_texts() -> Vec<String> {
    let mut texts = nested_texts();
    texts.extend(chained_texts());
    texts.extend(disguised_texts());
    texts.extend(large_texts());
    texts
}

/// Brackets and the like, at the most levels, one more, and as many as there is room for.
fn nested_texts() -> Vec<String> {
    let most = EXPRESSION_BYTES_MAX;
    let mut texts = Vec::new();
    for unit in
        ["(", "[", "{", "!", "-", "?", ":", ".", "+", ",", "'", "\"", "`", "\\", "a?", "a[", "f(", "é"]
    {
        texts.push(unit.repeat(most / unit.len()));
    }
    for (open, leaf, close) in [
        ("(", "1", ")"),
        ("[", "1", "]"),
        ("{1:", "1", "}"),
        ("f(", "1", ")"),
        ("a[", "1", "]"),
        ("A{a:", "1", "}"),
        ("has(", "a.b", ")"),
        ("(!(-(a.b+", "1", ")))"),
        ("[1].all(x,", "true", ")"),
        ("[1].map(x,x>0,", "x", ")"),
        ("a?(", "a", "):a"),
        ("[1,", "2", "]"),
        ("", "1", "+(1"),
        ("", "a", ".a(a"),
    ] {
        for times in [NESTING_MAX, NESTING_MAX + 1, (most - leaf.len()) / (open.len() + close.len())] {
            texts.push(format!("{}{leaf}{}", open.repeat(times), close.repeat(times)));
        }
    }
    texts
}

/// Chains of operators, fields and calls.
fn chained_texts() -> Vec<String> {
    let mut texts = Vec::new();
    for (first, link) in [
        ("a", ".a"),
        ("a", "[0]"),
        ("a", ".f()"),
        ("[1]", ".map(x,x)"),
        ("1", "+1"),
        ("1", "*1"),
        ("1", "-1"),
        ("1", "==1"),
        ("a", " in a"),
        ("a", "&&a"),
        ("a", "||a"),
        ("a", "&&a||a"),
        ("a", "?a:a"),
        ("1", " 1"),
        ("'a'", "'a'"),
        ("true", "// (\n"),
    ] {
        texts.push(format!("{first}{}", link.repeat((EXPRESSION_BYTES_MAX - first.len()) / link.len())));
    }
    texts
}

/// Code that a careless look takes for a string or a remark, and the parser does not.
fn disguised_texts() -> Vec<String> {
    let mut texts = Vec::new();
    for (open, close) in [
        ("'\\q", "'"),
        ("'\\x0g", "'"),
        ("'\\400", "'"),
        ("`a//`", ""),
        ("rb'\\'a'", "'"),
        ("1r'\\'", "'"),
        ("1.5e1r'\\'", "'"),
        ("0x1r'\\'", "'"),
        ("'''\\'''", "'''"),
        ("r'''\\'''", "'''"),
        ("r'a\n", "'"),
        ("//\r", ""),
        ("/ /", "//"),
    ] {
        for unit in [".a", "[0]", "+1", "(", "[", "{1:"] {
            let times = (EXPRESSION_BYTES_MAX - open.len() - close.len() - 1) / unit.len();
            texts.push(format!("{open}a{}{close}", unit.repeat(times)));
        }
    }
    texts
}

/// Long literals, many items and costly patterns.
fn large_texts() -> Vec<String> {
    let most = EXPRESSION_BYTES_MAX;
    let wide = |open: &str, item: &str, close: &str| {
        let times = (most - open.len() - close.len()) / (item.len() + 1);
        format!("{open}{}{close}", joined(item, ",", times))
    };
    vec![
        wide("[", "1", "]"),
        wide("[", "[]", "]"),
        wide("{", "1:1", "}"),
        wide("f(", "a", ")"),
        "9".repeat(most),
        format!("1e{}", "9".repeat(most - 2)),
        format!("0x{}", "f".repeat(most - 2)),
        format!("'{}'", "a".repeat(most - 2)),
        format!("b'{}'", "\\377".repeat(most / 4 - 1)),
        format!("'''{}'''", "\n".repeat(most - 6)),
        "a".repeat(most),
        " ".repeat(most),
        format!("'a'.matches('{}')", "(".repeat(most - 15)),
        format!("'a'.matches('{}')", "(a*)*".repeat((most - 15) / 5)),
        format!("'a'.matches('{}')", "a{9}{9}{9}".repeat((most - 15) / 10)),
        format!("'a'.matches(r'{}')", "\\w\\W\\d".repeat((most - 16) / 6)),
        (0..180).fold("true".to_owned(), |mut text, n| {
            let _ = write!(text, "||''.matches('{n}')");
            text
        }),
    ]
}

#[test]
fn hostile_texts_are_refused_or_compiled_on_a_small_stack() {
    for text in hostile_texts() {
        assert!(text.len() <= EXPRESSION_BYTES_MAX, "{text}");
        let what = text.chars().take(40).collect();
        bounded(512, what, move || {
            if let Err(refusal) = compile(&text) {
                assert_eq!(refusal.code, Code::InvalidBody);
                assert!(refusal.message.chars().count() < 400, "{}", refusal.message);
            }
        });
    }
}

#[test]
fn deep_trees_over_deep_bodies_are_evaluated_on_a_small_stack() {
    let deep = format!("{{\"l\":{}0{}}}", "[".repeat(63), "]".repeat(63));
    for (expression, expected) in [
        (format!("record.body.l{} == []", "[0]".repeat(28)), Outcome::False),
        ("record.body == record.body && [record.body] == [record.body]".to_owned(), Outcome::True),
        (format!("{}1{} == 1", "[".repeat(30), "]".repeat(30)), Outcome::False),
        (format!("[1].all(x, {}x == 1{})", "true?(".repeat(14), "):true".repeat(14)), Outcome::True),
        (format!("[1].all(x, {} == 24)", joined("x", "+", 24)), Outcome::True),
    ] {
        let (what, body) = (expression.clone(), deep.clone());
        assert_eq!(bounded(768, what, move || evaluate(&expression, &body)), expected);
    }
}
