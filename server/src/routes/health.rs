//! Health, readiness, metrics and the signed head.

use std::sync::PoisonError;

use axum::{
    extract::State,
    http::{StatusCode, Uri, header},
    response::{IntoResponse as _, Response},
};
use data_encoding::BASE64URL_NOPAD;
use serde_json::{Value, json};
use spl_kernel::{canonical::canonical, json::Json};

use super::{answer, blocking};
use crate::{
    access::has_loopback_host,
    app::{App, Instance, Mode},
    boot::CLOCK_BEHIND_WARN_MS,
    disk, env,
    page::{Params, json as json_answer},
    problem::Problem,
    writer::QueueDepth,
};

/// Records on reserved threads are not counted to those who do not see them.
fn data_records(app: &Instance) -> Result<u64, Problem> {
    let mut reserved = 0;
    for thread in spl_projections::reserved::folded_threads() {
        reserved += app.log.index().summary(thread)?.map_or(0, |s| s.record_count);
    }
    Ok(app.log.head().sequence.saturating_sub(reserved))
}

fn warnings(app: &Instance) -> Vec<String> {
    let mut warnings = Vec::new();
    if app.writer.condition().log_failed() {
        warnings.push("the log has failed: nothing is written until a restart".to_owned());
    }
    if app.writer.condition().index_failed() {
        warnings.push("the index file has failed: it is built up again at the next start".to_owned());
    }
    let last = app.log.head().committed_at;
    if last.0.saturating_sub(env::now().0) > CLOCK_BEHIND_WARN_MS {
        warnings.push(format!("the clock is behind the last commit at {last}"));
    }
    if !disk::has_room_for_data(app.log.path()) {
        warnings.push("the file system is nearly full: data is refused".to_owned());
    }
    if app.mode == Mode::InsecureLocalhost {
        warnings
            .push("--insecure-localhost: any process on this machine may read and write records".to_owned());
    }
    warnings
}

fn summary(app: &Instance) -> Result<Value, Problem> {
    let warnings = warnings(app);
    let condition = app.writer.condition();
    let status = if condition.log_failed() || condition.index_failed() { "degraded" } else { "ok" };
    Ok(json!({
        "status": status,
        "version": env!("CARGO_PKG_VERSION"),
        "store": if app.memory { "memory" } else { "redb" },
        "records": data_records(app)?,
        "instance_did": app.did,
        "uptime_seconds": env::monotonic().duration_since(app.started).as_secs(),
        "auth": { "required": app.mode == Mode::Bootstrap, "mode": app.mode.as_str() },
        "warnings": warnings,
    }))
}

/// `GET /health`
pub(super) async fn open(State(app): State<App>, uri: Uri) -> Response {
    let read = move || {
        Params::new(&uri).finish()?;
        Ok(json_answer(StatusCode::OK, &summary(&app)?))
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
pub(super) async fn report(State(app): State<App>, uri: Uri) -> Response {
    let read = move || {
        Params::new(&uri).finish()?;
        let mut report = summary(&app)?;
        let QueueDepth { control, data, data_bytes } = app.writer.depth();
        let folded_through = app.published.world().folded_through;
        let last_verify = app.last_verify.lock().unwrap_or_else(PoisonError::into_inner).clone();
        report["projections"] = json!([{ "name": "identity", "folded_through": folded_through }]);
        report["writer"] =
            json!({ "queued_control": control, "queued_data": data, "queued_bytes": data_bytes });
        report["index"] = json!({ "behind": app.log.index().behind() });
        let freed =
            if app.mode == Mode::InsecureLocalhost { "not run: --insecure-localhost" } else { "bootstrap" };
        report["authorization"] = json!([
            { "decider": "bearer", "state": freed },
            { "decider": "did_claim", "state": freed },
            { "decider": "permission_rules", "state": freed },
        ]);
        report["last_verify"] = last_verify.unwrap_or(Value::Null);
        Ok(json_answer(StatusCode::OK, &report))
    };
    answer(blocking(read).await)
}

/// `GET /metrics`
pub(super) async fn metrics(State(app): State<App>, uri: Uri, headers: axum::http::HeaderMap) -> Response {
    let result = Params::new(&uri).finish().and_then(|()| {
        // Open to a local request, which the gate has seen to, while nobody else is meant to reach this
        // instance; never to a page.
        if headers.contains_key(header::ORIGIN) || !has_loopback_host(&app.public_url) {
            return Err(Problem::auth_required());
        }
        app.metrics.records.set(app.log.head().sequence);
        app.metrics.queued.set((app.writer.depth().control + app.writer.depth().data) as u64);
        app.metrics.index_behind.set(app.log.index().behind() as u64);
        app.metrics.streams.set(app.streams.load(std::sync::atomic::Ordering::Relaxed) as u64);
        let media_type = "application/openmetrics-text; version=1.0.0; charset=utf-8";
        Ok(([(header::CONTENT_TYPE, media_type)], app.metrics.text()).into_response())
    });
    answer(result)
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
