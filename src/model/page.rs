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
    /// The element the link stood in: `a area iframe frame link meta sitemap`.
    pub tag: Cow<'static, str>,
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
    /// The page asks not to be indexed (`<meta name=robots>`).
    pub noindex: bool,
    /// None if the page has no text, or it was not asked for.
    pub words: Option<Fingerprint>,
    /// The charset that was used for text: an encoding label in lower case.
    pub charset: Option<&'static str>,
}
