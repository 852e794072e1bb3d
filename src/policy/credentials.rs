//! Which headers are credentials: they go only to hosts the user typed, and never across an origin in a redirect. And what
//! a header looks like where its secrets must not be seen: in records, which are kept and passed on.

use std::borrow::Cow;

use http::HeaderMap;

/// What stands in the place of a secret.
const MARK: &str = "***";

/// Whether a header of this name carries a credential: Authorization, Cookie, Proxy-Authorization, or a name that ends
/// in `-key` or `-token` (any case).
#[must_use]
pub fn is_credential(name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    matches!(name.as_str(), "authorization" | "cookie" | "proxy-authorization")
        || name.ends_with("-key")
        || name.ends_with("-token")
}

/// The credentials among the headers of a request, in an order that does not depend on theirs.
#[must_use]
pub fn credentials_of(request: &HeaderMap) -> Vec<(&str, &[u8])> {
    let mut found: Vec<(&str, &[u8])> = request
        .iter()
        .filter(|(name, _)| is_credential(name.as_str()))
        .map(|(name, value)| (name.as_str(), value.as_bytes()))
        .collect();
    // Lines of one name stay as they were sent.
    found.sort_by_key(|(name, _)| *name);
    found
}

/// A header as records show it: without credentials, values of cookies, and user info of URLs. `name` in lower case.
#[must_use]
pub fn shown<'a>(name: &str, value: &'a str) -> Cow<'a, str> {
    if matches!(name, "set-cookie" | "set-cookie2") {
        let (pair, attributes) = value.split_at(value.find(';').unwrap_or(value.len()));
        let end = pair.find('=').map_or(0, |at| at + 1);
        return Cow::Owned([&pair[..end], MARK, attributes].concat());
    }
    if is_credential(name) {
        return Cow::Borrowed(MARK);
    }
    without_user_info(value)
}

/// A text without what stands between `//` and `@` in the authority of each URL in it.
#[must_use]
pub fn without_user_info(text: &str) -> Cow<'_, str> {
    const ENDS: [char; 8] = ['/', '\\', '?', '#', '"', '\'', '<', '>'];
    let mut out = String::new();
    let mut rest = text;
    while let Some(at) = rest.find("//") {
        let start = at + rest[at..].bytes().take_while(|byte| *byte == b'/').count();
        let authority = &rest[start..];
        let end = authority.find(|c: char| ENDS.contains(&c) || c.is_whitespace()).unwrap_or(authority.len());
        out.push_str(&rest[..start]);
        let host = authority[..end].rfind('@').map_or(0, |at| at + 1);
        out.push_str(&authority[host..end]);
        rest = &authority[end..];
    }
    if out.len() + rest.len() == text.len() {
        return Cow::Borrowed(text);
    }
    out.push_str(rest);
    Cow::Owned(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_of_headers_are_not_shown() {
        for (name, value, expected) in [
            ("set-cookie", "sid=s3cret; Path=/; HttpOnly", "sid=***; Path=/; HttpOnly"),
            ("set-cookie", "s3cret", "***"),
            ("x-auth-token", "s3cret", "***"),
            ("location", "http://u:s3cret@h.example/a?b@c", "http://h.example/a?b@c"),
            ("location", "//u:s3@cret@h/", "//h/"),
            ("location", "http:///u:s3cret@h/", "http:///h/"),
            ("link", "<http://u:s3cret@h/>; rel=x, <https://v:s3cret@i>", "<http://h/>; rel=x, <https://i>"),
            ("refresh", "5; url='http://u:s3cret@h'", "5; url='http://h'"),
            ("x-mail", "me@example.org // http://h/~a@b", "me@example.org // http://h/~a@b"),
            ("content-type", "text/html", "text/html"),
        ] {
            assert_eq!(shown(name, value), expected, "{name}: {value}");
        }
    }

    #[test]
    fn credentials_of_a_request_have_one_order() {
        let map = |lines: &[(&'static str, &'static str)]| {
            let mut map = HeaderMap::new();
            for (name, value) in lines {
                map.append(*name, http::HeaderValue::from_static(value));
            }
            map
        };
        let one = map(&[("x-api-key", "k"), ("accept", "*/*"), ("cookie", "b=1"), ("cookie", "a=2")]);
        let other = map(&[("cookie", "b=1"), ("cookie", "a=2"), ("accept", "text/html"), ("x-api-key", "k")]);
        assert_eq!(credentials_of(&one), credentials_of(&other));
        assert_eq!(credentials_of(&one), [("cookie", &b"b=1"[..]), ("cookie", b"a=2"), ("x-api-key", b"k")]);
        assert!(credentials_of(&map(&[("accept", "*/*")])).is_empty());
    }

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
