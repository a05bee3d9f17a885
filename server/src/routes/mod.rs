//! The routes: one file per family.

mod accounts;
mod config;
mod consent;
mod discovery;
mod documents;
mod export;
mod fields;
mod health;
mod invites;
mod operator;
mod pages;
mod pairs;
mod query;
mod records;
mod streams;
mod table;
mod tasks;
mod templates;
mod threads;
mod tokens;

use std::time::Duration;

use axum::http::StatusCode;
use axum::{
    Router,
    extract::{MatchedPath, Request, State},
    http::{HeaderName, HeaderValue, Method, header},
    middleware::{self, Next},
    response::{IntoResponse as _, Response},
    routing::{any, delete, get, post},
};
use spl_projections::invites::is_invite_id;
use tower_http::compression::CompressionLayer;

pub(crate) use self::invites::{InviteRates, row::Rows};
use self::table::route_of;
pub use self::table::{ROUTES, Route};
use crate::{
    access,
    app::{App, Instance},
    env,
    problem::Problem,
    session,
};

/// Routes that answer before any account exists, and from any origin.
const OPEN: [&str; 8] = [
    "/health",
    "/health/ready",
    "/openapi.json",
    "/v1/capabilities",
    "/v1/scope_presets",
    "/v1/bootstrap/service-account",
    "/.well-known/syncropel",
    DID_DOCUMENT,
];
/// Where other instances look for the instance's key.
const DID_DOCUMENT: &str = "/.well-known/did.json";
const OPEN_PREFIX: &str = "/docs/api";

/// Open routes that pages of any origin may read.
const READABLE_ANYWHERE: [&str; 6] = [
    "/health",
    "/health/ready",
    "/v1/capabilities",
    "/v1/scope_presets",
    "/.well-known/syncropel",
    DID_DOCUMENT,
];

/// Whether a path is open.
pub(crate) fn is_open(path: &str) -> bool {
    let invite = || {
        path.strip_prefix("/v1/invites/")
            .is_some_and(|rest| is_invite_id(rest.strip_suffix("/redeem").unwrap_or(rest)))
    };
    OPEN.contains(&path)
        || path == OPEN_PREFIX
        || path.starts_with("/docs/api/")
        || invite()
        || pages::is_page(path)
}

/// The router of an instance.
pub(crate) fn router(app: App) -> Router {
    let pages =
        pages::PATHS.into_iter().fold(Router::new(), |router, path| router.route(path, get(pages::page)));
    // They are the same for everybody: their length, once compressed, tells nothing.
    let pages = pages.route("/studio/{file}", get(pages::file)).layer(CompressionLayer::new());
    pages
        .route("/v1/records", get(records::list).post(records::create))
        .route("/v1/records/query", post(query::run))
        .route("/v1/records/{id}", get(records::get))
        .route("/v1/export", get(export::run))
        .route("/v1/threads", get(threads::list).post(threads::open))
        .route("/v1/threads/{id}", get(threads::get).delete(threads::cancel))
        .route("/v1/threads/{id}/state", get(threads::state))
        .route("/v1/threads/{id}/participants", get(threads::participants))
        .route("/v1/threads/{id}/records", get(threads::records))
        .route("/v1/threads/{id}/watch", get(streams::watch))
        .route("/v1/events/stream", get(streams::events))
        .route("/v1/tasks", get(tasks::list))
        .route("/v1/health", get(health::report))
        .route("/v1/identity", get(discovery::identity))
        .route("/v1/log/head", get(health::log_head))
        .route("/v1/capabilities", get(discovery::capabilities))
        .route("/v1/scope_presets", get(discovery::scope_presets))
        .route("/v1/bootstrap/service-account", post(accounts::bootstrap))
        .route("/v1/service-accounts", get(accounts::list).post(accounts::create))
        .route(
            "/v1/service-accounts/{id}",
            get(accounts::get).patch(accounts::update).delete(accounts::revoke),
        )
        .route("/v1/service-accounts/{id}/rotate-key", post(accounts::rotate_key))
        .route("/v1/tokens", get(tokens::list).post(tokens::create))
        .route("/v1/tokens/{token_id}", delete(tokens::revoke))
        .route("/v1/tokens/{token_id}/rotate", post(tokens::rotate))
        .route("/v1/consent/grants", get(consent::list).post(consent::grant))
        .route("/v1/consent/grants/{id}", delete(consent::revoke))
        .route("/v1/invites", get(invites::list).post(invites::issue))
        .route("/v1/invites/stream", get(invites::follow))
        .route("/v1/invites/audit", get(invites::feed))
        .route("/v1/invites/bulk-revoke", post(invites::bulk_revoke))
        .route("/v1/invites/sign-attestation", post(invites::sign))
        .route("/v1/invites/{id}", get(invites::preview))
        .route("/v1/invites/{id}/redeem", post(invites::redeem))
        .route("/v1/invites/{id}/revoke", post(invites::revoke))
        .route("/v1/invite-templates", get(templates::list).post(templates::save))
        .route("/v1/invite-templates/{id}", delete(templates::remove))
        .route("/v1/federation/pairs", get(pairs::list).post(pairs::pair))
        .route("/v1/federation/pairs/{id}", get(pairs::get).delete(pairs::unpair))
        .route("/v1/config", get(config::show))
        .route("/v1/config/permission-rules", get(config::rules))
        .route("/v1/config/{topic}", post(config::set))
        .route(table::KEPT[0], any(unknown_path))
        .route(table::KEPT[1], any(unknown_path))
        .route(table::KEPT[2], any(unknown_path))
        .route("/v1/backup", post(operator::backup))
        .route("/v1/verify", get(operator::verify))
        .route("/health", get(health::open))
        .route("/health/ready", get(health::ready))
        .route("/metrics", get(health::metrics))
        .route("/.well-known/syncropel", get(discovery::well_known))
        .route(DID_DOCUMENT, get(discovery::did_document))
        .route("/openapi.json", get(documents::openapi))
        .route("/docs/api", get(documents::viewer))
        .route("/docs/api/{asset}", get(documents::asset))
        .fallback(unknown_path)
        .method_not_allowed_fallback(unknown_method)
        // One layer and not one a step: each is copied and boxed anew for every request, with all that it is around.
        .layer(middleware::from_fn_with_state(app.clone(), pipeline))
        .with_state(app)
}

async fn unknown_path() -> Problem {
    Problem::not_found("there is nothing at this path")
        .hint("GET /openapi.json lists every route; /docs/api shows it")
}

async fn unknown_method() -> Problem {
    Problem::new(StatusCode::METHOD_NOT_ALLOWED, "METHOD_NOT_ALLOWED", "this path does not take this method")
        .hint("GET /openapi.json lists every route and its methods")
}

/// Methods that get a label of their own in metrics; a sender can make up any other.
fn method_label(method: &Method) -> &'static str {
    match *method {
        Method::GET => "GET",
        Method::POST => "POST",
        Method::DELETE => "DELETE",
        Method::PATCH => "PATCH",
        Method::OPTIONS => "OPTIONS",
        Method::HEAD => "HEAD",
        _ => "other",
    }
}

/// How many headers an answer usually has beside those of its content.
const ANSWER_HEADERS: usize = 6;
const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// A client's request id is kept only where it cannot carry anything else.
fn request_id(app: &Instance, request: &Request) -> HeaderValue {
    let kept = request.headers().get(&REQUEST_ID).filter(|id| {
        (8..=64).contains(&id.len()) && id.as_bytes().iter().all(|b| b.is_ascii_alphanumeric() || *b == b'-')
    });
    kept.cloned().unwrap_or_else(|| {
        HeaderValue::from_str(&app.request_ids.next()).unwrap_or(HeaderValue::from_static("unknown"))
    })
}

/// The way of every request: what it may be, whom it comes from, its route. What every answer carries, and what is
/// counted and logged of it: the matched route, never a path, query, header or body.
async fn pipeline(State(app): State<App>, request: Request, next: Next) -> Response {
    let started = env::monotonic();
    let method = method_label(request.method());
    let path = request.uri().path();
    let no_store = path.starts_with("/v1") || path.starts_with("/i/");
    let anywhere = READABLE_ANYWHERE.contains(&path);
    // Pages are for themselves: nobody else embeds or reads them.
    let shared = anywhere || (is_open(path) && !path.starts_with("/v1/") && !pages::is_page(path));
    let route = matched_route(&request);
    let id = request_id(&app, &request);
    let authenticated = async |request| match route {
        Some(route) => session::authenticate(&app, route, request, next).await,
        // There is no such method here, or nothing at all, which is answered after this.
        None => next.run(request).await,
    };
    let mut response = access::gate(&app, request, authenticated).await;
    let headers = response.headers_mut();
    // Once, rather than when the third and the sixth come.
    headers.reserve(ANSWER_HEADERS);
    headers.insert(REQUEST_ID, id.clone());
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.append(header::VARY, HeaderValue::from_static("Origin"));
    let policy = if shared { "cross-origin" } else { "same-origin" };
    headers.insert("cross-origin-resource-policy", HeaderValue::from_static(policy));
    if anywhere {
        headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, HeaderValue::from_static("*"));
    }
    if no_store {
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    }
    let status = response.status().as_u16();
    let seconds = env::monotonic().duration_since(started).as_secs_f64();
    let route = route.map_or("unmatched", |route| route.path);
    app.metrics.answered(method, route, status, seconds);
    tracing::debug!(method, route, status, request_id = id.to_str().unwrap_or_default(), "answered");
    response
}

/// The entry of a request in the table of routes.
fn matched_route(request: &Request) -> Option<&'static Route> {
    let path = request.extensions().get::<MatchedPath>()?;
    let method = if request.method() == Method::HEAD { &Method::GET } else { request.method() };
    route_of(method.as_str(), path.as_str())
}

/// Runs a read on a thread that may block.
pub(crate) async fn blocking<T: Send + 'static>(
    read: impl FnOnce() -> Result<T, Problem> + Send + 'static,
) -> Result<T, Problem> {
    match tokio::task::spawn_blocking(read).await {
        Ok(result) => result,
        Err(error) => Err(Problem::internal(&error)),
    }
}

/// Runs a point read: at once where it is, for to hand a read of microseconds to a thread that may block costs several
/// times the read. Should it have to wait for the disk, it says so itself ([`crate::disk::wait`]). Rules that are asked
/// about the record may take long, and do not run where other requests wait for their turn.
pub(crate) async fn point_read<T: Send + 'static>(
    session: &crate::session::Session,
    read: impl FnOnce() -> Result<T, Problem> + Send + 'static,
) -> Result<T, Problem> {
    if session.policy().is_some() { blocking(read).await } else { read() }
}

/// A walk over records waits this long for its turn.
const SCAN_WAIT_MAX: Duration = Duration::from_secs(10);

/// Runs a walk over records on a thread that may block. So many go on at a time; the others wait for a moment.
pub(crate) async fn scanning<T: Send + 'static>(
    app: &App,
    read: impl FnOnce() -> Result<T, Problem> + Send + 'static,
) -> Result<T, Problem> {
    let turn = tokio::time::timeout(SCAN_WAIT_MAX, app.scanning.clone().acquire_owned());
    let Ok(turn) = turn.await else { return Err(Problem::busy()) };
    blocking(move || {
        let _turn = turn;
        read()
    })
    .await
}

/// An answer or a problem, as an answer.
fn answer(result: Result<Response, Problem>) -> Response {
    result.unwrap_or_else(|problem| problem.into_response())
}
