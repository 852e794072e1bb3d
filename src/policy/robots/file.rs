//! The text of a robots.txt: what of it is read, its lines with their numbers, and what one line says.
//!
//! It knows neither groups nor us. Nothing in it fails: a line that says nothing is passed over. Sources: RFC 9309 2.2
//! (lines), 2.2.1 (product tokens), 2.5 (limit); what sites write beside it was read in many of their files.

use std::borrow::Cow;

use encoding_rs::{UTF_16BE, UTF_16LE};

use super::MAX_BODY;

/// What one line says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Line<'a> {
    UserAgent(&'a [u8]),
    Rule { allow: bool, pattern: &'a [u8] },
    CrawlDelay(&'a [u8]),
    Sitemap(&'a [u8]),
}

#[derive(Debug, Clone, Copy)]
enum Key {
    UserAgent,
    Allow,
    Disallow,
    CrawlDelay,
    Sitemap,
}

/// Keys as they are written, in lower case. A misspelt `Disallow` is still meant.
const SPELLINGS: [(&str, Key); 18] = [
    ("user-agent", Key::UserAgent),
    ("user agent", Key::UserAgent),
    ("useragent", Key::UserAgent),
    ("disallow", Key::Disallow),
    ("dissallow", Key::Disallow),
    ("dissalow", Key::Disallow),
    ("disalow", Key::Disallow),
    ("diasllow", Key::Disallow),
    ("disallaw", Key::Disallow),
    ("allow", Key::Allow),
    ("alow", Key::Allow),
    ("allaw", Key::Allow),
    ("crawl-delay", Key::CrawlDelay),
    ("crawl delay", Key::CrawlDelay),
    ("crawldelay", Key::CrawlDelay),
    ("sitemap", Key::Sitemap),
    ("site-map", Key::Sitemap),
    ("site map", Key::Sitemap),
];

/// The part of a body that is read: up to the last line that ends within [`MAX_BODY`], since half a rule would be another
/// rule; without its byte order mark; UTF-16 that says so by its mark is turned into UTF-8.
pub(super) fn readable(body: &[u8]) -> Cow<'_, [u8]> {
    let wide = match body {
        [0xff, 0xfe, ..] => Some(UTF_16LE),
        [0xfe, 0xff, ..] => Some(UTF_16BE),
        _ => None,
    };
    if let Some(encoding) = wide {
        let window = &body[..body.len().min(MAX_BODY)];
        let (text, _) = encoding.decode_with_bom_removal(window);
        let mut text = text.into_owned().into_bytes();
        if window.len() < body.len() {
            text.truncate(text.iter().rposition(|&byte| is_line_end(byte)).unwrap_or(0));
        }
        return Cow::Owned(text);
    }
    let body = match body.get(..=MAX_BODY) {
        None => body,
        Some(window) => &body[..window.iter().rposition(|&byte| is_line_end(byte)).unwrap_or(0)],
    };
    Cow::Borrowed(body.strip_prefix(b"\xef\xbb\xbf").unwrap_or(body))
}

/// A start page served for every path is no robots.txt, and prose or scripts in it are no rules. A comment in front of
/// rules is not enough to call it HTML.
pub(super) fn is_html(text: &[u8]) -> bool {
    let mut start = text.trim_ascii_start();
    while let Some(comment) = start.strip_prefix(b"<!--") {
        let Some(end) = memchr::memmem::find(comment, b"-->") else { break };
        start = comment[end + 3..].trim_ascii_start();
    }
    ["<!doctype", "<html", "<head", "<body", "<title", "<meta", "<script", "<?xml"]
        .iter()
        .any(|tag| start.get(..tag.len()).is_some_and(|found| found.eq_ignore_ascii_case(tag.as_bytes())))
}

/// RFC 9309 2.2 has CR, LF and both. NUL as well: a rule in front of one would else match nothing.
fn is_line_end(byte: u8) -> bool {
    matches!(byte, b'\r' | b'\n' | 0)
}

/// Every line with its number, from 1.
pub(super) fn lines(text: &[u8]) -> impl Iterator<Item = (u32, &[u8])> {
    let mut rest = Some(text);
    // At most MAX_BODY lines.
    (1..).map_while(move |number| {
        let text = rest.take()?;
        let Some(end) = memchr::memchr3(b'\r', b'\n', 0, text) else { return Some((number, text)) };
        let width = if text[end..].starts_with(b"\r\n") { 2 } else { 1 };
        rest = Some(&text[end + width..]);
        Some((number, &text[..end]))
    })
}

/// What a line says; None if nothing that is known. Comments are cut off. A space may stand for the colon.
pub(super) fn read(line: &[u8]) -> Option<Line<'_>> {
    let line = &line[..memchr::memchr(b'#', line).unwrap_or(line.len())];
    let line = line.trim_ascii();
    let (spelling, key) = SPELLINGS.iter().find(|(spelling, _)| {
        line.get(..spelling.len()).is_some_and(|start| start.eq_ignore_ascii_case(spelling.as_bytes()))
            && line.get(spelling.len()).is_some_and(|byte| matches!(byte, b':' | b' ' | b'\t'))
    })?;
    let rest = line[spelling.len()..].trim_ascii_start();
    let value = rest.strip_prefix(b":").unwrap_or(rest).trim_ascii();
    Some(match key {
        Key::UserAgent => Line::UserAgent(value),
        Key::Allow => Line::Rule { allow: true, pattern: value },
        Key::Disallow => Line::Rule { allow: false, pattern: value },
        Key::CrawlDelay => Line::CrawlDelay(value),
        Key::Sitemap => Line::Sitemap(value),
    })
}

/// Whom a `User-agent` line means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Agent {
    Us,
    Everybody,
    Other,
}

/// Reads the value of a `User-agent` line: 2.2.1 compares product tokens, and `FooBot/1.0` and `FooBot (news)` are how
/// sites write `FooBot`.
pub(super) fn agent(value: &[u8], token: &str) -> Agent {
    if let Some(rest) = value.strip_prefix(b"*") {
        // `*bot` names no product and is not for everybody either.
        return if rest.first().is_none_or(u8::is_ascii_whitespace) { Agent::Everybody } else { Agent::Other };
    }
    // 2.2.1: letters, `_` and `-`. Products with a digit in their name exist all the same.
    let product = cut(value, |byte| byte.is_ascii_alphabetic() || matches!(byte, b'_' | b'-'));
    let word = cut(value, |byte| byte != b'/' && byte.is_ascii_graphic());
    let is_us = [product, word].iter().any(|name| !name.is_empty() && name.eq_ignore_ascii_case(token.as_bytes()));
    if is_us { Agent::Us } else { Agent::Other }
}

fn cut(value: &[u8], keep: impl Fn(u8) -> bool) -> &[u8] {
    &value[..value.iter().position(|&byte| !keep(byte)).unwrap_or(value.len())]
}
