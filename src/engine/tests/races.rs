//! Jobs with mirrors: who wins, what the others cost, and that nothing of a race is lost or left behind.

use std::collections::{HashMap, HashSet};
use std::time::Duration;

use tokio::time::Instant;
use xxhash_rust::xxh3::xxh3_64_with_seed;

use super::fake::{Reply, Seen, World, mirrored, run_controlled, run_world, seed, seeds};
use crate::engine::Controls;
use crate::engine::settings::{EngineSettings, HedgeAfter, RaceMode, With};
use crate::engine::stats::StoppedBy;
use crate::model::fetch_error::{ErrorKind, Stage};
use crate::model::record::{Outcome, RecordBody, RequestKind, SkipReason};
use crate::model::units::parse_rate;

const A: &str = "http://a.test/f";
const B: &str = "http://b.test/f";
const C: &str = "http://c.test/f";

fn fetch() -> EngineSettings {
    EngineSettings::default()
}

fn all_at_once() -> EngineSettings {
    EngineSettings { race: RaceMode::All, ..fetch() }
}

fn ms(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

fn host(request: &crate::fetch::Request) -> String {
    request.url.host_str().unwrap_or_default().to_owned()
}

/// Each mirror of a record: its outcome, and whether it was asked.
fn costs(record: &RecordBody) -> Vec<(&'static str, bool)> {
    let mirrors = record.mirrors.as_ref().expect("a job with mirrors");
    mirrors.iter().map(|mirror| (mirror.outcome.as_str(), mirror.total_ms.is_some())).collect()
}

/// When each request started, in ms since the first one; and whether it was cut off.
fn starts(world: &World) -> Vec<(String, u128, bool)> {
    let requests = world.requests();
    let first = requests[0].start;
    let told = |seen: Seen| (seen.host, (seen.start - first).as_millis(), seen.cut);
    requests.into_iter().map(told).collect()
}

#[tokio::test(start_paused = true)]
async fn the_next_mirror_is_asked_after_a_while_and_the_first_answer_wins() {
    let world = World::new(|request, _| match host(request).as_str() {
        "a.test" => Reply::status(200).after(Duration::from_secs(20)),
        "b.test" => Reply::page("<title>it</title>").after(ms(100)),
        _ => panic!("the third is not needed"),
    });
    let (summary, records) = run_world(&world, fetch(), [mirrored(&[A, B, C])]).await;
    assert_eq!((summary.records, summary.left, summary.stopped_by), (1, 0, StoppedBy::Done));
    assert_eq!(summary.elapsed.as_millis(), 600, "the loser holds up nothing");
    let record = &records[0];
    assert_eq!((record.url.as_deref(), record.host_key.as_deref()), (Some(B), Some("b.test")));
    assert_eq!((record.outcome, record.title.as_deref()), (Outcome::Ok, Some("it")));
    assert_eq!(record.input.as_deref(), Some("http://a.test/f http://b.test/f http://c.test/f"));
    assert_eq!(costs(record), [("skipped", true), ("ok", true), ("skipped", false)]);
    let told: Vec<_> = record.requests.iter().map(|r| (&*r.url, r.kind, r.status)).collect();
    assert_eq!(told, [(A, RequestKind::Race, None), (B, RequestKind::Race, Some(200))]);
    assert_eq!(starts(&world), [("a.test".to_owned(), 0, true), ("b.test".to_owned(), 500, false)]);
    assert!(world.requests().iter().all(|seen| seen.end == world.requests()[1].end), "cut off at that moment");
    assert_eq!(summary.requests, 2, "what was cut off counts");
    let mirrors = record.mirrors.as_ref().unwrap();
    let times: Vec<_> = mirrors.iter().map(|mirror| serde_json::to_string(&mirror.total_ms).unwrap()).collect();
    assert_eq!(times, ["600.0", "100.0", "null"]);
}

#[tokio::test(start_paused = true)]
async fn all_at_once_the_fastest_decides() {
    let world = World::new(|request, _| match host(request).as_str() {
        "a.test" => Reply::status(404).after(ms(10)),
        "b.test" => Reply::status(200).after(ms(900)),
        _ => Reply::status(200).after(ms(50)),
    });
    let (summary, records) = run_world(&world, all_at_once(), [mirrored(&[A, B, C])]).await;
    assert_eq!(summary.elapsed.as_millis(), 50);
    assert_eq!(records[0].url.as_deref(), Some(C));
    assert_eq!(costs(&records[0]), [("http_error", true), ("skipped", true), ("ok", true)]);
    assert!(starts(&world).iter().all(|(_, start, _)| *start == 0));
}

#[tokio::test(start_paused = true)]
async fn a_mirror_that_fails_makes_way_at_once() {
    let world = World::new(|request, _| match host(request).as_str() {
        "a.test" => Reply::status(404),
        "b.test" => Reply::refused(),
        _ => Reply::status(200),
    });
    let retry = crate::policy::retry::RetrySettings { retries: 0, ..Default::default() };
    for after in [HedgeAfter::Time(Duration::from_secs(5)), HedgeAfter::Never] {
        let settings = EngineSettings { hedge_after: after, retry, ..fetch() };
        let (summary, records) = run_world(&world, settings, [mirrored(&[A, B, C])]).await;
        assert_eq!(costs(&records[0]), [("http_error", true), ("failed", true), ("ok", true)]);
        assert_eq!(summary.elapsed.as_millis(), 30, "10 ms each, and no wait between them");
    }
}

#[tokio::test(start_paused = true)]
async fn a_retry_is_no_reason_to_wait_longer_for_the_next_mirror() {
    let world = World::new(|request, tries| match host(request).as_str() {
        "a.test" if tries < 2 => Reply::status(503),
        "a.test" => Reply::status(200).after(Duration::from_secs(30)),
        _ => Reply::status(200),
    });
    let (_, records) = run_world(&world, fetch(), [mirrored(&[A, B])]).await;
    assert_eq!(records[0].url.as_deref(), Some(B));
    let b = starts(&world).into_iter().find(|(host, ..)| host == "b.test").unwrap();
    assert_eq!(b.1, 500, "since the first request to the first mirror");
}

#[tokio::test(start_paused = true)]
async fn if_none_wins_the_record_is_that_of_the_first() {
    let world = World::new(|request, _| match host(request).as_str() {
        "a.test" => Reply::refused(),
        _ => Reply::status(404),
    });
    for settings in [fetch(), all_at_once()] {
        let (summary, records) = run_world(&world, settings, [mirrored(&[A, B, C])]).await;
        let record = &records[0];
        assert_eq!((record.url.as_deref(), record.outcome), (Some(A), Outcome::Failed));
        assert_eq!(record.error.as_ref().map(|error| error.kind), Some(ErrorKind::Connect));
        assert_eq!(costs(record), [("failed", true), ("http_error", true), ("http_error", true)]);
        assert_eq!(record.requests.len(), 5, "three to the first, with its retries");
        assert!(record.requests.is_sorted_by_key(|request| request.started_at));
        assert_eq!((summary.failures, summary.seeds_failed, summary.left), (1, 1, 0));
    }
}

/// A leg that waits at a host with a long Crawl-delay is removed, and so is its robots.txt that nobody waits for.
#[tokio::test(start_paused = true)]
async fn legs_that_wait_are_removed() {
    let world = World::new(|request, _| match (host(request).as_str(), request.url.path()) {
        ("b.test", "/robots.txt") => Reply::page("User-agent: *\nCrawl-delay: 3600"),
        ("c.test", "/robots.txt") => Reply::status(200).after(Duration::from_secs(25)),
        (_, "/robots.txt") => Reply::status(404),
        ("a.test", _) => Reply::status(200).after(Duration::from_secs(2)),
        (other, _) => panic!("{other} is not asked"),
    });
    let settings = EngineSettings { obey_robots: true, ..fetch() };
    let (summary, records) = run_world(&world, settings, [mirrored(&[A, B, C])]).await;
    assert_eq!(costs(&records[0]), [("ok", true), ("skipped", false), ("skipped", false)]);
    assert_eq!(summary.elapsed.as_millis(), 2010, "neither the hour nor the robots.txt is waited for");
    assert_eq!(summary.requests, 4, "a page and three robots.txt, one of them cut off");
}

#[tokio::test(start_paused = true)]
async fn a_mirror_whose_host_cannot_be_asked_is_not_waited_for() {
    let world = World::new(|request, tries| match host(request).as_str() {
        "a.test" if tries == 0 => Reply::status(429).header("retry-after", "60"),
        _ => Reply::status(200),
    });
    let lines = [mirrored(&[A, B]), mirrored(&["http://a.test/g", "http://b.test/g"])];
    let settings = EngineSettings { hedge_after: HedgeAfter::Time(Duration::from_secs(20)), ..fetch() };
    let (summary, records) = run_world(&world, settings, lines).await;
    assert!(records.iter().all(|record| record.host_key.as_deref() == Some("b.test")), "{records:?}");
    assert!(summary.elapsed < Duration::from_secs(1), "{:?}", summary.elapsed);
}

/// The wait counts from the request, not from the queue: a leg that had to wait for robots.txt has its full time.
#[tokio::test(start_paused = true)]
async fn a_mirror_has_its_time_from_its_request_on() {
    let world = World::new(|request, _| match (host(request).as_str(), request.url.path()) {
        ("a.test", "/robots.txt") => Reply::status(404).after(ms(300)),
        (_, "/robots.txt") => Reply::status(404).after(ms(0)),
        ("a.test", _) => Reply::status(200).after(Duration::from_secs(20)),
        _ => Reply::status(200),
    });
    run_world(&world, EngineSettings { obey_robots: true, ..fetch() }, [mirrored(&[A, B])]).await;
    let b = starts(&world).into_iter().find(|(host, ..)| host == "b.test").unwrap();
    assert_eq!(b.1, 800);
}

#[tokio::test(start_paused = true)]
async fn a_winner_is_written_although_the_run_is_cut_off_at_that_moment() {
    let world =
        World::new(|request, _| Reply::status(200).after(if host(request) == "b.test" { ms(500) } else { ms(9000) }));
    let controls = Controls::default();
    let stop = controls.clone();
    let run = run_controlled(&world, all_at_once(), [mirrored(&[A, B])], controls);
    let signal = async move {
        tokio::time::sleep(ms(500)).await;
        // The tasks have their turn first, and the dispatcher learns of both at once.
        tokio::task::yield_now().await;
        stop.abort.cancel();
    };
    let ((), (summary, records)) = tokio::join!(signal, run);
    assert_eq!((summary.stopped_by, summary.left, records.len()), (StoppedBy::Signal, 0, 1));
    assert_eq!(costs(&records[0]), [("skipped", true), ("ok", true)]);
    let told: Vec<_> = records[0].requests.iter().map(|request| (&*request.url, request.status)).collect();
    assert_eq!(told, [(A, None), (B, Some(200))], "the loser's task was ended without a word");
}

#[tokio::test(start_paused = true)]
async fn a_mirror_that_robots_forbids_makes_way() {
    let world = World::new(|request, _| match (host(request).as_str(), request.url.path()) {
        ("a.test", "/robots.txt") => Reply::page("User-agent: *\nDisallow: /"),
        (_, "/robots.txt") => Reply::status(404),
        ("a.test", _) => panic!("it is forbidden"),
        _ => Reply::status(200),
    });
    let settings = EngineSettings { obey_robots: true, hedge_after: HedgeAfter::Never, ..fetch() };
    let (_, records) = run_world(&world, settings.clone(), [mirrored(&[A, B])]).await;
    assert_eq!(costs(&records[0]), [("skipped", false), ("ok", true)]);
    let kinds: Vec<_> = records[0].requests.iter().map(|request| request.kind).collect();
    assert_eq!(kinds, [RequestKind::Robots, RequestKind::Robots, RequestKind::Race]);
    let (_, records) = run_world(&world, settings, [mirrored(&[A, "http://a.test/g"])]).await;
    assert_eq!((records[0].skip_reason, records[0].outcome), (Some(SkipReason::Robots), Outcome::Skipped));
    assert_eq!(records[0].url.as_deref(), Some(A));
}

#[tokio::test(start_paused = true)]
async fn legs_follow_redirects_at_their_targets_hosts() {
    let world = World::new(|request, _| match host(request).as_str() {
        "a.test" => Reply::redirect(302, "http://far.test/"),
        "far.test" => Reply::status(200).after(Duration::from_secs(9)),
        "b.test" => Reply::redirect(302, "http://near.test/"),
        _ => Reply::status(200),
    });
    let (_, records) = run_world(&world, fetch(), [mirrored(&[A, B])]).await;
    let record = &records[0];
    assert_eq!((record.url.as_deref(), record.final_url.as_deref()), (Some(B), Some("http://near.test/")));
    let kinds: Vec<_> = record.requests.iter().map(|r| (r.kind, &*r.host_key)).collect();
    let (race, hop) = (RequestKind::Race, RequestKind::Redirect);
    assert_eq!(kinds, [(race, "a.test"), (hop, "far.test"), (race, "b.test"), (hop, "near.test")]);
    assert_eq!(costs(record), [("skipped", true), ("ok", true)]);
}

#[tokio::test(start_paused = true)]
async fn a_race_stays_within_one_permit() {
    let world = World::new(|request, _| {
        Reply::status(200).after(if host(request) == "a.test" { Duration::from_secs(3) } else { ms(1) })
    });
    let settings = EngineSettings { concurrency: 1, race: RaceMode::All, ..fetch() };
    let (_, records) = run_world(&world, settings, [mirrored(&[A, B])]).await;
    assert_eq!(world.log.lock().unwrap().most_in_flight, 1);
    assert_eq!(records.len(), 1);
}

#[tokio::test(start_paused = true)]
async fn each_url_is_asked_once_where_that_holds() {
    let world = World::new(|_, _| Reply::status(200));
    let settings = EngineSettings { unique: true, ..all_at_once() };
    let lines = [seed(A), mirrored(&[A, B]), mirrored(&[B, A]), seed(B)];
    let (summary, records) = run_world(&world, settings, lines).await;
    assert_eq!(summary.skips[&SkipReason::Duplicate], 2);
    let mut asked = world.urls();
    asked.sort();
    assert_eq!(asked, [A, B]);
    let mixed = records.iter().find(|record| record.mirrors.is_some() && record.outcome == Outcome::Ok).unwrap();
    assert_eq!((mixed.url.as_deref(), costs(mixed)), (Some(B), vec![("skipped", false), ("ok", true)]));
    let repeated = records.iter().find(|record| record.mirrors.is_some() && record.outcome != Outcome::Ok).unwrap();
    assert_eq!((repeated.url.as_deref(), repeated.host_key.as_deref()), (Some(B), Some("b.test")));
    assert_eq!(costs(repeated), [("skipped", false), ("skipped", false)]);
}

#[tokio::test(start_paused = true)]
async fn the_winner_of_a_crawl_is_where_it_starts() {
    let world = World::new(|request, _| match (host(request).as_str(), request.url.path()) {
        (_, "/robots.txt") => Reply::status(404),
        ("a.test", _) => Reply::status(500),
        ("b.test", "/f") => Reply::page("<a href=/next>next</a>"),
        _ => Reply::page(""),
    });
    let settings = EngineSettings { follow: true, obey_robots: true, ..fetch() };
    let (_, records) = run_world(&world, settings, [mirrored(&[A, B])]).await;
    let urls: HashSet<_> = records.iter().filter_map(|record| record.url.as_deref()).collect();
    assert_eq!(urls, HashSet::from([B, "http://b.test/next"]));
}

#[tokio::test(start_paused = true)]
async fn a_stop_in_the_middle_of_a_race() {
    let slow = || {
        World::new(|request, _| {
            Reply::status(200).after(Duration::from_secs(if host(request) == "b.test" { 4 } else { 60 }))
        })
    };
    let stopped = async |settings: EngineSettings, abort: bool| {
        let world = slow();
        let controls = Controls::default();
        let stop = controls.clone();
        let run = run_controlled(&world, settings, [mirrored(&[A, B, C])], controls);
        let signal = async move {
            tokio::time::sleep(ms(700)).await;
            if abort { stop.abort.cancel() } else { stop.drain.cancel() }
        };
        let ((summary, records), ()) = tokio::join!(run, signal);
        assert!(world.requests().iter().all(|seen| seen.end.is_some()), "nothing goes on after the end");
        (summary, records, world)
    };
    let (summary, records, world) = stopped(fetch(), false).await;
    assert_eq!((records.len(), summary.left), (1, 0), "who answers within the grace wins");
    assert_eq!(world.requests().len(), 2, "and no further mirror is asked after the stop");
    let (summary, records, _) = stopped(fetch(), true).await;
    assert_eq!((records.len(), summary.left, summary.stopped_by), (0, 1, StoppedBy::Signal));
    let short = EngineSettings { grace: Duration::from_secs(1), ..fetch() };
    let (summary, records, _) = stopped(short, false).await;
    assert_eq!((records.len(), summary.left), (0, 1));
    let (summary, ..) = stopped(EngineSettings { deadline: Some(Duration::from_secs(2)), ..fetch() }, false).await;
    assert_eq!(summary.left, 1);
}

/// A leg that fails after the stop leaves its job pending: what was not asked may still have it.
#[tokio::test(start_paused = true)]
async fn a_failure_while_stopping_is_not_the_end_of_a_race() {
    let world = World::new(|_, _| Reply::status(404).after(Duration::from_secs(2)));
    for (settings, left) in [(EngineSettings { hedge_after: HedgeAfter::Never, ..fetch() }, 1), (all_at_once(), 0)] {
        let controls = Controls::default();
        let stop = controls.clone();
        let run = run_controlled(&world, settings, [mirrored(&[A, B])], controls);
        let signal = async move {
            tokio::time::sleep(ms(700)).await;
            stop.drain.cancel();
        };
        let ((summary, records), ()) = tokio::join!(run, signal);
        assert_eq!((summary.left, records.len() as u64), (left, 1 - left));
    }
}

#[tokio::test(start_paused = true)]
async fn the_limit_of_pages_counts_races_not_legs() {
    for (limit, mode) in [(1, RaceMode::Hedge), (1, RaceMode::All), (7, RaceMode::All), (20, RaceMode::Hedge)] {
        let world = World::new(|request, _| {
            Reply::status(200).after(if host(request).starts_with('a') { Duration::from_secs(25) } else { ms(20) })
        });
        let line = |n: u64| mirrored(&[&format!("http://a{n}.test/"), &format!("http://b{}.test/{n}", n % 9)]);
        let settings = EngineSettings { max_pages: Some(limit), race: mode, ..fetch() };
        let (summary, records) = run_world(&world, settings, (0..200).map(line)).await;
        assert_eq!((records.len() as u64, summary.stopped_by), (limit, StoppedBy::Limit));
        assert!(records.iter().all(|record| record.outcome == Outcome::Ok));
        assert!(records.iter().all(|record| record.host_key.as_ref().unwrap().starts_with('b')), "{mode:?} {limit}");
    }
}

/// A race is a page from its first request to its record, also while its next leg waits: no other begins for it.
#[tokio::test(start_paused = true)]
async fn the_limit_of_pages_starts_no_race_that_it_does_not_need() {
    for (concurrency, plain) in [(16, 0), (16, 3), (2, 0), (64, 10)] {
        let world = World::new(|request, _| match host(request).as_str() {
            "a.test" => Reply::status(404),
            _ => Reply::status(200).after(Duration::from_secs(2)),
        });
        // Jobs before the races in the queue of the second mirror must not keep their legs from it.
        let lines = (0..50).map(move |n| match n {
            n if n < plain => seed(&format!("http://b.test/plain/{n}")),
            _ => mirrored(&[&format!("http://a.test/q/{n}"), &format!("http://b.test/q/{n}")]),
        });
        let settings = EngineSettings { max_pages: Some(5), concurrency, ..fetch() };
        let (summary, records) = run_world(&world, settings, lines).await;
        assert_eq!((records.len(), summary.left, summary.stopped_by), (5, 45, StoppedBy::Limit));
        let (asked, told) = (world.requests(), records.iter().map(|record| record.requests.len()).sum::<usize>());
        assert_eq!(asked.len(), told, "nothing is cut off, -j {concurrency}");
        assert!(asked.iter().all(|seen| !seen.cut));
        assert!(asked.len() <= 10, "{}", asked.len());
    }
}

/// The leg that the limit still needs stands behind a race that may not begin any more.
#[tokio::test(start_paused = true)]
async fn a_race_under_way_goes_before_those_that_may_not_begin() {
    let world = World::new(|request, tries| match (host(request).as_str(), request.url.path()) {
        ("a.test", _) => Reply::status(404).after(ms(50)),
        ("b.test", "/1") => Reply::status(200).after(ms(300)),
        (_, "/f") if tries == 0 => Reply::status(503),
        _ => Reply::status(200),
    });
    let lines = || [seed("http://b.test/1"), seed("http://b.test/2"), mirrored(&[B, A]), mirrored(&[A, B]), seed(C)];
    for limit in 1..=5 {
        for host_concurrency in [1, 8] {
            let settings = EngineSettings { max_pages: Some(limit), host_concurrency, ..fetch() };
            let (summary, records) = run_world(&world, settings, lines()).await;
            assert_eq!((records.len() as u64, summary.left), (limit, 5 - limit));
        }
    }
}

/// Losers that have answered before they could be cut off.
#[tokio::test(start_paused = true)]
async fn what_all_legs_were_asked_stands_in_the_record() {
    for (settings, lines, mirrors) in [
        (all_at_once(), 200_u64, "abc"),
        (EngineSettings { host_concurrency: 1, hedge_after: HedgeAfter::Time(ms(300)), ..fetch() }, 40, "ab"),
    ] {
        let world = World::new(|_, _| Reply::page("<title>x</title>").after(ms(200)));
        let urls = |n: u64| mirrors.chars().map(|host| format!("http://{host}.test/{n}")).collect::<Vec<_>>();
        let lines = (0..lines).map(|n| mirrored(&urls(n).iter().map(String::as_str).collect::<Vec<_>>()));
        let (_, records) = run_world(&world, settings, lines.collect::<Vec<_>>()).await;
        let seen = world.requests();
        assert!(seen.len() > records.len(), "there are losers");
        assert_eq!(records.iter().map(|record| record.requests.len()).sum::<usize>(), seen.len());
        let ends = records.iter().flat_map(|record| record.mirrors.as_ref().unwrap());
        assert!(ends.clone().all(|end| end.wire_size == 0 || end.total_ms.is_some()));
        assert_eq!(ends.filter(|end| end.outcome == Outcome::Ok).count(), records.len(), "one winner each");
    }
}

/// Legs that were asked of the second mirror, of `lines` with two mirrors that answer after `latency`.
async fn second_legs(settings: EngineSettings, lines: u64, spread: u64, latency: Duration) -> (usize, Duration) {
    let world = World::new(move |_, _| Reply::status(200).after(latency));
    let line = move |n: u64| {
        let host = n % spread;
        mirrored(&[&format!("http://a{host}.test/{n}"), &format!("http://b{host}.test/{n}")])
    };
    let (summary, records) = run_world(&world, settings, (0..lines).map(line)).await;
    assert!(records.iter().all(|record| record.outcome == Outcome::Ok));
    (world.requests().iter().filter(|seen| seen.host.starts_with('b')).count(), summary.elapsed)
}

/// Our own queue is not slowness: neither that of a host that answers, nor that for the places of the run.
#[tokio::test(start_paused = true)]
async fn a_busy_mirror_is_not_a_slow_one() {
    let crowded = EngineSettings { concurrency: 2, ..fetch() };
    let one = EngineSettings { host_concurrency: 1, ..fetch() };
    for (settings, lines, spread, latency) in
        [(fetch(), 300, 1, 120), (one.clone(), 40, 1, 120), (crowded, 40, 40, 120)]
    {
        let (asked, _) = second_legs(settings, lines, spread, ms(latency)).await;
        assert_eq!(asked, 0, "{lines} lines of {latency} ms, of {spread} hosts");
    }
    for settings in [fetch(), one.clone()] {
        let (asked, _) = second_legs(settings, 300, 1, ms(700)).await;
        assert!(asked > 75, "one that takes more than its time is slow: {asked}");
    }
    // Not for ever: 60 legs wait for one place, and after ten times as long they go elsewhere.
    let (asked, took) = second_legs(one.clone(), 60, 1, ms(300)).await;
    assert!(asked > 10 && took < ms(60 * 300), "{asked} {took:?}");
    let paced = EngineSettings { delay: Duration::from_secs(3), ..one };
    let (asked, took) = second_legs(paced, 20, 1, ms(10)).await;
    assert!(asked >= 8 && took < Duration::from_secs(45), "a wait that is known is not waited for: {asked} {took:?}");
}

#[tokio::test(start_paused = true)]
async fn a_dead_first_mirror_holds_up_nothing() {
    let world = World::new(|request, _| match host(request).as_str() {
        // A black hole: the connection is never answered.
        "a.test" => Reply::status(200).after(Duration::from_hours(1)),
        _ => Reply::status(200),
    });
    let lines = (0..2_000).map(|n| mirrored(&[&format!("http://a.test/{n}"), &format!("http://b{}.test/{n}", n % 8)]));
    let (summary, records) = run_world(&world, fetch(), lines).await;
    assert_eq!(records.len(), 2_000);
    assert!(records.iter().all(|record| record.outcome == Outcome::Ok));
    let asked = world.requests().iter().filter(|seen| seen.host == "a.test").count();
    assert!(asked < 200, "{asked} requests into the black hole, {:?}", summary.elapsed);
    assert!(summary.elapsed < Duration::from_mins(1), "{:?}", summary.elapsed);
}

#[tokio::test(start_paused = true)]
async fn the_wait_is_learned_from_the_host() {
    let world = World::new(|request, _| match (host(request).as_str(), request.url.path()) {
        ("c.test", _) | ("a.test", "/slow") => Reply::status(200).after(Duration::from_secs(20)),
        ("a.test", path) => Reply::status(200).after(ms(if path.ends_with('7') { 8 } else { 4 })),
        _ => Reply::status(200),
    });
    let lines = seeds((0..60).map(|n| format!("http://a.test/{n}")));
    let settings = EngineSettings { hedge_after: HedgeAfter::P95, host_concurrency: 1, ..fetch() };
    run_world(&world, settings, lines.into_iter().chain([mirrored(&[C, "http://a.test/slow", B])])).await;
    let requests = world.requests();
    let at = |url: &str| requests.iter().find(|seen| seen.url == url).unwrap().start;
    assert_eq!((at("http://a.test/slow") - at(C)).as_millis(), 500, "nothing is known of the first");
    assert_eq!((at(B) - at("http://a.test/slow")).as_millis(), 8, "95 of 100 are answered by then");
}

#[tokio::test(start_paused = true)]
async fn a_panic_in_a_leg_is_a_failure_of_that_leg() {
    let world = World::new(|request, _| Reply { panics: host(request) == "a.test", ..Reply::status(200) });
    let (summary, records) = run_world(&world, fetch(), [mirrored(&[A, B])]).await;
    assert_eq!((records.len(), records[0].outcome, costs(&records[0])[0].0), (1, Outcome::Ok, "failed"));
    assert_eq!(summary.left, 0);
}

#[tokio::test(start_paused = true)]
async fn fail_early_is_about_jobs_not_legs() {
    let world = World::new(|request, _| Reply::status(if host(request) == "b.test" { 200 } else { 404 }));
    let settings = EngineSettings { fail_early: true, concurrency: 1, ordered: true, ..fetch() };
    let lines = [mirrored(&[A, B]), mirrored(&[A, C]), mirrored(&[B, A])];
    let (summary, records) = run_world(&world, settings, lines).await;
    assert_eq!((records.len(), summary.stopped_by), (2, StoppedBy::FailEarly));
}

/// What a mirror does is drawn from its URL: all that servers do in the large simulation, and much slowness.
fn answer(url: &str, tries: usize, seed_number: u64) -> Reply {
    let dice = xxh3_64_with_seed(url.as_bytes(), seed_number.wrapping_add(tries as u64));
    let latency = Duration::from_micros(500 + dice % 900_000);
    // In steps, so that several answer at the same moment.
    let latency = if seed_number.is_multiple_of(3) { ms(100 * (1 + dice % 4)) } else { latency };
    if url.ends_with("/robots.txt") {
        return match dice % 4 {
            0 => Reply::page("User-agent: *\nDisallow: /private"),
            1 => Reply::page("User-agent: *\nCrawl-delay: 2"),
            _ => Reply::status(404),
        }
        .after(latency);
    }
    match dice % 13 {
        0 => Reply::refused(),
        1 => Reply::status(404).after(latency),
        2 => Reply::status(429).header("retry-after", "3").after(latency),
        3 => Reply::status(503).after(latency),
        4 => Reply::redirect(302, &format!("http://h{}.test/moved{}", dice % 30, dice % 900)).after(latency),
        5 => Reply::status(200).after(latency * 100),
        6 if dice.is_multiple_of(5) => Reply::never(if dice.is_multiple_of(2) { 200 } else { 0 }),
        _ => Reply::page("<title>x</title>").after(latency),
    }
}

/// Hosts, modes, limits and stops at random: each job has exactly one record or is left, whatever becomes of its legs,
/// and the servers' log and the dispatcher's invariants judge all limits.
#[tokio::test(start_paused = true)]
async fn races_without_number() {
    for seed_number in 0..if cfg!(debug_assertions) { 40_u64 } else { 400 } {
        let draw = move |n: u64, salt: u64| xxh3_64_with_seed(&n.to_le_bytes(), seed_number.wrapping_mul(31) + salt);
        let world = World::new(move |request, tries| answer(request.url.as_str(), tries, seed_number));
        let settings = EngineSettings {
            concurrency: [1, 3, 16, 64][(seed_number % 4) as usize],
            host_concurrency: 1 + (seed_number % 5) as u32,
            race: if seed_number % 3 == 0 { RaceMode::All } else { RaceMode::Hedge },
            hedge_after: [HedgeAfter::Time(ms(200)), HedgeAfter::P95, HedgeAfter::Never][(seed_number % 3) as usize],
            ordered: seed_number % 5 == 1,
            unique: seed_number % 7 == 2,
            max_pages: (seed_number % 6 == 5).then_some(100),
            host_rate: (seed_number % 4 == 3).then(|| parse_rate("20/s").unwrap()),
            obey_robots: seed_number % 2 == 0,
            follow: seed_number % 11 == 4,
            url_deadline: (seed_number % 5 > 2).then(|| ms(500 + draw(0, 4) % 60_000)),
            with: With { body: seed_number % 9 == 1, ..With::default() },
            seed: seed_number,
            ..fetch()
        };
        {
            let mut log = world.log.lock().unwrap();
            log.concurrency = settings.concurrency;
            log.host_concurrency = settings.host_concurrency as usize;
        }
        let jobs = 300_u64;
        let lines = (0..jobs).map(move |n| {
            let urls: Vec<String> =
                (0..=draw(n, 1) % 4).map(|leg| format!("http://h{}.test/{n}/{leg}", draw(n, 10 + leg) % 25)).collect();
            let texts: Vec<&str> = urls.iter().map(String::as_str).collect();
            if draw(n, 2) % 5 == 0 { seed(texts[0]) } else { mirrored(&texts) }
        });
        let controls = Controls::default();
        let stop = controls.clone();
        let stop_after = (seed_number % 4 == 2).then(|| ms(draw(0, 3) % 20_000));
        let signal = async move {
            if let Some(after) = stop_after {
                tokio::time::sleep(after).await;
                if seed_number % 8 == 2 { stop.abort.cancel() } else { stop.drain.cancel() }
            }
        };
        let limited = settings.max_pages.is_some();
        let run = run_controlled(&world, settings, lines, controls);
        let ((summary, records), ()) = tokio::join!(run, signal);
        assert_eq!(records.len() as u64, summary.records, "seed {seed_number}");
        let numbers: HashSet<&str> = records.iter().map(|record| record.id.as_str()).collect();
        assert_eq!(numbers.len(), records.len(), "one record for each job, seed {seed_number}");
        if stop_after.is_none() && !limited {
            assert_eq!((summary.records, summary.left), (jobs, 0), "seed {seed_number}");
        }
        if limited && stop_after.is_none() {
            let pages = records.iter().filter(|record| record.outcome != Outcome::Skipped).count();
            assert_eq!(pages, 100, "seed {seed_number}");
        }
        judge(&records, &world, summary.requests, seed_number);
        judge_costs(&records, &world, seed_number);
    }
}

/// Every request to a mirror of a job that has a record stands in that record; of redirects' targets, which several jobs
/// may share, no more than there were.
fn judge_costs(records: &[RecordBody], world: &World, seed_number: u64) {
    let line = |url: &str| {
        let (_, path) = url.split_once(".test/")?;
        path.split_once('/')?.0.parse::<u64>().ok()
    };
    let mut told: HashMap<u64, usize> = HashMap::new();
    for record in records {
        let own = record.input.as_deref().and_then(|input| line(input.split(' ').next()?));
        for request in &record.requests {
            if let Some(number) = line(&request.url) {
                assert_eq!(Some(number), own, "seed {seed_number}");
            }
        }
        let of_mirrors = record.requests.iter().filter(|request| line(&request.url).is_some());
        told.insert(own.unwrap(), of_mirrors.count());
    }
    let mut seen: HashMap<u64, usize> = HashMap::new();
    let requests = world.requests();
    for number in requests.iter().filter_map(|request| line(&request.url)) {
        *seen.entry(number).or_default() += 1;
    }
    for (number, told) in told {
        assert_eq!(told, seen.get(&number).copied().unwrap_or_default(), "line {number}, seed {seed_number}");
    }
    let moved = |url: &str| url.contains("/moved");
    let told = records.iter().flat_map(|record| &record.requests).filter(|request| moved(&request.url)).count();
    let seen = requests.iter().filter(|request| moved(&request.url)).count();
    assert!(told == seen || (told < seen && records.len() < 300), "{told} of {seen}, seed {seed_number}");
}

fn judge(records: &[RecordBody], world: &World, requests: u64, seed_number: u64) {
    let end = Instant::now();
    let seen = world.requests();
    assert!(seen.iter().all(|seen| seen.end.is_some_and(|at| at <= end)), "all are over, seed {seed_number}");
    assert!(requests <= seen.len() as u64, "seed {seed_number}");
    for record in records {
        let won = record.outcome == Outcome::Ok;
        let Some(mirrors) = &record.mirrors else { continue };
        let winners = mirrors.iter().filter(|mirror| mirror.outcome == Outcome::Ok);
        assert!(won == (winners.count() > 0), "seed {seed_number}: {record:?}");
        let named = mirrors.iter().find(|mirror| Some(&*mirror.url) == record.url.as_deref()).unwrap();
        // One that was late before its race began has asked none of them.
        assert!(named.outcome == record.outcome || named.total_ms.is_none(), "seed {seed_number}: {record:?}");
        assert!(record.requests.is_sorted_by_key(|request| request.started_at), "seed {seed_number}");
    }
    let stage = records.iter().filter_map(|record| record.error.as_ref()).find(|error| error.stage == Stage::Parse);
    assert!(stage.is_none(), "no panic, seed {seed_number}");
}
