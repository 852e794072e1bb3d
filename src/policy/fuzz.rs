//! Targets of fuzzing for what servers say to robots, and about when to come again.

use std::time::Duration;

use super::rate_fields::{self, is_rate_field};
use super::retry::{parse_retry_after, unix_seconds};
use super::robots::{Because, MAX_BODY, RobotsRules, is_html, line_text, product_token, tagged};
use crate::fuzzing::target::{Target, byte, contents};

/// The path of a URL, on the first line, and a robots.txt.
pub(crate) const ROBOTS: Target = Target { run: robots, words: ROBOTS_WORDS, seeds: robots_seeds, runs: 40_000 };

/// Lines that every reader takes alike, for two readers.
pub(crate) const ROBOTS_TWICE: Target =
    Target { run: robots_twice, words: &[], seeds: || vec![(0..=63).collect(), vec![9, 0, 12, 30, 50]], runs: 20_000 };

/// `Retry-After`, the server's `Date` and our own time (8 bytes).
pub(crate) const RETRY_AFTER: Target = Target { run: retry_after, words: DATE_WORDS, seeds: dates, runs: 200_000 };

/// Our own time (8 bytes), then header fields, on a line each.
pub(crate) const RATE_FIELDS: Target = Target { run: rate_fields, words: RATE_WORDS, seeds: rate_seeds, runs: 100_000 };

/// Lines of `X-Robots-Tag`.
pub(crate) const ROBOTS_TAG: Target = Target { run: robots_tag, words: TAG_WORDS, seeds: tag_seeds, runs: 100_000 };

const ROBOTS_WORDS: &[&[u8]] = &[
    b"User-agent:",
    b"user agent ",
    b"FooBot",
    b"*",
    b"$",
    b"Allow:",
    b"Disallow:",
    b"dissalow ",
    b"Crawl-delay:",
    b"1e308",
    b"-1",
    b"NaN",
    b"inf",
    b"Sitemap:",
    b"https://a.example/s.xml",
    b"#",
    b"\r\n",
    b"\r",
    b"\n",
    b"\0",
    b"\xef\xbb\xbf",
    b"\xff\xfe",
    b"%2F",
    b"%2a",
    b"%",
    b"%e4",
    b"/",
    b"/*",
    b"*a*a*a",
    b"?",
    b"<!--",
    b"-->",
    b"<html",
    b"<?xml",
    b"\xc3\xa4",
];

fn robots_seeds() -> Vec<Vec<u8>> {
    let paths = ["/private/1", "/?u=https%3A%2F%2Fa", "/a%7Eb/c", "/robots.txt"];
    let files = contents("fixtures/robots").into_iter().chain([
        b"User-agent: FooBot\nUser-agent: x/1\nCrawl-delay: 1.5\nDisallow: /a*b$\nAllow: /a?b\n\nUser-agent: *\nDisallow: /\n".to_vec(),
        b"<!-- x -->\nUser-agent: *\r\nDisallow:/*/print # no\r\nSitemap: https://a.example/s".to_vec(),
        "\u{feff}User-agent: *\rDisallow: /\u{e4}".encode_utf16().flat_map(u16::to_le_bytes).collect(),
    ]);
    files.zip(paths.iter().cycle()).map(|(file, path)| [path.as_bytes(), b"\n", &file].concat()).collect()
}

fn robots(input: &[u8]) {
    let end = input.iter().position(|byte| *byte == b'\n').unwrap_or(input.len());
    let (path, body) = (String::from_utf8_lossy(&input[..end]), input.get(end + 1..).unwrap_or_default());
    // What follows may begin a host's port, which is another URL.
    let Ok(url) = crate::model::url::parse(&format!("http://a.example/{path}")) else { return };
    let url = crate::model::url::canonical(&url);
    let rules = RobotsRules::parse(body, "FooBot");
    let decision = rules.decide(&url);
    assert_eq!(rules.allows(&url), decision.allowed);
    match decision.because {
        Because::Rule { line, group } => {
            assert!(group < line, "a rule stands under its group");
            let (rule, agent) = (said(body, line), said(body, group));
            assert_eq!(rule.starts_with('a'), decision.allowed, "line {line}: {rule}");
            assert!(agent.starts_with("user"), "line {group}: {agent}");
        }
        Because::NoRule(group) => assert!(decision.allowed && said(body, group.line).starts_with("user")),
        Because::NoGroup | Because::RobotsTxt => assert!(decision.allowed),
        Because::TooMuchWork => assert!(!decision.allowed),
    }
    let delay = rules.crawl_delay();
    assert!(delay.is_none_or(|delay| delay <= Duration::from_hours(24)), "{delay:?}");
    assert_eq!(delay.is_some(), rules.crawl_delay_line().is_some());
    assert!(rules.crawl_delay_line().is_none_or(|line| said(body, line).starts_with("crawl")));
    assert!(rules.sitemaps().iter().all(|url| crate::model::url::parse(url).is_ok()));
    assert!(rules.allows("http://a.example/robots.txt"));
    if is_html(body) {
        assert_eq!((rules.group(), decision.because), (None, RobotsRules::allow_all().decide(&url).because));
    }
    if body.len() + 3 <= MAX_BODY && !body.starts_with(b"\xef\xbb\xbf") && !is_wide(body) {
        let marked = RobotsRules::parse(&[b"\xef\xbb\xbf", body].concat(), "FooBot");
        assert_eq!(marked.decide(&url), decision, "a byte order mark says nothing");
    }
    let everybody = RobotsRules::parse(b"User-agent: *\nDisallow: /", "FooBot");
    assert!(!everybody.allows(&url) || url == "http://a.example/robots.txt");
}

fn is_wide(body: &[u8]) -> bool {
    body.starts_with(b"\xff\xfe") || body.starts_with(b"\xfe\xff")
}

/// A line in lower case.
fn said(body: &[u8], line: u32) -> String {
    line_text(body, line).expect("a line that is named is there").to_ascii_lowercase()
}

/// Each byte stands for a line; those before the last also for how the path goes on.
fn robots_twice(input: &[u8]) {
    const LINES: [&str; 24] = [
        "User-agent: FooBot",
        "User-agent: foobot",
        "User-agent: BarBot",
        "User-agent: *",
        "useragent:FooBot",
        "Disallow: /",
        "Disallow:",
        "Disallow: /a",
        "Disallow: /a*b",
        "Disallow: /*b$",
        "Disallow: /b/a$ # x",
        "Allow: /",
        "Allow: /a",
        "Allow: /ab*",
        "Allow : /b$",
        "Allow: /*",
        "Allow: a",
        "Crawl-delay: 5",
        "Crawl-delay: 0",
        "Sitemap: https://a.example/s",
        "Host: x",
        "#",
        "",
        "# Disallow: /",
    ];
    let lines: Vec<_> = input.iter().map(|byte| LINES[usize::from(*byte) % LINES.len()]).collect();
    let steps = input.iter().map(|byte| ["", "", "", "a", "b", "/"][usize::from(*byte) / 24 % 6]);
    let path: String = std::iter::once("/").chain(steps.take(6)).collect();
    let file = lines.join("\n");
    let ours = RobotsRules::parse(file.as_bytes(), "FooBot");
    let theirs = robotxt::Robots::parse(file.as_bytes(), "FooBot");
    assert_eq!(ours.allows(&format!("http://a.example{path}")), theirs.is_allowed(&path), "{path} by {file}");
    assert_eq!(ours.crawl_delay(), theirs.crawl_delay(), "{file}");
    assert_eq!(ours.sitemaps().len(), theirs.sitemaps().len(), "{file}");
}

const DATE_WORDS: &[&[u8]] = &[
    b"Sun, 06 Nov 1994 08:49:37 GMT",
    b"Sunday, 06-Nov-94 08:49:37 GMT",
    b"Sun Nov  6 08:49:37 1994",
    b"GMT",
    b"31 Dec 9999",
    b"00:00:60",
    b"18446744073709551616",
    b"120",
    b"-1",
    b" ",
    b"\t",
    b"\n",
    b"1970",
    b"29 Feb",
    b"Thu, ",
    b"99",
];

fn dates() -> Vec<Vec<u8>> {
    [
        "\0\0\0\0j\u{1}\u{2}\u{3}Fri, 31 Dec 1999 23:59:59 GMT\nSun, 06 Nov 1994 08:49:37 GMT",
        "\0\0\0\0j\u{1}\u{2}\u{3}Sunday, 06-Nov-94 08:49:37 GMT\nSun Nov  6 08:49:37 1994",
        "\0\0\0\0\0\0\0\u{3}120\n",
    ]
    .map(|seed| seed.as_bytes().to_vec())
    .to_vec()
}

/// Takes eight bytes off the front: a time.
fn time(input: &mut &[u8]) -> u64 {
    (0..8).fold(0, |time, _| time << 8 | u64::from(byte(input)))
}

fn retry_after(mut input: &[u8]) {
    let now = time(&mut input);
    let text = String::from_utf8_lossy(input);
    let (value, date) = text.split_once('\n').map_or((&*text, None), |(value, date)| (value, Some(date)));
    let wait = parse_retry_after(value, date, now);
    assert!(wait.is_none_or(|wait| wait <= Duration::from_hours(365 * 24)), "{wait:?}");
    assert_eq!(parse_retry_after(&format!(" {value}\t"), date, now), wait);
    let is_number = !value.trim().is_empty() && value.trim().bytes().all(|byte| byte.is_ascii_digit());
    assert_eq!(wait.is_some(), is_number || unix_seconds(value).is_some());
    if let Some(seconds) = unix_seconds(value) {
        // All three forms of RFC 9110 5.6.7 mean the same as the first of them.
        let time = std::time::UNIX_EPOCH + Duration::from_secs(seconds);
        assert_eq!(unix_seconds(&httpdate::fmt_http_date(time)), Some(seconds), "{value}");
        assert_eq!(parse_retry_after(value, Some(value), now), Some(Duration::ZERO), "{value}");
    }
}

const RATE_WORDS: &[&[u8]] = &[
    b"ratelimit:",
    b"ratelimit-policy:",
    b"ratelimit-limit:",
    b"ratelimit-remaining:",
    b"ratelimit-reset:",
    b"x-ratelimit-limit:",
    b"x-ratelimit-remaining:",
    b"x-ratelimit-reset:",
    b"x-rate-limit-reset:",
    b"x-ratelimit-reset-after:",
    b"\"default\"",
    b";r=50",
    b";t=30",
    b";q=100",
    b";w=60",
    b"limit=100",
    b"remaining=50",
    b"reset=30",
    b"1795176030",
    b"1795176030000",
    b"598.0",
    b",",
    b".",
    b"99999999999999999999999",
    b"Sun, 06 Nov 1994 08:49:37 GMT",
    b"\n",
    b"0",
];

fn rate_seeds() -> Vec<Vec<u8>> {
    [
        "ratelimit-policy: \"default\";q=100;w=60\nratelimit: \"default\";r=50;t=30, \"daily\";r=1;t=3600",
        "ratelimit: limit=100, remaining=50, reset=5\nratelimit-policy: 100;w=10",
        "ratelimit-limit: 10, 10;w=1, 50;w=60\nratelimit-remaining: 9",
        "x-ratelimit-limit: 60\nx-ratelimit-remaining: 3.0\nx-ratelimit-reset: 1795176030",
        "x-rate-limit-remaining: 0\nx-rate-limit-reset: Fri, 20 Nov 2026 12:00:30 GMT\nx-rate-limit-reset-after: 2.5",
    ]
    .map(|seed| [b"\0\0\0\0\x6b\0\0\0", seed.as_bytes()].concat())
    .to_vec()
}

fn rate_fields(mut input: &[u8]) {
    let now = time(&mut input);
    let text = String::from_utf8_lossy(input).to_lowercase();
    let fields: Vec<_> = text.lines().filter_map(|line| line.split_once(':')).collect();
    let quota = rate_fields::read(fields.iter().copied(), now);
    assert!(quota.is_none_or(|quota| quota.reset <= Duration::from_hours(31 * 24)), "{quota:?}");
    let heeded = fields.iter().copied().filter(|(name, _)| is_rate_field(name));
    assert_eq!(rate_fields::read(heeded, now), quota, "other fields say nothing");
}

const TAG_WORDS: &[&[u8]] = &[
    b"noindex",
    b"nofollow",
    b"none",
    b"all",
    b",",
    b":",
    b"FooBot:",
    b"otherbot:",
    b"*:",
    b"max-snippet:-1",
    b"unavailable_after:",
    b"\n",
    b" ",
    b"\xff",
];

fn tag_seeds() -> Vec<Vec<u8>> {
    [
        &b"noindex, nofollow"[..],
        b"otherbot: none, foobot/1: noindex\nunavailable_after: 1 Jan 2030 00:00:00 GMT, nofollow",
    ]
    .map(<[u8]>::to_vec)
    .to_vec()
}

fn robots_tag(input: &[u8]) {
    let lines = || input.split(|byte| *byte == b'\n');
    let asked = tagged(lines(), "FooBot");
    // What further lines ask is asked beside, not instead.
    let more = tagged(lines().chain([&b"noindex"[..]]), "FooBot");
    assert!(more.noindex && more.nofollow == asked.nofollow);
    let others = tagged(lines().chain([&b"otherbot: none"[..]]), "FooBot");
    assert_eq!(others, asked);
    let text = String::from_utf8_lossy(input);
    let token = product_token(&text);
    assert!(!token.contains([' ', '/', ':', ',']) && product_token(token) == token);
}
