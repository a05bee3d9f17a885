//! Who is asking, and whether such a request is served at all: hosts, origins, local proof.
//!
//! A page in a browser, a proxy in front and another user of the machine can all reach a loopback port.
//! Nothing here trusts an address alone.

use std::net::{IpAddr, Ipv6Addr, SocketAddr};

use axum::{
    extract::{ConnectInfo, Request, State},
    http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, Uri, header, request::Parts},
    middleware::Next,
    response::{IntoResponse as _, Response},
};
use subtle::ConstantTimeEq as _;

use crate::{
    app::{App, Instance, Mode},
    problem::Problem,
    routes::is_open,
};

/// Where the connection comes from.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Peer(pub(crate) SocketAddr);

/// The header of local proof.
pub(crate) const LOCAL_PROOF: HeaderName = HeaderName::from_static("x-syncropel-local");
/// The header of the claimed actor.
pub(crate) const ACTOR: HeaderName = HeaderName::from_static("x-syncropel-actor");

/// The other header that carries a token.
const API_KEY: HeaderName = HeaderName::from_static("x-api-key");

/// Headers that only an intermediary sets.
const FORWARDING: [&str; 3] = ["forwarded", "x-real-ip", "via"];
const FORWARDING_PREFIXES: [&str; 2] = ["x-forwarded-", "cf-"];

/// Headers longer than this, all together, are refused.
const HEADERS_BYTES_MAX: usize = 16 * 1024;

/// The one host that a request names, without its port; `None` unless it names exactly one.
fn host<'a>(headers: &'a HeaderMap, uri: &'a Uri) -> Option<&'a str> {
    let mut named = headers.get_all(header::HOST).iter();
    let from_header = match (named.next(), named.next()) {
        (Some(one), None) => Some(one.to_str().ok()?),
        (None, _) => None,
        (Some(_), Some(_)) => return None,
    };
    // HTTP/2 and absolute targets name it in the request line; where both do they must agree.
    let authority = match (from_header, uri.authority().map(axum::http::uri::Authority::as_str)) {
        (Some(a), Some(b)) if a != b => return None,
        (a, b) => a.or(b)?,
    };
    host_of(authority)
}

/// The host of an authority, without brackets. Nothing but a port may follow it: `[::1].example` is a name.
fn host_of(authority: &str) -> Option<&str> {
    let (host, rest) = match authority.strip_prefix('[') {
        Some(rest) => {
            let (address, rest) = rest.split_once(']')?;
            address.parse::<Ipv6Addr>().ok()?;
            (address, rest)
        }
        None => authority.split_at(authority.find(':').unwrap_or(authority.len())),
    };
    let port_ok = |port: &str| port.bytes().all(|b| b.is_ascii_digit()) && port.parse::<u16>().is_ok();
    let well_formed = rest.is_empty() || rest.strip_prefix(':').is_some_and(port_ok);
    (well_formed && !host.is_empty() && !host.contains('@')).then_some(host)
}

fn is_loopback_name(host: &str) -> bool {
    host.eq_ignore_ascii_case("localhost") || host.parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback())
}

/// Whether an origin names a loopback host.
pub(crate) fn has_loopback_host(origin: &str) -> bool {
    let uri = origin.parse::<Uri>().ok();
    uri.as_ref().and_then(Uri::host).is_some_and(|h| is_loopback_name(h.trim_matches(['[', ']'])))
}

/// Whether a request comes from this machine, names it by a loopback name, and through nobody.
fn is_local(peer: &Peer, headers: &HeaderMap, uri: &Uri) -> bool {
    let forwarded = headers.keys().any(|name| {
        FORWARDING.contains(&name.as_str())
            || FORWARDING_PREFIXES.iter().any(|p| name.as_str().starts_with(p))
    });
    peer.0.ip().to_canonical().is_loopback() && host(headers, uri).is_some_and(is_loopback_name) && !forwarded
}

/// Whether a local request carries the proof that its sender can read the home directory. Never from a page.
pub(crate) fn has_local_proof(instance: &Instance, peer: &Peer, headers: &HeaderMap, uri: &Uri) -> bool {
    let mut sent = headers.get_all(&LOCAL_PROOF).iter();
    let (Some(proof), None) = (sent.next(), sent.next()) else { return false };
    is_local(peer, headers, uri)
        && !headers.contains_key(header::ORIGIN)
        && bool::from(proof.as_bytes().ct_eq(instance.local_proof.as_bytes()))
}

/// Whether `origin` is one of the instance's own.
fn is_own_origin(instance: &Instance, origin: &str) -> bool {
    instance.own_origins.iter().any(|own| own == origin)
}

fn is_reading(method: &Method) -> bool {
    matches!(*method, Method::GET | Method::HEAD | Method::OPTIONS)
}

/// The first checks of every request, in the documented order: headers, host and origin, bootstrap.
pub(crate) async fn gate(State(app): State<App>, request: Request, next: Next) -> Response {
    match admit(&app, &request) {
        Ok(None) => next.run(request).await,
        Ok(Some(answer)) => answer,
        Err(problem) => problem.into_response(),
    }
}

fn admit(app: &Instance, request: &Request) -> Result<Option<Response>, Problem> {
    let (headers, uri, method) = (request.headers(), request.uri(), request.method());
    let bytes: usize = headers.iter().map(|(name, value)| name.as_str().len() + value.len() + 4).sum();
    if bytes > HEADERS_BYTES_MAX {
        return Err(Problem::new(
            StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE,
            "HEADERS_TOO_LARGE",
            format!("the headers are larger than {HEADERS_BYTES_MAX} bytes"),
        ));
    }
    let open = is_open(uri.path());
    let peer = request.extensions().get::<ConnectInfo<SocketAddr>>().map(|c| Peer(c.0));
    check_host(app, peer, headers, uri, open)?;
    if headers.contains_key(header::ORIGIN) {
        let own = |origin: &HeaderValue| origin.to_str().is_ok_and(|o| is_own_origin(app, o));
        let own = headers.get_all(header::ORIGIN).iter().all(own);
        if method == Method::OPTIONS && headers.contains_key(header::ACCESS_CONTROL_REQUEST_METHOD) {
            return if own { Ok(Some(preflight())) } else { Err(foreign_origin()) };
        }
        if !own && !is_reading(method) {
            return Err(foreign_origin());
        }
    }
    if app.mode == Mode::Bootstrap && !open {
        return Err(Problem::bootstrap_required());
    }
    Ok(None)
}

fn foreign_origin() -> Problem {
    Problem::origin("pages of this origin may not act here")
        .hint("no other origin is listed on this instance")
}

fn check_host(
    app: &Instance,
    peer: Option<Peer>,
    headers: &HeaderMap,
    uri: &Uri,
    open: bool,
) -> Result<(), Problem> {
    let named = host(headers, uri);
    match app.mode {
        Mode::InsecureLocalhost => {
            if peer.is_some_and(|p| is_local(&p, headers, uri)) {
                return Ok(());
            }
            Err(Problem::origin("with --insecure-localhost only requests from this machine are served").hint(
                format!(
                    "call http://127.0.0.1:{} directly, through no proxy and by no other name",
                    app.bound.port()
                ),
            ))
        }
        Mode::Bootstrap if open => Ok(()),
        Mode::Bootstrap => {
            let public = app.public_url.parse::<Uri>().ok();
            let public_host = public.as_ref().and_then(Uri::host);
            let known = named.is_some_and(|h| {
                h.eq_ignore_ascii_case("localhost")
                    || h.parse::<IpAddr>().is_ok()
                    || public_host.is_some_and(|p| p.eq_ignore_ascii_case(h))
            });
            if known {
                Ok(())
            } else {
                Err(Problem::origin(
                    "the Host header must name localhost, an address, or the host of the public URL",
                ))
            }
        }
    }
}

fn preflight() -> Response {
    (
        StatusCode::NO_CONTENT,
        [
            (header::ACCESS_CONTROL_ALLOW_METHODS, "GET, POST, PATCH, DELETE"),
            (
                header::ACCESS_CONTROL_ALLOW_HEADERS,
                "Authorization, x-api-key, Content-Type, X-Syncropel-Actor, Last-Event-ID",
            ),
            (header::ACCESS_CONTROL_MAX_AGE, "600"),
        ],
    )
        .into_response()
}

/// Refuses a route of the operator's unless the request carries local proof.
pub(crate) fn require_operator(app: &Instance, parts: &Parts) -> Result<(), Problem> {
    let peer = parts.extensions.get::<ConnectInfo<SocketAddr>>().map(|c| Peer(c.0));
    if peer.is_some_and(|p| has_local_proof(app, &p, &parts.headers, &parts.uri)) {
        Ok(())
    } else {
        Err(Problem::auth_required())
    }
}

/// Refuses a request with more than one credential, or actor: which of them is meant cannot be told. On routes
/// that are freed from credentials a single one that names nobody is ignored.
pub(crate) async fn one_caller(request: Request, next: Next) -> Response {
    let headers = request.headers();
    let bearers: Vec<_> = headers.get_all(header::AUTHORIZATION).iter().map(bearer).collect();
    let keys: Vec<_> = headers.get_all(API_KEY).iter().map(|v| Some(v.as_bytes())).collect();
    let agree = match (bearers.as_slice(), keys.as_slice()) {
        ([], [] | [_]) | ([_], []) => true,
        ([bearer], [key]) => bearer == key,
        _ => false,
    };
    if !agree {
        return Problem::ambiguous_credential().into_response();
    }
    match claimed_actor(headers) {
        Ok(_) => next.run(request).await,
        Err(problem) => problem.into_response(),
    }
}

/// The token of an `Authorization: Bearer` line.
fn bearer(value: &axum::http::HeaderValue) -> Option<&[u8]> {
    let (scheme, token) = value.as_bytes().split_at_checked(7)?;
    scheme.eq_ignore_ascii_case(b"bearer ").then_some(token)
}

/// The actor that the caller claims, if it claims one.
pub(crate) fn claimed_actor(headers: &HeaderMap) -> Result<Option<String>, Problem> {
    let mut claimed = headers.get_all(&ACTOR).iter();
    match (claimed.next(), claimed.next()) {
        (None, _) => Ok(None),
        (Some(actor), None) => {
            let text = actor.to_str().unwrap_or_default().to_owned();
            Ok(Some(spl_kernel::draft::check_actor(text).map_err(|_| {
                Problem::invalid_body("X-Syncropel-Actor must be a DID such as did:sync:user:alice")
            })?))
        }
        (Some(_), Some(_)) => Err(Problem::invalid_body("more than one X-Syncropel-Actor header")),
    }
}

/// Whether a form-typed body is taken for JSON, as plain curl sends it: only with a header that no page can
/// add to such a request unasked.
pub(crate) fn may_send_form(app: &Instance, parts: &Parts) -> bool {
    let credential = parts.headers.contains_key(header::AUTHORIZATION) || parts.headers.contains_key(API_KEY);
    !parts.headers.contains_key(header::ORIGIN) && (credential || require_operator(app, parts).is_ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_authority_is_a_host_and_at_most_a_port() {
        let well_formed = [
            ("localhost", "localhost"),
            ("localhost:80", "localhost"),
            ("127.0.0.1:65535", "127.0.0.1"),
            ("[::1]", "::1"),
            ("[::1]:80", "::1"),
            ("LOCALHOST:1", "LOCALHOST"),
        ];
        for (authority, host) in well_formed {
            assert_eq!(host_of(authority), Some(host), "{authority}");
        }
        let malformed = [
            "",
            ":80",
            "localhost:",
            "localhost:x",
            "localhost:+1",
            "localhost:65536",
            "localhost:80:80",
            "a@b",
            "localhost:80@evil.example",
            "[]",
            "[::1",
            "[::1]x",
            "[::1].evil.example",
            "[::1]:",
            "[::1]:x",
            "[localhost]",
            "[127.0.0.1]",
            "::1",
            "[::1]]:80",
            "[[::1]]",
        ];
        for authority in malformed {
            assert_eq!(host_of(authority), None, "{authority}");
        }
    }
}
