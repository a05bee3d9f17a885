//! Reading request bodies: bounded in size, time and memory, and only of the media types that carry JSON.

use std::time::Duration;

use axum::{
    body::Body,
    extract::Request,
    http::{StatusCode, header, request::Parts},
};
use http_body_util::BodyExt as _;

use crate::{access::may_send_form, app::Instance, budget::Share, problem::Problem};

/// Largest request body.
pub(crate) const BODY_BYTES_MAX: usize = 8 * 1024 * 1024;
/// A body arrives within this time.
const ARRIVAL_MAX: Duration = Duration::from_secs(30);
/// How much memory is taken from the budget at a time.
const TAKE_BYTES: usize = 64 * 1024;

/// A request body in memory, and its share of the memory for all of them.
#[derive(Debug)]
pub(crate) struct Received {
    pub(crate) parts: Parts,
    pub(crate) bytes: Vec<u8>,
    _share: Share,
}

/// Reads a JSON body.
pub(crate) async fn read_json(app: &Instance, request: Request) -> Result<Received, Problem> {
    let (parts, body) = request.into_parts();
    let stated =
        parts.headers.get(header::CONTENT_LENGTH).and_then(|v| v.to_str().ok()?.parse::<usize>().ok());
    if stated.is_some_and(|length| length > BODY_BYTES_MAX) {
        return Err(Problem::too_large(BODY_BYTES_MAX));
    }
    check_media_type(app, &parts)?;
    let read = tokio::time::timeout(ARRIVAL_MAX, collect(app, body)).await;
    let (bytes, share) = read.map_err(|_| {
        Problem::new(
            StatusCode::REQUEST_TIMEOUT,
            "REQUEST_TIMEOUT",
            "the request's body did not arrive within 30 s",
        )
    })??;
    Ok(Received { parts, bytes, _share: share })
}

async fn collect(app: &Instance, mut body: Body) -> Result<(Vec<u8>, Share), Problem> {
    let mut share = app.body_budget.try_take(TAKE_BYTES).ok_or_else(Problem::busy)?;
    let mut held = TAKE_BYTES;
    let mut bytes = Vec::new();
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|_| Problem::invalid_body("the request's body broke off"))?;
        let Ok(data) = frame.into_data() else { continue };
        let length = bytes.len() + data.len();
        if length > BODY_BYTES_MAX {
            return Err(Problem::too_large(BODY_BYTES_MAX));
        }
        while length > held {
            share.merge(app.body_budget.try_take(TAKE_BYTES).ok_or_else(Problem::busy)?);
            held += TAKE_BYTES;
        }
        bytes.extend_from_slice(&data);
    }
    Ok((bytes, share))
}

fn check_media_type(app: &Instance, parts: &Parts) -> Result<(), Problem> {
    let unsupported = |message: &str| {
        Problem::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, "UNSUPPORTED_MEDIA_TYPE", message)
            .hint("send JSON with Content-Type: application/json, not encoded")
    };
    if parts.headers.contains_key(header::CONTENT_ENCODING) {
        return Err(unsupported("encoded request bodies are not taken"));
    }
    let Some(value) = parts.headers.get(header::CONTENT_TYPE) else { return Ok(()) };
    let essence =
        value.to_str().unwrap_or_default().split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    let json =
        essence == "application/json" || (essence.starts_with("application/") && essence.ends_with("+json"));
    if json || (essence == "application/x-www-form-urlencoded" && may_send_form(app, parts)) {
        Ok(())
    } else {
        Err(unsupported("this media type is not taken"))
    }
}
