//! A page as the readers of files hand it over, how large one may be, and what they passed over.

use std::fmt::Write as _;

/// Bytes of one page; beyond that it is no page.
pub const MAX_PAGE: u64 = 64 << 20;

/// One page of a file.
pub struct Page<'a> {
    /// None if the file does not say it.
    pub url: Option<&'a str>,
    pub media_type: &'a str,
    /// The encoding, if somebody has said it.
    pub charset: Option<&'a str>,
    pub body: &'a [u8],
}

/// Takes each page; false if no more is wanted.
pub type Take<'a> = dyn FnMut(&Page<'_>) -> bool + 'a;

/// What stood in a file and gave no line: told at its end, so that nobody takes few lines for few pages.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Passed {
    /// Records and responses of URLs that did not end well.
    pub failed: u64,
    /// Records without a body, or whose file is gone.
    pub bodiless: u64,
    /// Responses that cannot be read: broken HTTP, or an unknown coding.
    pub broken: u64,
    /// Larger than [`MAX_PAGE`].
    pub large: u64,
    /// Revisits of a page that does not stand in the same file, or could not be looked for.
    pub revisits: u64,
    /// Files of a directory that are neither HTML nor JSON.
    pub others: u64,
}

impl Passed {
    /// What was passed over, in words; None if nothing was.
    pub fn told(&self) -> Option<String> {
        let kinds = [
            (self.failed, "whose URL did not end well"),
            (self.bodiless, "without a body (--with body or --save-bodies keeps them)"),
            (self.broken, "that cannot be read"),
            (self.large, "larger than 64 MiB"),
            (self.revisits, "that only refer to a page elsewhere"),
            (self.others, "that are neither HTML nor JSON"),
        ];
        let mut told = String::new();
        for (count, what) in kinds.into_iter().filter(|(count, _)| *count > 0) {
            let _ = write!(told, "{}{count} {what}", if told.is_empty() { "passed over: " } else { ", " });
        }
        Some(told).filter(|told| !told.is_empty())
    }

    pub fn add(&mut self, other: &Self) {
        self.failed += other.failed;
        self.bodiless += other.bodiless;
        self.broken += other.broken;
        self.large += other.large;
        self.revisits += other.revisits;
        self.others += other.others;
    }
}

/// Type and subtype in lower case, and the charset, of a `Content-Type`.
pub fn content_type(value: &str) -> (String, Option<String>) {
    let mut parts = value.split(';');
    let media_type = parts.next().unwrap_or_default().trim().to_ascii_lowercase();
    let charset = parts.find_map(|part| {
        let (name, value) = part.split_once('=')?;
        name.trim().eq_ignore_ascii_case("charset").then(|| value.trim().trim_matches(['"', '\'']).to_owned())
    });
    (media_type, charset)
}
