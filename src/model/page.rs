//! A page on its way into the parser, and what the parser gives back.

use std::borrow::Cow;

use serde::{Deserialize, Serialize};

use super::url::Url;

/// The answer of a server as the parser sees it. Borrowed: no parsed document outlives the call.
#[derive(Debug, Clone, Copy)]
pub struct Page<'a> {
    /// Where the answer came from: references are resolved against it, unless the page names another base.
    pub url: &'a Url,
    /// type/subtype in lower case; empty if the server named none.
    pub media_type: &'a str,
    /// The `charset` parameter of the content type, as the server wrote it.
    pub header_charset: Option<&'a str>,
    /// Decoded from any content coding.
    pub body: &'a [u8],
    /// The name by which a `<meta>` may address us: the product token of robots.txt.
    pub agent: &'a str,
}

/// A link as records show it (`--with links`), and as the crawl follows it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Outlink {
    /// Canonical: absolute, without fragment and user info.
    pub url: Box<str>,
    /// Without the `#`.
    pub fragment: Option<Box<str>>,
    /// The text of an `a` or the `alt` of an `area`, white space folded, at most 512 characters; else null.
    pub text: Option<Box<str>>,
    /// The `rel` attribute as written.
    pub rel: Option<Box<str>>,
    /// The element the link stood in: `a img script …`; `css`, `header`, `manifest`, `feed`, `sitemap` where there is none.
    pub tag: Cow<'static, str>,
    /// The attribute, property or header that held it: `href src srcset …`.
    pub attribute: Cow<'static, str>,
    /// It leads to another document, rather than to what belongs to this one. No key of records: `tag` and `attribute`
    /// say it there.
    #[serde(skip)]
    pub leads: bool,
    /// The page, or the link's own `rel`, asks not to follow it. No key of records: `rel` says it there.
    #[serde(skip)]
    pub nofollow: bool,
}

/// What a page asks of robots, in its head or its markup.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Directives {
    pub noindex: bool,
    /// Its links are not to be followed.
    pub nofollow: bool,
}

impl Directives {
    /// Takes one directive, in any case and with white space around it. Nothing takes one back (`all`, `follow`).
    pub fn take(&mut self, directive: &str) {
        let is = |word: &str| directive.trim_ascii().eq_ignore_ascii_case(word);
        let none = is("none");
        self.noindex |= none || is("noindex");
        self.nofollow |= none || is("nofollow");
    }
}

/// What a page says, in so few bits that nearly the same text differs in few of them (SimHash).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Fingerprint {
    /// Of its words; 0 if it has none.
    pub words: u64,
    /// Of its words and numbers.
    pub all: u64,
}

/// What a page holds.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Extraction {
    /// White space folded; None if the page has no title.
    pub title: Option<String>,
    /// In document order. Repeats of one URL on a page are dropped unless all links were asked for.
    pub outlinks: Vec<Outlink>,
    /// What the page asks of robots (`<meta name=robots>`). That of a single link stands with it.
    pub directives: Directives,
    /// None if the page has no text, or it was not asked for.
    pub words: Option<Fingerprint>,
    /// The charset that was used for text: an encoding label in lower case.
    pub charset: Option<&'static str>,
}
