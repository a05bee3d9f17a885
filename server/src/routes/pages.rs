//! The pages that people use, embedded in the binary. Every page is the same document; which one it is the script
//! takes from the address, and what is on it from the API. Nothing of a record or an invite is in what is served here.

use axum::{
    extract::{Path, rejection::PathRejection},
    http::{HeaderName, header},
    response::{IntoResponse as _, Response},
};

use super::{answer, documents::CONTENT_POLICY, records::path_text};
use crate::problem::Problem;

const PAGE: &str = include_str!("../pages/studio/index.html");

/// Files of the pages: name, media type, content.
const FILES: [(&str, &str, &[u8]); 26] = [
    ("studio.css", "text/css; charset=utf-8", include_bytes!("../pages/studio/studio.css")),
    ("icon.svg", "image/svg+xml", include_bytes!("../pages/studio/icon.svg")),
    ("icon-192.png", "image/png", include_bytes!("../pages/studio/icon-192.png")),
    (
        "manifest.webmanifest",
        "application/manifest+json",
        include_bytes!("../pages/studio/manifest.webmanifest"),
    ),
    ("main.js", SCRIPT, include_bytes!("../pages/studio/main.js")),
    ("dom.js", SCRIPT, include_bytes!("../pages/studio/dom.js")),
    ("time.js", SCRIPT, include_bytes!("../pages/studio/time.js")),
    ("bytes.js", SCRIPT, include_bytes!("../pages/studio/bytes.js")),
    ("hash.js", SCRIPT, include_bytes!("../pages/studio/hash.js")),
    ("ed25519.js", SCRIPT, include_bytes!("../pages/studio/ed25519.js")),
    ("secrets.js", SCRIPT, include_bytes!("../pages/studio/secrets.js")),
    ("store.js", SCRIPT, include_bytes!("../pages/studio/store.js")),
    ("api.js", SCRIPT, include_bytes!("../pages/studio/api.js")),
    ("live.js", SCRIPT, include_bytes!("../pages/studio/live.js")),
    ("connection.js", SCRIPT, include_bytes!("../pages/studio/connection.js")),
    ("words.js", SCRIPT, include_bytes!("../pages/studio/words.js")),
    ("scan.js", SCRIPT, include_bytes!("../pages/studio/scan.js")),
    ("view-home.js", SCRIPT, include_bytes!("../pages/studio/view-home.js")),
    ("form.js", SCRIPT, include_bytes!("../pages/studio/form.js")),
    ("table.js", SCRIPT, include_bytes!("../pages/studio/table.js")),
    ("pairing-form.js", SCRIPT, include_bytes!("../pages/studio/pairing-form.js")),
    ("view-devices.js", SCRIPT, include_bytes!("../pages/studio/view-devices.js")),
    ("view-invite.js", SCRIPT, include_bytes!("../pages/studio/view-invite.js")),
    ("view-landing.js", SCRIPT, include_bytes!("../pages/studio/view-landing.js")),
    ("view-federated.js", SCRIPT, include_bytes!("../pages/studio/view-federated.js")),
    ("view-threads.js", SCRIPT, include_bytes!("../pages/studio/view-threads.js")),
];
const SCRIPT: &str = "text/javascript; charset=utf-8";

/// Every path of a page.
pub(super) const PATHS: [&str; 12] = [
    "/",
    "/local",
    "/local/dashboard",
    "/local/pair",
    "/local/tasks",
    "/local/threads",
    "/local/threads/{id}",
    "/settings/devices",
    "/i/{id}",
    "/pair",
    "/pair/federated",
    "/pair/complete",
];

/// Whether a path is that of a page, or of a file of one.
pub(super) fn is_page(path: &str) -> bool {
    let with_parameter = ["/studio/", "/i/", "/local/threads/"];
    PATHS.contains(&path)
        || with_parameter
            .iter()
            .any(|p| path.strip_prefix(p).is_some_and(|rest| !rest.is_empty() && !rest.contains('/')))
}

fn served(media_type: &'static str, content: &'static [u8]) -> Response {
    let headers = [
        (header::CONTENT_TYPE, media_type),
        (header::CONTENT_SECURITY_POLICY, CONTENT_POLICY),
        (header::REFERRER_POLICY, "no-referrer"),
        (header::CACHE_CONTROL, "no-cache"),
        (HeaderName::from_static("x-robots-tag"), "noindex"),
        (HeaderName::from_static("cross-origin-opener-policy"), "same-origin"),
        (HeaderName::from_static("permissions-policy"), "camera=(self)"),
    ];
    (headers, content).into_response()
}

/// A page. Parameters and query are for the script: nothing is looked up for them here.
pub(super) async fn page() -> Response {
    served("text/html; charset=utf-8", PAGE.as_bytes())
}

/// A file of the pages.
pub(super) async fn file(name: Result<Path<String>, PathRejection>) -> Response {
    answer(path_text(name).and_then(|name| {
        let found = FILES.iter().find(|(own, _, _)| *own == name);
        let (_, media_type, content) =
            found.ok_or_else(|| Problem::not_found("there is nothing at this path"))?;
        Ok(served(media_type, content))
    }))
}
