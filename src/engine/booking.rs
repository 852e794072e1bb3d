//! What the dispatcher books as spent, and when the journal is told of it.
//!
//! Decides to which host and moment an expense belongs; what counts when, `spending` says. Does nothing without a journal.

use std::borrow::Cow;

use super::dispatcher::Dispatcher;
use super::event::HostId;
use super::spending::Spending;
use super::stats::HostSummary;
use crate::fetch::Fetcher;
use crate::frontier::journal::{Entry, HostSpent};
use crate::model::record::SkipReason;
use crate::model::units::Moment;

impl<F: Fetcher> Dispatcher<F> {
    /// What is told of it, if there is a journal.
    pub(super) fn spending(&mut self) -> Option<&mut Spending> {
        self.ledger.as_mut().map(|ledger| &mut ledger.spending)
    }

    /// The sums of a host among it.
    pub(super) fn host_spending(&mut self, id: HostId) -> Option<&mut HostSpent> {
        let host = self.hosts.get(id);
        let ledger = self.ledger.as_mut()?;
        Some(ledger.spending.part().host(&host.key))
    }

    /// A link is not followed.
    pub(super) fn refuse_link(&mut self, reason: SkipReason) {
        *self.tally.refused.entry(reason).or_default() += 1;
        if let Some(spending) = self.spending() {
            spending.refused.push(reason);
        }
    }

    /// The links of the page at hand that were not followed.
    pub(super) fn take_refused(&mut self) -> Vec<SkipReason> {
        self.spending().map(|spending| std::mem::take(&mut spending.refused)).unwrap_or_default()
    }

    /// Of a sitemap, which has no record.
    pub(super) fn spend_refused(&mut self) {
        if let Some(spending) = self.spending() {
            let refused = std::mem::take(&mut spending.refused);
            spending.refuse(&refused);
        }
    }

    /// Tells the journal what was spent since it was told last.
    pub(super) fn note_spent(&mut self, now: Moment) {
        if let Some(spending) = self.spending()
            && spending.is_dirty()
        {
            let part = spending.take(now);
            self.note(&Entry::Spent(Cow::Owned(part)));
        }
    }

    /// At the end: what a stop has cut off was asked too.
    pub(super) fn note_last_spent(&mut self, now: Moment) {
        let Some(ledger) = &mut self.ledger else { return };
        for host in self.hosts.iter().filter(|host| host.pace.in_flight() > 0) {
            let cut_off = u64::from(host.pace.in_flight());
            ledger.spending.part().requests += cut_off;
            ledger.spending.part().host(&host.key).requests += cut_off;
        }
        let part = ledger.spending.take(now);
        self.note(&Entry::Spent(Cow::Owned(part)));
    }

    /// Hosts of the run for its closing summary, as [`super::hosts::Hosts::busiest`]: with a journal, of all processes.
    pub(super) fn hosts_of_run(&self, limit: usize) -> (Vec<HostSummary>, u64) {
        let Some(ledger) = &self.ledger else { return self.hosts.busiest(limit) };
        let total = ledger.spending.total();
        let all = total.busiest().into_iter().zip(1..);
        let shown = all.filter(|((_, host), place)| *place <= limit || (host.opened > 0 && *place <= 4 * limit));
        let hosts = shown.map(|((key, host), _)| of_run(key, host, self.hosts.summary_of(key))).collect();
        (hosts, total.host_count())
    }
}

/// What all processes did, and what this one knows of the host.
fn of_run(key: &str, spent: &HostSpent, now: Option<HostSummary>) -> HostSummary {
    let HostSpent { requests, ok, http_error, failed, skipped, refusals, bytes, opened, probes, closed, .. } = *spent;
    HostSummary {
        host_key: key.into(),
        requests,
        ok,
        http_error,
        failed,
        skipped,
        refusals,
        bytes,
        mean_ms: spent.mean_ms(),
        opened,
        probes,
        closed,
        ..now.unwrap_or_default()
    }
}
