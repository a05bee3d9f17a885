//! Configuration: the values in force, the records that set them, and setting them.

use axum::{
    extract::{Path, Request, State, rejection::PathRejection},
    http::{StatusCode, Uri},
    response::Response,
};
use serde_json::{Value, json};
use spl_kernel::{
    json::{Bounds, Json, Object},
    refusal::Refusal,
};
use spl_projections::{
    Command,
    config::{self, Change, Set, SetBy, Setting, check_lockout},
    policies::{Action, Resource},
};

use super::{answer, records::path_text};
use crate::{
    app::App,
    body::{BODY_BYTES_MAX, read_json_within},
    page::{Page, Params, QueryHash, json as json_answer},
    problem::{Problem, excerpt},
    session::Session,
};

const BOUNDS: Bounds = Bounds { levels: 4, values: 1000 };

fn setting(topic: &str, value: Value, set_by: Option<&SetBy>) -> Value {
    let mut row = json!({ "topic": topic, "value": value, "source": "default" });
    if let Some(by) = set_by {
        row["source"] = "record".into();
        row["record_id"] = by.record.to_string().into();
        row["updated_at"] = by.at.to_string().into();
        row["actor"] = by.actor.as_str().into();
        if let Some(account) = &by.service_account_id {
            row["service_account_id"] = account.as_str().into();
        }
    }
    row
}

/// `GET /v1/config`
pub(super) async fn show(State(app): State<App>, session: Session, uri: Uri) -> Response {
    answer(Params::new(&uri).finish().map(|()| {
        let config = &session.world.config;
        let switch =
            |topic: &str, s: &Setting<bool>| setting(topic, json!({ "enabled": s.value }), s.set_by.as_ref());
        let (origins, cidrs) = (&config.auth_cors_origins, &config.trusted_proxies);
        let url = json!({ "url": app.public_url(&session.world) });
        let mut public_url = setting("public_url", url, config.public_url.set_by.as_ref());
        if app.public_url_given.is_some() {
            public_url["source"] = "flag".into();
        }
        let settings = [
            switch("auth_required", &config.auth_required),
            setting("auth_cors_origins", json!({ "origins": origins.value }), origins.set_by.as_ref()),
            switch("strict_actor_header", &config.strict_actor_header),
            switch("strict_impersonation_enforcement", &config.strict_impersonation_enforcement),
            switch("federation_did_web", &config.federation_did_web),
            switch("permissions_enabled", &config.permissions_enabled),
            setting("trusted_proxies", json!({ "cidrs": cidrs.value }), cidrs.set_by.as_ref()),
            public_url,
        ];
        json_answer(StatusCode::OK, &json!({ "object": "config", "settings": settings }))
    }))
}

/// `GET /v1/config/permission-rules`
pub(super) async fn rules(State(app): State<App>, session: Session, uri: Uri) -> Response {
    let list = || {
        let mut params = Params::new(&uri);
        let (limit, cursor) = (params.limit()?, params.one("cursor")?);
        params.finish()?;
        // A cursor is of one rule set: another has its rules in other places.
        let version = session.world.config.policy_version.to_string();
        let hash = QueryHash::of(&["permission-rules", &version]);
        let from = cursor.map(|c| hash.position(&c)).transpose()?.unwrap_or(0);
        let skip = usize::try_from(from).unwrap_or(usize::MAX);
        let mut page = Page::new(&app.answer_budget, limit)?;
        for (at, rule) in (0..).zip(session.world.config.rules.iter()).skip(skip) {
            if !page.has_room() {
                return Ok(page.finish(Some(hash.cursor(at)), ""));
            }
            let source = rule.source();
            let set_by = session.world.config.rules_set_by.get(&source.name);
            let row = json!({
                "object": "permission_rule",
                "name": source.name,
                "action": if source.action == Action::Allow { "allow" } else { "deny" },
                "priority": source.priority,
                "expression": source.expression,
                "enabled": source.enabled,
                "failures": { "failed": rule.failures().failed, "over_bound": rule.failures().over_bound },
                "record_id": set_by.map(|by| by.record.to_string()),
                "updated_at": set_by.map(|by| by.at.to_string()),
            });
            page.push(&row.to_string())?;
        }
        Ok(page.finish(None, ""))
    };
    answer(list())
}

/// `POST /v1/config/{topic}`
pub(super) async fn set(
    State(app): State<App>,
    session: Session,
    path: Result<Path<String>, PathRejection>,
    request: Request,
) -> Response {
    answer(write(&app, &session, path, request).await)
}

async fn write(
    app: &App,
    session: &Session,
    path: Result<Path<String>, PathRejection>,
    request: Request,
) -> Result<Response, Problem> {
    let topic = path_text(path)?;
    let known = config::TOPICS.iter().find(|t| t.name == topic).ok_or_else(|| {
        Problem::not_found(format!("there is no configuration topic {:?}", excerpt(&topic)))
            .hint(format!("topics are {}", config::TOPICS.map(|t| t.name).join(", ")))
    })?;
    let received = read_json_within(app, request, BODY_BYTES_MAX).await?;
    let given =
        match Json::parse(&received.bytes, BOUNDS).map_err(|e| Problem::invalid_body(e.to_string()))? {
            Json::Object(object) => object,
            _ => return Err(Problem::invalid_body("expected a JSON object")),
        };
    if given.get("topic").is_some_and(|t| t.as_str() != Some(&topic)) {
        return Err(Problem::invalid_body("`topic` is not the one of the path"));
    }
    let members = given.into_members().filter(|(key, _)| key != "topic");
    let members = members.chain([("topic".to_owned(), topic.as_str().into())]).collect();
    let body = Object::from_members(members)
        .map_err(|key| Problem::invalid_body(format!("duplicate key {:?}", excerpt(&key))))?;
    let change = Change::decode(&body)?;
    config::entitled(&session.caller, &change)?;
    let check = |session: &Session| {
        session.check(Resource::ConfigWrite)?;
        check(session, std::slice::from_ref(&change))
    };
    let committed = session.control(app, check, || Command::SetConfig(Set { body: body.clone() })).await?;
    let record = super::accounts::record_id(&committed, config::THREAD);
    let value: serde_json::Map<String, Value> =
        known.members.iter().filter_map(|m| Some(((*m).to_owned(), plain(body.get(m)?)))).collect();
    Ok(json_answer(
        StatusCode::CREATED,
        &json!({ "object": "config_value", "topic": topic, "value": value, "record_id": record }),
    ))
}

/// The lock-out guard, on the state that the request is decided against. The writer makes sure that the rules
/// are still these.
pub(super) fn check(session: &Session, changes: &[Change]) -> Result<(), Refusal> {
    check_lockout(&session.world, changes, &session.caller, session.now)
}

fn plain(json: &Json) -> Value {
    match json {
        Json::Bool(value) => (*value).into(),
        Json::Number(number) => number.as_i64().map_or_else(|| number.as_f64().into(), Value::from),
        Json::String(text) => text.as_str().into(),
        Json::Array(elements) => elements.iter().map(plain).collect(),
        Json::Null | Json::Object(_) => Value::Null,
    }
}
