//! Origins and address ranges, as configuration names them.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use spl_kernel::refusal::{Code, Refusal};

/// The parts of a normalised origin.
struct Origin {
    https: bool,
    host: String,
    text: String,
}

fn parse(text: &str) -> Option<Origin> {
    let lower = text.to_ascii_lowercase();
    let (https, rest) = match lower.strip_prefix("https://") {
        Some(rest) => (true, rest),
        None => (false, lower.strip_prefix("http://")?),
    };
    let authority = rest.strip_suffix('/').unwrap_or(rest);
    let (host, port) = match authority.strip_prefix('[') {
        Some(rest) => {
            let (address, port) = rest.split_once(']')?;
            // As browsers write it: compressed.
            (address.parse::<Ipv6Addr>().ok()?.to_string(), port)
        }
        None => {
            let at = authority.find(':').unwrap_or(authority.len());
            let (host, port) = authority.split_at(at);
            is_host(host).then(|| (host.to_owned(), port))?
        }
    };
    let port = match port.strip_prefix(':') {
        None if port.is_empty() => None,
        Some(digits) if digits.bytes().all(|b| b.is_ascii_digit()) => Some(digits.parse::<u16>().ok()?),
        _ => return None,
    };
    let shown = if host.contains(':') { format!("[{host}]") } else { host.clone() };
    let scheme = if https { "https" } else { "http" };
    let own_port = if https { 443 } else { 80 };
    let text = match port.filter(|p| *p != own_port) {
        Some(port) => format!("{scheme}://{shown}:{port}"),
        None => format!("{scheme}://{shown}"),
    };
    Some(Origin { https, host, text })
}

/// A DNS name or an IPv4 address in dotted form. What looks like a number in another notation is none: browsers
/// would take it for an address.
fn is_host(host: &str) -> bool {
    let labels: Vec<&str> = host.split('.').collect();
    let numeric = labels.last().is_some_and(|last| last.bytes().next().is_some_and(|b| b.is_ascii_digit()));
    let named = host.len() <= 253
        && labels.iter().all(|label| {
            (1..=63).contains(&label.len())
                && label
                    .bytes()
                    .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-' || b == b'_')
                && !label.starts_with('-')
                && !label.ends_with('-')
        });
    if numeric { host.parse::<Ipv4Addr>().is_ok() } else { named }
}

/// An origin as browsers write it: lower case, without the scheme's own port. `None` when it is none.
#[must_use]
pub fn normal_origin(text: &str) -> Option<String> {
    parse(text).map(|origin| origin.text)
}

/// Checks the address that others reach this instance under.
///
/// # Errors
/// `INVALID_BODY`: no origin, or plain `http` where others could listen in.
pub fn check_public_url(text: &str) -> Result<String, Refusal> {
    let origin = parse(text).ok_or_else(|| {
        Refusal::new(
            Code::InvalidBody,
            "`url` must be an origin such as https://spl.example.com, without a path",
        )
    })?;
    let host = origin.host.as_str();
    let near = match host.parse::<IpAddr>() {
        Ok(address) => is_near(address),
        Err(_) => host == "localhost" || host.ends_with(".local") || host.ends_with(".ts.net"),
    };
    if origin.https || near {
        return Ok(origin.text);
    }
    Err(Refusal::new(Code::InvalidBody, "`url` must be https for a host that others can reach").hint(
        "plain http is for localhost, private and tailnet addresses; docs/exposing.md shows proxies with TLS",
    ))
}

/// Whether a normalised origin is reached from its own machine only.
#[must_use]
pub fn is_loopback_origin(text: &str) -> bool {
    parse(text).is_some_and(|origin| match origin.host.parse::<IpAddr>() {
        Ok(address) => address.to_canonical().is_loopback(),
        Err(_) => origin.host == "localhost",
    })
}

/// Whether an address is a loopback, private or shared one.
fn is_near(address: IpAddr) -> bool {
    match address.to_canonical() {
        IpAddr::V4(v4) => {
            let [a, b, ..] = v4.octets();
            v4.is_loopback() || v4.is_private() || (a == 100 && (64..128).contains(&b))
        }
        IpAddr::V6(v6) => v6.is_loopback() || v6.is_unique_local(),
    }
}

/// A range of addresses.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cidr {
    address: IpAddr,
    bits: u8,
}

impl Cidr {
    /// Parses `10.0.0.0/8`, `::1/128`, or an address alone.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let (address, bits) = match text.split_once('/') {
            Some((address, bits)) if bits.bytes().all(|b| b.is_ascii_digit()) => {
                (address, bits.parse().ok()?)
            }
            Some(_) => return None,
            None => (text, u8::MAX),
        };
        let address: IpAddr = address.parse().ok()?;
        let most = if address.is_ipv4() { 32 } else { 128 };
        let bits = if text.contains('/') { bits } else { most };
        (bits <= most).then_some(Self { address, bits })
    }

    /// Whether an address is in the range.
    #[must_use]
    pub fn contains(&self, address: IpAddr) -> bool {
        let same = |a: u128, b: u128, width: u32| {
            let drop = width - u32::from(self.bits);
            drop >= width || a >> drop == b >> drop
        };
        match (self.address, address.to_canonical()) {
            (IpAddr::V4(a), IpAddr::V4(b)) => same(a.to_bits().into(), b.to_bits().into(), 32),
            (IpAddr::V6(a), IpAddr::V6(b)) => same(a.to_bits(), b.to_bits(), 128),
            _ => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn origins_are_written_as_browsers_write_them() {
        for (given, normal) in [
            ("https://Example.com", "https://example.com"),
            ("https://example.com/", "https://example.com"),
            ("https://example.com:443", "https://example.com"),
            ("http://example.com:80", "http://example.com"),
            ("http://localhost:3000", "http://localhost:3000"),
            ("http://[0:0::1]:8", "http://[::1]:8"),
            ("http://192.168.1.50:9100", "http://192.168.1.50:9100"),
        ] {
            assert_eq!(normal_origin(given).as_deref(), Some(normal), "{given}");
        }
        for bad in [
            "",
            "*",
            "null",
            "example.com",
            "ftp://example.com",
            "https://",
            "https://a/b",
            "https://a?b",
            "https://u@a",
            "https://a:",
            "https://a:65536",
            "https://a b",
            "https://é.com",
            "http://0x7f.1",
            "http://127.1",
            "https://-a",
            "https://a..b",
            "http://[::1",
            "https://*.example.com",
            "https://a#b",
        ] {
            assert_eq!(normal_origin(bad), None, "{bad}");
        }
    }

    #[test]
    fn plain_http_is_for_what_is_near() {
        for good in [
            "https://spl.example.com",
            "http://localhost:9100",
            "http://127.0.0.1",
            "http://10.1.2.3:9100",
            "http://100.64.0.1:9100",
            "http://box.local",
            "http://box.tail.ts.net",
            "http://[fd00::1]:1",
        ] {
            assert!(check_public_url(good).is_ok(), "{good}");
        }
        for bad in [
            "http://spl.example.com",
            "http://8.8.8.8",
            "http://100.128.0.1",
            "http://local",
            "http://x.ts.net.evil",
        ] {
            assert!(check_public_url(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn ranges_hold_their_addresses() {
        let within =
            |range: &str, address: &str| Cidr::parse(range).unwrap().contains(address.parse().unwrap());
        assert!(within("10.0.0.0/8", "10.255.0.1"));
        assert!(!within("10.0.0.0/8", "11.0.0.1"));
        assert!(within("0.0.0.0/0", "1.2.3.4"));
        assert!(within("127.0.0.1", "127.0.0.1"));
        assert!(!within("127.0.0.1", "127.0.0.2"));
        assert!(within("fd00::/8", "fd12::1"));
        assert!(within("10.0.0.0/8", "::ffff:10.0.0.1"));
        for bad in ["", "10.0.0.0/33", "10.0.0.0/", "10.0.0.0/+8", "x/8", "::1/129"] {
            assert_eq!(Cidr::parse(bad), None, "{bad}");
        }
    }
}
