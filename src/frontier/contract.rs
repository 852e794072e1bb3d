//! The suite that every frontier must pass: what the trait promises, seen from the engine's side.
//!
//! `frontier_contract!(name, constructor)` makes a module with one test for each promise. [`Walk`] is the random one:
//! thousands of operations, each compared with a model that keeps everything in plain vectors.

use std::collections::BTreeMap;
use std::time::Duration;

use super::{Counts, Frontier, Rank};
use crate::model::job::{Chain, Job, JobKind, JobSpec, Mirror};
use crate::model::record::{RequestKind, RequestLog};
use crate::model::units::{Moment, WallTime};

/// Makes a module of tests over a constructor of boxed frontiers.
macro_rules! frontier_contract {
    ($name:ident, $make:expr) => {
        mod $name {
            use super::*;
            frontier_contract!(@tests $make;
                order_is_priority_then_depth_then_number equal_hosts_take_turns a_leased_host_is_not_offered_again
                a_deferred_host_waits_until_its_moment an_empty_host_is_deferred_too jobs_put_back_move_to_their_new_host
                a_job_found_while_its_host_is_leased_waits settled_jobs_are_gone the_best_is_what_a_lease_gives
                jobs_come_back_unchanged old_jobs_are_found_wherever_they_wait a_random_walk_agrees_with_the_model
            );
        }
    };
    (@tests $make:expr; $($test:ident)*) => {
        $(#[test] fn $test() { $crate::frontier::contract::$test(&|| $make); })*
    };
}
pub(super) use frontier_contract;

/// A constructor of the frontier under test.
pub(super) type Make<'a> = &'a dyn Fn() -> Box<dyn Frontier>;

pub(super) fn job(number: u64, host: &str) -> Job {
    let mut job = Job::new(JobKind::Link, format!("http://{host}/{number}"), host.into());
    job.number = number;
    job
}

fn ranked(number: u64, host: &str, priority: i8, depth: u32) -> Job {
    Job { priority, depth, ..job(number, host) }
}

fn at(nanos: u64) -> Moment {
    Moment::from_nanos(nanos)
}

fn numbers(jobs: &[Job]) -> Vec<u64> {
    jobs.iter().map(|job| job.number).collect()
}

fn discover(frontier: &mut dyn Frontier, jobs: impl IntoIterator<Item = Job>) {
    let mut jobs: Vec<Job> = jobs.into_iter().collect();
    frontier.discover(&mut jobs).unwrap();
    assert!(jobs.is_empty(), "discover drains what it takes");
}

fn lease(frontier: &mut dyn Frontier, now: u64, limit: usize) -> Option<(String, Vec<Job>)> {
    let mut jobs = Vec::new();
    let host = frontier.lease(at(now), limit, &mut jobs).unwrap();
    assert_eq!(host.is_some(), !jobs.is_empty(), "a host is leased with jobs, or not at all");
    assert!(jobs.len() <= limit);
    host.map(|host| (host.into(), jobs))
}

/// Leases one host after the other, each available again at once, until nothing is left.
pub(super) fn drain(frontier: &mut dyn Frontier, now: u64, limit: usize) -> Vec<Job> {
    let mut all = Vec::new();
    while let Some((host, jobs)) = lease(frontier, now, limit) {
        frontier.defer(&host, at(now));
        all.extend(jobs);
    }
    all
}

pub(super) fn order_is_priority_then_depth_then_number(make: Make) {
    let mut frontier = make();
    let jobs = [(0, 0, 2), (1, 0, 0), (2, 5, 3), (3, -9, 0), (4, 0, 0), (5, 9, 9), (6, 0, 1), (7, 5, 3)];
    discover(&mut *frontier, jobs.map(|(number, priority, depth)| ranked(number, "a", priority, depth)));
    let (_, first) = lease(&mut *frontier, 0, 3).unwrap();
    assert_eq!(numbers(&first), [5, 2, 7]);
    frontier.defer("a", Moment::START);
    assert_eq!(numbers(&drain(&mut *frontier, 0, 100)), [1, 4, 6, 0, 3]);

    // Between hosts it is priority and depth too.
    discover(&mut *frontier, [ranked(10, "a", 0, 1), ranked(11, "b", 0, 0), ranked(12, "c", 1, 7)]);
    assert_eq!(numbers(&drain(&mut *frontier, 0, 1)), [12, 11, 10]);

    // A better job moves its host forward.
    discover(&mut *frontier, [ranked(20, "a", 0, 1), ranked(21, "b", 0, 1), ranked(22, "b", 0, 0)]);
    assert_eq!(numbers(&drain(&mut *frontier, 0, 2)), [22, 21, 20]);
}

pub(super) fn equal_hosts_take_turns(make: Make) {
    let mut frontier = make();
    discover(&mut *frontier, (0..9_u8).map(|number| job(number.into(), ["a", "b", "c"][usize::from(number / 3)])));
    let mut turns = String::new();
    for now in 0..9 {
        let (host, _) = lease(&mut *frontier, now, 1).unwrap();
        turns += &host;
        frontier.defer(&host, at(now));
    }
    assert_eq!(turns, "abcabcabc");
}

pub(super) fn a_leased_host_is_not_offered_again(make: Make) {
    let mut frontier = make();
    discover(&mut *frontier, (0..3).map(|number| job(number, "a")));
    assert_eq!(numbers(&lease(&mut *frontier, 0, 1).unwrap().1), [0]);
    assert_eq!(frontier.best(at(5)), None);
    assert_eq!(lease(&mut *frontier, 5, 1), None);
    assert_eq!(frontier.next_due(), None, "a leased host waits for its lease, not for time");
    frontier.defer("a", Moment::START);
    assert_eq!(numbers(&lease(&mut *frontier, 5, 9).unwrap().1), [1, 2]);
}

pub(super) fn a_deferred_host_waits_until_its_moment(make: Make) {
    let mut frontier = make();
    discover(&mut *frontier, [job(0, "a"), job(1, "a"), job(2, "b"), job(3, "b")]);
    for until in [30, 20] {
        let (host, _) = lease(&mut *frontier, 0, 1).unwrap();
        frontier.defer(&host, at(until));
    }
    assert_eq!(frontier.next_due(), Some(at(20)));
    assert_eq!(lease(&mut *frontier, 19, 1), None);
    assert_eq!(lease(&mut *frontier, 20, 1).unwrap().0, "b");
    assert_eq!(frontier.next_due(), Some(at(30)));
    assert_eq!(lease(&mut *frontier, 29, 1), None);
    assert_eq!(lease(&mut *frontier, 31, 1).unwrap().0, "a");
    assert_eq!(frontier.next_due(), None);
}

pub(super) fn an_empty_host_is_deferred_too(make: Make) {
    let mut frontier = make();
    discover(&mut *frontier, [job(0, "a"), job(1, "b")]);
    for _ in 0..2 {
        let (host, _) = lease(&mut *frontier, 0, 9).unwrap();
        frontier.defer(&host, at(50));
    }
    assert_eq!(frontier.next_due(), None, "nothing waits");
    discover(&mut *frontier, [job(2, "a")]);
    assert_eq!(frontier.best(at(49)), None);
    assert_eq!(frontier.next_due(), Some(at(50)));
    assert_eq!(numbers(&lease(&mut *frontier, 50, 1).unwrap().1), [2]);
    discover(&mut *frontier, [job(3, "b")]);
    assert_eq!(numbers(&lease(&mut *frontier, 50, 1).unwrap().1), [3]);
}

pub(super) fn jobs_put_back_move_to_their_new_host(make: Make) {
    let mut frontier = make();
    discover(&mut *frontier, (0..4).map(|number| job(number, "a")));
    let (_, mut jobs) = lease(&mut *frontier, 0, 3).unwrap();
    jobs.pop();
    jobs[0].host = "b".into();
    jobs[0].url = "http://b/moved".into();
    frontier.put_back(&mut jobs).unwrap();
    assert!(jobs.is_empty());
    assert_eq!(frontier.counts(), Counts { pending: 3, leased: 1, settled: 0 });

    let (host, moved) = lease(&mut *frontier, 0, 9).unwrap();
    assert_eq!((host.as_str(), &*moved[0].url, moved[0].number), ("b", "http://b/moved", 0));
    assert_eq!(lease(&mut *frontier, 0, 9), None, "the first host is leased still");
    frontier.defer("a", Moment::START);
    assert_eq!(numbers(&lease(&mut *frontier, 0, 9).unwrap().1), [1, 3], "an old job goes before younger ones");
}

pub(super) fn a_job_found_while_its_host_is_leased_waits(make: Make) {
    let mut frontier = make();
    discover(&mut *frontier, [job(0, "a")]);
    lease(&mut *frontier, 0, 9).unwrap();
    discover(&mut *frontier, [ranked(1, "a", 9, 0)]);
    assert_eq!(frontier.best(at(0)), None);
    assert_eq!(frontier.counts(), Counts { pending: 1, leased: 1, settled: 0 });
    frontier.defer("a", at(10));
    assert_eq!(lease(&mut *frontier, 9, 9), None);
    assert_eq!(numbers(&lease(&mut *frontier, 10, 9).unwrap().1), [1]);
}

pub(super) fn settled_jobs_are_gone(make: Make) {
    let mut frontier = make();
    discover(&mut *frontier, (0..5).map(|number| job(number, "a")));
    let (_, mut jobs) = lease(&mut *frontier, 0, 3).unwrap();
    frontier.settle(&[]).unwrap();
    assert_eq!(frontier.counts(), Counts { pending: 2, leased: 3, settled: 0 });
    frontier.settle(&[0, 2]).unwrap();
    assert_eq!(frontier.counts(), Counts { pending: 2, leased: 1, settled: 2 });
    jobs.retain(|job| job.number == 1);
    frontier.put_back(&mut jobs).unwrap();
    frontier.defer("a", Moment::START);
    assert_eq!(numbers(&drain(&mut *frontier, 0, 9)), [1, 3, 4]);
    frontier.settle(&[1, 3, 4]).unwrap();
    assert_eq!(frontier.counts(), Counts { pending: 0, leased: 0, settled: 5 });
    assert_eq!(lease(&mut *frontier, 99, 9), None);
    frontier.close().unwrap();
}

pub(super) fn the_best_is_what_a_lease_gives(make: Make) {
    let mut frontier = make();
    assert_eq!(frontier.best(at(0)), None);
    assert_eq!(lease(&mut *frontier, 0, 1), None);
    discover(
        &mut *frontier,
        (0..60_u8).map(|n| ranked(n.into(), &format!("h{}", n % 7), (n % 3).cast_signed(), u32::from(n % 4))),
    );
    let mut given = Vec::new();
    while let Some(best) = frontier.best(at(0)) {
        let (host, jobs) = lease(&mut *frontier, 0, 1).unwrap();
        assert_eq!(class(Rank::of(&jobs[0])), class(best));
        given.push(class(best));
        frontier.defer(&host, Moment::START);
    }
    assert_eq!(given.len(), 60);
    assert!(given.is_sorted());
}

/// A job in which everything that can be set is set.
pub(super) fn full_job(number: u64, host: &str) -> Job {
    let spec = JobSpec {
        id: Some("an id ü".into()),
        method: Some("PUT".into()),
        headers: vec![("x-a".into(), "1".into()), ("x-b".into(), String::new().into())],
        body: Some(vec![0, 255, 10, 13]),
        timeout: Some(Duration::from_nanos(1_500_000_001)),
        retries: Some(3),
        accept: Some("200..299".into()),
        proxy: Some("http://proxy:1".into()),
        meta: Some(r#"{"a":[1,2.50,"x"]}"#.into()),
        user_info: Some(("user".into(), "pass:word".into())),
        mirrors: vec![Mirror { url: "https://b.example/".into(), user_info: None, repeated: false }],
        leg: Some(1),
        outside: true,
    };
    let request = RequestLog {
        url: "http://first/".into(),
        host_key: "first".into(),
        kind: RequestKind::Redirect,
        started_at: WallTime(-1_700_000_000_123),
        ms: Duration::from_micros(12_345).into(),
        status: Some(302),
    };
    let chain = Chain {
        first_url: Some("http://first/".into()),
        requests: vec![request.clone(), RequestLog { status: None, ..request }],
        first_started: Some((WallTime(1_700_000_000_000), at(77))),
        hops: 3,
        attempts: 2,
        tries: 2,
        refusals: 1,
        idle_deaths: 1,
        turned_get: true,
        left_origin: true,
        wire_bytes: 7,
        retry_of: Some(8),
        known: Some(Box::default()),
    };
    Job {
        kind: JobKind::Typed,
        accepted: Moment::NEVER,
        source: Some("http://source/".into()),
        input: Some("HTTP://As Typed".into()),
        line: u64::MAX,
        spec: Some(Box::new(spec)),
        chain: Some(Box::new(chain)),
        ..job(number, host)
    }
}

pub(super) fn jobs_come_back_unchanged(make: Make) {
    let mut frontier = make();
    let jobs: Vec<Job> = (0..200).map(|n| full_job(n, if n % 50 == 0 { "lonely" } else { "crowded" })).collect();
    discover(&mut *frontier, jobs.clone());
    let mut back = drain(&mut *frontier, 0, 7);
    back.sort_by_key(|job| job.number);
    assert!(back == jobs);
}

pub(super) fn old_jobs_are_found_wherever_they_wait(make: Make) {
    let mut frontier = make();
    let (hosts, count) = (["line", "leased", "deferred", "crowded", "crowded"], 600_u64);
    let aged = |n: u64| Job { accepted: at(n), depth: (n % 3) as u32, ..job(n, hosts[(n % 5) as usize]) };
    discover(&mut *frontier, (0..count).map(aged));
    let mut elsewhere = Vec::new();
    while let Some((host, jobs)) = lease(&mut *frontier, 0, 1) {
        elsewhere.extend(numbers(&jobs));
        match &*host {
            "leased" => {}
            "deferred" => frontier.defer("deferred", at(1 << 40)),
            _ => {
                frontier.defer(&host, Moment::START);
                if elsewhere.len() > 3 {
                    break;
                }
            }
        }
    }
    let mut found = Vec::new();
    for until in [99, 99, 299] {
        let left = loop {
            let before = found.len();
            let left = frontier.expire(at(until), 7, &mut found).unwrap();
            assert!(found.len() - before <= 7);
            if found.len() == before {
                break left;
            }
        };
        assert!(left.is_some_and(|left| left > at(until) && left <= at(until + 5)), "{left:?}");
        let mut all: Vec<u64> = numbers(&found).into_iter().chain(elsewhere.iter().copied()).collect();
        all.sort_unstable();
        all.retain(|number| *number <= until);
        assert_eq!(all, (0..=until).collect::<Vec<_>>(), "each of them once");
        assert!(found.iter().all(|job| job.accepted <= at(until)));
    }
    let taken = (found.len() + elsewhere.len()) as u64;
    assert_eq!(frontier.counts(), Counts { pending: count - taken, leased: taken, settled: 0 });
    frontier.defer("leased", Moment::START);
    let rest = drain(&mut *frontier, 1 << 40, 9);
    assert_eq!(rest.len() as u64, count - taken);
    assert_eq!(frontier.expire(Moment::NEVER, 9, &mut found).unwrap(), None);
}

pub(super) fn a_random_walk_agrees_with_the_model(make: Make) {
    for seed in 0..6 {
        Walk::new(seed).run(&mut *make(), 1500, |_| {});
    }
}

fn class(rank: Rank) -> (i8, u32) {
    (rank.unpriority, rank.depth)
}

fn class_of(job: &Job) -> (i8, u32) {
    class(Rank::of(job))
}

/// A random sequence of operations, and all that a frontier must know after them.
pub(super) struct Walk {
    random: fastrand::Rng,
    now: u64,
    next: u64,
    pending: BTreeMap<Box<str>, Vec<Job>>,
    /// Hosts that are leased (None) or deferred.
    away: BTreeMap<Box<str>, Option<u64>>,
    leased: Vec<Job>,
    settled: u64,
}

impl Walk {
    pub(super) fn new(seed: u64) -> Self {
        let random = fastrand::Rng::with_seed(seed);
        let (pending, away) = (BTreeMap::new(), BTreeMap::new());
        Self { random, now: 0, next: 0, pending, away, leased: Vec::new(), settled: 0 }
    }

    /// Runs some operations and then everything to its end; calls `check` after each operation.
    pub(super) fn run<F: Frontier + ?Sized>(mut self, frontier: &mut F, operations: usize, check: impl Fn(&F)) {
        for step in 0..operations {
            // Waves: the frontier fills and empties several times.
            let filling = step / 200 % 2 == 0;
            match self.random.u32(0..10) {
                0..=2 if filling => self.discover(frontier),
                0..=4 => self.lease(frontier),
                5..=6 => self.end_lease(frontier),
                7 => self.settle(frontier),
                8 if self.random.u32(0..4) == 0 => self.expire(frontier),
                8 => self.put_back(frontier),
                _ => self.now += self.random.u64(0..20),
            }
            self.compare_counts(frontier);
            check(frontier);
        }
        while self.pending.values().any(|jobs| !jobs.is_empty()) || !self.leased.is_empty() {
            self.now += 30;
            self.end_lease(frontier);
            self.settle(frontier);
            self.lease(frontier);
            self.compare_counts(frontier);
            check(frontier);
        }
        assert_eq!(frontier.counts(), Counts { pending: 0, leased: 0, settled: self.next });
        assert_eq!(frontier.best(Moment::NEVER), None);
    }

    fn any_host(&mut self) -> Box<str> {
        // Some hosts are large, and many are small.
        let host = if self.random.bool() { self.random.u32(0..3) } else { self.random.u32(3..60) };
        format!("h{host}").into()
    }

    fn discover<F: Frontier + ?Sized>(&mut self, frontier: &mut F) {
        let mut jobs = Vec::new();
        for _ in 0..self.random.usize(0..25) {
            let host = self.any_host();
            let (priority, depth) = (self.random.i8(-1..2), self.random.u32(0..3));
            let job = match self.random.u32(0..20) {
                0 => full_job(self.next, &host),
                1 => Job { source: Some("s".repeat(self.random.usize(0..6000)).into()), ..job(self.next, &host) },
                _ => job(self.next, &host),
            };
            jobs.push(Job { priority, depth, accepted: at(self.now), ..job });
            self.next += 1;
        }
        for job in &jobs {
            self.pend(job.clone());
        }
        frontier.discover(&mut jobs).unwrap();
        assert!(jobs.is_empty());
    }

    fn pend(&mut self, job: Job) {
        self.pending.entry(job.host.clone()).or_default().push(job);
    }

    fn available(&self, host: &str) -> bool {
        match self.away.get(host) {
            Some(until) => until.is_some_and(|until| until <= self.now),
            None => true,
        }
    }

    fn lease<F: Frontier + ?Sized>(&mut self, frontier: &mut F) {
        let ready = self.pending.iter().filter(|(host, _)| self.available(host));
        let expected = ready.flat_map(|(_, jobs)| jobs).map(class_of).min();
        assert_eq!(frontier.best(at(self.now)).map(class), expected);
        let (mut jobs, limit) = (Vec::new(), self.random.usize(1..8));
        let host = frontier.lease(at(self.now), limit, &mut jobs).unwrap();
        assert_eq!(jobs.first().map(class_of), expected);
        let Some(host) = host else {
            let waiting =
                self.away.iter().filter(|(host, _)| self.pending.get(*host).is_some_and(|jobs| !jobs.is_empty()));
            let due = waiting.filter_map(|(_, until)| until.map(at)).min();
            assert_eq!(frontier.next_due(), due);
            return;
        };
        assert!(jobs.len() <= limit);
        assert!(self.available(&host), "{host} is leased or deferred");
        let waiting = self.pending.get_mut(&host).unwrap();
        for job in &jobs {
            let place = waiting.iter().position(|waiting| waiting.number == job.number).expect("a job is given once");
            assert_eq!(*job, waiting.swap_remove(place));
        }
        assert!(jobs.iter().map(class_of).is_sorted());
        let (last, left) = (jobs.last().map(class_of), waiting.iter().map(class_of).min());
        assert!(left.is_none_or(|left| last <= Some(left)), "a better job was left behind");
        self.away.insert(host, None);
        self.leased.extend(jobs);
    }

    /// Defers a leased host, to now or later.
    fn end_lease<F: Frontier + ?Sized>(&mut self, frontier: &mut F) {
        let leased: Vec<Box<str>> =
            self.away.iter().filter(|(_, until)| until.is_none()).map(|(h, _)| h.clone()).collect();
        if let Some(host) = self.random.choice(leased) {
            let until = (self.now + self.random.u64(0..60)).saturating_sub(30);
            frontier.defer(&host, at(until));
            self.away.insert(host, Some(until));
        }
    }

    fn settle<F: Frontier + ?Sized>(&mut self, frontier: &mut F) {
        self.random.shuffle(&mut self.leased);
        let count = self.random.usize(0..=self.leased.len());
        frontier.settle(&numbers(&self.leased.split_off(self.leased.len() - count))).unwrap();
        self.settled += count as u64;
    }

    fn put_back<F: Frontier + ?Sized>(&mut self, frontier: &mut F) {
        self.random.shuffle(&mut self.leased);
        let count = self.random.usize(0..=self.leased.len().min(5));
        let mut jobs = self.leased.split_off(self.leased.len() - count);
        for job in &mut jobs {
            job.chain_mut().attempts += 1;
            if self.random.bool() {
                job.host = self.any_host();
            }
        }
        for job in &jobs {
            self.pend(job.clone());
        }
        frontier.put_back(&mut jobs).unwrap();
        assert!(jobs.is_empty());
    }

    /// Takes old jobs out of turn.
    fn expire<F: Frontier + ?Sized>(&mut self, frontier: &mut F) {
        let until = at(self.now.saturating_sub(self.random.u64(0..1500)));
        let (mut jobs, limit) = (Vec::new(), self.random.usize(1..40));
        let left = frontier.expire(until, limit, &mut jobs).unwrap();
        let is_old = |job: &Job| job.accepted <= until;
        let old = self.pending.values().flatten().filter(|job| is_old(job)).count();
        assert_eq!(jobs.len(), old.min(limit));
        for job in &jobs {
            let waiting = self.pending.get_mut(&job.host).unwrap();
            let place = waiting.iter().position(|waiting| waiting.number == job.number).expect("a job is given once");
            assert_eq!(*job, waiting.swap_remove(place));
            assert!(is_old(job));
        }
        let oldest = self.pending.values().flatten().map(|job| job.accepted).min();
        assert_eq!(left.is_some(), oldest.is_some());
        assert!(left <= oldest);
        self.leased.extend(jobs);
    }

    fn compare_counts<F: Frontier + ?Sized>(&self, frontier: &F) {
        let pending = self.pending.values().map(|jobs| jobs.len() as u64).sum();
        let leased = self.leased.len() as u64;
        assert_eq!(frontier.counts(), Counts { pending, leased, settled: self.settled });
        assert_eq!(pending + leased + self.settled, self.next, "every job is in one state");
    }
}
