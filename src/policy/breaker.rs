//! The circuit breaker of one host. Closed lets requests pass, open lets none, half-open lets one probe.
//!
//! It decides whether a host may be asked, from what its requests came to. It never waits, never counts slots, and never
//! ends a job: the engine asks [`Breaker::gate`] and acts on it. Words follow electricity, as in Nygard's "Release It!".

use std::time::Duration;

use crate::model::units::Moment;

/// Resolved settings.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BreakerSettings {
    /// Failures in a row that open it; 0: it never opens.
    pub failures: u32,
    /// Time to the first probe, and from a failed probe to the next.
    pub cooldown: Duration,
    /// Failed probes after which the host is given up.
    pub probes: u32,
}

impl Default for BreakerSettings {
    fn default() -> Self {
        Self { failures: 5, cooldown: Duration::from_secs(30), probes: 3 }
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
    /// The probe is under way. `given_up`: where a neutral report leads back to; its failed probes are at the limit, so
    /// that one more gives up again.
    HalfOpen {
        failed_probes: u32,
        given_up: bool,
    },
    GivenUp {
        until: Moment,
    },
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
}

impl Breaker {
    #[must_use]
    pub fn new(settings: BreakerSettings) -> Self {
        Self { settings, state: State::Closed { failures_in_a_row: 0 }, overtaken_probes: 0, opened: 0 }
    }

    /// What may be asked at `now`. Does not change the state.
    #[must_use]
    pub fn gate(&self, now: Moment) -> Gate {
        match self.state {
            State::Closed { .. } => Gate::Pass,
            State::Open { until, .. } | State::GivenUp { until } if now >= until => Gate::Probe,
            State::Open { until, .. } => Gate::Wait(until),
            State::HalfOpen { .. } => Gate::Wait(Moment::NEVER),
            State::GivenUp { until } => Gate::GivenUp(until),
        }
    }

    /// The probe that [`Gate::Probe`] allowed is on its way. Only to be called after [`Gate::Probe`].
    pub fn start_probe(&mut self) -> Change {
        match self.state {
            State::Open { failed_probes, .. } => self.state = State::HalfOpen { failed_probes, given_up: false },
            State::GivenUp { .. } => {
                self.state = State::HalfOpen { failed_probes: self.settings.probes, given_up: true };
            }
            State::Closed { .. } | State::HalfOpen { .. } => {
                debug_assert!(false, "a probe goes only when the gate says Probe");
            }
        }
        Change::HalfOpen
    }

    /// A request of this host has ended; `probe` if it was the probe. An answer to a request that was sent before the
    /// breaker opened closes it too. A neutral probe frees the place for another probe at once.
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
                self.state = State::Closed { failures_in_a_row: 0 };
                None
            }
            (State::Closed { failures_in_a_row }, Signal::Failure) => self.fail(now, failures_in_a_row),
            (state, Signal::Answer) => {
                if !probe && matches!(state, State::HalfOpen { .. }) {
                    self.overtaken_probes += 1;
                }
                self.state = State::Closed { failures_in_a_row: 0 };
                Some(Change::Closed)
            }
            (State::HalfOpen { failed_probes, .. }, Signal::Failure) if probe => {
                Some(self.fail_probe(now, failed_probes))
            }
            (State::HalfOpen { failed_probes, given_up }, Signal::Neutral) if probe => {
                self.state =
                    if given_up { State::GivenUp { until: now } } else { State::Open { until: now, failed_probes } };
                None
            }
            (_, Signal::Failure | Signal::Neutral) => None,
        }
    }

    fn fail(&mut self, now: Moment, failures_before: u32) -> Option<Change> {
        let failures_in_a_row = failures_before.saturating_add(1);
        if self.settings.failures == 0 || failures_in_a_row < self.settings.failures {
            self.state = State::Closed { failures_in_a_row };
            return None;
        }
        self.opened = self.opened.saturating_add(1);
        self.state = State::Open { until: now.plus(self.settings.cooldown), failed_probes: 0 };
        Some(Change::Opened)
    }

    fn fail_probe(&mut self, now: Moment, failed_before: u32) -> Change {
        let until = now.plus(self.settings.cooldown);
        let failed_probes = failed_before.saturating_add(1);
        if failed_probes >= self.settings.probes {
            self.state = State::GivenUp { until };
            Change::GaveUp
        } else {
            self.state = State::Open { until, failed_probes };
            Change::Opened
        }
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
