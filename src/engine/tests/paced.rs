//! Hosts that refuse, have only so much capacity, or say how much is left; each beside a control without the rule.

use std::sync::Mutex;
use std::time::Duration;

use tokio::time::Instant;

use super::fake::{Reply, Seen, World, run_world, seeds};
use crate::engine::settings::{EngineSettings, IpLimit};
use crate::engine::stats::{HostSummary, Summary};
use crate::model::record::{Outcome, RecordBody};

fn fetch() -> EngineSettings {
    EngineSettings { concurrency: 256, ..EngineSettings::default() }
}

fn millis(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

fn host<'a>(summary: &'a Summary, key: &str) -> &'a HostSummary {
    summary.hosts.iter().find(|host| &*host.host_key == key).unwrap()
}

fn all_ok(records: &[RecordBody]) -> bool {
    records.iter().all(|record| record.outcome == Outcome::Ok)
}

/// From the moment everything refused has ended to each start after it.
fn starts_after(requests: &[Seen], moment: Instant) -> Vec<Duration> {
    let mut starts: Vec<_> = requests.iter().filter(|r| r.start > moment).map(|r| r.start - moment).collect();
    starts.sort_unstable();
    starts
}

#[tokio::test(start_paused = true)]
async fn two_hundred_refused_together_are_one_event() {
    // It refuses all that is asked in its second second, 200 at once by then, and takes 50 to 249 ms to say so.
    for retry_after in [None, Some("3")] {
        let begin = Instant::now();
        let world = World::new(move |request, _| {
            let now = begin.elapsed();
            let number: u64 = request.url.path()[1..].parse().unwrap();
            if now < seconds(1) || now >= seconds(2) {
                return Reply::status(200).after(millis(100));
            }
            let refusal = Reply::status(429).after(millis(50 + number % 200));
            retry_after.map_or(refusal.clone(), |wait| refusal.header("retry-after", wait))
        });
        let settings = EngineSettings { host_concurrency: 200, ..fetch() };
        let (summary, records) =
            run_world(&world, settings, seeds((0..4000).map(|n| format!("http://h.test/{n}")))).await;
        assert!(all_ok(&records));
        let host = host(&summary, "h.test");
        assert!(host.refusals >= 200, "{}", host.refusals);
        assert_eq!(host.backoffs, 1, "{host:?}");
        // One request after the hold, then no more than doubling.
        let requests = world.requests();
        let first_refusal = begin + seconds(1);
        let pause = requests.windows(2).map(|pair| pair[1].start - pair[0].start).max().unwrap();
        let back = requests.windows(2).position(|pair| pair[1].start - pair[0].start == pause).unwrap() + 1;
        let (least, most) = if retry_after.is_some() { (2750, 3600) } else { (750, 1250) };
        assert!((millis(least)..millis(most)).contains(&pause), "{pause:?}");
        assert!(requests[back].start > first_refusal);
        let again = starts_after(&requests, requests[back].start);
        assert!(requests[back].at_host == 1 && again[0] >= millis(100), "alone until it is answered: {:?}", again[0]);
        let within = |ms| again.iter().filter(|start| **start <= millis(ms)).count();
        assert!(within(100) <= 2 && within(200) <= 2 + 8, "{} {}", within(100), within(200));
    }
}

#[tokio::test(start_paused = true)]
async fn hosts_that_were_blocked_together_come_back_one_by_one() {
    for header in [None, Some("10")] {
        let begin = Instant::now();
        let world = World::new(move |_, _| {
            if begin.elapsed() >= seconds(1) {
                return Reply::status(200).after(millis(20));
            }
            let refusal = Reply::status(429).after(millis(20));
            header.map_or(refusal.clone(), |wait| refusal.header("retry-after", wait))
        });
        let lines = (0..100).map(|n| format!("http://h{n}.test/"));
        let (_, records) = run_world(&world, fetch(), seeds(lines)).await;
        assert!(all_ok(&records));
        // The refusals came at one moment; the first requests after the hold fall within no tenth of a second together.
        let mut back: Vec<u128> = world
            .requests()
            .iter()
            .filter(|r| r.start > begin + seconds(1))
            .map(|r| (r.start - begin).as_millis())
            .collect();
        back.sort_unstable();
        assert_eq!(back.len(), 100);
        let spread = back[99] - back[0];
        let crowd = back.iter().filter(|at| **at < back[0] + spread / 10).count();
        assert!(spread >= 200 && crowd <= 20, "{crowd} in the first tenth of {spread} ms");
        let least = if header.is_some() { 10_020 } else { 1020 };
        assert!(back[0] >= least, "{}", back[0]);
    }
}

/// The doubling is the host's, over its URLs, and not each URL's own.
#[tokio::test(start_paused = true)]
async fn a_host_that_goes_on_refusing_is_left_alone_for_longer_and_longer() {
    let begin = Instant::now();
    let world = World::new(move |_, _| {
        if begin.elapsed() < seconds(100) { Reply::status(429) } else { Reply::status(200) }.after(millis(10))
    });
    let (summary, records) = run_world(&world, fetch(), seeds((0..50).map(|n| format!("http://h.test/{n}")))).await;
    assert!(all_ok(&records));
    assert_eq!(host(&summary, "h.test").backoffs, 7, "1 + 2 + 4 + 8 + 16 + 32 + 64 s");
    let requests = world.requests();
    for (place, pair) in requests.windows(2).take(7).enumerate() {
        let (gap, plain) = (pair[1].start - pair[0].end.unwrap(), seconds(1 << place));
        assert!(gap >= plain && gap <= plain + plain / 4 + millis(1), "{place}: {gap:?}");
    }
}

/// A server that takes so many requests at once, or so many in a second, and refuses the rest at once.
struct Capacity {
    normal: usize,
    /// What it has from so many requests taken until so many.
    low: usize,
    low_from: u64,
    low_until: u64,
    taken: u64,
    ends: Vec<Instant>,
    starts: Vec<Instant>,
}

impl Capacity {
    fn now(&self) -> usize {
        if (self.low_from..self.low_until).contains(&self.taken) { self.low } else { self.normal }
    }

    fn at_once(&mut self, latency: Duration) -> Reply {
        let now = Instant::now();
        self.ends.retain(|end| *end > now);
        if self.ends.len() >= self.now() {
            return Reply::status(429).after(millis(5));
        }
        self.taken += 1;
        self.ends.push(now + latency);
        Reply::status(200).after(latency)
    }

    fn per_second(&mut self, latency: Duration) -> Reply {
        let now = Instant::now();
        self.starts.retain(|start| *start + seconds(1) > now);
        if self.starts.len() >= self.now() {
            return Reply::status(429).after(latency);
        }
        self.taken += 1;
        self.starts.push(now);
        Reply::status(200).after(latency)
    }
}

/// Crawls 5,000 URLs of one host whose capacity drops to a tenth in the middle and returns. Returns refusals in percent
/// of requests, and the requests.
async fn crawl_with_capacity(
    at_once: bool,
    adaptive: bool,
    latency: Duration,
    (normal, low): (usize, usize),
) -> (f64, Vec<Seen>) {
    let capacity =
        Capacity { normal, low, low_from: 2000, low_until: 3000, taken: 0, ends: Vec::new(), starts: Vec::new() };
    let capacity = Mutex::new(capacity);
    let world = World::new(move |_, _| {
        let mut capacity = capacity.lock().unwrap();
        if at_once { capacity.at_once(latency) } else { capacity.per_second(latency) }
    });
    let settings = EngineSettings { host_concurrency: 32, adaptive_throttle: adaptive, ..fetch() };
    let (summary, _) = run_world(&world, settings, seeds((0..5000).map(|n| format!("http://h.test/{n}")))).await;
    let requests = world.requests();
    #[expect(clippy::cast_precision_loss, reason = "a share of thousands")]
    let share = summary.hosts[0].refusals as f64 * 100.0 / requests.len() as f64;
    (share, requests)
}

#[tokio::test(start_paused = true)]
async fn a_host_whose_capacity_drops_and_returns_is_followed_both_ways() {
    for (at_once, latency, capacity) in [
        (true, 100, (40, 4)),
        (true, 100, (20, 2)),
        (true, 5, (10, 1)),
        (false, 50, (500, 50)),
        (false, 50, (100, 10)),
        (false, 10, (300, 30)),
    ] {
        let latency = millis(latency);
        let (share, requests) = crawl_with_capacity(at_once, true, latency, capacity).await;
        let (control, _) = crawl_with_capacity(at_once, false, latency, capacity).await;
        println!(
            "{at_once} {latency:?} {share:.2} {control:.2} {:?}",
            requests.last().unwrap().start - requests[0].start
        );
        assert!(share < 2.0, "{share:.2} % refused; at once: {at_once}, {latency:?}, {capacity:?}");
        assert!(control > 3.0 * share, "control: {control:.2} % against {share:.2} %");
        // Requests a second before the drop, in the middle of it, and at the end: holds and all.
        let speed = |from: usize, until: usize| {
            let time = requests[until].start - requests[from].start;
            600.0 / time.as_secs_f64()
        };
        let (before, during, after) = (speed(1300, 1900), speed(2350, 2950), speed(4350, 4950));
        assert!(during < before / 4.0, "{during:.0}/s instead of {before:.0}/s");
        assert!(after > before / 2.0 && after > 3.0 * during, "back: {after:.0}/s after {during:.0}/s");
    }
}

/// How hosts of one address are called.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Names {
    Address,
    /// Each its own.
    Own,
    /// One name with many ports.
    Ports,
}

/// 40 hosts of one address, and 4 of another beside them. Returns the most in flight at the first (with names of their
/// own: from the fifth request to each on), and the time it took.
async fn shared_address(places: Option<u32>, names: Names, delay: Duration) -> (usize, Duration) {
    let name = move |n: u32| match names {
        Names::Address => format!("192.0.2.7:{}", 8000 + n),
        Names::Own => format!("h{n}.test"),
        Names::Ports => format!("h.test:{}", 8000 + n),
    };
    let world = World::new(|request, _| {
        let apart = request.url.host_str().is_some_and(|host| host.starts_with("apart"));
        let address = if apart { "192.0.2.8:80" } else { "192.0.2.7:80" };
        Reply { address: Some(address.parse().unwrap()), ..Reply::status(200).after(millis(100)) }
    });
    let ip_concurrency = places.map(|places| IpLimit { places, loopback: false });
    let settings = EngineSettings { ip_concurrency, delay, ..fetch() };
    let lines = (0..4000).map(|n| format!("http://{}/{n}", name(n % 40)));
    let apart = (0..400).map(|n| format!("http://apart{}.test/{n}", n % 4));
    let (_, records) = run_world(&world, settings, seeds(lines.chain(apart))).await;
    assert!(all_ok(&records));
    let mut here: Vec<_> = world.requests().into_iter().filter(|request| !request.host.starts_with("apart")).collect();
    here.sort_by_key(|request| request.start);
    let mut most = 0;
    for request in here.iter().skip(if names == Names::Own { 200 } else { 0 }) {
        let at_once = here.iter().filter(|other| other.start <= request.start && other.end.unwrap() > request.start);
        most = most.max(at_once.count());
    }
    (most, here.last().unwrap().end.unwrap() - here[0].start)
}

#[tokio::test(start_paused = true)]
async fn hosts_that_share_an_address_share_its_places() {
    for (names, delay) in [(Names::Address, 0), (Names::Own, 0), (Names::Ports, 0), (Names::Address, 20)] {
        let (most, took) = shared_address(Some(16), names, millis(delay)).await;
        assert_eq!(most, 16, "{names:?}");
        // 4,000 requests of 100 ms, 16 at once: 25 s. No place is lost while another host could use it.
        assert!(took < millis(26_500), "{took:?}, {names:?}, delay {delay}");
        let (control, _) = shared_address(None, names, millis(delay)).await;
        assert!(control >= 40, "{control}");
    }
}

/// The throttle costs a host nothing that is well: the same requests at the same moments.
#[tokio::test(start_paused = true)]
async fn a_host_that_is_well_is_as_fast_as_without_the_throttle() {
    for (latency, noise) in [(1, 2), (5, 15), (100, 0), (100, 60), (2000, 1000)] {
        let mut times = Vec::new();
        for adaptive_throttle in [true, false] {
            let world = World::new(move |request, _| {
                let number: u64 = request.url.path()[1..].parse().unwrap();
                // Pages differ, and one in 13 is broken.
                let late = number.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 32;
                let status = if number.is_multiple_of(13) { 404 } else { 200 };
                Reply::status(status).after(millis(latency + late % (noise + 1)))
            });
            let settings = EngineSettings { host_concurrency: 8, adaptive_throttle, ..fetch() };
            let (summary, _) =
                run_world(&world, settings, seeds((0..2000).map(|n| format!("http://h.test/{n}")))).await;
            assert_eq!(summary.hosts[0].slowed, 0);
            times.push(world.requests().iter().map(|request| request.start).max().unwrap() - world.requests()[0].start);
        }
        assert_eq!(times[0], times[1], "{latency} ms and up to {noise} more");
    }
}

/// The server's answers take the longer the more are in flight: from its 300th request to its 700th it works on one at a
/// time.
#[tokio::test(start_paused = true)]
async fn a_queue_at_the_server_is_kept_short() {
    let mut most = Vec::new();
    for adaptive_throttle in [true, false] {
        let mut ends: Vec<Instant> = Vec::new();
        let mut count = 0;
        let world = World::new(move |_, _| {
            let now = Instant::now();
            ends.retain(|end| *end > now);
            count += 1;
            let free = ends.iter().max().copied().unwrap_or(now);
            let end = if (300..700).contains(&count) { free + millis(50) } else { now + millis(50) };
            ends.push(end);
            Reply::status(200).after(end - now)
        });
        let settings = EngineSettings { host_concurrency: 16, adaptive_throttle, ..fetch() };
        run_world(&world, settings, seeds((0..2000).map(|n| format!("http://h.test/{n}")))).await;
        let requests = world.requests();
        let at_once = |range: std::ops::Range<usize>| requests[range].iter().map(|r| r.at_host).max().unwrap();
        assert_eq!(at_once(200..300), 16);
        assert_eq!(at_once(1900..2000), 16, "and back");
        most.push(at_once(550..650));
    }
    assert!(most[0] <= 5 && most[1] == 16, "{most:?}");
}

/// A host that waits for a place and is held meanwhile does not keep the place from the next one.
#[tokio::test(start_paused = true)]
async fn a_place_goes_on_to_the_next_host() {
    // Every fourth port refuses its second URL for long; port 1 holds one of the two places for 25 s.
    let world = World::new(|request, tries| match (request.url.port(), request.url.path()) {
        (Some(1), _) => Reply::status(200).after(seconds(25)),
        (Some(port), "/1") if tries == 0 && port % 4 == 0 => {
            Reply::status(429).header("retry-after", "100").after(millis(100))
        }
        _ => Reply::status(200).after(millis(100)),
    });
    let ip_concurrency = Some(IpLimit { places: 2, loopback: false });
    let lines = (0..3).flat_map(|n| (4..44).map(move |port| (port, n)));
    let lines = [(1, 0)].into_iter().chain(lines).map(|(port, n)| format!("http://192.0.2.7:{port}/{n}"));
    let (_, records) = run_world(&world, EngineSettings { ip_concurrency, ..fetch() }, seeds(lines)).await;
    assert!(all_ok(&records));
    let requests = world.requests();
    let refused =
        |request: &&Seen| request.host.rsplit_once(':').is_some_and(|(_, port)| port.parse::<u16>().unwrap() % 4 == 0);
    let last = requests.iter().filter(|request| !refused(request)).map(|request| request.start).max().unwrap();
    assert!(last - requests[0].start < seconds(20), "{:?}", last - requests[0].start);
}
