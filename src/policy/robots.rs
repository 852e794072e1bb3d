//! robots.txt (RFC 9309): rules, and what an answer to its request means.
//!
//! It decides from bytes and a URL alone. It never fetches: when robots.txt is asked for, kept and asked for again is the
//! engine's. Grouping, precedence and the matcher are those of the crate `robotxt` (linear in the length of a pattern,
//! also for `*a*a*a…`). What goes into it is rewritten first, and the rewriting says where the crate and RFC 9309 part.

use std::borrow::Cow;
use std::time::Duration;

use robotxt::Robots;

use crate::model::url::origin_of;

/// RFC 9309 2.5: at least 500 KiB are to be read. No more are: the rest of the file is ignored, and so is a line it cuts.
pub const MAX_BODY: usize = 500 * 1024;

/// A day between two requests is as good as a prohibition; what is longer is a typing error or a trap.
const LONGEST_CRAWL_DELAY: Duration = Duration::from_hours(24);

/// The product token of a user agent: the part before `/` (`lycosa` of `lycosa/1.0 (+https://…)`), or what comes before
/// the first character that no token holds (RFC 9110 5.6.2).
#[must_use]
pub fn product_token(user_agent: &str) -> &str {
    let user_agent = user_agent.trim_start();
    let in_token = |c: char| c.is_ascii_alphanumeric() || "!#$%&'*+-.^_`|~".contains(c);
    &user_agent[..user_agent.find(|c| !in_token(c)).unwrap_or(user_agent.len())]
}

/// What one robots.txt says to us.
#[derive(Debug, Clone)]
pub struct RobotsRules {
    /// None: everything may be fetched. Most hosts have no rule for us, so this is kept small.
    rules: Option<Box<Robots>>,
    crawl_delay: Option<Duration>,
    sitemaps: Vec<String>,
}

impl RobotsRules {
    /// Reads a robots.txt for a product token. At most 500 KiB are read. Never fails.
    #[must_use]
    pub fn parse(body: &[u8], product_token: &str) -> Self {
        let body = body.strip_prefix(b"\xef\xbb\xbf").unwrap_or(body);
        if is_html(body) {
            return Self::allow_all();
        }
        let rewritten = rewrite(whole_lines(body), product_token);
        let robots = Robots::parse(&rewritten.text, product_token);
        let crawl_delay = robots.crawl_delay().map(|delay| delay.min(LONGEST_CRAWL_DELAY));
        let rules = if robots.always() == Some(true) { None } else { Some(Box::new(robots)) };
        Self { rules, crawl_delay, sitemaps: rewritten.sitemaps }
    }

    /// No robots.txt: everything may be fetched.
    #[must_use]
    pub fn allow_all() -> Self {
        Self { rules: None, crawl_delay: None, sitemaps: Vec::new() }
    }

    /// May this canonical URL be fetched? `/robots.txt` itself always may.
    #[must_use]
    pub fn allows(&self, url: &str) -> bool {
        let Some(rules) = &self.rules else { return true };
        rules.is_allowed(&path_to_match(&url[origin_of(url).len()..]))
    }

    /// The Crawl-delay of the groups that apply to us, at most a day; the smallest if there are several. Not part of
    /// RFC 9309, but asked for by many sites. A negative one, and what is no number of seconds, is None.
    #[must_use]
    pub fn crawl_delay(&self) -> Option<Duration> {
        self.crawl_delay
    }

    /// Absolute http and https URLs as written, in order, of the whole file: they belong to no group.
    #[must_use]
    pub fn sitemaps(&self) -> &[String] {
        &self.sitemaps
    }
}

/// What the final status of a robots.txt request means (RFC 9309 2.3.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RobotsStatus {
    /// 2xx: read the body. (HTML with status 200 holds no rules, and so allows all.)
    Read,
    /// 4xx but 429, and a 3xx that leads nowhere: "unavailable", all is allowed.
    AllowAll,
    /// 5xx and 429: "unreachable", all is disallowed.
    DisallowAll,
}

#[must_use]
pub fn status_means(status: u16) -> RobotsStatus {
    match status {
        200..=299 => RobotsStatus::Read,
        // "Try again later" is not "there is none": taking it for permission would answer a refusal with a crawl.
        429 => RobotsStatus::DisallowAll,
        300..=499 => RobotsStatus::AllowAll,
        _ => RobotsStatus::DisallowAll,
    }
}

/// A start page served for every path is no robots.txt, and prose or scripts in it are no rules. A comment in front of
/// rules is not enough to call it HTML.
fn is_html(body: &[u8]) -> bool {
    let start = body.trim_ascii_start();
    [&b"<!doctype"[..], b"<html", b"<head", b"<body", b"<?xml"]
        .iter()
        .any(|tag| start.get(..tag.len()).is_some_and(|found| found.eq_ignore_ascii_case(tag)))
}

/// Cuts after the last line that ends within [`MAX_BODY`]: half a rule would be another rule.
fn whole_lines(body: &[u8]) -> &[u8] {
    let Some(window) = body.get(..=MAX_BODY) else { return body };
    let end = window.iter().rposition(|&byte| is_line_end(byte));
    &body[..end.unwrap_or(0)]
}

fn is_line_end(byte: u8) -> bool {
    // NUL as well: the crate takes it for one, and the two readings of a file must not differ.
    matches!(byte, b'\r' | b'\n' | 0)
}

struct Rewritten {
    text: Vec<u8>,
    sitemaps: Vec<String>,
}

/// Turns a file into one that the crate reads as RFC 9309 means it:
/// - `User-agent` values are cut to the product token, and become ours where they mean us: 2.2.1 takes `FooBot/1.0` and
///   `FooBot (news)` for `FooBot`, the crate compares the whole value.
/// - Patterns: see [`rewrite_pattern`].
/// - `Sitemap` lines are taken out, and read here as they were written.
fn rewrite(body: &[u8], token: &str) -> Rewritten {
    let mut rewritten = Rewritten { text: Vec::with_capacity(body.len()), sitemaps: Vec::new() };
    for line in body.split(|&byte| is_line_end(byte)) {
        let line = &line[..line.iter().position(|&byte| byte == b'#').unwrap_or(line.len())];
        let line = line.trim_ascii();
        if line.is_empty() {
            continue;
        }
        if let Some(agent) = value_of(line, &["user-agent", "user agent", "useragent"]) {
            // The shortest spelling: what is rewritten must not outgrow the crate's own limit of 500 KiB.
            rewritten.text.extend_from_slice(b"useragent:");
            rewritten.text.extend_from_slice(agent_for(agent, token));
        } else if let Some(sitemap) = value_of(line, &["sitemap", "site-map", "site map"]) {
            rewritten.sitemaps.extend(absolute(sitemap));
            continue;
        } else {
            rewrite_pattern(line, &mut rewritten.text);
        }
        rewritten.text.push(b'\n');
    }
    rewritten
}

/// The value of a `key: value` line under one of these spellings; a space may stand for the colon, as the crate has it.
fn value_of<'a>(line: &'a [u8], spellings: &[&str]) -> Option<&'a [u8]> {
    let key = spellings.iter().find(|key| {
        line.get(..key.len()).is_some_and(|start| start.eq_ignore_ascii_case(key.as_bytes()))
            && line.get(key.len()).is_some_and(|&byte| matches!(byte, b':' | b' ' | b'\t'))
    })?;
    let rest = line[key.len()..].trim_ascii_start();
    Some(rest.strip_prefix(b":").unwrap_or(rest).trim_ascii())
}

/// The `User-agent` value as the crate shall see it: `*`, our token where the value means us, or its own product token.
fn agent_for<'a>(value: &'a [u8], token: &'a str) -> &'a [u8] {
    if let Some(rest) = value.strip_prefix(b"*") {
        // `*bot` names no product and is not for everybody either.
        return if rest.first().is_none_or(u8::is_ascii_whitespace) { b"*" } else { b"" };
    }
    // RFC 9309 2.2.1: letters, `_` and `-`. Products with a digit in their name exist all the same.
    let product = cut(value, |byte| byte.is_ascii_alphabetic() || matches!(byte, b'_' | b'-'));
    let word = cut(value, |byte| byte != b'/' && byte.is_ascii_graphic());
    let is_us = [product, word].iter().any(|name| !name.is_empty() && name.eq_ignore_ascii_case(token.as_bytes()));
    if is_us { token.as_bytes() } else { product }
}

fn cut(value: &[u8], keep: impl Fn(u8) -> bool) -> &[u8] {
    &value[..value.iter().position(|&byte| !keep(byte)).unwrap_or(value.len())]
}

/// Copies a line with a pattern, in the spelling that [`path_to_match`] gives to paths: a `$` that is not at the end is
/// itself (2.2.3 gives it a meaning only there), and written `%24`; in a query some octets are decoded.
fn rewrite_pattern(line: &[u8], out: &mut Vec<u8>) {
    let (path, query) = match line.iter().position(|&byte| byte == b'?') {
        Some(at) => line.split_at(at + 1),
        None => (line, &b""[..]),
    };
    let end = line.len() - 1;
    let query = decode_query(query);
    // Decoding makes no `$`, and so does not move the one at the end.
    let ends_with_anchor = line[end] == b'$';
    let length = path.len() + query.len();
    for (at, &byte) in path.iter().chain(query.iter()).enumerate() {
        if byte == b'$' && !(ends_with_anchor && at + 1 == length) {
            out.extend_from_slice(b"%24");
        } else {
            out.push(byte);
        }
    }
}

/// Path and query of a URL as patterns are compared with them. `*` and `$` of a URL are what a pattern writes `%2A` and
/// `%24` (RFC 9309 2.2.3); in a query some octets are decoded. The rest of 2.2.2 (other octets, case of `%c3`) is the
/// crate's.
fn path_to_match(path_and_query: &str) -> Cow<'_, str> {
    if !path_and_query.contains(['*', '$']) && !path_and_query.contains('?') {
        return Cow::Borrowed(path_and_query);
    }
    let at = path_and_query.find('?').map_or(path_and_query.len(), |at| at + 1);
    let (path, query) = path_and_query.split_at(at);
    let query = decode_query(query.as_bytes());
    if matches!(query, Cow::Borrowed(_)) && !path_and_query.contains(['*', '$']) {
        return Cow::Borrowed(path_and_query);
    }
    // Only ASCII was decoded: this is never lossy.
    let text = format!("{path}{}", String::from_utf8_lossy(&query));
    Cow::Owned(text.replace('*', "%2A").replace('$', "%24"))
}

/// `:`, `/`, `?` and `@` separate nothing within a query (RFC 3986 3.4), so `?u=https%3A%2F%2Fa` and `?u=https://a` are one
/// (the second example of RFC 9309 2.2.2). Both sides are brought to the second spelling: encoding, as the RFC has it,
/// would lose the `/` of patterns such as `/*/print` that reach into queries.
fn decode_query(query: &[u8]) -> Cow<'_, [u8]> {
    let decoded = |at: usize| match query.get(at..at + 3)? {
        [b'%', b'3', b'a' | b'A'] => Some(b':'),
        [b'%', b'2', b'f' | b'F'] => Some(b'/'),
        [b'%', b'3', b'f' | b'F'] => Some(b'?'),
        [b'%', b'4', b'0'] => Some(b'@'),
        _ => None,
    };
    let Some(first) = (0..query.len()).find(|&at| decoded(at).is_some()) else { return Cow::Borrowed(query) };
    let mut out = query[..first].to_vec();
    let mut at = first;
    while at < query.len() {
        let plain = decoded(at);
        out.push(plain.unwrap_or(query[at]));
        at += if plain.is_some() { 3 } else { 1 };
    }
    Cow::Owned(out)
}

/// A sitemap's URL if it is absolute: RFC 9309 says nothing of them, sitemaps.org asks for the full URL.
fn absolute(value: &[u8]) -> Option<String> {
    let text = std::str::from_utf8(value).ok()?;
    crate::model::url::parse(text).ok()?;
    Some(text.to_owned())
}

#[cfg(test)]
mod tests;
