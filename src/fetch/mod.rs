//! Floor 3: one request, from the send to the last byte of the body.
//!
//! Decides nothing about *whether* or *when* to ask: every request, redirect hops and retries included, comes here
//! already admitted. Never follows a redirect, never retries, never sleeps for politeness. Called by the engine's worker.

use std::future::Future;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Method};

use crate::model::fetch_error::FetchError;
use crate::model::record::SkipReason;
use crate::model::url::Url;

pub mod body;
pub mod cache;
mod classify;
pub mod client;
mod coding;
mod connecting;
pub mod cookies;
mod deadlines;
pub mod dial;
mod direct;
#[cfg(any(test, fuzzing))]
pub(crate) mod fuzz;
mod heads;
mod host_field;
mod host_headers;
mod idle;
mod job_proxies;
mod once;
pub mod overrides;
mod pace;
pub mod progress;
mod proxies;
pub mod resolve;
mod secure;
#[cfg(test)]
mod tests;
pub mod tls;
mod tls_words;

/// Sends one request and reads its answer.
///
/// Two implementors: [`client::Client`] over reqwest and hyper, and a scripted fake in the engine's tests.
pub trait Fetcher: Send + Sync + 'static {
    /// Performs exactly one exchange. Always returns: every wait in it has a deadline.
    ///
    /// # Cancel safety
    /// Dropping the future closes the connection and gives back the body memory.
    fn fetch(&self, request: Request) -> impl Future<Output = Attempt> + Send;

    /// The headers that would go with a request: those of the run, and its own. A cache has to know them before.
    fn headers(&self, request: &Request) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in &request.headers {
            headers.append(name, value.clone());
        }
        headers
    }
}

/// What to send.
#[derive(Debug, Clone)]
pub struct Request {
    /// Without fragment and user info.
    pub url: Url,
    pub method: Method,
    /// Beside the run's own headers, and instead of those of the same name.
    pub headers: Vec<(HeaderName, HeaderValue)>,
    pub body: Option<Bytes>,
    /// The run's credentials (`-u`, `-H Authorization: …`) go with it: the host was typed by the user, and no redirect
    /// has left the origin.
    pub credentials: bool,
    /// User and password that stood in the URL, percent-decoded: sent as basic authorization, unless another one is.
    pub user_info: Option<(Box<str>, Box<str>)>,
    /// The proxy of the job, with its credentials; empty is no proxy at all, None is the run's.
    pub proxy: Option<Box<str>>,
    /// The user typed the job: an entry of netrc that names the machine goes along, also where the run's credentials do not.
    pub logs_in: bool,
    /// The run's jar goes along, and takes what the answer sets; what the run asks for its own use has no cookies.
    pub cookies: bool,
    /// The whole request; None is no limit.
    pub timeout: Option<Duration>,
    /// Refuse to connect to private, loopback and link-local addresses.
    pub guarded: bool,
    /// Body bytes after decoding; None is no limit. Reaching it is the failure `too_large`.
    pub max_body: Option<u64>,
    /// May take body memory beside the pool: the oldest line under `--ordered`, which must be able to finish.
    pub beside_pool: bool,
    /// Told how far the request has come.
    pub progress: Arc<progress::Progress>,
}

/// What was sent, for those who keep it.
#[derive(Debug, Clone)]
pub struct SentHead {
    pub method: Method,
    pub headers: HeaderMap,
    pub body: Option<Bytes>,
}

/// What one request did.
#[derive(Debug, Default)]
pub struct Attempt {
    /// If an archive is written; filled by the engine.
    pub sent: Option<Box<SentHead>>,
    /// Stands also when the body failed.
    pub head: Option<Head>,
    /// What came of the body, decoded; empty where none came.
    pub body: Body,
    pub error: Option<FetchError>,
    /// The answer is the stored one, whether its server was asked or not.
    pub from_cache: bool,
    /// It is past its time, and its server could not be asked, or the request wanted it so.
    pub stale: bool,
    /// The guard refused the address: nothing was sent.
    pub refusal: Option<SkipReason>,
    /// The proxy it went through, or was to go through: its address without credentials.
    pub proxy: Option<Arc<str>>,
    /// From the start to the response head.
    pub first_byte: Option<Duration>,
    /// What the connection took, if one was opened for it.
    pub timings: Option<Box<Timings>>,
    /// From the start to the end of the body, or to the failure.
    pub elapsed: Duration,
}

/// How long the parts of opening a connection took; None where there was nothing to do, or the stack does not tell.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Timings {
    /// Looking up the name.
    pub dns: Option<Duration>,
    /// TCP.
    pub connect: Option<Duration>,
    /// The handshake of TLS.
    pub tls: Option<Duration>,
}

/// A response head.
#[derive(Debug, Clone)]
pub struct Head {
    pub status: u16,
    pub headers: HeaderMap,
    /// `HTTP/1.0`, `HTTP/1.1` or `HTTP/2`.
    pub version: &'static str,
    pub remote_addr: Option<SocketAddr>,
}

/// A response body in memory.
#[derive(Debug, Default)]
pub struct Body {
    pub bytes: Bytes,
    /// Bytes on the wire, before content decoding.
    pub wire_size: u64,
    /// It ended before its end: a limit, a cut connection, a broken coding.
    pub truncated: bool,
    /// The memory it holds of the run's pool; given back when dropped.
    pub memory: Option<body::Reservation>,
}
