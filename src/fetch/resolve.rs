//! Names to addresses, and the guard that keeps discovered links away from private networks.
//!
//! Decides which addresses a guarded request may connect to. Since the connector is given only the addresses that are
//! left, there is no second look-up between the check and the connect that could answer differently (DNS rebinding).
//! Never sees IP literals: the connector skips its resolver for them, so [`literal_is_private`] is asked before the send.
//! Called by `client`.
//!
//! Sources: the IANA special-purpose address registries (RFC 6890 and successors), RFC 6052 (NAT64), RFC 3056 (6to4),
//! RFC 6761 6.3 (localhost).

use std::future::Future;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use hyper_util::client::legacy::connect::dns;
use ipnet::{Ipv4Net, Ipv6Net};
use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use tower_service::Service;

use crate::model::url::Url;

const fn v4(a: u8, b: u8, c: u8, length: u8) -> Ipv4Net {
    Ipv4Net::new_assert(Ipv4Addr::new(a, b, c, 0), length)
}

const fn v6(a: u16, b: u16, c: u16, length: u8) -> Ipv6Net {
    Ipv6Net::new_assert(Ipv6Addr::new(a, b, c, 0, 0, 0, 0, 0), length)
}

const PRIVATE_V4: [Ipv4Net; 15] = [
    v4(0, 0, 0, 8),       // "this network"; Linux connects 0.0.0.0 to loopback
    v4(10, 0, 0, 8),      // private
    v4(100, 64, 0, 10),   // shared by carriers (CGNAT)
    v4(127, 0, 0, 8),     // loopback
    v4(169, 254, 0, 16),  // link-local, with the metadata services of clouds
    v4(172, 16, 0, 12),   // private
    v4(192, 0, 0, 24),    // protocol assignments
    v4(192, 0, 2, 24),    // documentation
    v4(192, 88, 99, 24),  // 6to4 relays, retired
    v4(192, 168, 0, 16),  // private
    v4(198, 18, 0, 15),   // benchmarks
    v4(198, 51, 100, 24), // documentation
    v4(203, 0, 113, 24),  // documentation
    v4(224, 0, 0, 4),     // multicast
    v4(240, 0, 0, 4),     // reserved, broadcast
];

const PRIVATE_V6: [Ipv6Net; 11] = [
    v6(0, 0, 0, 96),           // unspecified, loopback, IPv4-compatible (retired)
    v6(0x0064, 0xff9b, 1, 48), // NAT64 for local use
    v6(0x0100, 0, 0, 64),      // discard
    v6(0x2001, 0, 0, 32),      // Teredo
    v6(0x2001, 0x0db8, 0, 32), // documentation
    v6(0x3fff, 0, 0, 20),      // documentation
    v6(0x5f00, 0, 0, 16),      // segment routing
    v6(0xfc00, 0, 0, 7),       // unique local
    v6(0xfe80, 0, 0, 10),      // link-local
    v6(0xfec0, 0, 0, 10),      // site-local (retired)
    v6(0xff00, 0, 0, 8),       // multicast
];

/// Whether an address is not on the public internet: private, loopback, link-local, shared by carriers, multicast,
/// reserved. An IPv6 address that stands for an IPv4 address (mapped, NAT64, 6to4) is what that one is.
#[must_use]
pub fn is_private(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => PRIVATE_V4.iter().any(|net| net.contains(&address)),
        IpAddr::V6(address) => match stands_for(address) {
            Some(inner) => PRIVATE_V4.iter().any(|net| net.contains(&inner)),
            None => PRIVATE_V6.iter().any(|net| net.contains(&address)),
        },
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
    match url.host() {
        Some(url::Host::Ipv4(address)) => is_private(address.into()),
        Some(url::Host::Ipv6(address)) => is_private(address.into()),
        Some(url::Host::Domain(name)) => {
            let name = name.strip_suffix('.').unwrap_or(name);
            name == "localhost" || name.ends_with(".localhost")
        }
        None => false,
    }
}

/// Why a name gave no address to connect to.
#[derive(Debug, thiserror::Error)]
pub(super) enum ResolveError {
    /// The name does not exist, or has no address.
    #[error("the name does not resolve")]
    NotFound,
    /// The resolver could not tell.
    #[error("{0}")]
    Unavailable(io::Error),
    /// All addresses are private, and the request is guarded.
    #[error("the name resolves to private addresses only")]
    Private,
}

/// A name that gave no address.
#[derive(Debug, thiserror::Error)]
#[error("{cause}")]
pub(super) struct NameError {
    pub(super) cause: ResolveError,
    /// It is the name of a proxy, not of the server.
    pub(super) of_proxy: bool,
}

/// getaddrinfo, and the guard over its answers if there is one.
#[derive(Debug, Clone)]
pub(super) struct Resolver {
    guarded: bool,
    /// Names of proxies: they come from the user, and are usually private.
    proxies: Arc<[Box<str>]>,
}

impl Resolver {
    pub(super) fn new(guarded: bool, proxies: Arc<[Box<str>]>) -> Self {
        Self { guarded, proxies }
    }
}

impl Resolver {
    fn addresses(&self, name: &str) -> impl Future<Output = Result<Addresses, NameError>> + Send + use<> {
        let of_proxy = self.proxies.iter().any(|proxy| **proxy == *name);
        let guarded = self.guarded && !of_proxy;
        let name: Box<str> = name.into();
        async move {
            let found = look_up(&name).await;
            let found = if guarded { found.and_then(public_only) } else { found };
            found.map(Vec::into_iter).map_err(|cause| NameError { cause, of_proxy })
        }
    }
}

type Addresses = std::vec::IntoIter<SocketAddr>;

/// For reqwest.
impl Resolve for Resolver {
    fn resolve(&self, name: Name) -> Resolving {
        let addresses = self.addresses(name.as_str());
        Box::pin(async move { Ok(Box::new(addresses.await?) as Addrs) })
    }
}

/// For the plain connector.
impl Service<dns::Name> for Resolver {
    type Response = Addresses;
    type Error = NameError;
    type Future = Pin<Box<dyn Future<Output = Result<Addresses, NameError>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), NameError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, name: dns::Name) -> Self::Future {
        Box::pin(self.addresses(name.as_str()))
    }
}

/// Port 0 is replaced by the one of the URL in the connector. Waits at most for the connect timeout, within which the
/// connector calls this.
async fn look_up(name: &str) -> Result<Vec<SocketAddr>, ResolveError> {
    // A SOCKS connector asks for literals too, and leaves the brackets on.
    let name = name.trim_matches(['[', ']']);
    let addresses: Vec<_> = match tokio::net::lookup_host((name, 0)).await {
        Ok(addresses) => addresses.collect(),
        Err(error) => return Err(no_descriptor().map_or_else(|| of_getaddrinfo(error), ResolveError::Unavailable)),
    };
    if addresses.is_empty() { Err(ResolveError::NotFound) } else { Ok(addresses) }
}

/// Whether this machine has reached a limit of its own: descriptors, ports, memory.
pub(super) fn is_our_limit(error: &io::Error) -> bool {
    let limits = [libc::EMFILE, libc::ENFILE, libc::EADDRNOTAVAIL, libc::ENOBUFS, libc::ENOMEM];
    error.raw_os_error().is_some_and(|code| limits.contains(&code))
}

/// The error of opening a descriptor, if none is left. getaddrinfo does not tell: without one it cannot read the files
/// of hosts and name servers, and says that the name is not known, or that it may be later.
pub(super) fn no_descriptor() -> Option<io::Error> {
    let error = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0)).err()?;
    matches!(error.raw_os_error(), Some(libc::EMFILE | libc::ENFILE)).then_some(error)
}

fn public_only(mut addresses: Vec<SocketAddr>) -> Result<Vec<SocketAddr>, ResolveError> {
    addresses.retain(|address| !is_private(address.ip()));
    if addresses.is_empty() { Err(ResolveError::Private) } else { Ok(addresses) }
}

/// std gives no code of getaddrinfo, only the text of gai_strerror, which is English unless the program sets a locale.
/// glibc, musl and macOS word EAI_NONAME and EAI_NODATA so; anything else may pass.
fn of_getaddrinfo(error: io::Error) -> ResolveError {
    const NOT_FOUND: [&str; 6] = [
        "Name or service not known",
        "No address associated with hostname",
        "Name does not resolve",
        "Name has no usable address",
        "nodename nor servname provided, or not known",
        "No such host is known",
    ];
    let text = error.to_string();
    if NOT_FOUND.iter().any(|known| text.contains(known)) {
        ResolveError::NotFound
    } else {
        ResolveError::Unavailable(error)
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
    fn public_addresses_beside_private_ones_are_left() {
        let mixed = vec!["127.0.0.1:0".parse().unwrap(), "1.1.1.1:0".parse().unwrap()];
        assert_eq!(public_only(mixed).unwrap(), ["1.1.1.1:0".parse().unwrap()]);
        assert!(matches!(public_only(vec!["[::1]:0".parse().unwrap()]), Err(ResolveError::Private)));
    }

    #[test]
    fn only_a_missing_name_is_final() {
        let error = |text: &str| of_getaddrinfo(io::Error::other(text.to_owned()));
        let prefix = "failed to lookup address information: ";
        assert!(matches!(error(&format!("{prefix}Name or service not known")), ResolveError::NotFound));
        let later = error(&format!("{prefix}Temporary failure in name resolution"));
        assert!(matches!(later, ResolveError::Unavailable(_)));
    }
}
