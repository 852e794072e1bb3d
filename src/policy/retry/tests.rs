//! The contract's table "Retries, redirects", row by row.

use http::Method;
use proptest::prelude::*;

use super::*;
use crate::model::fetch_error::Stage;

const METHODS: [&str; 10] = ["GET", "HEAD", "OPTIONS", "TRACE", "POST", "PUT", "PATCH", "DELETE", "CONNECT", "PURGE"];

fn method(name: &str) -> Method {
    Method::from_bytes(name.as_bytes()).unwrap()
}

/// The first attempt of a GET.
fn exchange<'a>(status: Option<u16>, error: Option<&'a FetchError>, method: &'a Method) -> Exchange<'a> {
    Exchange { status, error, retry_after: None, method, attempts: 1, refusals: 0, idle_deaths: 0, in_budget: true }
}

fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

#[test]
fn statuses_that_are_retried() {
    let settings = RetrySettings::default();
    let retried: Vec<u16> = (100..=999)
        .filter(|&status| judge(&exchange(Some(status), None, &Method::GET), &settings) == Verdict::Retry)
        .collect();
    // 429 is retried too, as a refusal.
    assert_eq!(retried, [408, 425, 500, 502, 503, 504]);
    assert_eq!(judge(&exchange(Some(429), None, &Method::GET), &settings), Verdict::Refused(None));
}

#[test]
fn errors_that_are_retried() {
    let settings = RetrySettings::default();
    let judged = |status, error: &FetchError| judge(&exchange(status, Some(error), &Method::GET), &settings);
    for kind in ErrorKind::ALL {
        let ours = matches!(kind, ErrorKind::Interrupted | ErrorKind::Internal);
        let mending = if ours { Verdict::Final } else { Verdict::Retry };
        let transient = FetchError::transient(kind, Stage::Body, "x");
        let permanent = FetchError::permanent(kind, Stage::Body, "x");
        assert_eq!(judged(None, &transient), mending, "{kind:?}");
        assert_eq!(judged(Some(200), &transient), mending, "{kind:?}");
        assert_eq!(judged(None, &permanent), Verdict::Final, "{kind:?}");
        assert_eq!(judged(Some(200), &permanent), Verdict::Final, "{kind:?}");
        // The status is retried, whatever its body was.
        assert_eq!(judged(Some(500), &permanent), mending, "{kind:?}");
    }
}

#[test]
fn retries_are_further_attempts_after_the_first() {
    for retries in [0, 1, 2, 5] {
        let settings = RetrySettings { retries, ..RetrySettings::default() };
        for attempts in 1..8 {
            let verdict = judge(&Exchange { attempts, ..exchange(Some(500), None, &Method::GET) }, &settings);
            let expected = if attempts <= retries { Verdict::Retry } else { Verdict::Final };
            assert_eq!(verdict, expected, "{retries} retries, attempt {attempts}");
        }
    }
}

#[test]
fn methods_with_effects_are_repeated_only_if_nothing_was_sent_or_refused() {
    let settings = RetrySettings::default();
    let sent = FetchError::transient(ErrorKind::Timeout, Stage::Head, "x");
    let unsent = FetchError::transient(ErrorKind::Connect, Stage::Connect, "x").before_sending();
    let lasting = FetchError::permanent(ErrorKind::Dns, Stage::Dns, "x").before_sending();
    for (place, name) in METHODS.into_iter().enumerate() {
        let method = method(name);
        let repeatable = if place < 4 { Verdict::Retry } else { Verdict::Final };
        let judged = |status, error| judge(&exchange(status, error, &method), &settings);
        assert_eq!(judged(None, Some(&sent)), repeatable, "{name}");
        assert_eq!(judged(Some(500), None), repeatable, "{name}");
        assert_eq!(judged(Some(503), None), repeatable, "{name}");
        assert_eq!(judged(None, Some(&unsent)), Verdict::Retry, "{name}");
        assert_eq!(judged(None, Some(&lasting)), Verdict::Final, "{name}");
        assert_eq!(judged(Some(429), None), Verdict::Refused(None), "{name}");
        let refused = Exchange { retry_after: Some(seconds(7)), ..exchange(Some(503), None, &method) };
        assert_eq!(judge(&refused, &settings), Verdict::Refused(Some(seconds(7))), "{name}");
    }
}

#[test]
fn refusals_do_not_use_up_retries_but_have_an_end() {
    let settings = RetrySettings { retries: 0, ..RetrySettings::default() };
    for refusals in 1..12 {
        let refused = Exchange { attempts: 100, refusals, ..exchange(Some(429), None, &Method::GET) };
        let expected = if refusals < 10 { Verdict::Refused(None) } else { Verdict::RateLimited };
        assert_eq!(judge(&refused, &settings), expected, "{refusals}");
    }
}

#[test]
fn a_long_retry_after_ends_the_url() {
    let judged = |wait, max_retry_after| {
        let refused = Exchange { retry_after: Some(wait), ..exchange(Some(503), None, &Method::GET) };
        judge(&refused, &RetrySettings { max_retry_after, ..RetrySettings::default() })
    };
    assert_eq!(judged(seconds(0), Some(seconds(300))), Verdict::Refused(Some(seconds(0))));
    assert_eq!(judged(seconds(300), Some(seconds(300))), Verdict::Refused(Some(seconds(300))));
    assert_eq!(judged(seconds(301), Some(seconds(300))), Verdict::RateLimited);
    assert_eq!(judged(seconds(1_000_000), None), Verdict::Refused(Some(seconds(1_000_000))));
    // Retry-After of another status (RFC 9110 allows 3xx) is no refusal.
    let moved = Exchange { retry_after: Some(seconds(5)), ..exchange(Some(301), None, &Method::GET) };
    assert_eq!(judge(&moved, &RetrySettings::default()), Verdict::Final);
}

#[test]
fn statuses_for_the_breaker() {
    for status in 100..=999 {
        let expected = match status {
            429 => Signal::Neutral,
            502..=504 => Signal::Failure,
            _ => Signal::Answer,
        };
        assert_eq!(signal(Some(status), None, None), expected, "{status}");
    }
    assert_eq!(signal(Some(503), None, Some(seconds(0))), Signal::Neutral);
    assert_eq!(signal(Some(429), None, Some(seconds(9))), Signal::Neutral);
    assert_eq!(signal(Some(502), None, Some(seconds(9))), Signal::Failure);
    assert_eq!(signal(None, None, None), Signal::Neutral);
}

#[test]
fn errors_for_the_breaker() {
    use ErrorKind as K;
    use Signal::{Answer, Failure, Neutral};
    for (kind, retryable, without_status, with_200) in [
        (K::Connect, true, Failure, Failure),
        (K::Connect, false, Failure, Failure),
        (K::Tls, true, Failure, Failure),
        (K::Tls, false, Failure, Failure),
        (K::Timeout, true, Failure, Failure),
        (K::Timeout, false, Failure, Failure),
        (K::Protocol, true, Failure, Failure),
        (K::Protocol, false, Neutral, Answer),
        (K::Body, true, Failure, Failure),
        (K::Body, false, Neutral, Answer),
        (K::Dns, true, Neutral, Answer),
        (K::Dns, false, Neutral, Answer),
        (K::Proxy, true, Neutral, Answer),
        (K::TooSlow, true, Neutral, Answer),
        (K::TooLarge, false, Neutral, Answer),
        (K::Redirect, false, Neutral, Answer),
        (K::Decode, false, Neutral, Answer),
        (K::Interrupted, false, Neutral, Answer),
        (K::Internal, false, Neutral, Answer),
        (K::InvalidInput, false, Neutral, Answer),
    ] {
        let error = if retryable {
            FetchError::transient(kind, Stage::Body, "x")
        } else {
            FetchError::permanent(kind, Stage::Body, "x")
        };
        assert_eq!(signal(None, Some(&error), None), without_status, "{kind:?} retryable {retryable}");
        assert_eq!(signal(Some(200), Some(&error), None), with_200, "{kind:?} retryable {retryable}, 200");
        // A refusal says nothing, even if its body broke; a bad gateway is one, even if its body could not be decoded.
        assert_eq!(signal(Some(429), Some(&error), None), Neutral, "{kind:?}, 429");
        assert_eq!(signal(Some(502), Some(&error), None), Failure, "{kind:?}, 502");
    }
}

#[test]
fn backoff_doubles_up_to_the_cap() {
    let settings = RetrySettings::default();
    let bounds: Vec<u64> = (1..=9).map(|attempt| backoff(attempt, 1.0, &settings).as_secs()).collect();
    assert_eq!(bounds, [1, 2, 4, 8, 16, 32, 60, 60, 60]);
    assert_eq!(backoff(3, 0.0, &settings), Duration::ZERO);
    assert_eq!(backoff(3, 0.25, &settings), seconds(1));
    assert_eq!(backoff(0, 1.0, &settings), seconds(1));
    assert_eq!(backoff(u32::MAX, 1.0, &settings), seconds(60));
    let forever = RetrySettings { base: Duration::MAX, cap: Duration::MAX, ..settings };
    assert_eq!(backoff(u32::MAX, 1.0, &forever), Duration::MAX);
}

const DATE: &str = "Sun, 06 Nov 1994 08:49:37 GMT";
const DATE_UNIX: u64 = 784_111_777;

#[test]
fn retry_after_in_seconds() {
    for (value, wait) in [
        ("0", Some(0)),
        ("120", Some(120)),
        (" 120 ", Some(120)),
        ("007", Some(7)),
        ("31536000", Some(31_536_000)),
        ("31536001", Some(31_536_000)),
        ("18446744073709551616", Some(31_536_000)),
        ("99999999999999999999999999999999", Some(31_536_000)),
        ("", None),
        (" ", None),
        ("-1", None),
        ("+1", None),
        ("1.5", None),
        ("1e3", None),
        ("120s", None),
        ("120, 120", None),
        ("٣", None),
        ("soon", None),
    ] {
        assert_eq!(parse_retry_after(value, None, DATE_UNIX), wait.map(seconds), "{value:?}");
    }
}

#[test]
fn retry_after_as_a_date() {
    let later = [
        "Sun, 06 Nov 1994 08:50:37 GMT",
        "Sunday, 06-Nov-94 08:50:37 GMT",
        "Sun Nov  6 08:50:37 1994",
        " Sun, 06 Nov 1994 08:50:37 GMT ",
    ];
    for value in later {
        assert_eq!(parse_retry_after(value, Some(DATE), 0), Some(seconds(60)), "{value}");
        assert_eq!(parse_retry_after(value, None, DATE_UNIX), Some(seconds(60)), "{value}");
        // A Date that cannot be read is none.
        assert_eq!(parse_retry_after(value, Some("yesterday"), DATE_UNIX + 10), Some(seconds(50)), "{value}");
        assert_eq!(parse_retry_after(value, None, DATE_UNIX + 3600), Some(seconds(0)), "{value}");
        assert_eq!(parse_retry_after(value, None, 0), Some(seconds(31_536_000)), "{value}");
        assert_eq!(parse_retry_after(value, None, u64::MAX), Some(seconds(0)), "{value}");
    }
    assert_eq!(parse_retry_after("Sun, 06 Nov 1994 08:49:36 GMT", Some(DATE), 0), Some(seconds(0)));
    assert_eq!(parse_retry_after("Sun, 36 Nov 1994 08:49:36 GMT", Some(DATE), 0), None);
}

#[test]
fn our_own_limits_do_not_count_against_a_host_and_may_pass() {
    for kind in [ErrorKind::Connect, ErrorKind::Tls, ErrorKind::Timeout] {
        let error = FetchError::transient(kind, Stage::Connect, "x").before_sending();
        assert_eq!(signal(None, Some(&error), None), Signal::Failure, "{kind:?}");
        let error = error.our_own_limit();
        assert_eq!(signal(None, Some(&error), None), Signal::Neutral, "{kind:?}");
        let post = http::Method::POST;
        assert_eq!(judge(&exchange(None, Some(&error), &post), &RetrySettings::default()), Verdict::Retry);
    }
}

#[test]
fn an_idle_connection_that_died_is_one_free_retry() {
    let settings = RetrySettings { retries: 0, ..RetrySettings::default() };
    let died = FetchError::transient(ErrorKind::Protocol, Stage::Send, "x").of_idle_connection();
    let judged = |method: &Method, idle_deaths, settings: &RetrySettings| {
        let exchange = Exchange { idle_deaths, attempts: 0, in_budget: false, ..exchange(None, Some(&died), method) };
        judge(&exchange, settings)
    };
    assert_eq!(judged(&Method::GET, 1, &settings), Verdict::Anew);
    // The second one is a failure like any other.
    assert_eq!(judged(&Method::GET, 2, &settings), Verdict::Final);
    // The request was on its way: a server that acts on it before it hangs up would act twice.
    assert_eq!(judged(&Method::POST, 1, &settings), Verdict::Final);
    assert_eq!(judged(&Method::POST, 1, &RetrySettings { all_methods: true, ..settings }), Verdict::Anew);
    assert_eq!(signal(None, Some(&died), None), Signal::Neutral);
}

#[test]
fn all_methods_and_the_budget() {
    let all = RetrySettings { all_methods: true, ..RetrySettings::default() };
    for name in METHODS {
        let method = method(name);
        let failed = exchange(Some(500), None, &method);
        assert_eq!(judge(&failed, &all), Verdict::Retry, "{name}");
        let denied = Exchange { in_budget: false, ..failed };
        assert_eq!(judge(&denied, &all), Verdict::Final, "{name}");
        // A refusal is no failure: it is not of the budget.
        let refused = Exchange { in_budget: false, ..exchange(Some(429), None, &method) };
        assert_eq!(judge(&refused, &all), Verdict::Refused(None), "{name}");
    }
    assert_eq!(judge(&exchange(Some(404), None, &Method::POST), &all), Verdict::Final);
}

/// Status, error and `Retry-After`; what becomes of a GET and of a POST; what the breaker is told.
type Row = (Option<u16>, Option<FetchError>, Option<Duration>, Verdict, Verdict, Signal);

/// The contract's paragraph as one table: what comes back, to a GET and to a POST, and what the breaker makes of it.
#[test]
fn the_table() {
    use Signal::{Answer, Failure, Neutral};
    use Verdict::{Anew, Final, Refused, Retry};
    let transient = |kind| FetchError::transient(kind, Stage::Head, "x");
    let permanent = |kind| FetchError::permanent(kind, Stage::Head, "x");
    let unsent = |kind| transient(kind).before_sending();
    let wait = Some(seconds(9));
    let rows: Vec<Row> = vec![
        (Some(200), None, None, Final, Final, Answer),
        (Some(301), None, wait, Final, Final, Answer),
        (Some(404), None, None, Final, Final, Answer),
        (Some(408), None, None, Retry, Final, Answer),
        (Some(425), None, None, Retry, Final, Answer),
        (Some(429), None, None, Refused(None), Refused(None), Neutral),
        (Some(429), None, wait, Refused(wait), Refused(wait), Neutral),
        (Some(500), None, None, Retry, Final, Answer),
        (Some(501), None, None, Final, Final, Answer),
        (Some(502), None, None, Retry, Final, Failure),
        (Some(503), None, None, Retry, Final, Failure),
        (Some(503), None, wait, Refused(wait), Refused(wait), Neutral),
        (Some(504), None, None, Retry, Final, Failure),
        (None, Some(unsent(ErrorKind::Dns)), None, Retry, Retry, Neutral),
        (None, Some(permanent(ErrorKind::Dns).before_sending()), None, Final, Final, Neutral),
        (None, Some(unsent(ErrorKind::Connect)), None, Retry, Retry, Failure),
        (None, Some(unsent(ErrorKind::Connect).our_own_limit()), None, Retry, Retry, Neutral),
        (None, Some(permanent(ErrorKind::Tls).before_sending()), None, Final, Final, Failure),
        (None, Some(transient(ErrorKind::Timeout)), None, Retry, Final, Failure),
        (None, Some(transient(ErrorKind::Protocol)), None, Retry, Final, Failure),
        (None, Some(transient(ErrorKind::Protocol).of_idle_connection()), None, Anew, Final, Neutral),
        (None, Some(permanent(ErrorKind::Protocol)), None, Final, Final, Neutral),
        (Some(200), Some(transient(ErrorKind::Body)), None, Retry, Final, Failure),
        (Some(200), Some(permanent(ErrorKind::TooLarge)), None, Final, Final, Answer),
        (Some(200), Some(permanent(ErrorKind::Decode)), None, Final, Final, Answer),
        (None, Some(transient(ErrorKind::Interrupted)), None, Final, Final, Neutral),
        (None, Some(transient(ErrorKind::Internal)), None, Final, Final, Neutral),
    ];
    for (status, error, retry_after, get, post, told) in &rows {
        let row = format!("{status:?} {error:?} {retry_after:?}");
        for (method, expected) in [(Method::GET, get), (Method::POST, post)] {
            let idle_deaths = u32::from(is_idle_death(error.as_ref()));
            let exchange =
                Exchange { retry_after: *retry_after, idle_deaths, ..exchange(*status, error.as_ref(), &method) };
            assert_eq!(judge(&exchange, &RetrySettings::default()), *expected, "{method} {row}");
        }
        assert_eq!(signal(*status, error.as_ref(), *retry_after), *told, "{row}");
    }
}

proptest! {
    #[test]
    fn retry_after_never_panics(value in ".{0,40}", date in proptest::option::of(".{0,40}"), now in any::<u64>()) {
        let wait = parse_retry_after(&value, date.as_deref(), now);
        prop_assert!(wait.is_none_or(|wait| wait <= LONGEST_RETRY_AFTER));
    }

    #[test]
    fn near_dates_never_panic(
        value in "[A-Z][a-z]{2,7},? [0-9]{1,2}[ -][A-Z][a-z]{2}[ -][0-9]{2,5} [0-9]{2}:[0-9]{2}:[0-9]{2}( GMT)?",
        date in "[A-Z][a-z]{2}, [0-9]{2} (Jan|Feb|Nov) [0-9]{4} [0-9]{2}:[0-9]{2}:[0-9]{2} GMT",
        now in any::<u64>(),
    ) {
        let wait = parse_retry_after(&value, Some(&date), now);
        prop_assert!(wait.is_none_or(|wait| wait <= LONGEST_RETRY_AFTER));
    }

    #[test]
    fn backoff_stays_below_its_bound(attempt in any::<u32>(), random in any::<f64>(), base in any::<u64>(), cap in any::<u64>()) {
        let settings = RetrySettings { base: Duration::from_nanos(base), cap: Duration::from_nanos(cap), ..RetrySettings::default() };
        prop_assert!(backoff(attempt, random, &settings) <= settings.cap);
    }
}
