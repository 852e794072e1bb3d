//! Whether requests that were made kept to a stated policy, judged by their starts and ends alone.
//!
//! It decides which pairs of requests break which limit; it reads no files and knows no defaults: what is not stated is
//! not judged. Called by `lycosa audit` with the `requests` of records, of any number of files, runs and workers.
//!
//! Limits of a host and of an address hold over everything that was read, those of a run for each run. A rate is kept if
//! every window of T seconds, T at least 1, holds at most rate × T + 1 starts; a delay counts from the end of a request to
//! the next start at its host.
//!
//! What records say is rounded, so a pair counts only if it breaks the limit wherever the true times lie: starts are cut
//! to milliseconds ([`RESOLUTION`]), and a start that came up to 5 ms late is made up for by a rate ([`LATENESS`]).

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::time::Duration;

use crate::model::units::Rate;

/// `started_at` has whole milliseconds, cut off: two of them are up to so much closer, or further apart, than they look.
pub const RESOLUTION: Duration = Duration::from_millis(1);

/// A rate's next start is counted from the moment at which a late one was due, if it was late by no more.
pub const LATENESS: Duration = Duration::from_millis(5);

const SECOND: i128 = 1_000_000_000;

/// The policy; what is None (or zero) is not judged.
#[derive(Debug, Clone, Default)]
pub struct Limits {
    /// Requests in flight, each run.
    pub concurrency: Option<u32>,
    /// Requests in flight, each host.
    pub host_concurrency: Option<u32>,
    /// Requests in flight, each address.
    pub ip_concurrency: Option<u32>,
    /// Starts, each run.
    pub rate: Option<Rate>,
    /// Starts, each host.
    pub host_rate: Option<Rate>,
    /// From the end of a request to the next start, each host.
    pub delay: Duration,
    /// The same for single hosts, by their number: in force where it is longer.
    pub host_delays: Vec<(u32, Duration)>,
    /// Allowed beyond what rounding explains: for clocks of several machines.
    pub tolerance: Duration,
}

/// One request: 40 bytes, since there may be millions. Hosts, addresses, runs and files are numbers of the caller's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Request {
    /// Microseconds since 1970.
    pub started: i64,
    /// Microseconds.
    pub took: u64,
    /// Where the caller finds the rest of it again.
    pub place: u64,
    pub host: u32,
    /// [`NO_ADDRESS`] if it is not known.
    pub address: u32,
    pub run: u32,
    pub file: u32,
}

/// For a request whose address no record tells.
pub const NO_ADDRESS: u32 = u32::MAX;

impl Request {
    fn ended(&self) -> i64 {
        self.started.saturating_add_unsigned(self.took)
    }
}

/// A limit that was broken, and by how much.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Breach {
    /// So many requests were in flight.
    Concurrency(u32),
    HostConcurrency(u32),
    IpConcurrency(u32),
    /// So many starts from the first request to the second.
    Rate(u32),
    HostRate(u32),
    /// The second started so long after the end of the first (negative: before it), in microseconds.
    Delay {
        gap: i64,
        wanted: Duration,
    },
}

/// Two requests that together break a limit, in order of their starts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Violation {
    pub breach: Breach,
    pub first: Request,
    pub second: Request,
}

/// All violations, limit by limit, in order of time within a host, a run or an address. Sorts the requests as it needs
/// them; a request that two files of one run both have counts once.
///
/// Of a rate, windows that overlap are one violation: after a window that is too full counting starts anew with its last
/// request. Of a concurrency, each start that is one too many is one, beside the request in flight that ended first.
pub fn judge(requests: &mut Vec<Request>, limits: &Limits) -> Vec<Violation> {
    let mut found = Vec::new();
    requests.sort_unstable_by_key(|request| (request.host, request.started, request.took, request.run, request.file));
    requests
        .dedup_by(|a, b| a.file != b.file && (a.host, a.started, a.took, a.run) == (b.host, b.started, b.took, b.run));
    for host in requests.chunk_by(|a, b| a.host == b.host) {
        if let Some(rate) = limits.host_rate {
            too_fast(host, rate, limits.tolerance, Breach::HostRate, &mut found);
        }
        if let Some(most) = limits.host_concurrency {
            too_many(host, most, limits.tolerance, Breach::HostConcurrency, &mut found);
        }
        let own = limits.host_delays.iter().filter(|(id, _)| *id == host[0].host).map(|(_, delay)| *delay);
        let wanted = own.fold(limits.delay, Duration::max);
        if !wanted.is_zero() {
            too_soon(host, wanted, limits.tolerance, &mut found);
        }
    }
    if limits.rate.is_some() || limits.concurrency.is_some() {
        requests.sort_unstable_by_key(|request| (request.run, request.started));
        for run in requests.chunk_by(|a, b| a.run == b.run) {
            if let Some(rate) = limits.rate {
                too_fast(run, rate, limits.tolerance, Breach::Rate, &mut found);
            }
            if let Some(most) = limits.concurrency {
                too_many(run, most, limits.tolerance, Breach::Concurrency, &mut found);
            }
        }
    }
    if let Some(most) = limits.ip_concurrency {
        requests.sort_unstable_by_key(|request| (request.address, request.started));
        for address in requests.chunk_by(|a, b| a.address == b.address) {
            if address[0].address != NO_ADDRESS {
                too_many(address, most, limits.tolerance, Breach::IpConcurrency, &mut found);
            }
        }
    }
    found
}

fn micros(time: Duration) -> i64 {
    i64::try_from(time.as_micros()).unwrap_or(i64::MAX)
}

/// Starts in windows of a second or more. With n starts after the first, a window of T is too full if n periods are
/// longer than T; so the request `i` to look at is, among those a second or more ago, the one with the least
/// `i × period − start`, and else the oldest within the last second.
fn too_fast(
    requests: &[Request],
    rate: Rate,
    tolerance: Duration,
    breach: fn(u32) -> Breach,
    found: &mut Vec<Violation>,
) {
    let period = i128::try_from(rate.period.as_nanos()).unwrap_or(i128::MAX);
    let allowed = i128::try_from((RESOLUTION + LATENESS + tolerance).as_nanos()).unwrap_or(i128::MAX);
    let nanos = |place: usize| i128::from(requests[place].started) * 1000;
    let lead = |place: usize| place as i128 * period - nanos(place);
    let (mut oldest, mut worst): (usize, Option<usize>) = (0, None);
    for last in 0..requests.len() {
        while oldest < last && nanos(last) - nanos(oldest) + allowed >= SECOND {
            worst = worst.filter(|worst| lead(*worst) <= lead(oldest)).or(Some(oldest));
            oldest += 1;
        }
        let is_full = |first: usize| {
            let window = (nanos(last) - nanos(first) + allowed).max(SECOND);
            (last - first) as i128 * period > window
        };
        if worst.into_iter().chain([oldest]).any(is_full) {
            // Told is the shortest of these windows. Since counting starts anew behind it, all looks back take linear time.
            let first = (0..last).rev().find(|first| is_full(*first)).unwrap_or(oldest);
            let count = u32::try_from(last - first + 1).unwrap_or(u32::MAX);
            found.push(Violation { breach: breach(count), first: requests[first], second: requests[last] });
            (oldest, worst) = (last, None);
        }
    }
}

/// Requests in flight at once. One that took less than the resolution is never seen beside another.
fn too_many(
    requests: &[Request],
    most: u32,
    tolerance: Duration,
    breach: fn(u32) -> Breach,
    found: &mut Vec<Violation>,
) {
    let allowed = micros(RESOLUTION + tolerance);
    let mut in_flight: BinaryHeap<Reverse<(i64, usize)>> = BinaryHeap::new();
    for (place, request) in requests.iter().enumerate() {
        while in_flight.peek().is_some_and(|Reverse((end, _))| *end <= request.started) {
            in_flight.pop();
        }
        let end = request.ended() - allowed;
        if end <= request.started {
            continue;
        }
        if in_flight.len() >= most as usize
            && let Some(Reverse((_, first))) = in_flight.peek()
        {
            let count = u32::try_from(in_flight.len() + 1).unwrap_or(u32::MAX);
            found.push(Violation { breach: breach(count), first: requests[*first], second: *request });
        }
        in_flight.push(Reverse((end, place)));
    }
}

/// Gaps from the latest end so far to the next start.
fn too_soon(requests: &[Request], wanted: Duration, tolerance: Duration, found: &mut Vec<Violation>) {
    let (delay, allowed) = (micros(wanted), micros(RESOLUTION + tolerance));
    let mut latest: Option<&Request> = None;
    for request in requests {
        if let Some(last) = latest {
            let gap = request.started.saturating_sub(last.ended());
            if gap.saturating_add(allowed) < delay {
                found.push(Violation { breach: Breach::Delay { gap, wanted }, first: *last, second: *request });
            }
        }
        if latest.is_none_or(|last| last.ended() <= request.ended()) {
            latest = Some(request);
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::model::units::parse_rate;

    fn request(started_ms: i64, took_ms: u64) -> Request {
        Request {
            started: started_ms * 1000,
            took: took_ms * 1000,
            place: u64::try_from(started_ms).unwrap(),
            host: 0,
            address: NO_ADDRESS,
            run: 0,
            file: 0,
        }
    }

    fn starts(millis: impl IntoIterator<Item = i64>) -> Vec<Request> {
        millis.into_iter().map(|start| request(start, 3)).collect()
    }

    fn rate(text: &str) -> Limits {
        Limits { host_rate: Some(parse_rate(text).unwrap()), ..Limits::default() }
    }

    /// What was broken, and the starts of the two requests in milliseconds.
    fn found(mut requests: Vec<Request>, limits: &Limits) -> Vec<(Breach, u64, u64)> {
        judge(&mut requests, limits).into_iter().map(|one| (one.breach, one.first.place, one.second.place)).collect()
    }

    #[test]
    fn a_rate_is_kept_to_the_last_start_and_broken_by_one_more() {
        assert_eq!(found(starts((0..200).map(|n| n * 50)), &rate("20/s")), []);
        let burst = starts((0..60).map(|n| n * 50).chain([1001, 1002, 1003]));
        let broken = found(burst, &rate("20/s"));
        assert_eq!(broken.len(), 2, "{broken:?}");
        assert!(broken.iter().all(|(_, first, second)| *first <= 1003 && *second >= 1001), "{broken:?}");
        // A second is the least window.
        assert_eq!(found(starts([0, 1]), &rate("1/s")), []);
        assert_eq!(found(starts([0, 1, 2]), &rate("1/s")), [(Breach::HostRate(3), 0, 2)]);
        assert_eq!(found(starts([0, 1900]), &rate("30/m")), [(Breach::HostRate(2), 0, 1900)]);
        assert_eq!(found(starts([0, 1994]), &rate("30/m")), [], "rounding and lateness");
    }

    #[test]
    fn a_long_run_that_is_a_little_too_fast_is_found() {
        // 49 ms instead of 50: no second holds more than 21 starts, a minute holds 24 too many.
        let broken = found(starts((0..1200).map(|n| n * 49)), &rate("20/s"));
        assert!(!broken.is_empty());
        assert!(broken[0].2 - broken[0].1 > 1000, "{broken:?}");
        let tolerant = Limits { tolerance: Duration::from_secs(3), ..rate("20/s") };
        assert_eq!(found(starts((0..1200).map(|n| n * 49)), &tolerant), []);
    }

    #[test]
    fn a_delay_is_from_the_latest_end_to_the_next_start() {
        let limits = Limits { delay: Duration::from_millis(100), ..Limits::default() };
        assert_eq!(found(vec![request(0, 50), request(150, 10), request(259, 5)], &limits), []);
        let gap = |gap| Breach::Delay { gap, wanted: Duration::from_millis(100) };
        assert_eq!(found(vec![request(0, 50), request(148, 10)], &limits), [(gap(98_000), 0, 148)]);
        // The first ends after the second.
        assert_eq!(
            found(vec![request(0, 500), request(200, 10), request(400, 1)], &limits),
            [(gap(-300_000), 0, 200), (gap(-100_000), 0, 400)]
        );
        let own = Limits { host_delays: vec![(0, Duration::from_secs(1)), (7, Duration::from_secs(9))], ..limits };
        assert_eq!(found(vec![request(0, 50), request(900, 10)], &own).len(), 1);
        assert_eq!(found(vec![request(0, 50), request(1050, 10)], &own), []);
    }

    #[test]
    fn one_too_many_in_flight_is_told_with_the_one_that_ended_first() {
        let limits = Limits { host_concurrency: Some(2), ..Limits::default() };
        let kept = [request(0, 100), request(10, 50), request(60, 100), request(99, 1)];
        assert_eq!(
            found(kept.to_vec(), &limits),
            [],
            "the end of one and the start of the next may share a millisecond"
        );
        let broken = [request(0, 100), request(10, 50), request(40, 100), request(45, 2)];
        let three = Breach::HostConcurrency;
        assert_eq!(found(broken.to_vec(), &limits), [(three(3), 10, 40), (three(4), 10, 45)]);
    }

    #[test]
    fn limits_of_hosts_runs_and_addresses_are_told_apart() {
        // Two hosts of one address, in two runs, each with a request at the same time.
        let twice: Vec<_> = (0..2)
            .flat_map(|host| (0..2).map(move |run| Request { host, run, address: 5, file: run, ..request(0, 50) }))
            .collect();
        let count = |limits: Limits| judge(&mut twice.clone(), &limits).len();
        assert_eq!(count(Limits { host_concurrency: Some(1), ..Limits::default() }), 2);
        assert_eq!(count(Limits { concurrency: Some(1), ..Limits::default() }), 2);
        assert_eq!(count(Limits { concurrency: Some(2), ..Limits::default() }), 0);
        assert_eq!(count(Limits { ip_concurrency: Some(3), ..Limits::default() }), 1);
        assert_eq!(count(Limits { ip_concurrency: Some(4), ..Limits::default() }), 0);
        let one = Some(parse_rate("1/h").unwrap());
        assert_eq!(count(Limits { rate: one, ..Limits::default() }), 2);
        assert_eq!(count(Limits { host_rate: one, ..Limits::default() }), 2);
        assert_eq!(count(Limits::default()), 0);
        let unknown: Vec<_> = twice.iter().map(|one| Request { address: NO_ADDRESS, ..*one }).collect();
        assert_eq!(judge(&mut unknown.clone(), &Limits { ip_concurrency: Some(1), ..Limits::default() }), []);
    }

    #[test]
    fn a_request_in_two_files_of_a_run_counts_once() {
        let limits = Limits { host_concurrency: Some(1), ..Limits::default() };
        let copy = |file, run| Request { run, file, ..request(0, 50) };
        assert_eq!(judge(&mut vec![copy(0, 0), copy(1, 0)], &limits), []);
        assert_eq!(judge(&mut vec![copy(0, 0), copy(0, 0)], &limits).len(), 1, "twice in one file it was made twice");
        assert_eq!(judge(&mut vec![copy(0, 0), copy(1, 1)], &limits).len(), 1, "and so it was by two runs");
    }

    proptest! {
        #[test]
        fn a_rate_is_broken_if_any_window_says_so(
            gaps in proptest::collection::vec(0_i64..900, 1..40),
            period_ms in 1_u64..2500,
        ) {
            let mut at = 0;
            let times: Vec<i64> = gaps.iter().map(|gap| { at += gap; at }).collect();
            let limits =
                Limits { host_rate: Some(Rate { period: Duration::from_millis(period_ms) }), ..Limits::default() };
            let broken = found(starts(times.clone()), &limits);
            let window = |i: usize, j: usize| (times[j] - times[i] + 6).max(1000);
            let full = |i: usize, j: usize| (j - i).cast_signed() as i64 * period_ms.cast_signed() > window(i, j);
            let any = (0..times.len()).any(|i| (i..times.len()).any(|j| full(i, j)));
            prop_assert_eq!(!broken.is_empty(), any);
            for (_, first, second) in broken {
                let place = |start: u64| times.iter().position(|time| time.cast_unsigned() == start).unwrap();
                let last = times.iter().rposition(|time| time.cast_unsigned() == second).unwrap();
                prop_assert!(full(place(first), last));
            }
        }

        #[test]
        fn in_flight_is_counted_as_by_hand(
            requests in proptest::collection::vec((0_i64..300, 0_u64..60), 1..40),
            most in 1_u32..5,
        ) {
            let requests: Vec<_> = requests.into_iter().map(|(start, took)| request(start, took)).collect();
            let limits = Limits { host_concurrency: Some(most), ..Limits::default() };
            let crowd = |one: &Request| {
                let there = |other: &&Request| other.started <= one.started && one.started < other.ended() - 1000;
                requests.iter().filter(there).count()
            };
            let crowded = requests.iter().any(|one| crowd(one) > most as usize);
            prop_assert_eq!(!judge(&mut requests.clone(), &limits).is_empty(), crowded);
        }
    }
}
