//! Reading request bodies: bounded in size, time and memory, and only of the media types that carry JSON.

use std::time::Duration;

use axum::{
    body::Body,
    extract::Request,
    http::{StatusCode, header, request::Parts},
};
use http_body_util::BodyExt as _;

use crate::{access::may_send_form, app::Instance, budget::Share, page::Params, problem::Problem};

/// Largest request body.
pub(crate) const BODY_BYTES_MAX: usize = 8 * 1024 * 1024;
/// Largest request body on open routes.
pub(crate) const OPEN_BODY_BYTES_MAX: usize = 16 * 1024;
/// A body arrives within this time.
const ARRIVAL_MAX: Duration = Duration::from_secs(30);
/// How much memory is taken from the budget at a time. Small, so that connections that send next to nothing
/// cannot use it up.
const TAKE_BYTES: usize = 8 * 1024;
/// So much of a refused body is still taken in.
const DISCARDED_BYTES_MAX: usize = 2 * BODY_BYTES_MAX;
/// And for so long.
const DISCARD_MAX: Duration = Duration::from_secs(3);

/// A request body in memory, and its share of the memory for all of them.
#[derive(Debug)]
pub(crate) struct Received {
    pub(crate) bytes: Vec<u8>,
    _share: Share,
}

/// Reads a JSON body. Routes that take one take no parameters.
pub(crate) async fn read_json(app: &Instance, request: Request) -> Result<Received, Problem> {
    read_json_within(app, request, BODY_BYTES_MAX).await
}

/// Reads a JSON body of at most `limit` bytes.
pub(crate) async fn read_json_within(
    app: &Instance,
    request: Request,
    limit: usize,
) -> Result<Received, Problem> {
    read(app, request, limit, false).await
}

/// As above, on a route that takes parameters too, which it has looked at.
pub(crate) async fn read_json_with_params(
    app: &Instance,
    request: Request,
    limit: usize,
) -> Result<Received, Problem> {
    read(app, request, limit, true).await
}

async fn read(
    app: &Instance,
    request: Request,
    limit: usize,
    with_params: bool,
) -> Result<Received, Problem> {
    let (parts, mut body) = request.into_parts();
    let read = tokio::time::timeout(ARRIVAL_MAX, receive(app, &parts, &mut body, limit, with_params)).await;
    let (bytes, share) = match read {
        Ok(Ok(received)) => received,
        Ok(Err(problem)) => {
            if !parts.headers.contains_key(header::EXPECT) {
                discard(body).await;
            }
            return Err(problem);
        }
        Err(_) => {
            return Err(Problem::new(
                StatusCode::REQUEST_TIMEOUT,
                "REQUEST_TIMEOUT",
                "the request's body did not arrive within 30 s",
            ));
        }
    };
    Ok(Received { bytes, _share: share })
}

async fn receive(
    app: &Instance,
    parts: &Parts,
    body: &mut Body,
    limit: usize,
    with_params: bool,
) -> Result<(Vec<u8>, Share), Problem> {
    let stated =
        parts.headers.get(header::CONTENT_LENGTH).and_then(|v| v.to_str().ok()?.parse::<usize>().ok());
    if stated.is_some_and(|length| length > limit) {
        return Err(Problem::too_large(limit));
    }
    check_media_type(app, parts)?;
    if !with_params {
        Params::new(&parts.uri).finish()?;
    }
    let mut share = app.body_budget.try_take(0).ok_or_else(Problem::busy)?;
    let mut held = 0;
    let mut bytes = Vec::new();
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|_| Problem::invalid_body("the request's body broke off"))?;
        let Ok(data) = frame.into_data() else { continue };
        let length = bytes.len() + data.len();
        if length > limit {
            return Err(Problem::too_large(limit));
        }
        if length > held {
            // Grows by half, and the budget knows it.
            let more = (length - held).max(held / 2).next_multiple_of(TAKE_BYTES);
            share.merge(app.body_budget.try_take(more).ok_or_else(Problem::busy)?);
            held += more;
            bytes.reserve_exact(held - bytes.len());
        }
        bytes.extend_from_slice(&data);
    }
    Ok((bytes, share))
}

/// Takes in, for a moment, what is left of a refused body: a connection that is closed over unread bytes is
/// reset, and the client may never see the answer.
async fn discard(mut body: Body) {
    let rest = async {
        let mut left = DISCARDED_BYTES_MAX;
        while let Some(Ok(frame)) = body.frame().await {
            left = left.saturating_sub(frame.data_ref().map_or(0, bytes::Bytes::len));
            if left == 0 {
                return;
            }
        }
    };
    // Whether all of it came: the answer is the same.
    let _ = tokio::time::timeout(DISCARD_MAX, rest).await;
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
