//! As much of JSON Schema as the published description uses, and one rule more: a member that is not described
//! is wrong.

use std::collections::BTreeSet;

use serde_json::Value;

use crate::http::documented::DOCUMENT;

/// Follows a reference, if it is one.
pub(super) fn resolve(value: &Value) -> &Value {
    match value["$ref"].as_str() {
        Some(reference) => resolve(DOCUMENT.pointer(&reference[1..]).expect("a reference leads somewhere")),
        None => value,
    }
}

/// What is wrong with a value, each with the place.
pub(super) fn faults(schema: &Value, value: &Value) -> Vec<String> {
    let mut found = Vec::new();
    look(schema, value, "", true, &mut found);
    found
}

fn look(schema: &Value, value: &Value, at: &str, closed: bool, found: &mut Vec<String>) {
    if let Some(reference) = schema["$ref"].as_str() {
        let target = DOCUMENT.pointer(&reference[1..]).expect("a reference leads somewhere");
        look(target, value, at, closed, found);
    }
    for part in parts(schema, "allOf") {
        look(part, value, at, false, found);
    }
    for choice in ["oneOf", "anyOf"] {
        let mut tried: Vec<Vec<String>> = Vec::new();
        for part in parts(schema, choice) {
            let mut faults = Vec::new();
            look(part, value, at, closed, &mut faults);
            tried.push(faults);
        }
        if !tried.is_empty() && tried.iter().all(|faults| !faults.is_empty()) {
            found.push(format!("{at}: fits none: {tried:?}"));
        }
    }
    let mut wrong = |what: String| found.push(format!("{at}: {what}: {value}"));
    if !schema["const"].is_null() && schema["const"] != *value {
        wrong(format!("is not {}", schema["const"]));
    }
    if schema["enum"].as_array().is_some_and(|values| !values.contains(value)) {
        wrong("is not one of the values".into());
    }
    if !of_type(&schema["type"], value) {
        wrong(format!("is not of type {}", schema["type"]));
    }
    if let Some(text) = value.as_str()
        && !fits(schema["pattern"].as_str().unwrap_or_default(), text)
    {
        wrong(format!("does not match {}", schema["pattern"]));
    }
    if let (Some(least), Some(number)) = (schema["minimum"].as_i64(), value.as_i64())
        && number < least
    {
        wrong(format!("is below {least}"));
    }
    for (i, element) in value.as_array().into_iter().flatten().enumerate() {
        if !schema["items"].is_null() {
            look(&schema["items"], element, &format!("{at}[{i}]"), true, found);
        }
    }
    if value.is_object() {
        members(schema, value, at, closed, found);
    }
}

fn members(schema: &Value, value: &Value, at: &str, closed: bool, found: &mut Vec<String>) {
    for name in schema["required"].as_array().into_iter().flatten().filter_map(Value::as_str) {
        if value.get(name).is_none() {
            found.push(format!("{at}: {name} is missing"));
        }
    }
    for (name, member) in value.as_object().into_iter().flatten() {
        let place = format!("{at}.{name}");
        match schema["properties"].get(name) {
            Some(schema) => look(schema, member, &place, true, found),
            None if schema["additionalProperties"].is_object() => {
                look(&schema["additionalProperties"], member, &place, true, found);
            }
            None => {}
        }
    }
    if let Some(names) = closed.then(|| described(schema)).flatten() {
        let unknown =
            value.as_object().into_iter().flatten().filter(|(name, _)| !names.contains(name.as_str()));
        found.extend(unknown.map(|(name, _)| format!("{at}: {name} is not described")));
    }
}

fn parts<'a>(schema: &'a Value, name: &str) -> impl Iterator<Item = &'a Value> {
    schema[name].as_array().into_iter().flatten()
}

/// The members that a schema describes; `None` where it leaves them open.
fn described(schema: &Value) -> Option<BTreeSet<&str>> {
    let open = schema["additionalProperties"] == true || schema["additionalProperties"].is_object();
    if open || !schema["oneOf"].is_null() || !schema["anyOf"].is_null() {
        return None;
    }
    let own = schema["properties"].as_object().into_iter().flatten().map(|(name, _)| name.as_str());
    let mut names: BTreeSet<&str> = own.collect();
    if !schema["$ref"].is_null() {
        names.extend(described(resolve(schema))?);
    }
    for part in parts(schema, "allOf") {
        names.extend(described(part)?);
    }
    Some(names)
}

fn of_type(kind: &Value, value: &Value) -> bool {
    let is = |name: &str| match name {
        "object" => value.is_object(),
        "array" => value.is_array(),
        "string" => value.is_string(),
        "integer" => value.is_i64() || value.is_u64(),
        "number" => value.is_number(),
        "boolean" => value.is_boolean(),
        _ => value.is_null(),
    };
    match kind {
        Value::String(name) => is(name),
        Value::Array(names) => names.iter().filter_map(Value::as_str).any(is),
        _ => true,
    }
}

/// Whether a text is of the patterns that matter most.
fn fits(pattern: &str, text: &str) -> bool {
    let hex = |n: usize| text.len() == n && text.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
    match pattern {
        "^[0-9a-f]{64}$" => hex(64),
        "^[0-9a-f]{16}$" => hex(16),
        "^(sa_[0-9a-hjkmnp-tv-z]{16}|sa-bootstrap-env)$" => {
            text.strip_prefix("sa_").map_or(text == "sa-bootstrap-env", |id| {
                id.len() == 16
                    && id
                        .bytes()
                        .all(|b| b.is_ascii_digit() || (b.is_ascii_lowercase() && !b"ilou".contains(&b)))
            })
        }
        "^\\d{4}-\\d{2}-\\d{2}T\\d{2}:\\d{2}:\\d{2}\\.\\d{3}Z$" => {
            text.len() == 24
                && text.ends_with('Z')
                && text.as_bytes()[10] == b'T'
                && text.as_bytes()[19] == b'.'
        }
        _ => true,
    }
}
