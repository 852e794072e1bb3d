//! A million URLs on ten thousand hosts: random latencies, failures, refusals, robots delays. Ends by count; every limit
//! is judged by the servers' own log, and the dispatcher's invariants after every turn.

use std::collections::HashSet;
use std::time::Duration;

use super::fake::{Reply, World, run_world, seed};
use crate::engine::settings::EngineSettings;
use crate::model::units::parse_rate;
use xxhash_rust::xxh3::xxh3_64_with_seed;

/// Hosts by the last digit of their number: what they do.
fn kind(host: &str) -> u64 {
    host.trim_start_matches('h').split('.').next().and_then(|n| n.parse::<u64>().ok()).unwrap_or(0) % 50
}

fn crawl_delay(host: &str) -> Duration {
    match kind(host) {
        7 => Duration::from_secs(1),
        8 => Duration::from_millis(250),
        _ => Duration::ZERO,
    }
}

fn answer(url: &str, tries: usize, seed: u64) -> Reply {
    let host = crate::model::url::host_key_of(url).to_owned();
    let dice = xxh3_64_with_seed(url.as_bytes(), seed.wrapping_add(tries as u64));
    let latency = Duration::from_micros(500 + dice % 80_000);
    let percent = (dice >> 32) % 100;
    if url.ends_with("/robots.txt") {
        return match kind(&host) {
            7 => Reply::page("User-agent: *\nCrawl-delay: 1\nDisallow: /private"),
            8 => Reply::page("User-agent: *\nCrawl-delay: 0.25"),
            9 => Reply::status(404),
            10 if tries == 0 => Reply::status(503),
            11 => Reply::status(500),
            _ => Reply::page("User-agent: *\nDisallow:"),
        }
        .after(latency);
    }
    match kind(&host) {
        // Dead for good.
        0 if host.len().is_multiple_of(2) => Reply::refused(),
        1 if percent < 30 => Reply::status(500).after(latency),
        2 if percent < 5 => Reply::status(429).header("retry-after", "3").after(latency),
        3 if percent < 5 => Reply::status(503).header("retry-after", "1").after(latency),
        4 if percent < 20 => Reply::refused(),
        5 => Reply::status(200).after(latency * 20),
        6 if percent < 10 => Reply::redirect(302, &format!("http://h{}.test/moved", dice % 500)).after(latency),
        _ => Reply::page("<title>x</title>").after(latency),
    }
}

async fn simulate(hosts: u64, urls: u64, seed_number: u64, settings: EngineSettings) {
    let world = World::new(move |request, tries| answer(request.url.as_str(), tries, seed_number));
    {
        let mut log = world.log.lock().unwrap();
        log.keep_requests = false;
        log.concurrency = settings.concurrency;
        log.host_concurrency = settings.host_concurrency as usize;
        log.gap = Some(crawl_delay);
    }
    let lines = (0..urls).map(move |n| {
        // Neighbours in the list are on other hosts, in an order that the seed decides.
        let host = xxh3_64_with_seed(&n.to_le_bytes(), seed_number) % hosts;
        seed(&format!("http://h{host}.test/page/{n}"))
    });
    let (summary, records) = run_world(&world, settings, lines).await;
    assert_eq!(summary.records, urls, "seed {seed_number}");
    assert_eq!(summary.left, 0);
    let distinct: HashSet<&str> = records.iter().filter_map(|record| record.url.as_deref()).collect();
    assert_eq!(distinct.len() as u64, urls, "each URL once, seed {seed_number}");
    let requests: u64 = records.iter().map(|record| record.requests.len() as u64).sum();
    let seen = world.log.lock().unwrap().count;
    assert_eq!(summary.requests, seen);
    assert!(requests <= seen && requests + hosts >= seen, "records know of {requests} requests, servers of {seen}");
}

fn settings() -> EngineSettings {
    EngineSettings { concurrency: 256, host_concurrency: 4, obey_robots: true, ..EngineSettings::default() }
}

#[tokio::test(start_paused = true)]
async fn many_hosts() {
    // In release the whole million; a build without optimisation gets a twentieth.
    let (hosts, urls) = if cfg!(debug_assertions) { (2_000, 50_000) } else { (10_000, 1_000_000) };
    simulate(hosts, urls, 1, settings()).await;
}

#[tokio::test(start_paused = true)]
async fn many_seeds() {
    for seed_number in 0..if cfg!(debug_assertions) { 20 } else { 200 } {
        let rate = (seed_number % 3 == 0).then(|| parse_rate("50/s").unwrap());
        let concurrency = [1, 3, 16, 64][(seed_number % 4) as usize];
        let settings = EngineSettings { concurrency, host_rate: rate, ..settings() };
        simulate(50, 500, seed_number, settings).await;
    }
}

#[tokio::test(start_paused = true)]
async fn in_order() {
    for seed_number in 0..10 {
        let concurrency = [1, 4, 64][(seed_number % 3) as usize];
        let settings = EngineSettings { concurrency, ordered: true, ..settings() };
        simulate(50, 3_000, seed_number, settings).await;
    }
}
