//! Servers that refuse (429, 503), or say that they are about to: how long their host is left alone, how many events that
//! is, and what is lost.
//!
//! The judge is the server's log. Holds are told apart by their order of magnitude: none, a second, two, four.

use std::sync::Mutex;
use std::time::{Duration, Instant, SystemTime};

use crate::support::*;

const TOLERANCE: Duration = Duration::from_millis(20);

/// The fields of one refusal. Dates are counted from the server's own clock, which is an hour slow.
#[derive(Clone, Copy)]
enum Form {
    None,
    Text(&'static str),
    /// So many seconds later, in the three forms of RFC 9110.
    Imf(u64),
    Rfc850(u64),
    Asctime(u64),
}

fn refuse(code: u16, form: Form) -> Reply {
    let now = SystemTime::now() - Duration::from_hours(1);
    let later = |seconds| httpdate::fmt_http_date(now + Duration::from_secs(seconds));
    // `Sun, 06 Nov 1994 08:49:37 GMT` is the first form; the others are made of its parts.
    let parts = |seconds| {
        later(seconds).split([' ', ',']).filter(|part| !part.is_empty()).map(str::to_owned).collect::<Vec<_>>()
    };
    let value = match form {
        Form::None => return status(code),
        Form::Text(text) => text.to_owned(),
        Form::Imf(seconds) => later(seconds),
        Form::Rfc850(seconds) => {
            let [weekday, day, month, year, time, _] = <[String; 6]>::try_from(parts(seconds)).unwrap();
            let names = ["Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday"];
            let weekday = names.into_iter().find(|name| name.starts_with(&weekday)).unwrap();
            format!("{weekday}, {day}-{month}-{} {time} GMT", &year[2..])
        }
        Form::Asctime(seconds) => {
            let [weekday, day, month, year, time, _] = <[String; 6]>::try_from(parts(seconds)).unwrap();
            format!("{weekday} {month} {:>2} {time} {year}", day.trim_start_matches('0'))
        }
    };
    status(code).header("Retry-After", value).header("Date", httpdate::fmt_http_date(now))
}

/// One request at a time to a host that refuses the first so many requests: the pause after each of these.
fn pauses(count: usize, code: u16, form: Form, flags: &[&str]) -> Vec<Duration> {
    let site = Site::start(move |request| if request.total < count { refuse(code, form) } else { html("") });
    let list: Vec<_> = (0..6).map(|n| site.url(&format!("/{n}"))).collect();
    let run = lycosa(["fetch", "--host-concurrency", "1"]).args(flags.iter().copied()).lines(&list).run();
    assert_eq!(run.records().len(), 6);
    gaps(&site.log())[..count].to_vec()
}

/// A row of the table: what the server says, how often, and the least and the most seconds after each time.
type Row = (u16, Form, &'static [(f64, f64)]);

const TABLE: &[Row] = &[
    (429, Form::Text("1"), &[(1.0, 2.0)]),
    (503, Form::Text("1"), &[(1.0, 2.0)]),
    (429, Form::Text("1"), &[(1.0, 2.0), (1.0, 2.0), (1.0, 2.0)]),
    (429, Form::Text("003"), &[(3.0, 4.5)]),
    (429, Form::Text("0"), &[(0.0, 0.5)]),
    (503, Form::Text("0"), &[(0.0, 0.5), (0.0, 0.5), (0.0, 0.5)]),
    // Whole seconds: two seconds later may be little more than one.
    (429, Form::Imf(2), &[(1.9, 3.5)]),
    (503, Form::Imf(2), &[(1.9, 3.5)]),
    (429, Form::Rfc850(2), &[(1.9, 3.5)]),
    (503, Form::Asctime(2), &[(1.9, 3.5)]),
    // In the past is now.
    (429, Form::Text("Sun, 06 Nov 1994 08:49:37 GMT"), &[(0.0, 0.5)]),
    // Without a field that can be read: 1 s, doubling.
    (429, Form::None, &[(1.0, 1.9), (2.0, 3.5)]),
    (429, Form::Text("-5"), &[(1.0, 1.9)]),
    (429, Form::Text("soon"), &[(1.0, 1.9), (2.0, 3.5)]),
    (429, Form::Text("1.5"), &[(1.0, 1.9)]),
    (429, Form::Text("Sun, 36 Nov 1994 08:49:37 GMT"), &[(1.0, 1.9)]),
    // A 503 without one is a failure like any other: its URL waits for up to a second, its host does not.
    (503, Form::None, &[(0.0, 0.5)]),
    (503, Form::Text("later"), &[(0.0, 0.5)]),
];

#[test]
fn every_form_of_a_refusal_holds_the_host_as_it_says() {
    let _alone = measuring();
    let judged = |(code, form, expected): &Row| {
        let found = pauses(expected.len(), *code, *form, &[]);
        for (found, (least, most)) in found.iter().zip(*expected) {
            let seconds = (*found + TOLERANCE).as_secs_f64();
            assert!(seconds >= *least && seconds < *most + 0.3, "{code} {expected:?}: {seconds}");
        }
    };
    std::thread::scope(|scope| {
        let rows: Vec<_> = TABLE.iter().map(|row| scope.spawn(move || judged(row))).collect();
        let failed = rows.into_iter().filter_map(|row| row.join().err()).count();
        assert_eq!(failed, 0, "rows that failed");
    });
    // Control: the same judge over a server that refuses nobody.
    assert!(pauses(1, 404, Form::Text("1"), &["--fail-on", "never"])[0] < Duration::from_millis(500));
}

#[test]
fn an_absurd_wait_ends_the_urls_of_its_host_which_is_not_asked_again() {
    for absurd in ["99999999", "99999999999999999999999", "Fri, 31 Dec 9999 23:59:59 GMT"] {
        let script = move |request: &Request| {
            if request.path() == "/0" { status(429).header("Retry-After", absurd) } else { html("") }
        };
        let site = Site::start(script);
        let list: Vec<_> = (0..6).map(|n| site.url(&format!("/{n}"))).collect();
        let flags = ["--host-concurrency", "1", "--max-retry-after", "1s"];
        let records = lycosa(["fetch"]).args(flags).lines(&list).run().exits(1).records();
        assert_eq!((site.hits(), outcome_counts(&records)["skipped: rate_limited"]), (1, 6));
        for (n, record) in (0..6).map(|n| (n, with_path(&records, &format!("/{n}")))) {
            let status = (n == 0).then_some(429);
            assert_eq!((field(record, "skip_reason"), record["status"].as_u64()), ("rate_limited", status), "{n}");
        }
    }
    // Control: what we are willing to wait is waited.
    for (wait, longest) in [("1", "1s"), ("2", "none")] {
        let refusal = move |request: &Request| {
            if request.total == 0 { status(429).header("Retry-After", wait) } else { html("") }
        };
        let site = Site::start(refusal);
        let list: Vec<_> = (0..6).map(|n| site.url(&format!("/{n}"))).collect();
        let flags = ["--host-concurrency", "1", "--max-retry-after", longest];
        let records = lycosa(["fetch"]).args(flags).lines(&list).run().exits(0).records();
        assert_eq!((site.hits(), outcome_counts(&records)["ok"]), (7, 6));
    }
}

/// The script of a host that refuses everything for half a second from its so-many-th request on.
fn refuses_for_a_while(from: usize, first: &'static Mutex<Option<Instant>>) -> impl Fn(&Request) -> Reply {
    move |request| {
        let since = (request.total >= from).then(|| first.lock().unwrap().get_or_insert_with(Instant::now).elapsed());
        if since.is_some_and(|since| since < Duration::from_millis(500)) { status(429) } else { html("") }.after_ms(300)
    }
}

#[test]
fn two_hundred_in_flight_are_one_backoff_and_no_thundering_return() {
    static FIRST: Mutex<Option<Instant>> = Mutex::new(None);
    let _alone = measuring();
    let site = Site::start(refuses_for_a_while(400, &FIRST));
    let list: Vec<_> = (0..900).map(|n| site.url(&format!("/{n}"))).collect();
    let flags = ["-j", "200", "--host-concurrency", "200", "--summary", "summary.json"];
    let run = lycosa(["fetch"]).args(flags).lines(&list).run().exits(0);
    let host = &run.summary().0["hosts"][0];
    assert!(host["refusals"].as_u64() >= Some(100), "{host}");
    assert_eq!(host["backoffs"], 1, "{host}");
    // A second of silence after the first refusal was answered, but for those that were on their way.
    let log = site.log();
    let silence = log.windows(2).map(|pair| pair[1].arrived - pair[0].arrived).max().unwrap();
    assert!(silence + Duration::from_millis(100) >= Duration::from_secs(1), "{silence:?}");
    let back = log.windows(2).position(|pair| pair[1].arrived - pair[0].arrived == silence).unwrap() + 1;
    let answered = log[back].ended.unwrap();
    // The server notes the end after the write, and the client may be sooner.
    assert!(log[back + 1].arrived + TOLERANCE >= answered, "one request until it is answered");
    let next = log[back + 1..].iter().filter(|hit| hit.arrived < answered + Duration::from_millis(150)).count();
    assert!(next <= 2, "then two: {next}");
}

/// A host that takes so many requests at once, and from its 600th to its 1,000th a tenth of them.
fn with_capacity(normal: usize, low: usize) -> Site {
    let busy: Mutex<(usize, Vec<Instant>)> = Mutex::default();
    let latency = Duration::from_millis(30);
    Site::start(move |_: &Request| {
        let mut busy = busy.lock().unwrap();
        let now = Instant::now();
        busy.1.retain(|end| *end > now);
        let capacity = if (600..1000).contains(&busy.0) { low } else { normal };
        if busy.1.len() >= capacity {
            return status(429).header("Retry-After", "0").after_ms(2);
        }
        busy.0 += 1;
        busy.1.push(now + latency);
        html("").after(latency)
    })
}

#[test]
fn a_capacity_that_drops_to_a_tenth_and_returns_is_followed() {
    let _alone = measuring();
    let refused = |flags: &[&str]| {
        let site = with_capacity(20, 2);
        let list: Vec<_> = (0..2000).map(|n| site.url(&format!("/{n}"))).collect();
        let flags =
            flags.iter().chain(&["--host-concurrency", "16", "--summary", "summary.json", "--fail-on", "never"]);
        let run = lycosa(["fetch"]).args(flags.copied()).lines(&list).run().exits(0);
        let host = run.summary().0["hosts"][0].clone();
        (host["refusals"].as_u64().unwrap(), host["slowed"].as_u64().unwrap(), site.log())
    };
    let (refusals, slowed, log) = refused(&[]);
    let (control, none, _) = refused(&["--throttle", "off"]);
    assert!(refusals * 20 < log.len() as u64 && slowed > 2, "{refusals} refusals, slowed {slowed} times");
    assert!(control > 4 * refusals && none == 0, "control: {control} refusals, {refusals} with the throttle");
    let most = |from: usize, until: usize| most_in_flight(&log[from..until]);
    assert!(most(300, 600) >= 15 && most(800, 950) <= 5, "{} and {}", most(300, 600), most(800, 950));
    assert!(most(log.len() - 200, log.len()) >= 10, "and back: {}", most(log.len() - 200, log.len()));
}

/// Fields that tell of so many requests that are left, given how to write a moment in so many seconds.
type Fields = fn(u64, &dyn Fn(u64) -> String) -> Vec<(&'static str, String)>;

#[test]
fn what_a_server_says_is_left_is_kept_to_before_it_refuses() {
    let _alone = measuring();
    let epoch = |seconds: u64| {
        let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap().as_secs();
        (since + seconds).to_string()
    };
    let forms: [Fields; 4] = [
        |left, _| {
            vec![
                ("RateLimit", format!("\"default\";r={left};t=2")),
                ("RateLimit-Policy", "\"default\";q=100;w=60".into()),
            ]
        },
        |left, _| vec![("RateLimit", format!("limit=100, remaining={left}, reset=2"))],
        |left, _| {
            vec![
                ("RateLimit-Limit", "100".into()),
                ("RateLimit-Remaining", left.to_string()),
                ("RateLimit-Reset", "2".into()),
            ]
        },
        |left, epoch| {
            vec![
                ("X-RateLimit-Limit", "100".into()),
                ("X-RateLimit-Remaining", left.to_string()),
                ("X-RateLimit-Reset", epoch(2)),
            ]
        },
    ];
    for fields in forms {
        // Nothing is left after the third request; little after the first.
        for (left, third, all) in [(0, 1.0, 1.0), (4, 0.15, 0.9)] {
            let run = |flags: &[&str]| {
                let site = Site::start(move |request| {
                    let said = if request.total == 2 { fields(left, &epoch) } else { Vec::new() };
                    said.into_iter().fold(html(""), |reply, (name, value)| reply.header(name, value))
                });
                let list: Vec<_> = (0..6).map(|n| site.url(&format!("/{n}"))).collect();
                let flags = flags.iter().chain(&["--host-concurrency", "1"]);
                lycosa(["fetch"]).args(flags.copied()).lines(&list).run().exits(0);
                let log = site.log();
                ((log[3].arrived - log[2].arrived).as_secs_f64(), (log[5].arrived - log[2].arrived).as_secs_f64())
            };
            let (next, last) = run(&[]);
            assert!(next + 0.02 >= third && last + 0.02 >= all, "{left} left: {next:.3} s, {last:.3} s");
            let (next, last) = run(&["--throttle", "off"]);
            assert!(next < third && last < all, "control, {left} left: {next:.3} s, {last:.3} s");
        }
    }
}

#[test]
fn hosts_that_were_blocked_together_come_back_one_by_one() {
    let _alone = measuring();
    let sites: Vec<_> = (0..24)
        .map(|_| Site::start(|request| if request.total == 0 { status(429) } else { html("") }.after_ms(50)))
        .collect();
    lycosa(["fetch"]).lines(sites.iter().map(|site| site.url("/"))).run().exits(0);
    let refused: Vec<_> = sites.iter().map(|site| site.log()[0].arrived).collect();
    let back: Vec<_> = sites.iter().map(|site| site.log()[1].arrived).collect();
    // Their first requests all came at once; of the second ones no more than a third comes within a tenth of the time.
    let (first, spread) = (back.iter().min().unwrap(), seconds(&back));
    let crowd = back.iter().filter(|at| (**at - *first).as_secs_f64() < spread / 10.0).count();
    assert!(spread > 0.1 && spread > seconds(&refused), "{spread:.3} s after {:.3} s", seconds(&refused));
    assert!(crowd <= 8, "{crowd} of 24 within {:.3} s", spread / 10.0);
}
