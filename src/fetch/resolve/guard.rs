//! The guard that keeps discovered links away from private networks.
//!
//! Decides which addresses a request may connect to: a guarded one to public addresses only, and none to a network that is
//! denied (`--deny-cidr`). It judges addresses, and of names only those that are loopback by definition; it never looks
//! one up. Called by the resolver with what a name stands for, and by `client` with the literals of URLs, which no
//! resolver gets to see.
//!
//! Sources: the IANA special-purpose address registries (RFC 6890 and successors), RFC 4291 2.4 (global unicast is
//! 2000::/3), RFC 6052 (NAT64), RFC 3056 (6to4), RFC 6761 6.3 (localhost).

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::Arc;

use ipnet::{IpNet, Ipv4Net, Ipv6Net};

use crate::model::url::Url;

const fn v4(a: u8, b: u8, c: u8, length: u8) -> Ipv4Net {
    Ipv4Net::new_assert(Ipv4Addr::new(a, b, c, 0), length)
}

const fn v6(a: u16, b: u16, length: u8) -> Ipv6Net {
    Ipv6Net::new_assert(Ipv6Addr::new(a, b, 0, 0, 0, 0, 0, 0), length)
}

const PRIVATE_V4: [Ipv4Net; 16] = [
    v4(0, 0, 0, 8),       // "this network"; Linux connects 0.0.0.0 to loopback
    v4(10, 0, 0, 8),      // private
    v4(100, 64, 0, 10),   // shared by carriers (CGNAT); Alibaba's metadata service is 100.100.100.200
    v4(127, 0, 0, 8),     // loopback
    v4(169, 254, 0, 16),  // link-local, with the metadata services of most clouds
    v4(172, 16, 0, 12),   // private
    v4(192, 0, 0, 24),    // protocol assignments; Oracle's metadata service was 192.0.0.192
    v4(192, 0, 2, 24),    // documentation
    v4(192, 88, 99, 24),  // 6to4 relays, retired
    v4(192, 168, 0, 16),  // private
    v4(198, 18, 0, 15),   // benchmarks
    v4(198, 51, 100, 24), // documentation
    v4(203, 0, 113, 24),  // documentation
    v4(224, 0, 0, 4),     // multicast
    v4(240, 0, 0, 4),     // reserved, broadcast
    AZURE,
];

/// Azure's "wire server", which gives a virtual machine its settings: by its number it would be public.
const AZURE: Ipv4Net = Ipv4Net::new_assert(Ipv4Addr::new(168, 63, 129, 16), 32);

/// What the internet routes. All else is loopback, link-local, unique local, multicast, an IPv4 address in a form that is
/// of this machine only, or not assigned to anything.
const GLOBAL_V6: Ipv6Net = v6(0x2000, 0, 3);

/// What is in [`GLOBAL_V6`], and not of the internet.
const PRIVATE_V6: [Ipv6Net; 3] = [
    v6(0x2001, 0, 23),      // protocol assignments: Teredo, benchmarks, ORCHID
    v6(0x2001, 0x0db8, 32), // documentation
    v6(0x3fff, 0, 20),      // documentation
];

/// Whether an address is not on the public internet: private, loopback, link-local, shared by carriers, multicast,
/// reserved, or a metadata service of a cloud. An IPv6 address that stands for an IPv4 address (mapped, NAT64, 6to4) is
/// what that one is.
#[must_use]
pub fn is_private(address: IpAddr) -> bool {
    let of_v4 = |address: Ipv4Addr| PRIVATE_V4.iter().any(|net| net.contains(&address));
    match address {
        IpAddr::V4(address) => of_v4(address),
        IpAddr::V6(address) => stands_for(address).map_or_else(
            || !GLOBAL_V6.contains(&address) || PRIVATE_V6.iter().any(|net| net.contains(&address)),
            of_v4,
        ),
    }
}

/// The IPv4 address that traffic to this IPv6 address ends up at.
fn stands_for(address: Ipv6Addr) -> Option<Ipv4Addr> {
    match address.segments() {
        [0, 0, 0, 0, 0, 0xffff, high, low] | [0x0064, 0xff9b, 0, 0, 0, 0, high, low] | [0x2002, high, low, ..] => {
            Some(Ipv4Addr::from((u32::from(high) << 16) | u32::from(low)))
        }
        _ => None,
    }
}

/// Whether the host of a URL is, without asking DNS, known to be private: an IP literal, in any of the spellings that
/// the URL standard reads as one (`127.1`, `2130706433`), or a `localhost` name.
#[must_use]
pub fn literal_is_private(url: &Url) -> bool {
    Guard::new(true, Arc::default()).forbids_literal(url)
}

/// Whether the host of a URL is an IP literal of one of these networks (`--deny-cidr`).
#[must_use]
pub fn literal_is_denied(url: &Url, denied: &[IpNet]) -> bool {
    Guard::new(false, denied.into()).forbids_literal(url)
}

/// Names that are loopback wherever they are asked, and go to no name server (RFC 6761 6.3).
pub(super) fn is_localhost(name: &str) -> bool {
    let name = name.strip_suffix('.').unwrap_or(name);
    let last = name.rsplit('.').next().unwrap_or_default();
    last.eq_ignore_ascii_case("localhost")
}

/// What a request may not connect to.
#[derive(Debug, Clone, Default)]
pub(in crate::fetch) struct Guard {
    /// Everything private.
    private: bool,
    /// By the user, for every request.
    denied: Arc<[IpNet]>,
}

impl Guard {
    pub(super) fn new(private: bool, denied: Arc<[IpNet]>) -> Self {
        Self { private, denied }
    }

    /// Whether it forbids anything.
    pub(in crate::fetch) fn is_on(&self) -> bool {
        self.private || !self.denied.is_empty()
    }

    pub(in crate::fetch) fn forbids(&self, address: IpAddr) -> bool {
        let within = |address: IpAddr| self.denied.iter().any(|net| net.contains(&address));
        let inner = match address {
            IpAddr::V6(address) => stands_for(address).map(IpAddr::V4),
            IpAddr::V4(_) => None,
        };
        (self.private && is_private(address)) || within(address) || inner.is_some_and(within)
    }

    /// Whether it forbids the host of a URL without asking DNS.
    pub(in crate::fetch) fn forbids_literal(&self, url: &Url) -> bool {
        match url.host() {
            Some(url::Host::Ipv4(address)) => self.forbids(address.into()),
            Some(url::Host::Ipv6(address)) => self.forbids(address.into()),
            Some(url::Host::Domain(name)) => self.private && is_localhost(name),
            None => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_of_private_networks_are_private() {
        for address in [
            "0.0.0.0",
            "10.1.2.3",
            "100.64.0.1",
            "100.127.255.255",
            "127.0.0.1",
            "127.255.0.9",
            "169.254.169.254",
            "172.16.0.1",
            "172.31.255.255",
            "192.168.1.1",
            "168.63.129.16",
            "100.100.100.200",
            "198.19.0.1",
            "224.0.0.1",
            "255.255.255.255",
            "::",
            "::1",
            "::ffff:127.0.0.1",
            "::ffff:10.0.0.1",
            "64:ff9b::7f00:1",
            "64:ff9b::a00:1",
            "64:ff9b:1::1",
            "fc00::1",
            "fdff::1",
            "fe80::1",
            "febf::1",
            "ff02::1",
            "2001:db8::1",
            "2002:7f00:1::",
            "2002:a9fe:a9fe::1",
            "2001:0:4136:e378:8000:63bf:3fff:fdd2",
            "::ffff:0:127.0.0.1",
            "fd00:ec2::254",
            "fec0::1",
            "4000::1",
            "3fff::1",
            "::127.0.0.1",
        ] {
            assert!(is_private(address.parse().unwrap()), "{address}");
        }
    }

    #[test]
    fn public_addresses_are_not() {
        for address in [
            "1.1.1.1",
            "100.63.255.255",
            "100.128.0.0",
            "172.15.0.1",
            "172.32.0.1",
            "192.167.1.1",
            "93.184.216.34",
            "223.255.255.255",
            "168.63.129.17",
            "2606:4700::1",
            "2a00:1450::1",
            "::ffff:1.1.1.1",
            "64:ff9b::101:101",
            "2002:101:101::",
        ] {
            assert!(!is_private(address.parse().unwrap()), "{address}");
        }
    }

    #[test]
    fn literals_are_found_in_every_spelling() {
        for (url, private) in [
            ("http://127.0.0.1/", true),
            ("http://2130706433/", true),
            ("http://0x7f.1/", true),
            ("http://017700000001/", true),
            ("http://[::1]:8080/", true),
            ("http://[::ffff:7f00:1]/", true),
            ("http://localhost/", true),
            ("http://a.localhost./", true),
            ("http://notlocalhost/", false),
            ("http://1.1.1.1/", false),
            ("http://example.org/", false),
        ] {
            assert_eq!(literal_is_private(&Url::parse(url).unwrap()), private, "{url}");
        }
    }

    #[test]
    fn a_denied_network_is_denied_in_every_form() {
        let guard = |private, nets: &[&str]| Guard::new(private, nets.iter().map(|net| net.parse().unwrap()).collect());
        let forbids = |guard: &Guard, address: &str| guard.forbids(address.parse().unwrap());
        let denying = guard(false, &["93.184.216.0/24", "2606:4700::/32"]);
        for address in ["93.184.216.34", "::ffff:93.184.216.34", "64:ff9b::5db8:d822", "2606:4700::1"] {
            assert!(forbids(&denying, address), "{address}");
        }
        assert!(!forbids(&denying, "93.184.217.1") && !forbids(&denying, "127.0.0.1"));
        assert!(denying.is_on() && !guard(false, &[]).is_on() && guard(true, &[]).is_on());
        let both = guard(true, &["93.184.216.0/24"]);
        assert!(forbids(&both, "93.184.216.34") && forbids(&both, "127.0.0.1") && !forbids(&both, "1.1.1.1"));
        let url = Url::parse("http://93.184.216.34/").unwrap();
        assert!(denying.forbids_literal(&url) && !guard(true, &[]).forbids_literal(&url));
        assert!(!denying.forbids_literal(&Url::parse("http://localhost/").unwrap()));
    }
}
