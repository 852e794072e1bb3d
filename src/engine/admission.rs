//! Admission: may this host be asked now? The gate, in order, and the only place where requests start.
//!
//! trap · robots verdict · a refusal that lasts too long · breaker · robots.txt itself · host slot · delay, hold and host's
//! rate · place at its address. Before a host is even looked at:
//! permits, room in delivery, the limit of pages, the run's rate. Whatever is not due yet goes back into the heap at the
//! moment stated; nobody sleeps while holding a place (law 1).

use std::sync::Arc;

use super::addresses::Whereabouts;
use super::dispatcher::{Dispatcher, Idle, Phase};
use super::event::{HostId, Remote, Spot};
use super::hosts::{Head, Place, Robots};
use super::intake::host_name_entry;
use super::limit::Limiter;
use super::outcome::Verdict;
use super::race::is_lane;
use super::worker::reuse::Purpose;
use super::worker::{Errand, work};
use crate::fetch::Fetcher;
use crate::model::fetch_error::{FetchError, Stage};
use crate::model::job::{Job, JobKind};
use crate::model::record::{RequestKind, SkipReason};
use crate::model::units::Moment;
use crate::model::url::origin_of;
use crate::policy::breaker::Gate;
use crate::policy::retry;

/// Jobs of one host that are taken from the frontier at once. Few: a host's turn ends with them, and connections are
/// reused within a turn.
const LEASE: usize = 16;

/// What robots.txt says of a job.
enum RobotsVerdict {
    Allowed,
    /// `told`: by its rules. Else it could not be read.
    Disallowed {
        told: bool,
    },
    Unreachable(FetchError),
    /// Its request is queued or under way.
    Fetching,
    /// It must be asked first; once, if it was given up before, or if there is a copy of it.
    Ask {
        once: bool,
    },
}

impl<F: Fetcher> Dispatcher<F> {
    /// Starts whatever may start now.
    pub(super) fn admit(&mut self, now: Moment) -> Idle {
        while let Some(id) = self.bench.pop_due(&self.hosts, now) {
            if self.hosts.is_known(id) {
                self.reconsider(id, now);
            }
        }
        self.queue_due_legs(now);
        loop {
            let full = !self.delivery.has_room();
            if self.is_held_up(now) || (full && self.delivery.oldest_admitted().is_none()) {
                return Idle::Busy;
            }
            if self.pages_needed() == Some(0) {
                self.admit_legs_in_flight(now);
                return Idle::Busy;
            }
            let chosen = self.choose(full, now);
            let Some(id) = chosen else { return if full { Idle::Busy } else { Idle::NoJob } };
            self.consider(id, now);
            self.pass_on_place(id, now);
            // Verdicts without a request may have ended jobs of a page-limited run, or found links' hosts.
            self.hand_over_discovered(now);
        }
    }

    /// Whether no request at all may start now, whatever it is for.
    pub(super) fn is_held_up(&mut self, now: Moment) -> bool {
        self.phase != Phase::Running
            || self.permits.available_permits() == 0
            || self.disk_is_behind()
            || self.memory_is_short(now)
            || self.run_limiter.as_ref().is_some_and(|limiter| limiter.next() > now)
    }

    /// Whether memory is so short that what is under way should end first. One request at a time may always go.
    fn memory_is_short(&mut self, now: Moment) -> bool {
        self.memory.as_mut().is_some_and(|memory| memory.is_short(now)) && self.in_flight > 0
    }

    /// Pages that `--max-pages` still needs beside those under way.
    pub(super) fn pages_needed(&self) -> Option<u64> {
        let limit = self.settings.max_pages?;
        Some(limit.saturating_sub(self.tally.pages() + self.pages_in_flight))
    }

    /// Whether its next request, or its end without one, is a page more than those under way: a further leg of a race is
    /// none.
    pub(super) fn adds_page(&self, job: &Job) -> bool {
        job.has_record() && !(job.leg().is_some() && self.races.get(job.number).is_some_and(|race| race.counted))
    }

    /// The host whose turn it is: the best among those below a quarter of the permits, from the frontier too; one that
    /// holds its quarter only if there is no other. With delivery full only that of the oldest line.
    fn choose(&mut self, only_oldest: bool, now: Moment) -> Option<HostId> {
        loop {
            let poor = self.bench.peek(&self.hosts, false);
            let better = self.frontier.best(now).is_some_and(|rank| {
                only_oldest || poor.is_none_or(|(_, turn)| turn.is_after(rank, self.settings.ordered))
            });
            if better {
                self.lease(now);
                continue;
            }
            let rich = self.bench.peek(&self.hosts, true);
            if !only_oldest {
                return poor.or(rich).map(|(id, _)| id);
            }
            let oldest = self.delivery.oldest_admitted();
            let mut candidates = poor.into_iter().chain(rich).map(|(id, _)| id);
            return candidates.find(|id| Some(self.hosts.get(*id).rank(now).number) == oldest);
        }
    }

    /// Takes the frontier's best host onto the bench.
    fn lease(&mut self, now: Moment) {
        let mut jobs = Vec::with_capacity(LEASE);
        match self.frontier.lease(now, LEASE, &mut jobs) {
            Ok(Some(key)) if is_lane(&key) => self.open_races(&key, jobs, now),
            Ok(Some(key)) => {
                let id = self.hosts.id(&key, &self.settings, now);
                let host = self.hosts.get_mut(id);
                host.leased = true;
                host.fresh.extend(jobs);
                // Refused jobs may be here from the last turn.
                host.fresh.make_contiguous().sort_by_key(crate::frontier::Rank::of);
                self.reconsider(id, now);
            }
            Ok(None) => debug_assert!(false, "the frontier named a best job and leased none"),
            Err(error) => self.check_frontier(Err(error), now),
        }
    }

    /// Puts a host where it belongs after something about it has changed.
    pub(super) fn reconsider(&mut self, id: HostId, now: Moment) {
        let host = self.hosts.get(id);
        if host.head(now).is_some() {
            let rank = host.rank(now);
            let rich = self.is_rich(id);
            self.bench.make_ready(&mut self.hosts, id, rank, rich);
        } else {
            self.rest(id, now);
        }
    }

    /// Whether the host holds its quarter of the permits.
    fn is_rich(&self, id: HostId) -> bool {
        let quarter = (self.settings.concurrency / 4).max(1);
        self.hosts.get(id).pace.in_flight() as usize >= quarter
    }

    /// Nothing of it may go now: its turn is over, and the frontier may give it another.
    fn rest(&mut self, id: HostId, now: Moment) {
        let host = self.hosts.get_mut(id);
        if host.leased && host.fresh.is_empty() {
            host.leased = false;
            // While it turns us away its URLs come, and end.
            let turns_away = host.turns_away(now, &self.settings);
            let until = if turns_away { now } else { host.pace.next_allowed() };
            self.frontier.defer(&self.hosts.get(id).key, until);
        }
        self.bench.set_aside(&mut self.hosts, id, Place::Idle);
    }

    /// Takes a ready host through the gate: starts one request, or ends jobs that may never be asked, or parks it.
    pub(super) fn consider(&mut self, id: HostId, now: Moment) {
        self.consider_leg(id, None, now);
    }

    /// The same for one leg of a race, by the race's number, whatever of the host stands before it.
    pub(super) fn consider_leg(&mut self, id: HostId, leg: Option<(u64, usize)>, now: Moment) {
        loop {
            let host = self.hosts.get(id);
            let head = leg.map_or_else(|| host.head(now), |(number, leg)| host.head_of_leg(number, leg));
            let Some((head, job)) = head.and_then(|head| Some((head, host.job(head)?))) else {
                return self.reconsider(id, now);
            };
            // A record needs room, and so does that of a verdict. Not that of a leg asked for by name: the run ends with
            // its race, and what is held back is let go.
            let is_oldest = self.delivery.oldest_admitted().is_some_and(|oldest| leg.is_some() || oldest == job.number);
            if job.has_record() && !self.delivery.has_room() && !is_oldest {
                return self.reconsider(id, now);
            }
            // A verdict may be a failure, and so a page: `--max-pages` is exact.
            if self.adds_page(job) && self.pages_needed() == Some(0) {
                return self.reconsider(id, now);
            }
            if self.url_due(job) <= now {
                if let Some(job) = self.hosts.get_mut(id).take(head) {
                    self.end_late(job, Stage::Queue, now);
                }
                continue;
            }
            if self.sort_out_trap(id, head, now) {
                continue;
            }
            if self.sort_out_offline(id, head, now) {
                return self.reconsider(id, now);
            }
            let robots = self.robots_verdict(id, head, now);
            match robots {
                RobotsVerdict::Disallowed { told } => {
                    if !told && self.ask_cache(id, head, Purpose::Rescue, now) {
                        return self.reconsider(id, now);
                    }
                    self.end_head(id, head, Verdict::Skipped(SkipReason::Robots), now);
                    continue;
                }
                RobotsVerdict::Unreachable(error) => {
                    if self.ask_cache(id, head, Purpose::Rescue, now) {
                        return self.reconsider(id, now);
                    }
                    self.end_head(id, head, Verdict::Failed(error), now);
                    continue;
                }
                RobotsVerdict::Fetching => return self.bench.set_aside(&mut self.hosts, id, Place::Blocked),
                RobotsVerdict::Allowed | RobotsVerdict::Ask { .. } => {}
            }
            if matches!(robots, RobotsVerdict::Allowed) && self.ask_cache(id, head, Purpose::Reuse, now) {
                return self.reconsider(id, now);
            }
            if self.hosts.get(id).turns_away(now, &self.settings) {
                if self.ask_cache(id, head, Purpose::Rescue, now) {
                    return self.reconsider(id, now);
                }
                self.turn_away(id, head, now);
                continue;
            }
            if let Some(change) = self.hosts.get_mut(id).breaker.expire(now) {
                self.breaker_changed(id, change, now);
                continue;
            }
            let probe = match self.hosts.get(id).breaker.gate(now) {
                Gate::Pass => false,
                Gate::Probe => true,
                // A probe is under way: its answer wakes the host.
                Gate::Wait(_) | Gate::GivenUp(_) if self.ask_cache(id, head, Purpose::Rescue, now) => {
                    return self.reconsider(id, now);
                }
                Gate::Wait(Moment::NEVER) => return self.bench.set_aside(&mut self.hosts, id, Place::Blocked),
                Gate::Wait(until) => return self.bench.park(&mut self.hosts, id, until),
                Gate::GivenUp(_) => {
                    self.end_head(id, head, Verdict::Skipped(SkipReason::BreakerOpen), now);
                    continue;
                }
            };
            if let RobotsVerdict::Ask { once } = robots {
                self.queue_robots(id, head, once, now);
                continue;
            }
            let host = self.hosts.get(id);
            if !host.pace.has_slot() {
                return self.bench.set_aside(&mut self.hosts, id, Place::Blocked);
            }
            let due = host.limiter.as_ref().map_or(Moment::START, Limiter::next).max(host.pace.next_allowed());
            if due > now {
                return self.bench.park(&mut self.hosts, id, due);
            }
            if let Some(spot) = self.spot(id).filter(|spot| !self.addresses.has_place(*spot)) {
                return self.await_place(id, spot);
            }
            self.start(id, head, probe, now);
            return self.reconsider(id, now);
        }
    }

    /// Where the next request to a host is counted.
    fn spot(&self, id: HostId) -> Option<Spot> {
        let host = self.hosts.get(id);
        self.addresses.spot(&host.key, host.whereabouts)
    }

    /// All places at its address are taken: it waits for one of them.
    fn await_place(&mut self, id: HostId, spot: Spot) {
        let host = self.hosts.get_mut(id);
        if !host.awaits_address {
            host.awaits_address = true;
            self.addresses.wait(spot, id);
        }
        self.bench.set_aside(&mut self.hosts, id, Place::Blocked);
    }

    /// A host has been considered: while there are places at its address, another one that waits for them is woken. So
    /// none is lost if the host that was woken could not use its own.
    fn pass_on_place(&mut self, id: HostId, now: Moment) {
        if self.hosts.is_known(id)
            && let Some(spot) = self.spot(id)
        {
            self.wake_at(spot, now);
        }
    }

    fn wake_at(&mut self, spot: Spot, now: Moment) {
        while let Some(id) = self.addresses.next_waiting(spot) {
            // An entry may be out of date: its host was forgotten, and another has its id.
            if self.hosts.is_known(id) && std::mem::take(&mut self.hosts.get_mut(id).awaits_address) {
                self.reconsider(id, now);
                // It may have found a place meanwhile, and have nothing left to ask.
                if matches!(self.hosts.get(id).place, Place::Ready { .. }) {
                    return;
                }
            }
        }
    }

    /// A request is over: its place at its address is free, and the answer says where its host is.
    pub(super) fn note_address(&mut self, id: HostId, counted_at: Option<Spot>, remote: Remote, now: Moment) {
        match remote {
            Remote::Unknown => {}
            Remote::Address(address) => {
                let (whereabouts, waited) = self.addresses.learn(&self.hosts.get(id).key, address);
                self.hosts.get_mut(id).whereabouts = whereabouts;
                // They wait for the name no more: each finds its place at the address, or waits there.
                for id in waited {
                    if self.hosts.is_known(id) && std::mem::take(&mut self.hosts.get_mut(id).awaits_address) {
                        self.reconsider(id, now);
                    }
                }
            }
            Remote::Proxy | Remote::Untold => self.hosts.get_mut(id).whereabouts = Whereabouts::Exempt,
        }
        if let Some(spot) = counted_at.and_then(|spot| self.addresses.give_back(spot)) {
            self.wake_at(spot, now);
        }
    }

    /// Ends the job at the head of a host.
    pub(super) fn end_head(&mut self, id: HostId, head: Head, verdict: Verdict, now: Moment) {
        let Some(job) = self.hosts.get_mut(id).take(head) else { return };
        if job.has_record() {
            self.end_job(job, verdict, None, now);
        } else {
            self.drop_own_job(job, now);
        }
    }

    fn robots_verdict(&self, id: HostId, head: Head, now: Moment) -> RobotsVerdict {
        let host = self.hosts.get(id);
        let asks = self.settings.obey_robots || self.settings.sitemaps;
        let Some(job) = host.job(head).filter(|job| asks && job.has_record()) else { return RobotsVerdict::Allowed };
        match host.robots_of(origin_of(&job.url)) {
            None => RobotsVerdict::Ask { once: false },
            Some(Robots::Fetching(_)) => RobotsVerdict::Fetching,
            Some(_) if !self.settings.obey_robots => RobotsVerdict::Allowed,
            // Once: while it fails the copy is used on.
            Some(Robots::Known(copy)) if copy.until <= now => RobotsVerdict::Ask { once: true },
            Some(Robots::Known(copy)) if copy.rules.allows(&job.url) => RobotsVerdict::Allowed,
            // A verdict stands for URLs that come later; after each cooldown one of them has robots.txt asked again.
            Some(Robots::DisallowAll(again) | Robots::Unreachable(_, again)) if *again <= now => {
                RobotsVerdict::Ask { once: true }
            }
            Some(robots @ (Robots::Known(_) | Robots::DisallowAll(_))) => {
                RobotsVerdict::Disallowed { told: matches!(robots, Robots::Known(_)) }
            }
            Some(Robots::Unreachable(error, _)) => RobotsVerdict::Unreachable(error.clone()),
        }
    }

    /// robots.txt is the first job in the host's own queue, and obeys the same politeness (law 8).
    fn queue_robots(&mut self, id: HostId, head: Head, once: bool, now: Moment) {
        let host = self.hosts.get_mut(id);
        let Some(origin) = host.job(head).map(|job| origin_of(&job.url).to_owned()) else { return };
        let mut job = Job::new(JobKind::Robots, format!("{origin}/robots.txt"), host.key.clone());
        job.accepted = now;
        if once {
            let chain = job.chain_mut();
            chain.attempts = host.limits.retries;
            chain.refusals = retry::MAX_REFUSALS - 1;
        }
        host.own.push_front(job);
        let copy = host.take_robots(&origin);
        host.set_robots(&origin, Robots::Fetching(copy));
        self.own_jobs += 1;
    }

    /// Whether the job may not lead to a private address: nobody has typed its host.
    pub(super) fn is_guarded(&self, job: &Job) -> bool {
        !self.settings.allow_private
            && !self.typed_hosts.contains(&job.host)
            && !self.typed_hosts.contains(&host_name_entry(&job.host))
    }

    /// Everything is granted: takes the places and starts the request.
    fn start(&mut self, id: HostId, head: Head, probe: bool, now: Moment) {
        let Ok(permit) = self.permits.clone().try_acquire_owned() else { return };
        let host = self.hosts.get_mut(id);
        let Some(mut job) = host.take(head) else { return };
        if job.cached.is_none() {
            self.note_doubted(&job);
        }
        let host = self.hosts.get_mut(id);
        let counted_at = self.addresses.spot(&host.key, host.whereabouts);
        if let Some(spot) = counted_at {
            self.addresses.take(spot);
        }
        if host.pace.in_flight() == 0 {
            host.awaited_since = now;
        }
        host.pace.start(now);
        if let Some(limiter) = &mut host.limiter {
            limiter.take(now);
        }
        if let Some(limiter) = &mut self.run_limiter {
            limiter.take(now);
        }
        if job.has_record() && !host.side_requests.is_empty() {
            job.chain_mut().requests.append(&mut host.side_requests);
        }
        self.note_start(&job, now);
        self.in_flight += 1;
        self.retry_budget.earn();
        if probe {
            let change = self.hosts.get_mut(id).breaker.start_probe();
            self.breaker_changed(id, change, now);
        }
        let timeout = job.spec.as_ref().and_then(|spec| spec.timeout).or(self.hosts.get(id).limits.timeout);
        let due = timeout.map_or(Moment::NEVER, |timeout| now.plus(timeout));
        let boarding = self.flights.take_off(due, self.url_due(&job));
        match job.leg() {
            Some(leg) => self.start_leg(&job, leg, boarding.id, request_kind(&job, probe), now),
            None => self.pages_in_flight += u64::from(job.has_record()),
        }
        let kind = request_kind(&job, probe);
        self.tally.retries += u64::from(kind == RequestKind::Retry);
        if let Some(spending) = self.spending() {
            spending.part().retries += u64::from(kind == RequestKind::Retry);
        }
        let left_origin = job.chain.as_ref().is_some_and(|chain| chain.left_origin);
        let typed_host = self.typed_hosts.contains(&job.host);
        let errand = Errand {
            host: id,
            limits: self.hosts.get(id).limits,
            kind,
            probe,
            permit,
            started: now,
            counted_at,
            // The few jobs of the run's own are what others wait for.
            in_budget: self.retry_budget.has_one() || !job.has_record(),
            credentials: typed_host && !left_origin,
            guarded: self.is_guarded(&job),
            beside_pool: self.delivery.oldest() == Some(job.number),
            boarding,
            job,
        };
        // The one place that spawns requests, into the run's JoinSet.
        // In a box of its own: tokio moves a task's future three times, and this one has some thousand bytes.
        self.tasks.spawn(Box::pin(work(Arc::clone(&self.shop), errand)));
    }
}

fn request_kind(job: &Job, probe: bool) -> RequestKind {
    match job.kind {
        JobKind::Robots => RequestKind::Robots,
        JobKind::Sitemap => RequestKind::Sitemap,
        JobKind::Typed | JobKind::Link if probe => RequestKind::Probe,
        JobKind::Typed | JobKind::Link => match &job.chain {
            Some(chain) if chain.tries > 0 => RequestKind::Retry,
            Some(chain) if chain.hops > 0 => RequestKind::Redirect,
            _ if job.leg().is_some() => RequestKind::Race,
            _ => RequestKind::Page,
        },
    }
}
