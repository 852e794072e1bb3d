//! From a reference on a page to a canonical URL.
//!
//! `Url::join` is by far the dearest step of link extraction, and most references on a page are plain paths or absolute
//! URLs of the page's own origin. For these the canonical URL is built by putting two strings together; a property test
//! holds the short way to what `Url::join` gives. Everything else takes the long way.

use std::borrow::Cow;

use encoding_rs::{Encoding, UTF_8};

use crate::model::url::{self, Url, UrlError};

/// Resolves the references of one page.
pub(in crate::parse) struct Resolver {
    /// What the base itself is relative to.
    page: Url,
    base: Url,
    encoding: &'static Encoding,
    /// The canonical base up to the last slash of its path, and how much of it is the origin.
    directory: String,
    origin: usize,
    /// The origin of the last absolute URL that pointed elsewhere: the next one often points there too.
    elsewhere: Option<String>,
}

impl Resolver {
    /// `base_href` is the first `<base href>` of the page, if any. A base that is not http or https is passed over, so
    /// that the links of the page are still found.
    pub(in crate::parse) fn new(page: &Url, base_href: Option<&str>, encoding: &'static Encoding) -> Self {
        let base = base_href.and_then(|href| url::join(page, href).ok()).unwrap_or_else(|| page.clone());
        let mut directory = url::canonical(&base);
        let origin = url::origin_of(&directory).len();
        let path_end = directory.find('?').unwrap_or(directory.len());
        let slash = directory[..path_end].rfind('/').map_or(path_end, |at| at + 1);
        directory.truncate(slash);
        Self { page: page.clone(), base, encoding, directory, origin, elsewhere: None }
    }

    /// A resolver for what is relative to a reference of this page.
    pub(in crate::parse) fn below(&self, base: &str) -> Self {
        Self::new(&self.base, Some(base), self.encoding)
    }

    /// The canonical URL of a `<base href>`, to which no base applies (WHATWG HTML 4.2.3), and its fragment.
    pub(in crate::parse) fn of_base(&self, href: &str) -> Option<(String, Option<Box<str>>)> {
        let joined = url::join(&self.page, href).ok()?;
        Some((url::canonical(&joined), joined.fragment().map(Into::into)))
    }

    /// The canonical URL of a reference. None if it leads to no http or https URL.
    pub(in crate::parse) fn canonical(&mut self, reference: &str) -> Option<String> {
        if let Some(short) = self.concatenated(reference) {
            return Some(short);
        }
        let canonical = url::canonical(&self.join(reference).ok()?);
        let origin = url::origin_of(&canonical);
        if self.elsewhere.as_deref() != Some(origin) && starts_origin(reference, origin) {
            self.elsewhere = Some(origin.to_owned());
        }
        Some(canonical)
    }

    /// The canonical URL of a reference, and its fragment.
    pub(in crate::parse) fn with_fragment(&mut self, reference: &str) -> Option<(String, Option<Box<str>>)> {
        if !reference.contains('#') {
            return Some((self.canonical(reference)?, None));
        }
        let joined = self.join(reference).ok()?;
        Some((url::canonical(&joined), joined.fragment().map(Into::into)))
    }

    fn join(&self, reference: &str) -> Result<Url, UrlError> {
        // A query is written in the encoding of its page (WHATWG URL 4.4, query state).
        if self.encoding == UTF_8 || reference.is_ascii() || !reference.contains('?') || reference.len() > url::MAX_URL
        {
            return url::join(&self.base, reference);
        }
        let encode: &dyn Fn(&str) -> Cow<'_, [u8]> = &|query| self.encoding.encode(query).0;
        let joined = Url::options().base_url(Some(&self.base)).encoding_override(Some(encode)).parse(reference)?;
        // Refuses other schemes, as everywhere.
        url::join(&joined, joined.as_str())
    }

    /// The canonical URL by concatenation, where that is certain to be right.
    fn concatenated(&self, reference: &str) -> Option<String> {
        // A page from elsewhere (`file:`) has no references that lead to http, unless they are absolute.
        if reference.len() > url::MAX_URL || !matches!(self.base.scheme(), "http" | "https") {
            return None;
        }
        let own = &self.directory[..self.origin];
        let (before, path) = match reference.as_bytes().first()? {
            b'.' => self.climbed(reference),
            b'/' if reference.as_bytes().get(1) == Some(&b'/') => return None,
            b'/' => (own, reference),
            b'h' if starts_origin(reference, own) => (own, &reference[own.len()..]),
            b'h' => match &self.elsewhere {
                Some(other) if starts_origin(reference, other) => (other.as_str(), &reference[other.len()..]),
                _ => (self.directory.as_str(), reference),
            },
            _ => (self.directory.as_str(), reference),
        };
        if !is_plain_path(path.as_bytes()) || before.len() + path.len() > url::MAX_URL {
            return None;
        }
        let mut canonical = String::with_capacity(before.len() + path.len());
        canonical.push_str(before);
        canonical.push_str(path);
        Some(canonical)
    }

    /// The directory that a reference with leading `../` and `./` starts from, and the rest of the reference.
    fn climbed<'a>(&'a self, reference: &'a str) -> (&'a str, &'a str) {
        let (mut directory, mut path) = (self.directory.as_str(), reference);
        loop {
            if let Some(rest) = path.strip_prefix("../") {
                path = rest;
                let parent =
                    directory.as_bytes()[self.origin..directory.len() - 1].iter().rposition(|byte| *byte == b'/');
                // Nothing is above the root.
                directory = parent.map_or(directory, |slash| &directory[..=self.origin + slash]);
            } else if let Some(rest) = path.strip_prefix("./") {
                path = rest;
            } else {
                return (directory, path);
            }
        }
    }
}

/// Whether an absolute URL literally begins with this origin, so that only its path is left to look at.
fn starts_origin(reference: &str, origin: &str) -> bool {
    reference.as_bytes().get(origin.len()) == Some(&b'/') && reference.as_bytes().starts_with(origin.as_bytes())
}

/// What a byte is in a path or a query, as bits. 0 is a byte that the URL standard leaves as it is in both.
const SLASH: u8 = 1;
const PERCENT: u8 = 2;
/// It opens the query.
const QUESTION: u8 = 4;
/// Left as it is in a query; in a path it could end a scheme.
const COLON: u8 = 8;
/// Escaped somewhere, or not of this grammar.
const OTHER: u8 = 16;

const KINDS: [u8; 256] = {
    let mut kinds = [OTHER; 256];
    let mut byte = 0_u8;
    while byte < 128 {
        if byte.is_ascii_alphanumeric() {
            kinds[byte as usize] = 0;
        }
        byte += 1;
    }
    let plain = b"-._~+,=&;@!$*()";
    let mut index = 0;
    while index < plain.len() {
        kinds[plain[index] as usize] = 0;
        index += 1;
    }
    kinds[b'/' as usize] = SLASH;
    kinds[b'%' as usize] = PERCENT;
    kinds[b'?' as usize] = QUESTION;
    kinds[b':' as usize] = COLON;
    kinds
};

fn kinds_of(text: &[u8]) -> u8 {
    text.iter().fold(0, |kinds, &byte| kinds | KINDS[usize::from(byte)])
}

/// Whether a path, perhaps with a query, is its own serialisation: plain bytes, no dot segment.
fn is_plain_path(path: &[u8]) -> bool {
    let kinds = kinds_of(path);
    if kinds & !SLASH == 0 {
        return !has_dot_segment(path);
    }
    if kinds & OTHER != 0 {
        return false;
    }
    let query = memchr::memchr(b'?', path).unwrap_or(path.len());
    let (path, query) = path.split_at(query);
    // A reference that is a query alone keeps the file name of its base.
    kinds_of(path) & COLON == 0
        && (query.is_empty() || !path.is_empty())
        && !has_dot_segment(path)
        && !has_escaped_dot(path)
}

fn has_dot_segment(path: &[u8]) -> bool {
    // Names that begin with a dot are few.
    let is_pair = |[a, b]: &[u8; 2]| u8::from(*a == b'/') & u8::from(*b == b'.');
    let any = path.array_windows().fold(0, |found, pair| found | is_pair(pair)) != 0;
    begins_dotted(path) || (any && (0..path.len()).any(|at| path[at] == b'/' && begins_dotted(&path[at + 1..])))
}

/// `%2e` is a dot in a dot segment.
fn has_escaped_dot(path: &[u8]) -> bool {
    path.array_windows().any(|escape| matches!(escape, b"%2e" | b"%2E"))
}

/// Whether the segment that a path begins with is a dot segment.
fn begins_dotted(path: &[u8]) -> bool {
    match path {
        [b'.', rest @ ..] => {
            let behind = rest.strip_prefix(b".").unwrap_or(rest);
            matches!(behind.first(), None | Some(b'/'))
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn resolver(base: &str) -> Resolver {
        Resolver::new(&Url::parse(base).unwrap(), None, UTF_8)
    }

    fn joined(base: &str, reference: &str) -> Option<String> {
        url::join(&Url::parse(base).unwrap(), reference).ok().map(|url| url::canonical(&url))
    }

    const BASES: [&str; 8] = [
        "http://h.example/",
        "https://h.example:8080/a/b.html",
        "http://user:pass@h.example/a/b/?q=/x/y",
        "http://h.example/a/b?x",
        "http://[::1]/a//b//",
        "https://h.example/%7Eu/a;v=1/x",
        "http://h.example?q=1/2",
        "http://h.example/a#b/c",
    ];

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(4000))]

        #[test]
        fn the_short_way_agrees_with_join(base in 0..BASES.len(), reference in "(https?://h\\.example(:8080)?)?[-a-c._~/?%2eE:+,=&;@!$*()'\"<>|\\\\ {}^`\\[\\]h]{0,12}") {
            let mut resolver = resolver(BASES[base]);
            prop_assert_eq!(resolver.canonical(&reference), joined(BASES[base], &reference));
            // Again, with an origin remembered from elsewhere.
            let _ = resolver.canonical("http://h.example/x y");
            let _ = resolver.canonical("https://h.example/");
            prop_assert_eq!(resolver.canonical(&reference), joined(BASES[base], &reference));
        }
    }

    #[test]
    fn common_references_take_the_short_way() {
        let resolver = resolver("https://h.example/docs/x.html?y");
        for (reference, expected) in [
            ("a.html", "https://h.example/docs/a.html"),
            ("a/b/c_d-e~f", "https://h.example/docs/a/b/c_d-e~f"),
            ("/a?b=c&d=%20", "https://h.example/a?b=c&d=%20"),
            ("https://h.example/a//b", "https://h.example/a//b"),
            ("http.html", "https://h.example/docs/http.html"),
            ("../a", "https://h.example/a"),
            ("./../.././a/", "https://h.example/a/"),
        ] {
            assert_eq!(resolver.concatenated(reference).as_deref(), Some(expected));
        }
        for long_way in [
            "",
            "..",
            "../a/..",
            "a/./b",
            "a/..",
            "%2E/a",
            "//x/y",
            "?q",
            "a b",
            "a:b",
            "#x",
            "é",
            "HTTPS://h.example/a",
        ] {
            assert_eq!(resolver.concatenated(long_way), None, "{long_way}");
        }
    }

    #[test]
    fn a_page_that_came_from_no_web_server_has_absolute_links_only() {
        for page in ["file:///a/b.html", "data:text/html,x", "about:blank"] {
            let mut resolver = resolver(page);
            for reference in ["c", "../c", "./", "/c", ""] {
                assert_eq!(resolver.canonical(reference), None, "{reference} on {page}");
            }
            assert_eq!(resolver.canonical("http://h/c").as_deref(), Some("http://h/c"));
        }
    }

    #[test]
    fn every_byte_called_plain_survives_join() {
        for byte in 0..128_u8 {
            let character = char::from(byte);
            for reference in [format!("/x{character}y"), format!("/x?x{character}y")] {
                let mut resolver = resolver(BASES[0]);
                if let Some(short) = resolver.concatenated(&reference) {
                    assert_eq!(Some(short), joined(BASES[0], &reference));
                }
                assert_eq!(resolver.canonical(&reference), joined(BASES[0], &reference));
            }
        }
    }

    #[test]
    fn a_query_is_encoded_as_its_page_and_a_path_never() {
        let page = Url::parse("http://h.example/a").unwrap();
        let mut latin = Resolver::new(&page, None, encoding_rs::WINDOWS_1252);
        assert_eq!(latin.canonical("é?é=1").as_deref(), Some("http://h.example/%C3%A9?%E9=1"));
        let mut utf8 = Resolver::new(&page, None, UTF_8);
        assert_eq!(utf8.canonical("é?é=1").as_deref(), Some("http://h.example/%C3%A9?%C3%A9=1"));
        assert_eq!(latin.canonical("ftp://x/?é"), None);
    }

    #[test]
    fn what_gets_too_long_leads_nowhere_on_either_way() {
        let mut resolver = resolver("http://h.example/a/");
        let just = "b".repeat(url::MAX_URL - "http://h.example/a/".len());
        assert!(resolver.concatenated(&just).is_some());
        for reference in [format!("{just}b"), format!("{just} "), "\u{20ac}".repeat(8_000)] {
            assert_eq!(resolver.canonical(&reference), joined("http://h.example/a/", &reference));
        }
        assert_eq!(resolver.canonical(&format!("{just}b")), None);
    }

    #[test]
    fn a_base_that_is_no_web_address_is_passed_over() {
        let page = Url::parse("http://h.example/a/b").unwrap();
        for base in ["data:text/html,x", "javascript:1", "mailto:a@b", "http://"] {
            let mut resolver = Resolver::new(&page, Some(base), UTF_8);
            assert_eq!(resolver.canonical("c").as_deref(), Some("http://h.example/a/c"), "{base}");
        }
        let mut resolver = Resolver::new(&page, Some("//other.example/x/"), UTF_8);
        assert_eq!(resolver.canonical("c").as_deref(), Some("http://other.example/x/c"));
    }
}
