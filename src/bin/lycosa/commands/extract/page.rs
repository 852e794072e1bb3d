//! A page as the readers of files hand it over, and how large one may be.

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
