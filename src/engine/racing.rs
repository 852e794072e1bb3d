//! Races as the dispatcher runs them: each leg is queued at its own host and admitted alone, and only the parent is
//! settled and written. What is decided is decided in [`super::race`].

use super::dispatcher::{Dispatcher, Phase};
use super::event::{HostId, Next};
use super::flights::{Cut, FlightId};
use super::hosts::Place as HostPlace;
use super::outcome::Finished;
use super::race::{Front, LegEnd, Place, lane_of};
use super::settings::{HedgeAfter, RaceMode};
use crate::fetch::Fetcher;
use crate::frontier::journal::Entry;
use crate::model::job::{Job, JobKind};
use crate::model::page::Outlink;
use crate::model::record::{RequestKind, RequestLog};
use crate::model::units::{Millis, Moment};
use crate::model::url::host_key_of;
use crate::policy::breaker::Gate;

use super::intake::host_name_entry;
use super::limit::Limiter;

/// So many times `--hedge-after` a leg waits at most for a host that answers and is busy.
const QUEUE_PATIENCE: u32 = 10;

impl<F: Fetcher> Dispatcher<F> {
    /// Whether a typed job is to be asked: not if each URL is asked once, and its URL, or all of its mirrors, have been
    /// accepted before. Sends one with mirrors into its lane; the user typed all of their hosts.
    pub(super) fn claim_typed(&mut self, job: &mut Job, once: bool) -> bool {
        let Some(spec) = job.spec.as_mut().filter(|spec| !spec.mirrors.is_empty()) else {
            return !once || self.seen.claim(&job.url);
        };
        for mirror in &mut spec.mirrors {
            let host = host_key_of(&mirror.url);
            if self.typed_hosts.claim(host) {
                self.typed_hosts.claim(&host_name_entry(host));
            }
            mirror.repeated = once && !self.seen.claim(&mirror.url);
            if self.settings.follow && !mirror.repeated {
                self.scope.add_seed(&mirror.url);
            }
        }
        let Some(first) = spec.mirrors.iter().find(|mirror| !mirror.repeated) else { return false };
        job.url.clone_from(&first.url);
        job.host = lane_of(host_key_of(&first.url));
        true
    }

    /// The frontier has given jobs of a lane: their races begin.
    pub(super) fn open_races(&mut self, lane: &str, jobs: Vec<Job>, now: Moment) {
        for job in jobs {
            let number = self.races.open(job);
            self.queue_next_leg(number, now);
        }
        self.give_lane_back(lane, true, now);
    }

    fn give_lane_back(&mut self, lane: &str, leased_now: bool, now: Moment) {
        if self.races.gives_back(lane, leased_now) {
            self.frontier.defer(lane, now);
        }
    }

    /// Starts what is due: next legs whose turn has come.
    pub(super) fn queue_due_legs(&mut self, now: Moment) {
        while let Some(number) = self.races.pop_due(now) {
            match self.waits_on(number, now) {
                Some(until) => self.races.set_due(number, until),
                None => self.queue_next_leg(number, now),
            }
        }
    }

    /// When a race is to be looked at again whose latest leg only waits for its turn: at a host that may be asked and
    /// answers, or for a place of the run's own. That queue is ours, and says nothing about the mirror.
    fn waits_on(&mut self, number: u64, now: Moment) -> Option<Moment> {
        let race = self.races.get_mut(number)?;
        if std::mem::take(&mut race.passed_by) {
            return None;
        }
        let (id, queued) = race.waits_unasked()?;
        let host = self.hosts.get(id);
        let patience = self.races.latencies().patience(&host.key, self.settings.hedge_after)?;
        let is_asked = host.pace.in_flight() > 0;
        // Nothing of it is under way, and still it may not go: robots.txt or a probe waits for its own time.
        let is_stuck = !is_asked && host.place == HostPlace::Blocked && !host.awaits_address;
        let silent_from = if is_asked { host.awaited_since.plus(patience) } else { now.plus(patience) };
        let until = silent_from.min(queued.plus(patience.saturating_mul(QUEUE_PATIENCE)));
        (!is_stuck && until > now && self.may_be_asked(id, now) < now.plus(patience)).then_some(until)
    }

    /// Queues the next leg at its host, and all of them with `--race all`. So it does if the host may not be asked
    /// before the one after it is due: nothing is to be expected from it.
    fn queue_next_leg(&mut self, number: u64, now: Moment) {
        // The first leg is queued however late it is: it ends there, with the record that the race needs.
        if let (Some(time), Some(race)) = (self.settings.url_deadline, self.races.get_mut(number))
            && race.has_begun()
            && race.accepted().plus(time) <= now
        {
            return race.drop_waiting();
        }
        while let Some((leg, job)) = self.races.get(number).and_then(|race| {
            let leg = race.next_leg()?;
            Some((leg, race.job_of(leg)))
        }) {
            let id = self.hosts.id(&job.host, &self.settings, now);
            if let Some(race) = self.races.get_mut(number) {
                race.queue(leg, id, now);
            }
            let due = self.after_leg(&job.host, now);
            self.put_leg(job, id, now);
            self.races.set_due(number, due);
            if self.settings.race == RaceMode::Hedge && due > now && self.may_be_asked(id, now) < due {
                return;
            }
        }
    }

    /// When the leg after one that was queued or has started now is due.
    fn after_leg(&mut self, host: &str, now: Moment) -> Moment {
        let patience = self.races.latencies().patience(host, self.settings.hedge_after);
        patience.map_or(Moment::NEVER, |patience| now.plus(patience))
    }

    /// The earliest moment at which a host could be asked, places and waiting jobs aside.
    fn may_be_asked(&self, id: HostId, now: Moment) -> Moment {
        let host = self.hosts.get(id);
        let breaker = match host.breaker.gate(now) {
            Gate::Pass | Gate::Probe => now,
            Gate::Wait(until) | Gate::GivenUp(until) => until,
        };
        let rate = host.limiter.as_ref().map_or(now, Limiter::next);
        breaker.max(rate).max(host.pace.next_allowed())
    }

    /// A leg joins the jobs of a host that are here. The frontier does not know it.
    pub(super) fn put_leg(&mut self, job: Job, id: HostId, now: Moment) {
        self.insert_fresh(id, job);
        self.reconsider(id, now);
    }

    /// A leg's request starts.
    pub(super) fn start_leg(&mut self, job: &Job, leg: usize, flight: FlightId, kind: RequestKind, now: Moment) {
        let Some(race) = self.races.get_mut(job.number) else { return };
        let is_waited_for = race.start(leg, flight);
        // A stop may end its task without a word, after another leg has won.
        let started_at = self.clock.wall(now);
        let (url, host_key) = (job.url.clone(), job.host.clone());
        let request = RequestLog { url, host_key, kind, started_at, ms: Millis::default(), status: None };
        let mut end = LegEnd { started: Some((started_at, now)), ..LegEnd::default() };
        if let Some(chain) = &job.chain {
            end.requests.clone_from(&chain.requests);
            end.wire_bytes = chain.wire_bytes;
            end.started = chain.first_started.or(end.started);
        }
        end.requests.push(request);
        race.note_cost(leg, end, now);
        if !race.counted {
            race.counted = true;
            self.pages_in_flight += 1;
        }
        if is_waited_for {
            // Its time counts from the request itself, not from the queue.
            let due = self.after_leg(&job.host, now);
            self.races.set_due(job.number, due);
        }
    }

    /// A leg's request is over. Returns whether that still matters: one that has lost tells only what it has cost.
    pub(super) fn land_leg(&mut self, job: &mut Job, leg: usize, next: &mut Next, now: Moment) -> bool {
        let Some(race) = self.races.get_mut(job.number) else { return false };
        race.land();
        if !race.is_won() {
            return true;
        }
        let mut end = LegEnd::of_job(job);
        // Answered before it could be cut off: its requests stand in a record that nobody will see.
        if let Next::Record { finished, .. } = next
            && let Some(record) = &mut finished.record
        {
            end.requests = std::mem::take(&mut record.requests);
        }
        race.end(leg, end, now);
        self.conclude(job.number, now);
        false
    }

    /// A leg waits at a host again, for a retry or at the target of a redirect. A host that refuses for long is not
    /// waited for.
    pub(super) fn leg_waits(&mut self, job: &Job, host: HostId, now: Moment) {
        let Some(leg) = job.leg() else { return };
        let free = self.may_be_asked(host, now);
        let Some(race) = self.races.get_mut(job.number) else { return };
        race.queue(leg, host, now);
        if race.is_due_before(free) {
            self.races.pass_by(job.number, now);
        }
    }

    /// A host may not be asked for a while: legs in its queue do not keep the next ones waiting.
    pub(super) fn pass_by(&mut self, host: HostId, now: Moment) {
        let free = self.may_be_asked(host, now);
        let legs = self.hosts.get(host).fresh.iter().filter(|job| job.leg().is_some());
        let late =
            |job: &Job| self.races.get(job.number).is_some_and(|race| race.is_due_before(free)).then_some(job.number);
        for number in legs.filter_map(late).collect::<Vec<_>>() {
            self.races.pass_by(number, now);
        }
    }

    /// A leg has come to its end, with a record that may be that of the race.
    pub(super) fn leg_over(&mut self, job: Job, leg: usize, finished: Finished, outlinks: Vec<Outlink>, now: Moment) {
        let number = job.number;
        let Some(race) = self.races.get_mut(number) else { return };
        if race.finish(leg, Front { job, finished, outlinks }, now) {
            let losers = race.places();
            tracing::info!(number, leg, losers = losers.len(), "a mirror has answered");
            for (loser, place) in losers {
                match place {
                    Place::Queued(id) => self.remove_leg(id, number, loser, now),
                    Place::InFlight(flight) => self.flights.cut(flight, Cut::Unwanted),
                    Place::Waiting | Place::Over => {}
                }
            }
        } else {
            self.queue_next_leg(number, now);
        }
        self.conclude(number, now);
    }

    /// Takes a leg that has lost out of the queues of its host.
    fn remove_leg(&mut self, id: HostId, number: u64, leg: usize, now: Moment) {
        let host = self.hosts.get_mut(id);
        let is_it = |job: &Job| job.number == number && job.leg() == Some(leg);
        let mut found = host.fresh.iter().position(is_it).and_then(|at| host.fresh.remove(at));
        if found.is_none() {
            let (its, others): (Vec<_>, Vec<_>) =
                std::mem::take(&mut host.retries).into_iter().partition(|retry| is_it(&retry.0.job));
            host.retries = others.into();
            found = its.into_iter().next().map(|retry| retry.0.job);
        }
        let end = found.as_mut().map(LegEnd::of_job).unwrap_or_default();
        if let Some(race) = self.races.get_mut(number) {
            race.end(leg, end, now);
        }
        self.reconsider(id, now);
    }

    /// Writes and settles a race that is over.
    fn conclude(&mut self, number: u64, now: Moment) {
        if !self.races.get(number).is_some_and(super::race::Race::is_over) {
            return;
        }
        let Some(race) = self.races.close(number) else { return };
        if race.counted {
            self.pages_in_flight -= 1;
        }
        let lane: Box<str> = race.lane().into();
        self.give_lane_back(&lane, false, now);
        let Some(Front { job, finished, outlinks }) = race.into_front(now) else {
            // Better a job without its record, which counts as left, than a run without an end.
            debug_assert!(false, "a race ended without a record");
            return self.settled.push(number);
        };
        let finished = self.shop.desk.seal_race(finished);
        self.widen_scope(&job, &finished);
        if self.settings.follow && job.chain.as_ref().is_some_and(|chain| chain.hops > 0) {
            // A leg's redirect is claimed, and its queue is not the frontier's.
            self.note(&Entry::Claimed(job.url.as_ref().into()));
        }
        self.discover_links(&job, outlinks, finished.evidence, now);
        self.hand_over_discovered(now);
        let host = self.hosts.id(&job.host, &self.settings, now);
        self.deliver(finished, host, now);
        self.settled.push(number);
    }

    /// The run is cut off: races that have a winner have a record, whatever their losers would still tell.
    pub(super) fn conclude_won_races(&mut self, now: Moment) {
        for number in self.races.numbers(super::race::Race::is_won) {
            if let Some(race) = self.races.get_mut(number) {
                race.forget_flights(now);
            }
            self.conclude(number, now);
        }
    }

    /// With no page left to start, further legs of races that are under way still may: they add no page. Whatever stands
    /// before them in the queues of their hosts may not go, so they go before it.
    pub(super) fn admit_legs_in_flight(&mut self, now: Moment) {
        for number in self.races.numbers(|race| race.counted && !race.is_won()) {
            let places = self.races.get(number).map(super::race::Race::places).unwrap_or_default();
            for (leg, place) in places {
                let Place::Queued(id) = place else { continue };
                if self.is_held_up(now) {
                    return;
                }
                self.hosts.get_mut(id).recall_retries(now);
                if self.hosts.get(id).head_of_leg(number, leg).is_some() {
                    self.consider_leg(id, Some((number, leg)), now);
                }
            }
        }
    }

    /// Requests for robots.txt that nobody waits for any more do not keep a run from its end.
    pub(super) fn drop_unwanted(&mut self, now: Moment) {
        if self.own_jobs == 0 || self.phase != Phase::Running || self.settings.sitemaps || !self.input.has_ended() {
            return;
        }
        let counts = self.frontier.counts();
        if counts.pending + counts.leased > 0 {
            return;
        }
        let flights: Vec<FlightId> = self.flights.iter().collect();
        for flight in flights {
            self.flights.cut(flight, Cut::Unwanted);
        }
        for id in self.hosts.ids() {
            let host = self.hosts.get_mut(id);
            let retries = std::mem::take(&mut host.retries).into_iter().map(|retry| retry.0.job);
            let jobs: Vec<Job> = host.own.drain(..).chain(retries).collect();
            for job in jobs {
                debug_assert_eq!(job.kind, JobKind::Robots);
                self.drop_own_job(job, now);
            }
        }
    }

    /// Takes note of how long a host took to answer, where that decides anything.
    pub(super) fn note_latency(&mut self, id: HostId, took: std::time::Duration) {
        if self.settings.hedge_after == HedgeAfter::P95 {
            self.races.latencies().note(&self.hosts.get(id).key, took);
        }
    }
}
