//! The circuit breaker of one host. Closed lets requests pass, open lets none, half-open lets one probe.

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
    Opened,
    HalfOpen,
    Closed,
    GaveUp,
}

/// The breaker of one host.
#[derive(Debug, Clone)]
pub struct Breaker {
    _settings: BreakerSettings,
}

impl Breaker {
    #[must_use]
    pub fn new(settings: BreakerSettings) -> Self {
        Self { _settings: settings }
    }

    /// What may be asked at `now`. Does not change the state.
    #[must_use]
    pub fn gate(&self, _now: Moment) -> Gate {
        todo!()
    }

    /// The probe that [`Gate::Probe`] allowed is on its way.
    pub fn start_probe(&mut self) -> Change {
        todo!()
    }

    /// A request of this host has ended; `probe` if it was the probe. An answer to a request that was sent before the
    /// breaker opened closes it too. A neutral probe frees the place for another probe at once.
    pub fn report(&mut self, _now: Moment, _signal: Signal, _probe: bool) -> Option<Change> {
        todo!()
    }

    #[must_use]
    pub fn is_closed(&self) -> bool {
        todo!()
    }
}
