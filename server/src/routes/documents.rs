//! The published description of the API, and the page that shows it.

use axum::{
    extract::{Path, rejection::PathRejection},
    http::{Uri, header},
    response::{IntoResponse as _, Response},
};

use super::{answer, records::path_text};
use crate::{page::Params, problem::Problem};

/// The OpenAPI 3.1 document.
const OPENAPI: &str = include_str!("../pages/openapi.json");
const PAGE: &str = include_str!("../pages/api.html");
const SCRIPT: &str = include_str!("../pages/api.js");
const STYLE: &str = include_str!("../pages/api.css");

pub(super) const CONTENT_POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; \
     connect-src 'self'; manifest-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'; \
     require-trusted-types-for 'script'";

fn page(media_type: &'static str, text: &'static str) -> Response {
    let headers = [
        (header::CONTENT_TYPE, media_type),
        (header::CONTENT_SECURITY_POLICY, CONTENT_POLICY),
        (header::REFERRER_POLICY, "no-referrer"),
        (header::CACHE_CONTROL, "no-cache"),
    ];
    (headers, [("cross-origin-opener-policy", "same-origin")], text).into_response()
}

/// `GET /openapi.json`
pub(super) async fn openapi(uri: Uri) -> Response {
    answer(Params::new(&uri).finish().map(|()| page("application/json", OPENAPI)))
}

/// `GET /docs/api`
pub(super) async fn viewer() -> Response {
    page("text/html; charset=utf-8", PAGE)
}

/// `GET /docs/api/{asset}`
pub(super) async fn asset(asset: Result<Path<String>, PathRejection>) -> Response {
    answer(path_text(asset).and_then(|asset| match asset.as_str() {
        "api.js" => Ok(page("text/javascript; charset=utf-8", SCRIPT)),
        "api.css" => Ok(page("text/css; charset=utf-8", STYLE)),
        _ => Err(Problem::not_found("there is nothing at this path")),
    }))
}
