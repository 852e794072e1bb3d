//! What a run has done so far, counted by the dispatcher, and its closing summary.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use super::fields::FieldsSummary;
use super::outcome::Counted;
use crate::model::fetch_error::ErrorKind;
use crate::model::record::{Outcome, SkipReason};
use crate::model::units::WallTime;
use crate::policy::traps::Trap;
use crate::sinks::command::CommandSummary;

/// Why a run ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StoppedBy {
    /// Everything accepted has its record.
    Done,
    /// `--max-pages`.
    Limit,
    Deadline,
    /// SIGINT, SIGTERM, or the handle's stop.
    Signal,
    FailEarly,
    /// The reader of the only output has gone away.
    Pipe,
    /// An output could not be written, or an error of our own.
    Error,
}

impl StoppedBy {
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Done => "done",
            Self::Limit => "limit",
            Self::Deadline => "deadline",
            Self::Signal => "signal",
            Self::FailEarly => "fail_early",
            Self::Pipe => "pipe",
            Self::Error => "error",
        }
    }
}

/// What became of one host.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct HostSummary {
    pub host_key: Box<str>,
    pub requests: u64,
    pub ok: u64,
    pub http_error: u64,
    pub failed: u64,
    pub skipped: u64,
    /// 429, or 503 with `Retry-After`.
    pub refusals: u64,
    /// Holds that began with a refusal: a burst of refusals is one.
    pub backoffs: u64,
    /// How often the throttle took places away.
    pub slowed: u64,
    /// How often its `RateLimit` fields held it, or had its requests spread over a window.
    pub rate_limits: u64,
    pub bytes: u64,
    /// Mean time of a request in milliseconds.
    pub mean_ms: f64,
    /// Delay in force at the end (`--delay`, Crawl-delay).
    pub delay: Duration,
    /// How often its breaker opened, probed and closed.
    pub opened: u32,
    pub probes: u32,
    pub closed: u32,
    /// Its breaker gave it up.
    pub given_up: bool,
}

/// The closing summary.
#[derive(Debug, Clone)]
pub struct Summary {
    pub run: Arc<str>,
    pub stopped_by: StoppedBy,
    /// Accepted URLs without a written record.
    pub left: u64,
    /// Work was left: `left` is not 0, or the input had not ended.
    pub work_left: bool,
    /// The input held more than was read: those lines are not in `left`.
    pub input_unread: bool,
    /// Records written, by earlier processes of this run too; but those of failures that were given another chance.
    pub records: u64,
    /// Those of earlier processes.
    pub before: u64,
    pub outcomes: BTreeMap<Outcome, u64>,
    pub errors: BTreeMap<ErrorKind, u64>,
    pub skips: BTreeMap<SkipReason, u64>,
    /// Links that were not followed, by reason (`scope`, `depth`, …); they have no record without `--refused`.
    pub refused: BTreeMap<SkipReason, u64>,
    /// Records of `skipped: trap`, by what was seen.
    pub traps: BTreeMap<Trap, u64>,
    /// Records that count as failures: `failed`, `http_error`, `skipped: breaker_open` and `rate_limited`.
    pub failures: u64,
    /// Typed URLs that ended as anything but `ok` or `skipped: duplicate`.
    pub seeds_failed: u64,
    /// Requests sent, all kinds, those that a stop cut off too.
    pub requests: u64,
    /// Requests that repeated an earlier one: what records call `retry`.
    pub retries: u64,
    /// Retries that the run's budget did not allow: their URLs ended with what they had.
    pub retries_denied: u64,
    /// Body bytes on the wire.
    pub wire_bytes: u64,
    /// Busiest first, at most 10, and those with breaker events.
    pub hosts: Vec<HostSummary>,
    pub host_count: u64,
    pub started: WallTime,
    pub ended: WallTime,
    pub elapsed: Duration,
    /// What was still under way when its deadline for stopping had passed ("sink results.jsonl").
    pub late: Vec<String>,
    /// What came of `--exec` and `--pipe`, if there were any.
    pub commands: Vec<CommandSummary>,
    /// Why an output could not be written.
    pub output_error: Option<String>,
    /// Jobs that ended in a panic of ours (`internal`).
    pub panics: u64,
    /// Of users' rules; None without any.
    pub fields: Option<FieldsSummary>,
    /// Messages between threads: batches of records, bodies for the parse pool.
    pub crossings: u64,
}

/// What the dispatcher counts as it goes.
#[derive(Debug, Clone, Default)]
pub struct Tally {
    /// Seeds, lines and links that will have a record.
    pub accepted: u64,
    /// Failures that were given another chance: neither they nor their records count any more.
    pub superseded: u64,
    pub records: u64,
    pub outcomes: BTreeMap<Outcome, u64>,
    pub errors: BTreeMap<ErrorKind, u64>,
    pub skips: BTreeMap<SkipReason, u64>,
    pub refused: BTreeMap<SkipReason, u64>,
    pub traps: BTreeMap<Trap, u64>,
    pub failures: u64,
    pub seeds_failed: u64,
    pub requests: u64,
    pub retries: u64,
    pub retries_denied: u64,
    pub wire_bytes: u64,
    pub panics: u64,
}

impl Tally {
    /// Counts a record.
    pub fn count(&mut self, counted: Counted) {
        self.count_many(counted, 1);
    }

    /// Counts so many records that count alike.
    pub fn count_many(&mut self, counted: Counted, count: u64) {
        self.records += count;
        *self.outcomes.entry(counted.outcome).or_default() += count;
        if let Some(kind) = counted.error {
            *self.errors.entry(kind).or_default() += count;
            self.panics += if kind == ErrorKind::Internal { count } else { 0 };
        }
        if let Some(reason) = counted.skip {
            *self.skips.entry(reason).or_default() += count;
        }
        self.failures += if counted.is_failure() { count } else { 0 };
        self.seeds_failed += if counted.is_failed_seed() { count } else { 0 };
    }

    /// Takes a record back that was counted and then could not be written: it is `left`.
    pub fn uncount(&mut self, counted: Counted) {
        fn take<K: Ord>(counts: &mut BTreeMap<K, u64>, key: &K) {
            if let Some(count) = counts.get_mut(key) {
                *count -= 1;
            }
            counts.retain(|_, count| *count > 0);
        }
        self.records -= 1;
        take(&mut self.outcomes, &counted.outcome);
        if let Some(kind) = counted.error {
            take(&mut self.errors, &kind);
        }
        if let Some(reason) = counted.skip {
            take(&mut self.skips, &reason);
        }
        self.failures -= u64::from(counted.is_failure());
        self.seeds_failed -= u64::from(counted.is_failed_seed());
    }

    /// A failure is given another chance: what was accepted is the same, and its record counts no more.
    pub fn supersede(&mut self, counted: Counted) {
        self.uncount(counted);
        self.accepted -= 1;
        self.superseded += 1;
    }

    /// Records that are not `skipped`: what `--max-pages` counts.
    #[must_use]
    pub fn pages(&self) -> u64 {
        self.records - self.outcomes.get(&Outcome::Skipped).copied().unwrap_or(0)
    }
}

/// Counters that may be read from outside while the run goes on (progress line).
#[derive(Debug, Default)]
pub struct Counters {
    pub ok: AtomicU64,
    pub http_error: AtomicU64,
    pub failed: AtomicU64,
    pub skipped: AtomicU64,
    /// Accepted, no record yet, no request under way.
    pub queued: AtomicU64,
    pub in_flight: AtomicU64,
    pub requests: AtomicU64,
    pub wire_bytes: AtomicU64,
    /// Accepted so far.
    pub accepted: AtomicU64,
    /// 1 when the input has ended, so that for a list the end is known.
    pub input_ended: AtomicU64,
}

impl Counters {
    #[must_use]
    pub fn get(counter: &AtomicU64) -> u64 {
        counter.load(Ordering::Relaxed)
    }
}
