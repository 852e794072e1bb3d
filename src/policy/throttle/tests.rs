//! Growth and cuts, against small models of servers.

use super::*;

fn at(millis: u64) -> Moment {
    Moment::START.plus(Duration::from_millis(millis))
}

fn millis(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

/// A host that is always asked as much as the throttle lets, and answers as `latency` says for so many in flight.
/// Returns the places after each answer, and the moment after the last.
fn answers(throttle: &mut Throttle, from: u64, count: usize, latency: impl Fn(u32, usize) -> u64) -> (Vec<u32>, u64) {
    let mut now = from;
    let mut places = Vec::new();
    for n in 0..count {
        let in_flight = throttle.places();
        let took = latency(in_flight, n);
        now += took / u64::from(in_flight) + 1;
        throttle.answer(at(now), at(now.saturating_sub(took)), millis(took), false, at(0));
        places.push(throttle.places());
    }
    (places, now)
}

#[test]
fn a_host_that_is_well_keeps_all_its_places() {
    let noise = |n: usize, width: u64| (n as u64).wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 40 & (width - 1);
    for base in [0, 1, 5, 100, 3000] {
        let mut throttle = Throttle::new(8, true);
        // Noise of up to 15 ms is none on a fast network, and up to two thirds of a slow one's.
        let width = if base < 100 { 16 } else { 64 };
        let (places, _) = answers(&mut throttle, 0, 2000, |_, n| base + noise(n, width));
        assert!(places.iter().all(|places| *places == 8), "{base}");
        assert_eq!(throttle.cuts(), 0, "{base}");
    }
}

#[test]
fn pages_that_differ_are_no_load() {
    // Every second page is quick, one in a hundred takes half a minute; then a part of the site is five times as slow.
    let mixture = |n: usize| {
        if n % 100 == 99 {
            30_000
        } else if n.is_multiple_of(2) {
            4
        } else {
            100
        }
    };
    let mut throttle = Throttle::new(8, true);
    let (places, now) = answers(&mut throttle, 0, 1000, |_, n| mixture(n));
    assert!(places.iter().all(|places| *places == 8));
    let (places, now) = answers(&mut throttle, now, 1000, |_, n| 5 * mixture(n).min(100));
    assert!(places.iter().min().unwrap() < &8, "it is tried out");
    assert!(places.iter().filter(|places| **places < 7).count() < 80, "and was not our load: {places:?}");
    let (places, _) = answers(&mut throttle, now, 300, |_, n| mixture(n).min(100));
    assert!(places[100..].iter().all(|places| *places == 8));
}

#[test]
fn a_queue_at_the_server_takes_places_and_its_end_gives_them_back() {
    // It serves one request at a time: what is in flight waits in line.
    let mut throttle = Throttle::new(8, true);
    let (places, now) = answers(&mut throttle, 0, 100, |_, _| 50);
    assert!(places.iter().all(|places| *places == 8));
    let (places, now) = answers(&mut throttle, now, 400, |in_flight, _| 50 * u64::from(in_flight));
    assert!(places[100..].iter().all(|places| *places <= 3), "{:?}", &places[100..]);
    let (places, _) = answers(&mut throttle, now, 1500, |_, _| 50);
    assert_eq!(places[1499], 8);
}

#[test]
fn server_errors_count_by_their_share() {
    for (every, cut) in [(13, false), (5, false), (3, true), (1, true)] {
        let mut throttle = Throttle::new(8, true);
        for n in 0..200 {
            throttle.answer(at(n * 20), at(n * 20 - n.min(10)), millis(10), n % every == 0, at(0));
        }
        assert_eq!(throttle.cuts() > 0, cut, "one in {every}");
    }
}

#[test]
fn one_cut_for_what_was_under_way_together() {
    for (trouble, places) in [(Trouble::Refusal(None), 4), (Trouble::Failure, 5)] {
        let mut throttle = Throttle::new(8, true);
        for n in 0..8 {
            throttle.trouble(at(100 + n), at(50), trouble, 8);
        }
        assert_eq!((throttle.places(), throttle.cuts()), (places, 1), "{trouble:?}");
        throttle.answer(at(120), at(110), millis(10), false, at(0));
        throttle.trouble(at(130), at(120), trouble, places);
        assert_eq!(throttle.cuts(), 2);
    }
}

#[test]
fn what_was_in_flight_is_halved_and_not_what_might_have_been() {
    let mut throttle = Throttle::new(64, true);
    throttle.trouble(at(100), at(50), Trouble::Refusal(None), 6);
    assert_eq!(throttle.places(), 3);
}

#[test]
fn refusals_go_below_one_and_a_refusal_in_a_row_says_nothing_new() {
    let mut throttle = Throttle::new(4, true);
    for n in 1..=6_u64 {
        throttle.trouble(at(1000 * n), at(1000 * n - 10), Trouble::Refusal(None), 1);
    }
    assert_eq!((throttle.places(), throttle.pause()), (1, LEAST_UNIT), "half a place: as long a pause as a request");
    let mut pauses = Vec::new();
    for n in 10..20_u64 {
        throttle.answer(at(1000 * n), at(1000 * n - 10), millis(10), false, at(1000 * n));
        throttle.trouble(at(1000 * n + 500), at(1000 * n + 400), Trouble::Refusal(None), 1);
        pauses.push(throttle.pause());
    }
    assert!(pauses.is_sorted() && pauses.iter().any(|pause| *pause > LONGEST_PAUSE.mul_f64(0.99)), "{pauses:?}");
    // A host that states how long is not made to wait for longer between its requests.
    for (stated, longest) in [(0, 0), (1, 1000), (60, 2000)] {
        let mut throttle = Throttle::new(4, true);
        for n in 10..30_u64 {
            throttle.answer(at(1000 * n), at(1000 * n - 10), millis(10), false, at(1000 * n));
            let refusal = Trouble::Refusal(Some(Duration::from_secs(stated)));
            throttle.trouble(at(1000 * n + 500), at(1000 * n + 400), refusal, 1);
        }
        let pause = throttle.pause();
        assert!(pause <= millis(longest + 1) && pause >= millis(longest).mul_f64(0.99), "{stated}: {pause:?}");
    }
    // Failures and slowness leave one place.
    let mut throttle = Throttle::new(4, true);
    for n in 1..20_u64 {
        throttle.trouble(at(1000 * n), at(1000 * n - 10), Trouble::Failure, 4);
    }
    assert_eq!((throttle.places(), throttle.pause()), (1, Duration::ZERO));
}

#[test]
fn growth_is_careful_where_it_was_too_much() {
    let mut throttle = Throttle::new(64, true);
    throttle.trouble(at(100), at(50), Trouble::Refusal(None), 16);
    let (places, _) = answers(&mut throttle, 200, 4000, |_, _| 500);
    let until = |wanted: u32| places.iter().position(|places| *places >= wanted).unwrap();
    assert!(until(11) < 30, "half of it is safe: {}", until(11));
    assert!(until(17) - until(12) > 150, "{}", until(17) - until(12));
    assert!(until(64) - until(20) < 150, "beyond it all is new");
}

#[test]
fn off_is_off() {
    let mut throttle = Throttle::new(8, false);
    for n in 1..50_u64 {
        throttle.trouble(at(1000 * n), at(1000 * n - 10), Trouble::Refusal(None), 8);
        throttle.answer(at(1000 * n + 1), at(1000 * n), millis(100 * n), true, at(0));
    }
    assert_eq!((throttle.places(), throttle.pause(), throttle.cuts()), (8, Duration::ZERO, 0));
}
