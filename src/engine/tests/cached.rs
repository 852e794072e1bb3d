//! Stories of the cache: what is answered without a request takes no time and no place, whatever holds its host.

use std::path::Path;
use std::time::Duration;

use super::fake::*;
use crate::engine::settings::EngineSettings;
use crate::fetch::body::BodyPool;
use crate::fetch::cache::{Cache, CacheSettings};
use crate::model::record::{Outcome, RecordBody};
use crate::model::units::WallTime;

fn open(dir: &Path) -> std::sync::Arc<Cache> {
    let settings = CacheSettings { dir: dir.to_owned(), size: None };
    Cache::open(&settings, BodyPool::new(1 << 20), WallTime(0)).unwrap().into()
}

async fn run_with(
    world: &std::sync::Arc<World>,
    dir: &Path,
    settings: EngineSettings,
    urls: &[String],
) -> (crate::engine::stats::Summary, Vec<RecordBody>) {
    run_cached(world, settings, seeds(urls.iter().cloned()), Some(open(dir))).await
}

fn urls(count: usize) -> Vec<String> {
    (0..count).map(|n| format!("http://a.test/{n}")).collect()
}

fn fresh() -> Reply {
    Reply::page("x").header("cache-control", "max-age=1000000")
}

#[tokio::test(start_paused = true)]
async fn a_fresh_answer_waits_for_no_gap_and_is_no_request() {
    let dir = tempfile::tempdir().unwrap();
    let world = World::new(|_, _| fresh());
    let slow = || EngineSettings { delay: Duration::from_mins(10), ..EngineSettings::default() };
    let start = tokio::time::Instant::now();
    run_with(&world, dir.path(), slow(), &urls(30)).await;
    assert!(start.elapsed() > Duration::from_mins(290), "the control: each waits for the one before");
    let start = tokio::time::Instant::now();
    let (summary, records) = run_with(&world, dir.path(), slow(), &urls(30)).await;
    assert!(start.elapsed() < Duration::from_mins(1));
    assert_eq!((summary.requests, summary.records, world.log.lock().unwrap().count), (0, 30, 30));
    assert!(records.iter().all(|record| record.from_cache && record.attempts == 0 && record.requests.is_empty()));
}

#[tokio::test(start_paused = true)]
async fn what_must_be_asked_keeps_the_gap_and_what_is_fresh_does_not_lengthen_it() {
    let dir = tempfile::tempdir().unwrap();
    let is_fifth = |url: &str| url.ends_with('5');
    let world =
        World::new(
            move |request, _| {
                if is_fifth(request.url.as_str()) { Reply::page("x").header("etag", "\"1\"") } else { fresh() }
            },
        );
    run_with(&world, dir.path(), EngineSettings::default(), &urls(30)).await;
    let world = World::new(|_, _| Reply::status(304));
    world.log.lock().unwrap().gap = Some(|_| Duration::from_mins(10));
    let slow = EngineSettings { delay: Duration::from_mins(10), ..EngineSettings::default() };
    let start = tokio::time::Instant::now();
    let (summary, records) = run_with(&world, dir.path(), slow, &urls(30)).await;
    assert_eq!((summary.requests, records.len()), (3, 30), "5, 15 and 25");
    assert!((Duration::from_mins(20)..Duration::from_mins(21)).contains(&start.elapsed()));
    assert!(records.iter().all(|record| record.from_cache && record.outcome == Outcome::Ok && record.size == 1));
}

#[tokio::test(start_paused = true)]
async fn a_host_that_is_held_or_broken_holds_no_stored_answer() {
    for refuses in [false, true] {
        let dir = tempfile::tempdir().unwrap();
        let world = World::new(move |_, nth| match (nth, refuses) {
            (0, _) => Reply::page("x").header("etag", "\"1\""),
            (_, true) => Reply::status(503).header("retry-after", "3600"),
            (_, false) => Reply::refused(),
        });
        run_with(&world, dir.path(), EngineSettings::default(), &urls(30)).await;
        let settings = || EngineSettings { fallback_stale: true, ..EngineSettings::default() };
        let start = tokio::time::Instant::now();
        let (_, records) = run_with(&world, dir.path(), settings(), &urls(30)).await;
        assert!(records.iter().all(|record| record.stale && record.outcome == Outcome::Ok), "{refuses}");
        assert!(start.elapsed() < Duration::from_mins(5), "{refuses}: {:?}", start.elapsed());
        let without = EngineSettings { fallback_stale: false, ..settings() };
        let (_, records) = run_with(&world, dir.path(), without, &urls(30)).await;
        assert!(
            records.iter().all(|record| !record.from_cache && record.outcome != Outcome::Ok),
            "{refuses}: the control"
        );
    }
}
