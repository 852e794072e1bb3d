//! Bursts, doubling, forgiveness, and what a server may write into `Retry-After`.

use proptest::prelude::*;

use super::*;

fn at(millis: u64) -> Moment {
    Moment::START.plus(Duration::from_millis(millis))
}

fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

/// No jitter: the golden ratio is taken back.
fn without_jitter(hold: &Hold) -> Duration {
    hold.event.unwrap().unstated.div_f64(1.0 + hold.jitter() / 4.0)
}

/// Refused again and again, each time as soon as the hold is over.
fn refused(hold: &mut Hold, times: u32) -> Vec<Duration> {
    let mut waits = Vec::new();
    for _ in 0..times {
        let started = hold.until().plus(Duration::from_millis(1));
        let now = started.plus(Duration::from_millis(10));
        assert!(hold.refuse(now, started, None));
        waits.push(hold.until().since(now));
    }
    waits
}

#[test]
fn unstated_holds_double_up_to_five_minutes_with_jitter_that_only_adds() {
    for share in [0.0, 0.3, 0.999] {
        let waits = refused(&mut Hold::new(share), 12);
        for (place, wait) in waits.iter().enumerate() {
            let plain = seconds((1 << place).min(240));
            assert!(*wait >= plain && *wait <= plain + plain / 4, "{place}: {wait:?}");
            assert!(*wait <= seconds(300));
        }
    }
    let waits: Vec<_> = (0..50).map(|host| refused(&mut Hold::new(f64::from(host) / 50.0), 1)[0]).collect();
    let (first, last) = (waits.iter().min().unwrap(), waits.iter().max().unwrap());
    assert!(*last > *first + Duration::from_millis(200), "hosts that were blocked together come back one by one");
}

#[test]
fn a_burst_is_one_event() {
    let mut hold = Hold::new(0.0);
    assert!(hold.refuse(at(100), at(50), None));
    let until = hold.until();
    for (number, started) in (0..=100).enumerate() {
        assert!(!hold.refuse(at(101 + number as u64), at(started), None));
    }
    assert_eq!((hold.until(), hold.events(), hold.depth), (until, 1, 1));
    // What was started later is not of it: the host was asked during its hold, or the hold was 0.
    assert!(hold.refuse(at(300), at(101), None));
    assert_eq!(hold.events(), 2);
}

#[test]
fn a_burst_holds_as_long_as_any_of_it_states() {
    let mut hold = Hold::new(0.0);
    hold.refuse(at(100), at(0), Some(seconds(7)));
    assert!(hold.until() >= at(7100));
    hold.refuse(at(200), at(0), Some(seconds(2)));
    hold.refuse(at(200), at(0), None);
    assert!(hold.until() < at(8000));
    hold.refuse(at(300), at(0), Some(seconds(20)));
    assert!(hold.until() >= at(20_300) && hold.until() <= at(22_300));
}

#[test]
fn stated_holds_are_kept_and_a_little_more() {
    for (stated, most) in [(0, 0), (1, 1100), (100, 105_000), (3600, 3_605_000)] {
        for share in [0.0, 0.5, 0.99] {
            let mut hold = Hold::new(share);
            hold.refuse(at(0), at(0), Some(seconds(stated)));
            assert!(hold.until() >= at(stated * 1000) && hold.until() <= at(most), "{stated}: {:?}", hold.until());
        }
    }
    let mut hold = Hold::new(0.9);
    hold.refuse(at(1), at(0), Some(Duration::MAX));
    assert_eq!(hold.until(), Moment::NEVER);
}

#[test]
fn zero_is_obeyed_once_and_not_for_ever() {
    let mut hold = Hold::new(0.0);
    let (mut now, mut waits) = (at(0), Vec::new());
    for _ in 0..10 {
        let started = hold.until().max(now).plus(Duration::from_nanos(1));
        now = started.plus(Duration::from_millis(1));
        hold.refuse(now, started, Some(Duration::ZERO));
        waits.push(u64::try_from(hold.until().since(now).as_millis()).unwrap());
    }
    assert_eq!(waits, [0, 10, 20, 40, 80, 160, 320, 640, 1000, 1000]);
    // An answer in between, and zero is zero again.
    let started = hold.until().plus(seconds(1));
    hold.answer(started, started);
    let now = started.plus(seconds(1));
    hold.refuse(now, started.plus(Duration::from_millis(1)), Some(Duration::ZERO));
    assert!(hold.until() <= now);
}

#[test]
fn quiet_time_forgives_step_by_step() {
    let depth_after = |quiet: u64| {
        let mut hold = Hold::new(0.0);
        refused(&mut hold, 4);
        let started = hold.until().plus(seconds(quiet));
        hold.refuse(started, started, None);
        without_jitter(&hold).as_millis()
    };
    // The fourth hold was 8 s: four times that takes off a step, then four times 4 s the next.
    assert_eq!(
        [0, 31, 32, 47, 48, 55, 56, 59, 60, 900].map(depth_after),
        [16_000, 16_000, 8_000, 8_000, 4_000, 4_000, 2_000, 2_000, 1_000, 1_000]
    );
    let mut hold = Hold::new(0.0);
    assert!(hold.is_over(at(0)));
    hold.refuse(at(0), at(0), None);
    assert!(!hold.is_over(at(1000)) && !hold.is_over(hold.until()));
    assert!(hold.is_over(hold.until().plus(seconds(4))));
}

#[test]
fn answers_forgive_too() {
    for (answers, wait) in [(0, 16), (31, 16), (32, 8), (64, 4), (1000, 1)] {
        let mut hold = Hold::new(0.0);
        refused(&mut hold, 4);
        let started = hold.until().plus(Duration::from_millis(1));
        for n in 0..answers {
            hold.answer(started.plus(Duration::from_nanos(n)), started);
        }
        hold.refuse(started.plus(seconds(1)), started, None);
        assert_eq!(without_jitter(&hold), seconds(wait), "{answers} answers");
    }
}

proptest! {
    /// Refusals that come at the same moment, in any order.
    #[test]
    fn the_order_of_a_moment_does_not_matter(
        share in 0.0..1.0_f64,
        before in 0_u32..5,
        burst in proptest::collection::vec((0_u64..50, proptest::option::of(0_u64..20)), 1..8)
            .prop_flat_map(|burst| (Just(burst.clone()), Just(burst).prop_shuffle())),
    ) {
        let mut first = Hold::new(share);
        refused(&mut first, before);
        let mut second = first.clone();
        let now = first.until().plus(seconds(1));
        let started = |ago: u64| now.plus(Duration::ZERO).since(Moment::START).saturating_sub(Duration::from_millis(ago));
        for (hold, burst) in [(&mut first, &burst.0), (&mut second, &burst.1)] {
            for (ago, stated) in burst {
                hold.refuse(now, Moment::START.plus(started(*ago)), stated.map(seconds));
            }
        }
        prop_assert_eq!(first.until(), second.until());
        prop_assert_eq!((first.depth, first.events), (second.depth, second.events));
    }

    /// A hold is only ever extended, and never shorter than what was stated.
    #[test]
    fn holds_only_grow(
        steps in proptest::collection::vec((0_u64..5000, 0_u64..5000, proptest::option::of(0_u64..400)), 1..60),
    ) {
        let mut hold = Hold::new(0.4);
        let mut now = 0;
        for (passed, took, stated) in steps {
            now += passed;
            let until = hold.until();
            hold.refuse(at(now), at(now.saturating_sub(took)), stated.map(seconds));
            prop_assert!(hold.until() >= until);
            prop_assert!(stated.is_none_or(|stated| hold.until() >= at(now + stated * 1000)));
        }
    }
}
