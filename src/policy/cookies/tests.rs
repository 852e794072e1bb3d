use proptest::prelude::*;

use super::*;

const NOW: i64 = 1_800_000_000;

fn url(text: &str) -> Url {
    Url::parse(text).unwrap()
}

fn set(jar: &mut Jar, from: &str, lines: &[&str]) {
    for line in lines {
        jar.take(&url(from), line.as_bytes(), NOW);
    }
}

fn sent(jar: &Jar, to: &str) -> String {
    String::from_utf8(jar.header(&url(to), NOW).unwrap_or_default()).unwrap()
}

/// What a request for `to` carries after `from` has set this.
fn after(from: &str, line: &str, to: &str) -> String {
    let mut jar = Jar::default();
    set(&mut jar, from, &[line]);
    sent(&jar, to)
}

#[test]
fn domains_and_paths() {
    let from = "https://www.example.org/docs/a";
    for (line, to, carried) in [
        ("a=1", "https://www.example.org/docs/b", true),
        ("a=1", "https://www.example.org/docs", true),
        ("a=1", "https://www.example.org/docsx", false),
        ("a=1", "https://www.example.org/", false),
        ("a=1; Path=/", "https://www.example.org/", true),
        ("a=1; Path=relative", "https://www.example.org/docs/x", true),
        ("a=1; Path=/", "https://example.org/", false),
        ("a=1; Path=/", "https://x.www.example.org/", false),
        ("a=1; Path=/; Domain=example.org", "https://example.org/", true),
        ("a=1; Path=/; Domain=.Example.ORG", "https://b.a.example.org:8080/x", true),
        ("a=1; Path=/; Domain=example.org", "https://notexample.org/", false),
        ("a=1; Path=/; Domain=www.example.org", "https://x.www.example.org/", true),
        ("a=1; Path=/; Domain=x.www.example.org", "https://x.www.example.org/", false),
        ("a=1; Path=/; Domain=other.org", "https://other.org/", false),
        ("a=1; Path=/; Domain=org", "https://www.example.org/", false),
        ("a=1; Path=/; Domain=", "https://www.example.org/", true),
        ("a=1; Path=/; Domain=other.org; Domain=example.org", "https://b.example.org/", true),
        ("a=1; Path=/; Domain=example.org; Domain=other.org", "https://www.example.org/", false),
        ("a=1; Path=/; Domain=\u{fc}\u{ff}; Domain=example.org", "https://b.example.org/", true),
        ("a=1; Path=/; Secure", "http://www.example.org/", false),
        ("a=1; Path=/; Secure", "https://www.example.org/", true),
        ("__Host-a=1; Path=/; Secure", "https://www.example.org/", true),
        ("__Host-a=1; Path=/", "https://www.example.org/", false),
        ("__host-a=1; Path=/; Secure; Domain=example.org", "https://www.example.org/", false),
        ("__Secure-a=1; Path=/", "https://www.example.org/", false),
    ] {
        assert_eq!(!after(from, line, to).is_empty(), carried, "{line} for {to}");
    }
}

#[test]
fn public_suffixes_are_nobodys() {
    for (from, domain, to, carried) in [
        ("https://a.co.uk/", "co.uk", "https://b.co.uk/", false),
        ("https://a.github.io/", "github.io", "https://b.github.io/", false),
        ("https://github.io/", "github.io", "https://github.io/", true),
        ("https://github.io/", "github.io", "https://a.github.io/", false),
        ("http://localhost/", "localhost", "http://localhost/", true),
        ("http://a.internal/", "internal", "http://b.internal/", false),
        ("http://127.0.0.1/", "127.0.0.1", "http://127.0.0.1:81/", true),
        ("http://127.0.0.1/", "0.0.1", "http://127.0.0.1/", false),
        ("http://[::1]/", "[::1]", "http://[::1]/", true),
    ] {
        let line = format!("a=1; Domain={domain}");
        assert_eq!(!after(from, &line, to).is_empty(), carried, "{domain} of {from} for {to}");
    }
}

#[test]
fn lines_as_servers_write_them() {
    let from = "https://h.example/";
    for (line, carried) in [
        ("a=1", "a=1"),
        (" a = x=y ; HttpOnly", "a=x=y"),
        ("a=\"q q\"", "a=\"q q\""),
        ("a=", "a="),
        ("=b", ""),
        ("b", ""),
        ("", ""),
        (";;", ""),
        ("a=1;;; secure ;", "a=1"),
        ("a=\u{7}", ""),
        ("a=1\t2", ""),
        ("a=1; Max-Age=60", "a=1"),
        ("a=1; Max-Age=0", ""),
        ("a=1; Max-Age=-5", ""),
        ("a=1; Max-Age=9999999999999999999999", "a=1"),
        ("a=1; Max-Age=soon", "a=1"),
        ("a=1; Expires=Thu, 01 Jan 1970 00:00:00 GMT", ""),
        ("a=1; Expires=Thu, 01 Jan 1970 00:00:00 GMT; Max-Age=5", "a=1"),
        ("a=1; Max-Age=0; Expires=Fri, 31 Dec 2100 23:59:59 GMT", ""),
        ("a=1; Expires=whenever", "a=1"),
    ] {
        assert_eq!(after(from, line, from), carried, "{line:?}");
    }
    let long = |length: usize| format!("a={}", "x".repeat(length));
    assert_eq!(after(from, &long(4095), from).len(), 4097);
    assert_eq!(after(from, &long(4096), from), "");
    let mut jar = Jar::default();
    jar.take(&url(from), b"a=\xff\xfe", NOW);
    assert_eq!(jar.header(&url(from), NOW).as_deref(), Some(&b"a=\xff\xfe"[..]), "byte for byte");
}

#[test]
fn cookies_are_replaced_deleted_and_sorted() {
    let mut jar = Jar::default();
    let from = "https://h.example/x/y";
    set(&mut jar, from, &["a=1; Path=/", "b=2; Path=/", "c=3", "a=4; Path=/"]);
    assert_eq!(sent(&jar, "https://h.example/x/z"), "c=3; a=4; b=2", "longer paths first, then the older");
    set(&mut jar, from, &["b=; Path=/; Max-Age=0"]);
    assert_eq!((sent(&jar, "https://h.example/"), jar.len()), ("a=4".to_owned(), 2));
}

#[test]
fn an_insecure_server_leaves_secure_cookies_alone() {
    let mut jar = Jar::default();
    set(&mut jar, "https://h.example/", &["a=1; Secure"]);
    set(&mut jar, "http://h.example/", &["a=2", "b=3; Secure"]);
    assert_eq!((sent(&jar, "https://h.example/"), sent(&jar, "http://h.example/")), ("a=1".to_owned(), String::new()));
    set(&mut jar, "http://127.0.0.1:8080/", &["l=1; Secure"]);
    assert_eq!(sent(&jar, "http://127.0.0.1:8080/"), "l=1", "nobody listens on loopback");
}

#[test]
fn a_jar_has_a_bottom() {
    let mut jar = Jar::default();
    let lines: Vec<String> = (0..10_000).map(|n| format!("n{n}=x")).collect();
    set(&mut jar, "https://h.example/", &lines.iter().map(String::as_str).collect::<Vec<_>>());
    assert_eq!(jar.len(), 50);
    assert!(sent(&jar, "https://h.example/").ends_with("n9999=x"), "the newest stay");
    for host in 0..100 {
        set(
            &mut jar,
            &format!("https://w{host}.h.example/"),
            &lines[..10].iter().map(String::as_str).collect::<Vec<_>>(),
        );
    }
    assert_eq!(jar.len(), 200, "hosts of one site share a limit");
    for host in 0..200 {
        set(
            &mut jar,
            &format!("https://h{host}.example/"),
            &lines[..50].iter().map(String::as_str).collect::<Vec<_>>(),
        );
    }
    assert_eq!(jar.len(), 3000);
    assert_eq!(jar.sites.values().map(Vec::len).sum::<usize>(), 3000);
    let big: Vec<String> = (0..50).map(|n| format!("n{n}={}", "x".repeat(4000))).collect();
    set(&mut jar, "https://big.example/", &big.iter().map(String::as_str).collect::<Vec<_>>());
    assert!(sent(&jar, "https://big.example/").len() <= 8190);
}

#[test]
fn a_file_comes_back_as_it_was() {
    let mut jar = Jar::default();
    set(
        &mut jar,
        "https://www.example.org/x/",
        &["a=1; HttpOnly", "b=2; Domain=example.org; Path=/; Max-Age=10", "c="],
    );
    set(&mut jar, "http://[::1]/", &["d=4; Secure"]);
    let text = jar.to_file(NOW);
    let lines: Vec<&str> = std::str::from_utf8(&text).unwrap().lines().filter(|line| !line.starts_with("# ")).collect();
    assert_eq!(
        lines,
        [
            "",
            "#HttpOnly_www.example.org\tFALSE\t/x\tFALSE\t0\ta\t1",
            ".example.org\tTRUE\t/\tFALSE\t1800000010\tb\t2",
            "www.example.org\tFALSE\t/x\tFALSE\t0\tc\t",
            "::1\tFALSE\t/\tTRUE\t0\td\t4",
        ]
    );
    let mut again = Jar::default();
    assert_eq!(again.read(&text, NOW), 0);
    assert_eq!(again.to_file(NOW), text);
    assert_eq!(again.len(), 4);
    let mut later = Jar::default();
    later.read(&text, NOW + 10);
    assert_eq!(later.len(), 3, "what has expired is not read");
}

#[test]
fn lines_of_heads_in_a_file() {
    let mut jar = Jar::default();
    let text = "Set-Cookie: a=1; Domain=example.org; Path=/x\r\nset-cookie:b=2; domain=.Example.org; Secure\n\
        Set-Cookie: c=3\nSet-Cookie: d=4; Domain=org\nSet-Cookie: e=5; Domain=a b\n";
    assert_eq!(jar.read(text.as_bytes(), NOW), 2, "for nobody, and for no host");
    assert_eq!(sent(&jar, "http://www.example.org/x"), "a=1");
    assert_eq!(sent(&jar, "https://example.org/x/y"), "a=1; b=2");
    assert_eq!(sent(&jar, "https://org/x"), "d=4", "a public suffix keeps it for itself");
}

#[test]
fn strange_lines_of_a_file_are_counted() {
    let text = b"# c\n\nno tabs\n.com\tTRUE\t/\tFALSE\t0\ta\tb\r\nh.example\tFALSE\t/\tFALSE\t0\ta\n\tFALSE\t/\tFALSE\t0\ta\tb\nh.example\tFALSE\t/\tFALSE\tnever\ta\tb\n";
    let mut jar = Jar::default();
    assert_eq!(jar.read(text, NOW), 4);
    assert_eq!(sent(&jar, "http://h.example/"), "a=");
}

#[test]
fn a_value_is_in_no_message() {
    let mut jar = Jar::default();
    set(&mut jar, "https://h.example/", &["a=s3cret"]);
    assert!(!format!("{jar:?}").contains("s3cret"));
}

proptest! {
    #[test]
    fn no_line_breaks_a_header_or_the_file(line in "[ -~\\t\u{80}-\u{ff}\u{0}-\u{1f}]{0,60}(; ?(Domain|Path|Expires|Max-Age)=[ -~]{0,12})*") {
        let mut jar = Jar::default();
        set(&mut jar, "https://a.example.org/p/q", &[&line]);
        if let Some(header) = jar.header(&url("https://a.example.org/p/q"), NOW) {
            prop_assert!(http::HeaderValue::from_bytes(&header).is_ok());
        }
        let text = jar.to_file(NOW);
        let mut again = Jar::default();
        prop_assert_eq!(again.read(&text, NOW), 0, "{:?}", String::from_utf8_lossy(&text));
        prop_assert_eq!(again.to_file(NOW), text);
    }
}
