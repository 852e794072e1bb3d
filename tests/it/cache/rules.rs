//! RFC 9111 as a table: what a first answer says, what a second run asks, and what its record tells. The judge is the
//! server's log.

use std::fmt::Write as _;
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

const ALICE: &[(&str, &str)] = &[("Authorization", "Basic YWxpY2U6cw==")];
const BOB: &[(&str, &str)] = &[("Authorization", "Basic Ym9iOnM=")];

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

/// A text; `{-100}` is the date so many seconds ago.
pub fn dated(text: &str) -> String {
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
        (Ok(a), Ok(b)) => a.max(b).duration_since(a.min(b)).is_ok_and(|gap| gap < Duration::from_mins(1)),
        _ => a == b,
    }
}

/// RFC 9111 3, 4.1, 4.2, 4.3 and 5, by what a second run asks.
const RFC_9111: &[Case] = &[
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
    case("past by Age", &[("Age", "2000"), ("Cache-Control", "max-age=1000"), ("ETag", "\"1\"")], Checked(TAG, None)),
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
    asked("was asked no-store", &[("Cache-Control", "max-age=1000")], [&[("Cache-Control", "no-store")], &[]], Full),
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
    asked(
        "wants what is stored",
        &[("Cache-Control", "max-age=1000")],
        [&[], &[("Cache-Control", "only-if-cached")]],
        Fresh,
    ),
    asked(
        "wants what is stored, and it is past",
        &[("Cache-Control", "max-age=0"), ("ETag", "\"1\"")],
        [&[], &[("Cache-Control", "only-if-cached")]],
        Missing,
    ),
    asked(
        "wants what is stored, and nothing is",
        &[("Cache-Control", "no-store")],
        [&[], &[("Cache-Control", "only-if-cached")]],
        Missing,
    ),
    // 3.5: a directory may be that of several users.
    asked("is authorized, as before", &[("Cache-Control", "private, max-age=1000")], [ALICE, ALICE], Fresh),
    asked("is authorized, and past", &[("ETag", "\"1\"")], [ALICE, ALICE], Checked(TAG, None)),
    asked("is somebody else", &[("Cache-Control", "max-age=1000"), ("ETag", "\"1\"")], [ALICE, BOB], Full),
    asked("was authorized", &[("Cache-Control", "max-age=1000"), ("ETag", "\"1\"")], [ALICE, &[]], Full),
    asked("is authorized", &[("Cache-Control", "max-age=1000"), ("ETag", "\"1\"")], [&[], ALICE], Full),
    asked("was for a shared cache", &[("Cache-Control", "s-maxage=9, max-age=1000")], [ALICE, BOB], Full),
    asked("is for everybody, and was authorized", &[("Cache-Control", "public, max-age=1000")], [ALICE, &[]], Fresh),
    asked("is for everybody, and is authorized", &[("Cache-Control", "public, max-age=1000")], [&[], BOB], Fresh),
    asked("says both", &[("Cache-Control", "public, private, max-age=1000")], [ALICE, BOB], Full),
    asked("the same cookie", &[("Cache-Control", "max-age=1000")], [&[("Cookie", "s=1")], &[("Cookie", "s=1")]], Fresh),
    asked("had a cookie", &[("Cache-Control", "max-age=1000")], [&[("Cookie", "s=1")], &[]], Full),
    asked(
        "varies by the cookie",
        &[("Vary", "Cookie"), ("Cache-Control", "public, max-age=1000")],
        [&[("Cookie", "s=1")], &[("Cookie", "s=2")]],
        Full,
    ),
    asked(
        "varies by the cookie, the same",
        &[("Vary", "Cookie"), ("Cache-Control", "public, max-age=1000")],
        [&[("Cookie", "s=1")], &[("Cookie", "s=1")]],
        Fresh,
    ),
    asked("has a key", &[("Cache-Control", "max-age=1000"), ("ETag", "\"1\"")], [&[], &[("X-Api-Key", "k")]], Full),
    // RFC 9110 7.1: the target is that of Host.
    asked(
        "another host",
        &[("Cache-Control", "public, max-age=1000")],
        [&[("Host", "a.test")], &[("Host", "b.test")]],
        Full,
    ),
    asked(
        "now of its host",
        &[("Cache-Control", "max-age=1000"), ("ETag", "\"1\"")],
        [&[("Host", "a.test")], &[]],
        Full,
    ),
    asked("now of another host", &[("Cache-Control", "max-age=1000")], [&[], &[("Host", "a.test")]], Full),
    asked("the same host", &[("Cache-Control", "max-age=1000")], [&[("Host", "a.test")], &[("Host", "A.test")]], Fresh),
    // What is the user's own business.
    asked(
        "wants a range",
        &[("Cache-Control", "max-age=1000"), ("ETag", "\"1\"")],
        [&[], &[("Range", "bytes=0-1")]],
        Full,
    ),
];

#[test]
fn a_second_run_asks_what_rfc_9111_says() {
    const { assert!(RFC_9111.len() >= 60) };
    judge(RFC_9111, &[]);
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
        asked("with credentials", &[], [&[], ALICE], Missing),
        asked("with the same credentials", &[], [ALICE, ALICE], Stale),
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
        asked("with credentials", &[], [&[], ALICE], Failed),
        asked("with the same credentials", &[], [ALICE, ALICE], Rescued),
        asked("of another variant", &[("Vary", "X-A")], [&[("X-A", "1")], &[("X-A", "2")]], Failed),
    ];
    judge(CASES, &["--fallback", "stale"]);
}
