//! HTML: links and title.

use super::{Extract, Wants};
use crate::model::page::{Extraction, Page};

/// HTML and XHTML.
pub struct Html;

impl Extract for Html {
    fn reads(&self, media_type: &str) -> bool {
        matches!(media_type, "text/html" | "application/xhtml+xml")
    }

    fn extract(&self, _page: &Page<'_>, _wants: Wants) -> Extraction {
        Extraction::default()
    }
}
