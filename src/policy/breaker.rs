//! The circuit breaker of one host. Closed lets requests pass, open lets none, half-open lets one probe.
//!
//! It decides whether a host may be asked, from what its requests came to: failures in a row, or half of the last ones. It
//! never waits, never counts slots, and never ends a job: the engine asks [`Breaker::gate`] and acts on it. Words follow
//! electricity, as in Nygard's "Release It!".

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::model::units::Moment;

/// The rate is taken over four times as many outcomes as failures in a row would open it, within these; half of them have
/// to be failures, and at least as many as in a row.
const LEAST_WINDOW: u32 = 20;
const MOST_WINDOW: u32 = 64;

/// Each failed probe makes the next cooldown longer by this, up to so many times the first. A host's own jitter comes on
/// top: a probe is never early.
const GROWTH: f64 = 1.5;
const MOST_GROWTH: f64 = 10.0;
const JITTER: f64 = 0.1;

/// Resolved settings.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BreakerSettings {
    /// Failures in a row that open it; 0: it never opens.
    pub failures: u32,
    /// Time to the first probe; grows with each that fails.
    pub cooldown: Duration,
    /// Failed probes after which the host is given up.
    pub probes: u32,
    /// Time after its opening at which the host is given up, however many probes have failed.
    pub wait: Option<Duration>,
}

impl Default for BreakerSettings {
    fn default() -> Self {
        Self { failures: 5, cooldown: Duration::from_secs(30), probes: 3, wait: None }
    }
}

/// What a request told us about its host.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Signal {
    /// It answers (any status that is not a failure below).
    Answer,
    /// Connect, TLS, timeout, reset, 502, 504, 503 without `Retry-After`.
    Failure,
    /// Says nothing either way: a refusal (429, 503 with `Retry-After`), our own limits, a request we cut off.
    Neutral,
}

/// What may happen now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Gate {
    /// Closed: ask.
    Pass,
    /// One request may go, as the probe: call [`Breaker::start_probe`] when it does.
    Probe,
    /// Nothing before this moment. Half-open with its probe under way: [`Moment::NEVER`], until the probe reports.
    Wait(Moment),
    /// Given up after the last failed probe: waiting URLs end as `breaker_open`. From the moment given on, one URL that
    /// comes may go as a probe ([`Gate::Probe`] is returned then).
    GivenUp(Moment),
}

/// A change of state, for logs and the summary.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Change {
    /// Closed, or half-open with a probe that failed, to open.
    Opened,
    HalfOpen,
    Closed,
    /// Every failed probe of a host that is given up says so again.
    GaveUp,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Closed {
        failures_in_a_row: u32,
    },
    Open {
        until: Moment,
        failed_probes: u32,
    },
    /// The probe is under way. `given_up`: where a neutral report leads back to, and a failure too.
    HalfOpen {
        failed_probes: u32,
        given_up: bool,
    },
    GivenUp {
        until: Moment,
        failed_probes: u32,
    },
}

/// What of an open breaker outlives a process, beside the moment it waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Outage {
    failed_probes: u32,
    pub given_up: bool,
}

/// The last outcomes of a closed breaker.
#[derive(Debug, Clone, Copy, Default)]
struct Window {
    /// One bit each, the last one lowest; set for failures.
    bits: u64,
    length: u32,
}

impl Window {
    fn push(&mut self, failed: bool, size: u32) {
        let mask = if size >= u64::BITS { u64::MAX } else { (1 << size) - 1 };
        self.bits = ((self.bits << 1) | u64::from(failed)) & mask;
        self.length = (self.length + 1).min(size);
    }
}

/// The breaker of one host.
#[derive(Debug, Clone)]
pub struct Breaker {
    settings: BreakerSettings,
    state: State,
    /// Probes still under way when an older request closed the breaker. Their reports must not be taken for that of a
    /// later probe, or two could be out at once.
    overtaken_probes: u32,
    opened: u32,
    window: Window,
    /// When it went from closed to open, and whether for the rate: then only a probe's answer closes it, since some of
    /// those under way will be answered in any case.
    opened_at: Moment,
    by_rate: bool,
    /// The host's share of jitter, 0..1.
    random: f64,
}

impl Breaker {
    /// What is to be known of it by a later process, and the moment of its next probe; None while it is closed.
    #[must_use]
    pub fn outage(&self) -> Option<(Moment, Outage)> {
        match self.state {
            State::Closed { .. } => None,
            State::Open { until, failed_probes } => Some((until, Outage { failed_probes, given_up: false })),
            // What its probe came to is not known.
            State::HalfOpen { failed_probes, given_up } => Some((Moment::START, Outage { failed_probes, given_up })),
            State::GivenUp { until, failed_probes } => Some((until, Outage { failed_probes, given_up: true })),
        }
    }

    /// Opens a new one as an earlier process has left it.
    pub fn take_up(&mut self, outage: Outage, until: Moment) {
        let Outage { failed_probes, given_up } = outage;
        self.opened = 1;
        self.state =
            if given_up { State::GivenUp { until, failed_probes } } else { State::Open { until, failed_probes } };
    }

    /// A closed one. `random` in 0..1 is the host's own: hosts that failed together are not probed together.
    #[must_use]
    pub fn new(settings: BreakerSettings, random: f64) -> Self {
        Self {
            settings,
            state: State::Closed { failures_in_a_row: 0 },
            overtaken_probes: 0,
            opened: 0,
            window: Window::default(),
            opened_at: Moment::START,
            by_rate: false,
            random,
        }
    }

    /// What may be asked at `now`. Does not change the state.
    #[must_use]
    pub fn gate(&self, now: Moment) -> Gate {
        match self.state {
            State::Closed { .. } => Gate::Pass,
            State::Open { until, .. } | State::GivenUp { until, .. } if now >= until => Gate::Probe,
            State::Open { until, .. } => Gate::Wait(until.min(self.gives_up_at())),
            State::HalfOpen { .. } => Gate::Wait(Moment::NEVER),
            State::GivenUp { until, .. } => Gate::GivenUp(until),
        }
    }

    fn gives_up_at(&self) -> Moment {
        self.settings.wait.map_or(Moment::NEVER, |wait| self.opened_at.plus(wait))
    }

    /// Gives the host up when its URLs have waited for as long as they should: to be called before [`Breaker::gate`]. A
    /// probe that is due goes first.
    pub fn expire(&mut self, now: Moment) -> Option<Change> {
        let State::Open { until, failed_probes } = self.state else { return None };
        if now >= until || now < self.gives_up_at() {
            return None;
        }
        self.state = State::GivenUp { until, failed_probes };
        Some(Change::GaveUp)
    }

    /// The probe that [`Gate::Probe`] allowed is on its way. Only to be called after [`Gate::Probe`].
    pub fn start_probe(&mut self) -> Change {
        match self.state {
            State::Open { failed_probes, .. } => self.state = State::HalfOpen { failed_probes, given_up: false },
            State::GivenUp { failed_probes, .. } => self.state = State::HalfOpen { failed_probes, given_up: true },
            State::Closed { .. } | State::HalfOpen { .. } => {
                debug_assert!(false, "a probe goes only when the gate says Probe");
            }
        }
        Change::HalfOpen
    }

    /// A request of this host has ended; `probe` if it was the probe. An answer to a request that was sent before the
    /// breaker opened for failures in a row closes it too. A neutral probe frees the place for another probe at once.
    ///
    /// Failures of requests that were under way when it opened neither lengthen the cooldown nor count as probes.
    pub fn report(&mut self, now: Moment, signal: Signal, probe: bool) -> Option<Change> {
        let overtaken = probe && self.overtaken_probes > 0;
        if overtaken {
            self.overtaken_probes -= 1;
        }
        let probe = probe && !overtaken;
        match (self.state, signal) {
            (State::Closed { .. }, Signal::Answer) => {
                self.window.push(false, self.window_size());
                self.state = State::Closed { failures_in_a_row: 0 };
                None
            }
            (State::Closed { failures_in_a_row }, Signal::Failure) => self.fail(now, failures_in_a_row),
            (_, Signal::Answer) if self.by_rate && !probe => None,
            (state, Signal::Answer) => {
                self.window = Window::default();
                if !probe && matches!(state, State::HalfOpen { .. }) {
                    self.overtaken_probes += 1;
                }
                self.state = State::Closed { failures_in_a_row: 0 };
                Some(Change::Closed)
            }
            (State::HalfOpen { failed_probes, given_up }, Signal::Failure) if probe => {
                Some(self.fail_probe(now, failed_probes, given_up))
            }
            (State::HalfOpen { failed_probes, given_up }, Signal::Neutral) if probe => {
                self.state = if given_up {
                    State::GivenUp { until: now, failed_probes }
                } else {
                    State::Open { until: now, failed_probes }
                };
                None
            }
            (_, Signal::Failure | Signal::Neutral) => None,
        }
    }

    fn fail(&mut self, now: Moment, failures_before: u32) -> Option<Change> {
        let failures_in_a_row = failures_before.saturating_add(1);
        let size = self.window_size();
        self.window.push(true, size);
        let failures = self.settings.failures;
        let half = self.window.length == size && self.window.bits.count_ones() * 2 >= size && failures <= size / 2;
        let in_a_row = failures_in_a_row >= failures;
        if failures == 0 || !(in_a_row || half) {
            self.state = State::Closed { failures_in_a_row };
            return None;
        }
        self.opened = self.opened.saturating_add(1);
        self.opened_at = now;
        self.by_rate = !in_a_row;
        self.state = State::Open { until: now.plus(self.cooldown(0)), failed_probes: 0 };
        Some(Change::Opened)
    }

    fn window_size(&self) -> u32 {
        self.settings.failures.saturating_mul(4).clamp(LEAST_WINDOW, MOST_WINDOW)
    }

    /// The time to the next probe after so many that failed.
    fn cooldown(&self, failed_probes: u32) -> Duration {
        let failed = i32::try_from(failed_probes).unwrap_or(i32::MAX);
        let factor = GROWTH.powi(failed).min(MOST_GROWTH) * (1.0 + JITTER * self.random);
        Duration::try_from_secs_f64(self.settings.cooldown.as_secs_f64() * factor).unwrap_or(Duration::MAX)
    }

    fn fail_probe(&mut self, now: Moment, failed_before: u32, given_up: bool) -> Change {
        let failed_probes = failed_before.saturating_add(1);
        let until = now.plus(self.cooldown(failed_probes));
        if given_up || failed_probes >= self.settings.probes || now >= self.gives_up_at() {
            self.state = State::GivenUp { until, failed_probes };
            Change::GaveUp
        } else {
            self.state = State::Open { until, failed_probes };
            Change::Opened
        }
    }

    /// Whether it last opened for the rate of failures, and not for failures in a row.
    #[must_use]
    pub fn by_rate(&self) -> bool {
        self.by_rate
    }

    #[must_use]
    pub fn is_closed(&self) -> bool {
        matches!(self.state, State::Closed { .. })
    }

    /// How often it went from closed to open; probes that failed are not counted.
    #[must_use]
    pub fn opened_count(&self) -> u32 {
        self.opened
    }

    /// `closed`, `open`, `half-open` or `given-up`.
    #[must_use]
    pub fn state_name(&self) -> &'static str {
        match self.state {
            State::Closed { .. } => "closed",
            State::Open { .. } => "open",
            State::HalfOpen { .. } => "half-open",
            State::GivenUp { .. } => "given-up",
        }
    }
}

#[cfg(test)]
mod tests;
