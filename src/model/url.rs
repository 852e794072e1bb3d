//! Canonical URLs, host keys and origins.
//!
//! The canonical URL is the WHATWG serialisation without fragment and user info, and nothing else: no query sorting,
//! nothing dropped. It is the dedup key, and what records show. Since HTTP sends neither fragments nor user info in
//! the request line, asking for the canonical URL asks for exactly what was given.

use std::fmt;

pub use url::Url;

/// Why a text is not a URL that can be asked.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum UrlError {
    #[error("not a URL: {0}")]
    Syntax(#[from] url::ParseError),
    #[error("scheme '{0}' is not http or https")]
    Scheme(String),
    #[error("no host in the URL")]
    NoHost,
    #[error("the URL is longer than {MAX_URL} bytes")]
    TooLong,
}

/// URLs above this are refused: RFC 9110 4.1 asks for support of at least 8,000 octets, and what a server writes into
/// a page needs a cap.
pub const MAX_URL: usize = 64 * 1024;

/// Reads an absolute http or https URL. Fragment and user info stay in it; [`canonical`] leaves them out.
///
/// # Errors
/// Another scheme, no host, a syntax error of the WHATWG URL standard, or more than [`MAX_URL`] bytes, as given or as it is
/// asked.
pub fn parse(text: &str) -> Result<Url, UrlError> {
    if text.len() > MAX_URL {
        return Err(UrlError::TooLong);
    }
    check(Url::parse(text)?)
}

/// Resolves a reference of a page against its base.
///
/// # Errors
/// As [`parse`].
pub fn join(base: &Url, reference: &str) -> Result<Url, UrlError> {
    if reference.len() > MAX_URL {
        return Err(UrlError::TooLong);
    }
    check(base.join(reference)?)
}

fn check(url: Url) -> Result<Url, UrlError> {
    match url.scheme() {
        "http" | "https" => {}
        other => return Err(UrlError::Scheme(other.to_owned())),
    }
    if url.host_str().is_none_or(str::is_empty) {
        return Err(UrlError::NoHost);
    }
    // What is not ASCII is longer when it is escaped, and what is asked is read again.
    if url.as_str().len() > MAX_URL { Err(UrlError::TooLong) } else { Ok(url) }
}

/// The canonical URL: the key of the seen set, and the `url` of records.
#[must_use]
pub fn canonical(url: &Url) -> String {
    if url.username().is_empty() && url.password().is_none() {
        return match url.fragment() {
            Some(fragment) => url.as_str()[..url.as_str().len() - fragment.len() - 1].to_owned(),
            None => url.as_str().to_owned(),
        };
    }
    let mut bare = url.clone();
    bare.set_fragment(None);
    // Both fail only for URLs without a host, which `check` refuses.
    let _ = bare.set_username("");
    let _ = bare.set_password(None);
    bare.into()
}

/// What politeness is kept for: the lower-case ASCII host, with `:port` unless it is 80 for http or 443 for https.
#[must_use]
pub fn host_key(url: &Url) -> Box<str> {
    let host = url.host_str().unwrap_or_default();
    // `Url::port` is None for the default port of the scheme.
    match url.port() {
        Some(port) => format!("{host}:{port}").into_boxed_str(),
        None => host.into(),
    }
}

/// The host key of a canonical URL, without parsing it again: the canonical form has no user info, a lower-case host, and
/// leaves out the default port of its scheme, so its authority *is* the host key.
#[must_use]
pub fn host_key_of(canonical: &str) -> &str {
    let start = authority_start(canonical);
    &canonical[start..authority_end(canonical, start)]
}

/// The origin of a canonical URL: scheme, host and port (`http://example.org:8080`), to which robots.txt belongs.
#[must_use]
pub fn origin_of(canonical: &str) -> &str {
    &canonical[..authority_end(canonical, authority_start(canonical))]
}

fn authority_start(canonical: &str) -> usize {
    // Asked several times for each link of a page, and nearly always of these two: a search takes ten times as long.
    match canonical.as_bytes() {
        [b'h', b't', b't', b'p', b's', b':', b'/', b'/', ..] => "https://".len(),
        [b'h', b't', b't', b'p', b':', b'/', b'/', ..] => "http://".len(),
        _ => canonical.find("://").map_or(0, |at| at + 3),
    }
}

fn authority_end(canonical: &str, start: usize) -> usize {
    let behind = canonical.as_bytes()[start..].iter().position(|byte| matches!(byte, b'/' | b'?' | b'#'));
    behind.map_or(canonical.len(), |at| start + at)
}

/// A URL for logs and messages: user info is left out.
pub struct Shown<'a>(pub &'a Url);

impl fmt::Display for Shown<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&canonical(self.0))
    }
}

#[cfg(test)]
mod tests;
