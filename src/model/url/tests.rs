//! Canonical URLs, host keys and origins.

use proptest::prelude::*;

use super::*;

#[test]
fn canonical_urls() {
    for (text, expected) in [
        ("https://example.org", "https://example.org/"),
        ("HTTPS://EXAMPLE.org/A", "https://example.org/A"),
        // Fragment and user info are left out, and nothing else.
        ("https://example.org/a#b", "https://example.org/a"),
        ("https://example.org/a#", "https://example.org/a"),
        ("https://example.org/a?#b?c#d", "https://example.org/a?"),
        ("https://user:secret@example.org/", "https://example.org/"),
        ("https://user@example.org/#x", "https://example.org/"),
        ("https://:secret@example.org:81/", "https://example.org:81/"),
        ("https://@example.org/", "https://example.org/"),
        ("https://example.org/?b=2&a=1&utm_source=x&&", "https://example.org/?b=2&a=1&utm_source=x&&"),
        ("https://example.org/a//b/", "https://example.org/a//b/"),
        ("https://example.org/index.html", "https://example.org/index.html"),
        ("https://example.org/%7e%41%c3", "https://example.org/%7e%41%c3"),
        // What the WHATWG URL standard normalises.
        ("https://example.org:443/", "https://example.org/"),
        ("http://example.org:80/", "http://example.org/"),
        ("http://example.org:443/", "http://example.org:443/"),
        ("http://example.org:0080/", "http://example.org/"),
        ("https://example.org/a/./b/../c", "https://example.org/a/c"),
        (" https://example.org/a b\t", "https://example.org/a%20b"),
        ("https://example.org\\a", "https://example.org/a"),
        ("https:example.org", "https://example.org/"),
        ("https://bücher.example/ä?ö", "https://xn--bcher-kva.example/%C3%A4?%C3%B6"),
        ("https://BÜCHER.example./", "https://xn--bcher-kva.example./"),
        ("http://0x7f.1/", "http://127.0.0.1/"),
        ("http://[2001:DB8::0:1]:8080/", "http://[2001:db8::1]:8080/"),
        ("http://[::ffff:127.0.0.1]/", "http://[::ffff:7f00:1]/"),
    ] {
        assert_eq!(canonical(&parse(text).unwrap()), expected, "{text}");
    }
}

#[test]
fn host_keys_and_origins() {
    for (text, key, origin) in [
        ("https://Example.org/a", "example.org", "https://example.org"),
        ("https://example.org:443?q", "example.org", "https://example.org"),
        ("http://example.org:443/", "example.org:443", "http://example.org:443"),
        ("https://example.org:80/", "example.org:80", "https://example.org:80"),
        ("http://u:p@example.org:8080/http://x/", "example.org:8080", "http://example.org:8080"),
        ("http://bücher.example", "xn--bcher-kva.example", "http://xn--bcher-kva.example"),
        ("http://127.1:8080/", "127.0.0.1:8080", "http://127.0.0.1:8080"),
        ("http://[2001:DB8::1]/", "[2001:db8::1]", "http://[2001:db8::1]"),
        ("http://[::1]:8080/", "[::1]:8080", "http://[::1]:8080"),
        ("http://[::1]:80/", "[::1]", "http://[::1]"),
    ] {
        let url = parse(text).unwrap();
        assert_eq!(&*host_key(&url), key, "{text}");
        assert_eq!(host_key_of(&canonical(&url)), key, "{text}");
        assert_eq!(origin_of(&canonical(&url)), origin, "{text}");
    }
}

#[test]
fn what_cannot_be_asked() {
    for (text, message) in [
        ("", "not a URL: relative URL without a base"),
        ("example.org", "not a URL: relative URL without a base"),
        ("//example.org/", "not a URL: relative URL without a base"),
        ("ftp://example.org/", "scheme 'ftp' is not http or https"),
        ("mailto:a@example.org", "scheme 'mailto' is not http or https"),
        ("file:///etc/passwd", "scheme 'file' is not http or https"),
        ("http://", "not a URL: empty host"),
        ("http:///", "not a URL: empty host"),
        ("http://example.org:65536/", "not a URL: invalid port number"),
        ("http://exa mple.org/", "not a URL: invalid international domain name"),
        ("http://[::1/", "not a URL: invalid IPv6 address"),
        ("http://256.0.0.1/", "not a URL: invalid IPv4 address"),
    ] {
        assert_eq!(parse(text).unwrap_err().to_string(), message, "{text}");
    }
    let longest = format!("http://a.example/{}", "a".repeat(MAX_URL - 17));
    assert!(parse(&longest).is_ok());
    assert_eq!(parse(&format!("{longest}a")), Err(UrlError::TooLong));
    // Each of these has three bytes, and nine when it is escaped.
    let short = format!("http://a.example/{}", "\u{20ac}".repeat(7_000));
    assert!(parse(&short).is_ok_and(|url| parse(&canonical(&url)).is_ok()));
    assert_eq!(parse(&format!("http://a.example/{}", "\u{20ac}".repeat(8_000))), Err(UrlError::TooLong));
    let base = parse(&format!("{}/", &longest[..MAX_URL - 1])).unwrap();
    assert!(join(&base, "").is_ok());
    assert_eq!(join(&base, "x"), Err(UrlError::TooLong));
}

#[test]
fn references_are_resolved() {
    let base = parse("https://example.org/a/b?q#f").unwrap();
    for (reference, expected) in [
        ("c", "https://example.org/a/c"),
        ("../c", "https://example.org/c"),
        ("../../../c", "https://example.org/c"),
        ("/c", "https://example.org/c"),
        ("//other.example/c", "https://other.example/c"),
        ("?r", "https://example.org/a/b?r"),
        ("#g", "https://example.org/a/b?q"),
        ("", "https://example.org/a/b?q"),
        ("http:c", "http://c/"),
    ] {
        assert_eq!(canonical(&join(&base, reference).unwrap()), expected, "{reference}");
    }
    assert_eq!(join(&base, "javascript:void(0)"), Err(UrlError::Scheme("javascript".into())));
    assert_eq!(join(&base, &"a".repeat(MAX_URL + 1)), Err(UrlError::TooLong));
}

#[test]
fn shown_urls_hold_no_secrets() {
    let url = parse("https://user:secret@example.org/a#b").unwrap();
    assert_eq!(Shown(&url).to_string(), "https://example.org/a");
}

proptest! {
    #[test]
    fn the_canonical_form_is_its_own(
        scheme in "[hH][tT][tT][pP][sS]?",
        user in "([a-z:%@]{0,5}@)?",
        host in "([a-zA-Z0-9äßü%_-]{1,8}(\\.[a-zA-Z0-9ü-]{1,6}){0,2}\\.?|[0-9.x]{1,12}|\\[[0-9a-f:]{2,12}\\])",
        port in "(:[0-9]{0,5})?",
        rest in "([/\\\\?#][a-zA-Z0-9./%:@&='\"<> ~^|{}ü\t\\\\?#-]{0,12}){0,4}",
    ) {
        if let Ok(url) = parse(&format!("{scheme}://{user}{host}{port}{rest}")) {
            let once = canonical(&url);
            let again = parse(&once).unwrap();
            prop_assert_eq!(&canonical(&again), &once);
            prop_assert_eq!(host_key_of(&once), &*host_key(&url));
            prop_assert_eq!(&host_key(&again), &host_key(&url));
            prop_assert_eq!(origin_of(&once), url.origin().ascii_serialization());
            prop_assert!(!once.contains('#'));
            prop_assert!(once[origin_of(&once).len()..].starts_with('/'));
        }
    }

    #[test]
    fn any_text_is_read_or_refused(text in ".{0,60}") {
        let base = parse("http://a.example/b").unwrap();
        for url in [parse(&text), join(&base, &text)].into_iter().flatten() {
            let once = canonical(&url);
            prop_assert_eq!(canonical(&parse(&once).unwrap()), once);
        }
    }
}
