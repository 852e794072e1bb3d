//! The pace of one host: when its next request may start, and how many may be in flight.
//!
//! It keeps the host's clocks apart: the gap between requests (`--delay`, Crawl-delay), the backoff after refusals
//! ([`super::hold`]), what the host says it will still take ([`super::allowance`]); and its places: those earned by the
//! slow start, within what the throttle leaves ([`super::throttle`]) and the configuration allows. It never waits and
//! knows nothing of other hosts, rates or the breaker: the engine asks before each start and tells it of each start and
//! end. What happens at one moment may be told in any order.

use std::time::Duration;

use super::allowance::Allowance;
use super::hold::{Hold, stagger};
use super::rate_fields::Quota;
use super::throttle::{Throttle, Trouble};
use crate::model::units::Moment;

/// Resolved settings of a host's pace.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PaceSettings {
    /// From the end of a request to the start of the next.
    pub delay: Duration,
    /// Places the configuration allows; at least 1.
    pub places: u32,
    /// `--throttle adaptive`: heed latency, errors and `RateLimit` fields. A refusal holds the host in any case.
    pub adaptive: bool,
}

/// What one request told of its host's pace.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ending {
    /// When the request was started.
    pub started: Moment,
    /// The time to the response head, if one came.
    pub latency: Option<Duration>,
    /// A refusal, and its `Retry-After`.
    pub refusal: Option<Option<Duration>>,
    /// The breaker counts it.
    pub failed: bool,
    /// 5xx.
    pub server_error: bool,
    pub quota: Option<Quota>,
}

impl Ending {
    /// Of a request that has told nothing.
    #[must_use]
    pub fn silent(started: Moment) -> Self {
        Self { started, latency: None, refusal: None, failed: false, server_error: false, quota: None }
    }

    /// Of a request whose answer took so long.
    #[must_use]
    pub fn answered(started: Moment, latency: Duration) -> Self {
        Self { latency: Some(latency), ..Self::silent(started) }
    }
}

/// When and how much one host may be asked. Rates are not here: they are governor's.
#[derive(Debug, Clone)]
pub struct Pace {
    /// The greater of `--delay` and Crawl-delay.
    delay: Duration,
    settings: PaceSettings,
    /// Places earned so far: 1, doubled with each answer.
    slots: u32,
    in_flight: u32,
    /// Start of the last request.
    last_start: Moment,
    /// End of the last request. The gap is added when asked, so that a Crawl-delay also holds from the end of the
    /// robots.txt that named it.
    last_end: Option<Moment>,
    /// The slow start began anew then: answers to what was asked before earn nothing.
    restarted: Option<Moment>,
    /// The last moment in which a request ended, and what was in flight when that moment began.
    crowd: (Moment, u32),
    random: f64,
    hold: Hold,
    allowance: Allowance,
    throttle: Throttle,
}

impl Pace {
    /// A host nobody has asked yet. `random` in 0..1, the host's own, spreads hosts that were blocked together.
    #[must_use]
    pub fn new(settings: PaceSettings, random: f64) -> Self {
        Self {
            delay: settings.delay,
            settings,
            slots: 1,
            in_flight: 0,
            last_start: Moment::START,
            last_end: None,
            restarted: None,
            crowd: (Moment::START, 0),
            random,
            hold: Hold::new(random),
            allowance: Allowance::default(),
            throttle: Throttle::new(settings.places, settings.adaptive),
        }
    }

    /// An earlier process may have asked this host up to the start of this one.
    pub fn asked_before(&mut self) {
        self.last_end = self.last_end.max(Some(Moment::START));
    }

    /// Nothing is asked before `until`, for what an earlier process was told.
    pub fn leave_alone(&mut self, until: Moment) {
        self.hold.keep(until);
    }

    /// Until when the host has asked to be left alone (`Retry-After`), and nothing that we add.
    #[must_use]
    pub fn stated_until(&self) -> Moment {
        self.hold.stated_until()
    }

    /// The same, as an earlier process was told.
    pub fn keep_stated(&mut self, until: Moment) {
        self.hold.keep_stated(until);
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

    /// Places: one with a delay, else those earned, within the throttle and what the host says is left.
    #[must_use]
    pub fn slots(&self) -> u32 {
        if !self.delay.is_zero() {
            return 1;
        }
        self.slots.min(self.settings.places).min(self.throttle.places()).min(self.allowance.places())
    }

    #[must_use]
    pub fn has_slot(&self) -> bool {
        self.in_flight < self.slots()
    }

    /// The earliest moment of the next request, slots aside.
    #[must_use]
    pub fn next_allowed(&self) -> Moment {
        let gap = self.delay.max(self.throttle.pause());
        let after_gap = self.last_end.map_or(Moment::START, |end| end.plus(gap));
        after_gap.max(self.hold.until()).max(self.allowance.next_allowed(self.last_start))
    }

    /// A request starts.
    pub fn start(&mut self, now: Moment) {
        self.in_flight += 1;
        self.last_start = self.last_start.max(now);
    }

    /// A request has ended. Returns how long the host is now left alone, if that is because of what this request said
    /// and is not part of what is known already.
    pub fn end(&mut self, now: Moment, ending: &Ending) -> Option<Duration> {
        if self.crowd.0 != now {
            self.crowd = (now, self.in_flight);
        }
        self.in_flight = self.in_flight.saturating_sub(1);
        self.last_end = self.last_end.max(Some(now));
        self.allowance.pass(now);
        let mut held = false;
        if let Some(stated) = ending.refusal {
            held = self.hold.refuse(now, ending.started, stated);
            self.restart_slowly(now);
            self.throttle.trouble(now, ending.started, Trouble::Refusal(stated), self.crowd.1);
        } else {
            self.learn(now, ending);
        }
        if let Some(quota) = ending.quota.filter(|_| self.settings.adaptive)
            && self.allowance.learn(now, quota, stagger(quota.reset, self.random))
        {
            held = true;
            self.restart_slowly(now);
        }
        let wait = self.hold.until().max(self.allowance.held_until()).since(now);
        held.then_some(wait)
    }

    /// From anything but a refusal.
    fn learn(&mut self, now: Moment, ending: &Ending) {
        if let Some(latency) = ending.latency {
            self.hold.answer(now, ending.started);
            if self.restarted.is_none_or(|restarted| ending.started > restarted) {
                self.slots = self.slots.saturating_mul(2).min(self.settings.places);
            }
            if !ending.failed {
                self.throttle.answer(now, ending.started, latency, ending.server_error, self.hold.until());
            }
        }
        if ending.failed {
            self.throttle.trouble(now, ending.started, Trouble::Failure, self.crowd.1);
        }
    }

    /// One place again, as at the start: its breaker has closed, or a hold begins.
    pub fn restart_slowly(&mut self, now: Moment) {
        self.slots = 1;
        self.restarted = self.restarted.max(Some(now));
    }

    /// Refusals so far, a burst counted as one.
    #[must_use]
    pub fn backoffs(&self) -> u64 {
        self.hold.events()
    }

    /// How often the throttle took places away.
    #[must_use]
    pub fn cuts(&self) -> u64 {
        self.throttle.cuts()
    }

    /// How often what it says is left held it, or spread its requests.
    #[must_use]
    pub fn limits(&self) -> u64 {
        self.allowance.limits()
    }

    /// Whether nothing lies ahead that a host without history would not have: it may be forgotten.
    #[must_use]
    pub fn is_over(&self, now: Moment) -> bool {
        self.in_flight == 0 && self.next_allowed() <= now && self.hold.is_over(now)
    }
}

#[cfg(test)]
mod tests;
