//! Finding what a shortened id stands for.

use serde_json::{Value, json};

use crate::{client::Client, error::Failure, view};

/// Fewest hex digits of a shortened id.
const DIGITS_MIN: usize = 6;

/// The thread that `given` names: itself, or the one thread whose id starts so.
pub(crate) fn thread(client: &Client, given: &str) -> Result<String, Failure> {
    match given.strip_prefix("th_") {
        Some(digits) if is_shortened(digits) => unique(client, "thread", given),
        _ => Ok(given.to_owned()),
    }
}

/// The record that `given` names: itself, or the one record whose id starts so.
pub(crate) fn record(client: &Client, given: &str) -> Result<String, Failure> {
    if is_shortened(given) { unique(client, "id", given) } else { Ok(given.to_owned()) }
}

fn is_shortened(digits: &str) -> bool {
    (DIGITS_MIN..64).contains(&digits.len())
        && digits.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b))
}

fn unique(client: &Client, field: &str, start: &str) -> Result<String, Failure> {
    let what = if field == "id" { "record" } else { field };
    // `_` stands for any character in a pattern.
    let pattern = format!("{}%", start.replace('_', "\\_"));
    let found = first(client, field, json!({ field: { "$like": pattern } }))?.ok_or_else(|| {
        Failure::refused(format!("no {what} starts with {start}"))
            .hint("give the id in full, or check it with -o json")
    })?;
    let other = first(
        client,
        field,
        json!({"$and": [{ field: { "$like": pattern } }, { field: { "$ne": found } }]}),
    )?;
    match other {
        None => Ok(found),
        Some(_) => Err(Failure::refused(format!("more than one {what} starts with {start}"))
            .hint("give more digits of the id")),
    }
}

fn first(client: &Client, field: &str, filter: Value) -> Result<Option<String>, Failure> {
    let answer =
        client.post(&["v1", "records", "query"]).json(&json!({ "filter": filter, "limit": 1 })).send()?;
    let page: view::Page<view::Record> = answer.parse()?;
    let record = page.data.into_iter().next();
    Ok(record.map(|record| if field == "id" { record.id } else { record.thread }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_hex_of_some_length_is_taken_for_a_shortened_id() {
        assert!(is_shortened("abcdef012345"));
        assert!(!is_shortened("abc"));
        assert!(!is_shortened(&"a".repeat(64)));
        assert!(!is_shortened("music.library"));
    }
}
