//! Byte equality with the published Python client, on what `fixtures/python/canonical_oracle.py` wrote down.
#![expect(clippy::disallowed_methods, reason = "the test command hands over its files in the environment")]

use std::io::{BufRead as _, BufReader};

use data_encoding::BASE64;
use spl_kernel::{canonical::canonical, json::Json};

use crate::support::BODY;

const VALID_MIN: usize = 100_000;
const INVALID_MIN: usize = 10_000;

fn lines(variable: &str) -> impl Iterator<Item = (Vec<u8>, String)> {
    let path = std::env::var(variable).unwrap_or_else(|_| {
        panic!(
            "{variable} is not set: this test compares with the published Python client. Run `.ci/test`, which \
             installs the client, generates the cases and sets the variable."
        )
    });
    let file = std::fs::File::open(&path).unwrap_or_else(|e| panic!("{variable}={path}: {e}"));
    BufReader::new(file).lines().map(|line| {
        let line = line.unwrap();
        let (input, rest) = line.split_once('\t').expect("two columns");
        (BASE64.decode(input.as_bytes()).unwrap(), rest.to_owned())
    })
}

#[test]
fn canonical_json_equals_the_published_clients() {
    let mut compared = 0;
    for (input, expected) in lines("SPL_ORACLE") {
        let expected = String::from_utf8(BASE64.decode(expected.as_bytes()).unwrap()).unwrap();
        let shown = || String::from_utf8_lossy(&input).into_owned();
        let value = Json::parse(&input, BODY).unwrap_or_else(|e| panic!("{e}: {}", shown()));
        let text = canonical(&value, 1 << 20).unwrap_or_else(|e| panic!("{e}: {}", shown()));
        assert_eq!(text, expected, "for {}", shown());
        compared += 1;
    }
    assert!(compared >= VALID_MIN, "only {compared} values were compared, {VALID_MIN} are wanted");
}

#[test]
fn what_must_be_refused_is_refused() {
    let mut compared = 0;
    for (input, reason) in lines("SPL_ORACLE_INVALID") {
        let result = Json::parse(&input, BODY);
        assert!(result.is_err(), "{reason}: {} was accepted", String::from_utf8_lossy(&input));
        compared += 1;
    }
    assert!(compared >= INVALID_MIN, "only {compared} texts were tried, {INVALID_MIN} are wanted");
}
