//! What failures cost the run: an outage does not multiply its requests, and says in the summary what it left out.

use std::time::Duration;

use super::fake::{Reply, World, record, run_world, seeds};
use crate::engine::settings::EngineSettings;
use crate::model::fetch_error::{ErrorKind, FetchError, Stage};
use crate::model::record::{Outcome, SkipReason};
use crate::policy::breaker::BreakerSettings;
use crate::policy::retry::RetrySettings;

fn fetch() -> EngineSettings {
    EngineSettings { concurrency: 64, ..EngineSettings::default() }
}

/// Every second host is dead: it refuses connections, resets them, answers 502, or does not answer at all.
fn half_dead(request: &crate::fetch::Request, _: usize) -> Reply {
    let number: u64 = request.url.host_str().and_then(|host| host[1..].split('.').next()?.parse().ok()).unwrap();
    if number.is_multiple_of(2) {
        return Reply::status(200).after(Duration::from_millis(50));
    }
    match number % 8 {
        1 => Reply::refused(),
        3 => {
            Reply { error: Some(FetchError::transient(ErrorKind::Protocol, Stage::Head, "reset")), ..Reply::status(0) }
        }
        5 => Reply::status(502),
        _ => Reply::status(200).after(Duration::from_hours(1)),
    }
}

#[tokio::test(start_paused = true)]
async fn half_of_a_thousand_hosts_are_dead() {
    let urls = || (0..20_000).map(|n| format!("http://h{}.test/{n}", n % 1000));
    let healthy = 10_000;
    let world = World::new(half_dead);
    let (summary, records) = run_world(&world, fetch(), seeds(urls())).await;
    assert_eq!(records.len(), 20_000);
    assert_eq!(summary.outcomes[&Outcome::Ok], healthy);
    // Of each dead host its breaker takes 5 failures and 3 probes; of those that answer with 502 what was in flight, too.
    let own = 250 * (5 + 3) + 125 * (5 + 3) + 125 * (5 + 7 + 3);
    let most = healthy * 5 / 4 + own;
    assert!(summary.requests <= most, "{} requests, {most} at most", summary.requests);

    let control = World::new(half_dead);
    let breaker = BreakerSettings { failures: 0, ..BreakerSettings::default() };
    let (without, _) = run_world(&control, EngineSettings { breaker, ..fetch() }, seeds(urls())).await;
    assert!(without.requests > most, "{} without breakers", without.requests);
    assert!(without.retries <= 100 + without.requests / 5 + 64, "and even so a fifth: {}", without.retries);
}

/// Here no breaker can help: each host has one URL.
#[tokio::test(start_paused = true)]
async fn retries_are_a_fifth_of_all_requests() {
    let world = World::new(half_dead);
    let (summary, records) = run_world(&world, fetch(), seeds((0..10_000).map(|n| format!("http://h{n}.test/")))).await;
    assert_eq!(records.len(), 10_000);
    let most = 100 + summary.requests / 5 + 64;
    assert!(summary.retries <= most && summary.retries + 200 > most, "{} of {}", summary.retries, summary.requests);
    assert_eq!(summary.requests, 10_000 + summary.retries);
    assert!(summary.retries_denied > 2000, "and says so: {}", summary.retries_denied);
    // A short list of the same kind gets them all.
    let world = World::new(half_dead);
    let (summary, _) = run_world(&world, fetch(), seeds((0..100).map(|n| format!("http://h{n}.test/")))).await;
    assert_eq!((summary.retries, summary.retries_denied), (100, 0));
}

#[tokio::test(start_paused = true)]
async fn a_connection_that_died_idle_costs_no_retry() {
    let died =
        || FetchError::transient(ErrorKind::Protocol, Stage::Send, "closed before the answer").of_idle_connection();
    for (deaths, outcome) in [(1, Outcome::Ok), (2, Outcome::Failed)] {
        let world = World::new(move |_, tries| Reply {
            error: (tries < deaths).then(died),
            ..Reply::status(if tries < deaths { 0 } else { 200 })
        });
        let retry = RetrySettings { retries: 0, ..RetrySettings::default() };
        let breaker = BreakerSettings { failures: 1, ..BreakerSettings::default() };
        let settings = EngineSettings { retry, breaker, ..fetch() };
        let (summary, records) = run_world(&world, settings, seeds(["http://h.test/".to_owned()])).await;
        assert_eq!((records[0].outcome, records[0].requests.len()), (outcome, 2));
        assert_eq!((summary.retries, summary.hosts[0].opened), (1, 0), "made, and none of --retries: it says nothing");
        let requests = world.requests();
        assert_eq!(Some(requests[1].start), requests[0].end, "at once");
    }
}

#[tokio::test(start_paused = true)]
async fn effects_are_repeated_only_on_request() {
    for (all_methods, requests) in [(false, 1), (true, 3)] {
        let world = World::new(|_, _| Reply::status(500));
        let retry = RetrySettings { all_methods, ..RetrySettings::default() };
        let settings = EngineSettings { retry, method: http::Method::POST, ..fetch() };
        let (_, records) = run_world(&world, settings, seeds(["http://h.test/".to_owned()])).await;
        assert_eq!(records[0].requests.len(), requests, "--retry-all {all_methods}");
    }
}

/// Waiting URLs of a dead host end after so many probes, or after a time.
#[tokio::test(start_paused = true)]
async fn urls_of_an_open_host_wait_for_probes_or_for_a_time() {
    let cooldown = Duration::from_secs(10);
    for (probes, wait, seconds, asked) in [
        (1, None, 10..12, 1),
        (3, None, 47..53, 3),
        (u32::MAX, Some(5), 5..6, 0),
        // Probes at 10, 25, 48 and 81 s, each up to a tenth later.
        (u32::MAX, Some(60), 60..61, 3),
    ] {
        let world = World::new(|_, _| Reply::refused());
        let breaker = BreakerSettings { cooldown, probes, wait: wait.map(Duration::from_secs), ..Default::default() };
        let retry = RetrySettings { retries: 0, ..RetrySettings::default() };
        let settings = EngineSettings { retry, breaker, ..fetch() };
        let (summary, records) =
            run_world(&world, settings, seeds((0..100).map(|n| format!("http://dead.test/{n}")))).await;
        assert_eq!(summary.skips[&SkipReason::BreakerOpen], 95 - u64::from(asked), "{probes} {wait:?}");
        assert!(seconds.contains(&summary.elapsed.as_secs()), "{probes} {wait:?}: {:?}", summary.elapsed);
        assert_eq!((summary.hosts[0].probes, summary.hosts[0].given_up), (asked, true));
        assert_eq!(record(&records, "http://dead.test/99").skip_reason, Some(SkipReason::BreakerOpen));
    }
}

/// A host that fails half of the time never fails five times in a row for long, and is left alone all the same.
#[tokio::test(start_paused = true)]
async fn a_host_that_fails_half_of_the_time_is_left_alone() {
    let script = |request: &crate::fetch::Request, _| {
        let number: u64 = request.url.path()[1..].parse().unwrap();
        if number % 4 < 2 { Reply::status(200) } else { Reply::status(502) }
    };
    let urls = || (0..400).map(|n| format!("http://h.test/{n}"));
    let retry = RetrySettings { retries: 0, ..RetrySettings::default() };
    for (failures, opened) in [(5, true), (0, false)] {
        let breaker = BreakerSettings { failures, ..BreakerSettings::default() };
        let settings = EngineSettings { breaker, retry, host_concurrency: 1, ..fetch() };
        let (summary, records) = run_world(&World::new(script), settings, seeds(urls())).await;
        assert_eq!(records.len(), 400);
        assert_eq!(summary.hosts[0].opened > 1, opened);
        assert_eq!(summary.elapsed > Duration::from_mins(5), opened, "{:?}", summary.elapsed);
    }
}
