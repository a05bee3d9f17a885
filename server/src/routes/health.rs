//! Health, readiness, metrics and the signed head.

use std::sync::PoisonError;

use axum::{
    extract::{Request, State},
    http::{StatusCode, Uri, header},
    response::{IntoResponse as _, Response},
};
use data_encoding::BASE64URL_NOPAD;
use serde_json::{Value, json};
use spl_kernel::{
    canonical::canonical,
    json::Json,
    log::{error::StoreError, verify::chain_of_causes},
};
use spl_projections::scope::Scope;

use super::{answer, blocking, table::METRICS};
use crate::{
    access::{has_loopback_host, is_local_and_no_page},
    app::{App, Instance, Mode},
    boot::CLOCK_BEHIND_WARN_MS,
    disk, env,
    page::{Params, json as json_answer},
    problem::Problem,
    session::Session,
    writer::QueueDepth,
};

/// Records on reserved threads are not counted to those who do not see them.
fn data_records(app: &Instance) -> Result<u64, StoreError> {
    let mut reserved = 0;
    for thread in spl_projections::reserved::written_threads() {
        reserved += app.log.index().summary(thread)?.map_or(0, |s| s.record_count);
    }
    Ok(app.log.head().sequence.saturating_sub(reserved))
}

fn warnings(app: &Instance) -> Vec<String> {
    let mut warnings = Vec::new();
    if app.writer.condition().log_failed() {
        warnings.push("the log has failed: nothing is written until a restart".to_owned());
    }
    if app.log.index().is_unreadable() {
        warnings.push(
            "the index cannot be read: stop the instance, delete log.index.redb, and start it again"
                .to_owned(),
        );
    } else if app.writer.condition().index_failed() {
        warnings.push("the index file has failed: it is built up again at the next start".to_owned());
    }
    let last = app.log.head().committed_at;
    if last.0.saturating_sub(env::now().0) > CLOCK_BEHIND_WARN_MS {
        warnings.push(format!("the clock is behind the last commit at {last}"));
    }
    if !disk::has_room_for_data(app.log.path()) {
        warnings.push("the file system is nearly full: data is refused".to_owned());
    }
    if app.mode(&app.published.world()) == Mode::Open {
        warnings
            .push("auth_required is off: whoever reaches this instance reads and writes records".to_owned());
    }
    if app.insecure {
        warnings
            .push("--insecure-localhost: any process on this machine may read and write records".to_owned());
    }
    warnings
}

fn summary(app: &Instance) -> Value {
    let condition = app.writer.condition();
    let mode = app.mode(&app.published.world());
    let mut degraded = condition.log_failed() || condition.index_failed();
    // Whoever asks how the instance is must hear of an index that cannot be read, rather than get no answer. So
    // too where only another's read met the damage: what else is wrong with the index is not known then.
    let mut records = data_records(app)
        .inspect_err(|error| tracing::error!(cause = %chain_of_causes(error), "the index could not be read"))
        .ok();
    if app.log.index().is_unreadable() {
        degraded = true;
        records = None;
    }
    let status = if degraded { "degraded" } else { "ok" };
    json!({
        "status": status,
        "version": env!("CARGO_PKG_VERSION"),
        "store": if app.memory { "memory" } else { "redb" },
        "records": records,
        "instance_did": app.did,
        "uptime_seconds": env::monotonic().duration_since(app.started).as_secs(),
        "auth": { "required": matches!(mode, Mode::Bootstrap | Mode::Secure), "mode": mode.as_str() },
        "warnings": warnings(app),
    })
}

/// `GET /health`
pub(super) async fn open(State(app): State<App>, uri: Uri) -> Response {
    let read = move || {
        Params::new(&uri).finish()?;
        Ok(json_answer(StatusCode::OK, &summary(&app)))
    };
    answer(blocking(read).await)
}

/// `GET /health/ready`: the routes only answer after start-up's fold, so ready is a question of the log.
pub(super) async fn ready(State(app): State<App>, uri: Uri) -> Response {
    let stopping = *app.shutdown.borrow();
    let result = Params::new(&uri).finish().and_then(|()| {
        if stopping {
            return Err(Problem::shutting_down());
        }
        if app.writer.condition().log_failed() {
            return Err(Problem::not_ready());
        }
        Ok(json_answer(StatusCode::OK, &json!({ "status": "ready" })))
    });
    answer(result)
}

/// `GET /v1/health`
pub(super) async fn report(State(app): State<App>, session: Session, uri: Uri) -> Response {
    let read = move || {
        Params::new(&uri).finish()?;
        let mut report = summary(&app);
        let folded_through = session.world.folded_through;
        let last_verify = app.last_verify.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let folded = |name: &str| json!({ "name": name, "folded_through": folded_through });
        report["projections"] = [
            "identity",
            "service_accounts",
            "tokens",
            "consent",
            "config",
            "permission_rules",
            "invites",
            "invite_templates",
            "federation_pairs",
        ]
        .map(folded)
        .into();
        // How busy others keep the instance is not for those who see a part of it.
        if session.whole(Scope::RecordsRead).is_ok() {
            let QueueDepth { control, data, data_bytes } = app.writer.depth();
            report["writer"] =
                json!({ "queued_control": control, "queued_data": data, "queued_bytes": data_bytes });
            report["index"] = json!({ "behind": app.log.index().behind() });
        }
        report["authorization"] = deciders(&app, &session);
        report["last_verify"] = last_verify.unwrap_or(Value::Null);
        Ok(json_answer(StatusCode::OK, &report))
    };
    answer(blocking(read).await)
}

/// What decides on a request, in order, and whether it does.
fn deciders(app: &Instance, session: &Session) -> Value {
    let config = &session.world.config;
    let rules = config.rules.iter().filter(|r| r.source().enabled).count();
    let live = |on: bool| if on { "live" } else { "disabled" };
    let layers = !app.insecure;
    let because = |text: &str| {
        if app.insecure { "--insecure-localhost frees the data plane".to_owned() } else { text.to_owned() }
    };
    let (auth, enabled) = (config.auth_required.value, config.permissions_enabled.value);
    let deciders = json!([
        {
            "decider": "scope",
            "answers": "is the token known, unexpired and unrevoked, and does it have the route's scope?",
            "state": live(layers),
            "fidelity": "exact",
            "because": because(if auth { "auth_required is on" } else { "auth_required is off: the data plane needs no token, one that is sent is checked" }),
            "switch": "auth_required",
        },
        {
            "decider": "actor_claim",
            "answers": "may the token's account act as the claimed actor, and as each record's?",
            "state": live(layers),
            "fidelity": "exact",
            "because": because(if config.strict_impersonation_enforcement.value { "admins act as their own actors only" } else { "admins may act as others, which is recorded" }),
            "strict_actor_header": config.strict_actor_header.value,
            "strict_impersonation_enforcement": config.strict_impersonation_enforcement.value,
        },
        {
            "decider": "permission_rules",
            "answers": "do the permission rules allow it?",
            "state": live(layers && enabled),
            "fidelity": "exact",
            "because": because(if enabled { "permissions_enabled is on" } else { "permissions_enabled is off: scope and actor_claim decide" }),
            "switch": "permissions_enabled",
            "rules": rules,
        },
    ]);
    let on = [layers, layers, layers && enabled].into_iter().filter(|on| *on).count();
    json!({ "live": on, "of": 3, "deciders": deciders })
}

/// `GET /metrics`
pub(super) async fn metrics(State(app): State<App>, session: Session, request: Request) -> Response {
    let (parts, _) = request.into_parts();
    let read = move || {
        Params::new(&parts.uri).finish()?;
        // Open to a local request while nobody else is meant to reach this instance; never to a page.
        let near = has_loopback_host(app.public_url(&session.world));
        if !(near && is_local_and_no_page(&parts)) {
            let caller = session.pass(METRICS)?;
            Session { caller, ..session }.whole(Scope::RecordsRead)?;
        }
        app.metrics.records.set(app.log.head().sequence);
        app.metrics.queued.set((app.writer.depth().control + app.writer.depth().data) as u64);
        app.metrics.index_behind.set(app.log.index().behind() as u64);
        app.metrics.streams.set(app.streams.count() as u64);
        let media_type = "application/openmetrics-text; version=1.0.0; charset=utf-8";
        Ok(([(header::CONTENT_TYPE, media_type)], app.metrics.text()).into_response())
    };
    answer(blocking(read).await)
}

/// The domain of a signed head.
const LOG_HEAD_DOMAIN: &str = "spl-log-head-v1";

/// `GET /v1/log/head`
pub(super) async fn log_head(State(app): State<App>, uri: Uri) -> Response {
    let result = Params::new(&uri).finish().and_then(|()| {
        let head = app.log.head();
        let sequence = i64::try_from(head.sequence).unwrap_or(i64::MAX);
        let signed = Json::object([
            ("chain", head.chain.to_string().into()),
            ("committed_at", head.committed_at.to_string().into()),
            ("instance_did", app.did.as_str().into()),
            ("sequence", sequence.into()),
        ]);
        let message = canonical(&signed, usize::MAX).map_err(|e| Problem::internal(&e))?;
        Ok(json_answer(
            StatusCode::OK,
            &json!({
                "object": "log_head",
                "sequence": head.sequence,
                "chain": head.chain.to_string(),
                "committed_at": head.committed_at.to_string(),
                "instance_did": app.did,
                "signature": BASE64URL_NOPAD.encode(&app.key.sign(LOG_HEAD_DOMAIN, message.as_bytes())),
            }),
        ))
    });
    answer(result)
}
