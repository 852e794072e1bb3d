//! What the engine knows of each host: its waiting jobs, its pace, its breaker, its robots rules.
//!
//! A host's next-allowed time outlives its queue (law 7): a host is forgotten only when it is idle, past every moment it
//! was told to wait for, and the table is large.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, VecDeque};
use std::time::Duration;

use foldhash::HashMap;
use xxhash_rust::xxh3::xxh3_64_with_seed;

use super::addresses::Whereabouts;
use super::event::HostId;
use super::kept_hosts::{KeptHosts, KeptRobots, Known};
use super::limit::Limiter;
use super::settings::EngineSettings;
use super::stats::HostSummary;
use crate::frontier::Rank;
use crate::model::fetch_error::FetchError;
use crate::model::job::Job;
use crate::model::record::{Outcome, RequestLog};
use crate::model::units::Moment;
use crate::policy::breaker::{Breaker, Gate};
use crate::policy::host_rules::HostLimits;
use crate::policy::pace::{Pace, PaceSettings};
use crate::policy::robots::RobotsRules;

/// Hosts that are known before idle ones are forgotten: about 1 KB each.
const MANY_HOSTS: usize = 16 * 1024;

/// Where a host stands in the workbench.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place {
    /// No job here.
    Idle,
    /// In the ready set; `rich`: it holds its quarter of the permits already.
    Ready { rich: bool },
    /// In the waiting heap.
    Parked,
    /// It waits for one of its own requests to end.
    Blocked,
}

/// What is known of the robots.txt of one origin.
#[derive(Debug)]
pub enum Robots {
    /// Its job is queued or under way; the copy from before, if there was one.
    Fetching(Option<RobotsCopy>),
    Known(RobotsCopy),
    /// 5xx: all is disallowed; asked once more for a URL that comes after this moment.
    DisallowAll(Moment),
    /// Given up below HTTP: URLs end with this failure; asked once more for one that comes after this moment.
    Unreachable(FetchError, Moment),
}

/// A robots.txt that was read.
#[derive(Debug)]
pub struct RobotsCopy {
    pub rules: Box<RobotsRules>,
    /// When it is to be asked for again.
    pub until: Moment,
    /// How often that has failed since it was read: then it is used on.
    pub failures: u32,
}

impl RobotsCopy {
    /// It could not be asked for again: it is used on, and asked for after 5 minutes, 10, 20 … at most an hour. With a
    /// long delay between requests not every second one of them shall be a vain one.
    #[must_use]
    pub fn used_on(self, now: Moment, delay: Duration) -> Self {
        let wait = Duration::from_mins(5 << self.failures.min(4)).min(Duration::from_hours(1)).max(3 * delay);
        Self { until: now.plus(wait), failures: self.failures.saturating_add(1), ..self }
    }
}

/// A job that waits for its own time.
#[derive(Debug)]
pub struct Delayed {
    pub due: Moment,
    pub job: Job,
}

impl PartialEq for Delayed {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}
impl Eq for Delayed {}
impl PartialOrd for Delayed {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}
impl Ord for Delayed {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        (self.due, self.job.number).cmp(&(other.due, other.job.number))
    }
}

/// Which queue of a host the next job stands in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Head {
    /// robots.txt or a sitemap.
    Own,
    /// A retry whose time has come.
    Retry,
    Fresh,
    /// Among the fresh ones, not the first of them.
    At(usize),
}

/// One host.
#[derive(Debug)]
pub struct Host {
    pub key: Box<str>,
    /// Resolved once: settings do not change in a run.
    pub limits: HostLimits,
    /// Leased from the frontier, in order of rank.
    pub fresh: VecDeque<Job>,
    /// robots.txt and sitemaps: they go first.
    pub own: VecDeque<Job>,
    pub retries: BinaryHeap<Reverse<Delayed>>,
    /// The frontier has leased this host to us.
    pub leased: bool,
    pub pace: Pace,
    pub breaker: Breaker,
    pub limiter: Option<Limiter>,
    /// Where it is, for the limit of addresses.
    pub whereabouts: Whereabouts,
    /// It stands among those that wait for a place at its address.
    pub awaits_address: bool,
    /// By origin: http and https may share a host key.
    pub robots: Vec<(Box<str>, Robots)>,
    /// Requests for the run's own use, which stand with the next record of this host.
    pub side_requests: Vec<RequestLog>,
    pub place: Place,
    /// Entries of the workbench with another ticket are out of date.
    pub ticket: u64,
    pub summary: HostSummary,
    pub request_time: Duration,
    /// While something of it is under way: since when it has answered nothing.
    pub awaited_since: Moment,
}

impl Host {
    fn new(key: Box<str>, settings: &EngineSettings) -> Self {
        let random = share_of_randomness(&key, settings.seed);
        let limits = settings.limits_of(&key);
        Self {
            summary: HostSummary { host_key: key.clone(), delay: limits.delay, ..HostSummary::default() },
            fresh: VecDeque::new(),
            own: VecDeque::new(),
            retries: BinaryHeap::new(),
            leased: false,
            pace: Pace::new(
                PaceSettings { delay: limits.delay, places: limits.places, adaptive: settings.adaptive_throttle },
                random,
            ),
            breaker: Breaker::new(settings.breaker, random),
            limiter: limits.rate.map(Limiter::new),
            whereabouts: Whereabouts::Unknown,
            awaits_address: false,
            robots: Vec::new(),
            side_requests: Vec::new(),
            place: Place::Idle,
            ticket: 0,
            request_time: Duration::ZERO,
            awaited_since: Moment::START,
            limits,
            key,
        }
    }

    /// Takes up what an earlier process of this run knew of it.
    fn take_up(&mut self, known: Known) {
        // It may have asked it a moment ago.
        self.pace.asked_before();
        if let Some(limiter) = &mut self.limiter {
            limiter.take(Moment::START);
        }
        if let Some(free) = known.free {
            self.pace.leave_alone(free);
        }
        if let Some(stated) = known.stated {
            self.pace.keep_stated(stated);
        }
        if let Some((outage, until)) = known.outage {
            self.breaker.take_up(outage, until);
            self.summary.given_up = outage.given_up;
        }
        for (origin, kept) in known.robots {
            let robots = match kept {
                KeptRobots::Known { rules, until, failures } => {
                    if let Some(delay) = rules.crawl_delay() {
                        self.pace.raise_delay(delay);
                    }
                    Robots::Known(RobotsCopy { rules, until, failures })
                }
                KeptRobots::DisallowAll(until) => Robots::DisallowAll(until),
                KeptRobots::Unreachable(error, until) => Robots::Unreachable(error, until),
            };
            self.set_robots(&origin, robots);
        }
    }

    /// The queue whose turn it is at `now`.
    #[must_use]
    pub fn head(&self, now: Moment) -> Option<Head> {
        if !self.own.is_empty() {
            return Some(Head::Own);
        }
        let retry = self.retries.peek().filter(|retry| retry.0.due <= now);
        match (retry, self.fresh.front()) {
            (Some(retry), Some(fresh)) if Rank::of(fresh) < Rank::of(&retry.0.job) => Some(Head::Fresh),
            (Some(_), _) => Some(Head::Retry),
            (None, Some(_)) => Some(Head::Fresh),
            (None, None) => None,
        }
    }

    #[must_use]
    pub fn job(&self, head: Head) -> Option<&Job> {
        match head {
            Head::Own => self.own.front(),
            Head::Retry => self.retries.peek().map(|retry| &retry.0.job),
            Head::Fresh => self.fresh.front(),
            Head::At(place) => self.fresh.get(place),
        }
    }

    pub fn take(&mut self, head: Head) -> Option<Job> {
        match head {
            Head::Own => self.own.pop_front(),
            Head::Retry => self.retries.pop().map(|retry| retry.0.job),
            Head::Fresh => self.fresh.pop_front(),
            Head::At(place) => self.fresh.remove(place),
        }
    }

    /// Where a leg of a race stands if it goes before all others that have a record; jobs of the run's own still go
    /// first. None if it is not among the fresh ones.
    #[must_use]
    pub fn head_of_leg(&self, number: u64, leg: usize) -> Option<Head> {
        let place = self.fresh.iter().position(|job| job.number == number && job.leg() == Some(leg))?;
        Some(if self.own.is_empty() { Head::At(place) } else { Head::Own })
    }

    /// Retries whose time has come stand among the other jobs again, in the same order.
    pub fn recall_retries(&mut self, now: Moment) {
        while self.retries.peek().is_some_and(|retry| retry.0.due <= now) {
            let Some(Reverse(Delayed { job, .. })) = self.retries.pop() else { return };
            if job.has_record() {
                self.insert_fresh(job);
            } else {
                self.own.push_back(job);
            }
        }
    }

    /// Puts a job among those that are here, by rank.
    pub fn insert_fresh(&mut self, job: Job) {
        let place = |job: &Job| (Rank::of(job), job.leg());
        let at = self.fresh.partition_point(|other| place(other) < place(&job));
        self.fresh.insert(at, job);
    }

    /// The rank by which the host competes: of its best job that has a record; before all others if it has only jobs
    /// of the run's own.
    #[must_use]
    pub fn rank(&self, now: Moment) -> Rank {
        let retry = self.retries.peek().filter(|retry| retry.0.due <= now).map(|retry| Rank::of(&retry.0.job));
        let fresh = self.fresh.front().map(Rank::of);
        let first = Rank { unpriority: i8::MIN, depth: 0, number: 0 };
        retry.into_iter().chain(fresh).min().unwrap_or(first)
    }

    #[must_use]
    pub fn robots_of(&self, origin: &str) -> Option<&Robots> {
        self.robots.iter().find(|(of, _)| **of == *origin).map(|(_, robots)| robots)
    }

    pub fn set_robots(&mut self, origin: &str, robots: Robots) {
        match self.robots.iter_mut().find(|(of, _)| **of == *origin) {
            Some((_, known)) => *known = robots,
            None => self.robots.push((origin.into(), robots)),
        }
    }

    /// Takes out the copy of an origin's robots.txt, that being read or asked for again.
    pub fn take_robots(&mut self, origin: &str) -> Option<RobotsCopy> {
        let at = self.robots.iter().position(|(of, _)| **of == *origin)?;
        match self.robots.swap_remove(at).1 {
            Robots::Known(copy) | Robots::Fetching(Some(copy)) => Some(copy),
            _ => None,
        }
    }

    /// Counts a record that ended at this host.
    pub fn count(&mut self, outcome: Outcome) {
        match outcome {
            Outcome::Ok => self.summary.ok += 1,
            Outcome::HttpError => self.summary.http_error += 1,
            Outcome::Failed => self.summary.failed += 1,
            Outcome::Skipped => self.summary.skipped += 1,
        }
    }

    /// Whether it has asked to be left alone for longer than anybody waits: its URLs end, and it is not asked.
    #[must_use]
    pub fn turns_away(&self, now: Moment, settings: &EngineSettings) -> bool {
        settings.retry.max_retry_after.is_some_and(|longest| self.pace.stated_until().since(now) > longest)
    }

    /// Nothing of it is under way or waiting, and no moment it was told to wait for lies ahead.
    fn is_idle(&self, now: Moment) -> bool {
        self.place == Place::Idle
            && !self.leased
            && self.retries.is_empty()
            && self.side_requests.is_empty()
            && self.pace.is_over(now)
            && self.limiter.as_ref().is_none_or(|limiter| limiter.next() <= now)
            && self.breaker.is_closed()
            && self.breaker.gate(now) == Gate::Pass
    }

    /// What the closing summary says of it.
    #[must_use]
    pub fn summarise(&self) -> HostSummary {
        let mut summary = self.summary.clone();
        summary.delay = self.pace.delay();
        summary.backoffs = self.pace.backoffs();
        summary.slowed = self.pace.cuts();
        summary.rate_limits = self.pace.limits();
        #[expect(clippy::cast_precision_loss, reason = "a mean for people")]
        if summary.requests > 0 {
            summary.mean_ms = self.request_time.as_secs_f64() * 1000.0 / summary.requests as f64;
        }
        // Cut off by a stop: they have been made, and nobody knows how long they would have taken.
        summary.requests += u64::from(self.pace.in_flight());
        summary
    }
}

/// The host's own part of the run's randomness, 0..1: whatever the order in which hosts come up.
fn share_of_randomness(key: &str, seed: u64) -> f64 {
    fastrand::Rng::with_seed(xxh3_64_with_seed(key.as_bytes(), seed)).f64()
}

/// All hosts the engine knows.
#[derive(Debug, Default)]
pub struct Hosts {
    table: Vec<Option<Host>>,
    free: Vec<HostId>,
    by_key: HashMap<Box<str>, HostId>,
    /// Forgetting is tried again when the table has grown to this.
    forget_at: usize,
    /// Hosts ever known, and the busiest of those that were forgotten.
    forgotten: u64,
    retired: Vec<HostSummary>,
    kept: KeptHosts,
}

impl Hosts {
    /// What an earlier process knew of hosts.
    pub fn take_up(&mut self, kept: KeptHosts) {
        self.kept = kept;
    }

    /// The host with this key, made if it is not known.
    pub fn id(&mut self, key: &str, settings: &EngineSettings, now: Moment) -> HostId {
        if let Some(&id) = self.by_key.get(key) {
            return id;
        }
        if self.by_key.len() >= self.forget_at.max(MANY_HOSTS) {
            self.forget(now);
        }
        let mut host = Host::new(key.into(), settings);
        if let Some(known) = self.kept.take(key) {
            host.take_up(known);
        }
        let id = if let Some(id) = self.free.pop() {
            self.table[id as usize] = Some(host);
            id
        } else {
            self.table.push(Some(host));
            HostId::try_from(self.table.len() - 1).expect("fewer than 2^32 hosts are known at once")
        };
        self.by_key.insert(key.into(), id);
        id
    }

    #[must_use]
    pub fn get(&self, id: HostId) -> &Host {
        self.table[id as usize].as_ref().expect("an id is used only while its host is known")
    }

    /// Whether the id (of an alarm, which may be out of date) names a host that is known.
    #[must_use]
    pub fn is_known(&self, id: HostId) -> bool {
        self.table[id as usize].is_some()
    }

    pub fn get_mut(&mut self, id: HostId) -> &mut Host {
        self.table[id as usize].as_mut().expect("an id is used only while its host is known")
    }

    /// Whether the id (of a workbench entry that may be out of date) still names a host with this ticket.
    #[must_use]
    pub fn has_ticket(&self, id: HostId, ticket: u64) -> bool {
        self.table[id as usize].as_ref().is_some_and(|host| host.ticket == ticket)
    }

    /// Of all hosts that are known, always in the same order.
    #[must_use]
    pub fn ids(&self) -> Vec<HostId> {
        (0..).zip(&self.table).filter_map(|(id, host)| host.as_ref().map(|_| id)).collect()
    }

    pub fn iter(&self) -> impl Iterator<Item = &Host> {
        self.table.iter().flatten()
    }

    fn forget(&mut self, now: Moment) {
        for id in 0..self.table.len() {
            if !self.table[id].as_ref().is_some_and(|host| host.is_idle(now)) {
                continue;
            }
            if let Some(host) = self.table[id].take() {
                self.by_key.remove(&host.key);
                self.free.push(HostId::try_from(id).expect("ids are 32 bits"));
                self.forgotten += 1;
                self.retired.push(host.summarise());
            }
        }
        self.retired.sort_by_key(|host| Reverse(host.requests));
        self.retired.truncate(16);
        self.forget_at = self.by_key.len() * 2;
    }

    /// What there is to say of a host, if it is known.
    #[must_use]
    pub fn summary_of(&self, key: &str) -> Option<HostSummary> {
        self.by_key.get(key).map(|&id| self.get(id).summarise())
    }

    /// Busiest first, at most `limit`, then those whose breaker opened; and how many there were.
    #[must_use]
    pub fn busiest(&self, limit: usize) -> (Vec<HostSummary>, u64) {
        let mut all: Vec<HostSummary> = self.iter().map(Host::summarise).collect();
        let count = all.len() as u64 + self.forgotten;
        all.extend(self.retired.iter().cloned());
        all.sort_by(|a, b| b.requests.cmp(&a.requests).then_with(|| a.host_key.cmp(&b.host_key)));
        let mut kept = 0;
        all.retain(|host| {
            kept += 1;
            kept <= limit || (host.opened > 0 && kept <= 4 * limit)
        });
        (all, count)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::model::job::JobKind;

    proptest! {
        /// A retry never comes before its time, whatever waits beside it, and each comes once.
        #[test]
        fn no_retry_comes_before_its_time(
            retries in proptest::collection::vec((0_u64..1000, -9_i8..9), 1..30),
            fresh in proptest::collection::vec(-9_i8..9, 0..10),
            steps in proptest::collection::vec(0_u64..200, 1..60),
        ) {
            let mut host = Host::new("h".into(), &EngineSettings::default());
            let job = |number: usize, priority| {
                let mut job = Job::new(JobKind::Typed, "http://h/", "h".into());
                (job.number, job.priority) = (number as u64, priority);
                job
            };
            for (number, (due, priority)) in retries.iter().enumerate() {
                let due = Moment::from_nanos(*due);
                host.retries.push(Reverse(Delayed { due, job: job(number, *priority) }));
            }
            host.fresh.extend(fresh.iter().enumerate().map(|(number, priority)| job(1000 + number, *priority)));
            let (mut now, mut taken) = (0, Vec::new());
            for passed in steps {
                now += passed;
                while let Some(head) = host.head(Moment::from_nanos(now)) {
                    let named = host.job(head).map(|job| job.number);
                    let job = host.take(head).unwrap();
                    prop_assert_eq!(named, Some(job.number));
                    if head == Head::Retry {
                        prop_assert!(retries[usize::try_from(job.number).unwrap()].0 <= now, "{} at {}", job.number, now);
                    }
                    taken.push(job.number);
                }
                let due = retries.iter().filter(|(due, _)| *due <= now).count();
                prop_assert_eq!(taken.len(), due + fresh.len(), "nor is one that is due left behind");
            }
            taken.sort_unstable();
            taken.dedup();
            prop_assert!(taken.len() <= retries.len() + fresh.len());
        }
    }
}
