//! Cookies: which of them a response sets, which of them a request carries, and the file that keeps them.
//!
//! Decides by the rules of browsers, with the public suffix list, and keeps a bounded number of cookies. Never reads a
//! clock or a file, and never says what a cookie's value is. Called by `fetch::cookies`.
//! Sources: RFC 6265 5 and 6.1 (parsing, matching, limits); draft-ietf-httpbis-rfc6265bis (control characters, name
//! prefixes, secure cookies left alone by insecure servers); curl's "HTTP cookies" (the file, and that loopback counts as
//! secure).

use std::collections::BTreeMap;
use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use url::Host;

use self::date::parse_date;
use crate::model::url::Url;

mod date;
mod file;
#[cfg(any(test, fuzzing))]
pub(crate) mod fuzz;

/// Bytes of name and value together, and of the value of an attribute.
const MOST_BYTES: usize = 4096;
const MOST_ATTRIBUTE: usize = 1024;
/// Cookies of one domain, of all below one registrable domain, and in all.
const MOST_OF_DOMAIN: usize = 50;
const MOST_OF_SITE: usize = 200;
const MOST: usize = 3000;
/// Cookies that one request carries, and the bytes of their line: servers refuse heads above 8 KiB.
const MOST_SENT: usize = 150;
const MOST_SENT_BYTES: usize = 8190;

/// One cookie.
#[derive(Clone, PartialEq, Eq)]
struct Cookie {
    name: Box<[u8]>,
    value: Box<[u8]>,
    /// Lower-case ASCII, without a dot before it; IPv6 addresses in brackets.
    domain: Box<str>,
    /// Only for that host, not for those below it.
    host_only: bool,
    path: Box<str>,
    secure: bool,
    http_only: bool,
    /// Unix seconds; None: until the end of the session.
    expires: Option<i64>,
    /// Place in the order of creation.
    created: u64,
}

/// Without the value, which is a secret.
impl fmt::Debug for Cookie {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} of {}{}", String::from_utf8_lossy(&self.name), self.domain, self.path)
    }
}

impl Cookie {
    fn is_same(&self, other: &Self) -> bool {
        self.name == other.name
            && self.domain == other.domain
            && self.host_only == other.host_only
            && self.path == other.path
    }

    fn is_expired(&self, now: i64) -> bool {
        self.expires.is_some_and(|expires| expires <= now)
    }

    fn is_for_host(&self, host: &str) -> bool {
        *self.domain == *host || (!self.host_only && is_below(host, &self.domain))
    }

    fn is_for(&self, host: &str, path: &str, secure: bool, now: i64) -> bool {
        self.is_for_host(host) && path_matches(path, &self.path) && (secure || !self.secure) && !self.is_expired(now)
    }
}

/// All cookies of a run: at most 3,000, 200 below one registrable domain, 50 of one domain. The oldest go first.
#[derive(Debug, Default)]
pub struct Jar {
    /// By registrable domain.
    sites: BTreeMap<Box<str>, Vec<Cookie>>,
    count: usize,
    next: u64,
}

impl Jar {
    /// Takes what one `Set-Cookie` line of a response says; `url` is what was asked, `now` in Unix seconds.
    pub fn take(&mut self, url: &Url, line: &[u8], now: i64) {
        // A host that begins with a dot is no name, and in a file it would be another one.
        let Some(host) = url.host_str().filter(|host| !host.starts_with('.')) else { return };
        let from_secure = is_secure(url);
        let Some(cookie) = parse(url, host, line, now) else { return };
        if cookie.secure && !from_secure {
            return;
        }
        if !from_secure && self.has_secure_one_like(&cookie) {
            return;
        }
        self.put(cookie, now);
    }

    /// The cookies that a request for this URL carries, as the value of its `Cookie` line; None if it carries none.
    #[must_use]
    pub fn header(&self, url: &Url, now: i64) -> Option<Vec<u8>> {
        let host = url.host_str()?;
        let (path, secure) = (url.path(), is_secure(url));
        let mut fitting: Vec<&Cookie> =
            self.sites.get(site_of(host))?.iter().filter(|cookie| cookie.is_for(host, path, secure, now)).collect();
        // RFC 6265 5.4: longer paths first, then what was created first.
        fitting.sort_by_key(|cookie| (std::cmp::Reverse(cookie.path.len()), cookie.created));
        let mut line = Vec::new();
        for cookie in fitting.into_iter().take(MOST_SENT) {
            let length = cookie.name.len() + cookie.value.len() + 3;
            if line.len() + length > MOST_SENT_BYTES {
                break;
            }
            if !line.is_empty() {
                line.extend_from_slice(b"; ");
            }
            line.extend_from_slice(&cookie.name);
            line.push(b'=');
            line.extend_from_slice(&cookie.value);
        }
        (!line.is_empty()).then_some(line)
    }

    /// How many there are, expired ones among them.
    #[must_use]
    pub fn len(&self) -> usize {
        self.count
    }

    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// An insecure server may not replace a cookie of the secure one, nor stand before it.
    fn has_secure_one_like(&self, cookie: &Cookie) -> bool {
        self.sites.get(site_of(&cookie.domain)).is_some_and(|site| {
            site.iter().any(|other| {
                other.secure
                    && other.name == cookie.name
                    && (other.is_for_host(&cookie.domain) || cookie.is_for_host(&other.domain))
                    && path_matches(&cookie.path, &other.path)
            })
        })
    }

    fn put(&mut self, mut cookie: Cookie, now: i64) {
        cookie.created = self.next;
        self.next += 1;
        let site = self.sites.entry(site_of(&cookie.domain).into()).or_default();
        if let Some(at) = site.iter().position(|other| other.is_same(&cookie)) {
            cookie.created = site[at].created;
            site.remove(at);
            self.count -= 1;
        }
        if cookie.is_expired(now) {
            return;
        }
        let domain = cookie.domain.clone();
        site.push(cookie);
        self.count += 1;
        let too_many_of_domain = site.iter().filter(|other| other.domain == domain).count() > MOST_OF_DOMAIN;
        if too_many_of_domain || site.len() > MOST_OF_SITE {
            self.count -= make_room(site, now, |other| !too_many_of_domain || other.domain == domain);
        }
        if self.count > MOST
            && let Some(largest) = self.sites.values_mut().max_by_key(|site| site.len())
        {
            self.count -= make_room(largest, now, |_| true);
        }
    }
}

/// Drops the expired ones of a site, or the oldest of those that are meant. Returns how many.
fn make_room(site: &mut Vec<Cookie>, now: i64, is_meant: impl Fn(&Cookie) -> bool) -> usize {
    let before = site.len();
    site.retain(|cookie| !cookie.is_expired(now));
    if site.len() == before {
        let oldest = (0..before).filter(|at| is_meant(&site[*at])).min_by_key(|at| site[*at].created);
        if let Some(oldest) = oldest {
            site.remove(oldest);
        }
    }
    before - site.len()
}

/// Reads a `Set-Cookie` line; None if it is to be ignored as a whole.
fn parse(url: &Url, host: &str, line: &[u8], now: i64) -> Option<Cookie> {
    if line.iter().any(|byte| byte.is_ascii_control() && *byte != b'\t') {
        return None;
    }
    let mut parts = line.split(|byte| *byte == b';');
    let pair = parts.next()?;
    let equals = memchr::memchr(b'=', pair)?;
    let (name, value) = (trimmed(&pair[..equals]), trimmed(&pair[equals + 1..]));
    // One without a name cannot be kept in a file, nor one with a tab in it: curl ignores both.
    if name.is_empty() || name.len() + value.len() > MOST_BYTES || name.contains(&b'\t') || value.contains(&b'\t') {
        return None;
    }
    let mut cookie = Cookie {
        name: name.into(),
        value: value.into(),
        domain: host.into(),
        host_only: true,
        path: default_path(url.path()).into(),
        secure: false,
        http_only: false,
        expires: None,
        created: 0,
    };
    let (mut max_age, mut of_domain) = (None, None);
    for part in parts {
        let equals = memchr::memchr(b'=', part);
        let (name, value) = equals.map_or((part, &b""[..]), |at| (&part[..at], &part[at + 1..]));
        let (name, value) = (trimmed(name).to_ascii_lowercase(), trimmed(value));
        if value.len() > MOST_ATTRIBUTE {
            continue;
        }
        match name.as_slice() {
            b"secure" => cookie.secure = true,
            b"httponly" => cookie.http_only = true,
            b"expires" => cookie.expires = std::str::from_utf8(value).ok().and_then(parse_date).or(cookie.expires),
            b"max-age" => max_age = seconds(value).map(|age| now.saturating_add(age)).or(max_age),
            b"path" => match std::str::from_utf8(value) {
                // A tab in it cannot be kept in a file.
                Ok(path) if path.starts_with('/') && !path.contains('\t') => cookie.path = path.into(),
                _ => cookie.path = default_path(url.path()).into(),
            },
            // Of several the last counts, whatever the others are.
            b"domain" if !value.is_empty() => of_domain = Some(value),
            _ => {}
        }
    }
    if let Some(value) = of_domain {
        (cookie.domain, cookie.host_only) = domain(host, std::str::from_utf8(value).ok()?)?;
    }
    // RFC 6265 5.3: Max-Age goes before Expires.
    cookie.expires = max_age.or(cookie.expires);
    prefix_is_kept(&cookie).then_some(cookie)
}

fn trimmed(bytes: &[u8]) -> &[u8] {
    let is_text = |byte: &u8| !matches!(byte, b' ' | b'\t');
    let start = bytes.iter().position(is_text).unwrap_or(bytes.len());
    let end = bytes.iter().rposition(is_text).map_or(start, |at| at + 1);
    &bytes[start..end]
}

/// `Max-Age`, at least 0. None if it is no number.
fn seconds(value: &[u8]) -> Option<i64> {
    let digits = value.strip_prefix(b"-").unwrap_or(value);
    if digits.is_empty() || !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    if digits.len() < value.len() {
        return Some(0);
    }
    // Only too many digits are left as an error.
    Some(std::str::from_utf8(digits).ok()?.parse().unwrap_or(i64::MAX))
}

/// What a `Domain` attribute comes to for a response of this host; None if the cookie is not the host's to set.
fn domain(host: &str, text: &str) -> Option<(Box<str>, bool)> {
    let text = text.strip_prefix('.').unwrap_or(text).trim_end_matches('.');
    let domain = match Host::parse(text).ok()? {
        Host::Domain(domain) => domain,
        // Of an address there is nothing below.
        address => return (address.to_string() == host).then(|| (host.into(), true)),
    };
    if is_public_suffix(&domain) {
        return (domain == host).then(|| (host.into(), true));
    }
    (domain == host || is_below(host, &domain)).then(|| (domain.into(), false))
}

/// Whether anybody may register a name below this one.
fn is_public_suffix(domain: &str) -> bool {
    psl::suffix_str(domain).is_none_or(|suffix| suffix == domain)
}

/// Whether a host is a name below this domain.
fn is_below(host: &str, domain: &str) -> bool {
    host.strip_suffix(domain).is_some_and(|rest| rest.ends_with('.')) && !is_address(host)
}

fn is_address(host: &str) -> bool {
    host.starts_with('[') || host.parse::<IpAddr>().is_ok()
}

/// The registrable domain that a host is part of, or the host itself.
fn site_of(host: &str) -> &str {
    if is_address(host) { host } else { psl::domain_str(host).unwrap_or(host) }
}

/// Nobody can listen on the way: https, and what stays on this machine.
fn is_secure(url: &Url) -> bool {
    url.scheme() == "https"
        || match url.host() {
            Some(Host::Domain(name)) => name == "localhost",
            // Not all of 127.0.0.0/8: curl reads our files, and we read its.
            Some(Host::Ipv4(address)) => address == Ipv4Addr::LOCALHOST,
            Some(Host::Ipv6(address)) => address == Ipv6Addr::LOCALHOST,
            None => false,
        }
}

/// RFC 6265 5.1.4: the path of the request up to its last slash.
fn default_path(path: &str) -> &str {
    match path.rfind('/') {
        None | Some(0) => "/",
        Some(end) => &path[..end],
    }
}

/// RFC 6265 5.1.4.
fn path_matches(path: &str, of_cookie: &str) -> bool {
    path.strip_prefix(of_cookie)
        .is_some_and(|rest| rest.is_empty() || of_cookie.ends_with('/') || rest.starts_with('/'))
}

/// `__Secure-` and `__Host-` say how a cookie was set.
fn prefix_is_kept(cookie: &Cookie) -> bool {
    let starts =
        |prefix: &[u8]| cookie.name.get(..prefix.len()).is_some_and(|start| start.eq_ignore_ascii_case(prefix));
    if starts(b"__Host-") {
        return cookie.secure && cookie.host_only && *cookie.path == *"/";
    }
    cookie.secure || !starts(b"__Secure-")
}

#[cfg(test)]
mod tests;
