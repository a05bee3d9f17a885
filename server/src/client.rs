//! Who a request comes from, for limits by client: the peer, or, behind proxies that the operator trusts, whom
//! these name.

use std::net::{IpAddr, Ipv6Addr};

use axum::http::{HeaderMap, HeaderName};
use spl_projections::config::Cidr;

const FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
/// Most addresses of the header that are looked at.
const HOPS_MAX: usize = 32;

/// A client, as limits count it: an IPv4 address, or the /64 of an IPv6 one, which one household has to itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Client(IpAddr);

impl From<IpAddr> for Client {
    fn from(address: IpAddr) -> Self {
        Self(match address.to_canonical() {
            IpAddr::V4(v4) => v4.into(),
            IpAddr::V6(v6) => Ipv6Addr::from_bits(v6.to_bits() & !u128::from(u64::MAX)).into(),
        })
    }
}

/// The client of a request. `X-Forwarded-For` counts only where a trusted proxy sends it, and from the right: what
/// stands further left than the first address that is no such proxy, anybody can have written.
pub(crate) fn client_of(peer: IpAddr, headers: &HeaderMap, trusted: &[String]) -> Client {
    let trusted: Vec<Cidr> = trusted.iter().filter_map(|range| Cidr::parse(range)).collect();
    let is_trusted = |address: IpAddr| trusted.iter().any(|range| range.contains(address));
    let mut client = peer;
    if !is_trusted(peer) {
        return client.into();
    }
    let lines: Vec<&str> = headers.get_all(&FORWARDED_FOR).iter().filter_map(|v| v.to_str().ok()).collect();
    let hops = lines.iter().rev().flat_map(|line| line.rsplit(',')).take(HOPS_MAX);
    for hop in hops {
        let Some(address) = address_of(hop.trim()) else { break };
        client = address;
        if !is_trusted(address) {
            break;
        }
    }
    client.into()
}

/// An address, as some proxies write it: with a port, or in brackets.
fn address_of(text: &str) -> Option<IpAddr> {
    let socket = || text.parse::<std::net::SocketAddr>().ok().map(|s| s.ip());
    let bracketed = || text.strip_prefix('[')?.strip_suffix(']')?.parse().ok().map(IpAddr::V6);
    text.parse().ok().or_else(socket).or_else(bracketed)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seen(peer: &str, forwarded: &[&str], trusted: &[&str]) -> String {
        let mut headers = HeaderMap::new();
        for line in forwarded {
            headers.append(FORWARDED_FOR, line.parse().unwrap());
        }
        let trusted: Vec<String> = trusted.iter().map(|c| (*c).to_owned()).collect();
        client_of(peer.parse().unwrap(), &headers, &trusted).0.to_string()
    }

    #[test]
    fn only_trusted_proxies_say_who_the_client_is() {
        assert_eq!(seen("198.51.100.7", &["10.1.1.1"], &[]), "198.51.100.7");
        assert_eq!(seen("198.51.100.7", &["10.1.1.1"], &["127.0.0.0/8"]), "198.51.100.7");
        assert_eq!(seen("127.0.0.1", &["203.0.113.9"], &["127.0.0.0/8"]), "203.0.113.9");
        assert_eq!(seen("::ffff:127.0.0.1", &["203.0.113.9"], &["127.0.0.0/8"]), "203.0.113.9");
    }

    #[test]
    fn it_is_read_from_the_right_and_no_further_than_the_first_stranger() {
        let trusted = ["127.0.0.0/8", "10.0.0.0/8"];
        assert_eq!(seen("127.0.0.1", &["1.1.1.1, 203.0.113.9, 10.0.0.2"], &trusted), "203.0.113.9");
        assert_eq!(seen("127.0.0.1", &["1.1.1.1, 203.0.113.9", "10.0.0.2"], &trusted), "203.0.113.9");
        assert_eq!(seen("127.0.0.1", &["203.0.113.9, nonsense, 10.0.0.2"], &trusted), "10.0.0.2");
        assert_eq!(seen("127.0.0.1", &["10.0.0.3, 10.0.0.2"], &trusted), "10.0.0.3");
        assert_eq!(seen("127.0.0.1", &[""], &trusted), "127.0.0.1");
        assert_eq!(seen("127.0.0.1", &["[2001:db8::1]:4711"], &trusted), "2001:db8::");
        assert_eq!(seen("127.0.0.1", &["203.0.113.9:4711"], &trusted), "203.0.113.9");
    }

    #[test]
    fn an_ipv6_client_is_its_network() {
        assert_eq!(seen("2001:db8:1:2:3:4:5:6", &[], &[]), "2001:db8:1:2::");
        assert_eq!(seen("::ffff:198.51.100.7", &[], &[]), "198.51.100.7");
    }
}
