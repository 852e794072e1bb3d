//! Floor 2: from bytes to title, links and sitemap entries. Pure and synchronous; no parsed document outlives a call.

use crate::model::page::{Extraction, Page};
use crate::model::url::Url;

pub mod charset;
pub mod css;
pub mod feed;
pub mod fields;
#[cfg(any(test, fuzzing))]
pub(crate) mod fuzz;
pub mod headers;
pub mod html;
pub mod manifest;
pub mod markdown;
mod references;
pub mod script;
pub mod sitemap;

pub use references::MAX_LINKS;

/// What to look for.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Wants {
    /// Outlinks at all: a crawl, or `--with links`.
    pub links: bool,
    /// Repeats of a URL, with text and rel of each: `--with links`. Otherwise the first link to each URL of a page is
    /// enough, and its text and rel are left out.
    pub link_details: bool,
    /// Links wherever a URL can stand (images, scripts, styles …), not only those that lead to documents.
    pub everywhere: bool,
    /// Also in string literals of scripts that look like paths: `--js-links`.
    pub scripts: bool,
    /// The fingerprint of the page's words: in a crawl, where the page may be part of a trap.
    pub words: bool,
}

/// Reads pages of some media types. Adding one is a file and a line in [`EXTRACTORS`].
pub trait Extract: Sync {
    /// Whether it reads what has this media type (type/subtype in lower case) and came from this URL.
    fn reads(&self, media_type: &str, url: &Url) -> bool;

    /// Never fails: whatever the bytes are, what can be found is returned. Linear in the size of the body.
    fn extract(&self, page: &Page<'_>, wants: Wants) -> Extraction;
}

/// All extractors; the first that reads a media type takes the page.
pub const EXTRACTORS: &[&dyn Extract] =
    &[&html::Html, &css::Css, &script::Script, &manifest::Manifest, &feed::Feed, &markdown::Markdown];

/// The extractor for what has this media type and came from this URL, if there is one.
#[must_use]
pub fn extractor_for(media_type: &str, url: &Url) -> Option<&'static dyn Extract> {
    EXTRACTORS.iter().copied().find(|extractor| extractor.reads(media_type, url))
}
