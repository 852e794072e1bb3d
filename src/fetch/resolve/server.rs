//! Names by name servers that we ask ourselves, after the hosts file.
//!
//! Decides which servers are asked (those of `/etc/resolv.conf`, or the one that was typed), for which full names, and what
//! their answers mean together: both families are asked at once, and a name is known not to exist only if a server said so.
//! Where the machine names no server, the system is asked. The files are read at the first name. hickory carries the
//! questions: its cache is off, since `cache` has its own and keeps another clock; it never falls back to servers of its
//! own choice; and it spawns a task for each connection to a name server, which ends with the run. Called by `cache`.
//!
//! A name with dots is asked as it stands, and never with the search list behind it: getaddrinfo tries that too, which would
//! turn each dead link into more questions, and, with a catch-all in the list, into a page.
//!
//! Sources: resolv.conf(5), RFC 6724 (order of addresses), RFC 8305 3 (not to wait for the second family), RFC 7686 and
//! RFC 6761 (`onion` and `invalid` are asked nowhere: hickory knows them).

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use futures_util::future::{self, Either};
use hickory_resolver::config::{ConnectionConfig, NameServerConfig, ResolveHosts, ResolverConfig, ResolverOpts};
use hickory_resolver::lookup::Lookup;
use hickory_resolver::net::runtime::TokioRuntimeProvider;
use hickory_resolver::net::{DnsError, NetError, NoRecords};
use hickory_resolver::proto::op::Query;
use hickory_resolver::proto::rr::{Name, RecordType};
use hickory_resolver::{Hosts, TokioResolver, system_conf};

use super::cache::{Found, LookUp};
use super::guard::is_private;
use super::{Family, no_descriptor, system};

/// For entries of the hosts file, and denials that state no time.
const HOLDS: Duration = Duration::from_mins(1);
const DENIAL_HOLDS: Duration = Duration::from_secs(10);

/// How long the second family is waited for when the first has addresses: some name servers never answer for IPv6.
pub(in crate::fetch) const STRAGGLER: Duration = Duration::from_millis(300);

/// Questions at once on one connection to a name server; the cache bounds them below this.
const QUESTIONS: usize = 1024;

/// The server to ask; None: those of this machine. Addresses of the wanted family are waited for, and are there even if no
/// way leads to them.
pub(super) fn source(server: Option<SocketAddr>, wanted: Option<Family>) -> LookUp {
    let made: Arc<OnceLock<Source>> = Arc::default();
    Box::new(move |name| {
        let made = Arc::clone(&made);
        Box::pin(async move {
            let source = match made.get() {
                Some(source) => source,
                None => match Source::open(server, wanted) {
                    Ok(source) => made.get_or_init(|| source),
                    Err(error) => return Found::unavailable(Arc::new(error)),
                },
            };
            match source {
                Source::Servers(servers) => servers.look_up(&name).await,
                Source::System => system::look_up(&name).await,
            }
        })
    })
}

enum Source {
    Servers(Box<Servers>),
    /// The machine names no server.
    System,
}

impl Source {
    fn open(server: Option<SocketAddr>, wanted: Option<Family>) -> io::Result<Self> {
        // Without a descriptor there seem to be no files.
        if let Some(limit) = no_descriptor() {
            return Err(limit);
        }
        let (config, options) = match server {
            Some(address) => (one_server(address), ResolverOpts::default()),
            None => match system_conf::read_system_conf() {
                Ok(read) => read,
                Err(error) => {
                    tracing::warn!(%error, "no name server in /etc/resolv.conf: names are looked up by the system");
                    return Ok(Self::System);
                }
            },
        };
        Servers::new(config, options, wanted).map(|servers| Self::Servers(Box::new(servers)))
    }
}

fn one_server(address: SocketAddr) -> ResolverConfig {
    let at_port = |mut connection: ConnectionConfig| {
        connection.port = address.port();
        connection
    };
    let connections = [ConnectionConfig::udp(), ConnectionConfig::tcp()].map(at_port);
    let server = NameServerConfig::new(address.ip(), true, connections.into());
    ResolverConfig::from_name_servers(vec![server])
}

struct Servers {
    resolver: TokioResolver,
    hosts: Hosts,
    search: Vec<Name>,
    /// Names with fewer dots are asked with each of `search` behind them first.
    least_dots: usize,
    /// The family that connections are made to.
    wanted: Option<Family>,
}

impl Servers {
    fn new(config: ResolverConfig, mut options: ResolverOpts, wanted: Option<Family>) -> io::Result<Self> {
        let (domain, search, servers) = config.into_parts();
        let search = if search.is_empty() { domain.into_iter().collect() } else { search };
        let least_dots = options.ndots;
        options.cache_size = 0;
        options.use_hosts_file = ResolveHosts::Never;
        options.max_active_requests = QUESTIONS;
        let config = ResolverConfig::from_name_servers(servers);
        let builder = TokioResolver::builder_with_config(config, TokioRuntimeProvider::default());
        let resolver = builder.with_options(options).build().map_err(io::Error::other)?;
        Ok(Self { resolver, hosts: Hosts::from_system().unwrap_or_default(), search, least_dots, wanted })
    }

    async fn look_up(&self, name: &str) -> Found {
        let Ok(typed) = Name::from_ascii(name) else { return Found::nothing(HOLDS) };
        let listed = self.listed(&typed);
        if !listed.is_empty() {
            return Found::addresses(in_order(listed, self.wanted), HOLDS);
        }
        let mut found = Found::nothing(DENIAL_HOLDS);
        for full in self.full_names(typed, name) {
            let tried = self.ask(full).await;
            if tried.is_known() {
                return tried;
            }
            // That one of them is unknown is certain only if it was so of all.
            if !found.is_unavailable() {
                found = tried;
            }
        }
        found
    }

    /// What the hosts file says.
    fn listed(&self, name: &Name) -> Vec<IpAddr> {
        let of = |family| self.hosts.lookup_static_host(&Query::query(name.clone(), family));
        [RecordType::AAAA, RecordType::A]
            .into_iter()
            .filter_map(of)
            .flat_map(|lookup| addresses(&lookup).collect::<Vec<_>>())
            .collect()
    }

    fn full_names(&self, typed: Name, text: &str) -> Vec<Name> {
        let dots = text.bytes().filter(|byte| *byte == b'.').count();
        let is_full = text.ends_with('.') || dots >= self.least_dots;
        let behind = if is_full { &[][..] } else { &self.search[..] };
        // One that gets too long is no name.
        let mut names: Vec<_> = behind.iter().filter_map(|search| typed.clone().append_domain(search).ok()).collect();
        names.push(typed);
        for name in &mut names {
            name.set_fqdn(true);
        }
        names
    }

    async fn ask(&self, name: Name) -> Found {
        let of = |family| Box::pin(self.resolver.lookup(name.clone(), family));
        let (first, rest) = match future::select(of(RecordType::A), of(RecordType::AAAA)).await {
            Either::Left((first, rest)) => (first, Either::Left(rest)),
            Either::Right((first, rest)) => (first, Either::Right(rest)),
        };
        let is_wanted = |address: IpAddr| self.wanted.is_none_or(|family| family.has(address));
        let enough = first.as_ref().is_ok_and(|lookup| addresses(lookup).any(is_wanted));
        let second = if enough {
            tokio::time::timeout(STRAGGLER, rest).await.unwrap_or(Err(NetError::Timeout))
        } else {
            rest.await
        };
        both(&first, &second, self.wanted)
    }
}

/// What the answers for the two families say together.
fn both(first: &Result<Lookup, NetError>, second: &Result<Lookup, NetError>, wanted: Option<Family>) -> Found {
    let lookups = || [first, second].into_iter().filter_map(|answer| answer.as_ref().ok());
    let found: Vec<_> = lookups().flat_map(addresses).collect();
    let errors = || [first, second].into_iter().filter_map(|answer| answer.as_ref().err());
    let denial = |error: &NetError| match error {
        NetError::Dns(DnsError::NoRecordsFound(NoRecords { negative_ttl, .. })) => Some(*negative_ttl),
        _ => None,
    };
    let failure = errors().find(|error| denial(error).is_none());
    // Those of the other family are no answer while the wanted ones may come yet.
    let is_wanted = |address: &IpAddr| wanted.is_none_or(|family| family.has(*address));
    if !found.is_empty() && (failure.is_none() || found.iter().any(is_wanted)) {
        let seconds = lookups().flat_map(Lookup::answers).map(|record| record.ttl).min();
        return Found::addresses(in_order(found, wanted), Duration::from_secs(seconds.unwrap_or(0).into()));
    }
    // A name that does not exist does so in no family; that it has no address in one says nothing of the other.
    let unknown = errors().any(NetError::is_nx_domain);
    match failure {
        Some(error) if !unknown => Found::unavailable(Arc::new(in_words(error))),
        _ => {
            let seconds = errors().filter_map(denial).flatten().min();
            Found::nothing(seconds.map_or(DENIAL_HOLDS, |seconds| Duration::from_secs(seconds.into())))
        }
    }
}

fn addresses(lookup: &Lookup) -> impl Iterator<Item = IpAddr> {
    lookup.answers().iter().filter_map(|record| record.data.ip_addr())
}

fn in_words(error: &NetError) -> io::Error {
    // What looks like a failure of the server may be that there was no descriptor to ask it with.
    if let Some(limit) = no_descriptor() {
        return limit;
    }
    match error {
        NetError::Io(error) => error.raw_os_error().map_or_else(
            || io::Error::new(error.kind(), format!("the name server cannot be asked: {error}")),
            io::Error::from_raw_os_error,
        ),
        NetError::Timeout => io::Error::new(io::ErrorKind::TimedOut, "the name server does not answer"),
        NetError::Dns(DnsError::ResponseCode(code)) => io::Error::other(format!("the name server says: {code}")),
        other => io::Error::other(format!("the name server cannot be asked: {other}")),
    }
}

/// The order in which addresses are tried. Of a family that is wanted none is left out: that no way leads to it shall be
/// told as what it is.
fn in_order(addresses: Vec<IpAddr>, wanted: Option<Family>) -> Vec<IpAddr> {
    let Some(family) = wanted else { return reachable_first(addresses) };
    let (mut first, mut rest): (Vec<_>, Vec<_>) = addresses.into_iter().partition(|address| family.has(*address));
    first.append(&mut rest);
    first
}

/// IPv6 before IPv4, as RFC 6724 has it, but only families that this machine has a route for, if it has one for either. A
/// public IPv6 address that would be reached from a private one comes last: that way probably leads nowhere (rules 2 and 5).
pub(super) fn reachable_first(addresses: Vec<IpAddr>) -> Vec<IpAddr> {
    let (mut v6, mut v4): (Vec<_>, Vec<_>) = addresses.into_iter().partition(IpAddr::is_ipv6);
    let (Some(of_v6), Some(of_v4)) = (v6.first().map(route), v4.first().map(route)) else {
        v6.append(&mut v4);
        return v6;
    };
    match (of_v6, of_v4) {
        (Route::None, Route::Good | Route::Narrow) => v4,
        (Route::Good | Route::Narrow, Route::None) => v6,
        (Route::Narrow, _) => [v4, v6].concat(),
        _ => [v6, v4].concat(),
    }
}

/// How a datagram would leave for an address; none is sent.
enum Route {
    Good,
    /// From a private address to a public one.
    Narrow,
    None,
}

fn route(address: &IpAddr) -> Route {
    let unspecified: IpAddr = match address {
        IpAddr::V4(_) => Ipv4Addr::UNSPECIFIED.into(),
        IpAddr::V6(_) => Ipv6Addr::UNSPECIFIED.into(),
    };
    let connected = UdpSocket::bind((unspecified, 0)).and_then(|socket| {
        socket.connect((*address, 9))?;
        socket.local_addr()
    });
    match connected {
        Ok(source) if is_private(source.ip()) && !is_private(*address) => Route::Narrow,
        Ok(_) => Route::Good,
        // A limit of this machine tells nothing of its routes.
        Err(error) if matches!(error.raw_os_error(), Some(libc::EMFILE | libc::ENFILE)) => Route::Good,
        Err(_) => Route::None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn servers(search: &[&str], ndots: usize) -> Servers {
        servers_for(search, ndots, None)
    }

    fn servers_for(search: &[&str], ndots: usize, wanted: Option<Family>) -> Servers {
        let search = search.iter().map(|name| Name::from_ascii(name).unwrap()).collect();
        let config = ResolverConfig::from_parts(None, search, Vec::new());
        let mut options = ResolverOpts::default();
        options.ndots = ndots;
        Servers::new(config, options, wanted).unwrap()
    }

    #[test]
    fn the_search_list_is_for_names_with_few_dots() {
        let asked = |servers: &Servers, name: &str| {
            let names = servers.full_names(Name::from_ascii(name).unwrap(), name);
            names.iter().map(ToString::to_string).collect::<Vec<_>>().join(" ")
        };
        let office = servers(&["corp.test", "lab.test"], 1);
        assert_eq!(asked(&office, "wiki"), "wiki.corp.test. wiki.lab.test. wiki.");
        assert_eq!(asked(&office, "wiki."), "wiki.");
        assert_eq!(asked(&office, "a.example"), "a.example.");
        // As in a cluster.
        let cluster = servers(&["svc.test"], 5);
        assert_eq!(asked(&cluster, "a.example"), "a.example.svc.test. a.example.");
        assert_eq!(asked(&cluster, "a.example."), "a.example.");
        assert_eq!(asked(&servers(&[], 1), "wiki"), "wiki.");
    }

    #[tokio::test]
    async fn the_hosts_file_comes_first_and_is_the_whole_answer() {
        let mut servers = servers(&[], 1);
        servers.hosts = Hosts::default();
        let file = "# a comment\n10.0.0.1 box.test Box # more\n10.0.0.2 box.test\n::1 six.test\n";
        servers.hosts.read_hosts_conf(file.as_bytes()).unwrap();
        let listed = |name: &str| servers.listed(&Name::from_ascii(name).unwrap());
        assert_eq!(listed("box.test"), ["10.0.0.1", "10.0.0.2"].map(|address| address.parse::<IpAddr>().unwrap()));
        assert_eq!(listed("box.test."), listed("box.test"));
        assert_eq!(listed("box"), ["10.0.0.1".parse::<IpAddr>().unwrap()]);
        assert_eq!(listed("six.test"), ["::1".parse::<IpAddr>().unwrap()]);
        assert_eq!(listed("other.test"), Vec::<IpAddr>::new());
        // There is no server to ask for the other family, and none is needed.
        assert!(servers.look_up("box.test").await.is_known());
        assert!(servers.look_up("other.test").await.is_unavailable());
    }

    #[test]
    fn addresses_of_one_family_keep_their_order() {
        for list in [["10.0.0.2", "10.0.0.1"], ["fd00::2", "fd00::1"]] {
            let list: Vec<IpAddr> = list.iter().map(|address| address.parse().unwrap()).collect();
            assert_eq!(reachable_first(list.clone()), list);
        }
        let loopback = reachable_first(vec!["127.0.0.1".parse().unwrap(), "::1".parse().unwrap()]);
        assert!(loopback.contains(&"127.0.0.1".parse().unwrap()));
        // IPv6 comes first where there is any.
        assert!(loopback.len() == 1 || loopback[0].is_ipv6(), "{loopback:?}");
    }
}
