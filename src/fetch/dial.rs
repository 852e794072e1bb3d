//! TCP connections straight to servers.
//!
//! Decides which addresses are tried: those that were typed for the host (`overrides`), or those that the resolver gives,
//! of the family that was asked for (`-4`, `-6`), from the interface that was asked for. The addresses that passed the
//! guard are the ones that are connected to: nothing is looked up in between. Tries both families at once, the second
//! 300 ms after the first (RFC 8305). Never speaks a protocol, and has no time limit of its own. Called by `direct` and
//! `secure`.

use std::future::{Ready, ready};
use std::io;
use std::net::{IpAddr, SocketAddr, TcpListener};
use std::path::Path;
use std::sync::Arc;
use std::task::{Context, Poll};

use http::Uri;
use hyper_util::client::legacy::connect::{HttpConnector, dns};
use hyper_util::rt::TokioIo;
use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use tokio::net::TcpStream;
use tokio::time::Instant;
use tower_service::Service;
use url::Url;

use super::Timings;
use super::connecting;
use super::overrides::Overrides;
pub use super::resolve::Family;
use super::resolve::{Guard, NameError, Names, Resolver};

/// How servers are connected to.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct DialSettings {
    /// `--resolve` and `--connect-to`
    pub overrides: Overrides,
    /// `-4` and `-6`; None is both.
    pub family: Option<Family>,
    /// `--interface`
    pub interface: Option<Interface>,
}

impl DialSettings {
    /// Whether the user named what is connected to for this URL.
    pub(super) fn is_typed(&self, url: &Url) -> bool {
        let target = url.host_str().zip(url.port_or_known_default());
        target.and_then(|(host, port)| self.overrides.target(host, port)).is_some_and(|target| target.typed)
    }

    /// Whether `--connect-to` leads the host of a URL elsewhere.
    pub(super) fn leads_elsewhere(&self, url: &Url) -> bool {
        let target = url.host_str().zip(url.port_or_known_default());
        target.is_some_and(|(host, port)| self.overrides.lead_elsewhere(host, port))
    }
}

/// What connections start from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Interface {
    /// An address of this machine.
    Address(IpAddr),
    /// A network interface, by its name.
    Name(String),
}

impl Interface {
    /// An address, or the name of an interface; as in curl `if!` and `host!` before it say which.
    #[must_use]
    pub fn parse(text: &str) -> Self {
        if let Some(name) = text.strip_prefix("if!") {
            return Self::Name(name.to_owned());
        }
        let text = text.strip_prefix("host!").unwrap_or(text);
        text.trim_matches(['[', ']']).parse().map_or_else(|_| Self::Name(text.to_owned()), Self::Address)
    }

    /// Whether connections can start from it now.
    ///
    /// # Errors
    /// The machine has no such address, or no such interface.
    pub(super) fn check(&self) -> io::Result<()> {
        match self {
            Self::Address(address) => TcpListener::bind((*address, 0)).map(drop),
            // Where the system lists them so.
            Self::Name(name) if Path::new("/sys/class/net").is_dir() => {
                let path = Path::new("/sys/class/net").join(name);
                if name.contains('/') || !path.exists() {
                    return Err(io::Error::new(io::ErrorKind::NotFound, "no network interface has this name"));
                }
                Ok(())
            }
            Self::Name(_) => Ok(()),
        }
    }
}

/// Why there is no connection.
#[derive(Debug, thiserror::Error)]
pub(super) enum DialError {
    #[error("the name gave no address")]
    Name(#[from] NameError),
    /// There are addresses, but none of the family that was asked for.
    #[error("there is no address of IPv{0}")]
    Family(u8),
    /// The address stands in the URL, or was typed for it, and the guard does not let it pass.
    #[error("the address is private, or in a network that is denied")]
    Private,
    #[error("no address could be connected to")]
    Connect(#[source] Box<dyn std::error::Error + Send + Sync>),
}

/// A connection, and how long it took.
#[derive(Debug)]
pub(super) struct Dialed {
    pub(super) stream: TokioIo<TcpStream>,
    pub(super) timings: Timings,
}

/// Connects to servers: to any address, or to public ones only.
#[derive(Debug, Clone)]
pub(super) struct Dialer {
    /// For hosts of URLs.
    of_urls: Arc<Way>,
    /// For hosts and addresses that were typed in `--resolve` and `--connect-to`: only what is denied to all is forbidden.
    typed: Arc<Way>,
    settings: Arc<DialSettings>,
}

/// Names, and the guard over what stands for them.
#[derive(Debug)]
struct Way {
    resolver: Resolver,
    guard: Guard,
}

impl Way {
    fn new(names: &Names, guarded: bool) -> Self {
        Self { resolver: Resolver::new(names, guarded, Arc::default()), guard: names.guard(guarded) }
    }

    /// The addresses of a host, and whether its name was looked up.
    async fn resolve(&self, host: &str, port: u16) -> Result<(Vec<SocketAddr>, bool), DialError> {
        if let Ok(address) = host.trim_matches(['[', ']']).parse::<IpAddr>() {
            // Asked for before the send, too: here nothing can have changed the host since.
            return Ok((allowed(&self.guard, &[address], port)?, false));
        }
        let name: dns::Name = host.parse().map_err(|error| DialError::Connect(Box::new(error)))?;
        Ok((self.resolver.clone().call(name).await?.collect(), true))
    }
}

impl Dialer {
    pub(super) fn new(names: &Names, guarded: bool, settings: Arc<DialSettings>) -> Self {
        let way = |guarded| Arc::new(Way::new(names, guarded));
        Self { of_urls: way(guarded), typed: way(false), settings }
    }

    /// Connects to a host, a name or a literal address, with or without brackets.
    pub(super) async fn dial(&self, host: &str, port: u16) -> Result<Dialed, DialError> {
        let start = Instant::now();
        let (mut addresses, port, looked_up) = self.addresses(host, port).await?;
        let dns = looked_up.then(|| start.elapsed());
        if let Some(family) = self.settings.family {
            addresses.retain(|address| family.has(address.ip()));
            if addresses.is_empty() {
                return Err(DialError::Family(if family == Family::V4 { 4 } else { 6 }));
            }
        }
        let connecting = Instant::now();
        let stream = self.connect(addresses, port).await?;
        Ok(Dialed { stream, timings: Timings { dns, connect: Some(connecting.elapsed()), tls: None } })
    }

    /// The addresses to try, the port, and whether a name was looked up for them.
    async fn addresses(&self, host: &str, port: u16) -> Result<(Vec<SocketAddr>, u16, bool), DialError> {
        match self.settings.overrides.target(host, port) {
            None => {
                let (addresses, looked_up) = self.of_urls.resolve(host, port).await?;
                Ok((addresses, port, looked_up))
            }
            Some(target) => {
                let way = if target.typed { &self.typed } else { &self.of_urls };
                let (addresses, looked_up) = match target.addresses {
                    Some(typed) => (allowed(&way.guard, &typed, target.port)?, false),
                    None => way.resolve(&target.host, target.port).await?,
                };
                Ok((addresses, target.port, looked_up))
            }
        }
    }

    async fn connect(&self, addresses: Vec<SocketAddr>, port: u16) -> Result<TokioIo<TcpStream>, DialError> {
        let failed = |error| DialError::Connect(error);
        let mut connector = HttpConnector::new_with_resolver(Known(addresses));
        connector.set_nodelay(true);
        match &self.settings.interface {
            None => {}
            Some(Interface::Address(address)) => connector.set_local_address(Some(*address)),
            Some(Interface::Name(name)) => {
                connector.set_interface(name);
            }
        }
        // The connector asks its resolver for names only, and this one gives the same addresses for each.
        let destination = Uri::builder().scheme("http").authority(format!("known:{port}")).path_and_query("/").build();
        let destination = destination.map_err(|error| failed(Box::new(error)))?;
        connector.call(destination).await.map_err(|error| failed(Box::new(error)))
    }
}

/// What the guard leaves of addresses that need no resolver.
fn allowed(guard: &Guard, addresses: &[IpAddr], port: u16) -> Result<Vec<SocketAddr>, DialError> {
    let left = addresses.iter().filter(|address| !guard.forbids(**address));
    let left: Vec<_> = left.map(|address| (*address, port).into()).collect();
    if left.is_empty() { Err(DialError::Private) } else { Ok(left) }
}

/// Addresses that are known already, as a resolver.
#[derive(Debug, Clone)]
struct Known(Vec<SocketAddr>);

impl Service<dns::Name> for Known {
    type Response = std::vec::IntoIter<SocketAddr>;
    type Error = io::Error;
    type Future = Ready<Result<Self::Response, io::Error>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), io::Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, _: dns::Name) -> Self::Future {
        ready(Ok(std::mem::take(&mut self.0).into_iter()))
    }
}

/// The names that the stack behind a proxy asks for: the proxy's own, and the servers' where a SOCKS proxy takes addresses
/// only.
#[derive(Debug, Clone)]
pub(super) struct ProxyNames {
    resolver: Resolver,
    /// For servers whose addresses were typed: what is denied to all.
    denied: Guard,
    /// Host and port of the proxy.
    proxy: (Box<str>, u16),
    settings: Arc<DialSettings>,
}

impl ProxyNames {
    /// `denied` is the guard of what was typed.
    pub(super) fn new(resolver: Resolver, denied: Guard, proxy: (Box<str>, u16), settings: Arc<DialSettings>) -> Self {
        Self { resolver, denied, proxy, settings }
    }
}

impl Resolve for ProxyNames {
    fn resolve(&self, name: Name) -> Resolving {
        let (proxy, port) = &self.proxy;
        let of_proxy = name.as_str() == &**proxy;
        let port = if of_proxy { Some(*port) } else { connecting::port() };
        let typed = port.and_then(|port| self.settings.overrides.addresses_of(name.as_str(), port));
        let found: Resolving = if let Some(typed) = typed {
            let forbids_none = Guard::default();
            let guard = if of_proxy { &forbids_none } else { &self.denied };
            let found = allowed(guard, typed, 0).map(|left| Box::new(left.into_iter()) as Addrs);
            Box::pin(ready(found.map_err(Into::into)))
        } else {
            let found = self.resolver.resolve(name);
            let start = Instant::now();
            Box::pin(async move {
                let found = found.await;
                connecting::note_look_up(start.elapsed());
                found
            })
        };
        let Some(family) = self.settings.family else { return found };
        Box::pin(async move {
            let of_family: Vec<_> = found.await?.filter(|address| family.has(address.ip())).collect();
            if of_family.is_empty() {
                return Err(DialError::Family(if family == Family::V4 { 4 } else { 6 }).into());
            }
            Ok(Box::new(of_family.into_iter()) as Addrs)
        })
    }
}
