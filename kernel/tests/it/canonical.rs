//! Canonical JSON and the strict parser before it.

use proptest::prelude::*;
use spl_fixtures::strategies;
use spl_kernel::{
    canonical::{TooLong, Writer, canonical},
    json::{Bounds, Json, Number},
    limits,
};

use crate::support::{BODY, cases, parse};

const LIMIT: usize = 1 << 20;

fn form(text: &str) -> String {
    canonical(&parse(text), LIMIT).unwrap()
}

fn refusal(text: &str) -> String {
    match Json::parse(text.as_bytes(), BODY) {
        Ok(value) => panic!("{text:?} was accepted as {value:?}"),
        Err(error) => error.reason,
    }
}

#[test]
fn canonical_forms() {
    let table = [
        (" { \"z\" : 1 , \"a\" : [ 3 , 1 , 2 ] } ", r#"{"a":[3,1,2],"z":1}"#),
        (r#"{"b":{"z":1,"a":2},"a":1}"#, r#"{"a":1,"b":{"a":2,"z":1}}"#),
        ("[]", "[]"),
        ("{}", "{}"),
        ("true", "true"),
        ("false", "false"),
        ("null", "null"),
        ("-0", "0"),
        ("-0.0", "0"),
        ("0e400", "0"),
        ("42.0", "42"),
        ("1E2", "100"),
        ("-1.5E+1", "-15"),
        ("9223372036854775808", "9223372036854775808"),
        ("-9223372036854775809", "-9223372036854775809"),
        ("0.1", "0.1"),
        ("0.00009999999999999999", "9.999999999999999e-05"),
        ("1e-100", "1e-100"),
        ("123456789.125", "123456789.125"),
        ("9007199254740991.5", "9007199254740992"),
        ("4503599627370495.5", "4503599627370495.5"),
        // Two shortest forms are equally near: Python takes the even one.
        ("2061377293555454.25", "2061377293555454.2"),
        ("2061377293555454.75", "2061377293555454.8"),
        // The nearest 16 digits do not round-trip at this power of two.
        ("5.684341886080801e-14", "5.684341886080801e-14"),
        ("5.6843418860808015e-14", "5.684341886080802e-14"),
        (r#""\/\u0041\u00E9""#, "\"/Aé\""),
        (r#""\u001f\u007f\u0080""#, "\"\\u001f\u{7f}\u{80}\""),
        (r#""\"\\\b\f\n\r\t""#, r#""\"\\\b\f\n\r\t""#),
        (r#""e\u0301""#, "\"e\u{301}\""),
    ];
    for (text, expected) in table {
        assert_eq!(form(text), expected, "{text}");
    }
}

#[test]
fn integers_keep_every_digit() {
    for digits in [20, 100, 308, 309] {
        let text = format!("1{}7", "0".repeat(digits - 2));
        assert_eq!(form(&text), text);
        assert_eq!(form(&format!("-{text}")), format!("-{text}"));
    }
    // Half way between the largest double and the next: the first that does not fit.
    let largest = canonical(&Json::Number(Number::Float(f64::MAX)), LIMIT).unwrap();
    assert_eq!(largest.len(), 309);
    assert_eq!(form(&largest), largest);
    assert_eq!(refusal(&"9".repeat(309)), "a number does not fit a double");
    assert_eq!(refusal(&"1".repeat(310)), "a number does not fit a double");
    assert_eq!(refusal("1e309"), "a number does not fit a double");
    assert_eq!(refusal("-1.8e308"), "a number does not fit a double");
}

#[test]
fn departures_from_json_are_refused() {
    let texts = [
        "",
        " ",
        "01",
        "-",
        "+1",
        ".5",
        "1.",
        "1e",
        "0x1",
        "1_0",
        "NaN",
        "Infinity",
        "-Infinity",
        "nul",
        "True",
        "'a'",
        "\"a",
        "\"\\x\"",
        "\"\\u12\"",
        "\"\t\"",
        "[1,]",
        "[,1]",
        "[1 2]",
        "[",
        "]",
        "{\"a\"}",
        "{\"a\":}",
        "{\"a\":1,}",
        "{a:1}",
        "{1:2}",
        "{\"a\":1 \"b\":2}",
        "1 2",
        "[]]",
        "// c\n1",
        "\u{feff}1",
        "\u{a0}1",
        "{\"a\":1,\"a\":2}",
        "{\"a\":1,\"\\u0061\":2}",
        "\"\\ud800\"",
        "\"\\udc00\"",
        "\"\\ud800\\u0041\"",
        "\"\\ud800x\"",
        "{\"\\udfff\":1}",
    ];
    for text in texts {
        let _ = refusal(text);
    }
    for bytes in [&b"\"\xff\""[..], b"\xc0\x80", b"\"\xed\xa0\x80\"", b"\xff\xfe1\x00"] {
        assert!(Json::parse(bytes, BODY).is_err(), "{bytes:?}");
    }
}

#[test]
fn an_error_says_where() {
    let error = Json::parse(b"[1, 2, x]", BODY).unwrap_err();
    assert_eq!((error.offset, error.to_string().as_str()), (7, "expected a JSON value at byte 7"));
}

/// A key of a megabyte must not come back as a message of megabytes.
#[test]
fn an_error_quotes_little() {
    let key = "\u{200b}".repeat(300_000);
    let reason = refusal(&format!("{{\"{key}\":1,\"{key}\":2}}"));
    assert!(reason.starts_with("duplicate key") && reason.len() < 1000, "{} bytes", reason.len());
}

#[test]
fn nesting_is_bounded_at_64_levels() {
    let nested = |levels: usize| format!("{}0{}", "[".repeat(levels), "]".repeat(levels));
    assert_eq!(form(&nested(64)), nested(64));
    assert_eq!(refusal(&nested(65)), "nested deeper than 64 levels");
    let objects = |levels: usize| format!("{}0{}", "{\"a\":".repeat(levels), "}".repeat(levels));
    assert_eq!(form(&objects(64)), objects(64));
    assert_eq!(refusal(&objects(65)), "nested deeper than 64 levels");
    // Levels are left again: many neighbours are not deep.
    let wide = format!("[{}]", vec![nested(63); 100].join(","));
    assert_eq!(form(&wide), wide);
}

#[test]
fn the_number_of_values_is_bounded() {
    let bounds = Bounds { levels: 4, values: 4 };
    assert!(Json::parse(b"[1,2,3]", bounds).is_ok());
    assert_eq!(Json::parse(b"[1,2,3,4]", bounds).unwrap_err().reason, "more than 4 values");
    assert_eq!(Json::parse(b"{\"a\":[1,2],\"b\":3}", bounds).unwrap_err().reason, "more than 4 values");
}

/// The bound on values refuses nothing that would fit the bound on bytes.
#[test]
fn the_densest_body_is_accepted() {
    let elements = limits::BODY_BYTES_MAX / 2 - 5;
    let text = format!(r#"{{"a":[{}0]}}"#, "0,".repeat(elements));
    let value = parse(&text);
    assert_eq!(canonical(&value, limits::BODY_BYTES_MAX).unwrap().len(), text.len());
}

#[test]
fn canonical_text_is_bounded_while_it_is_written() {
    let limit = 10_000;
    let many = Json::Array(vec![Json::Number(Number::Float(1e308)); 100_000]);
    assert_eq!(canonical(&many, limit), Err(TooLong { limit_bytes: limit }));
    let mut text = String::from("what was there");
    let before = text.len();
    assert!(Writer::after(&mut text, limit).value(&many).is_err());
    let more = text.len() - before;
    assert!(
        (limit..=limit + 310).contains(&more),
        "the buffer passes its bound by one scalar at most: {more}"
    );
    let exact = Json::String("x".repeat(98));
    assert_eq!(canonical(&exact, 100).unwrap().len(), 100);
    assert!(canonical(&exact, 99).is_err());
}

/// Crates with arbitrary precision mark numbers by such keys, which a sender could then forge.
#[test]
fn marker_keys_are_plain_keys() {
    for key in ["$serde_json::private::Number", "$serde_json::private::RawValue", "$toml::private"] {
        let text = format!(r#"{{"{key}":"1e400"}}"#);
        assert_eq!(form(&text), text);
        assert!(parse(&text).as_object().is_some());
    }
}

#[test]
fn object_members_are_found() {
    let value = parse(r#"{"b":"x","a":2.0,"c":true,"é":[1],"d":null}"#);
    let object = value.as_object().unwrap();
    assert_eq!(object.str("b"), Some("x"));
    assert_eq!(object.get("a").and_then(Json::as_i64), Some(2));
    assert_eq!(object.get("c").and_then(Json::as_bool), Some(true));
    assert_eq!(object.get("é").and_then(Json::as_array).map(<[Json]>::len), Some(1));
    assert_eq!((object.get("d"), object.get("e")), (Some(&Json::Null), None));
    assert_eq!(object.iter().map(|(key, _)| key).collect::<Vec<_>>(), ["a", "b", "c", "d", "é"]);
    assert_eq!(Json::from(i64::MAX).as_i64(), Some(i64::MAX));
    assert_eq!(parse("9223372036854775807.0").as_i64(), None, "as a double this is 2^63");
    assert_eq!(parse("-9223372036854775808.0").as_i64(), Some(i64::MIN));
    assert_eq!(parse("2.5").as_i64(), None);
}

/// Deep, wide and endless texts end early: each is refused long before its eight megabytes are held as values.
#[test]
fn hostile_texts_are_refused_early() {
    let size = 8 << 20;
    assert_eq!(refusal(&"[".repeat(size)), "nested deeper than 64 levels");
    assert_eq!(refusal(&"{\"a\":".repeat(size / 5)), "nested deeper than 64 levels");
    let values = format!("more than {} values", limits::BODY_VALUES_MAX);
    assert_eq!(refusal(&format!("[{}", "1,".repeat(size / 2))), values);
    assert_eq!(refusal(&format!("[{}", "[],".repeat(size / 3))), values);
    assert_eq!(refusal(&"1".repeat(size)), "a number does not fit a double");
    assert_eq!(refusal(&format!("\"{}", "a".repeat(size))), "a string does not end");
    assert_eq!(refusal(&format!("0.{}x", "0".repeat(size))), "unexpected text after the JSON value");
    // A valid number of any length is one number.
    assert_eq!(form(&format!("0.5{}", "0".repeat(size))), "0.5");
    assert_eq!(form(&format!("1e-{}", "9".repeat(size))), "0");
}

proptest! {
    #![proptest_config(cases(400))]

    #[test]
    fn canonical_text_is_its_own_canonical_form(value in strategies::json()) {
        let once = canonical(&value, LIMIT).unwrap();
        let parsed = Json::parse(once.as_bytes(), BODY).unwrap();
        prop_assert_eq!(canonical(&parsed, LIMIT).unwrap(), once);
    }

    /// A second opinion on structure and escapes; numbers are the published client's to judge.
    #[test]
    fn canonical_text_means_the_same_to_another_parser(value in strategies::json()) {
        let text = canonical(&value, LIMIT).unwrap();
        let other: serde_json::Value = serde_json::from_str(&text).unwrap();
        prop_assert!(same(&value, &other), "{} is not {:?}", text, value);
    }

    #[test]
    fn a_bound_is_kept_or_reported(value in strategies::json(), limit in 0_usize..300) {
        let whole = canonical(&value, LIMIT).unwrap();
        match canonical(&value, limit) {
            Ok(text) => prop_assert!(text == whole && text.len() <= limit),
            Err(_) => prop_assert!(whole.len() > limit),
        }
    }

    #[test]
    fn any_bytes_parse_or_are_refused(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        let _ = Json::parse(&bytes, BODY);
    }

    /// Bytes that are nearly JSON reach further into the parser.
    #[test]
    fn nearly_json_parses_or_is_refused(text in "[\\[\\]{}:,\"\\\\u0-9a-fd8 .eE+-]{0,60}") {
        if let Ok(value) = Json::parse(text.as_bytes(), BODY) {
            let other: Result<serde_json::Value, _> = serde_json::from_str(&text);
            prop_assert!(other.is_ok(), "{} was accepted as {:?}", text, value);
        }
    }
}

fn same(ours: &Json, other: &serde_json::Value) -> bool {
    match (ours, other) {
        (Json::Null, serde_json::Value::Null) => true,
        (Json::Bool(a), serde_json::Value::Bool(b)) => a == b,
        (Json::Number(a), serde_json::Value::Number(b)) => {
            let b = b.as_f64().unwrap();
            (a.as_f64() - b).abs() <= b.abs() * 1e-15
        }
        (Json::String(a), serde_json::Value::String(b)) => a == b,
        (Json::Array(a), serde_json::Value::Array(b)) => {
            a.len() == b.len() && a.iter().zip(b).all(|(a, b)| same(a, b))
        }
        (Json::Object(a), serde_json::Value::Object(b)) => {
            a.len() == b.len() && a.iter().all(|(key, a)| b.get(key).is_some_and(|b| same(a, b)))
        }
        _ => false,
    }
}
