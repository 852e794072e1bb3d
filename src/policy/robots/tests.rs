//! Cases of RFC 9309, section by section, and files as they are found.

use std::fmt::Write as _;

use proptest::prelude::*;

use super::*;

/// `FooBot` reads `file`: may it fetch each path?
fn check(section: &str, file: &str, cases: &[(&str, bool)]) {
    let rules = RobotsRules::parse(file.as_bytes(), "FooBot");
    for &(path, allowed) in cases {
        let url = format!("https://example.com{path}");
        assert_eq!(rules.allows(&url), allowed, "{section}: {path} with\n{file}");
    }
}

#[test]
fn tokens_of_user_agents() {
    for (user_agent, token) in [
        ("lycosa/1.0 (+https://example.com)", "lycosa"),
        ("lycosa", "lycosa"),
        ("FooBot (compatible; +https://example.com/bot)", "FooBot"),
        ("Mozilla/5.0 (compatible; FooBot/2)", "Mozilla"),
        ("MJ12bot/v1.4", "MJ12bot"),
        ("My Crawler/1.0", "My"),
        ("", ""),
        ("/1.0", ""),
    ] {
        assert_eq!(product_token(user_agent), token, "{user_agent}");
    }
}

#[test]
fn user_agent_line_2_2_1() {
    let check = |file: &str, cases: &[(&str, bool)]| check("2.2.1", file, cases);
    // The token is compared without case, and so are the keys.
    for name in
        ["FooBot", "foobot", "FOOBOT", "FooBot/1.0", "FooBot/2.1 (+https://example.com)", "FooBot Bar", "FooBot # x"]
    {
        for key in ["User-agent", "user-agent", "USER-AGENT", "  User-agent ", "user agent"] {
            check(&format!("{key}: {name}\nDisallow: /a"), &[("/a", false), ("/b", true)]);
        }
    }
    // Neither a part of our token nor a longer one is ours.
    for name in ["Foo", "FooBotter", "FooBot-News", "Bot", "MyFooBot", "*Bot", "Foo*", ""] {
        check(&format!("User-agent: {name}\nDisallow: /"), &[("/a", true)]);
    }
    // Groups of one agent are merged, wherever they stand.
    check(
        "User-agent: FooBot\nDisallow: /a\n\nUser-agent: BarBot\nDisallow: /b\n\nUser-agent: foobot/2\nDisallow: /c",
        &[("/a", false), ("/b", true), ("/c", false)],
    );
    // Several agents share a group; blank lines and comments do not part them.
    check(
        "User-agent: BarBot\n\n# and\n\nUser-agent: FooBot\nDisallow: /a\nUser-agent: BazBot\nDisallow: /b",
        &[("/a", false), ("/b", true)],
    );
    // `*` counts only where no group is ours, and not in addition to ours.
    check("User-agent: *\nDisallow: /a\n\nUser-agent: FooBot\nDisallow: /b", &[("/a", true), ("/b", false)]);
    check("User-agent: FooBot\nDisallow: /b\n\nUser-agent: *\nDisallow: /a", &[("/a", true), ("/b", false)]);
    check("User-agent: BarBot\nDisallow: /b\n\nUser-agent: * # all\nDisallow: /a", &[("/a", false), ("/b", true)]);
    check("User-agent: *\nDisallow: /a\n\nUser-agent: *\nDisallow: /b", &[("/a", false), ("/b", false)]);
    // Ours without any rule still keeps those of `*` off.
    check("User-agent: *\nDisallow: /\n\nUser-agent: FooBot\n", &[("/a", true)]);
    // No group at all, and rules in front of any group.
    check("", &[("/a", true)]);
    check("Disallow: /\nUser-agent: FooBot\nDisallow: /b", &[("/a", true), ("/b", false)]);
    check("Disallow: /", &[("/a", true)]);
}

#[test]
fn products_with_digits() {
    let rules =
        RobotsRules::parse(b"User-agent: MJ12bot/v1.4\nDisallow: /a\nUser-agent: MJ13bot\nDisallow: /b", "MJ12bot");
    assert!(!rules.allows("http://a.example/a"));
    assert!(rules.allows("http://a.example/b"));
}

#[test]
fn allow_and_disallow_2_2_2() {
    let check = |file: &str, cases| check("2.2.2", &format!("User-agent: *\n{file}"), cases);
    // Matching starts at the first octet of the path, and is case-sensitive.
    check("Disallow: /fish", &[("/fish", false), ("/fish.html", false), ("/fishheads/x", false), ("/?id=fish", true)]);
    check("Disallow: /fish", &[("/Fish", true), ("/catfish", true), ("/a/fish", true)]);
    check("Disallow: /fish/", &[("/fish", true), ("/fish/", false), ("/fish/?x", false)]);
    // The longest match decides, not the order.
    check("Allow: /a/page.html\nDisallow: /a/", &[("/a/page.html", true), ("/a/other.html", false)]);
    check("Disallow: /a/\nAllow: /a/page.html", &[("/a/page.html", true), ("/a/other.html", false)]);
    check("Disallow: /a/b/c\nAllow: /a/b\nDisallow: /a", &[("/a/b/c", false), ("/a/b/d", true), ("/a/c", false)]);
    // Equal rules of both kinds: allow.
    check("Disallow: /a\nAllow: /a", &[("/a", true), ("/ab", true)]);
    check("Allow: /a\nDisallow: /a", &[("/a", true)]);
    // No match, and no rules: allowed. An empty value matches nothing.
    check("Disallow:", &[("/", true), ("/a", true)]);
    check("Disallow:\nDisallow: /a", &[("/", true), ("/a", false)]);
    check("Allow:\nDisallow: /", &[("/a", false)]);
    check("Disallow: /", &[("/", false), ("/a", false), ("/?q", false)]);
    // /robots.txt is always allowed, and nothing that resembles it.
    check("Disallow: /", &[("/robots.txt", true), ("/robots.txt/a", false), ("/a/robots.txt", false)]);
    check("Disallow: /robots.txt", &[("/robots.txt", true)]);
    // Keys in any case; white space around keys, colons and values.
    check("DISALLOW:/a\n \t disallow \t:\t /b \t \naLLow: /a/c", &[("/a", false), ("/b", false), ("/a/c", true)]);
}

#[test]
fn percent_encoding_2_2_2() {
    let check = |file: &str, cases| check("2.2.2", &format!("User-agent: *\n{file}"), cases);
    // The five rows of the RFC's table.
    check("Disallow: /foo/bar?baz=quz", &[("/foo/bar?baz=quz", false), ("/foo/bar?baz=q", true)]);
    for rule in
        ["/foo/bar?baz=https://foo.bar", "/foo/bar?baz=https%3A%2F%2Ffoo.bar", "/foo/bar?baz=https%3a%2f/foo.bar"]
    {
        let rule = format!("Disallow: {rule}");
        check(&rule, &[("/foo/bar?baz=https://foo.bar", false), ("/foo/bar?baz=https%3A%2F%2Ffoo.bar", false)]);
        check(&rule, &[("/foo/bar?baz=https%3a%2F/foo.bar/x", false), ("/foo/bar?baz=http://foo.bar", true)]);
    }
    check("Disallow: /foo/bar/ツ", &[("/foo/bar/%E3%83%84", false), ("/foo/bar/%e3%83%84", false)]);
    check("Disallow: /foo/bar/%E3%83%84", &[("/foo/bar/%E3%83%84", false), ("/foo/bar/%E3%83%85", true)]);
    check("Disallow: /foo/bar/%62%61%7A", &[("/foo/bar/baz", false), ("/foo/bar/%62az", false)]);
    // An encoded slash of a path is another path.
    check("Disallow: /a/b", &[("/a%2Fb", true), ("/a/b", false)]);
    check("Disallow: /a%2fb", &[("/a%2Fb", false), ("/a/b", true)]);
    // What is separated by & and = stays so.
    check("Disallow: /?a=1&b", &[("/?a=1&b", false), ("/?a=1%26b", true)]);
    check("Disallow: /a b", &[("/a%20b", false)]);
    // Broken encodings are taken as they stand.
    check("Disallow: /100%", &[("/100%", false), ("/100", true)]);
    check("Disallow: /?%", &[("/?%", false), ("/?%3", false)]);
}

#[test]
fn special_characters_2_2_3() {
    let check = |file: &str, cases| check("2.2.3", &format!("User-agent: *\n{file}"), cases);
    check("Disallow: /a # /b\n#Disallow: /c\n# Disallow: /", &[("/a", false), ("/b", true), ("/c", true)]);
    check(
        "Disallow: /this/*/exactly",
        &[("/this/is/exactly", false), ("/this//exactly/x", false), ("/this/exactly", true)],
    );
    check("Disallow: /*.php", &[("/index.php", false), ("/a/b.php?x", false), ("/x?f=.php", false), ("/php", true)]);
    check("Disallow: *.gif", &[("/a/b.gif", false)]);
    check("Disallow: /this/path/exactly$", &[("/this/path/exactly", false), ("/this/path/exactly/", true)]);
    check("Disallow: /*.php$", &[("/a.php", false), ("/a.php?x", true), ("/a.php5", true), ("/a.php.php", false)]);
    check("Disallow: /$", &[("/", false), ("/a", true), ("/?a", true)]);
    check("Disallow: /a*$", &[("/a", false), ("/abc", false)]);
    check("Disallow: /a**b***c", &[("/axbyc", false), ("/abc", false), ("/acb", true)]);
    check("Disallow: /a*a$", &[("/a", true), ("/aa", false), ("/aba", false)]);
    check("Disallow: *", &[("/", false), ("/a", false)]);
    // Both characters literally, as the RFC's second table has it.
    check(
        "Disallow: /path/file-with-a-%2A.html",
        &[("/path/file-with-a-*.html", false), ("/path/file-with-a-%2A.html", false)],
    );
    check("Disallow: /path/file-with-a-%2a.html", &[("/path/file-with-a-x.html", true)]);
    check("Disallow: /path/foo-%24", &[("/path/foo-$", false), ("/path/foo-%24", false), ("/path/foo-", true)]);
    // Within a pattern, $ is an ordinary character.
    check("Disallow: /a$b", &[("/a$b", false), ("/a%24b/c", false), ("/a", true), ("/ab", true)]);
    check("Disallow: /a?u=$x$", &[("/a?u=$x", false), ("/a?u=$xy", true)]);
    check("Disallow: /a?u=%3A$", &[("/a?u=:", false), ("/a?u=::", true)]);
    // Wildcards and the octets of RFC 9309 2.2.2 together.
    check("Disallow: /*/print", &[("/a/print", false), ("/?u=/b/print", false), ("/?u=%2Fb%2Fprint", false)]);
}

#[test]
fn other_records_2_2_4() {
    let check = |file: &str, cases: &[(&str, bool)]| check("2.2.4", file, cases);
    // They do not close a group, neither between its agents nor within its rules.
    check("User-agent: BarBot\nSitemap: https://a.example/s\nUser-agent: *\nDisallow: /", &[("/a", false)]);
    check("User-agent: FooBot\nHost: a.example\nUser-agent: BarBot\nDisallow: /a", &[("/a", false)]);
    check(
        "User-agent: FooBot\nDisallow: /a\nSitemap: https://a.example/s\nDisallow: /b",
        &[("/a", false), ("/b", false)],
    );
    check(
        "User-agent: FooBot\nNoindex: /c\nDisallow: /a\nFoo\n:\nDisallow: /b",
        &[("/a", false), ("/b", false), ("/c", true)],
    );
    // A line without a colon that is no rule is passed over; with a space for the colon it is obeyed.
    check("User-agent: FooBot\nDisallow/a\nDisallow", &[("/a", true), ("/", true)]);
    check("User-agent FooBot\nDisallow /a", &[("/a", false)]);
}

#[test]
fn sitemaps_are_listed_as_written() {
    let file = "sitemap: https://a.example/1.xml # first\nUser-agent: BarBot\nSITEMAP:HTTPS://A.example/2.xml?a=b\nDisallow: /\n\
        Sitemap: /relative.xml\nSitemap: ftp://a.example/3.xml\nSitemap:\nSite-map: https://b.example/ä.xml";
    let rules = RobotsRules::parse(file.as_bytes(), "FooBot");
    assert_eq!(rules.sitemaps(), ["https://a.example/1.xml", "HTTPS://A.example/2.xml?a=b", "https://b.example/ä.xml"]);
    assert!(rules.allows("https://a.example/"));
}

#[test]
fn crawl_delays() {
    let delay = |file: &str| RobotsRules::parse(file.as_bytes(), "FooBot").crawl_delay();
    let ours = |value: &str| delay(&format!("User-agent: FooBot\nCrawl-delay: {value}\nDisallow: /a"));
    assert_eq!(ours("10"), Some(Duration::from_secs(10)));
    assert_eq!(ours("0.5 # half"), Some(Duration::from_millis(500)));
    assert_eq!(ours("0"), Some(Duration::ZERO));
    assert_eq!(ours("86400"), Some(Duration::from_hours(24)));
    assert_eq!(ours("86401"), Some(Duration::from_hours(24)));
    assert_eq!(ours("1e9"), Some(Duration::from_hours(24)));
    for none in ["-1", "-0.1", "NaN", "inf", "1e300", "ten", "", "1s", "0x10"] {
        assert_eq!(ours(none), None, "{none}");
    }
    // Of the group that applies to us, and of no other.
    assert_eq!(
        delay("User-agent: *\nCrawl-delay: 5\nUser-agent: BarBot\nCrawl-delay: 7"),
        Some(Duration::from_secs(5))
    );
    assert_eq!(delay("User-agent: *\nCrawl-delay: 5\nUser-agent: FooBot\nDisallow: /a"), None);
    assert_eq!(delay("Crawl-delay: 5"), None);
    assert_eq!(
        delay("User-agent: FooBot\nCrawl-delay: 5\nUser-agent: FooBot\nCrawl-delay: 3"),
        Some(Duration::from_secs(3))
    );
    // A group of nothing but a delay allows everything.
    assert!(RobotsRules::parse(b"User-agent: *\nCrawl-delay: 5", "FooBot").allows("http://a.example/"));
}

#[test]
fn line_ends_and_byte_order_mark_2_2() {
    for end in ["\n", "\r\n", "\r", "\n\r", "\r\r\n", "\n\n"] {
        for bom in ["", "\u{feff}"] {
            let file = ["User-agent: BarBot", "Disallow: /", "User-agent: FooBot", "Disallow: /a", "Allow: /a/b", ""]
                .join(end);
            check("2.2", &format!("{bom}{file}"), &[("/a", false), ("/a/b", true), ("/b", true)]);
        }
    }
    check("2.2", "\u{feff}User-agent: FooBot\nDisallow: /a", &[("/a", false)]);
}

#[test]
fn only_whole_lines_within_500_kib_are_read_2_5() {
    let mut file = "User-agent: *\nDisallow: /first\n".to_owned();
    while file.len() < MAX_BODY - 200 {
        let _ = writeln!(file, "Disallow: /{:0>90}", file.len());
    }
    let _ = write!(file, "Disallow: /last-whole\nDisallow: /cut");
    let cut = "x".repeat(MAX_BODY);
    let rules = RobotsRules::parse(format!("{file}{cut}\nDisallow: /after").as_bytes(), "FooBot");
    for (path, allowed) in [("first", false), ("last-whole", false), ("cut", true), ("cutx", true), ("after", true)] {
        assert_eq!(rules.allows(&format!("http://a.example/{path}")), allowed, "{path}");
    }
    // At the limit to the octet, the last line is whole.
    let mut file = b"User-agent: *\nDisallow: /a\n#".to_vec();
    file.resize(MAX_BODY - 12, b'x');
    file.extend_from_slice(b"\nDisallow: /");
    assert_eq!(file.len(), MAX_BODY);
    assert!(!RobotsRules::parse(&file, "FooBot").allows("http://a.example/b"));
    file.extend_from_slice(b"b");
    assert!(RobotsRules::parse(&file, "FooBot").allows("http://a.example/c"));
    file.pop();
    file.extend_from_slice(b"\nDisallow: /c");
    assert!(!RobotsRules::parse(&file, "FooBot").allows("http://a.example/b"));
}

#[test]
fn html_holds_no_rules() {
    let page = include_bytes!("../../../fixtures/robots/start-page.html");
    let rules = RobotsRules::parse(page, "lycosa");
    assert!(rules.allows("https://page.example/a"));
    assert_eq!(rules.crawl_delay(), None);
    assert!(rules.sitemaps().is_empty());
    // A comment as HTML has it, in front of rules, does not make them HTML.
    check("html", "<!-- ours -->\nUser-agent: *\nDisallow: /a", &[("/a", false)]);
}

#[test]
fn a_long_lived_file() {
    let file = include_bytes!("../../../fixtures/robots/shop.txt");
    let allowed =
        |token: &str, path: &str| RobotsRules::parse(file, token).allows(&format!("https://shop.example{path}"));
    for (path, others, lycosa) in [
        ("/", true, true),
        ("/cart", false, true),
        ("/cart/help", true, true),
        ("/search", true, true),
        ("/search?q=a", false, true),
        ("/list?page=2&sort=a", true, true),
        ("/list?sort=a", false, true),
        ("/a/print", false, true),
        ("/a/print/2", true, true),
        ("/prices/1", true, false),
        ("/prices/public/1", true, true),
        ("/drafts/1", true, false),
        ("/old/1", true, true),
    ] {
        assert_eq!(allowed("nobody", path), others, "nobody {path}");
        assert_eq!(allowed("lycosa", path), lycosa, "lycosa {path}");
        assert!(!allowed("BadBot", path), "BadBot {path}");
    }
    assert!(!allowed("PriceBot", "/prices/1"));
    assert!(allowed("PriceBot", "/drafts/1"));
    let rules = RobotsRules::parse(file, "lycosa");
    assert_eq!(rules.crawl_delay(), Some(Duration::from_millis(500)));
    assert_eq!(
        rules.sitemaps(),
        ["https://shop.example/sitemap.xml", "https://shop.example/news.xml", "https://shop.example/päge.xml"]
    );
}

#[test]
fn files_of_other_systems() {
    let windows = RobotsRules::parse(include_bytes!("../../../fixtures/robots/bom-crlf.txt"), "lycosa");
    assert!(!windows.allows("http://a.example/only-us/1"));
    assert!(windows.allows("http://a.example/private/1"));
    assert_eq!(windows.crawl_delay(), Some(Duration::from_secs(3)));
    let mac = RobotsRules::parse(include_bytes!("../../../fixtures/robots/cr.txt"), "lycosa");
    assert!(!mac.allows("http://a.example/private/1"));
    assert_eq!(mac.sitemaps(), ["http://a.example/s.xml"]);
}

#[test]
fn ports_and_addresses_are_not_part_of_the_path() {
    let rules = RobotsRules::parse(b"User-agent: *\nDisallow: /8080", "FooBot");
    assert!(rules.allows("http://a.example:8080/"));
    assert!(rules.allows("http://[::1]:8080/"));
    assert!(!rules.allows("http://[::1]:8080/8080"));
}

#[test]
fn statuses_2_3_1() {
    for status in [200, 204, 206, 299] {
        assert_eq!(status_means(status), RobotsStatus::Read, "{status}");
    }
    for status in [300, 301, 304, 308, 400, 401, 403, 404, 410, 418, 428, 430, 451, 499] {
        assert_eq!(status_means(status), RobotsStatus::AllowAll, "{status}");
    }
    for status in [100, 199, 429, 500, 502, 503, 504, 599, 600, 999] {
        assert_eq!(status_means(status), RobotsStatus::DisallowAll, "{status}");
    }
}

/// `/*a*a*a…b` against a long run of `a` takes some published matchers seconds. Were it exponential here, this test would
/// not end.
#[test]
fn patterns_cannot_bomb_the_matcher() {
    let file = format!("User-agent: *\nDisallow: /{}b$", "*a".repeat(2000));
    let rules = RobotsRules::parse(file.as_bytes(), "FooBot");
    assert!(rules.allows(&format!("http://a.example/{}", "a".repeat(20_000))));
}

#[test]
fn the_line_that_decided_is_told() {
    let file = "\u{feff}# ours\r\nUser-agent: BarBot\r\nUser-agent: foobot/2.1 # us\r\nDisallow: /a\r\nAllow: /a/b\r\n\r\n\
        User-agent: *\r\nDisallow: /\r\n\r\nUser-agent: FooBot\r\nCrawl-delay: 9\r\nDisallow: /a\r\nDisallow: /a/b\r\nCrawl-delay: 3";
    for end in ["\r\n", "\n", "\r"] {
        let file = file.replace("\r\n", end);
        let told = |token: &str, path: &str| {
            let Decision { allowed, because } =
                RobotsRules::parse(file.as_bytes(), token).decide(&format!("http://a.example{path}"));
            (allowed, because)
        };
        // Of equals the first line is named; of equals of both kinds the one that allows.
        assert_eq!(told("FooBot", "/a"), (false, Because::Rule { line: 4, group: 3 }));
        assert_eq!(told("FooBot", "/a/b"), (true, Because::Rule { line: 5, group: 3 }));
        assert_eq!(told("FooBot", "/c"), (true, Because::NoRule(Group { line: 3, everybody: false })));
        assert_eq!(told("BarBot", "/a/x"), (false, Because::Rule { line: 4, group: 2 }));
        assert_eq!(told("Other", "/c"), (false, Because::Rule { line: 8, group: 7 }));
        assert_eq!(told("Other", "/robots.txt"), (true, Because::RobotsTxt));
        let rules = RobotsRules::parse(file.as_bytes(), "FooBot");
        assert_eq!((rules.crawl_delay(), rules.crawl_delay_line()), (Some(Duration::from_secs(3)), Some(14)));
        assert_eq!(line_text(file.as_bytes(), 3).as_deref(), Some("User-agent: foobot/2.1 # us"));
        assert_eq!(line_text(file.as_bytes(), 99), None);
    }
    let nothing = RobotsRules::parse(b"User-agent: BarBot\nDisallow: /", "FooBot").decide("http://a.example/");
    assert_eq!(nothing, Decision { allowed: true, because: Because::NoGroup });
}

#[test]
fn utf_16_that_says_so_is_read() {
    let text = "User-agent: *\r\nDisallow: /pr\u{ef}vate\r\n";
    let little: Vec<u8> = [0xff, 0xfe].into_iter().chain(text.encode_utf16().flat_map(u16::to_le_bytes)).collect();
    let big: Vec<u8> = [0xfe, 0xff].into_iter().chain(text.encode_utf16().flat_map(u16::to_be_bytes)).collect();
    for body in [little, big] {
        let rules = RobotsRules::parse(&body, "FooBot");
        assert!(!rules.allows("http://a.example/pr%C3%AFvate/1"));
        assert!(rules.allows("http://a.example/public"));
    }
}

#[test]
fn characters_that_a_url_may_have_raw_or_escaped_are_one() {
    for (pattern, path) in [("/a|b", "/a%7Cb"), ("/a%7cb", "/a|b"), ("/a^b", "/a%5Eb"), ("/?a={b}", "/?a=%7Bb%7D")] {
        check("2.2.2", &format!("User-agent: *\nDisallow: {pattern}"), &[(path, false), ("/a", true)]);
    }
}

/// What a pattern means, step by step: `*` any octets, `$` at its end the end of the path.
fn matches_simply(pattern: &[u8], path: &[u8]) -> bool {
    match pattern {
        [] => true,
        [b'$'] => path.is_empty(),
        [b'*', rest @ ..] => (0..=path.len()).any(|at| matches_simply(rest, &path[at..])),
        [octet, rest @ ..] => path.first() == Some(octet) && matches_simply(rest, &path[1..]),
    }
}

/// As many rules as fit and a URL as long as there may be: two thousand million octets, were they all compared.
#[test]
fn rules_cannot_hold_up_a_run_by_their_number() {
    let file = format!("User-agent: *\n{}", "Disallow:/*a*b\n".repeat(34_000));
    let rules = RobotsRules::parse(file.as_bytes(), "FooBot");
    let url = |length| format!("http://a.example/{}", "a".repeat(length));
    let refused = Decision { allowed: false, because: Because::TooMuchWork };
    assert_eq!(rules.decide(&url(60_000)), refused);
    assert!(rules.allows(&url(400)), "what people write is judged");
    // A rule that matches at once is found whatever follows it.
    assert_eq!(rules.decide(&format!("{}b", url(60_000))).because, Because::Rule { line: 2, group: 1 });
}

proptest! {
    #[test]
    fn any_octets_are_read_and_any_url_is_judged(body in proptest::collection::vec(any::<u8>(), 0..400), token in ".{0,12}", path in "/.{0,40}") {
        let rules = RobotsRules::parse(&body, &token);
        let _ = rules.allows(&format!("http://a.example{path}"));
        prop_assert!(rules.crawl_delay().is_none_or(|delay| delay <= LONGEST_CRAWL_DELAY));
    }

    #[test]
    fn near_files_are_read(body in "((user-agent|allow|disallow|crawl-delay|sitemap)[: ]{0,2}[*/$?%a-f0-9:\\-]{0,8}[#\r\n\u{0}]{0,2}){0,12}", path in "/[*/$?%a-f0-9:]{0,12}") {
        let rules = RobotsRules::parse(body.as_bytes(), "abc");
        let _ = rules.allows(&format!("http://a.example{path}"));
        prop_assert!(rules.allows("http://a.example/robots.txt"));
    }

    /// A rule that is a URL's own path and query (without wildcards) forbids that URL.
    #[test]
    fn a_url_is_forbidden_by_its_own_path(path in "/[a-zA-Z0-9/?:@&=%.~_ü-]{0,30}") {
        let url = crate::model::url::parse(&format!("http://a.example{path}")).unwrap();
        let url = crate::model::url::canonical(&url);
        let file = format!("User-agent: *\nDisallow: {}", &url["http://a.example".len()..]);
        prop_assert!(!RobotsRules::parse(file.as_bytes(), "FooBot").allows(&url), "{url}");
    }

    /// Rules in one group: the longest that matches decides, among equals one that allows, and its line is told.
    #[test]
    fn rules_decide_as_a_simple_reading_of_them(
        rules in proptest::collection::vec((any::<bool>(), "/[ab/*]{0,6}[$]?"), 0..8), path in "/[ab/]{0,8}",
    ) {
        let mut file = "User-agent: FooBot\n".to_owned();
        for (allow, pattern) in &rules {
            let _ = writeln!(file, "{}: {pattern}", if *allow { "Allow" } else { "Disallow" });
        }
        let matching = rules.iter().enumerate().filter(|(_, (_, rule))| matches_simply(rule.as_bytes(), path.as_bytes()));
        let decisive = matching.min_by_key(|(at, (allow, rule))| (Reverse(rule.len()), Reverse(*allow), *at));
        let because = match decisive {
            Some((at, _)) => Because::Rule { line: u32::try_from(at).unwrap() + 2, group: 1 },
            None => Because::NoRule(Group { line: 1, everybody: false }),
        };
        let expected = Decision { allowed: decisive.is_none_or(|(_, (allow, _))| *allow), because };
        let found = RobotsRules::parse(file.as_bytes(), "FooBot");
        prop_assert_eq!(found.decide(&format!("http://a.example{path}")), expected, "{}", file);
    }

    /// Groups, delays and sitemaps in between, beside another reader.
    #[test]
    fn files_are_read_as_by_another_reader(
        lines in proptest::collection::vec(prop_oneof![
            "(User-agent|useragent): ?(FooBot|foobot|BarBot|[*])",
            "(Dis)?[aA]llow ?: ?[/]?[ab/*]{0,4}[$]?( #x)?",
            "(Crawl-delay: [0-9]|Sitemap: https://a.example/s|Host: x|#|)",
        ], 0..14),
        end in "(\n|\r\n|\r)", path in "/[ab/]{0,6}",
    ) {
        let file = lines.join(&end);
        let ours = RobotsRules::parse(file.as_bytes(), "FooBot");
        let theirs = robotxt::Robots::parse(file.as_bytes(), "FooBot");
        prop_assert_eq!(ours.allows(&format!("http://a.example{path}")), theirs.is_allowed(&path), "{}", file);
        prop_assert_eq!(ours.crawl_delay(), theirs.crawl_delay(), "{}", file);
        prop_assert_eq!(ours.sitemaps().len(), theirs.sitemaps().len(), "{}", file);
    }
}
