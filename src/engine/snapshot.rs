//! What the outside sees of a run while it goes on: counters, and on request a snapshot in the log.

use std::sync::atomic::Ordering;

use super::dispatcher::Dispatcher;
use super::stats::Counters;
use crate::fetch::Fetcher;
use crate::model::record::Outcome;
use crate::model::units::Moment;

impl<F: Fetcher> Dispatcher<F> {
    /// Counters for the progress line.
    pub(super) fn publish(&self) {
        let Counters {
            ok,
            http_error,
            failed,
            skipped,
            queued,
            in_flight,
            requests,
            wire_bytes,
            accepted,
            input_ended,
        } = &*self.controls.counters;
        let outcome = |outcome| self.tally.outcomes.get(&outcome).copied().unwrap_or(0);
        ok.store(outcome(Outcome::Ok), Ordering::Relaxed);
        http_error.store(outcome(Outcome::HttpError), Ordering::Relaxed);
        failed.store(outcome(Outcome::Failed), Ordering::Relaxed);
        skipped.store(outcome(Outcome::Skipped), Ordering::Relaxed);
        let left = self.tally.accepted.saturating_sub(self.tally.records);
        queued.store(left.saturating_sub(self.pages_in_flight), Ordering::Relaxed);
        in_flight.store(self.in_flight as u64, Ordering::Relaxed);
        requests.store(self.tally.requests, Ordering::Relaxed);
        wire_bytes.store(self.tally.wire_bytes, Ordering::Relaxed);
        accepted.store(self.tally.accepted, Ordering::Relaxed);
        input_ended.store(u64::from(self.input.has_ended()), Ordering::Relaxed);
    }

    pub(super) fn log_snapshot(&self, now: Moment) {
        let counts = self.frontier.counts();
        tracing::info!(
            target: "lycosa::snapshot",
            elapsed = ?now.since(Moment::START),
            pending = counts.pending,
            leased = counts.leased,
            settled = counts.settled,
            in_flight = self.in_flight,
            records = self.tally.records,
            "snapshot"
        );
        for host in self.hosts.iter().filter(|host| host.pace.in_flight() > 0 || host.leased).take(50) {
            tracing::info!(
                target: "lycosa::snapshot",
                host = %host.key,
                place = ?host.place,
                in_flight = host.pace.in_flight(),
                slots = host.pace.slots(),
                waiting = host.fresh.len() + host.retries.len(),
                breaker_closed = host.breaker.is_closed(),
                "host"
            );
        }
    }
}
