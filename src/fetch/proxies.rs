//! Which proxy a request goes through.
//!
//! Decides between `-x` and the environment, as curl does: `-x` wins over all variables but `no_proxy`, `--noproxy` over
//! that; lower-case names
//! come first; `HTTP_PROXY` in capitals is ignored, because a web server would let a client set it (CGI, "httpoxy"); an
//! empty value means no proxy. The stack's own reading of the environment is not used: it takes `HTTP_PROXY`, and drops
//! an address it cannot read without a word. Called by `client`.

use std::fmt;
use std::net::IpAddr;
use std::ops::Range;
use std::sync::Arc;

use http::header::USER_AGENT;
use http::{HeaderMap, HeaderValue};
use ipnet::IpNet;
use reqwest::Proxy;
use url::{Host, Position, Url};
use xxhash_rust::xxh3::xxh3_64;

use crate::policy::proxy_address::ProxyAddress;

/// The address of a proxy that cannot be used. Its text is not shown: it may hold a password.
#[derive(Debug, thiserror::Error)]
#[error("the proxy of {origin} cannot be used: {reason}")]
pub struct ProxyError {
    /// `-x`, or the name of the variable.
    origin: &'static str,
    reason: String,
}

/// What the environment says about proxies.
#[derive(Debug, Clone, Default)]
pub(super) struct ProxyVariables {
    http: Option<String>,
    https: Option<String>,
    all: Option<String>,
    no: Option<String>,
}

impl ProxyVariables {
    pub(super) fn from_env() -> Self {
        // To curl an empty variable is none.
        let value = |name: &&str| std::env::var(name).ok().filter(|value| !value.is_empty());
        let first = |names: &[&str]| names.iter().find_map(value);
        Self {
            http: first(&["http_proxy"]),
            https: first(&["https_proxy", "HTTPS_PROXY"]),
            all: first(&["all_proxy", "ALL_PROXY"]),
            no: first(&["no_proxy", "NO_PROXY"]),
        }
    }

    /// Nothing but `no_proxy`.
    #[cfg(test)]
    pub(super) fn without(no: &str) -> Self {
        Self { no: Some(no.to_owned()), ..Self::default() }
    }
}

/// One proxy.
pub(super) struct Chosen {
    /// With its credentials.
    url: Url,
    /// Its address without credentials.
    pub(super) shown: Arc<str>,
    /// Host, without brackets, and port.
    pub(super) address: (Box<str>, u16),
    /// Which of the run's proxies.
    pub(super) place: usize,
}

/// Without its credentials.
impl fmt::Debug for Chosen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Chosen").field(&self.shown).finish()
    }
}

impl Chosen {
    /// Whether a connection through it to a URL is TCP alone, with no tunnel and no TLS.
    pub(super) fn is_plain(&self, url: &Url) -> bool {
        url.scheme() == "http" && !self.shown.starts_with("https:")
    }

    /// For the stack of requests that go through it. With `by_address` no SOCKS proxy looks a name up, so that the guard
    /// knows what it connects to. `agent` is for requests for a tunnel, which have no other headers of ours.
    ///
    /// # Errors
    /// None: the address was read before.
    pub(super) fn rules(&self, by_address: bool, agent: Option<&HeaderValue>) -> reqwest::Result<[Proxy; 2]> {
        let url = if by_address { by_address_of(self.url.clone()) } else { self.url.clone() };
        let for_tunnels = agent.map(|agent| HeaderMap::from_iter([(USER_AGENT, agent.clone())])).unwrap_or_default();
        // What is asked without a tunnel would get those headers instead of its own.
        Ok([Proxy::http(url.clone())?, Proxy::https(url)?.headers(for_tunnels)])
    }
}

/// The proxies of a run.
#[derive(Debug)]
pub(super) struct Proxies {
    all: Vec<Chosen>,
    /// By the scheme of the request's URL: those that its host may be given.
    http: Range<usize>,
    https: Range<usize>,
    exceptions: Arc<Exceptions>,
    /// Domain names of the proxies.
    names: Arc<[Box<str>]>,
}

impl Proxies {
    /// `explicit` are those of `-x`: several share the hosts among them; an empty list is no proxy at all. `exceptions`
    /// are those of `--noproxy`, instead of what the environment says.
    ///
    /// # Errors
    /// The address of a proxy cannot be used.
    pub(super) fn new(
        explicit: Option<&[String]>,
        exceptions: Option<&str>,
        variables: &ProxyVariables,
    ) -> Result<Self, ProxyError> {
        let exceptions = exceptions.or(variables.no.as_deref()).unwrap_or_default();
        let exceptions = Arc::new(Exceptions::read(exceptions));
        let mut urls = Vec::new();
        let (http, https);
        if let Some(texts) = explicit {
            for text in texts {
                urls.extend(read("-x", Some(text))?);
            }
            (http, https) = (0..urls.len(), 0..urls.len());
        } else {
            let all = read("all_proxy", variables.all.as_deref())?;
            urls.extend(read("http_proxy", variables.http.as_deref())?.or(all.clone()));
            http = 0..urls.len();
            urls.extend(read("https_proxy", variables.https.as_deref())?.or(all));
            https = http.end..urls.len();
        }
        Self::of_urls(urls, http, https, exceptions)
    }

    /// One proxy, or none at all, with the exceptions of these.
    ///
    /// # Errors
    /// Its address cannot be used.
    pub(super) fn instead(&self, proxy: Option<&str>) -> Result<Self, ProxyError> {
        let urls: Vec<_> = read("a job", proxy)?.into_iter().collect();
        let all = 0..urls.len();
        Self::of_urls(urls, all.clone(), all, Arc::clone(&self.exceptions))
    }

    fn of_urls(
        urls: Vec<(&'static str, Url)>,
        http: Range<usize>,
        https: Range<usize>,
        exceptions: Arc<Exceptions>,
    ) -> Result<Self, ProxyError> {
        let names = urls.iter().filter_map(|(_, url)| match url.host() {
            Some(Host::Domain(name)) => Some(name.into()),
            _ => None,
        });
        let names = names.collect();
        let all = urls.into_iter().enumerate().map(|(place, (origin, url))| {
            // To be told of now, and not by a request.
            Proxy::all(url.clone()).map_err(|error| ProxyError { origin, reason: error.to_string() })?;
            let host = url.host_str().unwrap_or_default().trim_matches(['[', ']']).into();
            let address = (host, url.port_or_known_default().unwrap_or(1080));
            Ok(Chosen { shown: shown(&url), url, address, place })
        });
        Ok(Self { all: all.collect::<Result<_, _>>()?, http, https, exceptions, names })
    }

    pub(super) fn names(&self) -> &Arc<[Box<str>]> {
        &self.names
    }

    pub(super) fn len(&self) -> usize {
        self.all.len()
    }

    /// The proxy that a request for this URL goes to. Of several, a host and port always have the same one, in every run:
    /// what a server sees of a host's visitor does not change with each request.
    pub(super) fn of(&self, url: &Url) -> Option<&Chosen> {
        let range = if url.scheme() == "https" { &self.https } else { &self.http };
        let count = range.len();
        if count == 0 || self.exceptions.contain(url) {
            return None;
        }
        let host = &url[Position::BeforeHost..Position::AfterPort];
        let turn = if count == 1 { 0 } else { xxh3_64(host.as_bytes()) % count as u64 };
        self.all.get(range.start + usize::try_from(turn).unwrap_or(0))
    }
}

/// Whether a proxy, as records show it, is told names even under [`Chosen::rules`] by address.
pub(super) fn looks_names_up(shown: &str) -> bool {
    !shown.starts_with("socks")
}

/// The same SOCKS proxy, told addresses (RFC 1928 knows both). HTTP has no such choice: the name of the URL is all there is.
fn by_address_of(mut address: Url) -> Url {
    let scheme = match address.scheme() {
        "socks4a" => "socks4",
        "socks5h" => "socks5",
        _ => return address,
    };
    // Both are schemes that the URL standard does not know, and between those any change is allowed.
    let _ = address.set_scheme(scheme);
    address
}

/// An address as records show it.
fn shown(address: &Url) -> Arc<str> {
    let host = address.host_str().unwrap_or_default();
    match address.port_or_known_default() {
        Some(port) => format!("{}://{host}:{port}", address.scheme()).into(),
        None => format!("{}://{host}", address.scheme()).into(),
    }
}

/// `no_proxy`: the hosts that are asked without a proxy. The stack's own reading is not used: to it `*` means all names,
/// but no address.
#[derive(Debug, Default)]
struct Exceptions {
    /// There was a `*`.
    all: bool,
    /// Lower case, without dots around them: the name itself and all below it.
    names: Vec<Box<str>>,
    networks: Vec<IpNet>,
}

impl Exceptions {
    /// Entries are separated by commas or white space. As in curl an entry has no port: one with a port fits nothing.
    fn read(text: &str) -> Self {
        let mut exceptions = Self::default();
        for entry in text.split(|c: char| c == ',' || c.is_whitespace()).filter(|entry| !entry.is_empty()) {
            let address = entry.trim_matches(['[', ']']);
            if entry == "*" {
                exceptions.all = true;
            } else if let Ok(network) = address.parse::<IpNet>() {
                exceptions.networks.push(network);
            } else if let Ok(address) = address.parse::<IpAddr>() {
                exceptions.networks.push(address.into());
            } else {
                let name = entry.trim_matches('.').to_ascii_lowercase();
                // A name with other letters is known to URLs in its ASCII form only.
                exceptions.names.push(match Host::parse(&name) {
                    Ok(Host::Domain(ascii)) => ascii.into(),
                    _ => name.into(),
                });
            }
        }
        exceptions
    }

    fn contain(&self, url: &Url) -> bool {
        let within = |address: IpAddr| self.networks.iter().any(|network| network.contains(&address));
        self.all
            || match url.host() {
                Some(Host::Ipv4(address)) => within(address.into()),
                Some(Host::Ipv6(address)) => within(address.into()),
                Some(Host::Domain(host)) => self.names.iter().any(|name| is_below(host.trim_end_matches('.'), name)),
                None => false,
            }
    }
}

/// Whether a host is this name, or ends in it after a dot.
fn is_below(host: &str, name: &str) -> bool {
    !name.is_empty() && host.strip_suffix(name).is_some_and(|rest| rest.is_empty() || rest.ends_with('.'))
}

/// None if there is no address.
fn read(origin: &'static str, text: Option<&str>) -> Result<Option<(&'static str, Url)>, ProxyError> {
    match text.map(str::trim) {
        None | Some("") => Ok(None),
        Some(text) => Ok(Some((origin, address(origin, text)?))),
    }
}

/// Reads the address of a proxy.
fn address(origin: &'static str, text: &str) -> Result<Url, ProxyError> {
    let address = ProxyAddress::parse(text);
    address.map(|address| address.url).map_err(|error| ProxyError { origin, reason: error.to_string() })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn variables(http: &str, https: &str, all: &str, no: &str) -> ProxyVariables {
        let some = |text: &str| (!text.is_empty()).then(|| text.to_owned());
        ProxyVariables { http: some(http), https: some(https), all: some(all), no: some(no) }
    }

    fn serves(proxies: &Proxies, url: &str) -> bool {
        proxies.of(&Url::parse(url).unwrap()).is_some()
    }

    #[test]
    fn each_scheme_has_its_variable() {
        let proxies = Proxies::new(None, None, &variables("proxy:3128", "", "", "")).unwrap();
        assert!(serves(&proxies, "http://example.org/"));
        assert!(!serves(&proxies, "https://example.org/"));
        let proxies = Proxies::new(None, None, &variables("", "", "socks5h://proxy", "")).unwrap();
        assert!(serves(&proxies, "http://example.org/") && serves(&proxies, "https://example.org/"));
    }

    #[test]
    fn no_proxy_stands_beside_the_flag() {
        let proxies = Proxies::new(
            Some(&["http://proxy:1".to_owned()]),
            None,
            &variables("", "", "", "inner.example, 10.0.0.0/8"),
        )
        .unwrap();
        assert!(serves(&proxies, "http://example.org/"));
        assert!(!serves(&proxies, "http://a.inner.example/"));
        assert!(!serves(&proxies, "http://10.1.1.1/"));
    }

    #[test]
    fn a_star_means_no_proxy_at_all() {
        for no in ["*", " * ", "a.example,*"] {
            let proxies = Proxies::new(Some(&["http://proxy:1".to_owned()]), None, &variables("", "", "", no)).unwrap();
            for url in ["http://example.org/", "https://127.0.0.1:8080/", "http://[::1]/"] {
                assert!(!serves(&proxies, url), "{no} {url}");
            }
        }
    }

    #[test]
    fn exceptions_are_curls() {
        let cases = [
            ("example.org", "http://example.org:8080/", true),
            ("EXAMPLE.org", "http://a.b.Example.org/", true),
            (".example.org", "http://example.org./", true),
            ("example.org.", "http://a.example.org/", true),
            ("example.org", "http://notexample.org/", false),
            ("*.example.org", "http://a.example.org/", false),
            ("example.org:80", "http://example.org/", false),
            ("b\u{fc}cher.example", "http://xn--bcher-kva.example/", true),
            ("127.0.0.1", "http://127.0.0.1:8080/", true),
            ("127.0.0.1", "http://127.0.0.2/", false),
            ("0.0.1", "http://127.0.0.1/", false),
            ("10.0.0.0/8 172.16.0.0/12", "http://172.31.0.1/", true),
            ("10.0.0.0/8", "http://11.0.0.1/", false),
            ("::1", "http://[::1]:80/", true),
            ("[::1]", "http://[::1]/", true),
            ("fd00::/8", "http://[fd12::1]/", true),
            ("fd00::/8", "http://[fe80::1]/", false),
            (",, ,.", "http://example.org/", false),
        ];
        for (no, url, excepted) in cases {
            let proxies = Proxies::new(Some(&["proxy".to_owned()]), None, &variables("", "", "", no)).unwrap();
            assert_eq!(serves(&proxies, url), !excepted, "{no} {url}");
        }
    }

    #[test]
    fn a_proxy_is_shown_without_its_password() {
        for (text, shown) in [
            ("user:hunter2@proxy", "http://proxy:1080"),
            ("https://proxy", "https://proxy:443"),
            ("socks5h://me:x@[::1]:9050/", "socks5h://[::1]:9050"),
        ] {
            let proxies = Proxies::new(Some(&[text.to_owned()]), None, &ProxyVariables::default()).unwrap();
            assert_eq!(proxies.of(&Url::parse("http://a/").unwrap()).map(|proxy| &*proxy.shown), Some(shown));
        }
        let proxies = Proxies::new(None, None, &variables("one:1", "", "two:2", "")).unwrap();
        let of = |url| &*proxies.of(&Url::parse(url).unwrap()).unwrap().shown;
        assert_eq!((of("http://a/"), of("https://a/")), ("http://one:1", "http://two:2"));
    }

    #[test]
    fn a_socks_proxy_can_be_told_addresses() {
        let of = |text: &str| by_address_of(address("-x", text).unwrap()).to_string();
        assert_eq!(of("socks5h://me:x@proxy:9050"), "socks5://me:x@proxy:9050");
        assert_eq!(of("socks4a://proxy"), "socks4://proxy:1080");
        assert_eq!(of("http://proxy:80"), "http://proxy/");
        assert!(looks_names_up("http://proxy:80") && looks_names_up("https://p:1") && !looks_names_up("socks5h://p:1"));
    }

    #[test]
    fn the_flag_wins_and_empty_means_none() {
        let proxies = Proxies::new(Some(&[String::new()]), None, &variables("proxy:3128", "", "", "")).unwrap();
        assert!(!serves(&proxies, "http://example.org/"));
        let proxies = Proxies::new(Some(&["flag:1".to_owned()]), None, &variables("variable:1", "", "", "")).unwrap();
        assert_eq!(&**proxies.names(), ["flag".into()]);
    }

    #[test]
    fn several_proxies_share_the_hosts_and_a_host_stays_with_one() {
        let three = ["one:1", "two:2", "three:3"].map(str::to_owned);
        let proxies = Proxies::new(Some(&three), None, &ProxyVariables::default()).unwrap();
        let of = |url: &str| proxies.of(&Url::parse(url).unwrap()).unwrap().place;
        let mut hosts = [0; 3];
        for host in 0..300 {
            let place = of(&format!("http://h{host}.example/"));
            assert_eq!(place, of(&format!("http://h{host}.example/other?x")));
            hosts[place] += 1;
        }
        assert!(hosts.iter().all(|count| *count > 60), "{hosts:?}");
    }

    #[test]
    fn noproxy_replaces_the_variable() {
        let proxies = |exceptions| {
            let variables = variables("proxy:1", "", "", "a.example");
            Proxies::new(None, exceptions, &variables).unwrap()
        };
        assert!(!serves(&proxies(None), "http://a.example/"));
        assert!(serves(&proxies(Some("b.example")), "http://a.example/"));
        assert!(!serves(&proxies(Some("b.example")), "http://b.example/"));
        assert!(serves(&proxies(Some("")), "http://a.example/"));
    }

    #[test]
    fn ports_are_curls() {
        let port = |text| address("-x", text).unwrap().port_or_known_default();
        assert_eq!(port("proxy"), Some(1080));
        assert_eq!(port("http://user:pass@proxy/"), Some(1080));
        assert_eq!(port("http://proxy:80"), Some(80));
        assert_eq!(port("socks5://[::1]"), Some(1080));
        assert_eq!(port("socks5://[::1]:9050"), Some(9050));
        assert_eq!(port("https://proxy"), Some(443));
    }

    #[test]
    fn a_bad_address_names_its_origin_and_no_password() {
        for text in ["ftp://user:hunter2@proxy", "http://user:hunter2@", "http://user:hunter2@[::1"] {
            let error =
                Proxies::new(Some(&[text.to_owned()]), None, &ProxyVariables::default()).unwrap_err().to_string();
            assert!(error.contains("-x") && !error.contains("hunter2"), "{error}");
        }
    }
}
