//! CSS: the URLs of a style sheet, a `<style>` or a `style` attribute, found in one pass and without a tree of rules.
//!
//! Knows comments, strings with their escapes, `url(…)` bare and quoted, `@import` with a string, and the strings of
//! `image-set(…)` and `src(…)`. Never fails: what breaks the rules is passed over as CSS itself does, and the rest is
//! read on. Called by `html`, and for files of their own as an extractor.
//!
//! Source: CSS Syntax Level 3 (4.3.3 to 4.3.7), CSS Values Level 4 (4.5), CSS Cascade Level 4 (2).

use std::borrow::Cow;

use super::{Extract, Wants, charset};
use crate::model::page::{Extraction, Page};
use crate::model::url::Url;
use crate::parse::references::{Place, References, Resolver};

/// What a URL of a style sheet is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Use {
    /// Another style sheet.
    Import,
    /// An image, a font, a cursor.
    Url,
}

/// Calls `found` for each URL, in order, with escapes undone.
pub(super) fn each_url<'a>(css: &'a str, mut found: impl FnMut(Use, Cow<'a, str>)) {
    let mut reader = Reader { css, at: 0 };
    let mut import = false;
    // Open brackets, innermost last: whether they are those of a function whose strings are URLs.
    let mut open: Vec<bool> = Vec::new();
    while let Some(byte) = reader.peek() {
        match byte {
            b'/' if reader.rest().starts_with("/*") => reader.comment(),
            b'"' | b'\'' => {
                let text = reader.string(byte);
                if import {
                    found(Use::Import, text);
                } else if open.last() == Some(&true) {
                    found(Use::Url, text);
                }
                import = false;
            }
            b'@' => {
                reader.at += 1;
                import = reader.word().eq_ignore_ascii_case("import");
            }
            b'(' | b'[' | b'{' => {
                reader.at += 1;
                // Deeper than anybody nests: what is inside counts no more.
                if open.len() < MOST_OPEN {
                    open.push(false);
                }
            }
            b')' | b']' | b'}' | b';' => {
                reader.at += 1;
                import &= byte == b')';
                if byte != b';' {
                    open.pop();
                }
            }
            _ if is_word(byte) => {
                let word = reader.word();
                if reader.peek() != Some(b'(') {
                    continue;
                }
                reader.at += 1;
                if word.eq_ignore_ascii_case("url") && !reader.is_quoted() {
                    if let Some(url) = reader.bare_url() {
                        found(if import { Use::Import } else { Use::Url }, url);
                    }
                    import = false;
                } else if open.len() < MOST_OPEN {
                    let takes_strings = ["url", "src", "image-set", "-webkit-image-set"]
                        .iter()
                        .any(|name| word.eq_ignore_ascii_case(name));
                    open.push(takes_strings && !import || open.last() == Some(&true) && !is_format(word));
                }
            }
            _ => reader.at += 1,
        }
    }
}

/// Of a file, and of what nests in it: style sheets have some five levels.
const MOST_OPEN: usize = 64;

/// A function inside `image-set` whose string is no URL.
fn is_format(word: &str) -> bool {
    word.eq_ignore_ascii_case("type")
}

/// Of an identifier; escapes are no part of those that matter here.
fn is_word(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_') || byte >= 0x80
}

struct Reader<'a> {
    css: &'a str,
    /// Always at the border of a character.
    at: usize,
}

impl<'a> Reader<'a> {
    fn peek(&self) -> Option<u8> {
        self.css.as_bytes().get(self.at).copied()
    }

    fn rest(&self) -> &'a str {
        &self.css[self.at..]
    }

    fn comment(&mut self) {
        self.at = self.rest()[2..].find("*/").map_or(self.css.len(), |length| self.at + length + 4);
    }

    fn word(&mut self) -> &'a str {
        let rest = self.rest();
        let length = rest.bytes().position(|byte| !is_word(byte)).unwrap_or(rest.len());
        self.at += length;
        &rest[..length]
    }

    fn space(&mut self) {
        while self.peek().is_some_and(|byte| byte.is_ascii_whitespace()) {
            self.at += 1;
        }
    }

    /// Whether what follows `url(` is a string.
    fn is_quoted(&self) -> bool {
        self.rest().trim_ascii_start().starts_with(['"', '\''])
    }

    /// A string with its quotes; one that a newline cuts off is bad, and empty.
    fn string(&mut self, quote: u8) -> Cow<'a, str> {
        self.at += 1;
        let start = self.at;
        let mut escaped = false;
        while let Some(byte) = self.peek() {
            match byte {
                b'\\' => {
                    escaped = true;
                    self.skip_escaped();
                }
                b'\n' | b'\r' | b'\x0c' => return Cow::Borrowed(""),
                _ if byte == quote => break,
                _ => self.at += 1,
            }
        }
        let text = &self.css[start..self.at.min(self.css.len())];
        self.at = (self.at + 1).min(self.css.len());
        if escaped { Cow::Owned(unescaped(text)) } else { Cow::Borrowed(text) }
    }

    /// Behind an escape: a backslash with the code point or the character that it stands before.
    fn skip_escaped(&mut self) {
        let rest = &self.rest()[1..];
        let digits = hex_digits(rest);
        let behind = if digits > 0 {
            without_space(&rest[digits..])
        } else {
            let mut characters = rest.chars();
            characters.next();
            characters.as_str()
        };
        self.at = self.css.len() - behind.len();
    }

    /// The rest of `url(`, up to its bracket. None if it is bad.
    fn bare_url(&mut self) -> Option<Cow<'a, str>> {
        self.space();
        let start = self.at;
        let (mut escaped, mut bad, mut end) = (false, false, None);
        while let Some(byte) = self.peek() {
            match byte {
                b')' => break,
                b'\\' => {
                    escaped = true;
                    self.skip_escaped();
                    continue;
                }
                b'"' | b'\'' | b'(' => bad = true,
                _ if byte.is_ascii_whitespace() => {
                    end.get_or_insert(self.at);
                }
                // Nothing may follow the white space behind it.
                _ => bad |= end.is_some(),
            }
            self.at += 1;
        }
        let text = &self.css[start..end.unwrap_or(self.at)];
        self.at = (self.at + 1).min(self.css.len());
        match (bad, escaped) {
            (true, _) => None,
            (false, true) => Some(Cow::Owned(unescaped(text))),
            (false, false) => Some(Cow::Borrowed(text)),
        }
    }
}

fn hex_digits(text: &str) -> usize {
    text.bytes().take(6).take_while(u8::is_ascii_hexdigit).count()
}

/// Without the one white space that belongs to a code point; a pair of line ends is one.
fn without_space(text: &str) -> &str {
    text.strip_prefix("\r\n").or_else(|| text.strip_prefix([' ', '\t', '\n', '\r', '\x0c'])).unwrap_or(text)
}

/// CSS Syntax 4.3.7: a backslash before a newline is nothing, before up to six hexadecimal digits a code point, and
/// before anything else that itself.
fn unescaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find('\\') {
        out.push_str(&rest[..at]);
        rest = &rest[at + 1..];
        let digits = hex_digits(rest);
        if digits > 0 {
            let code = u32::from_str_radix(&rest[..digits], 16).unwrap_or(0);
            out.push(char::from_u32(code).filter(|&c| c != '\0').unwrap_or(char::REPLACEMENT_CHARACTER));
            rest = without_space(&rest[digits..]);
        } else if let Some(line) = rest.strip_prefix("\r\n").or_else(|| rest.strip_prefix(['\n', '\r', '\x0c'])) {
            rest = line;
        } else if let Some(character) = rest.chars().next() {
            out.push(character);
            rest = &rest[character.len_utf8()..];
        }
    }
    out.push_str(rest);
    out
}

/// Style sheets.
pub struct Css;

const IMPORT: &Place = &Place { tag: "css", attribute: "@import", leads: false };
const URL: &Place = &Place { tag: "css", attribute: "url", leads: false };

impl Extract for Css {
    fn reads(&self, media_type: &str, _: &Url) -> bool {
        media_type == "text/css"
    }

    fn extract(&self, page: &Page<'_>, wants: Wants) -> Extraction {
        if !wants.everywhere {
            return Extraction::default();
        }
        let (text, label) = charset::decode(charset::Kind::Css, page.header_charset, page.body);
        let mut references = References::new(wants);
        each_url(&text, |used, url| {
            references.push(url, if used == Use::Import { IMPORT } else { URL }, false, None);
        });
        let mut resolver = Resolver::new(page.url, None, encoding_rs::UTF_8);
        let outlinks = references.resolve(&mut resolver, page.body.len());
        Extraction { outlinks, charset: Some(label), ..Extraction::default() }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn urls(css: &str) -> Vec<String> {
        let mut all = Vec::new();
        each_url(css, |used, url| all.push(format!("{}{url}", if used == Use::Import { "@" } else { "" })));
        all
    }

    #[test]
    fn urls_are_found_wherever_css_has_them() {
        for (css, expected) in [
            ("a { background: url(a.png) }", &["a.png"][..]),
            ("a { background: URL( 'a b.png' ) url(\"c\") }", &["a b.png", "c"]),
            ("@import 'a.css'; @import url(b.css) screen; @IMPORT url('c.css');", &["@a.css", "@b.css", "@c.css"]),
            ("@import 'a.css' layer(x) supports(display: grid) screen; a{b:url(c)}", &["@a.css", "c"]),
            ("@font-face { src: url(a.woff2) format('woff2'), local('x'), url(b.woff) }", &["a.woff2", "b.woff"]),
            (
                "a { b: image-set('a.png' 1x, \"b.png\" type('image/png') 2x, url(c.png) 3x) }",
                &["a.png", "b.png", "c.png"],
            ),
            ("a { b: -webkit-image-set(url(a) 1x) } c { d: src('e') }", &["a", "e"]),
            ("a { content: 'url(no)' } /* url(no) */ b { c: url(yes) }", &["yes"]),
            ("a { b: url(a\\).png) url(\\62 .png) url('c\\\nd') }", &["a).png", "b.png", "cd"]),
            ("a { b: url(a b) url(a'b) url() url( ) url(c) }", &["", "", "c"]),
            ("a { b: 'broken\n url(a) }", &["a"]),
            ("@charset 'utf-8'; a{b:url(c)}", &["c"]),
            ("@import", &[]),
            ("@import 'a", &["@a"]),
            ("url(", &[""]),
            ("a{b:url(é.png)}", &["é.png"]),
            ("/* open", &[]),
            ("a{b:counter('x') cross-fade(url(a), url(b))}", &["a", "b"]),
            ("myurl(a) url-prefix(b)", &[]),
        ] {
            assert_eq!(urls(css), expected, "{css}");
        }
    }

    proptest! {
        #[test]
        fn any_text_is_read_to_its_end(css in "(url\\(|@import |image-set\\(|['\"()\\\\;{}/*\n é]|[a-z]){0,40}") {
            let mut bytes = 0;
            each_url(&css, |_, url| bytes += url.len());
            // An escape of a code point beyond ASCII is no shorter than its UTF-8.
            prop_assert!(bytes <= css.len() * 2);
        }
    }
}
