//! Plain http, straight to the server: hyper over TCP connections of our own, with nothing between.
//!
//! Most of what a general client does for a request (routing, layers, a second parse of the URL, a task for each
//! connection) is of no use here: this path costs half of it (a page of a batch fetch 19 instead of 27 µs, all told).
//! TLS goes through `secure`, and what a proxy is asked through `reqwest`. Decides nothing that `once` does not: one exchange, no redirect, no retry.
//! Called by `client`.
//!
//! A connection is driven by the request that uses it, so nothing is spawned; an idle one is looked at when it is taken.

use std::future::{Future, poll_fn};
use std::net::SocketAddr;
use std::pin::{Pin, pin};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use bytes::Bytes;
use http::uri::PathAndQuery;
use http::{HeaderMap, Method, Response, Uri};
use http_body_util::Full;
use hyper::body::{Body as _, Incoming};
use hyper::client::conn::{TrySendError, http1};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tokio::time::Instant;
use url::{Position, Url};

use super::body::Source;
use super::classify::{self, Headless, Route};
use super::deadlines::Deadlines;
use super::dial::Dialer;
use super::heads::{Allowance, MOST_HEADERS, Metered};
use super::host_field::{self, authority};
use super::idle::{Idle, Reusable};
use super::once::{Terms, head_of};
use super::progress::Progress;
use super::{Attempt, Head, Timings};
use crate::model::fetch_error::{FetchError, Stage};

type Request = http::Request<Full<Bytes>>;

type Stream = TokioIo<Metered<TcpStream>>;

/// A server that closes a connection on our request, which has been idle for less than this, does not do so because it
/// was idle: the shortest keep-alive times are of a second.
const WORTH_CLOSING: Duration = Duration::from_millis(500);

/// Connections over plain TCP: either to any address, or to public ones only.
#[derive(Debug)]
pub(super) struct Direct {
    dialer: Dialer,
    connect_timeout: Option<Duration>,
    idle: Idle<Connection>,
}

impl Direct {
    /// `connect_timeout` covers the name too; idle connections are kept for `idle_timeout` while there are many, else longer.
    pub(super) fn new(dialer: Dialer, connect_timeout: Option<Duration>, idle_timeout: Duration) -> Self {
        Self { dialer, connect_timeout, idle: Idle::new(idle_timeout) }
    }

    /// Sends a request and reads its answer to the end. `url` has the scheme http. (Not an async function, which would have
    /// room for all that it is given twice.)
    pub(super) fn once<'s>(
        &'s self,
        url: &'s Url,
        method: Method,
        headers: HeaderMap,
        body: Option<Bytes>,
        terms: Terms<'s>,
    ) -> impl Future<Output = Attempt> + Send + 's {
        let start = Instant::now();
        let mut deadlines = Deadlines::new(start, terms.times);
        let message = message(url, method, headers, body);
        async move {
            let exchanged = match message {
                Ok(message) => self.exchange(url, message, &mut deadlines, terms.progress).await,
                Err(error) => Err(Headless::Failed(error)),
            };
            let (mut connection, response) = match exchanged {
                Ok(exchanged) => exchanged,
                Err(headless) => return headless.attempt(start.elapsed()),
            };
            let (head, incoming) = parts_of(response, connection.remote_addr);
            let timings = connection.timings.take();
            let mut arriving = Arriving { connection: &mut connection, incoming };
            let attempt = terms.read(start, head, &mut arriving, &mut deadlines).await;
            drop(arriving);
            // One whose body was not read to the end is not ready, and is closed.
            if connection.is_usable(&mut Context::from_waker(Waker::noop())) {
                self.idle.put(authority(url), connection);
            }
            Attempt { timings, ..attempt }
        }
    }

    /// Up to the response head.
    #[expect(clippy::manual_async_fn, reason = "an async function would have room for the message twice")]
    fn exchange<'s>(
        &'s self,
        url: &'s Url,
        mut message: Request,
        deadlines: &'s mut Deadlines,
        progress: &'s Progress,
    ) -> impl Future<Output = Result<(Connection, Response<Incoming>), Headless>> + Send + 's {
        async move {
            loop {
                let kept = self.idle.take(authority(url));
                let idle = kept.as_ref().map(|(_, idle)| *idle);
                let mut connection = if let Some((connection, _)) = kept {
                    connection
                } else {
                    progress.connecting().set(true);
                    // In a box, as it is rare: what a request may ever await is memory of each.
                    match Box::pin(deadlines.within_whole(self.connect(url))).await {
                        Ok(connected) => connected?,
                        Err(late) => return Err(Headless::Failed(late.error(Stage::Connect))),
                    }
                };
                progress.connecting().set(false);
                let mut error = match deadlines.within_whole(connection.send(message)).await {
                    Ok(Ok(response)) => return Ok((connection, response)),
                    Ok(Err(error)) => error,
                    Err(late) => return Err(Headless::Failed(late.error(Stage::Head))),
                };
                // It was closed just now, and nothing of the request was written.
                match error.take_message() {
                    Some(unsent) if idle.is_some() => message = unsent,
                    _ => {
                        let failure = classify::of_exchange(error.error());
                        let died_idle =
                            idle.is_some_and(|idle| idle >= WORTH_CLOSING) && classify::is_hang_up(error.error());
                        return Err(Headless::Failed(if died_idle { failure.of_idle_connection() } else { failure }));
                    }
                }
            }
        }
    }

    async fn connect(&self, url: &Url) -> Result<Connection, Headless> {
        let failed = |error: &(dyn std::error::Error + 'static)| classify::of_connection(error, Route::default());
        let dialing = self.dialer.dial(url.host_str().unwrap_or_default(), url.port_or_known_default().unwrap_or(80));
        let dialed = match self.connect_timeout {
            Some(time) => {
                let in_time = tokio::time::timeout(time, dialing).await;
                in_time.map_err(|_| Headless::Failed(classify::connect_timeout()))?
            }
            None => dialing.await,
        };
        let dialed = dialed.map_err(|error| failed(&error))?;
        let mut connection = Connection::open(dialed.stream).await.map_err(|error| failed(&error))?;
        connection.timings = Some(Box::new(dialed.timings));
        Ok(connection)
    }
}

/// The head of an answer, and its body.
fn parts_of(response: Response<Incoming>, remote_addr: Option<SocketAddr>) -> (Head, Incoming) {
    let (parts, incoming) = response.into_parts();
    (head_of(parts.status, parts.version, parts.headers, remote_addr), incoming)
}

/// What goes over the wire: the path in origin form, and the host as a header, in the place that was kept for it.
fn message(url: &Url, method: Method, mut headers: HeaderMap, body: Option<Bytes>) -> Result<Request, FetchError> {
    let path = PathAndQuery::try_from(&url[Position::BeforePath..Position::AfterQuery])
        .map_err(|error| classify::of_request(&error))?;
    host_field::write(&mut headers, url).map_err(|error| classify::of_request(&error))?;
    let mut message = Request::new(Full::new(body.unwrap_or_default()));
    *message.method_mut() = method;
    *message.uri_mut() = Uri::from(path);
    *message.headers_mut() = headers;
    Ok(message)
}

/// One connection, driven by whoever uses it.
#[derive(Debug)]
struct Connection {
    sender: http1::SendRequest<Full<Bytes>>,
    driver: Driver,
    /// Of bytes that come before the head of an answer.
    allowance: Allowance,
    remote_addr: Option<SocketAddr>,
    /// Until its first request has taken them.
    timings: Option<Box<Timings>>,
}

impl Connection {
    async fn open(stream: TokioIo<TcpStream>) -> hyper::Result<Self> {
        let remote_addr = stream.inner().peer_addr().ok();
        let allowance = Allowance::default();
        let metered = Metered::new(stream.into_inner(), allowance.clone());
        let (sender, connection) = http1::Builder::new()
            .max_headers(MOST_HEADERS)
            // As curl and browsers read heads; RFC 9112 5.2 asks it of folded lines.
            .allow_obsolete_multiline_headers_in_responses(true)
            .allow_spaces_after_header_name_in_responses(true)
            .ignore_invalid_headers_in_responses(true)
            .handshake(TokioIo::new(metered))
            .await?;
        // In a box: a connection moves often, and has some hundred bytes.
        let driver = Driver { connection: Some(Box::new(connection)) };
        Ok(Self { sender, driver, allowance, remote_addr, timings: None })
    }

    /// Sends a message, and awaits the head of the answer. (Not an async function, which would keep room for the message.)
    fn send(
        &mut self,
        message: Request,
    ) -> impl Future<Output = Result<Response<Incoming>, TrySendError<Request>>> + Send {
        self.allowance.begin();
        let answer = self.sender.try_send_request(message);
        let Self { driver, allowance, .. } = self;
        async move {
            let mut answer = pin!(answer);
            let answer = poll_fn(|cx| driver.poll_until(cx, |cx| answer.as_mut().poll(cx))).await;
            allowance.end();
            answer
        }
    }
}

impl Reusable for Connection {
    fn is_usable(&mut self, cx: &mut Context<'_>) -> bool {
        // Sees that the server has closed it, and lets it become ready after its last answer.
        self.driver.drive(cx);
        self.sender.is_ready()
    }
}

/// The side of a connection that reads and writes; gone once the connection is closed.
#[derive(Debug)]
struct Driver {
    connection: Option<Box<http1::Connection<Stream, Full<Bytes>>>>,
}

impl Driver {
    /// Its errors come to the request that is under way; without one nobody wants to know.
    fn drive(&mut self, cx: &mut Context<'_>) {
        if let Some(connection) = &mut self.connection
            && Pin::new(connection).poll(cx).is_ready()
        {
            self.connection = None;
        }
    }

    /// Polls for something that only driving the connection brings about.
    fn poll_until<T>(&mut self, cx: &mut Context<'_>, mut poll: impl FnMut(&mut Context<'_>) -> Poll<T>) -> Poll<T> {
        self.drive(cx);
        poll(cx)
    }
}

/// A body on its way.
struct Arriving<'a> {
    connection: &'a mut Connection,
    incoming: Incoming,
}

impl Source for Arriving<'_> {
    fn announced(&self) -> Option<u64> {
        self.incoming.size_hint().exact()
    }

    async fn chunk(&mut self) -> Result<Option<Bytes>, FetchError> {
        loop {
            // Known of a length without asking once more.
            if self.incoming.is_end_stream() {
                return Ok(None);
            }
            let (driver, incoming) = (&mut self.connection.driver, &mut self.incoming);
            let frame = poll_fn(|cx| {
                // Asking comes first: the connection reads only what somebody waits for.
                match Pin::new(&mut *incoming).poll_frame(cx) {
                    Poll::Pending => driver.poll_until(cx, |cx| Pin::new(&mut *incoming).poll_frame(cx)),
                    ready @ Poll::Ready(_) => ready,
                }
            });
            match frame.await {
                // What is no data are trailers.
                Some(Ok(frame)) => {
                    if let Ok(data) = frame.into_data() {
                        return Ok(Some(data));
                    }
                }
                Some(Err(error)) => return Err(classify::in_body(&error)),
                None => return Ok(None),
            }
        }
    }
}
