//! The HTTP client of a run: straight to the server over connections of our own, through proxies over reqwest with what it
//! would do on its own switched off.
//!
//! Decides what is sent: the run's headers, credentials where they may go, the proxy. Redirects, retries, cookies and
//! decompression of the stack are off: a hop or a retry it made would be a request that nobody admitted, and a body it
//! inflated would have no cap. Called by the engine through [`Fetcher`].
//!
//! There are several stacks, each with its own connections: for hosts the user named, and guarded ones for discovered
//! links, which connect to public addresses only; plain, with TLS (with and without the client certificate, which is a
//! credential), and through each proxy. All but the plain ones are made when they are first needed.

use std::future::Future;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use base64::Engine as _;
use bytes::Bytes;
use futures_util::FutureExt as _;
use http::Method;
use http::header::{
    ACCEPT, ACCEPT_ENCODING, AUTHORIZATION, CONTENT_LENGTH, HOST, HeaderMap, HeaderName, HeaderValue, RANGE,
    TRANSFER_ENCODING, USER_AGENT,
};
use ipnet::IpNet;
use tokio::time::Instant;
use url::{Host, Url};

use super::body::{BodyPool, Limits};
use super::classify::{Headless, Route, connect_timeout, of_name, one_line, our_limit};
use super::connecting::Watch;
use super::cookies::{CookieError, CookieSettings, Cookies};
pub use super::deadlines::LowestSpeed;
use super::deadlines::Times;
use super::dial::{DialSettings, Dialer, Interface, ProxyNames};
use super::direct::Direct;
use super::heads::{LONGEST_HEADERS, MOST_HEADERS};
use super::host_field;
pub use super::host_headers::HostHeaders;
use super::host_headers::{self, overlay};
use super::job_proxies::JobProxies;
use super::once::{Terms, once};
use super::proxies::{Chosen, Proxies, ProxyError, ProxyVariables, looks_names_up};
pub use super::resolve::Dns;
use super::resolve::{Names, Resolver, no_descriptor};
use super::secure::Secure;
use super::tls::{Tls, TlsFileError, TlsSettings};
use super::{Attempt, Fetcher, Request};
use crate::model::fetch_error::{ErrorKind, FetchError, Stage};
use crate::model::record::SkipReason;
use crate::policy::netrc::Netrc;

/// The codings that are decoded.
const CODINGS: HeaderValue = HeaderValue::from_static("gzip, deflate, br, zstd");

/// What holds for every request of a run.
#[derive(Debug, Clone)]
pub struct ClientSettings {
    /// `User-Agent`, unless `headers` has one; empty sends none.
    pub user_agent: String,
    /// Sent with every request, instead of ours of the same name; no credentials. A `Host` goes only with requests that may
    /// carry credentials: it names the host that the user typed.
    pub headers: Vec<(HeaderName, HeaderValue)>,
    /// Headers of ours that are not sent at all (`-H 'Accept-Encoding:'`). The stack always sends `Accept` and `Host`.
    pub removed: Vec<HeaderName>,
    /// Sent only with requests that may carry the run's credentials.
    pub credentials: Vec<(HeaderName, HeaderValue)>,
    /// `-x`, of which each host gets one; an empty list is no proxy at all, None is what the environment says.
    pub proxy: Option<Vec<String>>,
    /// `--noproxy`: the hosts that are asked without a proxy; None is what the environment says.
    pub noproxy: Option<String>,
    pub tls: TlsSettings,
    pub dial: DialSettings,
    /// Who is asked for names.
    pub dns: Dns,
    /// Networks that no request connects to, be its host typed or not; a proxy's own address is not asked about.
    pub denied: Vec<IpNet>,
    /// Name, connection and TLS handshake; None is no limit.
    pub connect_timeout: Option<Duration>,
    /// Longest silence in a body; None is no limit.
    pub read_timeout: Option<Duration>,
    /// Compressed bodies are asked for, and decoded; else they are kept as they come.
    pub compressed: bool,
    /// `--limit-rate`: bytes on the wire a second, of each body.
    pub limit_rate: Option<u64>,
    /// Headers of some hosts; of a name the first that fits counts, and stands instead of the run's.
    pub hosts: Vec<HostHeaders>,
    /// Logins by machine, for requests that have no other.
    pub netrc: Option<Netrc>,
    /// The cookie engine; None: responses set no cookies.
    pub cookies: Option<CookieSettings>,
    /// Bodies that stay slower for so long are given up; None is no limit.
    pub lowest_speed: Option<LowestSpeed>,
    /// Memory for bodies beyond 256 KiB each, in bytes.
    pub body_pool: u64,
    /// Decoded bytes of a body for each one on the wire, beyond its first MiB; None is no limit.
    pub max_ratio: Option<u32>,
    /// Connections kept open without a request, for each host.
    pub max_idle_per_host: usize,
    /// How long they are kept; those of plain http up to 60 s, unless there are more than 256.
    pub idle_timeout: Duration,
}

impl Default for ClientSettings {
    fn default() -> Self {
        Self {
            user_agent: concat!("lycosa/", env!("CARGO_PKG_VERSION"), " (+", env!("CARGO_PKG_REPOSITORY"), ")")
                .to_owned(),
            headers: Vec::new(),
            removed: Vec::new(),
            credentials: Vec::new(),
            proxy: None,
            noproxy: None,
            tls: TlsSettings::default(),
            dial: DialSettings::default(),
            dns: Dns::Own,
            denied: Vec::new(),
            connect_timeout: Some(Duration::from_secs(10)),
            read_timeout: Some(Duration::from_secs(15)),
            compressed: true,
            limit_rate: None,
            hosts: Vec::new(),
            netrc: None,
            cookies: None,
            lowest_speed: None,
            body_pool: 64 * 1024 * 1024,
            max_ratio: Some(1000),
            // The requests in flight at a host bound it already.
            max_idle_per_host: usize::MAX,
            // Many servers close after 5 s (Apache httpd, Node). Whoever keeps a connection as long as that sends into a
            // closing one sooner or later, and a delay of 5 s between requests would hit that moment every time.
            idle_timeout: Duration::from_secs(4),
        }
    }
}

/// Settings that no client can be made of.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ClientError {
    #[error(transparent)]
    Proxy(#[from] ProxyError),
    #[error(transparent)]
    Cookies(#[from] CookieError),
    #[error("'{0}' cannot be sent as a user agent")]
    UserAgent(String),
    #[error(transparent)]
    Tls(#[from] TlsFileError),
    #[error("--interface: {0}")]
    Interface(std::io::Error),
}

/// Performs requests. See [`Fetcher`].
#[derive(Debug)]
pub struct Client {
    settings: StackSettings,
    /// For any address, and guarded.
    direct: [Direct; 2],
    /// By [`Kind::place`]: made when first needed, since the certificates of authorities alone cost 3 ms to read.
    secure: Box<[OnceLock<Secure>; Kind::COUNT]>,
    /// Through the run's proxies.
    proxied: Proxied,
    /// Through those of jobs and of some hosts.
    job_proxies: JobProxies<Proxied>,
    /// The run's headers, without and with its credentials.
    headers: HeaderMap,
    headers_with_credentials: HeaderMap,
    read_timeout: Option<Duration>,
    lowest_speed: Option<LowestSpeed>,
    max_ratio: Option<u32>,
    compressed: bool,
    limit_rate: Option<u64>,
    /// `Authorization` was taken back: what URLs and netrc say is not sent either.
    logs_in_nowhere: bool,
    hosts: Vec<HostHeaders>,
    netrc: Option<Netrc>,
    cookies: Option<Arc<Cookies>>,
    pool: BodyPool,
}

impl Client {
    /// A client for a run. Reads the proxy variables of the environment.
    ///
    /// # Errors
    /// A proxy that cannot be used, or a user agent that cannot be sent.
    pub fn new(settings: &ClientSettings) -> Result<Self, ClientError> {
        Self::with_variables(settings, &ProxyVariables::from_env())
    }

    pub(super) fn with_variables(settings: &ClientSettings, variables: &ProxyVariables) -> Result<Self, ClientError> {
        let mut headers = run_headers(settings)?;
        let mut headers_with_credentials = headers.clone();
        headers.insert(HOST, host_field::OF_URL);
        overlay(
            &mut headers_with_credentials,
            settings.credentials.iter().cloned().map(|(name, mut value)| {
                value.set_sensitive(true);
                (name, value)
            }),
        );
        let proxies = Proxies::new(settings.proxy.as_deref(), settings.noproxy.as_deref(), variables)?;
        if let Some(interface) = &settings.dial.interface {
            interface.check().map_err(ClientError::Interface)?;
        }
        let dial = Arc::new(settings.dial.clone());
        let names = Names::new(settings.dns, settings.dial.family, &settings.denied);
        let stack = StackSettings {
            user_agent: headers.get(USER_AGENT).cloned(),
            names: names.clone(),
            tls: Box::new(Tls::new(&settings.tls)?),
            dial: Arc::clone(&dial),
            connect_timeout: settings.connect_timeout,
            max_idle_per_host: settings.max_idle_per_host,
            idle_timeout: settings.idle_timeout,
        };
        let direct = [false, true].map(|guarded| {
            let dialer = Dialer::new(&names, guarded, Arc::clone(&dial));
            Direct::new(dialer, settings.connect_timeout, settings.idle_timeout)
        });
        Ok(Self {
            settings: stack,
            direct,
            secure: Box::default(),
            proxied: Proxied::through(proxies),
            job_proxies: JobProxies::default(),
            headers,
            headers_with_credentials,
            read_timeout: settings.read_timeout,
            lowest_speed: settings.lowest_speed,
            max_ratio: settings.max_ratio,
            compressed: settings.compressed,
            limit_rate: settings.limit_rate,
            logs_in_nowhere: settings.removed.contains(&AUTHORIZATION),
            hosts: settings.hosts.clone(),
            netrc: settings.netrc.clone(),
            cookies: settings.cookies.as_ref().map(Cookies::open).transpose()?.map(Arc::new),
            pool: BodyPool::new(settings.body_pool),
        })
    }

    /// The body memory that all requests share.
    #[must_use]
    pub fn body_pool(&self) -> &BodyPool {
        &self.pool
    }

    /// The cookies of the run, if its cookie engine is on.
    #[must_use]
    pub fn cookies(&self) -> Option<Arc<Cookies>> {
        self.cookies.clone()
    }

    /// Whether the guard forbids a request by what its URL says.
    fn is_refused(&self, request: &Request, proxies: Option<&Proxies>) -> bool {
        let url = &request.url;
        let guard = self.settings.names.guard(request.guarded);
        if let Some(proxies) = proxies {
            guard.forbids_literal(url) || (request.guarded && is_proxy(proxies, url))
        } else {
            // What was typed for the URL is judged where it is connected to.
            guard.forbids_literal(url) && !self.settings.dial.is_typed(url)
        }
    }

    /// Asks for the addresses of a name that a proxy will look up by itself, as far as the guard wants to know them. What
    /// cannot be checked is not asked.
    async fn check_for(&self, proxy: &Chosen, request: &Request) -> Result<(), Headless> {
        let names = &self.settings.names;
        let Some(Host::Domain(name)) = request.url.host() else { return Ok(()) };
        if !names.guard(request.guarded).is_on() || !looks_names_up(&proxy.shown) {
            return Ok(());
        }
        let resolver = Resolver::new(names, request.guarded, Arc::default());
        let checked = resolver.check(name);
        let checked = match [self.settings.connect_timeout, request.timeout].into_iter().flatten().min() {
            Some(time) => tokio::time::timeout(time, checked).await.map_err(|_| Headless::Failed(connect_timeout()))?,
            None => checked.await,
        };
        checked.map_err(|error| of_name(&error))
    }

    /// The stack of TLS for a request.
    fn secure(&self, kind: Kind) -> Result<&Secure, FetchError> {
        let place = &self.secure[kind.place()];
        if let Some(secure) = place.get() {
            return Ok(secure);
        }
        let config = self.settings.tls.config(kind.identity).map_err(|error| no_stack(&error))?;
        Ok(place.get_or_init(|| self.settings.secure(kind, config)))
    }

    /// The stack of reqwest for a request through a proxy.
    fn stack<'a>(&self, through: &'a Proxied, kind: Kind, proxy: &Chosen) -> Result<&'a reqwest::Client, FetchError> {
        let place = &through.stacks[proxy.place * Kind::COUNT + kind.place()];
        if let Some(client) = place.get() {
            return Ok(client);
        }
        let config = self.settings.tls.config(kind.identity).map_err(|error| no_stack(&error))?;
        let client = self.settings.proxied(kind, through, proxy, config).map_err(|error| no_stack(&error))?;
        Ok(place.get_or_init(|| client))
    }

    /// What netrc says of the machine, if the URL does not; of a user without a password the password.
    fn login_of_netrc<'a>(&'a self, request: &'a Request) -> Option<(&'a [u8], &'a [u8])> {
        let netrc = self.netrc.as_ref().filter(|_| request.credentials || request.logs_in)?;
        let user = match &request.user_info {
            Some((user, password)) if password.is_empty() => Some(user.as_bytes()),
            Some(_) => return None,
            None => None,
        };
        netrc.login(request.url.host_str()?, user, !request.credentials)
    }

    fn headers_for(&self, request: &mut Request) -> HeaderMap {
        let mut headers =
            if request.credentials { self.headers_with_credentials.clone() } else { self.headers.clone() };
        host_headers::add(&self.hosts, request, &mut headers);
        // As in curl a flag stands over the URL, and both over netrc.
        if !headers.contains_key(AUTHORIZATION) && !self.logs_in_nowhere {
            let user_info = request.user_info.as_ref().map(|(user, password)| (user.as_bytes(), password.as_bytes()));
            if let Some((user, password)) = self.login_of_netrc(request).or(user_info)
                && let Some(value) = basic_authorization(user, password)
            {
                headers.insert(AUTHORIZATION, value);
            }
        }
        // A `Host` names the host that the user typed, as credentials do.
        let of_job = std::mem::take(&mut request.headers).into_iter();
        overlay(&mut headers, of_job.filter(|(name, _)| request.credentials || *name != HOST));
        // RFC 9110 8.6: a method that gives content a meaning says so when there is none; the stack sends nothing.
        let is_empty = request.body.as_ref().is_none_or(Bytes::is_empty);
        let wants_body = matches!(request.method, Method::POST | Method::PUT | Method::PATCH);
        if is_empty && wants_body && !headers.contains_key(TRANSFER_ENCODING) {
            headers.insert(CONTENT_LENGTH, HeaderValue::from_static("0"));
        }
        headers
    }
}

/// The guard lets the names of proxies pass, so a discovered link must not use that.
fn is_proxy(proxies: &Proxies, url: &Url) -> bool {
    matches!(url.host(), Some(Host::Domain(host)) if proxies.names().iter().any(|name| **name == *host))
}

/// Why no stack could be made.
fn no_stack(error: &dyn std::error::Error) -> FetchError {
    let message = one_line(&error.to_string());
    let broken = || FetchError::permanent(ErrorKind::Internal, Stage::Connect, message).before_sending();
    no_descriptor().map_or_else(broken, |limit| our_limit(&limit))
}

/// A proxy connects to what the URL says.
fn led_elsewhere(url: &Url) -> FetchError {
    let host = url.host_str().unwrap_or_default();
    let message = format!("--connect-to does not lead through a proxy; without one it is asked with --noproxy {host}");
    FetchError::permanent(ErrorKind::Proxy, Stage::Connect, message).before_sending()
}

impl Fetcher for Client {
    fn headers(&self, request: &Request) -> HeaderMap {
        let mut headers = self.headers_for(&mut request.clone());
        if let Some(jar) = self.cookies.as_ref().filter(|_| request.cookies) {
            jar.add_to(&request.url, &mut headers);
        }
        headers
    }

    fn identity(&self, request: &Request) -> Option<&[u8]> {
        let shown = request.credentials && request.url.scheme() == "https";
        self.settings.tls.identity().filter(|_| shown)
    }

    /// (Not an async function, which would have room for the request twice.)
    fn fetch(&self, mut request: Request) -> impl Future<Output = Attempt> + Send {
        if request.proxy.is_none() {
            request.proxy = host_headers::proxy(&self.hosts, &request.url).map(Into::into);
        }
        let jar = self.cookies.as_ref().filter(|_| request.cookies);
        let url = jar.map(|_| Box::new(request.url.clone()));
        // (Nor an async block, which would have room for the exchange twice.)
        self.exchange(request, jar).inspect(move |attempt| {
            if let (Some(jar), Some(url), Some(head)) = (jar, url, &attempt.head) {
                jar.take_from(&url, &head.headers);
            }
        })
    }
}

impl Client {
    /// The stacks for a proxy that a job or a host has of its own; empty is none.
    fn beside(&self, proxy: &str) -> Result<Arc<Proxied>, FetchError> {
        let only = Some(proxy).filter(|proxy| !proxy.is_empty());
        let made = self.job_proxies.of(proxy, || self.proxied.proxies.instead(only).map(Proxied::through));
        made.map_err(|error| {
            let message = one_line(&error.to_string());
            FetchError::permanent(ErrorKind::Proxy, Stage::Connect, message).before_sending()
        })
    }

    /// Over plain http straight to the server, or else in a box: what a request may ever await is memory of each. (Not an
    /// async function, which would have room for the request twice.)
    fn exchange<'s>(
        &'s self,
        mut request: Request,
        jar: Option<&'s Arc<Cookies>>,
    ) -> impl Future<Output = Attempt> + Send + 's {
        let is_direct = request.url.scheme() == "http"
            && request.proxy.is_none()
            && self.proxied.proxies.of(&request.url).is_none()
            && !self.is_refused(&request, None);
        let prepared = if is_direct { Ok(self.headers_with_cookies(&mut request, jar)) } else { Err(()) };
        async move {
            let Ok(headers) = prepared else { return Box::pin(self.exchange_otherwise(request, jar)).await };
            let (method, body) = (std::mem::take(&mut request.method), request.body.take());
            let direct = &self.direct[usize::from(request.guarded)];
            let terms = self.terms(&request, &headers, Duration::ZERO);
            direct.once(&request.url, method, headers, body.filter(|body| !body.is_empty()), terms).await
        }
    }

    fn headers_with_cookies(&self, request: &mut Request, jar: Option<&Arc<Cookies>>) -> HeaderMap {
        let mut headers = self.headers_for(request);
        if let Some(jar) = jar {
            jar.add_to(&request.url, &mut headers);
        }
        headers
    }

    /// What the exchange of a request may take, of whose time some is spent.
    fn terms<'s>(&'s self, request: &'s Request, headers: &HeaderMap, spent: Duration) -> Terms<'s> {
        let body = Limits {
            pool: &self.pool,
            max_body: request.max_body,
            max_ratio: self.max_ratio,
            beside_pool: request.beside_pool,
            rate: self.limit_rate,
        };
        let times = Times { whole: request.timeout, spent, silence: self.read_timeout, speed: self.lowest_speed };
        let asks_for_part = headers.contains_key(RANGE);
        Terms { times, body, progress: &request.progress, decode: self.compressed, asks_for_part }
    }

    /// Through a proxy, with TLS, or with a word of its own on proxies; or not at all.
    async fn exchange_otherwise(&self, mut request: Request, jar: Option<&Arc<Cookies>>) -> Attempt {
        let beside = match request.proxy.take().map(|proxy| self.beside(&proxy)).transpose() {
            Ok(beside) => beside,
            Err(error) => return Attempt { error: Some(error), ..Attempt::default() },
        };
        let through = beside.as_deref().unwrap_or(&self.proxied);
        let proxy = through.proxies.of(&request.url);
        if self.is_refused(&request, proxy.map(|_| &through.proxies)) {
            return Attempt { refusal: Some(SkipReason::PrivateAddress), ..Attempt::default() };
        }
        let start = Instant::now();
        // Before anything is waited for: what the cache was told of them must be what is sent.
        let mut headers = self.headers_with_cookies(&mut request, jar);
        if let Some(proxy) = proxy
            && let Err(headless) = self.check_for(proxy, &request).await
        {
            return Attempt { proxy: Some(Arc::clone(&proxy.shown)), ..headless.attempt(start.elapsed()) };
        }
        let checked = start.elapsed();
        let (method, body) = (std::mem::take(&mut request.method), request.body.take());
        let body = body.filter(|body| !body.is_empty());
        let terms = self.terms(&request, &headers, checked);
        if proxy.is_none() && request.url.scheme() == "http" {
            let direct = &self.direct[usize::from(request.guarded)];
            return direct.once(&request.url, method, headers, body, terms).await;
        }
        let failed = |error| Attempt { error: Some(error), ..Attempt::default() };
        let identity = request.credentials && self.settings.tls.identity().is_some();
        let kind = Kind { guarded: request.guarded, identity };
        let Some(proxy) = proxy else {
            return match self.secure(kind) {
                Ok(secure) => secure.once(&request.url, method, headers, body, terms).await,
                Err(error) => failed(error),
            };
        };
        if self.settings.dial.leads_elsewhere(&request.url) {
            return Attempt { proxy: Some(Arc::clone(&proxy.shown)), ..failed(led_elsewhere(&request.url)) };
        }
        let client = match self.stack(through, kind, proxy) {
            Ok(client) => client,
            Err(error) => return failed(error),
        };
        let plain = proxy.is_plain(&request.url);
        if !plain || host_field::write(&mut headers, &request.url).is_err() {
            host_field::leave_out(&mut headers);
        }
        let mut message = reqwest::Request::new(method, request.url.clone());
        *message.headers_mut() = headers;
        *message.body_mut() = body.map(reqwest::Body::from);
        let attempt = once(client, message, terms, |url| Route::new(url, true)).await;
        let timings = request.progress.connecting().timings_as_a_whole(plain).map(Box::new);
        let first_byte = attempt.first_byte.map(|time| time + checked);
        let elapsed = attempt.elapsed + checked;
        Attempt { proxy: Some(Arc::clone(&proxy.shown)), first_byte, timings, elapsed, ..attempt }
    }
}

/// Which of the stacks of one route: each has its own connections.
#[derive(Debug, Clone, Copy)]
struct Kind {
    /// Connects to public addresses only.
    guarded: bool,
    /// Shows the client certificate.
    identity: bool,
}

impl Kind {
    const COUNT: usize = 4;

    fn place(self) -> usize {
        2 * usize::from(self.guarded) + usize::from(self.identity)
    }
}

/// Stacks that go through proxies.
#[derive(Debug)]
struct Proxied {
    proxies: Proxies,
    /// For each proxy, by [`Kind::place`].
    stacks: Vec<OnceLock<reqwest::Client>>,
}

impl Proxied {
    fn through(proxies: Proxies) -> Self {
        let stacks = (0..proxies.len() * Kind::COUNT).map(|_| OnceLock::new()).collect();
        Self { proxies, stacks }
    }
}

/// What all stacks are made of.
#[derive(Debug)]
struct StackSettings {
    names: Names,
    user_agent: Option<HeaderValue>,
    tls: Box<Tls>,
    dial: Arc<DialSettings>,
    connect_timeout: Option<Duration>,
    max_idle_per_host: usize,
    idle_timeout: Duration,
}

impl StackSettings {
    fn secure(&self, kind: Kind, config: rustls::ClientConfig) -> Secure {
        let dialer = Dialer::new(&self.names, kind.guarded, Arc::clone(&self.dial));
        Secure::new(dialer, config, self.connect_timeout, self.idle_timeout)
    }

    fn proxied(
        &self,
        kind: Kind,
        through: &Proxied,
        proxy: &Chosen,
        config: rustls::ClientConfig,
    ) -> reqwest::Result<reqwest::Client> {
        let resolver = Resolver::new(&self.names, kind.guarded, Arc::clone(through.proxies.names()));
        let denied = self.names.guard(false);
        let names = ProxyNames::new(resolver, denied, proxy.address.clone(), Arc::clone(&self.dial));
        let [plain, tunnelled] = proxy.rules(self.names.guard(kind.guarded).is_on(), self.user_agent.as_ref())?;
        let mut builder = reqwest::Client::builder()
            .redirect(reqwest::redirect::Policy::none())
            .retry(reqwest::retry::never())
            .referer(false)
            .no_proxy()
            .proxy(plain)
            .proxy(tunnelled)
            .connector_layer(Watch)
            .dns_resolver(names)
            .tcp_nodelay(true)
            .pool_max_idle_per_host(self.max_idle_per_host)
            .pool_idle_timeout(self.idle_timeout)
            .http1_max_headers(MOST_HEADERS)
            // As in `direct`.
            .http1_allow_obsolete_multiline_headers_in_responses(true)
            .http1_allow_spaces_after_header_name_in_responses(true)
            .http1_ignore_invalid_headers_in_responses(true)
            .http2_max_header_list_size(LONGEST_HEADERS)
            .tls_backend_preconfigured(config);
        if let Some(time) = self.connect_timeout {
            builder = builder.connect_timeout(time);
        }
        match &self.dial.interface {
            None => {}
            Some(Interface::Address(address)) => builder = builder.local_address(*address),
            Some(Interface::Name(name)) => builder = builder.interface(name),
        }
        builder.build()
    }
}

fn run_headers(settings: &ClientSettings) -> Result<HeaderMap, ClientError> {
    let mut headers = HeaderMap::new();
    headers.insert(HOST, host_field::OF_URL);
    if !settings.user_agent.is_empty() {
        let agent = HeaderValue::from_str(&settings.user_agent)
            .map_err(|_| ClientError::UserAgent(settings.user_agent.escape_debug().to_string()))?;
        headers.insert(USER_AGENT, agent);
    }
    headers.insert(ACCEPT, HeaderValue::from_static("*/*"));
    if settings.compressed {
        headers.insert(ACCEPT_ENCODING, CODINGS);
    }
    for name in &settings.removed {
        headers.remove(name);
    }
    overlay(&mut headers, settings.headers.iter().cloned());
    Ok(headers)
}

/// RFC 7617. `user` and `password` as they are meant, not as a URL encodes them.
fn basic_authorization(user: &[u8], password: &[u8]) -> Option<HeaderValue> {
    let text = format!("Basic {}", base64::engine::general_purpose::STANDARD.encode([user, b":", password].concat()));
    let mut value = HeaderValue::try_from(text).ok()?;
    value.set_sensitive(true);
    Some(value)
}
