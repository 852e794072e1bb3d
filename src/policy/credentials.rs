//! Which headers are credentials: they go only to hosts the user typed, and never across an origin in a redirect.

/// Whether a header of this name carries a credential: Authorization, Cookie, Proxy-Authorization, or a name that ends
/// in `-key` or `-token` (any case).
#[must_use]
pub fn is_credential(name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    matches!(name.as_str(), "authorization" | "cookie" | "proxy-authorization")
        || name.ends_with("-key")
        || name.ends_with("-token")
}

#[cfg(test)]
mod tests {
    use super::is_credential;

    #[test]
    fn names() {
        for name in ["Authorization", "cookie", "Proxy-Authorization", "X-Api-Key", "PRIVATE-TOKEN"] {
            assert!(is_credential(name), "{name}");
        }
        for name in ["Accept", "X-Request-Id", "Keyboard", "Tokenish", "Set-Cookies"] {
            assert!(!is_credential(name), "{name}");
        }
    }
}
