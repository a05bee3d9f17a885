//! What requests for invites and templates have in common.

use serde_json::{Value, json};
use spl_projections::{
    invites::{Accepts, Shape, Target},
    scope::{PRESETS, Scopes},
};

use crate::{problem::Problem, routes::fields::Fields};

/// Takes the members of an invite's shape.
pub(in crate::routes) fn take(fields: &mut Fields) -> Result<Shape, Problem> {
    let scopes = fields.texts("scopes")?;
    let preset = fields.text("preset")?;
    let scopes = match (scopes, preset) {
        (Some(_), Some(_)) => {
            return Err(Problem::invalid_body(
                "`scopes` and `preset` are two ways to say one thing: send one",
            ));
        }
        (Some(scopes), None) => Some(Scopes::parse(scopes.iter().map(String::as_str))?),
        (None, Some(name)) => Some(Scopes::preset(&name).ok_or_else(|| {
            let names: Vec<&str> = PRESETS.iter().map(|(name, _)| *name).collect();
            Problem::invalid_body(format!("`preset` is one of {}", names.join(", ")))
        })?),
        (None, None) => None,
    };
    let accepts = fields.texts("accept_holder_types")?.map(|names| {
        Accepts::parse(names.iter().map(String::as_str)).ok_or_else(|| {
            Problem::invalid_body("`accept_holder_types` is a list of guest and federated, or *")
        })
    });
    Ok(Shape {
        scopes,
        ttl_seconds: fields.number("ttl_seconds")?,
        max_uses: fields.number("max_uses")?,
        target: fields.take("scope_target").map(target).transpose()?,
        accepts: accepts.transpose()?,
        device_label: fields.text("device_label")?,
        notes: fields.text("notes")?,
        bearer_ttl_seconds: fields.number("bearer_ttl_seconds")?,
    })
}

fn target(value: Value) -> Result<Target, Problem> {
    let Value::Object(members) = value else {
        return Err(Problem::invalid_body(
            "`scope_target` must be an object such as {\"kind\": \"instance\"}",
        ));
    };
    let mut fields = Fields::within("scope_target", members);
    let target = match fields.required_text("kind")?.as_str() {
        "instance" => Target::Instance,
        "thread" => Target::Thread(fields.required_text("thread_id")?),
        "namespace" => Target::Namespace(fields.required_text("namespace")?),
        _ => return Err(Problem::invalid_body("`scope_target.kind` is instance, thread or namespace")),
    };
    fields.finish()?;
    Ok(target)
}

/// A target as answers show it.
pub(in crate::routes) fn shown(target: &Target) -> Value {
    match target {
        Target::Instance => json!({ "kind": "instance" }),
        Target::Thread(id) => json!({ "kind": "thread", "thread_id": id }),
        Target::Namespace(name) => json!({ "kind": "namespace", "namespace": name }),
    }
}
