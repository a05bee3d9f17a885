//! Which addresses are connected to, and which names are looked up at all.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::Unreachable;

/// How far a request may go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Reach {
    /// Where a stranger names the host: global unicast only.
    Global,
    /// Where an admin names the host: own networks too, but nothing that is nobody's address or that only this
    /// link knows, such as the metadata services of clouds.
    Peer,
}

/// An IPv4 network: its first address and the length of its prefix.
type Net4 = ([u8; 4], u32);
/// An IPv6 network likewise, by the first four groups.
type Net6 = ([u16; 4], u32);

/// IPv4 that is not global unicast (the IANA registry of special purposes, and multicast).
const NOT_GLOBAL_4: [Net4; 15] = [
    ([0, 0, 0, 0], 8),
    ([10, 0, 0, 0], 8),
    ([100, 64, 0, 0], 10),
    ([127, 0, 0, 0], 8),
    ([169, 254, 0, 0], 16),
    ([172, 16, 0, 0], 12),
    ([192, 0, 0, 0], 24),
    ([192, 0, 2, 0], 24),
    ([192, 88, 99, 0], 24),
    ([192, 168, 0, 0], 16),
    ([198, 18, 0, 0], 15),
    ([198, 51, 100, 0], 24),
    ([203, 0, 113, 0], 24),
    ([224, 0, 0, 0], 4),
    ([240, 0, 0, 0], 4),
];

/// IPv4 that no peer has. All of 0/8: Linux takes 0.0.0.0 for this machine.
const NO_PEER_4: [Net4; 4] =
    [([0, 0, 0, 0], 8), ([169, 254, 0, 0], 16), ([224, 0, 0, 0], 4), ([255, 255, 255, 255], 32)];

const GLOBAL_6: Net6 = ([0x2000, 0, 0, 0], 3);
/// What of 2000::/3 is not global unicast: protocol assignments (Teredo, benchmarking, ORCHID among them),
/// documentation, and 6to4, which is out of use and would only be a second spelling of IPv4.
const NOT_GLOBAL_6: [Net6; 4] =
    [([0x2001, 0, 0, 0], 23), ([0x2001, 0xdb8, 0, 0], 32), ([0x2002, 0, 0, 0], 16), ([0x3fff, 0, 0, 0], 20)];
/// IPv6 that no peer has: link-local, multicast, and the NAT64 prefix for local use, where the place of the
/// embedded address depends on a length that only the network knows.
const NO_PEER_6: [Net6; 3] = [([0xfe80, 0, 0, 0], 10), ([0xff00, 0, 0, 0], 8), ([0x64, 0xff9b, 1, 0], 48)];

fn within(bits: u128, first: u128, all: u32, prefix: u32) -> bool {
    (bits ^ first).checked_shr(all - prefix).unwrap_or_default() == 0
}

fn in4(address: Ipv4Addr, (first, prefix): Net4) -> bool {
    within(address.to_bits().into(), Ipv4Addr::from(first).to_bits().into(), 32, prefix)
}

fn in6(address: Ipv6Addr, ([a, b, c, d], prefix): Net6) -> bool {
    within(address.to_bits(), Ipv6Addr::new(a, b, c, d, 0, 0, 0, 0).to_bits(), 128, prefix)
}

/// The IPv4 address that an IPv6 one reaches: mapped, by NAT64 (what IPv6-only networks make of every IPv4
/// name), by 6to4, or in the compatible form of old.
fn embedded(address: Ipv6Addr) -> Option<Ipv4Addr> {
    let [a, b, c, d, e, f, g, h] = address.segments();
    let of = |high: u16, low: u16| Some(Ipv4Addr::from_bits(u32::from(high) << 16 | u32::from(low)));
    match [a, b, c, d, e, f] {
        [0, 0, 0, 0, 0, 0xffff] | [0x64, 0xff9b, 0, 0, 0, 0] => of(g, h),
        // `::` stays what no peer has, as 0.0.0.0.
        [0, 0, 0, 0, 0, 0] if !address.is_loopback() => of(g, h),
        [0x2002, high, low, ..] => of(high, low),
        _ => None,
    }
}

impl Reach {
    fn allows4(self, address: Ipv4Addr) -> bool {
        let refused: &[Net4] = match self {
            Self::Global => &NOT_GLOBAL_4,
            Self::Peer => &NO_PEER_4,
        };
        !refused.iter().any(|net| in4(address, *net))
    }

    fn allows6(self, address: Ipv6Addr) -> bool {
        let mapped_or_translated =
            matches!(address.segments(), [0, 0, 0, 0, 0, 0xffff, _, _] | [0x64, 0xff9b, 0, 0, 0, 0, _, _]);
        match (self, embedded(address)) {
            (Self::Global, Some(inner)) => mapped_or_translated && self.allows4(inner),
            (Self::Global, None) => {
                in6(address, GLOBAL_6) && !NOT_GLOBAL_6.iter().any(|net| in6(address, *net))
            }
            (Self::Peer, Some(inner)) => self.allows4(inner),
            (Self::Peer, None) => !NO_PEER_6.iter().any(|net| in6(address, *net)),
        }
    }

    /// Whether an address is connected to.
    pub(super) fn allows(self, address: IpAddr) -> bool {
        match address {
            IpAddr::V4(address) => self.allows4(address),
            IpAddr::V6(address) => self.allows6(address),
        }
    }

    /// Which of a name's addresses are connected to.
    ///
    /// A stranger's name must have nothing but global ones: an address beside them that is not is a mistake or
    /// an attempt, and an answer that depended on which of them was tried would be a way to ask about our
    /// network. Of a peer's name the refused ones are left out: in own networks a name often has a link-local
    /// address too (mDNS gives both).
    ///
    /// # Errors
    /// Where there are none, or one that must not be among them.
    pub(super) fn choose(self, mut found: Vec<IpAddr>) -> Result<Vec<IpAddr>, Unreachable> {
        let refused = found.iter().copied().find(|address| !self.allows(*address));
        found.retain(|address| self.allows(*address));
        match refused {
            Some(address) if self == Self::Global || found.is_empty() => Err(Unreachable::Address(address)),
            _ if found.is_empty() => Err(Unreachable::NoAddress),
            _ => Ok(found),
        }
    }
}

/// Whether a host may follow `did:web:`: a lower-case DNS name with a dot. Nothing that is or becomes an
/// address: a name whose last label is a number, hexadecimal too, is one to URL parsers.
pub(crate) fn valid_did_web_host(host: &str) -> bool {
    let label_ok = |label: &str| {
        (1..=63).contains(&label.len())
            && label.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    let is_number = |label: &str| match label.strip_prefix("0x") {
        Some(digits) => digits.bytes().all(|b| b.is_ascii_hexdigit()),
        None => label.bytes().all(|b| b.is_ascii_digit()),
    };
    host.len() <= 253
        && host.split('.').all(label_ok)
        && host.rsplit_once('.').is_some_and(|(_, last)| !is_number(last))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// (the last before, or "", first, last, the first after, or ""): of a range that is refused in between.
    type Edges = [&'static str; 4];

    const REFUSED_TO_STRANGERS: [Edges; 24] = [
        ["", "0.0.0.0", "0.255.255.255", "1.0.0.0"],
        ["9.255.255.255", "10.0.0.0", "10.255.255.255", "11.0.0.0"],
        ["100.63.255.255", "100.64.0.0", "100.127.255.255", "100.128.0.0"],
        ["126.255.255.255", "127.0.0.0", "127.255.255.255", "128.0.0.0"],
        ["169.253.255.255", "169.254.0.0", "169.254.255.255", "169.255.0.0"],
        ["172.15.255.255", "172.16.0.0", "172.31.255.255", "172.32.0.0"],
        ["191.255.255.255", "192.0.0.0", "192.0.0.255", "192.0.1.0"],
        ["192.0.1.255", "192.0.2.0", "192.0.2.255", "192.0.3.0"],
        ["192.88.98.255", "192.88.99.0", "192.88.99.255", "192.88.100.0"],
        ["192.167.255.255", "192.168.0.0", "192.168.255.255", "192.169.0.0"],
        ["198.17.255.255", "198.18.0.0", "198.19.255.255", "198.20.0.0"],
        ["198.51.99.255", "198.51.100.0", "198.51.100.255", "198.51.101.0"],
        ["203.0.112.255", "203.0.113.0", "203.0.113.255", "203.0.114.0"],
        ["223.255.255.255", "224.0.0.0", "239.255.255.255", ""],
        ["", "240.0.0.0", "255.255.255.255", ""],
        ["", "::", "::fffe:ffff:ffff", "::ffff:1.0.0.0"],
        ["::ffff:126.255.255.255", "::ffff:127.0.0.1", "::ffff:127.255.255.255", "::ffff:128.0.0.0"],
        ["64:ff9b::9.255.255.255", "64:ff9b::10.0.0.0", "64:ff9b::10.255.255.255", "64:ff9b::11.0.0.0"],
        ["64:ff9b::223.255.255.255", "64:ff9b:0:0:0:1::", "1fff:ffff::", "2000::"],
        ["2000:ffff:ffff::", "2001::", "2001:1ff:ffff:ffff:ffff:ffff:ffff:ffff", "2001:200::"],
        ["2001:db7:ffff::", "2001:db8::", "2001:db8:ffff::1", "2001:db9::"],
        ["2001:ffff:ffff::", "2002::", "2002:808:808::1", "2003::"],
        ["3ffe:ffff:ffff::", "3fff::", "3fff:fff:ffff:ffff::", "3fff:1000::"],
        ["3fff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", "4000::", "ffff::", ""],
    ];

    const NO_PEERS: [Edges; 14] = [
        ["", "0.0.0.0", "0.255.255.255", "1.0.0.0"],
        ["169.253.255.255", "169.254.0.0", "169.254.255.255", "169.255.0.0"],
        ["223.255.255.255", "224.0.0.0", "239.255.255.255", "240.0.0.0"],
        ["255.255.255.254", "255.255.255.255", "255.255.255.255", ""],
        ["", "::", "::", "::1"],
        ["::1", "::2", "::0.255.255.255", "::1.0.0.0"],
        ["::169.253.255.255", "::169.254.0.0", "::169.254.255.255", "::169.255.0.0"],
        ["::ffff:169.253.255.255", "::ffff:169.254.0.0", "::ffff:169.254.255.255", "::ffff:169.255.0.0"],
        [
            "64:ff9b::169.253.255.255",
            "64:ff9b::169.254.0.0",
            "64:ff9b::169.254.255.255",
            "64:ff9b::169.255.0.0",
        ],
        ["64:ff9b:0:ffff::", "64:ff9b:1::", "64:ff9b:1:ffff:ffff:ffff:ffff:ffff", "64:ff9b:2::"],
        ["2002:a9fd:ffff::1", "2002:a9fe::", "2002:a9fe:ffff::1", "2002:a9ff::1"],
        ["2002:dfff:ffff::1", "2002:e000::1", "2002:efff:ffff::1", "2002:f000::1"],
        ["fe7f:ffff::", "fe80::", "febf:ffff:ffff:ffff:ffff:ffff:ffff:ffff", "fec0::"],
        ["feff:ffff::", "ff00::", "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", ""],
    ];

    #[test]
    fn the_edges_of_every_range() {
        let tables: [(Reach, &[Edges]); 2] =
            [(Reach::Global, &REFUSED_TO_STRANGERS), (Reach::Peer, &NO_PEERS)];
        for (reach, [before, first, last, after]) in
            tables.iter().flat_map(|(r, t)| t.iter().map(|e| (*r, *e)))
        {
            for (address, allowed) in [(before, true), (first, false), (last, false), (after, true)] {
                let Ok(address) = address.parse::<IpAddr>() else { continue };
                assert_eq!(reach.allows(address), allowed, "{reach:?} {address}");
            }
        }
    }

    #[test]
    fn own_networks_have_peers_and_strangers_are_global() {
        for own in
            ["127.0.0.1", "::1", "10.1.2.3", "192.168.0.1", "100.64.0.1", "fd00::1", "::ffff:127.0.0.1"]
        {
            let own: IpAddr = own.parse().unwrap();
            assert!(Reach::Peer.allows(own) && !Reach::Global.allows(own), "{own}");
        }
        for global in ["8.8.8.8", "2606:4700::1111", "64:ff9b::8.8.8.8", "::ffff:8.8.8.8"] {
            let global: IpAddr = global.parse().unwrap();
            assert!(Reach::Peer.allows(global) && Reach::Global.allows(global), "{global}");
        }
    }

    #[test]
    fn one_bad_address_spoils_a_strangers_name_only() {
        let ips = |all: &[&str]| all.iter().map(|a| a.parse().unwrap()).collect::<Vec<IpAddr>>();
        let mixed = ips(&["8.8.8.8", "169.254.1.1"]);
        assert_eq!(Reach::Global.choose(mixed.clone()), Err(Unreachable::Address(mixed[1])));
        assert_eq!(Reach::Peer.choose(mixed), Ok(ips(&["8.8.8.8"])));
        let link_local = ips(&["fe80::1"]);
        assert_eq!(Reach::Peer.choose(link_local.clone()), Err(Unreachable::Address(link_local[0])));
        assert_eq!(Reach::Peer.choose(Vec::new()), Err(Unreachable::NoAddress));
    }

    #[test]
    fn a_did_web_host_is_a_dns_name_with_a_dot() {
        let long = |labels: usize, last: usize| {
            ["a".repeat(63).as_str()].repeat(labels).join(".") + "." + &"b".repeat(last)
        };
        for host in
            ["a.b", "example.com", "xn--bcher-kva.example", "1.2.3.4a", "a--b.c-d.e0", "1.0xg", &long(3, 61)]
        {
            assert!(valid_did_web_host(host), "{host}");
        }
        #[rustfmt::skip]
        let refused = [
            "", ".", "localhost", "Example.com", "example.com.", ".example.com", "a..b", "-a.b", "a-.b", "a.-b", "a.b-",
            "a_b.c", "a.b:443", "a.b%3A8443", "a.b/c", "a.b?c", "a.b#c", "u@a.b", "127.0.0.1", "1.2.3.4", "a.1", "a.0x1",
            "127.0.0.0x1", "a.0x", "[::1]", "bücher.example", "a b.c", "a.b\n", &long(1, 64), &long(3, 62),
        ];
        for host in refused {
            assert!(!valid_did_web_host(host), "{host}");
        }
    }
}
