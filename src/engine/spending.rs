//! What a run with a journal has spent: gathered here, told with each commit, and summed up over all processes.
//!
//! Requests, their time and bytes count when they are over, whatever becomes of their job: they were made. What belongs to
//! a record counts once it is written, as the record itself does: its place among the host's outcomes, and the links of its
//! page that were not followed. Else a page that is asked again after a kill would count twice.

use std::borrow::Cow;
use std::time::Duration;

use super::delivery::Accepted;
use super::dispatcher::Dispatcher;
use super::stats::HostSummary;
use crate::fetch::Fetcher;
use crate::frontier::journal::{Entry, HostSpent, Spent};
use crate::model::record::SkipReason;
use crate::model::units::Moment;

/// What counts with a record. Empty without a journal.
#[derive(Debug, Default)]
pub struct Share {
    /// Key of the host at which its job ended.
    pub host: Option<Box<str>>,
    /// Links of its page that were not followed.
    pub refused: Vec<SkipReason>,
}

/// See the module.
#[derive(Debug)]
pub struct Spending {
    /// What was told, by all processes.
    total: Spent,
    /// What is to be told.
    part: Spent,
    /// Links of the page at hand that were not followed: they count with its record.
    refused: Vec<SkipReason>,
    told: Moment,
}

impl Spending {
    /// After earlier processes have spent this.
    #[must_use]
    pub fn new(before: Spent) -> Self {
        Self { total: before, part: Spent::default(), refused: Vec::new(), told: Moment::START }
    }

    /// Of all processes, up to what was told last.
    #[must_use]
    pub fn total(&self) -> &Spent {
        &self.total
    }

    /// What is to be told next.
    pub fn part(&mut self) -> &mut Spent {
        &mut self.part
    }

    /// Whether there is anything to tell.
    #[must_use]
    pub fn is_dirty(&self) -> bool {
        !self.part.is_empty()
    }

    /// Records are written.
    pub fn written(&mut self, records: &[Accepted]) {
        for Accepted { counted, share, .. } in records {
            if let Some(host) = &share.host {
                self.part.host(host).count(counted.outcome);
            }
            self.refuse(&share.refused);
        }
    }

    fn refuse(&mut self, reasons: &[SkipReason]) {
        for reason in reasons {
            *self.part.refused.entry(*reason).or_default() += 1;
        }
    }

    /// What is to be told now.
    fn take(&mut self, now: Moment) -> Spent {
        let mut part = std::mem::take(&mut self.part);
        // Whole milliseconds; the rest belongs to the next part.
        part.elapsed_ms = u64::try_from(now.since(self.told).as_millis()).unwrap_or(0);
        self.told = self.told.plus(Duration::from_millis(part.elapsed_ms));
        self.total.add(&part);
        part
    }
}

impl<F: Fetcher> Dispatcher<F> {
    /// What is told of it, if there is a journal.
    pub(super) fn spending(&mut self) -> Option<&mut Spending> {
        self.ledger.as_mut().map(|ledger| &mut ledger.spending)
    }

    /// The sums of a host among it.
    pub(super) fn host_spending(&mut self, id: super::event::HostId) -> Option<&mut HostSpent> {
        let host = self.hosts.get(id);
        let ledger = self.ledger.as_mut()?;
        Some(ledger.spending.part.host(&host.key))
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
            ledger.spending.part.requests += cut_off;
            ledger.spending.part.host(&host.key).requests += cut_off;
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::outcome::Counted;
    use crate::model::record::Outcome;

    #[test]
    fn what_belongs_to_a_record_counts_when_it_is_written() {
        let mut spending = Spending::new(Spent { requests: 7, elapsed_ms: 100, ..Spent::default() });
        spending.refused.push(SkipReason::Scope);
        assert!(!spending.is_dirty(), "its page may be asked again");
        let counted = Counted { typed: false, outcome: Outcome::Ok, error: None, skip: None };
        let share = Share { host: Some("a".into()), refused: std::mem::take(&mut spending.refused) };
        spending.written(&[Accepted { number: 0, counted, share }]);
        spending.part().requests += 1;
        assert!(spending.is_dirty());
        let part = spending.take(Moment::START.plus(Duration::from_micros(2700)));
        assert_eq!((part.requests, part.elapsed_ms, part.refused[&SkipReason::Scope]), (1, 2, 1));
        assert_eq!((spending.total().requests, spending.total().hosts["a"].ok), (8, 1));
        // No part of a millisecond is lost.
        assert_eq!(spending.take(Moment::START.plus(Duration::from_micros(3100))).elapsed_ms, 1);
        assert_eq!(spending.total().elapsed_ms, 103);
    }
}
