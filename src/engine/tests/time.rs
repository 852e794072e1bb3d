//! Deadlines of one URL, and of requests that break their word: everything ends, and says where it was.

use std::io;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use super::fake::{Reply, World, mirrored, record, run_controlled, run_input, run_world, seed, seeds};
use crate::engine::Controls;
use crate::engine::input::Input;
use crate::engine::settings::EngineSettings;
use crate::engine::stats::StoppedBy;
use crate::model::fetch_error::{ErrorKind, Stage};
use crate::model::record::{Outcome, RecordBody, SkipReason};
use crate::model::units::parse_rate;
use crate::policy::breaker::BreakerSettings;
use crate::policy::retry::RetrySettings;
use crate::seeds::Seed;

fn fetch() -> EngineSettings {
    EngineSettings::default()
}

fn within(seconds: u64) -> EngineSettings {
    EngineSettings { url_deadline: Some(Duration::from_secs(seconds)), ..fetch() }
}

fn host(request: &crate::fetch::Request) -> String {
    request.url.host_str().unwrap_or_default().to_owned()
}

/// Kind and stage of a failure, and the seconds until it came, rounded.
fn failure(record: &RecordBody) -> (ErrorKind, Stage, u64) {
    let error = record.error.as_ref().unwrap_or_else(|| panic!("no failure: {record:?}"));
    let total: f64 = serde_json::to_value(record.total_ms).unwrap().as_f64().unwrap();
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a few seconds")]
    (error.kind, error.stage, (total / 1000.0).round() as u64)
}

#[tokio::test(start_paused = true)]
async fn a_url_in_flight_ends_at_its_deadline() {
    let world = World::new(|_, _| Reply::status(200).after(Duration::from_secs(25)));
    let (summary, records) = run_world(&world, within(10), [seed("http://h.test/")]).await;
    assert_eq!(failure(&records[0]), (ErrorKind::Timeout, Stage::Head, 10));
    assert_eq!(summary.elapsed.as_secs(), 10);
    let seen = &world.requests()[0];
    assert!(seen.cut && (seen.end.unwrap() - seen.start).as_secs() == 10);
    assert_eq!((records[0].requests.len(), summary.requests), (1, 1));
    assert_eq!(summary.hosts[0].opened, 0);
}

#[tokio::test(start_paused = true)]
async fn retries_and_waits_count() {
    let world = World::new(|request, _| match host(request).as_str() {
        "broken.test" => Reply::status(500).after(Duration::from_secs(2)),
        _ => Reply::status(429).header("retry-after", "30"),
    });
    let retry = RetrySettings { retries: 1000, ..RetrySettings::default() };
    let settings = EngineSettings { retry, ..within(20) };
    let urls = ["http://broken.test/", "http://busy.test/"];
    let (summary, records) = run_world(&world, settings, urls.map(seed)).await;
    for url in urls {
        let (kind, _, seconds) = failure(record(&records, url));
        assert_eq!((kind, seconds), (ErrorKind::Timeout, 20), "{url}");
    }
    assert_eq!(failure(record(&records, urls[1])).1, Stage::Queue, "its host is held");
    assert_eq!(summary.elapsed.as_secs(), 20, "nobody waits for what is held");
}

/// The breaker is told nothing by a deadline of ours, however short.
#[tokio::test(start_paused = true)]
async fn a_short_deadline_blames_no_host() {
    let world = World::new(|_, _| Reply::status(200).after(Duration::from_secs(3)));
    let (summary, records) = run_world(&world, within(1), seeds((0..50).map(|n| format!("http://h.test/{n}")))).await;
    assert!(records.iter().all(|record| failure(record).0 == ErrorKind::Timeout));
    assert_eq!((summary.hosts[0].opened, records.len()), (0, 50));
}

#[tokio::test(start_paused = true)]
async fn urls_in_queues_end_at_their_deadline() {
    let world = World::new(|_, _| Reply::status(200));
    let one = parse_rate("1/s").unwrap();
    // More than a lease holds, so most of them are still in the frontier; and a host of their own for each of some.
    let lines = (0..100).map(|n| format!("http://h{}.test/{n}", if n < 80 { 0 } else { n }));
    let settings = EngineSettings { host_rate: Some(one), ..within(10) };
    let (summary, records) = run_world(&world, settings.clone(), seeds(lines.clone())).await;
    assert_eq!((records.len(), summary.left, summary.elapsed.as_secs()), (100, 0, 10));
    let (ok, late): (Vec<_>, Vec<_>) = records.iter().partition(|record| record.outcome == Outcome::Ok);
    assert_eq!(ok.len(), 20 + 10, "one each second, and one at each of the other hosts");
    assert!(late.iter().all(|record| failure(record) == (ErrorKind::Timeout, Stage::Queue, 10)));
    assert!(late.iter().all(|record| record.requests.is_empty() && record.started_at.is_none()));
    let (summary, _) = run_world(&world, EngineSettings { url_deadline: None, ..settings }, seeds(lines)).await;
    assert_eq!((summary.outcomes[&Outcome::Ok], summary.elapsed.as_secs()), (100, 79), "without it all are waited for");
}

#[tokio::test(start_paused = true)]
async fn what_had_come_of_a_body_is_told() {
    let world = World::new(|request, _| match &*host(request) {
        "body.test" => Reply { body: "twelve bytes".into(), ..Reply::never(200) },
        _ => Reply::never(0),
    });
    let (_, records) = run_world(&world, within(10), ["http://body.test/", "http://head.test/"].map(seed)).await;
    let told = |url| {
        let record = super::fake::record(&records, url);
        (failure(record).1, record.status, record.size, record.wire_size, record.truncated)
    };
    assert_eq!(told("http://body.test/"), (Stage::Body, Some(200), 0, 12, true));
    assert_eq!(told("http://head.test/"), (Stage::Head, None, 0, 0, false));
}

#[tokio::test(start_paused = true)]
async fn urls_that_wait_for_robots_txt_say_so() {
    let world = World::new(|request, _| match request.url.path() {
        "/robots.txt" => Reply::status(200).after(Duration::from_secs(28)),
        _ => panic!("not before robots.txt"),
    });
    let settings = EngineSettings { obey_robots: true, ..within(5) };
    let (summary, records) = run_world(&world, settings, ["http://h.test/a", "http://h.test/b"].map(seed)).await;
    assert!(records.iter().all(|record| failure(record) == (ErrorKind::Timeout, Stage::Robots, 5)));
    assert_eq!(summary.elapsed.as_secs(), 5, "and then nobody waits for it");
}

#[tokio::test(start_paused = true)]
async fn a_dead_host_s_urls_do_not_wait_for_its_breaker() {
    let world = World::new(|_, _| Reply::refused());
    let lines = || seeds((0..200).map(|n| format!("http://dead.test/{n}")));
    let (summary, records) = run_world(&world, within(12), lines()).await;
    assert_eq!((records.len(), summary.elapsed.as_secs()), (200, 12));
    assert!(records.iter().filter(|record| failure(record) == (ErrorKind::Timeout, Stage::Queue, 12)).count() > 190);
    let (summary, _) = run_world(&world, fetch(), lines()).await;
    assert!(summary.skips[&SkipReason::BreakerOpen] > 190 && summary.elapsed.as_secs() > 60);
}

#[tokio::test(start_paused = true)]
async fn a_race_ends_at_its_deadline_too() {
    let world = World::new(|_, _| Reply::status(200).after(Duration::from_secs(25)));
    let settings = EngineSettings { concurrency: 2, ..within(4) };
    let lines = [mirrored(&["http://a.test/", "http://b.test/", "http://c.test/", "http://d.test/"])];
    let (summary, records) = run_world(&world, settings, lines).await;
    assert_eq!((records.len(), summary.elapsed.as_secs()), (1, 4));
    assert_eq!(failure(&records[0]), (ErrorKind::Timeout, Stage::Head, 4));
    assert_eq!((records[0].url.as_deref(), world.requests().len()), (Some("http://a.test/"), 2));
    // In the frontier, before their races are open.
    let world = World::new(|_, _| Reply::status(200).after(Duration::from_secs(25)));
    let lines = (0..200).map(|n| mirrored(&[&format!("http://a.test/{n}"), &format!("http://b.test/{n}")]));
    let (summary, records) = run_world(&world, within(4), lines).await;
    assert_eq!((records.len(), summary.left, summary.elapsed.as_secs()), (200, 0, 4));
    assert!(records.iter().all(|record| failure(record).0 == ErrorKind::Timeout));
    assert!(records.iter().all(|record| record.mirrors.as_ref().unwrap().len() == 2));
    assert!(records.iter().all(|record| record.host_key.as_deref() == Some("a.test")));
}

/// URLs that wait are looked at once in a while. A race that would begin in between, too late, ends all the same.
#[tokio::test(start_paused = true)]
async fn a_race_that_begins_too_late_ends() {
    let world = World::new(|request, _| match host(request).as_str() {
        "first.test" => Reply::status(200).after(Duration::from_secs(1)),
        "last.test" => Reply::status(200).after(Duration::from_millis(99_650)),
        other => panic!("{other} is not asked"),
    });
    let (sender, receiver) = tokio::sync::mpsc::channel(9);
    let run = run_input(
        &world,
        EngineSettings { concurrency: 1, timeout: None, ..within(100) },
        Input::Thread(receiver),
        Controls::default(),
    );
    let input = async move {
        sender.send(vec![seed("http://first.test/"), seed("http://late.test/")]).await.unwrap();
        tokio::time::sleep(Duration::from_millis(500)).await;
        sender.send(vec![mirrored(&["http://a.test/", "http://b.test/"])]).await.unwrap();
        tokio::time::sleep(Duration::from_millis(200)).await;
        let mut urgent = seed("http://last.test/");
        if let Seed::Job(job) = &mut urgent {
            job.priority = 9;
        }
        sender.send(vec![urgent]).await.unwrap();
    };
    let ((summary, records), ()) = tokio::join!(run, input);
    assert_eq!((records.len(), summary.left, summary.outcomes[&Outcome::Ok]), (4, 0, 2));
    assert_eq!(failure(record(&records, "http://a.test/")), (ErrorKind::Timeout, Stage::Queue, 100));
    assert!((100_600..100_700).contains(&summary.elapsed.as_millis()), "{:?}", summary.elapsed);
}

#[tokio::test(start_paused = true)]
async fn the_limit_of_pages_holds_when_many_urls_are_late_at_once() {
    for limit in [1, 7, 60] {
        let world = World::new(|_, _| Reply::status(200).after(Duration::from_secs(25)));
        let settings = EngineSettings { max_pages: Some(limit), host_concurrency: 2, ..within(3) };
        let lines = seeds((0..300).map(|n| format!("http://h{}.test/{n}", n % 3)));
        let (summary, records) = run_world(&world, settings, lines).await;
        assert_eq!((records.len() as u64, summary.stopped_by), (limit, StoppedBy::Limit));
    }
}

#[tokio::test(start_paused = true)]
async fn input_order_survives_late_urls() {
    let world = World::new(|request, _| {
        Reply::status(200).after(if request.url.path().ends_with('7') {
            Duration::from_secs(25)
        } else {
            Duration::ZERO
        })
    });
    let settings =
        EngineSettings { ordered: true, concurrency: 4, host_rate: Some(parse_rate("20/s").unwrap()), ..within(9) };
    let urls: Vec<String> = (0..1500).map(|n| format!("http://h{}.test/{n}", n % 3)).collect();
    let (summary, records) = run_world(&world, settings, seeds(urls.clone())).await;
    assert_eq!(records.iter().map(|record| record.url.clone().unwrap().into_string()).collect::<Vec<_>>(), urls);
    assert_eq!(summary.left, 0);
}

/// A fetcher that breaks its word, and never returns.
#[tokio::test(start_paused = true)]
async fn what_outlives_its_deadline_is_ended() {
    let world = World::new(|request, _| match host(request).as_str() {
        "head.test" => Reply::never(200),
        "mute.test" => Reply::never(0),
        _ => Reply::status(200),
    });
    let retry = RetrySettings { retries: 5, ..RetrySettings::default() };
    let settings = EngineSettings { concurrency: 2, retry, ..fetch() };
    let urls = ["http://head.test/", "http://mute.test/", "http://well.test/"];
    let (summary, records) = run_world(&world, settings, urls.map(seed)).await;
    assert_eq!(failure(record(&records, urls[0])), (ErrorKind::Timeout, Stage::Body, 35));
    assert_eq!(failure(record(&records, urls[1])), (ErrorKind::Timeout, Stage::Head, 35));
    assert_eq!((record(&records, urls[0]).status, record(&records, urls[1]).status), (Some(200), None));
    assert_eq!(record(&records, urls[2]).outcome, Outcome::Ok, "the permits are given back");
    assert_eq!((summary.elapsed.as_secs(), summary.requests, world.requests().len()), (35, 3, 3));
}

/// What the run has logged.
#[derive(Clone, Default)]
struct Lines(Arc<Mutex<Vec<u8>>>);

impl io::Write for Lines {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[tokio::test(start_paused = true)]
async fn what_outlives_its_deadline_is_named() {
    let lines = Lines::default();
    let writer = lines.clone();
    let log = tracing_subscriber::fmt().with_ansi(false).with_writer(move || writer.clone()).finish();
    let guard = tracing::subscriber::set_default(log);
    let world = World::new(|_, _| Reply::never(200));
    run_world(&world, fetch(), [seed("http://h.test/named")]).await;
    drop(guard);
    let told = String::from_utf8(lines.0.lock().unwrap().clone()).unwrap();
    let warning = told.lines().find(|line| line.contains("WARN")).unwrap_or_else(|| panic!("no warning: {told}"));
    for part in ["outlived its deadline", "url=http://h.test/named", "stage=Body", "took=35s", "request_id=r-0"] {
        assert!(warning.contains(part), "{part}: {warning}");
    }
}

#[tokio::test(start_paused = true)]
async fn robots_txt_that_never_returns_is_ended_too() {
    let world = World::new(|_, _| Reply::never(0));
    let settings = EngineSettings { obey_robots: true, ..fetch() };
    let (summary, records) = run_world(&world, settings, [seed("http://h.test/")]).await;
    assert_eq!(failure(&records[0]), (ErrorKind::Timeout, Stage::Robots, 35));
    assert_eq!(summary.left, 0);
}

/// A probe that never returns must not keep its host half-open for ever.
#[tokio::test(start_paused = true)]
async fn a_probe_that_never_returns_has_failed() {
    let world = World::new(|_, _| Reply::never(0));
    let breaker = BreakerSettings { failures: 2, ..BreakerSettings::default() };
    let settings = EngineSettings { breaker, ..fetch() };
    let (summary, records) = run_world(&world, settings, seeds((0..40).map(|n| format!("http://h.test/{n}")))).await;
    assert_eq!((records.len(), summary.hosts[0].probes, summary.hosts[0].given_up), (40, 3, true));
}

#[tokio::test(start_paused = true)]
async fn a_run_that_is_stopped_ends_whatever_its_requests_do() {
    let world = World::new(|_, _| Reply::never(0));
    let controls = Controls::default();
    let stop = controls.clone();
    let lines = seeds((0..40).map(|n| format!("http://h{n}.test/")));
    let settings = EngineSettings { timeout: None, grace: Duration::from_secs(7), ..fetch() };
    let run = run_controlled(&world, settings, lines, controls);
    let signal = async move {
        tokio::time::sleep(Duration::from_secs(3)).await;
        stop.drain.cancel();
    };
    let ((summary, records), ()) = tokio::join!(run, signal);
    assert_eq!((records.len(), summary.left, summary.elapsed.as_secs()), (0, 40, 10));
    let settings = EngineSettings { timeout: None, deadline: Some(Duration::from_secs(9)), ..fetch() };
    let (summary, _) = run_world(&world, settings, seeds((0..40).map(|n| format!("http://h{n}.test/")))).await;
    assert_eq!((summary.stopped_by, summary.elapsed.as_secs()), (StoppedBy::Deadline, 9));
}

/// Verdicts without a request count as pages where they are failures.
#[tokio::test(start_paused = true)]
async fn the_limit_of_pages_holds_for_urls_that_fail_without_a_request() {
    let world = World::new(|_, _| Reply::refused());
    for limit in [1, 3, 20] {
        let settings = EngineSettings { obey_robots: true, max_pages: Some(limit), ..fetch() };
        let lines = seeds((0..40).map(|n| format!("http://h.test/{n}")));
        let (summary, records) = run_world(&world, settings, lines).await;
        assert_eq!((records.len() as u64, summary.stopped_by), (limit, StoppedBy::Limit));
    }
}
