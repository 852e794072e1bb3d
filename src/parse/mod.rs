//! Floor 2: from bytes to title, links and sitemap entries. Pure and synchronous; no parsed document outlives a call.

use crate::model::page::{Extraction, Page};

pub mod charset;
#[cfg(any(test, fuzzing))]
pub(crate) mod fuzz;
pub mod html;
pub mod sitemap;

/// What to look for.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Wants {
    /// Outlinks at all: a crawl, or `--with links`.
    pub links: bool,
    /// Repeats of a URL, with text and rel of each: `--with links`. Otherwise the first link to each URL of a page is
    /// enough, and its text and rel are left out.
    pub link_details: bool,
    /// The fingerprint of the page's words: in a crawl, where the page may be part of a trap.
    pub words: bool,
}

/// Reads pages of some media types. Adding one is a file and a line in [`EXTRACTORS`].
pub trait Extract: Sync {
    /// Whether it reads this media type (type/subtype in lower case).
    fn reads(&self, media_type: &str) -> bool;

    /// Never fails: whatever the bytes are, what can be found is returned. Linear in the size of the body.
    fn extract(&self, page: &Page<'_>, wants: Wants) -> Extraction;
}

/// All extractors; the first that reads a media type takes the page.
pub const EXTRACTORS: &[&dyn Extract] = &[&html::Html];

/// The extractor for a media type, if there is one.
#[must_use]
pub fn extractor_for(media_type: &str) -> Option<&'static dyn Extract> {
    EXTRACTORS.iter().copied().find(|extractor| extractor.reads(media_type))
}
