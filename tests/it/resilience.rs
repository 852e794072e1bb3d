//! Servers that fail, refuse, die and come back: what is tried again, how often, and what it costs the others.

use std::collections::BTreeSet;
use std::time::Duration;

use serde_json::Value;

use crate::support::*;

fn urls(site: &Site, count: usize) -> Vec<String> {
    (0..count).map(|number| site.url(&format!("/{number}"))).collect()
}

fn counted(records: &[Value], what: &str) -> usize {
    outcome_counts(records).get(what).copied().unwrap_or(0)
}

/// Asked so many times before it answers.
fn flaky(failures: usize, failing: u16) -> Site {
    Site::start(move |request| if request.nth < failures { status(failing) } else { html("") })
}

#[test]
fn passing_failures_are_tried_again() {
    for failing in [408, 425, 500, 502, 503, 504] {
        let site = flaky(1, failing);
        let record = lycosa(["fetch", &site.url("/")]).run().exits(0).record();
        assert_eq!((field(&record, "outcome"), record["attempts"].as_u64()), ("ok", Some(2)), "{failing}");
        assert_eq!(requests_of(&record), ["page", "retry"]);
    }
    let site = flaky(2, 500);
    let record = lycosa(["fetch", &site.url("/")]).run().exits(0).record();
    assert_eq!(requests_of(&record), ["page", "retry", "retry"]);
}

#[test]
fn retries_are_counted() {
    for (retries, expected) in [("0", 1), ("1", 2), ("2", 3)] {
        let site = flaky(9, 500);
        let record = lycosa(["fetch", "--retries", retries, &site.url("/")]).run().exits(1).record();
        assert_eq!((field(&record, "outcome"), record["status"].as_u64()), ("http_error", Some(500)));
        assert_eq!((site.hits(), record["attempts"].as_u64()), (expected, Some(expected as u64)), "{retries}");
    }
}

#[test]
fn final_answers_are_not_tried_again() {
    for answer in [400, 401, 403, 404, 410, 501, 505] {
        let site = flaky(9, answer);
        lycosa(["fetch", &site.url("/")]).run().exits(1);
        assert_eq!(site.hits(), 1, "{answer}");
    }
}

#[test]
fn a_reset_is_tried_again_but_not_a_post() {
    let site = Site::start(|request| if request.nth == 0 { Answer::Reset } else { html("").into() });
    lycosa(["fetch", &site.url("/get")]).run().exits(0);
    assert_eq!(site.hits(), 2);
    for method in ["POST", "PUT", "PATCH", "DELETE"] {
        let run = lycosa(["fetch", "-X", method, &site.url(&format!("/{method}"))]).run().exits(1);
        assert_eq!(field(&run.record(), "outcome"), "failed", "{method}");
    }
    assert_eq!(site.hits(), 2 + 4);
}

/// A server closes a connection that was kept for it just as the next request comes: that is nobody's failure. One that was
/// used the moment before is cut for another reason.
#[test]
fn a_kept_connection_that_died_idle_costs_no_retry() {
    for (delay, outcome) in [("1200ms", "ok"), ("0", "failed")] {
        let site = Site::start(|request| match (request.path(), request.nth) {
            ("/1", 0) => Answer::Close,
            _ => html("").into(),
        });
        let flags = ["--retries", "0", "--host-concurrency", "1", "--fail-on", "never", "--delay", delay];
        let records = lycosa(["fetch"]).args(flags).lines(urls(&site, 3)).run().exits(0).records();
        let cut = with_path(&records, "/1");
        let requests = if outcome == "ok" { 2 } else { 1 };
        assert_eq!((field(cut, "outcome"), requests_of(cut).len()), (outcome, requests), "{delay}: {cut}");
    }
}

#[test]
fn a_post_is_tried_again_only_when_it_was_refused() {
    let site = Site::start(|request| match (request.path(), request.nth) {
        ("/500", _) => status(500),
        ("/503", _) => status(503),
        ("/429", 0) => status(429).header("Retry-After", "0"),
        ("/503-later", 0) => status(503).header("Retry-After", "0"),
        _ => text("done"),
    });
    let records = lycosa(["fetch", "-d", "a=1", "--fail-on", "never"])
        .args(["/500", "/503", "/429", "/503-later"].map(|path| site.url(path)));
    let records = records.run().exits(0).records();
    for (path, requests) in [("/500", 1), ("/503", 1), ("/429", 2), ("/503-later", 2)] {
        assert_eq!(requests_of(with_path(&records, path)).len(), requests, "{path}");
    }
    assert_eq!(site.hits(), 6);
    assert!(site.log().iter().all(|hit| hit.body == b"a=1"));
}

#[test]
fn a_connection_that_was_refused_is_tried_again_even_for_a_post() {
    let site = Site::start(|_: &Request| text("back"));
    site.die();
    let running = lycosa(["fetch", "--retries", "10", "-d", "a=1", &site.url("/")]).spawn();
    std::thread::sleep(Duration::from_millis(300));
    site.revive();
    let record = running.finish().exits(0).record();
    assert!(record["attempts"].as_u64().unwrap() >= 2, "nothing had been sent: {record}");
    assert_eq!(site.hits(), 1);
}

/// Both forms of the field hold the whole host, do not use up `--retries`, and do not count for the breaker.
#[test]
fn retry_after_holds_the_whole_host() {
    let _alone = measuring();
    for form in ["seconds", "date"] {
        let site = Site::start(move |request| {
            if request.path() != "/refused" || request.nth > 0 {
                return html("").after_ms(20);
            }
            let now = std::time::SystemTime::now();
            let later = now + Duration::from_secs(2);
            let value = if form == "date" { httpdate::fmt_http_date(later) } else { "1".to_owned() };
            status(429).header("Retry-After", value).header("Date", httpdate::fmt_http_date(now))
        });
        let mut lines = vec![site.url("/refused")];
        lines.extend(urls(&site, 20));
        let run = lycosa(["fetch", "--retries", "0", "--breaker-failures", "1"]).lines(&lines).run().exits(0);
        assert_eq!(run.records().len(), 21);
        let log = site.log();
        let refused = log.iter().find(|hit| hit.target == "/refused").unwrap().ended.unwrap();
        // The date has whole seconds: two seconds later is at least one.
        let held = log.iter().filter(|hit| hit.arrived > refused + Duration::from_millis(20));
        let first = held.map(|hit| hit.arrived).min().unwrap() - refused;
        assert!(first + Duration::from_millis(20) >= Duration::from_secs(1), "{form}: asked again after {first:?}");
    }
    let control = Site::start(|request| if request.nth == 0 { status(500) } else { html("") }.after_ms(20));
    lycosa(["fetch"]).lines(urls(&control, 21)).run().exits(0);
    let log = control.log();
    let pause = log.windows(2).map(|pair| pair[1].arrived - pair[0].arrived).take(20).max().unwrap();
    assert!(pause < Duration::from_secs(1), "a 500 holds nobody: {pause:?}");
}

#[test]
fn a_retry_after_that_is_too_long_ends_the_url() {
    let site = Site::start(|_: &Request| status(503).header("Retry-After", "10"));
    let record = lycosa(["fetch", "--max-retry-after", "5s", &site.url("/")]).run().exits(1).record();
    assert_eq!((field(&record, "outcome"), field(&record, "skip_reason")), ("skipped", "rate_limited"));
    assert_eq!((record["status"].as_u64(), site.hits()), (Some(503), 1));
}

#[test]
fn ten_refusals_end_the_url() {
    let site = Site::start(|_: &Request| status(429).header("Retry-After", "0"));
    let record = lycosa(["fetch", &site.url("/")]).run().exits(1).record();
    assert_eq!((field(&record, "outcome"), field(&record, "skip_reason")), ("skipped", "rate_limited"));
    assert_eq!((record["status"].as_u64(), site.hits()), (Some(429), 10));
}

const BREAKER: [&str; 9] =
    ["fetch", "--breaker-failures", "3", "--breaker-cooldown", "300ms", "--retries", "0", "--host-concurrency", "1"];

#[test]
fn the_breaker_opens_probes_and_gives_up() {
    let site = Site::start(|_: &Request| Answer::Reset);
    let run = lycosa(BREAKER).lines(urls(&site, 30)).run().exits(1);
    let records = run.records();
    assert_eq!(site.hits(), 3 + 3, "three failures open it, three probes give it up");
    assert_eq!((counted(&records, "failed"), counted(&records, "skipped: breaker_open")), (6, 24));
    let probes = records.iter().flat_map(requests_of).filter(|kind| *kind == "probe").count();
    assert_eq!(probes, 3);
    let log = site.log();
    let found: Vec<_> = gaps(&log)[2..].to_vec();
    assert!(found.iter().all(|gap| *gap + Duration::from_millis(20) >= Duration::from_millis(300)), "{found:?}");
    assert!(gaps(&log)[..2].iter().any(|gap| *gap < Duration::from_millis(280)), "before it opens nobody waits");
}

#[test]
fn without_a_breaker_every_url_is_asked() {
    let site = Site::start(|_: &Request| Answer::Reset);
    let records =
        lycosa(["fetch", "--breaker-failures", "0", "--retries", "0"]).lines(urls(&site, 30)).run().exits(1).records();
    assert_eq!((site.hits(), counted(&records, "failed")), (30, 30));
}

#[test]
fn the_breaker_counts_502_but_not_500_and_not_404() {
    for (answer, opens) in [(502, true), (504, true), (503, true), (500, false), (404, false), (403, false)] {
        let site = flaky(usize::MAX, answer);
        let records = lycosa(BREAKER).lines(urls(&site, 12)).run().exits(1).records();
        assert_eq!(counted(&records, "skipped: breaker_open") > 0, opens, "{answer}");
        assert_eq!(site.hits() == 12, !opens, "{answer}: {} requests", site.hits());
    }
}

#[test]
fn the_breaker_closes_when_the_host_returns_and_others_lose_nothing() {
    let site = Site::start(|request| if request.total < 4 { Answer::Reset } else { html("").into() });
    let other = Site::start(|_: &Request| html("").after_ms(10));
    let mut lines = urls(&site, 20);
    lines.extend(urls(&other, 60));
    let run = lycosa(BREAKER).lines(&lines).run().exits(1);
    let records = run.records();
    assert_eq!((counted(&records, "failed"), counted(&records, "ok")), (4, 76), "one probe failed, the next did not");
    assert_eq!((site.hits(), other.hits()), (20, 60));
    // The other host was done before the dead one came back: two cooldowns after its breaker opened.
    let back = site.log()[4].arrived;
    assert!(other.log().last().unwrap().arrived < back + Duration::from_millis(500));
    assert!(most_in_flight(&site.log()[4..]) <= 1);
}

#[test]
fn urls_of_an_open_host_wait_for_a_number_of_probes_or_for_a_time() {
    for (wait, probes) in [("1", 1), ("2", 2), ("200ms", 0)] {
        let site = Site::start(|_: &Request| Answer::Reset);
        let run = lycosa(BREAKER).args(["--breaker-wait", wait]).lines(urls(&site, 30)).run().exits(1);
        assert_eq!(site.hits(), 3 + probes, "--breaker-wait {wait}");
        assert_eq!(counted(&run.records(), "skipped: breaker_open"), 27 - probes, "--breaker-wait {wait}");
    }
}

#[test]
fn half_of_the_last_requests_open_it_too() {
    let script = |request: &Request| if request.total % 4 < 2 { html("") } else { status(502) };
    for (failures, opens) in [("5", true), ("0", false)] {
        let site = Site::start(script);
        let options = ["--retries", "0", "--breaker-failures", failures, "--breaker-cooldown", "200ms"];
        let options = options.iter().chain(&["--host-concurrency", "1", "--summary", "summary.json", "-v"]);
        let run = lycosa(["fetch"]).args(options.copied()).lines(urls(&site, 60)).run().exits(1);
        let told = &run.summary().0["hosts"][0]["breaker"];
        assert_eq!(told["opened"].as_u64() > Some(0), opens, "{told}");
        let logged = run.stderr.lines().filter(|line| line.contains("breaker") && line.contains("Opened"));
        assert_eq!(logged.count() > 0, opens, "{}", run.stderr);
    }
}

#[test]
fn methods_with_effects_are_repeated_on_request() {
    for (flags, hits) in [(&[][..], 1), (&["--retry-all"][..], 3)] {
        for method in ["POST", "PUT", "PATCH", "DELETE"] {
            let site = flaky(9, 500);
            lycosa(["fetch", "-X", method, &site.url("/")]).args(flags.iter().copied()).run().exits(1);
            assert_eq!(site.hits(), hits, "{method} {flags:?}");
        }
    }
}

#[test]
fn retries_have_a_budget_for_the_run() {
    let run = |count: usize| {
        let site = flaky(9, 500);
        let list = urls(&site, count);
        let run =
            lycosa(["fetch", "--summary", "summary.json", "--host-concurrency", "64"]).lines(&list).run().exits(1);
        assert_eq!(run.records().len(), count);
        let summary = run.summary();
        let hits = site.hits() as u64;
        assert_eq!(summary.number("requests"), hits);
        (hits, summary.number("retries"), summary.number("retries_denied"))
    };
    // Every URL of a short list is asked three times.
    assert_eq!(run(50), (150, 100, 0));
    // A long one triples nothing: beside the first hundred, a fifth; what was in flight when it ran out may overdraw it.
    let (hits, retries, denied) = run(1000);
    assert!(hits == 1000 + retries && retries <= 100 + hits / 5 + 64, "{retries} retries of {hits}");
    assert!(retries >= 300 && denied >= 600, "{retries} made, {denied} not made");
}

/// Half of the hosts are dead: each costs its breaker's own requests, and those of the others not one more.
#[test]
fn an_outage_costs_what_its_breakers_cost() {
    let sites: Vec<_> = (0..30)
        .map(|n| Site::start(move |_: &Request| if n % 2 == 0 { html("").into() } else { Answer::Reset }))
        .collect();
    let list: Vec<_> = (0..40).flat_map(|n| sites.iter().map(move |site| site.url(&format!("/{n}")))).collect();
    let asked = |flags: &[&str]| {
        let before: usize = sites.iter().map(Site::hits).sum();
        let flags = flags.iter().chain(&["--breaker-cooldown", "200ms"]);
        let run = lycosa(["fetch"]).args(flags.copied()).lines(&list).run().exits(1);
        assert_eq!(counted(&run.records(), "ok"), 15 * 40);
        sites.iter().map(Site::hits).sum::<usize>() - before
    };
    let most = 15 * 40 * 5 / 4 + 15 * (5 + 3);
    let hits = asked(&[]);
    assert!(hits <= most, "{hits} requests, {most} at most");
    assert!(asked(&["--breaker-failures", "0"]) > most, "control: without breakers");
}

#[test]
fn a_host_that_is_dead_for_good_costs_a_few_connections() {
    let site = Site::start(|_: &Request| Answer::Reset);
    let lines = urls(&site, 3000);
    let run = lycosa(["fetch", "--retries", "0", "--breaker-cooldown", "300ms"]).lines(&lines).run().exits(1);
    let records = run.records();
    assert_eq!(records.len(), 3000);
    let seen: BTreeSet<_> = records.iter().map(|record| field(record, "url")).collect();
    assert_eq!(seen.len(), 3000, "each URL has its record");
    assert!(site.connections() <= 5 + 1 + 3, "{} connections, {} requests", site.connections(), site.hits());
    assert_eq!(counted(&records, "failed") + counted(&records, "skipped: breaker_open"), 3000);
    assert!(run.peak_kib < 100 * 1024, "{} KiB", run.peak_kib);
}

#[test]
fn a_host_that_dies_and_returns_is_finished() {
    let site = Site::start(|_: &Request| html("").after_ms(20));
    let lines = urls(&site, 100);
    let mut running = lycosa(["fetch", "--breaker-cooldown", "500ms", "--retries", "8", "--host-concurrency", "2"])
        .lines(&lines)
        .spawn();
    running.wait_until("20 pages were asked", || site.hits() >= 20);
    site.die();
    std::thread::sleep(Duration::from_millis(400));
    site.revive();
    let records = running.finish().exits(0).records();
    assert_eq!(counted(&records, "ok"), 100);
}

#[test]
fn robots_that_answers_5xx_forbids_everything() {
    let site = Site::start(|request| if request.path() == "/robots.txt" { status(500) } else { html("") });
    let lines = [site.url("/a"), site.url("/b")];
    let records = lycosa(["crawl", "--retries", "0"]).args(lines).run().exits(1).records();
    assert_eq!(counted(&records, "skipped: robots"), 2);
    assert_eq!(site.pages().len(), 0);
}

#[test]
fn robots_that_is_not_there_allows_everything() {
    for answer in [401, 403, 404, 410] {
        let site = Site::start(move |request| if request.path() == "/robots.txt" { status(answer) } else { html("") });
        lycosa(["crawl", &site.url("/a")]).run().exits(0);
        assert_eq!(site.targets(), ["/a"], "{answer}");
    }
}

#[test]
fn robots_that_cannot_be_reached_fails_its_urls() {
    let site = Site::start(|request| if request.path() == "/robots.txt" { Answer::Reset } else { html("").into() });
    let options = ["--retries", "0", "--breaker-failures", "2", "--breaker-cooldown", "200ms"];
    let records = lycosa(["crawl"]).args(options).args(urls(&site, 5)).run().exits(1).records();
    assert_eq!(counted(&records, "failed"), 5);
    for record in &records {
        assert_eq!(record["error"]["stage"], "robots", "{record}");
    }
    assert_eq!(site.pages().len(), 0);
    assert!(site.hits() <= 2 + 3, "{} requests", site.hits());
}

#[test]
fn robots_is_a_request_that_redirects_and_retries_like_any() {
    let site = Site::start(|request| match (request.path(), request.nth) {
        ("/robots.txt", 0) => status(503).header("Retry-After", "0"),
        ("/robots.txt", _) => redirect(301, "/rules"),
        ("/rules", _) => text("User-agent: *\nDisallow: /no\n"),
        ("/", _) => html(index(["/no", "/yes"])),
        _ => html(""),
    });
    let records = lycosa(["crawl", &site.url("/")]).run().exits(0).records();
    assert_eq!(site.targets(), ["/", "/rules", "/yes"]);
    assert_eq!(with_path(&records, "/no")["skip_reason"], "robots");
    assert_eq!(urls_asked(&records).len(), site.hits(), "they stand with the next record of the host");
}

/// Silent hosts hold the places they have until their time is over; they must not get those that the others need.
#[test]
fn silent_hosts_do_not_starve_the_fast_ones() {
    let _alone = measuring();
    let time = |silent: &[Site]| {
        let fast: Vec<_> = (0..16).map(|_| Site::start(|_: &Request| html("").after_ms(50))).collect();
        let mut lines: Vec<_> = silent.iter().flat_map(|site| urls(site, 100)).collect();
        lines.extend((0..40).flat_map(|n| fast.iter().map(move |site| site.url(&format!("/{n}")))));
        let answered = || fast.iter().flat_map(Site::log).filter(|hit| hit.ended.is_some()).count();
        let mut running = lycosa(["fetch", "-j", "32", "-i", "list"]).file("list", lines.join("\n")).spawn();
        running.wait_until("all fast pages were answered", || answered() == 16 * 40);
        drop(running);
        let ends = fast.iter().flat_map(Site::log).flat_map(|hit| [Some(hit.arrived), hit.ended]);
        seconds(&ends.flatten().collect::<Vec<_>>())
    };
    let alone = time(&[]);
    let silent: Vec<_> = (0..4).map(|_| Site::start(|_: &Request| Answer::Hang)).collect();
    let beside = time(&silent);
    assert!(silent.iter().all(|site| site.hits() > 0), "the silent hosts were asked");
    assert!(beside <= alone * 1.5, "{beside:.2} s beside silent hosts, {alone:.2} s alone");
}
