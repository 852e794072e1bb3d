//! One host's clocks and places.

use proptest::prelude::*;

use super::*;

fn at(millis: u64) -> Moment {
    Moment::START.plus(Duration::from_millis(millis))
}

fn millis(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

fn pace(delay: u64, places: u32) -> Pace {
    Pace::new(PaceSettings { delay: millis(delay), places, adaptive: true }, 0.5)
}

/// One request, from a start at `from` to its end.
fn ask(pace: &mut Pace, from: u64, to: u64, ending: Ending) {
    pace.start(at(from));
    pace.end(at(to), &Ending { started: at(from), ..ending });
}

fn answered() -> Ending {
    Ending::answered(Moment::START, millis(1))
}

fn refused(seconds: Option<u64>) -> Ending {
    Ending { refusal: Some(seconds.map(Duration::from_secs)), ..answered() }
}

#[test]
fn places_double_with_each_answer_up_to_the_maximum() {
    let mut pace = pace(0, 6);
    let mut seen = vec![pace.slots()];
    for n in 0..4 {
        ask(&mut pace, n, n, answered());
        seen.push(pace.slots());
    }
    assert_eq!(seen, [1, 2, 4, 6, 6]);
    pace.restart_slowly(at(10));
    assert_eq!(pace.slots(), 1);
    ask(&mut pace, 11, 12, Ending::silent(Moment::START));
    assert_eq!(pace.slots(), 1);
    ask(&mut pace, 13, 14, answered());
    assert_eq!(pace.slots(), 2);
}

#[test]
fn a_hold_starts_the_host_anew_whatever_was_under_way() {
    let mut pace = pace(0, 200);
    for n in 0..8 {
        ask(&mut pace, n, n, answered());
    }
    assert_eq!(pace.slots(), 200);
    for _ in 0..200 {
        pace.start(at(10));
    }
    let held: Vec<_> = (0..200)
        .filter_map(|n| {
            let ending = if n % 10 == 9 { answered() } else { refused(None) };
            pace.end(at(100 + n), &Ending { started: at(10), ..ending })
        })
        .collect();
    assert_eq!((held.len(), pace.backoffs()), (1, 1), "one event, not 180");
    assert!((millis(1000)..=millis(1250)).contains(&held[0]), "{held:?}");
    assert_eq!((pace.slots(), pace.in_flight()), (1, 0), "and answers from before earn nothing");
    assert!(pace.next_allowed() >= at(1100));
}

#[test]
fn what_little_is_left_is_spread_and_the_throttle_may_be_off() {
    let quota = |remaining| Quota { limit: Some(100), remaining, reset: millis(10_000) };
    for adaptive in [true, false] {
        let mut pace = Pace::new(PaceSettings { delay: millis(0), places: 8, adaptive }, 0.5);
        for n in 0..3 {
            ask(&mut pace, n, n, answered());
        }
        ask(&mut pace, 10, 20, Ending { quota: Some(quota(4)), ..answered() });
        assert_eq!(pace.slots(), if adaptive { 4 } else { 8 });
        assert_eq!(pace.next_allowed(), at(if adaptive { 2510 } else { 20 }));
        pace.start(at(2510));
        let held = pace.end(at(2600), &Ending { started: at(2510), quota: Some(quota(0)), ..answered() });
        assert_eq!(held.is_some(), adaptive);
        assert_eq!(pace.next_allowed() >= at(12_600), adaptive);
        assert_eq!(pace.slots(), if adaptive { 1 } else { 8 });
    }
}

#[test]
fn a_delay_allows_one_at_a_time() {
    let mut pace = pace(1, 8);
    for _ in 0..5 {
        assert!(pace.has_slot());
        pace.start(at(0));
        assert!(!pace.has_slot());
        pace.end(at(0), &answered());
    }
}

#[test]
fn the_gap_is_from_the_end_to_the_next_start() {
    let mut pace = pace(500, 1);
    assert_eq!(pace.next_allowed(), Moment::START);
    ask(&mut pace, 0, 2000, Ending::silent(Moment::START));
    assert_eq!(pace.next_allowed(), at(2500));
}

#[test]
fn a_crawl_delay_holds_from_the_end_of_the_robots_request() {
    let mut pace = pace(0, 4);
    ask(&mut pace, 0, 100, answered());
    pace.raise_delay(millis(1000));
    assert_eq!(pace.next_allowed(), at(1100));
    pace.raise_delay(millis(10));
    assert_eq!(pace.delay(), millis(1000));
}

#[test]
fn a_delay_that_comes_late_lets_those_in_flight_end_first() {
    let mut pace = pace(0, 4);
    for _ in 0..2 {
        ask(&mut pace, 0, 0, answered());
    }
    for _ in 0..3 {
        assert!(pace.has_slot());
        pace.start(at(0));
    }
    pace.raise_delay(millis(100));
    for end in [10, 30, 20] {
        assert!(!pace.has_slot());
        pace.end(at(end), &answered());
    }
    assert!(pace.has_slot());
    assert_eq!(pace.next_allowed(), at(130));
}

#[test]
fn a_hold_is_only_ever_extended() {
    let mut pace = pace(0, 4);
    ask(&mut pace, 0, 0, refused(Some(5)));
    let until = pace.next_allowed();
    assert!((at(5000)..=at(5500)).contains(&until));
    ask(&mut pace, 0, 0, refused(Some(3)));
    assert_eq!(pace.next_allowed(), until);
    ask(&mut pace, 0, 0, refused(Some(6)));
    assert!(pace.next_allowed() >= at(6000));
}

#[derive(Debug, Clone)]
enum Step {
    Start,
    End(Ending),
    CrawlDelay(u64),
    RestartSlowly,
}

fn ending() -> impl Strategy<Value = Ending> {
    let quota = (0_u64..20, 0_u64..3000).prop_map(|(remaining, reset)| Quota {
        limit: Some(100),
        remaining,
        reset: millis(reset),
    });
    let refusal = proptest::option::of((0_u64..500).prop_map(millis));
    prop_oneof![
        6 => (0_u64..400).prop_map(|latency| Ending::answered(Moment::START, millis(latency))),
        1 => (0_u64..400).prop_map(|latency| Ending { server_error: true, ..Ending::answered(Moment::START, millis(latency)) }),
        1 => Just(Ending { failed: true, ..Ending::silent(Moment::START) }),
        1 => Just(Ending::silent(Moment::START)),
        1 => refusal.prop_map(|refusal| Ending { refusal: Some(refusal), ..answered() }),
        1 => quota.prop_map(|quota| Ending { quota: Some(quota), ..answered() }),
    ]
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        8 => Just(Step::Start),
        8 => ending().prop_map(Step::End),
        1 => (0_u64..300).prop_map(Step::CrawlDelay),
        1 => Just(Step::RestartSlowly),
    ]
}

proptest! {
    /// An engine that starts only where it is allowed: no start is closer to the last end than the delay in force,
    /// none is within a hold that was stated, and never are more in flight than there are places.
    #[test]
    fn no_start_comes_too_early(
        delay in prop_oneof![Just(0_u64), 1_u64..200],
        places in 1_u32..9,
        adaptive in any::<bool>(),
        steps in proptest::collection::vec((0_u64..150, step()), 1..150),
    ) {
        let mut pace = Pace::new(PaceSettings { delay: millis(delay), places, adaptive }, 0.3);
        let (mut now, mut last_end, mut held, mut in_force) = (0_u64, None::<u64>, at(0), delay);
        let mut flights: Vec<u64> = Vec::new();
        for (passed, step) in steps {
            now += passed;
            match step {
                Step::Start if pace.has_slot() && pace.next_allowed() <= at(now) => {
                    prop_assert!(last_end.is_none_or(|end| now >= end + in_force));
                    prop_assert!(at(now) >= held);
                    prop_assert!(flights.len() < places as usize);
                    prop_assert!(in_force == 0 || flights.is_empty());
                    pace.start(at(now));
                    flights.push(now);
                }
                // It is never refused for ever: with nothing in flight there is a place, and a time.
                Step::Start => prop_assert!(
                    !flights.is_empty() || pace.has_slot() && pace.next_allowed() <= at(now).plus(Duration::from_mins(6))
                ),
                Step::End(ending) if !flights.is_empty() => {
                    let started = at(flights.remove(0));
                    pace.end(at(now), &Ending { started, ..ending });
                    last_end = Some(now);
                    if let Some(stated) = ending.refusal {
                        held = held.max(at(now).plus(stated.unwrap_or_default()));
                        prop_assert_eq!(pace.slots(), 1);
                    }
                    if let Some(quota) = ending.quota.filter(|quota| adaptive && quota.remaining == 0) {
                        held = held.max(at(now).plus(quota.reset));
                    }
                }
                Step::End(_) => {}
                Step::CrawlDelay(delay) => {
                    pace.raise_delay(millis(delay));
                    in_force = in_force.max(delay);
                }
                Step::RestartSlowly => pace.restart_slowly(at(now)),
            }
            prop_assert_eq!(pace.in_flight() as usize, flights.len());
        }
    }

    /// What ends at one moment may be told in any order: the next start and the places are the same.
    #[test]
    fn the_order_of_a_moment_does_not_matter(
        before in proptest::collection::vec((1_u64..100, ending()), 0..60),
        moment in proptest::collection::vec((0_u64..50, ending()), 1..8)
            .prop_flat_map(|moment| (Just(moment.clone()), Just(moment).prop_shuffle())),
        adaptive in any::<bool>(),
    ) {
        let mut first = Pace::new(PaceSettings { delay: millis(0), places: 8, adaptive }, 0.7);
        let mut now = 0;
        for (passed, ending) in before {
            now += passed;
            ask(&mut first, now, now + passed, ending);
            now += passed;
        }
        for _ in &moment.0 {
            first.start(at(now));
        }
        let mut second = first.clone();
        for (pace, moment) in [(&mut first, &moment.0), (&mut second, &moment.1)] {
            for (ago, ending) in moment {
                // Answers of a moment are alike here: a round of the throttle ends after one or another of them.
                let latency = ending.latency.map(|_| millis(30));
                let alike = Ending { started: at(now + ago), latency, server_error: false, ..*ending };
                pace.end(at(now + 50), &alike);
            }
        }
        prop_assert_eq!(first.next_allowed(), second.next_allowed());
        prop_assert_eq!(first.slots(), second.slots());
        prop_assert_eq!(first.backoffs(), second.backoffs());
    }
}
