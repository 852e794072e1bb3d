//! From the errors of the HTTP stack to the words of a record: kind, stage, and whether another attempt may help.
//!
//! Decides by type where the stack has one, by the text of a layer where it has none (connector, tunnel, SOCKS: their
//! types are private). Never decides whether to retry: `policy::retry` does. Called by `once` and `body`.
//!
//! A failure before the connection stands is known to have sent nothing; of everything later that is not certain.

use std::error::Error;
use std::io;

use super::resolve::ResolveError;
use crate::model::fetch_error::{ErrorKind, FetchError, Stage};

/// A request without a response head.
pub(super) enum Headless {
    /// The guard left no address.
    Refused,
    Failed(FetchError),
}

/// How the request was to reach its server.
#[derive(Debug, Clone, Copy)]
pub(super) struct Route {
    pub(super) tls: bool,
    pub(super) proxied: bool,
}

/// What an error means that came instead of a response head.
pub(super) fn before_head(error: &reqwest::Error, route: Route) -> Headless {
    if let Some(resolve) = find::<ResolveError>(error) {
        // SOCKS proxies may leave resolving to us: then it was the server's name, not the proxy's.
        let of_server = links(error).any(|link| starts_with(link, "error resolving for socks"));
        let route = Route { proxied: route.proxied && !of_server, ..route };
        return match resolve {
            ResolveError::Private => Headless::Refused,
            other => Headless::Failed(of_resolve(other, route)),
        };
    }
    let failure = if error.is_builder() {
        FetchError::permanent(ErrorKind::InvalidInput, Stage::Input, innermost(error)).before_sending()
    } else if error.is_connect() {
        of_connect(error, route).before_sending()
    } else {
        of_exchange(error)
    };
    Headless::Failed(failure)
}

fn of_resolve(error: &ResolveError, route: Route) -> FetchError {
    let (kind, stage) = if route.proxied { (ErrorKind::Proxy, Stage::Connect) } else { (ErrorKind::Dns, Stage::Dns) };
    let message = one_line(&error.to_string());
    let failure = match error {
        ResolveError::NotFound | ResolveError::Private => FetchError::permanent(kind, stage, message),
        ResolveError::Unavailable(_) => FetchError::transient(kind, stage, message),
    };
    failure.before_sending()
}

/// How the layers of a proxy's handshake begin their messages.
const OF_PROXIES: [&str; 3] = ["tunnel error", "error connecting to socks proxy", "SOCKS error"];

fn of_connect(error: &reqwest::Error, route: Route) -> FetchError {
    if error.is_timeout() {
        return FetchError::transient(ErrorKind::Timeout, Stage::Connect, "no connection within the connect timeout");
    }
    let message = innermost(error);
    let through_proxy = links(error).any(|link| OF_PROXIES.iter().any(|text| starts_with(link, text)));
    let in_tcp = links(error).any(|link| starts_with(link, "tcp "));
    if through_proxy {
        let refused = links(error).any(|link| link.to_string().ends_with("proxy authorization required"));
        return if refused {
            FetchError::permanent(ErrorKind::Proxy, Stage::Connect, message)
        } else {
            FetchError::transient(ErrorKind::Proxy, Stage::Connect, message)
        };
    }
    if in_tcp || !route.tls {
        let kind = if route.proxied { ErrorKind::Proxy } else { ErrorKind::Connect };
        return FetchError::transient(kind, Stage::Connect, message);
    }
    // The connection stood, and the handshake did not come to its end. What the other side *said* (a certificate, an
    // alert, something that is no TLS) it will say again; a cut connection may have been chance.
    if io_kind(error) == Some(io::ErrorKind::InvalidData) {
        FetchError::permanent(ErrorKind::Tls, Stage::Tls, message)
    } else {
        FetchError::transient(ErrorKind::Tls, Stage::Tls, message)
    }
}

/// The connection stood; no complete head came.
fn of_exchange(error: &reqwest::Error) -> FetchError {
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
    if io_kind(error) == Some(io::ErrorKind::TimedOut) {
        return FetchError::transient(ErrorKind::Timeout, Stage::Head, message);
    }
    let stage = if starts_with(cause, "error writing") { Stage::Send } else { Stage::Head };
    let failure = FetchError::transient(ErrorKind::Protocol, stage, message);
    // RFC 9113 8.7: REFUSED_STREAM promises that nothing of the request was processed. Only the start of
    // the message is the stack's own: a GOAWAY can carry text of the server.
    if failure.message.starts_with("stream error received: refused stream") {
        failure.before_sending()
    } else {
        failure
    }
}

/// What an error means that came in the middle of a body.
pub(super) fn in_body(error: &reqwest::Error) -> FetchError {
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

/// The kind of the innermost I/O error: those around it are wrapped ones.
fn io_kind(error: &(dyn Error + 'static)) -> Option<io::ErrorKind> {
    links(error).filter_map(|link| link.downcast_ref::<io::Error>()).last().map(io::Error::kind)
}

fn starts_with(error: &(dyn Error + 'static), text: &str) -> bool {
    error.to_string().starts_with(text)
}

/// The message of the last cause: the layers above it say only who passed it on, and the outermost names the URL.
fn innermost(error: &(dyn Error + 'static)) -> Box<str> {
    let last = links(error).last().unwrap_or(error);
    one_line(&last.to_string())
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
    fn messages_are_one_printable_line() {
        assert_eq!(&*one_line("a\x1b[31m\r\nb\u{9b}\n"), "a [31m  b");
        assert_eq!(one_line(&"x".repeat(1000)).len(), 300);
    }
}
