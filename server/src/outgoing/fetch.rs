//! One bounded GET to a host that somebody else named.

use std::{
    error::Error as StdError,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, ToSocketAddrs as _},
    pin::Pin,
    sync::Arc,
    time::Duration,
};

use bytes::Bytes;
use reqwest::{
    Client, Response, StatusCode, Url,
    dns::{Addrs, Name, Resolve, Resolving},
    header,
};
use tokio::sync::{OnceCell, Semaphore};

use super::{Unreachable, address::Reach};

/// For all of it: waiting for a turn, name, connection, headers and body.
pub(super) const LIMIT: Duration = Duration::from_secs(3);
/// Largest body.
pub(super) const BODY_BYTES_MAX: usize = 64 * 1024;
/// Most addresses of a name that are tried.
const ADDRESSES_MAX: usize = 8;
/// Most lookups under way. The system's resolver cannot be interrupted and takes longer than we wait; each holds
/// a thread of the pool that the rest of the server uses too.
const LOOKUPS_MAX: usize = 32;
/// Most characters of a reason that others had a say in.
const REASON_CHARS_MAX: usize = 300;

/// The addresses of a name, when they are known.
pub(super) type Found = Pin<Box<dyn Future<Output = Result<Vec<IpAddr>, Unreachable>> + Send>>;

/// Who knows the addresses of names.
pub(super) trait Lookup: Send + Sync {
    /// The addresses of `host`.
    fn lookup(&self, host: &str) -> Found;
}

/// The system's resolver.
pub(super) struct System {
    running: Arc<Semaphore>,
}

impl System {
    pub(super) fn new() -> Self {
        Self { running: Arc::new(Semaphore::new(LOOKUPS_MAX)) }
    }
}

impl Lookup for System {
    fn lookup(&self, host: &str) -> Found {
        let (permit, host) = (self.running.clone().try_acquire_owned(), host.to_owned());
        Box::pin(async move {
            let permit = permit.map_err(|_| Unreachable::Busy)?;
            let asked = tokio::task::spawn_blocking(move || {
                // Held until the lookup ends, not until nobody waits for it.
                let _permit = permit;
                (host.as_str(), 0).to_socket_addrs().map(|all| all.map(|a| a.ip()).collect())
            });
            match asked.await {
                Ok(Ok(addresses)) => Ok(addresses),
                Ok(Err(error)) => Err(failed(&error)),
                Err(error) => Err(failed(&error)),
            }
        })
    }
}

/// Gives the client no address but checked ones: what it connects to is what was looked at, with no second lookup
/// in between.
#[derive(Clone)]
struct Guard {
    reach: Reach,
    lookup: Arc<dyn Lookup>,
}

impl Resolve for Guard {
    fn resolve(&self, name: Name) -> Resolving {
        let (reach, name) = (self.reach, name.as_str());
        // Not what a name server says of it.
        let found: Found = if name == "localhost" {
            Box::pin(async { Ok(vec![Ipv4Addr::LOCALHOST.into(), Ipv6Addr::LOCALHOST.into()]) })
        } else {
            self.lookup.lookup(name)
        };
        Box::pin(async move {
            let addresses = reach.choose(found.await?)?;
            // Port 0 becomes the URL's.
            let addresses = addresses.into_iter().take(ADDRESSES_MAX).map(|ip| SocketAddr::new(ip, 0));
            Ok(Box::new(addresses) as Addrs)
        })
    }
}

/// Fetches documents within one reach.
pub(super) struct Fetcher {
    guard: Guard,
    turns: Semaphore,
    /// Made when first used, each: reading the system's certificates takes a while, and a machine that has none
    /// can still speak plain HTTP.
    secure: OnceCell<Client>,
    plain: OnceCell<Client>,
}

impl Fetcher {
    /// Fetches `at_once` documents at a time.
    pub(super) fn new(reach: Reach, lookup: Arc<dyn Lookup>, at_once: usize) -> Self {
        let guard = Guard { reach, lookup };
        Self { guard, turns: Semaphore::new(at_once), secure: OnceCell::new(), plain: OnceCell::new() }
    }

    /// The body of what is at `url`: JSON by its content type, with status 200.
    ///
    /// # Errors
    /// Where there is no such answer within the limits.
    pub(super) async fn fetch(&self, url: Url) -> Result<Bytes, Unreachable> {
        let host = url.host_str().unwrap_or_default().to_owned();
        let fetched = match self.turns.try_acquire() {
            Ok(_turn) => {
                tokio::time::timeout(LIMIT, self.get(url)).await.unwrap_or(Err(Unreachable::TimedOut))
            }
            Err(_) => {
                let in_turn = async {
                    let _turn = self.turns.acquire().await.map_err(|_| Unreachable::Busy)?;
                    self.get(url).await
                };
                // Not the host's fault, or not only.
                tokio::time::timeout(LIMIT, in_turn).await.unwrap_or(Err(Unreachable::Busy))
            }
        };
        if let Err(reason) = &fetched {
            tracing::info!(host, %reason, "no document was fetched");
        }
        fetched
    }

    async fn get(&self, url: Url) -> Result<Bytes, Unreachable> {
        // The client asks no resolver about a host that is an address already.
        let host = url.host_str().unwrap_or_default().trim_matches(['[', ']']);
        if let Ok(address) = host.parse::<IpAddr>() {
            self.guard.reach.choose(vec![address])?;
        }
        let client = self.client(url.scheme() == "https").await?;
        let request = client
            .get(url)
            .header(header::ACCEPT, "application/json, application/*+json")
            .header(header::ACCEPT_ENCODING, "identity");
        let answer = request.send().await.map_err(of_request)?;
        check_head(&answer)?;
        body_of(answer).await
    }

    async fn client(&self, secure: bool) -> Result<&Client, Unreachable> {
        let made = if secure { &self.secure } else { &self.plain };
        let make = || async {
            let guard = self.guard.clone();
            tokio::task::spawn_blocking(move || client(guard, secure)).await.map_err(|e| failed(&e))?
        };
        made.get_or_try_init(make).await
    }
}

fn client(guard: Guard, secure: bool) -> Result<Client, Unreachable> {
    // Fails only where a provider is installed already, which is as good.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let builder = Client::builder()
        .dns_resolver(Arc::new(guard))
        // The proxy would connect to addresses that nobody checked.
        .no_proxy()
        .redirect(reqwest::redirect::Policy::none())
        .retry(reqwest::retry::never())
        // A kept connection would outlive the check of its address.
        .pool_max_idle_per_host(0)
        // Shared out among a name's addresses, so that a dead one leaves time for the next.
        .connect_timeout(LIMIT)
        .http1_only()
        // Not even where a feature of some other crate turns it on: the limit is on what is read.
        .no_gzip()
        .no_brotli()
        .no_zstd()
        .no_deflate()
        .referer(false)
        .user_agent(concat!("spl/", env!("CARGO_PKG_VERSION")));
    let builder = if secure { builder.https_only(true) } else { builder.tls_certs_only([]) };
    builder.build().map_err(of_request)
}

fn check_head(answer: &Response) -> Result<(), Unreachable> {
    if answer.status() != StatusCode::OK {
        return Err(Unreachable::Status(answer.status().as_u16()));
    }
    let text = |name| answer.headers().get(name).map(|value| value.to_str().unwrap_or_default());
    if !text(header::CONTENT_TYPE).is_some_and(is_json) {
        return Err(Unreachable::ContentType);
    }
    if text(header::CONTENT_ENCODING).is_some_and(|encoding| !encoding.eq_ignore_ascii_case("identity")) {
        return Err(Unreachable::Encoded);
    }
    let too_large = |length: u64| length > BODY_BYTES_MAX as u64;
    if answer.content_length().is_some_and(too_large) { Err(Unreachable::TooLarge) } else { Ok(()) }
}

/// `application/json`, or what says in its suffix that it is JSON, as `application/did+json`.
fn is_json(content_type: &str) -> bool {
    let essence = content_type.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    let subtype = essence.strip_prefix("application/").unwrap_or_default();
    subtype == "json" || subtype.strip_suffix("+json").is_some_and(|kind| !kind.is_empty())
}

async fn body_of(mut answer: Response) -> Result<Bytes, Unreachable> {
    let mut body = Vec::new();
    while let Some(chunk) = answer.chunk().await.map_err(of_request)? {
        if body.len() + chunk.len() > BODY_BYTES_MAX {
            return Err(Unreachable::TooLarge);
        }
        body.extend_from_slice(&chunk);
    }
    // Without what was reserved beyond it: it may be kept for minutes.
    Ok(Bytes::from(body.into_boxed_slice()))
}

/// Why a request failed: our own word for it where the guard refused.
fn of_request(error: reqwest::Error) -> Unreachable {
    let timed_out = error.is_timeout();
    let error = error.without_url();
    let mut cause: Option<&(dyn StdError + 'static)> = Some(&error);
    while let Some(this) = cause {
        if let Some(ours) = this.downcast_ref::<Unreachable>() {
            return ours.clone();
        }
        cause = this.source();
    }
    if timed_out { Unreachable::TimedOut } else { failed(&error) }
}

fn failed(error: &dyn StdError) -> Unreachable {
    let mut reason = error.to_string();
    let mut cause = error.source();
    while let Some(this) = cause {
        reason = format!("{reason}: {this}");
        cause = this.source();
    }
    Unreachable::Failed(reason.chars().filter(|c| !c.is_control()).take(REASON_CHARS_MAX).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_lookup_has_its_place_until_it_ends() {
        let system = System { running: Arc::new(Semaphore::new(1)) };
        let found = system.lookup("127.0.0.1");
        assert_eq!(system.lookup("127.0.0.2").await, Err(Unreachable::Busy));
        assert_eq!(found.await, Ok(vec![Ipv4Addr::LOCALHOST.into()]));
        assert!(system.lookup("127.0.0.2").await.is_ok());
    }

    #[test]
    fn json_by_its_content_type() {
        for json in [
            "application/json",
            "application/json; charset=utf-8",
            "Application/DID+JSON",
            "application/did+ld+json ;x=y",
            "application/did+json",
        ] {
            assert!(is_json(json), "{json}");
        }
        for other in
            ["", "text/json", "text/html", "application/", "application/+json", "application/jsonp", "json"]
        {
            assert!(!is_json(other), "{other}");
        }
    }
}
