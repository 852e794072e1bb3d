//! The cache: what is asked again, how, and what the record says. The judge is the server's log of a second run.

use std::fmt::Write as _;
use std::path::Path;
use std::time::{Duration, SystemTime};

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::support::*;

/// What a second run does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Then {
    /// Nothing is asked; the record has the stored answer.
    Fresh,
    /// The same, marked as past its time.
    Stale,
    /// It is asked with these validators (entity tag, date), and the answer is 304: the stored body is in the record.
    Checked(Option<&'static str>, Option<&'static str>),
    /// It is asked with nothing of the cache, and the new answer is in the record.
    Full,
    /// Nothing is asked, and there is no answer.
    Missing,
    /// It is asked in vain, and the stored answer is given, marked stale.
    Rescued,
    /// It is asked in vain, and that is what the record tells.
    Failed,
}
use Then::{Checked, Failed, Fresh, Full, Missing, Rescued, Stale};

struct Case {
    name: &'static str,
    status: u16,
    /// Of the first answer; `{-100}` is the date so many seconds ago.
    headers: &'static [(&'static str, &'static str)],
    /// Of the first and of the second request.
    asked_with: [&'static [(&'static str, &'static str)]; 2],
    then: Then,
}

const PLAIN: [&[(&str, &str)]; 2] = [&[], &[]];
const OLD: &str = "{-5000}";
const TAG: Option<&str> = Some("\"1\"");

const fn case(name: &'static str, headers: &'static [(&'static str, &'static str)], then: Then) -> Case {
    Case { name, status: 200, headers, asked_with: PLAIN, then }
}

const fn with_status(status: u16, headers: &'static [(&'static str, &'static str)], then: Then) -> Case {
    Case { name: "status", status, headers, asked_with: PLAIN, then }
}

const fn asked(
    name: &'static str,
    headers: &'static [(&'static str, &'static str)],
    asked_with: [&'static [(&'static str, &'static str)]; 2],
    then: Then,
) -> Case {
    Case { name, status: 200, headers, asked_with, then }
}

fn dated(text: &str) -> String {
    let Some(seconds) = text.strip_prefix('{').and_then(|text| text.strip_suffix('}')) else { return text.to_owned() };
    let seconds: i64 = seconds.parse().unwrap();
    let distance = Duration::from_secs(seconds.unsigned_abs());
    let now = SystemTime::now();
    httpdate::fmt_http_date(if seconds < 0 { now - distance } else { now + distance })
}

fn lines(cases: &[Case], site: &Site, run: usize) -> Vec<String> {
    let line = |(n, case): (usize, &Case)| {
        let mut headers = serde_json::Map::new();
        for (name, value) in case.asked_with[run] {
            headers.insert((*name).to_owned(), json!(value));
        }
        json!({"url": site.url(&format!("/{n}")), "headers": headers}).to_string()
    };
    cases.iter().enumerate().map(line).collect()
}

/// Two runs over all cases, the second with more flags. Gives nothing: whatever is not as expected fails the test.
fn judge(cases: &'static [Case], flags: &[&str]) {
    let site = Site::start(move |request| {
        let n: usize = request.path()[1..].parse().unwrap();
        let case = &cases[n];
        if request.nth == 0 {
            let mut reply = status(case.status).header("Content-Type", "text/plain").bytes(format!("first {n}"));
            for (name, value) in case.headers {
                // A date is that of the moment in which it is said.
                reply = reply.header(name, dated(value));
            }
            return reply;
        }
        match case.then {
            Checked(..) => status(304),
            Rescued | Failed => status(503),
            _ => text(format!("second {n}")),
        }
    });
    let dir = TempDir::new().unwrap();
    let cache = dir.path().to_str().unwrap();
    let run = |run: usize, flags: &[&str]| {
        let fetch =
            ["fetch", "--cache", cache, "--retries", "0", "--with", "body,digest", "--fail-on", "never", "-i", "-"];
        lycosa(fetch)
            .args(["--breaker-failures", "0", "--max-redirs", "0", "--accept", "200..499"])
            .args(flags.to_vec())
            .lines(lines(cases, &site, run))
            .run()
            .exits(0)
            .records()
    };
    let first = run(0, &[]);
    let before = site.hits();
    assert_eq!(before, cases.len(), "each is asked once");
    let second = run(1, flags);
    let log: Vec<Hit> = site.log().split_off(before);
    let mut wrong = String::new();
    for (n, case) in cases.iter().enumerate() {
        let path = format!("/{n}");
        let hits: Vec<_> = log.iter().filter(|hit| hit.target == path).collect();
        let (was, is) = (with_path(&first, &path), with_path(&second, &path));
        assert!(record_schema().is_valid(is), "{is}");
        if let Err(why) = as_expected(case, &hits, was, is) {
            writeln!(wrong, "{n}: {} {:?}: {:?} expected, {why}\n  {is}", case.name, case.headers, case.then).unwrap();
        }
    }
    assert!(wrong.is_empty(), "\n{wrong}");
}

fn as_expected(case: &Case, hits: &[&Hit], was: &Value, is: &Value) -> Result<(), String> {
    let requests = usize::from(!matches!(case.then, Fresh | Stale | Missing));
    if hits.len() != requests {
        return Err(format!("{} requests", hits.len()));
    }
    if is["requests"].as_array().unwrap().len() != requests || is["attempts"] != requests {
        return Err("the record tells of other requests".to_owned());
    }
    let validators = hits.first().map(|hit| (hit.header("if-none-match"), hit.header("if-modified-since")));
    let expected = match case.then {
        Checked(tag, date) => Some((tag.map(str::to_owned), date.map(dated))),
        Full => Some((None, None)),
        _ => None,
    };
    if let Some(expected) = expected {
        let sent = validators.map(|(tag, date)| (tag.map(str::to_owned), date.map(str::to_owned)));
        let close = |a: &Option<String>, b: &Option<String>| match (a, b) {
            (Some(a), Some(b)) => about_equal(a, b),
            (a, b) => a == b,
        };
        if !sent.as_ref().is_some_and(|sent| sent.0 == expected.0 && close(&sent.1, &expected.1)) {
            return Err(format!("asked with {sent:?}"));
        }
    }
    let from_cache = matches!(case.then, Fresh | Stale | Checked(..) | Rescued);
    let stale = matches!(case.then, Stale | Rescued);
    if is["from_cache"] != from_cache || is["stale"] != stale {
        return Err("from_cache or stale".to_owned());
    }
    if from_cache {
        let same = ["status", "body", "size", "digest", "content_type", "charset", "outcome", "final_url"];
        return match same.into_iter().find(|key| is[key] != was[key]) {
            Some(key) => Err(format!("another {key}: {}", was[key])),
            None if is["wire_size"] != 0 => Err("bytes on the wire".to_owned()),
            None => Ok(()),
        };
    }
    let failed = |kind: &str, stage: &str| is["error"]["kind"] == kind && is["error"]["stage"] == stage;
    let right = match case.then {
        Missing => is["outcome"] == "failed" && failed("connect", "queue") && is["status"].is_null(),
        Failed => is["outcome"] == "http_error" && is["status"] == 503,
        _ => is["status"] == 200 && is["body"].as_str().is_some_and(|body| body.starts_with("second")),
    };
    if right { Ok(()) } else { Err("another end".to_owned()) }
}

/// The same date, but for the second or two between its two sayings.
fn about_equal(a: &str, b: &str) -> bool {
    match (httpdate::parse_http_date(a), httpdate::parse_http_date(b)) {
        (Ok(a), Ok(b)) => a.max(b).duration_since(a.min(b)).is_ok_and(|gap| gap < Duration::from_secs(60)),
        _ => a == b,
    }
}

/// RFC 9111 3, 4.1, 4.2, 4.3 and 5, by what a second run asks.
#[test]
fn a_second_run_asks_what_rfc_9111_says() {
    const CASES: &[Case] = &[
        // 4.2: how long it is fresh.
        case("nothing said", &[], Full),
        case("only a tag", &[("ETag", "\"1\"")], Checked(TAG, None)),
        case("only a date", &[("Last-Modified", OLD)], Checked(None, Some(OLD))),
        case("both", &[("ETag", "\"1\""), ("Last-Modified", OLD)], Checked(TAG, Some(OLD))),
        case("a weak tag", &[("ETag", "W/\"1\"")], Checked(Some("W/\"1\""), None)),
        case("no heuristics", &[("Date", "{0}"), ("Last-Modified", "{-90000000}")], Checked(None, Some("{-90000000}"))),
        case("max-age", &[("Cache-Control", "max-age=1000")], Fresh),
        case("in capitals", &[("CACHE-CONTROL", "Max-Age=1000")], Fresh),
        case("quoted", &[("Cache-Control", "max-age=\"1000\"")], Fresh),
        case("a space", &[("Cache-Control", "public , max-age=1000")], Fresh),
        case("unknown directives", &[("Cache-Control", "foo, bar=\"a,b\", max-age=1000")], Fresh),
        case("no number", &[("Cache-Control", "max-age=soon"), ("ETag", "\"1\"")], Checked(TAG, None)),
        case("negative", &[("Cache-Control", "max-age=-5"), ("ETag", "\"1\"")], Checked(TAG, None)),
        case("a fraction", &[("Cache-Control", "max-age=1000.5"), ("ETag", "\"1\"")], Checked(TAG, None)),
        case("huge", &[("Cache-Control", "max-age=99999999999999999999999")], Fresh),
        case("in quotes of another", &[("Cache-Control", "x=\"max-age=1000\""), ("ETag", "\"1\"")], Checked(TAG, None)),
        case("max-age=0", &[("Cache-Control", "max-age=0"), ("ETag", "\"1\"")], Checked(TAG, None)),
        case("max-age=0, no validator", &[("Cache-Control", "max-age=0")], Full),
        case(
            "past by Date",
            &[("Date", "{-2000}"), ("Cache-Control", "max-age=1000"), ("ETag", "\"1\"")],
            Checked(TAG, None),
        ),
        case("not yet by Date", &[("Date", "{-500}"), ("Cache-Control", "max-age=1000")], Fresh),
        case(
            "past by Age",
            &[("Age", "2000"), ("Cache-Control", "max-age=1000"), ("ETag", "\"1\"")],
            Checked(TAG, None),
        ),
        case("not yet by Age", &[("Age", "500"), ("Cache-Control", "max-age=1000")], Fresh),
        case("a broken Age", &[("Age", "old"), ("Cache-Control", "max-age=1000")], Fresh),
        case("a Date in the future", &[("Date", "{9000}"), ("Cache-Control", "max-age=1000")], Fresh),
        case("Expires", &[("Date", "{0}"), ("Expires", "{1000}")], Fresh),
        case("Expires without Date", &[("Expires", "{1000}")], Fresh),
        case("expired", &[("Date", "{0}"), ("Expires", "{-1}"), ("ETag", "\"1\"")], Checked(TAG, None)),
        case("Expires: 0", &[("Expires", "0"), ("ETag", "\"1\"")], Checked(TAG, None)),
        case(
            "Expires counts from Date",
            &[("Date", "{1000}"), ("Expires", "{1000}"), ("ETag", "\"1\"")],
            Checked(TAG, None),
        ),
        case("max-age before Expires", &[("Expires", "{-9}"), ("Cache-Control", "max-age=1000")], Fresh),
        case("max-age=0 before Expires", &[("Expires", "{1000}"), ("Cache-Control", "max-age=0")], Full),
        case("s-maxage is not ours", &[("Cache-Control", "s-maxage=1000"), ("ETag", "\"1\"")], Checked(TAG, None)),
        case("s-maxage=0 neither", &[("Cache-Control", "s-maxage=0, max-age=1000")], Fresh),
        // 5.2.2: what else an answer may say.
        case("no-store", &[("Cache-Control", "no-store, max-age=1000"), ("ETag", "\"1\"")], Full),
        case("no-cache", &[("Cache-Control", "no-cache, max-age=1000"), ("ETag", "\"1\"")], Checked(TAG, None)),
        case(
            "no-cache of a field",
            &[("Cache-Control", "no-cache=\"x\", max-age=1000"), ("ETag", "\"1\"")],
            Checked(TAG, None),
        ),
        case("private", &[("Cache-Control", "private, max-age=1000")], Fresh),
        case("must-revalidate while fresh", &[("Cache-Control", "must-revalidate, max-age=1000")], Fresh),
        case("must-understand", &[("Cache-Control", "must-understand, no-store, max-age=1000")], Fresh),
        case("immutable", &[("Cache-Control", "immutable, max-age=1000")], Fresh),
        case("immutable is no time", &[("Cache-Control", "immutable"), ("ETag", "\"1\"")], Checked(TAG, None)),
        case("Pragma of an answer", &[("Pragma", "no-cache"), ("Cache-Control", "max-age=1000")], Fresh),
        case(
            "while revalidating",
            &[("Cache-Control", "max-age=0, stale-while-revalidate=1000"), ("ETag", "\"1\"")],
            Checked(TAG, None),
        ),
        // 3: statuses.
        with_status(203, &[("Cache-Control", "max-age=1000")], Fresh),
        with_status(204, &[("Cache-Control", "max-age=1000")], Fresh),
        with_status(404, &[("Cache-Control", "max-age=1000")], Fresh),
        with_status(410, &[("ETag", "\"1\"")], Checked(TAG, None)),
        with_status(300, &[("Cache-Control", "max-age=1000")], Fresh),
        with_status(403, &[("ETag", "\"1\"")], Full),
        with_status(403, &[("Cache-Control", "max-age=1000")], Fresh),
        with_status(206, &[("Cache-Control", "max-age=1000"), ("Content-Range", "bytes 0-6/9")], Full),
        // 4.1: Vary.
        case("varies by nothing that is sent", &[("Vary", "X-Other"), ("Cache-Control", "max-age=1000")], Fresh),
        case(
            "varies by what is the same",
            &[("Vary", "Accept-Encoding, User-Agent"), ("Cache-Control", "max-age=1000")],
            Fresh,
        ),
        case("varies by all", &[("Vary", "*"), ("Cache-Control", "max-age=1000"), ("ETag", "\"1\"")], Full),
        asked(
            "varies, the same",
            &[("Vary", "X-A"), ("Cache-Control", "max-age=1000")],
            [&[("X-A", "1")], &[("X-A", "1")]],
            Fresh,
        ),
        asked(
            "varies, white space",
            &[("Vary", "x-a"), ("Cache-Control", "max-age=1000")],
            [&[("X-A", "1,2")], &[("X-A", "1 ,  2")]],
            Fresh,
        ),
        asked(
            "varies, another",
            &[("Vary", "X-A"), ("Cache-Control", "max-age=1000"), ("ETag", "\"1\"")],
            [&[("X-A", "1")], &[("X-A", "2")]],
            Full,
        ),
        asked("varies, now there", &[("Vary", "X-A"), ("Cache-Control", "max-age=1000")], [&[], &[("X-A", "2")]], Full),
        asked("varies, now gone", &[("Vary", "X-A"), ("Cache-Control", "max-age=1000")], [&[("X-A", "1")], &[]], Full),
        asked(
            "another that it does not vary by",
            &[("Cache-Control", "max-age=1000")],
            [&[("X-A", "1")], &[("X-A", "2")]],
            Fresh,
        ),
        // 5.2.1: what a request may say.
        asked(
            "asked no-cache",
            &[("Cache-Control", "max-age=1000"), ("ETag", "\"1\"")],
            [&[], &[("Cache-Control", "no-cache")]],
            Checked(TAG, None),
        ),
        asked(
            "asked Pragma",
            &[("Cache-Control", "max-age=1000"), ("ETag", "\"1\"")],
            [&[], &[("Pragma", "no-cache")]],
            Checked(TAG, None),
        ),
        asked(
            "asked no-store",
            &[("Cache-Control", "max-age=1000"), ("ETag", "\"1\"")],
            [&[], &[("Cache-Control", "no-store")]],
            Full,
        ),
        asked(
            "was asked no-store",
            &[("Cache-Control", "max-age=1000")],
            [&[("Cache-Control", "no-store")], &[]],
            Full,
        ),
        asked(
            "asked max-age=0",
            &[("Cache-Control", "max-age=1000"), ("ETag", "\"1\"")],
            [&[], &[("Cache-Control", "max-age=0")]],
            Checked(TAG, None),
        ),
        asked(
            "asked for one that is young",
            &[("Age", "500"), ("Cache-Control", "max-age=1000"), ("ETag", "\"1\"")],
            [&[], &[("Cache-Control", "max-age=400")]],
            Checked(TAG, None),
        ),
        asked(
            "asked for one young enough",
            &[("Age", "300"), ("Cache-Control", "max-age=1000")],
            [&[], &[("Cache-Control", "max-age=400")]],
            Fresh,
        ),
        asked(
            "asked min-fresh",
            &[("Age", "500"), ("Cache-Control", "max-age=1000"), ("ETag", "\"1\"")],
            [&[], &[("Cache-Control", "min-fresh=600")]],
            Checked(TAG, None),
        ),
        asked(
            "asked less min-fresh",
            &[("Age", "500"), ("Cache-Control", "max-age=1000")],
            [&[], &[("Cache-Control", "min-fresh=400")]],
            Fresh,
        ),
        asked(
            "asked max-stale",
            &[("Age", "1500"), ("Cache-Control", "max-age=1000")],
            [&[], &[("Cache-Control", "max-stale")]],
            Stale,
        ),
        asked(
            "not so stale",
            &[("Age", "1500"), ("Cache-Control", "max-age=1000"), ("ETag", "\"1\"")],
            [&[], &[("Cache-Control", "max-stale=400")]],
            Checked(TAG, None),
        ),
        asked(
            "max-stale, must-revalidate",
            &[("Age", "1500"), ("Cache-Control", "max-age=1000, must-revalidate"), ("ETag", "\"1\"")],
            [&[], &[("Cache-Control", "max-stale")]],
            Checked(TAG, None),
        ),
        // 3.5 and what is the user's own business.
        asked(
            "was authorized",
            &[("Cache-Control", "public, max-age=1000")],
            [&[("Authorization", "Basic x")], &[]],
            Full,
        ),
        asked(
            "is authorized",
            &[("Cache-Control", "public, max-age=1000"), ("ETag", "\"1\"")],
            [&[], &[("Authorization", "Basic x")]],
            Full,
        ),
        asked("had a cookie", &[("Cache-Control", "max-age=1000")], [&[("Cookie", "s=1")], &[]], Full),
        asked("has a key", &[("Cache-Control", "max-age=1000"), ("ETag", "\"1\"")], [&[], &[("X-Api-Key", "k")]], Full),
        asked(
            "wants a range",
            &[("Cache-Control", "max-age=1000"), ("ETag", "\"1\"")],
            [&[], &[("Range", "bytes=0-1")]],
            Full,
        ),
    ];
    const { assert!(CASES.len() >= 60) };
    judge(CASES, &[]);
}

#[test]
fn offline_asks_nobody() {
    const CASES: &[Case] = &[
        case("fresh", &[("Cache-Control", "max-age=1000")], Fresh),
        case("nothing said", &[], Stale),
        case("validators", &[("ETag", "\"1\"")], Stale),
        case("past", &[("Age", "2000"), ("Cache-Control", "max-age=1000")], Stale),
        case(
            "must-revalidate and past",
            &[("Age", "2000"), ("Cache-Control", "max-age=1000, must-revalidate")],
            Missing,
        ),
        case("must-revalidate and fresh", &[("Cache-Control", "max-age=1000, must-revalidate")], Fresh),
        case("no-cache", &[("Cache-Control", "no-cache, max-age=1000")], Missing),
        case("no-store", &[("Cache-Control", "no-store")], Missing),
        with_status(404, &[], Stale),
        with_status(403, &[], Missing),
        asked("with credentials", &[], [&[], &[("Authorization", "Basic x")]], Missing),
        asked(
            "no-cache of the request",
            &[("Cache-Control", "max-age=1000")],
            [&[], &[("Cache-Control", "no-cache")]],
            Fresh,
        ),
    ];
    judge(CASES, &["--offline"]);
}

#[test]
fn a_failed_fetch_falls_back() {
    const CASES: &[Case] = &[
        case("fresh", &[("Cache-Control", "max-age=1000")], Fresh),
        case("validators", &[("ETag", "\"1\"")], Rescued),
        case("nothing said", &[], Rescued),
        case("past", &[("Age", "2000"), ("Cache-Control", "max-age=1000")], Rescued),
        case("must-revalidate", &[("Age", "2000"), ("Cache-Control", "max-age=1000, must-revalidate")], Failed),
        case("no-cache", &[("Cache-Control", "no-cache")], Failed),
        case("no-store", &[("Cache-Control", "no-store")], Failed),
        asked("with credentials", &[], [&[], &[("Authorization", "Basic x")]], Failed),
        asked("of another variant", &[("Vary", "X-A")], [&[("X-A", "1")], &[("X-A", "2")]], Failed),
    ];
    judge(CASES, &["--fallback", "stale"]);
}

fn dir() -> TempDir {
    TempDir::new().unwrap()
}

fn fetch(cache: &Path, more: &[&str]) -> Vec<Value> {
    lycosa(["fetch", "--fail-on", "never", "--with", "body,headers", "--cache", cache.to_str().unwrap()])
        .args(more.to_vec())
        .run()
        .exits(0)
        .records()
}

/// Every byte of every file below.
fn all_bytes(dir: &Path) -> Vec<u8> {
    let mut bytes = Vec::new();
    for entry in std::fs::read_dir(dir).unwrap().flatten() {
        let path = entry.path();
        bytes.extend(if path.is_dir() { all_bytes(&path) } else { std::fs::read(path).unwrap() });
    }
    bytes
}

fn holds(bytes: &[u8], text: &str) -> bool {
    bytes.windows(text.len()).any(|window| window == text.as_bytes())
}

#[test]
fn a_304_renews_what_is_stored() {
    let site = Site::start(|request| match request.nth {
        0 => text("page").header("ETag", "\"1\"").header("X-Seen", "first"),
        _ => status(304).header("ETag", "\"1\"").header("X-Seen", "second").header("Cache-Control", "max-age=1000"),
    });
    let (cache, url) = (dir(), site.url("/"));
    fetch(cache.path(), &[&url]);
    let checked = &fetch(cache.path(), &[&url])[0];
    assert_eq!((&checked["status"], &checked["body"]), (&json!(200), &json!("page")));
    assert_eq!(checked["requests"][0]["status"], 304);
    assert_eq!(checked["headers"]["x-seen"], json!(["second"]));
    let fresh = &fetch(cache.path(), &[&url])[0];
    assert_eq!((&fresh["headers"]["x-seen"], &fresh["body"]), (&json!(["second"]), &json!("page")));
    assert_eq!((site.hits(), fresh["requests"].as_array().unwrap().len()), (2, 0), "the 304 made it fresh");
}

#[test]
fn a_304_of_another_version_is_not_believed() {
    let site = Site::start(|request| match request.nth {
        0 => text("old").header("ETag", "\"1\""),
        1 => status(304).header("ETag", "\"2\""),
        _ => text("new").header("ETag", "\"2\""),
    });
    let (cache, url) = (dir(), site.url("/"));
    fetch(cache.path(), &[&url]);
    let record = &fetch(cache.path(), &[&url])[0];
    assert_eq!(
        (&record["body"], &record["from_cache"], &record["attempts"]),
        (&json!("new"), &json!(false), &json!(2))
    );
    let asked: Vec<_> = site.log().iter().map(|hit| hit.header("if-none-match").map(str::to_owned)).collect();
    assert_eq!(asked, [None, Some("\"1\"".to_owned()), None]);
}

#[test]
fn an_unsafe_request_that_succeeds_forgets_what_is_stored() {
    let site = Site::start(|request| match (&*request.method, request.path()) {
        ("GET", _) => text(format!("{}", request.nth)).header("Cache-Control", "max-age=1000"),
        ("DELETE", _) => status(500),
        _ => status(201).header("Location", "/made").header("Content-Location", "http://elsewhere.test/"),
    });
    let cache = dir();
    let all: Vec<String> = ["/a", "/made", "/other", "/failed"].iter().map(|path| site.url(path)).collect();
    let urls: Vec<&str> = all.iter().map(String::as_str).collect();
    fetch(cache.path(), &urls);
    fetch(cache.path(), &["-X", "POST", "-d", "x", urls[0]]);
    fetch(cache.path(), &["-X", "DELETE", "--retries", "0", urls[3]]);
    let before = site.hits();
    fetch(cache.path(), &urls);
    let mut asked: Vec<String> = site.log().split_off(before).into_iter().map(|hit| hit.target).collect();
    asked.sort();
    assert_eq!(asked, ["/a", "/made"], "its own URL, and the one that it names");
}

#[test]
fn a_stored_redirect_is_followed_without_asking() {
    let site = Site::start(|request| match request.path() {
        "/old" => redirect(301, "/new").header("Cache-Control", "max-age=1000"),
        _ => text("here"),
    });
    let (cache, url) = (dir(), site.url("/old"));
    fetch(cache.path(), &[&url]);
    let record = &fetch(cache.path(), &[&url])[0];
    assert_eq!((field(record, "body"), requests_of(record)), ("here", vec!["redirect"]));
    assert_eq!(site.targets(), ["/new", "/new", "/old"]);
}

#[test]
fn secrets_are_not_on_the_disk() {
    let site = Site::start(|_| {
        text("page").header("Cache-Control", "public, max-age=1000").header("Set-Cookie", "session=geheim")
    });
    let cache = dir();
    fetch(cache.path(), &["-u", "me:geheim", &site.url("/authorized")]);
    fetch(cache.path(), &[&site.url("/").replace("http://", "http://me:geheim@")]);
    let first = &fetch(cache.path(), &[&site.url("/open")])[0];
    assert!(first["headers"]["set-cookie"].is_array());
    let bytes = all_bytes(cache.path());
    assert!(holds(&bytes, "/open") && !holds(&bytes, "/authorized"));
    assert!(!holds(&bytes, "geheim"), "a cookie is a secret too");
}

/// 300 pages with links among them.
fn manual(request: &Request) -> Reply {
    let n: usize = request.path().trim_matches('/').parse().unwrap_or(0);
    let links = (1..=3).map(|k| format!("/{}", 3 * n + k)).filter(|path| path[1..].parse::<usize>().unwrap() < 300);
    let page = format!("{}{}", index(links), "words ".repeat(1000));
    if request.path() == "/robots.txt" {
        return status(404);
    }
    // As nginx serves files; the second time nothing has changed.
    let answer = if request.nth == 0 { html(page) } else { status(304) };
    answer.header("ETag", format!("\"{n}\"")).header("Last-Modified", dated("{-100000}"))
}

fn crawl(cache: &Path, more: &[&str]) -> Run {
    lycosa(["crawl", "--summary", "s.json", "--with", "digest", "--cache", cache.to_str().unwrap()])
        .args(more.to_vec())
        .run()
}

/// What does not depend on where an answer came from.
fn pages(records: &[Value]) -> Vec<String> {
    let page =
        |record: &Value| format!("{} {} {} {}", record["url"], record["size"], record["digest"], record["title"]);
    let mut pages: Vec<String> = records.iter().map(page).collect();
    pages.sort();
    pages
}

#[test]
fn a_second_crawl_sends_conditional_requests_only() {
    let site = Site::start(manual);
    let (cache, url) = (dir(), site.url("/"));
    let first = crawl(cache.path(), &[&url]).exits(0).records();
    assert_eq!(first.len(), 300);
    let before = site.hits();
    let second = crawl(cache.path(), &[&url]).exits(0).records();
    let log = site.log().split_off(before);
    let (robots, asked): (Vec<_>, Vec<_>) = log.iter().partition(|hit| hit.target == "/robots.txt");
    assert_eq!((robots.len(), asked.len()), (1, 300));
    assert!(asked.iter().all(|hit| hit.header("if-none-match").is_some() && hit.header("if-modified-since").is_some()));
    assert_eq!(pages(&second), pages(&first), "links are found on stored pages as well");
    let wire = |records: &[Value]| records.iter().map(|record| record["wire_size"].as_u64().unwrap()).sum::<u64>();
    assert_eq!(wire(&second), 0);
    assert!(wire(&first) > 300 * 6000);
    let before = site.hits();
    let third = crawl(cache.path(), &["--offline", &url]).exits(0).records();
    assert_eq!((site.hits(), pages(&third)), (before, pages(&first)), "robots.txt is not asked either");
    assert!(third.iter().all(|record| record["stale"] == true && record["started_at"].is_null()));
}

#[test]
fn what_is_fresh_waits_for_no_politeness_and_counts_for_none() {
    let site = Site::start(|request| match request.path() {
        "/robots.txt" => status(404),
        _ => text("x").header("Cache-Control", "max-age=10000"),
    });
    let cache = dir();
    let urls: Vec<String> = (0..40).map(|n| site.url(&format!("/{n}"))).collect();
    let urls: Vec<&str> = urls.iter().map(String::as_str).collect();
    fetch(cache.path(), &urls);
    // With a request for each this would take 40 hours, and end by its deadline.
    let flags = ["--delay", "1h", "--rate", "1/h", "--deadline", "60s"];
    let records = fetch(cache.path(), &[&flags[..], &urls].concat());
    assert_eq!((records.len(), site.hits()), (40, 40));
    let exact = fetch(cache.path(), &[&["--max-pages", "7"], &urls[..7]].concat());
    assert_eq!(exact.len(), 7);
}

#[test]
fn a_dead_site_is_shown_as_it_was() {
    let site = Site::start(manual);
    let (cache, url) = (dir(), site.url("/"));
    let first = crawl(cache.path(), &[&url]).exits(0).records();
    site.die();
    let flags = ["--fallback", "stale", "--retries", "0", "--breaker-failures", "2", "--breaker-cooldown", "1h"];
    let shown = crawl(cache.path(), &[&flags[..], &[&url]].concat()).exits(0).records();
    assert_eq!(pages(&shown), pages(&first));
    assert!(shown.iter().all(|record| record["stale"] == true && record["from_cache"] == true));
    let without = crawl(cache.path(), &["--retries", "0", &url]).exits(1).records();
    assert_eq!((without.len(), field(&without[0], "outcome")), (1, "failed"), "that is what the flag is for");
}

#[test]
fn an_open_breaker_is_waited_for_by_nobody() {
    let site = Site::start(
        |request| if request.total < 20 { text("x").header("ETag", "\"1\"").into() } else { Answer::Reset },
    );
    let cache = dir();
    let urls: Vec<String> = (0..20).map(|n| site.url(&format!("/{n}"))).collect();
    let urls: Vec<&str> = urls.iter().map(String::as_str).collect();
    fetch(cache.path(), &urls);
    let flags = ["--fallback", "stale", "--breaker-failures", "2", "--breaker-cooldown", "1h", "--deadline", "60s"];
    let records = fetch(cache.path(), &[&flags[..], &urls].concat());
    assert_eq!(records.len(), 20);
    assert!(records.iter().all(|record| record["stale"] == true && record["outcome"] == "ok"), "{records:?}");
    assert!(site.hits() < 30, "the breaker was open: {}", site.hits());
}

#[test]
fn a_torn_file_is_asked_for_anew() {
    let site = Site::start(|_| text("page").header("Cache-Control", "max-age=1000"));
    let (cache, url) = (dir(), site.url("/"));
    fetch(cache.path(), &[&url]);
    let files = || {
        let shards = std::fs::read_dir(cache.path().join("v1")).unwrap().flatten();
        shards
            .filter(|shard| shard.file_name() != "new")
            .flat_map(|shard| std::fs::read_dir(shard.path()).unwrap().flatten())
    };
    let file = files().next().unwrap().path();
    let bytes = std::fs::read(&file).unwrap();
    std::fs::write(&file, &bytes[..bytes.len() - 1]).unwrap();
    let record = &fetch(cache.path(), &[&url])[0];
    assert_eq!((field(record, "body"), &record["from_cache"]), ("page", &json!(false)));
    assert_eq!(fetch(cache.path(), &[&url])[0]["from_cache"], true, "and is whole again");
    assert_eq!((site.hits(), files().count()), (2, 1));
}

#[test]
fn two_runs_at_once_and_a_killed_one_leave_whole_answers() {
    let site = Site::start(|request| match request.path() {
        "/robots.txt" => status(404),
        path => text(path.repeat(500)).header("Cache-Control", "max-age=1000"),
    });
    let cache = dir();
    let urls: Vec<String> = (0..400).map(|n| site.url(&format!("/{n}"))).collect();
    let start = || lycosa(["fetch", "--cache", cache.path().to_str().unwrap()]).args(&urls).spawn();
    let (one, two, killed) = (start(), start(), start());
    killed.wait_for_lines(100);
    killed.signal("KILL");
    for run in [one, two] {
        assert_eq!(outcome_counts(&run.finish().exits(0).records())["ok"], 400);
    }
    drop(killed);
    let urls: Vec<&str> = urls.iter().map(String::as_str).collect();
    let before = site.hits();
    let records = fetch(cache.path(), &urls);
    assert_eq!(site.hits(), before, "all of them are there");
    for record in records {
        let path = field(&record, "url").rsplit_once('/').unwrap().1.to_owned();
        assert_eq!(field(&record, "body"), format!("/{path}").repeat(500));
    }
}

#[test]
fn the_limit_is_kept() {
    let site = Site::start(|_| text("x".repeat(20_000)).header("Cache-Control", "max-age=1000"));
    let cache = dir();
    let urls: Vec<String> = (0..50).map(|n| site.url(&format!("/{n}"))).collect();
    let urls: Vec<&str> = urls.iter().map(String::as_str).collect();
    fetch(cache.path(), &[&["--cache-size", "200k", "-j", "1"], &urls[..]].concat());
    let size = all_bytes(cache.path()).len();
    assert!((100_000..=210_000).contains(&size), "{size}");
    let records = fetch(cache.path(), &urls);
    let kept = records.iter().filter(|record| record["from_cache"] == true).count();
    assert!((5..=10).contains(&kept), "{kept}");
    assert_eq!(with_path(&records, "/49")["from_cache"], true, "the last ones are");
}

#[test]
fn a_run_on_disk_and_its_next_visit_use_it_too() {
    let site = Site::start(manual);
    let (cache, state, url) = (dir(), dir(), site.url("/"));
    let kept = state.path().join("s");
    let kept = kept.to_str().unwrap();
    crawl(cache.path(), &["--state", kept, &url]).exits(0);
    let again = crawl(cache.path(), &["--state", kept, "--again", &url]).exits(0).records();
    assert_eq!(again.len(), 300);
    assert!(again.iter().all(|record| record["change"] == "unchanged" && record["status"] == 200), "{}", again[0]);
    assert!(again.iter().all(|record| record["from_cache"] == true));
}

#[test]
fn what_only_a_cache_can_do_needs_one() {
    for flags in [&["--offline"][..], &["--fallback", "stale"]] {
        let run = lycosa(["fetch", "http://a.test/"]).args(flags.to_vec()).run().exits(2);
        assert!(run.stderr.contains("there is no cache to answer"), "{}", run.stderr);
    }
    lycosa(["fetch", "--cache", "/dev/null/x", "http://a.test/"]).run().exits(3);
}
