//! The breaker's states, one story a test, and that it never has two probes out.

use proptest::prelude::*;

use super::*;

/// Grows to 60, 90 and 135.
const COOLDOWN: u64 = 40;

fn at(seconds: u64) -> Moment {
    Moment::START.plus(Duration::from_secs(seconds))
}

fn breaker(failures: u32, probes: u32) -> Breaker {
    let cooldown = Duration::from_secs(COOLDOWN);
    Breaker::new(BreakerSettings { failures, cooldown, probes, wait: None }, 0.0)
}

/// Opened at second 0 by three failures.
fn opened() -> Breaker {
    let mut breaker = breaker(3, 3);
    assert_eq!(breaker.report(at(0), Signal::Failure, false), None);
    assert_eq!(breaker.report(at(0), Signal::Failure, false), None);
    assert_eq!(breaker.report(at(0), Signal::Failure, false), Some(Change::Opened));
    breaker
}

/// Opened at 0, probes failed at 40, 100 and 190: given up until 325.
fn given_up() -> Breaker {
    let mut breaker = opened();
    for (second, change) in [(40, Change::Opened), (100, Change::Opened), (190, Change::GaveUp)] {
        assert_eq!(breaker.gate(at(second)), Gate::Probe);
        assert_eq!(breaker.start_probe(), Change::HalfOpen);
        assert_eq!(breaker.report(at(second), Signal::Failure, true), Some(change), "{second}");
    }
    breaker
}

#[test]
fn failures_in_a_row_open_it() {
    let mut breaker = breaker(3, 3);
    for signal in [Signal::Failure, Signal::Failure, Signal::Answer, Signal::Failure, Signal::Failure] {
        assert_eq!(breaker.report(at(1), signal, false), None);
        assert_eq!(breaker.gate(at(1)), Gate::Pass);
    }
    // A neutral report neither counts nor resets.
    assert_eq!(breaker.report(at(1), Signal::Neutral, false), None);
    assert!(breaker.is_closed());
    assert_eq!(breaker.report(at(2), Signal::Failure, false), Some(Change::Opened));
    assert!(!breaker.is_closed());
    assert_eq!(breaker.gate(at(2)), Gate::Wait(at(42)));
    assert_eq!(breaker.gate(at(41)), Gate::Wait(at(42)));
    assert_eq!(breaker.gate(at(42)), Gate::Probe);
}

#[test]
fn zero_failures_never_open_it() {
    let mut breaker = breaker(0, 3);
    for _ in 0..1000 {
        assert_eq!(breaker.report(at(0), Signal::Failure, false), None);
    }
    assert_eq!(breaker.gate(at(0)), Gate::Pass);
    assert_eq!(breaker.opened_count(), 0);
}

#[test]
fn one_probe_goes_and_its_answer_closes() {
    let mut breaker = opened();
    assert_eq!(breaker.start_probe(), Change::HalfOpen);
    assert_eq!(breaker.gate(at(40)), Gate::Wait(Moment::NEVER));
    assert_eq!(breaker.report(at(41), Signal::Answer, true), Some(Change::Closed));
    assert_eq!(breaker.gate(at(41)), Gate::Pass);
    // It counts from zero again.
    assert_eq!(breaker.report(at(42), Signal::Failure, false), None);
    assert_eq!(breaker.report(at(42), Signal::Failure, false), None);
    assert_eq!(breaker.report(at(42), Signal::Failure, false), Some(Change::Opened));
    assert_eq!(breaker.opened_count(), 2);
}

#[test]
fn a_failed_probe_waits_for_a_longer_cooldown() {
    let mut breaker = opened();
    breaker.start_probe();
    assert_eq!(breaker.report(at(45), Signal::Failure, true), Some(Change::Opened));
    assert_eq!(breaker.gate(at(45)), Gate::Wait(at(105)));
    assert_eq!(breaker.gate(at(105)), Gate::Probe);
    assert_eq!(breaker.opened_count(), 1);
}

#[test]
fn the_last_failed_probe_gives_up_and_one_goes_after_each_cooldown() {
    let mut breaker = given_up();
    assert_eq!(breaker.gate(at(190)), Gate::GivenUp(at(325)));
    assert_eq!(breaker.gate(at(324)), Gate::GivenUp(at(325)));
    assert_eq!(breaker.gate(at(325)), Gate::Probe);
    // Nobody may come for long: the next who does is the probe.
    assert_eq!(breaker.gate(at(500)), Gate::Probe);
    breaker.start_probe();
    assert_eq!(breaker.gate(at(501)), Gate::Wait(Moment::NEVER));
    assert_eq!(breaker.report(at(502), Signal::Failure, true), Some(Change::GaveUp));
    assert_eq!(breaker.gate(at(703)), Gate::GivenUp(at(502).plus(Duration::from_millis(202_500))));
    assert_eq!(breaker.gate(at(705)), Gate::Probe);
    breaker.start_probe();
    assert_eq!(breaker.report(at(740), Signal::Answer, true), Some(Change::Closed));
    assert_eq!(breaker.gate(at(740)), Gate::Pass);
}

#[test]
fn after_closing_all_probes_are_there_again() {
    let mut breaker = given_up();
    breaker.start_probe();
    breaker.report(at(120), Signal::Answer, true);
    for _ in 0..3 {
        breaker.report(at(130), Signal::Failure, false);
    }
    breaker.start_probe();
    assert_eq!(breaker.report(at(160), Signal::Failure, true), Some(Change::Opened));
}

#[test]
fn a_neutral_probe_frees_its_place_and_does_not_count() {
    let mut breaker = opened();
    for _ in 0..10 {
        assert_eq!(breaker.gate(at(40)), Gate::Probe);
        breaker.start_probe();
        assert_eq!(breaker.report(at(40), Signal::Neutral, true), None);
    }
    breaker.start_probe();
    assert_eq!(breaker.report(at(41), Signal::Failure, true), Some(Change::Opened));
    let mut breaker = given_up();
    breaker.start_probe();
    assert_eq!(breaker.report(at(330), Signal::Neutral, true), None);
    assert_eq!(breaker.gate(at(330)), Gate::Probe);
    assert_eq!(breaker.state_name(), "given-up");
}

#[test]
fn requests_from_before_it_opened_do_not_hold_it_open() {
    let mut breaker = opened();
    for signal in [Signal::Failure, Signal::Neutral] {
        assert_eq!(breaker.report(at(20), signal, false), None);
        assert_eq!(breaker.gate(at(20)), Gate::Wait(at(40)));
    }
    breaker.start_probe();
    for signal in [Signal::Failure, Signal::Neutral] {
        assert_eq!(breaker.report(at(31), signal, false), None);
        assert_eq!(breaker.gate(at(31)), Gate::Wait(Moment::NEVER));
    }
    assert_eq!(breaker.report(at(32), Signal::Failure, true), Some(Change::Opened));
    let mut breaker = given_up();
    assert_eq!(breaker.report(at(200), Signal::Failure, false), None);
    assert_eq!(breaker.gate(at(200)), Gate::GivenUp(at(325)));
}

#[test]
fn an_answer_from_before_closes_it_in_any_state() {
    let mut half_open = opened();
    half_open.start_probe();
    for mut breaker in [opened(), half_open, given_up()] {
        assert_eq!(breaker.report(at(95), Signal::Answer, false), Some(Change::Closed), "{}", breaker.state_name());
        assert_eq!(breaker.gate(at(95)), Gate::Pass);
    }
}

#[test]
fn an_overtaken_probe_is_not_taken_for_a_later_one() {
    let mut breaker = opened();
    breaker.start_probe();
    breaker.report(at(31), Signal::Answer, false);
    for _ in 0..3 {
        breaker.report(at(32), Signal::Failure, false);
    }
    breaker.start_probe();
    // The first probe times out while the second is under way: the place stays taken.
    assert_eq!(breaker.report(at(63), Signal::Failure, true), None);
    assert_eq!(breaker.gate(at(63)), Gate::Wait(Moment::NEVER));
    assert_eq!(breaker.report(at(64), Signal::Failure, true), Some(Change::Opened));
}

#[test]
fn states_have_names() {
    let mut breaker = breaker(1, 1);
    assert_eq!(breaker.state_name(), "closed");
    breaker.report(at(0), Signal::Failure, false);
    assert_eq!(breaker.state_name(), "open");
    breaker.start_probe();
    assert_eq!(breaker.state_name(), "half-open");
    breaker.report(at(30), Signal::Failure, true);
    assert_eq!(breaker.state_name(), "given-up");
}

#[test]
fn half_of_the_last_twenty_open_it_too() {
    // Of five in a row there is none: two failures, two answers, and so on.
    let mut breaker = breaker(5, 3);
    let mut outcomes = 0;
    while breaker.is_closed() {
        let signal = if outcomes % 4 < 2 { Signal::Answer } else { Signal::Failure };
        assert_eq!(breaker.report(at(0), signal, false).is_some(), outcomes == 19, "{outcomes}");
        outcomes += 1;
    }
    assert!(outcomes == 20 && breaker.by_rate());
    // Answers to what was under way do not close it: it was the mixture that opened it. A probe does.
    assert_eq!(breaker.report(at(1), Signal::Answer, false), None);
    assert_eq!(breaker.gate(at(1)), Gate::Wait(at(40)));
    breaker.start_probe();
    assert_eq!(breaker.report(at(41), Signal::Answer, false), None);
    assert_eq!(breaker.report(at(41), Signal::Answer, true), Some(Change::Closed));
    // And it counts from zero again.
    for n in 0..19 {
        let signal = if n % 2 == 0 { Signal::Failure } else { Signal::Answer };
        assert_eq!(breaker.report(at(50), signal, false), None);
    }
}

#[test]
fn less_than_half_never_opens_it_nor_less_than_what_was_asked_for() {
    for (failures, failing, window) in [(5, 9, 20), (16, 31, 64), (33, 40, 64), (1000, 63, 64)] {
        let mut breaker = breaker(failures, 3);
        for n in 0..20 * window {
            // Evenly spread over the window.
            let before = n % window * failing / window;
            let after = (n % window + 1) * failing / window;
            let signal = if after > before { Signal::Failure } else { Signal::Answer };
            assert_eq!(breaker.report(at(0), signal, false), None, "{failures} in a row, {failing} of {window}");
        }
    }
}

#[test]
fn the_cooldown_grows_to_ten_times_and_a_probe_is_never_early() {
    for random in [0.0, 0.5, 0.999] {
        let settings = BreakerSettings { failures: 1, cooldown: Duration::from_secs(10), probes: u32::MAX, wait: None };
        let mut breaker = Breaker::new(settings, random);
        breaker.report(at(0), Signal::Failure, false);
        let (mut now, mut waits) = (at(0), Vec::new());
        for _ in 0..9 {
            let Gate::Wait(until) = breaker.gate(now) else { panic!("{:?}", breaker.gate(now)) };
            waits.push(until.since(now).as_secs_f64());
            now = until;
            breaker.start_probe();
            breaker.report(now, Signal::Failure, true);
        }
        let plain = [10.0, 15.0, 22.5, 33.75, 50.6, 75.9, 100.0, 100.0, 100.0];
        for (wait, plain) in waits.iter().zip(plain) {
            assert!(*wait > plain - 0.1 && *wait < plain * 1.1 + 0.1, "{waits:?}");
        }
        assert!((waits[0] - 10.0 * (1.0 + 0.1 * random)).abs() < 1e-6);
    }
}

#[test]
fn a_time_to_wait_counts_from_the_opening() {
    let settings = |seconds| BreakerSettings {
        failures: 1,
        cooldown: Duration::from_secs(COOLDOWN),
        probes: u32::MAX,
        wait: Some(Duration::from_secs(seconds)),
    };
    // Less than the cooldown: given up before any probe; one goes when it is due.
    let mut breaker = Breaker::new(settings(25), 0.0);
    breaker.report(at(0), Signal::Failure, false);
    assert_eq!((breaker.expire(at(24)), breaker.gate(at(24))), (None, Gate::Wait(at(25))));
    assert_eq!((breaker.expire(at(25)), breaker.gate(at(25))), (Some(Change::GaveUp), Gate::GivenUp(at(40))));
    assert_eq!((breaker.expire(at(40)), breaker.gate(at(40))), (None, Gate::Probe));
    // More: probes go on until then, and the last one decides if it is under way.
    let mut breaker = Breaker::new(settings(101), 0.0);
    breaker.report(at(0), Signal::Failure, false);
    breaker.start_probe();
    assert_eq!(breaker.report(at(41), Signal::Failure, true), Some(Change::Opened));
    assert_eq!((breaker.expire(at(100)), breaker.gate(at(100))), (None, Gate::Wait(at(101))));
    assert_eq!((breaker.expire(at(101)), breaker.gate(at(101))), (None, Gate::Probe));
    breaker.start_probe();
    assert_eq!(breaker.expire(at(102)), None);
    assert_eq!(breaker.report(at(102), Signal::Failure, true), Some(Change::GaveUp));
}

fn signal() -> impl Strategy<Value = Signal> {
    prop_oneof![2 => Just(Signal::Answer), 6 => Just(Signal::Failure), 1 => Just(Signal::Neutral)]
}

proptest! {
    /// A host under random requests: at each step, time passes and either a request starts, as the gate allows, or the
    /// oldest or newest ends.
    #[test]
    fn never_two_probes_out(
        failures in 0_u32..8,
        probes in 0_u32..4,
        wait in proptest::option::of(0_u64..200),
        steps in proptest::collection::vec((0_u64..40, any::<bool>(), any::<bool>(), signal()), 1..200),
    ) {
        let settings = BreakerSettings {
            failures,
            cooldown: Duration::from_secs(COOLDOWN),
            probes,
            wait: wait.map(Duration::from_secs),
        };
        let mut breaker = Breaker::new(settings, 0.0);
        let mut second = 0;
        // Requests under way: whether as a probe, and whether it was overtaken by an answer that closed the breaker.
        let mut flights: Vec<(bool, bool)> = Vec::new();
        for (passed, start, oldest, signal) in steps {
            second += passed;
            let now = at(second);
            let living = flights.iter().filter(|&&(probe, overtaken)| probe && !overtaken).count();
            prop_assert!(living <= 1);
            if start || flights.is_empty() {
                if breaker.expire(now).is_some() {
                    prop_assert!(matches!(breaker.gate(now), Gate::GivenUp(_)));
                    prop_assert!(wait.is_some() && living == 0);
                }
                match breaker.gate(now) {
                    Gate::Pass => flights.push((false, false)),
                    Gate::Probe => {
                        prop_assert_eq!(living, 0);
                        prop_assert_eq!(breaker.start_probe(), Change::HalfOpen);
                        flights.push((true, false));
                    }
                    Gate::Wait(until) => {
                        prop_assert!(until > now);
                        if until == Moment::NEVER {
                            // Overtaken probes may keep the place taken for a while, never for ever.
                            prop_assert!(flights.iter().any(|&(probe, _)| probe));
                        } else {
                            prop_assert_eq!(living, 0);
                        }
                        prop_assert!(until == Moment::NEVER || until <= now.plus(Duration::from_secs(10 * COOLDOWN)));
                    }
                    Gate::GivenUp(until) => prop_assert!(until > now && until <= now.plus(Duration::from_secs(10 * COOLDOWN))),
                }
                continue;
            }
            let place = if oldest { 0 } else { flights.len() - 1 };
            let (probe, _) = flights.remove(place);
            let change = breaker.report(now, signal, probe);
            if failures == 0 {
                prop_assert_eq!(change, None);
            }
            if signal == Signal::Answer {
                prop_assert!(breaker.is_closed() || breaker.by_rate() && !probe);
            }
            if breaker.is_closed() {
                for flight in &mut flights {
                    flight.1 = true;
                }
            } else if living == 1 && probe && !matches!(breaker.gate(now), Gate::Wait(Moment::NEVER)) {
                // A report of an overtaken probe may have freed the place of the living one only if both have ended.
                prop_assert!(flights.iter().all(|&(probe, overtaken)| !probe || overtaken));
            }
        }
    }
}
