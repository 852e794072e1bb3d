//! The URLs of jobs, read again for their requests.
//!
//! To read the host is two thirds of what it takes to read a URL, and a run asks the same hosts over and over: of an origin
//! that was read before only the path is. Decides nothing; what it gives is what [`url::parse`] gives, which a property test
//! holds it to. Called by the worker.

use std::sync::{Mutex, PoisonError};

use foldhash::HashMap;

use crate::model::url::{self, Url, UrlError, origin_of};

/// Origins that are kept; each takes some 200 bytes. When there are more all are forgotten, and those in use come back.
const MOST: usize = 1024;

/// Origins read before.
#[derive(Debug, Default)]
pub struct Origins(Mutex<HashMap<Box<str>, Url>>);

impl Origins {
    /// Reads a canonical URL.
    ///
    /// # Errors
    /// As [`url::parse`].
    pub fn parse(&self, canonical: &str) -> Result<Url, UrlError> {
        let origin = origin_of(canonical);
        let path = &canonical[origin.len()..];
        if !is_path(path) {
            return url::parse(canonical);
        }
        // Whoever panicked with it left it whole.
        let mut bases = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(base) = bases.get(origin) {
            // `join` caps what it is given, and this is less than the whole.
            return if canonical.len() > url::MAX_URL { Err(UrlError::TooLong) } else { url::join(base, path) };
        }
        let url = url::parse(canonical)?;
        // Of what is not canonical the beginning may mean something else in another place.
        if url.as_str() == canonical {
            if bases.len() >= MOST {
                bases.clear();
            }
            bases.insert(origin.into(), url.clone());
        }
        Ok(url)
    }
}

/// Whether a reference is a path to any base of the same origin: one that starts with two slashes starts with a host, and
/// what the URL standard drops may stand between them.
fn is_path(reference: &str) -> bool {
    let mut bytes = reference.bytes();
    bytes.next() == Some(b'/')
        && bytes.next().is_none_or(|byte| byte.is_ascii_graphic() && !matches!(byte, b'/' | b'\\'))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const PIECES: [&str; 24] = [
        "/",
        "//",
        "a",
        "..",
        ".",
        "%2e",
        "?",
        "#",
        "\\",
        ":",
        "@",
        "\t",
        " ",
        "é",
        "b=1",
        ";",
        "http:",
        ":81",
        "%",
        "'",
        "a.example",
        "[",
        "\u{0}",
        "\n",
    ];

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(20_000))]
        #[test]
        fn a_url_is_what_the_parser_reads(
            texts in prop::collection::vec((
                prop::sample::select(&["http://a.example", "https://a.example", "http://a.example:81", "http://1.2.3.4/x"][..]),
                prop::collection::vec(prop::sample::select(&PIECES[..]), 0..6),
            ), 1..4),
        ) {
            let origins = Origins::default();
            for (start, pieces) in texts {
                let text = [&[start], &pieces[..]].concat().concat();
                // With all its parts, which the equality of URLs leaves out.
                prop_assert_eq!(format!("{:?}", origins.parse(&text)), format!("{:?}", url::parse(&text)), "{:?}", text);
            }
        }
    }

    #[test]
    fn many_origins_are_forgotten_and_long_urls_refused() {
        let origins = Origins::default();
        for host in 0..=MOST {
            for path in ["/", "/b?c"] {
                let text = format!("http://h{host}.example{path}");
                assert_eq!(origins.parse(&text).map(String::from), Ok(text));
            }
        }
        assert_eq!(origins.0.lock().unwrap().len(), 1);
        let long = format!("http://h{MOST}.example/{}", "a".repeat(url::MAX_URL));
        assert_eq!(origins.parse(&long), Err(UrlError::TooLong));
    }
}
