//! Names to addresses, and the guard over them.
//!
//! Decides which addresses a request may connect to: what the cache or the source of names says (`cache`, `server`,
//! `system`), less what the guard forbids (`guard`). Since a connector is given only the addresses that are left, there is
//! no second look-up between the check and the connect that could answer differently (DNS rebinding). Never sees IP
//! literals of plain connectors, which skip their resolver for them: `client` asks its `Guard` about those before the send.
//! Called by `client` and its connectors.

use std::future::Future;
use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, UdpSocket};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use hyper_util::client::legacy::connect::dns;
use ipnet::IpNet;
use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use tower_service::Service;

mod cache;
mod guard;
mod server;
mod system;

pub(super) use self::guard::Guard;
pub use self::guard::{is_private, literal_is_denied, literal_is_private};
#[cfg(test)]
pub(super) use self::server::STRAGGLER;

/// Who is asked for names.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Dns {
    /// The hosts file of this machine and the name servers of its `/etc/resolv.conf`, asked by ourselves.
    #[default]
    Own,
    /// getaddrinfo, and so whatever the machine has set up: VPN, mDNS, directories.
    System,
    /// The hosts file, and this name server.
    Server(SocketAddr),
}

/// Addresses of one kind only.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Family {
    V4,
    V6,
}

impl Family {
    /// Whether an address is of this kind.
    pub(super) fn has(self, address: IpAddr) -> bool {
        address.is_ipv4() == (self == Self::V4)
    }
}

/// Why a name gave no address to connect to.
#[derive(Debug, Clone, thiserror::Error)]
pub(super) enum ResolveError {
    /// The name does not exist, or has no address.
    #[error("the name does not resolve")]
    NotFound,
    /// A proxy may know it, but where it would lead cannot be checked.
    #[error("the name does not resolve here, and is given to a proxy unchecked only with --allow-private")]
    Unchecked,
    /// Nobody could tell.
    #[error("{0}")]
    Unavailable(Arc<io::Error>),
    /// All its addresses are forbidden for the request.
    #[error("the name resolves to private addresses only")]
    Private,
}

impl ResolveError {
    fn unavailable(error: io::Error) -> Self {
        Self::Unavailable(Arc::new(error))
    }
}

/// A name that gave no address.
#[derive(Debug, thiserror::Error)]
#[error("{cause}")]
pub(super) struct NameError {
    pub(super) cause: ResolveError,
    /// It is the name of a proxy, not of the server.
    pub(super) of_proxy: bool,
}

/// The names of a run: one cache, whoever asks.
#[derive(Debug, Clone)]
pub(super) struct Names {
    cache: Arc<cache::Cache>,
    denied: Arc<[IpNet]>,
}

impl Names {
    /// Of a `family` all that there is is wanted; the addresses of the other are found as well, since a proxy that looks a
    /// name up again may take them. `denied` are networks that nothing is connected to. Reads no file and asks nobody
    /// before the first name.
    pub(super) fn new(dns: Dns, family: Option<Family>, denied: &[IpNet]) -> Self {
        let look_up = match dns {
            Dns::System => system::source(),
            Dns::Own => server::source(None, family),
            Dns::Server(address) => server::source(Some(address), family),
        };
        Self { cache: Arc::new(cache::Cache::new(look_up)), denied: denied.into() }
    }

    /// What requests may connect to that are guarded, or are not.
    pub(super) fn guard(&self, guarded: bool) -> Guard {
        Guard::new(guarded, Arc::clone(&self.denied))
    }
}

/// For the connector of a stack: names, and the guard over what they stand for.
#[derive(Debug, Clone)]
pub(super) struct Resolver {
    names: Names,
    guard: Guard,
    /// Names of proxies: they come from the user, and are usually private.
    proxies: Arc<[Box<str>]>,
}

impl Resolver {
    pub(super) fn new(names: &Names, guarded: bool, proxies: Arc<[Box<str>]>) -> Self {
        Self { names: names.clone(), guard: names.guard(guarded), proxies }
    }

    /// The addresses of a name that may be connected to.
    ///
    /// # Cancel safety
    /// A look-up goes on while anybody waits for it.
    fn addresses(&self, name: &str) -> impl Future<Output = Result<Addresses, NameError>> + Send + use<> {
        let of_proxy = self.proxies.iter().any(|proxy| **proxy == *name);
        let guard = if of_proxy { Guard::default() } else { self.guard.clone() };
        let found = self.known(name);
        async move {
            let found = found.await.and_then(|addresses| allowed(&addresses, &guard));
            found.map(Vec::into_iter).map_err(|cause| NameError { cause, of_proxy })
        }
    }

    /// For a name that somebody else will look up again (an HTTP proxy): it is allowed if all its addresses are, since we do
    /// not know which one will be taken.
    pub(super) async fn check(&self, name: &str) -> Result<(), NameError> {
        let found = self.known(name).await.and_then(|addresses| {
            let forbidden = addresses.iter().any(|address| self.guard.forbids(*address));
            if forbidden { Err(ResolveError::Private) } else { Ok(()) }
        });
        let unchecked = |cause| if matches!(cause, ResolveError::NotFound) { ResolveError::Unchecked } else { cause };
        found.map_err(|cause| NameError { cause: unchecked(cause), of_proxy: false })
    }

    fn known(&self, name: &str) -> impl Future<Output = Result<Arc<[IpAddr]>, ResolveError>> + Send + use<> {
        // A SOCKS connector asks for literals too, and leaves the brackets on.
        let name = name.trim_matches(['[', ']']);
        let literal = name.parse::<IpAddr>().ok();
        let asked = if literal.is_none() { Some(self.names.cache.addresses(name)) } else { None };
        async move {
            match (literal, asked) {
                (_, Some(asked)) => asked.await,
                (literal, None) => Ok(literal.into_iter().collect()),
            }
        }
    }
}

type Addresses = std::vec::IntoIter<SocketAddr>;

/// What the guard leaves. Port 0 is replaced by the one of the URL in the connector.
fn allowed(addresses: &[IpAddr], guard: &Guard) -> Result<Vec<SocketAddr>, ResolveError> {
    let left = addresses.iter().filter(|address| !guard.forbids(**address));
    let left: Vec<_> = left.map(|address| SocketAddr::new(*address, 0)).collect();
    if left.is_empty() { Err(ResolveError::Private) } else { Ok(left) }
}

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

/// Whether this machine has reached a limit of its own: descriptors, ports, memory.
pub(super) fn is_our_limit(error: &io::Error) -> bool {
    let limits = [libc::EMFILE, libc::ENFILE, libc::EADDRNOTAVAIL, libc::ENOBUFS, libc::ENOMEM];
    error.raw_os_error().is_some_and(|code| limits.contains(&code))
}

/// The error of opening a descriptor, if none is left. Sources of names do not tell: without one they cannot read the files
/// of hosts and name servers, and say that the name is not known, or that it may be later.
pub(super) fn no_descriptor() -> Option<io::Error> {
    let error = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0)).err()?;
    matches!(error.raw_os_error(), Some(libc::EMFILE | libc::ENFILE)).then_some(error)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn public_addresses_beside_private_ones_are_left() {
        let guard = Names::new(Dns::System, None, &["9.9.9.0/24".parse().unwrap()]).guard(true);
        let mixed = ["127.0.0.1", "1.1.1.1", "9.9.9.9"].map(|address| address.parse().unwrap());
        assert_eq!(allowed(&mixed, &guard).unwrap(), ["1.1.1.1:0".parse().unwrap()]);
        assert!(matches!(allowed(&["::1".parse().unwrap()], &guard), Err(ResolveError::Private)));
    }

    #[tokio::test]
    async fn a_literal_in_the_place_of_a_name_is_guarded_too() {
        let names = Names::new(Dns::System, None, &[]);
        let addresses = |guarded, text: &str| Resolver::new(&names, guarded, Arc::default()).addresses(text);
        for text in ["127.0.0.1", "[::1]"] {
            assert_eq!(addresses(false, text).await.unwrap().count(), 1);
            assert!(matches!(addresses(true, text).await.unwrap_err().cause, ResolveError::Private), "{text}");
        }
    }

    #[tokio::test]
    async fn a_name_that_another_looks_up_again_must_be_public_altogether() {
        let found = ["1.1.1.1", "127.0.0.1"].map(|address| address.parse().unwrap());
        let cache = Arc::new(cache::Cache::new(cache::scripted(move |_| Ok(found.into()))));
        let resolver = |guarded| {
            Resolver::new(&Names { cache: Arc::clone(&cache), denied: Arc::default() }, guarded, Arc::default())
        };
        assert!(matches!(resolver(true).check("mixed.test").await.unwrap_err().cause, ResolveError::Private));
        resolver(false).check("mixed.test").await.unwrap();
        assert_eq!(resolver(true).addresses("mixed.test").await.unwrap().count(), 1);
    }
}
