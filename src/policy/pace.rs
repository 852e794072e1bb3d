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

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn at(millis: u64) -> Moment {
        Moment::START.plus(Duration::from_millis(millis))
    }

    fn millis(millis: u64) -> Duration {
        Duration::from_millis(millis)
    }

    #[test]
    fn places_double_with_each_answer_up_to_the_maximum() {
        let mut pace = Pace::new(Duration::ZERO, 6);
        let mut seen = vec![pace.slots()];
        for _ in 0..4 {
            pace.start();
            pace.end(at(0), true);
            seen.push(pace.slots());
        }
        assert_eq!(seen, [1, 2, 4, 6, 6]);
        pace.restart_slowly();
        assert_eq!(pace.slots(), 1);
        pace.start();
        pace.end(at(0), false);
        assert_eq!(pace.slots(), 1);
    }

    #[test]
    fn a_delay_allows_one_at_a_time() {
        let mut pace = Pace::new(millis(1), 8);
        for _ in 0..5 {
            assert!(pace.has_slot());
            pace.start();
            assert!(!pace.has_slot());
            pace.end(at(0), true);
        }
    }

    #[test]
    fn the_gap_is_from_the_end_to_the_next_start() {
        let mut pace = Pace::new(millis(500), 1);
        assert_eq!(pace.next_allowed(), Moment::START);
        pace.start();
        pace.end(at(2000), false);
        assert_eq!(pace.next_allowed(), at(2500));
    }

    #[test]
    fn a_crawl_delay_holds_from_the_end_of_the_robots_request() {
        let mut pace = Pace::new(Duration::ZERO, 4);
        pace.start();
        pace.end(at(100), true);
        pace.raise_delay(millis(1000));
        assert_eq!(pace.next_allowed(), at(1100));
        pace.raise_delay(millis(10));
        assert_eq!(pace.delay(), millis(1000));
    }

    #[test]
    fn a_delay_that_comes_late_lets_those_in_flight_end_first() {
        let mut pace = Pace::new(Duration::ZERO, 4);
        for _ in 0..2 {
            pace.start();
            pace.end(at(0), true);
        }
        for _ in 0..3 {
            assert!(pace.has_slot());
            pace.start();
        }
        pace.raise_delay(millis(100));
        for end in [10, 30, 20] {
            assert!(!pace.has_slot());
            pace.end(at(end), true);
        }
        assert!(pace.has_slot());
        assert_eq!(pace.next_allowed(), at(130));
    }

    #[test]
    fn a_hold_is_only_ever_extended() {
        let mut pace = Pace::new(Duration::ZERO, 4);
        pace.hold(at(5000));
        pace.hold(at(3000));
        assert_eq!(pace.next_allowed(), at(5000));
        pace.hold(at(6000));
        assert_eq!(pace.next_allowed(), at(6000));
    }

    #[derive(Debug, Clone)]
    enum Step {
        Start,
        End(bool),
        Hold(u64),
        CrawlDelay(u64),
        RestartSlowly,
    }

    fn step() -> impl Strategy<Value = Step> {
        prop_oneof![
            8 => Just(Step::Start),
            8 => any::<bool>().prop_map(Step::End),
            1 => (0_u64..500).prop_map(Step::Hold),
            1 => (0_u64..300).prop_map(Step::CrawlDelay),
            1 => Just(Step::RestartSlowly),
        ]
    }

    proptest! {
        /// An engine that starts only where it is allowed: no start is closer to the last end than the delay in force,
        /// none is within a hold, and never are more in flight than there are places.
        #[test]
        fn no_start_comes_too_early(
            delay in prop_oneof![Just(0_u64), 1_u64..200],
            max_slots in 1_u32..9,
            steps in proptest::collection::vec((0_u64..150, step()), 1..150),
        ) {
            let mut pace = Pace::new(millis(delay), max_slots);
            let (mut now, mut last_end, mut held, mut in_force, mut in_flight) = (0_u64, None::<u64>, 0, delay, 0_u32);
            for (passed, step) in steps {
                now += passed;
                match step {
                    Step::Start if pace.has_slot() && pace.next_allowed() <= at(now) => {
                        prop_assert!(last_end.is_none_or(|end| now >= end + in_force));
                        prop_assert!(now >= held);
                        prop_assert!(in_flight < max_slots);
                        prop_assert!(in_force == 0 || in_flight == 0);
                        pace.start();
                        in_flight += 1;
                    }
                    Step::Start => {
                        // It is refused only for one of the reasons there are.
                        let early = last_end.is_some_and(|end| now < end + in_force) || now < held;
                        prop_assert!(early || in_flight > 0);
                    }
                    Step::End(answered) if in_flight > 0 => {
                        pace.end(at(now), answered);
                        in_flight -= 1;
                        last_end = Some(now);
                    }
                    Step::End(_) => {}
                    Step::Hold(time) => {
                        pace.hold(at(now + time));
                        held = held.max(now + time);
                    }
                    Step::CrawlDelay(delay) => {
                        pace.raise_delay(millis(delay));
                        in_force = in_force.max(delay);
                    }
                    Step::RestartSlowly => pace.restart_slowly(),
                }
                prop_assert_eq!(pace.in_flight(), in_flight);
            }
        }
    }
}
