//! What one host has said it will still take ([`super::rate_fields`]), and how its requests are spread over that.
//!
//! It decides how much a host is slowed before it refuses: nothing left is a hold until there is more, little left is
//! spread evenly over the time until then, and never is more in flight than is left. It only ever slows, and every wait
//! has a cap: a field that makes no sense may cost time, and not the run.

use std::time::Duration;

use super::rate_fields::Quota;
use crate::model::units::Moment;

/// No hold and no window is kept to for longer: then the host is asked, and its answer says how things stand.
const LONGEST: Duration = Duration::from_mins(5);

/// No gap between two requests is longer.
const LONGEST_GAP: Duration = Duration::from_mins(1);

/// What is left is little from this share of the limit on, or this number if there is no limit.
const LITTLE_SHARE: u64 = 5;
const LITTLE: u64 = 10;

/// Two answers tell of the same window if its end differs by no more: servers count in whole seconds.
const SAME_WINDOW: Duration = Duration::from_millis(1500);

/// See the module.
#[derive(Debug, Clone, Copy, Default)]
pub struct Allowance {
    /// Nothing may be asked before.
    held_until: Moment,
    window: Option<Window>,
    /// The window as it was when a moment began, and that moment: what is learnt at one moment has no order.
    before: (Moment, Option<Window>),
    /// Holds, and windows over which requests were spread.
    limits: u64,
}

#[derive(Debug, Clone, Copy)]
struct Window {
    ends: Moment,
    remaining: u64,
    /// From start to start; zero while there is plenty.
    gap: Duration,
}

impl Window {
    /// What keeps to both.
    fn and(self, other: Self) -> Self {
        Self {
            ends: self.ends.max(other.ends),
            remaining: self.remaining.min(other.remaining),
            gap: self.gap.max(other.gap),
        }
    }
}

impl Allowance {
    /// An answer has stated a quota. `wait` is its reset, as [`super::hold::stagger`] spreads it over hosts.
    /// True if the host is held by it that was not.
    pub fn learn(&mut self, now: Moment, quota: Quota, wait: Duration) -> bool {
        let ends = now.plus(quota.reset.min(LONGEST));
        if ends <= now {
            return false;
        }
        let learnt = if self.before.0 == now { self.window } else { None };
        if self.before.0 != now {
            self.before = (now, self.window);
        }
        let known = self.before.1.filter(|window| now < window.ends);
        let same = known.is_some_and(|window| window.ends.since(ends).max(ends.since(window.ends)) <= SAME_WINDOW);
        // Answers may come in another order than the server counted them.
        let remaining = known.filter(|_| same).map_or(quota.remaining, |window| window.remaining.min(quota.remaining));
        if remaining == 0 {
            let was_held = self.held_until > now;
            self.held_until = self.held_until.max(now.plus(wait.min(LONGEST)));
            let window = Window { ends, remaining, gap: Duration::ZERO };
            self.window = Some(learnt.map_or(window, |learnt| learnt.and(window)));
            let is_held = !was_held && self.held_until > now;
            self.limits += u64::from(is_held);
            return is_held;
        }
        let little = match quota.limit {
            Some(limit) => remaining.saturating_mul(LITTLE_SHARE) <= limit,
            None => remaining <= LITTLE,
        };
        let share = u32::try_from(remaining).unwrap_or(u32::MAX);
        let gap = if little { (ends.since(now) / share).min(LONGEST_GAP) } else { Duration::ZERO };
        let window = Window { ends, remaining, gap };
        let was_spread = self.window.is_some_and(|window| now < window.ends && !window.gap.is_zero());
        self.limits += u64::from(!was_spread && !gap.is_zero() && self.held_until <= now);
        self.window = Some(learnt.map_or(window, |learnt| learnt.and(window)));
        false
    }

    /// How often a hold or a spreading has begun.
    #[must_use]
    pub fn limits(&self) -> u64 {
        self.limits
    }

    /// The earliest start of the next request, if the last one started at `last_start`.
    #[must_use]
    pub fn next_allowed(&self, last_start: Moment) -> Moment {
        let spread = self.window.filter(|window| !window.gap.is_zero());
        let spread = spread.map_or(Moment::START, |window| last_start.plus(window.gap).min(window.ends));
        self.held_until.max(spread)
    }

    /// Nothing is left before then.
    #[must_use]
    pub fn held_until(&self) -> Moment {
        self.held_until
    }

    /// The most that may be in flight: what is left, since the server may have counted none of it yet.
    #[must_use]
    pub fn places(&self) -> u32 {
        self.window.map_or(u32::MAX, |window| u32::try_from(window.remaining).unwrap_or(u32::MAX).max(1))
    }

    /// Forgets a window that has ended.
    pub fn pass(&mut self, now: Moment) {
        if self.window.is_some_and(|window| window.ends <= now) {
            self.window = None;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: u64) -> Moment {
        Moment::START.plus(Duration::from_secs(seconds))
    }

    fn learn(allowance: &mut Allowance, now: u64, limit: Option<u64>, remaining: u64, reset: u64) -> bool {
        let reset = Duration::from_secs(reset);
        allowance.learn(at(now), Quota { limit, remaining, reset }, reset)
    }

    #[test]
    fn nothing_left_holds_until_there_is_more() {
        let mut allowance = Allowance::default();
        assert!(learn(&mut allowance, 10, Some(100), 0, 20));
        assert_eq!(allowance.next_allowed(at(10)), at(30));
        assert!(!learn(&mut allowance, 11, Some(100), 0, 19), "the same hold");
        // Absurd: asked again after five minutes.
        assert!(learn(&mut allowance, 100, Some(100), 0, 86_400));
        assert_eq!(allowance.next_allowed(at(100)), at(400));
        assert!(!learn(&mut Allowance::default(), 0, None, 0, 0));
    }

    #[test]
    fn little_is_spread_over_the_window() {
        for (limit, remaining, gap) in [
            (Some(100), 50, 0),
            (Some(100), 21, 0),
            (Some(100), 20, 1),
            (Some(100), 4, 5),
            (None, 11, 0),
            (None, 10, 2),
        ] {
            let mut allowance = Allowance::default();
            learn(&mut allowance, 0, limit, remaining, 20);
            assert_eq!(allowance.next_allowed(at(5)), if gap == 0 { at(0) } else { at(5 + gap) }, "{remaining}");
            assert_eq!(allowance.next_allowed(at(19)), if gap == 0 { at(0) } else { at(20.min(19 + gap)) });
            assert_eq!(u64::from(allowance.places()), remaining);
        }
        let mut allowance = Allowance::default();
        learn(&mut allowance, 0, Some(100), 1, 290);
        assert_eq!(allowance.next_allowed(at(0)), at(60));
    }

    #[test]
    fn within_a_window_less_is_never_taken_back() {
        let mut allowance = Allowance::default();
        learn(&mut allowance, 0, Some(100), 5, 20);
        learn(&mut allowance, 1, Some(100), 7, 19);
        assert_eq!(allowance.places(), 5);
        learn(&mut allowance, 2, Some(100), 99, 60);
        assert_eq!((allowance.places(), allowance.next_allowed(at(2))), (99, at(0)));
        learn(&mut allowance, 3, Some(100), 0, 59);
        learn(&mut allowance, 4, Some(100), 1, 58);
        assert_eq!(allowance.next_allowed(at(4)), at(62));
        allowance.pass(at(61));
        assert_eq!(allowance.places(), 1);
        allowance.pass(at(62));
        assert_eq!(allowance.places(), u32::MAX);
    }
}
