//! From the errors of the HTTP stack to the words of a record: kind, stage, and whether another attempt may help.
//!
//! Decides by type and by the error codes of the system; by text only between a proxy's handshake and the server's own,
//! whose types are private (tests hold each text to the stack in use). Never decides whether to retry: `policy::retry`
//! does. Called by `once`, `direct` and `body`.
//!
//! A failure before the connection stands is known to have sent nothing; of everything later that is not certain.

use std::error::Error;
use std::io;
use std::time::Duration;

use rustls::pki_types::ServerName;
use url::{Host, Url};

use super::Attempt;
use super::dial::DialError;
use super::resolve::{NameError, ResolveError, is_our_limit};
use super::tls_words;
use crate::model::fetch_error::{ErrorKind, FetchError, Stage};
use crate::model::record::SkipReason;

/// The connect timeout has passed.
#[derive(Debug, thiserror::Error)]
#[error("no connection within the connect timeout")]
pub(super) struct ConnectLate;

/// A request without a response head.
pub(super) enum Headless {
    /// The guard left no address.
    Refused,
    Failed(FetchError),
}

impl Headless {
    /// The attempt that ended so, after so long.
    pub(super) fn attempt(self, elapsed: Duration) -> Attempt {
        let attempt = Attempt { elapsed, ..Attempt::default() };
        match self {
            Self::Refused => Attempt { refusal: Some(SkipReason::PrivateAddress), ..attempt },
            Self::Failed(error) => Attempt { error: Some(error), ..attempt },
        }
    }
}

/// How the request was to reach its server.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Route {
    tls: bool,
    proxied: bool,
    /// Its host is a name that no certificate can be for (`-`, `bad..host`).
    nameless: bool,
}

impl Route {
    pub(super) fn new(url: &Url, proxied: bool) -> Self {
        let tls = url.scheme() == "https";
        let nameless = tls && matches!(url.host(), Some(Host::Domain(name)) if ServerName::try_from(name).is_err());
        Self { tls, proxied, nameless }
    }
}

/// What an error means that came instead of a response head.
pub(super) fn before_head(error: &reqwest::Error, route: Route) -> Headless {
    if error.is_builder() {
        Headless::Failed(of_request(error))
    } else if error.is_connect() && error.is_timeout() && find::<NameError>(error).is_none() {
        Headless::Failed(connect_timeout())
    } else if error.is_connect() {
        of_connection(error, route)
    } else {
        Headless::Failed(of_exchange(error))
    }
}

/// The same of the pool of our own connections with TLS.
pub(super) fn of_pool(error: &hyper_util::client::legacy::Error, route: Route) -> Headless {
    if !error.is_connect() {
        Headless::Failed(of_exchange(error))
    } else if find::<ConnectLate>(error).is_some() {
        Headless::Failed(connect_timeout())
    } else {
        of_connection(error, route)
    }
}

/// What an error means that came instead of a connection.
pub(super) fn of_connection(error: &(dyn Error + 'static), route: Route) -> Headless {
    if let Some(error) = find(error) {
        return of_name(error);
    }
    match find(error) {
        Some(DialError::Private) => Headless::Refused,
        Some(error @ DialError::Family(_)) => {
            let message = one_line(&error.to_string());
            Headless::Failed(FetchError::permanent(ErrorKind::Dns, Stage::Dns, message).before_sending())
        }
        _ => Headless::Failed(of_connect(error, route).before_sending()),
    }
}

/// What it means that a name gave no address.
pub(super) fn of_name(NameError { cause, of_proxy }: &NameError) -> Headless {
    match cause {
        ResolveError::Private => Headless::Refused,
        ResolveError::Unavailable(error) if is_our_limit(error) => Headless::Failed(our_limit(error)),
        other => Headless::Failed(of_resolve(other, *of_proxy)),
    }
}

/// What cannot be put into a request.
pub(super) fn of_request(error: &(dyn Error + 'static)) -> FetchError {
    FetchError::permanent(ErrorKind::InvalidInput, Stage::Input, innermost(error)).before_sending()
}

pub(super) fn connect_timeout() -> FetchError {
    let message = "no connection within the connect timeout";
    FetchError::transient(ErrorKind::Timeout, Stage::Connect, message).before_sending()
}

fn of_resolve(error: &ResolveError, of_proxy: bool) -> FetchError {
    let (kind, stage) = if of_proxy { (ErrorKind::Proxy, Stage::Connect) } else { (ErrorKind::Dns, Stage::Dns) };
    let message = one_line(&error.to_string());
    let failure = match error {
        ResolveError::NotFound | ResolveError::Unchecked | ResolveError::Private => {
            FetchError::permanent(kind, stage, message)
        }
        ResolveError::Unavailable(_) => FetchError::transient(kind, stage, message),
    };
    failure.before_sending()
}

/// No connection, because this machine has no descriptor, port or memory for it.
pub(super) fn our_limit(error: &io::Error) -> FetchError {
    let message = one_line(&format!("a limit of this machine: {error}"));
    FetchError::transient(ErrorKind::Connect, Stage::Connect, message).before_sending().our_own_limit()
}

/// How the layers of a proxy's handshake begin their messages.
const OF_PROXIES: [&str; 3] = ["tunnel error", "error connecting to socks proxy", "SOCKS error"];

fn of_connect(error: &(dyn Error + 'static), route: Route) -> FetchError {
    if let Some(limit) = io_errors(error).find(|error| is_our_limit(error)) {
        return our_limit(limit);
    }
    // What the other side *said* in a handshake it will say again.
    if let Some(tls) = find::<rustls::Error>(error) {
        return FetchError::permanent(ErrorKind::Tls, Stage::Tls, one_line(&tls_words::of(tls)));
    }
    if route.nameless {
        return FetchError::permanent(ErrorKind::Tls, Stage::Tls, "no certificate can be for a host of this name");
    }
    let message = innermost(error);
    if route.proxied && links(error).any(|link| OF_PROXIES.iter().any(|text| starts_with(link, text))) {
        let refused = links(error).any(|link| link.to_string().ends_with("proxy authorization required"));
        return if refused {
            FetchError::permanent(ErrorKind::Proxy, Stage::Connect, message)
        } else {
            FetchError::transient(ErrorKind::Proxy, Stage::Connect, message)
        };
    }
    if !route.tls || io_errors(error).any(is_of_connecting) {
        let kind = if route.proxied { ErrorKind::Proxy } else { ErrorKind::Connect };
        return FetchError::transient(kind, Stage::Connect, message);
    }
    // The connection stood, and was cut in the handshake: it may have been chance.
    FetchError::transient(ErrorKind::Tls, Stage::Tls, message)
}

/// An error of the system that a connection which stands does not have.
fn is_of_connecting(error: &io::Error) -> bool {
    use io::ErrorKind::{BrokenPipe, ConnectionAborted, ConnectionReset, NotConnected, UnexpectedEof};
    let cut = matches!(error.kind(), ConnectionReset | ConnectionAborted | BrokenPipe | NotConnected | UnexpectedEof);
    error.raw_os_error().is_some() && !cut
}

/// The connection stood; no complete head came.
pub(super) fn of_exchange(error: &(dyn Error + 'static)) -> FetchError {
    // With TLS 1.3 a server that wants another client certificate says so only now.
    if let Some(tls @ rustls::Error::AlertReceived(_)) = find(error) {
        return FetchError::permanent(ErrorKind::Tls, Stage::Tls, one_line(&tls_words::of(tls)));
    }
    let message = innermost(error);
    let Some(cause) = find::<hyper::Error>(error) else {
        return FetchError::transient(ErrorKind::Protocol, Stage::Head, message);
    };
    if cause.is_canceled() {
        // The request came back from the connection unsent.
        return FetchError::transient(ErrorKind::Protocol, Stage::Send, message).before_sending();
    }
    if cause.is_parse() {
        return FetchError::permanent(ErrorKind::Protocol, Stage::Head, message);
    }
    if cause.is_user() {
        return FetchError::permanent(ErrorKind::Internal, Stage::Send, message);
    }
    if is_refused_stream(error) {
        return FetchError::transient(ErrorKind::Protocol, Stage::Head, message).before_sending();
    }
    match io_kind(error) {
        Some(io::ErrorKind::TimedOut) => FetchError::transient(ErrorKind::Timeout, Stage::Head, message),
        // Only writing fails so. (HTTP/2 has the same word, without a code of the system, for a server that has gone.)
        Some(io::ErrorKind::BrokenPipe | io::ErrorKind::WriteZero) if has_code(error) => {
            FetchError::transient(ErrorKind::Protocol, Stage::Send, message)
        }
        _ => FetchError::transient(ErrorKind::Protocol, Stage::Head, message),
    }
}

/// Whether the other side has closed the connection instead of answering.
pub(super) fn is_hang_up(error: &hyper::Error) -> bool {
    use io::ErrorKind::{BrokenPipe, ConnectionAborted, ConnectionReset};
    error.is_incomplete_message() || matches!(io_kind(error), Some(BrokenPipe | ConnectionAborted | ConnectionReset))
}

/// RFC 9113 8.7: REFUSED_STREAM promises that nothing of the request was processed.
fn is_refused_stream(error: &(dyn Error + 'static)) -> bool {
    find::<h2::Error>(error)
        .is_some_and(|error| error.reason() == Some(h2::Reason::REFUSED_STREAM) && !error.is_go_away())
}

/// What an error means that came in the middle of a body.
pub(super) fn in_body(error: &(dyn Error + 'static)) -> FetchError {
    let message = innermost(error);
    match io_kind(error) {
        // Chunk sizes and trailers that are none.
        Some(io::ErrorKind::InvalidData | io::ErrorKind::InvalidInput) => {
            FetchError::permanent(ErrorKind::Protocol, Stage::Body, message)
        }
        Some(io::ErrorKind::TimedOut) => FetchError::transient(ErrorKind::Timeout, Stage::Body, message),
        _ => FetchError::transient(ErrorKind::Body, Stage::Body, message),
    }
}

/// The error and its causes, outermost first. What an `io::Error` wraps is a link of its own: `source` skips it.
fn links<'a>(error: &'a (dyn Error + 'static)) -> impl Iterator<Item = &'a (dyn Error + 'static)> {
    std::iter::successors(Some(error), |link| {
        let link: &'a (dyn Error + 'static) = *link;
        match link.downcast_ref::<io::Error>().and_then(io::Error::get_ref) {
            Some(inner) => Some(inner),
            None => link.source(),
        }
    })
}

fn find<'a, E: Error + 'static>(error: &'a (dyn Error + 'static)) -> Option<&'a E> {
    links(error).find_map(|link| link.downcast_ref())
}

fn io_errors<'a>(error: &'a (dyn Error + 'static)) -> impl Iterator<Item = &'a io::Error> {
    links(error).filter_map(|link| link.downcast_ref())
}

/// The kind of the innermost I/O error: those around it are wrapped ones.
fn io_kind(error: &(dyn Error + 'static)) -> Option<io::ErrorKind> {
    io_errors(error).last().map(io::Error::kind)
}

/// Whether the innermost I/O error is the system's own.
fn has_code(error: &(dyn Error + 'static)) -> bool {
    io_errors(error)
        .last()
        .is_some_and(|error| error.raw_os_error().is_some() || error.kind() == io::ErrorKind::WriteZero)
}

fn starts_with(error: &(dyn Error + 'static), text: &str) -> bool {
    error.to_string().starts_with(text)
}

/// The message of the last cause: the layers above it say only who passed it on, and the outermost names the URL.
fn innermost(error: &(dyn Error + 'static)) -> Box<str> {
    let text = links(error).last().unwrap_or(error).to_string();
    // The library of TLS ends some texts with the address of its own pages.
    one_line(text.split(": https://docs.rs/").next().unwrap_or_default())
}

/// Fit for a record and a terminal: servers have a say in some of these texts.
pub(super) fn one_line(text: &str) -> Box<str> {
    const LONGEST: usize = 300;
    let visible = text.chars().map(|c| if c.is_control() { ' ' } else { c });
    visible.take(LONGEST).collect::<String>().trim().into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wrapped_cause_is_found_inside_an_io_error() {
        let error = io::Error::other(io::Error::other(ResolveError::Private));
        assert!(matches!(find::<ResolveError>(&error), Some(ResolveError::Private)));
        assert_eq!(&*innermost(&error), "the name resolves to private addresses only");
    }

    #[test]
    fn a_refused_stream_was_not_processed() {
        let reset = |reason| io::Error::other(h2::Error::from(reason));
        assert!(is_refused_stream(&reset(h2::Reason::REFUSED_STREAM)));
        assert!(!is_refused_stream(&reset(h2::Reason::INTERNAL_ERROR)));
        assert!(!is_refused_stream(&io::Error::other("refused stream")));
    }

    #[test]
    fn limits_of_this_machine_are_known_by_their_codes() {
        for code in [libc::EMFILE, libc::ENFILE, libc::EADDRNOTAVAIL, libc::ENOBUFS, libc::ENOMEM] {
            let error = io::Error::other(io::Error::from_raw_os_error(code));
            let limit = io_errors(&error).find(|error| is_our_limit(error)).map(our_limit).expect("a limit");
            assert!(limit.ours && limit.retryable && !limit.sent, "{limit:?}");
        }
        for code in [libc::ECONNREFUSED, libc::ENETUNREACH, libc::ECONNRESET] {
            assert!(!is_our_limit(&io::Error::from_raw_os_error(code)));
        }
        assert!(!is_our_limit(&io::Error::other("Too many open files")));
    }

    #[test]
    fn messages_are_one_printable_line() {
        assert_eq!(&*one_line("a\x1b[31m\r\nb\u{9b}\n"), "a [31m  b");
        assert_eq!(one_line(&"x".repeat(1000)).len(), 300);
    }
}
