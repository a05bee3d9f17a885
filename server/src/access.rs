//! Who is asking, and whether such a request is served at all: hosts, origins, local proof.
//!
//! A page in a browser, a proxy in front and another user of the machine can all reach a loopback port.
//! Nothing here trusts an address alone.

use std::net::{IpAddr, Ipv6Addr, SocketAddr};

use axum::{
    extract::{ConnectInfo, Request},
    http::{Extensions, HeaderMap, HeaderName, HeaderValue, Method, StatusCode, Uri, header, request::Parts},
    response::{IntoResponse as _, Response},
};
use spl_projections::{
    World,
    authority::Presented,
    tokens::{TOKEN_BYTES_MAX, TokenId},
};
use subtle::ConstantTimeEq as _;

use crate::{
    app::{Instance, Mode},
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

/// What a browser asks before a public page calls a private address, and the answer to it.
const PRIVATE_NETWORK_ASKED: &str = "access-control-request-private-network";
const PRIVATE_NETWORK_ALLOWED: &str = "access-control-allow-private-network";

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
        && bool::from(proof.as_bytes().ct_eq(instance.local_proof.reveal().as_bytes()))
}

fn is_reading(method: &Method) -> bool {
    matches!(*method, Method::GET | Method::HEAD | Method::OPTIONS)
}

/// The first checks of every request, in the documented order: headers, host and origin, bootstrap. What passes goes
/// on to `next`.
pub(crate) async fn gate(
    app: &Instance,
    request: Request,
    next: impl AsyncFnOnce(Request) -> Response,
) -> Response {
    let mut response = match admit(app, &request) {
        Ok(Passed { listed, answer: Some(answer) }) => allow_origin(answer, listed.as_ref()),
        Ok(Passed { listed, answer: None }) => allow_origin(next(request).await, listed.as_ref()),
        Err(problem) => problem.into_response(),
    };
    if response.status() == StatusCode::UNAUTHORIZED {
        response.headers_mut().insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
    }
    response
}

/// What a request that may go on carries with it.
struct Passed {
    /// Its origin, where that is a listed one.
    listed: Option<HeaderValue>,
    /// The answer to a preflight.
    answer: Option<Response>,
}

/// Lets a listed origin's page read the answer.
fn allow_origin(mut response: Response, listed: Option<&HeaderValue>) -> Response {
    if let Some(origin) = listed {
        let headers = response.headers_mut();
        headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, origin.clone());
        headers.insert(
            header::ACCESS_CONTROL_EXPOSE_HEADERS,
            HeaderValue::from_static("x-request-id, Retry-After"),
        );
    }
    response
}

/// Whose page sends a request.
#[derive(PartialEq, Eq)]
enum Sender {
    /// No page.
    Nobody,
    /// One of the instance's own.
    Own,
    /// A listed one.
    Listed,
    /// Any other, `null` too.
    Foreign,
}

fn sender(app: &Instance, world: &World, headers: &HeaderMap) -> Sender {
    let mut origins = headers.get_all(header::ORIGIN).iter();
    let origin = match (origins.next(), origins.next()) {
        (None, _) => return Sender::Nobody,
        (Some(origin), None) => origin.to_str().unwrap_or_default(),
        (Some(_), Some(_)) => return Sender::Foreign,
    };
    if app.is_own_origin(world, origin) {
        Sender::Own
    } else if world.config.auth_cors_origins.value.iter().any(|listed| listed == origin) {
        Sender::Listed
    } else {
        Sender::Foreign
    }
}

fn admit(app: &Instance, request: &Request) -> Result<Passed, Problem> {
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
    let world = app.published.world();
    let mode = app.mode(&world);
    check_host(app, &world, mode, peer_of(request.extensions()), headers, uri, open)?;
    let sender = sender(app, &world, headers);
    let origin = || headers.get(header::ORIGIN).filter(|_| sender == Sender::Listed).cloned();
    if sender != Sender::Nobody
        && method == Method::OPTIONS
        && headers.contains_key(header::ACCESS_CONTROL_REQUEST_METHOD)
    {
        return if sender == Sender::Foreign {
            Err(foreign_origin())
        } else {
            Ok(Passed { listed: origin(), answer: Some(preflight(headers)) })
        };
    }
    if sender == Sender::Foreign && !is_reading(method) {
        return Err(foreign_origin());
    }
    if mode == Mode::Bootstrap && !open {
        return Err(Problem::bootstrap_required());
    }
    Ok(Passed { listed: origin(), answer: None })
}

fn foreign_origin() -> Problem {
    Problem::origin("pages of this origin may not act here")
        .hint("an admin lists it with `spl config auth-set-cors-origins <origin>`")
}

fn check_host(
    app: &Instance,
    world: &World,
    mode: Mode,
    peer: Option<Peer>,
    headers: &HeaderMap,
    uri: &Uri,
    open: bool,
) -> Result<(), Problem> {
    match mode {
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
        Mode::Secure => Ok(()),
        Mode::Bootstrap | Mode::Open if open => Ok(()),
        Mode::Bootstrap | Mode::Open => {
            let public = app.public_url(world).parse::<Uri>().ok();
            let public_host = public.as_ref().and_then(Uri::host);
            let known = host(headers, uri).is_some_and(|h| {
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

fn preflight(headers: &HeaderMap) -> Response {
    let mut response = (
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
        .into_response();
    if headers.get(PRIVATE_NETWORK_ASKED).is_some_and(|v| v == "true") {
        response.headers_mut().insert(PRIVATE_NETWORK_ALLOWED, HeaderValue::from_static("true"));
    }
    response
}

/// Where a request comes from.
pub(crate) fn peer_of(extensions: &Extensions) -> Option<Peer> {
    extensions.get::<ConnectInfo<SocketAddr>>().map(|c| Peer(c.0))
}

/// Whether a request comes from this machine directly and from no page.
pub(crate) fn is_local_and_no_page(parts: &Parts) -> bool {
    peer_of(&parts.extensions).is_some_and(|p| is_local(&p, &parts.headers, &parts.uri))
        && !parts.headers.contains_key(header::ORIGIN)
}

/// The bearer of a request.
///
/// # Errors
/// `AUTH_INVALID` where there is more than one: which of them is meant cannot be told.
pub(crate) fn presented(headers: &HeaderMap) -> Result<Presented, Problem> {
    let bearers: Vec<_> = headers.get_all(header::AUTHORIZATION).iter().map(bearer).collect();
    let keys: Vec<_> = headers.get_all(API_KEY).iter().map(|v| Some(v.as_bytes())).collect();
    let one = match (bearers.as_slice(), keys.as_slice()) {
        ([], []) => return Ok(Presented::Nothing),
        ([one], []) | ([], [one]) => *one,
        ([bearer], [key]) if bearer == key => *key,
        _ => return Err(Problem::ambiguous_credential()),
    };
    // Hashed before it is parsed: a stored digest proves the shape, and what is not stored is refused whatever
    // its shape. Only the length is bounded first.
    let text = one.filter(|t| t.len() <= TOKEN_BYTES_MAX).and_then(|t| std::str::from_utf8(t).ok());
    Ok(text.map_or(Presented::Malformed, |text| Presented::Token(TokenId::of(text))))
}

/// The token of an `Authorization: Bearer` line.
fn bearer(value: &HeaderValue) -> Option<&[u8]> {
    let (scheme, token) = value.as_bytes().split_at_checked(7)?;
    scheme.eq_ignore_ascii_case(b"bearer ").then(|| token.trim_ascii_start())
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
    let proof =
        || peer_of(&parts.extensions).is_some_and(|p| has_local_proof(app, &p, &parts.headers, &parts.uri));
    !parts.headers.contains_key(header::ORIGIN) && (credential || proof())
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
