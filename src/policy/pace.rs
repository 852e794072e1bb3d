//! The pace of one host: gap between requests, holds by `Retry-After`, and its places (slots).
//!
//! It decides when the next request of a host may start and how many may be in flight. It never waits and knows nothing
//! of other hosts, rates or the breaker: the engine asks before each start and tells it of each start and end.

use std::time::Duration;

use crate::model::units::Moment;

/// When and how much one host may be asked. Rates are not here: they are governor's.
#[derive(Debug, Clone)]
pub struct Pace {
    /// The greater of `--delay` and Crawl-delay.
    delay: Duration,
    /// Places the configuration allows.
    max_slots: u32,
    /// Places earned so far: 1, doubled with each answer.
    slots: u32,
    in_flight: u32,
    /// End of the last request. The gap is added when asked, so that a Crawl-delay also holds from the end of the
    /// robots.txt that named it.
    last_end: Option<Moment>,
    /// End of a `Retry-After`.
    held_until: Moment,
}

impl Pace {
    /// A host nobody has asked yet. `max_slots` is at least 1.
    #[must_use]
    pub fn new(delay: Duration, max_slots: u32) -> Self {
        Self { delay, max_slots, slots: 1, in_flight: 0, last_end: None, held_until: Moment::START }
    }

    /// Crawl-delay of the host's robots.txt: never lowers the delay in force.
    pub fn raise_delay(&mut self, crawl_delay: Duration) {
        self.delay = self.delay.max(crawl_delay);
    }

    #[must_use]
    pub fn delay(&self) -> Duration {
        self.delay
    }

    #[must_use]
    pub fn in_flight(&self) -> u32 {
        self.in_flight
    }

    /// Places: one with a delay, else those earned.
    #[must_use]
    pub fn slots(&self) -> u32 {
        if self.delay.is_zero() { self.slots.min(self.max_slots) } else { 1 }
    }

    #[must_use]
    pub fn has_slot(&self) -> bool {
        self.in_flight < self.slots()
    }

    /// The earliest moment of the next request, slots aside.
    #[must_use]
    pub fn next_allowed(&self) -> Moment {
        self.last_end.map_or(Moment::START, |end| end.plus(self.delay)).max(self.held_until)
    }

    /// A request starts.
    pub fn start(&mut self) {
        self.in_flight += 1;
    }

    /// A request has ended; `answered` with any status.
    pub fn end(&mut self, now: Moment, answered: bool) {
        self.in_flight = self.in_flight.saturating_sub(1);
        self.last_end = self.last_end.max(Some(now));
        if answered {
            self.slots = self.slots.saturating_mul(2).min(self.max_slots);
        }
    }

    /// Nothing is asked before `until`. A later hold extends an earlier one, never shortens it.
    pub fn hold(&mut self, until: Moment) {
        self.held_until = self.held_until.max(until);
    }

    /// The breaker has closed: start slowly again.
    pub fn restart_slowly(&mut self) {
        self.slots = 1;
    }
}
