//! How a run stands: what it tells its journal about once a second, and what whoever looks at it from outside reads.
//!
//! Decides what is told. What was written after the last of these is added by the reader, from the journal itself. JSON,
//! since a run of one version may be looked at by another.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::stats::Tally;
use crate::frontier::journal::{Glance, HostSpent, Spent};
use crate::model::fetch_error::ErrorKind;
use crate::model::record::{Outcome, SkipReason};

/// Hosts in it.
const HOSTS: usize = 20;

/// See the module.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Standing {
    /// Seeds, lines and links that have or will have a record.
    pub accepted: u64,
    pub records: u64,
    /// Failures that were given another chance: they and their records are in no other number but those of hosts.
    pub superseded: u64,
    pub in_flight: u64,
    pub outcomes: BTreeMap<Outcome, u64>,
    pub errors: BTreeMap<ErrorKind, u64>,
    pub skips: BTreeMap<SkipReason, u64>,
    /// Links that were not followed.
    pub refused: BTreeMap<SkipReason, u64>,
    pub requests: u64,
    pub wire_bytes: u64,
    /// Time that processes have run, all together.
    pub elapsed_ms: u64,
    pub input_ended: bool,
    /// Busiest first.
    pub hosts: Vec<HostStanding>,
    pub host_count: u64,
}

/// One host.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct HostStanding {
    pub host_key: String,
    pub requests: u64,
    pub ok: u64,
    pub http_error: u64,
    pub failed: u64,
    pub skipped: u64,
    pub bytes: u64,
    pub mean_ms: f64,
    /// Its breaker has given it up.
    pub given_up: bool,
}

impl HostStanding {
    fn of(key: &str, spent: &HostSpent) -> Self {
        let mut standing = Self { host_key: key.to_owned(), ..Self::default() };
        standing.add(spent);
        standing
    }

    /// Adds what it has spent since.
    #[expect(clippy::cast_precision_loss, reason = "a mean for people")]
    fn add(&mut self, spent: &HostSpent) {
        let time_ms = self.mean_ms * self.requests as f64 + spent.mean_ms() * spent.requests as f64;
        self.requests += spent.requests;
        self.ok += spent.ok;
        self.http_error += spent.http_error;
        self.failed += spent.failed;
        self.skipped += spent.skipped;
        self.bytes += spent.bytes;
        self.mean_ms = if self.requests == 0 { 0.0 } else { time_ms / self.requests as f64 };
    }
}

impl Standing {
    /// What the tally of a run says, and what it has spent.
    #[must_use]
    pub fn of(tally: &Tally, spent: &Spent) -> Self {
        let mut standing = Self {
            accepted: tally.accepted,
            records: tally.records,
            superseded: tally.superseded,
            outcomes: tally.outcomes.clone(),
            errors: tally.errors.clone(),
            skips: tally.skips.clone(),
            ..Self::default()
        };
        standing.spend(spent);
        standing
    }

    /// What the run last said of itself, and what has been written since; or all of it, if its journal was read from the start.
    #[must_use]
    pub fn seen(glance: &Glance) -> Self {
        let noted = Self::read(&glance.totals);
        let mut standing =
            if glance.whole { Self { input_ended: noted.input_ended, ..Self::default() } } else { noted.clone() };
        for (&(_, outcome, error, skip), &count) in &glance.counted {
            change(&mut standing.outcomes, outcome, count);
            if let Some(kind) = error {
                change(&mut standing.errors, kind, count);
            }
            if let Some(reason) = skip {
                change(&mut standing.skips, reason, count);
            }
        }
        standing.spend(&glance.spent);
        for host in &mut standing.hosts {
            host.given_up = noted.hosts.iter().any(|known| known.host_key == host.host_key && known.given_up);
        }
        let numbers = standing.accepted + standing.superseded;
        standing.superseded += glance.superseded;
        standing.records = glance.written.saturating_sub(standing.superseded);
        standing.accepted = numbers.max(glance.accepted).max(glance.written).saturating_sub(standing.superseded);
        if glance.process.is_none() {
            standing.in_flight = 0;
        }
        standing
    }

    /// Adds what was spent since. Hosts that are not in the table come into it while all are.
    pub fn spend(&mut self, spent: &Spent) {
        let all = self.host_count == self.hosts.len() as u64;
        self.requests += spent.requests;
        self.wire_bytes += spent.wire_bytes;
        self.elapsed_ms += spent.elapsed_ms;
        for (reason, count) in &spent.refused {
            *self.refused.entry(*reason).or_default() += count;
        }
        for (key, host) in spent.busiest() {
            match self.hosts.iter_mut().find(|known| known.host_key == key) {
                Some(known) => known.add(host),
                None if all => {
                    self.host_count += 1;
                    if self.hosts.len() < HOSTS {
                        self.hosts.push(HostStanding::of(key, host));
                    }
                }
                None => {}
            }
        }
        if all {
            self.host_count += spent.forgotten;
        }
        self.hosts.sort_by_key(|host| std::cmp::Reverse(host.requests));
    }

    /// Reads what [`Standing::write`] wrote; nothing is known if it cannot be read.
    #[must_use]
    pub fn read(bytes: &[u8]) -> Self {
        serde_json::from_slice(bytes).unwrap_or_default()
    }

    /// Nothing, if there should be something in it that is no JSON.
    #[must_use]
    pub fn write(&self) -> Vec<u8> {
        serde_json::to_vec(self).unwrap_or_default()
    }
}

/// What comes to nothing is not told.
fn change<K: Ord>(counts: &mut BTreeMap<K, u64>, key: K, by: i64) {
    let count = counts.remove(&key).unwrap_or(0).saturating_add_signed(by);
    if count > 0 {
        counts.insert(key, count);
    }
}
