//! A million URLs on ten thousand hosts: random latencies, failures, refusals, quotas, robots delays, shared addresses. Ends
//! by count; every limit and hold is judged by the servers' own log, and the dispatcher's invariants after every turn.
//!
//! A failure names its seed: `SIMULATION_SEED=7 cargo test --lib many_seeds` replays that one. `SIMULATION_SEEDS=1000` runs
//! so many.

use std::collections::{HashMap, HashSet};
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use super::fake::{Reply, World, run_cached, run_world, seed};
use crate::engine::settings::{EngineSettings, IpLimit};
use crate::fetch::body::BodyPool;
use crate::fetch::cache::{Cache, CacheSettings};
use crate::model::fetch_error::{ErrorKind, FetchError, Stage};
use crate::model::record::RequestKind;
use crate::model::units::{WallTime, parse_rate};
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
        12 if percent < 10 => Reply::status(429).after(latency),
        // Dead for good; silent; closes connections that are kept; fails every other time.
        15 => Reply::refused(),
        16 => Reply::status(200).after(Duration::from_hours(1)),
        17 if percent < 10 => Reply {
            error: Some(FetchError::transient(ErrorKind::Protocol, Stage::Send, "closed").of_idle_connection()),
            ..Reply::status(0)
        },
        18 if percent < 50 => Reply::status(502).after(latency),
        // Half of them say for how long they are good, which is nothing to a run without a cache.
        _ if dice.is_multiple_of(2) => {
            Reply::page("<title>x</title>").header("cache-control", "max-age=100000").after(latency)
        }
        _ => Reply::page("<title>x</title>").after(latency),
    }
}

/// Hosts that answer by what they are asked at once and in a time.
#[derive(Default)]
struct Busy {
    ends: Vec<Instant>,
    window: Option<(Instant, u32)>,
}

impl Busy {
    fn answer(&mut self, kind: u64, reply: Reply) -> Reply {
        let now = Instant::now();
        self.ends.retain(|end| *end > now);
        let at_once = u32::try_from(self.ends.len()).unwrap();
        let reply = match kind {
            // Two at once, and the rest is refused; one after the other.
            13 if at_once >= 2 => return Reply::status(429),
            14 => Reply { latency: reply.latency * (at_once + 1), ..reply },
            // Twenty in ten seconds, and it says how many are left.
            19 => {
                let (start, used) = self.window.filter(|(start, _)| *start + QUOTA_WINDOW > now).unwrap_or((now, 0));
                let left = QUOTA.saturating_sub(used + 1);
                self.window = Some((start, used + 1));
                let reset = (start + QUOTA_WINDOW - now).as_secs() + 1;
                let reply = if used < QUOTA { reply } else { Reply::status(429) };
                reply.header("ratelimit", format!("\"q\";r={left};t={reset}"))
            }
            _ => reply,
        };
        self.ends.push(now + reply.latency);
        reply
    }
}

const QUOTA: u32 = 20;
const QUOTA_WINDOW: Duration = Duration::from_secs(10);

/// Names the seed of a simulation that panics.
struct Seeded(u64);

impl Drop for Seeded {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("the simulation of seed {} failed: SIMULATION_SEED={} replays it", self.0, self.0);
        }
    }
}

async fn simulate(hosts: u64, urls: u64, seed_number: u64, settings: EngineSettings) {
    simulate_with(hosts, urls, seed_number, settings, None).await;
}

/// Gives the number of records that a cache has answered.
async fn simulate_with(
    hosts: u64,
    urls: u64,
    seed_number: u64,
    settings: EngineSettings,
    cache: Option<Arc<Cache>>,
) -> usize {
    let seeded = Seeded(seed_number);
    let mut busy: HashMap<String, Busy> = HashMap::new();
    let world = World::new(move |request, tries| {
        let reply = answer(request.url.as_str(), tries, seed_number);
        let host = request.url.host_str().unwrap();
        let kind = kind(host);
        // Three to five hosts share an address.
        let address = SocketAddr::from((Ipv4Addr::new(192, 0, 2, u8::try_from(kind / 4).unwrap()), 80));
        let reply = Reply { address: Some(address), ..reply };
        if matches!(kind, 13 | 14 | 19) { busy.entry(host.to_owned()).or_default().answer(kind, reply) } else { reply }
    });
    let (retries, concurrency) = (settings.retry.retries, settings.concurrency as u64);
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
    let (summary, records) = match cache {
        Some(cache) => run_cached(&world, settings, lines.collect(), Some(cache)).await,
        None => run_world(&world, settings, lines).await,
    };
    assert_eq!(summary.records, urls, "seed {seed_number}");
    assert_eq!(summary.left, 0);
    let distinct: HashSet<&str> = records.iter().filter_map(|record| record.url.as_deref()).collect();
    assert_eq!(distinct.len() as u64, urls, "each URL once, seed {seed_number}");
    let requests: u64 = records.iter().map(|record| record.requests.len() as u64).sum();
    let seen = world.log.lock().unwrap().count;
    assert_eq!(summary.requests, seen);
    let made = |is: fn(Option<u16>, &str) -> bool| {
        let all = records.iter().flat_map(|record| record.requests.windows(2));
        let all = all.filter(|pair| pair[1].kind == RequestKind::Retry && is(pair[0].status, &pair[1].host_key));
        all.count() as u64
    };
    assert_eq!(summary.retries, made(|_, _| true), "seed {seed_number}");
    // Those after refusals and closed connections are nobody's failures.
    let paid = made(|status, host| !matches!(status, Some(429 | 503)) && kind(host) != 17);
    assert!(paid <= u64::from(50 * retries) + seen / 5 + concurrency, "{paid} retries");
    assert!(requests <= seen && requests + hosts >= seen, "records know of {requests} requests, servers of {seen}");
    drop(seeded);
    records.iter().filter(|record| record.from_cache).count()
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

fn number(variable: &str) -> Option<u64> {
    std::env::var(variable).ok().map(|text| text.parse().expect(variable))
}

#[tokio::test(start_paused = true)]
async fn many_seeds() {
    let count = number("SIMULATION_SEEDS").unwrap_or(if cfg!(debug_assertions) { 50 } else { 1000 });
    let seeds = number("SIMULATION_SEED").map_or(0..count, |seed| seed..seed + 1);
    for seed_number in seeds {
        let rate = (seed_number % 3 == 0).then(|| parse_rate("50/s").unwrap());
        let concurrency = [1, 3, 16, 64][(seed_number % 4) as usize];
        let places = [None, Some(2), Some(16)][(seed_number % 3) as usize];
        let settings = EngineSettings {
            concurrency,
            host_rate: rate,
            ip_concurrency: places.map(|places| IpLimit { places, loopback: false }),
            adaptive_throttle: seed_number % 5 != 0,
            seed: seed_number,
            ..settings()
        };
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

/// The same worlds with a cache: once to fill it, once with what it has, once falling back on it.
#[tokio::test(start_paused = true)]
async fn with_a_cache() {
    for seed_number in 0..8 {
        let dir = tempfile::tempdir().unwrap();
        let mut answered = [0; 3];
        for (visit, answered) in answered.iter_mut().enumerate() {
            let of = CacheSettings { dir: dir.path().to_owned(), size: Some(1 << 20) };
            let cache = Cache::open(&of, BodyPool::new(1 << 20), WallTime(0)).unwrap();
            let settings = EngineSettings {
                concurrency: [1, 3, 16, 64][(seed_number % 4) as usize],
                ordered: seed_number % 3 == 0,
                fallback_stale: visit == 2,
                seed: seed_number,
                ..settings()
            };
            *answered = simulate_with(50, 500, seed_number, settings, Some(Arc::new(cache))).await;
        }
        let [filled, fresh, stale] = answered;
        assert!(filled == 0 && fresh > 100 && stale >= fresh, "seed {seed_number}: {answered:?}");
    }
}
