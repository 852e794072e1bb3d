//! The dispatcher: the one task that owns the run's state and handles one event at a time (law 3).
//!
//! It never awaits anything but its next event: no request, no reader, no sleep for a host. Its turn: handle what has
//! happened, wake what is due, admit what may go ([`super::admission`]), then wait.

use std::collections::VecDeque;
use std::pin::Pin;
use std::sync::Arc;

use tokio::sync::mpsc::UnboundedReceiver;
use tokio::sync::{Notify, Semaphore};
use tokio::task::JoinSet;
use tokio::time::Sleep;
use tokio_util::sync::CancellationToken;

use super::addresses::Addresses;
use super::clock::Clock;
use super::delivery::{Delivery, SinkFailure};
use super::event::{Answered, Ended, Event, HostId, Next};
use super::flights::Flights;
use super::hosts::Hosts;
use super::input::Input;
use super::ledger::Ledger;
use super::limit::Limiter;
use super::memory::MemoryWatch;
use super::outcome::{Finished, Verdict};
use super::race::Races;
use super::settings::EngineSettings;
use super::stats::{Counters, StoppedBy, Summary, Tally};
use super::workbench::Workbench;
use super::worker::Workshop;
use crate::fetch::Fetcher;
use crate::frontier::journal::Past;
use crate::frontier::seen::Seen;
use crate::frontier::{Frontier, FrontierError};
use crate::model::job::Job;
use crate::model::units::Moment;
use crate::policy::breaker::Change;
use crate::policy::budget::RetryBudget;
use crate::policy::scope::Scope;
use crate::policy::traps::Traps;
use crate::seeds::Seed;

/// Events handled in one turn before admission has its chance.
const TURN: usize = 256;

/// What stops and watches a run from outside.
#[derive(Debug, Clone, Default)]
pub struct Controls {
    /// No new work; what is in flight may end within the grace time.
    pub drain: CancellationToken,
    /// Cut off what is in flight.
    pub abort: CancellationToken,
    pub counters: Arc<Counters>,
    pub snapshot: Arc<Notify>,
}

/// How far the stopping has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Phase {
    Running,
    /// Nothing is admitted any more; what is in flight may end.
    Draining,
    /// Requests were cut off.
    Aborting,
}

/// Why nothing more was admitted in a turn.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Idle {
    /// Permits, delivery, the limit of pages, or the run's rate: more input would not help.
    Busy,
    /// Permits are free, and no job that was read may go.
    NoJob,
}

/// See the module.
pub struct Dispatcher<F> {
    pub(super) shop: Arc<Workshop<F>>,
    pub(super) settings: Arc<EngineSettings>,
    pub(super) clock: Clock,
    pub(super) hosts: Hosts,
    pub(super) addresses: Addresses,
    pub(super) bench: Workbench,
    pub(super) races: Races,
    /// What is in flight, and how to cut it off.
    pub(super) flights: Flights,
    /// When URLs that wait are next looked at for `--url-deadline`.
    pub(super) expiry_due: Moment,
    pub(super) frontier: Box<dyn Frontier>,
    /// Canonical URLs that have a job. In the engine and not in the frontier: a link is looked up in it before a job is
    /// made of it, and a frontier on a thread of its own could not answer within a turn.
    pub(super) seen: Seen,
    /// Links that have a `--refused` record: they may still come in scope by a shorter way.
    pub(super) seen_refused: Seen,
    /// Host keys that the user typed, and their host names.
    pub(super) typed_hosts: Seen,
    pub(super) scope: Scope,
    /// None where traps are followed.
    pub(super) traps: Option<Traps>,
    pub(super) input: Input,
    pub(super) delivery: Delivery,
    pub(super) permits: Arc<Semaphore>,
    pub(super) run_limiter: Option<Limiter>,
    pub(super) events: UnboundedReceiver<Event>,
    pub(super) tasks: JoinSet<()>,
    pub(super) tally: Tally,
    pub(super) rng: fastrand::Rng,
    /// What the frontier's journal is told; None without one.
    pub(super) ledger: Option<Ledger>,
    pub(super) input_missing: bool,
    /// None without `--max-memory`.
    pub(super) memory: Option<MemoryWatch>,
    /// Written by earlier processes.
    pub(super) records_before: u64,
    pub(super) retry_budget: RetryBudget,
    /// Number of the next job that is accepted.
    pub(super) next_number: u64,
    /// Requests under way, and those among them whose job ends in a record.
    pub(super) in_flight: usize,
    pub(super) pages_in_flight: u64,
    /// robots.txt and sitemaps, queued or under way.
    pub(super) own_jobs: u64,
    /// Jobs for the frontier, and numbers of jobs whose records are accepted, of this turn.
    pub(super) discovered: Vec<Job>,
    pub(super) settled: Vec<u64>,
    pub(super) phase: Phase,
    pub(super) stopped_by: Option<StoppedBy>,
    /// When stopping must be over.
    pub(super) stop_due: Moment,
    pub(super) controls: Controls,
    pub(super) failure: Option<String>,
    /// Requests at which the invariants are next checked in full.
    #[cfg(test)]
    pub(super) next_audit: u64,
}

impl<F: Fetcher> Dispatcher<F> {
    /// Runs to the end. Always ends: by count, or by a stop and its deadline.
    pub async fn run(mut self, past: Option<Box<Past>>) -> Summary {
        if let Some(past) = past {
            self.revive(*past, self.clock.now());
        }
        let started = self.clock.wall(Moment::START);
        let mut timer = Box::pin(tokio::time::sleep_until(self.clock.instant(Moment::START)));
        loop {
            let now = self.clock.now();
            let idle = self.turn(now);
            if self.is_over() {
                break;
            }
            self.wait(timer.as_mut(), idle, now).await;
        }
        self.finish(timer.as_mut(), started).await
    }

    /// One turn: everything that can be done without waiting.
    fn turn(&mut self, now: Moment) -> Idle {
        for _ in 0..TURN {
            let Ok(event) = self.events.try_recv() else { break };
            self.on_event(event, now);
        }
        while self.tasks.try_join_next().is_some() {}
        self.check_stop(now);
        self.flights.watch(now);
        self.hand_over(now);
        self.expire(now);
        let idle = self.admit(now);
        // Verdicts without a request (robots, breaker) are settled in the same turn.
        self.hand_over(now);
        self.drop_unwanted(now);
        if self.delivery.flush_due().is_some_and(|due| due <= now) {
            self.delivery.flush(now);
        }
        self.keep_ledger(now);
        self.publish();
        #[cfg(test)]
        self.audit(idle, now);
        idle
    }

    /// Gives the frontier what this turn has found and settled.
    fn hand_over(&mut self, now: Moment) {
        self.hand_over_discovered(now);
        if !self.settled.is_empty() {
            let result = self.frontier.settle(&self.settled);
            self.settled.clear();
            self.check_frontier(result, now);
        }
    }

    pub(super) fn hand_over_discovered(&mut self, now: Moment) {
        if !self.discovered.is_empty() {
            self.note_accepted(self.discovered.iter().map(|job| job.accepted).min());
            let result = self.frontier.discover(&mut self.discovered);
            self.check_frontier(result, now);
        }
    }

    /// A frontier that cannot be read or written ends the run.
    pub(super) fn check_frontier(&mut self, result: Result<(), FrontierError>, now: Moment) {
        if let Err(error) = result {
            self.failure.get_or_insert_with(|| error.to_string());
            self.stop(StoppedBy::Error, Phase::Aborting, now);
        }
    }

    fn on_event(&mut self, event: Event, now: Moment) {
        match event {
            Event::Answered(answered) => self.on_answered(&answered, now),
            Event::Ended(ended) => self.on_ended(*ended, now),
            Event::LookedUp(ended) => self.on_looked_up(*ended, now),
        }
    }

    /// An exchange is over: its host's place is free.
    fn on_answered(&mut self, answered: &Answered, now: Moment) {
        let Answered { host: id, sent, signal, probe, counted_at, remote, denied, ref ending, wire_bytes, elapsed } =
            *answered;
        self.tally.requests += u64::from(sent);
        self.tally.retries_denied += u64::from(denied);
        if denied && self.tally.retries_denied == 1 {
            tracing::warn!("too many requests fail: only a fifth may be retries, and some URLs end without theirs");
        }
        self.tally.wire_bytes += wire_bytes;
        if let Some(spending) = self.spending() {
            let part = spending.part();
            part.requests += u64::from(sent);
            part.retries_denied += u64::from(denied);
            part.wire_bytes += wire_bytes;
        }
        if let Some(spent) = self.host_spending(id) {
            spent.requests += u64::from(sent);
            spent.bytes += wire_bytes;
            spent.refusals += u64::from(ending.refusal.is_some());
            spent.time_us += u64::try_from(elapsed.as_micros()).unwrap_or(0);
        }
        let host = self.hosts.get_mut(id);
        host.summary.requests += u64::from(sent);
        host.summary.bytes += wire_bytes;
        host.summary.refusals += u64::from(ending.refusal.is_some());
        host.request_time += elapsed;
        let (limits, was_turned_away) = (host.pace.limits(), host.turns_away(now, &self.settings));
        let held = host.pace.end(now, ending);
        let turned_away = !was_turned_away && host.turns_away(now, &self.settings);
        let mut noted = held.is_some() || turned_away;
        if let Some(hold) = held.filter(|_| ending.refusal.is_some()) {
            tracing::info!(host = %host.key, ?hold, "the host asks to be left alone");
        }
        if host.pace.limits() > limits {
            let wait = host.pace.next_allowed().since(now);
            tracing::info!(host = %host.key, ?wait, "its RateLimit fields leave little or nothing: it is asked more slowly");
        }
        if let Some(change) = host.breaker.report(now, signal, probe) {
            self.breaker_changed(id, change, now);
            noted = true;
        }
        if turned_away {
            self.turned_away(id, now);
        }
        if noted {
            self.note_host(id, now);
        }
        self.note_address(id, counted_at, remote, now);
        if ending.latency.is_some() {
            self.hosts.get_mut(id).awaited_since = now;
            self.note_latency(id, elapsed);
        }
        if held.is_some() || !self.hosts.get(id).breaker.is_closed() {
            self.pass_by(id, now);
        }
        self.reconsider(id, now);
    }

    /// A change of state of a host's breaker: stands in the log and in the summary.
    pub(super) fn breaker_changed(&mut self, id: HostId, change: Change, now: Moment) {
        let host = self.hosts.get_mut(id);
        let for_rate = change == Change::Opened && host.breaker.by_rate();
        tracing::info!(host = %host.key, ?change, for_rate, opened = host.breaker.opened_count(), "breaker");
        let opened = host.breaker.opened_count().saturating_sub(host.summary.opened);
        if let Some(spent) = self.host_spending(id) {
            match change {
                Change::Opened => spent.opened += opened,
                Change::Closed => spent.closed += 1,
                Change::HalfOpen => spent.probes += 1,
                Change::GaveUp => {}
            }
        }
        let host = self.hosts.get_mut(id);
        match change {
            // A failed probe opens it again: that is the same outage.
            Change::Opened => host.summary.opened = host.breaker.opened_count(),
            Change::Closed => {
                host.summary.closed += 1;
                host.summary.given_up = false;
                host.pace.restart_slowly(now);
            }
            Change::GaveUp => {
                host.summary.given_up = true;
                self.hurry_retries(id);
            }
            Change::HalfOpen => host.summary.probes += 1,
        }
    }

    /// What follows from an exchange for its job.
    pub(super) fn on_ended(&mut self, ended: Ended, now: Moment) {
        let Ended { mut job, host, mut next, permit, flight } = ended;
        self.in_flight -= 1;
        self.flights.land(flight);
        if let Some(leg) = job.leg() {
            if !self.land_leg(&mut job, leg, &mut next, now) {
                return drop(permit);
            }
        } else if job.has_record() {
            self.pages_in_flight -= 1;
        }
        match next {
            Next::Ask => {
                self.insert_fresh(host, job);
                self.reconsider(host, now);
            }
            Next::Retry => self.retry_later(job, host, now),
            Next::Again => self.queue_again(job, host, now),
            Next::Hop { target, status } => self.hop(job, target, status, now),
            Next::Record { finished, outlinks } if job.leg().is_some() => {
                let leg = job.leg().unwrap_or_default();
                self.leg_over(job, leg, *finished, outlinks, now);
            }
            Next::Record { finished, outlinks } => {
                self.widen_scope(&job, &finished);
                self.discover_links(&job, outlinks, finished.evidence, now);
                // Children before the record of their parent, and its settling last: a crash in between repeats, and
                // never loses.
                self.hand_over_discovered(now);
                self.deliver(*finished, host, now);
                self.settled.push(job.number);
            }
            Next::Robots(answer) => self.robots_over(job, answer, now),
            Next::Sitemap { urls, sitemaps } => self.sitemap_over(&mut job, urls, sitemaps, now),
            Next::Nothing => self.drop_own_job(job, now),
        }
        // Held until the record is in delivery (law 5).
        drop(permit);
    }

    /// Counts a record and gives it to delivery.
    pub(super) fn deliver(&mut self, mut finished: Finished, host: HostId, now: Moment) {
        self.hosts.get_mut(host).count(finished.counted.outcome);
        finished.share.host = self.ledger.is_some().then(|| self.hosts.get(host).key.clone());
        self.deliver_without_host(finished, now);
    }

    pub(super) fn deliver_without_host(&mut self, mut finished: Finished, now: Moment) {
        self.note_page(&mut finished);
        finished.share.refused = self.take_refused();
        self.tally.count(finished.counted);
        let failed_early = self.settings.fail_early && finished.counted.is_failure();
        self.delivery.accept(finished, now);
        if failed_early {
            self.stop(StoppedBy::FailEarly, Phase::Draining, now);
        }
    }

    /// Ends a job without (another) request.
    pub(super) fn end_job(&mut self, mut job: Job, verdict: Verdict, redirect: Option<(u16, Box<str>)>, now: Moment) {
        let id = self.hosts.id(&job.host, &self.settings, now);
        let side = std::mem::take(&mut self.hosts.get_mut(id).side_requests);
        if !side.is_empty() {
            job.chain_mut().requests.extend(side);
        }
        let number = job.number;
        let finished = self.shop.desk.verdict(&mut job, verdict, redirect, now);
        if let Some(leg) = job.leg() {
            return self.leg_over(job, leg, finished, Vec::new(), now);
        }
        self.deliver(finished, id, now);
        self.settled.push(number);
    }

    /// Takes note of stops that nobody called for by an event: sinks that failed, the run's deadlines.
    fn check_stop(&mut self, now: Moment) {
        match self.delivery.failure() {
            Some(SinkFailure::ClosedPipe) => self.stop(StoppedBy::Pipe, Phase::Aborting, now),
            Some(SinkFailure::Failed(cause)) => {
                self.failure.get_or_insert(cause);
                self.stop(StoppedBy::Error, Phase::Aborting, now);
            }
            None => {}
        }
        self.check_pages(now);
        if let Some(error) = self.seen.take_failure() {
            self.check_frontier(Err(error.into()), now);
        }
        if self.controls.drain.is_cancelled() {
            self.stop(StoppedBy::Signal, Phase::Draining, now);
        }
        if self.controls.abort.is_cancelled() {
            self.stop(StoppedBy::Signal, Phase::Aborting, now);
        }
        if self.settings.deadline.is_some_and(|deadline| Moment::START.plus(deadline) <= now) {
            self.stop(StoppedBy::Deadline, Phase::Aborting, now);
        }
        if self.phase == Phase::Draining && self.stop_due <= now {
            self.phase = Phase::Aborting;
            self.tasks.abort_all();
        }
    }

    fn check_pages(&mut self, now: Moment) {
        // Also for a limit of 0.
        if self.settings.max_pages.is_some_and(|limit| self.tally.pages() >= limit) {
            self.stop(StoppedBy::Limit, Phase::Aborting, now);
        }
    }

    /// Stops the run, or makes a stop that is under way stronger. The first reason stands.
    pub(super) fn stop(&mut self, reason: StoppedBy, phase: Phase, now: Moment) {
        if self.phase == Phase::Running {
            self.stop_due = now.plus(self.settings.grace);
            self.phase = Phase::Draining;
        }
        self.stopped_by.get_or_insert(reason);
        if phase == Phase::Aborting && self.phase != Phase::Aborting {
            self.phase = Phase::Aborting;
            self.tasks.abort_all();
        }
    }

    /// The end is counted, never guessed from silence (law 4).
    fn is_over(&mut self) -> bool {
        match self.phase {
            Phase::Running => {
                let counts = self.frontier.counts();
                self.input.has_ended()
                    && counts.pending == 0
                    && counts.leased == 0
                    && self.own_jobs == 0
                    && self.events.is_empty()
            }
            Phase::Draining => self.in_flight == 0,
            Phase::Aborting => self.tasks.is_empty() && self.events.is_empty(),
        }
    }

    /// Whether more lines should be read.
    fn wants_input(&self, idle: Idle) -> bool {
        if self.phase != Phase::Running || self.input.has_ended() || !self.delivery.has_room() {
            return false;
        }
        if let Some(oldest) = self.delivery.oldest() {
            let window = (16 * self.settings.concurrency as u64).max(1024);
            if self.next_number >= oldest + window {
                return false;
            }
        }
        self.frontier.has_heap_room() || (idle == Idle::NoJob && self.frontier.has_room())
    }

    /// Waits for whatever comes first: an event, a line of input, a due moment, room in delivery, a stop.
    async fn wait(&mut self, mut timer: Pin<&mut Sleep>, idle: Idle, now: Moment) {
        let due = self.next_due(now);
        let deadline = self.clock.instant(due.unwrap_or(Moment::NEVER));
        if timer.deadline() != deadline {
            timer.as_mut().reset(deadline);
        }
        let wants_input = self.wants_input(idle);
        let running = self.phase == Phase::Running;
        let aborting = self.phase == Phase::Aborting;
        let room = self.delivery.room();
        let mut seeds = VecDeque::new();
        let mut event = None;
        let mut snapshot = false;
        tokio::select! {
            biased;
            () = self.controls.abort.cancelled(), if !aborting => {}
            () = self.controls.drain.cancelled(), if running => {}
            Some(next) = self.events.recv() => event = Some(next),
            batch = self.input.next(), if wants_input => seeds = batch,
            () = timer, if due.is_some() => {}
            Some(_) = self.tasks.join_next(), if aborting => {}
            () = room.notified() => {}
            () = self.controls.snapshot.notified() => snapshot = true,
        }
        if let Some(event) = event {
            self.on_event(event, self.clock.now());
        }
        if !seeds.is_empty() {
            self.accept_seeds(seeds, self.clock.now());
        }
        if snapshot {
            self.log_snapshot(self.clock.now());
        }
    }

    fn accept_seeds(&mut self, seeds: VecDeque<Seed>, now: Moment) {
        self.check_stop(now);
        let mut cut = false;
        for seed in seeds {
            self.hand_over_much_input(now);
            // A limit may be reached by a broken line: what follows it is not accepted any more.
            self.check_pages(now);
            if self.phase == Phase::Running {
                self.note_seed(&seed);
                self.accept_seed(seed, now);
            } else {
                cut = true;
            }
        }
        self.note_input(cut);
    }

    /// The next moment that matters. `now` is the moment of this turn: what has become due since fires at once, and what
    /// was due before waits for an event, since nothing could be admitted (no permit, no room).
    fn next_due(&mut self, now: Moment) -> Option<Moment> {
        let flush = self.delivery.flush_due();
        let look = self.memory.as_ref().and_then(MemoryWatch::next_look);
        let flush = flush.into_iter().chain(self.ledger.as_ref().and_then(Ledger::due)).chain(look).min();
        let deadline = self.settings.deadline.map(|deadline| Moment::START.plus(deadline));
        if self.phase != Phase::Running {
            let stop = (self.phase == Phase::Draining).then_some(self.stop_due);
            let ends = deadline.into_iter().chain(self.flights.next_look()).filter(|_| self.phase == Phase::Draining);
            return flush.into_iter().chain(stop).chain(ends).min();
        }
        let hosts = self.bench.next_due(&self.hosts);
        let frontier = self.frontier.next_due();
        let rate = self.run_limiter.as_ref().map(Limiter::next);
        let races = self.races.next_due();
        let hosts = hosts.into_iter().chain(frontier).chain(rate).chain(races).filter(|due| *due > now);
        let expiry = Some(self.expiry_due).filter(|due| *due < Moment::NEVER);
        hosts.chain(flush).chain(deadline).chain(self.flights.next_look()).chain(expiry).min()
    }
}
