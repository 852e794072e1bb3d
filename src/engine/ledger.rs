//! What the dispatcher remembers of its journal, and what it begins with after an earlier process. `journaling` tells it.

use std::time::Duration;

use super::delivery::Continuation;
use super::outcome::Counted;
use super::spending::Spending;
use super::stats::Tally;
use crate::frontier::journal::{Begun, InputPosition, Past, Spent};
use crate::model::units::Moment;

/// From one note of how the run stands to the next, if there are so many records more; and if not. Each takes some
/// kilobytes, and what is written is known without it.
const STANDING_AFTER: Duration = Duration::from_secs(1);
const STANDING_RECORDS: u64 = 500;
const STANDING_AT_LAST: Duration = Duration::from_secs(10);
/// What the dispatcher remembers of its journal.
#[derive(Debug)]
pub struct Ledger {
    pub(super) input: InputPosition,
    pub(super) input_ended: bool,
    /// Some of what was read was not accepted: it will be read again.
    pub(super) input_cut: bool,
    pub(super) due: Moment,
    /// Something was not started in this turn since the disk was behind.
    pub(super) held_up: bool,
    /// When the last standing was noted, and how many records there were.
    pub(super) stood: Option<(Moment, u64)>,
    pub(super) spending: Spending,
}

/// Where delivery goes on.
#[must_use]
pub(super) fn continuation(past: Option<&Past>, journaled: bool) -> Continuation {
    Continuation { next_seq: past.map_or(0, |past| past.next_seq), journaled }
}

impl Ledger {
    #[must_use]
    pub fn new(past: Option<&Past>) -> Self {
        let (input, input_ended) = past.map_or_else(Default::default, |past| (past.input, past.input_ended));
        Self {
            input,
            input_ended,
            input_cut: false,
            due: Moment::NEVER,
            held_up: false,
            stood: None,
            spending: Spending::new(past.map_or_else(Spent::default, |past| past.spent.clone())),
        }
    }

    /// Whether it is time for another note of how the run stands.
    pub(super) fn wants_standing(&self, now: Moment, records: u64) -> bool {
        self.stood.is_none_or(|(at, before)| {
            let many = records.saturating_sub(before) >= STANDING_RECORDS;
            now.since(at) >= if many { STANDING_AFTER } else { STANDING_AT_LAST }
        })
    }

    /// When the journal is to be told next.
    #[must_use]
    pub fn due(&self) -> Option<Moment> {
        Some(self.due).filter(|due| *due < Moment::NEVER)
    }
}

/// How a new run begins, for its journal. `settings` are the run's, as its caller writes them.
#[must_use]
pub fn begun(run: &str, settings: String, engine: &super::settings::EngineSettings) -> Begun {
    Begun {
        run: run.to_owned(),
        started: super::clock::Clock::wall_now(),
        settings,
        unique: engine.follow || engine.unique,
        follow: engine.follow,
        again: engine.again,
    }
}

/// What an earlier process has counted.
#[must_use]
pub(super) fn tally_of(past: &Past) -> Tally {
    let Spent { requests, retries, retries_denied, wire_bytes, .. } = past.spent;
    let mut tally = Tally {
        accepted: past.next_number - past.superseded,
        superseded: past.superseded,
        refused: past.spent.refused.clone(),
        requests,
        retries,
        retries_denied,
        wire_bytes,
        ..Tally::default()
    };
    for (&(typed, outcome, error, skip), &count) in &past.counted {
        tally.count_many(Counted { typed, outcome, error, skip }, count);
    }
    // They have had their exit code.
    tally.panics = 0;
    tally
}
