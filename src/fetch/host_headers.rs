//! Headers that go to some hosts only, beside those of the run; and the proxies through which some are asked.
//!
//! Decides whether they go along with a request: plain ones always, credentials where those of the run would, or where the
//! user typed the job and the pattern names the host, as with netrc. Called by `client`.

use http::{HeaderMap, HeaderName, HeaderValue};

use super::Request;
use crate::model::url::{Url, host_key};
use crate::policy::host_rules::HostPattern;

/// What goes to the hosts that one of the patterns fits.
#[derive(Debug, Clone, Default)]
pub struct HostHeaders {
    pub patterns: Vec<HostPattern>,
    /// Instead of those of the run of the same name; no credentials.
    pub headers: Vec<(HeaderName, HeaderValue)>,
    pub credentials: Vec<(HeaderName, HeaderValue)>,
    /// Headers of the run that do not go there.
    pub removed: Vec<HeaderName>,
    /// With its credentials; empty is no proxy at all, None is the run's.
    pub proxy: Option<Box<str>>,
}

/// The proxy through which a host is asked, if one that fits says so.
pub(super) fn proxy<'a>(all: &'a [HostHeaders], url: &Url) -> Option<&'a str> {
    let key = all.iter().any(|of_host| of_host.proxy.is_some()).then(|| host_key(url))?;
    let of_host = |of_host: &'a HostHeaders| {
        let fits = of_host.patterns.iter().any(|pattern| pattern.fits(&key));
        of_host.proxy.as_deref().filter(|_| fits)
    };
    all.iter().find_map(of_host)
}

/// Lays what is for the host of a request over the headers of the run. Of several that fit, the first counts.
pub(super) fn add(all: &[HostHeaders], request: &Request, headers: &mut HeaderMap) {
    if all.is_empty() {
        return;
    }
    let key = host_key(&request.url);
    for of_host in all.iter().rev() {
        let mut fitting = of_host.patterns.iter().filter(|pattern| pattern.fits(&key)).peekable();
        if fitting.peek().is_none() {
            continue;
        }
        let is_named = fitting.any(HostPattern::names);
        for name in &of_host.removed {
            headers.remove(name);
        }
        overlay(headers, of_host.headers.iter().cloned());
        if request.credentials || (request.logs_in && is_named) {
            overlay(headers, of_host.credentials.iter().cloned());
        }
    }
}

/// Puts headers over others: the first of a name replaces what was there, further ones stand beside it.
pub(super) fn overlay(headers: &mut HeaderMap, over: impl Iterator<Item = (HeaderName, HeaderValue)>) {
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
