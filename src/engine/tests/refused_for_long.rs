//! Hosts that refuse for longer than anybody waits, and what the summary tells of requests; in paused time.

use std::time::Duration;

use tokio::time::Instant;

use super::fake::{Reply, Seen, World, record, run_world, seed, seeds};
use crate::engine::settings::EngineSettings;
use crate::engine::stats::StoppedBy;
use crate::model::record::{Outcome, RequestKind, SkipReason};
use crate::policy::retry::RetrySettings;

const HOUR: Duration = Duration::from_hours(1);

fn waiting(max_retry_after: Option<Duration>) -> EngineSettings {
    let retry = RetrySettings { max_retry_after, ..RetrySettings::default() };
    EngineSettings { retry, timeout: None, ..EngineSettings::default() }
}

/// A host that refuses its 20th request for an hour. Beside it one whose pages lead there half an hour and two hours later.
fn world() -> std::sync::Arc<World> {
    let (mut count, mut refused) = (0, None::<Instant>);
    World::new(move |request, _| match (request.url.host_str().unwrap_or_default(), request.url.path()) {
        ("w.test", "/soon") => Reply::redirect(302, "http://h.test/soon").after(HOUR / 2),
        ("w.test", "/late") => Reply::redirect(302, "http://h.test/late").after(2 * HOUR),
        ("w.test", _) => Reply::status(200),
        _ => {
            count += 1;
            if count >= 20 && refused.get_or_insert_with(Instant::now).elapsed() < HOUR {
                Reply::status(429).header("retry-after", "3600")
            } else {
                Reply::status(200)
            }
        }
    })
}

#[tokio::test(start_paused = true)]
async fn nobody_waits_for_it_and_nobody_asks_it() {
    let list = || {
        let urls = (0..1000).map(|n| format!("http://h.test/{n}")).chain((0..9).map(|n| format!("http://w.test/{n}")));
        seeds(urls.chain(["http://w.test/soon".into(), "http://w.test/late".into()]))
    };
    let world_of_it = world();
    let (summary, records) = run_world(&world_of_it, waiting(Some(Duration::from_mins(5))), list()).await;
    let asked = world_of_it.requests();
    let at_host: Vec<&Seen> = asked.iter().filter(|seen| seen.host == "h.test").collect();
    // Those that were under way together with the refused one, and the one URL that came after the hour.
    let (after, before): (Vec<&Seen>, Vec<&Seen>) =
        at_host.iter().copied().partition(|seen| seen.start > at_host[0].start + HOUR / 4);
    assert!(before.len() < 40 && after.len() == 1 && after[0].url.ends_with("/late"), "{} {after:?}", before.len());
    let limited: Vec<_> = records.iter().filter(|r| r.skip_reason == Some(SkipReason::RateLimited)).collect();
    assert_eq!(limited.len() + before.len(), 1001 + limited.iter().filter(|r| r.status == Some(429)).count());
    assert!(limited.iter().any(|r| r.status == Some(429)) && limited.iter().any(|r| r.requests.is_empty()));
    for record in limited.iter().filter(|record| record.url.as_deref() != Some("http://w.test/soon")) {
        assert!(record.total_ms.is_some_and(|ms| ms < Duration::from_mins(1).into()), "{record:?}");
    }
    assert_eq!(record(&records, "http://w.test/soon").skip_reason, Some(SkipReason::RateLimited));
    assert_eq!(record(&records, "http://w.test/late").outcome, Outcome::Ok);
    assert_eq!(summary.left, 0);
    // Control: whoever waits for ever gets them all, an hour later.
    let world = world();
    let (_, records) = run_world(&world, waiting(None), list()).await;
    assert!(records.iter().all(|record| record.outcome == Outcome::Ok));
}

/// The few seconds that spread hosts are ours: they make no wait too long.
#[tokio::test(start_paused = true)]
async fn a_wait_of_just_the_longest_is_waited_for() {
    for (stated, all) in [("300", true), ("301", false)] {
        let world = World::new(move |_, tries| match tries {
            0 => Reply::status(429).header("retry-after", stated),
            _ => Reply::status(200),
        });
        let list = seeds((0..4).map(|n| format!("http://h.test/{n}")));
        let settings = EngineSettings { host_concurrency: 1, ..waiting(Some(Duration::from_mins(5))) };
        let (_, records) = run_world(&world, settings, list).await;
        assert_eq!(records.iter().all(|record| record.outcome == Outcome::Ok), all, "{stated}");
        assert_eq!(world.requests().len(), if all { 8 } else { 1 }, "{stated}");
    }
}

#[tokio::test(start_paused = true)]
async fn robots_txt_that_is_refused_for_long_is_not_asked_again_meanwhile() {
    let world = World::new(|request, _| match (request.url.host_str().unwrap_or_default(), request.url.path()) {
        ("w.test", "/robots.txt") => Reply::status(404),
        ("w.test", _) => Reply::redirect(302, "http://h.test/soon").after(HOUR / 2),
        ("h.test", "/robots.txt") => Reply::status(429).header("retry-after", "3600"),
        _ => Reply::status(200),
    });
    let settings = EngineSettings { obey_robots: true, ..waiting(Some(Duration::from_mins(5))) };
    let list = (0..50).map(|n| format!("http://h.test/{n}")).chain(["http://w.test/".into()]);
    let (_, records) = run_world(&world, settings, seeds(list)).await;
    assert_eq!(records.iter().filter(|r| r.skip_reason == Some(SkipReason::Robots)).count(), 51);
    assert_eq!(world.urls().iter().filter(|url| url.starts_with("http://h.test/")).count(), 1);
}

#[tokio::test(start_paused = true)]
async fn what_a_stop_cuts_off_was_asked_and_a_retry_that_was_not_made_was_not() {
    let world = World::new(|request, _| match request.url.path() {
        "/drip" => Reply::status(200).after(HOUR),
        _ => Reply::status(500),
    });
    let retry = RetrySettings { base: 1000 * HOUR, cap: 1000 * HOUR, ..RetrySettings::default() };
    let settings =
        EngineSettings { retry, deadline: Some(Duration::from_secs(1)), timeout: None, ..EngineSettings::default() };
    let (summary, _) = run_world(&world, settings, ["http://a.test/drip", "http://b.test/"].map(seed)).await;
    assert_eq!((summary.stopped_by, summary.requests, summary.retries), (StoppedBy::Deadline, 2, 0));
    assert_eq!(summary.hosts.iter().map(|host| host.requests).collect::<Vec<_>>(), [1, 1]);
    // Control: those that are made are counted, and are those that records name.
    let world = World::new(|_, tries| match tries {
        0 => Reply::status(500),
        1 => Reply::status(429),
        _ => Reply::status(200),
    });
    let (summary, records) = run_world(&world, waiting(None), [seed("http://a.test/")]).await;
    let named = records[0].requests.iter().filter(|request| request.kind == RequestKind::Retry).count();
    assert_eq!((summary.requests, summary.retries, named), (3, 2, 2));
}

#[tokio::test(start_paused = true)]
async fn the_summary_tells_when_rate_limit_fields_held_a_host() {
    for (left, adaptive_throttle, limits) in [(0, true, 1), (3, true, 1), (90, true, 0), (0, false, 0)] {
        let mut count = 0;
        let world = World::new(move |_, _| {
            count += 1;
            let reply = Reply::status(200);
            if count == 3 { reply.header("ratelimit", format!("limit=100, remaining={left}, reset=20")) } else { reply }
        });
        let settings = EngineSettings { adaptive_throttle, host_concurrency: 1, ..EngineSettings::default() };
        let (summary, _) = run_world(&world, settings, seeds((0..6).map(|n| format!("http://h.test/{n}")))).await;
        assert_eq!(summary.hosts[0].rate_limits, limits, "{left} left, adaptive: {adaptive_throttle}");
    }
}
