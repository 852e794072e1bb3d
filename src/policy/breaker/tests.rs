//! The breaker's states, one story a test, and that it never has two probes out.

use proptest::prelude::*;

use super::*;

const COOLDOWN: u64 = 30;

fn at(seconds: u64) -> Moment {
    Moment::START.plus(Duration::from_secs(seconds))
}

fn breaker(failures: u32, probes: u32) -> Breaker {
    Breaker::new(BreakerSettings { failures, cooldown: Duration::from_secs(COOLDOWN), probes })
}

/// Opened at second 0 by three failures.
fn opened() -> Breaker {
    let mut breaker = breaker(3, 3);
    assert_eq!(breaker.report(at(0), Signal::Failure, false), None);
    assert_eq!(breaker.report(at(0), Signal::Failure, false), None);
    assert_eq!(breaker.report(at(0), Signal::Failure, false), Some(Change::Opened));
    breaker
}

/// Opened at 0, probes failed at 30, 60 and 90: given up until 120.
fn given_up() -> Breaker {
    let mut breaker = opened();
    for (second, change) in [(30, Change::Opened), (60, Change::Opened), (90, Change::GaveUp)] {
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
    assert_eq!(breaker.gate(at(2)), Gate::Wait(at(32)));
    assert_eq!(breaker.gate(at(31)), Gate::Wait(at(32)));
    assert_eq!(breaker.gate(at(32)), Gate::Probe);
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
fn a_failed_probe_waits_for_another_cooldown() {
    let mut breaker = opened();
    breaker.start_probe();
    assert_eq!(breaker.report(at(45), Signal::Failure, true), Some(Change::Opened));
    assert_eq!(breaker.gate(at(45)), Gate::Wait(at(75)));
    assert_eq!(breaker.gate(at(75)), Gate::Probe);
    assert_eq!(breaker.opened_count(), 1);
}

#[test]
fn the_last_failed_probe_gives_up_and_one_goes_after_each_cooldown() {
    let mut breaker = given_up();
    assert_eq!(breaker.gate(at(90)), Gate::GivenUp(at(120)));
    assert_eq!(breaker.gate(at(119)), Gate::GivenUp(at(120)));
    assert_eq!(breaker.gate(at(120)), Gate::Probe);
    // Nobody may come for long: the next who does is the probe.
    assert_eq!(breaker.gate(at(500)), Gate::Probe);
    breaker.start_probe();
    assert_eq!(breaker.gate(at(501)), Gate::Wait(Moment::NEVER));
    assert_eq!(breaker.report(at(502), Signal::Failure, true), Some(Change::GaveUp));
    assert_eq!(breaker.gate(at(502)), Gate::GivenUp(at(532)));
    breaker.start_probe();
    assert_eq!(breaker.report(at(540), Signal::Answer, true), Some(Change::Closed));
    assert_eq!(breaker.gate(at(540)), Gate::Pass);
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
        assert_eq!(breaker.gate(at(30)), Gate::Probe);
        breaker.start_probe();
        assert_eq!(breaker.report(at(30), Signal::Neutral, true), None);
    }
    breaker.start_probe();
    assert_eq!(breaker.report(at(31), Signal::Failure, true), Some(Change::Opened));
    let mut breaker = given_up();
    breaker.start_probe();
    assert_eq!(breaker.report(at(125), Signal::Neutral, true), None);
    assert_eq!(breaker.gate(at(125)), Gate::Probe);
    assert_eq!(breaker.state_name(), "given-up");
}

#[test]
fn requests_from_before_it_opened_do_not_hold_it_open() {
    let mut breaker = opened();
    for signal in [Signal::Failure, Signal::Neutral] {
        assert_eq!(breaker.report(at(20), signal, false), None);
        assert_eq!(breaker.gate(at(20)), Gate::Wait(at(30)));
    }
    breaker.start_probe();
    for signal in [Signal::Failure, Signal::Neutral] {
        assert_eq!(breaker.report(at(31), signal, false), None);
        assert_eq!(breaker.gate(at(31)), Gate::Wait(Moment::NEVER));
    }
    assert_eq!(breaker.report(at(32), Signal::Failure, true), Some(Change::Opened));
    let mut breaker = given_up();
    assert_eq!(breaker.report(at(100), Signal::Failure, false), None);
    assert_eq!(breaker.gate(at(100)), Gate::GivenUp(at(120)));
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

fn signal() -> impl Strategy<Value = Signal> {
    prop_oneof![2 => Just(Signal::Answer), 6 => Just(Signal::Failure), 1 => Just(Signal::Neutral)]
}

proptest! {
    /// A host under random requests: at each step, time passes and either a request starts, as the gate allows, or the
    /// oldest or newest ends.
    #[test]
    fn never_two_probes_out(
        failures in 0_u32..4,
        probes in 0_u32..4,
        steps in proptest::collection::vec((0_u64..40, any::<bool>(), any::<bool>(), signal()), 1..200),
    ) {
        let mut breaker = breaker(failures, probes);
        let mut second = 0;
        // Requests under way: whether as a probe, and whether it was overtaken by an answer that closed the breaker.
        let mut flights: Vec<(bool, bool)> = Vec::new();
        for (passed, start, oldest, signal) in steps {
            second += passed;
            let now = at(second);
            let living = flights.iter().filter(|&&(probe, overtaken)| probe && !overtaken).count();
            prop_assert!(living <= 1);
            if start || flights.is_empty() {
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
                        prop_assert!(until == Moment::NEVER || until <= now.plus(Duration::from_secs(COOLDOWN)));
                    }
                    Gate::GivenUp(until) => prop_assert!(until > now && until <= now.plus(Duration::from_secs(COOLDOWN))),
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
                prop_assert!(breaker.is_closed());
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
