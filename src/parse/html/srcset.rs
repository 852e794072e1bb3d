//! `srcset` and `imagesrcset`: the URLs of image candidates.
//!
//! Source: WHATWG HTML 4.8.4.3.10 ("parse a srcset attribute"). Descriptors are passed over unread: a candidate with a
//! wrong one is a URL too.

/// The URLs of a `srcset`, in order.
pub(super) fn each_candidate<'t>(srcset: &'t str, mut found: impl FnMut(&'t str)) {
    let mut rest = srcset;
    loop {
        rest = rest.trim_start_matches(|c: char| c.is_ascii_whitespace() || c == ',');
        if rest.is_empty() {
            return;
        }
        let length = rest.find(|c: char| c.is_ascii_whitespace()).unwrap_or(rest.len());
        let (url, behind) = rest.split_at(length);
        let bare = url.trim_end_matches(',');
        found(bare);
        // Commas right behind the URL end its candidate.
        rest = if bare.len() < url.len() { behind } else { behind_descriptors(behind) };
    }
}

/// Behind the comma that ends a candidate; one in brackets does not.
fn behind_descriptors(text: &str) -> &str {
    let mut in_brackets = false;
    for (at, byte) in text.bytes().enumerate() {
        match byte {
            b'(' => in_brackets = true,
            b')' => in_brackets = false,
            b',' if !in_brackets => return &text[at + 1..],
            _ => {}
        }
    }
    ""
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn candidates_are_split_as_browsers_split_them() {
        for (srcset, expected) in [
            ("a.png", &["a.png"][..]),
            ("a.png 1x, b.png 2x", &["a.png", "b.png"]),
            (" , a.png , b.png,, ", &["a.png", "b.png"]),
            ("a.png,b.png 2x", &["a.png,b.png"]),
            ("a,b, c 2x", &["a,b", "c"]),
            ("a 1x,b 2x", &["a", "b"]),
            ("a (1x, no), b", &["a", "b"]),
            ("a (1x, no", &["a"]),
            ("data:image/png;base64,xx 1x, b", &["data:image/png;base64,xx", "b"]),
            ("\na\t100w\r, b 200w 3h", &["a", "b"]),
            ("", &[]),
            (",,", &[]),
        ] {
            let mut found = Vec::new();
            each_candidate(srcset, |url| found.push(url));
            assert_eq!(found, expected, "{srcset:?}");
        }
    }
}
