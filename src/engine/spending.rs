//! What a run with a journal has spent: gathered here, told with each commit, and summed up over all processes.
//!
//! Requests, their time and bytes count when they are over, whatever becomes of their job: they were made. What belongs to
//! a record counts once it is written, as the record itself does: its place among the host's outcomes, and the links of its
//! page that were not followed. Else a page that is asked again after a kill would count twice.

use std::time::Duration;

use super::delivery::Accepted;
use crate::frontier::journal::Spent;
use crate::model::record::SkipReason;
use crate::model::units::Moment;

/// See the module.
#[derive(Debug)]
pub struct Spending {
    /// What was told, by all processes.
    total: Spent,
    /// What is to be told.
    part: Spent,
    /// Links of the page at hand that were not followed: they count with its record.
    pub(super) refused: Vec<SkipReason>,
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

    pub(super) fn refuse(&mut self, reasons: &[SkipReason]) {
        for reason in reasons {
            *self.part.refused.entry(*reason).or_default() += 1;
        }
    }

    /// What is to be told now.
    pub(super) fn take(&mut self, now: Moment) -> Spent {
        let mut part = std::mem::take(&mut self.part);
        // Whole milliseconds; the rest belongs to the next part.
        part.elapsed_ms = u64::try_from(now.since(self.told).as_millis()).unwrap_or(0);
        self.told = self.told.plus(Duration::from_millis(part.elapsed_ms));
        self.total.add(&part);
        part
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::outcome::{Counted, Share};
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
