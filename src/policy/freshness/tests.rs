use http::header::USER_AGENT;

use super::*;

/// When the answers of these tests were received.
const T: u64 = 1_700_000_000;

/// Name and value.
type Line<'a> = (&'a str, &'a str);

fn headers(lines: &[Line]) -> HeaderMap {
    let mut map = HeaderMap::new();
    for (name, value) in lines {
        map.append(HeaderName::from_bytes(name.as_bytes()).unwrap(), HeaderValue::from_str(value).unwrap());
    }
    map
}

fn date_at(seconds: u64) -> String {
    httpdate::fmt_http_date(std::time::UNIX_EPOCH + std::time::Duration::from_secs(seconds))
}

/// Of an answer with these headers, so many seconds later, for a request with those.
fn verdict(response: &[(&str, &str)], later: u64, request: &[(&str, &str)]) -> Reuse {
    let response = headers(response);
    reuse(Stored { headers: &response, requested: T, received: T }, &headers(request), T + later)
}

const STALE: Reuse = Reuse::Ask { when_cut_off: true, stale: true };
const NEVER: Reuse = Reuse::Ask { when_cut_off: false, stale: true };

#[test]
fn freshness_is_what_the_answer_says() {
    let (date, hour, past) = (date_at(T), date_at(T + 3600), date_at(T - 1));
    let cases: &[(&[Line], u64, Reuse)] = &[
        (&[], 0, STALE),
        (&[("last-modified", &past)], 0, STALE),
        (&[("cache-control", "max-age=10")], 9, Reuse::Fresh),
        (&[("cache-control", "max-age=10")], 10, STALE),
        (&[("cache-control", "MAX-AGE=\"10\"")], 9, Reuse::Fresh),
        (&[("cache-control", "max-age=0")], 0, STALE),
        (&[("cache-control", "max-age=ten")], 0, STALE),
        (&[("cache-control", "max-age=-1")], 0, STALE),
        (&[("cache-control", "max-age=99999999999999999999")], 1 << 30, Reuse::Fresh),
        (&[("cache-control", "max-age=10, max-age=100")], 50, STALE),
        (&[("cache-control", "foo=\"a, max-age=100\", max-age=5")], 50, STALE),
        (&[("cache-control", "s-maxage=100")], 1, STALE),
        (&[("cache-control", "max-age=100, s-maxage=0")], 50, Reuse::Fresh),
        (&[("cache-control", "max-age=0"), ("expires", &hour)], 1, STALE),
        (&[("date", &date), ("expires", &hour)], 3599, Reuse::Fresh),
        (&[("date", &date), ("expires", &hour)], 3600, STALE),
        (&[("expires", &hour)], 3599, Reuse::Fresh),
        (&[("expires", "0")], 0, STALE),
        (&[("date", &hour), ("expires", &hour)], 0, STALE),
        (&[("expires", &hour), ("expires", &hour)], 1, STALE),
        (&[("age", "95"), ("cache-control", "max-age=100")], 4, Reuse::Fresh),
        (&[("age", "95"), ("cache-control", "max-age=100")], 5, STALE),
        (&[("age", "x"), ("cache-control", "max-age=100")], 99, Reuse::Fresh),
        (&[("date", &past), ("cache-control", "max-age=100")], 99, STALE),
        (&[("cache-control", "max-age=100, no-cache")], 1, Reuse::Ask { when_cut_off: false, stale: false }),
        (
            &[("cache-control", "max-age=100, no-cache=\"set-cookie\"")],
            1,
            Reuse::Ask { when_cut_off: false, stale: false },
        ),
        (&[("cache-control", "max-age=100, must-revalidate")], 1, Reuse::Fresh),
        (&[("cache-control", "max-age=100, must-revalidate")], 100, NEVER),
        (&[("cache-control", "max-age=100, proxy-revalidate")], 100, STALE),
        (&[("cache-control", "private, max-age=100, immutable")], 99, Reuse::Fresh),
        (&[("pragma", "no-cache"), ("cache-control", "max-age=100")], 99, Reuse::Fresh),
    ];
    for (response, later, expected) in cases {
        assert_eq!(verdict(response, *later, &[]), *expected, "{response:?} after {later} s");
    }
}

#[test]
fn a_request_may_want_more_or_take_less() {
    let fresh: &[(&str, &str)] = &[("cache-control", "max-age=100")];
    let not_yet = Reuse::Ask { when_cut_off: true, stale: false };
    let cases: &[(&str, &str, u64, Reuse)] = &[
        ("cache-control", "no-cache", 1, not_yet),
        ("pragma", "no-cache", 1, not_yet),
        ("cache-control", "max-age=5", 5, Reuse::Fresh),
        ("cache-control", "max-age=5", 6, not_yet),
        ("cache-control", "max-age=0", 0, not_yet),
        ("cache-control", "min-fresh=50", 50, Reuse::Fresh),
        ("cache-control", "min-fresh=50", 51, not_yet),
        ("cache-control", "max-stale", 5000, Reuse::StaleWanted),
        ("cache-control", "max-stale=50", 150, Reuse::StaleWanted),
        ("cache-control", "max-stale=50", 151, STALE),
    ];
    for (name, value, later, expected) in cases {
        assert_eq!(verdict(fresh, *later, &[(*name, *value)]), *expected, "{value} after {later} s");
    }
    let strict: &[(&str, &str)] = &[("cache-control", "max-age=100, must-revalidate")];
    assert_eq!(verdict(strict, 101, &[("cache-control", "max-stale")]), NEVER);
}

#[test]
fn the_way_counts_to_the_age() {
    let response = headers(&[("age", "3"), ("cache-control", "max-age=10")]);
    let stored = Stored { headers: &response, requested: T - 4, received: T };
    assert_eq!(age(stored, T), 7);
    assert_eq!(age(stored, T - 100), 7, "a clock that was set back makes nothing younger");
}

#[test]
fn what_may_be_stored() {
    let cases: &[(u16, &[Line], bool)] = &[
        (200, &[], true),
        (200, &[("cache-control", "no-store")], false),
        (200, &[("cache-control", "No-Store, max-age=10")], false),
        (200, &[("cache-control", "no-store, must-understand")], true),
        (299, &[("cache-control", "no-store, must-understand, max-age=1")], false),
        (200, &[("cache-control", "private")], true),
        (200, &[("cache-control", "private=\"x\", no-cache")], true),
        (200, &[("vary", "*")], false),
        (200, &[("vary", "accept, *")], false),
        (200, &[("vary", "accept")], true),
        (206, &[("cache-control", "max-age=10")], false),
        (304, &[("cache-control", "max-age=10")], false),
        (301, &[], true),
        (308, &[], true),
        (302, &[], false),
        (302, &[("cache-control", "max-age=10")], true),
        (307, &[("expires", "0")], true),
        (404, &[], true),
        (410, &[], true),
        (403, &[], false),
        (403, &[("cache-control", "max-age=10")], true),
        (500, &[], false),
        (503, &[("cache-control", "public")], true),
        (100, &[("cache-control", "public")], false),
    ];
    for (status, response, expected) in cases {
        assert_eq!(may_store(*status, &headers(response)), *expected, "{status} {response:?}");
    }
}

#[test]
fn requests_that_a_cache_has_nothing_to_do_with() {
    assert!(concerns(&headers(&[("accept", "*/*"), ("cache-control", "no-cache")])));
    for name in ["range", "if-range", "if-none-match", "if-modified-since", "if-unmodified-since", "if-match"] {
        assert!(!concerns(&headers(&[(name, "x")])), "{name}");
    }
    for name in ["authorization", "cookie", "x-api-key"] {
        assert!(concerns(&headers(&[(name, "x")])), "{name}: a private cache may");
    }
    assert!(!concerns(&headers(&[("cache-control", "no-store")])));
    for (method, expected) in [("GET", false), ("HEAD", false), ("OPTIONS", false), ("POST", true), ("PURGE", true)] {
        assert_eq!(is_unsafe(method), expected, "{method}");
    }
}

#[test]
fn what_is_for_everybody_says_so() {
    for (value, expected) in [
        ("public", true),
        ("max-age=5, Public", true),
        ("max-age=5", false),
        ("s-maxage=5, must-revalidate", false),
        ("public, private", false),
        ("public, private=\"x-user\"", false),
        ("x=\"public\"", false),
    ] {
        assert_eq!(is_for_all(&headers(&[("cache-control", value)])), expected, "{value}");
    }
    assert!(!is_for_all(&headers(&[])));
    assert!(is_only_if_cached(&headers(&[("cache-control", "max-stale, only-if-cached")])));
    assert!(!is_only_if_cached(&headers(&[("cache-control", "no-cache")])));
}

#[test]
fn what_an_answer_varies_by() {
    assert_eq!(nominated(&headers(&[])), Some(vec![]));
    let lines = headers(&[("vary", "User-Agent , accept"), ("vary", "x-a")]);
    assert_eq!(nominated(&lines).unwrap().len(), 3);
    let request = headers(&[("user-agent", "a , b"), ("user-agent", "c"), ("x-a", "")]);
    assert_eq!(selecting(&request, &USER_AGENT).unwrap(), b"a,b,c");
    assert_eq!(selecting(&request, &HeaderName::from_static("x-a")), Some(vec![]));
    assert_eq!(selecting(&request, &HeaderName::from_static("accept")), None);
}

#[test]
fn a_304_replaces_what_it_says_and_nothing_of_the_body() {
    let mut stored = headers(&[
        ("etag", "\"1\""),
        ("content-type", "text/html"),
        ("content-length", "5"),
        ("x-old", "a"),
        ("x-old", "b"),
        ("age", "7"),
        ("cache-control", "max-age=1"),
    ]);
    let new = headers(&[
        ("x-old", "c"),
        ("cache-control", "max-age=9"),
        ("content-type", "text/plain"),
        ("content-length", "0"),
        ("connection", "x-hop"),
        ("x-hop", "1"),
        ("set-cookie", "s=1"),
    ]);
    freshen(&mut stored, &new);
    let expected = headers(&[
        ("etag", "\"1\""),
        ("content-type", "text/html"),
        ("content-length", "5"),
        ("x-old", "c"),
        ("cache-control", "max-age=9"),
    ]);
    assert_eq!(stored, expected);
}

#[test]
fn a_304_of_another_version_confirms_nothing() {
    let confirmed = |stored: &[(&str, &str)], new: &[(&str, &str)]| confirms(&headers(stored), &headers(new));
    assert!(confirmed(&[("etag", "\"1\"")], &[("etag", "\"1\"")]));
    assert!(confirmed(&[("etag", "W/\"1\"")], &[("etag", "\"1\"")]));
    assert!(confirmed(&[("etag", "\"1\"")], &[]));
    assert!(confirmed(&[], &[]));
    assert!(!confirmed(&[("etag", "\"1\"")], &[("etag", "\"2\"")]));
    assert!(!confirmed(&[], &[("etag", "\"2\"")]));
}

#[test]
fn cookies_and_hops_are_not_stored() {
    let response = headers(&[
        ("set-cookie", "s=secret"),
        ("connection", "close, X-Mine"),
        ("x-mine", "1"),
        ("keep-alive", "timeout=5"),
        ("proxy-authenticate", "Basic"),
        ("etag", "\"1\""),
    ]);
    assert_eq!(storable(&response), headers(&[("etag", "\"1\"")]));
}

proptest::proptest! {
    #[test]
    fn no_header_breaks_it(
        control in "[ -~\\x80-\\xff]{0,40}",
        other in "[ -~]{0,40}",
        requested: u64,
        received: u64,
        now: u64,
    ) {
        let value = |text: &str| HeaderValue::from_str(text).ok();
        let mut response = HeaderMap::new();
        for (name, text) in [(CACHE_CONTROL, &control), (AGE, &other), (EXPIRES, &other), (DATE, &control), (VARY, &other)] {
            if let Some(value) = value(text) {
                response.append(name, value);
            }
        }
        let stored = Stored { headers: &response, requested, received };
        let verdict = reuse(stored, &response, now);
        if verdict == Reuse::Fresh {
            proptest::prop_assert!(age(stored, now) < LONGEST);
        }
        let _ = (may_store(200, &response), nominated(&response), storable(&response));
    }
}
