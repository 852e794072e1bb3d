//! Races by themselves: what is next, who has won, and what is told of the others.

use super::*;
use crate::engine::outcome::Counted;
use crate::engine::outcome::Share;
use crate::model::job::JobKind;
use crate::model::units::Millis;
use crate::policy::traps::Evidence;

fn at(millis: u64) -> Moment {
    Moment::START.plus(Duration::from_millis(millis))
}

fn mirror(host: &str) -> Mirror {
    Mirror { url: format!("http://{host}/").into(), user_info: None, repeated: false }
}

fn parent(number: u64, hosts: &[&str]) -> Job {
    let mut job = Job::new(JobKind::Typed, format!("http://{}/", hosts[0]), lane_of(hosts[0]));
    job.number = number;
    job.accepted = at(100);
    let mirrors = hosts.iter().map(|host| mirror(host)).collect();
    job.spec = Some(Box::new(JobSpec { mirrors, id: Some("mine".into()), ..JobSpec::default() }));
    job
}

/// The end of a leg with one request that started so late.
fn front(race: &Race, leg: usize, outcome: Outcome, started: u64) -> Front {
    let mut job = race.job_of(leg);
    let request = RequestLog {
        url: job.url.clone(),
        host_key: job.host.clone(),
        kind: RequestKind::Race,
        started_at: WallTime(i64::try_from(started).unwrap()),
        ms: Millis::default(),
        status: None,
    };
    let chain = job.chain_mut();
    chain.first_started = Some((request.started_at, at(started)));
    chain.wire_bytes = 10 + leg as u64;
    let mut record = RecordBody::blank("run".into(), job.id(), outcome);
    record.url = Some(job.url.clone());
    record.requests = vec![request];
    let counted = Counted { typed: true, outcome, error: None, skip: None };
    let finished = Finished {
        number: job.number,
        counted,
        json: Vec::new(),
        record: Some(Box::new(record)),
        evidence: Evidence::default(),
        page: None,
        share: Share::default(),
        memory: None,
    };
    Front { job, finished, outlinks: Vec::new() }
}

#[test]
fn legs_ask_what_their_mirror_is() {
    let mut job = parent(7, &["a", "b"]);
    job.spec.as_mut().unwrap().mirrors[1].user_info = Some(("me".into(), "pw".into()));
    let race = Race::new(job);
    let leg = race.job_of(1);
    assert_eq!((&*leg.url, &*leg.host, leg.leg(), leg.number), ("http://b/", "b", Some(1), 7));
    assert!(leg.mirrors().is_empty() && leg.has_record());
    assert_eq!((leg.id(), leg.spec.unwrap().user_info), ("mine".to_owned(), Some(("me".into(), "pw".into()))));
    assert_eq!(race.job_of(0).spec.unwrap().user_info, None);
}

#[test]
fn the_first_success_wins_and_waits_for_what_the_losers_have_cost() {
    let mut race = Race::new(parent(1, &["a", "b", "c"]));
    for leg in 0..2 {
        assert_eq!(race.next_leg(), Some(leg));
        race.queue(leg, 5, at(100 + leg as u64));
        assert_eq!(race.start(leg, leg), leg == race.latest);
    }
    race.land();
    let end = front(&race, 1, Outcome::Ok, 300);
    assert!(race.finish(1, end, at(400)));
    assert_eq!((race.is_over(), race.next_leg()), (false, None), "the loser is still in flight");
    assert_eq!(race.places(), [(0, Place::InFlight(0))]);
    race.land();
    race.end(0, LegEnd { wire_bytes: 3, ..LegEnd::default() }, at(401));
    assert!(race.is_over());
    let record = race.into_front(at(500)).unwrap().finished.record.unwrap();
    let mirrors = record.mirrors.unwrap();
    let told: Vec<_> = mirrors.iter().map(|mirror| (&*mirror.url, mirror.outcome, mirror.wire_size)).collect();
    let (won, lost) = (Outcome::Ok, Outcome::Skipped);
    assert_eq!(told, [("http://a/", lost, 3), ("http://b/", won, 11), ("http://c/", lost, 0)]);
    assert_eq!(record.queued_ms, Some(Duration::from_millis(200).into()));
}

#[test]
fn a_late_success_does_not_win_again() {
    let mut race = Race::new(parent(1, &["a", "b"]));
    for leg in 0..2 {
        race.queue(leg, 0, at(100));
        race.start(leg, leg);
    }
    let (first, second) = (front(&race, 1, Outcome::Ok, 200), front(&race, 0, Outcome::Ok, 150));
    race.land();
    assert!(race.finish(1, first, at(300)));
    race.land();
    assert!(!race.finish(0, second, at(301)));
    let record = race.into_front(at(302)).unwrap().finished.record.unwrap();
    assert_eq!(record.url.as_deref(), Some("http://b/"));
    let started: Vec<_> = record.requests.iter().map(|request| request.started_at.0).collect();
    assert_eq!(started, [150, 200], "in order, whoever won");
}

#[test]
fn without_a_winner_the_first_mirror_speaks() {
    for order in [[0, 1, 2], [2, 1, 0], [1, 0, 2]] {
        let mut job = parent(1, &["a", "b", "c"]);
        job.spec.as_mut().unwrap().mirrors[0].repeated = order[0] == 1;
        let first = if order[0] == 1 { "http://b/" } else { "http://a/" };
        let mut race = Race::new(job);
        for leg in order {
            if race.legs[leg].place == Place::Over {
                continue;
            }
            assert!(!race.is_over());
            race.queue(leg, 0, at(100));
            race.start(leg, leg);
            race.land();
            let end = front(&race, leg, Outcome::Failed, 200);
            assert!(!race.finish(leg, end, at(300)));
        }
        assert!(race.is_over() && !race.is_won());
        let record = race.into_front(at(1100)).unwrap().finished.record.unwrap();
        assert_eq!(record.url.as_deref(), Some(first));
        assert_eq!(record.total_ms, Some(Duration::from_secs(1).into()), "until the last one has failed");
    }
}

#[test]
fn alarms_of_races_that_are_over_are_forgotten() {
    let mut races = Races::default();
    for number in 0..3 {
        races.open(parent(number, &["a", "b"]));
        races.set_due(number, at(10 * (3 - number)));
    }
    races.set_due(2, at(40));
    assert!(races.close(1).is_some());
    assert_eq!(races.next_due(), Some(at(30)));
    assert_eq!((races.pop_due(at(29)), races.pop_due(at(35))), (None, Some(0)));
    assert_eq!((races.pop_due(at(39)), races.pop_due(at(40)), races.next_due()), (None, Some(2), None));
    races.set_due(0, Moment::NEVER);
    assert_eq!(races.next_due(), None);
}

#[test]
fn a_lane_opens_only_so_many_races() {
    let mut races = Races::default();
    let lane = lane_of("a");
    assert!(is_lane(&lane) && !is_lane("a"));
    let mut number = 0;
    let mut back = true;
    while back {
        for _ in 0..16 {
            races.open(parent(number, &["a", "b"]));
            number += 1;
        }
        back = races.gives_back(&lane, true);
    }
    assert_eq!(number, OPEN as u64);
    let closed = (0..number).position(|number| {
        races.close(number);
        races.gives_back(&lane, false)
    });
    assert_eq!(closed, Some(OPEN / 2));
    assert!((OPEN as u64 / 2 + 1..number).all(|number| races.close(number).is_some()));
    assert!(!races.gives_back(&lane, false) && races.lanes.is_empty());
}

#[test]
fn the_percentile_is_of_the_last_answers() {
    let mut latencies = Latencies::default();
    let patience = |latencies: &Latencies| latencies.patience("a", HedgeAfter::P95);
    for sample in 1..=19 {
        latencies.note("a", Duration::from_millis(sample));
        assert_eq!(patience(&latencies), Some(UNKNOWN), "{sample} say nothing");
    }
    latencies.note("a", Duration::from_millis(20));
    assert_eq!(patience(&latencies), Some(Duration::from_millis(19)));
    for _ in 0..SAMPLES {
        latencies.note("a", Duration::from_millis(3));
    }
    assert_eq!(patience(&latencies), Some(Duration::from_millis(3)));
    assert_eq!(latencies.patience("a", HedgeAfter::Never), None);
    let time = Duration::from_secs(2);
    assert_eq!(latencies.patience("b", HedgeAfter::Time(time)), Some(time));
    for host in 0..SAMPLED_HOSTS {
        latencies.note(&host.to_string(), time);
    }
    assert!(latencies.0.len() <= SAMPLED_HOSTS);
}
