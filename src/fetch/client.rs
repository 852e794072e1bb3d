//! The HTTP client of a run: plain http over hyper, TLS and proxies over reqwest with what it would do on its own
//! switched off.
//!
//! Decides what is sent: the run's headers, credentials where they may go, the proxy. Redirects, retries, cookies and
//! decompression of the stack are off: a hop or a retry it made would be a request that nobody admitted, and a body it
//! inflated would have no cap. Called by the engine through [`Fetcher`].
//!
//! There are several stacks, each with its own connections: for hosts the user named, and guarded ones for discovered
//! links, which connect to public addresses only; plain, with TLS, and through a proxy. Those of reqwest are made when they
//! are first needed.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use base64::Engine as _;
use bytes::Bytes;
use http::Method;
use http::header::{
    ACCEPT, ACCEPT_ENCODING, AUTHORIZATION, CONTENT_LENGTH, HOST, HeaderMap, HeaderName, HeaderValue,
    TRANSFER_ENCODING, USER_AGENT,
};
use url::{Host, Url};

use super::body::{BodyPool, Limits};
use super::classify::{Route, one_line, our_limit};
use super::connecting::Watch;
pub use super::deadlines::LowestSpeed;
use super::deadlines::Times;
use super::direct::{Direct, NO_HOST};
use super::heads::MOST_HEADERS;
use super::once::{Terms, once};
use super::proxies::{Proxies, ProxyError, ProxyVariables};
use super::resolve::{Resolver, literal_is_private, no_descriptor};
use super::{Attempt, Fetcher, Request};
use crate::model::fetch_error::{ErrorKind, FetchError, Stage};
use crate::model::record::SkipReason;

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
    /// `-x`; empty is no proxy at all, None is what the environment says.
    pub proxy: Option<String>,
    /// Certificates are not checked.
    pub insecure: bool,
    /// Name, connection and TLS handshake; None is no limit.
    pub connect_timeout: Option<Duration>,
    /// Longest silence in a body; None is no limit.
    pub read_timeout: Option<Duration>,
    /// Bodies that stay slower for so long are given up; None is no limit.
    pub lowest_speed: Option<LowestSpeed>,
    /// Memory for bodies beyond 256 KiB each, in bytes.
    pub body_pool: u64,
    /// Decoded bytes of a body for each one on the wire, beyond its first MiB; None is no limit.
    pub max_ratio: Option<u32>,
    /// Connections kept open without a request, for each host.
    pub max_idle_per_host: usize,
    /// How long they are kept.
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
            insecure: false,
            connect_timeout: Some(Duration::from_secs(10)),
            read_timeout: Some(Duration::from_secs(15)),
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
    #[error("'{0}' cannot be sent as a user agent")]
    UserAgent(String),
}

/// Performs requests. See [`Fetcher`].
#[derive(Debug)]
pub struct Client {
    settings: StackSettings,
    /// For any address, and guarded.
    direct: [Direct; 2],
    /// By [`Kind::place`]: made when first needed, since the certificates of authorities alone cost 3 ms to read.
    stacks: [OnceLock<reqwest::Client>; 4],
    /// The run's headers, without and with its credentials.
    headers: HeaderMap,
    headers_with_credentials: HeaderMap,
    read_timeout: Option<Duration>,
    lowest_speed: Option<LowestSpeed>,
    max_ratio: Option<u32>,
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
        headers.insert(HOST, NO_HOST);
        overlay(
            &mut headers_with_credentials,
            settings.credentials.iter().cloned().map(|(name, mut value)| {
                value.set_sensitive(true);
                (name, value)
            }),
        );
        let stack = StackSettings {
            proxies: Proxies::new(settings.proxy.as_deref(), variables)?,
            user_agent: headers.get(USER_AGENT).cloned(),
            insecure: settings.insecure,
            connect_timeout: settings.connect_timeout,
            max_idle_per_host: settings.max_idle_per_host,
            idle_timeout: settings.idle_timeout,
        };
        let direct = [false, true].map(|guarded| {
            let resolver = Resolver::new(guarded, Arc::default());
            Direct::new(resolver, settings.connect_timeout, settings.idle_timeout)
        });
        Ok(Self {
            settings: stack,
            direct,
            stacks: Default::default(),
            headers,
            headers_with_credentials,
            read_timeout: settings.read_timeout,
            lowest_speed: settings.lowest_speed,
            max_ratio: settings.max_ratio,
            pool: BodyPool::new(settings.body_pool),
        })
    }

    /// The body memory that all requests share.
    #[must_use]
    pub fn body_pool(&self) -> &BodyPool {
        &self.pool
    }

    /// Whether the guard forbids a request by what its URL says.
    fn is_refused(&self, request: &Request, proxied: bool) -> bool {
        request.guarded && (literal_is_private(&request.url) || (proxied && self.is_proxy(&request.url)))
    }

    /// The stack of reqwest for a request.
    fn stack(&self, kind: Kind) -> Result<&reqwest::Client, FetchError> {
        let place = &self.stacks[kind.place()];
        if let Some(client) = place.get() {
            return Ok(client);
        }
        match self.settings.build(kind) {
            Ok(client) => Ok(place.get_or_init(|| client)),
            Err(error) => {
                let message = one_line(&error.to_string());
                let broken = || FetchError::permanent(ErrorKind::Internal, Stage::Connect, message).before_sending();
                Err(no_descriptor().map_or_else(broken, |limit| our_limit(&limit)))
            }
        }
    }

    /// The guard lets the names of proxies pass, so a discovered link must not use that.
    fn is_proxy(&self, url: &Url) -> bool {
        matches!(url.host(), Some(Host::Domain(host)) if self.settings.proxies.names().iter().any(|name| **name == *host))
    }

    fn headers_for(&self, request: &mut Request) -> HeaderMap {
        let mut headers =
            if request.credentials { self.headers_with_credentials.clone() } else { self.headers.clone() };
        if let Some((user, password)) = &request.user_info
            && let Some(value) = basic_authorization(user, password)
        {
            headers.insert(AUTHORIZATION, value);
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

impl Fetcher for Client {
    fn headers(&self, request: &Request) -> HeaderMap {
        self.headers_for(&mut request.clone())
    }

    async fn fetch(&self, mut request: Request) -> Attempt {
        let proxy = self.settings.proxies.of(&request.url).cloned();
        if self.is_refused(&request, proxy.is_some()) {
            return Attempt { refusal: Some(SkipReason::PrivateAddress), ..Attempt::default() };
        }
        let mut headers = self.headers_for(&mut request);
        let (max_body, max_ratio, beside_pool) = (request.max_body, self.max_ratio, request.beside_pool);
        let limits = Limits { pool: &self.pool, max_body, max_ratio, beside_pool };
        let times = Times { whole: request.timeout, silence: self.read_timeout, speed: self.lowest_speed };
        let terms = Terms { times, body: limits, progress: &request.progress };
        let body = request.body.filter(|body| !body.is_empty());
        if proxy.is_none() && request.url.scheme() == "http" {
            let direct = &self.direct[usize::from(request.guarded)];
            return direct.once(&request.url, request.method, headers, body, terms).await;
        }
        let client = match self.stack(Kind { guarded: request.guarded, proxied: proxy.is_some() }) {
            Ok(client) => client,
            Err(error) => return Attempt { error: Some(error), ..Attempt::default() },
        };
        // This stack writes its own, which over HTTP/2 is no header.
        if headers.get(HOST).is_some_and(|host| *host == NO_HOST) {
            headers.remove(HOST);
        }
        let mut message = reqwest::Request::new(request.method, request.url);
        *message.headers_mut() = headers;
        *message.body_mut() = body.map(reqwest::Body::from);
        let attempt = Box::pin(once(client, message, terms, |url| Route::new(url, proxy.is_some()))).await;
        Attempt { proxy, ..attempt }
    }
}

/// Which of the stacks of reqwest: each has its own connections.
#[derive(Debug, Clone, Copy)]
struct Kind {
    /// Connects to public addresses only.
    guarded: bool,
    /// Goes through a proxy, always.
    proxied: bool,
}

impl Kind {
    fn place(self) -> usize {
        2 * usize::from(self.guarded) + usize::from(self.proxied)
    }
}

/// What all stacks are made of.
#[derive(Debug)]
struct StackSettings {
    proxies: Proxies,
    user_agent: Option<HeaderValue>,
    insecure: bool,
    connect_timeout: Option<Duration>,
    max_idle_per_host: usize,
    idle_timeout: Duration,
}

impl StackSettings {
    fn build(&self, kind: Kind) -> reqwest::Result<reqwest::Client> {
        let builder = || self.builder(kind);
        builder().build().or_else(|error| {
            // The certificates are files: without a descriptor there seem to be none.
            if no_descriptor().is_some() {
                return Err(error);
            }
            // A machine without any CA certificate (a bare container) can still fetch http, and each https request will
            // say that the certificate is not trusted.
            tracing::warn!(%error, "no certificates of authorities were found: https will fail");
            builder().tls_certs_only([]).build()
        })
    }

    fn builder(&self, kind: Kind) -> reqwest::ClientBuilder {
        let names = if kind.proxied { Arc::clone(self.proxies.names()) } else { Arc::default() };
        let mut builder = reqwest::Client::builder()
            .redirect(reqwest::redirect::Policy::none())
            .retry(reqwest::retry::never())
            .referer(false)
            .no_proxy()
            .connector_layer(Watch)
            .dns_resolver(Resolver::new(kind.guarded, names))
            .tcp_nodelay(true)
            .pool_max_idle_per_host(self.max_idle_per_host)
            .pool_idle_timeout(self.idle_timeout)
            .http1_max_headers(MOST_HEADERS)
            // The stack's own limit is 16 KiB, which long security policies and cookies exceed; HTTP/1 has 400 KiB.
            .http2_max_header_list_size(64 * 1024)
            .tls_danger_accept_invalid_certs(self.insecure);
        if let Some(time) = self.connect_timeout {
            builder = builder.connect_timeout(time);
        }
        if kind.proxied {
            for rule in self.proxies.rules() {
                builder = builder.proxy(rule.clone());
            }
            if let Some(agent) = &self.user_agent {
                // For the CONNECT request, which has no other headers of ours.
                builder = builder.user_agent(agent.clone());
            }
        }
        builder
    }
}

fn run_headers(settings: &ClientSettings) -> Result<HeaderMap, ClientError> {
    let mut headers = HeaderMap::new();
    headers.insert(HOST, NO_HOST);
    if !settings.user_agent.is_empty() {
        let agent = HeaderValue::from_str(&settings.user_agent)
            .map_err(|_| ClientError::UserAgent(settings.user_agent.escape_debug().to_string()))?;
        headers.insert(USER_AGENT, agent);
    }
    headers.insert(ACCEPT, HeaderValue::from_static("*/*"));
    headers.insert(ACCEPT_ENCODING, CODINGS);
    for name in &settings.removed {
        headers.remove(name);
    }
    overlay(&mut headers, settings.headers.iter().cloned());
    Ok(headers)
}

/// Puts headers over others: the first of a name replaces what was there, further ones stand beside it.
fn overlay(headers: &mut HeaderMap, over: impl Iterator<Item = (HeaderName, HeaderValue)>) {
    let mut replaced: Vec<HeaderName> = Vec::new();
    for (name, value) in over {
        if replaced.contains(&name) {
            headers.append(name, value);
        } else {
            headers.insert(name.clone(), value);
            replaced.push(name);
        }
    }
}

/// RFC 7617. `user` and `password` as they are meant, not as a URL encodes them.
fn basic_authorization(user: &str, password: &str) -> Option<HeaderValue> {
    let text = format!("Basic {}", base64::engine::general_purpose::STANDARD.encode(format!("{user}:{password}")));
    let mut value = HeaderValue::try_from(text).ok()?;
    value.set_sensitive(true);
    Some(value)
}
