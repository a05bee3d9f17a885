//! `spl config show`: what is set here, then what is set in the instance.

use serde::Deserialize;
use serde_json::{Map, Value, json};

use crate::{
    commands::Outcome,
    context::Context,
    error::Failure,
    output,
    table::{Cell, Table, Tint},
    text,
};

/// The settings of an instance.
#[derive(Debug, Deserialize)]
struct Settings {
    settings: Vec<Setting>,
}

/// One of them.
#[derive(Debug, Deserialize)]
struct Setting {
    topic: String,
    value: Value,
    #[serde(default)]
    source: String,
    /// The record that set it.
    record_id: Option<String>,
}

/// Prints all settings. That no instance runs is no failure.
pub(super) fn run(ctx: &Context) -> Outcome {
    let local = local(ctx)?;
    if ctx.out.is_human() {
        print_local(ctx, &local)?;
    }
    let asked = ctx.client().and_then(|client| client.get(&["v1", "config"]).send());
    let settings = asked.and_then(|answer| Ok((answer.json()?, answer.parse::<Settings>()?)));
    match settings {
        Ok((answer, settings)) if ctx.out.is_human() => {
            drop(answer);
            print_instance(ctx, &settings)?;
        }
        Ok((answer, _)) => ctx.out.json(&as_json(&local, answer))?,
        Err(failure) => {
            let why = text::safe(failure.message()).into_owned();
            output::note(format_args!("the instance's settings are not shown: {why}"));
            if let Some(hint) = failure.first_hint() {
                output::note(format_args!("hint: {}", text::safe(hint)));
            }
            if !ctx.out.is_human() {
                ctx.out.json(&as_json(&local, json!({ "object": "config", "settings": null })))?;
            }
        }
    }
    Ok(0)
}

/// The settings here: found out without asking anybody.
fn local(ctx: &Context) -> Result<Vec<(&'static str, String)>, Failure> {
    let config = ctx.config()?;
    let actor = ctx.own_actor()?;
    let active = ctx.active_token();
    let mut settings = vec![
        ("home", ctx.home.root().display().to_string()),
        ("server", ctx.server_url()?.origin().ascii_serialization()),
    ];
    let mut configured = |name, value: Option<String>| settings.extend(value.map(|value| (name, value)));
    configured("config.identity.actor", config.identity.actor);
    configured("config.server.url", config.server.url);
    configured("config.server.host", config.server.host.map(|host| host.to_string()));
    configured("config.server.port", config.server.port.map(|port| port.to_string()));
    let (source, token) = match active {
        Ok(Some(active)) => (ctx.source_in_words(Some(active.source)), active.token.masked()),
        Ok(None) => (ctx.source_in_words(None), "none".to_owned()),
        Err(failure) => (format!("not usable: {}", failure.message()), "none".to_owned()),
    };
    settings.extend([("token_source", source), ("token", token)]);
    settings.push(("default_user_actor", bare_name(&actor).to_owned()));
    settings.push(("actor", actor));
    Ok(settings)
}

/// The last segment of a DID: `alice` of `did:sync:user:alice`.
fn bare_name(did: &str) -> &str {
    did.rsplit(':').next().unwrap_or(did)
}

fn print_local(ctx: &Context, local: &[(&'static str, String)]) -> Result<(), Failure> {
    if !ctx.out.is_terminal() {
        return local
            .iter()
            .try_for_each(|(name, value)| ctx.out.line(format_args!("{name} {}", text::safe(value))));
    }
    ctx.out.line(ctx.out.palette().bold("Here"))?;
    let mut table = Table::new(&["SETTING", "VALUE"], &[]);
    for (name, value) in local {
        table.row(vec![Cell::plain(name), Cell::plain(value)]);
    }
    table.print(&ctx.out)
}

fn print_instance(ctx: &Context, settings: &Settings) -> Result<(), Failure> {
    if !ctx.out.is_terminal() {
        return settings.settings.iter().try_for_each(|setting| {
            let topic = text::safe(&setting.topic);
            ctx.out.line(format_args!("{topic} {}", text::safe(&in_words(&setting.value))))?;
            match &setting.record_id {
                Some(record) => ctx.out.line(format_args!("{topic}.set_by {}", text::safe(record))),
                None => Ok(()),
            }
        });
    }
    ctx.out.line(format_args!("\n{}", ctx.out.palette().bold("Instance")))?;
    let mut table = Table::new(&["SETTING", "SET BY", "VALUE"], &[]);
    for setting in &settings.settings {
        table.row(vec![
            Cell::plain(&setting.topic),
            Cell::tinted(set_by(setting), Tint::Dim),
            Cell::plain(in_words(&setting.value)),
        ]);
    }
    table.print(&ctx.out)
}

/// What set a value: the beginning of a record's id, the command line, or nobody.
fn set_by(setting: &Setting) -> String {
    match &setting.record_id {
        Some(record) => format!("record {}", record.chars().take(12).collect::<String>()),
        None => setting.source.clone(),
    }
}

/// A value in one word where it is one: `true`, an address, a list with commas.
fn in_words(value: &Value) -> String {
    match value {
        Value::Object(members) if members.len() == 1 => {
            members.values().next().map(in_words).unwrap_or_default()
        }
        Value::Array(elements) if elements.is_empty() => "none".to_owned(),
        Value::Array(elements) if elements.iter().all(|e| !e.is_object() && !e.is_array()) => {
            elements.iter().map(in_words).collect::<Vec<_>>().join(",")
        }
        Value::String(text) => text.clone(),
        Value::Null => "none".to_owned(),
        other => other.to_string(),
    }
}

/// The instance's answer, with the settings here beside it.
fn as_json(local: &[(&'static str, String)], mut answer: Value) -> Value {
    let members = local.iter().map(|(name, value)| ((*name).to_owned(), Value::from(value.clone())));
    if let Value::Object(answer) = &mut answer {
        answer.insert("local".to_owned(), Value::Object(Map::from_iter(members)));
    }
    answer
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_is_one_word_where_it_can_be() {
        assert_eq!(in_words(&json!({ "enabled": true })), "true");
        assert_eq!(in_words(&json!({ "origins": ["https://a", "https://b"] })), "https://a,https://b");
        assert_eq!(in_words(&json!({ "origins": [] })), "none");
        assert_eq!(in_words(&json!({ "a": 1, "b": 2 })), r#"{"a":1,"b":2}"#);
    }

    #[test]
    fn a_bare_name_is_the_last_segment() {
        assert_eq!(bare_name("did:sync:user:alice"), "alice");
    }
}
