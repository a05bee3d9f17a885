//! Requests to others: DID documents of hosts that a stranger names, and peers that an admin names.
//!
//! Both make this machine connect somewhere by somebody's word. So: a few at a time, three seconds, 64 KiB, no
//! redirect, no proxy, no address that was not checked, and nothing of the answer or of the reason for its lack
//! goes to the caller.

mod address;
mod cache;
mod fetch;
#[cfg(test)]
mod tests;

use std::{
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    sync::Arc,
};

use bytes::Bytes;
use reqwest::Url;

use address::Reach;
pub(crate) use address::valid_did_web_host;
use cache::Cache;
use fetch::{Fetcher, Lookup, System};

/// Most DID documents that are fetched at a time.
const STRANGERS_AT_ONCE: usize = 4;
/// Most documents of peers likewise. Apart from the others, so that no stranger keeps an admin from pairing.
const PEERS_AT_ONCE: usize = 16;
/// Longest URL of a peer.
const PEER_URL_BYTES_MAX: usize = 2048;

/// Why there is no document. For our own log only: who asked gets one and the same answer for all of them, or
/// it would be a way to look around in our network.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Unreachable {
    /// The host is none that is asked.
    #[error("this is no host that is asked")]
    Host,
    /// The host is, or has, an address that is not connected to.
    #[error("{0} is not connected to")]
    Address(IpAddr),
    /// The name has no address.
    #[error("the name has no address")]
    NoAddress,
    /// There was no turn in time.
    #[error("too many other requests are under way")]
    Busy,
    /// It took longer than the limit.
    #[error("no answer in time")]
    TimedOut,
    /// Anything but 200, redirects too.
    #[error("the status is {0}")]
    Status(u16),
    /// The answer is not JSON.
    #[error("the content type is not that of JSON")]
    ContentType,
    /// The answer is compressed, which was not asked for.
    #[error("the answer is encoded")]
    Encoded,
    /// The answer is larger than the limit.
    #[error("the answer is too large")]
    TooLarge,
    /// Name, connection, TLS or HTTP failed.
    #[error("{0}")]
    Failed(String),
}

/// The origin of a peer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct PeerUrl {
    url: Url,
    /// The origin: without the trailing slash.
    text: String,
}

impl PeerUrl {
    /// The peer's origin, if `text` is one: scheme `http` or `https`, host and perhaps a port. Hosts are made
    /// lower case, addresses are put in their usual spelling, default ports are dropped.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        // The parser repairs what it can (white space, `\`, `/../`, no slashes at all) and drops an empty user.
        // What it would repair is no origin.
        let (scheme, rest) = text.split_once("://")?;
        let authority = rest.strip_suffix('/').unwrap_or(rest);
        let plain = |b: u8| b.is_ascii_alphanumeric() || b".-_:[]".contains(&b);
        if text.len() > PEER_URL_BYTES_MAX || authority.is_empty() || !authority.bytes().all(plain) {
            return None;
        }
        if !scheme.eq_ignore_ascii_case("http") && !scheme.eq_ignore_ascii_case("https") {
            return None;
        }
        let url = Url::parse(text).ok()?;
        let host = url.host_str()?;
        // A name with the root's dot is the same host but another origin, and TLS knows no such names.
        if host.ends_with('.') || host.starts_with('.') || host.contains("..") {
            return None;
        }
        let text = url.as_str().strip_suffix('/')?.to_owned();
        Some(Self { url, text })
    }

    /// The origin, without a slash at its end.
    pub(crate) fn as_str(&self) -> &str {
        &self.text
    }

    /// The host, without the port; an IPv6 address is in brackets.
    pub(crate) fn host(&self) -> &str {
        self.url.host_str().unwrap_or_default()
    }

    /// Whether it is reached by TLS.
    pub(crate) fn is_https(&self) -> bool {
        self.url.scheme() == "https"
    }

    /// Whether it says that it is on this machine: `localhost`, 127/8 or `::1`.
    pub(crate) fn is_loopback(&self) -> bool {
        let host = self.host();
        host == "localhost"
            || host.parse().is_ok_and(|v4: Ipv4Addr| v4.is_loopback())
            || host.trim_matches(['[', ']']).parse() == Ok(Ipv6Addr::LOCALHOST)
    }
}

/// See the module. One for the whole server: the limits are its own.
pub(crate) struct Outgoing {
    strangers: Arc<Fetcher>,
    documents: Cache,
    peers: Fetcher,
}

impl std::fmt::Debug for Outgoing {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Outgoing")
    }
}

impl Outgoing {
    pub(crate) fn new() -> Self {
        // A resolver each: strangers can have all of theirs wait for a name server that never answers.
        Self::with_lookups(Arc::new(System::new()), Arc::new(System::new()))
    }

    fn with_lookups(strangers: Arc<dyn Lookup>, peers: Arc<dyn Lookup>) -> Self {
        Self {
            strangers: Arc::new(Fetcher::new(Reach::Global, strangers, STRANGERS_AT_ONCE)),
            documents: Cache::default(),
            peers: Fetcher::new(Reach::Peer, peers, PEERS_AT_ONCE),
        }
    }

    /// The DID document of `did:web:<host>`, fetched now or lately.
    ///
    /// # Errors
    /// Where the host gives none within the limits.
    pub(crate) async fn fetch_did_document(&self, host: &str) -> Result<Bytes, Unreachable> {
        if !valid_did_web_host(host) {
            return Err(Unreachable::Host);
        }
        let url = Url::parse(&format!("https://{host}/.well-known/did.json"));
        // The parser refuses or rewrites some names that are well formed (`xn--` followed by nonsense).
        let url = url.ok().filter(|url| url.host_str() == Some(host)).ok_or(Unreachable::Host)?;
        let strangers = self.strangers.clone();
        self.documents.get(host, || async move { strangers.fetch(url).await }).await
    }

    /// What the peer has at `path`, which begins with a slash; asked each time.
    ///
    /// # Errors
    /// Where the peer gives none within the limits.
    pub(crate) async fn fetch_peer(&self, peer: &PeerUrl, path: &str) -> Result<Bytes, Unreachable> {
        let mut url = peer.url.clone();
        url.set_path(path);
        self.peers.fetch(url).await
    }
}

#[cfg(test)]
mod parsing {
    use super::PeerUrl;

    #[test]
    fn origins_and_what_they_become() {
        let table = [
            ("http://a", "http://a", "a"),
            ("https://Example.COM/", "https://example.com", "example.com"),
            ("HTTPS://a.b:443", "https://a.b", "a.b"),
            ("http://a.b:80/", "http://a.b", "a.b"),
            ("https://a.b:80", "https://a.b:80", "a.b"),
            ("http://a.b:", "http://a.b", "a.b"),
            ("http://a_b:65535", "http://a_b:65535", "a_b"),
            ("http://127.1:7/", "http://127.0.0.1:7", "127.0.0.1"),
            ("http://0x7f.1", "http://127.0.0.1", "127.0.0.1"),
            ("http://2130706433", "http://127.0.0.1", "127.0.0.1"),
            ("http://[0:0::1]:8080", "http://[::1]:8080", "[::1]"),
            ("http://[::FFFF:1.2.3.4]", "http://[::ffff:102:304]", "[::ffff:102:304]"),
        ];
        for (text, origin, host) in table {
            let url = PeerUrl::parse(text).unwrap_or_else(|| panic!("{text}"));
            assert_eq!((url.as_str(), url.host()), (origin, host), "{text}");
            assert_eq!(url.is_https(), origin.starts_with("https"), "{text}");
            assert_eq!(PeerUrl::parse(origin).as_ref(), Some(&url), "{text}");
        }
    }

    #[test]
    fn what_is_no_origin() {
        #[rustfmt::skip]
        let refused = [
            "", "a", "//a", "http:", "http://", "http:///", "http:a", "http:/a", "http:///a", "http:\\\\a", "ftp://a", "ws://a",
            "file:///a", "http://a/b", "http://a//", "http://a/.", "http://a/?", "http://a?", "http://a?b", "http://a#",
            "http://a/#b", "http://u@a", "http://u:p@a", "http://@a", "http://:@a", " http://a", "http://a ", "http://a\n",
            "ht\ttp://a", "http://a\\", "http://a:65536", "http://a:x", "http://:80", "http://[::1", "http://[fe80::1%25lo]",
            "http://%6cocalhost", "http://a%00b", "http://a.", "http://a..b", "http://.a", "http://localhost.", "http://1.2.3.256",
            "http://a.1", "http://bücher.example", "http://a,b", "http://a*b", "blob:http://a", "http://xn--a",
        ];
        for text in refused {
            assert_eq!(PeerUrl::parse(text), None, "{text:?}");
        }
        let of_length = |n: usize| format!("http://{}", "a".repeat(n - 7));
        assert!(PeerUrl::parse(&of_length(2048)).is_some() && PeerUrl::parse(&of_length(2049)).is_none());
    }

    #[test]
    fn what_says_that_it_is_on_this_machine() {
        for text in [
            "http://localhost:1",
            "https://LOCALHOST",
            "http://127.0.0.1",
            "http://127.255.0.9",
            "http://[::1]",
            "http://0x7f.1",
        ] {
            assert!(PeerUrl::parse(text).unwrap().is_loopback(), "{text}");
        }
        for text in [
            "http://a.localhost",
            "http://localhost.a",
            "http://128.0.0.1",
            "http://[::2]",
            "http://[::ffff:127.0.0.1]",
            "http://0.0.0.0",
        ] {
            assert!(!PeerUrl::parse(text).unwrap().is_loopback(), "{text}");
        }
    }
}
