//! Which media types are meant: a list of types, whole families (`image/*`), or all.
//!
//! Pure. Called by the engine for the bodies that are kept (`--media-type`).

/// A list of media types.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct MediaTypes {
    /// In lower case; a family ends in `/`. Empty: all.
    wanted: Vec<Box<str>>,
}

impl MediaTypes {
    /// Of `text/html`, `image/*` and so on; `*/*` is all.
    ///
    /// # Errors
    /// The first entry that is none.
    pub fn parse<'t>(entries: impl IntoIterator<Item = &'t str>) -> Result<Self, &'t str> {
        let mut wanted = Vec::new();
        let mut all = false;
        for entry in entries {
            let lower = entry.to_ascii_lowercase();
            let is_token = |part: &str| {
                !part.is_empty()
                    && part.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"!#$&-^_.+".contains(&byte))
            };
            match lower.split_once('/') {
                Some(("*", "*")) => all = true,
                Some((family, "*")) if is_token(family) => wanted.push(format!("{family}/").into()),
                Some((family, kind)) if is_token(family) && is_token(kind) => wanted.push(lower.into()),
                _ => return Err(entry),
            }
        }
        if all {
            wanted.clear();
        }
        Ok(Self { wanted })
    }

    /// Whether a type (type/subtype in lower case; empty if the server told none) is one of them.
    #[must_use]
    pub fn contains(&self, media_type: &str) -> bool {
        self.wanted.is_empty()
            || self.wanted.iter().any(|wanted| {
                if wanted.ends_with('/') { media_type.starts_with(&**wanted) } else { **wanted == *media_type }
            })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn types_and_families_are_told_apart() {
        let types = MediaTypes::parse(["Text/HTML", "image/*"]).unwrap();
        for (media_type, is_wanted) in [
            ("text/html", true),
            ("text/htm", false),
            ("text/plain", false),
            ("image/png", true),
            ("imagery/png", false),
            ("", false),
        ] {
            assert_eq!(types.contains(media_type), is_wanted, "{media_type}");
        }
        assert!(MediaTypes::default().contains("") && MediaTypes::parse(["a/b", "*/*"]).unwrap().contains("c/d"));
        for wrong in ["", "text", "text/", "/html", "*/html", "text/html; charset=x", "te xt/html", "a/b/c"] {
            assert_eq!(MediaTypes::parse(["a/b", wrong]), Err(wrong));
        }
    }
}
