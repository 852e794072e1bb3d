//! Targets of fuzzing for canonical URLs.

use super::url::{Url, canonical, host_key, host_key_of, join, origin_of, parse};
use crate::fuzzing::target::Target;

/// A URL and a reference, on a line each.
pub(crate) const URL: Target = Target { run: url, words: WORDS, seeds, runs: 60_000 };

const WORDS: &[&[u8]] = &[
    b"http://",
    b"https://",
    b"HTTP:",
    b"//",
    b"/",
    b"\\",
    b"?",
    b"#",
    b"@",
    b":",
    b":80",
    b":443",
    b":0",
    b":65536",
    b"[::1]",
    b"[::ffff:127.0.0.1]",
    b"127.1",
    b"0x7f.1",
    b"0177.0.0.1",
    b"2130706433",
    b"xn--",
    b"xn--bcher-kva",
    b"..",
    b"%2e",
    b"%2E%2e",
    b"%",
    b"%00",
    b"%zz",
    b"\t",
    b"\n",
    b"\r",
    b" ",
    b"\xc3\xbc",
    b"\xe3\x80\x82",
    b"\xef\xbb\xbf",
    b"\xe2\x80\x8b",
    b"localhost.",
    b"user:pass@",
    b"javascript:",
    b"data:,",
    b"file:///",
    b"ftp://",
];

fn seeds() -> Vec<Vec<u8>> {
    [
        "https://user:pass@Example.org:8443/a/../b?q=1&&#frag\n../c?d#e",
        "http://[2001:DB8::0:1]:80\\x y\n//other.example:443/%7e%41",
        "http://b\u{fc}cher.example./\u{e4}?\u{f6}\n?x",
        "https:example.org\nhttp:c",
        "http://0x7f.1/\nhttp://1.2.3.4.5/",
    ]
    .map(|seed| seed.as_bytes().to_vec())
    .to_vec()
}

fn url(input: &[u8]) {
    let text = String::from_utf8_lossy(input);
    let (base, reference) = text.split_once('\n').unwrap_or((&text, ""));
    let plain = Url::parse("http://a.example/b/c?d").expect("a URL");
    let read = parse(base);
    let joined = join(read.as_ref().unwrap_or(&plain), reference);
    for url in [&read, &joined].into_iter().flatten() {
        is_canonical(url);
    }
}

/// The canonical form is its own, and says the same of host and origin as the URL does.
fn is_canonical(url: &Url) {
    let once = canonical(url);
    let again = parse(&once).unwrap_or_else(|error| panic!("{once}: {error}"));
    assert_eq!(canonical(&again), once, "of {url}");
    assert_eq!(host_key_of(&once), &*host_key(url), "{once}");
    assert_eq!(host_key(&again), host_key(url), "{once}");
    assert_eq!(origin_of(&once), url.origin().ascii_serialization(), "{once}");
    let rest = &once[origin_of(&once).len()..];
    assert!(rest.starts_with('/') && !rest.contains('#'), "{once}");
    assert!(once.bytes().all(|byte| byte.is_ascii_graphic()), "{once:?}");
    assert!(!origin_of(&once).contains('@'), "{once}");
    assert!(!host_key_of(&once).bytes().any(|byte| byte.is_ascii_uppercase()), "{once}");
}
