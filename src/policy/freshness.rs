//! A private HTTP cache: what may be stored, what may be used again, and how a stored answer is brought up to date.
//!
//! Pure: headers and seconds since 1970 come in as arguments. Decides nothing about files. There is no heuristic
//! freshness (RFC 9111 4.2.2): an answer that does not say how long it is good for is asked about each time, since a
//! second crawl that silently shows yesterday's pages helps nobody. Called by the engine. Sources: RFC 9111; RFC 9110 8.8
//! and 12.5.5; RFC 8246 (`immutable` changes nothing for us: what is fresh is not asked about anyway).

use http::header::{
    AGE, CACHE_CONTROL, CONNECTION, CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_RANGE, CONTENT_TYPE, DATE, ETAG, EXPIRES,
    HeaderMap, HeaderName, HeaderValue, IF_MATCH, IF_MODIFIED_SINCE, IF_NONE_MATCH, IF_RANGE, IF_UNMODIFIED_SINCE,
    LAST_MODIFIED, PRAGMA, PROXY_AUTHENTICATE, PROXY_AUTHORIZATION, RANGE, SET_COOKIE, TE, TRAILER, TRANSFER_ENCODING,
    UPGRADE, VARY,
};

use super::retry::unix_seconds;

/// RFC 9111 1.2.2: what is longer counts as this.
const LONGEST: u64 = 1 << 31;

/// A stored answer as far as these rules look at it.
#[derive(Debug, Clone, Copy)]
pub struct Stored<'a> {
    pub headers: &'a HeaderMap,
    /// When it was asked for and when its head came, in seconds since 1970.
    pub requested: u64,
    pub received: u64,
}

/// Whether a stored answer may be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reuse {
    /// Without asking.
    Fresh,
    /// It is past its time, and the request takes it so (`max-stale`).
    StaleWanted,
    /// The server is to be asked first. `when_cut_off`: it may be given if the server cannot be asked; `stale`: it would be
    /// past its time then.
    Ask { when_cut_off: bool, stale: bool },
}

/// Whether the cache may be looked at for a request with these headers, and what comes be stored.
///
/// Not with a range or a precondition of the user's own, whose answers are for the user; and not with `no-store`.
#[must_use]
pub fn concerns(request: &HeaderMap) -> bool {
    const OWN: [HeaderName; 6] = [RANGE, IF_RANGE, IF_MATCH, IF_NONE_MATCH, IF_MODIFIED_SINCE, IF_UNMODIFIED_SINCE];
    !OWN.iter().any(|name| request.contains_key(name)) && !Directives::of(request).no_store
}

/// Whether a request wants a stored answer or none at all (RFC 9111 5.2.1.7).
#[must_use]
pub fn is_only_if_cached(request: &HeaderMap) -> bool {
    Directives::of(request).only_if_cached
}

/// Whether an answer is for everybody, with whatever credentials it was asked for. RFC 9111 3.5 lets caches that are shared
/// keep such ones; a directory that several users' runs share is one. What does not say so is for who has asked.
#[must_use]
pub fn is_for_all(response: &HeaderMap) -> bool {
    let directives = Directives::of(response);
    directives.public && !directives.private
}

/// Whether an answer to GET may be stored (RFC 9111 3).
///
/// Statuses: all that are final and cacheable by default but 206, which is a part; others only if the answer says for how
/// long. `Vary: *` is never used again, so it is not stored.
#[must_use]
pub fn may_store(status: u16, response: &HeaderMap) -> bool {
    let directives = Directives::of(response);
    let understood = matches!(status, 200 | 203 | 204 | 300 | 301 | 302 | 307 | 308 | 404 | 405 | 410 | 414 | 501);
    let by_default = understood && !matches!(status, 302 | 307);
    let explicit = directives.max_age.is_some() || response.contains_key(EXPIRES) || directives.public;
    // RFC 9111 5.2.2.3: who understands the status may forget the no-store that stands beside must-understand.
    let forbidden = if directives.must_understand { !understood } else { directives.no_store };
    (200..600).contains(&status)
        && !matches!(status, 206 | 304)
        && !forbidden
        && (by_default || explicit)
        && nominated(response).is_some()
}

/// Whether a method may change what is stored of its URL when it succeeds (RFC 9111 4.4). Unknown ones may.
#[must_use]
pub fn is_unsafe(method: &str) -> bool {
    !matches!(method, "GET" | "HEAD" | "OPTIONS" | "TRACE")
}

/// Whether a stored answer may be used for a request now (RFC 9111 4). That its URL and what it varies by are those of the
/// request is the caller's to see.
#[must_use]
pub fn reuse(stored: Stored<'_>, request: &HeaderMap, now: u64) -> Reuse {
    let (ours, theirs) = (Directives::of(request), Directives::of(stored.headers));
    let (age, lifetime) = (age(stored, now), lifetime(stored, &theirs));
    let stale = age >= lifetime;
    let strict = theirs.no_cache || theirs.must_revalidate;
    let ask = Reuse::Ask { when_cut_off: !strict || (!stale && !theirs.no_cache), stale };
    // `max-age=0` is how a browser's reload asks for a new look, however young the answer.
    let pragma = !request.contains_key(CACHE_CONTROL)
        && request.get_all(PRAGMA).iter().any(|line| line.to_str().is_ok_and(|line| has_word(line, "no-cache")));
    if theirs.no_cache || ours.no_cache || pragma || ours.max_age.is_some_and(|most| age > most || most == 0) {
        return ask;
    }
    if !stale {
        let left = lifetime - age;
        return if ours.min_fresh.is_some_and(|least| left < least) { ask } else { Reuse::Fresh };
    }
    match ours.max_stale {
        Some(most) if !strict && age - lifetime <= most => Reuse::StaleWanted,
        _ => ask,
    }
}

/// Seconds since the answer was made or found valid at its origin (RFC 9111 4.2.3).
#[must_use]
pub fn age(stored: Stored<'_>, now: u64) -> u64 {
    let apparent = date(stored.headers, &DATE).map_or(0, |date| stored.received.saturating_sub(date));
    let told = stored.headers.get(AGE).and_then(|value| seconds(value.to_str().ok()?)).unwrap_or(0);
    let corrected = told.saturating_add(stored.received.saturating_sub(stored.requested));
    apparent.max(corrected).saturating_add(now.saturating_sub(stored.received))
}

/// For how many seconds it is fresh (RFC 9111 4.2.1). `s-maxage` is for shared caches.
fn lifetime(stored: Stored<'_>, directives: &Directives) -> u64 {
    if let Some(max_age) = directives.max_age {
        return max_age;
    }
    let Some(expires) = stored.headers.get(EXPIRES) else { return 0 };
    // RFC 9111 5.3: what cannot be read, "0" above all, is in the past; so is the earliest of several.
    let several = stored.headers.get_all(EXPIRES).iter().count() > 1;
    let expires = expires.to_str().ok().and_then(unix_seconds).filter(|_| !several).unwrap_or(0);
    expires.saturating_sub(date(stored.headers, &DATE).unwrap_or(stored.received)).min(LONGEST)
}

/// Whether it says for how long it is fresh.
#[must_use]
pub fn is_dated(response: &HeaderMap) -> bool {
    Directives::of(response).max_age.is_some_and(|time| time > 0) || response.contains_key(EXPIRES)
}

/// The request headers an answer depends on (`Vary`); None for `*`, which no request matches.
#[must_use]
pub fn nominated(response: &HeaderMap) -> Option<Vec<HeaderName>> {
    let mut names = Vec::new();
    for line in response.get_all(VARY) {
        for word in line.to_str().ok()?.split(',').map(str::trim).filter(|word| !word.is_empty()) {
            if word == "*" {
                return None;
            }
            names.push(HeaderName::from_bytes(word.as_bytes()).ok()?);
        }
    }
    Some(names)
}

/// A request header in a form that is equal for what means the same: lines joined, white space around commas gone. None if
/// it is not sent. (RFC 9111 4.1)
#[must_use]
pub fn selecting(request: &HeaderMap, name: &HeaderName) -> Option<Vec<u8>> {
    let mut lines = request.get_all(name).iter().peekable();
    lines.peek()?;
    let mut joined: Vec<u8> = Vec::new();
    for part in lines.flat_map(|line| line.as_bytes().split(|byte| *byte == b',')) {
        if !joined.is_empty() {
            joined.push(b',');
        }
        joined.extend_from_slice(part.trim_ascii());
    }
    Some(joined)
}

/// What of an answer's head is stored: not what belongs to one connection or to a proxy (RFC 9111 3.1), nor cookies,
/// which are secrets and have been taken when the answer came.
#[must_use]
pub fn storable(response: &HeaderMap) -> HeaderMap {
    let mut kept = response.clone();
    for name in named_by_connection(response) {
        kept.remove(name);
    }
    for name in [
        CONNECTION,
        PROXY_AUTHENTICATE,
        PROXY_AUTHORIZATION,
        SET_COOKIE,
        TE,
        TRAILER,
        TRANSFER_ENCODING,
        UPGRADE,
        HeaderName::from_static("keep-alive"),
        HeaderName::from_static("proxy-authentication-info"),
        HeaderName::from_static("proxy-connection"),
        HeaderName::from_static("set-cookie2"),
    ] {
        kept.remove(name);
    }
    kept
}

/// Whether a 304 speaks of the stored answer: its strong validator, if it has one, is the stored one's (RFC 9111 4.3.4).
#[must_use]
pub fn confirms(stored: &HeaderMap, not_modified: &HeaderMap) -> bool {
    match (stored.get(ETAG), not_modified.get(ETAG)) {
        (Some(stored), Some(new)) => weak(stored) == weak(new),
        // It names a version that is not the one we have.
        (None, Some(new)) => new.as_bytes().starts_with(b"W/"),
        (_, None) => true,
    }
}

/// Brings a stored head up to date from a 304 (RFC 9111 3.2): its fields replace those of the same name, but for what
/// describes the body that is stored.
pub fn freshen(stored: &mut HeaderMap, not_modified: &HeaderMap) {
    const OF_BODY: [HeaderName; 4] = [CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_RANGE, CONTENT_TYPE];
    let new = storable(not_modified);
    // An age is that of the answer it came with.
    stored.remove(AGE);
    for name in new.keys().filter(|name| !OF_BODY.contains(name)) {
        stored.remove(name);
        for value in new.get_all(name) {
            stored.append(name, value.clone());
        }
    }
}

/// The validators of a stored answer, to ask with: entity tag and date.
#[must_use]
pub fn validators(stored: &HeaderMap) -> (Option<&HeaderValue>, Option<&HeaderValue>) {
    (stored.get(ETAG), stored.get(LAST_MODIFIED))
}

/// An entity tag for the weak comparison (RFC 9110 8.8.3.2).
fn weak(tag: &HeaderValue) -> &[u8] {
    let tag = tag.as_bytes();
    tag.strip_prefix(b"W/").unwrap_or(tag)
}

fn named_by_connection(headers: &HeaderMap) -> Vec<HeaderName> {
    let lines = headers.get_all(CONNECTION).iter().filter_map(|line| line.to_str().ok());
    lines
        .flat_map(|line| line.split(','))
        .filter_map(|name| HeaderName::from_bytes(name.trim().as_bytes()).ok())
        .collect()
}

fn date(headers: &HeaderMap, name: &HeaderName) -> Option<u64> {
    unix_seconds(headers.get(name)?.to_str().ok()?)
}

/// Delta-seconds; None if it is no number. What is too large is very long.
fn seconds(text: &str) -> Option<u64> {
    let text = text.trim();
    let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    digits.then(|| text.parse::<u64>().unwrap_or(LONGEST).min(LONGEST))
}

fn has_word(line: &str, word: &str) -> bool {
    line.split(',').any(|part| part.trim().eq_ignore_ascii_case(word))
}

/// `Cache-Control`, of a request or an answer.
#[derive(Debug, Default, PartialEq, Eq)]
struct Directives {
    no_store: bool,
    /// Also in its qualified form (`no-cache="set-cookie"`), as most caches read it.
    no_cache: bool,
    must_revalidate: bool,
    must_understand: bool,
    public: bool,
    /// Also in its qualified form.
    private: bool,
    only_if_cached: bool,
    /// What cannot be read is 0: stale at once (RFC 9111 4.2.1). Of several the first counts.
    max_age: Option<u64>,
    min_fresh: Option<u64>,
    /// Without a value: any time.
    max_stale: Option<u64>,
}

impl Directives {
    fn of(headers: &HeaderMap) -> Self {
        let mut directives = Self::default();
        for line in headers.get_all(CACHE_CONTROL) {
            // Bytes beyond ASCII stand in arguments only, which are then no numbers.
            let line = String::from_utf8_lossy(line.as_bytes());
            for directive in split(&line) {
                let (name, value) = directive.split_once('=').map_or((directive, None), |(n, v)| (n, Some(v)));
                directives.take(name.trim(), value.map(|value| value.trim().trim_matches('"')));
            }
        }
        directives
    }

    fn take(&mut self, name: &str, value: Option<&str>) {
        let time = value.and_then(seconds);
        match name.to_ascii_lowercase().as_str() {
            "no-store" => self.no_store = true,
            "no-cache" => self.no_cache = true,
            "must-revalidate" => self.must_revalidate = true,
            "must-understand" => self.must_understand = true,
            "public" => self.public = true,
            "private" => self.private = true,
            "only-if-cached" => self.only_if_cached = true,
            "max-age" => self.max_age = self.max_age.or(Some(time.unwrap_or(0))),
            "min-fresh" => self.min_fresh = self.min_fresh.or(time),
            "max-stale" => self.max_stale = self.max_stale.or(if value.is_none() { Some(u64::MAX) } else { time }),
            _ => {}
        }
    }
}

/// The parts of a list between its commas; a comma between quotes parts nothing.
fn split(line: &str) -> impl Iterator<Item = &str> {
    let mut quoted = false;
    line.split(move |c: char| {
        quoted ^= c == '"';
        c == ',' && !quoted
    })
    .map(str::trim)
    .filter(|part| !part.is_empty())
}

#[cfg(any(test, fuzzing))]
pub(crate) mod fuzz;
#[cfg(test)]
mod tests;
