//! One rate limit: governor's direct limiter on the run's clock, asked only by the dispatcher.
//!
//! `check` is called once for each grant and once more to learn the next one: nobody ever waits inside governor, whose
//! own waiting ignores the run's clock and wakes all who wait at once.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use governor::clock::{Clock, Reference as _};
use governor::middleware::NoOpMiddleware;
use governor::nanos::Nanos;
use governor::state::{InMemoryState, NotKeyed};
use governor::{Quota, RateLimiter};

use crate::model::units::{Moment, Rate};

/// A grant that comes at most this late is booked at its due time: a burst of 1 forgets lateness, and tokio's timer
/// rounds up to 1 ms, so that without it 1,700 grants a second come out as 1,000.
const BOOKED_LATE: Duration = Duration::from_millis(5);

/// The time governor is told: the moment at which a grant is booked.
#[derive(Debug, Clone, Default)]
struct BookingClock(Arc<AtomicU64>);

impl Clock for BookingClock {
    type Instant = Nanos;

    fn now(&self) -> Nanos {
        Nanos::from(self.0.load(Ordering::Relaxed))
    }
}

/// Evenly spaced grants, no burst.
#[derive(Debug)]
pub struct Limiter {
    governor: RateLimiter<NotKeyed, InMemoryState, BookingClock, NoOpMiddleware<Nanos>>,
    clock: BookingClock,
    next: Moment,
}

impl Limiter {
    #[must_use]
    pub fn new(rate: Rate) -> Self {
        let clock = BookingClock::default();
        // `parse_rate` refuses a period of zero; a burst of 1 is what `with_period` gives.
        let quota = Quota::with_period(rate.period).expect("the period of a rate is above zero");
        Self { governor: RateLimiter::direct_with_clock(quota, clock.clone()), clock, next: Moment::START }
    }

    /// The moment of the next grant.
    #[must_use]
    pub fn next(&self) -> Moment {
        self.next
    }

    /// Takes the grant that is due: call it only when `now` is not before [`Limiter::next`].
    pub fn take(&mut self, now: Moment) {
        let booked = if now.since(self.next) <= BOOKED_LATE { self.next } else { now };
        self.clock.0.store(booked.as_nanos(), Ordering::Relaxed);
        if self.governor.check().is_err() {
            debug_assert!(false, "a grant was taken before it was due");
        }
        // A denial takes nothing, and tells when the next grant is due.
        if let Err(not_until) = self.governor.check() {
            let wait = not_until.earliest_possible().duration_since(Nanos::from(0));
            self.next = Moment::from_nanos(wait.as_u64());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::units::parse_rate;

    fn millis(ms: u64) -> Moment {
        Moment::START.plus(Duration::from_millis(ms))
    }

    #[test]
    fn grants_are_evenly_spaced() {
        let mut limiter = Limiter::new(parse_rate("20/s").unwrap());
        assert_eq!(limiter.next(), Moment::START);
        for grant in 0..100 {
            assert_eq!(limiter.next(), millis(grant * 50));
            limiter.take(millis(grant * 50));
        }
    }

    #[test]
    fn a_little_lateness_is_made_up_and_a_long_pause_is_not() {
        let mut limiter = Limiter::new(parse_rate("1000/s").unwrap());
        limiter.take(millis(0));
        limiter.take(millis(4));
        assert_eq!(limiter.next(), millis(2), "booked at its due time");
        limiter.take(millis(500));
        assert_eq!(limiter.next(), millis(501), "an idle host earns no burst");
    }
}
