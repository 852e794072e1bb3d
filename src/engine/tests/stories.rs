//! One behaviour at a time, in paused time.

use std::time::Duration;

use super::fake::{Reply, World, record, run_world, seed, seeds};
use crate::engine::settings::EngineSettings;
use crate::engine::stats::StoppedBy;
use crate::model::fetch_error::{ErrorKind, Stage};
use crate::model::record::{Outcome, RequestKind, SkipReason};
use crate::model::units::parse_rate;

fn fetch() -> EngineSettings {
    EngineSettings::default()
}

fn crawl() -> EngineSettings {
    EngineSettings { follow: true, obey_robots: true, host_concurrency: 4, ..EngineSettings::default() }
}

fn path(request: &crate::fetch::Request) -> String {
    request.url.path().to_owned()
}

#[tokio::test(start_paused = true)]
async fn a_crawl_asks_every_page_once() {
    let world = World::new(|request, _| match path(request).as_str() {
        "/robots.txt" | "/c" => Reply::status(404),
        "/" => Reply::page("<a href=/a>a</a> <a href=/b>b</a> <a href=/a#x>a</a> <a href=http://other.test/>o</a>"),
        "/a" => Reply::page("<title> A  page </title><a href=/>home</a><a href=/b>b</a><a href=/c>c</a>"),
        "/b" => Reply::redirect(302, "/c"),
        other => panic!("asked for {other}"),
    });
    let (summary, records) = run_world(&world, crawl(), [seed("http://site.test/")]).await;
    assert_eq!(records.len(), 4);
    assert_eq!(summary.stopped_by, StoppedBy::Done);
    assert_eq!(summary.refused[&SkipReason::Scope], 1);
    let a = record(&records, "http://site.test/a");
    assert_eq!((a.title.as_deref(), a.depth), (Some("A page"), 1));
    assert_eq!(a.source.as_deref(), Some("http://site.test/"));
    assert_eq!(world.urls()[0], "http://site.test/robots.txt");
    let home = record(&records, "http://site.test/");
    assert_eq!(home.requests.iter().map(|r| r.kind).collect::<Vec<_>>(), [RequestKind::Robots, RequestKind::Page]);
    assert_eq!(world.urls().iter().filter(|url| url.ends_with("/c")).count(), 1);
}

#[tokio::test(start_paused = true)]
async fn slots_start_at_one_and_double() {
    let world = World::new(|_, _| Reply::status(200).after(Duration::from_millis(100)));
    let settings = EngineSettings { host_concurrency: 8, ..fetch() };
    run_world(&world, settings, seeds((0..40).map(|n| format!("http://one.test/{n}")))).await;
    let requests = world.requests();
    let first = requests[0].start;
    let started_at = |ms: u64| requests.iter().filter(|r| (r.start - first).as_millis() == u128::from(ms)).count();
    assert_eq!([started_at(0), started_at(100)], [1, 2]);
    assert!(requests.iter().all(|request| request.at_host <= 8));
    assert_eq!(requests.iter().map(|request| request.at_host).max(), Some(8));
}

#[tokio::test(start_paused = true)]
async fn no_host_takes_more_than_its_quarter_while_others_wait() {
    let world = World::new(|_, _| Reply::status(200).after(Duration::from_millis(50)));
    let settings = EngineSettings { concurrency: 16, host_concurrency: 16, ..fetch() };
    let lines =
        (0..400).map(|n| if n < 200 { format!("http://a.test/{n}") } else { format!("http://b{}.test/{n}", n % 8) });
    run_world(&world, settings, seeds(lines)).await;
    let requests = world.requests();
    let last_b = requests.iter().filter(|r| r.host != "a.test").map(|r| r.start).max().unwrap();
    let most = |from_b: bool| {
        requests.iter().filter(|r| r.host == "a.test" && (r.start < last_b) == from_b).map(|r| r.at_host).max().unwrap()
    };
    assert!(most(true) <= 8, "beyond its quarter only where the others have no free slot: {}", most(true));
    assert_eq!(most(false), 16, "alone it may have all");
}

#[tokio::test(start_paused = true)]
async fn a_dead_host_costs_failures_slots_and_probes() {
    let world = World::new(|_, _| Reply::refused());
    let (summary, records) =
        run_world(&world, fetch(), seeds((0..10_000).map(|n| format!("http://dead.test/{n}")))).await;
    assert_eq!(records.len(), 10_000);
    let asked = world.requests().len();
    assert!(asked <= 5 + 1 + 3, "{asked} requests, and none after the host was given up");
    assert!(summary.skips[&SkipReason::BreakerOpen] >= 9_990);
    assert_eq!(summary.hosts[0].probes, 3);
    assert!(summary.hosts[0].given_up);
}

#[tokio::test(start_paused = true)]
async fn a_host_that_returns_closes_its_breaker() {
    let start = tokio::time::Instant::now();
    let world = World::new(move |request, _| {
        let dead = (1..40).contains(&start.elapsed().as_secs());
        if dead && request.url.host_str() == Some("flaky.test") { Reply::refused() } else { Reply::status(200) }
            .after(Duration::from_millis(200))
    });
    let lines = (0..100).flat_map(|n| [format!("http://flaky.test/{n}"), format!("http://well.test/{n}")]);
    let settings = EngineSettings { host_concurrency: 1, ..fetch() };
    let (summary, records) = run_world(&world, settings, seeds(lines)).await;
    let flaky = summary.hosts.iter().find(|host| &*host.host_key == "flaky.test").unwrap();
    assert_eq!((flaky.opened, flaky.closed, flaky.given_up), (1, 1, false));
    let well = records.iter().filter(|r| r.host_key.as_deref() == Some("well.test"));
    assert!(well.clone().all(|record| record.outcome == Outcome::Ok) && well.count() == 100);
    assert!(records.iter().any(|record| record.requests.iter().any(|r| r.kind == RequestKind::Probe)));
}

#[tokio::test(start_paused = true)]
async fn a_refusal_holds_the_whole_host_and_costs_no_retry() {
    let world = World::new(|request, tries| match path(request).as_str() {
        "/0" if tries < 4 => Reply::status(429).header("retry-after", "7"),
        _ => Reply::status(200),
    });
    let (_, records) = run_world(&world, fetch(), seeds((0..5).map(|n| format!("http://h.test/{n}")))).await;
    assert!(records.iter().all(|record| record.outcome == Outcome::Ok));
    let requests = world.requests();
    for refused in requests.iter().filter(|seen| seen.url.ends_with("/0")).take(4) {
        let end = refused.end.unwrap();
        let early = requests.iter().find(|seen| seen.start >= end && seen.start < end + Duration::from_secs(7));
        assert!(early.is_none(), "{early:?} comes within the hold of {refused:?}");
    }
    assert_eq!(record(&records, "http://h.test/0").attempts, 5);
}

#[tokio::test(start_paused = true)]
async fn refusals_without_end_are_a_record() {
    let world = World::new(|_, _| Reply::status(503).header("retry-after", "1"));
    let (_, records) = run_world(&world, fetch(), [seed("http://h.test/")]).await;
    assert_eq!(records[0].skip_reason, Some(SkipReason::RateLimited));
    assert_eq!((records[0].status, records[0].requests.len()), (Some(503), 10));
}

#[tokio::test(start_paused = true)]
async fn robots_txt_that_fails() {
    let world = World::new(|request, _| match (request.url.host_str(), path(request).as_str()) {
        (Some("broken.test"), "/robots.txt") => Reply::status(500),
        (Some("gone.test"), _) => Reply::refused(),
        (Some("closed.test"), "/robots.txt") => Reply::page("User-agent: lycosa\nDisallow: /x"),
        _ => Reply::page(""),
    });
    let urls = ["http://broken.test/", "http://gone.test/", "http://closed.test/x", "http://closed.test/y"];
    let (_, records) = run_world(&world, crawl(), urls.map(seed)).await;
    assert_eq!(record(&records, urls[0]).skip_reason, Some(SkipReason::Robots));
    let gone = record(&records, urls[1]).error.clone().unwrap();
    assert_eq!((gone.kind, gone.stage), (ErrorKind::Connect, Stage::Robots));
    assert_eq!(record(&records, urls[1]).requests.len(), 3, "robots.txt was tried three times");
    assert_eq!(record(&records, urls[2]).skip_reason, Some(SkipReason::Robots));
    assert_eq!(record(&records, urls[3]).outcome, Outcome::Ok);
}

#[tokio::test(start_paused = true)]
async fn a_redirect_loop_ends() {
    let world = World::new(|request, _| match path(request).as_str() {
        "/a" => Reply::redirect(302, "/b"),
        _ => Reply::redirect(302, "/a"),
    });
    // A list may be of pages that count their visits: there the limit of redirects ends it. A crawl asks no page twice.
    for (settings, requests) in [(fetch(), 21), (EngineSettings { obey_robots: false, ..crawl() }, 2)] {
        let (_, records) = run_world(&world, settings, [seed("http://h.test/a")]).await;
        let error = records[0].error.clone().unwrap();
        assert_eq!((error.kind, records[0].requests.len()), (ErrorKind::Redirect, requests));
    }
}

#[tokio::test(start_paused = true)]
async fn the_limit_of_pages_is_exact() {
    let world = World::new(|_, tries| if tries == 0 { Reply::status(500) } else { Reply::status(200) });
    for limit in [1, 7, 100] {
        let settings = EngineSettings { max_pages: Some(limit), concurrency: 8, ..fetch() };
        let lines = (0..1000).map(move |n| seed(&format!("http://h{}.test/{limit}/{n}", n % 20)));
        let (summary, records) = run_world(&world, settings, lines).await;
        assert_eq!((records.len() as u64, summary.stopped_by), (limit, StoppedBy::Limit));
        assert!(summary.work_left);
    }
}

#[tokio::test(start_paused = true)]
async fn a_panic_is_a_record() {
    let world = World::new(|request, _| Reply { panics: path(request) == "/3", ..Reply::status(200) });
    let (summary, records) = run_world(&world, fetch(), seeds((0..9).map(|n| format!("http://h.test/{n}")))).await;
    assert_eq!((records.len(), summary.panics), (9, 1));
    let error = record(&records, "http://h.test/3").error.clone().unwrap();
    assert_eq!(error.kind, ErrorKind::Internal);
}

#[tokio::test(start_paused = true)]
async fn rates_are_kept_and_used() {
    let world = World::new(|_, _| Reply::status(200));
    let settings = EngineSettings { rate: Some(parse_rate("50/s").unwrap()), ..fetch() };
    run_world(&world, settings, seeds((0..500).map(|n| format!("http://h{}.test/{n}", n % 9)))).await;
    let requests = world.requests();
    let span = requests.last().unwrap().start - requests[0].start;
    assert!((Duration::from_millis(9_970)..Duration::from_millis(10_200)).contains(&span), "{span:?}");
    for (place, request) in requests.iter().enumerate().skip(50) {
        let window = request.start - requests[place - 50].start;
        assert!(window >= Duration::from_millis(975), "51 starts in {window:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn input_order_survives_a_late_first_line() {
    let world = World::new(|request, tries| match path(request).as_str() {
        "/0" if tries < 2 => Reply::status(503),
        _ => Reply::status(200),
    });
    let settings = EngineSettings { ordered: true, concurrency: 4, ..fetch() };
    let (_, records) = run_world(&world, settings, seeds((0..3000).map(|n| format!("http://h.test/{n}")))).await;
    let order: Vec<_> = records.iter().map(|record| record.url.clone().unwrap()).collect();
    let expected: Vec<_> = (0..3000).map(|n| format!("http://h.test/{n}").into_boxed_str()).collect();
    assert_eq!(order, expected);
    assert_eq!(records[0].attempts, 3);
}

#[tokio::test(start_paused = true)]
async fn silent_hosts_do_not_hold_up_the_others() {
    let silent = |host: &str| host.starts_with("silent");
    let script = move |request: &crate::fetch::Request, _| {
        let late = silent(request.url.host_str().unwrap_or_default());
        Reply::status(200).after(if late { Duration::from_hours(1) } else { Duration::from_millis(50) })
    };
    let fast = || (0..5_000).map(|n| format!("http://fast{}.test/{n}", n % 50));
    let slow = (0..8_000).map(|n| format!("http://silent{}.test/{n}", n % 8));
    let settings = EngineSettings { concurrency: 32, ..fetch() };
    let time_of_fast = |requests: Vec<super::fake::Seen>| {
        let fast = requests.into_iter().filter(|seen| seen.host.starts_with("fast"));
        let ends: Vec<_> = fast.map(|seen| (seen.start, seen.end.unwrap())).collect();
        *ends.iter().map(|(_, end)| end).max().unwrap() - *ends.iter().map(|(start, _)| start).min().unwrap()
    };
    let alone = World::new(script);
    run_world(&alone, settings.clone(), seeds(fast())).await;
    let together = World::new(script);
    run_world(&together, settings, seeds(slow.chain(fast()))).await;
    let (alone, together) = (time_of_fast(alone.requests()), time_of_fast(together.requests()));
    assert!(together <= alone * 3 / 2, "{together:?} against {alone:?} alone");
}

#[tokio::test(start_paused = true)]
async fn retries_of_a_host_that_was_given_up_are_no_further_probes() {
    for seed_number in 0..20 {
        let world = World::new(|_, _| Reply::refused());
        let breaker =
            crate::policy::breaker::BreakerSettings { cooldown: Duration::from_millis(100), ..Default::default() };
        let settings = EngineSettings { breaker, seed: seed_number, ..fetch() };
        let (_, records) = run_world(&world, settings, seeds((0..100).map(|n| format!("http://dead.test/{n}")))).await;
        assert_eq!(records.len(), 100);
        assert!(world.requests().len() <= 5 + 1 + 3, "{} requests", world.requests().len());
    }
}

/// Law 1: a job that backs off holds no permit. With one permit, the next request starts the moment the last one ends.
#[tokio::test(start_paused = true)]
async fn nobody_sleeps_while_holding_a_place() {
    let world = World::new(|request, _| match request.url.host_str() {
        Some("broken.test") => Reply::status(500),
        Some("busy.test") => Reply::status(429).header("retry-after", "3"),
        _ => Reply::status(200),
    });
    let settings = EngineSettings { concurrency: 1, host_concurrency: 1, ..fetch() };
    let lines = ["http://broken.test/", "http://busy.test/"].map(str::to_owned).into_iter();
    run_world(&world, settings, seeds(lines.chain((0..50).map(|n| format!("http://h{n}.test/"))))).await;
    let requests = world.requests();
    for pair in requests.windows(2).take(50) {
        assert_eq!(Some(pair[1].start), pair[0].end, "{} waits for {}", pair[1].url, pair[0].url);
    }
}
