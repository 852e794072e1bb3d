//! The `Host` field of a request, and its place among the others.
//!
//! RFC 9110 7.2 wants it first. A map of headers gives places in the order in which names came, so a value that stands for
//! the URL's own host keeps the first one ([`OF_URL`]), until it is known what the request goes over: HTTP/1 has the field,
//! HTTP/2 says the same by `:authority` (RFC 9113 8.3.1), and should not say it twice. What https will agree on is decided
//! by the handshake, when the pool has the message already; so [`Http1Hosts`] remembers who has answered over HTTP/1, and
//! only the first requests to a host leave the field to the stack, which writes it last. Never changes a `Host` that was
//! typed. Called by `client`, `direct` and `secure`.

use std::sync::{Mutex, PoisonError};

use foldhash::{HashSet, HashSetExt as _};
use http::header::HOST;
use http::{HeaderMap, HeaderValue};
use url::{Position, Url};

/// Keeps the first place for a `Host` that is the URL's own.
pub(super) const OF_URL: HeaderValue = HeaderValue::from_static("");

/// Hosts that are remembered; all are forgotten at once beyond that, and learned anew.
const MOST: usize = 4096;

/// Host and port as they stand in the field.
pub(super) fn authority(url: &Url) -> &str {
    &url[Position::BeforeHost..Position::AfterPort]
}

/// Puts the URL's own host into the place that was kept for it, if no other was typed.
///
/// # Errors
/// The host cannot be sent.
pub(super) fn write(headers: &mut HeaderMap, url: &Url) -> Result<(), http::header::InvalidHeaderValue> {
    if headers.get(HOST).is_none_or(|host| *host == OF_URL) {
        headers.insert(HOST, HeaderValue::try_from(authority(url))?);
    }
    Ok(())
}

/// Leaves the field to the stack, if no host was typed. All others stay where they are.
pub(super) fn leave_out(headers: &mut HeaderMap) {
    if headers.get(HOST).is_none_or(|host| *host != OF_URL) {
        return;
    }
    // Taken out of the map, it would give its place to the last one.
    let mut left = HeaderMap::with_capacity(headers.len());
    for (name, value) in headers.iter().filter(|(name, _)| *name != HOST) {
        left.append(name, value.clone());
    }
    *headers = left;
}

/// Who is known to speak HTTP/1 over TLS.
#[derive(Debug)]
pub(super) struct Http1Hosts {
    /// Nothing else is offered.
    all: bool,
    known: Mutex<HashSet<Box<str>>>,
}

impl Http1Hosts {
    pub(super) fn new(all: bool) -> Self {
        Self { all, known: Mutex::new(HashSet::new()) }
    }

    pub(super) fn contain(&self, url: &Url) -> bool {
        self.all || self.known.lock().unwrap_or_else(PoisonError::into_inner).contains(authority(url))
    }

    /// An answer came, over HTTP/1 or not.
    pub(super) fn note(&self, url: &Url, http1: bool) {
        if self.all {
            return;
        }
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if !http1 {
            known.remove(authority(url));
        } else if !known.contains(authority(url)) {
            if known.len() >= MOST {
                known.clear();
            }
            known.insert(authority(url).into());
        }
    }
}

#[cfg(test)]
mod tests {
    use http::header::{ACCEPT, COOKIE, USER_AGENT};

    use super::*;

    fn headers() -> HeaderMap {
        let mut headers = HeaderMap::new();
        headers.insert(HOST, OF_URL);
        for (name, value) in [(USER_AGENT, "a"), (ACCEPT, "b"), (COOKIE, "c"), (COOKIE, "d")] {
            headers.append(name, HeaderValue::from_static(value));
        }
        headers
    }

    fn shown(headers: &HeaderMap) -> String {
        let pairs: Vec<_> = headers.iter().map(|(name, value)| format!("{name}={}", value.to_str().unwrap())).collect();
        pairs.join(" ")
    }

    #[test]
    fn it_is_written_first_or_left_out_and_the_others_keep_their_order() {
        let url = Url::parse("https://user@h.example:8443/x").unwrap();
        let mut written = headers();
        write(&mut written, &url).unwrap();
        assert_eq!(shown(&written), "host=h.example:8443 user-agent=a accept=b cookie=c cookie=d");
        let mut left = headers();
        leave_out(&mut left);
        assert_eq!(shown(&left), "user-agent=a accept=b cookie=c cookie=d");
        // One that was typed stays.
        let mut typed = headers();
        typed.insert(HOST, HeaderValue::from_static("t"));
        leave_out(&mut typed);
        write(&mut typed, &url).unwrap();
        assert_eq!(typed[HOST], "t");
    }

    #[test]
    fn hosts_are_remembered_in_bounds() {
        let hosts = Http1Hosts::new(false);
        let url = |n: usize| Url::parse(&format!("https://h{n}/")).unwrap();
        hosts.note(&url(0), true);
        assert!(hosts.contain(&url(0)) && !hosts.contain(&url(1)));
        hosts.note(&url(0), false);
        assert!(!hosts.contain(&url(0)));
        for n in 0..=MOST {
            hosts.note(&url(n), true);
        }
        assert!(hosts.contain(&url(MOST)) && !hosts.contain(&url(0)));
        assert!(Http1Hosts::new(true).contain(&url(1)));
    }
}
