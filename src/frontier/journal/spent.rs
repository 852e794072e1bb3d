//! What a run has spent: requests, bytes and time, of the whole run and of each host.
//!
//! The journal carries it in parts: with every block what came since the one before. So the sum up to any block is exact
//! there, over all processes, and a kill loses only what was done since the last commit and is in no record. Decides how
//! parts are added, and which hosts are still known by name when there are very many. Written by the engine, added up by
//! whoever reads a journal.

use std::cmp::Reverse;
use std::collections::BTreeMap;

use foldhash::HashMap;
use serde::{Deserialize, Serialize};

use crate::model::record::{Outcome, SkipReason};

/// Hosts that are told apart: about 150 bytes each. Beyond it the least busy half is only counted.
const MANY_HOSTS: usize = 16 * 1024;

/// Sums over a whole run, or over a part of it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Spent {
    /// All kinds, those that a stop has cut off too.
    pub requests: u64,
    pub retries: u64,
    /// Retries that the budget did not allow.
    pub retries_denied: u64,
    /// Of bodies, on the wire.
    pub wire_bytes: u64,
    /// Time that processes have run, in milliseconds.
    pub elapsed_ms: u64,
    /// Links that were not followed, of pages whose record is written and of sitemaps.
    pub refused: BTreeMap<SkipReason, u64>,
    pub hosts: HashMap<Box<str>, HostSpent>,
    /// Hosts that are no longer told apart.
    pub forgotten: u64,
}

/// Sums of one host.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct HostSpent {
    pub requests: u64,
    /// Records that are written.
    pub ok: u64,
    pub http_error: u64,
    pub failed: u64,
    pub skipped: u64,
    /// 429, or 503 with `Retry-After`.
    pub refusals: u64,
    pub bytes: u64,
    /// Time of its requests, in microseconds.
    pub time_us: u64,
    /// What its breaker did.
    pub opened: u32,
    pub probes: u32,
    pub closed: u32,
}

impl HostSpent {
    /// Counts a record that is written.
    pub fn count(&mut self, outcome: Outcome) {
        match outcome {
            Outcome::Ok => self.ok += 1,
            Outcome::HttpError => self.http_error += 1,
            Outcome::Failed => self.failed += 1,
            Outcome::Skipped => self.skipped += 1,
        }
    }

    /// Mean time of a request, in milliseconds.
    #[must_use]
    #[expect(clippy::cast_precision_loss, reason = "a mean for people")]
    pub fn mean_ms(&self) -> f64 {
        if self.requests == 0 { 0.0 } else { self.time_us as f64 / 1000.0 / self.requests as f64 }
    }

    fn add(&mut self, other: &Self) {
        self.requests = self.requests.saturating_add(other.requests);
        self.ok = self.ok.saturating_add(other.ok);
        self.http_error = self.http_error.saturating_add(other.http_error);
        self.failed = self.failed.saturating_add(other.failed);
        self.skipped = self.skipped.saturating_add(other.skipped);
        self.refusals = self.refusals.saturating_add(other.refusals);
        self.bytes = self.bytes.saturating_add(other.bytes);
        self.time_us = self.time_us.saturating_add(other.time_us);
        self.opened = self.opened.saturating_add(other.opened);
        self.probes = self.probes.saturating_add(other.probes);
        self.closed = self.closed.saturating_add(other.closed);
    }
}

impl Spent {
    /// Whether there is anything to tell; time alone is nothing.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        let sums = [self.requests, self.retries, self.retries_denied, self.wire_bytes, self.forgotten];
        sums == [0; 5] && self.hosts.is_empty() && self.refused.is_empty()
    }

    /// The sums of a host.
    pub fn host(&mut self, key: &str) -> &mut HostSpent {
        self.hosts.entry(key.into()).or_default()
    }

    /// Adds a part. Sums that no run comes to, as a journal may hold that somebody made, stay at their end.
    pub fn add(&mut self, part: &Self) {
        self.requests = self.requests.saturating_add(part.requests);
        self.retries = self.retries.saturating_add(part.retries);
        self.retries_denied = self.retries_denied.saturating_add(part.retries_denied);
        self.wire_bytes = self.wire_bytes.saturating_add(part.wire_bytes);
        self.elapsed_ms = self.elapsed_ms.saturating_add(part.elapsed_ms);
        self.forgotten = self.forgotten.saturating_add(part.forgotten);
        for (reason, count) in &part.refused {
            let sum = self.refused.entry(*reason).or_default();
            *sum = sum.saturating_add(*count);
        }
        for (key, host) in &part.hosts {
            self.host(key).add(host);
        }
        if self.hosts.len() > MANY_HOSTS {
            self.forget();
        }
    }

    /// Which of two equally busy hosts stays is told by their names, so that all who add up the same come to the same.
    fn forget(&mut self) {
        let before = self.hosts.len();
        let mut all: Vec<_> = std::mem::take(&mut self.hosts).into_iter().collect();
        all.sort_by(|(a, left), (b, right)| right.requests.cmp(&left.requests).then_with(|| a.cmp(b)));
        all.truncate(MANY_HOSTS / 2);
        self.hosts.extend(all);
        self.forgotten = self.forgotten.saturating_add((before - self.hosts.len()) as u64);
    }

    /// Hosts, the busiest first.
    #[must_use]
    pub fn busiest(&self) -> Vec<(&str, &HostSpent)> {
        let mut all: Vec<_> = self.hosts.iter().map(|(key, host)| (&**key, host)).collect();
        all.sort_by_key(|(key, host)| (Reverse(host.requests), *key));
        all
    }

    /// Hosts that there were.
    #[must_use]
    pub fn host_count(&self) -> u64 {
        self.forgotten.saturating_add(self.hosts.len() as u64)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn part(hosts: impl IntoIterator<Item = (String, u64)>) -> Spent {
        let mut part = Spent { elapsed_ms: 5, ..Spent::default() };
        for (key, requests) in hosts {
            part.requests += requests;
            part.host(&key).requests += requests;
            part.host(&key).count(Outcome::Ok);
        }
        *part.refused.entry(SkipReason::Scope).or_default() += 2;
        part
    }

    #[test]
    fn parts_come_to_the_whole() {
        let mut whole = Spent::default();
        assert!(whole.is_empty() && Spent { elapsed_ms: 1, ..Spent::default() }.is_empty());
        whole.add(&part([("a".to_owned(), 3), ("b".to_owned(), 1)]));
        whole.add(&part([("b".to_owned(), 4)]));
        assert!(!whole.is_empty());
        assert_eq!((whole.requests, whole.elapsed_ms, whole.refused[&SkipReason::Scope]), (8, 10, 4));
        let busiest: Vec<_> = whole.busiest().into_iter().map(|(key, host)| (key, host.requests, host.ok)).collect();
        assert_eq!(busiest, [("b", 5, 2), ("a", 3, 1)]);
    }

    #[test]
    fn very_many_hosts_are_counted_and_the_busiest_known() {
        let mut whole = Spent::default();
        for some in 0..40_u64 {
            whole.add(&part((0..1000).map(|n| (format!("{}", some * 1000 + n), u64::from(n % 500 == 0) + 1))));
        }
        assert!(whole.hosts.len() <= MANY_HOSTS);
        assert_eq!((whole.host_count(), whole.requests), (40_000, 40_000 + 80));
        assert_eq!(whole.busiest().iter().filter(|(_, host)| host.requests == 2).count(), 80, "none of the busiest");
    }
}
