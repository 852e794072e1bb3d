//! https, straight to the server: TLS over TCP connections of our own, HTTP/1.1 or HTTP/2 as the handshake agrees.
//!
//! Decides nothing that `once` does not: one exchange, no redirect, no retry. The connector is ours, so that the address
//! which passed the guard, or was typed, is the one that is spoken to, and its time can be told. HTTP/2 connections are
//! shared by requests, which is what the pool of `hyper-util` is for. Called by `client`.

use std::error::Error;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, Method, Uri};
use http_body_util::Full;
use hyper::body::{Body as _, Incoming};
use hyper::rt;
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::{Connected, Connection, HttpInfo};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use tokio::net::TcpStream;
use tokio::time::Instant;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tower_service::Service;
use url::Url;

use super::Attempt;
use super::body::Source;
use super::classify::{self, ConnectLate, Headless, Route};
use super::connecting::{self, Watched};
use super::deadlines::Deadlines;
use super::dial::Dialer;
use super::heads::{self, Allowance, Answered, LONGEST_HEADERS, MOST_HEADERS, Metered};
use super::host_field::{self, Http1Hosts};
use super::once::{Terms, head_of};
use crate::model::fetch_error::{FetchError, Stage};

/// Connections over TLS of one kind.
#[derive(Debug)]
pub(super) struct Secure {
    client: Client<Watched<Connector>, Full<Bytes>>,
    http1: Http1Hosts,
}

impl Secure {
    /// `connect_timeout` covers the name and the handshake too; idle connections are kept for `idle_timeout`.
    pub(super) fn new(
        dialer: Dialer,
        config: ClientConfig,
        connect_timeout: Option<Duration>,
        idle_timeout: Duration,
    ) -> Self {
        let http1 = Http1Hosts::new(!config.alpn_protocols.iter().any(|protocol| protocol == b"h2"));
        let connector = Connector { dialer, tls: Arc::new(config).into(), connect_timeout };
        let client = Client::builder(TokioExecutor::new())
            .timer(TokioTimer::new())
            .pool_timer(TokioTimer::new())
            .pool_idle_timeout(idle_timeout)
            .http1_max_headers(MOST_HEADERS)
            // As in `direct`.
            .http1_allow_obsolete_multiline_headers_in_responses(true)
            .http1_allow_spaces_after_header_name_in_responses(true)
            .http1_ignore_invalid_headers_in_responses(true)
            .http2_max_header_list_size(LONGEST_HEADERS)
            .http2_initial_stream_window_size(heads::WINDOW)
            .build(Watched::around(connector));
        Self { client, http1 }
    }

    /// Sends a request and reads its answer to the end. `url` has the scheme https.
    pub(super) async fn once(
        &self,
        url: &Url,
        method: Method,
        mut headers: HeaderMap,
        body: Option<Bytes>,
        terms: Terms<'_>,
    ) -> Attempt {
        let start = Instant::now();
        let mut deadlines = Deadlines::new(start, terms.times);
        let connecting = terms.progress.connecting();
        let mut message = http::Request::new(Full::new(body.unwrap_or_default()));
        *message.uri_mut() = match Uri::try_from(url.as_str()) {
            Ok(uri) => uri,
            Err(error) => return Headless::Failed(classify::of_request(&error)).attempt(start.elapsed()),
        };
        *message.method_mut() = method;
        if !self.http1.contain(url) || host_field::write(&mut headers, url).is_err() {
            host_field::leave_out(&mut headers);
        }
        *message.headers_mut() = headers;
        let mut response = match deadlines.within_whole(connecting.watch(self.client.request(message))).await {
            Ok(Ok(response)) => response,
            Ok(Err(error)) => {
                return classify::of_pool(&error, Route::new(url, false)).attempt(start.elapsed());
            }
            Err(late) => {
                let stage = if connecting.is_on() { Stage::Connect } else { Stage::Head };
                return Headless::Failed(late.error(stage)).attempt(start.elapsed());
            }
        };
        self.http1.note(url, response.version() != http::Version::HTTP_2);
        let timings = connecting.timings().map(Box::new);
        let remote_addr = response.extensions().get::<HttpInfo>().map(HttpInfo::remote_addr);
        let headers = std::mem::take(response.headers_mut());
        let head = head_of(response.status(), response.version(), headers, remote_addr);
        let answered = response.extensions().get().map(Allowance::answered);
        let mut arriving = Arriving { incoming: response.into_body(), answered };
        Attempt { timings, ..terms.read(start, head, &mut arriving, &mut deadlines).await }
    }
}

/// A body on its way.
struct Arriving {
    incoming: Incoming,
    answered: Option<Answered>,
}

impl Source for Arriving {
    fn announced(&self) -> Option<u64> {
        self.incoming.size_hint().exact()
    }

    async fn chunk(&mut self) -> Result<Option<Bytes>, FetchError> {
        loop {
            match std::future::poll_fn(|cx| Pin::new(&mut self.incoming).poll_frame(cx)).await {
                // What is no data are trailers.
                Some(Ok(frame)) => {
                    if let Ok(data) = frame.into_data() {
                        return Ok(Some(data));
                    }
                }
                Some(Err(error)) => return Err(classify::in_body(&error)),
                None => {
                    if let Some(answered) = &mut self.answered {
                        answered.is_read();
                    }
                    return Ok(None);
                }
            }
        }
    }
}

/// TCP, and TLS over it.
#[derive(Clone)]
struct Connector {
    dialer: Dialer,
    tls: TlsConnector,
    connect_timeout: Option<Duration>,
}

impl std::fmt::Debug for Connector {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Connector").field("dialer", &self.dialer).finish_non_exhaustive()
    }
}

type BoxError = Box<dyn Error + Send + Sync>;

impl Connector {
    async fn connect(self, to: Uri) -> Result<Stream, BoxError> {
        let host = to.host().unwrap_or_default();
        let connecting = self.handshake(host, to.port_u16().unwrap_or(443));
        match self.connect_timeout {
            Some(time) => tokio::time::timeout(time, connecting).await.map_err(|_| ConnectLate)?,
            None => connecting.await,
        }
    }

    async fn handshake(&self, host: &str, port: u16) -> Result<Stream, BoxError> {
        let name = ServerName::try_from(host.trim_matches(['[', ']']).to_owned())?;
        let dialed = self.dialer.dial(host, port).await?;
        let start = Instant::now();
        let allowance = Allowance::default();
        let metered = Metered::of_frames(dialed.stream.into_inner(), allowance.clone());
        let stream = self.tls.connect(name, metered).await?;
        let mut timings = dialed.timings;
        timings.tls = Some(start.elapsed());
        connecting::note(timings);
        Ok(Stream { stream: TokioIo::new(stream), allowance })
    }
}

impl Service<Uri> for Connector {
    type Response = Stream;
    type Error = BoxError;
    type Future = Pin<Box<dyn Future<Output = Result<Stream, BoxError>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, to: Uri) -> Self::Future {
        Box::pin(self.clone().connect(to))
    }
}

/// A connection as the pool wants it.
#[derive(Debug)]
struct Stream {
    stream: TokioIo<TlsStream<Metered<TcpStream>>>,
    allowance: Allowance,
}

impl Connection for Stream {
    fn connected(&self) -> Connected {
        let (tcp, session) = self.stream.inner().get_ref();
        // With each answer comes word of the connection it came over.
        let connected = tcp.get_ref().connected().extra(self.allowance.clone());
        if session.alpn_protocol() == Some(b"h2") { connected.negotiated_h2() } else { connected }
    }
}

impl rt::Read for Stream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: rt::ReadBufCursor<'_>,
    ) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(cx, buffer)
    }
}

impl rt::Write for Stream {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<std::io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[std::io::IoSlice<'_>],
    ) -> Poll<std::io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(cx, slices)
    }
}
