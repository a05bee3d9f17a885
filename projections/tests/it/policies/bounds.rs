//! What is refused at write and why, and each bound at its edge.

use spl_projections::policies::{
    COMPREHENSION_ITEMS_MAX, EXPRESSION_BYTES_MAX, NESTING_MAX, NODES_MAX, Outcome,
};

use super::{compiled, evaluate, joined, list_of, map_of, refused};

#[test]
fn refusals_say_why() {
    for (expression, part) in [
        ("", "empty"),
        (" // only a remark", "does not parse"),
        ("1 +", "line 1, column 4"),
        ("record.thread == 'x", "string that starts at byte 18"),
        (r"'\d' == ''", "byte 2 starts no escape sequence"),
        (r"'\u00g0' == ''", "no escape sequence"),
        ("(true", "not closed"),
        ("true)", "`)` at byte 5 closes nothing"),
        ("[1)", "closes nothing"),
        ("recrod.thread == 'x'", "no variable recrod"),
        ("record.treads == 'x'", "no field treads"),
        ("has(record.treads)", "no field treads"),
        ("namespac_ == 'x'", "no variable namespace"),
        (".record == null", "no variable .record"),
        ("x == 1 && [1].exists(x, x == 1)", "no variable x"),
        ("[1].exists(x, x == 1) && x == 1", "no variable x"),
        ("[x].exists(x, x == 1)", "no variable x"),
        ("record.thread.startswith('x')", "no function startswith"),
        ("startsWith(record.thread, 'x')", "cannot be called with 2 arguments"),
        ("record.thread.startsWith('x', 'y')", "called on a value with 2 arguments"),
        ("now(1) == now()", "cannot be called with 1 argument"),
        ("namespace('x')", "no function namespace"),
        ("[1].exists(x)", "no function exists"),
        ("[1].existsOne(x, y)", "y"),
        ("optional.of(1) == 1", "no function of"),
        ("record.?body == 1", "does not parse"),
        ("record.body[?'x'] == 1", "does not parse"),
        ("record.body.`a-b` == 1", "does not parse"),
        ("Foo{a: 1} == 1", "message types"),
        ("record{} == null", "message types"),
        ("record.thread.matches(record.actor)", "not a literal"),
        ("record.thread.matches('a' + 'b')", "not a literal"),
        ("matches(record.thread, record.actor)", "not a literal"),
        ("matches('a', 1)", "not a literal"),
        ("record.thread.matches('(')", "unclosed group"),
        ("record.thread.matches(r'\\w{1000}')", "too large"),
        ("record.thread.matches('(?:(?:x{1000}){1000}){1000}')", "too large"),
        ("if == 1", "reserved identifier: if"),
    ] {
        let message = refused(expression);
        assert!(message.contains(part), "{expression}: {message}");
        assert!(message.len() < 400, "{message}");
    }
}

#[test]
fn comprehensions_do_not_nest() {
    let inner = ["all(y, true)", "exists(y, true)", "exists_one(y, true)", "map(y, 1)", "filter(y, true)"];
    for one in inner {
        for expression in [
            format!("[1].all(x, [1].{one} == [1])"),
            format!("[1].exists(x, x == 1 && [x].{one} == 2)"),
            format!("[1].exists_one(x, {{'a': [1].{one}}}.a == 2)"),
            format!("[1].map(x, [1].{one}) == []"),
            format!("[1].map(x, [1].{one} == 1, x) == []"),
            format!("[1].filter(x, ([1].{one})[0] == 1) == []"),
            format!("dyn([1].{one}).all(x, true)"),
        ] {
            let message = refused(&expression);
            assert!(message.contains("inside another"), "{expression}: {message}");
        }
        compiled(&format!("[1].{one} == 1 && [2].{one} == 2"));
    }
}

#[test]
fn bounds_hold_at_their_edges() {
    let text = |bytes: usize| format!("resource == '{}'", "a".repeat(bytes - 14));
    assert_eq!(text(EXPRESSION_BYTES_MAX).len(), EXPRESSION_BYTES_MAX);
    compiled(&text(EXPRESSION_BYTES_MAX));
    assert!(refused(&text(EXPRESSION_BYTES_MAX + 1)).contains("4097 bytes"));

    // The nesting of what is written, and of the tree.
    type Nested = fn(usize) -> String;
    let nested: [(&str, Nested, usize); 10] = [
        ("parentheses", |n| format!("{}true{}", "(".repeat(n), ")".repeat(n)), NESTING_MAX),
        ("lists", |n| format!("{}1{}", "[".repeat(n - 1), "]".repeat(n - 1)), NESTING_MAX),
        ("maps", |n| format!("{}1{}", "{'':".repeat(n - 1), "}".repeat(n - 1)), NESTING_MAX),
        ("calls", |n| format!("{}1{}", "dyn(".repeat(n - 1), ")".repeat(n - 1)), NESTING_MAX),
        ("methods", |n| format!("'a'{}", ".size()".repeat(n - 1)), NESTING_MAX),
        ("indices", |n| format!("scopes{}", "[0]".repeat(n - 1)), NESTING_MAX),
        ("fields", |n| format!("scopes{}", ".a".repeat(n - 1)), NESTING_MAX),
        ("sums", |n| joined("1", "+", n), NESTING_MAX),
        ("comparisons", |n| joined("1", "==", n), NESTING_MAX),
        ("conditionals", |n| format!("{}true", "true?true:".repeat(n - 1)), NESTING_MAX),
    ];
    for (shape, make, most) in nested {
        compiled(&make(most));
        let message = refused(&make(most + 1));
        assert!(message.contains("nested deeper than 32"), "{shape}: {message}");
    }

    // A list of n literals has n + 1 nodes.
    let list = |nodes: usize| format!("[{}]", joined("1", ",", nodes - 1));
    compiled(&list(NODES_MAX));
    assert!(refused(&list(NODES_MAX + 1)).contains("more than 1000 nodes"));
    compiled(&joined("true", "&&", NODES_MAX / 2));
    assert!(refused(&joined("true", "&&", NODES_MAX / 2 + 1)).contains("more than 1000 nodes"));
}

#[test]
fn a_comprehension_goes_through_ten_thousand_items() {
    for (items, outcome) in
        [(COMPREHENSION_ITEMS_MAX, Outcome::True), (COMPREHENSION_ITEMS_MAX + 1, Outcome::OverBound)]
    {
        let (list, map) = (list_of(items), map_of(items));
        for expression in [
            "record.body.l.all(x, x >= 0)",
            "!record.body.l.exists(x, x == -1)",
            "record.body.l.exists_one(x, x == 9999)",
            "record.body.l.map(x, x + 1).size() > 1",
            "record.body.l.filter(x, x > 5).size() > 1",
            "record.body.l.exists(x, true)",
            // What absorbs an error does not absorb a bound.
            "record.body.l.exists(x, x == -1) || true",
            "true || record.body.l.exists(x, x == -1)",
        ] {
            let expected = if expression.starts_with("true") { Outcome::True } else { outcome };
            assert_eq!(evaluate(expression, &list), expected, "{expression} of {items}");
        }
        for expression in ["record.body.m.all(k, k != '')", "record.body.m.map(k, k).size() > 1"] {
            assert_eq!(evaluate(expression, &map), outcome, "{expression} of {items}");
        }
        // Only comprehensions are bounded: this is one operation.
        assert_eq!(evaluate(&format!("size(record.body.l) == {items}"), &list), Outcome::True);
        assert_eq!(evaluate("5 in record.body.l", &list), Outcome::True);
    }
}

#[test]
fn order_is_not_left_to_chance() {
    let body = r#"{"m":{"b":1,"a":2,"é":3,"c":4}}"#;
    for _ in 0..20 {
        for expression in [
            "record.body.m.map(k, k) == ['a', 'b', 'c', 'é']",
            "{'z': 1, 3: 1, 2u: 1, true: 1, 'y': 1}.map(k, k) == [true, 2u, 3, 'y', 'z']",
        ] {
            assert_eq!(evaluate(expression, body), Outcome::True, "{expression}");
        }
        // The interpreter would add the keys, in any order.
        for expression in ["[1] + {'a': 1, 'b': 2} != []", "scopes + record.body.m != []"] {
            assert_eq!(evaluate(expression, body), Outcome::Failed, "{expression}");
        }
    }
}
