//! The invariants of the dispatcher: checked in O(1) after every turn, and in full once for as many requests as there
//! are hosts.

use crate::engine::dispatcher::{Dispatcher, Idle, Phase};
use crate::engine::hosts::{Host, Place};
use crate::engine::limit::Limiter;
use crate::fetch::Fetcher;
use crate::model::units::Moment;
use crate::policy::breaker::Gate;

impl<F: Fetcher> Dispatcher<F> {
    /// Panics if an invariant does not hold.
    pub(in crate::engine) fn audit(&mut self, idle: Idle, now: Moment) {
        if self.phase == Phase::Aborting {
            // Requests that were cut off have given back their permits, and say nothing more.
            return;
        }
        assert_eq!(self.permits.available_permits() + self.in_flight, self.settings.concurrency, "a permit is lost");
        if self.pages_in_flight > self.in_flight as u64 {
            let waiting = self.races.numbers(|race| race.counted && !race.is_in_flight()).len();
            assert!(
                self.pages_in_flight <= (self.in_flight + waiting) as u64,
                "a page is under way that no one knows of"
            );
        }
        let counts = self.frontier.counts();
        let undelivered = self.tally.accepted - self.tally.records;
        assert_eq!(counts.pending + counts.leased, undelivered, "accepted without record, and still to be settled");
        if self.tally.requests >= self.next_audit {
            // A look at each host for each request of one: small worlds are looked at often.
            self.next_audit = self.tally.requests + (self.hosts.iter().count() as u64).clamp(16, 10_000);
            self.audit_in_full(idle, now);
        }
    }

    fn audit_in_full(&mut self, idle: Idle, now: Moment) {
        let in_flight: u32 = self.hosts.iter().map(|host| host.pace.in_flight()).sum();
        assert!(in_flight as usize <= self.in_flight, "places of hosts are freed no later than permits");
        if let Some(limit) = self.settings.ip_concurrency {
            assert!(self.addresses.most_in_flight() <= limit.places, "more in flight at an address than it has places");
        }
        for host in self.hosts.iter() {
            assert!(host.pace.in_flight() <= self.settings.host_concurrency, "{}", host.key);
            assert!(!(host.leased && host.fresh.is_empty() && host.place == Place::Idle), "{}", host.key);
        }
        if idle != Idle::NoJob || self.phase != Phase::Running {
            return;
        }
        // A permit is free and nothing was admitted: then no host may be one that could be asked.
        assert_eq!(self.frontier.best(now), None, "the frontier has a host that could be asked");
        for host in self.hosts.iter() {
            let place =
                self.addresses.spot(&host.key, host.whereabouts).is_none_or(|spot| self.addresses.has_place(spot));
            assert!(!(place && could_be_asked(host, now)), "{} is idle and could be asked: {:?}", host.key, host.place);
        }
    }
}

/// Whether a host with a job here passes every gate.
fn could_be_asked(host: &Host, now: Moment) -> bool {
    let fetching = host.robots.iter().any(|(_, robots)| matches!(robots, crate::engine::hosts::Robots::Fetching(_)))
        && host.own.is_empty();
    host.head(now).is_some()
        && !fetching
        && matches!(host.breaker.gate(now), Gate::Pass | Gate::Probe | Gate::GivenUp(_))
        && host.pace.has_slot()
        && host.pace.next_allowed() <= now
        && host.limiter.as_ref().is_none_or(|limiter| Limiter::next(limiter) <= now)
}
